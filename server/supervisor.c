#include "config.h"

#include "server/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/ipc.h"
#include "server/child.h"
#include "server/hooks.h"

#define KEEPER_DEATHS_FORGOTTEN_MS 3600000 /* a keeper that died longer ago does not count */
#define DEATHS_FORGOTTEN_MS 60000          /* of a gate, a courier or a console */
#define PAUSE_FIRST_MS 100
#define PAUSE_MOST_MS 5000
#define LISTEN_BACKLOG 128
#define HOW_BYTES 64
#define ENVIRONMENT_MAX (KMN_ENVIRONMENT_MAX + 8)

enum phase { STARTING, SERVING, STOPPING };

struct worker {
	LIST_ENTRY(worker) link;
	uint32_t id; /* the keeper's name for it */
	pid_t pid;
};

/* Gate, courier and console: started again whenever they end. */
struct standing {
	enum kmn_role role;
	uint8_t message; /* that brings a new one to the keeper */
	pid_t pid;       /* 0: none */
	int64_t died_ms; /* 0: never */
	int64_t due_ms;  /* when to start one again; 0: not now */
	int pause_ms;
	char why[HOW_BYTES + 16];
};

enum { GATE, COURIER, CONSOLE, RUNNERS, STANDING_COUNT = RUNNERS + KMN_RUNNERS };

struct supervisor {
	const struct kmn_supervisor_options *o;
	enum phase phase;
	int signals; /* signalfd */
	struct kmn_ipc *keeper_ipc;
	pid_t keeper; /* 0: none */
	struct standing standing[STANDING_COUNT];
	LIST_HEAD(, worker) workers;
	unsigned worker_count;
	struct kmn_hooks *hooks;
	int64_t keeper_died_ms; /* 0: never */
	int64_t stop_due_ms;    /* STOPPING: until then the keeper may finish */
	bool told_ready, done;
	int exit_status;
};

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- starting ---------------------------------------------------------------------------------------------------- */

/* Only the worker is given an environment, its module's; a sanitizer's own settings go to all. */
static void
make_environment(const struct kmn_assignment *assignment, char *out[ENVIRONMENT_MAX])
{
	static const char *const sanitizer[] = {"ASAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS=", "LSAN_OPTIONS="};
	size_t n = 0;

	for (char **at = environ; !kmn_confine_can_filter() && *at != NULL; at++)
		for (size_t i = 0; i < KMN_COUNT_OF(sanitizer); i++)
			if (strncmp(*at, sanitizer[i], strlen(sanitizer[i])) == 0 && n < KMN_COUNT_OF(sanitizer))
				out[n++] = *at;
	for (unsigned i = 0; assignment != NULL && i < assignment->module->environment.count; i++)
		out[n++] = assignment->module->environment.at[i];
	out[n] = NULL;
}

/* Starts a role that talks through a new socket; *peer_out is the other end of it. `assignment`: a worker's, or NULL. */
static kmn_err
start_role(const struct supervisor *s, enum kmn_role role, const struct kmn_assignment *assignment, pid_t *pid_out,
    int *peer_out)
{
	char *environment[ENVIRONMENT_MAX];
	struct kmn_child child = {.role = role, .environment = environment};
	struct kmn_writer w;
	int ends[2];
	kmn_err e;

	*peer_out = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return KMN_E_IO;
	child.fds[child.fd_count++] = ends[1];
	if (role == KMN_ROLE_CONSOLE) {
		child.fds[child.fd_count++] = s->o->console;
		child.fds[child.fd_count++] = s->o->pages;
	}
	for (unsigned i = 0; role == KMN_ROLE_GATE && i < s->o->listener_count; i++)
		child.fds[child.fd_count++] = s->o->listeners[i];
	if (role == KMN_ROLE_KEEPER)
		child.fds[child.fd_count++] = s->o->ledger;
	for (unsigned i = 0; role == KMN_ROLE_KEEPER && i < s->o->settings->guard_count; i++)
		if (s->o->guards[i] >= 0)
			child.fds[child.fd_count++] = s->o->guards[i];
	make_environment(assignment, environment);
	kmn_writer_init(&w, KMN_HANDOVER_MAX_BYTES);
	kmn_handover_put(&w, role, s->o->settings, s->o->material, s->o->listener_count, assignment);
	child.handover = &w;
	e = kmn_child_start(&child, pid_out);
	kmn_writer_clear(&w);
	(void)close(ends[1]);
	if (e == KMN_OK)
		*peer_out = ends[0];
	else
		(void)close(ends[0]);
	return e;
}

