#define _GNU_SOURCE /* open_memstream */
#include "tests/unit/run.h"
#include "tests/unit/transport/callkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/types.h"
#include "transport/codec_parts.h"

static struct kit kit;
static struct kmn_arena *arena;
static struct kmn_writer request, response;

/* ---- descriptions -------------------------------------------------------------------------------------------- */

static kmn_err
parse(const char *text, const struct kmn_abi *abi, char *why, struct kmn_types **types)
{
	return kmn_types_parse("t", text, strlen(text), abi, why, types);
}

static const struct kmn_field *
field_at(const struct kmn_layout *layout, uint16_t at)
{
	for (size_t i = 0; i < layout->field_count; i++)
		if (layout->fields[i].at == at)
			return &layout->fields[i];
	return NULL;
}

static bool
same_field(const struct kmn_field *a, const struct kmn_field *b)
{
	bool same = b != NULL && strcmp(a->name, b->name) == 0 && a->kind == b->kind && a->way == b->way &&
		    a->unit == b->unit && a->len_at == b->len_at && a->by_at == b->by_at && a->size == b->size &&
		    a->guarded == b->guarded && a->inner == b->inner && a->choice_count == b->choice_count;

	for (size_t i = 0; same && i < a->choice_count; i++)
		same = a->choices[i].value == b->choices[i].value && a->choices[i].kind == b->choices[i].kind &&
		       a->choices[i].inner == b->choices[i].inner;
	/* What is only given back is never shown. */
	return same &&
	       (a->kind != KMN_FIELD_BYTES || a->way == KMN_WAY_OUT || (a->shown == NULL) == (b->shown == NULL));
}

static void
test_layouts_are_their_descriptions(void)
{
	char text[KMN_DESCRIPTOR_MAX_BYTES], line[KMN_DESCRIPTOR_MAX_BYTES + 32], why[KMN_TYPES_WHY_BYTES];
	const struct kmn_layout *layout, *again;
	struct kmn_types *types;
	unsigned compared = 0;

	for (uint8_t id = 0; (layout = kmn_layout_of(id)) != NULL; id++) {
		CU_ASSERT_TRUE(kmn_layout_describe(layout, text, sizeof(text)) > 0);
		if (strchr(text, '^') != NULL) /* a length around it: of the standard only */
			continue;
		snprintf(line, sizeof(line), "struct AGAIN %s\n", text);
		if (parse(line, &kmn_abi_own, why, &types) != KMN_OK)
			printf("# %s: %s\n", layout->name, why);
		CU_ASSERT_PTR_NOT_NULL_FATAL(types);
		again = kmn_types_layout(types, "AGAIN");
		CU_ASSERT_TRUE(again->size == layout->size && again->field_count == layout->field_count);
		for (size_t i = 0; i < layout->field_count; i++)
			if (!same_field(&layout->fields[i], field_at(again, layout->fields[i].at))) {
				printf("# %s: %s\n", layout->name, layout->fields[i].name);
				CU_FAIL("a field is not what its description says");
			}
		kmn_types_free(types);
		compared++;
	}
	CU_ASSERT_TRUE(compared > 70);
}

static void
test_sizes_of_other_compilers(void)
{
	static const struct {
		const char *text;
		size_t lp64, ilp32, win64, win64_packed;
	} cases[] = {
	    {"pIv:*x!(ulIvLen) ulIvLen:n ulIvBits:u pAAD:*d(ulAADLen) ulAADLen:n ulTagBits:u", 48, 24, 32, 32},
	    {"kdf:u l1:n p1:*d(l1) l2:n p2:*d(l2)", 40, 20, 32, 28},
	    {"ph:b l:n p:*d(l)", 24, 12, 16, 13},
	    {"iv:b[16] p:*d(l) l:n", 32, 24, 32, 28},
	};
	static const struct kmn_abi abis[] = {{8, 8, false}, {4, 4, false}, {4, 8, false}, {4, 8, true}};
	char line[256], why[KMN_TYPES_WHY_BYTES];
	struct kmn_types *types;

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		const size_t want[] = {cases[i].lp64, cases[i].ilp32, cases[i].win64, cases[i].win64_packed};

		snprintf(line, sizeof(line), "struct S %s", cases[i].text);
		for (size_t j = 0; j < KMN_COUNT_OF(abis); j++) {
			CU_ASSERT_EQUAL_FATAL(parse(line, &abis[j], why, &types), KMN_OK);
			CU_ASSERT_EQUAL(kmn_types_layout(types, "S")->size, want[j]);
			kmn_types_free(types);
		}
	}
}

