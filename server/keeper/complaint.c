/*
 * Receipts that clients refuse (KMN_ADMIN_BAD_RECEIPT). Who serves that client, or something between the two, shows it
 * another ledger than this one: an anomaly of the token that the call was on, whose stance says what follows.
 *
 * A client complains of answers that went to its own application, on tokens that its line in the policy names: it
 * closes nothing that it could not use. It is heard a few times in each application and once a minute about each token;
 * the rest is counted, and the next record says how many.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/receipt.h"
#include "kanmon/say.h"

#define HEARD_MAX 4u /* of one application */
#define PAUSE_MS 60000
#define WORD_MAX_BYTES 16u

/* Answers with a receipt, by number modulo the window. */
struct kmn_receipted {
	unsigned heard;
	struct {
		uint64_t number, chan; /* number 0: none */
		const char *call;      /* static */
		const char *token;     /* the line's name, of a policy that lives as long as the quorum */
	} answer[KMN_WINDOW_NUMBERS];
};

/* One client about one token. */
struct kmn_complainer {
	LIST_ENTRY(kmn_complainer) link;
	const char *client, *token; /* of policies */
	int64_t recorded_ms;        /* boot time */
	unsigned long long unheard; /* since then */
};

struct complaint {
	uint64_t number;
	enum kmn_receipt_fault fault;
	uint8_t req_sha256[KMN_HASH_BYTES], resp_sha256[KMN_HASH_BYTES];
};

void
kmn_complaint_note(const struct kmn_call_state *call)
{
	struct kmn_instance *instance = call->instance;
	const struct kmn_policy_token *line =
	    call->token == NULL ? NULL : kmn_policy_token_get(kmn_keeper_policy(call->keeper), &call->token->facts);
	size_t place = call->number % KMN_WINDOW_NUMBERS;

	if (line == NULL)
		return;
	if (instance->receipted == NULL && (instance->receipted = calloc(1, sizeof(*instance->receipted))) == NULL)
		KMN_BUG("out of memory");
	instance->receipted->answer[place].number = call->number;
	instance->receipted->answer[place].chan = call->chan;
	instance->receipted->answer[place].call = call->view.call->name;
	instance->receipted->answer[place].token = line->name;
}

void
kmn_complaint_forget(struct kmn_instance *instance)
{
	free(instance->receipted);
	instance->receipted = NULL;
}

void
kmn_complaint_clear(struct kmn_keeper *k)
{
	struct kmn_complainer *complainer;

	while ((complainer = LIST_FIRST(&k->complainers)) != NULL) {
		LIST_REMOVE(complainer, link);
		free(complainer);
	}
}

static bool
read_complaint(struct kmn_reader *r, struct complaint *out)
{
	char word[WORD_MAX_BYTES];

	out->number = kmn_reader_u64(r);
	kmn_reader_text(r, word, sizeof(word));
	kmn_reader_raw(r, out->req_sha256, sizeof(out->req_sha256));
	kmn_reader_raw(r, out->resp_sha256, sizeof(out->resp_sha256));
	if (kmn_reader_end(r) != KMN_OK)
		return false;
	for (out->fault = KMN_RECEIPT_NONE + 1; out->fault < KMN_RECEIPT_FAULTS; out->fault++)
		if (strcmp(kmn_receipt_fault_name(out->fault), word) == 0)
			return true;
	return false;
}

static bool
may_use(const struct kmn_policy_peer *peer, const char *token)
{
	for (const char *const *name = peer->tokens; name != NULL && *name != NULL; name++)
		if (strcmp(*name, token) == 0)
			return true;
	return false;
}

static struct kmn_complainer *
complainer_of(struct kmn_keeper *k, const char *client, const char *token)
{
	struct kmn_complainer *complainer;

	LIST_FOREACH(complainer, &k->complainers, link)
	if (strcmp(complainer->client, client) == 0 && strcmp(complainer->token, token) == 0)
		return complainer;
	if ((complainer = calloc(1, sizeof(*complainer))) == NULL)
		KMN_BUG("out of memory");
	complainer->client = client;
	complainer->token = token;
	complainer->recorded_ms = kmn_keeper_boot_ms() - PAUSE_MS;
	LIST_INSERT_HEAD(&k->complainers, complainer, link);
	return complainer;
}

static bool
record(struct kmn_conn *conn, struct kmn_complainer *complainer, const struct complaint *c, uint64_t chan,
    const char *call)
{
	struct kmn_keeper *k = conn->instance->keeper;
	char detail[256];
	json_t *more = json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "cause", "receipt", "client", complainer->client,
	    "chan", (json_int_t)chan, "seq", (json_int_t)c->number, "req_sha256",
	    kmn_json_b64(c->req_sha256, KMN_HASH_BYTES), "resp_sha256", kmn_json_b64(c->resp_sha256, KMN_HASH_BYTES));
	int n = snprintf(
	    detail, sizeof(detail), "%s of %s: %s", call, complainer->client, kmn_receipt_fault_text(c->fault));

	if (more == NULL)
		KMN_BUG("out of memory");
	if (complainer->unheard > 0 && n > 0 && (size_t)n < sizeof(detail))
		(void)snprintf(
		    detail + n, sizeof(detail) - (size_t)n, "; %llu more since the last record", complainer->unheard);
	if (!kmn_anomaly_record(k, "a client refused a receipt", complainer->token, detail, more))
		return false;
	complainer->recorded_ms = kmn_keeper_boot_ms();
	complainer->unheard = 0;
	return true;
}

/* A token that its policy closes by this is closed at once, whenever the last complaint was. */
static bool
is_due(const struct kmn_keeper *k, const struct kmn_complainer *complainer)
{
	return kmn_policy_stance(kmn_keeper_policy(k), complainer->token) != KMN_STANCE_NONE ||
	       kmn_keeper_boot_ms() - complainer->recorded_ms >= PAUSE_MS;
}

void
kmn_complaint_take(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	struct kmn_receipted *receipted = conn->instance != NULL ? conn->instance->receipted : NULL;
	struct kmn_complainer *complainer;
	struct complaint complaint;
	bool recorded = false;
	size_t place;

	if (!read_complaint(r, &complaint)) {
		kmn_admin_refuse(k, conn, KMN_E_MALFORMED, "a complaint that is none");
		return;
	}
	place = complaint.number % KMN_WINDOW_NUMBERS;
	if (receipted == NULL || complaint.number == 0 || receipted->answer[place].number != complaint.number ||
	    !may_use(conn->peer, receipted->answer[place].token)) {
		kmn_admin_refuse(
		    k, conn, KMN_E_NOT_FOUND, "no such answer to this application, or not of a token of it");
		return;
	}
	complainer = complainer_of(k, conn->peer->name, receipted->answer[place].token);
	if (receipted->heard++ < HEARD_MAX && is_due(k, complainer))
		recorded =
		    record(conn, complainer, &complaint, receipted->answer[place].chan, receipted->answer[place].call);
	if (!recorded)
		complainer->unheard++;
	kmn_admin_answer_when_durable(k, conn, json_pack("{s:b}", "recorded", recorded));
}
