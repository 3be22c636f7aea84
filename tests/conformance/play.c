#define _GNU_SOURCE
#include "tests/conformance/play.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/calls_entry.h"
#include "tests/conformance/memory.h"
#include "tests/conformance/words.h"

#define CAP_MAX (1u << 20)
#define FOUND_MAX 512
#define OVERRUN_BYTES 2048 /* what a module may write too much and still hit nothing but a gap */
#define LENGTHS_MAX 64

typedef CK_RV (*thunk)(const void *function, struct kmn_arg *a);

/* ---- thunks: from a row to a call of a function of its shape -------------------------------------------------- */

/* clang-format off */
#define PASS(i, argument) PASS_AS(i, KMN_BARE argument)
#define PASS_AS(...) PASS_OF(__VA_ARGS__)
#define PASS_OF(i, kind, ...) PASS_##kind(i, __VA_ARGS__)
#define PASS_SESSION(i, ...) a[i].u
#define PASS_SLOT(i, ...) a[i].u
#define PASS_OBJECT(i, ...) a[i].u
#define PASS_KEY(i, ...) a[i].u
#define PASS_ULONG(i, ...) a[i].u
#define PASS_FLAGS(i, ...) a[i].u
#define PASS_MECH_TYPE(i, ...) a[i].u
#define PASS_BOOL(i, ...) (CK_BBOOL)a[i].u
#define PASS_MECHANISM(i, ...) a[i].p
#define PASS_DATA(i, ...) a[i].p, a[i].u
#define PASS_PIN(i, ...) a[i].p, a[i].u
#define PASS_LABEL(i, ...) a[i].p
#define PASS_MESSAGE_PARAM(i, ...) a[i].p, a[i].u
#define PASS_AAD(i, ...) a[i].p, a[i].u
#define PASS_USERNAME(i, ...) a[i].p, a[i].u
#define PASS_MAYBE_ROOM(i, ...) a[i].p, a[i].n
#define PASS_FLAGS_OUT(i, ...) a[i].p
#define PASS_SLOT_OUT(i, ...) a[i].p
#define PASS_LOCAL(i, type, ...) (type)(uintptr_t)a[i].u
#define PASS_TEMPLATE(i, ...) a[i].p, a[i].u
#define PASS_NOTIFY(i, ...) a[i].p, a[i].u != 0 ? notified : NULL
#define PASS_VALUES(i, ...) a[i].p, a[i].u
#define PASS_ROOM(i, ...) a[i].p, a[i].n
#define PASS_FILL(i, ...) a[i].p, a[i].u
#define PASS_SLOTS(i, ...) a[i].p, a[i].n
#define PASS_MECH_TYPES(i, ...) a[i].p, a[i].n
#define PASS_OBJECTS(i, ...) a[i].p, a[i].u, a[i].n
#define PASS_NEW_SESSION(i, ...) a[i].p
#define PASS_NEW_OBJECT(i, ...) a[i].p
#define PASS_MAYBE_OBJECT(i, ...) a[i].p
#define PASS_ULONG_OUT(i, ...) a[i].p
#define PASS_INFO(i, ...) a[i].p
#define PASS_SLOT_INFO(i, ...) a[i].p
#define PASS_TOKEN_INFO(i, ...) a[i].p
#define PASS_MECH_INFO(i, ...) a[i].p
#define PASS_SESSION_INFO(i, ...) a[i].p
/* clang-format on */

static CK_RV
notified(CK_SESSION_HANDLE session, CK_NOTIFICATION event, CK_VOID_PTR cookie)
{
	(void)session;
	(void)event;
	(void)cookie;
	return CKR_OK;
}

#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) \
	static CK_RV thunk_##symbol(const void *function, struct kmn_arg *a) \
	{ \
		CK_RV (*call)(KMN_LIST(KMN_PROTOTYPE, __VA_ARGS__)); \
\
		memcpy(&call, function, sizeof(call)); \
		return call(KMN_LIST(PASS, __VA_ARGS__)); \
	}
#include "kanmon/calls.def"
#undef KMN_CALL

static const thunk thunks[KMN_CALL_COUNT] = {
#define KMN_CALL(symbol, ...) [KMN_##symbol] = thunk_##symbol,
#include "kanmon/calls.def"
#undef KMN_CALL
};

/* ---- the player ---------------------------------------------------------------------------------------------- */

/* A search: what it has found, until a call finds less than it asked for. */
struct search {
	CK_SESSION_HANDLE session;
	size_t count;
	char *found[FOUND_MAX];
};

static struct {
	const struct stage *stage;
	struct tape *tape;
	const uint8_t *functions; /* those of the function list, in the order of the rows */
	unsigned version;         /* of the list, as in the rows' `since` */
	struct words w;
	struct reg regs[REGS_MAX];
	size_t regs_kept; /* those of the prologue */
	bool initialised;
	bool raw; /* a case that begins without a session */
	CK_ULONG last_room[KMN_CALL_COUNT];
	struct {
		CK_ATTRIBUTE_TYPE type;
		CK_ULONG len;
	} length[LENGTHS_MAX];
	size_t length_count;
	struct search search[4];
	/* the call that is being made */
	const struct kmn_call *call;
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	struct reg *gives[KMN_CALL_ARGS_MAX]; /* register that an argument's output goes to */
	CK_ULONG room[KMN_CALL_ARGS_MAX];     /* bytes or items of real memory behind p */
	bool token_object;                    /* a template says CKA_TOKEN */
	struct {
		struct reg *reg;
		const void *p;
		size_t size;
	} kept[4]; /* parts of a parameter that are remembered as they are after the call */
	size_t kept_count;
	CK_RV rv;
} play;

