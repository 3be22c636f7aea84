#!/bin/bash
# A gateway with a TSA of the test's own (openssl ts behind HTTP): time stamps come through the courier into the ledger,
# wrong ones do not, and the auditor holds them against the root that the trust file pins.
. "${srcdir:-.}/tests/tap.sh"
. "$source_dir/tests/faults/mock_sandbox.sh"
. "$source_dir/tests/faults/control.sh"
command -v python3 >/dev/null || { echo '1..0 # SKIP no python3' && exit 0; }

# A root, and one certificate that is for time stamping alone.
make_tsa() {
	mkdir "$work/tsa" && cd "$work/tsa" || exit 99
	cat >tsa.cnf <<-END
		[req]
		distinguished_name = dn
		prompt = no
		[dn]
		CN = TSA
		[root]
		basicConstraints = critical,CA:TRUE
		keyUsage = critical,keyCertSign
		[signer]
		basicConstraints = critical,CA:FALSE
		keyUsage = critical,digitalSignature
		extendedKeyUsage = critical,timeStamping
		[tsa]
		default_tsa = one
		[one]
		dir = .
		serial = serial
		crypto_device = builtin
		signer_cert = tsa.pem
		certs = root.pem
		signer_key = tsa.key
		signer_digest = sha256
		default_policy = 1.2.3.4.1
		digests = sha256, sha512
		accuracy = secs:1
		ess_cert_id_alg = sha256
	END
	echo 01 >serial
	openssl ecparam -name prime256v1 -genkey -noout -out root.key &&
		openssl ecparam -name prime256v1 -genkey -noout -out tsa.key &&
		openssl req -config tsa.cnf -x509 -extensions root -key root.key -days 30 -subj /CN=TSA-root -out root.pem &&
		openssl req -config tsa.cnf -new -key tsa.key -out tsa.csr &&
		openssl x509 -req -in tsa.csr -CA root.pem -CAkey root.key -set_serial 2 -days 20 -extfile tsa.cnf \
			-extensions signer -out tsa.pem
}
start_tsa() {
	rm -f "$work/tsa/port"
	python3 "$source_dir/tests/faults/tsa.py" "$work/tsa" 2>"$work/tsa/log" &
	tsa_pid=$!
	wait_until test -f "$work/tsa/port"
}
make_tsa >"$work/make.log" 2>&1 || { sed 's/^/# /' "$work/make.log" && echo 'Bail out! no TSA' && exit 99; }
start_tsa
at_exit 'kill $tsa_pid'
cd "$work" || exit 99

mock_sandbox open
kanmond_pid=$(cat "$work/gw/kanmond.pid")
conf=$work/gw/gateway/kanmond.conf
t 'without a time-stamp section there is no time stamp' says 'V9 .*not asked for' kanmon audit verify "$LEDGER" --trust "$TRUST"
cp "$work/tsa/root.pem" "$work/gw/gateway/tsa-root.pem"
cat >>"$conf" <<END
time-stamp-every = 1
time-stamp "local" {
  url = "http://127.0.0.1:$(cat "$work/tsa/port")/"
  roots = "tsa-root.pem"
}
END
t 'kanmond --check shows the TSA' says 'time-stamp "local"' kanmond --config "$conf" --check
sed 's/tsa-root.pem/kanmond.conf/' "$conf" >"$work/gw/gateway/bad.conf"
t 'roots that are none stop the start' says 'not certificates in PEM' kanmond --config "$work/gw/gateway/bad.conf" --check
restart_kanmond

anchors() { cat "$LEDGER"/seg/*.kl | grep -c '"type":"anchor"'; }
more_than() { [ "$(anchors)" -gt "$1" ]; }
pinned=$(openssl x509 -in "$work/tsa/root.pem" -outform DER | openssl dgst -sha256 -binary | base64)
sed "s|^log .*|&\ntsa local $pinned\nanchor-gap 3600|" "$TRUST" >pinned.trust
audit() { kanmon audit verify "$LEDGER" --trust pinned.trust; }

t 'a token is asked for, verified and recorded' wait_until more_than 0
t 'kanmon status says when' says 'time_stamps.local.last *20' kanmon status
t 'the auditor holds it against the pinned root' says 'V9 *ok' audit
sed "s|^tsa local .|tsa local A|;t" pinned.trust | sed 's|^tsa local A[^ ]|tsa local AA|' >other.trust
t 'under another root the ledger is short of what is asked for' exits 2 kanmon audit verify "$LEDGER" --trust other.trust

touch_ledger() { pkcs11-tool --module "$MODULE" --token-label mock-1 --login --pin 1234 --list-objects >/dev/null 2>&1; }
# What OpenSSL says of a token in the ledger, by itself: the note is its data.
openssl_verifies() {
	cat "$LEDGER"/seg/*.kl | grep '"type":"anchor"' | head -n 1 >anchor.json
	jq -j .body.note anchor.json >note && jq -j .body.token anchor.json | base64 -d >token &&
		openssl ts -verify -data note -in token -token_in -CAfile "$work/tsa/root.pem" -untrusted "$work/tsa/tsa.pem"
}
t 'openssl ts verifies the recorded token over the recorded note' openssl_verifies

bad() { # MODE PATTERN
	local before
	echo "$1" >"$work/tsa/mode"
	sleep 1.2
	before=$(anchors)
	touch_ledger
	wait_until grep -q "$2" "$work/gw/kanmond.log" && [ "$(anchors)" = "$before" ]
}
t 'a replayed answer is refused' bad stale 'no time stamp of local: the token '
echo good >"$work/tsa/mode"
restart_kanmond
t 'a corrupted signature is refused' bad bent 'no time stamp of local: the token does not verify'
echo good >"$work/tsa/mode"
before=$(anchors)
kill "$tsa_pid"
wait "$tsa_pid" 2>/dev/null
restart_kanmond
trouble() { kanmon status | grep -q 'time_stamps.local.trouble *the'; }
t 'with the TSA away the gateway serves, and says so' wait_until trouble
stop_kanmond
t 'and ends' gone "$kanmond_pid"
t 'the ledger verifies' exits 0 audit

renew() {
	kanmon ledger renew "$LEDGER" --log-key "$work/gw/gateway/log.key" --tsa local --roots "$work/tsa/root.pem" \
		--ask "cd '$work/tsa' && openssl ts -reply -config tsa.cnf -queryfile /dev/stdin" "$@"
}
size() { cat "$LEDGER"/seg/*.kl | grep -c '^{'; }
t 'the newest time stamp is stamped again' says 'a time stamp over that of record' renew
t 'and the whole ledger, by another hash' says 'by SHA-512 over all records and blobs' renew --rehash
t 'the auditor verifies both' exits 0 audit
before=$(size)
t 'an answer that is none is refused' exits 1 renew --ask 'echo no'
t 'and so is one to another question' exits 1 renew --ask "cat '$work/token'"
t 'and nothing is written then' test "$(size)" = "$before"
start_kanmond
t 'a renewed ledger is gone on with' answers
t 'without a recovery' test "$(cat "$LEDGER"/seg/*.kl | grep -c '"type":"recovery"')" = 0
t 'a ledger is not renewed while its gateway runs' exits 1 renew
stop_kanmond
t 'and it verifies' exits 0 audit
t_end
