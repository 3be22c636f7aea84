/* What is said to the gateway in one word, with no call: as often as it takes, which does no harm. */
#include "config.h"

#include "provider/carriage.h"

#include "kanmon/reader.h"
#include "provider/application.h"

struct word {
	enum kmn_frame_type say, hear; /* hear: with the first number of c->w */
	uint64_t about;
};

/* Sends the word and takes its answer. */
static enum kmn_heard
exchange_word(struct kmn_carriage *c, struct kmn_channel *channel, const struct word *word, kmn_err *e_out)
{
	struct kmn_channel_frame frame;
	struct kmn_reader r;

	*e_out = kmn_channel_send(channel, (uint8_t)word->say, c->w.bytes, c->w.len, KMN_CALL_SEND_MS);
	if (*e_out == KMN_OK)
		*e_out = kmn_pool_receive(c->link->pool, channel, UINT32_MAX, kmn_wake_fd(&c->app->quitting), &frame);
	if (*e_out != KMN_OK)
		return KMN_HEARD_NOTHING;
	kmn_reader_init(&r, frame.body, frame.len_bytes);
	if (kmn_reader_u64(&r) == word->about && frame.type == word->hear)
		return KMN_HEARD_ANSWER;
	if (frame.type == KMN_F_REFUSED)
		return kmn_exchange_refused(c, &r, e_out);
	*e_out = KMN_E_MALFORMED;
	return KMN_HEARD_NOTHING;
}

/* What c->w says. *again_out: more than once. */
static kmn_err
say(struct kmn_carriage *c, const struct word *word, bool *again_out)
{
	enum kmn_heard outcome = KMN_HEARD_NOTHING;
	struct kmn_channel *channel;
	kmn_err e = KMN_OK;

	*again_out = false;
	while (outcome == KMN_HEARD_NOTHING && (e = kmn_pool_take(c->link->pool, &channel)) == KMN_OK) {
		outcome = exchange_word(c, channel, word, &e);
		if (outcome != KMN_HEARD_NOTHING) {
			kmn_pool_give(c->link->pool, channel);
			break;
		}
		kmn_pool_drop(c->link->pool, channel);
		if ((e = kmn_carry_after_break(c->app, c->link, &c->breaks, e)) != KMN_OK)
			break;
		*again_out = true;
	}
	kmn_writer_clear(&c->w);
	return e;
}

kmn_err
kmn_alias_on(struct kmn_application *app, struct kmn_link *link, uint64_t old, uint64_t fresh)
{
	const struct word word = {KMN_F_ALIAS, KMN_F_ALIASED, old};
	struct kmn_carriage c = {.app = app, .link = link, .id = KMN_C_OpenSession};
	bool again;
	kmn_err e;

	kmn_writer_init(&c.w, 16);
	kmn_writer_u64(&c.w, old);
	kmn_writer_u64(&c.w, fresh);
	e = say(&c, &word, &again);
	/* the one before was heard, though its answer was not: that is what a second one is refused for */
	return again && (e == KMN_E_EXISTS || e == KMN_E_NOT_FOUND) ? KMN_OK : e;
}

kmn_err
kmn_forget_on(struct kmn_application *app, struct kmn_link *link, uint64_t number)
{
	const struct word word = {KMN_F_FORGET, KMN_F_FORGOTTEN, number};
	struct kmn_carriage c = {.app = app, .link = link, .id = KMN_C_OpenSession};
	bool again;

	kmn_writer_init(&c.w, 8);
	kmn_writer_u64(&c.w, number);
	return say(&c, &word, &again);
}
