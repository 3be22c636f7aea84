#include "config.h"

#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#include <openssl/ec.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static void
assert_replays(struct world *w)
{
	struct kmn_finding finding = {{0}, 0, {0}};

	CU_ASSERT_EQUAL(world_replay(w, &finding, NULL), KMN_OK);
	CU_ASSERT_STRING_EQUAL(finding.text, "");
}

static const struct kmn_request *
get(const struct world *w, uint64_t i)
{
	return kmn_quorum_request(w->quorum, i);
}

static bool
is_met(const struct world *w, uint64_t i)
{
	return kmn_quorum_is_met(w->quorum, get(w, i), (int64_t)w->t);
}

static void
test_whole_life(void)
{
	struct world w;
	const char *why;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	CU_ASSERT_FATAL((r = world_request(&w, "ca", "to be signed")) > 0);
	CU_ASSERT_EQUAL(get(&w, r)->state, KMN_REQUEST_OFFERED);
	CU_ASSERT_FALSE(is_met(&w, r));
	CU_ASSERT_TRUE(world_vote(&w, r, "sato", KMN_APPROVE, &why));
	CU_ASSERT_TRUE(world_vote(&w, r, "tanaka", KMN_APPROVE, &why));
	CU_ASSERT_FALSE(is_met(&w, r));
	CU_ASSERT_TRUE(world_vote(&w, r, "mori", KMN_APPROVE, &why));
	CU_ASSERT_TRUE(is_met(&w, r));
	CU_ASSERT_PTR_NULL(kmn_quorum_ends(w.quorum, get(&w, r), (int64_t)w.t));
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(get(&w, r)->state, KMN_REQUEST_RUNNING);
	CU_ASSERT_FALSE(is_met(&w, r));
	CU_ASSERT_EQUAL(world_result(&w, r, 0), KMN_OK);
	CU_ASSERT_EQUAL(get(&w, r)->state, KMN_REQUEST_DONE);
	CU_ASSERT_EQUAL(get(&w, r)->used, 1);
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_E_CORRUPT);
	world_drop(&w);
	assert_replays(&w);
	world_clear(&w);
}

static const struct {
	const char *says, *votes; /* "+sato -mori !ito": approve, reject, veto */
	bool met;
	const char *ends, *why; /* why the last one does not count, or "ok" */
} vote_cases[] = {
    {"two keepers and an officer", "+sato +suzuki +mori", true, NULL, "ok"},
    {"the officer may come first", "+mori +tanaka +suzuki", true, NULL, "ok"},
    {"one person with two keys has one vote", "+sato +sato2", false, NULL, "sato has voted already"},
    {"a person in two groups counts in one", "+sato +suzuki", false, NULL, "ok"},
    {"a person in two groups counts where it helps", "+sato +suzuki +tanaka", true, NULL, "ok"},
    {"the client's operator may not approve", "+kato", false, NULL, "kato operates the client that asks"},
    {"nor reject", "-kato", false, NULL, "kato operates the client that asks"},
    {"a stranger's key is none", "+nobody", false, NULL, "no signature by a key of policy version 1"},
    {"an auditor approves nothing", "+ito", false, NULL, "ito is in none of the groups that are asked"},
    {"an auditor may veto", "+sato +suzuki +mori !ito", false, "vetoed", "ok"},
    {"who has no veto has none", "!suzuki", false, NULL, "suzuki may not veto"},
    {"a veto after one's own approval", "+sato +suzuki +mori !sato", false, "vetoed", "ok"},
    {"one rejection leaves enough", "-suzuki", false, NULL, "ok"},
    {"two rejections of three keepers end it", "-suzuki -tanaka", false, "rejected", "ok"},
    {"mori's rejection leaves sato as officer, then two keepers", "-mori", false, NULL, "ok"},
    {"mori and one keeper reject: sato cannot be in both", "-mori -tanaka", false, "rejected", "ok"},
    {"who rejected cannot approve", "-sato +sato", false, NULL, "sato has voted already"},
    {"who approved cannot reject", "+sato -sato2", false, NULL, "sato has voted already"},
};

static void
vote_word(struct world *w, uint64_t r, const char *word, const char **why)
{
	enum kmn_decision decision = word[0] == '+' ? KMN_APPROVE : word[0] == '-' ? KMN_REJECT : KMN_VETO;

	world_vote(w, r, word + 1, decision, why);
}

