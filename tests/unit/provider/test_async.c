/* Asynchronous sessions over a gateway that holds, breaks or forgets: what is pending costs nobody else anything. */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kanmon/frame.h"
#include "tests/unit/provider/module.h"
#include "tests/unit/run.h"

#define SESSION 100u /* the first handle of the fake gateway */
#define THREADS 8u

static CK_FUNCTION_LIST_3_2 *p32;
static CK_UTF8CHAR destroy[] = "C_DestroyObject";

static CK_RV
open_session(struct gateway *g, unsigned long handle, CK_SESSION_HANDLE *session)
{
	atomic_store(&g->handle, handle);
	return p32->C_OpenSession(1, CKF_SERIAL_SESSION | CKF_ASYNC_SESSION, NULL, NULL, session);
}

/* A gateway whose tokens show that calls may be pending; C_DestroyObject is held. */
static struct gateway *
begin_async(void)
{
	struct gateway *g = gateway_new();
	CK_RV (*get)(CK_UTF8CHAR *, CK_VERSION *, CK_INTERFACE **, CK_FLAGS);
	CK_VERSION version = {3, 2};
	CK_INTERFACE *interface;

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	atomic_store(&g->offer, GATEWAY_OFFERS_3_2);
	atomic_store(&g->async, 1);
	atomic_store(&g->hold, 1);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	CU_ASSERT_TRUE_FATAL(gateway_configure(g, "state = none\n"));
	CU_ASSERT_TRUE_FATAL(module_load());
	*(void **)&get = module_symbol("C_GetInterface");
	CU_ASSERT_EQUAL_FATAL(get(NULL, &version, &interface, 0), CKR_OK);
	p32 = interface->pFunctionList;
	CU_ASSERT_EQUAL_FATAL(module_init(), CKR_OK);
	return g;
}

static CK_RV
ask(CK_SESSION_HANDLE session)
{
	CK_ASYNC_DATA none = {0};

	return p32->C_AsyncComplete(session, destroy, &none);
}

static CK_RV
await(CK_SESSION_HANDLE session)
{
	CK_RV rv;

	while ((rv = ask(session)) == CKR_PENDING)
		pause_ms(2);
	return rv;
}

static void
test_window(void)
{
	struct gateway *g = begin_async();
	CK_SESSION_HANDLE session;
	unsigned wrong = 0;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_DestroyObject(session, 7), CKR_PENDING);
	for (CK_ULONG i = 0; i < KMN_WINDOW_NUMBERS + 200; i++)
		wrong += plain_call(1, i) != CKR_OK;
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT(atomic_load(&g->acknowledged) > KMN_WINDOW_NUMBERS); /* outcomes of others are not kept for it */
	CU_ASSERT_EQUAL(ask(session), CKR_PENDING);
	CU_ASSERT_EQUAL(atomic_load(&g->parked), 1);
	atomic_store(&g->decided, 1);
	CU_ASSERT_EQUAL(await(session), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->forgotten), 1);
	CU_ASSERT_EQUAL(ask(session), CKR_OPERATION_NOT_INITIALIZED);
	end(g);
}

/* A gateway that leaves no more calls aside: it is pending all the same, and asks for a place again. */
static void
test_crowded(void)
{
	struct gateway *g = begin_async();
	CK_SESSION_HANDLE session;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &session), CKR_OK);
	atomic_store(&g->crowded, 1);
	CU_ASSERT_EQUAL(p32->C_DestroyObject(session, 7), CKR_PENDING);
	CU_ASSERT_EQUAL(ask(session), CKR_PENDING);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->parked), 0);
	atomic_store(&g->crowded, 0);
	CU_ASSERT_EQUAL(ask(session), CKR_PENDING);
	CU_ASSERT_EQUAL(atomic_load(&g->parked), 1);
	atomic_store(&g->decided, 1);
	CU_ASSERT_EQUAL(await(session), CKR_OK);
	end(g);
}

