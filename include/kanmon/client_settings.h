/*
 * The configuration of a client host, read alike by the provider and by the
 * kanmon tool. One table of rows is the format; a name that is not in it is an
 * error, told with file and line.
 *
 * Where it is, the first that applies:
 *   1. the path that the caller gives, or `config=PATH` of a profile string
 *   2. $KANMON_CONFIG                     (read with secure_getenv)
 *   3. ~/.config/kanmon/kanmon.conf       (if it exists; $HOME with secure_getenv)
 *   4. /etc/kanmon/kanmon.conf
 *
 * Threads: libconfuse's lexer is not reentrant, so loading takes a lock of its
 * own. A loaded struct is never changed afterwards.
 */
#ifndef KANMON_CLIENT_SETTINGS_H
#define KANMON_CLIENT_SETTINGS_H

#include "kanmon/err.h"

#define KMN_CLIENT_GATEWAYS_MAX 16
#define KMN_CLIENT_LOG_KEYS_MAX 8
#define KMN_CLIENT_LOG_KEY_MAX_BYTES 320
#define KMN_CLIENT_CONNECTIONS_MAX 64
#define KMN_CLIENT_PROFILE_MAX_BYTES 4096

/*   name            field            type      least  most                        default      for people */
#define KMN_CLIENT_SETTING_ROWS(ROW) \
	ROW("gateway", gateways, LIST, 1, KMN_CLIENT_GATEWAYS_MAX, NULL, \
	    "host:port of the gateway, or a list of them") \
	ROW("gateway-spki", gateway_spki, HASH, 1, 1, NULL, "base64 SHA-256 of the gateway's public key (its pin)") \
	ROW("origin", origin, TEXT, 1, 255, NULL, "the ledger's name: another gateway's answer is refused") \
	ROW("certificate", certificate, PATH, 1, 4095, NULL, "PEM certificate of this client") \
	ROW("key", key, PATH, 1, 4095, NULL, "PEM private key of this client") \
	ROW("quorum-wait", quorum_wait_s, NUMBER, 0, 86400, "600", "seconds that a call held for approval waits") \
	ROW("init-wait", init_wait_s, NUMBER, 0, 3600, "10", "seconds that C_Initialize tries to reach the gateway") \
	ROW("connections", connections, NUMBER, 1, KMN_CLIENT_CONNECTIONS_MAX, "16", \
	    "calls at the same time, at most") \
	ROW("errors", errors, CHOICE, KMN_CLIENT_CHOICE_ERRORS, 2, "standard", \
	    "standard, or device: refusals look like CKR_DEVICE_ERROR") \
	ROW("heal", heal, CHOICE, KMN_CLIENT_CHOICE_HEAL, 2, "off", \
	    "off, or on: sessions, login and keys are built up again when the gateway has lost them") \
	ROW("fork", fork, CHOICE, KMN_CLIENT_CHOICE_FORK, 2, "strict", \
	    "strict, or inherit: a forked child goes on with its parent's sessions, login and keys") \
	ROW("savings", savings, SAVINGS, 0, 0, KMN_CLIENT_SAVINGS, \
	    "answers that need not cross again: info, session, length, find, with commas; or none") \
	ROW("receipts", receipts, CHOICE, KMN_CLIENT_CHOICE_RECEIPTS, 3, "each", \
	    "each, batch or off: how the ledger's receipts of answers are verified") \
	ROW("log-key", log_keys, KEYS, 1, KMN_CLIENT_LOG_KEYS_MAX, NULL, \
	    "vkey of the ledger's key, or a list of them; needed unless receipts are off") \
	ROW("state", state, STATE, 1, 4095, NULL, "folder for the ledger's newest head, or none") \
	ROW("cosign-key", cosign_key, PATH, 1, 4095, NULL, "key file with which accepted heads are cosigned") \
	ROW("card", card, PATH, 0, 4095, NULL, "PKCS#11 module of a custodian's card (kanmon tool)") \
	ROW("card-token", card_token, TEXT, 0, 255, NULL, "label of the card") \
	ROW("card-key", card_key, TEXT, 0, 255, NULL, "label of the key on it") \
	ROW("types", types, PATH, 0, 4095, NULL, "description of a vendor's mechanisms and attributes, kanmon-types(5)")

/* What the setting `savings` may name; a set of these is its value (provider/cache.h says what each does). */
/* clang-format off */
#define KMN_CLIENT_SAVING_ROWS(ROW) \
	ROW(KMN_SAVE_INFO, 1u, "info") \
	ROW(KMN_SAVE_SESSION, 2u, "session") \
	ROW(KMN_SAVE_LENGTH, 4u, "length") \
	ROW(KMN_SAVE_FIND, 8u, "find")
