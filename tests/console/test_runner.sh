#!/bin/bash
# An operator's actions in a whole gateway: instructed over HTTPS by a signed text (a security key in software), approved by
# `kanmon approve`, done by the runner; what comes back verifies with openssl, and the ledger with the auditor's tool.
. "${srcdir:-.}/tests/tap.sh"
command -v curl >/dev/null && command -v python3 >/dev/null || { echo '1..0 # SKIP there is no curl or no python3' && exit 0; }
cd "$work" || exit 99
at_exit "'$source_dir/tools/sandbox' down '$work/gw'"
python3 - "$source_dir" "$work" >out 2>&1 <<'PYTHON'
import base64, hashlib, json, os, subprocess, sys, time
source, work = sys.argv[1:]
url = lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")
run = lambda *a, **k: subprocess.run(a, capture_output=True, check=True, **k).stdout
run("openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "mori.pem")
point = run("openssl", "pkey", "-in", "mori.pem", "-pubout", "-outform", "DER")[-64:]
rp = hashlib.sha256(b"localhost").digest()
data = rp + bytes([0x45]) + bytes(20) + b"\0\4abcd" + bytes.fromhex("a5010203262001215820") + point[:32] + b"\x22\x58\x20" + point[32:]
client = '{"type":"webauthn.create","challenge":"AAAA","origin":"https://localhost:1","crossOrigin":false}'
json.dump({"id": "YWJjZA", "response": {"authenticatorData": url(data), "clientDataJSON": url(client.encode())}}, open("reg.json", "w"))
run("kanmon", "custodian", "new", "mori", "--person", "9", "--out", "m", "--webauthn", "reg.json", "--origin", "https://localhost:1", "--rp-id", "localhost")
line = [l for l in open("m/mori.policy").read().split("\n") if l.startswith("custodian")][0]
run(source + "/tools/sandbox", "up", work + "/gw", "--policy", "quorum", "--console", "localhost", "--operator", "mori", "--token-line", line)
env = dict(l[7:].strip().split("=", 1) for l in open("gw/env") if l.startswith("export "))
con = env["CONSOLE"]

def ask(path, body=None, csrf=""):
    a = ["curl", "-s", "-m", "15", "--cacert", env["CONSOLE_CA"], "-b", "jar", "-c", "jar", con + "/api/v1/" + path]
    if body is not None:
        a += ["-X", "POST", "-H", "Origin: " + con, "-H", "Content-Type: application/json", "-d", json.dumps(body), "-H", "X-Kanmon-Csrf: " + csrf]
    return json.loads(run(*a))

def signed(text):
    challenge = hashlib.sha256(b"kanmon/webauthn/v1\n" + text.encode()).digest()
    said = ('{"type":"webauthn.get","challenge":"%s","origin":"%s","crossOrigin":false}' % (url(challenge), con)).encode()
    data = rp + bytes([5, 0, 0, 0, 1])
    sig = run("openssl", "dgst", "-sha256", "-sign", "mori.pem", input=data + hashlib.sha256(said).digest())
    return {"text": text, "assertion": {"authenticatorData": url(data), "clientDataJSON": url(said), "signature": url(sig)}}

def until(record, state, least=None):
    for _ in range(150):
        it = ask("instructions/%d" % record)
        if it["state"] == state and (least is None or least in it):
            return it
        assert it["state"] != "failed" or state == "failed", it["why"]
        time.sleep(0.1)
    raise SystemExit("no %s: %s" % (state, it))

def instruct(file, **what):
    what.update(token=env["TOKEN"], purpose="a test")
    if file:
        what.update(file_length=len(file), file_sha256=base64.b64encode(hashlib.sha256(file).digest()).decode())
    text = ask("instructions/begin", what, csrf)["text"]
    answer = ask("instructions", dict(signed(text), file=base64.b64encode(file).decode(), pin=env["PIN"]), csrf)
    return until(answer["record"], "running", "request")

def decide(it):
    vote = ask("requests/%d" % it["request"])
    assert "application action %d\n" % it["record"] in vote["statement"]
    own = ask("notes", signed(vote["statement"]), csrf)
    assert own.get("check") != "ok", own
    for who in ("sato", "suzuki"):
        one = env["CUSTODIAN_DIR"] + "/" + who
        run("kanmon", "approve", str(it["request"]), "--as", one, "--yes", "--passphrase-file", one + ".passphrase")
    return until(it["record"], "done")

csrf = ask("sign-in", signed(ask("sign-in/begin", {})["text"]))["csrf"]
made = decide(instruct(b"", what="generate", key="root-ca", id="0a0b", mechanism="CKM_RSA_PKCS_KEY_PAIR_GEN", parameters="2048"))
open("root.der", "wb").write(base64.b64decode(made["result"]))
print("made", made["form"], "tlog-proof" in made["proof"])
run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "other.pem", "-subj", "/CN=Root", "-sha256", "-days", "9", "-outform", "DER", "-out", "pre.der")
run("openssl", "asn1parse", "-inform", "DER", "-in", "pre.der", "-strparse", "4", "-noout", "-out", "tbs.der")
done = decide(instruct(open("tbs.der", "rb").read(), what="sign", key="root-ca", id="0a0b", mechanism="CKM_SHA256_RSA_PKCS"))
open("made.der", "wb").write(base64.b64decode(done["result"]))
print("signed", done["form"])
gone = decide(instruct(b"", what="destroy", key="root-ca", id="0a0b"))
print("destroyed", gone["form"])
PYTHON
[ -f gw/env ] || { cat out && exit 99; }
. "$work/gw/env"
unset LD_PRELOAD
signature_holds() { # the certificate's signature, under the key that the console said it made
	openssl x509 -inform DER -in made.der -noout && openssl pkey -pubin -inform DER -in root.der -out root.pem || return 1
	openssl asn1parse -inform DER -in made.der | awk -F: '/BIT STRING/ {at = $1} END {print at + 0}' >at
	openssl asn1parse -inform DER -in made.der -strparse "$(cat at)" -noout -out sig.der &&
		openssl dgst -sha256 -verify root.pem -signature sig.der tbs.der >/dev/null
}
t 'a key pair is made when two others approve; the operator'"'"'s own approval does not count' grep -q '^made public-key True' out
t 'a certificate is signed from its TBSCertificate' grep -q '^signed certificate' out
t 'its signature verifies with openssl, by the key that was made' signature_holds
t 'the key is destroyed' grep -q '^destroyed destroyed' out
t 'the auditor agrees' kanmon audit verify "$LEDGER" --trust "$TRUST"
t 'the PIN stands in no log' sh -c '! grep -q -e "$PIN" gw/kanmond.log'
grep -q '^destroyed' out || sed 's|^|# |' out | tail -4 | cut -c1-400
t_end
