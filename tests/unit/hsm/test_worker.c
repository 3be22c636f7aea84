/* The worker against the module of tests/mock, which counts what reaches it. */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/hsm/host.h"
#include "tests/unit/run.h"

#define SLOT 11u
#define OTHER_SLOT 22u
#define DATA "0123456789abcdef0123456789abcdef" /* as long as a SHA-256 digest */

static const char *const two_slots[] = {"KMN_MOCK_SLOTS=2", NULL};

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A session on the first slot with the user logged in. */
static CK_SESSION_HANDLE
user_session(struct host *h)
{
	CK_SESSION_HANDLE s = 0;

	CU_ASSERT_EQUAL(host_OpenSession(h, SLOT, CKF_RW_SESSION, &s), CKR_OK);
	CU_ASSERT_EQUAL(host_Login(h, s, CKU_USER, "1234"), CKR_OK);
	return s;
}

static struct host_pair
ec_pair(struct host *h, CK_SESSION_HANDLE s, const char *label)
{
	struct host_pair pair = {0, 0};

	CU_ASSERT_EQUAL(host_generate_ec(h, s, label, true, &pair), CKR_OK);
	return pair;
}

static CK_RV
sign(struct host *h, CK_SESSION_HANDLE s)
{
	CK_BYTE signature[256];
	CK_ULONG len = sizeof(signature);

	return host_Sign(h, s, DATA, signature, &len);
}

static CK_ULONG
vendor_sessions(struct host *h, CK_SLOT_ID slot)
{
	CK_TOKEN_INFO info;

	CU_ASSERT_EQUAL(host_GetTokenInfo(h, slot, &info), CKR_OK);
	return info.ulSessionCount;
}

static void
test_ready(void)
{
	struct host h;

	host_start_mock(&h, NULL);
	CU_ASSERT_EQUAL(h.ready, CKR_OK);
	CU_ASSERT_STRING_EQUAL(h.manufacturer, "kanmon");
	CU_ASSERT_STRING_EQUAL(h.description, "module for tests");
	CU_ASSERT_EQUAL(h.cryptoki, 0x0228);
	CU_ASSERT_EQUAL(h.library, 0x0102);
	CU_ASSERT_EQUAL(h.lists, 1);
	CU_ASSERT_EQUAL(h.list[0].version, 0x0228);
	CU_ASSERT_EQUAL(host_logged(&h, "C_Initialize"), 1);
	kmn_ipc_free(h.ipc);
	h.ipc = NULL;
	CU_ASSERT_EQUAL(host_wait(&h), 0);
	CU_ASSERT_EQUAL(host_logged(&h, "C_Finalize"), 1);
	(void)host_end(&h);
}

static void
test_no_module(void)
{
	struct host h;

	host_start(&h, "/nonexistent/module.so", NULL, NULL);
	CU_ASSERT_EQUAL(h.ready, CKR_GENERAL_ERROR);
	CU_ASSERT_PTR_NOT_NULL(strstr(h.description, "/nonexistent/module.so"));
	CU_ASSERT_EQUAL(host_end(&h), 1);
}

