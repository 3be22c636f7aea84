#include "config.h"

#include "server/quorum/policy.h"

#include "kanmon/record.h"
#include "kanmon/statement.h"
#include "server/quorum/text.h"

#include <p11-kit/uri.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	struct kmn_policy *policy;
	struct kmn_policy_error *error;
	kmn_err err;
	unsigned line;
	bool indented;
	char *word[POLICY_WORDS_MAX];
	size_t words;
	struct rule *rule; /* whose block this is */
	unsigned headers;  /* how many of the first five lines are read */
	char nothing[1];   /* in place of a string for which there was no memory; the policy is not handed out then */
};

/* The first failure is kept: its line and words. */
static void fail_at(struct parser *p, unsigned line, const char *format, ...) KMN_PRINTF(3, 4);

static void
fail_at(struct parser *p, unsigned line, const char *format, ...)
{
	va_list args;

	if (p->err != KMN_OK)
		return;
	p->err = KMN_E_MALFORMED;
	p->error->line = line;
	va_start(args, format);
	vsnprintf(p->error->text, sizeof(p->error->text), format, args);
	va_end(args);
}

#define fail(p, ...) fail_at((p), (p)->line, __VA_ARGS__)

static void
no_memory(struct parser *p)
{
	if (p->err == KMN_OK)
		p->err = KMN_E_NO_MEMORY;
}

static void *
list_add(struct parser *p, struct list *list, void *item)
{
	if (item != NULL && list->count == list->size) {
		size_t size = list->size == 0 ? 8 : list->size * 2;
		void **items = realloc(list->items, size * sizeof(*items));

		if (items == NULL) {
			free(item);
			item = NULL;
		} else {
			list->items = items;
			list->size = size;
		}
	}
	if (item == NULL)
		no_memory(p);
	else
		list->items[list->count++] = item;
	return item;
}

static void *
new_block(struct parser *p, size_t size)
{
	return list_add(p, &p->policy->owned, calloc(1, size));
}

static char *
keep(struct parser *p, const char *string)
{
	char *copy = new_block(p, strlen(string) + 1);

	if (copy == NULL)
		return p->nothing;
	return strcpy(copy, string);
}

/* Words from `from` on as a list that ends with NULL. */
static char **
keep_words(struct parser *p, size_t from)
{
	char **list = new_block(p, (p->words - from + 1) * sizeof(*list));

	for (size_t i = from; list != NULL && i < p->words; i++)
		list[i - from] = keep(p, p->word[i]);
	return list;
}

/* ---- words ------------------------------------------------------------------------------------------------------ */

/* Splits a line in place: spaces part words, "..." joins them, # at the start of a word ends the line. */
static void
split(struct parser *p, char *line)
{
	char *at = line, *to;

	p->words = 0;
	p->indented = line[0] == ' ';
	for (;;) {
		bool quoted = false;

		while (*at == ' ')
			at++;
		if (*at == 0 || *at == '#')
			return;
		if (p->words == POLICY_WORDS_MAX) {
			fail(p, "more than %d words", POLICY_WORDS_MAX);
			return;
		}
		p->word[p->words++] = to = at;
		for (; *at != 0 && (quoted || *at != ' '); at++) {
			if (*at == '"')
				quoted = !quoted;
			else
				*to++ = *at;
		}
		if (quoted)
			fail(p, "a quotation mark is not closed");
		if (*at != 0)
			at++;
		*to = 0;
	}
}

static bool
is_name(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return n > 0 && n <= KMN_POLICY_NAME_MAX_BYTES && s[n] == 0;
}

static bool
check_name(struct parser *p, const char *what, const char *name)
{
	static const char *const reserved[] = {"and", "none", "deny", "of", "any", "all"};

	if (!is_name(name)) {
		fail(p, "'%.80s' cannot name a %s: letters, digits, '.', '_' and '-', at most %d", name, what,
		    KMN_POLICY_NAME_MAX_BYTES);
		return false;
	}
	for (size_t i = 0; i < KMN_COUNT_OF(reserved); i++)
		if (strcmp(reserved[i], name) == 0)
			fail(p, "'%s' is a word of the grammar and cannot name a %s", name, what);
	return p->err == KMN_OK;
}

static bool
count_words(struct parser *p, size_t least, size_t most, const char *form)
{
	if (p->words < least || p->words > most)
		fail(p, "expected: %s", form);
	return p->err == KMN_OK;
}

static bool
parse_number(struct parser *p, const char *s, uint64_t most, uint64_t *out)
{
	size_t n = strspn(s, "0123456789");

	*out = 0;
	if (n == 0 || n > 15 || s[n] != 0 || (s[0] == '0' && n > 1)) {
		fail(p, "'%.40s' is not a number", s);
		return false;
	}
	*out = strtoull(s, NULL, 10);
	if (*out > most)
		fail(p, "%s is more than %llu", s, (unsigned long long)most);
	return p->err == KMN_OK;
}

