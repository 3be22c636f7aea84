/* Canonical lines, record bodies and notes: what is accepted, and everything next to it that is not. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/note.h"
#include "kanmon/record.h"
#include "tests/unit/run.h"

static const struct {
	const char *says, *line;
	bool ok;
} lines[] = {
    {"the least", "{}", true},
    {"all kinds", "{\"a\":[1,\"x\",true,false,{}],\"b\":\"\"}", true},
    {"largest integer", "{\"a\":9007199254740991}", true},
    {"integer over 2^53-1", "{\"a\":9007199254740992}", false},
    {"integer over 2^63", "{\"a\":9223372036854775808}", false},
    {"negative", "{\"a\":-1}", false},
    {"negative zero", "{\"a\":-0}", false},
    {"leading zero", "{\"a\":01}", false},
    {"fraction", "{\"a\":1.0}", false},
    {"exponent", "{\"a\":1e3}", false},
    {"null", "{\"a\":null}", false},
    {"space", "{\"a\": 1}", false},
    {"space behind", "{\"a\":1} ", false},
    {"unsorted", "{\"b\":1,\"a\":2}", false},
    {"duplicate", "{\"a\":1,\"a\":1}", false},
    {"duplicate deep inside", "{\"a\":{\"b\":1,\"b\":1}}", false},
    {"name with a dash", "{\"a-b\":1}", false},
    {"empty name", "{\"\":1}", false},
    {"name of 32", "{\"abcdefghijklmnopqrstuvwxyzabcdef\":1}", true},
    {"name of 33", "{\"abcdefghijklmnopqrstuvwxyzabcdefg\":1}", false},
    {"depth 6", "{\"a\":[[[[[1]]]]]}", true},
    {"depth 7", "{\"a\":[[[[[[1]]]]]]}", false},
    {"list on top", "[1]", false},
    {"string on top", "\"a\"", false},
    {"escaped LF", "{\"a\":\"x\\ny\"}", true},
    {"escaped tab", "{\"a\":\"x\\ty\"}", false},
    {"escaped NUL", "{\"a\":\"x\\u0000y\"}", false},
    {"escaped letter", "{\"a\":\"\\u0041\"}", false},
    {"escaped slash", "{\"a\":\"\\/\"}", false},
    {"quote and backslash", "{\"a\":\"\\\"\\\\\"}", true},
    {"DEL", "{\"a\":\"\x7f\"}", false},
    {"Japanese", "{\"a\":\"\xe9\x96\xa2\xe9\x96\x80\"}", true},
    {"four bytes", "{\"a\":\"\xf0\x9f\x94\x91\"}", true},
    {"zero-width space", "{\"a\":\"\xe2\x80\x8b\"}", false},
    {"right-to-left override", "{\"a\":\"\xe2\x80\xae\"}", false},
    {"isolate", "{\"a\":\"\xe2\x81\xa6\"}", false},
    {"byte order mark", "{\"a\":\"\xef\xbb\xbf\"}", false},
    {"byte order mark in front", "\xef\xbb\xbf{}", false},
    {"surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", false},
    {"lone surrogate escaped", "{\"a\":\"\\ud800\"}", false},
    {"overlong", "{\"a\":\"\xc0\xaf\"}", false},
    {"cut in a character", "{\"a\":\"\xe9\x96", false},
    {"comment", "{}//", false},
    {"nothing", "", false},
};

static void
test_lines(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(lines); n++) {
		json_t *value;
		struct kmn_why why;
		kmn_err e = kmn_json_parse(lines[n].line, strlen(lines[n].line), &value, &why);

		if ((e == KMN_OK) != lines[n].ok) {
			printf("# %s: %s\n", lines[n].says, kmn_err_name(e));
			CU_FAIL("line");
		}
		json_decref(value);
	}
}

static void
test_long_line(void)
{
	static char line[KMN_LINE_MAX_BYTES + 8];
	json_t *value;
	size_t len;

	memset(line, 'x', sizeof(line));
	memcpy(line, "{\"a\":\"", 6);
	for (len = KMN_LINE_MAX_BYTES - 1; len <= KMN_LINE_MAX_BYTES + 1; len++) {
		memcpy(line + len - 2, "\"}", 2);
		CU_ASSERT_EQUAL(
		    kmn_json_parse(line, len, &value, NULL), len <= KMN_LINE_MAX_BYTES ? KMN_OK : KMN_E_TOO_BIG);
		json_decref(value);
		memcpy(line + len - 2, "xx", 2);
	}
}

static void
test_label(void)
{
	static const struct {
		const char *bytes, *want;
		size_t len;
	} cases[] = {
	    {"root-ca", "root-ca", 7},
	    {"a\nb\0c", "a?b?c", 5},
	    {"\xff\xfe", "??", 2},
	    {"\xe9\x96\xa2", "\xe9\x96\xa2", 3},
	    {"\xe2\x80\xae!", "?!", 4},
	};

	for (size_t n = 0; n < KMN_COUNT_OF(cases); n++) {
		json_t *label = kmn_json_label(cases[n].bytes, cases[n].len);

		CU_ASSERT_STRING_EQUAL(json_string_value(label), cases[n].want);
		json_decref(label);
	}
}

static const struct {
	const char *says, *text;
	kmn_err want;
} b64[] = {
    {"empty", "", KMN_OK},
    {"one byte", "AA==", KMN_OK},
    {"three bytes", "AAAA", KMN_OK},
    {"no padding", "AA", KMN_E_MALFORMED},
    {"half the padding", "AA=", KMN_E_MALFORMED},
    {"trailing bits", "AB==", KMN_E_MALFORMED},
    {"url alphabet", "__8=", KMN_E_MALFORMED},
    {"space", "AA ==", KMN_E_MALFORMED},
    {"LF", "AAA\n", KMN_E_MALFORMED},
    {"bytes that libsodium takes for a slash", "A\xc3\xa9=", KMN_E_MALFORMED},
    {"more than there is room", "AAAAAAAA", KMN_E_TOO_BIG},
};

static void
test_b64(void)
{
	uint8_t out[4];
	size_t len;

	for (size_t n = 0; n < KMN_COUNT_OF(b64); n++) {
		kmn_err e = kmn_b64_parse(b64[n].text, strlen(b64[n].text), out, sizeof(out), &len);

		if (e != b64[n].want)
			printf("# %s: %s\n", b64[n].says, kmn_err_name(e));
		CU_ASSERT_EQUAL(e, b64[n].want);
	}
}

#define HASH "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define LINE(i, t, nonce, prev, more) \
	"{\"body\":{},\"i\":" i ",\"m\":0,\"nonce\":\"" nonce "\",\"prev\":\"" prev "\",\"t\":" t \
	",\"type\":\"x\",\"v\":1" more "}"

static const struct {
	const char *says, *line;
	bool ok;
} envelopes[] = {
    {"whole", LINE("0", "1", "AAAAAAAAAAAAAAAAAAAAAA==", HASH, ""), true},
    {"a member more", LINE("0", "1", "AAAAAAAAAAAAAAAAAAAAAA==", HASH, ",\"w\":1"), false},
    {"short nonce", LINE("0", "1", "AAAA", HASH, ""), false},
    {"short prev", LINE("0", "1", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAA", ""), false},
    {"index as text", LINE("\"0\"", "1", "AAAAAAAAAAAAAAAAAAAAAA==", HASH, ""), false},
    {"time as text", LINE("0", "\"1\"", "AAAAAAAAAAAAAAAAAAAAAA==", HASH, ""), false},
    {"no members", "{}", false},
};

static void
test_envelope(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(envelopes); n++) {
		struct kmn_record record;
		struct kmn_why why = {""};
		kmn_err e = kmn_record_parse(envelopes[n].line, strlen(envelopes[n].line), &record, &why);

		if ((e == KMN_OK) != envelopes[n].ok)
			printf("# %s: %s\n", envelopes[n].says, why.text);
		CU_ASSERT_EQUAL(e == KMN_OK, envelopes[n].ok);
		kmn_record_clear(&record);
	}
}

static const struct {
	const char *says;
	enum kmn_record_kind kind;
	const char *body;
	kmn_err want;
} bodies[] = {
    {"stop", KMN_R_GATEWAY_STOP, "{\"reason\":\"a\"}", KMN_OK},
    {"member missing", KMN_R_GATEWAY_STOP, "{}", KMN_E_MALFORMED},
    {"member of another type", KMN_R_GATEWAY_STOP, "{\"count\":1,\"reason\":\"a\"}", KMN_E_MALFORMED},
    {"LF outside a note", KMN_R_GATEWAY_STOP, "{\"reason\":\"a\\nb\"}", KMN_E_MALFORMED},
    {"LF in a note", KMN_R_CHECKPOINT, "{\"note\":\"a\\nb\"}", KMN_OK},
    {"optional left out", KMN_R_CHANNEL_REJECT, "{\"count\":1,\"reason\":\"a\"}", KMN_OK},
    {"optional of the wrong kind", KMN_R_CHANNEL_REJECT, "{\"count\":1,\"peer\":\"a\\n\",\"reason\":\"a\"}",
	KMN_E_MALFORMED},
    {"reference", KMN_R_REDELIVER, "{\"chan\":1,\"result\":{\"i\":1,\"leaf\":\"" HASH "\"},\"seq\":1}", KMN_OK},
    {"reference without leaf", KMN_R_REDELIVER, "{\"chan\":1,\"result\":{\"i\":1},\"seq\":1}", KMN_E_MALFORMED},
    {"short hash", KMN_R_COSIGN, "{\"lines\":[],\"root\":\"AAAA\",\"size\":1}", KMN_E_MALFORMED},
    {"unknown type", KMN_R_UNKNOWN, "{}", KMN_E_NOT_FOUND},
};

static void
test_bodies(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(bodies); n++) {
		json_t *body = json_loads(bodies[n].body, 0, NULL);
		kmn_err e = kmn_record_check(bodies[n].kind, body, NULL);

		if (e != bodies[n].want)
			printf("# %s: %s\n", bodies[n].says, kmn_err_name(e));
		CU_ASSERT_EQUAL(e, bodies[n].want);
		json_decref(body);
	}
	for (enum kmn_record_kind kind = (enum kmn_record_kind)0; kind < KMN_R_UNKNOWN; kind++) {
		json_t *empty = json_object();

		/* walks each row: an unknown kind of member would end the program */
		CU_ASSERT_EQUAL(kmn_record_kind(kmn_record_name(kind)), kind);
		CU_ASSERT_EQUAL(kmn_record_check(kind, empty, NULL), KMN_E_MALFORMED);
		json_decref(empty);
	}
	CU_ASSERT_EQUAL(kmn_record_kind("nothing"), KMN_R_UNKNOWN);
}

