/*
 * The worker with modules that people use: SoftHSM2, whose tokens are found by
 * environment, and NSS softokn, which wants an initialisation string.
 */
#include "config.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/hsm/host.h"
#include "tests/unit/run.h"

#define DATA "0123456789abcdef0123456789abcdef"
#define SO_PIN "12345678"
#define PIN "1234"
#define NSS_WITHOUT_DATABASE \
	"configdir='' certPrefix='' keyPrefix='' secmod='' flags=readOnly,noCertDB,noModDB,forceOpen,optimizeSpace"

static const char *const softhsm_paths[] = {
    "/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", NULL};
static const char *const nss_paths[] = {
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so", "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so", NULL};

#if defined(__SANITIZE_ADDRESS__)
/* SoftHSM 2.6.1 loses a string in C_SignInit with an Ed25519 key; it is told by its whole stack alone. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

const char *
__asan_default_options(void)
{
	return "fast_unwind_on_malloc=0";
}

const char *
__lsan_default_suppressions(void)
{
	return "leak:libsofthsm2.so\n";
}
#endif

/* The first that is there; a case without its module says so and passes. */
static const char *
module(const char *const *paths)
{
	for (; *paths != NULL; paths++)
		if (access(*paths, R_OK) == 0)
			return *paths;
	printf("# module is not installed, nothing tried\n");
	return NULL;
}

/* ---- SoftHSM2 ---- */

struct softhsm {
	struct host h;
	char dir[64], row[128];
	CK_SLOT_ID slot;
};

static void
start_softhsm(struct softhsm *s, const char *path)
{
	const char *rows[] = {s->row, NULL};

	snprintf(s->row, sizeof(s->row), "SOFTHSM2_CONF=%s/softhsm2.conf", s->dir);
	host_start(&s->h, path, NULL, rows);
	CU_ASSERT_EQUAL_FATAL(s->h.ready, CKR_OK);
}

/* An empty directory for tokens, and a worker on it. */
static bool
begin_softhsm(struct softhsm *s)
{
	const char *path = module(softhsm_paths);
	char name[128];
	FILE *f;

	memset(s, 0, sizeof(*s));
	if (path == NULL)
		return false;
	snprintf(s->dir, sizeof(s->dir), "/tmp/kanmon-softhsm-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->dir));
	snprintf(name, sizeof(name), "%s/tokens", s->dir);
	CU_ASSERT_EQUAL_FATAL(mkdir(name, 0700), 0);
	snprintf(name, sizeof(name), "%s/softhsm2.conf", s->dir);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f = fopen(name, "w"));
	fprintf(f, "directories.tokendir = %s/tokens\nobjectstore.backend = file\nlog.level = ERROR\n", s->dir);
	fclose(f);
	start_softhsm(s, path);
	return true;
}

/* The slot of the token with that label, or of one that is not initialised if it is NULL. */
static CK_SLOT_ID
find_slot(struct host *h, const char *label)
{
	CK_SLOT_ID slots[16], found = 0;
	CK_ULONG n = KMN_COUNT_OF(slots);
	CK_TOKEN_INFO info;

	CU_ASSERT_EQUAL(host_GetSlotList(h, slots, &n), CKR_OK);
	for (CK_ULONG i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(host_GetTokenInfo(h, slots[i], &info), CKR_OK);
		if (label == NULL ? (info.flags & CKF_TOKEN_INITIALIZED) == 0
				  : memcmp(info.label, label, strlen(label)) == 0)
			found = slots[i];
	}
	return found;
}

/* Initialises a token through the worker, and leaves a session with the user logged in. */
static CK_SESSION_HANDLE
new_token(struct softhsm *s, const char *label)
{
	CK_SESSION_HANDLE session = 0;

	CU_ASSERT_EQUAL(host_InitToken(&s->h, find_slot(&s->h, NULL), SO_PIN, label), CKR_OK);
	s->slot = find_slot(&s->h, label);
	CU_ASSERT_EQUAL(host_OpenSession(&s->h, s->slot, CKF_RW_SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(host_Login(&s->h, session, CKU_SO, SO_PIN), CKR_OK);
	CU_ASSERT_EQUAL(host_InitPIN(&s->h, session, PIN), CKR_OK);
	CU_ASSERT_EQUAL(host_Logout(&s->h, session), CKR_OK);
	CU_ASSERT_EQUAL(host_Login(&s->h, session, CKU_USER, PIN), CKR_OK);
	return session;
}

static void
end_softhsm(struct softhsm *s)
{
	char command[128];

	CU_ASSERT_EQUAL(host_end(&s->h), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void
test_softhsm_sign(void)
{
	struct kmn_key_facts private, public;
	struct host_pair rsa = {0, 0};
	CK_SESSION_HANDLE session;
	CK_BYTE signature[512];
	struct softhsm s;
	CK_ULONG len = sizeof(signature);

	if (!begin_softhsm(&s))
		return;
	session = new_token(&s, "kanmon");
	CU_ASSERT_EQUAL(host_generate_rsa(&s.h, session, "rsa", true, &rsa), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&s.h, session, rsa.private, &private), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&s.h, session, rsa.public, &public), CKR_OK);
	CU_ASSERT_TRUE(private.spki_len > 0);
	CU_ASSERT_EQUAL(private.spki_len, public.spki_len);
	CU_ASSERT_EQUAL(memcmp(private.spki, public.spki, public.spki_len), 0);
	CU_ASSERT_EQUAL(private.flags & (KMN_KEY_SENSITIVE | KMN_KEY_LOCAL), KMN_KEY_SENSITIVE | KMN_KEY_LOCAL);
	CU_ASSERT_EQUAL(host_SignInit(&s.h, session, CKM_SHA256_RSA_PKCS, rsa.private), CKR_OK);
	CU_ASSERT_EQUAL(host_Sign(&s.h, session, DATA, signature, &len), CKR_OK);
	CU_ASSERT_TRUE(host_verifies(&private, "SHA256", DATA, signature, len, false));
	end_softhsm(&s);
}

static void
test_softhsm_side(void)
{
	struct kmn_key_facts facts;
	struct host_pair ec = {0, 0};
	CK_SESSION_HANDLE session;
	CK_BYTE signature[128];
	CK_ULONG len = 0;
	struct softhsm s;

	if (!begin_softhsm(&s))
		return;
	session = new_token(&s, "kanmon");
	CU_ASSERT_EQUAL(host_generate_ec(&s.h, session, "ec", true, &ec), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&s.h, session, ec.private, &facts), CKR_OK);
	CU_ASSERT_TRUE(facts.spki_len > 0);
	s.h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&s.h, session, CKM_ECDSA, ec.private), CKR_OK);
	CU_ASSERT_EQUAL(host_SignInit(&s.h, session, CKM_ECDSA, ec.private), CKR_OPERATION_ACTIVE);
	CU_ASSERT_EQUAL(host_Sign(&s.h, session, DATA, NULL, &len), CKR_OK);
	CU_ASSERT_EQUAL(len, 64);
	host_drop(&s.h, session, KMN_OP_SIGN); /* denied: the module itself would not let go of it */
	len = sizeof(signature);
	CU_ASSERT_EQUAL(host_Sign(&s.h, session, DATA, signature, &len), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(host_SignInit(&s.h, session, CKM_ECDSA, ec.private), CKR_OK);
	len = sizeof(signature);
	CU_ASSERT_EQUAL(host_Sign(&s.h, session, DATA, signature, &len), CKR_OK);
	CU_ASSERT_EQUAL(len, 64);
	CU_ASSERT_TRUE(host_verifies(&facts, NULL, DATA, signature, len, true));
	end_softhsm(&s);
}

static void
test_softhsm_ed25519(void)
{
	struct kmn_key_facts facts;
	struct host_pair ed = {0, 0};
	CK_SESSION_HANDLE session;
	CK_BYTE signature[128];
	CK_ULONG len = sizeof(signature);
	struct softhsm s;

	if (!begin_softhsm(&s))
		return;
	session = new_token(&s, "kanmon");
	CU_ASSERT_EQUAL(host_generate_ed25519(&s.h, session, "ed", true, &ed), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&s.h, session, ed.private, &facts), CKR_OK);
	CU_ASSERT_EQUAL(facts.spki_len, 44);
	CU_ASSERT_EQUAL(host_SignInit(&s.h, session, 0x1057 /* CKM_EDDSA */, ed.private), CKR_OK);
	CU_ASSERT_EQUAL(host_Sign(&s.h, session, DATA, signature, &len), CKR_OK);
	CU_ASSERT_TRUE(host_verifies(&facts, NULL, DATA, signature, len, false));
	end_softhsm(&s);
}

