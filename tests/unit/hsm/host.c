#include "config.h"

#include "tests/unit/hsm/host.h"

#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/roles.h"
#include "kanmon/say.h"
#include "tests/unit/run.h"

/* ---- the process ---- */

static _Noreturn void
child(const struct kmn_worker_setup *setup, const char *const *environment)
{
	for (; environment != NULL && *environment != NULL; environment++) {
		char *row = strdup(*environment), *value = strchr(row, '=');

		*value = '\0';
		setenv(row, value + 1, 1);
		free(row);
	}
	/* What it says of hostile messages would fill the test's log; sanitizers have their own way to stderr. */
	kmn_say_init("worker", open("/dev/null", O_WRONLY | O_CLOEXEC), KMN_SAY_ERROR);
	exit(kmn_worker_main(setup));
}

static void
read_ready(struct host *h)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;

	h->ready = CKR_GENERAL_ERROR;
	CU_ASSERT_TRUE_FATAL(host_receive(h, &m));
	CU_ASSERT_EQUAL_FATAL(m.kind, KMN_W_READY);
	kmn_reader_init(&r, m.body, m.len_bytes);
	h->ready = (CK_RV)kmn_reader_u64(&r);
	h->cryptoki = kmn_reader_u16(&r);
	kmn_reader_text(&r, h->manufacturer, sizeof(h->manufacturer));
	kmn_reader_text(&r, h->description, sizeof(h->description));
	h->library = kmn_reader_u16(&r);
	h->lists = kmn_reader_u8(&r);
	for (size_t i = 0; i < h->lists && i < KMN_COUNT_OF(h->list); i++) {
		h->list[i].version = kmn_reader_u16(&r);
		h->list[i].flags = kmn_reader_u64(&r);
	}
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
}

static void
start(struct host *h, const struct kmn_worker_setup *wanted, const char *const *environment)
{
	struct kmn_worker_setup setup = *wanted;
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fflush(NULL);
	h->pid = fork();
	CU_ASSERT_TRUE_FATAL(h->pid >= 0);
	if (h->pid == 0) {
		close(pair[0]);
		setup.keeper = pair[1];
		setup.module.name = "test";
		child(&setup, environment);
	}
	close(pair[1]);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 0, &h->ipc), KMN_OK);
	read_ready(h);
}

void
host_start(struct host *h, const char *module, const char *init_args, const char *const *environment)
{
	const struct kmn_worker_setup setup = {.module = {.path = module, .init_args = init_args}};

	memset(h, 0, sizeof(*h));
	start(h, &setup, environment);
}

void
host_start_mock(struct host *h, const char *const *environment)
{
	const struct kmn_worker_setup setup = {.first_handle = 0};

	host_start_mock_as(h, &setup, environment);
}

void
host_start_mock_as(struct host *h, const struct kmn_worker_setup *wanted, const char *const *environment)
{
	struct kmn_worker_setup setup = *wanted;
	const char *rows[8] = {NULL};
	char log[160];
	size_t n = 0;

	memset(h, 0, sizeof(*h));
	snprintf(h->dir, sizeof(h->dir), "/tmp/kanmon-hsm-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(h->dir));
	snprintf(h->log, sizeof(h->log), "%s/log", h->dir);
	snprintf(log, sizeof(log), "KMN_MOCK_LOG=%s", h->log);
	rows[n++] = log;
	for (; environment != NULL && *environment != NULL && n + 1 < KMN_COUNT_OF(rows); environment++)
		rows[n++] = *environment;
	setup.module.path = HOST_MOCK;
	start(h, &setup, rows);
}

int
host_wait(struct host *h)
{
	struct timespec pause = {.tv_nsec = 5000000L};
	int status = 0;

	for (unsigned i = 0; i < HOST_WAIT_MS / 5; i++) {
		if (waitpid(h->pid, &status, WNOHANG) == h->pid) {
			h->pid = -1;
			return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
		}
		(void)nanosleep(&pause, NULL);
	}
	CU_FAIL("the worker does not end");
	(void)kill(h->pid, SIGKILL);
	(void)waitpid(h->pid, &status, 0);
	return -1000;
}

int
host_end(struct host *h)
{
	int status;

	kmn_ipc_free(h->ipc);
	h->ipc = NULL;
	status = h->pid > 0 ? host_wait(h) : 0;
	if (h->log[0] != '\0')
		(void)unlink(h->log);
	if (h->dir[0] != '\0')
		(void)rmdir(h->dir);
	return status;
}

unsigned
host_logged(const struct host *h, const char *function)
{
	FILE *f = fopen(h->log, "r");
	char line[256];
	unsigned n = 0;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, function, strlen(function)) == 0 && line[strlen(function)] == ' ')
			n++;
	if (f != NULL)
		fclose(f);
	return n;
}

