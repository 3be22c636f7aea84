/* Operations of 3.0 and 3.2 in the worker: where they run, what ends them, what they may not disturb. */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/mock/mechanisms.h"
#include "tests/unit/hsm/host.h"
#include "tests/unit/run.h"

#define SLOT 11u
#define TEXT "0123456789abcdef"
#define TEXT_BYTES 16u

static CK_BYTE text[] = TEXT;

/* A worker with the lists of 3.2, two AES keys, and a session with the user logged in. */
static CK_SESSION_HANDLE
begin(struct host *h, const char *const *more)
{
	const char *rows[6] = {"KMN_MOCK_INTERFACES=3.2", "KMN_MOCK_SECRETS=2"};
	CK_SESSION_HANDLE s = 0;

	for (size_t i = 2; more != NULL && *more != NULL && i + 1 < KMN_COUNT_OF(rows); i++)
		rows[i] = *more++;
	host_start_mock(h, rows);
	CU_ASSERT_EQUAL(host_OpenSession(h, SLOT, CKF_RW_SESSION, &s), CKR_OK);
	CU_ASSERT_EQUAL(host_Login(h, s, CKU_USER, "1234"), CKR_OK);
	return s;
}

static CK_OBJECT_HANDLE
secret(struct host *h, CK_SESSION_HANDLE s, const char *label)
{
	char name[32];
	CK_ATTRIBUTE t = {CKA_LABEL, name, strlen(label)};
	CK_OBJECT_HANDLE found = 0;

	snprintf(name, sizeof(name), "%s", label);
	CU_ASSERT_EQUAL(host_find(h, s, &t, 1, &found, 1), 1);
	return found;
}

static CK_ULONG
vendor_sessions(struct host *h)
{
	CK_TOKEN_INFO info;

	CU_ASSERT_EQUAL(host_GetTokenInfo(h, SLOT, &info), CKR_OK);
	return info.ulSessionCount;
}

static CK_RV
init(struct host *h, enum kmn_call_id id, CK_SESSION_HANDLE s, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, bool side)
{
	CK_BYTE iv[16] = {1};
	CK_MECHANISM m = {type, NULL, 0};
	CK_RV rv;

	if (type == CKM_AES_CBC_PAD) {
		m.pParameter = iv;
		m.ulParameterLen = sizeof(iv);
	}
	h->flags = side ? KMN_WF_SIDE : 0;
	rv = HOST_CALL(h, id, HOST_SCALAR(s), HOST_OUT(&m), HOST_SCALAR(key));
	h->flags = 0;
	return rv;
}

static CK_RV
sign_message(struct host *h, CK_SESSION_HANDLE s)
{
	CK_BYTE signature[256];
	CK_ULONG n = sizeof(signature);

	return HOST_CALL(h, KMN_C_SignMessage, HOST_SCALAR(s), HOST_MESSAGE(CKM_SHA256_HMAC, NULL, 0),
	    HOST_SIZED(text, TEXT_BYTES), HOST_ROOM(signature, &n));
}

static CK_RV
cancel(struct host *h, CK_SESSION_HANDLE s, CK_FLAGS flags)
{
	return HOST_CALL(h, KMN_C_SessionCancel, HOST_SCALAR(s), HOST_SCALAR(flags));
}

