/* Logins that a quorum approves: by a sealed PIN, at the HSM's own pad, and everything that comes in between. */
#include "config.h"

#include <jansson.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/messages.h"
#include "kanmon/sealedpin.h"
#include "kanmon/statement.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define SLOT 11u
#define DESK 3u /* the terminal's connection */
#define PEOPLE 3u

static const char *const names[PEOPLE] = {"sato", "suzuki", "tanaka"};
static const char rules[] = "rule login\n  client ca other\n  calls login\n  need keepers\n  per login\n"
			    "rule rest\n  client ca other\n  calls session query key-use key-management\n"
			    "  mechanisms any\n  need none\n";

struct scene {
	struct rig rig;
	struct rig_app app;
	uint8_t public[PEOPLE][KMN_SHARE_KEY_BYTES], secret[PEOPLE][crypto_box_SECRETKEYBYTES];
	char *text; /* of the sealed PIN; NULL: there is none */
	struct kmn_sealed_pin *sealed;
	uint8_t *payload; /* of the login that waits */
	size_t payload_len;
};

static struct kmn_sealed_token token;

static void
adapt(struct kmn_keeper_setup *setup, void *cookie)
{
	const struct scene *s = cookie;

	token = (struct kmn_sealed_token){.token = "mock-1", .text = s->text};
	setup->activations = &token;
	setup->activation_count = s->text != NULL;
}

static void
seal(struct scene *s, const char *pin)
{
	uint8_t random[KMN_DEAL_RANDOM_BYTES];
	struct kmn_deal d = {.origin = "o",
	    .token = "mock-1",
	    .least = 2,
	    .count = PEOPLE,
	    .name = names,
	    .share_key = (const uint8_t(*)[KMN_SHARE_KEY_BYTES])s->public,
	    .pin = pin,
	    .pin_len = strlen(pin)};

	for (unsigned i = 0; i < PEOPLE; i++)
		crypto_box_keypair(s->public[i], s -> secret[i]);
	randombytes_buf(random, sizeof(random));
	CU_ASSERT_EQUAL_FATAL(kmn_sealed_pin_deal(&d, random, &s->text), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_sealed_pin_parse(s->text, strlen(s->text), &s->sealed), KMN_OK);
}

/* `pin` NULL: the gateway has none. */
static void
begin_with(struct scene *s, const char *pin, const char *with_rules)
{
	static const struct rig_module mock = {.name = "mock", .environment = {"KMN_MOCK_INTERFACES=3.2"}};
	const struct rig_plan plan = {.modules = &mock,
	    .module_count = 1,
	    .tokens = "mock-1",
	    .token_lines = "token mock-1\n",
	    .adapt = adapt,
	    .adapt_cookie = s};

	memset(s, 0, sizeof(*s));
	if (pin != NULL)
		seal(s, pin);
	rig_start_with(&s->rig, &plan, with_rules);
	rig_attach(&s->rig, &s->app, 1, &s->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&s->rig, &s->app), CKR_OK);
	rig_open(&s->rig, DESK, &s->rig.terminal);
}

static void
watch(struct scene *s)
{
	struct kmn_writer w;

	CU_ASSERT_TRUE_FATAL(rig_join(&s->rig, &s->app, 2, &s->rig.ca));
	kmn_writer_init(&w, 16);
	rig_send(&s->rig, 2, KMN_F_WATCH, &w);
}

static void
begin(struct scene *s, const char *pin)
{
	begin_with(s, pin, rules);
	watch(s);
}

static void
end(struct scene *s)
{
	CU_ASSERT_EQUAL(rig_stop(&s->rig), 0);
	rig_end(&s->rig);
	kmn_sealed_pin_free(s->sealed);
	free(s->text);
	free(s->payload);
}

/* ---- a login that waits --------------------------------------------------------------------------------------------- */

static uint64_t
ask(struct scene *s, CK_USER_TYPE user, const char *pin)
{
	struct kmn_arg arg[] = {
	    {.u = s->app.session}, {.u = user}, {.p = (void *)(uintptr_t)pin, .u = pin != NULL ? strlen(pin) : 0}};

	free(s->payload);
	rig_payload(KMN_C_Login, arg, KMN_COUNT_OF(arg), &s->payload, &s->payload_len);
	rig_call_raw(&s->rig, 1, ++s->app.number, s->app.acknowledged, s->payload, s->payload_len);
	return s->app.number;
}

