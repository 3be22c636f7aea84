/*
 * Calls and bytes, both ways, as the rows of calls.def say.
 *
 *   request  = u16 call, with KMN_CALL_2_40 or without | raw[16] salt | arguments in row order (calls.h says each
 *              kind's form)
 *   response = u16 call | raw[16] salt | u64 CK_RV | outputs in row order
 *
 * The ledger keeps the SHA-256 of whole messages, and messages hold PINs and
 * plaintexts of few bits: the salt, random and nowhere written down, keeps the
 * hash from being a dictionary's oracle.
 *
 * Scalars are u64 whatever the ABI of either end; a length or count that is
 * CK_UNAVAILABLE_INFORMATION is 2^64-1. A response has one entry for each
 * argument that can carry something back: those that kmn_kind_is_out() or
 * kmn_kind_is_param() names.
 *
 * Four users: the provider encodes requests and decodes responses straight
 * into its caller's memory; gate, keeper and worker look at messages through
 * views that point into them and allocate nothing.
 */
#ifndef KANMON_CODEC_H
#define KANMON_CODEC_H

#include "kanmon/calls.h"
#include "kanmon/params.h"
#include "kanmon/reader.h"
#include "kanmon/writer.h"

#define KMN_SALT_BYTES 16
#define KMN_CALL_2_40 0x8000u      /* made through the function list of 2.40: a module may answer differently there */
#define KMN_UNAVAILABLE UINT64_MAX /* CK_UNAVAILABLE_INFORMATION on the wire */

/* ---- provider ------------------------------------------------------------------------------------------------ */

/* One argument of a call as the caller gave it; which members count is said by the row. */
struct kmn_arg {
	void *p;     /* pointer: bytes, structure, array, output */
	CK_ULONG *n; /* where a length or count is read and comes back */
	CK_ULONG u;  /* a scalar, or the length, count or capacity that belongs to p */
	/* MESSAGE_PARAM: mechanism of the session's operation; CK_UNAVAILABLE_INFORMATION: none is known, so it is not read */
	CK_MECHANISM_TYPE type;
};

/*
 * Appends the request to w. KMN_E_ARGUMENTS: an output that must be there is
 * NULL (the one thing refused without asking the module). KMN_E_MECHANISM_PARAM:
 * a parameter without a known layout. KMN_E_LIMIT: over a limit of calls.h.
 * Nothing of arg[] is kept.
 */
kmn_err kmn_request_encode(
    enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count, struct kmn_writer *w) KMN_MUST_CHECK;
/* Marks the request that begins at that byte of w as made through the function list of 2.40. */
void kmn_request_mark_2_40(struct kmn_writer *w, size_t at);
/* The row of the call that a request says it is, before anything else of it is looked at; NULL: none. */
const struct kmn_call *kmn_request_row(const void *bytes, size_t len_bytes);

/*
 * Writes what a response carries into the memory of the caller, never beyond
 * the capacities that arg[] stated when the request was made, and nothing at
 * all unless the whole response is well formed and fits the call. Inputs may
 * alias outputs.
 */
kmn_err kmn_response_decode(enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count, const void *bytes,
    size_t len_bytes, CK_RV *rv_out) KMN_MUST_CHECK;

/*
 * The same for a call that kmn_request_encode() refused with
 * KMN_E_MECHANISM_PARAM: its parameters cross as KMN_MECH_UNKNOWN, so that the
 * gateway refuses it and its record says what was asked.
 */
kmn_err kmn_request_encode_unknown(
    enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count, struct kmn_writer *w) KMN_MUST_CHECK;

/*
 * Modules write to a parameter long after the *Init that it came with (an IV
 * generated at C_Encrypt). Where that would be in the caller's memory is kept
 * from the *Init on: the places of a parameter that a module may change.
 */
#define KMN_PARAM_MAX_PLACES 16u
struct kmn_param_place {
	unsigned ordinal; /* of the field */
	uint8_t *bytes;   /* the caller's; never read */
	size_t room;
	CK_ULONG *length; /* that comes back too, or NULL */
	bool is_handle;
};
/* Those of a call that starts an operation, which are `max` at most: how many went to places[]. */
size_t kmn_arg_places(enum kmn_call_id id, const struct kmn_arg *arg, struct kmn_param_place *places, size_t max);
/*
 * One operation's changes out of kmn_response_view.late: which operation, and
 * they are written to its places, as far as that memory is still there; where
 * `places` is NULL they are passed over. A failure is kept in r.
 */
unsigned kmn_late_operation(struct kmn_reader *r);
void kmn_late_apply(struct kmn_reader *r, const struct kmn_param_place *places, size_t count);

/* ---- views of requests --------------------------------------------------------------------------------------- */

