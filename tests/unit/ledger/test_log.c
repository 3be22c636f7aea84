#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/ledger/fixture.h"
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

static size_t
count_lines(const char *bytes, size_t len, const char *start)
{
	size_t count = 0;

	for (const char *at = bytes; at < bytes + len; at = memchr(at, '\n', (size_t)(bytes + len - at)), at++)
		count += strncmp(at, start, strlen(start)) == 0;
	return count;
}

static void
test_life(void)
{
	struct kmn_recovery recovery;
	struct kmn_head head;
	struct kmn_ref ref;
	struct kmn_record record;
	struct kmn_log *log;
	uint64_t replayed;

	fixture_create(&f);
	CU_ASSERT_EQUAL(kmn_log_create(&f.settings, fixture_genesis(&f), NULL), KMN_E_EXISTS);
	log = fixture_open(&f, &replayed, &recovery);
	CU_ASSERT_EQUAL(replayed, 1);
	CU_ASSERT_FALSE(recovery.torn);
	CU_ASSERT_FALSE(recovery.clean);
	CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(1), &ref, &record, NULL), KMN_OK);
	CU_ASSERT_EQUAL(ref.i, 1);
	CU_ASSERT_EQUAL(memcmp(ref.leaf, record.leaf, KMN_HASH_BYTES), 0);
	CU_ASSERT_STRING_EQUAL(record.type, "clock");
	kmn_record_clear(&record);
	kmn_log_durable(log, &head);
	CU_ASSERT_EQUAL(head.size, 1);
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
	kmn_log_durable(log, &head);
	CU_ASSERT_EQUAL(head.size, 2);
	CU_ASSERT_EQUAL(
	    kmn_log_append(log, KMN_R_GATEWAY_STOP, json_pack("{s:s}", "reason", "test"), NULL, NULL, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	log = fixture_open(&f, &replayed, &recovery);
	CU_ASSERT_EQUAL(replayed, 3);
	CU_ASSERT_TRUE(recovery.clean);
	CU_ASSERT_EQUAL(recovery.last_commit.size, 3);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_eventfd(void)
{
	struct kmn_log *log;
	struct pollfd wait;
	struct kmn_head head;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	wait = (struct pollfd){.fd = kmn_log_eventfd(log), .events = POLLIN};
	CU_ASSERT_EQUAL(poll(&wait, 1, 0), 0);
	CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(1), NULL, NULL, NULL), KMN_OK);
	CU_ASSERT_EQUAL(poll(&wait, 1, 20), 0); /* nothing moves before it is flushed */
	kmn_log_flush(log);
	CU_ASSERT_EQUAL(poll(&wait, 1, 5000), 1);
	kmn_log_durable(log, &head);
	CU_ASSERT_EQUAL(head.size, 2);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_refusals(void)
{
	struct kmn_why why;
	struct kmn_log *log;
	struct kmn_recovery recovery;

	CU_ASSERT_EQUAL(kmn_log_open(&f.settings, NULL, NULL, &recovery, &log, &why), KMN_E_NOT_FOUND);
	CU_ASSERT_FALSE(fixture_exists(&f, "lock"));
	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_GENESIS, fixture_genesis(&f), NULL, NULL, &why), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(
	    kmn_log_append(log, KMN_R_CLOCK, json_pack("{s:i}", "before", 1), NULL, NULL, &why), KMN_E_MALFORMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "after"));
	CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_GATEWAY_STOP, json_pack("{s:s}", "reason", "a\nb"), NULL, NULL, &why),
	    KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_GATEWAY_STOP, json_pack("{s:s, s:i}", "reason", "a", "more", 1), NULL,
			    NULL, &why),
	    KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_log_size(log), 1);
	fixture_batch(log, 1);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	f.settings.origin = "kanmon.example/other";
	CU_ASSERT_EQUAL(kmn_log_open(&f.settings, NULL, NULL, &recovery, &log, &why), KMN_E_CORRUPT);
	f.settings.origin = FIXTURE_ORIGIN;
	f.secret[KMN_ED25519_SECRET_BYTES - 1] ^= 1;
	CU_ASSERT_NOT_EQUAL(kmn_log_open(&f.settings, NULL, NULL, &recovery, &log, &why), KMN_OK);
}

