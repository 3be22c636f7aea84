"""What stands, for second.py: policy versions and those of the recovery role, what people sign beside votes, anomalies and
stances. From docs/ledger.md 4, docs/statements.md 8, docs/policy.md (Stances, Versions, Functions)."""
from second_policy import *

MARGIN = 2000  # ms: what was decided a moment before its record has a time
AFTER_OP = 60000  # a class B call's record comes after the HSM's answer

SIGNED = {  # first line: type of the record, its lines
    "kanmon/attestation/v1": ("attestation", "origin=value kind=word title=value document-len=number document-sha256=hash"),
    "kanmon/veto/v1": ("policy.veto", "origin=value policy=pair reason=value"),
    "kanmon/reopen/v1": ("reopen", "origin=value policy=pair token=word anomaly=pair reason=value"),
}


def number(text):
    need(re.fullmatch("0|[1-9][0-9]{0,15}", text) and int(text) < LIMIT, "not a number")
    return int(text)


def pair(text):
    first, _, rest = text.partition(" ")
    return number(first), unb64(rest, 32)


def word(text):
    need(re.fullmatch("[A-Za-z0-9._-]{1,64}", text), "not a word")
    return text


VALUES = {"value": lambda text: text, "number": number, "pair": pair, "word": word, "hash": lambda text: unb64(text, 32)}


def signed_lines(text, kind):
    """The lines of a text of statements.md 8, as a record of that type has it."""
    lines = text.split("\n")
    need(lines[0] in SIGNED and SIGNED[lines[0]][0] == kind and len(text.encode()) <= 20480, "not what its record takes")
    rows = [row.split("=") for row in SIGNED[lines[0]][1].split(" ")]
    need(len(lines) == len(rows) + 2, "a line too many, or too few")
    out = {}
    for (key, how), line in zip(rows, lines[1:]):
        begin, _, text = line.partition(" ")
        need(begin == key and 1 <= len(text.encode()) <= 1024 and text.strip(" ") == text and
            not any(hidden(ord(c)) for c in text), "no %s as it must stand there" % key)
        out[key] = VALUES[how](text)
    return out


