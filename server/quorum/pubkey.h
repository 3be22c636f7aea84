/* A public key that signatures are verified by, many of them and by any number of threads: pubkey.c. */
#ifndef KANMON_SERVER_QUORUM_PUBKEY_H
#define KANMON_SERVER_QUORUM_PUBKEY_H

#include <openssl/evp.h>

#include "kanmon/operation.h"

EVP_PKEY *public_key_peek(const struct kmn_public_key *key);
/* `sig`: r || s as PKCS#11 has it. KMN_E_SIGNATURE: no signature of that, or no such key. */
kmn_err public_key_verify_ecdsa(
    struct kmn_public_key *key, const uint8_t *digest, size_t digest_len, const uint8_t *sig, size_t sig_len);
kmn_err public_key_verify_eddsa(
    const struct kmn_public_key *key, const uint8_t *data, size_t len, const uint8_t *sig, size_t sig_len);

#endif
