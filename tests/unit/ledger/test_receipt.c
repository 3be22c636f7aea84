#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/receipt.h"
#include "tests/unit/run.h"

#define ORIGIN "kanmon.example/gw1/2026"
#define LINES 40u
#define CHAN 3u
#define NUMBER 27u

/* Records of a ledger: fillers, and those of one C_Sign, one C_Decrypt, one C_Encrypt of class B, one login. */
enum {
	AT_INTENT = 10,
	AT_RESULT,
	AT_DECRYPT_INTENT,
	AT_DECRYPT_RESULT,
	AT_OP,
	AT_SESSION,
	AT_REDELIVERY,
	AT_OTHER_INTENT,
	AT_OTHER_RESULT,
	AT_MANY
};

static struct {
	char *line[LINES];
	size_t len[LINES];
	uint8_t leaf[LINES][KMN_HASH_BYTES];
	struct kmn_tree *tree;
	struct kmn_vkey vkey;
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
} w;

static const uint8_t salt_in[32] = {1}, salt_out[32] = {2};
static const uint8_t request_bytes[] = "request payload", response_bytes[] = "response payload";
static const uint8_t spki[KMN_HASH_BYTES] = {5};

static json_t *
hash_json(uint8_t first)
{
	uint8_t hash[KMN_HASH_BYTES] = {first};

	return kmn_json_b64(hash, sizeof(hash));
}

static json_t *
sha256_json(const void *bytes, size_t len)
{
	uint8_t hash[KMN_HASH_BYTES];

	kmn_sha256(bytes, len, hash);
	return kmn_json_b64(hash, sizeof(hash));
}

static json_t *
digest_json(const char *text)
{
	return json_pack("{s:o,s:I}", "sha256", sha256_json(text, strlen(text)), "len", (json_int_t)strlen(text));
}

static json_t *
commit_json(const char *field, const uint8_t salt[32], const char *text)
{
	uint8_t hash[KMN_HASH_BYTES];

	kmn_commitment(field, salt, text, strlen(text), hash);
	return json_pack("{s:o,s:I}", "commit", kmn_json_b64(hash, sizeof(hash)), "len", (json_int_t)strlen(text));
}

static json_t *
req_json(void)
{
	uint8_t bytes[8 + sizeof(request_bytes) - 1] = {0};

	bytes[7] = NUMBER;
	memcpy(bytes + 8, request_bytes, sizeof(request_bytes) - 1);
	return sha256_json(bytes, sizeof(bytes));
}

static json_t *
ref_of(unsigned i)
{
	struct kmn_ref ref = {.i = i};

	memcpy(ref.leaf, w.leaf[i], sizeof(ref.leaf));
	return kmn_ref_json(&ref);
}

static void
put(unsigned i, enum kmn_record_kind kind, json_t *body)
{
	struct kmn_record record = {.i = i, .t = 1790000000000 + i, .m = i, .kind = kind, .body = body};
	struct kmn_why why = {""};

	CU_ASSERT_PTR_NOT_NULL_FATAL(body);
	record.type = kmn_record_name(kind);
	randombytes_buf(record.nonce, sizeof(record.nonce));
	if (i > 0)
		memcpy(record.prev, w.leaf[i - 1], KMN_HASH_BYTES);
	if (kmn_record_check(kind, body, &why) != KMN_OK)
		printf("# %s: %s\n", record.type, why.text);
	CU_ASSERT_EQUAL_FATAL(kmn_record_check(kind, body, NULL), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_record_emit(&record, &w.line[i], &w.len[i], &why), KMN_OK);
	memcpy(w.leaf[i], record.leaf, KMN_HASH_BYTES);
	CU_ASSERT_EQUAL_FATAL(kmn_tree_add(w.tree, w.leaf[i]), KMN_OK);
	json_decref(body);
}

static json_t *
intent_json(const char *op, json_t *in, json_t *req)
{
	return json_pack("{s:i,s:i,s:i,s:s,s:{s:s},s:{s:o},s:o,s:o,s:o,s:{s:s},s:I}", "chan", CHAN, "sess", 9, "seq",
	    NUMBER, "op", op, "mech", "name", "CKM_X", "key", "spki_sha256", kmn_json_b64(spki, sizeof(spki)), "in", in,
	    "req_sha256", req, "nonce_req", hash_json(1), "requester", "name", "ca", "expires",
	    (json_int_t)1790000060000);
}

