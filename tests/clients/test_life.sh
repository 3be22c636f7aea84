#!/bin/bash
# A request outlives its caller: one that dies while it waits, one whose answer is lost after the HSM signed.
. "${srcdir:-.}/tests/tap.sh"
export PIN=kanmon-pin-4711-xyzzy
. "${srcdir:-.}/tests/clients/policy.sh"
policy_with >"$work/policy.in" <<'EOF'
rule root-key
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
echo 'quorum-wait = 20' >>"$KANMON_CONFIG"

p11() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@"; }
sign() { p11 --sign --mechanism SHA256-RSA-PKCS --label root-ca -i "$1" -o "$2"; }
as() { echo --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes; }
approve() { kanmon approve "$1" $(as sato) && kanmon approve "$1" $(as suzuki); }
state() { kanmon request show "$1" --json | jq -r .request.state; }
becomes() { for _ in $(seq 100); do [ "$(state "$2")" = "$1" ] && return 0 || sleep 0.1; done; kanmon request show "$2" && false; }
# Starts a call that waits, in a process of its own ($caller), and finds its request ($id).
wait_alone() {
	local before
	before=$(kanmon request list --json | jq '.requests | length')
	pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" \
		--sign --mechanism SHA256-RSA-PKCS --label "$1" -i "$2" -o "$3" >caller.log 2>&1 &
	caller=$!
	for _ in $(seq 100); do [ "$(kanmon request list --json | jq '.requests | length')" -gt "$before" ] && break || sleep 0.1; done
	id=$(kanmon request list --json | jq -r '.requests[-1].id')
}
count() { kanmon audit show "$LEDGER" --type "$1" --json | wc -l; }

p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01 >/dev/null 2>&1
p11 --read-object --type pubkey --label root-ca -o pub.der >/dev/null 2>&1 && openssl pkey -pubin -inform DER -in pub.der -out pub
echo one >one && echo two >two

wait_alone root-ca one sig.dead
kill -9 "$caller" && wait "$caller" 2>/dev/null
t 'a caller that is killed leaves its request open' test open = "$(state "$id")"
approve "$id" >/dev/null
t 'the same call by another process has its result' sign one sig.one
t 'it verifies' openssl dgst -sha256 -verify pub -signature sig.one one
t 'and the request is done' becomes 'done' "$id"

wait_alone root-ca two sig.lost
kill -STOP "$caller"
approve "$id" >/dev/null
t 'a stopped caller does not keep its call from running' becomes 'done' "$id"
kill -9 "$caller" && wait "$caller" 2>/dev/null
results=$(count result) redeliveries=$(count redelivery)
t 'its answer was lost' test ! -e sig.lost
t 'the same call by another process gets it' sign two sig.two
t 'and it verifies' openssl dgst -sha256 -verify pub -signature sig.two two
t 'it is the recorded one, and the HSM signed nothing' test "$((redeliveries + 1)) $results" = "$(count redelivery) $(count result)"
wait_alone root-ca two sig.new
t 'once it is delivered, the same call asks people again' test open = "$(state "$id")"
kanmon request withdraw "$id" --reason 'tried enough' >/dev/null && wait "$caller"
t 'withdrawn, its caller is told' grep -q 'C_Sign' caller.log
t 'and it stays withdrawn' test withdrawn = "$(state "$id")"

"$source_dir/tools/sandbox" down "$work/gw" >/dev/null 2>&1
t 'each arrow is a record, and the auditor agrees' kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