static void
test_sign(void)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		bool rsa;
		const char *hash;
	} cases[] = {{CKM_SHA256_RSA_PKCS, true, "SHA256"}, {CKM_ECDSA_SHA256, false, "SHA256"},
	    {CKM_ECDSA_SHA384, false, "SHA384"}};
	struct host_pair rsa = {0, 0}, ec;
	struct kmn_key_facts facts;
	CK_BYTE signature[512];
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, CKF_RW_SESSION, &s), CKR_OK);
	CU_ASSERT_EQUAL(host_Login(&h, s, CKU_USER, "4321"), CKR_PIN_INCORRECT);
	CU_ASSERT_EQUAL(host_Login(&h, s, CKU_USER, "1234"), CKR_OK);
	CU_ASSERT_EQUAL(host_generate_rsa(&h, s, "rsa", true, &rsa), CKR_OK);
	ec = ec_pair(&h, s, "ec");
	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		CK_OBJECT_HANDLE key = cases[i].rsa ? rsa.private : ec.private;
		CK_ULONG len = 0;

		CU_ASSERT_EQUAL(host_describe(&h, s, key, &facts), CKR_OK);
		CU_ASSERT_EQUAL(host_SignInit(&h, s, cases[i].type, key), CKR_OK);
		CU_ASSERT_EQUAL(host_Sign(&h, s, DATA, NULL, &len), CKR_OK);
		CU_ASSERT_EQUAL(len, cases[i].rsa ? 256 : 64);
		len = 10;
		CU_ASSERT_EQUAL(host_Sign(&h, s, DATA, signature, &len), CKR_BUFFER_TOO_SMALL);
		len = sizeof(signature);
		CU_ASSERT_EQUAL(host_Sign(&h, s, DATA, signature, &len), CKR_OK);
		CU_ASSERT_TRUE(host_verifies(&facts, cases[i].hash, DATA, signature, len, !cases[i].rsa));
	}
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_describe(void)
{
	struct kmn_key_facts private, public;
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "bell\a and id");
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.private, &private), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.public, &public), CKR_OK);
	CU_ASSERT_EQUAL(private.object, ec.private);
	CU_ASSERT_EQUAL(private.slot, SLOT);
	CU_ASSERT_EQUAL(private.class, CKO_PRIVATE_KEY);
	CU_ASSERT_EQUAL(private.key_type, CKK_EC);
	CU_ASSERT_EQUAL(private.mechanism, CKM_EC_KEY_PAIR_GEN);
	CU_ASSERT_STRING_EQUAL(private.label, "bell? and id");
	CU_ASSERT_EQUAL(private.id_len, strlen("id-bell\a and id"));
	CU_ASSERT_EQUAL(private.flags, KMN_KEY_TOKEN | KMN_KEY_PRIVATE | KMN_KEY_SENSITIVE | KMN_KEY_ALWAYS_SENSITIVE |
					   KMN_KEY_NEVER_EXTRACTABLE | KMN_KEY_LOCAL);
	CU_ASSERT_EQUAL(private.known & KMN_KEY_EXTRACTABLE, 0);
	CU_ASSERT_TRUE(private.spki_len > 0);
	CU_ASSERT_EQUAL(private.spki_len, public.spki_len);
	CU_ASSERT_EQUAL(memcmp(private.spki, public.spki, private.spki_len), 0);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 1);
	CU_ASSERT_EQUAL(host_describe(&h, s, 9999, &private), CKR_OBJECT_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_describe(&h, 9999, ec.private, &private), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* Another public key with the same CKA_ID: nobody can say which one belongs to the private key. */
static void
test_ambiguous(void)
{
	struct kmn_key_facts facts;
	struct host_pair one, two;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	one = ec_pair(&h, s, "twin");
	two = ec_pair(&h, s, "twin");
	CU_ASSERT_EQUAL(host_describe(&h, s, one.private, &facts), CKR_OK);
	CU_ASSERT_EQUAL(facts.spki_len, 0);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, s, two.public), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&h, s, one.private, &facts), CKR_OK);
	CU_ASSERT_TRUE(facts.spki_len > 0);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* A self-made certificate of that key, which says nothing that a check would need. */
static CK_OBJECT_HANDLE
put_certificate(struct host *h, CK_SESSION_HANDLE s, const struct kmn_key_facts *subject, const char *id)
{
	CK_OBJECT_CLASS class = CKO_CERTIFICATE;
	CK_CERTIFICATE_TYPE type = CKC_X_509;
	EVP_PKEY *signer = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "prime256v1"), *key;
	const uint8_t *at = subject->spki;
	CK_OBJECT_HANDLE object = 0;
	uint8_t *der = NULL;
	X509 *x = X509_new();
	char id_copy[64];
	int n;

	snprintf(id_copy, sizeof(id_copy), "%s", id);
	key = d2i_PUBKEY(NULL, &at, subject->spki_len);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_set_pubkey(x, key);
	X509_sign(x, signer, EVP_sha256());
	n = i2d_X509(x, &der);
	CU_ASSERT_TRUE_FATAL(n > 0);
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_CERTIFICATE_TYPE, &type, sizeof(type)},
	    {CKA_ID, id_copy, (CK_ULONG)strlen(id)}, {CKA_VALUE, der, (CK_ULONG)n}};
	CU_ASSERT_EQUAL(host_CreateObject(h, s, t, KMN_COUNT_OF(t), &object), CKR_OK);
	OPENSSL_free(der);
	X509_free(x);
	EVP_PKEY_free(key);
	EVP_PKEY_free(signer);
	return object;
}

