#!/bin/bash
# kanmon audit over the ledger of a real gateway under 2 of 3: whole, after kill -9, and changed in every kind of way.
. "${srcdir:-.}/tests/tap.sh"
export PIN=4711-kanmon
"$source_dir/tools/sandbox" up "$work/gw" --policy quorum >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
# A sanitizer's runtime is for the client that loads the module; some of the system's own programs fail under it.
runtime=${LD_PRELOAD:-}
unset LD_PRELOAD
cd "$work" || exit 99
echo 'quorum-wait = 1' >>"$KANMON_CONFIG"

p11() { LD_PRELOAD=$runtime pkcs11-tool --module "$MODULE" --token-label "$TOKEN" --login --pin "$PIN" "$@" >"$work/p11.log" 2>&1; }
sign() { p11 --sign --mechanism SHA256-RSA-PKCS --id 01 -i "$1" -o sig; }
waiting() { kanmon request list --json | jq -r '[.requests[] | select(.state == "open")][-1].id'; }
approve() { kanmon approve "$2" --as "$CUSTODIAN_DIR/$1" --passphrase-file "$CUSTODIAN_DIR/$1.passphrase" --yes >/dev/null 2>&1; }
audit() { kanmon audit verify "${1:-$LEDGER}" --trust "$TRUST" "${@:2}"; }
says() {
	local want=$1
	shift
	"$@" >out 2>&1
	grep -q -- "$want" out || { cat out && false; }
}

key() { p11 --keypairgen --key-type rsa:2048 --label root-ca --id 01; }
key
id=$(waiting)
approve sato "$id" && approve suzuki "$id" && key
echo 'pay 1 yen' >bill
sign bill
id=$(waiting)
approve sato "$id" && approve tanaka "$id" && sign bill
t 'a ledger verifies while its gateway runs' exits 0 audit
t 'the statements were made again and the signature verified' says 'V7  *ok .* (1 verified' audit

# kill -9 of the keeper while it writes; the supervisor starts the set once more.
sign bill
keeper=$(pgrep -P "$(cat "$work/gw/kanmond.pid")" -f 'role keeper' | head -n 1)
(for n in 1 2 3 4 5 6; do sign bill; done) &
clients=$!
sleep 0.4
t 'a ledger verifies while it is written' exits 0 audit
kill -9 "$keeper"
wait $clients
back() { for n in $(seq 50); do kanmon status >/dev/null 2>&1 && return; sleep 0.2; done; false; }
t 'after kill -9 of the keeper the gateway is back' back
t 'and the ledger verifies' exits 0 audit
t 'a recovery says what was undecided' says '"last_commit":.*"type":"recovery"' kanmon audit show "$LEDGER" --type recovery --json
cp "$LEDGER/checkpoint" early.note
sign bill
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'a stopped ledger verifies' exits 0 audit
t 'and contains the checkpoint of before' exits 0 audit "$LEDGER" --head early.note
t 'as JSON' test 0 = "$(audit "$LEDGER" --json | jq .exit)"
t 'without a trust file nothing is proven' exits 3 kanmon audit verify "$LEDGER"
t 'nor without a ledger' exits 3 audit "$work/nowhere"