static void
test_errors_name_the_line(void)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
	    {"\n\nnonsense 1 2", "t:3: a line begins with attribute, struct or mechanism, not with \"nonsense\""},
	    {"attribute 0x80000001 CKA_X what", "t:1: there is no kind \"what\""},
	    {"attribute 3 CKA_X ulong", "t:1: 0x3 is CKA_LABEL already"},
	    {"attribute 0x80000001 X ulong", "t:1: \"X\" is not a name that begins with CKA_"},
	    {"attribute x CKA_X ulong", "t:1: \"x\" is not a number of 32 bits"},
	    {"attribute 0x80000001 CKA_X ulong\nattribute 0x80000001 CKA_Y bool", "t:2: 0x80000001 is there twice"},
	    {"mechanism 0x1087 CKM_X bytes", "t:1: 0x1087 is CKM_AES_GCM already"},
	    {"mechanism 0x80000001 CKM_X NO_SUCH", "t:1: there is no structure NO_SUCH"},
	    {"mechanism 0x80000001 CKM_X", "t:1: mechanism NUMBER NAME and what it is are needed"},
	    {"mechanism 0x80000001 CKM_X message CK_GCM_MESSAGE_PARAMS",
		"t:1: CKM_X: the line without \"message\" comes first"},
	    {"mechanism 0x80000001 CKM_X a:u\nmechanism 0x80000001 CKM_X b:u",
		"t:2: CKM_X has such a parameter already, or one of the same size"},
	    {"struct S a:*d(b)", "t:1: a: there is no member b"},
	    {"struct S a:*d(b) b:n c:*d(b)", "t:1: c: b is the length of another pointer too: make it a u"},
	    {"struct S a:*d(*b) b:n", "t:1: a: a length behind a pointer is *n, and named *b"},
	    {"struct S a:u b:n", "t:1: b is the length of nothing: make it a u"},
	    {"struct S a:u a:u", "t:1: a is there twice"},
	    {"struct S a:q", "t:1: a: there is no type q"},
	    {"struct S a:uu", "t:1: a: \"u\" is too much"},
	    {"struct S a:b[0]", "t:1: a: no bytes at all"},
	    {"struct CK_GCM_PARAMS a:u", "t:1: there is a structure CK_GCM_PARAMS already"},
	    {"struct S t:u v:*?(t,l:1=d,1=u) l:n", "t:1: v: 1 is chosen twice"},
	    {"struct A a:u\nstruct B a:*S(A)\nstruct C a:*S(B)\nstruct D a:*S(C)\nstruct E a:*S(D)\nstruct F a:*S(E)",
		"t:6: F: structures inside structures, 6 deep"},
	};
	char why[KMN_TYPES_WHY_BYTES];
	struct kmn_types *types;

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		CU_ASSERT_EQUAL(parse(cases[i].text, &kmn_abi_own, why, &types), KMN_E_CONFIG);
		CU_ASSERT_STRING_EQUAL(why, cases[i].why);
		CU_ASSERT_PTR_NULL(types);
	}
	CU_ASSERT_EQUAL(kmn_types_load("/nonexistent/types", why, &types), KMN_E_CONFIG);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "/nonexistent/types: "));
}

