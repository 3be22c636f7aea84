/*
 * The parent of the gateway's processes. It starts them, tells the keeper of
 * their ends, and starts them again where that is right; it never reads a byte
 * that came from the network.
 *
 *	          keeper says SERVING             signal                keeper ends
 *	STARTING ---------------------> SERVING ---------> STOPPING ---------------> ended, exit 0
 *	    ^                              |
 *	    +------ keeper dies, once -----+---- dies again within an hour ---> ended, exit 1
 *
 * A gate, a courier or a console that dies is started again, after a pause that grows
 * while it goes on dying. A worker that dies is the keeper's matter: EXITED.
 * With the keeper die all others. There is a courier only where the
 * configuration names something to be asked over the network.
 */
#ifndef KANMON_SERVER_SUPERVISOR_H
#define KANMON_SERVER_SUPERVISOR_H

#include "server/handover.h"

struct kmn_supervisor_options {
	const struct kmn_settings *settings;
	struct kmn_material *material; /* its sealed PINs are read anew at SIGHUP */
	const int *listeners; /* bound, not listening yet */
	unsigned listener_count;
	int ledger;        /* its folder, open */
	const int *guards; /* files of settings->guards, -1 where one is an object */
	int console;       /* its listener, as those; -1: there is no console */
	int pages;         /* folder of its pages */
	int ready_fd;      /* "ready\n" goes there when the gateway serves; -1: nowhere */
};

/* Runs until the service ends; the result is the exit status of kanmond. */
int kmn_supervisor_run(const struct kmn_supervisor_options *options);

#endif
