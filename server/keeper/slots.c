/*
 * Slots as a client sees them. Where the policy maps its tokens, a slot number
 * stands for a token line and for nothing else: which module has that token,
 * and in which of its slots, is found by a survey - each module's slots and
 * the tokens in them - when somebody asks and something may have changed.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <stdlib.h>
#include <string.h>

/* One map in the making. */
struct kmn_survey {
	struct kmn_instance *instance;
	unsigned due; /* answers of workers */
	bool again;   /* something changed meanwhile */
	struct kmn_place found[];
};

/* One question of a survey. */
struct question {
	struct kmn_survey *survey;
	struct kmn_branch *branch;
	uint64_t slot;
};

/* ---- the client's numbers ---------------------------------------------------------------------------------------- */

bool
kmn_slots_init(struct kmn_keeper *k, struct kmn_instance *instance)
{
	const struct kmn_policy_peer *peer = instance->attaching->peer;

	(void)k;
	if (peer->slots == NULL && instance->branches == 1)
		return true;
	while (peer->tokens[instance->places] != NULL)
		instance->places++;
	if ((instance->place = calloc(instance->places, sizeof(*instance->place))) == NULL)
		return false;
	for (unsigned i = 0; i < instance->places; i++) {
		instance->place[i].number = peer->slots != NULL ? peer->slots[i] : i + 1;
		snprintf(instance->place[i].token, sizeof(instance->place[i].token), "%s", peer->tokens[i]);
	}
	instance->place_stale = true;
	return true;
}

bool
kmn_slots_fit(const struct kmn_instance *instance, const struct kmn_policy_peer *peer)
{
	unsigned n = 0;

	if (peer->slots == NULL && instance->branches == 1)
		return instance->place == NULL;
	for (; peer->tokens[n] != NULL; n++) {
		uint64_t number = peer->slots != NULL ? peer->slots[n] : n + 1;

		if (n >= instance->places || instance->place[n].number != number ||
		    strcmp(instance->place[n].token, peer->tokens[n]) != 0)
			return false;
	}
	return n == instance->places;
}

void
kmn_slots_clear(struct kmn_instance *instance)
{
	free(instance->place);
	instance->place = NULL;
	instance->places = 0;
}

static struct kmn_place *
place_of(struct kmn_instance *instance, uint64_t number)
{
	for (unsigned i = 0; i < instance->places; i++)
		if (instance->place[i].number == number)
			return &instance->place[i];
	return NULL;
}

bool
kmn_slots_number(const struct kmn_branch *branch, uint64_t vendor, uint64_t *number_out)
{
	const struct kmn_instance *instance = branch->instance;

	*number_out = vendor;
	if (instance->place == NULL)
		return true;
	for (unsigned i = 0; i < instance->places; i++) {
		const struct kmn_place *place = &instance->place[i];

		if (place->branch != branch || place->vendor != vendor)
			continue;
		*number_out = place->number;
		return true;
	}
	return false;
}

/* ---- the survey -------------------------------------------------------------------------------------------------- */

/* What it found becomes the map; who sees another token than before is told. */
static void
finish(struct kmn_keeper *k, struct kmn_survey *survey)
{
	struct kmn_instance *instance = survey->instance;
	struct kmn_call_state *call;

	instance->survey = NULL;
	instance->place_stale = survey->again;
	for (unsigned i = 0; i < instance->places; i++) {
		struct kmn_place *place = &instance->place[i];
		bool changed = place->branch != survey->found[i].branch || place->vendor != survey->found[i].vendor;

		place->branch = survey->found[i].branch;
		place->vendor = survey->found[i].vendor;
		if (changed)
			kmn_token_forget(instance, place->number);
		if (changed && instance->place_known)
			kmn_event_raise(k, instance, place->number);
	}
	instance->place_known = true;
	free(survey);
	while ((call = TAILQ_FIRST(&instance->mapping)) != NULL) {
		TAILQ_REMOVE(&instance->mapping, call, queue);
		call->in_mapping = false;
		kmn_slots_settle(call);
		kmn_call_ready(call);
	}
}

static void
answered(struct kmn_keeper *k, struct question *q)
{
	struct kmn_survey *survey = q->survey;

	free(q);
	if (--survey->due == 0)
		finish(k, survey);
}

static void
ask(struct kmn_survey *survey, struct kmn_branch *branch, uint64_t slot, uint8_t kind, struct kmn_writer *w,
    void (*done)(struct kmn_keeper *, void *, struct kmn_reader *))
{
	struct question *q = calloc(1, sizeof(*q));

	if (q == NULL)
		KMN_BUG("out of memory");
	*q = (struct question){survey, branch, slot};
	survey->due++;
	if (kmn_branch_ask(survey->instance->keeper, branch, kind, w, done, q) != KMN_OK) {
		survey->due--; /* a branch without a worker has no tokens */
		free(q);
	}
	kmn_writer_clear(w);
}

