/* What types.c and descriptor.c share; nobody else includes it. */
#ifndef KANMON_TYPES_PARTS_H
#define KANMON_TYPES_PARTS_H

#include "kanmon/types.h"

#define KMN_TYPES_NAME_MAX_BYTES 63u

/* Memory that lives as long as its set: zeroed; NULL when there is none. */
void *kmn_types_take(struct kmn_types *types, size_t bytes);
const char *kmn_types_keep(struct kmn_types *types, const char *text);
/* A structure of the set, or of the standard. */
const struct kmn_layout *kmn_types_find(const struct kmn_types *types, const char *name);

bool kmn_types_name_ok(const char *name);

/*
 * Makes a layout of members ("name:type"). why_out: KMN_TYPES_WHY_BYTES, what
 * is wrong, without file and line. Errors: KMN_E_CONFIG, KMN_E_NO_MEMORY.
 */
kmn_err kmn_layout_parse(struct kmn_types *types, const struct kmn_abi *abi, const char *name, char *const *member,
    size_t count, char *why_out, const struct kmn_layout **layout_out) KMN_MUST_CHECK;

#endif