/* A template inside a message. Made by the decoder, which has checked all rows. */
struct kmn_template_view {
	bool null;           /* the pointer was NULL */
	uint64_t count;      /* rows stated by the caller; with a pointer: rows there are */
	const uint8_t *rows; /* encoded */
	size_t size;
};

enum kmn_value_form {
	KMN_VALUE_NULL,     /* pValue was NULL: only `len` */
	KMN_VALUE_BYTES,    /* bytes[len] */
	KMN_VALUE_ULONG,    /* number */
	KMN_VALUE_ULONGS,   /* len numbers, see kmn_attribute_number() */
	KMN_VALUE_TEMPLATE, /* nested */
	KMN_ROOM_BYTES,     /* C_GetAttributeValue: room for len bytes */
	KMN_ROOM_ULONGS,    /* room for len CK_ULONGs, of whatever width */
	KMN_ROOM_TEMPLATE,  /* room for the rows of nested, each with its own room */
	KMN_VALUE_FORM_COUNT
};

struct kmn_attribute_view {
	uint64_t type;
	enum kmn_value_form form;
	uint64_t len;         /* stated length of NULL, bytes, numbers, or room */
	const uint8_t *bytes; /* KMN_VALUE_BYTES; of ULONGS the encoded numbers */
	uint64_t number;      /* KMN_VALUE_ULONG */
	struct kmn_template_view nested;
};

/* Number i of a KMN_VALUE_ULONGS. */
uint64_t kmn_attribute_number(const struct kmn_attribute_view *a, size_t i);
/* CK_BBOOL value of an attribute that is one byte long; false if it is not that. */
bool kmn_attribute_bool(const struct kmn_attribute_view *a, bool *value_out);

/* Walks the rows: false after the last. `at` is 0 before the first. */
bool kmn_template_next(const struct kmn_template_view *t, size_t *at, struct kmn_attribute_view *row_out);
/* First row of that type; false if there is none. */
bool kmn_template_find(const struct kmn_template_view *t, uint64_t type, struct kmn_attribute_view *row_out);

struct kmn_call_view;

enum kmn_mech_form {
	KMN_MECH_NULL,   /* no mechanism at all: a CK_MECHANISM_PTR of NULL; has no type */
	KMN_MECH_BARE,   /* pParameter is NULL; len as stated */
	KMN_MECH_LENGTH, /* a parameter that the mechanism does not have, or of none known: only its length crosses */
	KMN_MECH_BYTES,  /* bytes[len] as they are: IVs, and vendors' flat parameters */
	KMN_MECH_STRUCT, /* fields of layout, see kmn_mech_number() */
	KMN_MECH_UNKNOWN, /* a parameter that could not be carried: only its length crosses, for the record of a refusal */
	KMN_MECH_FORM_COUNT
};

struct kmn_mech_view {
	enum kmn_mech_form form;
	enum kmn_param_family family;
	uint64_t type;                   /* KMN_UNAVAILABLE: a message of no operation that the caller has */
	uint64_t len;                    /* ulParameterLen of BARE, LENGTH, BYTES, UNKNOWN */
	const uint8_t *bytes;            /* BYTES: the parameter; STRUCT: its encoded fields */
	size_t size;                     /* of bytes */
	const struct kmn_layout *layout; /* STRUCT */
	bool disagreed;                  /* UNKNOWN because the two ends describe a vendor's structure differently */
};

/* One field of a parameter; those of inner structures come in their place with their depth. */
struct kmn_field_view {
	const struct kmn_field *field;
	enum kmn_field_kind kind;    /* the field's, of a CHOICE what was chosen */
	const struct kmn_layout *in; /* the structure that it is in */
	unsigned ordinal;            /* in this walk */
	unsigned depth;              /* 0 for the outer structure */
	unsigned element;            /* of the array of such structures */
	bool null;                   /* a pointer that was NULL */
	uint64_t number;             /* scalars, type of a MECHANISM; of pointers the stated length or count */
	const uint8_t *bytes;        /* byte strings; of a TEMPLATE its encoded rows */
	size_t len;
	const struct kmn_layout *inner; /* the structure whose fields come next, if there is one */
	enum kmn_mech_form form;        /* MECHANISM */
	struct kmn_template_view template;
};

/*
 * Walks the fields of a KMN_MECH_STRUCT, depth first and each once, elements
 * of arrays one after the other: false after the last. The cursor is all zero
 * before the first.
 */
