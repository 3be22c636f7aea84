/* What the console's pages show of operations, keys, tokens and persons: what the ledger and the policy say. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/bundle.h"
#include "tests/unit/keeper/desk.h"
#include "tests/unit/run.h"

#define RULES \
	"rule once\n  client ca\n  object pkcs11:token=mock-1;object=refused\n  calls key-use\n  need deny\n" \
	"rule quick\n  client ca\n  object pkcs11:token=mock-1;object=quick\n  calls key-use\n  mechanisms any\n  " \
	"need " \
	"none\n  class B\n" \
	"rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n  need " \
	"none\n"

static json_t *
find(struct desk *desk, struct rig_asked *asked, uint64_t before, uint32_t count, const char *key, const char *result)
{
	struct kmn_writer w = desk_u64(before);

	kmn_writer_u32(&w, count);
	kmn_writer_text(&w, "");
	kmn_writer_text(&w, "");
	kmn_writer_text(&w, key);
	kmn_writer_text(&w, result);
	kmn_writer_u64(&w, 0);
	kmn_writer_u64(&w, 0);
	return desk_ask(desk, asked, KMN_UI_FIND, &w, NULL);
}

static size_t
found(struct desk *desk, struct rig_asked *asked, const char *key, const char *result)
{
	json_t *value = find(desk, asked, 0, 100, key, result);
	size_t n = json_array_size(json_object_get(value, "operations"));

	json_decref(value);
	return n;
}

static void
sign(struct desk *desk, struct rig_app *app, CK_OBJECT_HANDLE key, unsigned times)
{
	uint8_t signature[512];

	for (unsigned i = 0; i < times; i++) {
		CK_ULONG len = sizeof(signature);

		if (rig_sign_init(&desk->rig, app, key) == CKR_OK)
			(void)rig_sign(&desk->rig, app, "data", signature, &len);
	}
}

/* Pages of one by one are all of them, each once, newest first. */
static void
check_pages(struct desk *desk, struct rig_asked *asked, size_t wanted)
{
	uint64_t before = 0, last = UINT64_MAX;
	size_t n = 0;

	do {
		json_t *value = find(desk, asked, before, 1, "", "");
		const json_t *one = json_array_get(json_object_get(value, "operations"), 0);

		if (one != NULL) {
			CU_ASSERT_TRUE(desk_number(one, "record") < last);
			last = desk_number(one, "record");
			n++;
		}
		before = desk_number(value, "next");
		json_decref(value);
	} while (before != 0);
	CU_ASSERT_EQUAL(n, wanted);
}

static void
test_find(void)
{
	struct rig_asked sato = {.text = NULL};
	CK_OBJECT_HANDLE key, refused, quick;
	struct rig_app app = {.conn = 0};
	struct desk desk;
	json_t *value;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	rig_attach(&desk.rig, &app, 1, &desk.rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk.rig, &app, "good", &key), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk.rig, &app, "refused", &refused), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk.rig, &app, "quick", &quick), CKR_OK);
	sign(&desk, &app, key, 3);
	sign(&desk, &app, quick, 2);
	sign(&desk, &app, refused, 1);
	CU_ASSERT_EQUAL(found(&desk, &sato, "good", "ok"), 4);
	CU_ASSERT_EQUAL(found(&desk, &sato, "quick", "ok"), 3);
	CU_ASSERT_EQUAL(found(&desk, &sato, "refused", "refused"), 1);
	CU_ASSERT_EQUAL(found(&desk, &sato, "", "CKR_OK"), 8);
	CU_ASSERT_EQUAL(found(&desk, &sato, "no such", ""), 0);
	check_pages(&desk, &sato, 9);
	value = find(&desk, &sato, 0, 1, "quick", "");
	CU_ASSERT_STRING_EQUAL(desk_text(json_array_get(json_object_get(value, "operations"), 0), "client"), "ca");
	json_decref(value);
	free(sato.text);
	desk_end(&desk);
}

static const json_t *
named(const json_t *list, const char *member, const char *text)
{
	const json_t *one;
	size_t n;

	json_array_foreach(list, n, one) if (strcmp(desk_text(one, member), text) == 0) return one;
	return NULL;
}

