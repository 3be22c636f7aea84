/* A policy text: whoever writes it, it is parsed to rules or refused with a line, and judged without harm. */
#include "kanmon/policy.h"

#include <stdlib.h>

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
		if (peer->terminal && v.answer != KMN_ANSWER_REFUSED)
			abort();
	}
	(void)kmn_policy_lint(policy, NULL, NULL);
	kmn_policy_free(policy);
	return 0;
}
