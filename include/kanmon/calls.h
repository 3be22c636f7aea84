/*
 * The one table of calls (rule 1). calls.def holds one row per PKCS#11
 * function; from it grow the provider's stubs and function list, the codec,
 * the worker's thunks, policy's names, the ledger's view and the fuzzers.
 *
 * A row is
 *   KMN_CALL(name, since, policy class, durability, hold, effect, operations, argument, argument...)
 * and an argument is (KIND, names of the C parameters..., what the ledger shows).
 * Each user defines KMN_CALL, includes calls.def, and picks out of the row
 * what it needs; KMN_LIST walks the arguments.
 */
#ifndef KANMON_CALLS_H
#define KANMON_CALLS_H

#include "kanmon/base.h"
#include "kanmon/pkcs11.h"

#define KMN_CALL_ARGS_MAX 8

/* KMN_LIST(M, a, b, c) is M(0, a), M(1, b), M(2, c): one to eight arguments. */
/* clang-format off */
#define KMN_LIST_1(M, a) M(0, a)
#define KMN_LIST_2(M, a, b) M(0, a), M(1, b)
#define KMN_LIST_3(M, a, b, c) M(0, a), M(1, b), M(2, c)
#define KMN_LIST_4(M, a, b, c, d) M(0, a), M(1, b), M(2, c), M(3, d)
#define KMN_LIST_5(M, a, b, c, d, e) M(0, a), M(1, b), M(2, c), M(3, d), M(4, e)
#define KMN_LIST_6(M, a, b, c, d, e, f) M(0, a), M(1, b), M(2, c), M(3, d), M(4, e), M(5, f)
#define KMN_LIST_7(M, a, b, c, d, e, f, g) M(0, a), M(1, b), M(2, c), M(3, d), M(4, e), M(5, f), M(6, g)
#define KMN_LIST_8(M, a, b, c, d, e, f, g, h) \
	M(0, a), M(1, b), M(2, c), M(3, d), M(4, e), M(5, f), M(6, g), M(7, h)
#define KMN_LIST_NTH(a, b, c, d, e, f, g, h, nth, ...) nth
#define KMN_LIST_FOR(...) \
	KMN_LIST_NTH(__VA_ARGS__, KMN_LIST_8, KMN_LIST_7, KMN_LIST_6, KMN_LIST_5, KMN_LIST_4, KMN_LIST_3, KMN_LIST_2, \
	    KMN_LIST_1, none)
#define KMN_LIST(M, ...) KMN_LIST_FOR(__VA_ARGS__)(M, __VA_ARGS__)
/* KMN_BARE (A, b, c) is A, b, c: takes the parentheses off an argument. */
#define KMN_BARE(...) __VA_ARGS__
/* clang-format on */

enum kmn_call_id {
#define KMN_CALL(name, ...) KMN_##name,
#include "kanmon/calls.def"
#undef KMN_CALL
	KMN_CALL_COUNT
};

/*
 * Kinds of arguments. IN kinds come first; kmn_kind_is_out() tells. "Names" are
 * the C parameters that one argument stands for.
 *
 *   kind             names                what it is, and its form in a request */
