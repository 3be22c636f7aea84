/* V5-V7 as a checker of the verifier: the records, applied by the code that the keeper runs. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/checker.h"
#include "kanmon/log.h"
#include "kanmon/quorum.h"
#include "kanmon/record.h"
#include "server/quorum/kept.h"

#define KEYS_MAX 64        /* read once; with more in turn, the oldest makes room */
#define KEY_MAX_BYTES 4096 /* a blob that may be a key */

struct key {
	uint8_t sha256[KMN_HASH_BYTES], *spki;
	size_t len;
	struct kmn_public_key *pkey; /* NULL: not read, or none */
	unsigned users;              /* signatures on their way; the verifier's thread counts */
};

struct judge {
	const struct kmn_checking *checking;
	struct kmn_quorum *quorum;
	struct kept *kept;
	uint64_t verified, skipped;
	struct key *key[KEYS_MAX];
	size_t next;                   /* whose turn it is to make room */
	const struct kmn_place *place; /* of the record being taken */
};

/* A signature being verified, perhaps by another thread. */
struct work {
	struct kmn_deferred deferred; /* first: the two are one address */
	struct judge *judge;
	struct key *key;
	struct kmn_signature *signature;
	kmn_err e;
	struct kmn_place place;
	char file[64];
};

static void
free_key(struct key *key)
{
	if (key == NULL)
		return;
	kmn_operation_free_key(key->pkey);
	free(key->spki);
	free(key);
}

static struct key *
find_key(const struct judge *judge, const uint8_t sha256[KMN_HASH_BYTES])
{
	for (size_t n = 0; n < KEYS_MAX; n++)
		if (judge->key[n] != NULL && memcmp(judge->key[n]->sha256, sha256, KMN_HASH_BYTES) == 0)
			return judge->key[n];
	return NULL;
}

/* Keeps what was read, if it can be a key: the same few are asked for again and again. */
static void
keep_key(struct judge *judge, const uint8_t sha256[KMN_HASH_BYTES], const uint8_t *bytes, size_t len)
{
	struct key *key = calloc(1, sizeof(*key)), **slot = &judge->key[judge->next];

	if (key == NULL || len > KEY_MAX_BYTES || (*slot != NULL && (*slot)->users > 0) ||
	    (key->spki = malloc(len + 1)) == NULL || kmn_operation_read_key(bytes, len, &key->pkey) != KMN_OK) {
		free_key(key);
		return;
	}
	memcpy(key->sha256, sha256, KMN_HASH_BYTES);
	memcpy(key->spki, bytes, len);
	key->len = len;
	free_key(*slot);
	*slot = key;
	judge->next = (judge->next + 1) % KEYS_MAX;
}

