#include "config.h"

#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/messages.h"
#include "kanmon/receipt.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define ORIGIN "kanmon.example/gw1/2026"

static const char open_rules[] =
    "rule everything\n  client ca other\n  calls login session query key-use key-management "
    "token-management random\n  mechanisms any\n  allow import extractable\n  need none\n";
static const char guarded_rules[] =
    "rule root\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n  per "
    "operation\n"
    "  expires 1h\n"
    "rule rest\n  client ca\n  calls login session query key-use key-management random\n  mechanisms any\n  allow "
    "import extractable\n  need none\n";

/* What a provider keeps: the last head of its connection, and what came last. */
struct client {
	struct kmn_vkey log;
	struct kmn_head head;
	uint64_t chan;
	char note[KMN_RECEIPT_NOTE_MAX_BYTES + 1]; /* of that head */
	unsigned with, without, notes;             /* answers with a receipt, without; receipts with a checkpoint */
	enum kmn_receipt_fault fault;              /* the first that was not NONE */
	char why[256];
	size_t last_len; /* of the last receipt */
	enum kmn_record_kind kind;
};

static void
fail(struct client *c, enum kmn_receipt_fault fault, const struct kmn_why *why)
{
	if (c->fault != KMN_RECEIPT_NONE)
		return;
	c->fault = fault;
	snprintf(c->why, sizeof(c->why), "%s", why->text);
	printf("# %s: %s\n", kmn_receipt_fault_name(fault), why->text);
}

static void
keep_note(struct client *c, const struct kmn_receipt *receipt)
{
	if (receipt->note == NULL)
		return;
	c->notes++;
	memcpy(c->note, receipt->note, receipt->note_len);
	c->note[receipt->note_len] = '\0';
}

static struct kmn_receipt_expect
expect_of(const struct client *c)
{
	return (struct kmn_receipt_expect){.log = &c->log,
	    .log_count = 1,
	    .origin = ORIGIN,
	    .before = c->head,
	    .accepted = c->head,
	    .chan = &c->chan,
	    .chan_count = 1};
}

/* Holds a receipt against what the client knows, and goes on from its head. */
static void
hold(struct client *c, const struct kmn_receipt_expect *expect, const uint8_t *bytes, size_t len)
{
	struct kmn_receipt_found found = {.linked = false};
	struct kmn_receipt receipt;
	struct kmn_why why = {""};
	enum kmn_receipt_fault fault = KMN_RECEIPT_FORM;

	if (kmn_receipt_decode(bytes, len, &receipt) == KMN_OK)
		fault = kmn_receipt_check(expect, &receipt, &found, &why);
	if (fault != KMN_RECEIPT_NONE)
		fail(c, fault, &why);
	else
		keep_note(c, &receipt);
	CU_ASSERT_TRUE(fault != KMN_RECEIPT_NONE || found.linked);
	c->head = found.head;
	c->last_len = len;
	c->kind = found.record.kind;
	kmn_receipt_found_clear(&found);
}

static void
req_sha256_of(const struct rig_answer *answer, uint8_t out[KMN_HASH_BYTES])
{
	crypto_hash_sha256_state h;
	uint8_t be[8];

	for (size_t i = 0; i < sizeof(be); i++)
		be[i] = (uint8_t)(answer->number >> (56 - 8 * i));
	crypto_hash_sha256_init(&h);
	crypto_hash_sha256_update(&h, be, sizeof(be));
	crypto_hash_sha256_update(&h, answer->request, answer->request_len);
	crypto_hash_sha256_final(&h, out);
}

static void
heard(struct rig_app *app, const struct rig_answer *answer)
{
	struct client *c = app->cookie;
	struct kmn_receipt_expect expect = expect_of(c);
	struct kmn_receipt_value value[KMN_RECEIPT_VALUES_MAX];
	struct kmn_response_view response;
	struct kmn_call_view request;
	enum kmn_receipt_due due;

	CU_ASSERT_EQUAL_FATAL(kmn_call_view_decode(answer->request, answer->request_len, &request), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_response_view_decode(answer->response, answer->response_len, &response), KMN_OK);
	due = kmn_receipt_due(&request, answer->rv);
	if (answer->receipt_len == 0) {
		c->without++;
		CU_ASSERT_NOT_EQUAL(due, KMN_RECEIPT_MUST);
		return;
	}
	c->with++;
	CU_ASSERT_NOT_EQUAL(due, KMN_RECEIPT_NEVER);
	expect.row = request.call;
	expect.number = answer->number;
	expect.rv = answer->rv;
	expect.value = value;
	expect.value_count = kmn_receipt_values(&request, &response, value);
	req_sha256_of(answer, expect.req_sha256);
	kmn_sha256(answer->response, answer->response_len, expect.resp_sha256);
	hold(c, &expect, answer->receipt, answer->receipt_len);
}

