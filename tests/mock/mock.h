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

#define MOCK_SLOTS 4u
#define MOCK_SESSIONS 4096u
#define MOCK_OBJECTS 4096u /* per slot */
#define MOCK_ROWS 40u      /* attributes of one object */
#define MOCK_OVER_ATTRIBUTES 1u
#define MOCK_OVER_SLOTS 2u
#define MOCK_OVER_SIGNATURE 4u
#define MOCK_OVER_LENGTHS 8u
#define MOCK_OVER_FIND 16u
#define MOCK_OVER_MECHANISMS 32u
#define MOCK_OVER_OUTPUT 64u
#define MOCK_OVER_PARAMS 128u
#define MOCK_OVER_FAR 256u

/* Environment, read at C_Initialize. */
struct mock_settings {
	unsigned slots, delay_ms, overrun, sessions, secrets, level;
	bool late, sticky, serial;
	char pin[64], so_pin[64], username[64], crash[64], log[512], key[512], events[512], drop[512];
};

struct mock_row {
	CK_ATTRIBUTE_TYPE type;
	CK_ULONG len;   /* of a template: bytes of its CK_ATTRIBUTEs */
	uint8_t *value; /* of a template: rows of this kind, that many */
	size_t rows;    /* of a template that is not empty */
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
	EVP_PKEY *key;      /* counted */
	uint8_t secret[32]; /* of a secret key, with the mechanism's parameter */
	bool always_authenticate, crash;
	EVP_MD_CTX *digest;
	struct mock_sign_params *late; /* the caller's memory, written to when the signature is made */
};

/*
 * An operation that is not C_Sign. All its input is kept, and what comes out
 * is a function of it.
 */
struct mock_op {
	bool active, begun; /* begun: between C_*MessageBegin and its last part */
	CK_MECHANISM_TYPE mechanism;
	EVP_PKEY *key;      /* of a pair, counted */
	uint8_t secret[32]; /* SHA-256 of the key, with what the mechanism's parameter adds */
	uint8_t iv[64];
	size_t iv_len, tag_len;
	uint8_t *data, *aad, *signature; /* malloc */
	size_t len, aad_len, signature_len;
	size_t given;   /* bytes of the result that were handed out */
	CK_BYTE *late;  /* the caller's IV, written when the operation ends */
	CK_ULONG count; /* messages so far */
};

enum mock_op_kind {
	MOCK_ENCRYPT,
	MOCK_DECRYPT,
	MOCK_DIGEST,
	MOCK_SIGN_RECOVER,
	MOCK_VERIFY,
	MOCK_VERIFY_RECOVER,
	MOCK_MESSAGE_ENCRYPT,
	MOCK_MESSAGE_DECRYPT,
	MOCK_MESSAGE_SIGN,
	MOCK_MESSAGE_VERIFY,
	MOCK_VERIFY_SIGNATURE,
	MOCK_OPS
};

struct mock_session {
	bool used;
	unsigned slot; /* index */
	CK_FLAGS flags;
	bool finding;
	CK_OBJECT_HANDLE found[MOCK_OBJECTS];
	size_t found_count, found_next;
	struct mock_sign sign;
	struct mock_op op[MOCK_OPS];
};

struct mock_token {
	char label[33];
	bool user, so; /* logged in */
	bool absent;
	struct mock_object object[MOCK_OBJECTS];
};

