/*
 * The channel is cut at every record of both directions, before, inside and
 * after it, while an application signs. Each signature runs once in the HSM
 * module, whatever became of the connection. Run by test_cuts.sh, in the
 * environment of a sandbox over the module that counts; prints TAP.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/base.h"
#include "tests/faults/client.h"
#include "tests/faults/cutter.h"

#define SIGNS 3
#define RECORDS_MAX 100 /* a run without a cut ends the walk long before */

static struct client client;
static char profile[64];
static CK_BYTE want[SIGNS][SIGNATURE_MAX_BYTES];
static CK_ULONG want_len[SIGNS];
static unsigned cases, failures;

static void
report(bool good, const char *says)
{
	printf("%sok %u - %s\n", good ? "" : "not ", ++cases, says);
	(void)fflush(stdout);
	failures += !good;
}

/* How often the module made a signature, by its own log. */
static unsigned
count_signatures(void)
{
	const char *path = getenv("KMN_MOCK_LOG");
	FILE *log = path != NULL ? fopen(path, "r") : NULL;
	char line[256];
	unsigned n = 0;

	while (log != NULL && fgets(line, sizeof(line), log) != NULL)
		n += strncmp(line, "C_Sign ", 7) == 0 && strstr(line, " 0x0") != NULL;
	if (log != NULL)
		(void)fclose(log);
	return n;
}

struct outcome {
	CK_RV begin, sign[SIGNS], end;
	const char *where;
	unsigned signatures, executed;
	bool equal; /* every signature that came is the one of a run without cuts */
};

static struct outcome
run(bool first)
{
	struct outcome o = {.equal = true};
	unsigned before = count_signatures();
	CK_BYTE got[SIGNATURE_MAX_BYTES];
	CK_ULONG len;

	if ((o.begin = client_begin(&client, profile, "seed", &o.where)) == CKR_OK) {
		for (unsigned i = 0; i < SIGNS; i++) {
			char data[32];
			int n = snprintf(data, sizeof(data), "to be signed, %u", i);

			o.sign[i] = client_sign(&client, data, (CK_ULONG)n, got, &len);
			o.signatures += o.sign[i] == CKR_OK;
			if (first) {
				memcpy(want[i], got, len);
				want_len[i] = len;
			} else if (o.sign[i] == CKR_OK) {
				o.equal = o.equal && len == want_len[i] && memcmp(got, want[i], len) == 0;
			}
		}
		o.end = client_end(&client);
	}
	o.executed = count_signatures() - before;
	return o;
}

/* A cut during C_Initialize may be answered by its failure; later nothing of it reaches the application. */
static bool
is_good(const struct outcome *o)
{
	bool whole = o->signatures == SIGNS && o->executed == SIGNS && o->equal && o->end == CKR_OK;
	bool not_begun = o->begin != CKR_OK && strcmp(o->where, "C_Initialize") == 0 && o->executed == 0;

	return whole || not_begun;
}

static void
explain(const struct cut *cut, const struct outcome *o)
{
	printf("# connection %u, %s, record %u, place %d: begin 0x%lx %s, sign 0x%lx 0x%lx 0x%lx, end 0x%lx, %u "
	       "signatures, %u executed, %s, %u connections\n",
	    cut->connection, cut->way == TO_GATEWAY ? "to gateway" : "to client", cut->record, (int)cut->place,
	    o->begin, o->where, o->sign[0], o->sign[1], o->sign[2], o->end, o->signatures, o->executed,
	    o->equal ? "equal" : "NOT EQUAL", cutter_connections());
}

/*
 * Walks one direction of a connection from its first record to its last: of the first one, or, after a cut at `first`,
 * of the one that takes its place. Returns how many records there were.
 */
static unsigned
walk(const struct cut *first, enum cut_way way, enum cut_place place, const char *says)
{
	struct cut cuts[CUTS_MAX];
	unsigned n = 0, bad = 0, begun = 0;
	struct cut *last;

	if (first != NULL)
		cuts[n++] = *first;
	last = &cuts[n++];
	*last = (struct cut){.connection = n, .way = way, .record = 1, .place = place};
	for (; last->record <= RECORDS_MAX; last->record++) {
		struct outcome o;

		cutter_plan(cuts, n);
		o = run(false);
		if (!cutter_did_cut())
			break;
		begun += o.begin == CKR_OK;
		if (!is_good(&o)) {
			bad++;
			explain(last, &o);
		}
	}
	printf("# %u records, %u of them in an application that had begun\n", last->record - 1, begun);
	report(bad == 0 && last->record > SIGNS && last->record <= RECORDS_MAX && begun > SIGNS, says);
	return last->record - 1;
}

int
main(int argc, char **argv)
{
	uint16_t port;
	struct cut late = {.connection = 1, .way = TO_CLIENT, .place = CUT_BEFORE};
	struct outcome o;

	(void)alarm(300);
	if (argc != 2 || client_load(&client) != 0 || cutter_start((uint16_t)strtoul(argv[1], NULL, 10), &port) != 0) {
		puts("Bail out! no proxy or no module");
		return 99;
	}
	snprintf(profile, sizeof(profile), "gateway=127.0.0.1:%u", port);
	puts("1..9");
	cutter_plan(NULL, 0);
	o = run(true);
	report(
	    o.signatures == SIGNS && o.executed == SIGNS && o.end == CKR_OK, "without a cut each signature runs once");
	(void)walk(NULL, TO_GATEWAY, CUT_BEFORE, "cut before each record to the gateway: each signature runs once");
	(void)walk(NULL, TO_GATEWAY, CUT_INSIDE, "cut inside each record to the gateway: each signature runs once");
	(void)walk(NULL, TO_GATEWAY, CUT_AFTER, "cut after each record to the gateway: each signature runs once");
	late.record =
	    walk(NULL, TO_CLIENT, CUT_BEFORE, "cut before each record to the client: each signature runs once");
	(void)walk(NULL, TO_CLIENT, CUT_INSIDE, "cut inside each record to the client: each signature runs once");
	(void)walk(NULL, TO_CLIENT, CUT_AFTER, "cut after each record to the client: each signature runs once");
	/* The answer of a signature is lost, and then the connection that would fetch it breaks as well. */
	late.record -= 2 * SIGNS;
	(void)walk(&late, TO_GATEWAY, CUT_AFTER, "cut again while joining, to the gateway: each signature runs once");
	(void)walk(&late, TO_CLIENT, CUT_BEFORE, "cut again while joining, to the client: each signature runs once");
	return failures == 0 ? 0 : 1;
}
