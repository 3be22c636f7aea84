#include "kanmon/operation.h"

#include "kanmon/json.h"
#include "kanmon/tree.h"
#include "server/quorum/pubkey.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* The hash functions that a signature may name: OpenSSL's name and ours are one. */
static const struct hash {
	const char *name;
	uint64_t mechanism; /* CKM_SHA256 */
	uint64_t mgf;       /* CKG_MGF1_SHA256 */
	const char *mechanism_name, *mgf_name;
	uint8_t len;
	uint8_t oid; /* last byte of 2.16.840.1.101.3.4.2.x; 0: SHA-1, which has its own */
} hashes[] = {
    {"sha1", 0x220, 1, "CKM_SHA_1", "CKG_MGF1_SHA1", 20, 0},
    {"sha224", 0x255, 5, "CKM_SHA224", "CKG_MGF1_SHA224", 28, 4},
    {"sha256", 0x250, 2, "CKM_SHA256", "CKG_MGF1_SHA256", 32, 1},
    {"sha384", 0x260, 3, "CKM_SHA384", "CKG_MGF1_SHA384", 48, 2},
    {"sha512", 0x270, 4, "CKM_SHA512", "CKG_MGF1_SHA512", 64, 3},
    {"sha3-224", 0x2b5, 6, "CKM_SHA3_224", "CKG_MGF1_SHA3_224", 28, 7},
    {"sha3-256", 0x2b0, 7, "CKM_SHA3_256", "CKG_MGF1_SHA3_256", 32, 8},
    {"sha3-384", 0x2c0, 8, "CKM_SHA3_384", "CKG_MGF1_SHA3_384", 48, 9},
    {"sha3-512", 0x2d0, 9, "CKM_SHA3_512", "CKG_MGF1_SHA3_512", 64, 10},
};

/* The mechanisms that sign something with a normal form. No hash: the caller hashed (EdDSA: nobody does). */
static const struct mechanism {
	const char *name;
	uint64_t mechanism;
	const char *scheme;
	const char *hash;
} mechanisms[] = {
    {"CKM_RSA_PKCS", 0x1, "rsa-pkcs1", ""},
    {"CKM_SHA1_RSA_PKCS", 0x6, "rsa-pkcs1", "sha1"},
    {"CKM_SHA224_RSA_PKCS", 0x46, "rsa-pkcs1", "sha224"},
    {"CKM_SHA256_RSA_PKCS", 0x40, "rsa-pkcs1", "sha256"},
    {"CKM_SHA384_RSA_PKCS", 0x41, "rsa-pkcs1", "sha384"},
    {"CKM_SHA512_RSA_PKCS", 0x42, "rsa-pkcs1", "sha512"},
    {"CKM_SHA3_224_RSA_PKCS", 0x66, "rsa-pkcs1", "sha3-224"},
    {"CKM_SHA3_256_RSA_PKCS", 0x60, "rsa-pkcs1", "sha3-256"},
    {"CKM_SHA3_384_RSA_PKCS", 0x61, "rsa-pkcs1", "sha3-384"},
    {"CKM_SHA3_512_RSA_PKCS", 0x62, "rsa-pkcs1", "sha3-512"},
    {"CKM_RSA_PKCS_PSS", 0xd, "rsa-pss", ""},
    {"CKM_SHA1_RSA_PKCS_PSS", 0xe, "rsa-pss", "sha1"},
    {"CKM_SHA224_RSA_PKCS_PSS", 0x47, "rsa-pss", "sha224"},
    {"CKM_SHA256_RSA_PKCS_PSS", 0x43, "rsa-pss", "sha256"},
    {"CKM_SHA384_RSA_PKCS_PSS", 0x44, "rsa-pss", "sha384"},
    {"CKM_SHA512_RSA_PKCS_PSS", 0x45, "rsa-pss", "sha512"},
    {"CKM_SHA3_224_RSA_PKCS_PSS", 0x67, "rsa-pss", "sha3-224"},
    {"CKM_SHA3_256_RSA_PKCS_PSS", 0x63, "rsa-pss", "sha3-256"},
    {"CKM_SHA3_384_RSA_PKCS_PSS", 0x64, "rsa-pss", "sha3-384"},
    {"CKM_SHA3_512_RSA_PKCS_PSS", 0x65, "rsa-pss", "sha3-512"},
    {"CKM_ECDSA", 0x1041, "ecdsa", ""},
    {"CKM_ECDSA_SHA1", 0x1042, "ecdsa", "sha1"},
    {"CKM_ECDSA_SHA224", 0x1043, "ecdsa", "sha224"},
    {"CKM_ECDSA_SHA256", 0x1044, "ecdsa", "sha256"},
    {"CKM_ECDSA_SHA384", 0x1045, "ecdsa", "sha384"},
    {"CKM_ECDSA_SHA512", 0x1046, "ecdsa", "sha512"},
    {"CKM_ECDSA_SHA3_224", 0x1047, "ecdsa", "sha3-224"},
    {"CKM_ECDSA_SHA3_256", 0x1048, "ecdsa", "sha3-256"},
    {"CKM_ECDSA_SHA3_384", 0x1049, "ecdsa", "sha3-384"},
    {"CKM_ECDSA_SHA3_512", 0x104a, "ecdsa", "sha3-512"},
    {"CKM_EDDSA", 0x1057, "eddsa", ""},
};

