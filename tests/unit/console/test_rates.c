#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "server/console/rates.h"
#include "tests/unit/run.h"

static struct kmn_rates rates;

static const uint8_t *
key_of(uint32_t n)
{
	static uint8_t key[KMN_RATES_KEY_BYTES];

	memset(key, 0, sizeof(key));
	memcpy(key, &n, sizeof(n));
	return key;
}

static void
test_per_minute(void)
{
	unsigned granted = 0;

	kmn_rates_init(&rates, 60, 3, 1000);
	for (unsigned i = 0; i < 100; i++)
		granted += kmn_rates_take(&rates, key_of(1), 5000);
	CU_ASSERT_EQUAL(granted, 60);
	CU_ASSERT_TRUE(kmn_rates_take(&rates, key_of(2), 5000)); /* another one is not touched */
	CU_ASSERT_FALSE(kmn_rates_take(&rates, key_of(1), 5999));
	CU_ASSERT_TRUE(kmn_rates_take(&rates, key_of(1), 6000)); /* a second, a question */
	CU_ASSERT_FALSE(kmn_rates_take(&rates, key_of(1), 6000));
	for (granted = 0; kmn_rates_take(&rates, key_of(1), 10000000); granted++)
		;
	CU_ASSERT_EQUAL(granted, 60); /* however long it was silent */
}

static void
test_lockout(void)
{
	kmn_rates_init(&rates, 60, 3, 1000);
	CU_ASSERT_EQUAL(kmn_rates_refused(&rates, key_of(1), 10), 0);
	CU_ASSERT_EQUAL(kmn_rates_refused(&rates, key_of(1), 10), 0);
	kmn_rates_welcome(&rates, key_of(1), 10);
	CU_ASSERT_EQUAL(kmn_rates_refused(&rates, key_of(1), 10), 0);
	CU_ASSERT_EQUAL(kmn_rates_refused(&rates, key_of(1), 10), 0);
	CU_ASSERT_EQUAL(kmn_rates_locked_ms(&rates, key_of(1), 10), 0);
	CU_ASSERT_EQUAL(kmn_rates_refused(&rates, key_of(1), 10), 3);
	CU_ASSERT_EQUAL(kmn_rates_locked_ms(&rates, key_of(1), 10), 1000);
	CU_ASSERT_EQUAL(kmn_rates_locked_ms(&rates, key_of(1), 1009), 1);
	CU_ASSERT_EQUAL(kmn_rates_locked_ms(&rates, key_of(1), 1010), 0);
	CU_ASSERT_EQUAL(kmn_rates_locked_ms(&rates, key_of(2), 10), 0);
}

/* A crowd takes places from who asked long ago, not from who is shut out. */
static void
test_crowd(void)
{
	kmn_rates_init(&rates, 60, 1, 100000);
	CU_ASSERT_EQUAL(kmn_rates_refused(&rates, key_of(7), 1), 1);
	for (uint32_t i = 1000; i < 1000 + 10 * KMN_RATES_PLACES; i++)
		CU_ASSERT_TRUE(kmn_rates_take(&rates, key_of(i), 2));
	CU_ASSERT_TRUE(kmn_rates_locked_ms(&rates, key_of(7), 3) > 0);
}

static void
test_keys(void)
{
	struct sockaddr_in four = {.sin_family = AF_INET}, other = four;
	struct sockaddr_in6 six = {.sin6_family = AF_INET6}, near = six, far = six;
	uint8_t a[KMN_RATES_KEY_BYTES], b[KMN_RATES_KEY_BYTES];

	CU_ASSERT_EQUAL(
	    inet_pton(AF_INET, "192.0.2.1", &four.sin_addr) + inet_pton(AF_INET, "192.0.2.2", &other.sin_addr), 2);
	kmn_rates_key(&four, a);
	kmn_rates_key(&other, b);
	CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
	CU_ASSERT_EQUAL(inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr) +
			    inet_pton(AF_INET6, "2001:db8::2", &near.sin6_addr) +
			    inet_pton(AF_INET6, "2001:db8:0:1::1", &far.sin6_addr),
	    3);
	kmn_rates_key(&six, a);
	kmn_rates_key(&near, b);
	CU_ASSERT_EQUAL(memcmp(a, b, sizeof(a)), 0);
	kmn_rates_key(&far, b);
	CU_ASSERT_NOT_EQUAL(memcmp(a, b, sizeof(a)), 0);
}

static CU_TestInfo rates_tests[] = {
    {"so many questions a minute, and no more after a silence", test_per_minute},
    {"refused sign-ins shut out, a good one forgets them, and time ends it", test_lockout},
    {"a crowd of addresses does not let in who is shut out", test_crowd},
    {"an IPv4 address is one, an IPv6 network is one", test_keys},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	static CU_SuiteInfo suites[] = {
	    {"console/rates", NULL, NULL, NULL, NULL, rates_tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
