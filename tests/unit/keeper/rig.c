#include "config.h"

#include "tests/unit/keeper/rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/admin.h"
#include "kanmon/console.h"
#include "kanmon/log.h"
#include "kanmon/messages.h"
#include "kanmon/quorum.h"
#include "kanmon/roles.h"
#include "kanmon/say.h"
#include "kanmon/checker.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define ORIGIN "kanmon.example/gw1/2026"
#define WAIT_MS 15000
#define PIN "1234"

/* ---- the ledger -------------------------------------------------------------------------------------------------- */

/* The log's key: made of a word, as everything here, so that the trust file needs no state. */
void
rig_log_key(uint8_t secret[KMN_ED25519_SECRET_BYTES], struct kmn_vkey *vkey)
{
	uint8_t seed[32], pub[32];

	kmn_sha256("rig log key", 11, seed);
	crypto_sign_seed_keypair(pub, secret, seed);
	CU_ASSERT_EQUAL_FATAL(kmn_vkey_make(ORIGIN, pub, vkey), KMN_OK);
}

static void
log_key(uint8_t secret[KMN_ED25519_SECRET_BYTES], char vkey_text[KMN_VKEY_MAX_BYTES])
{
	struct kmn_vkey vkey;

	rig_log_key(secret, &vkey);
	kmn_vkey_format(&vkey, vkey_text);
}

static char *
b64_spki(const struct test_certificate *who)
{
	static char text[KMN_B64_LEN(KMN_HASH_BYTES) + 1];

	kmn_b64(who->spki, KMN_HASH_BYTES, text);
	return text;
}

static char *
policy_text(const struct rig *rig, const char *rules)
{
	static const char *const people[] = {"sato", "suzuki", "tanaka"};
	char *text = malloc(8192), vkey[KMN_VKEY_MAX_BYTES];
	size_t n = (size_t)snprintf(text, 8192,
	    "kanmon/policy/v1\norigin " ORIGIN "\nversion 1\nprevious none\nnot-before 2026-01-01T00:00:00Z\n"
	    "expires 2037-01-01T00:00:00Z\n\n");

	for (size_t i = 0; i < KMN_COUNT_OF(people); i++) {
		world_vkey(people[i], vkey);
		n += (size_t)snprintf(text + n, 8192 - n, "custodian %s person:00%zu %s\n", people[i], i, vkey);
	}
	n +=
	    (size_t)snprintf(text + n, 8192 - n, "client ca spki:%s tokens %s\n", b64_spki(&rig->ca), rig->plan.tokens);
	n += (size_t)snprintf(
	    text + n, 8192 - n, "client other spki:%s tokens %s\n", b64_spki(&rig->other), rig->plan.tokens);
	n += (size_t)snprintf(text + n, 8192 - n, "terminal desk person:000 spki:%s\n", b64_spki(&rig->terminal));
	(void)snprintf(text + n, 8192 - n,
	    "%sgroup keepers 2 sato suzuki tanaka\nrole policy 2 sato suzuki tanaka\nrole veto 1 "
	    "tanaka\n%s",
	    rig->plan.token_lines, rules);
	return text;
}

static void
make_ledger(const struct rig *rig, const char *rules)
{
	uint8_t secret[KMN_ED25519_SECRET_BYTES];
	char vkey[KMN_VKEY_MAX_BYTES], path[128];
	struct kmn_log_settings settings = {.origin = ORIGIN, .secret = secret};
	char *text = policy_text(rig, rules), *note = world_sign(text, "sato suzuki");
	struct kmn_why why = {""};
	kmn_err e;

	log_key(secret, vkey);
	snprintf(path, sizeof(path), "%s/ledger", rig->dir);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_store_files(path, &settings.store), KMN_OK);
	kmn_log_sources_system(&settings.sources);
	if (rig->plan.sources != NULL)
		settings.sources = *rig->plan.sources;
	e = kmn_log_create(&settings,
	    json_pack("{s:s,s:s,s:s,s:s,s:{},s:{}}", "origin", ORIGIN, "suite", "K1", "vkey", vkey, "policy", note,
		"hsm", "limits"),
	    &why);
	if (e != KMN_OK) {
		printf("# %s: %s\n", kmn_err_name(e), why.text);
		CU_FAIL_FATAL("the ledger is made");
	}
	kmn_store_files_free(settings.store);
	snprintf(path, sizeof(path), "%s/policy", rig->dir);
	CU_ASSERT_TRUE_FATAL(test_file_write(rig->dir, "policy", text, 0600));
	free(text);
	free(note);
}

/* ---- processes --------------------------------------------------------------------------------------------------- */

static _Noreturn void
keeper_process(const struct rig *rig, int fd)
{
	static struct kmn_module modules[KMN_MODULES_MAX];
	static uint8_t secret[KMN_ED25519_SECRET_BYTES];
	char vkey[KMN_VKEY_MAX_BYTES], path[128];
	struct kmn_keeper_setup setup = {.supervisor = fd,
	    .log_key = secret,
	    .origin = ORIGIN,
	    .modules = modules,
	    .module_count = rig->plan.module_count,
	    .lease_ms = 2000,
	    .request_lifetime_s = 60,
	    .spawn_ms = 10000,
	    .limits =
		{.connections = 64, .instances = 8, .instances_per_client = 4, .requests = 8, .requests_per_client = 4},
	    .build = {.version = "test", .boot_id = "test"}};

	(void)signal(SIGXFSZ, SIG_IGN); /* a disk that takes no byte is a failed write, not a signal */
	for (unsigned i = 0; i < rig->plan.module_count; i++)
		modules[i].name = rig->plan.modules[i].name;
	log_key(secret, vkey);
	snprintf(path, sizeof(path), "%s/ledger", rig->dir);
	setup.ledger_path = path;
	setup.ledger = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(path + strlen(path), 8, ".log");
	kmn_say_init("keeper", open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), KMN_SAY_DEBUG);
	path[strlen(path) - 4] = '\0';
	if (rig->plan.adapt != NULL)
		rig->plan.adapt(&setup, rig->plan.adapt_cookie);
	exit(kmn_keeper_main(&setup));
}

