/*
 * An application that prints everything it is told, in values that are the same in every run: played on the module
 * itself, through the gateway without savings, and with them, it must print the same lines.
 *
 *   trace [SCENE...]       $MODULE, $TOKEN, $PIN, and for modules that want one $INIT_ARGS; in `vanish` $EVENTS is the
 *                          file in which tests/mock reads that its token goes and comes
 *   trace loop N           no scene: N signatures as libp11 asks for them, N as miekg/pkcs11, N searches; how long each took
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/base.h"
#include "kanmon/pkcs11.h"

#define MANY 200u

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE session;

#define ROW(type, value) \
	{ \
		type, &(value), sizeof(value) \
	}

_Noreturn static void
die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(EXIT_FAILURE);
}

static CK_RV
says(const char *what, CK_RV rv)
{
	printf("  %s: 0x%lx\n", what, rv);
	return rv;
}

static void
must(const char *what, CK_RV rv)
{
	if (rv != CKR_OK) {
		fprintf(stderr, "%s: 0x%lx\n", what, rv);
		exit(EXIT_FAILURE);
	}
}

static void
pause_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

	(void)nanosleep(&t, NULL);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

static CK_SESSION_HANDLE
open_session(CK_FLAGS flags)
{
	CK_SESSION_HANDLE h;

	must("C_OpenSession", p11->C_OpenSession(slot, CKF_SERIAL_SESSION | flags, NULL, NULL, &h));
	return h;
}

static CK_RV
login(CK_SESSION_HANDLE h, const char *pin)
{
	return p11->C_Login(h, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin));
}

static void
info(const char *what, CK_SESSION_HANDLE h)
{
	CK_SESSION_INFO i = {0};

	for (unsigned k = 0; k < 3; k++) {
		CK_RV rv = p11->C_GetSessionInfo(h, &i);

		printf("  %s: 0x%lx", what, rv);
		if (rv == CKR_OK)
			printf(" state %lu flags %lu error %lu %s", i.state, i.flags, i.ulDeviceError,
			    i.slotID == slot ? "same slot" : "another slot");
		printf("\n");
	}
}

static void
scene_sessions(void)
{
	CK_SESSION_HANDLE ro = open_session(0), rw = open_session(CKF_RW_SESSION), third;
	CK_ATTRIBUTE unknown = {CKA_VENDOR_DEFINED | 3, NULL, 0};
	const char *pin = getenv("PIN");

	info("read-only", ro);
	info("read-write", rw);
	says("a wrong PIN", login(ro, "wrong-pin"));
	info("after a wrong PIN", rw);
	says("login", login(ro, pin));
	info("logged in", ro);
	info("logged in, the other", rw);
	says("login again", login(rw, pin));
	info("still", rw);
	says("no such object", p11->C_GetAttributeValue(rw, 0x7ffffff0, &unknown, 1));
	info("after a call that failed", rw);
	says("set PIN",
	    p11->C_SetPIN(rw, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin), (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin)));
	info("after that", rw);
	says("logout", p11->C_Logout(rw));
	info("logged out", ro);
	info("logged out, the other", rw);
	third = open_session(0);
	info("a third", third);
	says("close it", p11->C_CloseSession(third));
	info("which is closed", third);
	says("close it again", p11->C_CloseSession(third));
	info("no session", 0);
	info("a number", 0x7ffffff1);
	says("login", login(rw, pin));
	info("in again", rw);
	says("close one", p11->C_CloseSession(ro));
	info("still in", rw);
	says("close the last but ours", p11->C_CloseSession(rw));
	info("ours", session);
	says("logout", p11->C_Logout(session));
	info("ours, out", session);
}

/* ---- what never changes ------------------------------------------------------------------------------------------ */

static void
scene_info(void)
{
	CK_MECHANISM_TYPE types[512], asked[] = {CKM_RSA_PKCS, CKM_ECDSA, CKM_AES_CBC, 0x7ffffff2, CKM_RSA_PKCS};
	CK_MECHANISM_INFO m;
	CK_INFO i;
	CK_ULONG n, sum;

	for (unsigned k = 0; k < 3; k++) {
		memset(&i, 'x', sizeof(i));
		says("C_GetInfo", p11->C_GetInfo(&i));
		printf("   %u.%u %.32s %lu %.32s\n", i.cryptokiVersion.major, i.cryptokiVersion.minor,
		    (const char *)i.manufacturerID, i.flags, (const char *)i.libraryDescription);
		n = 77;
		says("how many mechanisms", p11->C_GetMechanismList(slot, NULL, &n));
		printf("   %lu\n", n);
		n = 512;
		memset(types, 'x', sizeof(types));
		says("mechanisms", p11->C_GetMechanismList(slot, types, &n));
		for (sum = 0; n > 0 && n <= 512; n--)
			sum += types[n - 1] * n % 65521;
		printf("   %lu\n", sum);
		says("another slot's", p11->C_GetMechanismList(0x7ffffff3, NULL, &n));
		for (size_t a = 0; a < KMN_COUNT_OF(asked); a++) {
			memset(&m, 'x', sizeof(m));
			if (says("a mechanism", p11->C_GetMechanismInfo(slot, asked[a], &m)) == CKR_OK)
				printf("   %lu to %lu, %lx\n", m.ulMinKeySize, m.ulMaxKeySize, m.flags);
		}
	}
}

