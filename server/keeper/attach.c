/*
 * What the CA side hands in beside a call (kanmon/attach.h). Before it: the
 * session keeps it for its next signature. While the call waits: it becomes a
 * record, and the quorum's own rules say whether it may.
 *
 * What a session keeps goes to one call and is gone then, also when that call is refused. Of a call that its instruction
 * does not want, the record names none: one that is named is used up.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/admin.h"
#include "kanmon/attach.h"
#include "kanmon/say.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

kmn_err
kmn_attach_keep(struct kmn_keeper *k, const struct kmn_attached *a)
{
	uint8_t sha256[KMN_HASH_BYTES];
	kmn_err e = KMN_OK;

	if (a->data != NULL)
		e = kmn_log_blob_put(k->log, a->data, a->data_len, sha256);
	if (e == KMN_OK && a->econtent != NULL)
		e = kmn_log_blob_put(k->log, a->econtent, a->econtent_len, sha256);
	return e;
}

/* Of what a request is about, as far as it is kept. */
void
kmn_attach_load(struct kmn_keeper *k, const json_t *intent, struct kmn_attached *out)
{
	uint8_t sha256[KMN_HASH_BYTES];

	*out = (struct kmn_attached){.data = NULL};
	if (kmn_json_get_b64(json_object_get(intent, "in"), "sha256", sha256, sizeof(sha256)) &&
	    kmn_log_blob_get(k->log, sha256, &out->data, &out->data_len) != KMN_OK)
		out->data = NULL;
	if (kmn_json_get_b64(json_object_get(intent, "econtent"), "sha256", sha256, sizeof(sha256)) &&
	    kmn_log_blob_get(k->log, sha256, &out->econtent, &out->econtent_len) != KMN_OK)
		out->econtent = NULL;
}

static bool
refuse(struct kmn_call_state *call, const char *reason)
{
	call->verdict = (struct kmn_verdict){.answer = KMN_ANSWER_REFUSED, .rule = "none", .durability = 'A'};
	snprintf(call->verdict.reason, sizeof(call->verdict.reason), "%s", reason);
	return false;
}

static bool
is_signature(const struct kmn_call_state *call)
{
	return call->operation != NULL && (call->operation->kind & KMN_SIGN_OPERATIONS) != 0;
}

/* Data, content and an applicant's key are a signature's; what a call is for may be said of any. */
static bool
is_for_any(const struct kmn_attached *a)
{
	return a->data == NULL && a->econtent == NULL && !a->has_key;
}

bool
kmn_attach_is_lookalike(const char *id, struct kmn_why *why)
{
	static const char name[] = "action";
	const char *at = id + strspn(id, " \t"), *number = at + strlen(name) + 1;

	if (strncasecmp(at, name, strlen(name)) != 0 || isalpha((unsigned char)at[strlen(name)]) != 0)
		return false;
	if (at == id && strncmp(id, "action ", strlen(name) + 1) == 0 && number[0] >= '1' && number[0] <= '9' &&
	    number[strspn(number, "0123456789")] == '\0')
		return false;
	kmn_why_set(why, "an application's id that begins with \"action\" is the name of an instruction: \"action N\"");
	return true;
}

bool
kmn_attach_is_instructed(struct kmn_call_state *call)
{
	struct kmn_why why;

	if (kmn_quorum_check_instructed(
		call->keeper->quorum, call->intent, (uint64_t)kmn_clock_record_ms(call->keeper), &why) == KMN_OK)
		return true;
	(void)json_object_del(call->intent, "application");
	return refuse(call, why.text);
}

/* Where it no longer stands, the request runs as what it was made for, and the ledger does not say that it was met. */
void
kmn_attach_say_met(const struct kmn_call_state *call, const struct kmn_request *request, json_t *decision)
{
	json_t *own = json_object_get(call->intent, "application");
	struct kmn_why why;

	if (own == NULL || json_equal(own, json_object_get(request->intent, "application")))
		return;
	if (json_object_set(decision, "application", own) != 0)
		KMN_BUG("out of memory");
	if (kmn_quorum_check_met(
		call->keeper->quorum, request, decision, (uint64_t)kmn_clock_record_ms(call->keeper), &why) != KMN_OK)
		(void)json_object_del(decision, "application");
}

bool
kmn_attach_take(struct kmn_call_state *call)
{
	struct kmn_attached *a = &call->attached;

	call->material = (struct kmn_material){.data = call->data, .len = call->data_len};
	if (call->session == NULL || kmn_attached_is_empty(&call->session->attached) ||
	    (!is_signature(call) && !is_for_any(&call->session->attached)))
		return true;
	kmn_attached_clear(a);
	*a = call->session->attached;
	call->session->attached = (struct kmn_attached){.data = NULL};
	if (kmn_attached_to_json(a, call->intent) != KMN_OK)
		KMN_BUG("out of memory");
	if (a->data != NULL && (!call->has_norm || !kmn_norm_is_of(&call->norm, a->data, a->data_len)))
		return refuse(call, "what was attached for this call does not hash to what it signs");
	if (a->data != NULL) {
		call->data = a->data;
		call->data_len = a->data_len;
		call->has_data = true;
	}
	call->material = (struct kmn_material){call->data, call->data_len, a->econtent, a->econtent_len};
	return kmn_attach_is_instructed(call);
}

