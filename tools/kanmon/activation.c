/* kanmon activation: a token's PIN under shares of custodians. kanmon custodian share-key: the key that one is dealt to. */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/note.h"
#include "kanmon/sealedpin.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/signing_key.h"
#include "tools/kanmon/terminal.h"

#define B64_BYTES sodium_base64_ENCODED_LEN(KMN_HASH_BYTES, sodium_base64_VARIANT_ORIGINAL)

struct sealing {
	const char *token, *policy, *group, *out, *pin_file;
	unsigned long least;
	bool json;
	const char *name[KMN_SEALED_PIN_CUSTODIANS_MAX];
	uint8_t share_key[KMN_SEALED_PIN_CUSTODIANS_MAX][KMN_SHARE_KEY_BYTES];
	unsigned count;
};

/* The members of the group, each person once; each must have a share key. */
static kmn_err
gather(struct sealing *s, const struct kmn_policy *policy)
{
	const struct kmn_policy_custodian *at;

	for (size_t i = 0; (at = kmn_policy_custodian_at(policy, i)) != NULL; i++) {
		const uint8_t *key = kmn_policy_share_key(policy, at->name);
		bool there = false;

		for (unsigned n = 0; n < s->count; n++)
			there = there || strcmp(s->name[n], at->name) == 0;
		if (there || !kmn_policy_is_member(policy, s->group, at->name))
			continue;
		if (key == NULL || s->count == KMN_SEALED_PIN_CUSTODIANS_MAX) {
			kmn_fail(
			    key == NULL ? "%s has no share-key line in the policy" : "%s is one too many", at->name);
			return KMN_E_NOT_FOUND;
		}
		memcpy(s->share_key[s->count], key, KMN_SHARE_KEY_BYTES);
		s->name[s->count++] = at->name;
	}
	if (s->count == 0 || s->least > s->count) {
		kmn_fail("group %s has %u persons, and %lu shares are to open it", s->group, s->count, s->least);
		return KMN_E_ARGUMENTS;
	}
	return KMN_OK;
}

static kmn_err
deal(const struct sealing *s, const struct kmn_policy *policy, char **text_out)
{
	struct kmn_deal d = {.origin = kmn_policy_origin(policy),
	    .token = s->token,
	    .made_ms = (int64_t)time(NULL) * 1000,
	    .least = (unsigned)s->least,
	    .count = s->count,
	    .name = s->name,
	    .share_key = s->share_key};
	uint8_t *random = sodium_malloc(KMN_DEAL_RANDOM_BYTES);
	char *pin = NULL;
	kmn_err e;

	if (random == NULL)
		return KMN_E_NO_MEMORY;
	if ((e = kmn_secret_get("PIN of the token's user", s->pin_file, true, &pin)) != KMN_OK)
		goto done;
	d.pin = pin;
	d.pin_len = strlen(pin);
	randombytes_buf(random, KMN_DEAL_RANDOM_BYTES);
	if ((e = kmn_sealed_pin_deal(&d, random, text_out)) != KMN_OK)
		kmn_fail("the PIN was not sealed: %s", kmn_err_text(e));
done:
	sodium_free(random);
	sodium_free(pin);
	return e;
}

static void
describe(const struct kmn_sealed_pin *pin, const char *path, bool json)
{
	const struct kmn_sealed_share *at;
	json_t *names = json_array();
	char sha256[B64_BYTES];
	size_t n = 0;

	sodium_bin2base64(
	    sha256, sizeof(sha256), kmn_sealed_pin_sha256(pin), KMN_HASH_BYTES, sodium_base64_VARIANT_ORIGINAL);
	for (; (at = kmn_sealed_pin_share_at(pin, n)) != NULL; n++)
		json_array_append_new(names, json_string(at->name));
	if (json) {
		kmn_print_json(json_pack("{s:s, s:s, s:s, s:i, s:o, s:s}", "file", path, "origin",
		    kmn_sealed_pin_origin(pin), "token", kmn_sealed_pin_token(pin), "least",
		    (int)kmn_sealed_pin_least(pin), "custodians", names, "sha256", sha256));
		return;
	}
	printf("%s: PIN of token %s of %s\nopened by %u of %zu:", path, kmn_sealed_pin_token(pin),
	    kmn_sealed_pin_origin(pin), kmn_sealed_pin_least(pin), n);
	for (size_t i = 0; i < n; i++)
		printf(" %s", json_string_value(json_array_get(names, i)));
	printf("\nstatements name it: sealed %u of %zu %s\n", kmn_sealed_pin_least(pin), n, sha256);
	json_decref(names);
}