/* ---- writing the tape ---------------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void
say(const char *format, ...)
{
	struct tape *t = play.tape;
	size_t left = sizeof(t->text) - t->len;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->text + t->len, left, format, ap);
	va_end(ap);
	if (n > 0)
		t->len += (size_t)n < left ? (size_t)n : left - 1;
}

static void
say_bytes(const char *name, const char *more, const uint8_t *bytes, size_t n)
{
	struct tape *t = play.tape;

	say("%s%s=", name, more);
	if (n * 2 + 2 > sizeof(t->text) - t->len)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		t->text[t->len++] = "0123456789abcdef"[bytes[i] >> 4];
		t->text[t->len++] = "0123456789abcdef"[bytes[i] & 15];
	}
	say("\n");
}

static CK_ULONG
load(const void *at)
{
	CK_ULONG value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static void
say_piece(void *cookie, const struct piece *p, const uint8_t *bytes)
{
	(void)cookie;
	if (p->kind == PIECE_BYTES) {
		say_bytes(p->name, "", bytes, memory_changed_until(bytes, p->size));
		return;
	}
	say("%s=", p->name);
	for (size_t i = 0; i + sizeof(CK_ULONG) <= p->size; i += sizeof(CK_ULONG)) {
		CK_ULONG value = load(bytes + i);

		if (p->kind == PIECE_ULONG)
			say("%s0x%lx", i > 0 ? "," : "", value);
		else
			say("%s%s", i > 0 ? "," : "", value == 0 ? "0" : "handle");
	}
	say("\n");
}

static void
say_stray(void *cookie, const char *after, size_t offset, const uint8_t *bytes, size_t n)
{
	(void)cookie;
	say("stray:%s+%zu", after, offset);
	say_bytes("", "", bytes, n);
}

/* ---- building arguments -------------------------------------------------------------------------------------- */

/* "outer.8", "outer[2]", "outer[2].type", "outer+16": outer, what stands before the number, and after it. */
static const char *
piece_name(const char *outer, const char *before, CK_ULONG i, const char *after)
{
	static char names[8][72];
	static unsigned turn;
	char *name = names[turn++ % KMN_COUNT_OF(names)];

	snprintf(name, sizeof(names[0]), "%.40s%s%lu%s", outer, before, i, after);
	return name;
}

static void
store(void *at, CK_ULONG value)
{
	memcpy(at, &value, sizeof(value));
}

/* Bytes of a trace, in a piece of their own; the rest of `least` bytes stays untouched. */
static void *
build_bytes(const char *name, CK_ULONG *len_out, size_t least)
{
	static uint8_t bytes[65536];
	size_t n = words_bytes(&play.w, bytes, sizeof(bytes));
	uint8_t *p = memory_take(n > least ? n : least, PIECE_BYTES, name);

	memcpy(p, bytes, n);
	*len_out = n;
	return p;
}

static void *build_block(const char *name, CK_ULONG *len_out);

static void
keep(struct reg *reg, const void *p, size_t size)
{
	if (play.kept_count == KMN_COUNT_OF(play.kept) || size > sizeof(reg->bytes))
		return;
	play.kept[play.kept_count].reg = reg;
	play.kept[play.kept_count].p = p;
	play.kept[play.kept_count++].size = size;
}

/* One item of a block, appended to image[]; what it points to is built on the way. */
static size_t
build_item(const char *name, uint8_t *image, size_t at, struct reg **object_out)
{
	CK_ULONG value, n;
	void *p;

	if (words_take(&play.w, "u:") || words_take(&play.w, "h:")) {
		store(image + at, words_number(&play.w));
		return sizeof(CK_ULONG);
	}
	if (words_take(&play.w, "b:")) {
		image[at] = (uint8_t)words_number(&play.w);
		return 1;
	}
	if (words_take(&play.w, "z:")) {
		n = words_plain(&play.w);
		memset(image + at, 0, n);
		return n;
	}
	if (words_take(&play.w, "o:")) { /* a handle that the module gives */
		store(image + at, words_plain(&play.w));
		*object_out = words_take(&play.w, ">") ? words_name(&play.w) : words_reg(&play.w, "unnamed", 7);
		return sizeof(CK_ULONG);
	}
	if (words_take(&play.w, "p0")) {
		memset(image + at, 0, sizeof(p));
		return sizeof(p);
	}
	if (words_take(&play.w, "p[")) {
		p = build_block(piece_name(name, ".", at, ""), &value);
		memcpy(image + at, &p, sizeof(p));
		if (words_take(&play.w, ">"))
			keep(words_name(&play.w), p, value);
		return sizeof(p);
	}
	n = words_bytes(&play.w, image + at, 4096);
	return n;
}

/* [item,item...]: its opening bracket is behind us. Named parts where they are numbers would be too fine: bytes. */
static void *
build_block(const char *name, CK_ULONG *len_out)
{
	uint8_t image[8192];
	size_t handle_at[8], handles = 0, n = 0;
	char own[72];
	uint8_t *p;

	snprintf(own, sizeof(own), "%s", name);
	while (*play.w.at != ']' && *play.w.at != '\0' && n < 4096) {
		struct reg *object = NULL;
		size_t item = build_item(own, image, n, &object);

		if (object != NULL && handles < KMN_COUNT_OF(handle_at))
			handle_at[handles++] = n;
		n += item;
		if (!words_take(&play.w, ","))
			break;
	}
	words_take(&play.w, "]");
	p = memory_take(n, PIECE_BYTES, own);
	memcpy(p, image, n);
	for (size_t i = 0; i < handles; i++) { /* handles are named apart from the bytes around them */
		size_t from = i == 0 ? 0 : handle_at[i - 1] + sizeof(CK_ULONG);

		if (handle_at[i] > from)
			memory_part(p + from, handle_at[i] - from, PIECE_BYTES, piece_name(own, "+", from, ""));
		memory_part(p + handle_at[i], sizeof(CK_ULONG), PIECE_OBJECT, piece_name(own, "+", handle_at[i], ""));
	}
	if (handles > 0 && n > handle_at[handles - 1] + sizeof(CK_ULONG))
		memory_part(p + handle_at[handles - 1] + sizeof(CK_ULONG),
		    n - handle_at[handles - 1] - sizeof(CK_ULONG), PIECE_BYTES,
		    piece_name(own, "+", handle_at[handles - 1] + sizeof(CK_ULONG), ""));
	*len_out = n;
	return p;
}

