/*
 * From a view to a call of the module, and from what it left to a response.
 * The thunks are made from calls.def; everything else is by kind of argument.
 */
#include "server/hsm/invoke_parts.h"

#include <stdatomic.h>
#include <string.h>

#include "kanmon/say.h"

/* An argument as the module gets it. */
struct native {
	void *p;
	CK_ULONG u;     /* scalar, length, count */
	CK_ULONG n;     /* behind a CK_ULONG_PTR */
	CK_ULONG given; /* what n was before the call */
	CK_ULONG *pn;   /* &n, or NULL where the caller gave no place for a length */
};

struct invocation {
	const struct kmn_call_view *view;
	const struct kmn_handles *handles;
	struct kmn_arena *arena;
	struct native arg[KMN_CALL_ARGS_MAX];
	struct kmn_param_native *param;
	CK_RV rv;
};

/* ---- thunks -------------------------------------------------------------------------------------------------- */

/* PASS(1, (DATA, pData, ulDataLen, DIGEST)) is a[1].p, a[1].u. */
/* clang-format off */
#define PASS(i, argument) PASS_AS(i, KMN_BARE argument)
#define PASS_AS(...) PASS_OF(__VA_ARGS__)
#define PASS_OF(i, kind, ...) PASS_##kind(i)
#define PASS_SESSION(i) a[i].u
#define PASS_SLOT(i) a[i].u
#define PASS_OBJECT(i) a[i].u
#define PASS_KEY(i) a[i].u
#define PASS_ULONG(i) a[i].u
#define PASS_FLAGS(i) a[i].u
#define PASS_MECH_TYPE(i) a[i].u
#define PASS_BOOL(i) (CK_BBOOL)a[i].u
#define PASS_MECHANISM(i) a[i].p
#define PASS_MESSAGE_PARAM(i) a[i].p, a[i].u
#define PASS_DATA(i) a[i].p, a[i].u
#define PASS_AAD(i) a[i].p, a[i].u
#define PASS_USERNAME(i) a[i].p, a[i].u
#define PASS_PIN(i) a[i].p, a[i].u
#define PASS_LABEL(i) a[i].p
#define PASS_TEMPLATE(i) a[i].p, a[i].u
#define PASS_NOTIFY(i) NULL, NULL
#define PASS_VALUES(i) a[i].p, a[i].u
#define PASS_ROOM(i) a[i].p, &a[i].n
#define PASS_MAYBE_ROOM(i) a[i].p, a[i].pn
#define PASS_FILL(i) a[i].p, a[i].u
#define PASS_SLOTS(i) a[i].p, &a[i].n
#define PASS_MECH_TYPES(i) a[i].p, &a[i].n
#define PASS_OBJECTS(i) a[i].p, a[i].u, &a[i].n
#define PASS_NEW_SESSION(i) a[i].p
#define PASS_NEW_OBJECT(i) a[i].p
#define PASS_MAYBE_OBJECT(i) a[i].p
#define PASS_FLAGS_OUT(i) a[i].p
#define PASS_SLOT_OUT(i) a[i].p
#define PASS_LOCAL(i) NULL
#define PASS_ULONG_OUT(i) a[i].p
#define PASS_INFO(i) a[i].p
#define PASS_SLOT_INFO(i) a[i].p
#define PASS_TOKEN_INFO(i) a[i].p
#define PASS_MECH_INFO(i) a[i].p
#define PASS_SESSION_INFO(i) a[i].p
/* clang-format on */

/* A thunk for every policy class but local, whose functions never come here. */
#define THUNK_LOCAL(symbol, ...)
#define THUNK_SESSION THUNK
#define THUNK_LOGIN THUNK
#define THUNK_QUERY THUNK
#define THUNK_KEY_USE THUNK
#define THUNK_KEY_MANAGEMENT THUNK
#define THUNK_TOKEN_MANAGEMENT THUNK
#define THUNK_RANDOM THUNK

#define THUNK(symbol, ...) \
	static CK_RV thunk_##symbol(const CK_FUNCTION_LIST_3_2 *module, struct native *a) \
	{ \
		if (module->symbol == NULL) \
			return CKR_FUNCTION_NOT_SUPPORTED; \
		return module->symbol(KMN_LIST(PASS, __VA_ARGS__)); \
	}

#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) THUNK_##policy(symbol, __VA_ARGS__)
#include "kanmon/calls.def"
#undef KMN_CALL

