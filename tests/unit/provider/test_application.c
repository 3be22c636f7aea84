/* C_Initialize to C_Finalize: arguments, configuration, fork, unloading, silence. */
#include "config.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/provider/module.h"
#include "tests/unit/run.h"

static CK_RV
mutex_create(void **mutex)
{
	*mutex = NULL;
	return CKR_OK;
}

static CK_RV
mutex_use(void *mutex)
{
	(void)mutex;
	return CKR_OK;
}

static char plain_profile[] = "quorum-wait=1 connections=2", wrong_profile[] = "colour=red", no_profile[] = "";
static char binary_profile[] = {1, 2, 3, 0}, pair_profile[] = "fork", quoted_profile[] = "origin='kanmon";
static char long_profile[8192]; /* blanks, and no end where one is looked for: filled by main() */

#define MUTEXES .CreateMutex = mutex_create, .DestroyMutex = mutex_use, .LockMutex = mutex_use, .UnlockMutex = mutex_use

static const struct {
	const char *says;
	CK_C_INITIALIZE_ARGS args;
	CK_RV want;
} init_cases[] = {
    {"no flags, no mutexes", {.flags = 0}, CKR_OK},
    {"the system's locks", {.flags = CKF_OS_LOCKING_OK}, CKR_OK},
    {"no threads of ours", {.flags = CKF_OS_LOCKING_OK | CKF_LIBRARY_CANT_CREATE_OS_THREADS}, CKR_OK},
    {"both: our own locks are taken", {MUTEXES, .flags = CKF_OS_LOCKING_OK}, CKR_OK},
    {"only the caller's locks", {MUTEXES}, CKR_CANT_LOCK},
    {"some mutex functions, not all", {.CreateMutex = mutex_create, .flags = CKF_OS_LOCKING_OK}, CKR_ARGUMENTS_BAD},
    {"a profile", {.flags = CKF_OS_LOCKING_OK, .pReserved = plain_profile}, CKR_OK},
    {"an empty profile", {.flags = CKF_OS_LOCKING_OK, .pReserved = no_profile}, CKR_OK},
    {"a profile with a name that is no setting", {.pReserved = wrong_profile}, CKR_ARGUMENTS_BAD},
    {"bytes that are no profile", {.pReserved = binary_profile}, CKR_ARGUMENTS_BAD},
    {"a word that is no pair", {.pReserved = pair_profile}, CKR_ARGUMENTS_BAD},
    {"a quote without its end", {.pReserved = quoted_profile}, CKR_ARGUMENTS_BAD},
    {"text that does not end", {.pReserved = long_profile}, CKR_ARGUMENTS_BAD},
    {"a profile, and only the caller's locks", {MUTEXES, .pReserved = plain_profile}, CKR_CANT_LOCK},
    {"only the caller's locks, and no threads", {MUTEXES, .flags = CKF_LIBRARY_CANT_CREATE_OS_THREADS}, CKR_CANT_LOCK},
};

