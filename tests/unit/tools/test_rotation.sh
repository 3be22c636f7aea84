#!/bin/bash
# A custodian is replaced in a gateway that runs: kanmon policy sign, submit; and documents are attested by both.
. "${srcdir:-.}/tests/tap.sh"
export PIN=4711-kanmon
"$source_dir/tools/sandbox" up "$work/gw" --policy quorum >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
unset LD_PRELOAD
cd "$work" || exit 99
sato=$CUSTODIAN_DIR/sato suzuki=$CUSTODIAN_DIR/suzuki tanaka=$CUSTODIAN_DIR/tanaka

says() { # TEXT COMMAND...: it fails and says that
	local text=$1
	shift
	"$@" >out 2>&1 && return 1
	grep -q -- "$text" out
}
sign() { kanmon policy sign "$1" --previous policy-1 --key "$2.key" --passphrase-file "$2.passphrase" --yes; }

# A request that ends with the policy it was made under.
echo 'quorum-wait = 1' >>"$KANMON_CONFIG"
pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" --keypairgen --key-type EC:prime256v1 --label root-ca --id 01 >/dev/null 2>&1
ended=$(kanmon request list --json | jq -r '.requests[0].id')

# The next version: kato in the place of tanaka, and over soon.
kanmon policy show --as "$sato" --json >shown && jq -j .note shown >policy-1
echo 'correct horse battery' >kato.passphrase
kanmon custodian new kato --person 0021 --out "$work" --weak-seal --passphrase-file kato.passphrase >/dev/null
gateway=$(sed -n 's/^gateway *= *//p' "$sato.conf") origin=$(jq -r .origin shown)
cp "$sato.conf" kato.conf && sed -i "s|$sato|$work/kato|g; s|sato|kato|g" kato.conf
soon=$(date -u -d '+20 days' +%Y-%m-%dT%H:%M:%SZ)
sed '/^$/,$!b; /^— /d' policy-1 | grep -v '^[a-z-]* tanaka ' | sed -e 's/\btanaka\b/kato/g' -e 's/^version 1/version 2/' \
	-e "s|^previous .*|previous $(jq -r .sha256 shown)|" -e "s/^expires .*/expires $soon/" >policy-2
cat kato.policy >>policy-2

t 'the next version is a policy, and the one before it is signed by others' kanmon policy check policy-2
t 'nobody signed it: it is not brought' says 'nobody signed' kanmon policy submit policy-2 --as "$sato"
t 'who is a custodian of either version signs' sign policy-2 "$sato"
t 'one of three is not enough' says 'signed by 1 of' kanmon policy submit policy-2 --as "$sato"
t 'a second one signs' sign policy-2 "$suzuki"
t 'a custodian who leaves signs for the old version' sign policy-2 "$tanaka"
t 'the quorum of the old version alone is not enough' says 'signed by 2 of the 3 persons that role policy of version 2' kanmon policy submit policy-2 --as "$sato"
t 'one who comes, for the new one' sign policy-2 "$work/kato"
t 'and the gateway takes it' kanmon policy submit policy-2 --as "$sato"
kanmon status --as "$sato" --json >status
t 'status says which version is in force' jq -e '.policy_version == 2' status
t 'and that it expires soon' jq -e '.policy.warning | test("expires in 19 days")' status
log_says() { for _ in $(seq 50); do grep -q "$1" "$work/gw/kanmond.log" && return; sleep 0.1; done && return 1; }
t 'so does the log' log_says 'expires in 19 days'
kanmon request show "$ended" --as "$sato" >shown-ended
t 'a request that ended is shown as it was judged, by the policy of its time' grep -q '^verified here: the statement was made again' shown-ended
t 'which is the first' grep -q '^verified here: policy 1 is signed' shown-ended
t 'who left is not let in any more' says . kanmon status --as "$tanaka"
t 'and told what is likely, and the way in' says 'no .terminal. or .client. line of the gateway.s policy in force names the key of .*tanaka' kanmon status --as "$tanaka"
t 'who came is' kanmon status --as "$work/kato"
t 'applications go on' pkcs11-tool --module "$MODULE" --token-label "$TOKEN" -O
t 'the same version again is refused' says 'not the one after' kanmon policy submit policy-2 --as "$sato"

echo 'the ceremony script, four pages, for the eyes of those who are there' >script.txt
attest() { kanmon attest --file script.txt --title 'Ceremony script' --kind ceremony-script --as "$1" --key "$1.key" \
	--passphrase-file "$1.passphrase" --yes; }
t 'a document is attested' attest "$sato"
t 'by a second person, too' attest "$work/kato"
t 'and not by one who left' says . attest "$tanaka"
t 'an attestation of no kind is refused' says 'kind is' kanmon attest --file script.txt --title x --kind else --as "$sato" \
	--key "$sato.key" --passphrase-file "$sato.passphrase" --yes
kanmon audit show "$LEDGER" --type attestation --csv >attestations
t 'both are shown, with title, hash and who' test "$(grep -c "Ceremony script .*$(openssl dgst -sha256 -binary script.txt | base64)" attestations)" = 2
t 'the document is not in the ledger' bash -c "! grep -rq 'for the eyes of' '$LEDGER'"
t 'the auditor agrees' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
kanmon audit report "$LEDGER" --trust "$TRUST" --out report.html --json report.json
t 'the report names the documents, and who attested them' test "2 ceremony-script Ceremony script $(openssl dgst -sha256 -binary script.txt | base64)" = \
	"$(jq -r '.attestations | "\(length) \(.[0].document_kind) \(.[0].document_title) \(.[0].document_sha256)"' report.json)"
t 'both of them' test 'sato kato' = "$(jq -r '[.attestations[].signers] | join(" ")' report.json)"
t 'and each version of the policy with its signers' jq -e '[.policies[] | select(.signers != "").version] == ([range(1; (.policies | length) + 1)])' report.json
t 'a level that the policy does not name is not claimed' jq -e '.tokens | length > 0 and all(.level_by == "level_none" and .level == null)' report.json
t 'the page has the title' grep -q '<td>Ceremony script</td>' report.html
t_end
