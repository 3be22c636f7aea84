/*
 * make_ledger FOLDER RECORDS [P256|ED25519]: FOLDER/ledger and FOLDER/trust, a
 * ledger of at least that many records that verifies to the last signature,
 * written by the gateway's own writer. Calls of class A (intent, decision,
 * result with a real signature), of class B, sessions, and now and then one
 * that two persons approved. To measure on, and to bend.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kanmon/log.h"
#include "kanmon/operation.h"
#include "tests/unit/quorum/world.h"

#define ORIGIN "kanmon.example/gw1/2026"
#define CHANNEL 2     /* index of its channel.open */
#define ROUND 24      /* calls at once */
#define HELD_EVERY 16 /* rounds */
#define HOUR_MS 3600000

static const char rules[] = "rule held\n"
			    "  client ca\n"
			    "  object pkcs11:token=root;object=root-ca\n"
			    "  calls key-use\n"
			    "  need keepers and officers\n"
			    "  expires 4h\n"
			    "rule ocsp\n"
			    "  client ca\n"
			    "  object pkcs11:token=root;object=ocsp\n"
			    "  calls key-use\n"
			    "  need none\n"
			    "  class B\n"
			    "rule sign\n"
			    "  client ca\n"
			    "  object pkcs11:token=root;object=issuing\n"
			    "  calls key-use\n"
			    "  need none\n"
			    "rule other\n"
			    "  client ca\n"
			    "  calls session query login random\n"
			    "  need none\n";

static struct {
	struct kmn_log *log;
	struct kmn_quorum *quorum; /* of the calls that are held; the rest needs none */
	EVP_PKEY *key;
	bool eddsa;
	uint8_t spki_sha256[KMN_HASH_BYTES], client[KMN_HASH_BYTES], policy[KMN_HASH_BYTES], zero[KMN_HASH_BYTES];
	uint64_t now, boot, seq, held;
} w;

static void
must(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "make_ledger: %s\n", what);
		exit(1);
	}
}

static uint64_t
now(void *cookie)
{
	(void)cookie;
	return w.now += 3;
}

static uint64_t
boot(void *cookie)
{
	(void)cookie;
	return w.boot += 3;
}

static void
dice(void *cookie, void *out, size_t len)
{
	(void)cookie;
	randombytes_buf(out, len);
}

/* What is measured is reading: the disk may take its time. */
static int
no_sync(struct kmn_store *store, int fd)
{
	(void)store;
	(void)fd;
	return 0;
}

static kmn_err
get_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	(void)cookie;
	return kmn_log_blob_get(w.log, sha256, bytes_out, len_out);
}

static json_t *
b64(const uint8_t *hash)
{
	return kmn_json_b64(hash, KMN_HASH_BYTES);
}

static struct kmn_ref
append(enum kmn_record_kind kind, json_t *body, bool apply)
{
	struct kmn_record record;
	struct kmn_finding finding;
	struct kmn_why why = {""};
	struct kmn_ref ref;

	must(body != NULL, "a body");
	if (kmn_log_append(w.log, kind, body, &ref, &record, &why) != KMN_OK)
		must(false, why.text);
	if (apply && kmn_quorum_apply(w.quorum, &record, &finding) != KMN_OK)
		must(false, finding.text);
	kmn_record_clear(&record);
	return ref;
}

static json_t *
key_json(const char *label)
{
	return json_pack("{s:s,s:s,s:s,s:o,s:s,s:s}", "class", "private-key", "id", "0a0b", "label", label,
	    "spki_sha256", b64(w.spki_sha256), "token", "Root token", "serial", "0123ABCD");
}

/* A call to sign something that nobody signed before. */
static json_t *
intent(const char *label, const char *data, struct kmn_norm *norm)
{
	uint8_t in[KMN_HASH_BYTES], nonce[KMN_HASH_BYTES];
	const char *mechanism = w.eddsa ? "CKM_EDDSA" : "CKM_ECDSA_SHA256";

	kmn_sha256(data, strlen(data), in);
	randombytes_buf(nonce, sizeof(nonce));
	must(kmn_operation_normalise(w.eddsa ? 0x1057 : 0x1044, NULL, (const uint8_t *)data, strlen(data), norm) ==
		 KMN_OK,
	    "a norm");
	return json_pack("{s:i,s:i,s:I,s:s,s:{s:s},s:o,s:{s:o,s:I},s:o,s:o,s:o,s:{s:o,s:s},s:s,s:I}", "chan", CHANNEL,
	    "sess", 2, "seq", (json_int_t)++w.seq, "op", "C_Sign", "mech", "name", mechanism, "key", key_json(label),
	    "in", "sha256", b64(in), "len", (json_int_t)strlen(data), "norm", kmn_norm_json(norm), "req_sha256",
	    b64(in), "nonce_req", b64(nonce), "requester", "spki_sha256", b64(w.client), "name", "ca", "purpose",
	    "a measurement", "expires", (json_int_t)w.now + HOUR_MS);
}

