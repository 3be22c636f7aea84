/* What the ledger must never hold, in whatever form: PINs, key values, and plaintexts that could be tried out. */
#include "config.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define PIN_TRIED "Pin-7f93QX"
#define PIN_NEW "New-c61dZW-pin"
#define PIN_USER "Usr-90aaKL-pin"
#define KEY_VALUE "thirty-two bytes of an AES key.."
#define PLAINTEXT "a plaintext of 32 bytes, as here"
#define SEED "seed-5501-of-the-caller"
#define SIGNED "what is signed may be known by its hash"

static const char rules[] = "rule everything\n  client ca other\n  calls login session query key-use key-management "
			    "token-management random\n  mechanisms any\n  allow import extractable\n  need none\n";

static struct rig rig;
static struct rig_app app;
static uint8_t random_bytes[24];

/* ---- a story with secrets ---------------------------------------------------------------------------------------- */

static CK_RV
call(enum kmn_call_id id, struct kmn_arg *arg, size_t n)
{
	return rig_call(&rig, &app, id, arg, n);
}

static void
use_pins(void)
{
	char tried[] = PIN_TRIED, fresh[] = PIN_NEW, user[] = PIN_USER;
	struct kmn_arg login[] = {{.u = app.session}, {.u = CKU_SO}, {.p = tried, .u = strlen(tried)}};
	struct kmn_arg as_user[] = {
	    {.u = app.session}, {.u = CKU_USER}, {.p = user, .u = strlen(user)}, {.p = (char[]){"sato"}, .u = 4}};
	struct kmn_arg init[] = {{.u = app.session}, {.p = fresh, .u = strlen(fresh)}};
	struct kmn_arg set[] = {{.u = app.session}, {.p = tried, .u = strlen(tried)}, {.p = fresh, .u = strlen(fresh)}};

	CU_ASSERT_NOT_EQUAL(call(KMN_C_Login, login, 3), CKR_VENDOR_DEFINED);
	CU_ASSERT_NOT_EQUAL(call(KMN_C_LoginUser, as_user, 4), CKR_VENDOR_DEFINED);
	CU_ASSERT_NOT_EQUAL(call(KMN_C_InitPIN, init, 2), CKR_VENDOR_DEFINED);
	CU_ASSERT_NOT_EQUAL(call(KMN_C_SetPIN, set, 3), CKR_VENDOR_DEFINED);
}

static CK_OBJECT_HANDLE
import_key(void)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_BBOOL yes = CK_TRUE;
	char value[] = KEY_VALUE, label[] = "imported";
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
	    {CKA_VALUE, value, strlen(value)}, {CKA_LABEL, label, strlen(label)}, {CKA_ENCRYPT, &yes, sizeof(yes)},
	    {CKA_DECRYPT, &yes, sizeof(yes)}};
	CK_OBJECT_HANDLE key = 0;
	struct kmn_arg arg[] = {{.u = app.session}, {.p = template, .u = KMN_COUNT_OF(template)}, {.p = &key}};

	CU_ASSERT_EQUAL(call(KMN_C_CreateObject, arg, 3), CKR_OK);
	return key;
}

static void
encrypt_and_decrypt(CK_OBJECT_HANDLE key)
{
	CK_MECHANISM ecb = {CKM_AES_ECB, NULL, 0};
	char plain[] = PLAINTEXT;
	uint8_t cipher[64], again[64];
	CK_ULONG cipher_len = sizeof(cipher), again_len = sizeof(again);
	struct kmn_arg init[] = {{.u = app.session}, {.p = &ecb}, {.u = key}};
	struct kmn_arg encrypt[] = {
	    {.u = app.session}, {.p = plain, .u = strlen(plain)}, {.p = cipher, .n = &cipher_len, .u = sizeof(cipher)}};
	struct kmn_arg decrypt[] = {
	    {.u = app.session}, {.p = cipher, .u = 0}, {.p = again, .n = &again_len, .u = sizeof(again)}};

	CU_ASSERT_EQUAL(call(KMN_C_EncryptInit, init, 3), CKR_OK);
	CU_ASSERT_EQUAL(call(KMN_C_Encrypt, encrypt, 3), CKR_OK);
	decrypt[1].u = cipher_len;
	CU_ASSERT_EQUAL(call(KMN_C_DecryptInit, init, 3), CKR_OK);
	CU_ASSERT_EQUAL(call(KMN_C_Decrypt, decrypt, 3), CKR_OK);
	CU_ASSERT_TRUE(again_len == strlen(plain) && memcmp(again, plain, again_len) == 0);
}

static void
draw_random(void)
{
	char seed[] = SEED;
	struct kmn_arg random[] = {{.u = app.session}, {.p = random_bytes, .u = sizeof(random_bytes)}};
	struct kmn_arg seeding[] = {{.u = app.session}, {.p = seed, .u = strlen(seed)}};

	CU_ASSERT_EQUAL(call(KMN_C_GenerateRandom, random, 2), CKR_OK);
	CU_ASSERT_EQUAL(call(KMN_C_SeedRandom, seeding, 2), CKR_OK);
}

