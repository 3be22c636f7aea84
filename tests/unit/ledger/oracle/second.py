#!/usr/bin/env python3
"""A second verifier of kanmon ledgers: from docs/ledger.md, docs/policy.md and docs/statements.md, and no code of ours.

    second.py LEDGER TRUST [--head NOTE]      exit: 0 verified, 1 finding, 3 input is missing

Nothing but Python's own library: hashes are hashlib's, curves and RSA are written out below, for being checked against,
not for speed. What it does not do again: decode certificates (the `input` lines of a statement are taken as recorded),
choose among rules (the named rule must be able to apply), witnesses and time stamps.
"""
import base64
import hashlib
import json
import os
import re
import sys

H = lambda b: hashlib.sha256(b).digest()
leaf_hash = lambda line: H(b"\0" + line)
node = lambda a, b: H(b"\1" + a + b)
b64 = lambda b: base64.b64encode(b).decode()
LIMIT = 1 << 53


class Bad(Exception):
    """What is wrong, for people."""


def need(truth, why):
    if not truth:
        raise Bad(why)


def unb64(text, size=None):
    need(isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text), "not base64")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise Bad("not base64")
    need(b64(raw) == text and (size is None or len(raw) == size), "not base64 of its length")
    return raw


# ---- lines (docs/ledger.md 2) --------------------------------------------------------------------------------------

BAD_TEXT = re.compile("[\0-\x09\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def emit(value, depth=0):
    """The canonical form; Bad where there is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        need(0 <= value < LIMIT, "a number out of its range")
        return str(value)
    if isinstance(value, str):
        need(not BAD_TEXT.search(value), "a character that strings do not have")
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    need(isinstance(value, (dict, list)) and depth < 6, "a value outside the profile, or nested too deep")
    if isinstance(value, list):
        return "[" + ",".join(emit(v, depth + 1) for v in value) + "]"
    for name in value:
        need(re.fullmatch(r"[A-Za-z0-9_]{1,32}", name), "a member's name")
    return "{" + ",".join('"%s":%s' % (n, emit(value[n], depth + 1)) for n in sorted(value)) + "}"


def unique(pairs):
    need(len(pairs) == len({n for n, _ in pairs}), "a member twice")
    return dict(pairs)


def parse_line(raw):
    need(len(raw) <= 32768, "a line over 32,768 bytes")
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise Bad("not JSON in UTF-8")
    need(isinstance(value, dict) and emit(value) == text, "not in canonical form")
    return value


def types():
    """The table of section 4 of docs/ledger.md itself."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../../docs/ledger.md")
    text = open(os.environ.get("LEDGER_MD", here), encoding="utf-8").read()
    rows, name = {}, None
    for line in text.split("## 4. Types")[1].split("An unknown type")[0].split("\n"):
        if not line.startswith("    "):
            continue
        words = line.split()
        if line[4] != " ":
            name, words = words[0], words[1:]
            rows[name] = {}
        for word in words:
            member, kind = word.split("=")
            rows[name][member] = kind
    return rows


def is_ref(v):
    return isinstance(v, dict) and set(v) == {"i", "leaf"} and isinstance(v["i"], int) and len(unb64(v["leaf"])) == 32


def no_lf(v):
    if isinstance(v, dict):
        return all(map(no_lf, v.values()))
    return all(map(no_lf, v)) if isinstance(v, list) else not (isinstance(v, str) and "\n" in v)


KINDS = {
    "text": lambda v: isinstance(v, str) and no_lf(v),
    "note": lambda v: isinstance(v, (str, dict, list)),
    "number": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, bool),
    "hash": lambda v: len(unb64(v)) == 32,
    "b64": lambda v: unb64(v) is not None,
    "ref": is_ref,
    "refs": lambda v: isinstance(v, list) and all(map(is_ref, v)),
    "object": lambda v: isinstance(v, dict) and no_lf(v),
    "list": lambda v: isinstance(v, list) and no_lf(v),
    "any": no_lf,
}


def check_body(rows, kind, body):
    need(kind in rows, 'unknown type "%s"' % kind)
    for name, how in rows[kind].items():
        optional = name.endswith("?")
        name = name.rstrip("?")
        if name in body:
            need(KINDS[how](body[name]), '%s: member "%s" is not a %s' % (kind, name, how))
        else:
            need(optional, '%s: member "%s" is missing' % (kind, name))
    known = {n.rstrip("?") for n in rows[kind]}
    need(set(body) <= known, "%s: a member that its type does not have" % kind)


# ---- tree (RFC 6962, 9162) -----------------------------------------------------------------------------------------


class Tree:
    def __init__(self):
        self.leaves, self.stack = [], []  # stack: roots of maximal perfect subtrees, as (level, hash)

    def add(self, leaf):
        self.leaves.append(leaf)
        level = 0
        while self.stack and self.stack[-1][0] == level:
            leaf = node(self.stack.pop()[1], leaf)
            level += 1
        self.stack.append((level, leaf))

    def frontier(self):
        return [h for _, h in self.stack]

    def root(self, size=None):
        if size is None or size == len(self.leaves):
            hashes = self.frontier()
        else:
            t = Tree()
            for leaf in self.leaves[:size]:
                t.add(leaf)
            hashes = t.frontier()
        if not hashes:
            return H(b"")
        root = hashes[-1]
        for h in reversed(hashes[:-1]):
            root = node(h, root)
        return root


# ---- Ed25519 (RFC 8032, and strict as section 1 asks) --------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def ed_decode(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    need(y < P, "a point that is not canonical")
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    need((x * x - xx) % P == 0 and not (x == 0 and sign), "no point of the curve")
    x = P - x if (x & 1) != sign else x
    return (x, y, 1, x * y % P)


