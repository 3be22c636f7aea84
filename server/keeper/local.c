/*
 * Answers that no module gives: of an application's view as a whole, and of
 * slots and modules that are not there. The policy was asked and the call is
 * recorded or counted like any other.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <stdio.h>
#include <string.h>

/* A PKCS#11 text: blanks to its end. */
static void
pad(CK_UTF8CHAR *out, size_t size, const char *text)
{
	size_t n = strlen(text);

	memset(out, ' ', size);
	memcpy(out, text, n < size ? n : size);
}

void
kmn_local_put_list(const struct kmn_call_state *call, const uint64_t *items, size_t n, struct kmn_writer *w)
{
	const struct kmn_value *list = kmn_view_nth(&call->view, KMN_KIND_SLOTS, 0);
	bool whole;

	if (list == NULL)
		list = kmn_view_nth(&call->view, KMN_KIND_MECH_TYPES, 0);
	whole = list != NULL && !list->null && list->number >= n;
	kmn_message_begin(w, call->view.id);
	kmn_writer_u64(w, whole || list == NULL || list->null ? CKR_OK : CKR_BUFFER_TOO_SMALL);
	kmn_writer_u8(w, whole ? KMN_OUTPUT_WHOLE : KMN_OUTPUT_NUMBER);
	kmn_writer_u64(w, n);
	for (size_t i = 0; whole && i < n; i++)
		kmn_writer_u64(w, items[i]);
}

/* The slots of the policy's line in the order of their numbers; only those with a token if that was asked. */
static void
put_slots(const struct kmn_call_state *call, struct kmn_writer *w)
{
	const struct kmn_instance *instance = call->instance;
	const struct kmn_value *present = kmn_view_nth(&call->view, KMN_KIND_BOOL, 0);
	uint64_t items[KMN_KEEPER_SLOTS_MAX];
	size_t n = 0;

	for (unsigned i = 0; i < instance->places && n < KMN_COUNT_OF(items); i++) {
		const struct kmn_place *place = &instance->place[i];
		size_t at = n;

		if (present != NULL && present->number != CK_FALSE && place->branch == NULL)
			continue;
		for (; at > 0 && items[at - 1] > place->number; at--)
			items[at] = items[at - 1];
		items[at] = place->number;
		n++;
	}
	kmn_local_put_list(call, items, n, w);
}

static void
put_struct(const struct kmn_call_state *call, enum kmn_kind kind, const void *native, struct kmn_writer *w)
{
	kmn_message_begin(w, call->view.id);
	kmn_writer_u64(w, CKR_OK);
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_struct_put(w, kind, native);
}

static void
put_empty_slot(const struct kmn_call_state *call, struct kmn_writer *w)
{
	CK_SLOT_INFO info = {.flags = 0};
	char text[KMN_POLICY_NAME_MAX_BYTES + 16] = "";

	for (unsigned i = 0; i < call->instance->places; i++)
		if (call->instance->place[i].number == call->slot)
			snprintf(text, sizeof(text), "token %s", call->instance->place[i].token);
	pad(info.slotDescription, sizeof(info.slotDescription), text);
	pad(info.manufacturerID, sizeof(info.manufacturerID), "kanmon");
	put_struct(call, KMN_KIND_SLOT_INFO, &info, w);
}

/* One library that is several: the version that all of them know, and a name that is none of theirs. */
static void
put_info(const struct kmn_call_state *call, struct kmn_writer *w)
{
	CK_INFO info = {.cryptokiVersion = {0xff, 0xff}, .libraryVersion = {1, 0}};

	for (unsigned i = 0; i < call->instance->branches; i++) {
		const struct kmn_worker *house = call->keeper->house[call->instance->branch[i].module];
		uint16_t version = house != NULL && house->version != 0 ? house->version : 0x0228;

		if (version < ((unsigned)info.cryptokiVersion.major << 8 | info.cryptokiVersion.minor)) {
			info.cryptokiVersion.major = (CK_BYTE)(version >> 8);
			info.cryptokiVersion.minor = (CK_BYTE)version;
		}
	}
	pad(info.manufacturerID, sizeof(info.manufacturerID), "kanmon");
	pad(info.libraryDescription, sizeof(info.libraryDescription), "kanmon: several modules");
	put_struct(call, KMN_KIND_INFO, &info, w);
}

void
kmn_local_answer(const struct kmn_call_state *call, struct kmn_writer *w)
{
	if (call->local_rv != CKR_OK)
		kmn_response_put_error(call->view.id, call->local_rv, w);
	else if (call->view.id == KMN_C_GetSlotList)
		put_slots(call, w);
	else if (call->view.id == KMN_C_GetSlotInfo)
		put_empty_slot(call, w);
	else if (call->view.id == KMN_C_GetInfo)
		put_info(call, w);
	else /* C_CloseSession of a session that went with its module */
		kmn_response_put_error(call->view.id, CKR_OK, w);
}
