/* The verifier against a small ledger, whole and bent in every way that a line or a byte can be. */
#include "config.h"

#include "kanmon/verify.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/memory.h"
#include "tests/unit/ledger/stories.h"
#include "tests/unit/run.h"

#define SEGMENT_RECORDS 5
#define SEG0 "seg/00000000000000000000.kl"

static struct fixture f;
static struct memory disk; /* the ledger as it was written */
static struct kmn_trust trust;

/* What one verification said. */
struct said {
	struct kmn_verify_report report;
	bool at_place;    /* a finding in the file, near the line, that was bent */
	const char *file; /* what was bent */
	uint64_t line;    /* 0: any */
	char last[256];
};

static void
hear(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	struct said *said = cookie;

	(void)check;
	if (severity == KMN_INFO)
		return;
	(void)snprintf(said->last, sizeof(said->last), "V%d %s:%" PRIu64 " %.200s", (int)check,
	    place->file == NULL ? "-" : place->file, place->line, text);
	if (said->file != NULL && place->file != NULL && strcmp(place->file, said->file) == 0 &&
	    (said->line == 0 || place->line == 0 || (place->line + 1 >= said->line && place->line <= said->line + 2)))
		said->at_place = true;
}

static int
verify_with(struct memory *memory, const char *head, struct said *said)
{
	struct kmn_verify_settings settings = {.store = &memory->store,
	    .trust = &trust,
	    .head = head,
	    .head_len = head == NULL ? 0 : strlen(head),
	    .sink = {hear, said},
	    .segment_records = SEGMENT_RECORDS};

	CU_ASSERT_EQUAL(kmn_verify(&settings, &said->report), KMN_OK);
	return said->report.exit_code;
}

static int
verify(struct memory *memory, struct said *said)
{
	return verify_with(memory, NULL, said);
}

static void
make_trust(const char *quorum)
{
	char text[1024], vkey[KMN_VKEY_MAX_BYTES];
	struct kmn_why why = {""};

	kmn_vkey_format(&f.vkey, vkey);
	(void)snprintf(text, sizeof(text),
	    "kanmon/trust/v1\norigin " FIXTURE_ORIGIN
	    "\npolicy-sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nlog %s\n\n%s",
	    vkey, quorum);
	CU_ASSERT_EQUAL_FATAL(kmn_trust_parse(text, strlen(text), &trust, &why), KMN_OK);
}

/* Three segments, a call with its story, a call that a crash left open, a checkpoint inside, a blob. */
static void
write_ledger(void)
{
	struct kmn_ref intent, decision;
	struct kmn_head head;
	struct kmn_log *log;
	uint8_t hash[KMN_HASH_BYTES];
	char *note;
	size_t len;

	fixture_create(&f);
	log = fixture_open(&f, NULL, NULL);
	(void)story_append(log, KMN_R_GATEWAY_START, story_start());
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_blob_put(log, "data", 4, hash), KMN_OK);
	intent = story_append(log, KMN_R_INTENT, story_intent(f.now + 1000));
	decision = story_append(log, KMN_R_DECISION, story_decision(&intent, "allow"));
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
	(void)story_append(log, KMN_R_RESULT, story_result(&intent, &decision));
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_checkpoint(log, &head, &note, &len), KMN_OK);
	(void)story_append(log, KMN_R_CHECKPOINT, story_checkpoint(note));
	free(note);
	intent = story_append(log, KMN_R_INTENT, story_intent(f.now + 1000));
	decision = story_append(log, KMN_R_DECISION, story_decision(&intent, "allow"));
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
	kmn_log_durable(log, &head);
	(void)story_append(log, KMN_R_RECOVERY, story_recovery(&head, &decision, "unknown"));
	(void)story_append(log, KMN_R_GATEWAY_START, story_start());
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
	intent = story_append(log, KMN_R_INTENT, story_intent(f.now + 1000));
	(void)story_append(log, KMN_R_DECISION, story_decision(&intent, "deny"));
	(void)story_append(log, KMN_R_GATEWAY_STOP, story_stop());
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

/* Before each test; the ledger is made once. (CUnit's suite set-up allows no assertions.) */
static void
ready(void)
{
	if (disk.count > 0)
		return;
	fixture_up(&f);
	f.settings.segment_records = SEGMENT_RECORDS;
	write_ledger();
	memory_load(&disk, f.disk.real);
	make_trust("quorum none\n");
}

static int
tear_down(void)
{
	memory_clear(&disk);
	fixture_down(&f);
	return 0;
}

