/* A certificate of each kind that warnings are about, and good ones about which there is none. */
#include "config.h"

#include "kanmon/lint.h"
#include "tests/unit/run.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ocsp.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_MS INT64_C(1795392000000) /* 2026-11-23 */

static EVP_PKEY *good_key, *short_rsa, *small_e, *p192;
static X509 *root;

/* How a certificate differs from a good one: TLS server's, of the CA below the root. */
struct made {
	bool ca, self_issued, no_subject, san_critical, no_ski, no_aki, version_1;
	const char *basic, *usage, *ext_usage, *san; /* NULL: not there */
	const char *from, *to, *serial;              /* serial: hex */
	EVP_PKEY *key;
	const EVP_MD *hash;
	const char *odd; /* OID of a critical extension */
};

static EVP_PKEY *
rsa(unsigned bits, unsigned long exponent)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *e = BN_new();
	EVP_PKEY *key = NULL;

	BN_set_word(e, exponent);
	if (EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) != 1 ||
	    EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) != 1 || EVP_PKEY_keygen(ctx, &key) != 1)
		key = NULL;
	BN_free(e);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static void
add(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	if (value == NULL)
		return;
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	CU_ASSERT_PTR_NOT_NULL_FATAL(e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value));
	CU_ASSERT_EQUAL(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static void
add_odd(X509 *x, const char *oid)
{
	ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
	X509_EXTENSION *e;

	ASN1_OCTET_STRING_set(data, (const uint8_t *)"\x05\x00", 2);
	e = X509_EXTENSION_create_by_OBJ(NULL, object, 1, data);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(data);
	ASN1_OBJECT_free(object);
}

static X509_NAME *
name_of(const char *cn)
{
	X509_NAME *name = X509_NAME_new();

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0);
	return name;
}

static X509 *
make(const struct made *m)
{
	X509 *x = X509_new(), *issuer = root != NULL ? root : x;
	X509_NAME *subject = m->no_subject ? X509_NAME_new() : name_of(m->self_issued ? "Root" : "Subject");
	BIGNUM *serial = NULL;

	BN_hex2bn(&serial, m->serial != NULL ? m->serial : "70a1b2c3d4e5f60718293a4b");
	BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x));
	BN_free(serial);
	X509_set_version(x, m->version_1 ? X509_VERSION_1 : X509_VERSION_3);
	X509_set_subject_name(x, subject);
	X509_NAME_free(subject);
	subject = name_of("Root");
	X509_set_issuer_name(x, subject);
	X509_NAME_free(subject);
	ASN1_TIME_set_string_X509(X509_getm_notBefore(x), m->from != NULL ? m->from : "20261101000000Z");
	ASN1_TIME_set_string_X509(X509_getm_notAfter(x), m->to != NULL ? m->to : "20271101000000Z");
	X509_set_pubkey(x, m->key != NULL ? m->key : good_key);
	if (!m->version_1) {
		add(x, issuer, NID_basic_constraints, m->basic);
		add(x, issuer, NID_key_usage, m->usage);
		add(x, issuer, NID_ext_key_usage, m->ext_usage);
		add(x, issuer, NID_subject_alt_name, m->san);
		add(x, issuer, NID_subject_key_identifier, m->no_ski ? NULL : "hash");
		add(x, issuer, NID_authority_key_identifier, m->no_aki ? NULL : "keyid:always");
		if (m->odd != NULL)
			add_odd(x, m->odd);
	}
	CU_ASSERT_TRUE(X509_sign(x, good_key, m->hash != NULL ? m->hash : EVP_sha256()) > 0);
	return x;
}

static int
prepare(void)
{
	good_key = EVP_EC_gen("P-256");
	p192 = EVP_EC_gen("P-192");
	short_rsa = rsa(1024, 65537);
	small_e = rsa(2048, 3);
	return good_key == NULL || p192 == NULL || short_rsa == NULL || small_e == NULL;
}

/* What all others are issued by. */
static void
make_root(void)
{
	static const struct made as_root = {.self_issued = true,
	    .basic = "critical,CA:true,pathlen:1",
	    .usage = "critical,keyCertSign,cRLSign",
	    .from = "20260101000000Z",
	    .to = "20360101000000Z"};

	if (root == NULL)
		root = make(&as_root);
}

static int
clear(void)
{
	EVP_PKEY_free(good_key);
	EVP_PKEY_free(p192);
	EVP_PKEY_free(short_rsa);
	EVP_PKEY_free(small_e);
	X509_free(root);
	return 0;
}

