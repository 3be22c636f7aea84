/* Guards as the keeper's other files see them; guard.c draws what happens to one. */
#ifndef KANMON_KEEPER_GUARD_H
#define KANMON_KEEPER_GUARD_H

#include <jansson.h>

#include "kanmon/tree.h"

struct kmn_guards;
struct kmn_keeper;

/* Locks and reads the files. A failure has been said. */
kmn_err kmn_guards_new(struct kmn_keeper *k) KMN_MUST_CHECK;
void kmn_guards_free(struct kmn_guards *guards);
/*
 * Before the first record: KMN_OK when every guard fits, or is overruled, and this gateway is the writer; KMN_E_AGAIN
 * while a module has not answered; otherwise the gateway may not start, and why has been said.
 */
kmn_err kmn_guards_look(struct kmn_keeper *k) KMN_MUST_CHECK;
/* Objects are kept up to date; to be called each second. */
void kmn_guards_tick(struct kmn_keeper *k);
/* kmn_log_settings.publish: the files are. KMN_E_AGAIN: to be tried again. KMN_E_LEDGER: another writer was there. */
kmn_err kmn_guards_publish(void *guards, const struct kmn_head *head, const char *note, size_t len) KMN_MUST_CHECK;

/* Another writer was seen; `why_out` for the operator. */
bool kmn_guards_halted(const struct kmn_guards *guards, char *why_out, size_t room);
/* One of them cannot be written. */
bool kmn_guards_fail(const struct kmn_guards *guards, const char **name_out);

/* Member `guards` of gateway.start; with the verdicts that of recovery. */
json_t *kmn_guards_json(const struct kmn_guards *guards, bool with_verdict) KMN_MUST_CHECK;
/* The note of --recovery was needed, and goes into the recovery record. */
bool kmn_guards_overruled(const struct kmn_guards *guards);
/* For kanmon status: by name, what stands there and whether it is kept up. */
json_t *kmn_guards_status(const struct kmn_guards *guards) KMN_MUST_CHECK;

#endif
