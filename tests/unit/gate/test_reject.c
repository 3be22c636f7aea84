#include "server/gate/reject.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <string.h>

static struct {
	size_t reports;
	uint64_t counted;
	struct kmn_reject last;
} seen;

static void
take(const struct kmn_reject *reject, void *cookie)
{
	CU_ASSERT_PTR_EQUAL(cookie, &seen);
	seen.reports++;
	seen.counted += reject->count;
	seen.last = *reject;
}

static struct kmn_reject_book book;
static const uint8_t key[KMN_HASH_BYTES] = {7}, other[KMN_HASH_BYTES] = {8};

static void
start(void)
{
	memset(&seen, 0, sizeof(seen));
	kmn_reject_book_init(&book, 1000);
}

static void
note(const uint8_t *spki, const char *address, const char *reason)
{
	kmn_reject_note(&book, spki, address, reason, take, &seen);
}

static void
tick(int64_t now_ms)
{
	kmn_reject_tick(&book, now_ms, take, &seen);
}

static void
test_singly_then_counted(void)
{
	start();
	for (int i = 0; i < 10; i++)
		note(key, "192.0.2.1", "unknown certificate");
	CU_ASSERT_EQUAL(seen.reports, KMN_REJECT_SINGLY);
	tick(1000 + KMN_REJECT_PERIOD_MS - 1);
	CU_ASSERT_EQUAL(seen.reports, KMN_REJECT_SINGLY);
	tick(1000 + KMN_REJECT_PERIOD_MS);
	CU_ASSERT_EQUAL(seen.reports, KMN_REJECT_SINGLY + 1);
	CU_ASSERT_EQUAL(seen.counted, 10);
	CU_ASSERT_EQUAL(seen.last.count, 10 - KMN_REJECT_SINGLY);
	CU_ASSERT_STRING_EQUAL(seen.last.reason, "unknown certificate");
	note(key, "192.0.2.1", "unknown certificate");
	CU_ASSERT_EQUAL(seen.last.count, 1);
}

static void
test_told_apart(void)
{
	start();
	for (int i = 0; i < 5; i++) {
		note(key, "192.0.2.1", "a");
		note(other, "192.0.2.1", "a");
		note(key, "192.0.2.2", "a");
		note(key, "192.0.2.1", "b");
	}
	CU_ASSERT_EQUAL(seen.reports, 4 * KMN_REJECT_SINGLY);
	tick(1000 + KMN_REJECT_PERIOD_MS);
	CU_ASSERT_EQUAL(seen.reports, 4 * KMN_REJECT_SINGLY + 4);
	CU_ASSERT_EQUAL(seen.counted, 20);
}

/* Many addresses: the reports are bounded, and still none is lost from the count. */
static void
test_flood(void)
{
	char address[32];

	start();
	for (int i = 0; i < 10000; i++) {
		snprintf(address, sizeof(address), "192.0.2.%d", i % 500);
		note(key, address, "unknown certificate");
	}
	CU_ASSERT(seen.reports <= KMN_REJECT_PER_PERIOD);
	tick(1000 + KMN_REJECT_PERIOD_MS);
	CU_ASSERT(seen.reports <= KMN_REJECT_PER_PERIOD + KMN_REJECT_ROWS + 1);
	CU_ASSERT_EQUAL(seen.counted, 10000);
	CU_ASSERT_STRING_EQUAL(seen.last.address, "several");
}

static void
test_quiet(void)
{
	start();
	tick(1000 + KMN_REJECT_PERIOD_MS);
	tick(1000 + 2 * KMN_REJECT_PERIOD_MS);
	CU_ASSERT_EQUAL(seen.reports, 0);
}

static void
test_long_texts(void)
{
	char text[1000];

	start();
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	note(key, text, text);
	note(key, text, text);
	CU_ASSERT_EQUAL(seen.reports, 2);
	CU_ASSERT_EQUAL(strlen(seen.last.reason), KMN_REJECT_REASON_BYTES - 1);
	CU_ASSERT_EQUAL(book.rows, 1);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"the first are told singly, the others counted", test_singly_then_counted},
	    {"key, address and reason are told apart", test_told_apart},
	    {"a flood from many addresses is bounded and counted", test_flood},
	    {"nothing is told when nothing happened", test_quiet},
	    {"long texts are cut", test_long_texts},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"gate/reject", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
