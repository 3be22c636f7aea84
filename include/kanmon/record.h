/*
 * One record of the ledger: a canonical JSON line with the members body, i, m,
 * nonce, prev, t, type, v. Which members a body has is one table of types.
 */
#ifndef KANMON_RECORD_H
#define KANMON_RECORD_H

#include "kanmon/json.h"
#include "kanmon/tree.h"

#define KMN_NONCE_BYTES 16

/*
 * id, name, body members: `name=kind`, `name?=kind` where optional. Kinds: text (no LF anywhere in it), note (text
 * that may hold LF; also lists and objects of such), number, bool, hash (b64 of 32 bytes), b64, ref
 * ({"i","leaf"}), refs (list of ref), object, list, any (of the last three LF-free all the way down).
 * Times are ms since the epoch like `t`. A type's members never change: a changed type has a new name.
 */
/* clang-format off */
#define KMN_RECORD_ROWS(ROW) \
ROW(GENESIS, "genesis", \
	"origin=text suite=text vkey=text policy=note hsm=object limits=object predecessor?=note") \
ROW(GATEWAY_START, "gateway.start", \
	"build=any boot_id=text config_sha256=hash guards=list") \
ROW(GATEWAY_STOP, "gateway.stop", \
	"reason=text") \
ROW(CHANNEL_OPEN, "channel.open", \
	"chan=number instance=any peer=object tls=object provider=object mode=text client_head=note client_cosig?=note") \
ROW(CHANNEL_COUNTS, "channel.counts", \
	"chan=number counts=object") \
ROW(CHANNEL_CLOSE, "channel.close", \
	"chan=number reason=text counts=object") \
ROW(CHANNEL_REJECT, "channel.reject", \
	"peer?=any reason=text count=number") \
ROW(SESSION, "session", \
	"chan=number sess=number event=text slot=any user?=any pin?=text username?=text rv=number rv_name=text " \
	"seq?=number req_sha256?=hash resp_sha256?=hash request?=ref") \
ROW(INTENT, "intent", \
	"chan=number sess=number seq=number op=text mech=object key=object in?=object norm?=object template?=any " \
	"login?=object req_sha256=hash nonce_req=hash requester=object purpose?=text window?=object expires=number " \
	"econtent?=object application?=object") \
ROW(ATTACHMENT, "attachment", \
	"request=ref in?=object econtent?=object application?=object") \
ROW(STATEMENT, "statement", \
	"request=ref head=object sha256=hash text=note") \
ROW(ACTION, "action", \
	"ui_sess=any actor=object what=text subject?=ref shown_sha256?=hash auth?=note count?=number reason?=text") \
ROW(APPROVAL, "approval", \
	"request=ref note=note check=text") \
ROW(REJECTION, "rejection", \
	"request=ref note=note check=text") \
ROW(VETO, "veto", \
	"request=ref note=note check=text") \
ROW(DECISION, "decision", \
	"request=ref verdict=text rule=text policy=object approvals=refs rejections=refs vetoes=refs use=number " \
	"not_after=number window?=ref reason?=text application?=object") \
ROW(RESULT, "result", \
	"chan=number sess=number seq=number req_sha256=hash request=ref decision=ref rv=number rv_name=text out?=any " \
	"key?=any hsm=object dur_us=number resp_sha256=hash selfcheck?=text") \
ROW(OP, "op", \
	"chan=number sess=number seq=number op=text mech=object key?=any in?=any norm?=object rule=text policy=object rv=number " \
	"rv_name=text out?=any hsm=object dur_us=number req_sha256=hash resp_sha256=hash selfcheck?=text reason?=text") \
ROW(REDELIVER, "redeliver", \
	"result=ref chan=number seq=number") \
ROW(REDELIVERY, "redelivery", \
	"result=ref chan=number sess=number seq=number req_sha256=hash rv=number rv_name=text resp_sha256=hash") \
ROW(POLICY, "policy", \
	"version=number note=note effective_after=number proposal?=ref") \
ROW(LOG_KEY, "log.key", \
	"event=text vkey=text proof=note approvals=refs") \
ROW(CUSTODIAN_CREDENTIAL, "custodian.credential", \
	"custodian=text vkey=text evidence=note approvals=refs") \
ROW(CHECKPOINT, "checkpoint", \
	"note=note") \
ROW(COSIGN, "cosign", \
	"size=number root=hash lines=note") \
ROW(PEER, "peer", \
	"origin=text note=note old_size=number consistency=list") \
ROW(ANCHOR, "anchor", \
	"size=number note=note tsa=text imprint_alg=text nonce_tsa=text token=b64 chain_sha256=hash gen_time=number " \
	"policy_oid=text") \
ROW(CLOCK, "clock", \
	"before=number after=number source=text reason=text") \
