/*
 * Time stamps and the clock, in a keeper whose clocks are the test's and whose
 * TSA is the test too: what is asked, what is believed, what is refused.
 */
#include "config.h"

#include <openssl/ts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kanmon/admin.h"
#include "kanmon/log.h"
#include "kanmon/messages.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/ledger/tsa.h"
#include "tests/unit/run.h"

#define HOUR 3600000
#define DAY (24 * HOUR)
#define WAIT_MS 8000

static const char rules[] = "anchors within 4h refuse A\n"
			    "rule everything\n  client ca other\n  calls login session query key-use key-management "
			    "random\n  mechanisms any\n  allow import extractable\n  need none\n";

/* What the TSA does next. */
enum mood { GOOD, WRONG_EKU, OTHER_IMPRINT, REPLAYED, STRANGER, CORRUPTED, REFUSAL, RUBBISH, STATUS_503, DOWN, SILENT };

/* Shared with the keeper's process: how far its clocks are from this machine's. */
struct offsets {
	int64_t wall, boot;
};

static struct offsets *offsets;
static struct tsa *tsa, *stranger;
static struct kmn_time_stamp stamp;
static struct kmn_log_sources sources;
static struct rig_plan plan;
static struct rig rig;
static struct rig_app app;
static CK_OBJECT_HANDLE key;
static enum mood mood;
static unsigned asked;
static uint8_t *last_token;
static size_t last_len;

static uint64_t
clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t
now_ms(void *cookie)
{
	return clock_ms(CLOCK_REALTIME) + (uint64_t)((struct offsets *)cookie)->wall;
}

static uint64_t
boot_ms(void *cookie)
{
	return clock_ms(CLOCK_BOOTTIME) + (uint64_t)((struct offsets *)cookie)->boot;
}

/* Time goes by: for the keeper, and for the world. */
static void
pass(int64_t ms)
{
	offsets->wall += ms;
	offsets->boot += ms;
}

/* ---- the TSA ------------------------------------------------------------------------------------------------------ */

static void
answer(struct rig *r, uint64_t tag, kmn_err e, uint16_t status, const uint8_t *body, size_t len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 65536);
	kmn_writer_u64(&w, tag);
	kmn_writer_u16(&w, (uint16_t)e);
	kmn_writer_u16(&w, status);
	kmn_writer_text(&w, KMN_STAMP_TYPE_RESPONSE);
	kmn_writer_bytes(&w, body, len);
	CU_ASSERT_EQUAL(kmn_ipc_send(r->courier, KMN_COURIER_ANSWER, w.bytes, w.len, -1), KMN_OK);
	kmn_writer_clear(&w);
}

/* What a TimeStampReq asks for. */
static void
read_request(const uint8_t *der, size_t len, struct kmn_stamp_want *want)
{
	const unsigned char *at = der;
	TS_REQ *request = d2i_TS_REQ(NULL, &at, (long)len);
	ASN1_OCTET_STRING *imprint;

	CU_ASSERT_PTR_NOT_NULL_FATAL(request);
	imprint = TS_MSG_IMPRINT_get_msg(TS_REQ_get_msg_imprint(request));
	CU_ASSERT_EQUAL_FATAL(ASN1_STRING_length(imprint), 32);
	CU_ASSERT_EQUAL(TS_REQ_get_version(request), 1);
	CU_ASSERT_TRUE(TS_REQ_get_cert_req(request) != 0);
	CU_ASSERT_EQUAL(ASN1_INTEGER_get_uint64(&want->nonce, TS_REQ_get_nonce(request)), 1);
	want->alg = "sha256";
	memcpy(want->imprint, ASN1_STRING_get0_data(imprint), 32);
	TS_REQ_free(request);
}

static void
stamp_it(struct rig *r, uint64_t tag, const struct kmn_stamp_want *asked_for)
{
	struct kmn_stamp_want want = *asked_for;
	uint64_t at = clock_ms(CLOCK_REALTIME) + (uint64_t)offsets->boot; /* its clock is its own */
	uint8_t *token, *response;
	size_t len, response_len;

	want.imprint[0] ^= mood == OTHER_IMPRINT;
	token = tsa_token(mood == STRANGER ? stranger : tsa, mood == WRONG_EKU ? TSA_EKU_OTHER : TSA_RIGHT, &want, at,
	    mood != CORRUPTED, &len);
	token[len - 1] ^= mood == CORRUPTED;
	response = mood == REPLAYED ? tsa_response(last_token, last_len, &response_len)
				    : tsa_response(mood == REFUSAL ? NULL : token, len, &response_len);
	answer(r, tag, KMN_OK, 200, response, response_len);
	free(response);
	if (mood == GOOD) {
		free(last_token);
		last_token = token;
		last_len = len;
	} else {
		free(token);
	}
}

