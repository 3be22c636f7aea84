/* A new version of the policy in a keeper that runs: who may bring it, and what becomes of what was under way. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/admin.h"
#include "kanmon/messages.h"
#include "tests/unit/keeper/next_policy.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

static const char rules[] = "rule guarded\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n"
			    "  need keepers\n"
			    "rule chance\n  client ca other\n  calls random\n  need none\n"
			    "rule the-rest\n  client ca other\n  calls login session query key-use key-management\n"
			    "  need none\n";

static struct rig rig;
static struct rig_app app;
static CK_OBJECT_HANDLE key;
static char *first; /* text of version 1 */
static char answer[1024];

static void
set_up(void)
{
	rig_start(&rig, rules);
	first = rig_policy(&rig);
	memset(&app, 0, sizeof(app));
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &key), CKR_OK);
	rig_open(&rig, 3, &rig.terminal);
}

static void
tear_down(void)
{
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
	free(first);
}

static uint32_t
submit(const char *const pairs[], const char *names)
{
	char *text = next_policy(first, pairs);
	uint32_t error = submit_policy(&rig, 3, text, names, answer, sizeof(answer));

	free(text);
	return error;
}

static CK_RV
draw(struct rig_app *who)
{
	uint8_t out[32];
	struct kmn_arg arg[] = {{.u = who->session}, {.p = out, .u = sizeof(out)}};

	return rig_call(&rig, who, KMN_C_GenerateRandom, arg, 2);
}

static void
test_refused(void)
{
	static const struct {
		const char *says, *pairs[4], *names, *why;
	} cases[] = {
	    {"by one person", {NULL}, "sato", "signed by 1 of the 2"},
	    {"by two keys of one person", {NULL}, "sato sato", "signed by 1 of the 2"},
	    {"by nobody that the policy knows", {NULL}, "nobody kato", "signed by 0 of the 2"},
	    {"version + 2", {"version 2", "version 3", NULL}, "sato suzuki", "not the one after"},
	    {"the same version", {"version 2", "version 1", NULL}, "sato suzuki", ""},
	    {"another origin", {"gw1/2026", "gw2/2026", NULL}, "sato suzuki", "origin"},
	    {"expired", {"expires 2037", "expires 2026", "not-before 2026", "not-before 2025"}, "sato suzuki",
		"expired"},
	    {"not yet", {"not-before 2026", "not-before 2036", NULL}, "sato suzuki", "not-before"},
	    {"no policy", {"custodian sato", "custodians sato", NULL}, "sato suzuki", "custodians"},
	};

	set_up();
	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		const char *pairs[5] = {NULL};

		memcpy(pairs, cases[n].pairs, sizeof(cases[n].pairs));
		if (submit(pairs, cases[n].names) == KMN_OK || strstr(answer, cases[n].why) == NULL) {
			CU_FAIL("a policy is refused, and said why");
			printf("# %s: %s\n", cases[n].says, answer);
		}
	}
	/* A client may not bring it, whoever signed it; the one in force is refused too. */
	rig_open(&rig, 4, &rig.other);
	CU_ASSERT_EQUAL(submit_policy(&rig, 4, first, "sato suzuki", answer, sizeof(answer)), KMN_E_DENIED);
	CU_ASSERT_NOT_EQUAL(submit_policy(&rig, 3, first, "sato suzuki", answer, sizeof(answer)), KMN_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "policy", NULL), 0);
	CU_ASSERT_EQUAL(draw(&app), CKR_OK);
	tear_down();
}

