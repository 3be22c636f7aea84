#include "config.h"

#include "tools/kanmon/textpool.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t
slot_of(const struct kmn_textpool *pool, const char *text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++)
		hash = (hash ^ *at) * UINT64_C(1099511628211);
	for (size_t slot = hash & (pool->room - 1);; slot = (slot + 1) & (pool->room - 1))
		if (pool->text[slot] == NULL || strcmp(pool->text[slot], text) == 0)
			return slot;
}

static bool
grow_pool(struct kmn_textpool *pool)
{
	struct kmn_textpool larger = {.room = pool->room == 0 ? 256 : 2 * pool->room};

	if ((larger.text = calloc(larger.room, sizeof(*larger.text))) == NULL)
		return false;
	for (size_t n = 0; n < pool->room; n++)
		if (pool->text[n] != NULL)
			larger.text[slot_of(&larger, pool->text[n])] = pool->text[n];
	larger.count = pool->count;
	free(pool->text);
	*pool = larger;
	return true;
}

const char *
kmn_textpool_keep(struct kmn_textpool *pool, const char *text)
{
	size_t slot;

	if (text[0] == '\0')
		return "";
	if (2 * (pool->count + 1) > pool->room && !grow_pool(pool))
		return NULL;
	if (pool->text[slot = slot_of(pool, text)] == NULL && (pool->text[slot] = strdup(text)) != NULL)
		pool->count++;
	return pool->text[slot];
}

void
kmn_textpool_clear(struct kmn_textpool *pool)
{
	for (size_t n = 0; n < pool->room; n++)
		free(pool->text[n]);
	free(pool->text);
	memset(pool, 0, sizeof(*pool));
}