/* ---- messages ---- */

void
host_send(struct host *h, uint8_t kind, struct kmn_writer *body)
{
	CU_ASSERT_EQUAL(kmn_ipc_send_writer(h->ipc, kind, body), KMN_OK);
	kmn_writer_clear(body);
}

uint64_t
host_send_call(struct host *h, enum kmn_call_id id, const struct kmn_arg *arg, size_t count)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u64(&w, ++h->tag);
	kmn_writer_u8(&w, h->flags);
	CU_ASSERT_EQUAL(kmn_request_encode(id, arg, count, &w), KMN_OK);
	host_send(h, KMN_W_CALL, &w);
	return h->tag;
}

bool
host_receive(struct host *h, struct kmn_ipc_message *m)
{
	struct pollfd p = {.fd = kmn_ipc_fd(h->ipc), .events = POLLIN};
	kmn_err e;

	while ((e = kmn_ipc_poll(h->ipc, m)) == KMN_E_AGAIN)
		if (poll(&p, 1, HOST_WAIT_MS) != 1) {
			CU_FAIL("the worker does not answer");
			return false;
		}
	return e == KMN_OK;
}

uint64_t
host_reply(struct host *h, struct kmn_response_view *v)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;
	const uint8_t *payload;
	uint64_t tag;
	size_t n;

	CU_ASSERT_TRUE_FATAL(host_receive(h, &m));
	CU_ASSERT_EQUAL(m.kind, KMN_W_REPLY);
	kmn_reader_init(&r, m.body, m.len_bytes);
	tag = kmn_reader_u64(&r);
	n = kmn_reader_rest(&r, &payload);
	CU_ASSERT_EQUAL(kmn_response_view_decode(payload, n, v), KMN_OK);
	return tag;
}

/* Waits for the answer with the last tag; gives a reader behind it. */
static bool
answer(struct host *h, uint8_t kind, struct kmn_reader *r)
{
	struct kmn_ipc_message m;

	if (!host_receive(h, &m)) {
		CU_FAIL("the worker is gone");
		return false;
	}
	CU_ASSERT_EQUAL(m.kind, kind);
	kmn_reader_init(r, m.body, m.len_bytes);
	CU_ASSERT_EQUAL(kmn_reader_u64(r), h->tag);
	return m.kind == kind;
}

CK_RV
host_call(struct host *h, enum kmn_call_id id, const struct kmn_arg *arg, size_t count)
{
	CK_RV rv = CKR_GENERAL_ERROR;
	const uint8_t *payload;
	struct kmn_reader r;
	size_t n;

	(void)host_send_call(h, id, arg, count);
	if (!answer(h, KMN_W_REPLY, &r))
		return rv;
	n = kmn_reader_rest(&r, &payload);
	CU_ASSERT_EQUAL(kmn_response_decode(id, arg, count, payload, n, &rv), KMN_OK);
	return rv;
}

static CK_RV
described(struct host *h, struct kmn_key_facts *facts)
{
	struct kmn_reader r;
	CK_RV rv;

	memset(facts, 0, sizeof(*facts));
	if (!answer(h, KMN_W_DESCRIPTION, &r))
		return CKR_GENERAL_ERROR;
	rv = (CK_RV)kmn_reader_u64(&r);
	if (rv == CKR_OK)
		kmn_key_facts_get(&r, facts);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	return rv;
}

