/* The gate's side of the rig: connections, and what applications ask over them. */
#include "config.h"

#include "tests/unit/keeper/rig_parts.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/run.h"

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void
exporter_of(uint32_t conn, uint8_t out[KMN_EXPORTER_BYTES])
{
	kmn_sha256(&conn, sizeof(conn), out);
}

void
rig_open(struct rig *rig, uint32_t conn, const struct test_certificate *who)
{
	BIO *bio = BIO_new_mem_buf(who->certificate, -1);
	X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	uint8_t exporter[KMN_EXPORTER_BYTES], *der = NULL;
	int der_len = i2d_X509(x509, &der);
	struct kmn_writer w;

	CU_ASSERT_TRUE_FATAL(der_len > 0);
	exporter_of(conn, exporter);
	rig->closed[conn % RIG_CONNS] = false;
	kmn_writer_init(&w, 65536);
	kmn_writer_u32(&w, conn);
	kmn_writer_bytes(&w, der, (size_t)der_len);
	kmn_writer_text(&w, "TLSv1.3");
	kmn_writer_text(&w, "TLS_AES_256_GCM_SHA384");
	kmn_writer_raw(&w, exporter, sizeof(exporter));
	kmn_writer_text(&w, "127.0.0.1:1");
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_send(rig->gate, KMN_G_OPEN, w.bytes, w.len, -1), KMN_OK);
	kmn_writer_clear(&w);
	OPENSSL_free(der);
	X509_free(x509);
	BIO_free(bio);
}

void
rig_close(struct rig *rig, uint32_t conn)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 256);
	kmn_writer_u32(&w, conn);
	kmn_writer_text(&w, "hung up");
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_send(rig->gate, KMN_G_CLOSED, w.bytes, w.len, -1), KMN_OK);
	kmn_writer_clear(&w);
}

void
rig_send(struct rig *rig, uint32_t conn, uint8_t type, struct kmn_writer *body)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 1 << 20);
	kmn_writer_u32(&w, conn);
	kmn_writer_u8(&w, type);
	kmn_writer_raw(&w, body->bytes, body->len);
	if (kmn_ipc_send(rig->gate, KMN_G_FRAME, w.bytes, w.len, -1) != KMN_OK) {
		for (int64_t until = rig_now_ms() + WAIT_MS; !rig_gone(rig) && rig_now_ms() < until;)
			rig_pump(rig, 10);
		CU_ASSERT_TRUE_FATAL(rig_gone(rig));
	}
	kmn_writer_clear(&w);
	kmn_writer_clear(body);
}

/* ---- applications ------------------------------------------------------------------------------------------------ */

static void
send_attach(struct rig *rig, uint32_t conn, const struct test_certificate *who, const uint8_t client_random[32],
    uint64_t first_handle, const struct rig_claim *claim)
{
	struct kmn_writer w;

	rig_open(rig, conn, who);
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_u8(&w, sizeof(CK_ULONG));
	kmn_writer_u8(&w, 1);
	kmn_writer_u8(&w, 0);
	kmn_writer_text(&w, "rig");
	kmn_writer_text(&w, "localhost");
	kmn_writer_raw(&w, client_random, 32);
	kmn_writer_u64(&w, first_handle);
	kmn_writer_u8(&w, claim->receipts);
	kmn_writer_text(&w, claim->head != NULL ? claim->head : "");
	kmn_writer_text(&w, claim->line != NULL ? claim->line : "");
	kmn_writer_text(&w, claim->vkey != NULL ? claim->vkey : "");
	rig_send(rig, conn, KMN_F_ATTACH, &w);
}

/* What ATTACHED and JOINED end with. */
static void
take_head(struct rig_app *app, struct kmn_reader *r)
{
	const uint8_t *view;

	app->chan = kmn_reader_u64(r);
	app->head_receipt_len = kmn_reader_bytes(r, sizeof(app->head_receipt), &view);
	CU_ASSERT_EQUAL_FATAL(kmn_reader_end(r), KMN_OK);
	if (app->head_receipt_len > 0)
		memcpy(app->head_receipt, view, app->head_receipt_len);
}

static bool
attach(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who, uint64_t first_handle)
{
	uint8_t client_random[32] = {7}, gateway_random[32], exporter[KMN_EXPORTER_BYTES];
	char origin[256];
	struct rig_frame f;
	struct kmn_reader r;

	app->conn = conn;
	app->number = 0;
	app->acknowledged = 1;
	send_attach(rig, conn, who, client_random, first_handle, &app->claim);
	if (!rig_expect(rig, conn, KMN_F_ATTACHED, &f))
		return false;
	kmn_reader_init(&r, f.body, f.len);
	CU_ASSERT_EQUAL(kmn_reader_u16(&r), KMN_FRAME_VERSION);
	kmn_reader_raw(&r, app->id, sizeof(app->id));
	kmn_reader_raw(&r, gateway_random, sizeof(gateway_random));
	(void)kmn_reader_u32(&r);
	kmn_reader_text(&r, origin, sizeof(origin));
	CU_ASSERT_STRING_EQUAL(origin, ORIGIN);
	take_head(app, &r);
	exporter_of(conn, exporter);
	kmn_instance_secret(gateway_random, client_random, exporter, app->secret);
	return true;
}

