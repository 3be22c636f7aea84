#include "config.h"

#include "provider/sessions.h"

#include <stdlib.h>
#include <string.h>

#define MESSAGE_KINDS 4u /* KMN_OP_MESSAGE_ENCRYPT and the three bits after it */

/* Places of a parameter that the module may change until its operation ends, or the next of its kind begins. */
struct late {
	unsigned operation;
	size_t count;
	struct kmn_param_place place[KMN_PARAM_MAX_PLACES];
	struct late *next;
};

struct kmn_known_session {
	CK_SESSION_HANDLE handle;
	CK_SLOT_ID slot;                          /* CK_UNAVAILABLE_INFORMATION: it was not opened here */
	CK_MECHANISM_TYPE message[MESSAGE_KINDS]; /* CK_UNAVAILABLE_INFORMATION: none */
	struct late *late;
	struct kmn_known_session *next;
};

void
kmn_sessions_init(struct kmn_sessions *sessions)
{
	*sessions = (struct kmn_sessions){.bucket = {NULL}};
	(void)pthread_mutex_init(&sessions->lock, NULL);
}

/* Forgets the places of these operations. */
static void
forget_late(struct kmn_known_session *s, unsigned operations)
{
	struct late **at = &s->late, *l;

	while ((l = *at) != NULL) {
		if ((l->operation & operations) == 0) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		free(l);
	}
}

static void
session_free(struct kmn_known_session *s)
{
	if (s != NULL)
		forget_late(s, ~0u);
	free(s);
}

/* Forgets those of a slot, or of every slot. */
static void
forget_slot(struct kmn_sessions *sessions, bool every, CK_SLOT_ID slot)
{
	for (size_t i = 0; i < KMN_SESSION_BUCKETS; i++) {
		struct kmn_known_session **at = &sessions->bucket[i], *s;

		while ((s = *at) != NULL) {
			if (!every && s->slot != slot) {
				at = &s->next;
				continue;
			}
			*at = s->next;
			session_free(s);
		}
	}
}

void
kmn_sessions_clear(struct kmn_sessions *sessions)
{
	forget_slot(sessions, true, 0);
	(void)pthread_mutex_destroy(&sessions->lock);
}

/* Where a session is in its chain, or the end of the chain. */
static struct kmn_known_session **
place_of(struct kmn_sessions *sessions, CK_SESSION_HANDLE handle)
{
	struct kmn_known_session **at = &sessions->bucket[handle & (KMN_SESSION_BUCKETS - 1)];

	while (*at != NULL && (*at)->handle != handle)
		at = &(*at)->next;
	return at;
}

/* NULL when there is no memory: then its messages are of no operation that we know. */
static struct kmn_known_session *
remember(struct kmn_sessions *sessions, CK_SESSION_HANDLE handle, CK_SLOT_ID slot)
{
	struct kmn_known_session **at = place_of(sessions, handle);

	if (*at == NULL && (*at = calloc(1, sizeof(**at))) != NULL) {
		(*at)->handle = handle;
		(*at)->slot = slot;
		for (size_t i = 0; i < MESSAGE_KINDS; i++)
			(*at)->message[i] = CK_UNAVAILABLE_INFORMATION;
	}
	return *at;
}

static void
forget(struct kmn_sessions *sessions, CK_SESSION_HANDLE handle)
{
	struct kmn_known_session **at = place_of(sessions, handle), *s = *at;

	if (s != NULL)
		*at = s->next;
	session_free(s);
}

/* Notes what the operations on messages among these bits were begun with. */
static void
set(struct kmn_sessions *sessions, CK_SESSION_HANDLE handle, unsigned operations, CK_MECHANISM_TYPE type)
{
	struct kmn_known_session *s = remember(sessions, handle, CK_UNAVAILABLE_INFORMATION);

	for (unsigned i = 0; s != NULL && i < MESSAGE_KINDS; i++)
		if ((operations & (unsigned)KMN_OP_MESSAGE_ENCRYPT << i) != 0)
			s->message[i] = type;
}

static bool
is_about_messages(const struct kmn_call *call)
{
	return (call->operations & (KMN_OP_MESSAGE_ENCRYPT | KMN_OP_MESSAGE_DECRYPT | KMN_OP_MESSAGE_SIGN |
				       KMN_OP_MESSAGE_VERIFY)) != 0;
}

