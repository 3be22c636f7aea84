/*
 * What the CA side hands in beside a call: the data whose hash the key signs,
 * the content that CMS attributes are over, and what it was asked for (R11):
 * an application's id and the applicant's public key. In the ledger these are
 * members of the intent where they came before the call, else of a record
 * `attachment` between intent and statement (docs/statements.md 1).
 */
#ifndef KANMON_ATTACH_H
#define KANMON_ATTACH_H

#include "kanmon/content.h"
#include "kanmon/json.h"

struct kmn_ref;
struct kmn_reader;
struct kmn_writer;

#define KMN_APPLICATION_MAX_BYTES 256u

/* Owned; kmn_attached_clear. Zeroed: nothing. */
struct kmn_attached {
	uint8_t *data;
	size_t data_len;
	uint8_t *econtent;
	size_t econtent_len;
	char application[KMN_APPLICATION_MAX_BYTES + 1]; /* "": none */
	bool has_key;
	uint8_t key_spki_sha256[32]; /* of the applicant */
};

/* Frees what it has and zeroes it. */
void kmn_attached_clear(struct kmn_attached *attached);
bool kmn_attached_is_empty(const struct kmn_attached *attached);

/*
 * On the wire: bytes data, bytes econtent, text application, bytes key (32: a hash; else the DER of the
 * SubjectPublicKeyInfo; each empty where there is none). Data and econtent of at most KMN_CONTENT_MAX_BYTES.
 */
void kmn_attached_get(struct kmn_reader *r, struct kmn_attached *out);
void kmn_attached_put(struct kmn_writer *w, const struct kmn_attached *attached);

/* Members `in`, `econtent`, `application` of a body, those that there are. KMN_E_NO_MEMORY. */
kmn_err kmn_attached_to_json(const struct kmn_attached *attached, json_t *body) KMN_MUST_CHECK;

/* Is this member `application` {"id"?, "key_spki_sha256"?} well formed, and what does it say? NULL: there is none. */
bool kmn_application_read(
    const json_t *application, const char **id_out, bool *has_key_out, uint8_t key_spki_sha256_out[32]);

/*
 * The body of an intent as if it had come with the attachment: `in`, `econtent`, `application` replaced by those that
 * the attachment has, and `attachment` a reference to its record. Policy, statement and tools go by this body; the
 * record's own line is what it was. *out: json_decref.
 */
kmn_err kmn_intent_attach(
    const json_t *intent, const json_t *attachment, const struct kmn_ref *ref, json_t **out) KMN_MUST_CHECK;

#endif