static uint64_t
held(struct scene *s)
{
	struct rig_frame f = {.len = 0};
	struct kmn_reader r;

	CU_ASSERT_TRUE_FATAL(rig_expect(&s->rig, 1, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u64(&r);
}

static CK_RV
decode(const struct rig_frame *f)
{
	struct kmn_arg none[3] = {{.u = 0}};
	CK_RV rv = CKR_VENDOR_DEFINED;

	CU_ASSERT_EQUAL(
	    kmn_response_decode(KMN_C_Login, none, 3, f->body + RIG_REPLY, f->len - RIG_REPLY, &rv), KMN_OK);
	return rv;
}

/* What came of the one that waited. */
static CK_RV
outcome(struct scene *s)
{
	struct rig_frame f;

	CU_ASSERT_TRUE(rig_expect(&s->rig, 2, KMN_F_READY, NULL));
	rig_call_raw(&s->rig, 1, s->app.number, s->app.acknowledged, s->payload, s->payload_len);
	if (!rig_expect(&s->rig, 1, KMN_F_REPLY, &f))
		return CKR_VENDOR_DEFINED;
	s->app.acknowledged = s->app.number + 1;
	return decode(&f);
}

/* The answer to one that does not wait. */
static CK_RV
at_once(struct scene *s, CK_USER_TYPE user, const char *pin)
{
	struct rig_frame f;

	(void)ask(s, user, pin);
	if (!rig_expect(&s->rig, 1, KMN_F_REPLY, &f))
		return CKR_VENDOR_DEFINED;
	s->app.acknowledged = s->app.number + 1;
	return decode(&f);
}

static CK_RV
simple(struct scene *s, enum kmn_call_id id)
{
	struct kmn_arg arg[] = {{.u = s->app.session}};

	return rig_call(&s->rig, &s->app, id, arg, 1);
}

/* ---- custodians ------------------------------------------------------------------------------------------------------ */

static json_t *
show(struct scene *s, uint64_t request)
{
	static char text[12288];
	struct kmn_writer w;

	kmn_writer_init(&w, 64);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_SHOW);
	kmn_writer_u64(&w, request);
	CU_ASSERT_EQUAL(rig_admin(&s->rig, DESK, &w, text, sizeof(text)), KMN_OK);
	return json_loads(text, 0, NULL);
}

static bool
state_is(struct scene *s, uint64_t request, const char *want)
{
	json_t *answer = show(s, request);
	const char *state = json_string_value(json_object_get(json_object_get(answer, "request"), "state"));
	bool is = state != NULL && strcmp(state, want) == 0;

	json_decref(answer);
	return is;
}

/* The statement's activation key. */
static void
key_of(struct scene *s, uint64_t request, uint8_t key[KMN_SHARE_KEY_BYTES])
{
	const char *value = NULL;
	size_t len = 0, n = 0;

	for (int i = 0; i < 100 && value == NULL; i++) {
		json_t *answer = show(s, request);
		const char *text = json_string_value(json_object_get(answer, "statement"));

		if (text != NULL && (value = kmn_statement_value(text, "activation-key", &len)) != NULL) {
			CU_ASSERT_EQUAL(kmn_b64_parse(value, len, key, KMN_SHARE_KEY_BYTES, &n), KMN_OK);
			CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(answer, "sealed_pin")), s->text);
		}
		json_decref(answer);
		if (value == NULL)
			rig_pump(&s->rig, 20);
	}
	CU_ASSERT_EQUAL(n, KMN_SHARE_KEY_BYTES);
}

static uint32_t
bring(struct scene *s, uint32_t conn, uint64_t request, const uint8_t box[KMN_SHARE_BOX_BYTES])
{
	struct kmn_writer w;

	kmn_writer_init(&w, 512);
	kmn_writer_u16(&w, KMN_ADMIN_SHARE);
	kmn_writer_u64(&w, request);
	kmn_writer_bytes(&w, box, KMN_SHARE_BOX_BYTES);
	return rig_admin(&s->rig, conn, &w, NULL, 0);
}

