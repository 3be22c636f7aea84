/* The interface "Vendor kanmon": include/kanmon/vendor.h says what each function does. */
#include "config.h"

#include "provider/vendor.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/writer.h"
#include "provider/application.h"
#include "provider/wire.h"

static CK_RV
rv_of(kmn_err e)
{
	return e == KMN_E_NOT_FOUND ? CKR_OPERATION_NOT_INITIALIZED : kmn_err_ckr(e);
}

/* The two-call way of all lengths. */
static CK_RV
give(const char *bytes, size_t len, CK_BYTE *out, CK_ULONG *out_len)
{
	CK_ULONG room = *out_len;

	*out_len = (CK_ULONG)len;
	if (out == NULL)
		return CKR_OK;
	if (room < len)
		return CKR_BUFFER_TOO_SMALL;
	memcpy(out, bytes, len);
	return CKR_OK;
}

static CK_RV
get_last_receipt(CK_SESSION_HANDLE session, CK_BYTE *proof, CK_ULONG *proof_len)
{
	struct kmn_visit visit;
	char *text;
	size_t len;
	kmn_err e;
	CK_RV rv;

	if (proof_len == NULL)
		return CKR_ARGUMENTS_BAD;
	if (!kmn_visit_begin(&visit))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	e = kmn_receipts_last_proof(visit.app->receipts, session, &text, &len);
	rv = e == KMN_OK ? give(text, len, proof, proof_len) : rv_of(e);
	free(text);
	kmn_visit_end(&visit);
	return rv;
}

static CK_RV
get_last_request(CK_SESSION_HANDLE session, uint64_t *request)
{
	struct kmn_visit visit;
	kmn_err e;

	if (request == NULL)
		return CKR_ARGUMENTS_BAD;
	if (!kmn_visit_begin(&visit))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	e = kmn_receipts_last_request(visit.app->receipts, session, request);
	kmn_visit_end(&visit);
	return rv_of(e);
}

static void
put(struct kmn_writer *w, const void *bytes, CK_ULONG len)
{
	kmn_writer_bytes(w, bytes, bytes == NULL ? 0 : (size_t)len);
}

static kmn_err
ask(struct kmn_application *app, struct kmn_link *link, const struct kmn_writer *w)
{
	struct kmn_channel *channel;
	struct kmn_wire wire = {.pool = link->pool, .interrupt_fd = kmn_wake_fd(&app->quitting)};
	kmn_err e = kmn_pool_take(link->pool, &channel);

	if (e != KMN_OK)
		return e;
	wire.channel = channel;
	if ((e = kmn_wire_admin(&wire, w)) == KMN_E_CLOSED)
		kmn_pool_drop(link->pool, channel);
	else
		kmn_pool_give(link->pool, channel);
	return e;
}

static CK_RV
attach_next(CK_SESSION_HANDLE session, const KMN_ATTACHMENT *a)
{
	static const uint8_t this_one[KMN_INSTANCE_ID_BYTES]; /* the application of the connection */
	struct kmn_visit visit;
	struct kmn_link *link;
	struct kmn_writer w;
	kmn_err e = KMN_E_UNREACHABLE;

	if (a == NULL)
		return CKR_ARGUMENTS_BAD;
	if (!kmn_visit_begin(&visit))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES - 1);
	kmn_writer_u16(&w, KMN_ADMIN_ATTACH_NEXT);
	kmn_writer_raw(&w, this_one, sizeof(this_one));
	kmn_writer_u64(&w, session);
	put(&w, a->data, a->data_len);
	put(&w, a->econtent, a->econtent_len);
	put(&w, a->application, a->application_len);
	put(&w, a->applicant_key, a->applicant_key_len);
	if (w.err != KMN_OK)
		e = KMN_E_ARGUMENTS;
	else if ((link = kmn_links_take(&visit.app->links)) != NULL) {
		e = ask(visit.app, link, &w);
		kmn_links_put(&visit.app->links, link);
	}
	kmn_writer_clear(&w);
	kmn_visit_end(&visit);
	return e == KMN_E_NOT_FOUND ? CKR_SESSION_HANDLE_INVALID : kmn_err_ckr(e);
}

KMN_FUNCTION_LIST_1_1 kmn_vendor_list = {.version = {1, 1},
    .GetLastReceipt = get_last_receipt,
    .GetLastRequest = get_last_request,
    .AttachNext = attach_next};