static json_t *
result_json(unsigned intent, json_t *out)
{
	return json_pack("{s:i,s:i,s:i,s:o,s:o,s:o,s:i,s:s,s:o,s:{},s:i,s:o}", "chan", CHAN, "sess", 9, "seq", NUMBER,
	    "req_sha256", req_json(), "request", ref_of(intent), "decision", ref_of(0), "rv", 0, "rv_name", "CKR_OK",
	    "out", out, "hsm", "dur_us", 5, "resp_sha256", sha256_json(response_bytes, sizeof(response_bytes) - 1));
}

static json_t *
redelivery_json(unsigned result)
{
	return json_pack("{s:o,s:i,s:i,s:i,s:o,s:i,s:s,s:o}", "result", ref_of(result), "chan", CHAN, "sess", 9, "seq",
	    NUMBER, "req_sha256", req_json(), "rv", 0, "rv_name", "CKR_OK", "resp_sha256",
	    sha256_json(response_bytes, sizeof(response_bytes) - 1));
}

static json_t *
op_json(void)
{
	return json_pack("{s:i,s:i,s:i,s:s,s:{s:s},s:{s:o},s:o,s:s,s:{},s:i,s:s,s:o,s:{},s:i,s:o,s:o}", "chan", CHAN,
	    "sess", 9, "seq", NUMBER, "op", "C_Encrypt", "mech", "name", "CKM_X", "key", "spki_sha256",
	    kmn_json_b64(spki, sizeof(spki)), "in", commit_json("in", salt_in, "plain"), "rule", "r", "policy", "rv", 0,
	    "rv_name", "CKR_OK", "out", digest_json("cipher"), "hsm", "dur_us", 5, "req_sha256", req_json(),
	    "resp_sha256", sha256_json(response_bytes, sizeof(response_bytes) - 1));
}

static json_t *
session_json(void)
{
	return json_pack("{s:i,s:i,s:s,s:i,s:i,s:s,s:i,s:o,s:o}", "chan", CHAN, "sess", 9, "event", "login", "slot", 1,
	    "rv", 0, "rv_name", "CKR_OK", "seq", NUMBER, "req_sha256", req_json(), "resp_sha256",
	    sha256_json(response_bytes, sizeof(response_bytes) - 1));
}

static void
make_world(void)
{
	uint8_t seed[32] = {4}, pub[32];

	crypto_sign_seed_keypair(pub, w.secret, seed);
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make(ORIGIN, pub, &w.vkey), KMN_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL((w.tree = kmn_tree_new()));
	for (unsigned i = 0; i < LINES; i++)
		switch (i) {
		case AT_INTENT:
			put(i, KMN_R_INTENT, intent_json("C_Sign", digest_json("data"), req_json()));
			break;
		case AT_RESULT:
			put(i, KMN_R_RESULT,
			    result_json(AT_INTENT, json_pack("{s:o}", "b64", kmn_json_b64("signature", 9))));
			break;
		case AT_DECRYPT_INTENT:
			put(i, KMN_R_INTENT, intent_json("C_Decrypt", digest_json("cipher"), req_json()));
			break;
		case AT_DECRYPT_RESULT:
			put(i, KMN_R_RESULT, result_json(AT_DECRYPT_INTENT, commit_json("out", salt_out, "plain")));
			break;
		case AT_OP:
			put(i, KMN_R_OP, op_json());
			break;
		case AT_SESSION:
			put(i, KMN_R_SESSION, session_json());
			break;
		case AT_REDELIVERY:
			put(i, KMN_R_REDELIVERY, redelivery_json(AT_RESULT));
			break;
		case AT_OTHER_INTENT: /* the same function, other data */
			put(i, KMN_R_INTENT, intent_json("C_Sign", digest_json("datb"), hash_json(8)));
			break;
		case AT_OTHER_RESULT:
			put(i, KMN_R_RESULT,
			    result_json(AT_OTHER_INTENT, json_pack("{s:o}", "b64", kmn_json_b64("signature", 9))));
			break;
		default:
			put(i, KMN_R_CHANNEL_COUNTS, json_pack("{s:i,s:{}}", "chan", 1, "counts"));
		}
}

static int
end_world(void)
{
	for (unsigned i = 0; i < LINES; i++)
		free(w.line[i]);
	kmn_tree_free(w.tree);
	return 0;
}

/* ---- a receipt and what is expected of it ------------------------------------------------------------------------ */

struct scene {
	struct kmn_receipt receipt;
	struct kmn_receipt_expect expect;
	struct kmn_receipt_value value[2];
	uint64_t chan[2];
	char *note;
};

static struct kmn_head
head_at(uint64_t size)
{
	struct kmn_head head;

	if (w.tree == NULL)
		make_world();
	CU_ASSERT_EQUAL_FATAL(kmn_tree_head(w.tree, size, &head), KMN_OK);
	return head;
}

