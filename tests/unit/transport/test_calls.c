#include "tests/unit/run.h"
#include "tests/unit/transport/callkit.h"

#include <CUnit/CUnit.h>
#include <stddef.h>
#include <string.h>

/* Where the rows stand in the function lists: after the version, one pointer each. */
/* clang-format off */
#define AT_0x0228(symbol) {#symbol, offsetof(CK_FUNCTION_LIST, symbol)},
#define AT_0x0300(symbol) {#symbol, offsetof(CK_FUNCTION_LIST_3_0, symbol)},
#define AT_0x0302(symbol) {#symbol, offsetof(CK_FUNCTION_LIST_3_2, symbol)},
static const struct {
	const char *name;
	size_t at;
} list[] = {
#define KMN_CALL(symbol, since, ...) AT_##since(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};
/* clang-format on */

static void
test_order_is_the_lists(void)
{
	size_t first = offsetof(CK_FUNCTION_LIST, C_Initialize);

	CU_ASSERT_EQUAL(KMN_COUNT_OF(list), 104);
	CU_ASSERT_EQUAL(sizeof(CK_FUNCTION_LIST), first + 68 * sizeof(CK_C_Initialize));
	CU_ASSERT_EQUAL(sizeof(CK_FUNCTION_LIST_3_0), first + 92 * sizeof(CK_C_Initialize));
	CU_ASSERT_EQUAL(sizeof(CK_FUNCTION_LIST_3_2), first + 104 * sizeof(CK_C_Initialize));
	for (size_t i = 0; i < KMN_COUNT_OF(list); i++) {
		CU_ASSERT_EQUAL(list[i].at, first + i * sizeof(CK_C_Initialize));
		CU_ASSERT_PTR_EQUAL(kmn_call_by_name(list[i].name), kmn_call_row((uint32_t)i));
	}
}

static void
test_rows_are_complete(void)
{
	unsigned local = 0;

	for (uint32_t id = 0; id < KMN_CALL_COUNT; id++) {
		const struct kmn_call *call = kmn_call_row(id);
		bool is_local = call->policy == KMN_POLICY_LOCAL;

		local += is_local;
		CU_ASSERT_EQUAL(kmn_call_id_of(call), id);
		CU_ASSERT_TRUE(call->param_count >= 1 && call->param_count <= KMN_CALL_ARGS_MAX);
		CU_ASSERT_EQUAL(call->durability == KMN_DURABILITY_NONE, is_local);
		CU_ASSERT_EQUAL(call->effect == KMN_EFFECT_NONE, call->operations == KMN_OP_NONE);
		CU_ASSERT_EQUAL(call->since, id < 68 ? 0x0228 : id < 92 ? 0x0300 : 0x0302);
		if (call->hold == KMN_HOLD_MAY)
			CU_ASSERT_TRUE(call->policy == KMN_POLICY_KEY_USE || call->durability == KMN_DURABILITY_A ||
				       call->policy == KMN_POLICY_LOGIN);
	}
	CU_ASSERT_EQUAL(local, 8);
	CU_ASSERT_PTR_NULL(kmn_call_row(KMN_CALL_COUNT));
	CU_ASSERT_PTR_NULL(kmn_call_by_name("C_Nonsense"));
}

static void
test_pins_are_never_shown(void)
{
	for (uint32_t id = 0; id < KMN_CALL_COUNT; id++) {
		const struct kmn_call *call = kmn_call_row(id);

		for (size_t i = 0; i < call->param_count; i++)
			if (call->param[i].kind == KMN_KIND_PIN || strstr(call->param[i].name, "Pin") != NULL)
				CU_ASSERT_EQUAL(call->param[i].show, KMN_SHOW_NOTHING);
	}
}

static void
test_policy_words(void)
{
	enum kmn_policy_class c;

	for (unsigned i = 0; i < KMN_POLICY_CLASS_COUNT; i++) {
		CU_ASSERT_TRUE(kmn_policy_class_of(kmn_policy_class_word((enum kmn_policy_class)i), &c));
		CU_ASSERT_EQUAL(c, i);
	}
	CU_ASSERT_FALSE(kmn_policy_class_of("everything", &c));
	CU_ASSERT_EQUAL(kmn_call_by_name("C_Sign")->policy, KMN_POLICY_KEY_USE);
	CU_ASSERT_EQUAL(kmn_call_by_name("C_Digest")->policy, KMN_POLICY_QUERY);
	CU_ASSERT_EQUAL(kmn_call_by_name("C_SetOperationState")->policy, KMN_POLICY_KEY_USE);
	CU_ASSERT_EQUAL(kmn_call_by_name("C_WrapKey")->policy, KMN_POLICY_KEY_MANAGEMENT);
}

static void
test_every_row_has_a_thunk(void)
{
	static struct kit k;
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	struct kmn_arena *arena = kmn_arena_new(KMN_ARENA_BYTES);

	for (uint32_t id = 0; id < KMN_CALL_COUNT; id++) {
		const struct kmn_call *call = kmn_call_row(id);
		struct kmn_call_view v;
		struct kmn_writer request, response;
		CK_RV rv;

		if (call->policy == KMN_POLICY_LOCAL)
			continue;
		kit_begin(&k, id + 1);
		kit_args(&k, call, arg);
		kit_module_kit = &k;
		kmn_writer_init(&request, KMN_DATA_MAX_BYTES);
		kmn_writer_init(&response, KMN_DATA_MAX_BYTES);
		CU_ASSERT_EQUAL(kmn_request_encode((enum kmn_call_id)id, arg, call->param_count, &request), KMN_OK);
		CU_ASSERT_EQUAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
		CU_ASSERT_EQUAL(kmn_invoke(&v, &kit_module, &kit_handles, arena, NULL, &response, &rv), KMN_OK);
		CU_ASSERT_EQUAL(k.calls, 1);
		CU_ASSERT_EQUAL(k.id, id);
		kmn_writer_clear(&request);
		kmn_writer_clear(&response);
		kmn_arena_reset(arena);
	}
	kmn_arena_free(arena);
}

static void
test_attributes_are_in_order(void)
{
	const struct kmn_attribute *before = NULL, *row;
	size_t ulongs = 0;

	for (size_t i = 0; (row = kmn_attribute_at(i)) != NULL; before = row, i++) {
		CU_ASSERT_TRUE(before == NULL || before->type < row->type);
		CU_ASSERT_PTR_EQUAL(kmn_attribute_row(row->type), row);
		CU_ASSERT_STRING_EQUAL(kmn_attribute_name(row->type), row->name);
		ulongs += kmn_attribute_shape(row->type) == KMN_SHAPE_ULONG;
	}
	CU_ASSERT_EQUAL(ulongs, 50);
	CU_ASSERT_FALSE(kmn_attribute_row(CKA_VALUE)->public);
	CU_ASSERT_FALSE(kmn_attribute_row(CKA_PRIVATE_EXPONENT)->public);
	CU_ASSERT_EQUAL(kmn_attribute_row(CKA_ALLOWED_MECHANISMS)->kind, KMN_ATTRIBUTE_MECHS);
	CU_ASSERT_EQUAL(kmn_attribute_shape(CKA_ALLOWED_MECHANISMS), KMN_SHAPE_ULONGS);
	CU_ASSERT_EQUAL(kmn_attribute_shape(CKA_ENCAPSULATE_TEMPLATE), KMN_SHAPE_TEMPLATE);
	CU_ASSERT_EQUAL(kmn_attribute_shape(CKA_DECAPSULATE_TEMPLATE), KMN_SHAPE_TEMPLATE);
	CU_ASSERT_PTR_NULL(kmn_attribute_row(CKA_VENDOR_DEFINED | 1));
}

static void
test_mechanisms_are_in_order(void)
{
	const struct kmn_mechanism *before = NULL, *row;
	uint64_t type;

	for (size_t i = 0; (row = kmn_mechanism_at(i)) != NULL; before = row, i++) {
		CU_ASSERT_TRUE(before == NULL || before->type < row->type);
		CU_ASSERT_PTR_EQUAL(kmn_mechanism_row(row->type), row);
		CU_ASSERT_TRUE(kmn_mechanism_of(row->name, &type));
		CU_ASSERT_EQUAL(type, row->type);
		CU_ASSERT_EQUAL(row->layout[0] != NULL, row->takes == KMN_TAKES_STRUCT);
	}
	CU_ASSERT_TRUE(kmn_mechanism_of("CKM_ECDSA_KEY_PAIR_GEN", &type));
	CU_ASSERT_EQUAL(type, CKM_EC_KEY_PAIR_GEN);
	CU_ASSERT_FALSE(kmn_mechanism_of("CKM_NONSENSE", &type));
	CU_ASSERT_STRING_EQUAL(kmn_rv_name(CKR_FUNCTION_REJECTED), "CKR_FUNCTION_REJECTED");
	CU_ASSERT_PTR_NULL(kmn_rv_name(CKR_VENDOR_DEFINED | 3));
}

/* Fields lie inside their structure, after the lengths they need, and no deeper than a cursor goes. */
static unsigned
check_layout(const struct kmn_layout *layout, unsigned depth, size_t *outs)
{
	unsigned deepest = depth;

	CU_ASSERT_TRUE(layout->field_count >= 1 && layout->field_count <= 16);
	for (size_t i = 0; i < layout->field_count; i++) {
		const struct kmn_field *f = &layout->fields[i];

		CU_ASSERT_TRUE(f->at < layout->size);
		*outs += f->way != KMN_WAY_IN;
		if (f->kind == KMN_FIELD_BYTES && f->unit == KMN_UNIT_FIELD) {
			bool before = false;

			for (size_t j = 0; j < i; j++)
				before = before || layout->fields[j].at == f->len_at;
			CU_ASSERT_TRUE(before);
		}
		if (f->inner != NULL) {
			unsigned inner = check_layout(f->inner, depth + 1, outs);

			deepest = inner > deepest ? inner : deepest;
		}
	}
	return deepest;
}

static void
test_layouts(void)
{
	static const struct {
		const char *name;
		size_t size;
	} sizes[] = {{"CK_RSA_PKCS_PSS_PARAMS", 24}, {"CK_RSA_PKCS_OAEP_PARAMS", 40}, {"CK_GCM_PARAMS", 48},
	    {"CK_PKCS5_PBKD2_PARAMS", 72}, {"CK_PKCS5_PBKD2_PARAMS2", 72}, {"CK_SSL3_KEY_MAT_PARAMS", 72},
	    {"CK_ECDH1_DERIVE_PARAMS", 40}, {"CK_TLS_KDF_PARAMS", 72}, {"CK_AES_CBC_ENCRYPT_DATA_PARAMS", 32}};
	const struct kmn_layout *layout;
	size_t outs;

	for (unsigned id = 0; (layout = kmn_layout_of((uint8_t)id)) != NULL; id++) {
		outs = 0;
		CU_ASSERT_EQUAL(layout->id, id);
		CU_ASSERT_TRUE(check_layout(layout, 1, &outs) <= KMN_PARAM_MAX_DEPTH);
		CU_ASSERT_TRUE(outs <= 16);
		for (size_t i = 0; sizeof(CK_ULONG) == 8 && i < KMN_COUNT_OF(sizes); i++)
			if (strcmp(layout->name, sizes[i].name) == 0)
				CU_ASSERT_EQUAL(layout->size, sizes[i].size);
	}
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"the order of the rows is that of the function lists", test_order_is_the_lists},
	    {"every row says policy, durability, effect and arguments", test_rows_are_complete},
	    {"PINs are never shown", test_pins_are_never_shown},
	    {"policy classes have words", test_policy_words},
	    {"every row has a thunk that calls its own function", test_every_row_has_a_thunk},
	    {"attributes are found, and secrets are not public", test_attributes_are_in_order},
	    {"mechanisms are found by number and by name", test_mechanisms_are_in_order},
	    {"layouts fit their structures", test_layouts},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"transport/calls", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
