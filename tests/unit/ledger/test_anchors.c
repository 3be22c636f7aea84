/* V9 and the clock of V10: a ledger with time stamps, whole and bent (attack rows 25 and 26). */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/anchor.h"
#include "kanmon/verify.h"
#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/stories.h"
#include "tests/unit/ledger/tsa.h"
#include "tests/unit/run.h"

#define START UINT64_C(1790000000000) /* fixture.c's first now */
#define MINUTE UINT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)

static struct fixture f;
static struct kmn_log *log_;
static struct tsa *tsa, *other;
static struct kmn_trust trust;
static uint64_t judged_now;

struct said {
	struct kmn_verify_report report;
	char text[2048]; /* of all findings, and notes with `notes` */
	bool notes;
};

static void
hear(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	struct said *said = cookie;

	(void)place;
	if (severity != KMN_INFO || said->notes)
		(void)snprintf(said->text + strlen(said->text), sizeof(said->text) - strlen(said->text), "V%d %s\n",
		    (int)check, text);
}

static int
verify(struct said *said)
{
	struct kmn_verify_settings settings = {
	    .store = &f.disk.store, .trust = &trust, .sink = {hear, said}, .now_ms = judged_now};

	CU_ASSERT_EQUAL(kmn_verify(&settings, &said->report), KMN_OK);
	if (said->report.exit_code == 1 && said->text[0] == '\0')
		(void)printf("# a finding without words\n");
	return said->report.exit_code;
}

/* `asked`: lines of tsa and anchor-gap. */
static void
make_trust(const char *asked)
{
	char text[1024], vkey[KMN_VKEY_MAX_BYTES];
	struct kmn_why why = {""};

	kmn_vkey_format(&f.vkey, vkey);
	(void)snprintf(text, sizeof(text),
	    "kanmon/trust/v1\norigin " FIXTURE_ORIGIN
	    "\npolicy-sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nlog %s\n%s\nquorum none\n",
	    vkey, asked);
	CU_ASSERT_EQUAL_FATAL(kmn_trust_parse(text, strlen(text), &trust, &why), KMN_OK);
}

static void
pin(const struct tsa *which, const char *more)
{
	uint8_t hash[KMN_HASH_BYTES];
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1], asked[256];

	tsa_root_sha256(which, hash);
	kmn_b64(hash, sizeof(hash), b64);
	(void)snprintf(asked, sizeof(asked), "tsa one %s\n%s", b64, more);
	make_trust(asked);
}

static void
up(void)
{
	fixture_up(&f);
	fixture_create(&f);
	tsa = tsa_new(START - DAY, 3);
	other = tsa_new(START - DAY, 20);
	judged_now = START + DAY;
	log_ = fixture_open(&f, NULL, NULL);
	(void)story_append(log_, KMN_R_GATEWAY_START, story_start());
	pin(tsa, "");
}

static void
done(void)
{
	if (log_ != NULL)
		CU_ASSERT_EQUAL(kmn_log_close(log_), KMN_OK);
	log_ = NULL;
}

static void
down(void)
{
	done();
	fixture_down(&f);
	tsa_free(tsa);
	tsa_free(other);
}

static void
pass(uint64_t ms)
{
	f.now += ms;
	f.boot += ms;
}

/* A record of no meaning. */
static struct kmn_ref
work(void)
{
	return story_append(log_, KMN_R_CHANNEL_COUNTS, json_pack("{s:i, s:{}}", "chan", 1, "counts"));
}

/* What may be wrong with a token that is put into the ledger. */
struct wrong {
	enum tsa_flaw flaw;
	bool imprint, nonce, signature, no_chain, time;
};

