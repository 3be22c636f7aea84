/*
 * Time stamps: when a TSA is asked, and what becomes of its answer. What comes
 * back is believed after it was verified here and not before; nothing else
 * waits for it.
 *
 *	idle ──due──▶ asked ──good token──▶ `anchor` record, idle for `every`
 *	  ▲             │ refusal, rubbish, no answer
 *	  └──pause──────┘ 5 s, doubled up to a minute
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/anchor.h"
#include "kanmon/say.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 20000
#define PAUSE_FIRST_MS 5000
#define PAUSE_MOST_MS 60000
#define STOP_ASK_MS 3000 /* how long a gateway that stops waits for its last time stamp */
#define SKEW_MS 10000    /* what an auditor lets pass (KMN_ANCHOR_SKEW_MS) */

struct kmn_stamping {
	const struct kmn_time_stamp *tsa;
	struct kmn_stamp_roots *roots;
	/* the question that is out */
	bool asked;
	struct kmn_stamp_want want;
	char *note;
	uint64_t size, told;
	/* what was answered last */
	bool ever;
	uint64_t stamped_size, gen_time;
	uint64_t stamped_told; /* of k->told, when that question was asked */
	int64_t stamped_ms;    /* boot time */
	/* what failed last */
	unsigned failures;
	int64_t not_before_ms; /* boot time */
	char trouble[200];
};

kmn_err
kmn_anchor_start(struct kmn_keeper *k)
{
	struct kmn_why why = {""};
	kmn_err e = KMN_OK;

	if (k->setup->time_stamp_count == 0)
		return KMN_OK;
	if ((k->stamping = calloc(k->setup->time_stamp_count, sizeof(*k->stamping))) == NULL)
		return KMN_E_NO_MEMORY;
	for (unsigned n = 0; e == KMN_OK && n < k->setup->time_stamp_count; n++) {
		struct kmn_stamping *s = &k->stamping[n];

		s->tsa = &k->setup->time_stamps[n];
		e = kmn_stamp_roots_load(s->tsa->roots, strlen(s->tsa->roots), &s->roots, &why);
		if (e != KMN_OK)
			kmn_say(KMN_SAY_ERROR, "time-stamp %s: %s", s->tsa->name, why.text);
	}
	return e;
}

void
kmn_anchor_clear(struct kmn_keeper *k)
{
	for (unsigned n = 0; k->stamping != NULL && n < k->setup->time_stamp_count; n++) {
		kmn_stamp_roots_free(k->stamping[n].roots);
		free(k->stamping[n].note);
	}
	free(k->stamping);
	k->stamping = NULL;
}

void
kmn_anchor_note_record(struct kmn_keeper *k, enum kmn_record_kind kind)
{
	/* What proofs about the ledger add to it would make it grow for ever. */
	if (kind != KMN_R_ANCHOR && kind != KMN_R_COSIGN && kind != KMN_R_PEER && kind != KMN_R_CHECKPOINT)
		k->told++;
}

/* ---- the answer --------------------------------------------------------------------------------------------------- */

static void failed(struct kmn_stamping *s, const char *format, ...) KMN_PRINTF(2, 3);

static void
failed(struct kmn_stamping *s, const char *format, ...)
{
	int64_t pause = PAUSE_FIRST_MS;
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(s->trouble, sizeof(s->trouble), format, ap);
	va_end(ap);
	for (unsigned n = 0; n < s->failures && pause < PAUSE_MOST_MS; n++)
		pause *= 2;
	s->failures++;
	s->not_before_ms = kmn_keeper_boot_ms() + (pause < PAUSE_MOST_MS ? pause : PAUSE_MOST_MS);
	kmn_say(KMN_SAY_WARNING, "no time stamp of %s: %s", s->tsa->name, s->trouble);
}

/* The chain is kept once; the record that names it comes after it is durable. */
static kmn_err
keep_chain(struct kmn_keeper *k, const struct kmn_stamp *stamp, uint8_t sha256_out[KMN_HASH_BYTES])
{
	kmn_err e = KMN_OK;

	kmn_sha256(stamp->chain, stamp->chain_len, sha256_out);
	if (memcmp(sha256_out, k->chain_kept, KMN_HASH_BYTES) != 0)
		e = kmn_log_blob_put(k->log, stamp->chain, stamp->chain_len, sha256_out);
	if (e == KMN_OK)
		memcpy(k->chain_kept, sha256_out, KMN_HASH_BYTES);
	return e;
}

static kmn_err
record(struct kmn_keeper *k, struct kmn_stamping *s, const uint8_t *token, size_t len, const struct kmn_stamp *stamp)
{
	struct kmn_anchor_made made = {
	    .tsa = s->tsa->name, .want = &s->want, .token = token, .token_len = len, .stamp = stamp};
	int64_t apart = (int64_t)stamp->gen_time - kmn_keeper_now_ms();
	json_t *body;
	kmn_err e;

	if (apart > SKEW_MS || apart < -SKEW_MS - ASK_MS)
		kmn_say(KMN_SAY_WARNING, "%s says a time %lld ms from this machine's: one of the clocks is wrong",
		    s->tsa->name, (long long)apart);
	if ((e = keep_chain(k, stamp, made.chain_sha256)) != KMN_OK) {
		kmn_keeper_ledger_lost(k, "the certificates of a time stamp cannot be kept");
		return e;
	}
	if ((body = kmn_anchor_body(&made, s->size, s->note)) == NULL)
		return KMN_E_NO_MEMORY;
	return kmn_keeper_append(k, KMN_R_ANCHOR, body, NULL);
}

