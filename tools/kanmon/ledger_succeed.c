/*
 * kanmon ledger succeed: closes a stopped ledger and begins its successor. What
 * can be wrong is found before anything is written; a run that was cut off
 * between the two is finished by the same command.
 */
#include "config.h"

#include <errno.h>
#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kanmon/log.h"
#include "kanmon/verify.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/log_key.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/terminal.h"

#define SEED_FILE_MAX_BYTES 128u
#define SEED_TEXT_BYTES (KMN_B64_LEN(crypto_sign_SEEDBYTES) + 2)

struct succeeding {
	const char *from, *to; /* folders */
	const char *key_path, *new_key_path, *policy_path;
	struct kmn_policy_file *policy;
	uint8_t *secret, *new_secret; /* guarded */
	struct kmn_successor successor;
	/* of the ledger that ends */
	bool closed, stopped;       /* its last record */
	struct kmn_successor named; /* by the record that closed it before */
	char origin[KMN_ORIGIN_MAX_BYTES + 1];
	struct kmn_head head;
	char *note;
};

/* ---- keys --------------------------------------------------------------------------------------------------------- */

kmn_err
kmn_log_key_read(const char *path, uint8_t *secret)
{
	uint8_t public_key[crypto_sign_PUBLICKEYBYTES], seed[crypto_sign_SEEDBYTES];
	char *text;
	size_t len, got = 0;
	kmn_err e = kmn_file_read_or_say(path, SEED_FILE_MAX_BYTES, &text, &len);

	if (e != KMN_OK)
		return e;
	len = strcspn(text, "\n");
	e = kmn_b64_parse(text, len, seed, sizeof(seed), &got);
	if (e == KMN_OK && got != sizeof(seed))
		e = KMN_E_MALFORMED;
	if (e == KMN_OK)
		crypto_sign_seed_keypair(public_key, secret, seed);
	else
		kmn_fail("%s is not one line with the base64 of 32 bytes", path);
	sodium_memzero(seed, sizeof(seed));
	sodium_memzero(text, len);
	free(text);
	return e;
}

/* The new ledger's key: the file, or a new one where there is none. */
static kmn_err
find_new_key(struct succeeding *s)
{
	uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
	char text[SEED_TEXT_BYTES];
	kmn_err e;

	if (access(s->new_key_path, F_OK) == 0) {
		e = kmn_log_key_read(s->new_key_path, s->new_secret);
	} else {
		crypto_sign_keypair(public_key, s->new_secret);
		kmn_b64(s->new_secret, crypto_sign_SEEDBYTES, text);
		strcat(text, "\n");
		e = kmn_file_create(s->new_key_path, text, strlen(text), 0600);
		sodium_memzero(text, sizeof(text));
	}
	if (e == KMN_OK && sodium_memcmp(s->secret, s->new_secret, crypto_sign_SECRETKEYBYTES) == 0) {
		kmn_fail("the new ledger has a key of its own");
		e = KMN_E_ARGUMENTS;
	}
	return e;
}

/* ---- what is checked first ---------------------------------------------------------------------------------------- */

static kmn_err
check_policy(struct succeeding *s)
{
	struct kmn_policy_error error = {0, ""};
	struct kmn_policy *accepted;
	const char *origin;
	kmn_err e;

	if ((e = kmn_policy_file_read(s->policy_path, &s->policy)) != KMN_OK)
		return e;
	if (!s->policy->is_note) {
		kmn_fail("%s is not signed: kanmon policy sign", s->policy_path);
		return KMN_E_ARGUMENTS;
	}
	if ((e = kmn_policy_accept(s->policy->bytes, s->policy->len, NULL, &accepted, &error)) != KMN_OK) {
		kmn_fail("%s: line %u: %s", s->policy_path, error.line, error.text);
		return e;
	}
	origin = kmn_policy_origin(accepted);
	(void)snprintf(s->successor.origin, sizeof(s->successor.origin), "%s", origin);
	memcpy(s->successor.policy_sha256, kmn_policy_sha256(accepted), KMN_HASH_BYTES);
	kmn_policy_free(accepted);
	return kmn_vkey_make(s->successor.origin, s->new_secret + crypto_sign_SEEDBYTES, &s->successor.log);
}

