/* The question that a recorded intent asks, also by the names that its template gives. */
#include "config.h"

#include "server/quorum/policy.h"
#include "server/quorum/window.h"

#include "kanmon/attach.h"
#include "kanmon/record.h"

#include <sodium.h>
#include <string.h>

/* Label and id that a template gives to an object. */
struct name {
	const char *label; /* NULL: says none, or none that is text */
	bool has_label, has_id;
	uint8_t id[256];
	size_t id_len;
	json_t *made; /* owns the label where it had to be made readable */
};

/* As a key's label is shown when it is asked for, so that both are compared in one form. */
static void
read_label(const json_t *value, struct name *n)
{
	uint8_t bytes[1024];
	const char *b64;
	size_t len;

	n->has_label = value != NULL;
	if (json_is_string(value))
		n->label = json_string_value(value);
	else if (kmn_json_get_text(value, "b64", &b64) &&
		 kmn_b64_parse(b64, strlen(b64), bytes, sizeof(bytes), &len) == KMN_OK &&
		 (n->made = kmn_json_label(bytes, len)) != NULL)
		n->label = json_string_value(n->made);
}

static void
read_name(const json_t *template, struct name *n)
{
	const json_t *id = json_object_get(template, "CKA_ID");
	const char *b64;

	*n = (struct name){.label = NULL};
	read_label(json_object_get(template, "CKA_LABEL"), n);
	n->has_id = id != NULL;
	if (kmn_json_get_text(id, "b64", &b64) &&
	    kmn_b64_parse(b64, strlen(b64), n->id, sizeof(n->id), &n->id_len) != KMN_OK)
		n->id_len = 0;
}

/* A module takes the first of two labels or the last: nobody could say by which it will be known. */
static bool
named_twice(const json_t *template)
{
	return json_object_get(template, "CKA_LABEL_2") != NULL || json_object_get(template, "CKA_ID_2") != NULL;
}

const char *
policy_class_in(const json_t *template, const char *otherwise)
{
	static const char *const names[] = {"data", "certificate", "public-key", "private-key", "secret-key"};
	uint64_t class;

	if (!kmn_json_get_number(template, "CKA_CLASS", &class))
		return otherwise;
	if (json_object_get(template, "CKA_CLASS_2") != NULL)
		return "other";
	return class < KMN_COUNT_OF(names) ? names[class] : "other";
}

/* Both verdicts must be satisfied; of two quorums only one can be asked. */
static void
join_verdicts(struct kmn_verdict *v, const struct kmn_verdict *other)
{
	if (v->answer == KMN_ANSWER_REFUSED)
		return;
	if (v->answer == KMN_ANSWER_HELD && other->answer == KMN_ANSWER_HELD && strcmp(v->rule, other->rule) != 0) {
		v->answer = KMN_ANSWER_REFUSED;
		policy_say(v,
		    "rule %.64s holds the object as it is and rule %.64s as it will be: a rule for both must "
		    "come first",
		    v->rule, other->rule);
	} else if (other->answer == KMN_ANSWER_REFUSED || other->answer == KMN_ANSWER_HELD) {
		*v = *other;
	}
}

static bool
names_it(const struct rule *r, const struct kmn_question *q, const struct kmn_policy_token *token)
{
	for (size_t i = 0; i < r->objects.count; i++)
		if (policy_object_fits(r->objects.items[i], q, token))
			return true;
	return false;
}

/* A key that a rule names keeps a name by which the rule knows it: else its quorum could be gone round. */
static void
refuse_escape(const struct kmn_policy *policy, const struct kmn_question *q, const struct kmn_question *after,
    struct kmn_verdict *v)
{
	const struct kmn_policy_token *token = q->token == NULL ? NULL : kmn_policy_token_get(policy, q->token);

	if (q->object_class == NULL ||
	    (strcmp(q->object_class, "private-key") != 0 && strcmp(q->object_class, "secret-key") != 0))
		return;
	for (size_t i = 0; i < policy->rules.count; i++) {
		const struct rule *r = policy->rules.items[i];

		if (!names_it(r, q, token) || names_it(r, after, token))
			continue;
		v->answer = KMN_ANSWER_REFUSED;
		v->rule = r->name;
		policy_say(v, "rule %s would not know the key by its new label or id", r->name);
		return;
	}
}

