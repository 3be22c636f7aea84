#!/bin/bash
# The ledger of a real gateway is rolled back, forked and founded anew under a client that remembers it; and the proofs
# that the client keeps are those of the ledger.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/control.sh"
[ -e "$(ls /usr/lib/*/softhsm/libsofthsm2.so /usr/lib/softhsm/libsofthsm2.so 2>/dev/null | head -n 1)" ] ||
	{ echo '1..0 # SKIP SoftHSM2 is not installed' && exit 0; }
skip_under_sanitizer 'of a module that pkcs11-tool loads'
export KANMON_PACKAGES=installed
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
up() { "$source_dir/tools/sandbox" up "$work/gw"; }
t 'a gateway is set up' up
. "$work/gw/env"
kanmond_pid=$(cat "$work/gw/kanmond.pid")
printf 'what is signed' | openssl dgst -sha256 -binary >"$work/hash"

tool() { pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$(cat "$PIN_FILE")" "$@"; }
sign() { tool --sign --mechanism ECDSA --id 01 --input-file "$work/hash" --output-file "$work/signature"; }
snapshot() { stop_kanmond && rm -rf "$work/$1" && cp -a "$LEDGER" "$work/$1" && start_kanmond; }
restore() { stop_kanmond && rm -rf "$LEDGER" && cp -a "$work/$1" "$LEDGER" && start_kanmond; }
state=$work/gw/client/state/$(sed -n 's/^origin *= *"\(.*\)"/\1/p' "$KANMON_CONFIG" | tr -d '\n' | sha256sum | cut -d' ' -f1)
evidence() { grep -l -x "reason $1" "$state"/evidence-*.txt; }
kept() { sed -n 2p "$state/head"; }
forget() { rm -f "$state"/evidence-*; }

t 'a key is made' tool --keypairgen --key-type EC:secp256r1 --id 01 --label k
t 'the head that is kept is one that the log signed' grep -q -F "— $(head -n 1 "$state/head") " "$state/head"
snapshot old
size=$(kept)
t 'a restarted gateway is used on' sign
t 'and its newer head is kept before the program ends' test "$(kept)" -gt "$size"

# Rolled back.
newest=$(cat "$state/head")
t 'the ledger is restored from the snapshot, and the gateway starts' restore old
t 'the client refuses a ledger that was restored from a snapshot' fails sign
t 'as a device error, and says why' says 'CKR_DEVICE_ERROR' sign
t 'with evidence of a rollback' evidence ROLLBACK
holds_both() { grep -q -x "$(sed -n 2p <<<"$newest")" "$1" && grep -q '^block note-received ' "$1"; }
t 'which has both heads' holds_both "$(evidence ROLLBACK | head -n 1)"
t 'the head that is kept is still the newest' test "$(cat "$state/head")" = "$newest"
t 'the gateway wrote down that a client knows more' grep -q 'rolled back' "$LEDGER"/seg/*.kl
forget

# The same snapshot, continued by another client until it is larger than what the first one knows.
sed 's/^state = .*/state = "elsewhere"/' "$KANMON_CONFIG" >"$work/gw/client/other.conf"
other() { KANMON_CONFIG=$work/gw/client/other.conf sign; }
grow() { while [ "$(sed -n 2p "$work/gw/client/elsewhere"/*/head)" -le "$(kept)" ]; do other || return 1; done; }
other >/dev/null 2>&1
t 'another client, which knows nothing, goes on with the branch' grow
t 'the first one refuses the branch, although it is longer' fails sign
t 'with evidence of a fork' evidence FORK
forget

# Founded anew, under the same name.
init_again() {
	stop_kanmond && rm -rf "$LEDGER" && mv "$work/gw/gateway" "$work/gw/before" &&
		kanmon init "$work/gw/gateway" --policy "$work/gw/policy" --module "$HSM_MODULE" \
			--origin "$(sed -n 's/^origin *= *"\(.*\)"/\1/p' "$KANMON_CONFIG")" \
			--listen "$(sed -n 's/^gateway = {"\(.*\)"}/\1/p' "$KANMON_CONFIG")" &&
		cp -a "$work/gw/before/gateway.key" "$work/gw/before/gateway.crt" "$work/gw/before/kanmond.conf" "$work/gw/gateway/" &&
		chown -R --reference="$work/old" "$LEDGER" && start_kanmond
}
t 'the gateway gets a new ledger of the same name' init_again
t 'the client refuses it: its key is not the one it was given' fails sign
t 'with evidence' evidence NOTE
forget
new_key() { printf 'log-key = "%s"\n' "$(cat "$work/gw/gateway/log.vkey")"; }
sed '/^log-key/d' "$KANMON_CONFIG" >"$work/gw/client/new.conf" && new_key >>"$work/gw/client/new.conf"
with_new_key() { KANMON_CONFIG=$work/gw/client/new.conf "$@"; }
t 'given the new key it refuses still: it remembers another ledger of that name' fails with_new_key sign
t 'until somebody takes that away' mv "$state" "$work/before"
mkdir "$work/proofs"
export KANMON_RECEIPT_DIR=$work/proofs
t 'and then goes on' with_new_key sign

# What it keeps.
proof=$(ls "$work"/proofs/*/*.tlog-proof | tail -n 1)
index=$(sed -n 's/^index //p' "$proof")
the_line() { grep -h -x -F "$(sed -n 's/^extra //p' "$1" | base64 -d)" "$LEDGER"/seg/*.kl; }
t 'the proof of a signature is kept' test -s "$proof"
t 'its line is one of the ledger' the_line "$proof"
t 'it tells the signature' grep -q -F "$(base64 -w 0 <"$work/signature")" <(the_line "$proof")
t 'the intent beside it is one of the ledger' grep -q -h -x -F "$(cat "${proof%.tlog-proof}.intent")" "$LEDGER"/seg/00000000000000000000.kl
t 'and is that of the index that the line names' test "$(jq -r .i "${proof%.tlog-proof}.intent")" = "$(the_line "$proof" | jq -r .body.request.i)"
t 'the index is the one in the line' test "$(the_line "$proof" | jq -r .i)" = "$index"

# What the vendor interface says, and what the salts that are kept open.
t 'the vendor interface gives the proof of the last call and its request' with_new_key "$build/tests/faults/vendor" k "$work/vendor"
t 'the line of that proof is one of the ledger' the_line "$work/vendor"
t 'it is the result of the request that the interface names' \
	test "$(the_line "$work/vendor" | jq .body.request.i)" = "$(sed 1d "$work/vendor.request")"
t 'which is not that of the login before it' test "$(sed -n 1p "$work/vendor.request")" -lt "$(sed 1d "$work/vendor.request")"
spool=$(dirname "$proof")
printf 'what nobody else may read, 32 byt' | head -c 32 >"$work/plain"
t 'a secret key is made' with_new_key tool --keygen --key-type AES:32 --id 02 --label aes
t 'and encrypts' with_new_key tool --encrypt --mechanism AES-CBC --iv 000102030405060708090a0b0c0d0e0f --id 02 \
	--input-file "$work/plain" --output-file "$work/cipher"
opening=$(ls -t "$spool"/*.openings | head -n 1)
index=$(basename "$opening" .openings)
{ echo kanmon/openings/v1 && echo "opening $index $(cat "$opening") $(base64 -w 0 "$work/plain")"; } >"$work/openings"
audit() { kanmon audit verify "$LEDGER" --trust "$work/gw/gateway/trust" "$@"; }
t 'a plaintext that the client kept opens the commitment in the ledger' says '^V12 *ok .*(1 opened)' audit --openings "$work/openings"
sed "s|$(base64 -w 0 "$work/plain")|$(head -c 32 /dev/zero | base64 -w 0)|" "$work/openings" >"$work/wrong"
t 'and another value does not' exits 1 audit --openings "$work/wrong"
t_end
