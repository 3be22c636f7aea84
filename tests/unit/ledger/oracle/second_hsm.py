"""V11, rows of the HSM's own log, for second.py: docs/ledger.md 7c."""
import calendar
import re
import time

from second_parts import *

EXPLAINED = "sign decrypt encrypt generate derive wrap unwrap import destroy login admin ignore".split()
FIELDS = "time operation key serial result counter".split()


def classes():
    """Which class a function has: the list of section 7c."""
    found = {}
    for line in document().split("## 7c.")[1].split("## 8.")[0].split("\n"):
        words = line.split()
        if line.startswith("    class "):
            found.update(dict.fromkeys(words[2:], words[1]))
    return found


def posix(pattern):
    """A POSIX extended regular expression, as Python has them: brackets take a backslash as it is."""
    need(len(pattern.encode()) <= 1024, "a pattern that is too long")
    named = {"alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "digit": "0-9", "lower": "a-z", "upper": "A-Z", "space": r"\s",
        "xdigit": "0-9a-fA-F"}

    def bracket(m):
        inside = m[2].replace("\\", r"\\")
        inside = re.sub(r"\[:(\w+):\]", lambda c: named[c[1]], inside).replace("[", r"\[")
        return "[" + m[1] + (r"\]" if m[2][:1] == "]" else "") + inside[m[2][:1] == "]":] + "]"

    try:
        return re.compile(re.sub(r"(?<!\\)\[(\^?)(\]?(?:\[:\w+:\]|[^\]])*)\]", bracket, pattern), re.A)
    except (re.error, KeyError):
        raise Bad("not a pattern")


def number(text):
    need(re.fullmatch("[0-9]{1,15}", text), "not a number")
    return int(text)


class Form:
    def __init__(self, raw):
        self.sha256, lines = H(raw), raw.decode("utf-8").split("\n")
        need(lines[0] == "kanmon/hsm-log/v1", "the first line")
        self.name = self.kind = self.line = self.failed = None
        self.time, self.group, self.skip, self.operation, self.key, self.counts = "none", {}, [], {}, {}, set()
        for line in lines[1:]:
            need(len(line.encode()) < 1056 and "\0" not in line, "a line of a form")
            if line == "" or line[0] == "#":
                continue
            name, value = (re.split("[ \t]+", line, maxsplit=1) + [""])[:2]
            need(value != "" and name in self.TAKES, "no setting of a form")
            self.TAKES[name](self, value)
        need(None not in (self.name, self.kind, self.line), "name, kind and line")
        need(all(n <= self.line.groups for n in self.group.values()), "a group that line does not have")
        need({"key", "counter"} <= set(self.group) if self.kind == "counters" else "operation" in self.group and self.operation,
            "the fields that its kind needs")
        need(("time" in self.group) == (self.time != "none") and (self.failed is None or "result" in self.group), "its fields")

    def words(self, value):
        words = re.split("[ \t]+", value, maxsplit=1)
        need(len(words) == 2 and all(1 <= len(w.encode()) <= 127 for w in words), "two words")
        return words

    def one_of(self, value, words):
        need(value in words, "none of its words")
        return value

    def take_name(self, value):
        self.name = value.encode()[:127].decode("utf-8", "ignore")

    def take_kind(self, value):
        self.kind = self.one_of(value, ("rows", "counters"))

    def take_line(self, value):
        need(self.line is None, "line twice")
        self.line = posix(value)

    def take_failed(self, value):
        need(self.failed is None, "failed twice")
        self.failed = posix(value)

    def take_field(self, value):
        name, group = self.words(value)
        need(re.fullmatch("[1-9]", group), "no group")
        self.group[self.one_of(name, FIELDS)] = int(group)

    def take_time(self, value):
        self.time = self.one_of(value, ("rfc3339", "epoch", "epoch-ms", "none"))

    def take_skip(self, value):
        need(len(self.skip) < 16, "too many skip lines")
        self.skip.append(posix(value))

    def take_operation(self, value):
        word, name = self.words(value)
        self.operation[word] = self.one_of(name, EXPLAINED)

    def take_key(self, value):
        word, stands_for = self.words(value)
        self.key.setdefault(word, stands_for)

    def take_counts(self, value):
        self.counts.add(self.one_of(value, EXPLAINED))

    TAKES = {"name": take_name, "kind": take_kind, "line": take_line, "field": take_field, "time": take_time,
        "skip": take_skip, "operation": take_operation, "counts": take_counts, "failed": take_failed, "key": take_key}

    def when(self, text):
        if self.time == "rfc3339":
            m = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)([.,]\d*)?(?:Z|\+00:00)", text, re.A)
            need(m, "not a time")
            try:
                whole = calendar.timegm(time.strptime(m[1] + m[2], "%Y-%m-%d%H:%M:%S"))
            except ValueError:
                raise Bad("not a time")
            return 1000 * whole + int(((m[3] or ".")[1:] + "000")[:3])
        if self.time == "none":
            return 0
        ms = number(text) * (1000 if self.time == "epoch" else 1)
        need(ms or self.time == "epoch-ms", "not a time")
        return ms

    def read(self, text):
        """What a line says; None: it is ignored; Bad: the form does not explain it."""
        if any(p.search(text) for p in self.skip):
            return None
        m = self.line.search(text)
        need(m, "no line of this log")
        row = {n: (m[self.group[n]] or "") if n in self.group else "" for n in FIELDS}
        need(all(len(w.encode("utf-8", "surrogateescape")) <= 127 for w in row.values()), "a word that is too long")
        row["t"] = self.when(row["time"])
        if self.kind == "counters":
            row["counter"] = number(row["counter"])
        row["class"] = self.operation.get(row["operation"])
        row["key"] = self.key.get(row["key"], row["key"])
        row["failed"] = self.failed is not None and self.failed.search(row["result"]) is not None
        return None if row["class"] == "ignore" else row


