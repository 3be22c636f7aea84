/* A small PKCS#11 module for tests; README.md says what it can do. */
#ifndef KANMON_TESTS_MOCK_H
#define KANMON_TESTS_MOCK_H

#include <openssl/evp.h>
#include <pthread.h>

#include "kanmon/calls_entry.h"

/* clang-format off */
/* NAMES(1, (DATA, pData, ulDataLen, DIGEST)) is pData, ulDataLen. */
#define NAMES(i, argument) NAMES_AS(KMN_BARE argument)
#define NAMES_AS(...) NAMES_OF(__VA_ARGS__)
#define NAMES_OF(kind, ...) NAMES_##kind(__VA_ARGS__)
#define NAMES_SESSION(a) a
#define NAMES_SLOT(a) a
#define NAMES_OBJECT(a) a
#define NAMES_KEY(a) a
#define NAMES_ULONG(a) a
#define NAMES_FLAGS(a) a
#define NAMES_MECH_TYPE(a) a
#define NAMES_BOOL(a) a
#define NAMES_MECHANISM(a) a
#define NAMES_DATA(a, b, ...) a, b
#define NAMES_PIN(a, b) a, b
#define NAMES_AAD(a, b, ...) a, b
#define NAMES_USERNAME(a, b) a, b
#define NAMES_MESSAGE_PARAM(a, b) a, b
#define NAMES_LABEL(a) a
#define NAMES_TEMPLATE(a, b) a, b
#define NAMES_NOTIFY(a, b) a, b
#define NAMES_LOCAL(type, a) a
#define NAMES_VALUES(a, b) a, b
#define NAMES_ROOM(a, b, ...) a, b
#define NAMES_MAYBE_ROOM(a, b, ...) a, b
#define NAMES_FILL(a, b, ...) a, b
#define NAMES_SLOTS(a, b) a, b
#define NAMES_MECH_TYPES(a, b) a, b
#define NAMES_OBJECTS(a, b, c) a, b, c
#define NAMES_NEW_SESSION(a) a
#define NAMES_NEW_OBJECT(a) a
#define NAMES_MAYBE_OBJECT(a) a
#define NAMES_ULONG_OUT(a) a
#define NAMES_FLAGS_OUT(a) a
#define NAMES_SLOT_OUT(a) a
#define NAMES_INFO(a) a
#define NAMES_SLOT_INFO(a) a
#define NAMES_TOKEN_INFO(a) a
#define NAMES_MECH_INFO(a) a
#define NAMES_SESSION_INFO(a) a
/* clang-format on */

/* What stands behind each entry point; one that no file defines is not supported. */
#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) \
	CK_RV mock_##symbol(KMN_LIST(KMN_PROTOTYPE, __VA_ARGS__)) __attribute__((weak, visibility("hidden")));
#include "kanmon/calls.def"
#undef KMN_CALL

#define MOCK_SLOTS 2u
#define MOCK_SESSIONS 4096u
#define MOCK_OBJECTS 4096u /* per slot */
#define MOCK_ROWS 32u      /* attributes of one object */
#define MOCK_OVER_ATTRIBUTES 1u
#define MOCK_OVER_SLOTS 2u
#define MOCK_OVER_SIGNATURE 4u
#define MOCK_OVER_LENGTHS 8u
#define MOCK_OVER_FIND 16u

/* Environment, read at C_Initialize. */
struct mock_settings {
	unsigned slots, delay_ms, overrun;
	char pin[64], so_pin[64], crash[64], log[512], key[512];
};

struct mock_row {
	CK_ATTRIBUTE_TYPE type;
	CK_ULONG len;
	uint8_t *value;
};

struct mock_object {
	bool used;
	CK_SESSION_HANDLE session; /* of a session object, or 0 */
	EVP_PKEY *key;             /* of a key pair's halves, counted */
	struct mock_row row[MOCK_ROWS];
	size_t rows;
};

struct mock_sign {
	bool active, multipart, logged_in;
	CK_MECHANISM_TYPE mechanism;
	CK_OBJECT_HANDLE object;
	EVP_PKEY *key; /* counted */
	bool always_authenticate, crash;
	EVP_MD_CTX *digest;
};

struct mock_session {
	bool used;
	unsigned slot; /* index */
	CK_FLAGS flags;
	bool finding;
	CK_OBJECT_HANDLE found[MOCK_OBJECTS];
	size_t found_count, found_next;
	struct mock_sign sign;
};

struct mock_token {
	char label[33];
	bool user, so; /* logged in */
	struct mock_object object[MOCK_OBJECTS];
};

/* All of it, under one lock that every function takes; signatures are made without it. */
struct mock {
	pthread_mutex_t lock;
	bool initialised;
	struct mock_settings settings;
	struct mock_token token[MOCK_SLOTS];
	struct mock_session *session[MOCK_SESSIONS]; /* number n is session[n - 1] */
};
extern struct mock mock;

#define MOCK_SLOT_ID(index) (11u * ((index) + 1u))

/* With the lock held. NULL: no such thing. */
struct mock_session *mock_session(CK_SESSION_HANDLE handle);
bool mock_slot(CK_SLOT_ID id, unsigned *index_out);
struct mock_object *mock_object(const struct mock_session *s, CK_OBJECT_HANDLE handle); /* that it may see */
const struct mock_row *mock_row(const struct mock_object *o, CK_ATTRIBUTE_TYPE type);
bool mock_flag(const struct mock_object *o, CK_ATTRIBUTE_TYPE type);
void mock_object_clear(struct mock_object *o);
void mock_sign_clear(struct mock_sign *sign);
void mock_logout(unsigned slot);

/* A key pair from a PEM file, on the first token, label and id "seed". */
void mock_seed_key(const char *path);

_Noreturn void mock_crash(const char *function);

#endif
