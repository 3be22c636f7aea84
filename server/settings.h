/*
 * kanmond.conf: one table of rows (settings_rows.c) is the format. Each value is
 * checked by its row while the file is read, so that every refusal names file
 * and line; a name that is in no row is refused.
 *
 * Threads: libconfuse's lexer is global; load in one thread.
 */
#ifndef KANMON_SERVER_SETTINGS_H
#define KANMON_SERVER_SETTINGS_H

#include <stdio.h>
#include <sys/types.h>

#include "kanmon/err.h"
#include "kanmon/roles.h"
#include "kanmon/say.h"

#define KMN_SETTINGS_MAX_BYTES (64u << 10) /* of the file */
#define KMN_SETTINGS_WHY_BYTES 600
#define KMN_LISTEN_MAX 16
#define KMN_ENVIRONMENT_MAX 64

enum kmn_role {
	KMN_ROLE_GATE,
	KMN_ROLE_KEEPER,
	KMN_ROLE_WORKER,
	KMN_ROLE_COURIER,
	KMN_ROLE_CONSOLE,
	KMN_ROLE_RUNNER,
	KMN_ROLE_COUNT
};
enum kmn_confinement { KMN_CONFINEMENT_FULL, KMN_CONFINEMENT_NO_SECCOMP };

/* Texts of a list; NULL stands at the end. */
struct kmn_texts {
	char **at;
	unsigned count;
};

struct kmn_user {
	char *text; /* as written; NULL: not given */
	uid_t uid;
	gid_t gid;
};

struct kmn_module_settings {
	char *name, *path, *init_args; /* init_args: NULL, none */
	char *types;                   /* path of a description of its mechanisms and attributes; NULL: none */
	struct kmn_texts environment;
	uint32_t serial; /* 1: one call at a time */
};

/* Where the last head is kept beside the ledger: a file, or a data object of a token. */
struct kmn_guard_settings {
	char *name;
	char *path;           /* of the file; NULL: an object */
	char *module, *token; /* name of a module section, label of the token */
	uint32_t every_ms;    /* least time between two updates; 0: a second for a file, a minute for an object */
};

/* A witness, and where it is asked; its key stands in the policy. */
struct kmn_witness_settings {
	char *name, *url;
};

/* A TSA (RFC 3161), and where it is asked. */
struct kmn_stamp_settings {
	char *name, *url;
	char *roots;  /* path of its root certificates, PEM */
	char *policy; /* dotted OID that it is asked for; NULL: its own */
};

/* The sealed PIN of a token (`kanmon activation seal`); its name is that of the token's line in the policy. */
struct kmn_activation_settings {
	char *name;
	char *sealed_pin; /* path */
};

/* Who is told what happens: a program, a URL, or somebody by mail. */
struct kmn_hook_settings {
	char *name;
	char *command, *url, *mail_to; /* one of them */
	char *sendmail;                /* path of what sends mail */
	char *user;                    /* that a program runs as; NULL: kanmond's, where that is not root */
	struct kmn_user as;            /* text is `user` */
};

/* Where browsers come: `console { }`. */
struct kmn_console_settings {
	char *listen;                    /* address:port; NULL: there is no console, and nothing below is set */
	char *origin;                    /* https://host:port, as browsers call it */
	char *certificate, *key, *pages; /* paths; pages: folder of the static files */
	char *client;                    /* of the policy, that runs what operators ask for; NULL: there is none */
	char *client_certificate, *client_key; /* paths, of that client; NULL: it is a program elsewhere */
	struct kmn_console_limits limits;
};

struct kmn_settings {
	char *path;                            /* of the file */
	uint8_t config_sha256[KMN_HASH_BYTES]; /* of its bytes */
	char *origin;
	struct kmn_texts listen;                    /* address:port */
	char *certificate, *key, *ledger, *log_key; /* paths */
	uint32_t lease_ms, request_lifetime_s, spawn_ms, stop_ms;
	uint32_t reserve_mib, low_water_mib; /* disk space that is kept, and below which no call begins; 0: none */
	uint32_t scrub_ms;                   /* between two sealed segments that are read again; 0: none are */
	uint32_t stamp_ms, stamp_idle_ms;    /* between two time stamps, while the ledger grows and while it does not */
	char *log;                           /* path; NULL: stderr */
	uint32_t log_level;                  /* enum kmn_say_level */
	uint32_t confinement;                /* enum kmn_confinement */
	struct kmn_user users[KMN_ROLE_COUNT];
	struct kmn_limits limits;
	struct kmn_module_settings modules[KMN_MODULES_MAX]; /* in the order of the file, at least one */
	unsigned module_count;
	struct kmn_guard_settings guards[KMN_GUARDS_MAX];
	unsigned guard_count;
	struct kmn_witness_settings witnesses[KMN_WITNESSES_MAX];
	unsigned witness_count;
	struct kmn_stamp_settings stamps[KMN_TIME_STAMPS_MAX];
	unsigned stamp_count;
	struct kmn_activation_settings activations[KMN_ACTIVATIONS_MAX];
	unsigned activation_count;
	uint32_t witness_ms; /* from one question to them to the next */
	struct kmn_hook_settings hooks[KMN_HOOKS_MAX];
	unsigned hook_count;
	struct kmn_console_settings console;
};

/*
 * Reads and checks a file. why_out: KMN_SETTINGS_WHY_BYTES of room for one line, "" on success.
 * KMN_E_CONFIG: what is wrong is in why_out, with file and line where there is one.
 */
kmn_err kmn_settings_load(const char *path, char *why_out, struct kmn_settings **settings_out) KMN_MUST_CHECK;

/* Whether anything in it is asked over the network: then there is a courier. */
bool kmn_settings_need_courier(const struct kmn_settings *settings);

/* NULL is fine. */
void kmn_settings_free(struct kmn_settings *settings);

/* Every setting as it is in force, in the form of the file. */
void kmn_settings_print(const struct kmn_settings *settings, FILE *to);

/* "gate", "keeper", "worker", "courier", "console", "runner". */
const char *kmn_role_name(enum kmn_role role);

#endif
