/*
 * The gate's connections: who is at the other end (by public key, looked up
 * in the policy again, for the gate is not trusted), and what each frame is
 * for. The gate checked every frame's shape; here it is checked once more.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/tls.h"

#define QUEUE_MAX_BYTES (64u << 20)
#define CERTIFICATE_MAX_BYTES (16u << 10)
#define NO_REQUEST UINT64_MAX

struct kmn_conn *
kmn_conn_get(struct kmn_keeper *k, uint32_t id)
{
	struct kmn_conn *conn;

	LIST_FOREACH(conn, &k->conns[id % KMN_KEEPER_BUCKETS], link)
	if (conn->id == id)
		return conn;
	return NULL;
}

/* ---- sending -------------------------------------------------------------------------------------------------- */

void
kmn_gatelink_send(struct kmn_keeper *k, const struct kmn_conn *conn, uint8_t type, struct kmn_writer *body)
{
	struct kmn_writer w;
	kmn_err e = body->err;

	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, conn->id);
	kmn_writer_u8(&w, type);
	kmn_writer_raw(&w, body->bytes, body->len);
	if (e == KMN_OK && k->gate != NULL)
		e = kmn_ipc_queue_writer(k->gate, KMN_K_FRAME, &w);
	kmn_writer_clear(&w);
	kmn_writer_clear(body);
	/* A gate that takes nothing any more ends by itself; what was to be said is kept with its call. */
	if (e != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "connection %u: answer not sent: %s", conn->id, kmn_err_text(e));
}

void
kmn_gatelink_refuse(struct kmn_keeper *k, const struct kmn_conn *conn, uint64_t number, kmn_err error, uint64_t request,
    const char *reason)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u64(&w, number);
	kmn_writer_u32(&w, (uint32_t)error);
	kmn_writer_u64(&w, request);
	kmn_writer_text(&w, reason);
	kmn_gatelink_send(k, conn, KMN_F_REFUSED, &w);
}

void
kmn_gatelink_notice(const struct kmn_instance *instance, enum kmn_notice kind, uint64_t slot)
{
	struct kmn_keeper *k = instance->keeper;
	struct kmn_conn *conn;

	for (size_t i = 0; i < KMN_KEEPER_BUCKETS; i++)
		LIST_FOREACH(conn, &k->conns[i], link)
		{
			struct kmn_writer w;

			if (conn->instance != instance || conn == instance->attaching)
				continue;
			kmn_writer_init(&w, 16);
			kmn_writer_u8(&w, (uint8_t)kind);
			kmn_writer_u64(&w, slot);
			kmn_gatelink_send(k, conn, KMN_F_NOTICE, &w);
		}
}

kmn_err
kmn_gatelink_send_pins(struct kmn_keeper *k)
{
	const struct kmn_policy *policy = kmn_keeper_policy(k);
	const struct kmn_policy_peer *peer;
	struct kmn_writer w;
	uint32_t n = 0;
	size_t place;
	kmn_err e;

	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	place = kmn_writer_hole_u32(&w);
	for (; (peer = kmn_policy_peer_at(policy, n)) != NULL; n++)
		kmn_writer_raw(&w, peer->spki_sha256, KMN_HASH_BYTES);
	kmn_writer_patch_u32(&w, place, n);
	e = kmn_ipc_queue_writer(k->gate, KMN_K_PINS, &w);
	kmn_writer_clear(&w);
	return e;
}

/* ---- records of the channel ------------------------------------------------------------------------------------ */

static json_t *
peer_json(const struct kmn_conn *conn)
{
	return json_pack("{s:o, s:o, s:s, s:o}", "spki_sha256", kmn_json_b64(conn->spki_sha256, KMN_HASH_BYTES),
	    "cert_sha256", kmn_json_b64(conn->cert_sha256, KMN_HASH_BYTES), "name", conn->peer->name, "address",
	    kmn_json_label(conn->address, strlen(conn->address)));
}

