/* Calls over connections that break, threads, and a gateway that holds, forgets or is gone. */
#include "config.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "kanmon/frame.h"
#include "tests/unit/provider/module.h"
#include "tests/unit/run.h"

static void
test_answers_are_verbatim(void)
{
	static const CK_RV answers[] = {CKR_OK, CKR_BUFFER_TOO_SMALL, CKR_PIN_INCORRECT, 0x80001234};
	struct gateway *g = begin("");
	CK_ULONG n = 0;

	for (size_t i = 0; i < KMN_COUNT_OF(answers); i++) {
		atomic_store(&g->rv, answers[i]);
		CU_ASSERT_EQUAL(plain_call(1, i), answers[i]);
	}
	CU_ASSERT_EQUAL(p11->C_GetSlotList(CK_FALSE, NULL, NULL), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), KMN_COUNT_OF(answers));
	CU_ASSERT_EQUAL(p11->C_Sign(1, NULL, 0, NULL, &n), 0x80001234);
	CU_ASSERT_EQUAL(atomic_load(&g->highest), KMN_COUNT_OF(answers) + 1);
	CU_ASSERT_EQUAL(atomic_load(&g->acknowledged), KMN_COUNT_OF(answers) + 1);
	end(g);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

#define THREADS 24u
#define CALLS 60u

struct worker {
	pthread_t thread;
	CK_ULONG id;
	unsigned calls;
	CK_RV (*call)(CK_SESSION_HANDLE, CK_ULONG);
	CK_RV want;
	unsigned wrong;
};

static void *
worker_main(void *cookie)
{
	struct worker *w = cookie;

	for (unsigned i = 0; i < w->calls; i++) {
		CK_RV rv = w->call(w->id, w->id * 1000 + i);

		if (rv != w->want && w->wrong++ == 0)
			printf("# thread %lu call %u: 0x%lx\n", w->id, i, rv);
	}
	return NULL;
}

static CK_RV
slot_call(CK_SESSION_HANDLE session, CK_ULONG salt)
{
	CK_SLOT_INFO info;

	(void)session;
	return p11->C_GetSlotInfo(salt, &info);
}

static void
start_workers(struct worker *w, size_t n, unsigned calls, CK_RV (*call)(CK_SESSION_HANDLE, CK_ULONG), CK_RV want)
{
	for (size_t i = 0; i < n; i++) {
		w[i] = (struct worker){.id = i + 1, .calls = calls, .call = call, .want = want};
		CU_ASSERT_EQUAL_FATAL(pthread_create(&w[i].thread, NULL, worker_main, &w[i]), 0);
	}
}

static unsigned
join_workers(struct worker *w, size_t n)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(pthread_join(w[i].thread, NULL), 0);
		wrong += w[i].wrong;
	}
	return wrong;
}

static void
test_many_threads(void)
{
	struct gateway *g = begin("connections = 5\n");
	struct worker w[THREADS];

	start_workers(w, THREADS, CALLS, plain_call, CKR_OK);
	CU_ASSERT_EQUAL(join_workers(w, THREADS), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), THREADS * CALLS);
	CU_ASSERT_EQUAL(atomic_load(&g->highest), THREADS * CALLS);
	CU_ASSERT_EQUAL(atomic_load(&g->repeated), 0);
	CU_ASSERT(atomic_load(&g->open_most) <= 5);
	CU_ASSERT(atomic_load(&g->open_most) > 1);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->acknowledged), THREADS * CALLS + 1);
	end(g);
}

static void
test_gateway_gives_few_connections(void)
{
	struct gateway *g = begin("connections = 8\n");
	struct worker w[8], held;

	atomic_store(&g->open_limit, 2);
	atomic_store(&g->lease_ms, 400);
	atomic_store(&g->run_ms, 2);
	start_workers(w, 8, 30, plain_call, CKR_OK);
	CU_ASSERT_EQUAL(join_workers(w, 8), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 8 * 30);
	CU_ASSERT_EQUAL(atomic_load(&g->open_most), 2);
	atomic_store(&g->hold, 1); /* no connection is left to watch: the call asks again now and then */
	start_workers(&held, 1, 1, held_call, CKR_OK);
	pause_ms(300);
	atomic_store(&g->decided, 1);
	CU_ASSERT_EQUAL(join_workers(&held, 1), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->watched), 0);
	end(g);
}

