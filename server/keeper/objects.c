/*
 * Objects that the policy hides: of which a client may not even ask. They are
 * absent from what it finds, and their handles are those of nothing. Asked of
 * the worker only where the client's rules on queries name objects at all.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <stdlib.h>
#include <string.h>

/* One C_FindObjects while what the module found is looked through. */
struct kmn_find {
	uint64_t max;   /* handles that the caller has room for */
	uint64_t asked; /* of the module, this time */
	uint64_t *kept; /* max of them; owned */
	size_t kept_count;
	uint64_t *batch; /* what the module found this time; owned */
	size_t batch_count, at;
};

static void look_at_next(struct kmn_call_state *call);

bool
kmn_objects_are_limited(const struct kmn_call_state *call)
{
	return kmn_policy_limits_queries(kmn_keeper_policy(call->keeper), call->instance->spki_sha256);
}

static bool
is_hidden(const struct kmn_call_state *call, const struct kmn_key_facts *facts)
{
	struct kmn_verdict verdict;

	kmn_judge_query(call, facts, &verdict);
	return verdict.answer == KMN_ANSWER_REFUSED;
}

bool
kmn_objects_hide(const struct kmn_call_state *call)
{
	if (!kmn_objects_are_limited(call))
		return false;
	for (unsigned i = 0; i < call->keys; i++)
		if (is_hidden(call, &call->key[i]))
			return true;
	return false;
}

void
kmn_objects_forget_call(struct kmn_call_state *call)
{
	if (call->find == NULL)
		return;
	free(call->find->kept);
	free(call->find->batch);
	free(call->find);
	call->find = NULL;
}

/* ---- C_FindObjects ----------------------------------------------------------------------------------------------- */

/* What was kept is the answer. */
static void
finish(struct kmn_call_state *call)
{
	struct kmn_find *find = call->find;
	struct kmn_writer w;
	uint8_t *reply;
	size_t len;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_message_begin(&w, call->view.id);
	kmn_writer_u64(&w, CKR_OK);
	kmn_writer_u8(&w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(&w, find->kept_count);
	for (size_t i = 0; i < find->kept_count; i++)
		kmn_writer_u64(&w, find->kept[i]);
	if (kmn_writer_take(&w, &reply, &len) != KMN_OK)
		KMN_BUG("out of memory");
	kmn_writer_clear(&w);
	kmn_objects_forget_call(call);
	call->looked_through = true;
	kmn_call_take_reply(call, reply, len);
}

static void
take_batch(struct kmn_find *find, const struct kmn_result *list)
{
	size_t n = list->len / sizeof(uint64_t);

	free(find->batch);
	find->batch = calloc(n + 1, sizeof(*find->batch));
	if (find->batch == NULL)
		KMN_BUG("out of memory");
	for (size_t i = 0; i < n; i++)
		find->batch[i] = kmn_result_item(list, i);
	find->batch_count = n;
	find->at = 0;
}

static void
more_found(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	struct kmn_response_view response;
	const struct kmn_result *list;
	const uint8_t *payload;
	size_t len;

	if (r == NULL)
		return; /* its branch ends, and with it this call */
	len = kmn_reader_rest(r, &payload);
	if (kmn_response_view_decode(payload, len, &response) != KMN_OK || response.id != call->view.id) {
		kmn_branch_lost(k, call->branch, "its worker answers in a shape that cannot be");
	} else if (response.rv == CKR_OK && (list = kmn_response_nth(&response, KMN_KIND_OBJECTS, 0)) != NULL) {
		take_batch(call->find, list);
		look_at_next(call);
	} else {
		finish(call); /* with what there was before; the next call meets the failure */
	}
}

/* A short answer means "that was all" to many a caller: what was dropped is made up for. */
static void
find_more(struct kmn_call_state *call)
{
	struct kmn_find *find = call->find;
	CK_ULONG n = 0;
	CK_OBJECT_HANDLE nothing;
	struct kmn_arg arg[] = {{.u = (CK_ULONG)call->session_handle}, {.p = &nothing, .n = &n}};
	struct kmn_writer w;

	find->asked = find->max - find->kept_count;
	arg[1].u = (CK_ULONG)find->asked;
	kmn_writer_init(&w, 256);
	kmn_call_put_flags(call, 0, &w);
	if (kmn_request_encode(KMN_C_FindObjects, arg, KMN_COUNT_OF(arg), &w) != KMN_OK)
		KMN_BUG("a question for objects cannot be put");
	if (kmn_branch_ask(call->keeper, call->branch, KMN_W_CALL, &w, more_found, call) != KMN_OK)
		kmn_branch_lost(call->keeper, call->branch, "its worker does not listen");
	kmn_writer_clear(&w);
}

static void
described(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct kmn_call_state *call = cookie;
	struct kmn_find *find = call->find;
	struct kmn_key_facts facts = {0};

	(void)k;
	if (r == NULL)
		return; /* its branch ends, and with it this call */
	/* What is gone again, or cannot be described, is nothing that the client may see. */
	if (kmn_reader_u64(r) == CKR_OK) {
		kmn_key_facts_get(r, &facts);
		if (kmn_reader_end(r) == KMN_OK && !is_hidden(call, &facts))
			find->kept[find->kept_count++] = find->batch[find->at];
	}
	find->at++;
	look_at_next(call);
}

static void
look_at_next(struct kmn_call_state *call)
{
	struct kmn_find *find = call->find;
	struct kmn_writer w;

	if (find->at == find->batch_count) {
		if (find->batch_count == find->asked && find->kept_count < find->max && find->batch_count > 0)
			find_more(call);
		else
			finish(call);
		return;
	}
	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, call->session_handle);
	kmn_writer_u64(&w, find->batch[find->at]);
	if (kmn_branch_ask(call->keeper, call->branch, KMN_W_DESCRIBE, &w, described, call) != KMN_OK)
		kmn_branch_lost(call->keeper, call->branch, "its worker does not listen");
	kmn_writer_clear(&w);
}

bool
kmn_objects_look_through(struct kmn_call_state *call, const struct kmn_response_view *response)
{
	const struct kmn_value *room = kmn_view_nth(&call->view, KMN_KIND_OBJECTS, 0);
	const struct kmn_result *list = kmn_response_nth(response, KMN_KIND_OBJECTS, 0);
	struct kmn_find *find;

	if (call->view.id != KMN_C_FindObjects || call->looked_through || list == NULL || room == NULL ||
	    response->rv != CKR_OK || !kmn_objects_are_limited(call))
		return false;
	if ((find = calloc(1, sizeof(*find))) == NULL)
		KMN_BUG("out of memory");
	find->max = find->asked = room->number < KMN_LIST_MAX_ITEMS ? room->number : KMN_LIST_MAX_ITEMS;
	if ((find->kept = calloc(find->max + 1, sizeof(*find->kept))) == NULL)
		KMN_BUG("out of memory");
	call->find = find;
	take_batch(find, list);
	look_at_next(call);
	return true;
}
