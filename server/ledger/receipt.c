/* Whether a receipt holds against what its receiver knows. Pure; its form is transport/receipt.c. */
#include "config.h"

#include "kanmon/receipt.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_INFO_MAX_BYTES 19 /* before the digest */

#define ROW(fault, text) #fault,
static const char *const names[] = {KMN_RECEIPT_ROWS(ROW)};
#undef ROW
#define ROW(fault, text) text,
static const char *const texts[] = {KMN_RECEIPT_ROWS(ROW)};
#undef ROW

const char *
kmn_receipt_fault_name(enum kmn_receipt_fault fault)
{
	return (size_t)fault < KMN_COUNT_OF(names) ? names[fault] : "unknown";
}

const char *
kmn_receipt_fault_text(enum kmn_receipt_fault fault)
{
	return (size_t)fault < KMN_COUNT_OF(texts) ? texts[fault] : "unknown";
}

/* ---- heads ----------------------------------------------------------------------------------------------------- */

static bool
same_root(const struct kmn_head *a, const struct kmn_head *b)
{
	return memcmp(a->root, b->root, KMN_HASH_BYTES) == 0;
}

static enum kmn_receipt_fault
note_head(const struct kmn_receipt_expect *expect, const struct kmn_receipt *receipt, struct kmn_head *head,
    struct kmn_why *why)
{
	enum kmn_receipt_fault fault = KMN_RECEIPT_NONE;
	size_t origin_len = strlen(expect->origin), count;
	struct kmn_note *note = malloc(sizeof(*note));
	bool *verified = calloc(expect->log_count + 1, sizeof(*verified));

	if (note == NULL || verified == NULL) {
		kmn_why_set(why, "out of memory");
		fault = KMN_RECEIPT_FORM;
	} else if (kmn_note_parse(receipt->note, receipt->note_len, note, why) != KMN_OK ||
		   kmn_note_verify(note, expect->log, expect->log_count, verified, &count, why) != KMN_OK) {
		fault = KMN_RECEIPT_NOTE;
	} else if (count == 0) {
		kmn_why_set(why, "no pinned key signed it");
		fault = KMN_RECEIPT_NOTE;
	} else if (note->text_len <= origin_len || memcmp(note->text, expect->origin, origin_len) != 0 ||
		   note->text[origin_len] != '\n') {
		kmn_why_set(why, "the checkpoint is not of %s", expect->origin);
		fault = KMN_RECEIPT_ORIGIN;
	} else if (kmn_checkpoint_parse(note, expect->origin, head, why) != KMN_OK) {
		fault = KMN_RECEIPT_NOTE;
	}
	free(note);
	free(verified);
	return fault;
}

enum kmn_receipt_fault
kmn_receipt_link(const struct kmn_head *a, const struct kmn_head *b, const struct kmn_path *path)
{
	const struct kmn_head *from = a->size <= b->size ? a : b, *to = from == a ? b : a;

	return kmn_consistency_verify(from, to, path) == KMN_OK ? KMN_RECEIPT_NONE : KMN_RECEIPT_FORK;
}

/* Sizes on one connection never shrink; what grew is proven to have grown. */
static enum kmn_receipt_fault
after_before(
    const struct kmn_head *before, const struct kmn_receipt *receipt, const struct kmn_head *head, struct kmn_why *why)
{
	bool grew = before->size > 0 && head->size > before->size;

	if (head->size < before->size) {
		kmn_why_set(why, "%llu records now, and there were %llu", (unsigned long long)head->size,
		    (unsigned long long)before->size);
		return KMN_RECEIPT_ROLLBACK;
	}
	if (head->size == before->size && !same_root(head, before)) {
		kmn_why_set(why, "two roots of %llu records", (unsigned long long)head->size);
		return KMN_RECEIPT_FORK;
	}
	if (receipt->has_consistency && (!grew || receipt->from != before->size)) {
		kmn_why_set(why, "a consistency proof that was not asked for");
		return KMN_RECEIPT_FORM;
	}
	if (grew &&
	    (!receipt->has_consistency || kmn_consistency_verify(before, head, &receipt->consistency) != KMN_OK)) {
		kmn_why_set(why, "%llu records are not proven to begin with the %llu that were",
		    (unsigned long long)head->size, (unsigned long long)before->size);
		return KMN_RECEIPT_FORK;
	}
	return KMN_RECEIPT_NONE;
}

static enum kmn_receipt_fault
check_head(const struct kmn_receipt_expect *expect, const struct kmn_receipt *receipt, struct kmn_receipt_found *found,
    struct kmn_why *why)
{
	const struct kmn_head *accepted = &expect->accepted;
	struct kmn_head *head = &found->head;
	enum kmn_receipt_fault fault;