void
rig_attach(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who)
{
	rig_attach_from(rig, app, conn, who, 0);
}

void
rig_attach_from(
    struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who, uint64_t first_handle)
{
	memset(app, 0, sizeof(*app));
	CU_ASSERT_TRUE_FATAL(attach(rig, app, conn, who, first_handle));
}

bool
rig_attach_claiming(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who)
{
	return attach(rig, app, conn, who, 0);
}

bool
rig_attach_refused(struct rig *rig, uint32_t conn, const struct test_certificate *who, kmn_err why)
{
	static const struct rig_claim none;
	uint8_t client_random[32] = {7};
	struct rig_frame f;
	struct kmn_reader r;

	send_attach(rig, conn, who, client_random, 0, &none);
	if (!rig_expect(rig, conn, KMN_F_REFUSED, &f))
		return false;
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u32(&r) == (uint32_t)why;
}

static bool
take_joined(struct rig *rig, struct rig_app *app, uint32_t conn)
{
	struct rig_frame f;
	struct kmn_reader r;

	if (!rig_expect(rig, conn, KMN_F_JOINED, &f))
		return false;
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	take_head(app, &r);
	return true;
}

bool
rig_join(struct rig *rig, const struct rig_app *app, uint32_t conn, const struct test_certificate *who)
{
	struct rig_app joined = *app;

	return rig_join_claiming(rig, &joined, conn, who);
}

bool
rig_join_claiming(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who)
{
	uint8_t exporter[KMN_EXPORTER_BYTES], proof[KMN_HASH_BYTES];
	struct kmn_writer w;
	int64_t until = rig_now_ms() + WAIT_MS;

	rig_open(rig, conn, who);
	exporter_of(conn, exporter);
	kmn_join_proof(app->secret, exporter, proof);
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_raw(&w, app->id, sizeof(app->id));
	kmn_writer_raw(&w, proof, sizeof(proof));
	kmn_writer_text(&w, app->claim.head != NULL ? app->claim.head : "");
	rig_send(rig, conn, KMN_F_JOIN, &w);
	while (rig_now_ms() < until) {
		for (size_t i = 0; i < rig->frames; i++)
			if (rig->frame[i].conn == conn)
				return rig->frame[i].type == KMN_F_JOINED && take_joined(rig, app, conn);
		if (rig->closed[conn % RIG_CONNS])
			return false;
		rig_pump(rig, 50);
	}
	return false;
}

void
rig_payload(enum kmn_call_id id, const struct kmn_arg *arg, size_t count, uint8_t **payload, size_t *len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(id, arg, count, &w), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_writer_take(&w, payload, len), KMN_OK);
}

void
rig_call_raw(struct rig *rig, uint32_t conn, uint64_t number, uint64_t acknowledged, const uint8_t *payload, size_t len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_u64(&w, number);
	kmn_writer_u64(&w, acknowledged);
	kmn_writer_raw(&w, payload, len);
	rig_send(rig, conn, KMN_F_CALL, &w);
}

/* A REFUSED of that call because its token is closed, or what the policy asks for lags behind. */
bool
rig_is_closed(const struct rig_frame *f, uint64_t number)
{
	struct kmn_reader r;

	kmn_reader_init(&r, f->body, f->len);
	return f->type == KMN_F_REFUSED && kmn_reader_u64(&r) == number && kmn_reader_u32(&r) == KMN_E_STALE;
}

void
rig_keep_reason(struct rig *rig, const struct rig_frame *f)
{
	struct kmn_reader r;

	kmn_reader_init(&r, f->body, f->len);
	(void)kmn_reader_u64(&r);
	(void)kmn_reader_u32(&r);
	(void)kmn_reader_u64(&r);
	kmn_reader_text(&r, rig->refused, sizeof(rig->refused));
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
}

/* REPLY, or the refusal above. */
static bool
expect_answer(struct rig *rig, const struct rig_app *app, struct rig_frame *out)
{
	int64_t until = rig_now_ms() + WAIT_MS;

	do {
		for (size_t i = 0; i < rig->frames; i++) {
			const struct rig_frame *f = &rig->frame[i];

			if (f->conn == app->conn && (f->type == KMN_F_REPLY || rig_is_closed(f, app->number)))
				return rig_expect(rig, app->conn, f->type, out);
		}
		rig_pump(rig, 100);
	} while (!rig_gone(rig) && rig_now_ms() < until);
	return rig_expect(rig, app->conn, KMN_F_REPLY, out);
}