/* Many messages in one side session, which goes with the operation. */
static void
test_message_side(void)
{
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;

	s = begin(&h, NULL);
	key = secret(&h, s, "secret-1");
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, key, true), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 2);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, key, true), CKR_OPERATION_ACTIVE);
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageVerifyInit, s, CKM_SHA256_HMAC, key, false), CKR_OK);
	CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_MessageSignFinal, HOST_SCALAR(s)), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 1);
	CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_MessageVerifyFinal, HOST_SCALAR(s)), CKR_OK);
	/* Dropped: gone, and another can begin. */
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, key, true), CKR_OK);
	host_drop(&h, s, KMN_OP_MESSAGE_SIGN);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 1);
	/* One of the session's own keeps a side one out. */
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, key, false), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, key, true), CKR_OPERATION_ACTIVE);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* The parameter of a message is for the mechanism that its operation has, or the module does not see it. */
static void
test_message_of_another_mechanism(void)
{
	CK_BYTE signature[64];
	CK_ULONG n = sizeof(signature);
	CK_SESSION_HANDLE s;
	struct host h;

	s = begin(&h, NULL);
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, secret(&h, s, "secret-1"), false), CKR_OK);
	CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignMessage, HOST_SCALAR(s), HOST_MESSAGE(CKM_ECDSA, NULL, 0),
			    HOST_SIZED(text, TEXT_BYTES), HOST_ROOM(signature, &n)),
	    CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(host_logged(&h, "C_SignMessage"), 0);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_OK);
	CU_ASSERT_EQUAL(host_logged(&h, "C_SignMessage"), 1);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* The module counts IVs, and writes more of a tag than there is: what was asked for comes back, in both messages. */
static void
test_message_cipher(void)
{
	static const char *const rows[] = {"KMN_MOCK_OVERRUN=params output", NULL};
	CK_BYTE iv[13] = {7}, tag[17] = {0}, box[32], back[32], saved[12];
	CK_GCM_MESSAGE_PARAMS p = {iv, 12, 8, CKG_GENERATE_COUNTER, tag, 128};
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;
	CK_ULONG n;

	s = begin(&h, rows);
	key = secret(&h, s, "secret-1");
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageEncryptInit, s, CKM_AES_GCM, key, false), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageDecryptInit, s, CKM_AES_GCM, key, true), CKR_OK);
	for (unsigned i = 1; i < 3; i++) {
		n = sizeof(box);
		CU_ASSERT_EQUAL(
		    HOST_CALL(&h, KMN_C_EncryptMessage, HOST_SCALAR(s), HOST_MESSAGE(CKM_AES_GCM, &p, sizeof(p)),
			HOST_SIZED(text, 3), HOST_SIZED(text, TEXT_BYTES), HOST_ROOM(box, &n)),
		    CKR_OK);
		CU_ASSERT_EQUAL(n, TEXT_BYTES);
		CU_ASSERT_TRUE(iv[0] == 7 && iv[11] == i && iv[12] == 0);
		CU_ASSERT_EQUAL(tag[16], 0);
		memcpy(saved, iv, sizeof(saved));
		n = sizeof(back);
		CU_ASSERT_EQUAL(
		    HOST_CALL(&h, KMN_C_DecryptMessage, HOST_SCALAR(s), HOST_MESSAGE(CKM_AES_GCM, &p, sizeof(p)),
			HOST_SIZED(text, 3), HOST_SIZED(box, TEXT_BYTES), HOST_ROOM(back, &n)),
		    CKR_OK);
		CU_ASSERT_EQUAL(memcmp(back, text, TEXT_BYTES), 0);
		CU_ASSERT_EQUAL(memcmp(iv, saved, sizeof(saved)), 0);
	}
	CU_ASSERT_EQUAL(vendor_sessions(&h), 2);
	CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_MessageDecryptFinal, HOST_SCALAR(s)), CKR_OK);
	CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_MessageEncryptFinal, HOST_SCALAR(s)), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 1);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_cancel(void)
{
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;

	s = begin(&h, NULL);
	key = secret(&h, s, "secret-1");
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, key, true), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, key, true), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_EncryptInit, s, CKM_AES_CBC_PAD, key, false), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 3);
	/* Another kind, in the session itself. */
	CU_ASSERT_EQUAL(cancel(&h, s, CKF_ENCRYPT), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_EncryptInit, s, CKM_AES_CBC_PAD, key, false), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 3);
	/* One in its side session alone: the session itself is not asked. */
	CU_ASSERT_EQUAL(cancel(&h, s, CKF_MESSAGE_SIGN), CKR_OK);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 2);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(host_logged(&h, "C_SessionCancel"), 2);
	/* One here and one there. */
	CU_ASSERT_EQUAL(cancel(&h, s, CKF_SIGN | CKF_ENCRYPT), CKR_OK);
	CU_ASSERT_EQUAL(host_logged(&h, "C_SessionCancel"), 4);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 1);
	CU_ASSERT_EQUAL(init(&h, KMN_C_EncryptInit, s, CKM_AES_CBC_PAD, key, false), CKR_OK);
	CU_ASSERT_EQUAL(cancel(&h, s + 1000, CKF_ENCRYPT), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* A module that cannot cancel says so, and the operation stays: here too. The keeper's drop ends it for sure. */
static void
test_cancel_fails(void)
{
	static const char *const sticky[] = {"KMN_MOCK_STICKY=1", NULL};
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;

	s = begin(&h, sticky);
	key = secret(&h, s, "secret-1");
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, key, true), CKR_OK);
	CU_ASSERT_EQUAL(cancel(&h, s, CKF_MESSAGE_SIGN), CKR_OPERATION_CANCEL_FAILED);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_OK);
	host_drop(&h, s, KMN_OP_MESSAGE_SIGN);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* Until the module is at it. */