static json_t *
sign(const char *data)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[128], raw[64];
	size_t len = sizeof(der);
	const uint8_t *at = der;
	ECDSA_SIG *sig;

	must(ctx != NULL && EVP_DigestSignInit(ctx, NULL, w.eddsa ? NULL : EVP_sha256(), NULL, w.key) == 1 &&
		 EVP_DigestSign(ctx, der, &len, (const uint8_t *)data, strlen(data)) == 1,
	    "a signature");
	EVP_MD_CTX_free(ctx);
	if (w.eddsa)
		return kmn_json_b64(der, len);
	must((sig = d2i_ECDSA_SIG(NULL, &at, (long)len)) != NULL, "a signature");
	(void)BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, 32);
	(void)BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + 32, 32);
	ECDSA_SIG_free(sig);
	return kmn_json_b64(raw, sizeof(raw));
}

static json_t *
decision(const struct kmn_ref *request, uint64_t expires)
{
	return json_pack("{s:o, s:s, s:s, s:{s:i, s:o}, s:[], s:[], s:[], s:i, s:I}", "request", kmn_ref_json(request),
	    "verdict", "allow", "rule", "sign", "policy", "version", 1, "sha256", b64(w.policy), "approvals",
	    "rejections", "vetoes", "use", 1, "not_after", (json_int_t)expires);
}

static json_t *
result(const struct kmn_ref *request, const struct kmn_ref *decided, const char *data)
{
	return json_pack("{s:i,s:i,s:I,s:o,s:o,s:o,s:i,s:s,s:{s:o},s:{s:s,s:s},s:i,s:o,s:s}", "chan", CHANNEL, "sess",
	    2, "seq", (json_int_t)w.seq, "req_sha256", b64(w.zero), "request", kmn_ref_json(request), "decision",
	    kmn_ref_json(decided), "rv", 0, "rv_name", "CKR_OK", "out", "b64", sign(data), "hsm", "serial", "0123ABCD",
	    "fw", "2.6", "dur_us", 310, "resp_sha256", b64(w.zero), "selfcheck", "sig-verified");
}

static void
round_of_calls(void)
{
	struct kmn_ref request[ROUND], decided[ROUND];
	char data[ROUND][48];
	struct kmn_norm norm;

	for (unsigned n = 0; n < ROUND; n++) {
		uint64_t expires;
		json_t *body;

		(void)snprintf(data[n], sizeof(data[n]), "certificate %llu", (unsigned long long)w.seq);
		body = intent("issuing", data[n], &norm);
		must(kmn_json_get_number(body, "expires", &expires), "a time");
		request[n] = append(KMN_R_INTENT, body, false);
		decided[n] = append(KMN_R_DECISION, decision(&request[n], expires), false);
	}
	kmn_log_flush(w.log);
	for (unsigned n = 0; n < ROUND; n++)
		(void)append(KMN_R_RESULT, result(&request[n], &decided[n], data[n]), false);
	kmn_log_flush(w.log);
}

static void
round_of_ops(void)
{
	for (unsigned n = 0; n < ROUND; n++) {
		uint8_t in[KMN_HASH_BYTES];
		char data[48];

		(void)snprintf(data, sizeof(data), "answer %llu", (unsigned long long)w.seq);
		kmn_sha256(data, strlen(data), in);
		(void)append(KMN_R_OP,
		    json_pack(
			"{s:i,s:i,s:I,s:s,s:{s:s},s:o,s:{s:o,s:i},s:s,s:{s:i,s:o},s:i,s:s,s:{s:o},s:{s:s},s:i,s:o,s:o}",
			"chan", CHANNEL, "sess", 2, "seq", (json_int_t)++w.seq, "op", "C_Sign", "mech", "name",
			w.eddsa ? "CKM_EDDSA" : "CKM_ECDSA_SHA256", "key", key_json("ocsp"), "in", "sha256", b64(in),
			"len", (int)strlen(data), "rule", "ocsp", "policy", "version", 1, "sha256", b64(w.policy), "rv",
			0, "rv_name", "CKR_OK", "out", "b64", sign(data), "hsm", "serial", "0123ABCD", "dur_us", 290,
			"req_sha256", b64(w.zero), "resp_sha256", b64(w.zero)),
		    false);
	}
	kmn_log_flush(w.log);
}

