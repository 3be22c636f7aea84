#include "config.h"

#include "tools/kanmon/audit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

kmn_err
kmn_audit_open(const char *path, struct kmn_store **store_out)
{
	kmn_err e = kmn_store_files(path, store_out);

	if (e != KMN_OK)
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", path,
		    e == KMN_E_IO || e == KMN_E_NOT_FOUND ? strerror(errno) : kmn_err_text(e));
	return e;
}

kmn_err
kmn_audit_file(const char *path, size_t max, char **bytes_out, size_t *len_out)
{
	FILE *file = fopen(path, "rb");
	char *bytes = malloc(max + 1);
	kmn_err e = KMN_OK;

	*bytes_out = NULL;
	*len_out = 0;
	if (file == NULL || bytes == NULL)
		e = KMN_E_IO;
	else
		*len_out = fread(bytes, 1, max + 1, file);
	if (e == KMN_OK && (ferror(file) || *len_out > max))
		e = ferror(file) ? KMN_E_IO : KMN_E_TOO_BIG;
	if (e != KMN_OK) {
		(void)fprintf(
		    stderr, "kanmon audit: %s: %s\n", path, e == KMN_E_IO ? strerror(errno) : kmn_err_text(e));
		free(bytes);
		*len_out = 0;
	} else {
		bytes[*len_out] = '\0';
		*bytes_out = bytes;
	}
	if (file != NULL)
		(void)fclose(file);
	return e;
}

void
kmn_audit_text(FILE *out, const char *text, size_t width)
{
	size_t shown = 0;

	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
		bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; /* U+0080-009F: a terminal may obey them */

		if ((*at & 0xc0) != 0x80 && width != 0 && shown++ == width)
			break;
		if (*at < 0x20 || *at == 0x7f || c1)
			(void)fputc('?', out);
		else
			(void)fputc(*at, out);
		at += c1;
	}
}
