/* kanmon audit report: one page for an investigator, and the same as JSON. */
#include "config.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/report.h"

static bool
close_file(FILE *file, const char *path)
{
	bool good = !ferror(file);

	good = fclose(file) == 0 && good;
	if (!good)
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, strerror(errno));
	return good;
}

static FILE *
open_file(const char *path)
{
	FILE *file = fopen(path, "w");

	if (file == NULL)
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, strerror(errno));
	return file;
}

static bool
write_html(const char *path, const json_t *report, enum kmn_language language)
{
	FILE *file = open_file(path);

	if (file == NULL)
		return false;
	kmn_report_html(file, report, language);
	return close_file(file, path);
}

static bool
write_json(const char *path, const json_t *report)
{
	FILE *file = open_file(path);

	if (file == NULL)
		return false;
	if (json_dumpf(report, file, JSON_INDENT(2)) != 0 || fputc('\n', file) == EOF)
		errno = EIO;
	return close_file(file, path);
}

int
kmn_cmd_audit_report(int argc, char **argv)
{
	const char *trust_path = NULL, *html = NULL, *json = NULL, *language_text = "en", *words[1];
	enum kmn_language language;
	struct kmn_store *store = NULL;
	static struct kmn_trust trust;
	struct kmn_why why = {""};
	json_t *report = NULL;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("trust", "FILE", "what to hold the ledger against", &trust_path),
	    KMN_OPTION_TEXT("out", "FILE", "the page, HTML", &html),
	    KMN_OPTION_TEXT("json", "FILE", "the same as JSON", &json),
	    KMN_OPTION_TEXT("language", "en|ja", "of the page: English (en) or Japanese (ja)", &language_text),
	};
	int parsed = kmn_options_parse(argc, argv, "audit report", options, KMN_COUNT_OF(options), words, 1, 1);
	int exit_code = KMN_AUDIT_INCOMPLETE;
	kmn_err e;

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	if (trust_path == NULL || (html == NULL && json == NULL) || !kmn_language_get(language_text, &language)) {
		(void)kmn_usage(
		    "audit report", trust_path == NULL ? "report needs --trust FILE: without it nothing is proven"
				    : html == NULL && json == NULL ? "report needs --out FILE or --json FILE"
								   : "--language is en or ja");
		return KMN_AUDIT_INCOMPLETE;
	}
	if (sodium_init() < 0 || kmn_audit_trust(trust_path, &trust) != KMN_OK ||
	    kmn_audit_open(words[0], &store) != KMN_OK)
		return KMN_AUDIT_INCOMPLETE;
	e = kmn_report_gather(store, words[0], &trust, &report, &why);
	kmn_store_files_free(store);
	if (e != KMN_OK) {
		(void)fprintf(
		    stderr, "kanmon audit: %s: %s\n", words[0], why.text[0] == '\0' ? kmn_err_text(e) : why.text);
		return KMN_AUDIT_INCOMPLETE;
	}
	if ((html == NULL || write_html(html, report, language)) && (json == NULL || write_json(json, report)))
		exit_code = (int)json_integer_value(json_object_get(json_object_get(report, "verdict"), "exit"));
	json_decref(report);
	return exit_code;
}
