/* kanmon attach: the CA side shows what a digest is of. */
#include "config.h"

#include "tools/kanmon/attach.h"

#include <inttypes.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/content.h"
#include "kanmon/frame.h"
#include "kanmon/json.h"
#include "kanmon/tree.h"
#include "kanmon/writer.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/request.h"
#include "tools/kanmon/terminal.h"

#define INPUT_MAX_BYTES KMN_CONTENT_MAX_BYTES
#define KEY_FILE_MAX_BYTES 16384u
#define HASH_WORD "sha256:"

int
kmn_attach_sources(const struct kmn_attach_files *files)
{
	return (files->file != NULL) + (files->certificate != NULL) + (files->csr != NULL);
}

/* The file itself, or the part of it that is signed. */
static kmn_err
read_data(const struct kmn_attach_files *files, uint8_t **data_out, size_t *len_out)
{
	const char *path = files->file != NULL          ? files->file
			   : files->certificate != NULL ? files->certificate
							: files->csr;
	char *bytes;
	size_t len;
	kmn_err e;

	if (path == NULL)
		return KMN_OK;
	if ((e = kmn_file_read_or_say(path, INPUT_MAX_BYTES, &bytes, &len)) != KMN_OK)
		return e;
	if (files->file != NULL) {
		*data_out = (uint8_t *)bytes;
		*len_out = len;
		return KMN_OK;
	}
	if (files->certificate != NULL)
		e = kmn_content_tbs_of((uint8_t *)bytes, len, data_out, len_out);
	else
		e = kmn_content_info_of((uint8_t *)bytes, len, data_out, len_out);
	if (e != KMN_OK)
		kmn_fail("%s is no %s", path, files->certificate != NULL ? "certificate" : "certificate request");
	free(bytes);
	return e;
}

static kmn_err
hash_key(const char *bytes, size_t len, uint8_t out[KMN_HASH_BYTES])
{
	BIO *bio = BIO_new_mem_buf(bytes, (int)len);
	EVP_PKEY *key = NULL;
	uint8_t *der = NULL;
	int n = -1;

	if (bio != NULL && (key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL)) == NULL && BIO_reset(bio) == 1)
		key = d2i_PUBKEY_bio(bio, NULL);
	if (key != NULL && (n = i2d_PUBKEY(key, &der)) > 0)
		kmn_sha256(der, (size_t)n, out);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	BIO_free(bio);
	return n > 0 ? KMN_OK : KMN_E_MALFORMED;
}

static kmn_err
read_key(const char *word, struct kmn_attached *out)
{
	size_t skip = sizeof(HASH_WORD) - 1, n = 0, len;
	char *bytes;
	kmn_err e;

	if (word == NULL)
		return KMN_OK;
	out->has_key = true;
	if (strncmp(word, HASH_WORD, skip) == 0) {
		if (kmn_b64_parse(word + skip, strlen(word + skip), out->key_spki_sha256, KMN_HASH_BYTES, &n) ==
			KMN_OK &&
		    n == KMN_HASH_BYTES)
			return KMN_OK;
		kmn_fail("--applicant-key: '%s' is not the base64 of a SHA-256", word + skip);
		return KMN_E_ARGUMENTS;
	}
	if ((e = kmn_file_read_or_say(word, KEY_FILE_MAX_BYTES, &bytes, &len)) != KMN_OK)
		return e;
	if ((e = hash_key(bytes, len, out->key_spki_sha256)) != KMN_OK)
		kmn_fail("%s is no public key", word);
	free(bytes);
	return e;
}

kmn_err
kmn_attach_read(const struct kmn_attach_files *files, struct kmn_attached *out)
{
	char *bytes;
	kmn_err e;

	*out = (struct kmn_attached){.data = NULL};
	if (files->application != NULL && strlen(files->application) >= sizeof(out->application)) {
		kmn_fail("--application: longer than %u bytes", KMN_APPLICATION_MAX_BYTES);
		return KMN_E_ARGUMENTS;
	}
	if (files->application != NULL)
		strcpy(out->application, files->application);
	if ((e = read_data(files, &out->data, &out->data_len)) == KMN_OK && files->econtent != NULL &&
	    (e = kmn_file_read_or_say(files->econtent, INPUT_MAX_BYTES, &bytes, &out->econtent_len)) == KMN_OK)
		out->econtent = (uint8_t *)bytes;
	if (e == KMN_OK)
		e = read_key(files->applicant_key, out);
	if (e != KMN_OK)
		kmn_attached_clear(out);
	return e;
}

void
kmn_attach_print(const struct kmn_attached *a)
{
	struct kmn_material m = {a->data, a->data_len, a->econtent, a->econtent_len};
	struct kmn_content *content;

	if (a->data == NULL)
		return;
	if (kmn_content_decode(&m, &content) != KMN_OK) {
		printf("The content (%zu bytes) has no known form; custodians will see its hash only.\n", a->data_len);
		return;
	}
	printf(
	    "input-kind %s\n%s", kmn_content_input_kind(kmn_content_facts(content)->kind), kmn_content_lines(content));
	kmn_content_free(content);
}

static int
attach(uint64_t id, const struct kmn_attach_files *files, bool json)
{
	struct kmn_attached attached;
	struct kmn_writer fields;
	json_t *answer = NULL;
	kmn_err e;

	kmn_writer_init(&fields, KMN_FRAME_MAX_BYTES);
	if ((e = kmn_attach_read(files, &attached)) == KMN_OK) {
		kmn_writer_u64(&fields, id);
		kmn_attached_put(&fields, &attached);
		if ((e = fields.err) == KMN_OK)
			e = kmn_gateway_ask_once(NULL, KMN_ADMIN_ATTACH, &fields, &answer);
	}
	if (e == KMN_OK && json) {
		kmn_print_json(json_incref(answer));
	} else if (e == KMN_OK) {
		kmn_attach_print(&attached);
		printf("Request %" PRIu64 " has its content and is %s now.\n", id,
		    json_string_value(json_object_get(answer, "state")));
	}
	json_decref(answer);
	kmn_writer_clear(&fields);
	kmn_attached_clear(&attached);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}

int
kmn_cmd_attach(int argc, char **argv)
{
	struct kmn_attach_files files = {0};
	const char *word;
	bool json = false;
	uint64_t id;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("file", "FILE", "the bytes that were hashed", &files.file),
	    KMN_OPTION_TEXT("tbs-from", "CERT", "what this pre-certificate signs", &files.certificate),
	    KMN_OPTION_TEXT("csr-info-from", "CSR", "what this certificate request signs", &files.csr),
	    KMN_ATTACH_OPTIONS(files),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "attach", options, KMN_COUNT_OF(options), &word, 1, 1);

	if (verdict != KMN_GO_ON || (verdict = kmn_request_number("attach", word, &id)) != KMN_GO_ON)
		return verdict;
	if (kmn_attach_sources(&files) > 1 || (kmn_attach_sources(&files) == 0 && files.econtent == NULL))
		return kmn_usage("attach", "one of --file, --tbs-from and --csr-info-from is needed, or --econtent");
	return attach(id, &files, json);
}
