#!/bin/bash
# Three years of one gateway, each with a ledger, a key and an origin of its own; verified across, and with years removed,
# swapped and repeated.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/mock_sandbox.sh"
. "$source_dir/tests/faults/control.sh"
mock_sandbox open
kanmond_pid=$(cat "$work/gw/kanmond.pid")
cd "$work" || exit 99
gw=$work/gw/gateway
conf=$gw/kanmond.conf

act() { pkcs11-tool --module "$MODULE" --token-label mock-1 --login --pin 1234 --list-objects >/dev/null 2>&1; }
audit() { kanmon audit verify "$@" --trust "$TRUST"; }
# The same people sign the same rules for the next year's ledger.
new_policy() { # ORIGIN FILE
	local name
	grep -v '^— ' "$work/gw/policy" | sed -e '$d' -e "s|^origin .*|origin $1|" >"$2"
	for name in sato suzuki; do
		kanmon policy sign "$2" --key "$CUSTODIAN_DIR/$name.key" --yes \
			--passphrase-file "$CUSTODIAN_DIR/$name.passphrase" >/dev/null || return 1
	done
}
succeed() { # FROM-LEDGER FROM-KEY TO-LEDGER TO-KEY POLICY
	kanmon ledger succeed "$1" "$3" --log-key "$2" --new-log-key "$4" --policy "$5"
}
# The gateway goes over to that ledger.
move_gateway() { # LEDGER KEY ORIGIN
	sed -i -e "s|^ledger = .*|ledger = \"$1\"|" -e "s|^log-key = .*|log-key = \"$2\"|" -e "s|^origin = .*|origin = \"$3\"|" "$conf"
	[ "$(id -u)" != 0 ] || chown --reference "$gw/log.key" "$gw/$2"
}
# And its client with it.
move_to() {
	local vkey
	move_gateway "$@"
	vkey=$(cat "$gw/$1"/seg/*.kl | sed -n 2p | jq -r .body.vkey)
	sed -i -e "s|^origin = .*|origin = \"$3\"|" -e "s|^log-key = .*|log-key = \"$vkey\"|" "$KANMON_CONFIG"
}
state() { printf %s "$(sed -n 's/^origin *= *"\(.*\)"/\1/p' "$KANMON_CONFIG")" | sha256sum | cut -d' ' -f1; }
kept() { echo "$work/gw/client/state/$(state)/head"; }

new_policy next/2027 2027.note
new_policy next/2028 2028.note
stop_kanmond
cp -a "$gw/ledger" "$gw/rolled"
start_kanmond
act
t 'a ledger is not closed while its gateway runs' exits 1 succeed "$gw/ledger" "$gw/log.key" "$gw/l2027" "$gw/k2027" 2027.note
stop_kanmond
cp -a "$gw/ledger" open-ledger
t 'an unsigned policy begins no ledger' exits 1 succeed "$gw/ledger" "$gw/log.key" "$gw/l2027" "$gw/k2027" <(sed '/^— /,$d' 2027.note)
t 'nor does one with the old origin' exits 1 succeed "$gw/ledger" "$gw/log.key" "$gw/l2027" "$gw/k2027" "$work/gw/policy"
t 'nor the old key' exits 1 succeed "$gw/ledger" "$gw/log.key" "$gw/l2027" "$gw/log.key" 2027.note
t 'nothing was written by any of these' diff -r "$gw/ledger/seg" open-ledger/seg
t 'a stopped ledger is closed, and its successor begun' succeed "$gw/ledger" "$gw/log.key" "$gw/l2027" "$gw/k2027" 2027.note
rm -rf "$gw/l2027"
t 'a run that was cut off in between is finished by the same command' succeed "$gw/ledger" "$gw/log.key" "$gw/l2027" "$gw/k2027" 2027.note
t 'another successor is refused' exits 1 succeed "$gw/ledger" "$gw/log.key" "$gw/l2029" "$gw/k2027" 2028.note
refuses() {
	timeout 20 kanmond --config "$conf" >refused.log 2>&1
	grep 'this ledger was closed' refused.log || { cat refused.log && false; }
}
t 'a gateway does not go on with a closed ledger' refuses

# A client that still has the configuration of the year before.
told() { KMN_DEBUG=channel act_loud 2>&1 | grep 'the gateway refuses: the ledger .* was closed and next/2027 succeeds it: '; }
act_loud() { pkcs11-tool --module "$MODULE" --token-label mock-1 --list-objects; }
no_evidence() { [ -z "$(ls "$work"/gw/client/state/*/evidence-* 2>/dev/null)" ]; }
said_beyond() { grep 'ROLLBACK OR FORK.*holds a head of the ledger before this one that is not of it' "$work/gw/kanmond.log"; }
head=$(kept)
move_gateway l2027 k2027 next/2027
start_kanmond
t 'a client that knows the ledger before is told that it was succeeded, and what to do' told
t 'and leaves no evidence of a fraud that is none' no_evidence
t 'nor does the gateway say that it was rolled back' fails said_beyond
stop_kanmond
t 'the head that it kept is proven to be of the ledger before' exits 0 audit "$gw/ledger" "$gw/l2027" --head "$head"
t 'and a client that came with it is counted' says '1 clients came with a head of the ledger before' audit "$gw/ledger" "$gw/l2027"
# The same by a gateway whose first year was put back to what it was before the client came, and then closed.
succeed "$gw/rolled" "$gw/log.key" "$gw/r2027" "$gw/k-rolled" 2027.note >/dev/null
move_gateway r2027 k-rolled next/2027
start_kanmond
t 'a client that knows more than the ledger before had when it was closed is refused' told
stop_kanmond
t 'and the gateway says so loudly' said_beyond
t 'it is recorded' grep -q 'holds a head of the ledger before this one that is not of it' "$gw"/r2027/seg/*.kl
t 'a ledger that was rolled back before it was succeeded is a split view' says 'SPLIT VIEW' audit "$gw/rolled" "$gw/r2027"
t 'and does not have the head that the client kept' exits 1 audit "$gw/rolled" "$gw/r2027" --head "$head"

move_to l2027 k2027 next/2027
start_kanmond
if under_sanitizer; then
	act
	t_skip 'it goes on with the successor' 'under a sanitizer pkcs11-tool fails by itself'
else
	t 'it goes on with the successor' act
fi
stop_kanmond
succeed "$gw/l2027" "$gw/k2027" "$gw/l2028" "$gw/k2028" 2028.note >/dev/null
move_to l2028 k2028 next/2028
start_kanmond
act
stop_kanmond
all=("$gw/ledger" "$gw/l2027" "$gw/l2028")

t 'an archive of three years verifies by the trust file of the first' exits 0 audit "${all[@]}"
t 'its first year verifies alone' exits 0 audit "${all[0]}"
t 'a year that is left out is found' exits 1 audit "${all[0]}" "${all[2]}"
t 'swapped years are found' exits 1 audit "${all[0]}" "${all[2]}" "${all[1]}"
t 'a repeated year is found' exits 1 audit "${all[0]}" "${all[1]}" "${all[1]}"
t 'a later year cannot stand for the first' exits 1 audit "${all[1]}" "${all[2]}"
t 'a ledger that was never closed has no successor' exits 3 audit open-ledger "${all[1]}"
# The first year, closed once more: what only the owner of its key can do.
cp "$gw/k2027" forged.key
t 'the first year is closed a second time, by who has its key' succeed open-ledger "$gw/log.key" forged-next forged.key 2027.note
t 'and does not fit the second' exits 1 audit open-ledger "${all[1]}" "${all[2]}"
# Openings of commitments are their holders' files: a ledger neither has nor needs them.
mkdir "$gw/l2028/openings" && echo salt >"$gw/l2028/openings/1"
t 'openings kept beside a ledger are no part of it' exits 0 audit "${all[@]}"
rm -rf "$gw/l2028/openings"
t 'and erasing them changes nothing' exits 0 audit "${all[@]}"
t_end