static void
test_calls_run_side_by_side(void)
{
	struct gateway *g = begin("connections = 8\n");
	struct worker w[8];
	uint64_t start;

	atomic_store(&g->run_ms, 500);
	start = now_ms();
	start_workers(w, 8, 1, plain_call, CKR_OK);
	CU_ASSERT_EQUAL(join_workers(w, 8), 0);
	CU_ASSERT(now_ms() - start < 3000); /* one after another would be 4000 */
	end(g);
}

#define SHARERS 64u

struct sharer {
	pthread_t thread;
	atomic_bool *stop;
	unsigned calls, wrong;
};

static void *
sharer_main(void *cookie)
{
	struct sharer *s = cookie;

	while (!atomic_load(s->stop)) {
		s->wrong += plain_call(1, s->calls) != CKR_OK;
		s->calls++;
	}
	return NULL;
}

/* 16 connections, each answer takes 10 ms: a thread that has been served goes to the end of the line. */
static void
test_fair_shares(void)
{
	struct gateway *g = begin("");
	struct sharer s[SHARERS];
	atomic_bool stop = false;
	unsigned least = UINT_MAX, most = 0, all = 0;

	atomic_store(&g->run_ms, 10);
	for (size_t i = 0; i < SHARERS; i++) {
		s[i] = (struct sharer){.stop = &stop};
		CU_ASSERT_EQUAL_FATAL(pthread_create(&s[i].thread, NULL, sharer_main, &s[i]), 0);
	}
	pause_ms(2000);
	atomic_store(&stop, true);
	for (size_t i = 0; i < SHARERS; i++) {
		CU_ASSERT_EQUAL(pthread_join(s[i].thread, NULL), 0);
		CU_ASSERT_EQUAL(s[i].wrong, 0);
		least = s[i].calls < least ? s[i].calls : least;
		most = s[i].calls > most ? s[i].calls : most;
		all += s[i].calls;
	}
	printf("# %u calls in 2 s, each thread %u to %u\n", all, least, most);
	CU_ASSERT_EQUAL(atomic_load(&g->open_most), 16);
	CU_ASSERT(least * 2 >= most);
	CU_ASSERT(all >= 800); /* 3200 if nothing else runs here, 200 if calls stood in one line */
	end(g);
}

/* ---- breaks ------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *says;
	enum gateway_break where;
	int breaks;
	unsigned runs, repeated;
} break_cases[] = {
    {"the CALL is lost", BREAK_BEFORE_RUN, 1, 1, 0},
    {"the CALL is lost thrice", BREAK_BEFORE_RUN, 3, 1, 0},
    {"the REPLY is lost", BREAK_BEFORE_REPLY, 1, 1, 1},
    {"the REPLY is lost thrice", BREAK_BEFORE_REPLY, 3, 1, 3},
    {"half of the REPLY is lost", BREAK_IN_REPLY, 2, 1, 2},
};

static void
test_breaks(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(break_cases); i++) {
		struct gateway *g = begin("");

		atomic_store(&g->break_where, break_cases[i].where);
		atomic_store(&g->breaks, break_cases[i].breaks);
		CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
		if (atomic_load(&g->runs) != break_cases[i].runs ||
		    atomic_load(&g->repeated) != break_cases[i].repeated || atomic_load(&g->breaks) != 0 ||
		    atomic_load(&g->highest) != 1 || atomic_load(&g->attached) != 1) {
			printf("# %s: %u runs, %u repeated\n", break_cases[i].says, atomic_load(&g->runs),
			    atomic_load(&g->repeated));
			CU_FAIL("see the line above");
		}
		end(g);
	}
}

static void
test_break_before_join(void)
{
	struct gateway *g = begin("");

	for (int where = BREAK_BEFORE_HANDSHAKE; where <= BREAK_BEFORE_JOINED; where++) {
		atomic_store(&g->break_where, BREAK_BEFORE_RUN);
		atomic_store(&g->breaks, 1);
		CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK); /* the connection was cut, a new one joined */
		atomic_store(&g->idle_cut, 1);
		CU_ASSERT_EQUAL(plain_call(1, 2), CKR_OK);
		atomic_store(&g->idle_cut, 0);
		atomic_store(&g->break_where, where);
		atomic_store(&g->breaks, 2);
		CU_ASSERT_EQUAL(plain_call(1, 3), CKR_OK);
		CU_ASSERT_EQUAL(atomic_load(&g->breaks), 0);
	}
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 6);
	CU_ASSERT_EQUAL(atomic_load(&g->highest), 6);
	end(g);
}

