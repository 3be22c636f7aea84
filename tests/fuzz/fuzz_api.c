/* A request to the console's API: first line, query and body of anybody. METHOD SP PATH [? NAME=VALUE [& ..]] LF BODY. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "server/console/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define LINE_MAX_BYTES 1024u

static size_t
split(char *query, struct kmn_api_arg args[KMN_API_ARGS_MAX])
{
	size_t n = 0;

	for (char *rest = query, *one; n < KMN_API_ARGS_MAX && (one = strsep(&rest, "&")) != NULL; n++) {
		args[n].name = strsep(&one, "=");
		args[n].value = one != NULL ? one : "";
	}
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *lf = len > 0 ? memchr(bytes, '\n', len) : NULL;
	size_t line_len = lf != NULL ? (size_t)(lf - bytes) : len;
	struct kmn_api_arg args[KMN_API_ARGS_MAX];
	struct kmn_api_input input = {.args = args, .origin = "https://c.example", .address = "192.0.2.1", .tls_ver = "TLS1.3", .tls_suite = ""};
	const struct kmn_api_row *row;
	char line[LINE_MAX_BYTES + 1], *path = line, *method;
	struct kmn_why why = {""};
	struct kmn_writer w;
	kmn_err e;

	if (line_len > LINE_MAX_BYTES)
		return 0;
	memcpy(line, bytes, line_len);
	line[line_len] = '\0';
	if ((method = strsep(&path, " ")) == NULL || path == NULL)
		return 0;
	if (strchr(path, '?') != NULL) {
		char *query = strchr(path, '?');

		*query++ = '\0';
		input.arg_count = split(query, args);
	}
	if (kmn_api_route(method, path, &row, &input) != KMN_OK)
		return 0;
	input.body = (const char *)bytes + line_len + (lf != NULL);
	input.body_len = len - line_len - (lf != NULL);
	kmn_writer_init(&w, 1u << 20);
	e = kmn_api_fields(row, &input, &w, &why);
	/* What was taken is no longer than what came and a few fixed fields; what was refused says why. */
	if ((e == KMN_OK && w.len > len + 256) || (e != KMN_OK && (why.text[0] == '\0' || kmn_api_status(e) >= 500)))
		abort();
	kmn_writer_clear(&w);
	return 0;
}
