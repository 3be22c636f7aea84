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

#define STUB(symbol, ...) \
	__attribute__((visibility("default"))) CK_RV symbol(KMN_LIST(KMN_PROTOTYPE, __VA_ARGS__)) \
	{ \
		struct kmn_arg arg[] = {KMN_LIST(KMN_PACK, __VA_ARGS__)}; \
\
		return kmn_provider_call(KMN_##symbol, arg, KMN_COUNT_OF(arg)); \
	}

#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) STUB_##policy(symbol, __VA_ARGS__)
#include "kanmon/calls.def"
#undef KMN_CALL

/* The lists: by member name, each up to its version. */
/* clang-format off */
#define MEMBER(symbol) .symbol = symbol,
#define NO_MEMBER(symbol)

CK_FUNCTION_LIST kmn_function_list = {
    .version = {2, 40},
#define MEMBER_0x0228 MEMBER
#define MEMBER_0x0300 NO_MEMBER
#define MEMBER_0x0302 NO_MEMBER
#define KMN_CALL(symbol, since, ...) MEMBER_##since(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
#undef MEMBER_0x0300
};

CK_FUNCTION_LIST_3_0 kmn_function_list_3_0 = {
    .version = {3, 0},
#define MEMBER_0x0300 MEMBER
#define KMN_CALL(symbol, since, ...) MEMBER_##since(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
#undef MEMBER_0x0302
};

CK_FUNCTION_LIST_3_2 kmn_function_list_3_2 = {
    .version = {3, 2},
#define MEMBER_0x0302 MEMBER
#define KMN_CALL(symbol, since, ...) MEMBER_##since(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};
/* clang-format on */
