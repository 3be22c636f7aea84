#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "tests/unit/run.h"
#include "tests/unit/transport/callkit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MESSAGE_MAX_BYTES (2u << 20)

/* ---- one call, made remotely --------------------------------------------------------------------------------- */

static struct kit kit;
static struct kmn_arena *arena;
static struct kmn_writer request, response;

static void
fresh_messages(void)
{
	kmn_writer_clear(&request);
	kmn_writer_clear(&response);
	kmn_writer_init(&request, MESSAGE_MAX_BYTES);
	kmn_writer_init(&response, MESSAGE_MAX_BYTES);
}

/* From arguments to the module and back, as provider, keeper and worker do it between them. */
static kmn_err
remote(CK_FUNCTION_LIST_3_2 *module, enum kmn_call_id id, struct kmn_arg *arg, CK_RV *rv_out)
{
	const struct kmn_call *call = kmn_call_row(id);
	struct kmn_response_view seen;
	struct kmn_call_view v;
	kmn_err e;

	fresh_messages();
	if ((e = kmn_request_encode(id, arg, call->param_count, &request)) != KMN_OK ||
	    (e = kmn_call_view_decode(request.bytes, request.len, &v)) != KMN_OK ||
	    (e = kmn_invoke(&v, module, &kit_handles, arena, NULL, &response, rv_out)) != KMN_OK ||
	    (e = kmn_response_view_decode(response.bytes, response.len, &seen)) != KMN_OK)
		return e;
	kmn_arena_reset(arena);
	return kmn_response_decode(id, arg, call->param_count, response.bytes, response.len, rv_out);
}

/* ---- the oracle: direct and remote leave the same memory ----------------------------------------------------- */

static const CK_RV outcomes[] = {CKR_OK, CKR_OK, CKR_BUFFER_TOO_SMALL, CKR_ATTRIBUTE_SENSITIVE, CKR_FUNCTION_FAILED};

static bool
same_both_ways(enum kmn_call_id id, uint64_t seed, CK_RV rv)
{
	static struct kit direct;
	const struct kmn_call *call = kmn_call_row(id);
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	CK_RV got = CKR_GENERAL_ERROR;
	kmn_err e;

	kit_module_kit = &kit;
	kit_begin(&kit, seed);
	kit.rv = rv;
	kit_args(&kit, call, arg);
	kit_answer(id, arg, call->param_count);
	memcpy(&direct, &kit, sizeof(kit));
	kit_begin(&kit, seed);
	kit.rv = rv;
	kit_args(&kit, call, arg);
	e = remote(&kit_module, id, arg, &got);
	if (e == KMN_OK && got == rv && kit.inputs == direct.inputs && kit.calls == 1 &&
	    memcmp(kit.block, direct.block, sizeof(kit.block)) == 0)
		return true;
	printf("# %s seed %llu rv 0x%lx: %s, rv 0x%lx, inputs %s, memory %s\n", call->name, (unsigned long long)seed,
	    rv, kmn_err_name(e), got, kit.inputs == direct.inputs ? "same" : "DIFFER",
	    memcmp(kit.block, direct.block, sizeof(kit.block)) == 0 ? "same" : "DIFFERS");
	return false;
}

static void
test_remote_is_direct(void)
{
	uint64_t seeds = getenv("KMN_TEST_LONG") != NULL ? 20000 : 150;
	unsigned wrong = 0;

	for (unsigned id = 0; id < KMN_CALL_COUNT; id++)
		for (uint64_t seed = 1; kmn_call_row(id)->policy != KMN_POLICY_LOCAL && seed <= seeds && wrong < 10;
		     seed++)
			wrong += !same_both_ways(
			    (enum kmn_call_id)id, seed * 977 + id, outcomes[seed % KMN_COUNT_OF(outcomes)]);
	CU_ASSERT_EQUAL(wrong, 0);
}

static void
test_each_mechanism_crosses(void)
{
	static struct kit direct;
	const struct kmn_mechanism *row;

	for (size_t i = 0; (row = kmn_mechanism_at(i)) != NULL; i++) {
		for (uint64_t seed = 1; seed <= 20; seed++) {
			CK_ULONG key = 5;
			CK_MECHANISM *m;
			CK_RV rv = CKR_GENERAL_ERROR;

			kit_module_kit = &kit;
			for (int pass = 0; pass < 2; pass++) {
				struct kmn_arg arg[5] = {
				    {.u = 1}, {.p = NULL}, {.u = 7}, {.p = NULL, .u = 0}, {.p = &key}};

				kit_begin(&kit, seed * 131 + i);
				m = kit_take(&kit, sizeof(*m));
				kit_mechanism(&kit, row, m);
				arg[1].p = m;
				if (pass == 0) {
					kit_answer(KMN_C_DeriveKey, arg, 5);
					memcpy(&direct, &kit, sizeof(kit));
				} else {
					CU_ASSERT_EQUAL(remote(&kit_module, KMN_C_DeriveKey, arg, &rv),
					    row->takes == KMN_TAKES_REFUSED ? KMN_E_MECHANISM_PARAM : KMN_OK);
				}
			}
			if (row->takes == KMN_TAKES_REFUSED)
				continue;
			CU_ASSERT_EQUAL(kit.inputs, direct.inputs);
			CU_ASSERT_EQUAL(memcmp(kit.block, direct.block, sizeof(kit.block)), 0);
		}
	}
}

/* ---- hostile bytes ------------------------------------------------------------------------------------------- */