static void
wait_for_signing(struct host *h)
{
	const struct timespec pause = {.tv_nsec = 5000000L};

	for (unsigned i = 0; i < 4000 && host_logged(h, "signing") == 0; i++)
		(void)nanosleep(&pause, NULL);
}

/* What is cancelled may be running: C_SessionCancel does not wait for it. */
static void
test_cancel_overtakes(void)
{
	static const char *const slow[] = {"KMN_MOCK_DELAY_MS=1000", NULL};
	struct kmn_response_view v;
	struct host h;
	CK_SESSION_HANDLE s;
	uint64_t signs, cancels;
	CK_FLAGS flags = CKF_SIGN;

	s = begin(&h, slow);
	CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, secret(&h, s, "secret-1"), true), CKR_OK);
	signs = host_send_sign(&h, s, TEXT);
	wait_for_signing(&h);
	cancels =
	    host_send_call(&h, KMN_C_SessionCancel, (const struct kmn_arg[]){HOST_SCALAR(s), HOST_SCALAR(flags)}, 2);
	CU_ASSERT_EQUAL(host_reply(&h, &v), cancels);
	CU_ASSERT_EQUAL(v.rv, CKR_OK);
	CU_ASSERT_EQUAL(host_reply(&h, &v), signs);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 1);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* C_SignEncryptUpdate and C_DecryptVerifyUpdate, wherever their operations are. */