static json_t *
tls_json(const struct kmn_conn *conn)
{
	uint8_t exporter_sha256[KMN_HASH_BYTES];

	kmn_sha256(conn->exporter, sizeof(conn->exporter), exporter_sha256);
	return json_pack("{s:o, s:o, s:o}", "ver", kmn_json_label(conn->tls, strlen(conn->tls)), "suite",
	    kmn_json_label(conn->suite, strlen(conn->suite)), "exporter_sha256",
	    kmn_json_b64(exporter_sha256, sizeof(exporter_sha256)));
}

static void
put_cosigner(json_t *provider, const struct kmn_vkey *cosigner)
{
	char text[KMN_VKEY_MAX_BYTES];

	kmn_vkey_format(cosigner, text);
	if (json_object_set_new(provider, "cosigner", json_string(text)) != 0)
		KMN_BUG("out of memory");
}

kmn_err
kmn_conn_open_record(struct kmn_keeper *k, struct kmn_conn *conn, const struct kmn_claim *claim)
{
	static const char *const modes[KMN_RECEIPTS_COUNT] = {"off", "batch", "each"};
	bool has_head = claim != NULL && claim->note_len > 0;
	const struct kmn_instance *instance = conn->instance;
	json_t *who, *provider, *body;
	struct kmn_ref self = {.i = 0};
	kmn_err e;

	if (conn->opened)
		return KMN_OK;
	conn->opened = true;
	who = instance == NULL ? json_string("none") : kmn_json_b64(instance->id, sizeof(instance->id));
	provider = instance == NULL ? json_object()
				    : json_pack("{s:o, s:o}", "version",
					  kmn_json_label(instance->provider, strlen(instance->provider)), "host",
					  kmn_json_label(instance->host, strlen(instance->host)));
	if (instance != NULL && instance->cosigns)
		put_cosigner(provider, &instance->cosigner);
	body =
	    json_pack("{s:o, s:o, s:o, s:o, s:s, s:o}", "instance", who, "peer", peer_json(conn), "tls", tls_json(conn),
		"provider", provider, "mode", modes[instance != NULL ? instance->receipts : KMN_RECEIPTS_OFF],
		"client_head", has_head ? json_stringn(claim->note, claim->note_len) : json_string("none"));
	if (has_head && claim->line[0] != '\0' &&
	    json_object_set_new(body, "client_cosig", json_string(claim->line)) != 0)
		KMN_BUG("out of memory");
	e = kmn_keeper_append_named(k, KMN_R_CHANNEL_OPEN, body, "chan", &self);
	conn->chan = self.i; /* the number of this very record */
	return e;
}

/* {"C_GetInfo":2,..}: all of a connection, or what was not written yet; NULL if there is nothing. */
static json_t *
counts_json(const struct kmn_conn *conn, bool all)
{
	json_t *counts = json_object();

	for (uint32_t id = 0; id < KMN_CALL_COUNT; id++) {
		uint64_t n = conn->counts[id] - (all ? 0 : conn->counted[id]);

		if (n > 0 && json_object_set_new(counts, kmn_call_row(id)->name, json_integer((json_int_t)n)) != 0)
			KMN_BUG("out of memory");
	}
	return counts;
}

static void
write_counts(struct kmn_keeper *k, struct kmn_conn *conn)
{
	json_t *counts = counts_json(conn, false);

	if (json_object_size(counts) == 0) {
		json_decref(counts);
		return;
	}
	memcpy(conn->counted, conn->counts, sizeof(conn->counted));
	if (kmn_keeper_append(k, KMN_R_CHANNEL_COUNTS,
		json_pack("{s:I, s:o}", "chan", (json_int_t)conn->chan, "counts", counts), NULL) != KMN_OK)
		return;
}

void
kmn_gatelink_write_counts(struct kmn_keeper *k)
{
	struct kmn_conn *conn;

	for (size_t i = 0; i < KMN_KEEPER_BUCKETS; i++)
		LIST_FOREACH(conn, &k->conns[i], link)
	write_counts(k, conn);
}