static _Noreturn void
worker_process(const struct rig *rig, int fd)
{
	struct kmn_worker_setup setup = rig->spawning;
	const char *const *row = setup.module.environment;

	setup.keeper = fd;
	setenv("KMN_MOCK_LOG", rig->mock_log, 1);
	for (size_t i = 0; i < KMN_COUNT_OF(rig->plan.modules->environment) && row[i] != NULL; i++) {
		char name[128];

		snprintf(name, sizeof(name), "%.*s", (int)strcspn(row[i], "="), row[i]);
		setenv(name, row[i] + strlen(name) + 1, 1);
	}
	kmn_say_init("worker", open("/dev/null", O_WRONLY | O_CLOEXEC), KMN_SAY_ERROR);
	exit(kmn_worker_main(&setup));
}

/* Forks `process` at one end of a socket pair: its pid, and the other end as an ipc. */
static pid_t
begin(const struct rig *rig, void (*process)(const struct rig *, int), struct kmn_ipc **ipc_out)
{
	int pair[2];
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fflush(NULL);
	pid = fork();
	CU_ASSERT_TRUE_FATAL(pid >= 0);
	if (pid == 0) {
		/* Only this end: a worker must see the end of its keeper, and nobody else's. */
		for (int fd = 3; fd < 256; fd++)
			if (fd != pair[1])
				close(fd);
		process(rig, pair[1]);
	}
	close(pair[1]);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, ipc_out), KMN_OK);
	return pid;
}

static void
tell_keeper(struct rig *rig, uint8_t kind, uint32_t id, const char *text, int fd)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 512);
	if (kind != KMN_S_STOP && kind != KMN_S_GATE && kind != KMN_S_COURIER && kind != KMN_S_CONSOLE)
		kmn_writer_u32(&w, id);
	if (text != NULL)
		kmn_writer_text(&w, text);
	/* A keeper that has just ended hears of no worker any more. */
	if (kmn_ipc_send(rig->supervisor, kind, w.bytes, w.len, fd) != KMN_OK && kind != KMN_S_EXITED && rig->serving)
		CU_FAIL("the keeper listens");
	kmn_writer_clear(&w);
}

/* What SPAWN says, as the setup of a worker; the number of its module. */
static unsigned
read_spawn(struct rig *rig, struct kmn_reader *r)
{
	char name[KMN_MODULE_NAME_MAX_BYTES + 1];
	struct kmn_worker_setup *setup = &rig->spawning;
	unsigned module = 0;

	memset(setup, 0, sizeof(*setup));
	kmn_reader_text(r, name, sizeof(name));
	while (module + 1 < rig->plan.module_count && strcmp(rig->plan.modules[module].name, name) != 0)
		module++;
	CU_ASSERT_STRING_EQUAL(rig->plan.modules[module].name, name);
	setup->watching = kmn_reader_bool(r);
	setup->first_handle = kmn_reader_u64(r);
	setup->handle_step = kmn_reader_u64(r);
	CU_ASSERT_EQUAL(kmn_reader_end(r), KMN_OK);
	setup->module = (struct kmn_module){.name = rig->plan.modules[module].name,
	    .path = rig->plan.modules[module].path,
	    .init_args = rig->plan.modules[module].init_args,
	    .environment = rig->plan.modules[module].environment};
	if (setup->module.path == NULL)
		setup->module.path = KMN_TEST_BUILD_DIR "/tests/mock/.libs/kanmon-mock.so";
	return module;
}

/* A watching worker is the test itself: its first words are said at once. */
static void
play_watcher(struct rig_worker *w)
{
	struct kmn_writer ready;

	w->watching = true;
	kmn_writer_init(&ready, 256);
	kmn_writer_u64(&ready, CKR_OK);
	kmn_writer_u16(&ready, 0x0228);
	kmn_writer_text(&ready, "the test");
	kmn_writer_text(&ready, "plays it");
	kmn_writer_u16(&ready, 0);
	kmn_writer_u8(&ready, 0);
	CU_ASSERT_EQUAL(kmn_ipc_send(w->keeper, KMN_W_READY, ready.bytes, ready.len, -1), KMN_OK);
	kmn_writer_clear(&ready);
}

static void
spawn(struct rig *rig, uint32_t id, struct kmn_reader *r)
{
	struct rig_worker *w = rig->worker;
	int pair[2];

	while (w->pid != 0 && w < rig->worker + RIG_WORKERS - 1)
		w++;
	CU_ASSERT_EQUAL_FATAL(w->pid, 0);
	w->id = id;
	w->module = read_spawn(rig, r);
	w->pid = rig->spawning.watching ? -1 : begin(rig, worker_process, &w->worker);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, &w->keeper), KMN_OK);
	tell_keeper(rig, KMN_S_SPAWNED, id, NULL, pair[1]);
	close(pair[1]);
	if (rig->spawning.watching)
		play_watcher(w);
}

static void
worker_gone(struct rig *rig, struct rig_worker *w, bool say)
{
	int status = 0;

	kmn_ipc_free(w->keeper);
	kmn_ipc_free(w->worker); /* a worker that still lives ends by this */
	if (w->pid > 0)
		(void)waitpid(w->pid, &status, 0);
	if (say)
		tell_keeper(rig, KMN_S_EXITED, w->id, WIFSIGNALED(status) ? "killed by a signal" : "exit status 0", -1);
	memset(w, 0, sizeof(*w));
}

/* ---- passing messages on ----------------------------------------------------------------------------------------- */

