/* A received note: read as a statement or refused; what it says can be turned and read again. */
#define _GNU_SOURCE 1 /* strndup */
#include "kanmon/note.h"
#include "kanmon/statement.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct kmn_statement_said said, again;
	struct kmn_note note;
	char *text = NULL, *turned = NULL;

	if (kmn_note_parse((const char *)bytes, len, &note, NULL) != KMN_OK ||
	    kmn_statement_read(note.text, note.text_len, &said) != KMN_OK)
		return 0;
	text = strndup(note.text, note.text_len);
	if (text != NULL && said.decision == KMN_APPROVE &&
	    kmn_statement_turn(text, KMN_REJECT, "no", &turned) == KMN_OK) {
		if (kmn_statement_read(turned, strlen(turned), &again) != KMN_OK || again.decision != KMN_REJECT ||
		    again.request != said.request)
			abort();
	}
	free(turned);
	free(text);
	return 0;
}
