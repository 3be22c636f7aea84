/* kanmon custodian: a person's sealed signing key, the identity of their terminal, and who the custodians are. */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/keyfile.h"
#include "kanmon/policy.h"
#include "kanmon/sealedpin.h"
#include "tools/kanmon/certificate.h"
#include "tools/kanmon/connection.h"
#include "tools/kanmon/enrol.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/terminal.h"

#define POLICY_LINES_MAX_BYTES 4096
#define CARD_LINES_MAX_BYTES 8192

/* What the person signs with; all NULL: a new key file. */
struct means {
	struct kmn_card_place card;
	const char *webauthn, *origin, *rp_id;
	const char *passphrase_file;
	bool pkcs1, quick;
};

struct enrolment {
	const char *name, *person, *dir;
	struct kmn_certificate terminal;
	char *sealed; /* NULL: the key is on a card or security key */
	char vkey[KMN_EVIDENCE_VKEY_MAX_BYTES + 1];
	char share_key[sodium_base64_ENCODED_LEN(KMN_SHARE_KEY_BYTES, sodium_base64_VARIANT_ORIGINAL)]; /* "": none */
	char policy[POLICY_LINES_MAX_BYTES], card[CARD_LINES_MAX_BYTES];
};

static kmn_err
make_file(struct enrolment *who, const struct means *means)
{
	uint8_t random[KMN_KEYFILE_RANDOM_BYTES], share_key[KMN_SHARE_KEY_BYTES];
	char *passphrase, *vkey = NULL;
	kmn_err e = kmn_passphrase_get("New passphrase for the signing key", means->passphrase_file, true, &passphrase);

	if (e != KMN_OK)
		return e;
	randombytes_buf(random, sizeof(random));
	kmn_keyfile_seed_share_key(random, share_key, NULL);
	sodium_bin2base64(
	    who->share_key, sizeof(who->share_key), share_key, sizeof(share_key), sodium_base64_VARIANT_ORIGINAL);
	e = kmn_keyfile_seal(who->name, random, passphrase, strlen(passphrase),
	    means->quick ? KMN_KEYFILE_TESTING : KMN_KEYFILE_MODERATE, &who->sealed);
	sodium_free(passphrase);
	if (e == KMN_OK && (e = kmn_keyfile_public(who->sealed, strlen(who->sealed), &vkey)) == KMN_OK)
		(void)snprintf(who->vkey, sizeof(who->vkey), "%s", vkey);
	free(vkey);
	return e;
}

/* The lines of NAME.conf that say which card it is. */
static kmn_err
write_card_lines(struct enrolment *who, const struct kmn_card_place *card)
{
	if (!kmn_settings_can_hold(card->module) || !kmn_settings_can_hold(card->token) ||
	    !kmn_settings_can_hold(card->key)) {
		kmn_fail("a quotation mark, '$' or backslash cannot stand in a card's names");
		return KMN_E_ARGUMENTS;
	}
	return snprintf(who->card, sizeof(who->card), "card = \"%s\"\ncard-token = \"%s\"\ncard-key = \"%s\"\n",
		   card->module, card->token, card->key) < (int)sizeof(who->card)
		   ? KMN_OK
		   : KMN_E_TOO_BIG;
}

static kmn_err
make_key(struct enrolment *who, const struct means *means)
{
	struct kmn_evidence_key key;
	kmn_err e;

	if (means->card.module == NULL && means->webauthn == NULL)
		return make_file(who, means);
	if (means->card.module != NULL) {
		if ((e = write_card_lines(who, &means->card)) == KMN_OK)
			e = kmn_enrol_card(who->name, &means->card, means->passphrase_file, means->pkcs1, &key);
	} else {
		e = kmn_enrol_webauthn(who->name, means->webauthn, means->origin, means->rp_id, &key);
	}
	if (e == KMN_OK)
		kmn_evidence_key_format(&key, who->vkey);
	return e;
}

static kmn_err
make_policy_lines(struct enrolment *who)
{
	int n = snprintf(who->policy, sizeof(who->policy), "custodian %s person:%s %s\nterminal %s person:%s spki:%s\n",
	    who->name, who->person, who->vkey, who->name, who->person, who->terminal.spki_b64);

	if (n > 0 && n < (int)sizeof(who->policy) && who->share_key[0] != '\0')
		n += snprintf(
		    who->policy + n, sizeof(who->policy) - (size_t)n, "share-key %s %s\n", who->name, who->share_key);

	return n > 0 && n < (int)sizeof(who->policy) ? KMN_OK : KMN_E_TOO_BIG;
}

