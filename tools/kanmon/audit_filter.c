/* Which rows an auditor asked for, and the times that people write. */
#include "config.h"

#include "tools/kanmon/audit_rows.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Is `word` one of the words in `list`, which have a space between? */
static bool
has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; len > 0 && (at = strstr(at, word)) != NULL; at += len)
		if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
			return true;
	return false;
}

/* A hash as the ledger writes it and as openssl prints it. */
static bool
is_hash(const char *b64, const char *word)
{
	uint8_t hash[KMN_HASH_BYTES], said[KMN_HASH_BYTES];
	size_t len = 0;

	if (strcmp(b64, word) == 0)
		return true;
	return kmn_b64_parse(b64, strlen(b64), hash, sizeof(hash), &len) == KMN_OK && len == sizeof(hash) &&
	       sodium_hex2bin(said, sizeof(said), word, strlen(word), ":", &len, NULL) == 0 && len == sizeof(said) &&
	       memcmp(hash, said, sizeof(hash)) == 0;
}

static bool
is_key(const struct kmn_row *row, const char *word)
{
	return strcmp(row->value[KMN_COL_KEY], word) == 0 || strcmp(row->value[KMN_COL_KEY_ID], word) == 0 ||
	       (row->value[KMN_COL_KEY_SPKI][0] != '\0' && is_hash(row->value[KMN_COL_KEY_SPKI], word));
}

static bool
is(const char *wanted, const char *value)
{
	return wanted == NULL || strcmp(wanted, value) == 0;
}

bool
kmn_row_wanted(const struct kmn_row_filter *f, const struct kmn_record *record, const struct kmn_row *row)
{
	return record->t >= f->since && (f->before == 0 || record->t < f->before) && record->i >= f->from &&
	       record->i <= f->to && (f->request == UINT64_MAX || f->request == row->request) &&
	       is(f->type, row->value[KMN_COL_TYPE]) && is(f->client, row->value[KMN_COL_CLIENT]) &&
	       is(f->function, row->value[KMN_COL_FUNCTION]) && (f->key == NULL || is_key(row, f->key)) &&
	       (f->custodian == NULL || has_word(row->value[KMN_COL_CUSTODIANS], f->custodian));
}

static uint64_t
ms_of(struct tm *utc)
{
	time_t seconds = timegm(utc);

	return seconds < 0 ? 0 : (uint64_t)seconds * 1000;
}

bool
kmn_when_parse(const char *text, uint64_t *from_out, uint64_t *before_out)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	static const size_t ends[] = {4, 7, 10, 13, 16, 19}; /* a time may stop after each part */
	int part[6] = {0};
	size_t len = strlen(text), parts = 0, at = 0;
	struct tm utc, next;

	len -= len > 10 && text[len - 1] == 'Z';
	while (parts < KMN_COUNT_OF(ends) && ends[parts] <= len)
		parts++;
	if (parts == 0 || ends[parts - 1] != len)
		return false;
	for (size_t n = 0, of = 0; n < len; n++) {
		bool digit = text[n] >= '0' && text[n] <= '9';

		if (form[n] == 'd' ? !digit : text[n] != form[n] && (form[n] != 'T' || text[n] != ' '))
			return false;
		if (digit)
			part[of] = part[of] * 10 + text[n] - '0';
		else
			of++;
		at = of;
	}
	for (at++; at < 3; at++)
		part[at] = 1;
	utc = (struct tm){.tm_year = part[0] - 1900,
	    .tm_mon = part[1] - 1,
	    .tm_mday = part[2],
	    .tm_hour = part[3],
	    .tm_min = part[4],
	    .tm_sec = part[5]};
	next = utc;
	*(int *[]){&next.tm_year, &next.tm_mon, &next.tm_mday, &next.tm_hour, &next.tm_min, &next.tm_sec}[parts - 1] +=
	    1;
	*from_out = ms_of(&utc);
	*before_out = ms_of(&next);
	/* timegm() takes the 31st of February for a day in March: what was said must come out again */
	return utc.tm_year == part[0] - 1900 && utc.tm_mon == part[1] - 1 && utc.tm_mday == part[2] &&
	       utc.tm_hour == part[3] && utc.tm_min == part[4] && utc.tm_sec == part[5];
}
