#!/bin/bash
# What stops a gateway, and who lets it go on, by the commands: a row of an HSM's log that no record explains seals the
# token until kanmon reopen; a policy of the recovery role waits until kanmon policy veto.
. "${srcdir:-.}/tests/tap.sh"
export PIN=kanmon-pin-4711-xyzzy
cat >"$work/policy.in" <<'EOF2'
kanmon/policy/v1
origin @ORIGIN@
version 1
previous none
not-before @NOT_BEFORE@
expires @EXPIRES@

@ROSTER@
token @TOKEN@
stance @TOKEN@ seal
role policy 2 sato suzuki
role recovery 1 tanaka delay 1h
role veto 1 sato

rule rest
  client  app
  calls   login session query random key-use key-management
  need    none
EOF2
"$source_dir/tools/sandbox" up "$work/gw" --policy "$work/policy.in" >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
form=$source_dir/docs/examples/hsm-log.syslog

p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
sign() { p11 --sign --mechanism SHA256-RSA-PKCS --id 01 -i bill -o sig; }
look() { pkcs11-tool --module "$MODULE" -T; }
as() { echo --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes; }
status() { kanmon status --as "$CUSTODIAN_DIR/sato" --json | jq -e "$1"; }

p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01 >/dev/null 2>&1
echo 'pay 1 yen' >bill
t 'all is well' sign
t 'nothing is there to reopen' says 'nothing stands against token' kanmon reopen note --of "$TOKEN" --reason 'to be sure' $(as sato)
echo '1999-12-31T23:59:59.000Z hsm serial=0 op=C_Sign key=root-ca id=01 rv=0x00000000' >log
t 'a row of the HSM that no record explains' says '1 UNMATCHED' kanmon hsm-log submit "$LEDGER" log --format "$form" --as "$CUSTODIAN_DIR/sato"
t 'seals the token' status ".stances[\"$TOKEN\"].state | test(\"sealed by record [0-9]+ .the HSM.s log has rows without a record. until it is reopened .kanmon reopen.\")"
t 'nobody signs with it' fails sign
export -f p11 sign
t 'the client reads what closed it, and the way out' says 'KMN_E_STALE: token .* is sealed by record .* until it is reopened (kanmon reopen)' \
	env KMN_DEBUG=call bash -c sign
t 'its tokens are seen all the same' exits 0 look
t 'the log says why' grep -q "refused: token $TOKEN is sealed by record" gw/kanmond.log
begin() { kanmon reopen note --of "$TOKEN" --reason 'a test row, brought by ourselves' $(as sato) "$@"; }
t 'one person begins' exits 0 begin
t 'and is not enough' says 'signed by 1 of the 2 persons' kanmon reopen note --submit $(as sato)
t 'who is not of role policy does not count' says 'signed by 1 of the 2 persons' kanmon reopen note --submit $(as tanaka)
t 'a second one of it does' exits 0 kanmon reopen note --submit $(as suzuki)
t 'the token is well' status '.stances == {}'
t 'and signs' sign
t 'the same note is worth nothing more' says 'none does' kanmon reopen note --submit $(as suzuki)

kanmon policy show --as "$CUSTODIAN_DIR/sato" --json >shown && jq -j .note shown >policy-1
sed '/^$/,$!b; /^— /d' policy-1 | sed -e 's/^version 1/version 2/' -e 's/^role policy 2 .*/role policy 1 tanaka/' \
	-e "s|^previous .*|previous $(jq -r .sha256 shown)|" >policy-2
kanmon policy sign policy-2 --previous policy-1 --key "$CUSTODIAN_DIR/tanaka.key" \
	--passphrase-file "$CUSTODIAN_DIR/tanaka.passphrase" --yes >/dev/null
veto() { kanmon policy veto --reason 'we have our keys' $(as "$1"); }
t 'there is nothing to veto' says 'no policy of the recovery role waits' veto sato
t 'the recovery role alone makes no policy at once' says 'signed by 0 of the 2 persons' kanmon policy submit policy-2 --as "$CUSTODIAN_DIR/tanaka"
t 'it makes one that waits' says 'unless it is stopped (kanmon policy veto)' kanmon policy submit policy-2 --recovery --as "$CUSTODIAN_DIR/tanaka"
t 'status says so' status '.policy.waiting | .version == 2 and .left_s > 3000'
t 'who is not of role veto does not stop it' says 'nobody of role veto of policy version 1 signed it' veto suzuki
t 'so it still waits' status '.policy.waiting.version == 2'
t 'who is does' exits 0 veto sato
t 'it waits no more' status '.policy.waiting == null and .policy_version == 1'
t 'a second veto finds nothing' says 'no policy of the recovery role waits' veto sato
t 'applications go on' sign

"$source_dir/tools/sandbox" down "$work/gw" >/dev/null 2>&1
t 'the auditor agrees' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
kanmon audit report "$LEDGER" --trust "$TRUST" --out report.html --json report.json
t 'the report has the anomaly and the record that reopened the token' jq -e \
	'.anomalies | length == 2 and .[0].type == "hsm.log" and .[0].anomaly_token == "all_tokens" and .[0].reopened == .[1].i' report.json
t 'who reopened it and why' test "$TOKEN true a test row, brought by ourselves" = \
	"$(jq -r '.anomalies[1] | "\(.anomaly_token) \(.signers | split(" ") | contains(["sato", "suzuki"])) \(.detail)"' report.json)"
t 'and what the token does at an anomaly' jq -e '.tokens[0].stance == "seal"' report.json
t 'in words' says '<td>sealed</td>' cat report.html
t 'that it waits no more' jq -e '[.events[].type] | index("policy.veto") != null' report.json
t_end
