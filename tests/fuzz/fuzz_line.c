/* Record lines: what is accepted is its own canonical form, and says the same when it is written again. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_record record;
	struct kmn_why why;
	char *line;
	size_t line_len;
	kmn_err e = kmn_record_parse((const char *)bytes, len, &record, &why);

	if (e != KMN_OK) {
		if (record.owner != NULL || record.body != NULL)
			abort();
		return 0;
	}
	e = kmn_record_check(record.kind, record.body, &why);
	if ((e == KMN_E_NOT_FOUND) != (record.kind == KMN_R_UNKNOWN))
		abort();
	if (kmn_record_emit(&record, &line, &line_len, &why) != KMN_OK || line_len != len ||
	    memcmp(line, bytes, len) != 0)
		abort();
	free(line);
	kmn_record_clear(&record);
	return 0;
}
