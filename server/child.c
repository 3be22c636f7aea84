#include "config.h"

#include "server/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/handover.h"

#define ABOVE_ALL_PLACES 64 /* >= KMN_PEER_FD + KMN_CHILD_FDS_MAX: where descriptors wait for their places */
#define EXIT_NO_EXEC 127

_Static_assert(ABOVE_ALL_PLACES >= KMN_PEER_FD + KMN_CHILD_FDS_MAX, "places overlap");

/* The setup lies in the pipe before the child is there, so that the supervisor never waits for it. */
static kmn_err
fill_pipe(const struct kmn_writer *w, int *read_end_out)
{
	int ends[2];
	kmn_err e = KMN_OK;

	*read_end_out = -1;
	if (w->err != KMN_OK)
		return w->err;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return KMN_E_IO;
	if (fcntl(ends[1], F_GETPIPE_SZ) < (int)w->len && fcntl(ends[1], F_SETPIPE_SZ, (int)w->len) < 0)
		e = KMN_E_TOO_BIG;
	else if (write(ends[1], w->bytes, w->len) != (ssize_t)w->len)
		e = KMN_E_TOO_BIG;
	(void)close(ends[1]);
	if (e != KMN_OK || fcntl(ends[0], F_SETFL, 0) != 0) {
		(void)close(ends[0]);
		return e != KMN_OK ? e : KMN_E_IO;
	}
	*read_end_out = ends[0];
	return KMN_OK;
}

/* In the child: puts every descriptor at its place and closes all others. */
static bool
arrange(const struct kmn_child *child, int setup)
{
	int parked[KMN_CHILD_FDS_MAX + 1];
	unsigned n = child->fd_count + 1;

	for (unsigned i = 0; i < n; i++)
		if ((parked[i] = fcntl(i == 0 ? setup : child->fds[i - 1], F_DUPFD, ABOVE_ALL_PLACES)) < 0)
			return false;
	for (unsigned i = 0; i < n; i++)
		if (dup2(parked[i], KMN_HANDOVER_FD + (int)i) < 0)
			return false;
	/* What a vendor's module prints belongs to the log; stdin is /dev/null since the supervisor's start. */
	return dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 &&
	       syscall(SYS_close_range, (unsigned)KMN_HANDOVER_FD + n, ~0u, 0u) == 0;
}

/* Between fork and exec: only calls that are safe there. */
_Noreturn static void
become(const struct kmn_child *child, int setup)
{
	char fd[] = {'0' + KMN_HANDOVER_FD, '\0'};
	char *argv[] = {(char[]){"kanmond"}, (char[]){"--role"}, NULL, (char[]){"--fd"}, fd, NULL};
	char role[16];
	sigset_t none;

	(void)snprintf(role, sizeof(role), "%s", kmn_role_name(child->role));
	argv[2] = role;
	(void)sigemptyset(&none);
	(void)signal(SIGHUP, SIG_IGN); /* it is the supervisor's, who hears of it by another way */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid(); /* ^C at the terminal is the supervisor's to judge */
	if (arrange(child, setup))
		(void)execve("/proc/self/exe", argv, child->environment);
	_exit(EXIT_NO_EXEC);
}

kmn_err
kmn_child_start(const struct kmn_child *child, pid_t *pid_out)
{
	int setup;
	kmn_err e;

	*pid_out = -1;
	if ((e = fill_pipe(child->handover, &setup)) != KMN_OK)
		return e;
	if ((*pid_out = fork()) == 0)
		become(child, setup);
	(void)close(setup);
	return *pid_out > 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

void
kmn_child_how(int status, char *out, size_t room)
{
	if (WIFSIGNALED(status))
		snprintf(out, room, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(out, room, "exit status %d", WEXITSTATUS(status));
}
