/* Crashes and disks that fail: at every byte, and at every call. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/stories.h"
#include "tests/unit/run.h"

#define SEG0 "seg/00000000000000000000.kl"

static struct fixture f;

static void
up(void)
{
	fixture_up(&f);
}

static void
down(void)
{
	fixture_down(&f);
}

/* Genesis and five batches of one to three records. The bytes of the segment, and where its commits end. */
static char *
small_ledger(size_t *len_out, size_t ends[8], size_t *count_out)
{
	struct kmn_log *log;
	char *bytes;
	size_t count = 0;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	for (unsigned n = 0; n < 5; n++)
		fixture_batch(log, 1 + n % 3);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	bytes = fixture_read(&f, SEG0, len_out);
	for (char *at = bytes; at < bytes + *len_out; at = strchr(at, '\n') + 1)
		if (strncmp(at, "#commit ", 8) == 0)
			ends[count++] = (size_t)(strchr(at, '\n') + 1 - bytes);
	*count_out = count;
	return bytes;
}

static kmn_err
try_open(struct kmn_recovery *recovery)
{
	struct kmn_log *log;
	struct kmn_why why;
	kmn_err e = kmn_log_open(&f.settings, NULL, NULL, recovery, &log, &why);

	return e == KMN_OK ? kmn_log_close(log) : e;
}

static uint64_t
records_to(const char *bytes, size_t len)
{
	uint64_t count = 0;

	for (const char *at = bytes; at < bytes + len; at = memchr(at, '\n', (size_t)(bytes + len - at)), at++)
		count += *at == '{';
	return count;
}

static void
forget_published(void)
{
	fixture_unlink(&f, "checkpoint");
	fixture_unlink(&f, "state/head");
}

static void
test_cut_everywhere(void)
{
	size_t len, ends[8], count, whole = 0;
	char *bytes = small_ledger(&len, ends, &count);

	CU_ASSERT_EQUAL(count, 6);
	for (size_t cut = 0; cut <= len; cut++) {
		struct kmn_recovery recovery;
		struct kmn_log *log;
		uint64_t replayed;

		while (whole < count && ends[whole] <= cut)
			whole++;
		fixture_write(&f, SEG0, bytes, cut);
		forget_published();
		if (whole == 0) { /* genesis was never committed */
			CU_ASSERT_EQUAL(try_open(&recovery), KMN_E_CORRUPT);
			continue;
		}
		log = fixture_open(&f, &replayed, &recovery);
		CU_ASSERT_EQUAL(replayed, records_to(bytes, ends[whole - 1]));
		CU_ASSERT_EQUAL(recovery.last_commit.size, replayed);
		CU_ASSERT_EQUAL(recovery.torn, cut != ends[whole - 1]);
		CU_ASSERT_EQUAL(recovery.bytes, cut - ends[whole - 1]);
		if (recovery.torn) {
			size_t kept_len;
			char *kept = fixture_read(&f, recovery.quarantine, &kept_len);

			CU_ASSERT_EQUAL(kept_len, recovery.bytes);
			CU_ASSERT_EQUAL(memcmp(kept, bytes + recovery.offset, kept_len), 0);
			free(kept);
			fixture_unlink(&f, recovery.quarantine);
		}
		fixture_batch(log, 1); /* and it goes on */
		CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
		CU_ASSERT_EQUAL(try_open(&recovery), KMN_OK);
		CU_ASSERT_FALSE(recovery.torn);
	}
	free(bytes);
}

static void
test_cut_against_checkpoint(void)
{
	struct kmn_recovery recovery;
	size_t len, ends[8], count;
	char *bytes = small_ledger(&len, ends, &count);

	fixture_write(&f, SEG0, bytes, ends[count - 2]); /* one whole batch less than was published */
	CU_ASSERT_EQUAL(try_open(&recovery), KMN_E_CORRUPT);
	fixture_write(&f, SEG0, bytes, len - 3); /* nor may what looks torn be moved aside */
	CU_ASSERT_EQUAL(try_open(&recovery), KMN_E_CORRUPT);
	CU_ASSERT_FALSE(recovery.torn);
	fixture_write(&f, SEG0, bytes, len);
	CU_ASSERT_EQUAL(try_open(&recovery), KMN_OK);
	free(bytes);
}