static void
test_votes(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(vote_cases); i++) {
		struct world w;
		char votes[128], *rest = votes, *word;
		const char *why = "", *ends;
		uint64_t r;

		world_init(&w, WORLD_RULES);
		r = world_request(&w, "ca", "to be signed");
		strcpy(votes, vote_cases[i].votes);
		while ((word = strtok_r(rest, " ", &rest)) != NULL)
			vote_word(&w, r, word, &why);
		ends = kmn_quorum_ends(w.quorum, get(&w, r), (int64_t)w.t);
		CU_ASSERT_STRING_EQUAL(why, vote_cases[i].why);
		CU_ASSERT_EQUAL(is_met(&w, r), vote_cases[i].met);
		CU_ASSERT_TRUE((ends == NULL) == (vote_cases[i].ends == NULL));
		if (ends != NULL && vote_cases[i].ends != NULL)
			CU_ASSERT_STRING_EQUAL(ends, vote_cases[i].ends);
		if (ends != NULL)
			CU_ASSERT_EQUAL(world_decide(&w, r, ends), KMN_OK);
		if (strcmp(why, vote_cases[i].why) != 0 || is_met(&w, r) != vote_cases[i].met)
			printf("# %s: %s\n", vote_cases[i].says, why);
		assert_replays(&w);
		CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), vote_cases[i].met ? KMN_OK : KMN_E_CORRUPT);
		world_clear(&w);
	}
}

static void
test_one_note_of_two_persons(void)
{
	struct world w;
	const char *why;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	CU_ASSERT_FALSE(world_vote(&w, r, "sato sato2", KMN_APPROVE, &why));
	CU_ASSERT_STRING_EQUAL(why, "two keys of sato: one person, one vote");
	CU_ASSERT_TRUE(world_vote(&w, r, "sato suzuki mori nobody", KMN_APPROVE, &why));
	CU_ASSERT_EQUAL(get(&w, r)->vote_count, 3);
	CU_ASSERT_TRUE(is_met(&w, r));
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	assert_replays(&w);
	world_clear(&w);
}

static void
test_expiry(void)
{
	struct world w;
	const char *why;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	CU_ASSERT_TRUE(world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, &why));
	CU_ASSERT_TRUE(is_met(&w, r));
	w.t = (uint64_t)get(&w, r)->not_after + 1;
	CU_ASSERT_FALSE(is_met(&w, r));
	CU_ASSERT_PTR_NULL(
	    kmn_quorum_find(w.quorum, get(&w, r)->client_spki_sha256, get(&w, r)->operation, NULL, (int64_t)w.t));
	CU_ASSERT_FALSE(world_vote(&w, r, "tanaka", KMN_APPROVE, &why));
	CU_ASSERT_STRING_EQUAL(why, "the request has expired");
	CU_ASSERT_STRING_EQUAL(kmn_quorum_ends(w.quorum, get(&w, r), (int64_t)w.t), "expired");
	CU_ASSERT_EQUAL(world_decide(&w, r, "expired"), KMN_OK);
	CU_ASSERT_EQUAL(get(&w, r)->state, KMN_REQUEST_EXPIRED);
	assert_replays(&w);
	world_clear(&w);
}

static void
test_allow_after_expiry_is_found(void)
{
	struct world w;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL);
	w.t = (uint64_t)get(&w, r)->not_after + 10000;
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_E_CORRUPT);
	CU_ASSERT_STRING_EQUAL(w.finding.check, "V6");
	world_clear(&w);
}

static void
test_expired_too_early_is_found(void)
{
	struct world w;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	CU_ASSERT_EQUAL(world_decide(&w, r, "expired"), KMN_E_CORRUPT);
	world_clear(&w);
}

