#include "tests/unit/quorum/signer.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#include "server/quorum/evidence.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define TEXT "kanmon/approval/v1\norigin kanmon.example/gw1/2026\nrequest 2\n"
#define OTHER "kanmon/approval/v1\norigin kanmon.example/gw1/2026\nrequest 3\n"

static const struct kmn_evidence_place places[] = {
    {"console", "https://console.example", "console.example", false},
    {"cli", SIGNER_ORIGIN, SIGNER_RP, true},
};

static kmn_err
verify(const struct kmn_evidence_key *key, const char *text, const uint8_t *sig, size_t len,
    struct kmn_evidence_said *said, struct kmn_why *why)
{
	return kmn_evidence_verify(text, strlen(text), sig, len, key, places, KMN_COUNT_OF(places), said, why);
}

static void
one_of(struct signer *s, unsigned kind)
{
	signer_init(s, "kanmon.example/sato", kind, 2048);
}

/* Each type: signs, its vkey reads back, and no bit of text or signature can change. */
static void
test_types(void)
{
	for (unsigned kind = 0; kind < KMN_EVIDENCE_KIND_COUNT; kind++) {
		uint8_t sig[KMN_NOTE_SIG_MAX_BYTES];
		struct kmn_evidence_said said;
		struct kmn_evidence_key again;
		struct signer s;
		size_t len;

		one_of(&s, kind);
		CU_ASSERT_EQUAL(kmn_evidence_key_parse(s.vkey, strlen(s.vkey), &again, NULL), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(&again, &s.key, sizeof(again)), 0);
		len = signer_sign(&s, TEXT, NULL, sig);
		CU_ASSERT_EQUAL(verify(&again, TEXT, sig, len, &said, NULL), KMN_OK);
		CU_ASSERT_TRUE(said.signed_it && said.independent);
		CU_ASSERT_EQUAL(said.has_count, kmn_evidence_is_webauthn(kind));
		CU_ASSERT_EQUAL(verify(&again, OTHER, sig, len, &said, NULL), KMN_E_SIGNATURE);
		CU_ASSERT_FALSE(said.signed_it || said.independent);
		for (size_t i = 0; i < len; i++) {
			sig[i] ^= 1;
			CU_ASSERT_EQUAL(verify(&again, TEXT, sig, len, &said, NULL), KMN_E_SIGNATURE);
			sig[i] ^= 1;
		}
		for (size_t cut = 0; cut < len; cut++)
			CU_ASSERT_EQUAL(verify(&again, TEXT, sig, cut, &said, NULL), KMN_E_SIGNATURE);
		CU_ASSERT_EQUAL(verify(&again, TEXT, sig, len + 1, &said, NULL), KMN_E_SIGNATURE);
		signer_clear(&s);
	}
}

/* A signature by one type's rules is none by another's, with the same key. */
static void
test_schemes(void)
{
	static const struct {
		enum kmn_evidence_kind made, taken;
	} cases[] = {
	    {KMN_EVIDENCE_PSS, KMN_EVIDENCE_PKCS1},
	    {KMN_EVIDENCE_PKCS1, KMN_EVIDENCE_PSS},
	    {KMN_EVIDENCE_P256, KMN_EVIDENCE_WEBAUTHN_ES256},
	    {KMN_EVIDENCE_WEBAUTHN_ES256, KMN_EVIDENCE_P256},
	    {KMN_EVIDENCE_ED25519, KMN_EVIDENCE_WEBAUTHN_EDDSA},
	    {KMN_EVIDENCE_WEBAUTHN_EDDSA, KMN_EVIDENCE_ED25519},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		uint8_t sig[KMN_NOTE_SIG_MAX_BYTES];
		struct kmn_evidence_said said;
		struct signer made, taken;
		size_t len;

		one_of(&made, cases[i].made);
		signer_wrap(&taken, &made, "kanmon.example/sato", cases[i].taken);
		CU_ASSERT_NOT_EQUAL(memcmp(made.key.id, taken.key.id, sizeof(made.key.id)), 0);
		CU_ASSERT_EQUAL(memcmp(made.key.spki_sha256, taken.key.spki_sha256, KMN_HASH_BYTES), 0);
		len = signer_sign(&made, TEXT, NULL, sig);
		CU_ASSERT_EQUAL(verify(&taken.key, TEXT, sig, len, &said, NULL), KMN_E_SIGNATURE);
		signer_clear(&made);
		signer_clear(&taken);
	}
}