static void
errand(struct rig *r, struct kmn_ipc_message *m)
{
	struct kmn_stamp_want want = {0};
	char url[128], type[128];
	const uint8_t *body;
	struct kmn_reader reader;
	uint64_t tag;
	size_t len;

	kmn_reader_init(&reader, m->body, m->len_bytes);
	tag = kmn_reader_u64(&reader);
	(void)kmn_reader_u32(&reader);
	(void)kmn_reader_u32(&reader);
	kmn_reader_text(&reader, url, sizeof(url));
	kmn_reader_text(&reader, type, sizeof(type));
	len = kmn_reader_bytes(&reader, 65536, &body);
	CU_ASSERT_EQUAL_FATAL(kmn_reader_end(&reader), KMN_OK);
	CU_ASSERT_STRING_EQUAL(url, "http://tsa.example/");
	CU_ASSERT_STRING_EQUAL(type, KMN_STAMP_TYPE_REQUEST);
	asked++;
	read_request(body, len, &want);
	if (mood == DOWN)
		answer(r, tag, KMN_E_UNREACHABLE, 0, NULL, 0);
	else if (mood == STATUS_503)
		answer(r, tag, KMN_OK, 503, (const uint8_t *)"busy", 4);
	else if (mood == RUBBISH)
		answer(r, tag, KMN_OK, 200, (const uint8_t *)"<html>", 6);
	else if (mood != SILENT)
		stamp_it(r, tag, &want);
}

/* ---- scenes ------------------------------------------------------------------------------------------------------- */

static void
adapt(struct kmn_keeper_setup *setup, void *cookie)
{
	(void)cookie;
	setup->time_stamps = &stamp;
	setup->time_stamp_count = 1;
	setup->stamp_ms = 600000;
	setup->stamp_idle_ms = DAY;
	setup->sources = &sources;
}

static void
begin(void)
{
	static const struct rig_module mock = {.name = "mock"};
	static char trust[256];
	uint8_t root[KMN_HASH_BYTES];
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	offsets = mmap(NULL, sizeof(*offsets), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_TRUE_FATAL(offsets != MAP_FAILED);
	*offsets = (struct offsets){0, 0};
	kmn_log_sources_system(&sources);
	sources.now_ms = now_ms;
	sources.boot_ms = boot_ms;
	sources.cookie = offsets;
	tsa = tsa_new(clock_ms(CLOCK_REALTIME) - HOUR, 2);
	stranger = tsa_new(clock_ms(CLOCK_REALTIME) - HOUR, 2);
	tsa_root_sha256(tsa, root);
	kmn_b64(root, sizeof(root), b64);
	(void)snprintf(trust, sizeof(trust), "tsa one %s\nanchor-gap 90000\n", b64);
	stamp = (struct kmn_time_stamp){.name = "one", .url = "http://tsa.example/", .roots = tsa_root(tsa)};
	plan = (struct rig_plan){.modules = &mock,
	    .module_count = 1,
	    .tokens = "mock-1",
	    .token_lines = "token mock-1\n",
	    .errand = errand,
	    .adapt = adapt,
	    .trust = trust};
	mood = GOOD;
	asked = 0;
	rig_start_with(&rig, &plan, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
}

static bool
wait_for(const char *type, const char *with, unsigned count)
{
	uint64_t until = clock_ms(CLOCK_MONOTONIC) + WAIT_MS;

	while (rig_records(&rig, type, with) < count && clock_ms(CLOCK_MONOTONIC) < until)
		rig_pump(&rig, 50);
	return rig_records(&rig, type, with) == count;
}

static bool
wait_asked(unsigned count)
{
	uint64_t until = clock_ms(CLOCK_MONOTONIC) + WAIT_MS;

	while (asked < count && clock_ms(CLOCK_MONOTONIC) < until)
		rig_pump(&rig, 50);
	return asked >= count;
}

static CK_RV
sign(void)
{
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	CK_RV rv = rig_sign_init(&rig, &app, key);
	bool begun = rv == CKR_OK;

	if (begun)
		rv = rig_sign(&rig, &app, "data", signature, &len);
	if (rv != CKR_OK && rv != CKR_DEVICE_ERROR)
		printf("# %s: 0x%lx\n", begun ? "C_Sign" : "C_SignInit", rv);
	return rv;
}

static void
end(void)
{
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
	free(last_token);
	last_token = NULL;
	tsa_free(tsa);
	tsa_free(stranger);
	(void)munmap(offsets, sizeof(*offsets));
}

static void
test_schedule(void)
{
	unsigned before;

	begin();
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 1)); /* at the start */
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	rig_pump(&rig, 1500);
	CU_ASSERT_EQUAL(rig_records(&rig, "anchor", NULL), 1);
	pass(601000);
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 2)); /* it grew, and it is time */
	pass(HOUR);
	rig_pump(&rig, 1500); /* class C counts are records, so let them be written */
	before = rig_records(&rig, "anchor", NULL);
	pass(3 * HOUR); /* nothing happens: only the policy's limit, at half of it, asks for more */
	CU_ASSERT_TRUE(wait_for("anchor", NULL, before + 1));
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	before = rig_records(&rig, "anchor", NULL);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "anchor", NULL), before + 1); /* at the end */
	CU_ASSERT_EQUAL(rig_records(&rig, "clock", NULL), 0);
	rig_restart(&rig);
	end();
}

