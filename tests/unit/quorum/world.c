#include "config.h"

#include "tests/unit/quorum/world.h"

#include <CUnit/CUnit.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *checked; /* what the last vote was worth */

static void
key_of(const char *name, struct kmn_vkey *vkey, uint8_t secret[KMN_ED25519_SECRET_BYTES])
{
	char full[128];
	uint8_t seed[KMN_HASH_BYTES], public[KMN_ED25519_PUBLIC_BYTES];

	snprintf(full, sizeof(full), "kanmon.example/%s", name);
	kmn_sha256(full, strlen(full), seed);
	crypto_sign_seed_keypair(public, secret, seed);
	if (kmn_vkey_make(full, public, vkey) != KMN_OK)
		KMN_BUG("a test key");
}

void
world_vkey(const char *name, char out[KMN_VKEY_MAX_BYTES])
{
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	struct kmn_vkey vkey;

	key_of(name, &vkey, secret);
	kmn_vkey_format(&vkey, out);
}

char *
world_sign(const char *text, const char *names)
{
	char *note = NULL, list[256], *rest = list, *name;
	size_t len = strlen(text);

	snprintf(list, sizeof(list), "%s", names);
	while ((name = strtok_r(rest, " ", &rest)) != NULL) {
		uint8_t secret[KMN_ED25519_SECRET_BYTES];
		struct kmn_vkey vkey;
		char *more = NULL;
		kmn_err e;

		key_of(name, &vkey, secret);
		e = note == NULL ? kmn_note_sign(text, len, &vkey, secret, &more, &len)
				 : kmn_note_countersign(note, len, &vkey, secret, &more, &len);
		if (e != KMN_OK)
			KMN_BUG("a test note");
		free(note);
		note = more;
	}
	return note;
}

void
world_spki(const char *name, uint8_t out[KMN_HASH_BYTES])
{
	kmn_sha256(name, strlen(name), out);
}

static void add(char **text, const char *format, ...) KMN_PRINTF(2, 3);

#include <stdarg.h>

static void
add(char **text, const char *format, ...)
{
	char *more = NULL, *whole = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&more, format, args) < 0 || asprintf(&whole, "%s%s", *text == NULL ? "" : *text, more) < 0)
		KMN_BUG("out of memory");
	va_end(args);
	free(more);
	free(*text);
	*text = whole;
}

static const char *
b64_of(const uint8_t *bytes)
{
	static char out[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	kmn_b64(bytes, KMN_HASH_BYTES, out);
	return out;
}

static void
add_peer(char **text, const char *kind, const char *name, const char *before, const char *after)
{
	uint8_t spki[KMN_HASH_BYTES];

	world_spki(name, spki);
	add(text, "%s %s %sspki:%s%s\n", kind, name, before, b64_of(spki), after);
}

char *
world_policy(unsigned version, const uint8_t *previous, const char *rules)
{
	static const char *const people[][3] = {{"custodian", "sato", "0017"}, {"custodian", "suzuki", "0018"},
	    {"custodian", "tanaka", "0019"}, {"custodian", "mori", "0020"}, {"custodian", "kato", "0021"},
	    {"auditor", "ito", "0101"}};
	char vkey[KMN_VKEY_MAX_BYTES], *text = NULL;

	add(&text, "kanmon/policy/v1\norigin kanmon.example/gw1/2026\nversion %u\nprevious %s\n", version,
	    previous == NULL ? "none" : b64_of(previous));
	add(&text, "not-before 2026-01-01T00:00:00Z\nexpires 2027-11-01T00:00:00Z\n\n");
	for (size_t i = 0; i < KMN_COUNT_OF(people); i++) {
		world_vkey(people[i][1], vkey);
		add(&text, "%s %s person:%s %s\n", people[i][0], people[i][1], people[i][2], vkey);
	}
	world_vkey("sato2", vkey);
	add(&text, "custodian sato person:0017 %s\n", vkey);
	add_peer(&text, "client", "ca", "", " tokens root operators kato");
	add_peer(&text, "client", "other", "", " tokens root spare");
	add_peer(&text, "terminal", "sato-term", "person:0017 ", "");
	add(&text,
	    "token root label \"Root token\" module softhsm\ntoken spare module softhsm serial 42 firmware 7.*\n");
	add(&text, "group keepers 2 sato suzuki tanaka\ngroup officers 1 mori kato sato\n");
	add(&text, "role policy 2 sato suzuki tanaka ito\nrole veto 1 sato ito\n%s", rules);
	return text;
}

/* ---- the ledger -------------------------------------------------------------------------------------------------- */

static kmn_err
blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	struct world *w = cookie;

	for (size_t i = 0; i < w->blobs; i++) {
		if (memcmp(w->blob[i].sha256, sha256, KMN_HASH_BYTES) != 0)
			continue;
		*len_out = w->blob[i].len;
		*bytes_out = malloc(*len_out + 1);
		memcpy(*bytes_out, w->blob[i].bytes, *len_out);
		return KMN_OK;
	}
	return KMN_E_NOT_FOUND;
}