static void
test_find_by_operation(void)
{
	struct world w;
	uint8_t other[KMN_HASH_BYTES];
	const struct kmn_request *r;
	uint64_t a, b;

	world_init(&w, WORLD_RULES);
	a = world_request(&w, "ca", "x");
	b = world_request(&w, "ca", "y");
	r = get(&w, b);
	CU_ASSERT_PTR_EQUAL(kmn_quorum_find(w.quorum, r->client_spki_sha256, r->operation, NULL, (int64_t)w.t), r);
	CU_ASSERT_PTR_EQUAL(
	    kmn_quorum_find(w.quorum, r->client_spki_sha256, r->operation, r->verdict.rule, (int64_t)w.t), r);
	CU_ASSERT_PTR_NULL(kmn_quorum_find(w.quorum, r->client_spki_sha256, r->operation, "laxer", (int64_t)w.t));
	CU_ASSERT_NOT_EQUAL(memcmp(r->operation, get(&w, a)->operation, KMN_HASH_BYTES), 0);
	world_spki("other", other);
	CU_ASSERT_PTR_NULL(kmn_quorum_find(w.quorum, other, r->operation, NULL, (int64_t)w.t));
	world_vote(&w, b, "sato suzuki mori", KMN_APPROVE, NULL);
	CU_ASSERT_EQUAL(world_decide(&w, b, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(world_result(&w, b, 0), KMN_OK);
	r = get(&w, b);
	CU_ASSERT_PTR_NULL(kmn_quorum_find(w.quorum, r->client_spki_sha256, r->operation, NULL, (int64_t)w.t));
	world_clear(&w);
}

static void
test_buffer_too_small_gives_the_use_back(void)
{
	struct world w;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL);
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(world_result(&w, r, 0x150), KMN_OK);
	CU_ASSERT_TRUE(is_met(&w, r));
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(world_result(&w, r, 0x30), KMN_OK);
	CU_ASSERT_EQUAL(get(&w, r)->state, KMN_REQUEST_FAILED);
	assert_replays(&w);
	world_clear(&w);
}

static void
test_recovery(void)
{
	struct world w;
	json_t *open = NULL;
	uint64_t r, waiting;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	waiting = world_request(&w, "ca", "y");
	world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL);
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(kmn_quorum_open_requests(w.quorum, &open), KMN_OK);
	CU_ASSERT_EQUAL(json_array_size(open), 1);
	CU_ASSERT_EQUAL(
	    world_append(&w, KMN_R_RECOVERY,
		json_pack("{s:s,s:{},s:o,s:[]}", "reason", "crash", "last_commit", "open_requests", open, "guards")),
	    KMN_OK);
	CU_ASSERT_EQUAL(get(&w, r)->state, KMN_REQUEST_UNDECIDED);
	CU_ASSERT_EQUAL(get(&w, waiting)->state, KMN_REQUEST_OFFERED);
	CU_ASSERT_EQUAL(world_result(&w, r, 0), KMN_E_CORRUPT);
	world_drop(&w);
	assert_replays(&w);
	world_clear(&w);
}

static void
test_policy_change_voids_what_is_open(void)
{
	struct world w;
	char *text, *note;
	const char *why;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL);
	text = world_policy(2, kmn_policy_sha256(kmn_quorum_policy(w.quorum)), WORLD_RULES);
	note = world_sign(text, "tanaka ito");
	CU_ASSERT_EQUAL(
	    world_append(&w, KMN_R_POLICY,
		json_pack("{s:i,s:s,s:I}", "version", 2, "note", note, "effective_after", (json_int_t)w.count)),
	    KMN_OK);
	CU_ASSERT_EQUAL(kmn_policy_version(kmn_quorum_policy(w.quorum)), 2);
	CU_ASSERT_FALSE(is_met(&w, r));
	CU_ASSERT_FALSE(world_vote(&w, r, "tanaka", KMN_APPROVE, &why));
	CU_ASSERT_STRING_EQUAL(why, "the policy has changed since");
	CU_ASSERT_STRING_EQUAL(kmn_quorum_ends(w.quorum, get(&w, r), (int64_t)w.t), "withdrawn");
	CU_ASSERT_EQUAL(world_decide(&w, r, "withdrawn"), KMN_OK);
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_E_CORRUPT);
	world_drop(&w);
	assert_replays(&w);
	free(text);
	free(note);
	world_clear(&w);
}

static const struct {
	const char *says;
	unsigned version;
	bool previous;
	const char *signers;
	kmn_err want;
} policy_cases[] = {
    {"version 2 by two of role policy", 2, true, "sato ito", KMN_OK},
    {"one person with two keys is not two", 2, true, "sato sato2", KMN_E_CORRUPT},
    {"a custodian outside the role does not count", 2, true, "sato mori", KMN_E_CORRUPT},
    {"version 3 does not follow version 1", 3, true, "sato ito", KMN_E_CORRUPT},
    {"previous must be the hash of the one before", 2, false, "sato ito", KMN_E_CORRUPT},
};

static void
test_policy_versions(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(policy_cases); i++) {
		uint8_t wrong[KMN_HASH_BYTES] = {1};
		struct world w;
		char *text, *note;

		world_init(&w, WORLD_RULES);
		text = world_policy(policy_cases[i].version,
		    policy_cases[i].previous ? kmn_policy_sha256(kmn_quorum_policy(w.quorum)) : wrong, WORLD_RULES);
		note = world_sign(text, policy_cases[i].signers);
		CU_ASSERT_EQUAL(world_append(&w, KMN_R_POLICY,
				    json_pack("{s:I,s:s,s:i}", "version", (json_int_t)policy_cases[i].version, "note",
					note, "effective_after", 1)),
		    policy_cases[i].want);
		if (policy_cases[i].want != KMN_OK)
			CU_ASSERT_STRING_EQUAL(w.finding.check, "V5");
		free(text);
		free(note);
		world_clear(&w);
	}
}

