#include "kanmon/frame.h"
#include "kanmon/inbox.h"
#include "kanmon/writer.h"
#include "tests/unit/run.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROW(symbol, value, sender, phases, fields, what) \
	{#symbol, value, KMN_SENDER_##sender, KMN_PHASE_##phases, fields, #sender, #phases},
static const struct row {
	const char *name;
	uint8_t type;
	enum kmn_frame_sender sender;
	unsigned phases;
	const char *fields, *sender_name, *phases_name;
} rows[] = {KMN_FRAME_ROWS(ROW)};
#undef ROW

/* A body as the words of a row say, texts and bytes of `n` bytes. */
static void
put_fields(struct kmn_writer *w, const char *fields, size_t n)
{
	char copy[128], *rest = copy, *word;
	uint8_t raw[32] = {0};
	char text[64];

	memset(text, 'x', sizeof(text));
	text[n] = '\0';
	snprintf(copy, sizeof(copy), "%s", fields);
	while ((word = strtok_r(rest, " ", &rest)) != NULL) {
		if (strcmp(word, "u8") == 0)
			kmn_writer_u8(w, 1);
		else if (strcmp(word, "u16") == 0)
			kmn_writer_u16(w, 1);
		else if (strcmp(word, "u32") == 0)
			kmn_writer_u32(w, 1);
		else if (strcmp(word, "u64") == 0)
			kmn_writer_u64(w, 1);
		else if (strcmp(word, "raw16") == 0)
			kmn_writer_raw(w, raw, 16);
		else if (strcmp(word, "raw32") == 0)
			kmn_writer_raw(w, raw, 32);
		else if (strcmp(word, "text") == 0 || strcmp(word, "bytes") == 0)
			kmn_writer_text(w, text);
		else if (strcmp(word, "rest") == 0)
			kmn_writer_raw(w, text, n);
		else
			CU_FAIL("a word that no reader knows");
	}
}

static unsigned
a_phase(const struct row *row)
{
	return row->phases & -row->phases;
}

static void
test_each_row_fits(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		for (size_t n = 0; n < 40; n += 13) {
			struct kmn_writer w;

			kmn_writer_init(&w, 4096);
			put_fields(&w, rows[i].fields, n);
			CU_ASSERT_EQUAL(
			    kmn_frame_check(rows[i].sender, a_phase(&rows[i]), rows[i].type, w.bytes, w.len), KMN_OK);
			kmn_writer_clear(&w);
		}
}

/* Cut at each length and lengthened by one, no frame fits but where the row ends with `rest`. */
static void
test_each_length(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++) {
		bool open_end = strstr(rows[i].fields, "rest") != NULL;
		size_t fixed, unfit = 0;
		struct kmn_writer w;

		kmn_writer_init(&w, 4096);
		put_fields(&w, rows[i].fields, 0);
		fixed = w.len;
		kmn_writer_u8(&w, 0);
		for (size_t n = 0; n <= fixed + 1; n++)
			unfit += kmn_frame_check(rows[i].sender, a_phase(&rows[i]), rows[i].type, w.bytes, n) != KMN_OK;
		CU_ASSERT_EQUAL(unfit, open_end ? fixed : fixed + 1);
		kmn_writer_clear(&w);
	}
}

/* Every type in every phase from either end: only the rows' own are let in. */
static void
test_each_type_and_phase(void)
{
	static const enum kmn_frame_sender senders[] = {KMN_SENDER_CLIENT, KMN_SENDER_GATEWAY};
	static const unsigned phases[] = {KMN_PHASE_FIRST, KMN_PHASE_ATTACHED, KMN_PHASE_WATCHING};
	size_t wrong = 0;

	for (unsigned type = 0; type < 256; type++)
		for (size_t s = 0; s < KMN_COUNT_OF(senders); s++)
			for (size_t p = 0; p < KMN_COUNT_OF(phases); p++) {
				bool want = false;

				for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
					want = want || (rows[i].type == type && rows[i].sender == senders[s] &&
							   (rows[i].phases & phases[p]) != 0);
				wrong +=
				    want != (kmn_frame_check_head(senders[s], phases[p], (uint8_t)type, 0) == KMN_OK);
			}
	CU_ASSERT_EQUAL(wrong, 0);
}

