/* kanmon audit reconcile: the command line, and issued certificates against the ledger. */
#include "config.h"

#include "tools/kanmon/audit_reconcile.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kanmon/log.h"
#include "tools/kanmon/audit.h"
#include "tools/kanmon/audit_finished.h"
#include "tools/kanmon/match.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/terminal.h"

#define FILE_MAX_BYTES (256u << 20)
#define FOLDER_DEPTH_MAX 16

struct reconciling {
	struct kmn_store *store;
	struct kmn_match *match;
	json_t *issued, *missing; /* lists */
	bool learning;            /* the first time through what was issued: only the keys in it are taken */
	uint8_t last[KMN_HASH_BYTES];
	unsigned long matched, rogue, foreign, unread, unknown, keyless;
};

static const char *const verdicts[] = {
    [KMN_MATCHED] = "matched",
    [KMN_ROGUE] = "ROGUE: no record has a signature over it",
    [KMN_ROGUE_TWICE] = "ROGUE: a record has a signature over it, but this is another one",
    [KMN_FOREIGN] = "foreign: signed by no key of this ledger",
};

/* ---- the ledger's side ------------------------------------------------------------------------------------------- */

static kmn_err
take_key(void *cookie, const uint8_t spki_sha256[KMN_HASH_BYTES])
{
	struct reconciling *r = cookie;
	uint8_t *spki;
	size_t len;
	kmn_err e;

	if ((e = kmn_match_key(r->match, spki_sha256)) != KMN_OK || memcmp(r->last, spki_sha256, KMN_HASH_BYTES) == 0)
		return e;
	memcpy(r->last, spki_sha256, KMN_HASH_BYTES);
	if ((e = kmn_blob_read(r->store, spki_sha256, &spki, &len)) != KMN_OK)
		return e == KMN_E_NO_MEMORY ? e : KMN_OK; /* perhaps a certificate that is brought has it */
	e = kmn_match_public(r->match, spki, len);
	free(spki);
	return e;
}

static kmn_err
take_signed(void *cookie, const struct kmn_signed_certificate *made)
{
	struct reconciling *r = cookie;
	enum kmn_finished_kind kind = KMN_FINISHED_COUNT;
	uint8_t *der = NULL;
	size_t len;
	json_t *row;
	kmn_err e;

	if ((e = kmn_finished_row(r->store, made, &row, &kind, &der, &len)) != KMN_OK)
		return e;
	free(der);
	e = kmn_match_signed(r->match, made,
	    row == NULL                  ? "other"
	    : kind == KMN_FINISHED_COUNT ? "unknown"
					 : kmn_finished_name(kind));
	json_decref(row);
	return e;
}

/* ---- the others' side -------------------------------------------------------------------------------------------- */

/* A CA's own certificate has the public half of a key that the ledger may only know by hash. */
static void
learn(struct reconciling *r, const uint8_t *der, size_t len)
{
	const unsigned char *at = der;
	X509 *certificate = d2i_X509(NULL, &at, (long)len);
	unsigned char *spki = NULL;
	int spki_len = certificate == NULL ? 0 : i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &spki);

	if (spki_len > 0 && kmn_match_public(r->match, spki, (size_t)spki_len) != KMN_OK)
		KMN_BUG("out of memory");
	OPENSSL_free(spki);
	X509_free(certificate);
	ERR_clear_error();
}

static void
take_issued(struct reconciling *r, const char *path, enum kmn_finished_kind kind, const uint8_t *der, size_t len)
{
	enum kmn_match_verdict verdict;
	struct kmn_issued issued;
	uint64_t record;
	json_t *facts;

	if (r->learning) {
		learn(r, der, len);
		return;
	}
	facts = kmn_finished_facts(kind, der, len);
	if (facts == NULL || kmn_issued_read(der, len, &issued) != KMN_OK) {
		json_decref(facts);
		(void)fprintf(stderr, "kanmon audit: %s: neither certificate nor CRL\n", path);
		r->unread++;
		return;
	}
	verdict = kmn_match_issued(r->match, &issued, &record);
	r->matched += verdict == KMN_MATCHED;
	r->rogue += verdict == KMN_ROGUE || verdict == KMN_ROGUE_TWICE;
	r->foreign += verdict == KMN_FOREIGN;
	(void)json_object_set_new(facts, "file", json_string(path));
	(void)json_object_set_new(facts, "kind", json_string(kmn_finished_name(kind)));
	(void)json_object_set_new(facts, "verdict", json_string(verdicts[verdict]));
	if (record != UINT64_MAX)
		(void)json_object_set_new(facts, "record", json_integer((json_int_t)record));
	(void)json_array_append_new(r->issued, facts);
}