/* As soon as the view has come to the end of the ledger. */
static json_t *
complete(struct desk *desk, struct rig_asked *asked, uint8_t op)
{
	struct kmn_writer w = desk_u64(0);
	json_t *value = desk_ask(desk, asked, op, op == KMN_UI_KEYS ? &w : NULL, NULL);

	for (unsigned n = 0; n < 200 && !json_is_true(json_object_get(value, "complete")); n++) {
		json_decref(value);
		rig_pump(&desk->rig, 10);
		w = desk_u64(0);
		value = desk_ask(desk, asked, op, op == KMN_UI_KEYS ? &w : NULL, NULL);
	}
	CU_ASSERT_TRUE(json_is_true(json_object_get(value, "complete")));
	return value;
}

static void
test_keys(void)
{
	struct rig_asked sato = {.text = NULL};
	struct rig_app app = {.conn = 0};
	CK_OBJECT_HANDLE key, quick;
	struct desk desk;
	const json_t *one;
	json_t *value;

	desk_start(&desk, RULES);
	rig_attach(&desk.rig, &app, 1, &desk.rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk.rig, &app, "good", &key), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk.rig, &app, "quick", &quick), CKR_OK);
	sign(&desk, &app, key, 3);
	sign(&desk, &app, quick, 2);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	value = complete(&desk, &sato, KMN_UI_KEYS);
	one = named(json_object_get(value, "keys"), "label", "good");
	CU_ASSERT_EQUAL(desk_number(one, "uses"), 3);
	CU_ASSERT_STRING_EQUAL(desk_text(one, "type"), "RSA 2048");
	CU_ASSERT_STRING_EQUAL(desk_text(one, "token_line"), "mock-1");
	CU_ASSERT_NOT_EQUAL(desk_number(one, "made_by"), 0);
	CU_ASSERT_EQUAL(desk_number(named(json_object_get(value, "keys"), "label", "quick"), "uses"), 2);
	json_decref(value);
	value = desk_ask(&desk, &sato, KMN_UI_TOKENS, NULL, NULL);
	one = named(json_object_get(value, "tokens"), "name", "mock-1");
	CU_ASSERT_FALSE(json_is_true(json_object_get(one, "pinned")));
	CU_ASSERT_TRUE(json_is_true(json_object_get(one, "fits")));
	CU_ASSERT_TRUE(json_is_false(json_object_get(one, "sealed_pin")));
	json_decref(value);
	value = complete(&desk, &sato, KMN_UI_CUSTODIANS);
	one = named(json_object_get(value, "persons"), "name", "tanaka");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(one, "keys")), 2);
	CU_ASSERT_TRUE(json_is_true(json_object_get(one, "operator")));
	CU_ASSERT_EQUAL(json_array_size(json_object_get(one, "groups")), 1);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(one, "roles")), 2);
	json_decref(value);
	value = complete(&desk, &sato, KMN_UI_HEALTH);
	one = json_object_get(json_object_get(value, "clients"), "ca");
	CU_ASSERT_EQUAL(desk_number(one, "opened"), 1);
	CU_ASSERT_PTR_NOT_NULL(json_object_get(one, "tls"));
	json_decref(value);
	free(sato.text);
	desk_end(&desk);
}

/* What a bundle is worth, `kanmon audit bundle verify` says (tests/unit/tools/test_bundle.sh): here, what is in it. */
static void
check_bundle(struct desk *desk, struct rig_asked *asked, uint64_t of, uint64_t record, size_t least)
{
	struct kmn_writer w = desk_u64(of);
	json_t *value = desk_ask(desk, asked, KMN_UI_BUNDLE, &w, NULL);
	const char *text = desk_text(value, "bundle");
	struct kmn_bundle *bundle = NULL;
	struct kmn_why why = {""};

	CU_ASSERT_EQUAL(desk_number(value, "record"), record);
	CU_ASSERT_EQUAL_FATAL(kmn_bundle_parse(text, strlen(text), &bundle, &why), KMN_OK);
	CU_ASSERT_EQUAL(bundle->request, record);
	CU_ASSERT_TRUE(bundle->records >= least);
	CU_ASSERT_PTR_NOT_NULL(kmn_bundle_record(bundle, 0));
	CU_ASSERT_PTR_NOT_NULL(kmn_bundle_record(bundle, record));
	kmn_bundle_free(bundle);
	json_decref(value);
}