#define ENTRY_LOCAL(symbol)
#define ENTRY_SESSION ENTRY
#define ENTRY_LOGIN ENTRY
#define ENTRY_QUERY ENTRY
#define ENTRY_KEY_USE ENTRY
#define ENTRY_KEY_MANAGEMENT ENTRY
#define ENTRY_TOKEN_MANAGEMENT ENTRY
#define ENTRY_RANDOM ENTRY
#define ENTRY(symbol) [KMN_##symbol] = thunk_##symbol,

static CK_RV (*const thunks[KMN_CALL_COUNT])(const CK_FUNCTION_LIST_3_2 *module, struct native *a) = {
#define KMN_CALL(symbol, since, policy, ...) ENTRY_##policy(symbol)
#include "kanmon/calls.def"
#undef KMN_CALL
};

/* ---- before the call ----------------------------------------------------------------------------------------- */

static bool
build_copy(struct invocation *c, const struct kmn_value *v, struct native *a)
{
	a->u = kmn_native_length(v->number);
	if (v->null)
		return true;
	if ((a->p = kmn_arena_take(c->arena, v->len, 0)) != NULL && v->len > 0)
		memcpy(a->p, v->bytes, v->len);
	return a->p != NULL;
}

/* Room for an output: at least `least` items, whatever the module is told of. */
static bool
build_room(struct invocation *c, const struct kmn_value *v, CK_ULONG max, size_t item, size_t least, struct native *a)
{
	CK_ULONG capacity = kmn_native_length(v->number);
	size_t slack = KMN_SLACK_BYTES;

	if (!v->null && capacity > max)
		capacity = max;
	a->u = a->n = a->given = capacity;
	if (v->null)
		return true;
	if (capacity < least)
		slack += (least - capacity) * item;
	return (a->p = kmn_arena_take_out(c->arena, capacity * item, slack)) != NULL;
}

static bool
build_template(struct invocation *c, const struct kmn_value *v, struct native *a)
{
	bool failed;

	a->u = kmn_native_length(v->template.count);
	a->p = kmn_template_build(&v->template, c->arena, &failed);
	return !failed;
}

static bool
build_storage(struct invocation *c, size_t bytes, struct native *a)
{
	return (a->p = kmn_arena_take_out(c->arena, bytes, KMN_SLACK_BYTES)) != NULL;
}

/* A number that no module would write by chance: shows whether one was written. */
#define UNTOUCHED ((CK_ULONG)UINT64_C(0xa7c5e391d2b4f687))

static bool
build_scalar(struct invocation *c, struct native *a)
{
	const CK_ULONG untouched = UNTOUCHED;

	if (!build_storage(c, sizeof(untouched), a))
		return false;
	memcpy(a->p, &untouched, sizeof(untouched));
	return true;
}

static bool
build_mechanism(struct invocation *c, const struct kmn_value *v, struct native *a)
{
	if ((c->param = kmn_param_build(&v->mech, c->handles, c->arena)) == NULL)
		return false;
	a->p = v->null ? NULL : &c->param->mechanism;
	return true;
}

/* The same where the caller may have given no place for the length, and then no room that anybody knows the size of. */
static bool
build_maybe_room(struct invocation *c, const struct kmn_value *v, struct native *a)
{
	if (!build_room(c, v, KMN_OUT_MAX_BYTES, 1, 0, a))
		return false;
	a->pn = v->uncounted ? NULL : &a->n;
	return true;
}

static bool
build_message_param(struct invocation *c, const struct kmn_value *v, struct native *a)
{
	if ((c->param = kmn_param_build(&v->mech, c->handles, c->arena)) == NULL)
		return false;
	a->p = c->param->mechanism.pParameter;
	a->u = c->param->mechanism.ulParameterLen;
	return true;
}