static CK_ULONG
adjusted(CK_ULONG n)
{
	if (words_take(&play.w, "!"))
		return words_number(&play.w);
	if (words_take(&play.w, "+"))
		return n + words_plain(&play.w);
	if (words_take(&play.w, "-"))
		return n - words_plain(&play.w);
	return n;
}

/* NULL, or TYPE, TYPE/NULL:8, TYPE/[...], TYPE/[...]+8 */
static void
build_mechanism(struct kmn_arg *a, const char *name)
{
	CK_MECHANISM *m;

	a->p = NULL;
	if (words_take(&play.w, "NULL"))
		return;
	a->p = m = memory_take(sizeof(*m), PIECE_BYTES, name);
	m->mechanism = words_number(&play.w);
	m->pParameter = NULL;
	m->ulParameterLen = 0;
	if (words_take(&play.w, "/NULL"))
		m->ulParameterLen = words_take(&play.w, ":") ? words_number(&play.w) : 0;
	else if (words_take(&play.w, "/["))
		m->pParameter = build_block("pParameter", &m->ulParameterLen);
	m->ulParameterLen = adjusted(m->ulParameterLen);
}

/* NULL, NULL:8, [...]: what one message has in the place of a mechanism's parameter. */
static void
build_message_param(struct kmn_arg *a, const char *name)
{
	a->p = NULL;
	a->u = 0;
	if (words_take(&play.w, "NULL"))
		a->u = words_take(&play.w, ":") ? words_number(&play.w) : 0;
	else if (words_take(&play.w, "["))
		a->p = build_block(name, &a->u);
	a->u = adjusted(a->u);
}

static void
build_data(struct kmn_arg *a, const char *name, size_t least)
{
	a->p = NULL;
	a->u = 0;
	if (words_take(&play.w, "NULL")) {
		if (words_take(&play.w, ":"))
			a->u = words_number(&play.w);
		return;
	}
	a->p = build_bytes(name, &a->u, least);
	a->u = adjusted(a->u);
}

static CK_ULONG
attribute_length(CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < play.length_count; i++)
		if (play.length[i].type == type)
			return play.length[i].len;
	return 16;
}

static void
remember_length(CK_ATTRIBUTE_TYPE type, CK_ULONG len)
{
	size_t i = 0;

	while (i < play.length_count && play.length[i].type != type)
		i++;
	if (i == LENGTHS_MAX || len > CAP_MAX)
		return;
	play.length[i].type = type;
	play.length[i].len = len;
	if (i == play.length_count)
		play.length_count++;
}

static void *build_rows(const char *name, CK_ULONG *count_out, bool room);

static void
build_numbers(CK_ATTRIBUTE *a, const char *name)
{
	CK_ULONG n = 0, items[64];

	while (*play.w.at != '\0' && strchr(",}", *play.w.at) == NULL && n < KMN_COUNT_OF(items)) {
		items[n++] = words_number(&play.w);
		words_take(&play.w, ";");
	}
	a->ulValueLen = n * sizeof(CK_ULONG);
	a->pValue = memory_take(a->ulValueLen, PIECE_ULONG, name);
	memcpy(a->pValue, items, a->ulValueLen);
}

static void
build_value(CK_ATTRIBUTE *a, const char *name, bool room)
{
	CK_BBOOL b;
	CK_ULONG u;

	if (words_take(&play.w, "NULL") || words_take(&play.w, "q")) {
		a->ulValueLen = words_take(&play.w, ":") ? words_number(&play.w) : 0;
	} else if (words_take(&play.w, "{")) {
		a->pValue = build_rows(name, &a->ulValueLen, room);
		a->ulValueLen *= sizeof(CK_ATTRIBUTE);
	} else if (words_take(&play.w, "c:")) {
		a->ulValueLen = words_room(&play.w, attribute_length(a->type));
		a->pValue = memory_take(a->ulValueLen > CAP_MAX ? CAP_MAX : a->ulValueLen, PIECE_BYTES, name);
		memory_piece(a->pValue)->quiet = true;
		memory_skip(OVERRUN_BYTES / 4);
	} else if (words_take(&play.w, "u:")) {
		u = words_number(&play.w);
		a->ulValueLen = sizeof(u);
		a->pValue = memory_take(sizeof(u), PIECE_BYTES, name);
		store(a->pValue, u);
	} else if (words_take(&play.w, "U:")) {
		build_numbers(a, name);
	} else if (words_take(&play.w, "b:")) {
		b = (CK_BBOOL)words_number(&play.w);
		a->ulValueLen = 1;
		a->pValue = memory_take(1, PIECE_BYTES, name);
		memcpy(a->pValue, &b, 1);
		play.token_object |= a->type == CKA_TOKEN && b != CK_FALSE;
	} else {
		a->pValue = build_bytes(name, &a->ulValueLen, 0);
	}
	a->ulValueLen = adjusted(a->ulValueLen);
}

