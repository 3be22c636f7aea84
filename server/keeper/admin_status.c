/*
 * How the gateway stands, its newest checkpoint, and the versions of its policy.
 */
#include "config.h"

#include "server/keeper/admin.h"

#include "server/keeper/guard.h"

#include <stdlib.h>
#include <string.h>

json_t *
kmn_admin_status_json(struct kmn_keeper *k)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_request *r = NULL;
	const struct kmn_worker *worker;
	struct kmn_stale stale;
	struct kmn_head head;
	int open = 0, workers = 0;
	json_t *hsm = json_object();
	kmn_err held_back = kmn_keeper_holds_back(k);

	kmn_log_durable(k->log, &head);
	while ((r = kmn_quorum_next(k->quorum, r, false)) != NULL)
		open += r->held;
	LIST_FOREACH(worker, &k->workers, link)
	workers += worker->step == KMN_WORKER_READY;
	if (k->house[0] != NULL) {
		const struct kmn_worker *first = k->house[0];

		json_object_update_new(
		    hsm, json_pack("{s:o, s:o}", "manufacturer",
			     kmn_json_label(first->manufacturer, strlen(first->manufacturer)), "library",
			     kmn_json_label(first->description, strlen(first->description))));
	}
	return json_pack("{s:s, s:s, s:I, s:I, s:o, s:I, s:o, s:i, s:i, s:i, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o}",
	    "origin", kmn_log_origin(k->log), "version", k->setup->build.version, "started", (json_int_t)k->started_ms,
	    "size", (json_int_t)head.size, "root", kmn_json_b64(head.root, KMN_HASH_BYTES), "policy_version",
	    (json_int_t)kmn_policy_version(policy), "policy_sha256",
	    kmn_json_b64(kmn_policy_sha256(policy), KMN_HASH_BYTES), "requests_open", open, "instances",
	    (int)kmn_instance_count(k), "workers", workers, "hsm", hsm, "time_stamps", kmn_anchor_status(k), "class_a",
	    kmn_quorum_is_stale(k->quorum, 'A', kmn_keeper_now_ms(), &stale) ? stale.reason : "open", "service",
	    held_back == KMN_OK ? "all calls" : kmn_err_text(held_back), "guards", kmn_guards_status(k->guards),
	    "witness", kmn_witness_status(k), "policy", kmn_policy_status(k), "stances", kmn_stance_status(k));
}

void
kmn_admin_status(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	(void)r;
	kmn_admin_answer(k, conn, kmn_admin_status_json(k));
}

void
kmn_admin_checkpoint(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_head head;
	size_t len;
	char *note;

	(void)r;
	if (kmn_log_checkpoint(k->log, &head, &note, &len) != KMN_OK) {
		kmn_admin_refuse(k, conn, KMN_E_LEDGER, "there is no checkpoint");
		return;
	}
	kmn_admin_answer(k, conn, json_pack("{s:o}", "note", json_stringn(note, len)));
	free(note);
}

/* The note of a version, from the record that brought it. */
json_t *
kmn_admin_policy_note(struct kmn_keeper *k, uint64_t version)
{
	struct kmn_record record = {.owner = NULL};
	json_t *note = NULL;
	uint64_t i;
	char *line;
	size_t len;

	if (!kmn_quorum_policy_record(k->quorum, version, &i) || kmn_log_line(k->log, i, &line, &len) != KMN_OK)
		return NULL;
	if (kmn_record_parse(line, len, &record, NULL) == KMN_OK)
		note = json_incref(json_object_get(record.body, record.kind == KMN_R_GENESIS ? "policy" : "note"));
	kmn_record_clear(&record);
	free(line);
	return note;
}

void
kmn_admin_policy(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	bool any = r->at == r->end;
	uint64_t version = any ? 0 : kmn_reader_u64(r);
	json_t *note = NULL;

	if (kmn_reader_end(r) != KMN_OK)
		kmn_admin_refuse(k, conn, r->err, kmn_err_text(r->err));
	else if (any)
		kmn_admin_answer_when_durable(k, conn, kmn_policy_notes(k));
	else if ((note = kmn_admin_policy_note(k, version)) == NULL)
		kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND, "no such version of the policy");
	else
		kmn_admin_answer_when_durable(k, conn, json_pack("{s:o}", "note", note));
}
