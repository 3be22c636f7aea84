/*
 * RFC 3161 by OpenSSL. Its TS_VERIFY_CTX is filled here flag by flag: the one
 * that TS_REQ_to_TS_VERIFY_CTX makes leaves the signature out, and then a token
 * without the name of its TSA "verifies" with no root and any signature.
 */
#include "config.h"

#include "kanmon/stamp.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ts.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define AUTH_LEVEL 2 /* of X.509: 112 bits, so no SHA-1 and no RSA below 2048 in a chain */

struct kmn_stamp_roots {
	STACK_OF(X509) * roots, *between;
};

/* OpenSSL's last words, in one line. */
static void
say_openssl(struct kmn_why *why, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *data = NULL;
	int flags = 0;

	(void)ERR_peek_last_error_data(&data, &flags);
	kmn_why_set(why, "%s: %.80s%s%.100s", what, code == 0 ? "no reason given" : ERR_reason_error_string(code),
	    data != NULL && (flags & ERR_TXT_STRING) && *data != '\0' ? ": " : "",
	    data != NULL && (flags & ERR_TXT_STRING) ? data : "");
	ERR_clear_error();
}

/* ---- what is asked ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int nid;
	size_t len;
	const EVP_MD *(*md)(void);
} algs[] = {
    {"sha256", NID_sha256, 32, EVP_sha256},
    {"sha512", NID_sha512, 64, EVP_sha512},
};

/* Index in `algs`; KMN_COUNT_OF(algs): none. */
static size_t
find_alg(const char *name)
{
	size_t n = 0;

	while (n < KMN_COUNT_OF(algs) && strcmp(algs[n].name, name) != 0)
		n++;
	return n;
}

bool
kmn_stamp_imprint(struct kmn_stamp_want *want, const char *alg, const void *bytes, size_t len)
{
	size_t n = find_alg(alg);
	unsigned made = 0;

	if (n == KMN_COUNT_OF(algs))
		return false;
	want->alg = algs[n].name;
	return EVP_Digest(bytes, len, want->imprint, &made, algs[n].md(), NULL) == 1 && made == algs[n].len;
}

void
kmn_stamp_nonce_text(uint64_t nonce, char out[KMN_STAMP_NONCE_TEXT_BYTES + 1])
{
	(void)snprintf(out, KMN_STAMP_NONCE_TEXT_BYTES + 1, "%016llx", (unsigned long long)nonce);
}

bool
kmn_stamp_nonce_parse(const char *text, uint64_t *out)
{
	*out = 0;
	if (strlen(text) != KMN_STAMP_NONCE_TEXT_BYTES || strspn(text, "0123456789abcdef") != strlen(text))
		return false;
	*out = strtoull(text, NULL, 16);
	return true;
}

static TS_MSG_IMPRINT *
make_imprint(const struct kmn_stamp_want *want)
{
	size_t n = find_alg(want->alg);
	TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
	X509_ALGOR *alg = X509_ALGOR_new();
	uint8_t bytes[KMN_STAMP_IMPRINT_MAX_BYTES]; /* OpenSSL copies them, from what it does not call const */

	memcpy(bytes, want->imprint, sizeof(bytes));
	if (n < KMN_COUNT_OF(algs) && imprint != NULL && alg != NULL &&
	    X509_ALGOR_set0(alg, OBJ_nid2obj(algs[n].nid), V_ASN1_NULL, NULL) == 1 &&
	    TS_MSG_IMPRINT_set_algo(imprint, alg) == 1 &&
	    TS_MSG_IMPRINT_set_msg(imprint, bytes, (int)algs[n].len) == 1) {
		X509_ALGOR_free(alg);
		return imprint;
	}
	X509_ALGOR_free(alg);
	TS_MSG_IMPRINT_free(imprint);
	return NULL;
}