static void
test_whole(void)
{
	struct said said = {0};

	CU_ASSERT_EQUAL(verify(&disk, &said), 0);
	CU_ASSERT_STRING_EQUAL(said.last, "");
	CU_ASSERT_EQUAL(said.report.records, 13);
	CU_ASSERT_EQUAL(said.report.segments, 3);
	CU_ASSERT_EQUAL(said.report.blobs, 1);
	CU_ASSERT_EQUAL(said.report.head.size, 13);
	CU_ASSERT_EQUAL(said.report.signed_size, 13);
	CU_ASSERT_EQUAL(said.report.open_requests, 0);
}

static uint64_t
line_of(const char *bytes, size_t at)
{
	uint64_t line = 1;

	for (size_t n = 0; n < at; n++)
		line += bytes[n] == '\n';
	return line;
}

/* Bends one file's bytes, verifies, and puts them back; what it said must be exit 1 with the place. */
static unsigned
expect_found(struct memory_file *file, char *bytes, size_t len, uint64_t line)
{
	struct said said = {.file = file->name, .line = line};
	char *kept = file->bytes;
	size_t kept_len = file->len;
	int exit_code;

	file->bytes = bytes;
	file->len = len;
	exit_code = verify(&disk, &said);
	file->bytes = kept;
	file->len = kept_len;
	if (exit_code == 1 && said.at_place)
		return 0;
	(void)printf("# %s line %" PRIu64 ": exit %d, said %s\n", file->name, line, exit_code, said.last);
	return 1;
}

static void
test_every_byte(void)
{
	unsigned bits = getenv("KMN_TEST_LONG") != NULL ? 8 : 1, missed = 0, tried = 0;

	for (size_t n = 0; n < disk.count; n++) {
		struct memory_file *file = &disk.file[n];
		char *bent = malloc(file->len);
		/* "1_2" places of a note or a table of offsets have no lines worth naming */
		bool lines = strncmp(file->name, "seg/", 4) == 0 && strstr(file->name, ".off") == NULL;

		CU_ASSERT_PTR_NOT_NULL_FATAL(bent);
		for (size_t at = 0; at < file->len; at++) {
			for (unsigned bit = 0; bit < bits; bit++, tried++) {
				memcpy(bent, file->bytes, file->len);
				bent[at] = (char)(bent[at] ^ (1 << (bits == 1 ? at % 8 : bit)));
				missed += expect_found(file, bent, file->len, lines ? line_of(file->bytes, at) : 0);
			}
		}
		free(bent);
	}
	CU_ASSERT_EQUAL(missed, 0);
	CU_ASSERT_TRUE(tried > 5000);
}

/* Copies `file` with line `at` (1-based) put `times` times, and swapped with the next if `swap`. */
static char *
rewrite(const struct memory_file *file, uint64_t at, unsigned times, bool swap, size_t *len_out)
{
	char *out = malloc(file->len * 2 + 1), *put = out;
	uint64_t line = 1;
	const char *from = file->bytes, *end = from + file->len;

	while (from < end) {
		const char *lf = memchr(from, '\n', (size_t)(end - from)), *next = lf + 1;
		size_t len = (size_t)(next - from);
		unsigned copies = line == at && !swap ? times : 1;

		if (line == at && swap && next < end) {
			const char *second = memchr(next, '\n', (size_t)(end - next));
			size_t second_len = (size_t)(second + 1 - next);

			memcpy(put, next, second_len);
			put += second_len;
			memcpy(put, from, len);
			put += len;
			from = next + second_len;
			line += 2;
			continue;
		}
		for (unsigned n = 0; n < copies; n++, put += len)
			memcpy(put, from, len);
		from = next;
		line++;
	}
	*len_out = (size_t)(put - out);
	return out;
}

/* A line left out may be seen only where the files end too early: by another file's word. */
static unsigned
expect_failed(struct memory_file *file, char *bytes, size_t len, uint64_t line, const char *how)
{
	struct said said = {0};
	char *kept = file->bytes;
	size_t kept_len = file->len;
	int exit_code;

	file->bytes = bytes;
	file->len = len;
	exit_code = verify(&disk, &said);
	file->bytes = kept;
	file->len = kept_len;
	if (exit_code == 1)
		return 0;
	(void)printf("# %s line %" PRIu64 " %s: exit %d\n", file->name, line, how, exit_code);
	return 1;
}