/* A valid request and its response, both left in their writers. */
static const struct kmn_call *
make_exchange(enum kmn_call_id id, uint64_t seed, struct kmn_arg *arg)
{
	const struct kmn_call *call = kmn_call_row(id);
	struct kmn_call_view v;
	CK_RV rv = CKR_GENERAL_ERROR;

	kit_module_kit = &kit;
	kit_begin(&kit, seed);
	kit_args(&kit, call, arg);
	fresh_messages();
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(id, arg, call->param_count, &request), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_invoke(&v, &kit_module, &kit_handles, arena, NULL, &response, &rv), KMN_OK);
	kmn_arena_reset(arena);
	return call;
}

/* With KMN_WRITE_CORPUS=DIR the messages go to DIR/request and DIR/response, for tests/fuzz. */
static void
write_corpus(const char *what, const char *name, const struct kmn_writer *w)
{
	const char *folder = getenv("KMN_WRITE_CORPUS");
	char path[512];
	FILE *file;

	if (folder == NULL)
		return;
	snprintf(path, sizeof(path), "%s/%s/%s", folder, what, name);
	if ((file = fopen(path, "wb")) != NULL) {
		fwrite(w->bytes, 1, w->len, file);
		fclose(file);
	}
}

static void
test_truncated_requests(void)
{
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	struct kmn_call_view v;

	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		if (kmn_call_row(id)->policy == KMN_POLICY_LOCAL)
			continue;
		make_exchange((enum kmn_call_id)id, 40 + id, arg);
		write_corpus("request", kmn_call_row(id)->name, &request);
		for (size_t len = 0; len < request.len; len++) {
			CU_ASSERT_NOT_EQUAL(kmn_call_view_decode(request.bytes, len, &v), KMN_OK);
			CU_ASSERT_PTR_NULL(v.call);
		}
		kmn_writer_u8(&request, 0);
		CU_ASSERT_NOT_EQUAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	}
}

static void
test_truncated_responses(void)
{
	static struct kit before;
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	CK_RV rv = CKR_GENERAL_ERROR;

	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		if (kmn_call_row(id)->policy == KMN_POLICY_LOCAL)
			continue;
		make_exchange((enum kmn_call_id)id, 90 + id, arg);
		write_corpus("response", kmn_call_row(id)->name, &response);
		memcpy(&before, &kit, sizeof(kit));
		for (size_t len = 0; len < response.len; len++)
			CU_ASSERT_NOT_EQUAL(kmn_response_decode((enum kmn_call_id)id, arg,
						kmn_call_row(id)->param_count, response.bytes, len, &rv),
			    KMN_OK);
		CU_ASSERT_EQUAL(memcmp(before.block, kit.block, sizeof(kit.block)), 0);
	}
}

/* Bytes that belong to nothing: between the things that kit_take() gave. A response may never reach them. */
static void
test_bent_responses(void)
{
	static struct kit before;
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	unsigned refused_but_wrote = 0;
	CK_RV rv = CKR_GENERAL_ERROR;

	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		if (kmn_call_row(id)->policy == KMN_POLICY_LOCAL)
			continue;
		make_exchange((enum kmn_call_id)id, 7 + id, arg);
		memcpy(&before, &kit, sizeof(kit));
		for (size_t bit = 0; bit < response.len * 8 && bit < 4096; bit++) {
			kmn_err e;

			response.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			e = kmn_response_decode((enum kmn_call_id)id, arg, kmn_call_row(id)->param_count,
			    response.bytes, response.len, &rv);
			response.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			if (e != KMN_OK)
				refused_but_wrote += memcmp(before.block, kit.block, before.used + 64) != 0;
			else
				memcpy(kit.block, before.block, before.used + 64);
		}
	}
	CU_ASSERT_EQUAL(refused_but_wrote, 0);
}

/* ---- what is different must stay different ------------------------------------------------------------------- */

static struct kmn_call_view
view_of(enum kmn_call_id id, const struct kmn_arg *arg, size_t n)
{
	struct kmn_call_view v;

	fresh_messages();
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(id, arg, n, &request), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	return v;
}

static void
test_null_is_not_empty(void)
{
	CK_BYTE byte = 1;
	struct kmn_arg update[] = {{.u = 9}, {.p = NULL, .u = 0}};
	struct kmn_call_view v;

	v = view_of(KMN_C_SignUpdate, update, 2);
	CU_ASSERT_TRUE(kmn_view_data(&v, 0)->null);
	update[1] = (struct kmn_arg){.p = NULL, .u = 12};
	v = view_of(KMN_C_SignUpdate, update, 2);
	CU_ASSERT_TRUE(kmn_view_data(&v, 0)->null && kmn_view_data(&v, 0)->number == 12);
	update[1] = (struct kmn_arg){.p = &byte, .u = 0};
	v = view_of(KMN_C_SignUpdate, update, 2);
	CU_ASSERT_TRUE(!kmn_view_data(&v, 0)->null && kmn_view_data(&v, 0)->len == 0);
}

static void
test_capacity_zero_is_not_a_query(void)
{
	CK_BYTE out;
	CK_ULONG n = 0;
	struct kmn_arg sign[] = {{.u = 9}, {.p = &out, .u = 1}, {.p = NULL, .n = &n}};
	struct kmn_call_view v = view_of(KMN_C_Sign, sign, 3);

	CU_ASSERT_TRUE(kmn_view_is_length_query(&v));
	CU_ASSERT_FALSE(kmn_view_ends_operation(&v, CKR_OK));
	CU_ASSERT_TRUE(kmn_view_ends_operation(&v, CKR_DEVICE_ERROR));
	sign[2].p = &out;
	v = view_of(KMN_C_Sign, sign, 3);
	CU_ASSERT_FALSE(kmn_view_is_length_query(&v));
	CU_ASSERT_TRUE(kmn_view_ends_operation(&v, CKR_OK));
	CU_ASSERT_FALSE(kmn_view_ends_operation(&v, CKR_BUFFER_TOO_SMALL));
}