class Uses:
    """What the HSM did, by the records; each source's lines use up uses."""

    def __init__(self):
        self.classes, self.uses, self.crashes, self.intents, self.last, self.met = classes(), [], [], {}, 0, {}

    def keep(self, r, name, key, asked, since, rv, serial):
        first = lambda n: key.get(n) or asked.get("key", {}).get(n, "")
        label = first("label")
        for template in ("pPrivateKeyTemplate", "pTemplate", "pPublicKeyTemplate"):
            label = label or asked.get("template", {}).get(template, {}).get("CKA_LABEL", "")
        if self.classes.get(name, "ignore") != "ignore":
            self.uses.append({"i": r["i"], "class": self.classes[name], "label": label, "id": first("id"), "spki": first("spki_sha256"),
                "from": since, "to": r["t"], "failed": rv not in (0, None), "unknown": rv is None, "serial": serial})

    def take(self, r):
        b, kind = r["body"], r["type"]
        key, serial = b.get("key", {}), b.get("hsm", {}).get("serial", "") if isinstance(b.get("hsm"), dict) else ""
        if kind == "intent":
            self.intents[r["i"]] = r
        elif kind in ("op", "result") and "rv" in b and (kind == "result" or b["dur_us"] > 0):
            asked = self.intents[b["request"]["i"]]["body"] if kind == "result" else {}
            self.keep(r, b.get("op") or asked.get("op"), key, asked, max(0, r["t"] - b.get("dur_us", 0) // 1000), b["rv"], serial)
        elif kind == "session" and "request" not in b and "rv" in b:
            self.keep(r, b["event"], key, {}, r["t"], b["rv"], serial)
        elif kind == "recovery":
            self.crashes.append((r["i"], self.last, r["t"]))
            for entry in b["open_requests"]:
                q = self.intents.get(entry["i"])
                if entry["state"] == "unknown" and q is not None:
                    self.keep(r, q["body"]["op"], {}, q["body"], q["t"], None, "")
        self.last = r["t"]

    def is_of(self, row, use):
        bare = row["key"][2:] if row["key"].startswith("0x") else row["key"]
        key = row["key"] in ("", use["label"], use["spki"]) or (use["id"] != "" and bare.lower() == use["id"].lower())
        return key and (row["serial"] == "" or use["serial"] in ("", row["serial"]))

    def fits(self, row, use, tolerance):
        return use["class"] == row["class"] and (use["unknown"] or use["failed"] == row["failed"]) and self.is_of(row, use) and \
            (row["t"] == 0 or use["from"] - tolerance <= row["t"] <= use["to"] + tolerance)

    def match(self, row, uses, crashes, met, tolerance):
        for unknown in (False, True):
            fit = [n for n, u in enumerate(uses) if u["unknown"] == unknown and n not in met and self.fits(row, u, tolerance)]
            if fit:
                best = min(fit, key=lambda n: uses[n]["to"]) if row["t"] else fit[0]
                met.add(best)
                return uses[best]["i"]
        lost = any(row["t"] and row["class"] and a - tolerance <= row["t"] <= b for _, a, b in crashes)
        return "crash" if lost else "none"

    def count(self, form, row, uses):
        mine = [u["unknown"] for u in uses if u["class"] in form.counts - {"ignore"} and not u["failed"] and self.is_of(row, u)]
        return "equal" if mine.count(False) <= row["counter"] <= len(mine) else "none"

    def judge(self, form, source, size, lines, tolerance):
        uses, crashes = [u for u in self.uses if u["i"] < size], [c for c in self.crashes if c[0] < size]
        met, out = self.met.setdefault(source, set()), []
        for line in lines:
            try:
                row = form.read(line)
                out.append("ignored" if row is None else self.count(form, row, uses) if form.kind == "counters" else
                    self.match(row, uses, crashes, met, tolerance))
            except Bad:
                out.append("none")
        return out


def judge_record(uses, form, r, blob):
    """Words for each finding of a record; OSError where its lines are not kept; None: it is not by this form."""
    b, rows = r["body"], r["body"]["rows"]
    if isinstance(rows, str):
        return None
    need(isinstance(rows, dict) and set(rows) == {"sha256", "format_sha256", "len", "lines", "size", "tolerance_ms"}, "its members")
    numbers = [rows[n] for n in ("len", "lines", "size", "tolerance_ms")]
    need(all(KINDS["number"](n) for n in numbers) and len(unb64(rows["format_sha256"], 32)) == len(unb64(rows["sha256"], 32)), "its members")
    need(rows["size"] <= r["i"] and rows["lines"] <= 1000 and len(b["matches"]) == rows["lines"] and
        rows["tolerance_ms"] <= 3600000, "its bounds")
    if unb64(rows["format_sha256"]) != form.sha256:
        return None
    need(b["source"] == form.name, "its source is not the form's name")
    raw = blob(unb64(rows["sha256"]))
    if raw is None:
        raise OSError("its lines are not kept")
    need(len(raw) == rows["len"] and raw.count(b"\n") == rows["lines"] and (not raw or raw[-1:] == b"\n") and b"\0" not in raw, "its lines")
    need(all(len(line) <= 4096 for line in raw.split(b"\n")), "a line over 4,096 bytes")
    lines = [(line[:-1] if line[-1:] == b"\r" else line).decode("utf-8", "surrogateescape") for line in raw.split(b"\n")[:-1]]
    want = uses.judge(form, b["source"], rows["size"], lines, rows["tolerance_ms"])
    said = ["line %d matches nothing" % (n + 1) for n, w in enumerate(want) if w == "none"]
    said += ["line %d matches %s" % (n + 1, w) for n, w in enumerate(want) if b["matches"][n] != w or isinstance(b["matches"][n], bool)]
    return said + (["another number of unmatched lines"] if b["unmatched"] != want.count("none") else [])
