#include "config.h"

#include "kanmon/note.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DASH "\xe2\x80\x94 " /* em dash and a space begin a signature line */
#define DASH_LEN (sizeof(DASH) - 1)

/* Key names hold no '+' and no white space, of Unicode too: what is left over reads back as it was written. */
bool
kmn_note_name_ok(const char *name, size_t len)
{
	static const char *const spaces[] = {" ", "\xc2\x85", "\xc2\xa0", "\xe1\x9a\x80", "\xe2\x80\x80",
	    "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86",
	    "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9",
	    "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80", "+"};

	if (len == 0 || len > KMN_NOTE_NAME_MAX_BYTES || !kmn_json_text_ok(name, len, false))
		return false;
	for (size_t n = 0; n < KMN_COUNT_OF(spaces); n++)
		if (memmem(name, len, spaces[n], strlen(spaces[n])) != NULL)
			return false;
	return true;
}

void
kmn_note_key_id(const char *name, const uint8_t *key, size_t len, uint8_t id_out[4])
{
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state h;

	(void)crypto_hash_sha256_init(&h);
	(void)crypto_hash_sha256_update(&h, (const uint8_t *)name, strlen(name));
	(void)crypto_hash_sha256_update(&h, (const uint8_t *)"\n", 1);
	(void)crypto_hash_sha256_update(&h, key, len);
	(void)crypto_hash_sha256_final(&h, hash);
	memcpy(id_out, hash, 4);
}

static void
key_id(const char *name, uint8_t type, const uint8_t pub[KMN_ED25519_PUBLIC_BYTES], uint8_t out[4])
{
	uint8_t key[1 + KMN_ED25519_PUBLIC_BYTES];

	key[0] = type;
	memcpy(key + 1, pub, KMN_ED25519_PUBLIC_BYTES);
	kmn_note_key_id(name, key, sizeof(key), out);
}

/* Enrolment refuses what verification would refuse: small-order and non-canonical points. */
static bool
public_ok(const uint8_t pub[KMN_ED25519_PUBLIC_BYTES])
{
	uint8_t unused[crypto_scalarmult_curve25519_BYTES];

	return crypto_sign_ed25519_pk_to_curve25519(unused, pub) == 0;
}

static kmn_err
vkey_make(uint8_t type, const char *name, const uint8_t pub[KMN_ED25519_PUBLIC_BYTES], struct kmn_vkey *out)
{
	struct kmn_vkey vkey = {.type = type}; /* name and pub may be those of *out */
	bool ok = kmn_note_name_ok(name, strlen(name)) && public_ok(pub);

	if (ok) {
		memcpy(vkey.name, name, strlen(name) + 1);
		memcpy(vkey.pub, pub, KMN_ED25519_PUBLIC_BYTES);
		key_id(name, vkey.type, pub, vkey.id);
	}
	memset(out, 0, sizeof(*out));
	if (!ok)
		return KMN_E_MALFORMED;
	*out = vkey;
	return KMN_OK;
}

kmn_err
kmn_vkey_make(const char *name, const uint8_t pub[KMN_ED25519_PUBLIC_BYTES], struct kmn_vkey *out)
{
	return vkey_make(KMN_NOTE_ED25519, name, pub, out);
}

kmn_err
kmn_vkey_make_cosigner(const char *name, const uint8_t pub[KMN_ED25519_PUBLIC_BYTES], struct kmn_vkey *out)
{
	return vkey_make(KMN_NOTE_COSIGNATURE, name, pub, out);
}

/* Lower-case hex, as everything that is compared byte for byte. */
static bool
hex4_parse(const char *text, uint8_t out[4])
{
	static const char digits[] = "0123456789abcdef";

	memset(out, 0, 4);
	for (size_t n = 0; n < 8; n++) {
		const char *digit = memchr(digits, text[n], sizeof(digits) - 1);

		if (digit == NULL)
			return false;
		out[n / 2] = (uint8_t)(out[n / 2] << 4 | (digit - digits));
	}
	return true;
}