static void
test_dual(void)
{
	static const bool sides[][2] = {{false, false}, {true, false}, {false, true}, {true, true}};
	CK_BYTE box[4][64], signature[4][64], back[64];
	CK_ULONG n, len[4], signature_len[4];
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;

	s = begin(&h, NULL);
	key = secret(&h, s, "secret-1");
	for (size_t i = 0; i < KMN_COUNT_OF(sides); i++) {
		CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, key, sides[i][0]), CKR_OK);
		CU_ASSERT_EQUAL(init(&h, KMN_C_EncryptInit, s, CKM_AES_CBC_PAD, key, sides[i][1]), CKR_OK);
		CU_ASSERT_EQUAL(vendor_sessions(&h), 1u + sides[i][0] + sides[i][1]);
		n = sizeof(box[i]);
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignEncryptUpdate, HOST_SCALAR(s), HOST_SIZED(text, TEXT_BYTES),
				    HOST_ROOM(NULL, &n)),
		    CKR_OK);
		CU_ASSERT_EQUAL(n, TEXT_BYTES);
		len[i] = sizeof(box[i]);
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignEncryptUpdate, HOST_SCALAR(s), HOST_SIZED(text, TEXT_BYTES),
				    HOST_ROOM(box[i], &len[i])),
		    CKR_OK);
		n = sizeof(box[i]) - len[i];
		CU_ASSERT_EQUAL(
		    HOST_CALL(&h, KMN_C_EncryptFinal, HOST_SCALAR(s), HOST_ROOM(box[i] + len[i], &n)), CKR_OK);
		len[i] += n;
		signature_len[i] = sizeof(signature[i]);
		CU_ASSERT_EQUAL(
		    HOST_CALL(&h, KMN_C_SignFinal, HOST_SCALAR(s), HOST_ROOM(signature[i], &signature_len[i])), CKR_OK);
		CU_ASSERT_EQUAL(vendor_sessions(&h), 1);
		CU_ASSERT_TRUE(len[i] == 32 && memcmp(box[i], box[0], 32) == 0);
		CU_ASSERT_TRUE(signature_len[i] == 32 && memcmp(signature[i], signature[0], 32) == 0);

		CU_ASSERT_EQUAL(init(&h, KMN_C_DecryptInit, s, CKM_AES_CBC_PAD, key, sides[i][0]), CKR_OK);
		CU_ASSERT_EQUAL(init(&h, KMN_C_VerifyInit, s, CKM_SHA256_HMAC, key, false), CKR_OK);
		n = sizeof(back);
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_DecryptVerifyUpdate, HOST_SCALAR(s), HOST_SIZED(box[i], len[i]),
				    HOST_ROOM(back, &n)),
		    CKR_OK);
		CU_ASSERT_TRUE(n == TEXT_BYTES && memcmp(back, text, n) == 0);
		n = sizeof(back);
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_DecryptFinal, HOST_SCALAR(s), HOST_ROOM(back, &n)), CKR_OK);
		CU_ASSERT_EQUAL(n, 0);
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_VerifyFinal, HOST_SCALAR(s), HOST_SIZED(signature[i], 32)), CKR_OK);
	}
	CU_ASSERT_EQUAL(host_logged(&h, "C_SignEncryptUpdate"), 2);
	CU_ASSERT_EQUAL(host_logged(&h, "C_DecryptVerifyUpdate"), 2);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* Too little room for the cipher's half: the other half has not seen the data. */
static void
test_dual_too_small(void)
{
	CK_BYTE box[64], signature[64];
	CK_ULONG n = TEXT_BYTES - 1;
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;

	s = begin(&h, NULL);
	key = secret(&h, s, "secret-1");
	CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, key, true), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_EncryptInit, s, CKM_AES_CBC_PAD, key, false), CKR_OK);
	CU_ASSERT_EQUAL(
	    HOST_CALL(&h, KMN_C_SignEncryptUpdate, HOST_SCALAR(s), HOST_SIZED(text, TEXT_BYTES), HOST_ROOM(box, &n)),
	    CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(n, TEXT_BYTES);
	CU_ASSERT_EQUAL(host_logged(&h, "C_SignUpdate"), 0);
	n = sizeof(signature);
	CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignFinal, HOST_SCALAR(s), HOST_ROOM(signature, &n)), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_verify_signature(void)
{
	CK_MECHANISM m = {CKM_SHA256_HMAC, NULL, 0};
	CK_BYTE signature[64];
	CK_ULONG n = sizeof(signature);
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;

	s = begin(&h, NULL);
	key = secret(&h, s, "secret-1");
	CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, key, false), CKR_OK);
	CU_ASSERT_EQUAL(host_Sign(&h, s, TEXT, signature, &n), CKR_OK);
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_VerifySignatureInit, HOST_SCALAR(s), HOST_OUT(&m), HOST_SCALAR(key),
				    HOST_SIZED(signature, n)),
		    CKR_OK);
		CU_ASSERT_EQUAL(
		    HOST_CALL(&h, KMN_C_VerifySignatureUpdate, HOST_SCALAR(s), HOST_SIZED(text, TEXT_BYTES)), CKR_OK);
		if (i == 1)
			CU_ASSERT_EQUAL(
			    HOST_CALL(&h, KMN_C_VerifySignatureUpdate, HOST_SCALAR(s), HOST_SIZED(text, 1)), CKR_OK);
		CU_ASSERT_EQUAL(
		    HOST_CALL(&h, KMN_C_VerifySignatureFinal, HOST_SCALAR(s)), i == 0 ? CKR_OK : CKR_SIGNATURE_INVALID);
		CU_ASSERT_EQUAL(
		    HOST_CALL(&h, KMN_C_VerifySignatureFinal, HOST_SCALAR(s)), CKR_OPERATION_NOT_INITIALIZED);
	}
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* A side session counts against the module's limit, and is refused with the module's own word. */
static void
test_session_limit(void)
{
	static const char *const two[] = {"KMN_MOCK_SESSIONS=2", NULL};
	CK_SESSION_HANDLE s, other;
	CK_OBJECT_HANDLE key;
	struct host h;

	s = begin(&h, two);
	key = secret(&h, s, "secret-1");
	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &other), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, key, true), CKR_SESSION_COUNT);
	CU_ASSERT_EQUAL(host_CloseSession(&h, other), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, key, true), CKR_OK);
	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &other), CKR_SESSION_COUNT);
	host_drop(&h, s, KMN_OP_SIGN);
	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &other), CKR_OK);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* Every session of the slot is closed while the module signs. */