static const struct hash *
hash_by_name(const char *name)
{
	for (size_t i = 0; i < KMN_COUNT_OF(hashes); i++)
		if (strcmp(hashes[i].name, name) == 0)
			return &hashes[i];
	return NULL;
}

static const struct hash *
hash_by_mechanism(uint64_t mechanism)
{
	for (size_t i = 0; i < KMN_COUNT_OF(hashes); i++)
		if (hashes[i].mechanism == mechanism)
			return &hashes[i];
	return NULL;
}

static const struct mechanism *
mechanism_by_name(const char *name)
{
	for (size_t i = 0; i < KMN_COUNT_OF(mechanisms); i++)
		if (strcmp(mechanisms[i].name, name) == 0)
			return &mechanisms[i];
	return NULL;
}

static kmn_err
norm_set(struct kmn_norm *norm, const char *scheme, const char *hash, const uint8_t *digest, size_t len)
{
	memset(norm, 0, sizeof(*norm));
	if (len == 0 || len > sizeof(norm->digest))
		return KMN_E_NOT_FOUND;
	strcpy(norm->scheme, scheme);
	strcpy(norm->hash, hash);
	memcpy(norm->digest, digest, len);
	norm->digest_len = len;
	return KMN_OK;
}

static kmn_err
norm_hash(struct kmn_norm *norm, const char *scheme, const char *hash, const uint8_t *data, size_t len)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	size_t digest_len = 0;

	if (!EVP_Q_digest(NULL, hash, NULL, data, len, digest, &digest_len))
		return KMN_E_NO_MEMORY;
	return norm_set(norm, scheme, hash, digest, digest_len);
}

/*
 * The DigestInfo as the HSM itself would write it, and no other: one without NULL parameters, or in BER, is another
 * signature.
 */
static kmn_err
norm_digest_info(struct kmn_norm *norm, const uint8_t *data, size_t len)
{
	static const uint8_t sha1[] = {
	    0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14};
	uint8_t nist[] = {
	    0x30, 0, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0, 0x05, 0x00, 0x04, 0};

	for (size_t i = 0; i < KMN_COUNT_OF(hashes); i++) {
		const struct hash *h = &hashes[i];
		const uint8_t *prefix = h->oid == 0 ? sha1 : nist;
		size_t prefix_len = h->oid == 0 ? sizeof(sha1) : sizeof(nist);

		nist[1] = (uint8_t)(sizeof(nist) - 2 + h->len);
		nist[14] = h->oid;
		nist[18] = h->len;
		if (len == prefix_len + h->len && memcmp(data, prefix, prefix_len) == 0)
			return norm_set(norm, "rsa-pkcs1", h->name, data + prefix_len, h->len);
	}
	return KMN_E_NOT_FOUND;
}

kmn_err
kmn_operation_normalise(
    uint64_t mechanism, const struct kmn_pss *pss, const uint8_t *data, size_t len, struct kmn_norm *norm)
{
	const struct mechanism *m = NULL;
	const struct hash *h;

	memset(norm, 0, sizeof(*norm));
	for (size_t i = 0; i < KMN_COUNT_OF(mechanisms) && m == NULL; i++)
		if (mechanisms[i].mechanism == mechanism)
			m = &mechanisms[i];
	if (m == NULL)
		return KMN_E_NOT_FOUND;
	if (strcmp(m->scheme, "rsa-pss") == 0) {
		h = pss == NULL ? NULL : hash_by_mechanism(pss->hash);
		if (h == NULL || (m->hash[0] != 0 && strcmp(m->hash, h->name) != 0))
			return KMN_E_NOT_FOUND;
		if (m->hash[0] == 0)
			return len == h->len ? norm_set(norm, m->scheme, h->name, data, len) : KMN_E_NOT_FOUND;
	}
	if (m->hash[0] != 0)
		return norm_hash(norm, m->scheme, m->hash, data, len);
	if (strcmp(m->scheme, "eddsa") == 0)
		return norm_hash(norm, m->scheme, "sha256", data, len);
	if (strcmp(m->scheme, "ecdsa") == 0)
		return norm_set(norm, m->scheme, "", data, len);
	return norm_digest_info(norm, data, len);
}

