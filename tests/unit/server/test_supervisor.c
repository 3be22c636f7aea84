/*
 * The supervisor with roles that are not the gateway's: this program is
 * kanmond when it is called with --config or --role, with the mains below.
 * They tell what they see in the ledger's folder, in a file `events`.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/ipc.h"
#include "kanmon/reader.h"
#include "kanmon/calls.h"
#include "kanmon/messages.h"
#include "kanmon/roles.h"
#include "kanmon/types.h"
#include "server/kanmond.h"
#include "server/settings.h"
#include "tests/unit/run.h"

#define FIRST_USER 61001u
#define WAIT_MS 10000
#define PID_MESSAGE 1
#define FAKE_WORKER 7u
#define FAKE_OTHER 20u    /* of the other module */
#define FAKE_STRANGER 21u /* of a module that is not there */

/* ---- the roles --------------------------------------------------------------------------------------------------- */

/* Says its process id to the keeper, then waits for the keeper's end. */
static int
report_and_wait(int fd)
{
	struct kmn_ipc *ipc;
	struct kmn_ipc_message m;
	struct kmn_writer w;
	kmn_err e;

	if (kmn_ipc_new(fd, 0, &ipc) != KMN_OK)
		return 1;
	kmn_writer_init(&w, 64);
	kmn_writer_u32(&w, (uint32_t)getpid());
	if (kmn_ipc_send_writer(ipc, PID_MESSAGE, &w) != KMN_OK)
		return 1;
	kmn_writer_clear(&w);
	while ((e = kmn_ipc_receive(ipc, &m)) == KMN_OK)
		;
	kmn_ipc_free(ipc);
	return e == KMN_E_CLOSED ? 0 : 1;
}

int
kmn_gate_main(const struct kmn_gate_setup *setup)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	if (setup->listener_count != 2 ||
	    getsockopt(setup->listeners[1], SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) || !listening ||
	    memcmp(setup->certificate, "CERTIFICATE", 11) != 0 || setup->key_bytes != 4)
		return 3;
	return report_and_wait(setup->keeper);
}

int
kmn_worker_main(const struct kmn_worker_setup *setup)
{
	const char *there = getenv("KMN_TEST_ROW");

	if (setup->watching) /* the other module's, with what SPAWN said of it */
		return there == NULL && strcmp(setup->module.name, "other") == 0 && setup->first_handle == 5 &&
			       setup->handle_step == 3
			   ? report_and_wait(setup->keeper)
			   : 3;
	if (there == NULL || strcmp(there, "a value") != 0 || getenv("PATH") != NULL ||
	    strcmp(setup->module.environment[0], "KMN_TEST_ROW=a value") != 0 ||
	    strcmp(setup->module.init_args, "some args") != 0 || strcmp(setup->module.name, "m") != 0)
		return 3;
	return report_and_wait(setup->keeper);
}

bool
kmn_courier_prepare(void)
{
	return true;
}

int
kmn_courier_main(const struct kmn_courier_setup *setup)
{
	return report_and_wait(setup->keeper);
}

bool
kmn_console_prepare(const struct kmn_console_setup *setup)
{
	struct stat st;

	/* Here, for no role that is confined asks what a file is. */
	if (fstat(setup->pages, &st) != 0 || !S_ISDIR(st.st_mode))
		return false;
	return strcmp(setup->origin, "https://console.example:8443") == 0 && memcmp(setup->key, "KEY", 3) == 0 &&
	       setup->limits.lockout_ms == 7000;
}

int
kmn_console_main(const struct kmn_console_setup *setup)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	if (getsockopt(setup->listener, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) || !listening)
		return 3;
	return report_and_wait(setup->keeper);
}

