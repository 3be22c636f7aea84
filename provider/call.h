/* Calls that the provider makes by itself, on one link and no other. */
#ifndef KANMON_PROVIDER_CALL_H
#define KANMON_PROVIDER_CALL_H

#include "kanmon/codec.h"

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

#endif