void
world_keep(struct world *w, const uint8_t *bytes, size_t len)
{
	kmn_sha256(bytes, len, w->blob[w->blobs].sha256);
	w->blob[w->blobs].bytes = malloc(len + 1);
	memcpy(w->blob[w->blobs].bytes, bytes, len);
	w->blob[w->blobs++].len = len;
}

/* The key `root-ca`: a real one, for a result is nothing without its signature. One for all worlds of a program. */
static EVP_PKEY *
root_key(void)
{
	static EVP_PKEY *key;

	if (key == NULL && (key = EVP_EC_gen("P-256")) == NULL)
		KMN_BUG("a key");
	return key;
}

void
world_root_spki(uint8_t out[KMN_HASH_BYTES])
{
	uint8_t *spki = NULL;
	int len = i2d_PUBKEY(root_key(), &spki);

	kmn_sha256(spki, (size_t)len, out);
	OPENSSL_free(spki);
}

static void
keep_root_spki(struct world *w)
{
	uint8_t *spki = NULL;
	int len = i2d_PUBKEY(root_key(), &spki);

	world_keep(w, spki, (size_t)len);
	OPENSSL_free(spki);
}

void
world_head(const struct world *w, struct kmn_head *head_out)
{
	kmn_frontier_head(&w->frontier, head_out);
}

static void
emit(struct world *w, size_t i, enum kmn_record_kind kind, uint64_t t, json_t *body)
{
	struct kmn_record record = {
	    .i = i, .t = t, .m = i + w->boot_ahead, .kind = kind, .type = kmn_record_name(kind), .body = body};
	struct kmn_why why;

	if (i > 0)
		memcpy(record.prev, w->ref[i - 1].leaf, KMN_HASH_BYTES);
	record.nonce[0] = (uint8_t)i;
	if (kmn_record_check(kind, body, &why) != KMN_OK ||
	    kmn_record_emit(&record, &w->line[i], &w->len[i], &why) != KMN_OK) {
		fprintf(stderr, "# %s: %s\n", record.type, why.text);
		KMN_BUG("a record that is none");
	}
	w->ref[i].i = i;
	memcpy(w->ref[i].leaf, record.leaf, KMN_HASH_BYTES);
	json_decref(body);
}

kmn_err
world_apply(struct world *w, struct kmn_quorum *q, size_t i, struct kmn_finding *finding)
{
	struct kmn_record record;
	kmn_err e;

	if (kmn_record_parse(w->line[i], w->len[i], &record, NULL) != KMN_OK)
		KMN_BUG("a line that is no record");
	e = kmn_quorum_apply(q, &record, finding);
	kmn_record_clear(&record);
	return e;
}

kmn_err
world_append(struct world *w, enum kmn_record_kind kind, json_t *body)
{
	size_t i = w->count++;
	kmn_err e;

	w->t += 10;
	emit(w, i, kind, w->t, body);
	kmn_frontier_add(&w->frontier, w->ref[i].leaf);
	e = world_apply(w, w->quorum, i, &w->finding);
	world_shadow(w, e);
	return e;
}

void
world_drop(struct world *w)
{
	free(w->line[--w->count]);
}

void
world_replace(struct world *w, size_t i, json_t *body)
{
	struct kmn_record record;

	if (kmn_record_parse(w->line[i], w->len[i], &record, NULL) != KMN_OK)
		KMN_BUG("a line that is no record");
	free(w->line[i]);
	emit(w, i, record.kind, record.t, body);
	kmn_record_clear(&record);
}

const json_t *
world_body(struct world *w, size_t i, json_t **owner)
{
	struct kmn_record record;

	if (kmn_record_parse(w->line[i], w->len[i], &record, NULL) != KMN_OK)
		KMN_BUG("a line that is no record");
	*owner = record.owner;
	return record.body;
}

