/*
 * From a row of calls.def to a C function of its shape: the parameter list, as
 * the PKCS#11 header has it, and the arguments packed for the codec. The
 * provider's stubs and modules for tests are made with it.
 */
#ifndef KANMON_CALLS_ENTRY_H
#define KANMON_CALLS_ENTRY_H

#include "kanmon/codec.h"

/* clang-format off */
/* KMN_PROTOTYPE(1, (DATA, pData, ulDataLen, DIGEST)) is CK_BYTE_PTR pData, CK_ULONG ulDataLen. */
#define KMN_PROTOTYPE(i, argument) KMN_PROTOTYPE_AS(KMN_BARE argument)
#define KMN_PROTOTYPE_AS(...) KMN_PROTOTYPE_OF(__VA_ARGS__)
#define KMN_PROTOTYPE_OF(kind, ...) KMN_PROTOTYPE_##kind(__VA_ARGS__)
#define KMN_PROTOTYPE_SESSION(h) CK_SESSION_HANDLE h
#define KMN_PROTOTYPE_SLOT(id) CK_SLOT_ID id
#define KMN_PROTOTYPE_OBJECT(h) CK_OBJECT_HANDLE h
#define KMN_PROTOTYPE_KEY(h) CK_OBJECT_HANDLE h
#define KMN_PROTOTYPE_ULONG(u) CK_ULONG u
#define KMN_PROTOTYPE_FLAGS(f) CK_FLAGS f
#define KMN_PROTOTYPE_MECH_TYPE(t) CK_MECHANISM_TYPE t
#define KMN_PROTOTYPE_BOOL(b) CK_BBOOL b
#define KMN_PROTOTYPE_MECHANISM(p) CK_MECHANISM_PTR p
#define KMN_PROTOTYPE_MESSAGE_PARAM(p, n) CK_VOID_PTR p, CK_ULONG n
#define KMN_PROTOTYPE_DATA(p, n, show) CK_BYTE_PTR p, CK_ULONG n
#define KMN_PROTOTYPE_AAD(p, n, show) CK_BYTE_PTR p, CK_ULONG n
#define KMN_PROTOTYPE_USERNAME(p, n) CK_UTF8CHAR_PTR p, CK_ULONG n
#define KMN_PROTOTYPE_PIN(p, n) CK_UTF8CHAR_PTR p, CK_ULONG n
#define KMN_PROTOTYPE_LABEL(p) CK_UTF8CHAR_PTR p
#define KMN_PROTOTYPE_LOCAL(type, p) type p
#define KMN_PROTOTYPE_TEMPLATE(p, n) CK_ATTRIBUTE_PTR p, CK_ULONG n
#define KMN_PROTOTYPE_NOTIFY(cookie, callback) CK_VOID_PTR cookie, CK_NOTIFY callback
#define KMN_PROTOTYPE_VALUES(p, n) CK_ATTRIBUTE_PTR p, CK_ULONG n
#define KMN_PROTOTYPE_ROOM(p, pn, show) CK_BYTE_PTR p, CK_ULONG_PTR pn
#define KMN_PROTOTYPE_MAYBE_ROOM(p, pn, show) CK_BYTE_PTR p, CK_ULONG_PTR pn
#define KMN_PROTOTYPE_FILL(p, n, show) CK_BYTE_PTR p, CK_ULONG n
#define KMN_PROTOTYPE_SLOTS(p, pn) CK_SLOT_ID_PTR p, CK_ULONG_PTR pn
#define KMN_PROTOTYPE_MECH_TYPES(p, pn) CK_MECHANISM_TYPE_PTR p, CK_ULONG_PTR pn
#define KMN_PROTOTYPE_OBJECTS(p, max, pn) CK_OBJECT_HANDLE_PTR p, CK_ULONG max, CK_ULONG_PTR pn
#define KMN_PROTOTYPE_NEW_SESSION(p) CK_SESSION_HANDLE_PTR p
#define KMN_PROTOTYPE_NEW_OBJECT(p) CK_OBJECT_HANDLE_PTR p
#define KMN_PROTOTYPE_MAYBE_OBJECT(p) CK_OBJECT_HANDLE_PTR p
#define KMN_PROTOTYPE_FLAGS_OUT(p) CK_FLAGS_PTR p
#define KMN_PROTOTYPE_SLOT_OUT(p) CK_SLOT_ID_PTR p
#define KMN_PROTOTYPE_ULONG_OUT(p) CK_ULONG_PTR p
#define KMN_PROTOTYPE_INFO(p) CK_INFO_PTR p
#define KMN_PROTOTYPE_SLOT_INFO(p) CK_SLOT_INFO_PTR p
#define KMN_PROTOTYPE_TOKEN_INFO(p) CK_TOKEN_INFO_PTR p
#define KMN_PROTOTYPE_MECH_INFO(p) CK_MECHANISM_INFO_PTR p
#define KMN_PROTOTYPE_SESSION_INFO(p) CK_SESSION_INFO_PTR p

