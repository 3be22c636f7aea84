/* Open sessions, logins with their PINs, and the keys that were used. */
#include "config.h"

#include "provider/heal_parts.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* ---- sessions and logins ----------------------------------------------------------------------------------------- */

bool
kmn_heal_may_build(const struct kmn_heal *heal, uint32_t era)
{
	return heal->always || era == heal->inherited_era;
}

struct kmn_heal_session *
kmn_heal_session_of(struct kmn_heal *heal, CK_SESSION_HANDLE handle)
{
	for (size_t i = 0; i < heal->session_count; i++) {
		if (heal->session[i].handle == handle)
			return &heal->session[i];
	}
	return NULL;
}

void
kmn_heal_session_add(struct kmn_heal *heal, const struct kmn_heal_session *session)
{
	if (heal->session_count == heal->session_room) {
		size_t room = heal->session_room == 0 ? 16 : heal->session_room * 2;
		struct kmn_heal_session *grown = realloc(heal->session, room * sizeof(*grown));

		if (grown == NULL) /* this one is not built up again */
			return;
		heal->session = grown;
		heal->session_room = room;
	}
	heal->session[heal->session_count++] = *session;
}

struct kmn_heal_login *
kmn_heal_login_of(struct kmn_heal *heal, CK_SLOT_ID slot)
{
	for (size_t i = 0; i < KMN_HEAL_LOGINS; i++) {
		if (heal->login[i].used && heal->login[i].slot == slot)
			return &heal->login[i];
	}
	return NULL;
}

void
kmn_heal_login_clear(struct kmn_heal_login *login)
{
	sodium_free(login->pin.bytes); /* wipes */
	sodium_free(login->user.bytes);
	*login = (struct kmn_heal_login){0};
}

void
kmn_heal_login_drop(struct kmn_heal *heal, CK_SLOT_ID slot)
{
	struct kmn_heal_login *login = kmn_heal_login_of(heal, slot);

	if (login != NULL)
		kmn_heal_login_clear(login);
}

void
kmn_heal_session_remove(struct kmn_heal *heal, struct kmn_heal_session *session)
{
	CK_SLOT_ID slot = session->slot;

	*session = heal->session[--heal->session_count];
	for (size_t i = 0; i < heal->session_count; i++) {
		if (heal->session[i].slot == slot)
			return;
	}
	kmn_heal_login_drop(heal, slot);
}

