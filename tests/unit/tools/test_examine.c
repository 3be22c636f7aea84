/* What a custodian's machine makes of the gateway's answer: the honest one passes, each lie is caught. */
#include "config.h"

#include "tools/kanmon/examine.h"

#include "kanmon/keyfile.h"
#include "kanmon/statement.h"
#include "tests/unit/run.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ORIGIN "kanmon.example/gw1/2026"
#define REQUEST 2u      /* index of the intent */
#define RECORDS 5u      /* in the tree that the statement names */
#define T 1790000000000 /* 2026-09-21 */

static char *policy_note;
static struct kmn_head head;
static struct kmn_path path;
static char *line, *statement;
static const char data[] = "what will be signed";

/* A policy of two custodians, signed by both; `previous` is the hash of the version before, or none. */
static kmn_err
make_policy(unsigned version, const char *previous)
{
	static const char *const names[] = {"sato", "suzuki"};
	struct kmn_keyfile *keys[2];
	char text[4096], *note = NULL;
	kmn_err e;
	int n = snprintf(text, sizeof(text),
	    "kanmon/policy/v1\norigin " ORIGIN "\nversion %u\nprevious %s\nnot-before 2026-01-01T00:00:00Z\n"
	    "expires 2036-01-01T00:00:00Z\n\n",
	    version, previous);

	for (size_t i = 0; i < 2; i++) {
		uint8_t random[KMN_KEYFILE_RANDOM_BYTES] = {(uint8_t)(i + 1)};
		char *sealed;

		if ((e = kmn_keyfile_seal(names[i], random, "pass", 4, KMN_KEYFILE_TESTING, &sealed)) != KMN_OK ||
		    (e = kmn_keyfile_open(sealed, strlen(sealed), "pass", 4, &keys[i])) != KMN_OK)
			return e;
		free(sealed);
		n += snprintf(text + n, sizeof(text) - (size_t)n, "custodian %s person:%zu %s\n", names[i], i,
		    kmn_keyfile_vkey(keys[i]));
	}
	snprintf(text + n, sizeof(text) - (size_t)n,
	    "client ca spki:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= tokens root\ntoken root\n"
	    "group keepers 2 sato suzuki\nrole policy 2 sato suzuki\n"
	    "rule sign\n  client ca\n  calls key-use\n  need keepers\n");
	if ((e = kmn_keyfile_sign(keys[0], text, strlen(text), &note)) == KMN_OK)
		e = kmn_keyfile_sign(keys[1], note, strlen(note), &policy_note);
	free(note);
	kmn_keyfile_free(keys[0]);
	kmn_keyfile_free(keys[1]);
	return e;
}

static json_t *
intent_body(void)
{
	uint8_t hash[KMN_HASH_BYTES], zero[KMN_HASH_BYTES] = {0};

	kmn_sha256(data, strlen(data), hash);
	return json_pack(
	    "{s:i, s:i, s:i, s:s, s:{s:s}, s:{s:s, s:s, s:s, s:o}, s:{s:o, s:i}, s:{s:s, s:s, s:o}, s:o, s:o,"
	    " s:{s:s, s:o}, s:I}",
	    "chan", 1, "sess", 0, "seq", 1, "op", "C_Sign", "mech", "name", "CKM_SHA256_RSA_PKCS", "key", "class",
	    "private-key", "label", "root-ca", "token", "root", "spki_sha256", kmn_json_b64(zero, 32), "in", "sha256",
	    kmn_json_b64(hash, 32), "len", (int)strlen(data), "norm", "scheme", "rsa-pkcs1", "hash", "sha256", "digest",
	    kmn_json_b64(hash, 32), "req_sha256", kmn_json_b64(zero, 32), "nonce_req", kmn_json_b64(zero, 32),
	    "requester", "name", "ca", "spki_sha256", kmn_json_b64(zero, 32), "expires", (json_int_t)(T + 3600000));
}