static void
from_supervised(struct rig *rig)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;

	while (rig->supervisor != NULL && kmn_ipc_poll(rig->supervisor, &m) == KMN_OK) {
		kmn_reader_init(&r, m.body, m.len_bytes);
		if (m.kind == KMN_S_SERVING)
			rig->serving = true;
		else if (m.kind == KMN_S_SPAWN)
			spawn(rig, kmn_reader_u32(&r), &r);
	}
}

static void
from_gate(struct rig *rig)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;

	while (rig->gate != NULL && kmn_ipc_poll(rig->gate, &m) == KMN_OK) {
		const uint8_t *body;
		uint32_t conn;

		kmn_reader_init(&r, m.body, m.len_bytes);
		if (m.kind == KMN_K_PINS) {
			rig->pinned = true;
			continue;
		}
		conn = kmn_reader_u32(&r);
		if (m.kind == KMN_K_CLOSE) {
			rig->closed[conn % RIG_CONNS] = true;
		} else if (rig->frames < RIG_FRAMES) {
			struct rig_frame *f = &rig->frame[rig->frames++];

			f->conn = conn;
			f->type = kmn_reader_u8(&r);
			f->len = kmn_reader_rest(&r, &body);
			CU_ASSERT_TRUE_FATAL(f->len <= sizeof(f->body));
			memcpy(f->body, body, f->len);
		}
	}
}

static void
pass_on(struct rig *rig, struct rig_worker *w, bool to_worker)
{
	struct kmn_ipc *from = to_worker ? w->keeper : w->worker;
	struct kmn_ipc_message m;
	kmn_err e;

	while ((e = kmn_ipc_poll(from, &m)) == KMN_OK) {
		if (w->watching || (rig->spy != NULL && !rig->spy(rig, w, to_worker, &m)))
			continue;
		if (kmn_ipc_send(to_worker ? w->worker : w->keeper, m.kind, m.body, m.len_bytes, -1) != KMN_OK)
			break;
	}
	if (e != KMN_E_AGAIN)
		worker_gone(rig, w, rig->supervisor != NULL);
}

static void
from_courier(struct rig *rig)
{
	struct kmn_ipc_message m;
	kmn_err e;

	while ((e = kmn_ipc_poll(rig->courier, &m)) == KMN_OK)
		if (rig->plan.errand != NULL)
			rig->plan.errand(rig, &m);
	if (e != KMN_E_AGAIN) {
		kmn_ipc_free(rig->courier);
		rig->courier = NULL;
	}
}

struct rig_told {
	uint32_t tag, error;
	uint8_t session[16];
	char *text;
	bool came;
};

static void
console_answer(struct rig *rig, struct kmn_reader *r)
{
	uint32_t tag = kmn_reader_u32(r), error = kmn_reader_u32(r);
	uint8_t session[16];
	const uint8_t *text;
	size_t len;

	kmn_reader_raw(r, session, sizeof(session));
	len = kmn_reader_bytes(r, KMN_UI_ANSWER_MAX_BYTES, &text);
	CU_ASSERT_EQUAL(kmn_reader_end(r), KMN_OK);
	if (rig->told == NULL || rig->told->tag != tag)
		return;
	rig->told->came = true;
	rig->told->error = error;
	memcpy(rig->told->session, session, sizeof(session));
	rig->told->text = strndup((const char *)text, len);
}

static void
from_console(struct rig *rig)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;
	kmn_err e;

	while ((e = kmn_ipc_poll(rig->console, &m)) == KMN_OK) {
		kmn_reader_init(&r, m.body, m.len_bytes);
		if (m.kind == KMN_CONSOLE_ANSWER) {
			console_answer(rig, &r);
		} else if (m.kind == KMN_CONSOLE_EVENT) {
			kmn_reader_text(&r, rig->event, sizeof(rig->event));
			rig->events++;
		} else {
			CU_ASSERT_EQUAL(m.kind, KMN_CONSOLE_ENDED);
			kmn_reader_raw(&r, rig->signed_out, sizeof(rig->signed_out));
		}
	}
	if (e != KMN_E_AGAIN) {
		kmn_ipc_free(rig->console);
		rig->console = NULL;
	}
}

static void
bring_console(struct rig *rig)
{
	int pair[2];

	kmn_ipc_free(rig->console);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, &rig->console), KMN_OK);
	tell_keeper(rig, KMN_S_CONSOLE, 0, "start", pair[1]);
	close(pair[1]);
}

void
rig_console_again(struct rig *rig)
{
	bring_console(rig);
}

void
rig_pump(struct rig *rig, int ms)
{
	struct pollfd fds[4 + 2 * RIG_WORKERS];
	nfds_t n = 0;

	fds[n++] = (struct pollfd){.fd = rig->supervisor != NULL ? kmn_ipc_fd(rig->supervisor) : -1, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = rig->gate != NULL ? kmn_ipc_fd(rig->gate) : -1, .events = POLLIN};
	for (size_t i = 0; i < RIG_WORKERS; i++) {
		struct rig_worker *w = &rig->worker[i];

		fds[n++] = (struct pollfd){.fd = w->pid != 0 ? kmn_ipc_fd(w->keeper) : -1, .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = w->pid > 0 ? kmn_ipc_fd(w->worker) : -1, .events = POLLIN};
	}
	fds[n++] = (struct pollfd){.fd = rig->courier != NULL ? kmn_ipc_fd(rig->courier) : -1, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = rig->console != NULL ? kmn_ipc_fd(rig->console) : -1, .events = POLLIN};
	if (poll(fds, n, ms) <= 0)
		return;
	if (fds[n - 2].revents != 0)
		from_courier(rig);
	if (fds[n - 1].revents != 0)
		from_console(rig);
	if (fds[0].revents != 0)
		from_supervised(rig);
	if (fds[1].revents != 0)
		from_gate(rig);
	for (size_t i = 0; i < RIG_WORKERS; i++) {
		if (fds[2 + 2 * i].revents != 0 && rig->worker[i].pid != 0)
			pass_on(rig, &rig->worker[i], true);
		if (fds[3 + 2 * i].revents != 0 && rig->worker[i].pid != 0)
			pass_on(rig, &rig->worker[i], false);
	}
}

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool
rig_gone(const struct rig *rig)
{
	siginfo_t gone = {.si_pid = 0};

	return waitid(P_PID, (id_t)rig->keeper, &gone, WEXITED | WNOHANG | WNOWAIT) == 0 && gone.si_pid != 0;
}

