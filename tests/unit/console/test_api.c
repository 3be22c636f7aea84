#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/console/api.h"
#include "tests/unit/run.h"

static const char *const methods[] = {"get", "post"};

/* ---- the table and its documentation ------------------------------------------------------------------------------- */

static bool
names_parameter(const json_t *operation, const char *where, const char *name)
{
	const json_t *parameter;
	size_t i;

	json_array_foreach(json_object_get(operation, "parameters"), i,
	    parameter) if (strcmp(json_string_value(json_object_get(parameter, "in")), where) == 0 &&
			   strcmp(json_string_value(json_object_get(parameter, "name")), name) == 0) return true;
	return false;
}

static const json_t *
member(const json_t *object, const char *name)
{
	return json_object_get(object, name);
}

/* How many names a row's fields have in the documentation, each found there. */
static void
compare(const struct kmn_api_row *row, const json_t *operation)
{
	const json_t *body =
	    member(member(member(member(operation, "requestBody"), "content"), "application/json"), "schema");
	const json_t *members = member(body, "properties");
	size_t said = 0, parameters = 0;

	for (size_t i = 0; i < KMN_API_FIELDS_MAX && row->field[i].kind != KMN_API_END; i++) {
		const struct kmn_api_field *f = &row->field[i];

		if (f->kind == KMN_API_PATH || f->kind == KMN_API_PATH_HASH) {
			CU_ASSERT_TRUE(names_parameter(operation, "path", f->kind == KMN_API_PATH ? "number" : "hash"));
			parameters++;
		} else if (f->kind >= KMN_API_ARG_FLAG && f->kind <= KMN_API_ARG_TEXT) {
			CU_ASSERT_TRUE(names_parameter(operation, "query", f->name));
			parameters++;
		} else if (f->kind >= KMN_API_TEXT) {
			CU_ASSERT_PTR_NOT_NULL(json_object_get(members, f->name));
			said++;
		} else if (f->kind == KMN_API_SIGNED) {
			said += 3;
		}
	}
	parameters += names_parameter(operation, "header", "X-Kanmon-Csrf");
	CU_ASSERT_EQUAL(json_object_size(members), said);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(operation, "parameters")), parameters);
	CU_ASSERT_EQUAL(body != NULL, row->method == KMN_API_POST);
	CU_ASSERT_EQUAL(body != NULL, row->body_max > 0);
}

static void
test_documented(void)
{
	const char *top = getenv("srcdir");
	char path[512];
	json_t *doc, *paths, *of_path;
	const char *name;
	size_t documented = 0;

	snprintf(path, sizeof(path), "%s/docs/console-api.json", top != NULL ? top : ".");
	CU_ASSERT_PTR_NOT_NULL_FATAL(doc = json_load_file(path, JSON_REJECT_DUPLICATES, NULL));
	CU_ASSERT_PTR_NOT_NULL_FATAL(paths = json_object_get(doc, "paths"));
	json_object_foreach(paths, name, of_path) documented += json_object_size(of_path);
	CU_ASSERT_EQUAL(documented, kmn_api_row_count);
	for (size_t i = 0; i < kmn_api_row_count; i++) {
		const struct kmn_api_row *row = &kmn_api_rows[i];
		const json_t *operation;

		snprintf(path, sizeof(path), KMN_API_PREFIX "%s", row->path);
		operation = json_object_get(json_object_get(paths, path), methods[row->method]);
		if (operation == NULL)
			printf("# %s is not documented\n", path);
		CU_ASSERT_PTR_NOT_NULL(operation);
		compare(row, operation);
	}
	json_decref(doc);
}

