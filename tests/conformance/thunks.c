/* From a row to a call of a function of its shape. */
#include <string.h>

#include "kanmon/calls_entry.h"
#include "tests/conformance/player.h"

/* clang-format off */
#define PASS(i, argument) PASS_AS(i, KMN_BARE argument)
#define PASS_AS(...) PASS_OF(__VA_ARGS__)
#define PASS_OF(i, kind, ...) PASS_##kind(i, __VA_ARGS__)
#define PASS_SESSION(i, ...) a[i].u
#define PASS_SLOT(i, ...) a[i].u
#define PASS_OBJECT(i, ...) a[i].u
#define PASS_KEY(i, ...) a[i].u
#define PASS_ULONG(i, ...) a[i].u
#define PASS_FLAGS(i, ...) a[i].u
#define PASS_MECH_TYPE(i, ...) a[i].u
#define PASS_BOOL(i, ...) (CK_BBOOL)a[i].u
#define PASS_MECHANISM(i, ...) a[i].p
#define PASS_DATA(i, ...) a[i].p, a[i].u
#define PASS_PIN(i, ...) a[i].p, a[i].u
#define PASS_LABEL(i, ...) a[i].p
#define PASS_MESSAGE_PARAM(i, ...) a[i].p, a[i].u
#define PASS_AAD(i, ...) a[i].p, a[i].u
#define PASS_USERNAME(i, ...) a[i].p, a[i].u
#define PASS_MAYBE_ROOM(i, ...) a[i].p, a[i].n
#define PASS_FLAGS_OUT(i, ...) a[i].p
#define PASS_SLOT_OUT(i, ...) a[i].p
#define PASS_LOCAL(i, type, ...) (type)(uintptr_t)a[i].u
#define PASS_TEMPLATE(i, ...) a[i].p, a[i].u
#define PASS_NOTIFY(i, ...) a[i].p, a[i].u != 0 ? notified : NULL
#define PASS_VALUES(i, ...) a[i].p, a[i].u
#define PASS_ROOM(i, ...) a[i].p, a[i].n
#define PASS_FILL(i, ...) a[i].p, a[i].u
#define PASS_SLOTS(i, ...) a[i].p, a[i].n
#define PASS_MECH_TYPES(i, ...) a[i].p, a[i].n
#define PASS_OBJECTS(i, ...) a[i].p, a[i].u, a[i].n
#define PASS_NEW_SESSION(i, ...) a[i].p
#define PASS_NEW_OBJECT(i, ...) a[i].p
#define PASS_MAYBE_OBJECT(i, ...) a[i].p
#define PASS_ULONG_OUT(i, ...) a[i].p
#define PASS_INFO(i, ...) a[i].p
#define PASS_SLOT_INFO(i, ...) a[i].p
#define PASS_TOKEN_INFO(i, ...) a[i].p
#define PASS_MECH_INFO(i, ...) a[i].p
#define PASS_SESSION_INFO(i, ...) a[i].p
/* clang-format on */

static CK_RV
notified(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR cookie)
{
	(void)session;
	(void)event;
	(void)cookie;
	return CKR_OK;
}

#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) \
	static CK_RV thunk_##symbol(const void *function, struct kmn_arg *a) \
	{ \
		CK_RV (*call)(KMN_LIST(KMN_PROTOTYPE, __VA_ARGS__)); \
\
		memcpy(&call, function, sizeof(call)); \
		return call(KMN_LIST(PASS, __VA_ARGS__)); \
	}
#include "kanmon/calls.def"
#undef KMN_CALL

const thunk play_thunks[KMN_CALL_COUNT] = {
#define KMN_CALL(symbol, ...) [KMN_##symbol] = thunk_##symbol,
#include "kanmon/calls.def"
#undef KMN_CALL
};
