/* The interface "Vendor kanmon": include/kanmon/vendor.h says what each function does. */
#include "config.h"

#include "provider/vendor.h"

#include <stdlib.h>
#include <string.h>

#include "provider/application.h"

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
	struct kmn_application *app;
	char *text;
	size_t len;
	kmn_err e;
	CK_RV rv;

	if (proof_len == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((app = kmn_application_enter()) == NULL)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	e = kmn_receipts_last_proof(app->receipts, session, &text, &len);
	rv = e == KMN_OK ? give(text, len, proof, proof_len) : rv_of(e);
	free(text);
	kmn_application_leave(app);
	return rv;
}

static CK_RV
get_last_request(CK_SESSION_HANDLE session, uint64_t *request)
{
	struct kmn_application *app;
	kmn_err e;

	if (request == NULL)
		return CKR_ARGUMENTS_BAD;
	if ((app = kmn_application_enter()) == NULL)
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	e = kmn_receipts_last_request(app->receipts, session, request);
	kmn_application_leave(app);
	return rv_of(e);
}

KMN_FUNCTION_LIST_1_0 kmn_vendor_list = {
    .version = {1, 0}, .GetLastReceipt = get_last_receipt, .GetLastRequest = get_last_request};
