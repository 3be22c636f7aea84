/* RFC 3161: what a token must be to count (attack row 25). */
#include "config.h"

#include <openssl/pem.h>
#include <openssl/ts.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/ledger/tsa.h"
#include "tests/unit/run.h"

#define NOW UINT64_C(1790000000000)
#define DAY UINT64_C(86400000)
#define YEAR (365 * DAY)

static const char note[] = "kanmon.example/gw1/2026\n6\nroot\n";
static struct tsa *tsa, *stranger;
static struct kmn_stamp_roots *roots;
static struct kmn_stamp_want want;

static int
up(void)
{
	struct kmn_why why = {""};

	tsa = tsa_new(NOW - DAY, 2);
	stranger = tsa_new(NOW - DAY, 2);
	want = (struct kmn_stamp_want){.nonce = 0x8123456789abcdef};
	return kmn_stamp_imprint(&want, "sha256", note, strlen(note)) &&
		       kmn_stamp_roots_load(tsa_root(tsa), strlen(tsa_root(tsa)), &roots, &why) == KMN_OK
		   ? 0
		   : 1;
}

static int
down(void)
{
	kmn_stamp_roots_free(roots);
	tsa_free(tsa);
	tsa_free(stranger);
	return 0;
}

static kmn_err
judge(const uint8_t *token, size_t len, uint64_t at, struct kmn_stamp *stamp, struct kmn_why *why)
{
	*why = (struct kmn_why){""};
	return kmn_stamp_verify(token, len, &want, roots, at, stamp, why);
}

/* A token with this flaw, made for `said`, judged as an answer to `want`. */
static kmn_err
judge_new(const struct tsa *by, enum tsa_flaw flaw, const struct kmn_stamp_want *said, struct kmn_why *why)
{
	struct kmn_stamp stamp;
	size_t len;
	uint8_t *token = tsa_token(by, flaw, said, NOW, true, &len);
	kmn_err e = judge(token, len, NOW, &stamp, why);

	kmn_stamp_clear(&stamp);
	free(token);
	return e;
}

static void
test_good(void)
{
	uint8_t pins[2][KMN_HASH_BYTES] = {{0}}, *token, *again, *response;
	struct kmn_stamp stamp, offline;
	struct kmn_stamp_roots *pinned;
	struct kmn_why why = {""};
	size_t len, again_len, response_len;

	tsa_root_sha256(tsa, pins[1]);
	token = tsa_token(tsa, TSA_RIGHT, &want, NOW, true, &len);
	response = tsa_response(token, len, &response_len);
	CU_ASSERT_EQUAL_FATAL(kmn_stamp_token(response, response_len, &again, &again_len, &why), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(judge(again, again_len, NOW, &stamp, &why), KMN_OK);
	CU_ASSERT_EQUAL(stamp.gen_time, NOW);
	CU_ASSERT_EQUAL(stamp.not_after, NOW - DAY + 2 * YEAR);
	CU_ASSERT_STRING_EQUAL(stamp.policy, "1.2.3.4.5");
	CU_ASSERT_EQUAL(memcmp(stamp.root_sha256, pins[1], KMN_HASH_BYTES), 0);
	/* the chain that was found is all that the offline verifier needs beside a pin */
	CU_ASSERT_EQUAL_FATAL(kmn_stamp_roots_pinned(stamp.chain, stamp.chain_len, pins, 2, &pinned, &why), KMN_OK);
	CU_ASSERT_EQUAL(kmn_stamp_verify(again, again_len, &want, pinned, 0, &offline, &why), KMN_OK);
	CU_ASSERT_STRING_EQUAL(offline.chain, stamp.chain);
	kmn_stamp_roots_free(pinned);
	CU_ASSERT_EQUAL(kmn_stamp_roots_pinned(stamp.chain, stamp.chain_len, pins, 1, &pinned, &why), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(
	    kmn_stamp_roots_pinned(stamp.chain, stamp.chain_len / 3, pins, 2, &pinned, &why), KMN_E_MALFORMED);
	kmn_stamp_clear(&offline);
	kmn_stamp_clear(&stamp);
	free(response);
	free(again);
	free(token);
}

static void
test_flaws(void)
{
	struct kmn_why why;

	CU_ASSERT_EQUAL(judge_new(tsa, TSA_RIGHT, &want, &why), KMN_OK);
	for (enum tsa_flaw flaw = TSA_NO_EKU; flaw < TSA_FLAW_COUNT; flaw++) {
		CU_ASSERT_EQUAL(judge_new(tsa, flaw, &want, &why), KMN_E_SIGNATURE);
		CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "purpose"));
	}
}