static kmn_err
key_of_pkey(EVP_PKEY *pkey, enum kmn_evidence_kind kind)
{
	struct kmn_evidence_key key;
	uint8_t *der = NULL;
	int len = i2d_PUBKEY(pkey, &der);
	kmn_err e = kmn_evidence_key_make("sato", kind, der, (size_t)len, &key, NULL);

	OPENSSL_free(der);
	EVP_PKEY_free(pkey);
	return e;
}

static EVP_PKEY *
rsa(unsigned bits, unsigned long exponent)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	BIGNUM *e = BN_new();
	EVP_PKEY *pkey = NULL;

	BN_set_word(e, exponent);
	if (EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) != 1 ||
	    EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) != 1 || EVP_PKEY_keygen(ctx, &pkey) != 1)
		KMN_BUG("a test key");
	BN_free(e);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

static EVP_PKEY *
compressed(void)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");

	EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "compressed");
	return pkey;
}

static void
test_weak_keys(void)
{
	uint8_t pub[44] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00, 1}, off[91];
	struct kmn_evidence_key key;
	struct signer s;

	CU_ASSERT_EQUAL(key_of_pkey(rsa(1024, 65537), KMN_EVIDENCE_PSS), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(key_of_pkey(rsa(2048, 3), KMN_EVIDENCE_PKCS1), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(key_of_pkey(EVP_EC_gen("P-384"), KMN_EVIDENCE_P256), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(key_of_pkey(EVP_EC_gen("P-256"), KMN_EVIDENCE_P384), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(key_of_pkey(EVP_EC_gen("secp256k1"), KMN_EVIDENCE_P256), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(key_of_pkey(EVP_EC_gen("P-256"), KMN_EVIDENCE_PSS), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(key_of_pkey(compressed(), KMN_EVIDENCE_P256), KMN_E_MALFORMED);
	/* The identity point, under which OpenSSL takes a signature of zeros for any text: raw and as SPKI. */
	CU_ASSERT_EQUAL(kmn_evidence_key_make("sato", KMN_EVIDENCE_ED25519, pub + 12, 32, &key, NULL), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(
	    kmn_evidence_key_make("sato", KMN_EVIDENCE_WEBAUTHN_EDDSA, pub, 44, &key, NULL), KMN_E_MALFORMED);
	signer_init(&s, "sato", KMN_EVIDENCE_P256, 0);
	memcpy(off, s.key.pub, sizeof(off));
	off[90] ^= 1;
	CU_ASSERT_EQUAL(kmn_evidence_key_make("sato", KMN_EVIDENCE_P256, off, 91, &key, NULL), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_evidence_key_make("sato", KMN_EVIDENCE_P256, s.key.pub, 90, &key, NULL), KMN_E_MALFORMED);
	signer_clear(&s);
}

/* A vkey has one form: any byte changed, and every cut, is none. */
static void
test_vkeys(void)
{
	for (unsigned kind = 0; kind < KMN_EVIDENCE_KIND_COUNT; kind++) {
		struct kmn_evidence_key key;
		struct signer s;
		size_t len;

		one_of(&s, kind);
		len = strlen(s.vkey);
		for (size_t i = 0; i < len; i += 1 + i / 64) {
			char was = s.vkey[i];

			s.vkey[i] = was == 'A' ? 'B' : 'A';
			CU_ASSERT_EQUAL(kmn_evidence_key_parse(s.vkey, len, &key, NULL), KMN_E_MALFORMED);
			s.vkey[i] = was;
			CU_ASSERT_EQUAL(kmn_evidence_key_parse(s.vkey, i, &key, NULL), KMN_E_MALFORMED);
		}
		signer_clear(&s);
	}
}

/* ---- WebAuthn ---------------------------------------------------------------------------------------------------- */

#define HONEST \
	.rp_id = SIGNER_RP, .type = "webauthn.get", .origin = SIGNER_ORIGIN, .cross = "false", .rest = "}", \
	.flags = 0x05, .count = 41

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Winitializer-overrides"
#endif
static const struct {
	const char *says;
	struct signer_says bent;
	const char *why; /* NULL: it is good */
} webauthn_cases[] = {
    {"an honest assertion counts", {HONEST}, NULL},
    {"members of later clients are passed over", {HONEST, .rest = ",\"new\":1}"}, NULL},
    {"extensions that the flags announce are signed and mean nothing",
	{HONEST, .flags = 0x85, .more = (const uint8_t *)"\xa0", .more_len = 1}, NULL},
    {"a registration (type webauthn.create) is no approval", {HONEST, .type = "webauthn.create"}, "client data"},
    {"another origin", {HONEST, .origin = "https://evil.example"}, "client data"},
    {"a sub-domain", {HONEST, .origin = "https://x.approve.example"}, "client data"},
    {"the origin with a port", {HONEST, .origin = SIGNER_ORIGIN ":8443"}, "client data"},
    {"the origin of another place for the same RP id", {HONEST, .origin = "https://console.example"}, "client data"},
    {"another RP id (rpIdHash)", {HONEST, .rp_id = "evil.example"}, "RP id"},
    {"nobody there (UP=0)", {HONEST, .flags = 0x04}, "UP"},
    {"the person not verified (UV=0)", {HONEST, .flags = 0x01}, "UV"},
    {"a key that can be copied (BE=1)", {HONEST, .flags = 0x0d}, "BE"},
    {"a key that is kept elsewhere (BE=1, BS=1)", {HONEST, .flags = 0x1d}, "BE"},
    {"kept elsewhere but not to be copied (BS=1)", {HONEST, .flags = 0x15}, "BS"},
    {"attested credential data (AT=1)", {HONEST, .flags = 0x45, .more = (const uint8_t *)"\0", .more_len = 1}, "AT"},
    {"bytes that no flag announces", {HONEST, .more = (const uint8_t *)"\xa0", .more_len = 1}, "length"},
    {"a flag without its bytes (ED=1)", {HONEST, .flags = 0x85}, "length"},
    {"crossOrigin true", {HONEST, .cross = "true"}, "client data"},
    {"crossOrigin missing", {HONEST, .client = "{\"type\":\"webauthn.get\"}"}, "client data"},
    {"topOrigin", {HONEST, .cross = "true,\"topOrigin\":\"https://evil.example\""}, "client data"},
    {"topOrigin beside crossOrigin false", {HONEST, .rest = ",\"topOrigin\":\"https://evil.example\"}"}, "around"},
    {"a field appended to the value", {HONEST, .rest = "0}"}, "go on"},
    {"bytes after the object", {HONEST, .rest = "}}"}, "go on"},
    {"an object that does not end", {HONEST, .rest = ",\"x\":1"}, "go on"},
    {"the challenge of another text", {HONEST, .challenge_of = OTHER}, "client data"},
    {"duplicate keys: a second challenge first", {HONEST, .type = "webauthn.get\",\"challenge\":\"AAAA\",\"x\":\""},
	"client data"},
    {"duplicate keys: a second type first", {HONEST, .type = "webauthn.create\",\"type\":\"webauthn.get"},
	"client data"},
    {"spaces between members", {HONEST, .origin = SIGNER_ORIGIN "\" ,\"x\":\""}, "client data"},
    {"no client data", {HONEST, .client = ""}, "client data"},
};
#pragma GCC diagnostic pop

static void
test_webauthn(void)
{
	static const enum kmn_evidence_kind kinds[] = {KMN_EVIDENCE_WEBAUTHN_ES256, KMN_EVIDENCE_WEBAUTHN_EDDSA};

	for (size_t k = 0; k < KMN_COUNT_OF(kinds); k++) {
		struct signer s;

		one_of(&s, kinds[k]);
		for (size_t i = 0; i < KMN_COUNT_OF(webauthn_cases); i++) {
			uint8_t sig[KMN_NOTE_SIG_MAX_BYTES];
			struct kmn_evidence_said said;
			struct kmn_why why = {""};
			size_t len = signer_sign(&s, TEXT, &webauthn_cases[i].bent, sig);
			kmn_err e = verify(&s.key, TEXT, sig, len, &said, &why);
			bool good = webauthn_cases[i].why == NULL;

			if ((e == KMN_OK) != good || (!good && strstr(why.text, webauthn_cases[i].why) == NULL)) {
				fprintf(stderr, "%s: %s\n", webauthn_cases[i].says, why.text);
				CU_FAIL("an assertion is judged wrongly");
			}
		}
		signer_clear(&s);
	}
}

/* Where it was asked decides whether it is independent; and the count is the authenticator's. */
static void
test_places(void)
{
	struct signer_says console = signer_honest;
	uint8_t sig[KMN_NOTE_SIG_MAX_BYTES];
	struct kmn_evidence_said said;
	struct kmn_why why = {""};
	struct signer s;
	size_t len;

	one_of(&s, KMN_EVIDENCE_WEBAUTHN_ES256);
	console.origin = "https://console.example";
	console.rp_id = "console.example";
	console.count = 0x01020304;
	len = signer_sign(&s, TEXT, &console, sig);
	CU_ASSERT_EQUAL(verify(&s.key, TEXT, sig, len, &said, NULL), KMN_OK);
	CU_ASSERT_TRUE(said.signed_it && !said.independent && said.has_count);
	CU_ASSERT_EQUAL(said.count, 0x01020304);
	CU_ASSERT_STRING_EQUAL(said.place, "console");
	console.count = 0;
	len = signer_sign(&s, TEXT, &console, sig);
	CU_ASSERT_EQUAL(verify(&s.key, TEXT, sig, len, &said, NULL), KMN_OK);
	CU_ASSERT_FALSE(said.has_count);
	CU_ASSERT_EQUAL(
	    kmn_evidence_verify(TEXT, strlen(TEXT), sig, len, &s.key, NULL, 0, &said, &why), KMN_E_SIGNATURE);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "no place"));
	signer_clear(&s);
}

/* W3C Web Authentication Level 3, section 16.2: ES256 credential with no attestation, at example.org. */
#define W3C_RP_HASH "bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b5"
#define W3C_X "afefa16f97ca9b2d23eb86ccb64098d20db90856062eb249c33a9b672f26df61"
#define W3C_Y "930a56b87a2fca66334b03458abf879717c12cc68ed73290af2e2664796b9220"
static const char w3c_made[] = W3C_RP_HASH
    "59000000008446ccb9ab1db374750b2367ff6f3a1f0020f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b33ad94ff3ec330084be4"
    "a5010203262001215820" W3C_X "225820" W3C_Y;
static const char w3c_used[] = W3C_RP_HASH "1900000000";
static const char w3c_client[] =
    "7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a224f63446e55685158756c"
    "5455506f334a5558543049393770767a7a59425039745a63685879617630314167222c226f726967696e223a22"
    "68747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73657d";
static const char w3c_signature[] =
    "3046022100f50a4e2e4409249c4a853ba361282f09841df4dd4547a13a87780218deffcd380221008480ac0f0b"
    "93538174f575bf11a1dd5d78c6e486013f937295ea13653e331e87";

static size_t
unhex(const char *hex, uint8_t *out)
{
	size_t len = 0;

	if (sodium_hex2bin(out, 1024, hex, strlen(hex), NULL, &len, NULL) != 0)
		KMN_BUG("a test's hex");
	return len;
}

/* Its registration and signature are taken by our code; its flags (BE, no UV) are what no custodian may have. */
static void
test_w3c(void)
{
	uint8_t made[1024], message[1024], client[1024], sig[1024];
	size_t made_len = unhex(w3c_made, made), len = unhex(w3c_used, message), client_len = unhex(w3c_client, client),
	       sig_len = unhex(w3c_signature, sig);
	struct kmn_evidence_key key;
	struct kmn_why why = {""};

	CU_ASSERT_EQUAL(kmn_evidence_registration("sato", "example.org", made, made_len, &key, &why), KMN_E_MALFORMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "UV"));
	made[32] = 0x4d;
	CU_ASSERT_EQUAL(kmn_evidence_registration("sato", "example.org", made, made_len, &key, &why), KMN_E_MALFORMED);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "BE"));
	made[32] = 0x45;
	CU_ASSERT_EQUAL(kmn_evidence_registration("sato", "other.org", made, made_len, &key, &why), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_evidence_registration("sato", "example.org", made, made_len, &key, &why), KMN_OK);
	CU_ASSERT_EQUAL(key.kind, KMN_EVIDENCE_WEBAUTHN_ES256);
	kmn_sha256(client, client_len, message + len);
	CU_ASSERT_TRUE(evidence_signature_ok(&key, message, len + 32, sig, sig_len));
	message[len] ^= 1;
	CU_ASSERT_FALSE(evidence_signature_ok(&key, message, len + 32, sig, sig_len));
	message[len] ^= 1;
	CU_ASSERT_PTR_NOT_NULL(strstr(evidence_data_wrong(message, len, "example.org", false), "UV"));
	for (size_t cut = 0; cut < made_len; cut++)
		CU_ASSERT_EQUAL(
		    kmn_evidence_registration("sato", "example.org", made, cut, &key, &why), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(
	    kmn_evidence_registration("sato", "example.org", made, made_len + 1, &key, &why), KMN_E_MALFORMED);
}

static void
scalar_key(const char *name, enum kmn_evidence_kind kind, unsigned scalar, struct kmn_evidence_key *out)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	EC_POINT *point = EC_POINT_new(group);
	BIGNUM *n = BN_new();
	uint8_t bare[65], spki[KMN_EVIDENCE_PUB_MAX_BYTES];
	size_t len;

	BN_set_word(n, scalar);
	if (EC_POINT_mul(group, point, n, NULL, NULL, NULL) != 1 ||
	    EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, bare, sizeof(bare), NULL) != 65 ||
	    kmn_evidence_spki(kind, bare + 1, 64, spki, &len) != KMN_OK ||
	    kmn_evidence_key_make(name, kind, spki, len, out, NULL) != KMN_OK)
		KMN_BUG("a test key");
	BN_free(n);
	EC_POINT_free(point);
	EC_GROUP_free(group);
}

