/* What the files of the thunks share; nobody else includes it. */
#ifndef KANMON_HSM_INVOKE_PARTS_H
#define KANMON_HSM_INVOKE_PARTS_H

#include "server/hsm/invoke.h"

#define KMN_SLACK_BYTES 4096u        /* behind an output: what a careless module may write too much */
#define KMN_SLACK_VALUE_BYTES 65536u /* behind an attribute's value: modules that ignore the capacity write it whole */
#define KMN_SLACK_NUMBER_BYTES 64u   /* behind a number or a structure */

/* Zeroed, aligned for anything, with `slack` zeroed bytes behind it; NULL when the arena is full. */
void *kmn_arena_take(struct kmn_arena *a, size_t bytes, size_t slack);

/*
 * The same for what the module writes to, with at least that slack, and behind
 * it a page that ends the process when it is touched. Of a call's outputs the
 * first 64 have such a page; those beyond share the one at the end of the arena.
 */
void *kmn_arena_take_out(struct kmn_arena *a, size_t bytes, size_t slack);

/* Whether something was written into the slack right behind one of the outputs. */
bool kmn_arena_overran(const struct kmn_arena *a);

/* ---- invoke_params.c ---- */

#define KMN_PARAM_OUTS_MAX 256u

/* A field that the module may change, and what was in it before. */
struct kmn_param_out {
	unsigned ordinal;
	bool is_handle, is_given; /* given: the caller sent what was in it */
	uint8_t *bytes;           /* or the handle */
	size_t room;
	uint8_t *before;  /* as many bytes */
	CK_ULONG *length; /* KMN_UNIT_OWN_PTR */
	CK_ULONG length_before;
};

/* In an arena, with all that it points to. */
struct kmn_param_native {
	CK_MECHANISM mechanism;
	struct kmn_param_out *out;
	size_t outs;
	bool succeeded; /* the call that it was built for */
};

/* Builds the module's parameter; NULL: arena full or a number that this ABI has no room for. */
struct kmn_param_native *kmn_param_build(
    const struct kmn_mech_view *m, const struct kmn_handles *handles, struct kmn_arena *a);
bool kmn_param_is_changed(const struct kmn_param_native *native);
/* Appends u16 n and what the module changed since it was built, or since this was called before. */
void kmn_param_put_changes(struct kmn_param_native *native, const struct kmn_handles *handles,
    const struct kmn_call_view *v, struct kmn_writer *w);

/* ---- invoke_template.c ---- */

/* Whether this end takes the values for what the client took them: types files may differ, and a template taken for bytes
 * would be pointers. */
bool kmn_template_agrees(const struct kmn_template_view *t);
/* Builds attributes to give to the module; NULL with *failed set as above. A NULL template is NULL too. */
CK_ATTRIBUTE *kmn_template_build(const struct kmn_template_view *t, struct kmn_arena *a, bool *failed);
/*
 * Gives each row of C_GetAttributeValue at least the room that `lengths` (rows
 * of the same types without values, as the module left them) says it needs,
 * whatever the row itself says; false when the arena is full.
 */
bool kmn_values_make_room(
    const struct kmn_template_view *t, CK_ATTRIBUTE *rows, const CK_ATTRIBUTE *lengths, struct kmn_arena *a);
/* Rows of C_GetAttributeValue hold more than their room: the module overran it. */
bool kmn_values_overran(const struct kmn_template_view *t, const CK_ATTRIBUTE *rows);
/* Appends the rows as they are after the call. */
void kmn_values_put(const struct kmn_template_view *t, const CK_ATTRIBUTE *rows, struct kmn_writer *w);

/* A number or length of the wire in this ABI; false where it does not fit. */
bool kmn_native_ulong(uint64_t wire, CK_ULONG *value_out);
CK_ULONG kmn_native_length(uint64_t wire);

#endif