#define SESSIONS 4
#define ROUNDS 10

/* All that the sessions do is sent before any answer is read. */
static void
test_softhsm_parallel(void)
{
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	struct kmn_response_view v;
	CK_SESSION_HANDLE session[SESSIONS];
	struct host_pair ec = {0, 0};
	struct softhsm s;

	if (!begin_softhsm(&s))
		return;
	session[0] = new_token(&s, "kanmon");
	CU_ASSERT_EQUAL(host_generate_ec(&s.h, session[0], "ec", true, &ec), CKR_OK);
	for (size_t i = 1; i < SESSIONS; i++)
		CU_ASSERT_EQUAL(host_OpenSession(&s.h, s.slot, 0, &session[i]), CKR_OK);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < SESSIONS; i++) {
			const struct kmn_arg init[] = {{.u = session[i]}, {.p = &mechanism}, {.u = ec.private}};

			s.h.flags = round % 2 == 0 ? KMN_WF_SIDE : 0;
			(void)host_send_call(&s.h, KMN_C_SignInit, init, KMN_COUNT_OF(init));
			(void)host_send_sign(&s.h, session[i], DATA);
		}
	for (unsigned i = 0; i < 2 * ROUNDS * SESSIONS; i++) {
		(void)host_reply(&s.h, &v);
		CU_ASSERT_EQUAL(v.rv, CKR_OK);
	}
	end_softhsm(&s);
}