/* Wherever a connection breaks, it is one call, which runs once. */
static void
test_breaks(void)
{
	static const enum gateway_break where[] = {
	    BREAK_BEFORE_RUN, BREAK_BEFORE_HELD, BREAK_BEFORE_REPLY, BREAK_IN_REPLY, BREAK_BEFORE_JOINED};
	struct gateway *g = begin_async();
	CK_SESSION_HANDLE session;
	unsigned runs;

	for (size_t i = 0; i < KMN_COUNT_OF(where); i++) {
		atomic_store(&g->decided, 0);
		CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION + i, &session), CKR_OK);
		runs = atomic_load(&g->runs);
		atomic_store(&g->break_where, (int)where[i]);
		atomic_store(&g->breaks, 2);
		CU_ASSERT_EQUAL(p32->C_DestroyObject(session, 7), CKR_PENDING);
		CU_ASSERT_EQUAL(ask(session), CKR_PENDING);
		atomic_store(&g->decided, 1);
		atomic_store(&g->breaks, 2);
		CU_ASSERT_EQUAL(await(session), CKR_OK);
		atomic_store(&g->break_where, BREAK_NOWHERE);
		CU_ASSERT_EQUAL(atomic_load(&g->runs), runs + 1);
		CU_ASSERT_EQUAL(atomic_load(&g->forgotten), i + 1);
	}
	end(g);
}

/* Closed without the id: the request is withdrawn, and nothing is left at the gateway. */
static void
test_close(void)
{
	struct gateway *g = begin_async();
	CK_SESSION_HANDLE session;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_DestroyObject(session, 7), CKR_PENDING);
	CU_ASSERT_EQUAL(p32->C_CloseSession(session), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->withdrawn), 1);
	CU_ASSERT_EQUAL(atomic_load(&g->forgotten), 1);
	CU_ASSERT_EQUAL(ask(session), CKR_FUNCTION_NOT_SUPPORTED);
	end(g);
}

/* The request expired, was rejected: what the gateway says of it is said once. */
static void
test_ends(void)
{
	static const CK_RV ends[] = {CKR_FUNCTION_CANCELED, CKR_FUNCTION_REJECTED, CKR_OBJECT_HANDLE_INVALID};
	struct gateway *g = begin_async();
	CK_SESSION_HANDLE session;

	for (size_t i = 0; i < KMN_COUNT_OF(ends); i++) {
		CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION + i, &session), CKR_OK);
		atomic_store(&g->decided, 0);
		CU_ASSERT_EQUAL(p32->C_DestroyObject(session, 7), CKR_PENDING);
		atomic_store(&g->rv, ends[i]);
		atomic_store(&g->decided, 1);
		CU_ASSERT_EQUAL(await(session), ends[i]);
		CU_ASSERT_EQUAL(ask(session), CKR_OPERATION_NOT_INITIALIZED);
		atomic_store(&g->rv, CKR_OK);
	}
	end(g);
}

static void
test_lost_instance(void)
{
	struct gateway *g = begin_async();
	CK_SESSION_HANDLE session;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_DestroyObject(session, 7), CKR_PENDING);
	atomic_store(&g->forgets, 1);
	CU_ASSERT_EQUAL(ask(session), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(ask(session), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(atomic_load(&g->forgotten), 0);
	end(g);
}

/* Without a folder an id is good in this process, in any of its sessions; with another function's name it is none. */
static void
test_ids(void)
{
	struct gateway *g = begin_async();
	CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
	CK_UTF8CHAR generate[] = "C_GenerateKey";
	CK_ASYNC_DATA got = {0};
	CK_SESSION_HANDLE first, second;
	CK_OBJECT_HANDLE key;
	CK_ULONG id = 0;
	CK_RV rv;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &first), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_GenerateKey(first, &m, NULL, 0, &key), CKR_PENDING);
	CU_ASSERT_EQUAL(p32->C_AsyncGetID(first, generate, &id), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->ended_waits), 1);
	CU_ASSERT_EQUAL(p32->C_CloseSession(first), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->withdrawn), 0);
	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION + 1, &second), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_AsyncJoin(second, destroy, id, NULL, 0), CKR_SAVED_STATE_INVALID);
	CU_ASSERT_EQUAL(p32->C_AsyncJoin(second, generate, id + 1, NULL, 0), CKR_SAVED_STATE_INVALID);
	CU_ASSERT_EQUAL(p32->C_AsyncJoin(second, generate, id, NULL, 0), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_AsyncComplete(second, generate, &got), CKR_PENDING);
	atomic_store(&g->decided, 1);
	while ((rv = p32->C_AsyncComplete(second, generate, &got)) == CKR_PENDING)
		pause_ms(2);
	CU_ASSERT_EQUAL(rv, CKR_OK);
	CU_ASSERT_EQUAL(got.hObject, 77);
	CU_ASSERT_EQUAL(p32->C_AsyncJoin(second, generate, id, NULL, 0), CKR_SAVED_STATE_INVALID);
	end(g);
}

