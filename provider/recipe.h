/*
 * What it takes to make a call once more, in another session, process or year:
 * the request that is open for it is met by who does the same again. One file
 * for each in the folder of `state` (heads.h); only calls whose arguments are
 * no secret have one.
 *
 *   raw[16] "kanmon/recipe/v1" | u64 request | u16 call | u8 with a key or not
 *   with a key: u64 class | u64 type | bytes id | bytes label | bytes unique | raw[32] proof (identity.h)
 *               | bytes the request that began the operation
 *   bytes the request of the call (codec.h)
 *
 * Read back it is foreign: its handles mean nothing, and what it asks for is
 * approved by people as if it were new.
 */
#ifndef KANMON_PROVIDER_RECIPE_H
#define KANMON_PROVIDER_RECIPE_H

#include "provider/heads.h"
#include "provider/identity.h"

#define KMN_RECIPE_MAX_BYTES (2u << 20)

struct kmn_recipe {
	uint64_t request;
	enum kmn_call_id id;
	struct kmn_identity key; /* not proven: none */
	uint8_t *init, *call;    /* requests; init is NULL without a key */
	size_t init_len, call_len;
};

/* The function that begins the operation of `id`, or `id` itself where there is none; false: such a call has no recipe. */
bool kmn_recipe_begins(enum kmn_call_id id, enum kmn_call_id *init_out);
/* Is nothing secret in this request, as far as anybody can say? */
bool kmn_recipe_is_open(const uint8_t *request, size_t len);

void kmn_recipe_clear(struct kmn_recipe *recipe);
kmn_err kmn_recipe_write(const struct kmn_recipe *recipe, struct kmn_writer *w) KMN_MUST_CHECK;
/* KMN_E_MALFORMED and the errors of readers and views: nothing is in recipe_out then. */
kmn_err kmn_recipe_read(const uint8_t *bytes, size_t len, struct kmn_recipe *recipe_out) KMN_MUST_CHECK;

/* In the folder of `state`. */
kmn_err kmn_recipe_store(const struct kmn_heads *heads, const struct kmn_recipe *recipe) KMN_MUST_CHECK;
kmn_err kmn_recipe_load(const struct kmn_heads *heads, uint64_t request, struct kmn_recipe *recipe_out) KMN_MUST_CHECK;
void kmn_recipe_forget(const struct kmn_heads *heads, uint64_t request);

/*
 * Puts session and key (0: it has none) into a request that came out of a recipe, and a new salt.
 * KMN_E_MALFORMED: that is not what the request then says.
 */
kmn_err kmn_recipe_address(uint8_t *request, size_t len, uint64_t session, uint64_t key) KMN_MUST_CHECK;

#endif