static void
set_note(struct scene *s, const char *origin, const struct kmn_head *head)
{
	struct kmn_vkey vkey = w.vkey;
	size_t len;

	free(s->note);
	CU_ASSERT_EQUAL_FATAL(kmn_checkpoint_sign(origin, head, &vkey, w.secret, &s->note, &len), KMN_OK);
	s->receipt.note = s->note;
	s->receipt.note_len = len;
	s->receipt.size = head->size;
}

static void
set_line(struct scene *s, unsigned at)
{
	s->receipt.line = w.line[at];
	s->receipt.line_len = w.len[at];
	CU_ASSERT_EQUAL_FATAL(kmn_tree_inclusion(w.tree, at, LINES, &s->receipt.path), KMN_OK);
}

static void
set_request(struct scene *s, unsigned at)
{
	s->receipt.request = w.line[at];
	s->receipt.request_len = w.len[at];
}

static void
set_value(struct scene *s, const char *field, enum kmn_show show, const char *text)
{
	s->value[s->expect.value_count++] =
	    (struct kmn_receipt_value){.field = field, .show = show, .bytes = text, .len = strlen(text)};
}

static void
set_opening(struct scene *s, const char *field, const uint8_t salt[32])
{
	s->receipt.opening[s->receipt.opening_count++] =
	    (struct kmn_opening){.field = field, .field_len = strlen(field), .salt = salt};
}

/* From the head of 8 records to that of all, for a call whose outcome is the record `at`. */
static void
begin(struct scene *s, enum kmn_call_id id, unsigned at)
{
	struct kmn_head head = head_at(LINES);
	uint8_t bytes[8 + sizeof(request_bytes) - 1] = {0};

	memset(s, 0, sizeof(*s));
	s->chan[0] = 77;
	s->chan[1] = CHAN;
	s->expect = (struct kmn_receipt_expect){.log = &w.vkey,
	    .log_count = 1,
	    .origin = ORIGIN,
	    .before = head_at(8),
	    .accepted = head_at(8),
	    .row = kmn_call_row(id),
	    .chan = s->chan,
	    .chan_count = 2,
	    .number = NUMBER,
	    .key_spki_sha256 = spki,
	    .value = s->value};
	bytes[7] = NUMBER;
	memcpy(bytes + 8, request_bytes, sizeof(request_bytes) - 1);
	kmn_sha256(bytes, sizeof(bytes), s->expect.req_sha256);
	kmn_sha256(response_bytes, sizeof(response_bytes) - 1, s->expect.resp_sha256);
	set_note(s, ORIGIN, &head);
	set_line(s, at);
	s->receipt.has_consistency = true;
	s->receipt.from = 8;
	CU_ASSERT_EQUAL_FATAL(kmn_tree_consistency(w.tree, 8, LINES, &s->receipt.consistency), KMN_OK);
}

static void
begin_sign(struct scene *s)
{
	begin(s, KMN_C_Sign, AT_RESULT);
	set_request(s, AT_INTENT);
	set_value(s, "in", KMN_SHOW_DIGEST, "data");
	set_value(s, "out", KMN_SHOW_VALUE, "signature");
}

static void
begin_decrypt(struct scene *s)
{
	begin(s, KMN_C_Decrypt, AT_DECRYPT_RESULT);
	set_request(s, AT_DECRYPT_INTENT);
	set_value(s, "in", KMN_SHOW_DIGEST, "cipher");
	set_value(s, "out", KMN_SHOW_COMMITMENT, "plain");
	set_opening(s, "out", salt_out);
}

static void
begin_encrypt(struct scene *s)
{
	begin(s, KMN_C_Encrypt, AT_OP);
	set_value(s, "in", KMN_SHOW_COMMITMENT, "plain");
	set_value(s, "out", KMN_SHOW_DIGEST, "cipher");
	set_opening(s, "in", salt_in);
}

static void
begin_login(struct scene *s)
{
	begin(s, KMN_C_Login, AT_SESSION);
}

static void
begin_again(struct scene *s)
{
	begin(s, KMN_C_Sign, AT_REDELIVERY);
	set_request(s, AT_INTENT);
	s->receipt.result = w.line[AT_RESULT];
	s->receipt.result_len = w.len[AT_RESULT];
	set_value(s, "in", KMN_SHOW_DIGEST, "data");
	set_value(s, "out", KMN_SHOW_VALUE, "signature");
}

static void
begin_head(struct scene *s)
{
	begin(s, KMN_C_Sign, AT_RESULT);
	s->expect.row = NULL;
	s->receipt.line = NULL;
}