/* The process dies after the tail was moved aside and before a record said so: the next start says it. */
static void
test_cut_is_told(void)
{
	struct kmn_recovery first, second;
	struct kmn_log *log;
	size_t len, ends[8], count;
	char *bytes = small_ledger(&len, ends, &count);

	forget_published();
	fixture_write(&f, SEG0, bytes, len - 10);
	CU_ASSERT_EQUAL(try_open(&first), KMN_OK);
	log = fixture_open(&f, NULL, &second);
	CU_ASSERT_TRUE(first.torn);
	CU_ASSERT_EQUAL(memcmp(&first, &second, sizeof(first)), 0);
	fixture_batch(log, 1); /* the record that says it */
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	CU_ASSERT_EQUAL(try_open(&second), KMN_OK);
	CU_ASSERT_FALSE(second.torn);
	free(bytes);
}

/* What was durable once and has changed is no torn tail. */
static void
test_damage_everywhere(void)
{
	struct kmn_recovery recovery;
	size_t len, ends[8], count;
	char *bytes = small_ledger(&len, ends, &count);

	forget_published();
	for (size_t at = 0; at < len - 1; at++) { /* without its last LF the last line is torn */
		bytes[at] ^= 1;
		fixture_write(&f, SEG0, bytes, len);
		CU_ASSERT_NOT_EQUAL(try_open(&recovery), KMN_OK); /* KMN_E_CONFIG where it is the key in genesis */
		CU_ASSERT_FALSE(recovery.torn);
		bytes[at] ^= 1;
	}
	free(bytes);
}

/* The file has its length, but some of the last batch did not reach the disk: it reads as zero. */
static void
test_zeros_in_last_batch(void)
{
	struct kmn_recovery recovery;
	size_t len, ends[8], count, before;
	char *bytes = small_ledger(&len, ends, &count), *torn = malloc(len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(torn);
	before = ends[count - 2];
	for (size_t from = before; from < len; from += 64) {
		memcpy(torn, bytes, len);
		memset(torn + from, 0, len - from < 64 ? len - from : 64);
		forget_published();
		fixture_write(&f, SEG0, torn, len);
		CU_ASSERT_EQUAL(try_open(&recovery), KMN_OK);
		CU_ASSERT_TRUE(recovery.torn);
		CU_ASSERT_EQUAL(recovery.offset, before);
	}
	/* the same zeros in a batch that others follow are damage */
	memcpy(torn, bytes, len);
	memset(torn + ends[1], 0, 64);
	forget_published();
	fixture_write(&f, SEG0, torn, len);
	CU_ASSERT_EQUAL(try_open(&recovery), KMN_E_CORRUPT);
	free(torn);
	free(bytes);
}

#define SESSION_RECORDS 8

/* A session of the gateway: records, a blob, a full segment, a stop. What is known to be durable goes to *durable_out. */
static void
session(struct kmn_log *log, uint64_t *durable_out)
{
	uint8_t hash[KMN_HASH_BYTES];
	struct kmn_head head;

	for (unsigned n = 0; n < 4; n++) {
		if (kmn_log_append(log, KMN_R_CLOCK, fixture_clock(n), NULL, NULL, NULL) == KMN_OK &&
		    kmn_log_append(log, KMN_R_CLOCK, fixture_clock(n), NULL, NULL, NULL) == KMN_OK &&
		    kmn_log_wait(log) == KMN_OK) {
			kmn_log_durable(log, &head);
			*durable_out = head.size;
		}
		if (n == 1 && kmn_log_blob_put(log, "data", 4, hash) != KMN_OK)
			CU_ASSERT_TRUE(kmn_log_poisoned(log));
	}
}

/* After the failing call nothing may reach the disk, nothing is accepted, and a new start has all that was durable. */
static bool
fail_at(unsigned call, int with)
{
	struct kmn_recovery recovery;
	struct kmn_log *log = NULL;
	uint64_t durable = 0, replayed;
	kmn_err e;

	fixture_heal(&f);
	f.disk.fail_at = call;
	f.disk.fail_errno = with;
	e = kmn_log_open(&f.settings, NULL, NULL, &recovery, &log, NULL);
	if (e == KMN_OK) {
		durable = recovery.last_commit.size;
		session(log, &durable);
		e = kmn_log_close(log);
	}
	if (f.disk.calls < call) /* the session makes fewer calls: all have been tried */
		return false;
	/* A full disk that only `checkpoint` and its kin met stops nothing: they are written when there is space. */
	if (e == KMN_OK) {
		CU_ASSERT_EQUAL(with, ENOSPC);
		CU_ASSERT_EQUAL(durable, recovery.last_commit.size + SESSION_RECORDS);
	} else {
		CU_ASSERT_EQUAL(f.disk.after, 0);
	}
	fixture_heal(&f);
	log = fixture_open(&f, &replayed, NULL);
	CU_ASSERT_TRUE(replayed >= durable);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	return true;
}

static void
test_every_call_fails(void)
{
	static const int errors[] = {EIO, ENOSPC};
	unsigned call = 1;

	f.settings.segment_records = 5;
	fixture_create(&f);
	for (;; call++) {
		bool failed = false;

		for (size_t n = 0; n < KMN_COUNT_OF(errors); n++)
			failed = fail_at(call, errors[n]);
		if (!failed)
			break;
	}
	CU_ASSERT_TRUE(call > 25);
}

/* Once around: what the scrubber says, and at which record. */
static kmn_err
scrub_round(struct kmn_log *log, uint64_t *index_out)
{
	kmn_err e = KMN_OK;
	bool between;

	for (int n = 0; e == KMN_OK && n < 8; n++)
		e = kmn_log_scrub(log, &between, index_out);
	return e;
}

static void
test_scrub(void)
{
	struct kmn_log *log;
	uint64_t index;
	char *bytes, *at;
	size_t len;

	f.settings.segment_records = 300;
	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	for (unsigned n = 0; n < 700; n++) {
		CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(n), NULL, NULL, NULL), KMN_OK);
		if (n % 50 == 49)
			CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
	}
	CU_ASSERT_EQUAL(scrub_round(log, &index), KMN_OK);
	bytes = fixture_read(&f, SEG0, &len);
	at = strstr(bytes, "\"i\":123,");
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	at[strlen("\"i\":123,\"m\":")] ^= 1;
	fixture_write(&f, SEG0, bytes, len);
	CU_ASSERT_EQUAL(scrub_round(log, &index), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(index, 123);
	free(bytes);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_poisoned_refuses(void)
{
	struct kmn_log *log;
	struct kmn_head before, after;
	uint8_t hash[KMN_HASH_BYTES];
	char *note;
	size_t len;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	kmn_log_durable(log, &before);
	f.disk.fail_at = f.disk.calls + 1;
	f.disk.fail_errno = EIO;
	CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(1), NULL, NULL, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_E_LEDGER);
	CU_ASSERT_TRUE(kmn_log_poisoned(log));
	kmn_log_durable(log, &after);
	CU_ASSERT_EQUAL(before.size, after.size);
	CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(1), NULL, NULL, NULL), KMN_E_LEDGER);
	CU_ASSERT_EQUAL(kmn_log_blob_put(log, "data", 4, hash), KMN_E_LEDGER);
	CU_ASSERT_EQUAL(kmn_log_checkpoint(log, &after, &note, &len), KMN_E_LEDGER);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_E_LEDGER);
	CU_ASSERT_EQUAL(f.disk.after, 0);
}