static void
test_other_data(void)
{
	struct kmn_stamp_want other = want;
	struct kmn_why why;

	other.imprint[31] ^= 1;
	CU_ASSERT_EQUAL(judge_new(tsa, TSA_RIGHT, &other, &why), KMN_E_SIGNATURE);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "imprint"));
	/* the same data by another algorithm is not what was asked for either */
	CU_ASSERT_TRUE(kmn_stamp_imprint(&other, "sha512", note, strlen(note)));
	CU_ASSERT_EQUAL(judge_new(tsa, TSA_RIGHT, &other, &why), KMN_E_SIGNATURE);
}

static void
test_replayed(void)
{
	struct kmn_stamp_want other = want;
	struct kmn_why why;

	other.nonce ^= 1;
	CU_ASSERT_EQUAL(judge_new(tsa, TSA_RIGHT, &other, &why), KMN_E_SIGNATURE);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "nonce"));
	other.nonce = 0; /* none at all */
	CU_ASSERT_EQUAL(judge_new(tsa, TSA_RIGHT, &other, &why), KMN_E_SIGNATURE);
}

static void
test_stranger(void)
{
	struct kmn_why why;

	CU_ASSERT_EQUAL(judge_new(stranger, TSA_RIGHT, &want, &why), KMN_E_SIGNATURE);
}

static void
test_policy(void)
{
	struct kmn_stamp_want said = want;
	struct kmn_why why;

	want.policy = "1.2.3.4.5.6";
	CU_ASSERT_EQUAL(judge_new(tsa, TSA_RIGHT, &want, &why), KMN_OK);
	CU_ASSERT_EQUAL(judge_new(tsa, TSA_RIGHT, &said, &why), KMN_E_SIGNATURE);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "policy"));
	want.policy = NULL;
}

/* The trap: what OpenSSL's own request-to-context makes of such a token, and what is made of it here. */
static void
test_nameless(void)
{
	struct kmn_stamp stamp;
	struct kmn_why why;
	size_t len, request_len;
	uint8_t *token = tsa_token(tsa, TSA_RIGHT, &want, NOW, false, &len), *request;
	const unsigned char *at;
	TS_VERIFY_CTX *trap;
	PKCS7 *parsed;
	TS_REQ *req;

	CU_ASSERT_EQUAL(judge(token, len, NOW, &stamp, &why), KMN_OK);
	kmn_stamp_clear(&stamp);
	token[len - 1] ^= 1; /* the signature stands last */
	CU_ASSERT_EQUAL(judge(token, len, NOW, &stamp, &why), KMN_E_SIGNATURE);

	CU_ASSERT_EQUAL_FATAL(kmn_stamp_request(&want, &request, &request_len), KMN_OK);
	at = request;
	req = d2i_TS_REQ(NULL, &at, (long)request_len);
	at = token;
	parsed = d2i_PKCS7(NULL, &at, (long)len);
	trap = TS_REQ_to_TS_VERIFY_CTX(req, NULL);
	(void)TS_VERIFY_CTX_set_store(trap, X509_STORE_new());
	CU_ASSERT_EQUAL(TS_RESP_verify_token(trap, parsed), 1); /* should this ever fail, the trap is gone */
	TS_VERIFY_CTX_free(trap);
	PKCS7_free(parsed);
	TS_REQ_free(req);
	free(request);
	free(token);
}