/* Attaches with receipts of each answer, from the head that the client has. */
static bool
begin(struct rig *rig, struct rig_app *app, struct client *c, uint32_t conn)
{
	struct kmn_receipt_expect expect;
	uint8_t secret[KMN_ED25519_SECRET_BYTES];

	rig_log_key(secret, &c->log);
	app->claim.receipts = KMN_RECEIPTS_EACH;
	app->claim.head = c->note[0] != '\0' ? c->note : NULL;
	app->heard = heard;
	app->cookie = c;
	if (!rig_attach_claiming(rig, app, conn, &rig->ca))
		return false;
	c->chan = app->chan;
	expect = expect_of(c);
	hold(c, &expect, app->head_receipt, app->head_receipt_len);
	return true;
}

static CK_RV
sign(struct rig *rig, struct rig_app *app, CK_OBJECT_HANDLE key, const char *data)
{
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	CK_RV rv = rig_sign_init(rig, app, key);

	return rv == CKR_OK ? rig_sign(rig, app, data, signature, &len) : rv;
}

static CK_RV
generate_random(struct rig *rig, struct rig_app *app)
{
	uint8_t bytes[24];
	struct kmn_arg arg[] = {{.u = app->session}, {.p = bytes, .u = sizeof(bytes)}};

	return rig_call(rig, app, KMN_C_GenerateRandom, arg, KMN_COUNT_OF(arg));
}

/* ---- each answer ------------------------------------------------------------------------------------------------- */

static void
test_each(void)
{
	struct client c = {.fault = KMN_RECEIPT_NONE};
	struct rig_app app = {.conn = 0};
	CK_OBJECT_HANDLE key;
	struct rig rig;

	rig_start(&rig, open_rules);
	CU_ASSERT_TRUE_FATAL(begin(&rig, &app, &c, 1));
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(c.with, 0);
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(c.kind, KMN_R_SESSION);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	CU_ASSERT_EQUAL(c.kind, KMN_R_RESULT);
	CU_ASSERT_EQUAL(generate_random(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(c.kind, KMN_R_OP);
	CU_ASSERT_EQUAL(sign(&rig, &app, key, "data"), CKR_OK);
	CU_ASSERT_EQUAL(c.with, 4);
	CU_ASSERT_EQUAL(c.without, 2); /* C_OpenSession, C_SignInit */
	CU_ASSERT_EQUAL(c.fault, KMN_RECEIPT_NONE);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.open", "\"mode\":\"each\""), 1);
	rig_end(&rig);
}

/* ---- values that stay secret ------------------------------------------------------------------------------------- */

/* Random bytes are committed to: the salt that came along opens them, another opens nothing. */
static void
heard_random(struct rig_app *app, const struct rig_answer *answer)
{
	struct kmn_receipt receipt;
	struct client *c = app->cookie;

	heard(app, answer);
	if (answer->id != KMN_C_GenerateRandom)
		return;
	CU_ASSERT_EQUAL_FATAL(kmn_receipt_decode(answer->receipt, answer->receipt_len, &receipt), KMN_OK);
	CU_ASSERT_EQUAL(receipt.opening_count, 1);
	CU_ASSERT_PTR_NOT_NULL(memmem(receipt.line, receipt.line_len, "{\"commit\":", 10));
	CU_ASSERT_NOT_EQUAL(memcmp(c->note, receipt.opening[0].salt, KMN_OPENING_SALT_BYTES), 0);
	memcpy(c->note, receipt.opening[0].salt, KMN_OPENING_SALT_BYTES); /* the next one has another */
}

static void
test_commitments(void)
{
	struct client c = {.fault = KMN_RECEIPT_NONE};
	struct rig_app app = {.conn = 0};
	uint8_t seed[] = "seed";
	struct rig rig;

	rig_start(&rig, open_rules);
	CU_ASSERT_TRUE_FATAL(begin(&rig, &app, &c, 1));
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	app.heard = heard_random;
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(generate_random(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(c.fault, KMN_RECEIPT_NONE);
	app.heard = heard;
	{
		struct kmn_arg arg[] = {{.u = app.session}, {.p = seed, .u = 4}};

		CU_ASSERT_NOT_EQUAL(rig_call(&rig, &app, KMN_C_SeedRandom, arg, 2), CKR_VENDOR_DEFINED);
	}
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "\"out\":{\"commit\":"), 3);
	CU_ASSERT_EQUAL(rig_records(&rig, "op", "\"in\":{\"commit\":"), 1);
	rig_end(&rig);
}