static bool
build_arg(struct invocation *c, const struct kmn_value *v, struct native *a)
{
	switch (v->param->kind) {
	case KMN_KIND_SESSION:
		a->u = c->handles->session_in(c->handles->cookie, v->number);
		return true;
	case KMN_KIND_OBJECT:
	case KMN_KIND_KEY:
		a->u = c->handles->object_in(c->handles->cookie, v->number);
		return true;
	case KMN_KIND_SLOT:
	case KMN_KIND_ULONG:
	case KMN_KIND_FLAGS:
	case KMN_KIND_MECH_TYPE:
	case KMN_KIND_BOOL:
		return kmn_native_ulong(v->number, &a->u);
	case KMN_KIND_MECHANISM:
		return build_mechanism(c, v, a);
	case KMN_KIND_MESSAGE_PARAM:
		return build_message_param(c, v, a);
	case KMN_KIND_DATA:
	case KMN_KIND_AAD:
	case KMN_KIND_PIN:
	case KMN_KIND_USERNAME:
	case KMN_KIND_LABEL:
		return build_copy(c, v, a);
	case KMN_KIND_TEMPLATE:
	case KMN_KIND_VALUES:
		return build_template(c, v, a);
	case KMN_KIND_ROOM:
		return build_room(c, v, KMN_OUT_MAX_BYTES, 1, 0, a);
	case KMN_KIND_MAYBE_ROOM:
		return build_maybe_room(c, v, a);
	case KMN_KIND_FILL:
		return v->number <= KMN_OUT_MAX_BYTES && build_room(c, v, KMN_OUT_MAX_BYTES, 1, 0, a);
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
		return build_room(c, v, KMN_LIST_MAX_ITEMS, sizeof(CK_ULONG), 1024, a);
	case KMN_KIND_OBJECTS:
		if (!build_room(c, v, KMN_LIST_MAX_ITEMS, sizeof(CK_ULONG), 0, a))
			return false;
		a->n = a->given = CK_UNAVAILABLE_INFORMATION; /* not an input: shows whether it was written */
		return true;
	case KMN_KIND_MAYBE_OBJECT:
		return v->null || build_scalar(c, a);
	case KMN_KIND_NEW_SESSION:
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
	case KMN_KIND_ULONG_OUT:
		return build_scalar(c, a);
	case KMN_KIND_INFO:
		return build_storage(c, sizeof(CK_INFO), a);
	case KMN_KIND_SLOT_INFO:
		return build_storage(c, sizeof(CK_SLOT_INFO), a);
	case KMN_KIND_TOKEN_INFO:
		return build_storage(c, sizeof(CK_TOKEN_INFO), a);
	case KMN_KIND_MECH_INFO:
		return build_storage(c, sizeof(CK_MECHANISM_INFO), a);
	case KMN_KIND_SESSION_INFO:
		return build_storage(c, sizeof(CK_SESSION_INFO), a);
	case KMN_KIND_NOTIFY:
	case KMN_KIND_LOCAL:
		return true;
	case KMN_KIND_COUNT:
		return false;
	}
	return false;
}

/* ---- after the call ------------------------------------------------------------------------------------------ */

/* Success with more than there was room for: a module that ignores capacities. What its caller stated goes. */
static bool
overran(const struct invocation *c)
{
	for (size_t i = 0; i < c->view->call->param_count; i++) {
		const struct kmn_value *v = &c->view->value[i];
		const struct native *a = &c->arg[i];

		switch (v->param->kind) {
		case KMN_KIND_ROOM:
		case KMN_KIND_MAYBE_ROOM:
		case KMN_KIND_SLOTS:
		case KMN_KIND_MECH_TYPES:
			if (!v->null && a->n > a->given)
				return true;
			break;
		case KMN_KIND_VALUES:
			if (kmn_values_overran(&v->template, a->p))
				return true;
			break;
		default:
			break;
		}
	}
	return false;
}

static void
put_ulongs(struct kmn_writer *w, const CK_ULONG *items, CK_ULONG n)
{
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(w, n);
	for (CK_ULONG i = 0; i < n; i++)
		kmn_ulong_put(w, items[i]);
}

/* A length or count alone, if the module wrote one. */
static void
put_number(struct kmn_writer *w, const struct native *a)
{
	if (a->n == a->given) {
		kmn_writer_u8(w, KMN_OUTPUT_NONE);
		return;
	}
	kmn_writer_u8(w, KMN_OUTPUT_NUMBER);
	kmn_length_put(w, a->n);
}

static void
put_objects(const struct invocation *c, const struct native *a, struct kmn_writer *w)
{
	const CK_OBJECT_HANDLE *objects = a->p;
	CK_ULONG n = a->n < a->u ? a->n : a->u;

	if (c->rv != CKR_OK) /* some write that there are none where they fail */
		n = 0;
	if (a->n == a->given || (c->rv != CKR_OK && a->n != 0) || (objects == NULL && n > 0)) {
		kmn_writer_u8(w, KMN_OUTPUT_NONE);
		return;
	}
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(w, n);
	for (CK_ULONG i = 0; i < n; i++)
		kmn_writer_u64(w, c->handles->object_out(c->handles->cookie, c->view, objects[i]));
}