/* To the keeper. If it does not listen any more, its end will be told by waitpid(). */
static void
tell(struct supervisor *s, uint8_t kind, struct kmn_writer *w, int fd)
{
	kmn_err e = w->err;

	if (e == KMN_OK) /* closed already, but not yet reaped: a gate may fall due in between */
		e = s->keeper_ipc == NULL ? KMN_E_CLOSED : kmn_ipc_send(s->keeper_ipc, kind, w->bytes, w->len, fd);
	if (e != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "the keeper is not told: %s", kmn_err_text(e));
	kmn_writer_clear(w);
}

static void
tell_worker(struct supervisor *s, uint8_t kind, uint32_t id, const char *text, int fd)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 256);
	kmn_writer_u32(&w, id);
	if (text != NULL)
		kmn_writer_text(&w, text);
	tell(s, kind, &w, fd);
}

static void
end_service(struct supervisor *s, int exit_status)
{
	s->done = true;
	s->exit_status = exit_status;
}

static void
start_keeper(struct supervisor *s)
{
	int peer;
	kmn_err e;

	s->phase = STARTING;
	if ((e = start_role(s, KMN_ROLE_KEEPER, NULL, &s->keeper, &peer)) == KMN_OK)
		e = kmn_ipc_new(peer, 0, &s->keeper_ipc);
	if (e == KMN_OK)
		return;
	kmn_say(KMN_SAY_ERROR, "the keeper does not start: %s", kmn_err_text(e));
	end_service(s, 1);
}

static void
start_standing(struct supervisor *s, struct standing *one)
{
	struct kmn_writer w;
	int peer;
	kmn_err e;

	one->due_ms = 0;
	if ((e = start_role(s, one->role, NULL, &one->pid, &peer)) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "the %s does not start: %s", kmn_role_name(one->role), kmn_err_text(e));
		one->pid = 0;
		one->due_ms = now_ms() + PAUSE_MOST_MS;
		return;
	}
	kmn_writer_init(&w, 256);
	kmn_writer_text(&w, one->why);
	if (one->role == KMN_ROLE_RUNNER)
		kmn_writer_u8(&w, (uint8_t)(one - &s->standing[RUNNERS]));
	tell(s, one->message, &w, peer);
	(void)close(peer);
}

/* ---- readiness --------------------------------------------------------------------------------------------------- */

/* One datagram to the service manager, as sd_notify(3) tells; nobody there is no failure. */
static void
notify_manager(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = path != NULL ? strlen(path) : 0;
	int fd;

	if (len < 2 || len >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, len);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		kmn_say(KMN_SAY_WARNING, "NOTIFY_SOCKET: %s", strerror(errno));
	(void)close(fd);
}

static void
tell_ready(struct supervisor *s)
{
	static const char line[] = "ready\n";

	if (s->told_ready)
		return;
	s->told_ready = true;
	kmn_say(KMN_SAY_INFO, "serving");
	notify_manager("READY=1");
	if (s->o->ready_fd < 0)
		return;
	if (write(s->o->ready_fd, line, sizeof(line) - 1) < 0)
		kmn_say(KMN_SAY_WARNING, "--ready-fd: %s", strerror(errno));
	(void)close(s->o->ready_fd);
}