/* The statement of the intent under the policy, over the head. */
static kmn_err
make_statement(const struct kmn_record *record)
{
	const struct kmn_material material = {.data = (const uint8_t *)data, .len = strlen(data)};
	const char *end = strstr(policy_note, "\n\n\xe2\x80\x94");
	struct kmn_policy_error error;
	struct kmn_policy *policy;
	struct kmn_verdict verdict;
	kmn_err e;

	if ((e = kmn_policy_parse(policy_note, (size_t)(end + 1 - policy_note), &policy, &error)) != KMN_OK)
		return e;
	if ((e = kmn_policy_judge_intent(policy, record->body, &material, T, &verdict)) == KMN_OK)
		e = kmn_statement_make(record, policy, &verdict, &head, &material, &statement);
	kmn_policy_free(policy);
	return e;
}

/* The intent's line, a tree with it, and the statement over both. */
static int
set_up(void)
{
	struct kmn_record record = {.i = REQUEST, .t = T, .m = 1, .kind = KMN_R_INTENT, .type = "intent"};
	struct kmn_tree *tree = kmn_tree_new();
	size_t len;

	if (make_policy(1, "none") != KMN_OK)
		return 1;
	record.body = intent_body();
	if (kmn_record_emit(&record, &line, &len, NULL) != KMN_OK)
		return 1;
	for (uint8_t i = 0; i < RECORDS; i++) {
		uint8_t leaf[KMN_HASH_BYTES] = {i};

		if (kmn_tree_add(tree, i == REQUEST ? record.leaf : leaf) != KMN_OK)
			return 1;
	}
	if (kmn_tree_head(tree, RECORDS, &head) != KMN_OK ||
	    kmn_tree_inclusion(tree, REQUEST, RECORDS, &path) != KMN_OK || make_statement(&record) != KMN_OK)
		return 1;
	json_decref((json_t *)(uintptr_t)record.body);
	kmn_tree_free(tree);
	return 0;
}

static int
tear_down(void)
{
	free(policy_note);
	free(line);
	free(statement);
	return 0;
}

static json_t *
honest_answer(void)
{
	json_t *proof = json_array();

	for (size_t i = 0; i < path.count; i++)
		json_array_append_new(proof, kmn_json_b64(path.hash[i], KMN_HASH_BYTES));
	return json_pack("{s:{s:i}, s:{s:i, s:s}, s:s, s:s, s:o, s:o, s:o}", "request", "id", (int)REQUEST, "intent",
	    "i", (int)REQUEST, "line", line, "statement", statement, "policy", policy_note, "head",
	    kmn_head_json(&head), "proof", proof, "blob", kmn_json_b64(data, strlen(data)));
}

static kmn_err
examine(const json_t *answer, const struct kmn_seen *seen, struct kmn_examined *out)
{
	static const struct kmn_seen nothing;

	return kmn_examine(answer, REQUEST, ORIGIN, seen != NULL ? seen : &nothing, KMN_ENGLISH, out);
}

static void
test_honest(void)
{
	json_t *answer = honest_answer();
	struct kmn_examined x;

	CU_ASSERT_EQUAL(examine(answer, NULL, &x), KMN_OK);
	CU_ASSERT_EQUAL(x.verified_count, 4); /* policy, data, inclusion, statement */
	CU_ASSERT_EQUAL(x.head.size, RECORDS);
	kmn_examined_clear(&x);
	json_decref(answer);
}

static void
test_unknown_is_said(void)
{
	json_t *answer = honest_answer();
	struct kmn_examined x;

	json_object_del(answer, "proof");
	CU_ASSERT_EQUAL(examine(answer, NULL, &x), KMN_OK);
	CU_ASSERT_EQUAL(x.verified_count, 3);
	CU_ASSERT_EQUAL(x.open_count, 3); /* first policy, no proof, first head */
	kmn_examined_clear(&x);
	json_decref(answer);
}

/* Replaces `from` by `to` (of the same length) in the text at `name`, or at `name` within `group`. */
static void
lie(json_t *answer, const char *group, const char *name, const char *from, const char *to)
{
	json_t *object = group != NULL ? json_object_get(answer, group) : answer;
	char *text = strdup(json_string_value(json_object_get(object, name)));
	char *at = strstr(text, from);

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	memcpy(at, to, strlen(to));
	json_object_set_new(object, name, json_string(text));
	free(text);
}