static void
vote(uint64_t request, const char *name)
{
	const struct kmn_request *r = kmn_quorum_request(w.quorum, request);
	struct kmn_note_check check;
	json_t *body = NULL;
	char *text = NULL, *note;

	must(kmn_statement_turn(r->statement, KMN_APPROVE, "", &text) == KMN_OK, "a statement");
	note = world_sign(text, name);
	must(kmn_quorum_check_note(w.quorum, note, strlen(note), (int64_t)w.now, &check), check.check);
	must(kmn_quorum_vote_body(&check, note, strlen(note), &body) == KMN_OK, "a vote");
	(void)append(KMN_R_APPROVAL, body, true);
	free(text);
	free(note);
}

/* One that two keepers and an officer approve; its data is kept. */
static void
held_call(void)
{
	uint8_t hash[KMN_HASH_BYTES];
	struct kmn_ref request, decided;
	struct kmn_norm norm;
	struct kmn_head head;
	json_t *body = NULL, *shown;
	char data[48];

	(void)snprintf(data, sizeof(data), "root %llu", (unsigned long long)w.seq);
	must(kmn_log_blob_put(w.log, data, strlen(data), hash) == KMN_OK, "a blob");
	request = append(KMN_R_INTENT, intent("root-ca", data, &norm), true);
	must(kmn_log_wait(w.log) == KMN_OK, "the disk");
	kmn_log_durable(w.log, &head);
	must(kmn_quorum_statement_body(w.quorum, kmn_quorum_request(w.quorum, request.i), &head, &body) == KMN_OK,
	    "a statement");
	shown = json_deep_copy(json_object_get(body, "sha256"));
	(void)append(KMN_R_STATEMENT, body, true);
	/* What a screen showed; that of every third showed another text. */
	if (++w.held % 3 == 0) {
		json_decref(shown);
		shown = b64(w.zero);
	}
	(void)append(KMN_R_ACTION,
	    json_pack("{s:s, s:{s:s, s:o}, s:s, s:o, s:o}", "ui_sess", "1", "actor", "id", "person:0001", "spki_sha256",
		b64(w.client), "what", "viewed", "subject", kmn_ref_json(&request), "shown_sha256", shown),
	    false);
	vote(request.i, "sato");
	vote(request.i, "suzuki");
	vote(request.i, "mori");
	must(kmn_quorum_decision_body(w.quorum, kmn_quorum_request(w.quorum, request.i), "allow", &body) == KMN_OK,
	    "a decision");
	decided = append(KMN_R_DECISION, body, true);
	(void)append(KMN_R_RESULT, result(&request, &decided, data), true);
	kmn_log_flush(w.log);
}

static void
write_all(uint64_t records)
{
	(void)append(KMN_R_GATEWAY_START,
	    json_pack("{s:s, s:s, s:o, s:[]}", "build", "make_ledger", "boot_id", "boot", "config_sha256", b64(w.zero),
		"guards"),
	    false);
	(void)append(KMN_R_CHANNEL_OPEN,
	    json_pack("{s:i,s:i,s:{s:s,s:o},s:{s:s},s:{s:s},s:s,s:s}", "chan", CHANNEL, "instance", 1, "peer", "name",
		"ca", "spki_sha256", b64(w.client), "tls", "ver", "TLSv1.3", "provider", "version", "0.1", "mode",
		"off", "client_head", "none"),
	    false);
	for (unsigned n = 0; kmn_log_size(w.log) < records; n++) {
		(void)append(KMN_R_SESSION,
		    json_pack("{s:i,s:i,s:s,s:i,s:i,s:s}", "chan", CHANNEL, "sess", 2, "event", "open", "slot", 1, "rv",
			0, "rv_name", "CKR_OK"),
		    false);
		if (n % HELD_EVERY == 0)
			held_call();
		else if (n % 4 == 3)
			round_of_ops();
		else
			round_of_calls();
		must(kmn_log_wait(w.log) == KMN_OK, "the disk");
	}
	(void)append(KMN_R_GATEWAY_STOP, json_pack("{s:s}", "reason", "enough"), false);
}

