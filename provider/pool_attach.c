/* ATTACH and JOIN: a connection says whose it is, and what this process knows of the ledger. */
#include "config.h"

#include "provider/pool_parts.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "kanmon/reader.h"
#include "provider/debug.h"

/* ---- the ledger's head ------------------------------------------------------------------------------------------- */

/* What this process knows of the ledger: the head that it names, and for ATTACH its own signature over that. */
static void
put_head(struct kmn_pool *pool, const struct kmn_channel *channel, struct kmn_writer *w, bool attaches)
{
	char line[KMN_FRAME_TEXT_MAX_BYTES], vkey[KMN_VKEY_MAX_BYTES];
	struct kmn_seen named;

	kmn_receipts_name(pool->receipts, kmn_pool_trail(pool, channel), &named);
	if (attaches)
		kmn_writer_u8(w, kmn_receipts_mode(pool->receipts));
	kmn_writer_bytes(w, named.note, named.note_len);
	if (!attaches)
		return;
	kmn_receipts_cosignature(pool->receipts, &named, line, sizeof(line), vkey);
	kmn_writer_text(w, line);
	kmn_writer_text(w, vkey);
}

/* The end of ATTACHED and JOINED: the connection's number in the ledger, and the head it begins with. */
static kmn_err
take_head(struct kmn_pool *pool, const struct kmn_channel *channel, struct kmn_reader *r)
{
	uint64_t number = kmn_reader_u64(r);
	const uint8_t *receipt;
	size_t len = kmn_reader_bytes(r, KMN_RECEIPT_MAX_BYTES, &receipt);
	kmn_err e = kmn_reader_end(r);

	if (e == KMN_OK)
		e = kmn_receipts_greet(pool->receipts, kmn_pool_trail(pool, channel), number, receipt, len);
	return e;
}

/* ---- attach ------------------------------------------------------------------------------------------------------ */