t 'show has a line for each record' test "$(kanmon audit show "$LEDGER" | grep -c '^20')" = "$(cat "$LEDGER"/seg/*.kl | grep -c '^{')"
kanmon audit show "$LEDGER" --raw >shown
cat "$LEDGER"/seg/*.kl | grep '^{' >lines
t 'show --raw writes the lines of the ledger' cmp shown lines
t 'show --request tells one story' says 'approval .* sato .*-> ok' kanmon audit show "$LEDGER" --request "$id"
t 'and names key and outcome' test 'root-ca sig-verified CKR_OK' = \
	"$(kanmon audit show "$LEDGER" --request "$id" --type result --json | jq -r '"\(.key) \(.detail) \(.outcome)"')"
columns='time,i,type,request,client,custodians,key,key_id,key_spki,token,function,mechanism,rule,detail,outcome,reason'
t 'as CSV it begins with the names of the columns' test "$columns" = "$(kanmon audit show "$LEDGER" --csv | head -n 1 | tr -d '\r')"
t 'no line for people is wider than 80 columns' test 80 -ge "$(kanmon audit show "$LEDGER" | wc -L)"
spki=$(kanmon audit show "$LEDGER" --type result --key root-ca --json | jq -r .key_spki | head -n 1)
filter() { kanmon audit show "$LEDGER" --type result --function C_Sign --json "$@" | jq -r .i | tr '\n' ' '; }
t 'a key is found by label, id and hash of its public key' test "$(filter --key root-ca)" = "$(filter --key 01)" -a \
	"$(filter --key root-ca)" = "$(filter --key "$spki")" -a \
	"$(filter --key 01)" = "$(filter --key "$(printf %s "$spki" | base64 -d | od -An -v -tx1 | tr -d ' \n')")" -a -n "$(filter --key 01)"
t 'another key, client, function or custodian finds nothing' test -z "$(filter --key other)$(filter --client other)$(
	filter --function C_Decrypt)$(filter --custodian sat)"
t 'a custodian is found by what their votes led to' test "$(filter --custodian tanaka)" = "$(filter --custodian sato)" -a \
	-n "$(filter --custodian tanaka)"
t 'what is before since and after until is left out' test -z "$(filter --since 2100)$(filter --until 2001-01)"
t 'and what is between is shown' test "$(filter)" = "$(filter --since 2001 --until 2099-12-31T23:59:59Z)"
t 'a time that is none is refused' exits 3 kanmon audit show "$LEDGER" --since yesterday
t 'a type that is none is refused' exits 3 kanmon audit show "$LEDGER" --type approvals

result=$(kanmon audit show "$LEDGER" --type result --json | jq -r .i | tail -n 1)
kanmon audit prove "$LEDGER" "$result" >proof
t 'a proof holds the line, the path and the checkpoint' test \
	"$(sed -n 's/^extra //p' proof | base64 -d | jq -r .type) $(head -n 1 proof)" = 'result c2sp.org/tlog-proof@v1'
t 'or the same as JSON' test "$result" = "$(kanmon audit prove "$LEDGER" "$result" --json | jq '.line | fromjson | .i')"
t 'what is not there is not proven' exits 3 kanmon audit prove "$LEDGER" 999999

t 'a wrong body in any record is a finding or nothing, never the end of the auditor' \
	"$build/tests/unit/ledger/bend_records" "$LEDGER"

# Copies of the ledger, each changed in one place.
copy() { rm -rf bent && cp -r "$LEDGER" bent; }
seg=seg/00000000000000000000.kl
size=$(stat -c %s "$LEDGER/$seg")
flip() { # FILE OFFSET
	local byte
	byte=$(od -An -j "$2" -N1 -tu1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059
	printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
found() { # PLACE: exit 1, and a finding or FATAL line that names the place
	audit bent >out 2>&1
	[ $? -eq 1 ] && grep -Eq "^(finding|FATAL) .*$1" out || { cat out && false; }
}
everywhere() {
	local at step=$((size / 40))
	for ((at = 3; at < size; at += step)); do
		copy
		flip "bent/$seg" $at
		found "$seg line [0-9]+" || return
	done
}
t 'a byte changed anywhere in a segment is found and its line named' everywhere
blobs() {
	local blob
	for blob in "$LEDGER"/blobs/*; do
		copy
		flip "bent/blobs/${blob##*/}" 1
		found "blobs/${blob##*/}" || return
	done
}
t 'a changed blob is found' blobs
copy && flip bent/checkpoint 30
t 'a changed checkpoint is found' found checkpoint
copy && flip bent/state/head 40
t 'a changed derived file is found' found state/head
copy && printf 'more' >>"bent/$seg"
t 'bytes after the last commit are an unrecovered tail' found "$seg.*unrecovered tail"
copy && sed -i "5,\$d" "bent/$seg"
t 'a cut ledger is less than its checkpoint says' found 'checkpoint|unrecovered tail'
rm -r bent/checkpoint bent/state
last=$(grep -bn '^#commit' "$LEDGER/$seg" | sed -n 3p | cut -d: -f1)
copy && sed -i "$((last + 1)),\$d" "bent/$seg" && rm -r bent/checkpoint bent/state
t 'cut at a commit, without any signed head, nobody can say: incomplete' exits 3 audit bent
t 'with the head of before it is known to be cut' exits 1 audit bent --head early.note
copy && rm "bent/$seg"
t 'without segments there is nothing to verify' exits 3 audit bent
copy && sed -i '4{h;d};5{G}' "bent/$seg"
t 'swapped lines are found' found "$seg line"
sed 's/^policy-sha256 0/policy-sha256 1/;t;s/^policy-sha256 ./policy-sha256 0/' "$TRUST" >other.trust
t 'another policy than the pinned one is a finding' exits 1 kanmon audit verify "$LEDGER" --trust other.trust
# a witness' key of type 0x04: that of the log will do
sed -n 's/^log [^+]*+[^+]*+//p' "$TRUST" | base64 -d | tail -c 32 >witness.pub
{ printf '\004' && cat witness.pub; } >witness.key
id=$({ printf 'w\n' && cat witness.key; } | sha256sum | cut -c 1-8)
sed "s|^quorum none|witness w w+$id+$(base64 -w 0 witness.key)\nquorum w|" "$TRUST" >witnessed.trust
t 'a trust file that asks for witnesses: verified, but short' exits 2 kanmon audit verify "$LEDGER" --trust witnessed.trust
t_end
