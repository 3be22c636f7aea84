/* Logins by a sealed PIN in the worker: shares meet there, are used once, and leave nothing behind. */
#include "config.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/sealedpin.h"
#include "tests/unit/hsm/host.h"
#include "tests/unit/run.h"

#define SLOT 11u
#define PEOPLE 3u

static const char *const names[PEOPLE] = {"sato", "suzuki", "tanaka"};

/* A worker with a session, and a PIN under shares of two of three; dealt after the fork, so that it has none of it. */
struct scene {
	struct host h;
	CK_SESSION_HANDLE s;
	uint8_t public[PEOPLE][KMN_SHARE_KEY_BYTES], secret[PEOPLE][crypto_box_SECRETKEYBYTES];
	char *text;
	struct kmn_sealed_pin *sealed;
	uint8_t key[KMN_SHARE_KEY_BYTES]; /* of the login */
	unsigned shares;
};

static void
deal(struct scene *c, const char *pin)
{
	uint8_t random[KMN_DEAL_RANDOM_BYTES];
	struct kmn_deal d = {.origin = "o",
	    .token = "mock-1",
	    .least = 2,
	    .count = PEOPLE,
	    .name = names,
	    .pin = pin,
	    .pin_len = strlen(pin)};

	CU_ASSERT_EQUAL(host_OpenSession(&c->h, SLOT, CKF_RW_SESSION, &c->s), CKR_OK);
	for (unsigned i = 0; i < PEOPLE; i++)
		crypto_box_keypair(c->public[i], c -> secret[i]);
	d.share_key = (const uint8_t(*)[KMN_SHARE_KEY_BYTES])c->public;
	randombytes_buf(random, sizeof(random));
	CU_ASSERT_EQUAL_FATAL(kmn_sealed_pin_deal(&d, random, &c->text), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_sealed_pin_parse(c->text, strlen(c->text), &c->sealed), KMN_OK);
}

static void
begin(struct scene *c)
{
	memset(c, 0, sizeof(*c));
	host_start_mock(&c->h, NULL);
}

static void
end(struct scene *c)
{
	CU_ASSERT_EQUAL(host_end(&c->h), 0);
	kmn_sealed_pin_free(c->sealed);
	free(c->text);
}

/* The answer to LOGIN, SHARE or FORGET. */
static kmn_err
state(struct scene *c, uint8_t kind, struct kmn_writer *body)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;
	kmn_err e;

	host_send(&c->h, kind, body);
	CU_ASSERT_TRUE_FATAL(host_receive(&c->h, &m));
	CU_ASSERT_EQUAL_FATAL(m.kind, KMN_W_LOGIN_STATE);
	kmn_reader_init(&r, m.body, m.len_bytes);
	CU_ASSERT_EQUAL(kmn_reader_u64(&r), c->h.tag);
	e = (kmn_err)kmn_reader_u32(&r);
	kmn_reader_raw(&r, c->key, sizeof(c->key));
	c->shares = kmn_reader_u8(&r);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	return e;
}

