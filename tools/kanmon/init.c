/* kanmon init: a new gateway. Everything that is made here is made once; the policy is pinned by the trust file. */
#include "config.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <pwd.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kanmon/log.h"
#include "kanmon/policy.h"
#include "tools/kanmon/certificate.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/terminal.h"

#define SETTINGS_MAX_BYTES 32768
#define SEED_TEXT_BYTES (KMN_B64_LEN(crypto_sign_SEEDBYTES) + 2) /* line end and NUL */

struct founding {
	const char *dir, *policy_path, *origin, *module, *init_args;
	const char *gate_user, *keeper_user, *worker_user, *courier_user;
	struct kmn_option_list listen, environment;
	unsigned long days;
	char module_path[PATH_MAX];
	struct kmn_policy_file *policy;
	struct kmn_certificate certificate;
	struct kmn_vkey log;
	uint8_t *secret; /* sodium_malloc: seed and public key */
	char *seed_text; /* sodium_malloc: what log.key holds */
};

static kmn_err
write_in(const struct founding *f, const char *name, const char *text, mode_t mode)
{
	char path[KMN_PATH_MAX_BYTES];
	kmn_err e = kmn_path(path, f->dir, name, NULL);

	return e != KMN_OK ? e : kmn_file_create(path, text, strlen(text), mode);
}

/* Complete as version 1, and of this gateway. */
static kmn_err
check_policy(struct founding *f)
{
	struct kmn_policy_error error = {0};
	struct kmn_policy *accepted;
	kmn_err e;

	if ((e = kmn_policy_file_read(f->policy_path, &f->policy)) != KMN_OK)
		return e;
	if ((e = kmn_policy_accept(f->policy->bytes, f->policy->len, NULL, &accepted, &error)) != KMN_OK) {
		kmn_fail("%s: %s", f->policy_path, error.text);
		return e;
	}
	kmn_policy_free(accepted);
	if (strcmp(kmn_policy_origin(f->policy->policy), f->origin) == 0)
		return KMN_OK;
	kmn_fail("the policy is for %s", kmn_policy_origin(f->policy->policy));
	return KMN_E_ARGUMENTS;
}

static kmn_err
make_keys(struct founding *f)
{
	uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
	kmn_err e;

	f->secret = sodium_malloc(crypto_sign_SECRETKEYBYTES);
	f->seed_text = sodium_malloc(SEED_TEXT_BYTES);
	if (f->secret == NULL || f->seed_text == NULL)
		return KMN_E_NO_MEMORY;
	crypto_sign_keypair(public_key, f->secret);
	kmn_b64(f->secret, crypto_sign_SEEDBYTES, f->seed_text); /* libsodium's secret key begins with the seed */
	strcat(f->seed_text, "\n");
	if ((e = kmn_vkey_make(f->origin, public_key, &f->log)) != KMN_OK) {
		kmn_fail("'%s' cannot be an origin", f->origin);
		return e;
	}
	return kmn_certificate_new(f->origin, f->days, &f->certificate);
}

static void
put_list(FILE *to, const char *name, const struct kmn_option_list *list)
{
	fprintf(to, "%s = {", name);
	for (size_t i = 0; i < list->n; i++)
		fprintf(to, "%s\"%s\"", i > 0 ? ", " : "", list->text[i]);
	fprintf(to, "}\n");
}