/* ---- admin ------------------------------------------------------------------------------------------------------ */

static struct kmn_session *
find_session(struct kmn_keeper *k, const struct kmn_conn *conn, const uint8_t *instance_id, uint64_t handle)
{
	static const uint8_t own[KMN_INSTANCE_ID_BYTES]; /* zeros: that of the connection */
	struct kmn_instance *instance =
	    memcmp(instance_id, own, sizeof(own)) == 0 ? conn->instance : kmn_instance_get(k, instance_id);

	if (instance == NULL || memcmp(instance->spki_sha256, conn->spki_sha256, KMN_HASH_BYTES) != 0)
		return NULL;
	return kmn_session_get(instance, handle);
}

kmn_err
kmn_attach_next(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r, struct kmn_why *why)
{
	uint8_t instance[KMN_INSTANCE_ID_BYTES];
	struct kmn_attached attached;
	struct kmn_session *session;
	uint64_t handle;

	kmn_reader_raw(r, instance, sizeof(instance));
	handle = kmn_reader_u64(r);
	kmn_attached_get(r, &attached);
	if (kmn_reader_end(r) == KMN_OK && kmn_attach_is_lookalike(attached.application, why)) {
		kmn_attached_clear(&attached);
		return KMN_E_ARGUMENTS;
	}
	if (r->err == KMN_OK && (session = find_session(k, conn, instance, handle)) != NULL) {
		kmn_attached_clear(&session->attached);
		session->attached = attached;
		return KMN_OK;
	}
	kmn_attached_clear(&attached);
	if (r->err != KMN_OK)
		return r->err;
	snprintf(why->text, sizeof(why->text), "no such session of this client");
	return KMN_E_NOT_FOUND;
}

/* Before anything of it is kept: it is what the request is about, or nothing of this client's is stored. */
static bool
is_of(const struct kmn_request *request, const struct kmn_attached *a, struct kmn_why *why)
{
	struct kmn_norm norm;

	if (a->data == NULL || (kmn_norm_from_json(json_object_get(request->intent, "norm"), &norm) == KMN_OK &&
				   kmn_norm_is_of(&norm, a->data, a->data_len)))
		return true;
	snprintf(why->text, sizeof(why->text), "these %zu bytes do not hash to what request %llu wants signed",
	    a->data_len, (unsigned long long)request->i);
	return false;
}

static kmn_err
attach(struct kmn_keeper *k, const struct kmn_request *request, const struct kmn_attached *a, struct kmn_why *why)
{
	struct kmn_ref own = {.i = request->i};
	struct kmn_verdict verdict;
	json_t *body, *whole = NULL;
	kmn_err e = KMN_OK;

	memcpy(own.leaf, request->leaf, sizeof(own.leaf));
	if ((body = json_pack("{s:o}", "request", kmn_ref_json(&own))) == NULL ||
	    kmn_attached_to_json(a, body) != KMN_OK)
		KMN_BUG("out of memory");
	if (!is_of(request, a, why)) {
		json_decref(body);
		return KMN_E_ARGUMENTS;
	}
	if (kmn_attach_keep(k, a) != KMN_OK) {
		json_decref(body);
		kmn_keeper_ledger_lost(k, "what is to be approved cannot be kept");
		return KMN_E_LEDGER;
	}
	if (!kmn_quorum_check_attachment(k->quorum, request, body, &own, kmn_keeper_now_ms(), &verdict, &whole, why)) {
		json_decref(body);
		return KMN_E_DENIED;
	}
	json_decref(whole);
	kmn_say(
	    KMN_SAY_INFO, "request %llu: its content was attached: %s", (unsigned long long)request->i, verdict.reason);
	e = kmn_keeper_append(k, KMN_R_ATTACHMENT, body, NULL);
	k->statements_due += e == KMN_OK && verdict.answer == KMN_ANSWER_HELD && verdict.per != KMN_PER_WINDOW;
	return e;
}

kmn_err
kmn_attach_request(
    struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r, uint64_t *request_out, struct kmn_why *why)
{
	const struct kmn_request *request;
	struct kmn_attached attached;
	uint64_t id = kmn_reader_u64(r);
	kmn_err e;

	*request_out = id;
	kmn_attached_get(r, &attached);
	if ((e = kmn_reader_end(r)) != KMN_OK) {
		kmn_attached_clear(&attached);
		return e;
	}
	request = kmn_quorum_request(k->quorum, id);
	if (kmn_attach_is_lookalike(attached.application, why)) {
		e = KMN_E_ARGUMENTS;
	} else if (request == NULL || !request->held ||
		   memcmp(request->client_spki_sha256, conn->spki_sha256, KMN_HASH_BYTES) != 0) {
		snprintf(why->text, sizeof(why->text), "no such request of this client: only who asked attaches");
		e = KMN_E_NOT_FOUND;
	} else if (!request->awaits || request->state != KMN_REQUEST_OPEN) {
		snprintf(
		    why->text, sizeof(why->text), "request %llu does not wait for its content", (unsigned long long)id);
		e = KMN_E_DENIED;
	} else if ((e = attach(k, request, &attached, why)) == KMN_OK) {
		kmn_hold_advance(k, id);
	}
	kmn_attached_clear(&attached);
	return e;
}
