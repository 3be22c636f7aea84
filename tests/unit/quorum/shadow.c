/*
 * A property of every story that is told in these tests: after each record, a
 * quorum that is made of the records that kmn_quorum_records() names, and of
 * those alone, answers every question as the one that took all of them; and
 * goes on doing so when both take what comes after.
 */
#include "config.h"

#include "tests/unit/quorum/world.h"
#include "kanmon/log.h"
#include "server/quorum/policy.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
put_hash(FILE *out, const uint8_t hash[KMN_HASH_BYTES])
{
	for (size_t n = 0; n < KMN_HASH_BYTES; n++)
		fprintf(out, "%02x", hash[n]);
	fputc(' ', out);
}

static void
put_request(FILE *out, const struct kmn_quorum *q, const struct kmn_request *r)
{
	char *intent = json_dumps(r->intent, JSON_SORT_KEYS);
	const int64_t when[] = {r->t, r->not_after, r->not_after + 1};

	fprintf(out, "%llu %s held %d version %llu until %lld uses %u of %u decision %llu result %llu end %lld rv %llu",
	    (unsigned long long)r->i, kmn_request_state_name(r->state), r->held, (unsigned long long)r->policy_version,
	    (long long)r->not_after, r->used, r->uses, (unsigned long long)r->decision_i,
	    (unsigned long long)r->result_i, (long long)r->ended_t, (unsigned long long)r->rv);
	fprintf(out, " window %d of %llu until %lld", r->window, (unsigned long long)r->window_i, (long long)r->until);
	fprintf(out, " rule %s statement %llu [%s] ", r->verdict.rule, (unsigned long long)r->statement_i,
	    r->statement == NULL ? "" : r->statement);
	put_hash(out, r->leaf);
	put_hash(out, r->client_spki_sha256);
	put_hash(out, r->operation);
	fprintf(out, "%s\n", intent);
	free(intent);
	for (size_t n = 0; n < r->vote_count; n++) {
		const struct kmn_vote *v = &r->votes[n];

		fprintf(out, " %d %s %s %llu %lld '%s' ", v->decision, v->name, v->person, (unsigned long long)v->i,
		    (long long)v->t, v->reason);
		put_hash(out, v->leaf);
	}
	for (size_t n = 0; n < KMN_COUNT_OF(when); n++) {
		const char *ends = kmn_quorum_ends(q, r, when[n]);
		const struct kmn_request *same = kmn_quorum_find(q, r->client_spki_sha256, r->operation, NULL, when[n]);

		fprintf(out, " %d %s %lld", kmn_quorum_is_met(q, r, when[n]), ends == NULL ? "-" : ends,
		    same == NULL ? -1LL : (long long)same->i);
	}
	fputc('\n', out);
}

static void
put_body(FILE *out, const char *what, json_t *body)
{
	char *text = json_dumps(body, JSON_SORT_KEYS);

	fprintf(out, " %s %s\n", what, text == NULL ? "none" : text);
	free(text);
	json_decref(body);
}

/* Everything that can be asked. */
static char *
answers(const struct kmn_quorum *q)
{
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	struct kmn_waiting_policy waiting;
	struct kmn_quorum_counts counts;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	json_t *body = NULL;

	kmn_quorum_counts(q, &counts);
	fprintf(out, "policy %llu open %llu unfinished %llu ",
	    policy == NULL ? 0ULL : (unsigned long long)policy->version, (unsigned long long)counts.open,
	    (unsigned long long)counts.unfinished);
	if (policy != NULL)
		put_hash(out, policy->sha256);
	for (const struct kmn_request *r = NULL; (r = kmn_quorum_next(q, r, true)) != NULL;) {
		put_request(out, q, r);
		if (kmn_quorum_decision_body(q, r, "allow", &body) == KMN_OK)
			put_body(out, "decision", body);
	}
	if (kmn_quorum_open_requests(q, &body) == KMN_OK)
		put_body(out, "open", body);
	if (kmn_quorum_waiting(q, 0, 0, &waiting))
		fprintf(out, "waiting %llu left %lld\n", (unsigned long long)waiting.ref.i, (long long)waiting.left_ms);
	fclose(out);
	return text;
}

static void
compare(const struct kmn_quorum *all, const struct kmn_quorum *shadow, size_t count, const char *what)
{
	char *whole = answers(all), *chosen = answers(shadow);

	if (strcmp(whole, chosen) != 0)
		fprintf(
		    stderr, "# %s, after record %zu:\n# whole:\n%s\n# chosen:\n%s\n", what, count - 1, whole, chosen);
	CU_ASSERT_STRING_EQUAL(whole, chosen);
	free(whole);
	free(chosen);
}

