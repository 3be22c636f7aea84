/* kanmon audit verify: V1-V8 over a ledger's files, by nothing but them and a trust file. */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/checker.h"
#include "kanmon/openings.h"
#include "kanmon/quorum.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/hsm_log.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/report.h"

#define LEDGERS_MAX 64 /* one after another */

/* In one table with the report's page. */
static const char *
says(enum kmn_check check)
{
	char name[8];

	(void)snprintf(name, sizeof(name), "V%d", (int)check);
	return kmn_report_text(KMN_ENGLISH, name);
}

static const char *const severities[] = {"note", "finding", "FATAL", "missing"};

/* One run of the command. */
struct audit {
	struct kmn_store *store;
	struct kmn_trust trust;
	struct kmn_openings openings;
	bool has_openings;
	struct kmn_hsm_form hsm_form; /* format NULL: none was given */
	json_t *findings;             /* with --json, else NULL */
	unsigned long threads;
	bool structure; /* what records say is left out */
	bool bar;       /* a line on the terminal shows how far it is */
	int percent;    /* that it shows */
};

/* On a terminal only, and beside what is printed: scripts see nothing of it. */
static void
show_progress(void *cookie, uint64_t bytes, uint64_t of)
{
	struct audit *audit = cookie;
	int percent = of == 0 ? 100 : (int)((double)bytes / (double)of * 100);

	if (percent == audit->percent)
		return;
	audit->percent = percent;
	(void)fprintf(
	    stderr, "\r[%-40.*s] %3d %%", percent * 40 / 100, "########################################", percent);
}

static void
hide_progress(struct audit *audit)
{
	if (audit->bar && audit->percent >= 0)
		(void)fprintf(stderr, "\r%-50s\r", "");
	audit->percent = -1;
}

static void
say(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	struct audit *audit = cookie;
	json_t *row;

	if (audit->findings == NULL) {
		hide_progress(audit);
		(void)printf("%-8s V%-2d ", severities[severity], (int)check);
		if (place->file != NULL)
			kmn_audit_text(stdout, place->file, 0);
		if (place->line != 0)
			(void)printf(" line %" PRIu64, place->line);
		if (place->index != UINT64_MAX)
			(void)printf("%srecord %" PRIu64, place->file == NULL ? "" : " ", place->index);
		(void)printf("%s", place->file == NULL && place->index == UINT64_MAX ? "" : ": ");
		kmn_audit_text(stdout, text, 0);
		(void)printf("\n");
		return;
	}
	row = json_pack("{s:s, s:i, s:s}", "severity", severities[severity], "check", (int)check, "text", text);
	if (place->file != NULL)
		(void)json_object_set_new(row, "file", json_string(place->file));
	if (place->line != 0)
		(void)json_object_set_new(row, "line", json_integer((json_int_t)place->line));
	if (place->index != UINT64_MAX)
		(void)json_object_set_new(row, "index", json_integer((json_int_t)place->index));
	(void)json_array_append_new(audit->findings, row);
}

/* The checks that know what records mean; the ledger's own are always made. */
const struct kmn_checker *const kmn_audit_checkers[] = {
    &kmn_quorum_checker,
    &kmn_channels_checker,
    &kmn_hsm_log_checker,
    NULL,
};

const char *
kmn_audit_check_word(const struct kmn_verify_report *report, enum kmn_check check)
{
	if (report->count[check] > 0)
		return "FAILED";
	if (report->not_asked[check])
		return "not asked for";
	return report->done[check] ? "ok" : "not checked";
}

static void
print_table(const struct kmn_verify_report *report)
{
	(void)printf("\n");
	for (enum kmn_check check = KMN_V1; check < KMN_CHECK_COUNT; check++) {
		(void)printf("V%-3d %-13s %s", (int)check, kmn_audit_check_word(report, check), says(check));
		if (report->count[check] > 0)
			(void)printf(" (%u findings)", report->count[check]);
		if (check == KMN_V6 && report->done[check])
			(void)printf(" (%" PRIu64 " statements)", report->statements_verified);
		if (check == KMN_V6 && report->counters_back > 0)
			(void)printf(" (NOTE: %" PRIu64
				     " votes by security keys whose counter did not grow, the last in "
				     "record %" PRIu64 ": was one copied?)",
			    report->counters_back, report->counter_back_i);
		if (check == KMN_V7 && report->done[check])
			(void)printf(" (%" PRIu64 " verified, %" PRIu64 " without key or data)",
			    report->signatures_verified, report->signatures_skipped);
		if (check == KMN_V12 && report->done[check])
			(void)printf(" (%" PRIu64 " opened)", report->openings);
		if (check == KMN_V8 && report->done[check] && report->open_requests > 0)
			(void)printf(" (%" PRIu64 " open at the head)", report->open_requests);
		(void)printf("\n");
	}
}

static const char *const verdicts[] = {
    [KMN_AUDIT_VERIFIED] = "VERIFIED: every check that the trust file asks for holds",
    [KMN_AUDIT_FAILED] = "FAILED",
    [KMN_AUDIT_SHORT] = "VERIFIED, BUT SHORT of the witnesses or anchors that the trust file asks for",
    [KMN_AUDIT_INCOMPLETE] = "INCOMPLETE: input is missing that a check needs, or checks were left out",
};