bool
rig_expect(struct rig *rig, uint32_t conn, uint8_t type, struct rig_frame *frame)
{
	int64_t until = now_ms() + WAIT_MS;
	bool gone;

	do {
		gone = rig_gone(rig); /* what it said before is there still, and is read below */
		if (gone)
			rig_pump(rig, 0);
		for (size_t i = 0; i < rig->frames; i++) {
			if (rig->frame[i].conn != conn || rig->frame[i].type != type)
				continue;
			if (frame != NULL)
				*frame = rig->frame[i];
			memmove(&rig->frame[i], &rig->frame[i + 1], (--rig->frames - i) * sizeof(rig->frame[0]));
			return true;
		}
		if (!gone)
			rig_pump(rig, 100);
	} while (!gone && now_ms() < until);
	return false;
}

bool
rig_expect_closed(struct rig *rig, uint32_t conn)
{
	int64_t until = now_ms() + WAIT_MS;

	while (!rig->closed[conn % RIG_CONNS] && now_ms() < until)
		rig_pump(rig, 100);
	return rig->closed[conn % RIG_CONNS];
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

bool
rig_try(struct rig *rig)
{
	int pair[2];
	int64_t until = now_ms() + WAIT_MS;

	rig->serving = rig->pinned = false;
	rig->frames = 0;
	memset(rig->closed, 0, sizeof(rig->closed));
	rig->keeper = begin(rig, keeper_process, &rig->supervisor);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, &rig->gate), KMN_OK);
	tell_keeper(rig, KMN_S_GATE, 0, "start", pair[1]);
	close(pair[1]);
	if (rig->plan.errand != NULL) {
		CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, &rig->courier), KMN_OK);
		tell_keeper(rig, KMN_S_COURIER, 0, "start", pair[1]);
		close(pair[1]);
	}
	if (rig->plan.console)
		bring_console(rig);
	while (!(rig->serving && rig->pinned) && now_ms() < until && !rig_gone(rig))
		rig_pump(rig, 100);
	if (rig_gone(rig)) {
		rig->ended = rig_wait(rig);
		return false;
	}
	return rig->serving && rig->pinned;
}

void
rig_restart(struct rig *rig)
{
	CU_ASSERT_TRUE_FATAL(rig_try(rig));
}

bool
rig_said(const struct rig *rig, const char *text)
{
	char path[128], line[2048];
	bool found = false;
	FILE *from;

	snprintf(path, sizeof(path), "%s/ledger.log", rig->dir);
	from = fopen(path, "r");
	while (from != NULL && !found && fgets(line, sizeof(line), from) != NULL)
		found = strstr(line, text) != NULL;
	if (from != NULL)
		fclose(from);
	return found;
}

struct rig_worker *
rig_watcher(struct rig *rig, unsigned module)
{
	for (size_t i = 0; i < RIG_WORKERS; i++)
		if (rig->worker[i].watching && rig->worker[i].module == module)
			return &rig->worker[i];
	return NULL;
}

void
rig_watcher_says(struct rig_worker *watcher, CK_RV rv, uint64_t slot)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, rv);
	kmn_writer_u64(&w, slot);
	CU_ASSERT_EQUAL(kmn_ipc_send(watcher->keeper, KMN_W_EVENT, w.bytes, w.len, -1), KMN_OK);
	kmn_writer_clear(&w);
}

struct rig_worker *
rig_worker_of(struct rig *rig, unsigned module)
{
	struct rig_worker *found = NULL;

	for (size_t i = 0; i < RIG_WORKERS; i++) {
		struct rig_worker *w = &rig->worker[i];

		if (w->pid > 0 && w->module == module && (found == NULL || w->id > found->id))
			found = w;
	}
	return found;
}

void
rig_start(struct rig *rig, const char *rules)
{
	static const struct rig_module mock = {.name = "mock"};
	static const struct rig_plan plan = {
	    .modules = &mock, .module_count = 1, .tokens = "mock-1", .token_lines = "token mock-1\n"};

	rig_start_with(rig, &plan, rules);
}