static void
test_init_arguments(void)
{
	struct gateway *g = begin("");

	CU_ASSERT_EQUAL(p11->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
	CU_ASSERT_EQUAL(p11->C_Finalize(g), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	for (size_t i = 0; i < KMN_COUNT_OF(init_cases); i++) {
		CK_C_INITIALIZE_ARGS args = init_cases[i].args;
		CK_RV rv = p11->C_Initialize(&args);

		if (rv != init_cases[i].want) {
			printf("# %s: 0x%lx\n", init_cases[i].says, rv);
			CU_FAIL("see the line above");
		}
		CU_ASSERT_EQUAL(p11->C_Finalize(NULL), rv == CKR_OK ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED);
	}
	CU_ASSERT_EQUAL(p11->C_Initialize(NULL), CKR_OK);
	end(g);
}

/* The configuration may come with the call: NSS's parameters=, libp11's INIT_ARGS, pkcs11-provider's init-args. */
static void
test_init_profile(void)
{
	struct gateway *g = begin("");
	char profile[512], gateway[64];
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK, .pReserved = profile};

	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	(void)snprintf(gateway, sizeof(gateway), "127.0.0.1:%u", g->port);
	g->port = 1;
	CU_ASSERT_TRUE(gateway_configure(g, ""));
	(void)snprintf(profile, sizeof(profile), "config='%s'", getenv("KANMON_CONFIG"));
	CU_ASSERT_EQUAL(setenv("KANMON_CONFIG", "/nonexistent", 1), 0);
	CU_ASSERT_EQUAL(p11->C_Initialize(&args), CKR_FUNCTION_FAILED); /* that file, and nobody listens there */
	(void)snprintf(profile + strlen(profile), sizeof(profile) - strlen(profile), " gateway=\"%s\"", gateway);
	CU_ASSERT_EQUAL(p11->C_Initialize(&args), CKR_OK);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	end(g);
}

static void
test_without_configuration(void)
{
	uint64_t start = now_ms();

	CU_ASSERT_EQUAL(setenv("KANMON_CONFIG", "/nonexistent", 1), 0);
	CU_ASSERT_TRUE_FATAL(module_load());
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT(now_ms() - start < 5000); /* init-wait is 10 s */
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_CRYPTOKI_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	module_unload();
}

static void
test_unreachable(void)
{
	struct gateway *g = gateway_new();
	uint64_t start;

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	gateway_stop(g);
	CU_ASSERT_TRUE_FATAL(gateway_configure(g, ""));
	CU_ASSERT_TRUE_FATAL(module_load());
	start = now_ms();
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT(now_ms() - start >= 300); /* init-wait is 1 s; the last pause may not fit in */
	CU_ASSERT(now_ms() - start < 8000);
	CU_ASSERT_TRUE_FATAL(gateway_start(g)); /* comes while C_Initialize tries */
	atomic_store(&g->break_where, BREAK_BEFORE_HANDSHAKE);
	atomic_store(&g->breaks, 2);
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	end(g);
}

static void
test_wrong_peer(void)
{
	struct gateway *g = begin("");
	uint64_t start;

	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_TRUE(
	    gateway_configure(g, "init-wait = 10\ngateway-spki = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n"));
	start = now_ms();
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT(now_ms() - start < 5000);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 1);
	CU_ASSERT_TRUE(gateway_configure(g, "origin = \"kanmon.example/other\"\n"));
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 2);
	CU_ASSERT_TRUE(gateway_configure(g, "key = \"gateway.key\"\n"));
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT_TRUE(gateway_configure(g, ""));
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	end(g);
}

static void
test_again_and_again(void)
{
	struct gateway *g = begin("");

	for (int i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
		CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
		CU_ASSERT_EQUAL(plain_call(1, 1), CKR_CRYPTOKI_NOT_INITIALIZED);
		module_unload();
		CU_ASSERT_TRUE_FATAL(module_load());
		CU_ASSERT_EQUAL(module_init(), CKR_OK);
	}
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 6);
	CU_ASSERT_EQUAL(atomic_load(&g->detached), 5);
	end(g);
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

static unsigned
count_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 3; fd < 256; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0 && (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode)))
			n++;
	}
	return n;
}

