/*
 * What the kanmon tool asks (admin.h): which question goes where, who may ask it, and how it is answered. Clients see
 * and make their own requests; terminals see all and hand in what people signed.
 */
#include "config.h"

#include "server/keeper/admin.h"

#include "server/keeper/activation.h"

#include <stdlib.h>
#include <string.h>

static const char unwritable[] = "the ledger cannot be written: see the gateway's log";

/* ---- answers ---------------------------------------------------------------------------------------------------- */

static void
send_answer(struct kmn_keeper *k, struct kmn_conn *conn, kmn_err error, const char *text, size_t len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_u32(&w, (uint32_t)error);
	kmn_writer_bytes(&w, text, len);
	kmn_gatelink_send(k, conn, KMN_F_ADMIN_REPLY, &w);
}

void
kmn_admin_refuse(struct kmn_keeper *k, struct kmn_conn *conn, kmn_err error, const char *reason)
{
	if (conn != NULL)
		send_answer(k, conn, error, reason, strlen(reason));
}

void
kmn_admin_answer(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);

	json_decref(value);
	if (text == NULL || strlen(text) > KMN_ADMIN_REPLY_MAX_BYTES)
		kmn_admin_refuse(k, conn, KMN_E_TOO_BIG, "the answer is longer than a frame: ask for less");
	else if (conn != NULL)
		send_answer(k, conn, KMN_OK, text, strlen(text));
	free(text);
}

void
kmn_admin_wait_free(struct kmn_admin_wait *wait)
{
	TAILQ_REMOVE(&wait->keeper->admin_waits, wait, link);
	json_decref(wait->answer);
	kmn_ahead_free(wait->ahead);
	free(wait);
}

struct kmn_admin_wait *
kmn_admin_wait_new(struct kmn_keeper *k, struct kmn_conn *conn)
{
	struct kmn_admin_wait *wait = calloc(1, sizeof(*wait));

	if (wait == NULL)
		KMN_BUG("out of memory");
	wait->keeper = k;
	wait->conn = conn;
	TAILQ_INSERT_TAIL(&k->admin_waits, wait, link);
	return wait;
}

void
kmn_admin_conn_gone(struct kmn_keeper *k, const struct kmn_conn *conn)
{
	struct kmn_admin_wait *wait;

	TAILQ_FOREACH(wait, &k->admin_waits, link)
	if (wait->conn == conn)
		wait->conn = NULL;
}

void
kmn_admin_clear(struct kmn_keeper *k)
{
	struct kmn_admin_wait *wait = TAILQ_FIRST(&k->admin_waits), *next;

	for (; wait != NULL; wait = next) {
		next = TAILQ_NEXT(wait, link);
		kmn_admin_wait_free(wait);
	}
}

/* Records are durable: what was promised on them may be said. */
void
kmn_admin_durable(struct kmn_keeper *k, size_t size)
{
	struct kmn_admin_wait *wait = TAILQ_FIRST(&k->admin_waits), *next;

	for (; wait != NULL; wait = next) {
		next = TAILQ_NEXT(wait, link);
		if (wait->waits_for == 0 || wait->waits_for > size)
			continue;
		kmn_admin_answer(k, wait->conn, json_incref(wait->answer));
		kmn_admin_wait_free(wait);
	}
}

void
kmn_admin_unrecorded(struct kmn_keeper *k)
{
	struct kmn_admin_wait *wait = TAILQ_FIRST(&k->admin_waits), *next;

	for (; wait != NULL; wait = next) {
		next = TAILQ_NEXT(wait, link);
		if (wait->waits_for == 0)
			continue;
		kmn_admin_refuse(k, wait->conn, KMN_E_LEDGER, unwritable);
		kmn_admin_wait_free(wait);
	}
}

void
kmn_admin_wait_for_ledger(struct kmn_admin_wait *wait, json_t *value)
{
	wait->answer = value;
	wait->waits_for = kmn_log_size(wait->keeper->log);
}

