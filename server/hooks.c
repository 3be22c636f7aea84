#include "config.h"

#include "server/hooks.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kanmon/say.h"

#define RUNNING_MAX 4
#define QUEUE_MAX 64
#define RUN_MAX_MS 30000
#define WORDS_MAX_BYTES 8192 /* on stdin: less than a pipe holds, so that nobody waits */
#define EXIT_NO_EXEC 127

struct errand {
	TAILQ_ENTRY(errand) link;
	const struct kmn_hook_settings *hook;
	char words[WORDS_MAX_BYTES];
	size_t len;
};

struct kmn_hooks {
	const struct kmn_settings *settings;
	TAILQ_HEAD(, errand) queue;
	unsigned queued, dropped;
	struct {
		pid_t pid; /* 0: nobody */
		const struct kmn_hook_settings *hook;
		int64_t due_ms;
	} running[RUNNING_MAX];
};

struct kmn_hooks *
kmn_hooks_new(const struct kmn_settings *settings)
{
	struct kmn_hooks *hooks = calloc(1, sizeof(*hooks));

	if (hooks == NULL)
		return NULL;
	hooks->settings = settings;
	TAILQ_INIT(&hooks->queue);
	return hooks;
}

void
kmn_hooks_free(struct kmn_hooks *hooks)
{
	struct errand *errand;

	if (hooks == NULL)
		return;
	for (unsigned i = 0; i < RUNNING_MAX; i++)
		if (hooks->running[i].pid > 0) {
			(void)kill(-hooks->running[i].pid, SIGKILL);
			(void)kill(hooks->running[i].pid, SIGKILL);
			(void)waitpid(hooks->running[i].pid, NULL, 0);
		}
	while ((errand = TAILQ_FIRST(&hooks->queue)) != NULL) {
		TAILQ_REMOVE(&hooks->queue, errand, link);
		free(errand);
	}
	free(hooks);
}

/* Between fork and exec: only calls that are safe there. */
_Noreturn static void
become(const struct kmn_hook_settings *hook, int words)
{
	char *const environment[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, NULL};
	char *program = hook->command != NULL ? hook->command : hook->sendmail;
	char as_it_is[] = "-i", end[] = "--"; /* a line with a dot alone ends no mail; an address is no option */
	char *argv[] = {program, NULL, NULL, NULL, NULL};
	const struct rlimit none = {0, 0};
	sigset_t empty;
	int null = open("/dev/null", O_WRONLY);

	if (hook->mail_to != NULL) {
		argv[1] = as_it_is;
		argv[2] = end;
		argv[3] = hook->mail_to;
	}
	(void)sigemptyset(&empty);
	(void)sigprocmask(SIG_SETMASK, &empty, NULL);
	(void)setsid();
	if (null < 0 || dup2(words, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
	    dup2(null, STDERR_FILENO) < 0 || syscall(SYS_close_range, 3u, ~0u, 0u) != 0 || chdir("/") != 0 ||
	    setrlimit(RLIMIT_CORE, &none) != 0)
		_exit(EXIT_NO_EXEC);
	if (hook->as.text != NULL &&
	    (setgroups(0, NULL) != 0 || setgid(hook->as.gid) != 0 || setuid(hook->as.uid) != 0))
		_exit(EXIT_NO_EXEC);
	(void)execve(program, argv, environment);
	_exit(EXIT_NO_EXEC);
}

static pid_t
start(const struct errand *errand)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	if (write(ends[1], errand->words, errand->len) != (ssize_t)errand->len || fcntl(ends[0], F_SETFL, 0) != 0) {
		(void)close(ends[0]);
		(void)close(ends[1]);
		return -1;
	}
	(void)close(ends[1]);
	if ((pid = fork()) == 0)
		become(errand->hook, ends[0]);
	(void)close(ends[0]);
	return pid;
}

