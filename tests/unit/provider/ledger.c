#include "config.h"

#include "tests/unit/provider/ledger.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINES_MAX 4096u
#define T0 UINT64_C(1790000000000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what is below */
static char *lines[LINES_MAX];
static size_t lens[LINES_MAX];
static size_t count;
static struct kmn_tree *tree, *branch; /* branch: the same, with another first record */
static uint8_t prev[KMN_HASH_BYTES];
static uint8_t secret[crypto_sign_SECRETKEYBYTES], other_secret[crypto_sign_SECRETKEYBYTES];
static struct kmn_vkey vkey, other_vkey, other_origin_vkey;
static FILE *file;
static uint8_t last_receipt[KMN_RECEIPT_MAX_BYTES];
static size_t last_receipt_len;

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static bool
take_line(const char *line, size_t len)
{
	uint8_t leaf[KMN_HASH_BYTES], other[KMN_HASH_BYTES];

	if (count == LINES_MAX || (lines[count] = strndup(line, len)) == NULL)
		return false;
	lens[count++] = len;
	kmn_leaf_hash(line, len, leaf);
	memcpy(prev, leaf, sizeof(prev));
	memcpy(other, leaf, sizeof(other));
	other[0] ^= count == 1;
	return kmn_tree_add(tree, leaf) == KMN_OK && kmn_tree_add(branch, other) == KMN_OK;
}

static bool
add(enum kmn_record_kind kind, json_t *body)
{
	struct kmn_record record = {
	    .i = count, .t = T0 + count, .m = 1000 + count, .kind = kind, .type = kmn_record_name(kind), .body = body};
	struct kmn_why why = {{0}};
	char *line = NULL;
	size_t len;
	bool ok;

	memcpy(record.prev, prev, sizeof(prev));
	randombytes_buf(record.nonce, sizeof(record.nonce));
	ok = kmn_record_emit(&record, &line, &len, &why) == KMN_OK && take_line(line, len) &&
	     fprintf(file, "%s\n", line) > 0 && fflush(file) == 0;
	if (!ok)
		(void)fprintf(stderr, "the fake ledger: %s\n", why.text);
	free(line);
	json_decref(body);
	return ok;
}

static bool
make_keys(const uint8_t *seed)
{
	static const uint8_t other_seed[crypto_sign_SEEDBYTES] = {1};
	uint8_t pub[crypto_sign_PUBLICKEYBYTES], other_pub[crypto_sign_PUBLICKEYBYTES];

	return sodium_init() >= 0 && crypto_sign_seed_keypair(pub, secret, seed) == 0 &&
	       crypto_sign_seed_keypair(other_pub, other_secret, other_seed) == 0 &&
	       kmn_vkey_make(LEDGER_ORIGIN, pub, &vkey) == KMN_OK &&
	       kmn_vkey_make(LEDGER_ORIGIN, other_pub, &other_vkey) == KMN_OK &&
	       kmn_vkey_make("kanmon.example/other", other_pub, &other_origin_vkey) == KMN_OK;
}

bool
ledger_vkey(const uint8_t *seed, char out[KMN_VKEY_MAX_BYTES])
{
	if (!make_keys(seed))
		return false;
	kmn_vkey_format(&vkey, out);
	return true;
}

bool
ledger_open(const char *path, const uint8_t *seed)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	bool ok = make_keys(seed) && (tree = kmn_tree_new()) != NULL && (branch = kmn_tree_new()) != NULL &&
		  (file = fopen(path, "a+")) != NULL;

	if (ok)
		rewind(file);
	while (ok && (len = getline(&line, &room, file)) > 1)
		ok = take_line(line, (size_t)len - 1);
	free(line);
	for (int i = 0; ok && count < 3; i++)
		ok = add(KMN_R_CHECKPOINT, json_pack("{s:s}", "note", "so that there is something"));
	return ok;
}

