#include "config.h"

#include "kanmon/content.h"
#include "tests/unit/run.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static EVP_PKEY *ec_key, *rsa_key;

static int
make_keys(void)
{
	ec_key = EVP_EC_gen("P-384");
	rsa_key = EVP_RSA_gen(2048);
	return ec_key == NULL || rsa_key == NULL;
}

static int
free_keys(void)
{
	EVP_PKEY_free(ec_key);
	EVP_PKEY_free(rsa_key);
	return 0;
}

static void
add_name(X509_NAME *name, const char *field, const char *value)
{
	CU_ASSERT_EQUAL(X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const uint8_t *)value, -1, -1, 0), 1);
}

static void
add_extension(X509 *x, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;

	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	CU_ASSERT_PTR_NOT_NULL_FATAL(e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value));
	CU_ASSERT_EQUAL(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
}

static void
add_raw(X509 *x, const char *oid, int critical, const void *bytes, int len)
{
	ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
	ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
	X509_EXTENSION *e;

	ASN1_OCTET_STRING_set(data, bytes, len);
	e = X509_EXTENSION_create_by_OBJ(NULL, object, critical, data);
	CU_ASSERT_EQUAL(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(data);
	ASN1_OBJECT_free(object);
}

/* A certificate without extensions; what `name` says is its subject and issuer. */
static X509 *
new_certificate(const char *cn)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_NAME_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), 0x0a0b0c);
	add_name(name, "C", "JP");
	add_name(name, "O", "Example, Inc.");
	add_name(name, "CN", cn);
	X509_set_subject_name(x, name);
	X509_set_issuer_name(x, name);
	X509_NAME_free(name);
	ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20261123000000Z");
	ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "20610101000000Z");
	X509_set_pubkey(x, ec_key);
	return x;
}

/* Lines of the TBSCertificate of a signed certificate; free(). NULL: it has none. */
static char *
lines_of(X509 *x, kmn_err *e_out, struct kmn_content_facts *facts)
{
	uint8_t *der = NULL, *tbs = NULL;
	size_t tbs_len = 0;
	struct kmn_content *content = NULL;
	char *lines = NULL;
	int n;

	X509_sign(x, ec_key, EVP_sha384());
	n = i2d_X509(x, &der);
	*e_out = kmn_content_tbs_of(der, (size_t)n, &tbs, &tbs_len);
	if (*e_out == KMN_OK)
		*e_out = kmn_content_decode(&(struct kmn_material){.data = tbs, .len = tbs_len}, &content);
	if (*e_out == KMN_OK) {
		lines = strdup(kmn_content_lines(content));
		if (facts != NULL)
			*facts = *kmn_content_facts(content);
	}
	kmn_content_free(content);
	OPENSSL_free(der);
	free(tbs);
	return lines;
}

static void
assert_has(const char *lines, const char *line)
{
	CU_ASSERT_PTR_NOT_NULL(strstr(lines, line));
	if (strstr(lines, line) == NULL)
		printf("# missing: %s# in: %s\n", line, lines);
}

