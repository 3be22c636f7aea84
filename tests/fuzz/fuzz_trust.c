/* Trust files: the first thing an auditor's tool reads. */
#include <stdlib.h>

#include "kanmon/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_trust trust;
	struct kmn_why why;

	if (kmn_trust_parse((const char *)bytes, len, &trust, &why) != KMN_OK && trust.origin[0] != '\0')
		abort();
	return 0;
}