/* Judges the call by the name that a template gives: also by it if it uses an object, else by it alone. */
static void
judge_name(const struct kmn_policy *policy, const struct kmn_question *q, const json_t *template, const char *class,
    bool renames, struct kmn_verdict *v)
{
	struct kmn_question after = *q;
	struct kmn_verdict other;
	const char *leak;
	struct name n;

	read_name(template, &n);
	after.has_object = after.made = true;
	after.key_spki_sha256 = NULL;
	after.origin = renames ? q->origin : policy_makes_inside(q->call) ? KMN_ORIGIN_LOCAL : KMN_ORIGIN_UNKNOWN;
	if (policy_template_leaks(template, renames, &leak))
		after.origin = KMN_ORIGIN_UNKNOWN;
	after.object_class = policy_class_in(template, class);
	if (n.has_label || !renames)
		after.label = n.label;
	if (n.has_id || !renames) {
		after.id = n.id;
		after.id_len = n.id_len;
	}
	kmn_policy_judge(policy, &after, &other);
	if (q->has_object)
		join_verdicts(v, &other);
	else
		*v = other;
	if (renames)
		refuse_escape(policy, q, &after, v);
	if (named_twice(template)) {
		v->answer = KMN_ANSWER_REFUSED;
		policy_say(v, "a template with two labels or two ids: nobody can say which will be the object's name");
	}
	json_decref(n.made);
}

/* A call that makes or renames an object is judged by the name it will have; of a pair, by the private half's. */
static void
judge_names(
    const struct kmn_policy *policy, const struct kmn_question *q, const json_t *template, struct kmn_verdict *v)
{
	const json_t *private = json_object_get(template, "pPrivateKeyTemplate");
	bool renames = strcmp(q->call, "C_SetAttributeValue") == 0 || strcmp(q->call, "C_CopyObject") == 0;
	bool names = named_twice(template) || json_object_get(template, "CKA_LABEL") != NULL ||
		     json_object_get(template, "CKA_ID") != NULL;

	if (strcmp(q->call, "C_GenerateKeyPair") == 0)
		judge_name(policy, q, private, "private-key", false, v);
	else if (renames && names)
		judge_name(policy, q, template, q->object_class, true, v);
	else if (!renames)
		judge_name(
		    policy, q, template, strcmp(q->call, "C_CreateObject") == 0 ? "other" : "secret-key", false, v);
}

/* The object of a recorded call, as a question has it. The storage lives as long as the question. */
struct recorded_key {
	struct kmn_policy_token_facts token;
	uint8_t spki_sha256[KMN_HASH_BYTES], id[256];
};

static kmn_err
read_key(const json_t *key, struct kmn_question *q, struct recorded_key *storage)
{
	const char *hex;

	*storage = (struct recorded_key){.token = {.label = NULL}};
	if (kmn_json_get_text(key, "token", &storage->token.label))
		q->token = &storage->token;
	if (!kmn_json_get_text(key, "serial", &storage->token.serial))
		storage->token.serial = NULL;
	if (!kmn_json_get_text(key, "module", &storage->token.module))
		storage->token.module = NULL;
	q->has_object = kmn_json_get_text(key, "class", &q->object_class);
	if (!kmn_json_get_text(key, "label", &q->label))
		q->label = NULL;
	if (kmn_json_get_text(key, "id", &hex) && hex[0] != 0) {
		if (sodium_hex2bin(storage->id, sizeof(storage->id), hex, strlen(hex), NULL, &q->id_len, NULL) != 0)
			return KMN_E_MALFORMED;
		q->id = storage->id;
	}
	if (json_is_true(json_object_get(key, "local")) && json_is_true(json_object_get(key, "never_extractable")))
		q->origin = KMN_ORIGIN_LOCAL;
	if (kmn_json_get_b64(key, "spki_sha256", storage->spki_sha256, sizeof(storage->spki_sha256)))
		q->key_spki_sha256 = storage->spki_sha256;
	return KMN_OK;
}

/* Whether a rule before this one decides for that client, whatever mechanism and content are. */
static bool
is_preceded(const struct kmn_policy *policy, const struct rule *rule, const char *client, const struct kmn_call *call,
    const struct kmn_question *q, const struct kmn_policy_token *token)
{
	struct kmn_policy_peer peer = {.name = client};

	for (size_t i = 0; i < policy->rules.count && policy->rules.items[i] != rule; i++) {
		const struct rule *r = policy->rules.items[i];

		if (r->mechanisms == NULL && !r->content_asked && policy_key_fits(r, q) &&
		    policy_rest_fits(r, q, call, &peer, token))
			return true;
	}
	return false;
}