struct kmn_field_cursor {
	size_t at;        /* in the encoded fields */
	unsigned ordinal; /* how many came before: write-back names fields by it */
	unsigned depth;
	struct {
		const struct kmn_layout *layout; /* NULL: not yet begun */
		size_t next;
		unsigned element, elements;
		uint64_t number[KMN_PARAM_MAX_FIELDS]; /* of the fields that came, for those whose length they are */
	} level[KMN_PARAM_MAX_DEPTH];
};
bool kmn_mech_next(const struct kmn_mech_view *m, struct kmn_field_cursor *cursor, struct kmn_field_view *field_out);

/* A scalar or byte string by its name in the PKCS#11 text ("sLen", "pIv"), the first such field; false if not there. */
bool kmn_mech_number(const struct kmn_mech_view *m, const char *field, uint64_t *number_out);
bool kmn_mech_bytes(const struct kmn_mech_view *m, const char *field, const uint8_t **bytes_out, size_t *len_out);
/* The first parameter that could not be carried, or NULL: a call that has one is refused, and never reaches the module. */
const struct kmn_mech_view *kmn_view_uncarried(const struct kmn_call_view *v);
/* Object handles that a parameter names (they need rights too): how many there are; the first `max` go to out[]. */
size_t kmn_mech_handles(const struct kmn_mech_view *m, uint64_t *out, size_t max);

/* One argument of a request. */
struct kmn_value {
	const struct kmn_param *param;
	size_t at;            /* where it begins in the message */
	bool null;            /* the pointer was NULL */
	uint64_t number;      /* scalar; stated length (DATA, PIN); capacity or count asked for (outputs) */
	const uint8_t *bytes; /* DATA, PIN, LABEL */
	size_t len;           /* of bytes; 0 where null */
	struct kmn_template_view template; /* TEMPLATE, VALUES */
	struct kmn_mech_view mech;         /* MECHANISM, MESSAGE_PARAM */
	bool uncounted;                    /* MAYBE_ROOM: no length is wanted, and nothing is to come out */
};

struct kmn_call_view {
	enum kmn_call_id id;
	const struct kmn_call *call;
	struct kmn_value value[KMN_CALL_ARGS_MAX]; /* call->param_count of them */
	bool v2_40;                                /* made through the function list of 2.40 */
	bool abi_bound; /* a vendor's parameter, bytes in the client's ABI: only for a worker of the same ABI */
};

/*
 * Looks at a whole request. Checks everything: shape, limits, depth, layouts.
 * On a failure the view has no call (view_out->call is NULL). Calls of policy
 * class local are KMN_E_MALFORMED: they never cross.
 */
kmn_err kmn_call_view_decode(const void *bytes, size_t len_bytes, struct kmn_call_view *view_out) KMN_MUST_CHECK;

/* Argument number `nth` (from 0) of that kind, or NULL. */
const struct kmn_value *kmn_view_nth(const struct kmn_call_view *v, enum kmn_kind kind, size_t nth);
/* The usual ones; false or NULL where the call has none. */
bool kmn_view_session(const struct kmn_call_view *v, uint64_t *session_out);
bool kmn_view_slot(const struct kmn_call_view *v, uint64_t *slot_out);
bool kmn_view_key(const struct kmn_call_view *v, size_t nth, uint64_t *key_out);       /* KEY arguments */
bool kmn_view_object(const struct kmn_call_view *v, size_t nth, uint64_t *object_out); /* OBJECT arguments */
const struct kmn_mech_view *kmn_view_mechanism(const struct kmn_call_view *v);
const struct kmn_mech_view *kmn_view_message_param(const struct kmn_call_view *v);
const struct kmn_value *kmn_view_data(const struct kmn_call_view *v, size_t nth);
const struct kmn_template_view *kmn_view_template(const struct kmn_call_view *v, size_t nth);
/* The two-call output: NULL if the call has none; ->null is a length query, ->number the capacity. */
const struct kmn_value *kmn_view_room(const struct kmn_call_view *v);
/* The input data that the ledger shows: the first DATA argument that may be; NULL: there is none. */
const struct kmn_value *kmn_view_shown(const struct kmn_call_view *v);
/* True for "how long is it?": the call has a two-call output and its pointer is NULL. Never ends an operation. */
bool kmn_view_is_length_query(const struct kmn_call_view *v);
/* A call that carries into or out of its operation nothing that anybody decides about. */
bool kmn_view_is_part(const struct kmn_call_view *v);
/* A call that is counted, not recorded: a query, a start, a part, a length query. Refused, it has its record. */
bool kmn_view_is_counted(const struct kmn_call_view *v);
/* Whether this call with that result ends the operations that its row names. */
bool kmn_view_ends_operation(const struct kmn_call_view *v, uint64_t rv);
/* Bits of the operations that the flags of a C_SessionCancel name. */
unsigned kmn_cancelled_operations(uint64_t flags);
/* Those of a C_SessionCancel; 0 for any other call. */
unsigned kmn_view_cancels(const struct kmn_call_view *v);

