#!/bin/bash
# Operators' actions in a whole gateway: instructed over HTTPS by a signed text (a security key in software), approved by `kanmon
# approve`, done by the runner; what comes back verifies with openssl, and the ledger with the auditor's tool.
. "${srcdir:-.}/tests/tap.sh"
command -v curl >/dev/null && command -v python3 >/dev/null || { echo '1..0 # SKIP there is no curl or no python3' && exit 0; }
cd "$work" || exit 99
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
PYTHONDONTWRITEBYTECODE=1 python3 "$source_dir/tests/console/runner/actions.py" "$source_dir" "$work" >out 2>&1
[ -f gw/env ] || { cat out && exit 99; }
. "$work/gw/env"
unset LD_PRELOAD
told() { grep -q -x -e "$1" out || { tail -2 out | cut -c1-400 && false; }; }
made() { kanmon audit show "$LEDGER" --json | jq -s "[.[] | select(.type == \"result\" and .body.key != null)] | length"; }

t 'a key pair is made when two others approve; the operator'"'"'s own approval does not count' told 'root-key public-key True True mori'
t 'a runner that dies while its request waits: the instruction is lost, its request is open, and both are said' told 'lost True True open'
t 'the same instruction, signed again, meets that request' told 'met True'
t 'what came of it is told of both' told 'both True'
again=$(sed -n 's/^met-by //p' out)
t 'the decision says for which instruction it ran' [ "$(kanmon audit show "$LEDGER" --json | jq -s "[.[] | select(.type == \"decision\" and .body.application.id == \"action $again\")] | length")" = 1 ]
t 'and it ran once' [ "$(made)" = 2 ]
t 'a window opens when its quorum approves' told 'window window True'
t 'a certificate is signed under it, without another approval' told 'ca certificate True True mori'
t 'and a CRL' told 'crl crl True True mori'
t 'openssl verifies the certificate' openssl verify -CAfile ca.pem ca.pem
t 'and the CRL by it' says '^verify OK' openssl crl -in crl.pem -CAfile ca.pem -noout
t 'a third use waits for another window' told 'spent open'
t 'a certificate request is signed by the key that it is for' told 'csr certificate-request True True mori'
t 'openssl verifies it' says 'verify OK' openssl req -in csr.pem -verify -noout
t 'one for another key is not, and nobody is asked' told 'stranger the certificate request is for another key than .*'
t 'a whole certificate is refused: what is to be signed is its first part' told 'whole the file is a whole certificate.*'
t 'so is one that names another algorithm' told 'other-algorithm .*names another signature algorithm than CKM_SHA512_RSA_PKCS'
t 'a refusal names its rule, and what to do' told 'refused a rule refuses it (rule banned). The instruction is used up: ask for what a rule allows.*'
t 'a wrong PIN is told, and no request comes of it' told 'pin C_Login: CKR_PIN_INCORRECT False'
t 'so is a key that is not there' told 'no-key there is no such key'
t 'the key is destroyed' told 'destroyed destroyed'
t 'after a restart all that was done is told as before' told 'restarted \([0-9]*\) \1 True'
t 'what waited for a window is lost, and nothing was done' told 'waited True'
t 'a result is there again, the same bytes' told 'again True public-key'
t 'the auditor agrees' kanmon audit verify "$LEDGER" --trust "$TRUST"
t 'and the second verifier, which shares no code with it' \
	env LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1 python3 "$source_dir/tests/unit/ledger/oracle/second.py" "$LEDGER" "$TRUST"
# The signature that was approved by itself: those before it ran in a window. And the instruction that it names.
read -r request action < <(kanmon audit show "$LEDGER" --type intent --raw |
	jq -r 'select(.body.op == "C_Sign") | "\(.i) \(.body.application.id | ltrimstr("action "))"' | tail -n 1)
kanmon audit bundle "$LEDGER" "$request" >evidence
verify() { kanmon audit bundle verify "${1:-evidence}" --trust "$TRUST"; }
t 'the evidence of the signature holds the instruction, and who signed it' says 'instructed *ok .*signed by mori' verify
t 'and agrees' exits 0 verify
# The lines of record N of a bundle: its own, the record, and as many hashes as it says.
without() { awk -v n="$1" '$1 == "record" && $2 == n {skip = 2 + $3} skip > 0 {skip--; next} {print}' evidence; }
without "$action" >less
t 'without the instruction that the call names it is incomplete' says 'instructed *missing' verify less
t 'a change of any byte or line of it is seen' "$build/tests/unit/tools/bend_bundle" evidence "$TRUST"
t 'the PIN stands in no log' sh -c '! grep -q -e "$PIN" gw/kanmond.log'
t_end
