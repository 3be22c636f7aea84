/*
 * The judge, asked by another program: JSON lines in, one line out for each. {"policy": TEXT} is read from there on,
 * {"intent": BODY, "data": B64, "now": MS} is judged, {"rule": NAME, "met": [PERSON..]} asks for the quorum of a rule.
 */
#include "config.h"

#include "kanmon/json.h"
#include "kanmon/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERSONS_MAX 64

static void
judge(const struct kmn_policy *policy, const json_t *line)
{
	static const char *const answers[] = {
	    [KMN_ANSWER_REFUSED] = "refused", [KMN_ANSWER_FREE] = "free", [KMN_ANSWER_HELD] = "held"};
	const char *data = json_string_value(json_object_get(line, "data"));
	struct kmn_material material;
	uint8_t bytes[1024];
	struct kmn_verdict v;
	size_t len = 0;

	if (data != NULL && kmn_b64_parse(data, strlen(data), bytes, sizeof(bytes), &len) != KMN_OK)
		data = NULL;
	material = (struct kmn_material){.data = data != NULL ? bytes : NULL, .len = len};
	if (kmn_policy_judge_intent(policy, json_object_get(line, "intent"), &material,
		json_integer_value(json_object_get(line, "now")), &v) != KMN_OK)
		puts("malformed");
	else
		printf("%s %s %s\t%s\n", answers[v.answer], v.rule, v.content_missing ? "content" : "-", v.reason);
}

static void
ask(const struct kmn_policy *policy, const json_t *line)
{
	const char *names[PERSONS_MAX];
	struct kmn_verdict v;
	size_t i, n = 0;
	json_t *name;

	json_array_foreach(json_object_get(line, "met"), i, name) if (n < PERSONS_MAX) names[n++] =
	    json_string_value(name);
	kmn_policy_rule_verdict(policy, json_string_value(json_object_get(line, "rule")), &v);
	puts(kmn_policy_is_met(policy, &v, names, n) ? "met" : "unmet");
}

int
main(void)
{
	struct kmn_policy *policy = NULL;
	struct kmn_policy_error error;
	char *text = NULL;
	size_t size = 0;

	while (getline(&text, &size, stdin) > 0) {
		json_t *line = json_loads(text, 0, NULL);
		const char *source = json_string_value(json_object_get(line, "policy"));

		if (source != NULL) {
			kmn_policy_free(policy);
			if (kmn_policy_parse(source, strlen(source), &policy, &error) == KMN_OK)
				puts("policy");
			else
				printf("line %u: %s\n", error.line, error.text);
		} else if (policy == NULL) {
			puts("no policy");
		} else if (json_object_get(line, "met") != NULL) {
			ask(policy, line);
		} else {
			judge(policy, line);
		}
		json_decref(line);
	}
	kmn_policy_free(policy);
	free(text);
	return 0;
}
