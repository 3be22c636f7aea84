#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/verify.h"

#define WAITING_MAX 4096 /* pieces of work; then the oldest is waited for */

struct entry {
	struct entry *next;
	struct kmn_deferred *work; /* NULL: a finding */
	enum kmn_check check;
	enum kmn_severity severity;
	struct kmn_place place;
	char file[128], text[512]; /* names in the ledger: blobs/ and 64 digits, quarantine/.. */
};

struct kmn_telling {
	const struct kmn_verify_sink *sink;
	struct kmn_crew *crew;
	struct entry *first, *last;
	size_t working; /* entries that are work */
	bool telling;   /* work says what it found: at once */
};

kmn_err
kmn_telling_new(const struct kmn_verify_sink *sink, struct kmn_crew *crew, struct kmn_telling **telling_out)
{
	struct kmn_telling *telling = calloc(1, sizeof(*telling));

	if ((*telling_out = telling) == NULL)
		return KMN_E_NO_MEMORY;
	telling->sink = sink;
	telling->crew = crew;
	return KMN_OK;
}

static void
put(struct kmn_telling *telling, struct entry *entry)
{
	if (telling->last == NULL)
		telling->first = entry;
	else
		telling->last->next = entry;
	telling->last = entry;
}

static void
tell(struct kmn_telling *telling, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place,
    const char *text)
{
	if (telling->sink->say != NULL)
		telling->sink->say(telling->sink->cookie, check, severity, place, text);
}

/* Takes the first entry, whose work is done. */
static void
tell_first(struct kmn_telling *telling)
{
	struct entry *entry = telling->first;

	telling->first = entry->next;
	if (telling->first == NULL)
		telling->last = NULL;
	if (entry->work != NULL) {
		telling->working--;
		telling->telling = true;
		entry->work->tell(entry->work);
		telling->telling = false;
	} else {
		tell(telling, entry->check, entry->severity, &entry->place, entry->text);
	}
	free(entry);
}

/* Tells what can be told; the oldest work is waited for while more than `most` is left. */
static void
advance(struct kmn_telling *telling, size_t most)
{
	while (telling->first != NULL) {
		struct kmn_deferred *work = telling->first->work;

		if (work != NULL && telling->working > most)
			kmn_crew_wait(telling->crew, &work->task);
		else if (work != NULL && !kmn_crew_is_done(telling->crew, &work->task))
			return;
		tell_first(telling);
	}
}

void
kmn_telling_flush(struct kmn_telling *telling)
{
	advance(telling, 0);
}

void
kmn_telling_free(struct kmn_telling *telling)
{
	static const struct kmn_verify_sink nobody = {NULL, NULL};

	if (telling == NULL)
		return;
	telling->sink = &nobody;
	kmn_telling_flush(telling);
	free(telling);
}

void
kmn_telling_say(struct kmn_telling *telling, enum kmn_check check, enum kmn_severity severity,
    const struct kmn_place *place, const char *text)
{
	struct entry *entry;

	if (!telling->telling)
		advance(telling, WAITING_MAX);
	if (telling->telling || telling->first == NULL || (entry = calloc(1, sizeof(*entry))) == NULL) {
		tell(telling, check, severity, place, text); /* without memory: rather out of order than not at all */
		return;
	}
	entry->check = check;
	entry->severity = severity;
	entry->place = *place;
	if (place->file != NULL) {
		(void)snprintf(entry->file, sizeof(entry->file), "%s", place->file);
		entry->place.file = entry->file;
	}
	(void)snprintf(entry->text, sizeof(entry->text), "%s", text);
	put(telling, entry);
}

static void
run(struct kmn_task *task)
{
	struct kmn_deferred *work = (struct kmn_deferred *)task;

	work->run(work);
}

void
kmn_telling_defer(struct kmn_telling *telling, struct kmn_deferred *work)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (entry == NULL) { /* here and now */
		work->run(work);
		kmn_telling_flush(telling);
		telling->telling = true;
		work->tell(work);
		telling->telling = false;
		return;
	}
	entry->work = work;
	work->task.run = run;
	put(telling, entry);
	telling->working++;
	kmn_crew_give(telling->crew, &work->task);
	advance(telling, WAITING_MAX);
}
