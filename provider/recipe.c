#include "config.h"

#include "provider/recipe.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "kanmon/recipe/v2"
#define MAGIC_BYTES 16u
#define SALT_AT 2u

/* ---- what may be written down ------------------------------------------------------------------------------------ */

static bool
is_open_template(const struct kmn_template_view *t)
{
	struct kmn_attribute_view row;
	size_t at = 0;

	while (kmn_template_next(t, &at, &row)) {
		const struct kmn_attribute *known = kmn_attribute_row(row.type);

		if (known == NULL || !known->public || row.form == KMN_VALUE_TEMPLATE)
			return false;
	}
	return true;
}

/* What the ledger would not show is not written down either; a handle inside would be nobody's later. */
static bool
is_open_mechanism(const struct kmn_mech_view *m)
{
	struct kmn_field_cursor c = {0};
	struct kmn_field_view field;

	if (m->form == KMN_MECH_BARE)
		return true;
	if (m->form == KMN_MECH_BYTES)
		return kmn_mechanism_row(m->type) != NULL;
	if (m->form != KMN_MECH_STRUCT || kmn_mech_handles(m, NULL, 0) != 0)
		return false;
	while (kmn_mech_next(m, &c, &field))
		if (field.field->way == KMN_WAY_OUT || field.kind == KMN_FIELD_TEMPLATE ||
		    (field.kind == KMN_FIELD_BYTES && field.field->shown == NULL))
			return false;
	return true;
}

static bool
is_open_view(const struct kmn_call_view *v)
{
	for (size_t i = 0; i < v->call->param_count; i++) {
		const struct kmn_value *value = &v->value[i];

		switch (value->param->kind) {
		case KMN_KIND_SESSION:
		case KMN_KIND_KEY:
		case KMN_KIND_OBJECT:
		case KMN_KIND_NEW_OBJECT:
		case KMN_KIND_MAYBE_OBJECT:
		case KMN_KIND_ROOM:
			break;
		case KMN_KIND_DATA:
		case KMN_KIND_AAD:
			if (value->param->show == KMN_SHOW_NOTHING || value->param->show == KMN_SHOW_COMMITMENT)
				return false;
			break;
		case KMN_KIND_MECHANISM:
			if (!is_open_mechanism(&value->mech))
				return false;
			break;
		case KMN_KIND_TEMPLATE:
			if (!is_open_template(&value->template))
				return false;
			break;
		default:
			return false;
		}
	}
	return true;
}

bool
kmn_recipe_is_open(const uint8_t *request, size_t len)
{
	struct kmn_call_view v;

	return kmn_call_view_decode(request, len, &v) == KMN_OK && !v.abi_bound && is_open_view(&v);
}

static bool
is_handle(const struct kmn_value *value)
{
	return value->param->kind == KMN_KIND_KEY || value->param->kind == KMN_KIND_OBJECT;
}

