#include "config.h"

#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "kanmon/say.h"
#include "kanmon/tls.h"
#include "server/console/console.h"

static const char *
header(const struct kmn_question *q, const char *name)
{
	return kmn_mhd.lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

static bool
is_read_only(const char *method)
{
	return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static kmn_err
refuse(unsigned status, const char *reason, unsigned *status_out, const char **reason_out)
{
	*status_out = status;
	*reason_out = reason;
	return status == MHD_HTTP_FORBIDDEN ? KMN_E_DENIED : KMN_E_ARGUMENTS;
}

/*
 * The name in the address bar is the one that security keys sign for: no other is served, whatever DNS says. What
 * changes something must come from a page of ours; a browser that tells where a request comes from is believed.
 */
kmn_err
kmn_entry_request(const struct kmn_question *q, const char *method, unsigned *status_out, const char **reason_out)
{
	const char *host = header(q, "Host"), *origin = header(q, "Origin"), *site = header(q, "Sec-Fetch-Site");
	const char *type = header(q, "Content-Type");
	bool api = q->row != NULL, reads = is_read_only(method);

	if (host == NULL || strcmp(host, q->console->host) != 0)
		return refuse(421, "this console has another name", status_out, reason_out);
	if (origin != NULL && strcmp(origin, q->console->setup->origin) != 0)
		return refuse(MHD_HTTP_FORBIDDEN, "the request comes from another site", status_out, reason_out);
	if (!reads && origin == NULL)
		return refuse(MHD_HTTP_FORBIDDEN, "a request that changes something says where it comes from (Origin)",
		    status_out, reason_out);
	if (api && site != NULL && strcmp(site, "same-origin") != 0 && !(reads && strcmp(site, "none") == 0))
		return refuse(MHD_HTTP_FORBIDDEN, "the request comes from another site", status_out, reason_out);
	if (!reads &&
	    (type == NULL || strncmp(type, "application/json", 16) != 0 || (type[16] != '\0' && type[16] != ';')))
		return refuse(MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "the body is application/json", status_out, reason_out);
	return KMN_OK;
}

/* ---- how often ----------------------------------------------------------------------------------------------------- */

static bool
is_sign_in(const struct kmn_question *q)
{
	return q->row->form == KMN_API_BEGIN || q->row->op == KMN_UI_SIGN_IN_TEXT;
}

bool
kmn_entry_rate(const struct kmn_question *q)
{
	struct kmn_console *c = q->console;

	if (is_sign_in(q) && kmn_rates_locked_ms(&c->addresses, q->client->rate_key, c->now_ms) > 0)
		return false;
	return kmn_rates_take(&c->addresses, q->client->rate_key, c->now_ms) &&
	       (!q->has_session || kmn_rates_take(&c->sessions, q->session, c->now_ms));
}

/* Somebody is shut out: that stands in the ledger. */
static void
tell_lockout(const struct kmn_question *q, uint32_t count)
{
	struct kmn_writer w;

	kmn_say(KMN_SAY_WARNING, "%s is shut out after %u refused sign-ins", q->client->address, count);
	kmn_writer_init(&w, 1024);
	kmn_writer_text(&w, q->client->address);
	kmn_writer_text(&w, "refused sign-ins");
	kmn_writer_u32(&w, count);
	if (kmn_link_ask(q->console, KMN_UI_FAILED, NULL, &w) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "the keeper is not told of it");
	kmn_writer_clear(&w);
}

void
kmn_entry_signed_in(const struct kmn_question *q, kmn_err e)
{
	struct kmn_console *c = q->console;
	uint32_t count;

	if (e == KMN_OK)
		kmn_rates_welcome(&c->addresses, q->client->rate_key, c->now_ms);
	else if (kmn_api_status(e) < 500 &&
		 (count = kmn_rates_refused(&c->addresses, q->client->rate_key, c->now_ms)) > 0)
		tell_lockout(q, count);
}

/* ---- what it brings ------------------------------------------------------------------------------------------------ */

/* Its key alone counts: who it is, and until when, the policy says. */
static bool
read_certificate(struct kmn_question *q)
{
	const union MHD_ConnectionInfo *info =
	    kmn_mhd.get_connection_info(q->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	const gnutls_datum_t *list;
	const unsigned char *der;
	unsigned count = 0;
	X509 *certificate;
	bool done;

	if (info == NULL || info->tls_session == NULL ||
	    (list = kmn_gnutls.certificate_get_peers((gnutls_session_t)info->tls_session, &count)) == NULL ||
	    count == 0)
		return false;
	der = list[0].data;
	certificate = d2i_X509(NULL, &der, (long)list[0].size);
	done = certificate != NULL && kmn_tls_spki_sha256(certificate, q->spki_sha256) == KMN_OK &&
	       kmn_tls_validity(certificate, time(NULL)) == X509_V_OK;
	X509_free(certificate);
	return done;
}

/* How the way to the browser is protected, for the record of its sign-in. */
static void
read_protection(struct kmn_question *q)
{
	const union MHD_ConnectionInfo *info =
	    kmn_mhd.get_connection_info(q->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	const char *ver = NULL, *suite = NULL;

	if (info != NULL && info->tls_session != NULL) {
		gnutls_session_t tls = (gnutls_session_t)info->tls_session;

		ver = kmn_gnutls.protocol_get_name(kmn_gnutls.protocol_get_version(tls));
		suite = kmn_gnutls.ciphersuite_get(tls);
	}
	q->input.tls_ver = ver != NULL ? ver : "";
	q->input.tls_suite = suite != NULL ? suite : "";
}

struct args {
	struct kmn_question *q;
	bool wrong;
};

static enum MHD_Result
take_arg(void *cookie, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct args *args = cookie;
	struct kmn_api_input *in = &args->q->input;

	(void)kind;
	/* A text with a NUL in it is longer than it looks. */
	args->wrong = in->arg_count == KMN_API_ARGS_MAX || value == NULL || strlen(name) != name_len ||
		      strlen(value) != value_len;
	if (args->wrong)
		return MHD_NO;
	args->q->args[in->arg_count].name = name;
	args->q->args[in->arg_count++].value = value;
	return MHD_YES;
}

bool
kmn_entry_read(struct kmn_question *q)
{
	const char *cookie = kmn_mhd.lookup_connection_value(q->connection, MHD_COOKIE_KIND, KMN_CONSOLE_COOKIE);
	const char *csrf = header(q, "X-Kanmon-Csrf");
	struct args args = {.q = q};

	q->has_session = cookie != NULL && kmn_api_key_parse(cookie, q->session);
	if (!q->has_session)
		sodium_memzero(q->session, sizeof(q->session));
	if (csrf == NULL || !kmn_api_key_parse(csrf, q->csrf))
		sodium_memzero(q->csrf, sizeof(q->csrf));
	q->input.args = q->args;
	q->input.origin = q->console->setup->origin;
	q->input.address = q->client->address;
	read_protection(q);
	if (q->row->op == KMN_UI_SIGN_IN_TLS && read_certificate(q))
		q->input.spki_sha256 = q->spki_sha256;
	(void)kmn_mhd.get_connection_values_n(q->connection, MHD_GET_ARGUMENT_KIND, take_arg, &args);
	return !args.wrong;
}
