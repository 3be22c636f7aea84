/* A PIN under shares: dealt, passed on, opened; and everything that must not open it. */
#include "kanmon/keyfile.h"
#include "kanmon/sealedpin.h"
#include "tests/unit/run.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIN "correct-4711"
#define PEOPLE 3u

static const char *const names[PEOPLE] = {"sato", "suzuki", "tanaka"};
static uint8_t public[PEOPLE][KMN_SHARE_KEY_BYTES], secret[PEOPLE][crypto_box_SECRETKEYBYTES];

static char *
deal(const char *pin, unsigned least)
{
	struct kmn_deal d = {.origin = "kanmon.example/gw1",
	    .token = "root",
	    .made_ms = 1795428000000,
	    .least = least,
	    .count = PEOPLE,
	    .name = names,
	    .share_key = (const uint8_t(*)[KMN_SHARE_KEY_BYTES]) public,
	    .pin = pin,
	    .pin_len = strlen(pin)};
	uint8_t random[KMN_DEAL_RANDOM_BYTES];
	char *text = NULL;

	randombytes_buf(random, sizeof(random));
	for (unsigned i = 0; i < PEOPLE; i++)
		crypto_box_keypair(public[i], secret[i]);
	CU_ASSERT_EQUAL_FATAL(kmn_sealed_pin_deal(&d, random, &text), KMN_OK);
	return text;
}

/* One custodian's share for that login. */
static kmn_err
pass(const char *text, unsigned who, const struct kmn_activation *a, uint8_t box[KMN_SHARE_BOX_BYTES])
{
	struct kmn_sealed_pin *pin;
	kmn_err e;

	CU_ASSERT_EQUAL_FATAL(kmn_sealed_pin_parse(text, strlen(text), &pin), KMN_OK);
	e = kmn_sealed_pin_pass_on(pin, names[who], public[who], secret[who], kmn_activation_key(a), box);
	kmn_sealed_pin_free(pin);
	return e;
}

static unsigned
give(const char *text, unsigned who, struct kmn_activation *a)
{
	uint8_t box[KMN_SHARE_BOX_BYTES];
	unsigned count = 0;

	CU_ASSERT_EQUAL(pass(text, who, a, box), KMN_OK);
	CU_ASSERT_EQUAL(kmn_activation_take(a, box, sizeof(box), &count), KMN_OK);
	return count;
}

static struct kmn_activation *
begin(const char *text)
{
	struct kmn_activation *a;

	CU_ASSERT_EQUAL_FATAL(kmn_activation_new(text, strlen(text), &a), KMN_OK);
	return a;
}

static void
expect_open(const struct kmn_activation *a, kmn_err want)
{
	uint8_t *pin = NULL;
	size_t len = 0;

	CU_ASSERT_EQUAL(kmn_activation_open(a, &pin, &len), want);
	CU_ASSERT_EQUAL(pin != NULL, want == KMN_OK);
	if (pin != NULL) {
		CU_ASSERT_EQUAL(len, strlen(PIN));
		CU_ASSERT_EQUAL(memcmp(pin, PIN, len), 0);
	}
	sodium_free(pin);
}

static void
test_any_two_open(void)
{
	char *text = deal(PIN, 2);

	for (unsigned set = 0; set < 1u << PEOPLE; set++) {
		struct kmn_activation *a = begin(text);
		unsigned count = 0;

		for (unsigned i = 0; i < PEOPLE; i++)
			if (set >> i & 1)
				CU_ASSERT_EQUAL(give(text, i, a), ++count);
		expect_open(a, count >= 2 ? KMN_OK : KMN_E_AGAIN);
		kmn_activation_free(a);
	}
	free(text);
}

static void
test_twice_is_once(void)
{
	char *text = deal(PIN, 2);
	struct kmn_activation *a = begin(text);

	CU_ASSERT_EQUAL(give(text, 1, a), 1);
	CU_ASSERT_EQUAL(give(text, 1, a), 1);
	expect_open(a, KMN_E_AGAIN);
	CU_ASSERT_EQUAL(give(text, 0, a), 2);
	expect_open(a, KMN_OK);
	kmn_activation_free(a);
	free(text);
}

