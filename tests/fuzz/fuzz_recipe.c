/* A recipe of a pending call: it is read or refused; what was read is a call without secrets, and is written as it was. */
#include "provider/recipe.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const uint64_t handles[KMN_RECIPE_KEYS_MAX] = {9, 10, 11, 12};
	struct kmn_recipe recipe;
	struct kmn_writer w;
	const uint64_t *handle = handles;

	if (kmn_recipe_read(bytes, len, &recipe) != KMN_OK) {
		if (recipe.steps != 0 || recipe.call.bytes != NULL)
			abort();
		return 0;
	}
	if (!kmn_recipe_is_open(recipe.call.bytes, recipe.call.len))
		abort();
	if (kmn_recipe_write(&recipe, &w) != KMN_OK || w.len != len || memcmp(w.bytes, bytes, len) != 0)
		abort();
	kmn_writer_clear(&w);
	for (size_t i = 0; i <= recipe.steps; i++) {
		struct kmn_recipe_part *part = i < recipe.steps ? &recipe.step[i] : &recipe.call;
		size_t n = kmn_recipe_handles(part->bytes, part->len, NULL, 0);

		if (n > recipe.keys - (size_t)(handle - handles) || kmn_recipe_address(part, 7, handle, 5) != KMN_OK)
			abort();
		handle += n;
	}
	kmn_recipe_clear(&recipe);
	return 0;
}