/* Over the wire, then checked. */
static enum kmn_receipt_fault
check(struct scene *s, bool *linked_out)
{
	struct kmn_receipt_found found = {.linked = false};
	struct kmn_receipt receipt;
	enum kmn_receipt_fault fault = KMN_RECEIPT_FORM;
	struct kmn_why why = {""};
	struct kmn_writer out;

	kmn_writer_init(&out, KMN_RECEIPT_MAX_BYTES);
	kmn_receipt_put(&s->receipt, &out);
	if (kmn_receipt_decode(out.bytes, out.len, &receipt) == KMN_OK)
		fault = kmn_receipt_check(&s->expect, &receipt, &found, &why);
	if (linked_out != NULL)
		*linked_out = found.linked;
	kmn_receipt_found_clear(&found);
	kmn_writer_clear(&out);
	return fault;
}

/* ---- what holds -------------------------------------------------------------------------------------------------- */

static void (*const scenes[])(struct scene *) = {
    begin_sign, begin_decrypt, begin_encrypt, begin_login, begin_again, begin_head};

static void
test_holds(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(scenes); i++) {
		struct scene s;
		bool linked;

		scenes[i](&s);
		CU_ASSERT_EQUAL(check(&s, &linked), KMN_RECEIPT_NONE);
		CU_ASSERT_TRUE(linked);
		free(s.note);
	}
}

/* Under the same checkpoint as before: without note and consistency. */
static void
test_same_head(void)
{
	struct scene s;

	begin_sign(&s);
	s.expect.before = s.expect.accepted = head_at(LINES);
	s.receipt.has_consistency = false;
	CU_ASSERT_EQUAL(check(&s, NULL), KMN_RECEIPT_NONE);
	s.receipt.note = NULL;
	CU_ASSERT_EQUAL(check(&s, NULL), KMN_RECEIPT_NONE);
	s.receipt.size--;
	CU_ASSERT_EQUAL(check(&s, NULL), KMN_RECEIPT_FORM);
	s.expect.before.size = 0; /* nothing came before */
	CU_ASSERT_EQUAL(check(&s, NULL), KMN_RECEIPT_FORM);
	free(s.note);
}

/* Another connection was faster: this head is linked to that one by a proof that is asked for. */
static void
test_links(void)
{
	struct kmn_head a = head_at(20), b = head_at(LINES);
	struct kmn_path path;
	struct scene s;
	bool linked;

	begin_sign(&s);
	s.expect.accepted = a;
	CU_ASSERT_EQUAL(check(&s, &linked), KMN_RECEIPT_NONE);
	CU_ASSERT_FALSE(linked);
	s.expect.accepted = b;
	CU_ASSERT_EQUAL(check(&s, &linked), KMN_RECEIPT_NONE);
	CU_ASSERT_TRUE(linked);
	s.expect.accepted.root[3] ^= 1;
	CU_ASSERT_EQUAL(check(&s, NULL), KMN_RECEIPT_FORK);
	CU_ASSERT_EQUAL_FATAL(kmn_tree_consistency(w.tree, 20, LINES, &path), KMN_OK);
	CU_ASSERT_EQUAL(kmn_receipt_link(&a, &b, &path), KMN_RECEIPT_NONE);
	CU_ASSERT_EQUAL(kmn_receipt_link(&b, &a, &path), KMN_RECEIPT_NONE);
	a.root[0] ^= 1;
	CU_ASSERT_EQUAL(kmn_receipt_link(&a, &b, &path), KMN_RECEIPT_FORK);
	free(s.note);
}

/* ---- attacks ----------------------------------------------------------------------------------------------------- */

