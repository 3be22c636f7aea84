/*
 * The HSM's own log, or its counters, against the ledger (docs/ledger.md V11).
 * A log's form is described by a small file, so that a new HSM needs no new
 * code. Pure: texts and uses in, verdicts out.
 *
 *	kanmon/hsm-log/v1
 *	name       SoftHSM behind a logging module
 *	kind       rows | counters
 *	line       <extended regular expression with groups>
 *	field      time|operation|key|serial|result|counter <number of the group>
 *	time       rfc3339 | epoch | epoch-ms              (with a field time)
 *	skip       <extended regular expression>           (lines that say nothing; any number)
 *	operation  <word in the log> <class>               (any number)
 *	counts     <class>                                 (of counters: which uses are counted; any number)
 *	failed     <extended regular expression>           (of the field result: the operation failed)
 *	key        <word in the log> <label or id>         (any number; else the log's word is label, id or hash)
 *
 * Empty lines and lines that begin with # are comments.
 */
#ifndef KANMON_TOOLS_HSMLOG_H
#define KANMON_TOOLS_HSMLOG_H

#include "kanmon/json.h"

#define KMN_HSMLOG_WORD_BYTES 128
#define KMN_HSMLOG_LINE_MAX_BYTES 4096
#define KMN_HSMLOG_FORMAT_MAX_BYTES 65536

/* clang-format off */
/* What an HSM may be made to do; `ignore` is for rows that use no key. */
#define KMN_HSM_CLASSES(ROW) \
	ROW(SIGN, "sign") ROW(DECRYPT, "decrypt") ROW(ENCRYPT, "encrypt") ROW(GENERATE, "generate") \
	ROW(DERIVE, "derive") ROW(WRAP, "wrap") ROW(UNWRAP, "unwrap") ROW(IMPORT, "import") ROW(DESTROY, "destroy") \
	ROW(LOGIN, "login") ROW(ADMIN, "admin") ROW(IGNORE, "ignore")
/* clang-format on */
#define KMN_HSM_CLASS_ENUM(id, name) KMN_HSM_##id,
enum kmn_hsm_class { KMN_HSM_CLASSES(KMN_HSM_CLASS_ENUM) KMN_HSM_CLASS_COUNT };
#undef KMN_HSM_CLASS_ENUM
const char *kmn_hsm_class_name(enum kmn_hsm_class class);
/* The class of a PKCS#11 function that uses the HSM; KMN_HSM_IGNORE: it leaves no row. */
enum kmn_hsm_class kmn_hsm_class_of(const char *function);

struct kmn_hsmlog_format;
/* Errors: KMN_E_MALFORMED, `why` names line and reason. */
kmn_err kmn_hsmlog_format_parse(
    const char *text, size_t len, struct kmn_hsmlog_format **format_out, struct kmn_why *why) KMN_MUST_CHECK;
void kmn_hsmlog_format_free(struct kmn_hsmlog_format *format);
const char *kmn_hsmlog_name(const struct kmn_hsmlog_format *format);
bool kmn_hsmlog_is_counters(const struct kmn_hsmlog_format *format);
/* Does the log have rows of this class, or its counters count them? */
bool kmn_hsmlog_covers(const struct kmn_hsmlog_format *format, enum kmn_hsm_class class);

/* One row of the HSM. "" and 0: the log does not say. */
struct kmn_hsmlog_row {
	uint64_t line;
	uint64_t t; /* ms */
	uint64_t counter;
	enum kmn_hsm_class class; /* KMN_HSM_CLASS_COUNT: the format does not explain the operation */
	bool failed;
	char operation[KMN_HSMLOG_WORD_BYTES], key[KMN_HSMLOG_WORD_BYTES], serial[KMN_HSMLOG_WORD_BYTES];
};
/* Reads one line (no LF). KMN_E_NOT_FOUND: a line to skip; KMN_E_MALFORMED: one that the format does not explain. */
kmn_err kmn_hsmlog_line(
    const struct kmn_hsmlog_format *format, const char *line, struct kmn_hsmlog_row *row_out) KMN_MUST_CHECK;

/* One use of the HSM that the ledger records. */
struct kmn_hsm_use {
	uint64_t record;
	uint64_t from, to; /* ms, gateway's clock: between them the HSM acted */
	enum kmn_hsm_class class;
	bool failed;  /* it returned an error: some HSMs write a row, others none */
	bool unknown; /* a crash took the result: the HSM may have acted */
	const char *label, *id, *spki, *serial;
	bool met; /* by kmn_hsmlog_match() */
};

/* A time in which a crash may have lost records of class B: from the last record before it to the recovery. */
struct kmn_hsm_crash {
	uint64_t record; /* of the recovery */
	uint64_t from, to;
};

enum kmn_hsm_verdict {
	KMN_HSM_MET,       /* a record says so */
	KMN_HSM_MET_MAYBE, /* a record of which a crash took the result */
	KMN_HSM_CRASH,     /* no record, but inside a crash window, where a record of class B may have been lost */
	KMN_HSM_UNMATCHED, /* the finding: the HSM was used, and no record says so */
	KMN_HSM_IGNORED,
};
struct kmn_hsm_judged {
	enum kmn_hsm_verdict verdict;
	uint64_t record; /* that it met, or of the recovery; else UINT64_MAX */
};

/*
 * Judges each row. Where both have a time, a row meets a use that it lies in or near (tolerance_ms); else rows meet uses
 * of the same class and key in order. `uses` in order of record; `judged` has room for each row.
 */
void kmn_hsmlog_match(const struct kmn_hsmlog_row *rows, size_t row_count, struct kmn_hsm_use *uses, size_t use_count,
    const struct kmn_hsm_crash *crashes, size_t crash_count, uint64_t tolerance_ms, struct kmn_hsm_judged *judged);

/* How many uses of a counter's key (and of the classes that are counted) the ledger has: for certain, and at most. */
void kmn_hsmlog_count(const struct kmn_hsmlog_format *format, const struct kmn_hsmlog_row *row,
    const struct kmn_hsm_use *uses, size_t use_count, uint64_t *certain_out, uint64_t *most_out);

#endif
