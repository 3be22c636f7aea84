/*
 * The auditor reads most records without a tree of their values. Whatever is
 * changed in one, it must find what the keeper's reading finds.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/scan.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define RULES \
	"rule ocsp\n  client ca\n  object pkcs11:token=root;object=ocsp\n  calls key-use\n  need none\n  class B\n" \
	"rule free\n  client ca\n  object pkcs11:token=root;object=root-ca\n  calls key-use\n  need none\n" \
	"rule other\n  client ca\n  calls session query login random key-management\n  need none\n"
#define ROUNDS 3
#define ROUND 4 /* intent, decision, result, op */
#define RECORDS (1 + ROUNDS * ROUND)
#define WAYS 8

static struct world w;
static json_t *story[RECORDS];
static enum kmn_record_kind kind[RECORDS];

/* Data is not kept: of a call that no rule looks into nobody keeps it. */
static kmn_err
blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	uint8_t root[KMN_HASH_BYTES];

	(void)cookie;
	world_root_spki(root);
	for (size_t i = 0; i < w.blobs; i++) {
		if (memcmp(sha256, root, sizeof(root)) != 0 || memcmp(w.blob[i].sha256, sha256, sizeof(root)) != 0)
			continue;
		if ((*bytes_out = malloc(w.blob[i].len)) == NULL)
			return KMN_E_NO_MEMORY;
		memcpy(*bytes_out, w.blob[i].bytes, w.blob[i].len);
		*len_out = w.blob[i].len;
		return KMN_OK;
	}
	return KMN_E_NOT_FOUND;
}

static json_t *
op(unsigned seq)
{
	uint8_t zero[KMN_HASH_BYTES] = {0};

	return json_pack("{s:i,s:i,s:i,s:{s:s,s:s,s:s},s:s,s:{},s:s,s:{s:i,s:o},s:i,s:s,s:{},s:i,s:o,s:o}", "chan", 1,
	    "sess", 1, "seq", (int)seq, "key", "class", "private-key", "label", "ocsp", "token", "Root token", "op",
	    "C_Sign", "mech", "rule", "ocsp", "policy", "version", 1, "sha256",
	    kmn_json_b64(kmn_policy_sha256(kmn_quorum_policy(w.quorum)), KMN_HASH_BYTES), "rv", 0, "rv_name", "CKR_OK",
	    "hsm", "dur_us", (int)seq, "req_sha256", kmn_json_b64(zero, sizeof(zero)), "resp_sha256",
	    kmn_json_b64(zero, sizeof(zero)));
}

static void
write_story(void)
{
	world_init(&w, RULES);
	for (unsigned n = 0; n < ROUNDS; n++) {
		uint8_t data = (uint8_t)n;
		size_t i = w.count;

		CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, world_intent(&w, "ca", &data, 1)), KMN_OK);
		CU_ASSERT_EQUAL(world_decide(&w, i, "allow"), KMN_OK);
		CU_ASSERT_EQUAL(world_result(&w, i, 0), KMN_OK);
		CU_ASSERT_EQUAL(world_append(&w, KMN_R_OP, op(n)), KMN_OK);
	}
	CU_ASSERT_EQUAL_FATAL(w.count, RECORDS);
	for (size_t i = 0; i < RECORDS; i++) {
		struct kmn_record record;

		CU_ASSERT_EQUAL_FATAL(kmn_record_parse(w.line[i], w.len[i], &record, NULL), KMN_OK);
		story[i] = json_deep_copy(record.body);
		kind[i] = record.kind;
		kmn_record_clear(&record);
	}
}

static void
clear_story(void)
{
	for (size_t i = 0; i < RECORDS; i++)
		json_decref(story[i]);
	world_clear(&w);
}

/* A stranger in the place of a value; NULL: nothing. */
static json_t *
stranger(const json_t *value, unsigned way)
{
	char text[512];

	switch (way) {
	case 1:
		return json_integer(0);
	case 2:
		return json_string("");
	case 3:
		return json_object();
	case 4:
		return json_array();
	case 5:
		return json_string("a\"b\\c\nd");
	case 6:
		return json_pack("[{s:i, s:s}]", "i", 1, "leaf", "x");
	case 7: /* one like it */
		if (json_is_integer(value))
			return json_integer(json_integer_value(value) + 1);
		snprintf(text, sizeof(text), "%s", json_is_string(value) ? json_string_value(value) : "?");
		if (text[0] != '\0')
			text[0] = text[0] == 'B' ? 'C' : 'B';
		return json_string(text);
	default:
		return NULL;
	}
}

/* The n-th value below `object` in turn, members of objects in their order; false: there are not so many. */
static bool
bend(json_t *object, unsigned *n, unsigned way)
{
	const char *name;
	json_t *value, *other;
	void *next;

	json_object_foreach_safe(object, next, name, value)
	{
		if ((*n)-- == 0) {
			other = stranger(value, way);
			CU_ASSERT_EQUAL(
			    other == NULL ? json_object_del(object, name) : json_object_set_new(object, name, other),
			    0);
			return true;
		}
		if (json_is_object(value) && bend(value, n, way))
			return true;
	}
	return false;
}

