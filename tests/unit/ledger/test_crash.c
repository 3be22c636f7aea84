/* kill -9 at any moment: what was said to be durable is there, and what is there verifies. */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/verify.h"
#include "tests/unit/ledger/fixture.h"
#include "tests/unit/ledger/stories.h"
#include "tests/unit/run.h"

static struct fixture f;
static char last_said[256];

static void
up(void)
{
	fixture_up(&f);
	f.disk.sync = true;
	f.settings.segment_records = 40;
	f.settings.publish_ms = 5;
}

static void
down(void)
{
	fixture_down(&f);
}

static kmn_err
pass(void *cookie, const struct kmn_record *record)
{
	(void)cookie;
	(void)record;
	return KMN_OK;
}

/* The child: appends for ever and says each durable size. Never returns. */
static void
write_for_ever(int say)
{
	struct kmn_recovery recovery;
	struct kmn_head head;
	struct kmn_log *log;

	f.dice = (uint64_t)getpid() << 32; /* no nonce that another child has had */
	if (kmn_log_open(&f.settings, pass, NULL, &recovery, &log, NULL) != KMN_OK)
		_exit(1);
	for (unsigned n = 0;; n++) {
		uint8_t hash[KMN_HASH_BYTES];

		for (unsigned m = 0; m <= n % 5; m++)
			if (kmn_log_append(log, KMN_R_CLOCK, fixture_clock(n), NULL, NULL, NULL) != KMN_OK)
				_exit(2);
		if (kmn_log_wait(log) != KMN_OK || kmn_log_blob_put(log, &n, sizeof(n), hash) != KMN_OK)
			_exit(3);
		kmn_log_durable(log, &head);
		if (write(say, &head.size, sizeof(head.size)) != sizeof(head.size))
			_exit(4);
	}
}

static void
sleep_us(unsigned us)
{
	struct timespec wait = {0, (long)us * 1000};

	(void)nanosleep(&wait, NULL);
}

static pid_t
start_child(int *say_out)
{
	int ends[2];
	pid_t child;

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	child = fork();
	CU_ASSERT_FATAL(child >= 0);
	if (child == 0)
		write_for_ever(ends[1]);
	(void)close(ends[1]);
	*say_out = ends[0];
	return child;
}

/* Gives the last size that the child called durable. */
static uint64_t
kill_child(pid_t child, int say)
{
	uint64_t durable = 0, said;
	int status;

	(void)kill(child, SIGKILL);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFSIGNALED(status));
	while (read(say, &said, sizeof(said)) == sizeof(said))
		durable = said;
	(void)close(say);
	return durable;
}

static uint64_t
run_and_kill(unsigned us)
{
	int say;
	pid_t child = start_child(&say);

	sleep_us(us);
	return kill_child(child, say);
}

static void
remember(
    void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	(void)cookie;
	if (severity != KMN_INFO)
		(void)snprintf(last_said, sizeof(last_said), "V%d %s: %s", (int)check,
		    place->file == NULL ? "-" : place->file, text);
}

static int
verify(void)
{
	char text[1024], vkey[KMN_VKEY_MAX_BYTES];
	struct kmn_trust trust;
	struct kmn_verify_report report;
	struct kmn_verify_settings settings = {.store = f.disk.real,
	    .trust = &trust,
	    .sink = {remember, NULL},
	    .segment_records = f.settings.segment_records};

	kmn_vkey_format(&f.vkey, vkey);
	(void)snprintf(text, sizeof(text),
	    "kanmon/trust/v1\norigin " FIXTURE_ORIGIN
	    "\npolicy-sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nlog %s\n\nquorum none\n",
	    vkey);
	CU_ASSERT_EQUAL_FATAL(kmn_trust_parse(text, strlen(text), &trust, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_verify(&settings, &report), KMN_OK);
	return report.exit_code;
}

/* As the keeper does it: what was found is the first record of the new start. */
static void
start_again(uint64_t least)
{
	struct kmn_recovery recovery;
	json_t *body, *dropped;
	uint64_t replayed;
	struct kmn_log *log = fixture_open(&f, &replayed, &recovery);

	CU_ASSERT_TRUE(replayed >= least);
	body = story_recovery(&recovery.last_commit, NULL, NULL);
	if ((dropped = kmn_recovery_dropped(&recovery)) != NULL)
		(void)json_object_set_new(body, "dropped", dropped);
	(void)story_append(log, KMN_R_RECOVERY, body);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
}

static void
test_kill(void)
{
	unsigned runs = getenv("KMN_TEST_LONG") != NULL ? 500 : 40;
	uint64_t most = 0;

	fixture_create(&f);
	for (unsigned n = 0; n < runs; n++) {
		uint64_t durable = run_and_kill(2000 + n * 7919 % 20000);

		most = durable > most ? durable : most;
		start_again(durable);
		if (verify() != 0) {
			(void)printf("# run %u: %s\n", n, last_said);
			CU_FAIL("the ledger does not verify");
		}
	}
	CU_ASSERT_TRUE(most > 0);
}

static void
test_verified_while_written(void)
{
	pid_t child;
	int say;

	fixture_create(&f);
	child = start_child(&say);
	for (unsigned n = 0; n < 12; n++) {
		sleep_us(2000);
		if (verify() != 0) {
			(void)printf("# %s\n", last_said);
			CU_FAIL("a ledger that is written does not verify");
		}
	}
	CU_ASSERT_TRUE(kill_child(child, say) > 1);
}

static void
test_dropped_is_kept(void)
{
	struct kmn_recovery recovery;
	struct kmn_log *log;
	char *bytes;
	size_t len;

	fixture_create(&f);
	bytes = fixture_read(&f, "seg/00000000000000000000.kl", &len);
	bytes = realloc(bytes, len + 5);
	memcpy(bytes + len, "{\"bod", 5);
	fixture_write(&f, "seg/00000000000000000000.kl", bytes, len + 5);
	free(bytes);
	CU_ASSERT_EQUAL(verify(), 1); /* not recovered yet */
	log = fixture_open(&f, NULL, &recovery);
	CU_ASSERT_EQUAL(kmn_log_close(log), KMN_OK);
	start_again(1);
	CU_ASSERT_EQUAL(verify(), 0);
	CU_ASSERT_TRUE(fixture_exists(&f, recovery.quarantine));
	fixture_write(&f, recovery.quarantine, "{\"boD", 5);
	CU_ASSERT_EQUAL(verify(), 1);
	fixture_unlink(&f, recovery.quarantine);
	CU_ASSERT_EQUAL(verify(), 0);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"killed at any moment, all that was durable is there and verifies", test_kill},
	    {"a ledger verifies while it is written", test_verified_while_written},
	    {"what was cut off is kept, described, and checked", test_dropped_is_kept},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"ledger/crash", NULL, NULL, up, down, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
