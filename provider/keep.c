/*
 * Keeping what was accepted, and saying so with a signature of our own.
 *
 * To keep a head takes two fsyncs. A program that asks now and then has each
 * head kept before it sees the answer; one that asks hundreds of times a second
 * has that for the first SAVED_MAX of them, and for one in TOKEN_MS from then
 * on (decision 0029 says what that gives away). At C_Finalize all is kept.
 */
#include "config.h"

#include "provider/receipts_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "provider/debug.h"
#include "provider/wake.h"
#include "provider/wire.h"

#define TOKEN_MS 125u
#define SAVED_MAX 16u
#define STORE_TRIES 8u
#define COSIGN_EVERY_MS 60000u
#define KEY_FILE_MAX_BYTES 512u
#define KEY_PREFIX "PRIVATE+KEY+"

/* ---- keeping ----------------------------------------------------------------------------------------------------- */

/* Whether this thread shall keep the accepted head now. The lock is taken. */
static bool
is_due(struct kmn_book *receipts, bool now)
{
	uint64_t ms = kmn_now_ms();

	if (receipts->heads == NULL || receipts->keeping ||
	    kmn_seen_same(&receipts->accepted.head, &receipts->kept.head))
		return false;
	receipts->tokens_ms += ms - receipts->filled_ms;
	receipts->filled_ms = ms;
	if (receipts->tokens_ms > SAVED_MAX * TOKEN_MS)
		receipts->tokens_ms = SAVED_MAX * TOKEN_MS;
	if (!now && receipts->tokens_ms < TOKEN_MS)
		return false;
	receipts->tokens_ms -= receipts->tokens_ms < TOKEN_MS ? receipts->tokens_ms : TOKEN_MS;
	return true;
}

/* Another process was faster: what it kept must be of the same history, and is what we put ours in the place of. */
static kmn_err
meet(struct kmn_book *receipts, struct kmn_seen *before, struct kmn_seen *next, const struct kmn_wire *wire)
{
	kmn_err e = kmn_heads_load(receipts->heads, receipts->origin, receipts->keys, receipts->key_count, before);

	if (e == KMN_OK && before->head.size > 0)
		e = kmn_receipts_accept(receipts, before, NULL, wire);
	(void)pthread_mutex_lock(&receipts->lock);
	*next = receipts->accepted;
	(void)pthread_mutex_unlock(&receipts->lock);
	return e;
}

static kmn_err
keep(struct kmn_book *receipts, struct kmn_seen *before, struct kmn_seen *next, const struct kmn_wire *wire)
{
	kmn_err e = KMN_E_AGAIN;

	for (unsigned i = 0; e == KMN_E_AGAIN && i < STORE_TRIES; i++) {
		if (kmn_seen_same(&before->head, &next->head))
			return KMN_OK;
		if ((e = kmn_heads_store(receipts->heads, before, next)) != KMN_E_AGAIN)
			break;
		if ((e = meet(receipts, before, next, wire)) == KMN_OK)
			e = KMN_E_AGAIN;
	}
	return e == KMN_E_AGAIN ? KMN_OK : e; /* others keep newer ones all the time */
}

kmn_err
kmn_receipts_keep(struct kmn_book *receipts, const struct kmn_wire *wire, bool now)
{
	struct kmn_seen *before, *next;
	bool mine;
	kmn_err e;

	(void)pthread_mutex_lock(&receipts->lock);
	mine = is_due(receipts, now);
	receipts->keeping = receipts->keeping || mine;
	(void)pthread_mutex_unlock(&receipts->lock);
	if (!mine)
		return KMN_OK;
	before = malloc(2 * sizeof(*before));
	e = before != NULL ? KMN_OK : KMN_E_NO_MEMORY;
	if (e == KMN_OK) {
		next = before + 1;
		(void)pthread_mutex_lock(&receipts->lock);
		*before = receipts->kept;
		*next = receipts->accepted;
		(void)pthread_mutex_unlock(&receipts->lock);
		e = keep(receipts, before, next, wire);
	}
	(void)pthread_mutex_lock(&receipts->lock);
	if (e == KMN_OK)
		receipts->kept = *next;
	receipts->keeping = false;
	(void)pthread_mutex_unlock(&receipts->lock);
	free(before);
	if (e != KMN_OK)
		kmn_debug(KMN_TOPIC_RECEIPT, "the ledger's head cannot be kept: %s", kmn_err_text(e));
	return e;
}

/* ---- the key ----------------------------------------------------------------------------------------------------- */

/* "PRIVATE+KEY+" name "+" id "+" base64(0x04 seed), as note-signing tools write a private key. */
static kmn_err
parse_key(const char *text, struct kmn_cosigner *cosigner)
{
	uint8_t raw[1 + crypto_sign_SEEDBYTES], pub[KMN_ED25519_PUBLIC_BYTES];
	char name[KMN_NOTE_NAME_MAX_BYTES + 1], id[9];
	const char *at = text + strlen(KEY_PREFIX), *plus;
	size_t raw_len = 0;
	kmn_err e = KMN_E_MALFORMED;

	if (strncmp(text, KEY_PREFIX, strlen(KEY_PREFIX)) != 0 || (plus = strchr(at, '+')) == NULL ||
	    (size_t)(plus - at) >= sizeof(name) || strlen(plus) < 10 || plus[9] != '+' ||
	    kmn_b64_parse(plus + 10, strlen(plus + 10), raw, sizeof(raw), &raw_len) != KMN_OK ||
	    raw_len != sizeof(raw) || raw[0] != KMN_NOTE_COSIGNATURE)
		goto done;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(plus - at), at);
	(void)crypto_sign_seed_keypair(pub, cosigner->secret, raw + 1);
	if ((e = kmn_vkey_make_cosigner(name, pub, &cosigner->vkey)) != KMN_OK)
		goto done;
	(void)sodium_bin2hex(id, sizeof(id), cosigner->vkey.id, sizeof(cosigner->vkey.id));
	if (strncmp(plus + 1, id, 8) != 0) /* the name was changed, or the key */
		e = KMN_E_MALFORMED;
