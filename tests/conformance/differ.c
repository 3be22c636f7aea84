/*
 * Plays each trace three times - twice in the vendor's module itself, once
 * through the gateway - from equal tokens, and reports what differs. What
 * differs between the two direct runs is random; what differs once and not
 * again is the module's own unsteadiness, and counted.
 */
#define _GNU_SOURCE /* asprintf() */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/params.h"
#include "tests/conformance/compare.h"
#include "tests/conformance/generate.h"
#include "tests/conformance/play.h"

#define BATCH 100
#define SIDES 3
#define REPORTS_MAX 200
#define HANG_MS 30000

enum side { SIDE_DIRECT, SIDE_AGAIN, SIDE_REMOTE };
static const char *const side_folder[SIDES] = {"a", "b", "r"};

static struct {
	const char *module, *vendor, *provider, *label, *world, *objects, *environment[8], *init_args, *coverage;
	uint64_t seed, cases, part, parts;
	char **argv;
	struct allow_list allowed;
	char *prologue; /* of cases that begin with a session */
} set;

static struct {
	unsigned long cases, calls, ok, masked, differences, after_others, unsteady, crashes, batches;
	unsigned long functions[KMN_CALL_COUNT];
	bool *attributes, *layouts;
} sum;

struct player {
	pid_t pid;
	int fd;
	struct tape *tape;
	bool dead;
};
static struct player players[SIDES];
static char *board, *before; /* the trace that is being played, and the prologue: shared */
static int board_fd, before_fd, tape_fd[SIDES];

_Noreturn __attribute__((format(printf, 1, 2))) static void
fail(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(70);
}

/* Memory that is shared with processes that know the descriptor: those begin anew, so that their addresses differ. */
static void *
mapped(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		fail("no memory");
	return p;
}

static int
shared(size_t size)
{
	int fd = memfd_create("differ", 0);

	if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
		fail("no shared memory");
	return fd;
}

static char *
file_text(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (file == NULL || getdelim(&text, &size, '\0', file) < 0)
		fail("%s: %s", path, strerror(errno));
	fclose(file);
	return text;
}

/* `text` with every @ replaced by the folder of that side; malloc()ed. */
static char *
for_side(const char *text, enum side side)
{
	char *to = NULL;
	size_t size;
	FILE *out;

	if (text == NULL || (out = open_memstream(&to, &size)) == NULL)
		return NULL;
	for (; *text != '\0'; text++)
		if (*text == '@')
			fprintf(out, "%s/%s", set.world, side_folder[side]);
		else
			fputc(*text, out);
	fclose(out);
	return to;
}

/* ---- players ------------------------------------------------------------------------------------------------- */

/* Equal tokens on all sides: copies of the prepared ones. */
static void
restore_tokens(void)
{
	char *command;

	if (asprintf(&command,
		"cd '%s' && [ ! -d prepared ] || for side in a b r; do rm -rf $side/tokens && cp -R prepared "
		"$side/tokens && "
		"chown -R --reference=$side $side/tokens && chmod -R u+rwX $side/tokens; done",
		set.world) < 0 ||
	    system(command) != 0)
		fail("the tokens cannot be restored");
	free(command);
}

/* A player is this program once more: --be SIDE, then the descriptors of its socket and of the shared memory. */
_Noreturn static void
be_player(enum side side, int fd)
{
	char *path;
	struct stage stage = {.module = side == SIDE_REMOTE ? set.provider : set.vendor,
	    .init_args = side == SIDE_REMOTE ? NULL : for_side(set.init_args, side),
	    .label = set.label,
	    .prologue = before};

	if (asprintf(&path, "%s/%s/stderr", set.world, side_folder[side]) < 0 || freopen(path, "a", stderr) == NULL)
		_exit(70);
	for (size_t i = 0; set.environment[i] != NULL && side != SIDE_REMOTE; i++)
		putenv(for_side(set.environment[i], side));
	play_process(&stage, board, players[side].tape, fd);
}

static int
become_player(const char *text)
{
	int side, fd;

	if (sscanf(text, "%d %d %d %d %d", &side, &fd, &board_fd, &before_fd, &tape_fd[0]) != 5 || side < 0 ||
	    side >= SIDES)
		fail("--be is for this program's own use");
	board = mapped(board_fd, PLAY_CASE_BYTES);
	before = mapped(before_fd, PLAY_CASE_BYTES);
	players[side].tape = mapped(tape_fd[0], sizeof(struct tape));
	be_player((enum side)side, fd);
}