static void
test_the_example_of_nss(void)
{
	static const struct {
		const char *name;
		size_t words; /* of a machine whose longs and pointers are alike */
	} sizes[] = {{"CK_NSS_HKDF_PARAMS", 6}, {"CK_NSS_AEAD_PARAMS", 5}, {"CK_NSS_MAC_CONSTANT_TIME_PARAMS", 4}};
	char why[KMN_TYPES_WHY_BYTES];
	struct kmn_types *types;

	CU_ASSERT_EQUAL(kmn_types_load(SRCDIR "/docs/examples/nss.types", why, &types), KMN_OK);
	CU_ASSERT_STRING_EQUAL(why, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(types);
	for (size_t i = 0; i < KMN_COUNT_OF(sizes); i++)
		CU_ASSERT_EQUAL(kmn_types_layout(types, sizes[i].name)->size, sizes[i].words * sizeof(CK_ULONG));
	kmn_types_free(types);
}

/* ---- vendors' mechanisms ------------------------------------------------------------------------------------- */

static const char vendor_text[] =
    "# what a vendor could have\n"
    "attribute 0x80000010 CKA_ACME_LIMIT ulong public\n"
    "attribute 0x80000011 CKA_ACME_LIST ulongs\n"
    "attribute 0x80000012 CKA_ACME_TEMPLATE template\n"
    "struct ACME_RANGE first:u last:u\n"
    "struct ACME_PART kind:u value:*?(kind,len:1=d,2=u,3=h,4=S(ACME_RANGE)) len:n\n"
    "mechanism 0x80000020 CKM_ACME_FLAT bytes\n"
    "mechanism 0x80000021 CKM_ACME_NONE nothing\n"
    "mechanism 0x80000022 CKM_ACME_GCM CK_GCM_PARAMS\n"
    "mechanism 0x80000022 CKM_ACME_GCM message CK_GCM_MESSAGE_PARAMS\n"
    "mechanism 0x80000022 CKM_ACME_GCM authenticated CK_GCM_WRAP_PARAMS\n"
    "mechanism 0x80000023 CKM_ACME_ALL hash:m mgf:g key:h flag:b iv:b[7] seedLen:n seed:*d(seedLen) "
    "pinLen:n pin:*d-(pinLen) outLen:*n out:*o(*outLen) iv2:*x!(iv2Len) iv2Len:n bits:u tag:*x(bits/8)\n"
    "mechanism 0x80000024 CKM_ACME_DEEP parts:*S(ACME_PART)[count] count:n range:S(ACME_RANGE) more:*S(ACME_RANGE) "
    "made:>h other:*>h oid:*z inner:*M rows:*t(rowCount) rowCount:n\n"
    "mechanism 0x80000025 CKM_ACME_EITHER a:u\n"
    "mechanism 0x80000025 CKM_ACME_EITHER a:u b:u\n";

static struct kmn_types *
use(const char *text)
{
	char why[KMN_TYPES_WHY_BYTES];
	struct kmn_types *types;

	if (parse(text, &kmn_abi_own, why, &types) != KMN_OK)
		printf("# %s\n", why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(types);
	CU_ASSERT_TRUE_FATAL(kmn_types_use(types));
	return types;
}

static void
fresh_messages(void)
{
	kmn_writer_clear(&request);
	kmn_writer_clear(&response);
	kmn_writer_init(&request, 2u << 20);
	kmn_writer_init(&response, 2u << 20);
}

/* A C_DeriveKey of a described mechanism, directly and remotely. */
static bool
same_both_ways(const struct kmn_mechanism *row, uint64_t seed)
{
	static struct kit direct;
	struct kmn_call_view v;
	CK_ULONG key = 5;
	CK_RV rv = CKR_GENERAL_ERROR;

	kit_module_kit = &kit;
	fresh_messages();
	for (int pass = 0; pass < 2; pass++) {
		struct kmn_arg arg[5] = {{.u = 1}, {.p = NULL}, {.u = 7}, {.p = NULL, .u = 0}, {.p = &key}};
		CK_MECHANISM *m;

		kit_begin(&kit, seed);
		arg[1].p = m = kit_take(&kit, sizeof(*m));
		kit_mechanism(&kit, row, m);
		if (pass == 0) {
			kit_answer(KMN_C_DeriveKey, arg, 5);
			memcpy(&direct, &kit, sizeof(kit));
		} else if (kmn_request_encode(KMN_C_DeriveKey, arg, 5, &request) != KMN_OK ||
			   kmn_call_view_decode(request.bytes, request.len, &v) != KMN_OK ||
			   kmn_invoke(&v, &kit_module, &kit_handles, arena, NULL, &response, &rv) != KMN_OK ||
			   kmn_response_decode(KMN_C_DeriveKey, arg, 5, response.bytes, response.len, &rv) != KMN_OK) {
			return false;
		}
	}
	kmn_arena_reset(arena);
	return kit.inputs == direct.inputs && memcmp(kit.block, direct.block, sizeof(kit.block)) == 0;
}

static void
test_described_mechanisms_cross(void)
{
	struct kmn_types *types = use(vendor_text);
	const struct kmn_mechanism *row;
	unsigned wrong = 0;

	for (size_t i = 0; (row = kmn_types_mechanism(types, i)) != NULL; i++)
		for (uint64_t seed = 1; seed <= 200; seed++)
			wrong += !same_both_ways(row, seed * 31 + i);
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_STRING_EQUAL(kmn_mechanism_name(0x80000023), "CKM_ACME_ALL");
	CU_ASSERT_STRING_EQUAL(kmn_attribute_name(0x80000010), "CKA_ACME_LIMIT");
	CU_ASSERT_EQUAL(kmn_attribute_shape(0x80000012), KMN_SHAPE_TEMPLATE);
	kmn_types_drop(types);
	kmn_types_free(types);
	CU_ASSERT_PTR_NULL(kmn_mechanism_name(0x80000023));
}

/* A C_SignInit with that parameter, described by `client`, looked at by an end that uses `gateway`. */
static struct kmn_call_view
seen_by(const char *client, const char *gateway, CK_MECHANISM *m, kmn_err want)
{
	struct kmn_types *types = client != NULL ? use(client) : NULL;
	struct kmn_arg init[] = {{.u = 9}, {.p = m}, {.u = 3}};
	struct kmn_call_view v;
	CK_RV rv = CKR_OK;

	fresh_messages();
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(KMN_C_SignInit, init, 3, &request), KMN_OK);
	kmn_types_drop(types);
	kmn_types_free(types);
	types = gateway != NULL ? use(gateway) : NULL;
	CU_ASSERT_EQUAL(kmn_call_view_decode(request.bytes, request.len, &v), want);
	if (want == KMN_OK && kmn_view_uncarried(&v) != NULL) {
		CU_ASSERT_EQUAL(kmn_invoke(&v, &kit_module, &kit_handles, arena, NULL, &response, &rv), KMN_OK);
		CU_ASSERT_EQUAL(rv, CKR_MECHANISM_PARAM_INVALID);
		kmn_arena_reset(arena);
	}
	kmn_types_drop(types);
	kmn_types_free(types);
	return v;
}

static void
test_ends_that_disagree(void)
{
	static const char one[] = "mechanism 0x80000030 CKM_V a:u n:n p:*d(n)";
	static const char other[] = "mechanism 0x80000030 CKM_V a:h n:n p:*d(n)";
	static const char flat[] = "mechanism 0x80000030 CKM_V bytes";
	struct {
		CK_ULONG a, n;
		void *p;
	} parameter = {1, 4, (void *)(uintptr_t) "four"};
	CK_MECHANISM m = {0x80000030, &parameter, sizeof(parameter)};
	struct kmn_call_view v;

	v = seen_by(one, one, &m, KMN_OK);
	CU_ASSERT_PTR_NULL(kmn_view_uncarried(&v));
	v = seen_by(one, other, &m, KMN_OK);
	CU_ASSERT_TRUE(kmn_view_uncarried(&v) != NULL && kmn_view_uncarried(&v)->disagreed);
	v = seen_by(one, NULL, &m, KMN_OK);
	CU_ASSERT_TRUE(kmn_view_uncarried(&v) != NULL && kmn_view_uncarried(&v)->disagreed);
	v = seen_by(flat, one, &m, KMN_OK);
	CU_ASSERT_TRUE(kmn_view_uncarried(&v) != NULL && kmn_view_uncarried(&v)->disagreed);
}

static void
test_undescribed_pointers_are_refused(void)
{
	uint64_t flat[] = {1, 0xfedcba9876543210, 12345};
	void *pointers[] = {NULL, flat};
	CK_MECHANISM m = {CKM_VENDOR_DEFINED | 77, flat, sizeof(flat)};
	struct kmn_arg init[] = {{.u = 9}, {.p = &m}, {.u = 3}};
	struct kmn_call_view v;
	CK_RV rv = CKR_OK;

	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_SignInit, init, 3, &request), KMN_OK);
	m = (CK_MECHANISM){CKM_VENDOR_DEFINED | 77, pointers, sizeof(pointers)};
	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_SignInit, init, 3, &request), KMN_E_MECHANISM_PARAM);
	/* And then the gateway hears what was asked, and the module does not. */
	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode_unknown(KMN_C_SignInit, init, 3, &request), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(kmn_view_uncarried(&v));
	CU_ASSERT_FALSE(kmn_view_uncarried(&v)->disagreed);
	CU_ASSERT_TRUE(kmn_view_uncarried(&v)->type == m.mechanism && kmn_view_uncarried(&v)->len == sizeof(pointers));
	kit.calls = 0;
	CU_ASSERT_EQUAL(kmn_invoke(&v, &kit_module, &kit_handles, arena, NULL, &response, &rv), KMN_OK);
	CU_ASSERT_TRUE(rv == CKR_MECHANISM_PARAM_INVALID && kit.calls == 0);
	kmn_arena_reset(arena);
}