kmn_err
kmn_vkey_parse(const char *text, size_t len, struct kmn_vkey *out)
{
	uint8_t key[1 + KMN_ED25519_PUBLIC_BYTES], id[4];
	const char *plus = memchr(text, '+', len);
	size_t name_len, key_len;

	memset(out, 0, sizeof(*out));
	if (plus == NULL)
		return KMN_E_MALFORMED;
	name_len = (size_t)(plus - text);
	if (!kmn_note_name_ok(text, name_len) || len - name_len != 1 + 8 + 1 + KMN_B64_LEN(sizeof(key)) ||
	    plus[9] != '+' || !hex4_parse(plus + 1, id) ||
	    kmn_b64_parse(plus + 10, KMN_B64_LEN(sizeof(key)), key, sizeof(key), &key_len) != KMN_OK ||
	    key_len != sizeof(key) || (key[0] != KMN_NOTE_ED25519 && key[0] != KMN_NOTE_COSIGNATURE) ||
	    !public_ok(key + 1))
		return KMN_E_MALFORMED;
	(void)snprintf(out->name, sizeof(out->name), "%.*s", (int)name_len, text);
	out->type = key[0];
	memcpy(out->pub, key + 1, KMN_ED25519_PUBLIC_BYTES);
	key_id(out->name, out->type, out->pub, out->id);
	if (memcmp(out->id, id, sizeof(id)) != 0) {
		memset(out, 0, sizeof(*out));
		return KMN_E_MALFORMED;
	}
	return KMN_OK;
}

void
kmn_vkey_format(const struct kmn_vkey *vkey, char out[KMN_VKEY_MAX_BYTES])
{
	char b64[KMN_B64_LEN(1 + KMN_ED25519_PUBLIC_BYTES) + 1];
	uint8_t key[1 + KMN_ED25519_PUBLIC_BYTES];

	key[0] = vkey->type;
	memcpy(key + 1, vkey->pub, KMN_ED25519_PUBLIC_BYTES);
	kmn_b64(key, sizeof(key), b64);
	(void)snprintf(out, KMN_VKEY_MAX_BYTES, "%s+%02x%02x%02x%02x+%s", vkey->name, vkey->id[0], vkey->id[1],
	    vkey->id[2], vkey->id[3], b64);
}

/* Notes are UTF-8 without control characters but LF; what else may stand in a text is its own kind's business. */
static bool
note_bytes_ok(const char *bytes, size_t len)
{
	for (size_t n = 0; n < len; n++)
		if (((uint8_t)bytes[n] < 0x20 && bytes[n] != '\n') || bytes[n] == 0x7f)
			return false;
	return kmn_json_text_ok(bytes, len, true);
}

static kmn_err
line_parse(const char *at, size_t len, struct kmn_note_line *line)
{
	uint8_t raw[4 + KMN_NOTE_SIG_MAX_BYTES];
	const char *space;
	size_t raw_len;

	if (len <= DASH_LEN || memcmp(at, DASH, DASH_LEN) != 0)
		return KMN_E_MALFORMED;
	line->name = at + DASH_LEN;
	len -= DASH_LEN;
	if ((space = memchr(line->name, ' ', len)) == NULL)
		return KMN_E_MALFORMED;
	line->name_len = (size_t)(space - line->name);
	line->b64 = space + 1;
	line->b64_len = len - line->name_len - 1;
	if (!kmn_note_name_ok(line->name, line->name_len) ||
	    kmn_b64_parse(line->b64, line->b64_len, raw, sizeof(raw), &raw_len) != KMN_OK || raw_len < 5)
		return KMN_E_MALFORMED;
	memcpy(line->id, raw, 4);
	line->sig_len = (uint16_t)(raw_len - 4);
	return KMN_OK;
}

kmn_err
kmn_note_parse(const char *bytes, size_t len, struct kmn_note *note_out, struct kmn_why *why)
{
	struct kmn_note note = {.text = bytes};
	const char *split = NULL, *at, *end = bytes + len;

	memset(note_out, 0, sizeof(*note_out));
	if (len > KMN_NOTE_MAX_BYTES) {
		kmn_why_set(why, "a note has at most %d bytes", KMN_NOTE_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	if (len < 2 || end[-1] != '\n' || !note_bytes_ok(bytes, len)) {
		kmn_why_set(why, "not UTF-8 lines without control characters");
		return KMN_E_MALFORMED;
	}
	for (at = end - 2; at > bytes && split == NULL; at--) /* the last empty line ends the text */
		if (at[0] == '\n' && at[-1] == '\n')
			split = at;
	if (split == NULL) {
		kmn_why_set(why, "no empty line between text and signatures");
		return KMN_E_MALFORMED;
	}
	note.text_len = (size_t)(split - bytes);
	for (at = split + 1; at < end;) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));

		if (note.count == KMN_NOTE_LINES_MAX ||
		    line_parse(at, (size_t)(lf - at), &note.line[note.count]) != KMN_OK) {
			kmn_why_set(why, "signature line %zu is not one, or is one too many", note.count + 1);
			return KMN_E_MALFORMED;
		}
		note.count++;
		at = lf + 1;
	}
	if (note.count == 0) {
		kmn_why_set(why, "no signature line");
		return KMN_E_MALFORMED;
	}
	*note_out = note;
	return KMN_OK;
}