/* Each question of the link has an address, but the one that the console asks by itself. */
static void
test_questions(void)
{
#define OP(symbol, value, role, changes, fields, answer) {symbol, #symbol, changes},
	static const struct {
		enum kmn_ui_op op;
		const char *name;
		bool changes;
	} ops[] = {KMN_UI_ROWS(OP)};
#undef OP

	for (size_t i = 0; i < KMN_COUNT_OF(ops); i++) {
		unsigned rows = 0;

		for (size_t n = 0; n < kmn_api_row_count; n++)
			if (kmn_api_rows[n].op == ops[i].op) {
				rows++;
				CU_ASSERT_TRUE(!ops[i].changes || kmn_api_rows[n].method == KMN_API_POST);
			}
		if ((rows == 0) != (ops[i].op == KMN_UI_FAILED))
			printf("# %s\n", ops[i].name);
		CU_ASSERT_EQUAL(rows == 0, ops[i].op == KMN_UI_FAILED);
	}
}

/* ---- paths ----------------------------------------------------------------------------------------------------------- */

static void
test_paths(void)
{
	/* clang-format off */
	static const struct { const char *method, *path; kmn_err want; uint64_t number; } cases[] = {
		{ "GET",  "/api/v1/session",                  KMN_OK,          0 },
		{ "GET",  "/api/v1/requests/0",               KMN_OK,          0 },
		{ "GET",  "/api/v1/requests/9007199254740991", KMN_OK,         9007199254740991 },
		{ "GET",  "/api/v1/requests/9007199254740992", KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/requests/99999999999999999999", KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/requests/01",              KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/requests/-1",              KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/requests/",                KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/requests/1/",              KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/requests/1/shown",         KMN_E_ARGUMENTS, 0 },
		{ "POST", "/api/v1/requests/1/shown",         KMN_OK,          1 },
		{ "PUT",  "/api/v1/session",                  KMN_E_ARGUMENTS, 0 },
		{ "get",  "/api/v1/session",                  KMN_E_ARGUMENTS, 0 },
		{ "GET",  "/api/v2/session",                  KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/",                         KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/../v1/session",            KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/ledger/blobs/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", KMN_OK, 0 },
		{ "GET",  "/api/v1/ledger/blobs/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", KMN_E_NOT_FOUND, 0 },
		{ "GET",  "/api/v1/ledger/blobs/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", KMN_E_NOT_FOUND, 0 },
		{ "GET",  "", KMN_E_NOT_FOUND, 0 },
	};
	/* clang-format on */

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		struct kmn_api_input input = {.number = 0};
		const struct kmn_api_row *row;
		kmn_err e = kmn_api_route(cases[i].method, cases[i].path, &row, &input);

		if (e != cases[i].want)
			printf("# %s: %s\n", cases[i].path, kmn_err_name(e));
		CU_ASSERT_EQUAL(e, cases[i].want);
		CU_ASSERT_TRUE(e != KMN_OK || input.number == cases[i].number);
		CU_ASSERT_EQUAL(row == NULL, e == KMN_E_NOT_FOUND);
	}
}

/* ---- bodies and queries ------------------------------------------------------------------------------------------------ */

#define HASH "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""
#define PARTS "\"authenticatorData\":\"AA\",\"clientDataJSON\":\"AAA\",\"signature\":\"AAAA\""

static kmn_err
read_fields(const char *method, const char *path, const char *body, const struct kmn_api_arg *args, size_t arg_count,
    size_t *len_out)
{
	static const uint8_t spki[KMN_HASH_BYTES];
	struct kmn_api_input input = {.args = args,
	    .arg_count = arg_count,
	    .body = body,
	    .body_len = strlen(body),
	    .origin = "https://c.example",
	    .address = "192.0.2.1",
	    .tls_ver = "TLS1.3",
	    .tls_suite = "TLS_AES_256_GCM_SHA384",
	    .spki_sha256 = spki};
	const struct kmn_api_row *row;
	struct kmn_why why = {""};
	struct kmn_writer w;
	kmn_err e = kmn_api_route(method, path, &row, &input);

	CU_ASSERT_EQUAL_FATAL(e, KMN_OK);
	kmn_writer_init(&w, 1u << 20);
	e = kmn_api_fields(row, &input, &w, &why);
	*len_out = w.len;
	CU_ASSERT_EQUAL(e == KMN_OK, why.text[0] == '\0');
	kmn_writer_clear(&w);
	return e;
}

