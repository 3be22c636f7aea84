/*
 * Witnesses: C2SP tlog-policy, tlog-cosignature and tlog-witness as pure
 * functions, and what the offline verifier makes of cosignatures (V4).
 */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/tlogpolicy.h"
#include "kanmon/verify.h"
#include "kanmon/witness.h"
#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/memory.h"
#include "tests/unit/ledger/stories.h"
#include "tests/unit/run.h"

#define WITNESSES 4
#define NOW 1790000000u

struct party {
	struct kmn_vkey vkey;
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	struct kmn_head last;
	char text[KMN_VKEY_MAX_BYTES];
};
static struct party party[WITNESSES];

static int
set_up(void)
{
	if (sodium_init() < 0)
		return 1;
	for (unsigned w = 0; w < WITNESSES; w++) {
		uint8_t seed[KMN_HASH_BYTES], pub[KMN_ED25519_PUBLIC_BYTES];
		char name[32];

		snprintf(name, sizeof(name), "witness.example/w%u", w);
		kmn_sha256(name, strlen(name), seed);
		(void)crypto_sign_ed25519_seed_keypair(pub, party[w].secret, seed);
		if (kmn_vkey_make_cosigner(name, pub, &party[w].vkey) != KMN_OK)
			return 1;
		kmn_vkey_format(&party[w].vkey, party[w].text);
	}
	return 0;
}

/* ---- tlog-policy ---------------------------------------------------------------------------------------------------- */

/* $0..$3 stand for the witnesses' vkeys, $L for a log's, $S for the key of witness 0 under another name. */
static void
expand(const char *from, char *out, size_t room)
{
	struct kmn_vkey log, same;
	char log_text[KMN_VKEY_MAX_BYTES], same_text[KMN_VKEY_MAX_BYTES];
	size_t n = 0;

	CU_ASSERT_EQUAL(kmn_vkey_make("log.example/1", party[3].vkey.pub, &log), KMN_OK);
	CU_ASSERT_EQUAL(kmn_vkey_make_cosigner("other.example/w", party[0].vkey.pub, &same), KMN_OK);
	kmn_vkey_format(&log, log_text);
	kmn_vkey_format(&same, same_text);
	for (; *from != '\0'; from++) {
		const char *put = NULL;

		if (*from == '$' && from[1] >= '0' && from[1] <= '3')
			put = party[from[1] - '0'].text;
		else if (*from == '$')
			put = from[1] == 'L' ? log_text : same_text;
		if (put != NULL)
			from++;
		n += (size_t)snprintf(out + n, room - n, put != NULL ? "%s" : "%.1s", put != NULL ? put : from);
		if (n >= room)
			abort();
	}
	out[n] = '\0';
}

