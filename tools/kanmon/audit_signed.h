/*
 * The signatures that a ledger says its keys made: what each is over, what
 * came back, who asked and who approved. What certificates are rebuilt from,
 * and what issued certificates are held against.
 */
#ifndef KANMON_TOOLS_AUDIT_SIGNED_H
#define KANMON_TOOLS_AUDIT_SIGNED_H

#include "kanmon/operation.h"
#include "kanmon/verify.h"
#include "tools/kanmon/audit_rows.h"

#define KMN_SIGNATURE_MAX_BYTES 8192

struct kmn_signed_certificate {
	uint64_t record, request, t; /* request UINT64_MAX: class B, the record stands alone */
	const char *client, *approvers, *key, *key_id, *mechanism;
	const char *application; /* what the CA's side said that it was for; NULL: nothing */
	bool has_applicant;
	uint8_t applicant_sha256[KMN_HASH_BYTES]; /* of the applicant's SubjectPublicKeyInfo */
	bool has_key, has_in, has_norm, has_pss;
	uint8_t spki_sha256[KMN_HASH_BYTES];
	uint8_t in_sha256[KMN_HASH_BYTES]; /* of the data as it came: the whole, or its digest or DigestInfo */
	struct kmn_norm norm;
	struct kmn_pss pss;
	uint8_t signature[KMN_SIGNATURE_MAX_BYTES]; /* as PKCS#11 returns it */
	size_t signature_len;
};

/* Called for each in order; what it is given lives until it returns. */
typedef kmn_err kmn_signed_certificate_fn(void *cookie, const struct kmn_signed_certificate *made);

/* Called for each key that a record names by its public half: used, or made. Often for the same. */
typedef kmn_err kmn_signed_key_fn(void *cookie, const uint8_t spki_sha256[KMN_HASH_BYTES]);

/* Reads a ledger; `key_fn` may be NULL. Errors as kmn_ledger_read. */
kmn_err kmn_signed_certificate_read(struct kmn_store *store, kmn_signed_certificate_fn *fn, kmn_signed_key_fn *key_fn,
    void *cookie, struct kmn_why *why) KMN_MUST_CHECK;

#endif