/* ---- heads of clients -------------------------------------------------------------------------------------------- */

static void
test_reconnect(void)
{
	struct client c = {.fault = KMN_RECEIPT_NONE};
	struct rig_app app = {.conn = 0};
	CK_OBJECT_HANDLE key;
	struct rig rig;

	rig_start(&rig, open_rules);
	CU_ASSERT_TRUE_FATAL(begin(&rig, &app, &c, 1));
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	/* On another connection the chain of heads begins where the client is. */
	rig_close(&rig, 1);
	app.claim.head = c.note;
	CU_ASSERT_TRUE_FATAL(rig_join_claiming(&rig, &app, 2, &rig.ca));
	app.conn = 2;
	c.chan = app.chan;
	{
		struct kmn_receipt_expect expect = expect_of(&c);

		hold(&c, &expect, app.head_receipt, app.head_receipt_len);
	}
	CU_ASSERT_EQUAL(sign(&rig, &app, key, "data"), CKR_OK);
	CU_ASSERT_EQUAL(c.fault, KMN_RECEIPT_NONE);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	/* And after the gateway was started again. */
	rig_restart(&rig);
	memset(&app, 0, sizeof(app));
	CU_ASSERT_TRUE_FATAL(begin(&rig, &app, &c, 1));
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(c.fault, KMN_RECEIPT_NONE);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.open", "\"client_head\":\"" ORIGIN "\\n"), 2);
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.reject", NULL), 0);
	rig_end(&rig);
}

/* The note of a head that the ledger never had, signed with its own key. */
static void
make_head(const struct client *c, uint64_t size, char note_out[KMN_RECEIPT_NOTE_MAX_BYTES + 1])
{
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	struct kmn_head head = {.size = size, .root = {7}};
	struct kmn_vkey vkey;
	char *note;
	size_t len;

	rig_log_key(secret, &vkey);
	CU_ASSERT_EQUAL_FATAL(kmn_checkpoint_sign(ORIGIN, &head, &c->log, secret, &note, &len), KMN_OK);
	memcpy(note_out, note, len + 1);
	free(note);
}

static const struct {
	const char *says;
	uint64_t size;
	enum kmn_receipt_fault want;
	const char *reason;
} foreign_heads[] = {
    {"a head that is larger than the ledger", 100000, KMN_RECEIPT_ROLLBACK, "rolled back"},
    {"another root of a size that it has", 1, KMN_RECEIPT_FORK, "forked"},
};

static void
test_foreign_head(void)
{
	struct rig rig;

	rig_start(&rig, open_rules);
	for (size_t i = 0; i < KMN_COUNT_OF(foreign_heads); i++) {
		struct client c = {.fault = KMN_RECEIPT_NONE};
		struct rig_app app = {.conn = 0};
		uint8_t secret[KMN_ED25519_SECRET_BYTES];

		rig_log_key(secret, &c.log);
		make_head(&c, foreign_heads[i].size, c.note);
		c.head = (struct kmn_head){.size = foreign_heads[i].size, .root = {7}};
		CU_ASSERT_TRUE(begin(&rig, &app, &c, 1 + (uint32_t)i));
		CU_ASSERT_EQUAL(c.fault, foreign_heads[i].want);
	}
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	for (size_t i = 0; i < KMN_COUNT_OF(foreign_heads); i++)
		CU_ASSERT_EQUAL(rig_records(&rig, "channel.reject", foreign_heads[i].reason), 1);
	rig_end_refused(&rig); /* the auditor sees the split view too: V10 */
}

/* ---- cosignatures ------------------------------------------------------------------------------------------------ */

