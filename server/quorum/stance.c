/*
 * What becomes of a token of which something is wrong, from records alone. An
 * anomaly is a record of that type, a clock that was set back, or rows of an
 * HSM's log that no record explains. A token with a `stance` line in the
 * policy is then sealed, or degraded, until a signed note of the policy's
 * quorum, which names the last anomaly, reopens it.
 */
#include "config.h"

#include "server/quorum/quorum.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The last anomaly of a token ("": of all), or the last reopening. NULL: no room, for a name that no line has. */
static struct quorum_mark *
mark_of(struct quorum_mark *marks, size_t *count, const char *token, bool add)
{
	for (size_t n = 0; n < *count; n++)
		if (strcmp(marks[n].token, token) == 0)
			return &marks[n];
	if (!add || *count == QUORUM_MARKS_MAX || strlen(token) > KMN_POLICY_NAME_MAX_BYTES)
		return NULL;
	memset(&marks[*count], 0, sizeof(*marks));
	(void)snprintf(marks[*count].token, sizeof(marks->token), "%s", token);
	return &marks[(*count)++];
}

/* The anomaly that stands against a token; NULL: none does. */
static const struct quorum_mark *
standing(const struct kmn_quorum *q, const char *token)
{
	struct kmn_quorum *state = (struct kmn_quorum *)(uintptr_t)q;
	const struct quorum_mark *own = mark_of(state->stance.anomaly, &state->stance.anomalies, token, false);
	const struct quorum_mark *all = mark_of(state->stance.anomaly, &state->stance.anomalies, "", false);
	const struct quorum_mark *reopened = mark_of(state->stance.reopened, &state->stance.reopenings, token, false);
	const struct quorum_mark *last = own == NULL || (all != NULL && all->ref.i > own->ref.i) ? all : own;

	return last == NULL || (reopened != NULL && reopened->up_to >= last->ref.i) ? NULL : last;
}

enum kmn_stance
kmn_quorum_stance(const struct kmn_quorum *q, const char *token, struct kmn_anomaly *anomaly_out)
{
	enum kmn_stance stance = kmn_policy_stance(kmn_quorum_policy(q), token);
	const struct quorum_mark *last = stance == KMN_STANCE_NONE ? NULL : standing(q, token);

	memset(anomaly_out, 0, sizeof(*anomaly_out));
	if (last == NULL)
		return KMN_STANCE_NONE;
	anomaly_out->ref = last->ref;
	anomaly_out->t = last->t;
	snprintf(anomaly_out->reason, sizeof(anomaly_out->reason),
	    "token %s is %s by record %" PRIu64 " (%s) until it is reopened (kanmon reopen)", token,
	    stance == KMN_STANCE_SEAL ? "sealed" : "degraded", last->ref.i, last->what);
	return stance;
}

static void
look_again(struct kmn_quorum *q)
{
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	struct kmn_anomaly anomaly;

	q->stance.any = false;
	for (size_t n = 0; policy != NULL && n < policy->tokens.count; n++)
		q->stance.any =
		    q->stance.any || kmn_quorum_stance(q, ((const struct token *)policy->tokens.items[n])->seen.name,
					 &anomaly) != KMN_STANCE_NONE;
}

/* What the record says is wrong, and of which token ("": of all); NULL: nothing. */
static const char *
anomaly_of(const struct kmn_record *record, const char **token_out)
{
	uint64_t before, after, unmatched;
	const char *what;

	*token_out = "";
	if (record->kind == KMN_R_CLOCK && kmn_json_get_number(record->body, "before", &before) &&
	    kmn_json_get_number(record->body, "after", &after))
		return after < before ? "the clock was set back" : NULL;
	if (record->kind == KMN_R_HSM_LOG && kmn_json_get_number(record->body, "unmatched", &unmatched))
		return unmatched > 0 ? "the HSM's log has rows without a record" : NULL;
	if (record->kind != KMN_R_ANOMALY || !kmn_json_get_text(record->body, "what", &what))
		return NULL;
	if (!kmn_json_get_text(record->body, "token", token_out))
		*token_out = "";
	return what;
}

static const struct kmn_policy_peer *
client_named(const struct kmn_policy *policy, const char *name)
{
	const struct kmn_policy_peer *peer;

	for (size_t n = 0; (peer = kmn_policy_peer_at(policy, n)) != NULL; n++)
		if (!peer->terminal && strcmp(peer->name, name) == 0)
			return peer;
	return NULL;
}

/* The members that say which call of which client it is: all with a cause, and none without. */
static bool
says_whose(const json_t *body, bool wanted)
{
	static const char *const members[] = {"client", "chan", "seq", "req_sha256", "resp_sha256"};

	for (size_t n = 0; n < KMN_COUNT_OF(members); n++)
		if ((json_object_get(body, members[n]) != NULL) != wanted)
			return false;
	return true;
}

/* What a client alone says is about a token of its own line: it closes no other, and never all. */
kmn_err
quorum_anomaly_check(struct kmn_quorum *q, const struct kmn_record *record, struct kmn_why *why)
{
	const char *cause, *client, *token;
	const struct kmn_policy_peer *peer = NULL;
	bool by_client = kmn_json_get_text(record->body, "cause", &cause);

	if (q->choosing || kmn_quorum_policy(q) == NULL)
		return KMN_OK;
	if (!says_whose(record->body, by_client)) {
		kmn_why_set(why, "an anomaly that does not say whole what a client complained of");
		return KMN_E_CORRUPT;
	}
	if (!by_client)
		return KMN_OK;
	if (strcmp(cause, "receipt") != 0) {
		kmn_why_set(why, "an anomaly of a cause that there is not");
		return KMN_E_CORRUPT;
	}
	if (kmn_json_get_text(record->body, "client", &client))
		peer = client_named(kmn_quorum_policy(q), client);
	for (const char *const *name = peer == NULL ? NULL : peer->tokens; name != NULL && *name != NULL; name++)
		if (kmn_json_get_text(record->body, "token", &token) && strcmp(*name, token) == 0)
			return KMN_OK;
	kmn_why_set(why, "an anomaly by a client about a token that its line does not name");
	return KMN_E_CORRUPT;
}