/* A share of another deal, of another login's key, and a changed one: each is told at once, and harms nothing. */
static void
test_wrong_shares(void)
{
	char *text = deal(PIN, 2), *other;
	uint8_t old_public[PEOPLE][KMN_SHARE_KEY_BYTES], old_secret[PEOPLE][crypto_box_SECRETKEYBYTES];
	struct kmn_activation *a = begin(text), *b;
	uint8_t box[KMN_SHARE_BOX_BYTES], made[KMN_SHARE_BYTES] = {0};
	unsigned count = 7;

	CU_ASSERT_EQUAL(give(text, 0, a), 1);
	memcpy(old_public, public, sizeof(public));
	memcpy(old_secret, secret, sizeof(secret));
	other = deal(PIN, 2);
	b = begin(other);
	CU_ASSERT_EQUAL(pass(other, 1, a, box), KMN_OK);
	CU_ASSERT_EQUAL(kmn_activation_take(a, box, sizeof(box), &count), KMN_E_CORRUPT);
	CU_ASSERT_EQUAL(count, 1);
	CU_ASSERT_EQUAL(pass(other, 1, b, box), KMN_OK);
	CU_ASSERT_EQUAL(kmn_activation_take(a, box, sizeof(box), &count), KMN_E_PASSPHRASE);
	CU_ASSERT_EQUAL(kmn_activation_take(a, box, sizeof(box) - 1, &count), KMN_E_PASSPHRASE);
	CU_ASSERT_EQUAL(crypto_box_seal(box, made, sizeof(made), kmn_activation_key(a)), 0);
	CU_ASSERT_EQUAL(kmn_activation_take(a, box, sizeof(box), &count), KMN_E_CORRUPT);
	/* The keys of now do not open the boxes of then. */
	CU_ASSERT_EQUAL(pass(text, 1, a, box), KMN_E_PASSPHRASE);
	memcpy(public, old_public, sizeof(public));
	memcpy(secret, old_secret, sizeof(secret));
	CU_ASSERT_EQUAL(give(text, 2, a), 2);
	expect_open(a, KMN_OK);
	kmn_activation_free(a);
	kmn_activation_free(b);
	free(text);
	free(other);
}

/* Each byte of the file that is no share of somebody else, changed: not read, or never opened. */
static void
test_changed_file(void)
{
	char *text = deal(PIN, 2);
	size_t len = strlen(text), head = (size_t)(strstr(text, "\nshare ") - text), opened = 0;

	for (size_t i = 0; i < len; i++) {
		struct kmn_activation *a = NULL;
		char was = text[i];

		if (i > head && i < (size_t)(strstr(text, "\nnonce ") - text))
			continue;
		text[i] = was == 'A' ? 'B' : 'A';
		if (kmn_activation_new(text, len, &a) == KMN_OK) {
			uint8_t *pin = NULL;
			size_t pin_len;

			for (unsigned who = 0; who < 2; who++) {
				uint8_t box[KMN_SHARE_BOX_BYTES];
				unsigned count;

				if (pass(text, who, a, box) == KMN_OK)
					(void)!kmn_activation_take(a, box, sizeof(box), &count);
			}
			opened += kmn_activation_open(a, &pin, &pin_len) == KMN_OK;
			sodium_free(pin);
			kmn_activation_free(a);
		}
		text[i] = was;
	}
	CU_ASSERT_EQUAL(opened, 0);
	free(text);
}

/* A line with other shares in it: the associated data is another. */
static void
test_changed_share(void)
{
	char *text = deal(PIN, 2), *last = strstr(text, "share tanaka 3 ");
	struct kmn_activation *a;

	last += sizeof("share tanaka 3 ") - 1; /* tanaka's commitment */
	*last = *last == 'A' ? 'B' : 'A';
	if (kmn_activation_new(text, strlen(text), &a) == KMN_OK) {
		CU_ASSERT_EQUAL(give(text, 0, a), 1);
		CU_ASSERT_EQUAL(give(text, 1, a), 2);
		expect_open(a, KMN_E_CORRUPT);
		kmn_activation_free(a);
	} else {
		CU_FAIL("the changed line cannot be read");
	}
	free(text);
}

static void
test_form(void)
{
	static const struct {
		const char *from, *to;
	} changes[] = {
	    {"kanmon/sealed-pin/v1", "kanmon/sealed-pin/v2"},
	    {"least 2", "least 02"},
	    {"least 2", "least 0"},
	    {"least 2", "least 4"},
	    {"user CKU_USER", "user CKU_SO"},
	    {"share suzuki 2", "share suzuki 3"},
	    {"share suzuki 2", "share sato 2"},
	    {"share suzuki 2", "share su/zuki 2"},
	    {"token root", "token ro ot"},
	    {"\nnonce ", "\n\nnonce "},
	    {"\npin ", "\npin  "},
	    {"\norigin ", "\nextra\norigin "},
	};
	char *text = deal(PIN, 2), copy[KMN_SEALED_PIN_MAX_BYTES];
	struct kmn_sealed_pin *pin;
	size_t len = strlen(text);

	CU_ASSERT_EQUAL(kmn_sealed_pin_parse(text, len, &pin), KMN_OK);
	CU_ASSERT_STRING_EQUAL(kmn_sealed_pin_token(pin), "root");
	CU_ASSERT_STRING_EQUAL(kmn_sealed_pin_origin(pin), "kanmon.example/gw1");
	CU_ASSERT_EQUAL(kmn_sealed_pin_least(pin), 2);
	CU_ASSERT_STRING_EQUAL(kmn_sealed_pin_share_at(pin, 2)->name, "tanaka");
	CU_ASSERT_PTR_NULL(kmn_sealed_pin_share_at(pin, 3));
	kmn_sealed_pin_free(pin);
	for (size_t i = 0; i < KMN_COUNT_OF(changes); i++) {
		const char *at = strstr(text, changes[i].from);

		snprintf(copy, sizeof(copy), "%.*s%s%s", (int)(at - text), text, changes[i].to,
		    at + strlen(changes[i].from));
		CU_ASSERT_EQUAL(kmn_sealed_pin_parse(copy, strlen(copy), &pin), KMN_E_MALFORMED);
		CU_ASSERT_PTR_NULL(pin);
	}
	for (size_t cut = 0; cut < len; cut++)
		CU_ASSERT_EQUAL(kmn_sealed_pin_parse(text, cut, &pin), KMN_E_MALFORMED);
	CU_ASSERT_EQUAL(kmn_sealed_pin_parse(text, KMN_SEALED_PIN_MAX_BYTES + 1, &pin), KMN_E_TOO_BIG);
	free(text);
}

