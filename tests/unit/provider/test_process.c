/* The process around the module: fork in all its forms, descriptors that the host closes, loading again and again. */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/provider/module.h"
#include "tests/unit/run.h"

static int
status_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

/* A child without inheritance; its exit status is the number of the first thing that is not so. */
static int
as_nothing(void)
{
	if (plain_call(1, 1) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 1;
	return p11->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED ? 0 : 2;
}

static int
as_new(void)
{
	if (as_nothing() != 0)
		return 1;
	if (module_init() != CKR_OK || plain_call(1, 1) != CKR_OK)
		return 2;
	return p11->C_Finalize(NULL) == CKR_OK ? 0 : 3;
}

static void
test_double_fork(void)
{
	struct gateway *g = begin("");
	pid_t pid;

	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	(void)fflush(NULL);
	if ((pid = fork()) == 0) {
		if ((pid = fork()) == 0) /* a daemon's second one: its parent has used nothing */
			_exit(as_new());
		_exit(status_of(pid));
	}
	CU_ASSERT_EQUAL(status_of(pid), 0);
	if ((pid = fork()) == 0) {
		if (module_init() != CKR_OK)
			_exit(10);
		if ((pid = fork()) == 0) /* and one whose parent is an application */
			_exit(as_new());
		_exit(status_of(pid) == 0 && p11->C_Finalize(NULL) == CKR_OK ? 0 : 11);
	}
	CU_ASSERT_EQUAL(status_of(pid), 0);
	end(g);
}

static void
test_fork_without_hooks(void)
{
	struct gateway *g = begin("");
	unsigned goodbyes = atomic_load(&g->goodbyes);
	pid_t pid;

	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	(void)fflush(NULL);
	if ((pid = _Fork()) == 0)
		_exit(as_nothing());
	CU_ASSERT_EQUAL(status_of(pid), 0);
	pause_ms(50);
	CU_ASSERT_EQUAL(atomic_load(&g->goodbyes), goodbyes);
	CU_ASSERT_EQUAL(plain_call(1, 2), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->joined), 0);
	end(g);
}

/* Sockets and pipes that another program gets; not inlined beside a vfork(). */
__attribute__((noinline)) static int
given_away(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0 && (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode)) &&
		    (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0)
			n++;
	}
	return n;
}

static void
test_exec(void)
{
	static char script[] =
	    "n=0; for f in /proc/$$/fd/*; do if [ -S $f ] || [ -p $f ]; then n=$((n + 1)); fi; done; exit $n";
	static char shell[] = "sh", option[] = "-c", path[] = "PATH=/usr/bin:/bin";
	static char *argv[] = {shell, option, script, NULL}, *environment[] = {path, NULL};
	int before = given_away();
	struct gateway *g = begin("");
	pid_t pid;

	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	(void)fflush(NULL);
	if ((pid = fork()) == 0) {
		(void)execve("/bin/sh", argv, environment);
		_exit(98);
	}
	CU_ASSERT_EQUAL(status_of(pid), before);
	if ((pid = vfork()) == 0) {
		(void)execve("/bin/sh", argv, environment);
		_exit(98);
	}
	CU_ASSERT_EQUAL(status_of(pid), before);
	CU_ASSERT_EQUAL(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environment), 0);
	CU_ASSERT_EQUAL(status_of(pid), before);
	CU_ASSERT_EQUAL(plain_call(1, 2), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->joined), 0);
	end(g);
}

/* ---- fork=inherit ------------------------------------------------------------------------------------------------ */