static void
make_key(const char *kind)
{
	uint8_t *spki = NULL;
	int len = 0;

	w.eddsa = strcmp(kind, "ED25519") == 0;
	w.key = w.eddsa ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_EC_gen("P-256");
	must(w.key != NULL && (len = i2d_PUBKEY(w.key, &spki)) > 0, "a key");
	must(kmn_log_blob_put(w.log, spki, (size_t)len, w.spki_sha256) == KMN_OK, "a blob");
	OPENSSL_free(spki);
}

static char *
make_genesis(struct kmn_vkey *vkey, uint8_t secret[KMN_ED25519_SECRET_BYTES], json_t **genesis_out)
{
	uint8_t seed[KMN_HASH_BYTES], pub[KMN_ED25519_PUBLIC_BYTES];
	char text[KMN_VKEY_MAX_BYTES], *policy = world_policy(1, NULL, rules),
				       *note = world_sign(policy, "sato suzuki");

	randombytes_buf(seed, sizeof(seed));
	(void)crypto_sign_ed25519_seed_keypair(pub, secret, seed);
	must(kmn_vkey_make(ORIGIN, pub, vkey) == KMN_OK, "a log key");
	kmn_vkey_format(vkey, text);
	kmn_sha256(policy, strlen(policy), w.policy);
	*genesis_out = json_pack("{s:s,s:s,s:s,s:s,s:{s:s},s:{}}", "origin", ORIGIN, "suite", "K1", "vkey", text,
	    "policy", note, "hsm", "model", "none", "limits");
	free(note);
	return policy;
}

static void
write_trust(const char *folder, const struct kmn_vkey *vkey)
{
	char path[512], text[KMN_VKEY_MAX_BYTES], hash[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/trust", folder);
	kmn_vkey_format(vkey, text);
	kmn_b64(w.policy, sizeof(w.policy), hash);
	must((file = fopen(path, "w")) != NULL &&
		 fprintf(file, "kanmon/trust/v1\norigin %s\npolicy-sha256 %s\nlog %s\n\nquorum none\n", ORIGIN, hash,
		     text) > 0 &&
		 fclose(file) == 0,
	    "the trust file");
}

static kmn_err
replay(void *cookie, const struct kmn_record *record)
{
	struct kmn_finding finding;

	(void)cookie;
	return kmn_quorum_apply(w.quorum, record, &finding);
}

int
main(int argc, char **argv)
{
	struct kmn_quorum_settings quorum = {.blob = get_blob};
	struct kmn_log_settings settings = {.sources = {now, boot, dice, NULL}};
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	struct kmn_recovery recovery;
	struct kmn_vkey vkey;
	struct kmn_why why = {""};
	json_t *genesis;
	char path[512];

	must(argc >= 3 && sodium_init() >= 0, "make_ledger FOLDER RECORDS [P256|ED25519]");
	(void)snprintf(path, sizeof(path), "%s/ledger", argv[1]);
	(void)mkdir(argv[1], 0755);
	(void)mkdir(path, 0755);
	must(kmn_store_files(path, &settings.store) == KMN_OK, path);
	settings.store->sync = settings.store->datasync = no_sync;
	settings.secret = secret;
	settings.publish_ms = 60000;
	w.now = WORLD_START_MS;
	w.boot = 1000;
	world_spki("ca", w.client);
	free(make_genesis(&vkey, secret, &genesis));
	must(kmn_quorum_new(&quorum, &w.quorum) == KMN_OK, "a quorum");
	if (kmn_log_create(&settings, genesis, &why) != KMN_OK ||
	    kmn_log_open(&settings, replay, NULL, &recovery, &w.log, &why) != KMN_OK)
		must(false, why.text);
	make_key(argc > 3 ? argv[3] : "P256");
	write_trust(argv[1], &vkey);
	write_all(strtoull(argv[2], NULL, 10));
	must(kmn_log_close(w.log) == KMN_OK, "the disk");
	kmn_quorum_free(w.quorum);
	EVP_PKEY_free(w.key);
	kmn_store_files_free(settings.store);
	return 0;
}
