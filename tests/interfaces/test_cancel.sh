#!/bin/bash
# C_SessionCancel overtakes a call of the same session that waits for its quorum: the call ends, the operation with it,
# and the request is withdrawn. What is not cancelled is signed when it is approved.
. "${srcdir:-.}/tests/tap.sh"
mock=$build/tests/mock/.libs/kanmon-mock.so
export TOKEN=mock-1 PIN=1234 SO_PIN=12345678
"$source_dir/tools/sandbox" up "$work/gw" --policy quorum --module "$mock" --environment KMN_MOCK_INTERFACES=3.2 \
	>"$work/up.log" 2>&1 || { sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"

# A request that is open and was not seen before: its number.
seen=' '
fresh() {
	local id n
	for n in $(seq 300); do
		for id in $(kanmon request list --json | jq -r '.requests[] | select(.state == "open") | .id'); do
			case $seen in *" $id "*) ;; *) seen="$seen$id " && echo "$id" && return 0 ;; esac
		done
		sleep 0.05
	done
	return 1
}
next() { id=$(fresh) && seen="$seen$id "; }
approve() {
	local name
	for name in sato suzuki; do
		kanmon approve "$1" --as "$CUSTODIAN_DIR/$name" --passphrase-file "$CUSTODIAN_DIR/$name.passphrase" --yes || return 1
	done
}
state() { [ "$(kanmon request show "$2" --json | jq -r .request.state)" = "$1" ] || { kanmon request show "$2" && false; }; }
# heard LINE [TIMES]: it was said so often by now, or soon.
heard() {
	local n
	for n in $(seq 200); do
		[ "$(grep -c "^$1$" "$work/said")" -ge "${2:-1}" ] && return 0
		sleep 0.05
	done
	cat "$work/said" && false
}

mkfifo "$work/words"
timeout 120 "$build/tests/interfaces/cancel" "$MODULE" "$TOKEN" <"$work/words" >"$work/said" &
client=$!
at_exit "kill $client"
exec 3>"$work/words"

t 'a key is made when two custodians have approved' next
t 'they do' approve "$id"
t 'it is there' heard 'C_GenerateKeyPair 0x0'
cancelled=0
for way in C_SignMessage C_Sign; do
	t "$way waits for its quorum" next
	waiting=$id cancelled=$((cancelled + 1))
	echo cancel >&3
	t "$way: C_SessionCancel does not wait for it" heard 'C_SessionCancel 0x0' $cancelled
	t "$way: the call that waited ends" heard "$way 0x50"
	t "$way: and the operation with it" heard "$way again 0x91"
	t "$way: the request is withdrawn" state withdrawn "$waiting"
	t "$way: another one waits" next
	t "$way: it is approved" approve "$id"
	echo go >&3
	t "$way: it is signed" heard "$way 0x0"
done
wait "$client"
t 'the client came to its end' test $? -eq 0
t 'both signatures verify' test 2 -eq "$(grep -c '^C_Verify 0x0$' "$work/said")"
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
