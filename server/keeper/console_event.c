/*
 * What everybody who is signed in hears without asking: that there is a new head, that a request changed, an anomaly, a
 * policy. Told when it is durable, and seldom enough for a browser; what it is about, the page asks for.
 */
#include "config.h"

#include "server/keeper/admin.h"
#include "server/keeper/console.h"

#define HEAD_EVERY_MS 250

static void
note_request(struct kmn_ui_events *due, uint64_t request)
{
	for (size_t n = 0; n < due->requests; n++)
		if (due->request[n] == request)
			return;
	if (due->requests < KMN_UI_EVENTS_MAX)
		due->request[due->requests++] = request;
	else
		due->more_requests = true;
}

/* Texts that wait to be signed name a policy, or an anomaly. */
static bool
may_end_drafts(enum kmn_record_kind kind)
{
	return kind == KMN_R_POLICY || kind == KMN_R_POLICY_PROPOSAL || kind == KMN_R_POLICY_VETO ||
	       kind == KMN_R_ANOMALY || kind == KMN_R_REOPEN || kind == KMN_R_CLOCK || kind == KMN_R_HSM_LOG;
}

void
kmn_console_note(struct kmn_keeper *k, const struct kmn_record *record)
{
	const struct kmn_request *request;
	struct kmn_ui_events *due;
	struct kmn_ref ref = {.i = record->i};

	if (k->consoling != NULL)
		k->consoling->judge_drafts |= may_end_drafts(record->kind);
	if (k->console == NULL)
		return;
	due = &k->consoling->events;
	due->size = record->i + 1;
	switch (record->kind) {
	case KMN_R_POLICY:
	case KMN_R_POLICY_PROPOSAL:
	case KMN_R_POLICY_VETO:
		due->policy = true;
		return;
	case KMN_R_ANOMALY:
	case KMN_R_REOPEN:
		due->anomaly = record->i;
		due->anomalies = true;
		return;
	case KMN_R_INTENT:
		break;
	case KMN_R_STATEMENT:
	case KMN_R_ATTACHMENT:
	case KMN_R_APPROVAL:
	case KMN_R_REJECTION:
	case KMN_R_VETO:
	case KMN_R_DECISION:
	case KMN_R_RESULT:
		if (kmn_ref_get(record->body, "request", &ref))
			break;
		return;
	default:
		return;
	}
	if ((request = kmn_quorum_request(k->quorum, ref.i)) != NULL && request->held)
		note_request(due, ref.i);
}

static void
tell_head(struct kmn_keeper *k, size_t size)
{
	struct kmn_ui_events *due = &k->consoling->events;
	int64_t now = kmn_keeper_boot_ms();

	if (size == due->head_told || now - due->head_ms < HEAD_EVERY_MS)
		return;
	due->head_told = size;
	due->head_ms = now;
	kmn_ui_tell(k, json_pack("{s:s, s:I}", "event", "head", "size", (json_int_t)size));
}

void
kmn_ui_events_durable(struct kmn_keeper *k, size_t size)
{
	struct kmn_ui_events due = k->consoling->events;

	if (k->console == NULL)
		return;
	tell_head(k, size);
	if (due.size > size || due.size == 0)
		return;
	k->consoling->events.requests = 0;
	k->consoling->events.more_requests = k->consoling->events.policy = k->consoling->events.anomalies = false;
	k->consoling->events.size = 0;
	for (size_t n = 0; n < due.requests && k->console != NULL; n++)
		kmn_ui_tell(k, json_pack("{s:s, s:I, s:s}", "event", "request", "id", (json_int_t)due.request[n],
				   "state", kmn_admin_state(k, kmn_quorum_request(k->quorum, due.request[n]))));
	if (due.more_requests)
		kmn_ui_tell(k, json_pack("{s:s}", "event", "requests"));
	if (due.anomalies)
		kmn_ui_tell(k, json_pack("{s:s, s:I}", "event", "anomaly", "record", (json_int_t)due.anomaly));
	if (due.policy)
		kmn_ui_tell(k, json_pack("{s:s, s:I}", "event", "policy", "version",
				   (json_int_t)kmn_policy_version(kmn_keeper_policy(k))));
}