static const struct {
	const char *says, *group, *name, *from, *to;
} lies[] = {
    {"another key in the statement", NULL, "statement", "root-ca", "root-cb"},
    {"another decision in the statement", NULL, "statement", "decision approve", "decision APPROVE"},
    {"another request in the statement", NULL, "statement", "request 2", "request 3"},
    {"another key in the record", "intent", "line", "root-ca", "root-cb"},
    {"another time in the record", "intent", "line", "\"t\":179", "\"t\":178"},
    {"another number in the record", "intent", "line", "\"i\":2", "\"i\":3"},
    {"a laxer group in the policy", NULL, "policy", "group keepers 2", "group keepers 1"},
    {"another origin in the policy", NULL, "policy", "gw1", "gw2"},
    {"a removed signature", NULL, "policy", "\n\n\xe2\x80\x94 sato", "\n\n\xe2\x80\x94 Sato"},
    {"other data", NULL, "blob", "d2hh", "d2hi"},
};

static void
test_lies(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(lies); i++) {
		json_t *answer = honest_answer();
		struct kmn_examined x;

		lie(answer, lies[i].group, lies[i].name, lies[i].from, lies[i].to);
		if (examine(answer, NULL, &x) == KMN_OK) {
			fprintf(stderr, "# not caught: %s\n", lies[i].says);
			CU_FAIL("a lie was not caught");
		}
		kmn_examined_clear(&x);
		json_decref(answer);
	}
}

static void
test_missing_data_changes_the_statement(void)
{
	json_t *answer = honest_answer();
	struct kmn_examined x;

	json_object_del(answer, "blob");
	CU_ASSERT_NOT_EQUAL(examine(answer, NULL, &x), KMN_OK); /* it claims content that nobody can check */
	kmn_examined_clear(&x);
	json_decref(answer);
}

static void
test_proof_of_another_tree(void)
{
	json_t *answer = honest_answer();
	struct kmn_examined x;
	uint8_t other[KMN_HASH_BYTES] = {9};

	json_array_set_new(json_object_get(answer, "proof"), 0, kmn_json_b64(other, sizeof(other)));
	CU_ASSERT_EQUAL(examine(answer, NULL, &x), KMN_E_SIGNATURE);
	kmn_examined_clear(&x);
	json_decref(answer);
}

static void
test_step_back(void)
{
	json_t *answer = honest_answer();
	struct kmn_examined x;
	struct kmn_seen seen = {.head = {.size = RECORDS}, .policy_version = 0};

	CU_ASSERT_EQUAL(examine(answer, &seen, &x), KMN_E_SIGNATURE); /* same size, another root */
	kmn_examined_clear(&x);
	seen.head = head;
	CU_ASSERT_EQUAL(examine(answer, &seen, &x), KMN_OK);
	kmn_examined_clear(&x);
	seen.head.size = RECORDS + 1;
	CU_ASSERT_EQUAL(examine(answer, &seen, &x), KMN_E_SIGNATURE); /* the ledger became shorter */
	kmn_examined_clear(&x);
	seen = (struct kmn_seen){.policy_version = 1};
	CU_ASSERT_EQUAL(examine(answer, &seen, &x), KMN_E_SIGNATURE); /* another policy 1 than before */
	kmn_examined_clear(&x);
	seen.policy_version = 2;
	CU_ASSERT_EQUAL(examine(answer, &seen, &x), KMN_E_SIGNATURE); /* an older policy than before */
	kmn_examined_clear(&x);
	json_decref(answer);
}

static bool
says(const struct kmn_remark *list, size_t count, enum kmn_word word)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].word == word)
			return true;
	return false;
}

