/* What a recipe is made of, and where recipes are. */
#include "config.h"

#include "provider/async_parts.h"

#include <stdlib.h>
#include <string.h>

#include "provider/debug.h"

/* ---- steps ------------------------------------------------------------------------------------------------------- */

void
kmn_steps_clear(struct kmn_async_session *s)
{
	for (size_t i = 0; i < s->steps; i++)
		free(s->step[i].bytes);
	s->steps = 0;
	s->operation = 0;
	s->begun = 0;
}

/* False: there is no room for it, or it could not be made again. */
static bool
add(struct kmn_async_session *s, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count)
{
	struct kmn_recipe_part *step = &s->step[s->steps];
	size_t before = 0;
	struct kmn_writer w;
	bool ok;

	if (s->steps == KMN_RECIPE_STEPS_MAX)
		return false;
	for (size_t i = 0; i < s->steps; i++)
		before += s->step[i].len;
	kmn_writer_init(&w, KMN_RECIPE_MAX_BYTES / 2);
	ok = kmn_request_encode(id, arg, arg_count, &w) == KMN_OK && before + w.len <= KMN_RECIPE_MAX_BYTES / 2 &&
	     kmn_recipe_is_open(w.bytes, w.len) && kmn_writer_take(&w, &step->bytes, &step->len) == KMN_OK;
	s->steps += ok;
	kmn_writer_clear(&w);
	return ok;
}

void
kmn_steps_note(struct kmn_async_session *s, enum kmn_call_id id, const struct kmn_arg *arg, size_t arg_count)
{
	const struct kmn_call *row = kmn_call_row(id);
	bool starts = row->effect == KMN_EFFECT_STARTS && row->policy == KMN_POLICY_KEY_USE,
	     ours = s->operation != 0 && (row->operations & s->operation) != 0;

	if (starts) {
		kmn_steps_clear(s);
		s->operation = row->operations;
	} else if (!ours || row->effect == KMN_EFFECT_NONE) {
		return;
	}
	/* A part that gives something out would give it out twice. */
	if ((!starts && (row->effect != KMN_EFFECT_CONTINUES || row->operations != s->operation ||
			    kmn_async_room(row, arg) != NULL)) ||
	    !add(s, id, arg, arg_count))
		kmn_steps_clear(s);
}

/* ---- where they are ---------------------------------------------------------------------------------------------- */

/* NULL: nowhere but in this process. */
static struct kmn_heads *
folder(struct kmn_async *async)
{
	struct kmn_heads *heads;

	(void)pthread_mutex_lock(&async->lock);
	if (async->heads == NULL && kmn_heads_new(async->settings, &async->heads) != KMN_OK)
		kmn_debug(KMN_TOPIC_CONFIG, "state: nothing that is pending can be joined by another process");
	heads = async->heads;
	(void)pthread_mutex_unlock(&async->lock);
	return heads;
}

static void
kept_free(struct kmn_kept *kept)
{
	if (kept != NULL)
		kmn_writer_clear(&kept->w);
	free(kept);
}

/* Takes it out of the list. NULL: there is none. */
static struct kmn_kept *
take_kept(struct kmn_async *async, uint64_t request)
{
	struct kmn_kept **at = &async->kept, *kept;

	(void)pthread_mutex_lock(&async->lock);
	while (*at != NULL && (*at)->request != request)
		at = &(*at)->next;
	if ((kept = *at) != NULL)
		*at = kept->next;
	(void)pthread_mutex_unlock(&async->lock);
	return kept;
}

static void
put_kept(struct kmn_async *async, struct kmn_kept *kept)
{
	(void)pthread_mutex_lock(&async->lock);
	kept->next = async->kept;
	async->kept = kept;
	(void)pthread_mutex_unlock(&async->lock);
}

kmn_err
kmn_async_keep(struct kmn_async *async, const struct kmn_recipe *recipe)
{
	struct kmn_heads *heads = folder(async);
	struct kmn_kept *kept;
	kmn_err e;

	if (heads != NULL)
		return kmn_recipe_store(heads, recipe);
	if ((kept = calloc(1, sizeof(*kept))) == NULL)
		return KMN_E_NO_MEMORY;
	kept->request = recipe->request;
	if ((e = kmn_recipe_write(recipe, &kept->w)) != KMN_OK) {
		kept_free(kept);
		return e;
	}
	kept_free(take_kept(async, recipe->request));
	put_kept(async, kept);
	return KMN_OK;
}

kmn_err
kmn_async_recall(struct kmn_async *async, uint64_t request, struct kmn_recipe *recipe_out)
{
	struct kmn_heads *heads = folder(async);
	struct kmn_kept *kept;
	kmn_err e;

	*recipe_out = (struct kmn_recipe){0};
	if (heads != NULL)
		return kmn_recipe_load(heads, request, recipe_out);
	if ((kept = take_kept(async, request)) == NULL)
		return KMN_E_NOT_FOUND;
	e = kmn_recipe_read(kept->w.bytes, kept->w.len, recipe_out);
	put_kept(async, kept);
	return e;
}

void
kmn_async_drop(struct kmn_async *async, uint64_t request)
{
	struct kmn_heads *heads = folder(async);

	if (heads != NULL)
		kmn_recipe_forget(heads, request);
	else
		kept_free(take_kept(async, request));
}

void
kmn_async_drop_all(struct kmn_async *async)
{
	for (struct kmn_kept *kept = async->kept, *next; kept != NULL; kept = next) {
		next = kept->next;
		kept_free(kept);
	}
	async->kept = NULL;
}
