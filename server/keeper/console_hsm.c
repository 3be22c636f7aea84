/*
 * What the HSMs show to somebody who is not logged in: their tokens, and keys among their public objects. Each module's
 * house worker is asked, one question after the other, when it has started and when pages want to know; so the console
 * shows tokens that no application uses, and keys that no record tells of. Shown, and nothing is decided on it.
 *
 *   SLOTS ─▶ TOKEN ─▶ OPEN ─▶ INIT ─▶ FIND.. ─▶ FINAL ─▶ DESCRIBE.. ─▶ (next class: INIT) CLOSE ─▶ (next slot: TOKEN)
 */
#include "config.h"

#include "server/keeper/console.h"

#include "kanmon/codec.h"
#include "kanmon/key.h"
#include "kanmon/view.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 60000   /* what was seen is as good for so long; and after a worker that died */
#define FIND_MAX 64u     /* objects of one C_FindObjects */
#define OBJECTS_MAX 512u /* of one class on one token; more are not looked at */
#define KEYS_MAX 2048u   /* of one module */

enum step { IDLE, SLOTS, TOKEN, OPEN, INIT, FIND, FINAL, DESCRIBE, CLOSE, STEPS };

static const CK_OBJECT_CLASS classes[] = {CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY};

/* What was seen: the newest token first. */
struct seen {
	LIST_HEAD(, kmn_token) tokens;
	json_t *keys, *looked; /* by kmn_ui_key_name(); an array */
};

/* One module. */
struct look {
	struct kmn_keeper *keeper;
	unsigned module;
	enum step step;
	bool wanted;
	uint32_t worker; /* 1 more than that of the last look; 0: there was none */
	int64_t at_ms;   /* boot clock: when it began, or a worker was started for it */
	uint64_t slot[KMN_KEEPER_SLOTS_MAX], object[OBJECTS_MAX], session;
	size_t slots, slot_at, objects, object_at, class_at;
	json_t *one;                /* of `looked`: the token that is looked at */
	struct seen *making, *made; /* NULL: nothing */
};

struct kmn_ui_hsm {
	struct look look[KMN_MODULES_MAX];
};

static struct seen *
seen_new(void)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	if (seen == NULL || (seen->keys = json_object()) == NULL || (seen->looked = json_array()) == NULL)
		KMN_BUG("out of memory");
	return seen;
}

static void
seen_free(struct seen *seen)
{
	struct kmn_token *token;

	if (seen == NULL)
		return;
	while ((token = LIST_FIRST(&seen->tokens)) != NULL) {
		LIST_REMOVE(token, link);
		free(token);
	}
	json_decref(seen->keys);
	json_decref(seen->looked);
	free(seen);
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

/* The message of the step that is due; its kind. */
static uint8_t
put_question(const struct look *l, struct kmn_writer *w)
{
	CK_OBJECT_CLASS class = classes[l->class_at];
	CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof(class)};
	CK_ULONG room[KMN_KEEPER_SLOTS_MAX], count = KMN_KEEPER_SLOTS_MAX;
	const struct kmn_arg slots[] = {{.u = CK_TRUE}, {.p = room, .n = &count}};
	const struct kmn_arg open[] = {
	    {.u = (CK_ULONG)l->slot[l->slot_at]}, {.u = CKF_SERIAL_SESSION}, {.p = NULL}, {.p = room}};
	const struct kmn_arg init[] = {{.u = (CK_ULONG)l->session}, {.p = &template, .u = 1}};
	const struct kmn_arg next[] = {{.u = (CK_ULONG)l->session}, {.p = room, .u = FIND_MAX, .n = &count}};
	const struct {
		enum kmn_call_id id;
		const struct kmn_arg *arg;
		size_t count;
	} calls[STEPS] = {[SLOTS] = {KMN_C_GetSlotList, slots, 2},
	    [OPEN] = {KMN_C_OpenSession, open, 4},
	    [INIT] = {KMN_C_FindObjectsInit, init, 2},
	    [FIND] = {KMN_C_FindObjects, next, 2},
	    [FINAL] = {KMN_C_FindObjectsFinal, init, 1},
	    [CLOSE] = {KMN_C_CloseSession, init, 1}};

	if (l->step == TOKEN) {
		kmn_writer_u64(w, l->slot[l->slot_at]);
		return KMN_W_TOKEN;
	}
	if (l->step == DESCRIBE) {
		kmn_writer_u64(w, l->session);
		kmn_writer_u64(w, l->object[l->object_at]);
		return KMN_W_DESCRIBE;
	}
	kmn_writer_u8(w, 0); /* no flags */
	if (kmn_request_encode(calls[l->step].id, calls[l->step].arg, calls[l->step].count, w) != KMN_OK)
		KMN_BUG("a question to a house worker cannot be put");
	return KMN_W_CALL;
}

