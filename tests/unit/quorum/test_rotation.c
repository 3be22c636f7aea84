/*
 * Versions of the policy, and what has gone wrong elsewhere where keys and thresholds rotate (ledger.md 9): each case
 * is a ledger that a keeper would not write, and that an auditor refuses.
 */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/evidence.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define HOUR UINT64_C(3600000)
#define ROLES "role policy 2 sato suzuki tanaka ito\n"

static struct world w;

static char *
replaced(char *text, const char *old, const char *new)
{
	char *at = strstr(text, old), *made = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	if (asprintf(&made, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old)) < 0)
		abort();
	free(text);
	return made;
}

/* The version after the one in force, with words in the place of others. free(). */
static char *
next(const char *const pairs[])
{
	const struct kmn_policy *policy = kmn_quorum_policy(w.quorum);
	char *text = world_policy((unsigned)kmn_policy_version(policy) + 1, kmn_policy_sha256(policy), WORLD_RULES);

	for (; pairs != NULL && *pairs != NULL; pairs += 2)
		text = replaced(text, pairs[0], pairs[1]);
	return text;
}

static kmn_err
append_note(enum kmn_record_kind kind, const char *note, json_int_t version)
{
	int64_t delay = (int64_t)kmn_policy_recovery_delay_ms(kmn_quorum_policy(w.quorum));
	struct kmn_waiting_policy waiting;
	json_t *body = kind == KMN_R_POLICY ? json_pack("{s:I,s:s,s:I}", "version", version, "note", note,
						  "effective_after", (json_int_t)w.count)
					    : json_pack("{s:I,s:s,s:I}", "version", version, "note", note,
						  "effective_at", (json_int_t)w.t + (json_int_t)delay);

	if (kind == KMN_R_POLICY && kmn_quorum_waiting(w.quorum, (int64_t)w.t, 0, &waiting) &&
	    strcmp(waiting.note, note) == 0)
		json_object_set_new(body, "proposal", kmn_ref_json(&waiting.ref));
	return world_append(&w, kind, body);
}

/* What the keeper would say of a note, and what the ledger says of its record, are the same. */
static kmn_err
bring(const char *note, unsigned version)
{
	struct kmn_policy_error error;
	kmn_err before = kmn_quorum_check_policy(w.quorum, note, strlen(note), (int64_t)w.t, &error);
	kmn_err e = append_note(KMN_R_POLICY, note, version);

	CU_ASSERT_EQUAL(e == KMN_OK, before == KMN_OK);
	CU_ASSERT_TRUE(e == KMN_OK || strcmp(w.finding.check, "V5") == 0);
	return e;
}

static const struct {
	const char *says, *pairs[6], *names;
	unsigned version;
	kmn_err want;
} cases[] = {
    {"both quorums", {"role policy 2 sato suzuki tanaka ito", "role policy 2 mori kato"}, "sato suzuki mori kato", 2,
	KMN_OK},
    {"old quorum only", {"role policy 2 sato suzuki tanaka ito", "role policy 2 mori kato"}, "sato suzuki mori", 2,
	KMN_E_CORRUPT},
    {"new quorum only", {"role policy 2 sato suzuki tanaka ito", "role policy 2 mori kato"}, "sato mori kato", 2,
	KMN_E_CORRUPT},
    {"one person in both, two needed in each", {"role policy 2 sato suzuki tanaka ito", "role policy 2 sato mori"},
	"sato suzuki", 2, KMN_E_CORRUPT},
    {"version + 2", {"version 2", "version 3"}, "sato suzuki", 3, KMN_E_CORRUPT},
    {"the same version, another text", {"version 2", "version 1"}, "sato suzuki", 1, KMN_E_CORRUPT},
    {"version 1 once more", {"version 2\nprevious ", "version 1\nprevious none # "}, "sato suzuki", 1, KMN_E_CORRUPT},
    {"expired", {"not-before 2026", "not-before 2025", "expires 2027", "expires 2026", "-11-01", "-10-01"},
	"sato suzuki", 2, KMN_E_CORRUPT},
    {"not in force yet", {"not-before 2026", "not-before 2027"}, "sato suzuki", 2, KMN_E_CORRUPT},
    {"another origin", {"gw1/2026", "gw2/2026"}, "sato suzuki", 2, KMN_E_CORRUPT},
    {"two keys of one person", {NULL}, "sato sato2", 2, KMN_E_CORRUPT},
    {"one signature line twice", {NULL}, "sato sato", 2, KMN_E_CORRUPT},
    {"persons outside the role", {NULL}, "sato mori kato", 2, KMN_E_CORRUPT},
    {"an unknown signature is passed over", {NULL}, "nobody sato suzuki", 2, KMN_OK},
    {"the record names another version", {NULL}, "sato suzuki", 3, KMN_E_CORRUPT},
    {"a threshold over its persons", {"role policy 2 sato suzuki tanaka ito", "role policy 5 sato suzuki tanaka ito"},
	"sato suzuki tanaka ito", 2, KMN_E_CORRUPT},
    {"no role policy any more", {ROLES, ""}, "sato suzuki", 2, KMN_E_CORRUPT},
};

