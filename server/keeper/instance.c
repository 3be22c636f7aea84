/* Applications: attach, join, end. Their numbers: numbers.c. */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_REQUEST UINT64_MAX

/* ---- attach and join ------------------------------------------------------------------------------------------- */

static void
set_alone(struct kmn_instance *instance)
{
	if (instance->connections == 0)
		instance->alone_since_ms = kmn_keeper_boot_ms();
}

static void
set_conn(struct kmn_instance *instance, struct kmn_conn *conn)
{
	conn->instance = instance;
	instance->connections++;
	instance->alone_since_ms = 0;
}

unsigned
kmn_instance_count(const struct kmn_keeper *k)
{
	const struct kmn_instance *instance;
	unsigned n = 0;

	LIST_FOREACH(instance, &k->instances, link)
	n++;
	return n;
}

/* Applications of one client. */
static unsigned
count_of(const struct kmn_keeper *k, const uint8_t spki_sha256[KMN_HASH_BYTES])
{
	const struct kmn_instance *instance;
	unsigned n = 0;

	LIST_FOREACH(instance, &k->instances, link)
	n += memcmp(instance->spki_sha256, spki_sha256, KMN_HASH_BYTES) == 0;
	return n;
}

static void
instance_free(struct kmn_instance *instance)
{
	struct kmn_token *token;

	LIST_REMOVE(instance, link);
	kmn_complaint_forget(instance);
	kmn_session_remove_all(instance);
	kmn_slots_clear(instance);
	while ((token = LIST_FIRST(&instance->tokens)) != NULL) {
		LIST_REMOVE(token, link);
		free(token);
	}
	sodium_memzero(instance, sizeof(*instance));
	free(instance);
}

static struct kmn_instance *
instance_new(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_claim *claim, struct kmn_reader *r)
{
	struct kmn_instance *instance = calloc(1, sizeof(*instance));
	static const union {
		uint16_t number;
		uint8_t first;
	} here = {1};
	uint8_t client_random[32];
	uint16_t version = kmn_reader_u16(r);
	uint8_t ulong_bytes = kmn_reader_u8(r), little = kmn_reader_u8(r), packed = kmn_reader_u8(r);

	if (instance == NULL)
		return NULL;
	kmn_reader_text(r, instance->provider, sizeof(instance->provider));
	kmn_reader_text(r, instance->host, sizeof(instance->host));
	kmn_reader_raw(r, client_random, sizeof(client_random));
	instance->first_handle = kmn_reader_u64(r);
	instance->receipts = kmn_reader_u8(r);
	kmn_claim_read_head(claim, r);
	kmn_reader_text(r, claim->line, sizeof(claim->line));
	kmn_reader_text(r, claim->vkey, sizeof(claim->vkey));
	if (kmn_reader_end(r) != KMN_OK || version != KMN_FRAME_VERSION ||
	    instance->first_handle >= KMN_FIRST_HANDLE_MAX || instance->receipts >= KMN_RECEIPTS_COUNT) {
		free(instance);
		return NULL;
	}
	/* Bytes whose layout is the client's ABI are only for a worker of that ABI, and ours is this machine's. */
	instance->same_abi = ulong_bytes == sizeof(CK_ULONG) && little == here.first && packed == 0;
	randombytes_buf(instance->id, sizeof(instance->id));
	randombytes_buf(instance->gateway_random, sizeof(instance->gateway_random));
	kmn_instance_secret(instance->gateway_random, client_random, conn->exporter, instance->secret);
	memcpy(instance->spki_sha256, conn->spki_sha256, sizeof(instance->spki_sha256));
	instance->keeper = k;
	if (instance->first_handle == 0)
		instance->first_handle = 1;
	TAILQ_INIT(&instance->mapping);
	kmn_replay_init(&instance->guard, KMN_WINDOW_NUMBERS);
	LIST_INSERT_HEAD(&k->instances, instance, link);
	return instance;
}

static bool
has_unfinished_call(const struct kmn_instance *instance)
{
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++)
		if (instance->call[i] != NULL && instance->call[i]->step != KMN_STEP_DONE)
			return true;
	return false;
}

/* Of a client's applications without a connection and without a call that waits or runs: the one longest alone. */
static struct kmn_instance *
longest_alone(const struct kmn_keeper *k, const uint8_t spki_sha256[KMN_HASH_BYTES])
{
	struct kmn_instance *instance, *longest = NULL;

	LIST_FOREACH(instance, &k->instances, link)
	if (instance->alone_since_ms != 0 && !has_unfinished_call(instance) &&
	    memcmp(instance->spki_sha256, spki_sha256, KMN_HASH_BYTES) == 0 &&
	    (longest == NULL || instance->alone_since_ms < longest->alone_since_ms))
		longest = instance;
	return longest;
}

