/*
 * A receipt did not hold: the gateway is told, so that its ledger knows (anomaly), and its policy can close the token.
 * That may be another machine's doing than the gateway's own; if it is the gateway's, nothing is lost by it. Best
 * effort: the evidence is on this host's disk, and the caller has its error, whatever comes of this.
 */
#include "config.h"

#include <string.h>

#include "kanmon/admin.h"
#include "kanmon/receipt.h"
#include "kanmon/writer.h"
#include "provider/debug.h"
#include "provider/receipts_parts.h"
#include "provider/wire.h"

#define TRIES_MAX 3u

void
kmn_complaint_note(struct kmn_book *receipts, const struct kmn_claim *claim)
{
	struct kmn_complaint *complaint = &receipts->complaint;

	(void)pthread_mutex_lock(&receipts->lock);
	if (complaint->step == KMN_COMPLAINT_NONE) {
		complaint->step = KMN_COMPLAINT_DUE;
		complaint->number = claim->number;
		complaint->fault = (enum kmn_receipt_fault)atomic_load(&receipts->fault);
		memcpy(complaint->req_sha256, claim->req_sha256, sizeof(complaint->req_sha256));
		memcpy(complaint->resp_sha256, claim->resp_sha256, sizeof(complaint->resp_sha256));
	}
	(void)pthread_mutex_unlock(&receipts->lock);
}

/* Takes what is to be said; the next that asks gets nothing until it is given back. */
static bool
take(struct kmn_book *receipts, struct kmn_complaint *out)
{
	bool due;

	(void)pthread_mutex_lock(&receipts->lock);
	due = receipts->complaint.step == KMN_COMPLAINT_DUE;
	if (due) {
		receipts->complaint.step = KMN_COMPLAINT_MADE;
		receipts->complaint.tries++;
		*out = receipts->complaint;
	}
	(void)pthread_mutex_unlock(&receipts->lock);
	return due;
}

static void
give_back(struct kmn_book *receipts)
{
	(void)pthread_mutex_lock(&receipts->lock);
	if (receipts->complaint.tries < TRIES_MAX)
		receipts->complaint.step = KMN_COMPLAINT_DUE;
	(void)pthread_mutex_unlock(&receipts->lock);
}

kmn_err
kmn_receipts_complain(struct kmn_book *receipts, const struct kmn_wire *wire)
{
	struct kmn_complaint complaint;
	struct kmn_writer w;
	kmn_err e;

	if (!kmn_receipts_failed(receipts) || !take(receipts, &complaint))
		return KMN_OK;
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_ADMIN_BAD_RECEIPT);
	kmn_writer_u64(&w, complaint.number);
	kmn_writer_text(&w, kmn_receipt_fault_name(complaint.fault));
	kmn_writer_raw(&w, complaint.req_sha256, sizeof(complaint.req_sha256));
	kmn_writer_raw(&w, complaint.resp_sha256, sizeof(complaint.resp_sha256));
	e = kmn_wire_admin(wire, &w);
	kmn_writer_clear(&w);
	kmn_debug(KMN_TOPIC_RECEIPT, "the gateway is told that the receipt of call %llu does not hold: %s",
	    (unsigned long long)complaint.number, e == KMN_OK ? "it took it" : kmn_err_text(e));
	if (e == KMN_E_NOT_FOUND || e == KMN_E_ARGUMENTS) /* an older gateway, or one that does not want to know */
		return KMN_OK;
	if (e != KMN_OK)
		give_back(receipts);
	return e;
}
