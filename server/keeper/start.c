/* The start: the ledger is opened and read, what the last end left open is said, and with the first records service begins. */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"
#include "server/keeper/guard.h"

#include <string.h>
#include <sys/epoll.h>

#define SUPERVISOR_QUEUE_BYTES (1u << 20)

static kmn_err
replayed(void *cookie, const struct kmn_record *record)
{
	struct kmn_keeper *k = cookie;
	struct kmn_finding finding;
	kmn_err e = kmn_keeper_apply(k, record, &finding);

	k->replayed++;
	if (e == KMN_E_CORRUPT)
		kmn_say(KMN_SAY_ERROR, "the ledger says what must not be: %s: record %llu: %s", finding.check,
		    (unsigned long long)finding.i, finding.text);
	return e;
}

static kmn_err
blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	struct kmn_keeper *k = cookie;

	return kmn_blob_read(k->store, sha256, bytes_out, len_out);
}

static kmn_err
open_ledger(struct kmn_keeper *k, struct kmn_recovery *recovery)
{
	struct kmn_quorum_settings quorum = {.blob = blob, .cookie = k};
	struct kmn_log_settings settings = {.origin = k->setup->origin,
	    .secret = k->setup->log_key,
	    .reserve_bytes = (uint64_t)k->setup->reserve_mib << 20,
	    .publish = kmn_guards_publish,
	    .publish_cookie = k->guards};
	struct kmn_why why = {""};
	kmn_err e;

	kmn_clock_log_sources(k, &settings.sources);
	kmn_clock_sample(k);
	if ((e = kmn_store_files_at(k->setup->ledger, &k->store)) != KMN_OK)
		return e;
	settings.store = k->store;
	settings.resume = kmn_keeper_resume;
	memcpy(settings.snapshot_by, k->setup->build.binary_sha256, sizeof(settings.snapshot_by));
	if ((e = kmn_quorum_new(&quorum, &k->quorum)) != KMN_OK)
		return e;
	e = kmn_log_open(&settings, replayed, k, recovery, &k->log, &why);
	if (e == KMN_E_CORRUPT && k->resumed) {
		kmn_say(KMN_SAY_WARNING, "the ledger is read as a whole: %s", why.text);
		kmn_quorum_free(k->quorum);
		k->resumed = false;
		k->replayed = 0;
		settings.resume = NULL;
		if ((e = kmn_quorum_new(&quorum, &k->quorum)) == KMN_OK)
			e = kmn_log_open(&settings, replayed, k, recovery, &k->log, &why);
	}
	if (e == KMN_OK)
		kmn_say(KMN_SAY_INFO, "ledger: %llu records; %s %llu of them make up the state",
		    (unsigned long long)kmn_log_size(k->log), k->resumed ? "by its snapshot" : "read as a whole,",
		    (unsigned long long)k->replayed);
	else
		kmn_say(KMN_SAY_ERROR, "ledger %s: %s: %s", k->setup->ledger_path, kmn_err_text(e), why.text);
	return e;
}

/* What an unclean end left behind: said in the ledger before anything else happens. */
static kmn_err
record_recovery(struct kmn_keeper *k, const struct kmn_recovery *recovery)
{
	const char *reason = kmn_guards_overruled(k->guards) ? "the quorum accepts this head"
			     : recovery->distrusted ? "the disk did not hold what an end with an error left in memory"
			     : recovery->torn       ? "torn tail after an unclean end"
						    : "unclean end";
	json_t *open, *body, *dropped;
	bool fits;
	kmn_err e;

	if ((e = kmn_quorum_open_requests(k->quorum, &open)) != KMN_OK)
		return e;
	/* A ledger that was just created has only its genesis: nothing ended uncleanly. */
	if ((recovery->clean || recovery->last_commit.size == 1) && !recovery->torn && !recovery->distrusted &&
	    json_array_size(open) == 0 && !kmn_guards_overruled(k->guards)) {
		json_decref(open);
		return KMN_OK;
	}
	kmn_say(KMN_SAY_WARNING, "recovered: %s%zu calls undecided",
	    recovery->torn ? "a torn tail was moved aside, " : "", json_array_size(open));
	fits = json_array_size(open) <= KMN_OPEN_IN_A_RECORD;
	body = json_pack("{s:s, s:o, s:o, s:o}", "reason", reason, "last_commit", kmn_head_json(&recovery->last_commit),
	    "open_requests", fits ? json_incref(open) : json_array(), "guards", kmn_guards_json(k->guards, true));
	if (kmn_guards_overruled(k->guards) &&
	    json_object_set_new(body, "authorised", json_string(k->setup->authorised)) != 0)
		KMN_BUG("out of memory");
	if ((dropped = kmn_recovery_dropped(recovery)) != NULL && json_object_set_new(body, "dropped", dropped) != 0)
		KMN_BUG("out of memory");
	e = kmn_keeper_append(k, KMN_R_RECOVERY, body, NULL);
	if (e == KMN_OK && !fits)
		kmn_keeper_record_open(k, reason, open);
	else
		json_decref(open);
	return k->failed ? KMN_E_LEDGER : e;
}