json_t *
kmn_norm_json(const struct kmn_norm *norm)
{
	return json_pack("{s:o,s:s,s:s}", "digest", kmn_json_b64(norm->digest, norm->digest_len), "hash", norm->hash,
	    "scheme", norm->scheme);
}

kmn_err
kmn_norm_from_json(const json_t *json, struct kmn_norm *norm)
{
	const char *scheme, *hash, *digest;
	const struct hash *h;
	bool known = false;

	memset(norm, 0, sizeof(*norm));
	if (!kmn_json_get_text(json, "scheme", &scheme) || !kmn_json_get_text(json, "hash", &hash) ||
	    !kmn_json_get_text(json, "digest", &digest) || json_object_size(json) != 3)
		return KMN_E_MALFORMED;
	for (size_t i = 0; i < KMN_COUNT_OF(mechanisms); i++)
		known = known || strcmp(mechanisms[i].scheme, scheme) == 0;
	h = hash_by_name(hash);
	if (!known || (h == NULL && (hash[0] != 0 || strcmp(scheme, "ecdsa") != 0)) ||
	    kmn_b64_parse(digest, strlen(digest), norm->digest, sizeof(norm->digest), &norm->digest_len) != KMN_OK ||
	    norm->digest_len == 0 || (h != NULL && norm->digest_len != h->len)) {
		memset(norm, 0, sizeof(*norm));
		return KMN_E_MALFORMED;
	}
	strcpy(norm->scheme, scheme);
	strcpy(norm->hash, hash);
	return KMN_OK;
}

bool
kmn_norm_is_of(const struct kmn_norm *norm, const uint8_t *data, size_t len)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	size_t digest_len = 0;

	/* A bare digest names no hash: it may be that of any that is as long. */
	for (size_t i = 0; i < KMN_COUNT_OF(hashes); i++)
		if ((norm->hash[0] == 0 ? hashes[i].len == norm->digest_len
					: strcmp(hashes[i].name, norm->hash) == 0) &&
		    EVP_Q_digest(NULL, hashes[i].name, NULL, data, len, digest, &digest_len) &&
		    digest_len == norm->digest_len && memcmp(digest, norm->digest, digest_len) == 0)
			return true;
	return false;
}

json_t *
kmn_pss_json(const struct kmn_pss *pss)
{
	const char *hash = NULL, *mgf = NULL;

	for (size_t i = 0; i < KMN_COUNT_OF(hashes); i++) {
		if (hashes[i].mechanism == pss->hash)
			hash = hashes[i].mechanism_name;
		if (hashes[i].mgf == pss->mgf)
			mgf = hashes[i].mgf_name;
	}
	if (hash == NULL || mgf == NULL || pss->salt_len > KMN_JSON_INT_MAX)
		return NULL;
	return json_pack("{s:s,s:s,s:I}", "hash", hash, "mgf", mgf, "salt_len", (json_int_t)pss->salt_len);
}

kmn_err
kmn_pss_from_json(const json_t *json, struct kmn_pss *pss)
{
	const char *hash, *mgf;

	memset(pss, 0, sizeof(*pss));
	if (!kmn_json_get_text(json, "hash", &hash) || !kmn_json_get_text(json, "mgf", &mgf) ||
	    !kmn_json_get_number(json, "salt_len", &pss->salt_len))
		return KMN_E_MALFORMED;
	for (size_t i = 0; i < KMN_COUNT_OF(hashes); i++) {
		if (strcmp(hashes[i].mechanism_name, hash) == 0)
			pss->hash = hashes[i].mechanism;
		if (strcmp(hashes[i].mgf_name, mgf) == 0)
			pss->mgf = hashes[i].mgf;
	}
	return pss->hash != 0 && pss->mgf != 0 ? KMN_OK : KMN_E_MALFORMED;
}

