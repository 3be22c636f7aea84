/* Programs that are told: what one that never ends, and a full queue, cost. The clock is the test's. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kanmon/say.h"
#include "kanmon/writer.h"
#include "server/hooks.h"
#include "tests/unit/run.h"

#define RUNNING 4 /* at once */
#define QUEUED 64
#define LIMIT_MS 30000

static char folder[] = "/tmp/kanmon-hooks.XXXXXX", sleeper[64], log_path[64];
static struct kmn_settings settings;

static kmn_err
tell(struct kmn_hooks *hooks, uint32_t hook, const char *subject, int64_t now_ms)
{
	struct kmn_writer w;
	struct kmn_reader r;
	kmn_err e;

	kmn_writer_init(&w, 1024);
	kmn_writer_u32(&w, hook);
	kmn_writer_text(&w, subject);
	kmn_writer_text(&w, "{\"event\":\"anomaly\"}\n");
	kmn_reader_init(&r, w.bytes, w.len);
	e = kmn_hooks_take(hooks, &r, now_ms);
	kmn_writer_clear(&w);
	return e;
}

/* How often the log says that. */
static unsigned
said(const char *text)
{
	char line[1200];
	unsigned count = 0;
	FILE *file = fopen(log_path, "r");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		count += strstr(line, text) != NULL;
	if (file != NULL)
		fclose(file);
	return count;
}

static struct kmn_hooks *
begin(void)
{
	struct kmn_hooks *hooks = kmn_hooks_new(&settings);

	CU_ASSERT_PTR_NOT_NULL_FATAL(hooks);
	CU_ASSERT_EQUAL_FATAL(truncate(log_path, 0), 0);
	return hooks;
}

/* The next one that ends; false: nobody runs. */
static bool
reap(struct kmn_hooks *hooks, int64_t now_ms)
{
	int status = 0;
	pid_t pid = waitpid(-1, &status, 0);

	if (pid < 0)
		return false;
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CU_ASSERT_TRUE(kmn_hooks_reap(hooks, pid, "killed by signal 9", false, now_ms));
	CU_ASSERT_FALSE(kmn_hooks_reap(hooks, pid, "killed by signal 9", false, now_ms)); /* it is known no more */
	return true;
}

static void
test_killed(void)
{
	struct kmn_hooks *hooks = begin();

	CU_ASSERT_EQUAL(kmn_hooks_due_ms(hooks), 0);
	CU_ASSERT_EQUAL(tell(hooks, 0, "kanmon: anomaly, record 7", 1000), KMN_OK);
	CU_ASSERT_EQUAL(kmn_hooks_due_ms(hooks), 1000 + LIMIT_MS);
	kmn_hooks_keep_times(hooks, 1000 + LIMIT_MS - 1);
	CU_ASSERT_EQUAL(said("takes too long"), 0);
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), 0);
	kmn_hooks_keep_times(hooks, 1000 + LIMIT_MS);
	CU_ASSERT_EQUAL(said("hook \"sleeper\" takes too long and is killed"), 1);
	CU_ASSERT_TRUE(reap(hooks, 1000 + LIMIT_MS));
	CU_ASSERT_EQUAL(said("hook \"sleeper\": killed by signal 9"), 1);
	CU_ASSERT_EQUAL(kmn_hooks_due_ms(hooks), 0);
	kmn_hooks_free(hooks);
}

static void
test_full(void)
{
	struct kmn_hooks *hooks = begin();
	unsigned ran = 0;
	int64_t now = 1000;

	for (unsigned n = 0; n < RUNNING + QUEUED; n++)
		CU_ASSERT_EQUAL(tell(hooks, 0, "kanmon: request", now), KMN_OK);
	CU_ASSERT_EQUAL(said("some are not told"), 0);
	for (unsigned n = 0; n < 3; n++)
		CU_ASSERT_EQUAL(tell(hooks, 0, "kanmon: one too many", now), KMN_OK);
	CU_ASSERT_EQUAL(said("hooks take too long: some are not told"), 1);
	CU_ASSERT_EQUAL(said("were not told"), 0);
	for (; kmn_hooks_due_ms(hooks) != 0; now += LIMIT_MS) {
		kmn_hooks_keep_times(hooks, now + LIMIT_MS);
		for (unsigned n = 0; n < RUNNING && reap(hooks, now + LIMIT_MS); n++)
			ran++;
	}
	CU_ASSERT_EQUAL(ran, RUNNING + QUEUED);
	CU_ASSERT_EQUAL(said("hooks were not told 3 times"), 1);
	CU_ASSERT_EQUAL(tell(hooks, 0, "kanmon: request", now), KMN_OK); /* there is room again */
	CU_ASSERT_EQUAL(said("some are not told"), 1);
	kmn_hooks_free(hooks); /* kills and waits */
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
	CU_ASSERT_EQUAL(errno, ECHILD);
}

static void
test_malformed(void)
{
	struct kmn_hooks *hooks = begin();

	CU_ASSERT_EQUAL(tell(hooks, 1, "a hook that is a URL", 1000), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(tell(hooks, 2, "a hook that there is not", 1000), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(tell(hooks, 0, "more\nlines", 1000), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_hooks_due_ms(hooks), 0);
	kmn_hooks_free(hooks);
}

int
main(int argc, char **argv)
{
	static char name[] = "sleeper", url_name[] = "url", url[] = "http://127.0.0.1/";
	static const char script[] = "#!/bin/sh\nexec sleep 600\n";
	CU_TestInfo tests[] = {
	    {"one that does not end is killed after 30 s, and said", test_killed},
	    {"a full queue drops, says so and counts; nothing waits", test_full},
	    {"what is no hook, or more than a line, is none", test_malformed},
	    CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{"server/hooks", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};
	int file, result;

	if (mkdtemp(folder) == NULL)
		return 99;
	snprintf(sleeper, sizeof(sleeper), "%s/sleeper", folder);
	snprintf(log_path, sizeof(log_path), "%s/log", folder);
	if ((file = open(sleeper, O_WRONLY | O_CREAT | O_CLOEXEC, 0755)) < 0 ||
	    write(file, script, sizeof(script) - 1) != (ssize_t)sizeof(script) - 1 || close(file) != 0 ||
	    (file = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) < 0)
		return 99;
	settings.hook_count = 2;
	settings.hooks[0].name = name;
	settings.hooks[0].command = sleeper;
	settings.hooks[1].name = url_name;
	settings.hooks[1].url = url;
	kmn_say_init("test", file, KMN_SAY_DEBUG);
	result = kmn_test_main(argc, argv, suites);
	(void)unlink(sleeper);
	(void)unlink(log_path);
	(void)rmdir(folder);
	return result;
}
