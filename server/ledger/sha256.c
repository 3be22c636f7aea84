/*
 * The one hash of the ledger. OpenSSL's own function of old: it uses the
 * processor's instructions (several times libsodium's speed), allocates
 * nothing, fetches nothing, and holds no state beside its argument. The newer
 * interface costs more than the hash of a node does.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "kanmon/tree.h"

#include <string.h>

void
kmn_sha256(const void *bytes, size_t len, uint8_t out[KMN_HASH_BYTES])
{
	SHA256_CTX h;

	(void)SHA256_Init(&h);
	(void)SHA256_Update(&h, bytes, len);
	(void)SHA256_Final(out, &h);
}

void
kmn_leaf_hash(const void *line, size_t len, uint8_t out[KMN_HASH_BYTES])
{
	static const uint8_t tag = 0;
	SHA256_CTX h;

	(void)SHA256_Init(&h);
	(void)SHA256_Update(&h, &tag, 1);
	(void)SHA256_Update(&h, line, len);
	(void)SHA256_Final(out, &h);
}

void
kmn_node_hash(const uint8_t left[KMN_HASH_BYTES], const uint8_t right[KMN_HASH_BYTES], uint8_t out[KMN_HASH_BYTES])
{
	uint8_t both[1 + 2 * KMN_HASH_BYTES] = {1};

	memcpy(both + 1, left, KMN_HASH_BYTES);
	memcpy(both + 1 + KMN_HASH_BYTES, right, KMN_HASH_BYTES);
	kmn_sha256(both, sizeof(both), out);
}
