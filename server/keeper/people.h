/*
 * What people ask, sign and hand in: the kanmon tool's questions, votes and other notes, versions of the policy.
 */
#ifndef KANMON_KEEPER_PEOPLE_H
#define KANMON_KEEPER_PEOPLE_H

#include <jansson.h>

#include "kanmon/base.h"
#include "kanmon/err.h"

struct kmn_conn;
struct kmn_keeper;
struct kmn_policy_error;
struct kmn_reader;
struct kmn_why;

/* ---- admin.c: what the kanmon tool asks ---- */

void kmn_admin_take(struct kmn_keeper *k, struct kmn_conn *conn, const uint8_t *body, size_t len);
void kmn_admin_conn_gone(struct kmn_keeper *k, const struct kmn_conn *conn);
void kmn_admin_clear(struct kmn_keeper *k);
/* The first `size` records are durable. */
void kmn_admin_durable(struct kmn_keeper *k, size_t size);
/* The ledger takes no more records: what waits for one is refused. */
void kmn_admin_unrecorded(struct kmn_keeper *k);
/* For questions that other files answer; `conn` NULL: who asked is gone. `value` is taken over. */
void kmn_admin_answer(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value);
void kmn_admin_refuse(struct kmn_keeper *k, struct kmn_conn *conn, kmn_err error, const char *reason);
/* Takes `value`; sent when all that was appended so far is durable. */
void kmn_admin_answer_when_durable(struct kmn_keeper *k, struct kmn_conn *conn, json_t *value);

/* ---- note.c: what people sign ------------------------------------------------------------------------------------- */

/*
 * A vote, or a text of signed.h, whoever brings it: recorded, or refused with *why. *answer_out is for when all that was
 * appended is durable.
 */
kmn_err kmn_note_take(struct kmn_keeper *k, const char *by, const char *note, size_t len, json_t **answer_out,
    struct kmn_why *why) KMN_MUST_CHECK;

/* ---- policy.c: versions of the policy ----------------------------------------------------------------------------- */

/* KMN_ADMIN_POLICY_SUBMIT: the next version, signed by the quorums of both. */
void kmn_policy_submit(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
/*
 * The same, whoever brings it (`by`, for the log): *answer_out is for when all that was appended is durable. Peers and
 * sessions may be gone afterwards.
 */
kmn_err kmn_policy_take(struct kmn_keeper *k, const char *by, bool recovery, const char *note, size_t len,
    json_t **answer_out, struct kmn_policy_error *error) KMN_MUST_CHECK;
/* Says when it is about to expire; puts in force what the recovery role brought, when it is time. */
void kmn_policy_tick(struct kmn_keeper *k);
/* {"expires", "warning", "waiting"?: {"version", "sha256", "record", "left_s"}} */
json_t *kmn_policy_status(const struct kmn_keeper *k) KMN_MUST_CHECK;
/* {"note": of the policy in force, "waiting"?: of the one that the recovery role brought} */
json_t *kmn_policy_notes(const struct kmn_keeper *k) KMN_MUST_CHECK;

#endif