/* Neither the PIN nor its length is in the file, and no two deals are alike. */
static void
test_tells_nothing(void)
{
	char *text = deal(PIN, 1), *longer = deal("a PIN of quite another length, of which nobody is told", 1);

	CU_ASSERT_PTR_NULL(strstr(text, PIN));
	CU_ASSERT_EQUAL(strlen(text), strlen(longer));
	CU_ASSERT_NOT_EQUAL(strcmp(strstr(text, "deal "), strstr(longer, "deal ")), 0);
	free(text);
	free(longer);
}

static void
test_deals_that_cannot_be(void)
{
	static const uint8_t none[1][KMN_SHARE_KEY_BYTES];
	static const char *const twice[] = {"sato", "sato"};
	static const uint8_t keys[2][KMN_SHARE_KEY_BYTES] = {{9}, {9}};
	struct kmn_deal d = {.origin = "o",
	    .token = "root",
	    .least = 1,
	    .count = 1,
	    .name = names,
	    .share_key = none,
	    .pin = "1",
	    .pin_len = 1};
	uint8_t random[KMN_DEAL_RANDOM_BYTES] = {1};
	char *text;

	CU_ASSERT_EQUAL(kmn_sealed_pin_deal(&d, random, &text), KMN_E_ARGUMENTS); /* a key of small order */
	d.share_key = keys;
	CU_ASSERT_EQUAL(kmn_sealed_pin_deal(&d, random, &text), KMN_OK);
	free(text);
	d.pin_len = 0;
	CU_ASSERT_EQUAL(kmn_sealed_pin_deal(&d, random, &text), KMN_E_ARGUMENTS);
	d.pin_len = 1;
	d.least = 2;
	CU_ASSERT_EQUAL(kmn_sealed_pin_deal(&d, random, &text), KMN_E_ARGUMENTS);
	d.count = 2;
	d.name = twice;
	CU_ASSERT_EQUAL(kmn_sealed_pin_deal(&d, random, &text), KMN_E_ARGUMENTS);
}

/* Of a seed of 00 01 .. 1f: a key file opens its shares for ever. */
static void
test_share_key(void)
{
	static const uint8_t want[32] = {0x97, 0xee, 0x02, 0x6b, 0x2f, 0x48, 0x6a, 0xb1, 0x75, 0x27, 0x65, 0x06, 0x62,
	    0x3d, 0xa7, 0xd9, 0x42, 0xb1, 0xf1, 0x6c, 0x55, 0xa6, 0xd3, 0x3d, 0xec, 0x36, 0x86, 0xe8, 0x2d, 0x43, 0xbf,
	    0x5e};
	uint8_t random[KMN_KEYFILE_RANDOM_BYTES], mine[32], again[32], *half = sodium_malloc(32);
	struct kmn_keyfile *key = NULL;
	char *text = NULL;

	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)i;
	CU_ASSERT_EQUAL_FATAL(
	    kmn_keyfile_seal("kanmon.example/sato", random, "words", 5, KMN_KEYFILE_TESTING, &text), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_keyfile_open(text, strlen(text), "words", 5, &key), KMN_OK);
	kmn_keyfile_share_key(key, mine, half);
	CU_ASSERT_EQUAL(crypto_scalarmult_base(again, half), 0);
	CU_ASSERT_EQUAL(memcmp(mine, again, 32), 0);
	CU_ASSERT_EQUAL(memcmp(mine, want, 32), 0);
	kmn_keyfile_free(key);
	sodium_free(half);
	free(text);
}

static CU_TestInfo cases[] = {
    {"any two of three open it, no one alone", test_any_two_open},
    {"the same share twice counts once", test_twice_is_once},
    {"shares of another deal, login or making are told from right ones", test_wrong_shares},
    {"a changed file is not read, or never opens", test_changed_file},
    {"a changed share of somebody who is not there is noticed", test_changed_share},
    {"what is not exactly of the form is refused", test_form},
    {"the file tells neither the PIN nor its length", test_tells_nothing},
    {"deals that cannot be are refused", test_deals_that_cannot_be},
    {"the share key is made of the key file's seed", test_share_key},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"quorum/sealedpin", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	if (sodium_init() < 0)
		return 99;
	return kmn_test_main(argc, argv, suites);
}