static void
test_root_certificate(void)
{
	static const char start[] = "input version 3\n"
				    "input serial 0a0b0c\n"
				    "input signature-algorithm ecdsa-with-SHA384\n"
				    "input issuer CN=Root CA G3,O=Example\\, Inc.,C=JP\n"
				    "input not-before 2026-11-23T00:00:00Z\n"
				    "input not-after 2061-01-01T00:00:00Z\n"
				    "input subject CN=Root CA G3,O=Example\\, Inc.,C=JP\n"
				    "input key-algorithm EC P-384\n"
				    "input key-spki-sha256 ";
	static const uint8_t policies[] = {0x30, 0x08, 0x30, 0x06, 0x06, 0x04, 0x2a, 0x83, 0x08, 0x01};
	X509 *x = new_certificate("Root CA G3");
	struct kmn_content_facts facts;
	char *lines;
	kmn_err e;

	add_extension(x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
	add_extension(x, NID_key_usage, "critical,keyCertSign,cRLSign");
	add_extension(x, NID_subject_key_identifier, "0a0b");
	add_raw(x, "2.5.29.32", 0, policies, sizeof(policies));
	lines = lines_of(x, &e, &facts);
	CU_ASSERT_EQUAL_FATAL(e, KMN_OK);
	CU_ASSERT_EQUAL(strncmp(lines, start, sizeof(start) - 1), 0);
	if (strncmp(lines, start, sizeof(start) - 1) != 0)
		printf("# %s\n", lines);
	assert_has(lines, "\ninput extension basicConstraints critical ca=true pathlen=0\n");
	assert_has(lines, "\ninput extension keyUsage critical keyCertSign cRLSign\n");
	assert_has(lines, "\ninput extension subjectKeyIdentifier ");
	assert_has(lines, "\ninput extension certificatePolicies 1.2.392.1\n");
	CU_ASSERT_TRUE(facts.ca);
	CU_ASSERT_EQUAL(facts.pathlen, 0);
	CU_ASSERT_EQUAL(facts.not_before, 1795392000000);
	free(lines);
	X509_free(x);
}

/* Each extension as OpenSSL's configuration writes it, and the lines it must become. */
static const struct {
	int nid;
	const char *value, *lines;
} extension_cases[] = {
    {NID_basic_constraints, "CA:FALSE", "basicConstraints ca=false\n"},
    {NID_key_usage, "digitalSignature,decipherOnly", "keyUsage digitalSignature decipherOnly\n"},
    {NID_ext_key_usage, "serverAuth,1.2.3.4", "extKeyUsage serverAuth 1.2.3.4\n"},
    {NID_subject_alt_name,
	"DNS:a.example,IP:192.0.2.1,IP:2001:db8::1,email:a@b.example,URI:https://c.example/,RID:1.2.3",
	"subjectAltName DNS:a.example\ninput extension subjectAltName IP:192.0.2.1\ninput extension subjectAltName "
	"IP:2001:db8::1\ninput extension subjectAltName email:a@b.example\ninput extension subjectAltName "
	"URI:https://c.example/\ninput extension subjectAltName RID:1.2.3\n"},
    {NID_subject_alt_name, "critical,DNS:a.example", "subjectAltName critical DNS:a.example\n"},
    {NID_name_constraints, "permitted;DNS:.example,excluded;IP:10.0.0.0/255.0.0.0",
	"nameConstraints permitted DNS:.example\ninput extension nameConstraints excluded IP:10.0.0.0/255.0.0.0\n"},
    {NID_info_access, "OCSP;URI:http://o.example/,caIssuers;URI:http://i.example/",
	"authorityInfoAccess OCSP URI:http://o.example/\ninput extension authorityInfoAccess caIssuers "
	"URI:http://i.example/\n"},
    {NID_crl_distribution_points, "URI:http://c.example/1.crl", "cRLDistributionPoints URI:http://c.example/1.crl\n"},
    {NID_policy_constraints, "requireExplicitPolicy:0", "policyConstraints requireExplicitPolicy=00\n"},
    {NID_inhibit_any_policy, "2", "inhibitAnyPolicy 02\n"},
    {NID_subject_key_identifier, "0A0B", "subjectKeyIdentifier 0a0b\n"},
    {NID_tlsfeature, "status_request", "1.3.6.1.5.5.7.1.24 hex 3003020105\n"},
};

static void
test_extensions(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(extension_cases); i++) {
		X509 *x = new_certificate("x");
		char want[1024], *lines;
		kmn_err e;

		add_extension(x, extension_cases[i].nid, extension_cases[i].value);
		lines = lines_of(x, &e, NULL);
		CU_ASSERT_EQUAL_FATAL(e, KMN_OK);
		snprintf(want, sizeof(want), "\ninput extension %s", extension_cases[i].lines);
		assert_has(lines, want);
		free(lines);
		X509_free(x);
	}
}

static const struct {
	const char *says, *oid;
	int critical;
	const uint8_t bytes[12];
	int len;
	const char *line; /* NULL: nothing may be shown at all */
} odd_cases[] = {
    {"unknown: OID and hex", "1.2.3.4.5", 1, {0x04, 0x00}, 2, "1.2.3.4.5 critical hex 0400\n"},
    {"key usage with padding bits set is not put in words", "2.5.29.15", 0, {0x03, 0x02, 0x01, 0x07}, 4,
	"2.5.29.15 hex 03020107\n"},
    {"key usage with bytes after it is not put in words", "2.5.29.15", 0, {0x03, 0x02, 0x05, 0xa0, 0x00}, 5,
	"2.5.29.15 hex 030205a000\n"},
    {"basic constraints that are not DER hide everything", "2.5.29.19", 1, {0x30, 0x03, 0x01, 0x01, 0x00}, 5, NULL},
    {"an empty list of names is not put in words", "2.5.29.17", 0, {0x30, 0x00}, 2, "2.5.29.17 hex 3000\n"},
    {"a name that is no UTF-8", "2.5.29.17", 0, {0x30, 0x04, 0x82, 0x02, 0xff, 'a'}, 6,
	"subjectAltName DNS:\\x{ff}a\n"},
    {"a name with LF and NUL", "2.5.29.17", 0, {0x30, 0x05, 0x82, 0x03, 'a', 0x0a, 0x00}, 7,
	"subjectAltName DNS:a\\u{a}\\u{0}\n"},
    {"a name that turns the text around", "2.5.29.17", 0, {0x30, 0x06, 0x82, 0x04, 'a', 0xe2, 0x80, 0xae}, 8,
	"subjectAltName DNS:a\\u{202e}\n"},
};