static void
start_player(enum side side, const char *prologue)
{
	char numbers[80], *argv[64];
	int pair[2], argc = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		fail("no socket");
	fflush(NULL);
	snprintf(before, PLAY_CASE_BYTES, "%s", prologue);
	players[side].fd = pair[0];
	players[side].dead = false;
	players[side].tape->len = 0;
	players[side].tape->text[0] = '\0';
	snprintf(numbers, sizeof(numbers), "%d %d %d %d %d", (int)side, pair[1], board_fd, before_fd, tape_fd[side]);
	while (set.argv[argc] != NULL && argc < 60) {
		argv[argc] = set.argv[argc];
		argc++;
	}
	argv[argc++] = (char[]){"--be"};
	argv[argc++] = numbers;
	argv[argc] = NULL;
	if ((players[side].pid = fork()) < 0)
		fail("no process");
	if (players[side].pid == 0) {
		fcntl(pair[1], F_SETFD, 0);
		execv("/proc/self/exe", argv);
		_exit(70);
	}
	close(pair[1]);
}

/* Waits until the player has played; one that died or hangs says so on its tape. */
static void
await(enum side side)
{
	struct player *p = &players[side];
	struct pollfd ready = {.fd = p->fd, .events = POLLIN};
	struct tape *t = p->tape;
	bool hangs = poll(&ready, 1, HANG_MS) == 0;
	char c;

	if (!hangs && read(p->fd, &c, 1) == 1) {
		t->text[t->len] = '\0';
		return;
	}
	if (hangs)
		kill(p->pid, SIGKILL);
	p->dead = true;
	t->len += (size_t)snprintf(t->text + t->len, sizeof(t->text) - t->len, "rv=%s\n", hangs ? "hang" : "crash");
}

static void
stop_player(enum side side)
{
	struct player *p = &players[side];
	struct timespec nap = {.tv_nsec = 5000000};
	int status;

	if (p->pid <= 0)
		return;
	close(p->fd);
	p->fd = -1;
	for (int i = 0; i < 1000; i++) {
		if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
			p->pid = 0;
			return;
		}
		nanosleep(&nap, NULL);
	}
	kill(p->pid, SIGKILL);
	waitpid(p->pid, &status, 0);
	p->pid = 0;
}

/* ---- batches ------------------------------------------------------------------------------------------------- */

struct batch {
	const char *prologue;
	char **text;
	size_t count;
	/* what came of it */
	size_t played; /* cases, the last of them with this verdict */
	enum verdict verdict;
	bool ended; /* a player died as it should: the rest wants new ones */
	struct comparison found;
};

static void
play_one(const char *text)
{
	snprintf(board, PLAY_CASE_BYTES, "%s", text);
	for (int i = 0; i < SIDES; i++)
		if (write(players[i].fd, "c", 1) != 1)
			players[i].dead = true;
	for (int i = 0; i < SIDES; i++)
		await((enum side)i);
}

static enum verdict
compare(struct comparison *found)
{
	return compare_tapes(players[SIDE_DIRECT].tape->text, players[SIDE_AGAIN].tape->text,
	    players[SIDE_REMOTE].tape->text, set.module, &set.allowed, found);
}

/* Plays a batch from fresh tokens until something differs; played is 0 if that was the prologue. */
static void
play_batch(struct batch *b, bool counts)
{
	restore_tokens();
	for (int i = 0; i < SIDES; i++)
		start_player((enum side)i, b->prologue);
	for (int i = 0; i < SIDES; i++)
		await((enum side)i);
	b->played = 0;
	b->ended = false;
	b->verdict = compare(&b->found);
	while (b->verdict == VERDICT_SAME && !b->ended && b->played < b->count) {
		for (int i = 0; i < SIDES; i++)
			b->ended |= players[i].dead;
		if (b->ended)
			break;
		play_one(b->text[b->played++]);
		b->verdict = compare(&b->found);
		b->ended = b->found.lost;
		if (!counts)
			continue;
		sum.cases++;
		sum.calls += b->found.calls;
		sum.ok += b->found.ok;
		sum.masked += b->found.masked;
		sum.crashes += players[SIDE_DIRECT].dead;
	}
	for (int i = 0; i < SIDES; i++)
		stop_player((enum side)i);
	sum.batches++;
}

static enum verdict
play_alone(const char *prologue, char **text, size_t count, struct comparison *found)
{
	struct batch b = {.prologue = prologue, .text = text, .count = count};

	play_batch(&b, false);
	*found = b.found;
	return b.verdict;
}