static void
test_idle_connection_gone(void)
{
	struct gateway *g = begin("");

	atomic_store(&g->idle_cut, 1);
	for (unsigned i = 0; i < 5; i++) {
		CU_ASSERT_EQUAL(plain_call(1, i), CKR_OK);
		pause_ms(20);
	}
	CU_ASSERT_EQUAL(atomic_load(&g->asked), 5); /* noticed before anything was sent */
	CU_ASSERT_EQUAL(atomic_load(&g->joined), 4);
	end(g);
}

static void
test_threads_and_breaks(void)
{
	struct gateway *g = begin("connections = 6\n");
	struct worker w[12];

	start_workers(w, 12, 40, plain_call, CKR_OK);
	for (int i = 0; i < 60; i++) {
		atomic_store(&g->break_where, BREAK_BEFORE_HANDSHAKE + i % 5);
		atomic_store(&g->breaks, 1);
		pause_ms(5);
	}
	CU_ASSERT_EQUAL(join_workers(w, 12), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 12 * 40);
	CU_ASSERT_EQUAL(atomic_load(&g->highest), 12 * 40);
	end(g);
}

static void
test_a_call_that_always_breaks(void)
{
	struct gateway *g = begin("");

	atomic_store(&g->break_where, BREAK_BEFORE_REPLY);
	atomic_store(&g->breaks, 1000);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 1);
	atomic_store(&g->breaks, 0);
	CU_ASSERT_EQUAL(plain_call(1, 2), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->highest), 2); /* the first one's number is not used again */
	end(g);
}

/* ---- the gateway is gone ----------------------------------------------------------------------------------------- */

static void
test_lease_over(void)
{
	struct gateway *g;
	CK_SESSION_HANDLE session;
	CK_SLOT_INFO slot = {0};
	uint64_t start;

	g = gateway_new();
	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	atomic_store(&g->lease_ms, 400);
	CU_ASSERT_TRUE_FATAL(gateway_start(g) && gateway_configure(g, "") && module_load());
	CU_ASSERT_EQUAL_FATAL(module_init(), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_GetSlotInfo(5, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot.flags, CKF_TOKEN_PRESENT | CKF_HW_SLOT);
	gateway_stop(g);
	start = now_ms();
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_DEVICE_ERROR);
	CU_ASSERT(now_ms() - start >= 300);
	start = now_ms();
	CU_ASSERT_EQUAL(p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_TOKEN_NOT_PRESENT);
	CU_ASSERT_EQUAL(p11->C_CloseSession(1), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(p11->C_GetSlotInfo(5, &slot), CKR_OK); /* the slot that is known, without its token */
	CU_ASSERT_EQUAL(slot.flags, CKF_HW_SLOT);
	CU_ASSERT_STRING_EQUAL((char *)slot.slotDescription, "a slot");
	CU_ASSERT_EQUAL(p11->C_GetSlotInfo(6, &slot), CKR_DEVICE_ERROR);
	CU_ASSERT(now_ms() - start < 3000); /* nobody waits for what is gone */
	CU_ASSERT_TRUE(gateway_start(g));   /* without memory of this application */
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(p11->C_CloseSession(1), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 1); /* sessions do not come back by themselves */
	CU_ASSERT_EQUAL(p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 2);
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	end(g);
}

static void
test_gone_within_the_lease(void)
{
	struct gateway *g = begin("");
	struct worker w;

	atomic_store(&g->idle_cut, 1);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	atomic_store(&g->break_where, BREAK_BEFORE_HANDSHAKE);
	atomic_store(&g->breaks, 1000000);
	start_workers(&w, 1, 1, plain_call, CKR_OK);
	pause_ms(400);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 1);
	atomic_store(&g->breaks, 0);
	CU_ASSERT_EQUAL(join_workers(&w, 1), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 2);
	end(g);
}