void
kmn_admin_answer_when_durable(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value)
{
	struct kmn_head durable;

	kmn_log_durable(k->log, &durable);
	if (durable.size >= kmn_log_size(k->log))
		kmn_admin_answer(k, conn, value);
	else
		kmn_admin_wait_for_ledger(kmn_admin_wait_new(k, conn), value);
}

/* ---- questions -------------------------------------------------------------------------------------------------- */

enum who { ANYBODY, CLIENTS, TERMINALS };

static const struct {
	enum kmn_admin_op op;
	enum who who;
	void (*answer)(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
	const char *refusal; /* of who may not ask */
} questions[] = {
    {KMN_ADMIN_STATUS, ANYBODY, kmn_admin_status, NULL},
    {KMN_ADMIN_REQUEST_LIST, ANYBODY, kmn_admin_list, NULL},
    {KMN_ADMIN_REQUEST_SHOW, ANYBODY, kmn_admin_show, NULL},
    {KMN_ADMIN_CHECKPOINT, ANYBODY, kmn_admin_checkpoint, NULL},
    {KMN_ADMIN_POLICY, ANYBODY, kmn_admin_policy, NULL},
    {KMN_ADMIN_POLICY_SUBMIT, TERMINALS, kmn_policy_submit, "a policy is brought by a person, from a terminal"},
    {KMN_ADMIN_COSIGN, TERMINALS, kmn_admin_cosign, "cosignatures are brought by a person, from a terminal"},
    {KMN_ADMIN_HSM_LOG, TERMINALS, kmn_admin_hsm_log, "the HSM's own log is brought by a person, from a terminal"},
    {KMN_ADMIN_SHARE, TERMINALS, kmn_activation_share, "shares come from a person's terminal, not from a client"},
    {KMN_ADMIN_NOTE_SUBMIT, TERMINALS, kmn_admin_vote, "votes come from a person's terminal, not from a client"},
    {KMN_ADMIN_ATTACH, CLIENTS, kmn_admin_attach, "content is attached by the client that asks for the signature"},
    {KMN_ADMIN_ATTACH_NEXT, CLIENTS, kmn_admin_attach_next,
	"content is attached by the client that asks for the signature"},
    {KMN_ADMIN_BAD_RECEIPT, CLIENTS, kmn_complaint_take, "receipts come to clients, not to terminals"},
    {KMN_ADMIN_REQUEST_NEW, CLIENTS, kmn_admin_request_new,
	"a request is made and withdrawn by the client that will run it"},
    {KMN_ADMIN_WINDOW_NEW, CLIENTS, kmn_admin_window_new,
	"a request is made and withdrawn by the client that will run it"},
    {KMN_ADMIN_REQUEST_WITHDRAW, CLIENTS, kmn_admin_withdraw,
	"a request is made and withdrawn by the client that will run it"},
};

void
kmn_admin_take(struct kmn_keeper *k, struct kmn_conn *conn, const uint8_t *body, size_t len)
{
	struct kmn_reader r;
	uint16_t op;

	conn->admin_calls++;
	if (k->unrecorded) {
		kmn_admin_refuse(k, conn, KMN_E_LEDGER, unwritable);
		return;
	}
	if (kmn_conn_open_record(k, conn, NULL) != KMN_OK)
		return;
	kmn_reader_init(&r, body, len);
	op = kmn_reader_u16(&r);
	for (size_t i = 0; i < KMN_COUNT_OF(questions); i++) {
		if (questions[i].op != op)
			continue;
		if (questions[i].who == (conn->peer->terminal ? CLIENTS : TERMINALS))
			kmn_admin_refuse(k, conn, KMN_E_DENIED, questions[i].refusal);
		else
			questions[i].answer(k, conn, &r);
		return;
	}
	kmn_admin_refuse(k, conn, KMN_E_NOT_FOUND, "this gateway does not know that question");
}