static const struct {
	const char *says;
	unsigned phase;
	uint8_t type;
	size_t len;
	kmn_err want;
} size_cases[] = {
    {"a long ATTACH", KMN_PHASE_FIRST, KMN_F_ATTACH, KMN_FRAME_FIRST_MAX_BYTES, KMN_E_TOO_BIG},
    {"the longest ATTACH", KMN_PHASE_FIRST, KMN_F_ATTACH, KMN_FRAME_FIRST_MAX_BYTES - 1, KMN_OK},
    {"a long ADMIN before anything", KMN_PHASE_FIRST, KMN_F_ADMIN, KMN_FRAME_MAX_BYTES - 1, KMN_OK},
    {"an ADMIN that is too long", KMN_PHASE_FIRST, KMN_F_ADMIN, KMN_FRAME_MAX_BYTES, KMN_E_TOO_BIG},
    {"the longest CALL", KMN_PHASE_ATTACHED, KMN_F_CALL, KMN_FRAME_MAX_BYTES - 1, KMN_OK},
    {"a CALL that is too long", KMN_PHASE_ATTACHED, KMN_F_CALL, KMN_FRAME_MAX_BYTES, KMN_E_TOO_BIG},
    {"a CALL before ATTACH", KMN_PHASE_FIRST, KMN_F_CALL, 16, KMN_E_MALFORMED},
    {"a frame while watching", KMN_PHASE_WATCHING, KMN_F_CALL, 16, KMN_E_MALFORMED},
};

static void
test_sizes(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(size_cases); i++)
		CU_ASSERT_EQUAL(
		    kmn_frame_check_head(KMN_SENDER_CLIENT, size_cases[i].phase, size_cases[i].type, size_cases[i].len),
		    size_cases[i].want);
}

static void
test_text(void)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 4096);
	kmn_writer_u64(&w, 0);
	kmn_writer_u32(&w, 1);
	kmn_writer_u64(&w, 0);
	kmn_writer_text(&w, "two\nlines");
	CU_ASSERT_EQUAL(
	    kmn_frame_check(KMN_SENDER_GATEWAY, KMN_PHASE_ANY, KMN_F_REFUSED, w.bytes, w.len), KMN_E_MALFORMED);
	kmn_writer_clear(&w);
}

static void
test_names(void)
{
	CU_ASSERT_STRING_EQUAL(kmn_frame_name(KMN_F_CALL), "KMN_F_CALL");
	CU_ASSERT_STRING_EQUAL(kmn_frame_name(0), "unknown");
}

static void
print_hex(char *out, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* The vectors of docs/channel.md, computed there with Python's hmac. */
static void
test_secret_and_proof(void)
{
	uint8_t gateway[32], client[32], exporter[32], other[32], secret[32], proof[32];
	char hex[65];

	memset(gateway, 0x11, sizeof(gateway));
	memset(client, 0x22, sizeof(client));
	memset(exporter, 0x33, sizeof(exporter));
	memset(other, 0x44, sizeof(other));
	kmn_instance_secret(gateway, client, exporter, secret);
	print_hex(hex, secret, sizeof(secret));
	CU_ASSERT_STRING_EQUAL(hex, "8ce5ca7b06c54a657da4e29f26fb6b073bf697b0ef62e7548649902f5ac32bb4");
	kmn_join_proof(secret, other, proof);
	print_hex(hex, proof, sizeof(proof));
	CU_ASSERT_STRING_EQUAL(hex, "6d980ad90ec72c9432a6c2cf4c3d521ee9c7a735715499dd72e04cda823d2cb4");
}

/* Feeds `n` bytes in pieces of `step`; the first failure, or KMN_OK. */
static kmn_err
feed(struct kmn_inbox *in, const uint8_t *bytes, size_t n, size_t step)
{
	kmn_err e = KMN_OK;

	while (e == KMN_OK && n > 0 && !kmn_inbox_complete(in)) {
		uint8_t *at;
		size_t room;

		if ((e = kmn_inbox_space(in, &at, &room)) != KMN_OK)
			break;
		room = room < step ? room : step;
		room = room < n ? room : n;
		memcpy(at, bytes, room);
		e = kmn_inbox_add(in, room);
		bytes += room;
		n -= room;
	}
	return e;
}

static void
test_inbox_pieces(void)
{
	size_t len = 100000;
	uint8_t *bytes = malloc(len + 5);
	struct kmn_inbox in;

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	for (size_t i = 0; i < len + 5; i++)
		bytes[i] = (uint8_t)(i * 7);
	memcpy(bytes, "\x00\x01\x86\xa1\x07", 5); /* 100001, type 7 */
	kmn_inbox_init(&in, KMN_FRAME_MAX_BYTES);
	for (size_t step = 1; step < 200000; step = step * 3 + 1) {
		CU_ASSERT_EQUAL(feed(&in, bytes, len + 5, step), KMN_OK);
		CU_ASSERT_FATAL(kmn_inbox_complete(&in));
		CU_ASSERT_EQUAL(kmn_inbox_type(&in), 7);
		CU_ASSERT_EQUAL(kmn_inbox_body_bytes(&in), len);
		CU_ASSERT_EQUAL(memcmp(kmn_inbox_body(&in), bytes + 5, len), 0);
		kmn_inbox_reset(&in);
	}
	kmn_inbox_clear(&in);
	free(bytes);
}

/* A claim of the whole limit takes no more room than the few bytes that came. */
static void
test_inbox_claims(void)
{
	static const uint8_t most[] = {0x00, 0x20, 0x00, 0x00, 3, 'x', 'y'};
	static const uint8_t over[] = {0x00, 0x20, 0x00, 0x01, 3};
	static const uint8_t none[] = {0, 0, 0, 0, 3};
	struct kmn_inbox in;

	kmn_inbox_init(&in, KMN_FRAME_MAX_BYTES);
	CU_ASSERT_EQUAL(feed(&in, most, sizeof(most), 1), KMN_OK);
	CU_ASSERT(!kmn_inbox_complete(&in));
	CU_ASSERT(in.room <= 4096);
	kmn_inbox_reset(&in);
	CU_ASSERT_EQUAL(feed(&in, over, sizeof(over), 5), KMN_E_TOO_BIG);
	kmn_inbox_reset(&in);
	CU_ASSERT_EQUAL(feed(&in, none, sizeof(none), 5), KMN_E_MALFORMED);
	kmn_inbox_clear(&in);
}

#define ROW(code, text, ckr) "| " #code ": " text " | " #ckr " |",
static const char *const error_lines[] = {KMN_ERR_ROWS(ROW)};
#undef ROW

static void
lower(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)tolower((unsigned char)*text);
}