/* A C_GetAttributeValue asked by an end that uses `client`, of a module whose end uses `gateway`. */
static CK_RV
ask_values(const char *client, const char *gateway, CK_FUNCTION_LIST_3_2 *module, CK_ATTRIBUTE *rows, CK_ULONG n)
{
	struct kmn_types *types = client != NULL ? use(client) : NULL;
	struct kmn_arg arg[] = {{.u = 9}, {.u = 3}, {.p = rows, .u = n}};
	struct kmn_call_view v;
	CK_RV rv = CKR_OK;

	fresh_messages();
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(KMN_C_GetAttributeValue, arg, 3, &request), KMN_OK);
	kmn_types_drop(types);
	kmn_types_free(types);
	types = gateway != NULL ? use(gateway) : NULL;
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_EQUAL(kmn_invoke(&v, module, &kit_handles, arena, NULL, &response, &rv), KMN_OK);
	kmn_arena_reset(arena);
	CU_ASSERT_EQUAL(
	    kmn_response_decode(KMN_C_GetAttributeValue, arg, 3, response.bytes, response.len, &rv), KMN_OK);
	kmn_types_drop(types);
	kmn_types_free(types);
	return rv;
}

/* A template of two attributes, in three calls: how many, how long each, what. */
static CK_RV
give_template(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR rows, CK_ULONG n)
{
	static const CK_ULONG class = CKO_SECRET_KEY;
	CK_ATTRIBUTE *inner = rows[0].pValue;

	(void)session;
	(void)object;
	kit.calls += (unsigned)n;
	rows[0].ulValueLen = 2 * sizeof(*inner);
	if (inner == NULL)
		return CKR_OK;
	inner[0].type = CKA_CLASS;
	inner[1].type = CKA_LABEL;
	if (inner[0].pValue != NULL)
		memcpy(inner[0].pValue, &class, sizeof(class));
	if (inner[1].pValue != NULL)
		memcpy(inner[1].pValue, "kanmon", 6);
	inner[0].ulValueLen = sizeof(class);
	inner[1].ulValueLen = 6;
	return CKR_OK;
}