/* What a child sees; its exit status is the number of the first thing that is not so. */
static int
child(unsigned before)
{
	if (count_descriptors() != before)
		return 1;
	if (plain_call(1, 1) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 2;
	if (p11->C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 3;
	if (module_init() != CKR_OK)
		return 4;
	if (plain_call(1, 1) != CKR_OK)
		return 5;
	if (p11->C_Finalize(NULL) != CKR_OK)
		return 6;
	return 0;
}

static int
status_of(pid_t pid)
{
	int status;

	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static void
test_fork(void)
{
	unsigned before = count_descriptors();
	struct gateway *g = begin("");
	unsigned goodbyes;
	pid_t pid;

	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	goodbyes = atomic_load(&g->goodbyes);
	(void)fflush(NULL);
	if ((pid = fork()) == 0)
		_exit(child(before));
	CU_ASSERT_EQUAL(status_of(pid), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 2);
	/* the child's own connection said goodbye, the parent's copy did not, and the parent goes on */
	pause_ms(50);
	CU_ASSERT(atomic_load(&g->goodbyes) <= goodbyes + 1);
	CU_ASSERT_EQUAL(atomic_load(&g->joined), 0);
	if ((pid = fork()) == 0)
		_exit(p11->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED ? 0 : 1);
	CU_ASSERT_EQUAL(status_of(pid), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->detached), 1);
	end(g);
}

static void *
call_for_ever(void *cookie)
{
	atomic_bool *stop = cookie;
	uintptr_t wrong = 0;

	while (!atomic_load(stop)) {
		if (plain_call(1, 1) != CKR_OK)
			wrong++;
	}
	return (void *)wrong;
}

static void
test_fork_among_threads(void)
{
	struct gateway *g = begin("connections = 4\n");
	pthread_t thread[6];
	atomic_bool stop = false;

	for (size_t i = 0; i < KMN_COUNT_OF(thread); i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, call_for_ever, &stop), 0);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(plain_call(1, 1) == CKR_CRYPTOKI_NOT_INITIALIZED &&
				      p11->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED
				  ? 0
				  : 1);
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

static void
test_fork_after_unload(void)
{
	struct gateway *g = begin("");
	pid_t pid;

	end(g);
	if ((pid = fork()) == 0)
		_exit(0); /* a hook left behind would jump into what is unmapped */
	CU_ASSERT_EQUAL(status_of(pid), 0);
}

/* ---- what the module does not do --------------------------------------------------------------------------------- */

static void
test_symbols(void)
{
	FILE *nm = popen("nm -D --defined-only .libs/kanmon-pkcs11.so 2>/dev/null", "r");
	char line[256], name[200];
	unsigned n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(nm);
	while (fgets(line, sizeof(line), nm) != NULL) {
		CU_ASSERT_EQUAL(sscanf(line, "%*s %*s %199s", name), 1);
		CU_ASSERT_NSTRING_EQUAL(name, "C_", 2);
		n++;
	}
	CU_ASSERT_EQUAL(n, 104);
	CU_ASSERT_EQUAL(pclose(nm), 0);
}

static void
test_calls_of_others(void)
{
	static const char *const never[] = {"pthread_create", "atexit", "on_exit", "signal", "sigaction",
	    "pthread_sigmask", "exit", "_exit", "getenv", "setenv", "puts", "printf", "perror", "syslog", "fork",
	    "system"};
	FILE *nm = popen("nm -D --undefined-only .libs/kanmon-pkcs11.so 2>/dev/null", "r");
	char line[256], name[200];
	unsigned n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(nm);
	while (fgets(line, sizeof(line), nm) != NULL) {
		if (sscanf(line, "%*s %199[^@\n]", name) != 1)
			continue;
		for (size_t i = 0; i < KMN_COUNT_OF(never); i++)
			CU_ASSERT_STRING_NOT_EQUAL(name, never[i]);
		n++;
	}
	CU_ASSERT(n > 50);
	CU_ASSERT_EQUAL(pclose(nm), 0);
}

static void
check_errors(void)
{
	const char *file, *function, *data;
	int line, flags;

	CU_ASSERT_EQUAL(ERR_GET_REASON(ERR_peek_last_error()), ERR_R_PASSED_NULL_PARAMETER);
	CU_ASSERT_EQUAL(ERR_get_error_all(&file, &line, &function, &data, &flags),
	    ERR_PACK(ERR_LIB_PEM, 0, ERR_R_NESTED_ASN1_ERROR));
	CU_ASSERT_STRING_EQUAL(data, "of the host");
	CU_ASSERT_STRING_EQUAL(file, "host.c");
	CU_ASSERT_EQUAL(line, 7);
	CU_ASSERT_NOT_EQUAL(ERR_get_error(), 0);
	CU_ASSERT_EQUAL(ERR_get_error(), 0);
}

static void
raise_errors(void)
{
	ERR_new();
	ERR_set_debug("host.c", 7, "host");
	ERR_set_error(ERR_LIB_PEM, ERR_R_NESTED_ASN1_ERROR, "%s", "of the host");
	ERR_raise(ERR_LIB_X509, ERR_R_PASSED_NULL_PARAMETER);
}

static void
test_errors_of_the_host(void)
{
	struct gateway *g = begin("");

	raise_errors();
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	check_errors();
	raise_errors();
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	check_errors();
	raise_errors();
	atomic_store(&g->break_where, BREAK_BEFORE_REPLY);
	atomic_store(&g->breaks, 1);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	check_errors();
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	CU_ASSERT_EQUAL(ERR_get_error(), 0);
	end(g);
}

static void
fail_in_all_ways(struct gateway *g)
{
	CK_UTF8CHAR pin[] = "secret-pin-1234";

	(void)setenv("KANMON_CONFIG", "/nonexistent", 1);
	(void)module_init();
	(void)gateway_configure(g, "colour = \"red\"\n");
	(void)module_init();
	(void)gateway_configure(g, "gateway-spki = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\n");
	(void)module_init();
	(void)gateway_configure(g, "quorum-wait = 0\n");
	if (module_init() != CKR_OK)
		return;
	atomic_store(&g->hold, 1);
	(void)held_call(1, 1);
	atomic_store(&g->break_where, BREAK_IN_REPLY);
	atomic_store(&g->breaks, 1);
	(void)plain_call(1, 1);
	(void)p11->C_Login(1, CKU_USER, pin, sizeof(pin) - 1);
	gateway_stop(g);
	(void)plain_call(1, 1);
	(void)p11->C_Finalize(NULL);
}

/* Size of what is written to stderr and stdout meanwhile; what it was is in `text`. */
static ssize_t
overhear(const char *debug, char *text, size_t size)
{
	struct gateway *g = gateway_new();
	FILE *heard = tmpfile();
	ssize_t n;
	pid_t pid;

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	CU_ASSERT_PTR_NOT_NULL_FATAL(heard);
	atomic_store(&g->lease_ms, 200);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	(void)fflush(NULL);
	if ((pid = fork()) == 0) {
		(void)setenv("KMN_DEBUG", debug, 1);
		if (!module_load() || dup2(fileno(heard), 1) < 0 || dup2(fileno(heard), 2) < 0)
			_exit(1);
		fail_in_all_ways(g);
		_exit(0);
	}
	CU_ASSERT_EQUAL(status_of(pid), 0);
	n = pread(fileno(heard), text, size - 1, 0);
	CU_ASSERT_FATAL(n >= 0);
	text[n] = '\0';
	(void)fclose(heard);
	gateway_free(g);
	return n;
}

static void
test_silence(void)
{
	static char text[65536];

	CU_ASSERT_EQUAL(overhear("", text, sizeof(text)), 0);
	CU_ASSERT(overhear("all", text, sizeof(text)) > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "kanmon.conf:8: no such option 'colour'"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "is held for approval, request 7"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "C_Login"));
	CU_ASSERT_PTR_NULL(strstr(text, "secret-pin"));
	CU_ASSERT(overhear("wait", text, sizeof(text)) > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "wait: C_SignUpdate"));
	CU_ASSERT_PTR_NULL(strstr(text, "] call:"));
}

