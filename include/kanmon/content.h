/*
 * What the bytes to be signed say, in words (docs/statements.md).
 *
 * Decoded with OpenSSL, written by us: the lines are part of the published
 * specification, the same on every machine, and hold no character that could
 * deceive a reader.
 */
#ifndef KANMON_CONTENT_H
#define KANMON_CONTENT_H

#include "kanmon/err.h"

#define KMN_CONTENT_MAX_BYTES (1u << 20)

enum kmn_content_kind {
	KMN_CONTENT_TBS_CERTIFICATE, /* X.509 TBSCertificate */
	KMN_CONTENT_TBS_CRL,         /* X.509 TBSCertList */
	KMN_CONTENT_CSR,             /* PKCS#10 CertificationRequestInfo */
	KMN_CONTENT_OCSP_RESPONSE,   /* OCSP ResponseData */
	KMN_CONTENT_TST_INFO,        /* CMS signed attributes over an RFC 3161 TSTInfo that is known */
	KMN_CONTENT_CMS_SIGNED_ATTRIBUTES,
	KMN_CONTENT_COUNT,
};

struct kmn_content;

/*
 * What a key is asked to sign, as far as its bytes are known. CMS signs attributes that hold the hash of the content
 * proper: `econtent` is that, where the CA side gave it. Borrowed; NULL: not known.
 */
struct kmn_material {
	const uint8_t *data;
	size_t len;
	const uint8_t *econtent;
	size_t econtent_len;
};

/* What rules put bounds on. Times are ms since the epoch, -1 where there is none. */
struct kmn_content_facts {
	enum kmn_content_kind kind;
	const char *issuer;       /* RFC 4514 order reversed to reading order, "C=JP,O=..": as in the lines */
	const char *subject;      /* "" for a CRL */
	const char *responder;    /* of an OCSP response: a name, or "key:" and hex */
	const char *tst_policy;   /* OID of a time stamp's policy */
	const char *content_type; /* of CMS: "data", "tst-info", or an OID */
	int64_t not_before, not_after;
	int64_t this_update, next_update; /* OCSP: the latest of all, -1 where one has none */
	int64_t gen_time;                 /* of a time stamp */
	bool has_econtent;                /* what the CMS attributes are over is known, and is it */
	bool has_key;                     /* a subject's key is in it: */
	uint8_t key_spki_sha256[32];
	bool ca;
	int pathlen; /* -1: none */
};

/*
 * Decode DER that must be used up whole. An econtent that is not what the attributes are over makes it none.
 * Errors: KMN_E_MALFORMED when it is none of the kinds; KMN_E_TOO_BIG.
 */
kmn_err kmn_content_decode(const struct kmn_material *material, struct kmn_content **content_out) KMN_MUST_CHECK;
void kmn_content_free(struct kmn_content *content);

/* Lives as long as the content, as do the lines. */
const struct kmn_content_facts *kmn_content_facts(const struct kmn_content *content);

/* "input <field> <value>" lines, each with its LF, in the order of the specification. */
const char *kmn_content_lines(const struct kmn_content *content);

/* As in policies ("tbs-certificate") and as in statements ("x509-tbscertificate"). */
const char *kmn_content_kind_name(enum kmn_content_kind kind);
const char *kmn_content_input_kind(enum kmn_content_kind kind);

/* The TBSCertificate of a certificate, the CertificationRequestInfo of a CSR; PEM or DER in, DER out (free()). */
kmn_err kmn_content_tbs_of(
    const uint8_t *certificate, size_t len, uint8_t **der_out, size_t *der_len_out) KMN_MUST_CHECK;
kmn_err kmn_content_info_of(const uint8_t *csr, size_t len, uint8_t **der_out, size_t *der_len_out) KMN_MUST_CHECK;

/*
 * One value of a statement: text as it is, but control, bidirectional and zero-width characters, backslash, bytes
 * that are no UTF-8 and a space at either end become \u{..} or \x{..}. Empty becomes "none". malloc()ed, at most
 * 1,024 bytes: longer ends with "... sha256 <b64 of the whole>". NULL: out of memory.
 */
char *kmn_content_escape(const char *bytes, size_t len);

#endif
