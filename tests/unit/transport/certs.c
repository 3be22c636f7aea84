#define _GNU_SOURCE 1 /* fchmod */

#include "tests/unit/transport/certs.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kanmon/tls.h"

static EVP_PKEY *
make_key(const char *kind)
{
	if (strcmp(kind, "RSA") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	if (strcmp(kind, "P-256") == 0)
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	return EVP_PKEY_Q_keygen(NULL, NULL, kind);
}

static bool
sign(X509 *x, EVP_PKEY *key, const char *kind, long from_s, long until_s)
{
	X509_NAME *name = X509_get_subject_name(x);
	const EVP_MD *md = strcmp(kind, "ED25519") == 0 ? NULL : EVP_sha256();

	return X509_set_version(x, 2) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
	       X509_gmtime_adj(X509_getm_notBefore(x), from_s) != NULL &&
	       X509_gmtime_adj(X509_getm_notAfter(x), until_s) != NULL &&
	       X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0) == 1 &&
	       X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 && X509_sign(x, key, md) > 0;
}

static bool
print(char *room, X509 *x, EVP_PKEY *key)
{
	BIO *out = BIO_new(BIO_s_mem());
	bool ok = out != NULL && (x != NULL ? PEM_write_bio_X509(out, x)
					    : PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL)) == 1;
	int n = ok ? BIO_read(out, room, TEST_PEM_BYTES - 1) : 0;

	room[n > 0 ? n : 0] = '\0';
	BIO_free(out);
	return n > 0;
}

bool
test_certificate_make(struct test_certificate *made, const char *kind, long from_s, long until_s)
{
	EVP_PKEY *key = make_key(kind);
	X509 *x = X509_new();
	bool ok = key != NULL && x != NULL && sign(x, key, kind, from_s, until_s) &&
		  print(made->certificate, x, NULL) && print(made->key, NULL, key) &&
		  kmn_tls_spki_sha256(x, made->spki) == KMN_OK;

	X509_free(x);
	EVP_PKEY_free(key);
	return ok;
}

bool
test_file_write(const char *dir, const char *name, const char *text, unsigned mode)
{
	char path[512];
	size_t n = strlen(text);
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode)) < 0)
		return false;
	ok = fchmod(fd, mode) == 0 && write(fd, text, n) == (ssize_t)n;
	return close(fd) == 0 && ok;
}
