/* Requests from a hostile client, as gate, keeper and worker look at them, and as the ledger is shown them. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/json.h"
#include "kanmon/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static volatile uint64_t seen; /* so that no look is optimised away */

static void
look_at_bytes(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		seen += bytes[i];
}

static void
look_at_template(const struct kmn_template_view *t, unsigned depth)
{
	struct kmn_attribute_view a;
	size_t at = 0;
	uint64_t n = 0;

	if (depth > KMN_TEMPLATE_MAX_DEPTH)
		abort();
	while (kmn_template_next(t, &at, &a)) {
		n++;
		if (a.form == KMN_VALUE_BYTES)
			look_at_bytes(a.bytes, a.len);
		for (size_t i = 0; a.form == KMN_VALUE_ULONGS && i < a.len; i++)
			seen += kmn_attribute_number(&a, i);
		if (a.form == KMN_VALUE_TEMPLATE || a.form == KMN_ROOM_TEMPLATE)
			look_at_template(&a.nested, depth + 1);
	}
	if (!t->null && n != t->count)
		abort();
}

static void
look_at_mechanism(const struct kmn_mech_view *m)
{
	struct kmn_field_cursor c = {0};
	struct kmn_field_view v;
	uint64_t handles[4];

	if (m->form == KMN_MECH_BYTES)
		look_at_bytes(m->bytes, m->size);
	while (kmn_mech_next(m, &c, &v)) {
		look_at_bytes(v.bytes, v.len);
		seen += v.number;
	}
	if (m->form == KMN_MECH_STRUCT && c.at != m->size)
		abort();
	seen += kmn_mech_handles(m, handles, KMN_COUNT_OF(handles));
}

/* What the ledger is shown must be a line that the ledger takes, but for its length. */
static void
look_at_ledger(json_t *value)
{
	char *line;
	size_t len;
	kmn_err e = value != NULL ? kmn_json_emit(value, &line, &len, NULL) : KMN_E_INTERNAL;

	if (e != KMN_OK && e != KMN_E_TOO_BIG)
		abort();
	if (e == KMN_OK)
		free(line);
	json_decref(value);
}

static void
look_at_views(const struct kmn_call_view *v)
{
	bool has;
	json_t *value = kmn_ledger_templates(v, &has);

	if (has)
		look_at_ledger(value);
	value = kmn_ledger_in(v, NULL, &has);
	if (has)
		look_at_ledger(value);
	look_at_ledger(kmn_ledger_mechanism(kmn_view_mechanism(v)));
	look_at_ledger(kmn_ledger_arguments(v));
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_call_view v;

	if (kmn_call_view_decode(bytes, len, &v) != KMN_OK) {
		if (v.call != NULL)
			abort();
		return 0;
	}
	for (size_t i = 0; i < v.call->param_count; i++) {
		look_at_bytes(v.value[i].bytes, v.value[i].len);
		look_at_template(&v.value[i].template, 1);
		look_at_mechanism(&v.value[i].mech);
	}
	look_at_views(&v);
	return 0;
}