static void
test_missing_outputs_are_refused(void)
{
	CK_BYTE out[4];
	struct kmn_arg sign[] = {{.u = 9}, {.p = out, .u = 4}, {.p = out, .n = NULL}};
	struct kmn_arg info[] = {{.p = NULL}};
	struct kmn_arg derive[] = {{.u = 9}, {.p = NULL}, {.u = 1}, {.p = NULL}, {.p = NULL}};

	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_Sign, sign, 3, &request), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_GetInfo, info, 1, &request), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(request.len, 0);
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_DeriveKey, derive, 5, &request), KMN_OK);
}

static void
test_input_may_be_the_output(void)
{
	CK_BYTE same[64];
	CK_ULONG n = sizeof(same);
	struct kmn_arg encrypt[] = {{.u = 9}, {.p = same, .u = 40}, {.p = same, .n = &n}};
	CK_RV rv = CKR_GENERAL_ERROR;

	memset(same, 'x', sizeof(same));
	kit_begin(&kit, 1);
	kit_module_kit = &kit;
	CU_ASSERT_EQUAL(remote(&kit_module, KMN_C_Encrypt, encrypt, &rv), KMN_OK);
	CU_ASSERT_EQUAL(n, 40);
	CU_ASSERT_EQUAL(same[0], 0x30);
	CU_ASSERT_EQUAL(same[39], 0x30 + 39);
	CU_ASSERT_EQUAL(same[40], 'x');
}

/* ---- mechanisms that must not pass --------------------------------------------------------------------------- */

static kmn_err
encode_mechanism(CK_MECHANISM_TYPE type, void *parameter, CK_ULONG len)
{
	CK_MECHANISM m = {type, parameter, len};
	struct kmn_arg init[] = {{.u = 9}, {.p = &m}, {.u = 3}};

	fresh_messages();
	return kmn_request_encode(KMN_C_SignInit, init, 3, &request);
}