struct kmn_quorum *
world_quorum(struct world *w)
{
	struct kmn_quorum_settings settings = {.blob = blob, .cookie = w};
	struct kmn_quorum *q;

	if (kmn_quorum_new(&settings, &q) != KMN_OK)
		KMN_BUG("out of memory");
	return q;
}

kmn_err
world_replay(struct world *w, struct kmn_finding *finding_out, struct kmn_quorum **quorum_out)
{
	struct kmn_quorum *q = world_quorum(w);
	kmn_err e = KMN_OK;

	for (size_t i = 0; i < w->count && e == KMN_OK; i++)
		e = world_apply(w, q, i, finding_out);
	if (quorum_out != NULL)
		*quorum_out = q;
	else
		kmn_quorum_free(q);
	return e;
}

void
world_init(struct world *w, const char *rules)
{
	char *text = world_policy(1, NULL, rules), *note = world_sign(text, "sato suzuki");
	char vkey[KMN_VKEY_MAX_BYTES];

	memset(w, 0, sizeof(*w));
	w->t = WORLD_START_MS;
	kmn_frontier_init(&w->frontier);
	world_vkey("log", vkey);
	w->quorum = world_quorum(w);
	keep_root_spki(w);
	if (world_append(w, KMN_R_GENESIS,
		json_pack("{s:s,s:s,s:s,s:s,s:{},s:{}}", "origin", "kanmon.example/gw1/2026", "suite", "K1", "vkey",
		    vkey, "policy", note, "hsm", "limits")) != KMN_OK) {
		fprintf(stderr, "# %s %s\n", w->finding.check, w->finding.text);
		KMN_BUG("a genesis that is none");
	}
	free(text);
	free(note);
}

void
world_clear(struct world *w)
{
	kmn_quorum_free(w->quorum);
	for (size_t i = 0; i < w->shadows; i++)
		kmn_quorum_free(w->shadow[i]);
	for (size_t i = 0; i < w->count; i++)
		free(w->line[i]);
	for (size_t i = 0; i < w->blobs; i++)
		free(w->blob[i].bytes);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

/* r || s over the data of an intent, as a PKCS#11 module gives it. */
static json_t *
signature(struct world *w, const json_t *intent)
{
	uint8_t sha256[KMN_HASH_BYTES], der[128], raw[64], *data;
	size_t len = 0, der_len = sizeof(der);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const uint8_t *at = der;
	ECDSA_SIG *sig;

	if (!kmn_json_get_b64(json_object_get(intent, "in"), "sha256", sha256, sizeof(sha256)) ||
	    blob(w, sha256, &data, &len) != KMN_OK ||
	    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, root_key()) != 1 ||
	    EVP_DigestSign(ctx, der, &der_len, data, len) != 1 ||
	    (sig = d2i_ECDSA_SIG(NULL, &at, (long)der_len)) == NULL)
		KMN_BUG("a signature");
	BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
	BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
	ECDSA_SIG_free(sig);
	EVP_MD_CTX_free(ctx);
	free(data);
	return kmn_json_b64(raw, sizeof(raw));
}

json_t *
world_intent(struct world *w, const char *client, const uint8_t *data, size_t len)
{
	uint8_t spki[KMN_HASH_BYTES], key[KMN_HASH_BYTES], in[KMN_HASH_BYTES], nonce[KMN_HASH_BYTES] = {0};
	struct kmn_norm norm;

	world_spki(client, spki);
	world_root_spki(key);
	kmn_sha256(data, len, in);
	nonce[0] = ++w->nonce;
	if (kmn_operation_normalise(0x1044, NULL, data, len, &norm) != KMN_OK)
		KMN_BUG("a norm");
	world_keep(w, data, len);
	return json_pack(
	    "{s:i,s:i,s:i,s:s,s:{s:s},s:{s:s,s:s,s:s,s:o,s:s,s:s},s:{s:o,s:I},s:o,s:o,s:o,s:{s:o,s:s},s:s,s:I}", "chan",
	    1, "sess", 2, "seq", (int)w->count, "op", "C_Sign", "mech", "name", "CKM_ECDSA_SHA256", "key", "class",
	    "private-key", "id", "0a0b", "label", "root-ca", "spki_sha256", kmn_json_b64(key, sizeof(key)), "token",
	    "Root token", "serial", "0123ABCD", "in", "sha256", kmn_json_b64(in, sizeof(in)), "len", (json_int_t)len,
	    "norm", kmn_norm_json(&norm), "req_sha256", kmn_json_b64(in, sizeof(in)), "nonce_req",
	    kmn_json_b64(nonce, sizeof(nonce)), "requester", "spki_sha256", kmn_json_b64(spki, sizeof(spki)), "name",
	    client, "purpose", "Monthly CRL", "expires", (json_int_t)w->t + 3600 * 1000);
}