/* ---- shrinking ----------------------------------------------------------------------------------------------- */

static bool
still_differs(const char *prologue, const char *text, const char *function)
{
	char *one[] = {strdup(text)};
	struct comparison found;
	bool differs =
	    play_alone(prologue, one, 1, &found) == VERDICT_DIFFERENT && strcmp(found.function, function) == 0;

	free(one[0]);
	free(found.text);
	return differs;
}

/* Drops lines while the trace still differs at the same function. */
static char *
shrunk(const char *prologue, const char *text, const char *function)
{
	char *best = strdup(text);
	size_t from = 0;

	for (unsigned tries = 0; tries < 40; tries++) {
		char *line = best, *end, *without;

		for (size_t i = 0; i < from && line != NULL; i++)
			line = strchr(line, '\n') != NULL ? strchr(line, '\n') + 1 : NULL;
		if (line == NULL || *line == '\0')
			break;
		end = strchr(line, '\n');
		if (strncmp(line, "world", 5) == 0) {
			from++;
			continue;
		}
		if (asprintf(&without, "%.*s%s", (int)(line - best), best, end != NULL ? end + 1 : "") < 0)
			exit(70);
		if (still_differs(prologue, without, function)) {
			free(best);
			best = without;
		} else {
			free(without);
			from++;
		}
	}
	return best;
}

/* ---- reporting ----------------------------------------------------------------------------------------------- */

static void
print_trace(const char *text)
{
	for (const char *p = text; *p != '\0'; p += strcspn(p, "\n") + (p[strcspn(p, "\n")] == '\n'))
		printf("#    %.*s\n", (int)strcspn(p, "\n"), p);
}

static void
print_difference(const char *what, const struct comparison *found, const char *text)
{
	printf("# %s %s, line %u of the trace, %s:\n", set.module, what, found->line, found->function);
	for (const char *p = found->text; p != NULL && *p != '\0'; p += strcspn(p, "\n") + 1)
		printf("#%.*s\n", (int)strcspn(p, "\n"), p);
	print_trace(text);
	fflush(stdout);
}

/* Drops cases before the last while that still differs; how many are left, the last one among them. */
static size_t
fewer_cases(const char *prologue, char **text, size_t count)
{
	unsigned tries = 60;

	for (size_t chunk = count / 2; chunk > 0; chunk /= 2) {
		for (size_t at = 0; at + chunk < count && tries > 0;) {
			char *left[BATCH];
			struct comparison found;

			memcpy(left, text, at * sizeof(*text));
			memcpy(left + at, text + at + chunk, (count - at - chunk) * sizeof(*text));
			tries--;
			if (play_alone(prologue, left, count - chunk, &found) == VERDICT_DIFFERENT) {
				memcpy(text, left, (count - chunk) * sizeof(*text));
				count -= chunk;
			} else {
				at += chunk;
			}
			free(found.text);
		}
	}
	return count;
}

/* A case that differed in its batch: alone it must differ again, else with those before it, else it is unsteady. */
static void
settle(const struct batch *b, const char *name)
{
	struct comparison found;
	size_t last = b->played - 1;
	char *trace;

	if (play_alone(b->prologue, b->text + last, 1, &found) == VERDICT_DIFFERENT) {
		sum.differences++;
		if (sum.differences > REPORTS_MAX)
			return;
		trace =
		    sum.differences <= 30 ? shrunk(b->prologue, b->text[last], found.function) : strdup(b->text[last]);
		print_difference(name, &found, trace);
		free(trace);
	} else if (last > 0 && play_alone(b->prologue, b->text, b->played, &found) == VERDICT_DIFFERENT) {
		char *cases[BATCH];
		size_t left = b->played;

		sum.differences++;
		memcpy(cases, b->text, b->played * sizeof(*cases));
		if (++sum.after_others <= 5)
			left = fewer_cases(b->prologue, cases, b->played);
		printf("# after %zu other cases of its batch:\n", left - 1);
		for (size_t i = 0; i + 1 < left && left <= 5; i++)
			print_trace(cases[i]);
		print_difference(name, &found, b->text[last]);
	} else {
		sum.unsteady++;
		printf("# not again: ");
		print_difference(name, &b->found, b->text[last]);
	}
}

/* ---- coverage ------------------------------------------------------------------------------------------------ */

