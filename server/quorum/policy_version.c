/* Signed versions: who must sign what follows what. */
#include "config.h"

#include "server/quorum/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

kmn_err
policy_check_signed(
    const struct kmn_note *note, const struct kmn_policy *policy, const char *role_name, struct kmn_policy_error *error)
{
	size_t n = policy->custodians.count, count = 0, persons = 0;
	const struct group *role = policy_group(policy, role_name, true);
	struct kmn_evidence_said *said = NULL;
	struct kmn_why why = {""};
	kmn_err e;

	if (role == NULL) {
		snprintf(error->text, sizeof(error->text), "version %llu has no role %s",
		    (unsigned long long)policy->version, role_name);
		return KMN_E_SIGNATURE;
	}
	if ((e = kmn_evidence_verify_note(policy, note, &said, &count, &why)) != KMN_OK) {
		snprintf(error->text, sizeof(error->text), "%s", why.text);
		return e;
	}
	for (char **m = role->members; *m != NULL; m++) {
		bool signed_it = false;

		for (size_t i = 0; i < n; i++)
			signed_it =
			    signed_it ||
			    (said[i].signed_it &&
				strcmp(((const struct custodian *)policy->custodians.items[i])->seen.name, *m) == 0);
		persons += signed_it;
	}
	if (persons < role->least) {
		snprintf(error->text, sizeof(error->text),
		    "signed by %zu of the %u persons that role %s of version %llu asks for", persons, role->least,
		    role_name, (unsigned long long)policy->version);
		e = KMN_E_SIGNATURE;
	}
	free(said);
	return e;
}

static kmn_err
check_follows(const struct kmn_policy *policy, const struct kmn_policy *before, struct kmn_policy_error *error)
{
	const char *wrong = NULL;

	if (policy->version != (before == NULL ? 1 : before->version + 1))
		wrong = "the version is not the one after the policy in force";
	else if (before != NULL && memcmp(policy->previous, before->sha256, KMN_HASH_BYTES) != 0)
		wrong = "`previous` is not the hash of the policy in force";
	else if (before != NULL && strcmp(policy->origin, before->origin) != 0)
		wrong = "the origin is another one";
	if (wrong != NULL)
		snprintf(error->text, sizeof(error->text), "%s", wrong);
	return wrong == NULL ? KMN_OK : KMN_E_MALFORMED;
}

kmn_err
policy_accept(const char *bytes, size_t len, const struct kmn_policy *before, const char *role,
    struct kmn_policy **policy_out, struct kmn_policy_error *error)
{
	struct kmn_policy *policy = NULL;
	struct kmn_note note;
	struct kmn_why why = {""};
	kmn_err e;

	*policy_out = NULL;
	*error = (struct kmn_policy_error){0, ""};
	if ((e = kmn_note_parse(bytes, len, &note, &why)) != KMN_OK) {
		snprintf(error->text, sizeof(error->text), "%s", why.text);
		return e;
	}
	if ((e = kmn_policy_parse(note.text, note.text_len, &policy, error)) != KMN_OK ||
	    (e = check_follows(policy, before, error)) != KMN_OK ||
	    (e = policy_check_signed(&note, policy, "policy", error)) != KMN_OK ||
	    (before != NULL && (e = policy_check_signed(&note, before, role, error)) != KMN_OK))
		goto done;
	*policy_out = policy;
	policy = NULL;
done:
	kmn_policy_free(policy);
	return e;
}

kmn_err
kmn_policy_accept(const char *bytes, size_t len, const struct kmn_policy *before, struct kmn_policy **policy_out,
    struct kmn_policy_error *error)
{
	return policy_accept(bytes, len, before, "policy", policy_out, error);
}