/* The members that a token brings, judged good or made as if; the chain goes to the blobs. */
static void
put_token(
    const struct tsa *by, json_t *body, const struct kmn_stamp_want *want, uint64_t gen_time, const struct wrong *wrong)
{
	struct kmn_stamp_want said = *want, kept = *want;
	struct kmn_stamp_roots *roots;
	struct kmn_stamp stamp;
	struct kmn_why why = {""};
	size_t good_len, len;
	uint8_t *good = tsa_token(by, TSA_RIGHT, want, gen_time, true, &good_len), *token;
	struct kmn_anchor_made made = {.tsa = "one", .want = &kept, .stamp = &stamp};

	CU_ASSERT_EQUAL_FATAL(kmn_stamp_roots_load(tsa_root(by), strlen(tsa_root(by)), &roots, &why), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_stamp_verify(good, good_len, want, roots, 0, &stamp, &why), KMN_OK);
	said.imprint[3] ^= wrong->imprint;
	kept.nonce ^= wrong->nonce;
	token = tsa_token(by, wrong->flaw, &said, gen_time, true, &len);
	token[len - 1] ^= wrong->signature;
	stamp.gen_time += wrong->time;
	made.token = token;
	made.token_len = len;
	if (wrong->no_chain)
		kmn_sha256("nowhere", 7, made.chain_sha256);
	else
		CU_ASSERT_EQUAL(kmn_log_blob_put(log_, stamp.chain, stamp.chain_len, made.chain_sha256), KMN_OK);
	CU_ASSERT_TRUE(kmn_anchor_put(body, &made));
	kmn_stamp_clear(&stamp);
	kmn_stamp_roots_free(roots);
	free(token);
	free(good);
}

static struct kmn_ref
anchor_with(const struct tsa *by, uint64_t gen_time, const struct wrong *wrong)
{
	static uint64_t nonce = 1;
	struct kmn_stamp_want want = {.nonce = ++nonce};
	struct kmn_head head;
	char *note;
	size_t len;
	json_t *body;

	CU_ASSERT_EQUAL_FATAL(kmn_log_wait(log_), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_log_checkpoint(log_, &head, &note, &len), KMN_OK);
	CU_ASSERT_TRUE(kmn_stamp_imprint(&want, "sha256", note, len));
	body = json_pack("{s:I, s:s}", "size", (json_int_t)head.size, "note", note);
	put_token(by, body, &want, gen_time, wrong);
	free(note);
	return story_append(log_, KMN_R_ANCHOR, body);
}

static struct kmn_ref
anchor(void)
{
	return anchor_with(tsa, f.now, &(struct wrong){0});
}

/* ---- tokens ------------------------------------------------------------------------------------------------------- */

static void
test_good(void)
{
	struct said said = {.text = ""};
	struct kmn_brackets *brackets = kmn_brackets_new();
	uint64_t lower, upper;

	up();
	for (unsigned n = 0; n < 4; n++) {
		work();
		pass(10 * MINUTE);
		anchor();
	}
	work();
	(void)story_append(log_, KMN_R_GATEWAY_STOP, story_stop());
	done();
	CU_ASSERT_EQUAL(verify(&said), 0);
	CU_ASSERT_STRING_EQUAL(said.text, "");
	CU_ASSERT_TRUE(said.report.done[KMN_V9]);
	CU_ASSERT_EQUAL(said.report.anchors, 4);
	CU_ASSERT_EQUAL(said.report.anchored_size, 9);
	CU_ASSERT_EQUAL(said.report.anchored_ms, START + 40 * MINUTE);
	make_trust("");
	CU_ASSERT_EQUAL(verify(&said), 0);
	CU_ASSERT_TRUE(said.report.not_asked[KMN_V9]);
	CU_ASSERT_FALSE(said.report.done[KMN_V9]);
	/* 0 genesis, 1 start, 2 work, 3 anchor over 0-2, 4 work, 5 anchor over 0-4, .. 10 work, 11 stop */
	for (uint64_t i = 0; i < 12; i++) {
		struct kmn_record record = {0};
		char *line;
		size_t len;

		CU_ASSERT_EQUAL_FATAL(kmn_store_line(&f.disk.store, i, &line, &len), KMN_OK);
		CU_ASSERT_EQUAL(kmn_record_parse(line, len, &record, NULL), KMN_OK);
		CU_ASSERT_EQUAL(kmn_brackets_add(brackets, &record), KMN_OK);
		kmn_record_clear(&record);
		free(line);
	}
	kmn_brackets_get(brackets, 2, &lower, &upper);
	CU_ASSERT_TRUE(lower == 0 && upper == START + 10 * MINUTE);
	kmn_brackets_get(brackets, 4, &lower, &upper);
	CU_ASSERT_TRUE(lower == START + 10 * MINUTE && upper == START + 20 * MINUTE);
	kmn_brackets_get(brackets, 3, &lower, &upper);
	CU_ASSERT_TRUE(lower == 0 && upper == START + 20 * MINUTE);
	kmn_brackets_get(brackets, 11, &lower, &upper);
	CU_ASSERT_TRUE(lower == START + 40 * MINUTE && upper == 0);
	kmn_brackets_free(brackets);
	down();
}

