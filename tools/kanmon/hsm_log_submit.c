/*
 * kanmon hsm-log submit: rows of the HSM's own log into the ledger. The tool matches them with what the ledger says, by
 * a description of the log's form; what was brought before of the same log is not brought twice.
 */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/frame.h"
#include "kanmon/writer.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/hsm_log.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/terminal.h"

#define LOG_MAX_BYTES (256u << 20)

struct submitting {
	struct kmn_store *store;
	struct kmn_hsm_form form;
	char *format, *log;
	size_t format_len, log_len;
	struct kmn_hsm_book *book;
	uint64_t size; /* records that were read */
	size_t at;     /* bytes of the log that the ledger has already */
	uint64_t line; /* of that place, 1-based */
	struct kmn_gateway *gateway;
	unsigned tolerance_s;
	uint64_t sent, unmatched;
};

/* ---- what the ledger has ----------------------------------------------------------------------------------------- */

/* The log goes on where the rows of this record end, if they are what stands there. */
static void
pass_over(struct submitting *s, const struct kmn_record *record)
{
	uint8_t sha256[KMN_HASH_BYTES];
	struct kmn_hsm_log log;

	if (!kmn_hsm_log_get(record, &log) || strcmp(log.source, kmn_hsmlog_name(s->form.format)) != 0 ||
	    log.len > s->log_len - s->at)
		return;
	kmn_sha256(s->log + s->at, log.len, sha256);
	if (memcmp(sha256, log.lines_sha256, sizeof(sha256)) != 0)
		return;
	s->at += log.len;
	s->line += log.lines;
}

static kmn_err
each_record(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	struct submitting *s = cookie;
	kmn_err e;

	(void)place;
	s->size = record->i + 1;
	if ((e = kmn_hsm_book_take(s->book, record)) != KMN_OK || record->kind != KMN_R_HSM_LOG)
		return e;
	pass_over(s, record);
	e = kmn_hsm_log_judge(s->book, &s->form, s->store, record, NULL, NULL);
	return e == KMN_E_NO_MEMORY ? e : KMN_OK;
}

/* ---- what it gets ------------------------------------------------------------------------------------------------ */

/* Whole lines from s->at on, as many as one record takes. */
static size_t
next_chunk(const struct submitting *s)
{
	size_t len = 0, lines = 0;

	while (lines < KMN_ADMIN_HSM_LINES_MAX) {
		const char *from = s->log + s->at + len, *lf = memchr(from, '\n', s->log_len - s->at - len);
		size_t line = lf == NULL ? 0 : (size_t)(lf + 1 - from);

		if (lf == NULL || len + line > KMN_ADMIN_HSM_ROWS_MAX_BYTES)
			break;
		len += line;
		lines++;
	}
	return len;
}

static kmn_err
send_rows(struct submitting *s, size_t len, size_t count, const struct kmn_hsm_judged *judged)
{
	struct kmn_writer w;
	json_t *answer;
	kmn_err e;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_text(&w, kmn_hsmlog_name(s->form.format));
	kmn_writer_bytes(&w, s->format, s->format_len);
	kmn_writer_bytes(&w, s->log + s->at, len);
	kmn_writer_u64(&w, s->size);
	kmn_writer_u32(&w, s->tolerance_s * 1000);
	kmn_writer_u32(&w, (uint32_t)count);
	for (size_t n = 0; n < count; n++)
		kmn_writer_u64(&w, kmn_hsm_match_entry(&judged[n]));
	e = kmn_gateway_ask(s->gateway, KMN_ADMIN_HSM_LOG, &w, &answer);
	kmn_writer_clear(&w);
	if (e == KMN_OK)
		json_decref(answer);
	return e;
}

static void
say_unmatched(
    struct submitting *s, const struct kmn_hsmlog_row *rows, size_t count, const struct kmn_hsm_judged *judged)
{
	for (size_t n = 0; n < count; n++) {
		if (judged[n].verdict != KMN_HSM_UNMATCHED)
			continue;
		s->unmatched++;
		(void)printf("line %" PRIu64 ": ", rows[n].line);
		kmn_audit_text(stdout, rows[n].operation, 0);
		(void)printf(" with ");
		kmn_audit_text(stdout, rows[n].key, 0);
		(void)printf(": UNMATCHED, the HSM was used and no record says so\n");
	}
}