/* A note that others' code made (oracle/evidence.py says how): each line verifies, and no byte of it may change. */
static void
test_others(void)
{
	char path[512], bytes[8192];
	uint8_t seed[KMN_HASH_BYTES], public[32], secret[64];
	struct kmn_evidence_key keys[3];
	struct kmn_note note;
	FILE *f;
	size_t len;

	snprintf(path, sizeof(path), "%s/tests/unit/ledger/oracle/evidence.note",
	    getenv("srcdir") != NULL ? getenv("srcdir") : ".");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f = fopen(path, "r"));
	len = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	kmn_sha256("alice", 5, seed);
	crypto_sign_seed_keypair(public, secret, seed);
	CU_ASSERT_EQUAL(
	    kmn_evidence_key_make("cust.example/alice", KMN_EVIDENCE_ED25519, public, 32, &keys[0], NULL), KMN_OK);
	scalar_key("cust.example/carol", KMN_EVIDENCE_P256, 7, &keys[1]);
	scalar_key("cust.example/bob", KMN_EVIDENCE_WEBAUTHN_ES256, 9, &keys[2]);
	CU_ASSERT_EQUAL_FATAL(kmn_note_parse(bytes, len, &note, NULL), KMN_OK);
	for (size_t i = 0; i < KMN_COUNT_OF(keys); i++) {
		const struct kmn_note_line *line = &note.line[i];
		uint8_t raw[4 + KMN_NOTE_SIG_MAX_BYTES];
		struct kmn_evidence_said said;
		size_t n;

		CU_ASSERT_TRUE(kmn_note_line_is_by(line, keys[i].name, keys[i].id));
		CU_ASSERT_EQUAL(kmn_b64_parse(line->b64, line->b64_len, raw, sizeof(raw), &n), KMN_OK);
		CU_ASSERT_EQUAL(kmn_evidence_verify(note.text, note.text_len, raw + 4, n - 4, &keys[i], places,
				    KMN_COUNT_OF(places), &said, NULL),
		    KMN_OK);
		CU_ASSERT_EQUAL(said.count, i == 2 ? 41 : 0);
		for (size_t at = 4; at < n; at++) {
			raw[at] ^= 1;
			CU_ASSERT_EQUAL(kmn_evidence_verify(note.text, note.text_len, raw + 4, n - 4, &keys[i], places,
					    KMN_COUNT_OF(places), &said, NULL),
			    KMN_E_SIGNATURE);
			raw[at] ^= 1;
		}
	}
}