static void
test_peers(void)
{
	struct test_certificate fresh;
	char old[80], new[80], b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	const char *pairs[] = {old, new, "rule chance\n  client ca other", "rule chance\n  client ca new",
	    "rule the-rest\n  client ca other", "rule the-rest\n  client ca new", NULL};
	struct rig_app other = {.conn = 0}, come = {.conn = 0};

	set_up();
	rig_attach(&rig, &other, 4, &rig.other);
	CU_ASSERT_EQUAL(rig_open_session(&rig, &other), CKR_OK);
	CU_ASSERT_TRUE_FATAL(test_certificate_make(&fresh, "P-256", -60, 3600));
	kmn_b64(rig.other.spki, KMN_HASH_BYTES, b64);
	(void)snprintf(old, sizeof(old), "client other spki:%s", b64);
	kmn_b64(fresh.spki, KMN_HASH_BYTES, b64);
	(void)snprintf(new, sizeof(new), "client new spki:%s", b64);
	rig.pinned = false;
	CU_ASSERT_EQUAL(submit(pairs, "sato suzuki"), KMN_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "\"version\":2"));
	CU_ASSERT_TRUE(rig_expect_closed(&rig, 4));
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_NOTICE, NULL)); /* what it has cached may be other now */
	CU_ASSERT_TRUE(rig.pinned);                              /* the gate knows whom to let in */
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.close", "does not name it any more"), 1);
	CU_ASSERT_EQUAL(draw(&app), CKR_OK);
	rig_open(&rig, 5, &rig.other);
	CU_ASSERT_TRUE(rig_expect_closed(&rig, 5));
	rig_attach(&rig, &come, 6, &fresh);
	CU_ASSERT_EQUAL(rig_open_session(&rig, &come), CKR_OK);
	CU_ASSERT_EQUAL(draw(&come), CKR_OK);

	/* A start reads the newest. */
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_restart(&rig);
	memset(&come, 0, sizeof(come));
	rig_attach(&rig, &come, 7, &fresh);
	rig_open(&rig, 8, &rig.other);
	CU_ASSERT_TRUE(rig_expect_closed(&rig, 8));
	tear_down();
}

static void
test_requests(void)
{
	const char *pairs[] = {"need keepers\n", "need keepers\n  expires 2h\n", NULL};
	uint8_t signature[512], *payload;
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[3] = {{.u = 0}, {.p = (char[]){"data"}, .u = 4}, {.p = signature, .n = &len}};
	struct rig_frame f = {0};
	struct kmn_reader r;
	uint64_t request;
	size_t size;
	CK_RV rv = CKR_OK;

	set_up();
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	arg[0].u = app.session;
	rig_payload(KMN_C_Sign, arg, 3, &payload, &size);
	rig_call_raw(&rig, 1, ++app.number, app.acknowledged, payload, size);
	CU_ASSERT_TRUE_FATAL(rig_expect(&rig, 1, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	request = kmn_reader_u64(&r);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(submit(pairs, "sato suzuki"), KMN_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "decision", "\"withdrawn\""), 1);
	rig_call_raw(&rig, 1, app.number, app.acknowledged, payload, size);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_REPLY, &f));
	CU_ASSERT_EQUAL(kmn_response_decode(KMN_C_Sign, arg, 3, f.body + RIG_REPLY, f.len - RIG_REPLY, &rv), KMN_OK);
	CU_ASSERT_EQUAL(rv, CKR_FUNCTION_CANCELED);
	/* The second approval comes too late. */
	(void)rig_vote(&rig, 3, request, "suzuki", "approve");
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 0);
	free(payload);
	tear_down();
}

/* While the module draws a random number, the rule that lets it goes away. */
static bool
change_meanwhile(struct rig *r, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	static const char *const pairs[] = {"rule chance\n  client ca other\n  calls random\n  need none\n", "", NULL};
	struct kmn_call_view view;
	struct kmn_writer w;
	char *text, *note;

	(void)worker;
	if (!to_worker || m->kind != KMN_W_CALL || m->len_bytes < 9 ||
	    kmn_call_view_decode(m->body + 9, m->len_bytes - 9, &view) != KMN_OK || view.id != KMN_C_GenerateRandom)
		return true;
	r->spy = NULL;
	text = next_policy(first, pairs);
	note = world_sign(text, "sato suzuki");
	kmn_writer_init(&w, 65536);
	kmn_writer_u16(&w, KMN_ADMIN_POLICY_SUBMIT);
	kmn_writer_u8(&w, 0);
	kmn_writer_text(&w, note);
	rig_send(r, 3, KMN_F_ADMIN, &w);
	for (int i = 0; i < 500 && rig_records(r, "policy", NULL) == 0; i++)
		usleep(10000);
	CU_ASSERT_EQUAL(rig_records(r, "policy", NULL), 1);
	free(text);
	free(note);
	return true;
}