static kmn_err
replay(void *cookie, const struct kmn_record *record)
{
	struct succeeding *s = cookie;
	const char *origin;

	if (record->kind == KMN_R_GENESIS && kmn_json_get_text(record->body, "origin", &origin))
		(void)snprintf(s->origin, sizeof(s->origin), "%s", origin);
	s->stopped = record->kind == KMN_R_GATEWAY_STOP;
	s->closed = record->kind == KMN_R_CLOSED;
	if (s->closed && !kmn_successor_read(json_object_get(record->body, "successor"), &s->named))
		return KMN_E_CORRUPT;
	return KMN_OK;
}

static bool
may_close(const struct succeeding *s)
{
	if (strcmp(s->origin, s->successor.origin) == 0)
		kmn_fail("%s is the origin of the old ledger: a successor has one of its own", s->origin);
	else if (s->closed && (strcmp(s->named.origin, s->successor.origin) != 0 ||
				  memcmp(&s->named.log, &s->successor.log, sizeof(s->named.log)) != 0 ||
				  memcmp(s->named.policy_sha256, s->successor.policy_sha256, KMN_HASH_BYTES) != 0))
		kmn_fail("the ledger is closed already, and names %s with another key or policy", s->named.origin);
	else if (!s->closed && !s->stopped)
		kmn_fail("the gateway did not end in order: start it once more and stop it");
	else
		return true;
	return false;
}

/* ---- the two ledgers ---------------------------------------------------------------------------------------------- */

/* nftw(3) takes no cookie; the tool has one thread. */
static struct stat owner;

kmn_err
kmn_ledger_owner(const char *path)
{
	if (stat(path, &owner) == 0)
		return KMN_OK;
	kmn_fail("%s: %s", path, strerror(errno));
	return KMN_E_IO;
}

static kmn_err
close_old(struct succeeding *s)
{
	struct kmn_log_settings settings = {.secret = s->secret};
	struct kmn_recovery recovery;
	struct kmn_log *log = NULL;
	struct kmn_why why = {""};
	size_t len;
	kmn_err e;

	if ((e = kmn_ledger_owner(s->from)) != KMN_OK || (e = kmn_store_files(s->from, &settings.store)) != KMN_OK)
		return e;
	kmn_log_sources_system(&settings.sources);
	if ((e = kmn_log_open(&settings, replay, s, &recovery, &log, &why)) != KMN_OK) {
		kmn_fail("%s: %s: %s", s->from, kmn_err_text(e), why.text);
		goto done;
	}
	e = may_close(s) ? KMN_OK : KMN_E_ARGUMENTS;
	if (e == KMN_OK && !s->closed)
		e = kmn_log_append(log, KMN_R_CLOSED, kmn_successor_body(&s->successor), NULL, NULL, &why);
	if (e == KMN_OK)
		e = kmn_log_wait(log);
	if (e == KMN_OK)
		e = kmn_log_checkpoint(log, &s->head, &s->note, &len);
done:
	if (log != NULL && kmn_log_close(log) != KMN_OK && e == KMN_OK)
		e = KMN_E_LEDGER;
	if (e == KMN_E_LEDGER || e == KMN_E_IO)
		kmn_fail("%s: it could not be written: is there room, and may this user write there?", s->from);
	kmn_store_files_free(settings.store);
	return e;
}

static int
give_one(const char *path, const struct stat *stat, int kind, struct FTW *where)
{
	(void)stat;
	(void)kind;
	(void)where;
	return lchown(path, owner.st_uid, owner.st_gid);
}

/* Root may have done it; the keeper's user must be able to read it. */
kmn_err
kmn_ledger_give(const char *path)
{
	if (geteuid() != 0 || nftw(path, give_one, 8, FTW_PHYS) == 0)
		return KMN_OK;
	kmn_fail("%s cannot be given to its owner: %s", path, strerror(errno));
	return KMN_E_IO;
}