static const struct {
	const char *says;
	struct wrong wrong;
	int exit;
	const char *words;
} bad_cases[] = {
    {"nothing is wrong", {0}, 0, ""},
    {"wrong extended key usage", {.flaw = TSA_EKU_OTHER}, 1, "purpose"},
    {"one that is not critical", {.flaw = TSA_EKU_NOT_CRITICAL}, 1, "purpose"},
    {"a token over another note", {.imprint = true}, 1, "imprint"},
    {"a replayed token: not the recorded nonce", {.nonce = true}, 1, "nonce"},
    {"a corrupted signature", {.signature = true}, 1, "does not verify"},
    {"a record that says another time than its token", {.time = true}, 1, "another time"},
    {"certificates that are not kept", {.no_chain = true}, 3, "not kept"},
};

static void
test_bad(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(bad_cases); n++) {
		/* the newest token, and one that another covers */
		for (unsigned covered = 0; covered < 2; covered++) {
			struct said said = {.text = ""};
			bool good;

			up();
			pass(MINUTE);
			anchor_with(tsa, f.now, &bad_cases[n].wrong);
			pass(MINUTE);
			if (covered)
				anchor();
			done();
			good = verify(&said) == bad_cases[n].exit && strstr(said.text, bad_cases[n].words) != NULL;
			if (!good)
				(void)printf("# %s: %d %s\n", bad_cases[n].says, said.report.exit_code, said.text);
			CU_ASSERT_TRUE(good);
			down();
		}
	}
}

static void
test_stranger(void)
{
	struct said said = {.text = ""};

	up();
	pass(MINUTE);
	anchor_with(other, f.now, &(struct wrong){0}); /* a root of its own making, that nobody pinned */
	done();
	CU_ASSERT_EQUAL(verify(&said), 2);
	CU_ASSERT_EQUAL(said.report.anchors, 0);
	CU_ASSERT_TRUE(said.report.unanchored);
	pin(other, "");
	CU_ASSERT_EQUAL(verify(&said), 0);
	down();
}

static void
test_none(void)
{
	struct said said = {.text = ""};

	up();
	work();
	done();
	CU_ASSERT_EQUAL(verify(&said), 2);
	down();
}

static void
test_order(void)
{
	struct said said = {.text = ""};

	up();
	pass(10 * MINUTE);
	anchor();
	anchor_with(tsa, f.now - 5 * MINUTE, &(struct wrong){0});
	done();
	CU_ASSERT_EQUAL(verify(&said), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "earlier than that of record 2"));
	down();
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static void
test_silence(void)
{
	for (unsigned stopped = 0; stopped < 2; stopped++) {
		struct said said = {.text = ""};

		up();
		pin(tsa, "anchor-gap 3600\n");
		anchor();
		if (stopped)
			(void)story_append(log_, KMN_R_GATEWAY_STOP, story_stop());
		pass(2 * HOUR);
		if (stopped)
			(void)story_append(log_, KMN_R_GATEWAY_START, story_start());
		anchor();
		pass(HOUR - MINUTE);
		work();
		done();
		CU_ASSERT_EQUAL(verify(&said), stopped ? 0 : 1);
		CU_ASSERT_EQUAL(strstr(said.text, "no time stamp for 7") != NULL, !stopped);
		down();
	}
}

static void
test_silence_at_the_end(void)
{
	struct said said = {.text = ""};

	up();
	pin(tsa, "anchor-gap 3600\n");
	anchor();
	pass(2 * HOUR);
	work();
	done();
	CU_ASSERT_EQUAL(verify(&said), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "no time stamp for 7"));
	down();
}

static void
test_late_clock(void)
{
	struct said said = {.text = ""};

	up();
	work();
	anchor();
	pass(MINUTE);
	f.now += HOUR; /* the gateway dates what follows an hour ahead */
	f.boot += HOUR;
	work();
	anchor_with(tsa, f.now - HOUR, &(struct wrong){0});
	done();
	CU_ASSERT_EQUAL(verify(&said), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "says a time 3600 s after it"));
	down();
}

static void
test_early_clock(void)
{
	struct said said = {.text = ""};

	up();
	anchor_with(tsa, f.now + HOUR, &(struct wrong){0}); /* in truth it is an hour later than the gateway says */
	work();
	done();
	CU_ASSERT_EQUAL(verify(&said), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "before the time stamp that it comes after"));
	down();
}

