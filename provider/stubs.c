/*
 * The PKCS#11 entry points, made from calls.def. A stub packs its arguments
 * and decides nothing; the compiler checks each against the prototype that
 * the header declares for it.
 */
#include "provider/provider.h"

/* PROTOTYPE(1, (DATA, pData, ulDataLen, DIGEST)) is CK_BYTE_PTR pData, CK_ULONG ulDataLen. */
/* clang-format off */
#define PROTOTYPE(i, argument) PROTOTYPE_AS(KMN_BARE argument)
#define PROTOTYPE_AS(...) PROTOTYPE_OF(__VA_ARGS__)
#define PROTOTYPE_OF(kind, ...) PROTOTYPE_##kind(__VA_ARGS__)
#define PROTOTYPE_SESSION(h) CK_SESSION_HANDLE h
#define PROTOTYPE_SLOT(id) CK_SLOT_ID id
#define PROTOTYPE_OBJECT(h) CK_OBJECT_HANDLE h
#define PROTOTYPE_KEY(h) CK_OBJECT_HANDLE h
#define PROTOTYPE_ULONG(u) CK_ULONG u
#define PROTOTYPE_FLAGS(f) CK_FLAGS f
#define PROTOTYPE_MECH_TYPE(t) CK_MECHANISM_TYPE t
#define PROTOTYPE_BOOL(b) CK_BBOOL b
#define PROTOTYPE_MECHANISM(p) CK_MECHANISM_PTR p
#define PROTOTYPE_DATA(p, n, show) CK_BYTE_PTR p, CK_ULONG n
#define PROTOTYPE_PIN(p, n) CK_UTF8CHAR_PTR p, CK_ULONG n
#define PROTOTYPE_LABEL(p) CK_UTF8CHAR_PTR p
#define PROTOTYPE_TEMPLATE(p, n) CK_ATTRIBUTE_PTR p, CK_ULONG n
#define PROTOTYPE_NOTIFY(cookie, callback) CK_VOID_PTR cookie, CK_NOTIFY callback
#define PROTOTYPE_VALUES(p, n) CK_ATTRIBUTE_PTR p, CK_ULONG n
#define PROTOTYPE_ROOM(p, pn, show) CK_BYTE_PTR p, CK_ULONG_PTR pn
#define PROTOTYPE_FILL(p, n, show) CK_BYTE_PTR p, CK_ULONG n
#define PROTOTYPE_SLOTS(p, pn) CK_SLOT_ID_PTR p, CK_ULONG_PTR pn
#define PROTOTYPE_MECH_TYPES(p, pn) CK_MECHANISM_TYPE_PTR p, CK_ULONG_PTR pn
#define PROTOTYPE_OBJECTS(p, max, pn) CK_OBJECT_HANDLE_PTR p, CK_ULONG max, CK_ULONG_PTR pn
#define PROTOTYPE_NEW_SESSION(p) CK_SESSION_HANDLE_PTR p
#define PROTOTYPE_NEW_OBJECT(p) CK_OBJECT_HANDLE_PTR p
#define PROTOTYPE_MAYBE_OBJECT(p) CK_OBJECT_HANDLE_PTR p
#define PROTOTYPE_ULONG_OUT(p) CK_ULONG_PTR p
#define PROTOTYPE_INFO(p) CK_INFO_PTR p
#define PROTOTYPE_SLOT_INFO(p) CK_SLOT_INFO_PTR p
#define PROTOTYPE_TOKEN_INFO(p) CK_TOKEN_INFO_PTR p
#define PROTOTYPE_MECH_INFO(p) CK_MECHANISM_INFO_PTR p
#define PROTOTYPE_SESSION_INFO(p) CK_SESSION_INFO_PTR p

