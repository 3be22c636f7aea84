"""Policies and statements, for second.py: docs/policy.md and docs/statements.md."""
import calendar
import os
import re
import time

from second_parts import *

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


def ms_of(text):
    need(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text), "not a time")
    return 1000 * calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ"))


def functions():
    """The table of functions in docs/policy.md itself: the word of each for `calls`, and its durability class."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../../docs/policy.md")
    text = open(here, encoding="utf-8").read().split("### Functions")[1].split("\n### ")[0]
    out = {}
    for word, kind, names in re.findall(r"^\| `([a-z-]+)` \| ([ABC]) \| (.*) \|$", text, re.M):
        out.update((name, (word, kind)) for name in names.split())
    return out


class Policy:
    def __init__(self, text):
        self.lines = {}
        self.text, self.sha256 = text, H(text.encode())
        self.people, self.clients, self.groups, self.roles, self.rules = [], {}, {}, {}, {}
        self.terminals = []
        self.places, self.tokens, self.stances, self.delay = [], [], {}, 72 * 3600
        rule, head = None, []
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
                self.clients[w[2][5:]] = {"name": w[1], "operators": w[at + 1 :], "tokens": [x.split("=")[0] for x in w[4:at]]}
            elif w[0] == "terminal":
                self.terminals.append((w[3][5:], w[2]))
            elif w[0] == "group":
                self.groups[w[1]] = (int(w[2]), w[3:])
            elif w[0] == "role":
                at = w.index("delay") if "delay" in w else len(w)
                self.roles[w[1]] = (int(w[2]), w[3:at])
                self.delay = seconds(w[at + 1]) if at < len(w) else self.delay
            elif w[0] == "token":
                says = dict(zip(w[2::2], w[3::2]))
                self.tokens.append({"name": w[1], "label": says.get("label", w[1]), "serial": says.get("serial"),
                    "module": says.get("module")})
            elif w[0] == "stance":
                self.stances[w[1]] = w[2]
            elif w[0] == "rule":
                rule, last = self.rules.setdefault(w[1], {}), w[1]
                self.lines[last] = []
        self.origin, self.version, self.previous = head[0], int(head[1]), head[2]
        self.not_before, self.expires = ms_of(head[3]), ms_of(head[4])
        keys = [p["key"]["spki"] for p in self.people]
        need(len(keys) == len(set(keys)), "one key in two lines")
        need("policy" in self.roles, "no role policy")

    def person(self, name):
        return next((p["person"] for p in self.people if p["name"] == name), None)

    def signed_by_role(self, role, note):
        """Persons, not keys."""
        need(role in self.roles, "version %d has no role %s" % (self.version, role))
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
