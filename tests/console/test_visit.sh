#!/bin/bash
# Somebody tries a sandbox's console: what `tools/sandbox visit` says is true, a security key is enrolled with one command, and
# stopping leaves nothing. With KMN_TEST_LONG=1 the same of `tools/demo --keep`.
. "${srcdir:-.}/tests/tap.sh"
command -v curl >/dev/null && command -v python3 >/dev/null || { echo '1..0 # SKIP there is no curl or no python3' && exit 0; }
cd "$work" || exit 99
sandbox() { "$source_dir/tools/sandbox" "$@"; }

# answers ORIGIN CERTIFICATE: it serves the page, to who trusts that certificate.
answers() {
	local origin=$1 certificate=$2
	test 200 = "$(curl -s -m 15 --cacert "$certificate" -o page -w '%{http_code}' "$origin/")" && grep -q '<title>' page
}
signs_in_by_certificate() {
	curl -s -m 15 --cacert "$CONSOLE_CA" --cert-type P12 --cert "$1:kanmon" -X POST -H "Origin: $CONSOLE" \
		-H 'Content-Type: application/json' -d '{}' "$CONSOLE/api/v1/sign-in/certificate" | jq -e '.name == "sato" and .roles == ["custodian"]'
}
# Processes that have this word on their command line; read whole before it is looked for, so that none finds itself.
processes_of() {
	local all
	all=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ')
	[[ $all == *$1* ]]
}
nothing_is_left() {
	local port=${CONSOLE##*:}
	fails processes_of "$1/gateway/kanmond.conf" && fails bash -c ": <'/dev/tcp/127.0.0.1/$port'"
}

# A security key in software: `key.py registration` writes what the page would save, `key.py sign-in` signs in with it.
cat >key.py <<'PYTHON'
import base64, hashlib, json, os, subprocess, sys
url = lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")
run = lambda *a, **k: subprocess.run(a, capture_output=True, check=True, **k).stdout
con, rp = os.environ["CONSOLE"], hashlib.sha256(b"localhost").digest()

def ask(path, body):
    return json.loads(run("curl", "-s", "-m", "15", "--cacert", os.environ["CONSOLE_CA"], "-X", "POST", "-H", "Origin: " + con,
        "-H", "Content-Type: application/json", "-d", json.dumps(body), con + "/api/v1/" + path))

if sys.argv[1] == "registration":
    run("openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key.pem")
    point = run("openssl", "pkey", "-in", "key.pem", "-pubout", "-outform", "DER")[-64:]
    data = rp + bytes([0x45]) + bytes(20) + b"\0\4abcd" + bytes.fromhex("a5010203262001215820") + point[:32] + b"\x22\x58\x20" + point[32:]
    client = '{"type":"webauthn.create","challenge":"AAAA","origin":"%s","crossOrigin":false}' % con
    json.dump({"id": "YWJjZA", "response": {"authenticatorData": url(data), "clientDataJSON": url(client.encode())}}, sys.stdout)
else:
    text = ask("sign-in/begin", {})["text"]
    challenge = hashlib.sha256(b"kanmon/webauthn/v1\n" + text.encode()).digest()
    said = ('{"type":"webauthn.get","challenge":"%s","origin":"%s","crossOrigin":false}' % (url(challenge), con)).encode()
    data = rp + bytes([5, 0, 0, 0, 1])
    sig = run("openssl", "dgst", "-sha256", "-sign", "key.pem", input=data + hashlib.sha256(said).digest())
    print(ask("sign-in", {"text": text, "assertion": {"authenticatorData": url(data), "clientDataJSON": url(said), "signature": url(sig)}}).get("name"))
PYTHON
key() { env -u LD_PRELOAD python3 key.py "$@"; }

sandbox up gw --policy quorum --console localhost >up.log 2>&1 || { sed 's/^/# /' up.log && echo 'Bail out! no sandbox' && exit 1; }
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
. "$work/gw/env"
sandbox visit gw >invitation
t 'the invitation names the console' grep -q "^The console: $CONSOLE " invitation
t 'which answers' answers "$CONSOLE" "$CONSOLE_CA"
t 'and a file that a browser imports' mode 600 "$(sed -n 's/.* import \(.*\.p12\) .*/\1/p' invitation)"
t 'its certificate signs in' signs_in_by_certificate "$(sed -n 's/.* import \(.*\.p12\) .*/\1/p' invitation)"
t 'and the trust file' grep -q '^policy-1 \|^origin ' "$(sed -n 's/.*give it //p' invitation)"

key registration >sato.registration.json
t 'before it is enrolled a security key is nobody' test None = "$(key sign-in)"
t 'a file that is no registration is not enrolled' exits 1 sandbox enrol gw sato invitation
t 'nor a key for somebody who is no custodian' exits 1 sandbox enrol gw mori sato.registration.json
t 'one command enrols it' sandbox enrol gw sato sato.registration.json
t 'and it signs in' test sato = "$(key sign-in)"
t 'by version 2 of the policy' test 2 = "$(kanmon status --json | jq .policy_version)"
sandbox down gw >/dev/null
t 'stopping leaves nothing' nothing_is_left "$work/gw"
t 'the ledger of all this verifies' exits 0 kanmon audit verify "$LEDGER" --trust "$TRUST"
sandbox up plain >/dev/null 2>&1 && at_exit "'$source_dir/tools/sandbox' down '$work/plain'"
t 'a sandbox without a console says how to have one' says 'start it with --console' sandbox visit plain

# The demo itself, which is too long for every day.
of_demo() { sed -n "s|$1|\1|p" demo.out; }
issues_one_more() {
	local demo=$1 call id name
	"$source_dir/tools/demo" --issue "$demo" >issue.out 2>&1 &
	call=$!
	for _ in $(seq 100); do id=$(sed -n 's/.*kanmon approve \([0-9]*\) .*/\1/p' issue.out) && [ -n "$id" ] && break || sleep 0.1; done
	for name in sato tanaka; do
		kanmon approve "$id" --as "$CUSTODIAN_DIR/$name" --passphrase-file "$CUSTODIAN_DIR/$name.passphrase" --yes || return
	done
	wait $call && grep -q 'leaf.crt: OK' issue.out
}
if [ -n "${KMN_TEST_LONG:-}" ]; then
	"$source_dir/tools/demo" --keep >demo.out 2>&1
	demo=$(of_demo '^  Stop: .* rm -rf \(.*\)')
	at_exit "'$source_dir/tools/sandbox' down '$demo/gw'; rm -rf '$demo'"
	. "$demo/gw/env"
	t 'the demo that is kept names its console, which answers' answers "$(of_demo '^The console: \([^ ]*\).*')" "$CONSOLE_CA"
	t 'its certificate signs in' signs_in_by_certificate "$(of_demo '.* import \(.*\.p12\) .*')"
	t 'another certificate is issued when two have approved' issues_one_more "$demo"
	t 'stopping it leaves nothing' eval "$(of_demo '^  Stop:  *\(.*\)') >/dev/null && nothing_is_left '$demo/gw' && test ! -e '$demo'"
	"$source_dir/tools/demo" >demo.out 2>&1
	t 'the plain demo ends well' grep -q 'judged with the trust file alone: AGREES' demo.out
	t 'and leaves nothing' fails processes_of /tmp/kanmon-demo.
else
	t_skip 'the demo that is kept, and the plain one' 'KMN_TEST_LONG=1 runs them'
fi
t_end