static void
test_unknown_parameters(void)
{
	CK_BYTE flat[16] = {1, 2, 3};
	struct kmn_call_view v;

	CU_ASSERT_EQUAL(encode_mechanism(0x7123, NULL, 0), KMN_OK);
	CU_ASSERT_EQUAL(encode_mechanism(0x7123, flat, sizeof(flat)), KMN_E_MECHANISM_PARAM);
	CU_ASSERT_EQUAL(
	    encode_mechanism(CKM_HOTP, NULL, 0), KMN_E_MECHANISM_PARAM); /* to sign: its signature is pointers */
	CU_ASSERT_EQUAL(encode_mechanism(CKM_X3DH_INITIALIZE, flat, sizeof(flat)), KMN_E_MECHANISM_PARAM);
	CU_ASSERT_EQUAL(encode_mechanism(CKM_RSA_PKCS_PSS, flat, sizeof(flat)), KMN_E_MECHANISM_PARAM);
	CU_ASSERT_EQUAL(encode_mechanism(CKM_VENDOR_DEFINED | 5, flat, sizeof(flat)), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_TRUE(v.abi_bound);
	CU_ASSERT_EQUAL(kmn_view_mechanism(&v)->size, sizeof(flat));
}

static void
test_stray_parameter_is_not_read(void)
{
	struct kmn_call_view v;

	CU_ASSERT_EQUAL(encode_mechanism(CKM_ECDSA, (void *)(uintptr_t)16, 24), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_EQUAL(kmn_view_mechanism(&v)->form, KMN_MECH_LENGTH);
	CU_ASSERT_EQUAL(kmn_view_mechanism(&v)->len, 24);
}

static void
test_no_mechanism_has_its_own_tag(void)
{
	struct kmn_arg init[] = {{.u = 9}, {.p = NULL}, {.u = 3}};
	CK_MECHANISM first = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	struct kmn_call_view v = view_of(KMN_C_SignInit, init, 3);

	CU_ASSERT_EQUAL(kmn_view_mechanism(&v)->form, KMN_MECH_NULL);
	init[1].p = &first;
	v = view_of(KMN_C_SignInit, init, 3);
	CU_ASSERT_EQUAL(kmn_view_mechanism(&v)->form, KMN_MECH_BARE);
	CU_ASSERT_EQUAL(kmn_view_mechanism(&v)->type, 0);
}

/* A request made by hand: C_SignInit with a mechanism in a form that its row does not have. */
static kmn_err
forged_mechanism(uint8_t form, uint64_t type, const void *bytes, size_t len)
{
	struct kmn_call_view v;

	fresh_messages();
	kmn_message_begin(&request, KMN_C_SignInit);
	kmn_writer_u64(&request, 9);
	kmn_writer_u8(&request, form);
	kmn_writer_u64(&request, type);
	kmn_writer_bytes(&request, bytes, len);
	kmn_writer_u64(&request, 3);
	return kmn_call_view_decode(request.bytes, request.len, &v);
}

static void
test_structures_do_not_pass_as_bytes(void)
{
	CK_RSA_PKCS_OAEP_PARAMS oaep = {.pSourceData = &oaep, .ulSourceDataLen = 8};

	CU_ASSERT_EQUAL(
	    forged_mechanism(KMN_MECH_BYTES, CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep)), KMN_E_MECHANISM_PARAM);
	CU_ASSERT_EQUAL(forged_mechanism(KMN_MECH_BYTES, 0x7123, &oaep, sizeof(oaep)), KMN_E_MECHANISM_PARAM);
	CU_ASSERT_EQUAL(forged_mechanism(KMN_MECH_BYTES, CKM_AES_CBC, &oaep, 16), KMN_OK);
}

static void
test_lying_iv_length(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CK_GCM_PARAMS gcm = {map + page - 12, 96, 96, NULL, 0, 128};

	CU_ASSERT_FATAL(map != MAP_FAILED && mprotect(map + page, page, PROT_NONE) == 0);
	CU_ASSERT_EQUAL(encode_mechanism(CKM_AES_GCM, &gcm, sizeof(gcm)), KMN_E_MECHANISM_PARAM);
	gcm.ulIvLen = 257;
	CU_ASSERT_EQUAL(encode_mechanism(CKM_AES_GCM, &gcm, sizeof(gcm)), KMN_E_MECHANISM_PARAM);
	gcm.ulIvLen = 12;
	CU_ASSERT_EQUAL(encode_mechanism(CKM_AES_GCM, &gcm, sizeof(gcm)), KMN_OK);
	munmap(map, 2 * page);
}

static void
test_fields_by_name(void)
{
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA384, CKG_MGF1_SHA384, 48};
	CK_OBJECT_HANDLE other = 77;
	struct kmn_call_view v;
	uint64_t number, handles[2];

	CU_ASSERT_EQUAL(encode_mechanism(CKM_RSA_PKCS_PSS, &pss, sizeof(pss)), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_TRUE(kmn_mech_number(kmn_view_mechanism(&v), "sLen", &number) && number == 48);
	CU_ASSERT_TRUE(kmn_mech_number(kmn_view_mechanism(&v), "hashAlg", &number) && number == CKM_SHA384);
	CU_ASSERT_FALSE(kmn_mech_number(kmn_view_mechanism(&v), "pIv", &number));
	CU_ASSERT_EQUAL(encode_mechanism(CKM_CONCATENATE_BASE_AND_KEY, &other, sizeof(other)), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_EQUAL(kmn_mech_handles(kmn_view_mechanism(&v), handles, 2), 1);
	CU_ASSERT_EQUAL(handles[0], 77);
}

/* ---- 3.0 and 3.2 --------------------------------------------------------------------------------------------- */

/* A C_EncryptMessage with that parameter; what the other arguments are does not matter. */
static kmn_err
encode_message(CK_MECHANISM_TYPE type, void *parameter, CK_ULONG len, struct kmn_call_view *v)
{
	static CK_BYTE text[4], out[8];
	static CK_ULONG n = sizeof(out);
	struct kmn_arg arg[] = {{.u = 9}, {.p = parameter, .u = len, .type = type}, {.p = text, .u = 2},
	    {.p = text, .u = sizeof(text)}, {.p = out, .n = &n}};
	kmn_err e;

	fresh_messages();
	if ((e = kmn_request_encode(KMN_C_EncryptMessage, arg, KMN_COUNT_OF(arg), &request)) != KMN_OK)
		return e;
	return kmn_call_view_decode(request.bytes, request.len, v);
}

static void
test_message_parameters(void)
{
	CK_BYTE iv[12] = "an iv 12345", tag[16];
	CK_GCM_MESSAGE_PARAMS gcm = {iv, sizeof(iv), 0, CKG_NO_GENERATE, tag, 128};
	const uint8_t *bytes;
	struct kmn_call_view v;
	size_t len;

	CU_ASSERT_EQUAL_FATAL(encode_message(CKM_AES_GCM, &gcm, sizeof(gcm), &v), KMN_OK);
	write_corpus("request", "C_EncryptMessage-structure", &request);
	CU_ASSERT_EQUAL_FATAL(kmn_view_message_param(&v)->form, KMN_MECH_STRUCT);
	CU_ASSERT_STRING_EQUAL(kmn_view_message_param(&v)->layout->name, "CK_GCM_MESSAGE_PARAMS");
	CU_ASSERT_TRUE(kmn_mech_bytes(kmn_view_message_param(&v), "pIv", &bytes, &len));
	CU_ASSERT_TRUE(len == sizeof(iv) && memcmp(bytes, iv, sizeof(iv)) == 0);
	CU_ASSERT_EQUAL(kmn_view_data(&v, 0)->len, 4); /* the text, not what is only bound to it */
	CU_ASSERT_EQUAL(kmn_view_nth(&v, KMN_KIND_AAD, 0)->len, 2);
	CU_ASSERT_EQUAL(encode_message(CKM_AES_GCM, &gcm, sizeof(gcm) - 8, &v), KMN_E_MECHANISM_PARAM);
	CU_ASSERT_EQUAL(encode_message(CKM_AES_GCM, NULL, 0, &v), KMN_OK);
	CU_ASSERT_EQUAL(kmn_view_message_param(&v)->form, KMN_MECH_BARE);
}

/* Nobody knows what the parameter is: it is not looked at, and the module says that nothing was begun. */
static void
test_message_of_no_operation(void)
{
	struct kmn_call_view v;

	CU_ASSERT_EQUAL_FATAL(encode_message(CK_UNAVAILABLE_INFORMATION, (void *)(uintptr_t)16, 48, &v), KMN_OK);
	CU_ASSERT_EQUAL(kmn_view_message_param(&v)->form, KMN_MECH_LENGTH);
	CU_ASSERT_EQUAL(kmn_view_message_param(&v)->len, 48);
	CU_ASSERT_EQUAL(kmn_view_message_param(&v)->type, KMN_UNAVAILABLE);
	CU_ASSERT_EQUAL(
	    encode_message(CK_UNAVAILABLE_INFORMATION, (void *)(uintptr_t)16, 1u << 30, &v), KMN_E_MECHANISM_PARAM);
}

/* Made by hand: a C_SignMessageBegin whose parameter comes in that form. */
static kmn_err
forged_message(uint8_t form, uint64_t type, uint8_t layout, const void *bytes, size_t len)
{
	struct kmn_call_view v;

	fresh_messages();
	kmn_message_begin(&request, KMN_C_SignMessageBegin);
	kmn_writer_u64(&request, 9);
	kmn_writer_u8(&request, form);
	kmn_writer_u64(&request, type);
	if (form == KMN_MECH_STRUCT)
		kmn_writer_u8(&request, layout);
	kmn_writer_bytes(&request, bytes, len);
	return kmn_call_view_decode(request.bytes, request.len, &v);
}

static void
test_forged_messages(void)
{
	CK_GCM_PARAMS other = {NULL, 0, 0, NULL, 0, 128};
	CK_MECHANISM m = {CKM_AES_GCM, &other, sizeof(other)};
	struct kmn_arg init[] = {{.u = 9}, {.p = &m}, {.u = 3}};
	struct kmn_call_view v = view_of(KMN_C_EncryptInit, init, 3);
	const struct kmn_mech_view *whole = kmn_view_mechanism(&v);
	uint8_t fields[256];
	size_t size = whole->size;
	uint8_t layout = whole->layout->id;

	CU_ASSERT_FATAL(size <= sizeof(fields));
	memcpy(fields, whole->bytes, size);
	/* the structure of C_EncryptInit is none of a message's */
	CU_ASSERT_EQUAL(forged_message(KMN_MECH_STRUCT, CKM_AES_GCM, layout, fields, size), KMN_E_MECHANISM_PARAM);
	CU_ASSERT_EQUAL(forged_message(KMN_MECH_STRUCT, KMN_UNAVAILABLE, layout, fields, size), KMN_E_MECHANISM_PARAM);
	CU_ASSERT_EQUAL(forged_message(KMN_MECH_BYTES, KMN_UNAVAILABLE, 0, fields, size), KMN_E_MECHANISM_PARAM);
	fresh_messages();
	kmn_message_begin(&request, KMN_C_SignMessageBegin);
	kmn_writer_u64(&request, 9);
	kmn_writer_u8(&request, KMN_MECH_NULL);
	CU_ASSERT_EQUAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_E_MALFORMED);
}

static void
test_room_that_may_be_missing(void)
{
	CK_BYTE text[4], out[8] = {1};
	struct kmn_arg next[] = {{.u = 9}, {.p = NULL, .u = 0, .type = CK_UNAVAILABLE_INFORMATION},
	    {.p = text, .u = sizeof(text)}, {.p = out, .n = NULL}};
	struct kmn_call_view v = view_of(KMN_C_SignMessageNext, next, KMN_COUNT_OF(next));
	CK_ULONG n = sizeof(out);
	CK_RV rv;

	CU_ASSERT_TRUE(kmn_view_room(&v)->uncounted);
	CU_ASSERT_FALSE(kmn_view_is_length_query(&v));
	/* an answer that brings a signature all the same is none of this call */
	fresh_messages();
	kmn_response_put_bytes(KMN_C_SignMessageNext, text, sizeof(text), n, &response);
	CU_ASSERT_EQUAL(
	    kmn_response_decode(KMN_C_SignMessageNext, next, KMN_COUNT_OF(next), response.bytes, response.len, &rv),
	    KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(out[0], 1);
	next[3].p = NULL;
	next[3].n = &n;
	v = view_of(KMN_C_SignMessageNext, next, KMN_COUNT_OF(next));
	CU_ASSERT_TRUE(kmn_view_is_length_query(&v));
}

static void
test_list_of_2_40(void)
{
	struct kmn_arg cancel[] = {{.u = 9}, {.u = CKF_SIGN | CKF_MESSAGE_SIGN}};
	struct kmn_arg count[] = {{.u = 9}};
	struct kmn_call_view v = view_of(KMN_C_GetFunctionStatus, count, 1);

	CU_ASSERT_FALSE(v.v2_40);
	kmn_request_mark_2_40(&request, 0);
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_TRUE(v.v2_40);
	CU_ASSERT_EQUAL(v.id, KMN_C_GetFunctionStatus);
	CU_ASSERT_PTR_EQUAL(kmn_request_row(request.bytes, request.len), v.call);
	CU_ASSERT_PTR_NULL(kmn_request_row(request.bytes, 1));
	v = view_of(KMN_C_SessionCancel, cancel, 2);
	CU_ASSERT_EQUAL(kmn_view_cancels(&v), (unsigned)(KMN_OP_SIGN | KMN_OP_MESSAGE_SIGN));
	kmn_request_mark_2_40(&request, 0); /* which it does not have */
	CU_ASSERT_EQUAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_E_MALFORMED);
}

static CK_RV
makes_no_key(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE public, CK_ATTRIBUTE_PTR t,
    CK_ULONG count, CK_BYTE_PTR out, CK_ULONG_PTR n, CK_OBJECT_HANDLE_PTR key)
{
	(void)session, (void)mechanism, (void)public, (void)t, (void)count;
	*n = 32;
	if (out == NULL)
		return CKR_OK;
	*key = CK_INVALID_HANDLE; /* as some do where they fail */
	return CKR_TEMPLATE_INCONSISTENT;
}

static void
test_handles_that_are_not_given(void)
{
	CK_FUNCTION_LIST_3_2 module = {.C_EncapsulateKey = makes_no_key};
	CK_OBJECT_HANDLE key = 77;
	CK_BYTE out[64];
	CK_ULONG n = 5;
	struct kmn_arg arg[] = {{.u = 9}, {.p = NULL}, {.u = 3}, {.p = NULL}, {.p = NULL, .n = &n}, {.p = &key}};
	CK_RV rv;

	CU_ASSERT_EQUAL(remote(&module, KMN_C_EncapsulateKey, arg, &rv), KMN_OK);
	CU_ASSERT_EQUAL(rv, CKR_OK);
	CU_ASSERT_EQUAL(n, 32);
	CU_ASSERT_EQUAL(key, 77);
	arg[4].p = out;
	CU_ASSERT_EQUAL(remote(&module, KMN_C_EncapsulateKey, arg, &rv), KMN_OK);
	CU_ASSERT_EQUAL(rv, CKR_TEMPLATE_INCONSISTENT);
	CU_ASSERT_EQUAL(key, CK_INVALID_HANDLE);
	CU_ASSERT_EQUAL(remote(&module, KMN_C_VerifySignatureFinal, (struct kmn_arg[]){{.u = 9}}, &rv), KMN_OK);
	CU_ASSERT_EQUAL(rv, CKR_FUNCTION_NOT_SUPPORTED);
}

static void
test_message_in_place(void)
{
	CK_BYTE same[64], tag[16], iv[12] = "an iv 12345";
	CK_GCM_MESSAGE_PARAMS gcm = {iv, sizeof(iv), 0, CKG_GENERATE, tag, 128};
	CK_ULONG n = sizeof(same);
	struct kmn_arg arg[] = {{.u = 9}, {.p = &gcm, .u = sizeof(gcm), .type = CKM_AES_GCM},
	    {.p = tag, .u = sizeof(tag)}, {.p = same, .u = 40}, {.p = same, .n = &n}};
	CK_RV rv;

	memset(same, 'x', sizeof(same));
	memset(tag, 't', sizeof(tag)); /* is the header and takes the tag */
	kit_begin(&kit, 1);
	kit_module_kit = &kit;
	kit.message = CKM_AES_GCM;
	CU_ASSERT_EQUAL(remote(&kit_module, KMN_C_EncryptMessage, arg, &rv), KMN_OK);
	CU_ASSERT_EQUAL(n, 40);
	CU_ASSERT_TRUE(same[0] == 0x30 && same[39] == 0x30 + 39 && same[40] == 'x');
	CU_ASSERT_TRUE(tag[0] == 0x30 && tag[15] == 0x30 + 15);
	CU_ASSERT_TRUE(iv[0] == 0x30 && iv[11] == 0x30 + 11);
	write_corpus("response", "C_EncryptMessage-structure", &response);
}

/* ---- attributes ---------------------------------------------------------------------------------------------- */

static kmn_err
find_init(const CK_ATTRIBUTE *rows, CK_ULONG count, struct kmn_call_view *v)
{
	CK_ATTRIBUTE copy[8];
	struct kmn_arg find[] = {{.u = 9}, {.p = copy, .u = count}};
	kmn_err e;

	memcpy(copy, rows, count * sizeof(*rows));
	fresh_messages();
	if ((e = kmn_request_encode(KMN_C_FindObjectsInit, find, 2, &request)) != KMN_OK)
		return e;
	return kmn_call_view_decode(request.bytes, request.len, v);
}

static void
test_wrong_sized_numbers_are_bytes(void)
{
	CK_ULONG class = CKO_PRIVATE_KEY;
	uint32_t narrow = 3;
	CK_ATTRIBUTE rows[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &narrow, sizeof(narrow)}};
	struct kmn_attribute_view a;
	struct kmn_call_view v;

	CU_ASSERT_EQUAL_FATAL(find_init(rows, 2, &v), KMN_OK);
	CU_ASSERT_TRUE(kmn_template_find(kmn_view_template(&v, 0), CKA_CLASS, &a));
	CU_ASSERT_TRUE(a.form == KMN_VALUE_ULONG && a.number == CKO_PRIVATE_KEY);
	CU_ASSERT_TRUE(kmn_template_find(kmn_view_template(&v, 0), CKA_KEY_TYPE, &a));
	CU_ASSERT_TRUE(a.form == KMN_VALUE_BYTES && a.len == 4);
}