int
kmn_runner_main(const struct kmn_runner_setup *setup)
{
	static const uint8_t zeros[KMN_LOG_KEY_BYTES];

	if (memcmp(setup->certificate, "CLIENT", 6) != 0 || memcmp(setup->key, "KEY", 3) != 0 ||
	    memcmp(setup->gate_certificate, "CERTIFICATE", 11) != 0 || strcmp(setup->gateway, "127.0.0.1:0") != 0 ||
	    strcmp(setup->origin, "runs") != 0 || memcmp(setup->log_key, zeros, sizeof(zeros)) == 0 ||
	    kmn_types_mechanism_of("CKM_TEST_SEAL") == NULL) /* of the second module */
		return 3;
	return report_and_wait(setup->keeper);
}

static int events = -1;

KMN_PRINTF(1, 2)
static void
event(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vdprintf(events, format, ap);
	va_end(ap);
}

#define PEERS_MAX 32
static struct kmn_ipc *peers[PEERS_MAX]; /* kept to the end: a role lives as long as its peer */
static unsigned peer_count;

static uint32_t
pid_of(int fd)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;
	struct kmn_ipc *ipc;
	uint32_t pid;

	if (peer_count == PEERS_MAX || kmn_ipc_new(fd, 0, &ipc) != KMN_OK)
		return 0;
	peers[peer_count++] = ipc;
	if (kmn_ipc_receive(ipc, &m) != KMN_OK)
		return 0;
	kmn_reader_init(&r, m.body, m.len_bytes);
	pid = kmn_reader_u32(&r);
	return kmn_reader_end(&r) == KMN_OK ? pid : 0;
}

static void
hear(const struct kmn_ipc_message *m)
{
	struct kmn_reader r;
	char text[256] = "";
	uint32_t id = 0;
	unsigned place = 0;

	kmn_reader_init(&r, m->body, m->len_bytes);
	if (m->kind != KMN_S_GATE && m->kind != KMN_S_COURIER && m->kind != KMN_S_CONSOLE && m->kind != KMN_S_STOP &&
	    m->kind != KMN_S_RUNNER)
		id = kmn_reader_u32(&r);
	if (m->kind != KMN_S_SPAWNED)
		kmn_reader_text(&r, text, sizeof(text));
	if (m->kind == KMN_S_RUNNER)
		place = kmn_reader_u8(&r);
	if (kmn_reader_end(&r) != KMN_OK)
		event("nonsense %u\n", m->kind);
	else if (m->kind == KMN_S_GATE)
		event("gate %u %s\n", pid_of(m->fd), text);
	else if (m->kind == KMN_S_COURIER)
		event("courier %u %s\n", pid_of(m->fd), text);
	else if (m->kind == KMN_S_CONSOLE)
		event("console %u %s\n", pid_of(m->fd), text);
	else if (m->kind == KMN_S_RUNNER)
		event("runner-%u %u %s\n", place, pid_of(m->fd), text);
	else if (m->kind == KMN_S_SPAWNED)
		event("worker %u %u\n", pid_of(m->fd), id);
	else if (m->kind == KMN_S_EXITED)
		event("exited %u %s\n", id, text);
	else if (m->kind == KMN_S_STOP)
		event("stop %s\n", text);
	else
		event("failed %u %s\n", id, text);
}

static kmn_err
ask(struct kmn_ipc *ipc, uint8_t kind, uint32_t id)
{
	struct kmn_writer w;
	kmn_err e;

	kmn_writer_init(&w, 64);
	if (kind != KMN_S_SERVING)
		kmn_writer_u32(&w, id);
	if (kind == KMN_S_SPAWN) {
		kmn_writer_text(&w, id == FAKE_OTHER ? "other" : id == FAKE_STRANGER ? "stranger" : "m");
		kmn_writer_bool(&w, id == FAKE_OTHER);
		kmn_writer_u64(&w, 5);
		kmn_writer_u64(&w, 3);
	}
	e = kmn_ipc_send_writer(ipc, kind, &w);
	kmn_writer_clear(&w);
	return e;
}

