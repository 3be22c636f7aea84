/* The tape: what a caller could see of a call. */
#define _GNU_SOURCE
#include "tests/conformance/player.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing the tape ---------------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) void
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

void
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

CK_ULONG
load(const void *at)
{
	CK_ULONG value;

	memcpy(&value, at, sizeof(value));
	return value;
}

void
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

void
say_stray(void *cookie, const char *after, size_t offset, const uint8_t *bytes, size_t n)
{
	(void)cookie;
	say("stray:%s+%zu", after, offset);
	say_bytes("", "", bytes, n);
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

void
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

void
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

void
follow_call(enum kmn_call_id id)
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
