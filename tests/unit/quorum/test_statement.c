#include "config.h"

#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The statement of the world's first request, as docs/statements.md describes it; $x stands for what is hashed. */
static const char published[] = "kanmon/approval/v1\n"
				"origin kanmon.example/gw1/2026\n"
				"request 1\n"
				"request-leaf $leaf\n"
				"head 2 $root\n"
				"policy 1 $policy\n"
				"rule root\n"
				"need keepers 2 of 3\n"
				"need officers 1 of 3\n"
				"independent 0\n"
				"decision approve\n"
				"operation C_Sign\n"
				"mechanism CKM_ECDSA_SHA256\n"
				"params none\n"
				"token Root token 0123ABCD\n"
				"key-class private-key\n"
				"key-label root-ca\n"
				"key-id 0a0b\n"
				"key-spki-sha256 $key\n"
				"input-len 12\n"
				"input-sha256 $in\n"
				"input-kind data\n"
				"requester ca $client\n"
				"purpose Monthly CRL\n"
				"uses 1\n"
				"not-before 2026-10-26T07:33:20Z\n"
				"not-after 2026-10-26T08:33:20Z\n"
				"nonce AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

static void
put(char *at, const uint8_t bytes[KMN_HASH_BYTES])
{
	kmn_b64(bytes, KMN_HASH_BYTES, at);
}

static void
test_every_line(void)
{
	uint8_t hash[KMN_HASH_BYTES];
	struct kmn_head head;
	struct world w;
	char want[4096] = "";
	size_t at = 0;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	CU_ASSERT_EQUAL_FATAL(r = world_request(&w, "ca", "to be signed"), 1);
	for (const char *s = published; *s != 0; s++) {
		if (*s != '$') {
			want[at++] = *s;
			continue;
		}
		kmn_frontier_head(&w.frontier, &head);
		if (strncmp(s, "$leaf", 5) == 0) {
			memcpy(hash, w.ref[1].leaf, sizeof(hash));
		} else if (strncmp(s, "$root", 5) == 0) {
			struct kmn_frontier two;

			kmn_frontier_init(&two);
			kmn_frontier_add(&two, w.ref[0].leaf);
			kmn_frontier_add(&two, w.ref[1].leaf);
			kmn_frontier_head(&two, &head);
			memcpy(hash, head.root, sizeof(hash));
		} else if (strncmp(s, "$policy", 7) == 0) {
			memcpy(hash, kmn_policy_sha256(kmn_quorum_policy(w.quorum)), sizeof(hash));
		} else if (strncmp(s, "$key", 4) == 0) {
			world_root_spki(hash);
		} else if (strncmp(s, "$in", 3) == 0) {
			kmn_sha256("to be signed", 12, hash);
		} else {
			world_spki("ca", hash);
		}
		put(want + at, hash);
		at += strlen(want + at);
		s += strcspn(s, "\n") - 1;
	}
	CU_ASSERT_STRING_EQUAL(kmn_quorum_request(w.quorum, r)->statement, want);
	if (strcmp(kmn_quorum_request(w.quorum, r)->statement, want) != 0)
		printf("# %s\n", kmn_quorum_request(w.quorum, r)->statement);
	world_clear(&w);
}

static char *
statement_of(struct world *w, json_t *intent)
{
	const struct kmn_request *r;
	struct kmn_head head;
	char *text = NULL;
	size_t i = w->count;

	CU_ASSERT_EQUAL(world_append(w, KMN_R_INTENT, intent), KMN_OK);
	r = kmn_quorum_request(w->quorum, i);
	CU_ASSERT_TRUE(r->held);
	world_head(w, &head);
	CU_ASSERT_EQUAL(kmn_quorum_statement_text(w->quorum, r, &head, &text), KMN_OK);
	return text == NULL ? strdup("") : text;
}

static void
assert_has(const char *text, const char *line)
{
	CU_ASSERT_PTR_NOT_NULL(strstr(text, line));
	if (strstr(text, line) == NULL)
		printf("# missing: %s# in: %s\n", line, text);
}