static void
put_clock(uint64_t before, uint64_t after)
{
	(void)story_append(log_, KMN_R_CLOCK,
	    json_pack("{s:I, s:I, s:s, s:s}", "before", (json_int_t)before, "after", (json_int_t)after, "source",
		"CLOCK_BOOTTIME", "reason", "step"));
}

static void
test_steps(void)
{
	for (unsigned told = 0; told < 2; told++) {
		for (unsigned back = 0; back < 2; back++) {
			struct said said = {.text = ""};
			uint64_t before;

			up();
			make_trust("");
			work();
			pass(MINUTE);
			before = f.now;
			f.now = back ? f.now - HOUR : f.now + HOUR;
			if (told)
				put_clock(before, f.now);
			pass(MINUTE);
			work();
			pass(2 * HOUR);
			work();
			done();
			CU_ASSERT_EQUAL(verify(&said), told ? 0 : 1);
			CU_ASSERT_EQUAL(strstr(said.text, "no clock record says why") != NULL, !told);
			down();
		}
	}
}

static void
test_put_back(void)
{
	struct said said = {.text = "", .notes = true};
	uint64_t wrong;

	up();
	f.now += HOUR; /* an hour ahead, and put right */
	put_clock(f.now - HOUR, f.now);
	work();
	pass(MINUTE);
	wrong = f.now;
	f.now -= HOUR;
	put_clock(wrong, f.now);
	work();
	anchor();
	done();
	CU_ASSERT_EQUAL(verify(&said), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "a record says so"));
	down();
}

/* ---- years -------------------------------------------------------------------------------------------------------- */

static void
test_years_later(void)
{
	struct said said = {.text = ""};

	up();
	pin(tsa, "anchor-gap 63072000\n");
	anchor();
	pass(YEAR);
	anchor();
	judged_now = START + 10 * YEAR;
	CU_ASSERT_EQUAL(kmn_log_wait(log_), KMN_OK);
	CU_ASSERT_EQUAL(verify(&said), 2); /* the newest one is worth nothing today, and nobody renewed it */
	CU_ASSERT_EQUAL(said.report.anchors, 2);
	pass(YEAR);
	anchor_with(other, f.now, &(struct wrong){0});
	done();
	CU_ASSERT_EQUAL(verify(&said), 2);
	pin(other, "anchor-gap 94608000\n");
	CU_ASSERT_EQUAL(verify(&said), 0); /* TSAs whose certificates last for as long */
	down();
}

static void
test_covered_too_late(void)
{
	struct said said = {.text = ""};
	uint8_t hash[2][KMN_HASH_BYTES];
	char b64[2][KMN_B64_LEN(KMN_HASH_BYTES) + 1], asked[512];

	up();
	tsa_root_sha256(tsa, hash[0]);
	tsa_root_sha256(other, hash[1]);
	for (unsigned n = 0; n < 2; n++)
		kmn_b64(hash[n], KMN_HASH_BYTES, b64[n]);
	(void)snprintf(asked, sizeof(asked), "tsa one %s\ntsa two %s\nanchor-gap 315360000\n", b64[0], b64[1]);
	make_trust(asked);
	judged_now = START + 10 * YEAR;
	anchor();
	pass(4 * YEAR); /* its certificates ended after three */
	anchor_with(other, f.now, &(struct wrong){0});
	done();
	CU_ASSERT_EQUAL(verify(&said), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said.text, "expired"));
	down();
}

/* A renewal over one record. */
static void
renew(struct kmn_ref covered, const char *alg, const struct wrong *wrong)
{
	struct kmn_stamp_want want = {.nonce = 99};
	struct kmn_anchor_said *said = calloc(1, sizeof(*said));
	struct kmn_renewal_item item = {.ref = covered, .type = "anchor"};
	struct kmn_record record = {0};
	uint8_t *chain;
	char *line, *text;
	size_t len;
	json_t *body;

	CU_ASSERT_EQUAL_FATAL(kmn_log_wait(log_), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_log_line(log_, covered.i, &line, &len), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_record_parse(line, len, &record, NULL), KMN_OK);
	CU_ASSERT_TRUE_FATAL(kmn_anchor_read(record.body, said));
	CU_ASSERT_EQUAL_FATAL(kmn_log_blob_get(log_, said->chain_sha256, &chain, &item.chain_len), KMN_OK);
	item.token = said->token;
	item.token_len = said->token_len;
	item.chain = chain;
	CU_ASSERT_EQUAL_FATAL(kmn_renewal_text(FIXTURE_ORIGIN, alg, &item, 1, &text), KMN_OK);
	CU_ASSERT_TRUE(kmn_stamp_imprint(&want, alg, text, strlen(text)));
	body = json_pack("{s:[o]}", "covers", kmn_ref_json(&covered));
	put_token(other, body, &want, f.now, wrong);
	(void)story_append(log_, KMN_R_RENEWAL, body);
	kmn_record_clear(&record);
	free(text);
	free(chain);
	free(line);
	free(said);
}