kmn_err
kmn_stamp_request(const struct kmn_stamp_want *want, uint8_t **der_out, size_t *len_out)
{
	bool any = want->policy == NULL || want->policy[0] == '\0';
	ASN1_OBJECT *policy = any ? NULL : OBJ_txt2obj(want->policy, 1);
	ASN1_INTEGER *nonce = ASN1_INTEGER_new();
	TS_MSG_IMPRINT *imprint = make_imprint(want);
	TS_REQ *request = TS_REQ_new();
	unsigned char *der = NULL;
	kmn_err e = KMN_E_NO_MEMORY;
	int len;

	*der_out = NULL;
	*len_out = 0;
	if (!any && policy == NULL)
		e = KMN_E_CONFIG;
	else if (request != NULL && imprint != NULL && nonce != NULL && TS_REQ_set_version(request, 1) == 1 &&
		 TS_REQ_set_msg_imprint(request, imprint) == 1 && ASN1_INTEGER_set_uint64(nonce, want->nonce) == 1 &&
		 TS_REQ_set_nonce(request, nonce) == 1 && TS_REQ_set_cert_req(request, 1) == 1 &&
		 (any || TS_REQ_set_policy_id(request, policy) == 1) && (len = i2d_TS_REQ(request, &der)) > 0 &&
		 (*der_out = malloc((size_t)len)) != NULL) {
		memcpy(*der_out, der, (size_t)len);
		*len_out = (size_t)len;
		e = KMN_OK;
	}
	OPENSSL_free(der);
	TS_REQ_free(request);
	TS_MSG_IMPRINT_free(imprint);
	ASN1_INTEGER_free(nonce);
	ASN1_OBJECT_free(policy);
	ERR_clear_error();
	return e;
}

/* ---- what came back ----------------------------------------------------------------------------------------------- */

/* The status of a response: 0 granted, 1 granted with changes; else a refusal, whose text is the TSA's. */
static kmn_err
check_status(TS_RESP *response, struct kmn_why *why)
{
	TS_STATUS_INFO *info = TS_RESP_get_status_info(response);
	const STACK_OF(ASN1_UTF8STRING) *texts = TS_STATUS_INFO_get0_text(info);
	const ASN1_UTF8STRING *first = sk_ASN1_UTF8STRING_num(texts) > 0 ? sk_ASN1_UTF8STRING_value(texts, 0) : NULL;
	int64_t status;

	if (ASN1_INTEGER_get_int64(&status, TS_STATUS_INFO_get0_status(info)) == 1 && (status == 0 || status == 1))
		return KMN_OK;
	ERR_clear_error();
	if (first != NULL &&
	    kmn_json_text_ok((const char *)ASN1_STRING_get0_data(first), (size_t)ASN1_STRING_length(first), false))
		kmn_why_set(why, "the TSA refused: %.*s",
		    ASN1_STRING_length(first) > 150 ? 150 : ASN1_STRING_length(first), ASN1_STRING_get0_data(first));
	else
		kmn_why_set(why, "the TSA refused, and gave no reason");
	return KMN_E_DENIED;
}

kmn_err
kmn_stamp_token(const uint8_t *response, size_t len, uint8_t **token_out, size_t *token_len_out, struct kmn_why *why)
{
	const unsigned char *at = response;
	unsigned char *der = NULL;
	TS_RESP *parsed = NULL;
	PKCS7 *token;
	kmn_err e = KMN_E_MALFORMED;
	int der_len = 0;

	*token_out = NULL;
	*token_len_out = 0;
	kmn_why_set(why, "not a TimeStampResp of at most %d bytes", KMN_STAMP_RESPONSE_MAX_BYTES);
	if (len == 0 || len > KMN_STAMP_RESPONSE_MAX_BYTES || (parsed = d2i_TS_RESP(NULL, &at, (long)len)) == NULL ||
	    at != response + len)
		goto done;
	if ((e = check_status(parsed, why)) != KMN_OK)
		goto done;
	e = KMN_E_MALFORMED;
	token = TS_RESP_get_token(parsed);
	if (token == NULL || (der_len = i2d_PKCS7(token, &der)) <= 0 || der_len > KMN_STAMP_TOKEN_MAX_BYTES) {
		kmn_why_set(why, "the TSA granted no token of at most %d bytes", KMN_STAMP_TOKEN_MAX_BYTES);
		goto done;
	}
	e = KMN_E_NO_MEMORY;
	if ((*token_out = malloc((size_t)der_len)) == NULL)
		goto done;
	memcpy(*token_out, der, (size_t)der_len);
	*token_len_out = (size_t)der_len;
	e = KMN_OK;
done:
	OPENSSL_free(der);
	TS_RESP_free(parsed);
	ERR_clear_error();
	return e;
}