static void
as_data(struct scene *s)
{
	s->value[0].bytes = "datb";
}
static void
as_output(struct scene *s)
{
	s->value[1].bytes = "signaturf";
}
static void
as_key(struct scene *s)
{
	static const uint8_t other[KMN_HASH_BYTES] = {6};

	s->expect.key_spki_sha256 = other;
}
static void
as_other_intent(struct scene *s)
{
	set_request(s, AT_OTHER_INTENT);
}
static void
as_no_intent(struct scene *s)
{
	s->receipt.request = NULL;
}
static void
as_intent_of_result(struct scene *s)
{
	set_line(s, AT_OTHER_RESULT);
	set_request(s, AT_OTHER_INTENT);
}
static void
as_other_function(struct scene *s)
{
	s->expect.row = kmn_call_row(KMN_C_SignRecover);
}
static void
as_login(struct scene *s)
{
	s->expect.row = kmn_call_row(KMN_C_Login);
}
static void
as_number(struct scene *s)
{
	s->expect.number++;
}
static void
as_request(struct scene *s)
{
	s->expect.req_sha256[0] ^= 1;
}
static void
as_response(struct scene *s)
{
	s->expect.resp_sha256[31] ^= 1;
}
static void
as_rv(struct scene *s)
{
	s->expect.rv = CKR_DATA_INVALID;
}
static void
as_channel(struct scene *s)
{
	s->expect.chan_count = 1;
}
static void
as_decryption(struct scene *s)
{
	set_line(s, AT_DECRYPT_RESULT);
	set_request(s, AT_DECRYPT_INTENT);
}
static void
as_op(struct scene *s)
{
	set_line(s, AT_OP);
}
static void
as_filler(struct scene *s)
{
	set_line(s, 5);
}
static void
as_salt(struct scene *s)
{
	s->receipt.opening[0].salt = salt_in;
}
static void
as_unopened(struct scene *s)
{
	s->receipt.opening_count = 0;
}
static void
as_field(struct scene *s)
{
	s->receipt.opening[0].field = "oux";
}
static void
as_plaintext(struct scene *s)
{
	s->value[1].bytes = "plaim";
}
static void
as_neighbour(struct scene *s)
{
	CU_ASSERT_EQUAL_FATAL(kmn_tree_inclusion(w.tree, AT_RESULT + 1, LINES, &s->receipt.path), KMN_OK);
}
static void
as_short_path(struct scene *s)
{
	s->receipt.path.count--;
}
static void
as_long_path(struct scene *s)
{
	s->receipt.path.count++;
}
static char bent[KMN_LINE_MAX_BYTES];
static void
as_bent_line(struct scene *s)
{
	char *digit;

	memcpy(bent, s->receipt.line, s->receipt.line_len);
	digit = memmem(bent, s->receipt.line_len, "\"dur_us\":5", 10);
	CU_ASSERT_PTR_NOT_NULL_FATAL(digit);
	digit[9] = '6';
	s->receipt.line = bent;
}
static void
as_spaced_line(struct scene *s)
{
	memcpy(bent, s->receipt.line, s->receipt.line_len);
	bent[s->receipt.line_len++] = ' ';
	s->receipt.line = bent;
}
static void
as_origin(struct scene *s)
{
	struct kmn_head head = head_at(LINES);

	set_note(s, "kanmon.example/gw2/2026", &head);
}
static void
as_configured(struct scene *s)
{
	s->expect.origin = "kanmon.example/gw2/2026";
}
static void
as_longer_origin(struct scene *s)
{
	s->expect.origin = "kanmon.example/gw1/202";
}
static void
as_bent_note(struct scene *s)
{
	s->note[s->receipt.note_len - 20] ^= 1;
}
static void
as_key_of_another(struct scene *s)
{
	static struct kmn_vkey other;
	uint8_t seed[32] = {99}, pub[32], secret[64];

	crypto_sign_seed_keypair(pub, secret, seed);
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make(ORIGIN, pub, &other), KMN_OK);
	s->expect.log = &other;
}
static void
as_no_key(struct scene *s)
{
	s->expect.log_count = 0;
}
static void
as_rolled_back(struct scene *s)
{
	s->expect.before.size = LINES + 1;
}
static void
as_forked(struct scene *s)
{
	s->expect.before.root[7] ^= 1;
}
static void
as_forked_at_size(struct scene *s)
{
	s->expect.before = head_at(LINES);
	s->expect.before.root[7] ^= 1;
	s->receipt.has_consistency = false;
}
static void
as_unproven(struct scene *s)
{
	s->receipt.has_consistency = false;
}
static void
as_other_from(struct scene *s)
{
	s->receipt.from = 7;
}
static void
as_bent_proof(struct scene *s)
{
	s->receipt.consistency.hash[1][4] ^= 1;
}
static void
as_size(struct scene *s)
{
	s->receipt.size--;
}
static void
as_head(struct scene *s)
{
	s->expect.row = NULL;
}
static void
as_answer(struct scene *s)
{
	s->expect.row = kmn_call_row(KMN_C_Sign);
}
static void
as_other_again(struct scene *s)
{
	s->receipt.result = w.line[AT_OTHER_RESULT];
	s->receipt.result_len = w.len[AT_OTHER_RESULT];
	set_request(s, AT_OTHER_INTENT);
}
static void
as_no_again(struct scene *s)
{
	s->receipt.result = NULL;
}
static void
as_with_result(struct scene *s)
{
	s->receipt.result = w.line[AT_RESULT];
	s->receipt.result_len = w.len[AT_RESULT];
}

