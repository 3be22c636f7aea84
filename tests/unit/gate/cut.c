/*
 * The provider, against a whole gateway, through a wire that is cut.
 *
 * A proxy in a thread of this process forwards TLS records and counts them in
 * each direction. First the calls below run undisturbed; then once for each
 * record and each way of cutting, and each time every call must succeed and
 * the module behind the gateway must have been asked exactly as often as in
 * the undisturbed run: nothing is lost, nothing runs twice. A record is a
 * frame, or a flight of the handshake.
 *
 * Environment: MODULE, KANMON_CONFIG, PIN as of tools/sandbox; CUT_LOG, the
 * log of tests/mock; CUT_CONFIG, a file beside KANMON_CONFIG to write.
 */
#define _GNU_SOURCE 1

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <p11-kit/pkcs11.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kanmon/base.h"

/* ---- the wire ---------------------------------------------------------------------------------------------------- */

enum direction { TO_GATEWAY, TO_CLIENT };

#define PAIRS 32
#define RECORD_MAX_BYTES (5u + 16384u + 256u)

struct pair {
	int fd[2]; /* [TO_GATEWAY] is read from the client, [TO_CLIENT] from the gateway; -1: free */
	uint8_t bytes[2][RECORD_MAX_BYTES];
	size_t have[2];
};

/* Where it is cut: at the record with that number, before or after it is forwarded. */
struct cut {
	enum direction direction;
	unsigned at; /* from 1; 0: never */
	bool before;
	unsigned again_after; /* more records in that direction, 0: once only */
};

static struct {
	pthread_mutex_t lock; /* guards all until listener */
	struct cut cut;
	unsigned records[2], cuts;
	unsigned open; /* connections */
	int listener, quit[2];
	struct sockaddr_in gateway;
	pthread_t thread;
	struct pair pairs[PAIRS]; /* the thread's own */
} wire = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void
count_open(int change)
{
	pthread_mutex_lock(&wire.lock);
	wire.open += (unsigned)change;
	pthread_mutex_unlock(&wire.lock);
}

static void
hang_up(struct pair *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
	p->fd[0] = p->fd[1] = -1;
	p->have[0] = p->have[1] = 0;
	count_open(-1);
}

/* Counts a record: whether the wire is cut now, and if so before the record. */
static bool
is_cut(enum direction direction, bool *before_out)
{
	bool now;

	pthread_mutex_lock(&wire.lock);
	wire.records[direction]++;
	now = wire.cut.direction == direction && wire.cut.at != 0 && wire.records[direction] == wire.cut.at;
	*before_out = wire.cut.before;
	if (now) {
		wire.cuts++;
		wire.cut.at = wire.cut.again_after == 0 ? 0 : wire.cut.at + wire.cut.again_after;
		wire.cut.again_after = 0;
	}
	pthread_mutex_unlock(&wire.lock);
	return now;
}

/* Forwards the records that are complete; false when the pair is no more. */
static bool
forward(struct pair *p, enum direction direction)
{
	uint8_t *b = p->bytes[direction];

	while (p->have[direction] >= 5) {
		size_t n = 5 + ((size_t)b[3] << 8 | b[4]);
		bool before, cut;

		if (n > RECORD_MAX_BYTES)
			return false;
		if (p->have[direction] < n)
			return true;
		cut = is_cut(direction, &before);
		if (!(cut && before) && send(p->fd[1 - direction], b, n, MSG_NOSIGNAL) != (ssize_t)n)
			return false;
		if (cut)
			return false;
		memmove(b, b + n, p->have[direction] - n);
		p->have[direction] -= n;
	}
	return true;
}

static void
carry(struct pair *p, enum direction direction)
{
	size_t *have = &p->have[direction];
	ssize_t n = recv(p->fd[direction], p->bytes[direction] + *have, RECORD_MAX_BYTES - *have, 0);

	if (n > 0)
		*have += (size_t)n;
	if (n <= 0 || !forward(p, direction))
		hang_up(p);
}