bool
ledger_cut(const char *path, size_t n)
{
	char command[256];

	(void)snprintf(
	    command, sizeof(command), "head -n %zu '%s' >'%s.cut' && mv '%s.cut' '%s'", n, path, path, path, path);
	return system(command) == 0;
}

bool
ledger_bend_last(const char *path)
{
	char command[256];

	(void)snprintf(command, sizeof(command), "sed -i '$s/\"m\":1/\"m\":2/' '%s'", path);
	return system(command) == 0;
}

/* ---- receipts ---------------------------------------------------------------------------------------------------- */

static const struct kmn_tree *
tree_for(enum lie lie, const struct ledger_reader *reader)
{
	return lie == LIE_SPLIT && reader->joined ? branch : tree;
}

/* The signed note of a head; free(). */
static char *
note_of(enum lie lie, const struct kmn_head *head, size_t *len)
{
	const struct kmn_vkey *key = lie == LIE_OTHER_LOG_KEY ? &other_vkey : &vkey;
	const char *origin = LEDGER_ORIGIN;
	char *note = NULL, *both = NULL, *text_end;
	size_t n;

	*len = 0;
	if (lie == LIE_ORIGIN_IN_NOTE) { /* signed by the right key, which speaks for another ledger here */
		if (kmn_checkpoint_sign("kanmon.example/other", head, &other_origin_vkey, other_secret, &note, &n) !=
			KMN_OK ||
		    kmn_note_countersign(note, n, &vkey, secret, &both, len) != KMN_OK)
			abort();
		free(note);
		return both;
	}
	(void)text_end;
	if (kmn_checkpoint_sign(origin, head, key, lie == LIE_OTHER_LOG_KEY ? other_secret : secret, &note, len) !=
	    KMN_OK)
		abort();
	return note;
}

/* Fills in head, note and consistency; the note is free()d by the caller. */
static char *
put_tree(enum lie lie, struct ledger_reader *reader, struct kmn_receipt *r)
{
	const struct kmn_tree *t = tree_for(lie, reader);
	struct kmn_head head;
	uint64_t from = reader->from;
	size_t len;
	char *note;

	r->size = lie == LIE_SHRUNK && count > 2 ? count - 2 : count;
	if (kmn_tree_head(t, r->size, &head) != KMN_OK)
		abort();
	note = note_of(lie, &head, &len);
	r->note = note;
	r->note_len = len;
	if (lie == LIE_STALE_CONSISTENCY && from > 1)
		from--;
	if (from > 0 && from < r->size && lie != LIE_NO_CONSISTENCY) {
		r->has_consistency = true;
		r->from = from;
		if (kmn_tree_consistency(t, from, r->size, &r->consistency) != KMN_OK)
			abort();
	}
	reader->from = r->size;
	return note;
}

static void
put_bytes(const struct kmn_receipt *r, struct kmn_writer *w)
{
	struct kmn_writer own;

	kmn_writer_init(&own, KMN_RECEIPT_MAX_BYTES);
	kmn_receipt_put(r, &own);
	kmn_writer_bytes(w, own.bytes, own.len);
	if (r->line != NULL) {
		memcpy(last_receipt, own.bytes, own.len);
		last_receipt_len = own.len;
	}
	kmn_writer_clear(&own);
}

void
ledger_put_head(enum lie lie, struct ledger_reader *reader, struct kmn_writer *w)
{
	struct kmn_receipt r = {0};
	char *note;

	(void)pthread_mutex_lock(&lock);
	if (reader->from > count) /* the client knows more than there is: it shall see that */
		reader->from = 0;
	note = put_tree(lie, reader, &r);
	put_bytes(&r, w);
	(void)pthread_mutex_unlock(&lock);
	free(note);
}

static json_t *
digest(const uint8_t *bytes, size_t len)
{
	uint8_t hash[KMN_HASH_BYTES];

	kmn_sha256(bytes, len, hash);
	return json_pack("{s:o, s:I}", "sha256", kmn_json_b64(hash, sizeof(hash)), "len", (json_int_t)len);
}