struct bend {
	const char *says;
	void (*scene)(struct scene *);
	void (*how)(struct scene *);
	enum kmn_receipt_fault want;
};

static void
run_bends(const struct bend *bend, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum kmn_receipt_fault fault;
		struct scene s;

		bend[i].scene(&s);
		bend[i].how(&s);
		if ((fault = check(&s, NULL)) != bend[i].want)
			printf("# %s: %s\n", bend[i].says, kmn_receipt_fault_name(fault));
		CU_ASSERT_EQUAL(fault, bend[i].want);
		free(s.note);
	}
}

static void
test_other_doing(void)
{
	static const struct bend bends[] = {
	    {"other data was logged", begin_sign, as_data, KMN_RECEIPT_INPUT},
	    {"another signature was logged", begin_sign, as_output, KMN_RECEIPT_INPUT},
	    {"another key was logged", begin_sign, as_key, KMN_RECEIPT_KEY},
	    {"another key was logged in one record", begin_encrypt, as_key, KMN_RECEIPT_KEY},
	    {"another plaintext was committed to", begin_decrypt, as_plaintext, KMN_RECEIPT_OPENING},
	    {"another answer was logged", begin_sign, as_response, KMN_RECEIPT_ANSWER},
	    {"another return value was logged", begin_sign, as_rv, KMN_RECEIPT_ANSWER},
	    {"other ciphertext was logged", begin_encrypt, as_output, KMN_RECEIPT_INPUT},
	    {"a record was changed after it was hashed", begin_sign, as_bent_line, KMN_RECEIPT_INCLUSION},
	    {"a line is not canonical", begin_sign, as_spaced_line, KMN_RECEIPT_LINE},
	};

	run_bends(bends, KMN_COUNT_OF(bends));
}

static void
test_other_operation(void)
{
	static const struct bend bends[] = {
	    {"of another number", begin_sign, as_number, KMN_RECEIPT_CALL},
	    {"of another request", begin_sign, as_request, KMN_RECEIPT_CALL},
	    {"of another channel", begin_sign, as_channel, KMN_RECEIPT_CALL},
	    {"of another function", begin_sign, as_other_function, KMN_RECEIPT_REQUEST},
	    {"of another function in one record", begin_sign, as_op, KMN_RECEIPT_CALL},
	    {"a decryption for a signature", begin_sign, as_decryption, KMN_RECEIPT_REQUEST},
	    {"a signature for a login", begin_sign, as_login,
		KMN_RECEIPT_REQUEST}, /* a held login has a result, too: of another frame */
	    {"a record that tells of no call", begin_sign, as_filler, KMN_RECEIPT_KIND},
	    {"beside another intent", begin_sign, as_other_intent, KMN_RECEIPT_REQUEST},
	    {"without its intent", begin_sign, as_no_intent, KMN_RECEIPT_REQUEST},
	    {"a result of other data", begin_sign, as_intent_of_result, KMN_RECEIPT_INPUT},
	    {"another result handed out again", begin_again, as_other_again, KMN_RECEIPT_REQUEST},
	    {"a redelivery without its result", begin_again, as_no_again, KMN_RECEIPT_REQUEST},
	    {"a result beside a result", begin_sign, as_with_result, KMN_RECEIPT_REQUEST},
	    {"of a session for nothing", begin_login, as_request, KMN_RECEIPT_CALL},
	    {"a login's other answer", begin_login, as_response, KMN_RECEIPT_ANSWER},
	    {"of an answer where a head is due", begin_sign, as_head, KMN_RECEIPT_FORM},
	    {"of a head where an answer is", begin_head, as_answer, KMN_RECEIPT_FORM},
	};

	run_bends(bends, KMN_COUNT_OF(bends));
}

static void
test_other_name(void)
{
	static const struct bend bends[] = {
	    {"the note is of another origin", begin_sign, as_origin, KMN_RECEIPT_ORIGIN},
	    {"the configuration says another", begin_sign, as_configured, KMN_RECEIPT_ORIGIN},
	    {"the configured origin is its beginning", begin_sign, as_longer_origin, KMN_RECEIPT_ORIGIN},
	    {"another key of the same name signed", begin_sign, as_key_of_another, KMN_RECEIPT_NOTE},
	    {"no key is pinned", begin_sign, as_no_key, KMN_RECEIPT_NOTE},
	    {"at attach too", begin_head, as_origin, KMN_RECEIPT_ORIGIN},
	};

	run_bends(bends, KMN_COUNT_OF(bends));
}