static void
test_content_is_shown(void)
{
	X509 *x = X509_new();
	EVP_PKEY *key = EVP_EC_gen("P-256");
	uint8_t *tbs = NULL;
	struct world w;
	char *text;
	int n;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, (const uint8_t *)"Leaf", -1, -1, 0);
	ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20261123000000Z");
	ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "20271123000000Z");
	X509_set_pubkey(x, key);
	X509_sign(x, key, EVP_sha256());
	n = i2d_re_X509_tbs(x, &tbs);
	world_init(&w, WORLD_RULES);
	text = statement_of(&w, world_intent(&w, "ca", tbs, (size_t)n));
	assert_has(text, "\ninput-kind x509-tbscertificate\ninput version 3\ninput serial 07\n");
	assert_has(text, "\ninput subject CN=Leaf\n");
	free(text);
	/* The data is not kept: then only the digest can be shown, and is. */
	w.blobs = 0;
	free(w.blob[0].bytes);
	{
		json_t *intent = world_intent(&w, "ca", tbs, (size_t)n);

		w.blobs = 0;
		free(w.blob[0].bytes);
		text = statement_of(&w, intent);
	}
	assert_has(text, "\ninput-kind digest\ninput hash sha256\ninput digest ");
	free(text);
	world_clear(&w);
	OPENSSL_free(tbs);
	EVP_PKEY_free(key);
	X509_free(x);
}

#define GENERATE "rule make\n  client ca\n  calls key-management\n  need keepers\n"

static void
test_template_is_shown(void)
{
	struct world w;
	json_t *intent;
	char *text;

	world_init(&w, GENERATE);
	intent = world_intent(&w, "ca", (const uint8_t *)"", 0);
	json_object_del(intent, "norm");
	json_object_del(intent, "in");
	json_object_set_new(intent, "op", json_string("C_GenerateKeyPair"));
	json_object_set_new(intent, "mech",
	    json_pack("{s:s,s:{s:s,s:i},s:s}", "name", "CKM_EC_KEY_PAIR_GEN", "params", "curve", "P 384", "n", 5,
		"params_sha256", "AAAA"));
	json_object_set_new(intent, "template",
	    json_pack("{s:{s:s,s:b},s:{s:b,s:[i,i],s:{s:s}}}", "pPublicKeyTemplate", "CKA_LABEL", "root\\ca ",
		"CKA_TOKEN", 1, "pPrivateKeyTemplate", "CKA_EXTRACTABLE", 0, "CKA_ALLOWED_MECHANISMS", 1, 2, "CKA_ID",
		"b64", "AAE="));
	text = statement_of(&w, intent);
	assert_has(text, "\nparams curve=P\\ 384 n=5\n");
	assert_has(text, "\ninput-len none\ninput-sha256 none\ninput-kind template\n"
			 "input pPrivateKeyTemplate.CKA_ALLOWED_MECHANISMS.0 1\n"
			 "input pPrivateKeyTemplate.CKA_ALLOWED_MECHANISMS.1 2\n"
			 "input pPrivateKeyTemplate.CKA_EXTRACTABLE false\n"
			 "input pPrivateKeyTemplate.CKA_ID.b64 AAE=\n"
			 "input pPublicKeyTemplate.CKA_LABEL root\\\\ca\\u{20}\n"
			 "input pPublicKeyTemplate.CKA_TOKEN true\n"
			 "requester ca ");
	free(text);
	world_clear(&w);
}

static void
test_turn_and_read(void)
{
	struct kmn_statement_said said;
	const char *statement;
	struct world w;
	char *text = NULL, longest[KMN_STATEMENT_REASON_MAX_BYTES + 2];
	size_t len;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	statement = kmn_quorum_request(w.quorum, r)->statement;
	CU_ASSERT_EQUAL(kmn_statement_read(statement, strlen(statement), &said), KMN_OK);
	CU_ASSERT_EQUAL(said.decision, KMN_APPROVE);
	CU_ASSERT_EQUAL(said.request, r);
	CU_ASSERT_STRING_EQUAL(said.reason, "");
	CU_ASSERT_EQUAL(kmn_statement_turn(statement, KMN_APPROVE, NULL, &text), KMN_OK);
	CU_ASSERT_STRING_EQUAL(text, statement);
	free(text);
	CU_ASSERT_EQUAL(kmn_statement_turn(statement, KMN_VETO, "wrong issuer", &text), KMN_OK);
	assert_has(text, "\ndecision veto\n");
	assert_has(text, "\nreason wrong issuer\nnonce ");
	CU_ASSERT_EQUAL(kmn_statement_read(text, strlen(text), &said), KMN_OK);
	CU_ASSERT_EQUAL(said.decision, KMN_VETO);
	CU_ASSERT_STRING_EQUAL(said.reason, "wrong issuer");
	free(text);
	CU_ASSERT_EQUAL(kmn_statement_turn(statement, KMN_REJECT, NULL, &text), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_statement_turn(statement, KMN_REJECT, "", &text), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_statement_turn(statement, KMN_REJECT, "two\nlines", &text), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_statement_turn(statement, KMN_REJECT, "turned \xe2\x80\xae", &text), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_statement_turn("kanmon/approval/v2\n", KMN_REJECT, "x", &text), KMN_E_MALFORMED);
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = 0;
	CU_ASSERT_EQUAL(kmn_statement_turn(statement, KMN_REJECT, longest, &text), KMN_E_MALFORMED);
	longest[sizeof(longest) - 2] = 0;
	CU_ASSERT_EQUAL(kmn_statement_turn(statement, KMN_REJECT, longest, &text), KMN_OK);
	free(text);
	CU_ASSERT_PTR_NOT_NULL(kmn_statement_value(statement, "not-after", &len));
	CU_ASSERT_EQUAL(len, 20);
	CU_ASSERT_PTR_NULL(kmn_statement_value(statement, "not", &len));
	world_clear(&w);
}

