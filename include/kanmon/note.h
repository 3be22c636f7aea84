/*
 * C2SP signed notes: a text, an empty line, signature lines. Everything that
 * anybody signs here is one: checkpoints, approvals, policies.
 *
 * Ed25519 is libsodium's alone: it refuses weak keys and non-canonical
 * signatures that other libraries accept, and two verifiers must never differ.
 */
#ifndef KANMON_NOTE_H
#define KANMON_NOTE_H

#include "kanmon/json.h"
#include "kanmon/tree.h"

#define KMN_NOTE_MAX_BYTES 65536
#define KMN_NOTE_IN_RECORD_MAX_BYTES 24576
#define KMN_NOTE_LINES_MAX 32
#define KMN_NOTE_NAME_MAX_BYTES 255
#define KMN_NOTE_SIG_MAX_BYTES 4096
#define KMN_NOTE_ED25519 0x01
#define KMN_NOTE_COSIGNATURE 0x04
#define KMN_ED25519_PUBLIC_BYTES 32
#define KMN_ED25519_SECRET_BYTES 64 /* libsodium's form: seed || public */
#define KMN_VKEY_MAX_BYTES (KMN_NOTE_NAME_MAX_BYTES + 1 + 8 + 1 + KMN_B64_LEN(1 + KMN_ED25519_PUBLIC_BYTES) + 1)

/* A verifier key: name "+" hex(key id) "+" b64(type || public key). Types 0x01 and 0x04 are known. */
struct kmn_vkey {
	char name[KMN_NOTE_NAME_MAX_BYTES + 1];
	uint8_t id[4];
	uint8_t type;
	uint8_t pub[KMN_ED25519_PUBLIC_BYTES];
};

/* KMN_E_MALFORMED if the name cannot be one (empty, space, '+') or the key is a weak one. */
kmn_err kmn_vkey_make(
    const char *name, const uint8_t pub[KMN_ED25519_PUBLIC_BYTES], struct kmn_vkey *out) KMN_MUST_CHECK;
/* The same of a cosigner's key (c2sp.org/tlog-cosignature, type 0x04). */
kmn_err kmn_vkey_make_cosigner(
    const char *name, const uint8_t pub[KMN_ED25519_PUBLIC_BYTES], struct kmn_vkey *out) KMN_MUST_CHECK;
/* Checks the key id too. */
kmn_err kmn_vkey_parse(const char *text, size_t len, struct kmn_vkey *out) KMN_MUST_CHECK;
/* NUL-terminated. */
void kmn_vkey_format(const struct kmn_vkey *vkey, char out[KMN_VKEY_MAX_BYTES]);

struct kmn_note_line {
	const char *name; /* view into the note, name_len bytes, no NUL */
	size_t name_len;
	uint8_t id[4];
	uint16_t sig_len;
	const char *b64; /* view: base64 of id || signature */
	size_t b64_len;
};

/* Views into the bytes that were parsed; valid as long as they are. */
struct kmn_note {
	const char *text; /* what is signed, its last LF included */
	size_t text_len;
	size_t count;
	struct kmn_note_line line[KMN_NOTE_LINES_MAX];
};

/* Views into `bytes`. KMN_E_MALFORMED, KMN_E_TOO_BIG with *why; no signature is looked at. */
kmn_err kmn_note_parse(const char *bytes, size_t len, struct kmn_note *note_out, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * Verifies a note by the keys that are known. Lines of unknown keys are
 * ignored; a line of a known key that does not verify rejects the whole note
 * (KMN_E_SIGNATURE). verified_out[k] says whether known[k] signed; *count_out
 * how many did, which may be none: what is enough is the caller's question.
 */
kmn_err kmn_note_verify(const struct kmn_note *note, const struct kmn_vkey *known, size_t known_count,
    bool *verified_out, size_t *count_out, struct kmn_why *why) KMN_MUST_CHECK;

/* Can this be the name of a key: no '+', no white space, what a string of a record may hold? */
bool kmn_note_name_ok(const char *name, size_t len);
/* SHA-256(name LF key)[0..3]; `key` begins with its type: 0x01, or 0xff and what c2sp.org/signed-note puts behind it. */
void kmn_note_key_id(const char *name, const uint8_t *key, size_t len, uint8_t id_out[4]);
/* Does the line name the key by name and id? */
bool kmn_note_line_is_by(const struct kmn_note_line *line, const char *name, const uint8_t id[4]);
/* The line of a signature that was made elsewhere (a card, an authenticator); the caller's to free(). */
kmn_err kmn_note_line_make(
    const char *name, const uint8_t id[4], const uint8_t *sig, size_t sig_len, char **line_out) KMN_MUST_CHECK;
/* A text (or the note over it that there is already) with that line at its end; the caller's to free(). */
kmn_err kmn_note_add_line(
    const char *bytes, size_t len, const char *line, char **note_out, size_t *len_out) KMN_MUST_CHECK;

/* One signature line "— name b64\n" over `text` (which ends with LF); the caller's to free(). */
kmn_err kmn_note_sign_line(const char *text, size_t len, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], char **line_out) KMN_MUST_CHECK;
/*
 * A cosignature's line (c2sp.org/tlog-cosignature v1, Ed25519) over the text of a checkpoint: that at `seconds` since the
 * epoch it was the largest consistent head the cosigner had seen of that log. `vkey` has type 0x04. The caller's to free().
 */
kmn_err kmn_note_cosign_line(const char *text, size_t len, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], uint64_t seconds, char **line_out) KMN_MUST_CHECK;
/* The time that a cosignature's line states, in seconds since the epoch; false: its length is not that of one. */
bool kmn_note_cosign_time(const struct kmn_note_line *line, uint64_t *seconds_out) KMN_MUST_CHECK;
/* A whole note: text, empty line, one signature line. The caller's to free(). */
kmn_err kmn_note_sign(const char *text, size_t len, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], char **note_out, size_t *len_out) KMN_MUST_CHECK;
/* Signs the text of an existing note and puts the line at its end. */
kmn_err kmn_note_countersign(const char *bytes, size_t len, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], char **note_out, size_t *len_out) KMN_MUST_CHECK;

/* Checkpoints: text = origin LF size LF b64(root) LF, nothing else. */
kmn_err kmn_checkpoint_sign(const char *origin, const struct kmn_head *head, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], char **note_out, size_t *len_out) KMN_MUST_CHECK;
/* The text of a checkpoint, as it is signed. KMN_E_MALFORMED if the origin cannot be one. */
#define KMN_CHECKPOINT_TEXT_BYTES (KMN_NOTE_NAME_MAX_BYTES + 80)
kmn_err kmn_checkpoint_text(
    const char *origin, const struct kmn_head *head, char out[KMN_CHECKPOINT_TEXT_BYTES]) KMN_MUST_CHECK;
/* Reads the text of a checkpoint note; the origin must be the one given. */
kmn_err kmn_checkpoint_parse(
    const struct kmn_note *note, const char *origin, struct kmn_head *head_out, struct kmn_why *why) KMN_MUST_CHECK;

#endif