class Standing:
    """The part of a Ledger that knows which policy is in force and what is wrong with which token."""

    def start_standing(self):
        self.policies, self.in_force_t = [], 0
        self.waiting, self.boot = None, (-1, 0, None)  # boot: index and m of the first start of this boot, its id
        self.anomalies, self.reopened = {}, {}
        self.functions = functions()

    # versions

    def next_version(self, note, role):
        before = self.policies[-1] if self.policies else None
        text, _ = parse_note(note)
        p = Policy(text)
        need(p.origin == self.origin and p.signed_by_role("policy", note)[1], "not signed by its own role policy")
        if before is None:
            need(p.version == 1 and p.previous == "none", "not version 1")
        else:
            need(p.version == before.version + 1 and p.previous == b64(before.sha256), "does not continue the one before")
            need(before.signed_by_role(role, note)[1], "not signed by the role %s of the version before" % role)
        return p

    def in_its_time(self, p, t):
        need(p.not_before <= t and t - MARGIN < p.expires, "not in its time when it takes effect")

    def put_in_force(self, r, p):
        self.policies.append(p)
        self.instructions = {}  # they were signed under the version before
        self.in_force_t, self.waiting = r["t"], None

    def take_genesis(self, r):
        p = self.next_version(r["body"]["policy"], "policy")
        if p.sha256 != self.pin:
            self.found("V5", r["i"], "policy 1 is not the pinned one")
        self.put_in_force(r, p)

    def take_policy(self, r):
        b, w = r["body"], self.waiting
        if "proposal" in b:
            need(w is not None and b["proposal"] == {"i": w["r"]["i"], "leaf": b64(w["r"]["leaf"])} and
                b["note"] == w["r"]["body"]["note"], "a proposal that does not wait")
            delay = 1000 * self.policies[-1].delay
            since = self.boot[1] if self.boot[0] > w["r"]["i"] else w["r"]["m"]
            need(r["t"] >= w["r"]["t"] + delay and r["m"] >= since + delay, "before its delay is over")
        p = self.next_version(b["note"], "recovery" if "proposal" in b else "policy")
        self.in_its_time(p, r["t"])
        need(b["version"] == p.version, "the record names another version")
        self.put_in_force(r, p)

    def take_proposal(self, r):
        b = r["body"]
        need(self.waiting is None or r["t"] >= self.waiting["policy"].expires, "a proposal, and another one waits")
        due = r["t"] + 1000 * self.policies[-1].delay
        p = self.next_version(b["note"], "recovery")
        self.in_its_time(p, due)
        need(b["version"] == p.version and b["effective_at"] <= due, "another version, or a later time than its delay makes")
        self.waiting = {"r": r, "policy": p}

    def take_start(self, r):
        if r["body"]["boot_id"] != self.boot[2]:
            self.boot = (r["i"], r["m"], r["body"]["boot_id"])

    def policy_of_op(self, r):
        """In force; or the version before, of a call that began not long after it ended."""
        b, last = r["body"], self.policies[-1]
        named = lambda p: b["policy"] == {"version": p.version, "sha256": b64(p.sha256)}
        if named(last):
            return last
        need(len(self.policies) > 1 and named(self.policies[-2]) and
            r["t"] - b["dur_us"] // 1000 - AFTER_OP <= self.in_force_t, "not the policy in force")
        return self.policies[-2]

    # what people sign beside votes

    def take_signed(self, r):
        p, note = self.policies[-1], r["body"]["note"]
        text, signed = verify_note(note, [x["key"] for x in p.people], 24576, p.places)
        said = signed_lines(text, r["type"])
        who = {x["name"] for x in p.people if x["key"] in signed}
        need(said["origin"] == self.origin, "about another ledger")
        need(who, "nobody of the policy signed it")
        self.SIGNED[r["type"]](self, said, who)

    def attested(self, said, who):
        need(said["kind"] in ("risk-review", "ceremony-script", "entry-log", "other"), "no kind of document")

    def policy_vetoed(self, said, who):
        p, w = self.policies[-1], self.waiting
        need(w is not None and said["policy"] == (w["policy"].version, w["policy"].sha256), "no such policy waits")
        role = "veto" if "veto" in p.roles else "policy"
        need(who & set(p.roles[role][1]), "nobody of role %s signed it" % role)
        self.waiting = None

    def token_reopened(self, said, who):
        p, last = self.policies[-1], self.against(said["token"])
        need(said["policy"] == (p.version, p.sha256), "it names a policy that is not in force")
        need(last is not None and said["anomaly"] == (last["i"], last["leaf"]), "not the last anomaly that stands")
        need(len(who & set(p.roles["policy"][1])) >= p.roles["policy"][0], "too few of role policy signed it")
        self.reopened[said["token"]] = last["i"]

    SIGNED = {"attestation": attested, "policy.veto": policy_vetoed, "reopen": token_reopened}

    # anomalies and stances

    def take_anomaly(self, r):
        b = r["body"]
        if r["type"] == "anomaly":
            six = {"cause", "client", "chan", "seq", "req_sha256", "resp_sha256"} & set(b)
            if six:
                mine = [c for c in self.policies[-1].clients.values() if c["name"] == b.get("client")]
                need(len(six) == 6 and b["cause"] == "receipt", "a refused receipt without all that it says")
                need(mine and b.get("token") in mine[0]["tokens"], "a token that its client's line does not name")
            self.anomalies[b.get("token", "")] = r
        elif (b["after"] < b["before"]) if r["type"] == "clock" else b["unmatched"] > 0:
            self.anomalies[""] = r

    def against(self, token):
        """The last anomaly that stands against a token; None: none does."""
        found = [self.anomalies[name] for name in {token, ""} if name in self.anomalies]
        last = max(found, key=lambda r: r["i"]) if found else None
        return last if last is not None and self.reopened.get(token, -1) < last["i"] else None

    def check_stance(self, body, use, since):
        """`use`: of an op with a key, or of a window; since: an anomaly is no later than that, or was not known."""
        key, hsm = ({} if not isinstance(body.get(n), dict) else body[n] for n in ("key", "hsm"))
        shown = {"label": key.get("token"), "serial": key.get("serial", hsm.get("serial")), "module": key.get("module")}
        if shown["label"] is None and shown["serial"] is None:
            return
        fits = lambda t: all(None in (t[n], shown[n]) or t[n] == shown[n] for n in shown)
        p = self.policies[-1]
        token = next((t["name"] for t in p.tokens if fits(t)), None)
        last = self.against(token) if token in p.stances else None
        need(last is None or last["t"] > since or not (p.stances[token] == "seal" or use),
            "it went on, though record %s stands against token %s" % (last and last["i"], token))
