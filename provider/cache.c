#include "config.h"

#include "provider/cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/frame.h"

#define BUCKETS 256u
#define SIGN_KEY_MAX (KMN_CACHE_KEY_MAX - 32u)
#define SESSION_BYTES 8u
#define ARGUMENTS_AT (2u + KMN_SALT_BYTES) /* of a request */

/* One answer that is kept. */
struct memo {
	struct memo *next;
	unsigned kind;
	uint64_t when_ms; /* the question was sent */
	size_t key_len, len;
	uint8_t bytes[]; /* key, response */
};

/* An open session. */
struct session {
	struct session *next;
	CK_SESSION_HANDLE handle;
	CK_SLOT_ID slot;   /* CK_UNAVAILABLE_INFORMATION: it was not opened here (fork=inherit) */
	uint64_t lived_ms; /* a call that succeeded was sent then */
	bool signing;      /* C_SignInit with sign_key succeeded, and nothing has ended it */
	uint8_t sign_key[SIGN_KEY_MAX];
	size_t sign_key_len;
	struct kmn_ahead *ahead; /* NULL: no operation that handles came along with */
};

struct kmn_cache {
	unsigned savings;     /* set once */
	pthread_mutex_t lock; /* guards what is below */
	uint32_t era;
	unsigned notices[KMN_NOTICE_STATE + 1];
	uint64_t epoch;  /* goes up when something is dropped: what was asked before is not kept after */
	size_t changing; /* calls under way that change what may be kept */
	struct memo *memo[BUCKETS];
	size_t memos;
	struct session *session[BUCKETS];
};

kmn_err
kmn_cache_new(unsigned savings, struct kmn_cache **cache_out)
{
	struct kmn_cache *cache = calloc(1, sizeof(*cache));

	*cache_out = cache;
	if (cache == NULL)
		return KMN_E_NO_MEMORY;
	cache->savings = savings;
	(void)pthread_mutex_init(&cache->lock, NULL);
	return KMN_OK;
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

static struct session **
place_of(struct kmn_cache *cache, CK_SESSION_HANDLE handle)
{
	struct session **at = &cache->session[handle % BUCKETS];

	while (*at != NULL && (*at)->handle != handle)
		at = &(*at)->next;
	return at;
}

static void
remove_session(struct session **at)
{
	struct session *s = *at;

	*at = s->next;
	free(s->ahead);
	free(s);
}

static void
add_session(struct kmn_cache *cache, CK_SESSION_HANDLE handle, CK_SLOT_ID slot)
{
	struct session **at = place_of(cache, handle), *s;

	if (*at != NULL || (s = calloc(1, sizeof(*s))) == NULL)
		return; /* nothing is saved for a session that is not known */
	s->handle = handle;
	s->slot = slot;
	*at = s;
}

/* All of a slot; those of which we do not know the slot must prove that they live. */
static void
remove_slot(struct kmn_cache *cache, CK_SLOT_ID slot)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		struct session **at = &cache->session[i];

		while (*at != NULL) {
			if ((*at)->slot == slot) {
				remove_session(at);
				continue;
			}
			if ((*at)->slot == CK_UNAVAILABLE_INFORMATION)
				(*at)->lived_ms = 0;
			at = &(*at)->next;
		}
	}
}

/* Operations that nobody can say anything about any more; what came ahead is a part of one, if its instance is gone. */
static void
forget_operations(struct kmn_cache *cache, bool ahead_too)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct session *s = cache->session[i]; s != NULL; s = s->next) {
			s->signing = false;
			s->lived_ms = 0;
			if (ahead_too) {
				free(s->ahead);
				s->ahead = NULL;
			}
		}
	}
}

/* ---- what is kept ------------------------------------------------------------------------------------------------ */

static struct memo **
find_memo(struct kmn_cache *cache, const uint8_t *key, size_t len)
{
	uint32_t hash = 2166136261u;
	struct memo **at;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ key[i]) * 16777619u;
	at = &cache->memo[hash % BUCKETS];
	while (*at != NULL && ((*at)->key_len != len || memcmp((*at)->bytes, key, len) != 0))
		at = &(*at)->next;
	return at;
}

static void
remove_memo(struct kmn_cache *cache, struct memo **at)
{
	struct memo *m = *at;

	*at = m->next;
	free(m);
	cache->memos--;
}