/* Rows behind their opening brace. */
static void *
build_rows(const char *name, CK_ULONG *count_out, bool room)
{
	CK_ATTRIBUTE rows[256], *p;
	CK_ULONG n = 0;
	char own[72];

	snprintf(own, sizeof(own), "%s", name);
	memset(rows, 0, sizeof(rows));
	while (*play.w.at != '}' && *play.w.at != '\0' && n < KMN_COUNT_OF(rows)) {
		rows[n].type = words_number(&play.w);
		if (words_take(&play.w, "="))
			build_value(&rows[n], piece_name(own, "[", n, "]"), room);
		n++;
		if (!words_take(&play.w, ","))
			break;
	}
	words_take(&play.w, "}");
	p = memory_take(n * sizeof(*p), PIECE_BYTES, own);
	memcpy(p, rows, n * sizeof(*p));
	for (CK_ULONG i = 0; i < n; i++) {
		memory_part(&p[i].type, sizeof(p[i].type), PIECE_ULONG, piece_name(own, "[", i, "].type"));
		memory_part(&p[i].pValue, sizeof(p[i].pValue), PIECE_ULONG, piece_name(own, "[", i, "].pValue"));
		memory_part(&p[i].ulValueLen, sizeof(CK_ULONG), PIECE_ULONG, piece_name(own, "[", i, "].ulValueLen"));
	}
	*count_out = n;
	return p;
}

static void
build_template(struct kmn_arg *a, const char *name, bool room)
{
	a->p = NULL;
	a->u = 0;
	if (words_take(&play.w, "NULL"))
		a->u = words_take(&play.w, ":") ? words_number(&play.w) : 0;
	else if (words_take(&play.w, "{"))
		a->p = build_rows(name, &a->u, room);
	a->u = adjusted(a->u);
}

/* q, q:5, c:64, c:e-1, c:64!0x1000 (states more than there is); /nolen, >b1 */
static void
build_room(size_t i, const struct kmn_param *param, size_t item, enum piece_kind kind)
{
	struct kmn_arg *a = &play.arg[i];
	CK_ULONG exact = play.last_room[kmn_call_id_of(play.call)];

	a->p = NULL;
	a->u = 0;
	if (words_take(&play.w, "q")) {
		a->u = words_take(&play.w, ":") ? words_number(&play.w) : 0;
	} else if (words_take(&play.w, "c:")) {
		a->u = words_room(&play.w, exact);
		play.room[i] = a->u > CAP_MAX ? CAP_MAX : a->u;
		a->p = memory_take(play.room[i] * item, kind, param->name);
		memory_skip(OVERRUN_BYTES);
		memory_piece(a->p)->quiet = true;
		a->u = adjusted(a->u);
	}
	a->n = NULL;
	if (!words_take(&play.w, "/nolen")) {
		a->n = memory_take(sizeof(*a->n), PIECE_ULONG, param->name_more);
		*a->n = a->u;
	}
	if (words_take(&play.w, ">"))
		play.gives[i] = words_name(&play.w);
}

static void
build_handle_out(size_t i, const struct kmn_param *param, enum piece_kind kind)
{
	play.arg[i].p = NULL;
	if (words_take(&play.w, "NULL"))
		return;
	if (words_take(&play.w, ">"))
		play.gives[i] = words_name(&play.w);
	play.arg[i].p = memory_take(sizeof(CK_ULONG), kind, param->name);
}

/* Structures that come back, field by field. */
#define FIELD(type, member, kind) \
	{ \
#member, offsetof(type, member), sizeof(((type *)0)->member), kind \
	}
static const struct field {
	const char *name;
	size_t at, size;
	enum piece_kind kind;
} info_fields[] = {FIELD(CK_INFO, cryptokiVersion, PIECE_BYTES), FIELD(CK_INFO, manufacturerID, PIECE_BYTES),
    FIELD(CK_INFO, flags, PIECE_ULONG), FIELD(CK_INFO, libraryDescription, PIECE_BYTES),
    FIELD(CK_INFO, libraryVersion, PIECE_BYTES), {NULL, 0, 0, 0}},
  slot_fields[] = {FIELD(CK_SLOT_INFO, slotDescription, PIECE_BYTES), FIELD(CK_SLOT_INFO, manufacturerID, PIECE_BYTES),
      FIELD(CK_SLOT_INFO, flags, PIECE_ULONG), FIELD(CK_SLOT_INFO, hardwareVersion, PIECE_BYTES),
      FIELD(CK_SLOT_INFO, firmwareVersion, PIECE_BYTES), {NULL, 0, 0, 0}},
  token_fields[] = {FIELD(CK_TOKEN_INFO, label, PIECE_BYTES), FIELD(CK_TOKEN_INFO, manufacturerID, PIECE_BYTES),
      FIELD(CK_TOKEN_INFO, model, PIECE_BYTES), FIELD(CK_TOKEN_INFO, serialNumber, PIECE_BYTES),
      FIELD(CK_TOKEN_INFO, flags, PIECE_ULONG), FIELD(CK_TOKEN_INFO, ulMaxSessionCount, PIECE_ULONG),
      FIELD(CK_TOKEN_INFO, ulSessionCount, PIECE_ULONG), FIELD(CK_TOKEN_INFO, ulMaxRwSessionCount, PIECE_ULONG),
      FIELD(CK_TOKEN_INFO, ulRwSessionCount, PIECE_ULONG), FIELD(CK_TOKEN_INFO, ulMaxPinLen, PIECE_ULONG),
      FIELD(CK_TOKEN_INFO, ulMinPinLen, PIECE_ULONG), FIELD(CK_TOKEN_INFO, ulTotalPublicMemory, PIECE_ULONG),
      FIELD(CK_TOKEN_INFO, ulFreePublicMemory, PIECE_ULONG), FIELD(CK_TOKEN_INFO, ulTotalPrivateMemory, PIECE_ULONG),
      FIELD(CK_TOKEN_INFO, ulFreePrivateMemory, PIECE_ULONG), FIELD(CK_TOKEN_INFO, hardwareVersion, PIECE_BYTES),
      FIELD(CK_TOKEN_INFO, firmwareVersion, PIECE_BYTES), FIELD(CK_TOKEN_INFO, utcTime, PIECE_BYTES), {NULL, 0, 0, 0}},
  mechanism_fields[] = {FIELD(CK_MECHANISM_INFO, ulMinKeySize, PIECE_ULONG),
      FIELD(CK_MECHANISM_INFO, ulMaxKeySize, PIECE_ULONG), FIELD(CK_MECHANISM_INFO, flags, PIECE_ULONG),
      {NULL, 0, 0, 0}},
  session_fields[] = {FIELD(CK_SESSION_INFO, slotID, PIECE_ULONG), FIELD(CK_SESSION_INFO, state, PIECE_ULONG),
      FIELD(CK_SESSION_INFO, flags, PIECE_ULONG), FIELD(CK_SESSION_INFO, ulDeviceError, PIECE_ULONG), {NULL, 0, 0, 0}};