static void
test_bundles(void)
{
	struct rig_asked sato = {.text = NULL};
	struct rig_app app = {.conn = 0};
	CK_OBJECT_HANDLE key, quick;
	struct kmn_writer w;
	struct desk desk;
	const json_t *one;
	uint32_t error;
	json_t *value;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	rig_attach(&desk.rig, &app, 1, &desk.rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&desk.rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk.rig, &app, "good", &key), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&desk.rig, &app, "quick", &quick), CKR_OK);
	sign(&desk, &app, key, 1);
	sign(&desk, &app, quick, 1);
	value = find(&desk, &sato, 0, 2, "", "");
	one = json_array_get(json_object_get(value, "operations"), 0);
	CU_ASSERT_STRING_EQUAL(desk_text(one, "class"), "B");
	check_bundle(&desk, &sato, desk_number(one, "record"), desk_number(one, "record"), 2);
	one = json_array_get(json_object_get(value, "operations"), 1);
	CU_ASSERT_STRING_EQUAL(desk_text(one, "class"), "A");
	check_bundle(&desk, &sato, desk_number(one, "record"), desk_number(one, "request"), 4);
	json_decref(value);
	w = desk_u64(1); /* gateway.start */
	CU_ASSERT_PTR_NULL(desk_ask(&desk, &sato, KMN_UI_BUNDLE, &w, &error));
	CU_ASSERT_EQUAL(error, KMN_E_NOT_FOUND);
	free(sato.text);
	desk_end(&desk);
}

static json_t *
words(struct desk *desk, struct rig_asked *asked, uint8_t what, const char *draft)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 1 << 20);
	kmn_writer_u8(&w, what);
	kmn_writer_u64(&w, 1);
	kmn_writer_u64(&w, 1);
	kmn_writer_text(&w, draft);
	return desk_ask(desk, asked, KMN_UI_POLICY_WORDS, &w, NULL);
}

static void
test_words(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;
	json_t *value;

	desk_start(&desk, RULES);
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	value = words(&desk, &sato, 1, "");
	CU_ASSERT_TRUE(json_array_size(json_object_get(value, "lines")) > 0);
	json_decref(value);
	value = words(&desk, &sato, 2, "");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(value, "changes")), 0);
	json_decref(value);
	value = words(&desk, &sato, 3, "no policy");
	CU_ASSERT_TRUE(json_is_false(json_object_get(value, "ok")));
	CU_ASSERT_EQUAL(desk_number(json_object_get(value, "error"), "line"), 1);
	json_decref(value);
	free(sato.text);
	desk_end(&desk);
}

static void
test_events(void)
{
	struct rig_asked sato = {.text = NULL};
	struct desk desk;
	unsigned before;

	desk_start(&desk, RULES);
	before = desk.rig.events;
	CU_ASSERT_EQUAL(desk_sign_in(&desk, &sato, &desk.sato), KMN_OK);
	for (unsigned n = 0; n < 300 && desk.rig.events == before; n++)
		rig_pump(&desk.rig, 10);
	CU_ASSERT_PTR_NOT_NULL(strstr(desk.rig.event, "\"event\":\"head\""));
	CU_ASSERT_TRUE(desk.rig.events - before <= 4);
	free(sato.text);
	desk_end(&desk);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"operations are found by filters, newest first, page by page", test_find},
	    {"keys with their uses, tokens, persons and clients are what ledger and policy say", test_keys},
	    {"each operation has its bundle, whether anybody had to be asked or not", test_bundles},
	    {"a policy in words: what is hardly meant, what changes, what is none", test_words},
	    {"a new head is told, and not for each record", test_events},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/console_things", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