static uint32_t
share(struct scene *s, uint64_t request, unsigned who)
{
	uint8_t key[KMN_SHARE_KEY_BYTES] = {0}, box[KMN_SHARE_BOX_BYTES];

	key_of(s, request, key);
	CU_ASSERT_EQUAL(
	    kmn_sealed_pin_pass_on(s->sealed, names[who], s->public[who], s -> secret[who], key, box), KMN_OK);
	return bring(s, DESK, request, box);
}

static void
approve(struct scene *s, uint64_t request, unsigned who)
{
	if (s->text != NULL)
		CU_ASSERT_EQUAL(share(s, request, who), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&s->rig, DESK, request, names[who], "approve"), KMN_OK);
}

/* ---- cases ------------------------------------------------------------------------------------------------------------ */

static void
test_sealed(void)
{
	CK_TOKEN_INFO info = {.flags = 0};
	struct kmn_arg about[] = {{.u = SLOT}, {.p = &info}};
	struct scene s;
	uint64_t request;

	begin(&s, "1234");
	CU_ASSERT_EQUAL(rig_call(&s.rig, &s.app, KMN_C_GetTokenInfo, about, 2), CKR_OK);
	CU_ASSERT_TRUE(info.flags & CKF_PROTECTED_AUTHENTICATION_PATH);
	(void)ask(&s, CKU_USER, "not the PIN");
	request = held(&s);
	approve(&s, request, 0);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 0);
	approve(&s, request, 2);
	CU_ASSERT_EQUAL(outcome(&s), CKR_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 1);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "session", "\"request\":"), 1);
	/* Who is in is in; out needs nobody; in again needs all. */
	CU_ASSERT_EQUAL(at_once(&s, CKU_USER, NULL), CKR_USER_ALREADY_LOGGED_IN);
	CU_ASSERT_EQUAL(simple(&s, KMN_C_Logout), CKR_OK);
	(void)ask(&s, CKU_USER, NULL);
	CU_ASSERT_NOT_EQUAL(held(&s), request);
	end(&s);
}

/* Approvals and shares are two conditions: neither alone lets anybody in, in either order. */
static void
test_order(void)
{
	struct scene s;
	uint64_t request;

	begin(&s, "1234");
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	CU_ASSERT_EQUAL(share(&s, request, 0), KMN_OK);
	CU_ASSERT_EQUAL(share(&s, request, 1), KMN_OK);
	CU_ASSERT_EQUAL(share(&s, request, 2), KMN_OK);
	rig_pump(&s.rig, 100);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 0);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, DESK, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, DESK, request, "suzuki", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(outcome(&s), CKR_OK);
	CU_ASSERT_EQUAL(simple(&s, KMN_C_Logout), CKR_OK);
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, DESK, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, DESK, request, "suzuki", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(share(&s, request, 1), KMN_OK);
	CU_ASSERT_TRUE(state_is(&s, request, "approved"));
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 1);
	CU_ASSERT_EQUAL(share(&s, request, 2), KMN_OK);
	CU_ASSERT_EQUAL(outcome(&s), CKR_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 2);
	end(&s);
}

static void
test_wrong_shares(void)
{
	uint8_t key[KMN_SHARE_KEY_BYTES], box[KMN_SHARE_BOX_BYTES] = {1}, made[KMN_SHARE_BYTES] = {0};
	struct scene s;
	uint64_t request;

	begin(&s, "1234");
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	key_of(&s, request, key);
	CU_ASSERT_EQUAL(bring(&s, DESK, request, box), KMN_E_PASSPHRASE);
	CU_ASSERT_EQUAL(crypto_box_seal(box, made, sizeof(made), key), 0);
	CU_ASSERT_EQUAL(bring(&s, DESK, request, box), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(bring(&s, DESK, request + 1000, box), KMN_E_NOT_FOUND);
	rig_open(&s.rig, 4, &s.rig.other);
	CU_ASSERT_EQUAL(bring(&s, 4, request, box), KMN_E_DENIED); /* an application brings none */
	approve(&s, request, 0);
	approve(&s, request, 1);
	CU_ASSERT_EQUAL(outcome(&s), CKR_OK);
	CU_ASSERT_EQUAL(bring(&s, DESK, request, box), KMN_E_NOT_FOUND); /* too late */
	end(&s);
}

static void
test_refused_pin(void)
{
	struct scene s;
	uint64_t request;

	begin(&s, "wrong");
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	approve(&s, request, 0);
	approve(&s, request, 1);
	CU_ASSERT_EQUAL(outcome(&s), CKR_PIN_INCORRECT); /* the HSM's own word */
	CU_ASSERT_TRUE(state_is(&s, request, "failed"));
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(at_once(&s, CKU_USER, NULL), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 1);
	end(&s);
}

static void
test_rejected(void)
{
	struct scene s;
	uint64_t request;

	begin(&s, "1234");
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, DESK, request, "sato", "reject"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, DESK, request, "suzuki", "reject"), KMN_OK);
	CU_ASSERT_EQUAL(outcome(&s), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 0);
	end(&s);
}

