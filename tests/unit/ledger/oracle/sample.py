#!/usr/bin/env python3
"""Makes the sample ledger of docs/examples out of a real gateway's, for sample.sh.

    sample.py LEDGER TRUST LOG_KEY TSA_FOLDER POLICY_2 OUT

A gateway writes most types of records by itself. Those that come once in years, or by hardware that no test has, are put
behind them here, as docs/ledger.md describes them, and the chain, roots, references and the signed head are made again.
"""
import base64
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys

import mutate
import second
from second import H, b64, leaf_hash


def lines_of(folder):
    return [l for name in sorted(os.listdir(folder + "/seg")) if name.endswith(".kl")
            for l in open(folder + "/seg/" + name, encoding="utf-8").read().split("\n") if l.startswith("{")]


class Maker:
    def __init__(self, ledger, log_key, tsa, out):
        shutil.copytree(ledger, out)
        shutil.rmtree(out + "/quarantine", ignore_errors=True)
        os.mkdir(out + "/quarantine")
        self.out, self.tsa, self.raw = out, tsa, lines_of(ledger)
        self.seed = base64.b64decode(open(log_key).read())
        self.rows = [(x["type"], x["t"], x["m"], x["nonce"], x["body"]) for x in map(json.loads, self.raw)]
        self.origin = self.rows[0][4]["origin"]
        self.t, self.m = self.rows[-1][1] + 60000, self.rows[-1][2] + 60000

    def leaves(self):
        mutate.rebuild(self.out, self.rows, self.seed)
        return [leaf_hash(l.encode()) for l in lines_of(self.out)]

    def ref(self, i):
        return {"i": i, "leaf": b64(self.leaves()[i])}

    def last(self, kind):
        return max(i for i, row in enumerate(self.rows) if row[0] == kind)

    def add(self, kind, body, t=None):
        self.t, self.m = t or self.t + 100, self.m + 100
        self.rows.append((kind, self.t, self.m, b64(os.urandom(16)), body))
        return len(self.rows) - 1

    def blob(self, data):
        name = H(data)
        open(self.out + "/blobs/" + name.hex(), "wb").write(data)
        return b64(name)

    def checkpoint(self):
        tree = second.Tree()
        for leaf in self.leaves():
            tree.add(leaf)
        return tree, mutate.checkpoint(self.origin, len(self.rows), tree.root(), self.seed)

    def stamp(self, message, alg):
        """What a time stamp's record says of its token."""
        run = lambda *a: subprocess.run(["openssl", *a], cwd=self.tsa, check=True, capture_output=True).stdout
        open(self.tsa + "/message", "wb").write(message)
        query = run("ts", "-query", "-data", "message", "-" + alg, "-cert")
        open(self.tsa + "/query", "wb").write(query)
        open(self.tsa + "/reply", "wb").write(run("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query"))
        open(self.tsa + "/token", "wb").write(run("ts", "-reply", "-in", "reply", "-token_out"))
        text = run("ts", "-reply", "-in", "token", "-token_in", "-text").decode()
        says = dict(l.split(": ", 1) for l in text.split("\n") if ": " in l)
        at = datetime.datetime.strptime(says["Time stamp"].replace(" GMT", ""), "%b %d %H:%M:%S %Y")
        epoch = datetime.datetime(1970, 1, 1)
        anchor = self.rows[self.last("anchor")][4]
        return {"tsa": anchor["tsa"], "imprint_alg": alg, "nonce_tsa": says["Nonce"][2:].lower().zfill(16),
                "token": b64(open(self.tsa + "/token", "rb").read()), "chain_sha256": anchor["chain_sha256"],
                "gen_time": int((at - epoch).total_seconds() * 1000), "policy_oid": anchor["policy_oid"]}

    def renewal(self):
        i = self.last("anchor")
        a = self.rows[i][4]
        chain = open(self.out + "/blobs/" + base64.b64decode(a["chain_sha256"]).hex(), "rb").read()
        item = "anchor %d %s %s %s\n" % (i, self.ref(i)["leaf"], b64(H(base64.b64decode(a["token"]))), b64(H(chain)))
        m = "kanmon/renewal/v1\norigin %s\nalg sha256\n%s" % (self.origin, item)
        self.add("renewal", dict(self.stamp(m.encode(), "sha256"), covers=[self.ref(i)]))

    def rehash(self):
        h512 = lambda b: hashlib.sha512(b).digest()
        tree, _ = self.checkpoint()

        def root(lines):
            if len(lines) == 1:
                return h512(b"\0" + lines[0].encode())
            k = 1
            while 2 * k < len(lines):
                k *= 2
            return h512(b"\1" + root(lines[:k]) + root(lines[k:]))

        new = root(lines_of(self.out))
        names = sorted(os.listdir(self.out + "/blobs"))
        manifest = "kanmon/manifest/v1\n" + "".join("%s %s\n" % (
            n, hashlib.sha512(open(self.out + "/blobs/" + n, "rb").read()).hexdigest()) for n in names)
        m = "kanmon/rehash/v1\norigin %s\nalg sha512\nsize %d\nold-root %s\nnew-root %s\nblobs %s\n" % (
            self.origin, len(self.rows), b64(tree.root()), b64(new), b64(h512(manifest.encode())))
        body = {"alg": "sha512", "size": len(self.rows), "old_root": b64(tree.root()), "new_root": b64(new),
                "manifest_sha256": self.blob(manifest.encode())}
        self.add("rehash", dict(self.stamp(m.encode(), "sha512"), **body))


