/*
 * An application that goes on: it signs COUNT different texts, one after the
 * other, and after a failure begins anew with the same text.
 *
 *	signer COUNT        lines "signed N BASE64", "failed N FUNCTION 0xRV"; at the end "done"
 */
#include "config.h"

#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/faults/client.h"

#define DEADLINE_S 120

static bool
begin(struct client *c, unsigned long n)
{
	const struct timespec pause = {0, 50000000};
	const char *where;
	CK_RV rv;

	while ((rv = client_begin(c, NULL, "seed", &where)) != CKR_OK) {
		printf("failed %lu %s 0x%lx\n", n, where, rv);
		nanosleep(&pause, NULL);
	}
	return true;
}

/* True: the text is signed. */
static bool
sign(struct client *c, unsigned long n)
{
	char text[64], b64[sodium_base64_ENCODED_LEN(SIGNATURE_MAX_BYTES, sodium_base64_VARIANT_ORIGINAL)];
	CK_BYTE signature[SIGNATURE_MAX_BYTES];
	int len = snprintf(text, sizeof(text), "text %lu of process %ld", n, (long)getpid());
	CK_ULONG signature_len;
	CK_RV rv = client_sign(c, text, (CK_ULONG)len, signature, &signature_len);

	if (rv != CKR_OK) {
		printf("failed %lu C_Sign 0x%lx\n", n, rv);
		return false;
	}
	(void)sodium_bin2base64(b64, sizeof(b64), signature, signature_len, sodium_base64_VARIANT_ORIGINAL);
	printf("signed %lu %s\n", n, b64);
	return true;
}

int
main(int argc, char **argv)
{
	unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	struct client c;

	(void)alarm(DEADLINE_S);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (count == 0 || sodium_init() < 0 || client_load(&c) != 0)
		return 2;
	(void)begin(&c, 0);
	for (unsigned long n = 1; n <= count;) {
		if (sign(&c, n)) {
			n++;
		} else {
			(void)client_end(&c);
			(void)begin(&c, n);
		}
	}
	(void)client_end(&c);
	puts("done");
	return 0;
}
