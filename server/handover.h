/*
 * What a role's process is given at its start: one message on an inherited
 * pipe, made by the supervisor, read once. Descriptors stand at fixed places.
 *
 *	0 /dev/null    1, 2 the log    3 the pipe    4 keeper's or supervisor's socket    5.. listeners, or the ledger
 *	and the files of the guards, or the console's listener and the folder of its pages
 */
#ifndef KANMON_SERVER_HANDOVER_H
#define KANMON_SERVER_HANDOVER_H

#include "kanmon/reader.h"
#include "kanmon/writer.h"
#include "server/confine.h"
#include "server/settings.h"

#define KMN_HANDOVER_MAX_BYTES (512u << 10)
#define KMN_HANDOVER_FD 3
#define KMN_PEER_FD 4
#define KMN_FIRST_FD 5

/* What the supervisor read at its start: files of the configuration, and its own identity. */
struct kmn_material {
	char *certificate, *key; /* PEM, in guarded memory */
	size_t certificate_bytes, key_bytes;
	uint8_t *log_key; /* 64 bytes, in guarded memory */
	uint8_t binary_sha256[KMN_HASH_BYTES];
	char boot_id[64];
	char *stamp_roots[KMN_TIME_STAMPS_MAX];  /* certificates of TSAs, PEM, by their number */
	char *sealed_pin[KMN_ACTIVATIONS_MAX];   /* texts, by the number of the activation */
	char *authorised;                        /* signed note of --recovery; NULL: there is none */
	char *console_certificate, *console_key; /* PEM, in guarded memory; NULL: there is no console */
	char *client_certificate, *client_key;   /* likewise, of the console's client; NULL: it is none of ours */
	char *types[KMN_MODULES_MAX]; /* texts that describe what a module has of its own, by its number; NULL: none */
};

/* Reads them; why_out: KMN_SETTINGS_WHY_BYTES. A key that others may read is refused. */
kmn_err kmn_material_load(
    const struct kmn_settings *settings, char *why_out, struct kmn_material **material_out) KMN_MUST_CHECK;
void kmn_material_free(struct kmn_material *material);
/* Reads the files of the activations once more, with the same checks: all are taken, or none and the old ones stay. */
kmn_err kmn_material_seal_anew(
    const struct kmn_settings *settings, struct kmn_material *material, char *why_out) KMN_MUST_CHECK;
/* The file of --recovery. */
kmn_err kmn_material_authorise(struct kmn_material *material, const char *path, char *why_out) KMN_MUST_CHECK;
/*
 * Opens the files of the guards, in their order; fds_out: KMN_GUARDS_MAX, -1 where a guard is an object. A file that is
 * not there is not made: then its file system may not be either.
 */
kmn_err kmn_material_guards(const struct kmn_settings *settings, int *fds_out, char *why_out) KMN_MUST_CHECK;

/* What a worker is started for (KMN_S_SPAWN). */
struct kmn_assignment {
	const struct kmn_module_settings *module;
	bool watching;
	uint64_t first_handle, handle_step;
};

/*
 * Supervisor: the message for one role; `listeners` is how many stand at KMN_FIRST_FD; `assignment` is a worker's, NULL
 * for the others. Errors stay in the writer.
 */
void kmn_handover_put(struct kmn_writer *w, enum kmn_role role, const struct kmn_settings *settings,
    const struct kmn_material *material, unsigned listeners, const struct kmn_assignment *assignment);

/* Role: what came. The setup's texts and keys point into guarded memory that lives as long as the process. */
struct kmn_handover {
	enum kmn_role role;
	enum kmn_say_level log_level;
	struct kmn_confine confine;
	struct kmn_gate_setup gate; /* one of them, as `role` says */
	struct kmn_keeper_setup keeper;
	struct kmn_worker_setup worker;
	struct kmn_courier_setup courier;
	struct kmn_console_setup console;
	struct kmn_runner_setup runner;
};
kmn_err kmn_handover_receive(int fd, const struct kmn_handover **handover_out) KMN_MUST_CHECK;

#endif
