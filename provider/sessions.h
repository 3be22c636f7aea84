/*
 * What this process knows of its sessions: by which mechanism the operations
 * on messages were begun. The functions that work on one message carry its
 * parameter and not the mechanism, without which nobody can say what the
 * parameter is. And where the parameters of operations lie whose modules may
 * write to them until the operation ends, although only *Init had a pointer.
 *
 * It is a memory of what went by, and no judge: what the module holds for
 * active, the module says. Threads: any.
 */
#ifndef KANMON_PROVIDER_SESSIONS_H
#define KANMON_PROVIDER_SESSIONS_H

#include <pthread.h>

#include "kanmon/codec.h"

#define KMN_SESSION_BUCKETS 256u /* a power of two */

struct kmn_known_session;

struct kmn_sessions {
	pthread_mutex_t lock;
	struct kmn_known_session *bucket[KMN_SESSION_BUCKETS]; /* guarded by the lock */
};

void kmn_sessions_init(struct kmn_sessions *sessions);
void kmn_sessions_clear(struct kmn_sessions *sessions);

/* Before a call is encoded: puts the mechanism to the parameters of messages. */
void kmn_sessions_fill(struct kmn_sessions *sessions, enum kmn_call_id id, struct kmn_arg *arg);
/* Writes what the module changed in parameters that came with earlier calls: the end of a response. */
void kmn_sessions_late(
    struct kmn_sessions *sessions, enum kmn_call_id id, const struct kmn_arg *arg, const void *bytes, size_t len_bytes);
/* After it was answered. */
void kmn_sessions_learn(struct kmn_sessions *sessions, enum kmn_call_id id, const struct kmn_arg *arg, CK_RV rv);

#endif
