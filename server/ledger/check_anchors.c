/*
 * V9: time stamps. A token is judged when a later one covers it, at the time
 * of that one: its certificates had to be good then, not today. Between two
 * tokens every record has a lower and an upper bound of its time; and there
 * must be tokens all along, or silence proves nothing.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/check_anchors.h"

#define ORDER_MS 1000 /* tokens count whole seconds; two TSAs may differ by as much */
#define ROOTS_KEPT 4

/* A token whose certificates are not judged yet. */
struct token {
	struct token *next;
	struct kmn_anchor_said said; /* without its views */
	char policy_oid[KMN_STAMP_OID_MAX_BYTES];
	uint64_t i, line;
	char file[KMN_SEGMENT_NAME_BYTES];
	bool by_end; /* a rehash: judged after the last record, when its text is known */
	json_t *body;
};

/* Roots of a chain that records name, as the trust file pins them. */
struct roots {
	uint8_t sha256[KMN_HASH_BYTES];
	struct kmn_stamp_roots *roots; /* NULL: none is pinned */
	bool there;
};

/* The time of records since the last bound, by the second. */
struct sample {
	uint64_t i, t;
};

struct anchors {
	const struct kmn_checking *checking;
	uint8_t pins[KMN_TRUST_TSA_MAX][KMN_HASH_BYTES];
	uint64_t limit_ms, now_ms;
	struct token *tokens;
	struct roots roots[ROOTS_KEPT];
	unsigned next_root;
	uint64_t foreign;
	/* brackets */
	struct sample *sample;
	size_t samples, sample_room;
	uint64_t lower;  /* gen_time of the newest token before the record */
	bool lower_said; /* a record before it was found since */
	uint64_t back_i; /* the last record that said that the clock went back, UINT64_MAX: none */
	uint64_t behind; /* until records are later than this the ledger's time stands still */
	/* silence */
	uint64_t mark; /* since when a time stamp is due */
	bool running;
	uint64_t t, before_t; /* of the last record, and of the last one that is no recovery */
	uint64_t newest_end;  /* when the certificates of the newest token end */
	uint64_t newest_i;
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	const struct kmn_trust *trust = checking->settings->trust;
	struct anchors *a = calloc(1, sizeof(*a));

	if ((*state_out = a) == NULL)
		return KMN_E_NO_MEMORY;
	a->checking = checking;
	for (size_t n = 0; n < trust->tsa_count; n++)
		memcpy(a->pins[n], trust->tsa[n].root_sha256, KMN_HASH_BYTES);
	a->limit_ms = trust->anchor_gap_ms != 0 ? trust->anchor_gap_ms : KMN_ANCHOR_GAP_MS;
	a->now_ms = checking->settings->now_ms;
	a->back_i = UINT64_MAX;
	return KMN_OK;
}

static void
token_free(struct token *token)
{
	json_decref(token->body);
	free(token);
}

static struct kmn_place
place_of(const struct token *token)
{
	return (struct kmn_place){token->file, token->line, token->i};
}

/* ---- chains ------------------------------------------------------------------------------------------------------- */

/* The roots of a recorded chain; NULL in `roots` if none of them is pinned, or (said) it is not there or no chain. */
static kmn_err
find_roots(struct anchors *a, const uint8_t sha256[KMN_HASH_BYTES], const struct kmn_place *place,
    struct kmn_stamp_roots **roots_out)
{
	struct roots *kept = &a->roots[a->next_root];
	struct kmn_why why = {""};
	uint8_t *chain;
	size_t len;
	kmn_err e;

