/* Lines that ask for fresh time stamps and witnesses. */
#include "config.h"

#include "server/quorum/policy_parse.h"

#include <stdlib.h>
#include <string.h>

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
	else if (policy_duration(p, p->word[at + 1], POLICY_LIFETIME_MAX_S, &seconds))
		*limit = (struct kmn_policy_limit){seconds * 1000, "ABN"[n], 1};
}

void
policy_line_anchors(struct parser *p)
{
	if (policy_count_words(p, 5, 5, "anchors within DURATION refuse A|AB|none"))
		parse_limit(p, KMN_LIMIT_ANCHORS);
}

void
policy_line_witness(struct parser *p)
{
	struct witness *w;

	if (!policy_count_words(p, 3, 3, "witness NAME VKEY") || !policy_check_name(p, "witness", p->word[1]))
		return;
	if (p->policy->witnesses.count == POLICY_WITNESSES_MAX)
		fail(p, "more than %d witnesses", POLICY_WITNESSES_MAX);
	if ((w = policy_list_add(p, &p->policy->witnesses, calloc(1, sizeof(*w)))) == NULL)
		return;
	w->line = p->line;
	w->seen = (struct kmn_policy_witness){policy_keep(p, p->word[1]), policy_keep(p, p->word[2])};
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

void
policy_line_witnesses(struct parser *p)
{
	uint64_t need;

	if (!policy_count_words(p, 6, 6, "witnesses K within DURATION refuse A|AB|none") ||
	    !policy_number(p, p->word[1], POLICY_WITNESSES_MAX, &need))
		return;
	if (need == 0)
		fail(p, "0 witnesses are none: leave the line out");
	parse_limit(p, KMN_LIMIT_WITNESSES);
	p->policy->limit[KMN_LIMIT_WITNESSES].need = (uint32_t)need;
	p->policy->witnesses_line = p->line;
}

/* A witness' key is nobody's: who runs the gateway's affairs does not witness them. */
void
policy_check_witnesses(struct parser *p)
{
	for (size_t i = 0; i < p->policy->witnesses.count; i++) {
		const struct witness *w = p->policy->witnesses.items[i];
		uint8_t sha256[KMN_HASH_BYTES];

		kmn_evidence_ed25519_spki(w->key.pub, sha256);
		for (size_t k = 0; k < p->policy->custodians.count; k++) {
			const struct custodian *c = p->policy->custodians.items[k];

			if (memcmp(c->key.spki_sha256, sha256, KMN_HASH_BYTES) == 0)
				policy_fail_at(p, w->line, "the same public key is in line %u", c->line);
		}
	}
	if (p->policy->witnesses_line != 0 && p->policy->limit[KMN_LIMIT_WITNESSES].need > p->policy->witnesses.count)
		policy_fail_at(p, p->policy->witnesses_line, "%u witnesses are asked for, and %zu are named",
		    p->policy->limit[KMN_LIMIT_WITNESSES].need, p->policy->witnesses.count);
}
