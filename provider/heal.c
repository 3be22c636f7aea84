#include "config.h"

#include "provider/heal_parts.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "provider/debug.h"

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

kmn_err
kmn_heal_new(bool always, struct kmn_heal **heal_out)
{
	struct kmn_heal *heal = calloc(1, sizeof(*heal));

	*heal_out = heal;
	if (heal == NULL)
		return KMN_E_NO_MEMORY;
	heal->always = always;
	(void)pthread_mutex_init(&heal->lock, NULL);
	(void)pthread_cond_init(&heal->done, NULL);
	return KMN_OK;
}

void
kmn_heal_free(struct kmn_heal *heal)
{
	if (heal == NULL)
		return;
	for (size_t i = 0; i < KMN_HEAL_LOGINS; i++)
		kmn_heal_login_clear(&heal->login[i]);
	free(heal->session);
	free(heal->key);
	(void)pthread_cond_destroy(&heal->done);
	(void)pthread_mutex_destroy(&heal->lock);
	free(heal);
}

void
kmn_heal_lock(struct kmn_heal *heal)
{
	if (heal != NULL)
		(void)pthread_mutex_lock(&heal->lock);
}

void
kmn_heal_unlock(struct kmn_heal *heal)
{
	if (heal != NULL)
		(void)pthread_mutex_unlock(&heal->lock);
}

void
kmn_heal_after_fork(struct kmn_heal *heal, uint32_t era)
{
	(void)pthread_cond_init(&heal->done, NULL); /* threads that waited here are no more */
	heal->building = false;
	heal->inherited_era = era;
}

void
kmn_heal_wipe(struct kmn_heal *heal)
{
	if (heal == NULL)
		return;
	for (size_t i = 0; i < KMN_HEAL_LOGINS; i++) {
		struct kmn_heal_secret *pin = &heal->login[i].pin;

		if (pin->bytes != NULL && sodium_mprotect_readwrite(pin->bytes) == 0)
			sodium_memzero(pin->bytes, pin->len);
	}
}

bool
kmn_heal_may(const struct kmn_heal *heal, const struct kmn_link *lost)
{
	return heal != NULL && (heal->always || (heal->inherited_era != 0 && lost == NULL));
}

/* ---- after a call ------------------------------------------------------------------------------------------------ */

static void
note_session(struct kmn_heal *heal, const struct kmn_link *link, const struct kmn_call_view *call,
    const struct kmn_arg *arg, const struct kmn_heal_session *session)
{
	switch (call->id) {
	case KMN_C_OpenSession:
		kmn_heal_session_add(heal, &(struct kmn_heal_session){.handle = *(CK_SESSION_HANDLE *)arg[3].p,
					       .slot = (CK_SLOT_ID)call->value[0].number,
					       .flags = (CK_FLAGS)call->value[1].number,
					       .era = link->era});
		break;
	case KMN_C_CloseAllSessions:
		kmn_heal_session_remove_all(heal, (CK_SLOT_ID)call->value[0].number);
		break;
	case KMN_C_Login:
	case KMN_C_LoginUser:
		if (session != NULL)
			kmn_heal_login_keep(heal, session->slot, link->era, call);
		break;
	case KMN_C_Logout:
		if (session != NULL)
			kmn_heal_login_drop(heal, session->slot);
		break;
	default:
		break;
	}
}

/* The PIN that C_SetPIN changed is that of who is logged in, if somebody is. */
static void
note_pin(struct kmn_heal *heal, const struct kmn_call_view *call, const struct kmn_heal_session *session)
{
	struct kmn_heal_login *login = session != NULL ? kmn_heal_login_of(heal, session->slot) : NULL;

	if (login != NULL && !kmn_heal_secret_set(&login->pin, &call->value[2]))
		kmn_heal_login_clear(login);
}

/* Asks who a key is that was used for the first time; the lock is not taken. */
static void
note_key(struct kmn_heal *heal, const struct kmn_desk *desk, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle)
{
	struct kmn_heal_key key = {.handle = handle, .slot = desk->slot, .era = desk->link->era};

	if (kmn_identity_ask(desk, session, handle, &key.who) != KMN_OK)
		return;
	kmn_debug(KMN_TOPIC_HEAL, "key %lu: %s", handle, key.who.proven ? "known" : "cannot be told from others");
	(void)pthread_mutex_lock(&heal->lock);
	if (kmn_heal_key_of(heal, handle) == NULL)
		kmn_heal_key_add(heal, &key);
	(void)pthread_mutex_unlock(&heal->lock);
}