/* Without a public key object the certificate of the same id is the public half; a stranger's is not taken for RSA. */
static void
test_certificate(void)
{
	struct kmn_key_facts ec_facts, rsa_facts, facts;
	struct host_pair ec, rsa = {0, 0};
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	CU_ASSERT_EQUAL(host_generate_rsa(&h, s, "rsa", true, &rsa), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.public, &ec_facts), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&h, s, rsa.public, &rsa_facts), CKR_OK);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, s, ec.public), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.private, &facts), CKR_OK);
	CU_ASSERT_EQUAL(facts.spki_len, 0);
	(void)put_certificate(&h, s, &rsa_facts, "id-key"); /* of a key that cannot be its half */
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.private, &facts), CKR_OK);
	CU_ASSERT_EQUAL(facts.spki_len, 0);
	(void)put_certificate(&h, s, &ec_facts, "id-key");
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.private, &facts), CKR_OK);
	CU_ASSERT_EQUAL(facts.spki_len, ec_facts.spki_len);
	CU_ASSERT_EQUAL(memcmp(facts.spki, ec_facts.spki, ec_facts.spki_len), 0);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_find_key(void)
{
	struct kmn_key_facts facts;
	struct host_pair one, two;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, two_slots);
	s = user_session(&h);
	one = ec_pair(&h, s, "one");
	two = ec_pair(&h, s, "two");
	CU_ASSERT_EQUAL(host_find_key(&h, "mock-1", "two", "", &facts), CKR_OK);
	CU_ASSERT_EQUAL(facts.object, two.public);
	CU_ASSERT_EQUAL(facts.class, CKO_PUBLIC_KEY);
	CU_ASSERT_EQUAL(facts.slot, SLOT);
	CU_ASSERT_TRUE(facts.spki_len > 0);
	CU_ASSERT_EQUAL(host_find_key(&h, "mock-1", "", "id-one", &facts), CKR_OK);
	CU_ASSERT_EQUAL(facts.object, one.public);
	CU_ASSERT_EQUAL(host_find_key(&h, "mock-1", "one", "id-two", &facts), CKR_KEY_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_find_key(&h, "mock-2", "two", "", &facts), CKR_KEY_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_find_key(&h, "mock-3", "two", "", &facts), CKR_TOKEN_NOT_PRESENT);
	CU_ASSERT_EQUAL(host_find_key(&h, "mock-1", "", "", &facts), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 1);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_token(void)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;
	struct kmn_writer w;
	struct host h;
	char text[64];

	host_start_mock(&h, two_slots);
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, 77);
	kmn_writer_u64(&w, OTHER_SLOT);
	host_send(&h, KMN_W_TOKEN, &w);
	CU_ASSERT_TRUE_FATAL(host_receive(&h, &m));
	CU_ASSERT_EQUAL(m.kind, KMN_W_TOKEN_FACTS);
	kmn_reader_init(&r, m.body, m.len_bytes);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), 77);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), CKR_OK);
	kmn_reader_text(&r, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "mock-2");
	kmn_reader_text(&r, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "kanmon");
	kmn_reader_text(&r, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "mock");
	kmn_reader_text(&r, text, sizeof(text));
	CU_ASSERT_STRING_EQUAL(text, "0002");
	CU_ASSERT_EQUAL(kmn_reader_u16(&r), 0x0506);
	CU_ASSERT_EQUAL(kmn_reader_u16(&r), 0x0304);
	CU_ASSERT_TRUE((kmn_reader_u64(&r) & CKF_LOGIN_REQUIRED) != 0);
	CU_ASSERT_EQUAL(kmn_reader_u8(&r), 0);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* ---- side sessions ---- */