int
kmn_keeper_main(const struct kmn_keeper_setup *setup)
{
	static const uint8_t zeros[KMN_HASH_BYTES];
	bool hangs = strcmp(setup->origin, "hangs") == 0; /* at SIGTERM */
	struct kmn_ipc_message m = {.kind = 0};
	struct kmn_ipc *ipc;

	events = openat(setup->ledger, "events", O_WRONLY | O_CREAT | O_APPEND, 0640);
	if (events < 0 || setup->module_count != 2 || strcmp(setup->modules[0].name, "m") != 0 ||
	    strcmp(setup->modules[1].name, "other") != 0 ||
	    memcmp(setup->build.binary_sha256, zeros, sizeof(zeros)) == 0 || setup->lease_ms != 5000)
		return 3;
	event("keeper %d %s\n", (int)getpid(), setup->build.version);
	if (strcmp(setup->origin, "fails") == 0)
		return 4;
	if (kmn_ipc_new(setup->supervisor, 0, &ipc) != KMN_OK)
		return 5;
	kmn_ipc_take_fds(ipc);
	if (ask(ipc, KMN_S_SPAWN, FAKE_WORKER) != KMN_OK || ask(ipc, KMN_S_SPAWN, FAKE_WORKER) != KMN_OK ||
	    ask(ipc, KMN_S_SERVING, 0) != KMN_OK)
		return 5;
	if (strcmp(setup->origin, "several") == 0 &&
	    (ask(ipc, KMN_S_SPAWN, FAKE_OTHER) != KMN_OK || ask(ipc, KMN_S_SPAWN, FAKE_STRANGER) != KMN_OK))
		return 5;
	while ((m.kind != KMN_S_STOP || hangs) && kmn_ipc_receive(ipc, &m) == KMN_OK) {
		hear(&m);
		if (m.kind == KMN_S_EXITED && strcmp(setup->origin, "again") == 0 &&
		    (ask(ipc, KMN_S_SPAWN, FAKE_WORKER + 1) != KMN_OK ||
			ask(ipc, KMN_S_KILL, FAKE_WORKER + 1) != KMN_OK))
			return 6;
	}
	while (peer_count > 0)
		kmn_ipc_free(peers[--peer_count]);
	kmn_ipc_free(ipc);
	return 0;
}

/* ---- the tests' side --------------------------------------------------------------------------------------------- */

static char folder[64], self[512];
static pid_t supervisor;
static int ready = -1;

static void
path_in(char *out, const char *name)
{
	snprintf(out, 128, "%s/%s", folder, name);
}

static bool
write_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	path_in(path, name);
	f = fopen(path, "w");
	return f != NULL && fputs(text, f) >= 0 && fclose(f) == 0 && chmod(path, 0600) == 0;
}

