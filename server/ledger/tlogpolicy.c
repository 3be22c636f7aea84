#include "config.h"

#include "kanmon/tlogpolicy.h"

#include <stdio.h>
#include <string.h>

#define NAMES_MAX (KMN_TLOG_WITNESSES_MAX + KMN_TLOG_GROUPS_MAX)

struct word {
	const char *at;
	size_t len;
};

struct parser {
	struct kmn_tlog_policy *policy;
	struct word name[NAMES_MAX]; /* by bit; those of witnesses and of groups begin apart */
	uint64_t member;             /* bits that are in a group already */
	const char *at, *end;        /* the rest of the line */
	bool has_quorum;
	unsigned line;
	struct kmn_why *why;
	kmn_err err;
};

static bool
fail(struct parser *p, kmn_err e, const char *what)
{
	p->err = e;
	kmn_why_set(p->why, "line %u: %s", p->line, what);
	return false;
}

/* The next word of the line; false at its end. */
static bool
next(struct parser *p, struct word *word_out)
{
	while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
		p->at++;
	word_out->at = p->at;
	while (p->at < p->end && *p->at != ' ' && *p->at != '\t')
		p->at++;
	word_out->len = (size_t)(p->at - word_out->at);
	return word_out->len > 0;
}

static bool
is(const struct word *word, const char *text)
{
	return word->len == strlen(text) && memcmp(word->at, text, word->len) == 0;
}

static bool
at_end(struct parser *p)
{
	struct word more;

	return !next(p, &more) || fail(p, KMN_E_MALFORMED, "more words than the line has room for");
}

/* The bit of a name that was defined before, or KMN_TLOG_NONE. */
static uint32_t
find(const struct parser *p, const struct word *name)
{
	for (uint32_t bit = 0; bit < NAMES_MAX; bit++)
		if (p->name[bit].len == name->len && name->len > 0 && memcmp(p->name[bit].at, name->at, name->len) == 0)
			return bit;
	return KMN_TLOG_NONE;
}

static bool
define(struct parser *p, const struct word *name, uint32_t bit)
{
	if (is(name, "none") || find(p, name) != KMN_TLOG_NONE)
		return fail(p, KMN_E_MALFORMED, "the name is taken");
	p->name[bit] = *name;
	return true;
}

/* One more key; the same public key under another name is no other witness. */
static bool
add_key(struct parser *p, uint8_t type, struct kmn_vkey *list, uint32_t *count, uint32_t max)
{
	struct word key, url;

	if (*count == max)
		return fail(p, KMN_E_TOO_BIG, "more than 32 of a kind");
	if (!next(p, &key) || kmn_vkey_parse(key.at, key.len, &list[*count]) != KMN_OK || list[*count].type != type)
		return fail(p, KMN_E_MALFORMED,
		    type == KMN_NOTE_ED25519 ? "not a log's vkey (type 0x01)" : "not a witness' vkey (type 0x04)");
	for (uint32_t i = 0; i < *count; i++)
		if (memcmp(list[i].pub, list[*count].pub, KMN_ED25519_PUBLIC_BYTES) == 0)
			return fail(p, KMN_E_MALFORMED, "the same public key as in a line before");
	++*count;
	return !next(p, &url) || at_end(p);
}

static bool
parse_log(struct parser *p)
{
	return add_key(p, KMN_NOTE_ED25519, p->policy->log, &p->policy->logs, KMN_TLOG_LOGS_MAX);
}

static bool
parse_witness(struct parser *p)
{
	uint32_t bit = p->policy->witnesses;
	struct word name;

	if (!next(p, &name))
		return fail(p, KMN_E_MALFORMED, "witness NAME VKEY [URL]");
	return add_key(p, KMN_NOTE_COSIGNATURE, p->policy->witness, &p->policy->witnesses, KMN_TLOG_WITNESSES_MAX) &&
	       define(p, &name, bit);
}

/* Without leading zeroes; 0: it is no such number. */
static uint32_t
number(const struct word *word)
{
	uint32_t n = 0;

	if (word->len > 2 || word->at[0] == '0')
		return 0;
	for (size_t i = 0; i < word->len; i++) {
		if (word->at[i] < '0' || word->at[i] > '9')
			return 0;
		n = n * 10 + (uint32_t)(word->at[i] - '0');
	}
	return n;
}

static bool
parse_members(struct parser *p, uint64_t *members_out, uint32_t *count_out)
{
	struct word word;

	*members_out = 0;
	*count_out = 0;
	while (next(p, &word)) {
		uint32_t bit = find(p, &word);

		if (bit == KMN_TLOG_NONE)
			return fail(p, KMN_E_MALFORMED, "a member that no line before defines");
		if ((p->member >> bit & 1) != 0)
			return fail(p, KMN_E_MALFORMED, "a member that is in a group already");
		p->member |= UINT64_C(1) << bit;
		*members_out |= UINT64_C(1) << bit;
		++*count_out;
	}
	return *count_out > 0 || fail(p, KMN_E_MALFORMED, "a group without members");
}