static void
test_versions(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		const char *pairs[7] = {NULL};
		char *text, *note;
		kmn_err e;

		world_init(&w, WORLD_RULES);
		memcpy(pairs, cases[n].pairs, sizeof(cases[n].pairs));
		text = next(pairs);
		note = world_sign(text, cases[n].names);
		e = append_note(KMN_R_POLICY, note, cases[n].version);
		if (e != cases[n].want || (e != KMN_OK && strcmp(w.finding.check, "V5") != 0)) {
			CU_FAIL("a version is taken for what it is not");
			printf("# %s: %s\n", cases[n].says, w.finding.text);
		}
		free(text);
		free(note);
		world_clear(&w);
	}
}

/* The keeper asks before it writes; what it is told is what its record will be. */
static void
test_alike(void)
{
	char *text, *note;

	world_init(&w, WORLD_RULES);
	text = next(NULL);
	note = world_sign(text, "sato");
	CU_ASSERT_EQUAL(bring(note, 2), KMN_E_CORRUPT);
	world_drop(&w);
	free(note);
	note = world_sign(text, "sato tanaka");
	CU_ASSERT_EQUAL(bring(note, 2), KMN_OK);
	free(note);
	free(text);
	world_clear(&w);
}

static void
test_previous(void)
{
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1], *text, *note;
	const char *pairs[] = {b64, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", NULL};

	world_init(&w, WORLD_RULES);
	kmn_b64(kmn_policy_sha256(kmn_quorum_policy(w.quorum)), KMN_HASH_BYTES, b64);
	text = next(pairs);
	note = world_sign(text, "sato suzuki");
	CU_ASSERT_EQUAL(bring(note, 2), KMN_E_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.finding.text, "previous"));
	free(note);
	free(text);
	world_clear(&w);
}

/* Versions that were signed once, brought again when they are over. */
static void
test_rollback(void)
{
	char *text[2], *note[2];

	world_init(&w, WORLD_RULES);
	for (unsigned n = 0; n < 2; n++) {
		text[n] = next(NULL);
		note[n] = world_sign(text[n], "sato suzuki");
		CU_ASSERT_EQUAL(bring(note[n], n + 2), KMN_OK);
	}
	for (unsigned n = 0; n < 2; n++) {
		CU_ASSERT_EQUAL(bring(note[n], n + 2), KMN_E_CORRUPT);
		world_drop(&w);
		free(note[n]);
		free(text[n]);
	}
	world_clear(&w);
}

static void
test_known_bad_signature(void)
{
	char *text, *note, *at;

	world_init(&w, WORLD_RULES);
	text = next(NULL);
	note = world_sign(text, "sato suzuki tanaka");
	/* The last line's signature, changed: two good ones are not enough beside it. */
	at = strrchr(note, ' ') + 20;
	*at = *at == 'A' ? 'B' : 'A';
	CU_ASSERT_EQUAL(bring(note, 2), KMN_E_CORRUPT);
	free(note);
	free(text);
	world_clear(&w);
}

