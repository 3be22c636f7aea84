/*
 * Versions of the policy in a gateway that runs. The quorum says what is in
 * force (server/quorum/rotation.c); here a signed version becomes a record, and
 * what stood on the one before ends: open requests, peers that are not named
 * any more, and what applications have cached.
 */
#include "config.h"

#include "server/keeper/admin.h"

#include "kanmon/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DAY_MS (INT64_C(24) * 3600 * 1000)

/* ---- what a new version changes ---------------------------------------------------------------------------------- */

/* Is the peer the same kind of peer as before? */
static bool
is_alike(const struct kmn_policy_peer *before, const struct kmn_policy_peer *now)
{
	return now != NULL && before->terminal == now->terminal &&
	       (!now->terminal || strcmp(before->person, now->person) == 0);
}

static struct kmn_conn *
next_to_drop(struct kmn_keeper *k)
{
	struct kmn_conn *conn;

	for (size_t i = 0; i < KMN_KEEPER_BUCKETS; i++)
		LIST_FOREACH(conn, &k->conns[i], link)
	if (!is_alike(conn->peer, kmn_policy_peer_get(kmn_keeper_policy(k), conn->spki_sha256)))
		return conn;
	return NULL;
}

/* Connections of those that the policy names no more; the others are known by its lines from here on. */
static void
renew_peers(struct kmn_keeper *k)
{
	struct kmn_conn *conn;

	while ((conn = next_to_drop(k)) != NULL) {
		kmn_say(KMN_SAY_INFO, "%s at %s: the new policy does not name it so", conn->peer->name, conn->address);
		kmn_gatelink_close(k, conn, "the policy does not name it any more");
	}
	for (size_t i = 0; i < KMN_KEEPER_BUCKETS; i++)
		LIST_FOREACH(conn, &k->conns[i], link)
	conn->peer = kmn_policy_peer_get(kmn_keeper_policy(k), conn->spki_sha256);
}

static struct kmn_instance *
next_to_end(struct kmn_keeper *k)
{
	struct kmn_instance *instance;

	LIST_FOREACH(instance, &k->instances, link)
	{
		const struct kmn_policy_peer *peer = kmn_policy_peer_get(kmn_keeper_policy(k), instance->spki_sha256);

		if (peer == NULL || !kmn_branch_fits(k, instance, peer) || !kmn_slots_fit(instance, peer))
			return instance;
	}
	return NULL;
}

/*
 * Applications whose client is gone, or whose slots are others now, end: the provider attaches anew and sees what the
 * new version gives it. The others go on, and ask again for what they kept.
 */
static void
renew_instances(struct kmn_keeper *k)
{
	struct kmn_instance *instance;

	while ((instance = next_to_end(k)) != NULL)
		kmn_instance_end(k, instance, "the policy has changed its tokens");
	LIST_FOREACH(instance, &k->instances, link)
	{
		kmn_slots_changed(instance);
		kmn_gatelink_notice(instance, KMN_NOTICE_SLOT, UINT64_MAX);
		kmn_gatelink_notice(instance, KMN_NOTICE_STATE, UINT64_MAX);
	}
}

static void
took_effect(struct kmn_keeper *k)
{
	kmn_say(KMN_SAY_INFO, "policy version %" PRIu64 " is in force", kmn_policy_version(kmn_keeper_policy(k)));
	k->policy_warned_ms = 0;
	kmn_hold_tick(k); /* what is open was asked under another version: it ends as withdrawn */
	renew_peers(k);
	renew_instances(k);
	if (k->gate != NULL && kmn_gatelink_send_pins(k) != KMN_OK)
		kmn_keeper_fail(k, "the gate cannot be told who may connect");
}

/* ---- a version comes --------------------------------------------------------------------------------------------- */

/* A call that was judged by the version before the one in force still runs: a record says which of two at most. */
static bool
older_runs(const struct kmn_keeper *k)
{
	const struct kmn_instance *instance;

	LIST_FOREACH(instance, &k->instances, link)
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		const struct kmn_call_state *call = instance->call[i];

		if (call != NULL && call->step == KMN_STEP_RUNNING && call->durability == 'B' &&
		    call->judged_by != kmn_keeper_policy(k))
			return true;
	}
	return false;
}

