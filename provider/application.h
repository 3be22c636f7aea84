/*
 * The application: this process between C_Initialize and C_Finalize.
 *
 *   none --C_Initialize--> starting --attached--> running --C_Finalize--> ending --> none
 *                              +--failed--> none
 *   any --fork--> (in the child) none
 *
 * A call enters and leaves; C_Finalize waits for those inside. First it wakes
 * calls that wait for something that is not the HSM; after KMN_GRACE_MS it
 * gives up on answers that still do not come.
 *
 * Fork: the child starts at none. Descriptors are closed there without a word
 * to the gateway, memory is left as it is: a lock in it may be held by a thread
 * that the child does not have. (So a checker of leaks finds in the child what its
 * parent had, some 300 KiB, and what the threads that are no more had in hand.) A child made without fork() is noticed by its
 * process id at its first call.
 *
 * With fork=inherit the child is an application from the start: its first call
 * makes one of its own, with the parent's settings and with what heal.h knows
 * of the parent's sessions, login and keys. C_Initialize answers there that it
 * was called already, and C_Finalize ends it, used or not. What the locks did
 * not protect at the fork (a child made without fork()) is not inherited.
 */
#ifndef KANMON_PROVIDER_APPLICATION_H
#define KANMON_PROVIDER_APPLICATION_H

#include "kanmon/pkcs11.h"
#include "provider/cache.h"
#include "provider/heal.h"
#include "provider/host.h"
#include "provider/link.h"
#include "provider/sessions.h"

#define KMN_GRACE_MS 5000u
#define KMN_KNOWN_SLOTS 32u

struct kmn_application {
	struct kmn_client_settings *settings;  /* set once */
	struct kmn_channel_identity *identity; /* set once */
	struct kmn_book *receipts;             /* set once */
	struct kmn_types *types;               /* set once; NULL: none. In use as long as the application is */
	struct kmn_links links;
	struct kmn_sessions sessions;
	struct kmn_cache *cache;  /* set once */
	struct kmn_async *async;  /* set once */
	struct kmn_heal *heal;    /* set once; NULL unless heal=on or fork=inherit */
	struct kmn_wake ending;   /* C_Finalize has begun */
	struct kmn_wake quitting; /* and its patience is over */

	pthread_mutex_t slots_lock; /* guards the two below: the answers for when the gateway is gone */
	CK_SLOT_ID slot_id[KMN_KNOWN_SLOTS];
	CK_SLOT_INFO slot_info[KMN_KNOWN_SLOTS];
	size_t slot_count;

	struct kmn_application *forgotten; /* in a child: what its parent had, and its parent's parent */
};

/* The running application, with one call more inside; NULL when there is none. */
struct kmn_application *kmn_application_enter(void);
void kmn_application_leave(struct kmn_application *app);

/* A call of the host that is inside: what it calls on, and the OpenSSL errors that were the host's own before. */
struct kmn_visit {
	struct kmn_application *app;
	struct kmn_host_errors errors;
};
/* False, and nothing to end: there is no running application. */
bool kmn_visit_begin(struct kmn_visit *visit) KMN_MUST_CHECK;
void kmn_visit_end(struct kmn_visit *visit);

/* Certificate and key as the settings say; a failure is told to those who debug. */
kmn_err kmn_identity_load(
    const struct kmn_client_settings *settings, struct kmn_channel_identity **identity_out) KMN_MUST_CHECK;

CK_RV kmn_application_start(const char *profile);
CK_RV kmn_application_finish(void);

#endif