/* A policy text with more lines in it, as version 2: whether it is one at all. */
static bool
is_policy(const char *old, const char *lines)
{
	struct kmn_policy_error error;
	struct kmn_policy *policy = NULL;
	const char *pairs[] = {old, lines, NULL};
	char *text = next(pairs);
	bool is = kmn_policy_parse(text, strlen(text), &policy, &error) == KMN_OK;

	kmn_policy_free(policy);
	free(text);
	return is;
}

static void
test_one_key_twice(void)
{
	char vkey[KMN_VKEY_MAX_BYTES], line[2048], wrapped[KMN_EVIDENCE_VKEY_MAX_BYTES];
	struct kmn_vkey key, cosigner;
	struct kmn_evidence_key evidence;
	/* DER of a SubjectPublicKeyInfo of Ed25519, before its 32 bytes. */
	uint8_t spki[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
	struct kmn_why why;

	world_init(&w, WORLD_RULES);
	CU_ASSERT_TRUE(is_policy("group keepers", "group keepers"));
	world_vkey("suzuki", vkey);
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_parse(vkey, strlen(vkey), &key), KMN_OK);
	/* Under another name: the same key signs as another person. */
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make("kanmon.example/else", key.pub, &key), KMN_OK);
	kmn_vkey_format(&key, vkey);
	(void)snprintf(line, sizeof(line), "custodian else person:0099 %s\ngroup keepers", vkey);
	CU_ASSERT_FALSE(is_policy("group keepers", line));
	/* As a witness' key. */
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make_cosigner("witness.example/w1", key.pub, &cosigner), KMN_OK);
	kmn_vkey_format(&cosigner, vkey);
	(void)snprintf(line, sizeof(line), "witness w1 %s\ngroup keepers", vkey);
	CU_ASSERT_FALSE(is_policy("group keepers", line));
	/* As a security key: another type around the same point. */
	memcpy(spki + 12, key.pub, 32);
	CU_ASSERT_EQUAL_FATAL(kmn_evidence_key_make("kanmon.example/else", KMN_EVIDENCE_WEBAUTHN_EDDSA, spki,
				  sizeof(spki), &evidence, &why),
	    KMN_OK);
	kmn_evidence_key_format(&evidence, wrapped);
	(void)snprintf(line, sizeof(line),
	    "webauthn desk origin https://a.example rp-id a.example\n"
	    "custodian else person:0099 %s\ngroup keepers",
	    wrapped);
	CU_ASSERT_FALSE(is_policy("group keepers", line));
	world_clear(&w);
}

/* Two keys of one name whose ids of four bytes are the same, found by trying 30,000. */
static void
test_key_ids_collide(void)
{
	static const uint32_t seeds[2] = {8756, 17442};
	char text[2][KMN_VKEY_MAX_BYTES], line[1024];
	struct kmn_vkey key[2];

	world_init(&w, WORLD_RULES);
	for (unsigned n = 0; n < 2; n++) {
		uint8_t seed[32] = {0}, pub[32], secret[64];

		for (unsigned b = 0; b < 4; b++)
			seed[b] = (uint8_t)(seeds[n] >> (8 * b));
		crypto_sign_seed_keypair(pub, secret, seed);
		CU_ASSERT_EQUAL_FATAL(kmn_vkey_make("kanmon.example/both", pub, &key[n]), KMN_OK);
		kmn_vkey_format(&key[n], text[n]);
	}
	CU_ASSERT_EQUAL_FATAL(memcmp(key[0].id, key[1].id, sizeof(key[0].id)), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(key[0].pub, key[1].pub, sizeof(key[0].pub)), 0);
	for (unsigned n = 0; n < 2; n++) {
		(void)snprintf(line, sizeof(line), "custodian else person:0099 %s\ngroup keepers", text[n]);
		CU_ASSERT_TRUE(is_policy("group keepers", line));
	}
	(void)snprintf(line, sizeof(line), "custodian else person:0099 %s\ncustodian or person:0098 %s\ngroup keepers",
	    text[0], text[1]);
	CU_ASSERT_FALSE(is_policy("group keepers", line));
	world_clear(&w);
}

/* ---- the recovery role ------------------------------------------------------------------------------------------- */