static void
test_two_writers(void)
{
	struct kmn_log *log, *second;
	struct kmn_recovery recovery;
	struct kmn_why why;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	CU_ASSERT_EQUAL(kmn_log_open(&f.settings, NULL, NULL, &recovery, &second, &why), KMN_E_BUSY);
	CU_ASSERT_PTR_NULL(second);
	fixture_batch(log, 1);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	log = fixture_open(&f, NULL, NULL);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_time_never_goes_back(void)
{
	struct kmn_record first, second;
	struct kmn_log *log;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	CU_ASSERT_EQUAL_FATAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(1), NULL, &first, NULL), KMN_OK);
	f.now -= 5000;
	f.boot -= 100;
	CU_ASSERT_EQUAL_FATAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(2), NULL, &second, NULL), KMN_OK);
	CU_ASSERT_EQUAL(first.t, second.t);
	CU_ASSERT_EQUAL(first.m, second.m);
	CU_ASSERT_EQUAL(memcmp(second.prev, first.leaf, KMN_HASH_BYTES), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(second.nonce, first.nonce, KMN_NONCE_BYTES), 0);
	kmn_record_clear(&first);
	kmn_record_clear(&second);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_batches_and_marks(void)
{
	struct kmn_log *log;
	char *bytes;
	size_t len;
	uint64_t replayed;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	fixture_batch(log, 254);  /* size 255: no mark */
	fixture_batch(log, 1);    /* 256: mark */
	fixture_batch(log, 1);    /* 257: none */
	fixture_batch(log, 2500); /* batches of at most 1024, each over a multiple of 256 */
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	bytes = fixture_read(&f, SEG0, &len);
	CU_ASSERT_EQUAL(count_lines(bytes, len, "#commit "), 1 + 3 + 3);
	CU_ASSERT_EQUAL(count_lines(bytes, len, "#mark "), 1 + 3);
	CU_ASSERT_EQUAL(count_lines(bytes, len, "{"), 2757);
	CU_ASSERT_PTR_NOT_NULL(strstr(bytes, "\n#mark 256 "));
	free(bytes);
	log = fixture_open(&f, &replayed, NULL);
	CU_ASSERT_EQUAL(replayed, 2757);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_segments_turn(void)
{
	struct kmn_log *log;
	uint64_t replayed;
	uint8_t *off;
	size_t len;

	f.settings.segment_records = 4;
	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	for (unsigned n = 0; n < 5; n++)
		fixture_batch(log, 2);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	CU_ASSERT_TRUE(fixture_exists(&f, "seg/00000000000000000005.kl"));
	CU_ASSERT_TRUE(fixture_exists(&f, "seg/00000000000000000009.kl"));
	off = (uint8_t *)fixture_read(&f, "seg/00000000000000000005.kl.off", &len);
	CU_ASSERT_EQUAL(len, 4 * 4);
	free(off);
	log = fixture_open(&f, &replayed, NULL);
	CU_ASSERT_EQUAL(replayed, 11);
	fixture_batch(log, 1);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_open_at_tail(void)
{
	struct kmn_recovery recovery;
	struct kmn_head whole, tail, at;
	struct kmn_path path;
	struct kmn_log *log;
	char *line;
	size_t len;
	uint8_t leaf[KMN_HASH_BYTES];

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	fixture_batch(log, 300);
	fixture_batch(log, 5);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	log = fixture_open(&f, NULL, NULL);
	kmn_log_durable(log, &whole);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_log_open(&f.settings, NULL, NULL, &recovery, &log, NULL), KMN_OK);
	kmn_log_durable(log, &tail);
	CU_ASSERT_EQUAL(memcmp(&whole, &tail, sizeof(tail)), 0);
	fixture_batch(log, 3);
	kmn_log_durable(log, &tail);
	CU_ASSERT_EQUAL(kmn_log_inclusion(log, 7, tail.size, &path), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_log_line(log, 7, &line, &len), KMN_OK);
	kmn_leaf_hash(line, len, leaf);
	free(line);
	CU_ASSERT_EQUAL(kmn_inclusion_verify(leaf, 7, &tail, &path), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_consistency(log, whole.size, tail.size, &path), KMN_OK);
	CU_ASSERT_EQUAL(kmn_consistency_verify(&whole, &tail, &path), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_head_at(log, whole.size, &at), KMN_OK);
	CU_ASSERT_EQUAL(memcmp(&at, &whole, sizeof(at)), 0);
	CU_ASSERT_EQUAL(kmn_log_inclusion(log, 0, tail.size + 1, &path), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	log = fixture_open(&f, NULL, NULL);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

/* Each line, from full segments by their offsets, from the open one by counting, and again with offsets that lie. */
static void
test_lines_by_index(void)
{
	struct kmn_record record;
	struct kmn_log *log;
	char *line;
	size_t len;

	f.settings.segment_records = 4;
	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	for (unsigned n = 0; n < 5; n++)
		fixture_batch(log, 2);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (uint64_t i = 0; i < 11; i++) {
			CU_ASSERT_EQUAL_FATAL(kmn_log_line(log, i, &line, &len), KMN_OK);
			CU_ASSERT_EQUAL_FATAL(kmn_record_parse(line, len, &record, NULL), KMN_OK);
			CU_ASSERT_EQUAL(record.i, i);
			kmn_record_clear(&record);
			free(line);
		}
		fixture_write(&f, "seg/00000000000000000005.kl.off", "\0\0\0\7\0\0\0\7", 8);
	}
	CU_ASSERT_EQUAL(kmn_log_line(log, 11, &line, &len), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
check_note(const char *bytes, size_t len, uint64_t size)
{
	struct kmn_note note;
	struct kmn_head head;
	size_t count;
	bool verified;

	CU_ASSERT_EQUAL_FATAL(kmn_note_parse(bytes, len, &note, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_verify(&note, &f.vkey, 1, &verified, &count, NULL), KMN_OK);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_EQUAL(kmn_checkpoint_parse(&note, FIXTURE_ORIGIN, &head, NULL), KMN_OK);
	CU_ASSERT_EQUAL(head.size, size);
}

static void
test_checkpoint_follows(void)
{
	struct kmn_log *log;
	struct kmn_head head;
	char *note;
	size_t len;

	f.settings.publish_ms = 30;
	fixture_create(&f);
	note = fixture_read(&f, "checkpoint", &len);
	check_note(note, len, 1);
	free(note);
	log = fixture_open(&f, NULL, NULL);
	fixture_batch(log, 1);
	fixture_batch(log, 1);
	CU_ASSERT_EQUAL_FATAL(kmn_log_checkpoint(log, &head, &note, &len), KMN_OK);
	CU_ASSERT_EQUAL(head.size, 3);
	check_note(note, len, 3);
	free(note);
	(void)poll(NULL, 0, 300);
	note = fixture_read(&f, "checkpoint", &len);
	check_note(note, len, 3);
	free(note);
	fixture_batch(log, 1);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	note = fixture_read(&f, "checkpoint", &len);
	check_note(note, len, 4);
	free(note);
}

static void
test_blobs(void)
{
	uint8_t hash[KMN_HASH_BYTES], *got;
	struct kmn_log *log;
	char name[80] = "blobs/";
	size_t len;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	CU_ASSERT_EQUAL(kmn_log_blob_put(log, "to be signed", 12, hash), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_blob_put(log, "to be signed", 12, hash), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_log_blob_get(log, hash, &got, &len), KMN_OK);
	CU_ASSERT_EQUAL(len, 12);
	CU_ASSERT_EQUAL(memcmp(got, "to be signed", 12), 0);
	free(got);
	for (size_t n = 0; n < KMN_HASH_BYTES; n++)
		(void)snprintf(name + 6 + 2 * n, 3, "%02x", hash[n]);
	fixture_write(&f, name, "to be sIgned", 12);
	CU_ASSERT_EQUAL(kmn_log_blob_get(log, hash, &got, &len), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(kmn_log_blob_put(log, "to be signed", 12, hash), KMN_E_LEDGER);
	CU_ASSERT_TRUE(kmn_log_poisoned(log));
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_E_LEDGER);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"create, append, wait, stop, open again", test_life},
	    {"the eventfd is readable when records are durable, not before a flush", test_eventfd},
	    {"no ledger, another origin, another key, a malformed record are refused", test_refusals},
	    {"a second writer is refused", test_two_writers},
	    {"time never goes back", test_time_never_goes_back},
	    {"batches have limits; marks stand where 256 records are passed", test_batches_and_marks},
	    {"a full segment is sealed and the next begins", test_segments_turn},
	    {"each line is found by its index", test_lines_by_index},
	    {"opened at its tail a log knows the same head and proves the same", test_open_at_tail},
	    {"the checkpoint follows the ledger", test_checkpoint_follows},
	    {"blobs are named by their hash; a changed one poisons", test_blobs},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/log", NULL, NULL, up, down, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