/* The wait ends, the process lives: the same login made again meets the approvals that came meanwhile. */
static void
test_wait_over(void)
{
	struct scene s;
	struct kmn_writer w;
	struct rig_frame f;
	uint64_t request;

	begin(&s, "1234");
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, s.app.number);
	rig_send(&s.rig, 1, KMN_F_END_WAIT, &w);
	CU_ASSERT_TRUE_FATAL(rig_expect(&s.rig, 1, KMN_F_REPLY, &f));
	CU_ASSERT_EQUAL(decode(&f), CKR_FUNCTION_CANCELED);
	s.app.acknowledged = s.app.number + 1;
	approve(&s, request, 0);
	approve(&s, request, 1);
	CU_ASSERT_TRUE(state_is(&s, request, "approved"));
	(void)ask(&s, CKU_USER, "0000");
	CU_ASSERT_EQUAL(held(&s), request);
	CU_ASSERT_EQUAL(outcome(&s), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "intent", "C_Login"), 1);
	end(&s);
}

static CK_RV
outcome_of(struct scene *s, uint64_t number, const uint8_t *payload, size_t len)
{
	struct rig_frame f;

	rig_call_raw(&s->rig, 1, number, s->app.acknowledged, payload, len);
	return rig_expect(&s->rig, 1, KMN_F_REPLY, &f) ? decode(&f) : CKR_VENDOR_DEFINED;
}

/* Two threads log in at once: one request, one login, and the other is told that it is in. */
static void
test_two_threads(void)
{
	struct scene s;
	uint64_t request, first, second;
	uint8_t *payload;
	size_t len;
	CK_RV one, other;

	begin(&s, "1234");
	first = ask(&s, CKU_USER, NULL);
	request = held(&s);
	payload = s.payload; /* each has a salt of its own */
	len = s.payload_len;
	s.payload = NULL;
	second = ask(&s, CKU_USER, NULL);
	CU_ASSERT_EQUAL(held(&s), request);
	approve(&s, request, 0);
	approve(&s, request, 1);
	CU_ASSERT_TRUE(rig_expect(&s.rig, 2, KMN_F_READY, NULL));
	CU_ASSERT_TRUE(rig_expect(&s.rig, 2, KMN_F_READY, NULL));
	one = outcome_of(&s, first, payload, len);
	other = outcome_of(&s, second, s.payload, s.payload_len);
	free(payload);
	CU_ASSERT_EQUAL(one == CKR_OK ? other : one, CKR_USER_ALREADY_LOGGED_IN);
	CU_ASSERT_TRUE(one == CKR_OK || other == CKR_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 1);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "intent", "C_Login"), 1);
	end(&s);
}

static void
test_worker_dies(void)
{
	struct scene s;
	uint64_t request;
	uint8_t key[KMN_SHARE_KEY_BYTES];

	begin(&s, "1234");
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	key_of(&s, request, key);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, DESK, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(kill(rig_worker_of(&s.rig, 0)->pid, SIGKILL), 0);
	for (int i = 0; i < 100 && !state_is(&s, request, "withdrawn"); i++)
		rig_pump(&s.rig, 50);
	CU_ASSERT_TRUE(state_is(&s, request, "withdrawn"));
	CU_ASSERT_EQUAL(rig_records(&s.rig, "decision", "\"withdrawn\""), 1);
	end(&s);
}

