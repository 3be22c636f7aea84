/*
 * The keeper's end of the courier: questions by tag, answers by tag. Nothing
 * of the gateway waits for any of it but the one who asked.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdlib.h>
#include <string.h>

#define GRACE_MS 5000 /* that the courier itself may take beyond a question's time */

struct kmn_errand {
	TAILQ_ENTRY(kmn_errand) link;
	uint64_t tag;
	int64_t due_ms; /* boot time; a courier that has not answered by then is killed */
	kmn_courier_done *done;
	void *cookie;
};

static void
give(struct kmn_keeper *k, struct kmn_errand *errand, const struct kmn_courier_answer *answer)
{
	TAILQ_REMOVE(&k->errands, errand, link);
	if (errand->done != NULL)
		errand->done(k, errand->cookie, answer);
	free(errand);
}

static void
give_all(struct kmn_keeper *k, kmn_err e)
{
	const struct kmn_courier_answer none = {.err = e, .type = ""};
	uint64_t last = k->next_errand;
	struct kmn_errand *errand;

	/* Who is told may ask again at once: those questions are not among these. */
	while ((errand = TAILQ_FIRST(&k->errands)) != NULL && errand->tag <= last)
		give(k, errand, &none);
}

kmn_err
kmn_courier_post(struct kmn_keeper *k, const char *url, const char *type, const void *body, size_t len,
    uint32_t limit_bytes, uint32_t timeout_ms, kmn_courier_done *done, void *cookie)
{
	struct kmn_errand *errand;
	struct kmn_writer w;
	kmn_err e;

	if (k->courier == NULL)
		return KMN_E_UNREACHABLE;
	if (len > KMN_COURIER_BODY_MAX_BYTES || limit_bytes > KMN_COURIER_BODY_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if ((errand = calloc(1, sizeof(*errand))) == NULL)
		return KMN_E_NO_MEMORY;
	errand->tag = ++k->next_errand;
	errand->due_ms = kmn_keeper_boot_ms() + timeout_ms + GRACE_MS;
	errand->done = done;
	errand->cookie = cookie;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u64(&w, errand->tag);
	kmn_writer_u32(&w, limit_bytes);
	kmn_writer_u32(&w, timeout_ms);
	kmn_writer_text(&w, url);
	kmn_writer_text(&w, type);
	kmn_writer_bytes(&w, body, len);
	e = kmn_ipc_queue_writer(k->courier, KMN_COURIER_ASK, &w);
	kmn_writer_clear(&w);
	if (e != KMN_OK) {
		free(errand);
		return e;
	}
	TAILQ_INSERT_TAIL(&k->errands, errand, link);
	return KMN_OK;
}

void
kmn_courier_forget(struct kmn_keeper *k, const void *cookie)
{
	struct kmn_errand *errand;

	TAILQ_FOREACH(errand, &k->errands, link)
	if (errand->cookie == cookie)
		errand->done = NULL;
}

void
kmn_courierlink_take(struct kmn_keeper *k, struct kmn_ipc *courier, const char *why)
{
	kmn_courierlink_lost(k);
	k->courier = courier;
	if (kmn_keeper_watch(k, kmn_ipc_fd(courier), &k->courier) != KMN_OK)
		kmn_keeper_fail(k, "the courier's socket cannot be watched");
	kmn_say(KMN_SAY_INFO, "a courier (%s)", why);
}

void
kmn_courierlink_lost(struct kmn_keeper *k)
{
	kmn_ipc_free(k->courier);
	k->courier = NULL;
	give_all(k, KMN_E_UNREACHABLE);
}

static kmn_err
take_answer(struct kmn_keeper *k, const struct kmn_ipc_message *m)
{
	struct kmn_courier_answer answer = {.err = KMN_OK};
	char type[KMN_COURIER_TYPE_MAX_BYTES + 1];
	struct kmn_errand *errand;
	struct kmn_reader r;
	uint64_t tag;
	kmn_err e;

	kmn_reader_init(&r, m->body, m->len_bytes);
	tag = kmn_reader_u64(&r);
	answer.err = (kmn_err)kmn_reader_u16(&r);
	answer.status = kmn_reader_u16(&r);
	kmn_reader_text(&r, type, sizeof(type));
	answer.type = type;
	answer.len = kmn_reader_bytes(&r, KMN_COURIER_BODY_MAX_BYTES, &answer.body);
	if ((e = kmn_reader_end(&r)) != KMN_OK)
		return e;
	TAILQ_FOREACH(errand, &k->errands, link)
	if (errand->tag == tag)
		break;
	if (m->kind != KMN_COURIER_ANSWER || answer.err >= KMN_ERR_COUNT || errand == NULL)
		return KMN_E_MALFORMED;
	give(k, errand, &answer);
	return KMN_OK;
}

void
kmn_courierlink_readable(struct kmn_keeper *k)
{
	struct kmn_ipc *courier = k->courier;
	struct kmn_ipc_message m;
	kmn_err e = KMN_E_AGAIN;

	while (k->courier == courier && courier != NULL && (e = kmn_ipc_poll(courier, &m)) == KMN_OK)
		if ((e = take_answer(k, &m)) != KMN_OK)
			break;
	if (k->courier != courier || e == KMN_E_AGAIN || courier == NULL)
		return;
	if (e != KMN_E_CLOSED) {
		kmn_say(KMN_SAY_ERROR, "the courier says what nobody asked: %s", kmn_err_text(e));
		if (kmn_ipc_queue(k->supervisor, KMN_S_KILL_COURIER, NULL, 0) != KMN_OK)
			kmn_keeper_fail(k, "the supervisor does not listen");
	}
	kmn_courierlink_lost(k);
}

void
kmn_courierlink_tick(struct kmn_keeper *k)
{
	struct kmn_errand *errand;
	int64_t now = kmn_keeper_boot_ms();

	TAILQ_FOREACH(errand, &k->errands, link)
	if (errand->due_ms < now)
		break;
	if (errand == NULL)
		return;
	kmn_say(KMN_SAY_ERROR, "the courier does not answer and is killed");
	if (kmn_ipc_queue(k->supervisor, KMN_S_KILL_COURIER, NULL, 0) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor does not listen");
	kmn_courierlink_lost(k);
}

void
kmn_courierlink_clear(struct kmn_keeper *k)
{
	struct kmn_errand *errand;

	kmn_ipc_free(k->courier);
	k->courier = NULL;
	while ((errand = TAILQ_FIRST(&k->errands)) != NULL) {
		TAILQ_REMOVE(&k->errands, errand, link);
		free(errand);
	}
}
