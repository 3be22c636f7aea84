"""Hashes, lines, the tree, notes, signatures and evidence, for second.py: docs/ledger.md 1 to 6, docs/statements.md 8."""
import base64
import hashlib
import json
import os
import re

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


def document():
    """docs/ledger.md itself."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../../docs/ledger.md")
    return open(os.environ.get("LEDGER_MD", here), encoding="utf-8").read()


def types():
    """The table of its section 4."""
    rows, name = {}, None
    for line in document().split("## 4. Types")[1].split("An unknown type")[0].split("\n"):
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
