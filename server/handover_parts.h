/* Parts of the message that handover.c puts together: texts, and what the keeper gets. Each put_ has its get_. */
#ifndef KANMON_SERVER_HANDOVER_PARTS_H
#define KANMON_SERVER_HANDOVER_PARTS_H

#include "server/handover.h"

/* Every text goes with its NUL, so that the reader may point at it where it lies. NULL comes as NULL. */
void handover_put_text(struct kmn_writer *w, const char *text);
/* A view into the message; a failure is kept in r. */
const char *handover_get_text(struct kmn_reader *r);

/* ---- handover_keeper.c ---- */

void handover_put_keeper(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m);
/* Failures are kept in r. */
void handover_get_keeper(struct kmn_reader *r, struct kmn_keeper_setup *k);

#endif
