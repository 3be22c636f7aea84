"""The operator's actions, one after the other; test_runner.sh reads what is printed and the files that are left."""
import hashlib, subprocess, sys
from desk import Desk, run, unb64

source, work = sys.argv[1:]
d = Desk(source, work, source + "/tests/console/runner/runner.policy.in")
RSA, SIGN = "CKM_RSA_PKCS_KEY_PAIR_GEN", "CKM_SHA256_RSA_PKCS"


def keep(name, it):
    open(name + ".der", "wb").write(unb64(it["result"]))
    open(name + ".pem", "w").write(it.get("pem", ""))
    print(name, it["form"], "tlog-proof" in it["proof"], it["operation"] > it["request"], it["operator"])


def part(name):
    """What is signed of a whole file."""
    run("openssl", "asn1parse", "-inform", "DER", "-in", name, "-strparse", "4", "-noout", "-out", "part")
    return open("part", "rb").read()


def other(*a):
    """By a key in a file, whose signature is thrown away."""
    run(*a, "-key", "other.pem", "-sha256", "-outform", "DER", "-out", "pre.der")
    return part("pre.der")


run("openssl", "genrsa", "-out", "other.pem", "2048")
keep("root-key", d.decided(d.instruct(what="generate", key="root-ca", id="0a0b", mechanism=RSA, parameters="2048")))

# A runner that dies while the request waits: not run, not forgotten; signed again it meets the same request, and runs once.
first = d.instruct(what="generate", key="crl-ca", mechanism=RSA, parameters="2048")
request = d.until(first, "running", "request")["request"]
d.kill("runner")
lost = d.until(first, "lost")
print("lost", lost["request"] == request, "still open" in lost["why"], d.state(request))
again = d.instruct(what="generate", key="crl-ca", mechanism=RSA, parameters="2048")
print("met", d.until(again, "running", "request")["request"] == request)
made = d.decided(again)
print("met-by", again)
print("both", made["operation"] == d.until(first, "done")["operation"])
keep("crl-key", made)

# A window: opened by its quorum, then used twice without another approval, then it is spent.
window = d.decided(d.instruct(what="window", rule="standing", key="crl-ca"))
print("window", window["form"], "tlog-proof" in window["proof"])
tbs = other("openssl", "x509", "-new", "-force_pubkey", "crl-key.pem", "-subj", "/CN=A CA", "-days", "9")
keep("ca", d.until(d.instruct(tbs, what="sign", key="crl-ca", mechanism=SIGN), "done"))
run("openssl", "req", "-x509", "-key", "other.pem", "-subj", "/CN=A CA", "-out", "same-name.pem")
open("index", "w").close()
open("ca.conf", "w").write("[ca]\ndefault_ca=c\n[c]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=9\n")
run("openssl", "ca", "-config", "ca.conf", "-gencrl", "-cert", "same-name.pem", "-keyfile", "other.pem", "-out", "crl.pem")
run("openssl", "crl", "-in", "crl.pem", "-outform", "DER", "-out", "pre.der")
keep("crl", d.until(d.instruct(part("pre.der"), what="sign", key="crl-ca", mechanism=SIGN), "done"))
third = d.instruct(part("pre.der"), what="sign", key="crl-ca", mechanism=SIGN)
print("spent", d.state(d.until(third, "running", "request")["request"]))

# A request for a certificate is signed by the key that it is for.
spki = lambda name, *a: run("openssl", "pkey", "-in", name, *a, "-pubout", "-outform", "DER")
info = other("openssl", "req", "-new", "-subj", "/CN=Somebody")
print("stranger", d.until(d.instruct(info, what="sign", key="root-ca", mechanism=SIGN), "failed")["why"])
own = info.replace(spki("other.pem"), spki("root-key.pem", "-pubin"))
keep("csr", d.decided(d.instruct(own, what="sign", key="root-ca", mechanism=SIGN)))

# What cannot be is told, with a way out.
run("openssl", "x509", "-in", "ca.pem", "-outform", "DER", "-out", "whole.der")
print("whole", d.instruct(open("whole.der", "rb").read(), what="sign", key="root-ca", mechanism=SIGN)["reason"])
print("other-algorithm", d.instruct(tbs, what="sign", key="root-ca", mechanism="CKM_SHA512_RSA_PKCS")["reason"])
refused = d.until(d.instruct(what="generate", key="banned", mechanism=RSA, parameters="2048"), "failed")
print("refused", refused["why"])
pin = d.until(d.instruct(what="destroy", key="root-ca", pin="00000000"), "failed")
print("pin", pin["why"], "request" in pin)
print("no-key", d.until(d.instruct(what="destroy", key="nobody"), "failed")["why"])
print("destroyed", d.decided(d.instruct(what="destroy", key="root-ca", id="0a0b"))["form"])

# The gateway starts again: what was done is told as before.
before = {i["record"]: i for i in d.ask("instructions")["instructions"]}
d.kill("keeper")
for _ in range(50):
    try:
        d.sign_in()
        break
    except (KeyError, ValueError, subprocess.CalledProcessError):
        pass
after = {i["record"]: i for i in d.ask("instructions")["instructions"]}
same = [i for i in before if before[i]["state"] == "done" and before[i] == after.get(i)]
print("restarted", len(same), len([i for i in before if before[i]["state"] == "done"]), after[refused["record"]]["why"] == refused["why"])
print("waited", "nothing was done. Sign it again" in d.until(third, "lost")["why"])
told = d.ask("instructions/%d" % again)
print("again", told["result"] == made["result"], told["form"])