#define RECOVERY "role recovery 2 mori kato delay 72h\n"
#define LOST \
	{ \
		"role policy 2 sato suzuki tanaka ito", "role policy 2 mori ito", NULL \
	}

static kmn_err
start(const char *boot_id)
{
	return world_append(&w, KMN_R_GATEWAY_START,
	    json_pack("{s:s,s:s,s:o,s:[]}", "build", "test", "boot_id", boot_id, "config_sha256",
		kmn_json_b64((uint8_t[32]){0}, 32), "guards"));
}

static void
pass(uint64_t wall, uint64_t boot)
{
	w.t += wall;
	w.boot_ahead += boot;
}

/* A world whose policy quorum is lost, and the note that the recovery role signed. free() both. */
static char *
set_up_lost(const char *names)
{
	static const char *const pairs[] = LOST;
	char *text, *note;

	world_init(&w, RECOVERY WORLD_RULES);
	CU_ASSERT_EQUAL(start("boot-1"), KMN_OK);
	text = next(pairs);
	note = world_sign(text, names);
	free(text);
	return note;
}

static void
test_recovery(void)
{
	char *note = set_up_lost("mori kato ito");
	struct kmn_waiting_policy waiting;

	/* It does not take effect as any other version does, nor at once. */
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_E_CORRUPT);
	world_drop(&w);
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY_PROPOSAL, note, 2), KMN_OK);
	CU_ASSERT_EQUAL(kmn_policy_version(kmn_quorum_policy(w.quorum)), 1);
	CU_ASSERT_TRUE(kmn_quorum_waiting(w.quorum, (int64_t)w.t, (int64_t)w.count, &waiting));
	CU_ASSERT_TRUE(waiting.left_ms > (int64_t)(72 * HOUR) - 1000);
	pass(71 * HOUR, 71 * HOUR);
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_E_CORRUPT);
	CU_ASSERT_PTR_NOT_NULL(strstr(w.finding.text, "before its delay"));
	world_drop(&w);
	pass(HOUR, HOUR);
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_OK);
	CU_ASSERT_EQUAL(kmn_policy_version(kmn_quorum_policy(w.quorum)), 2);
	CU_ASSERT_FALSE(kmn_quorum_waiting(w.quorum, (int64_t)w.t, (int64_t)w.count, &waiting));
	free(note);
	world_clear(&w);
}

static void
test_moved_clock(void)
{
	char *note = set_up_lost("mori kato ito");

	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY_PROPOSAL, note, 2), KMN_OK);
	pass(100 * HOUR, HOUR); /* the wall clock was set forward */
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_E_CORRUPT);
	world_drop(&w);
	w.boot_ahead += 500 * HOUR; /* another boot, whose clock is at another place: the delay begins anew */
	CU_ASSERT_EQUAL(start("boot-2"), KMN_OK);
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_E_CORRUPT);
	world_drop(&w);
	pass(71 * HOUR, 71 * HOUR);
	CU_ASSERT_EQUAL(start("boot-2"), KMN_OK); /* the gateway alone was started again: nothing is lost */
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_E_CORRUPT);
	world_drop(&w);
	pass(HOUR, HOUR);
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_OK);
	free(note);
	world_clear(&w);
}

static kmn_err
veto(uint64_t version, const uint8_t sha256[32], const char *names)
{
	char policy[KMN_SIGNED_PAIR_BYTES];
	struct kmn_signed_pair pair[] = {
	    {"origin", "kanmon.example/gw1/2026"}, {"policy", policy}, {"reason", "we did not lose it"}};

	kmn_signed_number_hash(version, sha256, policy);
	return world_signed(&w, KMN_SIGNED_VETO, pair, KMN_COUNT_OF(pair), names);
}