static void
test_instance_lost(void)
{
	struct gateway *g = begin("");
	struct worker w;

	atomic_store(&g->run_ms, 200);
	atomic_store(&g->break_where, BREAK_BEFORE_REPLY);
	atomic_store(&g->breaks, 1);
	start_workers(&w, 1, 1, plain_call, CKR_DEVICE_ERROR); /* in flight when it is lost */
	CU_ASSERT_TRUE(gateway_await(&g->runs, 1));
	atomic_store(&g->forgets, 1);
	CU_ASSERT_EQUAL(join_workers(&w, 1), 0);
	CU_ASSERT_EQUAL(plain_call(1, 2), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(p11->C_Logout(1), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(p11->C_CloseSession(1), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_CloseAllSessions(0), CKR_OK);
	atomic_store(&g->forgets, 0); /* a lost instance is never joined again */
	CU_ASSERT_EQUAL(plain_call(1, 3), CKR_SESSION_HANDLE_INVALID);
	end(g);
}

static void
test_worker_died(void)
{
	struct gateway *g = begin("");

	atomic_store(&g->worker_died, 1);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(p11->C_CloseSession(1), CKR_OK);
	end(g);
}

/* C_OpenSession attaches anew, above the handles that were; those of before stay what they are. */
static void
test_after_a_lost_instance(void)
{
	struct gateway *g = begin("");
	CK_SESSION_HANDLE before, after;

	CU_ASSERT_EQUAL(atomic_load(&g->first_handle), 1);
	atomic_store(&g->handle, 70000);
	CU_ASSERT_EQUAL(p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &before), CKR_OK);
	atomic_store(&g->worker_died, 1);
	CU_ASSERT_EQUAL(plain_call(before, 1), CKR_DEVICE_ERROR);
	atomic_store(&g->worker_died, 0);
	CU_ASSERT_EQUAL(plain_call(before, 1), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 1);
	atomic_store(&g->handle, 131073);
	CU_ASSERT_EQUAL(p11->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &after), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 2);
	CU_ASSERT_EQUAL(atomic_load(&g->first_handle), 131072);
	atomic_store(&g->asked, 0);
	CU_ASSERT_EQUAL(plain_call(before, 1), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(p11->C_CloseSession(before), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->asked), 0); /* known by their numbers */
	CU_ASSERT_EQUAL(plain_call(after, 1), CKR_OK);
	CU_ASSERT_EQUAL(p11->C_CloseSession(after), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->asked), 2);
	end(g);
}

/* All who need a new instance get the same one. */
static void
test_threads_after_a_lost_instance(void)
{
	struct gateway *g = begin("");
	struct worker w[8];

	gateway_stop(g);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	start_workers(w, 8, 5, slot_call, CKR_OK);
	CU_ASSERT_EQUAL(join_workers(w, 8), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->attached), 2);
	end(g);
}

/* A NOTICE may come before any answer, and be there when an idle connection is used again. */
static void
test_notices(void)
{
	struct gateway *g = begin("connections = 3\n");
	struct worker w[6];

	atomic_store(&g->chatter, 1);
	start_workers(w, 6, 50, plain_call, CKR_OK);
	CU_ASSERT_EQUAL(join_workers(w, 6), 0);
	pause_ms(50);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->repeated), 0);
	CU_ASSERT(atomic_load(&g->joined) <= 2); /* no connection was given up for it */
	end(g);
}

static const struct {
	const char *says;
	kmn_err refuse;
	const char *settings;
	bool login;
	CK_RV want;
} refusal_cases[] = {
    {"policy denies", KMN_E_DENIED, "", false, CKR_FUNCTION_REJECTED},
    {"policy denies, login", KMN_E_DENIED, "", true, CKR_FUNCTION_CANCELED},
    {"custodians reject", KMN_E_REJECTED, "", false, CKR_FUNCTION_REJECTED},
    {"the request expired", KMN_E_EXPIRED, "", false, CKR_FUNCTION_CANCELED},
    {"policy denies, errors=device", KMN_E_DENIED, "errors = device\n", false, CKR_DEVICE_ERROR},
    {"the request expired, errors=device", KMN_E_EXPIRED, "errors = device\n", false, CKR_DEVICE_ERROR},
    {"the ledger is full", KMN_E_LEDGER, "", false, CKR_DEVICE_ERROR},
    {"a parameter nobody knows, errors=device", KMN_E_MECHANISM_PARAM, "errors = device\n", false,
	CKR_MECHANISM_PARAM_INVALID},
};

