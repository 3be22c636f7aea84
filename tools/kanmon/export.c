#include "config.h"

#include "tools/kanmon/offline.h"

#include <string.h>

#include "kanmon/json.h"
#include "tools/kanmon/terminal.h"

#define EXPORT "kanmon/request-export/v1"

kmn_err
kmn_export_read(const char *bytes, size_t len, struct kmn_export *out)
{
	const char *kind;
	json_error_t error;

	memset(out, 0, sizeof(*out));
	if (len > KMN_EXPORT_MAX_BYTES)
		return KMN_E_TOO_BIG;
	out->whole = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
	out->shown = json_object_get(out->whole, "shown");
	if (kmn_json_get_text(out->whole, "export", &kind) && strcmp(kind, EXPORT) == 0 &&
	    kmn_json_get_number(out->whole, "id", &out->id) && kmn_json_get_text(out->whole, "origin", &out->origin) &&
	    json_is_object(out->shown))
		return KMN_OK;
	kmn_fail("this is no exported request");
	kmn_export_clear(out);
	return KMN_E_MALFORMED;
}

void
kmn_export_clear(struct kmn_export *export)
{
	json_decref(export->whole);
	memset(export, 0, sizeof(*export));
}
