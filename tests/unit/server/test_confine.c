#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/confine.h"
#include "tests/unit/run.h"

#define FIRST_USER 61001u /* as root, the roles' users begin here; no account is needed */
#define NOT_CONFINED 99

static char folder[] = "/tmp/kmn-confine-XXXXXX"; /* stands for the ledger's */
static bool from_root;                            /* set once */
static int folder_fd = -1, pair[2] = {-1, -1};

/* ---- what is tried: 0, or the errno ------------------------------------------------------------------------------- */

static int
or_errno(long result)
{
	return result < 0 ? errno : 0;
}

static int
try_open(void)
{
	return or_errno(open("/etc/passwd", O_RDONLY));
}

static int
try_open_in_ledger(void)
{
	return or_errno(openat(folder_fd, "file", O_RDWR | O_CREAT, 0640));
}

static int
try_ledger_work(void)
{
	int fd = openat(folder_fd, "segment", O_RDWR | O_CREAT, 0640);

	if (fd < 0 || pwrite(fd, "x", 1, 0) != 1 || fdatasync(fd) != 0 || ftruncate(fd, 0) != 0 || fsync(fd) != 0 ||
	    mkdirat(folder_fd, "blobs", 0750) != 0 || renameat(folder_fd, "segment", folder_fd, "renamed") != 0)
		return errno;
	return or_errno(unlinkat(folder_fd, "renamed", 0));
}

static int
try_open_out_of_ledger(void)
{
	return or_errno(openat(folder_fd, "../../etc/passwd", O_RDONLY));
}

static int
try_execve(void)
{
	char *argv[] = {(char[]){"true"}, NULL};

	return or_errno(execve("/bin/true", argv, argv + 1));
}

static int
try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return or_errno(pid);
}

static void *
nothing(void *cookie)
{
	return cookie;
}

static int
try_thread(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, nothing, NULL);

	return error != 0 ? error : pthread_join(thread, NULL);
}