/* Where records are: a world, or a ledger's files. */
typedef kmn_err apply_fn(void *of, struct kmn_quorum *q, size_t i);

/* An empty quorum takes what the whole one, which has taken `size` records, names. */
static struct kmn_quorum *
resume(const struct kmn_quorum *all, size_t size, struct kmn_quorum *empty, apply_fn *apply, void *of)
{
	uint64_t *index;
	size_t count;

	CU_ASSERT_EQUAL_FATAL(kmn_quorum_records(all, &index, &count), KMN_OK);
	kmn_quorum_resume(empty, size);
	for (size_t n = 0; n < count; n++) {
		CU_ASSERT_TRUE_FATAL(index[n] < size && (n == 0 || index[n] > index[n - 1]));
		CU_ASSERT_EQUAL(apply(of, empty, index[n]), KMN_OK);
	}
	free(index);
	return empty;
}

static kmn_err
apply_of_world(void *of, struct kmn_quorum *q, size_t i)
{
	struct kmn_finding finding;
	kmn_err e = world_apply(of, q, i, &finding);

	CU_ASSERT_STRING_EQUAL(finding.text, "");
	return e;
}

void
world_shadow(struct world *w, kmn_err said)
{
	/* Thousands of records: now and then. */
	bool look = w->count <= 64 || w->count % 257 == 0;
	struct kmn_quorum *q;

	w->found = w->found || said != KMN_OK;
	for (size_t n = 0; n < w->shadows && !w->found; n++) {
		CU_ASSERT_EQUAL(apply_of_world(w, w->shadow[n], w->count - 1), KMN_OK);
		if (look)
			compare(w->quorum, w->shadow[n], w->count, "resumed before");
	}
	if (!look || w->found)
		return;
	q = resume(w->quorum, w->count, world_quorum(w), apply_of_world, w);
	compare(w->quorum, q, w->count, "resumed here");
	if (w->shadows < WORLD_SHADOWS_MAX && w->count % 5 == 0)
		w->shadow[w->shadows++] = q;
	else
		kmn_quorum_free(q);
}

static kmn_err
store_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	return kmn_blob_read(cookie, sha256, bytes_out, len_out);
}

static struct kmn_quorum *
store_quorum(struct kmn_store *store)
{
	struct kmn_quorum_settings settings = {.blob = store_blob, .cookie = store};
	struct kmn_quorum *q;

	CU_ASSERT_EQUAL_FATAL(kmn_quorum_new(&settings, &q), KMN_OK);
	return q;
}

static kmn_err
apply_of_store(void *of, struct kmn_quorum *q, size_t i)
{
	struct kmn_finding finding;
	struct kmn_record record;
	char *line;
	size_t len;
	kmn_err e;

	if ((e = kmn_store_line(of, i, &line, &len)) != KMN_OK)
		return e;
	CU_ASSERT_EQUAL_FATAL(kmn_record_parse(line, len, &record, NULL), KMN_OK);
	e = kmn_quorum_apply(q, &record, &finding);
	CU_ASSERT_STRING_EQUAL(finding.text, "");
	kmn_record_clear(&record);
	free(line);
	return e;
}

void
shadow_ledger(struct kmn_store *store)
{
	struct kmn_quorum *all = store_quorum(store), *shadow[WORLD_SHADOWS_MAX], *q;
	size_t shadows = 0, count = 0;

	while (apply_of_store(store, all, count) == KMN_OK) {
		count++;
		for (size_t n = 0; n < shadows; n++)
			CU_ASSERT_EQUAL(apply_of_store(store, shadow[n], count - 1), KMN_OK);
		/* each look costs what the ledger has grown to: at all of a short one, at a sample of a long one */
		if (count > 64 && count % 23 != 0)
			continue;
		q = resume(all, count, store_quorum(store), apply_of_store, store);
		compare(all, q, count, "resumed here");
		if (shadows < WORLD_SHADOWS_MAX && count % (count > 64 ? 23 : 17) == 0)
			shadow[shadows++] = q;
		else
			kmn_quorum_free(q);
	}
	CU_ASSERT_TRUE(count > 1);
	for (size_t n = 0; n < shadows; n++) {
		compare(all, shadow[n], count, "resumed before");
		kmn_quorum_free(shadow[n]);
	}
	kmn_quorum_free(all);
}