/* Keys of a successful call that are not known yet; the lock is taken. */
static size_t
unknown_keys(struct kmn_heal *heal, const struct kmn_call_view *call, CK_OBJECT_HANDLE out[KMN_HEAL_HANDLES_MAX])
{
	CK_OBJECT_HANDLE named[KMN_HEAL_HANDLES_MAX];
	size_t n = 0;

	for (size_t i = 0, count = kmn_heal_objects_of(call, true, named); i < count; i++) {
		if (named[i] != CK_INVALID_HANDLE && kmn_heal_key_of(heal, named[i]) == NULL)
			out[n++] = named[i];
	}
	return n;
}

static void
note_success(struct kmn_heal *heal, struct kmn_link *link, const struct kmn_call_view *call, const struct kmn_arg *arg,
    struct kmn_heal_session *session)
{
	if (call->id == KMN_C_CloseSession && session != NULL)
		kmn_heal_session_remove(heal, session);
	else if (call->id == KMN_C_SetPIN)
		note_pin(heal, call, session);
	else if (call->id == KMN_C_DestroyObject || call->id == KMN_C_SetAttributeValue)
		kmn_heal_key_forget(heal, (CK_OBJECT_HANDLE)call->value[1].number);
	else
		note_session(heal, link, call, arg, session);
}

void
kmn_heal_note(struct kmn_heal *heal, struct kmn_application *app, struct kmn_link *link,
    const struct kmn_call_view *call, const struct kmn_arg *arg, CK_RV rv)
{
	CK_OBJECT_HANDLE key[KMN_HEAL_HANDLES_MAX];
	struct kmn_heal_session *session, copy = {0};
	size_t keys = 0;
	uint64_t handle = 0;

	(void)pthread_mutex_lock(&heal->lock);
	session = kmn_view_session(call, &handle) ? kmn_heal_session_of(heal, (CK_SESSION_HANDLE)handle) : NULL;
	if (session != NULL)
		copy = *session;
	if (rv == CKR_OK && session != NULL)
		keys = unknown_keys(heal, call, key);
	if (rv == CKR_OK)
		note_success(heal, link, call, arg, session);
	else if ((rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED) && session != NULL &&
		 session->era == link->era)
		kmn_heal_session_remove(heal, session); /* it died at the module, as it would have without us */
	(void)pthread_mutex_unlock(&heal->lock);
	for (size_t i = 0; i < keys; i++)
		note_key(heal, &(struct kmn_desk){app, link, copy.slot, copy.flags}, copy.handle, key[i]);
}

void
kmn_heal_searches(struct kmn_heal *heal, CK_SESSION_HANDLE handle, const CK_ATTRIBUTE *row, CK_ULONG rows)
{
	struct kmn_heal_session *session;
	CK_OBJECT_CLASS class = CKO_DATA;

	for (CK_ULONG i = 0; i < rows; i++) {
		if (row[i].type == CKA_CLASS && row[i].pValue != NULL && row[i].ulValueLen == sizeof(class))
			memcpy(&class, row[i].pValue, sizeof(class));
	}
	(void)pthread_mutex_lock(&heal->lock);
	if ((session = kmn_heal_session_of(heal, handle)) != NULL)
		session->searches_keys = class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY;
	(void)pthread_mutex_unlock(&heal->lock);
}

void
kmn_heal_found(struct kmn_heal *heal, struct kmn_application *app, struct kmn_link *link, CK_SESSION_HANDLE handle,
    const CK_OBJECT_HANDLE *found, CK_ULONG count)
{
	CK_OBJECT_HANDLE key[KMN_HEAL_HANDLES_MAX];
	const struct kmn_heal_session *session;
	struct kmn_heal_session copy = {0};
	size_t keys = 0;

	(void)pthread_mutex_lock(&heal->lock);
	if ((session = kmn_heal_session_of(heal, handle)) != NULL && session->searches_keys) {
		copy = *session;
		for (CK_ULONG i = 0; i < count && keys < KMN_HEAL_HANDLES_MAX; i++)
			if (kmn_heal_key_of(heal, found[i]) == NULL)
				key[keys++] = found[i];
	}
	(void)pthread_mutex_unlock(&heal->lock);
	for (size_t i = 0; i < keys; i++)
		note_key(heal, &(struct kmn_desk){app, link, copy.slot, copy.flags}, handle, key[i]);
}

void
kmn_heal_forget(struct kmn_heal *heal, const struct kmn_call_view *call)
{
	struct kmn_heal_session *session;

	(void)pthread_mutex_lock(&heal->lock);
	if (call->id == KMN_C_CloseAllSessions)
		kmn_heal_session_remove_all(heal, (CK_SLOT_ID)call->value[0].number);
	else if (call->id == KMN_C_CloseSession &&
		 (session = kmn_heal_session_of(heal, (CK_SESSION_HANDLE)call->value[0].number)) != NULL)
		kmn_heal_session_remove(heal, session);
	(void)pthread_mutex_unlock(&heal->lock);
}
