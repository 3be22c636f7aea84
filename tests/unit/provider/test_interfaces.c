/* C_GetInterfaceList and C_GetInterface: what is offered, how it is learned, and what is asked with it. */
#include "config.h"

#include "kanmon/pkcs11.h"
#include "kanmon/vendor.h"
#include "tests/unit/provider/module.h"
#include "tests/unit/run.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static CK_RV (*get_list)(CK_INTERFACE_PTR, CK_ULONG_PTR);
static CK_RV (*get_one)(CK_UTF8CHAR_PTR, CK_VERSION_PTR, CK_INTERFACE_PTR_PTR, CK_FLAGS);

static CK_UTF8CHAR standard[] = "PKCS 11", other[] = "Vendor NSS Module Interface";

/* The module, fresh, before a gateway that offers this. Nothing is initialised. */
static struct gateway *
before(int offer, const char *more)
{
	struct gateway *g = gateway_new();

	CU_ASSERT_PTR_NOT_NULL_FATAL(g);
	atomic_store(&g->offer, offer);
	CU_ASSERT_TRUE_FATAL(gateway_start(g));
	CU_ASSERT_TRUE_FATAL(gateway_configure(g, more));
	CU_ASSERT_TRUE_FATAL(module_load());
	*(void **)&get_list = module_symbol("C_GetInterfaceList");
	*(void **)&get_one = module_symbol("C_GetInterface");
	CU_ASSERT_TRUE_FATAL(get_list != NULL && get_one != NULL);
	return g;
}

static void
after(struct gateway *g)
{
	module_unload();
	CU_ASSERT_EQUAL(atomic_load(&g->wrong), 0);
	gateway_free(g);
}

static unsigned
version_of(const CK_INTERFACE *i)
{
	CK_VERSION v;

	memcpy(&v, i->pFunctionList, sizeof(v));
	return v.major * 256u + v.minor;
}

/* That these versions are offered, in this order, and to whoever asks for one of them; and our own interface last. */
static bool
offers(unsigned count, const unsigned *versions, CK_FLAGS flags)
{
	CK_INTERFACE list[16], *one;
	CK_ULONG n = 0;
	bool good = get_list(NULL, &n) == CKR_OK && n == count + 1;

	n = KMN_COUNT_OF(list);
	good = good && get_list(list, &n) == CKR_OK && n == count + 1 &&
	       strcmp((char *)list[count].pInterfaceName, KMN_INTERFACE_NAME) == 0 && list[count].flags == 0 &&
	       version_of(&list[count]) == 0x0101;
	for (unsigned i = 0; good && i < count; i++) {
		CK_VERSION v = {(CK_BYTE)(versions[i] >> 8), (CK_BYTE)versions[i]};

		good = strcmp((char *)list[i].pInterfaceName, "PKCS 11") == 0 && list[i].flags == flags &&
		       version_of(&list[i]) == versions[i] && get_one(standard, &v, &one, 0) == CKR_OK &&
		       one->pFunctionList == list[i].pFunctionList;
	}
	return good && get_one(NULL, NULL, &one, 0) == CKR_OK && version_of(one) == versions[0];
}

