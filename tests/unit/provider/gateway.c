#include "config.h"

#include "tests/unit/provider/gateway.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/admin.h"
#include "kanmon/codec.h"
#include "kanmon/frame.h"
#include "kanmon/reader.h"
#include "kanmon/writer.h"

#define FRAME_ROOM (KMN_FRAME_MAX_BYTES + 4u)
#define REQUEST_ID 7u
#define EVENT_SLOT 5u
#define MADE_KEY 77u

/* ---- certificates ------------------------------------------------------------------------------------------------ */

static bool
write_pem(const char *folder, const char *name, X509 *certificate, EVP_PKEY *key)
{
	char path[128];
	FILE *f;
	bool ok;

	(void)snprintf(path, sizeof(path), "%s/%s.crt", folder, name);
	if ((f = fopen(path, "w")) == NULL)
		return false;
	ok = PEM_write_X509(f, certificate) == 1;
	ok = fclose(f) == 0 && ok;
	(void)snprintf(path, sizeof(path), "%s/%s.key", folder, name);
	if ((f = fopen(path, "w")) == NULL)
		return false;
	ok = fchmod(fileno(f), 0600) == 0 && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1 && ok;
	return fclose(f) == 0 && ok;
}

/* Over `key` (taken; NULL: a new one), in files called `name`. */
static bool
make_certificate(const char *folder, const char *name, const char *subject_name, EVP_PKEY *key, char spki_out[64])
{
	X509 *x = X509_new();
	X509_NAME *subject = X509_NAME_new();
	uint8_t *der = NULL, hash[32];
	int len;
	bool ok;

	if (key == NULL)
		key = EVP_EC_gen("P-256");
	ok = key != NULL && x != NULL && subject != NULL && X509_set_version(x, 2) == 1 &&
	     X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)subject_name, -1, -1, 0) == 1 &&
	     ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 && X509_set_subject_name(x, subject) == 1 &&
	     X509_set_issuer_name(x, subject) == 1 && X509_gmtime_adj(X509_getm_notBefore(x), -60) != NULL &&
	     X509_gmtime_adj(X509_getm_notAfter(x), 3600) != NULL && X509_set_pubkey(x, key) == 1 &&
	     X509_sign(x, key, EVP_sha256()) > 0 && write_pem(folder, name, x, key);
	len = ok ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der) : 0;
	ok = ok && len > 0 && SHA256(der, (size_t)len, hash) != NULL;
	if (ok)
		(void)EVP_EncodeBlock((uint8_t *)spki_out, hash, sizeof(hash));
	OPENSSL_free(der);
	X509_NAME_free(subject);
	X509_free(x);
	EVP_PKEY_free(key);
	return ok;
}

/* ---- state of the gateway's process ------------------------------------------------------------------------------ */

enum state { UNKNOWN, KEPT, IS_HELD, RUNNING };

struct outcome {
	enum state state;
	uint8_t sha256[32];          /* of the request */
	uint8_t numbered_sha256[32]; /* and of its number before it, as the ledger has it */
	uint16_t call;
	uint64_t rv;
	bool told;  /* READY was sent */
	bool aside; /* PARK was */
};

static struct gateway *g;
static SSL_CTX *tls;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what is below */
static struct outcome outcomes[GATEWAY_NUMBERS];
static uint8_t instance[16], secret[32];
static bool has_instance;
static uint8_t receipts; /* KMN_RECEIPTS_*, of the last ATTACH */
static atomic_ulong channels;

static void
nap(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	while (nanosleep(&t, &t) != 0 && errno == EINTR)
		;
}

/* Whether this is the place to cut, and one cut fewer is left. */
static bool
cuts(enum gateway_break here)
{
	int left;

	if (atomic_load(&g->break_where) != (int)here)
		return false;
	for (left = atomic_load(&g->breaks); left > 0;) {
		if (atomic_compare_exchange_strong(&g->breaks, &left, left - 1))
			return true;
	}
	return false;
}

struct connection {
	int fd;
	SSL *ssl;
	uint8_t exporter[32];
	uint8_t *room;
	size_t len; /* of the last frame's body */
	uint8_t type;
	uint64_t channel;
	struct ledger_reader reader;
};

static bool
read_all(struct connection *c, uint8_t *into, size_t len)
{
	while (len > 0) {
		size_t n;

		if (SSL_read_ex(c->ssl, into, len, &n) != 1)
			return false;
		into += n;
		len -= n;
	}
	return true;
}

static bool
read_frame(struct connection *c)
{
	uint8_t head[5];
	struct kmn_reader r;
	uint32_t len;

	if (!read_all(c, head, sizeof(head)))
		return false;
	kmn_reader_init(&r, head, sizeof(head));
	len = kmn_reader_u32(&r);
	c->type = kmn_reader_u8(&r);
	if (len < 1 || len > KMN_FRAME_MAX_BYTES) {
		atomic_fetch_add(&g->wrong, 1);
		return false;
	}
	c->len = len - 1;
	return read_all(c, c->room, c->len);
}