/* ---- what an attacker might put in the place of what was signed --------------------------------------------------- */

static void
test_replay_for_another_request(void)
{
	struct kmn_note_check check;
	struct world w;
	char *note;
	uint64_t a, b;

	world_init(&w, WORLD_RULES);
	a = world_request(&w, "ca", "x");
	b = world_request(&w, "ca", "x");
	note = world_sign(get(&w, a)->statement, "sato");
	CU_ASSERT_TRUE(kmn_quorum_check_note(w.quorum, note, strlen(note), (int64_t)w.t, &check));
	CU_ASSERT_PTR_EQUAL(check.request, get(&w, a));
	/* The record says b, the note says a. */
	CU_ASSERT_EQUAL(
	    world_append(&w, KMN_R_APPROVAL,
		json_pack("{s:o,s:s,s:s}", "request", kmn_ref_json(&w.ref[b]), "note", note, "check", "ok")),
	    KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(get(&w, b)->vote_count, 0);
	free(note);
	world_clear(&w);
}

/* Each line of the statement, changed in each of its characters, is no approval any more. */
static void
test_every_field_counts(void)
{
	struct world w;
	char *text, *note;
	const char *statement;
	struct kmn_note_check check;
	unsigned accepted = 0, tried = 0;
	uint64_t r;

	world_init(&w, WORLD_RULES);
	r = world_request(&w, "ca", "x");
	statement = get(&w, r)->statement;
	text = strdup(statement);
	for (size_t i = 0; text[i] != 0; i++) {
		char was = text[i];

		if (was == '\n' || (i % 3 != 0 && text[i - 1] != ' '))
			continue;
		text[i] = was == 'a' ? 'b' : 'a';
		note = world_sign(text, "sato");
		accepted += kmn_quorum_check_note(w.quorum, note, strlen(note), (int64_t)w.t, &check);
		tried++;
		text[i] = was;
		free(note);
	}
	CU_ASSERT_EQUAL(accepted, 0);
	CU_ASSERT_TRUE(tried > 200);
	note = world_sign(text, "sato");
	CU_ASSERT_TRUE(kmn_quorum_check_note(w.quorum, note, strlen(note), (int64_t)w.t, &check));
	note[strlen(note) - 10] ^= 1;
	CU_ASSERT_FALSE(kmn_quorum_check_note(w.quorum, note, strlen(note), (int64_t)w.t, &check));
	free(note);
	free(text);
	world_clear(&w);
}

/* Change one member of one record after the fact: the auditor says so. */
static const struct {
	const char *says;
	size_t record; /* 1 intent, 2 statement, 3-5 approvals, 6 decision, 7 result */
	const char *path[2];
	const char *json; /* the new value */
} tampered[] = {
    {"another key label", 1, {"key", "label"}, "\"root-cb\""},
    {"another key id", 1, {"key", "id"}, "\"0a0c\""},
    {"another token serial", 1, {"key", "serial"}, "\"9\""},
    {"another purpose", 1, {"purpose", NULL}, "\"Yearly CRL\""},
    {"a longer life", 1, {"expires", NULL}, "1799000000000"},
    {"another mechanism name", 1, {"mech", "name"}, "\"CKM_ECDSA_SHA384\""},
    {"another length", 1, {"in", "len"}, "3"},
    {"another requester's name", 1, {"requester", "name"}, "\"cb\""},
    {"another nonce", 1, {"nonce_req", NULL}, "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""},
    {"another head", 2, {"head", "size"}, "1"},
    {"another statement hash", 2, {"sha256", NULL}, "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""},
    {"an approval that says it is not good", 3, {"check", NULL}, "\"bad\""},
    {"a decision by another rule", 6, {"rule", NULL}, "\"other\""},
    {"a second use", 6, {"use", NULL}, "2"},
    {"a decision without approvals", 6, {"approvals", NULL}, "[]"},
    {"a decision that lasts longer", 6, {"not_after", NULL}, "1799000000000"},
    {"a decision under another policy version", 6, {"policy", "version"}, "2"},
    {"denied, and yet there is a result", 6, {"verdict", NULL}, "\"deny\""},
    {"a verdict that is none", 6, {"verdict", NULL}, "\"maybe\""},
};

static void
test_tampering(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(tampered); i++) {
		struct kmn_finding finding = {{0}, 0, {0}};
		struct world w;
		json_t *owner, *body, *at;
		uint64_t r;
		kmn_err e;

		world_init(&w, WORLD_RULES);
		r = world_request(&w, "ca", "x");
		world_vote(&w, r, "sato", KMN_APPROVE, NULL);
		world_vote(&w, r, "suzuki", KMN_APPROVE, NULL);
		world_vote(&w, r, "mori", KMN_APPROVE, NULL);
		world_decide(&w, r, "allow");
		CU_ASSERT_EQUAL(world_result(&w, r, 0), KMN_OK);
		body = json_deep_copy(world_body(&w, tampered[i].record, &owner));
		json_decref(owner);
		at = tampered[i].path[1] == NULL ? body : json_object_get(body, tampered[i].path[0]);
		json_object_set_new(at, tampered[i].path[tampered[i].path[1] != NULL],
		    json_loads(tampered[i].json, JSON_DECODE_ANY, NULL));
		world_replace(&w, tampered[i].record, body);
		e = world_replay(&w, &finding, NULL);
		CU_ASSERT_EQUAL(e, KMN_E_CORRUPT);
		if (e != KMN_E_CORRUPT)
			printf("# %s is not found\n", tampered[i].says);
		world_clear(&w);
	}
}

static void
test_free_and_refused(void)
{
	struct world w;
	json_t *body;
	uint64_t i;

	world_init(&w, WORLD_RULES);
	body = world_intent(&w, "ca", (const uint8_t *)"x", 1);
	json_object_set_new(body, "op", json_string("C_DestroyObject"));
	json_object_del(body, "norm");
	i = w.count;
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, body), KMN_OK);
	CU_ASSERT_FALSE(get(&w, i)->held);
	CU_ASSERT_EQUAL(world_decide(&w, i, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(world_result(&w, i, 0), KMN_OK);

	i = w.count;
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, world_intent(&w, "other", (const uint8_t *)"x", 1)), KMN_OK);
	CU_ASSERT_EQUAL(get(&w, i)->verdict.answer, KMN_ANSWER_REFUSED);
	CU_ASSERT_EQUAL(world_decide(&w, i, "deny"), KMN_OK);
	assert_replays(&w);

	i = w.count;
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, world_intent(&w, "other", (const uint8_t *)"x", 1)), KMN_OK);
	CU_ASSERT_EQUAL(world_decide(&w, i, "allow"), KMN_E_CORRUPT);
	world_clear(&w);
}