static void
head(struct scene *c, struct kmn_writer *w)
{
	kmn_writer_init(w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u64(w, ++c->h.tag);
}

static kmn_err
ask_login(struct scene *c, const char *text)
{
	struct kmn_writer w;

	head(c, &w);
	kmn_writer_bytes(&w, text, strlen(text));
	return state(c, KMN_W_LOGIN, &w);
}

static kmn_err
give(struct scene *c, unsigned who)
{
	uint8_t box[KMN_SHARE_BOX_BYTES], key[KMN_SHARE_KEY_BYTES];
	struct kmn_writer w;
	kmn_err e;

	memcpy(key, c->key, sizeof(key));
	CU_ASSERT_EQUAL(
	    kmn_sealed_pin_pass_on(c->sealed, names[who], c->public[who], c -> secret[who], key, box), KMN_OK);
	head(c, &w);
	kmn_writer_raw(&w, key, sizeof(key));
	kmn_writer_bytes(&w, box, sizeof(box));
	e = state(c, KMN_W_SHARE, &w);
	memcpy(c->key, key, sizeof(key));
	return e;
}

static void
forget(struct scene *c)
{
	struct kmn_writer w;

	head(c, &w);
	kmn_writer_raw(&w, c->key, sizeof(c->key));
	CU_ASSERT_EQUAL(state(c, KMN_W_FORGET, &w), KMN_OK);
}

/* C_Login by the shares of this login, whatever PIN the caller gives. */
static CK_RV
login(struct scene *c, const char *pin)
{
	struct kmn_arg arg[] = {HOST_SCALAR((CK_ULONG)c->s), HOST_SCALAR(CKU_USER),
	    HOST_SIZED((void *)(uintptr_t)pin, pin != NULL ? strlen(pin) : 0)};
	struct kmn_response_view response;
	struct kmn_writer w;

	head(c, &w);
	kmn_writer_u8(&w, KMN_WF_SHARES);
	kmn_writer_raw(&w, c->key, sizeof(c->key));
	CU_ASSERT_EQUAL(kmn_request_encode(KMN_C_Login, arg, KMN_COUNT_OF(arg), &w), KMN_OK);
	host_send(&c->h, KMN_W_CALL, &w);
	CU_ASSERT_EQUAL(host_reply(&c->h, &response), c->h.tag);
	CU_ASSERT_EQUAL(response.id, KMN_C_Login);
	return (CK_RV)response.rv;
}

/* ---- what is left in the worker's memory ------------------------------------------------------------------------------ */

static bool
region_has(int fd, unsigned long from, unsigned long to, const void *what, size_t len)
{
	static char part[1 << 20];
	bool has = false;

	for (unsigned long at = from; at < to && !has;) {
		size_t want = to - at < sizeof(part) ? to - at : sizeof(part);
		ssize_t n = pread(fd, part, want, (off_t)at);

		if (n <= 0)
			break;
		has = memmem(part, (size_t)n, what, len) != NULL;
		at += (size_t)n == want && at + want < to ? want - len : (unsigned long)n;
	}
	return has;
}

#define REGION_MAX_BYTES (1ul << 36) /* more than any machine of tests has: a sanitizer's shadow, which holds no data */

/* How many mappings of the worker have these bytes; -1: its memory cannot be read here. */
static int
found_in_worker(const struct host *h, const void *what, size_t len)
{
	char path[64], line[512], rights[8];
	unsigned long from, to;
	int fd, count = 0;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)h->pid);
	maps = fopen(path, "r");
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)h->pid);
	fd = open(path, O_RDONLY);
	while (fd >= 0 && maps != NULL && fgets(line, sizeof(line), maps) != NULL)
		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3 && rights[0] == 'r' &&
		    strstr(line, "[v") == NULL && to - from < REGION_MAX_BYTES)
			count += region_has(fd, from, to, what, len);
	if (maps == NULL || fd < 0)
		count = -1;
	if (maps != NULL)
		(void)fclose(maps);
	if (fd >= 0)
		(void)close(fd);
	return count;
}

/* ---- cases ------------------------------------------------------------------------------------------------------------ */

