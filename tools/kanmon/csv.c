#include "config.h"

#include "tools/kanmon/csv.h"

#include <stdlib.h>
#include <string.h>

/* What begins a formula; the last four are the wide forms that a Japanese spreadsheet takes for the same. */
static const char *const formulas[] = {
    "=", "+", "-", "@", "\t", "\r", "\n", "\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d", "\xef\xbc\xa0"};

static bool
looks_like_formula(const char *text)
{
	while (*text == ' ')
		text++;
	for (size_t i = 0; i < KMN_COUNT_OF(formulas); i++)
		if (strncmp(text, formulas[i], strlen(formulas[i])) == 0)
			return true;
	return false;
}

char *
kmn_csv_field(const char *text)
{
	bool formula = looks_like_formula(text), quote = formula || strpbrk(text, "\",\r\n;\t ") != NULL;
	char *field = malloc(2 * strlen(text) + 4), *at = field;

	if (field == NULL)
		return NULL;
	if (quote)
		*at++ = '"';
	if (formula)
		*at++ = '\'';
	for (; *text != '\0'; text++) {
		if (*text == '"')
			*at++ = '"';
		*at++ = *text;
	}
	if (quote)
		*at++ = '"';
	*at = '\0';
	return field;
}

void
kmn_csv_line(FILE *out, const char *const *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *field = kmn_csv_field(fields[i] != NULL ? fields[i] : "");

		if (field == NULL)
			KMN_BUG("out of memory");
		(void)fprintf(out, "%s%s", i > 0 ? "," : "", field);
		free(field);
	}
	(void)fputs("\r\n", out);
}
