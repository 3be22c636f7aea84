/* What people do at the console, as records: right once, and then with one thing wrong after the other. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/action.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define ORIGIN "kanmon.example/gw1/2026"
#define PAGE "https://console.example"
#define RULES "webauthn desk origin " PAGE " rp-id console.example\n" WORLD_RULES
#define DATA "a revocation list"

static struct world w;

/* What is wrong with one; zeroed: nothing. */
struct bent {
	const char *name, *signers, *origin, *page, *what, *client, *token, *doing, *label;
	int64_t made_before_ms; /* the record */
	int session_off;
	uint8_t nonce;
};

static char *
b64_nonce(uint8_t first)
{
	static char text[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	uint8_t nonce[KMN_HASH_BYTES] = {first};

	kmn_b64(nonce, sizeof(nonce), text);
	return text;
}

static char *
sign(enum kmn_signed_kind kind, const struct kmn_signed_pair *pair, size_t count, const char *names)
{
	char *text, *note;

	CU_ASSERT_EQUAL_FATAL(kmn_signed_make(kind, pair, count, &text, NULL), KMN_OK);
	note = world_sign(text, names);
	free(text);
	return note;
}

static kmn_err
act(const char *what, uint64_t session, const char *name, json_t *more)
{
	json_t *body =
	    json_pack("{s:I, s:{s:s}, s:s}", "ui_sess", (json_int_t)session, "actor", "name", name, "what", what);

	if (more != NULL)
		(void)json_object_update_new(body, more);
	return world_append(&w, KMN_R_ACTION, body);
}

static kmn_err
sign_in(const struct bent *b)
{
	char time[KMN_TIME_TEXT_BYTES];
	const char *name = b->name != NULL ? b->name : "sato";
	const struct kmn_signed_pair pair[] = {{"origin", b->origin != NULL ? b->origin : ORIGIN},
	    {"page", b->page != NULL ? b->page : PAGE}, {"nonce", b64_nonce(b->nonce)}, {"time", time}};
	char *note;
	kmn_err e;

	kmn_time_text((int64_t)w.t - b->made_before_ms, time);
	note = sign(KMN_SIGNED_SIGN_IN, pair, KMN_COUNT_OF(pair), b->signers != NULL ? b->signers : name);
	e = act("sign-in", w.count + (uint64_t)b->session_off, name, json_pack("{s:{s:s}}", "auth", "note", note));
	free(note);
	return e;
}

static kmn_err
sign_in_tls(const char *name, const char *whose)
{
	uint8_t spki[KMN_HASH_BYTES];

	world_spki(whose, spki);
	return act("sign-in", w.count, name, json_pack("{s:{s:o}}", "auth", "tls", kmn_json_b64(spki, sizeof(spki))));
}

static kmn_err
start(void)
{
	return world_append(&w, KMN_R_GATEWAY_START,
	    json_pack("{s:s,s:s,s:o,s:[]}", "build", "test", "boot_id", "b", "config_sha256",
		kmn_json_b64((uint8_t[32]){0}, 32), "guards"));
}

static const struct {
	const char *says;
	struct bent bent;
	kmn_err want;
} sign_ins[] = {
    {"as it must be", {.name = NULL}, KMN_OK},
    {"another person's session", {.name = "suzuki", .signers = "sato"}, KMN_E_CORRUPT},
    {"signed by nobody of the policy", {.signers = "nobody"}, KMN_E_CORRUPT},
    {"signed by two", {.signers = "sato suzuki"}, KMN_E_CORRUPT},
    {"of another ledger", {.origin = "kanmon.example/gw2/2026"}, KMN_E_CORRUPT},
    {"at another page", {.page = "https://console.evil"}, KMN_E_CORRUPT},
    {"signed six minutes ago", {.made_before_ms = 360000}, KMN_E_CORRUPT},
    {"signed four minutes ago", {.made_before_ms = 240000}, KMN_OK},
    {"signed tomorrow", {.made_before_ms = -86400000}, KMN_E_CORRUPT},
    {"by another number than its own", {.session_off = -1}, KMN_E_CORRUPT},
};

static void
test_sign_in(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(sign_ins); i++) {
		kmn_err e;

		world_init(&w, RULES);
		if ((e = sign_in(&sign_ins[i].bent)) != sign_ins[i].want)
			printf("# %s: %s: %s\n", sign_ins[i].says, kmn_err_name(e), w.finding.text);
		CU_ASSERT_EQUAL(e, sign_ins[i].want);
		world_clear(&w);
	}
}

