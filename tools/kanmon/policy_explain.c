/* kanmon policy explain: what a policy makes of one call, and which rule decides. */
#include "config.h"

#include <sodium.h>
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
	struct kmn_option_list attributes;
	bool made, local;
	struct kmn_policy_token_facts facts;
	struct kmn_object_words words;
	uint8_t key_sha256[KMN_HASH_BYTES];
	struct kmn_norm norm;
	struct kmn_content *content;
	char *data;
	struct kmn_question q;
};

/* Does the call make the object that --object names? Others use it, and a template is of what they make besides. */
static bool
makes_object(const char *call)
{
	return strcmp(call, "C_GenerateKey") == 0 || strcmp(call, "C_GenerateKeyPair") == 0 ||
	       strcmp(call, "C_CreateObject") == 0;
}

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
	d->q.made = d->made || makes_object(d->call);
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

/* The template that --attribute gives, with the name of the object where the call makes it; NULL: it cannot be read. */
static json_t *
template_of(const struct described *d)
{
	json_t *template = json_object();

	for (size_t i = 0; i < d->attributes.n; i++) {
		const char *word = d->attributes.text[i], *value = strchr(word, '=');
		char name[64];

		if (value == NULL || strncmp(word, "CKA_", 4) != 0 || (size_t)(value - word) >= sizeof(name) ||
		    (strcmp(value, "=true") != 0 && strcmp(value, "=false") != 0)) {
			json_decref(template);
			return NULL;
		}
		snprintf(name, sizeof(name), "%.*s", (int)(value - word), word);
		json_object_set_new(template, name, json_boolean(value[1] == 't'));
	}
	if (makes_object(d->call)) {
		if (d->q.label != NULL)
			json_object_set_new(template, "CKA_LABEL", json_string(d->q.label));
		if (d->q.id != NULL)
			json_object_set_new(
			    template, "CKA_ID", json_pack("{s:o}", "b64", kmn_json_b64(d->q.id, d->q.id_len)));
		if (strcmp(d->call, "C_CreateObject") == 0)
			json_object_set_new(template, "CKA_CLASS", json_integer((int)d->words.class_number));
	}
	return strcmp(d->call, "C_GenerateKeyPair") != 0
		   ? template
		   : json_pack("{s:{}, s:o}", "pPublicKeyTemplate", "pPrivateKeyTemplate", template);
}

/* The key that the call uses, as an intent names it. */
static json_t *
key_of(const struct described *d)
{
	const struct kmn_question *q = &d->q;
	char hex[2 * sizeof(d->words.id) + 1];
	json_t *key = json_object();

	if (q->token != NULL) {
		json_object_set_new(key, "token", json_string(q->token->label));
		if (q->token->serial != NULL)
			json_object_set_new(key, "serial", json_string(q->token->serial));
		if (q->token->module != NULL)
			json_object_set_new(key, "module", json_string(q->token->module));
	}
	if (!q->has_object || makes_object(d->call))
		return key;
	json_object_set_new(key, "class", json_string(q->object_class));
	if (q->label != NULL)
		json_object_set_new(key, "label", json_string(q->label));
	sodium_bin2hex(hex, sizeof(hex), d->words.id, q->id == NULL ? 0 : q->id_len);
	json_object_set_new(key, "id", json_string(hex));
	if (q->key_spki_sha256 != NULL)
		json_object_set_new(key, "spki_sha256", kmn_json_b64(q->key_spki_sha256, KMN_HASH_BYTES));
	json_object_set_new(key, "local", json_boolean(d->local));
	json_object_set_new(key, "never_extractable", json_boolean(d->local));
	return key;
}

/* With a template the call is judged as a recorded one is: by what it makes and changes, too. */
static int
judge(const struct kmn_policy *policy, const struct described *d, struct kmn_verdict *v)
{
	const struct kmn_material material = {.data = NULL};
	json_t *template, *intent;
	kmn_err e;

	kmn_policy_judge(policy, &d->q, v);
	if (d->attributes.n == 0)
		return KMN_EXIT_OK;
	if ((template = template_of(d)) == NULL)
		return kmn_fail("--attribute is CKA_NAME=true or CKA_NAME=false");
	intent = json_pack("{s:s, s:i, s:{s:s, s:{}}, s:o, s:{s:o}, s:o}", "op", d->call, "sess", 1, "mech", "name",
	    d->mechanism != NULL ? d->mechanism : "", "params", "key", key_of(d), "requester", "spki_sha256",
	    kmn_json_b64(d->q.client_spki_sha256, KMN_HASH_BYTES), "template", template);
	e = kmn_policy_judge_intent(policy, intent, &material, d->q.now, v);
	json_decref(intent);
	return e == KMN_OK ? KMN_EXIT_OK : kmn_fail("such a call cannot be judged: %s", kmn_err_text(e));
}

static void
take_rule(void *cookie, unsigned line, const char *rule, const char *why)
{
	json_array_append_new(cookie, json_pack("{s:i, s:s, s:s}", "line", (int)line, "rule", rule, "why", why));
}

static json_t *
explain(const struct kmn_policy *policy, const struct described *d, const struct kmn_verdict *v)
{
	static const char *const answers[] = {
	    [KMN_ANSWER_REFUSED] = "refused", [KMN_ANSWER_FREE] = "free", [KMN_ANSWER_HELD] = "held"};
	json_t *rules = json_array(), *needs = json_array();

	kmn_policy_explain(policy, &d->q, v, take_rule, rules);
	for (size_t i = 0; i < v->needs; i++)
		json_array_append_new(needs, json_pack("{s:s, s:i, s:i}", "group", v->need[i].group, "least",
						 (int)v->need[i].least, "of", (int)v->need[i].persons));
	return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o, s:o}", "answer", answers[v->answer], "rule", v->rule, "reason",
	    v->reason, "content_missing", v->content_missing, "independent", (int)v->independent, "needs", needs,
	    "rules", rules);
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
	struct kmn_verdict v;
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
	    KMN_OPTION_LIST(
		"attribute", "CKA_NAME=true|false", "what its template says (may be repeated)", &d.attributes),
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
	if ((verdict = take_call(file->policy, &d)) == KMN_EXIT_OK &&
	    (verdict = judge(file->policy, &d, &v)) == KMN_EXIT_OK) {
		all = explain(file->policy, &d, &v);
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