static int
as_heir(struct gateway *g)
{
	unsigned attached = atomic_load(&g->attached);

	if (module_init() != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		return 1;
	if (atomic_load(&g->attached) != attached) /* lazily */
		return 2;
	if (plain_call(1, 1) != CKR_OK || atomic_load(&g->attached) != attached + 1)
		return 3;
	if (atomic_load(&g->first_handle) != 131072) /* the parent has seen 70000 */
		return 4;
	if (p11->C_Finalize(NULL) != CKR_OK || plain_call(1, 1) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 5;
	if (module_init() != CKR_OK)
		return 6;
	return p11->C_Finalize(NULL) == CKR_OK ? 0 : 7;
}

static void
test_inherit(void)
{
	struct gateway *g = begin("fork = inherit\n");
	CK_SESSION_HANDLE session;
	pid_t pid;

	atomic_store(&g->handle, 70000);
	CU_ASSERT_EQUAL(p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
	(void)fflush(NULL);
	if ((pid = fork()) == 0)
		_exit(as_heir(g));
	CU_ASSERT_EQUAL(status_of(pid), 0);
	if ((pid = fork()) == 0) {
		if ((pid = fork()) == 0)
			_exit(as_heir(g));
		_exit(status_of(pid) == 0 && p11->C_Finalize(NULL) == CKR_OK ? 0 : 20);
	}
	CU_ASSERT_EQUAL(status_of(pid), 0);
	if ((pid = _Fork()) == 0) /* nobody took the locks: what a thread was changing is not whole */
		_exit(as_nothing());
	CU_ASSERT_EQUAL(status_of(pid), 0);
	end(g);
}

static void *
open_and_close(void *cookie)
{
	atomic_bool *stop = cookie;
	CK_SESSION_HANDLE session;
	uintptr_t wrong = 0;

	while (!atomic_load(stop)) {
		if (p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK ||
		    p11->C_CloseSession(session) != CKR_OK)
			wrong++;
	}
	return (void *)wrong;
}

/* The tables are being changed all the time: a child finds them whole, and nobody waits for ever. */
static void
test_inherit_among_threads(void)
{
	struct gateway *g = begin("fork = inherit\nconnections = 4\n");
	pthread_t thread[4];
	atomic_bool stop = false;

	atomic_store(&g->handle, 7);
	atomic_store(&g->run_ms, 10); /* it knows no numbers above GATEWAY_NUMBERS, and forks may be slow */
	for (size_t i = 0; i < KMN_COUNT_OF(thread); i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, open_and_close, &stop), 0);
	for (int i = 0; i < 50; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(p11->C_Finalize(NULL) == CKR_OK && as_nothing() == 0 ? 0 : 1);
		CU_ASSERT_EQUAL(status_of(pid), 0);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < KMN_COUNT_OF(thread); i++) {
		void *wrong;

		CU_ASSERT_EQUAL(pthread_join(thread[i], &wrong), 0);
		CU_ASSERT_PTR_NULL(wrong);
	}
	end(g);
}

/* ---- descriptors --------------------------------------------------------------------------------------------------- */

#define LOOPS 100
#define NO_CACHE "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
#define DESCRIPTORS 64

/* A daemon closes what it does not know, and its log gets the numbers. */
static void
test_daemon_closes_all(void)
{
	struct gateway *g = begin("");
	char path[128];
	struct stat st;
	int fd;

	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	(void)snprintf(path, sizeof(path), "%s/log", g->folder);
	for (fd = 3; fd < DESCRIPTORS; fd++)
		(void)close(fd);
	while ((fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600)) >= 0 && fd < DESCRIPTORS - 1)
		;
	CU_ASSERT_EQUAL(plain_call(1, 2), CKR_OK);
	CU_ASSERT_EQUAL(plain_call(1, 3), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 3);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 0);
	for (fd = 3; fd < DESCRIPTORS; fd++) /* the log's numbers are still the log's */
		CU_ASSERT(fstat(fd, &st) != 0 || S_ISREG(st.st_mode));
	for (fd = 3; fd < DESCRIPTORS; fd++)
		(void)close(fd);
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	end(g);
}

/* ---- loading -------------------------------------------------------------------------------------------------------- */

static unsigned
entries_of(const char *folder)
{
	DIR *d = opendir(folder);
	unsigned n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		(void)closedir(d);
	return n;
}

static void
live_once(bool attached)
{
	CU_ASSERT_TRUE_FATAL(module_load());
	if (attached) {
		CU_ASSERT_EQUAL(module_init(), CKR_OK);
		CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
		CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	}
	module_unload();
}

static void
test_load_loop(void)
{
	struct gateway *g = begin("heal = on\n");
	unsigned descriptors, threads = entries_of("/proc/self/task");
	size_t heap;

	end_module();
	for (int i = 0; i < 5; i++) /* what libraries keep for good is there after a few */
		live_once(true);
	descriptors = entries_of("/proc/self/fd");
	heap = mallinfo2().uordblks;
	for (int i = 0; i < LOOPS; i++)
		live_once(i % 4 == 0);
	CU_ASSERT_EQUAL(entries_of("/proc/self/task"), threads);
	CU_ASSERT_EQUAL(entries_of("/proc/self/fd"), descriptors);
	CU_ASSERT_EQUAL(mallinfo2().uordblks, heap);
	CU_ASSERT_TRUE_FATAL(module_load());
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	for (int i = 0; i < 25; i++) {
		CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
		CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
		CU_ASSERT_EQUAL(module_init(), CKR_OK);
	}
	CU_ASSERT_EQUAL(entries_of("/proc/self/fd"), descriptors + 5); /* a connection, two pipes */
	end(g);
}

/* ---- callbacks ------------------------------------------------------------------------------------------------------ */

static CK_RV
notified(CK_SESSION_HANDLE session, CK_NOTIFICATION event, void *cookie)
{
	(void)session;
	(void)event;
	*(bool *)cookie = true;
	return CKR_CANCEL;
}

/* It stays here, and is no reason to refuse a session. */
static void
test_notify(void)
{
	struct gateway *g = begin("");
	CK_SESSION_HANDLE session = 0;
	bool called = false;

	atomic_store(&g->handle, 9);
	CU_ASSERT_EQUAL(p11->C_OpenSession(0, CKF_SERIAL_SESSION, &called, notified, &session), CKR_OK);
	CU_ASSERT_EQUAL(session, 9);
	CU_ASSERT_EQUAL(plain_call(session, 1), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_CloseSession(session), CKR_OK);
	CU_ASSERT_FALSE(called);
	end(g);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a child's child is a new application too", test_double_fork},
	    {"a child made without fork() is noticed", test_fork_without_hooks},
	    {"fork, vfork and spawn: another program gets no descriptor of ours", test_exec},
	    {"inherit: a child is an application, lazily, with handles of its own", test_inherit},
	    {"inherit: fork while threads open and close sessions", test_inherit_among_threads},
	    {"a daemon that closes all descriptors loses nothing but a connection", test_daemon_closes_all},
	    {"loading and initialising in a loop leaves nothing behind", test_load_loop},
	    {"a notify callback stays here", test_notify},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"provider/process", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	/* test_load_loop counts bytes: without a cache of freed ones, which must be said before the process begins */
	if (getenv("GLIBC_TUNABLES") == NULL && setenv("GLIBC_TUNABLES", NO_CACHE, 1) == 0)
		(void)execv("/proc/self/exe", argv);
	return kmn_test_main(argc, argv, suites);
}
