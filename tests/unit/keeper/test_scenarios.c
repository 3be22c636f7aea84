/*
 * Runs scenarios/ *.scn: each is a policy and lines that say who does what, and what must come of it, with a clock that
 * only these lines move. At the end of each the ledger is verified, and its records must say of every request what the
 * keeper said. scenarios/README.md has the language.
 */
#include "config.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/evidence.h"
#include "kanmon/quorum.h"
#include "tests/unit/keeper/scene.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define WORDS_MAX 16
#define FILES_MAX 128
#define WAIT_TRIES 100

struct line {
	char text[512], *word[WORDS_MAX];
	size_t words;
	const char *want; /* after "->"; "ok" without */
};

static char *files[FILES_MAX];
static size_t file_count;

/* ---- words --------------------------------------------------------------------------------------------------------- */

/* Words are parted by blanks; one in quotation marks may hold them, and \n. */
static void
split(struct line *line, const char *text)
{
	char *out = line->text;

	memset(line, 0, sizeof(*line));
	line->want = "ok";
	while (*(text += strspn(text, " \t\n")) != '\0' && *text != '#' && line->words < WORDS_MAX) {
		bool quoted = *text == '"';
		char *word = out;

		text += quoted;
		while (*text != '\0' && (quoted ? *text != '"' : strchr(" \t\n", *text) == NULL)) {
			bool end_of_line = text[0] == '\\' && text[1] == 'n';

			*out++ = end_of_line ? '\n' : *text;
			text += 1 + end_of_line;
		}
		text += quoted && *text == '"';
		*out++ = '\0';
		line->word[line->words++] = word;
	}
	if (line->words >= 3 && strcmp(line->word[line->words - 2], "->") == 0) {
		line->want = line->word[line->words - 1];
		line->words -= 2;
	}
}

/* The value of NAME=value among the words, else what it is without. */
static const char *
option(const struct line *line, const char *name, const char *without)
{
	size_t len = strlen(name);

	for (size_t n = 1; n < line->words; n++)
		if (strncmp(line->word[n], name, len) == 0 && line->word[n][len] == '=')
			return line->word[n] + len + 1;
	return without;
}

static unsigned
client(const struct line *line)
{
	return strcmp(option(line, "by", "ca"), "other") == 0 ? SCENE_OTHER : SCENE_CA;
}

static int64_t
duration_ms(const char *text)
{
	char *unit;
	long long n = strtoll(text, &unit, 10);

	return 1000 * n * (*unit == 'd' ? 86400 : *unit == 'h' ? 3600 : *unit == 'm' ? 60 : 1);
}

static const struct scene_request *
request(struct scene *s, const struct line *line)
{
	const struct scene_request *r = scene_request(s, line->word[1]);

	if (r == NULL)
		printf("# no request %s\n", line->word[1]);
	CU_ASSERT_PTR_NOT_NULL_FATAL(r);
	return r;
}

/* ---- verbs --------------------------------------------------------------------------------------------------------- */

static const char *
do_attach(struct scene *s, const struct line *line)
{
	s->receipts = strcmp(option(line, "receipts", "off"), "each") == 0 ? KMN_RECEIPTS_EACH : KMN_RECEIPTS_OFF;
	return scene_attach(s, strcmp(line->word[1], "other") == 0 ? SCENE_OTHER : SCENE_CA);
}

static struct scene_signing
signing(const struct line *line)
{
	const char *mechanism = option(line, "mech", "sha256");

	return (struct scene_signing){.name = line->word[1],
	    .key = option(line, "key", "seed"),
	    .data = option(line, "data", "data"),
	    .next = option(line, "next", NULL),
	    .over = option(line, "over", NULL),
	    .by = client(line),
	    .mechanism = strcmp(mechanism, "sha384") == 0   ? CKM_ECDSA_SHA384
			 : strcmp(mechanism, "sha1") == 0   ? CKM_ECDSA_SHA1
			 : strcmp(mechanism, "cmac") == 0   ? CKM_AES_CMAC
			 : strcmp(mechanism, "digest") == 0 ? CKM_ECDSA
							    : CKM_ECDSA_SHA256};
}

