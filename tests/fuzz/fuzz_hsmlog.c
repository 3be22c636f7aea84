/* An HSM's log: the description of its form, an empty line, then lines of it. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/hsmlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
read_lines(const struct kmn_hsmlog_format *format, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);
		struct kmn_hsmlog_row row;

		if (line == NULL)
			abort();
		if (kmn_hsmlog_line(format, line, &row) == KMN_OK &&
		    (strlen(row.key) >= sizeof(row.key) || row.class > KMN_HSM_CLASS_COUNT))
			abort();
		free(line);
		text += len + (text[len] == '\n');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = malloc(len + 1), *rest;
	struct kmn_hsmlog_format *format;
	struct kmn_why why = {""};

	if (text == NULL)
		return 0;
	/* the description is the auditor's own file: that a regular expression can be made slow is not looked for */
	if (memchr(bytes, '{', len) != NULL || memchr(bytes, '\\', len) != NULL) {
		free(text);
		return 0;
	}
	memcpy(text, bytes, len);
	text[len] = '\0';
	rest = strstr(text, "\n\n");
	if (kmn_hsmlog_format_parse(text, rest != NULL ? (size_t)(rest + 1 - text) : len, &format, &why) == KMN_OK) {
		read_lines(format, rest != NULL ? rest + 2 : "");
		kmn_hsmlog_format_free(format);
	} else if (why.text[0] == '\0') {
		abort(); /* a refusal says why */
	}
	free(text);
	return 0;
}
