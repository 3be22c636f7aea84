/* A window is asked for by a question of its own; what comes back is the number of the request, which people decide. */
#include "config.h"

#include "server/runner/runner.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/channel.h"
#include "kanmon/client_settings.h"
#include "kanmon/json.h"
#include "kanmon/reader.h"
#include "kanmon/writer.h"

#define CONNECT_MS 15000u
#define ANSWER_MS 60000u /* a worker may have to start, to see the key */

static kmn_err
connect_to(const struct kmn_client_settings *from, char *why, struct kmn_channel_identity **identity_out,
    struct kmn_channel **channel_out)
{
	struct kmn_channel_settings settings = {
	    .certificate_pem = from->certificate_pem,
	    .key_pem = from->key_pem,
	    .gateways = (const char *const *)from->gateways,
	    .gateway_count = from->gateway_count,
	};
	kmn_err e;

	memcpy(settings.gateway_spki_sha256, from->gateway_spki, sizeof(settings.gateway_spki_sha256));
	if ((e = kmn_channel_identity_load(&settings, why, identity_out)) != KMN_OK)
		return e;
	return kmn_channel_open(*identity_out, CONNECT_MS, -1, why, channel_out);
}

static void
put_question(struct kmn_writer *w, const struct runner_job *job)
{
	uint8_t nonce[KMN_HASH_BYTES];

	randombytes_buf(nonce, sizeof(nonce));
	kmn_writer_u16(w, KMN_ADMIN_WINDOW_NEW);
	kmn_writer_text(w, job->rule);
	kmn_writer_text(w, job->token);
	kmn_writer_text(w, job->label);
	kmn_writer_bytes(w, job->id, job->id_len);
	kmn_writer_text(w, job->purpose);
	kmn_writer_u32(w, 0);
	kmn_writer_raw(w, nonce, sizeof(nonce));
	kmn_writer_u64(w, job->record);
}

static void
take_answer(const struct kmn_channel_frame *frame, struct runner_outcome *outcome)
{
	struct kmn_why why = {""};
	const uint8_t *text;
	struct kmn_reader r;
	json_t *answer = NULL;
	uint32_t code;
	size_t len;

	kmn_reader_init(&r, frame->body, frame->len_bytes);
	code = kmn_reader_u32(&r);
	len = kmn_reader_bytes(&r, KMN_ADMIN_REPLY_MAX_BYTES, &text);
	if (frame->type != KMN_F_ADMIN_REPLY || kmn_reader_end(&r) != KMN_OK)
		(void)snprintf(outcome->why, sizeof(outcome->why), "the gateway gave no answer");
	else if (code != KMN_OK)
		(void)snprintf(
		    outcome->why, sizeof(outcome->why), "%.*s", (int)(len < 300 ? len : 300), (const char *)text);
	else if (kmn_json_parse((const char *)text, len, &answer, &why) != KMN_OK ||
		 !json_is_integer(json_object_get(answer, "id")))
		(void)snprintf(outcome->why, sizeof(outcome->why), "the gateway gave an answer without a request");
	else
		outcome->request = (uint64_t)json_integer_value(json_object_get(answer, "id"));
	json_decref(answer);
}

void
runner_window(const struct runner_job *job, struct runner_outcome *outcome)
{
	struct kmn_client_settings *settings = NULL;
	struct kmn_channel_identity *identity = NULL;
	struct kmn_channel *channel = NULL;
	struct kmn_channel_frame frame;
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	struct kmn_writer w;
	kmn_err e = kmn_client_settings_load(NULL, NULL, NULL, &settings);

	if (e == KMN_OK)
		e = connect_to(settings, why, &identity, &channel);
	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES - 1);
	put_question(&w, job);
	if (e == KMN_OK && (e = w.err) == KMN_OK)
		e = kmn_channel_send(channel, KMN_F_ADMIN, w.bytes, w.len, ANSWER_MS);
	if (e == KMN_OK)
		e = kmn_channel_receive(channel, ANSWER_MS, -1, &frame);
	if (e == KMN_OK)
		take_answer(&frame, outcome);
	else
		(void)snprintf(outcome->why, sizeof(outcome->why), "the gateway: %s (%.200s)", kmn_err_text(e), why);
	kmn_writer_clear(&w);
	kmn_channel_close(channel);
	kmn_channel_identity_free(identity);
	kmn_client_settings_free(settings);
}
