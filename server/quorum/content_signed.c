/* What a finished certificate or request was signed over. */
#include "config.h"

#include "server/quorum/content.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

/* DER of the first PEM block with one of the two names, or the bytes themselves. */
static kmn_err
to_der(const uint8_t *bytes, size_t len, const char *name, const char *old_name, uint8_t **der_out, long *der_len_out)
{
	BIO *bio;
	char *found = NULL, *header = NULL;
	kmn_err e = KMN_E_MALFORMED;

	*der_out = NULL;
	if (len == 0 || len > KMN_CONTENT_MAX_BYTES)
		return len == 0 ? KMN_E_TRUNCATED : KMN_E_TOO_BIG;
	if (bytes[0] == 0x30) {
		*der_out = OPENSSL_memdup(bytes, len);
		*der_len_out = (long)len;
		return *der_out == NULL ? KMN_E_NO_MEMORY : KMN_OK;
	}
	if ((bio = BIO_new_mem_buf(bytes, (int)len)) == NULL)
		return KMN_E_NO_MEMORY;
	while (e != KMN_OK && PEM_read_bio(bio, &found, &header, der_out, der_len_out)) {
		if (strcmp(found, name) == 0 || strcmp(found, old_name) == 0)
			e = KMN_OK;
		OPENSSL_free(found);
		OPENSSL_free(header);
		if (e != KMN_OK) {
			OPENSSL_free(*der_out);
			*der_out = NULL;
		}
	}
	BIO_free(bio);
	return e;
}

/* The first element of the outer SEQUENCE, if it decodes as the kind that is wanted. */
static kmn_err
signed_part(const uint8_t *bytes, size_t len, const char *name, const char *old_name, enum kmn_content_kind kind,
    uint8_t **der_out, size_t *der_len_out)
{
	struct kmn_content *content = NULL;
	const uint8_t *at, *end;
	uint8_t *der = NULL;
	long der_len = 0;
	struct content_tlv t;
	kmn_err e;

	*der_out = NULL;
	*der_len_out = 0;
	if ((e = to_der(bytes, len, name, old_name, &der, &der_len)) != KMN_OK)
		return e;
	at = der;
	end = der + der_len;
	e = KMN_E_MALFORMED;
	if (!content_take(&at, end, &t) || at != end || t.tag != V_ASN1_SEQUENCE)
		goto done;
	at = t.inner;
	if (!content_take(&at, t.inner + t.inner_len, &t))
		goto done;
	if ((e = kmn_content_decode(&(struct kmn_material){.data = t.whole, .len = t.whole_len}, &content)) != KMN_OK)
		goto done;
	if (content->facts.kind != kind) {
		e = KMN_E_MALFORMED;
	} else if ((*der_out = malloc(t.whole_len)) == NULL) {
		e = KMN_E_NO_MEMORY;
	} else {
		memcpy(*der_out, t.whole, t.whole_len);
		*der_len_out = t.whole_len;
	}
done:
	kmn_content_free(content);
	OPENSSL_free(der);
	return e;
}

kmn_err
kmn_content_tbs_of(const uint8_t *certificate, size_t len, uint8_t **der_out, size_t *der_len_out)
{
	return signed_part(
	    certificate, len, PEM_STRING_X509, PEM_STRING_X509_OLD, KMN_CONTENT_TBS_CERTIFICATE, der_out, der_len_out);
}

kmn_err
kmn_content_info_of(const uint8_t *csr, size_t len, uint8_t **der_out, size_t *der_len_out)
{
	return signed_part(
	    csr, len, PEM_STRING_X509_REQ, PEM_STRING_X509_REQ_OLD, KMN_CONTENT_CSR, der_out, der_len_out);
}