static void
test_bodies(void)
{
	/* clang-format off */
	static const struct { const char *path, *body; kmn_err want; size_t len; } cases[] = {
		{ "requests/1/shown", "{\"sha256\":" HASH "}",                 KMN_OK, 8 + 32 },
		{ "requests/1/shown", "{\"sha256\":" HASH ",\"x\":1}",         KMN_E_MALFORMED, 0 },
		{ "requests/1/shown", "{\"sha256\":" HASH ",\"sha256\":" HASH "}", KMN_E_MALFORMED, 0 },
		{ "requests/1/shown", "{\"sha256\":\"AAAA\"}",                 KMN_E_MALFORMED, 0 },
		{ "requests/1/shown", "{\"sha256\":1}",                        KMN_E_MALFORMED, 0 },
		{ "requests/1/shown", "{}",                                    KMN_E_MALFORMED, 0 },
		{ "requests/1/shown", "",                                      KMN_E_MALFORMED, 0 },
		{ "requests/1/shown", "[]",                                    KMN_E_MALFORMED, 0 },
		{ "requests/1/shown", "{\"sha256\":" HASH "}}",                KMN_E_MALFORMED, 0 },
		{ "requests/1/shown", "{\"sha256\":[[[[[[[[[[[[[[",            KMN_E_MALFORMED, 0 },
		{ "requests/1/withdraw", "{\"reason\":\"a \\u0000\"}",         KMN_E_MALFORMED, 0 },
		{ "requests/1/withdraw", "{\"reason\":\"[[[[[\\\"[[[\"}",      KMN_OK, 8 + 4 + 9 },
		{ "requests/1/withdraw", "{\"reason\":\"\xff\"}",              KMN_E_MALFORMED, 0 },
		{ "notes", "{\"note\":\"n\"}",                                 KMN_OK, 1 + 4 + 1 },
		{ "notes", "{\"text\":\"t\",\"assertion\":{" PARTS "}}",       KMN_OK, 1 + 4 + 1 + 4 + 1 + 4 + 2 + 4 + 3 },
		{ "notes", "{\"note\":\"n\",\"text\":\"t\",\"assertion\":{" PARTS "}}", KMN_E_MALFORMED, 0 },
		{ "notes", "{\"text\":\"t\",\"assertion\":{" PARTS ",\"x\":1}}", KMN_E_MALFORMED, 0 },
		{ "notes", "{\"text\":\"t\",\"assertion\":{\"authenticatorData\":\"AA\"}}", KMN_E_MALFORMED, 0 },
		{ "notes", "{\"text\":\"t\",\"assertion\":\"AA\"}",            KMN_E_MALFORMED, 0 },
		{ "notes", "{\"text\":\"t\"}",                                 KMN_E_MALFORMED, 0 },
		{ "sign-in/begin", "",                                         KMN_OK, 4 + 17 },
		{ "sign-in/begin", "{}",                                       KMN_OK, 4 + 17 },
		{ "sign-in/begin", "{\"origin\":\"x\"}",                       KMN_E_MALFORMED, 0 },
		{ "sign-in/certificate", "{}",                                 KMN_OK, 4 + 9 + 4 + 6 + 4 + 22 + 32 },
		{ "instructions/begin", "{\"what\":\"sign\",\"token\":\"t\",\"purpose\":\"p\",\"file_length\":-1}", KMN_E_MALFORMED, 0 },
		{ "instructions/begin", "{\"what\":\"sign\",\"token\":\"t\",\"purpose\":\"p\",\"file_length\":1.5}", KMN_E_MALFORMED, 0 },
		{ "instructions/begin", "{\"what\":\"sign\",\"token\":\"t\",\"purpose\":\"p\",\"key\":null}", KMN_E_MALFORMED, 0 },
		{ "instructions", "{\"note\":\"n\",\"file\":\"AAAA\"}",        KMN_OK, 1 + 4 + 1 + 4 + 3 + 4 },
		{ "instructions", "{\"note\":\"n\",\"file\":\"AAA\"}",         KMN_E_MALFORMED, 0 },
		{ "instructions", "{\"note\":\"n\",\"file\":7}",               KMN_E_MALFORMED, 0 },
		{ "instructions", "{\"note\":\"n\"}",                          KMN_OK, 1 + 4 + 1 + 4 + 4 },
	};
	/* clang-format on */

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		char path[128];
		size_t len;
		kmn_err e;

		snprintf(path, sizeof(path), KMN_API_PREFIX "%s", cases[i].path);
		e = read_fields("POST", path, cases[i].body, NULL, 0, &len);
		if (e != cases[i].want || (e == KMN_OK && len != cases[i].len))
			printf("# case %zu: %s: %s, %zu\n", i, cases[i].body, kmn_err_name(e), len);
		CU_ASSERT_EQUAL(e, cases[i].want);
		CU_ASSERT_TRUE(e != KMN_OK || len == cases[i].len);
	}
}