static void
test_renewal(void)
{
	static const struct wrong cases[] = {{0}, {.imprint = true}};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		struct said said = {.text = ""};
		uint8_t hash[2][KMN_HASH_BYTES];
		char b64[2][KMN_B64_LEN(KMN_HASH_BYTES) + 1], asked[512];

		up();
		tsa_root_sha256(tsa, hash[0]);
		tsa_root_sha256(other, hash[1]);
		for (unsigned k = 0; k < 2; k++)
			kmn_b64(hash[k], KMN_HASH_BYTES, b64[k]);
		(void)snprintf(asked, sizeof(asked), "tsa one %s\ntsa two %s\nanchor-gap 94608000\n", b64[0], b64[1]);
		make_trust(asked);
		judged_now = START + 10 * YEAR;
		CU_ASSERT_EQUAL(kmn_log_wait(log_), KMN_OK);
		struct kmn_ref ref = anchor();

		CU_ASSERT_EQUAL(kmn_log_wait(log_), KMN_OK);
		CU_ASSERT_EQUAL(verify(&said), 2);
		pass(2 * YEAR);
		renew(ref, "sha512", &cases[n]);
		done();
		CU_ASSERT_EQUAL(verify(&said), n == 0 ? 0 : 1);
		CU_ASSERT_EQUAL(strstr(said.text, "imprint") != NULL, n == 1);
		down();
	}
}

static void
rehash(bool wrong_root, bool wrong_manifest)
{
	struct kmn_stamp_want want = {.nonce = 98};
	uint8_t root[KMN_SHA512_BYTES], manifest_sha256[KMN_HASH_BYTES];
	struct kmn_stamp_want manifest_hash = {0};
	struct kmn_head head;
	char *manifest, *text;
	size_t len;
	json_t *body;

	CU_ASSERT_EQUAL_FATAL(kmn_log_wait(log_), KMN_OK);
	kmn_log_durable(log_, &head);
	CU_ASSERT_EQUAL_FATAL(kmn_wide_read(&f.disk.store, head.size, root), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_manifest_make(&f.disk.store, &manifest, &len), KMN_OK);
	if (wrong_manifest)
		manifest[len - 2] ^= 1;
	root[5] ^= wrong_root;
	CU_ASSERT_EQUAL_FATAL(kmn_log_blob_put(log_, manifest, len, manifest_sha256), KMN_OK);
	CU_ASSERT_TRUE(kmn_stamp_imprint(&manifest_hash, "sha512", manifest, len));
	CU_ASSERT_EQUAL_FATAL(kmn_rehash_text(FIXTURE_ORIGIN, &head, root, manifest_hash.imprint, &text), KMN_OK);
	CU_ASSERT_TRUE(kmn_stamp_imprint(&want, "sha512", text, strlen(text)));
	body = json_pack("{s:s, s:I, s:o, s:o, s:o}", "alg", "sha512", "size", (json_int_t)head.size, "old_root",
	    kmn_json_b64(head.root, KMN_HASH_BYTES), "new_root", kmn_json_b64(root, KMN_SHA512_BYTES),
	    "manifest_sha256", kmn_json_b64(manifest_sha256, KMN_HASH_BYTES));
	put_token(tsa, body, &want, f.now, &(struct wrong){0});
	(void)story_append(log_, KMN_R_REHASH, body);
	free(text);
	free(manifest);
}

static void
test_rehash(void)
{
	static const struct {
		bool root, manifest;
		const char *words;
	} cases[] = {{false, false, ""}, {true, false, "another root"}, {false, true, "has both hashes"}};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		struct said said = {.text = ""};

		up();
		for (unsigned k = 0; k < 5; k++)
			work();
		anchor();
		rehash(cases[n].root, cases[n].manifest);
		work();
		done();
		CU_ASSERT_EQUAL(verify(&said), n == 0 ? 0 : 1);
		CU_ASSERT_PTR_NOT_NULL(strstr(said.text, cases[n].words));
		CU_ASSERT_EQUAL(said.report.anchors, n == 0 ? 2 : 1);
		down();
	}
}

