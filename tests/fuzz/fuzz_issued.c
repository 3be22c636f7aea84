/* Certificates and CRLs that an auditor is handed, and data to be signed as a ledger keeps it. */
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/rebuild.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What can be taken apart is put together again from its parts: the same bytes, whatever they are. */
static void
put_together(const struct kmn_issued *issued, const uint8_t *bytes, size_t len)
{
	struct kmn_norm norm = {.scheme = "rsa-pkcs1", .hash = "sha256"};
	enum kmn_finished_kind kind;
	struct kmn_issued again;
	uint8_t *der;
	size_t der_len;

	if (kmn_finished_kind_of(issued->tbs, issued->tbs_len, &kind) != KMN_OK ||
	    kmn_finished_make(kind, issued->tbs, issued->tbs_len, &norm, issued->signature, issued->signature_len, &der,
		&der_len) != KMN_OK)
		return;
	if (kmn_issued_read(der, der_len, &again) != KMN_OK || again.tbs_len != issued->tbs_len ||
	    memcmp(again.tbs, issued->tbs, issued->tbs_len) != 0 || again.signature_len != issued->signature_len)
		abort();
	if (issued->algorithm_len == again.algorithm_len && der_len == len &&
	    memcmp(issued->algorithm, again.algorithm, again.algorithm_len) == 0 && memcmp(der, bytes, len) != 0)
		abort();
	free(der);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_issued issued;
	uint8_t digest[64];
	char hash[12];
	size_t digest_len;

	for (enum kmn_finished_kind kind = 0; kind < KMN_FINISHED_COUNT; kind++)
		json_decref(kmn_finished_facts(kind, bytes, len));
	if (kmn_issued_read(bytes, len, &issued) != KMN_OK)
		return 0;
	if (issued.tbs < bytes || issued.signature + issued.signature_len != bytes + len)
		abort();
	if (kmn_issued_digest(&issued, hash, digest, &digest_len) == KMN_OK && digest_len > sizeof(digest))
		abort();
	(void)kmn_issued_has_signature(&issued, digest, sizeof(digest));
	put_together(&issued, bytes, len);
	return 0;
}
