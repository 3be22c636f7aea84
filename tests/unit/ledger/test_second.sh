#!/bin/bash
# A second verifier, written from the documents alone (oracle/second.py), over ledgers of a real gateway, whole and changed.
. "${srcdir:-.}/tests/tap.sh"
export PIN=4711-kanmon
second="$source_dir/tests/unit/ledger/oracle"
"$source_dir/tools/sandbox" up "$work/gw" --policy quorum >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
runtime=${LD_PRELOAD:-}
unset LD_PRELOAD
cd "$work" || exit 99
export LEDGER_MD="$source_dir/docs/ledger.md" PYTHONDONTWRITEBYTECODE=1

p11() { LD_PRELOAD=$runtime pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >>"$work/p11.log" 2>&1; }
waiting() { kanmon request list --json | jq -r '[.requests[] | select(.state == "open")][-1].id // empty'; }
approve() { kanmon approve "$2" --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes >/dev/null 2>&1; }
# Runs a call that waits for its quorum, and gives it two approvals.
held() {
	local id call
	p11 "$@" &
	call=$!
	for _ in $(seq 100); do id=$(waiting) && [ -n "$id" ] && break; sleep 0.1; done
	approve sato "$id" && approve suzuki "$id" && wait "$call"
}

head -c 300 /dev/urandom >data
held --keypairgen --key-type rsa:2048 --label root-ca --id 01
t 'PKCS#1' held --sign --mechanism SHA256-RSA-PKCS --id 01 -i data -o sig
t 'PSS' held --sign --mechanism SHA256-RSA-PKCS-PSS --id 01 -i data -o sig
held --keypairgen --key-type EC:prime256v1 --label root-ca --id 02
head -c 32 data >digest
t 'ECDSA of a bare digest' held --sign --mechanism ECDSA --id 02 -i digest -o sig
(echo quorum-wait = 1 >>"$KANMON_CONFIG")
p11 --sign --mechanism SHA256-RSA-PKCS --id 01 -i data -o sig # nobody answers
id=$(waiting)
kanmon veto "$id" --as "$CUSTODIAN_DIR/sato" --passphrase-file "$CUSTODIAN_DIR/sato.passphrase" --reason 'not in the script' --yes >/dev/null 2>&1
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null

t 'ours verifies it' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
python3 "$second/second.py" "$LEDGER" "$TRUST" >out
t 'the second does, too' test $? = 0
sed 's/^/# /' out
t 'and verified each signature again by itself' grep -q ' 3 signatures verified, 0 not' out
t 'a ledger without its checkpoint is incomplete to it' exits 3 env sh -c \
	"cp -r '$LEDGER' bare && rm bare/checkpoint && python3 '$second/second.py' bare '$TRUST'"

t 'it knows cards and security keys: a note with three types of evidence, made by others' python3 "$second/evidence.py" "$second/evidence.note"

t "a console's ledger: sessions, instructions and their calls, as they must be and in every way that they must not" \
	python3 "$second/console.py" "$work" "$(command -v kanmon)"

count=80
[ -n "${KMN_TEST_LONG:-}" ] && count=3000
python3 "$second/mutate.py" "$LEDGER" "$TRUST" "$work/gw/gateway/log.key" "$count" "${KMN_TEST_SEED:-$RANDOM}" "$work" "$(command -v kanmon)" >out
t 'both say the same of a ledger that was changed, on disk or by who holds the log key' test $? = 0
sed 's/^/# /' out
t_end