/* PACK(1, (DATA, pData, ulDataLen, DIGEST)) is a struct kmn_arg with the pointer and the length. */
#define PACK(i, argument) PACK_AS(KMN_BARE argument)
#define PACK_AS(...) PACK_OF(__VA_ARGS__)
#define PACK_OF(kind, ...) PACK_##kind(__VA_ARGS__)
#define PACK_SCALAR(value) {.u = (value)}
#define PACK_POINTER(pointer) {.p = (pointer)}
#define PACK_SIZED(pointer, count) {.p = (pointer), .u = (count)}
#define PACK_ANSWERED(pointer, count_out) {.p = (pointer), .n = (count_out)}
#define PACK_SESSION(h) PACK_SCALAR(h)
#define PACK_SLOT(id) PACK_SCALAR(id)
#define PACK_OBJECT(h) PACK_SCALAR(h)
#define PACK_KEY(h) PACK_SCALAR(h)
#define PACK_ULONG(u) PACK_SCALAR(u)
#define PACK_FLAGS(f) PACK_SCALAR(f)
#define PACK_MECH_TYPE(t) PACK_SCALAR(t)
#define PACK_BOOL(b) PACK_SCALAR(b)
#define PACK_MECHANISM(p) PACK_POINTER(p)
#define PACK_DATA(p, n, show) PACK_SIZED(p, n)
#define PACK_PIN(p, n) PACK_SIZED(p, n)
#define PACK_LABEL(p) PACK_POINTER(p)
#define PACK_TEMPLATE(p, n) PACK_SIZED(p, n)
#define PACK_NOTIFY(cookie, callback) PACK_SIZED(cookie, (callback) != NULL)
#define PACK_VALUES(p, n) PACK_SIZED(p, n)
#define PACK_ROOM(p, pn, show) PACK_ANSWERED(p, pn)
#define PACK_FILL(p, n, show) PACK_SIZED(p, n)
#define PACK_SLOTS(p, pn) PACK_ANSWERED(p, pn)
#define PACK_MECH_TYPES(p, pn) PACK_ANSWERED(p, pn)
#define PACK_OBJECTS(pointer, max, count_out) {.p = (pointer), .u = (max), .n = (count_out)}
#define PACK_NEW_SESSION(p) PACK_POINTER(p)
#define PACK_NEW_OBJECT(p) PACK_POINTER(p)
#define PACK_MAYBE_OBJECT(p) PACK_POINTER(p)
#define PACK_ULONG_OUT(p) PACK_POINTER(p)
#define PACK_INFO(p) PACK_POINTER(p)
#define PACK_SLOT_INFO(p) PACK_POINTER(p)
#define PACK_TOKEN_INFO(p) PACK_POINTER(p)
#define PACK_MECH_INFO(p) PACK_POINTER(p)
#define PACK_SESSION_INFO(p) PACK_POINTER(p)
/* clang-format on */

/* A stub for every policy class but local, whose functions are written by hand. */
#define STUB_LOCAL(symbol, ...)
#define STUB_SESSION STUB
#define STUB_LOGIN STUB
#define STUB_QUERY STUB
#define STUB_KEY_USE STUB
#define STUB_KEY_MANAGEMENT STUB
#define STUB_TOKEN_MANAGEMENT STUB
#define STUB_RANDOM STUB

#define STUB(symbol, ...) \
	__attribute__((visibility("default"))) CK_RV symbol(KMN_LIST(PROTOTYPE, __VA_ARGS__)) \
	{ \
		struct kmn_arg arg[] = {KMN_LIST(PACK, __VA_ARGS__)}; \
\
		return kmn_provider_call(KMN_##symbol, arg, KMN_COUNT_OF(arg)); \
	}

#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) STUB_##policy(symbol, __VA_ARGS__)
#include "kanmon/calls.def"
#undef KMN_CALL

/* By member name, so that the order of the rows does not matter here; a test compares it with the list's. */
CK_FUNCTION_LIST kmn_function_list = {
    .version = {CRYPTOKI_VERSION_MAJOR, CRYPTOKI_VERSION_MINOR},
#define KMN_CALL(symbol, ...) .symbol = symbol,
#include "kanmon/calls.def"
#undef KMN_CALL
};
