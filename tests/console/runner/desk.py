"""An operator at a sandbox's console: a security key in software, questions over HTTPS by curl, custodians by `kanmon approve`."""
import base64, hashlib, json, os, signal, subprocess, time

url = lambda b: base64.urlsafe_b64encode(b).decode().rstrip("=")
unb64 = base64.b64decode


def run(*a, **k):
    return subprocess.run(a, capture_output=True, check=True, **k).stdout


class Desk:
    """Brings up the sandbox `gw` in the folder that one is in, with mori as operator, and signs mori in."""

    def __init__(self, source, work, policy):
        self.work, self.rp = work, hashlib.sha256(b"localhost").digest()
        run("openssl", "genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "mori.pem")
        line = self.enrol(run("openssl", "pkey", "-in", "mori.pem", "-pubout", "-outform", "DER")[-64:])
        run(source + "/tools/sandbox", "up", work + "/gw", "--policy", policy, "--console", "localhost", "--operator", "mori", "--token-line", line)
        self.env = dict(l[7:].strip().split("=", 1) for l in open("gw/env") if l.startswith("export "))
        self.con = self.env["CONSOLE"]
        self.sign_in()

    def enrol(self, point):
        data = self.rp + bytes([0x45]) + bytes(20) + b"\0\4abcd" + bytes.fromhex("a5010203262001215820") + point[:32] + b"\x22\x58\x20" + point[32:]
        client = '{"type":"webauthn.create","challenge":"AAAA","origin":"https://localhost:1","crossOrigin":false}'
        json.dump({"id": "YWJjZA", "response": {"authenticatorData": url(data), "clientDataJSON": url(client.encode())}}, open("reg.json", "w"))
        run("kanmon", "custodian", "new", "mori", "--person", "9", "--out", "m", "--webauthn", "reg.json", "--origin", "https://localhost:1", "--rp-id", "localhost")
        return [l for l in open("m/mori.policy").read().split("\n") if l.startswith("custodian")][0]

    def ask(self, path, body=None):
        a = ["curl", "-s", "-m", "15", "--cacert", self.env["CONSOLE_CA"], "-b", "jar", "-c", "jar", self.con + "/api/v1/" + path]
        if body is not None:
            a += ["-X", "POST", "-H", "Origin: " + self.con, "-H", "Content-Type: application/json", "-d", "@-", "-H", "X-Kanmon-Csrf: " + getattr(self, "csrf", "")]
        return json.loads(subprocess.run(a, input=json.dumps(body or {}).encode(), capture_output=True, check=True).stdout)

    def sign_in(self):
        self.csrf = ""
        self.csrf = self.ask("sign-in", self.signed(self.ask("sign-in/begin", {})["text"]))["csrf"]

    def signed(self, text):
        challenge = hashlib.sha256(b"kanmon/webauthn/v1\n" + text.encode()).digest()
        said = ('{"type":"webauthn.get","challenge":"%s","origin":"%s","crossOrigin":false}' % (url(challenge), self.con)).encode()
        data = self.rp + bytes([5, 0, 0, 0, 1])
        sig = run("openssl", "dgst", "-sha256", "-sign", "mori.pem", input=data + hashlib.sha256(said).digest())
        return {"text": text, "assertion": {"authenticatorData": url(data), "clientDataJSON": url(said), "signature": url(sig)}}

    def instruct(self, file=b"", pin=None, **what):
        """The record of the instruction, or the error."""
        what.update(token=self.env["TOKEN"], purpose="a test")
        if file:
            what.update(file_length=len(file), file_sha256=base64.b64encode(hashlib.sha256(file).digest()).decode())
        begun = self.ask("instructions/begin", what)
        if "error" in begun:
            return begun["error"]
        asked = dict(self.signed(begun["text"]), file=base64.b64encode(file).decode())
        if pin != "":
            asked["pin"] = pin or self.env["PIN"]
        answer = self.ask("instructions", asked)
        return answer["record"] if "record" in answer else answer["error"]

    def until(self, record, state, least=None):
        it = {}
        for _ in range(150):
            it = self.ask("instructions/%d" % record)
            if it["state"] == state and (least is None or least in it):
                return it
            assert it["state"] not in ("failed", "lost") or state in ("failed", "lost"), it
            time.sleep(0.1)
        raise SystemExit("no %s: %s" % (state, it))

    def approve(self, request):
        for who in ("sato", "suzuki"):
            one = self.env["CUSTODIAN_DIR"] + "/" + who
            run("kanmon", "approve", str(request), "--as", one, "--yes", "--passphrase-file", one + ".passphrase")

    def state(self, request):
        return [r["state"] for r in self.ask("requests?ended=1")["requests"] if r["id"] == request][0]

    def decided(self, record):
        """It waits for its quorum; two approve; how it ended."""
        it = self.until(record, "running", "request")
        vote = self.ask("requests/%d" % it["request"])
        assert "application action " in vote["statement"], vote
        own = self.ask("notes", self.signed(vote["statement"]))
        assert own.get("check") != "ok", own
        self.approve(it["request"])
        return self.until(record, "done")

    def processes(self, role):
        """Of this very gateway, its supervisor's children with that role."""
        found = []
        children = subprocess.run(["pgrep", "-P", open("gw/kanmond.pid").read().strip()], capture_output=True).stdout
        for pid in children.decode().split():
            try:
                words = open("/proc/%s/cmdline" % pid).read().split("\0")
            except OSError:
                continue
            if role in words:
                found.append(int(pid))
        return found

    def kill(self, role):
        """kill -9, and waits until as many others are there."""
        old = self.processes(role)
        assert old, role
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        for _ in range(100):
            new = self.processes(role)
            if len(new) == len(old) and not set(new) & set(old):
                return
            time.sleep(0.1)
        raise SystemExit("no other " + role)
