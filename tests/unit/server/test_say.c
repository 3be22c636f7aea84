#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/say.h"
#include "tests/unit/run.h"

static int ends[2] = {-1, -1};

static int
open_ends(void)
{
	if (pipe(ends) != 0)
		return 1;
	kmn_say_init("tester", ends[1], KMN_SAY_INFO);
	return 0;
}

/* What was said since the last time. */
static const char *
heard(void)
{
	static char text[4096];
	ssize_t n;

	kmn_say(KMN_SAY_ERROR, "end");
	n = read(ends[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void
test_form(void)
{
	int year, month, day, hour, minute, second, ms, at = 0;
	const char *line;
	long pid = 0;

	kmn_say(KMN_SAY_WARNING, "worker %d: %s", 3, "gone");
	line = heard();
	CU_ASSERT_EQUAL(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ tester[%ld] warning: worker 3: gone\n%n", &year,
			    &month, &day, &hour, &minute, &second, &ms, &pid, &at),
	    8);
	CU_ASSERT_EQUAL(pid, (long)getpid());
	CU_ASSERT_TRUE(at > 0 && strstr(line + at, "tester") != NULL);
}

static void
test_level(void)
{
	kmn_say(KMN_SAY_DEBUG, "not for the operator");
	CU_ASSERT_PTR_NULL(strstr(heard(), "not for"));
	kmn_say(KMN_SAY_INFO, "for the operator");
	CU_ASSERT_PTR_NOT_NULL(strstr(heard(), "info: for the operator\n"));
}

static void
test_control_bytes(void)
{
	kmn_say(KMN_SAY_INFO, "%s", "one\ntwo\r\x1b[31m\x7f\xe9\x96\xa2");
	CU_ASSERT_PTR_NOT_NULL(strstr(heard(), "info: one?two??[31m?\xe9\x96\xa2\n"));
}

static void
test_long(void)
{
	char text[3000];
	const char *line, *end;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	kmn_say(KMN_SAY_INFO, "%s", text);
	line = heard();
	end = strchr(line, '\n');
	CU_ASSERT_PTR_NOT_NULL_FATAL(end);
	CU_ASSERT_TRUE(end - line <= 1000 && end - line > 900);
}

static void
test_errno(void)
{
	errno = EILSEQ;
	kmn_say(KMN_SAY_INFO, "x");
	CU_ASSERT_EQUAL(errno, EILSEQ);
	kmn_say_init("tester", -1, KMN_SAY_INFO);
	kmn_say(KMN_SAY_INFO, "to nobody");
	CU_ASSERT_EQUAL(errno, EILSEQ);
	kmn_say_init("tester", ends[1], KMN_SAY_INFO);
}

static CU_TestInfo say_tests[] = {
    {"a line has time, role, process, level and text", test_form},
    {"what is less urgent than asked for is not said", test_level},
    {"control bytes do not end a line or steer a terminal", test_control_bytes},
    {"a long text is one line of at most 1000 bytes", test_long},
    {"errno stays, also when nobody listens", test_errno},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"server/say", open_ends, NULL, NULL, NULL, say_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
