/*
 * What the kanmon tool asks of a running gateway (frame ADMIN). Requests are
 * binary and bounded; answers are JSON text made by the gateway.
 * Who may ask: CLIENT = a `client` line of the policy, for its own requests;
 * TERMINAL = a person's `terminal` line.
 */
#ifndef KANMON_ADMIN_H
#define KANMON_ADMIN_H

#include "kanmon/base.h"

/*   symbol                    value  who may ask         fields after the operation */
#define KMN_ADMIN_ROWS(ROW) \
	ROW(KMN_ADMIN_STATUS, 1, "client or terminal", "none") \
	ROW(KMN_ADMIN_REQUEST_LIST, 2, "client or terminal", "u8 also those that ended") \
	ROW(KMN_ADMIN_REQUEST_SHOW, 3, "client or terminal", "u64 request") \
	ROW(KMN_ADMIN_REQUEST_NEW, 4, "client", \
	    "text token label, text key label, bytes key id (may be empty), text mechanism name, bytes data, text " \
	    "purpose, u32 lifetime s (0: the rule's), raw[32] nonce, what is attached beside the data (attach.h)") \
	ROW(KMN_ADMIN_ATTACH, 40, "client", \
	    "u64 request that waits for its content, what is attached (attach.h); answer {\"request\", \"state\"}") \
	ROW(KMN_ADMIN_ATTACH_NEXT, 41, "client", \
	    "raw[16] application instance (zeros: that of the connection), u64 session, what is attached: for the next signature of that " \
	    "session; an application alone: for the next call of it that is recorded before it runs") \
	ROW(KMN_ADMIN_REQUEST_WITHDRAW, 5, "client", "u64 request, text reason") \
	ROW(KMN_ADMIN_NOTE_SUBMIT, 6, "terminal", "bytes signed note (approval, rejection or veto; or a kind of signed.h)") \
	ROW(KMN_ADMIN_CHECKPOINT, 7, "client or terminal", "none") \
	ROW(KMN_ADMIN_COSIGN, 9, "terminal", \
	    "bytes checkpoint of this ledger with witnesses' lines; answer {\"record\", \"lines\": how many counted}") \
	ROW(KMN_ADMIN_HSM_LOG, 24, "terminal", \
	    "text source, bytes format, bytes lines (each ends in LF), u64 how many records they were matched with, u32 " \
	    "tolerance ms, u32 n, n u64: of each line the record, or UINT64_MAX less a word of kmn_hsm_log_word; answer " \
	    "{\"record\", \"unmatched\"}") \
	ROW(KMN_ADMIN_POLICY_SUBMIT, 10, "terminal", \
	    "u8 1: role recovery signed it, and it waits; bytes signed note: the next version of the policy; answer " \
	    "{\"record\", \"version\", \"sha256\", \"effective_at\": ms}") \
	ROW(KMN_ADMIN_WINDOW_NEW, 20, "client", \
	    "text rule, text token label, text key label, bytes key id (may be empty), text purpose, u32 lifetime s " \
	    "(0: the rule's), raw[32] nonce, and if the console asks: u64 index of the instruction") \
	ROW(KMN_ADMIN_SHARE, 25, "terminal", \
	    "u64 request, bytes share sealed to the key that its statement names (kanmon/sealedpin.h); answer " \
	    "{\"request\", \"shares\": how many are there}") \
	ROW(KMN_ADMIN_BAD_RECEIPT, 42, "client", \
	    "u64 number of the call, text word of the fault (receipt.h: \"FORK\"), raw[32] SHA-256 of its request, raw[32] of " \
	    "its answer, as the client saw them; asked over a connection of the application; answer {\"recorded\": bool}") \
	ROW(KMN_ADMIN_POLICY, 8, "client or terminal", \
	    "none, or u64 version; answer {\"note\": the policy in force, or that version, \"waiting\"?: one of the " \
	    "recovery role that waits}")

#define KMN_ADMIN_ENUM(symbol, value, who, fields) symbol = (value),
enum kmn_admin_op { KMN_ADMIN_ROWS(KMN_ADMIN_ENUM) };
#undef KMN_ADMIN_ENUM

/* What stands in `matches` of an hsm.log record where no index does. */
enum kmn_hsm_log_word { KMN_HSM_LOG_NONE, KMN_HSM_LOG_CRASH, KMN_HSM_LOG_IGNORED, KMN_HSM_LOG_EQUAL };
#define KMN_ADMIN_HSM_SOURCE_MAX_BYTES 127u
#define KMN_ADMIN_HSM_FORMAT_MAX_BYTES 65536u
#define KMN_ADMIN_HSM_ROWS_MAX_BYTES 262144u
#define KMN_ADMIN_HSM_LINES_MAX 1000u
#define KMN_ADMIN_HSM_TOLERANCE_MAX_MS 3600000u

#define KMN_ADMIN_DATA_MAX_BYTES (1u << 20)
#define KMN_ADMIN_NOTE_MAX_BYTES 24576u
#define KMN_ADMIN_REPLY_MAX_BYTES (1u << 20)

#endif
