/* Server-sent events: what the keeper tells, to every page that listens. Who does not take it is closed and asks anew. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "server/console/console.h"

#define QUEUE_MAX_BYTES (64u << 10) /* of one stream */
#define OF_SESSION_MAX 8u
#define BEAT_MS 15000
#define BLOCK_BYTES 8192u

static void
wake(struct kmn_stream *s)
{
	if (s->suspended)
		kmn_mhd.resume_connection(s->connection);
	s->suspended = false;
}

static void
end(struct kmn_stream *s)
{
	s->ended = true;
	s->client->deadline_ms = s->console->now_ms + KMN_CONSOLE_IDLE_MS;
	wake(s);
}

static void
put(struct kmn_stream *s, const char *text, size_t len)
{
	if (s->ended)
		return;
	if (len > QUEUE_MAX_BYTES - s->queued) {
		end(s);
		return;
	}
	if (s->queued + len > s->room) {
		size_t room = s->room == 0 ? 1024 : s->room;
		char *more;

		while (room < s->queued + len)
			room *= 2;
		if ((more = realloc(s->queue, room)) == NULL) {
			end(s);
			return;
		}
		s->queue = more;
		s->room = room;
	}
	memcpy(s->queue + s->queued, text, len);
	s->queued += len;
	wake(s);
}

/* ---- libmicrohttpd's side ------------------------------------------------------------------------------------------ */

static ssize_t
give(void *cookie, uint64_t at, char *out, size_t room)
{
	struct kmn_stream *s = cookie;
	size_t len = s->queued < room ? s->queued : room;

	(void)at;
	if (len == 0 && s->ended)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (len == 0) {
		s->suspended = true;
		kmn_mhd.suspend_connection(s->connection);
		return 0;
	}
	memcpy(out, s->queue, len);
	memmove(s->queue, s->queue + len, s->queued - len);
	s->queued -= len;
	return (ssize_t)len;
}

static void
stream_free(void *cookie)
{
	struct kmn_stream *s = cookie;

	LIST_REMOVE(s, link);
	s->console->stream_count--;
	free(s->queue);
	free(s);
}

/* A page that was opened too often closes its oldest stream; too many of all is not served. */
static bool
make_room(struct kmn_console *c, const uint8_t session[KMN_UI_SESSION_BYTES])
{
	struct kmn_stream *s, *oldest = NULL;
	unsigned mine = 0;

	LIST_FOREACH(s, &c->streams, link)
	if (!s->ended && memcmp(s->session, session, KMN_UI_SESSION_BYTES) == 0) {
		mine++;
		oldest = s; /* the newest stands first */
	}
	if (mine >= OF_SESSION_MAX)
		end(oldest);
	return c->stream_count < c->setup->limits.connections / 2;
}

/* The answer that let it begin was given before the session ended. */
static bool
has_ended(const struct kmn_console *c, const uint8_t session[KMN_UI_SESSION_BYTES])
{
	for (size_t n = 0; n < KMN_CONSOLE_ENDED_KEPT; n++)
		if (memcmp(c->ended[n], session, KMN_UI_SESSION_BYTES) == 0)
			return true;
	return false;
}

enum MHD_Result
kmn_stream_begin(struct kmn_question *q)
{
	static const char hello[] = ": open\n\n";
	struct kmn_console *c = q->console;
	struct MHD_Response *response = NULL;
	enum MHD_Result result = MHD_NO;
	struct kmn_stream *s;

	if (has_ended(c, q->session))
		return kmn_reply_error(q, MHD_HTTP_UNAUTHORIZED, KMN_E_PEER, "the session has ended");
	if (!make_room(c, q->session) || (s = calloc(1, sizeof(*s))) == NULL)
		return kmn_reply_error(q, MHD_HTTP_SERVICE_UNAVAILABLE, KMN_E_TOO_MANY, "too many pages listen");
	s->console = c;
	s->connection = q->connection;
	s->client = q->client;
	memcpy(s->session, q->session, sizeof(s->session));
	LIST_INSERT_HEAD(&c->streams, s, link);
	c->stream_count++;
	put(s, hello, sizeof(hello) - 1);
	response = kmn_mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, give, s, stream_free);
	if (response == NULL) {
		stream_free(s);
		return MHD_NO;
	}
	if (kmn_reply_decorate(response, "text/event-stream", "no-store"))
		result = kmn_mhd.queue_response(q->connection, MHD_HTTP_OK, response);
	kmn_mhd.destroy_response(response);
	q->client->deadline_ms = KMN_CONSOLE_NEVER;
	return result;
}

/* ---- what is told ---------------------------------------------------------------------------------------------------- */

void
kmn_stream_tell(struct kmn_console *c, const char *text, size_t len)
{
	struct kmn_writer w;
	struct kmn_stream *s;

	kmn_writer_init(&w, QUEUE_MAX_BYTES);
	kmn_writer_raw(&w, "data: ", 6);
	for (size_t i = 0; i < len; i++) /* a line end would begin another field */
		kmn_writer_u8(&w, text[i] == '\n' || text[i] == '\r' ? ' ' : (uint8_t)text[i]);
	kmn_writer_raw(&w, "\n\n", 2);
	if (w.err == KMN_OK)
		LIST_FOREACH(s, &c->streams, link)
	put(s, (const char *)w.bytes, w.len);
	kmn_writer_clear(&w);
}

void
kmn_stream_end(struct kmn_console *c, const uint8_t *session)
{
	static const char bye[] = "event: ended\ndata: {}\n\n";
	struct kmn_stream *s;

	if (session != NULL)
		memcpy(c->ended[c->next_ended++ % KMN_CONSOLE_ENDED_KEPT], session, KMN_UI_SESSION_BYTES);
	LIST_FOREACH(s, &c->streams, link)
	if (!s->ended && (session == NULL || memcmp(s->session, session, KMN_UI_SESSION_BYTES) == 0)) {
		put(s, bye, sizeof(bye) - 1);
		end(s);
	}
}

void
kmn_stream_tick(struct kmn_console *c)
{
	static const char beat[] = ":\n\n";
	struct kmn_stream *s;

	if (c->now_ms - c->beat_ms < BEAT_MS)
		return;
	c->beat_ms = c->now_ms;
	LIST_FOREACH(s, &c->streams, link)
	put(s, beat, sizeof(beat) - 1);
}