static void
test_certificate(void)
{
	static const struct {
		const char *name, *whose;
		kmn_err want;
	} cases[] = {
	    {"sato", "sato-term", KMN_OK}, {"suzuki", "sato-term", KMN_E_CORRUPT}, {"sato", "ca", KMN_E_CORRUPT}};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		world_init(&w, RULES);
		CU_ASSERT_EQUAL(sign_in_tls(cases[i].name, cases[i].whose), cases[i].want);
		world_clear(&w);
	}
}

static json_t *
shown(uint64_t request)
{
	uint8_t sha256[KMN_HASH_BYTES] = {0};

	return json_pack("{s:o, s:o}", "subject", kmn_ref_json(&w.ref[request]), "shown_sha256",
	    kmn_json_b64(sha256, sizeof(sha256)));
}

static void
test_session(void)
{
	uint64_t session, request;

	world_init(&w, RULES);
	request = world_request(&w, "ca", DATA);
	CU_ASSERT_EQUAL(start(), KMN_OK);
	session = w.count;
	CU_ASSERT_EQUAL(sign_in(&(struct bent){.nonce = 1}), KMN_OK);
	CU_ASSERT_EQUAL(sign_in(&(struct bent){.nonce = 2}), KMN_OK);
	CU_ASSERT_EQUAL(act("show", session, "sato", shown(request)), KMN_OK);
	CU_ASSERT_EQUAL(act("lockout", 0, "", json_pack("{s:i, s:s}", "count", 20, "reason", "attempts")), KMN_OK);
	CU_ASSERT_EQUAL(act("sign-out", session, "sato", NULL), KMN_OK);
	CU_ASSERT_EQUAL(act("show", session + 1, "sato", shown(request)), KMN_OK); /* of the other session */
	CU_ASSERT_EQUAL(act("show", session, "sato", shown(request)), KMN_E_CORRUPT);
	world_clear(&w);
}

/* Each of these in a world of its own: after a finding the state is that of no keeper any more. */
static kmn_err
in_session(const char *what, const char *name, uint64_t later_ms, bool restart, json_t *(*more)(uint64_t))
{
	uint64_t session, request;
	kmn_err e;

	world_init(&w, RULES);
	request = world_request(&w, "ca", DATA);
	session = w.count;
	CU_ASSERT_EQUAL(sign_in(&(struct bent){.nonce = 1}), KMN_OK);
	if (restart)
		CU_ASSERT_EQUAL(start(), KMN_OK);
	w.t += later_ms;
	e = act(what, session, name, more != NULL ? more(request) : NULL);
	world_clear(&w);
	return e;
}

static json_t *
of_no_session(uint64_t request)
{
	(void)request;
	return json_pack("{s:i}", "ui_sess", 999);
}

