#!/usr/bin/env python3
"""Two verifiers, one ledger, changed in many ways: they must say the same.

    mutate.py LEDGER TRUST LOG_KEY COUNT SEED WORK KANMON

Half of the changes are to bytes and lines as they lie on disk. The other half are what a thief of the log key could do:
a member of one record is changed or a record left out, every later index, `prev`, reference, root and framing line is made
again to fit, and the head is signed. LOG_KEY holds the b64 seed. Where the exit codes of second.py and `kanmon audit verify`
differ, the change is told and the exit is 1. With HSM_FORM in the environment, the form of an HSM's log, both judge V11. With MUTATE_TYPES in the environment all changes are of the second kind, to
records of these types.
"""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys

import second
from second import H, b64, emit, leaf_hash, unb64


def sign(seed, message):
    h = hashlib.sha512(seed).digest()
    a = (int.from_bytes(h[:32], "little") & (2**254 - 8)) | 2**254
    enc = lambda p: (lambda z: ((p[1] * z % second.P) | (p[0] * z % second.P & 1) << 255).to_bytes(32, "little"))(
        pow(p[2], second.P - 2, second.P))
    pub = enc(second.ed_mul(a, second.BASE))
    r = int.from_bytes(hashlib.sha512(h[32:] + message).digest(), "little") % second.L
    big_r = enc(second.ed_mul(r, second.BASE))
    k = int.from_bytes(hashlib.sha512(big_r + pub + message).digest(), "little") % second.L
    return pub, big_r + ((r + k * a) % second.L).to_bytes(32, "little")


def checkpoint(origin, size, root, seed):
    text = "%s\n%d\n%s\n" % (origin, size, b64(root))
    pub, sig = sign(seed, text.encode())
    keyid = H(origin.encode() + b"\n\1" + pub)[:4]
    return text + "\n\u2014 %s %s\n" % (origin, b64(keyid + sig))


def rebuild(folder, bodies, seed):
    """bodies: (type, t, m, nonce, body), as they came; all that depends on order or hashes is made again."""
    tree, prev, leaves, out = second.Tree(), bytes(32), [], []
    origin = json.loads(json.dumps(bodies[0][4]))["origin"]
    out.append("#kanmon-ledger v1 %s 0 %s" % (origin, b64(prev)))

    def refs(v):
        if isinstance(v, dict) and {"i", "leaf"} <= set(v) and isinstance(v["i"], int) and v["i"] < len(leaves):
            return dict(v, leaf=b64(leaves[v["i"]]))
        if isinstance(v, dict):
            return {n: refs(x) for n, x in v.items()}
        return [refs(x) for x in v] if isinstance(v, list) else v

    for i, (kind, t, m, nonce, body) in enumerate(bodies):
        line = emit({"body": refs(body), "i": i, "m": m, "nonce": nonce, "prev": b64(prev), "t": t, "type": kind, "v": 1})
        prev = leaf_hash(line.encode())
        leaves.append(prev)
        tree.add(prev)
        out.append(line)
        if (i + 1) % 256 == 0 or kind == "gateway.stop":
            out.append(" ".join(["#mark", str(i + 1)] + [b64(h) for h in tree.frontier()]))
        out.append("#commit %d %s" % (i + 1, b64(tree.root())))
    for name in os.listdir(os.path.join(folder, "seg")):
        os.remove(os.path.join(folder, "seg", name))
    shutil.rmtree(os.path.join(folder, "state"), ignore_errors=True)
    shutil.rmtree(os.path.join(folder, "tile"), ignore_errors=True)
    open(os.path.join(folder, "seg", "%020d.kl" % 0), "w", encoding="utf-8").write("\n".join(out) + "\n")
    open(os.path.join(folder, "checkpoint"), "w", encoding="utf-8").write(
        checkpoint(origin, len(leaves), tree.root(), seed))


def places(v, path=()):
    yield path
    if isinstance(v, dict):
        for n in sorted(v):
            yield from places(v[n], path + (n,))
    elif isinstance(v, list):
        for n, x in enumerate(v):
            yield from places(x, path + (n,))


def bend(v, r):
    if isinstance(v, bool):
        return not v
    if isinstance(v, int):
        return r.choice([v + 1, max(0, v - 1), 0, v + 100000000])
    if isinstance(v, str):
        if not v:
            return "x"
        n = r.randrange(len(v))
        return r.choice([v[:n] + ("A" if v[n] != "A" else "B") + v[n + 1 :], v[:-1], v + "x"])
    return [] if isinstance(v, list) else {}


