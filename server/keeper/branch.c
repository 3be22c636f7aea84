/*
 * Branches: an application's part in each of the gateway's modules. Each has a
 * worker of its own, is started and lost by itself, and gives handles that no
 * other branch gives.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdlib.h>
#include <string.h>

bool
kmn_branch_may_see(const struct kmn_keeper *k, const struct kmn_policy_peer *peer, unsigned module)
{
	for (const char *const *name = peer->tokens; name != NULL && *name != NULL; name++) {
		const struct kmn_policy_token *token = kmn_policy_token_named(kmn_keeper_policy(k), *name);

		if (token != NULL && (token->module == NULL || k->setup->module_count == 1 ||
					 strcmp(token->module, k->setup->modules[module].name) == 0))
			return true;
	}
	return false;
}

bool
kmn_branch_fits(const struct kmn_keeper *k, const struct kmn_instance *instance, const struct kmn_policy_peer *peer)
{
	unsigned n = 0;

	for (unsigned m = 0; m < k->setup->module_count; m++) {
		if (!kmn_branch_may_see(k, peer, m))
			continue;
		if (n == instance->branches || instance->branch[n].module != m)
			return false;
		n++;
	}
	return n == instance->branches;
}

bool
kmn_branch_start_all(struct kmn_keeper *k, struct kmn_instance *instance)
{
	const struct kmn_policy_peer *peer = instance->attaching->peer;

	for (unsigned m = 0; m < k->setup->module_count; m++)
		if (kmn_branch_may_see(k, peer, m))
			instance->branch[instance->branches++] = (struct kmn_branch){.instance = instance, .module = m};
	instance->starting = instance->branches;
	for (unsigned i = 0; i < instance->branches; i++) {
		struct kmn_branch *branch = &instance->branch[i];

		branch->index = i;
		if ((branch->worker = kmn_worker_new(k, KMN_WORKER_CALLS, branch->module, branch)) == NULL)
			return false;
	}
	return instance->branches > 0;
}

/* One branch more is settled: it serves, or it never will. */
static void
settled(struct kmn_keeper *k, struct kmn_instance *instance)
{
	if (--instance->starting == 0)
		kmn_instance_ready(k, instance);
}

void
kmn_branch_ready(struct kmn_keeper *k, struct kmn_branch *branch)
{
	settled(k, branch->instance);
}

/* ---- the end of one --------------------------------------------------------------------------------------------- */

static bool
others_live(const struct kmn_branch *branch)
{
	const struct kmn_instance *instance = branch->instance;

	for (unsigned i = 0; i < instance->branches; i++)
		if (i != branch->index && instance->branch[i].worker != NULL)
			return true;
	return false;
}

/* Calls of the branch that the module may be working on, or was about to: what became of them nobody knows. */
static bool
is_in_flight(const struct kmn_call_state *call, const struct kmn_branch *branch)
{
	return call != NULL && call->branch == branch &&
	       (call->step == KMN_STEP_FACTS || call->step == KMN_STEP_START || call->step == KMN_STEP_RUNNING);
}

static void
record_undecided(struct kmn_keeper *k, const struct kmn_branch *branch, const char *reason)
{
	json_t *open = json_array();

	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		struct kmn_call_state *call = branch->instance->call[i];

		if (is_in_flight(call, branch) && call->decided) {
			kmn_call_add_undecided(call, open);
			call->decided = false;
		}
	}
	kmn_keeper_record_open(k, reason, open);
}

static void
end_calls(struct kmn_branch *branch)
{
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		struct kmn_call_state *call = branch->instance->call[i];

		if (call != NULL && call->branch == branch && call->step == KMN_STEP_HELD)
			kmn_hold_lost(call);
		else if (is_in_flight(call, branch))
			kmn_call_lost(call, KMN_E_WORKER);
	}
}

void
kmn_branch_lost(struct kmn_keeper *k, struct kmn_branch *branch, const char *reason)
{
	struct kmn_instance *instance = branch->instance;
	struct kmn_worker *worker = branch->worker;
	bool was_starting = worker != NULL && (worker->step == KMN_WORKER_ASKED || worker->step == KMN_WORKER_STARTING);

	if (worker == NULL || !others_live(branch)) {
		kmn_instance_end(k, instance, reason);
		return;
	}
	kmn_say(
	    KMN_SAY_WARNING, "module %s is lost to an application: %s", k->setup->modules[branch->module].name, reason);
	record_undecided(k, branch, reason);
	branch->worker = NULL;
	kmn_worker_release(k, worker);
	end_calls(branch);
	kmn_session_remove_branch(branch);
	kmn_slots_lost(branch);
	if (was_starting)
		settled(k, instance);
}

/* ---- speaking to one -------------------------------------------------------------------------------------------- */

struct kmn_branch *
kmn_branch_of_handle(struct kmn_instance *instance, uint64_t handle)
{
	uint64_t past = handle >= instance->first_handle ? handle - instance->first_handle : 0;

	return &instance->branch[past % instance->branches];
}

kmn_err
kmn_branch_ask(struct kmn_keeper *k, struct kmn_branch *branch, uint8_t kind, const struct kmn_writer *body,
    void (*done)(struct kmn_keeper *, void *, struct kmn_reader *), void *cookie)
{
	if (branch->worker == NULL)
		return KMN_E_WORKER;
	return body->err != KMN_OK ? body->err
				   : kmn_worker_ask(k, branch->worker, kind, body->bytes, body->len, done, cookie);
}

bool
kmn_branch_is_asked(const struct kmn_instance *instance, const void *cookie)
{
	const struct kmn_pending *p;

	for (unsigned i = 0; i < instance->branches; i++) {
		if (instance->branch[i].worker == NULL)
			continue;
		TAILQ_FOREACH(p, &instance->branch[i].worker->pending, link)
		if (p->cookie == cookie)
			return true;
	}
	return false;
}

void
kmn_branch_forget(struct kmn_instance *instance, const void *cookie)
{
	for (unsigned i = 0; i < instance->branches; i++)
		if (instance->branch[i].worker != NULL)
			kmn_worker_forget(instance->branch[i].worker, cookie);
}
