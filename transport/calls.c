#include "kanmon/calls.h"

#include <string.h>

#include "kanmon/params.h"

/*
 * From an argument of a row to its struct kmn_param: PARAM(0, (DATA, pData,
 * ulDataLen, DIGEST)) is PARAM_DATA(pData, ulDataLen, DIGEST).
 */
#define PARAM(i, argument) PARAM_AS(KMN_BARE argument)
#define PARAM_AS(...) PARAM_OF(__VA_ARGS__)
#define PARAM_OF(kind, ...) PARAM_##kind(__VA_ARGS__)
#define ONE(p, kind, show) \
	{ \
#p, "", KMN_KIND_##kind, KMN_SHOW_##show \
	}
#define TWO(p, n, kind, show) \
	{ \
#p, #n, KMN_KIND_##kind, KMN_SHOW_##show \
	}

#define PARAM_SESSION(h) ONE(h, SESSION, VALUE)
#define PARAM_SLOT(id) ONE(id, SLOT, VALUE)
#define PARAM_OBJECT(h) ONE(h, OBJECT, VALUE)
#define PARAM_KEY(h) ONE(h, KEY, VALUE)
#define PARAM_ULONG(u) ONE(u, ULONG, VALUE)
#define PARAM_FLAGS(f) ONE(f, FLAGS, VALUE)
#define PARAM_MECH_TYPE(t) ONE(t, MECH_TYPE, VALUE)
#define PARAM_BOOL(b) ONE(b, BOOL, VALUE)
#define PARAM_MECHANISM(p) ONE(p, MECHANISM, VALUE)
#define PARAM_MESSAGE_PARAM(p, n) TWO(p, n, MESSAGE_PARAM, VALUE)
#define PARAM_DATA(p, n, show) TWO(p, n, DATA, show)
#define PARAM_AAD(p, n, show) TWO(p, n, AAD, show)
#define PARAM_USERNAME(p, n) TWO(p, n, USERNAME, VALUE)
#define PARAM_PIN(p, n) TWO(p, n, PIN, NOTHING)
#define PARAM_LABEL(p) ONE(p, LABEL, VALUE)
#define PARAM_TEMPLATE(p, n) TWO(p, n, TEMPLATE, VALUE)
#define PARAM_NOTIFY(cookie, callback) TWO(cookie, callback, NOTIFY, NOTHING)
#define PARAM_LOCAL(type, p) ONE(p, LOCAL, NOTHING)
#define PARAM_VALUES(p, n) TWO(p, n, VALUES, VALUE)
#define PARAM_ROOM(p, pn, show) TWO(p, pn, ROOM, show)
#define PARAM_MAYBE_ROOM(p, pn, show) TWO(p, pn, MAYBE_ROOM, show)
#define PARAM_FILL(p, n, show) TWO(p, n, FILL, show)
#define PARAM_SLOTS(p, pn) TWO(p, pn, SLOTS, VALUE)
#define PARAM_MECH_TYPES(p, pn) TWO(p, pn, MECH_TYPES, DIGEST)
#define PARAM_OBJECTS(p, max, pn) TWO(p, pn, OBJECTS, DIGEST)
#define PARAM_NEW_SESSION(p) ONE(p, NEW_SESSION, VALUE)
#define PARAM_NEW_OBJECT(p) ONE(p, NEW_OBJECT, VALUE)
#define PARAM_MAYBE_OBJECT(p) ONE(p, MAYBE_OBJECT, VALUE)
#define PARAM_FLAGS_OUT(p) ONE(p, FLAGS_OUT, VALUE)
#define PARAM_SLOT_OUT(p) ONE(p, SLOT_OUT, VALUE)
#define PARAM_ULONG_OUT(p) ONE(p, ULONG_OUT, VALUE)
#define PARAM_INFO(p) ONE(p, INFO, VALUE)
#define PARAM_SLOT_INFO(p) ONE(p, SLOT_INFO, VALUE)
#define PARAM_TOKEN_INFO(p) ONE(p, TOKEN_INFO, VALUE)
#define PARAM_MECH_INFO(p) ONE(p, MECH_INFO, VALUE)
#define PARAM_SESSION_INFO(p) ONE(p, SESSION_INFO, VALUE)

