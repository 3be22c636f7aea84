/*
 * kanmon witness: a folder with a key, the heads that were cosigned, and what
 * is answered to who asks, over HTTP (witness_http.c) or by files.
 */
#ifndef KANMON_TOOLS_WITNESS_H
#define KANMON_TOOLS_WITNESS_H

#include "kanmon/tlogpolicy.h"
#include "kanmon/witness.h"
#include "tools/kanmon/options.h"

/* DIR/witness.key, DIR/witness.vkey; DIR/state/HEX, the note cosigned last of the origin with that SHA-256; DIR/lock. */
struct kmn_cosigner;

/*
 * `logs`: files with lines of vkeys (as `kanmon init` writes log.vkey), or
 * policies (tlog-policy), whose `log` lines count. Failures are said on stderr.
 */
kmn_err kmn_cosigner_open(
    const char *dir, const struct kmn_option_list *logs, struct kmn_cosigner **cosigner_out) KMN_MUST_CHECK;
void kmn_cosigner_free(struct kmn_cosigner *cosigner);
const struct kmn_vkey *kmn_cosigner_key(const struct kmn_cosigner *cosigner);
size_t kmn_cosigner_logs(const struct kmn_cosigner *cosigner);

/* What is said to one question: an HTTP status, and with 200 the cosignature's line. */
struct kmn_cosigner_answer {
	unsigned status;  /* 200, 400, 403, 404, 409, 422; 500: the witness itself is in trouble */
	const char *type; /* content type, static */
	char body[512];   /* with 409 the size, else for people; 200: the line */
	char origin[KMN_WITNESS_ORIGIN_MAX_BYTES + 1]; /* "" if it did not come so far */
	uint64_t size;
};

/*
 * Answers one question. With 200 the new head is durable before this returns;
 * looking at the old one and writing the new one is one step, under a lock
 * that holds among processes too.
 */
void kmn_cosigner_answer(
    struct kmn_cosigner *cosigner, const char *body, size_t len, struct kmn_cosigner_answer *answer_out);

/* witness_http.c: serves until a signal to end; an exit code. `listen`: ADDRESS:PORT, port 0 takes a free one. */
int kmn_witness_serve_http(struct kmn_cosigner *cosigner, const char *listen);

#endif
