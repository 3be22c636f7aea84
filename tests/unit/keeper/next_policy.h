/* The next version of a rig's policy: its text with words in the place of others, signed, and brought. */
#ifndef KANMON_TESTS_KEEPER_NEXT_POLICY_H
#define KANMON_TESTS_KEEPER_NEXT_POLICY_H

#include "tests/unit/keeper/rig.h"

/*
 * What follows `text` (a policy): version and previous moved on, and for each pair, up to NULL, the second put in the
 * place of the first occurrence of the first. free().
 */
char *next_policy(const char *text, const char *const pairs[]);
/* The rig's own, as it was made. free(). */
char *rig_policy(const struct rig *rig);
/* Brings a note by that operation through the terminal on `conn`: the error; what was answered. */
uint32_t bring_note(struct rig *rig, uint32_t conn, uint16_t op, const char *note, char *answer, size_t size);
/* Signs the text by these names and submits it. */
uint32_t submit_policy(struct rig *rig, uint32_t conn, const char *text, const char *names, char *answer, size_t size);

#endif