static void
take_client(void)
{
	int one = 1, client = accept4(wire.listener, NULL, NULL, SOCK_CLOEXEC);
	int gateway = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (size_t i = 0; i < PAIRS; i++) {
		struct pair *p = &wire.pairs[i];

		if (p->fd[0] >= 0)
			continue;
		if (connect(gateway, (struct sockaddr *)&wire.gateway, sizeof(wire.gateway)) != 0)
			break;
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(gateway, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		p->fd[TO_GATEWAY] = client;
		p->fd[TO_CLIENT] = gateway;
		count_open(1);
		return;
	}
	close(client);
	close(gateway);
}

static void *
run_wire(void *cookie)
{
	struct pollfd polls[2 + 2 * PAIRS];

	for (;;) {
		polls[0] = (struct pollfd){.fd = wire.quit[0], .events = POLLIN};
		polls[1] = (struct pollfd){.fd = wire.listener, .events = POLLIN};
		for (size_t i = 0; i < 2 * PAIRS; i++)
			polls[2 + i] = (struct pollfd){.fd = wire.pairs[i / 2].fd[i % 2], .events = POLLIN};
		if (poll(polls, KMN_COUNT_OF(polls), -1) < 0 && errno != EINTR)
			return cookie;
		if (polls[0].revents != 0)
			return cookie;
		for (size_t i = 0; i < 2 * PAIRS; i++)
			if (polls[2 + i].revents != 0 && wire.pairs[i / 2].fd[i % 2] == polls[2 + i].fd)
				carry(&wire.pairs[i / 2], i % 2);
		if (polls[1].revents != 0)
			take_client();
	}
}

static void
start_wire(const char *host, unsigned port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	for (size_t i = 0; i < PAIRS; i++)
		wire.pairs[i].fd[0] = wire.pairs[i].fd[1] = -1;
	wire.gateway = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	wire.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, host, &wire.gateway.sin_addr) != 1 ||
	    bind(wire.listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(wire.listener, 16) != 0 ||
	    pipe(wire.quit) != 0 || pthread_create(&wire.thread, NULL, run_wire, NULL) != 0) {
		printf("Bail out! no wire: %s\n", strerror(errno));
		exit(1);
	}
}

/* Waits until the connections of a run are gone, so that their last records are not counted in the next; its cuts. */
static unsigned
settle(void)
{
	unsigned open = 1, cuts = 0;

	for (int i = 0; i < 200 && open > 0; i++) {
		pthread_mutex_lock(&wire.lock);
		open = wire.open;
		cuts = wire.cuts;
		pthread_mutex_unlock(&wire.lock);
		if (open > 0)
			usleep(5000);
	}
	return cuts;
}

static void
stop_wire(void)
{
	(void)!write(wire.quit[1], "q", 1);
	pthread_join(wire.thread, NULL);
	for (size_t i = 0; i < PAIRS; i++)
		if (wire.pairs[i].fd[0] >= 0)
			hang_up(&wire.pairs[i]);
	close(wire.listener);
	close(wire.quit[0]);
	close(wire.quit[1]);
}

/* ---- the client's configuration ---------------------------------------------------------------------------------- */

static const char *
environment(const char *name)
{
	const char *value = getenv(name);

	if (value == NULL) {
		printf("Bail out! %s is not set\n", name);
		exit(1);
	}
	return value;
}

/* Copies the configuration with the wire in the place of the gateway. */
static void
write_configuration(unsigned *port_out)
{
	FILE *from = fopen(environment("KANMON_CONFIG"), "r"), *to = fopen(environment("CUT_CONFIG"), "w");
	struct sockaddr_in at;
	socklen_t n = sizeof(at);
	char line[1024];

	if (from == NULL || to == NULL || getsockname(wire.listener, (struct sockaddr *)&at, &n) != 0) {
		printf("Bail out! no configuration: %s\n", strerror(errno));
		exit(1);
	}
	while (fgets(line, sizeof(line), from) != NULL)
		if (strncmp(line, "gateway ", 8) == 0 || strncmp(line, "gateway=", 8) == 0)
			fprintf(to, "gateway = {\"127.0.0.1:%u\"}\n", ntohs(at.sin_port));
		else
			fputs(line, to);
	fclose(from);
	fclose(to);
	*port_out = ntohs(at.sin_port);
}

