/*
 * Calls that bring a digest only, under rules that want to see content: they
 * wait for it, take nothing else for it, and then go the way of their rule.
 */
#include "config.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/attach.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define APPLICATION "APP-2026-0815"
#define LOGIN 1 /* connection of the application */
#define WATCH 2
#define TERMINAL 3
#define TOOL 4
#define STRANGER 5

static const char rules[] =
    "rule certificates\n  client ca other\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n"
    "  expires 1h\n  content tbs-certificate ca=true\n"
    "rule ocsp\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need none\n"
    "  content ocsp-response responder=\"CN=Test CA,C=JP\"\n"
    "rule crl\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n"
    "  content tbs-crl\n"
    "rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n"
    "  allow import extractable\n  need none\n";

struct bytes {
	uint8_t at[4096];
	size_t len;
};

static struct rig rig;
static struct rig_app app;
static CK_OBJECT_HANDLE key;
static struct bytes certificate, ocsp;

static void
load(const char *name, struct bytes *out)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), KMN_VECTORS_DIR "/%s", name);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f = fopen(path, "rb"));
	out->len = fread(out->at, 1, sizeof(out->at), f);
	fclose(f);
}

static void
prepare(void)
{
	struct kmn_writer w;

	load("certificate.der", &certificate);
	load("ocsp.der", &ocsp);
	rig_start(&rig, rules);
	rig_attach(&rig, &app, LOGIN, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &key), CKR_OK);
	CU_ASSERT_TRUE_FATAL(rig_join(&rig, &app, WATCH, &rig.ca));
	kmn_writer_init(&w, 16);
	rig_send(&rig, WATCH, KMN_F_WATCH, &w);
	rig_open(&rig, TERMINAL, &rig.terminal);
	rig_open(&rig, TOOL, &rig.ca);
	rig_open(&rig, STRANGER, &rig.other);
}

/* ---- the call: CKM_RSA_PKCS over the DigestInfo of the content's SHA-256 ---- */

struct signing {
	CK_MECHANISM mechanism;
	uint8_t digest_info[19 + 32], signature[512];
	CK_ULONG len;
	struct kmn_arg arg[3];
	uint8_t payload[1024]; /* as it was sent */
	size_t payload_len;
	uint64_t number, request;
};

static void
signing_init(struct signing *s, const struct bytes *content)
{
	static const uint8_t prefix[19] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04,
	    0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
	struct kmn_arg init[3];

	*s = (struct signing){.mechanism = {CKM_RSA_PKCS, NULL, 0}, .len = sizeof(s->signature)};
	memcpy(s->digest_info, prefix, sizeof(prefix));
	kmn_sha256(content->at, content->len, s->digest_info + sizeof(prefix));
	s->arg[0] = (struct kmn_arg){.u = app.session};
	s->arg[1] = (struct kmn_arg){.p = s->digest_info, .u = sizeof(s->digest_info)};
	s->arg[2] = (struct kmn_arg){.p = s->signature, .n = &s->len};
	init[0] = (struct kmn_arg){.u = app.session};
	init[1] = (struct kmn_arg){.p = &s->mechanism};
	init[2] = (struct kmn_arg){.u = key};
	CU_ASSERT_EQUAL_FATAL(rig_call(&rig, &app, KMN_C_SignInit, init, 3), CKR_OK);
}

static void
send_sign(struct signing *s)
{
	uint8_t *payload;
	size_t len;

	rig_payload(KMN_C_Sign, s->arg, 3, &payload, &len);
	CU_ASSERT_FATAL(len <= sizeof(s->payload));
	memcpy(s->payload, payload, s->payload_len = len);
	free(payload);
	rig_call_raw(&rig, app.conn, ++app.number, app.acknowledged, s->payload, s->payload_len);
	s->number = app.number;
}

/* The call waits, and for which request. */
static void
hold(struct signing *s, const struct bytes *content)
{
	struct rig_frame f = {0};
	struct kmn_reader r;

	signing_init(s, content);
	send_sign(s);
	CU_ASSERT_TRUE_FATAL(rig_expect(&rig, app.conn, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), s->number);
	s->request = kmn_reader_u64(&r);
}

