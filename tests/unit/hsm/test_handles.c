#include "config.h"

#include <pthread.h>

#include "server/hsm/handles.h"
#include "tests/unit/run.h"

#define SLOT 11u
#define OTHER_SLOT 22u

static uint64_t
open_session(struct kmn_virtual *t, CK_SESSION_HANDLE vendor, CK_SLOT_ID slot)
{
	struct kmn_session s = {.vendor = vendor, .slot = slot, .flags = CKF_SERIAL_SESSION};
	uint64_t virtual;

	CU_ASSERT_EQUAL(kmn_virtual_session_add(t, &s, &virtual), KMN_OK);
	return virtual;
}

static uint64_t
found(struct kmn_virtual *t, CK_SLOT_ID slot, CK_OBJECT_HANDLE vendor)
{
	uint64_t virtual;

	CU_ASSERT_EQUAL(kmn_virtual_object_found(t, slot, vendor, &virtual), KMN_OK);
	return virtual;
}

static uint64_t
made(struct kmn_virtual *t, CK_OBJECT_HANDLE vendor, uint64_t mark, uint64_t session)
{
	uint64_t virtual;

	CU_ASSERT_EQUAL(kmn_virtual_object_made(t, SLOT, vendor, mark, session, &virtual), KMN_OK);
	return virtual;
}

static struct kmn_virtual *
table(void)
{
	struct kmn_virtual *t;

	CU_ASSERT_EQUAL_FATAL(kmn_virtual_new(0, 0, &t), KMN_OK);
	return t;
}

static void
test_same_object(void)
{
	struct kmn_virtual *t = table();
	uint64_t a = found(t, SLOT, 7), b = found(t, OTHER_SLOT, 7);

	CU_ASSERT_EQUAL(found(t, SLOT, 7), a);
	CU_ASSERT_NOT_EQUAL(a, b);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, a), 7);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, OTHER_SLOT, b), 7);
	CU_ASSERT_TRUE(a < KMN_HANDLE_END && b < KMN_HANDLE_END);
	kmn_virtual_free(t);
}

static void
test_unknown(void)
{
	struct kmn_virtual *t = table();
	uint64_t session = open_session(t, 5, SLOT), a = found(t, SLOT, 7);
	struct kmn_session s;

	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, 0), CK_INVALID_HANDLE);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, 999), KMN_HANDLE_REFUSED);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, OTHER_SLOT, a), KMN_HANDLE_REFUSED);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, session), KMN_HANDLE_REFUSED);
	(void)found(t, SLOT, KMN_HANDLE_REFUSED);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, 999), KMN_HANDLE_REFUSED - 1);
	CU_ASSERT_FALSE(kmn_virtual_session(t, 999, &s));
	CU_ASSERT_EQUAL(s.vendor, KMN_HANDLE_REFUSED);
	CU_ASSERT_FALSE(kmn_virtual_session(t, a, &s));
	CU_ASSERT_FALSE(kmn_virtual_session(t, 0, &s));
	CU_ASSERT_EQUAL(s.vendor, CK_INVALID_HANDLE);
	kmn_virtual_free(t);
}

static void
test_destroyed(void)
{
	struct kmn_virtual *t = table();
	uint64_t a = found(t, SLOT, 7), b;

	kmn_virtual_object_drop(t, SLOT, a);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, a), KMN_HANDLE_REFUSED);
	b = found(t, SLOT, 7);
	CU_ASSERT_NOT_EQUAL(a, b);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, a), KMN_HANDLE_REFUSED);
	kmn_virtual_free(t);
}

static void
test_number_used_again(void)
{
	struct kmn_virtual *t = table();
	uint64_t old = found(t, SLOT, 7), mark = kmn_virtual_mark(t), new;

	new = made(t, 7, mark, 0);
	CU_ASSERT_NOT_EQUAL(new, old);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, old), KMN_HANDLE_REFUSED);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, new), 7);

	/* Another session found it between its making and its naming: one object, one handle. */
	mark = kmn_virtual_mark(t);
	new = found(t, SLOT, 8);
	CU_ASSERT_EQUAL(made(t, 8, mark, 0), new);
	kmn_virtual_free(t);
}