/* ---- certificates ------------------------------------------------------------------------------------------------- */

typedef bool is_root(void *cookie, X509 *certificate);

/* Reads every certificate of a PEM text; what is not one ends it. */
static kmn_err
read_certificates(const char *pem, size_t len, int most, is_root *root, void *cookie, struct kmn_stamp_roots **out)
{
	struct kmn_stamp_roots *roots = calloc(1, sizeof(*roots));
	BIO *from = BIO_new_mem_buf(pem, (int)len);
	kmn_err e = KMN_E_NO_MEMORY;
	X509 *certificate;
	int count = 0;

	*out = NULL;
	if (roots == NULL || from == NULL || (roots->roots = sk_X509_new_null()) == NULL ||
	    (roots->between = sk_X509_new_null()) == NULL)
		goto done;
	e = KMN_OK;
	while (e == KMN_OK && (certificate = PEM_read_bio_X509(from, NULL, NULL, NULL)) != NULL) {
		if (++count > most)
			e = KMN_E_TOO_BIG;
		else if (sk_X509_push(root(cookie, certificate) ? roots->roots : roots->between, certificate) <= 0)
			e = KMN_E_NO_MEMORY;
		if (e != KMN_OK)
			X509_free(certificate);
	}
	/* The end of the text is an error to the reader, and the only one that is none. */
	if (e == KMN_OK && (count == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE))
		e = KMN_E_MALFORMED;
done:
	ERR_clear_error();
	BIO_free(from);
	if (e == KMN_OK)
		*out = roots;
	else
		kmn_stamp_roots_free(roots);
	return e;
}

static bool
signed_itself(void *cookie, X509 *certificate)
{
	(void)cookie;
	return X509_self_signed(certificate, 1) == 1;
}

kmn_err
kmn_stamp_roots_load(const char *pem, size_t len, struct kmn_stamp_roots **roots_out, struct kmn_why *why)
{
	kmn_err e = KMN_E_TOO_BIG;

	*roots_out = NULL;
	if (len <= KMN_STAMP_ROOTS_MAX_BYTES)
		e = read_certificates(pem, len, KMN_STAMP_ROOTS_MAX, signed_itself, NULL, roots_out);
	if (e == KMN_E_NO_MEMORY)
		return e;
	if (e == KMN_OK && sk_X509_num((*roots_out)->roots) > 0)
		return KMN_OK;
	kmn_why_set(why, "%s",
	    e == KMN_E_TOO_BIG ? "more certificates than there may be"
	    : e == KMN_OK      ? "no certificate that signed itself, so no root"
			       : "not certificates in PEM");
	kmn_stamp_roots_free(*roots_out);
	*roots_out = NULL;
	return KMN_E_CONFIG;
}

static bool
certificate_sha256(X509 *certificate, uint8_t out[KMN_HASH_BYTES])
{
	unsigned len = 0;

	return X509_digest(certificate, EVP_sha256(), out, &len) == 1 && len == KMN_HASH_BYTES;
}

struct pins {
	uint8_t (*pin)[KMN_HASH_BYTES];
	size_t count;
};

static bool
is_pinned(void *cookie, X509 *certificate)
{
	const struct pins *pins = cookie;
	uint8_t hash[KMN_HASH_BYTES];

	if (!certificate_sha256(certificate, hash))
		return false;
	for (size_t n = 0; n < pins->count; n++)
		if (memcmp(pins->pin[n], hash, sizeof(hash)) == 0)
			return true;
	return false;
}