static int
try_ptrace(void)
{
	return or_errno(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int
try_socket(void)
{
	return or_errno(socket(AF_INET, SOCK_STREAM, 0));
}

static int
try_local_socket(void)
{
	return or_errno(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int
try_resolver(void)
{
	int fd = open("/etc/hosts", O_RDONLY);

	return fd < 0 ? errno : or_errno(open("/etc/hosts", O_RDWR) < 0 && errno == EACCES ? 0 : -1);
}

static int
try_connect(void)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return or_errno(connect(pair[0], (const void *)&to, sizeof(to)));
}

static int
try_listen(void)
{
	return or_errno(listen(pair[0], 1));
}

static int
try_accept(void)
{
	return or_errno(accept4(pair[0], NULL, NULL, SOCK_NONBLOCK));
}

static int
try_kill_parent(void)
{
	return or_errno(kill(getppid(), 0));
}

static int
try_setuid(void)
{
	return or_errno(setresuid(0, 0, 0));
}

static int
try_loop(void)
{
	struct epoll_event event = {.events = EPOLLOUT};
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, pair[0], &event) != 0 || epoll_wait(ep, &event, 1, 10) != 1)
		return errno;
	if (send(pair[0], "x", 1, MSG_NOSIGNAL) != 1)
		return errno;
	return 0;
}

static int
try_memory(void)
{
	uint8_t *secret = sodium_malloc(100);
	void *big = malloc(8u << 20);

	if (secret == NULL || big == NULL)
		return ENOMEM;
	randombytes_buf(secret, 100);
	sodium_free(secret);
	free(big);
	return 0;
}

static int
try_say(void)
{
	kmn_say(KMN_SAY_DEBUG, "not said");
	kmn_say_init("test", pair[0], KMN_SAY_DEBUG);
	kmn_say(KMN_SAY_DEBUG, "said to nobody");
	return 0;
}

static int
try_abort(void)
{
	abort();
}

/* ---- the cases ---------------------------------------------------------------------------------------------------- */

#define KILLED (-SIGSYS)
#define NOT_ASKED (-1000)
/* clang-format off */
static const struct { const char *says; int (*try)(void); int gate, keeper, worker, courier, runner; } cases[] = {
	{ "open of a file",               try_open,               EPERM,    EACCES,   0, EACCES, EPERM },
	{ "open in the ledger",           try_open_in_ledger,     EPERM,    0,        NOT_ASKED, EACCES, EPERM },
	{ "all that a ledger does",       try_ledger_work,        EPERM,    0,        NOT_ASKED, NOT_ASKED, EPERM },
	{ "open out of the ledger",       try_open_out_of_ledger, EPERM,    EACCES,   NOT_ASKED, EACCES, EPERM },
	{ "execve",                       try_execve,             KILLED,   KILLED,   EPERM, KILLED, KILLED },
	{ "fork",                         try_fork,               KILLED,   KILLED,   EPERM, KILLED, KILLED },
	{ "a thread",                     try_thread,             EPERM,    0,        0, 0, EPERM },
	{ "ptrace",                       try_ptrace,             KILLED,   KILLED,   EPERM, KILLED, KILLED },
	{ "socket",                       try_socket,             KILLED,   KILLED,   0, 0, 0 },
	{ "connect",                      try_connect,            KILLED,   KILLED,   EINVAL, EINVAL, EINVAL },
	{ "a local socket",               try_local_socket,       KILLED,   KILLED,   0,         EPERM, EPERM },
	{ "reading the resolver's files", try_resolver,           EPERM,    EACCES,   0,         0, EPERM },
	{ "listen",                       try_listen,             KILLED,   KILLED,   EPERM, KILLED, KILLED },
	{ "accept",                       try_accept,             EINVAL,   KILLED,   EPERM, KILLED, KILLED },
	{ "a signal to another",          try_kill_parent,        EPERM,    EPERM,    EPERM, EPERM, EPERM },
	{ "becoming root again",          try_setuid,             KILLED,   KILLED,   EPERM, KILLED, KILLED },
	{ "epoll and send",               try_loop,               0,        0,        0, 0, 0 },
	{ "guarded memory",               try_memory,             0,        0,        0, 0, 0 },
	{ "a line to the operator",       try_say,                0,        0,        0, 0, 0 },
	{ "abort",                        try_abort,              -SIGABRT, -SIGABRT, -SIGABRT, -SIGABRT, -SIGABRT },
};
/* clang-format on */

static struct kmn_confine
confine_of(enum kmn_role role)
{
	struct kmn_confine c = {
	    .role = role,
	    .how = KMN_CONFINEMENT_FULL,
	    .drop = geteuid() == 0,
	    .uid = FIRST_USER + role,
	    .gid = FIRST_USER + role,
	    .parent = getpid(),
	    .ledger = role == KMN_ROLE_KEEPER ? folder_fd : -1,
	    .files = 64,
	};

	return c;
}

/* In a process of its own: confined as `role`, then `try`. Its errno, minus the signal that ended it, or NOT_CONFINED. */
static int
in_role(enum kmn_role role, int (*try)(void))
{
	struct kmn_confine c = confine_of(role);
	char why[KMN_SETTINGS_WHY_BYTES];
	int status = -1;
	pid_t pid;

	(void)fflush(stdout);
	if ((pid = fork()) == 0) {
		kmn_say_init("test", STDERR_FILENO, KMN_SAY_ERROR);
		if (kmn_confine(&c, why) != KMN_OK) {
			(void)!write(STDERR_FILENO, why, strlen(why));
			_exit(NOT_CONFINED);
		}
		_exit(try());
	}
	(void)waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void
check(enum kmn_role role, const char *says, int want, int got)
{
	if (want == NOT_ASKED)
		return;
	if (got != want)
		printf("# %s: %s: %d, wanted %d\n", kmn_role_name(role), says, got, want);
	CU_ASSERT_EQUAL(got, want);
}

static void
test_role(enum kmn_role role)
{
	for (size_t i = 0; kmn_confine_can_filter() && i < KMN_COUNT_OF(cases); i++) {
		int want = role == KMN_ROLE_GATE || role == KMN_ROLE_CONSOLE ? cases[i].gate
			   : role == KMN_ROLE_KEEPER                         ? cases[i].keeper
			   : role == KMN_ROLE_WORKER                         ? cases[i].worker
			   : role == KMN_ROLE_COURIER                        ? cases[i].courier
									     : cases[i].runner;

		if (want != NOT_ASKED)
			check(role, cases[i].says, want, in_role(role, cases[i].try));
	}
}

static void
test_gate(void)
{
	test_role(KMN_ROLE_GATE);
}

/* What browsers talk to may do no more than what clients talk to. */
static void
test_console(void)
{
	test_role(KMN_ROLE_CONSOLE);
}

static void
test_keeper(void)
{
	test_role(KMN_ROLE_KEEPER);
}

static void
test_courier(void)
{
	test_role(KMN_ROLE_COURIER);
}

static void
test_runner(void)
{
	test_role(KMN_ROLE_RUNNER);
}

static void
test_worker(void)
{
	test_role(KMN_ROLE_WORKER);
}

/* ---- what holds for all ------------------------------------------------------------------------------------------ */

static int
look_around(void)
{
	struct rlimit core, files;

	if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_max != 0)
		return 1;
	if (prctl(PR_GET_DUMPABLE) != 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 3;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_max > 64)
		return 4;
	if (getuid() == 0 || geteuid() == 0 || getgid() == 0)
		return 5;
	if (prctl(PR_CAPBSET_READ, 0) == 1 && from_root)
		return 6;
	return getgroups(0, NULL) != 0 && from_root ? 7 : 0;
}

static void
test_everybody(void)
{
	/* The worker's filter lets all of these questions through. */
	CU_ASSERT_EQUAL(in_role(KMN_ROLE_WORKER, look_around), 0);
}

static int
wait_long(void)
{
	sleep(30);
	return 0;
}

/* Whoever is confined under a parent that is gone already does not start. */
static void
test_orphan(void)
{
	struct kmn_confine c = confine_of(KMN_ROLE_GATE);
	char why[KMN_SETTINGS_WHY_BYTES];
	int status;
	pid_t pid;

	c.parent = 1;
	if ((pid = fork()) == 0)
		_exit(kmn_confine(&c, why) == KMN_OK ? wait_long() : NOT_CONFINED);
	(void)waitpid(pid, &status, 0);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == NOT_CONFINED);
}

