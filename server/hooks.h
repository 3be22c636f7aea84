/*
 * Programs that are told what happened: the supervisor's part of hooks. They run as a user of their own, with the words
 * on stdin, an empty environment and nothing else open; what they say or return decides nothing.
 */
#ifndef KANMON_SERVER_HOOKS_H
#define KANMON_SERVER_HOOKS_H

#include <stdint.h>
#include <sys/types.h>

#include "kanmon/reader.h"
#include "server/settings.h"

struct kmn_hooks;

/* NULL: no memory. */
struct kmn_hooks *kmn_hooks_new(const struct kmn_settings *settings) KMN_MUST_CHECK;
/* Kills and waits for those that run. NULL is fine. */
void kmn_hooks_free(struct kmn_hooks *hooks);
/* KMN_S_HOOK: queued, or dropped and said where the queue is full. KMN_E_MALFORMED: no such hook. */
kmn_err kmn_hooks_take(struct kmn_hooks *hooks, struct kmn_reader *r, int64_t now_ms) KMN_MUST_CHECK;
/* Whether this was one of them; the next one starts. */
bool kmn_hooks_reap(struct kmn_hooks *hooks, pid_t pid, const char *how, bool good, int64_t now_ms);
/* When the next one is killed for taking too long; 0: none runs. */
int64_t kmn_hooks_due_ms(const struct kmn_hooks *hooks);
void kmn_hooks_keep_times(struct kmn_hooks *hooks, int64_t now_ms);

#endif