/* C_CreateObject of a public key, or of a secret one. */
static CK_RV
create(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class)
{
	CK_BYTE value[16] = {1};
	CK_ATTRIBUTE row[] = {
	    {CKA_CLASS, &class, sizeof(class)}, {CKA_VALUE, value, class == CKO_SECRET_KEY ? sizeof(value) : 0}};
	CK_OBJECT_HANDLE made;

	return p32->C_CreateObject(session, row, class == CKO_SECRET_KEY ? 2 : 1, &made);
}

/* Decided before anybody joined: the outcome is there at once, a handle and not the joiner's buffer. */
static void
test_late_join(void)
{
	struct gateway *g = begin_async();
	CK_UTF8CHAR function[] = "C_CreateObject";
	CK_BYTE buffer[32] = {0};
	CK_ASYNC_DATA got = {0};
	CK_SESSION_HANDLE session;
	CK_ULONG id = 0;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(create(session, CKO_PUBLIC_KEY), CKR_PENDING);
	CU_ASSERT_EQUAL(p32->C_AsyncGetID(session, function, &id), CKR_OK);
	atomic_store(&g->decided, 1);
	CU_ASSERT_EQUAL(p32->C_AsyncJoin(session, function, id, buffer, sizeof(buffer)), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_AsyncComplete(session, function, &got), CKR_OK);
	CU_ASSERT_PTR_NULL(got.pValue);
	CU_ASSERT_EQUAL(got.ulValue, 0);
	CU_ASSERT_EQUAL(got.hObject, 77);
	CU_ASSERT_EQUAL(p32->C_AsyncJoin(session, function, id, buffer, sizeof(buffer)), CKR_SAVED_STATE_INVALID);
	end(g);
}

/* What carries a secret is not kept, and goes on as it was. */
static void
test_secret_has_no_id(void)
{
	struct gateway *g = begin_async();
	CK_UTF8CHAR function[] = "C_CreateObject";
	CK_ASYNC_DATA got = {0};
	CK_SESSION_HANDLE session;
	CK_ULONG id = 0;
	CK_RV rv;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(create(session, CKO_SECRET_KEY), CKR_PENDING);
	CU_ASSERT_EQUAL(p32->C_AsyncGetID(session, function, &id), CKR_STATE_UNSAVEABLE);
	CU_ASSERT_EQUAL(atomic_load(&g->ended_waits), 0);
	CU_ASSERT_EQUAL(p32->C_AsyncComplete(session, function, &got), CKR_PENDING);
	atomic_store(&g->decided, 1);
	while ((rv = p32->C_AsyncComplete(session, function, &got)) == CKR_PENDING)
		pause_ms(2);
	CU_ASSERT_EQUAL(rv, CKR_OK);
	CU_ASSERT_EQUAL(got.hObject, 77);
	end(g);
}

/* ---- threads and processes --------------------------------------------------------------------------------------- */

struct worker {
	pthread_t thread;
	CK_SESSION_HANDLE session;
	CK_RV rv;
};

static void *
worker_main(void *cookie)
{
	struct worker *w = cookie;

	if ((w->rv = p32->C_DestroyObject(w->session, w->session)) == CKR_PENDING)
		w->rv = await(w->session);
	return NULL;
}

