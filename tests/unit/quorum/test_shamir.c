/* The field against a naive one made of its definition, the scheme against published and fixed values. */
#include "kanmon/shamir.h"
#include "tests/unit/run.h"

#include <stdint.h>
#include <string.h>

/* ---- the naive field: polynomials over bits, divided as on paper --------------------------------------------------- */

static uint8_t product[256][256], inverse[256];

static uint8_t
naive_mul(unsigned a, unsigned b)
{
	unsigned long p = 0;

	for (unsigned i = 0; i < 8; i++)
		for (unsigned j = 0; j < 8; j++)
			if ((a >> i & 1) && (b >> j & 1))
				p ^= 1ul << (i + j);
	for (unsigned n = 15; n >= 8; n--)
		if (p >> n & 1)
			p ^= 0x11bul << (n - 8);
	return (uint8_t)p;
}

static void
make_tables(void)
{
	for (unsigned a = 0; a < 256; a++)
		for (unsigned b = 0; b < 256; b++) {
			product[a][b] = naive_mul(a, b);
			if (product[a][b] == 1)
				inverse[a] = (uint8_t)b;
		}
}

static void
test_field(void)
{
	unsigned wrong = 0;

	make_tables();
	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++)
			wrong += kmn_shamir_mul((uint8_t)a, (uint8_t)b) != product[a][b];
		wrong += kmn_shamir_inverse((uint8_t)a) != inverse[a];
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(kmn_shamir_mul(0x57, 0x83), 0xc1); /* FIPS 197, 4.2 */
	CU_ASSERT_EQUAL(kmn_shamir_mul(0x57, 0x13), 0xfe);
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

static size_t
unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned high = (unsigned)(strchr("0123456789abcdef", hex[2 * i]) - "0123456789abcdef");
		unsigned low = (unsigned)(strchr("0123456789abcdef", hex[2 * i + 1]) - "0123456789abcdef");

		out[i] = (uint8_t)(high << 4 | low);
	}
	return n;
}

/* draft-mcgrew-tss-03, section 9: 2 of 2. */
static void
test_published(void)
{
	const uint8_t x[] = {1, 2}, back[] = {2, 1};
	uint8_t y[10], swapped[10], secret[5], want[5];

	unhex("b9fa07e185", y);
	unhex("f5409b4511", y + 5);
	memcpy(swapped, y + 5, 5);
	memcpy(swapped + 5, y, 5);
	unhex("7465737400", want);
	CU_ASSERT_EQUAL(kmn_shamir_combine(x, y, 2, 5, secret), KMN_OK);
	CU_ASSERT_EQUAL(memcmp(secret, want, 5), 0);
	CU_ASSERT_EQUAL(kmn_shamir_combine(back, swapped, 2, 5, secret), KMN_OK);
	CU_ASSERT_EQUAL(memcmp(secret, want, 5), 0);
}

/* Made by another program, from the definition. */
static const struct {
	unsigned least, count;
	const char *secret, *random, *share[5];
} fixed[] = {
    {1, 3, "5b550035", "", {"5b550035", "5b550035", "5b550035"}},
    {2, 3, "efca440675d514693dc3038578bc8943e17d4d2d6c52ee285e8221316fcb498a",
	"6462d70f66666410a8712c8dfd38b7d1bedc74a501aa761bfd55151f23297ab0",
	{"8ba8930913b3707995b22f0885843e925fa139886df89833a3d7342e4ce2333a",
	    "270ef118b919dc4976215b8499ccfcfa86dea57c6e1d021ebf280b0f2999bdf1",
	    "436c2617df7fb859de50770964f44b2b3802d1d96fb77405427d1e100ab0c741"}},
    {3, 5, "d443c2727374fc09a119cf1460ea876d", "1bba6b87ee90ec56b8348be17583142e2de0443b3c624de6379724d099dd127e",
	{"e219edcea1865db92eba60258cb4813d", "56811f8b44dc1010161b52a0d8aee7d2", "60db3037962eb1a099b8fd9134f0e182",
	    "5e1f59c50b78dda82a7aa312fcafec74", "68457679d98a7c18a5d90c2310f1ea24"}},
    {5, 5, "789c36f17ad6dc4e", "1c7c4d0237bae4285736f358e876b0ed2f97a62e9657470e8c37814d085ee4cb",
	{"9076afc83b132b4e", "7c35c259c56335f3", "7680a284dd4f4bd7", "a1678a4ec6867051", "335433194a039c89"}},
};