static bool
parse_group(struct parser *p)
{
	struct kmn_tlog_policy *policy = p->policy;
	uint32_t g = policy->groups, count, need;
	struct word name, how;
	uint64_t members;

	if (g == KMN_TLOG_GROUPS_MAX)
		return fail(p, KMN_E_TOO_BIG, "more than 32 groups");
	if (!next(p, &name) || !next(p, &how))
		return fail(p, KMN_E_MALFORMED, "group NAME K|any|all MEMBER..");
	if (!parse_members(p, &members, &count))
		return false;
	need = is(&how, "any") ? 1 : is(&how, "all") ? count : number(&how);
	if (need == 0 || need > count)
		return fail(p, KMN_E_MALFORMED, "not any, all, or a number from 1 to that of its members");
	policy->group[g].need = need;
	policy->group[g].members = members;
	policy->groups++;
	return define(p, &name, KMN_TLOG_WITNESSES_MAX + g);
}

static bool
parse_quorum(struct parser *p)
{
	struct word name;

	if (p->has_quorum || !next(p, &name))
		return fail(p, KMN_E_MALFORMED, "one line quorum NAME|none");
	p->has_quorum = true;
	p->policy->quorum = find(p, &name);
	if (p->policy->quorum == KMN_TLOG_NONE && !is(&name, "none"))
		return fail(p, KMN_E_MALFORMED, "a quorum that no line before defines");
	return at_end(p);
}

static const struct {
	const char *word;
	bool (*parse)(struct parser *p);
} lines[] = {
    {"log", parse_log},
    {"witness", parse_witness},
    {"group", parse_group},
    {"quorum", parse_quorum},
};

static bool
parse_line(struct parser *p)
{
	struct word word;

	for (const char *at = p->at; at < p->end; at++)
		if (((uint8_t)*at < 0x20 && *at != '\t') || *at == 0x7f)
			return fail(p, KMN_E_MALFORMED, "a control character");
	if (!next(p, &word) || word.at[0] == '#')
		return true;
	for (size_t i = 0; i < KMN_COUNT_OF(lines); i++)
		if (is(&word, lines[i].word))
			return lines[i].parse(p);
	return fail(p, KMN_E_MALFORMED, "not a line of log, witness, group or quorum");
}

kmn_err
kmn_tlog_policy_parse(
    const char *text, size_t len, unsigned first_line, struct kmn_tlog_policy *policy_out, struct kmn_why *why)
{
	struct parser p = {.policy = policy_out, .line = first_line, .why = why};
	const char *lf;

	memset(policy_out, 0, sizeof(*policy_out));
	policy_out->quorum = KMN_TLOG_NONE;
	for (const char *at = text, *end = text + len; p.err == KMN_OK && at < end; at = lf + 1, p.line++) {
		if ((lf = memchr(at, '\n', (size_t)(end - at))) == NULL) {
			(void)fail(&p, KMN_E_MALFORMED, "no LF at its end");
			break;
		}
		p.at = at;
		p.end = lf;
		(void)parse_line(&p);
	}
	if (p.err == KMN_OK && !p.has_quorum)
		(void)fail(&p, KMN_E_MALFORMED, "no line quorum NAME|none");
	if (p.err != KMN_OK)
		memset(policy_out, 0, sizeof(*policy_out));
	return p.err;
}

bool
kmn_tlog_policy_is_met(const struct kmn_tlog_policy *policy, uint32_t witnesses)
{
	uint64_t met = witnesses;

	if (policy->quorum == KMN_TLOG_NONE)
		return true;
	for (uint32_t g = 0; g < policy->groups; g++) /* members are of lines before */
		if ((uint32_t)__builtin_popcountll(policy->group[g].members & met) >= policy->group[g].need)
			met |= UINT64_C(1) << (KMN_TLOG_WITNESSES_MAX + g);
	return (met >> policy->quorum & 1) != 0;
}

uint64_t
kmn_tlog_policy_size(const struct kmn_tlog_policy *policy, const uint64_t size[KMN_TLOG_WITNESSES_MAX])
{
	uint64_t best = 0;

	for (uint32_t w = 0; w < policy->witnesses; w++) {
		uint32_t at_least = 0;

		for (uint32_t other = 0; other < policy->witnesses; other++)
			if (size[other] >= size[w])
				at_least |= UINT32_C(1) << other;
		if (size[w] > best && kmn_tlog_policy_is_met(policy, at_least))
			best = size[w];
	}
	return best;
}
