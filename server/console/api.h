/*
 * The API: one table of endpoints (api.c), each a question of kanmon/console.h. What is here is pure: bytes of a request
 * go in, the fields of a question come out. docs/console-api.md tells the same table in words, and a test compares.
 */
#ifndef KANMON_SERVER_CONSOLE_API_H
#define KANMON_SERVER_CONSOLE_API_H

#include "kanmon/console.h"
#include "kanmon/json.h"
#include "kanmon/writer.h"

#define KMN_API_PREFIX "/api/v1/"
#define KMN_API_ARGS_MAX 12u
#define KMN_API_FIELDS_MAX 11u
#define KMN_API_DEPTH_MAX 3u /* of a body's JSON */

enum kmn_api_method { KMN_API_GET, KMN_API_POST };

/* Where a field of a question comes from, and what it is there and on the link. */
enum kmn_api_kind {
	KMN_API_END = 0,
	KMN_API_ORIGIN,    /* the console's own, as text */
	KMN_API_ADDRESS,   /* the peer's, as text */
	KMN_API_TLS,       /* two texts: version and suite of the peer's TLS */
	KMN_API_SPKI,      /* raw[32], of the certificate that TLS saw */
	KMN_API_SIGNED,    /* body: {text, assertion} or {note} */
	KMN_API_PATH,      /* u64, from the path */
	KMN_API_PATH_HASH, /* raw[32], from the path in base64url */
	KMN_API_U8,        /* u8: `most` itself, from nowhere */
	KMN_API_NO_NUMBER, /* u64 0, from nowhere */
	KMN_API_NO_BYTES,  /* bytes, none, from nowhere */
	KMN_API_ARG_FLAG,  /* query, u8: 0 or 1; not there: 0 */
	KMN_API_ARG_U32,   /* query; not there: `most` */
	KMN_API_ARG_U64,   /* query; not there: 0 */
	KMN_API_ARG_TEXT,  /* query; not there: empty */
	KMN_API_TEXT,      /* body, text */
	KMN_API_WORDS,     /* the same; not there: empty */
	KMN_API_NUMBER,    /* body, u64; not there: 0 */
	KMN_API_BYTES,     /* body, base64; not there: none */
	KMN_API_HASH,      /* body, base64 of 32 bytes */
	KMN_API_FILE_HASH, /* the same; not there: zeros */
};

struct kmn_api_field {
	enum kmn_api_kind kind;
	const char *name;
	uint32_t most; /* bytes of a text */
};

/* How an answer goes out. */
enum kmn_api_form {
	KMN_API_JSON,   /* the keeper's text */
	KMN_API_BUNDLE, /* its member `bundle`, as a text file */
	KMN_API_BEGIN,  /* JSON, and a session begins: the cookie is set */
	KMN_API_FINISH, /* JSON, and the session has ended: the cookie goes */
	KMN_API_EVENTS, /* a stream, if the question is answered */
};

struct kmn_api_row {
	enum kmn_api_method method;
	const char *path; /* behind the prefix; {number} and {hash} stand for a part of it */
	enum kmn_ui_op op;
	enum kmn_api_form form;
	uint32_t body_max; /* bytes */
	struct kmn_api_field field[KMN_API_FIELDS_MAX];
};

extern const struct kmn_api_row kmn_api_rows[];
extern const size_t kmn_api_row_count;

struct kmn_api_arg {
	const char *name, *value;
};

/* A request, as far as the API looks at it. All is borrowed. */
struct kmn_api_input {
	uint64_t number;              /* of the path */
	uint8_t hash[KMN_HASH_BYTES]; /* of the path */
	const struct kmn_api_arg *args;
	size_t arg_count;
	const char *body;
	size_t body_len; /* 0: there is none */
	const char *origin, *address;
	const char *tls_ver, *tls_suite; /* "" without TLS */
	const uint8_t *spki_sha256; /* NULL: TLS saw no certificate */
};

/*
 * Which row a path (whole, without the query) means. KMN_E_NOT_FOUND: none; KMN_E_ARGUMENTS: rows, but none of this
 * method, and *row_out is one of those. number_out and hash_out: what the path names.
 */
kmn_err kmn_api_route(const char *method, const char *path, const struct kmn_api_row **row_out,
    struct kmn_api_input *input_out) KMN_MUST_CHECK;

/* The fields of the row's question, appended. KMN_E_MALFORMED, KMN_E_TOO_BIG, KMN_E_PEER (no certificate): *why is set. */
kmn_err kmn_api_fields(const struct kmn_api_row *row, const struct kmn_api_input *input, struct kmn_writer *w,
    struct kmn_why *why) KMN_MUST_CHECK;

/* 16 bytes in base64url without padding: a session in its cookie, a CSRF value in its header. */
#define KMN_API_KEY_TEXT_BYTES 22u
bool kmn_api_key_parse(const char *text, uint8_t key_out[KMN_UI_SESSION_BYTES]) KMN_MUST_CHECK;

/* The HTTP status that stands for an error: never 500. */
unsigned kmn_api_status(kmn_err e);

/* {"error":{"code":..,"reason":..}}; NULL without memory, else free(). */
char *kmn_api_error(kmn_err e, const char *reason);

#endif
