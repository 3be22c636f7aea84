#!/bin/bash
# A flood of connections that the gateway refuses, while applications sign: the ledger counts every one of them in few
# records, and the applications' calls run and are recorded as ever. KMN_TEST_LONG=1: 100,000 of them.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/mock_sandbox.sh"
. "$source_dir/tests/faults/control.sh"
floods=4
each=${KMN_TEST_LONG:+25000}
each=${each:-1000}
connections=$((floods * each))
mock_sandbox open
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/strange.key" -out "$work/strange.crt" \
	-days 1 -subj /CN=stranger >"$work/strange.log" 2>&1

records() { grep -a -h -o '"type":"[a-z.]*"' "$LEDGER"/seg/*.kl | grep -c "\"$1\""; }
# All refusals that the ledger has counted until now.
counted() { grep -a -h '"type":"channel.reject"' "$LEDGER"/seg/*.kl | sed 's/.*"count":\([0-9]*\).*/\1/' | awk '{ n += $1 } END { print n + 0 }'; }
bytes() { grep -a -h '"type":"channel.reject"' "$LEDGER"/seg/*.kl | wc -c; }
all_counted() { [ "$(counted)" -ge "$connections" ]; }

# Applications that come, sign and go, one after the other, until the flood is over.
applications() {
	until [ -e "$work/over" ]; do "$build/tests/faults/signer" 20 || return 1; done >"$work/signed"
}
signed() { grep -c '^signed' "$work/signed"; }
has_signed() { [ "$(signed)" -gt 0 ]; }
flood() {
	local n pid status=0 pids=()
	for n in $(seq "$floods"); do
		"$build/tests/faults/flood" "$port" "$each" $((n * each)) "$work/strange.crt" "$work/strange.key" >"$work/flood.$n" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
	[ $status -eq 0 ]
}
: >"$work/signed"
applications &
applications=$!
wait_until has_signed
before=$(signed) began=$(date +%s)
t "$connections connections are refused while applications sign" flood
during=$(($(signed) - before))
: >"$work/over"
t 'each of them was taken, and hung up on' [ "$(cat "$work"/flood.* | awk '{ n += $1 } END { print n + 0 }')" -eq "$connections" ]
t 'the applications come and sign meanwhile' [ $during -gt 0 ]
t 'and end well' wait "$applications"
t 'without a failure' fails grep '^failed' "$work/signed"
t 'each signature has its record' [ "$(records result)" -ge "$(signed)" ]
t 'the rest is counted at the end of its period' wait_until all_counted
t 'the ledger counts every refused connection once' [ "$(counted)" -eq "$connections" ]
# A period of 10 s tells at most 100 singly, 64 counts and one for the rest; it begins before the flood.
periods=$((($(date +%s) - began) / 10 + 2))
refusals=$(records channel.reject)
echo "# $during signatures during it; $refusals records, $(bytes) bytes, in at most $periods periods"
t 'a flood of rejected handshakes is counted in few records' [ "$refusals" -le $((periods * 165)) ]
t 'of a few hundred bytes each' [ "$(bytes)" -le $((refusals * 1024)) ]
t 'a new client is served' kanmon status
t 'the auditor finds the ledger whole' kanmon audit verify "$LEDGER" --trust "$TRUST"
t_end