static const char *
do_sign(struct scene *s, const struct line *line)
{
	struct scene_signing what = signing(line);

	return scene_sign(s, &what);
}

static const char *
do_ahead(struct scene *s, const struct line *line)
{
	struct scene_signing what = signing(line);

	return scene_ahead(s, &what);
}

static const char *
do_window(struct scene *s, const struct line *line)
{
	return scene_window(
	    s, line->word[1], option(line, "rule", "standing"), option(line, "key", "seed"), client(line));
}

static const char *
do_again(struct scene *s, const struct line *line)
{
	(void)request(s, line);
	return scene_again(s, scene_request(s, line->word[1]));
}

static const char *
do_give(struct scene *s, const struct line *line)
{
	return scene_give(s, request(s, line), line->word[2], option(line, "over", NULL), client(line));
}

static const char *
do_asked(struct scene *s, const struct line *line)
{
	return scene_asked(s, line->word[1]);
}

static const char *
do_make(struct scene *s, const struct line *line)
{
	return scene_make(s, client(line), line->word[1], strcmp(option(line, "extractable", "no"), "yes") == 0);
}

static const char *
do_import(struct scene *s, const struct line *line)
{
	return scene_import(s, client(line), line->word[1]);
}

static const char *
do_random(struct scene *s, const struct line *line)
{
	return scene_random(s, client(line));
}

static const char *
do_look(struct scene *s, const struct line *line)
{
	return scene_look(s, client(line));
}

static const char *
do_approve(struct scene *s, const struct line *line)
{
	return scene_vote(s, request(s, line), KMN_APPROVE, line->word[2]);
}

/* touch R NAME ORIGIN RP-ID */
static const char *
do_touch(struct scene *s, const struct line *line)
{
	return scene_touch(s, request(s, line), line->word[2], line->word[3], line->word[4]);
}

static const char *
do_reject(struct scene *s, const struct line *line)
{
	return scene_vote(s, request(s, line), KMN_REJECT, line->word[2]);
}

static const char *
do_veto(struct scene *s, const struct line *line)
{
	return scene_vote(s, request(s, line), KMN_VETO, line->word[2]);
}

/* An approval of the statement with each of its lines changed in turn: the worst that any of them was worth. */
static const char *
do_bend(struct scene *s, const struct line *line)
{
	const struct scene_request *r = request(s, line);
	char *statement = scene_statement(s, r), *text;
	unsigned tried = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(statement);
	CU_ASSERT_EQUAL_FATAL(kmn_statement_turn(statement, KMN_APPROVE, NULL, &text), KMN_OK);
	free(statement);
	for (char *at = text, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		char was = end[-1];
		const char *check;

		if (end == at)
			continue;
		end[-1] = was == '1' ? '2' : '1';
		check = scene_bring(s, text, line->word[2]);
		end[-1] = was;
		tried++;
		if (strcmp(check, "ok") == 0) {
			printf("# taken, though changed: %.*s\n", (int)(end - at), at);
			free(text);
			return "ok";
		}
	}
	free(text);
	return tried > 8 ? "refused" : "too few lines";
}

static const char *
do_withdraw(struct scene *s, const struct line *line)
{
	return scene_withdraw(s, request(s, line), client(line));
}

/* submit "sato suzuki" OLD NEW.. */
static const char *
do_submit(struct scene *s, const struct line *line)
{
	const char *pairs[WORDS_MAX + 1] = {NULL};

	for (size_t n = 2; n + 1 < line->words; n += 2) {
		pairs[n - 2] = line->word[n];
		pairs[n - 1] = line->word[n + 1];
	}
	return scene_submit(s, pairs, line->word[1]);
}

static const char *
do_pass(struct scene *s, const struct line *line)
{
	scene_pass(s, duration_ms(line->word[1]));
	return "ok";
}

