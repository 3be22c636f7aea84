/* What a finished certificate, CRL, request or OCSP response says. */
#include "config.h"

#include "tools/kanmon/rebuild.h"

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/content.h"
#include "kanmon/statement.h"

void
kmn_fingerprint_text(const uint8_t *bytes, size_t len, char *out)
{
	out[0] = '\0';
	for (size_t n = 0; n < len; n++)
		(void)snprintf(out + 3 * n, 4, n + 1 < len ? "%02X:" : "%02X", bytes[n]);
}

static void
put(json_t *facts, const char *name, const char *text)
{
	(void)json_object_set_new(facts, name, json_string(text));
}

static void
put_hash(json_t *facts, const char *name, const EVP_MD *md, const uint8_t *der, size_t len)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	char text[3 * EVP_MAX_MD_SIZE + 1];
	unsigned hash_len;

	if (EVP_Digest(der, len, hash, &hash_len, md, NULL) != 1)
		return;
	kmn_fingerprint_text(hash, hash_len, text);
	put(facts, name, text);
}

static void
put_number(json_t *facts, const char *name, const ASN1_INTEGER *number)
{
	BIGNUM *bn = number == NULL ? NULL : ASN1_INTEGER_to_BN(number, NULL);
	char *hex = bn == NULL ? NULL : BN_bn2hex(bn);

	if (hex != NULL)
		put(facts, name, hex);
	OPENSSL_free(hex);
	BN_free(bn);
}

static void
put_time(json_t *facts, const char *name, int64_t ms)
{
	char text[KMN_TIME_TEXT_BYTES];

	if (ms < 0)
		return;
	kmn_time_text(ms, text);
	put(facts, name, text);
}

static void
put_algorithm(json_t *facts, int nid)
{
	if (nid != NID_undef)
		put(facts, "algorithm", OBJ_nid2ln(nid));
}

static void
put_key(json_t *facts, X509_PUBKEY *key)
{
	uint8_t *der = NULL;
	int len = i2d_X509_PUBKEY(key, &der);

	if (len > 0)
		put_hash(facts, "public_key", EVP_sha256(), der, (size_t)len);
	OPENSSL_free(der);
}

static bool
certificate_facts(json_t *facts, const uint8_t *der, size_t len)
{
	const unsigned char *at = der;
	X509 *x = d2i_X509(NULL, &at, (long)len);

	if (x == NULL)
		return false;
	put_number(facts, "serial", X509_get0_serialNumber(x));
	put_algorithm(facts, X509_get_signature_nid(x));
	put_key(facts, X509_get_X509_PUBKEY(x));
	X509_free(x);
	return true;
}

static bool
crl_facts(json_t *facts, const uint8_t *der, size_t len)
{
	const unsigned char *at = der;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)len);
	ASN1_INTEGER *number;

	if (crl == NULL)
		return false;
	number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	put_number(facts, "serial", number);
	ASN1_INTEGER_free(number);
	put_algorithm(facts, X509_CRL_get_signature_nid(crl));
	X509_CRL_free(crl);
	return true;
}

static bool
csr_facts(json_t *facts, const uint8_t *der, size_t len)
{
	const unsigned char *at = der;
	X509_REQ *req = d2i_X509_REQ(NULL, &at, (long)len);

	if (req == NULL)
		return false;
	put_algorithm(facts, X509_REQ_get_signature_nid(req));
	put_key(facts, X509_REQ_get_X509_PUBKEY(req));
	X509_REQ_free(req);
	return true;
}

static void
put_first_status(json_t *facts, OCSP_BASICRESP *basic)
{
	OCSP_SINGLERESP *first = OCSP_resp_get0(basic, 0);
	ASN1_INTEGER *serial = NULL;
	char text[96];
	int reason, status;

	if (first == NULL)
		return;
	status = OCSP_single_get0_status(first, &reason, NULL, NULL, NULL);
	(void)OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(first));
	put_number(facts, "serial", serial);
	(void)snprintf(text, sizeof(text), "%s, first of %d", OCSP_cert_status_str(status), OCSP_resp_count(basic));
	put(facts, "subject", text);
}

static bool
ocsp_facts(json_t *facts, const uint8_t *der, size_t len)
{
	const unsigned char *at = der;
	OCSP_BASICRESP *basic = d2i_OCSP_BASICRESP(NULL, &at, (long)len);
	const ASN1_GENERALIZEDTIME *produced;
	struct tm utc;

	if (basic == NULL)
		return false;
	produced = OCSP_resp_get0_produced_at(basic);
	if (produced != NULL && ASN1_TIME_to_tm(produced, &utc) == 1)
		put_time(facts, "not_before", (int64_t)timegm(&utc) * 1000);
	put_first_status(facts, basic);
	put_algorithm(facts, OBJ_obj2nid(OCSP_resp_get0_tbs_sigalg(basic)->algorithm));
	OCSP_BASICRESP_free(basic);
	return true;
}

/* Names and times as statements have them: they come from the data that was signed. */
static void
content_facts(json_t *facts, const uint8_t *der, size_t len)
{
	struct kmn_issued issued;
	struct kmn_content *content;
	const struct kmn_content_facts *said;

	if (kmn_issued_read(der, len, &issued) != KMN_OK ||
	    kmn_content_decode(&(struct kmn_material){.data = issued.tbs, .len = issued.tbs_len}, &content) != KMN_OK)
		return;
	said = kmn_content_facts(content);
	if (said->subject != NULL && said->subject[0] != '\0')
		put(facts, "subject", said->subject);
	if (said->issuer != NULL && said->issuer[0] != '\0')
		put(facts, "issuer", said->issuer);
	put_time(facts, "not_before", said->kind == KMN_CONTENT_TBS_CRL ? said->this_update : said->not_before);
	put_time(facts, "not_after", said->kind == KMN_CONTENT_TBS_CRL ? said->next_update : said->not_after);
	kmn_content_free(content);
}

json_t *
kmn_finished_facts(enum kmn_finished_kind kind, const uint8_t *der, size_t len)
{
	static bool (*const of[])(json_t *, const uint8_t *, size_t) = {
	    [KMN_FINISHED_CERTIFICATE] = certificate_facts,
	    [KMN_FINISHED_CRL] = crl_facts,
	    [KMN_FINISHED_CSR] = csr_facts,
	    [KMN_FINISHED_OCSP] = ocsp_facts,
	};
	json_t *facts = json_object();

	if (facts == NULL || !of[kind](facts, der, len)) {
		json_decref(facts);
		return NULL;
	}
	content_facts(facts, der, len);
	if (kind != KMN_FINISHED_OCSP) {
		put_hash(facts, "sha256", EVP_sha256(), der, len);
		put_hash(facts, "sha384", EVP_sha384(), der, len);
		put_hash(facts, "sha512", EVP_sha512(), der, len);
	}
	return facts;
}