CK_RV
host_describe(struct host *h, uint64_t session, uint64_t object, struct kmn_key_facts *facts)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, ++h->tag);
	kmn_writer_u64(&w, session);
	kmn_writer_u64(&w, object);
	host_send(h, KMN_W_DESCRIBE, &w);
	return described(h, facts);
}

CK_RV
host_find_key(struct host *h, const char *token, const char *label, const char *id, struct kmn_key_facts *facts)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 1024);
	kmn_writer_u64(&w, ++h->tag);
	kmn_writer_text(&w, token);
	kmn_writer_text(&w, label);
	kmn_writer_text(&w, id);
	host_send(h, KMN_W_FIND_KEY, &w);
	return described(h, facts);
}

void
host_drop(struct host *h, uint64_t session, uint32_t kind)
{
	struct kmn_reader r;
	struct kmn_writer w;

	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, ++h->tag);
	kmn_writer_u64(&w, session);
	kmn_writer_u32(&w, kind);
	host_send(h, KMN_W_DROP, &w);
	if (answer(h, KMN_W_REPLY, &r))
		CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
}

CK_RV
host_alias(struct host *h, uint64_t old, uint64_t now)
{
	CK_RV rv = CKR_GENERAL_ERROR;
	struct kmn_reader r;
	struct kmn_writer w;

	kmn_writer_init(&w, 64);
	kmn_writer_u64(&w, ++h->tag);
	kmn_writer_u64(&w, old);
	kmn_writer_u64(&w, now);
	host_send(h, KMN_W_ALIAS, &w);
	if (answer(h, KMN_W_ALIASED, &r)) {
		rv = (CK_RV)kmn_reader_u64(&r);
		CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	}
	return rv;
}

CK_RV
host_event(struct host *h, CK_SLOT_ID *slot)
{
	CK_RV rv = CKR_GENERAL_ERROR;
	struct kmn_ipc_message m;
	struct kmn_reader r;

	CU_ASSERT_TRUE_FATAL(host_receive(h, &m));
	CU_ASSERT_EQUAL(m.kind, KMN_W_EVENT);
	kmn_reader_init(&r, m.body, m.len_bytes);
	rv = (CK_RV)kmn_reader_u64(&r);
	*slot = (CK_SLOT_ID)kmn_reader_u64(&r);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	return rv;
}

/* ---- calls ---- */

/* Text as the bytes of an argument: PKCS#11 has no const. */
static void *
bytes(const char *text)
{
	union {
		const char *text;
		void *bytes;
	} u = {.text = text};

	return u.bytes;
}

CK_RV
host_OpenSession(struct host *h, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *session)
{
	return HOST_CALL(h, KMN_C_OpenSession, HOST_SCALAR(slot), HOST_SCALAR(flags | CKF_SERIAL_SESSION),
	    HOST_OUT(NULL), HOST_OUT(session));
}

CK_RV
host_CloseSession(struct host *h, CK_SESSION_HANDLE session)
{
	return HOST_CALL(h, KMN_C_CloseSession, HOST_SCALAR(session));
}

CK_RV
host_CloseAllSessions(struct host *h, CK_SLOT_ID slot)
{
	return HOST_CALL(h, KMN_C_CloseAllSessions, HOST_SCALAR(slot));
}

CK_RV
host_Login(struct host *h, CK_SESSION_HANDLE session, CK_USER_TYPE user, const char *pin)
{
	return HOST_CALL(
	    h, KMN_C_Login, HOST_SCALAR(session), HOST_SCALAR(user), HOST_SIZED(bytes(pin), (CK_ULONG)strlen(pin)));
}

CK_RV
host_Logout(struct host *h, CK_SESSION_HANDLE session)
{
	return HOST_CALL(h, KMN_C_Logout, HOST_SCALAR(session));
}

CK_RV
host_InitToken(struct host *h, CK_SLOT_ID slot, const char *pin, const char *label)
{
	CK_UTF8CHAR padded[32];

	memset(padded, ' ', sizeof(padded));
	memcpy(padded, label, strlen(label));
	return HOST_CALL(
	    h, KMN_C_InitToken, HOST_SCALAR(slot), HOST_SIZED(bytes(pin), (CK_ULONG)strlen(pin)), HOST_OUT(padded));
}