static void
test_policy_ends_meanwhile(void)
{
	struct world w;
	int64_t end;
	uint64_t r, i;

	world_init(&w, WORLD_RULES);
	end = kmn_policy_expires(kmn_quorum_policy(w.quorum));
	w.t = (uint64_t)end - 60000;
	r = world_request(&w, "ca", "x");
	CU_ASSERT_TRUE(world_vote(&w, r, "sato suzuki mori", KMN_APPROVE, NULL));
	CU_ASSERT_TRUE(kmn_quorum_is_met(w.quorum, get(&w, r), end - 1));
	CU_ASSERT_FALSE(kmn_quorum_is_met(w.quorum, get(&w, r), end));
	/* Judged a moment before the end, recorded a moment after it. */
	w.t = (uint64_t)end;
	i = w.count;
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, world_intent(&w, "ca", (const uint8_t *)"y", 1)), KMN_OK);
	CU_ASSERT_TRUE(get(&w, i)->held);
	CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
	w.t += 2000;
	i = w.count;
	CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, world_intent(&w, "ca", (const uint8_t *)"z", 1)), KMN_OK);
	CU_ASSERT_FALSE(get(&w, i)->held);
	CU_ASSERT_EQUAL(world_decide(&w, i, "allow"), KMN_E_CORRUPT);
	world_clear(&w);
}

