/* Between the files that turn DER into lines; nobody else needs it. */
#ifndef KANMON_SERVER_QUORUM_CONTENT_H
#define KANMON_SERVER_QUORUM_CONTENT_H

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "kanmon/content.h"
#include "server/quorum/text.h"

#define CONTENT_VALUE_MAX_BYTES 1024
#define CONTENT_LINES_MAX_BYTES 12288 /* of all lines: a statement is read by people and fits a record */
#define CONTENT_REVOKED_SHOWN 32

enum content_text {
	CONTENT_ISSUER,
	CONTENT_SUBJECT,
	CONTENT_RESPONDER,
	CONTENT_TST_POLICY,
	CONTENT_TYPE,
	CONTENT_TEXTS
};

struct kmn_content {
	struct kmn_content_facts facts;
	char *text[CONTENT_TEXTS]; /* what the facts of these names point to; NULL: none */
	char *lines;
};

/* What a decoder is given. */
struct content_source {
	const uint8_t *der; /* what is signed */
	size_t len;
	const uint8_t *wrapped; /* the same with an empty signature: what OpenSSL parses */
	size_t wrapped_len;
	const uint8_t *econtent; /* NULL: not known */
	size_t econtent_len;
};

/* The decoders of content.c's table: KMN_E_MALFORMED where it is something else. */
kmn_err content_certificate(const struct content_source *src, struct kmn_content *c, struct text *lines);
kmn_err content_crl(const struct content_source *src, struct kmn_content *c, struct text *lines);
kmn_err content_csr(const struct content_source *src, struct kmn_content *c, struct text *lines);
kmn_err content_ocsp_response(const struct content_source *src, struct kmn_content *c, struct text *lines);
kmn_err content_time_stamp(const struct content_source *src, struct kmn_content *c, struct text *lines);
kmn_err content_signed_attributes(const struct content_source *src, struct kmn_content *c, struct text *lines);

/* OID in dotted form. */
void content_oid(struct text *t, const ASN1_OBJECT *object);
/* "CN=Root,O=Example" in the order of RFC 4514, last part first. */
void content_name(struct text *t, const X509_NAME *name);
/* "0a1b", "-01": two's complement is not shown. */
void content_integer(struct text *t, const ASN1_INTEGER *integer);

/* One "input FIELD VALUE" line; an empty value is "none", one that is too long for people to read ends it all. */
void content_line(struct text *lines, const char *field, struct text *value);

/* The same with the value kept in c->text[]. */
void content_line_kept(struct text *lines, const char *field, struct text *value, char **keep);
void content_name_line(struct text *lines, struct text *v, const char *field, const X509_NAME *name, char **keep);
/* Times of RFC 5280 and no other; ms since the epoch. */
int64_t content_time(struct text *t, const ASN1_TIME *time);
int64_t content_time_line(struct text *lines, struct text *v, const char *field, const ASN1_TIME *time);
/* "sha256WithRSAEncryption"; parameters that are not NULL follow in hex. */
void content_algorithm(struct text *t, const X509_ALGOR *algorithm);
/* Lines key-algorithm and key-spki-sha256. */
void content_key(struct text *lines, struct text *v, X509_PUBKEY *pubkey, struct kmn_content_facts *facts);
void content_der_hex(struct text *t, const ASN1_TYPE *value);
/* "DNS:a.example", "name:CN=.." */
void content_general_name(struct text *t, GENERAL_NAME *name);
/* "superseded"; of a number that has no name, the number. */
void content_reason(struct text *t, int64_t reason);
/* Extensions in their order; one that stands twice makes the whole thing unreadable (RFC 5280 4.2). */
void content_extensions(
    struct text *lines, const STACK_OF(X509_EXTENSION) * extensions, struct kmn_content_facts *facts);

/* One TLV of DER: the whole of it and its content. False where there is none of definite length. */
struct content_tlv {
	const uint8_t *whole, *inner;
	size_t whole_len, inner_len;
	int tag, class;
};
bool content_take(const uint8_t **at, const uint8_t *end, struct content_tlv *out);
/* What is signed, with an empty signature: what OpenSSL parses. free(); NULL: out of memory. */
uint8_t *content_wrap(const uint8_t *der, size_t len, size_t *wrapped_len);
/* TBSCertList.signature; X509_ALGOR_free(). */
X509_ALGOR *content_crl_algorithm(const uint8_t *der, size_t len);
/* Nothing may be in the bytes that is not in what was read. */
bool content_is_same(int again_len, uint8_t *const *again, const uint8_t *der, size_t len);

/* The lines of TSTInfo. */
kmn_err content_tst_info(const uint8_t *der, size_t len, struct kmn_content *c, struct text *lines);

/* The lines of an extension: in words what is known and re-encodes to the same bytes, else as OID and hex. */
void content_extension(struct text *lines, X509_EXTENSION *extension, struct kmn_content_facts *facts);

#endif