bool
kmn_operation_mechanism_fits(const char *wanted, const char *used, const struct kmn_norm *norm)
{
	const struct mechanism *m;
	const struct hash *h;

	if (used != NULL && strcmp(wanted, used) == 0)
		return true;
	m = mechanism_by_name(wanted);
	if (m == NULL || norm == NULL || strcmp(m->scheme, norm->scheme) != 0)
		return false;
	if (m->hash[0] == 0)
		return true;
	if (norm->hash[0] != 0)
		return strcmp(m->hash, norm->hash) == 0;
	h = hash_by_name(m->hash);
	return h != NULL && h->len == norm->digest_len;
}

bool
kmn_operation_mechanism_related(const char *wanted, const char *shown)
{
	const struct mechanism *a = mechanism_by_name(wanted), *b = mechanism_by_name(shown);

	if (strcmp(wanted, shown) == 0)
		return true;
	return a != NULL && b != NULL && strcmp(a->scheme, b->scheme) == 0 && (a->hash[0] == 0 || b->hash[0] == 0);
}

/* Functions that do the same thing with a key have one name in the digest. */
static const char *
family(const char *op)
{
	static const char *const families[][2] = {
	    {"C_Sign", "sign"},
	    {"C_SignFinal", "sign"},
	    {"C_SignRecover", "sign"},
	    {"C_SignMessage", "sign"},
	    {"C_SignMessageNext", "sign"},
	    {"C_Decrypt", "decrypt"},
	    {"C_DecryptFinal", "decrypt"},
	    {"C_DecryptMessage", "decrypt"},
	    {"C_DecryptMessageNext", "decrypt"},
	    {"C_Encrypt", "encrypt"},
	    {"C_EncryptFinal", "encrypt"},
	    {"C_EncryptMessage", "encrypt"},
	    {"C_EncryptMessageNext", "encrypt"},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(families); i++)
		if (strcmp(families[i][0], op) == 0)
			return families[i][1];
	return op;
}

/* The key by its public half; where it has none, by what names it. */
static json_t *
key_identity(const json_t *key)
{
	json_t *identity = json_object();
	const char *spki;

	json_object_set_new(identity, "class", json_deep_copy(json_object_get(key, "class")));
	if (kmn_json_get_text(key, "spki_sha256", &spki)) {
		json_object_set_new(identity, "spki_sha256", json_string(spki));
	} else {
		json_object_set_new(identity, "id", json_deep_copy(json_object_get(key, "id")));
		json_object_set_new(identity, "label", json_deep_copy(json_object_get(key, "label")));
		json_object_set_new(identity, "kcv", json_deep_copy(json_object_get(key, "kcv")));
	}
	json_object_set_new(identity, "token", json_deep_copy(json_object_get(key, "token")));
	json_object_set_new(identity, "module", json_deep_copy(json_object_get(key, "module")));
	json_object_set_new(identity, "serial", json_deep_copy(json_object_get(key, "serial")));
	return identity;
}

bool
kmn_operation_same_key(const json_t *a, const json_t *b)
{
	json_t *x = key_identity(a), *y = key_identity(b);
	bool same = json_equal(x, y) == 1;

	json_decref(x);
	json_decref(y);
	return same;
}

/* What is done to what: the normal form of a signature, or mechanism and data by name. */
static kmn_err
put_subject(json_t *o, const json_t *body, const json_t *mech, const char *name)
{
	const json_t *norm_json = json_object_get(body, "norm");
	const json_t *params = json_object_get(mech, "params_sha256");
	struct kmn_norm norm;
	bool plain;

	if (norm_json == NULL) {
		json_object_set_new(o, "mechanism", json_string(name));
		json_object_set_new(o, "params", json_deep_copy(params));
		json_object_set_new(o, "in", json_deep_copy(json_object_get(body, "in")));
		return KMN_OK;
	}
	if (kmn_norm_from_json(norm_json, &norm) != KMN_OK)
		return KMN_E_MALFORMED;
	if (strcmp(norm.scheme, "ecdsa") == 0)
		norm.hash[0] = 0;
	plain = strcmp(norm.scheme, "ecdsa") == 0 || strcmp(norm.scheme, "rsa-pkcs1") == 0;
	json_object_set_new(o, "norm", kmn_norm_json(&norm));
	if (!plain)
		json_object_set_new(o, "params", json_deep_copy(params));
	return KMN_OK;
}

