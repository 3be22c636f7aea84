/*
 * What decides about a call: the policy's word, what the CA side attached to it, and what stands against its token.
 */
#ifndef KANMON_KEEPER_JUDGE_H
#define KANMON_KEEPER_JUDGE_H

#include <jansson.h>

#include "kanmon/base.h"
#include "kanmon/err.h"
#include "kanmon/policy.h"

struct kmn_anomaly;
struct kmn_attached;
struct kmn_branch;
struct kmn_call_state;
struct kmn_conn;
struct kmn_instance;
struct kmn_keeper;
struct kmn_key_facts;
struct kmn_reader;
struct kmn_response_view;
struct kmn_token;
struct kmn_why;

/* ---- judge.c ---------------------------------------------------------------------------------------------------- */

struct kmn_token *kmn_token_get(struct kmn_instance *instance, uint64_t slot);
void kmn_token_forget(struct kmn_instance *instance, uint64_t slot);
/* Reads KMN_W_TOKEN_FACTS after its tag; false: there is none to speak of. */
bool kmn_token_read(struct kmn_reader *r, const char *module, struct kmn_token *token_out);
struct kmn_token *kmn_token_take(struct kmn_branch *branch, uint64_t slot, struct kmn_reader *r);
/* The name of a module as policy and records have it: NULL where the gateway has one only. */
const char *kmn_token_module(const struct kmn_keeper *k, unsigned module);
const char *kmn_object_class_name(uint64_t class);
/* Asks the policy about a call that has no intent. */
void kmn_judge_question(struct kmn_call_state *call, struct kmn_verdict *verdict);
/* Asks the policy whether the client may ask about this object. */
void kmn_judge_query(const struct kmn_call_state *call, const struct kmn_key_facts *facts, struct kmn_verdict *verdict);
/* Refuses a call if any key but the first is not free for it. */
void kmn_judge_others(struct kmn_call_state *call);
/* Refuses to tell the secret of a key whose uses are not free. */
void kmn_judge_reading(struct kmn_call_state *call);
/* Verifies a signature before it is released; *selfcheck_out is what the record says of it. */
kmn_err kmn_check_signature(
    struct kmn_call_state *call, const struct kmn_response_view *response, const char **selfcheck_out) KMN_MUST_CHECK;

/* ---- attach.c: what the CA side hands in beside a call ----------------------------------------------------------- */

/* Blobs are kept for as long as the ledger. */
kmn_err kmn_attach_keep(struct kmn_keeper *k, const struct kmn_attached *attached) KMN_MUST_CHECK;
/* Data and econtent that an intent names, where they are kept; kmn_attached_clear. */
void kmn_attach_load(struct kmn_keeper *k, const json_t *intent, struct kmn_attached *out);
/*
 * A signature takes what was attached for it: into its intent, data and material. False: it is not what is signed, and
 * the call is refused (verdict).
 */
bool kmn_attach_take(struct kmn_call_state *call);
/* Into its decision `allow`: the instruction that the call is for, where the request was made for an earlier one. */
void kmn_attach_say_met(const struct kmn_call_state *call, const struct kmn_request *request, json_t *decision);
/*
 * Whether the instruction that its intent names, if it does, still wants just this call: to be asked right before the
 * intent is recorded. False: it is refused (verdict), and its intent names none any more.
 */
bool kmn_attach_is_instructed(struct kmn_call_state *call);
/*
 * An application's id that people would read as an instruction's and that names none ("Action 6", "action 06"): *why says
 * so. The true form is judged with the call.
 */
bool kmn_attach_is_lookalike(const char *id, struct kmn_why *why);
/* The two questions of admin.h; an error says why where there is more to say than its text. */
kmn_err kmn_attach_next(
    struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r, struct kmn_why *why) KMN_MUST_CHECK;
kmn_err kmn_attach_request(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r, uint64_t *request_out,
    struct kmn_why *why) KMN_MUST_CHECK;

/* ---- stance.c: anomalies of tokens ------------------------------------------------------------------------------- */

/* What stands against the token of the call. */
enum kmn_stance kmn_stance_of(const struct kmn_call_state *call, struct kmn_anomaly *anomaly_out);
/* On a degraded token nothing is of class B, and every signature is verified. */
void kmn_stance_degrade(struct kmn_call_state *call);
/* The module gave a signature that its public key does not confirm. */
void kmn_anomaly_signature(const struct kmn_call_state *call);
/* A token was asked what it is. */
void kmn_anomaly_token(struct kmn_keeper *k, const struct kmn_token *token);
/*
 * Records an anomaly of a token (the name of its line); `more` are further members of its body, or NULL; it is taken
 * over. False: one stands against the token already, which closed it: the same says nothing new.
 */
bool kmn_anomaly_record(struct kmn_keeper *k, const char *what, const char *token, const char *detail, json_t *more);
/* {token line: {"state", "anomaly", "leaf"}} of those that are not as they should be. */
json_t *kmn_stance_status(const struct kmn_keeper *k) KMN_MUST_CHECK;

#endif