/* Each with a session of its own, and all with a call that is pending while others call. */
static void
test_threads(void)
{
	struct gateway *g = begin_async();
	struct worker w[THREADS];

	for (size_t i = 0; i < THREADS; i++) {
		CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION + i, &w[i].session), CKR_OK);
		CU_ASSERT_EQUAL_FATAL(pthread_create(&w[i].thread, NULL, worker_main, &w[i]), 0);
	}
	CU_ASSERT_TRUE(gateway_await(&g->parked, THREADS));
	for (CK_ULONG i = 0; i < 50; i++)
		CU_ASSERT_EQUAL(plain_call(1, i), CKR_OK);
	atomic_store(&g->decided, 1);
	for (size_t i = 0; i < THREADS; i++) {
		CU_ASSERT_EQUAL(pthread_join(w[i].thread, NULL), 0);
		CU_ASSERT_EQUAL(w[i].rv, CKR_OK);
	}
	CU_ASSERT_EQUAL(atomic_load(&g->forgotten), THREADS);
	end(g);
}

static void *
asker_main(void *cookie)
{
	struct worker *w = cookie;

	w->rv = await(w->session);
	return NULL;
}

/* Several threads ask for one call: one of them gets its outcome, the others hear that there is none to be had. */
static void
test_askers(void)
{
	struct gateway *g = begin_async();
	struct worker w[THREADS];
	CK_SESSION_HANDLE session;
	unsigned got = 0, late = 0;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_DestroyObject(session, 7), CKR_PENDING);
	for (size_t i = 0; i < THREADS; i++) {
		w[i].session = session;
		CU_ASSERT_EQUAL_FATAL(pthread_create(&w[i].thread, NULL, asker_main, &w[i]), 0);
	}
	pause_ms(20);
	atomic_store(&g->decided, 1);
	for (size_t i = 0; i < THREADS; i++) {
		CU_ASSERT_EQUAL(pthread_join(w[i].thread, NULL), 0);
		got += w[i].rv == CKR_OK;
		late += w[i].rv == CKR_OPERATION_NOT_INITIALIZED;
	}
	CU_ASSERT_EQUAL(got, 1);
	CU_ASSERT_EQUAL(late, THREADS - 1);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 3); /* and C_GetTokenInfo, C_OpenSession */
	end(g);
}

/* What its parent left pending is nothing to a child, also once it has an application of its own. */
static int
child_main(CK_SESSION_HANDLE session)
{
	if (ask(session) != CKR_CRYPTOKI_NOT_INITIALIZED)
		return 1;
	if (module_init() != CKR_OK)
		return 2;
	if (ask(session) != CKR_FUNCTION_NOT_SUPPORTED)
		return 3;
	return p11->C_Finalize(NULL) == CKR_OK ? 0 : 4;
}

static void
test_fork(void)
{
	struct gateway *g = begin_async();
	CK_SESSION_HANDLE session;
	int status = -1;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(open_session(g, SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(p32->C_DestroyObject(session, 7), CKR_PENDING);
	atomic_store(&g->handle, 0);
	(void)fflush(NULL);
	if ((pid = fork()) == 0)
		_exit(child_main(session));
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(atomic_load(&g->withdrawn), 0);
	end(g);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"more calls than the window is wide, while one is pending", test_window},
	    {"a gateway that leaves no more calls aside is asked again", test_crowded},
	    {"whatever breaks, a pending call runs once", test_breaks},
	    {"a session that is closed withdraws what is pending", test_close},
	    {"a request that expired or was rejected says so once", test_ends},
	    {"without a folder an id is good in its own process", test_ids},
	    {"decided before it is joined, a call gives its handle and no buffer", test_late_join},
	    {"what carries a secret has no id, and goes on", test_secret_has_no_id},
	    {"a lost instance ends what was pending", test_lost_instance},
	    {"threads with a pending call each", test_threads},
	    {"threads that ask for one call: one has its outcome", test_askers},
	    {"fork with a pending call", test_fork},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"provider/async", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