/* A structure, and those in it. */
static void
cover_layout(const struct kmn_layout *layout)
{
	if (layout == NULL || sum.layouts[layout->id])
		return;
	sum.layouts[layout->id] = true;
	for (size_t i = 0; i < layout->field_count; i++) {
		cover_layout(layout->fields[i].inner);
		for (size_t k = 0; k < layout->fields[i].choice_count; k++)
			cover_layout(layout->fields[i].choices[k].inner);
	}
}

static void
cover_mechanism(const char *name, bool with_parameter, enum kmn_param_family family)
{
	const struct kmn_mechanism *row;
	uint64_t type;

	if (!kmn_mechanism_of(name, &type) || (row = kmn_mechanism_row(type)) == NULL)
		return;
	if (family == KMN_FAMILY_MESSAGE)
		cover_layout(row->message);
	else if (family == KMN_FAMILY_WRAP_AUTHENTICATED && with_parameter)
		cover_layout(row->wrap);
	for (size_t i = 0; i < KMN_COUNT_OF(row->layout) && with_parameter && family == KMN_FAMILY_INIT; i++)
		cover_layout(row->layout[i]);
}

static void
cover_attribute(const char *name)
{
	const struct kmn_attribute *row;

	for (size_t i = 0; (row = kmn_attribute_at(i)) != NULL; i++)
		if (strcmp(row->name, name) == 0)
			sum.attributes[i] = true;
}

/* What of the tables a trace touches. */
static void
cover(const char *text)
{
	enum kmn_param_family family = KMN_FAMILY_INIT;

	while (*text != '\0') {
		char word[64];
		size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

		if (n == 0) {
			text++;
			continue;
		}
		snprintf(word, sizeof(word), "%.*s", (int)n, text);
		text += n;
		if (strncmp(word, "CKM_", 4) == 0)
			cover_mechanism(word, strncmp(text, "/[", 2) == 0, family);
		else if (strncmp(word, "CKA_", 4) == 0)
			cover_attribute(word);
		if (strncmp(word, "C_", 2) != 0 || kmn_call_by_name(word) == NULL)
			continue;
		sum.functions[kmn_call_id_of(kmn_call_by_name(word))]++;
		family = strncmp(word, "C_Message", 9) == 0         ? KMN_FAMILY_MESSAGE
			 : strstr(word, "KeyAuthenticated") != NULL ? KMN_FAMILY_WRAP_AUTHENTICATED
								    : KMN_FAMILY_INIT;
	}
}

static void
write_coverage(void)
{
	FILE *out = set.coverage != NULL ? fopen(set.coverage, "a") : NULL;
	const struct kmn_attribute *row;

	if (out == NULL)
		return;
	for (unsigned i = 0; i < KMN_CALL_COUNT; i++)
		if (sum.functions[i] > 0)
			fprintf(out, "function %s\n", kmn_call_row(i)->name);
	for (size_t i = 0; (row = kmn_attribute_at(i)) != NULL; i++)
		if (sum.attributes[i])
			fprintf(out, "attribute %s\n", row->name);
	for (unsigned i = 0; i < 256 && kmn_layout_of((uint8_t)i) != NULL; i++)
		if (sum.layouts[i])
			fprintf(out, "layout %s\n", kmn_layout_of((uint8_t)i)->name);
	for (size_t i = 0; i < set.allowed.count; i++)
		if (set.allowed.rows[i].matched > 0)
			fprintf(out, "allowed %u\n", set.allowed.rows[i].line);
	fclose(out);
}

/* All rows of the tables, in the words of the coverage file. */
static void
print_rows(void)
{
	const struct kmn_attribute *row;

	for (unsigned i = 0; i < KMN_CALL_COUNT; i++)
		printf("function %s\n", kmn_call_row(i)->name);
	for (size_t i = 0; (row = kmn_attribute_at(i)) != NULL; i++)
		printf("attribute %s\n", row->name);
	for (unsigned i = 0; i < 256 && kmn_layout_of((uint8_t)i) != NULL; i++)
		printf("layout %s\n", kmn_layout_of((uint8_t)i)->name);
}

/* ---- the run ------------------------------------------------------------------------------------------------- */

