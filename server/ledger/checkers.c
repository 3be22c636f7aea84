/* The table of the ledger's own checkers, and what they share. */
#include "config.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server/ledger/verify.h"

const struct kmn_checker *const kmn_ledger_checkers[] = {
    &kmn_heads_checker,
    &kmn_guards_checker,
    &kmn_nonces_checker,
    &kmn_cases_checker,
    &kmn_witness_checker,
    &kmn_anchors_checker,
    &kmn_clock_checker,
    &kmn_views_checker,
    &kmn_openings_checker,
    &kmn_succession_checker,
    &kmn_tiles_checker,
    NULL,
};

void
kmn_checker_say(const struct kmn_checking *checking, enum kmn_check check, enum kmn_severity severity,
    const struct kmn_place *place, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	checking->sink.say(checking->sink.cookie, check, severity, place, text);
}

void
kmn_checker_defer(const struct kmn_checking *checking, struct kmn_deferred *work)
{
	kmn_telling_defer(checking->telling, work);
}

bool
kmn_checker_head(const struct kmn_checking *checking, const struct kmn_place *place, const struct kmn_head *head)
{
	if (kmn_past_is_head(checking->past, head))
		return true;
	if (head->size > kmn_past_size(checking->past))
		kmn_checker_say(checking, KMN_V3, KMN_FINDING, place,
		    "a head of %" PRIu64 " records, but there are only %" PRIu64 ": the ledger was cut off", head->size,
		    kmn_past_size(checking->past));
	else
		kmn_checker_say(checking, KMN_V3, KMN_FINDING, place,
		    "another root at size %" PRIu64 ": this is not the ledger that was signed", head->size);
	return false;
}

bool
kmn_checker_checkpoint(const struct kmn_checking *checking, enum kmn_check check, const struct kmn_place *place,
    const char *bytes, size_t len, struct kmn_head *head_out)
{
	const struct kmn_trust *trust = checking->settings->trust;
	struct kmn_note note;
	struct kmn_why why = {""};
	size_t count;
	bool verified;
	kmn_err e;

	if ((e = kmn_note_parse(bytes, len, &note, &why)) == KMN_OK &&
	    (e = kmn_note_verify(&note, &trust->log, 1, &verified, &count, &why)) == KMN_OK)
		e = kmn_checkpoint_parse(&note, trust->origin, head_out, &why);
	if (e == KMN_OK && count == 1)
		return true;
	kmn_checker_say(checking, check, KMN_FINDING, place, "not a checkpoint signed by the pinned log key: %s",
	    e == KMN_OK ? "its line is not there" : why.text);
	return false;
}