static void
three_calls(const char *types, CK_ATTRIBUTE_TYPE type)
{
	CK_FUNCTION_LIST_3_2 module = {.C_GetAttributeValue = give_template};
	CK_ATTRIBUTE outer = {type, NULL, 0}, inner[2];
	CK_ULONG class = 0;
	char label[8] = "xxxxxxx";

	CU_ASSERT_EQUAL(ask_values(types, types, &module, &outer, 1), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(outer.ulValueLen, sizeof(inner));
	memset(inner, 0, sizeof(inner));
	outer.pValue = inner;
	CU_ASSERT_EQUAL(ask_values(types, types, &module, &outer, 1), CKR_OK);
	CU_ASSERT_TRUE(inner[0].type == CKA_CLASS && inner[0].ulValueLen == sizeof(class) && inner[0].pValue == NULL);
	CU_ASSERT_TRUE(inner[1].type == CKA_LABEL && inner[1].ulValueLen == 6 && inner[1].pValue == NULL);
	inner[0].pValue = &class;
	inner[1].pValue = label;
	CU_ASSERT_EQUAL(ask_values(types, types, &module, &outer, 1), CKR_OK);
	CU_ASSERT_TRUE(class == CKO_SECRET_KEY && memcmp(label, "kanmonx", 8) == 0 && inner[1].ulValueLen == 6);
}

static void
test_templates_in_three_calls(void)
{
	static const CK_ATTRIBUTE_TYPE types[] = {CKA_WRAP_TEMPLATE, CKA_UNWRAP_TEMPLATE, CKA_DERIVE_TEMPLATE,
	    CKA_ENCAPSULATE_TEMPLATE, CKA_DECAPSULATE_TEMPLATE, KMN_CKA_ENCAPSULATE_TEMPLATE_LATER};

	for (size_t i = 0; i < KMN_COUNT_OF(types); i++)
		three_calls(NULL, types[i]);
	three_calls("attribute 0x80000012 CKA_ACME_TEMPLATE template", 0x80000012);
}

static void
test_attributes_that_disagree(void)
{
	static const char number[] = "attribute 0x80000012 CKA_V ulong",
			  nested[] = "attribute 0x80000012 CKA_V template";
	CK_FUNCTION_LIST_3_2 module = {.C_GetAttributeValue = give_template};
	CK_ATTRIBUTE inner[2] = {{0, NULL, 0}, {0, NULL, 0}};
	CK_ATTRIBUTE row = {0x80000012, inner, sizeof(inner)};

	kit.calls = 0;
	CU_ASSERT_EQUAL(ask_values(nested, number, &module, &row, 1), CKR_ATTRIBUTE_TYPE_INVALID);
	CU_ASSERT_EQUAL(ask_values(nested, NULL, &module, &row, 1), CKR_ATTRIBUTE_TYPE_INVALID);
	CU_ASSERT_EQUAL(ask_values(number, nested, &module, &row, 1), CKR_ATTRIBUTE_TYPE_INVALID);
	CU_ASSERT_EQUAL(ask_values(NULL, nested, &module, &row, 1), CKR_ATTRIBUTE_TYPE_INVALID);
	CU_ASSERT_EQUAL(kit.calls, 0);
}

/* ---- parameters of the standard ------------------------------------------------------------------------------ */

/* With KMN_WRITE_CORPUS=DIR one request of each structure goes to DIR/request, for tests/fuzz. */
static void
write_corpus(const char *name)
{
	const char *folder = getenv("KMN_WRITE_CORPUS");
	char path[512];
	FILE *file;

	if (folder == NULL)
		return;
	snprintf(path, sizeof(path), "%s/request/%s", folder, name);
	if ((file = fopen(path, "wb")) != NULL) {
		fwrite(request.bytes, 1, request.len, file);
		fclose(file);
	}
}

/* A C_DeriveKey whose parameter is that structure, or NULL: this seed gives none. */
static const struct kmn_layout *
make_request(const struct kmn_mechanism *row, uint64_t seed, struct kmn_call_view *v)
{
	CK_ULONG key = 5;
	struct kmn_arg arg[5] = {{.u = 1}, {.p = NULL}, {.u = 7}, {.p = NULL, .u = 0}, {.p = &key}};
	CK_MECHANISM *m;

	kit_begin(&kit, seed);
	arg[1].p = m = kit_take(&kit, sizeof(*m));
	kit_mechanism(&kit, row, m);
	fresh_messages();
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(KMN_C_DeriveKey, arg, 5, &request), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, v), KMN_OK);
	return kmn_view_mechanism(v)->layout;
}

