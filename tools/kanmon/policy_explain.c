/* kanmon policy explain: what a policy makes of one call, and which rule decides. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/calls.h"
#include "kanmon/statement.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/object.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/terminal.h"

/* A call as the command line describes it. */
struct described {
	const char *client, *token, *call, *mechanism, *object, *key, *file, *at;
	bool made, local;
	struct kmn_policy_token_facts facts;
	struct kmn_object_words words;
	uint8_t key_sha256[KMN_HASH_BYTES];
	struct kmn_norm norm;
	struct kmn_content *content;
	char *data;
	struct kmn_question q;
};

static const struct kmn_policy_peer *
client_named(const struct kmn_policy *policy, const char *name)
{
	const struct kmn_policy_peer *at;

	for (size_t i = 0; (at = kmn_policy_peer_at(policy, i)) != NULL; i++)
		if (!at->terminal && strcmp(at->name, name) == 0)
			return at;
	return NULL;
}

/* Client and token, as the policy's own lines know them. */
static int
take_place(const struct kmn_policy *policy, struct described *d)
{
	const struct kmn_policy_peer *peer = client_named(policy, d->client);
	const struct kmn_policy_token *token = d->token == NULL ? NULL : kmn_policy_token_named(policy, d->token);

	if (peer == NULL)
		return kmn_fail("the policy has no client %s", d->client);
	if (d->token != NULL && token == NULL)
		return kmn_fail("the policy has no token %s", d->token);
	d->q.client_spki_sha256 = peer->spki_sha256;
	if (token != NULL) {
		d->facts = (struct kmn_policy_token_facts){.label = token->label,
		    .module = token->module,
		    .serial = token->serial,
		    .model = token->model,
		    .manufacturer = token->manufacturer};
		d->q.token = &d->facts;
	}
	return KMN_EXIT_OK;
}

/* The data, what it says, and the signature's normal form. */
static int
take_data(struct described *d)
{
	uint64_t type = 0;
	size_t len;

	if (d->mechanism != NULL && !kmn_mechanism_of(d->mechanism, &type))
		return kmn_fail("%s is no mechanism that is known here", d->mechanism);
	d->q.mechanism = d->mechanism;
	if (d->file == NULL)
		return KMN_EXIT_OK;
	if (kmn_file_read_or_say(d->file, KMN_CONTENT_MAX_BYTES, &d->data, &len) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (kmn_operation_normalise(type, NULL, (const uint8_t *)d->data, len, &d->norm) == KMN_OK) {
		d->q.norm = &d->norm;
		d->q.has_data = kmn_norm_is_of(&d->norm, (const uint8_t *)d->data, len);
	}
	if (d->q.has_data && kmn_content_decode(&(struct kmn_material){.data = (const uint8_t *)d->data, .len = len},
				 &d->content) == KMN_OK)
		d->q.content = d->content;
	return KMN_EXIT_OK;
}

static int
take_object(struct described *d)
{
	size_t n = 0;

	d->q.origin = d->local ? KMN_ORIGIN_LOCAL : KMN_ORIGIN_UNKNOWN;
	d->q.made = d->made;
	if (d->key != NULL) {
		if (strncmp(d->key, "spki:", 5) != 0 ||
		    kmn_b64_parse(d->key + 5, strlen(d->key + 5), d->key_sha256, sizeof(d->key_sha256), &n) != KMN_OK ||
		    n != sizeof(d->key_sha256))
			return kmn_fail("--key: '%s' is not spki: and the base64 of a SHA-256", d->key);
		d->q.key_spki_sha256 = d->key_sha256;
	}
	if (d->object == NULL && d->key == NULL)
		return KMN_EXIT_OK;
	if (d->object != NULL && !kmn_object_words_parse(d->object, &d->words))
		return kmn_fail("--object: '%s' is no label and no pkcs11: URI of object, id and type", d->object);
	d->q.has_object = true;
	d->q.object_class = d->words.class[0] != '\0' ? d->words.class : "private-key";
	d->q.label = d->words.has_label ? d->words.label : NULL;
	d->q.id = d->words.id_len > 0 ? d->words.id : NULL;
	d->q.id_len = d->words.id_len;
	return KMN_EXIT_OK;
}

static int
take_call(const struct kmn_policy *policy, struct described *d)
{
	if (kmn_call_by_name(d->call) == NULL)
		return kmn_fail("%s is no function of PKCS#11", d->call);
	d->q.call = d->call;
	d->q.now = (int64_t)time(NULL) * 1000;
	if (d->at != NULL && kmn_time_parse(d->at, strlen(d->at), &d->q.now) != KMN_OK)
		return kmn_fail("--at: '%s' is not a time like 2026-11-01T00:00:00Z", d->at);
	if (take_place(policy, d) != KMN_EXIT_OK || take_data(d) != KMN_EXIT_OK)
		return KMN_EXIT_FAILED;
	return take_object(d);
}

static void
take_rule(void *cookie, unsigned line, const char *rule, const char *why)
{
	json_array_append_new(cookie, json_pack("{s:i, s:s, s:s}", "line", (int)line, "rule", rule, "why", why));
}

static json_t *
explain(const struct kmn_policy *policy, const struct described *d)
{
	static const char *const answers[] = {
	    [KMN_ANSWER_REFUSED] = "refused", [KMN_ANSWER_FREE] = "free", [KMN_ANSWER_HELD] = "held"};
	json_t *rules = json_array(), *needs = json_array();
	struct kmn_verdict v;

	kmn_policy_judge(policy, &d->q, &v);
	kmn_policy_explain(policy, &d->q, &v, take_rule, rules);
	for (size_t i = 0; i < v.needs; i++)
		json_array_append_new(needs, json_pack("{s:s, s:i, s:i}", "group", v.need[i].group, "least",
						 (int)v.need[i].least, "of", (int)v.need[i].persons));
	return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o, s:o}", "answer", answers[v.answer], "rule", v.rule, "reason",
	    v.reason, "content_missing", v.content_missing, "independent", (int)v.independent, "needs", needs, "rules",
	    rules);
}