bool
kmn_note_line_is_by(const struct kmn_note_line *line, const char *name, const uint8_t id[4])
{
	return line->name_len == strlen(name) && memcmp(line->name, name, line->name_len) == 0 &&
	       memcmp(line->id, id, sizeof(line->id)) == 0;
}

/* c2sp.org/tlog-cosignature: what is signed is "cosignature/v1", "time N" and the note's text; free(). */
static char *
cosigned_message(uint64_t seconds, const char *text, size_t text_len, size_t *len_out)
{
	char head[64], *message;
	int head_len = snprintf(head, sizeof(head), "cosignature/v1\ntime %" PRIu64 "\n", seconds);

	*len_out = (size_t)head_len + text_len;
	if ((message = malloc(*len_out)) == NULL)
		return NULL;
	memcpy(message, head, (size_t)head_len);
	memcpy(message + head_len, text, text_len);
	return message;
}

/* u64 seconds, big-endian, at most 2^63 - 1; then Ed25519. */
static bool
cosignature_ok(const struct kmn_note *note, const struct kmn_vkey *vkey, const uint8_t *sig)
{
	uint64_t seconds = 0;
	char *message;
	size_t len;
	bool ok;

	for (size_t n = 0; n < 8; n++)
		seconds = seconds << 8 | sig[n];
	if (seconds > INT64_MAX || (message = cosigned_message(seconds, note->text, note->text_len, &len)) == NULL)
		return false;
	ok = crypto_sign_ed25519_verify_detached(sig + 8, (const uint8_t *)message, len, vkey->pub) == 0;
	free(message);
	return ok;
}

static bool
line_verifies(const struct kmn_note *note, const struct kmn_note_line *line, const struct kmn_vkey *vkey)
{
	uint8_t raw[4 + KMN_NOTE_SIG_MAX_BYTES];
	size_t raw_len;

	if (kmn_b64_parse(line->b64, line->b64_len, raw, sizeof(raw), &raw_len) != KMN_OK)
		return false;
	switch (vkey->type) {
	case KMN_NOTE_ED25519:
		return raw_len == 4 + crypto_sign_ed25519_BYTES &&
		       crypto_sign_ed25519_verify_detached(
			   raw + 4, (const uint8_t *)note->text, note->text_len, vkey->pub) == 0;
	case KMN_NOTE_COSIGNATURE:
		return raw_len == 4 + 8 + crypto_sign_ed25519_BYTES && cosignature_ok(note, vkey, raw + 4);
	default:
		return false;
	}
}

kmn_err
kmn_note_verify(const struct kmn_note *note, const struct kmn_vkey *known, size_t known_count, bool *verified_out,
    size_t *count_out, struct kmn_why *why)
{
	size_t count = 0;

	*count_out = 0;
	memset(verified_out, 0, known_count * sizeof(*verified_out));
	for (size_t n = 0; n < note->count; n++) {
		for (size_t k = 0; k < known_count; k++) {
			if (!kmn_note_line_is_by(&note->line[n], known[k].name, known[k].id))
				continue;
			if (!line_verifies(note, &note->line[n], &known[k])) {
				memset(verified_out, 0, known_count * sizeof(*verified_out));
				kmn_why_set(why, "the signature of %s does not verify", known[k].name);
				return KMN_E_SIGNATURE;
			}
			count += !verified_out[k];
			verified_out[k] = true;
		}
	}
	*count_out = count;
	return KMN_OK;
}

