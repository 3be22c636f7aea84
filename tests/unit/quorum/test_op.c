/* V7 of calls without an intent (class B): with a tree of the record's values, and by the form of one judged before. */
#include "config.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "kanmon/operation.h"
#include "kanmon/scan.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

static EVP_PKEY *key;
static uint8_t spki_sha256[KMN_HASH_BYTES];

/* Of the digest that `norm` says; raw, as PKCS#11 has it. */
static void
sign(const struct kmn_norm *norm, uint8_t raw[64])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	uint8_t der[128];
	const uint8_t *at = der;
	size_t len = sizeof(der);
	ECDSA_SIG *sig;

	CU_ASSERT_EQUAL(EVP_PKEY_sign_init(ctx), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_sign(ctx, der, &len, norm->digest, norm->digest_len), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(sig = d2i_ECDSA_SIG(NULL, &at, (long)len));
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
	ECDSA_SIG_free(sig);
	EVP_PKEY_CTX_free(ctx);
}

static const struct op {
	const char *says, *data;
	bool no_norm, bent, no_out, other_norm;
	kmn_err want;
	unsigned verified; /* of all records until here */
} ops[] = {
    {"a signature", "a", .verified = 1},
    {"another one, of the same form", "b", .verified = 2},
    {"one that is bent", "c", .bent = true, .want = KMN_E_CORRUPT, .verified = 2},
    {"one over other data than it says", "d", .other_norm = true, .want = KMN_E_CORRUPT, .verified = 2},
    {"a signature that is not there", "e", .no_out = true, .want = KMN_E_CORRUPT, .verified = 2},
    {"one of a ledger from before there was norm", "f", .no_norm = true, .bent = true, .verified = 2},
    {"a third", "g", .verified = 3},
};

static json_t *
body(const struct world *w, const struct op *op)
{
	const json_t *policy = json_pack("{s:i, s:o}", "version", 1, "sha256",
	    kmn_json_b64(kmn_policy_sha256(kmn_quorum_policy(w->quorum)), KMN_HASH_BYTES));
	uint8_t zero[KMN_HASH_BYTES] = {0}, raw[64];
	struct kmn_norm norm;
	json_t *body;

	CU_ASSERT_EQUAL_FATAL(
	    kmn_operation_normalise(0x1044 /* CKM_ECDSA_SHA256 */, NULL, (const uint8_t *)op->data, 1, &norm), KMN_OK);
	sign(&norm, raw);
	raw[40] ^= op->bent;
	norm.digest[0] ^= op->other_norm;
	body = json_pack("{s:i,s:i,s:i,s:{s:s,s:s,s:s,s:o},s:s,s:{s:s},s:s,s:o,s:i,s:s,s:{},s:i,s:o,s:o}", "chan", 1,
	    "sess", 1, "seq", 1, "key", "class", "private-key", "label", "k", "token", "Root token", "spki_sha256",
	    kmn_json_b64(spki_sha256, KMN_HASH_BYTES), "op", "C_Sign", "mech", "name", "CKM_ECDSA_SHA256", "rule",
	    "fast", "policy", policy, "rv", 0, "rv_name", "CKR_OK", "hsm", "dur_us", 1, "req_sha256",
	    kmn_json_b64(zero, sizeof(zero)), "resp_sha256", kmn_json_b64(zero, sizeof(zero)));
	if (!op->no_norm)
		(void)json_object_set_new(body, "norm", kmn_norm_json(&norm));
	if (!op->no_out)
		(void)json_object_set_new(body, "out", json_pack("{s:o}", "b64", kmn_json_b64(raw, sizeof(raw))));
	return body;
}

/* Applies record i without a tree, as the verifier does. */
static kmn_err
apply_scanned(const struct world *w, struct kmn_quorum *q, size_t i, struct kmn_finding *finding)
{
	struct kmn_scan scan;
	struct kmn_record record = {.scan = &scan, .i = i, .t = w->t};

	CU_ASSERT_TRUE_FATAL(kmn_scan_line(w->line[i], w->len[i], &scan));
	record.kind = scan.kind;
	record.t = scan.t;
	memcpy(record.leaf, w->ref[i].leaf, sizeof(record.leaf));
	return kmn_quorum_apply(q, &record, finding);
}

static void
test_signatures(void)
{
	for (int scanned = 0; scanned < 2; scanned++) {
		struct kmn_quorum_counts counts;
		struct kmn_finding finding;
		struct kmn_quorum *q;
		struct world w;
		uint8_t *spki = NULL;
		int spki_len = i2d_PUBKEY(key, &spki);

		world_init(&w, "rule fast\n client ca\n calls key-use\n need none\n class B\n");
		world_keep(&w, spki, (size_t)spki_len);
		OPENSSL_free(spki);
		for (size_t n = 0; n < KMN_COUNT_OF(ops); n++)
			(void)world_append(&w, KMN_R_OP, body(&w, &ops[n]));
		q = world_quorum(&w);
		CU_ASSERT_EQUAL_FATAL(world_apply(&w, q, 0, &finding), KMN_OK);
		for (size_t n = 0; n < KMN_COUNT_OF(ops); n++) {
			kmn_err e =
			    scanned ? apply_scanned(&w, q, n + 1, &finding) : world_apply(&w, q, n + 1, &finding);

			kmn_quorum_counts(q, &counts);
			if (e != ops[n].want || counts.signatures_verified != ops[n].verified) {
				printf("# %s: %s, %s, %llu verified\n", ops[n].says, kmn_err_name(e), finding.text,
				    (unsigned long long)counts.signatures_verified);
				CU_FAIL("op");
			}
			CU_ASSERT_STRING_EQUAL(finding.check, ops[n].want == KMN_OK ? "" : "V7");
		}
		kmn_quorum_free(q);
		world_clear(&w);
	}
}

static int
set_up(void)
{
	uint8_t *spki = NULL;
	int len;

	key = EVP_EC_gen("P-256");
	if (key == NULL || (len = i2d_PUBKEY(key, &spki)) <= 0)
		return 1;
	kmn_sha256(spki, (size_t)len, spki_sha256);
	OPENSSL_free(spki);
	return 0;
}

static int
tear_down(void)
{
	EVP_PKEY_free(key);
	return 0;
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a signature of class B is verified again, where its record says what was signed", test_signatures},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"quorum/op", set_up, tear_down, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
