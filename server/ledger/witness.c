#include "config.h"

#include "kanmon/witness.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers and lines --------------------------------------------------------------------------------------------- */

/* A decimal without leading zeroes, up to an LF that is stepped over. */
static bool
take_number(const char **at, const char *end, uint64_t *out)
{
	const char *begin = *at;
	uint64_t n = 0;

	while (*at < end && **at >= '0' && **at <= '9' && *at - begin < 16)
		n = n * 10 + (uint64_t)(*(*at)++ - '0');
	*out = n;
	if (*at == begin || *at == end || **at != '\n' || (*begin == '0' && *at - begin > 1) || n > KMN_JSON_INT_MAX)
		return false;
	++*at;
	return true;
}

/* A line of base64 of 32 bytes. */
static bool
take_hash(const char **at, const char *end, uint8_t out[KMN_HASH_BYTES])
{
	const char *lf = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
	size_t len;

	if (lf == NULL || kmn_b64_parse(*at, (size_t)(lf - *at), out, KMN_HASH_BYTES, &len) != KMN_OK ||
	    len != KMN_HASH_BYTES)
		return false;
	*at = lf + 1;
	return true;
}

/* ---- what is asked ------------------------------------------------------------------------------------------------- */

kmn_err
kmn_witness_ask_parse(const char *body, size_t len, struct kmn_witness_ask *ask_out, struct kmn_why *why)
{
	struct kmn_witness_ask ask = {.old_size = 0};
	const char *at = body, *end = body + len;

	memset(ask_out, 0, sizeof(*ask_out));
	if (len > KMN_WITNESS_ASK_MAX_BYTES) {
		kmn_why_set(why, "a question has at most %d bytes", (int)KMN_WITNESS_ASK_MAX_BYTES);
		return KMN_E_TOO_BIG;
	}
	if (len < 4 || memcmp(at, "old ", 4) != 0 || (at += 4, !take_number(&at, end, &ask.old_size))) {
		kmn_why_set(why, "it begins with the line: old SIZE");
		return KMN_E_MALFORMED;
	}
	while (at < end && *at != '\n') {
		if (ask.path.count == KMN_PATH_MAX_HASHES || !take_hash(&at, end, ask.path.hash[ask.path.count])) {
			kmn_why_set(
			    why, "line %zu is no hash of a consistency proof, or one too many", ask.path.count + 2);
			return KMN_E_MALFORMED;
		}
		ask.path.count++;
	}
	if (at == end) {
		kmn_why_set(why, "no empty line before the checkpoint");
		return KMN_E_MALFORMED;
	}
	ask.note = at + 1;
	ask.note_len = (size_t)(end - ask.note);
	*ask_out = ask;
	return KMN_OK;
}

kmn_err
kmn_witness_ask_make(
    uint64_t old_size, const struct kmn_path *path, const char *note, size_t note_len, char **body_out, size_t *len_out)
{
	char b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	FILE *to = open_memstream(body_out, len_out);

	if (to == NULL)
		return KMN_E_NO_MEMORY;
	fprintf(to, "old %" PRIu64 "\n", old_size);
	for (size_t n = 0; n < path->count; n++) {
		kmn_b64(path->hash[n], KMN_HASH_BYTES, b64);
		fprintf(to, "%s\n", b64);
	}
	fputc('\n', to);
	(void)fwrite(note, 1, note_len, to);
	return fclose(to) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

/* ---- whose it is --------------------------------------------------------------------------------------------------- */

/* The first three lines, and perhaps extension lines, none of them empty. */
static bool
read_checkpoint(const struct kmn_note *note, struct kmn_witness_claim *claim)
{
	const char *at = note->text, *end = note->text + note->text_len, *lf = memchr(at, '\n', note->text_len);

	if (lf == NULL || lf == at || (size_t)(lf - at) > KMN_WITNESS_ORIGIN_MAX_BYTES)
		return false;
	(void)snprintf(claim->origin, sizeof(claim->origin), "%.*s", (int)(lf - at), at);
	at = lf + 1;
	if (!take_number(&at, end, &claim->head.size) || !take_hash(&at, end, claim->head.root))
		return false;
	for (; at < end; at = lf + 1)
		if ((lf = memchr(at, '\n', (size_t)(end - at))) == NULL || lf == at)
			return false;
	return true;
}

/* Whether one of the log's keys signed, and none that is known signed wrongly. */
static bool
is_signed(const struct kmn_vkey *logs, size_t count, struct kmn_witness_claim *claim, struct kmn_why *why)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		bool verified;
		size_t signers;

		if (strcmp(logs[i].name, claim->origin) != 0)
			continue;
		if (kmn_note_verify(&claim->note, &logs[i], 1, &verified, &signers, why) != KMN_OK)
			return false;
		any = any || verified;
	}
	if (!any)
		kmn_why_set(why, "no signature by a key of %.150s that is known here", claim->origin);
	return any;
}

