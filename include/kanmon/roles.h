/*
 * What the supervisor hands to each role of kanmond. The role's process reads
 * it from an inherited pipe, is confined, and calls the main below: it never
 * reads the configuration file, and its command line says nothing.
 *
 * Lifetime: all of it is valid for the life of the process. Descriptors are
 * the role's from here on. A main's result is the exit status of its process:
 * 0 ended as it was told to, anything else is a failure.
 */
#ifndef KANMON_ROLES_H
#define KANMON_ROLES_H

#include "kanmon/base.h"

/* Bounds of the gateway as a whole; each role keeps those that it can count. Set in `limits { }`. */
struct kmn_limits {
	uint32_t connections;          /* open at the gate, handshakes included */
	uint32_t connections_per_peer; /* by pinned key */
	uint32_t handshake_ms;         /* from accept to the first frame (ATTACH, JOIN, ADMIN) */
	uint32_t idle_ms;              /* a connection without a frame, when nothing is running on it; 0: no limit */
	uint32_t instances;            /* attached applications, each with its worker process */
	uint32_t instances_per_client;
	uint32_t requests; /* held or asked for ahead, undecided, in the whole gateway */
	uint32_t requests_per_client;
};

struct kmn_log_sources;

#define KMN_LOG_KEY_BYTES 32u
#define KMN_MODULES_MAX 16u
#define KMN_MODULE_NAME_MAX_BYTES 64u
#define KMN_WITNESSES_MAX 32u
#define KMN_WITNESS_NAME_MAX_BYTES 64u

/* One vendor module: `module "NAME" { }`. */
struct kmn_module {
	const char *name;
	const char *path;               /* absolute */
	const char *init_args;          /* CK_C_INITIALIZE_ARGS.pReserved, NULL: none */
	const char *const *environment; /* "NAME=VALUE", NULL at the end */
	bool serial;                    /* not safe with threads: one call at a time, all from one thread */
};

#define KMN_TIME_STAMPS_MAX 4u
#define KMN_TIME_STAMP_NAME_MAX_BYTES 64u

/* A TSA (RFC 3161): `time-stamp "NAME" { }`. */
struct kmn_time_stamp {
	const char *name, *url;
	const char *roots;  /* certificates in PEM, which are PEM and have a root (kmn_stamp_roots_load) */
	const char *policy; /* dotted OID; NULL: the TSA's own */
};

#define KMN_GUARDS_MAX 8u
#define KMN_GUARD_NAME_MAX_BYTES 64u

/* A place beside the ledger that holds its last head: `guard "NAME" { }` (server/ledger/guard.h, server/keeper/guard.c). */
struct kmn_guard {
	const char *name;
	const char *path; /* of a file, for people to read; NULL: an object */
	int fd;           /* the file, open for reading and writing; -1: an object */
	unsigned module;  /* index in modules, of an object */
	const char *token;
	uint32_t every_ms; /* least time between two updates */
};

/* `witness "NAME" { }`: its key is in the policy, under the same name. */
struct kmn_asked_witness {
	const char *name, *url;
};

#define KMN_ACTIVATIONS_MAX 16u
#define KMN_ACTIVATION_NAME_MAX_BYTES 64u

/* A token whose PIN the gateway has, under shares: `activation "TOKEN" { }`. */
struct kmn_sealed_token {
	const char *token; /* name of its line in the policy */
	const char *text;  /* of the sealed PIN, which can be read (kanmon/sealedpin.h) */
};

#define KMN_HOOKS_MAX 8u
#define KMN_HOOK_NAME_MAX_BYTES 64u
#define KMN_HOOK_BODY_MAX_BYTES 4096u

/* Who is told of requests, decisions, anomalies and policies: `hook "NAME" { }`. */
struct kmn_hook {
	const char *name;
	const char *url; /* NULL: a program, which the supervisor runs */
};

/* What runs: body of gateway.start. */
struct kmn_build {
	const char *version;
	uint8_t binary_sha256[KMN_HASH_BYTES]; /* of the running executable */
	uint8_t config_sha256[KMN_HASH_BYTES]; /* of the configuration file's bytes */
	const char *boot_id;                   /* the kernel's, as text */
};

struct kmn_gate_setup {
	const int *listeners; /* listening, non-blocking TCP sockets */
	unsigned listener_count;
	int keeper;                    /* socket, for kmn_ipc_new */
	const char *certificate, *key; /* PEM; the key is in guarded memory */
	size_t certificate_bytes, key_bytes;
	struct kmn_limits limits;
};

