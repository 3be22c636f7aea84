/* A gateway whose ledger lies, one lie a case: what the application is told, what is left as evidence, what stays. */
#include "config.h"

#include <glob.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kanmon/pkcs11.h"
#include "kanmon/vendor.h"
#include "tests/unit/provider/module.h"
#include "tests/unit/run.h"

#define KEY 77u
#define OTHER_KEY 78u

static char text[262144]; /* of the last file that was read */

/* The bytes of the one file of that pattern below the gateway's folder; 0: there is not one. */
static size_t
read_one(const struct gateway *g, const char *pattern)
{
	char path[256];
	glob_t found;
	size_t n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", g->folder, pattern);
	if (glob(path, 0, NULL, &found) == 0 && found.gl_pathc == 1 && (f = fopen(found.gl_pathv[0], "r")) != NULL) {
		n = fread(text, 1, sizeof(text) - 1, f);
		(void)fclose(f);
	}
	globfree(&found);
	text[n] = '\0';
	return n;
}

static unsigned
count_files(const struct gateway *g, const char *pattern)
{
	char path[256];
	glob_t found;
	unsigned n;

	(void)snprintf(path, sizeof(path), "%s/%s", g->folder, pattern);
	n = glob(path, 0, NULL, &found) == 0 ? (unsigned)found.gl_pathc : 0;
	globfree(&found);
	return n;
}

static bool
has_evidence(const struct gateway *g, const char *reason)
{
	char want[64];

	(void)snprintf(want, sizeof(want), "\nreason %s\n", reason);
	if (getenv("KMN_TEST_SHOW") != NULL && read_one(g, "state/*/evidence-*.txt") > 0)
		printf("# %.600s\n", text);
	return read_one(g, "state/*/evidence-*.txt") > 0 && strncmp(text, "kanmon/evidence/v1\n", 19) == 0 &&
	       strstr(text, want) != NULL;
}

/* Size of the head that is kept. */
static unsigned long
kept_size(const struct gateway *g)
{
	char *line;

	if (read_one(g, "state/*/head") == 0 || strncmp(text, LEDGER_ORIGIN "\n", sizeof(LEDGER_ORIGIN)) != 0)
		return 0;
	line = text + sizeof(LEDGER_ORIGIN);
	return strtoul(line, NULL, 10);
}

static unsigned long
ledger_size(const struct gateway *g)
{
	unsigned long lines = 0;

	(void)read_one(g, "ledger");
	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	return lines;
}

static CK_RV
sign_into(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_BYTE *out, CK_ULONG *len)
{
	static CK_BYTE data[] = "to be signed";
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	CK_RV rv = p11->C_SignInit(session, &mechanism, key);

	return rv != CKR_OK ? rv : p11->C_Sign(session, data, sizeof(data), out, len);
}

static CK_RV
sign(CK_SESSION_HANDLE session)
{
	CK_BYTE out[256];
	CK_ULONG len = sizeof(out);

	return sign_into(session, KEY, out, &len);
}

static struct gateway *
begin_receipts(const char *mode, const char *more)
{
	struct gateway *g = gateway_new();

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	CU_ASSERT_TRUE_FATAL(gateway_configure_receipts(g, mode, more));
	CU_ASSERT_TRUE_FATAL(module_load());
	CU_ASSERT_EQUAL_FATAL(module_init(), CKR_OK);
	return g;
}

static void
finish(struct gateway *g, CK_RV want)
{
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), want);
	module_unload();
	CU_ASSERT_EQUAL(atomic_load(&g->wrong), 0);
	gateway_free(g);
}

/* The gateway is stopped, something is done to its ledger, and it starts again. */
static void
restart(struct gateway *g)
{
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	CU_ASSERT_TRUE_FATAL(gateway_configure_receipts(g, "each", ""));
}

static void
ledger_path(const struct gateway *g, char out[128])
{
	(void)snprintf(out, 128, "%s/ledger", g->folder);
}

/* ---- one lie each ------------------------------------------------------------------------------------------------ */

struct lie_case {
	const char *says;
	enum lie lie;
	const char *reason; /* in the evidence */
};

static const struct lie_case something_else[] = {
    {"a record that names other data", LIE_INPUT, "INPUT"},
    {"a record that names another key than before", LIE_KEY, "KEY"},
    {"a record of another signature", LIE_OUTPUT, "INPUT"},
    {"a record of another result", LIE_OTHER_RV, "ANSWER"},
};

static const struct lie_case another_operation[] = {
    {"the receipt of the call before", LIE_OTHER_CALL, "CALL"},
    {"a record of this call as another function", LIE_OTHER_FUNCTION, "CALL"},
};