static const char *
do_clock(struct scene *s, const struct line *line)
{
	scene_set_wall(s, duration_ms(line->word[1]));
	return "ok";
}

static const char *
do_lose(struct scene *s, const struct line *line)
{
	static char function[64];

	snprintf(function, sizeof(function), "%s", line->word[1]);
	s->lost = function;
	return "ok";
}

static const char *
do_forge(struct scene *s, const struct line *line)
{
	(void)line;
	s->forges = true;
	return "ok";
}

static const char *
do_reopen(struct scene *s, const struct line *line)
{
	return scene_reopen(s, line->word[1], line->word[2], strtoull(option(line, "anomaly", "0"), NULL, 10),
	    option(line, "origin", NULL));
}

static const char *
do_replay(struct scene *s, const struct line *line)
{
	(void)line;
	return scene_replay(s);
}

static const char *
do_elsewhere(struct scene *s, const struct line *line)
{
	return scene_elsewhere(s, client(line));
}

static const char *
do_complain(struct scene *s, const struct line *line)
{
	return scene_complain(
	    s, client(line), option(line, "fault", "FORK"), strtoull(option(line, "number", "0"), NULL, 10));
}

static const char *
do_drop(struct scene *s, const struct line *line)
{
	(void)line;
	scene_drop(s);
	return "ok";
}

static const char *
do_crash(struct scene *s, const struct line *line)
{
	(void)line;
	scene_crash(s);
	return "ok";
}

static const char *
do_restart(struct scene *s, const struct line *line)
{
	(void)line;
	scene_restart(s);
	return "ok";
}

/* ---- what is to be seen -------------------------------------------------------------------------------------------- */

/* Waits while something may still be under way. */
static bool
comes_to(struct scene *s, unsigned (*count)(struct scene *, const struct line *), const struct line *line, unsigned n)
{
	for (int i = 0; i < WAIT_TRIES && count(s, line) < n && s->rig.supervisor != NULL; i++)
		rig_pump(&s->rig, 20);
	return count(s, line) == n;
}

static unsigned
records(struct scene *s, const struct line *line)
{
	return rig_records(&s->rig, line->word[1], line->words > 3 ? line->word[3] : NULL);
}

static unsigned
calls(struct scene *s, const struct line *line)
{
	return rig_mock_calls(&s->rig, line->word[1]);
}

static const char *
do_records(struct scene *s, const struct line *line)
{
	static char other[32];

	if (comes_to(s, records, line, (unsigned)atoi(line->word[2])))
		return "ok";
	snprintf(other, sizeof(other), "%u records", records(s, line));
	return other;
}

static const char *
do_calls(struct scene *s, const struct line *line)
{
	static char other[32];

	if (comes_to(s, calls, line, (unsigned)atoi(line->word[2])))
		return "ok";
	snprintf(other, sizeof(other), "%u calls", calls(s, line));
	return other;
}

static const char *
do_stance(struct scene *s, const struct line *line)
{
	return scene_stance(s, line->word[1]);
}

/* What the client was told last with a refusal. */
static const char *
do_told(struct scene *s, const struct line *line)
{
	return strstr(s->rig.refused, line->word[1]) != NULL ? "ok" : s->rig.refused;
}

/* What the keeper logged. */
static const char *
do_said(struct scene *s, const struct line *line)
{
	return rig_said(&s->rig, line->word[1]) ? "ok" : "not said";
}

/* state NAME STATE */
static const char *
do_state(struct scene *s, const struct line *line)
{
	const char *state = "";

	for (int i = 0; i < WAIT_TRIES && strcmp(state, line->word[2]) != 0; i++) {
		if (i > 0)
			rig_pump(&s->rig, 20);
		state = scene_state(s, request(s, line));
	}
	return strcmp(state, line->word[2]) == 0 ? "ok" : state;
}

static const char *
do_same(struct scene *s, const struct line *line)
{
	const struct scene_request *other = scene_request(s, line->word[2]);

	return other != NULL && other->id == request(s, line)->id ? "ok" : "another";
}

