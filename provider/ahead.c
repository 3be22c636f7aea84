#include "config.h"

#include "provider/ahead.h"

#include <string.h>

void
kmn_ahead_begin(struct kmn_ahead *a, bool begun, const struct kmn_ahead_reply reply[KMN_AHEAD_CALLS])
{
	memset(a, 0, sizeof(*a));
	for (unsigned i = 0; i < KMN_AHEAD_CALLS && reply[i].asked && a->failed == CKR_OK && !a->ended; i++) {
		const struct kmn_ahead_reply *r = &reply[i];

		if (r->rv == CKR_OK) {
			memcpy(a->handle + a->count, r->handle, r->count * sizeof(r->handle[0]));
			a->count += r->count;
		}
		/* Only of an operation that began do they say anything but handles. */
		if (begun) {
			a->failed = r->rv;
			a->ended = r->rv == CKR_OK && r->count == 0;
		}
		if (i > 0 && r->rv == CKR_OK && r->count > 0 && reply[i - 1].count < KMN_AHEAD_HANDLES)
			a->at_most = reply[i - 1].count;
	}
}

enum kmn_ahead_state
kmn_ahead_give(
    struct kmn_ahead *a, CK_OBJECT_HANDLE *out, CK_ULONG max, CK_RV *rv_out, CK_ULONG *given_out, CK_ULONG *rest_out)
{
	CK_ULONG left = a->count - a->at, n;

	if (a->at_most != 0 && max > a->at_most)
		max = a->at_most;
	n = left < max ? left : max;
	*rv_out = CKR_OK;
	*given_out = n;
	*rest_out = max - n;
	memcpy(out, a->handle + a->at, n * sizeof(out[0]));
	a->at += n;
	if (n == max || (n > 0 && (a->ended || a->failed != CKR_OK)))
		return KMN_AHEAD_GIVEN;
	if (a->failed != CKR_OK || a->ended) { /* its own words, once */
		*rv_out = a->failed;
		a->failed = CKR_OK;
		a->ended = false;
		return KMN_AHEAD_GIVEN;
	}
	return n > 0 ? KMN_AHEAD_PART : KMN_AHEAD_NONE;
}