ROW(HSM_LOG, "hsm.log", \
	"source=text rows=note matches=list unmatched=number") \
ROW(RECOVERY, "recovery", \
	"reason=text last_commit=object dropped?=object open_requests=list guards=list authorised?=note") \
ROW(RENEWAL, "renewal", \
	"covers=refs tsa=text imprint_alg=text nonce_tsa=text token=b64 chain_sha256=hash gen_time=number policy_oid=text") \
ROW(REHASH, "rehash", \
	"alg=text size=number old_root=hash new_root=b64 manifest_sha256=hash tsa=text imprint_alg=text nonce_tsa=text " \
	"token=b64 chain_sha256=hash gen_time=number policy_oid=text") \
ROW(CLOSED, "closed", \
	"successor=object") \
ROW(POLICY_PROPOSAL, "policy.proposal", \
	"version=number note=note effective_at=number") \
ROW(POLICY_VETO, "policy.veto", \
	"note=note") \
ROW(ATTESTATION, "attestation", \
	"note=note") \
ROW(ANOMALY, "anomaly", \
	"what=text token?=text detail=text cause?=text client?=text chan?=number seq?=number req_sha256?=hash " \
	"resp_sha256?=hash") \
ROW(REOPEN, "reopen", \
	"note=note")
/* clang-format on */

#define KMN_RECORD_ENUM(id, name, members) KMN_R_##id,
enum kmn_record_kind { KMN_RECORD_ROWS(KMN_RECORD_ENUM) KMN_R_UNKNOWN };
#undef KMN_RECORD_ENUM

/* A record by index and leaf hash: a wrong index is caught without the tree. */
struct kmn_ref {
	uint64_t i;
	uint8_t leaf[KMN_HASH_BYTES];
};

struct kmn_scan;

struct kmn_record {
	uint64_t i, t, m;
	uint8_t leaf[KMN_HASH_BYTES]; /* leaf hash of the line */
	uint8_t prev[KMN_HASH_BYTES];
	uint8_t nonce[KMN_NONCE_BYTES];
	enum kmn_record_kind kind;   /* KMN_R_UNKNOWN: a type this build does not know */
	const char *type;            /* as it stands in the line; lives as long as the record */
	const json_t *body;          /* likewise */
	json_t *owner;               /* the parsed line; kmn_record_clear() lets go of it */
	const struct kmn_scan *scan; /* kanmon/scan.h; only in the verifier, where body and owner may be NULL */
};

/* Name of a kind as in the table; the kind of a name. */
const char *kmn_record_name(enum kmn_record_kind kind);
enum kmn_record_kind kmn_record_kind(const char *name);
/* Its row's third column: `name=kind` or `name?=kind`, separated by spaces. */
const char *kmn_record_members(enum kmn_record_kind kind);

/* Whether a body has exactly the members of its type, each of its kind. Unknown types: KMN_E_NOT_FOUND. */
kmn_err kmn_record_check(enum kmn_record_kind kind, const json_t *body, struct kmn_why *why) KMN_MUST_CHECK;

/* Reads a line (without LF): canonical form and envelope. The body is kmn_record_check()'s, i/t/prev against the
 * record before are the chain's (log, verifier). */
kmn_err kmn_record_parse(
    const char *line, size_t len, struct kmn_record *record_out, struct kmn_why *why) KMN_MUST_CHECK;
void kmn_record_clear(struct kmn_record *record);

/* Makes the line of a record whose i, t, m, prev, nonce, type and body are set (body stays the caller's); fills in
 * record->leaf. *line_out is the caller's to free(). */
kmn_err kmn_record_emit(
    struct kmn_record *record, char **line_out, size_t *len_out, struct kmn_why *why) KMN_MUST_CHECK;

/* {"i":..,"leaf":..} and back. */
json_t *kmn_ref_json(const struct kmn_ref *ref) KMN_MUST_CHECK;
bool kmn_ref_get(const json_t *object, const char *name, struct kmn_ref *out) KMN_MUST_CHECK;
bool kmn_ref_parse(const json_t *value, struct kmn_ref *out) KMN_MUST_CHECK;
/* {"size":..,"root":..} and back. */
json_t *kmn_head_json(const struct kmn_head *head) KMN_MUST_CHECK;
bool kmn_head_get(const json_t *object, const char *name, struct kmn_head *out) KMN_MUST_CHECK;
/* Does this body of an intent name an instruction: "action N", N as numbers are written, as the id of its application? */
bool kmn_instruction_named(const json_t *intent, uint64_t *i_out) KMN_MUST_CHECK;

/* Whether a record with this body fits a line, whatever its place in the ledger: strings, numbers, depth, length. */
bool kmn_record_fits(const json_t *body) KMN_MUST_CHECK;

#endif