static const struct lie_case no_proof[] = {
    {"a checkpoint of another log key", LIE_OTHER_LOG_KEY, "NOTE"},
    {"a checkpoint of another origin, signed by the right key too", LIE_ORIGIN_IN_NOTE, "ORIGIN"},
    {"no receipt where there must be one", LIE_MISSING, "MISSING"},
    {"an inclusion path with a wrong hash", LIE_PATH, "INCLUSION"},
    {"a consistency proof from an older head", LIE_STALE_CONSISTENCY, "FORM"},
    {"no consistency proof", LIE_NO_CONSISTENCY, "FORK"},
    {"a smaller ledger than a moment ago", LIE_SHRUNK, "ROLLBACK"},
    {"bytes that are no receipt", LIE_GARBAGE, "FORM"},
};

/* From the failed call on, whatever the gateway says: nothing but what the ledger has no part in. */
static void
check_given_up(CK_SESSION_HANDLE session)
{
	CK_SESSION_INFO info;
	CK_SLOT_INFO slot;

	CU_ASSERT_EQUAL(sign(session), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(plain_call(session, 1), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(p11->C_GetSlotInfo(1, &slot), CKR_OK);
	CU_ASSERT_NOT_EQUAL(slot.flags & CKF_TOKEN_PRESENT, 0);
	CU_ASSERT_EQUAL(p11->C_GetSessionInfo(session, &info), CKR_OK);
	CU_ASSERT_EQUAL(info.ulDeviceError, KMN_E_RECEIPT);
	CU_ASSERT_EQUAL(p11->C_CloseSession(session), CKR_OK);
}

static void
try_lies(const struct lie_case *lies, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct gateway *g = begin_receipts("each", "");
		CK_BYTE out[256];
		CK_ULONG len = sizeof(out);
		CK_RV rv;

		CU_ASSERT_EQUAL(sign(3), CKR_OK);
		CU_ASSERT_EQUAL(sign(3), CKR_OK);
		memset(out, 0x55, sizeof(out));
		atomic_store(&g->lie, lies[i].lie);
		rv = sign_into(3, KEY, out, &len);
		atomic_store(&g->lie, LIE_NONE);
		if (rv != CKR_DEVICE_ERROR || out[0] != 0x55 || !has_evidence(g, lies[i].reason)) {
			printf("# %s: 0x%lx, evidence: %.400s\n", lies[i].says, rv, text);
			CU_FAIL("see the line above");
		}
		CU_ASSERT_EQUAL(atomic_load(&g->complaints), 1);
		CU_ASSERT_STRING_EQUAL(g->complaint, lies[i].reason);
		CU_ASSERT_EQUAL(atomic_load(&g->complaint_number), atomic_load(&g->highest));
		check_given_up(3);
		CU_ASSERT_EQUAL(count_files(g, "state/*/evidence-*.txt"), 1);
		CU_ASSERT_EQUAL(atomic_load(&g->complaints), 1);
		finish(g, CKR_OK);
	}
}

static void
test_something_else(void)
{
	try_lies(something_else, KMN_COUNT_OF(something_else));
}

static void
test_another_operation(void)
{
	try_lies(another_operation, KMN_COUNT_OF(another_operation));
}

static void
test_no_proof(void)
{
	try_lies(no_proof, KMN_COUNT_OF(no_proof));
}

static void
test_evidence(void)
{
	struct gateway *g = begin_receipts("each", "");
	char *block;
	size_t len = 0;

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_NO_CONSISTENCY);
	CU_ASSERT_EQUAL(sign(3), CKR_DEVICE_ERROR);
	CU_ASSERT_TRUE(has_evidence(g, "FORK"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\norigin " LEDGER_ORIGIN "\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\ncall C_Sign\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nrequest-sha256 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nresponse-sha256 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nblock note-accepted "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nblock line "));
	/* a block is found byte for byte by its length */
	CU_ASSERT_PTR_NOT_NULL_FATAL(block = strstr(text, "\nblock note-received "));
	CU_ASSERT_EQUAL(sscanf(block, "\nblock note-received %zu\n", &len), 1);
	block = strchr(block + 1, '\n') + 1;
	CU_ASSERT_EQUAL(strncmp(block, LEDGER_ORIGIN "\n5\n", strlen(LEDGER_ORIGIN "\n5\n")), 0);
	CU_ASSERT_EQUAL(strncmp(block + len, "\nblock line ", 12), 0);
	finish(g, CKR_OK);
}

