#include "config.h"

#include "tools/kanmon/certificate.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_A_DAY (24l * 60 * 60)

/* Dates start a little early, for a peer whose clock is behind. */
#define START_EARLY_SECONDS (-300)

static bool
add_extension(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
	bool ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;

	X509_EXTENSION_free(extension);
	return ok;
}

static bool
set_random_serial(X509 *certificate)
{
	unsigned char bytes[16];
	BIGNUM *number;
	bool ok;

	randombytes_buf(bytes, sizeof(bytes));
	bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, always 16 bytes */
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
	BN_free(number);
	return ok;
}

static bool
fill(X509 *certificate, EVP_PKEY *key, const char *name, unsigned long days)
{
	X509_NAME *subject = X509_get_subject_name(certificate);

	return X509_set_version(certificate, X509_VERSION_3) == 1 && set_random_serial(certificate) &&
	       X509_gmtime_adj(X509_getm_notBefore(certificate), START_EARLY_SECONDS) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(certificate), (long)days * SECONDS_A_DAY) != NULL &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(certificate, subject) == 1 && X509_set_pubkey(certificate, key) == 1 &&
	       add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(certificate, NID_ext_key_usage, "clientAuth,serverAuth") &&
	       X509_sign(certificate, key, EVP_sha256()) > 0;
}

/* What a memory BIO holds, as a string of its own. */
static char *
bio_text(BIO *bio)
{
	char *data, *text;
	long len = BIO_get_mem_data(bio, &data);

	if (len <= 0 || (text = malloc((size_t)len + 1)) == NULL)
		return NULL;
	memcpy(text, data, (size_t)len);
	text[len] = '\0';
	return text;
}

static bool
hash_spki(EVP_PKEY *key, char *b64, size_t b64_size)
{
	unsigned char *der = NULL, hash[crypto_hash_sha256_BYTES];
	int len = i2d_PUBKEY(key, &der);

	if (len <= 0)
		return false;
	crypto_hash_sha256(hash, der, (unsigned long long)len);
	OPENSSL_free(der);
	sodium_bin2base64(b64, b64_size, hash, sizeof(hash), sodium_base64_VARIANT_ORIGINAL);
	return true;
}

kmn_err
kmn_certificate_new(const char *name, unsigned long days, struct kmn_certificate *out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	BIO *bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_secmem());
	kmn_err e = KMN_E_TLS;

	memset(out, 0, sizeof(*out));
	if (key == NULL || certificate == NULL || bio == NULL || key_bio == NULL ||
	    !fill(certificate, key, name, days) || PEM_write_bio_X509(bio, certificate) != 1 ||
	    PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    !hash_spki(key, out->spki_b64, sizeof(out->spki_b64)))
		goto done;
	out->pem = bio_text(bio);
	out->key_pem = bio_text(key_bio);
	e = out->pem != NULL && out->key_pem != NULL ? KMN_OK : KMN_E_NO_MEMORY;
done:
	if (e != KMN_OK)
		kmn_certificate_clear(out);
	BIO_free(bio);
	BIO_free(key_bio);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return e;
}

void
kmn_certificate_clear(struct kmn_certificate *certificate)
{
	if (certificate->key_pem != NULL)
		sodium_memzero(certificate->key_pem, strlen(certificate->key_pem));
	free(certificate->key_pem);
	free(certificate->pem);
	memset(certificate, 0, sizeof(*certificate));
}