static void
test_odd_extensions(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(odd_cases); i++) {
		X509 *x = new_certificate("x");
		char want[256], *lines;
		kmn_err e;

		add_raw(x, odd_cases[i].oid, odd_cases[i].critical, odd_cases[i].bytes, odd_cases[i].len);
		lines = lines_of(x, &e, NULL);
		if (odd_cases[i].line == NULL) {
			CU_ASSERT_EQUAL(e, KMN_E_MALFORMED);
		} else if (lines != NULL) {
			snprintf(want, sizeof(want), "\ninput extension %s", odd_cases[i].line);
			assert_has(lines, want);
		} else {
			CU_FAIL("no lines");
		}
		free(lines);
		X509_free(x);
	}
}

static void
test_names(void)
{
	X509 *x = new_certificate("\xe9\x96\xa2\xe9\x96\x80 \xe2\x80\xae"
				  "evil\\ #1 ");
	X509_NAME *name = X509_NAME_new();
	char *lines;
	kmn_err e;

	add_name(name, "CN", "#1");
	add_name(name, "2.5.4.97", "NTRJP-1");
	add_name(name, "1.2.3.4", "own=x");
	X509_set_issuer_name(x, name);
	lines = lines_of(x, &e, NULL);
	CU_ASSERT_EQUAL_FATAL(e, KMN_OK);
	assert_has(
	    lines, "\ninput subject CN=\xe9\x96\xa2\xe9\x96\x80 \\u{202e}evil\\\\ #1\\u{20},O=Example\\, Inc.,C=JP\n");
	assert_has(lines, "\ninput issuer 1.2.3.4=own\\=x,organizationIdentifier=NTRJP-1,CN=\\#1\n");
	free(lines);
	X509_NAME_free(name);
	X509_free(x);
}

static void
test_twice_and_too_much(void)
{
	X509 *x = new_certificate("x");
	char *lines;
	kmn_err e;

	add_extension(x, NID_key_usage, "cRLSign");
	add_extension(x, NID_key_usage, "keyCertSign");
	CU_ASSERT_PTR_NULL(lines = lines_of(x, &e, NULL));
	CU_ASSERT_EQUAL(e, KMN_E_MALFORMED);
	free(lines);
	X509_free(x);

	x = new_certificate("x");
	for (unsigned i = 0; i < 40; i++) {
		char oid[32];
		uint8_t bytes[380] = {0};

		snprintf(oid, sizeof(oid), "1.2.3.%u", i);
		add_raw(x, oid, 0, bytes, sizeof(bytes));
	}
	CU_ASSERT_PTR_NULL(lines = lines_of(x, &e, NULL));
	CU_ASSERT_EQUAL(e, KMN_E_TOO_BIG);
	free(lines);
	X509_free(x);
}

static void
test_long_extension_by_hash(void)
{
	X509 *x = new_certificate("x");
	uint8_t bytes[400] = {0};
	char *lines;
	kmn_err e;

	add_raw(x, "1.2.3", 0, bytes, sizeof(bytes));
	lines = lines_of(x, &e, NULL);
	CU_ASSERT_EQUAL_FATAL(e, KMN_OK);
	assert_has(lines, "\ninput extension 1.2.3 400 bytes, sha256 ");
	free(lines);
	X509_free(x);
}