def ed_add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def ed_mul(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = ed_add(q, p)
        p, n = ed_add(p, p), n >> 1
    return q


ed_same = lambda p, q: (p[0] * q[2] - q[0] * p[2]) % P == 0 and (p[1] * q[2] - q[1] * p[2]) % P == 0
BASE = ed_decode((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
ZERO = (0, 1, 1, 0)


def ed_verify(pub, message, sig):
    try:
        need(len(pub) == 32 and len(sig) == 64, "length")
        a, r, s = ed_decode(pub), ed_decode(sig[:32]), int.from_bytes(sig[32:], "little")
        need(s < L and not ed_same(ed_mul(8, a), ZERO) and not ed_same(ed_mul(8, r), ZERO), "small order, or S")
    except Bad:
        return False
    k = int.from_bytes(hashlib.sha512(sig[:32] + pub + message).digest(), "little") % L
    return ed_same(ed_mul(s, BASE), ed_add(r, ed_mul(k, a)))


# ---- notes (section 5) and checkpoints (section 6) -----------------------------------------------------------------


def parse_vkey(text):
    m = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)", text)
    need(m, "not a vkey")
    data = unb64(m[3])
    need(H(m[1].encode() + b"\n" + data)[:4].hex() == m[2], "a vkey with another key id")
    kind, pub = data[0], data[1:]
    if kind == 0xFF:
        kind, _, pub = data[1:].partition(b"\0")
        kind = kind.decode("latin-1")
    need(len(data) == 33 and kind in (1, 4) or kind in EVIDENCE, "a vkey of another kind")
    spki = pub if kind in EVIDENCE else SPKI["ed25519"] + pub
    need(kind not in EVIDENCE or spki_ok(spki, EVIDENCE[kind][0]), "not a key of its type, in the one form that it has")
    return {"name": m[1], "id": bytes.fromhex(m[2]), "type": kind, "pub": pub, "spki": H(spki)}


def parse_note(note, limit=65536):
    raw = note.encode("utf-8")
    cut = note.rfind("\n\n")
    need(len(raw) <= limit and note.endswith("\n") and cut > 0, "not a note")
    need(not re.search("[\0-\x09\x0b-\x1f\x7f]", note), "a control character in a note")
    text, lines = note[: cut + 1], []
    for line in note[cut + 2 : -1].split("\n"):
        m = re.fullmatch("\u2014 ([^\\s+]+) (\\S+)", line)
        need(m, "not a signature line")
        data = unb64(m[2])
        need(len(data) > 4, "a short signature")
        lines.append((m[1], data[:4], data[4:]))
    need(1 <= len(lines) <= 32, "1 to 32 signature lines")
    return text, lines


def verify_note(note, keys, limit=65536, places=(), independent=None):
    """The text, and which of the keys signed it. A known key whose line fails rejects all. To `independent` (a list) go
    the keys that signed where the statement is made again."""
    text, lines = parse_note(note, limit)
    signed = []
    for name, keyid, sig in lines:
        for key in keys:
            if key["name"] != name or key["id"] != keyid:
                continue
            message, alone = text.encode(), True
            if key["type"] in EVIDENCE:
                alone = verify_evidence(key, message, sig, places)
                if alone and independent is not None:
                    independent.append(key)
                if key not in signed:
                    signed.append(key)
                continue
            if key["type"] == 4:
                message = b"cosignature/v1\ntime %d\n" % int.from_bytes(sig[:8], "big") + message
                sig = sig[8:]
            need(ed_verify(key["pub"], message, sig), "the signature of %s fails" % name)
            if key not in signed:
                signed.append(key)
            if independent is not None:
                independent.append(key)
    return text, signed


def parse_checkpoint(text, origin):
    m = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]*)\n([^\n]+)\n", text)
    need(m and m[1] == origin and int(m[2]) < LIMIT, "not a checkpoint of this ledger")
    return int(m[2]), unb64(m[3], 32)


# ---- signatures of the HSM -----------------------------------------------------------------------------------------


def der(data, tag):
    """Content and rest of one DER element."""
    need(len(data) >= 2 and data[0] == tag, "DER")
    n, at = data[1], 2
    if n >= 128:
        at = 2 + (n & 127)
        n = int.from_bytes(data[2:at], "big")
    need(len(data) >= at + n, "DER")
    return data[at : at + n], data[at + n :]


CURVES = {  # p, a, b, order, base
    "2a8648ce3d030107": (2**256 - 2**224 + 2**192 + 2**96 - 1, -3,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
         0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)),
    "2b81040022": (2**384 - 2**128 - 2**96 + 2**32 - 1, -3,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
        0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
        (0xAA87CA22BE8B05378EB1C71EF320AD746E1D3B628BA79B9859F741E082542A385502F25DBF55296C3A545E3872760AB7,
         0x3617DE4A96262C6F5D9E98BF9292DC29F8F41DBD289A147CE9DA3113B5F0B8C00A60B1CE1D7E819D7A431D7C90EA0E5F)),
}


def ec_add(p, q, a, m):
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if (p[1] + q[1]) % m == 0:
            return None
        k = (3 * p[0] * p[0] + a) * pow(2 * p[1], -1, m) % m
    else:
        k = (q[1] - p[1]) * pow(q[0] - p[0], -1, m) % m
    x = (k * k - p[0] - q[0]) % m
    return x, (k * (p[0] - x) - p[1]) % m


def ec_mul(n, p, a, m):
    q = None
    while n:
        if n & 1:
            q = ec_add(q, p, a, m)
        p, n = ec_add(p, p, a, m), n >> 1
    return q


def ecdsa_verify(curve, point, digest, sig):
    m, a, b, order, base = CURVES[curve]
    size = (m.bit_length() + 7) // 8
    if len(sig) != 2 * size or len(point) != 2 * size + 1 or point[0] != 4:
        return False
    x, y = int.from_bytes(point[1 : size + 1], "big"), int.from_bytes(point[size + 1 :], "big")
    r, s = int.from_bytes(sig[:size], "big"), int.from_bytes(sig[size:], "big")
    if not (0 < r < order and 0 < s < order) or (y * y - x**3 - a * x - b) % m:
        return False
    e = int.from_bytes(digest, "big") >> max(0, 8 * len(digest) - order.bit_length())
    w = pow(s, -1, order)
    p = ec_add(ec_mul(e * w % order, base, a, m), ec_mul(r * w % order, (x, y), a, m), a, m)
    return p is not None and p[0] % order == r


INFO = {"sha1": "3021300906052b0e03021a05000414", "sha224": "302d300d06096086480165030402040500041c",
    "sha256": "3031300d060960864801650304020105000420", "sha384": "3041300d060960864801650304020205000430",
    "sha512": "3051300d060960864801650304020305000440"}