#define KMN_KIND_ROWS(ROW) \
	ROW(SESSION)       /* h                  session handle: u64 */ \
	ROW(SLOT)          /* id                 slot: u64 */ \
	ROW(OBJECT)        /* h                  object handle that is not used as a key: u64 */ \
	ROW(KEY)           /* h                  object handle that is used as a key: u64 */ \
	ROW(ULONG)         /* u                  number: u64 */ \
	ROW(FLAGS)         /* f                  bits: u64 */ \
	ROW(MECH_TYPE)     /* type               mechanism number alone: u64 */ \
	ROW(BOOL)          /* b                  CK_BBOOL, not normalised: u8 */ \
	ROW(MECHANISM)     /* p                  CK_MECHANISM, may be NULL */ \
	ROW(MESSAGE_PARAM) /* p, n               parameter of one message, of the mechanism that C_Message*Init named */ \
	ROW(DATA)          /* p, n               bytes in; (NULL, 0), (NULL, n) and (p, 0) are three things */ \
	ROW(AAD)           /* p, n               bytes in that a message or a wrapped key is bound to, as DATA */ \
	ROW(PIN)           /* p, n               bytes in, secret */ \
	ROW(USERNAME)      /* p, n               bytes in that name a person, as PIN */ \
	ROW(LABEL)         /* p                  32 bytes, padded, not NUL-terminated */ \
	ROW(TEMPLATE)      /* p, n               attributes in */ \
	ROW(NOTIFY)        /* cookie, callback   stays in the provider: nothing on the wire */ \
	ROW(LOCAL)         /* type, p            what does not cross: all of a local function, a pReserved */ \
	ROW(VALUES)        /* p, n               attributes in and out (C_GetAttributeValue) */ \
	ROW(ROOM)          /* p, pn              bytes out, two-call convention */ \
	ROW(MAYBE_ROOM)  /* p, pn              the same, pn may be NULL: nothing is to come out (C_SignMessageNext) */ \
	ROW(FILL)        /* p, n               bytes out, exactly n */ \
	ROW(SLOTS)       /* p, pn              slots out, two-call convention */ \
	ROW(MECH_TYPES)  /* p, pn              mechanism numbers out, two-call convention */ \
	ROW(OBJECTS)     /* p, max, pn         object handles out */ \
	ROW(NEW_SESSION) /* p                  session handle out */ \
	ROW(NEW_OBJECT)  /* p                  object handle out */ \
	ROW(MAYBE_OBJECT) /* p                  object handle out, the pointer may be NULL (C_DeriveKey) */ \
	ROW(FLAGS_OUT)    /* p                  bits out */ \
	ROW(SLOT_OUT)     /* p                  slot out */ \
	ROW(ULONG_OUT)    /* p                  number out */ \
	ROW(INFO)         /* p                  CK_INFO out */ \
	ROW(SLOT_INFO)    /* p                  CK_SLOT_INFO out */ \
	ROW(TOKEN_INFO)   /* p                  CK_TOKEN_INFO out */ \
	ROW(MECH_INFO)    /* p                  CK_MECHANISM_INFO out */ \
	ROW(SESSION_INFO) /* p                  CK_SESSION_INFO out */

#define KMN_KIND_ENUM(kind) KMN_KIND_##kind,
enum kmn_kind { KMN_KIND_ROWS(KMN_KIND_ENUM) KMN_KIND_COUNT };
#undef KMN_KIND_ENUM

/* What the ledger shows of an argument (ledger.md 1.5). */
enum kmn_show {
	KMN_SHOW_NOTHING,    /* not even a length */
	KMN_SHOW_VALUE,      /* in clear; of templates and parameters what the allow-list names */
	KMN_SHOW_DIGEST,     /* {"sha256","len"} */
	KMN_SHOW_COMMITMENT, /* a salted commitment where one is made, else {"redacted","len"} */
};

/* The words of a policy's `calls` line (docs/policy.md). */
#define KMN_POLICY_ROWS(ROW) \
	ROW(LOCAL, "local") /* never crosses the channel by itself */ \
	ROW(SESSION, "session") \
	ROW(LOGIN, "login") \
	ROW(QUERY, "query") \
	ROW(KEY_USE, "key-use") \
	ROW(KEY_MANAGEMENT, "key-management") \
	ROW(TOKEN_MANAGEMENT, "token-management") \
	ROW(RANDOM, "random")

#define KMN_POLICY_ENUM(name, word) KMN_POLICY_##name,
enum kmn_policy_class { KMN_POLICY_ROWS(KMN_POLICY_ENUM) KMN_POLICY_CLASS_COUNT };
#undef KMN_POLICY_ENUM

/* Which record waits for what (ledger.md 2.3); a rule may move key-use to B. */
enum kmn_durability { KMN_DURABILITY_NONE, KMN_DURABILITY_A, KMN_DURABILITY_B, KMN_DURABILITY_C };