static void
test_every_line(void)
{
	unsigned missed = 0;

	for (size_t n = 0; n < disk.count; n++) {
		struct memory_file *file = &disk.file[n];
		uint64_t lines = line_of(file->bytes, file->len) - 1;

		if (strncmp(file->name, "seg/", 4) != 0 || strstr(file->name, ".off") != NULL)
			continue;
		for (uint64_t line = 1; line <= lines; line++) {
			size_t len;
			char *bent = rewrite(file, line, 0, false, &len);

			missed += expect_failed(file, bent, len, line, "dropped");
			free(bent);
			bent = rewrite(file, line, 2, false, &len);
			missed += expect_failed(file, bent, len, line, "repeated");
			free(bent);
			if (line == lines)
				continue;
			bent = rewrite(file, line, 1, true, &len);
			missed += expect_failed(file, bent, len, line, "swapped with the next");
			free(bent);
		}
	}
	CU_ASSERT_EQUAL(missed, 0);
}

static void
test_every_segment(void)
{
	static const char *const names[] = {SEG0, "seg/00000000000000000005.kl", "seg/00000000000000000010.kl"};
	struct said said;

	for (size_t n = 0; n < KMN_COUNT_OF(names); n++) {
		struct memory bent;
		struct memory_file *file;

		memory_load(&bent, &disk.store);
		file = memory_get(&bent, names[n]);
		CU_ASSERT_PTR_NOT_NULL_FATAL(file);
		said = (struct said){0};
		memory_put(&bent, "seg/00000000000000000013.kl", file->bytes, file->len); /* repeated */
		CU_ASSERT_EQUAL(verify(&bent, &said), 1);
		memory_drop(&bent, "seg/00000000000000000013.kl");
		said = (struct said){0};
		memory_drop(&bent, names[n]);
		CU_ASSERT_EQUAL(verify(&bent, &said), 1);
		memory_clear(&bent);
		for (size_t m = 0; m < n; m++) {
			struct memory_file *a = memory_get(&disk, names[n]), *b = memory_get(&disk, names[m]), c = *a;

			a->bytes = b->bytes;
			a->len = b->len;
			b->bytes = c.bytes;
			b->len = c.len;
			said = (struct said){0};
			CU_ASSERT_EQUAL(verify(&disk, &said), 1);
			b->bytes = a->bytes;
			b->len = a->len;
			a->bytes = c.bytes;
			a->len = c.len;
		}
	}
	said = (struct said){0};
	CU_ASSERT_EQUAL(verify(&disk, &said), 0);
}

/* With a head to hold against it a cut is seen wherever it is; without one, only nobody can say. */
static void
test_every_cut(void)
{
	struct memory bent;
	struct memory_file *file;
	struct said said;
	size_t whole;
	char *note;

	memory_load(&bent, &disk.store);
	file = memory_get(&bent, "checkpoint");
	note = strdup(file->bytes);
	file = memory_get(&bent, "seg/00000000000000000010.kl");
	whole = file->len;
	for (size_t len = 0; len < whole; len++) {
		file->len = len;
		said = (struct said){0};
		CU_ASSERT_EQUAL(verify(&bent, &said), 1);
	}
	file->len = whole;
	memory_drop(&bent, "checkpoint");
	memory_drop(&bent, "state/head");
	memory_drop(&bent, "state/tree");
	for (size_t len = 0; len < whole; len++) {
		bool clean;

		file = memory_get(&bent, "seg/00000000000000000010.kl");
		file->len = len;
		/* behind the header, or behind the last commit of a batch */
		clean = len > 0 && file->bytes[len - 1] == '\n' &&
			(line_of(file->bytes, len) == 2 || memcmp(file->bytes + len - 57, "#commit ", 8) == 0);
		said = (struct said){0};
		CU_ASSERT_EQUAL(verify(&bent, &said), clean ? 3 : 1);
		said = (struct said){0};
		CU_ASSERT_EQUAL(verify_with(&bent, note, &said), 1);
	}
	file->len = whole;
	said = (struct said){0};
	CU_ASSERT_EQUAL(verify(&bent, &said), 3);
	said = (struct said){0};
	CU_ASSERT_EQUAL(verify_with(&bent, note, &said), 0);
	free(note);
	memory_clear(&bent);
}

static void
test_unrecovered_tail(void)
{
	static const char *const tails[] = {"x", "\n", "#commit 13 x\n", "{}\n"};
	struct memory_file *file = memory_get(&disk, "seg/00000000000000000010.kl");

	for (size_t n = 0; n < KMN_COUNT_OF(tails); n++) {
		char *bent = malloc(file->len + 32);

		memcpy(bent, file->bytes, file->len);
		memcpy(bent + file->len, tails[n], strlen(tails[n]));
		CU_ASSERT_EQUAL(expect_found(file, bent, file->len + strlen(tails[n]), 0), 0);
		free(bent);
	}
}

