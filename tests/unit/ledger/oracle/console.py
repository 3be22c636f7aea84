#!/usr/bin/env python3
"""A console's ledger, and what somebody with the log key makes of it: sign-ins, instructions, and the call that one leads to.

    console.py WORK KANMON
Each is made from nothing, judged by second.py and by `kanmon audit verify`; both must find it, and find nothing in the right one.
Keys are Ed25519, of seeds that are hashes of names; persons sign as security keys at a page, and one by a key file.
"""
import base64
import os
import subprocess
import sys

import second
from mutate import rebuild, sign
from second import H, b64

T, ORIGIN = 1790000000000, "kanmon.example/desk/2026"
PAGES = {"web": ("https://console.example", "console.example"), "desk": ("https://desk.example", "desk.example")}
HASH = b64(H(b"file"))


def seed(name):
    return H(b"console " + name.encode())


def vkey(name, kind):
    pub = sign(seed(name), b"")[0]
    typed = b"\xff" + kind.encode() + b"\0" + bytes.fromhex("302a300506032b6570032100") + pub if kind else b"\1" + pub
    keyid = H(name.encode() + b"\n" + typed)[:4]
    return "%s+%s+%s" % (name, keyid.hex(), b64(typed)), keyid


KINDS = {"mori": "kanmon/webauthn-eddsa/v1", "sato": "kanmon/webauthn-eddsa/v1", "tanaka": ""}
CLIENT = {name: b64(H(b"client " + name.encode())) for name in ("console", "batch")}
POLICY = """kanmon/policy/v1
origin %s
version 1
previous none
not-before 2026-01-01T00:00:00Z
expires 2027-01-01T00:00:00Z
custodian mori person:1 %s
custodian sato person:2 %s
custodian tanaka person:3 %s
webauthn web origin https://console.example rp-id console.example
webauthn desk origin https://desk.example rp-id desk.example
client console spki:%s tokens root operators mori tanaka
client batch spki:%s tokens other
token root
token other
group keepers 1 sato
role policy 1 tanaka
rule guarded
  client console
  calls key-use
  mechanisms any
  need keepers
""" % (ORIGIN, vkey("mori", KINDS["mori"])[0], vkey("sato", KINDS["sato"])[0], vkey("tanaka", "")[0], CLIENT["console"], CLIENT["batch"])


def signed(text, *names, page="web"):
    """The text as a note: by a key file, or by a security key at a page."""
    out = text + "\n"
    for name in names:
        made = sign(seed(name), text.encode())[1]
        if KINDS[name]:
            origin, rp = PAGES[page]
            challenge = base64.urlsafe_b64encode(H(b"kanmon/webauthn/v1\n" + text.encode())).decode().rstrip("=")
            client = ('{"type":"webauthn.get","challenge":"%s","origin":"%s","crossOrigin":false}' % (challenge, origin)).encode()
            data = H(rp.encode()) + bytes([5, 0, 0, 0, 1])
            parts = [data, client, sign(seed(name), data + H(client))[1]]
            made = b"".join(len(p).to_bytes(2, "big") + p for p in parts)
        out += "\u2014 %s %s\n" % (name, b64(vkey(name, KINDS[name])[1] + made))
    return out