static bool
read_gateway(char host[64], unsigned *port_out)
{
	FILE *from = fopen(environment("KANMON_CONFIG"), "r");
	char line[1024];
	bool found = false;

	while (from != NULL && !found && fgets(line, sizeof(line), from) != NULL)
		found = strncmp(line, "gateway", 7) == 0 && line[7] != '-' && strchr(line, '"') != NULL &&
			sscanf(strchr(line, '"') + 1, "%63[0-9.]:%u", host, port_out) == 2;
	if (from != NULL)
		fclose(from);
	return found;
}

/* ---- what the module was asked ----------------------------------------------------------------------------------- */

/* Calls that must not run twice; others (queries, the worker's own) may differ in number. */
static const char *const counted[] = {"C_OpenSession", "C_Login", "C_GenerateKeyPair", "C_SignInit", "C_Sign"};

struct counts {
	unsigned of[KMN_COUNT_OF(counted)];
};

static long log_at; /* what was read of the log before */

static struct counts
read_log(void)
{
	FILE *log = fopen(environment("CUT_LOG"), "r");
	struct counts c = {{0}};
	char name[64];

	if (log == NULL)
		return c;
	fseek(log, log_at, SEEK_SET);
	while (fscanf(log, "%63s %*s %*s", name) == 1)
		for (size_t i = 0; i < KMN_COUNT_OF(counted); i++)
			c.of[i] += strcmp(name, counted[i]) == 0;
	log_at = ftell(log);
	fclose(log);
	return c;
}

/* ---- the calls --------------------------------------------------------------------------------------------------- */

static CK_FUNCTION_LIST_PTR p11;
static const char *failed_call; /* which call of the last run failed, NULL: none */
static CK_RV failed_rv;

static bool
good(const char *name, CK_RV rv)
{
	if (rv != CKR_OK && failed_call == NULL) {
		failed_call = name;
		failed_rv = rv;
	}
	return rv == CKR_OK;
}

#define GOOD(call, ...) good(#call, p11->call(__VA_ARGS__))

static bool
generate(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *private_out)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof(p256)}, {CKA_VERIFY, &yes, sizeof(yes)}};
	CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, sizeof(yes)}, {CKA_SENSITIVE, &yes, sizeof(yes)}};
	CK_OBJECT_HANDLE verifier;

	return GOOD(C_GenerateKeyPair, session, &mechanism, public, KMN_COUNT_OF(public), private,
	    KMN_COUNT_OF(private), &verifier, private_out);
}

static bool
sign(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	CK_BYTE digest[32] = {1}, signature[256];
	CK_ULONG n = sizeof(signature);

	return GOOD(C_SignInit, session, &mechanism, key) &&
	       GOOD(C_Sign, session, digest, sizeof(digest), signature, &n) &&
	       good("a signature of 64 bytes", n == 64 ? CKR_OK : CKR_GENERAL_ERROR);
}

static void
use_session(void)
{
	CK_SLOT_ID slots[8];
	CK_ULONG n = KMN_COUNT_OF(slots);
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE key;
	char pin[64];

	snprintf(pin, sizeof(pin), "%s", environment("PIN"));
	if (!GOOD(C_GetSlotList, CK_TRUE, slots, &n) ||
	    !GOOD(C_OpenSession, slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session))
		return;
	if (GOOD(C_Login, session, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)) && generate(session, &key) &&
	    sign(session, key) && sign(session, key))
		(void)GOOD(C_CloseSession, session);
}

static void
run_calls(void)
{
	failed_call = NULL;
	if (GOOD(C_Initialize, NULL))
		use_session();
	(void)GOOD(C_Finalize, NULL);
}

/* ---- cases ------------------------------------------------------------------------------------------------------- */

static unsigned cases, cases_failed, runs, runs_cut;
static struct counts want;

