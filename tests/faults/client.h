/* A PKCS#11 application as small as can be: one session, logged in, one RSA key that signs. */
#ifndef KANMON_TESTS_FAULTS_CLIENT_H
#define KANMON_TESTS_FAULTS_CLIENT_H

#include <p11-kit/pkcs11.h>

#define SIGNATURE_MAX_BYTES 1024

struct client {
	CK_FUNCTION_LIST *p11;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
};

/* Loads $MODULE. 0, or -1 with the reason on stderr. */
int client_load(struct client *c);

/* A session on the token $TOKEN, C_Login with $PIN, the private key with label `label`. *where_out as below. */
CK_RV client_open(struct client *c, const char *label, const char **where_out);

/*
 * C_Initialize with `profile` (NULL: none), then client_open. On a failure all of it is undone. *where_out: the name of the function that failed, or "".
 */
CK_RV client_begin(struct client *c, const char *profile, const char *label, const char **where_out);

/* CKM_SHA256_RSA_PKCS over `data`; *len_out is 0 on failure. */
CK_RV client_sign(
    struct client *c, const void *data, CK_ULONG len, CK_BYTE out[SIGNATURE_MAX_BYTES], CK_ULONG *len_out);

/* C_Finalize. */
CK_RV client_end(struct client *c);

#endif
