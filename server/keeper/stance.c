/*
 * Anomalies: what is wrong with a token becomes a record; what follows from it is the quorum's to say
 * (server/quorum/stance.c), here and to the auditor.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdio.h>
#include <string.h>

static const struct kmn_policy_token *
line_of(const struct kmn_call_state *call)
{
	return call->token == NULL ? NULL : kmn_policy_token_get(kmn_keeper_policy(call->keeper), &call->token->facts);
}

enum kmn_stance
kmn_stance_of(const struct kmn_call_state *call, struct kmn_anomaly *anomaly_out)
{
	const struct kmn_policy_token *line = line_of(call);

	memset(anomaly_out, 0, sizeof(*anomaly_out));
	return line == NULL ? KMN_STANCE_NONE : kmn_quorum_stance(call->keeper->quorum, line->name, anomaly_out);
}

void
kmn_stance_degrade(struct kmn_call_state *call)
{
	struct kmn_anomaly anomaly;

	if (kmn_stance_of(call, &anomaly) != KMN_STANCE_DEGRADE)
		return;
	call->verdict.durability = 'A';
	call->verdict.selfcheck = 1;
}

bool
kmn_anomaly_record(struct kmn_keeper *k, const char *what, const char *token, const char *detail, json_t *more)
{
	struct kmn_anomaly standing;
	json_t *body;

	if (kmn_quorum_stance(k->quorum, token, &standing) != KMN_STANCE_NONE || k->unrecorded) {
		json_decref(more);
		return false;
	}
	kmn_say(KMN_SAY_ERROR, "token %s: %s: %s", token, what, detail);
	body = json_pack(
	    "{s:s, s:s, s:o}", "what", what, "token", token, "detail", kmn_json_label(detail, strlen(detail)));
	if (body == NULL || (more != NULL && json_object_update(body, more) != 0))
		KMN_BUG("out of memory");
	json_decref(more);
	if (kmn_keeper_append(k, KMN_R_ANOMALY, body, NULL) == KMN_OK)
		return true;
	kmn_say(KMN_SAY_ERROR, "an anomaly could not be recorded");
	return false;
}

void
kmn_anomaly_signature(const struct kmn_call_state *call)
{
	const struct kmn_policy_token *line = line_of(call);

	if (line != NULL && kmn_policy_stance(kmn_keeper_policy(call->keeper), line->name) != KMN_STANCE_NONE)
		(void)kmn_anomaly_record(
		    call->keeper, "a signature of its module did not verify", line->name, call->view.call->name, NULL);
}

/* A token that bears the label of a line and fits none: another HSM, or other firmware, under a known name. */
void
kmn_anomaly_token(struct kmn_keeper *k, const struct kmn_token *token)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_policy_token *line;
	char detail[192];

	if (k->stopping || !k->begun || kmn_policy_token_get(policy, &token->facts) != NULL)
		return;
	(void)snprintf(
	    detail, sizeof(detail), "serial %s model %s firmware %s", token->serial, token->model, token->firmware);
	for (size_t n = 0; (line = kmn_policy_token_at(policy, n)) != NULL; n++)
		if (strcmp(line->label, token->label) == 0 &&
		    kmn_policy_stance(policy, line->name) != KMN_STANCE_NONE &&
		    (line->module == NULL || token->facts.module == NULL ||
			strcmp(line->module, token->facts.module) == 0))
			(void)kmn_anomaly_record(
			    k, "what the HSM shows is not what its line says", line->name, detail, NULL);
}

json_t *
kmn_stance_status(const struct kmn_keeper *k)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_policy_token *line;
	struct kmn_anomaly anomaly;
	json_t *all = json_object();

	for (size_t n = 0; (line = kmn_policy_token_at(policy, n)) != NULL; n++)
		if (kmn_quorum_stance(k->quorum, line->name, &anomaly) != KMN_STANCE_NONE &&
		    json_object_set_new(all, line->name,
			json_pack("{s:s, s:I, s:o}", "state", anomaly.reason, "anomaly", (json_int_t)anomaly.ref.i,
			    "leaf", kmn_json_b64(anomaly.ref.leaf, KMN_HASH_BYTES))) != 0)
			KMN_BUG("out of memory");
	return all;
}
