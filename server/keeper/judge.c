/*
 * Questions to the policy, and the check of what the module signed. All facts
 * come from the module or from the call's own bytes, none from the client's
 * description of them.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

struct kmn_token *
kmn_token_get(struct kmn_instance *instance, uint64_t slot)
{
	struct kmn_token *token;

	LIST_FOREACH(token, &instance->tokens, link)
	if (token->slot == slot)
		return token;
	return NULL;
}

void
kmn_token_forget(struct kmn_instance *instance, uint64_t slot)
{
	struct kmn_token *token = kmn_token_get(instance, slot);

	if (token == NULL)
		return;
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++)
		if (instance->call[i] != NULL && instance->call[i]->token == token)
			instance->call[i]->token = NULL;
	LIST_REMOVE(token, link);
	free(token);
}

const char *
kmn_token_module(const struct kmn_keeper *k, unsigned module)
{
	return k->setup->module_count > 1 ? k->setup->modules[module].name : NULL;
}

/* What KMN_W_TOKEN_FACTS says of a token; false: there is none to speak of. */
bool
kmn_token_read(struct kmn_reader *r, const char *module, struct kmn_token *token)
{
	uint64_t rv = kmn_reader_u64(r);
	uint16_t firmware;
	uint8_t level;

	if (r->err != KMN_OK || rv != CKR_OK)
		return false;
	kmn_reader_text(r, token->label, sizeof(token->label));
	kmn_reader_text(r, token->manufacturer, sizeof(token->manufacturer));
	kmn_reader_text(r, token->model, sizeof(token->model));
	kmn_reader_text(r, token->serial, sizeof(token->serial));
	firmware = kmn_reader_u16(r);
	(void)kmn_reader_u16(r);
	(void)kmn_reader_u64(r);
	level = kmn_reader_u8(r);
	if (kmn_reader_end(r) != KMN_OK)
		return false;
	snprintf(token->firmware, sizeof(token->firmware), "%u.%u", (unsigned)(firmware >> 8), firmware & 0xffu);
	token->module = module;
	token->facts = (struct kmn_policy_token_facts){.label = token->label,
	    .module = module,
	    .serial = token->serial,
	    .model = token->model,
	    .manufacturer = token->manufacturer,
	    .firmware = token->firmware,
	    .level = level};
	return true;
}