void
quorum_stance_apply(struct kmn_quorum *q, const struct kmn_record *record)
{
	const char *token, *what;
	struct quorum_mark *mark;

	if (record->kind == KMN_R_CLOCK || record->kind == KMN_R_HSM_LOG || record->kind == KMN_R_ANOMALY) {
		if ((what = anomaly_of(record, &token)) != NULL &&
		    (mark = mark_of(q->stance.anomaly, &q->stance.anomalies, token, true)) != NULL) {
			mark->ref.i = record->i;
			memcpy(mark->ref.leaf, record->leaf, sizeof(record->leaf));
			mark->t = (int64_t)record->t;
			(void)snprintf(mark->what, sizeof(mark->what), "%.63s", what);
		}
		look_again(q);
	} else if (record->kind == KMN_R_POLICY || record->kind == KMN_R_GENESIS || record->kind == KMN_R_REOPEN) {
		look_again(q);
	}
}

/* ---- reopening --------------------------------------------------------------------------------------------------- */

static void
name_of(const struct kmn_signed *said, char token[KMN_POLICY_NAME_MAX_BYTES + 1])
{
	const struct kmn_signed_line *line = kmn_signed_line(said, "token", 0);

	(void)snprintf(token, KMN_POLICY_NAME_MAX_BYTES + 1, "%.*s", (int)line->len, line->value);
}

kmn_err
quorum_reopen_check(const struct kmn_quorum *q, const struct kmn_signed *said, const struct quorum_signers *signers,
    struct kmn_why *why)
{
	const struct kmn_signed_line *named = kmn_signed_line(said, "policy", 0);
	const struct kmn_signed_line *anomaly = kmn_signed_line(said, "anomaly", 0);
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	const struct quorum_mark *last;
	char token[KMN_POLICY_NAME_MAX_BYTES + 1];
	unsigned persons = 0;

	name_of(said, token);
	if (!q->choosing &&
	    (named->number != policy->version || memcmp(named->hash, policy->sha256, KMN_HASH_BYTES) != 0)) {
		kmn_why_set(why, "it names a policy that is not in force");
		return KMN_E_MALFORMED;
	}
	last = standing(q, token);
	if (!q->choosing && (last == NULL || last->ref.i != anomaly->number ||
				memcmp(last->ref.leaf, anomaly->hash, KMN_HASH_BYTES) != 0)) {
		kmn_why_set(why, "the last anomaly that stands against token %s is another one, or none does", token);
		return KMN_E_NOT_FOUND;
	}
	for (size_t n = 0; n < signers->count; n++)
		persons += policy_is_in_role(policy, "policy", signers->who[n].name);
	if (q->choosing || persons >= policy_role_least(policy, "policy"))
		return KMN_OK;
	kmn_why_set(why, "signed by %u of the %u persons that role policy asks for", persons,
	    policy_role_least(policy, "policy"));
	return KMN_E_SIGNATURE;
}

void
quorum_reopen_apply(struct kmn_quorum *q, const struct kmn_record *record, const struct kmn_signed *said)
{
	char token[KMN_POLICY_NAME_MAX_BYTES + 1];
	struct quorum_mark *mark;

	name_of(said, token);
	if ((mark = mark_of(q->stance.reopened, &q->stance.reopenings, token, true)) == NULL)
		return;
	mark->ref.i = record->i;
	memcpy(mark->ref.leaf, record->leaf, sizeof(record->leaf));
	mark->up_to = kmn_signed_line(said, "anomaly", 0)->number;
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

/* The token line of a recorded key, or of what the HSM said of itself; NULL: it is not known. */
static const struct kmn_policy_token *
token_in(const struct kmn_policy *policy, const json_t *body)
{
	const json_t *key = json_object_get(body, "key"), *hsm = json_object_get(body, "hsm");
	struct kmn_policy_token_facts facts = {.label = NULL};

	if (!kmn_json_get_text(key, "token", &facts.label))
		facts.label = NULL;
	if (!kmn_json_get_text(key, "serial", &facts.serial) && !kmn_json_get_text(hsm, "serial", &facts.serial))
		facts.serial = NULL;
	if (!kmn_json_get_text(key, "module", &facts.module))
		facts.module = NULL;
	if (facts.label == NULL && facts.serial == NULL)
		return NULL;
	return kmn_policy_token_get(policy, &facts);
}

bool
kmn_quorum_token_stops(const struct kmn_quorum *q, const json_t *body, char durability, bool windowed, int64_t since,
    struct kmn_anomaly *anomaly_out)
{
	const struct kmn_policy_token *token;
	enum kmn_stance stance;

	memset(anomaly_out, 0, sizeof(*anomaly_out));
	if (!q->stance.any || q->choosing || (token = token_in(kmn_quorum_policy(q), body)) == NULL)
		return false;
	stance = kmn_quorum_stance(q, token->name, anomaly_out);
	return anomaly_out->t <= since &&
	       (stance == KMN_STANCE_SEAL || (stance == KMN_STANCE_DEGRADE && (durability == 'B' || windowed)));
}