static kmn_err
get_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	struct judge *judge = cookie;
	const struct key *key = find_key(judge, sha256);
	kmn_err e;

	if (key == NULL) {
		if (kept_lacks(judge->kept, judge->place->file, sha256))
			return KMN_E_NOT_FOUND;
		e = kmn_blob_read(judge->checking->settings->store, sha256, bytes_out, len_out);
		if (e == KMN_OK)
			keep_key(judge, sha256, *bytes_out, *len_out);
		return e;
	}
	if ((*bytes_out = malloc(key->len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(*bytes_out, key->spki, key->len);
	*len_out = key->len;
	return KMN_OK;
}

static void
run_work(struct kmn_deferred *deferred)
{
	struct work *work = (struct work *)deferred;
	const struct kmn_signature *sig = work->signature;
	const struct kmn_pss *pss = sig->has_pss ? &sig->pss : NULL;

	if (work->key != NULL)
		work->e = kmn_operation_verify_with(
		    work->key->pkey, &sig->norm, pss, sig->data, sig->data_len, sig->bytes, sig->len);
	else
		work->e = kmn_operation_verify_signature(
		    sig->spki, sig->spki_len, &sig->norm, pss, sig->data, sig->data_len, sig->bytes, sig->len);
}

static void
tell_work(struct kmn_deferred *deferred)
{
	struct work *work = (struct work *)deferred;

	if (work->e == KMN_OK)
		work->judge->verified++;
	else if (work->e == KMN_E_NOT_FOUND)
		work->judge->skipped++;
	else
		kmn_checker_say(work->judge->checking, KMN_V7, KMN_FINDING, &work->place, KMN_SIGNATURE_FINDING,
		    (unsigned long long)work->signature->request);
	if (work->key != NULL)
		work->key->users--;
	kmn_signature_free(work->signature);
	free(work);
}

static void
take_signature(void *cookie, const struct kmn_record *record, struct kmn_signature *signature)
{
	struct judge *judge = cookie;
	struct work *work = calloc(1, sizeof(*work));

	if (work == NULL) {
		kmn_signature_free(signature);
		kmn_checker_say(
		    judge->checking, KMN_V7, KMN_MISSING, judge->place, "%s", kmn_err_text(KMN_E_NO_MEMORY));
		return;
	}
	*work = (struct work){.deferred = {.run = run_work, .tell = tell_work},
	    .judge = judge,
	    .key = find_key(judge, signature->spki_sha256),
	    .signature = signature,
	    .place = {work->file, judge->place->line, record->i}};
	(void)snprintf(work->file, sizeof(work->file), "%s", judge->place->file);
	if (work->key != NULL)
		work->key->users++;
	kmn_checker_defer(judge->checking, &work->deferred);
}

static bool
is_head(void *cookie, const struct kmn_head *head)
{
	struct judge *judge = cookie;

	return kmn_past_is_head(judge->checking->past, head);
}

static void
clear(void *state)
{
	struct judge *judge = state;

	for (size_t n = 0; n < KEYS_MAX; n++)
		free_key(judge->key[n]);
	kmn_quorum_free(judge->quorum);
	kept_free(judge->kept);
	free(judge);
}

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct judge *judge = calloc(1, sizeof(*judge));
	struct kmn_quorum_settings settings = {get_blob, is_head, judge, take_signature};
	kmn_err e;

	*state_out = NULL;
	if (judge == NULL)
		return KMN_E_NO_MEMORY;
	judge->checking = checking;
	if ((e = kmn_quorum_new(&settings, &judge->quorum)) != KMN_OK ||
	    (e = kept_new(checking->settings->store, &judge->kept)) != KMN_OK) {
		clear(judge);
		return e;
	}
	*state_out = judge;
	return KMN_OK;
}

static enum kmn_check
check_of(const char *name)
{
	long n = name[0] == 'V' ? strtol(name + 1, NULL, 10) : 0;

	return n >= 1 && n < KMN_CHECK_COUNT ? (enum kmn_check)n : KMN_V6;
}

static void
check_pin(struct judge *judge, const struct kmn_place *place)
{
	const struct kmn_policy *policy = kmn_quorum_policy(judge->quorum);

	if (policy == NULL ||
	    memcmp(kmn_policy_sha256(policy), judge->checking->settings->trust->policy_sha256, KMN_HASH_BYTES) != 0)
		kmn_checker_say(
		    judge->checking, KMN_V5, KMN_FINDING, place, "policy 1 is not the one that the trust file pins");
}

/*
 * A screen that showed something else than what was to be signed is no mistake of the keeper, which records what it is
 * told: so it is not the quorum's to judge. Records of older ledgers, whose sessions have no number, say nothing of it.
 */
static void
check_shown(const struct judge *judge, const struct kmn_record *record, const struct kmn_place *place)
{
	uint8_t shown[KMN_HASH_BYTES], statement[KMN_HASH_BYTES];
	const struct kmn_request *request;
	struct kmn_ref subject;

	if (record->kind != KMN_R_ACTION || !json_is_integer(json_object_get(record->body, "ui_sess")) ||
	    !kmn_ref_get(record->body, "subject", &subject) ||
	    !kmn_json_get_b64(record->body, "shown_sha256", shown, sizeof(shown)))
		return;
	request = kmn_quorum_request(judge->quorum, subject.i);
	if (request != NULL && request->statement != NULL) {
		kmn_sha256(request->statement, strlen(request->statement), statement);
		if (memcmp(shown, statement, sizeof(shown)) == 0)
			return;
	}
	kmn_checker_say(judge->checking, KMN_V6, KMN_FINDING, place,
	    "the screen showed something else than the statement of request %llu", (unsigned long long)subject.i);
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct judge *judge = state;
	struct kmn_finding finding;
	kmn_err e;

	judge->place = place;
	e = kmn_quorum_apply(judge->quorum, record, &finding);
	if (e == KMN_E_CORRUPT) {
		struct kmn_place at = {
		    finding.i == record->i ? place->file : NULL, finding.i == record->i ? place->line : 0, finding.i};

		kmn_checker_say(judge->checking, check_of(finding.check), KMN_FINDING, &at, "%s", finding.text);
	} else if (e != KMN_OK) {
		kmn_checker_say(judge->checking, KMN_V6, KMN_MISSING, place, "%s", kmn_err_text(e));
	}
	if (record->i == 0)
		check_pin(judge, place);
	check_shown(judge, record, place);
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	struct judge *judge = state;
	struct kmn_verify_report *report = judge->checking->report;
	struct kmn_quorum_counts counts;

	kmn_quorum_counts(judge->quorum, &counts);
	report->requests = counts.requests;
	report->results = counts.results;
	report->statements_verified = counts.statements_verified;
	report->counters_back = counts.counters_back;
	report->counter_back_i = counts.counter_back_i;
	report->signatures_verified = counts.signatures_verified + judge->verified;
	report->signatures_skipped = counts.signatures_skipped + judge->skipped;
	report->done[KMN_V5] = report->done[KMN_V6] = report->done[KMN_V7] = true;
	return KMN_OK;
}

/* What there is most of: kmn_quorum_apply() parses those of them that it has to. */
#define BODIES \
	(~(KMN_KIND(SESSION) | KMN_KIND(CHANNEL_COUNTS) | KMN_KIND(INTENT) | KMN_KIND(DECISION) | KMN_KIND(RESULT) | \
	    KMN_KIND(OP)))

const struct kmn_checker kmn_quorum_checker = {"quorum", KMN_KINDS_ALL, BODIES, begin, take_record, end, clear};