#define NAME "example.org/log"
#define SIG "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define DASH "\xe2\x80\x94 "

static const struct {
	const char *says, *note;
	size_t count; /* signature lines; 0: not a note */
} notes[] = {
    {"one line", "text\n\n" DASH NAME " " SIG "\n", 1},
    {"two lines", "text\n\n" DASH NAME " " SIG "\n" DASH "b " SIG "\n", 2},
    {"empty lines in the text", "a\n\nb\n\n" DASH NAME " " SIG "\n", 1},
    {"no signature", "text\n\n", 0},
    {"no empty line", "text\n" DASH NAME " " SIG "\n", 0},
    {"no last LF", "text\n\n" DASH NAME " " SIG, 0},
    {"hyphen for a dash", "text\n\n- " NAME " " SIG "\n", 0},
    {"name with plus", "text\n\n" DASH "a+b " SIG "\n", 0},
    {"name with no-break space",
	"text\n\n" DASH "a\xc2\xa0"
	"b " SIG "\n",
	0},
    {"no name", "text\n\n" DASH " " SIG "\n", 0},
    {"two spaces", "text\n\n" DASH NAME "  " SIG "\n", 0},
    {"key id only", "text\n\n" DASH NAME " AAAAAA==\n", 0},
    {"not base64", "text\n\n" DASH NAME " AAAA*AAA\n", 0},
    {"tab in the text", "te\txt\n\n" DASH NAME " " SIG "\n", 0},
    {"CR in the text", "text\r\n\n" DASH NAME " " SIG "\n", 0},
    {"not UTF-8", "te\xffxt\n\n" DASH NAME " " SIG "\n", 0},
    {"text behind the signatures", "text\n\n" DASH NAME " " SIG "\nmore\n", 0},
};