bool
policy_may_decide(
    const struct kmn_policy *policy, const struct rule *rule, const struct kmn_call *call, const json_t *key)
{
	const struct kmn_policy_token *token;
	struct kmn_question q = {.now = 0};
	struct recorded_key storage;

	if (read_key(key, &q, &storage) != KMN_OK)
		return false;
	token = q.token == NULL ? NULL : kmn_policy_token_get(policy, q.token);
	for (char **client = rule->clients; *client != NULL; client++) {
		struct kmn_policy_peer peer = {.name = *client};

		if (policy_key_fits(rule, &q) && policy_rest_fits(rule, &q, call, &peer, token) &&
		    !is_preceded(policy, rule, *client, call, &q, token))
			return true;
	}
	return false;
}

/* A certificate for another key than the applicant's is none that was asked for, whatever the rules say. */
static kmn_err
judge_application(const json_t *application, const struct kmn_content *content, struct kmn_verdict *v)
{
	const struct kmn_content_facts *f = content == NULL ? NULL : kmn_content_facts(content);
	uint8_t key[KMN_HASH_BYTES];
	const char *id;
	bool has_key;

	if (!kmn_application_read(application, &id, &has_key, key))
		return KMN_E_MALFORMED;
	if (!has_key || f == NULL || !f->has_key || memcmp(f->key_spki_sha256, key, sizeof(key)) == 0)
		return KMN_OK;
	v->answer = KMN_ANSWER_REFUSED;
	v->content_missing = false;
	policy_say(v, "the key in what is to be signed is not the applicant's key that was attached%s%.100s",
	    id == NULL ? "" : ", application ", id == NULL ? "" : id);
	return KMN_OK;
}

/* Names that the call gives to objects, in its own template and in those that a mechanism has beside it. */
static void
judge_all_names(
    const struct kmn_policy *policy, const struct kmn_question *q, const json_t *intent, struct kmn_verdict *v)
{
	const json_t *extra;

	if (json_object_get(intent, "template") != NULL)
		judge_names(policy, q, json_object_get(intent, "template"), v);
	for (size_t i = 0; (extra = policy_extra_template(intent, i)) != NULL; i++) {
		struct kmn_verdict one = *v;

		judge_name(policy, q, extra, "secret-key", false, &one);
		join_verdicts(v, &one);
	}
}

kmn_err
kmn_policy_judge_intent(const struct kmn_policy *policy, const json_t *intent, const struct kmn_material *m,
    int64_t now, struct kmn_verdict *v)
{
	static const struct kmn_material nothing = {.data = NULL};
	const json_t *key = json_object_get(intent, "key"), *norm_json = json_object_get(intent, "norm");
	const json_t *requester = json_object_get(intent, "requester");
	struct kmn_question q = {.now = now};
	struct kmn_content *content = NULL;
	uint8_t client[KMN_HASH_BYTES];
	struct recorded_key storage;
	struct kmn_norm norm;
	uint64_t session;
	kmn_err e = KMN_OK;

	if (json_object_get(intent, "window") != NULL)
		return policy_judge_opening(policy, intent, now, v);
	*v = (struct kmn_verdict){.answer = KMN_ANSWER_REFUSED, .rule = "none", .durability = 'A'};
	if (!json_is_object(key) || !kmn_json_get_b64(requester, "spki_sha256", client, sizeof(client)) ||
	    !kmn_json_get_text(intent, "op", &q.call))
		return KMN_E_MALFORMED;
	q.client_spki_sha256 = client;
	if ((e = read_key(key, &q, &storage)) != KMN_OK)
		return e;
	/* `sess` 0: a request made ahead. */
	if (kmn_json_get_number(intent, "sess", &session) && session == 0 && json_object_get(key, "local") == NULL)
		q.origin = KMN_ORIGIN_UNASKED;
	if (!kmn_json_get_text(json_object_get(intent, "mech"), "name", &q.mechanism) || q.mechanism[0] == 0)
		q.mechanism = NULL;
	if (norm_json != NULL && (e = kmn_norm_from_json(norm_json, &norm)) != KMN_OK)
		return e;
	q.norm = norm_json == NULL ? NULL : &norm;
	m = m == NULL ? &nothing : m;
	q.has_data = m->data != NULL && q.norm != NULL && kmn_norm_is_of(q.norm, m->data, m->len);
	if (q.has_data && (e = kmn_content_decode(m, &content)) == KMN_E_NO_MEMORY)
		return e;
	q.content = content;
	kmn_policy_judge(policy, &q, v);
	judge_all_names(policy, &q, intent, v);
	policy_check_origin(intent, &q, v);
	e = judge_application(json_object_get(intent, "application"), content, v);
	kmn_content_free(content);
	return e;
}
