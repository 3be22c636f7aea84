/*
 * Attribute types and mechanism parameters as data: what the codec must know
 * to carry them between ABIs, and what the ledger may show of them.
 */
#ifndef KANMON_PARAMS_H
#define KANMON_PARAMS_H

#include "kanmon/base.h"
#include "kanmon/pkcs11.h"

/* ---- attributes (attributes.c) ------------------------------------------------------------------------------- */

/* The word is that of a types file and of docs/pkcs11.md. */
#define KMN_ATTRIBUTE_KIND_ROWS(ROW) \
	ROW(BYTES, "bytes") \
	ROW(TEXT, "text")       /* bytes that people read */ \
	ROW(BOOL, "bool")       /* CK_BBOOL, not normalised */ \
	ROW(DATE, "date")       /* CK_DATE: characters; empty is legal */ \
	ROW(VERSION, "version") /* CK_VERSION: two bytes */ \
	ROW(ULONG, "ulong") \
	ROW(MECH, "mechanism") /* CK_MECHANISM_TYPE */ \
	ROW(ULONGS, "ulongs") \
	ROW(MECHS, "mechanisms") \
	ROW(TEMPLATE, "template")

#define KMN_ATTRIBUTE_KIND_ENUM(name, word) KMN_ATTRIBUTE_##name,
enum kmn_attribute_kind { KMN_ATTRIBUTE_KIND_ROWS(KMN_ATTRIBUTE_KIND_ENUM) KMN_ATTRIBUTE_KIND_COUNT };
#undef KMN_ATTRIBUTE_KIND_ENUM

/* How a value of such a kind crosses. */
enum kmn_attribute_shape { KMN_SHAPE_BYTES, KMN_SHAPE_ULONG, KMN_SHAPE_ULONGS, KMN_SHAPE_TEMPLATE };

struct kmn_attribute {
	uint64_t type;
	const char *name; /* "CKA_LABEL" */
	enum kmn_attribute_kind kind;
	bool public; /* may stand in clear in the ledger */
};

/* The row of an attribute type, or NULL: unknown ones travel as bytes and are redacted. */
const struct kmn_attribute *kmn_attribute_row(uint64_t type);
/* Of unknown ones KMN_SHAPE_BYTES. CKF_ARRAY_ATTRIBUTE says nothing: CKA_ALLOWED_MECHANISMS has it. */
enum kmn_attribute_shape kmn_attribute_shape(uint64_t type);
const struct kmn_attribute *kmn_attribute_at(size_t i); /* rows in order of type, NULL after the last */

/* ---- mechanism parameters (mechanisms.c) --------------------------------------------------------------------- */

#define KMN_PARAM_MAX_DEPTH 6u
#define KMN_PARAM_MAX_ELEMENTS 64u /* of one array */
#define KMN_PARAM_MAX_FIELDS 16u   /* of one structure */
#define KMN_PARAM_MAX_FIELD_BYTES 65536u
#define KMN_PARAM_MAX_NONCE_BYTES 256u /* of a guarded field */

enum kmn_field_kind {
	KMN_FIELD_ULONG,         /* CK_ULONG, CK_FLAGS, and enumerations */
	KMN_FIELD_MECH,          /* CK_MECHANISM_TYPE */
	KMN_FIELD_MGF,           /* CK_RSA_PKCS_MGF_TYPE */
	KMN_FIELD_HANDLE,        /* CK_OBJECT_HANDLE: translated by the worker */
	KMN_FIELD_BYTE,          /* CK_BBOOL or CK_BYTE */
	KMN_FIELD_INLINE,        /* `size` bytes inside the structure */
	KMN_FIELD_BYTES,         /* pointer to bytes, how many is said by `unit` */
	KMN_FIELD_TEXT,          /* pointer to a NUL-terminated string */
	KMN_FIELD_STRUCT,        /* `inner` inside the structure */
	KMN_FIELD_POINTER,       /* pointer to one `inner` */
	KMN_FIELD_ARRAY,         /* pointer to structures `inner`; the CK_ULONG at len_at says how many */
	KMN_FIELD_TEMPLATE,      /* pointer to attributes; likewise */
	KMN_FIELD_MECHANISM,     /* pointer to a CK_MECHANISM with its own parameter */
	KMN_FIELD_CHOICE,        /* pointer to what the CK_ULONG at by_at chooses from choices[]; bytes at len_at */
	KMN_FIELD_NEW_OBJECT,    /* CK_OBJECT_HANDLE that the module fills in: not in a request */
	KMN_FIELD_NEW_OBJECT_AT, /* pointer to such a handle */
	KMN_FIELD_KIND_COUNT
};

enum kmn_field_way { KMN_WAY_IN, KMN_WAY_OUT, KMN_WAY_INOUT };

