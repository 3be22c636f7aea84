#include "kanmon/reader.h"
#include "kanmon/writer.h"
#include "tests/unit/run.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *says;
	uint8_t bytes[8];
	size_t len;
	kmn_err want;
} u32_cases[] = {
    {"no byte is truncated", {0}, 0, KMN_E_TRUNCATED},
    {"three bytes are truncated", {0, 0, 0}, 3, KMN_E_TRUNCATED},
    {"four bytes are accepted", {0, 0, 0, 1}, 4, KMN_OK},
    {"a fifth byte is trailing", {0, 0, 0, 1, 0}, 5, KMN_E_TRAILING},
};

static void
test_u32_edges(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(u32_cases); i++) {
		struct kmn_reader r;

		kmn_reader_init(&r, u32_cases[i].bytes, u32_cases[i].len);
		(void)kmn_reader_u32(&r);
		CU_ASSERT_EQUAL(kmn_reader_end(&r), u32_cases[i].want);
	}
}

static void
test_failure_is_sticky(void)
{
	static const uint8_t bytes[] = {0, 0, 0, 9, 7, 7};
	const uint8_t *view;
	struct kmn_reader r;

	kmn_reader_init(&r, bytes, sizeof(bytes));
	CU_ASSERT_EQUAL(kmn_reader_bytes(&r, 100, &view), 0);
	CU_ASSERT_PTR_NULL(view);
	CU_ASSERT_EQUAL(kmn_reader_u8(&r), 0);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_E_TRUNCATED);
}

static void
test_limits_come_before_bytes(void)
{
	static const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff};
	const uint8_t *view;
	struct kmn_reader r;

	kmn_reader_init(&r, bytes, sizeof(bytes));
	CU_ASSERT_EQUAL(kmn_reader_bytes(&r, 1 << 20, &view), 0);
	CU_ASSERT_EQUAL(r.err, KMN_E_TOO_BIG);
	kmn_reader_init(&r, bytes, sizeof(bytes));
	CU_ASSERT_EQUAL(kmn_reader_count(&r, UINT32_MAX, 1), 0);
	CU_ASSERT_EQUAL(r.err, KMN_E_TOO_BIG);
}

static void
test_text_refuses_controls(void)
{
	static const uint8_t bytes[] = {0, 0, 0, 2, 'a', '\n'};
	char text[8];
	struct kmn_reader r;

	kmn_reader_init(&r, bytes, sizeof(bytes));
	kmn_reader_text(&r, text, sizeof(text));
	CU_ASSERT_EQUAL(r.err, KMN_E_MALFORMED);
	CU_ASSERT_STRING_EQUAL(text, "");
}

static void
test_writer_mirrors_reader(void)
{
	const uint8_t *view;
	uint8_t *bytes;
	size_t len, hole;
	struct kmn_writer w;
	struct kmn_reader r;
	char text[8];

	kmn_writer_init(&w, 64);
	hole = kmn_writer_hole_u32(&w);
	kmn_writer_u8(&w, 0xfe);
	kmn_writer_u16(&w, 0x1234);
	kmn_writer_u64(&w, 0x0102030405060708);
	kmn_writer_bool(&w, true);
	kmn_writer_text(&w, "seven77");
	kmn_writer_patch_u32(&w, hole, 42);
	CU_ASSERT_EQUAL_FATAL(kmn_writer_take(&w, &bytes, &len), KMN_OK);
	kmn_reader_init(&r, bytes, len);
	CU_ASSERT_EQUAL(kmn_reader_u32(&r), 42);
	CU_ASSERT_EQUAL(kmn_reader_u8(&r), 0xfe);
	CU_ASSERT_EQUAL(kmn_reader_u16(&r), 0x1234);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), 0x0102030405060708);
	CU_ASSERT_TRUE(kmn_reader_bool(&r));
	kmn_reader_text(&r, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "seven77");
	CU_ASSERT_EQUAL(kmn_reader_rest(&r, &view), 0);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	free(bytes);
}

static void
test_writer_limit(void)
{
	uint8_t *bytes;
	size_t len;
	struct kmn_writer w;

	kmn_writer_init(&w, 5);
	kmn_writer_u32(&w, 1);
	kmn_writer_u16(&w, 2);
	kmn_writer_u8(&w, 3);
	CU_ASSERT_EQUAL(kmn_writer_take(&w, &bytes, &len), KMN_E_TOO_BIG);
	CU_ASSERT_PTR_NULL(bytes);
	kmn_writer_clear(&w);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo reader_tests[] = {
	    {"u32: edges of the message", test_u32_edges},
	    {"after a failure reads stay zero", test_failure_is_sticky},
	    {"a claimed length meets its limit before the bytes", test_limits_come_before_bytes},
	    {"text refuses control characters", test_text_refuses_controls},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo writer_tests[] = {
	    {"the reader reads what the writer wrote", test_writer_mirrors_reader},
	    {"nothing is handed over past the limit", test_writer_limit},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"transport/reader", NULL, NULL, NULL, NULL, reader_tests},
	    {"transport/writer", NULL, NULL, NULL, NULL, writer_tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
