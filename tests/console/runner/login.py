"""A token whose PIN the gateway has under shares: the operator types none, and two let the runner's login in."""
import sys, time
from desk import Desk

source, work = sys.argv[1:]
d = Desk(source, work, "login")


def login():
    """The login that waits: two approve it, each with the share that only they open."""
    for _ in range(100):
        waits = [r for r in d.ask("requests")["requests"] if r["state"] == "open" and r["op"] == "C_Login"]
        if waits:
            d.approve(waits[0]["id"])
            return waits[0]["id"]
        time.sleep(0.1)
    raise SystemExit("no login waits")


made = d.instruct(what="generate", key="root-ca", mechanism="CKM_RSA_PKCS_KEY_PAIR_GEN", parameters="2048", pin="")
time.sleep(0.3)
print("waits", d.ask("instructions/%d" % made)["state"])
first = login()
it = d.until(made, "done")
print("made", it["form"], it["operation"] > first)
signed = d.instruct(b"a text", what="sign", key="root-ca", mechanism="CKM_SHA256_RSA_PKCS", pin="")
print("each", login() > first, d.until(signed, "done")["form"])

# The runner dies while its login waits: no call came of the instruction, and it is told so.
lost = d.instruct(what="destroy", key="root-ca", pin="")
for _ in range(100):
    if any(r["state"] == "open" for r in d.ask("requests")["requests"]):
        break
    time.sleep(0.1)
d.kill("runner")
print("lost", d.until(lost, "lost")["why"])