/*
 * Programs that exit without C_Finalize (OpenSSL's with the engine do) look like those that lost their link: each
 * keeps its place until its lease is over. A new application of the same client is worth more than the oldest of them.
 */
static bool
make_room(struct kmn_keeper *k, const struct kmn_conn *conn)
{
	const struct kmn_limits *limits = &k->setup->limits;
	struct kmn_instance *instance;

	while (kmn_instance_count(k) >= limits->instances ||
	       count_of(k, conn->spki_sha256) >= limits->instances_per_client) {
		if ((instance = longest_alone(k, conn->spki_sha256)) == NULL)
			return false;
		kmn_instance_end(k, instance, "its place is needed, and it had no connection");
	}
	return true;
}

void
kmn_instance_attach(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_claim claim = {.note = NULL};
	struct kmn_instance *instance;
	const char *reason;

	if (!make_room(k, conn)) {
		kmn_say(KMN_SAY_WARNING, "an application is refused: all places are taken, see limits in kanmond.conf");
		kmn_gatelink_refuse(
		    k, conn, 0, KMN_E_BUSY, NO_REQUEST, "too many applications: see limits in kanmond.conf");
		return;
	}
	if ((instance = instance_new(k, conn, &claim, r)) == NULL) {
		kmn_gatelink_refuse(k, conn, 0, KMN_E_MALFORMED, NO_REQUEST, "this gateway speaks version 2");
		return;
	}
	if (!kmn_claim_holds(k, &claim, &reason)) {
		instance_free(instance);
		kmn_gatelink_reject(k, conn, reason);
		return;
	}
	set_conn(instance, conn);
	instance->attaching = conn;
	instance->cosigns = claim.cosigner.type != 0;
	instance->cosigner = claim.cosigner;
	if (kmn_conn_open_record(k, conn, &claim) != KMN_OK || kmn_claim_take(k, conn, &claim) != KMN_OK)
		return;
	if (kmn_claim_is_outdated(k, conn, &claim)) {
		instance->attaching = NULL; /* it has its answer */
		kmn_instance_end(k, instance, "knows the ledger before this one");
		return;
	}
	if (!kmn_branch_start_all(k, instance) || !kmn_slots_init(k, instance))
		kmn_instance_end(k, instance, "no memory, or no module for its tokens");
}

void
kmn_instance_ready(struct kmn_keeper *k, struct kmn_instance *instance)
{
	struct kmn_conn *conn = instance->attaching;
	struct kmn_writer w;

	instance->attaching = NULL;
	if (conn == NULL) /* it went away meanwhile; the lease ends the instance */
		return;
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_raw(&w, instance->id, sizeof(instance->id));
	kmn_writer_raw(&w, instance->gateway_random, sizeof(instance->gateway_random));
	kmn_writer_u32(&w, k->setup->lease_ms);
	kmn_writer_text(&w, kmn_log_origin(k->log));
	kmn_writer_u64(&w, conn->chan);
	sodium_memzero(instance->gateway_random, sizeof(instance->gateway_random));
	if (kmn_receipts_put_head(k, conn, &w) != KMN_OK) {
		kmn_writer_clear(&w);
		kmn_gatelink_refuse(k, conn, 0, KMN_E_LEDGER, NO_REQUEST, "no head of the ledger can be signed");
		return;
	}
	kmn_gatelink_send(k, conn, KMN_F_ATTACHED, &w);
}

struct kmn_instance *
kmn_instance_get(struct kmn_keeper *k, const uint8_t id[KMN_INSTANCE_ID_BYTES])
{
	struct kmn_instance *instance;

	LIST_FOREACH(instance, &k->instances, link)
	if (memcmp(instance->id, id, KMN_INSTANCE_ID_BYTES) == 0)
		return instance;
	return NULL;
}