static void
test_keeper_dies(void)
{
	struct scene s;
	uint64_t request;
	uint8_t key[KMN_SHARE_KEY_BYTES];

	begin(&s, "1234");
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	key_of(&s, request, key);
	CU_ASSERT_EQUAL(share(&s, request, 0), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&s.rig, DESK, request, "sato", "approve"), KMN_OK);
	rig_kill(&s.rig);
	rig_restart(&s.rig);
	rig_open(&s.rig, DESK, &s.rig.terminal);
	for (int i = 0; i < 100 && !state_is(&s, request, "withdrawn"); i++)
		rig_pump(&s.rig, 50);
	CU_ASSERT_TRUE(state_is(&s, request, "withdrawn"));
	end(&s);
}

/* Without a sealed PIN: the HSM's own pad, or the caller's PIN, after the quorum. */
static void
test_unsealed(void)
{
	CK_TOKEN_INFO info = {.flags = 0};
	struct kmn_arg about[] = {{.u = SLOT}, {.p = &info}};
	struct scene s;
	uint64_t request;

	begin(&s, NULL);
	CU_ASSERT_EQUAL(rig_call(&s.rig, &s.app, KMN_C_GetTokenInfo, about, 2), CKR_OK);
	CU_ASSERT_FALSE(info.flags & CKF_PROTECTED_AUTHENTICATION_PATH);
	(void)ask(&s, CKU_USER, "1234");
	request = held(&s);
	approve(&s, request, 0);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 0);
	approve(&s, request, 1);
	CU_ASSERT_EQUAL(outcome(&s), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "intent", "\"pin\":\"supplied\""), 1);
	CU_ASSERT_EQUAL(simple(&s, KMN_C_Logout), CKR_OK);
	(void)ask(&s, CKU_USER, NULL);
	request = held(&s);
	approve(&s, request, 0);
	approve(&s, request, 1);
	CU_ASSERT_EQUAL(outcome(&s), CKR_PIN_INCORRECT); /* the mock has no pad: NULL went to it */
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Login"), 2);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "intent", "\"pin\":\"protected-path\""), 1);
	end(&s);
}

static void
test_refusals(void)
{
	struct kmn_arg user[] = {{.u = 0}, {.u = CKU_USER}, {.p = NULL, .u = 0}, {.p = (char[]){"anna"}, .u = 4}};
	struct scene s;

	begin(&s, "1234");
	user[0].u = s.app.session;
	CU_ASSERT_EQUAL(at_once(&s, CKU_SO, NULL), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(rig_call(&s.rig, &s.app, KMN_C_LoginUser, user, 4), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(at_once(&s, 77, NULL), CKR_USER_TYPE_INVALID); /* the module's word */
	CU_ASSERT_EQUAL(simple(&s, KMN_C_Logout), CKR_USER_NOT_LOGGED_IN);
	s.app.session ^= 0x40000;
	CU_ASSERT_EQUAL(at_once(&s, CKU_USER, NULL), CKR_SESSION_HANDLE_INVALID);
	end(&s);
	begin_with(&s, "1234",
	    "rule login\n  client ca other\n  calls login\n  need keepers\n"
	    "rule rest\n  client ca other\n  calls session query\n  need none\n");
	CU_ASSERT_EQUAL(at_once(&s, CKU_USER, NULL), CKR_FUNCTION_CANCELED); /* the rule does not say per login */
	end(&s);
}

static CU_TestInfo cases[] = {
    {"a sealed PIN: two approve, the flag is shown, who is in is in, out needs nobody", test_sealed},
    {"approvals and shares are two conditions, in either order", test_order},
    {"shares that are none are refused, and harm nothing", test_wrong_shares},
    {"a sealed PIN that the HSM refuses is not tried again", test_refused_pin},
    {"rejected: CKR_FUNCTION_CANCELED, and the HSM is not asked", test_rejected},
    {"the wait ends: the same login made again meets its approvals", test_wait_over},
    {"two threads: one request, one login, and the other is told that it is in", test_two_threads},
    {"the worker dies: the request is withdrawn", test_worker_dies},
    {"the keeper dies: the request is withdrawn at the next start", test_keeper_dies},
    {"without a sealed PIN the call goes on as it came, after the quorum", test_unsealed},
    {"what no quorum can let in", test_refusals},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"keeper/login", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	if (sodium_init() < 0)
		return 99;
	return kmn_test_main(argc, argv, suites);
}