static void
test_trust(void)
{
	struct said said = {0};
	struct kmn_trust kept = trust;

	make_trust(
	    "# none of them asked\nwitness w witness.example/w0+f4f925ea+BPWS6nPY2APw8DTSNlMdv661zFViYrIIzJRT1syjSiGN\n"
	    "quorum w\n");
	CU_ASSERT_EQUAL(verify(&disk, &said), 2);
	trust = kept;
	trust.log.pub[0] ^= 1;
	CU_ASSERT_EQUAL(verify(&disk, &said), 1);
	trust = kept;
	(void)snprintf(trust.origin, sizeof(trust.origin), "kanmon.example/other");
	CU_ASSERT_EQUAL(verify(&disk, &said), 1);
	trust = kept;
	said = (struct said){0};
	CU_ASSERT_EQUAL(verify_with(&disk, "no note\n", &said), 1);
}

static void
test_no_ledger(void)
{
	struct memory empty = disk;
	struct said said = {0};

	empty.count = 0;
	CU_ASSERT_EQUAL(verify(&empty, &said), 3);
}

static const struct {
	const char *says, *text;
} bad_trust[] = {
    {"empty", ""},
    {"no last LF", "kanmon/trust/v1"},
    {"another version", "kanmon/trust/v2\n"},
    {"no log", "kanmon/trust/v1\norigin a\npolicy-sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"},
    {"short hash", "kanmon/trust/v1\norigin a\npolicy-sha256 AAAA\n"},
};

static void
test_bad_trust(void)
{
	struct kmn_trust out;
	struct kmn_why why;

	for (size_t n = 0; n < KMN_COUNT_OF(bad_trust); n++)
		CU_ASSERT_EQUAL(
		    kmn_trust_parse(bad_trust[n].text, strlen(bad_trust[n].text), &out, &why), KMN_E_MALFORMED);
}

/* Stories of V8: what is appended after genesis, and what the verifier must make of it. */
enum scene { END, START, INTENT, LATE, ALLOW, DENY, RESULT, OTHER_RESULT, UNKNOWN, NOT_STARTED, WRONG_REF, HOUR };

static const struct {
	const char *says;
	enum scene scene[8];
	int exit_code;
	uint64_t open;
} stories[] = {
    {"allowed and done", {START, INTENT, ALLOW, RESULT}, 0, 0},
    {"denied", {START, INTENT, DENY}, 0, 0},
    {"open at the head", {START, INTENT}, 0, 1},
    {"running at the head", {START, INTENT, ALLOW}, 0, 1},
    {"two uses, two results", {START, INTENT, ALLOW, RESULT, ALLOW, RESULT}, 0, 0},
    {"a decision that a start forgot", {START, INTENT, ALLOW, START}, 1, 0},
    {"a decision that a recovery gave up", {START, INTENT, ALLOW, UNKNOWN, START}, 0, 0},
    {"an intent that a recovery gave up", {START, INTENT, NOT_STARTED, START}, 0, 0},
    {"an intent past its time", {START, INTENT, HOUR, START}, 1, 0},
    {"a result twice", {START, INTENT, ALLOW, RESULT, OTHER_RESULT}, 1, 0},
    {"a result of a denial", {START, INTENT, DENY, OTHER_RESULT}, 1, 0},
    {"a result after it was given up", {START, INTENT, ALLOW, UNKNOWN, START, OTHER_RESULT}, 1, 0},
    {"a result after a start", {START, INTENT, ALLOW, START, OTHER_RESULT}, 1, 0},
    {"a reference with another leaf", {START, INTENT, WRONG_REF}, 1, 1},
};