/* Every set of `least` or more shares gives the secret back, and no smaller one does. */
static void
combine_all(const uint8_t *y, unsigned least, unsigned count, const uint8_t *secret, size_t len)
{
	for (unsigned set = 1; set < 1u << count; set++) {
		uint8_t x[5], some[5 * 32], out[32];
		unsigned n = 0;

		for (unsigned i = 0; i < count; i++)
			if (set >> i & 1) {
				x[n] = (uint8_t)(i + 1);
				memcpy(some + n++ * len, y + i * len, len);
			}
		CU_ASSERT_EQUAL(kmn_shamir_combine(x, some, n, len, out), KMN_OK);
		CU_ASSERT_EQUAL(memcmp(out, secret, len) == 0, n >= least);
	}
}

static void
test_fixed(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(fixed); i++) {
		uint8_t secret[32], random[4 * 32], y[5 * 32], want[32];
		size_t len = unhex(fixed[i].secret, secret);

		unhex(fixed[i].random, random);
		CU_ASSERT_EQUAL(kmn_shamir_split(secret, len, fixed[i].least, fixed[i].count, random, y), KMN_OK);
		for (unsigned n = 0; n < fixed[i].count; n++) {
			unhex(fixed[i].share[n], want);
			CU_ASSERT_EQUAL(memcmp(y + n * len, want, len), 0);
		}
		combine_all(y, fixed[i].least, fixed[i].count, secret, len);
	}
}

/* 255 shares, all needed, and all but one: the largest that there is. */
static void
test_largest(void)
{
	static uint8_t random[254], y[255], x[255];
	const uint8_t secret = 0xa5;
	uint8_t out = 0;

	for (unsigned i = 0; i < 255; i++) {
		random[i % 254] = (uint8_t)(i * 7 + 1);
		x[i] = (uint8_t)(i + 1);
	}
	CU_ASSERT_EQUAL(kmn_shamir_split(&secret, 1, 255, 255, random, y), KMN_OK);
	CU_ASSERT_EQUAL(kmn_shamir_combine(x, y, 255, 1, &out), KMN_OK);
	CU_ASSERT_EQUAL(out, secret);
	y[100] ^= 1;
	CU_ASSERT_EQUAL(kmn_shamir_combine(x, y, 255, 1, &out), KMN_OK);
	CU_ASSERT_NOT_EQUAL(out, secret);
}

/* With one share less than needed every secret fits: for each there is one further share that gives it. */
static void
test_fewer_say_nothing(void)
{
	const uint8_t secret = 0x42, random[2] = {0x99, 0x17};
	uint8_t y[3], x[3] = {1, 2, 3}, out;
	bool seen[256] = {false};
	unsigned count = 0;

	CU_ASSERT_EQUAL(kmn_shamir_split(&secret, 1, 3, 3, random, y), KMN_OK);
	for (unsigned third = 0; third < 256; third++) {
		y[2] = (uint8_t)third;
		CU_ASSERT_EQUAL(kmn_shamir_combine(x, y, 3, 1, &out), KMN_OK);
		count += !seen[out];
		seen[out] = true;
	}
	CU_ASSERT_EQUAL(count, 256);
}

static void
test_arguments(void)
{
	const uint8_t secret[65] = {1}, random[65] = {2};
	uint8_t y[3 * 65], out[65], x[3] = {1, 2, 3};

	CU_ASSERT_EQUAL(kmn_shamir_split(secret, 1, 0, 3, random, y), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_shamir_split(secret, 1, 4, 3, random, y), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_shamir_split(secret, 1, 1, 256, random, y), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_shamir_split(secret, 0, 2, 3, random, y), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_shamir_split(secret, 65, 2, 3, random, y), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_shamir_split(secret, 1, 2, 3, random, y), KMN_OK);
	CU_ASSERT_EQUAL(kmn_shamir_combine(x, y, 0, 1, out), KMN_E_ARGUMENTS);
	CU_ASSERT_EQUAL(kmn_shamir_combine(x, y, 2, 65, out), KMN_E_ARGUMENTS);
	x[1] = 1;
	CU_ASSERT_EQUAL(kmn_shamir_combine(x, y, 2, 1, out), KMN_E_ARGUMENTS);
	x[1] = 0;
	CU_ASSERT_EQUAL(kmn_shamir_combine(x, y, 2, 1, out), KMN_E_ARGUMENTS);
}

static CU_TestInfo cases[] = {
    {"the field: all products and inverses are those of the definition", test_field},
    {"published shares (draft-mcgrew-tss-03) give their secret, in either order", test_published},
    {"fixed shares are made, and every set of enough gives the secret, none of fewer", test_fixed},
    {"255 of 255, and one wrong share among them", test_largest},
    {"one share too few: every secret is as likely as before", test_fewer_say_nothing},
    {"sizes and numbers that cannot be are refused", test_arguments},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"quorum/shamir", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
