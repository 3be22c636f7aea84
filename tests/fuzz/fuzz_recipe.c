/* A recipe of a pending call: it is read or refused; what was read is a call without secrets, and is written as it was. */
#include "provider/recipe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_recipe recipe;
	struct kmn_writer w;
	enum kmn_call_id init;

	if (kmn_recipe_read(bytes, len, &recipe) != KMN_OK) {
		if (recipe.init != NULL || recipe.call != NULL)
			abort();
		return 0;
	}
	if (!kmn_recipe_begins(recipe.id, &init) || (init != recipe.id) != recipe.key.proven ||
	    !kmn_recipe_is_open(recipe.call, recipe.call_len))
		abort();
	if (kmn_recipe_write(&recipe, &w) != KMN_OK || w.len != len || memcmp(w.bytes, bytes, len) != 0)
		abort();
	kmn_writer_clear(&w);
	if (recipe.init != NULL && kmn_recipe_address(recipe.init, recipe.init_len, 7, 9) != KMN_OK)
		abort();
	if (kmn_recipe_address(recipe.call, recipe.call_len, 7, 0) != KMN_OK)
		abort();
	kmn_recipe_clear(&recipe);
	return 0;
}