static int
seal(struct sealing *s)
{
	struct kmn_policy_file *file = NULL;
	struct kmn_sealed_pin *pin = NULL;
	char *text = NULL;
	kmn_err e;

	if ((e = kmn_policy_file_read(s->policy, &file)) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (kmn_policy_token_named(file->policy, s->token) == NULL ||
	    !kmn_policy_has_login_quorum(file->policy, s->token)) {
		kmn_fail("the policy has no rule `per login` for a token %s", s->token);
		e = KMN_E_NOT_FOUND;
	}
	if (e == KMN_OK && (e = gather(s, file->policy)) == KMN_OK && (e = deal(s, file->policy, &text)) == KMN_OK &&
	    (e = kmn_file_create(s->out, text, strlen(text), 0644)) == KMN_OK &&
	    (e = kmn_sealed_pin_parse(text, strlen(text), &pin)) == KMN_OK)
		describe(pin, s->out, s->json);
	kmn_sealed_pin_free(pin);
	kmn_policy_file_free(file);
	free(text);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}

int
kmn_cmd_activation_seal(int argc, char **argv)
{
	struct sealing s = {0};
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("token", "TOKEN", "name of its line in the policy", &s.token),
	    KMN_OPTION_TEXT("policy", "FILE", "the policy whose custodians get shares", &s.policy),
	    KMN_OPTION_TEXT("group", "GROUP", "who gets a share", &s.group),
	    KMN_OPTION_NUMBER("least", "M", "how many shares open it", &s.least),
	    KMN_OPTION_TEXT("out", "FILE", "where the sealed PIN goes; must not be there", &s.out),
	    KMN_OPTION_TEXT("pin-file", "FILE", "file with the PIN, instead of asking", &s.pin_file),
	    KMN_OPTION_JSON(&s.json),
	};
	int verdict = kmn_options_parse(argc, argv, "activation seal", options, KMN_COUNT_OF(options), NULL, 0, 0);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (s.token == NULL || s.policy == NULL || s.group == NULL || s.out == NULL || s.least == 0)
		return kmn_usage("activation seal", "--token, --policy, --group, --least and --out are needed");
	if (sodium_init() < 0)
		return kmn_fail("libsodium does not start");
	return seal(&s);
}

int
kmn_cmd_activation_show(int argc, char **argv)
{
	struct kmn_sealed_pin *pin = NULL;
	const char *path;
	char *text = NULL;
	bool json = false;
	size_t len;
	const struct kmn_option options[] = {KMN_OPTION_JSON(&json)};
	int verdict = kmn_options_parse(argc, argv, "activation show", options, KMN_COUNT_OF(options), &path, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (kmn_file_read_or_say(path, KMN_SEALED_PIN_MAX_BYTES, &text, &len) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (kmn_sealed_pin_parse(text, len, &pin) != KMN_OK)
		verdict = kmn_fail("%s: is no sealed PIN", path);
	else
		describe(pin, path, json);
	kmn_sealed_pin_free(pin);
	free(text);
	return verdict == KMN_GO_ON ? KMN_EXIT_OK : verdict;
}

int
kmn_cmd_custodian_share_key(int argc, char **argv)
{
	const char *path, *passphrase_file = NULL;
	uint8_t public[KMN_SHARE_KEY_BYTES];
	struct kmn_keyfile *key;
	char b64[B64_BYTES];
	const struct kmn_option options[] = {KMN_OPTION_TEXT(
	    "passphrase-file", "FILE", "file with the passphrase, instead of asking", &passphrase_file)};
	int verdict = kmn_options_parse(argc, argv, "custodian share-key", options, KMN_COUNT_OF(options), &path, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (kmn_signing_key_open(path, passphrase_file, &key) != KMN_OK)
		return KMN_EXIT_FAILED;
	kmn_keyfile_share_key(key, public, NULL);
	sodium_bin2base64(b64, sizeof(b64), public, sizeof(public), sodium_base64_VARIANT_ORIGINAL);
	printf("share-key %s %s\n", kmn_keyfile_name(key), b64);
	kmn_keyfile_free(key);
	return KMN_EXIT_OK;
}
