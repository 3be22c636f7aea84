/* What a witness remembers, and what it says: tlog-witness over one folder. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/kanmon/files.h"
#include "tools/kanmon/terminal.h"
#include "tools/kanmon/witness.h"

#define LOGS_MAX 256u
#define LOGS_MAX_BYTES (1u << 20)
#define SEED_TEXT_MAX_BYTES 128u

struct kmn_cosigner {
	char dir[KMN_PATH_MAX_BYTES];
	struct kmn_vkey key;
	uint8_t *secret; /* guarded */
	struct kmn_vkey log[LOGS_MAX];
	size_t logs;
	int lock;
};

const struct kmn_vkey *
kmn_cosigner_key(const struct kmn_cosigner *cosigner)
{
	return &cosigner->key;
}

size_t
kmn_cosigner_logs(const struct kmn_cosigner *cosigner)
{
	return cosigner->logs;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

/* One key, once. */
static kmn_err
add_log(struct kmn_cosigner *c, const struct kmn_vkey *key)
{
	for (size_t i = 0; i < c->logs; i++)
		if (memcmp(c->log[i].pub, key->pub, sizeof(key->pub)) == 0 && strcmp(c->log[i].name, key->name) == 0)
			return KMN_OK;
	if (c->logs == LOGS_MAX)
		return KMN_E_TOO_BIG;
	c->log[c->logs++] = *key;
	return KMN_OK;
}

static kmn_err
add_vkeys(struct kmn_cosigner *c, const char *text)
{
	struct kmn_vkey key;
	kmn_err e = KMN_OK;

	while (e == KMN_OK && *text != '\0') {
		size_t len = strcspn(text, "\n");

		if (len > 0 && text[0] != '#') {
			e = kmn_vkey_parse(text, len, &key);
			if (e == KMN_OK)
				e = key.type == KMN_NOTE_ED25519 ? add_log(c, &key) : KMN_E_MALFORMED;
		}
		text += len + (text[len] == '\n');
	}
	return e;
}

static kmn_err
add_policy(struct kmn_cosigner *c, const char *text, size_t len)
{
	struct kmn_tlog_policy *policy = malloc(sizeof(*policy));
	kmn_err e = policy == NULL ? KMN_E_NO_MEMORY : kmn_tlog_policy_parse(text, len, 1, policy, NULL);

	for (uint32_t i = 0; e == KMN_OK && i < policy->logs; i++)
		e = add_log(c, &policy->log[i]);
	free(policy);
	return e;
}

static kmn_err
read_logs(struct kmn_cosigner *c, const struct kmn_option_list *files)
{
	kmn_err e = KMN_OK;

	for (size_t i = 0; e == KMN_OK && i < files->n; i++) {
		char *text;
		size_t len;

		if ((e = kmn_file_read_or_say(files->text[i], LOGS_MAX_BYTES, &text, &len)) != KMN_OK)
			return e;
		if (add_vkeys(c, text) != KMN_OK && (e = add_policy(c, text, len)) != KMN_OK)
			kmn_fail("%s: neither lines of logs' vkeys nor a tlog-policy", files->text[i]);
		free(text);
	}
	return e;
}

static kmn_err
read_key(struct kmn_cosigner *c)
{
	uint8_t pub[crypto_sign_PUBLICKEYBYTES], *seed = sodium_malloc(crypto_sign_SEEDBYTES);
	char path[KMN_PATH_MAX_BYTES], *text = NULL, *vkey = NULL;
	size_t len = 0, got = 0;
	struct stat st;
	kmn_err e = KMN_E_NO_MEMORY;

	c->secret = sodium_malloc(crypto_sign_SECRETKEYBYTES);
	if (seed == NULL || c->secret == NULL || (e = kmn_path(path, c->dir, "witness", ".key")) != KMN_OK)
		goto done;
	if (stat(path, &st) == 0 && (st.st_mode & 0077) != 0) {
		kmn_fail("%s is a secret and open to others: chmod 0600", path);
		e = KMN_E_CONFIG;
		goto done;
	}
	if ((e = kmn_file_read_or_say(path, SEED_TEXT_MAX_BYTES, &text, &len)) != KMN_OK)
		goto done;
	if (len == 0 || kmn_b64_parse(text, len - 1, seed, crypto_sign_SEEDBYTES, &got) != KMN_OK ||
	    got != crypto_sign_SEEDBYTES) {
		kmn_fail("%s is not one line with the base64 of 32 bytes", path);
		e = KMN_E_CONFIG;
		goto done;
	}
	(void)crypto_sign_seed_keypair(pub, c->secret, seed);
	(void)sodium_mprotect_readonly(c->secret);
	if ((e = kmn_path(path, c->dir, "witness", ".vkey")) != KMN_OK ||
	    (e = kmn_file_read_or_say(path, KMN_VKEY_MAX_BYTES + 1, &vkey, &len)) != KMN_OK)
		goto done;
	if (len == 0 || kmn_vkey_parse(vkey, len - 1, &c->key) != KMN_OK || c->key.type != KMN_NOTE_COSIGNATURE ||
	    memcmp(c->key.pub, pub, sizeof(pub)) != 0) {
		kmn_fail("%s is not the vkey of the key beside it", path);
		e = KMN_E_CONFIG;
	}
done:
	if (text != NULL)
		sodium_memzero(text, strlen(text));
	free(text);
	free(vkey);
	sodium_free(seed);
	return e;
}

static kmn_err
open_state(struct kmn_cosigner *c)
{
	char path[KMN_PATH_MAX_BYTES];
	kmn_err e;

	if ((e = kmn_path(path, c->dir, "state", NULL)) != KMN_OK || (e = kmn_folder_make(path)) != KMN_OK ||
	    (e = kmn_path(path, c->dir, "lock", NULL)) != KMN_OK)
		return e;
	if ((c->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) >= 0)
		return KMN_OK;
	kmn_fail("%s: %s", path, strerror(errno));
	return KMN_E_IO;
}

kmn_err
kmn_cosigner_open(const char *dir, const struct kmn_option_list *logs, struct kmn_cosigner **cosigner_out)
{
	struct kmn_cosigner *c = calloc(1, sizeof(*c));
	kmn_err e = KMN_E_NO_MEMORY;

	*cosigner_out = NULL;
	if (c == NULL)
		return e;
	c->lock = -1;
	if ((e = kmn_path(c->dir, NULL, dir, NULL)) != KMN_OK || (e = read_key(c)) != KMN_OK ||
	    (e = read_logs(c, logs)) != KMN_OK || (e = open_state(c)) != KMN_OK) {
		kmn_cosigner_free(c);
		return e;
	}
	*cosigner_out = c;
	return KMN_OK;
}

void
kmn_cosigner_free(struct kmn_cosigner *c)
{
	if (c == NULL)
		return;
	if (c->lock >= 0)
		(void)close(c->lock);
	sodium_free(c->secret);
	free(c);
}

/* ---- what was cosigned last ---------------------------------------------------------------------------------------- */

static kmn_err
state_path(const struct kmn_cosigner *c, const char *origin, char out[KMN_PATH_MAX_BYTES])
{
	char folder[KMN_PATH_MAX_BYTES], hex[2 * KMN_HASH_BYTES + 1];
	uint8_t sha256[KMN_HASH_BYTES];
	kmn_err e;

	kmn_sha256(origin, strlen(origin), sha256);
	(void)sodium_bin2hex(hex, sizeof(hex), sha256, sizeof(sha256));
	if ((e = kmn_path(folder, c->dir, "state", NULL)) != KMN_OK)
		return e;
	return kmn_path(out, folder, hex, NULL);
}

/* The note that was cosigned last, by the log's own signature; size 0 where there is none. */
static kmn_err
recall(const struct kmn_cosigner *c, const char *origin, struct kmn_head *head_out)
{
	struct kmn_witness_claim claim;
	struct kmn_witness_ask as_asked = {.old_size = 0};
	struct kmn_why why = {""};
	char path[KMN_PATH_MAX_BYTES], *note = NULL;
	kmn_err e;

	*head_out = (struct kmn_head){.size = 0};
	if ((e = state_path(c, origin, path)) != KMN_OK)
		return e;
	if ((e = kmn_file_read(path, KMN_NOTE_MAX_BYTES, &note, &as_asked.note_len)) != KMN_OK)
		return e == KMN_E_NOT_FOUND ? KMN_OK : e;
	as_asked.note = note;
	if (kmn_witness_look(c->log, c->logs, &as_asked, &claim, &why) != 0 || strcmp(claim.origin, origin) != 0) {
		kmn_fail("%s: %s", path, why.text);
		e = KMN_E_CORRUPT;
	} else {
		*head_out = claim.head;
	}
	free(note);
	return e;
}

/* A name is durable when its folder is. */
static kmn_err
sync_folder(const struct kmn_cosigner *c)
{
	char path[KMN_PATH_MAX_BYTES];
	kmn_err e = kmn_path(path, c->dir, "state", NULL);
	int fd = e == KMN_OK ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	bool done = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return done ? KMN_OK : KMN_E_IO;
}

static kmn_err
remember(const struct kmn_cosigner *c, const char *origin, const struct kmn_witness_ask *ask)
{
	char path[KMN_PATH_MAX_BYTES];
	kmn_err e;

	if ((e = state_path(c, origin, path)) != KMN_OK ||
	    (e = kmn_file_replace(path, ask->note, ask->note_len, 0600)) != KMN_OK)
		return e;
	return sync_folder(c);
}

/* ---- answering ------------------------------------------------------------------------------------------------------ */

static void
say(struct kmn_cosigner_answer *answer, unsigned status, const char *text)
{
	answer->status = status;
	answer->type = "text/plain; charset=utf-8";
	(void)snprintf(answer->body, sizeof(answer->body), "%s\n", text);
}

/* From the old head to the new one; the lock is held. */
static unsigned
advance(struct kmn_cosigner *c, const struct kmn_witness_ask *ask, const struct kmn_witness_claim *claim,
    struct kmn_cosigner_answer *answer)
{
	struct kmn_why why = {""};
	struct kmn_head last;
	unsigned status;
	kmn_err e;

	if ((e = recall(c, claim->origin, &last)) != KMN_OK) {
		say(answer, 500, kmn_err_text(e));
		return 500;
	}
	if ((status = kmn_witness_judge(claim, ask, &last, &why)) != 200) {
		say(answer, status, why.text);
		if (status == 409) {
			answer->type = "text/x.tlog.size";
			(void)snprintf(answer->body, sizeof(answer->body), "%" PRIu64 "\n", last.size);
		}
		return status;
	}
	if ((last.size != claim->head.size || last.size == 0) && (e = remember(c, claim->origin, ask)) != KMN_OK) {
		say(answer, 500, kmn_err_text(e));
		return 500;
	}
	return 200;
}

static void
cosign(struct kmn_cosigner *c, const struct kmn_witness_claim *claim, struct kmn_cosigner_answer *answer)
{
	char *line;
	kmn_err e = kmn_note_cosign_line(
	    claim->note.text, claim->note.text_len, &c->key, c->secret, (uint64_t)time(NULL), &line);

	if (e != KMN_OK) {
		say(answer, 500, kmn_err_text(e));
		return;
	}
	say(answer, 200, "");
	(void)snprintf(answer->body, sizeof(answer->body), "%s", line);
	free(line);
}

void
kmn_cosigner_answer(struct kmn_cosigner *c, const char *body, size_t len, struct kmn_cosigner_answer *answer)
{
	struct kmn_witness_claim claim;
	struct kmn_witness_ask ask;
	struct kmn_why why = {""};
	unsigned status;

	memset(answer, 0, sizeof(*answer));
	if (kmn_witness_ask_parse(body, len, &ask, &why) != KMN_OK) {
		say(answer, 400, why.text);
		return;
	}
	status = kmn_witness_look(c->log, c->logs, &ask, &claim, &why);
	(void)snprintf(answer->origin, sizeof(answer->origin), "%s", claim.origin);
	answer->size = claim.head.size;
	if (status != 0) {
		say(answer, status, why.text);
		return;
	}
	if (flock(c->lock, LOCK_EX) != 0) {
		say(answer, 500, strerror(errno));
		return;
	}
	status = advance(c, &ask, &claim, answer);
	(void)flock(c->lock, LOCK_UN);
	if (status == 200)
		cosign(c, &claim, answer);
}