/* It is told that its outcome is there, and asks for it. */
static CK_RV
ask_again(struct signing *s)
{
	CK_RV rv = CKR_VENDOR_DEFINED;
	struct rig_frame f;

	rig_call_raw(&rig, app.conn, s->number, app.acknowledged, s->payload, s->payload_len);
	if (rig_expect(&rig, app.conn, KMN_F_REPLY, &f))
		CU_ASSERT_EQUAL(
		    kmn_response_decode(KMN_C_Sign, s->arg, 3, f.body + RIG_REPLY, f.len - RIG_REPLY, &rv), KMN_OK);
	return rv;
}

/* ---- the tool ---- */

static uint32_t
attach(uint32_t conn, uint64_t request, const struct bytes *data, const char *application, const uint8_t *applicant,
    char *text, size_t size)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 8192);
	kmn_writer_u16(&w, KMN_ADMIN_ATTACH);
	kmn_writer_u64(&w, request);
	kmn_writer_bytes(&w, data == NULL ? NULL : data->at, data == NULL ? 0 : data->len);
	kmn_writer_bytes(&w, NULL, 0);
	kmn_writer_text(&w, application);
	kmn_writer_bytes(&w, applicant, applicant == NULL ? 0 : KMN_HASH_BYTES);
	return rig_admin(&rig, conn, &w, text, size);
}

static uint32_t
attach_next(uint32_t conn, CK_SESSION_HANDLE session, const struct bytes *data)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 8192);
	kmn_writer_u16(&w, KMN_ADMIN_ATTACH_NEXT);
	kmn_writer_raw(&w, app.id, sizeof(app.id));
	kmn_writer_u64(&w, session);
	kmn_writer_bytes(&w, data->at, data->len);
	kmn_writer_bytes(&w, NULL, 0);
	kmn_writer_text(&w, APPLICATION);
	kmn_writer_bytes(&w, NULL, 0);
	return rig_admin(&rig, conn, &w, NULL, 0);
}

static bool
list_says(const char *state)
{
	struct kmn_writer w;
	char text[8192], want[80];

	kmn_writer_init(&w, 16);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_LIST);
	kmn_writer_bool(&w, false);
	CU_ASSERT_EQUAL(rig_admin(&rig, TERMINAL, &w, text, sizeof(text)), KMN_OK);
	snprintf(want, sizeof(want), "\"state\":\"%s\"", state);
	return strstr(text, want) != NULL;
}

static void
approve(uint64_t request)
{
	CU_ASSERT_EQUAL(rig_vote(&rig, TERMINAL, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, TERMINAL, request, "suzuki", "approve"), KMN_OK);
}

/* SHA-256 of the key in certificate.der: its line is in tests/unit/quorum/vectors. */
static void
subject_key(uint8_t out[KMN_HASH_BYTES])
{
	size_t n = 0;

	CU_ASSERT_EQUAL(
	    kmn_b64_parse("GYs3vfWj4LbB/cU6hbYoT4lSx/mICN93t6DRGc/OJ7s=", 44, out, KMN_HASH_BYTES, &n), KMN_OK);
}

/* ---- tests ---- */

static void
test_waits_for_content(void)
{
	uint8_t applicant[KMN_HASH_BYTES];
	struct signing s;
	char text[4096];

	prepare();
	subject_key(applicant);
	hold(&s, &certificate);
	CU_ASSERT_TRUE(list_says("waits for its content"));
	CU_ASSERT_EQUAL(rig_records(&rig, "statement", NULL), 0);
	CU_ASSERT_EQUAL(attach(TOOL, s.request, &ocsp, "", NULL, text, sizeof(text)), KMN_E_ARGUMENTS);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "do not hash to what request"));
	CU_ASSERT_EQUAL(attach(STRANGER, s.request, &certificate, "", NULL, NULL, 0), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(attach(TERMINAL, s.request, &certificate, "", NULL, NULL, 0), KMN_E_DENIED);
	CU_ASSERT_EQUAL(attach(TOOL, s.request, &certificate,
			    "a\xe2\x80\x8b"
			    "b",
			    NULL, NULL, 0),
	    KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(rig_records(&rig, "attachment", NULL), 0);
	CU_ASSERT_EQUAL(attach(TOOL, s.request, &certificate, APPLICATION, applicant, text, sizeof(text)), KMN_OK);
	CU_ASSERT_TRUE(list_says("open"));
	CU_ASSERT_EQUAL(attach(TOOL, s.request, &certificate, "", NULL, NULL, 0), KMN_E_DENIED);
	approve(s.request);
	CU_ASSERT_TRUE(rig_expect(&rig, WATCH, KMN_F_READY, NULL));
	CU_ASSERT_EQUAL(ask_again(&s), CKR_OK);
	CU_ASSERT_EQUAL(s.len, 256);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "attachment", "\"id\":\"" APPLICATION "\""), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "statement", "input-kind x509-tbscertificate\\ninput version 3"), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "statement", "\\napplication " APPLICATION "\\napplicant-key "), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "statement", " matches\\nuses 1\\n"), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "statement", "\\nattachment "), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "result", "sig-verified"), 1);
	rig_end(&rig);
}

