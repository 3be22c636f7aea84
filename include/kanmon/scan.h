/*
 * A record's line, read once and without a tree: whether it is canonical, its
 * envelope, and where the members of its body stand. It accepts exactly the
 * lines that kmn_record_parse() accepts (tests/fuzz/fuzz_scan.c holds the two
 * against each other), an order of magnitude faster.
 */
#ifndef KANMON_SCAN_H
#define KANMON_SCAN_H

#include "kanmon/record.h"

#define KMN_BODY_MEMBERS_MAX 40 /* more than any type has; a body with more is none of a known type */

/* One member of a body: views into the line. */
struct kmn_member {
	const char *name, *value; /* the value as it stands there, quotes and escapes included */
	uint32_t len;             /* of the value */
	uint8_t name_len;
	char type; /* 's'tring, 'n'umber, 'b'ool, 'o'bject, 'a'rray */
	bool lf;   /* an LF in some string of it */
};

struct kmn_scan {
	const char *line, *body, *type; /* views; `type` without its quotes, escapes left */
	size_t len, body_len, type_len;
	uint64_t i, t, m;
	uint8_t prev[KMN_HASH_BYTES];
	uint8_t nonce[KMN_NONCE_BYTES];
	enum kmn_record_kind kind;
	unsigned count; /* members of the body, KMN_BODY_MEMBERS_MAX + 1: more than there is room for */
	struct kmn_member member[KMN_BODY_MEMBERS_MAX];
};

/* Reads a line (without LF); false: it is no record in canonical form. `line` must outlive *scan_out. */
bool kmn_scan_line(const char *line, size_t len, struct kmn_scan *scan_out) KMN_MUST_CHECK;

/* As kmn_record_check(): whether the body has exactly the members of its type, each of its kind. */
kmn_err kmn_scan_check(const struct kmn_scan *scan, struct kmn_why *why) KMN_MUST_CHECK;

/* Members of the body by name; false (and zero) where it is not there or of another kind. */
const struct kmn_member *kmn_scan_member(const struct kmn_scan *scan, const char *name);
bool kmn_scan_number(const struct kmn_scan *scan, const char *name, uint64_t *out) KMN_MUST_CHECK;
bool kmn_scan_ref(const struct kmn_scan *scan, const char *name, struct kmn_ref *out) KMN_MUST_CHECK;
/* The n-th of a list of references. */
bool kmn_scan_ref_at(const struct kmn_scan *scan, const char *name, size_t n, struct kmn_ref *out) KMN_MUST_CHECK;
/* Whether the member is exactly this text, which needs no escapes. */
bool kmn_scan_is(const struct kmn_scan *scan, const char *name, const char *text);
/* A member of an object that is itself a member; false: it is not there. Found by reading: for a few, now and then. */
bool kmn_member_get(const struct kmn_member *object, const char *name, struct kmn_member *out) KMN_MUST_CHECK;
bool kmn_member_hash(const struct kmn_member *member, uint8_t out[KMN_HASH_BYTES]) KMN_MUST_CHECK;

#endif
