/* Witnesses of a policy: how fresh their cosignatures must be, and what is refused and found when they are not. */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/witness.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define RULES \
	"rule free\n  client ca\n  object pkcs11:token=root;object=root-ca\n  calls key-use\n  need none\n" \
	"rule other\n  client ca\n  calls session query login random key-management\n  need none\n"
#define MINUTE UINT64_C(60000)

struct cosigner {
	struct kmn_vkey key;
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	char vkey[KMN_VKEY_MAX_BYTES];
};
static struct cosigner cosigner[3];

static int
set_up(void)
{
	if (sodium_init() < 0)
		return 1;
	for (unsigned n = 0; n < KMN_COUNT_OF(cosigner); n++) {
		uint8_t seed[KMN_HASH_BYTES] = {(uint8_t)(n + 1)}, pub[KMN_ED25519_PUBLIC_BYTES];
		char name[32];

		snprintf(name, sizeof(name), "witness.example/%u", n);
		(void)crypto_sign_seed_keypair(pub, cosigner[n].secret, seed);
		if (kmn_vkey_make_cosigner(name, pub, &cosigner[n].key) != KMN_OK)
			return 1;
		kmn_vkey_format(&cosigner[n].key, cosigner[n].vkey);
	}
	return 0;
}

/* A policy with three witnesses and this line of limits. */
static void
begin(struct world *w, const char *limit)
{
	char rules[4096];

	snprintf(rules, sizeof(rules), "witness w0 %s\nwitness w1 %s\nwitness w2 %s\n%s" RULES, cosigner[0].vkey,
	    cosigner[1].vkey, cosigner[2].vkey, limit);
	world_init(w, rules);
}

static bool
is_stale(const struct world *w, char durability)
{
	struct kmn_stale stale;

	return kmn_quorum_is_stale(w->quorum, durability, (int64_t)w->t, &stale);
}

/* A record with the lines of these (bits) over this head. */
static kmn_err
cosign_head(struct world *w, unsigned who, const struct kmn_head *head)
{
	char text[KMN_CHECKPOINT_TEXT_BYTES], *line;
	json_t *lines = json_array();

	CU_ASSERT_EQUAL(kmn_checkpoint_text(kmn_policy_origin(kmn_quorum_policy(w->quorum)), head, text), KMN_OK);
	for (unsigned n = 0; n < KMN_COUNT_OF(cosigner); n++) {
		if ((who >> n & 1) == 0)
			continue;
		CU_ASSERT_EQUAL(
		    kmn_note_cosign_line(text, strlen(text), &cosigner[n].key, cosigner[n].secret, w->t / 1000, &line),
		    KMN_OK);
		CU_ASSERT_EQUAL(json_array_append_new(lines, json_stringn(line, strlen(line) - 1)), 0);
		free(line);
	}
	return world_append(w, KMN_R_COSIGN, kmn_cosign_body(head, lines));
}

static void
cosign(struct world *w, unsigned who)
{
	struct kmn_head head;

	world_head(w, &head);
	CU_ASSERT_EQUAL(cosign_head(w, who, &head), KMN_OK);
}

/* An intent and the decision `allow`, at once. */
static kmn_err
run(struct world *w)
{
	static uint8_t n;
	kmn_err e = world_append(w, KMN_R_INTENT, world_intent(w, "ca", &n, 1));
	uint64_t i = w->count - 1;

	n++;
	return e != KMN_OK ? e : world_decide(w, i, "allow");
}

static void
test_two_of_three(void)
{
	struct world w;

	begin(&w, "witnesses 2 within 5m refuse A\n");
	CU_ASSERT_FALSE(is_stale(&w, 'A')); /* the policy itself is as new */
	w.t += 6 * MINUTE;
	CU_ASSERT_TRUE(is_stale(&w, 'A'));
	cosign(&w, 1);
	CU_ASSERT_TRUE(is_stale(&w, 'A')); /* one is none of two */
	w.t += MINUTE;
	cosign(&w, 4);
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	w.t += 4 * MINUTE + 1000; /* the older of the two is over five minutes old */
	CU_ASSERT_TRUE(is_stale(&w, 'A'));
	CU_ASSERT_FALSE(is_stale(&w, 'B'));
	cosign(&w, 2);
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	w.t += 10 * MINUTE;
	CU_ASSERT_EQUAL(run(&w), KMN_E_CORRUPT);
	CU_ASSERT_STRING_EQUAL(w.finding.check, "V4");
	CU_ASSERT_PTR_NOT_NULL(strstr(w.finding.text, "no head cosigned"));
	world_clear(&w);
}

static void
test_old_head(void)
{
	struct kmn_head old;
	struct world w;

	begin(&w, "witnesses 1 within 5m refuse AB\n");
	CU_ASSERT_EQUAL(run(&w), KMN_OK);
	world_head(&w, &old);
	CU_ASSERT_EQUAL(cosign_head(&w, 1, &old), KMN_OK);
	for (unsigned n = 0; n < 3; n++) {
		w.t += 2 * MINUTE;
		CU_ASSERT_EQUAL(cosign_head(&w, 1, &old), KMN_OK);
	}
	CU_ASSERT_TRUE(is_stale(&w, 'A') && is_stale(&w, 'B'));
	cosign(&w, 1);
	CU_ASSERT_FALSE(is_stale(&w, 'A') || is_stale(&w, 'B'));
	world_clear(&w);
}