static void
report(bool ok, const char *says)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", ++cases, says);
	cases_failed += !ok;
	fflush(stdout);
}

/* Runs the calls over a wire with that cut; true if all went as without. */
static bool
run_cut(struct cut cut, const char *where)
{
	struct counts got;
	bool same = true;
	unsigned cuts;

	pthread_mutex_lock(&wire.lock);
	wire.cut = cut;
	wire.records[0] = wire.records[1] = wire.cuts = 0;
	pthread_mutex_unlock(&wire.lock);
	run_calls();
	cuts = settle();
	got = read_log();
	for (size_t i = 0; i < KMN_COUNT_OF(counted); i++)
		if (got.of[i] != want.of[i]) {
			printf("# %s: %s ran %u times, not %u\n", where, counted[i], got.of[i], want.of[i]);
			same = false;
		}
	if (failed_call != NULL)
		printf("# %s: %s: 0x%lx\n", where, failed_call, failed_rv);
	runs++;
	runs_cut += cuts == (cut.again_after == 0 ? 1u : 2u);
	return same && failed_call == NULL;
}

/* One cut at each record of a direction. */
static void
cut_each(enum direction direction, bool before, unsigned records)
{
	char says[160], where[64];
	unsigned wrong = 0;

	for (unsigned at = 1; at <= records; at++) {
		snprintf(where, sizeof(where), "record %u", at);
		wrong += !run_cut((struct cut){.direction = direction, .at = at, .before = before}, where);
	}
	snprintf(says, sizeof(says), "the wire cut %s each of %u records to the %s: all calls succeed, none runs twice",
	    before ? "before" : "after", records, direction == TO_GATEWAY ? "gateway" : "client");
	report(wrong == 0, says);
}

/* A second cut while the application joins again and asks for its outcome. */
static void
cut_twice(enum direction direction, unsigned at)
{
	char says[160], where[64];
	unsigned wrong = 0;

	for (unsigned again = 1; again <= 8; again++) {
		snprintf(where, sizeof(where), "record %u, and %u after it", at, again);
		wrong += !run_cut(
		    (struct cut){.direction = direction, .at = at, .before = again % 2 == 0, .again_after = again},
		    where);
	}
	snprintf(says, sizeof(says), "and cut once more while it joins again, to the %s",
	    direction == TO_GATEWAY ? "gateway" : "client");
	report(wrong == 0, says);
}

static void
load_module(void)
{
	void *module = dlopen(environment("MODULE"), RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get_list = NULL;

	if (module != NULL)
		*(void **)&get_list = dlsym(module, "C_GetFunctionList");
	if (get_list == NULL || get_list(&p11) != CKR_OK) {
		printf("Bail out! %s\n", dlerror());
		exit(1);
	}
}

int
main(void)
{
	unsigned port, records[2];
	char host[64];

	if (!read_gateway(host, &port)) {
		printf("Bail out! no gateway in the configuration\n");
		return 1;
	}
	start_wire(host, port);
	write_configuration(&port);
	setenv("KANMON_CONFIG", environment("CUT_CONFIG"), 1);
	load_module();
	(void)read_log();
	run_calls();
	(void)settle();
	want = read_log();
	if (failed_call != NULL)
		printf("# %s: 0x%lx\n", failed_call, failed_rv);
	report(failed_call == NULL && want.of[KMN_COUNT_OF(counted) - 1] == 2, "undisturbed, every call succeeds");
	records[0] = wire.records[0];
	records[1] = wire.records[1];
	for (int i = 0; i < 4 && failed_call == NULL; i++)
		cut_each(i / 2, i % 2 == 0, records[i / 2]);
	cut_twice(TO_GATEWAY, records[TO_GATEWAY] - 5);
	cut_twice(TO_CLIENT, records[TO_CLIENT] - 5);
	/* the last record or two may be missing in a run: a goodbye that the end of the connection overtook */
	report(runs > 0 && runs_cut * 10 >= runs * 9, "the wire was cut where it was meant to be");
	stop_wire();
	printf("1..%u\n", cases);
	return cases_failed == 0 ? 0 : 1;
}