	if (receipt->note == NULL)
		*head = expect->before;
	else if ((fault = note_head(expect, receipt, head, why)) != KMN_RECEIPT_NONE)
		return fault;
	if (head->size == 0 || receipt->size != head->size) {
		kmn_why_set(why, "its size is not that of its checkpoint");
		return KMN_RECEIPT_FORM;
	}
	if ((fault = after_before(&expect->before, receipt, head, why)) != KMN_RECEIPT_NONE)
		return fault;
	if (accepted->size == head->size && !same_root(accepted, head)) {
		kmn_why_set(why, "two roots of %llu records", (unsigned long long)head->size);
		return KMN_RECEIPT_FORK;
	}
	found->linked = accepted->size == 0 || accepted->size == head->size ||
			(accepted->size == expect->before.size && same_root(accepted, &expect->before));
	return KMN_RECEIPT_NONE;
}

/* ---- the record ------------------------------------------------------------------------------------------------ */

static enum kmn_receipt_fault
check_line(const struct kmn_receipt *receipt, struct kmn_receipt_found *found, struct kmn_why *why)
{
	if (kmn_record_parse(receipt->line, receipt->line_len, &found->record, why) != KMN_OK ||
	    found->record.kind == KMN_R_UNKNOWN)
		return KMN_RECEIPT_LINE;
	if (kmn_inclusion_verify(found->record.leaf, found->record.i, &found->head, &receipt->path) != KMN_OK) {
		kmn_why_set(why, "record %llu is not proven to be among %llu", (unsigned long long)found->record.i,
		    (unsigned long long)found->head.size);
		return KMN_RECEIPT_INCLUSION;
	}
	return KMN_RECEIPT_NONE;
}

/* Where a member that must be there is not, or is another. */
static bool
is_hash(const json_t *body, const char *name, const uint8_t want[KMN_HASH_BYTES])
{
	uint8_t hash[KMN_HASH_BYTES];

	return kmn_json_get_b64(body, name, hash, sizeof(hash)) && memcmp(hash, want, sizeof(hash)) == 0;
}

static bool
is_number(const json_t *body, const char *name, uint64_t want)
{
	uint64_t number;

	return kmn_json_get_number(body, name, &number) &&
	       number == (want < KMN_JSON_INT_MAX ? want : KMN_JSON_INT_MAX);
}

static bool
is_of_channel(const struct kmn_receipt_expect *expect, const json_t *body)
{
	for (size_t i = 0; i < expect->chan_count; i++)
		if (is_number(body, "chan", expect->chan[i]))
			return true;
	return expect->chan_count == 0;
}

/* Functions that share an event have another req_sha256. */
static bool
is_of_function(const struct kmn_call *row, const struct kmn_receipt_found *found)
{
	const char *op;

	if (found->record.kind == KMN_R_OP)
		return kmn_json_get_text(found->record.body, "op", &op) && strcmp(op, row->name) == 0;
	return true;
}

static enum kmn_receipt_fault
check_call(const struct kmn_receipt_expect *expect, const struct kmn_receipt_found *found, struct kmn_why *why)
{
	const json_t *body = found->record.body;

	if (!kmn_receipt_kind_fits(expect->row, found->record.kind)) {
		kmn_why_set(why, "a record of type %s", found->record.type);
		return KMN_RECEIPT_KIND;
	}
	if (!is_of_channel(expect, body) || !is_number(body, "seq", expect->number) ||
	    !is_hash(body, "req_sha256", expect->req_sha256) || !is_of_function(expect->row, found)) {
		kmn_why_set(why, "record %llu is of another call than %s, number %llu",
		    (unsigned long long)found->record.i, expect->row->name, (unsigned long long)expect->number);
		return KMN_RECEIPT_CALL;
	}
	if (!is_hash(body, "resp_sha256", expect->resp_sha256) || !is_number(body, "rv", expect->rv)) {
		kmn_why_set(why, "record %llu is of another answer to %s", (unsigned long long)found->record.i,
		    expect->row->name);
		return KMN_RECEIPT_ANSWER;
	}
	return KMN_RECEIPT_NONE;
}

/* A record names another by leaf hash: the line that has it is that record, wherever it comes from. */
static bool
is_named(const struct kmn_record *by, const char *member, const char *line, size_t len, enum kmn_record_kind kind,
    struct kmn_record *record, struct kmn_why *why)
{
	struct kmn_ref ref;

	return kmn_record_parse(line, len, record, why) == KMN_OK && record->kind == kind &&
	       kmn_ref_get(by->body, member, &ref) && ref.i == record->i &&
	       memcmp(ref.leaf, record->leaf, sizeof(ref.leaf)) == 0;
}

