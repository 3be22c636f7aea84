/*
 * Handles that came along with C_FindObjectsInit. Two calls of C_FindObjects
 * for KMN_AHEAD_HANDLES each are sent behind it without waiting for its answer:
 * ordinary calls, judged, counted and answered like any other, so what they
 * bring is what the module said at that moment. Modules fix the result of a
 * search at C_FindObjectsInit (SoftHSM, NSS and every other whose source we
 * know); for one that does not, leave `find` out of the setting `savings`.
 *
 * The caller gets them as the module would have given them: up to his room,
 * filled up from the module where there are more than came along; the module's
 * own "no more" once, then the module is asked; an error when it is its turn.
 * They are a part of the operation and end with it.
 *
 * Pure: no clock, no lock, no wire.
 */
#ifndef KANMON_PROVIDER_AHEAD_H
#define KANMON_PROVIDER_AHEAD_H

#include "kanmon/base.h"
#include "kanmon/pkcs11.h"

#define KMN_AHEAD_CALLS 2u
#define KMN_AHEAD_HANDLES 64u /* of each */

/* What one of the calls came to. */
struct kmn_ahead_reply {
	bool asked; /* it ran; the rest is nothing if not */
	CK_RV rv;
	CK_ULONG count;
	CK_OBJECT_HANDLE handle[KMN_AHEAD_HANDLES];
};

struct kmn_ahead {
	CK_OBJECT_HANDLE handle[KMN_AHEAD_CALLS * KMN_AHEAD_HANDLES];
	CK_ULONG count, at;
	CK_ULONG at_most; /* the module gives no more at once; 0: no such limit was seen */
	bool ended;       /* the module said that there are no more */
	CK_RV failed;     /* what it says when these are used up; CKR_OK: ask it */
};

enum kmn_ahead_state { KMN_AHEAD_NONE, KMN_AHEAD_GIVEN, KMN_AHEAD_PART };

/*
 * What came. `begun`: C_FindObjectsInit succeeded. If it did not, handles that came all the same are of an operation
 * that was active before; whether that is over they do not say.
 */
void kmn_ahead_begin(struct kmn_ahead *a, bool begun, const struct kmn_ahead_reply reply[KMN_AHEAD_CALLS]);

/*
 * The answer to C_FindObjects with room for `max` > 0 at `out`. GIVEN: *rv_out, with *given_out handles; PART:
 * *given_out are there, and the module is to be asked for *rest_out more; NONE: it is to be asked for all.
 */
enum kmn_ahead_state kmn_ahead_give(
    struct kmn_ahead *a, CK_OBJECT_HANDLE *out, CK_ULONG max, CK_RV *rv_out, CK_ULONG *given_out, CK_ULONG *rest_out);

#endif