void
kmn_sessions_fill(struct kmn_sessions *sessions, enum kmn_call_id id, struct kmn_arg *arg)
{
	const struct kmn_call *call = kmn_call_row(id);
	const struct kmn_known_session *s;

	if (call->effect != KMN_EFFECT_BELONGS)
		return;
	(void)pthread_mutex_lock(&sessions->lock);
	s = *place_of(sessions, arg[0].u);
	for (unsigned i = 0; s != NULL && i < MESSAGE_KINDS; i++)
		if ((call->operations & (unsigned)KMN_OP_MESSAGE_ENCRYPT << i) != 0)
			arg[1].type = s->message[i];
	(void)pthread_mutex_unlock(&sessions->lock);
}

/* C_Message*Init without a mechanism cancels, and C_Message*Final ends. */
static void
learn_messages(struct kmn_sessions *sessions, const struct kmn_call *call, const struct kmn_arg *arg)
{
	const CK_MECHANISM *m = call->effect == KMN_EFFECT_STARTS ? arg[1].p : NULL;

	if (call->effect == KMN_EFFECT_STARTS || call->effect == KMN_EFFECT_ENDS)
		set(sessions, arg[0].u, call->operations, m != NULL ? m->mechanism : CK_UNAVAILABLE_INFORMATION);
}

/* An operation began: where the module may write to its parameter. */
static void
learn_places(struct kmn_sessions *sessions, enum kmn_call_id id, const struct kmn_arg *arg)
{
	unsigned operation = kmn_call_row(id)->operations;
	struct kmn_param_place place[KMN_PARAM_MAX_PLACES];
	size_t n = kmn_arg_places(id, arg, place, KMN_PARAM_MAX_PLACES);
	struct kmn_known_session *s = *place_of(sessions, arg[0].u);
	struct late *l;

	if (s != NULL)
		forget_late(s, operation);
	if (n == 0 || (s = remember(sessions, arg[0].u, CK_UNAVAILABLE_INFORMATION)) == NULL ||
	    (l = calloc(1, sizeof(*l))) == NULL)
		return;
	l->operation = operation;
	l->count = n;
	memcpy(l->place, place, n * sizeof(place[0]));
	l->next = s->late;
	s->late = l;
}

void
kmn_sessions_late(
    struct kmn_sessions *sessions, enum kmn_call_id id, const struct kmn_arg *arg, const void *bytes, size_t len_bytes)
{
	struct kmn_response_view v;
	const struct late *l;
	struct kmn_reader r;

	if (kmn_call_row(id)->operations == KMN_OP_NONE)
		return;
	(void)pthread_mutex_lock(&sessions->lock);
	l = *place_of(sessions, arg[0].u) != NULL ? (*place_of(sessions, arg[0].u))->late : NULL;
	if (l != NULL && kmn_response_view_decode(bytes, len_bytes, &v) == KMN_OK) {
		kmn_reader_init(&r, v.late, v.late_len);
		for (unsigned i = 0; i < v.late_count && r.err == KMN_OK; i++) {
			unsigned operation = kmn_late_operation(&r);
			const struct late *of = l;

			while (of != NULL && of->operation != operation)
				of = of->next;
			kmn_late_apply(&r, of != NULL ? of->place : NULL, of != NULL ? of->count : 0);
		}
	}
	(void)pthread_mutex_unlock(&sessions->lock);
}

void
kmn_sessions_learn(struct kmn_sessions *sessions, enum kmn_call_id id, const struct kmn_arg *arg, CK_RV rv)
{
	const struct kmn_call *call = kmn_call_row(id);

	if (rv != CKR_OK)
		return;
	(void)pthread_mutex_lock(&sessions->lock);
	switch (id) {
	case KMN_C_OpenSession:
		(void)remember(sessions, *(CK_SESSION_HANDLE *)arg[3].p, arg[0].u);
		break;
	case KMN_C_CloseSession:
		forget(sessions, arg[0].u);
		break;
	case KMN_C_CloseAllSessions:
	case KMN_C_InitToken:
		forget_slot(sessions, false, arg[0].u);
		break;
	case KMN_C_SessionCancel:
		set(sessions, arg[0].u, kmn_cancelled_operations(arg[1].u), CK_UNAVAILABLE_INFORMATION);
		break;
	default:
		if (is_about_messages(call))
			learn_messages(sessions, call, arg);
		if (call->effect == KMN_EFFECT_STARTS)
			learn_places(sessions, id, arg);
	}
	(void)pthread_mutex_unlock(&sessions->lock);
}
