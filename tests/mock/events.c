/*
 * Tokens that come and go. KMN_MOCK_EVENTS names a file; each of its lines is
 * an event, "22 out" or "22 in". Every process that loads the module sees the
 * same lines, so a watcher and the application's worker agree.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/mock/mock.h"

#define LOOK_AGAIN_MS 5

/* The slot of line number `wanted`, or false; each line before it moves its token. */
static bool
read_events(unsigned wanted, unsigned *slot_out)
{
	FILE *f = mock.settings.events[0] == '\0' ? NULL : fopen(mock.settings.events, "r");
	bool found = false;
	unsigned long id;
	char way[8];
	unsigned slot;

	if (f == NULL)
		return false;
	for (unsigned i = 0; fscanf(f, "%lu %7s", &id, way) == 2; i++) {
		if (!mock_slot(id, &slot))
			continue;
		mock.token[slot].absent = strcmp(way, "out") == 0;
		if (i == wanted) {
			*slot_out = slot;
			found = true;
		}
	}
	fclose(f);
	return found;
}

void
mock_look_at_slots(void)
{
	unsigned slot;

	(void)read_events(~0u, &slot);
	for (size_t i = 0; i < MOCK_SESSIONS; i++)
		if (mock.session[i] != NULL && mock.token[mock.session[i]->slot].absent)
			mock_close_session((CK_SESSION_HANDLE)i + 1);
}

static bool
take_event(CK_SLOT_ID *id)
{
	unsigned slot;

	if (!read_events(mock.events, &slot))
		return false;
	mock.events++;
	*id = MOCK_SLOT_ID(slot);
	return true;
}

CK_RV
mock_C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR id, CK_VOID_PTR reserved)
{
	const struct timespec pause = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};
	CK_RV rv = CKR_NO_EVENT;

	if (reserved != NULL)
		return CKR_ARGUMENTS_BAD;
	while (rv == CKR_NO_EVENT) {
		pthread_mutex_lock(&mock.lock);
		if (!mock.initialised)
			rv = CKR_CRYPTOKI_NOT_INITIALIZED;
		else if (mock.settings.events[0] == '\0')
			rv = CKR_FUNCTION_NOT_SUPPORTED;
		else if (take_event(id))
			rv = CKR_OK;
		pthread_mutex_unlock(&mock.lock);
		if ((flags & CKF_DONT_BLOCK) != 0)
			break;
		if (rv == CKR_NO_EVENT)
			(void)nanosleep(&pause, NULL);
	}
	return rv;
}