/* Each structure of the standard as bytes: cut anywhere it is refused, bent anywhere it is refused or walked to its end. */
static void
test_hostile_parameters(void)
{
	bool done[256] = {false};
	const struct kmn_mechanism *row;
	unsigned walked = 0, structures = 0;

	for (size_t i = 0; (row = kmn_mechanism_at(i)) != NULL; i++) {
		const struct kmn_layout *layout = NULL;
		struct kmn_call_view v;

		if (row->takes != KMN_TAKES_STRUCT)
			continue;
		for (uint64_t seed = 1; layout == NULL; seed++)
			layout = make_request(row, seed * 7 + i, &v);
		if (done[layout->id])
			continue;
		done[layout->id] = true;
		structures++;
		write_corpus(layout->name);
		for (size_t len = 0; len < request.len; len++)
			CU_ASSERT_NOT_EQUAL(kmn_call_view_decode(request.bytes, len, &v), KMN_OK);
		for (size_t bit = 0; bit < request.len * 8; bit++) {
			struct kmn_field_cursor c = {0};
			struct kmn_field_view field;

			request.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (kmn_call_view_decode(request.bytes, request.len, &v) == KMN_OK &&
			    kmn_view_mechanism(&v)->form == KMN_MECH_STRUCT) {
				while (kmn_mech_next(kmn_view_mechanism(&v), &c, &field))
					;
				CU_ASSERT_EQUAL(c.at, kmn_view_mechanism(&v)->size);
				walked++;
			}
			request.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
	CU_ASSERT_TRUE(structures > 55 && walked > 1000);
}

/* Structures inside structures end: a KIP mechanism of a KIP mechanism of one ... */
static void
test_parameters_end(void)
{
	CK_KIP_PARAMS kip[8];
	CK_MECHANISM m[9];
	struct kmn_arg init[] = {{.u = 9}, {.p = m}, {.u = 3}};

	for (size_t depth = 1; depth <= 8; depth++) {
		for (size_t i = 0; i < depth; i++) {
			kip[i] = (CK_KIP_PARAMS){.pMechanism = i + 1 < depth ? &m[i + 1] : NULL};
			m[i] = (CK_MECHANISM){CKM_KIP_MAC, &kip[i], sizeof(kip[i])};
		}
		fresh_messages();
		CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_SignInit, init, 3, &request),
		    depth <= KMN_PARAM_MAX_DEPTH ? KMN_OK : KMN_E_MECHANISM_PARAM);
	}
	kip[0].pMechanism = m; /* and one that goes round */
	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_SignInit, init, 3, &request), KMN_E_MECHANISM_PARAM);
}

