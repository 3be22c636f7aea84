/* What the files of the codec share; nobody else includes it. */
#ifndef KANMON_CODEC_PARTS_H
#define KANMON_CODEC_PARTS_H

#include "kanmon/codec.h"

/* ---- codec_params.c, codec_mech.c: mechanisms ---- */

#define KMN_PARAM_MAX_TEXT_BYTES 256u        /* of a NUL-terminated string */
#define KMN_MECH_FIELDS_MAX_BYTES (1u << 18) /* all fields of a parameter, encoded */

enum kmn_choice_form { KMN_CHOICE_NULL, KMN_CHOICE_BYTES, KMN_CHOICE_NUMBER, KMN_CHOICE_STRUCT };
/* What that value chooses, or NULL. */
const struct kmn_choice *kmn_field_choice(const struct kmn_field *f, uint64_t value);

/* The family of a call's CK_MECHANISM. A message's parameter crosses as a mechanism too, in KMN_FAMILY_MESSAGE: the type
 * is that of the C_Message*Init before it. */
enum kmn_param_family kmn_call_family(const struct kmn_call *call);
void kmn_mech_put(struct kmn_writer *w, const CK_MECHANISM *mechanism, enum kmn_param_family family);
void kmn_mech_put_unknown(struct kmn_writer *w, const CK_MECHANISM *mechanism);
void kmn_mech_get(struct kmn_reader *r, enum kmn_param_family family, struct kmn_mech_view *view_out);
/* Entries of a response: what the module changed in the parameter. `mechanism` NULL: only looks at the form. */
void kmn_mech_apply(struct kmn_reader *r, CK_MECHANISM *mechanism, enum kmn_param_family family, bool write);

/* pParameter of a message, with the mechanism it belongs to. */
CK_MECHANISM kmn_message_mechanism(const struct kmn_arg *a);
/* What may stand at the end of a response; a failure is kept in r. */
void kmn_late_get(struct kmn_reader *r, unsigned *count_out, const uint8_t **bytes_out, size_t *len_out);

/* ---- codec_template.c: attributes ---- */

enum kmn_template_use { KMN_TEMPLATE_IN, KMN_TEMPLATE_ROOM };

void kmn_template_put(struct kmn_writer *w, const void *rows, CK_ULONG count, enum kmn_template_use use);
void kmn_template_get(struct kmn_reader *r, enum kmn_template_use use, struct kmn_template_view *view_out);
/* Rows of a response, into the caller's template of `count` rows; checks only, unless `write`. */
void kmn_values_apply(struct kmn_reader *r, void *rows, CK_ULONG count, bool write);
/* The same without a template to compare with: gives the encoded rows. */
size_t kmn_values_get(struct kmn_reader *r, const uint8_t **rows_out, uint64_t *count_out);

/* ---- codec_structs.c: CK_INFO and its kin ---- */

void kmn_struct_apply(struct kmn_reader *r, enum kmn_kind kind, void *native, bool write);
size_t kmn_struct_wire_bytes(enum kmn_kind kind);

/* A number off the wire that must fit a CK_ULONG of this ABI; a failure is kept in r. */
CK_ULONG kmn_ulong_get(struct kmn_reader *r);
/* The same for a length or count, where CK_UNAVAILABLE_INFORMATION goes by value. */
CK_ULONG kmn_length_get(struct kmn_reader *r);

#endif
