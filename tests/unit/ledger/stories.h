/* Records of a call, with the least that their types ask for, to make ledgers of stories from. */
#ifndef KANMON_TESTS_LEDGER_STORIES_H
#define KANMON_TESTS_LEDGER_STORIES_H

#include "kanmon/log.h"

json_t *story_start(void);
json_t *story_stop(void);
json_t *story_intent(uint64_t expires);
json_t *story_decision(const struct kmn_ref *request, const char *verdict);
json_t *story_result(const struct kmn_ref *request, const struct kmn_ref *decision);
/* `state` NULL: nothing was open. */
json_t *story_recovery(const struct kmn_head *last, const struct kmn_ref *open, const char *state);
json_t *story_checkpoint(const char *note);

/* Appends, or fails the test. */
struct kmn_ref story_append(struct kmn_log *log, enum kmn_record_kind kind, json_t *body);

#endif
