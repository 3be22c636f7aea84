/*
 * How the gateway and its requests stand, for the console: what the kanmon tool is told, and more.
 */
#include "config.h"

#include "server/keeper/admin.h"
#include "server/keeper/console.h"

#include "kanmon/lint.h"

#include <string.h>

void
kmn_ui_health(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	json_t *status;

	if (kmn_reader_end(r) != KMN_OK) {
		kmn_ui_refuse(ask, r->err, kmn_err_text(r->err));
		return;
	}
	status = kmn_admin_status_json(ask->keeper);
	kmn_ui_put_health(ask->keeper, status);
	(void)json_object_set_new(status, "sessions", kmn_ui_sessions_json(ask->keeper));
	kmn_ui_answer(ask, status);
}

void
kmn_ui_request_list(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	const struct kmn_request *request = NULL;
	bool ended = kmn_reader_bool(r);
	json_t *requests;

	if (kmn_reader_end(r) != KMN_OK) {
		kmn_ui_refuse(ask, r->err, kmn_err_text(r->err));
		return;
	}
	requests = json_array();
	while ((request = kmn_quorum_next(k->quorum, request, ended)) != NULL)
		if (request->held)
			(void)json_array_append_new(requests, kmn_admin_request_json(k, request));
	kmn_ui_answer(ask, json_pack("{s:o}", "requests", requests));
}

static void
add_warning(void *cookie, enum kmn_lint lint, const char *name, const char *text)
{
	(void)lint;
	(void)json_array_append_new(cookie, json_pack("{s:s, s:s}", "name", name, "text", text));
}

/* What is hardly meant in what is to be signed, where it is kept and decodes; the issuer is not known here. */
static json_t *
warnings_json(struct kmn_keeper *k, const struct kmn_request *request)
{
	struct kmn_lint_input input = {.now = kmn_keeper_now_ms()};
	struct kmn_attached kept;
	struct kmn_material material;
	json_t *warnings = json_array();

	kmn_attach_load(k, request->intent, &kept);
	material = (struct kmn_material){kept.data, kept.data_len, kept.econtent, kept.econtent_len};
	input.material = &material;
	if (kept.data != NULL)
		(void)kmn_lint(&input, add_warning, warnings);
	kmn_attached_clear(&kept);
	return warnings;
}

void
kmn_ui_request_show(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	const struct kmn_request *request = kmn_quorum_request(k->quorum, kmn_reader_u64(r));
	char code[KMN_DISPLAY_CODE_BYTES];
	json_t *full;

	if (kmn_reader_end(r) != KMN_OK) {
		kmn_ui_refuse(ask, r->err, kmn_err_text(r->err));
		return;
	}
	if (request == NULL || !request->held) {
		kmn_ui_refuse(
		    ask, KMN_E_NOT_FOUND, "no such request, or it ended so long ago that it is not shown any more");
		return;
	}
	full = kmn_admin_request_full_json(k, request);
	if (request->statement != NULL) {
		kmn_statement_code(request->statement, strlen(request->statement), code);
		(void)json_object_set_new(full, "code", json_string(code));
	}
	(void)json_object_set_new(full, "warnings", warnings_json(k, request));
	kmn_ui_answer(ask, full);
}
