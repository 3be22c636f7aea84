/*
 * The offline verifier: a trust file, the files of a ledger, and nothing that
 * a gateway says about itself (docs/ledger.md 8). V1-V3 are made here, while
 * reading; what records say is the checkers' (kanmon/checker.h): those of the
 * ledger's own table, and those handed in (policy and quorum: V5-V7).
 */
#ifndef KANMON_VERIFY_H
#define KANMON_VERIFY_H

#include "kanmon/note.h"
#include "kanmon/record.h"
#include "kanmon/store.h"
#include "kanmon/succession.h"
#include "kanmon/tlogpolicy.h"

#define KMN_TRUST_MAX_BYTES 65536
#define KMN_TRUST_TSA_MAX 16
#define KMN_TRUST_TSA_NAME_MAX_BYTES 64
#define KMN_ANCHOR_GAP_MS (UINT64_C(25) * 3600 * 1000) /* where neither trust file nor genesis says one */
#define KMN_ANCHOR_SKEW_MS 10000                       /* clocks of a gateway and a TSA may differ by this */

/* What an auditor is given (docs/ledger.md 9). */
struct kmn_trust {
	char origin[KMN_ORIGIN_MAX_BYTES + 1];
	uint8_t policy_sha256[KMN_HASH_BYTES]; /* of the text of policy version 1 */
	struct kmn_vkey log;
	struct kmn_tlog_policy policy; /* which witnesses are asked for */
	size_t tsa_count;              /* 0: no time stamps are asked for */
	struct kmn_trust_tsa {
		char name[KMN_TRUST_TSA_NAME_MAX_BYTES + 1];
		uint8_t root_sha256[KMN_HASH_BYTES]; /* of the DER of its root certificate */
	} tsa[KMN_TRUST_TSA_MAX];
	uint64_t anchor_gap_ms; /* longest time without a time stamp; 0: not said */
};
kmn_err kmn_trust_parse(const char *text, size_t len, struct kmn_trust *trust_out, struct kmn_why *why) KMN_MUST_CHECK;

/* What a trust file says of a ledger, made to say it of its successor; witnesses and TSAs stay. */
void kmn_trust_succeed(struct kmn_trust *trust, const struct kmn_successor *successor);

enum kmn_check {
	KMN_V1 = 1,
	KMN_V2,
	KMN_V3,
	KMN_V4,
	KMN_V5,
	KMN_V6,
	KMN_V7,
	KMN_V8,
	KMN_V9,
	KMN_V10,
	KMN_V11,
	KMN_V12
};
#define KMN_CHECK_COUNT 13 /* index by enum kmn_check; 0 is unused */

enum kmn_severity {
	KMN_INFO,    /* worth saying, fails nothing */
	KMN_FINDING, /* exit 1 */
	KMN_FATAL,   /* exit 1, nothing after it can be judged */
	KMN_MISSING, /* exit 3: input that a check needs is not there */
};

struct kmn_place {
	const char *file; /* relative to the ledger; NULL: the ledger as a whole */
	uint64_t line;    /* 1-based, 0: none */
	uint64_t index;   /* record, UINT64_MAX: none */
};

/* Where the verifier says what it found. */
struct kmn_verify_sink {
	void (*say)(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place,
	    const char *text);
	void *cookie;
};

struct kmn_checker;
struct kmn_openings;
struct kmn_hsm_form;

struct kmn_verify_settings {
	struct kmn_store *store;
	const struct kmn_trust *trust;
	const char *head; /* text of a checkpoint note that the auditor brought, or NULL */
	size_t head_len;
	const struct kmn_openings *openings;   /* that clients gave (openings.h), or NULL */
	const struct kmn_hsm_form *hsm_form;   /* of the HSM's own log, for a checker of `more`; or NULL */
	const struct kmn_checker *const *more; /* checkers beside the ledger's own, ends with NULL; or NULL */
	const struct kmn_predecessor *before;  /* that it must succeed; NULL: it was not given */
	struct kmn_verify_sink sink;
	unsigned threads; /* this one included; 0: as one. The outcome is the same with any number */
	void (*progress)(void *cookie, uint64_t bytes, uint64_t of); /* of the segments; may be NULL */
	void *cookie;                                                /* of progress */
	uint64_t segment_records, segment_bytes; /* 0: the format's; as in struct kmn_log_settings */
	uint64_t now_ms; /* the auditor's clock; 0: whether the newest time stamp still holds is not asked */
};

struct kmn_verify_report {
	unsigned count[KMN_CHECK_COUNT]; /* findings per check */
	bool done[KMN_CHECK_COUNT];      /* the check was made to its end */
	bool not_asked[KMN_CHECK_COUNT]; /* the trust file does not ask for it */
	uint64_t records, segments, blobs;
	uint64_t open_requests; /* at the head, neither decided nor expired, or running: fails nothing */
	uint64_t requests, results, statements_verified;  /* by quorum's checker */
	uint64_t signatures_verified, signatures_skipped; /* V7; skipped: no key or data is kept */
	uint64_t counters_back, counter_back_i; /* votes by security keys whose counter did not grow, and the last of them */
	struct kmn_head head;                             /* of the segments, after the last commit */
	uint64_t witnessed_size;        /* that the trust file's quorum vouches for; 0: none, or not asked */
	uint64_t anchors;               /* that count for V9 */
	uint64_t anchored_size;         /* records that a time stamp covers */
	uint64_t anchored_ms;           /* gen_time of the last one */
	uint64_t openings;              /* that opened a commitment */
	uint64_t signed_size;           /* largest size that the log key signed, of those given */
	struct kmn_successor successor; /* of a ledger that was closed */
	bool failed, missing, unwitnessed, unanchored;
	int exit_code; /* 0 verified, 1 failed, 2 short of witnesses or anchors, 3 incomplete input */
};

/*
 * Reads the records of a ledger in order, with no trust file: framing, chain
 * and roots are checked, who signed them is not. KMN_E_CORRUPT: damaged, `why`
 * says where; what was committed before the damage was handed on. `record`
 * ends the reading by anything but KMN_OK, which is then the result.
 */
typedef kmn_err kmn_ledger_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place);
kmn_err kmn_ledger_read(
    struct kmn_store *store, kmn_ledger_record *record, void *cookie, struct kmn_why *why) KMN_MUST_CHECK;

/*
 * Makes all checks of docs/ledger.md 8 that the settings ask for. What is found is in the report and told to the sink;
 * the result says only whether the verifier could work.
 */
kmn_err kmn_verify(const struct kmn_verify_settings *settings, struct kmn_verify_report *report_out) KMN_MUST_CHECK;

#endif