static kmn_err
write_settings(const struct founding *f)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	kmn_err e;

	if (to == NULL)
		return KMN_E_NO_MEMORY;
	fprintf(to, "# kanmond.conf(5)\norigin = \"%s\"\n", f->origin);
	put_list(to, "listen", &f->listen);
	fprintf(
	    to, "certificate = \"gateway.crt\"\nkey = \"gateway.key\"\nledger = \"ledger\"\nlog-key = \"log.key\"\n");
	if (f->gate_user != NULL) {
		fprintf(to, "\nusers {\n\tgate = \"%s\"\n\tkeeper = \"%s\"\n\tworker = \"%s\"\n", f->gate_user,
		    f->keeper_user, f->worker_user);
		if (f->courier_user != NULL)
			fprintf(to, "\tcourier = \"%s\"\n", f->courier_user);
		fprintf(to, "}\n");
	}
	fprintf(to, "\nmodule \"hsm\" {\n\tpath = \"%s\"\n", f->module_path);
	if (f->init_args != NULL)
		fprintf(to, "\tinit-args = \"%s\"\n", f->init_args);
	if (f->environment.n > 0) {
		fputc('\t', to);
		put_list(to, "environment", &f->environment);
	}
	fprintf(to, "}\n");
	e = fclose(to) == 0 ? write_in(f, "kanmond.conf", text, 0644) : KMN_E_NO_MEMORY;
	free(text);
	return e;
}

/* What auditors get (docs/ledger.md 9): the tree's key and the hash of the first policy. */
static kmn_err
write_trust(const struct founding *f)
{
	char text[2048], hash[KMN_B64_LEN(KMN_HASH_BYTES) + 1], vkey[KMN_VKEY_MAX_BYTES];
	int n;

	kmn_b64(kmn_policy_sha256(f->policy->policy), KMN_HASH_BYTES, hash);
	kmn_vkey_format(&f->log, vkey);
	n = snprintf(text, sizeof(text), "kanmon/trust/v1\norigin %s\npolicy-sha256 %s\nlog %s\n\nquorum none\n",
	    f->origin, hash, vkey);
	return n > 0 && n < (int)sizeof(text) ? write_in(f, "trust", text, 0644) : KMN_E_TOO_BIG;
}

/* What clients get: the tree's key, by which they judge each receipt. */
static kmn_err
write_vkey(const struct founding *f)
{
	char line[KMN_VKEY_MAX_BYTES + 1];

	kmn_vkey_format(&f->log, line);
	strcat(line, "\n");
	return write_in(f, "log.vkey", line, 0644);
}

static json_t *
genesis_body(const struct founding *f)
{
	char vkey[KMN_VKEY_MAX_BYTES];

	kmn_vkey_format(&f->log, vkey);
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:o}, s:{}}", "origin", f->origin, "suite", "K1", "vkey", vkey,
	    "policy", f->policy->bytes, "hsm", "module", kmn_json_label(f->module_path, strlen(f->module_path)),
	    "limits");
}

static kmn_err
create_ledger(const struct founding *f)
{
	struct kmn_log_settings settings = {.origin = f->origin, .secret = f->secret};
	char path[KMN_PATH_MAX_BYTES];
	struct kmn_why why = {{0}};
	kmn_err e;

	if ((e = kmn_path(path, f->dir, "ledger", NULL)) != KMN_OK)
		return e;
	if (mkdir(path, 0750) != 0) {
		kmn_fail("%s: %s", path, strerror(errno));
		return KMN_E_IO;
	}
	if ((e = kmn_store_files(path, &settings.store)) != KMN_OK)
		return e;
	kmn_log_sources_system(&settings.sources);
	e = kmn_log_create(&settings, genesis_body(f), &why);
	if (e != KMN_OK)
		kmn_fail("the ledger: %s", why.text[0] != '\0' ? why.text : kmn_err_text(e));
	kmn_store_files_free(settings.store);
	return e;
}

/* The owner of the ledger when kanmond gives each role its own user; the group has the same number, or is the account's. */
static kmn_err
find_user(const char *name, uid_t *uid_out, gid_t *gid_out)
{
	char *end;
	unsigned long number = strtoul(name, &end, 10);
	const struct passwd *account = getpwnam(name);

	if (account == NULL &&
	    (name[0] < '0' || name[0] > '9' || *end != '\0' || number == 0 || number >= UINT32_MAX)) {
		kmn_fail("there is no user %s", name);
		return KMN_E_NOT_FOUND;
	}
	*uid_out = account != NULL ? account->pw_uid : (uid_t)number;
	*gid_out = account != NULL ? account->pw_gid : (gid_t)number;
	return KMN_OK;
}

