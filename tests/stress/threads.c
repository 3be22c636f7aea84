/* Threads of one application: what each does must come out as if it were alone. */
#include "config.h"

#include "tests/stress/stress.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/base.h"
#include "tests/stress/app.h"

#define BLOCK_BYTES 256 /* a multiple of AES's */
#define PARTS 3

struct thread {
	struct app *app;
	EVP_PKEY *verifier; /* shared, only read */
	CK_OBJECT_HANDLE key;
	unsigned long number, operations, done;
	pthread_t id;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE own; /* an AES key, a session object */
	CK_BYTE value[32], block[BLOCK_BYTES];
	char label[32], text[64];
};

static bool
digests(struct thread *t)
{
	CK_MECHANISM mechanism = {CKM_SHA256, NULL, 0};
	CK_BYTE got[SHA256_DIGEST_LENGTH], want[SHA256_DIGEST_LENGTH];
	CK_ULONG len = sizeof(got);

	(void)EVP_Digest(t->block, sizeof(t->block), want, NULL, EVP_sha256(), NULL);
	return app_is(t->app->p11->C_DigestInit(t->session, &mechanism), CKR_OK, "C_DigestInit") &&
	       app_is(t->app->p11->C_Digest(t->session, t->block, sizeof(t->block), got, &len), CKR_OK, "C_Digest") &&
	       app_holds(len == sizeof(got) && memcmp(got, want, len) == 0, "another thread's digest");
}

static bool
digests_parts(struct thread *t)
{
	CK_MECHANISM mechanism = {CKM_SHA256, NULL, 0};
	CK_BYTE got[SHA256_DIGEST_LENGTH], want[SHA256_DIGEST_LENGTH], all[PARTS * sizeof(t->block)];
	CK_ULONG len = sizeof(got);

	if (!app_is(t->app->p11->C_DigestInit(t->session, &mechanism), CKR_OK, "C_DigestInit"))
		return false;
	for (size_t i = 0; i < PARTS; i++) {
		memcpy(all + i * sizeof(t->block), t->block, sizeof(t->block));
		if (!app_is(
			t->app->p11->C_DigestUpdate(t->session, t->block, sizeof(t->block)), CKR_OK, "C_DigestUpdate"))
			return false;
	}
	(void)EVP_Digest(all, sizeof(all), want, NULL, EVP_sha256(), NULL);
	return app_is(t->app->p11->C_DigestFinal(t->session, got, &len), CKR_OK, "C_DigestFinal") &&
	       app_holds(len == sizeof(got) && memcmp(got, want, len) == 0, "another thread's parts");
}

static bool
signs(struct thread *t)
{
	CK_BYTE signature[SIGNATURE_MAX_BYTES];
	CK_ULONG len;

	return app_is(app_sign(t->app, t->session, t->key, t->text, signature, &len), CKR_OK, "C_Sign") &&
	       app_verifies(t->verifier, t->text, signature, len);
}

static bool
signs_parts(struct thread *t)
{
	CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
	CK_BYTE signature[SIGNATURE_MAX_BYTES];
	CK_ULONG len = sizeof(signature), half = strlen(t->text) / 2;
	CK_BYTE *text = (CK_BYTE *)t->text;

	return app_is(t->app->p11->C_SignInit(t->session, &mechanism, t->key), CKR_OK, "C_SignInit") &&
	       app_is(t->app->p11->C_SignUpdate(t->session, text, half), CKR_OK, "C_SignUpdate") &&
	       app_is(t->app->p11->C_SignUpdate(t->session, text + half, strlen(t->text) - half), CKR_OK,
		   "C_SignUpdate") &&
	       app_is(t->app->p11->C_SignFinal(t->session, NULL, &len), CKR_OK, "the length of C_SignFinal") &&
	       app_is(t->app->p11->C_SignFinal(t->session, signature, &len), CKR_OK, "C_SignFinal") &&
	       app_verifies(t->verifier, t->text, signature, len);
}

static bool
encrypts(struct thread *t)
{
	CK_BYTE iv[16] = {1, 2, 3}, got[BLOCK_BYTES], want[BLOCK_BYTES + 16];
	CK_MECHANISM mechanism = {CKM_AES_CBC, iv, sizeof(iv)};
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	CK_ULONG len = sizeof(got);
	int n = 0;
	bool known = ctx != NULL && EVP_EncryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, t->value, iv) == 1 &&
		     EVP_EncryptUpdate(ctx, want, &n, t->block, sizeof(t->block)) == 1;

	EVP_CIPHER_CTX_free(ctx);
	return app_holds(known, "no AES here") &&
	       app_is(t->app->p11->C_EncryptInit(t->session, &mechanism, t->own), CKR_OK, "C_EncryptInit") &&
	       app_is(t->app->p11->C_Encrypt(t->session, t->block, sizeof(t->block), got, &len), CKR_OK, "C_Encrypt") &&
	       app_holds(len == sizeof(got) && memcmp(got, want, len) == 0, "encrypted by another thread's key");
}

