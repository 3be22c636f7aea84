/* What the provider remembers of its sessions: by what the operations on messages were begun. */
#include "config.h"

#include "provider/sessions.h"
#include "tests/unit/run.h"

#include <CUnit/CUnit.h>

static struct kmn_sessions known;
static CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0}, ccm = {CKM_AES_CCM, NULL, 0};

static void
setup(void)
{
	kmn_sessions_init(&known);
}

static void
teardown(void)
{
	kmn_sessions_clear(&known);
}

/* A call of two scalars or a scalar and a pointer went by with that result. */
static void
learn(enum kmn_call_id id, CK_ULONG first, CK_ULONG second, void *pointer, CK_RV rv)
{
	struct kmn_arg arg[KMN_CALL_ARGS_MAX] = {{.u = first}, {.u = second, .p = pointer}};

	kmn_sessions_learn(&known, id, arg, rv);
}

static void
open_session(CK_SLOT_ID slot, CK_SESSION_HANDLE session)
{
	struct kmn_arg arg[] = {{.u = slot}, {.u = CKF_SERIAL_SESSION}, {.p = NULL}, {.p = &session}};

	kmn_sessions_learn(&known, KMN_C_OpenSession, arg, CKR_OK);
}

/* With what a message of that function would go out. */
static CK_MECHANISM_TYPE
of(enum kmn_call_id id, CK_SESSION_HANDLE session)
{
	struct kmn_arg arg[KMN_CALL_ARGS_MAX] = {{.u = session}, {.type = CK_UNAVAILABLE_INFORMATION}};

	kmn_sessions_fill(&known, id, arg);
	return arg[1].type;
}

#define NONE CK_UNAVAILABLE_INFORMATION

static void
test_begun_and_ended(void)
{
	open_session(1, 7);
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 7), NONE);
	learn(KMN_C_MessageEncryptInit, 7, 0, &gcm, CKR_OK);
	learn(KMN_C_MessageDecryptInit, 7, 0, &ccm, CKR_OK);
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 7), CKM_AES_GCM);
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessageNext, 7), CKM_AES_GCM);
	CU_ASSERT_EQUAL(of(KMN_C_DecryptMessageBegin, 7), CKM_AES_CCM);
	CU_ASSERT_EQUAL(of(KMN_C_SignMessage, 7), NONE);
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 8), NONE);
	learn(KMN_C_MessageEncryptInit, 7, 0, &ccm, CKR_OPERATION_ACTIVE); /* the first goes on */
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 7), CKM_AES_GCM);
	learn(KMN_C_EncryptMessage, 7, 0, NULL, CKR_OK); /* one of many */
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 7), CKM_AES_GCM);
	learn(KMN_C_MessageEncryptFinal, 7, 0, NULL, CKR_OK);
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 7), NONE);
	CU_ASSERT_EQUAL(of(KMN_C_DecryptMessage, 7), CKM_AES_CCM);
	learn(KMN_C_MessageDecryptInit, 7, 0, NULL, CKR_OK); /* cancels */
	CU_ASSERT_EQUAL(of(KMN_C_DecryptMessage, 7), NONE);
}

static void
test_cancelled(void)
{
	learn(KMN_C_MessageSignInit, 3, 0, &gcm, CKR_OK);
	learn(KMN_C_MessageVerifyInit, 3, 0, &gcm, CKR_OK);
	learn(KMN_C_SessionCancel, 3, CKF_MESSAGE_SIGN, NULL, CKR_OPERATION_CANCEL_FAILED);
	CU_ASSERT_EQUAL(of(KMN_C_SignMessage, 3), CKM_AES_GCM);
	learn(KMN_C_SessionCancel, 3, CKF_MESSAGE_SIGN | CKF_SIGN, NULL, CKR_OK);
	CU_ASSERT_EQUAL(of(KMN_C_SignMessage, 3), NONE);
	CU_ASSERT_EQUAL(of(KMN_C_VerifyMessage, 3), CKM_AES_GCM);
}

static void
test_closed(void)
{
	for (CK_SESSION_HANDLE s = 1; s <= 1000; s++) { /* many to a chain */
		open_session(s % 2, s);
		learn(KMN_C_MessageEncryptInit, s, 0, &gcm, CKR_OK);
	}
	learn(KMN_C_CloseSession, 500, 0, NULL, CKR_OK);
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 500), NONE);
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 500 + KMN_SESSION_BUCKETS), CKM_AES_GCM);
	learn(KMN_C_CloseAllSessions, 1, 0, NULL, CKR_SLOT_ID_INVALID);
	CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, 999), CKM_AES_GCM);
	learn(KMN_C_CloseAllSessions, 1, 0, NULL, CKR_OK);
	for (CK_SESSION_HANDLE s = 1; s <= 1000; s++)
		CU_ASSERT_EQUAL(of(KMN_C_EncryptMessage, s), s % 2 == 0 && s != 500 ? CKM_AES_GCM : NONE);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"what began it is known until it ends", test_begun_and_ended},
	    {"C_SessionCancel ends what it names", test_cancelled},
	    {"closed sessions are forgotten, one or a slot of them", test_closed},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"provider/sessions", NULL, NULL, setup, teardown, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
