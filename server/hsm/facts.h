/*
 * What the keeper asks the worker about keys and tokens (key.h): read from the
 * module at the moment of the question. Values of keys are never read.
 */
#ifndef KANMON_HSM_FACTS_H
#define KANMON_HSM_FACTS_H

#include "kanmon/key.h"
#include "server/hsm/handles.h"
#include "server/hsm/spki.h"

/* What the questions need; borrowed. */
struct kmn_facts_source {
	CK_FUNCTION_LIST *module;
	struct kmn_virtual *handles;
	struct kmn_spki_maker *maker;
};

/*
 * Facts of one object, by virtual handles. For a private key without a public
 * half in it, the public key or certificate of the same CKA_ID on the same
 * token gives the SubjectPublicKeyInfo, if exactly one fits; a session of its
 * own, opened and closed here, looks for it.
 */
CK_RV kmn_facts_describe(
    const struct kmn_facts_source *source, uint64_t session, uint64_t object, struct kmn_key_facts *facts_out);

/*
 * The first key object (public, private, secret, in this order) of the token
 * of that label that has the key label and id; either may be empty, not both.
 * CKR_TOKEN_NOT_PRESENT: no such token. CKR_KEY_HANDLE_INVALID: no such key.
 */
CK_RV kmn_facts_find(const struct kmn_facts_source *source, const char *token_label, const char *key_label,
    const void *id, size_t id_len, struct kmn_key_facts *facts_out);

struct kmn_token_facts {
	char label[33], manufacturer[33], model[17], serial[17];
	uint16_t firmware, hardware; /* major * 256 + minor */
	uint64_t flags;
	uint8_t level; /* of its validations (CKO_VALIDATION, 3.2) the highest, 1 to 255; 0: it has none */
};

CK_RV kmn_facts_token(CK_FUNCTION_LIST *module, CK_SLOT_ID slot, struct kmn_token_facts *facts_out);

/* Fills `level`, by a session of its own; only for modules of 3.2. */
void kmn_facts_level(CK_FUNCTION_LIST *module, CK_SLOT_ID slot, struct kmn_token_facts *facts);

/* The slot of the token with that label. CKR_TOKEN_NOT_PRESENT. */
CK_RV kmn_facts_find_token(CK_FUNCTION_LIST *module, const char *label, CK_SLOT_ID *slot_out);

/* A padded field of the module as text: without the padding, control bytes replaced by '?'. size_bytes > len. */
void kmn_facts_text(const void *field, size_t len, char *out, size_t size_bytes);

#endif