static void
test_side(void)
{
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	CK_BYTE signature[64];
	CK_ULONG len = 0;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	h.flags = 0;
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 2);
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OPERATION_ACTIVE);
	CU_ASSERT_EQUAL(host_Sign(&h, s, DATA, NULL, &len), CKR_OK);
	len = 5;
	CU_ASSERT_EQUAL(host_Sign(&h, s, DATA, signature, &len), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 2);
	len = sizeof(signature);
	CU_ASSERT_EQUAL(host_Sign(&h, s, DATA, signature, &len), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 1);
	CU_ASSERT_EQUAL(sign(&h, s), CKR_OPERATION_NOT_INITIALIZED);

	/* An *Init that the module refuses leaves no session behind. */
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.public), CKR_KEY_HANDLE_INVALID);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 1);
	CU_ASSERT_EQUAL(host_SignInit(&h, 9999, CKM_ECDSA, ec.private), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_side_drop(void)
{
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	host_drop(&h, s, KMN_OP_DECRYPT); /* another kind: nothing happens */
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 2);
	host_drop(&h, s, KMN_OP_SIGN);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 1);
	CU_ASSERT_EQUAL(sign(&h, s), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	CU_ASSERT_EQUAL(sign(&h, s), CKR_OK);
	host_drop(&h, s, KMN_OP_SIGN);
	host_drop(&h, 9999, KMN_OP_SIGN);
	CU_ASSERT_EQUAL(host_logged(&h, "C_Sign"), 2);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_side_beside_own(void)
{
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OPERATION_ACTIVE);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 1);
	h.flags = 0;
	CU_ASSERT_EQUAL(sign(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_side_context_login(void)
{
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE always = {CKA_ALWAYS_AUTHENTICATE, &yes, 1};
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	CU_ASSERT_EQUAL(host_call(&h, KMN_C_SetAttributeValue,
			    (const struct kmn_arg[]){{.u = s}, {.u = ec.private}, {.p = &always, .u = 1}}, 3),
	    CKR_OK);
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	h.flags = 0;
	CU_ASSERT_EQUAL(host_Login(&h, s, CKU_CONTEXT_SPECIFIC, "1234"), CKR_OK);
	CU_ASSERT_EQUAL(sign(&h, s), CKR_OK);
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	h.flags = 0;
	CU_ASSERT_EQUAL(sign(&h, s), CKR_USER_NOT_LOGGED_IN); /* which ends it */
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 1);
	CU_ASSERT_EQUAL(host_Login(&h, s, CKU_CONTEXT_SPECIFIC, "1234"), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_side_close(void)
{
	struct host_pair ec;
	CK_SESSION_HANDLE s, other;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &other), CKR_OK);
	ec = ec_pair(&h, s, "key");
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 3);
	CU_ASSERT_EQUAL(host_CloseSession(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 1);
	CU_ASSERT_EQUAL(host_SignInit(&h, other, CKM_ECDSA, ec.private), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 2);
	CU_ASSERT_EQUAL(host_CloseAllSessions(&h, SLOT), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 0);
	CU_ASSERT_EQUAL(sign(&h, other), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* ---- handles ---- */

static void
test_stale_handles(void)
{
	CK_OBJECT_CLASS data = CKO_DATA;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &data, sizeof(data)}};
	CK_OBJECT_HANDLE one, two, mine, token, found[8];
	CK_SESSION_HANDLE s, other, again;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	CU_ASSERT_EQUAL(host_CreateObject(&h, s, t, 1, &one), CKR_OK);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, s, one), CKR_OK);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, s, one), CKR_OBJECT_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_CreateObject(&h, s, t, 1, &two), CKR_OK); /* the mock uses the number again */
	CU_ASSERT_TRUE(two > one);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, s, one), CKR_OBJECT_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, one), CKR_KEY_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_find(&h, s, t, 1, found, 8), 1);
	CU_ASSERT_EQUAL(found[0], two);

	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, CKF_RW_SESSION, &other), CKR_OK);
	CU_ASSERT_EQUAL(host_CreateObject(&h, other, t, 1, &mine), CKR_OK);
	CU_ASSERT_EQUAL(host_CloseSession(&h, other), CKR_OK);
	CU_ASSERT_EQUAL(host_CloseSession(&h, other), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, CKF_RW_SESSION, &again), CKR_OK);
	CU_ASSERT_EQUAL(host_CreateObject(&h, again, t, 1, &token), CKR_OK);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, s, mine), CKR_OBJECT_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_Logout(&h, other), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, s, token), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_two_slots(void)
{
	CK_OBJECT_CLASS data = CKO_DATA;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &data, sizeof(data)}};
	CK_OBJECT_HANDLE here, there;
	CK_SESSION_HANDLE s, other;
	CK_SLOT_ID slots[4];
	CK_ULONG n = 4;
	struct host h;

	host_start_mock(&h, two_slots);
	CU_ASSERT_EQUAL(host_GetSlotList(&h, slots, &n), CKR_OK);
	CU_ASSERT_EQUAL(n, 2);
	s = user_session(&h);
	CU_ASSERT_EQUAL(host_OpenSession(&h, OTHER_SLOT, CKF_RW_SESSION, &other), CKR_OK);
	CU_ASSERT_EQUAL(host_CreateObject(&h, s, t, 1, &here), CKR_OK);
	CU_ASSERT_EQUAL(host_CreateObject(&h, other, t, 1, &there), CKR_OK);
	CU_ASSERT_NOT_EQUAL(here, there);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, other, here), CKR_OBJECT_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, other, there), CKR_OK);
	CU_ASSERT_EQUAL(host_DestroyObject(&h, s, here), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_init_token(void)
{
	struct kmn_key_facts facts;
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	CU_ASSERT_EQUAL(host_InitToken(&h, SLOT, "12345678", "new"), CKR_SESSION_EXISTS);
	CU_ASSERT_EQUAL(host_CloseAllSessions(&h, SLOT), CKR_OK);
	CU_ASSERT_EQUAL(host_InitToken(&h, SLOT, "wrong", "new"), CKR_PIN_INCORRECT);
	CU_ASSERT_EQUAL(host_InitToken(&h, SLOT, "12345678", "new"), CKR_OK);
	s = user_session(&h);
	(void)ec_pair(&h, s, "key"); /* with the numbers of the old one */
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.private, &facts), CKR_OBJECT_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_find_key(&h, "new", "key", "", &facts), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* ---- threads ---- */

#define SESSIONS 6

/* Receives so many replies, and puts their tags in the order in which they came. */
static void
tags(struct host *h, uint64_t *tag, size_t count)
{
	struct kmn_response_view v;

	for (size_t i = 0; i < count; i++) {
		tag[i] = host_reply(h, &v);
		CU_ASSERT_EQUAL(v.id, KMN_C_Sign);
		CU_ASSERT_EQUAL(v.rv, CKR_OK);
	}
}

static void
test_parallel(void)
{
	static const char *const slow[] = {"KMN_MOCK_DELAY_MS=300", NULL};
	CK_SESSION_HANDLE s[SESSIONS];
	uint64_t tag[SESSIONS];
	struct host_pair ec;
	struct host h;
	double begin;

	host_start_mock(&h, slow);
	s[0] = user_session(&h);
	ec = ec_pair(&h, s[0], "key");
	for (size_t i = 1; i < SESSIONS; i++)
		CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &s[i]), CKR_OK);
	for (size_t i = 0; i < SESSIONS; i++) {
		h.flags = i % 2 == 0 ? KMN_WF_SIDE : 0;
		CU_ASSERT_EQUAL(host_SignInit(&h, s[i], CKM_ECDSA, ec.private), CKR_OK);
	}
	h.flags = 0;
	begin = seconds();
	for (size_t i = 0; i < SESSIONS; i++)
		(void)host_send_sign(&h, s[i], DATA);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), SESSIONS + SESSIONS / 2); /* answered before any of them */
	CU_ASSERT_TRUE(seconds() - begin < 0.25);
	tags(&h, tag, SESSIONS);
	CU_ASSERT_TRUE(seconds() - begin < SESSIONS * 0.3);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* One session's calls run one after the other, as they were sent, while nothing waits for an answer. */
