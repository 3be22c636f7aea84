#!/bin/bash
# The gateway is restarted while 16 applications sign: a new gate within the lease costs them nothing but time; a new
# kanmond costs each at most the call that was under way, and they go on without being restarted: with heal=on with
# the very session and key, without it by opening a session again. The HSM module counts, the ledger is verified.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/mock_sandbox.sh"
. "$source_dir/tests/faults/control.sh"
MOCK_MORE=KMN_MOCK_DELAY_MS=5
applications=${APPLICATIONS:-16}
restarts=${KMN_TEST_LONG:+12}
restarts=${restarts:-1}
threads=1 # in each of them

# Applications number 1..n, each with its output in $work/out.N.
start_all() { # MODE COUNT
	local i
	rm -f "$work"/out.*
	pids=()
	for i in $(seq "$applications"); do
		"$build/tests/faults/steady" "$1" "$2" "$i" "$threads" >"$work/out.$i" 2>"$work/err.$i" &
		pids+=($!)
	done
	wait_until all_signed 2
}
all_signed() { [ "$(grep -l "^signed $1 " "$work"/out.* 2>/dev/null | wc -l)" -eq "$applications" ]; }
end_all() {
	local pid status=0
	for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
	cat "$work"/err.*
	[ $status -eq 0 ] && [ "$(grep -l '^done' "$work"/out.* | wc -l)" -eq "$applications" ]
}
highest() { sed -n 's/^signed \([0-9]*\) .*/\1/p' "$work"/out.* | sort -n | tail -n 1; }

# through MODE TEXTS DISTURB: all sign TEXTS texts, and are disturbed $restarts times meanwhile
through() {
	local i
	kanmond_pid=$(cat "$work/gw/kanmond.pid")
	start_all "$1" "$2" || { tail -q -n 1 "$work"/err.* "$work"/out.* && return 1; }
	for i in $(seq "$restarts"); do
		"$3" || return 1
		wait_until all_signed $((2 + i)) || return 1
		sleep "0.$((RANDOM % 5))"
	done
	end_all
}
kill_gate() { kill_role gate && wait_until runs gate; }

failures() { grep -h ^failed "$work"/out.*; }
# Each application: at most one failure per restart: its call under way, or an operation that had begun.
once_each() {
	local out
	failures | sort | uniq -c | sort -rn | head
	for out in "$work"/out.*; do
		[ "$(grep -c '^failed' "$out")" -le $((restarts * threads)) ] || { echo "$out" && return 1; }
	done
	! failures | grep -v -E ' C_Sign 0x(30|91) | C_SignInit 0x30 '
}
# Without healing: the call under way, then the session is found gone.
codes_of_section_4() {
	failures | cut -d' ' -f3,4 | sort | uniq -c
	! failures | grep -v -E ' (C_SignInit|C_Sign) 0x(30|b3) | (C_GetSlotList|C_Login|C_FindObjects) 0x(30|b3) | C_OpenSession 0x(30|e0) '
}
slowest() { cat "$work"/out.* | awk '/^signed/ && $4 > most { most = $4 } END { print "the slowest took " most " ms"; exit !(most < 30000) }'; }
once() { # what failed may have run, and nothing ran twice
	local executed signed failed
	executed=$(($(grep -c '^C_Sign .* 0x0$' "$KMN_MOCK_LOG") - before))
	signed=$(cat "$work"/out.* | grep -c ^signed)
	failed=$(failures | grep -c ' C_Sign ')
	echo "executed $executed, signed $signed, failed $failed"
	[ "$executed" -ge "$signed" ] && [ "$executed" -le $((signed + failed)) ]
}
every_signature_recorded() {
	sed -n 's/^signed [0-9]* \([^ ]*\) .*/\1/p' "$work"/out.* | sort >"$work/released"
	cat "$LEDGER"/seg/*.kl | grep -o '"out":{"b64":"[^"]*"' | cut -d'"' -f6 | sort >"$work/recorded"
	[ -s "$work/released" ] && [ -z "$(comm -23 "$work/released" "$work/recorded")" ]
}
verified() { kanmon audit verify "$LEDGER" --trust "$TRUST"; }
count() { before=$(grep -c '^C_Sign .* 0x0$' "$KMN_MOCK_LOG" 2>/dev/null || true); }

# --- over the module that counts --------------------------------------------------------------------------------------
mock_sandbox open
before=0
t "a new gate while $applications applications sign" through reopen $((restarts + 5)) kill_gate
t 'none of them sees a failure' fails failures
t 'and none waits long' slowest
t 'each text ran once' once
count
t "a new kanmond while $applications applications sign, which heal" through heal $((restarts + 5)) restart_kanmond
t 'each sees at most its call under way fail, and goes on with session and key' once_each
t 'nothing ran twice, nothing was lost without a failure' once
t 'each signature has its record' every_signature_recorded
count
t "a new kanmond while $applications applications sign, which open sessions again" \
	through reopen $((restarts + 5)) restart_kanmond
t 'they see the codes of a lost instance, and C_CloseSession succeeds' codes_of_section_4
t 'nothing ran twice then' once
t 'each signature has its record then' every_signature_recorded
t 'the auditor finds the ledger whole' verified
"$source_dir/tools/sandbox" down "$work/gw" >/dev/null

# --- over SoftHSM2: keys that must prove to be the same ----------------------------------------------------------------
softhsm() {
	rm -rf "$work/gw" && "$source_dir/tools/sandbox" up "$work/gw" --policy open >"$work/up.log" 2>&1 && . "$work/gw/env" || return 1
	unset LD_PRELOAD
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/rsa.pem" 2>/dev/null &&
		openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/ec.pem" &&
		softhsm2-util --import "$work/rsa.pem" --token "$TOKEN" --label seed --id 01 --pin "$PIN" &&
		softhsm2-util --import "$work/ec.pem" --token "$TOKEN" --label ec-seed --id 02 --pin "$PIN" || return 1
	[ "$(id -u)" != 0 ] || chown -R --reference "$work/gw/hsm" "$work/gw/hsm"
}
t 'a sandbox over SoftHSM2' softhsm
t "a new kanmond while $applications applications sign with RSA" through heal $((restarts + 5)) restart_kanmond
t 'each sees at most one failure for each restart' once_each
export KEY=ec-seed
t 'and with a key on a curve, known by its public half' through heal $((restarts + 5)) restart_kanmond
t 'each sees at most one failure for each restart there too' once_each
applications=2 threads=12
t 'and two applications of twelve threads each' through heal $((restarts + 5)) restart_kanmond
t 'each thread sees at most one failure for each restart' once_each
t 'each signature has its record there' every_signature_recorded
t 'the auditor finds that ledger whole' verified
t_end