/* ---- views of responses -------------------------------------------------------------------------------------- */

/* One output. */
struct kmn_result {
	const struct kmn_param *param;
	bool given;           /* the module was asked; false in refusals */
	bool null;            /* given, but without content: a length query, an error */
	uint64_t number;      /* handle, number, length or count that comes back */
	const uint8_t *bytes; /* ROOM, FILL: the bytes; lists: encoded u64s; VALUES: rows; structures: encoded */
	size_t len;           /* of bytes */
};

struct kmn_response_view {
	enum kmn_call_id id;
	const struct kmn_call *call;
	uint64_t rv;
	struct kmn_result result[KMN_CALL_ARGS_MAX]; /* by argument number; .param is NULL where nothing comes back */
	/* What the module changed meanwhile in parameters of earlier calls: operations one after the other. */
	unsigned late_count;
	const uint8_t *late;
	size_t late_len;
};

/*
 * Views into the answer, which must outlive them; the whole of it is read. Errors: KMN_E_MALFORMED, KMN_E_TRUNCATED,
 * KMN_E_TRAILING, KMN_E_TOO_BIG; *view_out is zeroed then.
 */
kmn_err kmn_response_view_decode(
    const void *bytes, size_t len_bytes, struct kmn_response_view *view_out) KMN_MUST_CHECK;

/* Output number `nth` of that kind, or NULL; only if given and with content. */
const struct kmn_result *kmn_response_nth(const struct kmn_response_view *v, enum kmn_kind kind, size_t nth);
/* Bytes that a successful call gave (signature, ciphertext, random), or NULL. */
const struct kmn_result *kmn_response_bytes(const struct kmn_response_view *v);
/* New object handles (NEW_OBJECT, MAYBE_OBJECT), or the new session. */
bool kmn_response_object(const struct kmn_response_view *v, size_t nth, uint64_t *object_out);
bool kmn_response_session(const struct kmn_response_view *v, uint64_t *session_out);
/* Item i of a list (SLOTS, MECH_TYPES, OBJECTS); the list has result->len / 8 items. */
uint64_t kmn_result_item(const struct kmn_result *r, size_t i);

/* ---- responses ----------------------------------------------------------------------------------------------- */

/* How much of an output is there. */
enum kmn_output {
	KMN_OUTPUT_NONE,   /* nothing: the module was not asked, or gave nothing */
	KMN_OUTPUT_NUMBER, /* a length or count alone: a length query, CKR_BUFFER_TOO_SMALL */
	KMN_OUTPUT_WHOLE,  /* the content (with its length or count) */
};

/* Forms of a row of VALUES in a response: u64 type | u8 form | what the form says. */
enum kmn_values_form {
	KMN_GOT_UNAVAILABLE,   /* ulValueLen is CK_UNAVAILABLE_INFORMATION */
	KMN_GOT_LENGTH_BYTES,  /* u64 bytes */
	KMN_GOT_LENGTH_ULONGS, /* u64 CK_ULONGs */
	KMN_GOT_LENGTH_ROWS,   /* u64 attributes */
	KMN_GOT_BYTES,         /* bytes */
	KMN_GOT_ULONGS,        /* u32 n, n * u64 */
	KMN_GOT_ROWS,          /* u32 n, n rows of this kind */
};

/* A response with that CK_RV and no outputs, valid for every row: refusals and failures. */
void kmn_response_put_error(enum kmn_call_id id, uint64_t rv, struct kmn_writer *w);
/*
 * The response of a call with a two-call output that gives these bytes: CKR_OK, or CKR_BUFFER_TOO_SMALL and the length
 * where they do not fit the capacity that the caller stated.
 */
void kmn_response_put_bytes(
    enum kmn_call_id id, const void *bytes, size_t len, uint64_t capacity, struct kmn_writer *w);

/* The beginning of every message: the call and a fresh salt. */
void kmn_message_begin(struct kmn_writer *w, enum kmn_call_id id);

/* Parts of responses, for the worker: scalars and lengths of this ABI, and CK_INFO and its kin. */
void kmn_ulong_put(struct kmn_writer *w, CK_ULONG value);
void kmn_length_put(struct kmn_writer *w, CK_ULONG length);
void kmn_struct_put(struct kmn_writer *w, enum kmn_kind kind, const void *native);

/* ---- requests made by the gateway itself --------------------------------------------------------------------- */

/* C_CloseSession, C_Logout, C_FindObjectsFinal and others whose one argument is a scalar. */
void kmn_request_put_scalar(enum kmn_call_id id, uint64_t value, struct kmn_writer *w);

#endif
