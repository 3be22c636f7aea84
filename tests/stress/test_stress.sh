#!/bin/bash
# Threads, applications with opposite login states, forks, lives: no crash, no leak, no crossed state.
#
#   KMN_TEST_LONG=1             64 threads of 1,000 operations, 1,000 forks, ...
#   KMN_STRESS_UNDER=valgrind   each client process under valgrind's memcheck, with fewer rounds
#
# In a build with AddressSanitizer the clients look for leaks as well.
. "${srcdir:-.}/tests/tap.sh"
"$source_dir/tools/sandbox" up "$work/gw" --conf 'lease = 5 limits { instances = 128 instances-per-client = 64 handshake = 120 }' >"$work/up.log" 2>&1 ||
	{ sed 's/^/# /' "$work/up.log" && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
echo 'init-wait = 120' >>"$KANMON_CONFIG" # tools are slow, and so are 32 at once on a busy machine
unset LD_PRELOAD SOFTHSM2_CONF # a sanitizer's runtime, for clients that are built without; ours have it
under=
rounds=short
if [ "${KMN_STRESS_UNDER:-}" = valgrind ]; then
	# The keys are zeroed pages of libsodium, which valgrind sees as unused; what is only reachable is the process' own.
	rounds=least
	under='valgrind --quiet --trace-children=yes --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite,indirect --show-leak-kinds=definite,indirect'
elif [ -n "${KMN_TEST_LONG:-}" ]; then
	rounds=long
fi
leaks=$(ldd "$build/kanmon" | grep libasan)
[ -z "$leaks" ] || export ASAN_OPTIONS=detect_leaks=1
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
stress() { timeout 3000 $under "$build/tests/stress/stress" "$@"; }
# of LEAST SHORT LONG
of() {
	case $rounds in
	least) echo "$1" ;;
	short) echo "$2" ;;
	long) echo "$3" ;;
	esac
}
# Resident memory of gate and keeper in KiB, and how many workers there are, by their command lines.
of_role() {
	local pid
	for pid in $(cat "/proc/$kanmond/task/$kanmond/children"); do
		(tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -e "--role $1 ") 2>/dev/null && echo "$pid"
	done
}
memory() { for pid in $(of_role gate) $(of_role keeper); do sed -n 's/^VmRSS: *//p' "/proc/$pid/status"; done | tr -s "\t\n " " "; }
# Of the gateway's own one is there, too; applications that died are missed for the time of a lease.
workers_end() {
	local waited=0
	while [ "$(of_role worker | wc -l)" -gt 1 ]; do
		waited=$((waited + 1))
		[ $waited -lt 300 ] || { echo "$(of_role worker | wc -l) workers are left" && return 1; }
		sleep 0.1
	done
}
kanmond=$(cat "$work/gw/kanmond.pid")
timed() {
	local since=$EPOCHREALTIME
	t "$@"
	echo "# $(awk "BEGIN {printf \"%.1f\", $EPOCHREALTIME - $since}") s; gate and keeper: $(memory)"
}

t 'a key is made' stress prepare
threads=$(of 16 64 64) each=$(of 10 20 1000)
timed "$threads threads of $each operations in one application" stress threads "$threads" "$each"
applications=$(of 8 32 32) n=$(of 1 3 50)
timed "$applications applications at once, with opposite login states, $n rounds" stress states "$applications" "$n"
# What a thread of its parent had on its stack is lost to a child, which valgrind calls a leak; and the allocator of gcc 12's
# AddressSanitizer may stay locked in a child when a thread of the parent was in it. For both: without such a thread.
n=$(of 12 40 1000) at_once=$(of 0 8 8)
[ -z "$leaks" ] || at_once=0
beside=$([ "$at_once" = 0 ] || echo ", $at_once at a time, beside a thread that signs")
timed "$n forks$beside" stress forks "$n" "$at_once"
sed '$a fork = inherit' "$KANMON_CONFIG" >"$work/gw/client/inherit.conf"
inherits() { (export KANMON_CONFIG=$work/gw/client/inherit.conf && stress inherits "$@"); }
timed "$n forks$beside, that go on with what their parent opened" inherits "$n" "$at_once"
n=$(of 5 15 300)
timed "$n times loaded, initialised, finalised, unloaded" stress lives "$n"
n=$(of 3 6 100)
timed "$n times finalised while 16 threads call" stress finals "$n" 16
t 'no worker is left of any application' workers_end
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null
t 'no sanitizer and no broken invariant speaks in the log' fails grep -E 'Sanitizer|runtime error|broken invariant' "$work/gw/kanmond.log"
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