kmn_err
kmn_operation_digest(const json_t *body, uint8_t digest_out[32])
{
	static const char prefix[] = "kanmon/operation/v1\n";
	const json_t *mech = json_object_get(body, "mech");
	const char *client, *op, *name = "none";
	json_t *o = NULL;
	char *text = NULL;
	crypto_hash_sha256_state sha;
	kmn_err e = KMN_E_MALFORMED;

	memset(digest_out, 0, KMN_HASH_BYTES);
	if (!kmn_json_get_text(json_object_get(body, "requester"), "spki_sha256", &client) ||
	    !kmn_json_get_text(body, "op", &op) || !json_is_object(json_object_get(body, "key")))
		return KMN_E_MALFORMED;
	if (!kmn_json_get_text(mech, "name", &name))
		name = "none";
	if ((o = json_object()) == NULL)
		return KMN_E_NO_MEMORY;
	json_object_set_new(o, "client", json_string(client));
	json_object_set_new(o, "function", json_string(family(op)));
	json_object_set_new(o, "key", key_identity(json_object_get(body, "key")));
	json_object_set_new(o, "template", json_deep_copy(json_object_get(body, "template")));
	json_object_set_new(o, "login", json_deep_copy(json_object_get(body, "login")));
	if ((e = put_subject(o, body, mech, name)) != KMN_OK)
		goto done;
	if ((text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS)) == NULL) {
		e = KMN_E_NO_MEMORY;
		goto done;
	}
	crypto_hash_sha256_init(&sha);
	crypto_hash_sha256_update(&sha, (const uint8_t *)prefix, sizeof(prefix) - 1);
	crypto_hash_sha256_update(&sha, (const uint8_t *)text, strlen(text));
	crypto_hash_sha256_final(&sha, digest_out);
done:
	free(text);
	json_decref(o);
	return e;
}

/* Padding and hash of an RSA signature; false: parameters that OpenSSL does not know. */
static bool
set_rsa(EVP_PKEY_CTX *ctx, const struct kmn_norm *norm, const struct kmn_pss *pss)
{
	const EVP_MD *md = EVP_get_digestbyname(norm->hash), *mgf = NULL;

	if (md == NULL || EVP_PKEY_CTX_set_signature_md(ctx, md) != 1)
		return false;
	if (strcmp(norm->scheme, "rsa-pkcs1") == 0)
		return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
	for (size_t i = 0; pss != NULL && i < KMN_COUNT_OF(hashes); i++)
		if (hashes[i].mgf == pss->mgf)
			mgf = EVP_get_digestbyname(hashes[i].name);
	return mgf != NULL && pss->salt_len <= 1024 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, mgf) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)pss->salt_len) == 1;
}

static kmn_err
verify_rsa(EVP_PKEY *key, const struct kmn_norm *norm, const struct kmn_pss *pss, const uint8_t *sig, size_t sig_len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	kmn_err e = KMN_E_SIGNATURE;

	if (ctx == NULL)
		e = KMN_E_NO_MEMORY;
	else if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_verify_init(ctx) == 1 && set_rsa(ctx, norm, pss) &&
		 EVP_PKEY_verify(ctx, sig, sig_len, norm->digest, norm->digest_len) == 1)
		e = KMN_OK;
	EVP_PKEY_CTX_free(ctx);
	return e;
}

kmn_err
kmn_operation_verify_with(struct kmn_public_key *key, const struct kmn_norm *norm, const struct kmn_pss *pss,
    const uint8_t *data, size_t data_len, const uint8_t *signature, size_t signature_len)
{
	if (strcmp(norm->scheme, "ecdsa") == 0)
		return public_key_verify_ecdsa(key, norm->digest, norm->digest_len, signature, signature_len);
	if (strcmp(norm->scheme, "eddsa") != 0)
		return verify_rsa(public_key_peek(key), norm, pss, signature, signature_len);
	if (data == NULL)
		return KMN_E_NOT_FOUND;
	if (!kmn_norm_is_of(norm, data, data_len))
		return KMN_E_SIGNATURE;
	return public_key_verify_eddsa(key, data, data_len, signature, signature_len);
}

kmn_err
kmn_operation_verify_signature(const uint8_t *spki, size_t spki_len, const struct kmn_norm *norm,
    const struct kmn_pss *pss, const uint8_t *data, size_t data_len, const uint8_t *signature, size_t signature_len)
{
	struct kmn_public_key *key;
	kmn_err e = kmn_operation_read_key(spki, spki_len, &key);

	if (e == KMN_OK)
		e = kmn_operation_verify_with(key, norm, pss, data, data_len, signature, signature_len);
	kmn_operation_free_key(key);
	return e;
}
