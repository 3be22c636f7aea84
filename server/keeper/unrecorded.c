/*
 * When the ledger takes no records any more: its disk is full, or fails. What
 * needs a record is refused before the module sees it, and what was under way
 * ends as undecided; reads that are only counted go on, so that a token does
 * not seem to be gone. The ledger is not written again by this process.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

void
kmn_keeper_ledger_lost(struct kmn_keeper *k, const char *why)
{
	if (!kmn_log_poisoned(k->log)) {
		kmn_keeper_fail(k, why);
		return;
	}
	if (!k->unrecorded)
		kmn_say(KMN_SAY_ERROR,
		    "the ledger takes no records: what needs one is refused until the gateway is started again: %s",
		    why);
	k->unrecorded = true;
	k->space.starved_ms = kmn_keeper_boot_ms();
}

/* Gives nothing away and changes nothing that a record would tell: it is counted, if at all. */
static bool
is_free(const struct kmn_call_state *call)
{
	return call->view.call->policy == KMN_POLICY_QUERY || call->view.id == KMN_C_CloseSession ||
	       call->view.id == KMN_C_CloseAllSessions || kmn_view_is_length_query(&call->view);
}

/* Would use a key, or needs a record of its own before its answer: class A or B. */
static bool
is_weighty(const struct kmn_call_state *call)
{
	return call->view.call->durability != KMN_DURABILITY_C || call->view.call->policy == KMN_POLICY_KEY_USE;
}

bool
kmn_unrecorded_refuses(struct kmn_call_state *call)
{
	kmn_err why;

	if (is_free(call) || (!call->keeper->unrecorded && !is_weighty(call)) ||
	    (why = kmn_keeper_holds_back(call->keeper)) == KMN_OK)
		return false;
	call->durability = 'C';
	kmn_call_finish_rv(call, kmn_reason_end(call, why));
	return true;
}

/* Nobody will come back to this call: it waits for a record, or stopped where one could not be written. */
static bool
is_stranded(const struct kmn_call_state *call)
{
	if (call == NULL || call->step == KMN_STEP_DONE || call->step == KMN_STEP_EVENT || call->in_waiting ||
	    call->in_ready || call->in_mapping)
		return false;
	return call->waits_for > 0 || call->step == KMN_STEP_HELD || !kmn_branch_is_asked(call->instance, call);
}

void
kmn_unrecorded_sweep(struct kmn_keeper *k)
{
	struct kmn_instance *instance;

	kmn_admin_unrecorded(k);
	LIST_FOREACH(instance, &k->instances, link)
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		struct kmn_call_state *call = instance->call[i];

		if (!is_stranded(call))
			continue;
		kmn_hold_forget(call);
		kmn_call_lost(call, KMN_E_LEDGER);
	}
}