static void
test_unasked(void)
{
	struct gateway *g = begin_receipts("each", "");

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_UNASKED);
	CU_ASSERT_EQUAL(plain_call(3, 1), CKR_DEVICE_ERROR);
	CU_ASSERT_TRUE(has_evidence(g, "FORM"));
	CU_ASSERT_EQUAL(atomic_load(&g->complaints), 0); /* of what has no record the gateway knows nothing */
	finish(g, CKR_OK);
}

static void
test_key_by_handle(void)
{
	struct gateway *g = begin_receipts("each", "");
	CK_BYTE out[256];
	CK_ULONG len = sizeof(out);

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_KEY);
	CU_ASSERT_EQUAL(sign_into(3, OTHER_KEY, out, &len), CKR_OK);
	CU_ASSERT_EQUAL(sign_into(4, OTHER_KEY, out, &len), CKR_OK);
	CU_ASSERT_EQUAL(sign(4), CKR_DEVICE_ERROR);
	CU_ASSERT_TRUE(has_evidence(g, "KEY"));
	finish(g, CKR_OK);
}

/* A record of wrapping may name the key that wraps or the one that is wrapped. */
static void
test_two_keys(void)
{
	struct gateway *g = begin_receipts("each", "");
	CK_MECHANISM mechanism = {CKM_AES_KEY_WRAP, NULL, 0};
	CK_BYTE out[256];
	CK_ULONG len = sizeof(out);

	CU_ASSERT_EQUAL(p11->C_WrapKey(3, &mechanism, KEY, OTHER_KEY, NULL, &len), CKR_OK);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_DeriveKey(3, &mechanism, KEY, NULL, 0, &(CK_OBJECT_HANDLE){0}), CKR_OK);
	atomic_store(&g->lie, LIE_KEY);
	CU_ASSERT_EQUAL(p11->C_DeriveKey(3, &mechanism, KEY, NULL, 0, &(CK_OBJECT_HANDLE){0}), CKR_OK);
	atomic_store(&g->lie, LIE_NONE);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	finish(g, CKR_OK);
}

/* A complaint whose connection breaks is made on the next one; not for ever. */
static void
test_complaint_again(void)
{
	struct gateway *g = begin_receipts("each", "");
	CK_SESSION_INFO info;

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_PATH);
	atomic_store(&g->complaint_cuts, 1);
	CU_ASSERT_EQUAL(sign(3), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(atomic_load(&g->complaints), 0);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(p11->C_GetSessionInfo(3, &info), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->complaints), 1);
	CU_ASSERT_STRING_EQUAL(g->complaint, "INCLUSION");
	finish(g, CKR_OK);
}

static void
test_complaint_given_up(void)
{
	struct gateway *g = begin_receipts("each", "");
	CK_SESSION_INFO info;

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_PATH);
	atomic_store(&g->complaint_cuts, 5);
	CU_ASSERT_EQUAL(sign(3), CKR_DEVICE_ERROR);
	for (int i = 0; i < 6; i++)
		CU_ASSERT_EQUAL(p11->C_GetSessionInfo(3, &info), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->complaints), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->complaint_cuts), 2);
	finish(g, CKR_OK);
}

/* A gateway that does not know the question is asked once, and goes on serving what needs no ledger. */
static void
test_complaint_to_older(void)
{
	struct gateway *g = begin_receipts("each", "");

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_PATH);
	atomic_store(&g->is_older, 1);
	CU_ASSERT_EQUAL(sign(3), CKR_DEVICE_ERROR);
	check_given_up(3);
	CU_ASSERT_EQUAL(atomic_load(&g->complaints), 1);
	CU_ASSERT_EQUAL(atomic_load(&g->joined), 0);
	finish(g, CKR_OK);
}

/* ---- between two connections, and two processes ------------------------------------------------------------------ */

static void *
sign_often(void *cookie)
{
	CK_SESSION_HANDLE session = (CK_SESSION_HANDLE)(uintptr_t)cookie;
	CK_RV rv = CKR_OK;

	for (int i = 0; rv == CKR_OK && i < 30; i++)
		rv = sign(session);
	return (void *)(uintptr_t)rv;
}

static void
sign_in_threads(CK_RV rv[2])
{
	pthread_t thread[2];
	void *result;

	for (uintptr_t i = 0; i < 2; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, sign_often, (void *)(i + 3)), 0);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(pthread_join(thread[i], &result), 0);
		rv[i] = (CK_RV)(uintptr_t)result;
	}
}