static void
test_nesting_has_an_end(void)
{
	CK_ATTRIBUTE level[6];
	struct kmn_call_view v;

	for (size_t depth = 1; depth <= 5; depth++) {
		level[depth] = (CK_ATTRIBUTE){CKA_ID, NULL, 0};
		for (size_t i = depth; i-- > 0;)
			level[i] = (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, &level[i + 1], sizeof(CK_ATTRIBUTE)};
		CU_ASSERT_EQUAL(find_init(level, 1, &v), depth < 4 ? KMN_OK : KMN_E_LIMIT);
	}
}

static void
test_templates_do_not_pass_as_bytes(void)
{
	CK_ATTRIBUTE inner = {CKA_ID, NULL, 0};
	CK_ATTRIBUTE outer = {CKA_WRAP_TEMPLATE, &inner, sizeof(inner) - 1};
	struct kmn_call_view v;

	CU_ASSERT_EQUAL(find_init(&outer, 1, &v), KMN_E_ARGUMENTS);
	fresh_messages();
	kmn_message_begin(&request, KMN_C_FindObjectsInit);
	kmn_writer_u64(&request, 9);
	kmn_writer_u8(&request, 0);
	kmn_writer_u32(&request, 1);
	kmn_writer_u32(&request, 8 + 1 + 4 + 24);
	kmn_writer_u64(&request, CKA_WRAP_TEMPLATE);
	kmn_writer_u8(&request, KMN_VALUE_BYTES);
	kmn_writer_bytes(&request, &inner, 24);
	CU_ASSERT_EQUAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_E_MALFORMED);
}