static kmn_err
submit_chunk(struct submitting *s, size_t len)
{
	struct kmn_hsmlog_row *rows = NULL;
	struct kmn_hsm_judged *judged = NULL;
	size_t count;
	kmn_err e = kmn_hsm_rows_read(s->form.format, s->log + s->at, len, s->line, &rows, &count);

	if (e == KMN_E_MALFORMED)
		kmn_fail("from line %" PRIu64 " on it is no text of lines", s->line);
	if (e == KMN_OK && (judged = calloc(count + 1, sizeof(*judged))) == NULL)
		e = KMN_E_NO_MEMORY;
	if (e == KMN_OK &&
	    (e = kmn_hsm_book_judge(s->book, s->form.format, kmn_hsmlog_name(s->form.format), s->size, rows, count,
		 (uint64_t)s->tolerance_s * 1000, judged)) == KMN_OK &&
	    (e = send_rows(s, len, count, judged)) == KMN_OK) {
		say_unmatched(s, rows, count, judged);
		s->at += len;
		s->line += count;
		s->sent += count;
	}
	free(judged);
	free(rows);
	return e;
}

static kmn_err
submit_all(struct submitting *s)
{
	size_t len;
	kmn_err e = KMN_OK;

	while (e == KMN_OK && (len = next_chunk(s)) > 0)
		e = submit_chunk(s, len);
	return e;
}

static kmn_err
read_files(struct submitting *s, const char *ledger, const char *log, const char *format)
{
	struct kmn_why why = {""};
	kmn_err e;

	s->line = 1;
	if ((e = kmn_audit_file(format, KMN_HSMLOG_FORMAT_MAX_BYTES, &s->format, &s->format_len)) != KMN_OK ||
	    (e = kmn_audit_file(log, LOG_MAX_BYTES, &s->log, &s->log_len)) != KMN_OK)
		return e;
	if ((e = kmn_hsm_form_parse(s->format, s->format_len, &s->form, &why)) != KMN_OK) {
		kmn_fail("%s: %s", format, why.text);
		return e;
	}
	if ((e = kmn_audit_open(ledger, &s->store)) != KMN_OK || (e = kmn_hsm_book_new(&s->book)) != KMN_OK)
		return e;
	if ((e = kmn_ledger_read(s->store, each_record, s, &why)) != KMN_OK)
		kmn_fail("%s: %s", ledger, why.text[0] == '\0' ? kmn_err_text(e) : why.text);
	return e;
}

int
kmn_cmd_hsm_log_submit(int argc, char **argv)
{
	struct submitting s = {0};
	unsigned long tolerance_s = 5;
	const char *words[2] = {NULL}, *format = NULL, *as = NULL;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("format", "FILE", "what the log's lines mean", &format),
	    KMN_OPTION_NUMBER("tolerance", "SECONDS", "how far the HSM's clock may be off (5)", &tolerance_s),
	    KMN_OPTION_TEXT("as", "DIR/NAME", "custodian who brings it (default: KANMON_CUSTODIAN)", &as),
	};
	int parsed = kmn_options_parse(argc, argv, "hsm-log submit", options, KMN_COUNT_OF(options), words, 2, 2);
	kmn_err e;

	if (parsed != KMN_GO_ON)
		return parsed;
	if (format == NULL || tolerance_s > KMN_ADMIN_HSM_TOLERANCE_MAX_MS / 1000)
		return kmn_usage("hsm-log submit", "--format is needed, and a tolerance is at most an hour");
	s.tolerance_s = (unsigned)tolerance_s;
	if ((e = read_files(&s, words[0], words[1], format)) == KMN_OK &&
	    (e = kmn_gateway_open(kmn_custodian(as), &s.gateway)) == KMN_OK)
		e = submit_all(&s);
	if (e == KMN_OK) {
		kmn_audit_text(stdout, kmn_hsmlog_name(s.form.format), 0);
		(void)printf(": %" PRIu64 " rows recorded, %" PRIu64 " UNMATCHED\n", s.sent, s.unmatched);
	}
	kmn_gateway_close(s.gateway);
	kmn_store_files_free(s.store);
	kmn_hsm_book_free(s.book);
	kmn_hsm_form_clear(&s.form);
	free(s.format);
	free(s.log);
	return e == KMN_OK && s.unmatched == 0 ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}