static void
test_without_session(void)
{
	CU_ASSERT_EQUAL(in_session("show", "sato", 0, false, shown), KMN_OK);
	CU_ASSERT_EQUAL(in_session("show", "suzuki", 0, false, shown), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(in_session("show", "sato", 9 * 3600000, false, shown), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(in_session("show", "sato", 0, true, shown), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(in_session("show", "sato", 0, false, NULL), KMN_E_CORRUPT); /* of what? */
	CU_ASSERT_EQUAL(in_session("sign-out", "sato", 0, false, of_no_session), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(in_session("lockout", "sato", 0, false, NULL), KMN_E_CORRUPT); /* with one */
	CU_ASSERT_EQUAL(in_session("dance", "sato", 0, false, NULL), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(in_session("instruct", "sato", 0, false, NULL), KMN_E_CORRUPT); /* unsigned */
}

/* A ledger whose genesis brings no policy that counts: said, and nothing is looked up in what is not there. */
static void
test_without_policy(void)
{
	struct kmn_finding finding;
	struct kmn_quorum *q;

	world_init(&w, RULES);
	CU_ASSERT_EQUAL(sign_in(&(struct bent){.nonce = 1}), KMN_OK);
	q = world_quorum(&w);
	CU_ASSERT_EQUAL(world_apply(&w, q, w.count - 1, &finding), KMN_E_CORRUPT);
	kmn_quorum_free(q);
	world_clear(&w);
}

static void
test_nonce(void)
{
	world_init(&w, RULES);
	CU_ASSERT_EQUAL(sign_in(&(struct bent){.nonce = 7}), KMN_OK);
	CU_ASSERT_EQUAL(sign_in(&(struct bent){.nonce = 7}), KMN_E_CORRUPT);
	world_clear(&w);
}

/* ---- taken back -------------------------------------------------------------------------------------------------- */

static void
test_withdraw(void)
{
	static const struct {
		const char *says, *client, *name;
		bool another;
		kmn_err want;
	} cases[] = {
	    {"by who operates its client", "ca", "kato", false, KMN_OK},
	    {"by who does not", "ca", "sato", false, KMN_E_CORRUPT},
	    {"of a client that nobody operates", "other", "kato", false, KMN_E_CORRUPT},
	    {"of nothing", "ca", "kato", true, KMN_E_CORRUPT},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		uint64_t request, session;
		struct kmn_ref subject;
		kmn_err e;

		world_init(&w, RULES);
		request = world_request(&w, cases[i].client, DATA);
		session = w.count;
		CU_ASSERT_EQUAL(sign_in(&(struct bent){.name = cases[i].name}), KMN_OK);
		subject = w.ref[request];
		subject.leaf[0] ^= cases[i].another;
		e = act("withdraw", session, cases[i].name,
		    json_pack("{s:o, s:s}", "subject", kmn_ref_json(&subject), "reason", "Wrong list"));
		if (e != cases[i].want)
			printf("# %s: %s: %s\n", cases[i].says, kmn_err_name(e), w.finding.text);
		CU_ASSERT_EQUAL(e, cases[i].want);
		world_clear(&w);
	}
}

/* ---- instructions ------------------------------------------------------------------------------------------------ */

static kmn_err
instruct(uint64_t session, const struct bent *b)
{
	const char *name = b->name != NULL ? b->name : "kato";
	char time[KMN_TIME_TEXT_BYTES], file[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	uint8_t sha256[KMN_HASH_BYTES];
	const struct kmn_signed_pair pair[] = {{"origin", ORIGIN}, {"client", b->client != NULL ? b->client : "ca"},
	    {"what", b->doing != NULL ? b->doing : "sign"}, {"token", b->token != NULL ? b->token : "root"},
	    {"key-label", b->label != NULL ? b->label : "root-ca"}, {"mechanism", "CKM_ECDSA_SHA256"},
	    {"file-len", "17"}, {"file-sha256", file}, {"purpose", "Monthly CRL"},
	    {"nonce", b64_nonce((uint8_t)(100 + b->nonce))}, {"time", time}};
	char *note;
	kmn_err e;

	kmn_sha256(DATA, strlen(DATA), sha256);
	kmn_b64(sha256, sizeof(sha256), file);
	kmn_time_text((int64_t)w.t - b->made_before_ms, time);
	note = sign(KMN_SIGNED_INSTRUCTION, pair, KMN_COUNT_OF(pair), b->signers != NULL ? b->signers : name);
	e = act("instruct", session, name, json_pack("{s:{s:s}}", "auth", "note", note));
	free(note);
	return e;
}

static kmn_err
call(const char *client, const char *data, uint64_t action, const char *label)
{
	json_t *body = world_intent(&w, client, (const uint8_t *)data, strlen(data));
	char id[40];

	snprintf(id, sizeof(id), "action %llu", (unsigned long long)action);
	(void)json_object_set_new(body, "application", json_pack("{s:s}", "id", id));
	if (label != NULL)
		(void)json_object_set_new(json_object_get(body, "key"), "label", json_string(label));
	return world_append(&w, KMN_R_INTENT, body);
}

/* kato is signed in: the session. */
static uint64_t
begin(void)
{
	world_init(&w, RULES);
	CU_ASSERT_EQUAL(sign_in(&(struct bent){.name = "kato"}), KMN_OK);
	return w.count - 1;
}

static void
test_instruct(void)
{
	static const struct {
		const char *says;
		struct bent bent;
		kmn_err want;
	} cases[] = {
	    {"as it must be", {.name = NULL}, KMN_OK},
	    {"by who is no operator", {.signers = "sato"}, KMN_E_CORRUPT},
	    {"of a client without operators", {.client = "other"}, KMN_E_CORRUPT},
	    {"on a token that the client does not see", {.token = "spare"}, KMN_E_CORRUPT},
	    {"of something else", {.doing = "wipe"}, KMN_E_CORRUPT},
	    {"signed an hour ago", {.made_before_ms = 3600000}, KMN_E_CORRUPT},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		uint64_t session = begin();
		kmn_err e = instruct(session, &cases[i].bent);

		if (e != cases[i].want)
			printf("# %s: %s: %s\n", cases[i].says, kmn_err_name(e), w.finding.text);
		CU_ASSERT_EQUAL(e, cases[i].want);
		world_clear(&w);
	}
}

static void
test_call(void)
{
	static const struct {
		const char *says, *client, *data, *label;
		uint64_t later_ms;
		kmn_err want;
	} cases[] = {
	    {"the call that is wanted", "ca", DATA, NULL, 0, KMN_OK},
	    {"another file", "ca", "another list", NULL, 0, KMN_E_CORRUPT},
	    {"another key", "ca", DATA, "other-ca", 0, KMN_E_CORRUPT},
	    {"another client", "other", DATA, NULL, 0, KMN_E_CORRUPT},
	    {"two days later", "ca", DATA, NULL, 2 * 86400000, KMN_E_CORRUPT},
	};
	uint64_t action;

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		uint64_t session = begin();
		kmn_err e;

		action = w.count;
		CU_ASSERT_EQUAL(instruct(session, &(struct bent){.name = NULL}), KMN_OK);
		w.t += cases[i].later_ms;
		e = call(cases[i].client, cases[i].data, action, cases[i].label);
		if (e != cases[i].want)
			printf("# %s: %s: %s\n", cases[i].says, kmn_err_name(e), w.finding.text);
		CU_ASSERT_EQUAL(e, cases[i].want);
		if (cases[i].want == KMN_OK)
			CU_ASSERT_EQUAL(call(cases[i].client, cases[i].data, action, NULL), KMN_E_CORRUPT); /* once */
		world_clear(&w);
	}
	(void)begin();
	CU_ASSERT_EQUAL(call("ca", DATA, 12, NULL), KMN_E_CORRUPT); /* no such action */
	world_clear(&w);
}

/* ---- an instruction that meets the request of an earlier one ------------------------------------------------------- */

static uint64_t
instructed(uint64_t session, uint8_t nonce)
{
	CU_ASSERT_EQUAL_FATAL(instruct(session, &(struct bent){.nonce = nonce}), KMN_OK);
	return w.count - 1;
}

/* A request that is approved. */
static uint64_t
approved(uint64_t action)
{
	uint64_t request = w.count;
	struct kmn_head head;
	json_t *body = NULL;

	if (action != 0) {
		CU_ASSERT_EQUAL_FATAL(call("ca", DATA, action, NULL), KMN_OK);
	} else {
		body = world_intent(&w, "ca", (const uint8_t *)DATA, strlen(DATA));
		CU_ASSERT_EQUAL_FATAL(world_append(&w, KMN_R_INTENT, body), KMN_OK);
		body = NULL;
	}
	world_head(&w, &head);
	CU_ASSERT_EQUAL_FATAL(
	    kmn_quorum_statement_body(w.quorum, kmn_quorum_request(w.quorum, request), &head, &body), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(world_append(&w, KMN_R_STATEMENT, body), KMN_OK);
	CU_ASSERT_TRUE(world_vote(&w, request, "sato suzuki mori", KMN_APPROVE, NULL));
	return request;
}

static kmn_err
decide_for(uint64_t request, const char *verdict, const char *id)
{
	json_t *body = NULL;

	if (kmn_quorum_decision_body(w.quorum, kmn_quorum_request(w.quorum, request), verdict, &body) != KMN_OK)
		KMN_BUG("a decision");
	(void)json_object_set_new(body, "application", json_pack("{s:s}", "id", id));
	return world_append(&w, KMN_R_DECISION, body);
}

static void
test_met(void)
{
	static const struct {
		const char *says, *verdict;
		int of; /* 0, 1, 2: which instruction; 3: none that is there; 4: no instruction */
		bool uninstructed;
		kmn_err want;
	} cases[] = {
	    {"the same, signed again", "allow", 1, false, KMN_OK},
	    {"the request's own", "allow", 0, false, KMN_E_CORRUPT},
	    {"of another key", "allow", 2, false, KMN_E_CORRUPT},
	    {"one that is not there", "allow", 3, false, KMN_E_CORRUPT},
	    {"something else", "allow", 4, false, KMN_E_CORRUPT},
	    {"a request that nobody instructed", "allow", 1, true, KMN_E_CORRUPT},
	    {"one that nothing runs of", "withdrawn", 1, false, KMN_E_CORRUPT},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		uint64_t session = begin(), action[3], request;
		char id[40];
		kmn_err e;

		action[0] = instructed(session, 1);
		action[1] = instructed(session, 2);
		CU_ASSERT_EQUAL(instruct(session, &(struct bent){.nonce = 3, .label = "other-ca"}), KMN_OK);
		action[2] = w.count - 1;
		request = approved(cases[i].uninstructed ? 0 : action[0]);
		if (cases[i].of < 3)
			snprintf(id, sizeof(id), "action %llu", (unsigned long long)action[cases[i].of]);
		else
			snprintf(id, sizeof(id), "%s", cases[i].of == 3 ? "action 2" : "ticket 7");
		e = decide_for(request, cases[i].verdict, id);
		if (e != cases[i].want)
			printf("# %s: %s: %s\n", cases[i].says, kmn_err_name(e), w.finding.text);
		CU_ASSERT_EQUAL(e, cases[i].want);
		if (cases[i].want == KMN_OK)
			CU_ASSERT_EQUAL(call("ca", DATA, action[1], NULL), KMN_E_CORRUPT); /* used up with it */
		world_clear(&w);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a session begins with what its person signed, there and then", test_sign_in},
	    {"or with the certificate of that person's terminal", test_certificate},
	    {"what is done belongs to a session that stands, of that person", test_session},
	    {"without one, of another, after its end: nothing is done", test_without_session},
	    {"a text is signed for one thing", test_nonce},
	    {"a request is taken back by who operates its client", test_withdraw},
	    {"without a policy in force nothing counts", test_without_policy},
	    {"an instruction is an operator's, for the client and the tokens that it runs", test_instruct},
	    {"a call that names one is the one that was wanted, once", test_call},
	    {"one that was signed again may meet the request of the earlier one, and is used up with it", test_met},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/action", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