kmn_err
kmn_conn_record_reject(struct kmn_keeper *k, const struct kmn_conn *conn, const char *reason)
{
	kmn_say(KMN_SAY_WARNING, "%s at %s is refused: %s", conn->peer->name, conn->address, reason);
	return kmn_keeper_append(k, KMN_R_CHANNEL_REJECT,
	    json_pack("{s:o, s:o, s:i}", "peer", peer_json(conn), "reason", kmn_json_label(reason, strlen(reason)),
		"count", 1),
	    NULL);
}

void
kmn_gatelink_reject(struct kmn_keeper *k, struct kmn_conn *conn, const char *reason)
{
	if (kmn_conn_record_reject(k, conn, reason) == KMN_OK || k->unrecorded)
		kmn_gatelink_close(k, conn, reason);
}

void
kmn_gatelink_replayed(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t number, const char *reason)
{
	if (kmn_conn_record_reject(k, conn, reason) == KMN_OK || k->unrecorded)
		kmn_gatelink_refuse(k, conn, number, KMN_E_REPLAY, NO_REQUEST, reason);
}

/* ---- connections come and go ----------------------------------------------------------------------------------- */

static void
conn_free(struct kmn_keeper *k, struct kmn_conn *conn, const char *reason)
{
	LIST_REMOVE(conn, link);
	k->conn_count--;
	kmn_instance_conn_gone(k, conn);
	kmn_admin_conn_gone(k, conn);
	if (conn->opened && !k->stopping &&
	    kmn_keeper_append(k, KMN_R_CHANNEL_CLOSE,
		json_pack("{s:I, s:o, s:o}", "chan", (json_int_t)conn->chan, "reason",
		    kmn_json_label(reason, strlen(reason)), "counts", counts_json(conn, true)),
		NULL) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "connection %u ends without its record", conn->id);
	free(conn);
}

void
kmn_gatelink_close(struct kmn_keeper *k, struct kmn_conn *conn, const char *reason)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u32(&w, conn->id);
	kmn_writer_text(&w, reason);
	if (k->gate != NULL && kmn_ipc_queue_writer(k->gate, KMN_K_CLOSE, &w) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "connection %u is not closed: the gate does not listen", conn->id);
	kmn_writer_clear(&w);
	conn_free(k, conn, reason);
}

static kmn_err
spki_of(const uint8_t *der, size_t der_len, uint8_t hash_out[KMN_HASH_BYTES])
{
	const unsigned char *at = der;
	X509 *certificate = d2i_X509(NULL, &at, (long)der_len);
	kmn_err e = KMN_E_MALFORMED;

	memset(hash_out, 0, KMN_HASH_BYTES);
	if (certificate != NULL && at == der + der_len)
		e = kmn_tls_spki_sha256(certificate, hash_out);
	X509_free(certificate);
	return e;
}

static void
read_conn(struct kmn_reader *r, struct kmn_conn *conn)
{
	const uint8_t *der;
	size_t der_len;

	conn->id = kmn_reader_u32(r);
	der_len = kmn_reader_bytes(r, CERTIFICATE_MAX_BYTES, &der);
	kmn_reader_text(r, conn->tls, sizeof(conn->tls));
	kmn_reader_text(r, conn->suite, sizeof(conn->suite));
	kmn_reader_raw(r, conn->exporter, sizeof(conn->exporter));
	kmn_reader_text(r, conn->address, sizeof(conn->address));
	if (r->err != KMN_OK)
		return;
	kmn_sha256(der, der_len, conn->cert_sha256);
	kmn_reader_fail(r, spki_of(der, der_len, conn->spki_sha256));
}

