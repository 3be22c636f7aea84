#include "config.h"

#include "tools/kanmon/audit_signed.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/attach.h"

#define OPEN_MAX 100000 /* requests that wait at once; a gateway lets far fewer */

/* Intents whose result has not come yet. */
struct waiting {
	uint64_t i;
	json_t *owner;
	const json_t *body;
};

struct reading {
	struct kmn_rows *rows;
	struct waiting *waiting;
	size_t count, room;
	kmn_signed_certificate_fn *fn;
	kmn_signed_key_fn *key_fn;
	void *cookie;
	struct kmn_signed_certificate made;
};

static kmn_err
wait_for(struct reading *r, const struct kmn_record *record)
{
	struct waiting *more;

	if (r->count == OPEN_MAX)
		return KMN_E_TOO_MANY;
	if (r->count == r->room) {
		r->room = r->room * 2 + 64;
		if ((more = realloc(r->waiting, r->room * sizeof(*more))) == NULL)
			return KMN_E_NO_MEMORY;
		r->waiting = more;
	}
	r->waiting[r->count++] = (struct waiting){record->i, json_incref(record->owner), record->body};
	return KMN_OK;
}

static struct waiting *
find(struct reading *r, uint64_t i)
{
	for (size_t n = r->count; n > 0; n--) /* most answers are to what was asked last */
		if (r->waiting[n - 1].i == i)
			return &r->waiting[n - 1];
	return NULL;
}

static void
let_go(struct reading *r, struct waiting *at)
{
	json_decref(at->owner);
	memmove(at, at + 1, (size_t)(r->waiting + r->count - at - 1) * sizeof(*at));
	r->count--;
}

/* What was attached while it waited, as if it had come with the intent. */
static kmn_err
attach(struct reading *r, const struct kmn_record *record)
{
	struct kmn_ref of, own = {.i = record->i};
	struct waiting *at;
	json_t *whole;
	kmn_err e;

	memcpy(own.leaf, record->leaf, sizeof(own.leaf));
	if (!kmn_ref_get(record->body, "request", &of) || (at = find(r, of.i)) == NULL)
		return KMN_OK;
	if ((e = kmn_intent_attach(at->body, record->body, &own, &whole)) != KMN_OK)
		return e;
	json_decref(at->owner);
	at->owner = whole;
	at->body = whole;
	return KMN_OK;
}

/* `asked` is the body that says what was signed, `answered` the one that says what came back; may be the same. */
static kmn_err
take(struct reading *r, const struct kmn_record *record, const struct kmn_row *row, const json_t *asked)
{
	struct kmn_signed_certificate *m = &r->made;
	const json_t *params = json_object_get(json_object_get(asked, "mech"), "params");
	const char *b64;
	uint64_t rv;

	if (!kmn_json_get_number(record->body, "rv", &rv) || rv != 0 ||
	    !kmn_json_get_text(json_object_get(record->body, "out"), "b64", &b64) ||
	    kmn_b64_parse(b64, strlen(b64), m->signature, sizeof(m->signature), &m->signature_len) != KMN_OK ||
	    strncmp(row->value[KMN_COL_FUNCTION], "C_Sign", 6) != 0)
		return KMN_OK;
	m->record = record->i;
	m->request = row->request;
	m->t = record->t;
	m->client = row->value[KMN_COL_CLIENT];
	m->approvers = row->value[KMN_COL_CUSTODIANS];
	m->key = row->value[KMN_COL_KEY];
	m->key_id = row->value[KMN_COL_KEY_ID];
	m->mechanism = row->value[KMN_COL_MECHANISM];
	m->has_key =
	    kmn_json_get_b64(json_object_get(asked, "key"), "spki_sha256", m->spki_sha256, sizeof(m->spki_sha256));
	m->has_in = kmn_json_get_b64(json_object_get(asked, "in"), "sha256", m->in_sha256, sizeof(m->in_sha256));
	if (!kmn_application_read(
		json_object_get(asked, "application"), &m->application, &m->has_applicant, m->applicant_sha256))
		m->application = NULL;
	m->has_norm = kmn_norm_from_json(json_object_get(asked, "norm"), &m->norm) == KMN_OK;
	m->has_pss = kmn_pss_from_json(params, &m->pss) == KMN_OK;
	return r->fn(r->cookie, m);
}

/* The key that a call uses, and the one that it made. */
static kmn_err
take_key(struct reading *r, const struct kmn_record *record)
{
	uint8_t sha256[KMN_HASH_BYTES];

	if (r->key_fn == NULL ||
	    (record->kind != KMN_R_INTENT && record->kind != KMN_R_RESULT && record->kind != KMN_R_OP) ||
	    !kmn_json_get_b64(json_object_get(record->body, "key"), "spki_sha256", sha256, sizeof(sha256)))
		return KMN_OK;
	return r->key_fn(r->cookie, sha256);
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct reading *r = cookie;
	struct waiting *at;
	struct kmn_row row;
	const char *verdict;
	kmn_err e = kmn_rows_take(r->rows, record, &row);

	(void)place;
	if (e != KMN_OK || (e = take_key(r, record)) != KMN_OK)
		return e;
	if (record->kind == KMN_R_INTENT)
		return wait_for(r, record);
	if (record->kind == KMN_R_ATTACHMENT)
		return attach(r, record);
	if (record->kind == KMN_R_OP)
		return take(r, record, &row, record->body);
	if ((record->kind != KMN_R_RESULT && record->kind != KMN_R_DECISION) || (at = find(r, row.request)) == NULL)
		return KMN_OK;
	if (record->kind == KMN_R_RESULT)
		e = take(r, record, &row, at->body);
	else if (kmn_json_get_text(record->body, "verdict", &verdict) && strcmp(verdict, "allow") == 0)
		return KMN_OK;
	if (record->kind == KMN_R_DECISION || strcmp(row.value[KMN_COL_OUTCOME], "CKR_BUFFER_TOO_SMALL") != 0)
		let_go(r, at);
	return e;
}

kmn_err
kmn_signed_certificate_read(struct kmn_store *store, kmn_signed_certificate_fn *fn, kmn_signed_key_fn *key_fn,
    void *cookie, struct kmn_why *why)
{
	struct reading *r = calloc(1, sizeof(*r));
	kmn_err e;

	if (r == NULL)
		return KMN_E_NO_MEMORY;
	r->fn = fn;
	r->key_fn = key_fn;
	r->cookie = cookie;
	if ((e = kmn_rows_new(&r->rows)) == KMN_OK)
		e = kmn_ledger_read(store, each_record, r, why);
	for (size_t n = 0; n < r->count; n++)
		json_decref(r->waiting[n].owner);
	free(r->waiting);
	kmn_rows_free(r->rows);
	free(r);
	return e;
}