struct kmn_token *
kmn_token_take(struct kmn_branch *branch, uint64_t slot, struct kmn_reader *r)
{
	struct kmn_instance *instance = branch->instance;
	struct kmn_token *token = calloc(1, sizeof(*token));

	if (token == NULL)
		KMN_BUG("out of memory");
	if (!kmn_token_read(r, kmn_token_module(instance->keeper, branch->module), token)) {
		free(token);
		return NULL;
	}
	token->slot = slot;
	LIST_INSERT_HEAD(&instance->tokens, token, link);
	kmn_anomaly_token(instance->keeper, token);
	return token;
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

const char *
kmn_object_class_name(uint64_t class)
{
	switch (class) {
	case CKO_PRIVATE_KEY:
		return "private-key";
	case CKO_PUBLIC_KEY:
		return "public-key";
	case CKO_SECRET_KEY:
		return "secret-key";
	case CKO_CERTIFICATE:
		return "certificate";
	case CKO_DATA:
		return "data";
	default:
		return "other";
	}
}

/* Describes one key in a question; `spki_sha256` is storage for its hash. */
static void
ask_about(struct kmn_question *q, const struct kmn_key_facts *key, uint8_t spki_sha256[KMN_HASH_BYTES])
{
	q->has_object = true;
	q->object_class = kmn_object_class_name(key->class);
	q->label = key->label;
	q->id = key->id;
	q->id_len = key->id_len;
	q->origin = (key->flags & KMN_KEY_LOCAL) != 0 && (key->flags & KMN_KEY_NEVER_EXTRACTABLE) != 0
			? KMN_ORIGIN_LOCAL
			: KMN_ORIGIN_UNKNOWN;
	if (key->spki_len > 0) {
		kmn_sha256(key->spki, key->spki_len, spki_sha256);
		q->key_spki_sha256 = spki_sha256;
	}
}

/*
 * The token that a question is about. Looking at a slot is allowed whatever is in it: listing slots must not fail
 * because of a token that the policy does not know. Everything else needs a token that it knows (R6).
 */
static const struct kmn_policy_token_facts *
token_of(const struct kmn_call_state *call)
{
	if (call->token == NULL ||
	    (call->view.call->policy == KMN_POLICY_QUERY && call->session == NULL &&
		kmn_policy_token_get(kmn_keeper_policy(call->keeper), &call->token->facts) == NULL))
		return NULL;
	return &call->token->facts;
}

void
kmn_judge_question(struct kmn_call_state *call, struct kmn_verdict *verdict)
{
	const struct kmn_mech_view *mech = kmn_view_mechanism(&call->view);
	const struct kmn_key_facts *key = NULL;
	uint8_t spki_sha256[KMN_HASH_BYTES];
	struct kmn_question q = {
	    .client_spki_sha256 = call->instance->spki_sha256,
	    .token = token_of(call),
	    .call = call->view.call->name,
	    .mechanism = mech != NULL && mech->form != KMN_MECH_NULL ? kmn_mechanism_name(mech->type) : NULL,
	    .now = kmn_keeper_now_ms(),
	};

	if (call->keys > 0)
		key = &call->key[0];
	else if (call->operation != NULL && call->operation->known)
		key = &call->operation->key;
	if (key != NULL)
		ask_about(&q, key, spki_sha256);
	call->judged_by = kmn_keeper_policy(call->keeper);
	kmn_policy_judge(call->judged_by, &q, verdict);
}

void
kmn_judge_query(const struct kmn_call_state *call, const struct kmn_key_facts *facts, struct kmn_verdict *verdict)
{
	uint8_t spki_sha256[KMN_HASH_BYTES];
	struct kmn_question q = {
	    .client_spki_sha256 = call->instance->spki_sha256,
	    .token = call->token != NULL ? &call->token->facts : NULL,
	    .call = kmn_call_row(KMN_C_GetAttributeValue)->name,
	    .now = kmn_keeper_now_ms(),
	};

	ask_about(&q, facts, spki_sha256);
	kmn_policy_judge(kmn_keeper_policy(call->keeper), &q, verdict);
}

/* A secret of a key is asked for that the module may give, for it does not hold it sensitive. */
static bool
is_readable(const struct kmn_key_facts *key)
{
	return (key->class == CKO_PRIVATE_KEY || key->class == CKO_SECRET_KEY) &&
	       !((key->known & KMN_KEY_SENSITIVE) && (key->flags & KMN_KEY_SENSITIVE)) &&
	       !((key->known & KMN_KEY_EXTRACTABLE) && !(key->flags & KMN_KEY_EXTRACTABLE));
}

/* Who reads a key out needs no approval for its uses any more: of a guarded one nothing secret is told. */
void
kmn_judge_reading(struct kmn_call_state *call)
{
	uint8_t spki_sha256[KMN_HASH_BYTES];
	struct kmn_question q = {
	    .client_spki_sha256 = call->instance->spki_sha256,
	    .token = call->token != NULL ? &call->token->facts : NULL,
	};

	if (!call->reads_secrets || call->keys == 0 || !is_readable(&call->key[0]))
		return;
	ask_about(&q, &call->key[0], spki_sha256);
	if (!kmn_policy_guards(kmn_keeper_policy(call->keeper), &q))
		return;
	call->verdict.answer = KMN_ANSWER_REFUSED;
	snprintf(call->verdict.reason, sizeof(call->verdict.reason),
	    "the key %.80s is not free, and would be told in clear", call->key[0].label);
}

/*
 * A call that names more than one key (C_WrapKey, parameters with keys inside) needs every one of them: the record
 * names the first, so only that one may be held; the others are allowed outright or the call is refused.
 */
void
kmn_judge_others(struct kmn_call_state *call)
{
	for (unsigned i = 1; i < call->keys; i++) {
		uint8_t spki_sha256[KMN_HASH_BYTES];
		struct kmn_verdict other;
		struct kmn_question q = {
		    .client_spki_sha256 = call->instance->spki_sha256,
		    .token = call->token != NULL ? &call->token->facts : NULL,
		    .call = call->view.call->name,
		    .mechanism = NULL,
		    .now = kmn_keeper_now_ms(),
		};
		const struct kmn_mech_view *mech = kmn_view_mechanism(&call->view);

		if (mech != NULL && mech->form != KMN_MECH_NULL)
			q.mechanism = kmn_mechanism_name(mech->type);
		ask_about(&q, &call->key[i], spki_sha256);
		kmn_policy_judge(kmn_keeper_policy(call->keeper), &q, &other);
		if (other.answer == KMN_ANSWER_FREE)
			continue;
		call->verdict.answer = KMN_ANSWER_REFUSED;
		snprintf(call->verdict.reason, sizeof(call->verdict.reason),
		    "rule %.40s: the other key, %.80s, is not free for %s: a rule for both keys must come first",
		    other.rule, call->key[i].label, call->view.call->name);
		return;
	}
}

/* ---- the module's signature -------------------------------------------------------------------------------------- */

/* One of `selfcheck` class B signatures is verified; every class A one. */
static bool
sampled(struct kmn_call_state *call)
{
	if (call->durability == 'A' || call->verdict.selfcheck <= 1)
		return true;
	return call->instance->signatures++ % call->verdict.selfcheck == 0;
}

kmn_err
kmn_check_signature(struct kmn_call_state *call, const struct kmn_response_view *response, const char **selfcheck_out)
{
	const struct kmn_result *signature = kmn_response_bytes(response);
	const struct kmn_operation *op = call->operation;
	kmn_err e;

	*selfcheck_out = NULL;
	if (response->rv != CKR_OK || signature == NULL || op == NULL || !op->known || !call->has_norm)
		return KMN_OK;
	if (op->key.spki_len == 0) {
		*selfcheck_out = "no-public-key";
		return KMN_OK;
	}
	if (!sampled(call)) {
		*selfcheck_out = "not-sampled";
		return KMN_OK;
	}
	e = kmn_operation_verify_signature(op->key.spki, op->key.spki_len, &call->norm, op->has_pss ? &op->pss : NULL,
	    call->data, call->data_len, signature->bytes, signature->len);
	*selfcheck_out = e == KMN_OK ? "sig-verified" : e == KMN_E_NOT_FOUND ? "not-checkable" : "failed";
	return e == KMN_E_NOT_FOUND ? KMN_OK : e;
}
