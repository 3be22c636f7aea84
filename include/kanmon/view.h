/*
 * What the ledger says of a call's arguments (ledger.md 1.4, 1.5): built from
 * the rows and a view, never from anything else. An allow-list: what no table
 * names is {"redacted":..,"len":n}; PINs and key values do not appear at all.
 * Every function gives a new reference, or NULL when memory ran out.
 */
#ifndef KANMON_VIEW_H
#define KANMON_VIEW_H

#include <jansson.h>

#include "kanmon/codec.h"

/*
 * {"name":"CKM_..","params":{..},"params_sha256":b64}: fields in clear as the
 * table of mechanisms allows, the hash over the parameter as encoded. An unnamed
 * mechanism is "0x..."; NULL, for a call without one, gives name "" and no fields.
 */
json_t *kmn_ledger_mechanism(const struct kmn_mech_view *m);
/* {"CKA_LABEL":"..",..}: text, numbers and booleans as they are, bytes {"b64"}, the rest redacted. */
json_t *kmn_ledger_template(const struct kmn_template_view *t);
/* {"sha256":b64,"len":n} */
json_t *kmn_ledger_digest(const void *bytes, size_t len_bytes);
/* {"redacted":what,"len":n} */
json_t *kmn_ledger_redacted(const char *what, uint64_t len);

/*
 * The input data of a call as its row says (first DATA argument that is shown),
 * or NULL with *has_out false where the call has none: member `in`. `salt` is
 * KMN_OPENING_SALT_BYTES, for a value that is committed to; with NULL such a
 * value is redacted.
 */
json_t *kmn_ledger_in(const struct kmn_call_view *v, const uint8_t *salt, bool *has_out);
/* All templates of a call: one object, or {"pPublicKeyTemplate":..,"pPrivateKeyTemplate":..}: member `template`. */
json_t *kmn_ledger_templates(const struct kmn_call_view *v, bool *has_out);
/* What came back, as the row says ({"b64"}, {"sha256","len"}, {"commit","len"}, {"count","sha256"}): member `out`. */
json_t *kmn_ledger_out(const struct kmn_response_view *v, const uint8_t *salt, bool *has_out);
/* Every argument by its PKCS#11 name, in row order: for `kanmon audit show`, logs and traces. */
json_t *kmn_ledger_arguments(const struct kmn_call_view *v);
/* "CKR_OK", or "CKR_0x80000001" for a number that has no name. */
json_t *kmn_ledger_rv_name(uint64_t rv);

#endif