kmn_err
kmn_stamp_roots_pinned(const char *pem, size_t len, uint8_t (*pins)[KMN_HASH_BYTES], size_t count,
    struct kmn_stamp_roots **roots_out, struct kmn_why *why)
{
	struct pins all = {pins, count};
	kmn_err e = KMN_E_MALFORMED;

	*roots_out = NULL;
	if (len <= KMN_STAMP_CHAIN_MAX_BYTES)
		e = read_certificates(pem, len, KMN_STAMP_CHAIN_MAX, is_pinned, &all, roots_out);
	if (e == KMN_E_NO_MEMORY)
		return e;
	if (e == KMN_OK && sk_X509_num((*roots_out)->roots) > 0)
		return KMN_OK;
	kmn_why_set(why, "%s",
	    e == KMN_OK ? "its chain ends at no root that is pinned"
			: "its chain is not one to eight certificates in PEM");
	e = e == KMN_OK ? KMN_E_NOT_FOUND : KMN_E_MALFORMED;
	kmn_stamp_roots_free(*roots_out);
	*roots_out = NULL;
	return e;
}

void
kmn_stamp_roots_free(struct kmn_stamp_roots *roots)
{
	if (roots == NULL)
		return;
	sk_X509_pop_free(roots->roots, X509_free);
	sk_X509_pop_free(roots->between, X509_free);
	free(roots);
}

/* ---- what a token is worth ---------------------------------------------------------------------------------------- */

void
kmn_stamp_clear(struct kmn_stamp *stamp)
{
	free(stamp->chain);
	*stamp = (struct kmn_stamp){0};
}

/* Of a GeneralizedTime, whole seconds and up to three digits after them. */
static bool
read_time(const ASN1_TIME *time, uint64_t *ms_out)
{
	const char *dot = memchr(ASN1_STRING_get0_data(time), '.', (size_t)ASN1_STRING_length(time));
	const char *end = (const char *)ASN1_STRING_get0_data(time) + ASN1_STRING_length(time);
	struct tm tm;
	time_t seconds;
	unsigned part = 100;

	*ms_out = 0;
	if (ASN1_TIME_to_tm(time, &tm) != 1 || (seconds = timegm(&tm)) < 0)
		return false;
	*ms_out = (uint64_t)seconds * 1000;
	for (dot = dot == NULL ? end : dot + 1; dot < end && *dot >= '0' && *dot <= '9'; dot++, part /= 10)
		*ms_out += part * (unsigned)(*dot - '0');
	return *ms_out <= KMN_JSON_INT_MAX;
}

/* One judgement, while it lasts. */
struct judgement {
	const struct kmn_stamp_want *want;
	PKCS7 *token;
	TS_TST_INFO *info;
	X509_STORE *store;
	STACK_OF(X509) * between, *chain;
	struct kmn_stamp *stamp;
	struct kmn_why *why;
};

static kmn_err
worthless(struct judgement *j, const char *text)
{
	kmn_why_set(j->why, "%s", text);
	return KMN_E_SIGNATURE;
}

