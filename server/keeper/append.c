/*
 * Records: appended, applied at once to the state that they make, and waited for. The only way from a call, a person or a
 * clock to the ledger (K4).
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdlib.h>
#include <string.h>

const struct kmn_policy *
kmn_keeper_policy(const struct kmn_keeper *k)
{
	const struct kmn_policy *policy = kmn_quorum_policy(k->quorum);

	if (policy == NULL)
		KMN_BUG("a ledger without a policy");
	return policy;
}

void
kmn_keeper_fail(struct kmn_keeper *k, const char *why)
{
	if (!k->failed)
		kmn_say(KMN_SAY_ERROR, "no service any more: %s", why);
	k->failed = true;
}

kmn_err
kmn_keeper_apply(struct kmn_keeper *k, const struct kmn_record *record, struct kmn_finding *finding)
{
	const char *note = NULL;

	if ((record->kind == KMN_R_GENESIS && kmn_json_get_text(record->body, "policy", &note)) ||
	    (record->kind == KMN_R_POLICY && kmn_json_get_text(record->body, "note", &note))) {
		free(k->policy_note);
		if ((k->policy_note = strdup(note)) == NULL)
			return KMN_E_NO_MEMORY;
	}
	return kmn_quorum_apply(k->quorum, record, finding);
}

/* One record with the time that was sampled. The body is stolen. */
static kmn_err
append_one(struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, struct kmn_ref *ref_out, uint64_t *t_out)
{
	struct kmn_finding finding;
	struct kmn_record record;
	struct kmn_why why;
	kmn_err e;

	if ((e = kmn_log_append(k->log, kind, body, ref_out, &record, &why)) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "record %s: %s: %s", kmn_record_name(kind), kmn_err_text(e), why.text);
		kmn_keeper_ledger_lost(k, "the ledger takes no records");
		return KMN_E_LEDGER;
	}
	*t_out = record.t;
	e = kmn_keeper_apply(k, &record, &finding);
	if (e == KMN_OK) {
		kmn_hooks_note(k, &record);
		kmn_console_note(k, &record);
	}
	kmn_record_clear(&record);
	if (e == KMN_E_CORRUPT) {
		kmn_say(
		    KMN_SAY_ERROR, "%s: record %llu: %s", finding.check, (unsigned long long)finding.i, finding.text);
		KMN_BUG("the keeper wrote what an auditor would refuse");
	}
	if (e != KMN_OK)
		kmn_keeper_fail(k, kmn_err_text(e));
	kmn_anchor_note_record(k, kind);
	return e;
}

kmn_err
kmn_keeper_append_named(
    struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, const char *own, struct kmn_ref *ref_out)
{
	json_t *step;
	uint64_t t;
	kmn_err e = KMN_OK;

	if (k->failed || k->unrecorded) {
		json_decref(body);
		return KMN_E_LEDGER;
	}
	kmn_clock_sample(k);
	if ((step = kmn_clock_step(k)) != NULL)
		e = append_one(k, KMN_R_CLOCK, step, NULL, &t);
	if (e != KMN_OK) {
		json_decref(body);
		return e;
	}
	/* not before: the clock's record took an index */
	if (own != NULL && json_object_set_new(body, own, json_integer((json_int_t)kmn_log_size(k->log))) != 0)
		KMN_BUG("out of memory");
	e = append_one(k, kind, body, ref_out, &t);
	if (e == KMN_OK && kind == KMN_R_GATEWAY_START && (step = kmn_clock_start(k, t)) != NULL)
		e = append_one(k, KMN_R_CLOCK, step, NULL, &t);
	return e;
}

kmn_err
kmn_keeper_append(struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, struct kmn_ref *ref_out)
{
	return kmn_keeper_append_named(k, kind, body, NULL, ref_out);
}

void
kmn_keeper_record_open(struct kmn_keeper *k, const char *reason, json_t *open)
{
	struct kmn_head head;

	kmn_log_durable(k->log, &head);
	while (json_array_size(open) > 0) {
		json_t *some = json_array();

		while (json_array_size(open) > 0 && json_array_size(some) < KMN_OPEN_IN_A_RECORD) {
			if (json_array_append(some, json_array_get(open, 0)) != 0)
				KMN_BUG("out of memory");
			(void)json_array_remove(open, 0);
		}
		if (kmn_keeper_append(k, KMN_R_RECOVERY,
			json_pack("{s:o, s:o, s:o, s:[]}", "reason", kmn_json_label(reason, strlen(reason)),
			    "last_commit", kmn_head_json(&head), "open_requests", some, "guards"),
			NULL) != KMN_OK)
			break;
	}
	json_decref(open);
}

void
kmn_keeper_when_durable(struct kmn_call_state *call, void (*then)(struct kmn_call_state *call))
{
	if (call->waits_for > 0)
		KMN_BUG("a call waits twice");
	call->waits_for = kmn_log_size(call->keeper->log);
	call->then = then;
	TAILQ_INSERT_TAIL(&call->keeper->durable, call, durable);
}

void
kmn_keeper_release_durable(struct kmn_keeper *k)
{
	struct kmn_call_state *call;
	struct kmn_head head;

	kmn_log_durable(k->log, &head);
	while (!k->failed && (call = TAILQ_FIRST(&k->durable)) != NULL && call->waits_for <= head.size) {
		TAILQ_REMOVE(&k->durable, call, durable);
		call->waits_for = 0;
		call->then(call);
	}
	kmn_admin_durable(k, head.size);
	kmn_consolelink_durable(k, head.size);
	kmn_runnerlink_durable(k, head.size);
	kmn_hooks_durable(k, head.size);
	if (k->unrecorded)
		kmn_unrecorded_sweep(k);
	else
		kmn_hold_statements(k);
}