static void
test_closed_under_a_call(void)
{
	static const char *const slow[] = {"KMN_MOCK_DELAY_MS=200", NULL};
	CK_BYTE flat[] = "flat bytes";
	CK_MECHANISM m = {CKM_MOCK_FLAT, flat, sizeof(flat)};
	struct kmn_response_view v;
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;
	uint64_t signs;

	for (unsigned i = 0; i < 2; i++) {
		s = begin(&h, slow);
		key = secret(&h, s, "secret-1");
		h.flags = i == 0 ? KMN_WF_SIDE : 0;
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignInit, HOST_SCALAR(s), HOST_OUT(&m), HOST_SCALAR(key)), CKR_OK);
		h.flags = 0;
		signs = host_send_sign(&h, s, TEXT);
		wait_for_signing(&h);
		CU_ASSERT_EQUAL(host_CloseAllSessions(&h, SLOT), CKR_OK);
		CU_ASSERT_EQUAL(host_reply(&h, &v), signs);
		CU_ASSERT_EQUAL(vendor_sessions(&h), 0);
		CU_ASSERT_EQUAL(host_CloseSession(&h, s), CKR_SESSION_HANDLE_INVALID);
		CU_ASSERT_EQUAL(host_end(&h), 0);
	}
}

static void
append(const char *path, const char *line)
{
	FILE *f = fopen(path, "a");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fprintf(f, "%s\n", line);
	fclose(f);
}