/*
 * A handle or number that the module gave: if it gave one, for a length query makes no key. Some write
 * CK_INVALID_HANDLE where they fail; what else they leave there then is no handle.
 */
static void
put_scalar(const struct invocation *c, enum kmn_kind kind, const struct native *a, struct kmn_writer *w)
{
	bool is_handle = kind != KMN_KIND_ULONG_OUT && kind != KMN_KIND_FLAGS_OUT && kind != KMN_KIND_SLOT_OUT;
	CK_ULONG value = UNTOUCHED;

	if (a->p != NULL)
		memcpy(&value, a->p, sizeof(value));
	if (value == UNTOUCHED || (c->rv != CKR_OK && is_handle && value != CK_INVALID_HANDLE)) {
		kmn_writer_u8(w, KMN_OUTPUT_NONE);
		return;
	}
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	if (kind == KMN_KIND_ULONG_OUT)
		kmn_length_put(w, value);
	else if (kind == KMN_KIND_FLAGS_OUT || kind == KMN_KIND_SLOT_OUT)
		kmn_ulong_put(w, value);
	else if (value == CK_INVALID_HANDLE)
		kmn_writer_u64(w, 0);
	else if (kind == KMN_KIND_NEW_SESSION)
		kmn_writer_u64(w, c->handles->session_out(c->handles->cookie, c->view, value));
	else
		kmn_writer_u64(w, c->handles->object_out(c->handles->cookie, c->view, value));
}

/* The outcomes of C_GetAttributeValue that come with data. */
static bool
rv_has_values(CK_RV rv)
{
	return rv == CKR_OK || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID ||
	       rv == CKR_BUFFER_TOO_SMALL;
}

static void
put_changes(const struct invocation *c, struct kmn_writer *w)
{
	bool any;

	c->param->succeeded = c->rv == CKR_OK;
	any = kmn_param_is_changed(c->param);
	kmn_writer_u8(w, any ? KMN_OUTPUT_WHOLE : KMN_OUTPUT_NONE);
	if (any)
		kmn_param_put_changes(c->param, c->handles, c->view, w);
}

static void
put_bytes(struct kmn_writer *w, const struct native *a)
{
	kmn_writer_u8(w, KMN_OUTPUT_WHOLE);
	kmn_writer_u64(w, a->n);
	kmn_writer_bytes(w, a->p, a->n);
}

/* NULL: the module did not fill it. */
static void
put_struct(enum kmn_kind kind, const void *filled, struct kmn_writer *w)
{
	kmn_writer_u8(w, filled != NULL ? KMN_OUTPUT_WHOLE : KMN_OUTPUT_NONE);
	if (filled != NULL)
		kmn_struct_put(w, kind, filled);
}

static void
put_output(const struct invocation *c, const struct kmn_value *v, const struct native *a, struct kmn_writer *w)
{
	bool content = c->rv == CKR_OK && a->p != NULL;

	switch (v->param->kind) {
	case KMN_KIND_MECHANISM:
	case KMN_KIND_MESSAGE_PARAM:
		put_changes(c, w);
		return;
	case KMN_KIND_ROOM:
	case KMN_KIND_MAYBE_ROOM:
		if (content && !v->uncounted)
			put_bytes(w, a);
		else
			put_number(w, a);
		return;
	case KMN_KIND_FILL:
		kmn_writer_u8(w, content ? KMN_OUTPUT_WHOLE : KMN_OUTPUT_NONE);
		if (content)
			kmn_writer_bytes(w, a->p, a->u);
		return;
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
		if (content)
			put_ulongs(w, a->p, a->n);
		else
			put_number(w, a);
		return;
	case KMN_KIND_OBJECTS:
		put_objects(c, a, w);
		return;
	case KMN_KIND_NEW_SESSION:
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_MAYBE_OBJECT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
	case KMN_KIND_ULONG_OUT:
		put_scalar(c, v->param->kind, a, w);
		return;
	case KMN_KIND_VALUES:
		if (rv_has_values(c->rv) && a->p != NULL)
			kmn_values_put(&v->template, a->p, w);
		else
			kmn_writer_u8(w, KMN_OUTPUT_NONE);
		return;
	default:
		if (kmn_kind_is_out(v->param->kind))
			put_struct(v->param->kind, content ? a->p : NULL, w);
		return;
	}
}

/* Functions whose outputs the module has written beyond; each is told once. */
static atomic_bool overruns[KMN_CALL_COUNT];