static kmn_err
begin_new(const struct succeeding *s)
{
	struct kmn_log_settings settings = {.origin = s->successor.origin, .secret = s->new_secret};
	struct kmn_predecessor before = {.head = s->head};
	char vkey[KMN_VKEY_MAX_BYTES];
	struct kmn_why why = {""};
	kmn_err e;

	memcpy(before.origin, s->origin, sizeof(before.origin));
	if ((e = kmn_vkey_make(s->origin, s->secret + crypto_sign_SEEDBYTES, &before.log)) != KMN_OK)
		return e;
	if ((mkdir(s->to, 0750) != 0 && errno != EEXIST)) {
		kmn_fail("%s: %s", s->to, strerror(errno));
		return KMN_E_IO;
	}
	if ((e = kmn_store_files(s->to, &settings.store)) != KMN_OK)
		return e;
	kmn_log_sources_system(&settings.sources);
	kmn_vkey_format(&s->successor.log, vkey);
	e = kmn_log_create(&settings,
	    json_pack("{s:s, s:s, s:s, s:s, s:{}, s:{}, s:o}", "origin", s->successor.origin, "suite", "K1", "vkey",
		vkey, "policy", s->policy->bytes, "hsm", "limits", "predecessor",
		kmn_predecessor_body(&before, s->note)),
	    &why);
	kmn_store_files_free(settings.store);
	if (e != KMN_OK)
		kmn_fail("%s: %s", s->to, why.text[0] != '\0' ? why.text : kmn_err_text(e));
	return e != KMN_OK ? e : kmn_ledger_give(s->to);
}

static void
say_done(const struct succeeding *s)
{
	char vkey[KMN_VKEY_MAX_BYTES], hash[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	kmn_vkey_format(&s->successor.log, vkey);
	kmn_b64(s->successor.policy_sha256, KMN_HASH_BYTES, hash);
	printf("%s is closed at %llu records. Set in kanmond.conf: origin, ledger, log-key.\n", s->origin,
	    (unsigned long long)s->head.size);
	printf("For trust files of the new ledger alone (the old one's verifies both):\n");
	printf("origin %s\npolicy-sha256 %s\nlog %s\n", s->successor.origin, hash, vkey);
}

int
kmn_cmd_ledger_succeed(int argc, char **argv)
{
	struct succeeding s = {0};
	const char *words[2];
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("log-key", "FILE", "key of the ledger that ends", &s.key_path),
	    KMN_OPTION_TEXT(
		"new-log-key", "FILE", "key of the one that begins; made where there is none", &s.new_key_path),
	    KMN_OPTION_TEXT("policy", "NOTE", "its policy, version 1, signed, with its origin", &s.policy_path),
	};
	int parsed = kmn_options_parse(argc, argv, "ledger succeed", options, KMN_COUNT_OF(options), words, 2, 2);
	kmn_err e = KMN_E_NO_MEMORY;

	if (parsed != KMN_GO_ON)
		return parsed;
	if (s.key_path == NULL || s.new_key_path == NULL || s.policy_path == NULL)
		return kmn_usage("ledger succeed", "--log-key, --new-log-key and --policy are needed");
	s.from = words[0];
	s.to = words[1];
	if (sodium_init() >= 0 && (s.secret = sodium_malloc(crypto_sign_SECRETKEYBYTES)) != NULL &&
	    (s.new_secret = sodium_malloc(crypto_sign_SECRETKEYBYTES)) != NULL &&
	    (e = kmn_log_key_read(s.key_path, s.secret)) == KMN_OK && (e = find_new_key(&s)) == KMN_OK &&
	    (e = check_policy(&s)) == KMN_OK && (e = close_old(&s)) == KMN_OK &&
	    (e = kmn_ledger_give(s.from)) == KMN_OK && (e = begin_new(&s)) == KMN_OK)
		say_done(&s);
	kmn_policy_file_free(s.policy);
	sodium_free(s.secret);
	sodium_free(s.new_secret);
	free(s.note);
	return e == KMN_OK ? KMN_EXIT_OK : KMN_EXIT_FAILED;
}