size_t
kmn_recipe_handles(const uint8_t *request, size_t len, uint64_t *out, size_t max)
{
	struct kmn_call_view v;
	size_t n = 0;

	if (kmn_call_view_decode(request, len, &v) != KMN_OK)
		return 0;
	for (size_t i = 0; i < v.call->param_count; i++)
		if (is_handle(&v.value[i])) {
			if (n < max)
				out[n] = v.value[i].number;
			n++;
		}
	return n;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

void
kmn_recipe_clear(struct kmn_recipe *recipe)
{
	for (size_t i = 0; i < recipe->steps; i++)
		free(recipe->step[i].bytes);
	free(recipe->call.bytes);
	*recipe = (struct kmn_recipe){0};
}

static void
write_key(struct kmn_writer *w, const struct kmn_identity *key)
{
	const struct kmn_identity_text *const text[] = {&key->id, &key->label, &key->unique};

	kmn_writer_u64(w, key->class);
	kmn_writer_u64(w, key->type);
	for (size_t i = 0; i < KMN_COUNT_OF(text); i++)
		kmn_writer_bytes(w, text[i]->bytes, text[i]->len);
	kmn_writer_raw(w, key->proof, sizeof(key->proof));
}

kmn_err
kmn_recipe_write(const struct kmn_recipe *recipe, struct kmn_writer *w)
{
	kmn_writer_init(w, KMN_RECIPE_MAX_BYTES);
	kmn_writer_raw(w, MAGIC, MAGIC_BYTES);
	kmn_writer_u64(w, recipe->request);
	kmn_writer_u16(w, (uint16_t)recipe->id);
	kmn_writer_u8(w, (uint8_t)recipe->keys);
	for (size_t i = 0; i < recipe->keys; i++)
		write_key(w, &recipe->key[i]);
	kmn_writer_u8(w, (uint8_t)recipe->steps);
	for (size_t i = 0; i < recipe->steps; i++)
		kmn_writer_bytes(w, recipe->step[i].bytes, recipe->step[i].len);
	kmn_writer_bytes(w, recipe->call.bytes, recipe->call.len);
	return w->err;
}

static void
read_text(struct kmn_reader *r, struct kmn_identity_text *text)
{
	const uint8_t *bytes;

	text->len = kmn_reader_bytes(r, sizeof(text->bytes), &bytes);
	if (text->len > 0)
		memcpy(text->bytes, bytes, text->len);
}

static void
read_key(struct kmn_reader *r, struct kmn_identity *key)
{
	key->proven = true;
	key->class = (CK_OBJECT_CLASS)kmn_reader_u64(r);
	key->type = (CK_KEY_TYPE)kmn_reader_u64(r);
	read_text(r, &key->id);
	read_text(r, &key->label);
	read_text(r, &key->unique);
	kmn_reader_raw(r, key->proof, sizeof(key->proof));
}

/* A copy of a request that says nothing secret. */
static void
read_request(struct kmn_reader *r, struct kmn_recipe_part *out)
{
	const uint8_t *bytes;
	size_t len = kmn_reader_bytes(r, KMN_RECIPE_MAX_BYTES, &bytes);

	if (r->err != KMN_OK)
		return;
	if (!kmn_recipe_is_open(bytes, len))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	else if ((out->bytes = malloc(len)) == NULL)
		kmn_reader_fail(r, KMN_E_NO_MEMORY);
	else
		memcpy(out->bytes, bytes, out->len = len);
}

/* Of a call that may wait: alone, or as the end of an operation that the steps begin and go on with. */
static bool
can_be_made(const struct kmn_recipe *recipe)
{
	const struct kmn_call *call = kmn_call_row(recipe->id);
	struct kmn_call_view v;
	size_t handles = kmn_recipe_handles(recipe->call.bytes, recipe->call.len, NULL, 0);

	if (kmn_call_view_decode(recipe->call.bytes, recipe->call.len, &v) != KMN_OK || v.id != recipe->id || v.v2_40 ||
	    call->hold != KMN_HOLD_MAY || (call->effect == KMN_EFFECT_ANSWERS) != (recipe->steps > 0) ||
	    (call->effect != KMN_EFFECT_ANSWERS && call->effect != KMN_EFFECT_NONE))
		return false;
	for (size_t i = 0; i < recipe->steps; i++) {
		if (kmn_call_view_decode(recipe->step[i].bytes, recipe->step[i].len, &v) != KMN_OK || v.v2_40 ||
		    v.call->effect != (i == 0 ? KMN_EFFECT_STARTS : KMN_EFFECT_CONTINUES) ||
		    v.call->operations != call->operations || kmn_view_room(&v) != NULL)
			return false;
		handles += kmn_recipe_handles(recipe->step[i].bytes, recipe->step[i].len, NULL, 0);
	}
	return handles == recipe->keys;
}

static void
read_body(struct kmn_reader *r, struct kmn_recipe *recipe)
{
	char magic[MAGIC_BYTES];
	uint16_t id;
	size_t n;

	kmn_reader_raw(r, magic, sizeof(magic));
	recipe->request = kmn_reader_u64(r);
	id = kmn_reader_u16(r);
	if (r->err == KMN_OK && (memcmp(magic, MAGIC, sizeof(magic)) != 0 || id >= KMN_CALL_COUNT))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	recipe->id = (enum kmn_call_id)id;
	if ((n = kmn_reader_u8(r)) > KMN_RECIPE_KEYS_MAX)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	for (; r->err == KMN_OK && recipe->keys < n; recipe->keys++)
		read_key(r, &recipe->key[recipe->keys]);
	if ((n = kmn_reader_u8(r)) > KMN_RECIPE_STEPS_MAX)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	for (; r->err == KMN_OK && recipe->steps < n; recipe->steps++)
		read_request(r, &recipe->step[recipe->steps]);
	read_request(r, &recipe->call);
}

kmn_err
kmn_recipe_read(const uint8_t *bytes, size_t len, struct kmn_recipe *recipe_out)
{
	struct kmn_reader r;
	kmn_err e;

	*recipe_out = (struct kmn_recipe){0};
	kmn_reader_init(&r, bytes, len);
	read_body(&r, recipe_out);
	e = kmn_reader_end(&r);
	if (e == KMN_OK && !can_be_made(recipe_out))
		e = KMN_E_MALFORMED;
	if (e != KMN_OK)
		kmn_recipe_clear(recipe_out);
	return e;
}

static void
put_u64(uint8_t *at, uint64_t value)
{
	for (size_t k = 0; k < sizeof(uint64_t); k++)
		at[k] = (uint8_t)(value >> 8 * (sizeof(uint64_t) - 1 - k));
}

/* What an argument is to say; false: it says what it says. */
static bool
said_anew(const struct kmn_value *value, uint64_t session, const uint64_t **handle, uint64_t capacity, uint64_t *out)
{
	if (value->param->kind == KMN_KIND_SESSION)
		*out = session;
	else if (value->param->kind == KMN_KIND_ROOM)
		*out = capacity;
	else if (is_handle(value))
		*out = *(*handle)++;
	else
		return false;
	return true;
}

kmn_err
kmn_recipe_address(struct kmn_recipe_part *request, uint64_t session, const uint64_t *handle, uint64_t capacity)
{
	const uint64_t *next = handle;
	struct kmn_call_view v;
	uint64_t want;
	kmn_err e;

	if ((e = kmn_call_view_decode(request->bytes, request->len, &v)) != KMN_OK)
		return e;
	randombytes_buf(request->bytes + SALT_AT, KMN_SALT_BYTES);
	for (size_t i = 0; i < v.call->param_count; i++) {
		uint8_t *at = request->bytes + v.value[i].at;

		if (!said_anew(&v.value[i], session, &next, capacity, &want))
			continue;
		if (v.value[i].param->kind == KMN_KIND_ROOM)
			*at++ = 0; /* it is not NULL */
		put_u64(at, want);
	}
	if ((e = kmn_call_view_decode(request->bytes, request->len, &v)) != KMN_OK)
		return e;
	next = handle;
	for (size_t i = 0; i < v.call->param_count; i++)
		if (said_anew(&v.value[i], session, &next, capacity, &want) && v.value[i].number != want)
			return KMN_E_MALFORMED;
	return KMN_OK;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void
name_recipe(uint64_t request, char out[48])
{
	(void)snprintf(out, 48, "async-%llu", (unsigned long long)request);
}

kmn_err
kmn_recipe_store(const struct kmn_heads *heads, const struct kmn_recipe *recipe)
{
	struct kmn_writer w;
	char name[48];
	kmn_err e;

	name_recipe(recipe->request, name);
	if ((e = kmn_recipe_write(recipe, &w)) == KMN_OK)
		e = kmn_heads_put_file(heads, name, w.bytes, w.len);
	kmn_writer_clear(&w);
	return e;
}

kmn_err
kmn_recipe_load(const struct kmn_heads *heads, uint64_t request, struct kmn_recipe *recipe_out)
{
	uint8_t *bytes;
	char name[48];
	size_t len;
	kmn_err e;

	*recipe_out = (struct kmn_recipe){0};
	name_recipe(request, name);
	if ((e = kmn_heads_get_file(heads, name, KMN_RECIPE_MAX_BYTES, &bytes, &len)) != KMN_OK)
		return e;
	e = kmn_recipe_read(bytes, len, recipe_out);
	free(bytes);
	if (e == KMN_OK && recipe_out->request != request) {
		kmn_recipe_clear(recipe_out);
		e = KMN_E_MALFORMED;
	}
	return e;
}

void
kmn_recipe_forget(const struct kmn_heads *heads, uint64_t request)
{
	char name[48];

	name_recipe(request, name);
	kmn_heads_remove_file(heads, name);
}
