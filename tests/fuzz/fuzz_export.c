/* An exported request, as a machine without network gets it: nothing of it is to be trusted, and nothing to be signed. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/kanmon/offline.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct kmn_seen nothing;
	struct kmn_export export;
	struct kmn_examined x;

	static FILE *silence;

	if (silence == NULL && (silence = fopen("/dev/null", "w")) != NULL)
		stderr = silence; /* what is wrong with each input is said; sanitizers write by themselves */
	if (kmn_export_read((const char *)bytes, len, &export) != KMN_OK)
		return 0;
	if (kmn_examine(export.shown, export.id, export.origin, &nothing, KMN_JAPANESE, &x) == KMN_OK &&
	    (x.statement == NULL || x.policy == NULL))
		abort();
	kmn_examined_clear(&x);
	kmn_export_clear(&export);
	return 0;
}