/* ---- in a policy ------------------------------------------------------------------------------------------------- */

/* Two more persons with these keys. */
static kmn_err
policy_with(const char *one, const char *two, struct kmn_policy_error *error)
{
	struct kmn_policy *policy = NULL;
	char rules[8192], *text;
	kmn_err e;

	snprintf(
	    rules, sizeof(rules), "custodian ono person:0030 %s\ncustodian abe person:0031 %s\n" WORLD_RULES, one, two);
	text = world_policy(1, NULL, rules);
	e = kmn_policy_parse(text, strlen(text), &policy, error);
	kmn_policy_free(policy);
	free(text);
	return e;
}

static void
test_aliases(void)
{
	static const enum kmn_evidence_kind pairs[][2] = {{KMN_EVIDENCE_ED25519, KMN_EVIDENCE_WEBAUTHN_EDDSA},
	    {KMN_EVIDENCE_P256, KMN_EVIDENCE_WEBAUTHN_ES256}, {KMN_EVIDENCE_PSS, KMN_EVIDENCE_PKCS1},
	    {KMN_EVIDENCE_P384, KMN_EVIDENCE_P384}};

	for (size_t i = 0; i < KMN_COUNT_OF(pairs); i++) {
		struct kmn_policy_error error = {0, ""};
		struct signer one, alias, other;

		signer_init(&one, "kanmon.example/ono", pairs[i][0], 2048);
		signer_wrap(&alias, &one, "kanmon.example/abe", pairs[i][1]);
		signer_init(&other, "kanmon.example/abe", KMN_EVIDENCE_P256, 0);
		CU_ASSERT_EQUAL(policy_with(one.vkey, alias.vkey, &error), KMN_E_MALFORMED);
		CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "the same public key"));
		CU_ASSERT_EQUAL(policy_with(one.vkey, other.vkey, &error), KMN_OK);
		signer_clear(&one);
		signer_clear(&alias);
		signer_clear(&other);
	}
}

