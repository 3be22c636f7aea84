/* Files of openings, which clients give to auditors. */
#include <stdlib.h>

#include "kanmon/openings.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_openings openings;
	size_t values = 0;

	if (kmn_openings_parse((const char *)bytes, len, &openings, NULL) == KMN_OK) {
		for (size_t i = 0; i < openings.count; i++) {
			if (openings.opened[i].value == NULL || openings.opened[i].field[0] == '\0' ||
			    (i > 0 && openings.opened[i].index < openings.opened[i - 1].index))
				abort();
			values += openings.opened[i].len;
		}
		if (values > len)
			abort();
	}
	kmn_openings_clear(&openings);
	return 0;
}