static void
test_connections(void)
{
	struct gateway *g = begin_receipts("each", "");
	CK_RV rv[2];

	atomic_store(&g->run_ms, 2);
	atomic_store(&g->prove_cuts, 3);
	sign_in_threads(rv);
	CU_ASSERT_EQUAL(rv[0], CKR_OK);
	CU_ASSERT_EQUAL(rv[1], CKR_OK);
	CU_ASSERT(atomic_load(&g->joined) > 0);
	CU_ASSERT(atomic_load(&g->proofs) > 0);
	CU_ASSERT_EQUAL(count_files(g, "state/*/evidence-*.txt"), 0);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(kept_size(g), ledger_size(g)); /* the fake writes one record more for each repeated call */
	module_unload();
	CU_ASSERT_EQUAL(atomic_load(&g->wrong), 0);
	gateway_free(g);
}

static void
test_split(void)
{
	struct gateway *g = begin_receipts("each", "");
	CK_RV rv[2];

	atomic_store(&g->lie, LIE_SPLIT); /* the second connection joins: it sees the other branch */
	atomic_store(&g->run_ms, 2);
	sign_in_threads(rv);
	CU_ASSERT(rv[0] == CKR_DEVICE_ERROR && rv[1] == CKR_DEVICE_ERROR);
	CU_ASSERT_TRUE(has_evidence(g, "FORK"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nblock note-accepted "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nblock note-received "));
	finish(g, CKR_OK);
}

/* In a child that starts anew; its exit code is the number of the step that failed. */
static int
sign_in_child(unsigned times)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		int step = module_init() != CKR_OK ? 1 : 0;

		for (unsigned i = 0; step == 0 && i < times; i++)
			step = sign(3) != CKR_OK ? 2 : 0;
		if (step == 0 && p11->C_Finalize(NULL) != CKR_OK)
			step = 3;
		_exit(step);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void
test_processes(void)
{
	struct gateway *g = begin_receipts("each", "");
	unsigned proofs;

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(kept_size(g), 4);
	CU_ASSERT_EQUAL(sign_in_child(2), 0); /* the fake gateway has one instance: now it is the child's */
	CU_ASSERT_EQUAL(kept_size(g), 6);
	proofs = atomic_load(&g->proofs);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->proofs), proofs + 1); /* what has the kept head to do with ours? */
	CU_ASSERT_EQUAL(kept_size(g), 7);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	module_unload();
	gateway_free(g); /* whose one instance was the child's: our numbers looked wrong to it */
}

static void
test_bursts(void)
{
	struct gateway *g = begin_receipts("each", "");

	for (unsigned i = 1; i <= 10; i++) { /* each of the first is kept before its answer is given */
		CU_ASSERT_EQUAL(sign(3), CKR_OK);
		CU_ASSERT_EQUAL(kept_size(g), 3 + i);
	}
	for (unsigned i = 0; i < 200; i++)
		CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT(kept_size(g) >= 13);
	pause_ms(150);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(kept_size(g), 3 + 211);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(kept_size(g), 3 + 212);
	module_unload();
	gateway_free(g);
}

/* ---- over restarts ----------------------------------------------------------------------------------------------- */

/* Ten calls, then the gateway stops; the module is finished too. */
static struct gateway *
ten_calls(void)
{
	struct gateway *g = begin_receipts("each", "");

	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(kept_size(g), 13);
	gateway_stop(g);
	return g;
}

static void
end_refused(struct gateway *g, CK_RV want, const char *reason)
{
	CU_ASSERT_EQUAL(module_init(), want);
	if (reason != NULL && !has_evidence(g, reason)) {
		printf("# evidence: %.400s\n", text);
		CU_FAIL("no such evidence");
	}
	CU_ASSERT_EQUAL(kept_size(g), 13);
	module_unload();
	gateway_free(g);
}

static void
test_goes_on(void)
{
	struct gateway *g = ten_calls();

	restart(g);
	CU_ASSERT_EQUAL_FATAL(module_init(), CKR_OK);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(kept_size(g), 14);
	finish(g, CKR_OK);
}

static void
test_rollback(void)
{
	struct gateway *g = ten_calls();
	char path[128];

	ledger_path(g, path);
	CU_ASSERT_TRUE(ledger_cut(path, 8));
	restart(g);
	end_refused(g, CKR_DEVICE_ERROR, "ROLLBACK");
}

static void
test_fork(void)
{
	struct gateway *g = ten_calls();
	char path[128];

	ledger_path(g, path);
	CU_ASSERT_TRUE(ledger_bend_last(path));
	restart(g);
	end_refused(g, CKR_DEVICE_ERROR, "FORK");
}

