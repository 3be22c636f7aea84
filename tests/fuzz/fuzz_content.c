/* Bytes that a CA wants signed: their lines hold nothing but lines, however the bytes were made. */
#include "kanmon/content.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_content *content;
	const char *lines;

	if (kmn_content_decode(&(struct kmn_material){.data = bytes, .len = len}, &content) != KMN_OK)
		return 0;
	lines = kmn_content_lines(content);
	for (const char *line = lines; *line != 0; line = strchr(line, '\n') + 1) {
		size_t n = strcspn(line, "\n");

		if (line[n] != '\n' || strncmp(line, "input ", 6) != 0 || line[n - 1] == ' ' || n > 1100)
			abort();
		for (size_t i = 0; i < n; i++)
			if ((uint8_t)line[i] < 0x20 || line[i] == 0x7f)
				abort();
	}
	kmn_content_free(content);
	return 0;
}