static void
print_human(const struct audit *audit, const char *path, const struct kmn_verify_report *report)
{
	char root[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	kmn_b64(report->head.root, KMN_HASH_BYTES, root);
	print_table(report);
	(void)printf("\nledger   ");
	kmn_audit_text(stdout, path, 0);
	(void)printf("\norigin   ");
	kmn_audit_text(stdout, audit->trust.origin, 0);
	(void)printf("\nhead     %" PRIu64 " %s\n", report->head.size, root);
	(void)printf("signed   to %" PRIu64 ", %" PRIu64 " records after it\n", report->signed_size,
	    report->head.size > report->signed_size ? report->head.size - report->signed_size : 0);
	(void)printf("read     %" PRIu64 " records in %" PRIu64 " segments, %" PRIu64 " blobs; %" PRIu64
		     " requests, %" PRIu64 " results\n",
	    report->records, report->segments, report->blobs, report->requests, report->results);
	(void)printf("%s\n", verdicts[report->exit_code]);
}

static void
print_json(struct audit *audit, const struct kmn_verify_report *report)
{
	json_t *checks = json_array(), *all;

	for (enum kmn_check check = KMN_V1; check < KMN_CHECK_COUNT; check++)
		(void)json_array_append_new(
		    checks, json_pack("{s:i, s:s, s:s, s:i}", "check", (int)check, "says", says(check), "result",
				kmn_audit_check_word(report, check), "findings", (int)report->count[check]));
	all = json_pack("{s:s, s:i, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:O}", "origin",
	    audit->trust.origin, "exit", report->exit_code, "verdict", verdicts[report->exit_code], "head",
	    kmn_head_json(&report->head), "signed_size", (json_int_t)report->signed_size, "segments",
	    (json_int_t)report->segments, "blobs", (json_int_t)report->blobs, "open_requests",
	    (json_int_t)report->open_requests, "requests", (json_int_t)report->requests, "signatures_verified",
	    (json_int_t)report->signatures_verified, "signatures_skipped", (json_int_t)report->signatures_skipped,
	    "checks", checks, "findings", audit->findings);
	(void)json_object_set_new(all, "counters_back", json_integer((json_int_t)report->counters_back));
	(void)json_dumpf(all, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
	(void)printf("\n");
	json_decref(all);
}

static int
run(struct audit *audit, const char *path, const char *head, size_t head_len, const struct kmn_predecessor *before,
    struct kmn_verify_report *report)
{
	struct kmn_verify_settings settings = {.store = audit->store,
	    .before = before,
	    .trust = &audit->trust,
	    .head = head,
	    .head_len = head_len,
	    .openings = audit->has_openings ? &audit->openings : NULL,
	    .hsm_form = audit->hsm_form.format != NULL ? &audit->hsm_form : NULL,
	    .more = audit->structure ? NULL : kmn_audit_checkers,
	    .sink = {say, audit},
	    .now_ms = (uint64_t)time(NULL) * 1000,
	    .threads = (unsigned)audit->threads,
	    .progress = audit->bar ? show_progress : NULL,
	    .cookie = audit};
	kmn_err e = kmn_verify(&settings, report);

	hide_progress(audit);
	if (audit->structure && (report->exit_code == KMN_AUDIT_VERIFIED || report->exit_code == KMN_AUDIT_SHORT))
		report->exit_code = KMN_AUDIT_INCOMPLETE;
	if (e != KMN_OK) {
		(void)fprintf(stderr, "kanmon audit: %s\n", kmn_err_text(e));
		return KMN_AUDIT_INCOMPLETE;
	}
	if (audit->findings != NULL)
		print_json(audit, report);
	else
		print_human(audit, path, report);
	return report->exit_code;
}

kmn_err
kmn_audit_trust(const char *path, struct kmn_trust *trust_out)
{
	struct kmn_why why = {""};
	char *text;
	size_t len;
	kmn_err e = kmn_audit_file(path, KMN_TRUST_MAX_BYTES, &text, &len);

	if (e != KMN_OK)
		return e;
	if ((e = kmn_trust_parse(text, len, trust_out, &why)) != KMN_OK)
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, why.text);
	free(text);
	return e;
}

typedef kmn_err (*parse_fn)(const char *text, size_t len, struct audit *audit, struct kmn_why *why);

static kmn_err
parse_openings(const char *text, size_t len, struct audit *audit, struct kmn_why *why)
{
	audit->has_openings = true;
	return kmn_openings_parse(text, len, &audit->openings, why);
}

static kmn_err
parse_hsm_form(const char *text, size_t len, struct audit *audit, struct kmn_why *why)
{
	return kmn_hsm_form_parse(text, len, &audit->hsm_form, why);
}

/* No path: none was given, and none is asked for. What was read is wiped: openings are plaintext's commitments. */
static kmn_err
read_optional(struct audit *audit, const char *path, size_t max_bytes, parse_fn parse)
{
	struct kmn_why why = {""};
	char *text;
	size_t len;
	kmn_err e;

	if (path == NULL)
		return KMN_OK;
	if ((e = kmn_audit_file(path, max_bytes, &text, &len)) != KMN_OK)
		return e;
	if ((e = parse(text, len, audit, &why)) != KMN_OK)
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, why.text);
	sodium_memzero(text, len);
	free(text);
	return e;
}

