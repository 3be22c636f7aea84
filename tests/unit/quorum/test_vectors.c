/* What responders, time stamp authorities and CMS signers have signed: made by openssl(1), cut out of its answers. */
#include "config.h"

#include "kanmon/content.h"
#include "server/quorum/bounds.h"
#include "tests/unit/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
	uint8_t bytes[4096];
	size_t len;
};

static void
load(const char *name, struct file *out)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), KMN_VECTORS_DIR "/%s", name);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f = fopen(path, "rb"));
	out->len = fread(out->bytes, 1, sizeof(out->bytes) - 1, f);
	out->bytes[out->len] = 0;
	fclose(f);
}

static const struct {
	const char *says, *data, *econtent, *lines, *input_kind;
	enum kmn_content_kind kind;
} cases[] = {
    {"an OCSP response", "ocsp.der", NULL, "ocsp.txt", "ocsp-responsedata", KMN_CONTENT_OCSP_RESPONSE},
    {"a time stamp", "tst-attributes.der", "tst-info.der", "tst.txt", "rfc3161-tstinfo", KMN_CONTENT_TST_INFO},
    {"CMS attributes", "attributes.der", "attributes-content", "attributes.txt", "cms-signedattributes",
	KMN_CONTENT_CMS_SIGNED_ATTRIBUTES},
};

static struct kmn_content *
decode(const struct file *data, const struct file *econtent)
{
	struct kmn_material m = {
	    data->bytes, data->len, econtent == NULL ? NULL : econtent->bytes, econtent == NULL ? 0 : econtent->len};
	struct kmn_content *content = NULL;

	return kmn_content_decode(&m, &content) == KMN_OK ? content : NULL;
}

static struct kmn_content *
decode_case(size_t i)
{
	struct file data, econtent;
	struct kmn_content *content;

	load(cases[i].data, &data);
	if (cases[i].econtent != NULL)
		load(cases[i].econtent, &econtent);
	content = decode(&data, cases[i].econtent != NULL ? &econtent : NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(content);
	return content;
}

static void
test_lines(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		struct kmn_content *content = decode_case(i);
		struct file want;

		load(cases[i].lines, &want);
		CU_ASSERT_STRING_EQUAL(kmn_content_lines(content), (const char *)want.bytes);
		CU_ASSERT_EQUAL(kmn_content_facts(content)->kind, cases[i].kind);
		CU_ASSERT_STRING_EQUAL(kmn_content_input_kind(cases[i].kind), cases[i].input_kind);
		kmn_content_free(content);
	}
}

/* The attributes hold a hash: of the content that was given, or there is no content at all. */
static void
test_econtent(void)
{
	struct file attributes, tst, other;
	struct kmn_content *content;

	load("tst-attributes.der", &attributes);
	load("tst-info.der", &tst);
	load("attributes-content", &other);
	CU_ASSERT_PTR_NOT_NULL_FATAL(content = decode(&attributes, NULL));
	CU_ASSERT_EQUAL(kmn_content_facts(content)->kind, KMN_CONTENT_CMS_SIGNED_ATTRIBUTES);
	CU_ASSERT_STRING_EQUAL(kmn_content_facts(content)->content_type, "tst-info");
	CU_ASSERT_FALSE(kmn_content_facts(content)->has_econtent);
	kmn_content_free(content);
	CU_ASSERT_PTR_NULL(decode(&attributes, &other));
	for (size_t i = 0; i < tst.len * 8; i++) {
		tst.bytes[i / 8] ^= (uint8_t)(1u << i % 8);
		CU_ASSERT_PTR_NULL(decode(&attributes, &tst));
		tst.bytes[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	tst.len = 0;
	CU_ASSERT_PTR_NULL(decode(&attributes, &tst));
}

/* What type of string a name's text is does not show in its line. */
static bool
is_string_tag(uint8_t byte)
{
	return byte == 0x0c || byte == 0x12 || byte == 0x13 || byte == 0x14 || byte == 0x16;
}

/* Nothing is left out of the lines: whatever bit changes, they change, or there are none. */
static void
test_bent(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		struct kmn_content *whole, *content;
		struct file data;

		load(cases[i].data, &data);
		CU_ASSERT_PTR_NOT_NULL_FATAL(whole = decode(&data, NULL));
		for (size_t bit = 0; bit < data.len * 8; bit++) {
			data.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if ((content = decode(&data, NULL)) != NULL) {
				CU_ASSERT_TRUE(strcmp(kmn_content_lines(content), kmn_content_lines(whole)) != 0 ||
					       is_string_tag(data.bytes[bit / 8]));
				kmn_content_free(content);
			}
			data.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t len = data.len; len-- > 0;) {
			struct file cut = data;

			cut.len = len;
			CU_ASSERT_PTR_NULL(decode(&cut, NULL));
		}
		data.len++;
		CU_ASSERT_PTR_NULL(decode(&data, NULL));
		kmn_content_free(whole);
	}
}

/* 2026-11-23T21:39:32Z, when the vectors were made. */
#define MADE_MS INT64_C(1795469972000)

static const struct {
	size_t of; /* cases[] */
	const char *bound;
	int64_t later_ms;
	bool holds;
} bound_cases[] = {
    {0, "next-update<=7d", 0, true},
    {0, "next-update<=6d", 0, false},
    {0, "next-update<=6d", 86400000, true},
    {0, "responder=CN=Test CA,C=JP", 0, true},
    {0, "responder=CN=Test CA", 0, false},
    {1, "policy=1.2.3.4.5", 0, true},
    {1, "policy=1.2.3.4", 0, false},
    {1, "clock<=5s", 0, true},
    {1, "clock<=5s", 6000, false},
    {1, "clock<=5s", -6000, false},
    {2, "content-type=data", 0, true},
    {2, "content-type=tst-info", 0, false},
};

static void
test_bounds(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(bound_cases); i++) {
		struct kmn_content *content = decode_case(bound_cases[i].of);
		const struct kmn_content_facts *facts = kmn_content_facts(content);
		struct bound bound;
		char why[200] = "";

		CU_ASSERT_TRUE_FATAL(bound_parse(bound_cases[i].bound, facts->kind, &bound, why, sizeof(why)));
		CU_ASSERT_EQUAL(bound_holds(&bound, facts, MADE_MS + bound_cases[i].later_ms), bound_cases[i].holds);
		if (bound_holds(&bound, facts, MADE_MS + bound_cases[i].later_ms) != bound_cases[i].holds)
			printf("# %s\n", bound_cases[i].bound);
		kmn_content_free(content);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"OCSP responses, time stamps, CMS attributes, line by line", test_lines},
	    {"attributes over another content have none", test_econtent},
	    {"whatever bit is bent, the lines change or there are none", test_bent},
	    {"bounds of each kind", test_bounds},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/vectors", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