/* ---- what the keeper says ---------------------------------------------------------------------------------------- */

static bool
listen_all(const struct supervisor *s)
{
	bool listening = s->o->console < 0 || listen(s->o->console, LISTEN_BACKLOG) == 0;

	for (unsigned i = 0; listening && i < s->o->listener_count; i++)
		listening = listen(s->o->listeners[i], LISTEN_BACKLOG) == 0;
	if (!listening)
		kmn_say(KMN_SAY_ERROR, "listen: %s", strerror(errno));
	return listening;
}

static void
take_serving(struct supervisor *s)
{
	bool wanted[STANDING_COUNT] = {
	    [GATE] = true, [COURIER] = kmn_settings_need_courier(s->o->settings), [CONSOLE] = s->o->console >= 0};

	if (s->phase != STARTING)
		return;
	for (unsigned i = RUNNERS; i < STANDING_COUNT; i++)
		wanted[i] = s->o->settings->console.client_key != NULL;
	s->phase = SERVING;
	if (!listen_all(s)) {
		end_service(s, 1);
		return;
	}
	for (unsigned i = 0; i < STANDING_COUNT; i++) {
		snprintf(s->standing[i].why, sizeof(s->standing[i].why), "start");
		if (wanted[i])
			start_standing(s, &s->standing[i]);
	}
	tell_ready(s);
}

static struct worker *
find_worker(const struct supervisor *s, uint32_t id)
{
	struct worker *w;

	LIST_FOREACH(w, &s->workers, link)
	if (w->id == id)
		return w;
	return NULL;
}

/* What the keeper wants a worker for; a module that is not ours leaves `module` NULL. */
static void
read_assignment(const struct supervisor *s, struct kmn_reader *r, struct kmn_assignment *assignment)
{
	const struct kmn_settings *settings = s->o->settings;
	char name[KMN_MODULE_NAME_MAX_BYTES + 1];

	kmn_reader_text(r, name, sizeof(name));
	for (unsigned i = 0; r->err == KMN_OK && i < settings->module_count; i++)
		if (strcmp(settings->modules[i].name, name) == 0)
			assignment->module = &settings->modules[i];
	assignment->watching = kmn_reader_bool(r);
	assignment->first_handle = kmn_reader_u64(r);
	assignment->handle_step = kmn_reader_u64(r);
}

static void
take_spawn(struct supervisor *s, uint32_t id, const struct kmn_assignment *assignment)
{
	const struct kmn_settings *settings = s->o->settings;
	/* Two more of each module than there may be applications: the keeper's own, and the one that watches slots. */
	bool room = s->worker_count < (settings->limits.instances + 2) * settings->module_count &&
		    find_worker(s, id) == NULL && assignment->module != NULL;
	struct worker *w = room ? calloc(1, sizeof(*w)) : NULL;
	int peer = -1;
	kmn_err e = w != NULL ? start_role(s, KMN_ROLE_WORKER, assignment, &w->pid, &peer) : KMN_E_BUSY;

	if (e != KMN_OK) {
		free(w);
		tell_worker(s, KMN_S_FAILED, id, room ? kmn_err_text(e) : "no such module, or too many workers", -1);
		return;
	}
	w->id = id;
	LIST_INSERT_HEAD(&s->workers, w, link);
	s->worker_count++;
	tell_worker(s, KMN_S_SPAWNED, id, NULL, peer);
	(void)close(peer);
}