	*roots_out = NULL;
	for (unsigned n = 0; n < ROOTS_KEPT; n++) {
		if (a->roots[n].there && memcmp(a->roots[n].sha256, sha256, KMN_HASH_BYTES) == 0) {
			*roots_out = a->roots[n].roots;
			return KMN_OK;
		}
	}
	if ((e = kmn_blob_read(a->checking->settings->store, sha256, &chain, &len)) == KMN_E_NO_MEMORY)
		return e;
	if (e != KMN_OK) {
		kmn_checker_say(a->checking, KMN_V9, KMN_MISSING, place,
		    "the certificates of this time stamp are not kept: no blob with that hash");
		return KMN_OK;
	}
	kmn_stamp_roots_free(kept->roots);
	*kept = (struct roots){.there = true};
	memcpy(kept->sha256, sha256, KMN_HASH_BYTES);
	e = kmn_stamp_roots_pinned(
	    (const char *)chain, len, a->pins, a->checking->settings->trust->tsa_count, &kept->roots, &why);
	free(chain);
	if (e == KMN_E_MALFORMED)
		kmn_checker_say(a->checking, KMN_V9, KMN_FINDING, place, "%s", why.text);
	a->next_root = (a->next_root + 1) % ROOTS_KEPT;
	*roots_out = kept->roots;
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

/* `at`: when a later token covered it, 0: none did. */
static kmn_err
judge(struct anchors *a, struct token *token, uint64_t at)
{
	struct kmn_place place = place_of(token);
	struct kmn_stamp_roots *roots;
	struct kmn_stamp stamp;
	struct kmn_why why = {""};
	char *text = NULL;
	kmn_err e = KMN_OK;

	if (token->by_end) {
		if ((e = kmn_rehash_check(a->checking, token->body, &place, &text)) == KMN_OK &&
		    !kmn_stamp_imprint(&token->said.want, token->said.want.alg, text, strlen(text)))
			e = KMN_E_INTERNAL;
		free(text);
		if (e != KMN_OK)
			return e == KMN_E_CORRUPT ? KMN_OK : e;
	}
	if ((e = find_roots(a, token->said.chain_sha256, &place, &roots)) != KMN_OK || roots == NULL)
		return e;
	e = kmn_stamp_verify(token->said.token, token->said.token_len, &token->said.want, roots, at, &stamp, &why);
	if (e == KMN_E_NO_MEMORY)
		return e;
	if (e != KMN_OK) {
		kmn_checker_say(
		    a->checking, KMN_V9, KMN_FINDING, &place, "the time stamp is worth nothing: %s", why.text);
		return KMN_OK;
	}
	if (stamp.gen_time != token->said.gen_time || strcmp(stamp.policy, token->policy_oid) != 0)
		kmn_checker_say(
		    a->checking, KMN_V9, KMN_FINDING, &place, "the token says another time or policy than the record");
	a->checking->report->anchors++;
	if (at == 0) {
		if (stamp.not_after >= a->newest_end) {
			a->newest_end = stamp.not_after;
			a->newest_i = token->i;
		}
	}
	kmn_stamp_clear(&stamp);
	return KMN_OK;
}

/* A token of this time covers what stands in records from..to. */
static kmn_err
cover(struct anchors *a, const struct kmn_place *place, uint64_t from, uint64_t to, uint64_t gen_time)
{
	struct token **at = &a->tokens;
	kmn_err e = KMN_OK;

	while (e == KMN_OK && *at != NULL) {
		struct token *token = *at;

		if (token->i < from || token->i > to || token->by_end) {
			at = &token->next;
			continue;
		}
		if (gen_time + ORDER_MS < token->said.gen_time)
			kmn_checker_say(a->checking, KMN_V9, KMN_FINDING, place,
			    "this time stamp is earlier than that of record %" PRIu64 ", which it covers", token->i);
		*at = token->next;
		e = judge(a, token, gen_time);
		token_free(token);
	}
	return e;
}

/* What is the same for all three types. *token_out NULL: said, or by a TSA that nobody pinned. */
static kmn_err
take_token(struct anchors *a, const struct kmn_record *record, const struct kmn_place *place, struct token **token_out)
{
	struct kmn_stamp_roots *roots;
	struct token *token = calloc(1, sizeof(*token));
	kmn_err e;

	*token_out = NULL;
	if (token == NULL)
		return KMN_E_NO_MEMORY;
	if (!kmn_anchor_read(record->body, &token->said)) {
		kmn_checker_say(a->checking, KMN_V9, KMN_FINDING, place, "not the members of a time stamp");
		free(token);
		return KMN_OK;
	}
	if ((e = find_roots(a, token->said.chain_sha256, place, &roots)) != KMN_OK || roots == NULL) {
		a->foreign++;
		free(token);
		return e;
	}
	(void)snprintf(token->policy_oid, sizeof(token->policy_oid), "%s", token->said.policy_oid);
	token->said.tsa = token->said.policy_oid = NULL;
	(void)snprintf(token->file, sizeof(token->file), "%s", place->file == NULL ? "" : place->file);
	token->line = place->line;
	token->i = record->i;
	*token_out = token;
	return KMN_OK;
}

/* ---- brackets ----------------------------------------------------------------------------------------------------- */

static kmn_err
take_time(struct anchors *a, const struct kmn_record *record, const struct kmn_place *place)
{
	struct sample *grown;

	if (record->t > a->behind)
		a->behind = 0;
	if (a->behind == 0 && !a->lower_said && record->t + KMN_ANCHOR_SKEW_MS < a->lower) {
		a->lower_said = true;
		kmn_checker_say(a->checking, KMN_V9, KMN_FINDING, place,
		    "its time is %" PRIu64 " s before the time stamp that it comes after",
		    (a->lower - record->t) / 1000);
	}
	if (a->samples > 0 && record->t - a->sample[a->samples - 1].t < 1000)
		return KMN_OK;
	if (a->samples == a->sample_room) {
		a->sample_room = a->sample_room * 2 + 256;
		if ((grown = realloc(a->sample, a->sample_room * sizeof(*grown))) == NULL)
			return KMN_E_NO_MEMORY;
		a->sample = grown;
	}
	a->sample[a->samples++] = (struct sample){record->i, record->t};
	return KMN_OK;
}

/* Records below `size` existed at this time: none of them may say a later one. */
static void
close_bracket(struct anchors *a, const struct kmn_place *place, uint64_t size, uint64_t gen_time)
{
	size_t n = 0;

	while (n < a->samples && a->sample[n].i < size)
		n++;
	if (n > 0 && a->sample[n - 1].t > gen_time + KMN_ANCHOR_SKEW_MS) {
		bool back = a->back_i != UINT64_MAX && a->back_i >= a->sample[0].i;

		kmn_checker_say(a->checking, KMN_V9, back ? KMN_INFO : KMN_FINDING, place,
		    "record %" PRIu64 ", which this time stamp covers, says a time %" PRIu64 " s after it%s",
		    a->sample[n - 1].i, (a->sample[n - 1].t - gen_time) / 1000,
		    back ? ": the clock was put back since, and a record says so" : "");
	}
	if (n > 0) {
		memmove(a->sample, a->sample + n, (a->samples - n) * sizeof(*a->sample));
		a->samples -= n;
	}
	if (gen_time > a->lower) {
		a->lower = gen_time;
		a->lower_said = false;
	}
}

/* ---- silence ------------------------------------------------------------------------------------------------------ */

static void
check_silence(struct anchors *a, const struct kmn_place *place, uint64_t until)
{
	if (until > a->mark && until - a->mark > a->limit_ms)
		kmn_checker_say(a->checking, KMN_V9, KMN_FINDING, place,
		    "no time stamp for %" PRIu64 " s while the gateway ran, and %" PRIu64 " s is the limit",
		    (until - a->mark) / 1000, a->limit_ms / 1000);
	if (until > a->mark)
		a->mark = until;
}

static void
take_run(struct anchors *a, const struct kmn_record *record, const struct kmn_place *place)
{
	uint64_t limit;

	switch (record->kind) {
	case KMN_R_GENESIS:
		if (a->checking->settings->trust->anchor_gap_ms == 0 &&
		    kmn_json_get_number(json_object_get(record->body, "limits"), "max_anchor_gap_ms", &limit) &&
		    limit > 0)
			a->limit_ms = limit;
		a->mark = record->t;
		break;
	case KMN_R_GATEWAY_START:
		if (a->running) /* it ended uncleanly, and nobody knows when: after its last record */
			check_silence(a, place, a->before_t);
		a->running = true;
		if (record->t > a->mark)
			a->mark = record->t;
		break;
	case KMN_R_GATEWAY_STOP:
		check_silence(a, place, record->t);
		a->running = false;
		break;
	default:
		break;
	}
	a->t = record->t;
	if (record->kind != KMN_R_RECOVERY)
		a->before_t = record->t;
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

static kmn_err
take_anchor(struct anchors *a, const struct kmn_record *record, const struct kmn_place *place)
{
	const char *text;
	struct kmn_note note;
	struct kmn_head head;
	struct token *token;
	uint64_t size;
	kmn_err e;

	if (!kmn_json_get_text(record->body, "note", &text) || !kmn_json_get_number(record->body, "size", &size) ||
	    kmn_note_parse(text, strlen(text), &note, NULL) != KMN_OK ||
	    kmn_checkpoint_parse(&note, a->checking->settings->trust->origin, &head, NULL) != KMN_OK ||
	    head.size != size || size > record->i) {
		kmn_checker_say(a->checking, KMN_V9, KMN_FINDING, place,
		    "size is not that of a checkpoint of records before this one");
		return KMN_OK;
	}
	if ((e = take_token(a, record, place, &token)) != KMN_OK || token == NULL)
		return e;
	if (!kmn_stamp_imprint(&token->said.want, token->said.want.alg, text, strlen(text)))
		KMN_BUG("an algorithm that was known is not");
	e = size == 0 ? KMN_OK : cover(a, place, 0, size - 1, token->said.gen_time);
	close_bracket(a, place, size, token->said.gen_time);
	check_silence(a, place, token->said.gen_time);
	if (size > a->checking->report->anchored_size) {
		a->checking->report->anchored_size = size;
		a->checking->report->anchored_ms = token->said.gen_time;
	}
	token->next = a->tokens;
	a->tokens = token;
	return e;
}

/* One record that a renewal covers, read back from the segments; false and said if it is none. */
static bool
read_item(struct anchors *a, const struct kmn_place *place, const json_t *ref, struct kmn_renewal_item *item,
    struct kmn_anchor_said *said, uint8_t **chain)
{
	struct kmn_store *store = a->checking->settings->store;
	struct kmn_record record = {0};
	uint8_t leaf[KMN_HASH_BYTES];
	char *line = NULL;
	size_t len;
	bool good = false;

	*chain = NULL;
	if (kmn_ref_parse(ref, &item->ref) && item->ref.i < place->index &&
	    kmn_past_leaf(a->checking->past, item->ref.i, leaf) == KMN_OK &&
	    memcmp(leaf, item->ref.leaf, sizeof(leaf)) == 0 &&
	    kmn_store_line(store, item->ref.i, &line, &len) == KMN_OK &&
	    kmn_record_parse(line, len, &record, NULL) == KMN_OK &&
	    (record.kind == KMN_R_ANCHOR || record.kind == KMN_R_RENEWAL || record.kind == KMN_R_REHASH) &&
	    kmn_anchor_read(record.body, said) &&
	    kmn_blob_read(store, said->chain_sha256, chain, &item->chain_len) == KMN_OK) {
		item->type = kmn_record_name(record.kind);
		item->token = said->token;
		item->token_len = said->token_len;
		item->chain = *chain;
		good = true;
	} else {
		kmn_checker_say(a->checking, KMN_V9, KMN_FINDING, place,
		    "it covers record %" PRIu64 ", which is no earlier time stamp with that leaf and its certificates",
		    item->ref.i);
	}
	kmn_record_clear(&record);
	free(line);
	return good;
}

/* The text under a renewal's token; *text_out NULL: said. */
static kmn_err
renewal_text(struct anchors *a, const struct kmn_record *record, const struct kmn_place *place, char **text_out)
{
	const json_t *covers = json_object_get(record->body, "covers");
	size_t count = json_array_size(covers);
	struct kmn_renewal_item *items = calloc(count + 1, sizeof(*items));
	struct kmn_anchor_said *said = calloc(count + 1, sizeof(*said));
	uint8_t **chains = calloc(count + 1, sizeof(*chains));
	bool good = count > 0;
	kmn_err e = KMN_E_NO_MEMORY;
	const char *alg;

	*text_out = NULL;
	if (items != NULL && said != NULL && chains != NULL) {
		e = KMN_OK;
		for (size_t n = 0; n < count && good; n++)
			good = read_item(a, place, json_array_get(covers, n), &items[n], &said[n], &chains[n]);
		if (good && kmn_json_get_text(record->body, "imprint_alg", &alg))
			e = kmn_renewal_text(a->checking->settings->trust->origin, alg, items, count, text_out);
		if (count == 0)
			kmn_checker_say(a->checking, KMN_V9, KMN_FINDING, place, "it covers nothing");
	}
	for (size_t n = 0; chains != NULL && n < count; n++)
		free(chains[n]);
	free(chains);
	free(said);
	free(items);
	return e;
}

static kmn_err
take_renewal(struct anchors *a, const struct kmn_record *record, const struct kmn_place *place)
{
	const json_t *covers;
	struct token *token;
	struct kmn_ref ref;
	char *text;
	kmn_err e;

	if ((e = take_token(a, record, place, &token)) != KMN_OK || token == NULL)
		return e;
	if ((e = renewal_text(a, record, place, &text)) != KMN_OK || text == NULL) {
		token_free(token);
		return e;
	}
	if (!kmn_stamp_imprint(&token->said.want, token->said.want.alg, text, strlen(text)))
		KMN_BUG("an algorithm that was known is not");
	free(text);
	covers = json_object_get(record->body, "covers");
	for (size_t n = 0; e == KMN_OK && n < json_array_size(covers); n++)
		if (kmn_ref_parse(json_array_get(covers, n), &ref))
			e = cover(a, place, ref.i, ref.i, token->said.gen_time);
	token->next = a->tokens;
	a->tokens = token;
	return e;
}

static kmn_err
take_rehash(struct anchors *a, const struct kmn_record *record, const struct kmn_place *place)
{
	struct token *token;
	kmn_err e;

	if ((e = take_token(a, record, place, &token)) != KMN_OK || token == NULL)
		return e;
	token->by_end = true;
	token->body = json_deep_copy(record->body);
	token->next = a->tokens;
	a->tokens = token;
	return token->body == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct anchors *a = state;
	uint64_t after;
	kmn_err e;

	if (a->checking->settings->trust->tsa_count == 0)
		return KMN_OK;
	take_run(a, record, place);
	if ((e = take_time(a, record, place)) != KMN_OK)
		return e;
	switch (record->kind) {
	case KMN_R_CLOCK:
		if (kmn_json_get_number(record->body, "after", &after) && after < record->t) {
			a->back_i = record->i;
			a->behind = record->t;
		}
		return KMN_OK;
	case KMN_R_ANCHOR:
		return take_anchor(a, record, place);
	case KMN_R_RENEWAL:
		return take_renewal(a, record, place);
	case KMN_R_REHASH:
		return take_rehash(a, record, place);
	default:
		return KMN_OK;
	}
}

/* ---- the end ------------------------------------------------------------------------------------------------------ */

static void
say_short(struct anchors *a)
{
	struct kmn_verify_report *report = a->checking->report;
	struct kmn_place nowhere = {NULL, 0, UINT64_MAX}, newest = {NULL, 0, a->newest_i};

	if (a->foreign > 0)
		kmn_checker_say(a->checking, KMN_V9, KMN_INFO, &nowhere,
		    "%" PRIu64 " time stamps by TSAs that the trust file does not pin were passed over", a->foreign);
	if (report->anchors == 0)
		kmn_checker_say(a->checking, KMN_V9, KMN_INFO, &nowhere,
		    "the trust file asks for time stamps, and there is none that counts");
	else if (a->newest_end < a->now_ms)
		kmn_checker_say(a->checking, KMN_V9, KMN_INFO, &newest,
		    "the certificates of the newest time stamp have ended, and no other covers it: it was not renewed");
	report->unanchored = report->anchors == 0 || a->newest_end < a->now_ms;
}

static kmn_err
end(void *state)
{
	struct anchors *a = state;
	struct kmn_place nowhere = {NULL, 0, UINT64_MAX};
	kmn_err e = KMN_OK;

	if (a->checking->settings->trust->tsa_count == 0) {
		a->checking->report->not_asked[KMN_V9] = true;
		return KMN_OK;
	}
	if (a->running)
		check_silence(a, &nowhere, a->t);
	for (struct token *t = a->tokens; t != NULL && e == KMN_OK; t = t->next)
		e = judge(a, t, 0);
	if (e != KMN_OK)
		return e;
	say_short(a);
	a->checking->report->done[KMN_V9] = true;
	return KMN_OK;
}

static void
clear(void *state)
{
	struct anchors *a = state;
	struct token *token;

	while ((token = a->tokens) != NULL) {
		a->tokens = token->next;
		token_free(token);
	}
	for (unsigned n = 0; n < ROOTS_KEPT; n++)
		kmn_stamp_roots_free(a->roots[n].roots);
	free(a->sample);
	free(a);
}

const struct kmn_checker kmn_anchors_checker = {"anchors", KMN_KINDS_ALL,
    KMN_KIND(GENESIS) | KMN_KIND(ANCHOR) | KMN_KIND(RENEWAL) | KMN_KIND(REHASH) | KMN_KIND(CLOCK), begin, take_record,
    end, clear};