/* A worker that starts again finds the same keys under new handles. */
static void
test_softhsm_again(void)
{
	struct kmn_key_facts before, after;
	struct host_pair ec = {0, 0};
	CK_SESSION_HANDLE session;
	struct softhsm s;
	int status;

	if (!begin_softhsm(&s))
		return;
	session = new_token(&s, "kanmon");
	CU_ASSERT_EQUAL(host_generate_ec(&s.h, session, "ec", true, &ec), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&s.h, session, ec.private, &before), CKR_OK);
	status = host_end(&s.h);
	CU_ASSERT_EQUAL(status, 0);
	start_softhsm(&s, module(softhsm_paths));
	CU_ASSERT_EQUAL(host_find_key(&s.h, "kanmon", "ec", "", &after), CKR_OK);
	CU_ASSERT_EQUAL(after.class, CKO_PUBLIC_KEY);
	CU_ASSERT_EQUAL(after.spki_len, before.spki_len);
	CU_ASSERT_EQUAL(memcmp(after.spki, before.spki, after.spki_len), 0);
	end_softhsm(&s);
}

static void
test_softhsm_pins(void)
{
	CK_SESSION_HANDLE session, second;
	struct softhsm s;

	if (!begin_softhsm(&s))
		return;
	session = new_token(&s, "kanmon");
	CU_ASSERT_EQUAL(host_Login(&s.h, session, CKU_USER, PIN), CKR_USER_ALREADY_LOGGED_IN);
	CU_ASSERT_EQUAL(host_OpenSession(&s.h, s.slot, 0, &second), CKR_OK);
	CU_ASSERT_EQUAL(host_CloseSession(&s.h, session), CKR_OK);
	CU_ASSERT_EQUAL(host_CloseSession(&s.h, second), CKR_OK); /* the last one: logged out */
	CU_ASSERT_EQUAL(host_OpenSession(&s.h, s.slot, CKF_RW_SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(host_Login(&s.h, session, CKU_USER, "4321"), CKR_PIN_INCORRECT);
	CU_ASSERT_EQUAL(host_Login(&s.h, session, CKU_USER, PIN), CKR_OK);
	end_softhsm(&s);
}

/* ---- NSS ---- */

#define NSS_SLOT 1u /* generic cryptography, without login and without tokens */

static bool
begin_nss(struct host *h)
{
	const char *path = module(nss_paths);

	if (path == NULL)
		return false;
	host_start(h, path, NSS_WITHOUT_DATABASE, NULL);
	CU_ASSERT_EQUAL_FATAL(h->ready, CKR_OK);
	return true;
}

static void
test_nss_sign(void)
{
	static const struct {
		CK_MECHANISM_TYPE type;
		const char *hash;
	} cases[] = {{CKM_ECDSA_SHA256, "SHA256"}, {CKM_ECDSA_SHA384, "SHA384"}};
	struct kmn_key_facts facts;
	struct host_pair ec = {0, 0};
	CK_SESSION_HANDLE session;
	CK_BYTE signature[256];
	struct host h;

	if (!begin_nss(&h))
		return;
	CU_ASSERT_EQUAL(host_OpenSession(&h, NSS_SLOT, CKF_RW_SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(host_generate_ec(&h, session, "ec", false, &ec), CKR_OK);
	CU_ASSERT_EQUAL(host_describe(&h, session, ec.private, &facts), CKR_OK);
	CU_ASSERT_TRUE(facts.spki_len > 0);
	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		CK_ULONG len = sizeof(signature);

		h.flags = i == 0 ? KMN_WF_SIDE : 0;
		CU_ASSERT_EQUAL(host_SignInit(&h, session, cases[i].type, ec.private), CKR_OK);
		CU_ASSERT_EQUAL(host_Sign(&h, session, DATA, signature, &len), CKR_OK);
		CU_ASSERT_TRUE(host_verifies(&facts, cases[i].hash, DATA, signature, len, true));
	}
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

static void
test_nss_drop(void)
{
	struct host_pair ec = {0, 0};
	CK_SESSION_HANDLE session;
	CK_BYTE signature[256];
	CK_ULONG len = sizeof(signature);
	struct host h;

	if (!begin_nss(&h))
		return;
	CU_ASSERT_EQUAL(host_OpenSession(&h, NSS_SLOT, CKF_RW_SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(host_generate_ec(&h, session, "ec", false, &ec), CKR_OK);
	h.flags = KMN_WF_SIDE;
	CU_ASSERT_EQUAL(host_SignInit(&h, session, CKM_ECDSA_SHA256, ec.private), CKR_OK);
	host_drop(&h, session, KMN_OP_SIGN);
	CU_ASSERT_EQUAL(host_Sign(&h, session, DATA, signature, &len), CKR_OPERATION_NOT_INITIALIZED);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

#define NSS_DATABASE_SLOT 2u
#define NSS_PIN "nss-pin-4711"

/* A key database of NSS in a directory of its own; false where there is no certutil to make one. */
static bool
make_database(char dir[64], char init_args[256])
{
	char command[400];

	snprintf(dir, 64, "/tmp/kanmon-nss-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(
	    init_args, 256, "configdir='sql:%s' certPrefix='' keyPrefix='' secmod='secmod.db' flags= minPWLen=0", dir);
	snprintf(command, sizeof(command),
	    "printf %%s '" NSS_PIN "' >%s/pin && NSS_MAX_MP_PBE_ITERATION_COUNT=10 certutil -N -d sql:%s -f %s/pin",
	    dir, dir, dir);
	return system(command) == 0;
}

/* A session on the database with the user logged in. */
static CK_SESSION_HANDLE
database_session(struct host *h, const char *path, const char *init_args)
{
	static const char *const rows[] = {"NSS_MAX_MP_PBE_ITERATION_COUNT=10", NULL};
	CK_SESSION_HANDLE session = 0;

	host_start(h, path, init_args, rows);
	CU_ASSERT_EQUAL_FATAL(h->ready, CKR_OK);
	CU_ASSERT_EQUAL(host_OpenSession(h, NSS_DATABASE_SLOT, CKF_RW_SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(host_Login(h, session, CKU_USER, NSS_PIN), CKR_OK);
	return session;
}

static bool
signs(struct host *h, CK_SESSION_HANDLE session, const char *label)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	char copy[32];
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, copy, strlen(label)}};
	CK_OBJECT_HANDLE key;
	CK_BYTE signature[256];
	CK_ULONG len = sizeof(signature);

	snprintf(copy, sizeof(copy), "%s", label);
	return host_find(h, session, t, 2, &key, 1) == 1 && host_SignInit(h, session, CKM_ECDSA, key) == CKR_OK &&
	       host_Sign(h, session, DATA, signature, &len) == CKR_OK;
}

/* Killed while it writes: what was answered is there for the next worker, and the database takes more. */
static void
test_nss_killed(void)
{
	const char *path = module(nss_paths);
	char dir[64], init_args[256], command[128], label[32];
	CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof(p256)}, {CKA_TOKEN, &yes, 1}},
		     private[] = {{CKA_TOKEN, &yes, 1}};
	CK_OBJECT_HANDLE out;
	CK_SESSION_HANDLE session;
	struct host_pair pair;
	struct host h;

	if (path == NULL)
		return;
	if (!make_database(dir, init_args)) {
		printf("# there is no certutil, nothing tried\n");
		return;
	}
	for (unsigned i = 0; i < 4; i++) {
		struct timespec pause = {.tv_nsec = (long)i * 2000000L};

		session = database_session(&h, path, init_args);
		for (unsigned k = 0; k < i; k++) {
			snprintf(label, sizeof(label), "key-%u", k);
			CU_ASSERT_TRUE(signs(&h, session, label));
		}
		snprintf(label, sizeof(label), "key-%u", i);
		CU_ASSERT_EQUAL(host_generate_ec(&h, session, label, true, &pair), CKR_OK);
		for (unsigned k = 0; k < 3; k++)
			(void)host_send_call(&h, KMN_C_GenerateKeyPair,
			    (const struct kmn_arg[]){HOST_SCALAR(session), HOST_OUT(&generate), HOST_SIZED(public, 2),
				HOST_SIZED(private, 1), HOST_OUT(&out), HOST_OUT(&out)},
			    6);
		(void)nanosleep(&pause, NULL);
		CU_ASSERT_EQUAL(kill(h.pid, SIGKILL), 0);
		CU_ASSERT_EQUAL(host_end(&h), -SIGKILL);
	}
	session = database_session(&h, path, init_args);
	CU_ASSERT_TRUE(signs(&h, session, "key-0") && signs(&h, session, "key-3"));
	CU_ASSERT_EQUAL(host_end(&h), 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	CU_ASSERT_EQUAL(system(command), 0);
}

/* It writes eight bytes of a number into four, and all slots into a list of one. */
static void
test_nss_overruns(void)
{
	CK_BYTE value[8] = {0};
	CK_ATTRIBUTE t = {CKA_CLASS, value, 4};
	CK_SLOT_ID slots[2] = {0, 0};
	CK_SESSION_HANDLE session;
	struct host_pair ec = {0, 0};
	CK_ULONG n = 1;
	struct host h;

	if (!begin_nss(&h))
		return;
	CU_ASSERT_EQUAL(host_OpenSession(&h, NSS_SLOT, CKF_RW_SESSION, &session), CKR_OK);
	CU_ASSERT_EQUAL(host_generate_ec(&h, session, "ec", false, &ec), CKR_OK);
	for (unsigned i = 0; i < 2; i++) { /* the second time its length was asked for before */
		t.ulValueLen = 4;
		CU_ASSERT_EQUAL(host_GetAttributeValue(&h, session, ec.public, &t, 1), CKR_BUFFER_TOO_SMALL);
		CU_ASSERT_EQUAL(t.ulValueLen, CK_UNAVAILABLE_INFORMATION);
		CU_ASSERT_EQUAL(memcmp(value, "\0\0\0\0\0\0\0", 8), 0);
	}
	t.ulValueLen = 8;
	CU_ASSERT_EQUAL(host_GetAttributeValue(&h, session, ec.public, &t, 1), CKR_OK);
	CU_ASSERT_EQUAL(value[0], CKO_PUBLIC_KEY);
	CU_ASSERT_EQUAL(host_GetSlotList(&h, slots, &n), CKR_BUFFER_TOO_SMALL);
	CU_ASSERT_EQUAL(n, 2);
	CU_ASSERT_EQUAL(slots[0], 0);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* 3.0 and 2.40, both CKF_INTERFACE_FORK_SAFE (1); newer ones have 3.2 before them. */
static void
test_nss_lists(void)
{
	struct host h;
	bool v3_0 = false, v2_40 = false;

	if (!begin_nss(&h))
		return;
	for (size_t i = 0; i < h.lists; i++) {
		v3_0 = v3_0 || h.list[i].version == 0x0300;
		v2_40 = v2_40 || h.list[i].version == 0x0228;
		CU_ASSERT_EQUAL(h.list[i].flags, 1);
	}
	CU_ASSERT_TRUE(v3_0 && v2_40);
	CU_ASSERT_EQUAL(h.cryptoki >> 8, 3);
	CU_ASSERT_EQUAL(host_end(&h), 0);
}

/* Without its string softokn refuses; the keeper is told so. */
static void
test_nss_without_string(void)
{
	const char *path = module(nss_paths);
	struct host h;

	if (path == NULL)
		return;
	host_start(&h, path, NULL, NULL);
	CU_ASSERT_EQUAL(h.ready, CKR_ARGUMENTS_BAD);
	CU_ASSERT_EQUAL(host_end(&h), 1);
}

static CU_TestInfo tests[] = {
    {"SoftHSM2: token, PINs, RSA key; OpenSSL verifies with the key that is described", test_softhsm_sign},
    {"SoftHSM2: a denied operation in a side session is gone", test_softhsm_side},
    {"SoftHSM2: an Ed25519 key", test_softhsm_ed25519},
    {"SoftHSM2: four sessions sign side by side", test_softhsm_parallel},
    {"SoftHSM2: the next worker finds the key", test_softhsm_again},
    {"SoftHSM2: the last session takes the login with it", test_softhsm_pins},
    {"NSS: CKM_ECDSA_SHA256 and SHA384 over data", test_nss_sign},
    {"NSS: a denied operation in a side session is gone", test_nss_drop},
    {"NSS: its function lists are told", test_nss_lists},
    {"NSS: a worker that is killed while it writes leaves its database whole", test_nss_killed},
    {"NSS: what it writes too much hits nothing", test_nss_overruns},
    {"NSS: no initialisation string, no module", test_nss_without_string},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{.pName = "hsm/modules", .pTests = tests}, CU_SUITE_INFO_NULL};

	alarm(300);
	return kmn_test_main(argc, argv, suites);
}
