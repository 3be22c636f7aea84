/*
 * The PKCS#11 entry points, made from calls.def. A stub packs its arguments
 * and decides nothing; the compiler checks each against the prototype that
 * the header declares for it.
 */
#include "provider/provider.h"

#include "kanmon/calls_entry.h"

/* A stub for every policy class but local, whose functions are written by hand. */
#define STUB_LOCAL(symbol, ...)
#define STUB_SESSION STUB
#define STUB_LOGIN STUB
#define STUB_QUERY STUB
#define STUB_KEY_USE STUB
#define STUB_KEY_MANAGEMENT STUB
#define STUB_TOKEN_MANAGEMENT STUB
#define STUB_RANDOM STUB

#define STUB_AS(linkage, name, call, list, ...) \
	linkage CK_RV name(KMN_LIST(KMN_PROTOTYPE, __VA_ARGS__)) \
	{ \
		struct kmn_arg arg[] = {KMN_LIST(KMN_PACK, __VA_ARGS__)}; \
\
		return kmn_provider_call(call, list, arg, KMN_COUNT_OF(arg)); \
	}
#define STUB(symbol, ...) \
	STUB_AS(__attribute__((visibility("default"))), symbol, KMN_##symbol, KMN_LIST_NEWEST, __VA_ARGS__)
#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) STUB_##policy(symbol, __VA_ARGS__)
#include "kanmon/calls.def"
#undef KMN_CALL
#undef STUB

/*
 * The same once more for the list of 2.40: a module of 3.0 tells there of itself
 * and its mechanisms as 2.40 would have them (NSS), so the gateway must know.
 */
#define OLD_0x0228(policy, symbol, ...) STUB_##policy(symbol, __VA_ARGS__)
#define OLD_0x0300(policy, symbol, ...)
#define OLD_0x0302(policy, symbol, ...)
#define STUB(symbol, ...) STUB_AS(static, old_##symbol, KMN_##symbol, KMN_LIST_2_40, __VA_ARGS__)
#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) \
	OLD_##since(policy, symbol, __VA_ARGS__)
#include "kanmon/calls.def"
#undef KMN_CALL
#undef STUB
#undef OLD_0x0300

/* And for those of 3.0 and 3.1, whose callers know of no asynchronous sessions. */
#define OLD_0x0300 OLD_0x0228
#define STUB(symbol, ...) STUB_AS(static, middle_##symbol, KMN_##symbol, KMN_LIST_3_0, __VA_ARGS__)
#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) \
	OLD_##since(policy, symbol, __VA_ARGS__)
#include "kanmon/calls.def"
#undef KMN_CALL

/* The lists: by member name, each up to its version. */
/* clang-format off */
#define MEMBER(symbol) .symbol = symbol,

#define OLD_LOCAL MEMBER
#define OLD_SESSION OLD_MEMBER
#define OLD_LOGIN OLD_MEMBER
#define OLD_QUERY OLD_MEMBER
#define OLD_KEY_USE OLD_MEMBER
#define OLD_KEY_MANAGEMENT OLD_MEMBER
#define OLD_TOKEN_MANAGEMENT OLD_MEMBER
#define OLD_RANDOM OLD_MEMBER
#define OLD_MEMBER(symbol) .symbol = old_##symbol,
#define OLD_LIST_0x0228(policy, symbol) OLD_##policy(symbol)
#define OLD_LIST_0x0300(policy, symbol)
#define OLD_LIST_0x0302(policy, symbol)

CK_FUNCTION_LIST kmn_function_list = {
    .version = {2, 40},
#define KMN_CALL(symbol, since, policy, ...) OLD_LIST_##since(policy, symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};

#undef OLD_MEMBER
#undef OLD_LIST_0x0300
#define OLD_MEMBER(symbol) .symbol = middle_##symbol,
#define OLD_LIST_0x0300 OLD_LIST_0x0228
CK_FUNCTION_LIST_3_0 kmn_function_list_3_0 = {
    .version = {3, 0},
#define KMN_CALL(symbol, since, policy, ...) OLD_LIST_##since(policy, symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};

CK_FUNCTION_LIST_3_0 kmn_function_list_3_1 = {
    .version = {3, 1},
#define KMN_CALL(symbol, since, policy, ...) OLD_LIST_##since(policy, symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};

CK_FUNCTION_LIST_3_2 kmn_function_list_3_2 = {
    .version = {3, 2},
#define KMN_CALL(symbol, ...) MEMBER(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};
/* clang-format on */