/* Every certificate and CRL in a PEM file; keys and requests are passed over. How many
 * blocks there were. */
static unsigned long
take_pem(struct reconciling *r, const char *path, const char *bytes, size_t len)
{
	BIO *bio = BIO_new_mem_buf(bytes, (int)len);
	unsigned long taken = 0;
	unsigned char *der;
	char *name, *header;
	long der_len;

	while (bio != NULL && PEM_read_bio(bio, &name, &header, &der, &der_len) == 1) {
		bool certificate = strcmp(name, "CERTIFICATE") == 0 || strcmp(name, "X509 CERTIFICATE") == 0;

		if (certificate || strcmp(name, "X509 CRL") == 0)
			take_issued(
			    r, path, certificate ? KMN_FINISHED_CERTIFICATE : KMN_FINISHED_CRL, der, (size_t)der_len);
		taken++;
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	ERR_clear_error();
	BIO_free(bio);
	return taken;
}

static bool
take_der(struct reconciling *r, const char *path, const uint8_t *der, size_t len)
{
	static const enum kmn_finished_kind kinds[] = {KMN_FINISHED_CERTIFICATE, KMN_FINISHED_CRL};

	for (size_t n = 0; n < KMN_COUNT_OF(kinds); n++) {
		json_t *facts = kmn_finished_facts(kinds[n], der, len);

		ERR_clear_error();
		json_decref(facts);
		if (facts == NULL)
			continue;
		take_issued(r, path, kinds[n], der, len);
		return true;
	}
	return false;
}

static kmn_err
take_file(struct reconciling *r, const char *path)
{
	char *bytes;
	size_t len;
	kmn_err e = kmn_audit_file(path, FILE_MAX_BYTES, &bytes, &len);

	if (e != KMN_OK)
		return e;
	if (take_pem(r, path, bytes, len) == 0 && !take_der(r, path, (const uint8_t *)bytes, len)) {
		if (!r->learning) {
			(void)fprintf(stderr, "kanmon audit: %s: no certificate and no CRL in it\n", path);
			r->unread++;
		}
	}
	free(bytes);
	return KMN_OK;
}

static kmn_err take_path(struct reconciling *r, const char *path, unsigned depth);

static kmn_err
take_folder(struct reconciling *r, const char *path, unsigned depth)
{
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort);
	kmn_err e = count < 0 ? KMN_E_IO : KMN_OK;

	for (int n = 0; n < count; n++) {
		char *below = NULL;

		if (e == KMN_OK && names[n]->d_name[0] != '.') {
			if ((below = malloc(strlen(path) + strlen(names[n]->d_name) + 2)) == NULL)
				e = KMN_E_NO_MEMORY;
			else
				(void)sprintf(below, "%s/%s", path, names[n]->d_name);
			e = e == KMN_OK ? take_path(r, below, depth + 1) : e;
		}
		free(below);
		free(names[n]);
	}
	if (count >= 0)
		free(names);
	return e;
}

static kmn_err
take_path(struct reconciling *r, const char *path, unsigned depth)
{
	struct stat about;

	if (stat(path, &about) != 0) {
		(void)fprintf(stderr, "kanmon audit: %s: %s\n", path, strerror(errno));
		return KMN_E_IO;
	}
	if (S_ISREG(about.st_mode))
		return take_file(r, path);
	if (!S_ISDIR(about.st_mode))
		return KMN_OK;
	return depth < FOLDER_DEPTH_MAX ? take_folder(r, path, depth) : KMN_E_TOO_BIG;
}

/* ---- what has no counterpart ------------------------------------------------------------------------------------- */

static void
take_missing(void *cookie, uint64_t record, const char *kind)
{
	struct reconciling *r = cookie;

	if (strcmp(kind, "certificate") == 0 || strcmp(kind, "crl") == 0)
		(void)json_array_append_new(
		    r->missing, json_pack("{s:I, s:s}", "record", (json_int_t)record, "kind", kind));
	else
		r->unknown += strcmp(kind, "unknown") == 0;
}

