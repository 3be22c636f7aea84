/*
 * Keys, tokens, persons, windows, and how well the gateway is: the policy's word, what the HSM shows, and what the
 * ledger says of them (console_view.c), side by side.
 */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/admin.h"
#include "server/keeper/console.h"

#include "kanmon/evidence.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_WINDOWS_MAX 256u

static void
put(json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) != 0)
		KMN_BUG("out of memory");
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* "RSA 3072", "EC P-256", of the public half that is kept; NULL: it is not, or is none. */
static json_t *
type_json(struct kmn_keeper *k, const uint8_t sha256[KMN_HASH_BYTES])
{
	char text[96] = "", group[64];
	uint8_t *bytes;
	const uint8_t *at;
	EVP_PKEY *key;
	size_t len, n;

	if (kmn_log_blob_get(k->log, sha256, &bytes, &len) != KMN_OK)
		return NULL;
	at = bytes;
	key = d2i_PUBKEY(NULL, &at, (long)len);
	if (key != NULL && EVP_PKEY_is_a(key, "RSA"))
		(void)snprintf(text, sizeof(text), "RSA %d", EVP_PKEY_get_bits(key));
	else if (key != NULL && EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1 && n > 0)
		(void)snprintf(text, sizeof(text), "EC %s",
		    strcmp(group, "prime256v1") == 0  ? "P-256"
		    : strcmp(group, "secp384r1") == 0 ? "P-384"
		    : strcmp(group, "secp521r1") == 0 ? "P-521"
						      : group);
	else if (key != NULL)
		(void)snprintf(text, sizeof(text), "%s", EVP_PKEY_get0_type_name(key));
	EVP_PKEY_free(key);
	free(bytes);
	return text[0] != '\0' ? json_string(text) : NULL;
}

/* The policy's line of the token that a key is on, by what records say of it. */
static const struct kmn_policy_token *
line_of(const struct kmn_policy *policy, const json_t *key)
{
	struct kmn_policy_token_facts facts = {.label = NULL};

	if (!kmn_json_get_text(key, "token", &facts.label))
		return NULL;
	if (!kmn_json_get_text(key, "serial", &facts.serial))
		facts.serial = NULL;
	if (!kmn_json_get_text(key, "module", &facts.module))
		facts.module = NULL;
	return kmn_policy_token_get(policy, &facts);
}

static bool
is_of_key(const struct kmn_request *window, const json_t *key)
{
	static const char *const members[] = {"token", "spki_sha256", "label"};
	const json_t *of = json_object_get(window->intent, "key");

	for (size_t n = 0; n < KMN_COUNT_OF(members); n++) {
		const json_t *wanted = json_object_get(of, members[n]);

		if (wanted != NULL && !json_equal(wanted, json_object_get(key, members[n])))
			return false;
	}
	return true;
}

/* One answer to KEYS: some of the keys of the ledger, and behind them those that an HSM alone shows. */
struct key_list {
	struct kmn_keeper *k;
	uint64_t from, at; /* of the first that is wanted, and of the next */
	json_t *keys;
	const struct kmn_request *window[OPEN_WINDOWS_MAX];
	size_t windows;
};

/* There are few, and many keys: looked up once. */
static void
find_windows(struct key_list *list)
{
	const struct kmn_request *r = NULL;

	while ((r = kmn_quorum_next(list->k->quorum, r, false)) != NULL && list->windows < OPEN_WINDOWS_MAX)
		if (r->window && r->state == KMN_REQUEST_WINDOW)
			list->window[list->windows++] = r;
}

static json_t *
windows_of(const struct key_list *list, const json_t *key)
{
	json_t *windows = json_array();

	for (size_t n = 0; n < list->windows; n++)
		if (is_of_key(list->window[n], key))
			(void)json_array_append_new(windows, json_integer((json_int_t)list->window[n]->i));
	return windows;
}

/* What does not change of a key is looked up once, and kept with it. */
static void
put_type(struct kmn_keeper *k, json_t *key)
{
	uint8_t sha256[KMN_HASH_BYTES];
	json_t *type;

	if (json_object_get(key, "type") == NULL && kmn_json_get_b64(key, "spki_sha256", sha256, sizeof(sha256)) &&
	    (type = type_json(k, sha256)) != NULL)
		put(key, "type", type);
}

