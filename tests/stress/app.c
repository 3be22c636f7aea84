#include "config.h"

#include "tests/stress/app.h"

#include <dlfcn.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/base.h"

#define SLOTS_MAX 32
#define SEARCHES_AGAIN 3
#define TOLD_MAX 20 /* failures told in words; the rest is counted */

static atomic_uint failures;

bool
app_holds(bool is, const char *what)
{
	if (!is && atomic_fetch_add(&failures, 1) < TOLD_MAX)
		fprintf(stderr, "process %ld: %s\n", (long)getpid(), what);
	return is;
}

bool
app_is(CK_RV rv, CK_RV want, const char *what)
{
	char line[160];

	if (rv == want)
		return true;
	snprintf(line, sizeof(line), "%s gave 0x%lx, not 0x%lx", what, rv, want);
	return app_holds(false, line);
}

unsigned
app_failures(void)
{
	return atomic_load(&failures);
}

bool
app_load(struct app *a)
{
	const char *path = getenv("MODULE");
	CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;

	a->p11 = NULL;
	a->module = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	if (a->module != NULL)
		*(void **)&get = dlsym(a->module, "C_GetFunctionList");
	if (get != NULL && get(&a->p11) == CKR_OK)
		return true;
	return app_holds(false, a->module == NULL && path != NULL ? dlerror() : "MODULE is no PKCS#11 module");
}

void
app_unload(struct app *a)
{
	if (a->module != NULL)
		(void)dlclose(a->module);
	a->module = NULL;
	a->p11 = NULL;
}

/* Labels are padded with blanks to 32 bytes, and not ended. */
static bool
find_slot(struct app *a)
{
	const char *label = getenv("TOKEN");
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;
	CK_TOKEN_INFO info;
	char padded[33];

	if (!app_is(a->p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK, "C_GetSlotList"))
		return false;
	snprintf(padded, sizeof(padded), "%-32s", label != NULL ? label : "");
	for (CK_ULONG i = 0; i < n; i++)
		if (app_is(a->p11->C_GetTokenInfo(slots[i], &info), CKR_OK, "C_GetTokenInfo") &&
		    memcmp(info.label, padded, sizeof(info.label)) == 0) {
			a->slot = slots[i];
			return true;
		}
	return app_holds(false, "the token is not there");
}

bool
app_begin(struct app *a)
{
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK, .pReserved = getenv("INIT_ARGS")};

	if (!app_is(a->p11->C_Initialize(&args), CKR_OK, "C_Initialize"))
		return false;
	if (find_slot(a))
		return true;
	(void)a->p11->C_Finalize(NULL);
	return false;
}

bool
app_end(struct app *a)
{
	return app_is(a->p11->C_Finalize(NULL), CKR_OK, "C_Finalize");
}

bool
app_open(struct app *a, CK_SESSION_HANDLE *session)
{
	*session = 0;
	return app_is(a->p11->C_OpenSession(a->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session), CKR_OK,
	    "C_OpenSession");
}

bool
app_login(struct app *a, CK_SESSION_HANDLE session)
{
	const char *pin = getenv("PIN");

	return pin != NULL && app_is(a->p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)pin, strlen(pin)),
				  CKR_OK, "C_Login");
}

CK_STATE
app_state(struct app *a, CK_SESSION_HANDLE session)
{
	CK_SESSION_INFO info = {.state = CK_UNAVAILABLE_INFORMATION};

	(void)app_is(a->p11->C_GetSessionInfo(session, &info), CKR_OK, "C_GetSessionInfo");
	return info.state;
}

unsigned
app_count(struct app *a, CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE *first)
{
	CK_ATTRIBUTE template[] = {
	    {CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, (void *)(uintptr_t)label, strlen(label)}};
	CK_OBJECT_HANDLE found[8] = {0};
	CK_ULONG n = 0;

	CK_RV rv = a->p11->C_FindObjectsInit(session, template, KMN_COUNT_OF(template));

	/* SoftHSM's answer, used directly too, when another thread's session object goes while it searches. */
	for (int again = 0; rv == CKR_GENERAL_ERROR && again < SEARCHES_AGAIN; again++)
		rv = a->p11->C_FindObjectsInit(session, template, KMN_COUNT_OF(template));
	if (!app_is(rv, CKR_OK, "C_FindObjectsInit") ||
	    !app_is(a->p11->C_FindObjects(session, found, KMN_COUNT_OF(found), &n), CKR_OK, "C_FindObjects") ||
	    !app_is(a->p11->C_FindObjectsFinal(session), CKR_OK, "C_FindObjectsFinal"))
		return 0;
	if (first != NULL)
		*first = found[0];
	return (unsigned)n;
}