/* What a call does to the operations of its session. */
enum kmn_effect {
	KMN_EFFECT_NONE,
	KMN_EFFECT_STARTS,    /* the operation is active if the call succeeds */
	KMN_EFFECT_CONTINUES, /* an error ends it, success and CKR_BUFFER_TOO_SMALL do not */
	KMN_EFFECT_ANSWERS,   /* ends it, but for a length query and CKR_BUFFER_TOO_SMALL */
	KMN_EFFECT_ENDS,      /* ends it */
	KMN_EFFECT_BELONGS,   /* one message of many: the operation stays active whatever comes of this one */
};

/* Kinds of operations: a set of bits, for dual functions name two. */
enum kmn_operation_kind {
	KMN_OP_NONE = 0,
	KMN_OP_FIND = 1u << 0,
	KMN_OP_ENCRYPT = 1u << 1,
	KMN_OP_DECRYPT = 1u << 2,
	KMN_OP_DIGEST = 1u << 3,
	KMN_OP_SIGN = 1u << 4,
	KMN_OP_SIGN_RECOVER = 1u << 5,
	KMN_OP_VERIFY = 1u << 6,
	KMN_OP_VERIFY_RECOVER = 1u << 7,
	KMN_OP_MESSAGE_ENCRYPT = 1u << 8,
	KMN_OP_MESSAGE_DECRYPT = 1u << 9,
	KMN_OP_MESSAGE_SIGN = 1u << 10,
	KMN_OP_MESSAGE_VERIFY = 1u << 11,
	KMN_OP_VERIFY_SIGNATURE = 1u << 12, /* that begins with the signature (3.2) */
};

enum kmn_hold {
	KMN_HOLD_NEVER, /* where approvals are due, the call before or after this one waits for them */
	KMN_HOLD_MAY,   /* may be held until a quorum has decided */
};

struct kmn_param {
	const char *name;      /* as in the PKCS#11 text: "pData" */
	const char *name_more; /* its length or callback: "ulDataLen"; "" if there is none */
	enum kmn_kind kind;
	enum kmn_show show;
};

struct kmn_call {
	const char *name; /* "C_Sign" */
	uint16_t since;   /* major * 256 + minor: 0x0228 is 2.40 */
	enum kmn_policy_class policy;
	enum kmn_durability durability;
	enum kmn_hold hold;
	enum kmn_effect effect;
	unsigned operations; /* bits of enum kmn_operation_kind */
	size_t param_count;
	struct kmn_param param[KMN_CALL_ARGS_MAX];
};

/* Limits of what one call may carry; the decoder refuses more. */
#define KMN_DATA_MAX_BYTES 0x180000u /* one byte string */
#define KMN_OUT_MAX_BYTES 0x180000u  /* one output; a larger capacity is treated as this */
#define KMN_PIN_MAX_BYTES 1024u
#define KMN_LABEL_BYTES 32u
#define KMN_TEMPLATE_MAX_ROWS 512u
#define KMN_TEMPLATE_MAX_DEPTH 4u
#define KMN_LIST_MAX_ITEMS 65536u /* slots, mechanisms, handles in one answer */
#define KMN_MECH_PARAM_MAX_BYTES 65536u

/* Rows by number; NULL if there is no such call. */
const struct kmn_call *kmn_call_row(uint32_t id);
/* The call of that name, or NULL. */
const struct kmn_call *kmn_call_by_name(const char *name);
/* The number of a row of the table. */
enum kmn_call_id kmn_call_id_of(const struct kmn_call *row);

/* "key-use"; never NULL. */
const char *kmn_policy_class_word(enum kmn_policy_class c);
/* The class of that word; false if there is none. */
bool kmn_policy_class_of(const char *word, enum kmn_policy_class *class_out);

/* Whether an argument of the kind carries something back, or is filled by the module. */
bool kmn_kind_is_out(enum kmn_kind kind);
/* A mechanism's parameter, which may come back changed. */
bool kmn_kind_is_param(enum kmn_kind kind);
const char *kmn_kind_name(enum kmn_kind kind);

/* "CKR_OK", "CKM_ECDSA", "CKA_LABEL"; NULL for a number that has no name. */
const char *kmn_rv_name(uint64_t rv);
const char *kmn_mechanism_name(uint64_t type);
const char *kmn_attribute_name(uint64_t type);
/* The mechanism of that name; false if there is none. */
bool kmn_mechanism_of(const char *name, uint64_t *type_out);

#endif
