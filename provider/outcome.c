/* What the application sees of what its call came to. */
#include "config.h"

#include "provider/carriage.h"

#include "provider/application.h"
#include "provider/debug.h"

bool
kmn_is_close(enum kmn_call_id id)
{
	return id == KMN_C_CloseSession || id == KMN_C_CloseAllSessions;
}

static void
remember_slot(struct kmn_application *app, CK_SLOT_ID id, const CK_SLOT_INFO *info)
{
	size_t i;

	(void)pthread_mutex_lock(&app->slots_lock);
	for (i = 0; i < app->slot_count && app->slot_id[i] != id; i++)
		;
	if (i < KMN_KNOWN_SLOTS) {
		app->slot_id[i] = id;
		app->slot_info[i] = *info;
		if (i == app->slot_count)
			app->slot_count++;
	}
	(void)pthread_mutex_unlock(&app->slots_lock);
}

/* The slot as it was, with its token gone; false if it is not known. */
static bool
recall_slot(struct kmn_application *app, CK_SLOT_ID id, CK_SLOT_INFO *info)
{
	bool known = false;

	(void)pthread_mutex_lock(&app->slots_lock);
	for (size_t i = 0; i < app->slot_count; i++) {
		if (app->slot_id[i] != id)
			continue;
		*info = app->slot_info[i];
		info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
		known = true;
	}
	(void)pthread_mutex_unlock(&app->slots_lock);
	return known;
}

bool
kmn_outcome_fate(const struct kmn_carriage *c, kmn_err e, enum kmn_fate *fate_out)
{
	switch (e) {
	case KMN_E_WORKER:
		*fate_out = KMN_FATE_BROKEN;
		return true;
	case KMN_E_INSTANCE:
		*fate_out = c->sent ? KMN_FATE_BROKEN : KMN_FATE_STALE;
		return true;
	case KMN_E_UNREACHABLE:
	case KMN_E_BUSY:
		*fate_out = c->sent ? KMN_FATE_UNDECIDED : KMN_FATE_ABSENT;
		return true;
	case KMN_E_DENIED:
	case KMN_E_REJECTED:
		*fate_out = KMN_FATE_REJECTED;
		return true;
	case KMN_E_CANCELED:
		*fate_out = c->id == KMN_C_WaitForSlotEvent ? KMN_FATE_FINISHED
			    : c->held                       ? KMN_FATE_UNANSWERED
			    : c->sent                       ? KMN_FATE_UNDECIDED
							    : KMN_FATE_FINISHED;
		return true;
	case KMN_E_EXPIRED:
	case KMN_E_WITHDRAWN:
	case KMN_E_TIMEOUT:
		*fate_out = KMN_FATE_UNANSWERED;
		return true;
	default:
		return false;
	}
}

CK_RV
kmn_outcome_of_fate(struct kmn_carriage *c, enum kmn_fate fate)
{
	kmn_debug(KMN_TOPIC_CALL, "%s: %s", kmn_carriage_name(c), kmn_fate_text(fate));
	if (fate == KMN_FATE_ABSENT && c->id == KMN_C_GetSlotInfo && recall_slot(c->app, c->arg[0].u, c->arg[1].p))
		return CKR_OK;
	return kmn_fate_rv(fate, c->id, c->app->settings->errors);
}

/* A refusal comes as an answer too. */
CK_RV
kmn_outcome_of_answer(struct kmn_carriage *c, CK_RV rv)
{
	if (rv == CKR_FUNCTION_REJECTED)
		return kmn_fate_rv(KMN_FATE_REJECTED, c->id, c->app->settings->errors);
	if (rv == CKR_FUNCTION_CANCELED)
		return kmn_fate_rv(KMN_FATE_UNANSWERED, c->id, c->app->settings->errors);
	if (rv == CKR_OK && c->id == KMN_C_GetSlotInfo)
		remember_slot(c->app, c->arg[0].u, c->arg[1].p);
	return rv;
}

/* ---- a ledger that was found wrong ------------------------------------------------------------------------------- */

/* What the ledger has nothing to say about; all else ends with CKR_DEVICE_ERROR from then on. */
bool
kmn_is_harmless(enum kmn_call_id id)
{
	switch (id) {
	case KMN_C_GetInfo:
	case KMN_C_GetSlotList:
	case KMN_C_GetSlotInfo:
	case KMN_C_GetTokenInfo:
	case KMN_C_GetMechanismList:
	case KMN_C_GetMechanismInfo:
	case KMN_C_GetSessionInfo:
	case KMN_C_WaitForSlotEvent:
		return true;
	default:
		return kmn_is_close(id);
	}
}

/* The token is there all the same: what is wrong is not the HSM. */
CK_RV
kmn_outcome_of_wrong_ledger(struct kmn_carriage *c)
{
	CK_SLOT_INFO *info = c->arg[1].p;

	if (c->id != KMN_C_GetSlotInfo || !recall_slot(c->app, c->arg[0].u, info))
		return kmn_err_ckr(KMN_E_RECEIPT);
	info->flags |= CKF_TOKEN_PRESENT;
	return CKR_OK;
}