static const struct verb {
	const char *name;
	size_t words; /* at least, with the verb */
	const char *(*run)(struct scene *s, const struct line *line);
} verbs[] = {
    {"attach", 2, do_attach},
    {"sign", 2, do_sign},
    {"again", 2, do_again},
    {"ahead", 2, do_ahead},
    {"window", 2, do_window},
    {"give", 3, do_give},
    {"asked", 2, do_asked},
    {"make", 2, do_make},
    {"import", 2, do_import},
    {"random", 1, do_random},
    {"look", 1, do_look},
    {"approve", 3, do_approve},
    {"touch", 5, do_touch},
    {"reject", 3, do_reject},
    {"veto", 3, do_veto},
    {"bend", 3, do_bend},
    {"withdraw", 2, do_withdraw},
    {"submit", 2, do_submit},
    {"pass", 2, do_pass},
    {"clock", 2, do_clock},
    {"lose", 2, do_lose},
    {"forge", 1, do_forge},
    {"reopen", 3, do_reopen},
    {"replay", 1, do_replay},
    {"elsewhere", 1, do_elsewhere},
    {"stance", 2, do_stance},
    {"complain", 1, do_complain},
    {"said", 2, do_said},
    {"told", 2, do_told},
    {"drop", 1, do_drop},
    {"crash", 1, do_crash},
    {"restart", 1, do_restart},
    {"records", 3, do_records},
    {"calls", 3, do_calls},
    {"state", 3, do_state},
    {"same", 3, do_same},
};

/* ---- a file -------------------------------------------------------------------------------------------------------- */

/* "@sato2@" in a policy is a key of that name: the second of a person, or one of another. */
static void
add_rule(char *rules, size_t size, const char *text)
{
	size_t n = strlen(rules);
	const char *at = strchr(text, '@'), *end = at == NULL ? NULL : strchr(at + 1, '@');
	char name[32], vkey[KMN_EVIDENCE_VKEY_MAX_BYTES];

	if (end == NULL) {
		snprintf(rules + n, size - n, "%s", text);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(end - at - 1), at + 1);
	if (strncmp(name, "touch:", 6) == 0)
		snprintf(vkey, sizeof(vkey), "%s", scene_touch_vkey(name + 6));
	else
		world_vkey(name, vkey);
	snprintf(rules + n, size - n, "%.*s%s%s", (int)(at - text), text, vkey, end + 1);
}

/* What stands before "begin": `tokens ...`, `token ...` and the policy's lines, as they are. */
static void
read_policy(FILE *file, unsigned *number, struct scene *s)
{
	static char rules[8192], tokens[128], token_lines[256];
	char text[512];

	rules[0] = token_lines[0] = '\0';
	strcpy(tokens, "mock-1");
	while (fgets(text, sizeof(text), file) != NULL && strcmp(text, "begin\n") != 0) {
		++*number;
		if (strncmp(text, "tokens ", 7) == 0)
			snprintf(tokens, sizeof(tokens), "%.*s", (int)strcspn(text + 7, "\n"), text + 7);
		else if (strncmp(text, "token ", 6) == 0)
			strncat(token_lines, text, sizeof(token_lines) - strlen(token_lines) - 1);
		else if (text[0] != '#')
			add_rule(rules, sizeof(rules), text);
	}
	++*number;
	scene_start(s, tokens, token_lines[0] != '\0' ? token_lines : NULL, rules);
}

static bool
run_line(struct scene *s, const struct line *line)
{
	for (size_t n = 0; n < KMN_COUNT_OF(verbs); n++) {
		const char *got;

		if (strcmp(verbs[n].name, line->word[0]) != 0 || line->words < verbs[n].words)
			continue;
		got = verbs[n].run(s, line);
		/* what is refused says why in words: a part of it is enough */
		if (strcmp(got, line->want) == 0 || (strcmp(line->want, "ok") != 0 && strstr(got, line->want) != NULL))
			return true;
		printf("# %s: wanted \"%s\", got \"%s\"\n", line->word[0], line->want, got);
		return false;
	}
	printf("# no such line: %s\n", line->word[0]);
	return false;
}

