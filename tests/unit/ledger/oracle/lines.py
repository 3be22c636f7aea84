# Lines that are records and lines that nearly are, and what Python's json says of them by docs/ledger.md 2 alone.
#   lines.py make SEEDS COUNT    lines from those of the file SEEDS, bent
#   lines.py judge               "yes" or "no" for each line of standard input
import base64
import json
import random
import re
import sys


def pairs(items):
    names = [name for name, _ in items]
    if len(set(names)) != len(names) or not all(re.fullmatch(r"[A-Za-z0-9_]{1,32}", name) for name in names):
        raise ValueError("names")
    return dict(items)


def refuse(text):
    raise ValueError(text)


BAD = re.compile("[\u0000-\u0009\u000b-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def check(value, depth):
    if isinstance(value, dict) or isinstance(value, list):
        if depth == 6:
            raise ValueError("depth")
        for item in value.values() if isinstance(value, dict) else value:
            check(item, depth + 1)
    elif isinstance(value, str):
        if BAD.search(value):
            raise ValueError("characters")
    elif value is None:
        raise ValueError("null")
    elif not isinstance(value, bool) and not 0 <= value < 2**53:
        raise ValueError("number")


def exactly(text, size):
    data = base64.b64decode(text, validate=True)
    return len(data) == size and base64.b64encode(data).decode() == text


def is_number(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_record(line):
    try:
        if len(line) > 32768:
            return False
        value = json.loads(line.decode("utf-8", "strict"), object_pairs_hook=pairs, parse_float=refuse,
                           parse_constant=refuse)
        check(value, 0)
        again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return (again.encode() == line and sorted(value) == ["body", "i", "m", "nonce", "prev", "t", "type", "v"]
                and isinstance(value["body"], dict) and all(is_number(value[n]) for n in "imt")
                and value["v"] == 1 and is_number(value["v"]) and exactly(value["nonce"], 16)
                and exactly(value["prev"], 32) and isinstance(value["type"], str) and "\n" not in value["type"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


TOKENS = [b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b"0", b"-1", b"1.0", b"1e3", b"01", b"null", b"true", b" ",
          b"\t", b"\\u0041", b"\\n", b"\\r", b"\\/", b"\\\"", b"\xc3\xa9", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x80\x8b",
          b"\xe2\x80\xae", b"\xef\xbb\xbf", b"\xf4\x90\x80\x80", b"\xf0\x9f\x98\x80", b"9007199254740991",
          b"9007199254740992", b'"a":1,', b'"a":1,"a":2,', b'"zz":{},', b"[[[[[[]]]]]]", b"{}", b"[]", b"\x7f", b"\x00"]


def make(path, count):
    dice = random.Random(28)
    seeds = [line.rstrip(b"\n") for line in open(path, "rb") if line.startswith(b"{")]
    out = sys.stdout.buffer
    for seed in seeds:
        out.write(seed + b"\n")
    for _ in range(count):
        line = bytearray(dice.choice(seeds))
        for _ in range(dice.choice([1, 1, 1, 2])):
            at = dice.randrange(len(line) + 1)
            if dice.random() < 0.5:  # where a token begins or ends
                at = dice.choice([m.start() for m in re.finditer(rb'[{}\[\]",:]', line)] or [at])
            cut = dice.choice([0, 0, 1, 1, 2])
            line[at:at + cut] = dice.choice(TOKENS + [bytes([dice.randrange(256)]), b""])
        out.write(bytes(line).replace(b"\n", b"") + b"\n")


if sys.argv[1] == "make":
    make(sys.argv[2], int(sys.argv[3]))
else:
    for line in sys.stdin.buffer:
        print("yes" if is_record(line.rstrip(b"\n")) else "no")
