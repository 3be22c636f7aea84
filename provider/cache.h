/*
 * Answers that need not cross again: what the gateway said to the very same
 * question, as long as nothing happened that could change it, and handles that
 * C_FindObjectsInit brought along. The setting `savings` says which.
 *
 *   info      C_GetInfo, C_GetMechanismList, C_GetMechanismInfo, until a slot event, C_InitToken, trouble with the
 *             token or the line; the latter two for KMN_TOKEN_FRESH_MS, for not every module tells of slot events
 *   session   C_GetSessionInfo, for KMN_FRESH_MS; until a login, logout, close, PIN call, or any call that fails
 *   length    "how long is it?" of C_Sign and C_SignFinal with RSA, EC and EdDSA keys: the module's answer to the same
 *             key, mechanism, parameter and data length, while the operation is known to be active
 *   find      C_FindObjectsInit is sent together with the C_FindObjects that will follow (ahead.h)
 *
 * Rules for all: only CKR_OK is kept. Before something kept is given out an idle connection is looked at: one that
 * is broken, or carries a NOTICE, says that things may have changed. What was under way while something changed is not
 * kept. Where there is doubt the call crosses.
 *
 * Threads: any. Lifetime: an application's; a forked child forgets it with the application.
 */
#ifndef KANMON_PROVIDER_CACHE_H
#define KANMON_PROVIDER_CACHE_H

#include "kanmon/codec.h"
#include "provider/ahead.h"
#include "provider/pool.h"

#define KMN_FRESH_MS 1000u        /* how long the state of a session is believed without asking */
#define KMN_TOKEN_FRESH_MS 10000u /* and that a token is still in its slot, with its mechanisms */
#define KMN_CACHE_KEY_MAX 512u    /* bytes of a question */
#define KMN_CACHE_ANSWER_MAX 16384u
#define KMN_CACHE_ENTRIES_MAX 4096u

struct kmn_cache;

/* `savings` is a set of enum kmn_client_saving. */
kmn_err kmn_cache_new(unsigned savings, struct kmn_cache **cache_out) KMN_MUST_CHECK;
/* NULL is fine. */
void kmn_cache_free(struct kmn_cache *cache);

/* One call on its way past the cache; on the stack of its thread. */
struct kmn_passage {
	enum kmn_call_id id;
	const struct kmn_arg *arg;
	size_t arg_count;
	const uint8_t *question; /* the arguments as encoded */
	size_t question_len;
	unsigned kind; /* of what may be kept of it: one saving, or 0 */
	uint8_t key[KMN_CACHE_KEY_MAX];
	size_t key_len;
	bool changes; /* it is counted among the calls that change something */
	uint32_t era;
	uint64_t epoch, left_ms;
};

/*
 * The call as it is encoded (u16 call and list, salt, arguments). Everything is borrowed until kmn_cache_return. `era`,
 * here and below, is that of the link the call is meant for, or went by.
 */
void kmn_cache_begin(struct kmn_cache *cache, struct kmn_passage *p, enum kmn_call_id id, const struct kmn_arg *arg,
    size_t arg_count, const uint8_t *request, size_t len);
/* True: *rv_out and the caller's memory are the answer, and the call is over: no kmn_cache_leave, no kmn_cache_return. */
bool kmn_cache_answer(
    struct kmn_cache *cache, struct kmn_pool *pool, uint32_t era, struct kmn_passage *p, CK_RV *rv_out);
/* It crosses now. */
void kmn_cache_leave(struct kmn_cache *cache, struct kmn_passage *p);
/* The gateway's response to it, decoded already; before kmn_cache_return. */
void kmn_cache_learn(
    struct kmn_cache *cache, uint32_t era, const struct kmn_passage *p, const uint8_t *response, size_t len, CK_RV rv);
/* What it came to. `broke`: a connection failed on the way. */
void kmn_cache_return(struct kmn_cache *cache, uint32_t era, const struct kmn_passage *p, CK_RV rv, bool broke);

/* ---- find ---- */

/*
 * Room for what comes with a C_FindObjectsInit of that session, to be given to kmn_cache_saw_ahead; NULL: nothing is to
 * be asked ahead.
 */
struct kmn_ahead *kmn_cache_look_ahead(struct kmn_cache *cache, CK_SESSION_HANDLE session) KMN_MUST_CHECK;
/* Takes it, filled by kmn_ahead_begin, after kmn_cache_return of the C_FindObjectsInit. */
void kmn_cache_saw_ahead(struct kmn_cache *cache, uint32_t era, CK_SESSION_HANDLE session, struct kmn_ahead *ahead);

/* C_FindObjects, from what came ahead: kmn_ahead_give into the caller's memory; his count is left to the caller of this. */
struct kmn_find_answer {
	enum kmn_ahead_state state; /* NONE: all of it is up to the module */
	bool doubt; /* there are handles, if the session lives: another call of it is to prove that first */
	CK_RV rv;
	CK_ULONG given, rest;
};
/* `proved`: a call of the session has just succeeded. */
struct kmn_find_answer kmn_cache_find(
    struct kmn_cache *cache, struct kmn_pool *pool, uint32_t era, const struct kmn_arg *arg, bool proved);

#endif
