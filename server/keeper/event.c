/*
 * Slot events. One worker per module, started when somebody first asks, blocks
 * in the module's C_WaitForSlotEvent and tells what comes out; here that goes
 * to every application that sees the slot. An application's flags are clear
 * when it attaches, and a C_WaitForSlotEvent that blocks is parked like a call
 * that a quorum holds: no thread of a module waits for a client.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/say.h"

#include <stdlib.h>
#include <string.h>

#define WATCH_AGAIN_MS 10000 /* after a watching worker died */
#define NO_REQUEST UINT64_MAX

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void
answer(struct kmn_call_state *call, CK_RV rv, uint64_t slot)
{
	struct kmn_writer w;
	uint8_t *reply;
	size_t len;

	if (rv != CKR_OK) {
		kmn_call_finish_rv(call, rv);
		return;
	}
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_message_begin(&w, call->view.id);
	kmn_writer_u64(&w, CKR_OK);
	kmn_writer_u8(&w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(&w, slot);
	if (kmn_writer_take(&w, &reply, &len) != KMN_OK)
		KMN_BUG("out of memory");
	kmn_writer_clear(&w);
	kmn_call_finish(call, reply, len);
}

/* The flag that has stood longest; the caller knows that there is one. */
static uint64_t
take_flag(struct kmn_instance *instance)
{
	uint64_t slot = instance->event[0];

	instance->events--;
	memmove(instance->event, instance->event + 1, instance->events * sizeof(instance->event[0]));
	return slot;
}

static struct kmn_call_state *
waiting_in(const struct kmn_instance *instance)
{
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++)
		if (instance->call[i] != NULL && instance->call[i]->step == KMN_STEP_EVENT)
			return instance->call[i];
	return NULL;
}

/* What the modules said who cannot tell of events; CKR_OK while one of them may. */
static CK_RV
given_up(const struct kmn_instance *instance)
{
	const struct kmn_keeper *k = instance->keeper;
	CK_RV rv = CKR_OK;

	for (unsigned i = 0; i < instance->branches; i++) {
		CK_RV said = k->watch[instance->branch[i].module].rv;

		if (said == CKR_OK)
			return CKR_OK;
		rv = rv == CKR_OK ? said : rv;
	}
	return rv;
}

