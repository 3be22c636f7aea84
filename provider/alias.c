/* A handle of a link before this one. */
#include "config.h"

#include "provider/carriage.h"

#include "kanmon/reader.h"
#include "provider/application.h"

/* Sends ALIAS and takes its answer. */
static enum kmn_heard
exchange_alias(struct kmn_carriage *c, struct kmn_channel *channel, uint64_t old, kmn_err *e_out)
{
	struct kmn_channel_frame frame;
	struct kmn_reader r;

	*e_out = kmn_channel_send(channel, KMN_F_ALIAS, c->w.bytes, c->w.len, KMN_CALL_SEND_MS);
	if (*e_out == KMN_OK)
		*e_out = kmn_pool_receive(c->link->pool, channel, UINT32_MAX, kmn_wake_fd(&c->app->quitting), &frame);
	if (*e_out != KMN_OK)
		return KMN_HEARD_NOTHING;
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	if (kmn_reader_u64(&r) == old && frame.type == KMN_F_ALIASED)
		return KMN_HEARD_ANSWER;
	if (frame.type == KMN_F_REFUSED)
		return kmn_exchange_refused(c, &r, e_out);
	*e_out = KMN_E_MALFORMED;
	return KMN_HEARD_NOTHING;
}

kmn_err
kmn_alias_on(struct kmn_application *app, struct kmn_link *link, uint64_t old, uint64_t fresh)
{
	struct kmn_carriage c = {.app = app, .link = link, .id = KMN_C_OpenSession};
	struct kmn_channel *channel;
	enum kmn_heard outcome = KMN_HEARD_NOTHING;
	bool again = false;
	kmn_err e = KMN_OK;

	kmn_writer_init(&c.w, 16);
	kmn_writer_u64(&c.w, old);
	kmn_writer_u64(&c.w, fresh);
	while (outcome == KMN_HEARD_NOTHING && (e = kmn_pool_take(link->pool, &channel)) == KMN_OK) {
		outcome = exchange_alias(&c, channel, old, &e);
		if (outcome != KMN_HEARD_NOTHING) {
			kmn_pool_give(link->pool, channel);
			break;
		}
		kmn_pool_drop(link->pool, channel);
		if ((e = kmn_carry_after_break(app, link, &c.breaks, e)) != KMN_OK)
			break;
		again = true;
	}
	kmn_writer_clear(&c.w);
	/* the one before was heard, though its answer was not: that is what a second one is refused for */
	return again && (e == KMN_E_EXISTS || e == KMN_E_NOT_FOUND) ? KMN_OK : e;
}