/* How many bytes a KMN_FIELD_BYTES points to. */
enum kmn_field_unit {
	KMN_UNIT_OWN,      /* CK_ULONG at len_at, which belongs to this field alone and is no field by itself */
	KMN_UNIT_OWN_PTR,  /* the same, but what is at len_at is a CK_ULONG_PTR that may come back changed */
	KMN_UNIT_FIELD,    /* CK_ULONG at len_at, which is a field of this structure before this one */
	KMN_UNIT_BITS,     /* the same, in bits */
	KMN_UNIT_BITS_OUT, /* that number of bits is in the field `len_at` of the structure one level further out */
	KMN_UNIT_FIXED,    /* `size`; no field says so */
};

struct kmn_layout;

/* What a KMN_FIELD_CHOICE points to when the choosing field has that value. A value without a row is not carried. */
struct kmn_choice {
	uint64_t value;
	enum kmn_field_kind kind; /* BYTES, ULONG, HANDLE, or STRUCT */
	const struct kmn_layout *inner;
};

struct kmn_field {
	const char *name; /* as in the PKCS#11 text: "pIv" */
	enum kmn_field_kind kind;
	enum kmn_field_way way;
	enum kmn_field_unit unit;
	uint16_t at;          /* offset in the structure */
	uint16_t len_at;      /* offset of the length or count of what `at` points to */
	uint16_t by_at;       /* CHOICE: offset of the field that chooses, before this one */
	uint16_t size;        /* INLINE, and BYTES of KMN_UNIT_FIXED */
	const char *len_name; /* name of the length at len_at, where it is no field by itself */
	bool guarded;         /* callers are known to state a wrong length: read with care, at most 256 bytes */
	const char *shown;    /* its name in the ledger, where it stands in clear; NULL: redacted */
	const struct kmn_layout *inner;
	const struct kmn_choice *choices;
	size_t choice_count;
};

struct kmn_layout {
	uint8_t id;       /* on the wire; KMN_LAYOUT_DESCRIBED: followed by `digest` */
	const char *name; /* "CK_GCM_PARAMS" */
	uint16_t size;    /* sizeof of the C structure */
	const struct kmn_field *fields;
	size_t field_count;
	uint64_t digest; /* of a described one: what both ends must agree on (types.h) */
};

#define KMN_LAYOUT_DESCRIBED 255u

/*
 * Where a parameter is given: the same mechanism has other structures per message and in C_WrapKeyAuthenticated than in
 * the functions that begin an operation (CKM_AES_GCM: CK_GCM_PARAMS, CK_GCM_MESSAGE_PARAMS, CK_GCM_WRAP_PARAMS).
 */
enum kmn_param_family {
	KMN_FAMILY_INIT,               /* pMechanism of all functions but those below */
	KMN_FAMILY_SIGN,               /* pMechanism of those that begin a signature */
	KMN_FAMILY_MESSAGE,            /* pParameter of one message */
	KMN_FAMILY_WRAP_AUTHENTICATED, /* pMechanism of C_WrapKeyAuthenticated, C_UnwrapKeyAuthenticated */
	KMN_FAMILY_COUNT
};

enum kmn_mech_takes {
	KMN_TAKES_NOTHING, /* a stray parameter: only its length crosses */
	KMN_TAKES_BYTES,   /* an IV or the like: as is */
	KMN_TAKES_STRUCT,  /* one of layout[] */
	KMN_TAKES_REFUSED, /* pointers without lengths: never crosses */
};

struct kmn_mechanism {
	uint64_t type;
	const char *name; /* "CKM_RSA_PKCS_PSS" */
	enum kmn_mech_takes takes;
	const struct kmn_layout *layout[2]; /* told apart by size, then by value (PKCS5_PBKD2) */
	bool no_signature;                  /* its signatures are pointers: refused in KMN_FAMILY_SIGN */
	const struct kmn_layout *message;   /* of one message; NULL: such a parameter has no structure */
	const struct kmn_layout *wrap;      /* of C_WrapKeyAuthenticated and its kin; NULL: as in layout[] */
};

/* The row of a mechanism, or NULL. */
const struct kmn_mechanism *kmn_mechanism_row(uint64_t type);
const struct kmn_mechanism *kmn_mechanism_at(size_t i); /* rows in order of type, NULL after the last */
const struct kmn_layout *kmn_layout_of(uint8_t id);
/* The layout with that digest which a types file gives to that mechanism, or NULL. */
const struct kmn_layout *kmn_layout_described(uint64_t type, uint64_t digest);

/* What a mechanism takes in that family. */
enum kmn_mech_takes kmn_mechanism_takes(const struct kmn_mechanism *row, enum kmn_param_family family);
/*
 * The structure that a parameter of this ABI is, by mechanism, family, length,
 * and where two have the same length by value; NULL: none that is known.
 * `parameter` is not NULL, and has len_bytes readable bytes.
 */
const struct kmn_layout *kmn_mechanism_layout(
    const struct kmn_mechanism *row, enum kmn_param_family family, const void *parameter, size_t len_bytes);
/* Whether a mechanism may have that structure in that family: for those who see it encoded. */
bool kmn_mechanism_has_layout(
    const struct kmn_mechanism *row, enum kmn_param_family family, const struct kmn_layout *layout);

#endif
