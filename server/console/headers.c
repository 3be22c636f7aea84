#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/console/console.h"

/* What every answer says, whatever it is (docs/console-api.md). */
static const struct kmn_header always[] = {
    {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
				"img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
				"require-trusted-types-for 'script'"},
    {"Strict-Transport-Security", "max-age=63072000"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Referrer-Policy", "no-referrer"},
    {"Cross-Origin-Opener-Policy", "same-origin"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
    {"Cross-Origin-Embedder-Policy", "require-corp"},
    {"Permissions-Policy", "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), "
			   "microphone=(), geolocation=(), payment=(), usb=(), hid=(), serial=(), bluetooth=()"},
};

static bool
add(struct MHD_Response *response, const char *name, const char *value)
{
	return value == NULL || kmn_mhd.add_response_header(response, name, value) == MHD_YES;
}

bool
kmn_reply_decorate(struct MHD_Response *response, const char *type, const char *cache)
{
	bool done = add(response, "Content-Type", type) && add(response, "Cache-Control", cache);

	for (size_t i = 0; done && i < KMN_COUNT_OF(always); i++)
		done = add(response, always[i].name, always[i].value);
	return done;
}

enum MHD_Result
kmn_reply_send(struct kmn_question *q, const struct kmn_reply *reply)
{
	struct MHD_Response *response = kmn_mhd.create_response_from_buffer(reply->len, (void *)(uintptr_t)reply->bytes,
	    reply->lasting ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;
	bool done;

	if (response == NULL)
		return MHD_NO;
	done = kmn_reply_decorate(response, reply->type, reply->cache);
	for (size_t i = 0; done && i < KMN_REPLY_HEADERS_MAX && reply->more[i].name != NULL; i++)
		done = add(response, reply->more[i].name, reply->more[i].value);
	if (done)
		result = kmn_mhd.queue_response(q->connection, reply->status, response);
	kmn_mhd.destroy_response(response);
	q->client->deadline_ms = q->console->now_ms + KMN_CONSOLE_IDLE_MS; /* to be taken */
	return result;
}

static bool
is_api(const struct kmn_question *q)
{
	return strncmp(q->path, KMN_API_PREFIX, sizeof(KMN_API_PREFIX) - 1) == 0;
}

enum MHD_Result
kmn_reply_error(struct kmn_question *q, unsigned status, kmn_err e, const char *reason)
{
	const char *allow =
	    is_api(q) ? (q->row != NULL && q->row->method == KMN_API_POST ? "POST" : "GET") : "GET, HEAD";
	char *text = is_api(q) ? kmn_api_error(e, reason) : NULL;
	struct kmn_reply reply = {.status = status,
	    .type = is_api(q) ? "application/json" : "text/plain; charset=utf-8",
	    .cache = "no-store",
	    .bytes = text != NULL ? text : reason,
	    .more = {{"Allow", status == MHD_HTTP_METHOD_NOT_ALLOWED ? allow : NULL},
		{"Retry-After",
		    status == MHD_HTTP_TOO_MANY_REQUESTS || status == MHD_HTTP_SERVICE_UNAVAILABLE ? "10" : NULL}}};
	enum MHD_Result result;

	reply.len = strlen(reply.bytes);
	result = kmn_reply_send(q, &reply);
	free(text);
	return result;
}
