/* kanmon policy next: the draft of the version after one, in which only the first lines differ. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/statement.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/options.h"
#include "tools/kanmon/policy_file.h"
#include "tools/kanmon/terminal.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

/* Is it this line of a policy's head? */
static bool
is_head(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncmp(line, name, n) == 0 && line[n] == ' ';
}

/* The text of the next version: its version, previous, not-before and expires; every other line as it was. */
static kmn_err
make_draft(const struct kmn_policy_file *file, int64_t now, int64_t term, char **draft_out, size_t *len_out)
{
	char version[24], previous[KMN_B64_LEN(KMN_HASH_BYTES) + 1], from[KMN_TIME_TEXT_BYTES], to[KMN_TIME_TEXT_BYTES];
	const struct {
		const char *name, *value;
	} head[] = {{"version", version}, {"previous", previous}, {"not-before", from}, {"expires", to}};
	size_t len, done = 0, all;
	const char *text = kmn_policy_file_text(file, &all);
	FILE *draft = open_memstream(draft_out, len_out);

	if (draft == NULL)
		return KMN_E_NO_MEMORY;
	(void)snprintf(version, sizeof(version), "%" PRIu64, kmn_policy_version(file->policy) + 1);
	kmn_b64(kmn_policy_sha256(file->policy), KMN_HASH_BYTES, previous);
	kmn_time_text(now, from);
	kmn_time_text(now + term, to);
	for (const char *line = text; line < text + all; line += len) {
		len = strcspn(line, "\n") + 1;
		if (done < KMN_COUNT_OF(head) && is_head(line, head[done].name)) {
			(void)fprintf(draft, "%s %s\n", head[done].name, head[done].value);
			done++;
		} else {
			(void)fwrite(line, 1, len, draft);
		}
	}
	return fclose(draft) == 0 ? KMN_OK : KMN_E_NO_MEMORY;
}

static int
write_draft(const struct kmn_policy_file *file, int64_t now, int64_t term, const char *out)
{
	struct kmn_policy_file *next;
	char *draft;
	size_t len;
	int verdict = KMN_EXIT_OK;

	if (make_draft(file, now, term, &draft, &len) != KMN_OK)
		return kmn_fail("out of memory");
	if (kmn_policy_file_take("the draft", draft, len, &next) != KMN_OK)
		return KMN_EXIT_FAILED;
	if (out == NULL)
		kmn_print_safe(next->bytes);
	else if (kmn_file_create(out, next->bytes, len, 0644) != KMN_OK)
		verdict = KMN_EXIT_FAILED;
	else
		printf("Wrote version %" PRIu64 " to %s: change it, then policy check, policy diff and policy sign.\n",
		    kmn_policy_version(next->policy), out);
	kmn_policy_file_free(next);
	return verdict;
}

int
kmn_cmd_policy_next(int argc, char **argv)
{
	int64_t now = (int64_t)time(NULL) * 1000;
	const char *path, *as = NULL, *out = NULL;
	struct kmn_policy_file *file;
	unsigned long days = 0;
	const struct kmn_option options[] = {
	    KMN_OPTION_TEXT("as", "DIR/NAME", "whose files to use (default: KANMON_CUSTODIAN)", &as),
	    KMN_OPTION_NUMBER("days", "N", "how long it is in force (default: as long as the one before)", &days),
	    KMN_OPTION_TEXT("out", "FILE", "write the draft there, not on standard output", &out),
	};
	int verdict = kmn_options_parse(argc, argv, "policy next", options, KMN_COUNT_OF(options), &path, 0, 1);

	if (verdict != KMN_GO_ON)
		return verdict;
	if (days > 36500)
		return kmn_usage("policy next", "--days is at most 36500");
	if ((path != NULL ? kmn_policy_file_read(path, &file) : kmn_policy_file_ask(as, &file)) != KMN_OK)
		return KMN_EXIT_FAILED;
	verdict = write_draft(file, now,
	    days > 0 ? (int64_t)days * DAY_MS : kmn_policy_expires(file->policy) - kmn_policy_not_before(file->policy),
	    out);
	kmn_policy_file_free(file);
	return verdict;
}

bool
kmn_policy_file_ending(const struct kmn_policy_file *file, int64_t now, unsigned *line_out, char *text, size_t room)
{
	int64_t left = kmn_policy_expires(file->policy) - now;
	const char *line = file->bytes;
	char when[KMN_TIME_TEXT_BYTES];

	if (left > KMN_POLICY_WARN_MS)
		return false;
	for (*line_out = 1; line[0] != '\0' && !is_head(line, "expires"); ++*line_out)
		line += strcspn(line, "\n") + 1;
	kmn_time_text(kmn_policy_expires(file->policy), when);
	if (left <= 0)
		(void)snprintf(text, room, "it expired at %s: nothing but queries is answered under it", when);
	else
		(void)snprintf(text, room, "it expires at %s, in %" PRId64 " days: bring the next version before", when,
		    left / DAY_MS);
	return true;
}
