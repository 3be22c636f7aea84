#!/usr/bin/python3
"""attach_next.py MODULE TOKEN PIN LABEL TBS DIGEST: what a program does that hashes before it calls and knows the vendor interface.

Signs DIGEST with CKM_ECDSA after AttachNext of the bytes in TBS; exit 0, or the return value on standard error."""
import ctypes
import sys

module, token, pin, label, tbs, digest = sys.argv[1:7]
U, P = ctypes.c_ulong, ctypes.c_void_p
C = ctypes.CDLL(module)


class Version(ctypes.Structure):
    _fields_ = [("major", ctypes.c_ubyte), ("minor", ctypes.c_ubyte)]


class Interface(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("list", P), ("flags", U)]


class Attribute(ctypes.Structure):
    _fields_ = [("type", U), ("value", P), ("len", U)]


class Mechanism(ctypes.Structure):
    _fields_ = [("mechanism", U), ("parameter", P), ("len", U)]


class Attachment(ctypes.Structure):
    _fields_ = [(n, t) for name in ("data", "econtent", "application", "key") for n, t in ((name, ctypes.c_char_p), (name + "_len", U))]


def slots(address, count):
    return ctypes.cast(address, ctypes.POINTER(P * (count + 1))).contents


def need(rv, what):
    if rv != 0:
        sys.exit("%s: 0x%x" % (what, rv))


functions = P()
need(C.C_GetFunctionList(ctypes.byref(functions)), "C_GetFunctionList")
F = slots(functions.value, 68)


def call(nth, *args):
    return ctypes.CFUNCTYPE(U, *[type(a) if not isinstance(a, int) else U for a in args])(F[nth])(*args)


def by(x):
    return ctypes.cast(ctypes.byref(x), P)


need(call(1, P()), "C_Initialize")
count, ids, session, key = U(16), (U * 16)(), U(), U()
need(call(5, ctypes.c_ubyte(1), by(ids), by(count)), "C_GetSlotList")
for slot in ids[:count.value]:
    info = ctypes.create_string_buffer(512)
    if call(7, U(slot), by(info)) == 0 and info.raw[:32].decode().rstrip() == token:
        break
need(call(13, U(slot), U(6), P(), P(), by(session)), "C_OpenSession")
need(call(19, session, U(1), ctypes.c_char_p(pin.encode()), U(len(pin))), "C_Login")
private, name = U(3), ctypes.create_string_buffer(label.encode())
template = (Attribute * 2)(Attribute(0, by(private), 8), Attribute(3, by(name), len(label)))
need(call(27, session, by(template), U(2)), "C_FindObjectsInit")
need(call(28, session, by(key), U(1), by(count)), "C_FindObjects")
need(call(29, session), "C_FindObjectsFinal")
mechanism = Mechanism(0x1041, None, 0)
need(call(43, session, by(mechanism), key), "C_SignInit")
found, version = P(), Version(1, 1)
need(C.C_GetInterface(b"Vendor kanmon", ctypes.byref(version), ctypes.byref(found), U(0)), "C_GetInterface")
vendor = slots(ctypes.cast(found, ctypes.POINTER(Interface)).contents.list, 3)
content = open(tbs, "rb").read()
attachment = Attachment(content, len(content), None, 0, b"APP-2", 5, None, 0)
attach = ctypes.CFUNCTYPE(U, U, P)(vendor[3])
need(attach(session.value, by(attachment)), "AttachNext")
assert attach(session.value + 1000, by(attachment)) == 0xB3, "AttachNext of no session"
data = open(digest, "rb").read()
signature, length = ctypes.create_string_buffer(256), U(256)
need(call(44, session, ctypes.c_char_p(data), U(len(data)), by(signature), by(length)), "C_Sign")
need(call(2, P()), "C_Finalize")