/* As an application of 32 bits asks: room for one number is room for one number here. */
static void
test_numbers_cross_widths(void)
{
	struct kmn_call_view v;
	struct kmn_reader r;
	CK_RV rv = CKR_GENERAL_ERROR;

	fresh_messages();
	kmn_message_begin(&request, KMN_C_GetAttributeValue);
	kmn_writer_u64(&request, 9);
	kmn_writer_u64(&request, 3);
	kmn_writer_u8(&request, 0);
	kmn_writer_u32(&request, 1);
	kmn_writer_u32(&request, 8 + 1 + 8);
	kmn_writer_u64(&request, CKA_MODULUS_BITS);
	kmn_writer_u8(&request, KMN_ROOM_ULONGS);
	kmn_writer_u64(&request, 1);
	kit_begin(&kit, 1);
	kit_module_kit = &kit;
	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_invoke(&v, &kit_module, &kit_handles, arena, NULL, &response, &rv), KMN_OK);
	kmn_arena_reset(arena);
	kmn_reader_init(&r, response.bytes + 2 + KMN_SALT_BYTES + 8, response.len - 2 - KMN_SALT_BYTES - 8);
	CU_ASSERT_EQUAL(kmn_reader_u8(&r), KMN_OUTPUT_WHOLE);
	CU_ASSERT_EQUAL(kmn_reader_u32(&r), 1);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), CKA_MODULUS_BITS);
	CU_ASSERT_EQUAL(kmn_reader_u8(&r), KMN_GOT_ULONGS);
	CU_ASSERT_EQUAL(kmn_reader_u32(&r), 1);
	(void)kmn_reader_u64(&r);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
}