void
kmn_heal_session_remove_all(struct kmn_heal *heal, CK_SLOT_ID slot)
{
	for (size_t i = heal->session_count; i > 0; i--) {
		if (heal->session[i - 1].slot == slot)
			heal->session[i - 1] = heal->session[--heal->session_count];
	}
	kmn_heal_login_drop(heal, slot);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

struct kmn_heal_key *
kmn_heal_key_of(struct kmn_heal *heal, CK_OBJECT_HANDLE handle)
{
	for (size_t i = 0; i < heal->key_count; i++) {
		if (heal->key[i].handle == handle)
			return &heal->key[i];
	}
	return NULL;
}

void
kmn_heal_key_add(struct kmn_heal *heal, const struct kmn_heal_key *key)
{
	if (heal->key_count == heal->key_room && heal->key_room < KMN_HEAL_KEYS_MAX) {
		size_t room = heal->key_room == 0 ? 16 : heal->key_room * 2;
		struct kmn_heal_key *grown = realloc(heal->key, room * sizeof(*grown));

		if (grown != NULL) {
			heal->key = grown;
			heal->key_room = room;
		}
	}
	if (heal->key_count < heal->key_room)
		heal->key[heal->key_count++] = *key;
	else if (heal->key_room > 0)
		heal->key[heal->key_oldest++ % heal->key_room] = *key;
}

void
kmn_heal_key_forget(struct kmn_heal *heal, CK_OBJECT_HANDLE handle)
{
	struct kmn_heal_key *key = kmn_heal_key_of(heal, handle);

	if (key != NULL)
		*key = heal->key[--heal->key_count];
}

/* ---- PINs -------------------------------------------------------------------------------------------------------- */

bool
kmn_heal_secret_set(struct kmn_heal_secret *secret, const struct kmn_value *value)
{
	CK_ULONG len = value->null ? (CK_ULONG)value->number : value->len;

	sodium_free(secret->bytes);
	*secret = (struct kmn_heal_secret){.len = len};
	if (value->null) /* the login by another path: NULL again */
		return true;
	if ((secret->bytes = sodium_malloc(len > 0 ? len : 1)) == NULL)
		return false;
	if (len > 0)
		memcpy(secret->bytes, value->bytes, len);
	(void)sodium_mprotect_noaccess(secret->bytes);
	return true;
}

void
kmn_heal_login_keep(struct kmn_heal *heal, CK_SLOT_ID slot, uint32_t era, const struct kmn_call_view *call)
{
	struct kmn_heal_login *login = kmn_heal_login_of(heal, slot);

	if (call->value[1].number == CKU_CONTEXT_SPECIFIC)
		return;

	for (size_t i = 0; login == NULL && i < KMN_HEAL_LOGINS; i++) {
		if (!heal->login[i].used)
			login = &heal->login[i];
	}
	if (login == NULL)
		return;
	login->used = true;
	login->slot = slot;
	login->era = era;
	login->type = (CK_USER_TYPE)call->value[1].number;
	login->by = call->id;
	if (!kmn_heal_secret_set(&login->pin, &call->value[2]) ||
	    (call->id == KMN_C_LoginUser && !kmn_heal_secret_set(&login->user, &call->value[3])))
		kmn_heal_login_clear(login);
}

static bool
secret_copy(const struct kmn_heal_secret *secret, struct kmn_heal_secret *copy_out)
{
	*copy_out = (struct kmn_heal_secret){.len = secret->len};
	if (secret->bytes == NULL)
		return true;
	if ((copy_out->bytes = sodium_malloc(secret->len > 0 ? secret->len : 1)) == NULL)
		return false;
	(void)sodium_mprotect_readonly(secret->bytes);
	memcpy(copy_out->bytes, secret->bytes, secret->len);
	(void)sodium_mprotect_noaccess(secret->bytes);
	return true;
}

bool
kmn_heal_login_copy(const struct kmn_heal_login *login, struct kmn_heal_login *copy_out)
{
	*copy_out = *login;
	copy_out->pin.bytes = copy_out->user.bytes = NULL;
	if (secret_copy(&login->pin, &copy_out->pin) && secret_copy(&login->user, &copy_out->user))
		return true;
	kmn_heal_login_clear(copy_out);
	return false;
}

/* ---- what a call names ------------------------------------------------------------------------------------------- */

size_t
kmn_heal_objects_of(const struct kmn_call_view *call, bool only_keys, CK_OBJECT_HANDLE out[KMN_HEAL_HANDLES_MAX])
{
	const struct kmn_mech_view *mech = kmn_view_mechanism(call);
	uint64_t inside[KMN_HEAL_HANDLES_MAX];
	size_t n = 0, more;

	for (size_t i = 0; i < call->call->param_count && n < KMN_HEAL_HANDLES_MAX; i++) {
		enum kmn_kind kind = call->call->param[i].kind;

		if (kind == KMN_KIND_KEY || (kind == KMN_KIND_OBJECT && !only_keys))
			out[n++] = (CK_OBJECT_HANDLE)call->value[i].number;
	}
	more = mech != NULL ? kmn_mech_handles(mech, inside, KMN_HEAL_HANDLES_MAX) : 0;
	for (size_t i = 0; i < more && i < KMN_HEAL_HANDLES_MAX && n < KMN_HEAL_HANDLES_MAX; i++)
		out[n++] = (CK_OBJECT_HANDLE)inside[i];
	return n;
}