/* "4h", "90d" in seconds. */
static bool
parse_duration(struct parser *p, const char *s, uint64_t most_s, uint64_t *out)
{
	size_t n = strlen(s);
	uint64_t unit = n == 0            ? 0
			: s[n - 1] == 's' ? 1
			: s[n - 1] == 'm' ? 60
			: s[n - 1] == 'h' ? 3600
			: s[n - 1] == 'd' ? 86400
					  : 0;
	char digits[16] = "";

	*out = 0;
	if (unit == 0 || n < 2 || n - 1 >= sizeof(digits)) {
		fail(p, "'%.40s' is not a duration (30s, 15m, 4h, 90d)", s);
		return false;
	}
	memcpy(digits, s, n - 1);
	if (!parse_number(p, digits, 1000000000, out))
		return false;
	*out *= unit;
	if (*out == 0 || *out > most_s)
		fail(p, "%s is outside 1s..%llud", s, (unsigned long long)(most_s / 86400));
	return p->err == KMN_OK;
}

static bool
parse_hash(struct parser *p, const char *b64, uint8_t out[KMN_HASH_BYTES])
{
	size_t n = 0;

	if (kmn_b64_parse(b64, strlen(b64), out, KMN_HASH_BYTES, &n) == KMN_OK && n == KMN_HASH_BYTES)
		return true;
	fail(p, "'%.60s' is not the base64 of a SHA-256", b64);
	return false;
}

/* What follows "spki:" or "person:". */
static const char *
parse_prefixed(struct parser *p, const char *prefix, const char *word)
{
	size_t n = strlen(prefix);

	if (strncmp(word, prefix, n) == 0)
		return word + n;
	fail(p, "expected %s..., found '%.60s'", prefix, word);
	return NULL;
}

static bool
parse_person(struct parser *p, const char *word, const char **out)
{
	const char *person = parse_prefixed(p, "person:", word);

	if (person == NULL)
		return false;
	if (!is_name(person))
		fail(p, "'%.60s' cannot be a person's number: letters, digits, '.', '_' and '-'", person);
	else
		*out = keep(p, person);
	return p->err == KMN_OK;
}

/* ---- the first lines -------------------------------------------------------------------------------------------- */

static void
parse_origin(struct parser *p)
{
	const char *origin = p->word[1];

	if (strncmp(origin, "kanmon/", 7) == 0)
		fail(p, "an origin must not begin with kanmon/: that is what statements begin with");
	else if (strchr(origin, '+') != NULL || strlen(origin) > KMN_NOTE_NAME_MAX_BYTES)
		fail(p, "'%.60s' cannot be an origin (no '+', at most %d bytes)", origin, KMN_NOTE_NAME_MAX_BYTES);
	p->policy->origin = keep(p, origin);
}

static void
parse_version(struct parser *p)
{
	if (parse_number(p, p->word[1], KMN_JSON_INT_MAX, &p->policy->version) && p->policy->version == 0)
		fail(p, "versions count from 1");
}

