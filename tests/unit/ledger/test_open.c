/* Opening from the last mark and from a snapshot: the same log as one that read everything, or none. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/inner.h"
#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/stories.h"
#include "tests/unit/run.h"

static struct fixture f;

/* What an owner saw of an opening. */
struct owner {
	uint64_t resumed; /* UINT64_MAX: was not */
	uint64_t first, last, count;
	bool ascending;
};
static struct owner owner;

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

static kmn_err
resume(void *cookie, uint64_t size)
{
	((struct owner *)cookie)->resumed = size;
	return KMN_OK;
}

static kmn_err
replay(void *cookie, const struct kmn_record *record)
{
	struct owner *o = cookie;

	o->ascending = o->count == 0 || (o->ascending && record->i > o->last);
	o->first = o->count == 0 ? record->i : o->first;
	o->last = record->i;
	o->count++;
	return KMN_OK;
}

static kmn_err
open_as_owner(struct kmn_log **log_out)
{
	struct kmn_recovery recovery;
	struct kmn_why why = {""};

	owner = (struct owner){.resumed = UINT64_MAX};
	f.settings.resume = resume;
	return kmn_log_open(&f.settings, replay, &owner, &recovery, log_out, &why);
}

static kmn_err
open_at_tail(struct kmn_log **log_out, struct kmn_recovery *recovery)
{
	struct kmn_why why = {""};

	return kmn_log_open(&f.settings, NULL, NULL, recovery, log_out, &why);
}

/* Everything that can be asked of a log, as one hash. */
static void
answers(struct kmn_log *log, uint8_t out[KMN_HASH_BYTES])
{
	struct kmn_head head, at;
	struct kmn_path path;
	char *text = NULL, *line;
	size_t len, line_len;
	FILE *all = open_memstream(&text, &len);

	kmn_log_durable(log, &head);
	fprintf(all, "%s %" PRIu64, kmn_log_origin(log), kmn_log_size(log));
	for (uint64_t n = 1; n <= head.size; n += 1 + n / 5) {
		CU_ASSERT_EQUAL(kmn_log_head_at(log, n, &at), KMN_OK);
		fwrite(at.root, 1, sizeof(at.root), all);
		CU_ASSERT_EQUAL(kmn_log_inclusion(log, n - 1, head.size, &path), KMN_OK);
		fwrite(path.hash, KMN_HASH_BYTES, path.count, all);
		CU_ASSERT_EQUAL(kmn_log_consistency(log, n, head.size, &path), KMN_OK);
		fwrite(path.hash, KMN_HASH_BYTES, path.count, all);
		CU_ASSERT_EQUAL(kmn_log_line(log, n - 1, &line, &line_len), KMN_OK);
		fwrite(line, 1, line_len, all);
		free(line);
	}
	fclose(all);
	kmn_sha256(text, len, out);
	free(text);
}

/* At sizes around marks, tiles, ends of segments; each opened both ways, and written on. */
static void
test_tail_is_the_whole(void)
{
	static const unsigned steps[] = {1, 3, 200, 50, 1, 1, 1, 40, 214, 1, 1, 180, 20, 300, 12, 60};

	f.settings.segment_records = 400;
	fixture_create(&f);
	for (size_t n = 0; n < KMN_COUNT_OF(steps); n++) {
		uint8_t whole[KMN_HASH_BYTES], tail[KMN_HASH_BYTES];
		struct kmn_recovery recovery;
		struct kmn_log *log = fixture_open(&f, NULL, NULL);

		answers(log, whole);
		CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
		CU_ASSERT_EQUAL_FATAL(open_at_tail(&log, &recovery), KMN_OK);
		answers(log, tail);
		CU_ASSERT_EQUAL(memcmp(whole, tail, sizeof(whole)), 0);
		fixture_batch(log, steps[n]);
		answers(log, tail);
		CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
		log = fixture_open(&f, NULL, NULL);
		answers(log, whole);
		CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(whole, tail, sizeof(whole)), 0);
	}
}