/* SP800-108: arrays, handles and templates inside, all of which policy and worker must find. */
static void
test_handles_hidden_deep(void)
{
	CK_OBJECT_HANDLE inside = 41, made[2] = {0, 0};
	CK_SP800_108_COUNTER_FORMAT counter = {CK_FALSE, 16};
	CK_PRF_DATA_PARAM data[] = {{CK_SP800_108_ITERATION_VARIABLE, &counter, sizeof(counter)},
	    {CK_SP800_108_KEY_HANDLE, &inside, sizeof(inside)}, {CK_SP800_108_BYTE_ARRAY, made, 3}};
	CK_ATTRIBUTE row = {CKA_LABEL, made, 4};
	CK_DERIVED_KEY more[] = {{&row, 1, &made[0]}, {NULL, 0, &made[1]}};
	CK_SP800_108_KDF_PARAMS kdf = {CKM_SHA256_HMAC, 3, data, 2, more};
	CK_MECHANISM m = {CKM_SP800_108_COUNTER_KDF, &kdf, sizeof(kdf)};
	CK_ULONG key = 0;
	struct kmn_arg arg[5] = {{.u = 1}, {.p = &m}, {.u = 7}, {.p = NULL, .u = 0}, {.p = &key}};
	struct kmn_call_view v;
	uint64_t handles[3];

	fresh_messages();
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(KMN_C_DeriveKey, arg, 5, &request), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_EQUAL(kmn_mech_handles(kmn_view_mechanism(&v), handles, 3), 1);
	CU_ASSERT_EQUAL(handles[0], 41);
	data[1].ulValueLen = 4; /* a handle of a wrong size could not be translated */
	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_DeriveKey, arg, 5, &request), KMN_E_MECHANISM_PARAM);
	data[1] = (CK_PRF_DATA_PARAM){99, made, 3}; /* a kind of data that nobody knows */
	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_DeriveKey, arg, 5, &request), KMN_E_MECHANISM_PARAM);
	kdf.ulNumberOfDataParams = 65;
	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_DeriveKey, arg, 5, &request), KMN_E_MECHANISM_PARAM);
}

/* ---- the tables ---------------------------------------------------------------------------------------------- */

#define MECHANISM(name) {#name, name},
#define ATTRIBUTE(name)
static const struct {
	const char *name;
	uint64_t value;
} mechanisms[] = {
#include "tests/unit/transport/constants.inc"
};
#undef MECHANISM
#undef ATTRIBUTE
#define MECHANISM(name)
#define ATTRIBUTE(name) {#name, name},
static const struct {
	const char *name;
	uint64_t value;
} attributes[] = {
#include "tests/unit/transport/constants.inc"
};

static void
test_every_constant_has_its_row(void)
{
	uint64_t type;

	CU_ASSERT_TRUE(KMN_COUNT_OF(mechanisms) > 470 && KMN_COUNT_OF(attributes) > 155);
	for (size_t i = 0; i < KMN_COUNT_OF(mechanisms); i++) {
		bool found = kmn_mechanism_of(mechanisms[i].name, &type) && type == mechanisms[i].value;

		if (!found)
			printf("# %s has no row\n", mechanisms[i].name);
		CU_ASSERT_TRUE(found);
	}
	for (size_t i = 0; i < KMN_COUNT_OF(attributes); i++) {
		if (kmn_attribute_row(attributes[i].value) == NULL)
			printf("# %s has no row\n", attributes[i].name);
		CU_ASSERT_PTR_NOT_NULL(kmn_attribute_row(attributes[i].value));
	}
}

/* ---- docs/pkcs11.md ------------------------------------------------------------------------------------------ */

static const char marker[] =
    "<!-- From here on written by tests/unit/transport/test_params with KMN_WRITE_DOCS=1 -->\n";

static void
write_calls(FILE *to)
{
	fputs("\n## Functions that do not cross\n\n", to);
	for (unsigned id = 0; id < KMN_CALL_COUNT; id++)
		if (kmn_call_row(id)->policy == KMN_POLICY_LOCAL)
			fprintf(to, "- %s\n", kmn_call_row(id)->name);
}

static void
write_attributes(FILE *to)
{
#define WORD(name, word) word,
	static const char *const words[] = {KMN_ATTRIBUTE_KIND_ROWS(WORD)};
#undef WORD
	const struct kmn_attribute *row;

	fputs("\n## Attributes\n\n| attribute | number | kind | in the ledger |\n| --- | --- | --- | --- |\n", to);
	for (size_t i = 0; (row = kmn_attribute_at(i)) != NULL; i++)
		fprintf(to, "| %s | 0x%08llx | %s | %s |\n", row->name, (unsigned long long)row->type, words[row->kind],
		    row->public ? "in clear" : "its length");
}

