#include "config.h"

#include "provider/host.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

static char *
dup_or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

void
kmn_host_errors_take(struct kmn_host_errors *errors_out)
{
	errors_out->count = 0;
	while (errors_out->count < KMN_HOST_ERRORS && ERR_peek_error() != 0) {
		struct kmn_host_error *e = &errors_out->error[errors_out->count++];
		const char *file = NULL, *function = NULL, *data = NULL;
		int flags = 0;

		e->code = ERR_get_error_all(&file, &e->line, &function, &data, &flags);
		e->file = dup_or_null(file);
		e->function = dup_or_null(function);
		e->data = (flags & ERR_TXT_STRING) != 0 ? dup_or_null(data) : NULL;
	}
}

void
kmn_host_errors_return(struct kmn_host_errors *errors)
{
	ERR_clear_error();
	for (size_t i = 0; i < errors->count; i++) {
		struct kmn_host_error *e = &errors->error[i];

		ERR_new();
		ERR_set_debug(e->file, e->line, e->function);
		if (e->data != NULL)
			ERR_set_error(ERR_GET_LIB(e->code), ERR_GET_REASON(e->code), "%s", e->data);
		else
			ERR_set_error(ERR_GET_LIB(e->code), ERR_GET_REASON(e->code), NULL);
		free(e->file);
		free(e->function);
		free(e->data);
	}
	errors->count = 0;
}
