#include "config.h"

#include "kanmon/keyparams.h"
#include "server/runner/runner.h"

#include <string.h>

/* Of PKCS#11 3.0: not in every header. */
#define MECHANISM_EDWARDS_PAIR 0x1055ul
#define MECHANISM_EDDSA 0x1057ul

/* clang-format off */
static const struct runner_signer signers[] = {
/*	name                         mechanism                key             hash        mgf                salt */
	{"CKM_SHA256_RSA_PKCS",     CKM_SHA256_RSA_PKCS,     RUNNER_RSA,     0,          0,                 0},
	{"CKM_SHA384_RSA_PKCS",     CKM_SHA384_RSA_PKCS,     RUNNER_RSA,     0,          0,                 0},
	{"CKM_SHA512_RSA_PKCS",     CKM_SHA512_RSA_PKCS,     RUNNER_RSA,     0,          0,                 0},
	{"CKM_SHA256_RSA_PKCS_PSS", CKM_SHA256_RSA_PKCS_PSS, RUNNER_RSA,     CKM_SHA256, CKG_MGF1_SHA256,   32},
	{"CKM_SHA384_RSA_PKCS_PSS", CKM_SHA384_RSA_PKCS_PSS, RUNNER_RSA,     CKM_SHA384, CKG_MGF1_SHA384,   48},
	{"CKM_SHA512_RSA_PKCS_PSS", CKM_SHA512_RSA_PKCS_PSS, RUNNER_RSA,     CKM_SHA512, CKG_MGF1_SHA512,   64},
	{"CKM_ECDSA_SHA256",        CKM_ECDSA_SHA256,        RUNNER_EC,      0,          0,                 0},
	{"CKM_ECDSA_SHA384",        CKM_ECDSA_SHA384,        RUNNER_EC,      0,          0,                 0},
	{"CKM_ECDSA_SHA512",        CKM_ECDSA_SHA512,        RUNNER_EC,      0,          0,                 0},
	{"CKM_EDDSA",               MECHANISM_EDDSA,         RUNNER_EDWARDS, 0,          0,                 0},
};

static const struct runner_maker makers[] = {
#define MECHANISM_RSA CKM_RSA_PKCS_KEY_PAIR_GEN
#define MECHANISM_EC CKM_EC_KEY_PAIR_GEN
#define MECHANISM_EDWARDS MECHANISM_EDWARDS_PAIR
#define ROW(kind, name, parameters, bits, curve) \
	{name, parameters, MECHANISM_##kind, RUNNER_##kind, bits, (const uint8_t *)(curve), sizeof(curve) - 1},
    KMN_KEY_PARAMETERS(ROW)
#undef ROW
};
/* clang-format on */

const struct runner_signer *
runner_signer_named(const char *mechanism)
{
	for (size_t n = 0; n < KMN_COUNT_OF(signers); n++)
		if (strcmp(signers[n].name, mechanism) == 0)
			return &signers[n];
	return NULL;
}

const struct runner_maker *
runner_maker_named(const char *mechanism, const char *parameters)
{
	for (size_t n = 0; n < KMN_COUNT_OF(makers); n++)
		if (strcmp(makers[n].name, mechanism) == 0 && strcmp(makers[n].parameters, parameters) == 0)
			return &makers[n];
	return NULL;
}