void
rig_start_with(struct rig *rig, const struct rig_plan *plan, const char *rules)
{
	memset(rig, 0, sizeof(*rig));
	rig->plan = *plan;
	snprintf(rig->dir, sizeof(rig->dir), "/tmp/kanmon-keeper-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(rig->dir));
	snprintf(rig->mock_log, sizeof(rig->mock_log), "%s/mock.log", rig->dir);
	CU_ASSERT_TRUE_FATAL(test_certificate_make(&rig->ca, "P-256", -60, 3600) &&
			     test_certificate_make(&rig->other, "P-256", -60, 3600) &&
			     test_certificate_make(&rig->terminal, "P-256", -60, 3600));
	make_ledger(rig, rules);
	rig_restart(rig);
}

int
rig_wait(struct rig *rig)
{
	int status = 0;
	int64_t until = now_ms() + WAIT_MS;

	while (waitpid(rig->keeper, &status, WNOHANG) == 0) {
		if (now_ms() > until)
			kill(rig->keeper, SIGKILL);
		rig_pump(rig, 20);
	}
	kmn_ipc_free(rig->supervisor);
	kmn_ipc_free(rig->gate);
	kmn_ipc_free(rig->courier);
	kmn_ipc_free(rig->console);
	rig->supervisor = rig->gate = rig->courier = rig->console = NULL;
	for (size_t i = 0; i < RIG_WORKERS; i++)
		if (rig->worker[i].pid != 0)
			worker_gone(rig, &rig->worker[i], false);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int
rig_stop(struct rig *rig)
{
	tell_keeper(rig, KMN_S_STOP, 0, "the test ends", -1);
	return rig_wait(rig);
}

void
rig_kill(struct rig *rig)
{
	kill(rig->keeper, SIGKILL);
	(void)rig_wait(rig);
}

/* ---- the auditor ------------------------------------------------------------------------------------------------- */

static void
said(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	(void)cookie;
	if (severity != KMN_INFO)
		printf("# V%d record %lld: %s\n", (int)check, (long long)place->index, text);
}

void
rig_trust(const struct rig *rig, char *text, size_t size)
{
	uint8_t secret[KMN_ED25519_SECRET_BYTES], policy_sha256[KMN_HASH_BYTES];
	char vkey[KMN_VKEY_MAX_BYTES], b64[64], *policy;
	struct kmn_store *here;
	size_t len;

	log_key(secret, vkey);
	CU_ASSERT_EQUAL_FATAL(kmn_store_files(rig->dir, &here), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_store_read(here, "policy", 65536, &policy, &len), KMN_OK);
	kmn_sha256(policy, len, policy_sha256);
	kmn_b64(policy_sha256, sizeof(policy_sha256), b64);
	free(policy);
	kmn_store_files_free(here);
	snprintf(text, size, "kanmon/trust/v1\norigin " ORIGIN "\npolicy-sha256 %s\nlog %s\n%s\nquorum none\n", b64,
	    vkey, rig->plan.trust == NULL ? "" : rig->plan.trust);
}

int
rig_verify(struct rig *rig)
{
	char path[128], trust_text[1024];
	static const struct kmn_checker *const more[] = {&kmn_channels_checker, &kmn_quorum_checker, NULL};
	struct kmn_verify_settings settings = {.more = more, .sink = {.say = said}};
	struct kmn_verify_report report;
	struct kmn_trust trust;

	rig_trust(rig, trust_text, sizeof(trust_text));
	CU_ASSERT_EQUAL_FATAL(kmn_trust_parse(trust_text, strlen(trust_text), &trust, NULL), KMN_OK);
	snprintf(path, sizeof(path), "%s/ledger", rig->dir);
	CU_ASSERT_EQUAL_FATAL(kmn_store_files(path, &settings.store), KMN_OK);
	settings.trust = &trust;
	CU_ASSERT_EQUAL(kmn_verify(&settings, &report), KMN_OK);
	if (report.exit_code == 0 && !rig->verified_often)
		shadow_ledger(settings.store);
	kmn_store_files_free(settings.store);
	return report.exit_code;
}

static void
remove_all(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char inner[512];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		remove_all(inner);
	}
	if (dir != NULL)
		closedir(dir);
	(void)remove(path);
}

static void
end(struct rig *rig, int exit_code)
{
	CU_ASSERT_EQUAL(rig_verify(rig), exit_code);
	remove_all(rig->dir);
}

void
rig_end(struct rig *rig)
{
	end(rig, 0);
}

void
rig_end_refused(struct rig *rig)
{
	end(rig, 1);
}

/* ---- connections ------------------------------------------------------------------------------------------------- */

static void
exporter_of(uint32_t conn, uint8_t out[KMN_EXPORTER_BYTES])
{
	kmn_sha256(&conn, sizeof(conn), out);
}

void
rig_open(struct rig *rig, uint32_t conn, const struct test_certificate *who)
{
	BIO *bio = BIO_new_mem_buf(who->certificate, -1);
	X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	uint8_t exporter[KMN_EXPORTER_BYTES], *der = NULL;
	int der_len = i2d_X509(x509, &der);
	struct kmn_writer w;

	CU_ASSERT_TRUE_FATAL(der_len > 0);
	exporter_of(conn, exporter);
	rig->closed[conn % RIG_CONNS] = false;
	kmn_writer_init(&w, 65536);
	kmn_writer_u32(&w, conn);
	kmn_writer_bytes(&w, der, (size_t)der_len);
	kmn_writer_text(&w, "TLSv1.3");
	kmn_writer_text(&w, "TLS_AES_256_GCM_SHA384");
	kmn_writer_raw(&w, exporter, sizeof(exporter));
	kmn_writer_text(&w, "127.0.0.1:1");
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_send(rig->gate, KMN_G_OPEN, w.bytes, w.len, -1), KMN_OK);
	kmn_writer_clear(&w);
	OPENSSL_free(der);
	X509_free(x509);
	BIO_free(bio);
}

void
rig_close(struct rig *rig, uint32_t conn)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 256);
	kmn_writer_u32(&w, conn);
	kmn_writer_text(&w, "hung up");
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_send(rig->gate, KMN_G_CLOSED, w.bytes, w.len, -1), KMN_OK);
	kmn_writer_clear(&w);
}

void
rig_send(struct rig *rig, uint32_t conn, uint8_t type, struct kmn_writer *body)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 1 << 20);
	kmn_writer_u32(&w, conn);
	kmn_writer_u8(&w, type);
	kmn_writer_raw(&w, body->bytes, body->len);
	if (kmn_ipc_send(rig->gate, KMN_G_FRAME, w.bytes, w.len, -1) != KMN_OK) {
		for (int64_t until = now_ms() + WAIT_MS; !rig_gone(rig) && now_ms() < until;)
			rig_pump(rig, 10);
		CU_ASSERT_TRUE_FATAL(rig_gone(rig));
	}
	kmn_writer_clear(&w);
	kmn_writer_clear(body);
}

