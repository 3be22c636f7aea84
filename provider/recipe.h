/*
 * What it takes to make a call once more, in another session, process or year:
 * the request that is open for it is met by who does the same again. One file
 * for each in the folder of `state` (heads.h); only calls whose arguments are
 * no secret have one.
 *
 *   raw[16] "kanmon/recipe/v2" | u64 request | u16 call
 *   u8 keys, of each: u64 class | u64 type | bytes id | bytes label | bytes unique | raw[32] proof (identity.h)
 *   u8 steps, of each: bytes the request that began the operation, or that gave it a part
 *   bytes the request of the call (codec.h)
 *
 * The keys are those that stand for the handles of KEY and OBJECT arguments, in
 * the order in which steps and call name them.
 *
 * Read back it is foreign: its handles mean nothing, and what it asks for is
 * approved by people as if it were new.
 */
#ifndef KANMON_PROVIDER_RECIPE_H
#define KANMON_PROVIDER_RECIPE_H

#include "provider/heads.h"
#include "provider/identity.h"

#define KMN_RECIPE_MAX_BYTES (2u << 20)

#define KMN_RECIPE_KEYS_MAX 4u
#define KMN_RECIPE_STEPS_MAX 64u

struct kmn_recipe_part {
	uint8_t *bytes; /* a request */
	size_t len;
};

struct kmn_recipe {
	uint64_t request;
	enum kmn_call_id id;
	size_t keys, steps;
	struct kmn_identity key[KMN_RECIPE_KEYS_MAX]; /* each proven */
	struct kmn_recipe_part step[KMN_RECIPE_STEPS_MAX], call;
};

/* Is nothing secret in this request, as far as anybody can say, and can it be made again from it? */
bool kmn_recipe_is_open(const uint8_t *request, size_t len);
/* The handles of KEY and OBJECT arguments in a request; how many there are, and the first `max` go to out[]. */
size_t kmn_recipe_handles(const uint8_t *request, size_t len, uint64_t *out, size_t max);

void kmn_recipe_clear(struct kmn_recipe *recipe);
kmn_err kmn_recipe_write(const struct kmn_recipe *recipe, struct kmn_writer *w) KMN_MUST_CHECK;
/*
 * KMN_E_MALFORMED and the errors of readers and views: nothing is in recipe_out then. What is there can be made: open
 * requests, steps of one operation that the call ends, a key for each handle.
 */
kmn_err kmn_recipe_read(const uint8_t *bytes, size_t len, struct kmn_recipe *recipe_out) KMN_MUST_CHECK;

/* In the folder of `state`. */
kmn_err kmn_recipe_store(const struct kmn_heads *heads, const struct kmn_recipe *recipe) KMN_MUST_CHECK;
kmn_err kmn_recipe_load(const struct kmn_heads *heads, uint64_t request, struct kmn_recipe *recipe_out) KMN_MUST_CHECK;
void kmn_recipe_forget(const struct kmn_heads *heads, uint64_t request);

/*
 * Puts session, handles (as many as it names) and the capacity of its output into a request that came out of a recipe,
 * and a new salt. KMN_E_MALFORMED: that is not what the request then says.
 */
kmn_err kmn_recipe_address(
    struct kmn_recipe_part *request, uint64_t session, const uint64_t *handle, uint64_t capacity) KMN_MUST_CHECK;

#endif
