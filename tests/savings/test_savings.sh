#!/bin/bash
# Savings cannot be seen: a trace of everything that they touch is the same on the module itself, through the gateway
# without them, and with them; on SoftHSM2, on softokn, and on a module whose token goes by itself. And they save: how many calls
# cross is counted.
. "${srcdir:-.}/tests/tap.sh"
# Ledgers and tokens are synced at every call: in memory that costs nothing.
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
	rm -rf "$work"
	work=$(mktemp -d /dev/shm/kanmon-savings.XXXXXX) && chmod 755 "$work" || exit 99
fi
trace=$build/tests/savings/trace
scenes='counts searches lengths destroyed info sessions'

# world NAME OPTION...: a sandbox of its own, in $work/NAME; its env is sourced by `play`.
world() {
	local name=$1
	shift
	mkdir -p "$work/$name"
	"$source_dir/tools/sandbox" up "$work/$name/gw" "$@" >"$work/up.log" 2>&1 ||
		{ sed 's/^/# /' "$work/up.log" && echo "Bail out! no sandbox for $name" && exit 99; }
	at_exit "'$source_dir/tools/sandbox' down '$work/$name/gw'"
}

# play WORLD HOW SCENE...: into $work/WORLD.HOW; HOW is direct, none (no savings) or all. Each call's fate goes to .calls.
play() {
	local world=$1 how=$2
	shift 2
	(
		. "$work/$world/gw/env"
		case $how in
		direct) export MODULE=$HSM_MODULE EVENTS=$work/events.direct KMN_MOCK_EVENTS=$work/events.direct INIT_ARGS=${DIRECT_ARGS:-} ;;
		none) export INIT_ARGS="savings=none" EVENTS=$work/events.gateway ;;
		all) unset INIT_ARGS && export EVENTS=$work/events.gateway ;;
		esac
		[ -n "${INIT_ARGS:-}" ] || unset INIT_ARGS
		KMN_DEBUG=call exec "$trace" "$@"
	) >"$work/$world.$how" 2>"$work/$world.$how.calls"
}

# same WORLD SCENE...: three cases.
same() {
	local world=$1
	shift
	t "$world: the module itself plays the trace" play "$world" direct "$@"
	t "$world: so does the gateway, without savings" play "$world" none "$@"
	t "$world: and with them" play "$world" all "$@"
	t "$world: without savings all lines are the module's own" diff "$work/$world.direct" "$work/$world.none"
	t "$world: with them too" diff "$work/$world.direct" "$work/$world.all"
	t "$world: some answers did not cross" grep -q 'answered here' "$work/$world.all.calls"
	t "$world: without savings every one did" exits 1 grep -q -E 'answered here|sent along' "$work/$world.none.calls"
}

world softhsm
same softhsm $scenes

softokn=$(ls /usr/lib/*/libsoftokn3.so /usr/lib/*/nss/libsoftokn3.so /usr/lib/libsoftokn3.so 2>/dev/null | head -n 1)
if [ -n "$softokn" ] && command -v certutil >/dev/null; then
	export NSS_MAX_MP_PBE_ITERATION_COUNT=10
	printf softokn-pin-4711 >"$work/pin"
	mkdir "$work/db" && certutil -N -d "sql:$work/db" -f "$work/pin"
	cp -R "$work/db" "$work/db.direct" && chmod -R a+rwX "$work/db"
	args="certPrefix='' keyPrefix='' secmod='secmod.db' flags= dbTokenDescription='softokn' cryptoTokenDescription='nss-crypto' minPWLen=0"
	TOKEN=softokn PIN=softokn-pin-4711 SO_PIN='' world softokn --module "$softokn" --init-args "configdir='sql:$work/db' $args" \
		--environment NSS_MAX_MP_PBE_ITERATION_COUNT=10
	DIRECT_ARGS="configdir='sql:$work/db.direct' $args" same softokn $scenes
else
	t_skip 'softokn: the same' 'NSS is not installed'
fi

: >"$work/events.direct" && : >"$work/events.gateway" && chmod 666 "$work"/events.*
TOKEN=mock-1 PIN=1234 SO_PIN=12345678 world mock --module "$build/tests/mock/.libs/kanmon-mock.so" \
	--environment "KMN_MOCK_EVENTS=$work/events.gateway"
same mock $scenes rests vanish

# ways HOW LOOP: how often one turn of a loop waits for the gateway. What goes along with another call makes no way of
# its own; the first turn has nothing to save from.
turns=50
ways() {
	awk -v loop="$2" -v turns=$turns '/^loop / { on = $2 == loop && $3 == "begins"; if ($2 == loop && $3 == "ends") print n / turns; next }
		on && /: call [0-9]+ of .*: 0x/ && !/sent along/ { n++ }' "$work/softhsm.$1.calls"
}
between() { awk -v least="$1" -v most="$2" -v n="$3" 'BEGIN { print n; exit !(n >= least && n <= most) }'; }
for how in none all; do
	t "loops of $turns turns ($how)" play softhsm $how loop $turns
	sed "s/^/# $how: /" "$work/softhsm.$how"
done
t 'a signature as libp11 makes it waits 3 times' between 3 3 "$(ways none libp11)"
t '  with savings 2 times, but where a second is over' between 2 2.2 "$(ways all libp11)"
t 'one as miekg/pkcs11 makes it waits 3 times' between 3 3 "$(ways none miekg)"
t '  with savings 2 times' between 2 2.2 "$(ways all miekg)"
t 'a search for 5 objects, one at a time, waits 8 times' between 8 8 "$(ways none search)"
t '  with savings 2 times' between 2 2.2 "$(ways all search)"
t_end
