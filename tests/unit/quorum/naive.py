#!/usr/bin/env python3
"""A second judge, written from docs/policy.md alone, against the first: random policies, calls and votes.

naive.py JUDGE POLICIES CALLS: JUDGE is judge_lines; prints TAP. Where the page and this differ, one of them is wrong.
"""
import base64
import hashlib
import itertools
import json
import random
import subprocess
import sys

CLASS_OF = {
    "C_Login": "login", "C_OpenSession": "session", "C_FindObjects": "query", "C_GetAttributeValue": "query",
    "C_Sign": "key-use", "C_SignRecover": "key-use", "C_Decrypt": "key-use", "C_Encrypt": "key-use", "C_DigestKey": "key-use",
    "C_WrapKey": "key-management", "C_UnwrapKey": "key-management", "C_DeriveKey": "key-management",
    "C_GenerateKey": "key-management", "C_GenerateKeyPair": "key-management", "C_CreateObject": "key-management",
    "C_CopyObject": "key-management", "C_SetAttributeValue": "key-management", "C_DestroyObject": "key-management",
    "C_InitPIN": "token-management", "C_GenerateRandom": "random"}
MECHANISMS = {
    "C_Sign": ["CKM_ECDSA_SHA256", "CKM_ECDSA_SHA384", "CKM_ECDSA_SHA1", "CKM_ECDSA", "CKM_RSA_PKCS", "CKM_SHA256_RSA_PKCS",
               "CKM_RSA_X_509", "CKM_MD5_RSA_PKCS", "CKM_SHA256_HMAC"],
    "C_SignRecover": ["CKM_RSA_PKCS", "CKM_RSA_X_509"],
    "C_Decrypt": ["CKM_RSA_PKCS", "CKM_RSA_X_509", "CKM_RSA_PKCS_OAEP", "CKM_AES_GCM", "CKM_DES3_CBC"],
    "C_Encrypt": ["CKM_AES_GCM", "CKM_RSA_X_509"],
    "C_WrapKey": ["CKM_AES_KEY_WRAP", "CKM_DES_ECB"], "C_UnwrapKey": ["CKM_AES_KEY_WRAP", "CKM_RSA_PKCS_OAEP"],
    "C_DeriveKey": ["CKM_ECDH1_DERIVE", "CKM_XOR_BASE_AND_DATA", "CKM_SP800_108_COUNTER_KDF"],
    "C_GenerateKey": ["CKM_AES_KEY_GEN", "CKM_DES_KEY_GEN"], "C_GenerateKeyPair": ["CKM_EC_KEY_PAIR_GEN"]}
# As in the table of docs/policy.md, those that are used here.
APPROVED = {"CKM_ECDSA_SHA256", "CKM_ECDSA_SHA384", "CKM_SHA256_RSA_PKCS", "CKM_SHA256_HMAC", "CKM_RSA_PKCS_OAEP", "CKM_AES_GCM",
            "CKM_AES_KEY_WRAP", "CKM_ECDH1_DERIVE", "CKM_SP800_108_COUNTER_KDF", "CKM_AES_KEY_GEN", "CKM_EC_KEY_PAIR_GEN"}
NORMAL = {"CKM_ECDSA_SHA256": ("ecdsa", "sha256", 32), "CKM_ECDSA_SHA384": ("ecdsa", "sha384", 48),
          "CKM_ECDSA_SHA1": ("ecdsa", "sha1", 20), "CKM_SHA256_RSA_PKCS": ("rsa-pkcs1", "sha256", 32)}
LENGTH = {"sha1": 20, "sha256": 32, "sha384": 48}
PERSONS = ["p%d" % i for i in range(7)]
CLIENTS = {"ca": ["one", "two"], "web": ["two"]}
MAKERS = {"C_CreateObject": ("outside", "other"), "C_UnwrapKey": ("outside", "secret-key"),
          "C_GenerateKey": ("inside", "secret-key"), "C_GenerateKeyPair": ("inside", "private-key"),
          "C_DeriveKey": ("another", "secret-key")}