/* ---- modules that overrun ------------------------------------------------------------------------------------ */

/* As NSS does for session objects: the whole value, whatever the room, and CKR_OK. */
static CK_RV
careless_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR rows, CK_ULONG count)
{
	(void)session;
	(void)object;
	for (CK_ULONG i = 0; i < count; i++) {
		memset(rows[i].pValue, 'N', 3000);
		rows[i].ulValueLen = 3000;
	}
	return CKR_OK;
}

static CK_RV
careless_slots(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
{
	(void)present;
	for (CK_ULONG i = 0; slots != NULL && i < 5; i++)
		slots[i] = i;
	*count = 5;
	return CKR_OK;
}

static void
test_overruns_hit_nothing(void)
{
	CK_FUNCTION_LIST_3_2 careless = {
	    .C_GetAttributeValue = careless_attributes,
	    .C_GetSlotList = careless_slots,
	};
	CK_BYTE value[8] = "vvvvvvv";
	CK_SLOT_ID slot[2] = {99, 99};
	CK_ULONG n = 1;
	CK_ATTRIBUTE row = {CKA_CLASS, value, 4};
	struct kmn_arg attributes[] = {{.u = 9}, {.u = 3}, {.p = &row, .u = 1}};
	struct kmn_arg slots[] = {{.u = 0}, {.p = slot, .n = &n}};
	CK_RV rv = CKR_GENERAL_ERROR;

	CU_ASSERT_EQUAL(remote(&careless, KMN_C_GetAttributeValue, attributes, &rv), KMN_OK);
	CU_ASSERT_EQUAL(rv, CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(row.ulValueLen, CK_UNAVAILABLE_INFORMATION);
	CU_ASSERT_STRING_EQUAL((char *)value, "vvvvvvv");
	CU_ASSERT_EQUAL(remote(&careless, KMN_C_GetSlotList, slots, &rv), KMN_OK);
	CU_ASSERT_EQUAL(rv, CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(n, 5);
	CU_ASSERT_EQUAL(slot[0], 99);
	CU_ASSERT_EQUAL(remote(&careless, KMN_C_GetInfo, (struct kmn_arg[]){{.p = kit.block}}, &rv), KMN_OK);
	CU_ASSERT_EQUAL(rv, CKR_FUNCTION_NOT_SUPPORTED);
}

static void
test_absurd_capacities(void)
{
	CK_BYTE out[64];
	CK_ULONG n = CK_UNAVAILABLE_INFORMATION;
	struct kmn_arg sign[] = {{.u = 9}, {.p = out, .u = 4}, {.p = out, .n = &n}};
	CK_RV rv = CKR_GENERAL_ERROR;

	kit_begin(&kit, 3);
	kit_module_kit = &kit;
	CU_ASSERT_EQUAL(remote(&kit_module, KMN_C_Sign, sign, &rv), KMN_OK);
	CU_ASSERT_EQUAL(n, 40);
	CU_ASSERT_EQUAL(out[39], 0x30 + 39);
}

/* ---- responses of the gateway's own -------------------------------------------------------------------------- */

static void
test_errors_fit_every_row(void)
{
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	struct kmn_response_view v;
	CK_RV rv = CKR_GENERAL_ERROR;

	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		const struct kmn_call *call = kmn_call_row(id);

		if (call->policy == KMN_POLICY_LOCAL)
			continue;
		kit_begin(&kit, id);
		kit_args(&kit, call, arg);
		fresh_messages();
		kmn_response_put_error((enum kmn_call_id)id, CKR_FUNCTION_REJECTED, &response);
		CU_ASSERT_EQUAL(kmn_response_view_decode(response.bytes, response.len, &v), KMN_OK);
		CU_ASSERT_EQUAL(v.rv, CKR_FUNCTION_REJECTED);
		CU_ASSERT_EQUAL(kmn_response_decode(
				    (enum kmn_call_id)id, arg, call->param_count, response.bytes, response.len, &rv),
		    KMN_OK);
		CU_ASSERT_EQUAL(rv, CKR_FUNCTION_REJECTED);
	}
}

static void
test_too_much_for_one_call(void)
{
	uint8_t *data = calloc(1, KMN_DATA_MAX_BYTES + 1);
	struct kmn_arg update[] = {{.u = 9}, {.p = data, .u = KMN_DATA_MAX_BYTES + 1}};

	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_DigestUpdate, update, 2, &request), KMN_E_LIMIT);
	update[1].u--;
	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_DigestUpdate, update, 2, &request), KMN_OK);
	fresh_messages();
	kmn_writer_clear(&request);
	kmn_writer_init(&request, 1000);
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_DigestUpdate, update, 2, &request), KMN_E_LIMIT);
	free(data);
}