static kmn_err
take_message(struct supervisor *s, const struct kmn_ipc_message *m)
{
	struct kmn_assignment assignment = {.module = NULL};
	struct kmn_reader r;
	struct worker *w;
	uint32_t id = 0;
	kmn_err e;

	kmn_reader_init(&r, m->body, m->len_bytes);
	if (m->kind == KMN_S_HOOK)
		return kmn_hooks_take(s->hooks, &r, now_ms());
	if (m->kind == KMN_S_SPAWN || m->kind == KMN_S_KILL)
		id = kmn_reader_u32(&r);
	if (m->kind == KMN_S_SPAWN)
		read_assignment(s, &r, &assignment);
	if ((e = kmn_reader_end(&r)) != KMN_OK)
		return e;
	switch (m->kind) {
	case KMN_S_SPAWN:
		take_spawn(s, id, &assignment);
		return KMN_OK;
	case KMN_S_KILL:
		if ((w = find_worker(s, id)) != NULL)
			(void)kill(w->pid, SIGKILL);
		return KMN_OK;
	case KMN_S_SERVING:
		take_serving(s);
		return KMN_OK;
	case KMN_S_KILL_COURIER:
		if (s->standing[COURIER].pid > 0)
			(void)kill(s->standing[COURIER].pid, SIGKILL);
		return KMN_OK;
	default:
		return KMN_E_MALFORMED;
	}
}

static void
hear_keeper(struct supervisor *s)
{
	struct kmn_ipc_message m;
	kmn_err e;

	while ((e = kmn_ipc_poll(s->keeper_ipc, &m)) == KMN_OK) {
		if (m.fd >= 0) /* none is ever due in this direction */
			(void)close(m.fd);
		if ((e = take_message(s, &m)) != KMN_OK)
			break;
	}
	if (e == KMN_E_AGAIN)
		return;
	/* Closed, or speaking nonsense: in either case it is no keeper any more, and its end goes the way of deaths. */
	if (e != KMN_E_CLOSED)
		kmn_say(KMN_SAY_ERROR, "the keeper's message: %s", kmn_err_text(e));
	if (e != KMN_E_CLOSED || s->phase != STOPPING)
		(void)kill(s->keeper, SIGKILL);
	kmn_ipc_free(s->keeper_ipc);
	s->keeper_ipc = NULL;
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

/* Ends all but the keeper and waits for each: what they held is free before anything starts anew. */
static void
end_others(struct supervisor *s)
{
	struct worker *w, *next;

	for (unsigned i = 0; i < STANDING_COUNT; i++)
		if (s->standing[i].pid > 0)
			(void)kill(s->standing[i].pid, SIGKILL);
	LIST_FOREACH(w, &s->workers, link)
	(void)kill(w->pid, SIGKILL);
	for (unsigned i = 0; i < STANDING_COUNT; i++) {
		if (s->standing[i].pid > 0)
			(void)waitpid(s->standing[i].pid, NULL, 0);
		s->standing[i].pid = 0;
		s->standing[i].due_ms = 0;
	}
	for (w = LIST_FIRST(&s->workers); w != NULL; w = next) {
		next = LIST_NEXT(w, link);
		(void)waitpid(w->pid, NULL, 0);
		LIST_REMOVE(w, link);
		free(w);
	}
	s->worker_count = 0;
}

static void
lose_keeper(struct supervisor *s, int status, const char *how)
{
	int64_t now = now_ms();
	bool asked = WIFEXITED(status) && WEXITSTATUS(status) == KMN_EXIT_RESTART;
	bool again = !asked && s->keeper_died_ms != 0 && now - s->keeper_died_ms < KEEPER_DEATHS_FORGOTTEN_MS;

	s->keeper = 0;
	kmn_ipc_free(s->keeper_ipc);
	s->keeper_ipc = NULL;
	end_others(s);
	if (s->phase == STOPPING) {
		kmn_say(KMN_SAY_INFO, "stopped (keeper: %s)", how);
		end_service(s, WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1);
		return;
	}
	kmn_say(KMN_SAY_ERROR, "the keeper ended: %s; %s", how,
	    again ? "for the second time: no service any more" : "all processes are started once more");
	if (!asked)
		s->keeper_died_ms = now;
	if (again)
		end_service(s, 1);
	else
		start_keeper(s);
}

static void
lose_standing(struct supervisor *s, struct standing *one, const char *how)
{
	int64_t now = now_ms();
	bool soon = one->died_ms != 0 && now - one->died_ms < DEATHS_FORGOTTEN_MS;

	one->pid = 0;
	one->died_ms = now;
	one->pause_ms = !soon ? 0 : one->pause_ms == 0 ? PAUSE_FIRST_MS : one->pause_ms * 2;
	if (one->pause_ms > PAUSE_MOST_MS)
		one->pause_ms = PAUSE_MOST_MS;
	snprintf(one->why, sizeof(one->why), "the one before: %s", how);
	if (s->phase != SERVING)
		return;
	kmn_say(
	    KMN_SAY_ERROR, "the %s ended: %s; started again in %d ms", kmn_role_name(one->role), how, one->pause_ms);
	one->due_ms = now + one->pause_ms;
}

static void
lose_worker(struct supervisor *s, struct worker *w, const char *how)
{
	kmn_say(KMN_SAY_INFO, "worker %u ended: %s", w->id, how);
	LIST_REMOVE(w, link);
	s->worker_count--;
	if (s->keeper_ipc != NULL)
		tell_worker(s, KMN_S_EXITED, w->id, how, -1);
	free(w);
}

static struct standing *
standing_by_pid(struct supervisor *s, pid_t pid)
{
	for (unsigned i = 0; i < STANDING_COUNT; i++)
		if (s->standing[i].pid == pid)
			return &s->standing[i];
	return NULL;
}

static void
reap(struct supervisor *s)
{
	char how[HOW_BYTES];
	struct standing *one;
	struct worker *w;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		kmn_child_how(status, how, sizeof(how));
		LIST_FOREACH(w, &s->workers, link)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it does not see that LIST_REMOVE took the freed one out */
		if (w->pid == pid)
			break;
		if (pid == s->keeper)
			lose_keeper(s, status, how);
		else if ((one = standing_by_pid(s, pid)) != NULL)
			lose_standing(s, one, how);
		else if (w != NULL)
			lose_worker(s, w, how);
		else
			(void)kmn_hooks_reap(
			    s->hooks, pid, how, WIFEXITED(status) && WEXITSTATUS(status) == 0, now_ms());
	}
}

