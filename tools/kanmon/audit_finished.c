#include "config.h"

#include "tools/kanmon/audit_finished.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/log.h"

static void
put(json_t *row, const char *name, const char *text)
{
	(void)json_object_set_new(row, name, json_string(text));
}

static void
put_hash(json_t *row, const char *name, bool has, const uint8_t sha256[KMN_HASH_BYTES])
{
	char text[3 * KMN_HASH_BYTES + 1];

	if (!has)
		return;
	kmn_fingerprint_text(sha256, KMN_HASH_BYTES, text);
	put(row, name, text);
}

static void
put_number(json_t *row, const char *name, uint64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, number);
	if (number != UINT64_MAX)
		put(row, name, text);
}

static json_t *
new_row(const struct kmn_signed_certificate *made)
{
	json_t *row = json_object();
	char when[KMN_MS_TEXT_BYTES];

	if (row == NULL)
		return NULL;
	kmn_ms_text(made->t, when);
	put(row, "kind", "unknown");
	put_number(row, "record", made->record);
	put_number(row, "request", made->request);
	put(row, "time", when);
	put(row, "client", made->client);
	put(row, "approvers", made->approvers);
	put(row, "key", made->key);
	put_hash(row, "key_spki", made->has_key, made->spki_sha256);
	put(row, "algorithm", made->has_norm ? made->norm.scheme : made->mechanism);
	put(row, "signature", "not verified");
	if (made->application != NULL)
		put(row, "application", made->application);
	put_hash(row, "applicant_key", made->has_applicant, made->applicant_sha256);
	return row;
}

/* Under the key as the ledger keeps it. */
static const char *
judge(struct kmn_store *store, const struct kmn_signed_certificate *made, const uint8_t *der, size_t len)
{
	struct kmn_issued issued;
	uint8_t *spki = NULL;
	size_t spki_len;
	const char *says = "not verified";

	if (made->has_key && kmn_blob_read(store, made->spki_sha256, &spki, &spki_len) == KMN_OK)
		says = kmn_issued_read(der, len, &issued) == KMN_OK && kmn_issued_is_by(&issued, spki, spki_len)
			   ? "verifies"
			   : "DOES NOT VERIFY";
	free(spki);
	return says;
}

static void
put_facts(json_t *row, enum kmn_finished_kind kind, const uint8_t *der, size_t len)
{
	json_t *facts = kmn_finished_facts(kind, der, len);

	if (facts != NULL)
		(void)json_object_update(row, facts);
	json_decref(facts);
}

kmn_err
kmn_finished_row(struct kmn_store *store, const struct kmn_signed_certificate *made, json_t **row_out,
    enum kmn_finished_kind *kind_out, uint8_t **der_out, size_t *der_len_out)
{
	uint8_t *data = NULL;
	size_t len = 0;
	kmn_err e = made->has_in ? kmn_blob_read(store, made->in_sha256, &data, &len) : KMN_E_NOT_FOUND;
	json_t *row = new_row(made);

	*row_out = NULL;
	*der_out = NULL;
	*der_len_out = 0;
	if (row == NULL || e == KMN_E_NO_MEMORY) {
		e = KMN_E_NO_MEMORY;
	} else if (e != KMN_OK) {
		put(row, "data", e == KMN_E_CORRUPT ? "changed: the bytes kept have another hash" : "not kept");
		e = KMN_OK;
	} else if (made->has_norm && made->norm.hash[0] != '\0' && !kmn_norm_is_of(&made->norm, data, len)) {
		put(row, "data", "only a digest came");
	} else if (kmn_finished_kind_of(data, len, kind_out) != KMN_OK) {
		json_decref(row);
		row = NULL;
	} else {
		put(row, "kind", kmn_finished_name(*kind_out));
		put(row, "data", "kept");
		e = kmn_finished_make(
		    *kind_out, data, len, &made->norm, made->signature, made->signature_len, der_out, der_len_out);
		if (e == KMN_OK) {
			put_facts(row, *kind_out, *der_out, *der_len_out);
			put(row, "signature", judge(store, made, *der_out, *der_len_out));
		}
		e = e == KMN_E_NO_MEMORY ? e : KMN_OK;
	}
	free(data);
	if (e == KMN_OK)
		*row_out = row;
	else
		json_decref(row);
	return e;
}