static void
note_overrun(const struct kmn_call_view *v)
{
	if (!atomic_exchange(&overruns[v->id], true))
		kmn_say(KMN_SAY_WARNING, "%s: the module wrote more than there was room for; told once", v->call->name);
}

/*
 * A module that was seen to write values beyond their room is asked for their
 * lengths first, so that they fit whatever it does. No other output is asked
 * for that way: C_GetSlotList without a buffer is a look at the slots.
 */
static bool
make_room_for_values(struct invocation *c, const CK_FUNCTION_LIST_3_2 *module)
{
	const struct kmn_call_view *v = c->view;
	const CK_ATTRIBUTE *rows;
	CK_ATTRIBUTE *lengths;
	size_t n;

	if (v->id != KMN_C_GetAttributeValue || !atomic_load(&overruns[v->id]) || (rows = c->arg[2].p) == NULL)
		return true;
	n = v->value[2].template.count;
	if ((lengths = kmn_arena_take(c->arena, n * sizeof(*lengths), KMN_SLACK_NUMBER_BYTES)) == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		lengths[i].type = rows[i].type;
	(void)module->C_GetAttributeValue(c->arg[0].u, c->arg[1].u, lengths, (CK_ULONG)n);
	return kmn_values_make_room(&v->value[2].template, c->arg[2].p, lengths, c->arena);
}

/* What was written meanwhile into the parameters of earlier calls. */
static void
put_late(const struct invocation *c, const struct kmn_kept *kept, struct kmn_writer *w)
{
	uint8_t n = 0;

	for (size_t i = 0; kept != NULL && i < kept->count; i++)
		n = (uint8_t)(n + (kmn_param_is_changed(kept->active[i].param) ? 1 : 0));
	if (n == 0)
		return;
	kmn_writer_u8(w, n);
	for (size_t i = 0; i < kept->count; i++) {
		if (!kmn_param_is_changed(kept->active[i].param))
			continue;
		kmn_writer_u16(w, (uint16_t)kept->active[i].operation);
		kmn_param_put_changes(kept->active[i].param, c->handles, c->view, w);
	}
}

/* What is refused before the module hears of it. */
static CK_RV
refusal_of(const struct kmn_call_view *v)
{
	if (kmn_view_uncarried(v) != NULL)
		return CKR_MECHANISM_PARAM_INVALID;
	for (size_t i = 0; i < v->call->param_count; i++) {
		if (kmn_template_agrees(&v->value[i].template))
			continue;
		kmn_say(KMN_SAY_WARNING, "%s: the client's types file and this module's take an attribute differently",
		    v->call->name);
		return CKR_ATTRIBUTE_TYPE_INVALID;
	}
	return CKR_OK;
}

kmn_err
kmn_invoke(const struct kmn_call_view *v, const CK_FUNCTION_LIST_3_2 *module, const struct kmn_handles *handles,
    struct kmn_arena *arena, struct kmn_kept *kept, struct kmn_writer *w, CK_RV *rv_out)
{
	struct invocation c = {.view = v, .handles = handles, .arena = arena, .rv = CKR_HOST_MEMORY};
	CK_RV refusal = refusal_of(v);
	bool built = refusal == CKR_OK;

	for (size_t i = 0; i < v->call->param_count && built; i++)
		built = build_arg(&c, &v->value[i], &c.arg[i]);
	if (!built) {
		*rv_out = refusal != CKR_OK ? refusal : CKR_HOST_MEMORY;
		kmn_response_put_error(v->id, *rv_out, w);
		return w->err;
	}
	if (!make_room_for_values(&c, module)) {
		*rv_out = CKR_HOST_MEMORY;
		kmn_response_put_error(v->id, *rv_out, w);
		return w->err;
	}
	c.rv = thunks[v->id](module, c.arg);
	if (c.rv == CKR_OK && overran(&c)) {
		c.rv = CKR_BUFFER_TOO_SMALL;
		note_overrun(v);
	} else if (kmn_arena_overran(arena)) {
		note_overrun(v);
	}
	*rv_out = c.rv;
	kmn_message_begin(w, v->id);
	kmn_ulong_put(w, c.rv);
	for (size_t i = 0; i < v->call->param_count; i++)
		put_output(&c, &v->value[i], &c.arg[i], w);
	put_late(&c, kept, w);
	if (kept != NULL)
		kept->made = c.param;
	return w->err;
}