static void
build_struct(size_t i, const struct kmn_param *param, size_t size, const struct field *fields)
{
	uint8_t *p;

	play.arg[i].p = NULL;
	if (words_take(&play.w, "NULL") || !words_take(&play.w, "."))
		return;
	play.arg[i].p = p = memory_take(size, PIECE_BYTES, param->name);
	for (; fields->name != NULL; fields++) {
		char name[72];

		snprintf(name, sizeof(name), "%s.%s", param->name, fields->name);
		memory_part(p + fields->at, fields->size, fields->kind, name);
	}
}

/* Arguments of functions that do not cross: NULL, a number, `.` for a pointer, `std` for usual C_Initialize arguments. */
static void
build_local(struct kmn_arg *a, const char *name)
{
	CK_C_INITIALIZE_ARGS *init;
	void *p = NULL;

	if (words_take(&play.w, "NULL")) {
		a->u = 0;
		return;
	}
	if (words_take(&play.w, "std")) {
		init = memory_take(sizeof(*init) + sizeof(p), PIECE_BYTES, name);
		memset(init, 0, sizeof(*init) + sizeof(p));
		init->flags = CKF_OS_LOCKING_OK;
		memcpy(&init->pReserved, &play.stage->init_args, sizeof(p));
		p = init;
	} else if (words_take(&play.w, ".")) {
		p = memory_take(sizeof(CK_ULONG), PIECE_SESSION, name);
	} else {
		a->u = words_number(&play.w);
		return;
	}
	a->u = (CK_ULONG)(uintptr_t)p;
}

static void
build_objects(size_t i, const struct kmn_param *param)
{
	build_room(i, param, sizeof(CK_ULONG), PIECE_OBJECT);
	play.arg[i].u = play.arg[i].p != NULL && play.arg[i].n != NULL ? *play.arg[i].n : play.arg[i].u;
	if (play.arg[i].n != NULL) {
		memcpy(memory_piece(play.arg[i].n)->name, "pulObjectCount", sizeof("pulObjectCount"));
		memset(play.arg[i].n, MEMORY_UNTOUCHED, sizeof(CK_ULONG));
	}
}

static void
build_arg(size_t i)
{
	const struct kmn_param *param = &play.call->param[i];
	struct kmn_arg *a = &play.arg[i];

	memset(a, 0, sizeof(*a));
	switch (param->kind) {
	case KMN_KIND_SESSION:
	case KMN_KIND_SLOT:
	case KMN_KIND_OBJECT:
	case KMN_KIND_KEY:
	case KMN_KIND_ULONG:
	case KMN_KIND_FLAGS:
	case KMN_KIND_MECH_TYPE:
	case KMN_KIND_BOOL:
		a->u = words_number(&play.w);
		return;
	case KMN_KIND_MECHANISM:
		build_mechanism(a, param->name);
		return;
	case KMN_KIND_MESSAGE_PARAM:
		build_message_param(a, param->name);
		return;
	case KMN_KIND_DATA:
	case KMN_KIND_AAD:
	case KMN_KIND_PIN:
	case KMN_KIND_USERNAME:
		build_data(a, param->name, 0);
		return;
	case KMN_KIND_LABEL:
		build_data(a, param->name, KMN_LABEL_BYTES);
		if (a->p != NULL && a->u < KMN_LABEL_BYTES)
			memset((uint8_t *)a->p + a->u, ' ', KMN_LABEL_BYTES - a->u);
		return;
	case KMN_KIND_TEMPLATE:
		build_template(a, param->name, false);
		return;
	case KMN_KIND_VALUES:
		build_template(a, param->name, true);
		return;
	case KMN_KIND_NOTIFY:
		a->u = words_number(&play.w);
		a->p = a->u != 0 ? &play : NULL;
		return;
	case KMN_KIND_LOCAL:
		build_local(a, param->name);
		return;
	case KMN_KIND_ROOM:
	case KMN_KIND_MAYBE_ROOM:
	case KMN_KIND_FILL:
		build_room(i, param, 1, PIECE_BYTES);
		return;
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
		build_room(i, param, sizeof(CK_ULONG), PIECE_ULONG);
		return;
	case KMN_KIND_OBJECTS:
		build_objects(i, param);
		return;
	case KMN_KIND_NEW_SESSION:
		build_handle_out(i, param, PIECE_SESSION);
		return;
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_MAYBE_OBJECT:
		build_handle_out(i, param, PIECE_OBJECT);
		return;
	case KMN_KIND_ULONG_OUT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
		build_handle_out(i, param, PIECE_ULONG);
		return;
	case KMN_KIND_INFO:
		build_struct(i, param, sizeof(CK_INFO), info_fields);
		return;
	case KMN_KIND_SLOT_INFO:
		build_struct(i, param, sizeof(CK_SLOT_INFO), slot_fields);
		return;
	case KMN_KIND_TOKEN_INFO:
		build_struct(i, param, sizeof(CK_TOKEN_INFO), token_fields);
		return;
	case KMN_KIND_MECH_INFO:
		build_struct(i, param, sizeof(CK_MECHANISM_INFO), mechanism_fields);
		return;
	case KMN_KIND_SESSION_INFO:
		build_struct(i, param, sizeof(CK_SESSION_INFO), session_fields);
		return;
	case KMN_KIND_COUNT:
		return;
	}
}

