#include "config.h"

#include "kanmon/attach.h"

#include "kanmon/reader.h"
#include "kanmon/record.h"
#include "kanmon/writer.h"
#include "server/quorum/quorum.h"
#include "server/quorum/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPKI_MAX_BYTES 8192u

void
kmn_attached_clear(struct kmn_attached *a)
{
	free(a->data);
	free(a->econtent);
	*a = (struct kmn_attached){.data = NULL};
}

bool
kmn_attached_is_empty(const struct kmn_attached *a)
{
	return a->data == NULL && a->econtent == NULL && a->application[0] == 0 && !a->has_key;
}

static void
get_bytes(struct kmn_reader *r, uint8_t **out, size_t *len_out)
{
	const uint8_t *bytes;
	size_t len = kmn_reader_bytes(r, KMN_CONTENT_MAX_BYTES, &bytes);

	*out = NULL;
	*len_out = 0;
	if (r->err != KMN_OK || len == 0)
		return;
	if ((*out = malloc(len)) == NULL) {
		kmn_reader_fail(r, KMN_E_NO_MEMORY);
		return;
	}
	memcpy(*out, bytes, len);
	*len_out = len;
}

void
kmn_attached_get(struct kmn_reader *r, struct kmn_attached *out)
{
	const uint8_t *key;
	size_t len;

	*out = (struct kmn_attached){.data = NULL};
	get_bytes(r, &out->data, &out->data_len);
	get_bytes(r, &out->econtent, &out->econtent_len);
	kmn_reader_text(r, out->application, sizeof(out->application));
	len = kmn_reader_bytes(r, SPKI_MAX_BYTES, &key);
	if (r->err == KMN_OK && out->application[0] != 0 &&
	    !text_is_value(out->application, strlen(out->application), KMN_APPLICATION_MAX_BYTES))
		kmn_reader_fail(r, KMN_E_ARGUMENTS);
	if (r->err != KMN_OK) {
		kmn_attached_clear(out);
		return;
	}
	out->has_key = len > 0;
	if (len == KMN_HASH_BYTES)
		memcpy(out->key_spki_sha256, key, len);
	else if (len > 0)
		kmn_sha256(key, len, out->key_spki_sha256);
}

void
kmn_attached_put(struct kmn_writer *w, const struct kmn_attached *a)
{
	kmn_writer_bytes(w, a->data, a->data_len);
	kmn_writer_bytes(w, a->econtent, a->econtent_len);
	kmn_writer_text(w, a->application);
	kmn_writer_bytes(w, a->key_spki_sha256, a->has_key ? KMN_HASH_BYTES : 0);
}

