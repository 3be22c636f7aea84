/*
 * Logins that custodians' shares are gathered for: one key pair for each, made
 * when it is asked for, used for one C_Login and wiped. Safe with threads.
 */
#ifndef KANMON_HSM_LOGINS_H
#define KANMON_HSM_LOGINS_H

#include "kanmon/sealedpin.h"

#define KMN_LOGINS_MAX 16u /* at a time: a token has one user */

struct kmn_logins;

kmn_err kmn_logins_new(struct kmn_logins **logins_out) KMN_MUST_CHECK;
void kmn_logins_free(struct kmn_logins *logins);

/* Errors: KMN_E_TOO_MANY, and those of kmn_activation_new(). */
kmn_err kmn_logins_begin(
    struct kmn_logins *logins, const char *text, size_t len, uint8_t key_out[KMN_SHARE_KEY_BYTES]) KMN_MUST_CHECK;
/* Errors: KMN_E_NOT_FOUND (no such login), and those of kmn_activation_take(); *count_out also then. */
kmn_err kmn_logins_share(struct kmn_logins *logins, const uint8_t key[KMN_SHARE_KEY_BYTES], const uint8_t *box,
    size_t len, unsigned *count_out) KMN_MUST_CHECK;
/* The PIN, for once: the shares are wiped whatever comes of it. Errors: KMN_E_NOT_FOUND, those of kmn_activation_open(). */
kmn_err kmn_logins_use(struct kmn_logins *logins, const uint8_t key[KMN_SHARE_KEY_BYTES], uint8_t **pin_out,
    size_t *len_out) KMN_MUST_CHECK;
/* Wipes it. Nothing where it is not there. */
void kmn_logins_forget(struct kmn_logins *logins, const uint8_t key[KMN_SHARE_KEY_BYTES]);

#endif