def mgf1(seed, size, h):
    out = b"".join(hashlib.new(h, seed + n.to_bytes(4, "big")).digest() for n in range(size // 16 + 1))
    return out[:size]


def pss_verify(em, bits, digest, h, salt_len):
    hl = len(digest)
    em = em[-((bits + 7) // 8):]
    if em[-1] != 0xBC or len(em) < hl + salt_len + 2:
        return False
    masked, want = em[: -hl - 1], em[-hl - 1 : -1]
    db = bytearray(a ^ b for a, b in zip(masked, mgf1(want, len(masked), h)))
    db[0] &= 0xFF >> (8 * len(em) - bits)
    pad = len(db) - salt_len - 1
    return db[:pad] == bytes(pad) and db[pad] == 1 and \
        hashlib.new(h, bytes(8) + digest + bytes(db[pad + 1 :])).digest() == want


def verify_signature(spki, norm, params, data, sig):
    """True, False, or None: this verifier does not know the key."""
    body, _ = der(spki, 0x30)
    algorithm, rest = der(body, 0x30)
    oid, parameters = der(algorithm, 6)
    bits, _ = der(rest, 3)
    scheme, digest, h = norm["scheme"], unb64(norm["digest"]), norm["hash"].replace("sha3-", "sha3_")
    if scheme in ("rsa-pkcs1", "rsa-pss"):
        numbers, _ = der(bits[1:], 0x30)
        n, rest = der(numbers, 2)
        e, _ = der(rest, 2)
        n, e = int.from_bytes(n, "big"), int.from_bytes(e, "big")
        size = (n.bit_length() + 7) // 8
        if len(sig) != size:
            return False
        em = pow(int.from_bytes(sig, "big"), e, n).to_bytes(size, "big")
        if scheme == "rsa-pss":
            salt = next((int(v) for k, v in sorted(params.items()) if "salt" in k.lower() or k == "sLen"), len(digest))
            return pss_verify(em, n.bit_length() - 1, digest, h, salt)
        if h not in INFO:
            return None
        info = bytes.fromhex(INFO[h]) + digest
        return em == b"\0\1" + b"\xff" * (size - len(info) - 3) + b"\0" + info
    if scheme == "ecdsa":
        curve = der(parameters, 6)[0].hex()
        return ecdsa_verify(curve, bits[1:], digest, sig) if curve in CURVES else None
    if scheme == "eddsa" and oid.hex() == "2b6570":
        return None if data is None else ed_verify(bits[1:], data, sig)
    return None


# ---- what persons sign with (docs/statements.md, Evidence) ----------------------------------------------------------

SPKI = {"ed25519": bytes.fromhex("302a300506032b6570032100"),
    "p256": bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
    "p384": bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004")}
EVIDENCE = {  # key, scheme, hash, WebAuthn
    "kanmon/ecdsa-p256-sha256/v1": ("p256", "ecdsa", "sha256", False),
    "kanmon/ecdsa-p384-sha384/v1": ("p384", "ecdsa", "sha384", False),
    "kanmon/rsa-pss-sha256/v1": ("rsa", "rsa-pss", "sha256", False),
    "kanmon/rsa-pkcs1-sha256/v1": ("rsa", "rsa-pkcs1", "sha256", False),
    "kanmon/webauthn-es256/v1": ("p256", "ecdsa", "sha256", True),
    "kanmon/webauthn-eddsa/v1": ("ed25519", "eddsa", "sha256", True)}


def spki_ok(spki, form):
    if form != "rsa":
        return spki.startswith(SPKI[form]) and len(spki) - len(SPKI[form]) == {"ed25519": 32, "p256": 64, "p384": 96}[form]
    try:
        body, rest = der(spki, 0x30)
        algorithm, bits = der(body, 0x30)
        numbers, more = der(der(bits, 3)[0][1:], 0x30)
        n, e = der(numbers, 2)
        e = int.from_bytes(der(e, 2)[0], "big")
        size = int.from_bytes(n, "big").bit_length()
    except (Bad, IndexError):
        return False
    return not rest and not more and algorithm.hex() == "06092a864886f70d0101010500" and size % 8 == 0 and \
        2048 <= size <= 8192 and n[-1] & 1 and e & 1 and 65537 <= e < 2**64


def flat(sig):
    """r || s of an ECDSA signature in DER."""
    body, rest = der(sig, 0x30)
    r, s = der(body, 2)
    s, more = der(s, 2)
    for x in (r, s):
        need(x and not x[0] & 0x80 and (len(x) == 1 or x[0] or x[1] & 0x80) and len(x.lstrip(b"\0")) <= 32, "DER")
    need(not rest and not more, "DER")
    return r.lstrip(b"\0").rjust(32, b"\0") + s.lstrip(b"\0").rjust(32, b"\0")


def verify_evidence(key, text, sig, places):
    """Whether it is independent; Bad where it is no signature."""
    form, scheme, h, webauthn = EVIDENCE[key["type"]]
    message, alone, why = text, True, "the signature of %s fails" % key["name"]
    if webauthn:
        parts = []
        for _ in range(3):
            n = int.from_bytes(sig[:2], "big")
            need(len(sig) >= 2 + n, why)
            parts.append(sig[2 : 2 + n])
            sig = sig[2 + n :]
        (data, client, inner), found = parts, None
        need(not sig and len(data) >= 37, why)
        challenge = base64.urlsafe_b64encode(H(b"kanmon/webauthn/v1\n" + text)).decode().rstrip("=")
        for place in places:
            want = ('{"type":"webauthn.get","challenge":"%s","origin":"%s","crossOrigin":false' % (challenge, place["origin"]))
            rest = client[len(want) :]
            if data[:32] == H(place["rp"].encode()) and client.startswith(want.encode()) and b"topOrigin" not in rest and \
                    (rest == b"}" or rest[:1] == b"," and rest[-1:] == b"}"):
                found = place
        need(found and data[32] & 0x5D == 0x05 and bool(data[32] & 0x80) == (len(data) > 37), why)
        message, alone = data + H(client), found["independent"]
        sig = flat(inner) if scheme == "ecdsa" else inner
    norm = {"scheme": scheme, "hash": h, "digest": b64(hashlib.new(h, message).digest())}
    need(verify_signature(key["pub"], norm, {}, message, sig), why)
    return alone


# ---- policy (docs/policy.md) ---------------------------------------------------------------------------------------


def words(line):
    out, word, quoted, inside = [], "", False, False
    for c in line:
        if c == '"':
            quoted, inside = not quoted, True
        elif c == " " and not quoted:
            if inside:
                out.append(word)
            word, inside = "", False
        elif c == "#" and not quoted and not inside:
            break
        else:
            word, inside = word + c, True
    need(not quoted, "a quotation mark is open")
    return out + [word] if inside else out


def bare(line):
    """From the first word to the last, as they stand."""
    end, quoted, before = 0, False, " "
    for n, c in enumerate(line):
        if c == "#" and not quoted and before == " ":
            break
        quoted = quoted != (c == '"')
        end, before = n + 1 if c != " " or quoted else end, c
    return line[:end].strip(" ")


def seconds(word):
    return int(word[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[word[-1]]


class Policy:
    def __init__(self, text):
        self.lines = {}
        self.text, self.sha256 = text, H(text.encode())
        self.people, self.clients, self.groups, self.roles, self.rules = [], {}, {}, {}, {}
        self.places = []
        self.terminals, rule, head = [], None, []
        lines = text.split("\n")
        need(text.endswith("\n") and lines[0] == "kanmon/policy/v1", "not a policy")
        for line in lines[1:-1]:
            w = words(line)
            if not w:
                continue
            if line.startswith(" "):
                need(rule is not None, "a rule's line without a rule")
                rule[w[0]] = w[1:]
                self.lines[last].append((w[0], bare(line)))
            elif len(head) < 5:
                need(w[0] == ("origin", "version", "previous", "not-before", "expires")[len(head)], "order of the head")
                head.append(w[1])
            elif w[0] in ("custodian", "auditor"):
                self.people.append({"name": w[1], "person": w[2], "key": parse_vkey(w[3]), "kind": w[0]})
            elif w[0] == "webauthn":
                self.places.append({"origin": w[3], "rp": w[5], "independent": len(w) > 6})
            elif w[0] == "client":
                at = w.index("operators") if "operators" in w else len(w)
                self.clients[w[2][5:]] = {"name": w[1], "operators": w[at + 1 :]}
            elif w[0] == "group":
                self.groups[w[1]] = (int(w[2]), w[3:])
            elif w[0] == "role":
                at = w.index("delay") if "delay" in w else len(w)
                self.roles[w[1]] = (int(w[2]), w[3:at])
            elif w[0] == "rule":
                rule, last = self.rules.setdefault(w[1], {}), w[1]
                self.lines[last] = []
        self.origin, self.version, self.previous = head[0], int(head[1]), head[2]
        keys = [p["key"]["spki"] for p in self.people]
        need(len(keys) == len(set(keys)), "one key in two lines")
        need("policy" in self.roles, "no role policy")

    def person(self, name):
        return next((p["person"] for p in self.people if p["name"] == name), None)

    def signed_by_role(self, role, note):
        """Persons, not keys."""
        text, signed = verify_note(note, [p["key"] for p in self.people], places=self.places)
        count, members = self.roles[role]
        who = {p["person"] for p in self.people if p["key"] in signed and p["name"] in members}
        return text, len(who) >= count

    def need_of(self, rule):
        """none, deny, or the groups' names."""
        w = self.rules[rule]["need"]
        return w[0] if w[0] in ("none", "deny") else [g for g in w if g != "and"]

    def window(self, rule):
        """Seconds and uses of its window; None: it has none."""
        w = self.rules[rule].get("per", ["operation"])
        return (seconds(w[1]), int(w[3])) if w[0] == "window" else None

    def met(self, rule, persons):
        """Each person one place of one group: a matching."""
        places = []
        for g in self.need_of(rule):
            count, members = self.groups[g]
            places += [{self.person(m) for m in members}] * count
        taken = {}

        def place(n, seen):
            for who in sorted(persons & places[n]):
                if who not in seen:
                    seen.add(who)
                    if who not in taken or place(taken[who], seen):
                        taken[who] = n
                        return True
            return False

        return all(place(n, set()) for n in range(len(places)))


# ---- statements (docs/statements.md) -------------------------------------------------------------------------------

HIDDEN = ("0-1f 7f-a0 ad 300-36f 483-489 591-5c7 600-605 610-61c 64b-65f 115f-1160 1680 17b4-17b5 180b-180f 1ab0-1aff "
    "1dc0-1dff 2000-200f 2028-202f 205f-206f 20d0-20ff 3000 302a-302f 3099-309a 3164 d800-f8ff fdd0-fdef fe00-fe0f "
    "fe20-fe2f feff ffa0 fff0-fffb fffe-ffff 1bca0-1bca3 1d173-1d17a e0000-10ffff")
HIDDEN = [tuple(int(x, 16) for x in (r.split("-") * 2)[:2]) for r in HIDDEN.split()]


def hidden(c):
    return any(a <= c <= b for a, b in HIDDEN) or c & 0xFFFE == 0xFFFE


def value(text, cut=True):
    if not text:
        return "none"
    out = []
    for n, c in enumerate(text):
        end = c == " " and n in (0, len(text) - 1)
        out.append("\\u{%x}" % ord(c) if hidden(ord(c)) or end else "\\\\" if c == "\\" else c)
    whole = "".join(out)
    if not cut or len(whole.encode()) <= 1024:
        return whole
    tail = "... sha256 " + b64(H(text.encode()))
    kept = ""
    for piece in out:
        if len((kept + piece + tail).encode()) > 1024:
            break
        kept += piece
    return kept + tail


def flatten(v, name=""):
    if isinstance(v, dict):
        for n in sorted(v):
            yield from flatten(v[n], name + "." + n if name else n)
    elif isinstance(v, list):
        for n, item in enumerate(v):
            yield from flatten(item, "%s.%d" % (name, n) if name else str(n))
    else:
        yield name, ("true" if v else "false") if isinstance(v, bool) else v if isinstance(v, str) else str(v)


def utc(ms):
    import datetime
    seconds = min(ms // 1000, 253402300799)
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def params_line(mech):
    out = []
    for name, text in flatten(mech.get("params", {})):
        escaped = value(text, cut=False) if text else ""
        out.append(name + "=" + escaped.replace(" ", "\\ ").replace("=", "\\="))
    line = " ".join(out)
    if len(line.encode()) > 1024:
        return "sha256 " + mech["params_sha256"]
    return line or "none"


def application_rows(application, inputs):
    """What it was asked for; the applicant's key is compared with the one in the content, where there is one."""
    rows = [("application", value(application["id"]))] if "id" in application else []
    if "key_spki_sha256" in application:
        shown = [row[1][16:] for row in inputs if row[0] == "input" and row[1].startswith("key-spki-sha256 ")]
        need(shown in ([], [application["key_spki_sha256"]]), "a certificate for another key than the applicant's")
        rows.append(("applicant-key", application["key_spki_sha256"] + (" matches" if shown else " unchecked")))
    return rows


def statement(policy, rule, request, head, inputs):
    """The text; `inputs` are the recorded input lines, input-kind first."""
    i = request["body"]
    key, mech = i["key"], i["mech"]
    rows = [("origin", policy.origin), ("request", str(request["i"])), ("request-leaf", b64(request["leaf"]))]
    rows += [("attachment", "%d %s" % (a["i"], b64(a["leaf"]))) for a in [request.get("attachment")] if a]
    rows += [("head", "%d %s" % (head["size"], head["root"])), ("policy", "%d %s" % (policy.version, b64(policy.sha256))),
        ("rule", rule)]
    rows += [("need", "%s %d of %d" % (g, policy.groups[g][0], len(policy.groups[g][1]))) for g in policy.need_of(rule)]
    token = " ".join(value(key[n]) for n in ("token", "serial") if key.get(n)) or "none"
    rows += [("independent", policy.rules[rule].get("independent", ["0"])[0])]
    window = policy.window(rule) if "window" in i else None
    if window:
        unit, name = next((u, n) for u, n in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")) if window[0] % u == 0)
        rows += [("per", "window %d%s uses %d" % (window[0] // unit, name, window[1]))]
    rows += [("decision", "approve"),
        ("operation", value(i["op"])), ("mechanism", value(mech.get("name"))), ("params", params_line(mech)),
        ("token", token), ("key-class", value(key.get("class"))), ("key-label", value(key.get("label"))),
        ("key-id", value(key.get("id"))), ("key-spki-sha256", value(key.get("spki_sha256"))),
    ]
    login = i.get("login")
    if login is not None:
        sealed = login["pin"] == "sealed"
        rows += [("user", value(login["user"])), ("pin", "sealed %d of %d %s" % (login["least"], login["of"],
            login["sealed_sha256"]) if sealed else value(login["pin"]))]
        rows += [("activation-key", login["key"])] if sealed else []
    rows += [("input-len", str(i.get("in", {}).get("len", "none"))), ("input-sha256", i.get("in", {}).get("sha256", "none"))]
    rows += inputs
    rows += [("requester", value(i["requester"]["name"]) + " " + i["requester"]["spki_sha256"]),
        ("purpose", value(i.get("purpose")))]
    if window:
        said = ("client", "need", "independent", "per", "expires", "class", "selfcheck")
        rows += [("constraint", value(text, cut=False)) for key, text in policy.lines[rule] if key not in said]
    rows += application_rows(i.get("application", {}), inputs)
    rows += [("uses", str(window[1]) if window else "1"), ("not-before", utc(request["t"])),
        ("not-after", utc(i["expires"])), ("nonce", i["nonce_req"])]
    return "kanmon/approval/v1\n" + "".join("%s %s\n" % row for row in rows)


# ---- the ledger ----------------------------------------------------------------------------------------------------


class Ledger:
    def __init__(self, folder, trust, head):
        self.folder, self.findings, self.missing = folder, [], []
        self.tree, self.records, self.rows = Tree(), [], types()
        self.prev, self.t, self.m, self.origin = bytes(32), 0, 0, None
        self.trust_text, self.head = trust, head
        self.policies, self.requests, self.decided, self.commits = [], {}, {}, {}
        self.verified = self.unverified = 0

    def found(self, check, where, why):
        self.findings.append("%s %s: %s" % (check, where, why))

    def read_trust(self):
        lines = self.trust_text.split("\n")
        need(lines[0] == "kanmon/trust/v1" and lines[1].startswith("origin "), "not a trust file")
        self.origin = lines[1][7:]
        self.pin = unb64(lines[2].split(" ")[1], 32)
        self.log = parse_vkey(lines[3].split(" ", 1)[1])
        need(self.log["name"] == self.origin and self.log["type"] == 1, "the log key is not named as the origin")

    def blob(self, sha256):
        try:
            data = open(os.path.join(self.folder, "blobs", sha256.hex()), "rb").read()
        except OSError:
            return None
        return data if H(data) == sha256 else None

    # V1-V3

    def header(self):
        return " ".join(["#kanmon-ledger v1", self.origin, str(len(self.records)), b64(self.prev)] +
            [b64(h) for h in self.tree.frontier()]).encode()

    def record(self, raw):
        r = parse_line(raw)
        need(set(r) == {"body", "i", "m", "nonce", "prev", "t", "type", "v"} and r["v"] == 1, "not the envelope")
        need(all(KINDS["number"](r[n]) for n in ("i", "m", "t")) and isinstance(r["body"], dict), "the envelope's kinds")
        need(KINDS["text"](r["type"]), "the type")
        need(r["i"] == len(self.records), "the index is not the next one")
        need(unb64(r["prev"], 32) == self.prev and len(unb64(r["nonce"])) == 16, "prev is not the leaf of the line before")
        need(r["t"] >= self.t, "the time goes back")
        need(r["m"] >= self.m or r["type"] in ("recovery", "gateway.start"), "m goes back")
        need((r["type"] == "genesis") == (r["i"] == 0), "genesis is record 0 and no other")
        r["leaf"] = self.prev = leaf_hash(raw)
        self.t, self.m = r["t"], r["m"]
        self.tree.add(self.prev)
        self.records.append(r)

    def segment(self, name, last):
        raw = open(os.path.join(self.folder, "seg", name), "rb").read()
        need(name == "%020d.kl" % len(self.records), "a segment is missing, repeated or cut off")
        first, begin, at, batch, marked = len(self.records), len(self.records), 0, 0, False
        good = (0, len(self.records))
        full = False
        while at < len(raw):
            end = raw.find(b"\n", at)
            if end < 0:
                break
            line = raw[at:end]
            here = "%s at byte %d" % (name, at)
            need(not full, here + ": a line after the segment was full")
            try:
                if at == 0:
                    need(line == self.header(), "not the header that the records before it make")
                    good = (end + 1, len(self.records))
                elif line.startswith(b"#mark"):
                    size = len(self.records)
                    need(batch and not marked, "a mark where none stands")
                    need(size // 256 > begin // 256 or self.records[-1]["type"] == "gateway.stop", "a mark too many")
                    want = " ".join(["#mark", str(size)] + [b64(h) for h in self.tree.frontier()])
                    need(line == want.encode(), "not the mark of these records")
                    marked = True
                elif line.startswith(b"#"):
                    size = len(self.records)
                    due = size // 256 > begin // 256 or (batch and self.records[-1]["type"] == "gateway.stop")
                    need(1 <= batch <= 1024 and marked == bool(due), "a batch without records, or without its mark")
                    need(line == ("#commit %d %s" % (size, b64(self.tree.root()))).encode(), "not the commit of these records")
                    begin, batch, marked = size, 0, False
                    good = (end + 1, size)
                    self.commits[size] = (name, end + 1)
                    full = size - first >= 65536 or end + 1 >= 67108864
                else:
                    need(not marked, "a record after the mark")
                    self.record(line)
                    batch += 1
            except Bad as bad:
                raise Bad("%s: %s" % (here, bad))
            at = end + 1
        if good[0] != len(raw):
            need(last, name + ": does not end with a commit, and another segment follows")
            self.found("V1", name, "%d bytes after the last commit" % (len(raw) - good[0]))
            del self.records[good[1] :]
            t = Tree()
            for r in self.records:
                t.add(r["leaf"])
            self.tree = t
        need(last or full, name + ": not full, and another follows")

    def segments(self):
        names = sorted(n for n in os.listdir(os.path.join(self.folder, "seg")) if not n.endswith((".off", ".tmp")))
        need(names, "no segments")
        for name in names:
            self.segment(name, name == names[-1])
        for r in self.records:
            try:
                check_body(self.rows, r["type"], r["body"])
            except Bad as bad:
                self.found("V2", r["i"], bad)
                r["body_bad"] = True
        need(self.records and not self.records[0].get("body_bad"), "no genesis")

    def at_head(self, check, where, size, root):
        if size > len(self.records):
            self.found(check, where, "a head of %d records: the ledger was cut off" % size)
        elif self.tree.root(size) != root:
            self.found(check, where, "another root at size %d" % size)

    def signed_head(self, check, where, note):
        try:
            text, signed = verify_note(note, [self.log])
            need(signed, "no line of the pinned log key")
            size, root = parse_checkpoint(text, self.origin)
        except (Bad, UnicodeDecodeError) as bad:
            self.found(check, where, bad)
            return 0
        self.at_head("V3", where, size, root)
        return size

    def heads(self):
        got = 0
        try:
            note = open(os.path.join(self.folder, "checkpoint"), "rb").read()
            got = 1 + self.signed_head("V4", "checkpoint", note.decode("utf-8", "replace"))
        except FileNotFoundError:
            pass
        if self.head is not None:
            got = 1 + self.signed_head("V4", "--head", self.head)
        if not got:
            self.missing.append("no signed head: nobody can say that nothing was cut off")
        g = self.records[0]["body"]
        if g["vkey"] != self.trust_text.split("\n")[3].split(" ", 1)[1]:
            self.found("V4", 0, "genesis names another log key")
        if g["origin"] != self.origin or g["suite"] != "K1":
            self.found("V2", 0, "another origin or suite")
        for r in self.records:
            b = r["body"]
            if r.get("body_bad"):
                continue
            if r["type"] in ("gateway.start", "recovery"):
                self.guards(r, b["guards"])
            if r["type"] == "checkpoint":
                self.signed_head("V3", r["i"], b["note"])
            elif r["type"] == "anchor":
                self.signed_head("V3", r["i"], b["note"])
            elif r["type"] == "cosign":
                lines = b["lines"] if isinstance(b["lines"], list) else []
                try:
                    good = 1 <= len(lines) <= 32 and parse_note("text\n\n%s\n" % "\n".join(lines))
                except (Bad, TypeError):
                    good = False
                if not good or b["size"] > r["i"]:
                    self.found("V4", r["i"], "not 1 to 32 signature lines over an earlier head")
                self.at_head("V3", r["i"], b["size"], unb64(b["root"]))
            elif r["type"] == "closed":
                try:
                    to = b["successor"]
                    need(set(to) == {"origin", "policy_sha256", "vkey"} and len(unb64(to["policy_sha256"])) == 32, "its members")
                    key = parse_vkey(to["vkey"])
                    need(key["type"] == 1 and key["name"] == to["origin"] and to["origin"] != self.origin, "its log key")
                    need(r is self.records[-1], "closed, and goes on")
                except (Bad, KeyError, TypeError) as bad:
                    self.found("V4", r["i"], "successor: %s" % bad)
            elif r["type"] == "recovery":
                try:
                    self.at_head("V3", r["i"], b["last_commit"]["size"], unb64(b["last_commit"]["root"]))
                except (Bad, KeyError):
                    self.found("V3", r["i"], "last_commit is not a size and a root")

    def guards(self, r, guards):
        """What a start says that its guards held: a head of the records before it, or nothing."""
        for guard in guards:
            try:
                size, root = guard["size"], unb64(guard["root"], 32)
                need(all(isinstance(guard[x], str) for x in ("kind", "name")) and KINDS["number"](size), "its members")
                new = size == 0 and root == bytes(32)
                if r["type"] == "recovery":
                    if guard["verdict"] == "overruled":
                        continue
                    need(guard["verdict"] == ("new" if new else "fits"), "its verdict")
                need(new or (size <= r["i"] and self.tree.root(size) == root), "no head of this ledger")
            except (Bad, KeyError, TypeError, AttributeError) as bad:
                self.found("V3", r["i"], "guard: %r" % bad)

    def derived(self):
        """What is beside the segments and must agree with them."""
        path = os.path.join(self.folder, "state", "head")
        if os.path.exists(path):
            m = re.fullmatch(rb"seg/(\d{20}\.kl) (\d+) (\d+) (\S+)\n", open(path, "rb").read())
            size = int(m[3]) if m else -1
            if size not in self.commits or self.commits[size] != (m[1].decode(), int(m[2])) or \
                    b64(self.tree.root(size)).encode() != m[4]:
                self.found("V1", "state/head", "no commit is where it says")
        folder = os.path.join(self.folder, "blobs")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            if name.endswith(".tmp"):
                continue
            data = open(os.path.join(folder, name), "rb").read()
            if hashlib.sha256(data).hexdigest() != name:
                self.found("V1", "blobs/" + name, "its bytes do not have the hash that is its name")

    def channels(self):
        """V8 of channels: named by their own record, open since the start, and the requester is the peer."""
        opened, peers = {}, {}
        for r in self.records:
            b, kind = r["body"], r["type"]
            if r.get("body_bad"):
                continue
            try:
                if kind == "gateway.start":
                    opened = {}
                elif kind == "channel.open":
                    need(b["chan"] == r["i"], "a channel that is not named by its own record")
                    opened[r["i"]] = [b["peer"]["spki_sha256"], b["peer"]["name"], False]
                    need(len(unb64(opened[r["i"]][0])) == 32 and KINDS["text"](opened[r["i"]][1]), "the peer")
                elif "chan" in self.rows[kind]:
                    need(b["chan"] in opened, "a channel that was not opened since the gateway started")
                    peer = opened[b["chan"]]
                    if kind == "intent":
                        peers[r["i"]] = b["requester"]["spki_sha256"]
                        need([b["requester"]["spki_sha256"], b["requester"]["name"]] == peer[:2], "the requester is not the peer")
                    elif kind == "result":
                        need(peers.get(b["request"]["i"], peer[0]) == peer[0], "the answer went to another client")
                    elif kind == "channel.close":
                        need(not peer[2], "a channel that was closed before")
                        peer[2] = True
            except (Bad, KeyError, TypeError) as bad:
                self.found("V8", r["i"], repr(bad) if not isinstance(bad, Bad) else bad)

    # V5-V8

    def take_policy(self, r, note):
        before = self.policies[-1] if self.policies else None
        text, _ = parse_note(note)
        p = Policy(text)
        need(p.origin == self.origin and p.signed_by_role("policy", note)[1], "not signed by its own role policy")
        if before is None:
            need(p.version == 1 and p.previous == "none", "not version 1")
            if p.sha256 != self.pin:
                self.found("V5", r["i"], "policy 1 is not the pinned one")
        else:
            need(p.version == before.version + 1 and p.previous == b64(before.sha256), "does not continue the one before")
            need(before.signed_by_role("policy", note)[1], "not signed by the role policy of the version before")
            need(r["body"]["version"] == p.version, "the record names another version")
        self.policies.append(p)

    def ref(self, r, ref, *kinds):
        ok = ref["i"] < r["i"] and self.records[ref["i"]]["leaf"] == unb64(ref["leaf"])
        need(ok and self.records[ref["i"]]["type"] in kinds, "a reference that does not point at an earlier %s" % "/".join(kinds))
        return self.records[ref["i"]]

    def request(self, r):
        return self.requests[self.ref(r, r["body"]["request"], "intent")["i"]]

    def take_intent(self, r):
        self.requests[r["i"]] = {"r": r, "policy": self.policies[-1], "votes": {}, "alone": set(), "listed": {"approvals": [], "rejections": [],
            "vetoes": []}, "statement": None, "decision": None, "done": False, "end": None, "used": 0}

    def take_attachment(self, r):
        """What the client gave while the call waited: data that hashes to what is signed, before the statement."""
        q, b = self.request(r), r["body"]
        need(q["statement"] is None and q["decision"] is None and q["end"] is None and "attachment" not in q["r"],
            "an attachment where none is waited for")
        body = {**q["r"]["body"], **{name: b[name] for name in ("in", "econtent", "application") if name in b}}
        data, norm = self.blob(unb64(body["in"]["sha256"])), body["norm"]
        names = [norm["hash"]] if norm["hash"] else ["sha1", "sha224", "sha256", "sha384", "sha512", "sha3-224", "sha3-256",
            "sha3-384", "sha3-512"]
        need(any(hashlib.new(n.replace("sha3-", "sha3_"), data).digest() == unb64(norm["digest"]) for n in names),
            "the attached data does not hash to what is signed")
        q["r"] = {**q["r"], "body": body, "attachment": r}

    def take_statement(self, r):
        q, b = self.request(r), r["body"]
        need(q["statement"] is None and q["end"] is None, "a second statement, or one after the end")
        need(q["r"].get("attachment", q["r"])["i"] < b["head"]["size"] <= r["i"] and self.tree.root(b["head"]["size"]) == unb64(b["head"]["root"]),
            "its head is not one of this ledger with the request in it")
        need(H(b["text"].encode()) == unb64(b["sha256"]), "sha256 is not that of the text")
        rows = [line.split(" ", 1) for line in b["text"].split("\n")[1:-1]]
        rule = next((row[1] for row in rows if row[0] == "rule"), None)
        need(rule in q["policy"].rules and q["policy"].need_of(rule) not in ("none", "deny"), "a rule that asks nobody")
        inputs = [tuple(row) for row in rows if row[0] in ("input-kind", "input")]
        need(statement(q["policy"], rule, q["r"], b["head"], inputs) == b["text"], "not the statement of this request")
        q["statement"], q["rule"] = b["text"], rule
        w = q["r"]["body"].get("window")
        need((q["policy"].window(rule) is not None) == (w is not None), "per window, and no window; or the other way")
        if w is not None:
            need(w == {"rule": rule, "seconds": q["policy"].window(rule)[0], "uses": q["policy"].window(rule)[1]},
                "another window than the rule's")

    def take_vote(self, r):
        b = r["body"]
        if b["check"] != "ok":
            return
        q, kind = self.request(r), r["type"]
        p = q["policy"]
        need(q["statement"] is not None and q["decision"] is None and q["end"] is None, "a vote where none is asked for")
        need(kind == "veto" or "until" not in q, "a vote on a window that is open")
        need(p is self.policies[-1] and r["t"] - 2000 <= q.get("until", q["r"]["body"]["expires"]), "another policy, or too late")
        alone = []
        text, signed = verify_note(b["note"], [x["key"] for x in p.people], 24576, p.places, alone)
        want = q["statement"]
        if kind != "approval":
            reason = re.search(r"\nreason ([^\n]{1,1024})\nnonce ", text)
            need(reason, "no reason")
            word = "reject" if kind == "rejection" else "veto"
            want = want.replace("\ndecision approve\n", "\ndecision %s\n" % word)
            want = want.replace("\nnonce ", "\nreason %s\nnonce " % reason[1])
        need(text == want, "the note is not over the statement that is recorded")
        need(signed, "nobody of the policy signed it")
        who = [x for x in p.people if x["key"] in signed]
        need(len({x["person"] for x in who}) == len(who), "two keys of one person")
        client = p.clients[q["r"]["body"]["requester"]["spki_sha256"]]
        for x in who:
            slot = (x["person"], "veto" if kind == "veto" else "vote")
            need(slot not in q["votes"], "a person who has voted already")
            if kind == "veto":
                need(x["name"] in p.roles.get("veto", (0, []))[1], "not in role veto")
            else:
                need(x["name"] not in client["operators"], "the client's own operator")
                need(any(x["name"] in p.groups[g][1] for g in p.need_of(q["rule"])), "in no group of the rule")
            q["votes"][slot] = kind
            if x["key"] in alone:
                q["alone"].add(x["person"])
        q["listed"][{"approval": "approvals", "rejection": "rejections", "veto": "vetoes"}[kind]].append(
            {"i": r["i"], "leaf": b64(r["leaf"])})

    def vetoed(self, q):
        vetoes = sum(kind == "veto" for kind in q["votes"].values())
        return "veto" in q["policy"].roles and vetoes >= q["policy"].roles["veto"][0]

    def take_use(self, r, q):
        """A call that a window lets run: nobody votes on it, and its number is the next one."""
        b, p = r["body"], self.policies[-1]
        w = self.requests[self.ref(r, b["window"], "intent")["i"]]
        mine, its = q["r"]["body"], w["r"]["body"]
        names = ("class", "spki_sha256", "token", "module", "serial") if "spki_sha256" in its["key"] else (
            "class", "id", "label", "kcv", "token", "module", "serial")
        need("until" in w and w["end"] is None and w["policy"] is p and not self.vetoed(w), "its window is not open")
        need(r["t"] - 2000 <= w["until"] and w["used"] < its["window"]["uses"], "its window has ended")
        need(b["verdict"] == "allow" and b["rule"] == w["rule"] and mine["requester"]["spki_sha256"] ==
            its["requester"]["spki_sha256"] and all(mine["key"].get(n) == its["key"].get(n) for n in names),
            "a window of another client, rule or key")
        need(b["use"] == w["used"] + 1, "use is not the next one of the window")
        for name in ("approvals", "rejections", "vetoes"):
            need(b[name] == w["listed"][name], name + " are not the window's")
        need(b["policy"] == {"version": p.version, "sha256": b64(p.sha256)}, "not the policy in force")
        need(b["not_after"] == mine["expires"], "not_after is not that of the request")
        w["used"] += 1
        self.decided[r["i"]], q["decision"] = q, r

    def take_decision(self, r):
        q, b, p = self.request(r), r["body"], self.policies[-1]
        need(q["end"] is None and q["decision"] is None, "a decision on what is decided")
        if "window" in b:
            need("window" not in q["r"]["body"] and q["statement"] is None, "a window is no use of one")
            return self.take_use(r, q)
        late = r["t"] - 2000 > q["r"]["body"]["expires"]
        approved = {who for (who, _), kind in q["votes"].items() if kind == "approval"}
        for name in ("approvals", "rejections", "vetoes"):
            need(b[name] == q["listed"][name], name + " are not the votes that count")
        need(b["policy"] == {"version": q["policy"].version, "sha256": b64(q["policy"].sha256)}, "not the policy of the request")
        need(b["not_after"] == q["r"]["body"]["expires"], "not_after is not that of the request")
        if "reason" in b:
            need(b["verdict"] == "deny" and b["reason"] in ("rule", "seal", "stale", "call"), "no such reason")
        vetoed = self.vetoed(q)
        if b["verdict"] == "open":
            need("window" in q["r"]["body"] and "until" not in q and q["statement"] is not None and q["policy"] is p and
                not late and b["rule"] == q["rule"] and not vetoed and p.met(q["rule"], approved) and b["use"] == 0 and
                len(approved & q["alone"]) >= int(p.rules[q["rule"]].get("independent", ["0"])[0]), "a window that may not be opened")
            q["until"] = r["t"] + 1000 * q["r"]["body"]["window"]["seconds"]
        elif b["verdict"] == "allow":
            need("window" not in q["r"]["body"], "a window is opened, not allowed")
            need(b["rule"] in p.rules and q["policy"] is p and not late, "no such rule, another policy, or too late")
            if q["statement"] is None:
                need(p.need_of(b["rule"]) == "none", "allowed without the persons that the rule asks for")
            else:
                need(b["rule"] == q["rule"] and not vetoed and p.met(q["rule"], approved), "the need is not met")
                need(len(approved & q["alone"]) >= int(p.rules[q["rule"]].get("independent", ["0"])[0]), "fewer than independent says")
            need(b["use"] == q["used"] + 1, "use is not the next one")
            self.decided[r["i"]], q["decision"] = q, r
        else:
            need(b["verdict"] in ("deny", "rejected", "expired", "vetoed", "withdrawn", "spent"), "no such verdict")
            need(b["verdict"] != "vetoed" or vetoed, "vetoed by too few")
            need(b["verdict"] != "expired" or r["t"] > q.get("until", q["r"]["body"]["expires"]), "expired before its time")
            need(b["verdict"] != "spent" or ("until" in q and q["used"] == q["r"]["body"]["window"]["uses"]), "not spent")
            if b["verdict"] == "rejected":
                out = {who for (who, _), kind in q["votes"].items() if kind == "rejection"}
                out |= {p.person(o) for o in p.clients[q["r"]["body"]["requester"]["spki_sha256"]]["operators"]}
                need(not p.met(q["rule"], {x["person"] for x in p.people} - out), "those left could still meet the need")
            q["end"] = b["verdict"]

    def take_result(self, r):
        b = r["body"]
        d, q = self.ref(r, b["decision"], "decision"), self.request(r)
        need(q["decision"] is d and d["i"] in self.decided and not d.get("used"), "not the open decision of the request")
        d["used"] = True
        q["decision"], q["used"] = None, q["used"] + 1
        if b["rv"] == 0x150 and (q["statement"] is not None or "attachment" in q["r"]):
            q["used"] -= 1
        else:
            q["end"] = "done"
        if b["rv"] == 0:
            self.take_signature(q["r"]["body"], b)

    def take_signature(self, i, b):
        """V7: `i` says what was to be signed (an intent, or the op itself), `b` has the signature."""
        norm = i.get("norm")
        if norm is None:
            return
        need(isinstance(b.get("out"), dict) and "b64" in b["out"], "V7 a signature was made, and the record does not have it")
        spki = self.blob(unb64(i["key"]["spki_sha256"])) if "spki_sha256" in i["key"] else None
        data = self.blob(unb64(i["in"]["sha256"])) if "sha256" in i.get("in", {}) else None
        ok = None if spki is None else verify_signature(spki, norm, i["mech"].get("params", {}), data, unb64(b["out"]["b64"]))
        need(ok is not False, "V7 the signature does not verify over what was asked")
        self.verified += ok is True
        self.unverified += ok is None

    def take_recovery(self, r):
        for entry in r["body"]["open_requests"]:
            where = self.ref(r, {"i": entry["i"], "leaf": entry["leaf"]}, "intent", "decision")
            q = self.requests.get(where["i"]) or self.decided.get(where["i"])
            need(q is not None and entry["state"] in ("unknown", "not-started"), "open_requests")
            if q["decision"] is not None:
                q["decision"]["used"], q["decision"] = True, None
            q["end"] = entry["state"]

    TAKES = {"intent": take_intent, "attachment": take_attachment, "statement": take_statement, "approval": take_vote, "rejection": take_vote,
        "veto": take_vote, "decision": take_decision, "result": take_result, "recovery": take_recovery}

    def replay(self):
        whole = self.tree
        for r in self.records:
            if r.get("body_bad"):
                continue
            try:
                if r["type"] in ("genesis", "policy"):
                    self.take_policy(r, r["body"]["policy" if r["type"] == "genesis" else "note"])
                elif r["type"] in self.TAKES:
                    self.TAKES[r["type"]](self, r)
                elif r["type"] == "op":
                    p = self.policies[-1]
                    need(r["body"]["policy"] == {"version": p.version, "sha256": b64(p.sha256)}, "not the policy in force")
                    if r["body"]["rv"] == 0:
                        need(r["body"]["rule"] in p.rules and p.need_of(r["body"]["rule"]) == "none", "an op that no rule lets run")
                        self.take_signature(r["body"], r["body"])
                elif r["type"] in ("redeliver", "redelivery"):
                    self.ref(r, r["body"]["result"], "result", "op")
            except (Bad, KeyError, TypeError, ValueError, IndexError) as bad:
                self.found("V6-8", r["i"], repr(bad) if not isinstance(bad, Bad) else bad)
        starts = [r["i"] for r in self.records if r["type"] == "gateway.start"]
        for q in self.requests.values():
            d = q["decision"]
            if d is not None and starts and starts[-1] > d["i"]:
                self.found("V8", d["i"], "allowed, without result or recovery, before the gateway started again")
            elif d is None and q["end"] is None and "until" not in q and self.t > q["r"]["body"]["expires"] + 60000:
                self.found("V8", q["r"]["i"], "an intent without an end, past its time")
        assert whole is self.tree

    def run(self):
        self.read_trust()
        try:
            self.segments()
        except (Bad, OSError, UnicodeError) as bad:
            self.found("FATAL", "seg", bad)
            return 1
        self.heads()
        self.derived()
        self.replay()
        self.channels()
        return 1 if self.findings else 3 if self.missing else 0


def main(argv):
    head = None
    if "--head" in argv:
        at = argv.index("--head")
        head = open(argv[at + 1], encoding="utf-8").read()
        del argv[at : at + 2]
    if len(argv) != 3:
        print(__doc__)
        return 3
    ledger = Ledger(argv[1], open(argv[2], encoding="utf-8").read(), head)
    try:
        code = ledger.run()
    except (Bad, OSError) as bad:
        print("missing: %s" % bad)
        return 3
    for line in ledger.findings + ledger.missing:
        print(line)
    print("%d records, %d signatures verified, %d not: exit %d" % (
        len(ledger.records), ledger.verified, ledger.unverified, code))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
