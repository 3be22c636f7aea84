/*
 * One job of an operator: what is asked for, and what came of it. The runner
 * is a client: it decides nothing, and what it may do the gateway decides as
 * for every other client.
 */
#ifndef KANMON_RUNNER_RUNNER_H
#define KANMON_RUNNER_RUNNER_H

#include <stddef.h>

#include "kanmon/err.h"
#include "kanmon/messages.h"
#include "kanmon/pkcs11.h"
#include "kanmon/roles.h"

#define RUNNER_NAME_BYTES 256u /* labels, names, each with its NUL */
#define RUNNER_WHY_BYTES 400u
#define RUNNER_SIGNATURE_MAX_BYTES 1024u /* RSA of 8192 bits */

/* Views live as long as the message that brought them. */
struct runner_job {
	uint64_t record; /* of the instruction */
	char what[16], token[RUNNER_NAME_BYTES], serial[RUNNER_NAME_BYTES], rule[RUNNER_NAME_BYTES],
	    label[RUNNER_NAME_BYTES], mechanism[RUNNER_NAME_BYTES], parameters[1024], purpose[1024];
	const uint8_t *id, *file, *pin;
	size_t id_len, file_len, pin_len;
	uint32_t wait_s;
};

struct runner_outcome {
	char why[RUNNER_WHY_BYTES]; /* why not; "" when it is done */
	uint64_t request;           /* 0: none is known */
};

/* ---- settings.c: what the provider (and a question of our own) connects with --------------------------------------- */

/* For the life of the process; `setup` is borrowed. False: said why. */
bool runner_settings_take(const struct kmn_runner_setup *setup) KMN_MUST_CHECK;
/* How long calls wait for a quorum, from the next C_Initialize on. */
void runner_settings_wait(uint32_t seconds);

/* ---- work.c: one job, by PKCS#11 ---------------------------------------------------------------------------------- */

void runner_work(const struct runner_job *job, struct runner_outcome *outcome);

/* ---- window.c: a window is asked for, and is no call -------------------------------------------------------------- */

void runner_window(const struct runner_job *job, struct runner_outcome *outcome);

/* ---- kinds.c: what can be signed with and made -------------------------------------------------------------------- */

enum runner_key { RUNNER_RSA, RUNNER_EC, RUNNER_EDWARDS };

struct runner_signer {
	const char *name; /* of the mechanism */
	CK_MECHANISM_TYPE mechanism;
	enum runner_key key;
	CK_MECHANISM_TYPE hash; /* of PSS parameters, else 0 */
	CK_ULONG mgf, salt_len; /* likewise */
};

struct runner_maker {
	const char *name, *parameters;
	CK_MECHANISM_TYPE mechanism;
	enum runner_key key;
	CK_ULONG bits;        /* of RSA */
	const uint8_t *curve; /* DER of CKA_EC_PARAMS */
	size_t curve_len;
};

/* NULL: there is no such one. */
const struct runner_signer *runner_signer_named(const char *mechanism);
const struct runner_maker *runner_maker_named(const char *mechanism, const char *parameters);

/* ---- der.c -------------------------------------------------------------------------------------------------------- */

/*
 * SubjectPublicKeyInfo (free()) of a key by what CKA_MODULUS and CKA_PUBLIC_EXPONENT, or CKA_EC_PARAMS and CKA_EC_POINT
 * say. KMN_E_MALFORMED: they are those of no key.
 */
kmn_err runner_spki(enum runner_key key, const uint8_t *first, size_t first_len, const uint8_t *second,
    size_t second_len, uint8_t **spki_out, size_t *len_out) KMN_MUST_CHECK;

#endif