/* All files that there is something for, or, with what was made removed, none. */
static kmn_err
write_files(const struct enrolment *who)
{
	char vkey_line[KMN_EVIDENCE_VKEY_MAX_BYTES + 2];
	const struct {
		const char *ending, *text;
		mode_t mode;
	} files[] = {
	    {".key", who->sealed, 0600},
	    {".tls.key", who->terminal.key_pem, 0600},
	    {".crt", who->terminal.pem, 0644},
	    {".vkey", vkey_line, 0644},
	    {".policy", who->policy, 0644},
	    {".card", who->card[0] != '\0' ? who->card : NULL, 0644},
	};
	char path[KMN_PATH_MAX_BYTES];
	kmn_err e = kmn_folder_make(who->dir);
	size_t done = 0;

	(void)snprintf(vkey_line, sizeof(vkey_line), "%s\n", who->vkey);
	for (; e == KMN_OK && done < KMN_COUNT_OF(files); done++) {
		if (files[done].text == NULL)
			continue;
		e = kmn_path(path, who->dir, who->name, files[done].ending);
		if (e == KMN_OK)
			e = kmn_file_create(path, files[done].text, strlen(files[done].text), files[done].mode);
		if (e != KMN_OK)
			break;
	}
	for (size_t i = 0; e != KMN_OK && i < done; i++)
		if (files[i].text != NULL && kmn_path(path, who->dir, who->name, files[i].ending) == KMN_OK)
			unlink(path);
	return e;
}

static void
print_made(const struct enrolment *who, const struct means *means)
{
	printf("Made %s/%s%s.vkey, .crt, .tls.key. The policy needs:\n\n%s", who->dir, who->name,
	    who->sealed != NULL    ? "key (sealed), "
	    : who->card[0] != '\0' ? ".card, "
				   : "",
	    who->policy);
	if (means->webauthn != NULL)
		printf("\nand, once for all security keys there, a line like:\n\nwebauthn console origin %s rp-id %s\n",
		    means->origin, means->rp_id);
}

static int
enrol(struct enrolment *who, unsigned long days, const struct means *means, bool json)
{
	kmn_err e = kmn_certificate_new(who->name, days, &who->terminal);

	if (e == KMN_OK && (e = make_key(who, means)) == KMN_OK && (e = make_policy_lines(who)) == KMN_OK)
		e = write_files(who);
	if (e == KMN_OK && json)
		kmn_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", who->name, "person", who->person, "vkey",
		    who->vkey, "terminal_spki_sha256", who->terminal.spki_b64, "policy", who->policy));
	else if (e == KMN_OK)
		print_made(who, means);
	return e == KMN_OK ? KMN_EXIT_OK : kmn_fail("custodian %s: %s", who->name, kmn_err_text(e));
}

/* What goes together on the command line. */
static const char *
means_wrong(const struct means *m)
{
	if ((m->card.module != NULL) != (m->card.token != NULL) || (m->card.module != NULL) != (m->card.key != NULL))
		return "--card, --token and --key go together";
	if ((m->webauthn != NULL) != (m->origin != NULL) || (m->webauthn != NULL) != (m->rp_id != NULL))
		return "--webauthn, --origin and --rp-id go together";
	if (m->card.module != NULL && m->webauthn != NULL)
		return "one key is on a card or on a security key";
	return m->pkcs1 && m->card.module == NULL ? "--pkcs1 is said of a card" : NULL;
}

