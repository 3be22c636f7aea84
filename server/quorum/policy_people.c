/* Lines about persons and programs: who they are, by which keys they are known. */
#include "config.h"

#include "server/quorum/policy_parse.h"

#include <stdlib.h>
#include <string.h>

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

/* The key of a custodian: of a type of evidence that is verified here. */
static bool
take_key(struct parser *p, const char *vkey, struct kmn_evidence_key *out)
{
	struct kmn_why why = {""};

	if (kmn_evidence_key_parse(vkey, strlen(vkey), out, &why) != KMN_OK)
		fail(p, "'%.60s': %s", vkey, why.text);
	return p->err == KMN_OK;
}

void
policy_line_roster(struct parser *p)
{
	struct custodian *c;
	const char *person = NULL;
	bool auditor = strcmp(p->word[0], "auditor") == 0;

	if (!policy_count_words(p, 4, 4, "custodian|auditor NAME person:ID VKEY") ||
	    !policy_check_name(p, "person", p->word[1]) || !policy_person_id(p, p->word[2], &person))
		return;
	check_person(p, p->word[1], person);
	if ((c = policy_list_add(p, &p->policy->custodians, calloc(1, sizeof(*c)))) == NULL)
		return;
	c->line = p->line;
	c->seen = (struct kmn_policy_custodian){
	    policy_keep(p, p->word[1]), person, policy_keep(p, p->word[3]), auditor, &c->key};
	if (!take_key(p, p->word[3], &c->key))
		return;
	for (size_t i = 0; i + 1 < p->policy->custodians.count; i++) {
		const struct custodian *other = p->policy->custodians.items[i];

		if (memcmp(other->key.spki_sha256, c->key.spki_sha256, KMN_HASH_BYTES) == 0)
			fail(p, "the same public key is in line %u", other->line);
		else if (strcmp(other->key.name, c->key.name) == 0 &&
			 memcmp(other->key.id, c->key.id, sizeof(c->key.id)) == 0)
			fail(p, "a signature could be by this key or by that of line %u: name and id are the same",
			    other->line);
		if (strcmp(other->seen.name, c->seen.name) == 0 && other->seen.auditor != auditor)
			fail(p, "%s is %s in line %u: one or the other", c->seen.name,
			    auditor ? "a custodian" : "an auditor", other->line);
	}
}

/* "https://host[:port]" as a browser writes it: nothing after it, no capital letters. */
static bool
is_web_origin(const char *origin, const char **host, size_t *host_len)
{
	static const char scheme[] = "https://";
	const size_t n = sizeof(scheme) - 1;
	const char *port;

	if (strncmp(origin, scheme, n) != 0)
		return false;
	*host = origin + n;
	*host_len = strspn(*host, "abcdefghijklmnopqrstuvwxyz0123456789.-");
	port = *host + *host_len;
	if (*port == ':')
		port += 1 + strspn(port + 1, "0123456789");
	return *host_len > 0 && *port == 0 && port[-1] != ':' && strlen(origin) <= KMN_POLICY_ORIGIN_MAX_BYTES;
}

/* The relying party's id is the origin's host, or what it ends with after a dot. */
static bool
is_rp_id_of(const char *rp_id, const char *host, size_t host_len)
{
	size_t n = strlen(rp_id);

	return n > 0 && n <= host_len && rp_id[0] != '.' && memcmp(host + host_len - n, rp_id, n) == 0 &&
	       (n == host_len || host[host_len - n - 1] == '.');
}

void
policy_line_webauthn(struct parser *p)
{
	struct webauthn *w;
	size_t host_len = 0;
	const char *host;

	if (!policy_count_words(p, 6, 7, "webauthn NAME origin URL rp-id ID [independent]") ||
	    !policy_check_name(p, "place", p->word[1]))
		return;
	if (strcmp(p->word[2], "origin") != 0 || strcmp(p->word[4], "rp-id") != 0 ||
	    (p->words == 7 && strcmp(p->word[6], "independent") != 0))
		fail(p, "expected: webauthn NAME origin URL rp-id ID [independent]");
	else if (!is_web_origin(p->word[3], &host, &host_len))
		fail(p, "'%.60s' is not an origin like https://console.example.jp", p->word[3]);
	else if (!is_rp_id_of(p->word[5], host, host_len))
		fail(p, "'%.60s' is not the host of the origin, or the end of it", p->word[5]);
	if (p->err != KMN_OK || (w = policy_list_add(p, &p->policy->webauthn, calloc(1, sizeof(*w)))) == NULL)
		return;
	w->line = p->line;
	w->seen = (struct kmn_policy_webauthn){
	    policy_keep(p, p->word[1]), policy_keep(p, p->word[3]), policy_keep(p, p->word[5]), p->words == 7};
	for (size_t i = 0; i + 1 < p->policy->webauthn.count; i++) {
		const struct webauthn *other = p->policy->webauthn.items[i];

		if (strcmp(other->seen.name, w->seen.name) == 0 || strcmp(other->seen.origin, w->seen.origin) == 0)
			fail(p, "the same name or origin is in line %u", other->line);
	}
}

