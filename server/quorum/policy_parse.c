/* Text -> policy: the table of lines. What each line says is read in the file of its subject. */
#include "config.h"

#include "server/quorum/policy_parse.h"

#include "kanmon/record.h"
#include "kanmon/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
parse_origin(struct parser *p)
{
	const char *origin = p->word[1];

	if (strncmp(origin, "kanmon/", 7) == 0)
		fail(p, "an origin must not begin with kanmon/: that is what statements begin with");
	else if (strchr(origin, '+') != NULL || strlen(origin) > KMN_NOTE_NAME_MAX_BYTES)
		fail(p, "'%.60s' cannot be an origin (no '+', at most %d bytes)", origin, KMN_NOTE_NAME_MAX_BYTES);
	p->policy->origin = policy_keep(p, origin);
}

static void
parse_version(struct parser *p)
{
	if (policy_number(p, p->word[1], KMN_JSON_INT_MAX, &p->policy->version) && p->policy->version == 0)
		fail(p, "versions count from 1");
}

static void
parse_previous(struct parser *p)
{
	bool none = strcmp(p->word[1], "none") == 0;

	if (none != (p->policy->version == 1))
		fail(p, none ? "only version 1 has no previous one" : "version 1 has `previous none`");
	if (!none)
		policy_hash(p, p->word[1], p->policy->previous);
}

static void
parse_time(struct parser *p, int64_t *out)
{
	if (kmn_time_parse(p->word[1], strlen(p->word[1]), out) != KMN_OK)
		fail(p, "'%.40s' is not a time like 2026-11-01T00:00:00Z", p->word[1]);
}

static void
parse_not_before(struct parser *p)
{
	parse_time(p, &p->policy->not_before);
}

static void
parse_expires(struct parser *p)
{
	parse_time(p, &p->policy->expires);
	if (p->policy->expires <= p->policy->not_before)
		fail(p, "it expires before it begins");
}

static const struct {
	const char *key;
	void (*parse)(struct parser *p);
} headers[] = {
    {"origin", parse_origin},
    {"version", parse_version},
    {"previous", parse_previous},
    {"not-before", parse_not_before},
    {"expires", parse_expires},
};

static const struct {
	const char *key;
	void (*parse)(struct parser *p);
} lines[] = {
    {"custodian", policy_line_roster},
    {"auditor", policy_line_roster},
    {"webauthn", policy_line_webauthn},
    {"share-key", policy_line_share_key},
    {"client", policy_line_peer},
    {"terminal", policy_line_peer},
    {"token", policy_line_token},
    {"group", policy_line_group},
    {"role", policy_line_group},
    {"rule", policy_line_rule},
    {"anchors", policy_line_anchors},
    {"witness", policy_line_witness},
    {"witnesses", policy_line_witnesses},
    {"stance", policy_line_stance},
};

static void
parse_line(struct parser *p, char *line)
{
	policy_split(p, line);
	if (p->words == 0 || p->err != KMN_OK)
		return;
	if (p->headers < KMN_COUNT_OF(headers)) {
		const char *key = headers[p->headers].key;

		if (p->indented || p->words != 2 || strcmp(p->word[0], key) != 0)
			fail(p, "expected here: %s VALUE", key);
		else
			headers[p->headers++].parse(p);
		return;
	}
	if (p->indented) {
		policy_line_of_rule(p);
		return;
	}
	p->rule = NULL;
	for (size_t i = 0; i < KMN_COUNT_OF(lines); i++) {
		if (strcmp(lines[i].key, p->word[0]) == 0) {
			lines[i].parse(p);
			return;
		}
	}
	fail(p, "'%.40s' begins no line of a policy", p->word[0]);
}

/* One LF-terminated line after the other; a copy of each is split in place. */
static void
parse_lines(struct parser *p, const char *text, size_t len)
{
	static const char first[] = "kanmon/policy/v1";
	char line[4096];

	for (const char *at = text, *end = text + len; at < end && p->err == KMN_OK;) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t n = lf == NULL ? (size_t)(end - at) : (size_t)(lf - at);

		p->line++;
		if (lf == NULL) {
			fail(p, "the last line does not end");
			return;
		}
		if (n >= sizeof(line) || p->line > POLICY_LINES_MAX) {
			fail(p, n >= sizeof(line) ? "the line is too long" : "too many lines");
			return;
		}
		memcpy(line, at, n);
		line[n] = 0;
		if (n > 0 && !kmn_json_text_ok(line, n, false))
			fail(
			    p, "a character that cannot be seen (control, direction, zero width) or that is not UTF-8");
		else if (p->line == 1 && strcmp(line, first) != 0)
			fail(p, "a policy begins with the line %s", first);
		else if (p->line > 1)
			parse_line(p, line);
		at = lf + 1;
	}
}

static void
check_whole(struct parser *p)
{
	if (p->err != KMN_OK)
		return;
	if (p->headers < KMN_COUNT_OF(headers)) {
		policy_fail_at(p, p->line + 1, "expected here: %s VALUE", headers[p->headers].key);
		return;
	}
	if (policy_group(p->policy, "policy", true) == NULL)
		policy_fail_at(p, 0, "no `role policy` line: nobody could change this policy");
	policy_check_groups(p);
	policy_check_peers(p);
	policy_check_stances(p);
	policy_check_keys(p);
	policy_check_witnesses(p);
	policy_check_rules(p);
}

kmn_err
kmn_policy_parse(const char *text, size_t len, struct kmn_policy **policy_out, struct kmn_policy_error *error_out)
{
	struct parser p = {.error = error_out};

	*policy_out = NULL;
	*error_out = (struct kmn_policy_error){0, ""};
	if (len > KMN_POLICY_MAX_BYTES) {
		snprintf(error_out->text, sizeof(error_out->text), "longer than %u bytes", KMN_POLICY_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	if ((p.policy = calloc(1, sizeof(*p.policy))) == NULL || (p.policy->text = malloc(len + 1)) == NULL) {
		kmn_policy_free(p.policy);
		return KMN_E_NO_MEMORY;
	}
	memcpy(p.policy->text, text, len);
	p.policy->text[len] = 0;
	p.policy->len = len;
	kmn_sha256(text, len, p.policy->sha256);
	parse_lines(&p, text, len);
	if (p.line == 0)
		fail(&p, "the text is empty");
	check_whole(&p);
	if (p.err == KMN_OK)
		*policy_out = p.policy;
	else
		kmn_policy_free(p.policy);
	return p.err;
}

static void
list_free(struct list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

void
kmn_policy_free(struct kmn_policy *policy)
{
	if (policy == NULL)
		return;
	for (size_t i = 0; i < policy->rules.count; i++) {
		struct rule *r = policy->rules.items[i];

		list_free(&r->objects);
		list_free(&r->bounds);
	}
	list_free(&policy->custodians);
	list_free(&policy->peers);
	list_free(&policy->tokens);
	list_free(&policy->groups);
	list_free(&policy->rules);
	list_free(&policy->witnesses);
	list_free(&policy->webauthn);
	list_free(&policy->share_keys);
	list_free(&policy->stances);
	list_free(&policy->owned);
	free(policy->text);
	free(policy);
}