/* nftw(3) takes no cookie; the tool has one thread. */
static uid_t new_owner;
static gid_t new_group;

static int
give_one(const char *path, const struct stat *stat, int kind, struct FTW *where)
{
	(void)stat;
	(void)kind;
	(void)where;
	return lchown(path, new_owner, new_group);
}

/* Gives the ledger and what is in it to the keeper's user. */
static kmn_err
give_ledger(const struct founding *f)
{
	char ledger[KMN_PATH_MAX_BYTES];
	kmn_err e;

	if (f->keeper_user == NULL)
		return KMN_OK;
	if ((e = find_user(f->keeper_user, &new_owner, &new_group)) != KMN_OK ||
	    (e = kmn_path(ledger, f->dir, "ledger", NULL)) != KMN_OK)
		return e;
	if (nftw(ledger, give_one, 8, FTW_PHYS) == 0)
		return KMN_OK;
	kmn_fail("%s cannot be given to %s: %s", ledger, f->keeper_user, strerror(errno));
	return KMN_E_IO;
}

/* Asked before anything is made, so that a slip of the pen leaves nothing behind. */
static kmn_err
check_users(const struct founding *f)
{
	const char *const names[] = {f->gate_user, f->keeper_user, f->worker_user, f->courier_user};
	kmn_err e = KMN_OK;
	uid_t uid;
	gid_t gid;

	for (size_t i = 0; e == KMN_OK && i < KMN_COUNT_OF(names); i++)
		if (names[i] != NULL)
			e = find_user(names[i], &uid, &gid);
	return e;
}

static kmn_err
found_gateway(struct founding *f)
{
	char spki_line[sizeof(f->certificate.spki_b64) + 1];
	kmn_err e;

	if ((e = check_policy(f)) != KMN_OK || (e = check_users(f)) != KMN_OK || (e = make_keys(f)) != KMN_OK ||
	    (e = kmn_folder_make(f->dir)) != KMN_OK)
		return e;
	snprintf(spki_line, sizeof(spki_line), "%s\n", f->certificate.spki_b64);
	if ((e = write_in(f, "log.key", f->seed_text, 0600)) != KMN_OK ||
	    (e = write_in(f, "gateway.key", f->certificate.key_pem, 0600)) != KMN_OK ||
	    (e = write_in(f, "gateway.crt", f->certificate.pem, 0644)) != KMN_OK ||
	    (e = write_in(f, "gateway.spki", spki_line, 0644)) != KMN_OK || (e = write_settings(f)) != KMN_OK ||
	    (e = write_trust(f)) != KMN_OK || (e = write_vkey(f)) != KMN_OK || (e = create_ledger(f)) != KMN_OK)
		return e;
	return give_ledger(f);
}

static void
print_founding(const struct founding *f, bool json)
{
	char hash[KMN_B64_LEN(KMN_HASH_BYTES) + 1], vkey[KMN_VKEY_MAX_BYTES];

	kmn_b64(kmn_policy_sha256(f->policy->policy), KMN_HASH_BYTES, hash);
	kmn_vkey_format(&f->log, vkey);
	if (json) {
		kmn_print_json(json_pack("{s:s, s:s, s:s, s:s, s:s}", "dir", f->dir, "origin", f->origin,
		    "policy_sha256", hash, "log", vkey, "gateway_spki", f->certificate.spki_b64));
		return;
	}
	printf("The gateway %s is founded in %s.\n"
	       "Read these aloud at the ceremony and keep them apart from the gateway:\n\n"
	       "policy 1     %s\nledger key   %s\ngateway pin  %s\n\n"
	       "Auditors get %s/trust. Start it: kanmond --config %s/kanmond.conf\n",
	    f->origin, f->dir, hash, vkey, f->certificate.spki_b64, f->dir, f->dir);
}

