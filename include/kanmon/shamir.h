/*
 * Shamir's secret sharing over GF(2^8), x^8 + x^4 + x^3 + x + 1: each byte of
 * a secret is the value at 0 of a polynomial of degree least - 1 whose other
 * coefficients are random; share x is its value at x. Any `least` shares give
 * the secret; fewer say nothing about it.
 *
 * Constant-time: no table, and no branch or index that depends on a byte of a
 * secret or share. Numbers, lengths and the x of shares are no secrets.
 * Nothing here tells a wrong secret from the right one: sealedpin.h does.
 */
#ifndef KANMON_SHAMIR_H
#define KANMON_SHAMIR_H

#include "kanmon/err.h"

#define KMN_SHAMIR_SHARES_MAX 255u
#define KMN_SHAMIR_SECRET_MAX_BYTES 64u

/* Product, and inverse (of 0: 0), in the field. */
uint8_t kmn_shamir_mul(uint8_t a, uint8_t b);
uint8_t kmn_shamir_inverse(uint8_t a);

/*
 * Splits `len` bytes into `count` shares, numbered 1 to `count`: share x is the `len` bytes at y_out + (x - 1) * len.
 * `random`: (least - 1) * len bytes, uniform, used for nothing else; the caller wipes it.
 * Errors: KMN_E_ARGUMENTS unless 1 <= least <= count <= 255 and 1 <= len <= KMN_SHAMIR_SECRET_MAX_BYTES.
 */
kmn_err kmn_shamir_split(const uint8_t *secret, size_t len, unsigned least, unsigned count, const uint8_t *random,
    uint8_t *y_out) KMN_MUST_CHECK;

/*
 * The value at 0 of the polynomials through these `count` shares: the secret, if they are as many as were needed and
 * all are right. x[i] and the `len` bytes at y + i * len are one share.
 * Errors: KMN_E_ARGUMENTS where an x is 0 or stands twice, or a size is none.
 */
kmn_err kmn_shamir_combine(
    const uint8_t *x, const uint8_t *y, unsigned count, size_t len, uint8_t *secret_out) KMN_MUST_CHECK;

#endif