static void
take(struct kmn_keeper *k, struct kmn_stamping *s, const struct kmn_courier_answer *answer)
{
	struct kmn_stamp stamp = {0};
	struct kmn_why why = {""};
	uint8_t *token = NULL;
	size_t len;

	if (answer->err != KMN_OK)
		failed(s, "%s", kmn_err_text(answer->err));
	else if (answer->status != 200)
		failed(s, "HTTP status %u", answer->status);
	else if (kmn_stamp_token(answer->body, answer->len, &token, &len, &why) != KMN_OK ||
		 kmn_stamp_verify(token, len, &s->want, s->roots, (uint64_t)kmn_keeper_now_ms(), &stamp, &why) !=
		     KMN_OK)
		failed(s, "%.180s", why.text);
	else if (record(k, s, token, len, &stamp) == KMN_OK) {
		s->ever = true;
		s->stamped_size = s->size;
		s->stamped_told = s->told;
		s->stamped_ms = kmn_keeper_boot_ms();
		s->gen_time = stamp.gen_time;
		s->failures = 0;
		s->trouble[0] = '\0';
	}
	kmn_stamp_clear(&stamp);
	free(token);
}

static void
answered(struct kmn_keeper *k, void *cookie, const struct kmn_courier_answer *answer)
{
	struct kmn_stamping *s = cookie;

	s->asked = false;
	if (!k->failed && !k->unrecorded)
		take(k, s, answer);
	free(s->note);
	s->note = NULL;
}

/* ---- the question ------------------------------------------------------------------------------------------------- */

static void
ask(struct kmn_keeper *k, struct kmn_stamping *s, uint32_t timeout_ms)
{
	struct kmn_head head;
	uint8_t *der = NULL;
	size_t len, note_len;
	kmn_err e;

	if (k->courier == NULL) /* it comes */
		return;
	s->want = (struct kmn_stamp_want){.policy = s->tsa->policy};
	while (s->want.nonce == 0)
		kmn_keeper_random(&s->want.nonce, sizeof(s->want.nonce));
	if ((e = kmn_log_checkpoint(k->log, &head, &s->note, &note_len)) != KMN_OK ||
	    !kmn_stamp_imprint(&s->want, "sha256", s->note, note_len) ||
	    (e = kmn_stamp_request(&s->want, &der, &len)) != KMN_OK ||
	    (e = kmn_courier_post(k, s->tsa->url, KMN_STAMP_TYPE_REQUEST, der, len, KMN_STAMP_RESPONSE_MAX_BYTES,
		 timeout_ms, answered, s)) != KMN_OK) {
		failed(s, "%s", kmn_err_text(e));
		free(s->note);
		s->note = NULL;
	} else {
		s->asked = true;
		s->size = head.size;
		s->told = k->told;
	}
	free(der);
}

/* The policy's limit leaves time for a second try, also while nothing happens. */
static int64_t
at_most(const struct kmn_keeper *k, uint32_t ms)
{
	uint64_t within = kmn_policy_limit(kmn_keeper_policy(k), KMN_LIMIT_ANCHORS).within_ms;

	return within != 0 && within / 2 < ms ? (int64_t)(within / 2) : (int64_t)ms;
}

static bool
is_due(const struct kmn_keeper *k, const struct kmn_stamping *s, int64_t now)
{
	bool grown = k->told != s->stamped_told;
	bool sealed = kmn_log_size(k->log) / KMN_LOG_SEGMENT_RECORDS > s->stamped_size / KMN_LOG_SEGMENT_RECORDS;

	if (s->asked || now < s->not_before_ms)
		return false;
	return !s->ever || sealed || (grown && now - s->stamped_ms >= at_most(k, k->setup->stamp_ms)) ||
	       now - s->stamped_ms >= at_most(k, k->setup->stamp_idle_ms);
}

void
kmn_anchor_tick(struct kmn_keeper *k)
{
	int64_t now = kmn_keeper_boot_ms();

	for (unsigned n = 0; k->stamping != NULL && n < k->setup->time_stamp_count; n++)
		if (is_due(k, &k->stamping[n], now))
			ask(k, &k->stamping[n], ASK_MS);
}

bool
kmn_anchor_stopping(struct kmn_keeper *k)
{
	int64_t now = kmn_keeper_boot_ms();
	bool waits = false;

	if (k->stamping == NULL || k->failed || k->unrecorded)
		return false;
	if (k->stamp_until_ms == 0) {
		k->stamp_until_ms = now + STOP_ASK_MS;
		for (unsigned n = 0; n < k->setup->time_stamp_count; n++) {
			struct kmn_stamping *s = &k->stamping[n];

			/* who did not answer before is not waited for now */
			if (!s->asked && s->failures == 0 && k->told != s->stamped_told)
				ask(k, s, STOP_ASK_MS);
		}
	}
	for (unsigned n = 0; n < k->setup->time_stamp_count; n++)
		waits = waits || k->stamping[n].asked;
	return waits && now < k->stamp_until_ms;
}

json_t *
kmn_anchor_status(const struct kmn_keeper *k)
{
	json_t *all = json_object();

	for (unsigned n = 0; k->stamping != NULL && n < k->setup->time_stamp_count; n++) {
		const struct kmn_stamping *s = &k->stamping[n];
		char time[KMN_TIME_TEXT_BYTES] = "never";
		json_t *one;

		if (s->ever)
			kmn_time_text((int64_t)s->gen_time, time);
		one = json_pack("{s:s, s:I, s:s}", "last", time, "records", (json_int_t)s->stamped_size, "trouble",
		    s->trouble[0] == '\0' ? "none" : s->trouble);
		(void)json_object_set_new(all, s->tsa->name, one);
	}
	return all;
}
