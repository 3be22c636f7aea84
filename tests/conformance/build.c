/* Arguments: from the words of a trace to memory that a module reads and writes. */
#define _GNU_SOURCE
#include "tests/conformance/player.h"

#include <stdio.h>
#include <string.h>

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

CK_ULONG
attribute_length(CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < play.length_count; i++)
		if (play.length[i].type == type)
			return play.length[i].len;
	return 16;
}

void
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

void
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
