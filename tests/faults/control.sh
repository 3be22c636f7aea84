# Sourced after tests/tap.sh: kills and restarts the gateway of the sandbox in $work/gw. $kanmond_pid is its supervisor.

wait_until() { # COMMAND...: at most 60 s
	local waited=0
	until "$@"; do
		waited=$((waited + 1))
		[ $waited -lt 1200 ] || return 1
		sleep 0.05
	done
}
gone() { ! kill -0 "$1" 2>/dev/null; }
answers() { kanmon status >/dev/null 2>&1; }

# Process ids of a role's processes, oldest first.
of_role() {
	local pid
	for pid in $(cat "/proc/$kanmond_pid/task/$kanmond_pid/children" 2>/dev/null); do
		tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -e "--role $1 " && echo "$pid"
	done | sort -n
}
runs() { [ -n "$(of_role "$1")" ]; }
kill_role() { kill -9 "$(of_role "$1" | tail -n 1)"; }

start_kanmond() {
	(cd / && exec setsid "$build/kanmond" --config "$work/gw/gateway/kanmond.conf" </dev/null >>"$work/gw/kanmond.log" 2>&1) &
	kanmond_pid=$!
	echo "$kanmond_pid" >"$work/gw/kanmond.pid"
	wait_until answers
}
stop_kanmond() { kill "$kanmond_pid" && wait_until gone "$kanmond_pid"; }
restart_kanmond() { stop_kanmond && start_kanmond; }
