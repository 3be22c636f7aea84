/*
 * Where keys come from and whether they may leave (R7): what a template says is judged before the module sees it. What it
 * does not say is the token's to choose, stands in the result's `origin`, and is what `origin local` looks at.
 */
#include "config.h"

#include "server/quorum/policy.h"

#include <stdio.h>
#include <string.h>

enum making { MAKES_NOTHING, MAKES_INSIDE, MAKES_FROM_OUTSIDE, MAKES_OF_ANOTHER };

static const struct {
	const char *call;
	enum making making;
	const char *class; /* where the template says none */
} makers[] = {
    {"C_CreateObject", MAKES_FROM_OUTSIDE, "other"},
    {"C_UnwrapKey", MAKES_FROM_OUTSIDE, "secret-key"},
    {"C_UnwrapKeyAuthenticated", MAKES_FROM_OUTSIDE, "secret-key"},
    {"C_GenerateKey", MAKES_INSIDE, "secret-key"},
    {"C_GenerateKeyPair", MAKES_INSIDE, "private-key"},
    {"C_DeriveKey", MAKES_OF_ANOTHER, "secret-key"},
    {"C_EncapsulateKey", MAKES_OF_ANOTHER, "secret-key"},
    {"C_DecapsulateKey", MAKES_OF_ANOTHER, "secret-key"},
    {"C_CopyObject", MAKES_NOTHING, NULL},
    {"C_SetAttributeValue", MAKES_NOTHING, NULL},
};

bool
policy_is_secret_class(const char *class)
{
	static const char *const open[] = {"data", "certificate", "public-key"};

	for (size_t i = 0; i < KMN_COUNT_OF(open); i++)
		if (class != NULL && strcmp(open[i], class) == 0)
			return false;
	return true;
}

/* Is it said, once or again (NAME_2), with anything but the one value that does no harm? */
static bool
is_said_but(const json_t *template, const char *name, bool harmless)
{
	size_t n = strlen(name);
	const char *member;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t) template, member, value)
	{
		if (strncmp(member, name, n) != 0 || (member[n] != 0 && member[n] != '_') ||
		    (member[n] == '_' && strspn(member + n + 1, "0123456789") != strlen(member + n + 1)))
			continue;
		if (harmless ? !json_is_true(value) : !json_is_false(value))
			return true;
	}
	return false;
}

bool
policy_template_leaks(const json_t *template, bool changes, const char **attribute_out)
{
	static const struct {
		const char *name;
		bool harmless, only_changed;
	} rows[] = {
	    {"CKA_EXTRACTABLE", false, false},
	    {"CKA_SENSITIVE", true, false},
	    {"CKA_TRUSTED", false, false},
	    {"CKA_WRAP_WITH_TRUSTED", true, true},
	};

	*attribute_out = NULL;
	for (size_t i = 0; i < KMN_COUNT_OF(rows) && *attribute_out == NULL; i++)
		if ((changes || !rows[i].only_changed) && is_said_but(template, rows[i].name, rows[i].harmless))
			*attribute_out = rows[i].name;
	return *attribute_out != NULL;
}

const json_t *
policy_extra_template(const json_t *intent, size_t n)
{
	const json_t *params = json_object_get(json_object_get(intent, "mech"), "params"), *template;
	char name[32] = "template";

	if (n > 0)
		snprintf(name, sizeof(name), "template_%zu", n + 1);
	template = json_object_get(params, name);
	/* Gateways before this one recorded a digest there, and judged nothing by it. */
	return json_is_object(template) && json_object_get(template, "sha256") == NULL ? template : NULL;
}

static void
refuse(struct kmn_verdict *v, enum kmn_allow what, const char *call, const char *why)
{
	v->answer = KMN_ANSWER_REFUSED;
	v->content_missing = false;
	policy_say(v, "rule %s does not `allow %s`, and %s %s", v->rule,
	    what == KMN_ALLOW_IMPORT ? "import" : "extractable", call, why);
}

static void
check_template(const json_t *template, const struct kmn_question *q, bool changes, struct kmn_verdict *v)
{
	const char *attribute;
	char why[80];

	if (v->answer == KMN_ANSWER_REFUSED || v->allow[KMN_ALLOW_EXTRACTABLE] ||
	    !policy_template_leaks(template, changes, &attribute))
		return;
	snprintf(why, sizeof(why), "says %s so that a key may leave", attribute);
	refuse(v, KMN_ALLOW_EXTRACTABLE, q->call, why);
}

void
policy_check_origin(const json_t *intent, const struct kmn_question *q, struct kmn_verdict *v)
{
	const json_t *template = json_object_get(intent, "template"), *extra;
	const char *class;
	size_t i = 0;

	while (i < KMN_COUNT_OF(makers) && strcmp(makers[i].call, q->call) != 0)
		i++;
	if (i == KMN_COUNT_OF(makers) || v->answer == KMN_ANSWER_REFUSED)
		return;
	if (makers[i].making == MAKES_NOTHING) {
		if (policy_is_secret_class(q->object_class) || strcmp(q->object_class, "public-key") == 0)
			check_template(template, q, true, v);
		return;
	}
	class = policy_class_in(template, makers[i].class);
	if (strcmp(q->call, "C_GenerateKeyPair") == 0) {
		check_template(json_object_get(template, "pPrivateKeyTemplate"), q, false, v);
		template = json_object_get(template, "pPublicKeyTemplate");
		if (is_said_but(template, "CKA_TRUSTED", false))
			check_template(template, q, false, v);
	} else if (policy_is_secret_class(class)) {
		if (makers[i].making == MAKES_FROM_OUTSIDE && !v->allow[KMN_ALLOW_IMPORT])
			refuse(v, KMN_ALLOW_IMPORT, q->call, "brings a key in from outside");
		check_template(template, q, false, v);
	} else if (strcmp(class, "public-key") == 0 && is_said_but(template, "CKA_TRUSTED", false)) {
		check_template(template, q, false, v);
	}
	for (size_t k = 0; (extra = policy_extra_template(intent, k)) != NULL; k++)
		check_template(extra, q, false, v);
}

bool
policy_makes_inside(const char *call)
{
	for (size_t i = 0; i < KMN_COUNT_OF(makers); i++)
		if (strcmp(makers[i].call, call) == 0)
			return makers[i].making == MAKES_INSIDE;
	return false;
}