/* What the keeper said that it did not like. */
static void
print_log(const struct scene *s)
{
	char path[128], text[2048];
	FILE *file;

	snprintf(path, sizeof(path), "%s/ledger.log", s->rig.dir);
	file = fopen(path, "r");
	while (file != NULL && fgets(text, sizeof(text), file) != NULL)
		if (strstr(text, "error") != NULL || strstr(text, "warning") != NULL)
			printf("# %s", text);
	if (file != NULL)
		fclose(file);
}

/* The second verifier takes half a second for each: all of them in the long form. */
static bool
is_for_second(const char *path)
{
	static const char *const few[] = {
	    "/anomaly-seal.scn", "/anomaly-degrade.scn", "/withdrawn-by-policy.scn", "/window-ends.scn"};

	for (size_t n = 0; n < KMN_COUNT_OF(few); n++)
		if (strcmp(strrchr(path, '/'), few[n]) == 0)
			return true;
	return getenv("KMN_TEST_LONG") != NULL;
}

/* What the documents alone make of the ledger (tests/unit/ledger/oracle/second.py). */
static void
ask_second(const struct scene *s)
{
	char command[1024], trust[1024], path[128];
	FILE *file;
	int status;

	rig_trust(&s->rig, trust, sizeof(trust));
	snprintf(path, sizeof(path), "%s/trust", s->rig.dir);
	CU_ASSERT_PTR_NOT_NULL_FATAL(file = fopen(path, "w"));
	CU_ASSERT_EQUAL(fputs(trust, file) >= 0, 1);
	CU_ASSERT_EQUAL(fclose(file), 0);
	snprintf(command, sizeof(command), "PYTHONDONTWRITEBYTECODE=1 python3 %s %s/ledger %s | sed 's/^/# second: /'",
	    KMN_SECOND, s->rig.dir, path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(file = popen(command, "r"));
	for (command[0] = '\0'; fgets(command, sizeof(command), file) != NULL;)
		printf("%s", command);
	status = pclose(file);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(command, ": exit 0"));
}

static void
run_file(const char *path)
{
	static struct scene s;
	FILE *file = fopen(path, "r");
	char text[512];
	unsigned number = 0;
	bool good = true;

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	read_policy(file, &number, &s);
	while (good && fgets(text, sizeof(text), file) != NULL) {
		struct line line;

		number++;
		split(&line, text);
		good = line.words == 0 || run_line(&s, &line);
	}
	CU_ASSERT_TRUE(good);
	if (!good) {
		printf("# %s, line %u\n", path, number);
		print_log(&s);
	}
	fclose(file);
	if (s.rig.supervisor == NULL)
		scene_restart(&s);
	if (is_for_second(path)) {
		scene_agree(&s);
		ask_second(&s);
	}
	scene_end(&s);
}

/* ---- all files ----------------------------------------------------------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
list_files(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL && file_count < FILES_MAX) {
		const char *end = strrchr(entry->d_name, '.');

		if (end != NULL && strcmp(end, ".scn") == 0)
			files[file_count++] = strdup(entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	qsort(files, file_count, sizeof(files[0]), by_name);
}

static void
test_next_file(void)
{
	char path[512];
	size_t n = 0;

	/* CUnit does not say which case it runs, but its name is that of a file. */
	while (n < file_count && strcmp(files[n], CU_get_current_test()->pName) != 0)
		n++;
	CU_ASSERT_TRUE_FATAL(n < file_count);
	snprintf(path, sizeof(path), "%s/%s", KMN_SCENARIOS_DIR, files[n]);
	run_file(path);
}

/* ---- the table of README.md ---------------------------------------------------------------------------------------- */

static char readme[32768];

static void
read_whole(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "r");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	out[fread(out, 1, size - 1, file)] = '\0';
	fclose(file);
}

static bool
has_row(const char *what)
{
	char row[96];

	snprintf(row, sizeof(row), "\n| %s |", what);
	if (strstr(readme, row) == NULL)
		printf("# no row: %s\n", what);
	return strstr(readme, row) != NULL;
}