static void
test_slot_events(void)
{
	struct gateway *g = begin("");
	CK_SLOT_ID slot = 9;

	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	CU_ASSERT_EQUAL(slot, 9);
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &slot), CKR_ARGUMENTS_BAD);
	atomic_store(&g->events, 1);
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK);
	CU_ASSERT_EQUAL(slot, 5);
	CU_ASSERT_EQUAL(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
	end(g);
}

struct waiter {
	pthread_t thread;
	CK_SLOT_ID slot;
	CK_RV rv;
};

static void *
wait_for_event(void *cookie)
{
	struct waiter *w = cookie;

	w->rv = p11->C_WaitForSlotEvent(0, &w->slot, NULL);
	return NULL;
}

/* Starts them, and returns when they wait for notices. */
static void
start_waiters(struct gateway *g, struct waiter *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		w[i] = (struct waiter){.rv = CKR_OK};
		CU_ASSERT_EQUAL_FATAL(pthread_create(&w[i].thread, NULL, wait_for_event, &w[i]), 0);
	}
	CU_ASSERT_TRUE(gateway_await(&g->watched, 1));
	pause_ms(100);
}

static void
test_slot_event_ends(void)
{
	struct gateway *g = begin("");
	struct waiter w[3];

	start_waiters(g, w, 3);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	for (size_t i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(pthread_join(w[i].thread, NULL), 0);
		CU_ASSERT_EQUAL(w[i].rv, CKR_CRYPTOKI_NOT_INITIALIZED);
	}
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	end(g);
}

