/* What checkers may look back at: the leaves and heads of the records read so far. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

struct kmn_past {
	struct kmn_tree *tree;
};

kmn_err
kmn_past_new(struct kmn_past **past_out)
{
	struct kmn_past *past = calloc(1, sizeof(*past));

	*past_out = NULL;
	if (past == NULL || (past->tree = kmn_tree_new()) == NULL) {
		free(past);
		return KMN_E_NO_MEMORY;
	}
	*past_out = past;
	return KMN_OK;
}

void
kmn_past_free(struct kmn_past *past)
{
	if (past == NULL)
		return;
	kmn_tree_free(past->tree);
	free(past);
}

kmn_err
kmn_past_add(struct kmn_past *past, const uint8_t leaf[KMN_HASH_BYTES])
{
	return kmn_tree_add(past->tree, leaf);
}

uint64_t
kmn_past_size(const struct kmn_past *past)
{
	return kmn_tree_size(past->tree);
}

kmn_err
kmn_past_leaf(struct kmn_past *past, uint64_t index, uint8_t out[KMN_HASH_BYTES])
{
	return kmn_tree_leaf(past->tree, index, out);
}

kmn_err
kmn_past_head(struct kmn_past *past, uint64_t size, struct kmn_head *head_out)
{
	return kmn_tree_head(past->tree, size, head_out);
}

bool
kmn_past_is_head(struct kmn_past *past, const struct kmn_head *head)
{
	struct kmn_head here;

	return kmn_past_head(past, head->size, &here) == KMN_OK && memcmp(here.root, head->root, KMN_HASH_BYTES) == 0;
}
