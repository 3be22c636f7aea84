/*
 * What an operator wants the console's client to ask for: a signed text, kept until the call comes that says of itself
 * that it is for it ("action N"). One instruction, one call, and only the one that it describes.
 */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/keyparams.h"
#include "server/quorum/quorum.h"
#include "server/quorum/text.h"

/* Of which calls an instruction may be; a window is asked for, and is no call. */
static const struct {
	const char *what;
	const char *calls[6];
} kinds[] = {
    {"generate", {"C_GenerateKeyPair", "C_GenerateKey"}},
    {"destroy", {"C_DestroyObject"}},
    {"sign", {"C_Sign", "C_SignFinal", "C_SignMessage", "C_SignMessageNext", "C_SignRecover"}},
    {"window", {"window"}},
};

static const struct {
	const char *name;
	uint64_t bits;
	const char *curve;
	size_t curve_len;
} parameters[] = {
#define ROW(kind, mechanism, name, bits, curve) {name, bits, curve, sizeof(curve) - 1},
    KMN_KEY_PARAMETERS(ROW)
#undef ROW
};

/* ---- values of lines --------------------------------------------------------------------------------------------- */

static bool
says(const struct kmn_signed *said, const char *key, const char *value)
{
	const struct kmn_signed_line *line = kmn_signed_line(said, key, 0);

	return line != NULL && strlen(value) == line->len && memcmp(line->value, value, line->len) == 0;
}

/* A line that may be missing says the text of an intent, as texts to be signed have it; so does its lack of "". */
static bool
agrees(const struct kmn_signed *said, const char *key, const json_t *from, const char *member)
{
	const struct kmn_signed_line *line = kmn_signed_line(said, key, 0);
	const char *value;
	char *escaped = NULL;
	struct text t;
	bool same;

	if (line == NULL)
		return true;
	if (!kmn_json_get_text(from, member, &value))
		return false;
	text_init(&t, KMN_SIGNED_VALUE_MAX_BYTES);
	text_escaped(&t, value, strlen(value), "");
	same = text_take(&t, &escaped) == KMN_OK && escaped != NULL && strlen(escaped) == line->len &&
	       memcmp(escaped, line->value, line->len) == 0;
	free(escaped);
	return same;
}

/* Bytes of a template's value: text as it is, else {"b64"}; false: neither. */
static bool
bytes_of(const json_t *value, uint8_t *out, size_t room, size_t *len)
{
	const char *b64;

	if (json_is_string(value)) {
		*len = json_string_length(value);
		if (*len <= room)
			memcpy(out, json_string_value(value), *len);
		return *len <= room;
	}
	return kmn_json_get_text(value, "b64", &b64) && kmn_b64_parse(b64, strlen(b64), out, room, len) == KMN_OK;
}

/* What a template says is compared as a key's name in a record would be: the label made readable, the id as hex. */
static bool
makes(const struct kmn_signed *said, const json_t *template)
{
	uint8_t bytes[KMN_SIGNED_VALUE_MAX_BYTES / 2];
	char hex[2 * sizeof(bytes) + 1];
	json_t *named = json_object();
	bool same;
	size_t len;

	if (bytes_of(json_object_get(template, "CKA_LABEL"), bytes, sizeof(bytes), &len))
		(void)json_object_set_new(named, "label", kmn_json_label(bytes, len));
	if (bytes_of(json_object_get(template, "CKA_ID"), bytes, sizeof(bytes), &len)) {
		(void)sodium_bin2hex(hex, sizeof(hex), bytes, len);
		(void)json_object_set_new(named, "id", json_string(hex));
	}
	same = agrees(said, "key-label", named, "label") && agrees(said, "key-id", named, "id");
	json_decref(named);
	return same;
}

/* Of a call that makes keys each template, of any other the key that it uses. */
static bool
is_key(const struct kmn_signed *said, const json_t *intent)
{
	json_t *templates = json_object_get(intent, "template"), *template;
	const json_t *key = json_object_get(intent, "key");
	const char *name;
	bool any = false;

	if (!says(said, "what", "generate"))
		return agrees(said, "key-label", key, "label") && agrees(said, "key-id", key, "id");
	json_object_foreach(templates, name, template)
	{
		if (!makes(said, template))
			return false;
		any = true;
	}
	return any;
}