static void
test_no_filter(void)
{
	struct kmn_confine c = confine_of(KMN_ROLE_GATE);
	char why[KMN_SETTINGS_WHY_BYTES];
	int status;
	pid_t pid;

	c.how = KMN_CONFINEMENT_NO_SECCOMP;
	if ((pid = fork()) == 0) {
		kmn_say_init("test", STDERR_FILENO, KMN_SAY_ERROR);
		_exit(kmn_confine(&c, why) == KMN_OK ? try_fork() : NOT_CONFINED);
	}
	(void)waitpid(pid, &status, 0);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int
set_up(void)
{
	from_root = geteuid() == 0;
	if (sodium_init() < 0 || mkdtemp(folder) == NULL)
		return 1;
	if (geteuid() == 0 && chown(folder, FIRST_USER + KMN_ROLE_KEEPER, FIRST_USER + KMN_ROLE_KEEPER) != 0)
		return 1;
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0;
}

static int
tear_down(void)
{
	(void)unlinkat(folder_fd, "file", 0);
	(void)unlinkat(folder_fd, "blobs", AT_REMOVEDIR);
	return rmdir(folder);
}

static CU_TestInfo confine_tests[] = {
    {"gate: no file, no process, no way out", test_gate},
    {"nor is the console", test_console},
    {"keeper: its ledger and nothing else", test_keeper},
    {"courier: connections out, and no file but the resolver's and the CAs'", test_courier},
    {"runner: connections out, and no file", test_runner},
    {"worker: files and network, no other process", test_worker},
    {"everybody: no core, no tracer, no rights to come back to", test_everybody},
    {"nobody starts when the supervisor is gone", test_orphan},
    {"no-seccomp leaves the rest in place", test_no_filter},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"server/confine", set_up, tear_down, NULL, NULL, confine_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
