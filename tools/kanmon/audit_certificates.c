/* kanmon audit certificates: what the keys of a ledger signed, and the fingerprints of the finished certificates. */
#include "config.h"

#include <errno.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_finished.h"
#include "tools/kanmon/csv.h"
#include "tools/kanmon/options.h"

#define COLUMN(name) name,
static const char *const columns[] = {KMN_FINISHED_COLUMNS(COLUMN)};
#undef COLUMN

struct listing {
	struct kmn_store *store;
	const char *out; /* folder for what is rebuilt, or NULL */
	bool json, csv;
	unsigned long listed, unknown, other, bad;
};

static void
print_field(const json_t *row, const char *says, const char *name)
{
	const char *text = kmn_json_text(row, name);

	if (text[0] == '\0')
		return;
	(void)printf("  %-12s", says);
	/* a fingerprint of 64 bytes has 191 characters */
	for (size_t at = 0; at == 0 || at < strlen(text); at += 66) {
		char piece[67];

		(void)snprintf(piece, sizeof(piece), "%s", text + at);
		if (strchr(text, ' ') != NULL || strlen(text) < 95) {
			kmn_audit_text(stdout, text, 0);
			break;
		}
		if (at > 0)
			(void)printf("\n%14s", "");
		kmn_audit_text(stdout, piece, 0);
	}
	(void)printf("\n");
}

static void
print_text(const json_t *row)
{
	static const struct {
		const char *says, *name;
	} fields[] = {
	    {"subject", "subject"},
	    {"issuer", "issuer"},
	    {"serial", "serial"},
	    {"from", "not_before"},
	    {"to", "not_after"},
	    {"public key", "public_key"},
	    {"algorithm", "algorithm"},
	    {"asked by", "client"},
	    {"approved by", "approvers"},
	    {"application", "application"},
	    {"applicant", "applicant_key"},
	    {"data", "data"},
	    {"signature", "signature"},
	    {"SHA-256", "sha256"},
	    {"SHA-384", "sha384"},
	    {"SHA-512", "sha512"},
	};

	(void)printf("%s signed with ", kmn_json_text(row, "kind"));
	kmn_audit_text(stdout, kmn_json_text(row, "key"), 0);
	(void)printf(", %s, record %s%s%s\n", kmn_json_text(row, "time"), kmn_json_text(row, "record"),
	    kmn_json_text(row, "request")[0] != '\0' ? ", request " : "", kmn_json_text(row, "request"));
	for (size_t n = 0; n < KMN_COUNT_OF(fields); n++)
		print_field(row, fields[n].says, fields[n].name);
	(void)printf("\n");
}

static void
print_csv(const json_t *row)
{
	const char *fields[KMN_COUNT_OF(columns)];

	for (size_t n = 0; n < KMN_COUNT_OF(columns); n++)
		fields[n] = kmn_json_text(row, columns[n]);
	kmn_csv_line(stdout, fields, KMN_COUNT_OF(fields));
}

/* NNN-KIND.pem, NNN the record; never over a file that is there. */
static kmn_err
write_out(const struct listing *listing, const json_t *row, enum kmn_finished_kind kind, const uint8_t *der, size_t len)
{
	char path[4096];
	FILE *file;
	bool ok;

	if (snprintf(path, sizeof(path), "%s/%s-%s.pem", listing->out, kmn_json_text(row, "record"),
		kmn_finished_name(kind)) >= (int)sizeof(path))
		return KMN_E_TOO_BIG;
	if ((file = fopen(path, "wx")) == NULL) {
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, strerror(errno));
		return KMN_E_IO;
	}
	ok = PEM_write(file, kmn_finished_pem(kind), "", der, (long)len) > 0;
	return fclose(file) == 0 && ok ? KMN_OK : KMN_E_IO;
}

static kmn_err
each(void *cookie, const struct kmn_signed_certificate *made)
{
	struct listing *listing = cookie;
	enum kmn_finished_kind kind;
	uint8_t *der;
	size_t len;
	json_t *row;
	kmn_err e = kmn_finished_row(listing->store, made, &row, &kind, &der, &len);

	if (e != KMN_OK)
		return e;
	if (row == NULL) {
		listing->other++;
		return KMN_OK;
	}
	listing->listed++;
	listing->unknown += strcmp(kmn_json_text(row, "kind"), "unknown") == 0;
	listing->bad += strcmp(kmn_json_text(row, "signature"), "DOES NOT VERIFY") == 0;
	if (listing->json) {
		(void)json_dumpf(row, stdout, JSON_COMPACT | JSON_SORT_KEYS);
		(void)printf("\n");
	} else if (listing->csv) {
		print_csv(row);
	} else {
		print_text(row);
	}
	if (listing->out != NULL && der != NULL)
		e = write_out(listing, row, kind, der, len);
	free(der);
	json_decref(row);
	return e == KMN_OK && ferror(stdout) ? KMN_E_IO : e;
}

static void
print_sum(const struct listing *listing)
{
	(void)printf("%lu signatures; ", listing->listed + listing->other);
	(void)printf("%lu over other data than certificates, CRLs, requests and OCSP responses\n", listing->other);
	if (listing->unknown > 0)
		(void)printf("%lu whose data the ledger does not keep: no rule looked at it, or only a digest came.\n"
			     "Compare them with what was issued: kanmon audit reconcile --certificates\n",
		    listing->unknown);
	if (listing->bad > 0)
		(void)printf("%lu DO NOT VERIFY\n", listing->bad);
}

int
kmn_cmd_audit_certificates(int argc, char **argv)
{
	struct listing listing = {0};
	struct kmn_why why = {""};
	const char *words[1];
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("out", "DIR", "write what is rebuilt to RECORD-KIND.pem in this folder", &listing.out),
	    KMN_OPTION_FLAG("json", "one JSON object a line", &listing.json),
	    KMN_OPTION_FLAG("csv", "CSV (RFC 4180), safe to open in a spreadsheet", &listing.csv),
	};
	int parsed = kmn_options_parse(argc, argv, "audit certificates", options, KMN_COUNT_OF(options), words, 1, 1);
	kmn_err e;

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	if (listing.json && listing.csv) {
		(void)kmn_usage("audit certificates", "only one of --json and --csv");
		return KMN_AUDIT_INCOMPLETE;
	}
	if (listing.out != NULL && mkdir(listing.out, 0755) != 0 && errno != EEXIST) {
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", listing.out, strerror(errno));
		return KMN_AUDIT_INCOMPLETE;
	}
	if (sodium_init() < 0 || kmn_audit_open(words[0], &listing.store) != KMN_OK)
		return KMN_AUDIT_INCOMPLETE;
	if (listing.csv)
		kmn_csv_line(stdout, columns, KMN_COUNT_OF(columns));
	e = kmn_signed_certificate_read(listing.store, each, NULL, &listing, &why);
	if (e != KMN_OK)
		(void)fprintf(
		    stderr, "kanmon audit: %s: %s\n", words[0], why.text[0] == '\0' ? kmn_err_text(e) : why.text);
	else if (!listing.json && !listing.csv)
		print_sum(&listing);
	kmn_store_files_free(listing.store);
	if (e != KMN_OK)
		return e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
	return listing.bad > 0 ? KMN_AUDIT_FAILED : KMN_AUDIT_VERIFIED;
}
