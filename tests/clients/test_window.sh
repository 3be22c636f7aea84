#!/bin/bash
# A standing approval of CRLs: asked for with the kanmon command, opened by two custodians, used by a PKCS#11 client, told by
# the auditor's tool. Two uses, then people are asked again.
. "${srcdir:-.}/tests/tap.sh"
export PIN=kanmon-pin-4711-xyzzy
. "${srcdir:-.}/tests/clients/policy.sh"
policy_with >"$work/policy.in" <<'EOF'
rule root-crls
  client  app
  object  pkcs11:token=@TOKEN@;object=root-ca
  calls   key-use
  need    root-keepers
  per     window 1h uses 2
  content tbs-crl issuer="CN=Root" next-update<=8d
rule root-single
  client  app
  object  pkcs11:token=@TOKEN@;object=root-ca
  calls   key-use
  need    root-keepers
rule look
  client  app
  calls   login session query random key-management token-management
  need    none
EOF
"$source_dir/tools/sandbox" up "$work/gw" --policy "$work/policy.in" >"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
cd "$work" || exit 99
echo 'quorum-wait = 1' >>"$KANMON_CONFIG"

p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
sign() { p11 --sign --mechanism SHA256-RSA-PKCS --id 01 -i "$1" -o sig; }
as() { echo --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes; }
approve() { kanmon approve "$2" $(as "$1"); }
window() { kanmon request new --window "$1" --token "$TOKEN" --key root-ca "${@:2}"; }
crl() { # file days subject: the TBSCertList
	openssl req -x509 -newkey rsa:2048 -nodes -keyout t.key -out t.crt -subj "/CN=$3" 2>/dev/null
	: >index.txt && echo 01 >number
	printf '[ca]\ndefault_ca=x\n[x]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n' >ca.cnf
	openssl ca -config ca.cnf -gencrl -keyfile t.key -cert t.crt -crldays "$2" -out t.crl 2>/dev/null
	openssl asn1parse -in t.crl -strparse 4 -out "$1" -noout
}
crl week.tbs 7 Root
crl month.tbs 30 Root
crl other.tbs 7 Other
p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01 >/dev/null 2>&1

t 'a rule per operation has no window' says 'rule root-single has no window: what it holds is approved one by one' window root-single
t 'nor has one that is not there' says 'has no such rule' window nothing
t 'a window has no data' exits 2 window root-crls --file week.tbs
id=$(window root-crls --purpose 'CRLs of the week' --json | jq -r .id)
t 'its statement has the time, the uses and the bounds' test 3 = "$(kanmon request show "$id" | grep -c -x \
	-e 'per window 1h uses 2' -e 'constraint content tbs-crl issuer="CN=Root" next-update<=8d' -e 'uses 2')"
t 'one custodian derives it again and approves' says 'request is open now' approve sato "$id"
t 'which opens nothing' says '2 uses in 3600 s, once it is open' kanmon request show "$id"
t 'a second one opens it' says 'is an open window now' approve suzuki "$id"
t 'a CRL in its bounds is signed at once' sign week.tbs
p11 --read-object --type pubkey --id 01 -o pub.der >/dev/null 2>&1 && openssl pkey -pubin -inform DER -in pub.der -out pub
t 'and the signature verifies' openssl dgst -sha256 -verify pub -signature sig week.tbs
t 'the list says what is left' says '^window  *1 of 2 uses left, until 20' kanmon request list
t 'a CRL for a month is not' fails sign month.tbs
t 'it asks people for itself' says '^rule root-single' kanmon request show "$(kanmon request list --json | jq '.requests[-1].id')"
t 'nor one of another issuer' fails sign other.tbs
echo 'no CRL' >text
t 'nor what is no CRL' says '0x200\|CKR_FUNCTION_REJECTED' sign text
t 'the second use' sign week.tbs
t 'is the last' says '"state": *"spent"' kanmon request list --all --json
t 'the next call asks for another window' fails sign week.tbs
next=$(kanmon request list --json | jq '[.requests[] | select(.rule == "root-crls")][-1].id')
t 'that one' says 'once it is open' kanmon request show "$next"
t 'its client takes it back' kanmon request withdraw "$next"

"$source_dir/tools/sandbox" down "$work/gw" >/dev/null 2>&1
use=$(kanmon audit show "$LEDGER" --type result --json | jq -s -r '[.[] | select(.function == "C_Sign")][0].i')
t 'the auditor agrees with the gateway' kanmon audit verify "$LEDGER" --trust "$TRUST"
t 'so does the second verifier, by the documents alone' exits 0 env LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1 \
	python3 "$source_dir/tests/unit/ledger/oracle/second.py" "$LEDGER" "$TRUST"
t 'the story of a use names its window and number' says "^window  *use 1 of 2 of the window of request $id" kanmon audit request "$LEDGER" "$use"
t 'that of the window what became of it' says '^window  *2 of 2 uses, open until 20' kanmon audit request "$LEDGER" "$id"
kanmon audit bundle "$LEDGER" "$use" >use.bundle
t 'the evidence of a use has the votes that opened its window' says '2 of 2 notes over it count' kanmon audit bundle verify use.bundle --trust "$TRUST"
t 'and agrees' exits 0 kanmon audit bundle verify use.bundle --trust "$TRUST"
kanmon audit report "$LEDGER" --trust "$TRUST" --out report.html --json report.json
t 'the report has the window: by whom, how often, how it ended' test "$id root-crls root-ca sato suzuki 2 2 spent" = \
	"$(jq -r '.windows[0] | "\(.i) \(.rule) \(.key) \(.approvers) \(.uses) \(.uses_most) \(.ended)"' report.json)"
t 'from its opening to its end' jq -e '.windows | length == 1 and .[0].until - .[0].opened == 3600000 and .[0].ended_at >= .[0].opened' report.json
t 'none of it is told as a refusal' jq -e "[.refusals[] | select(.outcome == \"open\" or .outcome == \"spent\")] == []" report.json
t 'the page says it in words' says 'all uses made' cat report.html
kanmon audit report "$LEDGER" --trust "$TRUST" --out report-ja.html --language ja
t 'and in Japanese' says '上限まで使用' cat report-ja.html
t_end
