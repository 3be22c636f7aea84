#include "config.h"

#include "tools/kanmon/match.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* One signature. It is found by what it is over, in each form in which a PKCS#11 call may have brought it. */
struct signature {
	uint64_t record;
	uint8_t spki_sha256[KMN_HASH_BYTES];
	uint8_t *bytes;
	size_t len;
	const char *kind; /* static, or ours */
	bool met;
};

/* By SHA-256 of the data as it came, and by digest of the normal form: sorted by `hash` before the first question. */
struct entry {
	uint8_t hash[KMN_HASH_BYTES]; /* of a digest that is longer: its first bytes */
	size_t signature;
};

struct key {
	uint8_t sha256[KMN_HASH_BYTES];
	uint8_t *spki;
	size_t len;
};

struct kmn_match {
	struct key *keys;
	struct signature *signatures;
	struct entry *entries;
	size_t key_count, signature_count, signature_room, entry_count, entry_room;
	bool sorted;
};

kmn_err
kmn_match_new(struct kmn_match **match_out)
{
	return (*match_out = calloc(1, sizeof(**match_out))) == NULL ? KMN_E_NO_MEMORY : KMN_OK;
}

void
kmn_match_free(struct kmn_match *match)
{
	if (match == NULL)
		return;
	for (size_t n = 0; n < match->key_count; n++)
		free(match->keys[n].spki);
	for (size_t n = 0; n < match->signature_count; n++)
		free(match->signatures[n].bytes);
	free(match->keys);
	free(match->signatures);
	free(match->entries);
	free(match);
}

/* Room for one more; NULL: out of memory, and the list stays as it is. */
static void *
grow(void *list, size_t count, size_t *room, size_t size)
{
	void *more;

	if (count < *room)
		return list;
	if ((more = realloc(list, (*room * 2 + 64) * size)) != NULL)
		*room = *room * 2 + 64;
	return more;
}

static struct key *
find_key(const struct kmn_match *match, const uint8_t sha256[KMN_HASH_BYTES])
{
	for (size_t n = 0; n < match->key_count; n++)
		if (memcmp(match->keys[n].sha256, sha256, KMN_HASH_BYTES) == 0)
			return &match->keys[n];
	return NULL;
}

kmn_err
kmn_match_key(struct kmn_match *match, const uint8_t sha256[KMN_HASH_BYTES])
{
	struct key *more;

	if (find_key(match, sha256) != NULL)
		return KMN_OK;
	if ((more = realloc(match->keys, (match->key_count + 1) * sizeof(*more))) == NULL)
		return KMN_E_NO_MEMORY;
	match->keys = more;
	more += match->key_count++;
	*more = (struct key){.spki = NULL};
	memcpy(more->sha256, sha256, KMN_HASH_BYTES);
	return KMN_OK;
}