def client_channel(k):
    """channel.open of the application, as it was."""
    return next(row[4] for row in k.rows if row[0] == "channel.open" and row[4]["peer"]["name"] == "app")


def main(ledger, trust, log_key, tsa, policy_2, out):
    k = Maker(ledger, log_key, tsa, out)
    result = next(i for i, row in enumerate(k.rows) if row[0] == "result" and "b64" in row[4].get("out", {}))
    request = k.rows[result][4]["request"]["i"]
    statement = next(row[4] for row in k.rows if row[0] == "statement" and row[4]["request"]["i"] == request)
    k.add("gateway.start", k.rows[k.last("gateway.start")][4])
    chan = k.add("channel.open", dict(client_channel(k), chan=len(k.rows)))
    said = {"chan": chan, "seq": 1, "result": k.ref(result)}
    k.add("redeliver", said)
    k.add("redelivery", dict(said, sess=1, seq=2, req_sha256=b64(H(b"call")), rv=0, rv_name="CKR_OK", resp_sha256=b64(H(b"answer"))))
    k.add("channel.close", {"chan": chan, "reason": "the client hung up", "counts": {}})
    k.add("action", {"ui_sess": "9f4c", "actor": {"id": "person:0001", "spki_sha256": b64(H(b"browser"))}, "what": "viewed",
                     "subject": k.ref(request), "shown_sha256": statement["sha256"]})
    k.add("custodian.credential", {"custodian": "mori", "vkey": second_vkey("custodian.example/mori", 1), "evidence": "none",
                                   "approvals": []})
    k.add("log.key", {"event": "add", "vkey": second_vkey("log.example/reserved", 1), "proof": "reserved", "approvals": []})
    k.add("hsm.log", {"source": "example", "rows": "1 C_Sign root-ca\n", "matches": [result], "unmatched": 0})
    k.add("anomaly", {"what": "another module", "token": "a token of no client", "detail": "serial 1234 in the place of 1233"})
    _, note = k.checkpoint()
    k.add("checkpoint", {"note": note})
    other = "kanmon.example/gw2/2026"
    peer_head = H(b"a head of the other gateway")
    k.add("peer", {"origin": other, "note": mutate.checkpoint(other, 7, peer_head, H(b"log key of gw2")), "old_size": 0,
                   "consistency": []})
    k.add("clock", {"before": k.t + 100, "after": k.t + 5100, "source": "CLOCK_BOOTTIME", "reason": "set by an operator"}, k.t + 5100)
    k.renewal()
    k.rehash()
    k.add("policy", {"version": 2, "note": open(policy_2, encoding="utf-8").read(), "effective_after": len(k.rows)})
    k.add("gateway.stop", {"reason": "end of the sample"})
    k.leaves()
    missing = sorted(set(second.types()) - {row[0] for row in k.rows} - {"closed"})  # which kanmon writes
    print("%d records; types that are not in it: %s" % (len(k.rows), " ".join(missing) or "none"))
    return 0


def second_vkey(name, kind):
    pub, _ = mutate.sign(H(name.encode()), b"")
    data = bytes([kind]) + pub
    return "%s+%s+%s" % (name, H(name.encode() + b"\n" + data)[:4].hex(), b64(data))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
