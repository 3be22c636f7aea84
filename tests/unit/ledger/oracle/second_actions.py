"""What is done at the console, for second.py: sessions, instructions, and the calls made for these. From docs/ledger.md 4
(action) and docs/statements.md 8."""
from second_policy import *

INSTRUCTION_NAME = "action (0|[1-9][0-9]*)"
EARLY, LIFE = 2000, 300000  # ms
SESSION, INSTRUCTION = 8 * 3600000, 24 * 3600000
CALLS = {"generate": ["C_GenerateKeyPair", "C_GenerateKey"], "destroy": ["C_DestroyObject"], "window": ["window"],
    "sign": ["C_Sign", "C_SignFinal", "C_SignMessage", "C_SignMessageNext", "C_SignRecover"]}
LINES = {
    "sign-in": ("kanmon/sign-in/v1", ["origin", "page", "nonce", "time"]),
    "instruct": ("kanmon/instruction/v1", ["origin", "client", "what", "token", "rule?", "key-label?", "key-id?", "mechanism?",
        "parameters?", "file-len?", "file-sha256?", "purpose", "nonce", "time"]),
}


def lines_of(text, what):
    first, rows = LINES[what]
    lines = text.split("\n")
    need(lines[0] == first and lines[-1] == "" and len(text.encode()) <= 20480, "not the text of a %s" % what)
    out, lines = {}, lines[1:-1]
    for row in rows:
        key = row.rstrip("?")
        begin, _, said = lines[0].partition(" ") if lines else ("", "", "")
        if begin == key:
            need(1 <= len(said.encode()) <= 1024 and said.strip(" ") == said and
                not any(hidden(ord(c)) for c in said), "no %s as it must stand there" % key)
            out[key] = said
            lines = lines[1:]
        else:
            need(row.endswith("?"), "no line %s" % key)
    need(not lines, "a line too many")
    need(len(unb64(out["nonce"], 32)) == 32, "no nonce")
    return out


PARAMETERS = {"2048": ("CKA_MODULUS_BITS", 2048), "3072": ("CKA_MODULUS_BITS", 3072), "4096": ("CKA_MODULUS_BITS", 4096),
    "P-256": ("CKA_EC_PARAMS", "06082a8648ce3d030107"), "P-384": ("CKA_EC_PARAMS", "06052b81040022"),
    "P-521": ("CKA_EC_PARAMS", "06052b81040023"), "Ed25519": ("CKA_EC_PARAMS", "130c" + b"edwards25519".hex())}


def of_parameters(said, templates):
    """Each template that says a size or a curve says the one that is wanted, and one does."""
    found = [("CKA_MODULUS_BITS", t["CKA_MODULUS_BITS"]) for t in templates.values() if "CKA_MODULUS_BITS" in t]
    found += [("CKA_EC_PARAMS", template_value(t["CKA_EC_PARAMS"]).hex()) for t in templates.values() if "CKA_EC_PARAMS" in t]
    return said["what"] == "generate" and len(found) > 0 and all(one == PARAMETERS.get(said["parameters"]) for one in found)


def template_value(v):
    return v.encode() if isinstance(v, str) else unb64(v["b64"], None) if isinstance(v, dict) and "b64" in v else None