static void
test_refusals(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(refusal_cases); i++) {
		struct gateway *g = begin(refusal_cases[i].settings);
		CK_RV rv;

		atomic_store(&g->refuse, refusal_cases[i].refuse);
		rv = refusal_cases[i].login ? p11->C_Login(1, CKU_USER, NULL, 0) : plain_call(1, 1);
		if (rv != refusal_cases[i].want) {
			printf("# %s: 0x%lx\n", refusal_cases[i].says, rv);
			CU_FAIL("see the line above");
		}
		end(g);
	}
}

static void
test_overtaken_number(void)
{
	struct gateway *g = begin("");

	atomic_store(&g->refuse, KMN_E_REPLAY); /* every new number: the call gives up in the end */
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(atomic_load(&g->highest), 4);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 0);
	atomic_store(&g->refuse, 0);
	CU_ASSERT_EQUAL(plain_call(1, 1), CKR_OK);
	end(g);
}

/* ---- held -------------------------------------------------------------------------------------------------------- */

static void
test_held_then_decided(void)
{
	struct gateway *g = begin("connections = 2\n");
	struct worker w[6];

	atomic_store(&g->hold, 1);
	start_workers(w, 6, 1, held_call, CKR_OK);
	CU_ASSERT_TRUE(gateway_await(&g->watched, 1));
	CU_ASSERT_TRUE(gateway_await(&g->asked, 6));
	pause_ms(100);                    /* those that asked before the watch began ask again */
	for (CK_ULONG i = 0; i < 20; i++) /* held calls occupy no connection */
		CU_ASSERT_EQUAL(plain_call(9, i), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 20);
	CU_ASSERT_EQUAL(atomic_load(&g->acknowledged), 1); /* the lowest held one has no answer yet */
	atomic_store(&g->decided, 1);
	CU_ASSERT_EQUAL(join_workers(w, 6), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 26);
	CU_ASSERT_EQUAL(atomic_load(&g->highest), 26);
	CU_ASSERT_EQUAL(atomic_load(&g->watched), 1);
	CU_ASSERT_EQUAL(atomic_load(&g->ended_waits), 0);
	CU_ASSERT_EQUAL(plain_call(9, 1), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->acknowledged), 27);
	end(g);
}

static void
test_watch_lost(void)
{
	static const enum gateway_break where[] = {
	    BREAK_BEFORE_READY, BREAK_BEFORE_HELD, BREAK_BEFORE_JOINED, BREAK_BEFORE_REPLY};

	for (size_t i = 0; i < KMN_COUNT_OF(where); i++) {
		struct gateway *g = begin("");
		struct worker w[3];

		atomic_store(&g->hold, 1);
		atomic_store(&g->break_where, where[i]);
		atomic_store(&g->breaks, where[i] == BREAK_BEFORE_READY ? 1 : 2);
		start_workers(w, 3, 1, held_call, CKR_OK);
		CU_ASSERT_TRUE(gateway_await(&g->watched, 1));
		CU_ASSERT_TRUE(gateway_await(&g->asked, 3));
		pause_ms(100);
		atomic_store(&g->decided, 1);
		CU_ASSERT_EQUAL(join_workers(w, 3), 0);
		CU_ASSERT_EQUAL(atomic_load(&g->breaks), 0);
		CU_ASSERT_EQUAL(atomic_load(&g->runs), 3);
		CU_ASSERT_EQUAL(atomic_load(&g->highest), 3);
		end(g);
	}
}

