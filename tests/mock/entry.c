/* Entry points made from calls.def: each calls what stands behind it and writes its line. */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/mock/mock.h"

struct mock mock = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The log is opened for each line: a worker's confinement is set by then, and a test may move the file. */
static void
write_line(const char *function, const char *end)
{
	struct timespec now;
	char line[160];
	int fd, n;

	if (mock.settings.log[0] == '\0' ||
	    (fd = open(mock.settings.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)) < 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	n = snprintf(line, sizeof(line), "%s %lld.%09ld %s\n", function, (long long)now.tv_sec, now.tv_nsec, end);
	if (n > 0)
		(void)!write(fd, line, (size_t)n);
	close(fd);
}

_Noreturn void
mock_crash(const char *function)
{
	write_line(function, "crash");
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
	_exit(1);
}

static void
begin(const char *function)
{
	if (mock.settings.crash[0] != '\0' && strcmp(mock.settings.crash, function) == 0)
		mock_crash(function);
}

static CK_RV
end(const char *function, CK_RV rv)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%lx", (unsigned long)rv);
	write_line(function, text);
	return rv;
}

#define KMN_CALL(symbol, since, policy, durability, hold, effect, operations, ...) \
	static CK_RV entry_##symbol(KMN_LIST(KMN_PROTOTYPE, __VA_ARGS__)) \
	{ \
		begin(#symbol); \
		return end(#symbol, \
		    mock_##symbol == NULL ? CKR_FUNCTION_NOT_SUPPORTED : mock_##symbol(KMN_LIST(NAMES, __VA_ARGS__))); \
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include "kanmon/calls.def"
#pragma GCC diagnostic pop
#undef KMN_CALL

/* A function list: those of an older version are the first rows. */
/* clang-format off */
static struct {
	CK_VERSION version;
	void (*at[KMN_CALL_COUNT])(void);
} list = {{2, 40}, {
#define KMN_CALL(symbol, ...) (void (*)(void))entry_##symbol,
#include "kanmon/calls.def"
#undef KMN_CALL
}};
/* clang-format on */

CK_RV
mock_C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
	if (out == NULL)
		return CKR_ARGUMENTS_BAD;
	*out = (CK_FUNCTION_LIST *)(void *)&list;
	return CKR_OK;
}

__attribute__((visibility("default"))) CK_RV
C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
	return mock_C_GetFunctionList(out);
}