/* Drops all of these kinds, and keeps no answer of them that is under way. */
static void
drop(struct kmn_cache *cache, unsigned kinds)
{
	if (kinds == 0)
		return;
	cache->epoch++;
	for (size_t i = 0; i < BUCKETS && cache->memos > 0; i++) {
		struct memo **at = &cache->memo[i];

		while (*at != NULL) {
			if (((*at)->kind & kinds) != 0)
				remove_memo(cache, at);
			else
				at = &(*at)->next;
		}
	}
	if ((kinds & KMN_SAVE_LENGTH) != 0)
		forget_operations(cache, false);
}

void
kmn_cache_free(struct kmn_cache *cache)
{
	if (cache == NULL)
		return;
	drop(cache, KMN_SAVE_EVERYTHING);
	for (size_t i = 0; i < BUCKETS; i++)
		while (cache->session[i] != NULL)
			remove_session(&cache->session[i]);
	(void)pthread_mutex_destroy(&cache->lock);
	free(cache);
}

/* ---- what changes what ------------------------------------------------------------------------------------------- */

/* What a call can change for others, whatever it comes to. */
static unsigned
changes_of(enum kmn_call_id id)
{
	switch (id) {
	case KMN_C_InitToken:
		return KMN_SAVE_EVERYTHING;
	case KMN_C_CloseSession:
	case KMN_C_CloseAllSessions:
		return KMN_SAVE_SESSION;
	case KMN_C_DestroyObject:
	case KMN_C_SetAttributeValue:
		return KMN_SAVE_LENGTH;
	default:
		break;
	}
	switch (kmn_call_row(id)->policy) {
	case KMN_POLICY_LOGIN:
	case KMN_POLICY_TOKEN_MANAGEMENT:
		return KMN_SAVE_SESSION | KMN_SAVE_LENGTH;
	default:
		return 0;
	}
}

/* Whether it says that something is wrong with token, slot or line: then nothing is as it was. */
static bool
is_trouble(CK_RV rv)
{
	switch (rv) {
	case CKR_DEVICE_ERROR:
	case CKR_DEVICE_MEMORY:
	case CKR_DEVICE_REMOVED:
	case CKR_TOKEN_NOT_PRESENT:
	case CKR_TOKEN_NOT_RECOGNIZED:
	case CKR_SLOT_ID_INVALID:
	case CKR_SESSION_CLOSED:
	case CKR_SESSION_HANDLE_INVALID:
	case CKR_CRYPTOKI_NOT_INITIALIZED:
	case CKR_GENERAL_ERROR:
	case CKR_FUNCTION_FAILED:
		return true;
	default:
		return rv >= CKR_VENDOR_DEFINED;
	}
}

static bool
lost_its_token(const struct kmn_passage *p)
{
	return p->id == KMN_C_GetSlotInfo && (((const CK_SLOT_INFO *)p->arg[1].p)->flags & CKF_TOKEN_PRESENT) == 0;
}

/* A new instance knows nothing of what the old one was asked. Eras only go up; 0 is none. */
static void
enter_era(struct kmn_cache *cache, uint32_t era)
{
	if (era <= cache->era)
		return;
	cache->era = era;
	drop(cache, KMN_SAVE_EVERYTHING);
	forget_operations(cache, true);
}

static void
take_notices(struct kmn_cache *cache, const unsigned *notices)
{
	if (cache->notices[KMN_NOTICE_SLOT] != notices[KMN_NOTICE_SLOT])
		drop(cache, KMN_SAVE_EVERYTHING);
	if (cache->notices[KMN_NOTICE_STATE] != notices[KMN_NOTICE_STATE])
		drop(cache, KMN_SAVE_SESSION | KMN_SAVE_LENGTH);
	memcpy(cache->notices, notices, sizeof(cache->notices));
}