def wanted(bodies):
    """Which records are changed: all but the first, or those of the types in MUTATE_TYPES."""
    types = os.environ.get("MUTATE_TYPES", "").split()
    return [n for n in range(1, len(bodies)) if not types or bodies[n][0] in types]


def change_member(bodies, r):
    n = r.choice(wanted(bodies))
    kind, t, m, nonce, body = bodies[n]
    body = json.loads(json.dumps(body))
    path = r.choice([p for p in places(body) if p])
    at = body
    for step in path[:-1]:
        at = at[step]
    if r.random() < 0.15 and isinstance(at, dict):
        del at[path[-1]]
        what = "dropped"
    else:
        at[path[-1]] = bend(at[path[-1]], r)
        what = "changed to %.60r" % (at[path[-1]],)
    bodies[n] = (kind, t, m, nonce, body)
    return "record %d %s: %s %s" % (n, kind, ".".join(map(str, path)), what)


def leave_out(bodies, r):
    n = r.choice(wanted(bodies))
    what = "record %d %s left out" % (n, bodies[n][0])

    def move(v):
        if isinstance(v, dict):
            out = {k: move(x) for k, x in v.items()}
            if {"i", "leaf"} <= set(v) and isinstance(v["i"], int) and v["i"] > n:
                out["i"] = v["i"] - 1
            return out
        return [move(x) for x in v] if isinstance(v, list) else v

    del bodies[n]
    bodies[n:] = [(k, t, m, c, move(b)) for k, t, m, c, b in bodies[n:]]
    return what


def thief(folder, r, seed):
    lines = [l for name in sorted(os.listdir(folder + "/seg")) if name.endswith(".kl")
             for l in open(folder + "/seg/" + name, encoding="utf-8").read().split("\n") if l.startswith("{")]
    bodies = [(x["type"], x["t"], x["m"], x["nonce"], x["body"]) for x in map(json.loads, lines)]
    what = r.choice([change_member, change_member, change_member, leave_out])(bodies, r)
    rebuild(folder, bodies, seed)
    return what


def disk(folder, r, _seed):
    name = folder + "/seg/" + r.choice(sorted(n for n in os.listdir(folder + "/seg") if n.endswith(".kl")))
    raw = open(name, "rb").read()
    lines = raw.split(b"\n")
    n, way = r.randrange(len(lines) - 1), r.randrange(5)
    if way == 0:
        at, bit = r.randrange(len(raw)), 1 << r.randrange(8)
        raw, what = raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :], "bit %#x of byte %d" % (bit, at)
    elif way == 1:
        at = r.randrange(len(raw))
        raw, what = raw[:at], "cut at %d" % at
    else:
        what = "line %d %s" % (n + 1, ("dropped", "doubled", "exchanged with the next")[way - 2])
        if way == 2:
            del lines[n]
        elif way == 3:
            lines.insert(n, lines[n])
        else:
            lines[n : n + 2] = reversed(lines[n : n + 2])
        raw = b"\n".join(lines)
    open(name, "wb").write(raw)
    return what


def main(ledger, trust, log_key, count, seed, work, kanmon):
    r, secret = random.Random(int(seed)), unb64(open(log_key).read().strip())
    text = open(trust, encoding="utf-8").read()
    path = os.environ.get("HSM_FORM")
    form, also = (second.Form(open(path, "rb").read()), ["--hsm-format", path]) if path else (None, [])
    apart, found = 0, 0
    for n in range(int(count)):
        folder = os.path.join(work, "bent")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ledger, folder, ignore=shutil.ignore_patterns("*.tmp"))  # its gateway may be writing one
        try:
            what = (disk if n % 2 and "MUTATE_TYPES" not in os.environ else thief)(folder, r, secret)
        except second.Bad:  # a value that no line can hold: nothing to compare
            continue
        try:
            mine = second.Ledger(folder, text, None, form)
            code = mine.run()
        except (second.Bad, OSError) as bad:
            mine, code = None, 3
        theirs = subprocess.run([kanmon, "audit", "verify", folder, "--trust", trust] + also, capture_output=True, text=True)
        found += code == 1
        told = [l for l in theirs.stdout.split("\n") if l.startswith(("finding", "FATAL", "missing"))]
        beyond = [l for l in told if l.split()[1] in ("V9", "V10")]  # clocks and time stamps: not second.py's
        if code == 0 and told and told == beyond:
            continue
        if (code == 0) != (theirs.returncode in (0, 2)):
            apart += 1
            print("seed %s change %d, %s: second.py says %d %s, kanmon %d\n%s" % (
                seed, n, what, code, mine.findings if mine else "", theirs.returncode,
                "\n".join(told)))
    print("%s changes, %d findings, %d apart" % (count, found, apart))
    return 1 if apart or not found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