static unsigned long
processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 16 ? 16 : (unsigned long)n;
}

/* Whether a checkpoint is of that log, by its first line; one without a line is of none. */
static bool
is_of(const char *head, size_t len, const char *origin)
{
	size_t n = strlen(origin);

	return head != NULL && len > n && memcmp(head, origin, n) == 0 && head[n] == '\n';
}

/* One ledger after another, each by what the one before says of it. The worst exit code counts. */
static int
run_all(struct audit *audit, const char *const *paths, size_t count, const char *head, size_t head_len)
{
	static const int rank[] = {
	    [KMN_AUDIT_VERIFIED] = 0, [KMN_AUDIT_SHORT] = 1, [KMN_AUDIT_INCOMPLETE] = 2, [KMN_AUDIT_FAILED] = 3};
	int worst = KMN_AUDIT_VERIFIED;
	struct kmn_predecessor before;
	struct kmn_verify_report report;
	bool given = false;

	for (size_t n = 0; n < count; n++) {
		bool last = n + 1 == count, headed;
		int code = KMN_AUDIT_INCOMPLETE;

		if (n > 0) {
			before.head = report.head;
			before.log = audit->trust.log;
			memcpy(before.origin, audit->trust.origin, sizeof(before.origin));
			kmn_trust_succeed(&audit->trust, &report.successor);
		}
		memset(&report, 0, sizeof(report));
		/* to the ledger it is of; one of none of them to the last, which then says so */
		headed = is_of(head, head_len, audit->trust.origin);
		given = given || headed;
		headed = headed || (last && !given);
		if (kmn_audit_open(paths[n], &audit->store) == KMN_OK)
			code = run(audit, paths[n], headed ? head : NULL, headed ? head_len : 0, n > 0 ? &before : NULL,
			    &report);
		kmn_store_files_free(audit->store);
		audit->store = NULL;
		(void)json_array_clear(audit->findings);
		if (rank[code] > rank[worst])
			worst = code;
		if (!last && !report.successor.there) {
			(void)fprintf(stderr, "kanmon audit: %s was not closed, so it has no successor\n", paths[n]);
			return rank[worst] < rank[KMN_AUDIT_INCOMPLETE] ? KMN_AUDIT_INCOMPLETE : worst;
		}
	}
	return worst;
}

int
kmn_cmd_audit_verify(int argc, char **argv)
{
	const char *trust = NULL, *head_path = NULL, *openings = NULL, *hsm_format = NULL, *words[LEDGERS_MAX] = {NULL};
	bool json = false;
	size_t count = 0;
	struct audit audit = {.percent = -1};
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("trust", "FILE", "what to hold the ledger against", &trust),
	    KMN_OPTION_TEXT("head", "NOTE", "a signed checkpoint that the ledger must contain", &head_path),
	    KMN_OPTION_TEXT("openings", "FILE", "values and salts that commitments must be opened by", &openings),
	    KMN_OPTION_TEXT("hsm-format", "FILE", "what rows of the HSM's log mean, to judge them again", &hsm_format),
	    KMN_OPTION_NUMBER("threads", "N", "threads to use (as many as there are processors)", &audit.threads),
	    KMN_OPTION_FLAG("structure", "files, chain, tree and story only: V1-V4, V8", &audit.structure),
	    KMN_OPTION_JSON(&json),
	};
	char *head = NULL;
	size_t head_len = 0;
	int parsed =
	    kmn_options_parse(argc, argv, "audit verify", options, KMN_COUNT_OF(options), words, 1, LEDGERS_MAX);
	int exit_code = KMN_AUDIT_INCOMPLETE;

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	if (trust == NULL) {
		(void)kmn_usage("audit verify", "verify needs --trust FILE: without it nothing is proven");
		return KMN_AUDIT_INCOMPLETE;
	}
	if (audit.threads == 0)
		audit.threads = processors();
	audit.bar = isatty(STDERR_FILENO);
	if (sodium_init() >= 0 && kmn_audit_trust(trust, &audit.trust) == KMN_OK &&
	    read_optional(&audit, openings, KMN_OPENINGS_MAX_BYTES, parse_openings) == KMN_OK &&
	    read_optional(&audit, hsm_format, KMN_HSMLOG_FORMAT_MAX_BYTES, parse_hsm_form) == KMN_OK &&
	    (head_path == NULL || kmn_audit_file(head_path, KMN_NOTE_MAX_BYTES, &head, &head_len) == KMN_OK)) {
		audit.findings = json ? json_array() : NULL;
		while (count < LEDGERS_MAX && words[count] != NULL)
			count++;
		exit_code = run_all(&audit, words, count, head, head_len);
	}
	json_decref(audit.findings);
	kmn_openings_clear(&audit.openings);
	kmn_hsm_form_clear(&audit.hsm_form);
	free(head);
	return exit_code;
}