struct kmn_keeper_setup {
	int supervisor;          /* socket, for kmn_ipc_new */
	int ledger;              /* its folder, open, for kmn_store_files_at; the keeper's user owns it */
	const char *ledger_path; /* for people to read: the path may lead through folders closed to the keeper */
	const uint8_t *log_key;  /* 64 bytes: libsodium's secret key, in guarded memory (kmn_log_settings.secret) */
	const char *origin;
	const struct kmn_module *modules; /* what SPAWN starts; path and the rest are the worker's matter */
	unsigned module_count;
	uint32_t lease_ms;           /* an instance without a connection is lost after this */
	uint32_t request_lifetime_s; /* of a request whose rule says no `expires` */
	uint32_t spawn_ms;           /* SPAWN to KMN_W_READY; longer and the worker is killed */
	uint32_t reserve_mib;        /* of disk space that the ledger takes before it needs it; 0: none */
	uint32_t low_water_mib;      /* of free disk space; below it classes A and B are refused; 0: no limit */
	uint32_t scrub_ms;           /* from one sealed segment that is read again to the next; 0: none are */
	const struct kmn_guard *guards;
	unsigned guard_count;
	const struct kmn_time_stamp *time_stamps;
	unsigned time_stamp_count;
	uint32_t stamp_ms;                     /* between two time stamps while the ledger grows */
	uint32_t stamp_idle_ms;                /* and while it does not */
	const struct kmn_log_sources *sources; /* clocks and chance of tests; NULL: the system's */
	const char *authorised; /* signed note that lets the ledger go on behind a guard; NULL: there is none */
	const struct kmn_asked_witness *witnesses;
	unsigned witness_count;
	uint32_t witness_ms; /* from one question to the next */
	const struct kmn_hook *hooks;
	unsigned hook_count;
	const struct kmn_sealed_token *activations;
	unsigned activation_count;
	const char
	    *console_client; /* name of the policy's client that runs what operators ask for; NULL: there is none */
	struct kmn_limits limits;
	struct kmn_build build;
};

struct kmn_worker_setup {
	int keeper;               /* socket, for kmn_ipc_new */
	struct kmn_module module; /* its environment rows are in the process' environment already */
	bool watching;            /* waits for slot events, tells them by KMN_W_EVENT, and takes no calls */
	uint64_t first_handle; /* virtual handles are first_handle + n * handle_step: the workers of one application */
	uint64_t handle_step;  /* share no number; 0 and 0 are 1 and 1 */
	uint32_t keep_warm_ms; /* how often the module hears of sessions that wait for a quorum; 0: every 10 s */
};

struct kmn_courier_setup {
	int keeper; /* socket, for kmn_ipc_new */
};

struct kmn_console_limits {
	uint32_t connections, connections_per_address;
	uint32_t questions;   /* to the API, of one address in a minute; the same again of one session */
	uint32_t attempts;    /* refused sign-ins of one address, after which it is shut out */
	uint32_t lockout_ms;  /* for so long */
	uint32_t patience_ms; /* for a handshake, for a request to be whole, and for the keeper's answer */
};

struct kmn_console_setup {
	int keeper;                    /* socket, for kmn_ipc_new */
	int listener;                  /* listening, non-blocking */
	int pages;                     /* folder of the static files */
	const char *origin;            /* https://host:port, as browsers call it */
	const char *certificate, *key; /* PEM, NUL-terminated; the key is in guarded memory */
	struct kmn_console_limits limits;
};

/* The console's own application: a client of the gateway like every other one. */
struct kmn_runner_setup {
	int keeper;                         /* socket, for kmn_ipc_new */
	const char *gateway;                /* "address:port" of the gate */
	const char *origin;                 /* of its ledger */
	const char *certificate, *key;      /* the client's, PEM, NUL-terminated; the key is in guarded memory */
	const char *gate_certificate;       /* PEM; its key is the one that is trusted */
	uint8_t log_key[KMN_LOG_KEY_BYTES]; /* public, Ed25519 */
};

#define KMN_EXIT_RESTART 75 /* of the keeper: it is to be started again, as often as it says so */

/* server/gate, server/keeper, server/hsm, server/courier, server/console, server/runner. */
int kmn_gate_main(const struct kmn_gate_setup *setup);
int kmn_keeper_main(const struct kmn_keeper_setup *setup);
int kmn_worker_main(const struct kmn_worker_setup *setup);
/* Before confinement: brings libcurl into this process, and into no other. False: it said why not. */
bool kmn_courier_prepare(void) KMN_MUST_CHECK;
int kmn_courier_main(const struct kmn_courier_setup *setup);
/* Before confinement: brings the HTTP server into this process and reads the pages. False: it said why not. */
bool kmn_console_prepare(const struct kmn_console_setup *setup) KMN_MUST_CHECK;
int kmn_console_main(const struct kmn_console_setup *setup);
int kmn_runner_main(const struct kmn_runner_setup *setup);

#endif