static size_t
kind_of(const struct kmn_signed *said)
{
	size_t n = 0;

	while (n < KMN_COUNT_OF(kinds) && !says(said, "what", kinds[n].what))
		n++;
	return n;
}

/* ---- the text ---------------------------------------------------------------------------------------------------- */

static const struct kmn_policy_peer *
client_of(const struct kmn_policy *policy, const struct kmn_signed *said)
{
	const struct kmn_policy_peer *peer;

	for (size_t n = 0; (peer = kmn_policy_peer_at(policy, n)) != NULL; n++)
		if (!peer->terminal && says(said, "client", peer->name))
			return peer;
	return NULL;
}

static bool
has(const char *const *names, const char *name)
{
	while (names != NULL && *names != NULL && strcmp(*names, name) != 0)
		names++;
	return names != NULL && *names != NULL;
}

static bool
sees_token(const struct kmn_policy_peer *client, const struct kmn_signed *said)
{
	for (const char *const *t = client->tokens; t != NULL && *t != NULL; t++)
		if (says(said, "token", *t))
			return true;
	return false;
}

const char *
quorum_instruct_wrong(const struct kmn_policy *policy, const struct kmn_signed *said, const char *signer)
{
	const struct kmn_policy_peer *client = client_of(policy, said);
	size_t kind = kind_of(said);

	if (client == NULL || !has(client->operators, signer))
		return "who signed it is no operator of that client";
	if (!sees_token(client, said))
		return "that client does not see that token";
	if (kind == KMN_COUNT_OF(kinds))
		return "`what` is generate, destroy, sign or window";
	if (strcmp(kinds[kind].what, "sign") == 0 &&
	    (kmn_signed_line(said, "file-sha256", 0) == NULL || kmn_signed_line(said, "mechanism", 0) == NULL))
		return "a signature is over a file, by a mechanism";
	if (strcmp(kinds[kind].what, "window") == 0 && kmn_signed_line(said, "rule", 0) == NULL)
		return "a window is of a rule";
	if (kmn_signed_line(said, "key-label", 0) == NULL && kmn_signed_line(said, "key-id", 0) == NULL)
		return "it names no key";
	return NULL;
}