/* Sends a frame, or half of it. */
static bool
write_frame(struct connection *c, uint8_t type, const struct kmn_writer *body, bool half)
{
	struct kmn_writer w;
	size_t n = 0;
	bool ok;

	kmn_writer_init(&w, FRAME_ROOM);
	kmn_writer_u32(&w, (uint32_t)(body != NULL ? body->len : 0) + 1);
	kmn_writer_u8(&w, type);
	if (body != NULL)
		kmn_writer_raw(&w, body->bytes, body->len);
	ok = w.err == KMN_OK && SSL_write_ex(c->ssl, w.bytes, half ? w.len / 2 : w.len, &n) == 1 && !half;
	kmn_writer_clear(&w);
	return ok;
}

static bool
write_refused(struct connection *c, uint64_t number, kmn_err e)
{
	struct kmn_writer w;
	bool ok;

	kmn_writer_init(&w, 256);
	kmn_writer_u64(&w, number);
	kmn_writer_u32(&w, (uint32_t)e);
	kmn_writer_u64(&w, UINT64_MAX);
	kmn_writer_text(&w, "so the script says");
	ok = write_frame(c, KMN_F_REFUSED, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static enum lie
lie_now(void)
{
	return (enum lie)atomic_load(&g->lie);
}

/* The head that the client names, by its size. */
static void
take_named(struct connection *c, struct kmn_reader *r)
{
	struct kmn_note note;
	struct kmn_head head = {0};
	const uint8_t *named;
	size_t len = kmn_reader_bytes(r, KMN_FRAME_HEAD_MAX_BYTES, &named);

	if (len > 0 && (kmn_note_parse((const char *)named, len, &note, NULL) != KMN_OK ||
			   kmn_checkpoint_parse(&note, LEDGER_ORIGIN, &head, NULL) != KMN_OK))
		atomic_fetch_add(&g->wrong, 1);
	c->reader.from = head.size;
	c->channel = atomic_fetch_add(&channels, 1) + 1;
}

/* The channel's number, and the head. */
static void
put_head(struct connection *c, struct kmn_writer *w)
{
	kmn_writer_u64(w, c->channel);
	if (receipts != KMN_RECEIPTS_OFF)
		ledger_put_head(lie_now(), &c->reader, w);
	else
		kmn_writer_bytes(w, "", 0);
}

static bool
on_attach(struct connection *c)
{
	uint8_t gateway_random[32], client_random[32], raw[5];
	const uint8_t *view;
	struct kmn_writer w;
	struct kmn_reader r;
	bool ok;

	kmn_reader_init(&r, c->room, c->len);
	kmn_reader_raw(&r, raw, sizeof(raw));
	(void)kmn_reader_bytes(&r, KMN_FRAME_TEXT_MAX_BYTES, &view);
	(void)kmn_reader_bytes(&r, KMN_FRAME_TEXT_MAX_BYTES, &view);
	kmn_reader_raw(&r, client_random, sizeof(client_random));
	atomic_store(&g->first_handle, kmn_reader_u64(&r));
	receipts = kmn_reader_u8(&r);
	take_named(c, &r);
	kmn_reader_text(&r, g->cosignature, sizeof(g->cosignature));
	kmn_reader_text(&r, g->cosigner, sizeof(g->cosigner));
	if (g->cosignature[0] != '\0') {
		atomic_store(&g->cosigned_size, (unsigned long)c->reader.from);
		atomic_fetch_add(&g->cosigned_attach, 1);
	}
	atomic_store(&g->forgets, 0);
	atomic_fetch_add(&g->attached, 1);
	(void)RAND_bytes(gateway_random, sizeof(gateway_random));
	(void)pthread_mutex_lock(&lock);
	(void)RAND_bytes(instance, sizeof(instance));
	has_instance = true;
	memset(outcomes, 0, sizeof(outcomes));
	kmn_instance_secret(gateway_random, client_random, c->exporter, secret);
	(void)pthread_mutex_unlock(&lock);
	kmn_writer_init(&w, FRAME_ROOM);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_raw(&w, instance, sizeof(instance));
	kmn_writer_raw(&w, gateway_random, sizeof(gateway_random));
	kmn_writer_u32(&w, (uint32_t)atomic_load(&g->lease_ms));
	kmn_writer_text(&w, lie_now() == LIE_ORIGIN_IN_HELLO ? "kanmon.example/other" : LEDGER_ORIGIN);
	put_head(c, &w);
	ok = write_frame(c, KMN_F_ATTACHED, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

static bool
on_join(struct connection *c)
{
	uint8_t want[32];
	struct kmn_reader r;
	struct kmn_writer w;
	bool known, right, ok;

	(void)pthread_mutex_lock(&lock);
	known = has_instance && atomic_load(&g->forgets) == 0 && memcmp(c->room + 2, instance, 16) == 0;
	kmn_join_proof(secret, c->exporter, want);
	right = memcmp(c->room + 18, want, 32) == 0;
	(void)pthread_mutex_unlock(&lock);
	if (!known) {
		(void)write_refused(c, 0, KMN_E_INSTANCE);
		return false;
	}
	if (!right) {
		atomic_fetch_add(&g->wrong, 1);
		return false;
	}
	if (cuts(BREAK_BEFORE_JOINED))
		return false;
	atomic_fetch_add(&g->joined, 1);
	kmn_reader_init(&r, c->room + 50, c->len - 50);
	take_named(c, &r);
	c->reader.joined = true;
	kmn_writer_init(&w, FRAME_ROOM);
	kmn_writer_u64(&w, atomic_load(&g->highest));
	put_head(c, &w);
	ok = write_frame(c, KMN_F_JOINED, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

static bool
write_held(struct connection *c, uint64_t number)
{
	struct kmn_writer w;
	bool ok;

	if (cuts(BREAK_BEFORE_HELD))
		return false;
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, number);
	kmn_writer_u64(&w, REQUEST_ID);
	ok = write_frame(c, KMN_F_HELD, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

static bool
write_notice(struct connection *c)
{
	struct kmn_writer w;
	bool ok;

	kmn_writer_init(&w, 16);
	kmn_writer_u8(&w, KMN_NOTICE_SLOT);
	kmn_writer_u64(&w, EVENT_SLOT);
	ok = write_frame(c, KMN_F_NOTICE, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

/* The calls with an output that a test looks at. */
static void
put_number(struct kmn_writer *w, enum kmn_call_id call, uint64_t number)
{
	kmn_message_begin(w, call);
	kmn_writer_u64(w, CKR_OK);
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(w, number);
}

static void
put_slot_info(struct kmn_writer *w, uint64_t rv)
{
	const CK_SLOT_INFO info = {.slotDescription = "a slot", .flags = CKF_TOKEN_PRESENT | CKF_HW_SLOT};

	kmn_message_begin(w, KMN_C_GetSlotInfo);
	kmn_writer_u64(w, rv);
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_struct_put(w, KMN_KIND_SLOT_INFO, &info);
}

static const char signature[] = "a signature of the fake gateway";

static void
put_session_info(struct kmn_writer *w)
{
	static const CK_SESSION_INFO info = {.slotID = 1, .state = CKS_RO_USER_FUNCTIONS};

	kmn_message_begin(w, KMN_C_GetSessionInfo);
	kmn_writer_u64(w, CKR_OK);
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_struct_put(w, KMN_KIND_SESSION_INFO, &info);
}

static void
put_token_info(struct kmn_writer *w)
{
	static const CK_TOKEN_INFO info = {.flags = CKF_TOKEN_INITIALIZED | CKF_ASYNC_SESSION_SUPPORTED};

	kmn_message_begin(w, KMN_C_GetTokenInfo);
	kmn_writer_u64(w, CKR_OK);
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_struct_put(w, KMN_KIND_TOKEN_INFO, &info);
}

static void
put_made_key(struct kmn_writer *w)
{
	kmn_message_begin(w, KMN_C_GenerateKey);
	kmn_writer_u64(w, CKR_OK);
	kmn_writer_u8(w, KMN_OUTPUT_NONE); /* the mechanism */
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(w, MADE_KEY);
}

static void
put_response(struct kmn_writer *w, uint16_t call, uint64_t rv)
{
	if (call == KMN_C_GetTokenInfo && atomic_load(&g->async) != 0)
		put_token_info(w);
	else if (call == KMN_C_GetSlotInfo)
		put_slot_info(w, rv);
	else if (call == KMN_C_GetSessionInfo && receipts != KMN_RECEIPTS_OFF)
		put_session_info(w);
	else if (call == KMN_C_WaitForSlotEvent && rv == CKR_OK)
		put_number(w, KMN_C_WaitForSlotEvent, EVENT_SLOT);
	else if (call == KMN_C_OpenSession && atomic_load(&g->handle) != 0)
		put_number(w, KMN_C_OpenSession, atomic_load(&g->handle));
	else if (call == KMN_C_GenerateKey && rv == CKR_OK)
		put_made_key(w);
	else if (call == KMN_C_CreateObject && rv == CKR_OK)
		put_number(w, KMN_C_CreateObject, MADE_KEY);
	else if (call == KMN_C_Sign && rv == CKR_OK)
		kmn_response_put_bytes(KMN_C_Sign, signature, sizeof(signature), UINT64_MAX, w);
	else
		kmn_response_put_error((enum kmn_call_id)call, rv, w);
}

/* The receipt of a CALL that is in c->room, if it has one. */
static void
put_receipt(struct connection *c, uint64_t rv, const struct kmn_writer *response, struct kmn_writer *w)
{
	struct kmn_call_view view;
	struct ledger_call call;
	const struct kmn_value *in;
	struct kmn_writer hashed;

	if (receipts == KMN_RECEIPTS_OFF || c->type != KMN_F_CALL ||
	    kmn_call_view_decode(c->room + 16, c->len - 16, &view) != KMN_OK ||
	    kmn_receipt_due(&view, rv) != KMN_RECEIPT_MUST) {
		ledger_put_none(receipts != KMN_RECEIPTS_OFF ? lie_now() : LIE_NONE, &c->reader, w);
		return;
	}
	kmn_writer_init(&hashed, FRAME_ROOM);
	kmn_writer_raw(&hashed, c->room, 8);
	kmn_writer_raw(&hashed, c->room + 16, c->len - 16);
	in = kmn_view_data(&view, 0);
	call = (struct ledger_call){.id = view.id,
	    .chan = c->channel,
	    .rv = rv,
	    .request = hashed.bytes,
	    .request_len = hashed.len,
	    .in = in != NULL ? in->bytes : NULL,
	    .in_len = in != NULL ? in->len : 0,
	    .out = view.id == KMN_C_Sign ? (const uint8_t *)signature : NULL,
	    .out_len = sizeof(signature),
	    .response = response->bytes,
	    .response_len = response->len};
	for (size_t i = 0; i < 8; i++)
		call.number = call.number << 8 | c->room[i];
	if (!kmn_view_session(&view, &call.session))
		call.session = 0;
	ledger_put_answer(lie_now(), &c->reader, &call, w);
	kmn_writer_clear(&hashed);
}

static bool
write_reply(struct connection *c, uint64_t number, uint16_t call, uint64_t rv)
{
	struct kmn_writer w, response;
	bool stays = atomic_load(&g->idle_cut) == 0, ok;

	if (cuts(BREAK_BEFORE_REPLY) || (atomic_load(&g->chatter) != 0 && !write_notice(c)))
		return false;
	kmn_writer_init(&w, FRAME_ROOM);
	kmn_writer_init(&response, 4096);
	kmn_writer_u64(&w, number);
	put_response(&response, call, rv);
	put_receipt(c, rv, &response, &w);
	kmn_writer_raw(&w, response.bytes, response.len);
	kmn_writer_clear(&response);
	ok = write_frame(c, KMN_F_REPLY, &w, cuts(BREAK_IN_REPLY)) && stays;
	if (ok && atomic_load(&g->chatter) != 0)
		ok = write_notice(c);
	kmn_writer_clear(&w);
	return ok;
}

static void
run(struct outcome *o)
{
	o->state = RUNNING;
	atomic_fetch_add(&g->runs, 1);
	(void)pthread_mutex_unlock(&lock);
	atomic_fetch_add(&g->running, 1);
	nap(atomic_load(&g->run_ms));
	atomic_fetch_sub(&g->running, 1);
	(void)pthread_mutex_lock(&lock);
	o->rv = atomic_load(&g->rv);
	o->state = KEPT;
}

/* C_WaitForSlotEvent, the lock taken; false when it is to be waited for. */
static bool
decide_event(struct outcome *o, uint64_t flags)
{
	int events = atomic_load(&g->events);

	o->state = events > 0 || (flags & CKF_DONT_BLOCK) != 0 ? KEPT : IS_HELD;
	o->rv = events > 0 ? CKR_OK : CKR_NO_EVENT;
	if (events > 0)
		atomic_fetch_sub(&g->events, 1);
	return o->state == KEPT;
}

static bool
can_be_held(uint16_t call)
{
	return call == KMN_C_SignUpdate || call == KMN_C_CreateObject || call == KMN_C_DestroyObject ||
	       call == KMN_C_GenerateKey;
}

/* The lock is taken. True when there is an outcome, false when the call is held. */
static bool
decide(struct outcome *o, uint16_t call, uint64_t flags)
{
	while (o->state == RUNNING) { /* sent again while it still runs: waits for the same outcome */
		(void)pthread_mutex_unlock(&lock);
		nap(5);
		(void)pthread_mutex_lock(&lock);
	}
	if (o->state == KEPT)
		return true;
	if (call == KMN_C_WaitForSlotEvent)
		return decide_event(o, flags);
	if (can_be_held(call) && atomic_load(&g->hold) != 0 && atomic_load(&g->decided) == 0) {
		o->state = IS_HELD;
		return false;
	}
	run(o);
	return true;
}

/* Of a CALL: its number and its payload, without what is acknowledged between the two. */
static void
hash_numbered(const uint8_t *body, size_t len, uint8_t out[32])
{
	uint8_t *both = malloc(len - 8);

	memcpy(both, body, 8);
	memcpy(both + 8, body + 16, len - 16);
	(void)SHA256(both, len - 8, out);
	free(both);
}

static bool
on_call(struct connection *c)
{
	struct kmn_reader r;
	uint64_t number, acknowledged, rv;
	uint8_t sha256[32], numbered_sha256[32], salt[KMN_SALT_BYTES];
	uint16_t call;
	struct outcome *o;
	bool answered;

	kmn_reader_init(&r, c->room, c->len);
	number = kmn_reader_u64(&r);
	acknowledged = kmn_reader_u64(&r);
	call = kmn_reader_u16(&r) & (uint16_t)~KMN_CALL_2_40;
	(void)SHA256(c->room + 16, c->len - 16, sha256);
	hash_numbered(c->room, c->len, numbered_sha256);
	atomic_fetch_add(&g->asked, 1);
	if (r.err != KMN_OK || number == 0 || number >= GATEWAY_NUMBERS || acknowledged > number) {
		atomic_fetch_add(&g->wrong, 1);
		return false;
	}
	if (atomic_load(&g->forgets) != 0)
		return write_refused(c, number, KMN_E_INSTANCE);
	if (atomic_load(&g->worker_died) != 0)
		return write_refused(c, number, KMN_E_WORKER);
	if (cuts(BREAK_BEFORE_RUN))
		return false;
	(void)pthread_mutex_lock(&lock);
	o = &outcomes[number];
	if (acknowledged > atomic_load(&g->acknowledged))
		atomic_store(&g->acknowledged, (unsigned long)acknowledged);
	if (number > atomic_load(&g->highest))
		atomic_store(&g->highest, (unsigned long)number);
	if (o->state != UNKNOWN) {
		atomic_fetch_add(&g->repeated, 1);
		if (memcmp(o->sha256, sha256, sizeof(sha256)) != 0 ||
		    (number < atomic_load(&g->acknowledged) && !o->aside))
			atomic_fetch_add(&g->wrong, 1);
	}
	memcpy(o->sha256, sha256, sizeof(sha256));
	memcpy(o->numbered_sha256, numbered_sha256, sizeof(numbered_sha256));
	if (o->state == UNKNOWN && atomic_load(&g->refuse) != 0) {
		o->state = KEPT;
		(void)pthread_mutex_unlock(&lock);
		return write_refused(c, number, (kmn_err)atomic_load(&g->refuse));
	}
	o->call = call;
	kmn_reader_raw(&r, salt, sizeof(salt));
	answered = decide(o, call, kmn_reader_u64(&r));
	rv = o->rv;
	(void)pthread_mutex_unlock(&lock);
	return answered ? write_reply(c, number, call, rv) : write_held(c, number);
}

static bool
on_prove(struct connection *c)
{
	struct kmn_reader r;
	struct kmn_writer w;
	uint64_t from, to;
	bool ok;

	atomic_fetch_add(&g->proofs, 1);
	if (atomic_load(&g->prove_cuts) > 0 && atomic_fetch_sub(&g->prove_cuts, 1) > 0)
		return false;
	kmn_reader_init(&r, c->room, c->len);
	from = kmn_reader_u64(&r);
	to = kmn_reader_u64(&r);
	kmn_writer_init(&w, FRAME_ROOM);
	kmn_writer_u64(&w, from);
	kmn_writer_u64(&w, to);
	ok = ledger_put_proof(lie_now(), from, to, &w) ? write_frame(c, KMN_F_PROVEN, &w, false)
						       : write_refused(c, 0, KMN_E_NOT_FOUND);
	kmn_writer_clear(&w);
	return ok;
}

static bool
on_cosign(struct connection *c)
{
	struct kmn_reader r;
	struct kmn_writer w;
	uint64_t size;
	bool ok;

	kmn_reader_init(&r, c->room, c->len);
	size = kmn_reader_u64(&r);
	kmn_reader_text(&r, g->cosignature, sizeof(g->cosignature));
	atomic_store(&g->cosigned_size, (unsigned long)size);
	atomic_fetch_add(&g->cosigned, 1);
	kmn_writer_init(&w, 8);
	kmn_writer_u64(&w, size);
	ok = write_frame(c, KMN_F_COSIGNED, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

/* Of the tool's questions only the one that the provider asks of its own. */
/* How a request stands is known to nobody here: the call itself says it. */
static bool
write_unknown(struct connection *c)
{
	struct kmn_writer w;
	bool ok;

	kmn_writer_init(&w, 64);
	kmn_writer_u32(&w, KMN_E_NOT_FOUND);
	kmn_writer_text(&w, "no such request");
	ok = write_frame(c, KMN_F_ADMIN_REPLY, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

static bool
on_admin(struct connection *c)
{
	uint8_t req_sha256[KMN_HASH_BYTES], resp_sha256[KMN_HASH_BYTES];
	struct kmn_reader r;
	struct kmn_writer w;
	uint64_t number;
	bool ok;

	if (c->len >= 2 && (c->room[0] << 8 | c->room[1]) == KMN_ADMIN_REQUEST_SHOW)
		return write_unknown(c);
	kmn_reader_init(&r, c->room, c->len);
	if (kmn_reader_u16(&r) != KMN_ADMIN_BAD_RECEIPT) {
		atomic_fetch_add(&g->wrong, 1);
		return false;
	}
	if (atomic_load(&g->complaint_cuts) > 0 && atomic_fetch_sub(&g->complaint_cuts, 1) > 0)
		return false;
	number = kmn_reader_u64(&r);
	kmn_reader_text(&r, g->complaint, sizeof(g->complaint));
	kmn_reader_raw(&r, req_sha256, sizeof(req_sha256));
	kmn_reader_raw(&r, resp_sha256, sizeof(resp_sha256));
	if (kmn_reader_end(&r) != KMN_OK || number >= GATEWAY_NUMBERS ||
	    memcmp(outcomes[number].numbered_sha256, req_sha256, sizeof(req_sha256)) != 0)
		atomic_fetch_add(&g->wrong, 1);
	atomic_store(&g->complaint_number, (unsigned long)number);
	atomic_fetch_add(&g->complaints, 1);
	kmn_writer_init(&w, 64);
	kmn_writer_u32(&w, atomic_load(&g->is_older) != 0 ? KMN_E_NOT_FOUND : KMN_OK);
	kmn_writer_bytes(&w, "{\"recorded\":true}", 17);
	ok = write_frame(c, KMN_F_ADMIN_REPLY, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

static bool
on_end_wait(struct connection *c)
{
	struct kmn_reader r;
	uint64_t number;

	kmn_reader_init(&r, c->room, c->len);
	number = kmn_reader_u64(&r);
	if (kmn_reader_end(&r) != KMN_OK || number >= GATEWAY_NUMBERS) {
		atomic_fetch_add(&g->wrong, 1);
		return false;
	}
	if (cuts(BREAK_BEFORE_RUN))
		return false;
	atomic_fetch_add(c->type == KMN_F_WITHDRAW ? &g->withdrawn : &g->ended_waits, 1);
	(void)pthread_mutex_lock(&lock);
	if (outcomes[number].state == IS_HELD) {
		outcomes[number].state = KEPT;
		outcomes[number].rv = CKR_FUNCTION_CANCELED;
	}
	(void)pthread_mutex_unlock(&lock);
	return write_reply(c, number, outcomes[number].call, outcomes[number].rv);
}

/* PARK, and FORGET: of a call that was left aside and has its outcome nothing is kept then. */
static bool
on_aside(struct connection *c)
{
	struct kmn_reader r;
	struct kmn_writer w;
	struct outcome *o;
	uint64_t number;
	bool held, ok;

	kmn_reader_init(&r, c->room, c->len);
	number = kmn_reader_u64(&r);
	if (kmn_reader_end(&r) != KMN_OK || number >= GATEWAY_NUMBERS) {
		atomic_fetch_add(&g->wrong, 1);
		return false;
	}
	if (cuts(BREAK_BEFORE_RUN))
		return false;
	(void)pthread_mutex_lock(&lock);
	o = &outcomes[number];
	held = o->state == IS_HELD;
	if (c->type == KMN_F_PARK && held && atomic_load(&g->crowded) != 0) {
		(void)pthread_mutex_unlock(&lock);
		return write_refused(c, number, KMN_E_BUSY);
	}
	if (c->type == KMN_F_PARK && held) {
		o->aside = true;
		atomic_fetch_add(&g->parked, 1);
	} else if (c->type == KMN_F_FORGET && !held && o->aside) {
		o->aside = false;
		atomic_fetch_add(&g->forgotten, 1);
	} else if (c->type == KMN_F_FORGET && held) {
		atomic_fetch_add(&g->wrong, 1);
	}
	(void)pthread_mutex_unlock(&lock);
	if (c->type == KMN_F_PARK)
		return held ? write_held(c, number) : write_reply(c, number, o->call, o->rv);
	kmn_writer_init(&w, 8);
	kmn_writer_u64(&w, number);
	ok = write_frame(c, KMN_F_FORGOTTEN, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

static bool
tell_ready(struct connection *c)
{
	for (uint64_t n = 1; n <= atomic_load(&g->highest); n++) {
		struct kmn_writer w;
		bool tell, ok;

		(void)pthread_mutex_lock(&lock);
		tell = outcomes[n].state == IS_HELD && !outcomes[n].told;
		outcomes[n].told = outcomes[n].told || tell;
		(void)pthread_mutex_unlock(&lock);
		if (!tell)
			continue;
		if (cuts(BREAK_BEFORE_READY))
			return false;
		kmn_writer_init(&w, 8);
		kmn_writer_u64(&w, n);
		ok = write_frame(c, KMN_F_READY, &w, false);
		kmn_writer_clear(&w);
		if (!ok)
			return false;
	}
	return true;
}

static void
watch(struct connection *c)
{
	unsigned notices = atomic_load(&g->notices);

	atomic_fetch_add(&g->watched, 1);
	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};

		if (poll(&p, 1, 5) != 0 ||
		    atomic_load(&g->forgets) != 0) /* a client that watches says no more: it hung up */
			return;
		if (atomic_load(&g->decided) != 0 && !tell_ready(c))
			return;
		for (; notices != atomic_load(&g->notices); notices++)
			if (!write_notice(c))
				return;
	}
}

/* How INTERFACES can be answered; the last are no answers at all. */
static const struct {
	uint8_t count; /* stated */
	uint16_t version[4];
	unsigned rows;
	size_t bytes_more;
} offers[] = {
    {1, {0x0228}, 1, 0},
    {2, {0x0300, 0x0228}, 2, 0},
    {3, {0x0302, 0x0300, 0x0228}, 3, 0},
    {3, {0x0301, 0x0301, 0x0309}, 3, 0},
    {0, {0}, 0, 0}, /* the gateway does not know yet */
    {1, {0x0400}, 1, 0},
    {0, {0}, 0, 7},
    {200, {0x0300}, 1, 0},
    {1, {0x0300}, 1, 1},
};

static bool
on_interfaces(struct connection *c)
{
	unsigned offer = (unsigned)atomic_load(&g->offer);
	struct kmn_writer w;
	bool ok;

	atomic_fetch_add(&g->interfaces, 1);
	if (offer == GATEWAY_OFFERS_NOTHING_YET)
		return write_refused(c, 0, KMN_E_BUSY);
	kmn_writer_init(&w, 256);
	kmn_writer_u8(&w, offers[offer].count);
	for (unsigned i = 0; i < offers[offer].rows; i++) {
		kmn_writer_u16(&w, offers[offer].version[i]);
		kmn_writer_u64(&w, CKF_INTERFACE_FORK_SAFE);
	}
	for (size_t i = 0; i < offers[offer].bytes_more; i++)
		kmn_writer_u8(&w, 0);
	ok = write_frame(c, KMN_F_OFFERED, &w, false);
	kmn_writer_clear(&w);
	return ok;
}

static void
serve(struct connection *c)
{
	bool going = true;

	while (going && read_frame(c)) {
		switch (c->type) {
		case KMN_F_ATTACH:
			going = on_attach(c);
			break;
		case KMN_F_JOIN:
			going = on_join(c);
			break;
		case KMN_F_INTERFACES:
			going = on_interfaces(c);
			break;
		case KMN_F_CALL:
			going = on_call(c);
			break;
		case KMN_F_END_WAIT:
		case KMN_F_WITHDRAW:
			going = on_end_wait(c);
			break;
		case KMN_F_PARK:
		case KMN_F_FORGET:
			going = on_aside(c);
			break;
		case KMN_F_PROVE:
			going = on_prove(c);
			break;
		case KMN_F_ADMIN:
			going = on_admin(c);
			break;
		case KMN_F_COSIGN:
			going = on_cosign(c);
			break;
		case KMN_F_WATCH:
			watch(c);
			return;
		case KMN_F_DETACH:
			atomic_fetch_add(&g->detached, 1);
			going = write_frame(c, KMN_F_DETACHED, NULL, false);
			break;
		default:
			atomic_fetch_add(&g->wrong, 1);
			return;
		}
	}
	if ((SSL_get_shutdown(c->ssl) & SSL_RECEIVED_SHUTDOWN) != 0)
		atomic_fetch_add(&g->goodbyes, 1);
}

static void *
connection_main(void *cookie)
{
	struct connection c = {.fd = *(int *)cookie};

	free(cookie);
	c.ssl = SSL_new(tls);
	c.room = malloc(FRAME_ROOM);
	if (c.ssl != NULL && c.room != NULL && SSL_set_fd(c.ssl, c.fd) == 1 && SSL_accept(c.ssl) == 1 &&
	    SSL_export_keying_material(
		c.ssl, c.exporter, 32, KMN_EXPORTER_LABEL, strlen(KMN_EXPORTER_LABEL), NULL, 0, 0) == 1)
		serve(&c);
	SSL_free(c.ssl);
	free(c.room);
	(void)close(c.fd);
	atomic_fetch_sub(&g->open, 1);
	return NULL;
}

/* Any certificate will do: who may connect is the real gateway's matter. */
static int
accept_any(X509_STORE_CTX *store, void *cookie)
{
	(void)store;
	(void)cookie;
	return 1;
}

static int
pick_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in, unsigned in_len, void *cookie)
{
	static const uint8_t ours[] = {8, 'k', 'a', 'n', 'm', 'o', 'n', '/', '1'};
	uint8_t *chosen;

	(void)ssl;
	(void)cookie;
	if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours), in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool
prepare_tls(void)
{
	char path[128];

	if ((tls = SSL_CTX_new(TLS_server_method())) == NULL)
		return false;
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(tls, accept_any, NULL);
	SSL_CTX_set_alpn_select_cb(tls, pick_alpn, NULL);
	(void)snprintf(path, sizeof(path), "%s/gateway.crt", g->folder);
	if (SSL_CTX_use_certificate_file(tls, path, SSL_FILETYPE_PEM) != 1)
		return false;
	(void)snprintf(path, sizeof(path), "%s/gateway.key", g->folder);
	return SSL_CTX_use_PrivateKey_file(tls, path, SSL_FILETYPE_PEM) == 1 && SSL_CTX_set_num_tickets(tls, 0) == 1;
}

static void
count_open(void)
{
	unsigned open = atomic_fetch_add(&g->open, 1) + 1;

	if (open > atomic_load(&g->open_most))
		atomic_store(&g->open_most, open);
}

static bool
is_full(void)
{
	int limit = atomic_load(&g->open_limit);

	return limit > 0 && atomic_load(&g->open) >= (unsigned)limit;
}

static bool
open_ledger(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/ledger", g->folder);
	return ledger_open(path, g->log_seed);
}

_Noreturn static void
gateway_main(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it ended before it could be tied to us */
		_exit(1);
	(void)signal(SIGPIPE, SIG_IGN);
	if (!prepare_tls() || !open_ledger())
		_exit(1);
	for (;;) {
		pthread_t thread;
		int *fd = malloc(sizeof(*fd));

		if (fd == NULL || (*fd = accept(g->listener, NULL, NULL)) < 0)
			_exit(1);
		if (cuts(BREAK_BEFORE_HANDSHAKE) || is_full()) {
			(void)close(*fd);
			free(fd);
			continue;
		}
		count_open();
		if (pthread_create(&thread, NULL, connection_main, fd) != 0 || pthread_detach(thread) != 0)
			_exit(1);
	}
}

/* ---- for the test ------------------------------------------------------------------------------------------------ */

static int
listen_at(unsigned *port)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)*port)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
	    bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 100) == 0 &&
	    getsockname(fd, (struct sockaddr *)&a, &len) == 0) {
		*port = ntohs(a.sin_port);
		return fd;
	}
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

struct gateway *
gateway_new(void)
{
	char client_spki[64];
	struct gateway *made = mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (made == MAP_FAILED)
		return NULL;
	made->pid = -1;
	made->listener = -1;
	atomic_store(&made->lease_ms, 10000);
	strcpy(made->folder, "/tmp/kmn-provider-XXXXXX");
	made->log_seed[0] = 42;
	if (!ledger_vkey(made->log_seed, made->log_vkey) || mkdtemp(made->folder) == NULL ||
	    !make_certificate(made->folder, "gateway", "gateway", NULL, made->gateway_spki) ||
	    !make_certificate(made->folder, "client", "client", NULL, client_spki)) {
		gateway_free(made);
		return NULL;
	}
	return made;
}

bool
gateway_start(struct gateway *made)
{
	pid_t pid, parent = getpid();

	g = made;
	if ((g->listener = listen_at(&g->port)) < 0)
		return false;
	(void)fflush(NULL);
	if ((pid = fork()) == 0)
		gateway_main(parent);
	(void)close(g->listener);
	g->pid = pid; /* not by the child: the memory is shared */
	return pid > 0;
}

void
gateway_stop(struct gateway *made)
{
	if (made->pid <= 0)
		return;
	(void)kill(made->pid, SIGKILL);
	(void)waitpid(made->pid, NULL, 0);
	made->pid = -1;
	atomic_store(&made->open, 0);
}

void
gateway_free(struct gateway *made)
{
	char command[128];

	gateway_stop(made);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", made->folder);
	if (system(command) != 0)
		(void)fprintf(stderr, "%s stays\n", made->folder);
	(void)munmap(made, sizeof(*made));
}

bool
gateway_configure(const struct gateway *made, const char *more)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/kanmon.conf", made->folder);
	if ((f = fopen(path, "w")) == NULL)
		return false;
	(void)fprintf(f,
	    "gateway = \"127.0.0.1:%u\"\ngateway-spki = \"%s\"\norigin = \"kanmon.example/test\"\n"
	    "certificate = \"client.crt\"\nkey = \"client.key\"\ninit-wait = 1\n%s%s",
	    made->port, made->gateway_spki, strstr(more, "receipts") == NULL ? "receipts = off\n" : "", more);
	return fclose(f) == 0 && setenv("KANMON_CONFIG", path, 1) == 0;
}

bool
gateway_configure_receipts(const struct gateway *made, const char *mode, const char *more)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "log-key = \"%s\"\nreceipts = %s\n%s%s", made->log_vkey, mode,
	    strstr(more, "state") == NULL ? "state = state\n" : "", more);
	return gateway_configure(made, text);
}

bool
gateway_rename(struct gateway *made, const char *name)
{
	char path[128];
	EVP_PKEY *key = NULL;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/gateway.key", made->folder);
	if ((f = fopen(path, "r")) == NULL)
		return false;
	key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	(void)fclose(f);
	return key != NULL && make_certificate(made->folder, "gateway", name, key, made->gateway_spki);
}

bool
gateway_await(atomic_uint *counter, unsigned least)
{
	for (int i = 0; i < 1000 && atomic_load(counter) < least; i++)
		nap(10);
	return atomic_load(counter) >= least;
}