static kmn_err
put_digest(json_t *body, const char *name, const uint8_t *bytes, size_t len)
{
	uint8_t sha256[KMN_HASH_BYTES];
	json_t *value;

	if (bytes == NULL)
		return KMN_OK;
	kmn_sha256(bytes, len, sha256);
	value = json_pack("{s:o, s:I}", "sha256", kmn_json_b64(sha256, sizeof(sha256)), "len", (json_int_t)len);
	return json_object_set_new(body, name, value) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

kmn_err
kmn_attached_to_json(const struct kmn_attached *a, json_t *body)
{
	json_t *application;
	kmn_err e;

	if ((e = put_digest(body, "in", a->data, a->data_len)) != KMN_OK ||
	    (e = put_digest(body, "econtent", a->econtent, a->econtent_len)) != KMN_OK)
		return e;
	if (a->application[0] == 0 && !a->has_key)
		return KMN_OK;
	application = json_object();
	if (a->application[0] != 0 && json_object_set_new(application, "id", json_string(a->application)) != 0)
		e = KMN_E_NO_MEMORY;
	if (a->has_key && json_object_set_new(application, "key_spki_sha256",
			      kmn_json_b64(a->key_spki_sha256, sizeof(a->key_spki_sha256))) != 0)
		e = KMN_E_NO_MEMORY;
	if (json_object_set_new(body, "application", application) != 0)
		e = KMN_E_NO_MEMORY;
	return e;
}

bool
kmn_application_read(const json_t *application, const char **id_out, bool *has_key_out, uint8_t key_out[32])
{
	size_t members = 0;

	*id_out = NULL;
	*has_key_out = false;
	if (application == NULL)
		return true;
	if (kmn_json_get_text(application, "id", id_out)) {
		if (!text_is_value(*id_out, strlen(*id_out), KMN_APPLICATION_MAX_BYTES))
			return false;
		members++;
	}
	if (kmn_json_get_b64(application, "key_spki_sha256", key_out, KMN_HASH_BYTES)) {
		*has_key_out = true;
		members++;
	}
	return members > 0 && json_object_size(application) == members;
}

kmn_err
kmn_intent_attach(const json_t *intent, const json_t *attachment, const struct kmn_ref *ref, json_t **out)
{
	static const char *const members[] = {"in", "econtent", "application"};
	json_t *whole = json_copy((json_t *)(uintptr_t)intent);
	bool good = whole != NULL && json_object_set_new(whole, "attachment", kmn_ref_json(ref)) == 0;

	for (size_t i = 0; i < KMN_COUNT_OF(members) && good; i++) {
		json_t *value = json_object_get(attachment, members[i]);

		if (value != NULL)
			good = json_object_set(whole, members[i], value) == 0;
	}
	if (!good) {
		json_decref(whole);
		whole = NULL;
	}
	*out = whole;
	return good ? KMN_OK : KMN_E_NO_MEMORY;
}

/* ---- a request that waits for its content ----------------------------------------------------------------------- */

/* A request may be given more only before its statement, and only what is its own. */
static bool
says_no(struct kmn_why *why, const char *text)
{
	kmn_why_set(why, "%s", text);
	return false;
}

static bool
judge_attached(const struct kmn_quorum *q, const struct request *r, const json_t *whole, int64_t t,
    struct kmn_verdict *verdict_out, struct kmn_why *why, kmn_err *e_out)
{
	struct quorum_material m;
	const json_t *in = json_object_get(whole, "in");
	struct kmn_norm norm;
	bool good = false;

	*e_out = quorum_material(q, whole, &m);
	if (*e_out == KMN_E_CORRUPT)
		return says_no(why, "a blob of what was attached is not what its name says");
	if (*e_out != KMN_OK)
		return false;
	if (m.seen.data == NULL || kmn_norm_from_json(json_object_get(whole, "norm"), &norm) != KMN_OK ||
	    !kmn_norm_is_of(&norm, m.seen.data, m.seen.len))
		good = says_no(why, in == NULL ? "there is no data whose hash it could be"
					       : "what was attached does not hash to what is to be signed");
	else if (json_object_get(whole, "econtent") != NULL && m.seen.econtent == NULL)
		good = says_no(why, "the content that the attributes are over is not kept");
	else if ((*e_out = kmn_policy_judge_intent(r->policy, whole, &m.seen, t, verdict_out)) != KMN_OK)
		good = says_no(why, "it cannot be judged");
	else
		good = true;
	quorum_material_clear(&m);
	return good;
}

/* The rule of the content may be another than the one that waited: then it must hold it no longer than this. */
static bool
may_take(const struct kmn_request *request, const struct kmn_verdict *verdict)
{
	if (verdict->answer == KMN_ANSWER_FREE)
		return true;
	return verdict->answer == KMN_ANSWER_HELD && verdict->per != KMN_PER_LOGIN &&
	       request->not_after - request->t <= (int64_t)verdict->lifetime_s * 1000;
}

bool
kmn_quorum_check_attachment(const struct kmn_quorum *q, const struct kmn_request *request, const json_t *body,
    const struct kmn_ref *ref, int64_t t, struct kmn_verdict *verdict_out, json_t **whole_out, struct kmn_why *why)
{
	const struct request *r = (const struct request *)(const void *)request;
	uint64_t instruction;
	kmn_err e = KMN_OK;

	*whole_out = NULL;
	if (!request->awaits || request->state != KMN_REQUEST_OPEN)
		return says_no(why, "the request does not wait for its content");
	if (!quorum_is_current(q, r))
		return says_no(why, "the policy has changed since");
	if (t > request->not_after)
		return says_no(why, "the request has expired");
	if (kmn_instruction_named(body, &instruction))
		return says_no(why, "an instruction is named before the call, not while it waits");
	if (kmn_intent_attach(r->intent, body, ref, whole_out) != KMN_OK)
		return says_no(why, kmn_err_text(KMN_E_NO_MEMORY));
	if (judge_attached(q, r, *whole_out, t, verdict_out, why, &e)) {
		if (may_take(request, verdict_out))
			return true;
		says_no(why, verdict_out->answer == KMN_ANSWER_HELD ? "its content falls under a rule whose requests "
								      "expire sooner: attach it before the call"
								    : verdict_out->reason);
	} else if (why->text[0] == 0) {
		says_no(why, kmn_err_text(e));
	}
	json_decref(*whole_out);
	*whole_out = NULL;
	return false;
}

kmn_err
quorum_attach_apply(struct kmn_quorum *q, struct request *r, const struct kmn_record *record, struct kmn_why *why)
{
	struct kmn_ref ref = {.i = record->i};
	struct kmn_verdict verdict;
	json_t *whole;

	memcpy(ref.leaf, record->leaf, sizeof(ref.leaf));
	if (!kmn_quorum_check_attachment(q, &r->seen, record->body, &ref, (int64_t)record->t, &verdict, &whole, why) &&
	    !kmn_quorum_check_attachment(
		q, &r->seen, record->body, &ref, (int64_t)record->t - QUORUM_GRACE_MS, &verdict, &whole, why))
		return KMN_E_CORRUPT;
	json_decref(r->intent);
	r->intent = whole;
	r->seen.intent = whole;
	r->seen.verdict = verdict;
	r->seen.awaits = false;
	r->seen.attachment_i = record->i;
	return KMN_OK;
}