static void
test_lines(void)
{
	struct kmn_head head;
	struct world w;
	json_t *body, *owner;

	begin(&w, "witnesses 1 within 5m refuse A\n");
	world_head(&w, &head);
	head.root[0] ^= 1; /* a line over a head that is none of this ledger */
	w.t += 6 * MINUTE;
	(void)cosign_head(&w, 1, &head);
	head.size = w.count + 1;
	CU_ASSERT_EQUAL(cosign_head(&w, 1, &head), KMN_E_CORRUPT);
	CU_ASSERT_STRING_EQUAL(w.finding.check, "V4");
	/* a line of a known witness that is over another head counts for nobody, and hinders nobody */
	world_head(&w, &head);
	cosign(&w, 2);
	w.t += 6 * MINUTE;
	body = json_deep_copy(world_body(&w, w.count - 1, &owner));
	json_decref(owner);
	(void)json_object_set_new(body, "size", json_integer((json_int_t)head.size - 1));
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_COSIGN, body), KMN_OK);
	CU_ASSERT_TRUE(is_stale(&w, 'A'));
	CU_ASSERT_EQUAL(
	    world_append(&w, KMN_R_COSIGN, kmn_cosign_body(&head, json_pack("[s]", "no line"))), KMN_E_CORRUPT);
	world_clear(&w);
}

static void
test_policy_change(void)
{
	struct world w;

	begin(&w, "witnesses 2 within 5m refuse A\n");
	cosign(&w, 7);
	CU_ASSERT_EQUAL(w.finding.text[0], '\0');
	w.t += 4 * MINUTE;
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	cosign(&w, 3);
	w.t += 4 * MINUTE;
	CU_ASSERT_FALSE(is_stale(&w, 'A'));
	world_clear(&w);
}

static const struct {
	const char *says, *limit;
} bad_limits[] = {
    {"more than are named", "witnesses 4 within 5m refuse A\n"},
    {"none of them", "witnesses 0 within 5m refuse A\n"},
    {"no class", "witnesses 2 within 5m refuse C\n"},
    {"no time", "witnesses 2 within 0s refuse A\n"},
    {"no number", "witnesses two within 5m refuse A\n"},
    {"twice", "witnesses 2 within 5m refuse A\nwitnesses 1 within 5m refuse A\n"},
    {"a log's key", "witness w3 kanmon.example/gw1/2026+c6899459+Adotl8f8wfRKzxrWuO55NaCNpmd8xKugfDZUWsE0rpQ7\n"},
    {"a name twice", "witness w0 $3\n"},
    {"a key twice", "witness w3 $0\n"},
    {"a custodian's key", "witness w3 $S\n"},
};

static void
test_bad_lines(void)
{
	struct kmn_vkey sato, custodian;
	char vkey[KMN_VKEY_MAX_BYTES], sato_text[KMN_VKEY_MAX_BYTES];

	world_vkey("sato", sato_text);
	CU_ASSERT_EQUAL(kmn_vkey_parse(sato_text, strlen(sato_text), &custodian), KMN_OK);
	CU_ASSERT_EQUAL(kmn_vkey_make_cosigner("witness.example/sato", custodian.pub, &sato), KMN_OK);
	kmn_vkey_format(&sato, sato_text);
	for (size_t n = 0; n < KMN_COUNT_OF(bad_limits); n++) {
		struct kmn_policy_error error;
		struct kmn_policy *policy;
		char rules[4096], line[1024], *text;
		const char *mark = strchr(bad_limits[n].limit, '$');

		snprintf(line, sizeof(line), "%s", bad_limits[n].limit);
		if (mark != NULL) {
			uint8_t pub[KMN_ED25519_PUBLIC_BYTES];
			struct kmn_vkey other;

			memcpy(pub, cosigner[0].key.pub, sizeof(pub));
			if (mark[1] == '3') {
				uint8_t seed[KMN_HASH_BYTES] = {9}, secret[KMN_ED25519_SECRET_BYTES];

				(void)crypto_sign_seed_keypair(pub, secret, seed);
			}
			CU_ASSERT_EQUAL(kmn_vkey_make_cosigner("witness.example/other", pub, &other), KMN_OK);
			kmn_vkey_format(&other, vkey);
			snprintf(line, sizeof(line), "%.*s%s\n", (int)(mark - bad_limits[n].limit), bad_limits[n].limit,
			    mark[1] == 'S' ? sato_text : vkey);
		}
		snprintf(rules, sizeof(rules), "witness w0 %s\nwitness w1 %s\nwitness w2 %s\n%s" RULES,
		    cosigner[0].vkey, cosigner[1].vkey, cosigner[2].vkey, line);
		text = world_policy(1, NULL, rules);
		if (kmn_policy_parse(text, strlen(text), &policy, &error) == KMN_OK) {
			printf("# taken: %s\n", bad_limits[n].says);
			CU_ASSERT_TRUE(false);
			kmn_policy_free(policy);
		}
		free(text);
	}
}

static CU_TestInfo witness_tests[] = {
    {"two of three: the older of the two newest counts, and going on without them is a finding", test_two_of_three},
    {"an old head that is cosigned again and again keeps nothing fresh", test_old_head},
    {"lines over another head than their record's count for nobody", test_lines},
    {"who cosigns in time keeps class A going", test_policy_change},
    {"lines that make no sense are refused", test_bad_lines},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"quorum/witness", set_up, NULL, NULL, NULL, witness_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