/* Votes by cards and security keys, in a ledger that is replayed: who counts, and who counts as independent. */
static void
vote(struct world *w, uint64_t request, const struct signer *s, const struct signer_says *says, const char *check)
{
	const struct kmn_request *r = kmn_quorum_request(w->quorum, request);
	char *note = signer_note(s, r->statement, says);
	struct kmn_note_check got;
	json_t *body;
	kmn_err e;

	(void)kmn_quorum_check_note(w->quorum, note, strlen(note), (int64_t)w->t, &got);
	if (strstr(got.check, check) == NULL)
		fprintf(stderr, "# %s\n", got.check);
	CU_ASSERT_PTR_NOT_NULL(strstr(got.check, check));
	CU_ASSERT_EQUAL_FATAL(kmn_quorum_vote_body(&got, note, strlen(note), &body), KMN_OK);
	e = world_append(w, KMN_R_APPROVAL, body);
	CU_ASSERT_EQUAL(e, KMN_OK);
	free(note);
}

static void
test_votes(void)
{
	struct signer_says console = signer_honest, weak = signer_honest;
	struct signer card, key, alias;
	struct kmn_quorum_counts counts;
	struct kmn_finding finding;
	const struct kmn_request *r;
	struct world w;
	char rules[16384];
	uint64_t id, again;

	signer_init(&card, "kanmon.example/ono", KMN_EVIDENCE_P256, 0);
	signer_init(&key, "kanmon.example/abe", KMN_EVIDENCE_WEBAUTHN_ES256, 0);
	signer_init(&alias, "kanmon.example/ono2", KMN_EVIDENCE_WEBAUTHN_EDDSA, 0);
	snprintf(rules, sizeof(rules),
	    "custodian ono person:0030 %s\ncustodian abe person:0031 %s\ncustodian ono person:0030 %s\n"
	    "group cards 2 ono abe\n"
	    "webauthn console origin https://console.example rp-id console.example\n"
	    "webauthn cli origin " SIGNER_ORIGIN " rp-id " SIGNER_RP " independent\n"
	    "rule root\n  client ca\n  object pkcs11:token=root;object=root-ca\n  calls key-use\n  need cards\n"
	    "  independent 2\n  expires 4h\n",
	    card.vkey, key.vkey, alias.vkey);
	console.origin = "https://console.example";
	console.rp_id = "console.example";
	weak.flags = 0x01;
	world_init(&w, rules);

	id = world_request(&w, "ca", "what is signed");
	vote(&w, id, &key, &weak, "UV");
	vote(&w, id, &key, &console, "ok");
	vote(&w, id, &card, NULL, "ok");
	vote(&w, id, &alias, NULL, "has voted already");
	r = kmn_quorum_request(w.quorum, id);
	CU_ASSERT_FALSE(kmn_quorum_is_met(w.quorum, r, (int64_t)w.t)); /* one of the two is the console's */
	CU_ASSERT_EQUAL(world_decide(&w, id, "allow"), KMN_E_CORRUPT);
	world_drop(&w);

	CU_ASSERT_EQUAL(world_replay(&w, &finding, NULL), KMN_OK);
	world_clear(&w);
	world_init(&w, rules);
	id = world_request(&w, "ca", "what is signed");
	vote(&w, id, &key, NULL, "ok");
	kmn_quorum_counts(w.quorum, &counts);
	CU_ASSERT_EQUAL(counts.counters_back, 0);
	again = world_request(&w, "ca", "what is signed next");
	vote(&w, again, &key, NULL, "ok"); /* the same counter as before: it counts, and is told */
	kmn_quorum_counts(w.quorum, &counts);
	CU_ASSERT_EQUAL(counts.counters_back, 1);
	CU_ASSERT_EQUAL(counts.counter_back_i, w.count - 1);
	vote(&w, id, &card, NULL, "ok");
	CU_ASSERT_TRUE(kmn_quorum_is_met(w.quorum, kmn_quorum_request(w.quorum, id), (int64_t)w.t));
	CU_ASSERT_EQUAL(world_decide(&w, id, "allow"), KMN_OK);
	CU_ASSERT_EQUAL(world_replay(&w, &finding, NULL), KMN_OK);
	world_clear(&w);
	signer_clear(&card);
	signer_clear(&key);
	signer_clear(&alias);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"every type signs and verifies, and no bit of it may change", test_types},
	    {"a signature of one type is none of another, with the same key", test_schemes},
	    {"weak keys, other curves, points off their curve, other forms of DER are no keys", test_weak_keys},
	    {"a vkey has one form", test_vkeys},
	    {"weak WebAuthn assertions, one by one", test_webauthn},
	    {"the vectors of W3C: registration and signature are read, and their flags refused", test_w3c},
	    {"a note that others' code made verifies, line by line", test_others},
	    {"cards and security keys vote; what the console shows is not independent", test_votes},
	    {"one key in two wrappings is one key", test_aliases},
	    {"the console's evidence is not independent", test_places},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/evidence", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