/* DER of TBSCertificate cut, lengthened and bent: never more than a refusal. */
static void
test_cut_and_bent(void)
{
	X509 *x = new_certificate("x");
	struct kmn_content *content;
	uint8_t *der = NULL, *tbs = NULL, *more;
	size_t len = 0;
	int n;

	add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
	X509_sign(x, ec_key, EVP_sha384());
	n = i2d_X509(x, &der);
	CU_ASSERT_EQUAL_FATAL(kmn_content_tbs_of(der, (size_t)n, &tbs, &len), KMN_OK);
	for (size_t cut = 0; cut < len; cut++)
		CU_ASSERT_NOT_EQUAL(
		    kmn_content_decode(&(struct kmn_material){.data = tbs, .len = cut}, &content), KMN_OK);
	more = malloc(len + 1);
	memcpy(more, tbs, len);
	more[len] = 0;
	CU_ASSERT_NOT_EQUAL(kmn_content_decode(&(struct kmn_material){.data = more, .len = len + 1}, &content), KMN_OK);
	for (size_t i = 0; i < len * 8; i++) {
		more[i / 8] ^= (uint8_t)(1u << i % 8);
		if (kmn_content_decode(&(struct kmn_material){.data = more, .len = len}, &content) == KMN_OK) {
			CU_ASSERT_PTR_NOT_NULL(kmn_content_lines(content));
			kmn_content_free(content);
		}
		more[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	free(more);
	free(tbs);
	OPENSSL_free(der);
	X509_free(x);
}

static void
test_crl(void)
{
	static const char want[] = "input version 2\n"
				   "input signature-algorithm sha256WithRSAEncryption\n"
				   "input issuer CN=Root\n"
				   "input this-update 2026-11-23T00:00:00Z\n"
				   "input next-update 2027-05-23T00:00:00Z\n"
				   "input extension cRLNumber 12\n"
				   "input revoked-entries 40\n"
				   "input revoked 01 2026-11-01T00:00:00Z\n"
				   "input extension reasonCode keyCompromise\n"
				   "input revoked 02 2026-11-01T00:00:00Z\n";
	X509_CRL *crl = X509_CRL_new();
	X509_NAME *name = X509_NAME_new();
	ASN1_TIME *time = ASN1_TIME_new();
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	struct kmn_content *content = NULL;
	uint8_t *der = NULL;
	int n;

	X509_CRL_set_version(crl, 1);
	add_name(name, "CN", "Root");
	X509_CRL_set_issuer_name(crl, name);
	ASN1_TIME_set_string_X509(time, "20261123000000Z");
	X509_CRL_set1_lastUpdate(crl, time);
	ASN1_TIME_set_string_X509(time, "20270523000000Z");
	X509_CRL_set1_nextUpdate(crl, time);
	ASN1_INTEGER_set(number, 12);
	X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0);
	ASN1_TIME_set_string_X509(time, "20261101000000Z");
	for (long i = 1; i <= 40; i++) {
		X509_REVOKED *revoked = X509_REVOKED_new();
		ASN1_ENUMERATED *reason = ASN1_ENUMERATED_new();

		ASN1_INTEGER_set(number, i);
		X509_REVOKED_set_serialNumber(revoked, number);
		X509_REVOKED_set_revocationDate(revoked, time);
		ASN1_ENUMERATED_set(reason, 1);
		if (i == 1)
			X509_REVOKED_add1_ext_i2d(revoked, NID_crl_reason, reason, 0, 0);
		X509_CRL_add0_revoked(crl, revoked);
		ASN1_ENUMERATED_free(reason);
	}
	X509_CRL_sign(crl, rsa_key, EVP_sha256());
	n = i2d_re_X509_CRL_tbs(crl, &der);
	CU_ASSERT_EQUAL_FATAL(
	    kmn_content_decode(&(struct kmn_material){.data = der, .len = (size_t)n}, &content), KMN_OK);
	CU_ASSERT_EQUAL(kmn_content_facts(content)->kind, KMN_CONTENT_TBS_CRL);
	CU_ASSERT_EQUAL(strncmp(kmn_content_lines(content), want, sizeof(want) - 1), 0);
	assert_has(kmn_content_lines(content), "\ninput revoked-rest 8 more, sha256 ");
	if (strncmp(kmn_content_lines(content), want, sizeof(want) - 1) != 0)
		printf("# %s\n", kmn_content_lines(content));
	kmn_content_free(content);
	OPENSSL_free(der);
	ASN1_TIME_free(time);
	ASN1_INTEGER_free(number);
	X509_NAME_free(name);
	X509_CRL_free(crl);
}

static void
test_csr(void)
{
	X509_REQ *req = X509_REQ_new();
	X509_NAME *name = X509_NAME_new();
	STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
	struct kmn_content *content = NULL;
	uint8_t *info = NULL;
	size_t info_len = 0;
	char *pem = NULL;
	long pem_len;
	BIO *bio = BIO_new(BIO_s_mem());

	add_name(name, "CN", "Root");
	X509_REQ_set_subject_name(req, name);
	X509_REQ_set_pubkey(req, rsa_key);
	sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE"));
	X509_REQ_add_extensions(req, extensions);
	X509_REQ_add1_attr_by_txt(req, "challengePassword", MBSTRING_ASC, (const uint8_t *)"hi", 2);
	X509_REQ_sign(req, rsa_key, EVP_sha256());
	PEM_write_bio_X509_REQ(bio, req);
	pem_len = BIO_get_mem_data(bio, &pem);
	CU_ASSERT_EQUAL_FATAL(kmn_content_info_of((const uint8_t *)pem, (size_t)pem_len, &info, &info_len), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(
	    kmn_content_decode(&(struct kmn_material){.data = info, .len = info_len}, &content), KMN_OK);
	CU_ASSERT_EQUAL(kmn_content_facts(content)->kind, KMN_CONTENT_CSR);
	CU_ASSERT_TRUE(kmn_content_facts(content)->ca);
	assert_has(kmn_content_lines(content),
	    "input version 1\ninput subject CN=Root\ninput key-algorithm RSA 2048 exponent 65537\n");
	assert_has(kmn_content_lines(content), "\ninput extension basicConstraints critical ca=true\n");
	assert_has(kmn_content_lines(content), "\ninput attribute 1.2.840.113549.1.9.7 hex ");
	kmn_content_free(content);
	free(info);
	CU_ASSERT_EQUAL(kmn_content_tbs_of((const uint8_t *)pem, (size_t)pem_len, &info, &info_len), KMN_E_MALFORMED);
	free(info);
	BIO_free(bio);
	sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
	X509_NAME_free(name);
	X509_REQ_free(req);
}

static const struct {
	const char *says, *in, *out;
} escape_cases[] = {
    {"plain text stays", "Monthly CRL", "Monthly CRL"},
    {"nothing is none", "", "none"},
    {"Japanese stays", "\xe9\x96\xa2\xe9\x96\x80", "\xe9\x96\xa2\xe9\x96\x80"},
    {"a backslash is two", "a\\u{41}", "a\\\\u{41}"},
    {"control characters are shown", "a\nb\x7f", "a\\u{a}b\\u{7f}"},
    {"C1 too", "\xc2\x85", "\\u{85}"},
    {"spaces at the ends are shown", " a ", "\\u{20}a\\u{20}"},
    {"zero width is shown",
	"a\xe2\x80\x8b"
	"b",
	"a\\u{200b}b"},
    {"a combining mark is shown", "e\xcc\x81", "e\\u{301}"},
    {"overlong UTF-8 is bytes", "\xc0\xaf", "\\x{c0}\\x{af}"},
    {"a surrogate is bytes", "\xed\xa0\x80", "\\x{ed}\\x{a0}\\x{80}"},
    {"a cut sequence is bytes", "\xe2\x80", "\\x{e2}\\x{80}"},
};

static void
test_escape(void)
{
	char longer[3000], *out;

	for (size_t i = 0; i < KMN_COUNT_OF(escape_cases); i++) {
		out = kmn_content_escape(escape_cases[i].in, strlen(escape_cases[i].in));
		CU_ASSERT_STRING_EQUAL(out, escape_cases[i].out);
		free(out);
	}
	for (size_t i = 0; i < sizeof(longer); i += 3)
		memcpy(longer + i, "\xe9\x96\xa2", 3);
	out = kmn_content_escape(longer, sizeof(longer));
	CU_ASSERT_TRUE(strlen(out) <= 1024 && strlen(out) > 1000);
	CU_ASSERT_PTR_NOT_NULL(strstr(out, "\xa2... sha256 "));
	free(out);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a root certificate, line by line", test_root_certificate},
	    {"extensions in words", test_extensions},
	    {"extensions that cannot be put in words", test_odd_extensions},
	    {"names: order, escapes, unknown parts", test_names},
	    {"an extension twice, or more than people read, has no content", test_twice_and_too_much},
	    {"a long unknown extension is shown by its hash", test_long_extension_by_hash},
	    {"cut, lengthened and bent bytes are refused or shown", test_cut_and_bent},
	    {"a CRL: count, first entries, hash of the rest", test_crl},
	    {"a CSR out of PEM, with what it asks for", test_csr},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo escapes[] = {
	    {"values hold nothing that deceives", test_escape},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/content", make_keys, free_keys, NULL, NULL, tests},
	    {"quorum/escape", NULL, NULL, NULL, NULL, escapes},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
