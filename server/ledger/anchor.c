/* Time stamps in the ledger: bodies, texts under tokens, brackets. */
#include "config.h"

#include "kanmon/anchor.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
kmn_anchor_put(json_t *body, const struct kmn_anchor_made *made)
{
	char nonce[KMN_STAMP_NONCE_TEXT_BYTES + 1];

	kmn_stamp_nonce_text(made->want->nonce, nonce);
	return json_object_set_new(body, "tsa", kmn_json_label(made->tsa, strlen(made->tsa))) == 0 &&
	       json_object_set_new(body, "imprint_alg", json_string(made->want->alg)) == 0 &&
	       json_object_set_new(body, "nonce_tsa", json_string(nonce)) == 0 &&
	       json_object_set_new(body, "token", kmn_json_b64(made->token, made->token_len)) == 0 &&
	       json_object_set_new(body, "chain_sha256", kmn_json_b64(made->chain_sha256, KMN_HASH_BYTES)) == 0 &&
	       json_object_set_new(body, "gen_time", json_integer((json_int_t)made->stamp->gen_time)) == 0 &&
	       json_object_set_new(body, "policy_oid", json_string(made->stamp->policy)) == 0;
}

json_t *
kmn_anchor_body(const struct kmn_anchor_made *made, uint64_t size, const char *note)
{
	json_t *body = json_pack("{s:I, s:s}", "size", (json_int_t)size, "note", note);

	if (body != NULL && kmn_anchor_put(body, made))
		return body;
	json_decref(body);
	return NULL;
}

bool
kmn_anchor_read(const json_t *body, struct kmn_anchor_said *said_out)
{
	const char *alg, *nonce, *token;

	*said_out = (struct kmn_anchor_said){0};
	return kmn_json_get_text(body, "tsa", &said_out->tsa) &&
	       kmn_json_get_text(body, "policy_oid", &said_out->policy_oid) &&
	       kmn_json_get_text(body, "imprint_alg", &alg) && kmn_json_get_text(body, "nonce_tsa", &nonce) &&
	       kmn_json_get_text(body, "token", &token) && kmn_json_get_number(body, "gen_time", &said_out->gen_time) &&
	       kmn_json_get_b64(body, "chain_sha256", said_out->chain_sha256, KMN_HASH_BYTES) &&
	       kmn_stamp_imprint(&said_out->want, alg, "", 0) && kmn_stamp_nonce_parse(nonce, &said_out->want.nonce) &&
	       kmn_b64_parse(token, strlen(token), said_out->token, sizeof(said_out->token), &said_out->token_len) ==
		   KMN_OK;
}

/* ---- texts under tokens -------------------------------------------------------------------------------------------- */

static bool put(FILE *to, const char *format, ...) KMN_PRINTF(2, 3);

static bool
put(FILE *to, const char *format, ...)
{
	va_list ap;
	bool done;

	va_start(ap, format);
	done = vfprintf(to, format, ap) >= 0;
	va_end(ap);
	return done;
}

static bool
put_b64(FILE *to, const uint8_t *bytes, size_t len, char after)
{
	char b64[KMN_B64_LEN(KMN_SHA512_BYTES) + 1];

	kmn_b64(bytes, len, b64);
	return put(to, "%s%c", b64, after);
}

static bool
put_digest(FILE *to, const char *alg, const uint8_t *bytes, size_t len, char after)
{
	struct kmn_stamp_want digest = {0};

	return kmn_stamp_imprint(&digest, alg, bytes, len) &&
	       put_b64(
		   to, digest.imprint, strcmp(digest.alg, "sha256") == 0 ? KMN_HASH_BYTES : KMN_SHA512_BYTES, after);
}

kmn_err
kmn_renewal_text(
    const char *origin, const char *alg, const struct kmn_renewal_item *items, size_t count, char **text_out)
{
	size_t len;
	FILE *to;
	bool done;

	*text_out = NULL;
	if ((to = open_memstream(text_out, &len)) == NULL)
		return KMN_E_NO_MEMORY;
	done = put(to, "kanmon/renewal/v1\norigin %s\nalg %s\n", origin, alg);
	for (size_t n = 0; done && n < count; n++)
		done = put(to, "%s %" PRIu64 " ", items[n].type, items[n].ref.i) &&
		       put_b64(to, items[n].ref.leaf, KMN_HASH_BYTES, ' ') &&
		       put_digest(to, alg, items[n].token, items[n].token_len, ' ') &&
		       put_digest(to, alg, items[n].chain, items[n].chain_len, '\n');
	if (fclose(to) == 0 && done)
		return KMN_OK;
	free(*text_out);
	*text_out = NULL;
	return KMN_E_NO_MEMORY;
}

