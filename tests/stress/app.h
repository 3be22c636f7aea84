/*
 * A PKCS#11 application for stress: the module $MODULE, the token $TOKEN, its user's $PIN, and an RSA key that signs.
 * $INIT_ARGS, if set, is the module's initialisation string. Whatever is not as it must be is told on stderr and makes
 * the process fail; many threads may find that at once.
 */
#ifndef KANMON_TESTS_STRESS_APP_H
#define KANMON_TESTS_STRESS_APP_H

#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>

#define KEY_LABEL "stress"
#define SIGNATURE_MAX_BYTES 512

struct app {
	void *module;
	CK_FUNCTION_LIST *p11;
	CK_SLOT_ID slot;
};

/* dlopen and C_GetFunctionList; false with the reason on stderr. */
bool app_load(struct app *a);
void app_unload(struct app *a);

/* True if rv is `want`; else it is told with `what` and counted. */
bool app_is(CK_RV rv, CK_RV want, const char *what);
bool app_holds(bool is, const char *what);
/* What has failed so far, in this process. */
unsigned app_failures(void);

/* C_Initialize, and the slot of the token. */
bool app_begin(struct app *a);
bool app_end(struct app *a); /* C_Finalize */
bool app_open(struct app *a, CK_SESSION_HANDLE *session_out);
bool app_login(struct app *a, CK_SESSION_HANDLE session);
CK_STATE app_state(struct app *a, CK_SESSION_HANDLE session);

/* Objects of that class and label that the session sees; the first in *first_out (NULL: not wanted). */
unsigned app_count(
    struct app *a, CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label, CK_OBJECT_HANDLE *first_out);

/* Makes the key pair KEY_LABEL in the token, the private half private. */
bool app_make_key(struct app *a, CK_SESSION_HANDLE session);
/* The public half, out of the token. NULL on failure; EVP_PKEY_free() it. */
EVP_PKEY *app_public_key(struct app *a, CK_SESSION_HANDLE session);
/* C_SignInit, C_Sign with CKM_SHA256_RSA_PKCS. */
CK_RV app_sign(struct app *a, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const char *text,
    CK_BYTE out[SIGNATURE_MAX_BYTES], CK_ULONG *len_out);
/* True if that is the key's signature over the text: checked here, not by the module. */
bool app_verifies(EVP_PKEY *key, const char *text, const CK_BYTE *signature, CK_ULONG len);

#endif