bool
app_make_key(struct app *a, CK_SESSION_HANDLE session)
{
	CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_BBOOL yes = CK_TRUE;
	CK_ULONG bits = 2048;
	CK_BYTE exponent[] = {1, 0, 1}, id[] = {0x57};
	CK_UTF8CHAR label[] = KEY_LABEL;
	CK_ATTRIBUTE pub[] = {{CKA_TOKEN, &yes, sizeof(yes)}, {CKA_VERIFY, &yes, sizeof(yes)},
	    {CKA_MODULUS_BITS, &bits, sizeof(bits)}, {CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent)},
	    {CKA_LABEL, label, sizeof(label) - 1}, {CKA_ID, id, sizeof(id)}};
	CK_ATTRIBUTE priv[] = {{CKA_TOKEN, &yes, sizeof(yes)}, {CKA_PRIVATE, &yes, sizeof(yes)},
	    {CKA_SENSITIVE, &yes, sizeof(yes)}, {CKA_SIGN, &yes, sizeof(yes)}, {CKA_LABEL, label, sizeof(label) - 1},
	    {CKA_ID, id, sizeof(id)}};
	CK_OBJECT_HANDLE pair[2];

	return app_is(a->p11->C_GenerateKeyPair(
			  session, &mechanism, pub, KMN_COUNT_OF(pub), priv, KMN_COUNT_OF(priv), &pair[0], &pair[1]),
	    CKR_OK, "C_GenerateKeyPair");
}

static EVP_PKEY *
rsa_key(const CK_BYTE *n, size_t n_len, const CK_BYTE *e, size_t e_len)
{
	BIGNUM *modulus = BN_bin2bn(n, (int)n_len, NULL), *exponent = BN_bin2bn(e, (int)e_len, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;

	if (modulus != NULL && exponent != NULL && build != NULL && ctx != NULL &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1 &&
	    (params = OSSL_PARAM_BLD_to_param(build)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_BLD_free(build);
	BN_free(exponent);
	BN_free(modulus);
	return key;
}

EVP_PKEY *
app_public_key(struct app *a, CK_SESSION_HANDLE session)
{
	CK_BYTE n[SIGNATURE_MAX_BYTES], e[16];
	CK_ATTRIBUTE template[] = {{CKA_MODULUS, n, sizeof(n)}, {CKA_PUBLIC_EXPONENT, e, sizeof(e)}};
	CK_OBJECT_HANDLE handle;
	EVP_PKEY *key = NULL;

	if (app_holds(app_count(a, session, CKO_PUBLIC_KEY, KEY_LABEL, &handle) == 1, "the public key is not found") &&
	    app_is(a->p11->C_GetAttributeValue(session, handle, template, KMN_COUNT_OF(template)), CKR_OK,
		"C_GetAttributeValue of the public key"))
		key = rsa_key(n, template[0].ulValueLen, e, template[1].ulValueLen);
	(void)app_holds(key != NULL, "the public key cannot be used");
	return key;
}

CK_RV
app_sign(struct app *a, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const char *text,
    CK_BYTE out[SIGNATURE_MAX_BYTES], CK_ULONG *len)
{
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	CK_RV rv = a->p11->C_SignInit(session, &mechanism, key);

	*len = SIGNATURE_MAX_BYTES;
	if (rv == CKR_OK)
		rv = a->p11->C_Sign(session, (CK_BYTE *)(uintptr_t)text, strlen(text), out, len);
	return rv;
}

bool
app_verifies(EVP_PKEY *key, const char *text, const CK_BYTE *signature, CK_ULONG len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, signature, len, (const unsigned char *)text, strlen(text)) == 1;

	EVP_MD_CTX_free(ctx);
	return app_holds(good, "a signature does not verify");
}