/* KMN_PACK(1, (DATA, pData, ulDataLen, DIGEST)) is a struct kmn_arg with the pointer and the length. */
#define KMN_PACK(i, argument) KMN_PACK_AS(KMN_BARE argument)
#define KMN_PACK_AS(...) KMN_PACK_OF(__VA_ARGS__)
#define KMN_PACK_OF(kind, ...) KMN_PACK_##kind(__VA_ARGS__)
#define KMN_PACK_SCALAR(value) {.u = (value)}
#define KMN_PACK_POINTER(pointer) {.p = (pointer)}
#define KMN_PACK_SIZED(pointer, count) {.p = (pointer), .u = (count)}
#define KMN_PACK_ANSWERED(pointer, count_out) {.p = (pointer), .n = (count_out)}
#define KMN_PACK_SESSION(h) KMN_PACK_SCALAR(h)
#define KMN_PACK_SLOT(id) KMN_PACK_SCALAR(id)
#define KMN_PACK_OBJECT(h) KMN_PACK_SCALAR(h)
#define KMN_PACK_KEY(h) KMN_PACK_SCALAR(h)
#define KMN_PACK_ULONG(u) KMN_PACK_SCALAR(u)
#define KMN_PACK_FLAGS(f) KMN_PACK_SCALAR(f)
#define KMN_PACK_MECH_TYPE(t) KMN_PACK_SCALAR(t)
#define KMN_PACK_BOOL(b) KMN_PACK_SCALAR(b)
#define KMN_PACK_MECHANISM(p) KMN_PACK_POINTER(p)
#define KMN_PACK_MESSAGE_PARAM(pointer, count) {.p = (pointer), .u = (count), .type = CK_UNAVAILABLE_INFORMATION}
#define KMN_PACK_DATA(p, n, show) KMN_PACK_SIZED(p, n)
#define KMN_PACK_AAD(p, n, show) KMN_PACK_SIZED(p, n)
#define KMN_PACK_USERNAME(p, n) KMN_PACK_SIZED(p, n)
#define KMN_PACK_PIN(p, n) KMN_PACK_SIZED(p, n)
#define KMN_PACK_LOCAL(type, p) KMN_PACK_POINTER(p)
#define KMN_PACK_LABEL(p) KMN_PACK_POINTER(p)
#define KMN_PACK_TEMPLATE(p, n) KMN_PACK_SIZED(p, n)
#define KMN_PACK_NOTIFY(cookie, callback) KMN_PACK_SIZED(cookie, (callback) != NULL)
#define KMN_PACK_VALUES(p, n) KMN_PACK_SIZED(p, n)
#define KMN_PACK_ROOM(p, pn, show) KMN_PACK_ANSWERED(p, pn)
#define KMN_PACK_MAYBE_ROOM(p, pn, show) KMN_PACK_ANSWERED(p, pn)
#define KMN_PACK_FILL(p, n, show) KMN_PACK_SIZED(p, n)
#define KMN_PACK_SLOTS(p, pn) KMN_PACK_ANSWERED(p, pn)
#define KMN_PACK_MECH_TYPES(p, pn) KMN_PACK_ANSWERED(p, pn)
#define KMN_PACK_OBJECTS(pointer, max, count_out) {.p = (pointer), .u = (max), .n = (count_out)}
#define KMN_PACK_NEW_SESSION(p) KMN_PACK_POINTER(p)
#define KMN_PACK_NEW_OBJECT(p) KMN_PACK_POINTER(p)
#define KMN_PACK_MAYBE_OBJECT(p) KMN_PACK_POINTER(p)
#define KMN_PACK_FLAGS_OUT(p) KMN_PACK_POINTER(p)
#define KMN_PACK_SLOT_OUT(p) KMN_PACK_POINTER(p)
#define KMN_PACK_ULONG_OUT(p) KMN_PACK_POINTER(p)
#define KMN_PACK_INFO(p) KMN_PACK_POINTER(p)
#define KMN_PACK_SLOT_INFO(p) KMN_PACK_POINTER(p)
#define KMN_PACK_TOKEN_INFO(p) KMN_PACK_POINTER(p)
#define KMN_PACK_MECH_INFO(p) KMN_PACK_POINTER(p)
#define KMN_PACK_SESSION_INFO(p) KMN_PACK_POINTER(p)
/* clang-format on */

#endif
