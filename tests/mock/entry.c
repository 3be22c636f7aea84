/* Entry points made from calls.def: each calls what stands behind it and writes its line. */
#include "config.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
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

void
mock_note(const char *word)
{
	write_line(word, "-");
}

_Noreturn void
mock_crash(const char *function)
{
	write_line(function, "crash");
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
	_exit(1);
}

/* Calls that are in the module now, but for one that waits for slot events. */
static atomic_int inside;

static void
begin(const char *function)
{
	if (strcmp(function, "C_WaitForSlotEvent") != 0 && atomic_fetch_add(&inside, 1) > 0 && mock.settings.serial)
		write_line("overlap", function);
	if (mock.settings.crash[0] != '\0' && strcmp(mock.settings.crash, function) == 0)
		mock_crash(function);
}

static CK_RV
end(const char *function, CK_RV rv)
{
	char text[32];

	if (strcmp(function, "C_WaitForSlotEvent") != 0)
		atomic_fetch_sub(&inside, 1);
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

/*
 * The function lists. They are the same rows, of which those of an older
 * version have fewer; but C_GetInfo tells the version of the list that it was
 * called by, as NSS' does.
 */
struct list {
	CK_VERSION version;
	void (*at[KMN_CALL_COUNT])(void);
};

#define INFO(name, major, minor) \
	static CK_RV name(CK_INFO_PTR info) \
	{ \
		CK_RV rv = entry_C_GetInfo(info); \
		if (rv == CKR_OK) \
			info->cryptokiVersion = (CK_VERSION){major, minor}; \
		return rv; \
	}
INFO(info_3_0, 3, 0)
INFO(info_3_2, 3, 2)

/* clang-format off */
static struct list lists[] = {{{3, 2}, {
#define KMN_CALL(symbol, ...) (void (*)(void))entry_##symbol,
#include "kanmon/calls.def"
#undef KMN_CALL
}}, {{3, 0}, {NULL}}, {{2, 40}, {NULL}}};
/* clang-format on */

static CK_UTF8CHAR standard[] = "PKCS 11", vendor[] = "Vendor mock Interface";

/* Newest first, which is the default one; the vendor's has nothing behind it. */
static CK_INTERFACE interfaces[] = {
    {standard, &lists[0], CKF_INTERFACE_FORK_SAFE},
    {standard, &lists[1], CKF_INTERFACE_FORK_SAFE},
    {standard, &lists[2], CKF_INTERFACE_FORK_SAFE},
    {vendor, &lists[2], 0},
};

/* The first interface that KMN_MOCK_INTERFACES lets be seen: 3.2, 3.0; NULL for 2.40, which has none. */
static CK_INTERFACE *
first_interface(void)
{
	const char *newest = getenv("KMN_MOCK_INTERFACES");

	pthread_mutex_lock(&mock.lock);
	for (size_t i = 1; i < KMN_COUNT_OF(lists); i++)
		memcpy(lists[i].at, lists[0].at, sizeof(lists[0].at));
	lists[0].at[KMN_C_GetInfo] = (void (*)(void))info_3_2;
	lists[1].at[KMN_C_GetInfo] = (void (*)(void))info_3_0;
	lists[2].at[KMN_C_GetInfo] = (void (*)(void))entry_C_GetInfo;
	pthread_mutex_unlock(&mock.lock);
	if (newest != NULL && strcmp(newest, "3.2") == 0)
		return &interfaces[0];
	return newest != NULL && strcmp(newest, "3.0") == 0 ? &interfaces[1] : NULL;
}

CK_RV
mock_C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
	if (out == NULL)
		return CKR_ARGUMENTS_BAD;
	(void)first_interface();
	*out = (CK_FUNCTION_LIST *)(void *)&lists[2];
	return CKR_OK;
}

CK_RV
mock_C_GetInterfaceList(CK_INTERFACE_PTR out, CK_ULONG_PTR count)
{
	const CK_INTERFACE *first = first_interface();
	CK_ULONG n, room;

	if (first == NULL)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (count == NULL)
		return CKR_ARGUMENTS_BAD;
	n = (CK_ULONG)(interfaces + KMN_COUNT_OF(interfaces) - first);
	room = *count;
	*count = n;
	if (out == NULL)
		return CKR_OK;
	if (room < n)
		return CKR_BUFFER_TOO_SMALL;
	memcpy(out, first, n * sizeof(*out));
	return CKR_OK;
}

CK_RV
mock_C_GetInterface(CK_UTF8CHAR_PTR wanted, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR out, CK_FLAGS flags)
{
	CK_INTERFACE *i = first_interface();

	if (i == NULL)
		return CKR_FUNCTION_NOT_SUPPORTED;
	if (out == NULL)
		return CKR_ARGUMENTS_BAD;
	for (; i < interfaces + KMN_COUNT_OF(interfaces); i++) {
		const struct list *l = i->pFunctionList;

		if ((wanted == NULL || strcmp((const char *)wanted, (const char *)i->pInterfaceName) == 0) &&
		    (version == NULL || memcmp(version, &l->version, sizeof(*version)) == 0) &&
		    (flags & ~i->flags) == 0) {
			*out = i;
			return CKR_OK;
		}
	}
	return CKR_ARGUMENTS_BAD;
}

#define EXPORT __attribute__((visibility("default"))) CK_RV

EXPORT
C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out)
{
	return mock_C_GetFunctionList(out);
}

EXPORT
C_GetInterfaceList(CK_INTERFACE_PTR out, CK_ULONG_PTR count)
{
	return mock_C_GetInterfaceList(out, count);
}

EXPORT
C_GetInterface(CK_UTF8CHAR_PTR name, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR out, CK_FLAGS flags)
{
	return mock_C_GetInterface(name, version, out, flags);
}
