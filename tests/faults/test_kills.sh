#!/bin/bash
# kill -9 of each of the gateway's processes while an application signs: no result is released without its record,
# nothing runs that was not decided, and a new start says what was undecided. The HSM module counts.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/mock_sandbox.sh"
. "$source_dir/tests/faults/control.sh"
MOCK_MORE=KMN_MOCK_DELAY_MS=15
mock_sandbox open
kanmond_pid=$(cat "$work/gw/kanmond.pid")
moments=${KMN_TEST_LONG:+40}
moments=${moments:-6}
all=$work/signed # every line of every signer

start_signer() {
	: >"$work/out"
	"$build/tests/faults/signer" "$1" >"$work/out" &
	signer=$!
	wait_until grep -q '^signed 3 ' "$work/out"
}
end_signer() {
	wait "$signer"
	local status=$?
	cat "$work/out" >>"$all"
	[ $status -eq 0 ] && grep -q '^done' "$work/out"
}
restart() { wait_until gone "$kanmond_pid" && start_kanmond; }
pause() { sleep "0.0$((RANDOM % 10))$((RANDOM % 10))"; }

records() { cat "$LEDGER"/seg/*.kl | grep -c -e "$1"; }
executed() { grep -c '^C_Sign .* 0x0$' "$KMN_MOCK_LOG"; }
decided() { records '"verdict":"allow".*"type":"decision"'; }

every_signature_recorded() {
	sed -n 's/^signed [0-9]* //p' "$all" | sort >"$work/released"
	cat "$LEDGER"/seg/*.kl | grep -o '"out":{"b64":"[^"]*"' | cut -d'"' -f6 | sort >"$work/recorded"
	wc -l "$work/released" "$work/recorded"
	[ -s "$work/released" ] && [ -z "$(comm -23 "$work/released" "$work/recorded")" ]
}
nothing_ran_undecided() { echo "executed $(executed), decided $(decided)" && [ "$(executed)" -le "$(decided)" ]; }
verified() { kanmon audit verify "$LEDGER" --trust "$TRUST"; }

# --- the gate: the application does not notice -----------------------------------------------------------------------
kill_gates() {
	local i
	start_signer $((moments * 12)) || return 1
	for i in $(seq "$moments"); do
		pause
		kill_role gate
		wait_until runs gate || return 1
	done
	end_signer
}
t 'the gate is killed while an application signs, and all is signed' kill_gates
t 'the application saw no failure' fails grep failed "$all"
once() { echo "executed $(executed), signed $(grep -c ^signed "$all")" && [ "$(executed)" -eq "$(grep -c ^signed "$all")" ]; }
t 'each text ran once in the HSM' once
t 'each signature has its record' every_signature_recorded

# --- the worker: its application begins anew ---------------------------------------------------------------------------
kill_workers() {
	local i
	start_signer $((moments * 6)) || return 1
	for i in $(seq "$moments"); do
		pause
		kill_role worker
		sleep 0.3
	done
	end_signer
}
t 'the worker is killed while an application signs, and all is signed' kill_workers
t 'each signature has its record after that' every_signature_recorded
t 'nothing ran without its decision' nothing_ran_undecided

# --- the keeper: once is forgiven, the second death ends the service ----------------------------------------------------
kill_keepers() {
	local i
	start_signer $((moments * 10)) || return 1
	for i in $(seq "$moments"); do
		pause
		kill_role keeper
		[ $((i % 2)) -eq 1 ] || restart || return 1
		wait_until answers
	done
	[ $((moments % 2)) -eq 0 ] || { kill_role keeper && restart; }
	end_signer
}
t 'the keeper is killed while an application signs, and all is signed' kill_keepers
t 'each signature has its record after that as well' every_signature_recorded
t 'nothing ran without its decision then' nothing_ran_undecided

# --- the supervisor: everybody ends with it ---------------------------------------------------------------------------
kill_supervisors() {
	local i pids pid
	start_signer $((moments * 5)) || return 1
	for i in $(seq $((moments / 2))); do
		pause
		pids=$(cat "/proc/$kanmond_pid/task/$kanmond_pid/children")
		kill -9 "$kanmond_pid"
		for pid in $pids; do wait_until gone "$pid" || return 1; done
		restart || return 1
	done
	end_signer
}
t 'the supervisor is killed while an application signs, and all is signed' kill_supervisors
t 'each signature has its record after all' every_signature_recorded
t 'nothing ran without its decision at all' nothing_ran_undecided

# --- a call that runs when its keeper dies ----------------------------------------------------------------------------
in_flight() { [ "$(records '"verdict":"allow".*"type":"decision"')" -gt "$(($(records '"type":"result"') + $(undecided)))" ]; }
undecided() { cat "$LEDGER"/seg/*.kl | grep '"type":"recovery"' | grep -o '"state":"unknown"' | wc -l; }
kill_in_flight() {
	local before
	before=$(undecided)
	kill "$kanmond_pid" && wait_until gone "$kanmond_pid" || return 1
	sed -i 's/KMN_MOCK_DELAY_MS=15/KMN_MOCK_DELAY_MS=700/' "$work/gw/gateway/kanmond.conf" # long enough to be met
	restart && start_signer 5 || return 1
	until in_flight; do gone "$signer" && return 1; done
	kill_role keeper
	wait_until answers
	end_signer || return 1
	echo "undecided before $before, after $(undecided)"
	[ "$(undecided)" -gt "$before" ]
}
t 'a start after a kill in the middle of a call says that it is undecided' kill_in_flight
t 'and the log says so' grep -q -E 'recovered: [1-9][0-9]* calls? undecided' "$work/gw/kanmond.log"
torn_tail() {
	local last
	kill -9 "$kanmond_pid" && wait_until gone "$kanmond_pid" || return 1
	last=$(ls "$LEDGER"/seg/*.kl | tail -n 1)
	printf '{"body":{"chan":1,"eve' >>"$last" # as a power cut leaves it
	restart || return 1
	ls -l "$LEDGER/quarantine"
	[ -n "$(ls "$LEDGER/quarantine")" ] && [ "$(records '"dropped":{.*"type":"recovery"')" -gt 0 ]
}
t 'bytes that a power cut left after the last commit are put aside and recorded' torn_tail
# Every decision has its result, or is one of the undecided.
accounted() {
	echo "decided $(decided), results $(records '"type":"result"'), undecided $(undecided)"
	[ "$(decided)" -eq $(($(records '"type":"result"') + $(undecided))) ]
}
t 'it stops in order' "$source_dir/tools/sandbox" down "$work/gw"
t 'and the keeper ended as it was told' says 'stopped (keeper: exit status 0)' tail -n 3 "$work/gw/kanmond.log"
t 'no sanitizer and no broken invariant speaks in the log' fails grep -E 'Sanitizer|runtime error|broken invariant' "$work/gw/kanmond.log"
t 'every decision has a result or is undecided' accounted
t 'the auditor finds the ledger whole' verified
t_end