static void
test_another_applicant(void)
{
	uint8_t applicant[KMN_HASH_BYTES];
	struct signing s;
	struct kmn_writer w;
	char text[4096];

	prepare();
	subject_key(applicant);
	applicant[0] ^= 1;
	hold(&s, &certificate);
	CU_ASSERT_EQUAL(
	    attach(TOOL, s.request, &certificate, APPLICATION, applicant, text, sizeof(text)), KMN_E_DENIED);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "not the applicant's key that was attached, application " APPLICATION));
	CU_ASSERT_TRUE(list_says("waits for its content"));
	kmn_writer_init(&w, 64);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_WITHDRAW);
	kmn_writer_u64(&w, s.request);
	kmn_writer_text(&w, "wrong key");
	CU_ASSERT_EQUAL(rig_admin(&rig, TOOL, &w, NULL, 0), KMN_OK);
	CU_ASSERT_TRUE(rig_expect(&rig, WATCH, KMN_F_READY, NULL));
	CU_ASSERT_EQUAL(ask_again(&s), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 0);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "attachment", NULL), 0);
	rig_end(&rig);
}

static void
test_free_rule(void)
{
	struct signing s;

	prepare();
	hold(&s, &ocsp);
	CU_ASSERT_EQUAL(attach(TOOL, s.request, &ocsp, "", NULL, NULL, 0), KMN_OK);
	CU_ASSERT_TRUE(rig_expect(&rig, WATCH, KMN_F_READY, NULL));
	CU_ASSERT_EQUAL(ask_again(&s), CKR_OK);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "statement", NULL), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "decision", "\"rule\":\"ocsp\""), 1);
	rig_end(&rig);
}

static void
test_before_the_call(void)
{
	struct signing s;
	struct bytes bent;

	prepare();
	bent = ocsp;
	bent.at[bent.len - 1] ^= 1;
	signing_init(&s, &ocsp);
	CU_ASSERT_EQUAL(attach_next(STRANGER, app.session, &ocsp), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(attach_next(TOOL, app.session + 1000, &ocsp), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(attach_next(TOOL, app.session, &ocsp), KMN_OK);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_Sign, s.arg, 3), CKR_OK);
	CU_ASSERT_EQUAL(rig_records(&rig, "intent", "\"application\":{\"id\":\"" APPLICATION "\"}"), 1);
	/* Other bytes: refused, and gone with that call. */
	signing_init(&s, &ocsp);
	CU_ASSERT_EQUAL(attach_next(TOOL, app.session, &bent), KMN_OK);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_Sign, s.arg, 3), CKR_FUNCTION_REJECTED);
	hold(&s, &certificate);
	CU_ASSERT_TRUE(list_says("waits for its content"));
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "attachment", NULL), 0);
	rig_end(&rig);
}

/* What waits for its content outlives the gateway, and the call that waited. */
static void
test_over_a_crash(void)
{
	struct signing s;

	prepare();
	hold(&s, &certificate);
	rig_kill(&rig);
	rig_restart(&rig);
	rig_attach(&rig, &app, LOGIN, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "other", &key), CKR_OK);
	rig_open(&rig, TERMINAL, &rig.terminal);
	rig_open(&rig, TOOL, &rig.ca);
	CU_ASSERT_TRUE(list_says("waits for its content"));
	CU_ASSERT_EQUAL(attach(TOOL, s.request, &certificate, "", NULL, NULL, 0), KMN_OK);
	rig_kill(&rig);
	rig_restart(&rig);
	rig_open(&rig, TERMINAL, &rig.terminal);
	CU_ASSERT_FALSE(list_says("waits for its content"));
	approve(s.request);
	CU_ASSERT_TRUE(list_says("approved"));
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a bare digest waits for its content, and takes no other", test_waits_for_content},
	    {"a key that is not the applicant's is refused", test_another_applicant},
	    {"a rule without quorum runs when the content is there", test_free_rule},
	    {"content attached before the call is the call's", test_before_the_call},
	    {"a wait for content outlives the gateway", test_over_a_crash},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/attach", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