static void
test_new_genesis(void)
{
	struct gateway *g = ten_calls();
	char path[128];

	ledger_path(g, path);
	CU_ASSERT_EQUAL(unlink(path), 0);
	restart(g);
	end_refused(g, CKR_DEVICE_ERROR, "ROLLBACK");
}

static void
test_new_log_key(void)
{
	struct gateway *g = ten_calls();
	char path[128];

	ledger_path(g, path);
	CU_ASSERT_EQUAL(unlink(path), 0);
	g->log_seed[0] = 43; /* founded anew, and the client is told the new key */
	CU_ASSERT_TRUE(ledger_vkey(g->log_seed, g->log_vkey));
	restart(g);
	end_refused(g, CKR_FUNCTION_FAILED, NULL);
}

static void
test_names(void)
{
	static const struct {
		enum lie lie;
		CK_RV want;
		const char *reason;
	} names[] = {
	    {LIE_ORIGIN_IN_HELLO, CKR_FUNCTION_FAILED, NULL}, {LIE_ORIGIN_IN_NOTE, CKR_DEVICE_ERROR, "ORIGIN"},
	    {LIE_OTHER_LOG_KEY, CKR_DEVICE_ERROR, "NOTE"},
	    {LIE_NONE, CKR_DEVICE_ERROR, "ROLLBACK"}, /* another name in TLS, and a shorter ledger */
	};

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++) {
		struct gateway *g = ten_calls();
		char path[128];

		ledger_path(g, path);
		CU_ASSERT_TRUE(names[i].lie != LIE_NONE || ledger_cut(path, 8));
		CU_ASSERT_TRUE(gateway_rename(g, "another name"));
		atomic_store(&g->lie, names[i].lie);
		restart(g);
		end_refused(g, names[i].want, names[i].reason);
	}
}

static void
test_rollback_while_it_runs(void)
{
	struct gateway *g = begin_receipts("each", "state = none\n");
	char path[128];

	for (int i = 0; i < 10; i++)
		CU_ASSERT_EQUAL(sign(3), CKR_OK);
	gateway_stop(g);
	ledger_path(g, path);
	CU_ASSERT_TRUE(ledger_cut(path, 8));
	CU_ASSERT_TRUE(gateway_start(g)); /* at the same port; the instance is gone, and the module attaches anew */
	CU_ASSERT_EQUAL(p11->C_CloseSession(3), CKR_OK);
	CU_ASSERT_EQUAL(
	    p11->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &(CK_SESSION_HANDLE){0}), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(count_files(g, "state"), 0);
	finish(g, CKR_OK);
}

static void
test_broken_state(void)
{
	struct gateway *g = ten_calls();
	char command[256];

	restart(g);
	(void)snprintf(command, sizeof(command), "truncate -s 20 %s/state/*/head", g->folder);
	CU_ASSERT_EQUAL(system(command), 0);
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	module_unload();
	gateway_free(g);
}

/* Without the setting: XDG_STATE_HOME, else the home folder. */
static void
test_where_state_is(void)
{
	struct gateway *g = gateway_new();
	char more[512], path[128];

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	(void)snprintf(more, sizeof(more), "receipts = each\nlog-key = \"%s\"\n", g->log_vkey);
	CU_ASSERT_TRUE_FATAL(gateway_configure(g, more));
	CU_ASSERT_TRUE_FATAL(module_load());
	CU_ASSERT_EQUAL(unsetenv("XDG_STATE_HOME"), 0);
	CU_ASSERT_EQUAL(setenv("HOME", g->folder, 1), 0);
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(count_files(g, ".local/state/kanmon/*/head"), 1);
	(void)snprintf(path, sizeof(path), "%s/xdg", g->folder);
	CU_ASSERT_EQUAL(setenv("XDG_STATE_HOME", path, 1), 0);
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(count_files(g, "xdg/kanmon/*/head"), 1);
	CU_ASSERT_EQUAL(setenv("XDG_STATE_HOME", "/proc/nowhere", 1), 0);
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT_EQUAL(unsetenv("XDG_STATE_HOME"), 0);
	module_unload();
	gateway_free(g);
}

static void
test_no_keys(void)
{
	struct gateway *g = gateway_new();

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	CU_ASSERT_TRUE_FATAL(gateway_configure(g, "receipts = each\nstate = state\n"));
	CU_ASSERT_TRUE_FATAL(module_load());
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 0);
	CU_ASSERT_TRUE_FATAL(gateway_configure(
	    g, "receipts = each\nstate = state\nlog-key = \"kanmon.example/test+00112233+AQAAAAAAAAA=\"\n"));
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 0);
	module_unload();
	gateway_free(g);
}

