/*
 * Evidence: what a person's signature may be made with, and how it is verified (docs/statements.md, Evidence).
 *
 * One table of types, one pure function that verifies one signature. Whatever a person signs here (approvals, vetoes,
 * policies, recoveries) is judged by it: in the gateway, in the custodian's tool, by the auditor. Key files are
 * Ed25519; cards sign by ECDSA or RSA; a security key answers a challenge made of the text (WebAuthn).
 */
#ifndef KANMON_EVIDENCE_H
#define KANMON_EVIDENCE_H

#include "kanmon/note.h"

#define KMN_EVIDENCE_PUB_MAX_BYTES 1100 /* SubjectPublicKeyInfo of RSA with 8,192 bits */
#define KMN_EVIDENCE_ID_MAX_BYTES 32
/* name "+" hex(id) "+" b64(0xff, the type's id, 0x00, key), and NUL. */
#define KMN_EVIDENCE_VKEY_MAX_BYTES \
	(KMN_NOTE_NAME_MAX_BYTES + 10 + KMN_B64_LEN(2 + KMN_EVIDENCE_ID_MAX_BYTES + KMN_EVIDENCE_PUB_MAX_BYTES) + 1)

/*
 *  kind                          id in the key ("": type byte 0x01)  words for people                 algorithm   form of the key */
#define KMN_EVIDENCE_ROWS(ROW) \
	ROW(KMN_EVIDENCE_ED25519, "", "Ed25519 key file", EDDSA, ED25519_RAW, false) \
	ROW(KMN_EVIDENCE_P256, "kanmon/ecdsa-p256-sha256/v1", "card, ECDSA P-256", ECDSA_SHA256, P256, false) \
	ROW(KMN_EVIDENCE_P384, "kanmon/ecdsa-p384-sha384/v1", "card, ECDSA P-384", ECDSA_SHA384, P384, false) \
	ROW(KMN_EVIDENCE_PSS, "kanmon/rsa-pss-sha256/v1", "card, RSA-PSS", RSA_PSS_SHA256, RSA_KEY, false) \
	ROW(KMN_EVIDENCE_PKCS1, "kanmon/rsa-pkcs1-sha256/v1", "card, RSA PKCS#1 v1.5", RSA_PKCS1_SHA256, RSA_KEY, false) \
	ROW(KMN_EVIDENCE_WEBAUTHN_ES256, "kanmon/webauthn-es256/v1", "security key, ES256", ECDSA_SHA256_DER, P256, true) \
	ROW(KMN_EVIDENCE_WEBAUTHN_EDDSA, "kanmon/webauthn-eddsa/v1", "security key, EdDSA", EDDSA, ED25519, true)

#define KMN_EVIDENCE_KIND(kind, id, words, algorithm, form, webauthn) kind,
enum kmn_evidence_kind { KMN_EVIDENCE_ROWS(KMN_EVIDENCE_KIND) KMN_EVIDENCE_KIND_COUNT };
#undef KMN_EVIDENCE_KIND

/* "card, ECDSA P-256"; static. */
const char *kmn_evidence_words(enum kmn_evidence_kind kind);
/* Of a security key: its signature is an assertion, with the origin that it was made for. */
bool kmn_evidence_is_webauthn(enum kmn_evidence_kind kind);

/* A key that signs for a person: a vkey of any of these types. */
struct kmn_evidence_key {
	char name[KMN_NOTE_NAME_MAX_BYTES + 1];
	uint8_t id[4];
	enum kmn_evidence_kind kind;
	size_t pub_len;
	uint8_t pub[KMN_EVIDENCE_PUB_MAX_BYTES]; /* Ed25519: 32 bytes; else the DER SubjectPublicKeyInfo */
	uint8_t spki_sha256[KMN_HASH_BYTES];     /* of the SubjectPublicKeyInfo, the same whatever type wraps the key */
};

/*
 * Reads a vkey, its id checked. Keys that are weak or written in more than one way are none: small-order Ed25519
 * points, points off their curve, RSA under 2,048 bits, DER that is not the one form.
 *
 * Errors: KMN_E_MALFORMED with *why set (may be NULL).
 */
kmn_err kmn_evidence_key_parse(
    const char *vkey, size_t len, struct kmn_evidence_key *key_out, struct kmn_why *why) KMN_MUST_CHECK;
/* The same of its parts: `pub` is what kmn_evidence_key holds of that kind. */
kmn_err kmn_evidence_key_make(const char *name, enum kmn_evidence_kind kind, const uint8_t *pub, size_t pub_len,
    struct kmn_evidence_key *key_out, struct kmn_why *why) KMN_MUST_CHECK;