static void
put_attach(struct kmn_writer *w, const uint8_t client_random[32], uint64_t first_handle)
{
	static const uint16_t one = 1;
	char host[256] = "";
	uint8_t little_endian;

	memcpy(&little_endian, &one, 1);
	if (gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	kmn_writer_u16(w, KMN_FRAME_VERSION);
	kmn_writer_u8(w, sizeof(CK_ULONG));
	kmn_writer_u8(w, little_endian);
	kmn_writer_u8(w, sizeof(CK_MECHANISM) != 3 * sizeof(CK_ULONG) ? 1 : 0);
	kmn_writer_text(w, PACKAGE_STRING);
	kmn_writer_text(w, host);
	kmn_writer_raw(w, client_random, 32);
	kmn_writer_u64(w, first_handle);
}

static kmn_err
take_attached(struct kmn_pool *pool, struct kmn_channel *channel, const struct kmn_channel_frame *frame,
    const uint8_t client_random[32])
{
	struct kmn_reader r;
	uint8_t gateway_random[32];
	char origin[KMN_FRAME_TEXT_MAX_BYTES + 1];
	uint16_t version;

	kmn_reader_init(&r, frame->body, frame->len_bytes);
	version = kmn_reader_u16(&r);
	kmn_reader_raw(&r, pool->instance, sizeof(pool->instance));
	kmn_reader_raw(&r, gateway_random, sizeof(gateway_random));
	pool->lease_ms = kmn_reader_u32(&r);
	kmn_reader_text(&r, origin, sizeof(origin));
	if (r.err != KMN_OK)
		return r.err;
	if (version != KMN_FRAME_VERSION || strcmp(origin, pool->settings->origin) != 0) {
		kmn_debug(KMN_TOPIC_CONFIG, "the gateway's origin is %s, the configuration says %s", origin,
		    pool->settings->origin);
		return KMN_E_PEER;
	}
	kmn_instance_secret(gateway_random, client_random, kmn_channel_exporter(channel), pool->secret);
	return take_head(pool, channel, &r);
}

static kmn_err
attach_once(struct kmn_pool *pool, uint64_t first_handle, uint32_t connect_ms, uint32_t answer_ms)
{
	int interrupt_fd = kmn_wake_fd(pool->ending);
	uint8_t client_random[32];
	struct kmn_channel_frame frame;
	struct kmn_channel *channel = NULL;
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	if (getrandom(client_random, sizeof(client_random), 0) != (ssize_t)sizeof(client_random)) {
		e = KMN_E_INTERNAL;
		goto done;
	}
	if ((e = kmn_pool_connect(pool, connect_ms, interrupt_fd, &channel)) != KMN_OK)
		goto done;
	put_attach(&w, client_random, first_handle);
	put_head(pool, channel, &w, true);
	if ((e = kmn_pool_introduce(
		 pool, channel, KMN_F_ATTACH, &w, interrupt_fd, KMN_F_ATTACHED, answer_ms, &frame)) != KMN_OK ||
	    (e = take_attached(pool, channel, &frame, client_random)) != KMN_OK)
		goto done;
	(void)sodium_bin2base64(
	    pool->name, sizeof(pool->name), pool->instance, sizeof(pool->instance), sodium_base64_VARIANT_ORIGINAL);
	kmn_debug(KMN_TOPIC_CHANNEL, "attached at %s, instance %s", kmn_channel_peer(channel), pool->name);
	pool->idle[pool->idle_count++] = channel;
	channel = NULL;
done:
	if (channel != NULL)
		kmn_pool_discard(pool, channel);
	kmn_writer_clear(&w);
	return e;
}

/* A failure that another attempt may not meet. */
static bool
is_passing(kmn_err e)
{
	return e == KMN_E_UNREACHABLE || e == KMN_E_CLOSED || e == KMN_E_TIMEOUT || e == KMN_E_IO || e == KMN_E_BUSY;
}

kmn_err
kmn_pool_attach(struct kmn_pool *pool, uint64_t first_handle)
{
	uint64_t start = kmn_now_ms(), wait_ms = (uint64_t)pool->settings->init_wait_s * 1000u, gone = 0;
	uint32_t pause_ms = KMN_POOL_PAUSE_LEAST_MS;
	kmn_err e;

	for (;;) {
		uint64_t left = wait_ms - gone;

		/* a short init-wait is for a gateway that is not there; one that is may need to start its worker */
		e = attach_once(pool, first_handle,
		    left < KMN_POOL_AFTER_LEASE_MS ? KMN_POOL_AFTER_LEASE_MS : kmn_least_u32(left, KMN_POOL_CONNECT_MS),
		    left < KMN_POOL_ANSWER_MS ? KMN_POOL_ANSWER_MS : (uint32_t)left);
		gone = kmn_now_ms() - start;
		if (!is_passing(e) || gone + pause_ms > wait_ms)
			return e;
		kmn_wake_pause(pool->ending, pause_ms);
		gone = kmn_now_ms() - start;
		if (gone > wait_ms)
			return e;
		pause_ms = kmn_least_u32(pause_ms * 2u, KMN_POOL_PAUSE_MOST_MS);
	}
}

/* ---- join -------------------------------------------------------------------------------------------------------- */

kmn_err
kmn_pool_join_once(struct kmn_pool *pool, uint32_t timeout_ms, int interrupt_fd, struct kmn_channel **channel_out)
{
	uint8_t proof[KMN_HASH_BYTES];
	struct kmn_channel_frame frame;
	struct kmn_channel *channel;
	struct kmn_writer w;
	struct kmn_reader r;
	kmn_err e;

	*channel_out = NULL;
	if ((e = kmn_pool_connect(pool, timeout_ms, interrupt_fd, &channel)) != KMN_OK)
		return e;
	kmn_join_proof(pool->secret, kmn_channel_exporter(channel), proof);
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_raw(&w, pool->instance, sizeof(pool->instance));
	kmn_writer_raw(&w, proof, sizeof(proof));
	put_head(pool, channel, &w, false);
	e = kmn_pool_introduce(pool, channel, KMN_F_JOIN, &w, interrupt_fd, KMN_F_JOINED, KMN_POOL_ANSWER_MS, &frame);
	kmn_writer_clear(&w);
	if (e == KMN_OK) {
		kmn_reader_init(&r, frame.body, frame.len_bytes);
		(void)kmn_reader_u64(&r); /* the highest number seen */
		e = take_head(pool, channel, &r);
	}
	if (e != KMN_OK) {
		kmn_pool_discard(pool, channel);
		return e;
	}
	kmn_debug(KMN_TOPIC_CHANNEL, "joined at %s", kmn_channel_peer(channel));
	*channel_out = channel;
	return KMN_OK;
}