kmn_err
kmn_match_public(struct kmn_match *match, const uint8_t *spki, size_t spki_len)
{
	uint8_t sha256[KMN_HASH_BYTES];
	struct key *key;

	kmn_sha256(spki, spki_len, sha256);
	if ((key = find_key(match, sha256)) == NULL || key->spki != NULL)
		return KMN_OK;
	if ((key->spki = malloc(spki_len)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(key->spki, spki, key->len = spki_len);
	return KMN_OK;
}

size_t
kmn_match_keyless(const struct kmn_match *match)
{
	size_t count = 0;

	for (size_t n = 0; n < match->key_count; n++)
		count += match->keys[n].spki == NULL;
	return count;
}

static kmn_err
add_entry(struct kmn_match *match, const uint8_t *hash, size_t len)
{
	struct entry *more = grow(match->entries, match->entry_count, &match->entry_room, sizeof(*more));

	if (more == NULL)
		return KMN_E_NO_MEMORY;
	match->entries = more;
	more += match->entry_count++;
	memset(more, 0, sizeof(*more));
	memcpy(more->hash, hash, len < KMN_HASH_BYTES ? len : KMN_HASH_BYTES);
	more->signature = match->signature_count - 1;
	return KMN_OK;
}

kmn_err
kmn_match_signed(struct kmn_match *match, const struct kmn_signed_certificate *made, const char *kind)
{
	struct signature *more = grow(match->signatures, match->signature_count, &match->signature_room, sizeof(*more));
	kmn_err e = KMN_OK;

	if (more == NULL)
		return KMN_E_NO_MEMORY;
	match->signatures = more;
	more += match->signature_count;
	*more = (struct signature){.record = made->record, .kind = kind, .len = made->signature_len};
	if ((more->bytes = malloc(made->signature_len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(more->bytes, made->signature, made->signature_len);
	if (made->has_key)
		memcpy(more->spki_sha256, made->spki_sha256, KMN_HASH_BYTES);
	match->signature_count++;
	match->sorted = false;
	if (made->has_in)
		e = add_entry(match, made->in_sha256, KMN_HASH_BYTES);
	if (e == KMN_OK && made->has_norm)
		e = add_entry(match, made->norm.digest, made->norm.digest_len);
	return e;
}

static int
by_hash(const void *a, const void *b)
{
	return memcmp(((const struct entry *)a)->hash, ((const struct entry *)b)->hash, KMN_HASH_BYTES);
}

/* The first entry with this hash; entry_count: none. */
static size_t
first_with(const struct kmn_match *match, const uint8_t hash[KMN_HASH_BYTES])
{
	size_t low = 0, high = match->entry_count;

	while (low < high) {
		size_t at = low + (high - low) / 2;

		if (memcmp(match->entries[at].hash, hash, KMN_HASH_BYTES) < 0)
			low = at + 1;
		else
			high = at;
	}
	return low < match->entry_count && memcmp(match->entries[low].hash, hash, KMN_HASH_BYTES) == 0
		   ? low
		   : match->entry_count;
}

/* In which forms the data may have come to the HSM: whole, as its digest, as a DigestInfo; and as its normal form. */
static size_t
forms_of(const struct kmn_issued *issued, uint8_t out[4][KMN_HASH_BYTES])
{
	uint8_t digest[64], *info = NULL;
	char hash[12];
	size_t len, count = 0;
	X509_SIG *sig = X509_SIG_new();
	X509_ALGOR *algorithm = NULL;
	ASN1_OCTET_STRING *octets = NULL;
	int info_len = 0;

	memset(out, 0, 4 * KMN_HASH_BYTES);
	kmn_sha256(issued->tbs, issued->tbs_len, out[count++]);
	if (kmn_issued_digest(issued, hash, digest, &len) == KMN_OK) {
		memcpy(out[count++], digest, len < KMN_HASH_BYTES ? len : KMN_HASH_BYTES);
		kmn_sha256(digest, len, out[count++]);
		if (sig != NULL) {
			X509_SIG_getm(sig, &algorithm, &octets);
			if (X509_ALGOR_set0(algorithm, OBJ_nid2obj(EVP_MD_get_type(EVP_get_digestbyname(hash))),
				V_ASN1_NULL, NULL) == 1 &&
			    ASN1_OCTET_STRING_set(octets, digest, (int)len) == 1)
				info_len = i2d_X509_SIG(sig, &info);
		}
		if (info_len > 0)
			kmn_sha256(info, (size_t)info_len, out[count++]);
	}
	OPENSSL_free(info);
	X509_SIG_free(sig);
	return count;
}

enum kmn_match_verdict
kmn_match_issued(struct kmn_match *match, const struct kmn_issued *issued, uint64_t *record_out)
{
	uint8_t forms[4][KMN_HASH_BYTES];
	size_t count = forms_of(issued, forms);
	const struct key *key = NULL;

	*record_out = UINT64_MAX;
	for (size_t n = 0; key == NULL && n < match->key_count; n++)
		if (match->keys[n].spki != NULL && kmn_issued_is_by(issued, match->keys[n].spki, match->keys[n].len))
			key = &match->keys[n];
	if (key == NULL)
		return KMN_FOREIGN;
	if (!match->sorted && match->entry_count > 0)
		qsort(match->entries, match->entry_count, sizeof(*match->entries), by_hash);
	match->sorted = true;
	for (size_t form = 0; form < count; form++) {
		for (size_t at = first_with(match, forms[form]); at < match->entry_count; at++) {
			struct signature *signature = &match->signatures[match->entries[at].signature];

			if (memcmp(match->entries[at].hash, forms[form], KMN_HASH_BYTES) != 0)
				break;
			if (memcmp(signature->spki_sha256, key->sha256, KMN_HASH_BYTES) != 0)
				continue;
			*record_out = signature->record;
			if (kmn_issued_has_signature(issued, signature->bytes, signature->len)) {
				signature->met = true;
				return KMN_MATCHED;
			}
		}
	}
	return *record_out == UINT64_MAX ? KMN_ROGUE : KMN_ROGUE_TWICE;
}

void
kmn_match_missing(const struct kmn_match *match, kmn_match_fn *fn, void *cookie)
{
	for (size_t n = 0; n < match->signature_count; n++)
		if (!match->signatures[n].met)
			fn(cookie, match->signatures[n].record, match->signatures[n].kind);
}