/* docs/channel.md whole, or NULL outside of `make check`. */
static char *
read_specification(void)
{
	const char *srcdir = getenv("srcdir");
	char path[512], *text = NULL;
	size_t n = 0, room = 1u << 20;
	FILE *file;

	snprintf(path, sizeof(path), "%s/docs/channel.md", srcdir != NULL ? srcdir : ".");
	if ((file = fopen(path, "r")) == NULL)
		return NULL;
	if ((text = malloc(room)) != NULL)
		n = fread(text, 1, room - 1, file);
	if (text != NULL)
		text[n] = '\0';
	fclose(file);
	return text;
}

static void
test_specification(void)
{
	char *text = read_specification();
	char line[512], sender[16], phases[16];

	if (text == NULL) {
		CU_ASSERT_PTR_NULL(getenv("srcdir"));
		return;
	}
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++) {
		snprintf(sender, sizeof(sender), "%s", rows[i].sender_name);
		snprintf(phases, sizeof(phases), "%s", rows[i].phases_name);
		lower(sender);
		lower(phases);
		snprintf(line, sizeof(line), "| %u | %s | %s | %s | `%s` |", rows[i].type,
		    rows[i].name + strlen("KMN_F_"), sender, phases, rows[i].fields);
		if (strstr(text, line) == NULL) {
			printf("# not there: %s\n", line);
			CU_FAIL("the specification has the row of each frame");
		}
	}
	for (size_t i = 0; i < KMN_COUNT_OF(error_lines); i++) {
		snprintf(line, sizeof(line), "| %zu %s", i, error_lines[i]);
		if (strstr(text, line) == NULL) {
			printf("# not there: %s\n", line);
			CU_FAIL("the specification has the row of each error");
		}
	}
	free(text);
}

static CU_TestInfo frame_tests[] = {
    {"the specification has the same tables", test_specification},
    {"a body made of a row's words has the shape of the row", test_each_row_fits},
    {"a body that is cut or longer has not", test_each_length},
    {"a type comes only from its end and in its phases", test_each_type_and_phase},
    {"lengths are limited by phase", test_sizes},
    {"a text has no control characters", test_text},
    {"types have names", test_names},
    {"instance secret and join proof are the published vectors", test_secret_and_proof},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo inbox_tests[] = {
    {"a message comes together from pieces of any size", test_inbox_pieces},
    {"a claimed length takes no room, one over the limit is refused", test_inbox_claims},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"transport/frame", NULL, NULL, NULL, NULL, frame_tests},
	    {"transport/inbox", NULL, NULL, NULL, NULL, inbox_tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