static enum kmn_receipt_fault
check_request(const struct kmn_receipt_expect *expect, const struct kmn_receipt *receipt,
    struct kmn_receipt_found *found, struct kmn_why *why)
{
	const struct kmn_record *result = &found->record;
	bool again = result->kind == KMN_R_REDELIVERY, has_intent = again || result->kind == KMN_R_RESULT;
	const char *op;

	if (again)
		result = &found->result;
	if ((receipt->result != NULL) != again || (receipt->request != NULL) != has_intent) {
		kmn_why_set(why, "the lines that record %llu names are not there, or it names none",
		    (unsigned long long)found->record.i);
		return KMN_RECEIPT_REQUEST;
	}
	if (again && !is_named(&found->record, "result", receipt->result, receipt->result_len, KMN_R_RESULT,
			 &found->result, why))
		return KMN_RECEIPT_REQUEST;
	if (has_intent &&
	    (!is_named(result, "request", receipt->request, receipt->request_len, KMN_R_INTENT, &found->request, why) ||
		!kmn_json_get_text(found->request.body, "op", &op) || strcmp(op, expect->row->name) != 0)) {
		kmn_why_set(why, "the intent that record %llu names is not there, or is not of %s",
		    (unsigned long long)result->i, expect->row->name);
		return KMN_RECEIPT_REQUEST;
	}
	return KMN_RECEIPT_NONE;
}

/* The record that shows key and input: the intent where there is one. */
static const json_t *
shown_in(const struct kmn_receipt_found *found)
{
	return found->request.type != NULL ? found->request.body : found->record.body;
}

/* The record that shows the output: of what is handed out again the first result. */
static const json_t *
told_in(const struct kmn_receipt_found *found)
{
	return found->result.type != NULL ? found->result.body : found->record.body;
}

