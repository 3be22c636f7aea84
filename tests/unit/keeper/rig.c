#include "config.h"

#include "tests/unit/keeper/rig_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kanmon/log.h"
#include "kanmon/say.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

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

void
rig_log_key_text(uint8_t secret[KMN_ED25519_SECRET_BYTES], char vkey_text[KMN_VKEY_MAX_BYTES])
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

	rig_log_key_text(secret, vkey);
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
	rig_log_key_text(secret, vkey);
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

void
rig_tell_keeper(struct rig *rig, uint8_t kind, uint32_t id, const char *text, int fd)
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

void
rig_spawn(struct rig *rig, uint32_t id, struct kmn_reader *r)
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
	rig_tell_keeper(rig, KMN_S_SPAWNED, id, NULL, pair[1]);
	close(pair[1]);
	if (rig->spawning.watching)
		play_watcher(w);
}

void
rig_worker_gone(struct rig *rig, struct rig_worker *w, bool say)
{
	int status = 0;

	kmn_ipc_free(w->keeper);
	kmn_ipc_free(w->worker); /* a worker that still lives ends by this */
	if (w->pid > 0)
		(void)waitpid(w->pid, &status, 0);
	if (say)
		rig_tell_keeper(
		    rig, KMN_S_EXITED, w->id, WIFSIGNALED(status) ? "killed by a signal" : "exit status 0", -1);
	memset(w, 0, sizeof(*w));
}

/* ---- start and end ----------------------------------------------------------------------------------------------- */

bool
rig_try(struct rig *rig)
{
	int pair[2];
	int64_t until = rig_now_ms() + WAIT_MS;

	rig->serving = rig->pinned = false;
	rig->frames = 0;
	memset(rig->closed, 0, sizeof(rig->closed));
	rig->keeper = begin(rig, keeper_process, &rig->supervisor);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, &rig->gate), KMN_OK);
	rig_tell_keeper(rig, KMN_S_GATE, 0, "start", pair[1]);
	close(pair[1]);
	if (rig->plan.errand != NULL) {
		CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, &rig->courier), KMN_OK);
		rig_tell_keeper(rig, KMN_S_COURIER, 0, "start", pair[1]);
		close(pair[1]);
	}
	if (rig->plan.console)
		rig_bring_console(rig);
	while (!(rig->serving && rig->pinned) && rig_now_ms() < until && !rig_gone(rig))
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
	int64_t until = rig_now_ms() + WAIT_MS;

	while (waitpid(rig->keeper, &status, WNOHANG) == 0) {
		if (rig_now_ms() > until)
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
			rig_worker_gone(rig, &rig->worker[i], false);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int
rig_stop(struct rig *rig)
{
	rig_tell_keeper(rig, KMN_S_STOP, 0, "the test ends", -1);
	return rig_wait(rig);
}

void
rig_kill(struct rig *rig)
{
	kill(rig->keeper, SIGKILL);
	(void)rig_wait(rig);
}