static void heard(struct kmn_keeper *k, void *cookie, struct kmn_reader *r);

/* It is tried again when pages ask, with the next worker. */
static void
stop(struct look *l)
{
	l->step = IDLE;
	json_decref(l->one);
	l->one = NULL;
	seen_free(l->making);
	l->making = NULL;
}

static void
ask(struct look *l)
{
	struct kmn_keeper *k = l->keeper;
	struct kmn_writer w;
	uint8_t kind;

	kmn_writer_init(&w, 1024);
	kind = put_question(l, &w);
	if (w.err != KMN_OK || kmn_worker_ask(k, k->house[l->module], kind, w.bytes, w.len, heard, l) != KMN_OK)
		stop(l);
	kmn_writer_clear(&w);
}

/* ---- the next step ----------------------------------------------------------------------------------------------- */

static void
finish(struct look *l)
{
	struct seen *before = l->made;
	bool changed = before == NULL || !json_equal(before->keys, l->making->keys) ||
		       !json_equal(before->looked, l->making->looked);

	l->made = l->making;
	l->making = NULL;
	l->step = IDLE;
	seen_free(before);
	if (changed)
		kmn_ui_tell(l->keeper, json_pack("{s:s}", "event", "hsm"));
}

static void
go_to_slot(struct look *l)
{
	l->step = TOKEN;
	if (l->slot_at == l->slots)
		finish(l);
}

static void
end_token(struct look *l)
{
	(void)json_array_append_new(l->making->looked, l->one);
	l->one = NULL;
	l->slot_at++;
	go_to_slot(l);
}

/* What the module refused stands beside the token. */
static void
refused(struct look *l, uint64_t rv)
{
	if (rv != CKR_OK)
		(void)json_object_set_new(l->one, "why", kmn_ledger_rv_name(rv));
}

