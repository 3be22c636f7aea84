/* Calls that wait for people outside the window of numbers: PARK and FORGET. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

static const char rules[] =
    "rule root\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n  per "
    "operation\n  expires 1h\n"
    "rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n  allow "
    "import extractable\n  need none\n";

struct scene {
	struct rig rig;
	struct rig_app app;
	uint64_t number, request; /* of the call that waits */
	uint8_t *payload;
	size_t payload_len;
};

static const char *
frame_name(struct rig *rig, uint8_t type, struct rig_frame *f)
{
	return rig_expect(rig, 1, type, f) ? kmn_frame_name(type) : "none of it";
}

/* An application whose C_Sign is held. */
static void
begin(struct scene *s)
{
	static uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	CK_OBJECT_HANDLE key;
	struct rig_frame f = {0};
	struct kmn_reader r;

	*s = (struct scene){.number = 0};
	rig_start(&s->rig, rules);
	rig_attach(&s->rig, &s->app, 1, &s->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&s->rig, &s->app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&s->rig, &s->app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&s->rig, &s->app, "root", &key), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_sign_init(&s->rig, &s->app, key), CKR_OK);
	rig_payload(KMN_C_Sign,
	    (struct kmn_arg[]){{.u = s->app.session}, {.p = (char[]){"data"}, .u = 4}, {.p = signature, .n = &len}}, 3,
	    &s->payload, &s->payload_len);
	s->number = ++s->app.number;
	rig_call_raw(&s->rig, 1, s->number, s->app.acknowledged, s->payload, s->payload_len);
	CU_ASSERT_TRUE_FATAL(rig_expect(&s->rig, 1, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	s->request = kmn_reader_u64(&r);
}

static void
end(struct scene *s)
{
	CU_ASSERT_EQUAL(rig_stop(&s->rig), 0);
	free(s->payload);
	rig_end(&s->rig);
}

static void
say(struct scene *s, uint8_t type, uint64_t number)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, number);
	rig_send(&s->rig, 1, type, &w);
}

static void
call_again(struct scene *s)
{
	rig_call_raw(&s->rig, 1, s->number, s->number, s->payload, s->payload_len);
}

static uint32_t
refused(struct scene *s)
{
	struct rig_frame f;
	struct kmn_reader r;

	if (!rig_expect(&s->rig, 1, KMN_F_REFUSED, &f))
		return UINT32_MAX;
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u32(&r);
}

/* So many other calls of the application, each answered and acknowledged. */
static unsigned
others(struct scene *s, unsigned n)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < n; i++) {
		CK_SESSION_INFO info;

		s->app.acknowledged = s->app.number + 1;
		failed += rig_call(&s->rig, &s->app, KMN_C_GetSessionInfo,
			      (struct kmn_arg[]){{.u = s->app.session}, {.p = &info}}, 2) != CKR_OK;
	}
	return failed;
}

static void
approve(struct scene *s)
{
	rig_open(&s->rig, 3, &s->rig.terminal);
	CU_ASSERT_EQUAL(rig_vote(&s->rig, 3, s->request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&s->rig, 3, s->request, "tanaka", "approve"), KMN_OK);
}

static void
test_window(void)
{
	struct rig_frame first, again;
	struct scene s;

	begin(&s);
	say(&s, KMN_F_PARK, s.number);
	CU_ASSERT_STRING_EQUAL(frame_name(&s.rig, KMN_F_HELD, &first), "KMN_F_HELD");
	CU_ASSERT_EQUAL(others(&s, KMN_WINDOW_NUMBERS + 100), 0);
	call_again(&s);
	CU_ASSERT_STRING_EQUAL(frame_name(&s.rig, KMN_F_HELD, &first), "KMN_F_HELD");
	say(&s, KMN_F_PARK, s.number); /* as after a connection that broke */
	CU_ASSERT_STRING_EQUAL(frame_name(&s.rig, KMN_F_HELD, &first), "KMN_F_HELD");
	approve(&s);
	CU_ASSERT_EQUAL(others(&s, 20), 0);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Sign"), 1);
	call_again(&s);
	CU_ASSERT_STRING_EQUAL(frame_name(&s.rig, KMN_F_REPLY, &first), "KMN_F_REPLY");
	call_again(&s); /* the answer is kept until it is forgotten, whatever is acknowledged */
	CU_ASSERT_STRING_EQUAL(frame_name(&s.rig, KMN_F_REPLY, &again), "KMN_F_REPLY");
	CU_ASSERT_EQUAL(first.len, again.len);
	CU_ASSERT_EQUAL(memcmp(first.body, again.body, first.len), 0);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Sign"), 1);
	end(&s);
}