/* The token is about what was asked: what OpenSSL 3.0's context cannot be told from outside is compared here. */
static kmn_err
check_content(struct judgement *j)
{
	TS_MSG_IMPRINT *said = TS_TST_INFO_get_msg_imprint(j->info);
	const ASN1_OCTET_STRING *hash = TS_MSG_IMPRINT_get_msg(said);
	const ASN1_INTEGER *nonce = TS_TST_INFO_get_nonce(j->info);
	size_t alg = find_alg(j->want->alg);
	uint64_t number = 0;

	if (alg == KMN_COUNT_OF(algs) || OBJ_obj2nid(TS_MSG_IMPRINT_get_algo(said)->algorithm) != algs[alg].nid ||
	    ASN1_STRING_length(hash) != (int)algs[alg].len ||
	    memcmp(ASN1_STRING_get0_data(hash), j->want->imprint, algs[alg].len) != 0)
		return worthless(j, "the token is about other data: its imprint differs");
	if (nonce == NULL || ASN1_INTEGER_get_uint64(&number, nonce) != 1 || number != j->want->nonce)
		return worthless(j, "the token does not have the nonce that was asked for");
	if (OBJ_obj2txt(j->stamp->policy, sizeof(j->stamp->policy), TS_TST_INFO_get_policy_id(j->info), 1) <= 0 ||
	    strlen(j->stamp->policy) >= sizeof(j->stamp->policy) - 1)
		return worthless(j, "the policy of the token cannot be read");
	if (j->want->policy != NULL && j->want->policy[0] != '\0' && strcmp(j->want->policy, j->stamp->policy) != 0)
		return worthless(j, "the token is under another policy");
	if (X509v3_get_ext_by_critical(TS_TST_INFO_get_exts(j->info), 1, -1) >= 0)
		return worthless(j, "the token has a critical extension that nobody here knows");
	if (!read_time(TS_TST_INFO_get_time(j->info), &j->stamp->gen_time))
		return worthless(j, "the time of the token cannot be read");
	return KMN_OK;
}

static kmn_err
make_store(struct judgement *j, const struct kmn_stamp_roots *roots, uint64_t at)
{
	X509_VERIFY_PARAM *param;

	if ((j->store = X509_STORE_new()) == NULL || (j->between = X509_chain_up_ref(roots->between)) == NULL)
		return KMN_E_NO_MEMORY;
	for (int n = 0; n < sk_X509_num(roots->roots); n++)
		if (X509_STORE_add_cert(j->store, sk_X509_value(roots->roots, n)) != 1)
			return KMN_E_NO_MEMORY;
	param = X509_STORE_get0_param(j->store);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
	X509_VERIFY_PARAM_set_time(param, (time_t)((at == 0 ? j->stamp->gen_time : at) / 1000));
	return X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_TIMESTAMP_SIGN) == 1 ? KMN_OK : KMN_E_INTERNAL;
}

/* Signature, version, imprint, signer's name and the certificate's purpose: OpenSSL's. */
static kmn_err
check_signature(struct judgement *j)
{
	TS_VERIFY_CTX *ctx = TS_VERIFY_CTX_new();
	size_t len = algs[find_alg(j->want->alg)].len;
	unsigned char *imprint = OPENSSL_memdup(j->want->imprint, len);
	STACK_OF(X509) *between = X509_chain_up_ref(j->between);
	kmn_err e = KMN_OK;

	if (ctx == NULL || imprint == NULL || between == NULL || X509_STORE_up_ref(j->store) != 1) {
		OPENSSL_free(imprint);
		sk_X509_pop_free(between, X509_free);
		TS_VERIFY_CTX_free(ctx);
		return KMN_E_NO_MEMORY;
	}
	(void)TS_VERIFY_CTX_set_flags(ctx, (int)(TS_VFY_SIGNATURE | TS_VFY_VERSION | TS_VFY_IMPRINT | TS_VFY_SIGNER));
	(void)TS_VERIFY_CTX_set_imprint(ctx, imprint, (long)len);
	(void)TS_VERIFY_CTX_set_store(ctx, j->store);
	(void)TS_VERIFY_CTX_set_certs(ctx, between);
	ERR_clear_error();
	if (TS_RESP_verify_token(ctx, j->token) != 1) {
		say_openssl(j->why, "the token does not verify");
		e = KMN_E_SIGNATURE;
	}
	TS_VERIFY_CTX_free(ctx);
	return e;
}