/* ---- applications ------------------------------------------------------------------------------------------------ */

static void
send_attach(struct rig *rig, uint32_t conn, const struct test_certificate *who, const uint8_t client_random[32],
    uint64_t first_handle, const struct rig_claim *claim)
{
	struct kmn_writer w;

	rig_open(rig, conn, who);
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_u8(&w, sizeof(CK_ULONG));
	kmn_writer_u8(&w, 1);
	kmn_writer_u8(&w, 0);
	kmn_writer_text(&w, "rig");
	kmn_writer_text(&w, "localhost");
	kmn_writer_raw(&w, client_random, 32);
	kmn_writer_u64(&w, first_handle);
	kmn_writer_u8(&w, claim->receipts);
	kmn_writer_text(&w, claim->head != NULL ? claim->head : "");
	kmn_writer_text(&w, claim->line != NULL ? claim->line : "");
	kmn_writer_text(&w, claim->vkey != NULL ? claim->vkey : "");
	rig_send(rig, conn, KMN_F_ATTACH, &w);
}

/* What ATTACHED and JOINED end with. */
static void
take_head(struct rig_app *app, struct kmn_reader *r)
{
	const uint8_t *view;

	app->chan = kmn_reader_u64(r);
	app->head_receipt_len = kmn_reader_bytes(r, sizeof(app->head_receipt), &view);
	CU_ASSERT_EQUAL_FATAL(kmn_reader_end(r), KMN_OK);
	if (app->head_receipt_len > 0)
		memcpy(app->head_receipt, view, app->head_receipt_len);
}

static bool
attach(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who, uint64_t first_handle)
{
	uint8_t client_random[32] = {7}, gateway_random[32], exporter[KMN_EXPORTER_BYTES];
	char origin[256];
	struct rig_frame f;
	struct kmn_reader r;

	app->conn = conn;
	app->number = 0;
	app->acknowledged = 1;
	send_attach(rig, conn, who, client_random, first_handle, &app->claim);
	if (!rig_expect(rig, conn, KMN_F_ATTACHED, &f))
		return false;
	kmn_reader_init(&r, f.body, f.len);
	CU_ASSERT_EQUAL(kmn_reader_u16(&r), KMN_FRAME_VERSION);
	kmn_reader_raw(&r, app->id, sizeof(app->id));
	kmn_reader_raw(&r, gateway_random, sizeof(gateway_random));
	(void)kmn_reader_u32(&r);
	kmn_reader_text(&r, origin, sizeof(origin));
	CU_ASSERT_STRING_EQUAL(origin, ORIGIN);
	take_head(app, &r);
	exporter_of(conn, exporter);
	kmn_instance_secret(gateway_random, client_random, exporter, app->secret);
	return true;
}

void
rig_attach(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who)
{
	rig_attach_from(rig, app, conn, who, 0);
}

void
rig_attach_from(
    struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who, uint64_t first_handle)
{
	memset(app, 0, sizeof(*app));
	CU_ASSERT_TRUE_FATAL(attach(rig, app, conn, who, first_handle));
}

bool
rig_attach_claiming(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who)
{
	return attach(rig, app, conn, who, 0);
}

bool
rig_attach_refused(struct rig *rig, uint32_t conn, const struct test_certificate *who, kmn_err why)
{
	static const struct rig_claim none;
	uint8_t client_random[32] = {7};
	struct rig_frame f;
	struct kmn_reader r;

	send_attach(rig, conn, who, client_random, 0, &none);
	if (!rig_expect(rig, conn, KMN_F_REFUSED, &f))
		return false;
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u32(&r) == (uint32_t)why;
}

static bool
take_joined(struct rig *rig, struct rig_app *app, uint32_t conn)
{
	struct rig_frame f;
	struct kmn_reader r;

	if (!rig_expect(rig, conn, KMN_F_JOINED, &f))
		return false;
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	take_head(app, &r);
	return true;
}

bool
rig_join(struct rig *rig, const struct rig_app *app, uint32_t conn, const struct test_certificate *who)
{
	struct rig_app joined = *app;

	return rig_join_claiming(rig, &joined, conn, who);
}

bool
rig_join_claiming(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who)
{
	uint8_t exporter[KMN_EXPORTER_BYTES], proof[KMN_HASH_BYTES];
	struct kmn_writer w;
	int64_t until = now_ms() + WAIT_MS;

	rig_open(rig, conn, who);
	exporter_of(conn, exporter);
	kmn_join_proof(app->secret, exporter, proof);
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u16(&w, KMN_FRAME_VERSION);
	kmn_writer_raw(&w, app->id, sizeof(app->id));
	kmn_writer_raw(&w, proof, sizeof(proof));
	kmn_writer_text(&w, app->claim.head != NULL ? app->claim.head : "");
	rig_send(rig, conn, KMN_F_JOIN, &w);
	while (now_ms() < until) {
		for (size_t i = 0; i < rig->frames; i++)
			if (rig->frame[i].conn == conn)
				return rig->frame[i].type == KMN_F_JOINED && take_joined(rig, app, conn);
		if (rig->closed[conn % RIG_CONNS])
			return false;
		rig_pump(rig, 50);
	}
	return false;
}

void
rig_payload(enum kmn_call_id id, const struct kmn_arg *arg, size_t count, uint8_t **payload, size_t *len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	CU_ASSERT_EQUAL_FATAL(kmn_request_encode(id, arg, count, &w), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_writer_take(&w, payload, len), KMN_OK);
}

void
rig_call_raw(struct rig *rig, uint32_t conn, uint64_t number, uint64_t acknowledged, const uint8_t *payload, size_t len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_FRAME_MAX_BYTES);
	kmn_writer_u64(&w, number);
	kmn_writer_u64(&w, acknowledged);
	kmn_writer_raw(&w, payload, len);
	rig_send(rig, conn, KMN_F_CALL, &w);
}

