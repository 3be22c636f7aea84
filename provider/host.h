/*
 * What belongs to the thread that calls us, and that a handshake would spoil:
 * OpenSSL's queue of errors. The caller may be an OpenSSL provider or engine in
 * the middle of something, with errors that it has yet to report.
 *
 * Threads: both are called by the thread whose errors they are.
 */
#ifndef KANMON_PROVIDER_HOST_H
#define KANMON_PROVIDER_HOST_H

#include "kanmon/base.h"

#define KMN_HOST_ERRORS 16 /* as many as OpenSSL keeps */

struct kmn_host_error {
	unsigned long code;
	int line;
	char *file, *function, *data; /* owned; NULL where there is none */
};

struct kmn_host_errors {
	struct kmn_host_error error[KMN_HOST_ERRORS]; /* oldest first */
	size_t count;
};

/* Takes the errors of this thread off the queue. Costs nothing when there are none. */
void kmn_host_errors_take(struct kmn_host_errors *errors_out);
/* Puts them back in the place of ours, and frees what was kept. Marks (ERR_set_mark) are not kept. */
void kmn_host_errors_return(struct kmn_host_errors *errors);

#endif