class Actions:
    """The part of a Ledger that knows who is at the console."""

    def start_actions(self):
        self.sessions, self.nonces, self.instructions, self.shown = {}, {}, {}, []

    def end_sessions(self):
        self.sessions = {}

    def take_action(self, r):
        b, p = r["body"], self.policies[-1]
        if not isinstance(b["ui_sess"], int):
            return
        what, name = b["what"], b["actor"].get("name", "")
        need(what in ("sign-in", "sign-out", "show", "instruct", "withdraw", "lockout", "refused"), "nothing that is done is called so")
        if what in ("lockout", "refused"):
            return need(b["ui_sess"] == 0, "who is shut out has no session")
        if what == "sign-in":
            need(b["ui_sess"] == r["i"], "a session by another number than its own")
            auth = b.get("auth", {})
            if "tls" in auth:
                need(self.is_terminal_of(p, auth["tls"], name), "not the certificate of that person")
            else:
                self.take_note(r, "sign-in", name)
            self.sessions[r["i"]] = (name, r["t"])
            return
        need(b["ui_sess"] in self.sessions and self.sessions[b["ui_sess"]][0] == name, "no session of that person stands")
        if what == "sign-out":
            del self.sessions[b["ui_sess"]]
            return
        need(r["t"] - EARLY <= self.sessions[b["ui_sess"]][1] + SESSION, "the session is over")
        need(any(x["name"] == name for x in p.people), "the policy knows the person no more")
        if what == "show":
            need("subject" in b and "shown_sha256" in b, "it does not say what was shown")
            self.check_shown(r)
        elif what == "withdraw":
            self.check_withdrawn(b, p, name)
        else:
            self.instruct(r, self.take_note(r, "instruct", name), name)

    def is_terminal_of(self, p, spki, name):
        people = {x["person"] for x in p.people if x["name"] == name}
        return any(spki == key and person in people for key, person in p.terminals)

    def take_note(self, r, what, name):
        p, note = self.policies[-1], r["body"].get("auth", {}).get("note", "")
        said = lines_of(parse_note(note, 24576)[0], what)
        places = p.places if what == "instruct" else self.at_page(said)
        _, signed = verify_note(note, [x["key"] for x in p.people], 24576, places)
        made = ms_of(said["time"])
        need(said["origin"] == self.origin, "about another ledger")
        need(made <= r["t"] + EARLY and r["t"] - EARLY <= made + LIFE, "not in its time")
        need(len(signed) == 1 and len(parse_note(note)[1]) == 1 and
            [x["name"] for x in p.people if x["key"] in signed] == [name], "not signed by that person alone")
        last = self.nonces.get(said["nonce"])
        need(last is None or r["t"] - last > LIFE + 2 * EARLY, "its text was used before")
        self.nonces[said["nonce"]] = r["t"]
        return said

    def at_page(self, said):
        """The one place at which a security key may have signed."""
        places = [place for place in self.policies[-1].places if place["origin"] == said["page"]][:1]
        need(places, "at no place of the policy")
        return places

    def check_shown(self, r):
        subject = r["body"]["subject"]["i"]
        request = self.requests.get(subject)
        text = request.get("statement") if request else None
        if text is None or unb64(r["body"]["shown_sha256"], 32) != H(text.encode()):
            self.found("V6", r["i"], "the screen showed something else than the statement of %d" % subject)

    def check_withdrawn(self, b, p, name):
        request = self.requests.get(b.get("subject", {}).get("i"))
        need(request is not None, "nothing is there to be taken back")
        client = p.clients.get(request["r"]["body"]["requester"]["spki_sha256"])
        need(client is not None and name in client["operators"], "who operates another client takes it back")

    def instruct(self, r, said, name):
        p = self.policies[-1]
        client = next((c for c in p.clients.values() if c["name"] == said["client"]), None)
        need(client is not None and name in client["operators"], "who signed it operates no such client")
        need(said["token"] in client["tokens"] and said["what"] in CALLS, "another token, or nothing to be done")
        need("key-label" in said or "key-id" in said, "it names no key")
        need(said["what"] != "sign" or ("file-sha256" in said and "mechanism" in said), "a signature of nothing")
        need(said["what"] != "window" or "rule" in said, "a window of no rule")
        self.instructions[r["i"]] = (said, r["t"])

    def check_met(self, r, q):
        """A later instruction of the same, which the call that runs was made for."""
        first, own = (one.get("application", {}).get("id", "") for one in (q["r"]["body"], r["body"]))
        need(all(re.fullmatch(INSTRUCTION_NAME, x) for x in (first, own)) and first != own, "no other instruction than the request's")
        self.check_instructed({"t": r["t"], "body": {**q["r"]["body"], "application": {"id": own}}})

    def check_instructed(self, r):
        b = r["body"]
        m = re.fullmatch(INSTRUCTION_NAME, b.get("application", {}).get("id", ""))
        if not m:
            return
        said, t = self.instructions.pop(int(m.group(1)), (None, 0))
        need(said is not None and r["t"] - EARLY <= t + INSTRUCTION, "no instruction that waits for its call")
        key, token = b["key"], next(x for x in self.policies[-1].tokens if x["name"] == said["token"])
        same = lambda line, text: line not in said or (text is not None and said[line] == value(text))
        need(same("client", b["requester"]["name"]) and b["op"] in CALLS[said["what"]], "another client or operation")
        need(key.get("token") == token["label"] and token["serial"] in (None, key.get("serial")), "another token")
        if said["what"] == "generate":
            templates = b.get("template", {})
            need(templates, "nothing is made")
            for one in templates.values():
                label, kid = template_value(one.get("CKA_LABEL")), template_value(one.get("CKA_ID"))
                need(same("key-label", None if label is None else label.decode("utf-8", "replace")) and
                    same("key-id", None if kid is None else kid.hex()), "another key")
        else:
            need(same("key-label", key.get("label")) and same("key-id", key.get("id")), "another key")
        need("parameters" not in said or of_parameters(said, b.get("template", {})), "another size or curve")
        need(same("mechanism", b["mech"].get("name")) and same("rule", b.get("window", {}).get("rule")), "another mechanism or rule")
        need("file-sha256" not in said or (b.get("in", {}).get("sha256") == said["file-sha256"] and
            said.get("file-len") in (None, str(b["in"]["len"]))), "another file")