/* ---- modes ------------------------------------------------------------------------------------------------------- */

static void
test_batch(void)
{
	struct gateway *g = begin_receipts("batch", "");

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_OUTPUT);
	CU_ASSERT_EQUAL(sign(3), CKR_OK); /* nobody has looked yet */
	atomic_store(&g->lie, LIE_NONE);
	CU_ASSERT_EQUAL(count_files(g, "state/*/evidence-*.txt"), 0);
	pause_ms(1100);
	CU_ASSERT_EQUAL(plain_call(3, 1), CKR_DEVICE_ERROR);
	CU_ASSERT_TRUE(has_evidence(g, "INPUT"));
	check_given_up(3);
	CU_ASSERT_EQUAL(atomic_load(&g->complaints), 1);
	CU_ASSERT_STRING_EQUAL(g->complaint, "INPUT");
	finish(g, CKR_OK);
}

static void
test_batch_at_the_end(void)
{
	struct gateway *g = begin_receipts("batch", "");

	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_PATH);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	atomic_store(&g->lie, LIE_NONE);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_DEVICE_ERROR);
	CU_ASSERT_TRUE(has_evidence(g, "INCLUSION"));
	CU_ASSERT_EQUAL(atomic_load(&g->complaints), 1);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
	module_unload();
	gateway_free(g);
}

static void
test_batch_of_threads(void)
{
	struct gateway *g = begin_receipts("batch", "");
	CK_RV rv[2];

	atomic_store(&g->run_ms, 2);
	sign_in_threads(rv);
	CU_ASSERT(rv[0] == CKR_OK && rv[1] == CKR_OK);
	pause_ms(1100);
	atomic_store(&g->prove_cuts, 1); /* the line breaks while the queue is judged */
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(kept_size(g), ledger_size(g));
	CU_ASSERT_EQUAL(count_files(g, "state/*/evidence-*.txt"), 0);
	module_unload();
	gateway_free(g);
}

static void
test_off(void)
{
	struct gateway *g = begin_receipts("off", "");

	atomic_store(&g->lie, LIE_OTHER_LOG_KEY);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(count_files(g, "state"), 0);
	finish(g, CKR_OK);
}

/* ---- what is kept of receipts ------------------------------------------------------------------------------------ */