/*
 * The SubjectPublicKeyInfo of a bare key: x || y of a point on the kind's curve, or 32 bytes of Ed25519. Not checked
 * yet: that is kmn_evidence_key_make()'s. KMN_E_MALFORMED: another length, or an RSA kind.
 */
kmn_err kmn_evidence_spki(enum kmn_evidence_kind kind, const uint8_t *bare, size_t len,
    uint8_t out[KMN_EVIDENCE_PUB_MAX_BYTES], size_t *len_out) KMN_MUST_CHECK;
/* NUL-terminated. */
void kmn_evidence_key_format(const struct kmn_evidence_key *key, char out[KMN_EVIDENCE_VKEY_MAX_BYTES]);
/* SHA-256 of an Ed25519 key's SubjectPublicKeyInfo: by it keys of all types are compared. */
void kmn_evidence_ed25519_spki(const uint8_t pub[KMN_ED25519_PUBLIC_BYTES], uint8_t sha256_out[KMN_HASH_BYTES]);

/* Where security keys answer: what a browser's page, or a tool, says of itself to the authenticator. */
struct kmn_evidence_place {
	const char *name;
	const char *origin; /* as the client data names it: https://approve.example */
	const char *rp_id;  /* approve.example */
	bool independent;   /* who asks there makes the statement again by itself */
};

/* What a signature says beside that it verifies. */
struct kmn_evidence_said {
	bool signed_it;
	bool independent; /* made by a tool that derives the statement again */
	bool has_count;   /* WebAuthn: the authenticator counts its signatures (a count of 0 is none) */
	uint32_t count;
	const char *place; /* WebAuthn: name of the place; else NULL */
};

/*
 * Does `sig` sign `text` by that key? Pure: nothing is asked of the world. `places` are those that the policy names;
 * WebAuthn evidence of any other place is none.
 *
 * Errors: KMN_E_SIGNATURE with *why set (may be NULL): in what it fails.
 */
kmn_err kmn_evidence_verify(const char *text, size_t len, const uint8_t *sig, size_t sig_len,
    const struct kmn_evidence_key *key, const struct kmn_evidence_place *places, size_t place_count,
    struct kmn_evidence_said *said_out, struct kmn_why *why) KMN_MUST_CHECK;

/* base64url of SHA-256("kanmon/webauthn/v1" LF text): the challenge that stands for a text; NUL-terminated. */
#define KMN_EVIDENCE_CHALLENGE_BYTES 44
void kmn_evidence_challenge(const char *text, size_t len, char out[KMN_EVIDENCE_CHALLENGE_BYTES]);
/* u16 length and bytes of each: authenticator data, client data, signature. KMN_E_TOO_BIG: no signature line holds it. */
kmn_err kmn_evidence_assertion(const uint8_t *data, size_t data_len, const uint8_t *client, size_t client_len,
    const uint8_t *sig, size_t sig_len, uint8_t *out, size_t room, size_t *len_out) KMN_MUST_CHECK;

struct kmn_policy;

/*
 * The note of a text (or of the note over it that there is already) with the line of an assertion
 * (kmn_evidence_assertion), by the security key of the policy that it verifies by: browsers do not say whose it is.
 * *note_out: free(). KMN_E_SIGNATURE: it is by none, and *why is what the last of them says.
 */
kmn_err kmn_evidence_assertion_note(const struct kmn_policy *policy, const char *bytes, size_t len,
    const uint8_t *assertion, size_t assertion_len, char **note_out, size_t *len_out, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * The key of a new credential, from the authenticator data of its registration (WebAuthn 6.1, attested credential
 * data). The person was there and verified (UP, UV), the key stays on its device (BE=0, BS=0), and it is one of ES256
 * (COSE -7, -9) or EdDSA (-8, -19). Attestation is not looked at.
 *
 * Errors: KMN_E_MALFORMED with *why set (may be NULL).
 */
kmn_err kmn_evidence_registration(const char *name, const char *rp_id, const uint8_t *data, size_t len,
    struct kmn_evidence_key *key_out, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * Verifies a note by the keys of a policy's custodians and auditors, as kmn_note_verify() does by vkeys: lines of
 * unknown keys are ignored, a line of a known key that does not verify rejects the whole note (KMN_E_SIGNATURE).
 * (*said_out)[n] is about kmn_policy_custodian_at(policy, n); free(). *count_out: keys that signed, perhaps none.
 */
kmn_err kmn_evidence_verify_note(const struct kmn_policy *policy, const struct kmn_note *note,
    struct kmn_evidence_said **said_out, size_t *count_out, struct kmn_why *why) KMN_MUST_CHECK;

#endif
