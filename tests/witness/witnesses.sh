# Witnesses for test scripts; sourced after tests/tap.sh.

# A port of 127.0.0.1 that nobody listens on now.
free_port() {
	local port
	while :; do
		port=$((32000 + ($(od -An -N2 -tu2 /dev/urandom) % 8000)))
		(: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

# witness_new NAME: its folder is $work/NAME, its vkey in $vkey, its port in $port_NAME
witness_new() {
	vkey=$(kanmon witness new "witness.example/$1" --out "$work/$1") || return 1
	printf -v "port_$1" %s "$(free_port)"
}

# witness_up NAME LOG: process id in $pid_NAME
witness_up() {
	local port=port_$1 waited=0
	kanmon witness serve "$work/$1" --listen "127.0.0.1:${!port}" --log "$2" >"$work/$1.out" 2>>"$work/$1.err" &
	printf -v "pid_$1" %s $!
	at_exit "kill $!"
	until grep -q serves "$work/$1.out" 2>/dev/null; do
		sleep 0.1
		waited=$((waited + 1))
		[ $waited -lt 100 ] || return 1
	done
}
witness_down() {
	local pid=pid_$1
	kill "${!pid}" && { wait "${!pid}" || true; }
}

# until_says SECONDS PATTERN command...
until_says() {
	local end=$((SECONDS + $1)) pattern=$2 out
	shift 2
	while [ $SECONDS -lt $end ]; do
		out=$("$@" 2>&1)
		! grep -q -e "$pattern" <<<"$out" || return 0
		sleep 0.2
	done
	printf 'no line fits %s in:\n%s\n' "$pattern" "$out"
	return 1
}

# post PORT FILE: the answer's status line, headers and body
post() {
	exec 9<>"/dev/tcp/127.0.0.1/$1" || return 1
	{ printf 'POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: %s\r\n\r\n' "$(wc -c <"$2")" && cat "$2"; } >&9
	cat <&9
	exec 9>&-
}
