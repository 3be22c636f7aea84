#include "kanmon/frame.h"

#include <sodium.h>
#include <string.h>

#include "kanmon/reader.h"

#define ROW(symbol, value, sender, phases, fields, what) \
	{#symbol, value, KMN_SENDER_##sender, KMN_PHASE_##phases, fields},
static const struct row {
	const char *name;
	uint8_t type;
	enum kmn_frame_sender sender;
	unsigned phases;
	const char *fields;
} rows[] = {KMN_FRAME_ROWS(ROW)};
#undef ROW

static const struct row *
find(uint8_t type)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}

const char *
kmn_frame_name(uint8_t type)
{
	const struct row *row = find(type);

	return row != NULL ? row->name : "unknown";
}

kmn_err
kmn_frame_check_head(enum kmn_frame_sender sender, unsigned phase, uint8_t type, size_t len_bytes)
{
	const struct row *row = find(type);

	if (row == NULL || row->sender != sender || (row->phases & phase) == 0)
		return KMN_E_MALFORMED;
	if (len_bytes >= KMN_FRAME_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if (sender == KMN_SENDER_CLIENT && phase == KMN_PHASE_FIRST && type != KMN_F_ADMIN &&
	    len_bytes >= KMN_FRAME_FIRST_MAX_BYTES)
		return KMN_E_TOO_BIG;
	return KMN_OK;
}

/* Reads over one field; `word` is its n characters in the row. */
static void
pass_field(struct kmn_reader *r, const char *word, size_t n)
{
	char text[KMN_FRAME_TEXT_MAX_BYTES + 1];
	uint8_t raw[32];
	const uint8_t *view;

#define IS(name) (n == sizeof(name) - 1 && memcmp(word, name, n) == 0)
	if (IS("u8"))
		(void)kmn_reader_u8(r);
	else if (IS("u16"))
		(void)kmn_reader_u16(r);
	else if (IS("u32"))
		(void)kmn_reader_u32(r);
	else if (IS("u64"))
		(void)kmn_reader_u64(r);
	else if (IS("raw16"))
		kmn_reader_raw(r, raw, 16);
	else if (IS("raw32"))
		kmn_reader_raw(r, raw, 32);
	else if (IS("text"))
		kmn_reader_text(r, text, sizeof(text));
	else if (IS("bytes"))
		(void)kmn_reader_bytes(r, KMN_FRAME_MAX_BYTES, &view);
	else if (IS("rest"))
		(void)kmn_reader_rest(r, &view);
	else
		kmn_reader_fail(r, KMN_E_INTERNAL); /* the row has a word that is not in the list */
#undef IS
}

kmn_err
kmn_frame_check(enum kmn_frame_sender sender, unsigned phase, uint8_t type, const void *body, size_t len_bytes)
{
	struct kmn_reader r;
	kmn_err e;

	if ((e = kmn_frame_check_head(sender, phase, type, len_bytes)) != KMN_OK)
		return e;
	kmn_reader_init(&r, body, len_bytes);
	for (const char *at = find(type)->fields; *at != '\0';) {
		size_t n = strcspn(at, " ");

		pass_field(&r, at, n);
		at += n;
		at += strspn(at, " ");
	}
	return kmn_reader_end(&r);
}

/* HMAC-SHA256(key, label 00 a b); libsodium's, which needs no context and cannot fail. */
static void
derive(const uint8_t key[32], const char *label, const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes,
    uint8_t out[32])
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, 32);
	crypto_auth_hmacsha256_update(&state, (const uint8_t *)label, strlen(label) + 1);
	crypto_auth_hmacsha256_update(&state, a, a_bytes);
	crypto_auth_hmacsha256_update(&state, b, b_bytes);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

void
kmn_instance_secret(const uint8_t gateway_random[32], const uint8_t client_random[32],
    const uint8_t exporter[KMN_EXPORTER_BYTES], uint8_t secret_out[KMN_INSTANCE_SECRET_BYTES])
{
	derive(gateway_random, "kanmon/instance/v1", client_random, 32, exporter, KMN_EXPORTER_BYTES, secret_out);
}

void
kmn_join_proof(const uint8_t secret[KMN_INSTANCE_SECRET_BYTES], const uint8_t exporter[KMN_EXPORTER_BYTES],
    uint8_t proof_out[KMN_HASH_BYTES])
{
	derive(secret, "kanmon/join/v1", exporter, KMN_EXPORTER_BYTES, NULL, 0, proof_out);
}