/* A worker that watches tells each event once, and ends at once though the module blocks. */
static void
test_watch(void)
{
	char path[] = "/tmp/kanmon-events-XXXXXX", row[64];
	const char *const rows[] = {"KMN_MOCK_SLOTS=2", row, NULL};
	const struct kmn_worker_setup setup = {.watching = true};
	int fd = mkstemp(path);
	CK_SLOT_ID slot;
	struct host h;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	close(fd);
	snprintf(row, sizeof(row), "KMN_MOCK_EVENTS=%s", path);
	host_start_mock_as(&h, &setup, rows);
	append(path, "22 out");
	CU_ASSERT_EQUAL(host_event(&h, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot, 22);
	append(path, "22 in");
	append(path, "11 out");
	CU_ASSERT_EQUAL(host_event(&h, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot, 22);
	CU_ASSERT_EQUAL(host_event(&h, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot, 11);
	CU_ASSERT_EQUAL(host_end(&h), 0);
	unlink(path);
}

/* Four sessions at once, and never two calls in the module together. */
static void
test_serial(void)
{
	static const char *const rows[] = {"KMN_MOCK_SERIAL=1", "KMN_MOCK_SECRETS=1", "KMN_MOCK_DELAY_MS=20", NULL};
	for (unsigned i = 0; i < 2; i++) {
		const struct kmn_worker_setup setup = {.module = {.serial = i == 0}};
		struct kmn_response_view v;
		CK_SESSION_HANDLE s[4];
		struct host h;

		host_start_mock_as(&h, &setup, rows);
		for (size_t k = 0; k < KMN_COUNT_OF(s); k++) {
			CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &s[k]), CKR_OK);
			CU_ASSERT_EQUAL(
			    init(&h, KMN_C_SignInit, s[k], CKM_SHA256_HMAC, secret(&h, s[k], "secret-1"), k % 2 == 0),
			    CKR_OK);
		}
		for (size_t k = 0; k < KMN_COUNT_OF(s); k++)
			(void)host_send_sign(&h, s[k], TEXT);
		for (size_t k = 0; k < KMN_COUNT_OF(s); k++)
			(void)host_reply(&h, &v);
		CU_ASSERT_EQUAL(host_logged(&h, "overlap") == 0, i == 0);
		CU_ASSERT_EQUAL(host_logged(&h, "C_Sign"), 4);
		CU_ASSERT_EQUAL(host_end(&h), 0);
	}
}

/* The device loses all sessions, as one that drops idle ones does while custodians think. */
static void
lose_sessions(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	close(fd);
}

static void
name_drop_file(char path[64], char row[96])
{
	snprintf(path, 64, "/tmp/kanmon-drop-XXXXXX");
	close(mkstemp(path));
	unlink(path);
	snprintf(row, 96, "KMN_MOCK_DROP=%s", path);
}

static void
test_dropped_while_waiting(void)
{
	char path[64], row[96];
	const char *const rows[] = {"KMN_MOCK_SECRETS=1", row, NULL};
	CK_BYTE signature[2][64];
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	struct host h;

	name_drop_file(path, row);
	for (unsigned i = 0; i < 2; i++) {
		CK_ULONG n = sizeof(signature[i]);

		host_start_mock(&h, rows);
		CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &s), CKR_OK);
		key = secret(&h, s, "secret-1");
		CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, key, true), CKR_OK);
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignUpdate, HOST_SCALAR(s), HOST_SIZED(text, 5)), CKR_OK);
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignUpdate, HOST_SCALAR(s), HOST_SIZED(text + 5, 5)), CKR_OK);
		if (i == 1)
			lose_sessions(path);
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignFinal, HOST_SCALAR(s), HOST_ROOM(signature[i], &n)), CKR_OK);
		CU_ASSERT_EQUAL(n, 32);
		CU_ASSERT_EQUAL(host_logged(&h, "C_SignInit"), i + 1);
		CU_ASSERT_EQUAL(host_logged(&h, "C_SignUpdate"), 2 * (i + 1));
		CU_ASSERT_EQUAL(HOST_CALL(&h, KMN_C_SignFinal, HOST_SCALAR(s), HOST_ROOM(signature[i], &n)),
		    i == 0 ? CKR_OPERATION_NOT_INITIALIZED : CKR_SESSION_HANDLE_INVALID);
		CU_ASSERT_EQUAL(host_end(&h), 0);
	}
	CU_ASSERT_EQUAL(memcmp(signature[0], signature[1], 32), 0);
}

/* Once something came out it cannot be made again: the module's word is the answer. */
static void
test_dropped_after_output(void)
{
	char path[64], row[96];
	const char *const rows[] = {"KMN_MOCK_SECRETS=1", row, NULL};
	CK_BYTE box[48] = {0}, out[64];
	CK_ULONG n = sizeof(out);
	CK_SESSION_HANDLE s;
	struct host h;

	name_drop_file(path, row);
	host_start_mock(&h, rows);
	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &s), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_DecryptInit, s, CKM_AES_CBC_PAD, secret(&h, s, "secret-1"), true), CKR_OK);
	CU_ASSERT_EQUAL(
	    HOST_CALL(&h, KMN_C_DecryptUpdate, HOST_SCALAR(s), HOST_SIZED(box, sizeof(box)), HOST_ROOM(out, &n)),
	    CKR_OK);
	CU_ASSERT_EQUAL(n, 32);
	lose_sessions(path);
	n = sizeof(out);
	CU_ASSERT_EQUAL(
	    HOST_CALL(&h, KMN_C_DecryptFinal, HOST_SCALAR(s), HOST_ROOM(out, &n)), CKR_SESSION_HANDLE_INVALID);
	CU_ASSERT_EQUAL(host_logged(&h, "C_DecryptInit"), 1);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* Better: it is spoken to now and then, and not dropped. */