EQUIVALENT = {"C_WrapKey", "C_UnwrapKey", "C_DeriveKey", "C_DigestKey"}
CLASSES = ["data", "certificate", "public-key", "private-key", "secret-key"]
START, END, NOW = 1767225600000, 1793491200000, 1780000000000


def b64(raw):
    return base64.b64encode(raw).decode()


def hash_of(name):
    return hashlib.sha256(name.encode()).digest()


# ---- policies -------------------------------------------------------------------------------------------------------

def vkey(name):
    """Any 32 bytes that are a point of Ed25519: multiples of the base point, from a pure computation."""
    p = 2**255 - 19
    d = -121665 * pow(121666, p - 2, p) % p

    def add(a, b):
        (x1, y1), (x2, y2) = a, b
        k = d * x1 * x2 * y1 * y2 % p
        return ((x1 * y2 + x2 * y1) * pow(1 + k, p - 2, p) % p, (y1 * y2 + x1 * x2) * pow(1 - k, p - 2, p) % p)

    by = 4 * pow(5, p - 2, p) % p
    xx = (by * by - 1) * pow(d * by * by + 1, p - 2, p) % p
    bx = pow(xx, (p + 3) // 8, p)
    if bx * bx % p != xx:
        bx = bx * pow(2, (p - 1) // 4, p) % p
    if bx % 2:
        bx = p - bx
    point, scalar, out = (bx, by), int.from_bytes(hash_of(name)[:8], "big") | 1, None
    while scalar:
        if scalar & 1:
            out = point if out is None else add(out, point)
        point, scalar = add(point, point), scalar >> 1
    pub = (out[1] | (out[0] & 1) << 255).to_bytes(32, "little")
    key_id = hashlib.sha256(b"k/" + name.encode() + b"\n\x01" + pub).digest()[:4]
    return "k/%s+%s+%s" % (name, key_id.hex(), b64(b"\x01" + pub))


VKEYS = {name: vkey(name) for name in PERSONS}


def make_groups(rnd):
    groups = []
    for i in range(3):
        members = rnd.sample(PERSONS, rnd.randint(1, 4))
        groups.append({"name": "g%d" % i, "k": rnd.randint(1, len(members)), "members": members})
    # A group of groups: those that share nobody, and some persons more.
    subs, taken = [], set()
    for g in groups:
        if not taken & set(g["members"]) and rnd.random() < 0.7:
            subs.append(g["name"])
            taken |= set(g["members"])
    rest = [p for p in PERSONS if p not in taken and rnd.random() < 0.4]
    if subs:
        members = subs + rest
        groups.append({"name": "nest", "k": rnd.randint(1, len(members)), "members": members})
    return groups


def make_rule(rnd, n, groups):
    rule = {"name": "r%d" % n, "client": rnd.sample(sorted(CLIENTS), rnd.randint(1, 2)), "object": [], "key": [],
            "mechanisms": None, "allow": [], "origin": False, "content": None}
    words = rnd.sample(["key-use", "key-management", "query", "C_Sign", "C_Decrypt", "C_GenerateKey", "C_CopyObject",
                        "C_SetAttributeValue", "C_UnwrapKey", "session", "random"], rnd.randint(1, 4))
    rule["calls"] = words
    for _ in range(rnd.choice([0, 0, 1, 1, 2])):
        o = {}
        if rnd.random() < 0.3:
            o["token"] = rnd.choice(["one", "two"])
        if rnd.random() < 0.7:
            o["object"] = rnd.choice(["k1", "k2"])
        if rnd.random() < 0.2:
            o["id"] = rnd.choice(["01", "02"])
        if rnd.random() < 0.2:
            o["type"] = rnd.choice(["private", "secret-key"])
        if o:
            rule["object"].append(o)
    if rnd.random() < 0.15:
        rule["key"] = [rnd.choice(["spki1", "spki2"])]
    mode = rnd.random()
    if mode < 0.35:
        pool = sorted(set(itertools.chain(*MECHANISMS.values())))
        rule["mechanisms"] = rnd.sample(pool, rnd.randint(1, 5))
    elif mode < 0.6:
        rule["mechanisms"] = "any"
    for word in ("import", "extractable"):
        if rnd.random() < 0.3:
            rule["allow"].append(word)
    rule["origin"] = rnd.random() < 0.12
    if rnd.random() < 0.12:
        rule["content"] = rnd.choice(["tbs-certificate", "csr"])
    rule["need"] = rnd.choice(["none", "none", "none", "deny"] + [[g["name"]] for g in groups])
    if isinstance(rule["need"], list) and rnd.random() < 0.3:
        rule["need"] = rnd.sample([g["name"] for g in groups], 2)
    return rule


def write_policy(groups, rules):
    lines = ["kanmon/policy/v1", "origin kanmon.example/naive", "version 1", "previous none",
             "not-before 2026-01-01T00:00:00Z", "expires 2026-11-01T00:00:00Z"]
    assert START < NOW < END
    lines += ["custodian %s person:%s %s" % (p, p, VKEYS[p]) for p in PERSONS]
    lines += ["token one serial 1", "token two label second serial 2"]
    for name, tokens in CLIENTS.items():
        lines.append("client %s spki:%s tokens %s" % (name, b64(hash_of(name)), " ".join(tokens)))
    lines += ["group %s %d %s" % (g["name"], g["k"], " ".join(g["members"])) for g in groups]
    lines.append("role policy 1 p0")
    for r in rules:
        lines.append("rule " + r["name"])
        lines.append("  client " + " ".join(r["client"]))
        lines.append("  calls " + " ".join(r["calls"]))
        if r["object"]:
            lines.append("  object " + " ".join("pkcs11:" + ";".join(
                "%s=%s" % (k, "%" + v if k == "id" else v) for k, v in o.items()) for o in r["object"]))
        if r["key"]:
            lines.append("  key " + " ".join("spki:" + b64(hash_of(k)) for k in r["key"]))
        if r["mechanisms"]:
            lines.append("  mechanisms " + (r["mechanisms"] if r["mechanisms"] == "any" else " ".join(r["mechanisms"])))
        if r["allow"]:
            lines.append("  allow " + " ".join(r["allow"]))
        if r["origin"]:
            lines.append("  origin local")
        if r["content"]:
            lines.append("  content " + r["content"])
        lines.append("  need " + (r["need"] if isinstance(r["need"], str) else " and ".join(r["need"])))
    return "\n".join(lines) + "\n"


# ---- quorum, by trying everything -----------------------------------------------------------------------------------

def ways(groups, name, people):
    """All sets of people that meet the group exactly, nobody in two places."""
    g = next(x for x in groups if x["name"] == name)
    per_member = []
    for m in g["members"]:
        per_member.append(ways(groups, m, people) if any(x["name"] == m for x in groups)
                          else [frozenset([m])] if m in people else [])
    out = set()
    for chosen in itertools.combinations(per_member, g["k"]):
        for sets in itertools.product(*chosen):
            union = frozenset().union(*sets)
            if len(union) == sum(map(len, sets)):
                out.add(union)
    return list(out)


def is_met(groups, needs, people):
    for sets in itertools.product(*[ways(groups, n, people) for n in needs]):
        if len(frozenset().union(*sets)) == sum(map(len, sets)):
            return True
    return False


# ---- the page, sentence by sentence ---------------------------------------------------------------------------------

def object_fits(o, q):
    if "token" in o and o["token"] != q["token"]:
        return False
    if not q["has_object"]:
        return not set(o) - {"token"}
    types = {"private": "private-key", "secret-key": "secret-key"}
    return (o.get("object", q["label"]) == q["label"] and o.get("id", q["id"]) == q["id"]
            and ("type" not in o or types[o["type"]] == q["class"]))


def is_named(rule, q):
    return any(object_fits(o, q) for o in rule["object"])


def is_for(rule, q):
    """Client, call and object fit."""
    return (q["client"] in rule["client"] and (q["call"] in rule["calls"] or CLASS_OF[q["call"]] in rule["calls"])
            and (not rule["object"] or is_named(rule, q)))


def key_fits(rule, q):
    return not rule["key"] or q["spki"] in rule["key"]


def pins(rule, q):
    """Sees no public half, or another under the label or id it names."""
    if not q["has_object"] or q["made"] or q["class"] != "private-key":
        return False
    return q["spki"] is None or any("object" in o or "id" in o for o in rule["object"])


def names_mechanism(wanted, q):
    if wanted == q["mechanism"]:
        return True
    bare = {"CKM_ECDSA": "ecdsa", "CKM_RSA_PKCS": "rsa-pkcs1"}
    scheme, hash_name = (bare[wanted], "") if wanted in bare else NORMAL.get(wanted, (None, None, 0))[:2]
    if q["norm"] is None or scheme != q["norm"][0]:
        return False
    if hash_name == "":
        return True
    if q["norm"][1] == "":
        return LENGTH[hash_name] == q["norm"][2]
    return hash_name == q["norm"][1]


def is_approved(q):
    if q["mechanism"] is None or CLASS_OF[q["call"]] not in ("key-use", "key-management"):
        return True
    if q["mechanism"] in ("CKM_ECDSA", "CKM_RSA_PKCS"):
        return q["norm"] is not None and (q["norm"][1] != "sha1" if q["norm"][1] else q["norm"][2] >= 28)
    return q["mechanism"] in APPROVED


def outcome(rule):
    return {"none": "free", "deny": "refused"}.get(rule["need"] if isinstance(rule["need"], str) else "", "held")


def by_rules(rules, q):
    pinned = None
    for rule in rules:
        if not is_for(rule, q) or (pinned and not rule["key"]):
            continue
        if not key_fits(rule, q):
            if pinned is None and pins(rule, q):
                pinned = rule
            continue
        listed = rule["mechanisms"] not in (None, "any")
        if listed and not any(names_mechanism(m, q) for m in rule["mechanisms"]):
            continue
        secret = q["has_object"] and q["class"] not in ("data", "certificate", "public-key")
        if rule["need"] != "deny":
            if rule["mechanisms"] is None and not is_approved(q):
                return "refused", rule, False
            if rule["origin"] and secret and not q["local"]:
                return "refused", rule, False
        if rule["content"]:
            return "refused", rule, not q["has_data"]  # no data here decodes to anything
        return outcome(rule), rule, False
    return "refused", None, False


def about_uses(rule):
    return any(w == "key-use" or CLASS_OF.get(w) == "key-use" for w in rule["calls"])


def judge(rules, q):
    """One question: steps 1 to 6, and what does the same under another name."""
    token = q["token"]
    if token is not None and token not in CLIENTS[q["client"]]:
        return "refused", None, False
    answer, rule, missing = by_rules(rules, q)
    same = (q["has_object"] and not q["made"] and q["class"] in ("private-key", "secret-key")
            and (q["call"] in EQUIVALENT or (CLASS_OF[q["call"]] == "key-use" and (
                q["mechanism"] == "CKM_RSA_X_509" or (q["mechanism"] == "CKM_RSA_PKCS" and not q["call"].startswith("C_Sign"))
                ))))
    if q["call"] == "C_SignRecover" and q["mechanism"] == "CKM_RSA_PKCS":
        same = False  # a signature, compared by its normal form
    if answer != "free" or not same:
        return answer, rule, missing
    for guard in rules:
        if guard is rule:
            break
        if (guard["need"] == "none" or (guard["object"] and not is_named(guard, q)) or q["client"] not in guard["client"]
                or not about_uses(guard) or not (key_fits(guard, q) or pins(guard, q))):
            continue
        return ("refused" if guard["content"] else outcome(guard)), guard, False
    return answer, rule, missing


def said(template, name, but):
    values = [v for k, v in template.items() if k == name or (k.startswith(name + "_") and k[len(name) + 1:].isdigit())]
    return any(v is not but for v in values)


def leaks(template, changes):
    return (said(template, "CKA_EXTRACTABLE", False) or said(template, "CKA_SENSITIVE", True) or said(template, "CKA_TRUSTED", False)
            or (changes and said(template, "CKA_WRAP_WITH_TRUSTED", True)))


def class_of(template, otherwise):
    if "CKA_CLASS_2" in template:
        return "other"
    number = template.get("CKA_CLASS")
    return otherwise if number is None else CLASSES[number] if number < len(CLASSES) else "other"


def join(first, second):
    """Both must be satisfied, and only one quorum can be asked."""
    if first[0] == "refused" or second[0] == "free":
        return first
    if first[0] == "held" and second[0] == "held" and first[1] is not second[1]:
        return "refused", first[1], first[2]
    return second


def named(rules, q, template, otherwise, renames):
    after = dict(q, has_object=True, made=True, spki=None)
    after["class"] = class_of(template, otherwise)
    after["local"] = (q["local"] if renames else q["call"] in ("C_GenerateKey", "C_GenerateKeyPair")) and not leaks(template, renames)
    if "CKA_LABEL" in template or not renames:
        after["label"] = template.get("CKA_LABEL")
    if "CKA_ID" in template or not renames:
        after["id"] = base64.b64decode(template["CKA_ID"]["b64"]).hex() if "CKA_ID" in template else None
    return after, judge(rules, after)


def judge_call(rules, q, template, extra):
    verdict = judge(rules, q)
    call = q["call"]
    renames = call in ("C_CopyObject", "C_SetAttributeValue")
    judged, otherwise = None, None
    if template is not None:
        if call == "C_GenerateKeyPair":
            judged, otherwise = template["pPrivateKeyTemplate"], "private-key"
        elif renames and {"CKA_LABEL", "CKA_ID", "CKA_LABEL_2"} & set(template):
            judged, otherwise = template, q["class"]
        elif not renames:
            judged, otherwise = template, "other" if call == "C_CreateObject" else "secret-key"
    for one, fallback in ([(judged, otherwise)] if judged is not None else []) + [(x, "secret-key") for x in extra]:
        after, other = named(rules, q, one, fallback, renames)
        verdict = other if one is judged and not q["has_object"] else join(verdict, other)
        if renames and q["class"] in ("private-key", "secret-key"):
            for rule in rules:
                if is_named(rule, q) and not is_named(rule, after):
                    verdict = "refused", rule, verdict[2]
                    break
        if "CKA_LABEL_2" in one:
            verdict = "refused", verdict[1], verdict[2]
    return check_origin(verdict, q, template, extra)


def check_origin(verdict, q, template, extra):
    """R7: what brings a key in, or makes one that may leave."""
    answer, rule, missing = verdict
    call = q["call"]
    if answer == "refused" or template is None:
        return verdict
    allow = rule["allow"]
    bad = False
    if call in ("C_CopyObject", "C_SetAttributeValue"):
        bad = q["class"] not in ("data", "certificate") and leaks(template, True) and "extractable" not in allow
    elif call in MAKERS:
        how, otherwise = MAKERS[call]
        if call == "C_GenerateKeyPair":
            bad = leaks(template["pPrivateKeyTemplate"], False) and "extractable" not in allow
        else:
            made = class_of(template, otherwise)
            if made not in ("data", "certificate", "public-key"):
                bad = (how == "outside" and "import" not in allow) or (leaks(template, False) and "extractable" not in allow)
            elif made == "public-key":
                bad = said(template, "CKA_TRUSTED", False) and "extractable" not in allow
        bad = bad or (any(leaks(x, False) for x in extra) and "extractable" not in allow)
    return ("refused", rule, missing) if bad else verdict


# ---- calls ----------------------------------------------------------------------------------------------------------

def make_template(rnd, renames):
    t = {}
    if rnd.random() < 0.5:
        t["CKA_LABEL"] = rnd.choice(["k1", "k2", "k3"])
    if rnd.random() < 0.03:
        t["CKA_LABEL_2"] = "k2"
    if rnd.random() < 0.2:
        t["CKA_ID"] = {"b64": rnd.choice(["AQ==", "Ag==", "Aw=="])}
    if rnd.random() < 0.4 and not renames:
        t["CKA_CLASS"] = rnd.choice([0, 1, 2, 3, 4, 4, 8])
    for name, odds in (("CKA_EXTRACTABLE", 0.3), ("CKA_SENSITIVE", 0.3), ("CKA_TRUSTED", 0.05), ("CKA_WRAP_WITH_TRUSTED", 0.1)):
        if rnd.random() < odds:
            t[name] = rnd.choice([True, False])
    if rnd.random() < 0.03:
        t["CKA_EXTRACTABLE_2"] = rnd.choice([True, False])
    return t


def make_call(rnd):
    call = rnd.choice(sorted(CLASS_OF))
    client = rnd.choice(sorted(CLIENTS))
    token = rnd.choice(["one", "two"])
    q = {"call": call, "client": client, "token": token, "mechanism": None, "norm": None, "has_object": False, "class": None,
         "label": None, "id": None, "spki": None, "made": False, "local": False, "has_data": False}
    if call in MECHANISMS:
        q["mechanism"] = rnd.choice(MECHANISMS[call])
    key = {"token": {"one": "one", "two": "second"}[token], "serial": {"one": "1", "two": "2"}[token]}
    intent = {"op": call, "sess": 1, "mech": {"name": q["mechanism"] or "", "params": {}}, "key": key,
              "requester": {"spki_sha256": b64(hash_of(client))}}
    data = None
    if call not in ("C_GenerateKey", "C_GenerateKeyPair", "C_CreateObject", "C_OpenSession", "C_Login", "C_InitPIN",
                    "C_GenerateRandom", "C_FindObjects") and rnd.random() < 0.95:
        q["has_object"] = True
        q["class"] = key["class"] = rnd.choice(["private-key", "private-key", "secret-key", "public-key", "certificate"])
        q["label"] = key["label"] = rnd.choice(["k1", "k2", "k3"])
        if rnd.random() < 0.6:
            q["id"] = key["id"] = rnd.choice(["01", "02"])
        if rnd.random() < 0.6:
            q["spki"] = rnd.choice(["spki1", "spki2", "spki3"])
            key["spki_sha256"] = b64(hash_of(q["spki"]))
        if rnd.random() < 0.5:
            key["local"], key["never_extractable"] = rnd.choice([(True, True), (True, False), (False, False)])
            q["local"] = key["local"] and key["never_extractable"]
    if call == "C_Sign":
        raw = rnd.choice([b"hello", b"there"])
        q["norm"] = NORMAL.get(q["mechanism"])
        if q["mechanism"] == "CKM_ECDSA":
            q["norm"] = ("ecdsa", "", rnd.choice([20, 32, 48]))
        elif q["mechanism"] == "CKM_RSA_PKCS" and rnd.random() < 0.7:
            q["norm"] = ("rsa-pkcs1", rnd.choice(["sha1", "sha256", "sha384"]), 0)
            q["norm"] = q["norm"][:2] + (LENGTH[q["norm"][1]],)
        if q["norm"] is not None:
            digest = hashlib.new(q["norm"][1], raw).digest() if q["norm"][1] else bytes(q["norm"][2])
            intent["norm"] = {"scheme": q["norm"][0], "hash": q["norm"][1], "digest": b64(digest)}
            if rnd.random() < 0.5:
                data = b64(raw)
                q["has_data"] = q["norm"][1] != ""
    template, extra = None, []
    if call in MAKERS or call in ("C_CopyObject", "C_SetAttributeValue"):
        template = make_template(rnd, call not in MAKERS)
        if call == "C_GenerateKeyPair":
            template = {"pPublicKeyTemplate": {}, "pPrivateKeyTemplate": template}
        intent["template"] = template
    if q["mechanism"] == "CKM_SP800_108_COUNTER_KDF":
        extra = [make_template(rnd, False) for _ in range(rnd.randint(0, 2))]
        for i, t in enumerate(extra):
            intent["mech"]["params"]["template" if i == 0 else "template_%d" % (i + 1)] = t
    return q, intent, data, template, extra


def main():
    judge_path, policies, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    questions, wants = [], []
    for seed in range(policies):
        rnd = random.Random(seed)
        groups = make_groups(rnd)
        rules = [make_rule(rnd, n, groups) for n in range(rnd.randint(1, 7))]
        if rnd.random() < 0.7:  # so that calls come as far as what looks at names, origin and guards
            rules.append(dict(make_rule(rnd, len(rules), groups), client=sorted(CLIENTS), object=[], key=[], content=None,
                              calls=["key-use", "key-management", "query", "session", "random"],
                              mechanisms=rnd.choice(["any", "any", None]), need="none" if rnd.random() < 0.8 else ["g0"]))
        # What asks for more than there are persons is no policy.
        for r in rules:
            if isinstance(r["need"], list) and not is_met(groups, r["need"], PERSONS):
                r["need"] = "deny"
        text = write_policy(groups, rules)
        questions.append({"policy": text})
        wants.append(("policy", seed, text))
        for _ in range(calls):
            q, intent, data, template, extra = make_call(rnd)
            answer, rule, missing = judge_call(rules, q, template, extra)
            line = {"intent": intent, "now": NOW}
            if data is not None:
                line["data"] = data
            questions.append(line)
            wants.append(("%s %s %s" % (answer, rule["name"] if rule else "none", "content" if missing and answer == "refused" else "-"),
                          seed, intent))
        for r in rules:
            if isinstance(r["need"], list):
                people = [p for p in PERSONS if rnd.random() < 0.6]
                questions.append({"rule": r["name"], "met": people})
                wants.append(("met" if is_met(groups, r["need"], people) else "unmet", seed, (groups, r["need"], people)))
    source = "".join(json.dumps(x) + "\n" for x in questions)
    got = subprocess.run([judge_path], input=source, capture_output=True, text=True, check=True).stdout.splitlines()
    wrong, counts = 0, {}
    for (want, seed, what), line in zip(wants, got):
        head = line.split("\t")[0]
        counts[head.split(" ")[0]] = counts.get(head.split(" ")[0], 0) + 1
        if head != want:
            wrong += 1
            if wrong <= 5:
                print("# seed %d: want %s, got %s\n#   %s" % (seed, want, line, json.dumps(what)))
    print("# %d policies, %s" % (policies, ", ".join("%d %s" % (n, k) for k, n in sorted(counts.items()))))
    least = min(counts.get(k, 0) for k in ("free", "held", "refused", "met", "unmet"))
    print("%s 1 - both judges agree on %d policies x %d calls" % ("ok" if not wrong and len(got) == len(wants) else "not ok",
                                                                  policies, calls))
    print("%s 2 - every answer was given often (%d times at least)" % ("ok" if least >= policies // 4 else "not ok", least))
    print("1..2")
    return 0


if __name__ == "__main__":
    sys.exit(main())
