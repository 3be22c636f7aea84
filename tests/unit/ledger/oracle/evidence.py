#!/usr/bin/env python3
"""A note with three types of evidence, made by others' code: who signed it, and that no changed byte goes unseen.

    evidence.py NOTE
Keys: Ed25519 seed SHA-256("alice"), P-256 scalars 7 (carol's card) and 9 (bob's security key at https://approve.example).
"""
import hashlib
import sys

import second as s

PLACES = [{"origin": "https://approve.example", "rp": "approve.example", "independent": False}]


def vkey(name, kind, pub):
    data = b"\xff" + kind + b"\0" + pub if kind else b"\1" + pub
    return s.parse_vkey("%s+%s+%s" % (name, s.H(name.encode() + b"\n" + data)[:4].hex(), s.b64(data)))


def ed_public(seed):
    h = bytearray(hashlib.sha512(seed).digest()[:32])
    h[0] &= 248
    h[31] = h[31] & 127 | 64
    x, y, z, _ = s.ed_mul(int.from_bytes(h, "little"), s.BASE)
    x, y = x * pow(z, -1, s.P) % s.P, y * pow(z, -1, s.P) % s.P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def p256(scalar):
    m, a, _, _, base = s.CURVES["2a8648ce3d030107"]
    x, y = s.ec_mul(scalar, base, a, m)
    return s.SPKI["p256"] + x.to_bytes(32, "big") + y.to_bytes(32, "big")


KEYS = [vkey("cust.example/alice", b"", ed_public(s.H(b"alice"))),
    vkey("cust.example/carol", b"kanmon/ecdsa-p256-sha256/v1", p256(7)),
    vkey("cust.example/bob", b"kanmon/webauthn-es256/v1", p256(9))]
note, alone = open(sys.argv[1], encoding="utf-8").read(), []
text, signed = s.verify_note(note, KEYS, places=PLACES, independent=alone)
assert [k["name"][-5:] for k in signed] == ["alice", "carol", "e/bob"] and len(alone) == 2, "who signed"
bob = [k for k in KEYS if k["name"].endswith("bob")]
_, lines = s.parse_note(note)
sig = lines[2][2]
for i in range(len(sig)):
    try:
        s.verify_evidence(bob[0], text.encode(), sig[:i] + bytes([sig[i] ^ 1]) + sig[i + 1 :], PLACES)
    except s.Bad:
        continue
    sys.exit("byte %d of the assertion may change" % i)
for places in ([], [dict(PLACES[0], rp="evil.example")], [dict(PLACES[0], origin="https://evil.example")]):
    try:
        s.verify_evidence(bob[0], text.encode(), sig, places)
    except s.Bad:
        continue
    sys.exit("another place does")
print("three types of evidence verify")
