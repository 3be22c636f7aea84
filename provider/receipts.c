#include "config.h"

#include "provider/receipts_parts.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "provider/debug.h"
#include "provider/wake.h"
#include "provider/wire.h"

#define QUEUE_MAX_ANSWERS 256u
#define QUEUE_MAX_BYTES (4u << 20)
#define LINK_TRIES 64u

static const uint8_t wire_modes[] = {[KMN_CLIENT_RECEIPTS_EACH] = KMN_RECEIPTS_EACH,
    [KMN_CLIENT_RECEIPTS_BATCH] = KMN_RECEIPTS_BATCH,
    [KMN_CLIENT_RECEIPTS_OFF] = KMN_RECEIPTS_OFF};

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static kmn_err
parse_keys(struct kmn_book *receipts, const struct kmn_client_settings *settings)
{
	for (size_t i = 0; i < settings->log_key_count; i++) {
		const char *text = settings->log_keys[i];

		if (kmn_vkey_parse(text, strlen(text), &receipts->keys[i]) != KMN_OK ||
		    receipts->keys[i].type != KMN_NOTE_ED25519) {
			kmn_debug(KMN_TOPIC_CONFIG, "%s: log-key is not the vkey of a log: %s", settings->path, text);
			return KMN_E_CONFIG;
		}
		receipts->key_count++;
	}
	if (receipts->key_count > 0)
		return KMN_OK;
	kmn_debug(
	    KMN_TOPIC_CONFIG, "%s: log-key is missing (kanmon client config --log), or receipts = off", settings->path);
	return KMN_E_CONFIG;
}

static kmn_err
load_parts(struct kmn_book *receipts, const struct kmn_client_settings *settings)
{
	kmn_err e;

	if (settings->cosign_key != NULL && settings->stateless) {
		kmn_debug(
		    KMN_TOPIC_CONFIG, "%s: a cosign-key needs a state: only kept heads are cosigned", settings->path);
		return KMN_E_CONFIG;
	}
	if ((e = parse_keys(receipts, settings)) != KMN_OK ||
	    (e = kmn_heads_new(settings, &receipts->heads)) != KMN_OK ||
	    (settings->cosign_key != NULL &&
		(e = kmn_cosigner_load(settings->cosign_key, &receipts->cosigner)) != KMN_OK))
		return e;
	e = kmn_heads_load(receipts->heads, receipts->origin, receipts->keys, receipts->key_count, &receipts->accepted);
	receipts->kept = receipts->accepted;
	return e;
}

kmn_err
kmn_receipts_new(const struct kmn_client_settings *settings, struct kmn_book **receipts_out)
{
	struct kmn_book *receipts = calloc(1, sizeof(*receipts));
	const char *spool = secure_getenv("KANMON_RECEIPT_DIR");
	kmn_err e = KMN_OK;

	*receipts_out = NULL;
	if (receipts == NULL || sodium_init() < 0) {
		free(receipts);
		return KMN_E_NO_MEMORY;
	}
	(void)pthread_mutex_init(&receipts->lock, NULL);
	STAILQ_INIT(&receipts->queue);
	receipts->mode = wire_modes[settings->receipts];
	receipts->origin = settings->origin;
	receipts->spool = spool != NULL && spool[0] != '\0' ? strdup(spool) : NULL;
	if (receipts->mode != KMN_RECEIPTS_OFF)
		e = load_parts(receipts, settings);
	if (e != KMN_OK) {
		kmn_receipts_free(receipts);
		return e;
	}
	*receipts_out = receipts;
	return KMN_OK;
}

static void
pending_free(struct kmn_pending *pending)
{
	kmn_trail_unref(pending->trail);
	sodium_memzero(pending, sizeof(*pending) + pending->len);
	free(pending);
}