static void
test_heads(void)
{
	static const struct bend bends[] = {
	    {"a bent signature", begin_sign, as_bent_note, KMN_RECEIPT_NOTE},
	    {"smaller than before", begin_sign, as_rolled_back, KMN_RECEIPT_ROLLBACK},
	    {"smaller than what ATTACH named", begin_head, as_rolled_back, KMN_RECEIPT_ROLLBACK},
	    {"another beginning", begin_sign, as_forked, KMN_RECEIPT_FORK},
	    {"another root of the same size", begin_sign, as_forked_at_size, KMN_RECEIPT_FORK},
	    {"no proof", begin_sign, as_unproven, KMN_RECEIPT_FORK},
	    {"no proof at attach", begin_head, as_unproven, KMN_RECEIPT_FORK},
	    {"a proof from elsewhere", begin_sign, as_other_from, KMN_RECEIPT_FORM},
	    {"a bent proof", begin_sign, as_bent_proof, KMN_RECEIPT_FORK},
	    {"another size than its note", begin_sign, as_size, KMN_RECEIPT_FORM},
	    {"the path of the neighbour", begin_sign, as_neighbour, KMN_RECEIPT_INCLUSION},
	    {"a path cut short", begin_sign, as_short_path, KMN_RECEIPT_INCLUSION},
	    {"a path with one hash more", begin_sign, as_long_path, KMN_RECEIPT_INCLUSION},
	};

	run_bends(bends, KMN_COUNT_OF(bends));
}

static void
test_openings(void)
{
	static const struct bend bends[] = {
	    {"another salt", begin_decrypt, as_salt, KMN_RECEIPT_OPENING},
	    {"no opening", begin_decrypt, as_unopened, KMN_RECEIPT_OPENING},
	    {"of another member", begin_decrypt, as_field, KMN_RECEIPT_OPENING},
	    {"no opening of an input", begin_encrypt, as_unopened, KMN_RECEIPT_OPENING},
	};

	run_bends(bends, KMN_COUNT_OF(bends));
}

/* Every byte of a receipt matters: turned, it does not read, or does not hold. */
static void
test_every_byte(void)
{
	struct kmn_receipt_found found;
	struct kmn_receipt receipt;
	struct kmn_writer out;
	struct scene s;
	size_t passed = 0;

	begin_decrypt(&s);
	kmn_writer_init(&out, KMN_RECEIPT_MAX_BYTES);
	kmn_receipt_put(&s.receipt, &out);
	for (size_t i = 0; i < out.len; i++) {
		out.bytes[i] ^= 0x10;
		if (kmn_receipt_decode(out.bytes, out.len, &receipt) == KMN_OK) {
			passed += kmn_receipt_check(&s.expect, &receipt, &found, NULL) == KMN_RECEIPT_NONE;
			kmn_receipt_found_clear(&found);
		}
		out.bytes[i] ^= 0x10;
	}
	CU_ASSERT_EQUAL(passed, 0);
	kmn_writer_clear(&out);
	free(s.note);
}

/* ---- form -------------------------------------------------------------------------------------------------------- */

static void
test_form(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(scenes); i++) {
		struct kmn_writer out, again;
		struct kmn_receipt receipt;
		struct scene s;

		scenes[i](&s);
		kmn_writer_init(&out, KMN_RECEIPT_MAX_BYTES);
		kmn_writer_init(&again, KMN_RECEIPT_MAX_BYTES);
		kmn_receipt_put(&s.receipt, &out);
		CU_ASSERT_EQUAL_FATAL(kmn_receipt_decode(out.bytes, out.len, &receipt), KMN_OK);
		kmn_receipt_put(&receipt, &again);
		CU_ASSERT_EQUAL_FATAL(again.len, out.len);
		CU_ASSERT_EQUAL(memcmp(again.bytes, out.bytes, out.len), 0);
		kmn_writer_u8(&out, 0);
		CU_ASSERT_NOT_EQUAL(kmn_receipt_decode(out.bytes, out.len, &receipt), KMN_OK);
		kmn_writer_clear(&out);
		kmn_writer_clear(&again);
		free(s.note);
	}
}

