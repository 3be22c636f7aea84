/*
 * Receipts that held, for those who want to keep them: in $KANMON_RECEIPT_DIR
 * each is a file
 *
 *   SHA-256 of the origin in hex/INDEX.tlog-proof   c2sp.org/tlog-proof@v1, extra = the record's line
 *                               /INDEX.intent       the line of the intent that a `result` names
 *                               /INDEX.result       the line of the result that a `redelivery` names
 *                               /INDEX.openings     "FIELD SALT" a line: of commitments in both lines
 *
 * A call never fails for a file that cannot be written: its record is in the
 * ledger, and the proof can be had from there.
 */
#include "config.h"

#include "provider/receipts_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "provider/debug.h"

/* ---- the text ---------------------------------------------------------------------------------------------------- */

static void
put_b64(FILE *to, const void *bytes, size_t len)
{
	char *b64 = malloc(KMN_B64_LEN(len) + 1);

	if (b64 == NULL)
		return;
	kmn_b64(bytes, len, b64);
	fprintf(to, "%s\n", b64);
	free(b64);
}

kmn_err
kmn_proof_text(const struct kmn_receipt *receipt, uint64_t index, const char *note, size_t note_len, char **text_out,
    size_t *len_out)
{
	FILE *to = open_memstream(text_out, len_out);
	bool failed;

	if (to == NULL)
		return KMN_E_NO_MEMORY;
	fprintf(to, "c2sp.org/tlog-proof@v1\nextra ");
	put_b64(to, receipt->line, receipt->line_len);
	fprintf(to, "index %" PRIu64 "\n", index);
	for (size_t i = 0; i < receipt->path.count; i++)
		put_b64(to, receipt->path.hash[i], KMN_HASH_BYTES);
	fprintf(to, "\n%.*s", (int)note_len, note);
	failed = ferror(to) != 0;
	if (fclose(to) == 0 && !failed)
		return KMN_OK;
	free(*text_out);
	*text_out = NULL;
	*len_out = 0;
	return KMN_E_NO_MEMORY;
}

/* ---- the spool --------------------------------------------------------------------------------------------------- */

/* A file that is there already is of the same record: an answer that came twice. */
static kmn_err
put_file(const char *folder, uint64_t index, const char *suffix, const char *text, size_t len)
{
	char path[PATH_MAX];
	bool whole;
	int fd, n = snprintf(path, sizeof(path), "%s/%" PRIu64 ".%s", folder, index, suffix);

	if (n < 0 || (size_t)n >= sizeof(path))
		return KMN_E_IO;
	if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0)
		return errno == EEXIST ? KMN_OK : KMN_E_IO;
	whole = write(fd, text, len) == (ssize_t)len;
	if (close(fd) != 0 || !whole) {
		(void)unlink(path);
		return KMN_E_IO;
	}
	return KMN_OK;
}

static kmn_err
put_openings(const char *folder, uint64_t index, const struct kmn_receipt *receipt)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to;
	kmn_err e = KMN_E_NO_MEMORY;

	if (receipt->opening_count == 0)
		return KMN_OK;
	if ((to = open_memstream(&text, &len)) == NULL)
		return e;
	for (size_t i = 0; i < receipt->opening_count; i++) {
		fprintf(to, "%.*s ", (int)receipt->opening[i].field_len, receipt->opening[i].field);
		put_b64(to, receipt->opening[i].salt, KMN_OPENING_SALT_BYTES);
	}
	if (fclose(to) == 0)
		e = put_file(folder, index, "openings", text, len);
	free(text);
	return e;
}

static kmn_err
spool(const struct kmn_book *book, const struct kmn_receipt *receipt, const struct kmn_receipt_found *found,
    const struct kmn_seen *seen)
{
	uint8_t hash[KMN_HASH_BYTES];
	char folder[PATH_MAX], *text = NULL;
	uint64_t index = found->record.i;
	size_t len = 0;
	kmn_err e;
	int n = snprintf(folder, sizeof(folder), "%s/", book->spool);

	kmn_sha256(book->origin, strlen(book->origin), hash);
	for (size_t i = 0; i < sizeof(hash) && n > 0 && (size_t)n < sizeof(folder); i++)
		n += snprintf(folder + n, sizeof(folder) - (size_t)n, "%02x", hash[i]);
	if (n < 0 || (size_t)n >= sizeof(folder) || (mkdir(folder, 0755) != 0 && errno != EEXIST))
		return KMN_E_IO;
	e = put_openings(folder, index, receipt);
	if (e == KMN_OK && receipt->request != NULL)
		e = put_file(folder, index, "intent", receipt->request, receipt->request_len);
	if (e == KMN_OK && receipt->result != NULL)
		e = put_file(folder, index, "result", receipt->result, receipt->result_len);
	if (e == KMN_OK)
		e = kmn_proof_text(receipt, index, seen->note, seen->note_len, &text, &len);
	if (e == KMN_OK) /* last: where there is one, what belongs to it is there */
		e = put_file(folder, index, "tlog-proof", text, len);
	free(text);
	return e;
}

void
kmn_proof_spool(const struct kmn_book *book, const struct kmn_claim *claim, const struct kmn_receipt *receipt,
    const struct kmn_receipt_found *found, const struct kmn_seen *seen)
{
	kmn_err e;

	if (book->spool == NULL || found->record.kind == KMN_R_SESSION || claim->row->policy == KMN_POLICY_RANDOM)
		return;
	if ((e = spool(book, receipt, found, seen)) != KMN_OK)
		kmn_debug(KMN_TOPIC_RECEIPT, "the proof of record %llu is not put into %s: %s",
		    (unsigned long long)found->record.i, book->spool, kmn_err_text(e));
}
