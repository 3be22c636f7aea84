/*
 * Who is told what happened: programs by the supervisor, URLs by the courier. Only records that are durable are told,
 * no call waits for it, and no answer is believed: a hook that fails is a line in the log.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/say.h"

#define QUEUE_MAX 256
#define ASKED_MAX 32 /* of the courier, at once */
#define ANSWER_MAX_BYTES 4096
#define TIMEOUT_MS 10000

struct event {
	TAILQ_ENTRY(event) link;
	uint64_t record; /* told when it is durable */
	char subject[96];
	char *words; /* JSON and LF; owned */
};

struct kmn_hooking {
	TAILQ_HEAD(, event) queue;
	unsigned queued, asked;
	bool dropping; /* said that the queue is full */
};

kmn_err
kmn_hooks_start(struct kmn_keeper *k)
{
	if (k->setup->hook_count == 0)
		return KMN_OK;
	if ((k->hooking = calloc(1, sizeof(*k->hooking))) == NULL)
		return KMN_E_NO_MEMORY;
	TAILQ_INIT(&k->hooking->queue);
	return KMN_OK;
}

static void
event_free(struct kmn_hooking *h, struct event *event)
{
	TAILQ_REMOVE(&h->queue, event, link);
	h->queued--;
	free(event->words);
	free(event);
}

void
kmn_hooks_clear(struct kmn_keeper *k)
{
	while (k->hooking != NULL && !TAILQ_EMPTY(&k->hooking->queue))
		event_free(k->hooking, TAILQ_FIRST(&k->hooking->queue));
	free(k->hooking);
	k->hooking = NULL;
}

/* ---- what is told ------------------------------------------------------------------------------------------------- */

static void
put_text(json_t *event, const char *name, const json_t *from, const char *member)
{
	const char *text;

	if (kmn_json_get_text(from, member, &text))
		(void)json_object_set_new(event, name, json_string(text));
}

/* What a person must know to look for it; the statement itself is read with the kanmon tool, which checks it. */
static json_t *
about_request(const struct kmn_keeper *k, const struct kmn_record *record, const char *name)
{
	const struct kmn_request *r;
	struct kmn_ref ref;
	json_t *event;

	if (!kmn_ref_get(record->body, "request", &ref) || (r = kmn_quorum_request(k->quorum, ref.i)) == NULL ||
	    !r->held)
		return NULL;
	event = json_pack("{s:s, s:I, s:s, s:I}", "event", name, "request", (json_int_t)r->i, "rule", r->verdict.rule,
	    "expires", (json_int_t)r->not_after);
	put_text(event, "client", json_object_get(r->intent, "requester"), "name");
	put_text(event, "function", r->intent, "op");
	put_text(event, "key", json_object_get(r->intent, "key"), "label");
	put_text(event, "purpose", r->intent, "purpose");
	put_text(event, "verdict", record->body, "verdict");
	return event;
}

static json_t *
make_event(const struct kmn_keeper *k, const struct kmn_record *record)
{
	json_t *event = NULL;
	uint64_t version;

	switch (record->kind) {
	case KMN_R_STATEMENT:
		return about_request(k, record, "request");
	case KMN_R_DECISION:
		return about_request(k, record, "decision");
	case KMN_R_ANOMALY:
		event = json_pack("{s:s}", "event", "anomaly");
		put_text(event, "what", record->body, "what");
		put_text(event, "token", record->body, "token");
		return event;
	case KMN_R_POLICY:
		if (kmn_json_get_number(record->body, "version", &version))
			event = json_pack("{s:s, s:I}", "event", "policy", "version", (json_int_t)version);
		return event;
	default:
		return NULL;
	}
}

void
kmn_hooks_note(struct kmn_keeper *k, const struct kmn_record *record)
{
	struct kmn_hooking *h = k->hooking;
	struct event *event;
	json_t *body;
	char *words;

	if (h == NULL || !k->begun || (body = make_event(k, record)) == NULL)
		return;
	(void)json_object_set_new(body, "origin", json_string(k->setup->origin));
	(void)json_object_set_new(body, "record", json_integer((json_int_t)record->i));
	(void)json_object_set_new(body, "t", json_integer((json_int_t)record->t));
	words = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENSURE_ASCII);
	event = h->queued < QUEUE_MAX && words != NULL && strlen(words) < KMN_HOOK_BODY_MAX_BYTES
		    ? calloc(1, sizeof(*event))
		    : NULL;
	if (event == NULL) {
		if (!h->dropping)
			kmn_say(KMN_SAY_WARNING, "hooks are not told all that happens: too much at once");
		h->dropping = true;
		free(words);
	} else {
		(void)snprintf(event->subject, sizeof(event->subject), "kanmon: %s, record %llu",
		    json_string_value(json_object_get(body, "event")), (unsigned long long)record->i);
		event->record = record->i;
		event->words = words;
		TAILQ_INSERT_TAIL(&h->queue, event, link);
		h->queued++;
	}
	json_decref(body);
}

/* ---- telling ------------------------------------------------------------------------------------------------------ */

static void
answered(struct kmn_keeper *k, void *cookie, const struct kmn_courier_answer *answer)
{
	const struct kmn_hook *hook = cookie;

	if (k->hooking != NULL && k->hooking->asked > 0)
		k->hooking->asked--;
	if (answer->err != KMN_OK)
		kmn_say(KMN_SAY_WARNING, "hook \"%s\": %s", hook->name, kmn_err_text(answer->err));
	else if (answer->status < 200 || answer->status > 299)
		kmn_say(KMN_SAY_WARNING, "hook \"%s\": HTTP status %u", hook->name, answer->status);
}

static void
tell_url(struct kmn_keeper *k, const struct kmn_hook *hook, const struct event *event)
{
	kmn_err e = KMN_E_BUSY;

	if (k->hooking->asked < ASKED_MAX)
		e = kmn_courier_post(k, hook->url, "application/json", event->words, strlen(event->words),
		    ANSWER_MAX_BYTES, TIMEOUT_MS, answered, (void *)(uintptr_t)hook);
	if (e == KMN_OK)
		k->hooking->asked++;
	else
		kmn_say(KMN_SAY_WARNING, "hook \"%s\" is not told: %s", hook->name, kmn_err_text(e));
}

static void
tell_program(struct kmn_keeper *k, unsigned n, const struct event *event)
{
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, KMN_HOOK_BODY_MAX_BYTES + 1024);
	kmn_writer_u32(&w, n);
	kmn_writer_text(&w, event->subject);
	kmn_writer_text(&w, event->words);
	e = kmn_ipc_queue_writer(k->supervisor, KMN_S_HOOK, &w);
	kmn_writer_clear(&w);
	if (e != KMN_OK)
		kmn_say(KMN_SAY_WARNING, "hook \"%s\" is not told: %s", k->setup->hooks[n].name, kmn_err_text(e));
}

void
kmn_hooks_durable(struct kmn_keeper *k, size_t size)
{
	struct event *event;

	while (k->hooking != NULL && (event = TAILQ_FIRST(&k->hooking->queue)) != NULL && event->record < size) {
		for (unsigned n = 0; n < k->setup->hook_count; n++) {
			if (k->setup->hooks[n].url != NULL)
				tell_url(k, &k->setup->hooks[n], event);
			else
				tell_program(k, n, event);
		}
		event_free(k->hooking, event);
		k->hooking->dropping = false;
	}
}