CK_RV
rig_call(struct rig *rig, struct rig_app *app, enum kmn_call_id id, struct kmn_arg *arg, size_t count)
{
	struct rig_answer answer = {.id = id};
	CK_RV rv = CKR_VENDOR_DEFINED;
	struct rig_frame f = {.type = 0};
	struct kmn_reader r;
	uint8_t *payload;

	rig_payload(id, arg, count, &payload, &answer.request_len);
	answer.request = payload;
	rig_call_raw(rig, app->conn, ++app->number, app->acknowledged, payload, answer.request_len);
	if (expect_answer(rig, app, &f) && f.type == KMN_F_REFUSED) {
		if (app->acknowledged == app->number)
			app->acknowledged++;
		rv = kmn_err_ckr(KMN_E_STALE);
		rig_keep_reason(rig, &f);
	} else if (f.type == KMN_F_REPLY) {
		if (app->acknowledged == app->number)
			app->acknowledged++;
		kmn_reader_init(&r, f.body, f.len);
		answer.number = kmn_reader_u64(&r);
		answer.receipt_len = kmn_reader_bytes(&r, sizeof(f.body), &answer.receipt);
		answer.response_len = kmn_reader_rest(&r, &answer.response);
		CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
		CU_ASSERT_EQUAL(kmn_response_decode(id, arg, count, answer.response, answer.response_len, &rv), KMN_OK);
		answer.rv = rv;
		if (app->heard != NULL)
			app->heard(app, &answer);
	}
	free(payload);
	return rv;
}

CK_RV
rig_open_session(struct rig *rig, struct rig_app *app)
{
	struct kmn_arg arg[] = {
	    {.u = 11}, {.u = CKF_SERIAL_SESSION | CKF_RW_SESSION}, {.p = NULL}, {.p = &app->session}};

	return rig_call(rig, app, KMN_C_OpenSession, arg, KMN_COUNT_OF(arg));
}

CK_RV
rig_login(struct rig *rig, struct rig_app *app)
{
	char pin[] = PIN;
	struct kmn_arg arg[] = {{.u = app->session}, {.u = CKU_USER}, {.p = pin, .u = sizeof(pin) - 1}};

	return rig_call(rig, app, KMN_C_Login, arg, KMN_COUNT_OF(arg));
}

CK_RV
rig_generate(struct rig *rig, struct rig_app *app, const char *label, CK_OBJECT_HANDLE *private)
{
	CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE public = 0;
	CK_ULONG bits = 2048;
	CK_BBOOL yes = CK_TRUE;
	char name[64];
	CK_ATTRIBUTE pub[] = {{CKA_LABEL, name, 0}, {CKA_ID, name, 0}, {CKA_MODULUS_BITS, &bits, sizeof(bits)}};
	CK_ATTRIBUTE priv[] = {{CKA_LABEL, name, 0}, {CKA_ID, name, 0}, {CKA_SIGN, &yes, sizeof(yes)}};
	struct kmn_arg arg[] = {{.u = app->session}, {.p = &mechanism}, {.p = pub, .u = 3}, {.p = priv, .u = 3},
	    {.p = &public}, {.p = private}};

	snprintf(name, sizeof(name), "%s", label);
	for (size_t i = 0; i < 2; i++)
		pub[i].ulValueLen = priv[i].ulValueLen = strlen(name);
	return rig_call(rig, app, KMN_C_GenerateKeyPair, arg, KMN_COUNT_OF(arg));
}

CK_RV
rig_sign_init(struct rig *rig, struct rig_app *app, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	struct kmn_arg arg[] = {{.u = app->session}, {.p = &mechanism}, {.u = key}};

	return rig_call(rig, app, KMN_C_SignInit, arg, KMN_COUNT_OF(arg));
}

static void
sign_args(struct rig_app *app, const char *data, struct kmn_arg arg[3], uint8_t *signature, CK_ULONG *len)
{
	union {
		const char *read_only;
		void *p;
	} bytes = {data};

	arg[0] = (struct kmn_arg){.u = app->session};
	arg[1] = (struct kmn_arg){.p = bytes.p, .u = strlen(data)};
	arg[2] = (struct kmn_arg){.p = signature, .n = len};
}

CK_RV
rig_sign(struct rig *rig, struct rig_app *app, const char *data, uint8_t *signature, CK_ULONG *len)
{
	struct kmn_arg arg[3];

	sign_args(app, data, arg, signature, len);
	return rig_call(rig, app, KMN_C_Sign, arg, 3);
}

uint64_t
rig_send_sign(
    struct rig *rig, struct rig_app *app, const char *data, struct kmn_arg arg[3], uint8_t *signature, CK_ULONG *len)
{
	uint8_t *payload;
	size_t payload_len;

	sign_args(app, data, arg, signature, len);
	rig_payload(KMN_C_Sign, arg, 3, &payload, &payload_len);
	rig_call_raw(rig, app->conn, ++app->number, app->acknowledged, payload, payload_len);
	free(payload);
	return app->number;
}