/* A line as a witness signs it; without its LF. */
static void
cosign(const char *note, char vkey_out[KMN_VKEY_MAX_BYTES], char *line_out, size_t room)
{
	static const char name[] = "client.example/ca";
	uint8_t seed[32] = {9}, pub[32], secret[KMN_ED25519_SECRET_BYTES], raw[4 + 8 + 64], key[33];
	const char *end = strstr(note, "\n\n");
	char message[1024], b64[KMN_B64_LEN(sizeof(raw)) + 1], key_b64[KMN_B64_LEN(sizeof(key)) + 1], hashed[128];
	uint8_t hash[32];
	uint64_t when = 1790000000;
	int n;

	crypto_sign_seed_keypair(pub, secret, seed);
	n = snprintf(hashed, sizeof(hashed), "%s\n\x04", name);
	memcpy(hashed + n, pub, sizeof(pub));
	kmn_sha256(hashed, (size_t)n + sizeof(pub), hash);
	key[0] = KMN_NOTE_COSIGNATURE;
	memcpy(key + 1, pub, sizeof(pub));
	kmn_b64(key, sizeof(key), key_b64);
	snprintf(
	    vkey_out, KMN_VKEY_MAX_BYTES, "%s+%02x%02x%02x%02x+%s", name, hash[0], hash[1], hash[2], hash[3], key_b64);
	n = snprintf(message, sizeof(message), "cosignature/v1\ntime %llu\n%.*s", (unsigned long long)when,
	    (int)(end + 1 - note), note);
	memcpy(raw, hash, 4);
	for (size_t i = 0; i < 8; i++)
		raw[4 + i] = (uint8_t)(when >> (56 - 8 * i));
	crypto_sign_detached(raw + 12, NULL, (const uint8_t *)message, (unsigned long long)n, secret);
	kmn_b64(raw, sizeof(raw), b64);
	snprintf(line_out, room, "\xe2\x80\x94 %s %s", name, b64);
}

static void
send_cosign(struct rig *rig, uint32_t conn, uint64_t size, const char *line)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 2048);
	kmn_writer_u64(&w, size);
	kmn_writer_text(&w, line);
	rig_send(rig, conn, KMN_F_COSIGN, &w);
}

static void
test_cosign(void)
{
	struct client c = {.fault = KMN_RECEIPT_NONE};
	char vkey[KMN_VKEY_MAX_BYTES], line[512], bad[512];
	struct rig_app app = {.conn = 0}, second = {.conn = 0}, third = {.conn = 0};
	struct rig rig;

	rig_start(&rig, open_rules);
	CU_ASSERT_TRUE_FATAL(begin(&rig, &app, &c, 1));
	cosign(c.note, vkey, line, sizeof(line));
	/* What it cosigned before it attaches stands in channel.open. */
	second.claim.line = line;
	second.claim.vkey = vkey;
	CU_ASSERT_TRUE_FATAL(begin(&rig, &second, &c, 2));
	/* Later ones are records, one a minute. */
	cosign(c.note, vkey, line, sizeof(line));
	for (int i = 0; i < 2; i++) {
		send_cosign(&rig, 2, c.head.size, line);
		CU_ASSERT_TRUE(rig_expect(&rig, 2, KMN_F_COSIGNED, NULL));
	}
	/* One that is not over a head of the ledger ends the connection; so does one by a key that was not named. */
	snprintf(bad, sizeof(bad), "%s", line);
	bad[strlen(bad) - 10] ^= 1;
	third.claim.line = bad;
	third.claim.vkey = vkey;
	CU_ASSERT_FALSE(begin(&rig, &third, &c, 3));
	send_cosign(&rig, 1, c.head.size, line);
	CU_ASSERT_TRUE(rig_expect_closed(&rig, 1));
	send_cosign(&rig, 2, 1000000, line);
	CU_ASSERT_TRUE(rig_expect_closed(&rig, 2));
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	CU_ASSERT_EQUAL(rig_records(&rig, "cosign", "client.example/ca"), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.open", "\"client_cosig\":"), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "channel.reject", "cosignature"), 3);
	rig_end(&rig);
}

/* ---- proofs between heads ---------------------------------------------------------------------------------------- */

static void
test_prove(void)
{
	struct client c = {.fault = KMN_RECEIPT_NONE};
	struct rig_app app = {.conn = 0};
	struct kmn_head first;
	struct kmn_path path;
	struct rig_frame f;
	struct kmn_reader r;
	struct kmn_writer w;
	const uint8_t *view;
	struct rig rig;
	size_t len;

	rig_start(&rig, open_rules);
	CU_ASSERT_TRUE_FATAL(begin(&rig, &app, &c, 1));
	first = c.head;
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_TRUE(c.head.size > first.size);
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, first.size);
	kmn_writer_u64(&w, c.head.size);
	rig_send(&rig, 1, KMN_F_PROVE, &w);
	CU_ASSERT_TRUE_FATAL(rig_expect(&rig, 1, KMN_F_PROVEN, &f));
	kmn_reader_init(&r, f.body, f.len);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), first.size);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), c.head.size);
	len = kmn_reader_bytes(&r, sizeof(f.body), &view);
	CU_ASSERT_EQUAL(kmn_receipt_path_decode(view, len, &path), KMN_OK);
	CU_ASSERT_EQUAL(kmn_receipt_link(&c.head, &first, &path), KMN_RECEIPT_NONE);
	c.head.root[0] ^= 1;
	CU_ASSERT_EQUAL(kmn_receipt_link(&first, &c.head, &path), KMN_RECEIPT_FORK);
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, 1);
	kmn_writer_u64(&w, 1000000);
	rig_send(&rig, 1, KMN_F_PROVE, &w);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_REFUSED, NULL));
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