done:
	sodium_memzero(raw, sizeof(raw));
	return e;
}

/* The first line of a file that only its owner can read. */
static kmn_err
read_key(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;
	kmn_err e = KMN_E_IO;

	if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		kmn_debug(KMN_TOPIC_CONFIG, "cosign-key: %s: others have access to it", path);
		e = KMN_E_CONFIG;
	} else if (fd >= 0) {
		n = read(fd, text, size - 1);
	}
	if (fd < 0 || (n < 0 && e == KMN_E_IO))
		kmn_debug(KMN_TOPIC_CONFIG, "cosign-key: %s: %s", path, strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	if (n < 0)
		return e;
	text[n] = '\0';
	text[strcspn(text, "\r\n")] = '\0';
	return KMN_OK;
}

kmn_err
kmn_cosigner_load(const char *path, struct kmn_cosigner **cosigner_out)
{
	struct kmn_cosigner *cosigner = calloc(1, sizeof(*cosigner));
	char *text = sodium_malloc(KEY_FILE_MAX_BYTES);
	kmn_err e = KMN_E_NO_MEMORY;

	*cosigner_out = NULL;
	if (cosigner == NULL || text == NULL || (cosigner->secret = sodium_malloc(KMN_ED25519_SECRET_BYTES)) == NULL)
		goto done;
	if ((e = read_key(path, text, KEY_FILE_MAX_BYTES)) != KMN_OK)
		goto done;
	if ((e = parse_key(text, cosigner)) != KMN_OK) {
		kmn_debug(KMN_TOPIC_CONFIG, "cosign-key: %s is not a key of `kanmon client new`", path);
		e = KMN_E_CONFIG;
		goto done;
	}
	(void)sodium_mprotect_noaccess(cosigner->secret);
	*cosigner_out = cosigner;
	cosigner = NULL;
done:
	sodium_free(text);
	kmn_cosigner_free(cosigner);
	return e;
}

void
kmn_receipts_abandon(struct kmn_book *receipts)
{
	if (receipts->cosigner == NULL || sodium_mprotect_readwrite(receipts->cosigner->secret) != 0)
		return;
	sodium_memzero(receipts->cosigner->secret, KMN_ED25519_SECRET_BYTES);
}

void
kmn_cosigner_free(struct kmn_cosigner *cosigner)
{
	if (cosigner == NULL)
		return;
	sodium_free(cosigner->secret);
	free(cosigner);
}

/* ---- the signature ----------------------------------------------------------------------------------------------- */

/* The line over what was kept, without its LF; free(). The lock is taken: one thread at a time has access to the key. */
static char *
cosign(const struct kmn_cosigner *cosigner, const struct kmn_seen *seen)
{
	struct kmn_note note;
	char *line = NULL;

	if (kmn_note_parse(seen->note, seen->note_len, &note, NULL) != KMN_OK)
		return NULL;
	(void)sodium_mprotect_readonly(cosigner->secret);
	if (kmn_note_cosign_line(
		note.text, note.text_len, &cosigner->vkey, cosigner->secret, (uint64_t)time(NULL), &line) == KMN_OK)
		line[strcspn(line, "\n")] = '\0';
	(void)sodium_mprotect_noaccess(cosigner->secret);
	return line;
}

void
kmn_receipts_cosignature(struct kmn_book *receipts, const struct kmn_seen *named, char *line_out, size_t line_size,
    char vkey_out[KMN_VKEY_MAX_BYTES])
{
	char *line = NULL;

	line_out[0] = vkey_out[0] = '\0';
	if (receipts->cosigner == NULL)
		return;
	kmn_vkey_format(&receipts->cosigner->vkey, vkey_out);
	(void)pthread_mutex_lock(&receipts->lock);
	if (named->head.size > 0 && kmn_seen_same(&named->head, &receipts->kept.head))
		line = cosign(receipts->cosigner, named);
	if (line != NULL) {
		(void)snprintf(line_out, line_size, "%s", line);
		receipts->cosigned_ms = kmn_now_ms();
		receipts->cosigned_size = named->head.size;
	}
	(void)pthread_mutex_unlock(&receipts->lock);
	free(line);
}

kmn_err
kmn_receipts_cosign(struct kmn_book *receipts, const struct kmn_wire *wire, bool now)
{
	uint64_t ms, size = 0;
	char *line = NULL;
	kmn_err e;

	if (receipts->cosigner == NULL)
		return KMN_OK;
	(void)pthread_mutex_lock(&receipts->lock);
	ms = kmn_now_ms();
	if (!receipts->cosigning && receipts->kept.head.size > receipts->cosigned_size &&
	    (now || ms - receipts->cosigned_ms >= COSIGN_EVERY_MS))
		line = cosign(receipts->cosigner, &receipts->kept);
	if (line != NULL) {
		size = receipts->kept.head.size;
		receipts->cosigned_ms = ms;
		receipts->cosigned_size = size;
		receipts->cosigning = true;
	}
	(void)pthread_mutex_unlock(&receipts->lock);
	if (line == NULL)
		return KMN_OK;
	e = kmn_wire_cosign(wire, size, line);
	free(line);
	(void)pthread_mutex_lock(&receipts->lock);
	receipts->cosigning = false;
	(void)pthread_mutex_unlock(&receipts->lock);
	/* that the gateway does not want it harms no answer */
	return e == KMN_E_NOT_FOUND || e == KMN_E_LEDGER ? KMN_OK : e;
}
