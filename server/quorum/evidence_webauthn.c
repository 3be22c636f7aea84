/*
 * WebAuthn assertions as evidence: the limited verification algorithm of W3C Web Authentication (5.8.1.2), so that no
 * JSON parser stands between what was signed and what it is taken for.
 */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/reader.h"
#include "kanmon/writer.h"
#include "server/quorum/evidence.h"

#define DATA_MIN_BYTES 37 /* SHA-256 of the RP id, flags, u32 count */
#define EXPECTED_MAX_BYTES 1024

enum flag { UP = 0x01, UV = 0x04, BE = 0x08, BS = 0x10, AT = 0x40, ED = 0x80 };

static const struct {
	uint8_t flag;
	bool set;
	const char *why;
} flags[] = {
    {UP, true, "nobody was there (UP is not set)"},
    {UV, true, "the person was not verified (UV is not set)"},
    {BE, false, "the key may be copied to other machines (BE is set)"},
    {BS, false, "the key is kept elsewhere too (BS is set)"},
};

struct assertion {
	const uint8_t *data, *client, *sig;
	size_t data_len, client_len, sig_len;
};

void
kmn_evidence_challenge(const char *text, size_t len, char out[KMN_EVIDENCE_CHALLENGE_BYTES])
{
	static const char head[] = "kanmon/webauthn/v1\n";
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state h;

	(void)crypto_hash_sha256_init(&h);
	(void)crypto_hash_sha256_update(&h, (const uint8_t *)head, sizeof(head) - 1);
	(void)crypto_hash_sha256_update(&h, (const uint8_t *)text, len);
	(void)crypto_hash_sha256_final(&h, hash);
	kmn_b64(hash, sizeof(hash), b64);
	for (size_t i = 0; i < KMN_EVIDENCE_CHALLENGE_BYTES - 1; i++)
		out[i] = (char)(b64[i] == '+' ? '-' : b64[i] == '/' ? '_' : b64[i]);
	out[KMN_EVIDENCE_CHALLENGE_BYTES - 1] = '\0';
}

static void
take(struct kmn_reader *r, const uint8_t **view_out, size_t *len_out)
{
	size_t len = kmn_reader_u16(r);

	*view_out = r->at;
	*len_out = len;
	if (len > (size_t)(r->end - r->at))
		kmn_reader_fail(r, KMN_E_TRUNCATED);
	else
		r->at += len;
}

static kmn_err
split(const uint8_t *bytes, size_t len, struct assertion *out)
{
	struct kmn_reader r;

	kmn_reader_init(&r, bytes, len);
	take(&r, &out->data, &out->data_len);
	take(&r, &out->client, &out->client_len);
	take(&r, &out->sig, &out->sig_len);
	return kmn_reader_end(&r);
}

kmn_err
kmn_evidence_assertion(const uint8_t *data, size_t data_len, const uint8_t *client, size_t client_len,
    const uint8_t *sig, size_t sig_len, uint8_t *out, size_t room, size_t *len_out)
{
	const struct {
		const uint8_t *bytes;
		size_t len;
	} parts[] = {{data, data_len}, {client, client_len}, {sig, sig_len}};

	*len_out = 0;
	for (size_t i = 0; i < KMN_COUNT_OF(parts); i++) {
		if (parts[i].len > UINT16_MAX || room - *len_out < parts[i].len + 2)
			return KMN_E_TOO_BIG;
		out[(*len_out)++] = (uint8_t)(parts[i].len >> 8);
		out[(*len_out)++] = (uint8_t)parts[i].len;
		memcpy(out + *len_out, parts[i].bytes, parts[i].len);
		*len_out += parts[i].len;
	}
	return KMN_OK;
}

const char *
evidence_data_wrong(const uint8_t *data, size_t len, const char *rp_id, bool made)
{
	uint8_t rp_hash[KMN_HASH_BYTES], set;

	if (len < DATA_MIN_BYTES)
		return "the authenticator data ends early";
	kmn_sha256(rp_id, strlen(rp_id), rp_hash);
	if (memcmp(data, rp_hash, sizeof(rp_hash)) != 0)
		return "it is for another RP id";
	set = data[KMN_HASH_BYTES];
	for (size_t i = 0; i < KMN_COUNT_OF(flags); i++)
		if (((set & flags[i].flag) != 0) != flags[i].set)
			return flags[i].why;
	if (((set & AT) != 0) != made)
		return made ? "it makes no key (AT is not set)" : "it makes a key instead of using one (AT is set)";
	if (!made && ((set & ED) != 0) != (len > DATA_MIN_BYTES))
		return "the authenticator data has another length than its flags say";
	return NULL;
}