static void
go_to_object(struct look *l)
{
	l->step = DESCRIBE;
	if (l->object_at < l->objects)
		return;
	l->objects = 0;
	l->step = ++l->class_at < KMN_COUNT_OF(classes) ? INIT : CLOSE;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* The answer to a call; what cannot be one is CKR_GENERAL_ERROR. */
static uint64_t
read_response(struct kmn_reader *r, struct kmn_response_view *response)
{
	const uint8_t *payload;
	size_t len = kmn_reader_rest(r, &payload);

	return kmn_response_view_decode(payload, len, response) == KMN_OK ? response->rv : CKR_GENERAL_ERROR;
}

static size_t
take_list(const struct kmn_response_view *response, enum kmn_kind kind, uint64_t *out, size_t room)
{
	const struct kmn_result *list = kmn_response_nth(response, kind, 0);
	size_t count = list != NULL ? list->len / 8 : 0, n = 0;

	for (; n < count && n < room; n++)
		out[n] = kmn_result_item(list, n);
	return n;
}

static void
take_slots(struct look *l, struct kmn_reader *r)
{
	struct kmn_response_view response;

	l->slot_at = l->slots = 0;
	if (read_response(r, &response) == CKR_OK)
		l->slots = take_list(&response, KMN_KIND_SLOTS, l->slot, KMN_COUNT_OF(l->slot));
	go_to_slot(l);
}

/* Does a line of the policy have the token's label? Others are nobody's business here. */
static bool
is_named(const struct kmn_policy *policy, const struct kmn_token *token)
{
	const struct kmn_policy_token *line;

	for (size_t n = 0; (line = kmn_policy_token_at(policy, n)) != NULL; n++)
		if (strcmp(line->label, token->label) == 0)
			return true;
	return false;
}

static void
take_token(struct look *l, struct kmn_reader *r)
{
	struct kmn_token *token = calloc(1, sizeof(*token));

	if (token == NULL)
		KMN_BUG("out of memory");
	if (!kmn_token_read(r, kmn_token_module(l->keeper, l->module), token) ||
	    !is_named(kmn_keeper_policy(l->keeper), token)) {
		free(token);
		l->slot_at++;
		go_to_slot(l);
		return;
	}
	token->slot = l->slot[l->slot_at];
	LIST_INSERT_HEAD(&l->making->tokens, token, link);
	l->one = kmn_record_key(NULL, token);
	l->class_at = l->objects = l->object_at = 0;
	l->step = OPEN;
}

static void
take_session(struct look *l, struct kmn_reader *r)
{
	struct kmn_response_view response;
	uint64_t rv = read_response(r, &response);

	l->step = INIT;
	if (rv == CKR_OK && kmn_response_session(&response, &l->session))
		return;
	refused(l, rv != CKR_OK ? rv : CKR_GENERAL_ERROR);
	end_token(l);
}

static void
take_search(struct look *l, struct kmn_reader *r)
{
	struct kmn_response_view response;
	uint64_t rv = read_response(r, &response);

	refused(l, rv);
	l->objects = l->object_at = 0;
	l->step = rv == CKR_OK ? FIND : CLOSE;
}

static void
take_objects(struct look *l, struct kmn_reader *r)
{
	struct kmn_response_view response;
	uint64_t rv = read_response(r, &response);
	size_t came = 0;

	refused(l, rv);
	if (rv == CKR_OK)
		came = take_list(&response, KMN_KIND_OBJECTS, l->object + l->objects, OBJECTS_MAX - l->objects);
	l->objects += came;
	if (l->objects == OBJECTS_MAX)
		(void)json_object_set_new(l->one, "more", json_true());
	l->step = came == FIND_MAX && l->objects < OBJECTS_MAX ? FIND : FINAL;
}

static void
take_end_of_search(struct look *l, struct kmn_reader *r)
{
	(void)r;
	go_to_object(l);
}

/* Both halves of a pair are one key; the private one says more. */
static void
keep_key(struct look *l, const struct kmn_key_facts *facts)
{
	json_t *key = kmn_record_key(facts, LIST_FIRST(&l->making->tokens)), *keys = l->making->keys;
	char name[KMN_UI_KEY_NAME_BYTES];

	if (kmn_ui_key_name(key, name, sizeof(name)) && json_object_size(keys) < KEYS_MAX &&
	    (facts->class != CKO_PUBLIC_KEY || json_object_get(keys, name) == NULL))
		(void)json_object_set(keys, name, key);
	json_decref(key);
}

static void
take_object(struct look *l, struct kmn_reader *r)
{
	struct kmn_key_facts facts;

	l->object_at++;
	if (kmn_reader_u64(r) == CKR_OK) {
		kmn_key_facts_get(r, &facts);
		if (kmn_reader_end(r) == KMN_OK)
			keep_key(l, &facts);
	}
	go_to_object(l);
}

static void
take_closed(struct look *l, struct kmn_reader *r)
{
	(void)r;
	end_token(l);
}

static void
heard(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	static void (*const takers[STEPS])(struct look *, struct kmn_reader *) = {
	    [SLOTS] = take_slots,
	    [TOKEN] = take_token,
	    [OPEN] = take_session,
	    [INIT] = take_search,
	    [FIND] = take_objects,
	    [FINAL] = take_end_of_search,
	    [DESCRIBE] = take_object,
	    [CLOSE] = take_closed,
	};
	struct look *l = cookie;

	(void)k;
	if (r == NULL) {
		stop(l);
		return;
	}
	takers[l->step](l, r);
	if (l->step != IDLE)
		ask(l);
}

/* ---- when -------------------------------------------------------------------------------------------------------- */

static void
look_tick(struct kmn_keeper *k, struct look *l)
{
	struct kmn_worker **house = &k->house[l->module];
	int64_t now = kmn_keeper_boot_ms();
	bool again = l->wanted && (l->at_ms == 0 || now - l->at_ms >= AGAIN_MS);

	if (l->step != IDLE)
		return;
	if (*house == NULL && again) {
		*house = kmn_worker_new(k, KMN_WORKER_HOUSE, l->module, NULL);
		l->at_ms = now;
	}
	if (*house == NULL || (*house)->step != KMN_WORKER_READY || (l->worker == (*house)->id + 1 && !again))
		return;
	l->wanted = false;
	l->worker = (*house)->id + 1;
	l->at_ms = now;
	l->making = seen_new();
	l->step = SLOTS;
	ask(l);
}

void
kmn_ui_hsm_tick(struct kmn_keeper *k)
{
	for (unsigned m = 0; k->console != NULL && !k->stopping && m < k->setup->module_count; m++)
		look_tick(k, &k->consoling->hsm->look[m]);
}

void
kmn_ui_hsm_begin(struct kmn_keeper *k)
{
	struct kmn_ui_hsm *hsm = calloc(1, sizeof(*hsm));

	if (hsm == NULL)
		KMN_BUG("out of memory");
	for (unsigned m = 0; m < KMN_COUNT_OF(hsm->look); m++) {
		hsm->look[m].keeper = k;
		hsm->look[m].module = m;
	}
	k->consoling->hsm = hsm;
}

void
kmn_ui_hsm_free(struct kmn_ui_hsm *hsm)
{
	for (unsigned m = 0; hsm != NULL && m < KMN_COUNT_OF(hsm->look); m++) {
		stop(&hsm->look[m]);
		seen_free(hsm->look[m].made);
	}
	free(hsm);
}

/* ---- what was seen ----------------------------------------------------------------------------------------------- */

void
kmn_ui_hsm_want(struct kmn_keeper *k)
{
	for (unsigned m = 0; m < k->setup->module_count; m++)
		k->consoling->hsm->look[m].wanted = true;
}

const struct kmn_token *
kmn_ui_hsm_token(const struct kmn_keeper *k, const struct kmn_policy_token *line)
{
	const struct kmn_token *token;

	for (unsigned m = 0; m < k->setup->module_count; m++) {
		const struct seen *made = k->consoling->hsm->look[m].made;

		if (made == NULL || (line->module != NULL && strcmp(line->module, k->setup->modules[m].name) != 0))
			continue;
		LIST_FOREACH(token, &made->tokens, link)
		if (strcmp(token->label, line->label) == 0)
			return token;
	}
	return NULL;
}

const json_t *
kmn_ui_hsm_keys(const struct kmn_keeper *k, unsigned module)
{
	const struct seen *made = k->consoling->hsm->look[module].made;

	return made != NULL ? made->keys : NULL;
}

json_t *
kmn_ui_hsm_looked(const struct kmn_keeper *k)
{
	json_t *all = json_array();

	for (unsigned m = 0; m < k->setup->module_count; m++)
		if (k->consoling->hsm->look[m].made != NULL)
			(void)json_array_extend(all, k->consoling->hsm->look[m].made->looked);
	return all;
}
