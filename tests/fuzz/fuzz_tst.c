/* What an applicant of a time stamp may make of TSTInfo, under attributes whose hash is right. */
#include "kanmon/content.h"
#include "kanmon/tree.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* SET { contentType tst-info, messageDigest SHA-256 }: the hash is the last 32 bytes. */
static const uint8_t attributes[] = {0x31, 0x4d, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09,
    0x03, 0x31, 0x0d, 0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04, 0x30, 0x2f, 0x06,
    0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04, 0x31, 0x22, 0x04, 0x20};

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint8_t set[sizeof(attributes) + KMN_HASH_BYTES];
	struct kmn_material m = {set, sizeof(set), bytes, len};
	struct kmn_content *content;
	const char *lines;

	memcpy(set, attributes, sizeof(attributes));
	kmn_sha256(bytes, len, set + sizeof(attributes));
	if (len == 0 || len > KMN_CONTENT_MAX_BYTES)
		return 0;
	switch (kmn_content_decode(&m, &content)) {
	case KMN_OK:
		break;
	case KMN_E_TOO_BIG: /* more than people read */
	case KMN_E_NO_MEMORY:
		return 0;
	default:
		abort(); /* whatever the bytes are, the attributes over them can be shown */
	}
	lines = kmn_content_lines(content);
	if (!kmn_content_facts(content)->has_econtent || strstr(lines, "\ninput econtent-sha256 ") == NULL)
		abort();
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