static void
parse_previous(struct parser *p)
{
	bool none = strcmp(p->word[1], "none") == 0;

	if (none != (p->policy->version == 1))
		fail(p, none ? "only version 1 has no previous one" : "version 1 has `previous none`");
	if (!none)
		parse_hash(p, p->word[1], p->policy->previous);
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

/* ---- persons, programs, tokens ---------------------------------------------------------------------------------- */

static void
check_person(struct parser *p, const char *name, const char *person)
{
	for (size_t i = 0; i < p->policy->custodians.count; i++) {
		const struct custodian *c = p->policy->custodians.items[i];
		bool same_name = strcmp(c->seen.name, name) == 0, same_person = strcmp(c->seen.person, person) == 0;

		if (same_name != same_person)
			fail(p, "line %u says that %s is person:%s: one person, one name", c->line, c->seen.name,
			    c->seen.person);
	}
}

static void
parse_roster_line(struct parser *p)
{
	struct custodian *c;
	const char *person = NULL;
	bool auditor = strcmp(p->word[0], "auditor") == 0;

	if (!count_words(p, 4, 4, "custodian|auditor NAME person:ID VKEY") || !check_name(p, "person", p->word[1]) ||
	    !parse_person(p, p->word[2], &person))
		return;
	check_person(p, p->word[1], person);
	if ((c = list_add(p, &p->policy->custodians, calloc(1, sizeof(*c)))) == NULL)
		return;
	c->line = p->line;
	c->seen = (struct kmn_policy_custodian){keep(p, p->word[1]), person, keep(p, p->word[3]), auditor};
	if (kmn_vkey_parse(p->word[3], strlen(p->word[3]), &c->key) != KMN_OK || c->key.type != KMN_NOTE_ED25519) {
		fail(p, "'%.60s' is not an Ed25519 verifier key (name+id+key)", p->word[3]);
		return;
	}
	for (size_t i = 0; i + 1 < p->policy->custodians.count; i++) {
		const struct custodian *other = p->policy->custodians.items[i];

		if (memcmp(other->key.pub, c->key.pub, sizeof(c->key.pub)) == 0)
			fail(p, "the same public key is in line %u", other->line);
		if (strcmp(other->seen.name, c->seen.name) == 0 && other->seen.auditor != auditor)
			fail(p, "%s is %s in line %u: one or the other", c->seen.name,
			    auditor ? "a custodian" : "an auditor", other->line);
	}
}

/* "root=1 issuing=2": the slot numbers that the client sees, for all of its tokens or for none. */
static void
parse_slots(struct parser *p, struct peer *peer, size_t from)
{
	uint64_t *slots = new_block(p, (p->words - from + 1) * sizeof(*slots));
	size_t given = 0, n = p->words - from;

	for (size_t i = 0; p->err == KMN_OK && i < n; i++) {
		char *number = strchr(p->word[from + i], '=');

		if (number == NULL)
			continue;
		*number++ = '\0';
		given += parse_number(p, number, POLICY_SLOT_MAX, &slots[i]);
	}
	if (given > 0 && given < n)
		fail(p, "every token of a client has a slot number, or none has");
	for (size_t i = 0; p->err == KMN_OK && i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(p->word[from + i], p->word[from + k]) == 0 || (given > 0 && slots[i] == slots[k]))
				fail(p, "token or slot of '%.64s' stands twice", p->word[from + i]);
	peer->slots = given > 0 ? slots : NULL;
	peer->seen.slots = peer->slots;
}

static void
parse_peer_line(struct parser *p)
{
	bool terminal = strcmp(p->word[0], "terminal") == 0;
	const char *spki, *person = NULL;
	struct peer *peer;
	size_t split_at = p->words;

	if (terminal ? !count_words(p, 4, 4, "terminal NAME person:ID spki:B64")
		     : !count_words(
			   p, 5, POLICY_WORDS_MAX, "client NAME spki:B64 tokens NAME[=SLOT]... [operators PERSON...]"))
		return;
	if (!check_name(p, terminal ? "terminal" : "client", p->word[1]) ||
	    (terminal && !parse_person(p, p->word[2], &person)) ||
	    (spki = parse_prefixed(p, "spki:", p->word[terminal ? 3 : 2])) == NULL ||
	    (peer = list_add(p, &p->policy->peers, calloc(1, sizeof(*peer)))) == NULL)
		return;
	peer->line = p->line;
	peer->seen.name = keep(p, p->word[1]);
	peer->seen.terminal = terminal;
	peer->seen.person = person;
	parse_hash(p, spki, peer->seen.spki_sha256);
	for (size_t i = 0; i + 1 < p->policy->peers.count; i++) {
		const struct peer *other = p->policy->peers.items[i];

		if (memcmp(other->seen.spki_sha256, peer->seen.spki_sha256, KMN_HASH_BYTES) == 0)
			fail(p, "the same public key is in line %u: one key, one role", other->line);
		if (other->seen.terminal == terminal && strcmp(other->seen.name, peer->seen.name) == 0)
			fail(p, "%s %s is in line %u already", p->word[0], peer->seen.name, other->line);
	}
	if (terminal || p->err != KMN_OK)
		return;
	if (strcmp(p->word[3], "tokens") != 0)
		fail(p, "expected: client NAME spki:B64 tokens NAME[=SLOT]... [operators PERSON...]");
	for (size_t i = 4; i < p->words; i++)
		if (strcmp(p->word[i], "operators") == 0 && split_at == p->words)
			split_at = i;
	if (split_at == 4 || split_at + 1 == p->words)
		fail(p, "`%s` names nobody", split_at == 4 ? "tokens" : "operators");
	if (split_at < p->words)
		peer->operators = keep_words(p, split_at + 1);
	p->words = split_at;
	parse_slots(p, peer, 4);
	peer->tokens = keep_words(p, 4);
	peer->seen.tokens = (const char *const *)peer->tokens;
	peer->seen.operators = (const char *const *)peer->operators;
}

static void
parse_token_line(struct parser *p)
{
	struct token *t;

	if (!count_words(p, 2, 32, "token NAME [label LABEL] [module NAME] [serial S] [model M] [firmware F]") ||
	    !check_name(p, "token", p->word[1]))
		return;
	if (policy_token(p->policy, p->word[1]) != NULL)
		fail(p, "token %s is in line %u already", p->word[1], policy_token(p->policy, p->word[1])->line);
	if (p->words % 2 != 0)
		fail(p, "'%.40s' has no value", p->word[p->words - 1]);
	if (p->err != KMN_OK || (t = list_add(p, &p->policy->tokens, calloc(1, sizeof(*t)))) == NULL)
		return;
	t->line = p->line;
	t->seen.name = keep(p, p->word[1]);
	for (size_t i = 2; i + 1 < p->words; i += 2) {
		const struct {
			const char *key;
			const char **value;
		} keys[] = {{"label", &t->seen.label}, {"module", &t->seen.module}, {"serial", &t->seen.serial},
		    {"model", &t->seen.model}, {"manufacturer", &t->seen.manufacturer},
		    {"firmware", &t->seen.firmware}};
		bool known = false;

		for (size_t k = 0; k < KMN_COUNT_OF(keys); k++) {
			if (strcmp(keys[k].key, p->word[i]) != 0)
				continue;
			known = true;
			if (*keys[k].value != NULL)
				fail(p, "`%s` stands twice", p->word[i]);
			*keys[k].value = keep(p, p->word[i + 1]);
		}
		if (strcmp(p->word[i], "level") == 0)
			fail(p, "`level` is not in this version: no module says its certification level");
		else if (!known)
			fail(p, "'%.40s' is not known of a token", p->word[i]);
	}
	if (t->seen.label == NULL)
		t->seen.label = t->seen.name;
}

/* ---- groups and roles ------------------------------------------------------------------------------------------- */

static void
parse_group_line(struct parser *p)
{
	bool role = strcmp(p->word[0], "role") == 0;
	size_t words = p->words;
	uint64_t least, delay;
	struct group *g;

	if (!count_words(p, 4, POLICY_WORDS_MAX,
		role ? "role policy|veto|recovery COUNT PERSON... [delay TIME]" : "group NAME COUNT PERSON..."))
		return;
	if (role && strcmp(p->word[1], "policy") != 0 && strcmp(p->word[1], "veto") != 0 &&
	    strcmp(p->word[1], "recovery") != 0)
		fail(p, "'%.40s' is no role: policy, veto, recovery", p->word[1]);
	if (!role)
		check_name(p, "group", p->word[1]);
	if (policy_group(p->policy, p->word[1], role) != NULL)
		fail(p, "%s %s is in line %u already", p->word[0], p->word[1],
		    policy_group(p->policy, p->word[1], role)->line);
	if (!parse_number(p, p->word[2], 64, &least))
		return;
	if (role && words > 5 && strcmp(p->word[words - 2], "delay") == 0) {
		if (strcmp(p->word[1], "recovery") != 0)
			fail(p, "only `role recovery` has a delay");
		parse_duration(p, p->word[words - 1], POLICY_LIFETIME_MAX_S, &delay);
		p->words = words - 2;
	}
	if (p->err != KMN_OK || (g = list_add(p, &p->policy->groups, calloc(1, sizeof(*g)))) == NULL)
		return;
	*g = (struct group){.name = keep(p, p->word[1]),
	    .least = (unsigned)least,
	    .members = keep_words(p, 3),
	    .persons = (unsigned)(p->words - 3),
	    .line = p->line,
	    .role = role};
	for (size_t i = 3; i < p->words; i++)
		for (size_t k = 3; k < i; k++)
			if (strcmp(p->word[i], p->word[k]) == 0)
				fail(p, "%s stands twice", p->word[i]);
	if (least == 0)
		fail(p, "a count of 0 asks nobody");
	else if (least > g->persons)
		fail(p, "%llu of %u persons cannot be met", (unsigned long long)least, g->persons);
}

/* ---- rules ------------------------------------------------------------------------------------------------------ */

static void
rule_client(struct parser *p)
{
	p->rule->clients = keep_words(p, 1);
}

/* As intents and questions name a class. */
static const char *
class_name(CK_OBJECT_CLASS class)
{
	static const char *const names[] = {"data", "certificate", "public-key", "private-key", "secret-key"};

	return class < KMN_COUNT_OF(names) ? names[class] : "other";
}

/* Decoded by p11-kit; only the four attributes that say which object, for the token line says which token. */
static void
add_object(struct parser *p, const char *text)
{
	static const char *const names[] = {"token", "object", "id", "type"};
	struct object *o = list_add(p, &p->rule->objects, calloc(1, sizeof(*o)));
	P11KitUri *uri = p11_kit_uri_new();
	const CK_TOKEN_INFO *token;
	CK_ATTRIBUTE *a;

	if (o == NULL || uri == NULL || strncmp(text, "pkcs11:", 7) != 0 ||
	    p11_kit_uri_parse(text, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, uri) != P11_KIT_URI_OK ||
	    p11_kit_uri_any_unrecognized(uri)) {
		fail(p, "'%.80s' is not a PKCS#11 URI (RFC 7512)", text);
		goto done;
	}
	for (const char *at = text + 7; at != NULL && *at != 0;) {
		size_t n = strcspn(at, "=");
		bool known = false;

		for (size_t i = 0; i < KMN_COUNT_OF(names); i++)
			known = known || (strlen(names[i]) == n && strncmp(names[i], at, n) == 0);
		if (!known || strchr(at, '?') != NULL) {
			fail(p, "an object's URI has token, object, id, type; the rest is the token line's");
			goto done;
		}
		if ((at = strchr(at, ';')) != NULL)
			at++;
	}
	token = p11_kit_uri_get_token_info(uri);
	if (token->label[0] != 0) {
		char label[sizeof(token->label) + 1] = "";
		size_t n = sizeof(token->label);

		memcpy(label, token->label, n);
		while (n > 0 && (label[n - 1] == ' ' || label[n - 1] == 0))
			label[--n] = 0;
		o->token = keep(p, label);
	}
	if ((a = p11_kit_uri_get_attribute(uri, CKA_LABEL)) != NULL &&
	    (o->label = new_block(p, a->ulValueLen + 1)) != NULL)
		memcpy(o->label, a->pValue, a->ulValueLen);
	if ((a = p11_kit_uri_get_attribute(uri, CKA_ID)) != NULL && (o->id = new_block(p, a->ulValueLen + 1)) != NULL) {
		memcpy(o->id, a->pValue, a->ulValueLen);
		o->id_len = a->ulValueLen;
	}
	if ((a = p11_kit_uri_get_attribute(uri, CKA_CLASS)) != NULL && a->ulValueLen == sizeof(CK_OBJECT_CLASS))
		o->class = keep(p, class_name(*(CK_OBJECT_CLASS *)a->pValue));
done:
	p11_kit_uri_free(uri);
}

static void
rule_object(struct parser *p)
{
	for (size_t i = 1; i < p->words; i++)
		add_object(p, p->word[i]);
}

static void
rule_key(struct parser *p)
{
	struct rule *r = p->rule;

	r->keys = new_block(p, p->words * sizeof(*r->keys));
	for (size_t i = 1; i < p->words && r->keys != NULL; i++) {
		const char *spki = parse_prefixed(p, "spki:", p->word[i]);

		if (spki == NULL || !parse_hash(p, spki, r->keys[r->key_count++]))
			return;
	}
}

static void
rule_calls(struct parser *p)
{
	enum kmn_policy_class class;

	for (size_t i = 1; i < p->words; i++) {
		const struct kmn_call *call = kmn_call_by_name(p->word[i]);

		if (kmn_policy_class_of(p->word[i], &class) && class != KMN_POLICY_LOCAL)
			p->rule->class[class] = true;
		else if (call == NULL || call->policy == KMN_POLICY_LOCAL)
			fail(p,
			    "'%.60s' is no call and no class of calls (login session query key-use key-management "
			    "token-management random)",
			    p->word[i]);
	}
	p->rule->calls = keep_words(p, 1);
}

static void
rule_mechanisms(struct parser *p)
{
	uint64_t type;

	for (size_t i = 1; i < p->words; i++)
		if (!kmn_mechanism_of(p->word[i], &type))
			fail(p, "'%.60s' is no mechanism that is known here", p->word[i]);
	p->rule->mechanisms = keep_words(p, 1);
}

static void
rule_need(struct parser *p)
{
	struct rule *r = p->rule;
	size_t groups = 0;

	r->need_line = p->line;
	if (p->words == 2 && (strcmp(p->word[1], "none") == 0 || strcmp(p->word[1], "deny") == 0)) {
		r->need = p->word[1][0] == 'n' ? NEED_NONE : NEED_DENY;
		return;
	}
	r->need = NEED_GROUPS;
	for (size_t i = 1; i < p->words; i++) {
		if (i % 2 == 0 && strcmp(p->word[i], "and") != 0)
			fail(p, "expected: need none | deny | GROUP [and GROUP]...");
		if (i % 2 == 1)
			p->word[1 + groups++] = p->word[i];
	}
	if (p->words % 2 != 0)
		fail(p, "a group is missing after `and`");
	if (groups > KMN_POLICY_NEEDS_MAX)
		fail(p, "more than %d groups", KMN_POLICY_NEEDS_MAX);
	p->words = 1 + groups;
	r->groups = keep_words(p, 1);
}

static void
rule_independent(struct parser *p)
{
	uint64_t n;

	if (parse_number(p, p->word[1], 64, &n))
		p->rule->independent = (unsigned)n;
}

static void
rule_per(struct parser *p)
{
	if (strcmp(p->word[1], "operation") == 0 && p->words == 2)
		return;
	if (strcmp(p->word[1], "window") == 0 || strcmp(p->word[1], "login") == 0)
		fail(p, "`per %s` is not in this version: only `per operation`", p->word[1]);
	else
		fail(p, "expected: per operation");
}

static void
rule_expires(struct parser *p)
{
	uint64_t s;

	if (parse_duration(p, p->word[1], POLICY_LIFETIME_MAX_S, &s))
		p->rule->lifetime_s = (uint32_t)s;
}

static void
rule_class(struct parser *p)
{
	if (strcmp(p->word[1], "A") != 0 && strcmp(p->word[1], "B") != 0)
		fail(p, "expected: class A | B");
	p->rule->durability = p->word[1][0];
}

static void
rule_selfcheck(struct parser *p)
{
	uint64_t n;

	if (p->words == 2 && strcmp(p->word[1], "all") == 0)
		p->rule->selfcheck = 1;
	else if (p->words != 3 || strcmp(p->word[1], "sample") != 0)
		fail(p, "expected: selfcheck all | sample N");
	else if (parse_number(p, p->word[2], 1000000, &n))
		p->rule->selfcheck = n == 0 ? 1 : (unsigned)n;
}

static void
add_bound(struct parser *p, const char *word)
{
	struct bound parsed, *b;
	char why[200];

	if (!bound_parse(word, p->rule->content, &parsed, why, sizeof(why)))
		fail(p, "%s", why);
	else if ((b = list_add(p, &p->rule->bounds, calloc(1, sizeof(*b)))) != NULL)
		*b = (struct bound){parsed.form, keep(p, parsed.text), parsed.number};
}

static void
rule_content(struct parser *p)
{
	struct rule *r = p->rule;
	char names[200] = "any";

	for (int k = 0; k < KMN_CONTENT_COUNT; k++) {
		const char *name = kmn_content_kind_name((enum kmn_content_kind)k);
		size_t n = strlen(names);

		snprintf(names + n, sizeof(names) - n, ", %s", name);
		if (strcmp(p->word[1], name) != 0)
			continue;
		r->content_asked = true;
		r->content = (enum kmn_content_kind)k;
	}
	if (!r->content_asked && strcmp(p->word[1], "any") != 0)
		fail(p, "'%.40s' is no kind of content: %s", p->word[1], names);
	else if (!r->content_asked && p->words > 2)
		fail(p, "`content any` has no bounds");
	for (size_t i = 2; i < p->words && p->err == KMN_OK; i++)
		add_bound(p, p->word[i]);
}

static const struct {
	const char *key;
	size_t most; /* words, the key among them */
	void (*parse)(struct parser *p);
} rule_keys[] = {
    {"client", POLICY_WORDS_MAX, rule_client},
    {"object", 17, rule_object},
    {"key", 65, rule_key},
    {"calls", POLICY_WORDS_MAX, rule_calls},
    {"mechanisms", POLICY_WORDS_MAX, rule_mechanisms},
    {"need", POLICY_WORDS_MAX, rule_need},
    {"independent", 2, rule_independent},
    {"per", 5, rule_per},
    {"expires", 2, rule_expires},
    {"class", 2, rule_class},
    {"selfcheck", 3, rule_selfcheck},
    {"content", 32, rule_content},
};

static void
parse_rule_key(struct parser *p)
{
	if (p->rule == NULL) {
		fail(p, "an indented line belongs to a rule, and there is none above");
		return;
	}
	for (unsigned i = 0; i < KMN_COUNT_OF(rule_keys); i++) {
		if (strcmp(rule_keys[i].key, p->word[0]) != 0)
			continue;
		if ((p->rule->said & 1u << i) != 0)
			fail(p, "`%s` stands twice in rule %s", p->word[0], p->rule->name);
		else if (p->words < 2)
			fail(p, "`%s` says nothing", p->word[0]);
		else if (p->words > rule_keys[i].most)
			fail(p, "`%s` has too many words", p->word[0]);
		else
			rule_keys[i].parse(p);
		p->rule->said |= 1u << i;
		return;
	}
	fail(p, "'%.40s' is no line of a rule", p->word[0]);
}

static void
parse_rule_line(struct parser *p)
{
	const struct rule *before;

	if (!count_words(p, 2, 2, "rule NAME") || !check_name(p, "rule", p->word[1]))
		return;
	if ((before = policy_rule(p->policy, p->word[1])) != NULL)
		fail(p, "rule %s is in line %u already", before->name, before->line);
	if ((p->rule = list_add(p, &p->policy->rules, calloc(1, sizeof(*p->rule)))) == NULL)
		return;
	p->rule->name = keep(p, p->word[1]);
	p->rule->line = p->line;
	p->rule->lifetime_s = POLICY_LIFETIME_S;
	p->rule->durability = 'A';
	p->rule->selfcheck = 1;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

/* The last three words of a line that limits: `within DURATION refuse A|AB|none`. */
static void
parse_limit(struct parser *p, enum kmn_policy_limit_kind kind)
{
	static const char *const words[] = {"A", "AB", "none"};
	struct kmn_policy_limit *limit = &p->policy->limit[kind];
	size_t at = p->words - 4, n = 0;
	uint64_t seconds;

	if (limit->within_ms != 0)
		fail(p, "a second `%s` line", p->word[0]);
	while (n < KMN_COUNT_OF(words) && strcmp(p->word[at + 3], words[n]) != 0)
		n++;
	if (strcmp(p->word[at], "within") != 0 || strcmp(p->word[at + 2], "refuse") != 0 || n == KMN_COUNT_OF(words))
		fail(p, "expected at its end: within DURATION refuse A|AB|none");
	else if (parse_duration(p, p->word[at + 1], POLICY_LIFETIME_MAX_S, &seconds))
		*limit = (struct kmn_policy_limit){seconds * 1000, "ABN"[n], 1};
}

static void
parse_anchors_line(struct parser *p)
{
	if (count_words(p, 5, 5, "anchors within DURATION refuse A|AB|none"))
		parse_limit(p, KMN_LIMIT_ANCHORS);
}

static void
parse_witness_line(struct parser *p)
{
	struct witness *w;

	if (!count_words(p, 3, 3, "witness NAME VKEY") || !check_name(p, "witness", p->word[1]))
		return;
	if (p->policy->witnesses.count == POLICY_WITNESSES_MAX)
		fail(p, "more than %d witnesses", POLICY_WITNESSES_MAX);
	if ((w = list_add(p, &p->policy->witnesses, calloc(1, sizeof(*w)))) == NULL)
		return;
	w->line = p->line;
	w->seen = (struct kmn_policy_witness){keep(p, p->word[1]), keep(p, p->word[2])};
	if (kmn_vkey_parse(p->word[2], strlen(p->word[2]), &w->key) != KMN_OK || w->key.type != KMN_NOTE_COSIGNATURE)
		fail(p, "'%.60s' is not a cosigner's verifier key (name+id+key, type 4)", p->word[2]);
	for (size_t i = 0; i + 1 < p->policy->witnesses.count; i++) {
		const struct witness *other = p->policy->witnesses.items[i];

		if (memcmp(other->key.pub, w->key.pub, sizeof(w->key.pub)) == 0)
			fail(p, "the same public key is in line %u", other->line);
		if (strcmp(other->seen.name, w->seen.name) == 0)
			fail(p, "witness %s is in line %u already", w->seen.name, other->line);
	}
}

static void
parse_witnesses_line(struct parser *p)
{
	uint64_t need;

	if (!count_words(p, 6, 6, "witnesses K within DURATION refuse A|AB|none") ||
	    !parse_number(p, p->word[1], POLICY_WITNESSES_MAX, &need))
		return;
	if (need == 0)
		fail(p, "0 witnesses are none: leave the line out");
	parse_limit(p, KMN_LIMIT_WITNESSES);
	p->policy->limit[KMN_LIMIT_WITNESSES].need = (uint32_t)need;
	p->policy->witnesses_line = p->line;
}

static void
parse_later(struct parser *p)
{
	fail(p, "`%s` is not in this version", p->word[0]);
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
    {"custodian", parse_roster_line},
    {"auditor", parse_roster_line},
    {"client", parse_peer_line},
    {"terminal", parse_peer_line},
    {"token", parse_token_line},
    {"group", parse_group_line},
    {"role", parse_group_line},
    {"rule", parse_rule_line},
    {"anchors", parse_anchors_line},
    {"witness", parse_witness_line},
    {"witnesses", parse_witnesses_line},
    {"stance", parse_later},
    {"default", parse_later},
};

static void
parse_line(struct parser *p, char *line)
{
	split(p, line);
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
		parse_rule_key(p);
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

/* Groups name persons; only custodians may be in those that approve. */
static void
check_groups(struct parser *p)
{
	for (size_t i = 0; i < p->policy->groups.count; i++) {
		const struct group *g = p->policy->groups.items[i];

		for (char **m = g->members; *m != NULL; m++) {
			const struct custodian *c = policy_person(p->policy, *m);

			if (c == NULL)
				fail_at(p, g->line, "nobody is called %s", *m);
			else if (c->seen.auditor && !g->role)
				fail_at(p, g->line, "%s is an auditor, and auditors approve nothing", *m);
		}
	}
}

static void
check_peers(struct parser *p)
{
	for (size_t i = 0; i < p->policy->peers.count; i++) {
		const struct peer *peer = p->policy->peers.items[i];
		bool known = !peer->seen.terminal;

		for (size_t k = 0; k < p->policy->custodians.count && !known; k++) {
			const struct custodian *c = p->policy->custodians.items[k];

			known = strcmp(c->seen.person, peer->seen.person) == 0;
		}
		if (!known)
			fail_at(p, peer->line, "nobody here is person:%s", peer->seen.person);
		for (char **t = peer->tokens; t != NULL && *t != NULL; t++)
			if (policy_token(p->policy, *t) == NULL)
				fail_at(p, peer->line, "no token line is called %s", *t);
		for (char **o = peer->operators; o != NULL && *o != NULL; o++)
			if (policy_person(p->policy, *o) == NULL)
				fail_at(p, peer->line, "nobody is called %s", *o);
	}
}

/* A signing key is never a TLS key: its SubjectPublicKeyInfo must not be pinned for a client or terminal. */
static void
check_keys(struct parser *p)
{
	uint8_t spki[12 + KMN_ED25519_PUBLIC_BYTES] = {
	    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0};
	uint8_t sha256[KMN_HASH_BYTES];

	for (size_t i = 0; i < p->policy->custodians.count; i++) {
		const struct custodian *c = p->policy->custodians.items[i];
		const struct kmn_policy_peer *peer;

		memcpy(spki + 12, c->key.pub, sizeof(c->key.pub));
		kmn_sha256(spki, sizeof(spki), sha256);
		if ((peer = kmn_policy_peer_get(p->policy, sha256)) != NULL)
			fail_at(p, c->line, "this key is also the TLS key of %s: one key, one role", peer->name);
	}
}

/* A witness' key is nobody's: who runs the gateway's affairs does not witness them. */
static void
check_witnesses(struct parser *p)
{
	for (size_t i = 0; i < p->policy->witnesses.count; i++) {
		const struct witness *w = p->policy->witnesses.items[i];

		for (size_t k = 0; k < p->policy->custodians.count; k++) {
			const struct custodian *c = p->policy->custodians.items[k];

			if (memcmp(c->key.pub, w->key.pub, sizeof(w->key.pub)) == 0)
				fail_at(p, w->line, "the same public key is in line %u", c->line);
		}
	}
	if (p->policy->witnesses_line != 0 && p->policy->limit[KMN_LIMIT_WITNESSES].need > p->policy->witnesses.count)
		fail_at(p, p->policy->witnesses_line, "%u witnesses are asked for, and %zu are named",
		    p->policy->limit[KMN_LIMIT_WITNESSES].need, p->policy->witnesses.count);
}

static bool
is_client(const struct kmn_policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->peers.count; i++) {
		const struct peer *peer = policy->peers.items[i];

		if (!peer->seen.terminal && strcmp(peer->seen.name, name) == 0)
			return true;
	}
	return false;
}

static void
check_rule_needs(struct parser *p, const struct rule *r)
{
	struct kmn_verdict v = {.answer = KMN_ANSWER_HELD};
	const char *names[POLICY_WORDS_MAX];
	size_t count = 0;
	unsigned least = 0;

	for (char **name = r->groups; name != NULL && *name != NULL; name++) {
		const struct group *g = policy_group(p->policy, *name, false);

		if (g == NULL) {
			fail_at(p, r->need_line, "no group is called %s", *name);
			return;
		}
		for (size_t i = 0; i < v.needs; i++)
			if (strcmp(v.need[i].group, g->name) == 0)
				fail_at(p, r->need_line, "group %s stands twice", g->name);
		v.need[v.needs++] = (struct kmn_need){g->name, g->least, g->persons};
		least += g->least;
		for (char **m = g->members; *m != NULL && count < KMN_COUNT_OF(names); m++)
			names[count++] = *m;
	}
	if (r->need == NEED_GROUPS && p->err == KMN_OK && !kmn_policy_is_met(p->policy, &v, names, count))
		fail_at(p, r->need_line, "cannot be met: each person counts in one group only");
	if (r->independent > least)
		fail_at(p, r->need_line, "independent %u, but %u approvals are asked for", r->independent, least);
	if (r->durability == 'B' && r->need == NEED_GROUPS)
		fail_at(p, r->line, "rule %s: what needs approval is always class A", r->name);
}

static void
check_rules(struct parser *p)
{
	for (size_t i = 0; i < p->policy->rules.count; i++) {
		const struct rule *r = p->policy->rules.items[i];

		if (r->clients == NULL || r->calls == NULL || r->need == NEED_UNSAID)
			fail_at(p, r->line, "rule %s has no `%s` line", r->name,
			    r->clients == NULL ? "client"
			    : r->calls == NULL ? "calls"
					       : "need");
		for (char **c = r->clients; c != NULL && *c != NULL; c++)
			if (!is_client(p->policy, *c))
				fail_at(p, r->line, "rule %s: no client is called %s", r->name, *c);
		for (size_t k = 0; k < r->objects.count; k++) {
			const struct object *o = r->objects.items[k];

			if (o->token != NULL && policy_token(p->policy, o->token) == NULL)
				fail_at(p, r->line,
				    "rule %s: no token line is called %s (the URI's token is that name)", r->name,
				    o->token);
		}
		check_rule_needs(p, r);
	}
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
		fail_at(p, p->line + 1, "expected here: %s VALUE", headers[p->headers].key);
		return;
	}
	if (policy_group(p->policy, "policy", true) == NULL)
		fail_at(p, 0, "no `role policy` line: nobody could change this policy");
	check_groups(p);
	check_peers(p);
	check_keys(p);
	check_witnesses(p);
	check_rules(p);
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
	list_free(&policy->owned);
	free(policy->text);
	free(policy);
}
