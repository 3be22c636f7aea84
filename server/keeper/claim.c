/*
 * Heads that clients hold. A client names the newest one that it accepted, and
 * cosigns those that it accepts later: each of them is a witness, and what it
 * says of this ledger is recorded here (docs/receipts.md).
 */
#include "config.h"

#include "server/keeper/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/note.h"
#include "kanmon/say.h"
#include "kanmon/succession.h"

#define COSIGN_EVERY_MS 60000

void
kmn_claim_read_head(struct kmn_claim *claim, struct kmn_reader *r)
{
	const uint8_t *note;

	claim->note_len = kmn_reader_bytes(r, KMN_FRAME_HEAD_MAX_BYTES, &note);
	claim->note = (const char *)note;
}

/* Whether `line` is this key's signature line over `text`. */
static bool
is_cosigned(const char *text, size_t text_len, const char *line, const struct kmn_vkey *vkey)
{
	size_t line_len = strlen(line), len = text_len + 1 + line_len + 1, count;
	struct kmn_note *note = malloc(sizeof(*note));
	char *bytes = malloc(len);
	bool verified, ok = false;

	if (bytes != NULL && note != NULL) {
		memcpy(bytes, text, text_len);
		bytes[text_len] = '\n';
		memcpy(bytes + text_len + 1, line, line_len);
		bytes[len - 1] = '\n';
		ok = kmn_note_parse(bytes, len, note, NULL) == KMN_OK && note->text_len == text_len &&
		     kmn_note_verify(note, vkey, 1, &verified, &count, NULL) == KMN_OK && count == 1;
	}
	free(bytes);
	free(note);
	return ok;
}

/* The head that this log's own key signed; any other note leaves it empty. */
static void
read_ours(const struct kmn_keeper *k, const struct kmn_note *note, struct kmn_head *head)
{
	size_t count;
	bool verified;

	memset(head, 0, sizeof(*head));
	if (kmn_note_verify(note, kmn_log_vkey(k->log), 1, &verified, &count, NULL) == KMN_OK && count == 1 &&
	    kmn_checkpoint_parse(note, kmn_log_origin(k->log), head, NULL) != KMN_OK)
		memset(head, 0, sizeof(*head));
}

/* What genesis says of the ledger before this one; false: it is the first. */
static bool
read_predecessor(const struct kmn_keeper *k, struct kmn_predecessor *before)
{
	struct kmn_record genesis;
	struct kmn_why why;
	char *line;
	size_t len;
	bool there;

	if (kmn_log_line(k->log, 0, &line, &len) != KMN_OK)
		return false;
	there = kmn_record_parse(line, len, &genesis, &why) == KMN_OK;
	if (there) {
		there = kmn_predecessor_read(json_object_get(genesis.body, "predecessor"), before);
		kmn_record_clear(&genesis);
	}
	free(line);
	return there;
}

static bool
is_outdated(const struct kmn_keeper *k, const struct kmn_note *note)
{
	struct kmn_predecessor before;
	struct kmn_head head;

	return read_predecessor(k, &before) && kmn_checkpoint_parse(note, before.origin, &head, NULL) == KMN_OK;
}

static const char *
read_cosigner(struct kmn_claim *claim)
{
	if (claim->vkey[0] == '\0')
		return claim->line[0] == '\0' ? NULL : "a cosignature without its key";
	if (kmn_vkey_parse(claim->vkey, strlen(claim->vkey), &claim->cosigner) != KMN_OK ||
	    claim->cosigner.type != KMN_NOTE_COSIGNATURE)
		return "names a key for cosignatures that is none";
	return NULL;
}

static const char *
read_head(const struct kmn_keeper *k, struct kmn_claim *claim)
{
	const char *reason = NULL;
	struct kmn_note *note;

	if (claim->note_len == 0)
		return claim->line[0] == '\0' ? NULL : "a cosignature without a head";
	if ((note = malloc(sizeof(*note))) == NULL)
		KMN_BUG("out of memory");
	if (kmn_note_parse(claim->note, claim->note_len, note, NULL) != KMN_OK)
		reason = "names a head that is no signed note";
	else if (claim->line[0] != '\0' && !is_cosigned(note->text, note->text_len, claim->line, &claim->cosigner))
		reason = "the cosignature over its head does not verify";
	else
		read_ours(k, note, &claim->head);
	claim->outdated = reason == NULL && claim->head.size == 0 && is_outdated(k, note);
	free(note);
	return reason;
}

bool
kmn_claim_holds(const struct kmn_keeper *k, struct kmn_claim *claim, const char **reason_out)
{
	if ((*reason_out = read_cosigner(claim)) == NULL)
		*reason_out = read_head(k, claim);
	return *reason_out == NULL;
}

static bool
is_in_ledger(struct kmn_keeper *k, const struct kmn_head *head)
{
	struct kmn_head there;

	return kmn_log_head_at(k->log, head->size, &there) == KMN_OK &&
	       memcmp(there.root, head->root, KMN_HASH_BYTES) == 0;
}