static void
test_kept_warm(void)
{
	static const char *const rows[] = {"KMN_MOCK_SECRETS=1", NULL};
	const struct kmn_worker_setup setup = {.keep_warm_ms = 20};
	const struct timespec pause = {.tv_nsec = 10000000L};
	CK_BYTE signature[64];
	CK_ULONG n = sizeof(signature);
	CK_SESSION_HANDLE s;
	struct host h;

	host_start_mock_as(&h, &setup, rows);
	CU_ASSERT_EQUAL(host_OpenSession(&h, SLOT, 0, &s), CKR_OK);
	CU_ASSERT_EQUAL(init(&h, KMN_C_SignInit, s, CKM_SHA256_HMAC, secret(&h, s, "secret-1"), true), CKR_OK);
	for (unsigned i = 0; i < 1000 && host_logged(&h, "C_GetSessionInfo") < 3; i++)
		(void)nanosleep(&pause, NULL);
	CU_ASSERT_TRUE(host_logged(&h, "C_GetSessionInfo") >= 3);
	CU_ASSERT_EQUAL(host_Sign(&h, s, TEXT, signature, &n), CKR_OK);
	CU_ASSERT_EQUAL(host_logged(&h, "C_SignInit"), 1);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* A module of 2.40 has none of these functions. */
static void
test_old_module(void)
{
	static const char *const old[] = {"KMN_MOCK_INTERFACES=2.40", NULL};
	CK_SESSION_HANDLE s;
	struct host h;

	s = begin(&h, old);
	CU_ASSERT_EQUAL(cancel(&h, s, CKF_SIGN), CKR_FUNCTION_NOT_SUPPORTED);
	CU_ASSERT_EQUAL(sign_message(&h, s), CKR_FUNCTION_NOT_SUPPORTED);
	CU_ASSERT_EQUAL(init(&h, KMN_C_MessageSignInit, s, CKM_SHA256_HMAC, secret(&h, s, "secret-1"), true),
	    CKR_FUNCTION_NOT_SUPPORTED);
	CU_ASSERT_EQUAL(vendor_sessions(&h), 1);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static CU_TestInfo tests[] = {
    {"messages are signed in one side session", test_message_side},
    {"a message's parameter for another mechanism does not reach the module", test_message_of_another_mechanism},
    {"messages are encrypted beside those that are decrypted in a side session", test_message_cipher},
    {"C_SessionCancel goes where the operation is", test_cancel},
    {"an operation that the module cannot cancel stays, until it is dropped", test_cancel_fails},
    {"C_SessionCancel does not wait for what it cancels", test_cancel_overtakes},
    {"dual functions over side sessions give what one session gives", test_dual},
    {"a dual function without room does nothing", test_dual_too_small},
    {"signature-first verification", test_verify_signature},
    {"side sessions count against the module's limit", test_session_limit},
    {"sessions closed while the module signs in them", test_closed_under_a_call},
    {"slot events are told by a worker that watches", test_watch},
    {"a module that is not safe with threads gets one call at a time", test_serial},
    {"an operation whose session was dropped is begun again", test_dropped_while_waiting},
    {"but not once something came out of it", test_dropped_after_output},
    {"a session that waits is kept warm", test_kept_warm},
    {"functions that the module does not have", test_old_module},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{.pName = "hsm/operations", .pTests = tests}, CU_SUITE_INFO_NULL};

	alarm(300);
	return kmn_test_main(argc, argv, suites);
}