static kmn_err
record_start(struct kmn_keeper *k)
{
	const struct kmn_build *build = &k->setup->build;

	return kmn_keeper_append(k, KMN_R_GATEWAY_START,
	    json_pack("{s:{s:s, s:o}, s:s, s:o, s:o}", "build", "version", build->version, "binary_sha256",
		kmn_json_b64(build->binary_sha256, KMN_HASH_BYTES), "boot_id", build->boot_id, "config_sha256",
		kmn_json_b64(build->config_sha256, KMN_HASH_BYTES), "guards", kmn_guards_json(k->guards, false)),
	    NULL);
}

static void
count_statements_due(struct kmn_keeper *k)
{
	const struct kmn_request *r = NULL;

	while ((r = kmn_quorum_next(k->quorum, r, false)) != NULL)
		k->statements_due += r->held && r->state == KMN_REQUEST_OPEN && r->statement == NULL;
}

/* The first records, and with them the service: nobody has been heard before. */
static kmn_err
begin(struct kmn_keeper *k)
{
	kmn_err e;

	if (kmn_quorum_is_closed(k->quorum)) {
		kmn_say(KMN_SAY_ERROR, "this ledger was closed: its successor is the one to go on with");
		return KMN_E_LEDGER;
	}
	kmn_log_emergency(k->store, !kmn_space_is_low(k));
	if ((e = record_recovery(k, &k->found)) != KMN_OK || (e = record_start(k)) != KMN_OK ||
	    (e = kmn_log_wait(k->log)) != KMN_OK)
		return e;
	if ((e = kmn_anchor_start(k)) != KMN_OK)
		return e;
	count_statements_due(k);
	if (!kmn_witness_start(k) || kmn_hooks_start(k) != KMN_OK)
		return KMN_E_NO_MEMORY;
	k->started_ms = kmn_keeper_now_ms();
	k->begun = true;
	return kmn_ipc_queue(k->supervisor, KMN_S_SERVING, NULL, 0);
}

void
kmn_keeper_begin(struct kmn_keeper *k)
{
	kmn_err e = kmn_guards_look(k);

	if (e == KMN_E_AGAIN)
		return;
	if (e == KMN_OK)
		e = begin(k);
	if (e != KMN_OK)
		kmn_keeper_fail(k, kmn_err_text(e));
}

kmn_err
kmn_keeper_start(struct kmn_keeper *k)
{
	kmn_err e;

	if ((e = kmn_guards_new(k)) != KMN_OK || (e = open_ledger(k, &k->found)) != KMN_OK)
		return e;
	if ((k->epoll = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return KMN_E_IO;
	if ((e = kmn_ipc_new(k->setup->supervisor, SUPERVISOR_QUEUE_BYTES, &k->supervisor)) != KMN_OK)
		return e;
	kmn_ipc_take_fds(k->supervisor); /* sockets of the gate and the workers */
	if ((e = kmn_keeper_watch(k, kmn_ipc_fd(k->supervisor), k)) != KMN_OK ||
	    (e = kmn_keeper_watch(k, kmn_log_eventfd(k->log), k->log)) != KMN_OK)
		return e;
	for (unsigned m = 0; m < k->setup->module_count; m++)
		if ((k->house[m] = kmn_worker_new(k, KMN_WORKER_HOUSE, m, NULL)) == NULL)
			return KMN_E_NO_MEMORY;
	kmn_keeper_begin(k); /* where they do not, the loop ends before it begins */
	return KMN_OK;
}