static void
test_veto(void)
{
	char *note = set_up_lost("mori kato ito");
	struct kmn_waiting_policy waiting;
	uint8_t sha256[32];

	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY_PROPOSAL, note, 2), KMN_OK);
	CU_ASSERT_TRUE_FATAL(kmn_quorum_waiting(w.quorum, (int64_t)w.t, (int64_t)w.count, &waiting));
	memcpy(sha256, waiting.sha256, sizeof(sha256));
	CU_ASSERT_EQUAL(veto(2, sha256, "tanaka"), KMN_E_CORRUPT); /* not of role veto */
	CU_ASSERT_EQUAL(veto(2, sha256, "nobody"), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(veto(3, sha256, "sato"), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(veto(2, (uint8_t[32]){0}, "sato"), KMN_E_CORRUPT);
	CU_ASSERT_TRUE(kmn_quorum_waiting(w.quorum, (int64_t)w.t, (int64_t)w.count, &waiting));
	CU_ASSERT_EQUAL(veto(2, sha256, "tanaka ito"), KMN_OK);
	CU_ASSERT_FALSE(kmn_quorum_waiting(w.quorum, (int64_t)w.t, (int64_t)w.count, &waiting));
	pass(80 * HOUR, 80 * HOUR);
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_E_CORRUPT);
	world_drop(&w);
	CU_ASSERT_EQUAL(veto(2, sha256, "sato"), KMN_E_CORRUPT); /* nothing waits */
	free(note);
	world_clear(&w);
}

static void
test_recovery_signers(void)
{
	static const struct {
		const char *names;
		kmn_err want;
	} signers[] = {
	    {"mori kato ito", KMN_OK}, {"mori kato", KMN_E_CORRUPT}, /* not the quorum of the new version */
	    {"mori ito sato", KMN_E_CORRUPT},                        /* one of the recovery role only */
	    {"sato suzuki ito mori", KMN_E_CORRUPT},                 /* the old quorum is not the recovery role */
	};

	for (size_t n = 0; n < KMN_COUNT_OF(signers); n++) {
		char *note = set_up_lost(signers[n].names);

		CU_ASSERT_EQUAL(append_note(KMN_R_POLICY_PROPOSAL, note, 2), signers[n].want);
		free(note);
		world_clear(&w);
	}
}

/* Who still has the quorum goes on: what waited followed a version that is over. */
static void
test_overtaken(void)
{
	char *note = set_up_lost("mori kato ito"), *text, *regular;

	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY_PROPOSAL, note, 2), KMN_OK);
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY_PROPOSAL, note, 2), KMN_E_CORRUPT); /* one at a time */
	world_drop(&w);
	text = next((const char *[]){"role veto 1 sato ito\n", "role veto 1 sato ito\n" RECOVERY, NULL});
	regular = world_sign(text, "sato suzuki");
	CU_ASSERT_EQUAL(bring(regular, 2), KMN_OK);
	pass(80 * HOUR, 80 * HOUR);
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY, note, 2), KMN_E_CORRUPT);
	world_drop(&w);
	free(regular);
	free(text);
	free(note);
	world_clear(&w);
}

static void
test_no_recovery_role(void)
{
	char *text, *note;

	world_init(&w, WORLD_RULES);
	text = next(NULL);
	note = world_sign(text, "sato suzuki mori kato");
	CU_ASSERT_EQUAL(append_note(KMN_R_POLICY_PROPOSAL, note, 2), KMN_E_CORRUPT);
	free(text);
	free(note);
	world_clear(&w);
}

int
main(int argc, char **argv)
{
	CU_TestInfo tests[] = {
	    {"policy versions: exactly the next, in force, signed by both quorums of distinct persons", test_versions},
	    {"what the keeper is told of a policy is what its record will be", test_alike},
	    {"previous must be the hash of the version in force", test_previous},
	    {"an older signed version brought again is none", test_rollback},
	    {"a bad signature of a known key refuses the whole note", test_known_bad_signature},
	    {"one key under two names, or in another type, makes no policy", test_one_key_twice},
	    {"two keys whose ids collide make no policy", test_key_ids_collide},
	    {"the recovery role's policy takes effect after its delay, and not before", test_recovery},
	    {"a clock that was moved, or a reboot, does not shorten the delay", test_moved_clock},
	    {"one veto stops it, by the role veto and by its hash", test_veto},
	    {"the recovery role and the new version's quorum sign it", test_recovery_signers},
	    {"a version by both quorums overtakes it", test_overtaken},
	    {"without the role nobody recovers", test_no_recovery_role},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"quorum/rotation", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