unsigned
kmn_witness_look(const struct kmn_vkey *logs, size_t count, const struct kmn_witness_ask *ask,
    struct kmn_witness_claim *claim_out, struct kmn_why *why)
{
	bool known = false;

	memset(claim_out, 0, sizeof(*claim_out));
	if (kmn_note_parse(ask->note, ask->note_len, &claim_out->note, why) != KMN_OK)
		return 400;
	if (!read_checkpoint(&claim_out->note, claim_out)) {
		kmn_why_set(why, "not a checkpoint: origin, size, root");
		return 400;
	}
	for (size_t i = 0; i < count; i++)
		known = known || strcmp(logs[i].name, claim_out->origin) == 0;
	if (!known) {
		kmn_why_set(why, "%.150s is not witnessed here", claim_out->origin);
		return 404;
	}
	return is_signed(logs, count, claim_out, why) ? 0 : 403;
}

/* ---- whether it grew ----------------------------------------------------------------------------------------------- */

unsigned
kmn_witness_judge(const struct kmn_witness_claim *claim, const struct kmn_witness_ask *ask, const struct kmn_head *last,
    struct kmn_why *why)
{
	struct kmn_head from = *last;
	struct kmn_frontier empty;

	if (ask->old_size > claim->head.size) {
		kmn_why_set(
		    why, "old size %" PRIu64 ", and the checkpoint's is %" PRIu64, ask->old_size, claim->head.size);
		return 400;
	}
	if (ask->old_size != last->size) {
		kmn_why_set(why, "the last size cosigned is %" PRIu64 ", not %" PRIu64, last->size, ask->old_size);
		return 409;
	}
	if (last->size == 0) {
		kmn_frontier_init(&empty);
		kmn_frontier_head(&empty, &from);
	}
	if (from.size == claim->head.size && memcmp(from.root, claim->head.root, KMN_HASH_BYTES) != 0) {
		kmn_why_set(why, "another root at size %" PRIu64 " than was cosigned: a SPLIT VIEW", from.size);
		return 409;
	}
	if (kmn_consistency_verify(&from, &claim->head, &ask->path) != KMN_OK) {
		kmn_why_set(
		    why, "not proven to have grown out of the %" PRIu64 " records that were cosigned", from.size);
		return 422;
	}
	return 200;
}

/* ---- records ------------------------------------------------------------------------------------------------------- */

json_t *
kmn_cosign_body(const struct kmn_head *head, json_t *lines)
{
	return json_pack("{s:I, s:o, s:o}", "size", (json_int_t)head->size, "root",
	    kmn_json_b64(head->root, KMN_HASH_BYTES), "lines", lines);
}

kmn_err
kmn_cosign_note(const json_t *body, const char *origin, struct kmn_head *head_out, char **note_out, size_t *len_out,
    struct kmn_why *why)
{
	const json_t *lines = json_object_get(body, "lines"), *line;
	char text[KMN_CHECKPOINT_TEXT_BYTES];
	FILE *to;
	size_t n;

	*note_out = NULL;
	*len_out = 0;
	if (!kmn_json_get_number(body, "size", &head_out->size) ||
	    !kmn_json_get_b64(body, "root", head_out->root, KMN_HASH_BYTES) ||
	    kmn_checkpoint_text(origin, head_out, text) != KMN_OK || json_array_size(lines) == 0) {
		kmn_why_set(why, "not a size, a root and a list of lines");
		return KMN_E_MALFORMED;
	}
	if ((to = open_memstream(note_out, len_out)) == NULL)
		return KMN_E_NO_MEMORY;
	fprintf(to, "%s\n", text);
	json_array_foreach(lines, n, line) fprintf(to, "%s\n", json_is_string(line) ? json_string_value(line) : "");
	return fclose(to) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}