/* ---- searches ---------------------------------------------------------------------------------------------------- */

static CK_OBJECT_CLASS data_class = CKO_DATA;
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_HANDLE made[MANY];
static CK_ULONG made_count;

static CK_OBJECT_HANDLE
make_one(const char *label)
{
	CK_ATTRIBUTE rows[] = {ROW(CKA_CLASS, data_class), ROW(CKA_TOKEN, no), ROW(CKA_PRIVATE, no),
	    {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_OBJECT_HANDLE h;

	must("C_CreateObject", p11->C_CreateObject(session, rows, KMN_COUNT_OF(rows), &h));
	return h;
}

static void
make_objects(const char *label, CK_ULONG n)
{
	for (made_count = 0; made_count < n; made_count++)
		made[made_count] = make_one(label);
}

static void
begin_search(CK_SESSION_HANDLE h, const char *label)
{
	CK_ATTRIBUTE rows[] = {{CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};

	says("search", p11->C_FindObjectsInit(h, rows, 1));
}

/* How many came, and which (as a sum of their numbers here); the rest of the room is untouched. */
static CK_ULONG
next(CK_SESSION_HANDLE h, CK_ULONG max)
{
	CK_OBJECT_HANDLE found[MANY + 64];
	CK_ULONG n = 4711, sum = 0, unknown = 0, touched = 0, k;
	CK_RV rv;

	memset(found, 0xa5, sizeof(found));
	rv = p11->C_FindObjects(h, found, max, &n);
	for (CK_ULONG i = 0; rv == CKR_OK && i < n && i < KMN_COUNT_OF(found); i++) {
		for (k = 0; k < made_count && made[k] != found[i]; k++)
			;
		sum += k < made_count ? k + 1 : 0;
		unknown += k == made_count;
	}
	/* NSS writes one even where there is room for none */
	for (CK_ULONG i = max > 0 ? max : 1; i < KMN_COUNT_OF(found); i++)
		touched += found[i] != (CK_OBJECT_HANDLE)0xa5a5a5a5a5a5a5a5u;
	printf("  up to %lu: 0x%lx %lu, sum %lu, unknown %lu, beyond %lu\n", max, rv, rv == CKR_OK ? n : 0, sum,
	    unknown, touched);
	return rv == CKR_OK ? n : 0;
}

static void
end_search(CK_SESSION_HANDLE h)
{
	says("end", p11->C_FindObjectsFinal(h));
}

static void
search(const char *label, CK_ULONG max, unsigned times)
{
	begin_search(session, label);
	while (times-- > 0)
		(void)next(session, max);
	end_search(session);
}

static void
scene_counts(void)
{
	static const CK_ULONG counts[] = {0, 3, 64, 130};
	char label[32];

	for (size_t i = 0; i < KMN_COUNT_OF(counts); i++) {
		snprintf(label, sizeof(label), "many-%lu", counts[i]);
		make_objects(label, counts[i]);
		printf(" %lu objects\n", counts[i]);
		search(label, 1, 3);
		search(label, 10, 4);
		search(label, 64, 4);
		search(label, 100, 4);
		search(label, MANY, 2);
		search(label, 63, 4);
		for (CK_ULONG k = 0; k < made_count; k++)
			must("C_DestroyObject", p11->C_DestroyObject(session, made[k]));
	}
}

static void
scene_searches(void)
{
	CK_SESSION_HANDLE other = open_session(0);
	CK_OBJECT_HANDLE extra;

	make_objects("some", 5);
	begin_search(session, "some");
	(void)next(session, 0);
	(void)next(session, 2);
	(void)next(session, 0);
	(void)next(session, 9);
	(void)next(session, 9);
	end_search(session);
	end_search(session);
	(void)next(session, 9);
	printf(" a search not used\n");
	begin_search(session, "some");
	end_search(session);
	search("some", 9, 1);
	printf(" two sessions\n");
	begin_search(session, "some");
	begin_search(other, "some");
	(void)next(session, 2);
	(void)next(other, 3);
	(void)next(session, 9);
	(void)next(other, 9);
	end_search(session);
	(void)next(other, 9);
	end_search(other);
	printf(" a search begun twice\n");
	begin_search(session, "some");
	(void)next(session, 2);
	begin_search(session, "some");
	(void)next(session, 9);
	(void)next(session, 9);
	end_search(session);
	printf(" a search that fails\n");
	begin_search(0x7ffffff1, "some");
	(void)next(0x7ffffff1, 2);
	printf(" one destroyed after the beginning\n");
	begin_search(session, "some");
	says("destroy", p11->C_DestroyObject(session, made[4]));
	made_count = 4; /* what number the dead one goes by is nobody's business */
	(void)next(session, 9);
	end_search(session);
	search("some", 9, 1);
	printf(" one made after the beginning\n");
	begin_search(session, "some");
	extra = make_one("some");
	(void)next(session, 3);
	(void)next(session, 9);
	end_search(session);
	search("some", 9, 1);
	printf(" one destroyed by another session, in the middle\n");
	begin_search(session, "some");
	(void)next(session, 2);
	says("destroy", p11->C_DestroyObject(other, extra));
	(void)next(session, 9);
	end_search(session);
	printf(" logout and closing in the middle\n");
	begin_search(session, "some");
	says("logout", p11->C_Logout(session));
	(void)next(session, 1);
	says("login", login(session, getenv("PIN")));
	(void)next(session, 9);
	end_search(session);
	begin_search(other, "some");
	says("close", p11->C_CloseSession(other));
	(void)next(other, 9);
	end_search(other);
	begin_search(other, "some");
	(void)next(other, 9);
}

/* ---- lengths ----------------------------------------------------------------------------------------------------- */

static CK_BYTE text[32] = "what is signed, and not long";

static CK_OBJECT_HANDLE
make_key(bool ec, CK_OBJECT_HANDLE *public_out)
{
	CK_BYTE p256[] = {6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7};
	CK_MECHANISM m = {ec ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_BYTE exponent[] = {1, 0, 1};
	CK_ULONG bits = 2048;
	CK_ATTRIBUTE rsa_rows[] = {ROW(CKA_MODULUS_BITS, bits), ROW(CKA_PUBLIC_EXPONENT, exponent), ROW(CKA_TOKEN, no)};
	CK_ATTRIBUTE ec_rows[] = {ROW(CKA_EC_PARAMS, p256), ROW(CKA_TOKEN, no)};
	CK_ATTRIBUTE private_rows[] = {ROW(CKA_TOKEN, no), ROW(CKA_SIGN, yes)};
	CK_OBJECT_HANDLE key;

	must("C_GenerateKeyPair", p11->C_GenerateKeyPair(session, &m, ec ? ec_rows : rsa_rows,
				      ec ? KMN_COUNT_OF(ec_rows) : KMN_COUNT_OF(rsa_rows), private_rows,
				      KMN_COUNT_OF(private_rows), public_out, &key));
	return key;
}

static void
init(CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type)
{
	CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
	CK_MECHANISM m = {
	    type, type == CKM_SHA256_RSA_PKCS_PSS ? &pss : NULL, type == CKM_SHA256_RSA_PKCS_PSS ? sizeof(pss) : 0};

	says("init", p11->C_SignInit(session, &m, key));
}

static void
how_long(CK_ULONG data_len)
{
	CK_ULONG n = 4711;
	CK_RV rv = p11->C_Sign(session, text, data_len, NULL, &n);

	printf("  how long: 0x%lx %lu\n", rv, n);
}

static void
sign(CK_ULONG room)
{
	CK_BYTE out[512];
	CK_ULONG n = room;
	CK_RV rv = p11->C_Sign(session, text, sizeof(text), out, &n);

	printf("  sign: 0x%lx %lu\n", rv, rv == CKR_OK ? n : 0); /* NSS says anything when the room is too small */
}

static void
lengths_of(CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type)
{
	CK_BYTE out[512];
	CK_ULONG n = 4711;

	for (unsigned i = 0; i < 3; i++) {
		init(key, type);
		how_long(sizeof(text));
		how_long(sizeof(text));
		sign(512);
		how_long(sizeof(text));
	}
	init(key, type);
	how_long(1);
	how_long(0);
	sign(3);
	how_long(sizeof(text));
	init(key, type);
	sign(512);
	sign(512);
	if (type == CKM_SHA256_RSA_PKCS_PSS) {
		init(key, type);
		says("part", p11->C_SignUpdate(session, text, 5));
		for (unsigned i = 0; i < 3; i++) {
			says("how long at the end", p11->C_SignFinal(session, NULL, &n));
			printf("   %lu\n", n);
		}
		n = sizeof(out);
		says("the end", p11->C_SignFinal(session, out, &n));
	}
	init(key, type);
	how_long(5);
	sign(512);
}

static void
scene_lengths(void)
{
	CK_OBJECT_HANDLE rsa_public, ec_public, rsa = make_key(false, &rsa_public), ec = make_key(true, &ec_public);

	how_long(5);
	lengths_of(rsa, CKM_RSA_PKCS);
	lengths_of(rsa, CKM_SHA256_RSA_PKCS_PSS);
	lengths_of(ec, CKM_ECDSA);
	printf(" another key between\n");
	init(ec, CKM_ECDSA);
	how_long(32);
	sign(512);
	init(rsa, CKM_RSA_PKCS);
	how_long(32);
	init(ec, CKM_ECDSA);
	how_long(32);
	sign(512);
	printf(" a key that is no key\n");
	init(0x7ffffff4, CKM_ECDSA);
	how_long(32);
	printf(" a session that is closed under it\n");
	init(ec, CKM_ECDSA);
	how_long(32);
	says("logout", p11->C_Logout(session));
	says("login", login(session, getenv("PIN")));
	sign(512);
}

/* What is kept is asked again after a while. */
static void
scene_rests(void)
{
	CK_OBJECT_HANDLE public_half, ec = make_key(true, &public_half);

	make_objects("some", 5);
	printf(" a search that rests for a while\n");
	begin_search(session, "some");
	pause_ms(1200);
	(void)next(session, 2);
	(void)next(session, 9);
	end_search(session);
	printf(" a signature that does\n");
	init(ec, CKM_ECDSA);
	pause_ms(1200);
	how_long(32);
	sign(512);
}

/* A key that goes while it is used: modules differ in what they say, each must say it here too. */
static void
scene_destroyed(void)
{
	CK_OBJECT_HANDLE public_half, ec = make_key(true, &public_half);

	init(ec, CKM_ECDSA);
	how_long(32);
	sign(512);
	init(ec, CKM_ECDSA);
	how_long(32);
	says("destroy", p11->C_DestroyObject(session, ec));
	how_long(32);
	init(ec, CKM_ECDSA);
	how_long(32);
}

/* ---- a token that goes by itself --------------------------------------------------------------------------------- */

static void
happens(const char *event)
{
	const char *path = getenv("EVENTS");
	FILE *f = path != NULL ? fopen(path, "a") : NULL;

	if (f == NULL || fprintf(f, "11 %s\n", event) < 0 || fclose(f) != 0)
		die("EVENTS");
}

static void
ask_all(CK_SESSION_HANDLE h)
{
	CK_ULONG n = 4711;

	info("session", h);
	says("mechanisms", p11->C_GetMechanismList(slot, NULL, &n));
	printf("   %lu\n", n);
	how_long(32);
	(void)next(h, 1);
}

/* First nobody tells of it: what is kept is too old after a while. Then somebody waits for events: it is told at once. */
static void
scene_vanish(void)
{
	CK_OBJECT_HANDLE public_half, key;
	CK_SLOT_ID where;
	bool watched = false;
	CK_RV rv;

	for (unsigned k = 0; k < 2; k++, watched = true) {
		printf(" %s\n", watched ? "watched" : "unwatched");
		while (watched && p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &where, NULL) == CKR_OK)
			; /* what was before */
		key = make_key(true, &public_half);
		make_objects("some", 3);
		begin_search(session, "some");
		init(key, CKM_ECDSA);
		ask_all(session);
		happens("out");
		if (watched)
			for (unsigned i = 0;
			     (rv = p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &where, NULL)) != CKR_OK && i < 2000; i++)
				pause_ms(5);
		else
			pause_ms(1200);
		ask_all(session);
		happens("in");
		pause_ms(300);
		ask_all(session);
		session = open_session(CKF_RW_SESSION);
		says("login", login(session, getenv("PIN")));
		ask_all(session);
	}
}

/* ---- loops ------------------------------------------------------------------------------------------------------- */

static double
seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
like_libp11(CK_OBJECT_HANDLE key)
{
	CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
	CK_SESSION_INFO i;
	CK_BYTE out[512];
	CK_ULONG n = sizeof(out);

	must("C_GetSessionInfo", p11->C_GetSessionInfo(session, &i));
	must("C_SignInit", p11->C_SignInit(session, &m, key));
	must("C_Sign", p11->C_Sign(session, text, sizeof(text), out, &n));
}

static void
like_miekg(CK_OBJECT_HANDLE key)
{
	CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
	CK_BYTE out[512];
	CK_ULONG n;

	must("C_SignInit", p11->C_SignInit(session, &m, key));
	must("C_Sign", p11->C_Sign(session, text, sizeof(text), NULL, &n));
	must("C_Sign", p11->C_Sign(session, text, sizeof(text), out, &n));
}

/* libp11 and OpenSC ask for one at a time until there are no more. */
static void
like_a_search(CK_OBJECT_HANDLE key)
{
	CK_OBJECT_HANDLE h;
	CK_ATTRIBUTE rows[] = {ROW(CKA_CLASS, data_class)};
	CK_ULONG n;

	(void)key;
	must("C_FindObjectsInit", p11->C_FindObjectsInit(session, rows, 1));
	do
		must("C_FindObjects", p11->C_FindObjects(session, &h, 1, &n));
	while (n > 0);
	must("C_FindObjectsFinal", p11->C_FindObjectsFinal(session));
}

static void
loops(unsigned n)
{
	static const struct {
		const char *name;
		void (*once)(CK_OBJECT_HANDLE);
	} loop[] = {{"libp11", like_libp11}, {"miekg", like_miekg}, {"search", like_a_search}};
	CK_OBJECT_HANDLE public_half, key = make_key(false, &public_half);

	make_objects("some", 5);
	for (size_t i = 0; i < KMN_COUNT_OF(loop); i++) {
		double start = seconds();

		fprintf(stderr, "loop %s begins\n", loop[i].name);
		for (unsigned k = 0; k < n; k++)
			loop[i].once(key);
		fprintf(stderr, "loop %s ends\n", loop[i].name);
		printf("%s %.3f ms\n", loop[i].name, (seconds() - start) * 1000 / n);
	}
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static void
find_slot(void)
{
	const char *token = getenv("TOKEN");
	CK_SLOT_ID slots[16];
	CK_ULONG n = KMN_COUNT_OF(slots);
	CK_TOKEN_INFO i;
	char padded[33];

	snprintf(padded, sizeof(padded), "%-32s", token != NULL ? token : "");
	must("C_GetSlotList", p11->C_GetSlotList(CK_TRUE, slots, &n));
	for (CK_ULONG k = 0; k < n; k++) {
		if (p11->C_GetTokenInfo(slots[k], &i) == CKR_OK && memcmp(i.label, padded, 32) == 0) {
			slot = slots[k];
			return;
		}
	}
	die("no such token");
}

static void
begin(void)
{
	const char *path = getenv("MODULE"), *init_args = getenv("INIT_ARGS");
	void *module = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_RV (*get_list)(CK_FUNCTION_LIST **) = NULL;
	/* NSS looks one word further than the structure goes */
	struct {
		CK_C_INITIALIZE_ARGS args;
		void *none;
	} a = {.args = {.flags = CKF_OS_LOCKING_OK, .pReserved = (void *)(uintptr_t)init_args}};

	if (module != NULL)
		*(void **)&get_list = dlsym(module, "C_GetFunctionList");
	if (get_list == NULL || get_list(&p11) != CKR_OK || getenv("PIN") == NULL)
		die(module == NULL && path != NULL ? dlerror() : "no module, or no PIN");
	must("C_Initialize", p11->C_Initialize(&a));
	find_slot();
	session = open_session(CKF_RW_SESSION);
	must("C_Login", login(session, getenv("PIN")));
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*play)(void);
	} scenes[] = {{"counts", scene_counts}, {"searches", scene_searches}, {"lengths", scene_lengths},
	    {"rests", scene_rests}, {"destroyed", scene_destroyed}, {"info", scene_info}, {"vanish", scene_vanish},
	    {"sessions", scene_sessions}};

	begin();
	if (argc == 3 && strcmp(argv[1], "loop") == 0)
		loops((unsigned)atoi(argv[2]));
	for (size_t i = 0; i < KMN_COUNT_OF(scenes); i++) {
		for (int a = 1; a < argc; a++) {
			if (strcmp(argv[a], scenes[i].name) != 0)
				continue;
			printf("%s\n", scenes[i].name);
			scenes[i].play();
		}
	}
	must("C_Finalize", p11->C_Finalize(NULL));
	return EXIT_SUCCESS;
}