static void
test_session_objects(void)
{
	struct kmn_virtual *t = table();
	uint64_t one = open_session(t, 1, SLOT), two = open_session(t, 2, SLOT), mark = kmn_virtual_mark(t);
	uint64_t mine[3], theirs, token;

	for (CK_OBJECT_HANDLE i = 0; i < 3; i++)
		mine[i] = made(t, 10 + i, mark, one);
	theirs = made(t, 20, mark, two);
	token = made(t, 30, mark, 0);
	CU_ASSERT_EQUAL(kmn_virtual_object_session(t, SLOT, mine[0]), one);
	CU_ASSERT_EQUAL(kmn_virtual_object_session(t, SLOT, token), 0);
	kmn_virtual_object_drop(t, SLOT, mine[1]);
	kmn_virtual_session_drop(t, one);
	for (size_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, mine[i]), KMN_HANDLE_REFUSED);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, theirs), 20);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, token), 30);
	kmn_virtual_free(t);
}

static void
test_slot(void)
{
	struct kmn_virtual *t = table();
	uint64_t one = open_session(t, 1, SLOT), other = open_session(t, 2, OTHER_SLOT), mark = kmn_virtual_mark(t);
	uint64_t session_object = made(t, 10, mark, one), token_object = found(t, SLOT, 11);
	struct kmn_session s;

	kmn_virtual_slot_drop(t, SLOT, true);
	CU_ASSERT_FALSE(kmn_virtual_session(t, one, &s));
	CU_ASSERT_TRUE(kmn_virtual_session(t, other, &s));
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, session_object), KMN_HANDLE_REFUSED);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, token_object), 11);
	kmn_virtual_slot_drop(t, SLOT, false);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, token_object), KMN_HANDLE_REFUSED);
	kmn_virtual_free(t);
}

static void
test_session_number_used_again(void)
{
	struct kmn_virtual *t = table();
	uint64_t old = open_session(t, 1, SLOT), new = open_session(t, 1, OTHER_SLOT);
	struct kmn_session s;

	CU_ASSERT_NOT_EQUAL(old, new);
	CU_ASSERT_FALSE(kmn_virtual_session(t, old, &s));
	CU_ASSERT_TRUE(kmn_virtual_session(t, new, &s));
	CU_ASSERT_EQUAL(s.vendor, 1);
	kmn_virtual_free(t);
}

static void
test_many(void)
{
	struct kmn_virtual *t = table();
	uint64_t last = 0;
	bool right = true;

	for (CK_OBJECT_HANDLE i = 1; i <= 20000; i++) {
		uint64_t v = found(t, SLOT, i * 0x10001);

		right = right && v > last && kmn_virtual_object(t, SLOT, v) == i * 0x10001;
		last = v;
	}
	CU_ASSERT_TRUE(right);
	kmn_virtual_free(t);
}

#define THREADS 4
#define ROUNDS 2000

/* Each thread opens, makes, finds, destroys and closes numbers of its own. */
static void *
churn(void *argument)
{
	struct kmn_virtual *t = argument;
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static CK_ULONG base;
	CK_ULONG mine;
	size_t wrong = 0;

	pthread_mutex_lock(&lock);
	mine = base += 1000;
	pthread_mutex_unlock(&lock);
	for (CK_ULONG i = 0; i < ROUNDS; i++) {
		struct kmn_session s = {.vendor = mine + i % 10, .slot = SLOT};
		uint64_t session = 0, object = 0, again = 0;

		wrong += kmn_virtual_session_add(t, &s, &session) != KMN_OK;
		wrong +=
		    kmn_virtual_object_made(t, SLOT, mine + i % 7, kmn_virtual_mark(t), session, &object) != KMN_OK;
		wrong += kmn_virtual_object_found(t, SLOT, mine + i % 7, &again) != KMN_OK || again != object;
		if (i % 2 == 0)
			kmn_virtual_object_drop(t, SLOT, object);
		kmn_virtual_session_drop(t, session);
		wrong += kmn_virtual_object(t, SLOT, object) != KMN_HANDLE_REFUSED;
	}
	return wrong == 0 ? NULL : argument;
}

static void
test_threads(void)
{
	struct kmn_virtual *t = table();
	pthread_t thread[THREADS];
	void *result;

	for (size_t i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, churn, t), 0);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &result);
		CU_ASSERT_PTR_NULL(result);
	}
	kmn_virtual_free(t);
}

