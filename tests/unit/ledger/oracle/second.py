#!/usr/bin/env python3
"""A second verifier of kanmon ledgers: from docs/ledger.md, docs/policy.md and docs/statements.md, and no code of ours.

    second.py LEDGER TRUST [--head NOTE] [--hsm-format FORM]      exit: 0 verified, 1 finding, 3 input is missing

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

from second_actions import *
from second_hsm import Form, Uses, judge_record
from second_standing import *


# ---- the ledger ----------------------------------------------------------------------------------------------------


class Ledger(Standing, Actions):
    def __init__(self, folder, trust, head, form=None):
        self.form = form
        self.folder, self.findings, self.missing = folder, [], []
        self.tree, self.records, self.rows = Tree(), [], types()
        self.prev, self.t, self.m, self.origin = bytes(32), 0, 0, None
        self.trust_text, self.head = trust, head
        self.requests, self.decided, self.commits = {}, {}, {}
        self.start_standing()
        self.start_actions()
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

    def ref(self, r, ref, *kinds):
        ok = ref["i"] < r["i"] and self.records[ref["i"]]["leaf"] == unb64(ref["leaf"])
        need(ok and self.records[ref["i"]]["type"] in kinds, "a reference that does not point at an earlier %s" % "/".join(kinds))
        return self.records[ref["i"]]

    def request(self, r):
        return self.requests[self.ref(r, r["body"]["request"], "intent")["i"]]

    def take_intent(self, r):
        self.requests[r["i"]] = {"r": r, "policy": self.policies[-1], "votes": {}, "alone": set(), "listed": {"approvals": [], "rejections": [],
            "vetoes": []}, "statement": None, "decision": None, "done": False, "end": None, "used": 0}
        self.check_instructed(r)

    def take_attachment(self, r):
        """What the client gave while the call waited: data that hashes to what is signed, before the statement."""
        q, b = self.request(r), r["body"]
        need(q["statement"] is None and q["decision"] is None and q["end"] is None and "attachment" not in q["r"],
            "an attachment where none is waited for")
        need(not re.fullmatch("action (0|[1-9][0-9]*)", b.get("application", {}).get("id", "")), "it names an instruction")
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
        self.check_stance(mine, True, LIMIT)
        w["used"] += 1
        self.decided[r["i"]], q["decision"] = q, r

    def take_decision(self, r):
        q, b, p = self.request(r), r["body"], self.policies[-1]
        need(q["end"] is None and q["decision"] is None, "a decision on what is decided")
        if "window" in b:
            need("window" not in q["r"]["body"] and q["statement"] is None, "a window is no use of one")
            need("application" not in b, "a use names no other instruction")
            return self.take_use(r, q)
        late = r["t"] - 2000 > q["r"]["body"]["expires"]
        approved = {who for (who, _), kind in q["votes"].items() if kind == "approval"}
        for name in ("approvals", "rejections", "vetoes"):
            need(b[name] == q["listed"][name], name + " are not the votes that count")
        need(b["policy"] == {"version": p.version, "sha256": b64(p.sha256)}, "not the policy in force")
        need(b["not_after"] == q["r"]["body"]["expires"], "not_after is not that of the request")
        if "application" in b:
            need(b["verdict"] == "allow", "it lets no call of an instruction run")
            self.check_met(r, q)
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
            self.check_stance(q["r"]["body"], False, LIMIT)
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
        q["decision"], q["used"], q["rv"] = None, q["used"] + 1, b["rv"]
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

    def take_op(self, r):
        b, p = r["body"], self.policy_of_op(r)
        need(b["op"] in self.functions, "no function that is known")
        if b["rv"] != 0:
            return
        word, durability = self.functions[b["op"]]
        need(b["rule"] in p.rules and p.need_of(b["rule"]) == "none", "an op that no rule lets run")
        need(durability != "A" or (word == "key-use" and p.rules[b["rule"]].get("class") == ["B"]), "class A, without an intent")
        self.check_stance(b, word == "key-use", r["t"] - b["dur_us"] // 1000 - AFTER_OP)
        self.take_signature(b, b)

    def take_session(self, r):
        """Who was let in by a quorum was let in by that request."""
        if "request" in r["body"]:
            q = self.request(r)
            need(q["statement"] is not None and q.get("rv") == r["body"]["rv"] and q["r"]["body"]["op"] == "C_Login",
                "its request did not let anybody in so")

    def take_recovery(self, r):
        for entry in r["body"]["open_requests"]:
            where = self.ref(r, {"i": entry["i"], "leaf": entry["leaf"]}, "intent", "decision")
            q = self.requests.get(where["i"]) or self.decided.get(where["i"])
            need(q is not None and entry["state"] in ("unknown", "not-started"), "open_requests")
            if q["decision"] is not None:
                q["decision"]["used"], q["decision"] = True, None
            q["end"] = entry["state"]

    def take_start(self, r):
        Standing.take_start(self, r)
        self.end_sessions()

    TAKES = {"action": Actions.take_action,
        "genesis": Standing.take_genesis, "policy": Standing.take_policy, "policy.proposal": Standing.take_proposal,
        "gateway.start": take_start, "anomaly": Standing.take_anomaly, "clock": Standing.take_anomaly,
        "hsm.log": Standing.take_anomaly, **dict.fromkeys(Standing.SIGNED, Standing.take_signed),
        "op": take_op, "session": take_session, "intent": take_intent, "attachment": take_attachment, "statement": take_statement, "approval": take_vote, "rejection": take_vote,
        "veto": take_vote, "decision": take_decision, "result": take_result, "recovery": take_recovery}

    def replay(self):
        whole = self.tree
        for r in self.records:
            if r.get("body_bad"):
                continue
            try:
                if r["type"] in self.TAKES:
                    self.TAKES[r["type"]](self, r)
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

    def hsm_logs(self):
        """V11, by the form that was brought."""
        uses = Uses()
        for r in self.records if self.form is not None else []:
            try:
                if r.get("body_bad"):
                    continue
                uses.take(r)
                if r["type"] == "hsm.log":
                    for why in judge_record(uses, self.form, r, self.blob) or []:
                        self.found("V11", r["i"], why)
            except OSError as gone:
                self.missing.append("V11 %d: %s" % (r["i"], gone))
            except (Bad, KeyError, TypeError, AttributeError) as bad:
                self.found("V11", r["i"], repr(bad) if not isinstance(bad, Bad) else bad)

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
        self.hsm_logs()
        return 1 if self.findings else 3 if self.missing else 0


def main(argv):
    head = form = None
    if "--hsm-format" in argv:
        at = argv.index("--hsm-format")
        form = Form(open(argv[at + 1], "rb").read())
        del argv[at : at + 2]
    if "--head" in argv:
        at = argv.index("--head")
        head = open(argv[at + 1], encoding="utf-8").read()
        del argv[at : at + 2]
    if len(argv) != 3:
        print(__doc__)
        return 3
    ledger = Ledger(argv[1], open(argv[2], encoding="utf-8").read(), head, form)
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