/* clang-format off */
#define THREE "witness a $0\nwitness b $1\nwitness c $2\n"
static const struct { const char *says, *text; kmn_err want; const char *why; } policy_cases[] = {
	{ "nobody is asked for",                   "quorum none\n",                                            KMN_OK, "" },
	{ "one witness",                           "witness a $0\nquorum a\n",                                 KMN_OK, "" },
	{ "a log with an address, a comment",      "# logs\nlog $L https://log.example/\n\nquorum none\n",     KMN_OK, "" },
	{ "tabs, spaces at both ends",             " \twitness\ta  $0 \t\n\tquorum a \n",                      KMN_OK, "" },
	{ "a name that is not ASCII",              "witness \xe8\xa8\xbc\xe4\xba\xba $0\nquorum \xe8\xa8\xbc\xe4\xba\xba\n", KMN_OK, "" },
	{ "a name that is not UTF-8",              "witness \xff\xfe $0\nquorum \xff\xfe\n",                   KMN_OK, "" },
	{ "lines after the quorum",                "witness a $0\nquorum a\nwitness b $1\n",                   KMN_OK, "" },
	{ "groups of groups",                      THREE "group x 2 a b\ngroup y all x c\nquorum y\n",         KMN_OK, "" },
	{ "no quorum",                             "witness a $0\n",                                           KMN_E_MALFORMED, "no line quorum" },
	{ "two quorums",                           "quorum none\nquorum none\n",                               KMN_E_MALFORMED, "line 2" },
	{ "a quorum nobody defined",               "witness a $0\nquorum b\n",                                 KMN_E_MALFORMED, "line 2" },
	{ "a quorum defined later",                "quorum a\nwitness a $0\n",                                 KMN_E_MALFORMED, "line 1" },
	{ "a member defined later",                "witness a $0\ngroup x any a b\nwitness b $1\nquorum x\n",  KMN_E_MALFORMED, "line 2" },
	{ "a group in itself",                     "witness a $0\ngroup x any a x\nquorum x\n",                KMN_E_MALFORMED, "line 2" },
	{ "a member twice in a group",             THREE "group x 2 a a b\nquorum x\n",                        KMN_E_MALFORMED, "already" },
	{ "a member of two groups",                THREE "group x any a b\ngroup y any b c\nquorum y\n",       KMN_E_MALFORMED, "already" },
	{ "a name twice",                          "witness a $0\nwitness a $1\nquorum a\n",                   KMN_E_MALFORMED, "taken" },
	{ "a group named as a witness",            "witness a $0\ngroup a any a\nquorum a\n",                  KMN_E_MALFORMED, "taken" },
	{ "the name none",                         "witness none $0\nquorum none\n",                           KMN_E_MALFORMED, "taken" },
	{ "none in a group",                       "witness a $0\ngroup x any a none\nquorum x\n",             KMN_E_MALFORMED, "line 2" },
	{ "one public key under two names",        "witness a $0\nwitness b $S\nquorum a\n",                   KMN_E_MALFORMED, "the same public key" },
	{ "one log twice",                         "log $L\nlog $L\nquorum none\n",                            KMN_E_MALFORMED, "the same public key" },
	{ "a log's key for a witness",             "witness a $L\nquorum a\n",                                 KMN_E_MALFORMED, "witness' vkey" },
	{ "a witness' key for a log",              "log $0\nquorum none\n",                                    KMN_E_MALFORMED, "log's vkey" },
	{ "a threshold of 0",                      "witness a $0\ngroup x 0 a\nquorum x\n",                    KMN_E_MALFORMED, "line 2" },
	{ "a threshold above its members",         THREE "group x 4 a b c\nquorum x\n",                        KMN_E_MALFORMED, "line 4" },
	{ "a threshold with a zero before it",     THREE "group x 02 a b c\nquorum x\n",                       KMN_E_MALFORMED, "line 4" },
	{ "an empty group",                        "group x any\nquorum x\n",                                  KMN_E_MALFORMED, "without members" },
	{ "a word too many",                       "quorum none none\n",                                       KMN_E_MALFORMED, "line 1" },
	{ "a carriage return",                     "quorum none\r\n",                                          KMN_E_MALFORMED, "control" },
	{ "an unknown line",                       "quorum none\nmonitor x\n",                                 KMN_E_MALFORMED, "line 2" },
	{ "no LF at its end",                      "quorum none",                                              KMN_E_MALFORMED, "no LF" },
	{ "nothing",                               "",                                                         KMN_E_MALFORMED, "no line quorum" },
};
static const struct { const char *text; uint32_t witnesses; bool met; } met_cases[] = {
	{ "quorum none\n",                                             0, true },
	{ "witness a $0\nquorum a\n",                                  0, false },
	{ "witness a $0\nquorum a\n",                                  1, true },
	{ THREE "group x 2 a b c\nquorum x\n",                         1, false },
	{ THREE "group x 2 a b c\nquorum x\n",                         5, true },
	{ THREE "group x all a b c\nquorum x\n",                       5, false },
	{ THREE "group x all a b c\nquorum x\n",                       7, true },
	{ THREE "group x any a b c\nquorum x\n",                       4, true },
	{ THREE "group x any a b\ngroup y all x c\nquorum y\n",        3, false },
	{ THREE "group x any a b\ngroup y all x c\nquorum y\n",        6, true },
	{ THREE "group x any a b\ngroup y all x c\nquorum x\n",        4, false },
};
/* clang-format on */

static void
test_policy(void)
{
	struct kmn_tlog_policy policy;
	char text[4096];

	for (size_t i = 0; i < KMN_COUNT_OF(policy_cases); i++) {
		struct kmn_why why = {""};
		kmn_err e;

		expand(policy_cases[i].text, text, sizeof(text));
		e = kmn_tlog_policy_parse(text, strlen(text), 1, &policy, &why);
		if (e != policy_cases[i].want || strstr(why.text, policy_cases[i].why) == NULL) {
			printf("# %s: %s: %s\n", policy_cases[i].says, kmn_err_text(e), why.text);
			CU_ASSERT_TRUE(false);
		}
	}
}