static void
print_human(const struct reconciling *r)
{
	const json_t *row;
	size_t n;

	json_array_foreach(r->issued, n, row)
	{
		if (strcmp(kmn_json_text(row, "verdict"), verdicts[KMN_MATCHED]) == 0)
			continue;
		kmn_audit_text(stdout, kmn_json_text(row, "verdict"), 0);
		(void)printf("\n  %s ", kmn_json_text(row, "kind"));
		kmn_audit_text(stdout, kmn_json_text(row, "subject"), 0);
		(void)printf(", serial %s, in ", kmn_json_text(row, "serial"));
		kmn_audit_text(stdout, kmn_json_text(row, "file"), 0);
		if (json_object_get(row, "record") != NULL)
			(void)printf(
			    ", record %" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(row, "record")));
		(void)printf("\n  SHA-256 %s\n", kmn_json_text(row, "sha256"));
	}
	json_array_foreach(r->missing, n, row)(void)
	    printf("MISSING: record %" JSON_INTEGER_FORMAT " signed a %s that is not among those given\n",
		json_integer_value(json_object_get(row, "record")), kmn_json_text(row, "kind"));
	(void)printf("%lu matched, %lu rogue, %lu foreign, %zu missing\n", r->matched, r->rogue, r->foreign,
	    json_array_size(r->missing));
	if (r->unknown > 0)
		(void)printf("%lu signatures whose data is not kept matched none of those given: what they were over "
			     "the ledger does not say\n",
		    r->unknown);
	if (r->keyless > 0)
		(void)printf(
		    "%lu signatures by keys whose public half is not in this copy of the ledger\n", r->keyless);
}

static void
print_json(struct reconciling *r)
{
	kmn_print_json(json_pack("{s:O, s:O, s:I, s:I, s:I, s:I, s:I, s:I}", "issued", r->issued, "missing", r->missing,
	    "matched", (json_int_t)r->matched, "rogue", (json_int_t)r->rogue, "foreign", (json_int_t)r->foreign,
	    "unread", (json_int_t)r->unread, "unknown", (json_int_t)r->unknown, "keyless", (json_int_t)r->keyless));
}

int
kmn_reconcile_certificates(struct kmn_store *store, const char *ledger, const char *path, bool json)
{
	struct reconciling r = {.store = store, .issued = json_array(), .missing = json_array()};
	struct kmn_why why = {""};
	kmn_err e = kmn_match_new(&r.match);

	if (e == KMN_OK && (e = kmn_signed_certificate_read(store, take_signed, take_key, &r, &why)) != KMN_OK)
		(void)fprintf(
		    stderr, "kanmon audit: %s: %s\n", ledger, why.text[0] == '\0' ? kmn_err_text(e) : why.text);
	r.learning = true;
	if (e == KMN_OK && (e = take_path(&r, path, 0)) == KMN_OK) {
		r.learning = false;
		e = take_path(&r, path, 0);
		r.keyless = kmn_match_keyless(r.match);
		kmn_match_missing(r.match, take_missing, &r);
	}
	if (e == KMN_OK && json)
		print_json(&r);
	else if (e == KMN_OK)
		print_human(&r);
	json_decref(r.issued);
	json_decref(r.missing);
	kmn_match_free(r.match);
	if (e != KMN_OK)
		return e == KMN_E_CORRUPT ? KMN_AUDIT_FAILED : KMN_AUDIT_INCOMPLETE;
	return r.rogue > 0                     ? KMN_AUDIT_FAILED
	       : r.unread > 0 || r.keyless > 0 ? KMN_AUDIT_INCOMPLETE
					       : KMN_AUDIT_VERIFIED;
}

/* ---- the command line -------------------------------------------------------------------------------------------- */

int
kmn_cmd_audit_reconcile(int argc, char **argv)
{
	const char *certificates = NULL, *log = NULL, *format = NULL, *words[1];
	unsigned long tolerance = 5;
	struct kmn_store *store = NULL;
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT(
		"certificates", "PATH", "PEM bundle, DER file, or folder of them: what was issued", &certificates),
	    KMN_OPTION_TEXT("hsm-log", "FILE", "the HSM's own log, or its counters", &log),
	    KMN_OPTION_TEXT("format", "FILE", "what its lines mean", &format),
	    KMN_OPTION_NUMBER("tolerance", "SECONDS", "how far the two clocks may differ (5)", &tolerance),
	    KMN_OPTION_JSON(&json),
	};
	int parsed = kmn_options_parse(argc, argv, "audit reconcile", options, KMN_COUNT_OF(options), words, 1, 1);
	int exit_code = KMN_AUDIT_INCOMPLETE;

	if (parsed != KMN_GO_ON)
		return parsed == KMN_EXIT_OK ? KMN_EXIT_OK : KMN_AUDIT_INCOMPLETE;
	if ((certificates != NULL) == (log != NULL) || (log != NULL) != (format != NULL)) {
		(void)kmn_usage(
		    "audit reconcile", "reconcile needs --certificates PATH, or --hsm-log FILE --format FILE");
		return KMN_AUDIT_INCOMPLETE;
	}
	if (sodium_init() >= 0 && kmn_audit_open(words[0], &store) == KMN_OK)
		exit_code = certificates != NULL ? kmn_reconcile_certificates(store, words[0], certificates, json)
						 : kmn_reconcile_hsm_log(store, words[0], log, format, tolerance, json);
	kmn_store_files_free(store);
	return exit_code;
}