/*
 * The client data begins with exactly the bytes that an honest client writes, and goes on with members of no meaning
 * here or not at all. An origin above the page (topOrigin) stands only where crossOrigin is true: neither is admitted.
 */
static const char *
client_wrong(const struct assertion *a, const char *challenge, const struct kmn_evidence_place *place)
{
	char want[EXPECTED_MAX_BYTES];
	int len = snprintf(want, sizeof(want),
	    "{\"type\":\"webauthn.get\",\"challenge\":\"%s\",\"origin\":\"%s\",\"crossOrigin\":false", challenge,
	    place->origin);
	const uint8_t *rest;
	size_t rest_len;

	if (len < 0 || (size_t)len >= sizeof(want))
		return "the place's origin is too long";
	if (a->client_len <= (size_t)len || memcmp(a->client, want, (size_t)len) != 0)
		return "the client data is not that of this text at that origin, without another page around it";
	rest = a->client + len;
	rest_len = a->client_len - (size_t)len;
	if (a->client[a->client_len - 1] != '}' || (rest[0] == '}' ? rest_len != 1 : rest[0] != ','))
		return "the client data does not go on as client data does";
	if (memmem(rest, rest_len, "topOrigin", sizeof("topOrigin") - 1) != NULL)
		return "the client data names a page around the one that asked";
	return NULL;
}

static bool
signed_by(const struct assertion *a, const struct kmn_evidence_key *key)
{
	uint8_t *message = malloc(a->data_len + KMN_HASH_BYTES);
	bool ok;

	if (message == NULL)
		return false;
	memcpy(message, a->data, a->data_len);
	kmn_sha256(a->client, a->client_len, message + a->data_len);
	ok = evidence_signature_ok(key, message, a->data_len + KMN_HASH_BYTES, a->sig, a->sig_len);
	free(message);
	return ok;
}

/* The place of which nothing is wrong; NULL, and the complaint about the last one tried. */
static const struct kmn_evidence_place *
find_place(const struct assertion *a, const char *text, size_t len, const struct kmn_evidence_place *places,
    size_t count, const char **wrong_out)
{
	char challenge[KMN_EVIDENCE_CHALLENGE_BYTES];

	*wrong_out = "the policy names no place where security keys answer";
	kmn_evidence_challenge(text, len, challenge);
	for (size_t i = 0; i < count; i++) {
		const char *wrong = evidence_data_wrong(a->data, a->data_len, places[i].rp_id, false);

		if (wrong == NULL)
			wrong = client_wrong(a, challenge, &places[i]);
		if (wrong == NULL)
			return &places[i];
		*wrong_out = wrong;
	}
	return NULL;
}

kmn_err
evidence_webauthn_verify(const char *text, size_t len, const uint8_t *sig, size_t sig_len,
    const struct kmn_evidence_key *key, const struct kmn_evidence_place *places, size_t place_count,
    struct kmn_evidence_said *said, struct kmn_why *why)
{
	const struct kmn_evidence_place *place;
	const char *wrong = "it is no assertion";
	struct assertion a;

	if (split(sig, sig_len, &a) == KMN_OK &&
	    (place = find_place(&a, text, len, places, place_count, &wrong)) != NULL) {
		wrong = signed_by(&a, key) ? NULL : "its signature does not verify";
		for (size_t i = 0; i < sizeof(said->count); i++)
			said->count = said->count << 8 | a.data[KMN_HASH_BYTES + 1 + i];
		said->has_count = said->count != 0;
		said->independent = place->independent;
		said->place = place->name;
	}
	if (wrong == NULL)
		return KMN_OK;
	memset(said, 0, sizeof(*said));
	kmn_why_set(why, "the security key of %s: %s", key->name, wrong);
	return KMN_E_SIGNATURE;
}