static bool
make_folder(const char *origin)
{
	static const char console[] =
	    "console { listen = \"127.0.0.1:0\" origin = \"https://console.example:8443\" certificate = crt key = key "
	    "pages = ledger lockout = 7 user = 61005 ";
	static const char client[] =
	    "client = ca client-certificate = client.crt client-key = key client-user = 61006 ";
	bool runs = strcmp(origin, "runs") == 0;
	char text[2048], ledger[128];

	snprintf(folder, sizeof(folder), "/tmp/kmn-supervisor-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return false;
	path_in(ledger, "ledger");
	snprintf(text, sizeof(text),
	    "origin = \"%s\"\nlisten = { \"127.0.0.1:0\", \"[::1]:0\" }\ncertificate = crt\nkey = key\nledger = "
	    "ledger\n"
	    "log-key = log.key\nlog = log\nlease = 5\nstop-wait = 1\nlimits { instances = 1 }\n"
	    "module \"m\" { path = m.so init-args = \"some args\" environment = { \"KMN_TEST_ROW=a value\" } }\n"
	    "module \"other\" { path = m.so %s}\n%s%s%s%s%s",
	    origin, runs ? "types = types " : "",
	    strcmp(origin, "asks") == 0 ? "witness \"w\" { url = \"http://127.0.0.1:9\" }\n" : "",
	    runs || strcmp(origin, "shows") == 0 ? console : "", runs ? client : "",
	    runs || strcmp(origin, "shows") == 0 ? "}\n" : "",
	    geteuid() == 0 ? "users { gate = 61001 keeper = 61002 worker = 61003 courier = 61004 }\n" : "");
	return mkdir(ledger, 0750) == 0 && (geteuid() != 0 || chown(ledger, FIRST_USER + 1, FIRST_USER + 1) == 0) &&
	       write_file("conf", text) && write_file("crt", "CERTIFICATE\n") && write_file("key", "KEY\n") &&
	       write_file("client.crt", "CLIENT\n") &&
	       write_file("types", "mechanism 0x80001234 CKM_TEST_SEAL nothing\n") && write_file("m.so", "") &&
	       write_file("log.key", "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n");
}

static void
remove_folder(void)
{
	static const char *const names[] = {
	    "conf", "crt", "client.crt", "types", "key", "log.key", "log", "m.so", "pid", "ledger/events"};
	char path[128];

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++) {
		path_in(path, names[i]);
		(void)unlink(path);
	}
	path_in(path, "ledger");
	(void)rmdir(path);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static bool
start(const char *origin)
{
	char conf[128], pidfile[128], fd[16];
	int ends[2];

	if (!make_folder(origin) || pipe(ends) != 0)
		return false;
	path_in(conf, "conf");
	path_in(pidfile, "pid");
	snprintf(fd, sizeof(fd), "%d", ends[1]);
	(void)fflush(stdout);
	if ((supervisor = fork()) == 0) {
		execl(self, "kanmond", "--config", conf, "--ready-fd", fd, "--pidfile", pidfile, (char *)NULL);
		_exit(127);
	}
	(void)close(ends[1]);
	ready = ends[0];
	return supervisor > 0;
}

static bool
is_ready(void)
{
	struct pollfd p = {.fd = ready, .events = POLLIN};
	char line[16] = "";

	return poll(&p, 1, WAIT_MS) == 1 && read(ready, line, sizeof(line) - 1) == 6 && strcmp(line, "ready\n") == 0;
}

static char *
read_events(void)
{
	static char text[16384];
	char path[128];
	size_t n = 0;
	FILE *f;

	path_in(path, "ledger/events");
	if ((f = fopen(path, "r")) != NULL) {
		n = fread(text, 1, sizeof(text) - 1, f);
		(void)fclose(f);
	}
	text[n] = '\0';
	return text;
}

/* Waits for the `nth` line that begins with `word`; gives the rest of that line (static), or NULL. */
static const char *
wait_event(const char *word, int nth)
{
	static char rest[256];
	const struct timespec pause = {0, 10000000};

	for (int waited = 0; waited < WAIT_MS; waited += 10) {
		int seen = 0;
		char *rest_of_text = read_events(), *line;

		while ((line = strsep(&rest_of_text, "\n")) != NULL) {
			if (strncmp(line, word, strlen(word)) == 0 && line[strlen(word)] == ' ' && ++seen == nth) {
				snprintf(rest, sizeof(rest), "%s", line + strlen(word) + 1);
				return rest;
			}
		}
		nanosleep(&pause, NULL);
	}
	printf("# no %d. \"%s\" in:\n# %s\n", nth, word, read_events());
	return NULL;
}

static pid_t
wait_pid(const char *word, int nth)
{
	const char *rest = wait_event(word, nth);

	return rest != NULL ? (pid_t)strtol(rest, NULL, 10) : 0;
}

/* Whether a process is gone, given some time for it; a zombie that nobody waits for is gone too. */
static bool
is_gone(pid_t pid)
{
	const struct timespec pause = {0, 10000000};
	char path[64], state = '?';

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	for (int waited = 0; waited < WAIT_MS; waited += 10) {
		FILE *f = fopen(path, "r");

		if (f == NULL)
			return true;
		if (fscanf(f, "%*d %*s %c", &state) == 1 && state == 'Z') {
			(void)fclose(f);
			return true;
		}
		(void)fclose(f);
		nanosleep(&pause, NULL);
	}
	return false;
}

/* Never a group: a process id that was not found is 0 here. */
static bool
end_process(pid_t pid, int number)
{
	return pid > 0 && kill(pid, number) == 0;
}

static int
wait_end(void)
{
	const struct timespec pause = {0, 10000000};
	int status;

	(void)close(ready);
	for (int waited = 0; waited < WAIT_MS; waited += 10) {
		if (waitpid(supervisor, &status, WNOHANG) == supervisor)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
		nanosleep(&pause, NULL);
	}
	(void)end_process(supervisor, SIGKILL);
	(void)waitpid(supervisor, &status, 0);
	return 1000;
}

static int
stop(void)
{
	(void)end_process(supervisor, SIGTERM);
	return wait_end();
}

static void
test_life(void)
{
	const char *rest;
	pid_t keeper, gate, worker;
	char path[128];

	CU_ASSERT_TRUE_FATAL(start("whole"));
	CU_ASSERT_TRUE(is_ready());
	path_in(path, "pid");
	CU_ASSERT_EQUAL(access(path, F_OK), 0);
	keeper = wait_pid("keeper", 1);
	gate = wait_pid("gate", 1);
	worker = wait_pid("worker", 1);
	CU_ASSERT_TRUE(keeper > 0 && gate > 0 && worker > 0);
	CU_ASSERT_TRUE((rest = wait_event("gate", 1)) != NULL && strstr(rest, " start") != NULL);
	/* the same number twice is refused */
	CU_ASSERT_TRUE((rest = wait_event("failed", 1)) != NULL && strncmp(rest, "7 ", 2) == 0);
	CU_ASSERT_EQUAL(stop(), 0);
	CU_ASSERT_TRUE((rest = wait_event("stop", 1)) != NULL && strcmp(rest, "terminate") == 0);
	CU_ASSERT_TRUE(is_gone(keeper) && is_gone(gate) && is_gone(worker));
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
	remove_folder();
}

/* Each module has its own environment and name, and a worker is told what it is for. */
static void
test_several_modules(void)
{
	const char *rest;

	CU_ASSERT_TRUE_FATAL(start("several"));
	CU_ASSERT_TRUE(is_ready());
	CU_ASSERT_TRUE((rest = wait_event("worker", 2)) != NULL && strtol(rest, NULL, 10) > 0 &&
		       strcmp(strchr(rest, ' '), " 20") == 0);
	CU_ASSERT_TRUE((rest = wait_event("failed", 2)) != NULL && strncmp(rest, "21 ", 3) == 0);
	CU_ASSERT_EQUAL(stop(), 0);
	remove_folder();
}

static void
test_gate_killed(void)
{
	const char *rest;
	pid_t gate;

	CU_ASSERT_TRUE_FATAL(start("whole"));
	for (int nth = 1; nth <= 3; nth++) {
		gate = wait_pid("gate", nth);
		CU_ASSERT_TRUE_FATAL(gate > 0);
		CU_ASSERT_TRUE(end_process(gate, SIGKILL));
		rest = wait_event("gate", nth + 1);
		CU_ASSERT_TRUE(rest != NULL && strstr(rest, "killed by signal 9") != NULL);
	}
	CU_ASSERT_EQUAL(stop(), 0);
	remove_folder();
}

static void
test_courier(void)
{
	const char *rest;
	pid_t courier;

	CU_ASSERT_TRUE_FATAL(start("asks"));
	for (int nth = 1; nth <= 2; nth++) {
		courier = wait_pid("courier", nth);
		CU_ASSERT_TRUE_FATAL(courier > 0);
		CU_ASSERT_TRUE(end_process(courier, SIGKILL));
		rest = wait_event("courier", nth + 1);
		CU_ASSERT_TRUE(rest != NULL && strstr(rest, "killed by signal 9") != NULL);
	}
	courier = wait_pid("courier", 3);
	CU_ASSERT_PTR_NOT_NULL(wait_event("gate", 1));
	CU_ASSERT_EQUAL(stop(), 0);
	CU_ASSERT_TRUE(is_gone(courier));
	remove_folder();
}

static void
test_no_courier(void)
{
	CU_ASSERT_TRUE_FATAL(start("whole"));
	CU_ASSERT_PTR_NOT_NULL(wait_event("gate", 1));
	CU_ASSERT_EQUAL(stop(), 0);
	CU_ASSERT_PTR_NULL(strstr(read_events(), "courier"));
	remove_folder();
}

static void
test_console(void)
{
	const char *rest;
	pid_t console;

	CU_ASSERT_TRUE_FATAL(start("shows"));
	CU_ASSERT_TRUE((console = wait_pid("console", 1)) > 0);
	CU_ASSERT_TRUE(end_process(console, SIGKILL));
	rest = wait_event("console", 2);
	CU_ASSERT_TRUE(rest != NULL && strstr(rest, "killed by signal 9") != NULL);
	CU_ASSERT_PTR_NOT_NULL(wait_event("gate", 1));
	console = wait_pid("console", 2);
	CU_ASSERT_EQUAL(stop(), 0);
	CU_ASSERT_PTR_NULL(strstr(read_events(), "courier"));
	CU_ASSERT_TRUE(is_gone(console));
	remove_folder();
}

/* KMN_RUNNERS of them, each in its place, each with what the console's own client needs. */
static void
test_runner(void)
{
	const char *rest;
	char place[16];
	pid_t pid[KMN_RUNNERS];

	CU_ASSERT_TRUE_FATAL(start("runs"));
	for (unsigned n = 0; n < KMN_RUNNERS; n++) {
		(void)snprintf(place, sizeof(place), "runner-%u", n);
		CU_ASSERT_TRUE_FATAL((pid[n] = wait_pid(place, 1)) > 0);
	}
	CU_ASSERT_TRUE(end_process(pid[2], SIGKILL));
	rest = wait_event("runner-2", 2);
	CU_ASSERT_TRUE(rest != NULL && strstr(rest, "killed by signal 9") != NULL);
	CU_ASSERT_PTR_NOT_NULL(wait_event("console", 1));
	CU_ASSERT_EQUAL(stop(), 0);
	CU_ASSERT_PTR_NULL(strstr(read_events(), "runner-0 0"));
	for (unsigned n = 0; n < KMN_RUNNERS; n++)
		CU_ASSERT_TRUE(is_gone(pid[n]));
	remove_folder();
}

static void
test_worker_killed(void)
{
	const char *rest;

	CU_ASSERT_TRUE_FATAL(start("again"));
	CU_ASSERT_TRUE(end_process(wait_pid("worker", 1), SIGKILL));
	rest = wait_event("exited", 1);
	CU_ASSERT_TRUE(rest != NULL && strncmp(rest, "7 killed by signal 9", 20) == 0);
	/* the keeper then asks for another one, and for its end */
	rest = wait_event("exited", 2);
	CU_ASSERT_TRUE(rest != NULL && strncmp(rest, "8 killed by signal 9", 20) == 0);
	CU_ASSERT_EQUAL(stop(), 0);
	remove_folder();
}

static void
test_keeper_killed(void)
{
	pid_t keeper, gate, worker;

	CU_ASSERT_TRUE_FATAL(start("whole"));
	for (int nth = 1; nth <= 2; nth++) {
		keeper = wait_pid("keeper", nth);
		gate = wait_pid("gate", nth);
		worker = wait_pid("worker", nth);
		CU_ASSERT_TRUE_FATAL(keeper > 0 && gate > 0 && worker > 0);
		CU_ASSERT_TRUE(end_process(keeper, SIGKILL));
		CU_ASSERT_TRUE(is_gone(gate) && is_gone(worker));
	}
	CU_ASSERT_EQUAL(wait_end(), 1);
	remove_folder();
}

static void
test_keeper_fails(void)
{
	CU_ASSERT_TRUE_FATAL(start("fails"));
	CU_ASSERT_EQUAL(wait_end(), 1);
	CU_ASSERT_PTR_NOT_NULL(wait_event("keeper", 2));
	remove_folder();
}

static void
test_supervisor_killed(void)
{
	pid_t keeper, gate, worker;

	CU_ASSERT_TRUE_FATAL(start("whole"));
	keeper = wait_pid("keeper", 1);
	gate = wait_pid("gate", 1);
	worker = wait_pid("worker", 1);
	CU_ASSERT_TRUE_FATAL(keeper > 0 && gate > 0 && worker > 0);
	CU_ASSERT_TRUE(end_process(supervisor, SIGKILL));
	CU_ASSERT_EQUAL(wait_end(), -SIGKILL);
	CU_ASSERT_TRUE(is_gone(keeper) && is_gone(gate) && is_gone(worker));
	remove_folder();
}

static void
test_keeper_hangs(void)
{
	pid_t keeper;

	CU_ASSERT_TRUE_FATAL(start("hangs"));
	CU_ASSERT_TRUE(is_ready());
	keeper = wait_pid("keeper", 1);
	CU_ASSERT_EQUAL(stop(), 1);
	CU_ASSERT_PTR_NOT_NULL(wait_event("stop", 1));
	CU_ASSERT_TRUE(is_gone(keeper));
	remove_folder();
}

/* The service manager hears READY=1 by one datagram. */
static void
test_notify(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char text[64] = "", path[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	snprintf(path, sizeof(path), "/tmp/kmn-notify-%d", (int)getpid());
	memcpy(at.sun_path, path, strlen(path) + 1);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const void *)&at, sizeof(at)), 0);
	CU_ASSERT_EQUAL(setenv("NOTIFY_SOCKET", path, 1), 0);
	CU_ASSERT_TRUE_FATAL(start("whole"));
	(void)unsetenv("NOTIFY_SOCKET");
	CU_ASSERT_EQUAL(poll(&p, 1, WAIT_MS), 1);
	CU_ASSERT_TRUE(read(fd, text, sizeof(text) - 1) > 0);
	CU_ASSERT_STRING_EQUAL(text, "READY=1");
	CU_ASSERT_EQUAL(stop(), 0);
	(void)close(fd);
	(void)unlink(path);
	remove_folder();
}