static json_t *
policy_body(struct kmn_keeper *k, const char *note, size_t len, const char *when, int64_t at)
{
	return json_pack("{s:I, s:s%, s:I}", "version", (json_int_t)kmn_policy_version(kmn_keeper_policy(k)) + 1,
	    "note", note, len, when, (json_int_t)at);
}

/* Takes the body: its record, or nothing of it. */
static kmn_err
append(
    struct kmn_keeper *k, enum kmn_record_kind kind, json_t *body, struct kmn_ref *ref, struct kmn_policy_error *error)
{
	if (body != NULL && kmn_record_fits(body))
		return kmn_keeper_append(k, kind, body, ref);
	json_decref(body);
	snprintf(error->text, sizeof(error->text), "what was signed is too long for a record of the ledger");
	return KMN_E_TOO_BIG;
}

/* Signed by the quorums of both versions: in force with its record. */
static kmn_err
bring(struct kmn_keeper *k, const char *note, size_t len, json_t **answer_out, struct kmn_policy_error *error)
{
	kmn_err e = kmn_quorum_check_policy(k->quorum, note, len, kmn_keeper_now_ms(), error);
	struct kmn_ref ref;

	if (e != KMN_OK)
		return e;
	if (older_runs(k)) {
		snprintf(error->text, sizeof(error->text), "calls from before the last version still run: try again");
		return KMN_E_BUSY;
	}
	if ((e = append(k, KMN_R_POLICY, policy_body(k, note, len, "effective_after", (int64_t)kmn_log_size(k->log)),
		 &ref, error)) != KMN_OK)
		return e;
	*answer_out = json_pack("{s:I, s:I, s:o}", "record", (json_int_t)ref.i, "version",
	    (json_int_t)kmn_policy_version(kmn_keeper_policy(k)), "sha256",
	    kmn_json_b64(kmn_policy_sha256(kmn_keeper_policy(k)), KMN_HASH_BYTES));
	took_effect(k);
	return KMN_OK;
}

/* Signed by role recovery of the one in force: it waits. */
static kmn_err
propose(struct kmn_keeper *k, const char *by, const char *note, size_t len, json_t **answer_out,
    struct kmn_policy_error *error)
{
	struct kmn_waiting_policy waiting;
	struct kmn_ref ref;
	int64_t at;
	kmn_err e = kmn_quorum_check_proposal(k->quorum, note, len, kmn_keeper_now_ms(), &at, error);

	if (e != KMN_OK || (e = append(k, KMN_R_POLICY_PROPOSAL, policy_body(k, note, len, "effective_at", at), &ref,
				error)) != KMN_OK)
		return e;
	if (!kmn_quorum_waiting(k->quorum, kmn_keeper_now_ms(), kmn_keeper_boot_ms(), &waiting))
		return KMN_E_INTERNAL;
	kmn_say(KMN_SAY_WARNING,
	    "policy version %" PRIu64 " was brought by the recovery role (%s): it takes effect in %" PRId64
	    " s unless it is vetoed",
	    waiting.version, by, waiting.left_ms / 1000);
	*answer_out =
	    json_pack("{s:I, s:I, s:o, s:I}", "record", (json_int_t)ref.i, "version", (json_int_t)waiting.version,
		"sha256", kmn_json_b64(waiting.sha256, KMN_HASH_BYTES), "effective_at", (json_int_t)at);
	return KMN_OK;
}

kmn_err
kmn_policy_take(struct kmn_keeper *k, const char *by, bool recovery, const char *note, size_t len, json_t **answer_out,
    struct kmn_policy_error *error)
{
	kmn_err e;

	*answer_out = NULL;
	*error = (struct kmn_policy_error){0, ""};
	kmn_clock_tick(k);
	e = recovery ? propose(k, by, note, len, answer_out, error) : bring(k, note, len, answer_out, error);
	if (e != KMN_OK)
		kmn_say(
		    KMN_SAY_WARNING, "a policy brought by %s is refused: line %u: %s", by, error->line, error->text);
	return e;
}