def when(ms):
    return subprocess.run(["date", "-u", "-d", "@%d" % (ms // 1000), "+%Y-%m-%dT%H:%M:%SZ"], capture_output=True, text=True).stdout.strip()


class Made:
    def __init__(self):
        self.bodies, self.t = [], T
        vk = vkey(ORIGIN, "")[0]
        self.put("genesis", {"origin": ORIGIN, "suite": "K1", "vkey": vk, "policy": signed(POLICY, "tanaka"), "hsm": {}, "limits": {}})
        self.put("gateway.start", {"build": "", "boot_id": "b", "config_sha256": HASH, "guards": []})

    def put(self, kind, body, after=1000):
        i = len(self.bodies)
        self.t += after
        self.bodies.append((kind, self.t, self.t - T + 1000, b64(H(b"nonce %d" % i)[:16]), body))
        return i

    def action(self, what, name, text=None, by=None, page="web", session=None, **more):
        auth = {} if text is None else {"auth": {"note": signed(text, *(by or [name]), page=page)}}
        i = len(self.bodies)
        return self.put("action", dict({"ui_sess": i if session is None else session, "actor": {"name": name}, "what": what}, **auth, **more))

    def sign_in(self, name, page="https://console.example", at="web", nonce=b"sign in", late=0, **more):
        text = "kanmon/sign-in/v1\norigin %s\npage %s\nnonce %s\ntime %s\n" % (ORIGIN, page, b64(H(nonce + name.encode())), when(self.t + late))
        return self.action("sign-in", name, text, page=at, **more)

    def instruct(self, name, session, nonce=b"instruct", drop=(), by=None, **said):
        lines = dict({"origin": ORIGIN, "client": "console", "what": "sign", "token": "root", "key-label": "k", "mechanism": "CKM_ECDSA_SHA256",
            "parameters": None, "file-sha256": HASH, "purpose": "none", "nonce": b64(H(nonce)), "time": when(self.t)}, **{k.replace("_", "-"): v for k, v in said.items()})
        text = "kanmon/instruction/v1\n" + "".join("%s %s\n" % (k, v) for k, v in lines.items() if k not in drop and v is not None)
        return self.action("instruct", name, text, by=by, session=session)

    def open(self, name="console"):
        i = len(self.bodies)
        return self.put("channel.open", {"chan": i, "instance": "", "peer": {"name": name, "role": "client", "spki_sha256": CLIENT[name]}, "tls": {},
            "provider": {}, "mode": "off", "client_head": "none"})

    def intent(self, chan, action, after=1000, requester="console", **more):
        body = {"chan": chan, "sess": 1, "seq": len(self.bodies), "op": "C_Sign", "mech": {"name": "CKM_ECDSA_SHA256"},
            "key": {"class": "private-key", "label": "k", "token": "root"}, "in": {"sha256": HASH, "len": 4},
            "norm": {"scheme": "ecdsa", "hash": "sha256", "digest": HASH}, "req_sha256": b64(H(b"q")), "nonce_req": b64(H(b"n")),
            "requester": {"name": requester, "spki_sha256": CLIENT[requester]}, "application": {"id": "action %d" % action}}
        body.update(more)
        self.t += after
        return self.put("intent", dict(body, expires=self.t + 3600000), 0)


def story(sign_in={}, instruct={}, intent={}, between=None, who="mori"):
    """A sign-in, an instruction, its call; `between` is put between the last two."""
    m = Made()
    session = m.sign_in(who, **sign_in)
    action = m.instruct(who, session, **instruct)
    chan = m.open()
    if between:
        action = between(m, session, action, chan) or action
    m.intent(chan, action, **intent)
    m.action("sign-out", who, session=session, reason="asked")
    return m.bodies


def out_then_instruct(m, session, action, chan):
    m.action("sign-out", "mori", session=session, reason="asked")
    return m.instruct("mori", session, nonce=b"again")


def twice(m, session, action, chan):
    m.intent(chan, action)


def other_session(m, session, action, chan):
    return m.instruct("mori", m.sign_in("tanaka"), nonce=b"again")


def made(parameters, public, **said):
    """An instruction to make a key pair of these parameters, and a call that makes it by that template."""
    mechanism = "CKM_RSA_PKCS_KEY_PAIR_GEN" if parameters.isdigit() else "CKM_EC_KEY_PAIR_GEN"
    halves = {"pPublicKeyTemplate": {"CKA_LABEL": "k", **public}, "pPrivateKeyTemplate": {"CKA_LABEL": "k", "CKA_SIGN": True}}
    return {"instruct": {"what": "generate", "mechanism": mechanism, "parameters": parameters, "drop": ("file-sha256",), **said},
        "intent": {"op": "C_GenerateKeyPair", "mech": {"name": mechanism}, "key": {"token": "root"}, "template": halves}}


P256, P384 = {"b64": "BggqhkjOPQMBBw=="}, {"b64": "BgUrgQQAIg=="}
RIGHT = {
    "a key of the size that is wanted": made("2048", {"CKA_MODULUS_BITS": 2048}),
    "a key on the curve that is wanted": made("P-256", {"CKA_EC_PARAMS": P256}),
    "a security key at its page": {},
    "a key file": {"who": "tanaka"},
    "the other page": {"sign_in": {"page": "https://desk.example", "at": "desk"}},
    "an instruction that names no mechanism": {"instruct": {"what": "destroy", "drop": ("mechanism", "file-sha256")}, "intent": {"op": "C_DestroyObject"}},
}
WRONG = {
    "signed at another page than the one it names": {"sign_in": {"page": "https://desk.example"}},
    "a page that is no place of the policy": {"sign_in": {"page": "https://evil.example"}},
    "signed too long ago": {"sign_in": {"late": -400000}},
    "signed ahead": {"sign_in": {"late": 60000}},
    "signed by another person": {"sign_in": {"by": ["sato"]}},
    "signed by two": {"sign_in": {"by": ["mori", "sato"]}},
    "a session by another number": {"sign_in": {"session": 1}},
    "an instruction of who operates no such client": {"who": "sato"},
    "an instruction that another operator signed": {"instruct": {"by": ["tanaka"]}},
    "an instruction of another ledger": {"instruct": {"origin": "kanmon.example/other"}},
    "an instruction that was signed once before": {"between": lambda m, s, a, c: m.instruct("mori", s)},
    "a nonce of another text": {"instruct": {"nonce": b"sign inmori"}},
    "a token that its client does not see": {"instruct": {"token": "other"}},
    "no key": {"instruct": {"drop": ("key-label",)}},
    "a signature over no file": {"instruct": {"drop": ("file-sha256",)}},
    "an instruction after the sign-out": {"between": out_then_instruct},
    "an instruction in another's session": {"between": other_session},
    "a call of another file": {"intent": {"in": {"sha256": b64(H(b"other")), "len": 5}}},
    "a call of another key": {"intent": {"key": {"class": "private-key", "label": "x", "token": "root"}}},
    "a call by another mechanism": {"intent": {"mech": {"name": "CKM_ECDSA_SHA384"}}},
    "another function": {"intent": {"op": "C_Decrypt"}},
    "a call on another token": {"intent": {"key": {"class": "private-key", "label": "k", "token": "other"}}},
    "a call for no instruction": {"intent": {"application": {"id": "action 2"}}},
    "a key of another size": made("3072", {"CKA_MODULUS_BITS": 2048}),
    "a key on another curve": made("P-256", {"CKA_EC_PARAMS": P384}),
    "a key of no size": made("2048", {}),
    "a key of a size and a curve": made("2048", {"CKA_MODULUS_BITS": 2048, "CKA_EC_PARAMS": P256}),
    "a size that nobody knows": made("512", {"CKA_MODULUS_BITS": 512}),
    "a size of a signature": {"instruct": {"parameters": "2048"}},
    "a second call for one instruction": {"between": twice},
    "a call a day later": {"intent": {"after": 25 * 3600000}},
}


def judge(folder, trust, kanmon, bodies):
    os.makedirs(folder + "/seg", exist_ok=True)
    os.makedirs(folder + "/blobs", exist_ok=True)
    rebuild(folder, bodies, seed(ORIGIN))
    path = folder + ".trust"
    open(path, "w").write(trust)
    mine = second.Ledger(folder, trust, None, None)
    code = mine.run()
    theirs = subprocess.run([kanmon, "audit", "verify", folder, "--trust", path], capture_output=True, text=True)
    told = [l for l in theirs.stdout.split("\n") if l.startswith(("finding", "FATAL", "missing"))]
    return code, theirs.returncode, mine.findings, told


def main(work, kanmon):
    trust = "kanmon/trust/v1\norigin %s\npolicy-sha256 %s\nlog %s\n\nquorum none\n" % (ORIGIN, b64(H(POLICY.encode())), vkey(ORIGIN, "")[0])
    apart = 0
    for want, cases in ((0, RIGHT), (1, WRONG)):
        for name, how in cases.items():
            mine, theirs, found, told = judge(work + "/console", trust, kanmon, story(**how))
            only = want == 0 or (len(told) > 0 and all(" V6 " in l or l.split()[1] == "V6" for l in told))
            if (mine, theirs) != (want, want) or not only:
                apart += 1
                print("%s: second.py says %d %s, kanmon %d\n%s" % (name, mine, found, theirs, "\n".join(told)))
    print("%d right, %d wrong, %d apart" % (len(RIGHT), len(WRONG), apart))
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