/* The first module that has the token is it, and of two of its slots the first. */
static void
token_found(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct question *q = cookie;
	struct kmn_survey *survey = q->survey;
	const char *module = kmn_token_module(k, q->branch->module);
	const struct kmn_policy_token *line;
	struct kmn_token token = {0};

	if (r != NULL && kmn_token_read(r, module, &token) &&
	    (line = kmn_policy_token_get(kmn_keeper_policy(k), &token.facts)) != NULL) {
		for (unsigned i = 0; i < survey->instance->places; i++) {
			struct kmn_place *found = &survey->found[i];

			if (strcmp(survey->instance->place[i].token, line->name) != 0 ||
			    (found->branch != NULL && (found->branch->index < q->branch->index ||
							  (found->branch == q->branch && found->vendor < q->slot))))
				continue;
			found->branch = q->branch;
			found->vendor = q->slot;
		}
	}
	answered(k, q);
}

static void
slots_found(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct question *q = cookie;
	struct kmn_response_view response;
	const struct kmn_result *list;
	const uint8_t *payload;
	size_t len = r != NULL ? kmn_reader_rest(r, &payload) : 0;

	if (r != NULL && kmn_response_view_decode(payload, len, &response) == KMN_OK &&
	    response.id == KMN_C_GetSlotList && response.rv == CKR_OK &&
	    (list = kmn_response_nth(&response, KMN_KIND_SLOTS, 0)) != NULL) {
		for (size_t i = 0; i < list->len / 8 && i < KMN_KEEPER_SLOTS_MAX; i++) {
			struct kmn_writer w;

			kmn_writer_init(&w, 16);
			kmn_writer_u64(&w, kmn_result_item(list, i));
			ask(q->survey, q->branch, kmn_result_item(list, i), KMN_W_TOKEN, &w, token_found);
		}
	}
	answered(k, q);
}

/* Asks every module for its slots. */
static void
begin_survey(struct kmn_instance *instance)
{
	CK_SLOT_ID room[KMN_KEEPER_SLOTS_MAX];
	CK_ULONG n = KMN_KEEPER_SLOTS_MAX;
	struct kmn_arg arg[] = {{.u = CK_TRUE}, {.p = room, .n = &n}};
	struct kmn_survey *survey;

	if ((survey = calloc(1, sizeof(*survey) + instance->places * sizeof(survey->found[0]))) == NULL)
		KMN_BUG("out of memory");
	survey->instance = instance;
	instance->survey = survey;
	survey->due = 1; /* until all were asked */
	for (unsigned i = 0; i < instance->branches; i++) {
		struct kmn_writer w;

		kmn_writer_init(&w, 256);
		kmn_writer_u8(&w, 0);
		if (kmn_request_encode(KMN_C_GetSlotList, arg, KMN_COUNT_OF(arg), &w) != KMN_OK)
			KMN_BUG("a question for slots cannot be put");
		ask(survey, &instance->branch[i], 0, KMN_W_CALL, &w, slots_found);
	}
	if (--survey->due == 0)
		finish(instance->keeper, survey);
}

void
kmn_slots_changed(struct kmn_instance *instance)
{
	if (instance->place == NULL)
		return;
	instance->place_stale = true;
	if (instance->survey != NULL)
		instance->survey->again = true;
	else if (instance->place_known)
		begin_survey(instance);
}

void
kmn_slots_lost(struct kmn_branch *branch)
{
	struct kmn_instance *instance = branch->instance;

	for (unsigned i = 0; i < instance->places; i++) {
		struct kmn_place *place = &instance->place[i];

		if (place->branch != branch)
			continue;
		place->branch = NULL;
		kmn_token_forget(instance, place->number);
		kmn_gatelink_notice(instance, KMN_NOTICE_STATE, place->number);
		kmn_event_raise(instance->keeper, instance, place->number);
	}
}

/* ---- calls ------------------------------------------------------------------------------------------------------- */

void
kmn_slots_settle(struct kmn_call_state *call)
{
	const struct kmn_place *place;

	if (call->view.id == KMN_C_GetSlotList)
		return; /* kmn_local_answer() reads the map */
	if ((place = place_of(call->instance, call->slot)) == NULL) {
		call->local_rv = CKR_SLOT_ID_INVALID;
	} else if (place->branch == NULL) {
		call->local_rv = call->view.id == KMN_C_GetSlotInfo ? CKR_OK : CKR_TOKEN_NOT_PRESENT;
	} else {
		call->branch = place->branch;
		call->vendor_slot = place->vendor;
	}
}

bool
kmn_slots_route(struct kmn_call_state *call)
{
	struct kmn_instance *instance = call->instance;
	const struct kmn_place *place;

	if (instance->place == NULL) {
		call->branch = &instance->branch[0];
		call->vendor_slot = call->slot;
		return true;
	}
	place = place_of(instance, call->slot);
	/* Whether a token came back is looked at each time; one that is there stays until something says otherwise. */
	if (call->view.id != KMN_C_GetSlotList &&
	    (place == NULL || (place->branch != NULL && !instance->place_stale))) {
		kmn_slots_settle(call);
		return true;
	}
	call->in_mapping = true;
	TAILQ_INSERT_TAIL(&instance->mapping, call, queue);
	if (instance->survey == NULL)
		begin_survey(instance);
	return false;
}

void
kmn_slots_forget_call(struct kmn_call_state *call)
{
	if (!call->in_mapping)
		return;
	call->in_mapping = false;
	TAILQ_REMOVE(&call->instance->mapping, call, queue);
}
