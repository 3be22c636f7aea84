/* kanmon lint: what is allowed in a certificate to be signed, and hardly meant. */
#include "config.h"

#include "tools/kanmon/lint.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>

#include "tools/kanmon/attach.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/terminal.h"

struct printing {
	FILE *to;
	enum kmn_language language;
};

static void
print_warning(void *cookie, enum kmn_lint lint, const char *name, const char *text)
{
	const struct printing *p = cookie;

	fprintf(p->to, "%s%s (%s)\n", kmn_word_text(p->language, KMN_W_WARNING),
	    p->language == KMN_JAPANESE ? kmn_lint_japanese(lint) : text, name);
}

static kmn_err
read_certificate(const char *path, uint8_t **der_out, size_t *len_out)
{
	char *bytes;
	size_t len;
	BIO *bio;
	X509 *x = NULL;
	uint8_t *der = NULL;
	int n = -1;
	kmn_err e;

	if ((e = kmn_file_read_or_say(path, KMN_CONTENT_MAX_BYTES, &bytes, &len)) != KMN_OK)
		return e;
	bio = BIO_new_mem_buf(bytes, (int)len);
	if (bio != NULL && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) == NULL && BIO_reset(bio) == 1)
		x = d2i_X509_bio(bio, NULL);
	if (x != NULL)
		n = i2d_X509(x, &der);
	X509_free(x);
	BIO_free(bio);
	free(bytes);
	*der_out = der;
	*len_out = n > 0 ? (size_t)n : 0;
	if (n > 0)
		return KMN_OK;
	kmn_fail("%s is no certificate", path);
	return KMN_E_MALFORMED;
}

kmn_err
kmn_lint_print(FILE *to, const struct kmn_material *material, const char *issuer, enum kmn_language language)
{
	struct printing printing = {to, language};
	struct kmn_lint_input in = {.material = material, .now = (int64_t)time(NULL) * 1000};
	uint8_t *der = NULL;
	kmn_err e = KMN_OK;

	if (issuer != NULL && (e = read_certificate(issuer, &der, &in.issuer_len)) != KMN_OK)
		return e;
	in.issuer = der;
	(void)kmn_lint(&in, print_warning, &printing);
	OPENSSL_free(der);
	return KMN_OK;
}

int
kmn_cmd_lint(int argc, char **argv)
{
	struct kmn_attach_files files = {0};
	struct kmn_attached attached;
	struct kmn_material material;
	const char *issuer = NULL, *language_text = NULL;
	enum kmn_language language;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("file", "FILE", "the bytes that will be signed", &files.file),
	    KMN_OPTION_TEXT("tbs-from", "CERT", "what this pre-certificate signs", &files.certificate),
	    KMN_OPTION_TEXT("csr-info-from", "CSR", "what this certificate request signs", &files.csr),
	    KMN_OPTION_TEXT("econtent", "FILE", "content that CMS attributes are over", &files.econtent),
	    KMN_OPTION_TEXT("issuer", "CERT", "certificate of the issuer, to be compared with", &issuer),
	    KMN_OPTION_TEXT("language", "en|ja", "of the warnings (default: that of LANG)", &language_text),
	};
	int verdict = kmn_options_parse(argc, argv, "lint", options, KMN_COUNT_OF(options), NULL, 0, 0);
	kmn_err e;

	if (verdict != KMN_GO_ON)
		return verdict;
	if (!kmn_language_get(language_text, &language))
		return kmn_usage("lint", "--language is en or ja");
	if (kmn_attach_sources(&files) != 1)
		return kmn_usage("lint", "one of --file, --tbs-from and --csr-info-from is needed");
	if ((e = kmn_attach_read(&files, &attached)) != KMN_OK)
		return KMN_EXIT_FAILED;
	material = (struct kmn_material){attached.data, attached.data_len, attached.econtent, attached.econtent_len};
	kmn_attach_print(&attached);
	e = kmn_lint_print(stdout, &material, issuer, language);
	kmn_attached_clear(&attached);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}
