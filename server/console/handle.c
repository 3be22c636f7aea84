/*
 * One request, from its first line to its answer. libmicrohttpd calls kmn_handle() again and again for it:
 *
 *	first, with the headers      begin(): refused at once, or looked at further
 *	with each part of a body     take_part()
 *	with an empty part           a page is sent; a question goes to the keeper, and the connection is suspended
 *	once more, when it goes on   send_answer(): what the keeper said is in the question
 *
 * and kmn_handle_completed() when it is over, however that came, also in the midst of any of these.
 */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/console/console.h"

#define FIELDS_MAX_BYTES (3u << 20)
#define BODY_FIRST_BYTES 1024u

/* ---- the answer ------------------------------------------------------------------------------------------------------ */

/* The session's cookie, or the end of it. */
static void
make_cookie(const struct kmn_question *q, char *out, size_t room)
{
	char value[KMN_API_KEY_TEXT_BYTES + 1] = "";

	if (q->row->form == KMN_API_BEGIN)
		(void)sodium_bin2base64(value, sizeof(value), q->new_session, sizeof(q->new_session),
		    sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	(void)snprintf(out, room, KMN_CONSOLE_COOKIE "=%s; Path=/; Secure; HttpOnly; SameSite=Strict%s", value,
	    value[0] == '\0' ? "; Max-Age=0" : "");
	sodium_memzero(value, sizeof(value));
}

static enum MHD_Result
send_bundle(struct kmn_question *q)
{
	json_t *answer = json_loadb(q->text, q->text_len, 0, NULL);
	const char *bundle = json_string_value(json_object_get(answer, "bundle"));
	char name[80];
	struct kmn_reply reply = {.status = MHD_HTTP_OK,
	    .type = "text/plain; charset=utf-8",
	    .cache = "no-store",
	    .bytes = bundle,
	    .len = json_string_length(json_object_get(answer, "bundle")),
	    .more = {{"Content-Disposition", name}}};
	enum MHD_Result result;

	(void)snprintf(
	    name, sizeof(name), "attachment; filename=\"operation-%llu.bundle\"", (unsigned long long)q->input.number);
	result = bundle != NULL ? kmn_reply_send(q, &reply)
				: kmn_reply_error(q, MHD_HTTP_SERVICE_UNAVAILABLE, KMN_E_MALFORMED,
				      "the keeper's answer is no bundle");
	json_decref(answer);
	return result;
}

static enum MHD_Result
send_answer(struct kmn_question *q)
{
	char cookie[160];
	struct kmn_reply reply = {.status = MHD_HTTP_OK,
	    .type = "application/json",
	    .cache = "no-store",
	    .bytes = q->text,
	    .len = q->text_len};
	enum MHD_Result result;

	if (q->row->form == KMN_API_BEGIN)
		kmn_entry_signed_in(q, q->e);
	if (q->e != KMN_OK)
		return kmn_reply_error(q, kmn_api_status(q->e), q->e, q->text_len > 0 ? q->text : kmn_err_text(q->e));
	if (q->row->form == KMN_API_EVENTS)
		return kmn_stream_begin(q);
	if (q->row->form == KMN_API_BUNDLE)
		return send_bundle(q);
	if (q->row->form == KMN_API_BEGIN || q->row->form == KMN_API_FINISH) {
		make_cookie(q, cookie, sizeof(cookie));
		reply.more[0] = (struct kmn_header){"Set-Cookie", cookie};
	}
	result = kmn_reply_send(q, &reply);
	sodium_memzero(cookie, sizeof(cookie));
	return result;
}

/* ---- the question ---------------------------------------------------------------------------------------------------- */

static enum MHD_Result
put_question(struct kmn_question *q)
{
	struct kmn_why why = {""};
	struct kmn_writer w;
	kmn_err e;

	if (q->too_big)
		return kmn_reply_error(q, MHD_HTTP_CONTENT_TOO_LARGE, KMN_E_TOO_BIG, "the body is too long");
	q->input.body = q->body;
	q->input.body_len = q->body_len;
	kmn_writer_init(&w, FIELDS_MAX_BYTES);
	if ((e = kmn_api_fields(q->row, &q->input, &w, &why)) == KMN_OK &&
	    (e = kmn_link_ask(q->console, q->row->op, q, &w)) != KMN_OK)
		kmn_why_set(&why, "the gateway is busy: try again");
	kmn_writer_clear(&w);
	if (e == KMN_OK)
		return MHD_YES;
	return kmn_reply_error(q, kmn_api_status(e), e, why.text[0] != '\0' ? why.text : kmn_err_text(e));
}

/* Another place, twice as large at least. A body may hold a PIN: the old place is wiped. */
static bool
grow(struct kmn_question *q, size_t room)
{
	char *more;

	if (q->console->body_bytes + (room - q->body_room) > KMN_CONSOLE_BODIES_MAX_BYTES ||
	    (more = malloc(room)) == NULL)
		return false;
	if (q->body != NULL) {
		memcpy(more, q->body, q->body_len);
		sodium_memzero(q->body, q->body_room);
		free(q->body);
	}
	q->console->body_bytes += room - q->body_room;
	q->body = more;
	q->body_room = room;
	return true;
}

/* Room grows with what came, and what all requests hold is bounded. */
static void
take_part(struct kmn_question *q, const char *part, size_t len)
{
	size_t room = q->body_room == 0 ? BODY_FIRST_BYTES : q->body_room;

	q->too_big = q->too_big || len > q->row->body_max - q->body_len;
	if (q->too_big)
		return;
	while (room < q->body_len + len)
		room *= 2;
	if (room > q->body_room && !grow(q, room)) {
		q->too_big = true;
		return;
	}
	memcpy(q->body + q->body_len, part, len);
	q->body_len += len;
}

/* ---- its beginning --------------------------------------------------------------------------------------------------- */

static enum MHD_Result
send_page(struct kmn_question *q, const char *method)
{
	const struct kmn_page *page = kmn_pages_get(q->console->pages, q->path);
	const char *known = kmn_mhd.lookup_connection_value(q->connection, MHD_HEADER_KIND, "If-None-Match");
	struct kmn_reply reply = {.status = MHD_HTTP_OK, .cache = "no-cache", .lasting = true, .bytes = ""};

	if (page == NULL)
		return kmn_reply_error(q, MHD_HTTP_NOT_FOUND, KMN_E_NOT_FOUND, "there is no such page\n");
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return kmn_reply_error(q, MHD_HTTP_METHOD_NOT_ALLOWED, KMN_E_ARGUMENTS, "pages are only read\n");
	reply.more[0] = (struct kmn_header){"ETag", page->etag};
	if (known != NULL && strstr(known, page->etag) != NULL) {
		reply.status = MHD_HTTP_NOT_MODIFIED;
	} else {
		reply.type = page->type;
		reply.bytes = page->bytes;
		reply.len = page->len;
	}
	return kmn_reply_send(q, &reply);
}

/* A body that says at once that it is too long is not taken. */
static bool
says_too_long(const struct kmn_question *q)
{
	const char *length = kmn_mhd.lookup_connection_value(q->connection, MHD_HEADER_KIND, "Content-Length");

	return length != NULL && strtoull(length, NULL, 10) > q->row->body_max;
}

static enum MHD_Result
begin(struct kmn_question *q, const char *method)
{
	const char *reason;
	unsigned status;
	kmn_err routed = kmn_api_route(method, q->path, &q->row, &q->input), e;

	q->client->deadline_ms = q->console->now_ms + q->console->setup->limits.patience_ms; /* to be whole */
	if ((e = kmn_entry_request(q, method, &status, &reason)) != KMN_OK)
		return kmn_reply_error(q, status, e, reason);
	if (strncmp(q->path, "/api/", 5) != 0)
		return MHD_YES; /* the page comes with the next step: answered here, the connection would end with it */
	if (routed == KMN_E_ARGUMENTS)
		return kmn_reply_error(q, MHD_HTTP_METHOD_NOT_ALLOWED, routed, "this is asked by another method");
	if (routed != KMN_OK)
		return kmn_reply_error(q, MHD_HTTP_NOT_FOUND, routed, "the API has no such address");
	if (!kmn_entry_read(q))
		return kmn_reply_error(q, MHD_HTTP_BAD_REQUEST, KMN_E_MALFORMED, "the query is not one");
	if (!kmn_entry_rate(q))
		return kmn_reply_error(q, MHD_HTTP_TOO_MANY_REQUESTS, KMN_E_TOO_MANY, "too often: wait, and try again");
	if (says_too_long(q))
		return kmn_reply_error(q, MHD_HTTP_CONTENT_TOO_LARGE, KMN_E_TOO_BIG, "the body is too long");
	return MHD_YES;
}

/* The first line, as it came: no path of ours has anything in it that needs an escape. */
void *
kmn_handle_uri(void *cookie, const char *uri, struct MHD_Connection *connection)
{
	struct kmn_question *q = calloc(1, sizeof(*q));
	size_t len = strcspn(uri, "?");

	if (q == NULL)
		return NULL;
	q->console = cookie;
	q->connection = connection;
	if (len <= KMN_CONSOLE_PATH_MAX_BYTES && memchr(uri, '%', len) == NULL)
		memcpy(q->path, uri, len);
	return q;
}

enum MHD_Result
kmn_handle(void *cookie, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
    const char *part, size_t *part_len, void **state)
{
	struct kmn_question *q = *state;

	(void)cookie;
	(void)url;
	(void)version;
	if (q == NULL)
		return MHD_NO;
	if (!q->begun) {
		const union MHD_ConnectionInfo *info =
		    kmn_mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

		q->begun = true;
		if (info == NULL || (q->client = info->socket_context) == NULL)
			return MHD_NO;
		return begin(q, method);
	}
	if (*part_len > 0) {
		if (q->row != NULL)
			take_part(q, part, *part_len);
		*part_len = 0;
		return MHD_YES;
	}
	if (q->row == NULL)
		return send_page(q, method);
	return q->answered ? send_answer(q) : put_question(q);
}

void
kmn_handle_completed(void *cookie, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode how)
{
	struct kmn_question *q = *state;

	(void)cookie;
	(void)connection;
	(void)how;
	*state = NULL;
	if (q == NULL)
		return;
	kmn_link_forget(q);
	if (q->client != NULL)
		q->client->deadline_ms = q->console->now_ms + KMN_CONSOLE_IDLE_MS;
	q->console->body_bytes -= q->body_room;
	if (q->body != NULL)
		sodium_memzero(q->body, q->body_room);
	if (q->text != NULL)
		sodium_memzero(q->text, q->text_len);
	free(q->body);
	free(q->text);
	sodium_memzero(q, sizeof(*q));
	free(q);
}