static void
test_under_way(void)
{
	set_up();
	rig.spy = change_meanwhile;
	CU_ASSERT_EQUAL(draw(&app), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "\"rule\":\"chance\""), 1);
	CU_ASSERT_EQUAL(draw(&app), CKR_FUNCTION_REJECTED);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "\"version\":1"), 1);
	tear_down(); /* and the auditor agrees */
}

/* Brings what the recovery role signed; the error. */
static uint32_t
propose(const char *names)
{
	char *text = next_policy(first, NULL), *note = world_sign(text, names);
	struct kmn_writer w;

	kmn_writer_init(&w, 65536);
	kmn_writer_u16(&w, KMN_ADMIN_POLICY_SUBMIT);
	kmn_writer_u8(&w, 1);
	kmn_writer_text(&w, note);
	free(text);
	free(note);
	return rig_admin(&rig, 3, &w, answer, sizeof(answer));
}

static void
test_recovery(void)
{
	static const char lost[] = "role recovery 1 tanaka delay 1s\n";
	char all[2048];

	(void)snprintf(all, sizeof(all), "%s%s", lost, rules);
	rig_start(&rig, all);
	first = rig_policy(&rig);
	rig_open(&rig, 3, &rig.terminal);
	CU_ASSERT_NOT_EQUAL(propose("sato suzuki"), KMN_OK); /* not of the recovery role */
	CU_ASSERT_EQUAL(propose("tanaka sato"), KMN_OK);
	CU_ASSERT_PTR_NOT_NULL(strstr(answer, "effective_at"));
	CU_ASSERT_EQUAL(rig_records(&rig, "policy.proposal", NULL), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "policy", NULL), 0);
	for (int i = 0; i < 500 && rig_records(&rig, "policy", NULL) == 0; i++)
		rig_pump(&rig, 20);
	CU_ASSERT_EQUAL(rig_records(&rig, "policy", "\"proposal\""), 1);
	tear_down(); /* the auditor counts the delay as the keeper did */
}

/* The HSM shows another serial number than the line of its label asks for. */
static void
test_anomaly(void)
{
	static const struct rig_module mock = {.name = "mock"};
	static const struct rig_plan plan = {.modules = &mock,
	    .module_count = 1,

	    .tokens = "mock-1",
	    .token_lines = "token mock-1 serial 999\nstance mock-1 seal\n"};
	struct kmn_writer w;

	rig_start_with(&rig, &plan, rules);
	first = rig_policy(&rig);
	memset(&app, 0, sizeof(app));
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_NOT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "anomaly", "\"token\":\"mock-1\""), 1);
	CU_ASSERT_NOT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "anomaly", NULL), 1); /* said once */
	rig_open(&rig, 3, &rig.terminal);
	kmn_writer_init(&w, 16);
	kmn_writer_u16(&w, KMN_ADMIN_STATUS);
	CU_ASSERT_EQUAL(rig_admin(&rig, 3, &w, answer, sizeof(answer)), KMN_OK);
	tear_down();
}

int
main(int argc, char **argv)
{
	CU_TestInfo tests[] = {
	    {"a policy that is not the next one, signed by both quorums, is refused", test_refused},
	    {"a new version names peers at once, and drops those that it does not name", test_peers},
	    {"open requests end as withdrawn, and their votes with them", test_requests},
	    {"a call that runs while the policy changes is recorded under the one that let it", test_under_way},
	    {"what the recovery role brings takes effect by itself when its delay is over", test_recovery},
	    {"a token that is not what its line says is an anomaly, recorded once", test_anomaly},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"keeper/rotation", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
