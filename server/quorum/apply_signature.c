/* V7: what a module gave is a signature of the key that was named, over what was to be signed. */
#include "config.h"

#include "server/quorum/apply.h"

#include <stdlib.h>
#include <string.h>

#define SIGNATURE_MAX_BYTES 8192

/* The public key that an intent or op names, as it was kept; NULL where it names none. */
static uint8_t *
key_of(struct step *s, const struct quorum_signing *signing, size_t *len_out)
{
	const uint8_t *sha256 = signing->spki_sha256;
	uint8_t again[KMN_HASH_BYTES], *spki = NULL;
	kmn_err e;

	*len_out = 0;
	if (s->q->settings.blob == NULL || !signing->has_key)
		return NULL;
	e = s->q->settings.blob(s->q->settings.cookie, sha256, &spki, len_out);
	if (e == KMN_OK) {
		kmn_sha256(spki, *len_out, again);
		if (memcmp(again, sha256, sizeof(again)) == 0)
			return spki;
		e = KMN_E_CORRUPT;
	}
	if (e == KMN_E_CORRUPT)
		apply_found(s, "V7", "the blob of the public key is not what its name says");
	else
		apply_trouble(s, e); /* missing: the auditor's input is not complete */
	free(spki);
	return NULL;
}

void
kmn_signature_free(struct kmn_signature *signature)
{
	if (signature == NULL)
		return;
	free(signature->spki);
	free(signature->data);
	free(signature->bytes);
	free(signature);
}

/* All that a signature is to be verified by; NULL: it cannot be, which is said or counted. */
static struct kmn_signature *
gather_signature(struct step *s, const struct quorum_asked *asked, const char *b64, size_t len)
{
	struct kmn_signature *sig = calloc(1, sizeof(*sig));
	kmn_err e;

	if (sig == NULL || (sig->bytes = malloc(len + 1)) == NULL) {
		apply_trouble(s, KMN_E_NO_MEMORY);
		goto failed;
	}
	sig->request = asked->i;
	sig->has_pss = asked->signing->has_pss;
	sig->pss = asked->signing->pss;
	sig->norm = asked->signing->norm;
	memcpy(sig->spki_sha256, asked->signing->spki_sha256, sizeof(sig->spki_sha256));
	if (asked->signing->malformed ||
	    kmn_b64_parse(b64, len, sig->bytes, SIGNATURE_MAX_BYTES, &sig->len) != KMN_OK) {
		apply_found(s, "V7", "the signature or its normal form is malformed");
		goto failed;
	}
	sig->spki = key_of(s, asked->signing, &sig->spki_len);
	if (sig->spki == NULL || (strcmp(sig->norm.scheme, "rsa-pss") == 0 && !sig->has_pss)) {
		s->q->counts.signatures_skipped++;
		goto failed;
	}
	if ((e = quorum_data(s->q, asked->body, &sig->data, &sig->data_len)) == KMN_OK)
		return sig;
	if (e == KMN_E_NOT_FOUND)
		s->q->counts.signatures_skipped++;
	else
		apply_found(s, "V7", "the blob of the data is not what its name says");
failed:
	kmn_signature_free(sig);
	return NULL;
}

void
apply_check_signature(struct step *s, const struct quorum_asked *asked)
{
	struct kmn_signature *sig;
	const char *b64;
	size_t len;
	kmn_err e;

	if (!asked->signing->asked)
		return;
	if ((b64 = quorum_get_out(s->record, &len)) == NULL) {
		apply_found(s, "V7", "a signature was made, and the record does not have it");
		return;
	}
	if ((sig = gather_signature(s, asked, b64, len)) == NULL)
		return;
	if (s->q->settings.signature != NULL) {
		s->q->settings.signature(s->q->settings.cookie, s->record, sig);
		return;
	}
	e = kmn_operation_verify_signature(sig->spki, sig->spki_len, &sig->norm, sig->has_pss ? &sig->pss : NULL,
	    sig->data, sig->data_len, sig->bytes, sig->len);
	kmn_signature_free(sig);
	if (e == KMN_E_NOT_FOUND)
		s->q->counts.signatures_skipped++;
	else if (e == KMN_OK)
		s->q->counts.signatures_verified++;
	else
		apply_found(s, "V7", KMN_SIGNATURE_FINDING, (unsigned long long)asked->i);
}
