/* kanmon request: ask ahead for a signature, and look after one's requests. */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/frame.h"
#include "kanmon/statement.h"
#include "tools/kanmon/attach.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/gateway.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/request.h"
#include "tools/kanmon/terminal.h"

#define KEY_ID_MAX_BYTES 256u
#define STATEMENT_TRIES 50
#define VERSIONS_MAX 256 /* of the policy, that are fetched */

int
kmn_request_number(const char *command, const char *word, uint64_t *id_out)
{
	char *end;

	*id_out = strtoull(word, &end, 10);
	if (word[0] < '0' || word[0] > '9' || *end != '\0')
		return kmn_usage(command, "'%s' is not the number of a request", word);
	return KMN_GO_ON;
}

struct asked {
	const char *window, *token, *key, *key_id, *mechanism, *purpose;
	struct kmn_attach_files files;
	unsigned long lifetime_s;
};

static kmn_err
put_fields(struct kmn_writer *w, const struct asked *asked, const struct kmn_attached *attached)
{
	struct kmn_attached beside = *attached;
	uint8_t nonce[KMN_HASH_BYTES], id[KEY_ID_MAX_BYTES];
	size_t id_len = 0;

	beside.data = NULL; /* it is a field of its own */
	beside.data_len = 0;

	if (asked->key_id != NULL &&
	    (sodium_hex2bin(id, sizeof(id), asked->key_id, strlen(asked->key_id), ": ", &id_len, NULL) != 0 ||
		id_len == 0)) {
		kmn_fail("--key-id wants hexadecimal");
		return KMN_E_ARGUMENTS;
	}
	randombytes_buf(nonce, sizeof(nonce));
	if (asked->window != NULL)
		kmn_writer_text(w, asked->window);
	kmn_writer_text(w, asked->token);
	kmn_writer_text(w, asked->key != NULL ? asked->key : "");
	kmn_writer_bytes(w, id, id_len);
	if (asked->window == NULL) {
		kmn_writer_text(w, asked->mechanism);
		kmn_writer_bytes(w, attached->data, attached->data_len);
	}
	kmn_writer_text(w, asked->purpose != NULL ? asked->purpose : "");
	kmn_writer_u32(w, (uint32_t)asked->lifetime_s);
	kmn_writer_raw(w, nonce, sizeof(nonce));
	if (asked->window == NULL)
		kmn_attached_put(w, &beside);
	return w->err;
}

static int
ask_new(const struct asked *asked, bool json)
{
	struct kmn_attached attached = {.data = NULL};
	struct kmn_writer fields;
	json_t *answer = NULL;
	kmn_err e;

	kmn_writer_init(&fields, KMN_FRAME_MAX_BYTES);
	if ((e = kmn_attach_read(&asked->files, &attached)) != KMN_OK ||
	    (e = put_fields(&fields, asked, &attached)) != KMN_OK ||
	    (e = kmn_gateway_ask_once(NULL, asked->window != NULL ? KMN_ADMIN_WINDOW_NEW : KMN_ADMIN_REQUEST_NEW,
		 &fields, &answer)) != KMN_OK)
		goto done;
	if (json) {
		kmn_print_json(json_incref(answer));
	} else {
		kmn_attach_print(&attached);
		printf("Request %" JSON_INTEGER_FORMAT " waits for its custodians.\n",
		    json_integer_value(json_object_get(answer, "id")));
	}
done:
	json_decref(answer);
	kmn_writer_clear(&fields);
	kmn_attached_clear(&attached);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}

int
kmn_cmd_request_new(int argc, char **argv)
{
	struct asked asked = {0};
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("window", "RULE", "not one signature, but the window of this rule", &asked.window),
	    KMN_OPTION_TEXT("token", "LABEL", "label of the token", &asked.token),
	    KMN_OPTION_TEXT("key", "LABEL", "label of the key", &asked.key),
	    KMN_OPTION_TEXT("key-id", "HEX", "CKA_ID of the key, where the label is not enough", &asked.key_id),
	    KMN_OPTION_TEXT("mechanism", "NAME", "as in PKCS#11, over the data: CKM_SHA384_RSA_PKCS", &asked.mechanism),
	    KMN_OPTION_TEXT("file", "FILE", "sign these bytes", &asked.files.file),
	    KMN_OPTION_TEXT("tbs-from", "CERT", "sign what this pre-certificate signs", &asked.files.certificate),
	    KMN_OPTION_TEXT("csr-info-from", "CSR", "sign what this certificate request signs", &asked.files.csr),
	    KMN_ATTACH_OPTIONS(asked.files),
	    KMN_OPTION_TEXT("purpose", "TEXT", "why, for the custodians", &asked.purpose),
	    KMN_OPTION_NUMBER("lifetime", "SECONDS", "how long it stays open (what the rule says)", &asked.lifetime_s),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "request new", options, KMN_COUNT_OF(options), NULL, 0, 0);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (asked.window != NULL && (asked.token == NULL || (asked.key == NULL && asked.key_id == NULL)))
		return kmn_usage("request new", "--window wants --token and --key (or --key-id) with it");
	if (asked.window != NULL &&
	    (asked.mechanism || kmn_attach_sources(&asked.files) > 0 || asked.files.econtent != NULL))
		return kmn_usage("request new", "a window has neither mechanism nor data: the rule bounds them");
	if (asked.window != NULL)
		return ask_new(&asked, json);
	if (asked.token == NULL || (asked.key == NULL && asked.key_id == NULL) || asked.mechanism == NULL)
		return kmn_usage("request new", "--token, --key (or --key-id) and --mechanism are needed");
	if (kmn_attach_sources(&asked.files) != 1)
		return kmn_usage("request new", "one of --file, --tbs-from and --csr-info-from is needed");
	return ask_new(&asked, json);
}