CK_RV
host_InitPIN(struct host *h, CK_SESSION_HANDLE session, const char *pin)
{
	return HOST_CALL(h, KMN_C_InitPIN, HOST_SCALAR(session), HOST_SIZED(bytes(pin), (CK_ULONG)strlen(pin)));
}

CK_RV
host_GetSlotList(struct host *h, CK_SLOT_ID *slots, CK_ULONG *count)
{
	return HOST_CALL(h, KMN_C_GetSlotList, HOST_SCALAR(CK_TRUE), HOST_ROOM(slots, count));
}

CK_RV
host_GetTokenInfo(struct host *h, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	return HOST_CALL(h, KMN_C_GetTokenInfo, HOST_SCALAR(slot), HOST_OUT(info));
}

CK_RV
host_CreateObject(struct host *h, CK_SESSION_HANDLE session, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o)
{
	return HOST_CALL(h, KMN_C_CreateObject, HOST_SCALAR(session), HOST_SIZED(t, n), HOST_OUT(o));
}

CK_RV
host_DestroyObject(struct host *h, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	return HOST_CALL(h, KMN_C_DestroyObject, HOST_SCALAR(session), HOST_SCALAR(object));
}

CK_RV
host_GetAttributeValue(struct host *h, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t, CK_ULONG n)
{
	return HOST_CALL(h, KMN_C_GetAttributeValue, HOST_SCALAR(session), HOST_SCALAR(object), HOST_SIZED(t, n));
}

size_t
host_find(struct host *h, CK_SESSION_HANDLE session, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out, CK_ULONG max)
{
	CK_ULONG found = 0;

	CU_ASSERT_EQUAL(HOST_CALL(h, KMN_C_FindObjectsInit, HOST_SCALAR(session), HOST_SIZED(t, n)), CKR_OK);
	CU_ASSERT_EQUAL(
	    HOST_CALL(h, KMN_C_FindObjects, HOST_SCALAR(session), {.p = out, .u = max, .n = &found}), CKR_OK);
	CU_ASSERT_EQUAL(HOST_CALL(h, KMN_C_FindObjectsFinal, HOST_SCALAR(session)), CKR_OK);
	return found;
}

CK_RV
host_SignInit(struct host *h, CK_SESSION_HANDLE session, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = {type, NULL, 0};

	return HOST_CALL(h, KMN_C_SignInit, HOST_SCALAR(session), HOST_OUT(&mechanism), HOST_SCALAR(key));
}

CK_RV
host_Sign(struct host *h, CK_SESSION_HANDLE session, const char *data, CK_BYTE *signature, CK_ULONG *len)
{
	return HOST_CALL(h, KMN_C_Sign, HOST_SCALAR(session), HOST_SIZED(bytes(data), (CK_ULONG)strlen(data)),
	    HOST_ROOM(signature, len));
}

uint64_t
host_send_sign(struct host *h, CK_SESSION_HANDLE session, const char *data)
{
	CK_BYTE signature[1024];
	CK_ULONG len = sizeof(signature);
	const struct kmn_arg arg[] = {
	    HOST_SCALAR(session), HOST_SIZED(bytes(data), (CK_ULONG)strlen(data)), HOST_ROOM(signature, &len)};

	return host_send_call(h, KMN_C_Sign, arg, KMN_COUNT_OF(arg));
}

/* ---- keys ---- */

