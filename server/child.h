/* Starting one of kanmond's own processes: the same binary, executed anew, with nothing open but what it is given. */
#ifndef KANMON_SERVER_CHILD_H
#define KANMON_SERVER_CHILD_H

#include <sys/types.h>

#include "kanmon/writer.h"
#include "server/settings.h"

#define KMN_CHILD_FDS_MAX (KMN_LISTEN_MAX + 2)

struct kmn_child {
	enum kmn_role role;
	int fds[KMN_CHILD_FDS_MAX]; /* stand at KMN_PEER_FD and on in the child; stay the caller's here */
	unsigned fd_count;
	const struct kmn_writer *handover; /* its setup */
	char *const *environment;          /* NULL at the end */
};

/* pid_out: of the new process, to be waited for. */
kmn_err kmn_child_start(const struct kmn_child *child, pid_t *pid_out) KMN_MUST_CHECK;

/* Waits for no one: the text of how a process ended, "exit status 1" or "killed by signal 9 (Killed)". */
void kmn_child_how(int status, char *out, size_t room);

#endif