/* Version 2, with the versions before it, without them, with others; and what was seen before among them. */
static void
test_chain(void)
{
	char *note1 = policy_note, *statement1 = statement, b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	struct kmn_seen seen = {.policy_version = 1};
	struct kmn_record record;
	struct kmn_examined x;
	json_t *answer;

	kmn_sha256(note1, (size_t)(strstr(note1, "\n\n\xe2\x80\x94") + 1 - note1), seen.policy_sha256);
	kmn_b64(seen.policy_sha256, KMN_HASH_BYTES, b64);
	CU_ASSERT_EQUAL_FATAL(make_policy(2, b64), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_record_parse(line, strlen(line), &record, NULL), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(make_statement(&record), KMN_OK);
	answer = honest_answer();

	CU_ASSERT_EQUAL(examine(answer, NULL, &x), KMN_OK);
	CU_ASSERT_TRUE(says(x.open, x.open_count, KMN_W_POLICY_NEW));
	kmn_examined_clear(&x);
	json_object_set_new(answer, "policies", json_pack("[s]", note1));
	CU_ASSERT_EQUAL(examine(answer, NULL, &x), KMN_OK);
	CU_ASSERT_TRUE(says(x.verified, x.verified_count, KMN_W_POLICY_CHAIN));
	CU_ASSERT_TRUE(says(x.open, x.open_count, KMN_W_POLICY_COMPARE));
	kmn_examined_clear(&x);
	CU_ASSERT_EQUAL(examine(answer, &seen, &x), KMN_OK);
	CU_ASSERT_TRUE(says(x.verified, x.verified_count, KMN_W_POLICY_CHAIN));
	CU_ASSERT_FALSE(says(x.open, x.open_count, KMN_W_POLICY_COMPARE));
	kmn_examined_clear(&x);
	seen.policy_sha256[0] ^= 1;
	CU_ASSERT_EQUAL(examine(answer, &seen, &x), KMN_E_SIGNATURE); /* another version 1 than the one seen */
	kmn_examined_clear(&x);
	json_object_set_new(answer, "policies", json_pack("[s]", policy_note));
	CU_ASSERT_EQUAL(examine(answer, NULL, &x), KMN_OK);
	CU_ASSERT_TRUE(says(x.open, x.open_count, KMN_W_POLICY_NEW));
	kmn_examined_clear(&x);
	json_decref(answer);
	kmn_record_clear(&record);
	free(policy_note);
	free(statement);
	policy_note = note1;
	statement = statement1;
}

static void
test_empty_answer(void)
{
	json_t *answer = json_object();
	struct kmn_examined x;

	CU_ASSERT_NOT_EQUAL(examine(answer, NULL, &x), KMN_OK);
	kmn_examined_clear(&x);
	json_decref(answer);
}

static void
test_memory(void)
{
	char dir[] = "/tmp/kanmon-seen.XXXXXX", as[64], file[80];
	struct kmn_seen seen = {.head = head, .policy_version = 7, .policy_sha256 = {1, 2}}, again;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(as, sizeof(as), "%s/sato", dir);
	snprintf(file, sizeof(file), "%s.seen", as);
	CU_ASSERT_EQUAL(kmn_seen_load(as, ORIGIN, &again), KMN_OK);
	CU_ASSERT_EQUAL(again.head.size, 0);
	CU_ASSERT_EQUAL(kmn_seen_store(as, ORIGIN, &seen), KMN_OK);
	CU_ASSERT_EQUAL(kmn_seen_store(as, "another", &again), KMN_OK);
	CU_ASSERT_EQUAL(kmn_seen_load(as, ORIGIN, &again), KMN_OK);
	CU_ASSERT_EQUAL(again.head.size, head.size);
	CU_ASSERT_EQUAL(memcmp(again.head.root, head.root, KMN_HASH_BYTES), 0);
	CU_ASSERT_EQUAL(again.policy_version, 7);
	CU_ASSERT_EQUAL(again.policy_sha256[1], 2);
	CU_ASSERT_EQUAL(truncate(file, 10), 0);
	CU_ASSERT_EQUAL(kmn_seen_load(as, ORIGIN, &again), KMN_E_CORRUPT);
	unlink(file);
	rmdir(dir);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"an honest answer passes, and all that was verified is named", test_honest},
	    {"what could not be verified is said", test_unknown_is_said},
	    {"each lie in statement, record, policy and data is caught", test_lies},
	    {"content without its data is not taken on trust", test_missing_data_changes_the_statement},
	    {"a proof of another tree is caught", test_proof_of_another_tree},
	    {"a ledger or policy that goes back is caught", test_step_back},
	    {"later policies are followed from the first, or it is said that they were not", test_chain},
	    {"an empty answer signs nothing", test_empty_answer},
	    {"what was seen is remembered by origin, and a broken memory is no empty one", test_memory},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {
	    {"tools/examine", set_up, tear_down, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return sodium_init() < 0 ? 1 : kmn_test_main(argc, argv, suites);
}