static void
test_met(void)
{
	struct kmn_tlog_policy policy;
	char text[4096];

	for (size_t i = 0; i < KMN_COUNT_OF(met_cases); i++) {
		expand(met_cases[i].text, text, sizeof(text));
		CU_ASSERT_EQUAL(kmn_tlog_policy_parse(text, strlen(text), 1, &policy, NULL), KMN_OK);
		CU_ASSERT_EQUAL(kmn_tlog_policy_is_met(&policy, met_cases[i].witnesses), met_cases[i].met);
	}
}

static void
test_most(void)
{
	static struct kmn_tlog_policy policy;
	char text[32768], vkey[KMN_VKEY_MAX_BYTES];
	size_t n = 0;

	for (unsigned w = 0; w < 33; w++) {
		uint8_t seed[KMN_HASH_BYTES] = {(uint8_t)w}, pub[KMN_ED25519_PUBLIC_BYTES];
		uint8_t secret[KMN_ED25519_SECRET_BYTES];
		struct kmn_vkey key;

		(void)crypto_sign_ed25519_seed_keypair(pub, secret, seed);
		CU_ASSERT_EQUAL(kmn_vkey_make_cosigner("w.example", pub, &key), KMN_OK);
		kmn_vkey_format(&key, vkey);
		if (w == 32) {
			snprintf(text + n, sizeof(text) - n, "quorum g31\n");
			CU_ASSERT_EQUAL(kmn_tlog_policy_parse(text, strlen(text), 1, &policy, NULL), KMN_OK);
			CU_ASSERT_TRUE(kmn_tlog_policy_is_met(&policy, UINT32_MAX));
			CU_ASSERT_FALSE(kmn_tlog_policy_is_met(&policy, UINT32_MAX - 1));
		}
		n += (size_t)snprintf(text + n, sizeof(text) - n, "witness w%u %s\n", w, vkey);
		if (w > 0)
			n += (size_t)snprintf(
			    text + n, sizeof(text) - n, "group g%u all w%u %s%u\n", w, w, w == 1 ? "w" : "g", w - 1);
	}
	snprintf(text + n, sizeof(text) - n, "quorum w0\n");
	CU_ASSERT_EQUAL(kmn_tlog_policy_parse(text, strlen(text), 1, &policy, NULL), KMN_E_TOO_BIG);
}

/* ---- cosignatures --------------------------------------------------------------------------------------------------- */