static void
test_bits(void)
{
	struct kmn_stamp stamp;
	struct kmn_why why;
	size_t len, passed = 0;
	uint8_t *token = tsa_token(tsa, TSA_RIGHT, &want, NOW, true, &len);

	for (size_t n = 0; n < len; n++) {
		token[n] ^= 0x10;
		if (judge(token, len, NOW, &stamp, &why) == KMN_OK)
			passed++; /* fields that nobody signs, such as the structure's version number */
		kmn_stamp_clear(&stamp);
		token[n] ^= 0x10;
		CU_ASSERT_NOT_EQUAL(judge(token, n, NOW, &stamp, &why), KMN_OK);
	}
	CU_ASSERT_TRUE(passed < 40);
	free(token);
}

static void
test_time(void)
{
	struct kmn_stamp stamp;
	struct kmn_why why;
	size_t len;
	uint8_t *token = tsa_token(tsa, TSA_RIGHT, &want, NOW, true, &len);

	CU_ASSERT_EQUAL(judge(token, len, 0, &stamp, &why), KMN_OK);
	kmn_stamp_clear(&stamp);
	CU_ASSERT_EQUAL(judge(token, len, NOW + YEAR, &stamp, &why), KMN_OK);
	kmn_stamp_clear(&stamp);
	CU_ASSERT_EQUAL(judge(token, len, NOW + 2 * YEAR, &stamp, &why), KMN_E_SIGNATURE);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "expired"));
	CU_ASSERT_EQUAL(judge(token, len, NOW - 2 * DAY, &stamp, &why), KMN_E_SIGNATURE);
	free(token);
}

static void
test_responses(void)
{
	struct kmn_why why = {""};
	uint8_t *token, *refusal, rubbish[64] = {0x30, 0x3e};
	size_t len, refusal_len;

	refusal = tsa_response(NULL, 0, &refusal_len);
	CU_ASSERT_EQUAL(kmn_stamp_token(refusal, refusal_len, &token, &len, &why), KMN_E_DENIED);
	CU_ASSERT_EQUAL(kmn_stamp_token(refusal, refusal_len - 1, &token, &len, &why), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_stamp_token(rubbish, sizeof(rubbish), &token, &len, &why), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_stamp_token(rubbish, 0, &token, &len, &why), KMN_E_MALFORMED);
	free(refusal);
}

static void
test_roots(void)
{
	static const char broken[] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
	struct kmn_stamp_roots *none;
	struct kmn_why why = {""};

	CU_ASSERT_EQUAL(kmn_stamp_roots_load("", 0, &none, &why), KMN_E_CONFIG);
	CU_ASSERT_EQUAL(kmn_stamp_roots_load("no pem\n", 7, &none, &why), KMN_E_CONFIG);
	CU_ASSERT_EQUAL(kmn_stamp_roots_load(broken, strlen(broken), &none, &why), KMN_E_CONFIG);
}

static void
test_nonces(void)
{
	char text[KMN_STAMP_NONCE_TEXT_BYTES + 1];
	uint64_t nonce;

	kmn_stamp_nonce_text(0x00ff, text);
	CU_ASSERT_STRING_EQUAL(text, "00000000000000ff");
	CU_ASSERT_TRUE(kmn_stamp_nonce_parse(text, &nonce) && nonce == 0xff);
	CU_ASSERT_FALSE(kmn_stamp_nonce_parse("00000000000000FF", &nonce));
	CU_ASSERT_FALSE(kmn_stamp_nonce_parse("ff", &nonce));
	CU_ASSERT_FALSE(kmn_stamp_nonce_parse("-0000000000000ff", &nonce));
}

static CU_TestInfo tests[] = {
    {"a token over a checkpoint verifies, and again offline by its recorded chain", test_good},
    {"a signer whose extended key usage is missing, not critical, another or wider is refused", test_flaws},
    {"a token over other data is refused", test_other_data},
    {"a replayed token, with another nonce or none, is refused", test_replayed},
    {"a token that chains to a root nobody pinned is refused", test_stranger},
    {"a token under another policy than the one asked for is refused", test_policy},
    {"a token without TSA name and with a corrupted signature is refused, though OpenSSL's own context takes it",
	test_nameless},
    {"each byte bent and each length cut: what is signed is refused", test_bits},
    {"certificates are judged at the time that is handed in", test_time},
    {"a refusal and rubbish are no tokens", test_responses},
    {"a file without a root is no trust", test_roots},
    {"nonces are written one way", test_nonces},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"ledger/stamp", up, down, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