/* A REFUSED of that call because its token is closed, or what the policy asks for lags behind. */
bool
rig_is_closed(const struct rig_frame *f, uint64_t number)
{
	struct kmn_reader r;

	kmn_reader_init(&r, f->body, f->len);
	return f->type == KMN_F_REFUSED && kmn_reader_u64(&r) == number && kmn_reader_u32(&r) == KMN_E_STALE;
}

void
rig_keep_reason(struct rig *rig, const struct rig_frame *f)
{
	struct kmn_reader r;

	kmn_reader_init(&r, f->body, f->len);
	(void)kmn_reader_u64(&r);
	(void)kmn_reader_u32(&r);
	(void)kmn_reader_u64(&r);
	kmn_reader_text(&r, rig->refused, sizeof(rig->refused));
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
}

/* REPLY, or the refusal above. */
static bool
expect_answer(struct rig *rig, const struct rig_app *app, struct rig_frame *out)
{
	int64_t until = now_ms() + WAIT_MS;

	do {
		for (size_t i = 0; i < rig->frames; i++) {
			const struct rig_frame *f = &rig->frame[i];

			if (f->conn == app->conn && (f->type == KMN_F_REPLY || rig_is_closed(f, app->number)))
				return rig_expect(rig, app->conn, f->type, out);
		}
		rig_pump(rig, 100);
	} while (!rig_gone(rig) && now_ms() < until);
	return rig_expect(rig, app->conn, KMN_F_REPLY, out);
}

CK_RV
rig_call(struct rig *rig, struct rig_app *app, enum kmn_call_id id, struct kmn_arg *arg, size_t count)
{
	struct rig_answer answer = {.id = id};
	CK_RV rv = CKR_VENDOR_DEFINED;
	struct rig_frame f = {.type = 0};
	struct kmn_reader r;
	uint8_t *payload;

	rig_payload(id, arg, count, &payload, &answer.request_len);
	answer.request = payload;
	rig_call_raw(rig, app->conn, ++app->number, app->acknowledged, payload, answer.request_len);
	if (expect_answer(rig, app, &f) && f.type == KMN_F_REFUSED) {
		if (app->acknowledged == app->number)
			app->acknowledged++;
		rv = kmn_err_ckr(KMN_E_STALE);
		rig_keep_reason(rig, &f);
	} else if (f.type == KMN_F_REPLY) {
		if (app->acknowledged == app->number)
			app->acknowledged++;
		kmn_reader_init(&r, f.body, f.len);
		answer.number = kmn_reader_u64(&r);
		answer.receipt_len = kmn_reader_bytes(&r, sizeof(f.body), &answer.receipt);
		answer.response_len = kmn_reader_rest(&r, &answer.response);
		CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
		CU_ASSERT_EQUAL(kmn_response_decode(id, arg, count, answer.response, answer.response_len, &rv), KMN_OK);
		answer.rv = rv;
		if (app->heard != NULL)
			app->heard(app, &answer);
	}
	free(payload);
	return rv;
}

CK_RV
rig_open_session(struct rig *rig, struct rig_app *app)
{
	struct kmn_arg arg[] = {
	    {.u = 11}, {.u = CKF_SERIAL_SESSION | CKF_RW_SESSION}, {.p = NULL}, {.p = &app->session}};

	return rig_call(rig, app, KMN_C_OpenSession, arg, KMN_COUNT_OF(arg));
}

CK_RV
rig_login(struct rig *rig, struct rig_app *app)
{
	char pin[] = PIN;
	struct kmn_arg arg[] = {{.u = app->session}, {.u = CKU_USER}, {.p = pin, .u = sizeof(pin) - 1}};

	return rig_call(rig, app, KMN_C_Login, arg, KMN_COUNT_OF(arg));
}

CK_RV
rig_generate(struct rig *rig, struct rig_app *app, const char *label, CK_OBJECT_HANDLE *private)
{
	CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE public = 0;
	CK_ULONG bits = 2048;
	CK_BBOOL yes = CK_TRUE;
	char name[64];
	CK_ATTRIBUTE pub[] = {{CKA_LABEL, name, 0}, {CKA_ID, name, 0}, {CKA_MODULUS_BITS, &bits, sizeof(bits)}};
	CK_ATTRIBUTE priv[] = {{CKA_LABEL, name, 0}, {CKA_ID, name, 0}, {CKA_SIGN, &yes, sizeof(yes)}};
	struct kmn_arg arg[] = {{.u = app->session}, {.p = &mechanism}, {.p = pub, .u = 3}, {.p = priv, .u = 3},
	    {.p = &public}, {.p = private}};

	snprintf(name, sizeof(name), "%s", label);
	for (size_t i = 0; i < 2; i++)
		pub[i].ulValueLen = priv[i].ulValueLen = strlen(name);
	return rig_call(rig, app, KMN_C_GenerateKeyPair, arg, KMN_COUNT_OF(arg));
}

CK_RV
rig_sign_init(struct rig *rig, struct rig_app *app, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	struct kmn_arg arg[] = {{.u = app->session}, {.p = &mechanism}, {.u = key}};

	return rig_call(rig, app, KMN_C_SignInit, arg, KMN_COUNT_OF(arg));
}

static void
sign_args(struct rig_app *app, const char *data, struct kmn_arg arg[3], uint8_t *signature, CK_ULONG *len)
{
	union {
		const char *read_only;
		void *p;
	} bytes = {data};

	arg[0] = (struct kmn_arg){.u = app->session};
	arg[1] = (struct kmn_arg){.p = bytes.p, .u = strlen(data)};
	arg[2] = (struct kmn_arg){.p = signature, .n = len};
}