static void
test_cosignature(void)
{
	static const char text[] = "log.example/1\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
	char note[1024], *line, *other;
	struct kmn_note parsed;
	bool verified;
	uint64_t when;
	size_t count;

	CU_ASSERT_EQUAL_FATAL(
	    kmn_note_cosign_line(text, strlen(text), &party[0].vkey, party[0].secret, NOW, &line), KMN_OK);
	snprintf(note, sizeof(note), "%s\n%s", text, line);
	CU_ASSERT_EQUAL(kmn_note_parse(note, strlen(note), &parsed, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_verify(&parsed, &party[0].vkey, 1, &verified, &count, NULL), KMN_OK);
	CU_ASSERT_TRUE(verified && count == 1);
	CU_ASSERT_TRUE(kmn_note_cosign_time(&parsed.line[0], &when) && when == NOW);
	/* another time under the same signature */
	other = strstr(note, "w0 ") + 3;
	free(line);
	CU_ASSERT_EQUAL(
	    kmn_note_cosign_line(text, strlen(text), &party[0].vkey, party[0].secret, NOW + 1, &line), KMN_OK);
	memcpy(other + 5, strstr(line, "w0 ") + 3 + 5, 11);
	CU_ASSERT_EQUAL(kmn_note_parse(note, strlen(note), &parsed, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_verify(&parsed, &party[0].vkey, 1, &verified, &count, NULL), KMN_E_SIGNATURE);
	free(line);
	/* a key for the one is none for the other */
	CU_ASSERT_EQUAL(
	    kmn_note_sign_line(text, strlen(text), &party[0].vkey, party[0].secret, &line), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_note_cosign_line(text, strlen(text), &party[0].vkey, party[0].secret, UINT64_MAX, &line),
	    KMN_E_MALFORMED);
}

/* ---- add-checkpoint ------------------------------------------------------------------------------------------------- */

/* Two ledgers of one log key: the second leaves out one record of the first, or goes another way. */
struct branch {
	struct fixture f;
	struct kmn_log *log;
};

static void
branch_open(struct branch *b)
{
	fixture_up(&b->f);
	fixture_create(&b->f);
	b->log = fixture_open(&b->f, NULL, NULL);
}

static void
branch_close(struct branch *b)
{
	if (b->log != NULL)
		CU_ASSERT_EQUAL(kmn_log_close(b->log), KMN_OK);
	fixture_down(&b->f);
}

/* Record n of a branch; with `without`, that one is left out. */
static void
branch_grow(struct branch *b, unsigned from, unsigned to, unsigned without)
{
	for (unsigned n = from; n < to; n++)
		if (n != without)
			(void)story_append(b->log, KMN_R_CLOCK, fixture_clock(n));
	CU_ASSERT_EQUAL(kmn_log_wait(b->log), KMN_OK);
}

/* The question that an honest gateway of this branch would ask. */
static char *
question(struct branch *b, uint64_t old_size, size_t *len_out)
{
	struct kmn_path path = {.count = 0};
	struct kmn_head head;
	char *note, *body;
	size_t note_len;

	CU_ASSERT_EQUAL_FATAL(kmn_log_checkpoint(b->log, &head, &note, &note_len), KMN_OK);
	if (old_size > 0 && old_size <= head.size)
		CU_ASSERT_EQUAL(kmn_log_consistency(b->log, old_size, head.size, &path), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_witness_ask_make(old_size, &path, note, note_len, &body, len_out), KMN_OK);
	free(note);
	return body;
}

/* What a witness that remembers `last` says; its line, if it cosigns (free()). */
static unsigned
ask(struct party *w, const struct kmn_vkey *log, const char *body, size_t len, struct kmn_head *head_out,
    char **line_out)
{
	struct kmn_witness_ask asked;
	struct kmn_witness_claim claim;
	struct kmn_why why = {""};
	unsigned status;

	*line_out = NULL;
	if (kmn_witness_ask_parse(body, len, &asked, &why) != KMN_OK)
		return 400;
	if ((status = kmn_witness_look(log, 1, &asked, &claim, &why)) != 0 ||
	    (status = kmn_witness_judge(&claim, &asked, &w->last, &why)) != 200)
		return status;
	w->last = *head_out = claim.head;
	CU_ASSERT_EQUAL(
	    kmn_note_cosign_line(claim.note.text, claim.note.text_len, &w->vkey, w->secret, NOW, line_out), KMN_OK);
	return 200;
}

/* Asks with the witness' own size, as a gateway does after a 409, and gives the line. */
static char *
cosigned(struct party *w, struct branch *b, struct kmn_head *head_out)
{
	size_t len;
	char *body = question(b, w->last.size, &len), *line;

	CU_ASSERT_EQUAL(ask(w, &b->f.vkey, body, len, head_out, &line), 200);
	free(body);
	return line;
}

/* clang-format off */
static const struct { const char *says, *find, *put; unsigned want; } bent_questions[] = {
	{ "as it is",                             "",               "",            200 },
	{ "not of its form",                      "old ",           "Old ",        400 },
	{ "a size with a zero before it",         "old 3",          "old 03",      400 },
	{ "an old size beyond the checkpoint",    "old 3",          "old 99",      400 },
	{ "another old size",                     "old 3",          "old 4",       409 },
	{ "no old size",                          "old 3",          "old 0",       409 },
	{ "a log that is not known",              "\nkanmon.ex",    "\nKanmon.ex", 404 },
	{ "another size than was signed",         "/2026\n6\n",     "/2026\n7\n",  403 },
	{ "no signature of the log",              "\xe2\x80\x94 kanmon", "\xe2\x80\x94 other", 403 },
	{ "no checkpoint",                        "/2026\n6\n",     "/2026\nsix\n", 400 },
};
/* clang-format on */

/* The first occurrence replaced; free(). */
static char *
replaced(const char *text, size_t len, const char *find, const char *put, size_t *len_out)
{
	const char *at = find[0] != '\0' ? memmem(text, len, find, strlen(find)) : text;
	char *out = malloc(len + strlen(put) + 1);
	size_t before = (size_t)(at - text);

	memcpy(out, text, before);
	memcpy(out + before, put, strlen(put));
	memcpy(out + before + strlen(put), at + strlen(find), len - before - strlen(find));
	*len_out = len + strlen(put) - strlen(find);
	return out;
}

static void
test_questions(void)
{
	struct kmn_head head, at_three;
	struct branch b;
	char *body, *line;
	size_t len, bent_len;

	branch_open(&b);
	branch_grow(&b, 1, 3, 0);
	body = question(&b, 0, &len);
	party[0].last = (struct kmn_head){.size = 0};
	CU_ASSERT_EQUAL(ask(&party[0], &b.f.vkey, body, len, &at_three, &line), 200);
	free(line);
	free(body);
	branch_grow(&b, 3, 6, 0);
	body = question(&b, 3, &len);
	for (size_t i = 0; i < KMN_COUNT_OF(bent_questions); i++) {
		char *bent = replaced(body, len, bent_questions[i].find, bent_questions[i].put, &bent_len);
		unsigned got;

		party[0].last = at_three;
		if ((got = ask(&party[0], &b.f.vkey, bent, bent_len, &head, &line)) != bent_questions[i].want) {
			printf("# %s: %u\n", bent_questions[i].says, got);
			CU_ASSERT_TRUE(false);
		}
		free(line);
		free(bent);
	}
	/* every hash of the proof matters, and none may be missing */
	for (size_t n = 6; body[n] != '\n'; n += KMN_B64_LEN(KMN_HASH_BYTES) + 1) {
		char was = body[n];

		body[n] = was == 'A' ? 'B' : 'A';
		party[0].last = at_three;
		CU_ASSERT_EQUAL(ask(&party[0], &b.f.vkey, body, len, &head, &line), 422);
		body[n] = was;
	}
	party[0].last = at_three;
	memmove(body + 6, body + 6 + 45, len - 6 - 45);
	CU_ASSERT_EQUAL(ask(&party[0], &b.f.vkey, body, len - 45, &head, &line), 422);
	free(body);
	branch_close(&b);
}

static void
test_again(void)
{
	struct kmn_head head;
	struct branch b;
	char *body, *line;
	size_t len;

	branch_open(&b);
	branch_grow(&b, 1, 4, 0);
	party[0].last = (struct kmn_head){.size = 0};
	free(cosigned(&party[0], &b, &head));
	body = question(&b, 4, &len);
	CU_ASSERT_EQUAL(ask(&party[0], &b.f.vkey, body, len, &head, &line), 200);
	free(line);
	free(body);
	branch_close(&b);
}

/* ---- what an auditor makes of it ------------------------------------------------------------------------------------ */

struct said {
	struct kmn_verify_report report;
	char last[600]; /* the last thing said, infos too */
	char findings[2048], infos[2048];
};

static void
hear(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	struct said *said = cookie;
	size_t n = strlen(said->findings);

	(void)place;
	if (check == KMN_V4 && severity == KMN_INFO)
		snprintf(said->last, sizeof(said->last), "%.500s", text);
	if (severity == KMN_INFO)
		snprintf(
		    said->infos + strlen(said->infos), sizeof(said->infos) - strlen(said->infos), "%.300s\n", text);
	if (severity != KMN_INFO)
		snprintf(said->findings + n, sizeof(said->findings) - n, "V%d %.300s\n", (int)check, text);
}

static int
verify(struct fixture *f, const char *policy, const char *head, struct said *said)
{
	char text[8192], expanded[4096], vkey[KMN_VKEY_MAX_BYTES];
	struct kmn_trust trust;
	struct kmn_verify_settings settings = {.store = f->disk.real,
	    .trust = &trust,
	    .head = head,
	    .head_len = head == NULL ? 0 : strlen(head),
	    .sink = {hear, said}};

	*said = (struct said){.last = ""};
	kmn_vkey_format(&f->vkey, vkey);
	expand(policy, expanded, sizeof(expanded));
	snprintf(text, sizeof(text),
	    "kanmon/trust/v1\norigin " FIXTURE_ORIGIN
	    "\npolicy-sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nlog %s\n\n%s",
	    vkey, expanded);
	CU_ASSERT_EQUAL_FATAL(kmn_trust_parse(text, strlen(text), &trust, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_verify(&settings, &said->report), KMN_OK);
	return said->report.exit_code;
}

/* A cosign record with the lines of these witnesses over the branch's head of now. */
static struct kmn_head
record_cosigned(struct branch *b, unsigned witnesses)
{
	json_t *lines = json_array();
	struct kmn_head head = {.size = 0};

	for (unsigned w = 0; w < WITNESSES; w++) {
		char *line;

		if ((witnesses >> w & 1) == 0)
			continue;
		line = cosigned(&party[w], b, &head);
		CU_ASSERT_EQUAL(json_array_append_new(lines, json_stringn(line, strlen(line) - 1)), 0);
		free(line);
	}
	(void)story_append(b->log, KMN_R_COSIGN, kmn_cosign_body(&head, lines));
	CU_ASSERT_EQUAL(kmn_log_wait(b->log), KMN_OK);
	return head;
}

static void
forget_all(void)
{
	for (unsigned w = 0; w < WITNESSES; w++)
		party[w].last = (struct kmn_head){.size = 0};
}

#define TWO_OF_THREE THREE "group q 2 a b c\nquorum q\n"

static void
test_sizes(void)
{
	struct said said;
	struct branch b;

	forget_all();
	branch_open(&b);
	branch_grow(&b, 1, 5, 0);
	(void)record_cosigned(&b, 1); /* a: size 5 */
	CU_ASSERT_EQUAL(verify(&b.f, TWO_OF_THREE, NULL, &said), 2);
	CU_ASSERT_EQUAL(said.report.witnessed_size, 0);
	branch_grow(&b, 5, 8, 0);
	(void)record_cosigned(&b, 6); /* b, c: size 9 */
	branch_grow(&b, 8, 10, 0);
	(void)record_cosigned(&b, 1); /* a: size 12 */
	CU_ASSERT_EQUAL(kmn_log_close(b.log), KMN_OK);
	b.log = NULL;
	CU_ASSERT_EQUAL(verify(&b.f, TWO_OF_THREE, NULL, &said), 0);
	CU_ASSERT_EQUAL(said.report.witnessed_size, 9); /* b and c at 9; a, at 12, has seen that too */
	CU_ASSERT_PTR_NOT_NULL(strstr(said.last, "first 9 records; 4 came after"));
	CU_ASSERT_EQUAL(verify(&b.f, THREE "group q all a b c\nquorum q\n", NULL, &said), 0);
	CU_ASSERT_EQUAL(said.report.witnessed_size, 9);
	CU_ASSERT_EQUAL(verify(&b.f, THREE "quorum a\n", NULL, &said), 0);
	CU_ASSERT_EQUAL(said.report.witnessed_size, 12);
	CU_ASSERT_EQUAL(verify(&b.f, "witness d $3\nquorum d\n", NULL, &said), 2);
	CU_ASSERT_EQUAL(verify(&b.f, "quorum none\n", NULL, &said), 0);
	branch_close(&b);
}

/* Row 31: one of three cosigns whatever it is given. */
static void
test_bad_witness(void)
{
	struct branch honest, forged;
	struct said said;
	struct kmn_head head;

	forget_all();
	branch_open(&honest);
	branch_open(&forged);
	branch_grow(&honest, 1, 6, 0);
	branch_grow(&forged, 1, 8, 4);
	head = record_cosigned(&honest, 7);
	CU_ASSERT_EQUAL(head.size, 6);
	forget_all(); /* the bad one has no memory; the honest two are not asked by the forger */
	(void)record_cosigned(&forged, 1);
	CU_ASSERT_EQUAL(verify(&forged.f, TWO_OF_THREE, NULL, &said), 2);
	CU_ASSERT_EQUAL(verify(&honest.f, TWO_OF_THREE, NULL, &said), 0);
	branch_close(&honest);
	branch_close(&forged);
}

/* Row 4: one log key, two branches; whoever saw the one refuses the other. */
static void
test_split_view(void)
{
	struct kmn_head head;
	struct branch a, b;
	char *body, *line;
	size_t len;

	forget_all();
	branch_open(&a);
	branch_open(&b);
	branch_grow(&a, 1, 6, 0);
	branch_grow(&b, 1, 4, 0);
	branch_grow(&b, 100, 104, 0); /* from record 4 on another story */
	free(cosigned(&party[0], &a, &head));
	CU_ASSERT_EQUAL(head.size, 6);
	body = question(&b, 6, &len); /* with b's own proof from 6 */
	CU_ASSERT_EQUAL(ask(&party[0], &b.f.vkey, body, len, &head, &line), 422);
	free(body);
	branch_close(&b);
	branch_open(&b);
	branch_grow(&b, 1, 4, 0);
	branch_grow(&b, 100, 102, 0); /* of the same size */
	body = question(&b, 6, &len);
	CU_ASSERT_EQUAL(ask(&party[0], &b.f.vkey, body, len, &head, &line), 409);
	free(body);
	/* and as if it had never been asked */
	body = question(&b, 0, &len);
	CU_ASSERT_EQUAL(ask(&party[0], &b.f.vkey, body, len, &head, &line), 409);
	free(body);
	branch_close(&a);
	branch_close(&b);
}

/* The checkpoint of the branch's head, cosigned by these; free(). */
static char *
cosigned_note(struct branch *b, unsigned witnesses)
{
	struct kmn_head head;
	size_t len;
	char *note;

	CU_ASSERT_EQUAL_FATAL(kmn_log_checkpoint(b->log, &head, &note, &len), KMN_OK);
	for (unsigned w = 0; w < WITNESSES; w++) {
		char *line;

		if ((witnesses >> w & 1) == 0)
			continue;
		line = cosigned(&party[w], b, &head);
		note = realloc(note, len + strlen(line) + 1);
		strcpy(note + len, line);
		len += strlen(line);
		free(line);
	}
	return note;
}

/* Rows 3 and 4: with the log's own key, and no signature wrong anywhere. */
static void
test_rebuilt(void)
{
	struct branch honest, rebuilt;
	struct said said;
	char *old;

	forget_all();
	branch_open(&honest);
	branch_open(&rebuilt);
	branch_grow(&honest, 1, 9, 0);
	old = cosigned_note(&honest, 3);
	branch_grow(&honest, 9, 12, 0);
	CU_ASSERT_EQUAL(verify(&honest.f, TWO_OF_THREE, old, &said), 0);
	CU_ASSERT_EQUAL(said.report.witnessed_size, 9);
	branch_grow(&rebuilt, 1, 20, 5); /* all of it again, but record 5 */
	CU_ASSERT_EQUAL(verify(&rebuilt.f, "quorum none\n", NULL, &said), 0);
	CU_ASSERT_EQUAL(verify(&rebuilt.f, TWO_OF_THREE, NULL, &said), 2);
	CU_ASSERT_EQUAL(verify(&rebuilt.f, TWO_OF_THREE, old, &said), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(said.findings, "another root at size 9"));
	free(old);
	branch_close(&honest);
	branch_close(&rebuilt);
}

/* A record that names a head and brings lines that are not over it, or of another key by that name. */
static void
test_lines(void)
{
	struct kmn_head head;
	struct branch b;
	struct said said;
	char *line;

	forget_all();
	branch_open(&b);
	branch_grow(&b, 1, 5, 0);
	line = cosigned(&party[0], &b, &head);
	branch_grow(&b, 5, 7, 0);
	CU_ASSERT_EQUAL(kmn_log_head_at(b.log, 6, &head), KMN_OK);
	(void)story_append(
	    b.log, KMN_R_COSIGN, kmn_cosign_body(&head, json_pack("[o]", json_stringn(line, strlen(line) - 1))));
	CU_ASSERT_EQUAL(kmn_log_wait(b.log), KMN_OK);
	CU_ASSERT_EQUAL(verify(&b.f, THREE "quorum a\n", NULL, &said), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(said.infos, "not counted: the signature of witness.example/w0 does not verify"));
	/* of witnesses that the trust file does not name nothing is said */
	CU_ASSERT_EQUAL(verify(&b.f, "witness d $3\nquorum d\n", NULL, &said), 2);
	free(line);
	branch_close(&b);
}

static CU_TestInfo witness_tests[] = {
    {"tlog-policy: what is one and what is none, with its line", test_policy},
    {"tlog-policy: who is a quorum", test_met},
    {"tlog-policy: 32 witnesses and 31 nested groups are taken, 33 witnesses are not", test_most},
    {"a cosignature binds its time and its type", test_cosignature},
    {"add-checkpoint: each refusal has its status", test_questions},
    {"add-checkpoint: the same head again is cosigned again", test_again},
    {"V4: the quorum's size, and what came after", test_sizes},
    {"one bad witness of three makes no quorum for a forged ledger", test_bad_witness},
    {"a split view: who cosigned the one branch refuses the other", test_split_view},
    {"a ledger rebuilt without one record, signed with the real key, is refused by one old cosigned head",
	test_rebuilt},
    {"V4: lines that are not over the head that the record names count for nobody", test_lines},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"ledger/witness", set_up, NULL, NULL, NULL, witness_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
