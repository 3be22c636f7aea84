/*
 * The one table of what PKCS#11 says when a call ends without the module's own
 * word (docs/channel.md, Return values). The reason is remembered with the
 * session: C_GetSessionInfo tells its number as ulDeviceError.
 */
#include "config.h"

#include "server/keeper/state.h"

/* What a caller wanted: columns of the table. */
enum wanted { USE, LOGIN, CHANGE, MAKE, ADMINISTER, WANTED_COUNT };

/* clang-format off */
static const struct row {
	kmn_err reason;
	CK_RV rv[WANTED_COUNT];
} rows[] = {
/*	 reason              use                     login                  change of an object     making one                  administration */
	{KMN_E_DENIED,     {CKR_FUNCTION_REJECTED, CKR_FUNCTION_CANCELED, CKR_ACTION_PROHIBITED, CKR_TEMPLATE_INCONSISTENT, CKR_FUNCTION_REJECTED}},
	{KMN_E_MECHANISM,  {CKR_MECHANISM_INVALID, CKR_FUNCTION_CANCELED, CKR_MECHANISM_INVALID, CKR_MECHANISM_INVALID,     CKR_FUNCTION_REJECTED}},
	{KMN_E_HIDDEN,     {CKR_KEY_HANDLE_INVALID, CKR_FUNCTION_CANCELED, CKR_OBJECT_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID, CKR_FUNCTION_REJECTED}},
	{KMN_E_REJECTED,   {CKR_FUNCTION_REJECTED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_REJECTED, CKR_FUNCTION_REJECTED,     CKR_FUNCTION_REJECTED}},
	{KMN_E_EXPIRED,    {CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED,     CKR_FUNCTION_CANCELED}},
	{KMN_E_WITHDRAWN,  {CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED,     CKR_FUNCTION_CANCELED}},
	{KMN_E_CANCELED,   {CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED, CKR_FUNCTION_CANCELED,     CKR_FUNCTION_CANCELED}},
	{KMN_E_TOO_MANY,   {CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,          CKR_DEVICE_ERROR}},
	{KMN_E_STALE,      {CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,          CKR_DEVICE_ERROR}},
	{KMN_E_LEDGER,     {CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,          CKR_DEVICE_ERROR}},
	{KMN_E_CORRUPT,    {CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,          CKR_DEVICE_ERROR}},
	{KMN_E_SPACE,      {CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,          CKR_DEVICE_ERROR}},
	{KMN_E_GUARD,      {CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,          CKR_DEVICE_ERROR}},
	{KMN_E_SIGNATURE,  {CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,          CKR_DEVICE_ERROR}},
	{KMN_E_WORKER,     {CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,      CKR_DEVICE_ERROR,          CKR_DEVICE_ERROR}},
};
/* clang-format on */

static enum wanted
wanted(const struct kmn_call_view *view)
{
	switch (view->id) {
	case KMN_C_CopyObject:
	case KMN_C_DestroyObject:
	case KMN_C_SetAttributeValue:
		return CHANGE;
	case KMN_C_CreateObject:
	case KMN_C_GenerateKey:
	case KMN_C_GenerateKeyPair:
		return MAKE;
	default:
		return view->call->policy == KMN_POLICY_LOGIN              ? LOGIN
		       : view->call->policy == KMN_POLICY_TOKEN_MANAGEMENT ? ADMINISTER
									   : USE;
	}
}

CK_RV
kmn_reason_rv(const struct kmn_call_state *call, kmn_err reason)
{
	/* Who calls through a list of 3.0 or later knows the code that is made for it. */
	if (reason == KMN_E_TOO_MANY && !call->view.v2_40)
		return CKR_TOKEN_RESOURCE_EXCEEDED;
	if (reason == KMN_E_HIDDEN && kmn_view_nth(&call->view, KMN_KIND_KEY, 0) == NULL)
		return CKR_OBJECT_HANDLE_INVALID;
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (rows[i].reason == reason)
			return rows[i].rv[wanted(&call->view)];
	KMN_BUG("a refusal for a reason that is in no table");
}

void
kmn_reason_note(struct kmn_call_state *call, kmn_err reason)
{
	if (call->session != NULL)
		call->session->device_error = (uint64_t)reason;
}

CK_RV
kmn_reason_end(struct kmn_call_state *call, kmn_err reason)
{
	kmn_reason_note(call, reason);
	return kmn_reason_rv(call, reason);
}
