#include "config.h"

#include "tools/kanmon/policy_file.h"

#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/files.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/terminal.h"

/* Room for the text, an empty line and all the signatures that a note may have. */
#define FILE_MAX_BYTES (KMN_POLICY_MAX_BYTES + KMN_NOTE_IN_RECORD_MAX_BYTES)

const char *
kmn_policy_file_text(const struct kmn_policy_file *file, size_t *len_out)
{
	*len_out = file->is_note ? file->note.text_len : file->len;
	return file->bytes;
}

/* A policy may hold empty lines of its own: it is a note when signature lines follow the last one. */
static kmn_err
split(struct kmn_policy_file *file, const char *from)
{
	struct kmn_why why;

	if (strstr(file->bytes, "\n\n\xe2\x80\x94 ") == NULL)
		return KMN_OK;
	file->is_note = true;
	if (kmn_note_parse(file->bytes, file->len, &file->note, &why) == KMN_OK)
		return KMN_OK;
	kmn_fail("%s: %s", from, why.text);
	return KMN_E_MALFORMED;
}

kmn_err
kmn_policy_file_take(const char *from, char *bytes, size_t len, struct kmn_policy_file **file_out)
{
	struct kmn_policy_file *file = calloc(1, sizeof(*file));
	struct kmn_policy_error error = {0};
	const char *text;
	kmn_err e;

	*file_out = NULL;
	if (file == NULL) {
		free(bytes);
		return KMN_E_NO_MEMORY;
	}
	file->bytes = bytes;
	file->len = len;
	if ((e = split(file, from)) != KMN_OK)
		goto done;
	text = kmn_policy_file_text(file, &len);
	if ((e = kmn_policy_parse(text, len, &file->policy, &error)) != KMN_OK) {
		kmn_fail("%s:%u: %s", from, error.line, error.text[0] != '\0' ? error.text : kmn_err_text(e));
		goto done;
	}
	*file_out = file;
	file = NULL;
done:
	kmn_policy_file_free(file);
	return e;
}

kmn_err
kmn_policy_file_read(const char *path, struct kmn_policy_file **file_out)
{
	char *bytes;
	size_t len;
	kmn_err e;

	*file_out = NULL;
	if ((e = kmn_file_read_or_say(path, FILE_MAX_BYTES, &bytes, &len)) != KMN_OK)
		return e;
	return kmn_policy_file_take(path, bytes, len, file_out);
}

kmn_err
kmn_policy_file_ask(const char *as, struct kmn_policy_file **file_out)
{
	const char *note;
	json_t *answer;
	char *bytes;
	kmn_err e;

	*file_out = NULL;
	if ((e = kmn_gateway_ask_once(kmn_custodian(as), KMN_ADMIN_POLICY, NULL, &answer)) != KMN_OK)
		return e;
	note = json_string_value(json_object_get(answer, "note"));
	bytes = note != NULL ? strdup(note) : NULL;
	e = note == NULL ? KMN_E_MALFORMED : bytes == NULL ? KMN_E_NO_MEMORY : KMN_OK;
	json_decref(answer);
	if (e != KMN_OK) {
		kmn_fail("the gateway's policy: %s", kmn_err_text(e));
		return e;
	}
	return kmn_policy_file_take("the gateway's policy", bytes, strlen(bytes), file_out);
}

void
kmn_policy_file_free(struct kmn_policy_file *file)
{
	if (file == NULL)
		return;
	kmn_policy_free(file->policy);
	free(file->bytes);
	free(file);
}
