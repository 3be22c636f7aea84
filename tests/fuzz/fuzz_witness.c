/* add-checkpoint, as a witness hears it from anybody. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/witness.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char vkey_text[] = "kanmon.example/gw1/2026+c6899459+Adotl8f8wfRKzxrWuO55NaCNpmd8xKugfDZUWsE0rpQ7";

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const struct kmn_head none = {.size = 0};
	struct kmn_witness_claim claim;
	struct kmn_witness_ask ask;
	struct kmn_vkey log;
	struct kmn_why why = {""};
	char *again;
	size_t again_len;

	if (kmn_vkey_parse(vkey_text, strlen(vkey_text), &log) != KMN_OK)
		abort();
	if (kmn_witness_ask_parse((const char *)bytes, len, &ask, &why) != KMN_OK)
		return 0;
	/* There is one form of each question. */
	if (kmn_witness_ask_make(ask.old_size, &ask.path, ask.note, ask.note_len, &again, &again_len) != KMN_OK ||
	    again_len != len || memcmp(again, bytes, len) != 0)
		abort();
	free(again);
	if (kmn_witness_look(&log, 1, &ask, &claim, &why) == 0)
		(void)!kmn_witness_judge(&claim, &ask, &none, &why);
	return 0;
}