static const struct {
	const char *says;
	uint8_t bytes[64];
	size_t len;
	kmn_err want;
} forms[] = {
    {"nothing", {0}, 0, KMN_E_MALFORMED},
    {"a size alone", {0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5}, 14, KMN_OK},
    {"a size twice", {0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5}, 28,
	KMN_E_MALFORMED},
    {"a size of seven bytes", {0, 2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0}, 13, KMN_E_TRUNCATED},
    {"a size of nine bytes", {0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0}, 15, KMN_E_TRAILING},
    {"a type that is not used", {0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 7, 0, 0, 0, 0}, 20, KMN_E_MALFORMED},
    {"a type beyond all", {0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0, 0}, 20, KMN_E_MALFORMED},
    {"a path without a line", {0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 3, 0, 0, 0, 1, 0}, 21, KMN_E_MALFORMED},
    {"a line without a path", {0, 1, 0, 0, 0, 1, '{', 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5}, 21, KMN_E_MALFORMED},
    {"an empty line", {0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 3, 0, 0, 0, 1, 0}, 27,
	KMN_E_TRUNCATED},
    {"a path of 64 hashes", {0, 1, 0, 0, 0, 1, '{', 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 3, 0, 0, 0, 1, 64}, 28,
	KMN_E_TOO_BIG},
    {"types in another order", {0, 4, 0, 0, 0, 1, 'n', 0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5}, 21, KMN_E_MALFORMED},
    {"more than there is", {0, 2, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 5}, 14, KMN_E_TRUNCATED},
};

static void
test_forms(void)
{
	struct kmn_receipt receipt;

	for (size_t i = 0; i < KMN_COUNT_OF(forms); i++) {
		kmn_err e = kmn_receipt_decode(forms[i].bytes, forms[i].len, &receipt);

		if (e != forms[i].want)
			printf("# %s: %s\n", forms[i].says, kmn_err_name(e));
		CU_ASSERT_EQUAL(e, forms[i].want);
	}
}

/* ---- which answers ----------------------------------------------------------------------------------------------- */

static enum kmn_receipt_due
due_of(enum kmn_call_id id, bool length_query, uint64_t rv)
{
	struct kmn_call_view view = {.id = id, .call = kmn_call_row(id)};

	for (size_t i = 0; i < view.call->param_count; i++) {
		view.value[i].param = &view.call->param[i];
		view.value[i].null = length_query;
	}
	return kmn_receipt_due(&view, rv);
}

static void
test_due(void)
{
	CU_ASSERT_EQUAL(due_of(KMN_C_Sign, false, CKR_OK), KMN_RECEIPT_MUST);
	CU_ASSERT_EQUAL(due_of(KMN_C_Login, false, CKR_OK), KMN_RECEIPT_MUST);
	CU_ASSERT_EQUAL(due_of(KMN_C_GenerateRandom, false, CKR_OK), KMN_RECEIPT_MUST);
	CU_ASSERT_EQUAL(due_of(KMN_C_GenerateKeyPair, false, CKR_OK), KMN_RECEIPT_MUST);
	CU_ASSERT_EQUAL(due_of(KMN_C_DigestKey, false, CKR_OK), KMN_RECEIPT_MUST);
	CU_ASSERT_EQUAL(due_of(KMN_C_Sign, false, CKR_FUNCTION_REJECTED), KMN_RECEIPT_MAY);
	CU_ASSERT_EQUAL(due_of(KMN_C_Sign, true, CKR_OK), KMN_RECEIPT_NEVER);
	CU_ASSERT_EQUAL(due_of(KMN_C_SignInit, false, CKR_OK), KMN_RECEIPT_NEVER);
	CU_ASSERT_EQUAL(due_of(KMN_C_SignUpdate, false, CKR_OK), KMN_RECEIPT_NEVER);
	CU_ASSERT_EQUAL(due_of(KMN_C_MessageSignFinal, false, CKR_OK), KMN_RECEIPT_NEVER);
	CU_ASSERT_EQUAL(due_of(KMN_C_FindObjects, false, CKR_OK), KMN_RECEIPT_NEVER);
	CU_ASSERT_EQUAL(due_of(KMN_C_GetTokenInfo, false, CKR_OK), KMN_RECEIPT_NEVER);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo form_tests[] = {
	    {"what is written reads back, byte for byte, and nothing may follow", test_form},
	    {"types are in order, once, each of its form", test_forms},
	    {"who must have one: recorded calls that succeeded", test_due},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo check_tests[] = {
	    {"receipts of signatures, decryptions, logins, redeliveries and heads hold", test_holds},
	    {"under the checkpoint of the receipt before, which is not sent again", test_same_head},
	    {"a head of another connection is linked by a proof", test_links},
	    {"a record of something other than what was done is refused: data, key, output, answer", test_other_doing},
	    {"a valid receipt of another operation is refused", test_other_operation},
	    {"a gateway that renames itself is refused: key and origin are the configuration's", test_other_name},
	    {"rollback, fork, and proofs of something else are refused", test_heads},
	    {"a commitment that is not opened is refused", test_openings},
	    {"every byte of a receipt matters", test_every_byte},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"receipt/form", NULL, NULL, NULL, NULL, form_tests},
	    {"receipt/check", NULL, end_world, NULL, NULL, check_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