static const struct {
	const char *says, *op, *rule;
	uint64_t rv;
	kmn_err want;
	const char *label;
} op_cases[] = {
    {"random under need none", "C_GenerateRandom", "other", 0, KMN_OK, "k"},
    {"a signature under a rule of class B", "C_Sign", "ocsp", 0, KMN_OK, "k"},
    {"a signature under a rule of class A", "C_Sign", "other", 0, KMN_E_CORRUPT, "k"},
    {"a signature under a rule with groups", "C_Sign", "root", 0, KMN_E_CORRUPT, "k"},
    {"a signature under no rule", "C_Sign", "none", 0, KMN_E_CORRUPT, "k"},
    {"a key destroyed under a rule of class B", "C_DestroyObject", "ocsp", 0, KMN_E_CORRUPT, "k"},
    {"a function that is none", "C_Sing", "ocsp", 0, KMN_E_CORRUPT, "k"},
    {"a refusal", "C_Sign", "none", 0x200, KMN_OK, "k"},
    {"a key that an earlier rule guards", "C_Sign", "late", 0, KMN_E_CORRUPT, "root-ca"},
    {"another key", "C_Sign", "late", 0, KMN_OK, "ocsp"},
    {"a key of another rule than the named one", "C_Sign", "named", 0, KMN_E_CORRUPT, "ocsp"},
    {"the key of the named rule", "C_Sign", "named", 0, KMN_OK, "tsa"},
};

static void
test_ops(void)
{
	uint8_t zero[KMN_HASH_BYTES] = {0};
	struct world w;

	world_init(&w,
	    WORLD_RULES "rule named\n client ca\n object pkcs11:object=tsa\n calls key-use\n need none\n class B\n"
			"rule late\n client ca\n calls key-use\n need none\n class B\n"
			"rule ocsp\n client other\n calls key-use\n need none\n class B\n");
	for (size_t i = 0; i < KMN_COUNT_OF(op_cases); i++) {
		kmn_err e = world_append(&w, KMN_R_OP,
		    json_pack("{s:i,s:i,s:i,s:{s:s,s:s,s:s},s:s,s:{},s:s,s:{s:i,s:o},s:I,s:s,s:{},s:i,s:o,s:o}", "chan",
			1, "sess", 1, "seq", 1, "key", "class", "private-key", "label", op_cases[i].label, "token",
			"Root token", "op", op_cases[i].op, "mech", "rule", op_cases[i].rule, "policy", "version", 1,
			"sha256", kmn_json_b64(kmn_policy_sha256(kmn_quorum_policy(w.quorum)), KMN_HASH_BYTES), "rv",
			(json_int_t)op_cases[i].rv, "rv_name", "x", "hsm", "dur_us", 1, "req_sha256",
			kmn_json_b64(zero, sizeof(zero)), "resp_sha256", kmn_json_b64(zero, sizeof(zero))));

		CU_ASSERT_EQUAL(e, op_cases[i].want);
		if (e != op_cases[i].want)
			printf("# %s: %s\n", op_cases[i].says, w.finding.text);
	}
	world_clear(&w);
}

/* V7, with a real key: the signature, one bit of it, another key's, and a public key that nobody kept. */
static void
test_result_is_verified(void)
{
	static const uint8_t data[] = "x";
	EVP_PKEY *key = EVP_EC_gen("P-256");
	uint8_t *spki = NULL, sha256[KMN_HASH_BYTES], raw[64], der[128];
	size_t spki_len = (size_t)i2d_PUBKEY(key, &spki), der_len = sizeof(der);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const uint8_t *at = der;
	ECDSA_SIG *sig;

	CU_ASSERT_EQUAL(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_DigestSign(ctx, der, &der_len, data, 1), 1);
	sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
	kmn_sha256(spki, spki_len, sha256);
	for (unsigned i = 0; i < 3; i++) { /* right, bent, key not kept */
		struct kmn_quorum_counts counts;
		struct world w;
		json_t *intent, *result, *owner;
		uint64_t r = 1;

		world_init(&w, WORLD_RULES);
		intent = world_intent(&w, "ca", data, 1);
		json_object_set_new(intent, "op", json_string("C_DestroyObject"));
		json_object_set_new(
		    json_object_get(intent, "key"), "spki_sha256", kmn_json_b64(sha256, sizeof(sha256)));
		if (i != 2)
			world_keep(&w, spki, spki_len);
		CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, intent), KMN_OK);
		CU_ASSERT_EQUAL(world_decide(&w, r, "allow"), KMN_OK);
		CU_ASSERT_EQUAL(world_result(&w, r, 5), KMN_OK);
		result = json_deep_copy(world_body(&w, 3, &owner));
		json_decref(owner);
		json_object_set_new(result, "rv", json_integer(0));
		raw[40] ^= i == 1;
		json_object_set_new(result, "out", json_pack("{s:o}", "b64", kmn_json_b64(raw, sizeof(raw))));
		raw[40] ^= i == 1;
		world_replace(&w, 3, result);
		{
			struct kmn_finding finding;
			struct kmn_quorum *again = NULL;

			CU_ASSERT_EQUAL(world_replay(&w, &finding, &again), i == 0   ? KMN_OK
									    : i == 1 ? KMN_E_CORRUPT
										     : KMN_E_NOT_FOUND);
			CU_ASSERT_STRING_EQUAL(finding.check, i == 1 ? "V7" : "");
			kmn_quorum_counts(again, &counts);
			CU_ASSERT_EQUAL(counts.signatures_verified, i == 0);
			kmn_quorum_free(again);
		}
		world_clear(&w);
	}
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	OPENSSL_free(spki);
	EVP_PKEY_free(key);
}