void
kmn_event_raise(struct kmn_keeper *k, struct kmn_instance *instance, uint64_t slot)
{
	struct kmn_call_state *call;
	bool there = false;

	kmn_token_forget(instance, slot);
	kmn_gatelink_notice(instance, KMN_NOTICE_SLOT, slot);
	for (unsigned i = 0; i < instance->events; i++)
		there = there || instance->event[i] == slot;
	if (!there && instance->events < KMN_COUNT_OF(instance->event))
		instance->event[instance->events++] = slot;
	if (instance->events > 0 && !k->failed && (call = waiting_in(instance)) != NULL)
		answer(call, CKR_OK, take_flag(instance));
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

static void
start_watching(struct kmn_keeper *k, unsigned module)
{
	struct kmn_watch *watch = &k->watch[module];

	if (watch->worker != NULL || watch->rv != CKR_OK || kmn_keeper_boot_ms() < watch->not_before_ms)
		return;
	watch->not_before_ms = kmn_keeper_boot_ms() + WATCH_AGAIN_MS;
	watch->worker = kmn_worker_new(k, KMN_WORKER_WATCHES, module, NULL);
}

static void
start_all(const struct kmn_instance *instance)
{
	for (unsigned i = 0; i < instance->branches; i++)
		start_watching(instance->keeper, instance->branch[i].module);
}

/*
 * A question that does not block may be the module's own to answer: of a module seen as it is, while nothing shows that
 * it tells of events at all. Some do not, and say so in either of two ways.
 */
static bool
is_for_module(const struct kmn_instance *instance)
{
	return instance->place == NULL && !instance->keeper->watch[instance->branch[0].module].works;
}

bool
kmn_event_wait(struct kmn_call_state *call)
{
	struct kmn_instance *instance = call->instance;
	const struct kmn_value *flags = kmn_view_nth(&call->view, KMN_KIND_FLAGS, 0);
	bool blocks = flags == NULL || (flags->number & CKF_DONT_BLOCK) == 0;
	CK_RV rv;

	start_all(instance);
	if (instance->events == 0 && !blocks && is_for_module(instance)) {
		call->branch = &instance->branch[0];
		return false;
	}
	kmn_call_count(call);
	if (instance->events > 0) {
		answer(call, CKR_OK, take_flag(instance));
	} else if ((rv = given_up(instance)) != CKR_OK) {
		answer(call, rv, 0);
	} else if (!blocks) {
		answer(call, CKR_NO_EVENT, 0);
	} else {
		call->step = KMN_STEP_EVENT;
		call->request.i = NO_REQUEST;
		kmn_hold_tell(call);
	}
	return true;
}

void
kmn_event_given(struct kmn_call_state *call, const struct kmn_response_view *response)
{
	const struct kmn_result *slot = kmn_response_nth(response, KMN_KIND_SLOT_OUT, 0);

	if (response->rv != CKR_OK || slot == NULL || call->branch == NULL)
		return;
	call->instance->has_given = true;
	call->instance->given = slot->number;
}

/* ---- what the modules tell --------------------------------------------------------------------------------------- */

static struct kmn_branch *
branch_in(struct kmn_instance *instance, unsigned module)
{
	for (unsigned i = 0; i < instance->branches; i++)
		if (instance->branch[i].module == module && instance->branch[i].worker != NULL)
			return &instance->branch[i];
	return NULL;
}

static void
happened(struct kmn_keeper *k, unsigned module, uint64_t vendor)
{
	struct kmn_instance *instance;

	k->watch[module].works = true;
	LIST_FOREACH(instance, &k->instances, link)
	{
		struct kmn_branch *branch = branch_in(instance, module);
		uint64_t slot;

		if (branch == NULL)
			continue;
		if (kmn_slots_number(branch, vendor, &slot)) {
			if (instance->has_given && instance->given == slot)
				kmn_gatelink_notice(instance, KMN_NOTICE_SLOT, slot); /* its own worker told it */
			else
				kmn_event_raise(k, instance, slot);
			instance->has_given = false;
		}
		kmn_slots_changed(instance);
	}
}

/* The module tells of no events, or not any more: who waits for it alone waits for nothing. */
static void
gave_up(struct kmn_keeper *k, unsigned module, CK_RV rv)
{
	struct kmn_worker *worker = k->watch[module].worker;
	struct kmn_instance *instance;
	struct kmn_call_state *call;
	char name[32];

	kmn_say(KMN_SAY_INFO, "module %s tells of no slot events: %s", k->setup->modules[module].name,
	    kmn_record_rv_name(rv, name));
	k->watch[module].rv = rv;
	kmn_worker_release(k, worker);
	LIST_FOREACH(instance, &k->instances, link)
	{
		kmn_gatelink_notice(instance, KMN_NOTICE_SLOT, UINT64_MAX); /* who waits without a call asks again */
		while (given_up(instance) != CKR_OK && (call = waiting_in(instance)) != NULL)
			answer(call, given_up(instance), 0);
	}
}

bool
kmn_event_told(struct kmn_keeper *k, struct kmn_worker *worker, struct kmn_reader *r)
{
	uint64_t rv = kmn_reader_u64(r), slot = kmn_reader_u64(r);

	if (kmn_reader_end(r) != KMN_OK || worker->use != KMN_WORKER_WATCHES)
		return false;
	if (rv == CKR_OK)
		happened(k, worker->module, slot);
	else
		gave_up(k, worker->module, (CK_RV)rv);
	return true;
}

void
kmn_event_tick(struct kmn_keeper *k)
{
	const struct kmn_instance *instance;

	LIST_FOREACH(instance, &k->instances, link)
	if (waiting_in(instance) != NULL)
		start_all(instance);
}