static void
print_explanation(const json_t *all)
{
	const char *answer = json_string_value(json_object_get(all, "answer"));
	const json_t *at;
	size_t i;

	json_array_foreach(json_object_get(all, "rules"), i, at)
	    printf("line %" JSON_INTEGER_FORMAT ", rule %s: %s\n", json_integer_value(json_object_get(at, "line")),
		json_string_value(json_object_get(at, "rule")), json_string_value(json_object_get(at, "why")));
	printf("%s: %s\n",
	    strcmp(answer, "free") == 0   ? "runs"
	    : strcmp(answer, "held") == 0 ? "waits for its quorum"
					  : "refused",
	    json_string_value(json_object_get(all, "reason")));
	json_array_foreach(json_object_get(all, "needs"), i, at)
	    printf("needs %s: %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT "\n",
		json_string_value(json_object_get(at, "group")), json_integer_value(json_object_get(at, "least")),
		json_integer_value(json_object_get(at, "of")));
	if (json_integer_value(json_object_get(all, "independent")) > 0)
		printf("%" JSON_INTEGER_FORMAT " of the approvals must be independent\n",
		    json_integer_value(json_object_get(all, "independent")));
}

int
kmn_cmd_policy_explain(int argc, char **argv)
{
	struct described d = {.client = NULL};
	struct kmn_policy_file *file;
	const char *path;
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("client", "NAME", "who calls: a client of the policy", &d.client),
	    KMN_OPTION_TEXT("token", "NAME", "on which token: a token line of the policy", &d.token),
	    KMN_OPTION_TEXT("call", "FUNCTION", "C_Sign and so on", &d.call),
	    KMN_OPTION_TEXT("mechanism", "NAME", "CKM_...", &d.mechanism),
	    KMN_OPTION_TEXT("object", "LABEL|URI", "the key: its label, or pkcs11:object=..;id=..;type=..", &d.object),
	    KMN_OPTION_TEXT("key", "spki:B64", "its public half, as in rules", &d.key),
	    KMN_OPTION_TEXT("file", "FILE", "what is to be signed", &d.file),
	    KMN_OPTION_TEXT("at", "TIME", "judge as of then (2026-11-01T00:00:00Z; default: now)", &d.at),
	    KMN_OPTION_FLAG("made", "the call makes the object", &d.made),
	    KMN_OPTION_FLAG("local", "the key was made inside and never could leave", &d.local),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "policy explain", options, KMN_COUNT_OF(options), &path, 1, 1);
	json_t *all;

	if (verdict != KMN_GO_ON)
		return verdict;
	if (d.client == NULL || d.call == NULL)
		return kmn_usage("policy explain", "--client and --call are needed");
	if (kmn_policy_file_read(path, &file) != KMN_OK)
		return KMN_EXIT_FAILED;
	if ((verdict = take_call(file->policy, &d)) == KMN_EXIT_OK) {
		all = explain(file->policy, &d);
		if (json)
			kmn_print_json(json_incref(all));
		else
			print_explanation(all);
		json_decref(all);
	}
	kmn_content_free(d.content);
	free(d.data);
	kmn_policy_file_free(file);
	return verdict;
}
