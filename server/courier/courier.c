/*
 * The courier: asks over HTTP what the keeper wants asked, several things at
 * a time, and says what came. One thread, one loop around libcurl's multi
 * interface (its resolver has a thread of its own). It knows no format and
 * judges nothing: whatever comes back is the keeper's to verify.
 */
#include "config.h"

#include "server/courier/curl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "kanmon/ipc.h"
#include "kanmon/reader.h"
#include "kanmon/roles.h"
#include "kanmon/say.h"

#define ERRANDS_MAX 64u
#define HEADERS_MAX_BYTES (16u << 10) /* of an answer, together */
#define POLL_MS 1000
#define MESSAGE_MAX_BYTES (KMN_COURIER_BODY_MAX_BYTES + 4096u)

struct errand {
	LIST_ENTRY(errand) link;
	CURL *easy;
	struct curl_slist *headers;
	uint64_t tag;
	uint32_t limit, timeout_ms; /* limit: bytes of the answer */
	char url[KMN_COURIER_URL_MAX_BYTES + 1], type[KMN_COURIER_TYPE_MAX_BYTES + 1];
	uint8_t *question; /* owned */
	size_t question_len, header_bytes;
	uint8_t *answer; /* owned; grows with what comes */
	size_t answer_len, answer_room;
	bool too_big;
};

struct courier {
	struct kmn_ipc *keeper;
	CURLM *multi;
	LIST_HEAD(, errand) errands;
	unsigned errand_count;
};

static void
errand_free(struct courier *c, struct errand *errand)
{
	if (errand == NULL)
		return;
	if (errand->easy != NULL) {
		(void)kmn_curl.multi_remove_handle(c->multi, errand->easy);
		kmn_curl.easy_cleanup(errand->easy);
	}
	kmn_curl.slist_free_all(errand->headers);
	free(errand->question);
	free(errand->answer);
	free(errand);
}

/* ---- what comes -------------------------------------------------------------------------------------------------- */

static bool
grow(struct errand *errand, size_t more)
{
	size_t room = errand->answer_room;
	uint8_t *bytes;

	while (room < errand->answer_len + more)
		room = room == 0 ? 4096 : room * 2;
	if (room == errand->answer_room)
		return true;
	if ((bytes = realloc(errand->answer, room)) == NULL)
		return false;
	errand->answer = bytes;
	errand->answer_room = room;
	return true;
}

/* A result other than what was given ends the transfer. */
static size_t
take_body(char *at, size_t size, size_t n, void *cookie)
{
	struct errand *errand = cookie;
	size_t len = size * n;

	errand->too_big = len > errand->limit - errand->answer_len;
	if (errand->too_big || !grow(errand, len))
		return 0;
	memcpy(errand->answer + errand->answer_len, at, len);
	errand->answer_len += len;
	return len;
}

static size_t
take_header(char *at, size_t size, size_t n, void *cookie)
{
	struct errand *errand = cookie;

	(void)at;
	errand->header_bytes += size * n;
	errand->too_big = errand->too_big || errand->header_bytes > HEADERS_MAX_BYTES;
	return errand->too_big ? 0 : size * n;
}

static kmn_err
err_of(const struct errand *errand, CURLcode code)
{
	if (errand->too_big)
		return KMN_E_TOO_BIG;
	switch (code) {
	case CURLE_OK:
		return KMN_OK;
	case CURLE_OPERATION_TIMEDOUT:
		return KMN_E_TIMEOUT;
	case CURLE_OUT_OF_MEMORY:
		return KMN_E_NO_MEMORY;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		return KMN_E_TLS;
	default:
		return KMN_E_UNREACHABLE;
	}
}