static void
test_window(void)
{
	struct gateway *g = begin("connections = 3\n");
	struct worker held, busy[3];

	atomic_store(&g->hold, 1);
	start_workers(&held, 1, 1, held_call, CKR_OK);
	CU_ASSERT_TRUE(gateway_await(&g->watched, 1));
	start_workers(busy, 3, 400, plain_call, CKR_OK);
	CU_ASSERT_TRUE(gateway_await(&g->runs, KMN_WINDOW_NUMBERS - 1));
	pause_ms(200); /* the window is full: the others wait, and hold no connection meanwhile */
	CU_ASSERT_EQUAL(atomic_load(&g->highest), KMN_WINDOW_NUMBERS);
	atomic_store(&g->decided, 1);
	CU_ASSERT_EQUAL(join_workers(&held, 1), 0);
	CU_ASSERT_EQUAL(join_workers(busy, 3), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->runs), 1201);
	end(g);
}

static void
test_wait_over(void)
{
	static const char *const settings[] = {"quorum-wait = 1\n", "quorum-wait = 1\nerrors = device\n"};
	static const CK_RV want[] = {CKR_FUNCTION_CANCELED, CKR_DEVICE_ERROR};

	for (size_t i = 0; i < KMN_COUNT_OF(settings); i++) {
		struct gateway *g = begin(settings[i]);
		struct worker w[3];
		uint64_t start = now_ms();

		atomic_store(&g->hold, 1);
		atomic_store(&g->break_where, i == 0 ? BREAK_NOWHERE : BREAK_BEFORE_REPLY); /* of END_WAIT */
		atomic_store(&g->breaks, 1);
		start_workers(w, 3, 1, held_call, want[i]);
		CU_ASSERT_EQUAL(join_workers(w, 3), 0);
		CU_ASSERT(now_ms() - start >= 1000);
		CU_ASSERT(now_ms() - start < 10000);
		CU_ASSERT_EQUAL(atomic_load(&g->ended_waits), i == 0 ? 3 : 4);
		CU_ASSERT_EQUAL(atomic_load(&g->runs), 0);
		atomic_store(&g->decided, 1);
		CU_ASSERT_EQUAL(held_call(1, 1), CKR_OK); /* asked for again, another number */
		CU_ASSERT_EQUAL(atomic_load(&g->highest), 4);
		end(g);
	}
}

static void
test_no_wait_at_all(void)
{
	struct gateway *g = begin("quorum-wait = 0\n");

	atomic_store(&g->hold, 1);
	CU_ASSERT_EQUAL(held_call(1, 1), CKR_FUNCTION_CANCELED);
	CU_ASSERT_EQUAL(atomic_load(&g->watched), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->ended_waits), 1);
	end(g);
}

static void
test_finalize_ends_waits(void)
{
	struct gateway *g = begin("");
	struct worker w[4];
	uint64_t start;

	atomic_store(&g->hold, 1);
	start_workers(w, 4, 1, held_call, CKR_FUNCTION_CANCELED);
	CU_ASSERT_TRUE(gateway_await(&g->asked, 4));
	pause_ms(100);
	start = now_ms();
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT(now_ms() - start < 4000);
	CU_ASSERT_EQUAL(join_workers(w, 4), 0);
	CU_ASSERT_EQUAL(atomic_load(&g->detached), 1);
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	end(g);
}

static void
test_finalize_waits_for_the_hsm(void)
{
	struct gateway *g = begin("");
	struct worker w;

	atomic_store(&g->run_ms, 300);
	start_workers(&w, 1, 1, plain_call, CKR_OK);
	CU_ASSERT_TRUE(gateway_await(&g->runs, 1));
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(atomic_load(&g->running), 0);
	CU_ASSERT_EQUAL(join_workers(&w, 1), 0);
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	end(g);
}

static void
test_finalize_while_the_gateway_is_gone(void)
{
	struct gateway *g = begin("");
	struct worker w[2];
	uint64_t start;

	atomic_store(&g->hold, 1);
	start_workers(&w[0], 1, 1, held_call, CKR_FUNCTION_CANCELED);
	CU_ASSERT_TRUE(gateway_await(&g->watched, 1));
	pause_ms(100);
	gateway_stop(g);
	start_workers(&w[1], 1, 1, plain_call, CKR_CRYPTOKI_NOT_INITIALIZED);
	pause_ms(200);
	start = now_ms();
	CU_ASSERT_EQUAL(p11->C_Finalize(NULL), CKR_OK);
	CU_ASSERT(now_ms() - start < 4000);
	CU_ASSERT_EQUAL(join_workers(w, 2), 0);
	CU_ASSERT_TRUE(gateway_start(g));
	CU_ASSERT_EQUAL(module_init(), CKR_OK);
	end(g);
}

