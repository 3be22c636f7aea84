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
#include "server/material.h"

#define KMN_HANDOVER_MAX_BYTES (512u << 10)
#define KMN_HANDOVER_FD 3
#define KMN_PEER_FD 4
#define KMN_FIRST_FD 5

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