/* clang-format on */
#define KMN_CLIENT_SAVING_ENUM(symbol, bit, word) symbol = (bit),
enum kmn_client_saving { KMN_CLIENT_SAVING_ROWS(KMN_CLIENT_SAVING_ENUM) KMN_SAVE_EVERYTHING = 15u };
#undef KMN_CLIENT_SAVING_ENUM
#define KMN_CLIENT_SAVINGS "info,session,length,find" /* unless the file says otherwise: all are safe */

/* The words of a CHOICE (its `least`), by the value of the field; `most` counts them. */
/* clang-format off */
enum kmn_client_choice { KMN_CLIENT_CHOICE_ERRORS, KMN_CLIENT_CHOICE_HEAL, KMN_CLIENT_CHOICE_FORK, KMN_CLIENT_CHOICE_RECEIPTS };
#define KMN_CLIENT_CHOICE_WORDS \
	[KMN_CLIENT_CHOICE_ERRORS] = {"standard", "device"}, \
	[KMN_CLIENT_CHOICE_HEAL] = {"off", "on"}, \
	[KMN_CLIENT_CHOICE_FORK] = {"strict", "inherit"}, \
	[KMN_CLIENT_CHOICE_RECEIPTS] = {"each", "batch", "off"}
#define KMN_CLIENT_CHOICE_MAX_WORDS 3
/* clang-format on */

enum kmn_client_errors { KMN_CLIENT_ERRORS_STANDARD, KMN_CLIENT_ERRORS_DEVICE };
enum kmn_client_heal { KMN_CLIENT_HEAL_OFF, KMN_CLIENT_HEAL_ON };
enum kmn_client_fork { KMN_CLIENT_FORK_STRICT, KMN_CLIENT_FORK_INHERIT };
enum kmn_client_receipts { KMN_CLIENT_RECEIPTS_EACH, KMN_CLIENT_RECEIPTS_BATCH, KMN_CLIENT_RECEIPTS_OFF };

struct kmn_client_settings {
	char *path;                              /* the file that was read */
	char *gateways[KMN_CLIENT_GATEWAYS_MAX]; /* in the order in which they are tried */
	size_t gateway_count;
	uint8_t gateway_spki[KMN_HASH_BYTES];
	char *origin;
	char *certificate; /* paths: relative ones were taken as relative to the file's folder */
	char *key;
	char *types;                             /* path, or NULL: none */
	char *log_keys[KMN_CLIENT_LOG_KEYS_MAX]; /* their form is checked, the keys are the provider's business */
	size_t log_key_count;
	char *state;                        /* folder; NULL: the standard one (kanmon.conf(5)) */
	bool stateless;                     /* `state = none`: state is NULL */
	char *cosign_key;                   /* path, or NULL: none */
	char *card, *card_token, *card_key; /* of a custodian; NULL: none */
	/* NULL, or in place of the two files: PEM, NUL-terminated, borrowed. Only kanmond's own client has them. */
	const char *certificate_pem, *key_pem;
	uint32_t quorum_wait_s;
	uint32_t init_wait_s;
	uint32_t connections;
	enum kmn_client_errors errors;
	enum kmn_client_heal heal;
	enum kmn_client_fork fork;
	enum kmn_client_receipts receipts;
	unsigned savings; /* set of enum kmn_client_saving */
};

/*
 * Reads the file, then lets the profile override single settings.
 *
 * path     the file, or NULL: looked for as said above.
 * profile  NULL, or `name=value` pairs with blanks or ';' between them; a value may stand in '' or "".
 *          `config=PATH` names the file. A profile that is not of this form is KMN_E_ARGUMENTS.
 * why_out  KMN_CLIENT_WHY_BYTES of room, or NULL: one line for people ("" on success), never a secret.
 *
 * Errors: KMN_E_CONFIG (no file, or wrong; why_out has file and line), KMN_E_ARGUMENTS (the profile),
 * KMN_E_NO_MEMORY.
 */
#define KMN_CLIENT_WHY_BYTES 512
kmn_err kmn_client_settings_load(
    const char *path, const char *profile, char *why_out, struct kmn_client_settings **settings_out) KMN_MUST_CHECK;

/* NULL is fine. */
void kmn_client_settings_free(struct kmn_client_settings *settings);

/* In a forked child, where a thread that does not exist may hold the parser's lock. */
void kmn_client_settings_after_fork(void);

#endif
