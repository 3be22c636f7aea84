/*
 * A request on its way to a machine without a network and back: `request export` writes what the gateway says of it,
 * `approve --offline` judges and signs that as if it had just been said, `approval import` brings the note.
 *
 *	{"export": "kanmon/request-export/v1", "id": N, "origin": "..", "shown": what REQUEST_SHOW answers,
 *	 and `policies`: the signed versions of the policy before}
 */
#ifndef KANMON_TOOLS_OFFLINE_H
#define KANMON_TOOLS_OFFLINE_H

#include "tools/kanmon/answer.h"

#define KMN_EXPORT_MAX_BYTES (4u << 20)

/* What such a file says, from bytes that nobody vouches for. *shown_out: json_decref. Errors are said on stderr. */
struct kmn_export {
	uint64_t id;
	const char *origin; /* in `whole` */
	const json_t *shown;
	json_t *whole;
};
kmn_err kmn_export_read(const char *bytes, size_t len, struct kmn_export *out) KMN_MUST_CHECK;
void kmn_export_clear(struct kmn_export *export);

/* Judges, shows, asks, signs; writes FILE.approval, FILE.rejection or FILE.veto. The command's exit code. */
int kmn_offline_answer(const struct kmn_answering *answering, const char *file);

#endif
