#include "config.h"

#include "provider/recipe.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "kanmon/recipe/v1"
#define MAGIC_BYTES 16u
#define SALT_AT 2u
#define SESSION_AT (SALT_AT + KMN_SALT_BYTES)

/* Calls that can be made again from what they said, and what begins them. */
static const struct {
	enum kmn_call_id call, init;
} rows[] = {
    {KMN_C_Sign, KMN_C_SignInit},
    {KMN_C_GenerateKey, KMN_C_GenerateKey},
    {KMN_C_GenerateKeyPair, KMN_C_GenerateKeyPair},
};

bool
kmn_recipe_begins(enum kmn_call_id id, enum kmn_call_id *init_out)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (rows[i].call == id) {
			*init_out = rows[i].init;
			return true;
		}
	return false;
}

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

/* Parameters of signatures are public; those that keys are made with may hold a password. */
static bool
is_open_mechanism(const struct kmn_call_view *v, const struct kmn_mech_view *m)
{
	return m->form == KMN_MECH_BARE ||
	       (v->id == KMN_C_SignInit && (m->form == KMN_MECH_BYTES || m->form == KMN_MECH_STRUCT) &&
		   kmn_mech_handles(m, NULL, 0) == 0);
}

static bool
is_open_view(const struct kmn_call_view *v)
{
	for (size_t i = 0; i < v->call->param_count; i++) {
		const struct kmn_value *value = &v->value[i];

		switch (value->param->kind) {
		case KMN_KIND_SESSION:
		case KMN_KIND_KEY:
		case KMN_KIND_NEW_OBJECT:
		case KMN_KIND_ROOM:
			break;
		case KMN_KIND_DATA:
			if (value->param->show == KMN_SHOW_NOTHING || value->param->show == KMN_SHOW_COMMITMENT)
				return false;
			break;
		case KMN_KIND_MECHANISM:
			if (!is_open_mechanism(v, &value->mech))
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

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

void
kmn_recipe_clear(struct kmn_recipe *recipe)
{
	free(recipe->init);
	free(recipe->call);
	*recipe = (struct kmn_recipe){0};
}

kmn_err
kmn_recipe_write(const struct kmn_recipe *recipe, struct kmn_writer *w)
{
	const struct kmn_identity_text *const text[] = {&recipe->key.id, &recipe->key.label, &recipe->key.unique};

	kmn_writer_init(w, KMN_RECIPE_MAX_BYTES);
	kmn_writer_raw(w, MAGIC, MAGIC_BYTES);
	kmn_writer_u64(w, recipe->request);
	kmn_writer_u16(w, (uint16_t)recipe->id);
	kmn_writer_bool(w, recipe->key.proven);
	if (recipe->key.proven) {
		kmn_writer_u64(w, recipe->key.class);
		kmn_writer_u64(w, recipe->key.type);
		for (size_t i = 0; i < KMN_COUNT_OF(text); i++)
			kmn_writer_bytes(w, text[i]->bytes, text[i]->len);
		kmn_writer_raw(w, recipe->key.proof, sizeof(recipe->key.proof));
		kmn_writer_bytes(w, recipe->init, recipe->init_len);
	}
	kmn_writer_bytes(w, recipe->call, recipe->call_len);
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

/* A copy of a request, which is one of `id` and says nothing secret. */
static void
read_request(struct kmn_reader *r, enum kmn_call_id id, uint8_t **out, size_t *len_out)
{
	struct kmn_call_view v;
	const uint8_t *bytes;
	size_t len = kmn_reader_bytes(r, KMN_RECIPE_MAX_BYTES, &bytes);

	if (r->err != KMN_OK)
		return;
	if (kmn_call_view_decode(bytes, len, &v) != KMN_OK || v.id != id || v.v2_40 || !kmn_recipe_is_open(bytes, len))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	else if ((*out = malloc(len)) == NULL)
		kmn_reader_fail(r, KMN_E_NO_MEMORY);
	else
		memcpy(*out, bytes, *len_out = len);
}

kmn_err
kmn_recipe_read(const uint8_t *bytes, size_t len, struct kmn_recipe *recipe_out)
{
	enum kmn_call_id init = KMN_CALL_COUNT;
	char magic[MAGIC_BYTES];
	struct kmn_reader r;
	uint16_t id;
	kmn_err e;

	*recipe_out = (struct kmn_recipe){0};
	kmn_reader_init(&r, bytes, len);
	kmn_reader_raw(&r, magic, sizeof(magic));
	recipe_out->request = kmn_reader_u64(&r);
	id = kmn_reader_u16(&r);
	if (r.err == KMN_OK && (memcmp(magic, MAGIC, sizeof(magic)) != 0 || id >= KMN_CALL_COUNT ||
				   !kmn_recipe_begins((enum kmn_call_id)id, &init)))
		kmn_reader_fail(&r, KMN_E_MALFORMED);
	recipe_out->id = (enum kmn_call_id)id;
	if (kmn_reader_bool(&r) != (init != recipe_out->id))
		kmn_reader_fail(&r, KMN_E_MALFORMED);
	if (r.err == KMN_OK && init != recipe_out->id) {
		read_key(&r, &recipe_out->key);
		read_request(&r, init, &recipe_out->init, &recipe_out->init_len);
	}
	read_request(&r, recipe_out->id, &recipe_out->call, &recipe_out->call_len);
	if ((e = kmn_reader_end(&r)) != KMN_OK)
		kmn_recipe_clear(recipe_out);
	return e;
}

kmn_err
kmn_recipe_address(uint8_t *request, size_t len, uint64_t session, uint64_t key)
{
	struct kmn_call_view v;
	uint64_t value[] = {session, key};
	size_t at[] = {SESSION_AT, len - sizeof(uint64_t)}; /* hSession is the first argument, hKey of *Init the last */
	uint64_t said = 0;

	if (len < SESSION_AT + 2 * sizeof(uint64_t))
		return KMN_E_MALFORMED;
	randombytes_buf(request + SALT_AT, KMN_SALT_BYTES);
	for (size_t i = 0; i < (key != 0 ? 2u : 1u); i++)
		for (size_t k = 0; k < sizeof(uint64_t); k++)
			request[at[i] + k] = (uint8_t)(value[i] >> 8 * (sizeof(uint64_t) - 1 - k));
	if (kmn_call_view_decode(request, len, &v) != KMN_OK || !kmn_view_session(&v, &said) || said != session)
		return KMN_E_MALFORMED;
	return key == 0 || (kmn_view_key(&v, 0, &said) && said == key) ? KMN_OK : KMN_E_MALFORMED;
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