/* ---- quorum ------------------------------------------------------------------------------------------------------ */

static CK_RV
approved_sign(struct rig *rig, struct rig_app *app, CK_OBJECT_HANDLE key, uint8_t signature[512])
{
	struct rig_answer answer = {.id = KMN_C_Sign};
	struct kmn_arg arg[3];
	struct rig_frame f;
	struct kmn_reader r;
	CK_ULONG len = 512;
	CK_RV rv = CKR_VENDOR_DEFINED;
	uint64_t request;
	uint8_t *payload;

	CU_ASSERT_EQUAL(rig_sign_init(rig, app, key), CKR_OK);
	arg[0] = (struct kmn_arg){.u = app->session};
	arg[1] = (struct kmn_arg){.p = (char[]){"data"}, .u = 4};
	arg[2] = (struct kmn_arg){.p = signature, .n = &len, .u = len};
	rig_payload(KMN_C_Sign, arg, 3, &payload, &answer.request_len);
	answer.request = payload;
	rig_call_raw(rig, app->conn, ++app->number, app->acknowledged, payload, answer.request_len);
	CU_ASSERT_TRUE_FATAL(rig_expect(rig, app->conn, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	request = kmn_reader_u64(&r);
	CU_ASSERT_EQUAL(rig_vote(rig, 3, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(rig, 3, request, "tanaka", "approve"), KMN_OK);
	rig_call_raw(rig, app->conn, app->number, app->acknowledged, payload, answer.request_len);
	CU_ASSERT_TRUE_FATAL(rig_expect(rig, app->conn, KMN_F_REPLY, &f));
	kmn_reader_init(&r, f.body, f.len);
	answer.number = kmn_reader_u64(&r);
	answer.receipt_len = kmn_reader_bytes(&r, sizeof(f.body), &answer.receipt);
	answer.response_len = kmn_reader_rest(&r, &answer.response);
	CU_ASSERT_EQUAL(kmn_response_decode(KMN_C_Sign, arg, 3, answer.response, answer.response_len, &rv), KMN_OK);
	answer.rv = rv;
	app->heard(app, &answer);
	free(payload);
	return rv;
}

static void
test_redelivery(void)
{
	struct client c = {.fault = KMN_RECEIPT_NONE};
	uint8_t first[512], second[512];
	struct rig_app app = {.conn = 0};
	CK_ULONG len = sizeof(second);
	CK_OBJECT_HANDLE key;
	struct rig rig;

	rig_start(&rig, guarded_rules);
	CU_ASSERT_TRUE_FATAL(begin(&rig, &app, &c, 1));
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "root", &key), CKR_OK);
	rig_open(&rig, 3, &rig.terminal);
	CU_ASSERT_EQUAL(approved_sign(&rig, &app, key, first), CKR_OK);
	CU_ASSERT_EQUAL(c.kind, KMN_R_RESULT);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	app.acknowledged = 1; /* it never says that it has the first answer */
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, "data", second, &len), CKR_OK);
	CU_ASSERT_EQUAL(c.kind, KMN_R_REDELIVERY);
	CU_ASSERT_EQUAL(memcmp(first, second, 256), 0);
	CU_ASSERT_EQUAL(c.fault, KMN_RECEIPT_NONE);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 1);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

static CU_TestInfo answer_tests[] = {
    {"each recorded answer comes with a receipt that holds, a counted one without", test_each},
    {"an answer that is handed out again proves what it hands out", test_redelivery},
    {"random bytes and seeds are committed to under fresh salts, which only the client gets", test_commitments},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo head_tests[] = {
    {"a client goes on from its head, on another connection and after a restart", test_reconnect},
    {"a client that holds a head of another history is told, and the ledger says so", test_foreign_head},
    {"cosignatures are verified and recorded, one a minute", test_cosign},
    {"two heads are linked by a proof when it is asked for", test_prove},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	static CU_SuiteInfo suites[] = {
	    {"keeper/receipts", NULL, NULL, NULL, NULL, answer_tests},
	    {"keeper/heads", NULL, NULL, NULL, NULL, head_tests},
	    CU_SUITE_INFO_NULL,
	};

	signal(SIGPIPE, SIG_IGN);
	return kmn_test_main(argc, argv, suites);
}