void
kmn_instance_join(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	uint8_t id[KMN_INSTANCE_ID_BYTES], proof[KMN_HASH_BYTES], want[KMN_HASH_BYTES];
	uint16_t version = kmn_reader_u16(r);
	struct kmn_claim claim = {.note = NULL};
	struct kmn_instance *instance;
	const char *reason;
	struct kmn_writer w;

	kmn_reader_raw(r, id, sizeof(id));
	kmn_reader_raw(r, proof, sizeof(proof));
	kmn_claim_read_head(&claim, r);
	if (kmn_reader_end(r) != KMN_OK || version != KMN_FRAME_VERSION) {
		kmn_gatelink_refuse(k, conn, 0, KMN_E_MALFORMED, NO_REQUEST, "this gateway speaks version 2");
		return;
	}
	instance = kmn_instance_get(k, id);
	/* Another client's instance does not exist for this one, whatever it can prove. */
	if (instance == NULL || instance->attaching != NULL ||
	    memcmp(instance->spki_sha256, conn->spki_sha256, KMN_HASH_BYTES) != 0) {
		kmn_gatelink_refuse(
		    k, conn, 0, KMN_E_INSTANCE, NO_REQUEST, "no such application: it ended, or its lease did");
		return;
	}
	kmn_join_proof(instance->secret, conn->exporter, want);
	if (sodium_memcmp(proof, want, sizeof(want)) != 0) {
		kmn_gatelink_reject(k, conn, "joins an application without knowing its secret");
		return;
	}
	if (!kmn_claim_holds(k, &claim, &reason)) {
		kmn_gatelink_reject(k, conn, reason);
		return;
	}
	set_conn(instance, conn);
	if (kmn_conn_open_record(k, conn, &claim) != KMN_OK || kmn_claim_take(k, conn, &claim) != KMN_OK)
		return;
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u64(&w, instance->guard.highest);
	kmn_writer_u64(&w, conn->chan);
	if (kmn_receipts_put_head(k, conn, &w) != KMN_OK) {
		kmn_writer_clear(&w);
		kmn_gatelink_refuse(k, conn, 0, KMN_E_LEDGER, NO_REQUEST, "no head of the ledger can be signed");
		return;
	}
	kmn_gatelink_send(k, conn, KMN_F_JOINED, &w);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void
kmn_instance_conn_gone(struct kmn_keeper *k, struct kmn_conn *conn)
{
	struct kmn_instance *instance = conn->instance;

	(void)k;
	if (instance == NULL)
		return;
	if (instance->attaching == conn)
		instance->attaching = NULL;
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++)
		if (instance->call[i] != NULL && instance->call[i]->conn == conn)
			instance->call[i]->conn = NULL;
	conn->instance = NULL;
	instance->connections--;
	set_alone(instance);
}

/* A decision stands and the outcome is lost: the ledger says so, and the approval stays used. */
static void
record_undecided(struct kmn_keeper *k, const struct kmn_instance *instance, const char *reason)
{
	json_t *open = json_array();

	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		const struct kmn_call_state *call = instance->call[i];

		if (call == NULL || !call->decided)
			continue;
		kmn_call_add_undecided(call, open);
	}
	kmn_keeper_record_open(k, reason, open);
}

static void
close_connections(struct kmn_keeper *k, const struct kmn_instance *instance, const char *reason)
{
	for (size_t i = 0; i < KMN_KEEPER_BUCKETS; i++) {
		struct kmn_conn *conn = LIST_FIRST(&k->conns[i]), *next;

		for (; conn != NULL; conn = next) {
			next = LIST_NEXT(conn, link);
			if (conn->instance == instance)
				kmn_gatelink_close(k, conn, reason);
		}
	}
}

void
kmn_instance_end(struct kmn_keeper *k, struct kmn_instance *instance, const char *reason)
{
	if (instance->attaching != NULL)
		kmn_gatelink_refuse(k, instance->attaching, 0, KMN_E_MODULE, NO_REQUEST, reason);
	record_undecided(k, instance, reason);
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		if (instance->call[i] != NULL)
			kmn_hold_withdraw_blind(instance->call[i]);
		kmn_call_free(instance->call[i]);
		instance->call[i] = NULL;
	}
	close_connections(k, instance, reason);
	for (unsigned i = 0; i < instance->branches; i++)
		if (instance->branch[i].worker != NULL)
			kmn_worker_release(k, instance->branch[i].worker);
	instance_free(instance);
}

void
kmn_instance_tick(struct kmn_keeper *k)
{
	struct kmn_instance *instance = LIST_FIRST(&k->instances), *next;
	int64_t now = kmn_keeper_boot_ms();

	for (; instance != NULL; instance = next) {
		next = LIST_NEXT(instance, link);
		if (instance->alone_since_ms != 0 && now - instance->alone_since_ms > (int64_t)k->setup->lease_ms)
			kmn_instance_end(k, instance, "its lease is over");
	}
}
