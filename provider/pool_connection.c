/* One connection of the pool: made, heard, closed. */
#include "config.h"

#include "provider/pool_parts.h"

#include "kanmon/reader.h"
#include "provider/debug.h"

static void
enlist(struct kmn_pool *pool, struct kmn_channel *channel, struct kmn_trail *trail)
{
	for (size_t i = 0; i < KMN_POOL_SLOTS; i++) {
		struct kmn_channel *none = NULL;

		if (atomic_compare_exchange_strong(&pool->open[i], &none, channel)) {
			pool->trail[i] = trail;
			return;
		}
	}
}

struct kmn_trail *
kmn_pool_trail(struct kmn_pool *pool, const struct kmn_channel *channel)
{
	for (size_t i = 0; i < KMN_POOL_SLOTS; i++)
		if (atomic_load(&pool->open[i]) == channel)
			return pool->trail[i];
	return NULL;
}

void
kmn_pool_discard(struct kmn_pool *pool, struct kmn_channel *channel)
{
	struct kmn_trail *trail = NULL;

	for (size_t i = 0; i < KMN_POOL_SLOTS; i++) {
		if (atomic_load(&pool->open[i]) != channel)
			continue;
		trail = pool->trail[i];
		pool->trail[i] = NULL; /* before the slot is another's */
		atomic_store(&pool->open[i], NULL);
		break;
	}
	kmn_trail_unref(trail);
	kmn_channel_close(channel);
}

kmn_err
kmn_pool_connect(struct kmn_pool *pool, uint32_t timeout_ms, int interrupt_fd, struct kmn_channel **channel_out)
{
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	struct kmn_trail *trail = kmn_trail_new();
	kmn_err e = KMN_E_NO_MEMORY;

	*channel_out = NULL;
	if (trail != NULL)
		e = kmn_channel_open(pool->identity, timeout_ms, interrupt_fd, why, channel_out);
	if (e == KMN_OK)
		enlist(pool, *channel_out, trail);
	else
		kmn_trail_unref(trail);
	if (e != KMN_OK && e != KMN_E_CANCELED)
		kmn_debug(KMN_TOPIC_CHANNEL, "%s: %s", kmn_err_text(e), why);
	return e;
}

/* Counts a NOTICE. */
static void
note(struct kmn_pool *pool, const struct kmn_channel_frame *frame)
{
	struct kmn_reader r;
	uint64_t slot;
	uint8_t kind;

	kmn_reader_init(&r, frame->body, frame->len_bytes);
	kind = kmn_reader_u8(&r);
	slot = kmn_reader_u64(&r);
	kmn_debug(KMN_TOPIC_CHANNEL, "notice %u of slot %lld", kind, (long long)slot);
	if (kind < KMN_COUNT_OF(pool->notices)) /* a kind that a later gateway knows */
		atomic_fetch_add(&pool->notices[kind], 1);
}

kmn_err
kmn_pool_hear(struct kmn_pool *pool, struct kmn_channel *channel, uint32_t timeout_ms, int interrupt_fd,
    struct kmn_channel_frame *frame_out)
{
	kmn_err e = kmn_channel_receive(channel, timeout_ms, interrupt_fd, frame_out);

	if (e == KMN_OK)
		atomic_store(&pool->heard_ms, kmn_now_ms());
	if (e == KMN_OK && frame_out->type == KMN_F_NOTICE)
		note(pool, frame_out);
	return e;
}

kmn_err
kmn_pool_receive(struct kmn_pool *pool, struct kmn_channel *channel, uint32_t timeout_ms, int interrupt_fd,
    struct kmn_channel_frame *frame_out)
{
	uint64_t until_ms = kmn_now_ms() + timeout_ms, now;
	kmn_err e;

	do {
		now = kmn_now_ms();
		if (timeout_ms != UINT32_MAX)
			timeout_ms = now < until_ms ? (uint32_t)(until_ms - now) : 0;
		e = kmn_pool_hear(pool, channel, timeout_ms, interrupt_fd, frame_out);
	} while (e == KMN_OK && frame_out->type == KMN_F_NOTICE);
	return e;
}

unsigned
kmn_pool_notices(struct kmn_pool *pool, enum kmn_notice kind)
{
	return atomic_load(&pool->notices[kind]);
}

bool
kmn_pool_is_usable(struct kmn_pool *pool, struct kmn_channel *channel)
{
	struct kmn_channel_frame frame;

	return kmn_channel_alive(channel) || kmn_pool_receive(pool, channel, 0, -1, &frame) == KMN_E_TIMEOUT;
}

/* What a REFUSED frame says, told to those who debug. */
static kmn_err
refusal(const struct kmn_channel_frame *frame)
{
	struct kmn_reader r;
	char reason[KMN_FRAME_TEXT_MAX_BYTES + 1];
	uint32_t code;

	kmn_reader_init(&r, frame->body, frame->len_bytes);
	(void)kmn_reader_u64(&r);
	code = kmn_reader_u32(&r);
	(void)kmn_reader_u64(&r);
	kmn_reader_text(&r, reason, sizeof(reason));
	if (kmn_reader_end(&r) != KMN_OK || code == KMN_OK || code >= KMN_ERR_COUNT)
		return KMN_E_MALFORMED;
	kmn_debug(KMN_TOPIC_CHANNEL, "the gateway refuses: %s", reason);
	return (kmn_err)code;
}

kmn_err
kmn_pool_introduce(struct kmn_pool *pool, struct kmn_channel *channel, uint8_t type, const struct kmn_writer *w,
    int interrupt_fd, uint8_t want, uint32_t timeout_ms, struct kmn_channel_frame *frame_out)
{
	kmn_err e = w->err;

	if (e == KMN_OK)
		e = kmn_channel_send(channel, type, w->bytes, w->len, timeout_ms);
	if (e == KMN_OK)
		e = kmn_pool_receive(pool, channel, timeout_ms, interrupt_fd, frame_out);
	if (e == KMN_OK && frame_out->type == KMN_F_REFUSED)
		return refusal(frame_out);
	if (e == KMN_OK && frame_out->type != want)
		e = KMN_E_MALFORMED;
	if (e != KMN_OK && e != KMN_E_CANCELED)
		kmn_debug(KMN_TOPIC_CHANNEL, "%s: %s: %s", kmn_channel_peer(channel), kmn_err_text(e),
		    kmn_channel_why(channel));
	return e;
}