static void
test_range(void)
{
	struct kmn_virtual *t;
	uint64_t virtual;

	CU_ASSERT_EQUAL_FATAL(kmn_virtual_new(1000, 3, &t), KMN_OK);
	CU_ASSERT_EQUAL(open_session(t, 5, SLOT), 1000);
	CU_ASSERT_EQUAL(found(t, SLOT, 7), 1003);
	CU_ASSERT_EQUAL(made(t, 8, kmn_virtual_mark(t), 1000), 1006);
	kmn_virtual_session_drop(t, 1000);
	CU_ASSERT_EQUAL(open_session(t, 5, SLOT), 1009);
	kmn_virtual_free(t);
	CU_ASSERT_EQUAL_FATAL(kmn_virtual_new(KMN_HANDLE_END - 4, 3, &t), KMN_OK);
	CU_ASSERT_EQUAL(found(t, SLOT, 7), KMN_HANDLE_END - 4);
	CU_ASSERT_EQUAL(found(t, SLOT, 8), KMN_HANDLE_END - 1);
	CU_ASSERT_EQUAL(kmn_virtual_object_found(t, SLOT, 9, &virtual), KMN_E_TOO_BIG);
	CU_ASSERT_EQUAL(found(t, SLOT, 7), KMN_HANDLE_END - 4);
	kmn_virtual_free(t);
	CU_ASSERT_EQUAL(kmn_virtual_new(KMN_HANDLE_END, 1, &t), KMN_E_TOO_BIG);
	CU_ASSERT_PTR_NULL(t);
}

static void
test_alias(void)
{
	struct kmn_virtual *t;
	struct kmn_session s;
	uint64_t session, object;

	CU_ASSERT_EQUAL_FATAL(kmn_virtual_new(1000, 1, &t), KMN_OK);
	session = open_session(t, 5, SLOT);
	object = found(t, SLOT, 7);
	CU_ASSERT_EQUAL(kmn_virtual_alias(t, 41, object), KMN_OK);
	CU_ASSERT_EQUAL(kmn_virtual_alias(t, 42, session), KMN_OK);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, 41), 7);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, object), 7);
	CU_ASSERT_EQUAL(found(t, SLOT, 7), 41);
	CU_ASSERT_TRUE(kmn_virtual_session(t, 42, &s));
	CU_ASSERT_EQUAL(s.vendor, 5);
	CU_ASSERT_EQUAL(s.number, session);
	CU_ASSERT_EQUAL(kmn_virtual_session_number(t, 42), session);
	CU_ASSERT_EQUAL(kmn_virtual_session_number(t, 41), 41);
	/* An application that had found the object before it used its old handle knows both. */
	CU_ASSERT_EQUAL(kmn_virtual_alias(t, 43, object), KMN_OK);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, 41), 7);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, 43), 7);

	CU_ASSERT_EQUAL(kmn_virtual_alias(t, 41, session), KMN_E_EXISTS);
	CU_ASSERT_EQUAL(kmn_virtual_alias(t, 0, object), KMN_E_EXISTS);
	CU_ASSERT_EQUAL(kmn_virtual_alias(t, 1000, object), KMN_E_EXISTS);
	CU_ASSERT_EQUAL(kmn_virtual_alias(t, 5000, object), KMN_E_EXISTS);
	CU_ASSERT_EQUAL(kmn_virtual_alias(t, 44, 4711), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, 44), KMN_HANDLE_REFUSED);

	kmn_virtual_object_drop(t, SLOT, 43);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, 41), KMN_HANDLE_REFUSED);
	CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, object), KMN_HANDLE_REFUSED);
	kmn_virtual_session_drop(t, 42);
	CU_ASSERT_FALSE(kmn_virtual_session(t, session, &s));
	for (uint64_t i = 1; i < 900; i++)
		CU_ASSERT_EQUAL(kmn_virtual_alias(t, i, found(t, SLOT, i)), KMN_OK);
	for (uint64_t i = 1; i < 900; i++)
		CU_ASSERT_EQUAL(kmn_virtual_object(t, SLOT, i), i);
	kmn_virtual_free(t);
}

static CU_TestInfo tests[] = {
    {"an object keeps its handle, and slots do not share numbers", test_same_object},
    {"an unknown handle becomes a number that the vendor never gave", test_unknown},
    {"the handle of a destroyed object never comes back", test_destroyed},
    {"a new object does not inherit the handle of the one before it", test_number_used_again},
    {"session objects die with their session, others stay", test_session_objects},
    {"closing all sessions of a slot leaves token objects, a new token leaves nothing", test_slot},
    {"a session number that is given out again is a new session", test_session_number_used_again},
    {"twenty thousand objects", test_many},
    {"numbers begin where they are told to, and end at 2^31", test_range},
    {"an old number becomes another name, and nothing else can", test_alias},
    {"four threads", test_threads},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{.pName = "hsm/handles", .pTests = tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