static void
test_notes(void)
{
	for (size_t n = 0; n < KMN_COUNT_OF(notes); n++) {
		struct kmn_note note;
		struct kmn_why why = {""};
		kmn_err e = kmn_note_parse(notes[n].note, strlen(notes[n].note), &note, &why);

		if ((e == KMN_OK) != (notes[n].count > 0) || note.count != notes[n].count)
			printf("# %s: %s %s\n", notes[n].says, kmn_err_name(e), why.text);
		CU_ASSERT_EQUAL(note.count, notes[n].count);
		CU_ASSERT_EQUAL(e == KMN_OK, notes[n].count > 0);
	}
}

static void
make_key(const char *name, unsigned char seed_byte, struct kmn_vkey *vkey, uint8_t secret[KMN_ED25519_SECRET_BYTES])
{
	uint8_t seed[crypto_sign_SEEDBYTES], pub[KMN_ED25519_PUBLIC_BYTES];

	memset(seed, seed_byte, sizeof(seed));
	(void)crypto_sign_seed_keypair(pub, secret, seed);
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make(name, pub, vkey), KMN_OK);
}

static void
test_signatures(void)
{
	uint8_t secret[3][KMN_ED25519_SECRET_BYTES];
	struct kmn_vkey vkey[3];
	struct kmn_note note;
	char *one, *two;
	size_t len, count;
	bool by[3];

	make_key("a", 1, &vkey[0], secret[0]);
	make_key("b", 2, &vkey[1], secret[1]);
	make_key("a", 3, &vkey[2], secret[2]); /* the same name, another key */
	CU_ASSERT_EQUAL_FATAL(kmn_note_sign("text\n", 5, &vkey[0], secret[0], &one, &len), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_note_countersign(one, len, &vkey[1], secret[1], &two, &len), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_note_parse(two, len, &note, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_note_verify(&note, vkey, 3, by, &count, NULL), KMN_OK);
	CU_ASSERT_EQUAL(count, 2);
	CU_ASSERT_TRUE(by[0] && by[1] && !by[2]);
	two[0] = 'T'; /* the text: both known lines fail, and the note with them */
	CU_ASSERT_EQUAL(kmn_note_verify(&note, vkey, 1, by, &count, NULL), KMN_E_SIGNATURE);
	CU_ASSERT_EQUAL(count, 0);
	CU_ASSERT_FALSE(by[0]);
	CU_ASSERT_EQUAL(kmn_note_verify(&note, &vkey[2], 1, by, &count, NULL), KMN_OK); /* unknown lines are nothing */
	CU_ASSERT_EQUAL(count, 0);
	free(one);
	free(two);
	CU_ASSERT_EQUAL(kmn_note_sign("no LF", 5, &vkey[0], secret[0], &one, &len), KMN_E_MALFORMED);
	CU_ASSERT_PTR_NULL(one);
}

static void
test_vkeys(void)
{
	uint8_t secret[KMN_ED25519_SECRET_BYTES], weak[KMN_ED25519_PUBLIC_BYTES] = {1};
	char text[KMN_VKEY_MAX_BYTES];
	struct kmn_vkey vkey, out;

	make_key("a/b", 1, &vkey, secret);
	kmn_vkey_format(&vkey, text);
	CU_ASSERT_EQUAL(kmn_vkey_parse(text, strlen(text), &out), KMN_OK);
	for (size_t at = 0; at < strlen(text); at++) {
		text[at] ^= 1;
		CU_ASSERT_EQUAL(kmn_vkey_parse(text, strlen(text), &out), KMN_E_MALFORMED);
		text[at] ^= 1;
		CU_ASSERT_EQUAL(kmn_vkey_parse(text, at, &out), KMN_E_MALFORMED);
	}
	CU_ASSERT_EQUAL(kmn_vkey_make("a b", vkey.pub, &out), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_vkey_make("", vkey.pub, &out), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_vkey_make("a", weak, &out), KMN_E_MALFORMED); /* signs anything, says OpenSSL 3.0 */
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"canonical lines", test_lines},
	    {"a line has a limit", test_long_line},
	    {"labels of unknown origin are made to fit", test_label},
	    {"base64 has one form", test_b64},
	    {"the envelope of a record", test_envelope},
	    {"bodies have exactly their type's members", test_bodies},
	    {"the form of a note", test_notes},
	    {"known signatures count, unknown ones are ignored, a false one rejects", test_signatures},
	    {"verifier keys", test_vkeys},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/lines", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	if (sodium_init() < 0)
		return 1;
	return kmn_test_main(argc, argv, suites);
}