/* RFC 6962's shape with SHA-512: one leaf, two, three. */
static void
test_wide_tree(void)
{
	struct kmn_wide_tree tree = {0};
	struct kmn_stamp_want hash = {0};
	uint8_t node[1 + 2 * KMN_SHA512_BYTES] = {1}, root[KMN_SHA512_BYTES], leaf[3][KMN_SHA512_BYTES];
	char line[2] = {0, 0};

	kmn_wide_root(&tree, root);
	CU_ASSERT_TRUE(kmn_stamp_imprint(&hash, "sha512", "", 0) && memcmp(root, hash.imprint, sizeof(root)) == 0);
	for (unsigned n = 0; n < 3; n++) {
		line[1] = (char)('a' + n);
		CU_ASSERT_TRUE(kmn_stamp_imprint(&hash, "sha512", line, 2));
		memcpy(leaf[n], hash.imprint, sizeof(leaf[n]));
		kmn_wide_add(&tree, line + 1, 1);
	}
	memcpy(node + 1, leaf[0], KMN_SHA512_BYTES);
	memcpy(node + 1 + KMN_SHA512_BYTES, leaf[1], KMN_SHA512_BYTES);
	CU_ASSERT_TRUE(kmn_stamp_imprint(&hash, "sha512", node, sizeof(node)));
	memcpy(node + 1, hash.imprint, KMN_SHA512_BYTES);
	memcpy(node + 1 + KMN_SHA512_BYTES, leaf[2], KMN_SHA512_BYTES);
	CU_ASSERT_TRUE(kmn_stamp_imprint(&hash, "sha512", node, sizeof(node)));
	kmn_wide_root(&tree, root);
	CU_ASSERT_EQUAL(memcmp(root, hash.imprint, sizeof(root)), 0);
}

static void
test_trust(void)
{
	static const struct {
		const char *asked;
		bool good;
	} cases[] = {
	    {"tsa one AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", true},
	    {"tsa one AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nanchor-gap 3600\n", true},
	    {"anchor-gap 3600\ntsa one AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", true},
	    {"tsa one AAAA\n", false},
	    {"tsa AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", false},
	    {"anchor-gap 0\n", false},
	    {"anchor-gap 010\n", false},
	    {"anchor-gap 1x\n", false},
	    {"anchor-gap 99999999999\n", false},
	    {"anchor-gap 1\nanchor-gap 2\n", false},
	    {"something else\n", false},
	};

	fixture_up(&f);
	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		char text[1024], vkey[KMN_VKEY_MAX_BYTES];

		kmn_vkey_format(&f.vkey, vkey);
		(void)snprintf(text, sizeof(text),
		    "kanmon/trust/v1\norigin " FIXTURE_ORIGIN
		    "\npolicy-sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nlog %s\n%s\nquorum none\n",
		    vkey, cases[n].asked);
		CU_ASSERT_EQUAL(kmn_trust_parse(text, strlen(text), &trust, NULL) == KMN_OK, cases[n].good);
	}
	fixture_down(&f);
}

static CU_TestInfo tests[] = {
    {"four time stamps verify, every record has its bracket, and who asks for none is told so", test_good},
    {"a token of the wrong key usage, over another note, replayed, corrupted or untimely is found", test_bad},
    {"a time stamp that chains to a root nobody pinned does not count", test_stranger},
    {"a ledger without time stamps is short of what the trust file asks for", test_none},
    {"a time stamp that is earlier than one it covers is found", test_order},
    {"silence longer than the limit is found, unless the gateway was stopped", test_silence},
    {"silence at the end of a ledger is found", test_silence_at_the_end},
    {"records dated after the time stamp that covers them are found", test_late_clock},
    {"records dated before the time stamp they come after are found", test_early_clock},
    {"a clock that steps forth or back without a clock record is found", test_steps},
    {"a clock that ran ahead and was put right, with records that say so, is told and no finding", test_put_back},
    {"a token is judged at the time when a later one covered it", test_years_later},
    {"a token whose certificates ended before it was covered is found", test_covered_too_late},
    {"a renewal covers a token with its certificates, and a wrong one is found", test_renewal},
    {"a second tree by SHA-512 over the same lines and blobs is made again and compared", test_rehash},
    {"the SHA-512 tree has the shape of RFC 6962", test_wide_tree},
    {"a trust file pins TSAs and a gap in one form only", test_trust},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"ledger/anchors", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
