/* Self-signed certificates for tests, made on the spot: nothing that expires lies in the tree. */
#ifndef KANMON_TESTS_CERTS_H
#define KANMON_TESTS_CERTS_H

#include "kanmon/base.h"

#define TEST_PEM_BYTES 4096

struct test_certificate {
	char certificate[TEST_PEM_BYTES]; /* PEM */
	char key[TEST_PEM_BYTES];         /* PEM */
	uint8_t spki[KMN_HASH_BYTES];
};

/* `kind` is "P-256", "ED25519" or "RSA"; the dates are seconds from now. */
bool test_certificate_make(struct test_certificate *made, const char *kind, long from_s, long until_s);

/* Writes `text` to DIR/NAME with that mode. */
bool test_file_write(const char *dir, const char *name, const char *text, unsigned mode);

#endif