kmn_err
kmn_action_check_text(const struct kmn_policy *policy, const char *text, const char *name, struct kmn_why *why)
{
	struct kmn_signed said;
	const char *wrong;
	kmn_err e = kmn_signed_read(text, strlen(text), &said, why);

	if (e != KMN_OK)
		return e;
	if ((wrong = quorum_instruct_wrong(policy, &said, name)) == NULL)
		return KMN_OK;
	kmn_why_set(why, "%s", wrong);
	return KMN_E_DENIED;
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

/* A template says the size, or the curve, and none says another one. */
static bool
is_of(const json_t *templates, uint64_t bits, const char *curve, size_t curve_len)
{
	uint8_t bytes[KMN_SIGNED_VALUE_MAX_BYTES / 2];
	const json_t *template, *value;
	const char *name;
	uint64_t number;
	size_t len, said = 0;

	json_object_foreach((json_t *)(uintptr_t)templates, name, template)
	{
		if (json_object_get(template, "CKA_MODULUS_BITS") != NULL) {
			if (!kmn_json_get_number(template, "CKA_MODULUS_BITS", &number) || number != bits)
				return false;
			said++;
		}
		if ((value = json_object_get(template, "CKA_EC_PARAMS")) != NULL) {
			if (!bytes_of(value, bytes, sizeof(bytes), &len) || curve_len == 0 || len != curve_len ||
			    memcmp(bytes, curve, len) != 0)
				return false;
			said++;
		}
	}
	return said > 0;
}

static bool
is_parameters(const struct kmn_signed *said, const json_t *intent)
{
	const json_t *templates = json_object_get(intent, "template");

	if (kmn_signed_line(said, "parameters", 0) == NULL)
		return true;
	for (size_t n = 0; says(said, "what", "generate") && n < KMN_COUNT_OF(parameters); n++)
		if (says(said, "parameters", parameters[n].name))
			return is_of(templates, parameters[n].bits, parameters[n].curve, parameters[n].curve_len);
	return false;
}

static bool
is_on_token(const struct kmn_policy *policy, const struct kmn_signed *said, const json_t *key)
{
	const struct kmn_policy_token *token;
	const char *label, *serial;

	for (size_t n = 0; (token = kmn_policy_token_at(policy, n)) != NULL; n++)
		if (says(said, "token", token->name))
			break;
	return token != NULL && kmn_json_get_text(key, "token", &label) && strcmp(label, token->label) == 0 &&
	       (token->serial == NULL ||
		   (kmn_json_get_text(key, "serial", &serial) && strcmp(serial, token->serial) == 0));
}

static bool
is_call(const struct kmn_signed *said, const json_t *intent)
{
	size_t kind = kind_of(said);
	const char *op;

	if (kind == KMN_COUNT_OF(kinds) || !kmn_json_get_text(intent, "op", &op))
		return false;
	for (size_t n = 0; n < KMN_COUNT_OF(kinds[kind].calls) && kinds[kind].calls[n] != NULL; n++)
		if (strcmp(kinds[kind].calls[n], op) == 0)
			return true;
	return false;
}

static bool
is_over_file(const struct kmn_signed *said, const json_t *intent)
{
	const struct kmn_signed_line *file = kmn_signed_line(said, "file-sha256", 0);
	const struct kmn_signed_line *said_len = kmn_signed_line(said, "file-len", 0);
	const json_t *data = json_object_get(intent, "in");
	uint8_t in[KMN_HASH_BYTES];
	uint64_t len;

	if (file == NULL)
		return true;
	return kmn_json_get_b64(data, "sha256", in, sizeof(in)) && memcmp(in, file->hash, sizeof(in)) == 0 &&
	       (said_len == NULL || (kmn_json_get_number(data, "len", &len) && len == said_len->number));
}

/* NULL, or in what an intent is not what the instruction wants. */
static const char *
differs(const struct kmn_policy *policy, const struct kmn_signed *said, const json_t *intent)
{
	const json_t *key = json_object_get(intent, "key");

	if (!agrees(said, "client", json_object_get(intent, "requester"), "name"))
		return "another client";
	if (!is_call(said, intent))
		return "another operation";
	if (!is_on_token(policy, said, key))
		return "another token";
	if (!is_key(said, intent))
		return "another key";
	if (!agrees(said, "mechanism", json_object_get(intent, "mech"), "name"))
		return "another mechanism";
	if (!is_parameters(said, intent))
		return "another size or curve";
	if (!agrees(said, "rule", json_object_get(intent, "window"), "rule"))
		return "another rule";
	return is_over_file(said, intent) ? NULL : "another file";
}

static struct quorum_instruction *
find(const struct kmn_quorum *q, uint64_t i)
{
	for (size_t n = 0; n < q->actions.instructions; n++)
		if (q->actions.instruction[n].i == i)
			return &q->actions.instruction[n];
	return NULL;
}

/* Does instruction `i` stand at `t`, and want what that intent says? */
static kmn_err
check_wants(const struct kmn_quorum *q, uint64_t i, const json_t *intent, uint64_t t, struct kmn_why *why)
{
	const struct quorum_instruction *instruction = find(q, i);
	struct kmn_signed said;
	const char *wrong;
	uint64_t since;

	if (instruction == NULL || t > instruction->t + KMN_ACTION_INSTRUCTION_LIFE_MS) {
		kmn_why_set(why, "action %" PRIu64 " is no instruction that still waits for its call", i);
		return KMN_E_DENIED;
	}
	if (kmn_quorum_policy_record(q, kmn_policy_version(kmn_quorum_policy(q)), &since) && i < since) {
		kmn_why_set(
		    why, "action %" PRIu64 " was signed under an earlier version of the policy: sign it anew", i);
		return KMN_E_DENIED;
	}
	if (kmn_signed_read(instruction->text, strlen(instruction->text), &said, why) != KMN_OK)
		return KMN_E_DENIED;
	if ((wrong = differs(kmn_quorum_policy(q), &said, intent)) == NULL)
		return KMN_OK;
	kmn_why_set(why, "the call is not what action %" PRIu64 " wants: %s", i, wrong);
	return KMN_E_DENIED;
}

kmn_err
kmn_quorum_check_instructed(const struct kmn_quorum *q, const json_t *intent, uint64_t t, struct kmn_why *why)
{
	uint64_t i;

	return kmn_instruction_named(intent, &i) ? check_wants(q, i, intent, t, why) : KMN_OK;
}

kmn_err
kmn_quorum_judge_instructed(const struct kmn_quorum *q, const json_t *intent, uint64_t t, struct kmn_why *why)
{
	return kmn_quorum_check_instructed(q, intent, t > QUORUM_GRACE_MS ? t - QUORUM_GRACE_MS : 0, why);
}

kmn_err
kmn_action_judge_instruct(const struct kmn_policy *policy, const json_t *body, uint64_t t, struct kmn_why *why)
{
	uint64_t at = t > QUORUM_GRACE_MS ? t - QUORUM_GRACE_MS : 0;
	struct kmn_action_signer signer;
	const char *note, *name;
	kmn_err e;

	if (!kmn_json_get_text(json_object_get(body, "auth"), "note", &note) ||
	    !kmn_json_get_text(json_object_get(body, "actor"), "name", &name)) {
		kmn_why_set(why, "no note says that an operator wanted it");
		return KMN_E_DENIED;
	}
	if ((e = kmn_action_judge_note(policy, KMN_SIGNED_INSTRUCTION, note, strlen(note), at, &signer, why)) != KMN_OK)
		return e;
	if (strcmp(signer.name, name) == 0)
		return KMN_OK;
	kmn_why_set(why, "another person signed than the one it names");
	return KMN_E_DENIED;
}

kmn_err
kmn_quorum_check_met(const struct kmn_quorum *q, const struct kmn_request *request, const json_t *decision, uint64_t t,
    struct kmn_why *why)
{
	uint64_t i, first;

	if (json_object_get(decision, "application") == NULL)
		return KMN_OK;
	if (kmn_instruction_named(decision, &i) && kmn_instruction_named(request->intent, &first) && i != first)
		return check_wants(q, i, request->intent, t, why);
	kmn_why_set(why, "what runs was made for no other instruction than the request");
	return KMN_E_DENIED;
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

static void
forget(struct kmn_quorum *q, struct quorum_instruction *instruction)
{
	free(instruction->text);
	*instruction = q->actions.instruction[--q->actions.instructions];
}

kmn_err
quorum_instruct_apply(struct kmn_quorum *q, struct request *r, const json_t *intent, uint64_t t, struct kmn_why *why)
{
	struct quorum_instruction *instruction;
	kmn_err e;
	uint64_t i;

	if (!kmn_instruction_named(intent, &i))
		return KMN_OK;
	e = kmn_quorum_judge_instructed(q, intent, t, why);
	if (e != KMN_OK && !q->choosing)
		return e;
	r->instruct_i = i;
	if ((instruction = find(q, i)) != NULL)
		forget(q, instruction);
	return KMN_OK;
}

kmn_err
quorum_instruct_met(struct kmn_quorum *q, struct request *r, const json_t *decision, uint64_t t, struct kmn_why *why)
{
	struct quorum_instruction *instruction;
	kmn_err e = kmn_quorum_check_met(q, &r->seen, decision, t > QUORUM_GRACE_MS ? t - QUORUM_GRACE_MS : 0, why);
	uint64_t i;

	if (e != KMN_OK && !q->choosing)
		return e;
	if (!kmn_instruction_named(decision, &i))
		return KMN_OK;
	r->met_i = i;
	if ((instruction = find(q, i)) != NULL)
		forget(q, instruction);
	return KMN_OK;
}

kmn_err
quorum_instruct_keep(struct kmn_quorum *q, uint64_t i, uint64_t t, const char *text, size_t len, struct kmn_why *why)
{
	struct quorum_actions *a = &q->actions;
	struct quorum_instruction *more = realloc(a->instruction, (a->instructions + 1) * sizeof(*more));
	char *copy = strndup(text, len);

	if (more != NULL)
		a->instruction = more;
	if (more == NULL || copy == NULL) {
		free(copy);
		kmn_why_set(why, "out of memory");
		return KMN_E_NO_MEMORY;
	}
	more[a->instructions++] = (struct quorum_instruction){.i = i, .t = t, .text = copy};
	return KMN_OK;
}

void
quorum_instruct_prune(struct kmn_quorum *q, uint64_t t)
{
	for (size_t n = 0; n < q->actions.instructions;)
		if (t - q->actions.instruction[n].t > KMN_ACTION_INSTRUCTION_LIFE_MS + QUORUM_GRACE_MS &&
		    t > q->actions.instruction[n].t)
			forget(q, &q->actions.instruction[n]);
		else
			n++;
}