CK_RV
rig_sign(struct rig *rig, struct rig_app *app, const char *data, uint8_t *signature, CK_ULONG *len)
{
	struct kmn_arg arg[3];

	sign_args(app, data, arg, signature, len);
	return rig_call(rig, app, KMN_C_Sign, arg, 3);
}

uint64_t
rig_send_sign(
    struct rig *rig, struct rig_app *app, const char *data, struct kmn_arg arg[3], uint8_t *signature, CK_ULONG *len)
{
	uint8_t *payload;
	size_t payload_len;

	sign_args(app, data, arg, signature, len);
	rig_payload(KMN_C_Sign, arg, 3, &payload, &payload_len);
	rig_call_raw(rig, app->conn, ++app->number, app->acknowledged, payload, payload_len);
	free(payload);
	return app->number;
}

/* ---- the kanmon tool's questions --------------------------------------------------------------------------------- */

uint32_t
rig_admin(struct rig *rig, uint32_t conn, struct kmn_writer *body, char *text, size_t size)
{
	struct rig_frame f;
	struct kmn_reader r;
	const uint8_t *view;
	uint32_t error;
	size_t len;

	rig_send(rig, conn, KMN_F_ADMIN, body);
	if (!rig_expect(rig, conn, KMN_F_ADMIN_REPLY, &f))
		return UINT32_MAX;
	kmn_reader_init(&r, f.body, f.len);
	error = kmn_reader_u32(&r);
	len = kmn_reader_bytes(&r, sizeof(f.body), &view);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	if (text != NULL)
		snprintf(text, size, "%.*s", (int)len, (const char *)view);
	return error;
}

/* The recorded statement of a request, from the ledger's file. */
static char *
statement_of(const struct rig *rig, uint64_t request)
{
	char path[160], line[KMN_LINE_MAX_BYTES + 2], *text = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "%s/ledger/seg/00000000000000000000.kl", rig->dir);
	file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		struct kmn_record record;
		struct kmn_ref ref;
		const char *found;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || kmn_record_parse(line, strlen(line), &record, NULL) != KMN_OK)
			continue;
		if (record.kind == KMN_R_STATEMENT && kmn_ref_get(record.body, "request", &ref) && ref.i == request &&
		    kmn_json_get_text(record.body, "text", &found)) {
			free(text);
			text = strdup(found);
		}
		kmn_record_clear(&record);
	}
	if (file != NULL)
		fclose(file);
	return text;
}

uint32_t
rig_vote(struct rig *rig, uint32_t conn, uint64_t request, const char *name, const char *decision)
{
	enum kmn_decision d = strcmp(decision, "reject") == 0 ? KMN_REJECT
			      : strcmp(decision, "veto") == 0 ? KMN_VETO
							      : KMN_APPROVE;
	char *statement = NULL, *text, *note;
	struct kmn_writer w;

	for (int i = 0; i < 100 && statement == NULL; i++) {
		rig_pump(rig, 50);
		statement = statement_of(rig, request);
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(statement);
	CU_ASSERT_EQUAL_FATAL(kmn_statement_turn(statement, d, d == KMN_APPROVE ? NULL : "no", &text), KMN_OK);
	note = world_sign(text, name);
	kmn_writer_init(&w, 65536);
	kmn_writer_u16(&w, KMN_ADMIN_NOTE_SUBMIT);
	kmn_writer_text(&w, note);
	free(statement);
	free(text);
	free(note);
	return rig_admin(rig, conn, &w, NULL, 0);
}

/* ---- what can be seen from outside ------------------------------------------------------------------------------- */

unsigned
rig_mock_calls(const struct rig *rig, const char *function)
{
	FILE *file = fopen(rig->mock_log, "r");
	char line[256];
	unsigned n = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		n += strncmp(line, function, strlen(function)) == 0 && line[strlen(function)] == ' ';
	if (file != NULL)
		fclose(file);
	return n;
}

unsigned
rig_records(const struct rig *rig, const char *type, const char *with)
{
	char path[160], line[KMN_LINE_MAX_BYTES + 2], wanted[64];
	unsigned n = 0, pending = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/ledger/seg/00000000000000000000.kl", rig->dir);
	snprintf(wanted, sizeof(wanted), "\"type\":\"%s\"", type);
	file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, "#commit ", 8) == 0) {
			n += pending;
			pending = 0;
		} else if (strstr(line, wanted) != NULL && (with == NULL || strstr(line, with) != NULL)) {
			pending++;
		}
	}
	if (file != NULL)
		fclose(file);
	return n;
}

uint32_t
rig_ask(struct rig *rig, struct rig_asked *asked, uint8_t op, struct kmn_writer *fields)
{
	struct rig_told told = {.tag = ++rig->tag, .error = UINT32_MAX};
	int64_t until = now_ms() + WAIT_MS;
	struct kmn_writer w;

	free(asked->text);
	asked->text = NULL;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, told.tag);
	kmn_writer_u8(&w, op);
	kmn_writer_raw(&w, asked->session, sizeof(asked->session));
	kmn_writer_raw(&w, asked->csrf, sizeof(asked->csrf));
	if (fields != NULL) {
		CU_ASSERT_EQUAL(fields->err, KMN_OK);
		kmn_writer_raw(&w, fields->bytes, fields->len);
		kmn_writer_clear(fields);
	}
	rig->told = &told;
	CU_ASSERT_EQUAL(kmn_ipc_send_writer(rig->console, KMN_CONSOLE_ASK, &w), KMN_OK);
	kmn_writer_clear(&w);
	while (!told.came && rig->console != NULL && now_ms() < until && !rig_gone(rig))
		rig_pump(rig, 100);
	rig->told = NULL;
	asked->text = told.text;
	if (op == KMN_UI_SIGN_IN || op == KMN_UI_SIGN_IN_TLS)
		memcpy(asked->session, told.session, sizeof(told.session));
	return told.error;
}