/* What cannot stand in the settings is refused before anything is made. */
static int
check_words(struct founding *f)
{
	if (f->policy_path == NULL || f->origin == NULL || f->listen.n == 0 || f->module == NULL || f->days == 0)
		return kmn_usage("init", "--policy, --origin, --listen and --module are needed");
	if ((f->gate_user == NULL) != (f->keeper_user == NULL) || (f->gate_user == NULL) != (f->worker_user == NULL))
		return kmn_usage("init", "the three users are given together");
	if (f->courier_user != NULL && (f->gate_user == NULL || !kmn_settings_can_hold(f->courier_user)))
		return kmn_usage("init", "--courier-user is given with the other three");
	if (realpath(f->module, f->module_path) == NULL)
		return kmn_usage("init", "%s: %s", f->module, strerror(errno));
	if (!kmn_settings_can_hold(f->origin) || !kmn_settings_can_hold(f->module_path) ||
	    (f->init_args != NULL && !kmn_settings_can_hold(f->init_args)) ||
	    (f->gate_user != NULL && !(kmn_settings_can_hold(f->gate_user) && kmn_settings_can_hold(f->keeper_user) &&
					 kmn_settings_can_hold(f->worker_user))))
		return kmn_usage("init", "a quotation mark, '$' or backslash cannot stand in the settings");
	for (size_t i = 0; i < f->listen.n; i++)
		if (!kmn_settings_can_hold(f->listen.text[i]))
			return kmn_usage("init", "'%s' is no address", f->listen.text[i]);
	for (size_t i = 0; i < f->environment.n; i++)
		if (!kmn_settings_can_hold(f->environment.text[i]) || strchr(f->environment.text[i], '=') == NULL)
			return kmn_usage("init", "'%s' is not NAME=VALUE", f->environment.text[i]);
	return KMN_GO_ON;
}

int
kmn_cmd_init(int argc, char **argv)
{
	struct founding f = {.days = KMN_CERTIFICATE_DAYS};
	bool json = false;
	kmn_err e;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("policy", "FILE", "policy 1, signed by its policy quorum", &f.policy_path),
	    KMN_OPTION_TEXT("origin", "NAME", "the gateway's name, as in the policy", &f.origin),
	    KMN_OPTION_LIST("listen", "ADDRESS:PORT", "where clients connect; may be repeated", &f.listen),
	    KMN_OPTION_TEXT("module", "PATH", "the HSM's PKCS#11 module", &f.module),
	    KMN_OPTION_TEXT("init-args", "STRING", "what the module wants at C_Initialize", &f.init_args),
	    KMN_OPTION_LIST("environment", "NAME=VALUE", "for the module's processes; may be repeated", &f.environment),
	    KMN_OPTION_TEXT("gate-user", "USER", "name or number; the three users are given together", &f.gate_user),
	    KMN_OPTION_TEXT("keeper-user", "USER", "owns the ledger", &f.keeper_user),
	    KMN_OPTION_TEXT("worker-user", "USER", "runs the module", &f.worker_user),
	    KMN_OPTION_TEXT("courier-user", "USER", "asks witnesses and the like over the network", &f.courier_user),
	    KMN_OPTION_NUMBER("days", "N", "how long the gateway's certificate is valid (730)", &f.days),
	    KMN_OPTION_JSON(&json),
	};
	int verdict = kmn_options_parse(argc, argv, "init", options, KMN_COUNT_OF(options), &f.dir, 1, 1);

	if (verdict != KMN_GO_ON || (verdict = check_words(&f)) != KMN_GO_ON)
		return verdict;
	if ((e = found_gateway(&f)) == KMN_OK)
		print_founding(&f, json);
	kmn_policy_file_free(f.policy);
	kmn_certificate_clear(&f.certificate);
	sodium_free(f.secret);
	sodium_free(f.seed_text);
	return e == KMN_OK ? KMN_EXIT_OK : kmn_fail("no gateway was made: %s", kmn_err_text(e));
}