static kmn_err
tell(struct courier *c, uint64_t tag, kmn_err e, long status, const char *type, const uint8_t *body, size_t len)
{
	struct kmn_writer w;

	if (type == NULL || strlen(type) > KMN_COURIER_TYPE_MAX_BYTES)
		type = "";
	kmn_writer_init(&w, MESSAGE_MAX_BYTES);
	kmn_writer_u64(&w, tag);
	kmn_writer_u16(&w, (uint16_t)e);
	kmn_writer_u16(&w, (uint16_t)(status > 0 && status < 1000 ? status : 0));
	kmn_writer_text(&w, type);
	kmn_writer_bytes(&w, body, e == KMN_OK ? len : 0);
	e = kmn_ipc_send_writer(c->keeper, KMN_COURIER_ANSWER, &w);
	kmn_writer_clear(&w);
	return e;
}

static kmn_err
end(struct courier *c, struct errand *errand, CURLcode code)
{
	char *type = NULL;
	long status = 0;
	kmn_err e;

	(void)kmn_curl.easy_getinfo(errand->easy, CURLINFO_RESPONSE_CODE, &status);
	(void)kmn_curl.easy_getinfo(errand->easy, CURLINFO_CONTENT_TYPE, &type);
	e = tell(c, errand->tag, err_of(errand, code), status, type, errand->answer, errand->answer_len);
	LIST_REMOVE(errand, link);
	c->errand_count--;
	errand_free(c, errand);
	return e;
}

static kmn_err
hear_network(struct courier *c)
{
	struct errand *errand;
	kmn_err e = KMN_OK;
	CURLMsg *message;
	int left;

	(void)kmn_curl.multi_perform(c->multi, &left);
	while (e == KMN_OK && (message = kmn_curl.multi_info_read(c->multi, &left)) != NULL) {
		CURLcode code = message->data.result;

		LIST_FOREACH(errand, &c->errands, link)
		if (errand->easy == message->easy_handle)
			break;
		if (message->msg == CURLMSG_DONE && errand != NULL)
			e = end(c, errand, code);
	}
	return e;
}

/* ---- what is asked ----------------------------------------------------------------------------------------------- */