/* What the module lists, told by itself; that the gateway lists the same is the first case. */
static void
scout(struct subject *s)
{
	static char text[PLAY_CASE_BYTES];
	char *one[] = {text};
	struct comparison found;
	const char *at;
	size_t n;

	(void)play_alone("", one, 0, &found);
	free(found.text);
	if ((at = strstr(players[SIDE_DIRECT].tape->text, "version=")) != NULL)
		s->version = (unsigned)strtoul(at + strlen("version="), NULL, 16);
	snprintf(text, sizeof(text), "world raw\nC_GetMechanismList slot c:1000\n");
	if (play_alone("", one, 1, &found) != VERDICT_SAME) {
		sum.differences++;
		print_difference("mechanisms", &found, text);
	}
	if ((at = strstr(players[SIDE_DIRECT].tape->text, "pMechanismList=")) == NULL)
		fail("%s lists no mechanisms:\n%s", set.module, players[SIDE_DIRECT].tape->text);
	at += strlen("pMechanismList=");
	for (char *end; s->mechanisms < KMN_COUNT_OF(s->mechanism) && *at != '\n' && *at != '\0';
	     at = end + (*end == ','))
		s->mechanism[s->mechanisms++] = strtoull(at, &end, 16);
	n = (size_t)snprintf(text, sizeof(text), "world raw\n");
	for (size_t i = 0; i < s->mechanisms && n < sizeof(text) - 64; i++)
		n += (size_t)snprintf(
		    text + n, sizeof(text) - n, "C_GetMechanismInfo slot 0x%lx .\n", (long)s->mechanism[i]);
	if (play_alone("", one, 1, &found) != VERDICT_SAME) {
		sum.differences++;
		print_difference("mechanism information", &found, text);
	}
	at = players[SIDE_REMOTE].tape->text; /* SoftHSM adds its flags to what the caller's memory holds */
	for (size_t i = 0; i < s->mechanisms && (at = strstr(at, "C_GetMechanismInfo")) != NULL; i++) {
		const char *flags = strstr(++at, "pInfo.flags="), *next = strstr(at, "C_GetMechanismInfo");

		if (flags != NULL && (next == NULL || flags < next))
			s->flags[i] = strtoull(flags + strlen("pInfo.flags="), NULL, 16);
	}
	printf("# %s lists %zu mechanisms, directly and through the gateway\n", set.module, s->mechanisms);
}

static void
run_kind(const struct subject *s, enum generate_kind kind, uint64_t cases)
{
	struct batch b = {.prologue = kind == GENERATE_RAW ? "" : set.prologue};
	char *text[BATCH], name[128];
	uint64_t next = set.part;

	for (size_t i = 0; i < BATCH; i++)
		text[i] = malloc(PLAY_CASE_BYTES);
	b.text = text;
	while (next < cases) {
		for (b.count = 0; b.count < BATCH && next + b.count * set.parts < cases; b.count++)
			generate(s, kind, set.seed, next + b.count * set.parts, text[b.count], PLAY_CASE_BYTES);
		play_batch(&b, true);
		if (b.played == 0) {
			sum.differences++;
			print_difference("prologue", &b.found, b.prologue);
			return;
		}
		for (size_t i = 0; i < b.played; i++)
			cover(text[i]);
		next += (b.played - 1) * set.parts;
		snprintf(name, sizeof(name), "seed %lu %s case %lu (%s)", (long)set.seed,
		    kind == GENERATE_RAW ? "raw" : "user", (long)next, generate_axis(s, kind, set.seed, next));
		if (b.verdict == VERDICT_UNSTEADY)
			sum.unsteady++;
		if (b.verdict == VERDICT_DIFFERENT)
			settle(&b, name);
		free(b.found.text);
		b.found.text = NULL;
		next += set.parts;
	}
	for (size_t i = 0; i < BATCH; i++)
		free(text[i]);
}

static int
run(void)
{
	struct subject s = {.loose = strcmp(set.module, "softhsm") != 0, .version = 0x0228};
	uint64_t raw = set.cases / 8;

	scout(&s);
	run_kind(&s, GENERATE_RAW, raw);
	run_kind(&s, GENERATE_USER, set.cases - raw);
	write_coverage();
	printf("# %s part %lu of %lu: %lu cases, %lu calls, %lu of them CKR_OK, %lu random outputs, %lu unsteady, "
	       "%lu crashes of the module, %lu batches\n",
	    set.module, (long)set.part + 1, (long)set.parts, sum.cases, sum.calls, sum.ok, sum.masked, sum.unsteady,
	    sum.crashes, sum.batches);
	printf(
	    "differences %lu cases %lu calls %lu unsteady %lu\n", sum.differences, sum.cases, sum.calls, sum.unsteady);
	return sum.differences == 0 && sum.unsteady * 50 <= sum.cases ? 0 : 1;
}