int
kmn_cmd_request_list(int argc, char **argv)
{
	const char *as = NULL;
	struct kmn_writer fields;
	json_t *answer = NULL, *at;
	bool json = false, all = false;
	size_t i;
	kmn_err e;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "custodian who asks (default: KANMON_CUSTODIAN; else the client)", &as),
	    KMN_OPTION_FLAG("all", "also those that ended", &all),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "request list", options, KMN_COUNT_OF(options), NULL, 0, 0);

	if (verdict != KMN_GO_ON)
		return verdict;
	kmn_writer_init(&fields, 1);
	kmn_writer_bool(&fields, all);
	e = kmn_gateway_ask_once(kmn_custodian(as), KMN_ADMIN_REQUEST_LIST, &fields, &answer);
	kmn_writer_clear(&fields);
	if (e != KMN_OK)
		return KMN_EXIT_FAILED;
	if (json) {
		kmn_print_json(answer);
		return KMN_EXIT_OK;
	}
	json_array_foreach(json_object_get(answer, "requests"), i, at)
	{
		if (i > 0)
			putchar('\n');
		kmn_request_print(at);
	}
	if (json_array_size(json_object_get(answer, "requests")) == 0)
		printf("No request waits.\n");
	json_decref(answer);
	return KMN_EXIT_OK;
}

kmn_err
kmn_request_fetch(struct kmn_gateway *gateway, uint64_t id, json_t **answer_out)
{
	struct kmn_writer fields;
	kmn_err e;

	kmn_writer_init(&fields, sizeof(id));
	kmn_writer_u64(&fields, id);
	e = kmn_gateway_ask(gateway, KMN_ADMIN_REQUEST_SHOW, &fields, answer_out);
	kmn_writer_clear(&fields);
	return e;
}

/* ---- all that is needed to answer it ----------------------------------------------------------------------------- */

/* A statement follows its request by a moment. */
static kmn_err
fetch_with_statement(struct kmn_gateway *gateway, uint64_t id, json_t **answer_out)
{
	static const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
	kmn_err e;

	for (unsigned tries = 0; (e = kmn_request_fetch(gateway, id, answer_out)) == KMN_OK; tries++) {
		if (json_object_get(*answer_out, "statement") != NULL || tries == STATEMENT_TRIES ||
		    strcmp(kmn_json_text(json_object_get(*answer_out, "request"), "state"), "open") != 0)
			break;
		json_decref(*answer_out);
		nanosleep(&pause, NULL);
	}
	return e;
}

/* The versions before that of the answer; those that the gateway does not give are not there. */
static kmn_err
fetch_policies(struct kmn_gateway *gateway, json_t *shown)
{
	const char *line = strstr(kmn_json_text(shown, "policy"), "\nversion ");
	unsigned long version = line == NULL ? 0 : strtoul(line + strlen("\nversion "), NULL, 10);
	json_t *notes = json_array(), *answer;
	struct kmn_writer fields;
	kmn_err e = KMN_OK;

	for (uint64_t v = 1; e == KMN_OK && v < version && version <= VERSIONS_MAX; v++) {
		kmn_writer_init(&fields, sizeof(v));
		kmn_writer_u64(&fields, v);
		if ((e = kmn_gateway_ask(gateway, KMN_ADMIN_POLICY, &fields, &answer)) == KMN_OK) {
			(void)json_array_append(notes, json_object_get(answer, "note"));
			json_decref(answer);
		}
		kmn_writer_clear(&fields);
	}
	(void)json_object_set_new(shown, "policies", notes);
	return e;
}

kmn_err
kmn_request_fetch_all(struct kmn_gateway *gateway, uint64_t id, json_t **answer_out)
{
	kmn_err e = fetch_with_statement(gateway, id, answer_out);

	if (e != KMN_OK || (e = fetch_policies(gateway, *answer_out)) == KMN_OK)
		return e;
	json_decref(*answer_out);
	*answer_out = NULL;
	return e;
}

kmn_err
kmn_request_submit(struct kmn_gateway *gateway, const char *note, size_t len, json_t **answer_out)
{
	struct kmn_writer fields;
	kmn_err e;

	kmn_writer_init(&fields, KMN_ADMIN_NOTE_MAX_BYTES + sizeof(uint32_t));
	kmn_writer_bytes(&fields, note, len);
	e = kmn_gateway_ask(gateway, KMN_ADMIN_NOTE_SUBMIT, &fields, answer_out);
	kmn_writer_clear(&fields);
	return e;
}

int
kmn_cmd_request_withdraw(int argc, char **argv)
{
	const char *reason = "", *word;
	struct kmn_writer fields;
	json_t *answer = NULL;
	bool json = false;
	uint64_t id;
	kmn_err e;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("reason", "TEXT", "why, for the record", &reason),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "request withdraw", options, KMN_COUNT_OF(options), &word, 1, 1);

	if (verdict != KMN_GO_ON || (verdict = kmn_request_number("request withdraw", word, &id)) != KMN_GO_ON)
		return verdict;
	kmn_writer_init(&fields, 4096);
	kmn_writer_u64(&fields, id);
	kmn_writer_text(&fields, reason);
	e = kmn_gateway_ask_once(NULL, KMN_ADMIN_REQUEST_WITHDRAW, &fields, &answer);
	kmn_writer_clear(&fields);
	if (e != KMN_OK)
		return KMN_EXIT_FAILED;
	if (json) {
		kmn_print_json(answer);
		return KMN_EXIT_OK;
	}
	printf("Request %" PRIu64 " is withdrawn.\n", id);
	json_decref(answer);
	return KMN_EXIT_OK;
}