static const struct {
	enum mood mood;
	const char *says;
} bad_moods[] = {
    {WRONG_EKU, "a wrong extended key usage"},
    {OTHER_IMPRINT, "another imprint"},
    {REPLAYED, "a replayed token"},
    {STRANGER, "a chain of its own"},
    {CORRUPTED, "a corrupted signature without the TSA's name"},
    {REFUSAL, "a refusal"},
    {RUBBISH, "no token at all"},
    {STATUS_503, "a server that fails"},
    {DOWN, "nobody there"},
};

static void
test_bad_answers(void)
{
	begin();
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 1));
	for (size_t n = 0; n < KMN_COUNT_OF(bad_moods); n++) {
		unsigned before = asked;

		mood = bad_moods[n].mood;
		pass(601000); /* a call makes the keeper look at its clock at once */
		CU_ASSERT_EQUAL(sign(), CKR_OK);
		CU_ASSERT_TRUE(wait_asked(before + 1));
		rig_pump(&rig, 100);
		CU_ASSERT_EQUAL(rig_records(&rig, "anchor", NULL), 1);
		if (rig_records(&rig, "anchor", NULL) != 1)
			printf("# %s was recorded\n", bad_moods[n].says);
	}
	mood = GOOD;
	pass(61000); /* the longest pause */
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 2));
	end();
}

static void
test_limit(void)
{
	begin();
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 1));
	mood = DOWN;
	pass(4 * HOUR - 60000);
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	pass(120000);
	CU_ASSERT_EQUAL(sign(), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "\"C_SignInit\""), 1);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	mood = GOOD;
	pass(61000);
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 2));
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	end();
}

static void
test_silent_at_the_end(void)
{
	uint64_t before;

	begin();
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 1));
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	mood = SILENT;
	before = clock_ms(CLOCK_MONOTONIC);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_TRUE(clock_ms(CLOCK_MONOTONIC) - before < 6000);
	rig_restart(&rig);
	mood = GOOD;
	end();
}

static void
test_forward(void)
{
	begin();
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 1));
	offsets->wall += 5000;
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "clock", "set forward"), 1);
	offsets->wall += 900; /* less than a second is nobody's business */
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "clock", NULL), 1);
	offsets->wall += 900; /* but it adds up */
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "clock", NULL), 2);
	end();
}

static void
test_back(void)
{
	begin();
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 1));
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	offsets->wall -= 8000;
	CU_ASSERT_EQUAL(sign(), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_records(&rig, "clock", "set back"), 1);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	pass(4000);
	CU_ASSERT_EQUAL(sign(), CKR_DEVICE_ERROR);
	pass(8000);
	CU_ASSERT_EQUAL(sign(), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "clock", NULL), 1);
	end();
}

static void
test_back_at_start(void)
{
	begin();
	CU_ASSERT_TRUE(wait_for("anchor", NULL, 1));
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	offsets->wall -= 9000;
	rig_restart(&rig);
	CU_ASSERT_EQUAL(rig_records(&rig, "clock", "set back"), 1);
	rig_attach(&rig, &app, 2, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "k2", &key), CKR_DEVICE_ERROR);
	pass(10000);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "k2", &key), CKR_OK);
	end();
}

static CU_TestInfo tests[] = {
    {"a TSA is asked at the start, while the ledger grows, within half of the policy's limit, and at the end",
	test_schedule},
    {"what is no good token is recorded nowhere, and the next good one is", test_bad_answers},
    {"with the TSA down class A goes on to the limit and no further, and goes on when it is back", test_limit},
    {"a TSA that says nothing keeps no gateway from its end", test_silent_at_the_end},
    {"a clock that is set forward is recorded first, and small steps that add up are too", test_forward},
    {"a clock that is set back stops class A until it has caught up", test_back},
    {"a clock that is behind the ledger at a start stops class A as well", test_back_at_start},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"keeper/time", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