static kmn_err
read_ask(const struct kmn_ipc_message *m, struct errand *errand)
{
	struct kmn_reader r;
	const uint8_t *body;
	kmn_err e;

	kmn_reader_init(&r, m->body, m->len_bytes);
	errand->tag = kmn_reader_u64(&r);
	errand->limit = kmn_reader_u32(&r);
	errand->timeout_ms = kmn_reader_u32(&r);
	kmn_reader_text(&r, errand->url, sizeof(errand->url));
	kmn_reader_text(&r, errand->type, sizeof(errand->type));
	errand->question_len = kmn_reader_bytes(&r, KMN_COURIER_BODY_MAX_BYTES, &body);
	if ((e = kmn_reader_end(&r)) != KMN_OK)
		return e;
	if (m->kind != KMN_COURIER_ASK || errand->limit > KMN_COURIER_BODY_MAX_BYTES)
		return KMN_E_MALFORMED;
	if ((errand->question = malloc(errand->question_len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(errand->question, body, errand->question_len);
	return KMN_OK;
}

static bool
add_header(struct errand *errand, const char *name, const char *value)
{
	char line[KMN_COURIER_TYPE_MAX_BYTES + 32];
	struct curl_slist *longer;

	(void)snprintf(line, sizeof(line), "%s:%s%s", name, value[0] != '\0' ? " " : "", value);
	if ((longer = kmn_curl.slist_append(errand->headers, line)) == NULL)
		return false;
	errand->headers = longer;
	return true;
}

#define SET(option, value) (kmn_curl.easy_setopt(errand->easy, option, value) == CURLE_OK)

/* No redirect, no proxy, no credentials, no other protocol: one question to one place. */
static bool
set_transfer(struct errand *errand)
{
	return SET(CURLOPT_URL, errand->url) && SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
	       SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_PROXY, "") &&
	       SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) && SET(CURLOPT_NOSIGNAL, 1L) &&
	       SET(CURLOPT_QUICK_EXIT, 1L) && SET(CURLOPT_TIMEOUT_MS, (long)errand->timeout_ms) &&
	       SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
	       SET(CURLOPT_USERAGENT, "kanmon/" PACKAGE_VERSION) && SET(CURLOPT_HTTP09_ALLOWED, 0L) &&
	       SET(CURLOPT_WRITEFUNCTION, take_body) && SET(CURLOPT_WRITEDATA, errand) &&
	       SET(CURLOPT_HEADERFUNCTION, take_header) && SET(CURLOPT_HEADERDATA, errand);
}

static bool
set_question(struct errand *errand)
{
	if (errand->type[0] == '\0')
		return true;
	return add_header(errand, "Content-Type", errand->type) && add_header(errand, "Expect", "") &&
	       SET(CURLOPT_POST, 1L) && SET(CURLOPT_POSTFIELDS, errand->question) &&
	       SET(CURLOPT_POSTFIELDSIZE, (long)errand->question_len) && SET(CURLOPT_HTTPHEADER, errand->headers);
}

static kmn_err
begin(struct courier *c, const struct kmn_ipc_message *m)
{
	struct errand *errand = calloc(1, sizeof(*errand));
	kmn_err e = errand == NULL ? KMN_E_NO_MEMORY : read_ask(m, errand);
	kmn_err cannot = KMN_OK;

	if (e != KMN_OK)
		goto done;
	if (c->errand_count == ERRANDS_MAX)
		cannot = KMN_E_TOO_MANY;
	else if ((errand->easy = kmn_curl.easy_init()) == NULL || !set_transfer(errand) || !set_question(errand) ||
		 kmn_curl.multi_add_handle(c->multi, errand->easy) != CURLM_OK)
		cannot = KMN_E_NO_MEMORY;
	if (cannot != KMN_OK) {
		e = tell(c, errand->tag, cannot, 0, NULL, NULL, 0);
		goto done;
	}
	LIST_INSERT_HEAD(&c->errands, errand, link);
	c->errand_count++;
	errand = NULL;
done:
	errand_free(c, errand);
	return e;
}

static kmn_err
hear_keeper(struct courier *c)
{
	struct kmn_ipc_message m;
	kmn_err e;

	while ((e = kmn_ipc_poll(c->keeper, &m)) == KMN_OK)
		if ((e = begin(c, &m)) != KMN_OK)
			return e;
	return e == KMN_E_AGAIN ? KMN_OK : e;
}

int
kmn_courier_main(const struct kmn_courier_setup *setup)
{
	struct courier c = {.keeper = NULL};
	struct errand *errand;
	kmn_err e;

	LIST_INIT(&c.errands);
	if (kmn_ipc_new(setup->keeper, 0, &c.keeper) != KMN_OK || (c.multi = kmn_curl.multi_init()) == NULL) {
		kmn_say(KMN_SAY_ERROR, "out of memory");
		return 1;
	}
	do {
		struct curl_waitfd keeper = {.fd = kmn_ipc_fd(c.keeper), .events = CURL_WAIT_POLLIN};

		if (kmn_curl.multi_poll(c.multi, &keeper, 1, POLL_MS, NULL) != CURLM_OK)
			KMN_BUG("libcurl does not wait");
		if ((e = hear_keeper(&c)) == KMN_OK)
			e = hear_network(&c);
	} while (e == KMN_OK);
	while ((errand = LIST_FIRST(&c.errands)) != NULL) {
		LIST_REMOVE(errand, link);
		errand_free(&c, errand);
	}
	(void)kmn_curl.multi_cleanup(c.multi);
	kmn_ipc_free(c.keeper);
	if (e != KMN_E_CLOSED)
		kmn_say(KMN_SAY_ERROR, "the keeper's message: %s", kmn_err_text(e));
	return e == KMN_E_CLOSED ? 0 : 1;
}