static const struct kmn_call calls[KMN_CALL_COUNT] = {
#define KMN_CALL(symbol, since_version, class, durable, held, does, ops, ...) \
	[KMN_##symbol] = {#symbol, since_version, KMN_POLICY_##class, KMN_DURABILITY_##durable, KMN_HOLD_##held, \
	    KMN_EFFECT_##does, (ops), \
	    sizeof((struct kmn_param[]){KMN_LIST(PARAM, __VA_ARGS__)}) / sizeof(struct kmn_param), \
	    {KMN_LIST(PARAM, __VA_ARGS__)}},
#include "kanmon/calls.def"
#undef KMN_CALL
};

const struct kmn_call *
kmn_call_row(uint32_t id)
{
	return id < KMN_CALL_COUNT ? &calls[id] : NULL;
}

const struct kmn_call *
kmn_call_by_name(const char *name)
{
	for (size_t i = 0; i < KMN_CALL_COUNT; i++)
		if (strcmp(calls[i].name, name) == 0)
			return &calls[i];
	return NULL;
}

enum kmn_call_id
kmn_call_id_of(const struct kmn_call *row)
{
	return (enum kmn_call_id)(row - calls);
}

#define WORD(name, word) [KMN_POLICY_##name] = word,
static const char *const policy_words[] = {KMN_POLICY_ROWS(WORD)};
#undef WORD

const char *
kmn_policy_class_word(enum kmn_policy_class c)
{
	return policy_words[c];
}

bool
kmn_policy_class_of(const char *word, enum kmn_policy_class *class_out)
{
	*class_out = KMN_POLICY_LOCAL;
	for (size_t i = 0; i < KMN_POLICY_CLASS_COUNT; i++) {
		if (strcmp(policy_words[i], word) != 0)
			continue;
		*class_out = (enum kmn_policy_class)i;
		return true;
	}
	return false;
}

bool
kmn_kind_is_out(enum kmn_kind kind)
{
	return kind >= KMN_KIND_VALUES && kind < KMN_KIND_COUNT;
}

bool
kmn_kind_is_param(enum kmn_kind kind)
{
	return kind == KMN_KIND_MECHANISM || kind == KMN_KIND_MESSAGE_PARAM;
}

#define NAME(kind) [KMN_KIND_##kind] = #kind,
static const char *const kind_names[] = {KMN_KIND_ROWS(NAME)};
#undef NAME

const char *
kmn_kind_name(enum kmn_kind kind)
{
	return kind_names[kind];
}