/* Looks at the line, without the lock: true when nothing has come that makes what is kept doubtful. */
static bool
line_is_quiet(struct kmn_cache *cache, struct kmn_pool *pool)
{
	unsigned notices[KMN_NOTICE_STATE + 1];
	bool quiet = kmn_pool_look(pool, notices);

	(void)pthread_mutex_lock(&cache->lock);
	take_notices(cache, notices);
	if (!quiet)
		forget_operations(cache, false);
	(void)pthread_mutex_unlock(&cache->lock);
	return quiet;
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

/* Mechanisms whose signatures have one length for each key; PKCS#11's numbers, first and last. */
static bool
has_fixed_length(CK_MECHANISM_TYPE type)
{
	static const CK_MECHANISM_TYPE range[][2] = {
	    {CKM_RSA_PKCS, CKM_RIPEMD160_RSA_PKCS},
	    {CKM_RSA_X9_31, CKM_SHA1_RSA_PKCS_PSS},
	    {CKM_SHA256_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS},
	    {CKM_SHA3_256_RSA_PKCS, CKM_SHA3_224_RSA_PKCS_PSS},
	    {CKM_ECDSA, CKM_ECDSA_SHA3_512},
	    {CKM_EDDSA, CKM_EDDSA},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(range); i++)
		if (type >= range[i][0] && type <= range[i][1])
			return true;
	return false;
}

static void
add_to_key(struct kmn_passage *p, const void *bytes, size_t n)
{
	if (n > 0)
		memcpy(p->key + p->key_len, bytes, n);
	p->key_len += n;
}

static bool
is_sign(enum kmn_call_id id)
{
	return id == KMN_C_Sign || id == KMN_C_SignFinal;
}

/* The question for a length: which operation, which function, how much data. What the data is plays no part. */
static bool
ask_for_length(struct kmn_cache *cache, struct kmn_passage *p)
{
	const struct kmn_arg *room = &p->arg[p->arg_count - 1];
	struct session *s = *place_of(cache, p->arg[0].u);
	uint8_t has_data = p->id == KMN_C_Sign && p->arg[1].p != NULL;
	CK_ULONG len = p->id == KMN_C_Sign ? p->arg[1].u : 0;

	if (room->p != NULL || s == NULL || !s->signing || s->sign_key_len == 0)
		return false;
	add_to_key(p, &has_data, sizeof(has_data));
	add_to_key(p, &len, sizeof(len));
	add_to_key(p, s->sign_key, s->sign_key_len);
	return true;
}

void
kmn_cache_begin(struct kmn_cache *cache, struct kmn_passage *p, enum kmn_call_id id, const struct kmn_arg *arg,
    size_t arg_count, const uint8_t *request, size_t len)
{
	*p = (struct kmn_passage){.id = id, .arg = arg, .arg_count = arg_count, .question = request + ARGUMENTS_AT};
	p->question_len = len - ARGUMENTS_AT;
	add_to_key(p, request, 2);
	if (id == KMN_C_GetInfo || id == KMN_C_GetMechanismList || id == KMN_C_GetMechanismInfo)
		p->kind = KMN_SAVE_INFO;
	else if (id == KMN_C_GetSessionInfo)
		p->kind = KMN_SAVE_SESSION;
	if (p->kind != 0)
		add_to_key(p, p->question, p->question_len); /* a few numbers */
	if (is_sign(id)) {
		(void)pthread_mutex_lock(&cache->lock);
		if (ask_for_length(cache, p))
			p->kind = KMN_SAVE_LENGTH;
		(void)pthread_mutex_unlock(&cache->lock);
	}
	p->kind &= cache->savings;
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static bool
is_fresh(uint64_t when_ms)
{
	return when_ms != 0 && kmn_now_ms() - when_ms <= KMN_FRESH_MS;
}

/* With the lock: what is kept for it and may be given out, or NULL. */
static const struct memo *
known(struct kmn_cache *cache, const struct kmn_passage *p)
{
	const struct memo *m = *find_memo(cache, p->key, p->key_len);
	const struct session *s;

	if (m == NULL)
		return NULL;
	if (m->kind == KMN_SAVE_INFO)
		return p->id == KMN_C_GetInfo || kmn_now_ms() - m->when_ms <= KMN_TOKEN_FRESH_MS ? m : NULL;
	if (cache->changing > 0)
		return NULL;
	if (m->kind == KMN_SAVE_SESSION)
		return is_fresh(m->when_ms) ? m : NULL;
	s = *place_of(cache, p->arg[0].u);
	return s != NULL && s->signing && is_fresh(s->lived_ms) ? m : NULL;
}

bool
kmn_cache_answer(struct kmn_cache *cache, struct kmn_pool *pool, uint32_t era, struct kmn_passage *p, CK_RV *rv_out)
{
	const struct memo *m;
	bool given;

	if (p->kind == 0)
		return false;
	(void)pthread_mutex_lock(&cache->lock);
	enter_era(cache, era);
	m = known(cache, p);
	(void)pthread_mutex_unlock(&cache->lock);
	if (m == NULL || !line_is_quiet(cache, pool))
		return false;
	(void)pthread_mutex_lock(&cache->lock);
	m = known(cache, p); /* what the line said, or another thread did, may have dropped it */
	given = m != NULL &&
		kmn_response_decode(p->id, p->arg, p->arg_count, m->bytes + m->key_len, m->len, rv_out) == KMN_OK;
	(void)pthread_mutex_unlock(&cache->lock);
	return given;
}

/* ---- calls that cross -------------------------------------------------------------------------------------------- */

void
kmn_cache_leave(struct kmn_cache *cache, struct kmn_passage *p)
{
	unsigned changes = changes_of(p->id);
	struct session *s;

	(void)pthread_mutex_lock(&cache->lock);
	drop(cache, changes);
	if (p->id == KMN_C_SignInit && (s = *place_of(cache, p->arg[0].u)) != NULL)
		s->signing = false;
	p->changes = changes != 0;
	cache->changing += p->changes;
	p->era = cache->era;
	p->epoch = cache->epoch;
	p->left_ms = kmn_now_ms();
	(void)pthread_mutex_unlock(&cache->lock);
}

static void
keep(struct kmn_cache *cache, const struct kmn_passage *p, const uint8_t *response, size_t len)
{
	struct memo **at = find_memo(cache, p->key, p->key_len), *m;

	if (*at != NULL)
		remove_memo(cache, at);
	else if (cache->memos == KMN_CACHE_ENTRIES_MAX)
		return;
	if ((m = malloc(sizeof(*m) + p->key_len + len)) == NULL)
		return;
	*m = (struct memo){.next = *at, .kind = p->kind, .when_ms = p->left_ms, .key_len = p->key_len, .len = len};
	memcpy(m->bytes, p->key, p->key_len);
	memcpy(m->bytes + p->key_len, response, len);
	*at = m;
	cache->memos++;
}

void
kmn_cache_learn(
    struct kmn_cache *cache, uint32_t era, const struct kmn_passage *p, const uint8_t *response, size_t len, CK_RV rv)
{
	if (p->kind == 0 || rv != CKR_OK || len > KMN_CACHE_ANSWER_MAX)
		return;
	(void)pthread_mutex_lock(&cache->lock);
	if (p->era == era && p->epoch == cache->epoch && cache->changing == 0)
		keep(cache, p, response, len);
	(void)pthread_mutex_unlock(&cache->lock);
}

/* C_SignInit succeeded. Its operation is known by what was asked: mechanism, parameter and key. */
static void
begin_signing(struct session *s, const struct kmn_passage *p)
{
	const CK_MECHANISM *m = p->arg[1].p;
	size_t len = p->question_len - SESSION_BYTES;

	s->signing = m != NULL;
	s->sign_key_len = m != NULL && has_fixed_length(m->mechanism) && len <= sizeof(s->sign_key) ? len : 0;
	memcpy(s->sign_key, p->question + SESSION_BYTES, s->sign_key_len);
}

static bool
ends_signing(const struct kmn_passage *p, CK_RV rv)
{
	const struct kmn_call *row = kmn_call_row(p->id);

	if (p->id == KMN_C_SetOperationState || p->id == KMN_C_SessionCancel)
		return true;
	if ((row->operations & KMN_OP_SIGN) == 0)
		return false;
	return rv != CKR_OK || /* also CKR_BUFFER_TOO_SMALL: NSS ends the operation with it */
	       !(row->effect == KMN_EFFECT_CONTINUES || (is_sign(p->id) && p->arg[p->arg_count - 1].p == NULL));
}

/* Whether the search of the session is over, or another one has begun. */
static bool
ends_search(const struct kmn_passage *p, CK_RV rv)
{
	switch (p->id) {
	case KMN_C_FindObjectsInit:
		return rv == CKR_OK;
	case KMN_C_FindObjectsFinal:
		return rv == CKR_OK || rv == CKR_OPERATION_NOT_INITIALIZED;
	case KMN_C_SessionCancel:
		return rv == CKR_OK && (p->arg[1].u & CKF_FIND_OBJECTS) != 0;
	default:
		return false;
	}
}

static void
after_session_call(struct kmn_cache *cache, const struct kmn_passage *p, CK_RV rv)
{
	struct session **at = place_of(cache, p->arg[0].u), *s = *at;

	if (s == NULL) {
		if (rv == CKR_OK && p->id != KMN_C_CloseSession)
			add_session(cache, p->arg[0].u, CK_UNAVAILABLE_INFORMATION);
		return;
	}
	if (rv == CKR_SESSION_HANDLE_INVALID || (p->id == KMN_C_CloseSession && rv == CKR_OK)) {
		remove_session(at);
		return;
	}
	if (rv == CKR_OK && p->epoch == cache->epoch && p->left_ms > s->lived_ms)
		s->lived_ms = p->left_ms;
	if (p->id == KMN_C_SignInit && rv == CKR_OK && p->epoch == cache->epoch)
		begin_signing(s, p);
	else if (ends_signing(p, rv))
		s->signing = false;
	if (ends_search(p, rv)) {
		free(s->ahead);
		s->ahead = NULL;
	}
}

void
kmn_cache_return(struct kmn_cache *cache, uint32_t era, const struct kmn_passage *p, CK_RV rv, bool broke)
{
	const struct kmn_call *row = kmn_call_row(p->id);

	(void)pthread_mutex_lock(&cache->lock);
	enter_era(cache, era);
	if (p->changes) {
		drop(cache, changes_of(p->id));
		cache->changing--;
	}
	if (broke || is_trouble(rv) || (rv == CKR_OK && (lost_its_token(p) || p->id == KMN_C_WaitForSlotEvent)))
		drop(cache, KMN_SAVE_EVERYTHING);
	else if (rv != CKR_OK)
		drop(cache, KMN_SAVE_SESSION);
	if (p->id == KMN_C_OpenSession && rv == CKR_OK)
		add_session(cache, *(const CK_SESSION_HANDLE *)p->arg[3].p, p->arg[0].u);
	else if ((p->id == KMN_C_CloseAllSessions || p->id == KMN_C_InitToken) && rv == CKR_OK)
		remove_slot(cache, p->arg[0].u);
	else if (row->param[0].kind == KMN_KIND_SESSION)
		after_session_call(cache, p, rv);
	(void)pthread_mutex_unlock(&cache->lock);
}

/* ---- find -------------------------------------------------------------------------------------------------------- */

struct kmn_ahead *
kmn_cache_look_ahead(struct kmn_cache *cache, CK_SESSION_HANDLE handle)
{
	const struct session *s;
	bool looks;

	(void)pthread_mutex_lock(&cache->lock);
	s = *place_of(cache, handle);
	/* a search that handles came along with is still on: this one may fail, and must not disturb it */
	looks = (cache->savings & KMN_SAVE_FIND) != 0 && s != NULL && s->ahead == NULL;
	(void)pthread_mutex_unlock(&cache->lock);
	return looks ? malloc(sizeof(struct kmn_ahead)) : NULL;
}

void
kmn_cache_saw_ahead(struct kmn_cache *cache, uint32_t era, CK_SESSION_HANDLE handle, struct kmn_ahead *ahead)
{
	struct session *s;

	(void)pthread_mutex_lock(&cache->lock);
	s = *place_of(cache, handle);
	if (s != NULL && cache->era == era && s->ahead == NULL) {
		s->ahead = ahead;
		ahead = NULL;
	}
	(void)pthread_mutex_unlock(&cache->lock);
	free(ahead);
}

struct kmn_find_answer
kmn_cache_find(struct kmn_cache *cache, struct kmn_pool *pool, uint32_t era, const struct kmn_arg *arg, bool proved)
{
	struct kmn_find_answer answer = {.state = KMN_AHEAD_NONE};
	struct session *s;
	bool quiet;

	if ((cache->savings & KMN_SAVE_FIND) == 0 || arg[1].p == NULL || arg[1].u == 0 || arg[1].n == NULL)
		return answer;
	quiet = line_is_quiet(cache, pool);
	(void)pthread_mutex_lock(&cache->lock);
	enter_era(cache, era);
	s = *place_of(cache, arg[0].u);
	if (s != NULL && s->ahead != NULL) {
		answer.doubt = !proved && (!quiet || !is_fresh(s->lived_ms));
		if (!answer.doubt)
			answer.state =
			    kmn_ahead_give(s->ahead, arg[1].p, arg[1].u, &answer.rv, &answer.given, &answer.rest);
	}
	(void)pthread_mutex_unlock(&cache->lock);
	return answer;
}
