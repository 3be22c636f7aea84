/* The console's end of the link to the keeper: which answer belongs to which request. */
#include "config.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/reader.h"
#include "kanmon/say.h"
#include "server/console/console.h"

static struct kmn_ask *
ask_new(struct kmn_console *c)
{
	for (size_t i = 0; i < c->ask_count; i++)
		if (!c->asks[i].used) {
			c->asks[i] = (struct kmn_ask){.tag = ++c->last_tag, .used = true};
			return &c->asks[i];
		}
	return NULL;
}

static struct kmn_ask *
ask_by_tag(struct kmn_console *c, uint32_t tag)
{
	for (size_t i = 0; i < c->ask_count; i++)
		if (c->asks[i].used && c->asks[i].tag == tag)
			return &c->asks[i];
	return NULL;
}

kmn_err
kmn_link_ask(struct kmn_console *c, enum kmn_ui_op op, struct kmn_question *q, const struct kmn_writer *fields)
{
	static const uint8_t nobody[KMN_UI_SESSION_BYTES];
	struct kmn_ask *ask = fields->err == KMN_OK ? ask_new(c) : NULL;
	struct kmn_writer w;
	kmn_err e;

	if (ask == NULL)
		return fields->err != KMN_OK ? fields->err : KMN_E_BUSY;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, ask->tag);
	kmn_writer_u8(&w, (uint8_t)op);
	kmn_writer_raw(&w, q != NULL ? q->session : nobody, KMN_UI_SESSION_BYTES);
	kmn_writer_raw(&w, q != NULL ? q->csrf : nobody, KMN_UI_CSRF_BYTES);
	kmn_writer_raw(&w, fields->bytes, fields->len);
	e = kmn_ipc_queue_writer(c->keeper, KMN_CONSOLE_ASK, &w);
	kmn_writer_clear(&w);
	if (e != KMN_OK) {
		ask->used = false;
		return KMN_E_BUSY;
	}
	if (q != NULL) {
		ask->question = q;
		ask->due_ms = c->now_ms + c->setup->limits.patience_ms;
		q->ask = ask;
		q->client->deadline_ms = KMN_CONSOLE_NEVER; /* it waits for us */
		kmn_mhd.suspend_connection(q->connection);
	}
	return KMN_OK;
}

/* The request goes on with what there is in it. */
static void
go_on(struct kmn_question *q, kmn_err e)
{
	q->ask->question = NULL;
	q->ask = NULL;
	q->e = e;
	q->answered = true;
	q->client->deadline_ms = q->console->now_ms + q->console->setup->limits.patience_ms;
	kmn_mhd.resume_connection(q->connection);
}

static kmn_err
take_answer(struct kmn_console *c, struct kmn_reader *r)
{
	uint32_t tag = kmn_reader_u32(r), code = kmn_reader_u32(r);
	uint8_t session[KMN_UI_SESSION_BYTES];
	struct kmn_question *q;
	struct kmn_ask *ask;
	const uint8_t *text;
	size_t len;
	kmn_err e;

	kmn_reader_raw(r, session, sizeof(session));
	len = kmn_reader_bytes(r, KMN_UI_ANSWER_MAX_BYTES, &text);
	if ((e = kmn_reader_end(r)) != KMN_OK)
		return e;
	if (code >= KMN_ERR_COUNT || (ask = ask_by_tag(c, tag)) == NULL)
		return KMN_E_MALFORMED;
	if ((q = ask->question) != NULL) {
		memcpy(q->new_session, session, sizeof(session));
		if ((q->text = malloc(len + 1)) != NULL) {
			memcpy(q->text, text, len);
			q->text[len] = '\0';
			q->text_len = len;
		}
		go_on(q, q->text != NULL ? (kmn_err)code : KMN_E_NO_MEMORY);
	}
	ask->used = false;
	sodium_memzero(session, sizeof(session));
	return KMN_OK;
}

static kmn_err
take(struct kmn_console *c, const struct kmn_ipc_message *m)
{
	uint8_t session[KMN_UI_SESSION_BYTES];
	struct kmn_reader r;
	const uint8_t *text;
	size_t len;
	kmn_err e;

	kmn_reader_init(&r, m->body, m->len_bytes);
	switch (m->kind) {
	case KMN_CONSOLE_ANSWER:
		return take_answer(c, &r);
	case KMN_CONSOLE_EVENT:
		len = kmn_reader_bytes(&r, KMN_UI_ANSWER_MAX_BYTES, &text);
		if ((e = kmn_reader_end(&r)) == KMN_OK)
			kmn_stream_tell(c, (const char *)text, len);
		return e;
	case KMN_CONSOLE_ENDED:
		kmn_reader_raw(&r, session, sizeof(session));
		if ((e = kmn_reader_end(&r)) == KMN_OK)
			kmn_stream_end(c, session);
		return e;
	default:
		return KMN_E_MALFORMED;
	}
}

kmn_err
kmn_link_hear(struct kmn_console *c)
{
	struct kmn_ipc_message m;
	kmn_err e = kmn_ipc_flush(c->keeper);

	while (e == KMN_OK && (e = kmn_ipc_poll(c->keeper, &m)) == KMN_OK)
		e = take(c, &m);
	return e == KMN_E_AGAIN ? KMN_OK : e;
}

void
kmn_link_tick(struct kmn_console *c)
{
	for (size_t i = 0; i < c->ask_count; i++)
		if (c->asks[i].used && c->asks[i].question != NULL && c->now_ms >= c->asks[i].due_ms)
			go_on(c->asks[i].question, KMN_E_TIMEOUT);
}

void
kmn_link_forget(struct kmn_question *q)
{
	if (q->ask != NULL)
		q->ask->question = NULL;
	q->ask = NULL;
}

void
kmn_link_end(struct kmn_console *c)
{
	for (size_t i = 0; i < c->ask_count; i++)
		if (c->asks[i].used && c->asks[i].question != NULL)
			go_on(c->asks[i].question, KMN_E_CLOSED);
}