/* All of it, under one lock that every function takes; signatures are made without it. */
struct mock {
	pthread_mutex_t lock;
	bool initialised;
	struct mock_settings settings;
	struct mock_token token[MOCK_SLOTS];
	struct mock_session *session[MOCK_SESSIONS]; /* number n is session[n - 1] */
	CK_ULONG made;                               /* counts what must differ: keys, IVs, random bytes */
	unsigned named;                              /* objects so far */
	unsigned events;                             /* lines of the events file that were told */
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

/* AES keys "secret-1".. with fixed values, on each token. */
void mock_seed_secrets(unsigned count);
void mock_seed_validation(unsigned level);

/* ---- what the files share ---- */

struct mock_session *mock_enter(CK_SESSION_HANDLE handle); /* takes the lock */
CK_RV mock_leave(CK_RV rv);                                /* gives it back, and the result */

struct mock_mechanism {
	CK_MECHANISM_TYPE type;
	CK_ULONG least, most;
	CK_FLAGS flags;
	CK_KEY_TYPE key_type;
	const char *hash; /* of signatures: NULL: none, "": signs what it gets */
};
const struct mock_mechanism *mock_mechanism(CK_MECHANISM_TYPE type);
#define MOCK_NO_KEY_TYPE CK_UNAVAILABLE_INFORMATION

/* SHA-256 over parts, each with its length before it; ends with a NULL. */
struct mock_part {
	const void *bytes;
	size_t len;
};
void mock_hash(const struct mock_part *parts, size_t count, uint8_t out[32]);
#define MOCK_HASH(out, ...) \
	mock_hash((const struct mock_part[]){__VA_ARGS__}, \
	    sizeof((const struct mock_part[]){__VA_ARGS__}) / sizeof(struct mock_part), out)
/* XORs with a stream made of key and IV, from that offset on. */
void mock_stream(
    const uint8_t key[32], const uint8_t *iv, size_t iv_len, size_t from, const uint8_t *in, size_t len, uint8_t *out);
/* SHA-256 of what makes the key: CKA_VALUE, or the public half of a pair. */
void mock_key_digest(const struct mock_object *o, uint8_t out[32]);
CK_ULONG mock_class(const struct mock_object *o);

/* The two-call convention; `word` is the overrun that may happen. */
CK_RV mock_answer(const uint8_t *bytes, size_t len, unsigned overrun, CK_BYTE *out, CK_ULONG *out_len);
void mock_give(const uint8_t *bytes, size_t len, unsigned overrun, CK_BYTE *out, CK_ULONG *out_len);

void mock_op_clear(struct mock_op *op);
bool mock_op_append(struct mock_op *op, const void *bytes, size_t len);
/* What the *Init functions have in common: a NULL mechanism cancels. */
CK_RV mock_op_begin(struct mock_session *s, enum mock_op_kind kind, const CK_MECHANISM *m, CK_OBJECT_HANDLE key,
    CK_FLAGS flag, struct mock_op **op_out);
/* The operation, or CKR_OPERATION_NOT_INITIALIZED. */
CK_RV mock_op_of(struct mock_session *s, enum mock_op_kind kind, struct mock_op **op_out);

/* A signature over the op's data; CKR_OK, CKR_SIGNATURE_INVALID or CKR_SIGNATURE_LEN_RANGE. */
CK_RV mock_verify(const struct mock_op *op, const uint8_t *signature, size_t len);
size_t mock_signature_bytes(const struct mock_op *op);
bool mock_make_signature(const struct mock_op *op, uint8_t *out, size_t *len);
/* With the digest of mechanisms that have one; true: `out` holds what the key signs. */
bool mock_sign_digest(
    CK_MECHANISM_TYPE type, EVP_PKEY *key, const uint8_t *digest, size_t len, uint8_t *out, size_t *out_len);

/* Objects made by the module: attributes of the template, and what it says itself. */
CK_RV mock_make_key(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_CLASS class,
    const uint8_t *value, size_t len, CK_OBJECT_HANDLE *out);
CK_RV mock_key_bytes(const struct mock_object *o, uint8_t *out, size_t max, size_t *len);

/* With the lock held, of a session that there is. */
void mock_close_session(CK_SESSION_HANDLE handle);
/* Slots: presence as the events file says; with the lock held. */
void mock_look_at_slots(void);

#define MOCK_CK_BYTES_MAX 8192u

/* A line of its own in the log. */
void mock_note(const char *word);
_Noreturn void mock_crash(const char *function);

#endif
