/* The trust file: what an auditor holds against a ledger (docs/ledger.md 9). */
#include "kanmon/verify.h"

#include <stdio.h>
#include <string.h>

/* One line without its LF; false at the end. */
struct lines {
	const char *at, *end;
	unsigned number;
};

static bool
next_line(struct lines *lines, const char **line_out, size_t *len_out)
{
	const char *lf = lines->at < lines->end ? memchr(lines->at, '\n', (size_t)(lines->end - lines->at)) : NULL;

	if (lf == NULL)
		return false;
	*line_out = lines->at;
	*len_out = (size_t)(lf - lines->at);
	lines->at = lf + 1;
	lines->number++;
	return true;
}

/* The value of the line `key SP value`, which must come next. */
static bool
expect(struct lines *lines, const char *key, const char **value_out, size_t *len_out)
{
	const char *line;
	size_t len, key_len = strlen(key);

	if (!next_line(lines, &line, &len) || len <= key_len + 1 || memcmp(line, key, key_len) != 0 ||
	    line[key_len] != ' ')
		return false;
	*value_out = line + key_len + 1;
	*len_out = len - key_len - 1;
	return true;
}

static bool
is_word(const char *line, size_t len, const char *word)
{
	return len >= strlen(word) && memcmp(line, word, strlen(word)) == 0 &&
	       (len == strlen(word) || line[strlen(word)] == ' ');
}

/*
 * C2SP tlog-policy. Who the witnesses are is for the check of cosignatures;
 * what matters here is whether any are asked for.
 */
static bool
read_witnesses(struct lines *lines, struct kmn_trust *trust)
{
	unsigned quorums = 0;
	const char *line;
	size_t len;

	while (next_line(lines, &line, &len)) {
		if (len == 0 || line[0] == '#' || is_word(line, len, "log") || is_word(line, len, "witness") ||
		    is_word(line, len, "group"))
			continue;
		if (!is_word(line, len, "quorum") || len < 8)
			return false;
		quorums++;
		trust->witnessed = !(len == 11 && memcmp(line, "quorum none", 11) == 0);
	}
	return quorums == 1;
}

static bool
read_pins(struct lines *lines, struct kmn_trust *trust)
{
	const char *value;
	size_t len, got;

	if (!next_line(lines, &value, &len) || len != 15 || memcmp(value, "kanmon/trust/v1", 15) != 0)
		return false;
	if (!expect(lines, "origin", &value, &len) || len > KMN_ORIGIN_MAX_BYTES ||
	    !kmn_json_text_ok(value, len, false))
		return false;
	memcpy(trust->origin, value, len);
	if (!expect(lines, "policy-sha256", &value, &len) ||
	    kmn_b64_parse(value, len, trust->policy_sha256, KMN_HASH_BYTES, &got) != KMN_OK || got != KMN_HASH_BYTES)
		return false;
	if (!expect(lines, "log", &value, &len) || kmn_vkey_parse(value, len, &trust->log) != KMN_OK ||
	    trust->log.type != KMN_NOTE_ED25519 || strcmp(trust->log.name, trust->origin) != 0)
		return false;
	return next_line(lines, &value, &len) && len == 0;
}

kmn_err
kmn_trust_parse(const char *text, size_t len, struct kmn_trust *trust_out, struct kmn_why *why)
{
	struct kmn_trust trust = {0};
	struct lines lines = {.at = text, .end = text + len};

	memset(trust_out, 0, sizeof(*trust_out));
	if (len > KMN_TRUST_MAX_BYTES) {
		kmn_why_set(why, "a trust file has at most %d bytes", KMN_TRUST_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	if (len == 0 || text[len - 1] != '\n') {
		kmn_why_set(why, "the trust file does not end with a line");
		return KMN_E_MALFORMED;
	}
	if (!read_pins(&lines, &trust)) {
		kmn_why_set(why,
		    "line %u: the trust file begins with kanmon/trust/v1, origin, policy-sha256, log (named as the "
		    "origin), "
		    "an empty line",
		    lines.number);
		return KMN_E_MALFORMED;
	}
	if (!read_witnesses(&lines, &trust)) {
		kmn_why_set(why, "line %u: not a line of log, witness, group and one quorum", lines.number);
		return KMN_E_MALFORMED;
	}
	*trust_out = trust;
	return KMN_OK;
}
