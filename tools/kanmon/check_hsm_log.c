/*
 * V11: rows of the HSM's own log that were brought to the gateway, judged again by a form that the auditor has. What a row
 * means is the form's word, so a form that lies hides what it will: one that stands in the ledger is not believed, and no
 * pattern of it is ever run.
 *
 * What the HSM did is known only from all records together, so they are read a second time; where no such record is, not.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/checker.h"
#include "tools/kanmon/hsm_log.h"

struct hsm_logs {
	const struct kmn_checking *checking;
	struct kmn_hsm_book *book;
	const struct kmn_place *place; /* of the record that is judged */
	uint64_t records, judged, older, elsewhere;
};

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct hsm_logs *logs = calloc(1, sizeof(*logs));

	if ((*state_out = logs) == NULL)
		return KMN_E_NO_MEMORY;
	logs->checking = checking;
	return KMN_OK;
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct hsm_logs *logs = state;

	(void)record;
	(void)place;
	logs->records++;
	return KMN_OK;
}

static void
say(void *cookie, const struct kmn_record *record, const struct kmn_hsmlog_row *row, const char *text)
{
	const struct hsm_logs *logs = cookie;

	(void)record;
	kmn_checker_say(logs->checking, KMN_V11, KMN_FINDING, logs->place, "row %" PRIu64 ", %.64s with %.64s: %s",
	    row->line, row->operation, row->key, text);
}

static kmn_err
judge(struct hsm_logs *logs, const struct kmn_record *record, const struct kmn_place *place)
{
	const struct kmn_verify_settings *settings = logs->checking->settings;
	kmn_err e;

	if (json_is_string(json_object_get(record->body, "rows"))) {
		logs->older++;
		return KMN_OK;
	}
	logs->place = place;
	e = kmn_hsm_log_judge(logs->book, settings->hsm_form, settings->store, record, say, logs);
	logs->judged += e == KMN_OK;
	logs->elsewhere += e == KMN_E_NOT_FOUND;
	if (e == KMN_E_MALFORMED)
		kmn_checker_say(logs->checking, KMN_V11, KMN_FINDING, place,
		    "not rows of the log that the form names, with one entry each in matches");
	if (e == KMN_E_IO)
		kmn_checker_say(logs->checking, KMN_V11, KMN_MISSING, place, "its rows are not kept");
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

/* The second reading, as far as the first went. */
static kmn_err
read_again(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct hsm_logs *logs = cookie;
	kmn_err e;

	if (record->i >= kmn_past_size(logs->checking->past))
		return KMN_E_CANCELED;
	if ((e = kmn_hsm_book_take(logs->book, record)) != KMN_OK || record->kind != KMN_R_HSM_LOG)
		return e;
	return judge(logs, record, place);
}

static void
say_rest(const struct hsm_logs *logs)
{
	struct kmn_place nowhere = {NULL, 0, UINT64_MAX};

	if (logs->elsewhere > 0)
		kmn_checker_say(logs->checking, KMN_V11, KMN_INFO, &nowhere,
		    "%" PRIu64 " hsm.log records are by another form: give that too, by --hsm-format", logs->elsewhere);
	if (logs->older > 0)
		kmn_checker_say(logs->checking, KMN_V11, KMN_INFO, &nowhere,
		    "%" PRIu64 " hsm.log records do not say by which form: they are not judged", logs->older);
	logs->checking->report->done[KMN_V11] = logs->judged > 0 && logs->elsewhere == 0;
}

static kmn_err
end(void *state)
{
	struct hsm_logs *logs = state;
	const struct kmn_verify_settings *settings = logs->checking->settings;
	struct kmn_place nowhere = {NULL, 0, UINT64_MAX};
	struct kmn_why why = {""};
	kmn_err e;

	if (settings->hsm_form == NULL) {
		logs->checking->report->not_asked[KMN_V11] = logs->records > 0;
		if (logs->records > 0)
			kmn_checker_say(logs->checking, KMN_V11, KMN_INFO, &nowhere,
			    "%" PRIu64 " hsm.log records: --hsm-format FILE judges them again", logs->records);
		return KMN_OK;
	}
	if (logs->records == 0) {
		kmn_checker_say(logs->checking, KMN_V11, KMN_INFO, &nowhere, "nobody brought rows of the HSM's log");
		return KMN_OK;
	}
	if ((e = kmn_hsm_book_new(&logs->book)) != KMN_OK)
		return e;
	e = kmn_ledger_read(settings->store, read_again, logs, &why);
	if (e == KMN_OK || e == KMN_E_CANCELED)
		say_rest(logs);
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

static void
clear(void *state)
{
	struct hsm_logs *logs = state;

	kmn_hsm_book_free(logs->book);
	free(logs);
}

#define KINDS KMN_KIND(HSM_LOG)

const struct kmn_checker kmn_hsm_log_checker = {"hsm logs", KINDS, 0, begin, take_record, end, clear};