/* ---- signals and the loop ---------------------------------------------------------------------------------------- */

static void
begin_stop(struct supervisor *s, int number)
{
	struct kmn_writer w;

	if (s->phase == STOPPING || s->keeper_ipc == NULL) { /* asked twice: at once */
		s->stop_due_ms = now_ms();
		s->phase = STOPPING;
		return;
	}
	kmn_say(KMN_SAY_INFO, "stopping (signal %d)", number);
	notify_manager("STOPPING=1");
	s->phase = STOPPING;
	s->stop_due_ms = now_ms() + s->o->settings->stop_ms;
	for (unsigned i = 0; i < STANDING_COUNT; i++)
		s->standing[i].due_ms = 0;
	kmn_writer_init(&w, 64);
	kmn_writer_text(&w, number == SIGINT ? "interrupt" : "terminate");
	tell(s, KMN_S_STOP, &w, -1);
}

/* A new keeper is given them at its start; the one that runs, now. */
static void
seal_anew(struct supervisor *s)
{
	const struct kmn_settings *settings = s->o->settings;
	char why[KMN_SETTINGS_WHY_BYTES];
	struct kmn_writer w;

	if (s->phase == STOPPING)
		return;
	if (kmn_material_seal_anew(settings, s->o->material, why) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "no sealed PIN is taken anew, those of before stay: %s", why);
		return;
	}
	kmn_writer_init(&w, KMN_HANDOVER_MAX_BYTES);
	for (unsigned i = 0; i < settings->activation_count; i++)
		kmn_writer_bytes(&w, s->o->material->sealed_pin[i], strlen(s->o->material->sealed_pin[i]));
	tell(s, KMN_S_SEALED_PINS, &w, -1);
	kmn_say(KMN_SAY_INFO, "the files of %u sealed PINs are read anew", settings->activation_count);
}

