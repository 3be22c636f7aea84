/* A policy text: whoever writes it, it is parsed to rules or refused with a line, and judged without harm. */
#include "kanmon/policy.h"

#include <stdlib.h>
#include <string.h>

#define DIFF_MAX_BYTES 1024 /* longer ones take long to try all calls of */

/* A policy and itself differ in nothing; what is too much to be tried is said. */
static void
take_change(void *cookie, const char *whose, const char *text)
{
	(void)cookie;
	(void)whose;
	if (strncmp(text, "not every call was tried", 24) != 0)
		abort();
}

static void
take_rule(void *cookie, unsigned line, const char *rule, const char *why)
{
	(void)cookie;
	if (line == 0 || rule[0] == 0 || why[0] == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const uint8_t nobody[KMN_HASH_BYTES];
	struct kmn_policy_token_facts token = {.label = "root"};
	struct kmn_question q = {.client_spki_sha256 = nobody, .token = &token, .call = "C_Sign", .now = 1793000000000};
	const struct kmn_policy_peer *peer;
	struct kmn_policy_error error;
	struct kmn_policy *policy;
	struct kmn_verdict v;
	kmn_err e = kmn_policy_parse((const char *)bytes, len, &policy, &error);

	if ((e == KMN_OK) != (policy != NULL) || (e != KMN_OK && e != KMN_E_NO_MEMORY && error.text[0] == 0))
		abort();
	if (policy == NULL)
		return 0;
	for (size_t i = 0; (peer = kmn_policy_peer_at(policy, i)) != NULL; i++) {
		q.client_spki_sha256 = peer->spki_sha256;
		kmn_policy_judge(policy, &q, &v);
		kmn_policy_explain(policy, &q, &v, take_rule, NULL);
		if (peer->terminal && v.answer != KMN_ANSWER_REFUSED)
			abort();
	}
	(void)kmn_policy_lint(policy, NULL, NULL);
	if (len < DIFF_MAX_BYTES)
		(void)kmn_policy_diff(policy, policy, take_change, NULL);
	kmn_policy_free(policy);
	return 0;
}