void
kmn_policy_submit(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_policy_error error;
	bool recovery = kmn_reader_bool(r);
	const uint8_t *note;
	size_t len = kmn_reader_bytes(r, KMN_ADMIN_NOTE_MAX_BYTES, &note);
	struct kmn_admin_wait *wait;
	json_t *answer;
	kmn_err e;

	if ((e = kmn_reader_end(r)) != KMN_OK) {
		kmn_admin_refuse(k, conn, e, kmn_err_text(e));
		return;
	}
	wait = kmn_admin_wait_new(k, conn); /* the new version may know the terminal no more */
	e = kmn_policy_take(k, conn->peer->name, recovery, (const char *)note, len, &answer, &error);
	if (e == KMN_OK) {
		kmn_admin_wait_for_ledger(wait, answer);
		return;
	}
	kmn_admin_refuse(k, wait->conn, e, error.text[0] != '\0' ? error.text : kmn_err_text(e));
	kmn_admin_wait_free(wait);
}

/* The delay of what the recovery role brought is over: its second record puts it in force. */
static void
take_effect_when_due(struct kmn_keeper *k)
{
	struct kmn_waiting_policy waiting;
	json_t *body;

	kmn_clock_sample(k);
	if (!kmn_quorum_waiting(k->quorum, k->clock.now, k->clock.boot, &waiting) || waiting.left_ms > 0 ||
	    older_runs(k))
		return;
	body = policy_body(k, waiting.note, strlen(waiting.note), "effective_after", (int64_t)kmn_log_size(k->log));
	if (body == NULL || json_object_set_new(body, "proposal", kmn_ref_json(&waiting.ref)) != 0)
		KMN_BUG("out of memory");
	if (kmn_keeper_append(k, KMN_R_POLICY, body, NULL) == KMN_OK)
		took_effect(k);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

void
kmn_policy_tick(struct kmn_keeper *k)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	int64_t now = kmn_keeper_now_ms(), left = kmn_policy_expires(policy) - now;

	take_effect_when_due(k);
	if (left > KMN_POLICY_WARN_MS || (k->policy_warned_ms != 0 && now - k->policy_warned_ms < DAY_MS))
		return;
	k->policy_warned_ms = now;
	if (left <= 0)
		kmn_say(KMN_SAY_ERROR,
		    "policy version %" PRIu64
		    " has expired: only queries are answered, and a new version is taken (kanmon policy submit)",
		    kmn_policy_version(policy));
	else
		kmn_say(KMN_SAY_WARNING,
		    "policy version %" PRIu64 " expires in %" PRId64
		    " days: let the next one be signed, and bring it by kanmon policy submit",
		    kmn_policy_version(policy), left / DAY_MS);
}

json_t *
kmn_policy_status(const struct kmn_keeper *k)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	int64_t now = kmn_keeper_now_ms(), expires = kmn_policy_expires(policy);
	struct kmn_waiting_policy waiting;
	char warning[128] = "none";
	json_t *status;

	if (now >= expires)
		(void)snprintf(warning, sizeof(warning), "expired: only queries, until a new version is submitted");
	else if (now < kmn_policy_not_before(policy))
		(void)snprintf(warning, sizeof(warning), "not in force yet: only queries");
	else if (expires - now <= KMN_POLICY_WARN_MS)
		(void)snprintf(warning, sizeof(warning), "expires in %" PRId64 " days", (expires - now) / DAY_MS);
	status = json_pack("{s:I, s:s}", "expires", (json_int_t)expires, "warning", warning);
	if (kmn_quorum_waiting(k->quorum, now, kmn_keeper_boot_ms(), &waiting) &&
	    json_object_set_new(status, "waiting",
		json_pack("{s:I, s:o, s:I, s:I}", "version", (json_int_t)waiting.version, "sha256",
		    kmn_json_b64(waiting.sha256, KMN_HASH_BYTES), "record", (json_int_t)waiting.ref.i, "left_s",
		    (json_int_t)(waiting.left_ms / 1000))) != 0)
		KMN_BUG("out of memory");
	return status;
}

json_t *
kmn_policy_notes(const struct kmn_keeper *k)
{
	json_t *notes = json_pack("{s:s}", "note", k->policy_note);
	struct kmn_waiting_policy waiting;

	if (kmn_quorum_waiting(k->quorum, kmn_keeper_now_ms(), kmn_keeper_boot_ms(), &waiting) &&
	    json_object_set_new(notes, "waiting", json_string(waiting.note)) != 0)
		KMN_BUG("out of memory");
	return notes;
}