void
kmn_receipts_free(struct kmn_book *receipts)
{
	struct kmn_pending *pending;

	if (receipts == NULL)
		return;
	while ((pending = STAILQ_FIRST(&receipts->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&receipts->queue, link);
		pending_free(pending);
	}
	kmn_accounts_clear(receipts);
	kmn_cosigner_free(receipts->cosigner);
	kmn_heads_free(receipts->heads);
	free(receipts->spool);
	(void)pthread_mutex_destroy(&receipts->lock);
	free(receipts);
}

void
kmn_receipts_lock(struct kmn_book *receipts)
{
	(void)pthread_mutex_lock(&receipts->lock);
}

void
kmn_receipts_unlock(struct kmn_book *receipts)
{
	(void)pthread_mutex_unlock(&receipts->lock);
}

void
kmn_receipts_inherit(struct kmn_book *receipts, struct kmn_book *parent)
{
	/* another process may have kept a newer one since: the gateway will have to prove that too */
	if (parent->accepted.head.size > receipts->accepted.head.size)
		receipts->accepted = parent->accepted;
	if (atomic_load(&parent->failed))
		atomic_store(&receipts->failed, true);
}

uint8_t
kmn_receipts_mode(const struct kmn_book *receipts)
{
	return receipts->mode;
}

bool
kmn_receipts_failed(struct kmn_book *receipts)
{
	return atomic_load_explicit(&receipts->failed, memory_order_relaxed);
}

/* ---- heads ------------------------------------------------------------------------------------------------------- */

/* Makes it the accepted one, unless that moved on from `linked` meanwhile. True when nothing is left to prove. */
static bool
advance(struct kmn_book *receipts, const struct kmn_seen *seen, const struct kmn_head *linked)
{
	bool done;

	(void)pthread_mutex_lock(&receipts->lock);
	/* what is a beginning of a head that was accepted is one of all that were accepted since */
	done = seen->head.size <= linked->size || kmn_seen_same(&receipts->accepted.head, linked) ||
	       kmn_seen_same(&receipts->accepted.head, &seen->head);
	if (done && seen->head.size > receipts->accepted.head.size)
		receipts->accepted = *seen;
	(void)pthread_mutex_unlock(&receipts->lock);
	return done;
}

static kmn_err
fork_found(struct kmn_book *receipts, const struct kmn_seen *mine, const struct kmn_seen *theirs,
    const struct kmn_path *proof, const char *why)
{
	struct kmn_finding finding = {
	    .fault = KMN_RECEIPT_FORK, .why = why, .mine = mine, .theirs = theirs, .proof = proof};

	if (proof != NULL) {
		bool grew = mine->head.size < theirs->head.size;

		finding.proof_from = grew ? mine->head.size : theirs->head.size;
		finding.proof_to = grew ? theirs->head.size : mine->head.size;
	}
	return kmn_receipts_fail(receipts, &finding);
}

/* Asks the gateway to prove that one of two heads is a beginning of the other. */
static kmn_err
prove(
    struct kmn_book *receipts, const struct kmn_seen *mine, const struct kmn_seen *theirs, const struct kmn_wire *wire)
{
	bool grew = mine->head.size < theirs->head.size;
	struct kmn_path path;
	kmn_err e;

	if (mine->head.size == theirs->head.size)
		return fork_found(receipts, mine, theirs, NULL, "two roots of one size");
	if (wire == NULL)
		return KMN_E_UNREACHABLE;
	e = kmn_wire_prove(
	    wire, grew ? mine->head.size : theirs->head.size, grew ? theirs->head.size : mine->head.size, &path);
	if (e == KMN_E_NOT_FOUND)
		return fork_found(
		    receipts, mine, theirs, NULL, "the gateway does not prove that they are of one history");
	if (e != KMN_OK)
		return e;
	if (kmn_receipt_link(&mine->head, &theirs->head, &path) != KMN_RECEIPT_NONE)
		return fork_found(receipts, mine, theirs, &path, "the proof that they are of one history is none");
	return KMN_OK;
}

kmn_err
kmn_receipts_accept(
    struct kmn_book *receipts, const struct kmn_seen *seen, const struct kmn_head *linked, const struct kmn_wire *wire)
{
	struct kmn_seen *mine;
	kmn_err e = KMN_OK;

	if (linked != NULL && advance(receipts, seen, linked))
		return KMN_OK;
	if ((mine = malloc(sizeof(*mine))) == NULL)
		return KMN_E_NO_MEMORY;
	/* each turn that fails had another thread accept a newer head: soon this one is older, and needs one proof more */
	for (unsigned i = 0; i < LINK_TRIES; i++) {
		(void)pthread_mutex_lock(&receipts->lock);
		*mine = receipts->accepted;
		(void)pthread_mutex_unlock(&receipts->lock);
		e = KMN_OK;
		if (mine->head.size > 0 && !kmn_seen_same(&mine->head, &seen->head))
			e = prove(receipts, mine, seen, wire);
		if (e != KMN_OK || advance(receipts, seen, &mine->head))
			break;
		e = KMN_E_BUSY;
	}
	free(mine);
	return e;
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

struct kmn_trail *
kmn_trail_new(void)
{
	struct kmn_trail *trail = calloc(1, sizeof(*trail));

	if (trail != NULL)
		atomic_store(&trail->users, 1);
	return trail;
}

void
kmn_trail_unref(struct kmn_trail *trail)
{
	if (trail != NULL && atomic_fetch_sub(&trail->users, 1) == 1)
		free(trail);
}

uint64_t
kmn_trail_channel(const struct kmn_trail *trail)
{
	return trail->channel;
}

void
kmn_receipts_name(struct kmn_book *receipts, struct kmn_trail *trail, struct kmn_seen *named_out)
{
	(void)pthread_mutex_lock(&receipts->lock);
	trail->before = receipts->accepted;
	*named_out = receipts->accepted;
	(void)pthread_mutex_unlock(&receipts->lock);
}

static void
expect_heads(const struct kmn_book *receipts, const struct kmn_trail *trail, const struct kmn_head *accepted,
    struct kmn_receipt_expect *expect)
{
	expect->log = receipts->keys;
	expect->log_count = receipts->key_count;
	expect->origin = receipts->origin;
	expect->before = trail->before.head;
	expect->accepted = *accepted;
}

static void
accepted_head(struct kmn_book *receipts, struct kmn_head *out)
{
	(void)pthread_mutex_lock(&receipts->lock);
	*out = receipts->accepted.head;
	(void)pthread_mutex_unlock(&receipts->lock);
}

/* The head of a receipt with its note, which may be that of the receipt before. */
static void
see(const struct kmn_trail *trail, const struct kmn_receipt *receipt, const struct kmn_head *head, struct kmn_seen *out)
{
	*out = trail->before;
	out->head = *head;
	if (receipt->note != NULL && receipt->note_len <= sizeof(out->note)) {
		memcpy(out->note, receipt->note, receipt->note_len);
		out->note_len = receipt->note_len;
	}
}

/* Evidence of a receipt that does not hold. */
static kmn_err
reject(struct kmn_book *receipts, const struct kmn_trail *trail, const struct kmn_claim *claim,
    const struct kmn_receipt *receipt, const void *bytes, size_t len, enum kmn_receipt_fault fault, const char *why)
{
	struct kmn_finding finding = {
	    .fault = fault, .why = why, .claim = claim, .mine = &trail->before, .receipt = bytes, .receipt_len = len};
	struct kmn_seen *theirs = calloc(1, sizeof(*theirs));
	kmn_err e;

	if (theirs != NULL && receipt != NULL && receipt->note != NULL && receipt->note_len <= sizeof(theirs->note)) {
		memcpy(theirs->note, receipt->note, receipt->note_len);
		theirs->note_len = receipt->note_len;
		theirs->head.size = receipt->size;
		finding.theirs = theirs;
	}
	if (receipt != NULL && receipt->has_consistency) {
		finding.proof = &receipt->consistency;
		finding.proof_from = receipt->from;
		finding.proof_to = receipt->size;
	}
	e = kmn_receipts_fail(receipts, &finding);
	free(theirs);
	return e;
}

kmn_err
kmn_receipts_greet(
    struct kmn_book *receipts, struct kmn_trail *trail, uint64_t channel, const uint8_t *bytes, size_t len)
{
	struct kmn_receipt receipt;
	struct kmn_receipt_found found = {0};
	struct kmn_receipt_expect expect = {0};
	struct kmn_head accepted, before = trail->before.head;
	struct kmn_why why = {{0}};
	enum kmn_receipt_fault fault;
	kmn_err e = KMN_OK;

	trail->channel = channel;
	if (receipts->mode == KMN_RECEIPTS_OFF)
		return KMN_OK;
	if (len == 0)
		return reject(
		    receipts, trail, NULL, NULL, bytes, len, KMN_RECEIPT_MISSING, "the gateway names no head");
	if (kmn_receipt_decode(bytes, len, &receipt) != KMN_OK)
		return reject(receipts, trail, NULL, NULL, bytes, len, KMN_RECEIPT_FORM, "of the head of a connection");
	accepted_head(receipts, &accepted);
	expect_heads(receipts, trail, &accepted, &expect);
	fault = kmn_receipt_check(&expect, &receipt, &found, &why);
	if (fault != KMN_RECEIPT_NONE) {
		e = reject(receipts, trail, NULL, &receipt, bytes, len, fault, why.text);
	} else {
		see(trail, &receipt, &found.head, &trail->before);
		if (found.linked) /* else the first answer on the connection asks for the proof */
			(void)advance(receipts, &trail->before, before.size > 0 ? &before : &accepted);
	}
	kmn_receipt_found_clear(&found);
	return e;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* Judges one receipt; the trail goes on from it. */
static kmn_err
judge_one(struct kmn_book *receipts, struct kmn_trail *trail, const struct kmn_claim *claim, const uint8_t *bytes,
    size_t len, const struct kmn_wire *wire)
{
	struct kmn_receipt_expect expect = {.row = claim->row,
	    .chan = claim->channel,
	    .chan_count = claim->channel_count,
	    .number = claim->number,
	    .rv = claim->rv,
	    .value = claim->value,
	    .value_count = claim->value_count};
	const struct kmn_head *before = &trail->before.head;
	struct kmn_receipt receipt;
	struct kmn_receipt_found found = {0};
	struct kmn_head accepted;
	struct kmn_seen seen;
	uint8_t spki_sha256[KMN_HASH_BYTES];
	struct kmn_why why = {{0}};
	enum kmn_receipt_fault fault;
	kmn_err e;

	if (kmn_receipt_decode(bytes, len, &receipt) != KMN_OK)
		return reject(receipts, trail, claim, NULL, bytes, len, KMN_RECEIPT_FORM, "of an answer");
	accepted_head(receipts, &accepted);
	expect_heads(receipts, trail, &accepted, &expect);
	if (kmn_accounts_spki(receipts, claim->key, spki_sha256))
		expect.key_spki_sha256 = spki_sha256;
	memcpy(expect.req_sha256, claim->req_sha256, sizeof(expect.req_sha256));
	memcpy(expect.resp_sha256, claim->resp_sha256, sizeof(expect.resp_sha256));
	fault = kmn_receipt_check(&expect, &receipt, &found, &why);
	if (fault != KMN_RECEIPT_NONE) {
		e = reject(receipts, trail, claim, &receipt, bytes, len, fault, why.text);
	} else {
		see(trail, &receipt, &found.head, &seen);
		e = kmn_receipts_accept(receipts, &seen,
		    !found.linked      ? NULL
		    : before->size > 0 ? before
				       : &accepted,
		    wire);
	}
	if (e == KMN_OK) { /* not before: a receipt whose proof did not come is judged once more */
		trail->before = seen;
		kmn_accounts_note(receipts, claim, &found, &seen, bytes, len);
		kmn_proof_spool(receipts, claim, &receipt, &found, &seen);
	}
	kmn_receipt_found_clear(&found);
	return e;
}

static kmn_err
judge(struct kmn_book *receipts, struct kmn_trail *trail, const struct kmn_claim *claim, const uint8_t *bytes,
    size_t len, const struct kmn_wire *wire)
{
	kmn_err e = judge_one(receipts, trail, claim, bytes, len, wire);

	if (e == KMN_E_RECEIPT)
		kmn_complaint_note(receipts, claim);
	return e;
}

static kmn_err
refuse_missing(struct kmn_book *receipts, const struct kmn_trail *trail, const struct kmn_claim *claim)
{
	kmn_err e = reject(receipts, trail, claim, NULL, NULL, 0, KMN_RECEIPT_MISSING, "there is none");

	kmn_complaint_note(receipts, claim);
	return e;
}

static kmn_err
enqueue(
    struct kmn_book *receipts, struct kmn_trail *trail, const struct kmn_claim *claim, const uint8_t *bytes, size_t len)
{
	size_t all = len;
	struct kmn_pending *pending;
	uint8_t *at;

	for (size_t i = 0; i < claim->value_count; i++)
		all += claim->value[i].len;
	if ((pending = malloc(sizeof(*pending) + all)) == NULL)
		return KMN_E_NO_MEMORY;
	*pending = (struct kmn_pending){
	    .trail = trail, .claim = *claim, .since_ms = kmn_now_ms(), .receipt_len = len, .len = all};
	atomic_fetch_add(&trail->users, 1);
	memcpy(pending->bytes, bytes, len);
	at = pending->bytes + len;
	for (size_t i = 0; i < claim->value_count; i++) {
		if (claim->value[i].len > 0)
			memcpy(at, claim->value[i].bytes, claim->value[i].len);
		pending->claim.value[i].bytes = at;
		at += claim->value[i].len;
	}
	(void)pthread_mutex_lock(&receipts->lock);
	STAILQ_INSERT_TAIL(&receipts->queue, pending, link);
	receipts->queued_bytes += all;
	(void)pthread_mutex_unlock(&receipts->lock);
	atomic_fetch_add(&receipts->waiting, 1);
	return KMN_OK;
}

/* The next of the queue, for the thread that drains it; NULL: nothing, or it is not time yet. */
static struct kmn_pending *
next_pending(struct kmn_book *receipts, bool now)
{
	struct kmn_pending *first;

	(void)pthread_mutex_lock(&receipts->lock);
	first = STAILQ_FIRST(&receipts->queue);
	if (first != NULL && !now && kmn_now_ms() - first->since_ms < KMN_RECEIPTS_BATCH_MS &&
	    atomic_load(&receipts->waiting) < QUEUE_MAX_ANSWERS && receipts->queued_bytes < QUEUE_MAX_BYTES)
		first = NULL;
	(void)pthread_mutex_unlock(&receipts->lock);
	return first;
}

static void
drop_first(struct kmn_book *receipts)
{
	struct kmn_pending *first;

	(void)pthread_mutex_lock(&receipts->lock);
	first = STAILQ_FIRST(&receipts->queue);
	STAILQ_REMOVE_HEAD(&receipts->queue, link);
	receipts->queued_bytes -= first->len;
	(void)pthread_mutex_unlock(&receipts->lock);
	atomic_fetch_sub(&receipts->waiting, 1);
	pending_free(first);
}

/* Once it is time, all of it; another thread that is at it does this one's work too. */
static kmn_err
drain(struct kmn_book *receipts, const struct kmn_wire *wire, bool now)
{
	struct kmn_pending *first;
	kmn_err e = KMN_OK;
	bool mine;

	if (atomic_load(&receipts->waiting) == 0 || (first = next_pending(receipts, now)) == NULL)
		return KMN_OK;
	(void)pthread_mutex_lock(&receipts->lock);
	mine = !receipts->draining;
	receipts->draining = true;
	(void)pthread_mutex_unlock(&receipts->lock);
	while (mine && e == KMN_OK && (first = next_pending(receipts, true)) != NULL) {
		e = judge(receipts, first->trail, &first->claim, first->bytes, first->receipt_len, wire);
		if (e == KMN_OK || e == KMN_E_RECEIPT)
			drop_first(receipts);
	}
	if (mine) {
		(void)pthread_mutex_lock(&receipts->lock);
		receipts->draining = false;
		(void)pthread_mutex_unlock(&receipts->lock);
	}
	return e;
}

kmn_err
kmn_receipts_take(struct kmn_book *receipts, struct kmn_trail *trail, struct kmn_claim *claim, const uint8_t *bytes,
    size_t len, const struct kmn_wire *wire)
{
	kmn_err e;

	if (receipts->mode == KMN_RECEIPTS_OFF)
		return KMN_OK;
	if (len == 0 && claim->due != KMN_RECEIPT_MUST) {
		kmn_accounts_begun(receipts, claim);
		return KMN_OK;
	}
	if (kmn_receipts_failed(receipts)) /* by another thread's */
		return KMN_E_RECEIPT;
	if (len == 0)
		return refuse_missing(receipts, trail, claim);
	if (claim->due == KMN_RECEIPT_NEVER)
		return reject(
		    receipts, trail, claim, NULL, bytes, len, KMN_RECEIPT_FORM, "an answer that has no record has one");
	claim->key = kmn_accounts_key(receipts, claim);
	if (receipts->mode == KMN_RECEIPTS_BATCH)
		return enqueue(receipts, trail, claim, bytes, len);
	if ((e = judge(receipts, trail, claim, bytes, len, wire)) != KMN_OK ||
	    (e = kmn_receipts_keep(receipts, wire, false)) != KMN_OK)
		return e;
	return kmn_receipts_cosign(receipts, wire, false);
}

kmn_err
kmn_receipts_settle(struct kmn_book *receipts, const struct kmn_wire *wire)
{
	kmn_err e;

	if (receipts->mode != KMN_RECEIPTS_BATCH || atomic_load(&receipts->waiting) == 0 ||
	    kmn_receipts_failed(receipts)) /* what is asked then has nothing to do with the ledger */
		return KMN_OK;
	if ((e = drain(receipts, wire, false)) != KMN_OK || (e = kmn_receipts_keep(receipts, wire, false)) != KMN_OK)
		return e;
	return kmn_receipts_cosign(receipts, wire, false);
}

kmn_err
kmn_receipts_finish(struct kmn_book *receipts, const struct kmn_wire *wire)
{
	kmn_err e;

	if (receipts->mode == KMN_RECEIPTS_OFF || kmn_receipts_failed(receipts))
		return KMN_OK;
	e = drain(receipts, wire, true);
	if (e != KMN_OK && e != KMN_E_RECEIPT) /* no gateway to ask for a proof */
		kmn_debug(KMN_TOPIC_RECEIPT, "%u answers were given whose receipts nobody could judge: %s",
		    atomic_load(&receipts->waiting), kmn_err_text(e));
	if (e != KMN_OK || (e = kmn_receipts_keep(receipts, wire, true)) != KMN_OK)
		return e;
	return wire != NULL ? kmn_receipts_cosign(receipts, wire, true) : KMN_OK;
}
