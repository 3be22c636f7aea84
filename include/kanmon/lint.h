/*
 * What is allowed in a certificate, CRL, request or OCSP response, and hardly
 * meant. Warnings for the people who decide: made by their own tool from the
 * bytes to be signed, never part of what is signed, and no reason for a policy.
 */
#ifndef KANMON_LINT_H
#define KANMON_LINT_H

#include "kanmon/content.h"

/* clang-format off */
/*  id                       name                      what it says, in English; in Japanese */
#define KMN_LINT_ROWS(ROW) \
ROW(CA_KEY_USAGE,            "ca-key-usage",           "a CA's certificate whose keyUsage does not have keyCertSign", \
    "CA証明書だが、keyUsage に keyCertSign がない") \
ROW(KEY_USAGE_CA,            "key-usage-ca",           "keyCertSign, and it is no CA's certificate", \
    "CA証明書ではないのに、keyUsage に keyCertSign がある") \
ROW(CA_NOT_CRITICAL,         "ca-not-critical",        "a CA's basicConstraints is not critical: old software may pass over it", \
    "CAの basicConstraints が critical でない: 古いソフトウェアは無視することがある") \
ROW(PATHLEN_NO_CA,           "pathlen-no-ca",          "a path length, and it is no CA's certificate", \
    "CA証明書ではないのに、パス長の制限がある") \
ROW(PATHLEN_NONE,            "pathlen-none",           "a subordinate CA without path length: it may make CAs below it without end", \
    "下位CAにパス長の制限がない: その下に何段でもCAを作れる") \
ROW(PATHLEN_ISSUER,          "pathlen-issuer",         "the path length is not below the issuer's: what it issues will not verify", \
    "パス長が発行者のものより小さくない: 発行する証明書は検証に失敗する") \
ROW(ISSUER_NO_CA,            "issuer-no-ca",           "the issuer's certificate is no CA's", \
    "発行者の証明書がCA証明書ではない") \
ROW(ISSUER_NAME,             "issuer-name",            "the issuer's name is not that in the issuer's certificate", \
    "発行者名が、発行者の証明書にある名前と異なる") \
ROW(ISSUER_KEY_ID,           "issuer-key-id",          "the authorityKeyIdentifier is not that of the issuer's certificate", \
    "authorityKeyIdentifier が、発行者の証明書のものと異なる") \
ROW(OUTLIVES_ISSUER,         "outlives-issuer",        "it is valid longer than the issuer's certificate", \
    "有効期間の終わりが、発行者の証明書より後である") \
ROW(BEFORE_ISSUER,           "before-issuer",          "it is valid before the issuer's certificate is", \
    "有効期間の始まりが、発行者の証明書より前である") \
ROW(NEVER_VALID,             "never-valid",            "it ends before it begins", \
    "有効期間の終わりが始まりより前である") \
ROW(EXPIRED,                 "expired",                "it has ended already", \
    "有効期間がすでに終わっている") \
ROW(WEAK_RSA,                "weak-rsa",               "an RSA key of less than 2,048 bits", \
    "RSA鍵が2,048ビット未満である") \
ROW(SMALL_EXPONENT,          "small-exponent",         "an RSA key with a public exponent below 65,537, or an even one", \
    "RSA鍵の公開指数が65,537未満か、偶数である") \
ROW(WEAK_CURVE,              "weak-curve",             "an elliptic curve of less than 256 bits", \
    "楕円曲線が256ビット未満である") \
ROW(WEAK_HASH,               "weak-hash",              "it is signed with MD5 or SHA-1", \
    "MD5 または SHA-1 で署名される") \
ROW(NO_KEY_ID,               "no-key-id",              "a CA's certificate without subjectKeyIdentifier", \
    "CA証明書に subjectKeyIdentifier がない") \
ROW(NO_ISSUER_KEY_ID,        "no-issuer-key-id",       "no authorityKeyIdentifier, and it is not self-issued", \
    "自己発行ではないのに、authorityKeyIdentifier がない") \
ROW(SERIAL_SHORT,            "serial-short",           "a serial number of less than 64 bits: too short to be random", \
    "シリアル番号が64ビット未満: 乱数としては短すぎる") \
ROW(SERIAL_LONG,             "serial-long",            "a serial number of more than 20 bytes", \
    "シリアル番号が20バイトを超えている") \
ROW(SERIAL_SIGN,             "serial-sign",            "a serial number that is not positive", \
    "シリアル番号が正の数でない") \
ROW(TLS_VALIDITY,            "tls-validity",           "a TLS server's certificate for more than 398 days", \
    "TLSサーバー証明書の有効期間が398日を超えている") \
ROW(TLS_NO_NAME,             "tls-no-name",            "a TLS server's certificate without subjectAltName", \
    "TLSサーバー証明書に subjectAltName がない") \
ROW(UNKNOWN_CRITICAL,        "unknown-critical",       "a critical extension that common software does not know, and will refuse", \
    "一般のソフトウェアが知らずに拒否する critical 拡張がある") \
ROW(EMPTY_SUBJECT,           "empty-subject",          "an empty subject, without a critical subjectAltName or of a CA", \
    "主体者名が空で、critical な subjectAltName がないか、CAのものである") \
ROW(OLD_VERSION,             "old-version",            "not version 3", \
    "バージョン3ではない") \
ROW(NO_NEXT_UPDATE,          "no-next-update",         "no next update: it is good for ever", \
    "次回更新日時がない: 無期限に有効になる") \
ROW(FAR_NEXT_UPDATE,         "far-next-update",        "the next update is more than a year away (OCSP: 10 days)", \
    "次回更新日時が1年より先である(OCSPでは10日)") \
ROW(NO_CRL_NUMBER,           "no-crl-number",          "a CRL without cRLNumber", \
    "CRLに cRLNumber がない") \
ROW(LATE_UPDATE,             "late-update",            "the next update is past already", \
    "次回更新日時がすでに過ぎている")
/* clang-format on */

#define KMN_LINT_ENUM(id, name, en, ja) KMN_LINT_##id,
enum kmn_lint { KMN_LINT_ROWS(KMN_LINT_ENUM) KMN_LINT_COUNT };
#undef KMN_LINT_ENUM

/* DER of the issuer's certificate where it is known, else NULL: then nothing is said about the issuer. */
struct kmn_lint_input {
	const struct kmn_material *material;
	const uint8_t *issuer;
	size_t issuer_len;
	int64_t now; /* ms since the epoch; 0: not asked what is past */
};

/* The same warning in Japanese; static. */
const char *kmn_lint_japanese(enum kmn_lint lint);

/* `text` is English. */
typedef void (*kmn_lint_fn)(void *cookie, enum kmn_lint lint, const char *name, const char *text);

/*
 * Calls fn for each warning, in the order of the table; returns how many. What decodes to nothing has none.
 * An issuer that is no certificate is taken as not known.
 */
size_t kmn_lint(const struct kmn_lint_input *input, kmn_lint_fn fn, void *cookie);

#endif
