/* Calls that the provider makes by itself, on one link and no other. */
#ifndef KANMON_PROVIDER_CALL_H
#define KANMON_PROVIDER_CALL_H

#include "kanmon/codec.h"
#include "provider/provider.h"

struct kmn_application;
struct kmn_link;

/*
 * One call like any other, judged and recorded like any other. KMN_OK: *rv_out
 * is the module's answer, or what stands for a refusal. KMN_E_INSTANCE: the
 * link is lost, and the call did not run. Other errors: it may have run.
 */
kmn_err kmn_call_on(struct kmn_application *app, struct kmn_link *link, enum kmn_call_id id, struct kmn_arg *arg,
    size_t arg_count, CK_RV *rv_out) KMN_MUST_CHECK;

/*
 * From now on the session or object `fresh` goes by `old`, a handle of a link
 * before this one. KMN_E_NOT_FOUND, KMN_E_EXISTS and KMN_E_ARGUMENTS are the
 * gateway's refusals; others as of kmn_call_on.
 */
kmn_err kmn_alias_on(struct kmn_application *app, struct kmn_link *link, uint64_t old, uint64_t fresh) KMN_MUST_CHECK;

/* The answer of the call with this number, which the gateway had left aside, is here: it need not be kept. */
kmn_err kmn_forget_on(struct kmn_application *app, struct kmn_link *link, uint64_t number) KMN_MUST_CHECK;

/* A call of the application's from its beginning to its end, in sessions of every kind. */
CK_RV kmn_call_whole(struct kmn_application *app, enum kmn_list list, enum kmn_call_id id, struct kmn_arg *arg,
    size_t arg_count) KMN_MUST_CHECK;

/*
 * A call that does not wait when it is held: it keeps its number, its bytes and
 * its link until it is asked for again. The gateway leaves it aside, so that the
 * window of numbers goes on. One thread at a time.
 *
 *   new --start, ask: CKR_PENDING--> parked --ask--> ... --ask, leave: anything else--> over
 *
 * From CKR_PENDING on lengths and handles go to memory of its own; of arg[] only the buffer for bytes is still used.
 */
struct kmn_parked;

struct kmn_parked_outputs {
	void *buffer; /* the caller's; NULL: the function has none */
	CK_ULONG length;
	CK_OBJECT_HANDLE made[2]; /* in the order of the arguments; 0: none */
};

/* NULL: no memory. The application outlives it. */
struct kmn_parked *kmn_parked_new(
    struct kmn_application *app, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count) KMN_MUST_CHECK;
/* Before start: sends this request (codec.h), which is the caller's until start returns, and takes arg[] for outputs. */
void kmn_parked_encoded(struct kmn_parked *p, const uint8_t *request, size_t len);
CK_RV kmn_parked_start(struct kmn_parked *p) KMN_MUST_CHECK;
CK_RV kmn_parked_ask(struct kmn_parked *p) KMN_MUST_CHECK;
/* Ends the wait, or withdraws the request too. Not CKR_PENDING: what it had come to meanwhile, or the end of the wait. */
CK_RV kmn_parked_leave(struct kmn_parked *p, bool withdraw) KMN_MUST_CHECK;
/* Over: the wait ended, and the call did not run. Or: nobody can say what became of it. */
bool kmn_parked_is_unanswered(const struct kmn_parked *p);
bool kmn_parked_is_lost(const struct kmn_parked *p);
/* Parked: id of the request, and the bytes that were sent, which are its own. */
uint64_t kmn_parked_request(const struct kmn_parked *p);
const uint8_t *kmn_parked_bytes(const struct kmn_parked *p, size_t *len_out);
void kmn_parked_outputs(const struct kmn_parked *p, struct kmn_parked_outputs *out);
/* NULL is fine. A parked call is forgotten without a word to the gateway. */
void kmn_parked_free(struct kmn_parked *p);

#endif