int
kmn_cmd_custodian_new(int argc, char **argv)
{
	struct enrolment who = {0};
	struct means means = {0};
	unsigned long days = KMN_CERTIFICATE_DAYS;
	const char *wrong;
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("person", "ID", "the person's number in the register of persons", &who.person),
	    KMN_OPTION_TEXT("out", "DIR", "folder for the files; made when it is missing", &who.dir),
	    KMN_OPTION_NUMBER("days", "N", "how long the terminal's certificate is valid (730)", &days),
	    KMN_OPTION_TEXT("card", "MODULE", "the key is on a card: its PKCS#11 module", &means.card.module),
	    KMN_OPTION_TEXT("token", "LABEL", "label of the card", &means.card.token),
	    KMN_OPTION_TEXT("key", "LABEL", "label of the key on the card", &means.card.key),
	    KMN_OPTION_FLAG("pkcs1", "an RSA key signs by PKCS#1 v1.5, though the card can PSS", &means.pkcs1),
	    KMN_OPTION_TEXT(
		"webauthn", "FILE", "the key is on a security key: its registration (JSON)", &means.webauthn),
	    KMN_OPTION_TEXT("origin", "URL", "where it was registered", &means.origin),
	    KMN_OPTION_TEXT("rp-id", "ID", "for which relying party", &means.rp_id),
	    KMN_OPTION_TEXT("passphrase-file", "FILE", "file with the passphrase or PIN, instead of asking",
		&means.passphrase_file),
	    KMN_OPTION_FLAG("weak-seal", "seal quickly and weakly, for tests only", &means.quick),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "custodian new", options, KMN_COUNT_OF(options), &who.name, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (who.person == NULL || who.dir == NULL || days == 0)
		return kmn_usage("custodian new", "--person, --out and at least one day are needed");
	if (strchr(who.name, '/') != NULL || who.name[0] == '.')
		return kmn_usage("custodian new", "'%s' cannot be the name of files", who.name);
	if ((wrong = means_wrong(&means)) != NULL)
		return kmn_usage("custodian new", "%s", wrong);
	verdict = enrol(&who, days, &means, json);
	kmn_certificate_clear(&who.terminal);
	free(who.sealed);
	return verdict;
}

/* One object per key, with the person's name; a person may have several. */
static json_t *
custodians_json(const struct kmn_policy *policy)
{
	const struct kmn_policy_custodian *at;
	json_t *list = json_array();

	for (size_t i = 0; (at = kmn_policy_custodian_at(policy, i)) != NULL; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "name", at->name, "person", at->person,
						"kind", at->auditor ? "auditor" : "custodian", "vkey", at->vkey));
	return list;
}

int
kmn_cmd_custodian_list(int argc, char **argv)
{
	const char *as = NULL, *file = NULL;
	const struct kmn_policy_custodian *at;
	struct kmn_policy_file *policy;
	bool json = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "whose files to use (default: KANMON_CUSTODIAN)", &as),
	    KMN_OPTION_TEXT("policy", "FILE", "read this policy instead of asking the gateway", &file),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "custodian list", options, KMN_COUNT_OF(options), NULL, 0, 0);

	if (verdict != KMN_GO_ON)
		return verdict;
	if ((file != NULL ? kmn_policy_file_read(file, &policy) : kmn_policy_file_ask(as, &policy)) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (json) {
		kmn_print_json(custodians_json(policy->policy));
	} else {
		printf("%-16s %-12s %-10s %s\n", "NAME", "PERSON", "KIND", "KEY");
		for (size_t i = 0; (at = kmn_policy_custodian_at(policy->policy, i)) != NULL; i++)
			printf("%-16s %-12s %-10s %s\n", at->name, at->person, at->auditor ? "auditor" : "custodian",
			    at->vkey);
	}
	kmn_policy_file_free(policy);
	return KMN_EXIT_OK;
}

/* NAME.card has the lines about the card, where there is one; *lines_out NULL: there is none. */
static kmn_err
read_card(const char *as, char **lines_out)
{
	char path[KMN_PATH_MAX_BYTES];
	size_t len;
	kmn_err e = kmn_path(path, NULL, as, ".card");

	*lines_out = NULL;
	if (e == KMN_OK)
		e = kmn_file_read(path, CARD_LINES_MAX_BYTES, lines_out, &len);
	return e == KMN_E_NOT_FOUND ? KMN_OK : e;
}

int
kmn_cmd_custodian_config(int argc, char **argv)
{
	char path[KMN_PATH_MAX_BYTES], certificate[KMN_PATH_MAX_BYTES], key[KMN_PATH_MAX_BYTES];
	const char *as, *name, *slash;
	struct kmn_connection connection = {0};
	kmn_err e;
	const struct kmn_option options[] = {KMN_CONNECTION_OPTIONS(&connection)};
	int verdict = kmn_options_parse(argc, argv, "custodian config", options, KMN_COUNT_OF(options), &as, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	slash = strrchr(as, '/');
	name = slash != NULL ? slash + 1 : as;
	if (kmn_path(path, NULL, as, ".conf") != KMN_OK || kmn_path(certificate, NULL, name, ".crt") != KMN_OK ||
	    kmn_path(key, NULL, name, ".tls.key") != KMN_OK)
		return kmn_usage("custodian config", "the path is too long");
	connection.certificate = certificate;
	connection.key = key;
	if ((e = read_card(as, &connection.more)) != KMN_OK)
		return kmn_fail("%s was not written: %s", path, kmn_err_text(e));
	verdict = kmn_connection_write("custodian config", &connection, path);
	free(connection.more);
	return verdict;
}
