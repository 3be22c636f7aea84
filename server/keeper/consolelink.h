/*
 * The console and its own application, as the rest of the keeper sees them (more in console.h and runner.h).
 */
#ifndef KANMON_KEEPER_CONSOLELINK_H
#define KANMON_KEEPER_CONSOLELINK_H

#include <stdbool.h>
#include <stddef.h>

struct kmn_ipc;
struct kmn_keeper;
struct kmn_record;

/* ---- consolelink.c: the console (console.h) ------------------------------------------------------------------------ */

void kmn_consolelink_take(struct kmn_keeper *k, struct kmn_ipc *console, const char *why);
void kmn_consolelink_lost(struct kmn_keeper *k);
void kmn_consolelink_readable(struct kmn_keeper *k);
/* The first `size` records are durable. */
void kmn_consolelink_durable(struct kmn_keeper *k, size_t size);
void kmn_consolelink_tick(struct kmn_keeper *k);
/* A record was applied: who is signed in hears of it when it is durable. */
void kmn_console_note(struct kmn_keeper *k, const struct kmn_record *record);
/* Does what the loop has time for; whether there is more of it. */
bool kmn_consolelink_work(struct kmn_keeper *k);
void kmn_consolelink_clear(struct kmn_keeper *k);

/* ---- runnerlink.c: the console's own application (runner.h) ------------------------------------------------------- */

/* `place` is below KMN_RUNNERS. */
void kmn_runnerlink_take(struct kmn_keeper *k, unsigned place, struct kmn_ipc *runner, const char *why);
void kmn_runnerlink_lost(struct kmn_keeper *k, unsigned place);
void kmn_runnerlink_readable(struct kmn_keeper *k, unsigned place);
/* The first `size` records are durable. */
void kmn_runnerlink_durable(struct kmn_keeper *k, size_t size);
void kmn_runnerlink_clear(struct kmn_keeper *k);
/* A call of the console's client was refused: the instruction that it is for is told why. */
void kmn_job_refused(const struct kmn_call_state *call);

#endif
