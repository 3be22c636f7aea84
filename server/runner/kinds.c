#include "config.h"

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

static const uint8_t p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static const uint8_t p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static const uint8_t p521[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23};
static const uint8_t edwards25519[] = {0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9'};

static const struct runner_maker makers[] = {
/*	name                           parameters  mechanism                  key             bits  curve */
	{"CKM_RSA_PKCS_KEY_PAIR_GEN",   "2048",    CKM_RSA_PKCS_KEY_PAIR_GEN, RUNNER_RSA,     2048, NULL, 0},
	{"CKM_RSA_PKCS_KEY_PAIR_GEN",   "3072",    CKM_RSA_PKCS_KEY_PAIR_GEN, RUNNER_RSA,     3072, NULL, 0},
	{"CKM_RSA_PKCS_KEY_PAIR_GEN",   "4096",    CKM_RSA_PKCS_KEY_PAIR_GEN, RUNNER_RSA,     4096, NULL, 0},
	{"CKM_EC_KEY_PAIR_GEN",         "P-256",   CKM_EC_KEY_PAIR_GEN,       RUNNER_EC,      0,    p256, sizeof(p256)},
	{"CKM_EC_KEY_PAIR_GEN",         "P-384",   CKM_EC_KEY_PAIR_GEN,       RUNNER_EC,      0,    p384, sizeof(p384)},
	{"CKM_EC_KEY_PAIR_GEN",         "P-521",   CKM_EC_KEY_PAIR_GEN,       RUNNER_EC,      0,    p521, sizeof(p521)},
	{"CKM_EC_EDWARDS_KEY_PAIR_GEN", "Ed25519", MECHANISM_EDWARDS_PAIR,    RUNNER_EDWARDS, 0,    edwards25519, sizeof(edwards25519)},
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