/* ---- threads that live longer ------------------------------------------------------------------------------------ */

struct guest {
	pthread_t thread;
	pthread_barrier_t *called, *unloaded;
	CK_RV rv;
};

static void *
guest_main(void *cookie)
{
	struct guest *guest = cookie;

	guest->rv = plain_call(1, 1);
	(void)pthread_barrier_wait(guest->called);
	(void)pthread_barrier_wait(guest->unloaded);
	return NULL; /* whatever was left in this thread is freed now */
}

static void
test_threads_outlive_the_module(void)
{
	struct gateway *g = begin("");
	pthread_barrier_t called, unloaded;
	struct guest guest[6];

	CU_ASSERT_EQUAL(pthread_barrier_init(&called, NULL, 7), 0);
	CU_ASSERT_EQUAL(pthread_barrier_init(&unloaded, NULL, 7), 0);
	atomic_store(&g->run_ms, 100); /* so that each thread makes a connection of its own */
	for (size_t i = 0; i < KMN_COUNT_OF(guest); i++) {
		guest[i] = (struct guest){.called = &called, .unloaded = &unloaded};
		CU_ASSERT_EQUAL_FATAL(pthread_create(&guest[i].thread, NULL, guest_main, &guest[i]), 0);
	}
	(void)pthread_barrier_wait(&called);
	CU_ASSERT(atomic_load(&g->joined) >= 3);
	end(g);
	(void)pthread_barrier_wait(&unloaded);
	for (size_t i = 0; i < KMN_COUNT_OF(guest); i++) {
		CU_ASSERT_EQUAL(pthread_join(guest[i].thread, NULL), 0);
		CU_ASSERT_EQUAL(guest[i].rv, CKR_OK);
	}
	(void)pthread_barrier_destroy(&called);
	(void)pthread_barrier_destroy(&unloaded);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"what the module answers arrives as it is", test_answers_are_verbatim},
	    {"many threads share few connections, each number once", test_many_threads},
	    {"a gateway that gives fewer connections than there are threads", test_gateway_gives_few_connections},
	    {"calls run side by side", test_calls_run_side_by_side},
	    {"64 threads get equal shares of 16 connections", test_fair_shares},
	    {"whatever breaks, the same number is sent again and runs once", test_breaks},
	    {"connecting again is tried again", test_break_before_join},
	    {"an idle connection that is gone costs nothing", test_idle_connection_gone},
	    {"threads over breaking connections", test_threads_and_breaks},
	    {"a call on which every connection breaks ends", test_a_call_that_always_breaks},
	    {"after the lease nobody waits", test_lease_over},
	    {"within the lease a gateway that is gone is only latency", test_gone_within_the_lease},
	    {"a lost instance: once a device error, then no sessions", test_instance_lost},
	    {"a dead worker is a lost instance", test_worker_died},
	    {"after a lost instance C_OpenSession begins again, and old handles mean nothing",
		test_after_a_lost_instance},
	    {"threads that find the instance lost attach once", test_threads_after_a_lost_instance},
	    {"notices come between frames and disturb nothing", test_notices},
	    {"refusals look as they should", test_refusals},
	    {"a number refused as stale at its first sight is replaced", test_overtaken_number},
	    {"held calls wait on one connection, and run when decided", test_held_then_decided},
	    {"a watch that breaks loses no decision", test_watch_lost},
	    {"a held number never falls behind the gateway's window", test_window},
	    {"after quorum-wait the wait is ended", test_wait_over},
	    {"without quorum-wait nothing is waited for", test_no_wait_at_all},
	    {"C_Finalize ends waits for a quorum", test_finalize_ends_waits},
	    {"C_Finalize waits for what the HSM is doing", test_finalize_waits_for_the_hsm},
	    {"C_Finalize does not wait for a gateway that is gone", test_finalize_while_the_gateway_is_gone},
	    {"threads that called live longer than the module", test_threads_outlive_the_module},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"provider/call", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