/* ---- live and replayed agree, whatever happens -------------------------------------------------------------------- */

static uint64_t
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static void
random_step(struct world *w, uint64_t *state, const uint64_t *requests, size_t count)
{
	static const char *const names[] = {"sato", "sato2", "suzuki", "tanaka", "mori", "kato", "ito", "nobody"};
	uint64_t i = requests[next_random(state) % count];
	const struct kmn_request *r = get(w, i);
	const char *ends = kmn_quorum_ends(w->quorum, r, (int64_t)w->t);

	if (r->state == KMN_REQUEST_RUNNING) {
		CU_ASSERT_EQUAL(
		    world_result(w, i, next_random(state) % 3 == 0 ? 0x150 : next_random(state) % 2), KMN_OK);
	} else if (ends != NULL) {
		CU_ASSERT_EQUAL(world_decide(w, i, ends), KMN_OK);
	} else if (is_met(w, i) && next_random(state) % 2 == 0) {
		CU_ASSERT_EQUAL(world_decide(w, i, "allow"), KMN_OK);
	} else if (next_random(state) % 40 == 0) {
		w->t += 1800 * 1000;
	} else {
		uint64_t kind = next_random(state) % 12;

		world_vote(w, i, names[next_random(state) % KMN_COUNT_OF(names)],
		    kind < 9    ? KMN_APPROVE
		    : kind < 11 ? KMN_REJECT
				: KMN_VETO,
		    NULL);
	}
}

static void
test_interleavings(void)
{
	unsigned rounds = getenv("KMN_TEST_LONG") != NULL ? 400 : 20;
	unsigned seen[KMN_REQUEST_UNSTARTED + 1] = {0};

	for (unsigned round = 0; round < rounds; round++) {
		struct kmn_finding finding = {{0}, 0, {0}};
		struct kmn_quorum *again = NULL;
		uint64_t state = round, requests[5];
		struct world w;

		world_init(&w, WORLD_RULES);
		for (size_t i = 0; i < KMN_COUNT_OF(requests); i++)
			requests[i] = world_request(&w, "ca", i % 2 == 0 ? "x" : "y");
		for (unsigned step = 0; step < 70; step++)
			random_step(&w, &state, requests, KMN_COUNT_OF(requests));
		CU_ASSERT_EQUAL(world_replay(&w, &finding, &again), KMN_OK);
		CU_ASSERT_STRING_EQUAL(finding.text, "");
		for (size_t i = 0; i < KMN_COUNT_OF(requests); i++) {
			const struct kmn_request *a = get(&w, requests[i]), *b = kmn_quorum_request(again, requests[i]);

			CU_ASSERT_EQUAL(a->state, b->state);
			CU_ASSERT_EQUAL(a->vote_count, b->vote_count);
			CU_ASSERT_EQUAL(a->used, b->used);
			seen[a->state]++;
		}
		kmn_quorum_free(again);
		world_clear(&w);
	}
	CU_ASSERT_TRUE(seen[KMN_REQUEST_DONE] > 0 && seen[KMN_REQUEST_REJECTED] > 0 && seen[KMN_REQUEST_VETOED] > 0);
}

static void
test_ended_requests_are_forgotten(void)
{
	struct world w;
	uint64_t first = 0;

	world_init(&w, WORLD_RULES);
	for (unsigned i = 0; i < 1100; i++) {
		json_t *body = world_intent(&w, "other", (const uint8_t *)"x", 1);
		uint64_t at = w.count;

		w.blobs = 0;
		free(w.blob[0].bytes);
		w.blob[0].bytes = NULL;
		CU_ASSERT_EQUAL(world_append(&w, KMN_R_INTENT, body), KMN_OK);
		CU_ASSERT_EQUAL(world_decide(&w, at, "deny"), KMN_OK);
		first = first == 0 ? at : first;
	}
	CU_ASSERT_PTR_NULL(get(&w, first));
	CU_ASSERT_PTR_NOT_NULL(get(&w, w.count - 2));
	world_clear(&w);
}

