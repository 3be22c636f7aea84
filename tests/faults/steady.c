/*
 * An application that is never restarted and never calls C_Finalize before its end: it signs COUNT different texts.
 *
 *	steady heal COUNT NAME [THREADS]    after a failure it signs again, with the session and the key that it has
 *	steady reopen COUNT NAME [THREADS]  after a failure it closes its session and opens a new one, as EJBCA's P11NG does
 *
 * The key is labelled $KEY, or "seed"; one whose label begins with "ec" signs with CKM_ECDSA.
 * Lines "signed N BASE64 MS", "failed N FUNCTION 0xRV MS" (how long the step took); at the end "done".
 */
#include "config.h"

#include <pthread.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/faults/client.h"

#define DEADLINE_S 180
#define BEGIN_MAX 5
#define THREADS_MAX 64

static long
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const char *
label(void)
{
	const char *given = getenv("KEY");

	return given != NULL ? given : "seed";
}

static bool
is_ec(void)
{
	return strncmp(label(), "ec", 2) == 0;
}

/* A text is signed once: what is tried again is another text. */
static bool
sign(struct client *c, const char *name, unsigned long n, unsigned attempt)
{
	char text[128], b64[sodium_base64_ENCODED_LEN(SIGNATURE_MAX_BYTES, sodium_base64_VARIANT_ORIGINAL)];
	CK_BYTE signature[SIGNATURE_MAX_BYTES];
	int len = snprintf(text, sizeof(text), "text %lu of %.60s, attempt %u", n, name, attempt);
	CK_MECHANISM mechanism = {is_ec() ? CKM_ECDSA : CKM_SHA256_RSA_PKCS, NULL, 0};
	CK_BYTE hash[crypto_hash_sha256_BYTES];
	CK_ULONG signature_len = sizeof(signature);
	const char *where = "C_SignInit";
	long start = now_ms();
	CK_RV rv = c->p11->C_SignInit(c->session, &mechanism, c->key);

	if (rv == CKR_OK) {
		where = "C_Sign";
		(void)crypto_hash_sha256(hash, (const unsigned char *)text, (unsigned)len);
		rv = is_ec() ? c->p11->C_Sign(c->session, hash, sizeof(hash), signature, &signature_len)
			     : c->p11->C_Sign(c->session, (CK_BYTE *)text, (CK_ULONG)len, signature, &signature_len);
	}
	if (rv != CKR_OK) {
		printf("failed %lu %s 0x%lx %ld\n", n, where, rv, now_ms() - start);
		return false;
	}
	(void)sodium_bin2base64(b64, sizeof(b64), signature, signature_len, sodium_base64_VARIANT_ORIGINAL);
	printf("signed %lu %s %ld\n", n, b64, now_ms() - start);
	return true;
}

static void
reopen(struct client *c, unsigned long n)
{
	const struct timespec pause = {0, 100000000};
	const char *where;
	CK_RV rv;

	rv = c->p11->C_CloseSession(c->session);
	if (rv != CKR_OK)
		printf("failed %lu C_CloseSession 0x%lx 0\n", n, rv);
	while ((rv = client_open(c, label(), &where)) != CKR_OK) {
		printf("failed %lu %s 0x%lx 0\n", n, where, rv);
		if (strcmp(where, "C_Login") == 0 || strcmp(where, "C_FindObjects") == 0)
			(void)c->p11->C_CloseSession(c->session);
		(void)nanosleep(&pause, NULL);
	}
}

struct worker {
	pthread_t thread;
	struct client client;
	const char *name;
	char own_name[64];
	unsigned long count;
	bool heals;
};

static void *
worker_main(void *cookie)
{
	const struct timespec pause = {0, 50000000};
	struct worker *w = cookie;
	unsigned attempt = 0;

	for (unsigned long n = 1; n <= w->count;) {
		if (sign(&w->client, w->own_name, n, attempt++)) {
			n++;
			attempt = 0;
		} else if (w->heals) {
			(void)nanosleep(&pause, NULL);
		} else {
			reopen(&w->client, n);
		}
	}
	return NULL;
}

/* The first one signs in this thread, the others in their own, with a session each. */
static int
work(struct worker *w, size_t threads)
{
	const char *where;
	CK_RV rv;

	for (size_t i = 0; i < threads; i++) {
		(void)snprintf(w[i].own_name, sizeof(w[i].own_name), "%.30s, thread %zu", w->name, i);
		if (i == 0)
			continue;
		w[i].client = w->client;
		w[i].count = w->count;
		w[i].heals = w->heals;
		if ((rv = client_open(&w[i].client, label(), &where)) != CKR_OK) {
			fprintf(stderr, "%s: 0x%lx\n", where, rv);
			return 1;
		}
	}
	for (size_t i = 1; i < threads; i++) {
		if (pthread_create(&w[i].thread, NULL, worker_main, &w[i]) != 0)
			return 1;
	}
	(void)worker_main(w);
	for (size_t i = 1; i < threads; i++)
		(void)pthread_join(w[i].thread, NULL);
	return 0;
}

int
main(int argc, char **argv)
{
	static struct worker w[THREADS_MAX];
	size_t threads = argc == 5 ? strtoul(argv[4], NULL, 10) : 1;
	unsigned begun = 0;
	const char *where;
	CK_RV rv;

	(void)alarm(DEADLINE_S);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4 || threads < 1 || threads > THREADS_MAX || sodium_init() < 0 || client_load(&w->client) != 0)
		return 2;
	w->heals = strcmp(argv[1], "heal") == 0;
	w->count = strtoul(argv[2], NULL, 10);
	w->name = argv[3];
	do /* SoftHSM2 does not always see its token when many processes start at the same moment */
		rv = client_begin(&w->client, w->heals ? "heal=on init-wait=60" : "init-wait=60", label(), &where);
	while (rv == CKR_TOKEN_NOT_PRESENT && ++begun < BEGIN_MAX);
	if (rv != CKR_OK) {
		fprintf(stderr, "%s: 0x%lx\n", where, rv);
		return 1;
	}
	if (work(w, threads) != 0)
		return 1;
	(void)client_end(&w->client);
	puts("done");
	return 0;
}