static void
play(struct kmn_log *log, enum scene scene, struct kmn_ref *intent, struct kmn_ref *decision)
{
	struct kmn_ref wrong = *intent;
	struct kmn_head head;

	kmn_log_durable(log, &head);
	switch (scene) {
	case START:
		(void)story_append(log, KMN_R_GATEWAY_START, story_start());
		break;
	case INTENT:
	case LATE:
		*intent = story_append(log, KMN_R_INTENT, story_intent(f.now + 100));
		break;
	case ALLOW:
	case DENY:
		*decision =
		    story_append(log, KMN_R_DECISION, story_decision(intent, scene == ALLOW ? "allow" : "deny"));
		break;
	case RESULT:
	case OTHER_RESULT:
		(void)story_append(log, KMN_R_RESULT, story_result(intent, decision));
		break;
	case UNKNOWN:
		(void)story_append(log, KMN_R_RECOVERY, story_recovery(&head, intent, "unknown"));
		break;
	case NOT_STARTED:
		(void)story_append(log, KMN_R_RECOVERY, story_recovery(&head, intent, "not-started"));
		break;
	case WRONG_REF:
		wrong.leaf[0] ^= 1;
		(void)story_append(log, KMN_R_DECISION, story_decision(&wrong, "allow"));
		break;
	case HOUR:
		f.now += 3600000;
		break;
	case END:
		break;
	}
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
}

static void
test_stories(void)
{
	struct fixture kept = f;
	struct memory memory;

	for (size_t n = 0; n < KMN_COUNT_OF(stories); n++) {
		struct kmn_ref intent = {0}, decision = {0};
		struct said said = {0};
		struct kmn_log *log;

		fixture_up(&f);
		f.settings.segment_records = SEGMENT_RECORDS;
		fixture_create(&f);
		log = fixture_open(&f, NULL, NULL);
		for (size_t at = 0; at < KMN_COUNT_OF(stories[n].scene); at++)
			play(log, stories[n].scene[at], &intent, &decision);
		CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
		memory_load(&memory, f.disk.real);
		if (verify(&memory, &said) != stories[n].exit_code || said.report.open_requests != stories[n].open) {
			(void)printf("# %s: exit %d, %" PRIu64 " open, said %s\n", stories[n].says,
			    said.report.exit_code, said.report.open_requests, said.last);
			CU_FAIL("story");
		}
		memory_clear(&memory);
		fixture_down(&f);
	}
	f = kept;
	f.settings.store = &f.disk.store;
}

/* A client that comes with a head: of this ledger, of another one with the same key, or of nobody we know. */
static void
write_client(struct kmn_log *log, const char *head)
{
	json_t *body = json_pack("{s:I, s:i, s:{s:s, s:s}, s:{}, s:{}, s:s, s:s}", "chan",
	    (json_int_t)kmn_log_size(log), "instance", 1, "peer", "name", "ca", "spki_sha256",
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "tls", "provider", "mode", "each", "client_head", head);

	(void)story_append(log, KMN_R_CHANNEL_OPEN, body);
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
}

static const struct {
	const char *says;
	bool other_root, later, stranger;
	int exit_code;
	const char *finds;
} views[] = {
    {"a head of this ledger", false, false, false, 0, ""},
    {"the same size, another root", true, false, false, 1, "SPLIT VIEW"},
    {"a head of a longer ledger", false, true, false, 1, "SPLIT VIEW"},
    {"a head by a key that is not the log's", true, false, true, 0, ""},
};

static void
test_views(void)
{
	struct fixture kept = f;
	struct memory memory;

	for (size_t n = 0; n < KMN_COUNT_OF(views); n++) {
		uint8_t pub[KMN_ED25519_PUBLIC_BYTES], secret[KMN_ED25519_SECRET_BYTES], seed[KMN_HASH_BYTES] = {7};
		struct said said = {0};
		struct kmn_vkey vkey;
		struct kmn_head head;
		struct kmn_log *log;
		size_t len;
		char *note;

		fixture_up(&f);
		f.settings.segment_records = SEGMENT_RECORDS;
		fixture_create(&f);
		log = fixture_open(&f, NULL, NULL);
		(void)story_append(log, KMN_R_GATEWAY_START, story_start());
		CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
		kmn_log_durable(log, &head);
		head.root[0] ^= views[n].other_root;
		head.size += views[n].later ? 5 : 0;
		vkey = f.vkey;
		memcpy(secret, f.secret, sizeof(secret));
		if (views[n].stranger) {
			(void)crypto_sign_ed25519_seed_keypair(pub, secret, seed);
			CU_ASSERT_EQUAL(kmn_vkey_make(FIXTURE_ORIGIN, pub, &vkey), KMN_OK);
		}
		CU_ASSERT_EQUAL_FATAL(kmn_checkpoint_sign(FIXTURE_ORIGIN, &head, &vkey, secret, &note, &len), KMN_OK);
		write_client(log, note);
		free(note);
		CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
		memory_load(&memory, f.disk.real);
		if (verify(&memory, &said) != views[n].exit_code || strstr(said.last, views[n].finds) == NULL) {
			(void)printf("# %s: exit %d, said %s\n", views[n].says, said.report.exit_code, said.last);
			CU_FAIL("view");
		}
		CU_ASSERT_TRUE(said.report.done[KMN_V10]);
		memory_clear(&memory);
		fixture_down(&f);
	}
	f = kept;
	f.settings.store = &f.disk.store;
}