static void
test_order(void)
{
	struct kmn_response_view v;
	struct host_pair ec;
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	CK_SESSION_HANDLE s;
	struct host h;
	uint64_t first;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	first = h.tag + 1;
	for (unsigned i = 0; i < 50; i++) {
		const struct kmn_arg init[] = {{.u = s}, {.p = &mechanism}, {.u = ec.private}};

		h.flags = i % 3 == 0 ? KMN_WF_SIDE : 0;
		(void)host_send_call(&h, KMN_C_SignInit, init, KMN_COUNT_OF(init));
		(void)host_send_sign(&h, s, DATA);
	}
	for (unsigned i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(host_reply(&h, &v), first + i);
		CU_ASSERT_EQUAL(v.rv, CKR_OK);
	}
	CU_ASSERT_EQUAL(host_logged(&h, "C_Sign"), 50);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* Many sessions do everything at once, some of them closed by a call that names the slot. For the thread sanitizer. */
static void
test_churn(void)
{
	struct kmn_ipc_message m;
	struct host_pair ec;
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	CK_SESSION_HANDLE s[SESSIONS];
	struct host h;
	unsigned sent = 0;

	host_start_mock(&h, two_slots);
	s[0] = user_session(&h);
	ec = ec_pair(&h, s[0], "key");
	for (size_t i = 1; i < SESSIONS; i++)
		CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &s[i]), CKR_OK);
	for (unsigned round = 0; round < 20; round++)
		for (size_t i = 0; i < SESSIONS; i++) {
			const struct kmn_arg init[] = {{.u = s[i]}, {.p = &mechanism}, {.u = ec.private}};
			const struct kmn_arg close_all[] = {{.u = round == 15 ? SLOT : OTHER_SLOT}};
			struct kmn_writer w;

			h.flags = round % 2 == 0 ? KMN_WF_SIDE : 0;
			(void)host_send_call(&h, KMN_C_SignInit, init, KMN_COUNT_OF(init));
			kmn_writer_init(&w, 64);
			kmn_writer_u64(&w, ++h.tag);
			kmn_writer_u64(&w, s[i]);
			kmn_writer_u64(&w, ec.private);
			host_send(&h, KMN_W_DESCRIBE, &w);
			(void)host_send_sign(&h, s[i], DATA);
			(void)host_send_call(&h, KMN_C_CloseAllSessions, close_all, 1);
			sent += 4;
		}
	while (sent > 0 && host_receive(&h, &m))
		sent--;
	CU_ASSERT_EQUAL(sent, 0);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 0);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* ---- ends ---- */