/* No value can begin a line of its own: what comes from outside has no LF left. */
static void
test_values_cannot_forge_lines(void)
{
	static const char *const members[] = {"purpose", "label", "token", "serial", "name"};

	for (size_t i = 0; i < KMN_COUNT_OF(members); i++) {
		struct world w;
		json_t *intent, *in;
		char *text, *lines;
		unsigned decisions = 0;

		world_init(&w, "rule use\n client ca\n calls key-use\n need keepers\n");
		intent = world_intent(&w, "ca", (const uint8_t *)"x", 1);
		in = i == 0 ? intent : json_object_get(intent, i == 4 ? "requester" : "key");
		json_object_set_new(in, members[i], json_string(i == 2 ? "Root token" : "a\\ decision veto \\nx"));
		text = statement_of(&w, intent);
		for (lines = text; (lines = strstr(lines, "\ndecision ")) != NULL; lines++)
			decisions++;
		CU_ASSERT_EQUAL(decisions, 1);
		free(text);
		world_clear(&w);
	}
}

static const struct {
	const char *text;
	int64_t ms;
	kmn_err want;
} time_cases[] = {
    {"1970-01-01T00:00:00Z", 0, KMN_OK},
    {"2026-11-23T00:00:00Z", 1795392000000, KMN_OK},
    {"9999-12-31T23:59:59Z", 253402300799000, KMN_OK},
    {"2026-11-23T00:00:00", 0, KMN_E_MALFORMED},
    {"2026-02-29T00:00:00Z", 0, KMN_E_MALFORMED},
    {"2026-11-23 00:00:00Z", 0, KMN_E_MALFORMED},
    {"2026-11-23T24:00:00Z", 0, KMN_E_MALFORMED},
    {"2026-11-23T00:00:60Z", 0, KMN_E_MALFORMED},
    {"+026-11-23T00:00:00Z", 0, KMN_E_MALFORMED},
};

static void
test_times(void)
{
	char text[KMN_TIME_TEXT_BYTES];
	int64_t ms;

	for (size_t i = 0; i < KMN_COUNT_OF(time_cases); i++) {
		CU_ASSERT_EQUAL(
		    kmn_time_parse(time_cases[i].text, strlen(time_cases[i].text), &ms), time_cases[i].want);
		CU_ASSERT_EQUAL(ms, time_cases[i].ms);
		if (time_cases[i].want == KMN_OK) {
			kmn_time_text(ms + 999, text);
			CU_ASSERT_STRING_EQUAL(text, time_cases[i].text);
		}
	}
	kmn_time_text(INT64_MAX, text);
	CU_ASSERT_STRING_EQUAL(text, "9999-12-31T23:59:59Z");
	kmn_time_text(-1, text);
	CU_ASSERT_STRING_EQUAL(text, "none");
}

static void
test_code(void)
{
	char code[KMN_DISPLAY_CODE_BYTES];

	/* SHA-256("") = e3b0c442 98fc1c14 9afbf4c8 996fb924 ...: 11100 01110 11000 01100 01000 ... */
	kmn_statement_code("", 0, code);
	CU_ASSERT_STRING_EQUAL(code, "WERC-8GMR-ZGE1-96QV-YK49-JVXS");
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"every line, in its order", test_every_line},
	    {"content is shown where the data is known, else the digest", test_content_is_shown},
	    {"a template is shown by sorted names", test_template_is_shown},
	    {"approve, reject and veto are one text turned", test_turn_and_read},
	    {"no value can forge a line", test_values_cannot_forge_lines},
	    {"times: to the second, and only those that exist", test_times},
	    {"the display code", test_code},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/statement", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