kmn_err
kmn_claim_take(struct kmn_keeper *k, struct kmn_conn *conn, const struct kmn_claim *claim)
{
	char reason[256], root[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	struct kmn_head durable;

	if (claim->head.size == 0)
		return KMN_OK;
	kmn_log_durable(k->log, &durable);
	if (claim->head.size <= durable.size && is_in_ledger(k, &claim->head)) {
		conn->sent = claim->head;
		return KMN_OK;
	}
	kmn_b64(claim->head.root, KMN_HASH_BYTES, root);
	(void)snprintf(reason, sizeof(reason),
	    "holds a head of this log that is not of this ledger: %" PRIu64 " %s; the ledger has %" PRIu64
	    " records and was %s",
	    claim->head.size, root, durable.size, claim->head.size > durable.size ? "rolled back" : "forked");
	kmn_say(KMN_SAY_ERROR, "ROLLBACK OR FORK: %s at %s %s", conn->peer->name, conn->address, reason);
	return kmn_conn_record_reject(k, conn, reason);
}

/* A head by that ledger's key which it never came to: it was rolled back or cut before it was closed. */
static bool
is_beyond(const struct kmn_predecessor *before, const struct kmn_claim *claim, struct kmn_head *head)
{
	struct kmn_note *note = malloc(sizeof(*note));
	bool verified, beyond;
	size_t count;

	if (note == NULL)
		KMN_BUG("out of memory");
	beyond = before->log.type != 0 && kmn_note_parse(claim->note, claim->note_len, note, NULL) == KMN_OK &&
		 kmn_note_verify(note, &before->log, 1, &verified, &count, NULL) == KMN_OK && count == 1 &&
		 kmn_checkpoint_parse(note, before->origin, head, NULL) == KMN_OK &&
		 (head->size > before->head.size ||
		     (head->size == before->head.size && memcmp(head->root, before->head.root, KMN_HASH_BYTES) != 0));
	free(note);
	return beyond;
}

bool
kmn_claim_is_outdated(struct kmn_keeper *k, struct kmn_conn *conn, const struct kmn_claim *claim)
{
	char reason[KMN_FRAME_TEXT_MAX_BYTES];
	struct kmn_predecessor before;
	struct kmn_head head;

	if (!claim->outdated || !read_predecessor(k, &before))
		return false;
	if (is_beyond(&before, claim, &head)) {
		(void)snprintf(reason, sizeof(reason),
		    "holds a head of the ledger before this one that is not of it: %" PRIu64
		    " records, and it was closed with %" PRIu64,
		    head.size, before.head.size);
		kmn_say(KMN_SAY_ERROR, "ROLLBACK OR FORK: %s at %s %s", conn->peer->name, conn->address, reason);
		if (kmn_conn_record_reject(k, conn, reason) != KMN_OK)
			return true;
	}
	(void)snprintf(reason, sizeof(reason),
	    "the ledger %.100s was closed and %.100s succeeds it: kanmon audit verify OLD NEW --head proves that the "
	    "kept "
	    "head is of it; then set origin and log-key",
	    before.origin, kmn_log_origin(k->log));
	kmn_say(KMN_SAY_WARNING, "%s at %s is refused: %s", conn->peer->name, conn->address, reason);
	kmn_gatelink_refuse(k, conn, 0, KMN_E_CONFIG, UINT64_MAX, reason);
	return true;
}

/* ---- cosignatures ---------------------------------------------------------------------------------------------- */

/* Of all applications of a client: when the last of its lines was recorded. */
static int64_t
last_cosigned(const struct kmn_keeper *k, const struct kmn_instance *of)
{
	const struct kmn_instance *instance;
	int64_t last = 0;

	LIST_FOREACH(instance, &k->instances, link)
	if (memcmp(instance->spki_sha256, of->spki_sha256, KMN_HASH_BYTES) == 0 && instance->cosigned_ms > last)
		last = instance->cosigned_ms;
	return last;
}

/* False: it is not what a client of ours would send. One that comes too soon is passed over unread. */
static bool
take_line(struct kmn_keeper *k, struct kmn_instance *instance, uint64_t size, const char *line)
{
	char text[KMN_NOTE_NAME_MAX_BYTES + 80], root[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	int64_t now = kmn_keeper_boot_ms(), last = last_cosigned(k, instance);
	struct kmn_head durable, head;
	int len;

	kmn_log_durable(k->log, &durable);
	if (!instance->cosigns || size == 0 || size > durable.size)
		return false;
	if ((last != 0 && now - last < COSIGN_EVERY_MS) || kmn_log_head_at(k->log, size, &head) != KMN_OK)
		return true;
	kmn_b64(head.root, KMN_HASH_BYTES, root);
	len = snprintf(text, sizeof(text), "%s\n%" PRIu64 "\n%s\n", kmn_log_origin(k->log), size, root);
	if (len < 0 || (size_t)len >= sizeof(text) || !is_cosigned(text, (size_t)len, line, &instance->cosigner))
		return false;
	instance->cosigned_ms = now;
	if (kmn_keeper_append(k, KMN_R_COSIGN,
		json_pack("{s:I, s:o, s:[s]}", "size", (json_int_t)size, "root",
		    kmn_json_b64(head.root, KMN_HASH_BYTES), "lines", line),
		NULL) != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "a cosignature is not recorded");
	return true;
}

void
kmn_claim_cosigned(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r)
{
	char line[KMN_FRAME_TEXT_MAX_BYTES + 1];
	uint64_t size = kmn_reader_u64(r);
	struct kmn_writer w;

	kmn_reader_text(r, line, sizeof(line));
	if (kmn_reader_end(r) != KMN_OK || !take_line(k, conn->instance, size, line)) {
		kmn_gatelink_reject(k, conn, "a cosignature that is not over a head of this ledger, or not by its key");
		return;
	}
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, size);
	kmn_gatelink_send(k, conn, KMN_F_COSIGNED, &w);
}