static void
test_queries(void)
{
	/* clang-format off */
	static const struct { struct kmn_api_arg args[2]; size_t count; kmn_err want; } cases[] = {
		{ { { "from", "1" }, { "count", "2" } },   2, KMN_OK },
		{ { { "from", "1" } },                     1, KMN_OK },
		{ { { NULL, NULL } },                      0, KMN_OK },
		{ { { "from", "1" }, { "from", "1" } },    2, KMN_E_MALFORMED },
		{ { { "other", "1" } },                    1, KMN_E_MALFORMED },
		{ { { "from", "" } },                      1, KMN_E_MALFORMED },
		{ { { "from", "-1" } },                    1, KMN_E_MALFORMED },
		{ { { "from", "1x" } },                    1, KMN_E_MALFORMED },
		{ { { "from", "9007199254740992" } },      1, KMN_E_MALFORMED },
		{ { { "count", "4294967296" } },           1, KMN_E_MALFORMED },
		{ { { "count", "99999999999999999999" } }, 1, KMN_E_MALFORMED },
	};
	/* clang-format on */
	size_t len;

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		kmn_err e =
		    read_fields("GET", KMN_API_PREFIX "ledger/records", "", cases[i].args, cases[i].count, &len);

		if (e != cases[i].want)
			printf("# case %zu: %s\n", i, kmn_err_name(e));
		CU_ASSERT_EQUAL(e, cases[i].want);
		CU_ASSERT_TRUE(e != KMN_OK || len == 12);
	}
}

static void
test_statuses(void)
{
	char *text;

	for (int e = 0; e < KMN_ERR_COUNT; e++) {
		CU_ASSERT_NOT_EQUAL(kmn_api_status((kmn_err)e), 500);
		CU_ASSERT_EQUAL(kmn_api_status((kmn_err)e) == 200, e == KMN_OK);
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(text = kmn_api_error(KMN_E_DENIED, "a \"b\"\n"));
	CU_ASSERT_STRING_EQUAL(text, "{\"error\":{\"code\":\"KMN_E_DENIED\",\"reason\":\"a \\\"b\\\"?\"}}");
	free(text);
}

static CU_TestInfo api_tests[] = {
    {"the table and docs/console-api.json say the same, both ways", test_documented},
    {"each question of the link has an address; what changes something is no GET", test_questions},
    {"a thing has one address", test_paths},
    {"a body has the members of its question, and no others", test_bodies},
    {"so does a query", test_queries},
    {"no error is a 500", test_statuses},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	static CU_SuiteInfo suites[] = {
	    {"console/api", NULL, NULL, NULL, NULL, api_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