static void
test_end_while_running(void)
{
	static const char *const slow[] = {"KMN_MOCK_DELAY_MS=300", NULL};
	struct timespec pause = {.tv_nsec = 100000000L};
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, slow);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	(void)host_send_sign(&h, s, DATA);
	(void)host_send_sign(&h, s, DATA);
	(void)host_send_sign(&h, s, DATA);
	(void)nanosleep(&pause, NULL);
	kmn_ipc_free(h.ipc);
	h.ipc = NULL;
	CU_ASSERT_EQUAL(host_wait(&h), 0);
	CU_ASSERT_EQUAL(host_logged(&h, "C_Sign"), 1); /* what waited behind it never ran */
	CU_ASSERT_EQUAL(host_logged(&h, "C_Finalize"), 1);
	(void)host_end(&h);
}

static void
test_crash(void)
{
	struct kmn_ipc_message m;
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "crash");
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	(void)host_send_sign(&h, s, DATA);
	CU_ASSERT_FALSE(host_receive(&h, &m));
	CU_ASSERT_NOT_EQUAL(host_wait(&h), 0);
	(void)host_end(&h);
}

/* ---- those who lie ---- */

static void
test_lying_module(void)
{
	static const char *const rows[] = {"KMN_MOCK_OVERRUN=attributes slots signature find", NULL};
	CK_BYTE label[4] = {0}, signature[64];
	CK_ATTRIBUTE t = {CKA_LABEL, label, 2};
	CK_OBJECT_HANDLE found[4] = {0};
	CK_ULONG len = sizeof(signature), n = 0;
	struct kmn_key_facts facts;
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	CK_SLOT_ID slot;
	struct host h;

	host_start_mock(&h, rows);
	s = user_session(&h);
	ec = ec_pair(&h, s, "long label");
	(void)host_GetAttributeValue(&h, s, ec.public, &t, 1);
	CU_ASSERT_EQUAL(label[2], 0); /* nothing behind the room that the caller had */
	CU_ASSERT_EQUAL(label[3], 0);
	(void)host_GetSlotList(&h, &slot, &n);
	CU_ASSERT_TRUE(host_find(&h, s, NULL, 0, found, 1) <= 1);
	CU_ASSERT_EQUAL(found[1], 0);
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.private, &facts), CKR_OK);
	CU_ASSERT_TRUE(facts.spki_len > 0);
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA_SHA256, ec.private), CKR_OK);
	CU_ASSERT_EQUAL(host_Sign(&h, s, DATA, signature, &len), CKR_OK);
	CU_ASSERT_TRUE(host_verifies(&facts, "SHA256", DATA, signature, len, true));
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_lying_lengths(void)
{
	static const char *const rows[] = {"KMN_MOCK_OVERRUN=lengths", NULL};
	CK_BYTE label[16];
	CK_ATTRIBUTE t = {CKA_LABEL, label, sizeof(label)};
	struct kmn_key_facts facts;
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, rows);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	CU_ASSERT_EQUAL(host_describe(&h, s, ec.private, &facts), CKR_DEVICE_ERROR);
	(void)host_GetAttributeValue(&h, s, ec.public, &t, 1);
	CU_ASSERT_EQUAL(host_CloseSession(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/*
 * Values longer than any slack: once the module was seen to write beyond a
 * room it is asked for lengths first, and its other values are whole.
 */
static void
test_long_overruns(void)
{
	static const char *const rows[] = {"KMN_MOCK_OVERRUN=attributes", NULL};
	static CK_BYTE big[300000];
	CK_BYTE value[16] = {0};
	CK_ULONG class = CKO_DATA;
	CK_ATTRIBUTE make[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, big, 10}, {CKA_VALUE, big, sizeof(big)}},
		     label = {CKA_LABEL, value, 2}, t[] = {{CKA_LABEL, value, 10}, {CKA_VALUE, value + 10, 3}};
	CK_OBJECT_HANDLE object;
	CK_SESSION_HANDLE s;
	struct host h;

	memset(big, 'b', sizeof(big));
	host_start_mock(&h, rows);
	s = user_session(&h);
	CU_ASSERT_EQUAL(host_CreateObject(&h, s, make, 3, &object), CKR_OK);
	CU_ASSERT_EQUAL(host_GetAttributeValue(&h, s, object, &label, 1), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(host_logged(&h, "C_GetAttributeValue"), 1);
	CU_ASSERT_EQUAL(host_GetAttributeValue(&h, s, object, t, 2), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(host_logged(&h, "C_GetAttributeValue"), 3);
	CU_ASSERT_TRUE(t[0].ulValueLen == 10 && memcmp(value, big, 10) == 0);
	CU_ASSERT_EQUAL(t[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
	CU_ASSERT_EQUAL(value[10], 0);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* A module that writes where nothing of ours is: the process ends at once, and nothing it would have told is told. */
static void
test_guard_page(void)
{
	static const char *const rows[] = {"KMN_MOCK_OVERRUN=far", NULL};
	CK_BYTE signature[64];
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[3] = {{.p = NULL}};
	struct kmn_ipc_message m;
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock(&h, rows);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	arg[0].u = s;
	arg[1].p = signature;
	arg[1].u = 32;
	arg[2].p = signature;
	arg[2].n = &len;
	(void)host_send_call(&h, KMN_C_Sign, arg, 3);
	CU_ASSERT_FALSE(host_receive(&h, &m));
	CU_ASSERT_NOT_EQUAL(host_end(&h), 0);
}

/* Sends one body of that kind; the worker answers or ends with status 1, and never crashes. */
static bool
hostile(struct host *h, uint8_t kind, const uint8_t *body, size_t len)
{
	struct kmn_ipc_message m;

	if (kmn_ipc_send(h->ipc, kind, body, len, -1) != KMN_OK)
		return false;
	return host_receive(h, &m);
}

static void
restart(struct host *h, const char *why)
{
	int status = host_end(h);

	CU_ASSERT_TRUE(status == 0 || status == 1);
	if (status != 0 && status != 1)
		printf("# worker ended with %d after %s\n", status, why);
	host_start_mock(h, NULL);
}

static void
test_hostile_keeper(void)
{
	static const uint8_t kinds[] = {
	    KMN_W_CALL, KMN_W_DESCRIBE, KMN_W_FIND_KEY, KMN_W_DROP, KMN_W_TOKEN, KMN_W_ALIAS, 0, 7, KMN_W_READY, 255};
	uint8_t body[200];
	unsigned seed = 7;
	struct host h;

	host_start_mock(&h, NULL);
	for (size_t k = 0; k < KMN_COUNT_OF(kinds); k++)
		for (size_t len = 0; len < 30; len++) {
			memset(body, (int)(len % 5), sizeof(body));
			if (!hostile(&h, kinds[k], body, len))
				restart(&h, "a short message");
		}
	for (unsigned round = 0; round < 2000; round++) {
		size_t len = (size_t)rand_r(&seed) % sizeof(body);

		for (size_t i = 0; i < len; i++)
			body[i] = (uint8_t)rand_r(&seed);
		if (len > 11) { /* a call that there is, most of the time */
			body[9] = 0;
			body[10] = (uint8_t)(body[10] % (KMN_CALL_COUNT + 2));
		}
		if (!hostile(&h, kinds[round % 6], body, len))
			restart(&h, "random bytes");
	}
	CU_ASSERT_EQUAL(h.ready, CKR_OK);
	(void)host_end(&h);
}

/* Every request of a good session, cut at each length and with each byte bent. */
static void
test_bent_requests(void)
{
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	struct kmn_writer w;
	struct host_pair ec;
	CK_SESSION_HANDLE s;
	uint8_t *whole;
	struct host h;
	size_t n;

	host_start_mock(&h, NULL);
	s = user_session(&h);
	ec = ec_pair(&h, s, "key");
	kmn_writer_init(&w, 1024);
	kmn_writer_u64(&w, 1);
	kmn_writer_u8(&w, KMN_WF_SIDE);
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_SignInit,
			    (const struct kmn_arg[]){{.u = s}, {.p = &mechanism}, {.u = ec.private}}, 3, &w),
	    KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_writer_take(&w, &whole, &n), KMN_OK);
	for (size_t i = 9; i < n; i++)
		CU_ASSERT_TRUE(hostile(&h, KMN_W_CALL, whole, i));
	for (size_t i = 9; i < n; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			whole[i] ^= (uint8_t)(1u << bit);
			CU_ASSERT_TRUE(hostile(&h, KMN_W_CALL, whole, n));
			whole[i] ^= (uint8_t)(1u << bit);
		}
	free(whole);
	CU_ASSERT_EQUAL(host_CloseSession(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* An application that lost its worker: a new one with numbers above the old ones, and the old ones as names. */
static void
test_alias(void)
{
	const struct kmn_worker_setup setup = {.first_handle = 1000, .handle_step = 4};
	CK_SESSION_HANDLE s;
	struct host_pair ec;
	struct host h;

	host_start_mock_as(&h, &setup, NULL);
	s = user_session(&h);
	CU_ASSERT_EQUAL(s, 1000);
	ec = ec_pair(&h, s, "key");
	CU_ASSERT_EQUAL(ec.public, 1004);
	CU_ASSERT_EQUAL(host_alias(&h, 7, s), CKR_OK);
	CU_ASSERT_EQUAL(host_alias(&h, 8, ec.private), CKR_OK);
	CU_ASSERT_EQUAL(host_alias(&h, 8, ec.public), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(host_alias(&h, 2000, ec.public), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(host_alias(&h, 9, 999), CKR_OBJECT_HANDLE_INVALID);
	/* An operation belongs to the session, whatever name began it; a side session too. */
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, 7, CKM_ECDSA, 8), CKR_OK);
	h.flags = 0;
	CU_ASSERT_EQUAL(sign(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(host_SignInit(&h, s, CKM_ECDSA, ec.private), CKR_OK);
	CU_ASSERT_EQUAL(sign(&h, 7), CKR_OK);
	CU_ASSERT_EQUAL(host_CloseSession(&h, 7), CKR_OK);
	CU_ASSERT_EQUAL(host_CloseSession(&h, s), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(vendor_sessions(&h, SLOT), 0);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* A module without slot events: told once, and the process stays until it is not wanted. */
static void
test_watch_unsupported(void)
{
	const struct kmn_worker_setup setup = {.watching = true};
	struct pollfd p = {.events = POLLIN};
	CK_SLOT_ID slot;
	struct host h;

	host_start_mock_as(&h, &setup, NULL);
	CU_ASSERT_EQUAL(h.ready, CKR_OK);
	CU_ASSERT_EQUAL(host_event(&h, &slot), CKR_FUNCTION_NOT_SUPPORTED);
	p.fd = kmn_ipc_fd(h.ipc);
	CU_ASSERT_EQUAL(poll(&p, 1, 100), 0);
	CU_ASSERT_EQUAL(host_logged(&h, "C_WaitForSlotEvent"), 1);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* Half a message, and then nothing: the socket of a keeper that was killed. */
static void
test_half_a_message(void)
{
	static const uint8_t half[] = {0, 0, 0, 40, KMN_W_CALL, 0, 0};
	struct host h;

	host_start_mock(&h, NULL);
	CU_ASSERT_EQUAL(send(kmn_ipc_fd(h.ipc), half, sizeof(half), MSG_NOSIGNAL), (ssize_t)sizeof(half));
	CU_ASSERT_EQUAL(host_end(&h), 1);
}

static CU_TestInfo tests[] = {
    {"it says who made the module, and finalises it at the end", test_ready},
    {"a module that cannot be loaded is told with its reason", test_no_module},
    {"login, generate, sign; OpenSSL verifies with the key that is described", test_sign},
    {"a private key is described with its public half", test_describe},
    {"two public keys with one id: none is taken", test_ambiguous},
    {"a certificate of the same id is the public half where there is no public key", test_certificate},
    {"a key is found by token, label and id without login", test_find_key},
    {"a token is described", test_token},
    {"a side session holds one operation and goes with it", test_side},
    {"a dropped operation is gone, and another can begin", test_side_drop},
    {"an operation of the session itself keeps a side one out", test_side_beside_own},
    {"a context-specific login goes to the side session", test_side_context_login},
    {"side sessions close with their session", test_side_close},
    {"handles of what is gone stay dead when the module uses their numbers again", test_stale_handles},
    {"two slots with the same object numbers", test_two_slots},
    {"a new token kills the handles of the old one", test_init_token},
    {"sessions run side by side, and slot calls beside them", test_parallel},
    {"the calls of a session keep their order", test_order},
    {"many sessions do everything at once", test_churn},
    {"when the keeper goes, what runs ends and what waits never runs", test_end_while_running},
    {"a crash of the module is the end of the worker alone", test_crash},
    {"a module that writes too much does no harm", test_lying_module},
    {"a module that writes whole values is asked for their lengths first", test_long_overruns},
    {"a module that writes far beyond its room ends its process", test_guard_page},
    {"a module that claims terabytes does no harm", test_lying_lengths},
    {"sessions and objects go by the numbers of an earlier worker", test_alias},
    {"a module without slot events is asked once", test_watch_unsupported},
    {"a keeper that sends rubbish gets answers or a clean end", test_hostile_keeper},
    {"a request cut or bent anywhere is answered", test_bent_requests},
    {"half a message is not the good end", test_half_a_message},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{.pName = "hsm/worker", .pTests = tests}, CU_SUITE_INFO_NULL};

	alarm(300);
	return kmn_test_main(argc, argv, suites);
}