void
policy_line_share_key(struct parser *p)
{
	static const uint8_t none[KMN_HASH_BYTES];
	struct share_key *s;

	if (!policy_count_words(p, 3, 3, "share-key NAME B64") || !policy_check_name(p, "person", p->word[1]) ||
	    (s = policy_list_add(p, &p->policy->share_keys, calloc(1, sizeof(*s)))) == NULL)
		return;
	s->line = p->line;
	s->name = policy_keep(p, p->word[1]);
	policy_hash(p, p->word[2], s->key);
	if (memcmp(s->key, none, sizeof(none)) == 0)
		fail(p, "a share key of zeros is none");
	for (size_t i = 0; i + 1 < p->policy->share_keys.count; i++) {
		const struct share_key *other = p->policy->share_keys.items[i];

		if (strcmp(other->name, s->name) == 0 || memcmp(other->key, s->key, sizeof(s->key)) == 0)
			fail(p, "the same person or key is in line %u: one share for each", other->line);
	}
}

const uint8_t *
kmn_policy_share_key(const struct kmn_policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->share_keys.count; i++) {
		const struct share_key *s = policy->share_keys.items[i];

		if (strcmp(s->name, name) == 0)
			return s->key;
	}
	return NULL;
}

/* "root=1 issuing=2": the slot numbers that the client sees, for all of its tokens or for none. */
static void
parse_slots(struct parser *p, struct peer *peer, size_t from)
{
	uint64_t *slots = policy_new_block(p, (p->words - from + 1) * sizeof(*slots));
	size_t given = 0, n = p->words - from;

	for (size_t i = 0; p->err == KMN_OK && i < n; i++) {
		char *number = strchr(p->word[from + i], '=');

		if (number == NULL)
			continue;
		*number++ = '\0';
		given += policy_number(p, number, POLICY_SLOT_MAX, &slots[i]);
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

void
policy_line_peer(struct parser *p)
{
	bool terminal = strcmp(p->word[0], "terminal") == 0;
	const char *spki, *person = NULL;
	struct peer *peer;
	size_t split_at = p->words;

	if (terminal ? !policy_count_words(p, 4, 4, "terminal NAME person:ID spki:B64")
		     : !policy_count_words(
			   p, 5, POLICY_WORDS_MAX, "client NAME spki:B64 tokens NAME[=SLOT]... [operators PERSON...]"))
		return;
	if (!policy_check_name(p, terminal ? "terminal" : "client", p->word[1]) ||
	    (terminal && !policy_person_id(p, p->word[2], &person)) ||
	    (spki = policy_prefixed(p, "spki:", p->word[terminal ? 3 : 2])) == NULL ||
	    (peer = policy_list_add(p, &p->policy->peers, calloc(1, sizeof(*peer)))) == NULL)
		return;
	peer->line = p->line;
	peer->seen.name = policy_keep(p, p->word[1]);
	peer->seen.terminal = terminal;
	peer->seen.person = person;
	policy_hash(p, spki, peer->seen.spki_sha256);
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
		peer->operators = policy_keep_words(p, split_at + 1);
	p->words = split_at;
	parse_slots(p, peer, 4);
	peer->tokens = policy_keep_words(p, 4);
	peer->seen.tokens = (const char *const *)peer->tokens;
	peer->seen.operators = (const char *const *)peer->operators;
}

void
policy_check_peers(struct parser *p)
{
	for (size_t i = 0; i < p->policy->share_keys.count; i++) {
		const struct share_key *s = p->policy->share_keys.items[i];

		if (policy_person(p->policy, s->name) == NULL)
			policy_fail_at(p, s->line, "nobody is called %s", s->name);
	}
	for (size_t i = 0; i < p->policy->peers.count; i++) {
		const struct peer *peer = p->policy->peers.items[i];
		bool known = !peer->seen.terminal;

		for (size_t k = 0; k < p->policy->custodians.count && !known; k++) {
			const struct custodian *c = p->policy->custodians.items[k];

			known = strcmp(c->seen.person, peer->seen.person) == 0;
		}
		if (!known)
			policy_fail_at(p, peer->line, "nobody here is person:%s", peer->seen.person);
		for (char **t = peer->tokens; t != NULL && *t != NULL; t++)
			if (policy_token(p->policy, *t) == NULL)
				policy_fail_at(p, peer->line, "no token line is called %s", *t);
		for (char **o = peer->operators; o != NULL && *o != NULL; o++)
			if (policy_person(p->policy, *o) == NULL)
				policy_fail_at(p, peer->line, "nobody is called %s", *o);
	}
}

/* A signing key is never a TLS key: its SubjectPublicKeyInfo must not be pinned for a client or terminal. */
void
policy_check_keys(struct parser *p)
{
	for (size_t i = 0; i < p->policy->custodians.count; i++) {
		const struct custodian *c = p->policy->custodians.items[i];
		const struct kmn_policy_peer *peer;

		if ((peer = kmn_policy_peer_get(p->policy, c->key.spki_sha256)) != NULL)
			policy_fail_at(p, c->line, "this key is also the TLS key of %s: one key, one role", peer->name);
	}
}