/* clang-format off */
#define ROW(name) {CKR_##name, "CKR_" #name},
static const struct {
	uint64_t rv;
	const char *name;
} rv_names[] = {
	ROW(OK)
	ROW(CANCEL)
	ROW(HOST_MEMORY)
	ROW(SLOT_ID_INVALID)
	ROW(GENERAL_ERROR)
	ROW(FUNCTION_FAILED)
	ROW(ARGUMENTS_BAD)
	ROW(NO_EVENT)
	ROW(NEED_TO_CREATE_THREADS)
	ROW(CANT_LOCK)
	ROW(ATTRIBUTE_READ_ONLY)
	ROW(ATTRIBUTE_SENSITIVE)
	ROW(ATTRIBUTE_TYPE_INVALID)
	ROW(ATTRIBUTE_VALUE_INVALID)
	ROW(ACTION_PROHIBITED)
	ROW(DATA_INVALID)
	ROW(DATA_LEN_RANGE)
	ROW(DEVICE_ERROR)
	ROW(DEVICE_MEMORY)
	ROW(DEVICE_REMOVED)
	ROW(ENCRYPTED_DATA_INVALID)
	ROW(ENCRYPTED_DATA_LEN_RANGE)
	ROW(AEAD_DECRYPT_FAILED)
	ROW(FUNCTION_CANCELED)
	ROW(FUNCTION_NOT_PARALLEL)
	ROW(FUNCTION_NOT_SUPPORTED)
	ROW(KEY_HANDLE_INVALID)
	ROW(KEY_SIZE_RANGE)
	ROW(KEY_TYPE_INCONSISTENT)
	ROW(KEY_NOT_NEEDED)
	ROW(KEY_CHANGED)
	ROW(KEY_NEEDED)
	ROW(KEY_INDIGESTIBLE)
	ROW(KEY_FUNCTION_NOT_PERMITTED)
	ROW(KEY_NOT_WRAPPABLE)
	ROW(KEY_UNEXTRACTABLE)
	ROW(MECHANISM_INVALID)
	ROW(MECHANISM_PARAM_INVALID)
	ROW(OBJECT_HANDLE_INVALID)
	ROW(OPERATION_ACTIVE)
	ROW(OPERATION_NOT_INITIALIZED)
	ROW(PIN_INCORRECT)
	ROW(PIN_INVALID)
	ROW(PIN_LEN_RANGE)
	ROW(PIN_EXPIRED)
	ROW(PIN_LOCKED)
	ROW(SESSION_CLOSED)
	ROW(SESSION_COUNT)
	ROW(SESSION_HANDLE_INVALID)
	ROW(SESSION_PARALLEL_NOT_SUPPORTED)
	ROW(SESSION_READ_ONLY)
	ROW(SESSION_EXISTS)
	ROW(SESSION_READ_ONLY_EXISTS)
	ROW(SESSION_READ_WRITE_SO_EXISTS)
	ROW(SIGNATURE_INVALID)
	ROW(SIGNATURE_LEN_RANGE)
	ROW(TEMPLATE_INCOMPLETE)
	ROW(TEMPLATE_INCONSISTENT)
	ROW(TOKEN_NOT_PRESENT)
	ROW(TOKEN_NOT_RECOGNIZED)
	ROW(TOKEN_WRITE_PROTECTED)
	ROW(UNWRAPPING_KEY_HANDLE_INVALID)
	ROW(UNWRAPPING_KEY_SIZE_RANGE)
	ROW(UNWRAPPING_KEY_TYPE_INCONSISTENT)
	ROW(USER_ALREADY_LOGGED_IN)
	ROW(USER_NOT_LOGGED_IN)
	ROW(USER_PIN_NOT_INITIALIZED)
	ROW(USER_TYPE_INVALID)
	ROW(USER_ANOTHER_ALREADY_LOGGED_IN)
	ROW(USER_TOO_MANY_TYPES)
	ROW(WRAPPED_KEY_INVALID)
	ROW(WRAPPED_KEY_LEN_RANGE)
	ROW(WRAPPING_KEY_HANDLE_INVALID)
	ROW(WRAPPING_KEY_SIZE_RANGE)
	ROW(WRAPPING_KEY_TYPE_INCONSISTENT)
	ROW(RANDOM_SEED_NOT_SUPPORTED)
	ROW(RANDOM_NO_RNG)
	ROW(DOMAIN_PARAMS_INVALID)
	ROW(CURVE_NOT_SUPPORTED)
	ROW(BUFFER_TOO_SMALL)
	ROW(SAVED_STATE_INVALID)
	ROW(INFORMATION_SENSITIVE)
	ROW(STATE_UNSAVEABLE)
	ROW(CRYPTOKI_NOT_INITIALIZED)
	ROW(CRYPTOKI_ALREADY_INITIALIZED)
	ROW(MUTEX_BAD)
	ROW(MUTEX_NOT_LOCKED)
	ROW(NEW_PIN_MODE)
	ROW(NEXT_OTP)
	ROW(EXCEEDED_MAX_ITERATIONS)
	ROW(FIPS_SELF_TEST_FAILED)
	ROW(LIBRARY_LOAD_FAILED)
	ROW(PIN_TOO_WEAK)
	ROW(PUBLIC_KEY_INVALID)
	ROW(FUNCTION_REJECTED)
	ROW(TOKEN_RESOURCE_EXCEEDED)
	ROW(OPERATION_CANCEL_FAILED)
	ROW(KEY_EXHAUSTED)
	ROW(PENDING)
	ROW(SESSION_ASYNC_NOT_SUPPORTED)
	ROW(SEED_RANDOM_REQUIRED)
	ROW(OPERATION_NOT_VALIDATED)
	ROW(TOKEN_NOT_INITIALIZED)
	ROW(PARAMETER_SET_NOT_SUPPORTED)
};
#undef ROW
/* clang-format on */

const char *
kmn_rv_name(uint64_t rv)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rv_names); i++)
		if (rv_names[i].rv == rv)
			return rv_names[i].name;
	return NULL;
}