static void
test_receipt_folder(void)
{
	char path[128];
	struct gateway *g = gateway_new();

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	(void)snprintf(path, sizeof(path), "%s/receipts", g->folder);
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL(setenv("KANMON_RECEIPT_DIR", path, 1), 0);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	CU_ASSERT_TRUE_FATAL(gateway_configure_receipts(g, "each", ""));
	CU_ASSERT_TRUE_FATAL(module_load());
	CU_ASSERT_EQUAL_FATAL(module_init(), CKR_OK);
	CU_ASSERT_EQUAL(unsetenv("KANMON_RECEIPT_DIR"), 0);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT(read_one(g, "receipts/*/3.tlog-proof") > 0);
	CU_ASSERT_EQUAL(strncmp(text, "c2sp.org/tlog-proof@v1\nextra ", 29), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nindex 3\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\n\n" LEDGER_ORIGIN "\n4\n"));
	CU_ASSERT_EQUAL(rename(path, "/dev/null/x"), -1);
	CU_ASSERT_EQUAL(count_files(g, "receipts/*/*"), 1);
	(void)snprintf(text, sizeof(text), "rm -rf '%s' && touch '%s'", path, path); /* no folder any more */
	CU_ASSERT_EQUAL(system(text), 0);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	finish(g, CKR_OK);
}

static KMN_FUNCTION_LIST_1_0 *
vendor_list(void)
{
	CK_RV (*get)(CK_UTF8CHAR *, CK_VERSION *, CK_INTERFACE **, CK_FLAGS);
	CK_VERSION version = {1, 0};
	CK_INTERFACE *interface = NULL;
	CK_UTF8CHAR name[] = KMN_INTERFACE_NAME;

	*(void **)&get = module_symbol("C_GetInterface");
	CU_ASSERT_EQUAL_FATAL(get(name, &version, &interface, 0), CKR_OK);
	return interface->pFunctionList;
}

static void
test_vendor(void)
{
	struct gateway *g = begin_receipts("each", "");
	KMN_FUNCTION_LIST_1_0 *kanmon = vendor_list();
	CK_ULONG len = 0, room;
	uint64_t request = 0;

	CU_ASSERT(
	    kanmon->version.major == 1 && kanmon->version.minor == 1); /* who asks for 1.0 gets what begins as it */
	CU_ASSERT_EQUAL(kanmon->GetLastReceipt(3, NULL, &len), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(kanmon->GetLastRequest(3, &request), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(kanmon->GetLastReceipt(3, NULL, NULL), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT_EQUAL(kanmon->GetLastRequest(3, &request), CKR_OK);
	CU_ASSERT_EQUAL(request, 4);
	CU_ASSERT_EQUAL(kanmon->GetLastReceipt(3, NULL, &len), CKR_OK);
	CU_ASSERT(len > 100 && len < sizeof(text));
	room = len - 1;
	CU_ASSERT_EQUAL(kanmon->GetLastReceipt(3, (CK_BYTE *)text, &room), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(room, len);
	CU_ASSERT_EQUAL(kanmon->GetLastReceipt(3, (CK_BYTE *)text, &room), CKR_OK);
	text[room] = '\0';
	CU_ASSERT_EQUAL(strncmp(text, "c2sp.org/tlog-proof@v1\nextra ", 29), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\nindex 4\n"));
	CU_ASSERT_EQUAL(kanmon->GetLastReceipt(4, NULL, &len), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(p11->C_CloseSession(3), CKR_OK);
	CU_ASSERT_EQUAL(kanmon->GetLastReceipt(3, NULL, &len), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(kanmon->GetLastRequest(3, &request), CKR_CRYPTOKI_NOT_INITIALIZED);
	module_unload();
	gateway_free(g);
}

static void
test_held_request(void)
{
	struct gateway *g = begin_receipts("each", "quorum-wait = 0\n");
	KMN_FUNCTION_LIST_1_0 *kanmon = vendor_list();
	uint64_t request = 0;

	atomic_store(&g->hold, 1);
	CU_ASSERT_EQUAL(held_call(3, 1), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(kanmon->GetLastRequest(3, &request), CKR_OK);
	CU_ASSERT_EQUAL(request, 7);
	finish(g, CKR_OK);
}

/* A key file as `kanmon client new` writes it; its vkey goes to *vkey. */
static bool
write_cosign_key(const struct gateway *g, unsigned mode, struct kmn_vkey *vkey)
{
	uint8_t raw[33] = {KMN_NOTE_COSIGNATURE, 9}, pub[crypto_sign_PUBLICKEYBYTES],
		secret[crypto_sign_SECRETKEYBYTES];
	char path[128], b64[KMN_B64_LEN(sizeof(raw)) + 1];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/client.cosign", g->folder);
	if (crypto_sign_seed_keypair(pub, secret, raw + 1) != 0 || kmn_vkey_make_cosigner("app", pub, vkey) != KMN_OK ||
	    (f = fopen(path, "w")) == NULL)
		return false;
	kmn_b64(raw, sizeof(raw), b64);
	(void)fprintf(
	    f, "PRIVATE+KEY+app+%02x%02x%02x%02x+%s\n", vkey->id[0], vkey->id[1], vkey->id[2], vkey->id[3], b64);
	return fclose(f) == 0 && chmod(path, mode) == 0;
}

/* Whether the last line that came is a cosignature over the head that is kept. */
static bool
cosigned_kept(const struct gateway *g, const struct kmn_vkey *vkey)
{
	struct kmn_note note;
	size_t count = 0, n = read_one(g, "state/*/head");
	bool verified = false;

	(void)snprintf(text + n, sizeof(text) - n, "%s\n", g->cosignature);
	return n > 0 && kmn_note_parse(text, strlen(text), &note, NULL) == KMN_OK &&
	       kmn_note_verify(&note, vkey, 1, &verified, &count, NULL) == KMN_OK && count == 1;
}

static void
test_cosignatures(void)
{
	struct gateway *g = gateway_new();
	struct kmn_vkey vkey;
	char vkey_text[KMN_VKEY_MAX_BYTES];

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	CU_ASSERT_TRUE_FATAL(write_cosign_key(g, 0600, &vkey));
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	CU_ASSERT_TRUE_FATAL(gateway_configure_receipts(g, "each", "cosign-key = client.cosign\n"));
	CU_ASSERT_TRUE_FATAL(module_load());
	CU_ASSERT_EQUAL_FATAL(module_init(), CKR_OK);
	kmn_vkey_format(&vkey, vkey_text);
	CU_ASSERT_STRING_EQUAL(g->cosigner, vkey_text);
	CU_ASSERT_EQUAL(atomic_load(&g->cosigned_attach), 0); /* nothing is kept yet */
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(sign(3), CKR_OK);
	CU_ASSERT(atomic_load(&g->cosigned) <= 1); /* at most once a minute */
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->cosigned_size), 8);
	CU_ASSERT_EQUAL(kept_size(g), 8);
	CU_ASSERT_TRUE(cosigned_kept(g, &vkey));
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->cosigned_attach), 1); /* over what was kept */
	CU_ASSERT_TRUE(cosigned_kept(g, &vkey));
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_TRUE_FATAL(write_cosign_key(g, 0640, &vkey)); /* others may read it */
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	CU_ASSERT_TRUE_FATAL(write_cosign_key(g, 0600, &vkey));
	CU_ASSERT_TRUE_FATAL(gateway_configure_receipts(g, "each", "cosign-key = client.cosign\nstate = none\n"));
	CU_ASSERT_EQUAL(module_init(), CKR_FUNCTION_FAILED);
	module_unload();
	gateway_free(g);
}

/* The child of fork=inherit goes on from what its parent had accepted, kept or not. */
static void
test_inherit(void)
{
	struct gateway *g = begin_receipts("each", "fork = inherit\nstate = none\n");
	int status = -1;
	pid_t pid;

	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(sign(3), CKR_OK);
	if ((pid = fork()) == 0) {
		CK_RV rv;

		atomic_store(&g->lie, LIE_SHRUNK); /* two records fewer than the parent knows */
		rv = p11->C_SeedRandom(3, (CK_BYTE[]){1}, 1);
		_exit(rv == CKR_DEVICE_ERROR ? 0 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	module_unload();
	gateway_free(g);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo one_lie[] = {
	    {"the provider finds a ledger that says something else than was done: data, key, signature, result",
		test_something_else},
	    {"the provider refuses the receipt of another operation", test_another_operation},
	    {"no proof, or a wrong one: before the application sees the answer, and nothing is believed from then on",
		test_no_proof},
	    {"evidence has both heads, the record and the hashes of what crossed", test_evidence},
	    {"a receipt for an answer that has no record is one too many", test_unasked},
	    {"the gateway is told, on the next connection if this one breaks", test_complaint_again},
	    {"the gateway is told three times at most", test_complaint_given_up},
	    {"an older gateway is told once", test_complaint_to_older},
	    {"a key handle stands for one key, in whichever session", test_key_by_handle},
	    {"but of two keys the record may name either", test_two_keys},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo several[] = {
	    {"heads of two connections are proven to be of one history, over broken lines too", test_connections},
	    {"two connections that see two branches are found out", test_split},
	    {"processes that share a state prove their heads to each other", test_processes},
	    {"a child that inherits inherits the ledger's head too", test_inherit},
	    {"a head is kept before its answer is given, in bursts soon after, and at C_Finalize", test_bursts},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo restarts[] = {
	    {"a ledger that goes on is accepted", test_goes_on},
	    {"a restored snapshot of the ledger is refused, with evidence", test_rollback},
	    {"a ledger with another last record is refused, with evidence", test_fork},
	    {"a ledger founded anew under the old name is refused", test_new_genesis},
	    {"one with a new key too is refused until its state is taken away", test_new_log_key},
	    {"a gateway that calls itself another does not find an empty memory", test_names},
	    {"without a state a rollback is noticed within the process", test_rollback_while_it_runs},
	    {"a state that cannot be read is no empty one", test_broken_state},
	    {"the state is found in the documented order, and where it cannot be made nothing is attached",
		test_where_state_is},
	    {"without a log key nothing is attached", test_no_keys},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo modes[] = {
	    {"batch: judged within a second, by the next call, which fails", test_batch},
	    {"batch: judged by C_Finalize, which fails", test_batch_at_the_end},
	    {"batch: answers of several connections are judged in order, over a broken line too",
		test_batch_of_threads},
	    {"off: none is asked for, and nothing kept", test_off},
	    CU_TEST_INFO_NULL,
	};
	static CU_TestInfo kept[] = {
	    {"KANMON_RECEIPT_DIR: a proof for each record; without it the call goes on", test_receipt_folder},
	    {"the vendor's interface gives a session's last proof and request", test_vendor},
	    {"and the request of a call that is held", test_held_request},
	    {"kept heads are cosigned: at ATTACH and at C_Finalize", test_cosignatures},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"provider/receipts/lies", NULL, NULL, NULL, NULL, one_lie},
	    {"provider/receipts/several", NULL, NULL, NULL, NULL, several},
	    {"provider/receipts/restarts", NULL, NULL, NULL, NULL, restarts},
	    {"provider/receipts/modes", NULL, NULL, NULL, NULL, modes},
	    {"provider/receipts/kept", NULL, NULL, NULL, NULL, kept},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
