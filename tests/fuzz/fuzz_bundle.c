/* Bundles: what is read is written again byte for byte; what is not is refused without a crash. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_bundle *bundle;
	struct kmn_why why = {""};
	char *text;
	size_t text_len;

	if (kmn_bundle_parse((const char *)bytes, len, &bundle, &why) != KMN_OK) {
		if (bundle != NULL || why.text[0] == '\0')
			abort();
		return 0;
	}
	if (kmn_bundle_format(bundle, &text, &text_len) != KMN_OK || text_len != len || memcmp(text, bytes, len) != 0)
		abort();
	for (size_t n = 0; n < bundle->records; n++)
		if (kmn_bundle_record(bundle, bundle->record[n].index) != &bundle->record[n])
			abort();
	free(text);
	kmn_bundle_free(bundle);
	return 0;
}