/* What a start or a recovery says that a guard held. */
static const struct {
	const char *says, *verdict; /* verdict NULL: in gateway.start */
	bool other_root, later, fresh;
	int exit_code;
	const char *finds;
} guard_rows[] = {
    {"a head of this ledger", NULL, false, false, false, 0, ""},
    {"nothing yet", NULL, false, false, true, 0, ""},
    {"the same size, another root", NULL, true, false, false, 1, "held another root at size 2"},
    {"a head of a longer ledger", NULL, false, true, false, 1, "held a head of 7 records, and only 2 were there"},
    {"a recovery's guard fits", "fits", false, false, false, 0, ""},
    {"a recovery's guard was empty", "new", false, false, true, 0, ""},
    {"a recovery calls another head fitting", "fits", true, false, false, 1, "held another root"},
    {"a recovery calls a head new", "new", false, false, false, 1, "no such verdict"},
    {"a recovery with a verdict of its own", "fine", false, false, false, 1, "no such verdict"},
    {"a guard that was overruled is the quorum's", "overruled", true, true, false, 0, ""},
};

static void
write_guarded(struct kmn_log *log, size_t n)
{
	json_t *guard, *body;
	struct kmn_head head;

	(void)story_append(log, KMN_R_GATEWAY_START, story_start());
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
	kmn_log_durable(log, &head);
	body = guard_rows[n].verdict == NULL ? story_start() : story_recovery(&head, NULL, NULL);
	if (guard_rows[n].fresh)
		memset(&head, 0, sizeof(head));
	head.root[0] ^= guard_rows[n].other_root;
	head.size += guard_rows[n].later ? 5 : 0;
	guard = json_pack("{s:s, s:s, s:I, s:o}", "kind", "file", "name", "guards/1", "size", (json_int_t)head.size,
	    "root", kmn_json_b64(head.root, KMN_HASH_BYTES));
	if (guard_rows[n].verdict != NULL)
		(void)json_object_set_new(guard, "verdict", json_string(guard_rows[n].verdict));
	(void)json_array_append_new(json_object_get(body, "guards"), guard);
	(void)story_append(log, guard_rows[n].verdict == NULL ? KMN_R_GATEWAY_START : KMN_R_RECOVERY, body);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_guards(void)
{
	struct fixture kept = f;
	struct memory memory;

	for (size_t n = 0; n < KMN_COUNT_OF(guard_rows); n++) {
		struct said said = {0};

		fixture_up(&f);
		f.settings.segment_records = SEGMENT_RECORDS;
		fixture_create(&f);
		write_guarded(fixture_open(&f, NULL, NULL), n);
		memory_load(&memory, f.disk.real);
		if (verify(&memory, &said) != guard_rows[n].exit_code ||
		    strstr(said.last, guard_rows[n].finds) == NULL) {
			(void)printf("# %s: exit %d, said %s\n", guard_rows[n].says, said.report.exit_code, said.last);
			CU_FAIL("guard");
		}
		CU_ASSERT_EQUAL(said.report.count[KMN_V3], (unsigned)guard_rows[n].exit_code);
		memory_clear(&memory);
		fixture_down(&f);
	}
	f = kept;
	f.settings.store = &f.disk.store;
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a whole ledger verifies", test_whole},
	    {"every byte of every file, changed, is found and its place named", test_every_byte},
	    {"every line dropped, repeated, swapped is found", test_every_line},
	    {"every segment dropped, repeated, swapped is found", test_every_segment},
	    {"a cut at every byte is judged against checkpoint or --head; without both nobody can", test_every_cut},
	    {"bytes after the last commit are an unrecovered tail", test_unrecovered_tail},
	    {"another key or origin fails; witnesses that never cosigned are exit 2", test_trust},
	    {"no ledger is incomplete input", test_no_ledger},
	    {"a malformed trust file is refused", test_bad_trust},
	    {"every call has its story, whole", test_stories},
	    {"a head that the log key signed for a client and that is not of this ledger is a split view", test_views},
	    {"a start that names a guard's head that is not of this ledger is found", test_guards},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/verify", NULL, tear_down, ready, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
