#include "config.h"

#include "tools/kanmon/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/channel.h"
#include "kanmon/client_settings.h"
#include "kanmon/reader.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/terminal.h"

#define CONNECT_TIMEOUT_MS 15000u
#define ANSWER_TIMEOUT_MS 60000u /* a request made ahead starts an HSM worker first */

struct kmn_gateway {
	struct kmn_client_settings *settings;
	struct kmn_channel_identity *identity;
	struct kmn_channel *channel;
};

const char *
kmn_custodian(const char *as)
{
	return as != NULL ? as : getenv("KANMON_CUSTODIAN");
}

static kmn_err
load_settings(const char *as, struct kmn_gateway *gateway)
{
	char path[KMN_PATH_MAX_BYTES], why[KMN_CLIENT_WHY_BYTES] = "";
	kmn_err e;

	if (as != NULL && (e = kmn_path(path, NULL, as, ".conf")) != KMN_OK)
		return e;
	e = kmn_client_settings_load(as != NULL ? path : NULL, NULL, why, &gateway->settings);
	if (e != KMN_OK)
		kmn_fail("%s", why[0] != '\0' ? why : kmn_err_text(e));
	return e;
}

/*
 * Why the gateway did not listen. "unknown CA" is TLS for: no line of the policy in force has this key. It may be told
 * while the connection is made, or with the first answer.
 */
static void
fail_connection(const struct kmn_gateway *gateway, kmn_err e, const char *why)
{
	const char *shown = gateway->settings->certificate;

	if (strstr(why, "unknown CA") == NULL) {
		kmn_fail("%s (%s)", kmn_err_text(e), why);
		return;
	}
	kmn_fail(
	    "%s (%s): no `terminal` or `client` line of the gateway's policy in force names the key of %s. Either a "
	    "newer "
	    "version of the policy dropped or replaced it, or it was never enrolled. Ask somebody who is let in what "
	    "`kanmon policy show` says; the way in is a next version with that line, signed by role policy "
	    "(kanmon policy sign, submit)",
	    kmn_err_text(e), why, shown);
}

static kmn_err
connect_channel(struct kmn_gateway *gateway)
{
	const struct kmn_client_settings *from = gateway->settings;
	struct kmn_channel_settings settings = {
	    .certificate_path = from->certificate,
	    .key_path = from->key,
	    .gateways = (const char *const *)from->gateways,
	    .gateway_count = from->gateway_count,
	};
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	kmn_err e;

	memcpy(settings.gateway_spki_sha256, from->gateway_spki, sizeof(settings.gateway_spki_sha256));
	if ((e = kmn_channel_identity_load(&settings, why, &gateway->identity)) != KMN_OK ||
	    (e = kmn_channel_open(gateway->identity, CONNECT_TIMEOUT_MS, -1, why, &gateway->channel)) != KMN_OK)
		fail_connection(gateway, e, why[0] != '\0' ? why : from->gateways[0]);
	return e;
}

kmn_err
kmn_gateway_open(const char *as, struct kmn_gateway **gateway_out)
{
	struct kmn_gateway *gateway = calloc(1, sizeof(*gateway));
	kmn_err e = KMN_E_NO_MEMORY;

	*gateway_out = NULL;
	if (gateway == NULL)
		goto done;
	if ((e = load_settings(as, gateway)) != KMN_OK || (e = connect_channel(gateway)) != KMN_OK)
		goto done;
	*gateway_out = gateway;
	gateway = NULL;
done:
	kmn_gateway_close(gateway);
	return e;
}

void
kmn_gateway_close(struct kmn_gateway *gateway)
{
	if (gateway == NULL)
		return;
	kmn_channel_close(gateway->channel);
	kmn_channel_identity_free(gateway->identity);
	kmn_client_settings_free(gateway->settings);
	free(gateway);
}

const char *
kmn_gateway_origin(const struct kmn_gateway *gateway)
{
	return gateway->settings->origin;
}

/* An ADMIN_REPLY as JSON, or the gateway's refusal. */
static kmn_err
read_answer(const struct kmn_channel_frame *frame, json_t **answer_out)
{
	const uint8_t *text;
	struct kmn_reader r;
	json_error_t error;
	uint32_t code;
	size_t len;
	kmn_err e;

	if (frame->type != KMN_F_ADMIN_REPLY) {
		kmn_fail("the gateway's answer is no answer to a question");
		return KMN_E_MALFORMED;
	}
	kmn_reader_init(&r, frame->body, frame->len_bytes);
	code = kmn_reader_u32(&r);
	len = kmn_reader_bytes(&r, KMN_FRAME_MAX_BYTES, &text);
	if ((e = kmn_reader_end(&r)) != KMN_OK)
		return e;
	if (code != KMN_OK) {
		e = code < KMN_ERR_COUNT ? (kmn_err)code : KMN_E_INTERNAL;
		if (len > 0) /* it says more than the code does */
			kmn_fail("the gateway refuses: %.*s", (int)len, (const char *)text);
		else
			kmn_fail("the gateway refuses: %s", kmn_err_text(e));
		return e;
	}
	*answer_out = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(*answer_out))
		return KMN_OK;
	json_decref(*answer_out);
	*answer_out = NULL;
	kmn_fail("the gateway's answer is no JSON object");
	return KMN_E_MALFORMED;
}

kmn_err
kmn_gateway_ask(struct kmn_gateway *gateway, enum kmn_admin_op op, const struct kmn_writer *fields, json_t **answer_out)
{
	struct kmn_channel_frame frame;
	struct kmn_writer body;
	kmn_err e;

	*answer_out = NULL;
	kmn_writer_init(&body, KMN_FRAME_MAX_BYTES);
	kmn_writer_u16(&body, (uint16_t)op);
	if (fields != NULL) {
		kmn_writer_raw(&body, fields->bytes, fields->len);
		if (fields->err != KMN_OK)
			body.err = fields->err;
	}
	if ((e = body.err) == KMN_OK &&
	    (e = kmn_channel_send(gateway->channel, KMN_F_ADMIN, body.bytes, body.len, ANSWER_TIMEOUT_MS)) == KMN_OK)
		e = kmn_channel_receive(gateway->channel, ANSWER_TIMEOUT_MS, -1, &frame);
	if (e != KMN_OK)
		fail_connection(gateway, e, kmn_channel_why(gateway->channel));
	else
		e = read_answer(&frame, answer_out);
	kmn_writer_clear(&body);
	return e;
}

kmn_err
kmn_gateway_ask_once(const char *as, enum kmn_admin_op op, const struct kmn_writer *fields, json_t **answer_out)
{
	struct kmn_gateway *gateway;
	kmn_err e;

	*answer_out = NULL;
	if ((e = kmn_gateway_open(as, &gateway)) != KMN_OK)
		return e;
	e = kmn_gateway_ask(gateway, op, fields, answer_out);
	kmn_gateway_close(gateway);
	return e;
}
