#include "config.h"

#include "kanmon/shamir.h"

#include <sodium.h>

/* Keeps the compiler from seeing that a mask has two values, and making a branch of it. */
static uint32_t
hide(uint32_t value)
{
	__asm__("" : "+r"(value));
	return value;
}

/* All ones where bit `n` of a is set, else 0. */
static uint32_t
mask(uint32_t a, unsigned n)
{
	return hide(0u - (a >> n & 1u));
}

uint8_t
kmn_shamir_mul(uint8_t a, uint8_t b)
{
	uint32_t x = a, product = 0;

	for (unsigned n = 0; n < 8; n++) {
		product ^= x & mask(b, n);
		x = x << 1 ^ (0x11bu & mask(x, 7));
	}
	return (uint8_t)product;
}

/* a^254, for a^255 is 1: 254 = 0b11111110. */
uint8_t
kmn_shamir_inverse(uint8_t a)
{
	uint8_t power = a, inverse = 1;

	for (unsigned n = 1; n < 8; n++) {
		power = kmn_shamir_mul(power, power);
		inverse = kmn_shamir_mul(inverse, power);
	}
	return inverse;
}

static bool
is_size(size_t len)
{
	return len > 0 && len <= KMN_SHAMIR_SECRET_MAX_BYTES;
}

kmn_err
kmn_shamir_split(
    const uint8_t *secret, size_t len, unsigned least, unsigned count, const uint8_t *random, uint8_t *y_out)
{
	if (!is_size(len) || least == 0 || least > count || count > KMN_SHAMIR_SHARES_MAX)
		return KMN_E_ARGUMENTS;
	for (unsigned x = 1; x <= count; x++) {
		for (size_t i = 0; i < len; i++) {
			uint8_t y = 0;

			for (unsigned n = least; n-- > 1;) /* from the highest power down */
				y = kmn_shamir_mul((uint8_t)(y ^ random[(n - 1) * len + i]), (uint8_t)x);
			y_out[(x - 1) * len + i] = y ^ secret[i];
		}
	}
	return KMN_OK;
}

/* What share i counts for: the value at 0 of the polynomial that is 1 at x[i] and 0 at every other x. */
static uint8_t
weight(const uint8_t *x, unsigned count, unsigned i)
{
	uint8_t above = 1, below = 1;

	for (unsigned j = 0; j < count; j++) {
		if (j == i)
			continue;
		above = kmn_shamir_mul(above, x[j]);
		below = kmn_shamir_mul(below, x[i] ^ x[j]);
	}
	return kmn_shamir_mul(above, kmn_shamir_inverse(below));
}

static bool
are_numbers(const uint8_t *x, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (x[i] == 0)
			return false;
		for (unsigned j = 0; j < i; j++)
			if (x[i] == x[j])
				return false;
	}
	return count > 0 && count <= KMN_SHAMIR_SHARES_MAX;
}

kmn_err
kmn_shamir_combine(const uint8_t *x, const uint8_t *y, unsigned count, size_t len, uint8_t *secret_out)
{
	if (!is_size(len) || !are_numbers(x, count))
		return KMN_E_ARGUMENTS;
	sodium_memzero(secret_out, len);
	for (unsigned i = 0; i < count; i++) {
		uint8_t w = weight(x, count, i);

		for (size_t n = 0; n < len; n++)
			secret_out[n] ^= kmn_shamir_mul(w, y[i * len + n]);
	}
	return KMN_OK;
}
