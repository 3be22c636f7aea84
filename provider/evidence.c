/*
 * What is left behind when a receipt does not hold: a text for people, whose
 * blocks say their length, so that a program finds them again byte for byte.
 *
 *   kanmon/evidence/v1
 *   KEY VALUE                    one a line
 *   <empty line>
 *   block NAME BYTES             then so many bytes, and a line end
 */
#include "config.h"

#include "provider/receipts_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "provider/debug.h"

static void
put_hash(FILE *to, const char *name, const uint8_t hash[KMN_HASH_BYTES])
{
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	kmn_b64(hash, KMN_HASH_BYTES, b64);
	fprintf(to, "%s %s\n", name, b64);
}

static void
put_block(FILE *to, const char *name, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	fprintf(to, "block %s %zu\n", name, len);
	(void)fwrite(bytes, 1, len, to);
	fputc('\n', to);
}

static void
put_claim(FILE *to, const struct kmn_claim *claim)
{
	if (claim == NULL)
		return;
	fprintf(to, "call %s\nnumber %" PRIu64 "\nrv 0x%" PRIx64 "\nsession %" PRIu64 "\n", claim->row->name,
	    claim->number, claim->rv, claim->session);
	for (size_t i = 0; i < claim->channel_count; i++)
		fprintf(to, "channel %" PRIu64 "\n", claim->channel[i]);
	put_hash(to, "request-sha256", claim->req_sha256);
	put_hash(to, "response-sha256", claim->resp_sha256);
}

static void
put_proof(FILE *to, const struct kmn_finding *f)
{
	if (f->proof == NULL)
		return;
	fprintf(to, "proof %" PRIu64 " %" PRIu64 "\n", f->proof_from, f->proof_to);
	for (size_t i = 0; i < f->proof->count; i++)
		put_hash(to, "hash", f->proof->hash[i]);
}

/* The receipt's own lines in clear, and all of it as base64. */
static void
put_receipt(FILE *to, const struct kmn_finding *f)
{
	struct kmn_receipt receipt;
	char *b64;

	if (f->receipt_len == 0)
		return;
	if (kmn_receipt_decode(f->receipt, f->receipt_len, &receipt) == KMN_OK) {
		put_block(to, "line", receipt.line, receipt.line_len);
		put_block(to, "intent", receipt.request, receipt.request_len);
		put_block(to, "result", receipt.result, receipt.result_len);
	}
	if ((b64 = malloc(KMN_B64_LEN(f->receipt_len) + 1)) == NULL)
		return;
	kmn_b64(f->receipt, f->receipt_len, b64);
	put_block(to, "receipt", b64, strlen(b64));
	free(b64);
}

static bool
write_text(FILE *to, const struct kmn_book *receipts, const struct kmn_finding *f)
{
	char stamp[32] = "";
	struct tm utc;
	time_t now = time(NULL);

	if (gmtime_r(&now, &utc) != NULL)
		(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &utc);
	fprintf(to, "kanmon/evidence/v1\ntime %s\npid %ld\norigin %s\nreason %s\ntext %s\nwhy %s\n", stamp,
	    (long)getpid(), receipts->origin, kmn_receipt_fault_name(f->fault), kmn_receipt_fault_text(f->fault),
	    f->why != NULL ? f->why : "");
	put_claim(to, f->claim);
	put_proof(to, f);
	fputc('\n', to);
	if (f->mine != NULL)
		put_block(to, "note-accepted", f->mine->note, f->mine->note_len);
	if (f->theirs != NULL)
		put_block(to, "note-received", f->theirs->note, f->theirs->note_len);
	put_receipt(to, f);
	return ferror(to) == 0;
}

/* Only the first: what comes after it is what a ledger that was found wrong goes on to say. */
kmn_err
kmn_receipts_fail(struct kmn_book *receipts, const struct kmn_finding *f)
{
	char path[4096] = "", *text = NULL;
	size_t len = 0;
	FILE *to;
	kmn_err e = KMN_E_NO_MEMORY;

	if (atomic_exchange(&receipts->failed, true))
		return KMN_E_RECEIPT;
	atomic_store(&receipts->fault, f->fault);
	if ((to = open_memstream(&text, &len)) != NULL) {
		bool whole = write_text(to, receipts, f);

		if (fclose(to) == 0 && whole)
			e = kmn_heads_evidence(receipts->heads, text, len, path);
		free(text);
	}
	kmn_debug(KMN_TOPIC_RECEIPT, "%s: %s: %s; the ledger is not used any more; evidence: %s",
	    f->claim != NULL ? f->claim->row->name : "connection", kmn_receipt_fault_text(f->fault),
	    f->why != NULL ? f->why : "", e == KMN_OK ? path : kmn_err_text(e));
	return KMN_E_RECEIPT;
}