/* The chain once more, to have it: what was verified is what is recorded. */
static kmn_err
build_chain(struct judgement *j)
{
	STACK_OF(X509) *signers = PKCS7_get0_signers(j->token, j->between, 0);
	STACK_OF(X509) *untrusted = X509_chain_up_ref(j->between);
	STACK_OF(X509) *inside = j->token->d.sign->cert;
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	kmn_err e = KMN_E_NO_MEMORY;

	if (signers == NULL || untrusted == NULL || ctx == NULL || sk_X509_num(signers) != 1)
		goto done;
	for (int n = 0; n < sk_X509_num(inside); n++)
		if (X509_add_cert(untrusted, sk_X509_value(inside, n), X509_ADD_FLAG_UP_REF | X509_ADD_FLAG_NO_DUP) !=
		    1)
			goto done;
	if (X509_STORE_CTX_init(ctx, j->store, sk_X509_value(signers, 0), untrusted) != 1)
		goto done;
	e = KMN_E_SIGNATURE;
	if (X509_verify_cert(ctx) != 1)
		kmn_why_set(j->why, "no chain: %s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	else if ((j->chain = X509_STORE_CTX_get1_chain(ctx)) == NULL)
		e = KMN_E_NO_MEMORY;
	else if (sk_X509_num(j->chain) > KMN_STAMP_CHAIN_MAX)
		(void)worthless(j, "its chain is too long");
	else
		e = KMN_OK;
done:
	X509_STORE_CTX_free(ctx);
	sk_X509_pop_free(untrusted, X509_free);
	sk_X509_free(signers);
	return e;
}

static kmn_err
write_chain(struct judgement *j)
{
	int count = sk_X509_num(j->chain);
	BIO *to = BIO_new(BIO_s_mem());
	char *text;
	long len;
	kmn_err e = KMN_E_NO_MEMORY;

	if (to == NULL || !certificate_sha256(sk_X509_value(j->chain, count - 1), j->stamp->root_sha256))
		goto done;
	j->stamp->not_after = KMN_JSON_INT_MAX;
	for (int n = 0; n < count; n++) {
		X509 *certificate = sk_X509_value(j->chain, n);
		uint64_t end;

		if (PEM_write_bio_X509(to, certificate) != 1)
			goto done;
		/* a time past what can be read is no end at all */
		if (read_time(X509_get0_notAfter(certificate), &end) && end < j->stamp->not_after)
			j->stamp->not_after = end;
	}
	len = BIO_get_mem_data(to, &text);
	if (len <= 0 || len > KMN_STAMP_CHAIN_MAX_BYTES) {
		e = worthless(j, "its chain is too long");
	} else if ((j->stamp->chain = malloc((size_t)len + 1)) != NULL) {
		memcpy(j->stamp->chain, text, (size_t)len);
		j->stamp->chain[len] = '\0';
		j->stamp->chain_len = (size_t)len;
		e = KMN_OK;
	}
done:
	BIO_free(to);
	return e;
}

kmn_err
kmn_stamp_verify(const uint8_t *token, size_t len, const struct kmn_stamp_want *want,
    const struct kmn_stamp_roots *roots, uint64_t at, struct kmn_stamp *stamp_out, struct kmn_why *why)
{
	struct judgement j = {.want = want, .stamp = stamp_out, .why = why};
	const unsigned char *from = token;
	kmn_err e = KMN_E_MALFORMED;

	*stamp_out = (struct kmn_stamp){0};
	ERR_clear_error();
	if (len == 0 || len > KMN_STAMP_TOKEN_MAX_BYTES || (j.token = d2i_PKCS7(NULL, &from, (long)len)) == NULL ||
	    from != token + len || !PKCS7_type_is_signed(j.token) || (j.info = PKCS7_to_TS_TST_INFO(j.token)) == NULL)
		kmn_why_set(why, "not a time-stamp token");
	else if ((e = check_content(&j)) == KMN_OK && (e = make_store(&j, roots, at)) == KMN_OK &&
		 (e = check_signature(&j)) == KMN_OK && (e = build_chain(&j)) == KMN_OK)
		e = write_chain(&j);
	ERR_clear_error();
	if (e != KMN_OK)
		kmn_stamp_clear(stamp_out);
	sk_X509_pop_free(j.chain, X509_free);
	sk_X509_pop_free(j.between, X509_free);
	X509_STORE_free(j.store);
	TS_TST_INFO_free(j.info);
	PKCS7_free(j.token);
	return e;
}