/* Aside or forgotten, it is a number that was used: nothing runs by it again. */
static void
test_replay(void)
{
	struct rig_frame f;
	struct scene s;

	begin(&s);
	say(&s, KMN_F_PARK, s.number);
	CU_ASSERT_TRUE(rig_expect(&s.rig, 1, KMN_F_HELD, &f));
	CU_ASSERT_EQUAL(others(&s, KMN_WINDOW_NUMBERS + 1), 0);
	s.payload[s.payload_len - 1] ^= 1;
	call_again(&s);
	CU_ASSERT_EQUAL(refused(&s), KMN_E_REPLAY);
	s.payload[s.payload_len - 1] ^= 1;
	say(&s, KMN_F_FORGET, s.number);
	CU_ASSERT_EQUAL(refused(&s), KMN_E_ARGUMENTS); /* it waits */
	approve(&s);
	call_again(&s);
	CU_ASSERT_TRUE(rig_expect(&s.rig, 1, KMN_F_REPLY, &f));
	for (unsigned i = 0; i < 2; i++) {
		say(&s, KMN_F_FORGET, s.number);
		CU_ASSERT_STRING_EQUAL(frame_name(&s.rig, KMN_F_FORGOTTEN, &f), "KMN_F_FORGOTTEN");
	}
	call_again(&s);
	CU_ASSERT_EQUAL(refused(&s), KMN_E_REPLAY);
	say(&s, KMN_F_PARK, s.number);
	CU_ASSERT_EQUAL(refused(&s), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Sign"), 1);
	end(&s);
}

/* One that is there already is not left aside, and one that nobody knows is none. */
static void
test_not_held(void)
{
	struct rig_frame f;
	struct scene s;

	begin(&s);
	approve(&s);
	CU_ASSERT_EQUAL(others(&s, 0), 0);
	call_again(&s);
	CU_ASSERT_TRUE(rig_expect(&s.rig, 1, KMN_F_REPLY, &f));
	say(&s, KMN_F_PARK, s.number);
	CU_ASSERT_STRING_EQUAL(frame_name(&s.rig, KMN_F_REPLY, &f), "KMN_F_REPLY");
	say(&s, KMN_F_PARK, s.number + 1);
	CU_ASSERT_EQUAL(refused(&s), KMN_E_NOT_FOUND);
	say(&s, KMN_F_PARK, 0);
	CU_ASSERT_EQUAL(refused(&s), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(others(&s, 1), 0); /* acknowledges it: it was in the window as ever */
	call_again(&s);
	CU_ASSERT_EQUAL(refused(&s), KMN_E_REPLAY);
	end(&s);
}

/* What waits aside ends as what waits in the window does. */
static void
test_withdrawn(void)
{
	struct rig_frame f;
	struct scene s;

	begin(&s);
	say(&s, KMN_F_PARK, s.number);
	CU_ASSERT_TRUE(rig_expect(&s.rig, 1, KMN_F_HELD, &f));
	CU_ASSERT_EQUAL(others(&s, KMN_WINDOW_NUMBERS + 1), 0);
	say(&s, KMN_F_WITHDRAW, s.number);
	CU_ASSERT_STRING_EQUAL(frame_name(&s.rig, KMN_F_REPLY, &f), "KMN_F_REPLY");
	CU_ASSERT_EQUAL(others(&s, 1), 0);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "decision", "\"withdrawn\""), 1);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Sign"), 0);
	end(&s);
}

/* Its session ends, then its application: nothing of it stays. */
static void
test_ends(void)
{
	struct rig_frame f;
	struct scene s;

	begin(&s);
	say(&s, KMN_F_PARK, s.number);
	CU_ASSERT_TRUE(rig_expect(&s.rig, 1, KMN_F_HELD, &f));
	CU_ASSERT_EQUAL(
	    rig_call(&s.rig, &s.app, KMN_C_CloseSession, (struct kmn_arg[]){{.u = s.app.session}}, 1), CKR_OK);
	approve(&s);
	CU_ASSERT_EQUAL(rig_open_session(&s.rig, &s.app), CKR_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_Sign"), 0);
	rig_send(&s.rig, 1, KMN_F_DETACH, &(struct kmn_writer){0});
	CU_ASSERT_TRUE(rig_expect(&s.rig, 1, KMN_F_DETACHED, &f));
	end(&s);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a held call that was left aside is known beyond the window, and its answer kept", test_window},
	    {"nothing runs again by a number that is aside or was forgotten", test_replay},
	    {"what is not held is not left aside", test_not_held},
	    {"a call that is aside is withdrawn like others", test_withdrawn},
	    {"it ends with its session and its application", test_ends},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/aside", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