kmn_err
kmn_rehash_text(const char *origin, const struct kmn_head *old, const uint8_t root[KMN_SHA512_BYTES],
    const uint8_t manifest_sha512[KMN_SHA512_BYTES], char **text_out)
{
	size_t len;
	FILE *to;
	bool done;

	*text_out = NULL;
	if ((to = open_memstream(text_out, &len)) == NULL)
		return KMN_E_NO_MEMORY;
	done = put(to, "kanmon/rehash/v1\norigin %s\nalg sha512\nsize %" PRIu64 "\nold-root ", origin, old->size) &&
	       put_b64(to, old->root, KMN_HASH_BYTES, '\n') && put(to, "new-root ") &&
	       put_b64(to, root, KMN_SHA512_BYTES, '\n') && put(to, "blobs ") &&
	       put_b64(to, manifest_sha512, KMN_SHA512_BYTES, '\n');
	if (fclose(to) == 0 && done)
		return KMN_OK;
	free(*text_out);
	*text_out = NULL;
	return KMN_E_NO_MEMORY;
}

/* ---- the second tree ----------------------------------------------------------------------------------------------- */

static void
wide_hash(uint8_t prefix, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len, uint8_t out[KMN_SHA512_BYTES])
{
	crypto_hash_sha512_state state;

	(void)crypto_hash_sha512_init(&state);
	(void)crypto_hash_sha512_update(&state, &prefix, 1);
	(void)crypto_hash_sha512_update(&state, a, a_len);
	(void)crypto_hash_sha512_update(&state, b, b_len);
	(void)crypto_hash_sha512_final(&state, out);
}

void
kmn_wide_add(struct kmn_wide_tree *tree, const char *line, size_t len)
{
	uint8_t hash[KMN_SHA512_BYTES];
	unsigned level = 0;

	wide_hash(0, (const uint8_t *)line, len, (const uint8_t *)"", 0, hash);
	for (; tree->size >> level & 1; level++)
		wide_hash(1, tree->hash[level], KMN_SHA512_BYTES, hash, KMN_SHA512_BYTES, hash);
	memcpy(tree->hash[level], hash, sizeof(hash));
	tree->size++;
}

void
kmn_wide_root(const struct kmn_wide_tree *tree, uint8_t out[KMN_SHA512_BYTES])
{
	bool any = false;

	if (tree->size == 0)
		(void)crypto_hash_sha512(out, (const uint8_t *)"", 0);
	for (unsigned level = 0; level < KMN_TREE_LEVELS; level++) {
		if (!(tree->size >> level & 1))
			continue;
		if (any)
			wide_hash(1, tree->hash[level], KMN_SHA512_BYTES, out, KMN_SHA512_BYTES, out);
		else
			memcpy(out, tree->hash[level], KMN_SHA512_BYTES);
		any = true;
	}
}

/* ---- brackets ------------------------------------------------------------------------------------------------------ */

struct kmn_brackets {
	struct {
		uint64_t i, size, gen_time;
	} * anchor;
	size_t count, room;
};

struct kmn_brackets *
kmn_brackets_new(void)
{
	return calloc(1, sizeof(struct kmn_brackets));
}

void
kmn_brackets_free(struct kmn_brackets *brackets)
{
	if (brackets == NULL)
		return;
	free(brackets->anchor);
	free(brackets);
}

kmn_err
kmn_brackets_add(struct kmn_brackets *b, const struct kmn_record *record)
{
	uint64_t size, gen_time;

	if (record->kind != KMN_R_ANCHOR || !kmn_json_get_number(record->body, "size", &size) ||
	    !kmn_json_get_number(record->body, "gen_time", &gen_time) || size > record->i)
		return KMN_OK;
	if (b->count == b->room) {
		size_t room = b->room * 2 + 64;
		void *more = realloc(b->anchor, room * sizeof(*b->anchor));

		if (more == NULL)
			return KMN_E_NO_MEMORY;
		b->anchor = more;
		b->room = room;
	}
	b->anchor[b->count].i = record->i;
	b->anchor[b->count].size = size;
	b->anchor[b->count++].gen_time = gen_time;
	return KMN_OK;
}

void
kmn_brackets_get(const struct kmn_brackets *b, uint64_t index, uint64_t *lower_out, uint64_t *upper_out)
{
	size_t low = 0, high = b->count;

	*lower_out = *upper_out = 0;
	while (low < high) { /* the anchors before the record are those below `low` */
		size_t middle = low + (high - low) / 2;

		if (b->anchor[middle].i < index)
			low = middle + 1;
		else
			high = middle;
	}
	if (low > 0)
		*lower_out = b->anchor[low - 1].gen_time;
	for (size_t n = low; n < b->count && *upper_out == 0; n++) /* the first that covers it is near */
		if (b->anchor[n].size > index)
			*upper_out = b->anchor[n].gen_time;
}