static void
test_two_calls(void)
{
	struct gateway *g = before(GATEWAY_OFFERS_3_2, "");
	CK_INTERFACE list[4] = {{standard, NULL, 77}, {standard, NULL, 77}, {standard, NULL, 77}, {standard, NULL, 77}};
	CK_ULONG n = 0;

	CU_ASSERT_EQUAL(get_list(NULL, NULL), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(get_list(list, NULL), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(get_list(list, &n), CKR_BUFFER_TOO_SMALL); /* room for nothing is no question */
	CU_ASSERT_EQUAL(n, 4);
	n = 3;
	CU_ASSERT_EQUAL(get_list(list, &n), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(n, 4);
	CU_ASSERT_EQUAL(list[0].flags, 77);
	CU_ASSERT_EQUAL(get_list(list, &n), CKR_OK);
	CU_ASSERT_EQUAL(version_of(&list[0]), 0x0302);
	CU_ASSERT_EQUAL(atomic_load(&g->interfaces), 1); /* asked once, and remembered */
	after(g);
}

static void
test_what_is_offered(void)
{
	static const struct {
		int offer;
		unsigned count, versions[4];
	} cases[] = {
	    {GATEWAY_OFFERS_2_40, 1, {0x0228}},
	    {GATEWAY_OFFERS_3_0, 2, {0x0300, 0x0228}},
	    {GATEWAY_OFFERS_3_2, 3, {0x0302, 0x0300, 0x0228}},
	    {GATEWAY_OFFERS_3_1_TWICE_AND_3_9, 2, {0x0301, 0x0302}}, /* each once, and no more than we know */
	    {GATEWAY_OFFERS_4_0, 1, {0x0228}},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		struct gateway *g = before(cases[i].offer, "");

		CU_ASSERT_TRUE(offers(cases[i].count, cases[i].versions, 0));
		after(g);
	}
}

static void
test_asking_for_one(void)
{
	struct gateway *g = before(GATEWAY_OFFERS_3_0, "");
	CK_VERSION v3_2 = {3, 2}, v3_0 = {3, 0}, v1_0 = {1, 0};
	CK_INTERFACE *one = NULL;
	CK_FUNCTION_LIST_3_0 *list;

	CU_ASSERT_EQUAL(get_one(standard, &v3_0, NULL, 0), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(get_one(standard, &v3_2, &one, 0), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(get_one(other, NULL, &one, 0), CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(get_one(NULL, &v1_0, &one, 0), CKR_ARGUMENTS_BAD); /* ours is for who asks for it by name */
	CU_ASSERT_EQUAL(get_one(standard, NULL, &one, CKF_INTERFACE_FORK_SAFE), CKR_ARGUMENTS_BAD);
	CU_ASSERT_PTR_NULL(one);
	CU_ASSERT_EQUAL_FATAL(get_one(NULL, &v3_0, &one, 0), CKR_OK);
	list = one->pFunctionList;
	CU_ASSERT_EQUAL(list->C_SessionCancel(1, 0), CKR_CRYPTOKI_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(list->C_Initialize(NULL), CKR_OK);
	CU_ASSERT_EQUAL(list->C_SessionCancel(1, 0), CKR_OK);
	CU_ASSERT_EQUAL(list->C_Finalize(NULL), CKR_OK);
	after(g);
}

static void
test_fork_safe(void)
{
	static const unsigned versions[] = {0x0300, 0x0228};
	struct gateway *g = before(GATEWAY_OFFERS_3_0, "fork = inherit\n");
	CK_INTERFACE *one = NULL;

	CU_ASSERT_TRUE(offers(2, versions, CKF_INTERFACE_FORK_SAFE));
	CU_ASSERT_EQUAL(get_one(standard, NULL, &one, CKF_INTERFACE_FORK_SAFE), CKR_OK);
	after(g);
}

/* Within init-wait, and never longer than three seconds; then what every module has. */
static void
test_nobody_answers(void)
{
	static const unsigned versions[] = {0x0228};
	struct gateway *g = before(GATEWAY_OFFERS_NOTHING_YET, "init-wait = 1\n");
	uint64_t start = now_ms();

	CU_ASSERT_TRUE(offers(1, versions, 0));
	CU_ASSERT_TRUE(now_ms() - start >= 900 && now_ms() - start < 3000);
	CU_ASSERT_TRUE(atomic_load(&g->interfaces) > 1); /* it may only be starting */
	atomic_store(&g->offer, GATEWAY_OFFERS_3_2);
	start = now_ms();
	CU_ASSERT_TRUE(offers(1, versions, 0)); /* one process, one answer */
	CU_ASSERT_TRUE(now_ms() - start < 500);
	after(g);
	g = before(GATEWAY_OFFERS_3_2, "");
	gateway_stop(g);
	start = now_ms();
	CU_ASSERT_TRUE(offers(1, versions, 0));
	CU_ASSERT_TRUE(now_ms() - start < 6000);
	after(g);
	g = before(GATEWAY_OFFERS_3_2, "");
	CU_ASSERT_EQUAL(setenv("KANMON_CONFIG", "/nonexistent", 1), 0);
	CU_ASSERT_TRUE(offers(1, versions, 0));
	after(g);
}

static void
test_hostile_answers(void)
{
	static const unsigned versions[] = {0x0228};

	for (int offer = GATEWAY_OFFERS_HOSTILE; offer < GATEWAY_OFFERS_HOSTILE_END; offer++) {
		struct gateway *g = before(offer, "init-wait = 1\n");

		CU_ASSERT_TRUE(offers(1, versions, 0));
		after(g);
	}
}

static void
test_it_starts_late(void)
{
	static const unsigned versions[] = {0x0300, 0x0228};
	struct gateway *g = before(GATEWAY_OFFERS_NOTHING_YET, "");
	pid_t pid = fork();

	if (pid == 0) {
		pause_ms(300);
		atomic_store(&g->offer, GATEWAY_OFFERS_3_0);
		_exit(0);
	}
	CU_ASSERT_TRUE(offers(2, versions, 0));
	CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
	after(g);
}

static void *
ask(void *wrong)
{
	CK_ULONG n = 0;

	if (get_list(NULL, &n) != CKR_OK || n != 4)
		*(bool *)wrong = true;
	return NULL;
}

static void
test_threads_and_children(void)
{
	struct gateway *g = before(GATEWAY_OFFERS_3_2, "");
	bool wrong[8] = {false};
	pthread_t thread[8];
	int status = -1;
	pid_t pid;

	for (size_t i = 0; i < KMN_COUNT_OF(thread); i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, ask, &wrong[i]), 0);
	for (size_t i = 0; i < KMN_COUNT_OF(thread); i++) {
		CU_ASSERT_EQUAL(pthread_join(thread[i], NULL), 0);
		CU_ASSERT_FALSE(wrong[i]);
	}
	if ((pid = fork()) == 0) {
		(void)ask(&wrong[0]);
		_exit(wrong[0] ? 1 : 0);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	after(g);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"the list is asked for in two calls", test_two_calls},
	    {"offered is what the module has", test_what_is_offered},
	    {"one is asked for by name, version and flags", test_asking_for_one},
	    {"a client whose children inherit says so", test_fork_safe},
	    {"without an answer only 2.40 is offered, soon", test_nobody_answers},
	    {"an answer that is none is not taken", test_hostile_answers},
	    {"a module that is still being started is waited for", test_it_starts_late},
	    {"many threads and a child get one answer", test_threads_and_children},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"provider/interfaces", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