static void
gather(void *cookie, enum kmn_lint lint, const char *name, const char *text)
{
	char *said = cookie;

	(void)lint;
	CU_ASSERT_TRUE(strlen(text) > 10);
	if (said[0] != 0)
		strcat(said, " ");
	strcat(said, name);
}

/* Names of the warnings, parted by blanks. */
static void
warnings(const uint8_t *tbs, size_t len, X509 *issuer, char said[512])
{
	struct kmn_material m = {.data = tbs, .len = len};
	struct kmn_lint_input in = {.material = &m, .now = NOW_MS};
	uint8_t *der = NULL;

	said[0] = 0;
	if (issuer != NULL)
		in.issuer_len = (size_t)i2d_X509(issuer, &der);
	in.issuer = der;
	(void)kmn_lint(&in, gather, said);
	OPENSSL_free(der);
}

#define SERVER \
	.basic = "critical,CA:false", .usage = "critical,digitalSignature", .ext_usage = "serverAuth", \
	.san = "DNS:a.example"
#define SUBCA .ca = true, .basic = "critical,CA:true,pathlen:0", .usage = "critical,keyCertSign,cRLSign"
/* clang-format off */
static const struct {
	const char *want; /* names of warnings, in the table's order; "" is none */
	struct made made;
} cases[] = {
    {"", {SERVER}},
    {"", {SUBCA}},
    {"ca-key-usage", {.basic = "critical,CA:true,pathlen:0", .usage = "critical,cRLSign"}},
    {"ca-key-usage", {.basic = "critical,CA:true,pathlen:0"}},
    {"key-usage-ca", {.basic = "critical,CA:false", .usage = "critical,keyCertSign"}},
    {"ca-not-critical", {.basic = "CA:true,pathlen:0", .usage = "critical,keyCertSign"}},
    {"pathlen-no-ca", {.basic = "critical,CA:false,pathlen:0", .usage = "critical,digitalSignature"}},
    {"pathlen-none pathlen-issuer", {.basic = "critical,CA:true", .usage = "critical,keyCertSign"}},
    {"pathlen-issuer", {.basic = "critical,CA:true,pathlen:1", .usage = "critical,keyCertSign"}},
    {"outlives-issuer", {SUBCA, .to = "20370101000000Z"}},
    {"before-issuer", {SUBCA, .from = "20250101000000Z"}},
    {"before-issuer never-valid expired", {SUBCA, .from = "20250101000000Z", .to = "20240101000000Z"}},
    {"expired", {SERVER, .from = "20260201000000Z", .to = "20260301000000Z"}},
    {"weak-rsa", {SERVER, .key = NULL}},    /* set below */
    {"small-exponent", {SERVER, .key = NULL}},
    {"weak-curve", {SERVER, .key = NULL}},
    {"weak-hash", {SERVER, .hash = NULL}},
    {"no-key-id", {SUBCA, .no_ski = true}},
    {"no-issuer-key-id", {SERVER, .no_aki = true}},
    {"serial-short", {SERVER, .serial = "0a0b0c"}},
    {"serial-long", {SERVER, .serial = "010101010101010101010101010101010101010101"}},
    {"serial-sign", {SERVER, .serial = "-70a1b2c3d4e5f60718293a4b"}},
    {"serial-sign", {SERVER, .serial = "0"}},
    {"tls-validity", {SERVER, .to = "20271205000000Z"}},
    {"tls-no-name", {.basic = "critical,CA:false", .usage = "critical,digitalSignature", .ext_usage = "serverAuth"}},
    {"unknown-critical", {SERVER, .odd = "1.2.3.4.5"}},
    {"empty-subject", {SERVER, .no_subject = true}},
    {"", {.basic = "critical,CA:false", .usage = "critical,digitalSignature", .ext_usage = "serverAuth",
	.san = "critical,DNS:a.example", .no_subject = true}},
    {"no-issuer-key-id old-version", {.version_1 = true}},
};
/* clang-format on */