static void
write_parameter(FILE *to, const struct kmn_mechanism *row)
{
	if (row->takes == KMN_TAKES_NOTHING)
		fputs("none", to);
	else if (row->takes == KMN_TAKES_BYTES)
		fputs("bytes", to);
	else if (row->takes == KMN_TAKES_REFUSED)
		fputs("refused", to);
	else
		fprintf(to, "%s%s%s", row->layout[0]->name, row->layout[1] != NULL ? ", " : "",
		    row->layout[1] != NULL ? row->layout[1]->name : "");
	if (row->no_signature)
		fputs(", not to sign", to);
}

static void
write_mechanisms(FILE *to)
{
	const struct kmn_mechanism *row;

	fputs("\n## Mechanisms\n\n| mechanism | number | parameter | of a message | of authenticated wrapping |\n"
	      "| --- | --- | --- | --- | --- |\n",
	    to);
	for (size_t i = 0; (row = kmn_mechanism_at(i)) != NULL; i++) {
		fprintf(to, "| %s | 0x%08llx | ", row->name, (unsigned long long)row->type);
		write_parameter(to, row);
		fprintf(to, " | %s | %s |\n", row->message != NULL ? row->message->name : "",
		    row->wrap != NULL ? row->wrap->name : "");
	}
}

static void
write_structures(FILE *to)
{
	char text[KMN_DESCRIPTOR_MAX_BYTES];
	const struct kmn_layout *layout;

	fputs("\n## Structures\n\nIn the language of kanmon-types(5), in the order of the C structures.\n\n", to);
	for (uint8_t id = 0; (layout = kmn_layout_of(id)) != NULL; id++) {
		CU_ASSERT_TRUE(kmn_layout_describe(layout, text, sizeof(text)) > 0);
		fprintf(to, "    %s %s\n", layout->name, text);
	}
}

/* malloc, with a NUL. */
static char *
tables(void)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(to);
	fputs(marker, to);
	write_calls(to);
	write_attributes(to);
	write_mechanisms(to);
	write_structures(to);
	fclose(to);
	return text;
}

static void
test_docs_have_the_tables(void)
{
	static char docs[1u << 18];
	char *want = tables(), *at;
	FILE *file = fopen(SRCDIR "/docs/pkcs11.md", "r");
	size_t len = file != NULL ? fread(docs, 1, sizeof(docs) - 1, file) : 0;

	if (file != NULL)
		fclose(file);
	docs[len] = '\0';
	at = strstr(docs, marker);
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	if (getenv("KMN_WRITE_DOCS") != NULL && (file = fopen(SRCDIR "/docs/pkcs11.md", "w")) != NULL) {
		fwrite(docs, 1, (size_t)(at - docs), file);
		fputs(want, file);
		fclose(file);
	} else {
		CU_ASSERT_STRING_EQUAL(at, want);
	}
	free(want);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo descriptions[] = {
	    {"every structure of the standard is what its line of text says", test_layouts_are_their_descriptions},
	    {"structures have the sizes that other compilers give them", test_sizes_of_other_compilers},
	    {"an error in a types file names the line", test_errors_name_the_line},
	    {"the example for NSS is right", test_the_example_of_nss},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo vendors[] = {
	    {"a described mechanism's parameter arrives, and comes back, as it is", test_described_mechanisms_cross},
	    {"where the ends describe it differently the call is refused", test_ends_that_disagree},
	    {"templates inside come in three calls, vendors' too", test_templates_in_three_calls},
	    {"an attribute that the ends take differently never reaches the module", test_attributes_that_disagree},
	    {"an undescribed parameter with pointers is refused, and its record says so",
		test_undescribed_pointers_are_refused},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo standard[] = {
	    {"each structure, cut or bent, is refused or walked to its end", test_hostile_parameters},
	    {"mechanisms inside mechanisms come to an end", test_parameters_end},
	    {"handles deep inside are found, and must have their size", test_handles_hidden_deep},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo tables[] = {
	    {"every mechanism and attribute of the constants has a row", test_every_constant_has_its_row},
	    {"docs/pkcs11.md has the tables as they are", test_docs_have_the_tables},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"transport/params descriptions", NULL, NULL, NULL, NULL, descriptions},
	    {"transport/params vendors", NULL, NULL, NULL, NULL, vendors},
	    {"transport/params standard", NULL, NULL, NULL, NULL, standard},
	    {"transport/params tables", NULL, NULL, NULL, NULL, tables},
	    CU_SUITE_INFO_NULL,
	};
	int failed;

	arena = kmn_arena_new(KMN_ARENA_BYTES);
	failed = kmn_test_main(argc, argv, suites);
	kmn_writer_clear(&request);
	kmn_writer_clear(&response);
	kmn_arena_free(arena);
	return failed;
}
