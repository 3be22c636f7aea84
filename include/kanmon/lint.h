/*
 * What is allowed in a certificate, CRL, request or OCSP response, and hardly
 * meant. Warnings for the people who decide: made by their own tool from the
 * bytes to be signed, never part of what is signed, and no reason for a policy.
 */
#ifndef KANMON_LINT_H
#define KANMON_LINT_H

#include "kanmon/content.h"

/* clang-format off */
/*  id                       name                      what it says */
#define KMN_LINT_ROWS(ROW) \
ROW(CA_KEY_USAGE,            "ca-key-usage",           "a CA's certificate whose keyUsage does not have keyCertSign") \
ROW(KEY_USAGE_CA,            "key-usage-ca",           "keyCertSign, and it is no CA's certificate") \
ROW(CA_NOT_CRITICAL,         "ca-not-critical",        "a CA's basicConstraints is not critical: old software may pass over it") \
ROW(PATHLEN_NO_CA,           "pathlen-no-ca",          "a path length, and it is no CA's certificate") \
ROW(PATHLEN_NONE,            "pathlen-none",           "a subordinate CA without path length: it may make CAs below it without end") \
ROW(PATHLEN_ISSUER,          "pathlen-issuer",         "the path length is not below the issuer's: what it issues will not verify") \
ROW(ISSUER_NO_CA,            "issuer-no-ca",           "the issuer's certificate is no CA's") \
ROW(ISSUER_NAME,             "issuer-name",            "the issuer's name is not that in the issuer's certificate") \
ROW(ISSUER_KEY_ID,           "issuer-key-id",          "the authorityKeyIdentifier is not that of the issuer's certificate") \
ROW(OUTLIVES_ISSUER,         "outlives-issuer",        "it is valid longer than the issuer's certificate") \
ROW(BEFORE_ISSUER,           "before-issuer",          "it is valid before the issuer's certificate is") \
ROW(NEVER_VALID,             "never-valid",            "it ends before it begins") \
ROW(EXPIRED,                 "expired",                "it has ended already") \
ROW(WEAK_RSA,                "weak-rsa",               "an RSA key of less than 2,048 bits") \
ROW(SMALL_EXPONENT,          "small-exponent",         "an RSA key with a public exponent below 65,537, or an even one") \
ROW(WEAK_CURVE,              "weak-curve",             "an elliptic curve of less than 256 bits") \
ROW(WEAK_HASH,               "weak-hash",              "it is signed with MD5 or SHA-1") \
ROW(NO_KEY_ID,               "no-key-id",              "a CA's certificate without subjectKeyIdentifier") \
ROW(NO_ISSUER_KEY_ID,        "no-issuer-key-id",       "no authorityKeyIdentifier, and it is not self-issued") \
ROW(SERIAL_SHORT,            "serial-short",           "a serial number of less than 64 bits: too short to be random") \
ROW(SERIAL_LONG,             "serial-long",            "a serial number of more than 20 bytes") \
ROW(SERIAL_SIGN,             "serial-sign",            "a serial number that is not positive") \
ROW(TLS_VALIDITY,            "tls-validity",           "a TLS server's certificate for more than 398 days") \
ROW(TLS_NO_NAME,             "tls-no-name",            "a TLS server's certificate without subjectAltName") \
ROW(UNKNOWN_CRITICAL,        "unknown-critical",       "a critical extension that common software does not know, and will refuse") \
ROW(EMPTY_SUBJECT,           "empty-subject",          "an empty subject, without a critical subjectAltName or of a CA") \
ROW(OLD_VERSION,             "old-version",            "not version 3") \
ROW(NO_NEXT_UPDATE,          "no-next-update",         "no next update: it is good for ever") \
ROW(FAR_NEXT_UPDATE,         "far-next-update",        "the next update is more than a year away (OCSP: 10 days)") \
ROW(NO_CRL_NUMBER,           "no-crl-number",          "a CRL without cRLNumber") \
ROW(LATE_UPDATE,             "late-update",            "the next update is past already")
/* clang-format on */

#define KMN_LINT_ENUM(id, name, text) KMN_LINT_##id,
enum kmn_lint { KMN_LINT_ROWS(KMN_LINT_ENUM) KMN_LINT_COUNT };
#undef KMN_LINT_ENUM

/* DER of the issuer's certificate where it is known, else NULL: then nothing is said about the issuer. */
struct kmn_lint_input {
	const struct kmn_material *material;
	const uint8_t *issuer;
	size_t issuer_len;
	int64_t now; /* ms since the epoch; 0: not asked what is past */
};

typedef void (*kmn_lint_fn)(void *cookie, enum kmn_lint lint, const char *name, const char *text);

/*
 * Calls fn for each warning, in the order of the table; returns how many. What decodes to nothing has none.
 * An issuer that is no certificate is taken as not known.
 */
size_t kmn_lint(const struct kmn_lint_input *input, kmn_lint_fn fn, void *cookie);

#endif