static bool
finds_own(struct thread *t)
{
	CK_OBJECT_HANDLE found;

	return app_holds(app_count(t->app, t->session, CKO_SECRET_KEY, t->label, &found) == 1 && found == t->own,
	    "own key not found");
}

static bool
reads_own(struct thread *t)
{
	char label[sizeof(t->label)];
	CK_ATTRIBUTE template = {CKA_LABEL, label, sizeof(label)};

	return app_is(
		   t->app->p11->C_GetAttributeValue(t->session, t->own, &template, 1), CKR_OK, "C_GetAttributeValue") &&
	       app_holds(template.ulValueLen == strlen(t->label) && memcmp(label, t->label, strlen(t->label)) == 0,
		   "another thread's label");
}

static bool
looks(struct thread *t)
{
	CK_BYTE random[64] = {0};
	static const CK_BYTE none[sizeof(random)];

	return app_holds(app_state(t->app, t->session) == CKS_RW_USER_FUNCTIONS, "not logged in any more") &&
	       app_is(t->app->p11->C_GenerateRandom(t->session, random, sizeof(random)), CKR_OK, "C_GenerateRandom") &&
	       app_holds(memcmp(random, none, sizeof(none)) != 0, "no random bytes came");
}

/* A session that begins and ends, with an object of its own. */
static bool comes_and_goes(struct thread *t);

static bool (*const operations[])(struct thread *t) = {
    signs, digests, encrypts, finds_own, signs_parts, digests_parts, reads_own, looks, comes_and_goes};

static bool
make_own(struct thread *t)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
	    {CKA_TOKEN, &no, sizeof(no)}, {CKA_PRIVATE, &no, sizeof(no)}, {CKA_ENCRYPT, &yes, sizeof(yes)},
	    {CKA_LABEL, t->label, strlen(t->label)}, {CKA_VALUE, t->value, sizeof(t->value)}};

	return app_is(t->app->p11->C_CreateObject(t->session, template, KMN_COUNT_OF(template), &t->own), CKR_OK,
	    "C_CreateObject");
}

static bool
comes_and_goes(struct thread *t)
{
	struct thread guest = *t;

	snprintf(guest.label, sizeof(guest.label), "guest of %lu", t->number);
	guest.value[0] ^= 0xff;
	if (!app_open(guest.app, &guest.session))
		return false;
	return make_own(&guest) && finds_own(&guest) && encrypts(&guest) &&
	       app_is(guest.app->p11->C_CloseSession(guest.session), CKR_OK, "C_CloseSession") &&
	       app_holds(app_count(t->app, t->session, CKO_SECRET_KEY, guest.label, NULL) == 0,
		   "an object outlives its session");
}

static void *
work(void *p)
{
	struct thread *t = p;

	for (size_t i = 0; i < sizeof(t->value); i++)
		t->value[i] = (CK_BYTE)(t->number * 7 + i);
	snprintf(t->label, sizeof(t->label), "of thread %lu", t->number);
	if (!app_open(t->app, &t->session) || !make_own(t))
		return NULL;
	for (unsigned long n = 0; n < t->operations; n++) {
		snprintf(t->text, sizeof(t->text), "thread %lu, operation %lu", t->number, n);
		memset(t->block, (int)(t->number + n), sizeof(t->block));
		if (!operations[(n + t->number) % KMN_COUNT_OF(operations)](t))
			return NULL;
		t->done++;
	}
	(void)app_is(t->app->p11->C_CloseSession(t->session), CKR_OK, "C_CloseSession");
	return NULL;
}

static unsigned long
run_all(struct thread *thread, unsigned long count)
{
	unsigned long started = 0, done = 0;

	while (started < count && pthread_create(&thread[started].id, NULL, work, &thread[started]) == 0)
		started++;
	(void)app_holds(started == count, "a thread cannot be started");
	for (unsigned long i = 0; i < started; i++) {
		(void)pthread_join(thread[i].id, NULL);
		done += thread[i].done;
	}
	return done;
}

void
stress_threads(const unsigned long *arg)
{
	struct thread *thread = calloc(arg[0], sizeof(*thread));
	EVP_PKEY *verifier = NULL;
	CK_OBJECT_HANDLE key;
	CK_SESSION_HANDLE session;
	struct app a;

	if (!app_holds(thread != NULL, "no memory") || !app_load(&a) || !app_begin(&a)) {
		free(thread);
		return;
	}
	if (app_open(&a, &session) && app_login(&a, session) && (verifier = app_public_key(&a, session)) != NULL &&
	    app_holds(app_count(&a, session, CKO_PRIVATE_KEY, KEY_LABEL, &key) == 1, "the key is not found")) {
		for (unsigned long i = 0; i < arg[0]; i++)
			thread[i] = (struct thread){
			    .app = &a, .verifier = verifier, .key = key, .number = i, .operations = arg[1]};
		printf("%lu threads, %lu operations done\n", arg[0], run_all(thread, arg[0]));
	}
	(void)app_end(&a);
	app_unload(&a);
	EVP_PKEY_free(verifier);
	free(thread);
}
