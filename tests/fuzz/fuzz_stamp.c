/* Time-stamp responses, tokens and recorded chains from anybody. The root below pins nothing but this corpus. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/stamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char root[] = "-----BEGIN CERTIFICATE-----\n"
			   "MIIBVzCB/6ADAgECAgEBMAoGCCqGSM49BAMCMBMxETAPBgNVBAMMCFRTQSByb290\n"
			   "MCAXDTI2MDkyMTE0MTMyMFoYDzIwNzYwOTA4MTQxMzIwWjATMREwDwYDVQQDDAhU\n"
			   "U0Egcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABF1X/1ftEOn2lJvusYns\n"
			   "XCnEjYjDmZWY1J0vHryNurIoi+REbMw2UgknKZqdzmK0QljtFPeq/X9s4V42nZsb\n"
			   "07KjQjBAMB0GA1UdDgQWBBTKW+an8YQHxZTkTimtdffb6ePHXTAPBgNVHRMBAf8E\n"
			   "BTADAQH/MA4GA1UdDwEB/wQEAwIBBjAKBggqhkjOPQQDAgNHADBEAiApBH2UBulG\n"
			   "6pLddCvw6kMW1Vd7kToMOQUyz4I7fLEKsQIgMQ4kXmo5txyp6cHZqH4DcWKlwieo\n"
			   "LfMPINI2bOvAajU=\n"
			   "-----END CERTIFICATE-----\n";

static void
look_at_token(const uint8_t *token, size_t len, const struct kmn_stamp_roots *roots)
{
	struct kmn_stamp_want want = {.nonce = 0x8123456789abcdef};
	struct kmn_stamp stamp;
	struct kmn_why why;

	if (!kmn_stamp_imprint(&want, "sha256", "kanmon", 6))
		abort();
	/* what counts says its time, and its chain is one that reads again */
	if (kmn_stamp_verify(token, len, &want, roots, 0, &stamp, &why) == KMN_OK) {
		struct kmn_stamp_roots *again;

		if (stamp.gen_time == 0 || kmn_stamp_roots_load(stamp.chain, stamp.chain_len, &again, &why) != KMN_OK)
			abort();
		kmn_stamp_roots_free(again);
	} else if (stamp.chain != NULL || stamp.gen_time != 0) {
		abort();
	}
	kmn_stamp_clear(&stamp);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct kmn_stamp_roots *roots;
	struct kmn_stamp_roots *chain;
	uint8_t pin[1][KMN_HASH_BYTES] = {{0}}, *token;
	struct kmn_why why;
	size_t token_len;

	if (roots == NULL && kmn_stamp_roots_load(root, strlen(root), &roots, &why) != KMN_OK)
		abort();
	look_at_token(bytes, len, roots);
	if (kmn_stamp_token(bytes, len, &token, &token_len, &why) == KMN_OK)
		look_at_token(token, token_len, roots);
	else if (token != NULL)
		abort();
	free(token);
	if (kmn_stamp_roots_pinned((const char *)bytes, len, pin, 1, &chain, &why) == KMN_OK)
		abort(); /* nothing has a hash of zeroes */
	return 0;
}
