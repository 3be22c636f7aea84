/* kanmon custodian: a person's sealed signing key, the identity of their terminal, and who the custodians are. */
#include "config.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/keyfile.h"
#include "kanmon/policy.h"
#include "tools/kanmon/certificate.h"
#include "tools/kanmon/connection.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/terminal.h"

#define POLICY_LINES_MAX_BYTES 2048

struct enrolment {
	const char *name, *person, *dir;
	struct kmn_certificate terminal;
	char *sealed, *vkey;
	char policy[POLICY_LINES_MAX_BYTES];
};

static kmn_err
make_key(struct enrolment *who, const char *passphrase_file, bool quick)
{
	uint8_t random[KMN_KEYFILE_RANDOM_BYTES];
	char *passphrase;
	kmn_err e = kmn_passphrase_get("New passphrase for the signing key", passphrase_file, true, &passphrase);

	if (e != KMN_OK)
		return e;
	randombytes_buf(random, sizeof(random));
	e = kmn_keyfile_seal(who->name, random, passphrase, strlen(passphrase),
	    quick ? KMN_KEYFILE_TESTING : KMN_KEYFILE_MODERATE, &who->sealed);
	sodium_free(passphrase);
	if (e == KMN_OK)
		e = kmn_keyfile_public(who->sealed, strlen(who->sealed), &who->vkey);
	return e;
}

static kmn_err
make_policy_lines(struct enrolment *who)
{
	int n = snprintf(who->policy, sizeof(who->policy), "custodian %s person:%s %s\nterminal %s person:%s spki:%s\n",
	    who->name, who->person, who->vkey, who->name, who->person, who->terminal.spki_b64);

	return n > 0 && n < (int)sizeof(who->policy) ? KMN_OK : KMN_E_TOO_BIG;
}

/* All five files, or, with what was made removed, none. */
static kmn_err
write_files(const struct enrolment *who)
{
	char vkey_line[1024];
	const struct {
		const char *ending, *text;
		mode_t mode;
	} files[] = {
	    {".key", who->sealed, 0600},
	    {".tls.key", who->terminal.key_pem, 0600},
	    {".crt", who->terminal.pem, 0644},
	    {".vkey", vkey_line, 0644},
	    {".policy", who->policy, 0644},
	};
	char path[KMN_PATH_MAX_BYTES];
	kmn_err e = kmn_folder_make(who->dir);
	size_t done = 0;

	if (e == KMN_OK && snprintf(vkey_line, sizeof(vkey_line), "%s\n", who->vkey) >= (int)sizeof(vkey_line))
		e = KMN_E_TOO_BIG;
	for (; e == KMN_OK && done < KMN_COUNT_OF(files); done++) {
		e = kmn_path(path, who->dir, who->name, files[done].ending);
		if (e == KMN_OK)
			e = kmn_file_create(path, files[done].text, strlen(files[done].text), files[done].mode);
		if (e != KMN_OK)
			break;
	}
	for (size_t i = 0; e != KMN_OK && i < done; i++)
		if (kmn_path(path, who->dir, who->name, files[i].ending) == KMN_OK)
			unlink(path);
	return e;
}

static int
enrol(struct enrolment *who, unsigned long days, const char *passphrase_file, bool quick, bool json)
{
	kmn_err e = kmn_certificate_new(who->name, days, &who->terminal);

	if (e == KMN_OK && (e = make_key(who, passphrase_file, quick)) == KMN_OK &&
	    (e = make_policy_lines(who)) == KMN_OK)
		e = write_files(who);
	if (e == KMN_OK && json)
		kmn_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", who->name, "person", who->person, "vkey",
		    who->vkey, "terminal_spki_sha256", who->terminal.spki_b64, "policy", who->policy));
	else if (e == KMN_OK)
		printf("Made %s/%s.key (sealed), .vkey, .crt, .tls.key. The policy needs:\n\n%s", who->dir, who->name,
		    who->policy);
	return e == KMN_OK ? KMN_EXIT_OK : kmn_fail("custodian %s: %s", who->name, kmn_err_text(e));
}

int
kmn_cmd_custodian_new(int argc, char **argv)
{
	struct enrolment who = {0};
	const char *passphrase_file = NULL;
	unsigned long days = KMN_CERTIFICATE_DAYS;
	bool json = false, quick = false;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("person", "ID", "the person's number in the register of persons", &who.person),
	    KMN_OPTION_TEXT("out", "DIR", "folder for the files; made when it is missing", &who.dir),
	    KMN_OPTION_NUMBER("days", "N", "how long the terminal's certificate is valid (730)", &days),
	    KMN_OPTION_TEXT("passphrase-file", "FILE", "file with the passphrase, instead of asking", &passphrase_file),
	    KMN_OPTION_FLAG("weak-seal", "seal quickly and weakly, for tests only", &quick),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "custodian new", options, KMN_COUNT_OF(options), &who.name, 1, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (who.person == NULL || who.dir == NULL || days == 0)
		return kmn_usage("custodian new", "--person, --out and at least one day are needed");
	if (strchr(who.name, '/') != NULL || who.name[0] == '.')
		return kmn_usage("custodian new", "'%s' cannot be the name of files", who.name);
	verdict = enrol(&who, days, passphrase_file, quick, json);
	kmn_certificate_clear(&who.terminal);
	free(who.sealed);
	free(who.vkey);
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

int
kmn_cmd_custodian_config(int argc, char **argv)
{
	char path[KMN_PATH_MAX_BYTES], certificate[KMN_PATH_MAX_BYTES], key[KMN_PATH_MAX_BYTES];
	const char *as, *name, *slash;
	struct kmn_connection connection = {0};
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
	return kmn_connection_write("custodian config", &connection, path);
}