static enum kmn_receipt_fault
check_key(const struct kmn_receipt_expect *expect, const struct kmn_receipt_found *found, struct kmn_why *why)
{
	const json_t *key = json_object_get(shown_in(found), "key");

	if (expect->key_spki_sha256 == NULL || found->record.kind == KMN_R_SESSION || key == NULL ||
	    json_object_get(key, "spki_sha256") == NULL || is_hash(key, "spki_sha256", expect->key_spki_sha256))
		return KMN_RECEIPT_NONE;
	kmn_why_set(why, "another key than the one that was chosen");
	return KMN_RECEIPT_KEY;
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

static const struct kmn_opening *
opening_of(const struct kmn_receipt *receipt, const char *field)
{
	for (size_t i = 0; i < receipt->opening_count; i++)
		if (receipt->opening[i].field_len == strlen(field) &&
		    memcmp(receipt->opening[i].field, field, receipt->opening[i].field_len) == 0)
			return &receipt->opening[i];
	return NULL;
}

static enum kmn_receipt_fault
check_commitment(const struct kmn_receipt *receipt, const json_t *shown, const struct kmn_receipt_value *value)
{
	const struct kmn_opening *opening = opening_of(receipt, value->field);
	uint8_t commitment[KMN_HASH_BYTES];

	if (opening == NULL)
		return KMN_RECEIPT_OPENING;
	kmn_commitment(value->field, opening->salt, value->bytes, value->len, commitment);
	return is_hash(shown, "commit", commitment) && is_number(shown, "len", value->len) ? KMN_RECEIPT_NONE
											   : KMN_RECEIPT_OPENING;
}

static bool
is_digest(const json_t *shown, const struct kmn_receipt_value *value)
{
	uint8_t hash[KMN_HASH_BYTES];

	kmn_sha256(value->bytes, value->len, hash);
	return is_hash(shown, "sha256", hash) && is_number(shown, "len", value->len);
}

static bool
is_b64(const json_t *shown, const struct kmn_receipt_value *value)
{
	json_t *b64 = kmn_json_b64(value->bytes, value->len);
	bool same = b64 != NULL && json_equal(b64, json_object_get(shown, "b64"));

	json_decref(b64);
	return same;
}

/* The digest itself was sent, or a DigestInfo that ends with it. */
static bool
is_its_digest(const uint8_t *digest, size_t len, const struct kmn_receipt_value *value)
{
	return len > 0 && value->len >= len && value->len <= len + DIGEST_INFO_MAX_BYTES &&
	       memcmp((const uint8_t *)value->bytes + value->len - len, digest, len) == 0;
}

/* The content of what was sent was attached before the call: `in` is that, and the digest is what was sent. */
static bool
is_attached(const json_t *intent, const struct kmn_receipt_value *value)
{
	uint8_t digest[128];
	const char *text;
	size_t len;

	return kmn_json_get_text(json_object_get(intent, "norm"), "digest", &text) &&
	       kmn_b64_parse(text, strlen(text), digest, sizeof(digest), &len) == KMN_OK &&
	       is_its_digest(digest, len, value);
}

/*
 * The intent was made of another frame than this call's: ahead of time, or by a call that the same approval meets. It is
 * the same operation if the normal forms are; the data may have come in another of its forms, hashed or not.
 */
static bool
is_of_norm(const json_t *intent, const struct kmn_receipt_value *value)
{
	const json_t *norm = json_object_get(intent, "norm");
	uint8_t digest[128], hash[crypto_hash_sha512_BYTES];
	const char *text, *name;
	size_t len, hash_len = 0;

	if (!kmn_json_get_text(norm, "digest", &text) || !kmn_json_get_text(norm, "hash", &name) ||
	    kmn_b64_parse(text, strlen(text), digest, sizeof(digest), &len) != KMN_OK)
		return false;
	if (is_its_digest(digest, len, value))
		return true;
	if (strcmp(name, "sha256") == 0 || (name[0] == '\0' && len == crypto_hash_sha256_BYTES))
		hash_len = crypto_hash_sha256_BYTES;
	else if (strcmp(name, "sha512") == 0 || (name[0] == '\0' && len == crypto_hash_sha512_BYTES))
		hash_len = crypto_hash_sha512_BYTES;
	if (hash_len == crypto_hash_sha256_BYTES)
		(void)crypto_hash_sha256(hash, value->bytes, value->len);
	else if (hash_len == crypto_hash_sha512_BYTES)
		(void)crypto_hash_sha512(hash, value->bytes, value->len);
	/* Of other hashes (SHA-384, SHA-3) the auditor's V7 is the judge. */
	return hash_len == 0 || (hash_len == len && memcmp(hash, digest, len) == 0);
}

static enum kmn_receipt_fault
check_value(const struct kmn_receipt_expect *expect, const struct kmn_receipt *receipt,
    const struct kmn_receipt_found *found, const struct kmn_receipt_value *value)
{
	const json_t *body = strcmp(value->field, "in") == 0 ? shown_in(found) : told_in(found);
	const json_t *shown = json_object_get(body, value->field);
	bool same = false;

	/* A call that was refused before its arguments were looked at shows none. */
	if (shown == NULL && expect->rv != CKR_OK)
		return KMN_RECEIPT_NONE;
	switch (value->show) {
	case KMN_SHOW_COMMITMENT:
		return check_commitment(receipt, shown, value);
	case KMN_SHOW_NOTHING:
		return KMN_RECEIPT_NONE;
	case KMN_SHOW_VALUE:
		same = is_b64(shown, value) || is_digest(shown, value);
		break;
	case KMN_SHOW_DIGEST:
		same = is_digest(shown, value) || is_attached(body, value) ||
		       (found->request.type != NULL && !is_hash(body, "req_sha256", expect->req_sha256) &&
			   is_of_norm(body, value));
		break;
	}
	return same ? KMN_RECEIPT_NONE : KMN_RECEIPT_INPUT;
}

static enum kmn_receipt_fault
check_values(const struct kmn_receipt_expect *expect, const struct kmn_receipt *receipt,
    const struct kmn_receipt_found *found, struct kmn_why *why)
{
	for (size_t i = 0; i < expect->value_count; i++) {
		enum kmn_receipt_fault fault = check_value(expect, receipt, found, &expect->value[i]);

		if (fault != KMN_RECEIPT_NONE) {
			kmn_why_set(why, "member %s is not what was sent or received", expect->value[i].field);
			return fault;
		}
	}
	return KMN_RECEIPT_NONE;
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

enum kmn_receipt_fault
kmn_receipt_check(const struct kmn_receipt_expect *expect, const struct kmn_receipt *receipt,
    struct kmn_receipt_found *found_out, struct kmn_why *why)
{
	enum kmn_receipt_fault fault;

	memset(found_out, 0, sizeof(*found_out));
	kmn_why_set(why, "%s", "");
	if ((expect->row == NULL) != (receipt->line == NULL)) {
		kmn_why_set(why, "a receipt %s a record", receipt->line == NULL ? "without" : "with");
		return KMN_RECEIPT_FORM;
	}
	if ((fault = check_head(expect, receipt, found_out, why)) != KMN_RECEIPT_NONE || receipt->line == NULL)
		return fault;
	if ((fault = check_line(receipt, found_out, why)) != KMN_RECEIPT_NONE ||
	    (fault = check_call(expect, found_out, why)) != KMN_RECEIPT_NONE ||
	    (fault = check_request(expect, receipt, found_out, why)) != KMN_RECEIPT_NONE ||
	    (fault = check_key(expect, found_out, why)) != KMN_RECEIPT_NONE)
		return fault;
	return check_values(expect, receipt, found_out, why);
}

void
kmn_receipt_found_clear(struct kmn_receipt_found *found)
{
	kmn_record_clear(&found->record);
	kmn_record_clear(&found->request);
	kmn_record_clear(&found->result);
}