static void
test_certificates(void)
{
	make_root();
	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		struct made made = cases[i].made;
		char said[512];
		uint8_t *tbs = NULL;
		X509 *x;
		int n;

		if (strcmp(cases[i].want, "weak-rsa") == 0)
			made.key = short_rsa;
		else if (strcmp(cases[i].want, "small-exponent") == 0)
			made.key = small_e;
		else if (strcmp(cases[i].want, "weak-curve") == 0)
			made.key = p192;
		else if (strcmp(cases[i].want, "weak-hash") == 0)
			made.hash = EVP_sha1();
		x = make(&made);
		n = i2d_re_X509_tbs(x, &tbs);
		warnings(tbs, (size_t)n, root, said);
		CU_ASSERT_STRING_EQUAL(said, cases[i].want);
		if (strcmp(said, cases[i].want) != 0)
			printf("# case %zu: '%s', not '%s'\n", i, said, cases[i].want);
		OPENSSL_free(tbs);
		X509_free(x);
	}
}

/* A certificate that is given as the issuer's, and is not. */
static void
test_issuer(void)
{
	struct made made = {SERVER}, other = {SERVER};
	X509 *x, *no_ca;
	char said[512];
	uint8_t *tbs = NULL;
	int n;

	make_root();
	x = make(&made);
	n = i2d_re_X509_tbs(x, &tbs);
	other.key = small_e;
	other.from = "20260101000000Z";
	other.to = "20360101000000Z";
	no_ca = make(&other);
	warnings(tbs, (size_t)n, no_ca, said);
	CU_ASSERT_STRING_EQUAL(said, "issuer-no-ca issuer-name issuer-key-id");
	warnings(tbs, (size_t)n, NULL, said);
	CU_ASSERT_STRING_EQUAL(said, "");
	OPENSSL_free(tbs);
	X509_free(no_ca);
	X509_free(x);
}

static void
crl_case(const char *this_update, const char *next_update, bool number, const EVP_MD *hash, const char *want)
{
	ASN1_INTEGER *seven = ASN1_INTEGER_new();
	X509_EXTENSION *aki;
	X509_CRL *crl = X509_CRL_new();
	X509_NAME *name = name_of("Root");
	ASN1_TIME *time = ASN1_TIME_new();
	X509V3_CTX ctx;
	char said[512];
	uint8_t *tbs = NULL;
	int n;

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, name);
	ASN1_TIME_set_string_X509(time, this_update);
	X509_CRL_set1_lastUpdate(crl, time);
	if (next_update != NULL) {
		ASN1_TIME_set_string_X509(time, next_update);
		X509_CRL_set1_nextUpdate(crl, time);
	}
	X509V3_set_ctx(&ctx, root, NULL, NULL, crl, 0);
	X509V3_set_ctx_nodb(&ctx);
	aki = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
	X509_CRL_add_ext(crl, aki, -1);
	X509_EXTENSION_free(aki);
	ASN1_INTEGER_set_uint64(seven, 7);
	CU_ASSERT_TRUE(!number || X509_CRL_add1_ext_i2d(crl, NID_crl_number, seven, 0, 0) == 1);
	CU_ASSERT_TRUE(X509_CRL_sign(crl, good_key, hash) > 0);
	n = i2d_re_X509_CRL_tbs(crl, &tbs);
	warnings(tbs, (size_t)n, root, said);
	CU_ASSERT_STRING_EQUAL(said, want);
	if (strcmp(said, want) != 0)
		printf("# %s: '%s', not '%s'\n", this_update, said, want);
	OPENSSL_free(tbs);
	ASN1_INTEGER_free(seven);
	ASN1_TIME_free(time);
	X509_NAME_free(name);
	X509_CRL_free(crl);
}

static void
test_crls(void)
{
	make_root();
	crl_case("20261101000000Z", "20261201000000Z", true, EVP_sha256(), "");
	crl_case("20261101000000Z", NULL, true, EVP_sha256(), "no-next-update");
	crl_case("20261101000000Z", "20281201000000Z", true, EVP_sha256(), "far-next-update");
	crl_case("20261101000000Z", "20261201000000Z", false, EVP_sha256(), "no-crl-number");
	crl_case("20261001000000Z", "20261101000000Z", true, EVP_sha256(), "late-update");
	crl_case("20261101000000Z", "20261201000000Z", true, EVP_sha1(), "weak-hash");
}

static void
test_nothing(void)
{
	static const uint8_t rubbish[] = {0x30, 0x03, 0x02, 0x01, 0x00};
	char said[512];

	warnings(rubbish, sizeof(rubbish), root, said);
	CU_ASSERT_STRING_EQUAL(said, "");
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a certificate for each warning, and good ones for none", test_certificates},
	    {"an issuer's certificate that is not the issuer's", test_issuer},
	    {"CRLs", test_crls},
	    {"what is nothing has no warnings", test_nothing},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/lint", prepare, clear, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