/* Two readings of one ledger. */
struct pair {
	struct kmn_quorum *tree, *plain;
	struct kmn_ref ref[RECORDS];
};

/* References follow what they point to, changed as it may be. */
static void
follow(const struct pair *pair, size_t i, json_t *body)
{
	if (kind[i] == KMN_R_DECISION)
		json_object_set_new(body, "request", kmn_ref_json(&pair->ref[i - 1]));
	if (kind[i] == KMN_R_RESULT) {
		json_object_set_new(body, "request", kmn_ref_json(&pair->ref[i - 2]));
		json_object_set_new(body, "decision", kmn_ref_json(&pair->ref[i - 1]));
	}
}

static void
apply_both(struct pair *pair, size_t i, json_t *body)
{
	struct kmn_record record = {.i = i, .t = WORLD_START_MS + 10 * i, .m = i, .kind = kind[i]}, bare;
	struct kmn_finding found, found_plain;
	struct kmn_scan scan;
	char *line;
	size_t len;
	kmn_err e;

	record.type = kmn_record_name(kind[i]);
	record.body = body;
	CU_ASSERT_EQUAL_FATAL(kmn_record_emit(&record, &line, &len, NULL), KMN_OK);
	pair->ref[i].i = i;
	memcpy(pair->ref[i].leaf, record.leaf, KMN_HASH_BYTES);
	CU_ASSERT_TRUE_FATAL(kmn_scan_line(line, len, &scan));
	bare = record;
	bare.body = i == 0 ? body : NULL;
	bare.scan = &scan;
	e = kmn_quorum_apply(pair->tree, &record, &found);
	CU_ASSERT_EQUAL(kmn_quorum_apply(pair->plain, &bare, &found_plain), e);
	CU_ASSERT_STRING_EQUAL(found_plain.check, found.check);
	CU_ASSERT_STRING_EQUAL(found_plain.text, found.text);
	if (strcmp(found_plain.text, found.text) != 0)
		fprintf(stderr, "# %s\n", line);
	free(line);
}

/* Tells the story with the n-th value of record `at` bent; false: it has not so many. */
static bool
tell(size_t at, unsigned n, unsigned way, unsigned *plain_out)
{
	struct kmn_quorum_settings settings = {.blob = blob};
	struct kmn_quorum_counts tree, plain;
	struct pair pair;
	bool bent = true;

	CU_ASSERT_EQUAL_FATAL(kmn_quorum_new(&settings, &pair.tree), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_quorum_new(&settings, &pair.plain), KMN_OK);
	*plain_out = 0;
	for (size_t i = 0; i < RECORDS && bent; i++) {
		json_t *body = json_deep_copy(story[i]);

		follow(&pair, i, body);
		if (i == at)
			bent = bend(body, &n, way);
		apply_both(&pair, i, body);
		if (kind[i] == KMN_R_INTENT && kmn_quorum_request(pair.plain, i)->intent == NULL)
			++*plain_out;
		json_decref(body);
	}
	kmn_quorum_counts(pair.tree, &tree);
	kmn_quorum_counts(pair.plain, &plain);
	CU_ASSERT_EQUAL(memcmp(&tree, &plain, sizeof(tree)), 0);
	CU_ASSERT_TRUE(!bent || at < RECORDS || tree.signatures_verified == ROUNDS);
	kmn_quorum_free(pair.tree);
	kmn_quorum_free(pair.plain);
	return bent;
}

/* The first of its form has a tree, those like it have none. */
static void
test_alike(void)
{
	unsigned plain;

	write_story();
	CU_ASSERT_TRUE(tell(RECORDS, 0, 0, &plain));
	CU_ASSERT_EQUAL(plain, ROUNDS - 1);
	clear_story();
}

static void
test_bent(void)
{
	static const bool is_long[WAYS] = {[1] = true, [4] = true, [5] = true, [6] = true};
	unsigned plain, told = 0;

	write_story();
	for (size_t at = RECORDS - ROUND; at < RECORDS; at++)
		for (unsigned way = 0; way < WAYS; way++) {
			if (is_long[way] && getenv("KMN_TEST_LONG") == NULL)
				continue;
			for (unsigned n = 0; tell(at, n, way, &plain); n++)
				told++;
		}
	CU_ASSERT_TRUE(told > 200);
	clear_story();
}

/* In the round before: what is wrong with a first of its form is wrong with the next. */
static void
test_before(void)
{
	unsigned plain;

	write_story();
	for (size_t at = 1; at < 1 + ROUND; at++)
		for (unsigned n = 0; tell(at, n, 7, &plain); n++)
			continue;
	clear_story();
}

static CU_TestInfo tests[] = {
    {"a call like one before is read without a tree", test_alike},
    {"any value of it changed is found as by a tree", test_bent},
    {"any value of the first of its form changed is found as by a tree", test_before},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"quorum/plain", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