static json_t *
hash_of(const uint8_t *bytes, size_t len)
{
	uint8_t hash[KMN_HASH_BYTES];

	kmn_sha256(bytes, len, hash);
	return kmn_json_b64(hash, sizeof(hash));
}

static json_t *
body_of(enum lie lie, const struct ledger_call *call)
{
	static const uint8_t spki[2][KMN_HASH_BYTES] = {{7}, {8}};
	const char *op = lie == LIE_OTHER_FUNCTION ? "C_SignRecover" : kmn_call_row(call->id)->name;
	uint64_t rv = lie == LIE_OTHER_RV ? CKR_PIN_INCORRECT : call->rv;
	json_t *body = json_pack("{s:I, s:I, s:I, s:s, s:{}, s:s, s:{}, s:I, s:s, s:{}, s:I, s:o, s:o}", "chan",
	    (json_int_t)call->chan, "sess", (json_int_t)call->session, "seq", (json_int_t)call->number, "op", op,
	    "mech", "rule", "all", "policy", "rv", (json_int_t)rv, "rv_name", "CKR", "hsm", "dur_us", (json_int_t)5,
	    "req_sha256", hash_of(call->request, call->request_len), "resp_sha256",
	    hash_of(call->response, call->response_len));

	(void)json_object_set_new(
	    body, "key", json_pack("{s:o}", "spki_sha256", kmn_json_b64(spki[lie == LIE_KEY], KMN_HASH_BYTES)));
	if (call->in != NULL)
		(void)json_object_set_new(
		    body, "in", digest(call->in, lie == LIE_INPUT ? call->in_len - 1 : call->in_len));
	if (call->out != NULL)
		(void)json_object_set_new(body, "out",
		    json_pack("{s:o}", "b64",
			kmn_json_b64(call->out, lie == LIE_OUTPUT ? call->out_len - 1 : call->out_len)));
	return body;
}

void
ledger_put_answer(enum lie lie, struct ledger_reader *reader, const struct ledger_call *call, struct kmn_writer *w)
{
	struct kmn_receipt r = {0};
	char *note;

	(void)pthread_mutex_lock(&lock);
	if (!add(KMN_R_OP, body_of(lie, call)))
		abort();
	if (lie == LIE_MISSING) {
		kmn_writer_bytes(w, "", 0);
	} else if (lie == LIE_GARBAGE) {
		kmn_writer_bytes(w, "garbage", 7);
	} else {
		uint64_t index = lie == LIE_SHRUNK ? count - 3 : lie == LIE_OTHER_CALL ? count - 2 : count - 1;

		r.line = lines[index];
		r.line_len = lens[index];
		note = put_tree(lie, reader, &r);
		if (kmn_tree_inclusion(tree_for(lie, reader), index, r.size, &r.path) != KMN_OK)
			abort();
		if (lie == LIE_PATH)
			r.path.hash[0][0] ^= 1;
		put_bytes(&r, w);
		free(note);
	}
	(void)pthread_mutex_unlock(&lock);
}

void
ledger_put_none(enum lie lie, struct ledger_reader *reader, struct kmn_writer *w)
{
	(void)reader;
	(void)pthread_mutex_lock(&lock);
	kmn_writer_bytes(w, last_receipt, lie == LIE_UNASKED ? last_receipt_len : 0);
	(void)pthread_mutex_unlock(&lock);
}

bool
ledger_put_proof(enum lie lie, uint64_t from, uint64_t to, struct kmn_writer *w)
{
	const struct ledger_reader reader = {.joined = true};
	struct kmn_path path;
	bool ok;

	(void)pthread_mutex_lock(&lock);
	ok = from > 0 && from <= to && to <= count &&
	     kmn_tree_consistency(tree_for(lie, &reader), from, to, &path) == KMN_OK;
	if (ok)
		kmn_writer_bytes(w, path.hash, path.count * KMN_HASH_BYTES);
	(void)pthread_mutex_unlock(&lock);
	return ok;
}
