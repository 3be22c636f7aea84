/* A types file: whoever writes it, it becomes rows or is refused with a line; what it describes, says the same of itself. */
#include "kanmon/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
look_at_layout(const struct kmn_layout *layout)
{
	char text[KMN_DESCRIPTOR_MAX_BYTES];

	if (layout == NULL)
		return;
	if (layout->field_count == 0 || layout->field_count > KMN_PARAM_MAX_FIELDS ||
	    (layout->id == KMN_LAYOUT_DESCRIBED && kmn_layout_describe(layout, text, sizeof(text)) == 0))
		abort();
	for (size_t i = 0; i < layout->field_count; i++)
		if (layout->fields[i].at >= layout->size)
			abort();
}

/* A structure that stands alone is, written down and read again, the same one. */
static void
look_again(const struct kmn_layout *layout)
{
	char text[KMN_DESCRIPTOR_MAX_BYTES], line[KMN_DESCRIPTOR_MAX_BYTES + 64], why[KMN_TYPES_WHY_BYTES];
	struct kmn_types *again;

	for (size_t i = 0; i < layout->field_count; i++)
		if (layout->fields[i].inner != NULL || layout->fields[i].choice_count > 0)
			return;
	(void)kmn_layout_describe(layout, text, sizeof(text));
	(void)snprintf(line, sizeof(line), "struct AGAIN_AND_AGAIN_AND_AGAIN %s", text);
	if (kmn_types_parse("again", line, strlen(line), &kmn_abi_own, why, &again) != KMN_OK)
		abort();
	if (kmn_types_layout(again, "AGAIN_AND_AGAIN_AND_AGAIN")->digest != layout->digest)
		abort();
	kmn_types_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct kmn_mechanism *row;
	char why[KMN_TYPES_WHY_BYTES];
	struct kmn_types *types;
	kmn_err e = kmn_types_parse("fuzz", (const char *)bytes, len, &kmn_abi_own, why, &types);

	if ((e == KMN_OK) != (types != NULL) || (e == KMN_E_CONFIG && strncmp(why, "fuzz:", 5) != 0))
		abort();
	for (size_t i = 0; types != NULL && (row = kmn_types_mechanism(types, i)) != NULL; i++) {
		const struct kmn_layout *all[] = {row->layout[0], row->layout[1], row->message, row->wrap};

		if (row->takes == KMN_TAKES_REFUSED || (row->takes == KMN_TAKES_STRUCT) != (row->layout[0] != NULL))
			abort();
		for (size_t j = 0; j < KMN_COUNT_OF(all); j++) {
			look_at_layout(all[j]);
			if (all[j] != NULL && all[j]->id == KMN_LAYOUT_DESCRIBED)
				look_again(all[j]);
		}
	}
	kmn_types_free(types);
	return 0;
}