static kmn_err
format_line(const char *name, const uint8_t *raw, size_t len, char **line_out)
{
	size_t room = DASH_LEN + strlen(name) + 1 + KMN_B64_LEN(len) + 2;
	char *line = malloc(room), *at;

	*line_out = line;
	if (line == NULL)
		return KMN_E_NO_MEMORY;
	at = line + snprintf(line, room, DASH "%s ", name);
	kmn_b64(raw, len, at);
	strcat(at, "\n");
	return KMN_OK;
}

static bool
text_ok(const char *text, size_t len)
{
	return len > 0 && text[len - 1] == '\n' && note_bytes_ok(text, len);
}

kmn_err
kmn_note_sign_line(const char *text, size_t len, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], char **line_out)
{
	uint8_t raw[4 + crypto_sign_ed25519_BYTES];

	*line_out = NULL;
	if (!text_ok(text, len) || vkey->type != KMN_NOTE_ED25519)
		return KMN_E_MALFORMED;
	memcpy(raw, vkey->id, 4);
	(void)crypto_sign_ed25519_detached(raw + 4, NULL, (const uint8_t *)text, len, secret);
	return format_line(vkey->name, raw, sizeof(raw), line_out);
}

kmn_err
kmn_note_cosign_line(const char *text, size_t len, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], uint64_t seconds, char **line_out)
{
	uint8_t raw[4 + 8 + crypto_sign_ed25519_BYTES];
	size_t message_len;
	char *message;

	*line_out = NULL;
	if (!text_ok(text, len) || vkey->type != KMN_NOTE_COSIGNATURE || seconds > INT64_MAX)
		return KMN_E_MALFORMED;
	if ((message = cosigned_message(seconds, text, len, &message_len)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(raw, vkey->id, 4);
	for (size_t n = 0; n < 8; n++)
		raw[4 + n] = (uint8_t)(seconds >> (56 - 8 * n));
	(void)crypto_sign_ed25519_detached(raw + 12, NULL, (const uint8_t *)message, message_len, secret);
	free(message);
	return format_line(vkey->name, raw, sizeof(raw), line_out);
}

bool
kmn_note_cosign_time(const struct kmn_note_line *line, uint64_t *seconds_out)
{
	uint8_t raw[4 + KMN_NOTE_SIG_MAX_BYTES];
	size_t len;

	*seconds_out = 0;
	if (kmn_b64_parse(line->b64, line->b64_len, raw, sizeof(raw), &len) != KMN_OK ||
	    len != 4 + 8 + crypto_sign_ed25519_BYTES)
		return false;
	for (size_t n = 0; n < 8; n++)
		*seconds_out = *seconds_out << 8 | raw[4 + n];
	return true;
}

kmn_err
kmn_note_line_make(const char *name, const uint8_t id[4], const uint8_t *sig, size_t sig_len, char **line_out)
{
	uint8_t raw[4 + KMN_NOTE_SIG_MAX_BYTES];

	*line_out = NULL;
	if (!kmn_note_name_ok(name, strlen(name)) || sig_len == 0 || sig_len > KMN_NOTE_SIG_MAX_BYTES)
		return KMN_E_MALFORMED;
	memcpy(raw, id, 4);
	memcpy(raw + 4, sig, sig_len);
	return format_line(name, raw, 4 + sig_len, line_out);
}

/* `before` (len bytes), perhaps an empty line, and a signature line. */
static kmn_err
append_line(const char *before, size_t len, bool empty_line, const char *line, char **note_out, size_t *len_out)
{
	size_t line_len = strlen(line);
	char *note;

	if (len + empty_line + line_len > KMN_NOTE_MAX_BYTES)
		return KMN_E_TOO_BIG;
	if ((note = malloc(len + 1 + line_len + 1)) == NULL)
		return KMN_E_NO_MEMORY;
	memcpy(note, before, len);
	if (empty_line)
		note[len++] = '\n';
	memcpy(note + len, line, line_len + 1);
	*len_out = len + line_len;
	*note_out = note;
	return KMN_OK;
}

kmn_err
kmn_note_add_line(const char *bytes, size_t len, const char *line, char **note_out, size_t *len_out)
{
	struct kmn_note note;

	*note_out = NULL;
	*len_out = 0;
	if (kmn_note_parse(bytes, len, &note, NULL) == KMN_OK)
		return note.count == KMN_NOTE_LINES_MAX ? KMN_E_TOO_BIG
							: append_line(bytes, len, false, line, note_out, len_out);
	return text_ok(bytes, len) ? append_line(bytes, len, true, line, note_out, len_out) : KMN_E_MALFORMED;
}

kmn_err
kmn_note_sign(const char *text, size_t len, const struct kmn_vkey *vkey, const uint8_t secret[KMN_ED25519_SECRET_BYTES],
    char **note_out, size_t *len_out)
{
	char *line = NULL;
	kmn_err e;

	*note_out = NULL;
	*len_out = 0;
	if ((e = kmn_note_sign_line(text, len, vkey, secret, &line)) == KMN_OK)
		e = append_line(text, len, true, line, note_out, len_out);
	free(line);
	return e;
}

kmn_err
kmn_note_countersign(const char *bytes, size_t len, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], char **note_out, size_t *len_out)
{
	struct kmn_note note;
	char *line = NULL;
	kmn_err e;

	*note_out = NULL;
	*len_out = 0;
	if ((e = kmn_note_parse(bytes, len, &note, NULL)) != KMN_OK ||
	    (e = kmn_note_sign_line(bytes, note.text_len, vkey, secret, &line)) != KMN_OK)
		return e;
	e = note.count == KMN_NOTE_LINES_MAX ? KMN_E_TOO_BIG : append_line(bytes, len, false, line, note_out, len_out);
	free(line);
	return e;
}

kmn_err
kmn_checkpoint_text(const char *origin, const struct kmn_head *head, char out[KMN_CHECKPOINT_TEXT_BYTES])
{
	char root[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	out[0] = '\0';
	if (!kmn_note_name_ok(origin, strlen(origin)) || strncmp(origin, "kanmon/", 7) == 0)
		return KMN_E_MALFORMED;
	kmn_b64(head->root, KMN_HASH_BYTES, root);
	(void)snprintf(out, KMN_CHECKPOINT_TEXT_BYTES, "%s\n%" PRIu64 "\n%s\n", origin, head->size, root);
	return KMN_OK;
}

kmn_err
kmn_checkpoint_sign(const char *origin, const struct kmn_head *head, const struct kmn_vkey *vkey,
    const uint8_t secret[KMN_ED25519_SECRET_BYTES], char **note_out, size_t *len_out)
{
	char text[KMN_CHECKPOINT_TEXT_BYTES];
	kmn_err e;

	*note_out = NULL;
	*len_out = 0;
	if ((e = kmn_checkpoint_text(origin, head, text)) != KMN_OK)
		return e;
	return kmn_note_sign(text, strlen(text), vkey, secret, note_out, len_out);
}

/* Reads the three fields, then writes them again: only the one form is a checkpoint. */
kmn_err
kmn_checkpoint_parse(const struct kmn_note *note, const char *origin, struct kmn_head *head_out, struct kmn_why *why)
{
	char text[KMN_NOTE_NAME_MAX_BYTES + 80], again[sizeof(text)], b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1] = "";
	size_t origin_len = strlen(origin), root_len;
	struct kmn_head head = {0};

	memset(head_out, 0, sizeof(*head_out));
	if (note->text_len >= sizeof(text) || note->text_len <= origin_len + 1 ||
	    memcmp(note->text, origin, origin_len) != 0 || note->text[origin_len] != '\n') {
		kmn_why_set(why, "not a checkpoint of %s", origin);
		return KMN_E_MALFORMED;
	}
	memcpy(text, note->text, note->text_len);
	text[note->text_len] = '\0';
	if (sscanf(text + origin_len + 1, "%16" SCNu64 "\n%44[^\n]\n", &head.size, b64) != 2 ||
	    kmn_b64_parse(b64, strlen(b64), head.root, sizeof(head.root), &root_len) != KMN_OK ||
	    root_len != sizeof(head.root) || head.size > KMN_JSON_INT_MAX ||
	    snprintf(again, sizeof(again), "%s\n%" PRIu64 "\n%s\n", origin, head.size, b64) != (int)note->text_len ||
	    memcmp(again, note->text, note->text_len) != 0) {
		kmn_why_set(why, "not the text of a checkpoint: origin, size, root");
		return KMN_E_MALFORMED;
	}
	*head_out = head;
	return KMN_OK;
}