static void
tell_story(void)
{
	uint8_t signature[512];
	CK_OBJECT_HANDLE key;
	CK_ULONG len = sizeof(signature);

	rig_start(&rig, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
	use_pins();
	CU_ASSERT_EQUAL_FATAL(rig_login(&rig, &app), CKR_OK);
	encrypt_and_decrypt(import_key());
	draw_random();
	CU_ASSERT_EQUAL(rig_generate(&rig, &app, "k", &key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign(&rig, &app, SIGNED, signature, &len), CKR_OK);
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
}

/* ---- everything that is on disk ---------------------------------------------------------------------------------- */

static struct {
	uint8_t *bytes;
	size_t len;
	unsigned files;
} disk;

static void
read_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t piece[4096];
	size_t n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0) {
		disk.bytes = realloc(disk.bytes, disk.len + n);
		CU_ASSERT_PTR_NOT_NULL_FATAL(disk.bytes);
		memcpy(disk.bytes + disk.len, piece, n);
		disk.len += n;
	}
	fclose(file);
	disk.files++;
}

static void
read_folder(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char inner[512];

	CU_ASSERT_PTR_NOT_NULL_FATAL(folder);
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		if (entry->d_type == DT_DIR)
			read_folder(inner);
		else
			read_file(inner);
	}
	closedir(folder);
}

/* ---- forms of a secret ------------------------------------------------------------------------------------------- */

static bool
is_there(const void *bytes, size_t len)
{
	return memmem(disk.bytes, disk.len, bytes, len) != NULL;
}

/* As it is, in hex of either case, in base64 at each of its three places in a group. */
static bool
is_written(const uint8_t *bytes, size_t len)
{
	char text[2 * 256 + 4];
	uint8_t shifted[256 + 3];

	if (is_there(bytes, len))
		return true;
	for (int upper = 0; upper < 2; upper++) {
		for (size_t i = 0; i < len; i++)
			snprintf(text + 2 * i, 3, upper ? "%02X" : "%02x", bytes[i]);
		if (is_there(text, 2 * len))
			return true;
	}
	for (size_t shift = 0; shift < 3; shift++) {
		size_t first = shift == 0 ? 0 : 4, whole = (shift + len) / 3 * 4;

		memset(shifted, 0, sizeof(shifted));
		memcpy(shifted + shift, bytes, len);
		kmn_b64(shifted, shift + len, text);
		if (whole > first && is_there(text + first, whole - first))
			return true;
	}
	return false;
}

static const char *const digests[] = {"MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3-256"};
static const char *const obvious[] = {"", "kanmon", "kanmon.example/gw1/2026", "kanmon/commit/v1", "ca", "mock-1", "0"};

/* What of it is on disk: NULL for nothing. */
static const char *
form_on_disk(const uint8_t *secret, size_t len)
{
	static char says[64];

	if (is_written(secret, len))
		return "itself";
	for (size_t d = 0; d < KMN_COUNT_OF(digests); d++) {
		uint8_t out[EVP_MAX_MD_SIZE];
		size_t out_len;

		snprintf(says, sizeof(says), "its %s", digests[d]);
		CU_ASSERT_EQUAL_FATAL(EVP_Q_digest(NULL, digests[d], NULL, secret, len, out, &out_len), 1);
		if (is_written(out, out_len))
			return says;
		snprintf(says, sizeof(says), "its HMAC with %s", digests[d]);
		for (size_t k = 0; k < KMN_COUNT_OF(obvious); k++) {
			const uint8_t *key = (const uint8_t *)obvious[k];
			size_t key_len = strlen(obvious[k]);

			if (EVP_Q_mac(NULL, "HMAC", NULL, digests[d], NULL, key, key_len, secret, len, out, sizeof(out),
				&out_len) != NULL &&
			    is_written(out, out_len))
				return says;
			if (EVP_Q_mac(NULL, "HMAC", NULL, digests[d], NULL, secret, len, key, key_len, out, sizeof(out),
				&out_len) != NULL &&
			    is_written(out, out_len))
				return says;
		}
	}
	return NULL;
}

static const struct {
	const char *says, *secret;
} secrets[] = {
    {"a PIN that was tried", PIN_TRIED},
    {"a PIN that was set", PIN_NEW},
    {"a PIN of C_LoginUser", PIN_USER},
    {"the value of a key", KEY_VALUE},
    {"a plaintext", PLAINTEXT},
    {"a seed", SEED},
};

static void
test_secrets(void)
{
	char path[128];
	const char *form;

	tell_story();
	snprintf(path, sizeof(path), "%s/ledger", rig.dir);
	read_folder(path);
	CU_ASSERT_TRUE(disk.files > 3);
	for (size_t i = 0; i < KMN_COUNT_OF(secrets); i++) {
		form = form_on_disk((const uint8_t *)secrets[i].secret, strlen(secrets[i].secret));
		if (form != NULL)
			printf("# %s: %s\n", secrets[i].says, form);
		CU_ASSERT_PTR_NULL(form);
	}
	CU_ASSERT_PTR_NULL(form_on_disk(random_bytes, sizeof(random_bytes)));
	/* The search finds what is there: data that was signed, by its SHA-256; the label of a key. */
	form = form_on_disk((const uint8_t *)SIGNED, strlen(SIGNED));
	CU_ASSERT_PTR_NOT_NULL_FATAL(form);
	CU_ASSERT_TRUE(strcmp(form, "its SHA256") == 0 || strcmp(form, "itself") == 0);
	CU_ASSERT_TRUE(is_there("imported", 8));
	free(disk.bytes);
	rig_end(&rig);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"no PIN, key value, plaintext, seed or random byte is in the ledger, nor a hash that it could be tried by",
		test_secrets},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"keeper/secrets", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	signal(SIGPIPE, SIG_IGN);
	return kmn_test_main(argc, argv, suites);
}
