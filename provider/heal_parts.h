/*
 * What heal.c knows of the application, as tables (heal_tables.c), and how it is built up again (heal_build.c). The lock of
 * struct kmn_heal is taken around every function of the tables.
 */
#ifndef KANMON_PROVIDER_HEAL_PARTS_H
#define KANMON_PROVIDER_HEAL_PARTS_H

#include <pthread.h>

#include "provider/application.h"
#include "provider/heal.h"
#include "provider/identity.h"

#define KMN_HEAL_LOGINS 64u      /* slots with a login */
#define KMN_HEAL_KEYS_MAX 1024u  /* keys that are known; then the oldest is forgotten */
#define KMN_HEAL_HANDLES_MAX 16u /* objects that one call names */

struct kmn_heal_session {
	CK_SESSION_HANDLE handle;
	CK_SLOT_ID slot;
	CK_FLAGS flags;
	uint32_t era;
	bool searches_keys;
};

/* sodium_malloc, without access while nobody reads it; NULL and stated as the caller gave it. */
struct kmn_heal_secret {
	CK_BYTE *bytes;
	CK_ULONG len;
};

struct kmn_heal_login {
	bool used;
	CK_SLOT_ID slot;
	uint32_t era;
	CK_USER_TYPE type;
	enum kmn_call_id by; /* C_Login or C_LoginUser */
	struct kmn_heal_secret pin, user;
};

struct kmn_heal_key {
	CK_OBJECT_HANDLE handle;
	CK_SLOT_ID slot;
	uint32_t era;
	struct kmn_identity who;
};

struct kmn_heal {
	bool always;            /* set once */
	uint32_t inherited_era; /* set once: of a child's first link; 0: none */
	pthread_mutex_t lock;   /* guards what is below */
	pthread_cond_t done;
	bool building;
	struct kmn_heal_session *session;
	size_t session_count, session_room;
	struct kmn_heal_login login[KMN_HEAL_LOGINS];
	struct kmn_heal_key *key;
	size_t key_count, key_room, key_oldest;
};

/* ---- heal_tables.c ----------------------------------------------------------------------------------------------- */

/* Whether what is of another era than this link's may be built up on it. */
bool kmn_heal_may_build(const struct kmn_heal *heal, uint32_t era);
/* NULL: it is not known. */
struct kmn_heal_session *kmn_heal_session_of(struct kmn_heal *heal, CK_SESSION_HANDLE handle);
/* Without memory it is not built up again. */
void kmn_heal_session_add(struct kmn_heal *heal, const struct kmn_heal_session *session);
/* Closing the last session of a slot logs out. */
void kmn_heal_session_remove(struct kmn_heal *heal, struct kmn_heal_session *session);
void kmn_heal_session_remove_all(struct kmn_heal *heal, CK_SLOT_ID slot);
/* NULL: nobody is logged in, as far as is known. */
struct kmn_heal_login *kmn_heal_login_of(struct kmn_heal *heal, CK_SLOT_ID slot);
/* Somebody logged in by that call; a login for one use is not kept. */
void kmn_heal_login_keep(struct kmn_heal *heal, CK_SLOT_ID slot, uint32_t era, const struct kmn_call_view *call);
void kmn_heal_login_drop(struct kmn_heal *heal, CK_SLOT_ID slot);
/* A copy for one call, to be cleared. */
bool kmn_heal_login_copy(const struct kmn_heal_login *login, struct kmn_heal_login *copy_out);
/* Wipes. */
void kmn_heal_login_clear(struct kmn_heal_login *login);
/* A PIN as the caller gave it; false: there is no memory, and it is NULL. */
bool kmn_heal_secret_set(struct kmn_heal_secret *secret, const struct kmn_value *value);
/* NULL: it is not known. */
struct kmn_heal_key *kmn_heal_key_of(struct kmn_heal *heal, CK_OBJECT_HANDLE handle);
void kmn_heal_key_add(struct kmn_heal *heal, const struct kmn_heal_key *key);
void kmn_heal_key_forget(struct kmn_heal *heal, CK_OBJECT_HANDLE handle);
/* Objects that the call names: as keys, as objects, and inside its mechanism's parameter. */
size_t kmn_heal_objects_of(
    const struct kmn_call_view *call, bool only_keys, CK_OBJECT_HANDLE out[KMN_HEAL_HANDLES_MAX]);

#endif