static void
hear_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (!s->done && read(s->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else if (info.ssi_signo == SIGHUP)
			seal_anew(s);
		else
			begin_stop(s, (int)info.ssi_signo);
	}
}

/* 0: never. */
static int64_t
next_due_ms(const struct supervisor *s)
{
	int64_t due = s->phase == STOPPING ? s->stop_due_ms : 0, hooks = kmn_hooks_due_ms(s->hooks);

	for (unsigned i = 0; i < STANDING_COUNT; i++)
		if (s->standing[i].due_ms != 0 && (due == 0 || s->standing[i].due_ms < due))
			due = s->standing[i].due_ms;
	if (hooks != 0 && (due == 0 || hooks < due))
		due = hooks;
	return due;
}

static int
milliseconds_left(const struct supervisor *s)
{
	int64_t due = next_due_ms(s), left;

	if (due == 0)
		return -1;
	left = due - now_ms();
	return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void
keep_times(struct supervisor *s)
{
	if (s->phase == STOPPING && now_ms() >= s->stop_due_ms) {
		kmn_say(KMN_SAY_ERROR, "the keeper does not finish in time and is killed");
		if (s->keeper > 0)
			(void)kill(s->keeper, SIGKILL);
		s->stop_due_ms = now_ms() + 1000;
	}
	for (unsigned i = 0; i < STANDING_COUNT; i++)
		if (s->standing[i].due_ms != 0 && now_ms() >= s->standing[i].due_ms)
			start_standing(s, &s->standing[i]);
	kmn_hooks_keep_times(s->hooks, now_ms());
}

static void
run(struct supervisor *s)
{
	while (!s->done) {
		struct pollfd p[2] = {{.fd = s->signals, .events = POLLIN},
		    {.fd = s->keeper_ipc != NULL ? kmn_ipc_fd(s->keeper_ipc) : -1, .events = POLLIN}};

		if (poll(p, 2, milliseconds_left(s)) < 0 && errno != EINTR)
			KMN_BUG("poll");
		if (p[0].revents != 0)
			hear_signals(s);
		/* A death that was just heard may have put another keeper in this place: its words come next time. */
		else if (p[1].revents != 0)
			hear_keeper(s);
		if (!s->done)
			keep_times(s);
	}
}

static int
open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)signal(SIGPIPE, SIG_IGN);
	return sigprocmask(SIG_BLOCK, &set, NULL) == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
}

int
kmn_supervisor_run(const struct kmn_supervisor_options *options)
{
	struct supervisor s = {
	    .o = options,
	    .exit_status = 1,
	    .standing = {[GATE] = {.role = KMN_ROLE_GATE, .message = KMN_S_GATE},
		[COURIER] = {.role = KMN_ROLE_COURIER, .message = KMN_S_COURIER},
		[CONSOLE] = {.role = KMN_ROLE_CONSOLE, .message = KMN_S_CONSOLE}},
	};

	for (unsigned i = RUNNERS; i < STANDING_COUNT; i++)
		s.standing[i] = (struct standing){.role = KMN_ROLE_RUNNER, .message = KMN_S_RUNNER};
	LIST_INIT(&s.workers);
	if ((s.hooks = kmn_hooks_new(options->settings)) == NULL || (s.signals = open_signals()) < 0) {
		kmn_say(KMN_SAY_ERROR, "signals: %s", strerror(errno));
		kmn_hooks_free(s.hooks);
		return 1;
	}
	start_keeper(&s);
	run(&s);
	if (s.keeper > 0) {
		(void)kill(s.keeper, SIGKILL);
		(void)waitpid(s.keeper, NULL, 0);
	}
	end_others(&s);
	kmn_hooks_free(s.hooks);
	kmn_ipc_free(s.keeper_ipc);
	(void)close(s.signals);
	return s.exit_status;
}