static void
grow(uint64_t records, unsigned batch)
{
	struct kmn_log *log;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	while (kmn_log_size(log) < records)
		fixture_batch(log, batch);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

/* Everything behind the last mark is read and checked, whoever opens. */
static void
test_damage_behind_mark(void)
{
	struct kmn_recovery recovery;
	struct kmn_log *log;
	char *bytes, *mark = NULL;
	size_t len, tried = 0;

	grow(300, 7);
	fixture_unlink(&f, "checkpoint");
	bytes = fixture_read(&f, "seg/00000000000000000000.kl", &len);
	for (char *at = bytes; (at = strstr(at, "#mark ")) != NULL; at++)
		mark = at;
	CU_ASSERT_PTR_NOT_NULL_FATAL(mark);
	for (size_t at = (size_t)(mark - bytes); at < len - 1; at += 11, tried++) {
		bytes[at] ^= 1;
		fixture_write(&f, "seg/00000000000000000000.kl", bytes, len);
		CU_ASSERT_EQUAL(open_at_tail(&log, &recovery), KMN_E_CORRUPT);
		CU_ASSERT_FALSE(recovery.torn);
		bytes[at] ^= 1;
	}
	CU_ASSERT_TRUE(tried > 100);
	free(bytes);
}

/* Not read at opening; but who reads such a record is not given it. */
static void
test_edited_old_record(void)
{
	struct kmn_recovery recovery;
	struct kmn_log *log;
	char *bytes, *line;
	size_t len, line_len;

	grow(1000, 50);
	bytes = fixture_read(&f, "seg/00000000000000000000.kl", &len);
	line = strstr(bytes, "\"i\":123,");
	line[-10] ^= 1; /* in the body */
	fixture_write(&f, "seg/00000000000000000000.kl", bytes, len);
	free(bytes);
	CU_ASSERT_EQUAL_FATAL(open_at_tail(&log, &recovery), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_line(log, 122, &line, &line_len), KMN_OK);
	free(line);
	CU_ASSERT_EQUAL(kmn_log_line(log, 123, &line, &line_len), KMN_E_CORRUPT);
	CU_ASSERT_PTR_NULL(line);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	CU_ASSERT_EQUAL(open_as_owner(&log), KMN_E_CORRUPT);
}

/* With the real key nobody needs to change a record behind the mark: its frontier would do, if it were believed. */
static void
test_forged_mark(void)
{
	struct kmn_recovery recovery;
	struct kmn_log *log;
	struct kmn_head head;
	struct kmn_frontier front;
	char *bytes, *at, root[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	size_t len;

	grow(257, 256);
	bytes = fixture_read(&f, "seg/00000000000000000000.kl", &len);
	at = strstr(bytes, "#mark ");
	at = strchr(at + 6, ' ') + 1;
	at[3] = at[3] == 'A' ? 'B' : 'A';
	{ /* and the commit behind it made right again */
		uint8_t list[2][KMN_HASH_BYTES];
		size_t hash_len;

		CU_ASSERT_EQUAL(kmn_b64_parse(at, 44, list[0], KMN_HASH_BYTES, &hash_len), KMN_OK);
		CU_ASSERT_EQUAL(kmn_b64_parse(at + 45, 44, list[1], KMN_HASH_BYTES, &hash_len), KMN_OK);
		CU_ASSERT_EQUAL(kmn_frontier_load(&front, 257, list, 2), KMN_OK);
		kmn_frontier_head(&front, &head);
		kmn_b64(head.root, KMN_HASH_BYTES, root);
		memcpy(strstr(at, "#commit 257 ") + 12, root, 44);
	}
	fixture_write(&f, "seg/00000000000000000000.kl", bytes, len);
	free(bytes);
	fixture_unlink(&f, "checkpoint");
	CU_ASSERT_EQUAL(open_at_tail(&log, &recovery), KMN_E_CORRUPT);
}

static const uint64_t chosen[] = {0, 5, 17, 260};

/* A ledger of 300 records with a snapshot, and `more` records after that. */
static void
with_snapshot(unsigned more)
{
	struct kmn_log *log;

	fixture_create(&f);
	CU_ASSERT_EQUAL_FATAL(open_as_owner(&log), KMN_OK);
	fixture_batch(log, 299);
	CU_ASSERT_EQUAL(kmn_log_snapshot(log, chosen, KMN_COUNT_OF(chosen)), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	if (more == 0)
		return;
	CU_ASSERT_EQUAL_FATAL(open_as_owner(&log), KMN_OK);
	fixture_batch(log, more);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
expect(uint64_t resumed, uint64_t count)
{
	struct kmn_log *log;

	CU_ASSERT_EQUAL_FATAL(open_as_owner(&log), KMN_OK);
	CU_ASSERT_EQUAL(owner.resumed, resumed);
	CU_ASSERT_EQUAL(owner.count, count);
	CU_ASSERT_TRUE(owner.ascending && owner.first == 0 && owner.last + 1 == kmn_log_size(log));
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_snapshot(void)
{
	struct kmn_log *log;

	with_snapshot(0);
	CU_ASSERT_EQUAL_FATAL(open_as_owner(&log), KMN_OK);
	CU_ASSERT_EQUAL(owner.resumed, 300);
	CU_ASSERT_EQUAL(owner.count, 4);
	fixture_batch(log, 700);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	expect(300, 704);
	fixture_unlink(&f, "state/snapshot");
	expect(UINT64_MAX, 1000);
}

/* A byte changed or cut anywhere: everything is replayed. */
static void
test_forged_snapshot(void)
{
	char *bytes;
	size_t len;

	with_snapshot(20);
	bytes = fixture_read(&f, "state/snapshot", &len);
	for (size_t at = 0; at < len; at++) {
		bytes[at] = (char)(bytes[at] ^ (1 << at % 7));
		fixture_write(&f, "state/snapshot", bytes, len);
		expect(UINT64_MAX, 320);
		bytes[at] = (char)(bytes[at] ^ (1 << at % 7));
		fixture_write(&f, "state/snapshot", bytes, at);
		expect(UINT64_MAX, 320);
	}
	fixture_write(&f, "state/snapshot", bytes, len);
	expect(300, 24);
	free(bytes);
}

/* One made with another key, by another build, or of another history with the right key. */
static void
test_foreign_snapshot(void)
{
	struct kmn_snapshot snapshot = {.index = (uint64_t *)(uintptr_t)chosen, .count = 1};
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	struct kmn_log *log;
	char *bytes;
	size_t len;

	with_snapshot(20);
	f.settings.snapshot_by[0] = 1;
	expect(UINT64_MAX, 320);
	f.settings.snapshot_by[0] = 0;
	expect(300, 24);

	CU_ASSERT_EQUAL_FATAL(open_as_owner(&log), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_head_at(log, 310, &snapshot.head), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	memcpy(secret, f.secret, sizeof(secret));
	for (int n = 0; n < 3; n++) {
		secret[0] ^= n == 1; /* another key */
		snapshot.head.root[0] ^= n == 2;
		CU_ASSERT_EQUAL(kmn_snapshot_write(&snapshot, FIXTURE_ORIGIN, secret, &bytes, &len), KMN_OK);
		fixture_write(&f, "state/snapshot", bytes, len);
		free(bytes);
		expect(n == 0 ? 310 : UINT64_MAX, n == 0 ? 11 : 320);
		secret[0] ^= n == 1;
	}
	snapshot.head.root[0] ^= 1;
	snapshot.head.size = 330; /* more than there are */
	CU_ASSERT_EQUAL(kmn_snapshot_write(&snapshot, FIXTURE_ORIGIN, secret, &bytes, &len), KMN_OK);
	fixture_write(&f, "state/snapshot", bytes, len);
	free(bytes);
	expect(UINT64_MAX, 320);
}

/* What it names is held against the tree: a changed record ends opening, and is not passed over. */
static void
test_snapshot_of_edited_record(void)
{
	struct kmn_log *log;
	char *bytes, *line;
	size_t len;

	with_snapshot(700);
	bytes = fixture_read(&f, "seg/00000000000000000000.kl", &len);
	line = strstr(bytes, "\"i\":17,");
	line[-10] ^= 1;
	fixture_write(&f, "seg/00000000000000000000.kl", bytes, len);
	free(bytes);
	CU_ASSERT_EQUAL(open_as_owner(&log), KMN_E_CORRUPT);
}

/* Written only when what it is about is durable. */
static void
test_snapshot_waits(void)
{
	struct kmn_log *log;

	fixture_create(&f);
	f.settings.publish_ms = 1;
	CU_ASSERT_EQUAL_FATAL(open_as_owner(&log), KMN_OK);
	fixture_batch(log, 10);
	CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(1), NULL, NULL, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_snapshot(log, chosen, 1), KMN_OK);
	f.disk.fail_at = f.disk.calls + 1;
	f.disk.fail_errno = 5;
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_E_LEDGER);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_E_LEDGER);
	fixture_heal(&f);
	CU_ASSERT_FALSE(fixture_exists(&f, "state/snapshot"));
	expect(UINT64_MAX, 11);
}

/* Gone, empty, changed, of another place: proofs are the same, and missing ones are there again. */
static void
test_tiles_are_mended(void)
{
	static const char *const names[] = {"tile/0/000", "tile/0/001", "tile/0/002", "tile/0/003", "state/tree"};
	uint8_t want[KMN_HASH_BYTES], is[KMN_HASH_BYTES];
	struct kmn_recovery recovery;
	struct kmn_log *log;
	char *bytes, *line, *again, *said[KMN_COUNT_OF(names)];
	size_t len, line_len, again_len, said_len[KMN_COUNT_OF(names)];

	grow(1100, 100);
	CU_ASSERT_EQUAL_FATAL(open_at_tail(&log, &recovery), KMN_OK);
	answers(log, want);
	for (size_t n = 0; n < KMN_COUNT_OF(names); n++)
		CU_ASSERT_EQUAL(kmn_log_line(log, n * 256 + 5, &said[n], &said_len[n]), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	for (size_t n = 0; n < KMN_COUNT_OF(names); n++)
		for (int how = 0; how < 4; how++) {
			bytes = fixture_read(&f, names[n], &len);
			bytes[len / 2] ^= how == 2;
			if (how == 0)
				fixture_unlink(&f, names[n]);
			else
				fixture_write(&f, how == 3 ? names[0] : names[n], bytes, how == 1 ? 0 : len);
			bytes[len / 2] ^= how == 2;
			CU_ASSERT_EQUAL_FATAL(open_at_tail(&log, &recovery), KMN_OK);
			CU_ASSERT_EQUAL(kmn_log_line(log, n * 256 + 5, &line, &line_len), KMN_OK);
			CU_ASSERT_TRUE(line_len == said_len[n] && memcmp(line, said[n], line_len) == 0);
			free(line);
			answers(log, is);
			CU_ASSERT_EQUAL(memcmp(want, is, sizeof(is)), 0);
			CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
			CU_ASSERT_TRUE(how > 0 || n == 4 || fixture_exists(&f, names[n]));
			log = fixture_open(&f, NULL, NULL); /* who reads all of it writes right ones */
			CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
			again = n == 4 ? strdup("") : fixture_read(&f, names[n], &again_len);
			CU_ASSERT_TRUE(n == 4 || (again_len == len && memcmp(again, bytes, len) == 0));
			free(again);
			fixture_write(&f, names[n], bytes, len);
			free(bytes);
		}
	for (size_t n = 0; n < KMN_COUNT_OF(names); n++)
		free(said[n]);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"opened at its last mark a log answers as one that read everything, at every size",
		test_tail_is_the_whole},
	    {"a changed byte behind the last mark is refused", test_damage_behind_mark},
	    {"an edited old record is given to nobody, and its leaf is not the tree's", test_edited_old_record},
	    {"a mark that was forged with its commit is refused: the segments do not have its root", test_forged_mark},
	    {"a snapshot's records are replayed, and what came after", test_snapshot},
	    {"a snapshot changed or cut anywhere is not used: all is replayed", test_forged_snapshot},
	    {"a snapshot by another key, another build or of another history is not used", test_foreign_snapshot},
	    {"an edited record that a snapshot names ends opening", test_snapshot_of_edited_record},
	    {"a snapshot is written only when what it is about is durable", test_snapshot_waits},
	    {"tiles that are missing, empty or wrong change no proof and are made again", test_tiles_are_mended},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/open", NULL, NULL, up, down, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