/* False: the answer is full. */
static bool
add_key(struct key_list *list, json_t *key, bool known, bool held)
{
	const struct kmn_policy_token *line;
	json_t *shown;

	if (list->at++ < list->from)
		return true;
	if (json_array_size(list->keys) == KMN_UI_KEYS_MAX) {
		list->at--;
		return false;
	}
	if (known)
		put_type(list->k, key);
	shown = json_copy(key);
	if ((line = line_of(kmn_keeper_policy(list->k), key)) != NULL)
		put(shown, "token_line", json_string(line->name));
	if (json_object_get(shown, "uses") == NULL)
		put(shown, "uses", json_integer(0));
	if (json_object_get(shown, "attributes") == NULL)
		put(shown, "attributes", json_object());
	put(shown, "windows", windows_of(list, key));
	put(shown, "known", json_boolean(known));
	if (held)
		put(shown, "held", json_true());
	return json_array_append_new(list->keys, shown) == 0;
}

static bool
is_held(const struct kmn_keeper *k, const char *name)
{
	for (unsigned m = 0; m < k->setup->module_count; m++)
		if (json_object_get(kmn_ui_hsm_keys(k, m), name) != NULL)
			return true;
	return false;
}

/* False: there are more. */
static bool
add_keys(struct key_list *list)
{
	json_t *known = (json_t *)(uintptr_t)kmn_ui_view_part(list->k, "keys"), *key;
	const char *name;

	json_object_foreach(known, name, key)
	{
		if (!add_key(list, key, true, is_held(list->k, name)))
			return false;
	}
	for (unsigned m = 0; m < list->k->setup->module_count; m++) {
		json_t *held = (json_t *)(uintptr_t)kmn_ui_hsm_keys(list->k, m);

		json_object_foreach(held, name, key)
		{
			if (json_object_get(known, name) == NULL && !add_key(list, key, false, true))
				return false;
		}
	}
	return true;
}