/* One event is for one of those who wait; a notice without one is for nobody. */
static void
test_slot_event_comes(void)
{
	struct gateway *g = begin("");
	struct waiter w[2];
	unsigned done = 0;

	start_waiters(g, w, 2);
	CU_ASSERT(atomic_load(&g->ended_waits) >= 2);
	for (CK_ULONG i = 0; i < 3000; i++) /* the wait holds no number: the window passes it by */
		CU_ASSERT_EQUAL(plain_call(1, i), CKR_OK);
	atomic_fetch_add(&g->notices, 1);
	pause_ms(100);
	atomic_store(&g->events, 1);
	atomic_fetch_add(&g->notices, 1);
	for (int i = 0; i < 500 && atomic_load(&g->events) > 0; i++)
		pause_ms(10);
	CU_ASSERT_EQUAL(atomic_load(&g->events), 0);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	for (size_t i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(pthread_join(w[i].thread, NULL), 0);
		CU_ASSERT(w[i].rv == CKR_CRYPTOKI_NOT_INITIALIZED || (w[i].rv == CKR_OK && w[i].slot == 5));
		done += w[i].rv == CKR_OK;
	}
	CU_ASSERT_EQUAL(done, 1);
	CU_ASSERT_EQUAL(atomic_load(&g->watched), 1);
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	end(g);
}

/* The gateway forgot the application: the wait goes on at the new one. */
static void
test_slot_event_outlives_an_instance(void)
{
	struct gateway *g = begin("");
	struct waiter w;

	start_waiters(g, &w, 1);
	atomic_store(&g->forgets, 1);
	CU_ASSERT_TRUE(gateway_await(&g->attached, 2));
	CU_ASSERT_TRUE(gateway_await(&g->watched, 2));
	atomic_store(&g->events, 1);
	pause_ms(50);
	atomic_fetch_add(&g->notices, 1);
	CU_ASSERT_EQUAL(pthread_join(w.thread, NULL), 0);
	CU_ASSERT_EQUAL(w.rv, CKR_OK);
	CU_ASSERT_EQUAL(w.slot, 5);
	end(g);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"C_Initialize takes and refuses what the text says", test_init_arguments},
	    {"a profile names the file, and overrides what is in it", test_init_profile},
	    {"without a configuration C_Initialize fails at once", test_without_configuration},
	    {"a gateway that is not there is tried for init-wait", test_unreachable},
	    {"a gateway with another key or origin is refused at once", test_wrong_peer},
	    {"it can be initialised again, and loaded again", test_again_and_again},
	    {"a forked child is a new application", test_fork},
	    {"fork while other threads call", test_fork_among_threads},
	    {"fork after the module is unloaded", test_fork_after_unload},
	    {"only C_ symbols are exported", test_symbols},
	    {"it starts no thread, installs no handler, never exits", test_calls_of_others},
	    {"OpenSSL errors of the host stay where they are", test_errors_of_the_host},
	    {"nothing is printed but for KMN_DEBUG, and never a PIN", test_silence},
	    {"slot events: none, when asked without blocking", test_slot_events},
	    {"slot events: the wait ends with C_Finalize", test_slot_event_ends},
	    {"slot events: the wait ends with an event, and holds no number", test_slot_event_comes},
	    {"slot events: the wait outlives the instance", test_slot_event_outlives_an_instance},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"provider/application", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	memset(long_profile, ' ', sizeof(long_profile));
	return kmn_test_main(argc, argv, suites);
}