static void
test_bytes_are_handed_out_again(void)
{
	CK_BYTE out[8];
	CK_ULONG n = sizeof(out);
	struct kmn_arg sign[] = {{.u = 9}, {.p = NULL}, {.p = out, .n = &n}};
	struct kmn_response_view v;
	CK_RV rv = CKR_GENERAL_ERROR;

	fresh_messages();
	kmn_response_put_bytes(KMN_C_Sign, "signed", 6, 8, &response);
	CU_ASSERT_EQUAL(kmn_response_decode(KMN_C_Sign, sign, 3, response.bytes, response.len, &rv), KMN_OK);
	CU_ASSERT_TRUE(rv == CKR_OK && n == 6 && memcmp(out, "signed", 6) == 0);
	CU_ASSERT_EQUAL(kmn_response_view_decode(response.bytes, response.len, &v), KMN_OK);
	CU_ASSERT_EQUAL(kmn_response_bytes(&v)->len, 6);
	fresh_messages();
	kmn_response_put_bytes(KMN_C_Sign, "signed", 6, 5, &response);
	CU_ASSERT_EQUAL(kmn_response_decode(KMN_C_Sign, sign, 3, response.bytes, response.len, &rv), KMN_OK);
	CU_ASSERT_TRUE(rv == CKR_BUFFER_TOO_SMALL && n == 6);
}

static void
test_messages_are_salted(void)
{
	struct kmn_arg login[] = {{.u = 9}, {.u = CKU_USER}, {.p = (void *)(uintptr_t) "1234", .u = 4}};
	uint8_t first[128];
	size_t len;

	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_Login, login, 3, &request), KMN_OK);
	len = request.len;
	CU_ASSERT_FATAL(len <= sizeof(first));
	memcpy(first, request.bytes, len);
	fresh_messages();
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_Login, login, 3, &request), KMN_OK);
	CU_ASSERT_TRUE(request.len == len && memcmp(first, request.bytes, len) != 0);
}

static void
test_local_calls_never_cross(void)
{
	struct kmn_call_view v;
	struct kmn_response_view answer;

	fresh_messages();
	kmn_message_begin(&request, KMN_C_Finalize);
	CU_ASSERT_EQUAL(kmn_call_view_decode(request.bytes, request.len, &v), KMN_E_MALFORMED);
	kmn_writer_u64(&request, CKR_OK);
	CU_ASSERT_EQUAL(kmn_response_view_decode(request.bytes, request.len, &answer), KMN_E_MALFORMED);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo oracle[] = {
	    {"every row leaves the same memory, called directly or remotely", test_remote_is_direct},
	    {"every mechanism's parameter arrives, and comes back, as it is", test_each_mechanism_crosses},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo hostile[] = {
	    {"a request cut at any byte is refused", test_truncated_requests},
	    {"a response cut at any byte is refused and writes nothing", test_truncated_responses},
	    {"a response with a flipped bit writes nothing unless it is taken", test_bent_responses},
	    {"a structure does not pass as bytes", test_structures_do_not_pass_as_bytes},
	    {"a template does not pass as bytes", test_templates_do_not_pass_as_bytes},
	    {"templates nest four deep and no more", test_nesting_has_an_end},
	    {"calls of class local never cross", test_local_calls_never_cross},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo meaning[] = {
	    {"NULL, empty, and NULL with a length are three things", test_null_is_not_empty},
	    {"room for nothing is not a length query", test_capacity_zero_is_not_a_query},
	    {"a missing output is refused at once, but for C_DeriveKey's", test_missing_outputs_are_refused},
	    {"the input may be the output", test_input_may_be_the_output},
	    {"unknown mechanisms cross without parameter only", test_unknown_parameters},
	    {"a stray parameter is never read", test_stray_parameter_is_not_read},
	    {"no mechanism is not mechanism 0", test_no_mechanism_has_its_own_tag},
	    {"a lying IV length does not take the application down", test_lying_iv_length},
	    {"fields and handles of a parameter are found", test_fields_by_name},
	    {"a message's parameter is that of its operation's mechanism", test_message_parameters},
	    {"a message of no operation is not looked at", test_message_of_no_operation},
	    {"a message's parameter in another form is refused", test_forged_messages},
	    {"a message is sealed in place, its tag over its header", test_message_in_place},
	    {"room that may be missing, and is", test_room_that_may_be_missing},
	    {"a call through the list of 2.40 says so", test_list_of_2_40},
	    {"a handle that was not given is not written", test_handles_that_are_not_given},
	    {"numbers of the wrong size travel as bytes", test_wrong_sized_numbers_are_bytes},
	    {"room for a number is room for a number of any width", test_numbers_cross_widths},
	    {"a module that overruns its room hits nothing", test_overruns_hit_nothing},
	    {"an absurd capacity is cut to what can be carried", test_absurd_capacities},
	    {"an error without outputs fits every row", test_errors_fit_every_row},
	    {"recorded bytes are handed out as the module's were", test_bytes_are_handed_out_again},
	    {"more than one call can carry is its caller's error", test_too_much_for_one_call},
	    {"the same call twice is not the same bytes", test_messages_are_salted},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"transport/codec oracle", NULL, NULL, NULL, NULL, oracle},
	    {"transport/codec hostile", NULL, NULL, NULL, NULL, hostile},
	    {"transport/codec meaning", NULL, NULL, NULL, NULL, meaning},
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