static CK_RV
generate(struct host *h, CK_SESSION_HANDLE session, CK_MECHANISM_TYPE type, CK_ATTRIBUTE special, const char *label,
    bool on_token, struct host_pair *pair)
{
	CK_BBOOL token = on_token ? CK_TRUE : CK_FALSE, yes = CK_TRUE;
	CK_MECHANISM mechanism = {type, NULL, 0};
	char id[64];
	int id_len = snprintf(id, sizeof(id), "id-%s", label);
	CK_ATTRIBUTE public[] = {{CKA_TOKEN, &token, 1}, {CKA_LABEL, bytes(label), (CK_ULONG)strlen(label)},
	    {CKA_ID, id, (CK_ULONG)id_len}, {CKA_VERIFY, &yes, 1}, special};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &token, 1}, {CKA_LABEL, bytes(label), (CK_ULONG)strlen(label)},
	    {CKA_ID, id, (CK_ULONG)id_len}, {CKA_SIGN, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_PRIVATE, &yes, 1}};

	return HOST_CALL(h, KMN_C_GenerateKeyPair, HOST_SCALAR(session), HOST_OUT(&mechanism),
	    HOST_SIZED(public, KMN_COUNT_OF(public)), HOST_SIZED(private, KMN_COUNT_OF(private)),
	    HOST_OUT(&pair->public), HOST_OUT(&pair->private));
}

CK_RV
host_generate_ec(struct host *h, CK_SESSION_HANDLE session, const char *label, bool token, struct host_pair *pair)
{
	CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_ATTRIBUTE curve = {CKA_EC_PARAMS, p256, sizeof(p256)};

	return generate(h, session, CKM_EC_KEY_PAIR_GEN, curve, label, token, pair);
}

CK_RV
host_generate_ed25519(struct host *h, CK_SESSION_HANDLE session, const char *label, bool token, struct host_pair *pair)
{
	CK_BYTE oid[] = {0x06, 0x03, 0x2b, 0x65, 0x70}; /* 1.3.101.112 */
	CK_ATTRIBUTE curve = {CKA_EC_PARAMS, oid, sizeof(oid)};

	return generate(h, session, 0x1055 /* CKM_EC_EDWARDS_KEY_PAIR_GEN */, curve, label, token, pair);
}

CK_RV
host_generate_rsa(struct host *h, CK_SESSION_HANDLE session, const char *label, bool token, struct host_pair *pair)
{
	CK_ULONG bits = 2048;
	CK_ATTRIBUTE size = {CKA_MODULUS_BITS, &bits, sizeof(bits)};

	return generate(h, session, CKM_RSA_PKCS_KEY_PAIR_GEN, size, label, token, pair);
}

/* r | s of PKCS#11 to the DER of OpenSSL. */
static int
unflatten(const CK_BYTE *signature, CK_ULONG len, uint8_t **der_out)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	int half = (int)len / 2, n = -1;

	if (sig != NULL &&
	    ECDSA_SIG_set0(sig, BN_bin2bn(signature, half, NULL), BN_bin2bn(signature + half, half, NULL)) == 1)
		n = i2d_ECDSA_SIG(sig, der_out);
	ECDSA_SIG_free(sig);
	return n;
}

static bool
verify_data(EVP_PKEY *key, const char *hash, const char *data, const uint8_t *signature, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL &&
		    EVP_DigestVerifyInit(ctx, NULL, hash == NULL ? NULL : EVP_get_digestbyname(hash), NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, signature, len, (const uint8_t *)data, strlen(data)) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

static bool
verify_digest(EVP_PKEY *key, const char *data, const uint8_t *signature, size_t len)
{
	EVP_PKEY_CTX *ctx;
	bool good;

	if (EVP_PKEY_is_a(key, "ED25519"))
		return verify_data(key, NULL, data, signature, len);
	ctx = EVP_PKEY_CTX_new(key, NULL);
	good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
	       EVP_PKEY_verify(ctx, signature, len, (const uint8_t *)data, strlen(data)) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

bool
host_verifies(const struct kmn_key_facts *facts, const char *hash, const char *data, const CK_BYTE *signature,
    CK_ULONG len, bool ecdsa)
{
	const uint8_t *at = facts->spki;
	EVP_PKEY *key = d2i_PUBKEY(NULL, &at, facts->spki_len);
	uint8_t *der = NULL;
	int n = ecdsa ? unflatten(signature, len, &der) : (int)len;
	bool good = false;

	if (key != NULL && n > 0)
		good = hash == NULL ? verify_digest(key, data, ecdsa ? der : signature, (size_t)n)
				    : verify_data(key, hash, data, ecdsa ? der : signature, (size_t)n);
	OPENSSL_free(der);
	EVP_PKEY_free(key);
	return good;
}
