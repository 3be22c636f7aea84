/*
 * Vendors' mechanisms and attributes, described in a file (kanmon-types(5)):
 * what no table of the standard can know. Both ends read one; a parameter that
 * is described crosses with a digest of its description, and a call for which
 * the two ends have different ones is refused.
 *
 * A line of the file is one of
 *   attribute NUMBER NAME KIND [public]
 *   struct NAME MEMBER...
 *   mechanism NUMBER NAME [message|authenticated] nothing|bytes|STRUCT|MEMBER...
 * and a MEMBER is name:type, in the order of the C structure; what the types
 * are is said in descriptor.c.
 */
#ifndef KANMON_TYPES_H
#define KANMON_TYPES_H

#include "kanmon/err.h"
#include "kanmon/params.h"

#define KMN_TYPES_MAX_BYTES 65536u /* of a file */
#define KMN_TYPES_MAX_ROWS 256u    /* of attributes, of structures, of mechanisms */
#define KMN_TYPES_MAX_SETS 16u     /* in use at the same time */
#define KMN_TYPES_WHY_BYTES 512u
#define KMN_DESCRIPTOR_MAX_BYTES 1024u

/* Widths of a C compiler, which decide where the members of a structure are. */
struct kmn_abi {
	uint8_t ulong_bytes, pointer_bytes;
	bool packed;
};
extern const struct kmn_abi kmn_abi_own;

struct kmn_types;

/*
 * Reads a description. `name` stands before the line in messages; why_out:
 * KMN_TYPES_WHY_BYTES of room, "NAME:LINE: what is wrong", or "".
 * Errors: KMN_E_CONFIG, KMN_E_NO_MEMORY.
 */
kmn_err kmn_types_parse(const char *name, const char *text, size_t len_bytes, const struct kmn_abi *abi, char *why_out,
    struct kmn_types **types_out) KMN_MUST_CHECK;
/* The same from a file. */
kmn_err kmn_types_load(const char *path, char *why_out, struct kmn_types **types_out) KMN_MUST_CHECK;
void kmn_types_free(struct kmn_types *types); /* NULL is fine */

/*
 * From now on the tables of this process have these rows too; they are looked
 * at after those of the standard. Not with calls under way. False: too many.
 */
bool kmn_types_use(const struct kmn_types *types) KMN_MUST_CHECK;
void kmn_types_drop(const struct kmn_types *types); /* NULL is fine */

/* Rows of a set: NULL after the last. */
const struct kmn_attribute *kmn_types_attribute(const struct kmn_types *types, size_t i);
const struct kmn_mechanism *kmn_types_mechanism(const struct kmn_types *types, size_t i);
const struct kmn_layout *kmn_types_layout(const struct kmn_types *types, const char *name);

/* The rows in use for a number, from i = 0 on: sets may have different ones. */
const struct kmn_attribute *kmn_types_attribute_row(uint64_t type);
const struct kmn_mechanism *kmn_types_mechanism_row(uint64_t type, size_t i);
const struct kmn_mechanism *kmn_types_mechanism_of(const char *name);

/* A structure as one line; the length without its NUL, or 0 where there is no room. */
size_t kmn_layout_describe(const struct kmn_layout *layout, char *out, size_t room);

#endif
