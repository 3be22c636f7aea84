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

/* The rest is a C2SP tlog-policy. Where it names logs, this one is among them. */
static kmn_err
read_policy(struct lines *lines, struct kmn_trust *trust, struct kmn_why *why)
{
	bool named = false;
	kmn_err e =
	    kmn_tlog_policy_parse(lines->at, (size_t)(lines->end - lines->at), lines->number + 1, &trust->policy, why);

	for (uint32_t i = 0; i < trust->policy.logs; i++)
		named = named || memcmp(trust->policy.log[i].pub, trust->log.pub, sizeof(trust->log.pub)) == 0;
	if (e != KMN_OK || named || trust->policy.logs == 0)
		return e;
	kmn_why_set(why, "the policy names logs, and not this one");
	return KMN_E_MALFORMED;
}

static bool
begins(const char *line, size_t len, const char *with)
{
	return len > strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

/* `tsa NAME B64`, where B64 is the SHA-256 of the DER of a root certificate. */
static bool
read_tsa(const char *line, size_t len, struct kmn_trust *trust)
{
	struct kmn_trust_tsa *tsa = &trust->tsa[trust->tsa_count];
	const char *name = line + 4, *end = line + len;
	const char *space = len > 4 ? memchr(name, ' ', len - 4) : NULL;
	size_t got;

	if (trust->tsa_count == KMN_TRUST_TSA_MAX || space == NULL || space == name ||
	    space - name > KMN_TRUST_TSA_NAME_MAX_BYTES || !kmn_json_text_ok(name, (size_t)(space - name), false) ||
	    kmn_b64_parse(space + 1, (size_t)(end - space - 1), tsa->root_sha256, KMN_HASH_BYTES, &got) != KMN_OK ||
	    got != KMN_HASH_BYTES)
		return false;
	memcpy(tsa->name, name, (size_t)(space - name));
	tsa->name[space - name] = '\0';
	trust->tsa_count++;
	return true;
}

/* `anchor-gap SECONDS`: a decimal number without leading zero, at most ten years. */
static bool
read_gap(const char *line, size_t len, struct kmn_trust *trust)
{
	uint64_t seconds = 0;

	if (trust->anchor_gap_ms != 0 || len < 12 || len > 20 || line[11] == '0')
		return false;
	for (size_t n = 11; n < len; n++) {
		if (line[n] < '0' || line[n] > '9')
			return false;
		seconds = seconds * 10 + (uint64_t)(line[n] - '0');
	}
	trust->anchor_gap_ms = seconds * 1000;
	return seconds <= UINT64_C(10) * 366 * 86400;
}

/* What is asked for beside the log's own signature, up to the empty line. */
static bool
read_asked(struct lines *lines, struct kmn_trust *trust)
{
	const char *line;
	size_t len;

	while (next_line(lines, &line, &len)) {
		if (len == 0)
			return true;
		if (!(begins(line, len, "tsa ") && read_tsa(line, len, trust)) &&
		    !(begins(line, len, "anchor-gap ") && read_gap(line, len, trust)))
			return false;
	}
	return false;
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
	return read_asked(lines, trust);
}

kmn_err
kmn_trust_parse(const char *text, size_t len, struct kmn_trust *trust_out, struct kmn_why *why)
{
	struct kmn_trust trust = {0};
	struct lines lines = {.at = text, .end = text + len};
	kmn_err e;

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
		    "tsa NAME B64 and anchor-gap SECONDS where time stamps are asked for, an empty line",
		    lines.number);
		return KMN_E_MALFORMED;
	}
	if ((e = read_policy(&lines, &trust, why)) != KMN_OK)
		return e;
	*trust_out = trust;
	return KMN_OK;
}
