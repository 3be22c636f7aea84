/* Nonces of records: that the log draws them at random, and that the verifier notices when one did not. */
#include "config.h"

#include "kanmon/verify.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/ledger/fixture.h"
#include "tests/unit/run.h"

#define RECORDS 2000u

static struct fixture f;

static void
fixed(void *cookie, void *out, size_t len)
{
	(void)cookie;
	memset(out, 0x5a, len);
}

static void
counting(void *cookie, void *out, size_t len)
{
	uint64_t n = ++((struct fixture *)cookie)->dice;

	memset(out, 0, len);
	memcpy(out, &n, sizeof(n) < len ? sizeof(n) : len);
}

/* Half of it is chance, half is the time: all distinct. */
static void
by_clock(void *cookie, void *out, size_t len)
{
	uint64_t ms = 1790000000000u + ++((struct fixture *)cookie)->dice;

	randombytes_buf(out, len);
	memcpy(out, &ms, sizeof(ms) < len ? sizeof(ms) : len);
}

/* One bit of 128 stands still. */
static void
one_bit_short(void *cookie, void *out, size_t len)
{
	(void)cookie;
	randombytes_buf(out, len);
	((uint8_t *)out)[7] &= 0xfb;
}

static void
by_system(void *cookie, void *out, size_t len)
{
	struct kmn_log_sources system;

	(void)cookie;
	kmn_log_sources_system(&system);
	system.random(system.cookie, out, len);
}

static void
hear(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	unsigned *nonces = cookie;

	(void)place;
	*nonces += check == KMN_V2 && severity == KMN_FINDING && strstr(text, "nonces") != NULL;
}

/* Findings of a ledger whose log drew its nonces from that source. */
static unsigned
findings_of(void (*source)(void *, void *, size_t))
{
	struct kmn_trust trust = {.origin = FIXTURE_ORIGIN};
	struct kmn_verify_settings settings = {.trust = &trust};
	struct kmn_verify_report report;
	struct kmn_log *log;
	unsigned nonces = 0;

	fixture_up(&f);
	f.settings.sources.random = source;
	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	for (unsigned n = 0; n < RECORDS; n += 500)
		fixture_batch(log, 500);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	trust.log = f.vkey;
	settings.store = f.disk.real;
	settings.sink.say = hear;
	settings.sink.cookie = &nonces;
	CU_ASSERT_EQUAL(kmn_verify(&settings, &report), KMN_OK);
	CU_ASSERT_TRUE(report.records > RECORDS);
	fixture_down(&f);
	return nonces;
}

static void
test_random(void)
{
	CU_ASSERT_EQUAL(findings_of(by_system), 0);
}

static void
test_not_random(void)
{
	CU_ASSERT_EQUAL(findings_of(fixed), RECORDS); /* each but the first */
	CU_ASSERT_EQUAL(findings_of(counting), 1);
	CU_ASSERT_EQUAL(findings_of(by_clock), 1);
	CU_ASSERT_EQUAL(findings_of(one_bit_short), 1);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"the log's nonces are distinct and of full entropy over many records", test_random},
	    {"nonces that are fixed, count, follow the clock or lack one bit are found", test_not_random},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"ledger/nonces", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