/* As many as may run at once. */
static void
start_queued(struct kmn_hooks *hooks, int64_t now_ms)
{
	struct errand *errand;

	for (unsigned i = 0; i < RUNNING_MAX && (errand = TAILQ_FIRST(&hooks->queue)) != NULL; i++) {
		pid_t pid;

		if (hooks->running[i].pid != 0)
			continue;
		TAILQ_REMOVE(&hooks->queue, errand, link);
		hooks->queued--;
		if ((pid = start(errand)) > 0) {
			hooks->running[i].pid = pid;
			hooks->running[i].hook = errand->hook;
			hooks->running[i].due_ms = now_ms + RUN_MAX_MS;
		} else {
			kmn_say(KMN_SAY_ERROR, "hook \"%s\" cannot be started", errand->hook->name);
		}
		free(errand);
	}
}

static bool
is_line(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
			return false;
	return true;
}

kmn_err
kmn_hooks_take(struct kmn_hooks *hooks, struct kmn_reader *r, int64_t now_ms)
{
	uint32_t at = kmn_reader_u32(r);
	struct errand *errand;
	char subject[128];
	const uint8_t *body;
	size_t len;
	int head = 0;
	kmn_err e;

	kmn_reader_text(r, subject, sizeof(subject));
	len = kmn_reader_bytes(r, KMN_HOOK_BODY_MAX_BYTES, &body);
	if ((e = kmn_reader_end(r)) != KMN_OK)
		return e;
	if (at >= hooks->settings->hook_count || hooks->settings->hooks[at].url != NULL || !is_line(subject))
		return KMN_E_MALFORMED;
	if (hooks->queued >= QUEUE_MAX || (errand = malloc(sizeof(*errand))) == NULL) {
		if (hooks->dropped++ == 0)
			kmn_say(KMN_SAY_WARNING, "hooks take too long: some are not told");
		return KMN_OK;
	}
	errand->hook = &hooks->settings->hooks[at];
	if (errand->hook->mail_to != NULL)
		head = snprintf(errand->words, sizeof(errand->words),
		    "To: %.500s\nSubject: %s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n",
		    errand->hook->mail_to, subject);
	memcpy(errand->words + head, body, len);
	errand->len = (size_t)head + len;
	TAILQ_INSERT_TAIL(&hooks->queue, errand, link);
	hooks->queued++;
	start_queued(hooks, now_ms);
	return KMN_OK;
}

bool
kmn_hooks_reap(struct kmn_hooks *hooks, pid_t pid, const char *how, bool good, int64_t now_ms)
{
	for (unsigned i = 0; i < RUNNING_MAX; i++) {
		if (hooks->running[i].pid != pid)
			continue;
		if (!good)
			kmn_say(KMN_SAY_WARNING, "hook \"%s\": %s", hooks->running[i].hook->name, how);
		hooks->running[i].pid = 0;
		start_queued(hooks, now_ms);
		if (hooks->queued == 0 && hooks->dropped > 0) {
			kmn_say(KMN_SAY_WARNING, "hooks were not told %u times", hooks->dropped);
			hooks->dropped = 0;
		}
		return true;
	}
	return false;
}

int64_t
kmn_hooks_due_ms(const struct kmn_hooks *hooks)
{
	int64_t due = 0;

	for (unsigned i = 0; i < RUNNING_MAX; i++)
		if (hooks->running[i].pid != 0 && (due == 0 || hooks->running[i].due_ms < due))
			due = hooks->running[i].due_ms;
	return due;
}

void
kmn_hooks_keep_times(struct kmn_hooks *hooks, int64_t now_ms)
{
	for (unsigned i = 0; i < RUNNING_MAX; i++) {
		if (hooks->running[i].pid == 0 || now_ms < hooks->running[i].due_ms)
			continue;
		kmn_say(KMN_SAY_WARNING, "hook \"%s\" takes too long and is killed", hooks->running[i].hook->name);
		(void)kill(-hooks->running[i].pid, SIGKILL);
		(void)kill(hooks->running[i].pid, SIGKILL); /* before its setsid() */
		hooks->running[i].due_ms = now_ms + RUN_MAX_MS;
	}
}