static void
test_no_start(void)
{
	char path[128];

	CU_ASSERT_TRUE_FATAL(start("two words"));
	CU_ASSERT_EQUAL(wait_end(), 2);
	remove_folder();
	CU_ASSERT_TRUE_FATAL(make_folder("whole"));
	path_in(path, "log.key");
	CU_ASSERT_EQUAL(chmod(path, 0644), 0); /* a secret that others may read */
	path_in(path, "conf");
	if ((supervisor = fork()) == 0) {
		execl(self, "kanmond", "--check", "--config", path, (char *)NULL);
		_exit(127);
	}
	ready = -1;
	CU_ASSERT_EQUAL(wait_end(), 2);
	remove_folder();
}

static CU_TestInfo supervisor_tests[] = {
    {"all roles start with what they need, and end at SIGTERM", test_life},
    {"each module's workers have what is theirs", test_several_modules},
    {"a gate that dies is started again", test_gate_killed},
    {"where something is asked over the network there is a courier, and another when it dies", test_courier},
    {"where nothing is asked there is none", test_no_courier},
    {"where the configuration has a console there is one, and another when it dies", test_console},
    {"where the console has a client's key there are runners, and another when one dies", test_runner},
    {"a worker that dies is reported", test_worker_killed},
    {"a keeper that dies takes all with it: once more, then no more", test_keeper_killed},
    {"a keeper that never serves ends the service", test_keeper_fails},
    {"kill -9 of the supervisor leaves nobody behind", test_supervisor_killed},
    {"a keeper that does not finish is killed, and that is said", test_keeper_hangs},
    {"NOTIFY_SOCKET hears READY=1", test_notify},
    {"what is wrong in the configuration starts nothing", test_no_start},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"server/supervisor", NULL, NULL, NULL, NULL, supervisor_tests},
	    CU_SUITE_INFO_NULL,
	};
	ssize_t n;

	if (argc > 1 && strncmp(argv[1], "--", 2) == 0)
		return kmn_kanmond(argc, argv);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	return kmn_test_main(argc, argv, suites);
}