/* The words that docs/policy.md has in the left column of "Lines of a rule": `per` with what follows it. */
static void
check_rule_lines(void)
{
	static char policy[131072];
	char *at, *end;
	unsigned rows = 0;

	read_whole(KMN_SCENARIOS_DIR "/../../../../docs/policy.md", policy, sizeof(policy));
	CU_ASSERT_PTR_NOT_NULL_FATAL(at = strstr(policy, "\n### Lines of a rule\n"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(end = strstr(at + 1, "\n### "));
	*end = '\0';
	for (at = strstr(at, "\n| `"); at != NULL; at = strstr(at + 1, "\n| `")) {
		char word[32] = "", second[32] = "", what[80];

		sscanf(at + 4, "%31[a-z] %31[a-z]", word, second);
		snprintf(what, sizeof(what), "rule %s%s%s", word, strcmp(word, "per") == 0 ? " " : "",
		    strcmp(word, "per") == 0 ? second : "");
		CU_ASSERT_TRUE(has_row(what));
		rows++;
	}
	CU_ASSERT_TRUE(rows > 10);
}

/* Each scenario stands in some row, and each that does is there. */
static void
check_files(void)
{
	char *table = strstr(readme, "\n| --- | --- |\n"), *rest, *line;
	bool named[FILES_MAX] = {false};

	CU_ASSERT_PTR_NOT_NULL_FATAL(table);
	for (line = strtok_r(table + 15, "\n", &rest); line != NULL && line[0] == '|';
	     line = strtok_r(NULL, "\n", &rest)) {
		char *cell = strchr(line + 1, '|'), *more;

		CU_ASSERT_PTR_NOT_NULL_FATAL(cell);
		for (char *word = strtok_r(cell, " |", &more); word != NULL; word = strtok_r(NULL, " |", &more)) {
			size_t n = 0, len = strlen(word);

			while (n < file_count &&
			       (strncmp(files[n], word, len) != 0 || strcmp(files[n] + len, ".scn") != 0))
				n++;
			if (n == file_count)
				printf("# no scenario: %s\n", word);
			else
				named[n] = true;
			CU_ASSERT_TRUE(n < file_count);
		}
	}
	for (size_t n = 0; n < file_count; n++) {
		if (!named[n])
			printf("# in no row: %s\n", files[n]);
		CU_ASSERT_TRUE(named[n]);
	}
}

static void
test_table(void)
{
	static const char *const others[] = {
	    "stance seal", "stance degrade", "limit anchors", "limit witnesses", "policy expires"};
	char what[64];

	read_whole(KMN_SCENARIOS_DIR "/README.md", readme, sizeof(readme));
	for (int state = KMN_REQUEST_OPEN; state <= KMN_REQUEST_SPENT; state++) {
		snprintf(what, sizeof(what), "state %s", kmn_request_state_name((enum kmn_request_state)state));
		CU_ASSERT_TRUE(state == KMN_REQUEST_UNSTARTED || has_row(what));
	}
	for (size_t n = 0; n < KMN_COUNT_OF(others); n++)
		CU_ASSERT_TRUE(has_row(others[n]));
	check_rule_lines();
	check_files();
}

int
main(int argc, char **argv)
{
	static CU_TestInfo cases[FILES_MAX + 2];
	static CU_SuiteInfo suites[] = {{"keeper/scenarios", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	signal(SIGPIPE, SIG_IGN);
	list_files(KMN_SCENARIOS_DIR);
	if (file_count == 0) {
		fprintf(stderr, "no scenarios in %s\n", KMN_SCENARIOS_DIR);
		return 1;
	}
	for (size_t n = 0; n < file_count; n++)
		cases[n] = (CU_TestInfo){files[n], test_next_file};
	cases[file_count] = (CU_TestInfo){"each state, line of a rule, stance and limit has its scenario", test_table};
	return kmn_test_main(argc, argv, suites);
}