/* Appendix B of ledger.md: the Ed25519 line counts, lines of other kinds are passed over. */
static void
test_published_note(void)
{
	static const char note_text[] =
	    "kanmon/approval/v1\norigin kanmon.example/gw1/2026\nrequest 2\n"
	    "request-leaf 3NWXHDOViaFsRsOVcpcwK59lkuu3gLZKsTX0dVQJQF8=\n"
	    "head 3 XSyIEyRPsxIZ9qOMSnIa6q64jR/T03yTbfNXRF+DjjE=\ndecision approve\n"
	    "nonce Gxax31OLoS3D+X7buFyqcFDUbBSBNCkP66gPgjbIPbk=\n\n"
	    "\xe2\x80\x94 cust.example/alice "
	    "pr6GhLDdPxvm2bn51oeX0rw15skW6pFTgiwbHndEiYZk+xQPcXDDBYi/WkJa2sGK/rjmVweNmiLfKcW9ZWS9BCPiBwk=\n"
	    "\xe2\x80\x94 cust.example/carol "
	    "yk/9ujdCDWUkXQAkUMtUIpzM4ERlTLWlncjOzFWixPWjaqP88nO+sk68Aws4UdevKlWsiAHMK+BtUA90+eoz7lpKJvM=\n";
	struct kmn_statement_said said;
	struct kmn_vkey alice;
	struct kmn_note note;
	uint8_t seed[KMN_HASH_BYTES], public[KMN_ED25519_PUBLIC_BYTES], secret[KMN_ED25519_SECRET_BYTES];
	uint8_t sha256[KMN_HASH_BYTES];
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	size_t count = 0;
	bool verified = false;

	kmn_sha256("alice", 5, seed);
	crypto_sign_seed_keypair(public, secret, seed);
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make("cust.example/alice", public, &alice), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_note_parse(note_text, strlen(note_text), &note, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_verify(&note, &alice, 1, &verified, &count, NULL), KMN_OK);
	CU_ASSERT_TRUE(verified);
	CU_ASSERT_EQUAL(kmn_statement_read(note.text, note.text_len, &said), KMN_OK);
	CU_ASSERT_EQUAL(said.request, 2);
	CU_ASSERT_EQUAL(said.decision, KMN_APPROVE);
	kmn_sha256(note.text, note.text_len, sha256);
	kmn_b64(sha256, sizeof(sha256), b64);
	CU_ASSERT_STRING_EQUAL(b64, "nQ/8qGxxnQXZwrp/ROZ5kIIymjBfdv2obGacFkCbfHE=");
}

int
main(int argc, char **argv)
{
	static CU_TestInfo life[] = {
	    {"intent, statement, three approvals, decision, result", test_whole_life},
	    {"votes: who counts, where, and what ends a request", test_votes},
	    {"one note may carry several persons, never one twice", test_one_note_of_two_persons},
	    {"expiry ends votes and calls", test_expiry},
	    {"a call allowed after expiry is found", test_allow_after_expiry_is_found},
	    {"a request expired too early is found", test_expired_too_early_is_found},
	    {"a call finds its request by client and operation", test_find_by_operation},
	    {"CKR_BUFFER_TOO_SMALL gives the use back, another failure does not",
		test_buffer_too_small_gives_the_use_back},
	    {"after a crash a decision without result is undecided, an open request stays", test_recovery},
	    {"a policy change voids what is open", test_policy_change_voids_what_is_open},
	    {"a policy that ends meanwhile ends what waits, not what was judged before", test_policy_ends_meanwhile},
	    {"policy versions: exactly the next, signed by both", test_policy_versions},
	    {"need none runs, no rule is denied, and nothing else may be written", test_free_and_refused},
	    {"a long past of ended requests is kept in bounds", test_ended_requests_are_forgotten},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo attacks[] = {
	    {"an approval is for its own request", test_replay_for_another_request},
	    {"a statement changed anywhere is no approval", test_every_field_counts},
	    {"a record changed afterwards is found", test_tampering},
	    {"what ran without an intent was allowed to", test_ops},
	    {"a signature in a result is verified again", test_result_is_verified},
	    {"live and replayed agree on random interleavings", test_interleavings},
	    {"the published approval note reads and verifies", test_published_note},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/life", NULL, NULL, NULL, NULL, life},
	    {"quorum/attacks", NULL, NULL, NULL, NULL, attacks},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