static void
opened(struct kmn_keeper *k, struct kmn_reader *r)
{
	struct kmn_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL)
		KMN_BUG("out of memory");
	read_conn(r, conn);
	if (kmn_reader_end(r) != KMN_OK || kmn_conn_get(k, conn->id) != NULL ||
	    k->conn_count >= k->setup->limits.connections) {
		free(conn);
		kmn_keeper_fail(k, "the gate says what cannot be");
		return;
	}
	conn->peer = kmn_policy_peer_get(kmn_keeper_policy(k), conn->spki_sha256);
	LIST_INSERT_HEAD(&k->conns[conn->id % KMN_KEEPER_BUCKETS], conn, link);
	k->conn_count++;
	if (conn->peer == NULL) {
		static const struct kmn_policy_peer stranger = {.name = "unknown"};

		conn->peer = &stranger;
		kmn_gatelink_reject(k, conn, "no client or terminal line of the policy has this key");
	}
}

static void
rejected(struct kmn_keeper *k, struct kmn_reader *r)
{
	static const uint8_t zeros[KMN_HASH_BYTES];
	char address[128], reason[256];
	uint8_t spki[KMN_HASH_BYTES];
	uint32_t count;
	json_t *peer;

	kmn_reader_raw(r, spki, sizeof(spki));
	kmn_reader_text(r, address, sizeof(address));
	kmn_reader_text(r, reason, sizeof(reason));
	count = kmn_reader_u32(r);
	if (kmn_reader_end(r) != KMN_OK) {
		kmn_keeper_fail(k, "the gate says what cannot be");
		return;
	}
	peer = json_pack("{s:o}", "address", kmn_json_label(address, strlen(address)));
	if (memcmp(spki, zeros, sizeof(spki)) != 0)
		(void)json_object_set_new(peer, "spki_sha256", kmn_json_b64(spki, sizeof(spki)));
	kmn_say(KMN_SAY_WARNING, "%s is refused: %s (%u times)", address, reason, count);
	if (kmn_keeper_append(k, KMN_R_CHANNEL_REJECT,
		json_pack("{s:o, s:o, s:I}", "peer", peer, "reason", kmn_json_label(reason, strlen(reason)), "count",
		    (json_int_t)count),
		NULL) != KMN_OK)
		return;
}

/* ---- frames ---------------------------------------------------------------------------------------------------- */

static unsigned
phase_of(const struct kmn_conn *conn)
{
	return conn->watching ? KMN_PHASE_WATCHING : conn->instance != NULL ? KMN_PHASE_ATTACHED : KMN_PHASE_FIRST;
}

static void
detach(struct kmn_keeper *k, struct kmn_conn *conn)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 16);
	kmn_gatelink_send(k, conn, KMN_F_DETACHED, &w);
	kmn_instance_end(k, conn->instance, "finalized");
}

/* False: it was refused, and the connection may be gone. */
static bool
may_come(struct kmn_keeper *k, struct kmn_conn *conn, uint8_t type, const uint8_t *body, size_t len)
{
	if (kmn_frame_check(KMN_SENDER_CLIENT, phase_of(conn), type, body, len) != KMN_OK)
		kmn_gatelink_reject(k, conn, "a frame that is not allowed here or has another shape");
	else if (conn->peer->terminal && type != KMN_F_ADMIN)
		kmn_gatelink_reject(k, conn, "a terminal makes no PKCS#11 calls");
	else if (k->unrecorded && (type == KMN_F_ATTACH || type == KMN_F_JOIN))
		kmn_gatelink_refuse(k, conn, 0, KMN_E_LEDGER, NO_REQUEST, "the ledger cannot be written");
	else
		return true;
	return false;
}

static void
take_alias(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	uint64_t old = kmn_reader_u64(r);

	kmn_alias_take(k, conn, old, kmn_reader_u64(r));
}

static void
take_prove(struct kmn_keeper *k, const struct kmn_conn *conn, struct kmn_reader *r)
{
	uint64_t from = kmn_reader_u64(r);

	kmn_receipts_prove(k, conn, from, kmn_reader_u64(r));
}

