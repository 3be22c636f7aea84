#include "config.h"

#include "tests/unit/ledger/tsa.h"

#include <openssl/cms.h>
#include <openssl/pem.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define POLICY "1.2.3.4.5"

/* What must not fail in a test, and is not what is tested. */
#define MUST(what) ((what) ? (void)0 : KMN_BUG(#what))

struct tsa {
	EVP_PKEY *root_key, *key;
	X509 *root, *signer[TSA_FLAW_COUNT];
	char *pem;
	long serial;
};

static void
add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
	MUST((extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value)) != NULL);
	MUST(X509_add_ext(certificate, extension, -1) == 1);
	X509_EXTENSION_free(extension);
}

static X509 *
make_certificate(struct tsa *tsa, const char *name, const char *eku, uint64_t from_ms, unsigned years)
{
	X509 *certificate = X509_new(), *issuer = tsa->root == NULL ? certificate : tsa->root;
	bool root = tsa->root == NULL;
	time_t from = (time_t)(from_ms / 1000);

	MUST(certificate != NULL && X509_set_version(certificate, X509_VERSION_3) == 1);
	MUST(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++tsa->serial) == 1);
	MUST(X509_NAME_add_entry_by_txt(
		 X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1);
	MUST(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1);
	MUST(ASN1_TIME_adj(X509_getm_notBefore(certificate), from, 0, 0) != NULL &&
	     ASN1_TIME_adj(X509_getm_notAfter(certificate), from, (int)(365 * years), 0) != NULL);
	MUST(X509_set_pubkey(certificate, root ? tsa->root_key : tsa->key) == 1);
	add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
	add_extension(certificate, issuer, NID_basic_constraints, root ? "critical,CA:TRUE" : "critical,CA:FALSE");
	add_extension(
	    certificate, issuer, NID_key_usage, root ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
	if (eku != NULL)
		add_extension(certificate, issuer, NID_ext_key_usage, eku);
	MUST(X509_sign(certificate, tsa->root_key, EVP_sha256()) > 0);
	return certificate;
}

struct tsa *
tsa_new(uint64_t from_ms, unsigned years)
{
	static const char *const eku[TSA_FLAW_COUNT] = {
	    [TSA_RIGHT] = "critical,timeStamping",
	    [TSA_EKU_NOT_CRITICAL] = "timeStamping",
	    [TSA_EKU_OTHER] = "critical,serverAuth",
	    [TSA_EKU_TOO] = "critical,timeStamping,serverAuth",
	};
	struct tsa *tsa = calloc(1, sizeof(*tsa));
	BIO *to = BIO_new(BIO_s_mem());
	char *text;
	long len;

	MUST(tsa != NULL && to != NULL);
	MUST((tsa->root_key = EVP_EC_gen("P-256")) != NULL && (tsa->key = EVP_EC_gen("P-256")) != NULL);
	tsa->root = make_certificate(tsa, "TSA root", NULL, from_ms, years);
	for (unsigned flaw = 0; flaw < TSA_FLAW_COUNT; flaw++)
		tsa->signer[flaw] = make_certificate(tsa, "TSA", eku[flaw], from_ms, years);
	MUST(PEM_write_bio_X509(to, tsa->root) == 1 && (len = BIO_get_mem_data(to, &text)) > 0);
	MUST((tsa->pem = strndup(text, (size_t)len)) != NULL);
	BIO_free(to);
	return tsa;
}

void
tsa_free(struct tsa *tsa)
{
	if (tsa == NULL)
		return;
	for (unsigned flaw = 0; flaw < TSA_FLAW_COUNT; flaw++)
		X509_free(tsa->signer[flaw]);
	X509_free(tsa->root);
	EVP_PKEY_free(tsa->key);
	EVP_PKEY_free(tsa->root_key);
	free(tsa->pem);
	free(tsa);
}

const char *
tsa_root(const struct tsa *tsa)
{
	return tsa->pem;
}

void
tsa_root_sha256(const struct tsa *tsa, uint8_t out[KMN_HASH_BYTES])
{
	MUST(X509_digest(tsa->root, EVP_sha256(), out, NULL) == 1);
}

static TS_TST_INFO *
make_info(X509 *signer, const struct kmn_stamp_want *want, uint64_t gen_time, bool name)
{
	bool small = strcmp(want->alg, "sha256") == 0;
	TS_TST_INFO *info = TS_TST_INFO_new();
	TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
	X509_ALGOR *alg = X509_ALGOR_new();
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	ASN1_GENERALIZEDTIME *time = ASN1_GENERALIZEDTIME_set(NULL, (time_t)(gen_time / 1000));
	ASN1_OBJECT *policy = OBJ_txt2obj(want->policy == NULL || want->policy[0] == '\0' ? POLICY : want->policy, 1);
	GENERAL_NAME *tsa_name = GENERAL_NAME_new();
	uint8_t bytes[KMN_STAMP_IMPRINT_MAX_BYTES];

	memcpy(bytes, want->imprint, sizeof(bytes));
	MUST(info != NULL && imprint != NULL && alg != NULL && number != NULL && time != NULL && policy != NULL);
	MUST(X509_ALGOR_set0(alg, OBJ_nid2obj(small ? NID_sha256 : NID_sha512), V_ASN1_NULL, NULL) == 1);
	MUST(TS_MSG_IMPRINT_set_algo(imprint, alg) == 1);
	MUST(TS_MSG_IMPRINT_set_msg(imprint, bytes, small ? 32 : 64) == 1);
	MUST(TS_TST_INFO_set_version(info, 1) == 1 && TS_TST_INFO_set_policy_id(info, policy) == 1);
	MUST(TS_TST_INFO_set_msg_imprint(info, imprint) == 1 && TS_TST_INFO_set_time(info, time) == 1);
	MUST(ASN1_INTEGER_set(number, 77) == 1 && TS_TST_INFO_set_serial(info, number) == 1);
	if (want->nonce != 0)
		MUST(ASN1_INTEGER_set_uint64(number, want->nonce) == 1 && TS_TST_INFO_set_nonce(info, number) == 1);
	tsa_name->type = GEN_DIRNAME;
	tsa_name->d.dirn = X509_NAME_dup(X509_get_subject_name(signer));
	if (name)
		MUST(TS_TST_INFO_set_tsa(info, tsa_name) == 1);
	GENERAL_NAME_free(tsa_name);
	ASN1_OBJECT_free(policy);
	ASN1_GENERALIZEDTIME_free(time);
	ASN1_INTEGER_free(number);
	X509_ALGOR_free(alg);
	TS_MSG_IMPRINT_free(imprint);
	return info;
}

static uint8_t *
copy_out(unsigned char *der, int len, size_t *len_out)
{
	uint8_t *copy = len > 0 ? malloc((size_t)len) : NULL;

	MUST(copy != NULL);
	memcpy(copy, der, (size_t)len);
	OPENSSL_free(der);
	*len_out = (size_t)len;
	return copy;
}

uint8_t *
tsa_token(const struct tsa *tsa, enum tsa_flaw flaw, const struct kmn_stamp_want *want, uint64_t gen_time, bool name,
    size_t *len_out)
{
	const unsigned flags = CMS_PARTIAL | CMS_BINARY | CMS_NOSMIMECAP | CMS_CADES;
	TS_TST_INFO *info = make_info(tsa->signer[flaw], want, gen_time, name);
	CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, NULL, CMS_PARTIAL | CMS_BINARY);
	unsigned char *content = NULL, *der = NULL;
	int len = i2d_TS_TST_INFO(info, &content);
	BIO *from = BIO_new_mem_buf(content, len);

	MUST(len > 0 && from != NULL && cms != NULL);
	MUST(CMS_set1_eContentType(cms, OBJ_nid2obj(NID_id_smime_ct_TSTInfo)) == 1);
	MUST(CMS_set_detached(cms, 0) == 1);
	MUST(CMS_add1_signer(cms, tsa->signer[flaw], tsa->key, EVP_sha256(), flags) != NULL);
	MUST(CMS_final(cms, from, NULL, flags) == 1);
	len = i2d_CMS_ContentInfo(cms, &der);
	BIO_free(from);
	OPENSSL_free(content);
	CMS_ContentInfo_free(cms);
	TS_TST_INFO_free(info);
	return copy_out(der, len, len_out);
}

uint8_t *
tsa_response(const uint8_t *token, size_t token_len, size_t *len_out)
{
	TS_STATUS_INFO *status = TS_STATUS_INFO_new();
	TS_RESP *response = TS_RESP_new();
	unsigned char *der = NULL;
	const unsigned char *at = token;
	int len;

	MUST(status != NULL && response != NULL);
	MUST(TS_STATUS_INFO_set_status(status, token != NULL ? TS_STATUS_GRANTED : TS_STATUS_REJECTION) == 1);
	MUST(TS_RESP_set_status_info(response, status) == 1);
	if (token != NULL) {
		PKCS7 *parsed = d2i_PKCS7(NULL, &at, (long)token_len);
		TS_TST_INFO *info = PKCS7_to_TS_TST_INFO(parsed);

		MUST(parsed != NULL && info != NULL);
		TS_RESP_set_tst_info(response, parsed, info);
	}
	len = i2d_TS_RESP(response, &der);
	TS_RESP_free(response);
	TS_STATUS_INFO_free(status);
	return copy_out(der, len, len_out);
}