uint64_t
world_request(struct world *w, const char *client, const char *data)
{
	uint64_t i = w->count;
	struct kmn_head head;
	json_t *body = NULL;

	if (world_append(w, KMN_R_INTENT, world_intent(w, client, (const uint8_t *)data, strlen(data))) != KMN_OK)
		return 0;
	world_head(w, &head);
	if (kmn_quorum_statement_body(w->quorum, kmn_quorum_request(w->quorum, i), &head, &body) != KMN_OK ||
	    world_append(w, KMN_R_STATEMENT, body) != KMN_OK) {
		fprintf(stderr, "# %s %s\n", w->finding.check, w->finding.text);
		return 0;
	}
	return i;
}

bool
world_vote(struct world *w, uint64_t request, const char *names, enum kmn_decision decision, const char **why)
{
	const struct kmn_request *r = kmn_quorum_request(w->quorum, request);
	static struct kmn_note_check check;
	char *text = NULL, *note;
	json_t *body = NULL;
	bool good;

	if (kmn_statement_turn(r->statement, decision, "not today", &text) != KMN_OK)
		KMN_BUG("a statement");
	note = world_sign(text, names);
	good = kmn_quorum_check_note(w->quorum, note, strlen(note), (int64_t)w->t, &check);
	if (kmn_quorum_vote_body(&check, note, strlen(note), &body) != KMN_OK ||
	    world_append(w, kmn_record_kind(kmn_quorum_vote_type(decision)), body) != KMN_OK)
		KMN_BUG("a vote that cannot be recorded");
	checked = check.check;
	if (why != NULL)
		*why = checked;
	free(text);
	free(note);
	return good;
}

kmn_err
world_decide(struct world *w, uint64_t request, const char *verdict)
{
	json_t *body = NULL;

	if (kmn_quorum_decision_body(w->quorum, kmn_quorum_request(w->quorum, request), verdict, &body) != KMN_OK)
		KMN_BUG("a decision");
	return world_append(w, KMN_R_DECISION, body);
}

kmn_err
world_result(struct world *w, uint64_t request, uint64_t rv)
{
	const struct kmn_request *r = kmn_quorum_request(w->quorum, request);
	uint8_t zero[KMN_HASH_BYTES] = {0};

	json_t *body = json_pack("{s:i,s:i,s:i,s:o,s:o,s:o,s:I,s:s,s:{},s:i,s:o}", "chan", 1, "sess", 2, "seq", 3,
	    "req_sha256", kmn_json_b64(zero, sizeof(zero)), "request", kmn_ref_json(&w->ref[request]), "decision",
	    kmn_ref_json(&w->ref[r->decision_i]), "rv", (json_int_t)rv, "rv_name", rv == 0 ? "CKR_OK" : "CKR_OTHER",
	    "hsm", "dur_us", 5, "resp_sha256", kmn_json_b64(zero, sizeof(zero)));

	if (rv == 0)
		(void)json_object_set_new(body, "out", json_pack("{s:o}", "b64", signature(w, r->intent)));
	return world_append(w, KMN_R_RESULT, body);
}

kmn_err
world_signed(
    struct world *w, enum kmn_signed_kind kind, const struct kmn_signed_pair *pair, size_t count, const char *names)
{
	struct kmn_signed_check check;
	struct kmn_why why;
	char *text, *note;
	kmn_err before, e;

	CU_ASSERT_EQUAL_FATAL(kmn_signed_make(kind, pair, count, &text, NULL), KMN_OK);
	note = world_sign(text, names);
	before = kmn_quorum_check_signed(w->quorum, note, strlen(note), &check, &why);
	e = world_append(w, kmn_signed_record(kind), json_pack("{s:s}", "note", note));
	CU_ASSERT_EQUAL(before == KMN_OK, e == KMN_OK);
	if (e != KMN_OK)
		world_drop(w);
	free(text);
	free(note);
	return e;
}
