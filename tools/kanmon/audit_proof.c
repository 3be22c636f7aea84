#include "config.h"

#include "tools/kanmon/audit_proof.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/record.h"

/* The ledger's own name for itself: record 0. */
static kmn_err
read_origin(struct kmn_store *store, struct kmn_audit_proof *proof, struct kmn_why *why)
{
	struct kmn_record record = {0};
	const char *origin;
	char *line = NULL;
	size_t len;
	kmn_err e;

	if ((e = kmn_store_line(store, 0, &line, &len)) == KMN_OK)
		e = kmn_record_parse(line, len, &record, why);
	if (e == KMN_OK && (record.kind != KMN_R_GENESIS || !kmn_json_get_text(record.body, "origin", &origin)))
		e = KMN_E_CORRUPT;
	if (e == KMN_OK)
		(void)snprintf(proof->origin, sizeof(proof->origin), "%s", origin);
	kmn_record_clear(&record);
	free(line);
	return e;
}

static kmn_err
read_note(struct kmn_store *store, const char *name, struct kmn_audit_proof *proof, struct kmn_why *why)
{
	struct kmn_note note;
	kmn_err e;

	free(proof->note);
	proof->note = NULL;
	if ((e = kmn_store_read(store, name, KMN_NOTE_MAX_BYTES, &proof->note, &proof->note_len)) == KMN_OK &&
	    (e = kmn_note_parse(proof->note, proof->note_len, &note, why)) == KMN_OK)
		e = kmn_checkpoint_parse(&note, proof->origin, &proof->head, why);
	return e;
}

kmn_err
kmn_audit_proof_open(struct kmn_store *store, uint64_t index, struct kmn_audit_proof *proof_out, struct kmn_why *why)
{
	struct kmn_audit_proof *proof = proof_out;
	kmn_err e;

	memset(proof, 0, sizeof(*proof));
	if ((e = read_origin(store, proof, why)) != KMN_OK)
		return e;
	if ((e = read_note(store, "checkpoint.cosigned", proof, why)) != KMN_OK || index >= proof->head.size)
		e = read_note(store, "checkpoint", proof, why);
	if (e == KMN_OK && index >= proof->head.size) {
		kmn_why_set(why, "the checkpoint covers records 0 to %" PRIu64, proof->head.size - 1);
		e = KMN_E_NOT_FOUND;
	}
	if (e == KMN_OK)
		e = kmn_tiles_open(store, &proof->head, &proof->tiles, why);
	if (e != KMN_OK)
		kmn_audit_proof_clear(proof);
	return e;
}

void
kmn_audit_proof_clear(struct kmn_audit_proof *proof)
{
	free(proof->note);
	kmn_tiles_free(proof->tiles);
	proof->note = NULL;
	proof->tiles = NULL;
}