static void
test_short_writes(void)
{
	struct kmn_log *log;
	uint64_t replayed;

	f.disk.short_writes = true;
	f.settings.segment_records = 5;
	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	fixture_batch(log, 7);
	fixture_batch(log, 2);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	log = fixture_open(&f, &replayed, NULL);
	CU_ASSERT_EQUAL(replayed, 10);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_create_fails(void)
{
	for (unsigned call = 1;; call++) {
		struct kmn_recovery recovery;
		kmn_err e;

		f.disk.fail_at = call;
		f.disk.fail_errno = ENOSPC;
		f.disk.calls = 0;
		f.disk.after = 0;
		e = kmn_log_create(&f.settings, fixture_genesis(&f), NULL);
		if (f.disk.calls < call) {
			CU_ASSERT_EQUAL(e, KMN_OK);
			break;
		}
		CU_ASSERT_NOT_EQUAL(e, KMN_OK);
		CU_ASSERT_EQUAL(f.disk.after, 0);
		fixture_heal(&f);
		/* half a ledger is none, unless all but the publishing was done */
		e = try_open(&recovery);
		CU_ASSERT_TRUE(e == KMN_E_NOT_FOUND || e == KMN_E_CORRUPT || recovery.last_commit.size == 1);
		fixture_down(&f);
		fixture_up(&f);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a ledger cut at every byte opens with all whole batches, and goes on", test_cut_everywhere},
	    {"less than the checkpoint says is refused", test_cut_against_checkpoint},
	    {"what was moved aside is reported until a record says it", test_cut_is_told},
	    {"a changed byte before the last commit is refused, not cut off", test_damage_everywhere},
	    {"sectors of the last batch that were not written are a torn tail", test_zeros_in_last_batch},
	    {"the scrubber finds a changed record of a sealed segment, and names it", test_scrub},
	    {"each call to the disk failing in turn poisons, but for a full disk that only derived files met; what was "
	     "durable is there again",
		test_every_call_fails},
	    {"a poisoned log refuses everything and touches nothing", test_poisoned_refuses},
	    {"short writes are completed", test_short_writes},
	    {"creating fails at each call without leaving a ledger that opens short", test_create_fails},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/faults", NULL, NULL, up, down, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