/* ---- the call ------------------------------------------------------------------------------------------------ */

static bool
has_function(enum kmn_call_id id)
{
	return play.call->since <= play.version && load(play.functions + id * sizeof(void *)) != 0;
}

static CK_RV
invoke(enum kmn_call_id id, struct kmn_arg *arg)
{
	return thunks[id](play.functions + id * sizeof(void *), arg);
}

/* ---- who an object is ---------------------------------------------------------------------------------------- */

/* The name of a handle, the same on every side: its register, or what its class, label and CKA_ID say. */
static const char *
identity(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	CK_OBJECT_CLASS class = CK_UNAVAILABLE_INFORMATION;
	char label[128] = "", id[40] = "";
	CK_ATTRIBUTE rows[] = {
	    {CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, label, sizeof(label) - 1}, {CKA_ID, id, sizeof(id) - 1}};
	struct kmn_arg arg[] = {{.u = session}, {.u = object}, {.p = rows, .u = KMN_COUNT_OF(rows)}};
	struct reg *r;
	char name[40];

	for (size_t i = play.w.reg_count; i-- > 0;)
		if (play.regs[i].value == object && play.regs[i].is_set && !play.regs[i].dead &&
		    strchr("ok?", play.regs[i].name[0]) != NULL)
			return play.regs[i].name;
	invoke(KMN_C_GetAttributeValue, arg);
	if (rows[1].ulValueLen < sizeof(label))
		label[rows[1].ulValueLen] = '\0';
	snprintf(name, sizeof(name), "?%lx:%.24s:%02x%02x", class, rows[1].ulValueLen < sizeof(label) ? label : "",
	    (unsigned)(uint8_t)id[0], (unsigned)(uint8_t)id[1]);
	for (char *p = name; *p != '\0'; p++)
		if (*p == '\n' || *p == '=')
			*p = '.';
	r = words_reg(&play.w, name, strlen(name));
	r->value = object;
	r->is_set = true;
	return r->name;
}

static struct search *
search_of(CK_SESSION_HANDLE session)
{
	struct search *s = &play.search[0];

	for (size_t i = 0; i < KMN_COUNT_OF(play.search); i++) {
		if (play.search[i].session == session)
			return &play.search[i];
		if (play.search[i].session == 0)
			s = &play.search[i];
	}
	s->session = session;
	return s;
}