static int
replay(const char *path)
{
	char *one[] = {file_text(path)};
	struct comparison found;
	enum verdict verdict;
	bool raw = strstr(one[0], "world raw") != NULL;

	verdict = play_alone(raw ? "" : set.prologue, one, 1, &found);
	for (int i = 0; i < SIDES; i++)
		printf("---- %s\n%s", i == SIDE_REMOTE ? "through the gateway" : "direct", players[i].tape->text);
	if (found.text != NULL)
		printf("---- different at line %u, %s\n%s", found.line, found.function, found.text);
	printf("---- %s\n", verdict == VERDICT_SAME ? "same" : verdict == VERDICT_DIFFERENT ? "different" : "unsteady");
	return verdict == VERDICT_DIFFERENT;
}

/* Plays a file once in the module, over the prepared tokens themselves: makes what is on them. */
static int
prepare(const char *path)
{
	char *text = file_text(path);

	start_player(SIDE_DIRECT, text);
	await(SIDE_DIRECT);
	stop_player(SIDE_DIRECT);
	printf("%s", players[SIDE_DIRECT].tape->text);
	return 0;
}

static const struct option options[] = {
    {"module", required_argument, NULL, 'm'},
    {"vendor", required_argument, NULL, 'v'},
    {"provider", required_argument, NULL, 'p'},
    {"label", required_argument, NULL, 'l'},
    {"world", required_argument, NULL, 'w'},
    {"objects", required_argument, NULL, 'o'},
    {"environment", required_argument, NULL, 'e'},
    {"init-args", required_argument, NULL, 'i'},
    {"allowed", required_argument, NULL, 'a'},
    {"coverage", required_argument, NULL, 'c'},
    {"cases", required_argument, NULL, 'n'},
    {"seed", required_argument, NULL, 's'},
    {"part", required_argument, NULL, 'P'},
    {"parts", required_argument, NULL, 'N'},
    {"replay", required_argument, NULL, 'r'},
    {"prepare", required_argument, NULL, 'q'},
    {"rows", no_argument, NULL, 'R'},
    {"be", required_argument, NULL, 'b'},
    {NULL, 0, NULL, 0},
};

int
main(int argc, char **argv)
{
	const char *replays = NULL, *prepares = NULL, *be = NULL;
	size_t n;
	int c;

	set.cases = 1000;
	set.parts = 1;
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'm':
			set.module = optarg;
			break;
		case 'v':
			set.vendor = optarg;
			break;
		case 'p':
			set.provider = optarg;
			break;
		case 'l':
			set.label = optarg;
			break;
		case 'w':
			set.world = optarg;
			break;
		case 'o':
			set.objects = optarg;
			break;
		case 'e':
			for (n = 0; set.environment[n] != NULL && n < KMN_COUNT_OF(set.environment) - 2;)
				n++;
			set.environment[n] = optarg;
			break;
		case 'i':
			set.init_args = optarg;
			break;
		case 'a':
			allow_list_read(&set.allowed, optarg);
			break;
		case 'c':
			set.coverage = optarg;
			break;
		case 'n':
			set.cases = strtoull(optarg, NULL, 0);
			break;
		case 's':
			set.seed = strtoull(optarg, NULL, 0);
			break;
		case 'P':
			set.part = strtoull(optarg, NULL, 0);
			break;
		case 'N':
			set.parts = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			replays = optarg;
			break;
		case 'q':
			prepares = optarg;
			break;
		case 'R':
			print_rows();
			return 0;
		case 'b':
			be = optarg;
			break;
		default:
			return 2;
		}
	}
	if (set.module == NULL || set.vendor == NULL || set.label == NULL || set.world == NULL)
		fail("usage: README.md");
	signal(SIGPIPE, SIG_IGN);
	sum.attributes = calloc(4096, sizeof(bool));
	sum.layouts = calloc(256, sizeof(bool));
	set.argv = argv;
	if (be != NULL)
		return become_player(be);
	board = mapped(board_fd = shared(PLAY_CASE_BYTES), PLAY_CASE_BYTES);
	before = mapped(before_fd = shared(PLAY_CASE_BYTES), PLAY_CASE_BYTES);
	for (int i = 0; i < SIDES; i++)
		players[i].tape = mapped(tape_fd[i] = shared(sizeof(struct tape)), sizeof(struct tape));
	if (prepares != NULL)
		return prepare(prepares);
	if (set.provider == NULL || set.objects == NULL)
		fail("usage: README.md");
	set.prologue = file_text(set.objects);
	return replays != NULL ? replay(replays) : run();
}
