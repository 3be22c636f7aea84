#!/bin/bash
# C_WaitForSlotEvent, from the application to the module and back: a wait ends with the event, whatever is restarted
# meanwhile. The module is tests/mock, whose tokens come and go as lines of a file say.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/mock_sandbox.sh"
. "$source_dir/tests/faults/control.sh"
events=$work/events
: >"$events" && chmod 644 "$events"
MOCK_MORE=KMN_MOCK_EVENTS=$events
runtime=${LD_PRELOAD:-}
mock_sandbox open
kanmond_pid=$(cat "$work/gw/kanmond.pid")

coproc APP { LD_PRELOAD=$runtime exec "$build/tests/faults/console" 2>"$work/console.err"; }
app_pid=$APP_PID
ask() { echo "$*" >&"${APP[1]}"; }
hears() { # PATTERN: the answer, within 60 s
	read -r -t 60 answer <&"${APP[0]}" || answer="nothing; $(cat "$work/console.err")"
	# shellcheck disable=SC2053
	[[ $answer == $1 ]] || { echo "$answer, not $1" && return 1; }
}
gives() { ask "${@:2}" && hears "$1"; }
happens() { echo "11 $1" >>"$events"; }

t 'an application begins' eval 'gives 0x0 init && gives 0x0 slots && gives "0x0 present" slotinfo'
t 'there is no event' gives 0x8 waitevent nonblock
wait_and() { # COMMAND... while it waits; then an event comes
	ask waitevent && sleep 0.5 && "${@:2}" && sleep 0.5 && happens "$1" && hears '0x0 ours'
}
t 'a wait ends when the token goes' wait_and out true
t 'the token is gone' gives '0x0 absent' slotinfo
t 'a wait ends when it comes back' wait_and in true
t 'the token is there' gives '0x0 present' slotinfo
t 'that was all' gives 0x8 waitevent nonblock
new_gate() { kill_role gate && wait_until runs gate; }
t 'a wait outlives the gate' wait_and out new_gate
t 'the token is gone again' gives '0x0 absent' slotinfo
new_kanmond() { restart_kanmond && sleep 3; } # until the wait has begun again there: an event before that is nobody's
t 'a wait outlives kanmond' wait_and in new_kanmond
t 'the token is there again' gives '0x0 present' slotinfo
t 'C_Finalize' gives 0x0 finalize
exec {APP[1]}>&-
t 'the application ends well' wait "$app_pid"
t 'the auditor finds the ledger whole' kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