static void
forget(struct search *s)
{
	while (s->count > 0)
		free(s->found[--s->count]);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The order of what is found is nobody's: told sorted, and only when it is all of it. */
static void
say_found(size_t i)
{
	const struct kmn_arg *a = &play.arg[i];
	const CK_OBJECT_HANDLE *objects = a->p;
	struct search *s = search_of(play.arg[0].u);

	for (CK_ULONG k = 0; k < *a->n && k < a->u; k++) {
		if (k == 0 && play.gives[i] != NULL) {
			play.gives[i]->value = objects[0];
			play.gives[i]->is_set = true;
		}
		if (objects[k] == CK_INVALID_HANDLE)
			say("phObject[%lu]=0\n", k);
		else if (s->count < FOUND_MAX)
			s->found[s->count++] = strdup(identity(play.arg[0].u, objects[k]));
	}
	if (*a->n >= a->u)
		return;
	qsort(s->found, s->count, sizeof(s->found[0]), by_text);
	for (size_t k = 0; k < s->count; k++)
		say("found[%zu]=%s\n", k, s->found[k]);
	forget(s);
}

/* ---- recording ----------------------------------------------------------------------------------------------- */

/* An output of a stated length: what is in it, and what was written although it is not. */
static void
say_output(const char *name, const uint8_t *p, CK_ULONG len, size_t room)
{
	size_t until = memory_changed_until(p, room);

	if (len > room) {
		if (until > 0)
			say_bytes(name, ".partial", p, until);
		return;
	}
	say_bytes(name, "", p, len);
	if (until > len)
		say_bytes(name, ".beyond", p + len, until - len);
}

static void
record_room(size_t i, const char *name)
{
	const struct kmn_arg *a = &play.arg[i];
	size_t until;

	if (a->n != NULL && *a->n <= CAP_MAX && (play.rv == CKR_OK || play.rv == CKR_BUFFER_TOO_SMALL))
		play.last_room[kmn_call_id_of(play.call)] = *a->n;
	if (a->p == NULL)
		return;
	if (play.rv == CKR_OK && a->n != NULL) {
		say_output(name, a->p, *a->n, play.room[i]);
		if (play.gives[i] != NULL && *a->n <= play.room[i]) {
			play.gives[i]->len =
			    *a->n < sizeof(play.gives[i]->bytes) ? *a->n : sizeof(play.gives[i]->bytes);
			memcpy(play.gives[i]->bytes, a->p, play.gives[i]->len);
		}
	} else if ((until = memory_changed_until(a->p, play.room[i])) > 0) {
		say_bytes(name, ".partial", a->p, until);
	}
}

static void
record_list(size_t i, const char *name)
{
	const struct kmn_arg *a = &play.arg[i];
	const CK_ULONG *items = a->p;

	if (a->n != NULL && *a->n <= CAP_MAX)
		play.last_room[kmn_call_id_of(play.call)] = *a->n;
	if (items == NULL || !memory_changed(items, play.room[i] * sizeof(*items)))
		return;
	say("%s=", name);
	for (CK_ULONG k = 0; k < play.room[i] && memory_changed(items + k, (play.room[i] - k) * sizeof(*items)); k++)
		say("%s0x%lx", k > 0 ? "," : "", items[k]);
	say("\n");
}

static void
record_rows(const char *name, const CK_ATTRIBUTE *rows, CK_ULONG count, unsigned depth)
{
	const struct piece *p = rows != NULL ? memory_piece(rows) : NULL;
	char own[72];

	for (CK_ULONG i = 0; p != NULL && i < count && i < 256; i++) {
		const struct piece *value = rows[i].pValue != NULL ? memory_piece(rows[i].pValue) : NULL;
		const struct kmn_attribute *known = kmn_attribute_row(rows[i].type);

		if (rows[i].pValue == NULL && play.rv != CKR_GENERAL_ERROR)
			remember_length(rows[i].type, rows[i].ulValueLen);
		if (value == NULL)
			continue;
		snprintf(own, sizeof(own), "%.40s[%lu]", name, i);
		if (known != NULL && known->kind == KMN_ATTRIBUTE_TEMPLATE && !value->quiet && depth < 3)
			record_rows(own, rows[i].pValue, rows[i].ulValueLen / sizeof(*rows), depth + 1);
		else if (value->quiet && memory_changed(rows[i].pValue, value->size))
			say_output(own, rows[i].pValue, rows[i].ulValueLen, value->size);
	}
}

static void
record_arg(size_t i)
{
	const struct kmn_param *param = &play.call->param[i];
	const struct kmn_arg *a = &play.arg[i];

	switch (param->kind) {
	case KMN_KIND_ROOM:
	case KMN_KIND_MAYBE_ROOM:
		record_room(i, param->name);
		return;
	case KMN_KIND_FILL:
		if (a->p != NULL)
			say_bytes(param->name, "", a->p, memory_changed_until(a->p, play.room[i]));
		return;
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
		record_list(i, param->name);
		return;
	case KMN_KIND_VALUES:
		record_rows(param->name, a->p, a->u, 1);
		return;
	case KMN_KIND_OBJECTS:
		if (a->p != NULL && a->n != NULL && play.rv == CKR_OK)
			say_found(i);
		else if (a->p != NULL && memory_changed(a->p, play.room[i] * sizeof(CK_ULONG)))
			say("phObject.partial=changed\n");
		return;
	case KMN_KIND_NEW_SESSION:
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_MAYBE_OBJECT:
		if (a->p == NULL || play.rv != CKR_OK || play.gives[i] == NULL)
			return;
		play.gives[i]->value = load(a->p);
		play.gives[i]->is_set = true;
		play.gives[i]->dead = false;
		play.gives[i]->len = play.token_object;
		return;
	default:
		return;
	}
}

static struct reg *
reg_of(CK_ULONG value, const char *initial)
{
	for (size_t i = play.w.reg_count; i-- > 0;)
		if (play.regs[i].is_set && !play.regs[i].dead && play.regs[i].value == value &&
		    strchr(initial, play.regs[i].name[0]) != NULL)
			return &play.regs[i];
	return NULL;
}

/* What a call does to the registers. */
static void
follow(enum kmn_call_id id)
{
	struct reg *r = NULL;

	if (id == KMN_C_FindObjectsInit && play.rv == CKR_OK)
		forget(search_of(play.arg[0].u));
	if (id == KMN_C_DestroyObject && play.rv == CKR_OK)
		r = reg_of(play.arg[1].u, "ok?");
	if (id == KMN_C_CloseSession && play.rv == CKR_OK)
		r = reg_of(play.arg[0].u, "s");
	if (r != NULL)
		r->dead = true;
	if (id == KMN_C_Initialize && play.rv == CKR_OK)
		play.initialised = true;
	if (id == KMN_C_Finalize && play.rv == CKR_OK)
		play.initialised = false;
}

static void
make_call(enum kmn_call_id id)
{
	memset(play.gives, 0, sizeof(play.gives));
	memset(play.room, 0, sizeof(play.room));
	play.token_object = false;
	play.kept_count = 0;
	for (size_t i = 0; i < play.call->param_count; i++) {
		words_take(&play.w, " ");
		build_arg(i);
	}
	if (!has_function(id)) {
		say("rv=absent\n");
		return;
	}
	memory_mark();
	play.rv = invoke(id, play.arg);
	if (kmn_rv_name(play.rv) != NULL)
		say("rv=%s\n", kmn_rv_name(play.rv));
	else
		say("rv=0x%lx\n", play.rv);
	for (size_t i = 0; i < play.call->param_count; i++)
		record_arg(i);
	memory_changes(say_piece, say_stray, NULL);
	for (size_t i = 0; i < play.kept_count; i++) {
		play.kept[i].reg->len = play.kept[i].size;
		memcpy(play.kept[i].reg->bytes, play.kept[i].p, play.kept[i].size);
	}
	follow(id);
}

/* ---- cases --------------------------------------------------------------------------------------------------- */

static void
play_line(const char *line, unsigned number)
{
	char name[64];
	size_t n = strcspn(line, " \n");

	play.tape->line = number;
	if (n == 0 || *line == '#')
		return;
	if (strncmp(line, "world ", 6) == 0) {
		play.raw = strncmp(line + 6, "raw", 3) == 0;
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)n, line);
	if ((play.call = kmn_call_by_name(name)) == NULL) {
		fprintf(stderr, "no function %s\n", name);
		exit(70);
	}
	say("%u %s\n", number, name);
	play.w.at = line + n;
	make_call(kmn_call_id_of(play.call));
}