void
kmn_ui_keys(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct key_list list = {.k = ask->keeper, .from = kmn_reader_u64(r)};
	json_t *answer;
	bool all;

	if (!kmn_ui_read_all(ask, r))
		return;
	kmn_ui_hsm_want(list.k);
	list.keys = json_array();
	find_windows(&list);
	all = add_keys(&list);
	answer = json_pack("{s:o, s:b, s:o}", "keys", list.keys, "complete", (int)kmn_ui_view_is_complete(list.k),
	    "looked", kmn_ui_hsm_looked(list.k));
	if (!all)
		put(answer, "next", json_integer((json_int_t)list.at));
	kmn_ui_answer(ask, answer);
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

/* What an application's worker was shown last, of a token with that label; where none uses it, the house worker. */
static const struct kmn_token *
shown_token(const struct kmn_keeper *k, const struct kmn_policy_token *line)
{
	const struct kmn_instance *instance;
	const struct kmn_token *token;

	LIST_FOREACH(instance, &k->instances, link)
	LIST_FOREACH(token, &instance->tokens, link)
	if (strcmp(token->label, line->label) == 0 &&
	    (line->module == NULL || token->module == NULL || strcmp(line->module, token->module) == 0))
		return token;
	return kmn_ui_hsm_token(k, line);
}

static void
put_said(json_t *object, const char *name, const char *value)
{
	if (value != NULL)
		put(object, name, kmn_json_label(value, strlen(value)));
}

static json_t *
token_json(const struct kmn_keeper *k, const struct kmn_policy_token *line)
{
	static const char *const stances[] = {
	    [KMN_STANCE_NONE] = "none", [KMN_STANCE_SEAL] = "seal", [KMN_STANCE_DEGRADE] = "degrade"};
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_token *token = shown_token(k, line);
	json_t *expected = json_object(), *o, *shown;

	put_said(expected, "serial", line->serial);
	put_said(expected, "model", line->model);
	put_said(expected, "manufacturer", line->manufacturer);
	put_said(expected, "firmware", line->firmware);
	if (line->level > 0)
		put(expected, "level", json_integer((json_int_t)line->level));
	o = json_pack("{s:s, s:s, s:s, s:o, s:b, s:b}", "name", line->name, "label", line->label, "stance",
	    stances[kmn_policy_stance(policy, line->name)], "expected", expected, "pinned", line->serial != NULL,
	    "sealed_pin", kmn_activation_has(k, line->name));
	put_said(o, "module", line->module);
	if (token == NULL)
		return o;
	shown = json_object();
	put_said(shown, "serial", token->serial);
	put_said(shown, "model", token->model);
	put_said(shown, "manufacturer", token->manufacturer);
	put_said(shown, "firmware", token->firmware);
	put(shown, "level", json_integer((json_int_t)token->facts.level));
	put(o, "shown", shown);
	put(o, "fits", json_boolean(kmn_policy_token_get(policy, &token->facts) == line));
	return o;
}

void
kmn_ui_tokens(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	const struct kmn_policy_token *line;
	json_t *tokens;

	if (!kmn_ui_read_all(ask, r))
		return;
	kmn_ui_hsm_want(ask->keeper);
	tokens = json_array();
	for (size_t n = 0; (line = kmn_policy_token_at(kmn_keeper_policy(ask->keeper), n)) != NULL; n++)
		(void)json_array_append_new(tokens, token_json(ask->keeper, line));
	kmn_ui_answer(ask, json_pack("{s:o}", "tokens", tokens));
}

/* ---- persons ----------------------------------------------------------------------------------------------------- */

/* Lines `group NAME K MEMBER..` and `role NAME K MEMBER..` that the person is in, by the policy's own text. */
static void
put_lines(const struct kmn_policy *policy, const char *who, json_t *groups, json_t *roles)
{
	size_t len;
	char *text, *line, *rest, *words, *word, *name;

	if ((text = strdup(kmn_policy_text(policy, &len))) == NULL)
		KMN_BUG("out of memory");
	for (line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
		bool group = strncmp(line, "group ", 6) == 0;
		bool in = false;
		const char *least;
		int members = 0;

		if (!group && strncmp(line, "role ", 5) != 0)
			continue;
		(void)strtok_r(line, " ", &words);
		name = strtok_r(NULL, " ", &words);
		least = strtok_r(NULL, " ", &words);
		while ((word = strtok_r(NULL, " ", &words)) != NULL && *word != '#' && strcmp(word, "delay") != 0) {
			members++;
			in = in || strcmp(word, who) == 0 || (group && kmn_policy_is_member(policy, word, who));
		}
		if (in && least != NULL)
			(void)json_array_append_new(group ? groups : roles,
			    json_pack("{s:s, s:s, s:i}", "name", name, "least", least, "members", members));
	}
	free(text);
}

static json_t *
keys_of(const struct kmn_policy *policy, const char *name)
{
	const struct kmn_policy_custodian *c;
	json_t *keys = json_array();

	for (size_t n = 0; (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		if (strcmp(c->name, name) == 0)
			(void)json_array_append_new(keys,
			    json_pack("{s:s, s:s, s:o}", "vkey", c->vkey, "kind", kmn_evidence_words(c->key->kind),
				"spki_sha256", kmn_json_b64(c->key->spki_sha256, KMN_HASH_BYTES)));
	return keys;
}

static bool
is_first_line(const struct kmn_policy *policy, size_t n)
{
	const char *name = kmn_policy_custodian_at(policy, n)->name;

	for (size_t i = 0; i < n; i++)
		if (strcmp(kmn_policy_custodian_at(policy, i)->name, name) == 0)
			return false;
	return true;
}

static json_t *
person_json(const struct kmn_keeper *k, const struct kmn_policy_custodian *c)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const json_t *known = json_object_get(kmn_ui_view_part(k, "persons"), c->name);
	json_t *groups = json_array(), *roles = json_array(), *o;

	put_lines(policy, c->name, groups, roles);
	o = json_pack("{s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:i}", "name", c->name, "person", c->person, "auditor",
	    (int)c->auditor, "operator", (kmn_ui_roles(k, c->name) & KMN_UI_OPERATOR) != 0, "keys",
	    keys_of(policy, c->name), "groups", groups, "roles", roles, "votes", 0);
	(void)json_object_update(o, (json_t *)(uintptr_t)known);
	return o;
}

void
kmn_ui_custodians(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	const struct kmn_policy *policy = kmn_keeper_policy(ask->keeper);
	const struct kmn_policy_custodian *c;
	json_t *persons;

	if (!kmn_ui_read_all(ask, r))
		return;
	persons = json_array();
	for (size_t n = 0; (c = kmn_policy_custodian_at(policy, n)) != NULL; n++)
		if (is_first_line(policy, n))
			(void)json_array_append_new(persons, person_json(ask->keeper, c));
	kmn_ui_answer(
	    ask, json_pack("{s:o, s:b}", "persons", persons, "complete", (int)kmn_ui_view_is_complete(ask->keeper)));
}

/* ---- windows, health --------------------------------------------------------------------------------------------- */

void
kmn_ui_windows(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	const struct kmn_request *request = NULL;
	json_t *windows;

	if (!kmn_ui_read_all(ask, r))
		return;
	windows = json_array();
	while ((request = kmn_quorum_next(ask->keeper->quorum, request, false)) != NULL)
		if (request->window && request->state == KMN_REQUEST_WINDOW)
			(void)json_array_append_new(windows, kmn_admin_request_json(ask->keeper, request));
	kmn_ui_answer(ask, json_pack("{s:o}", "windows", windows));
}

void
kmn_ui_put_health(struct kmn_keeper *k, json_t *status)
{
	static const char *const parts[] = {"clients", "cosignatures", "anchors", "anomalies"};

	for (size_t n = 0; n < KMN_COUNT_OF(parts); n++)
		put(status, parts[n], json_deep_copy(kmn_ui_view_part(k, parts[n])));
	put(status, "complete", json_boolean(kmn_ui_view_is_complete(k)));
}