static void
test_two_log_in(void)
{
	CK_SESSION_HANDLE other;
	struct scene c;

	begin(&c);
	deal(&c, "1234"); /* the mock's */
	CU_ASSERT_EQUAL(ask_login(&c, c.text), KMN_OK);
	CU_ASSERT_EQUAL(give(&c, 0), KMN_OK);
	CU_ASSERT_EQUAL(give(&c, 2), KMN_OK);
	CU_ASSERT_EQUAL(c.shares, 2);
	CU_ASSERT_EQUAL(login(&c, "another"), CKR_OK);
	CU_ASSERT_EQUAL(host_OpenSession(&c.h, SLOT, CKF_RW_SESSION, &other), CKR_OK);
	CU_ASSERT_EQUAL(host_Login(&c.h, other, CKU_USER, "1234"), CKR_USER_ALREADY_LOGGED_IN);
	CU_ASSERT_EQUAL(host_Logout(&c.h, c.s), CKR_OK);
	CU_ASSERT_EQUAL(login(&c, NULL), CKR_DEVICE_ERROR); /* the shares were for once */
	CU_ASSERT_EQUAL(give(&c, 1), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(host_logged(&c.h, "C_Login"), 2);
	end(&c);
}

static void
test_one_does_not(void)
{
	struct scene c;

	begin(&c);
	deal(&c, "1234");
	CU_ASSERT_EQUAL(ask_login(&c, c.text), KMN_OK);
	CU_ASSERT_EQUAL(give(&c, 1), KMN_OK);
	CU_ASSERT_EQUAL(give(&c, 1), KMN_OK);
	CU_ASSERT_EQUAL(c.shares, 1);
	CU_ASSERT_EQUAL(login(&c, "1234"), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(host_logged(&c.h, "C_Login"), 0); /* the module heard nothing of it */
	end(&c);
}

/* Random letters, made after the worker was: they stand nowhere by chance, and the module refuses them. */
static void
test_nothing_stays(void)
{
	uint8_t share[KMN_SHARE_BYTES];
	const struct kmn_sealed_share *line;
	char pin[33];
	struct scene c;

	begin(&c);
	for (size_t i = 0; i < sizeof(pin) - 1; i++)
		pin[i] = (char)('a' + randombytes_uniform(26));
	pin[sizeof(pin) - 1] = '\0';
	deal(&c, pin);
	line = kmn_sealed_pin_share_at(c.sealed, 0);
	CU_ASSERT_EQUAL(crypto_box_seal_open(share, line->box, sizeof(line->box), c.public[0], c.secret[0]), 0);
	CU_ASSERT_EQUAL(ask_login(&c, c.text), KMN_OK);
	CU_ASSERT_EQUAL(give(&c, 0), KMN_OK);
	CU_ASSERT_EQUAL(give(&c, 1), KMN_OK);
	if (found_in_worker(&c.h, share + 33, 32) < 0) {
		CU_PASS("no memory of another process is read here");
		end(&c);
		return;
	}
	CU_ASSERT_EQUAL(found_in_worker(&c.h, share + 33, 32), 1); /* in the one place where it waits */
	CU_ASSERT_EQUAL(found_in_worker(&c.h, pin, strlen(pin)), 0);
	CU_ASSERT_EQUAL(login(&c, NULL), CKR_PIN_INCORRECT);
	CU_ASSERT_EQUAL(found_in_worker(&c.h, share + 33, 32), 0);
	CU_ASSERT_EQUAL(found_in_worker(&c.h, pin, strlen(pin)), 0);
	CU_ASSERT_EQUAL(ask_login(&c, c.text), KMN_OK);
	CU_ASSERT_EQUAL(give(&c, 0), KMN_OK);
	CU_ASSERT_EQUAL(found_in_worker(&c.h, share + 33, 32), 1);
	forget(&c);
	CU_ASSERT_EQUAL(found_in_worker(&c.h, share + 33, 32), 0);
	end(&c);
}

static void
test_bounds(void)
{
	struct scene c;

	begin(&c);
	deal(&c, "1234");
	CU_ASSERT_EQUAL(ask_login(&c, "kanmon/sealed-pin/v1\n"), KMN_E_MALFORMED);
	for (unsigned i = 0; i < 16; i++)
		CU_ASSERT_EQUAL(ask_login(&c, c.text), KMN_OK);
	CU_ASSERT_EQUAL(ask_login(&c, c.text), KMN_E_TOO_MANY);
	memset(c.key, 7, sizeof(c.key));
	CU_ASSERT_EQUAL(give(&c, 0), KMN_E_NOT_FOUND);
	CU_ASSERT_EQUAL(login(&c, "1234"), CKR_DEVICE_ERROR);
	forget(&c); /* of one that is not there */
	end(&c);
}

static CU_TestInfo cases[] = {
    {"the shares of two log in, once, whatever PIN the caller gives", test_two_log_in},
    {"one share, given twice, does not, and the module is not asked", test_one_does_not},
    {"neither shares nor PIN stay in the worker's memory", test_nothing_stays},
    {"sixteen logins at a time, and none that was not asked for", test_bounds},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {{"hsm/logins", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	if (sodium_init() < 0)
		return 99;
	return kmn_test_main(argc, argv, suites);
}
