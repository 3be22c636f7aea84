#!/usr/bin/env python3
"""A wrong `attachment`, forced into a ledger by who holds the log key: every hash and head is made again to fit.

    attachment.py LEDGER TRUST LOG_KEY WORK KANMON
What is left to catch it is said by both verifiers: the data must hash to what was signed (record of the attachment), and the
statement, which custodians signed, names the attachment by index and leaf (record of the statement).
"""
import json
import os
import re
import shutil
import subprocess
import sys

import second
from mutate import rebuild
from second import b64, unb64


def moved(v, n):
    """References behind record n, where one is put in."""
    if isinstance(v, dict):
        out = {k: moved(x, n) for k, x in v.items()}
        if {"i", "leaf"} <= set(v) and isinstance(v["i"], int) and v["i"] >= n:
            out["i"] = v["i"] + 1
        return out
    return [moved(x, n) for x in v] if isinstance(v, list) else v


def again(bodies, at):
    """The same attachment once more, after its statement."""
    kind, t, m, _, body = bodies[at]
    bodies[at + 2 :] = [(k, t2, m2, c, moved(b, at + 2)) for k, t2, m2, c, b in bodies[at + 2 :]]
    bodies.insert(at + 2, (kind, bodies[at + 1][1], bodies[at + 1][2], b64(second.H(b"again")[:16]), body))


def changed(**members):
    def change(bodies, at):
        kind, t, m, nonce, body = bodies[at]
        bodies[at] = (kind, t, m, nonce, {**body, **members})

    return change


def elsewhere(bodies, at):
    """It is said to be of the first request."""
    first = next(n for n, b in enumerate(bodies) if b[0] == "intent")
    changed(request={"i": first, "leaf": ""})(bodies, at)


def main(ledger, trust, log_key, work, kanmon):
    text, secret = open(trust, encoding="utf-8").read(), unb64(open(log_key).read().strip())
    lines = [l for l in open(ledger + "/seg/%020d.kl" % 0, encoding="utf-8").read().split("\n") if l.startswith("{")]
    records = [json.loads(l) for l in lines]
    # what comes after its result states heads of before
    records = records[: next(r["i"] for r in records if r["type"] == "result" and r["i"] > next(x["i"] for x in records if x["type"] == "attachment")) + 1]
    at = next(n for n, r in enumerate(records) if r["type"] == "attachment")
    spki = next(r["body"]["key"]["spki_sha256"] for r in records if r["type"] == "intent" and "spki_sha256" in r["body"]["key"])
    kept = {"sha256": spki, "len": os.path.getsize(ledger + "/blobs/" + unb64(spki).hex())}
    cases = [  # what, the change, which record both find wrong
        ("another application", changed(application={"id": "APP-2026-9999"}), at + 1),
        ("data that is kept, and is not what was signed", changed(**{"in": kept}), at),
        ("a content that it is said to be over", changed(econtent=kept), at + 1),
        ("an instruction of the console", changed(application={"id": "action 3"}), at),
        ("of another request", elsewhere, at),
        ("a second one", again, at + 2),
    ]
    apart = 0
    for what, change, where in cases:
        folder = os.path.join(work, "attached")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ledger, folder)
        bodies = [(r["type"], r["t"], r["m"], r["nonce"], r["body"]) for r in records]
        change(bodies, at)
        rebuild(folder, bodies, secret)
        mine = second.Ledger(folder, text, None, None)
        code = mine.run()
        theirs = subprocess.run([kanmon, "audit", "verify", folder, "--trust", trust], capture_output=True, text=True)
        told = [l for l in theirs.stdout.split("\n") if re.match("finding +V6 ", l)]
        here = any(f.startswith("V6-8 %d:" % where) for f in mine.findings)
        there = any(re.search(r"\brecord %d\b" % where, l) for l in told)
        if code != 1 or theirs.returncode != 1 or not here or not there:
            apart += 1
            print("%s: second.py %d %s, kanmon %d %s" % (what, code, mine.findings, theirs.returncode, told))
    print("%d wrong attachments, %d not found" % (len(cases), apart))
    return 1 if apart else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