static void
take_frame(struct kmn_keeper *k, struct kmn_conn *conn, uint8_t type, const uint8_t *body, size_t len)
{
	struct kmn_reader r;

	if (!may_come(k, conn, type, body, len))
		return;
	kmn_reader_init(&r, body, len);
	switch (type) {
	case KMN_F_ATTACH:
		kmn_instance_attach(k, conn, &r);
		break;
	case KMN_F_JOIN:
		kmn_instance_join(k, conn, &r);
		break;
	case KMN_F_INTERFACES:
		kmn_interfaces_take(k, conn, kmn_reader_u16(&r));
		break;
	case KMN_F_CALL:
		kmn_instance_call(k, conn, body, len);
		break;
	case KMN_F_WATCH:
		conn->watching = true;
		kmn_instance_watch(conn->instance);
		break;
	case KMN_F_END_WAIT:
	case KMN_F_WITHDRAW:
		kmn_instance_end_wait(k, conn, kmn_reader_u64(&r), type == KMN_F_WITHDRAW);
		break;
	case KMN_F_PARK:
		kmn_instance_park(k, conn, kmn_reader_u64(&r));
		break;
	case KMN_F_FORGET:
		kmn_instance_forget(k, conn, kmn_reader_u64(&r));
		break;
	case KMN_F_DETACH:
		detach(k, conn);
		break;
	case KMN_F_ALIAS:
		take_alias(k, conn, &r);
		break;
	case KMN_F_COSIGN:
		kmn_claim_cosigned(k, conn, &r);
		break;
	case KMN_F_PROVE:
		take_prove(k, conn, &r);
		break;
	default:
		kmn_admin_take(k, conn, body, len);
	}
}

static void
framed(struct kmn_keeper *k, struct kmn_reader *r)
{
	uint32_t id = kmn_reader_u32(r);
	uint8_t type = kmn_reader_u8(r);
	const uint8_t *body;
	size_t len = kmn_reader_rest(r, &body);
	struct kmn_conn *conn = kmn_conn_get(k, id);

	if (kmn_reader_end(r) != KMN_OK)
		kmn_keeper_fail(k, "the gate says what cannot be");
	else if (conn != NULL) /* else it was closed here a moment ago */
		take_frame(k, conn, type, body, len);
}

static void
closed(struct kmn_keeper *k, struct kmn_reader *r)
{
	uint32_t id = kmn_reader_u32(r);
	struct kmn_conn *conn = kmn_conn_get(k, id);
	char reason[256];

	kmn_reader_text(r, reason, sizeof(reason));
	if (kmn_reader_end(r) != KMN_OK)
		kmn_keeper_fail(k, "the gate says what cannot be");
	else if (conn != NULL)
		conn_free(k, conn, reason);
}

void
kmn_gatelink_message(struct kmn_keeper *k, const struct kmn_ipc_message *message)
{
	struct kmn_reader r;

	kmn_reader_init(&r, message->body, message->len_bytes);
	switch (message->kind) {
	case KMN_G_OPEN:
		opened(k, &r);
		break;
	case KMN_G_FRAME:
		framed(k, &r);
		break;
	case KMN_G_CLOSED:
		closed(k, &r);
		break;
	case KMN_G_REJECT:
		rejected(k, &r);
		break;
	default:
		kmn_keeper_fail(k, "the gate says what cannot be");
	}
}

/* ---- the gate itself ------------------------------------------------------------------------------------------- */

void
kmn_gatelink_lost(struct kmn_keeper *k)
{
	kmn_ipc_free(k->gate);
	k->gate = NULL;
	for (size_t i = 0; i < KMN_KEEPER_BUCKETS; i++) {
		struct kmn_conn *conn;

		while ((conn = LIST_FIRST(&k->conns[i])) != NULL)
			conn_free(k, conn, "the gate ended");
	}
}

void
kmn_gatelink_take(struct kmn_keeper *k, struct kmn_ipc *gate, const char *why)
{
	if (k->gate != NULL)
		kmn_gatelink_lost(k);
	k->gate = gate;
	kmn_say(KMN_SAY_INFO, "gate: %s", why);
	if (kmn_keeper_watch(k, kmn_ipc_fd(gate), &k->gate) != KMN_OK || kmn_gatelink_send_pins(k) != KMN_OK)
		kmn_keeper_fail(k, "the gate cannot be served");
}
