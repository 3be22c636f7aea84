/* A text that people sign: read or refused; what was read, written again line by line, is the same text. */
#include "kanmon/signed.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static char key[KMN_SIGNED_LINES_MAX][64], value[KMN_SIGNED_LINES_MAX][KMN_SIGNED_VALUE_MAX_BYTES + 1];
	struct kmn_signed_pair pair[KMN_SIGNED_LINES_MAX];
	struct kmn_signed said;
	char *again;

	if (kmn_signed_read((const char *)bytes, len, &said, NULL) != KMN_OK)
		return 0;
	for (size_t n = 0; n < said.count; n++) {
		if (said.line[n].key_len >= sizeof(key[n]) || said.line[n].len >= sizeof(value[n]))
			abort();
		memcpy(key[n], said.line[n].key, said.line[n].key_len);
		key[n][said.line[n].key_len] = '\0';
		memcpy(value[n], said.line[n].value, said.line[n].len);
		value[n][said.line[n].len] = '\0';
		pair[n] = (struct kmn_signed_pair){key[n], value[n]};
	}
	if (kmn_signed_make(said.kind, pair, said.count, &again, NULL) != KMN_OK || strlen(again) != len ||
	    memcmp(again, bytes, len) != 0)
		abort();
	free(again);
	return 0;
}