static void
play_text(const char *text)
{
	char line[PLAY_CASE_BYTES];
	unsigned number = 0;

	for (; *text != '\0'; number++) {
		size_t n = strcspn(text, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)n, text);
		play_line(line, number);
		text += n + (text[n] == '\n');
	}
}

static void
tidy_line(const char *call, const char *name)
{
	char line[128];

	snprintf(line, sizeof(line), "%s %s", call, name);
	play_line(line, play.tape->line + 1);
}

/* Ends a case: what it made on the token goes, its sessions are closed. */
static void
tidy(void)
{
	if (!play.initialised)
		play_line("C_Initialize std", play.tape->line + 1);
	for (size_t i = play.regs_kept; i < play.w.reg_count; i++)
		if (play.regs[i].is_set && !play.regs[i].dead && play.regs[i].name[0] == 'o' && play.regs[i].len == 1)
			tidy_line("C_DestroyObject base", play.regs[i].name);
	if (play.raw) {
		play_line("C_CloseAllSessions slot", play.tape->line + 1);
		play_line("C_CloseAllSessions slot", play.tape->line + 1);
	}
	for (size_t i = play.regs_kept; i < play.w.reg_count && !play.raw; i++)
		if (play.regs[i].is_set && !play.regs[i].dead && play.regs[i].name[0] == 's')
			tidy_line("C_CloseSession", play.regs[i].name);
}

static void
play_case(const char *text)
{
	play.tape->len = 0;
	play.tape->line = 0;
	play.w.reg_count = play.regs_kept;
	play.length_count = 0;
	for (size_t i = 0; i < KMN_CALL_COUNT; i++)
		play.last_room[i] = 64;
	for (size_t i = 0; i < KMN_COUNT_OF(play.search); i++) {
		forget(&play.search[i]);
		play.search[i].session = 0;
	}
	memory_begin();
	play_text(text);
	tidy();
}

/* ---- the process --------------------------------------------------------------------------------------------- */

/* The newest list that the module has; its functions begin behind the version, aligned. */
static const void *
newest_list(void *handle)
{
	CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
	CK_RV (*get_interface)(CK_UTF8CHAR_PTR, CK_VERSION_PTR, CK_INTERFACE_PTR_PTR, CK_FLAGS);
	void *symbol = dlsym(handle, "C_GetInterface");
	CK_FUNCTION_LIST *list = NULL;
	CK_INTERFACE *interface = NULL;

	if (symbol != NULL) {
		memcpy(&get_interface, &symbol, sizeof(get_interface));
		if (get_interface(NULL, NULL, &interface, 0) == CKR_OK && interface != NULL)
			return interface->pFunctionList;
	}
	if ((symbol = dlsym(handle, "C_GetFunctionList")) == NULL)
		return NULL;
	memcpy(&get, &symbol, sizeof(get));
	return get(&list) == CKR_OK ? list : NULL;
}

static void
load_module(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const CK_FUNCTION_LIST *list = handle != NULL ? newest_list(handle) : NULL;

	if (list == NULL) {
		fprintf(stderr, "%s: %s\n", path, dlerror());
		exit(70);
	}
	play.version = (unsigned)list->version.major << 8 | list->version.minor;
	if (play.version < 0x0228)
		play.version = 0x0228;
	say("version=0x%x\n", play.version);
	play.functions = (const uint8_t *)list + offsetof(CK_FUNCTION_LIST, C_Initialize);
}

/* Slots: the one of the token, and another. */
static void
find_slots(void)
{
	CK_SLOT_ID slots[64] = {0};
	CK_ULONG n = KMN_COUNT_OF(slots);
	struct kmn_arg list[] = {{.u = CK_FALSE}, {.p = slots, .n = &n}};
	size_t len = strlen(play.stage->label);

	play.w.slot[0] = play.w.slot[1] = 0x7777;
	if (invoke(KMN_C_GetSlotList, list) != CKR_OK)
		return;
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info;
		struct kmn_arg arg[] = {{.u = slots[i]}, {.p = &info}};
		bool is = invoke(KMN_C_GetTokenInfo, arg) == CKR_OK && len < sizeof(info.label) &&
			  memcmp(info.label, play.stage->label, len) == 0 && info.label[len] == ' ';

		play.w.slot[!is] = slots[i];
	}
}

static void
start(void)
{
	play.w.regs = play.regs;
	play.w.attribute_length = attribute_length;
	if (!memory_map()) {
		fprintf(stderr, "the address of the traces' memory is taken\n");
		exit(70);
	}
	play.tape->len = 0;
	play.tape->line = 0;
	load_module(play.stage->module);
	play_line("C_Initialize std", 0);
	find_slots();
	say("slots=0x%lx,0x%lx\n", play.w.slot[0], play.w.slot[1]);
	play_text(play.stage->prologue);
	play.regs_kept = play.w.reg_count;
}

_Noreturn void
play_process(const struct stage *stage, const char *text, struct tape *tape, int fd)
{
	char c = 's';

	play.stage = stage;
	play.tape = tape;
	start();
	while (write(fd, &c, 1) == 1 && read(fd, &c, 1) == 1)
		play_case(text);
	play_line("C_Finalize NULL", 0);
	_exit(0);
}
