/* The description of an HSM's log, and its lines. */
#include "config.h"

#include "tools/kanmon/hsmlog.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "tools/kanmon/audit_rows.h"

#define GROUPS_MAX 10
#define PATTERNS_MAX 16
#define WORDS_MAX 256
#define PATTERN_MAX_BYTES 1024

enum field { FIELD_TIME, FIELD_OPERATION, FIELD_KEY, FIELD_SERIAL, FIELD_RESULT, FIELD_COUNTER, FIELD_COUNT };
static const char *const fields[FIELD_COUNT] = {"time", "operation", "key", "serial", "result", "counter"};

enum time_form { TIME_NONE, TIME_RFC3339, TIME_EPOCH, TIME_EPOCH_MS };
static const char *const time_forms[] = {"none", "rfc3339", "epoch", "epoch-ms"};

#define CLASS_NAME(id, name) [KMN_HSM_##id] = (name),
static const char *const classes[] = {KMN_HSM_CLASSES(CLASS_NAME)};
#undef CLASS_NAME

struct word {
	char from[KMN_HSMLOG_WORD_BYTES], to[KMN_HSMLOG_WORD_BYTES];
	enum kmn_hsm_class class;
};

struct pattern {
	bool there;
	regex_t regex;
};

struct kmn_hsmlog_format {
	char name[KMN_HSMLOG_WORD_BYTES];
	bool counters, has_kind;
	enum time_form time;
	struct pattern line, failed, skip[PATTERNS_MAX];
	size_t skip_count;
	unsigned group[FIELD_COUNT]; /* 0: the log has no such field */
	struct word operation[WORDS_MAX], key[WORDS_MAX];
	size_t operation_count, key_count;
	bool counts[KMN_HSM_CLASS_COUNT];
};

const char *kmn_hsm_class_name(enum kmn_hsm_class class)
{
	return classes[class];
}

const char *
kmn_hsmlog_name(const struct kmn_hsmlog_format *format)
{
	return format->name;
}

bool
kmn_hsmlog_is_counters(const struct kmn_hsmlog_format *format)
{
	return format->counters;
}

/* ---- the description --------------------------------------------------------------------------------------------- */

/* Where a description is being read. */
struct parsing {
	struct kmn_hsmlog_format *format;
	struct kmn_why *why;
	unsigned line;
};

static bool complain(struct parsing *p, const char *format, const char *text) __attribute__((format(printf, 2, 0)));

static bool
complain(struct parsing *p, const char *format, const char *text)
{
	struct kmn_why what;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	kmn_why_set(&what, format, text);
#pragma GCC diagnostic pop
	kmn_why_set(p->why, "line %u: %s", p->line, what.text);
	return false;
}

static bool
find_word(const char *const *names, size_t count, const char *word, size_t *at_out)
{
	for (size_t n = 0; n < count; n++) {
		*at_out = n;
		if (strcmp(names[n], word) == 0)
			return true;
	}
	return false;
}

static bool
take_pattern(struct parsing *p, struct pattern *pattern, const char *value)
{
	char text[128];
	int failed;

	if (pattern->there)
		return complain(p, "%s", "there is one already");
	if (strlen(value) > PATTERN_MAX_BYTES)
		return complain(p, "%s", "too long");
	if ((failed = regcomp(&pattern->regex, value, REG_EXTENDED)) != 0) {
		(void)regerror(failed, &pattern->regex, text, sizeof(text));
		return complain(p, "no regular expression: %.100s", text);
	}
	pattern->there = true;
	return true;
}

static bool
take_skip(struct parsing *p, const char *value)
{
	if (p->format->skip_count == PATTERNS_MAX)
		return complain(p, "%s", "too many skip lines");
	return take_pattern(p, &p->format->skip[p->format->skip_count], value) &&
	       p->format->skip_count++ < PATTERNS_MAX;
}

/* Two words with spaces between, the second to the end. */
static bool
split(struct parsing *p, const char *value, struct word *out)
{
	size_t len = strcspn(value, " \t");
	const char *rest = value + len + strspn(value + len, " \t");

	if (len == 0 || len >= sizeof(out->from) || rest[0] == '\0' || strlen(rest) >= sizeof(out->to))
		return complain(p, "%s", "two words are needed");
	(void)snprintf(out->from, sizeof(out->from), "%.*s", (int)len, value);
	(void)snprintf(out->to, sizeof(out->to), "%s", rest);
	return true;
}

static bool
take_class(struct parsing *p, const char *name, enum kmn_hsm_class *class_out)
{
	size_t at;

	if (!find_word(classes, KMN_HSM_CLASS_COUNT, name, &at))
		return complain(p,
		    "'%.40s' is no class: sign, decrypt, encrypt, generate, derive, wrap, unwrap, import, "
		    "destroy, login, admin, ignore",
		    name);
	*class_out = (enum kmn_hsm_class)at;
	return true;
}

static bool
take_field(struct parsing *p, const char *value)
{
	struct word words;
	size_t at;

	if (!split(p, value, &words))
		return false;
	if (!find_word(fields, FIELD_COUNT, words.from, &at))
		return complain(p, "'%.40s' is no field: time, operation, key, serial, result, counter", words.from);
	if (words.to[0] < '1' || words.to[0] > '9' || words.to[1] != '\0')
		return complain(p, "'%.40s' is no group: 1 to 9", words.to);
	p->format->group[at] = (unsigned)(words.to[0] - '0');
	return true;
}

static bool
take_operation(struct parsing *p, const char *value)
{
	struct word *word = &p->format->operation[p->format->operation_count];

	if (p->format->operation_count == WORDS_MAX)
		return complain(p, "%s", "too many operations");
	if (!split(p, value, word) || !take_class(p, word->to, &word->class))
		return false;
	p->format->operation_count++;
	return true;
}

static bool
take_key(struct parsing *p, const char *value)
{
	if (p->format->key_count == WORDS_MAX)
		return complain(p, "%s", "too many keys");
	return split(p, value, &p->format->key[p->format->key_count]) && p->format->key_count++ < WORDS_MAX;
}

static bool
take_counts(struct parsing *p, const char *value)
{
	enum kmn_hsm_class class;

	if (!take_class(p, value, &class))
		return false;
	return p->format->counts[class] = true;
}

static bool
take_name(struct parsing *p, const char *value)
{
	(void)snprintf(p->format->name, sizeof(p->format->name), "%s", value);
	return true;
}

static bool
take_kind(struct parsing *p, const char *value)
{
	p->format->counters = strcmp(value, "counters") == 0;
	p->format->has_kind = true;
	return p->format->counters || strcmp(value, "rows") == 0 || complain(p, "%s", "kind is rows or counters");
}

static bool
take_time(struct parsing *p, const char *value)
{
	size_t at;

	if (!find_word(time_forms, KMN_COUNT_OF(time_forms), value, &at))
		return complain(p, "%s", "time is rfc3339, epoch, epoch-ms or none");
	p->format->time = (enum time_form)at;
	return true;
}

static bool
take_line(struct parsing *p, const char *value)
{
	return take_pattern(p, &p->format->line, value);
}

static bool
take_failed(struct parsing *p, const char *value)
{
	return take_pattern(p, &p->format->failed, value);
}

static const struct {
	const char *name;
	bool (*take)(struct parsing *p, const char *value);
} settings[] = {
    {"name", take_name},
    {"kind", take_kind},
    {"line", take_line},
    {"field", take_field},
    {"time", take_time},
    {"skip", take_skip},
    {"operation", take_operation},
    {"counts", take_counts},
    {"failed", take_failed},
    {"key", take_key},
};

static bool
take_setting(struct parsing *p, const char *line)
{
	size_t len = strcspn(line, " \t");
	const char *value = line + len + strspn(line + len, " \t");

	if (p->line == 1)
		return strcmp(line, "kanmon/hsm-log/v1") == 0 ||
		       complain(p, "%s", "the first line is kanmon/hsm-log/v1");
	if (line[0] == '\0' || line[0] == '#')
		return true;
	if (value[0] == '\0')
		return complain(p, "%s", "a value is missing");
	for (size_t n = 0; n < KMN_COUNT_OF(settings); n++)
		if (strlen(settings[n].name) == len && strncmp(settings[n].name, line, len) == 0)
			return settings[n].take(p, value);
	return complain(p, "'%.40s' is no setting of a format", line);
}

/* Whether the description says enough to judge by. */
static bool
is_whole(struct parsing *p)
{
	const struct kmn_hsmlog_format *f = p->format;
	unsigned most = 0;

	p->line = 0;
	for (size_t n = 0; n < FIELD_COUNT; n++)
		most = f->group[n] > most ? f->group[n] : most;
	if (!f->has_kind || !f->line.there || f->name[0] == '\0')
		return complain(p, "%s", "name, kind and line are needed");
	if (most > f->line.regex.re_nsub)
		return complain(p, "%s", "a field names a group that line does not have");
	if (f->counters && (f->group[FIELD_COUNTER] == 0 || f->group[FIELD_KEY] == 0))
		return complain(p, "%s", "counters need the fields key and counter");
	if (!f->counters && (f->group[FIELD_OPERATION] == 0 || f->operation_count == 0))
		return complain(p, "%s", "rows need the field operation, and lines that say what each means");
	if ((f->group[FIELD_TIME] != 0) != (f->time != TIME_NONE))
		return complain(p, "%s", "a field time and its form go together");
	if (f->failed.there && f->group[FIELD_RESULT] == 0)
		return complain(p, "%s", "failed needs the field result");
	return true;
}

kmn_err
kmn_hsmlog_format_parse(const char *text, size_t len, struct kmn_hsmlog_format **format_out, struct kmn_why *why)
{
	struct parsing p = {.format = calloc(1, sizeof(*p.format)), .why = why, .line = 0};
	char line[PATTERN_MAX_BYTES + 32];
	bool good = true;

	*format_out = NULL;
	if (p.format == NULL)
		return KMN_E_NO_MEMORY;
	while (good && len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t size = end != NULL ? (size_t)(end - text) : len;

		p.line++;
		if (size >= sizeof(line) || memchr(text, '\0', size) != NULL) {
			good = complain(&p, "%s", "too long, or no text");
			break;
		}
		memcpy(line, text, size);
		line[size] = '\0';
		good = take_setting(&p, line);
		size += end != NULL;
		text += size;
		len -= size;
	}
	good = good && (p.line > 0 || complain(&p, "%s", "it is empty")) && is_whole(&p);
	if (good)
		*format_out = p.format;
	else
		kmn_hsmlog_format_free(p.format);
	return good ? KMN_OK : KMN_E_MALFORMED;
}

void
kmn_hsmlog_format_free(struct kmn_hsmlog_format *f)
{
	if (f == NULL)
		return;
	for (size_t n = 0; n < PATTERNS_MAX; n++)
		if (f->skip[n].there)
			regfree(&f->skip[n].regex);
	if (f->line.there)
		regfree(&f->line.regex);
	if (f->failed.there)
		regfree(&f->failed.regex);
	free(f);
}

bool
kmn_hsmlog_covers(const struct kmn_hsmlog_format *f, enum kmn_hsm_class class)
{
	if (class == KMN_HSM_IGNORE)
		return false;
	for (size_t n = 0; n < f->operation_count; n++)
		if (!f->counters && f->operation[n].class == class)
			return true;
	return f->counters && f->counts[class];
}

/* ---- a line ------------------------------------------------------------------------------------------------------ */

static bool
copy_group(const struct kmn_hsmlog_format *f, enum field field, const char *line, const regmatch_t *groups,
    char out[KMN_HSMLOG_WORD_BYTES])
{
	const regmatch_t *at = &groups[f->group[field]];
	size_t len;

	out[0] = '\0';
	if (f->group[field] == 0 || at->rm_so < 0)
		return true;
	if ((len = (size_t)(at->rm_eo - at->rm_so)) >= KMN_HSMLOG_WORD_BYTES)
		return false;
	memcpy(out, line + at->rm_so, len);
	out[len] = '\0';
	return true;
}

static bool
read_number(const char *text, uint64_t *out)
{
	char *end;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 15)
		return false;
	*out = strtoull(text, &end, 10);
	return *end == '\0';
}

/* "2026-11-23T18:13:33[.123..]Z" */
static bool
read_rfc3339(const char *text, uint64_t *out)
{
	char whole[20];
	uint64_t before, ms = 0, unit = 100;

	if (strlen(text) < 20)
		return false;
	(void)snprintf(whole, sizeof(whole), "%.19s", text);
	if (!kmn_when_parse(whole, out, &before))
		return false;
	text += 19;
	if (*text == '.' || *text == ',')
		for (text++; *text >= '0' && *text <= '9'; text++, unit /= 10)
			ms += (uint64_t)(*text - '0') * unit;
	*out += ms;
	return strcmp(text, "Z") == 0 || strcmp(text, "+00:00") == 0;
}

static bool
read_time(const struct kmn_hsmlog_format *f, const char *text, uint64_t *out)
{
	switch (f->time) {
	case TIME_RFC3339:
		return read_rfc3339(text, out);
	case TIME_EPOCH:
		return read_number(text, out) && (*out *= 1000) > 0;
	case TIME_EPOCH_MS:
		return read_number(text, out);
	default:
		return true;
	}
}

static bool
matches(const struct pattern *pattern, const char *text)
{
	return pattern->there && regexec(&pattern->regex, text, 0, NULL, 0) == 0;
}

kmn_err
kmn_hsmlog_line(const struct kmn_hsmlog_format *f, const char *line, struct kmn_hsmlog_row *row)
{
	regmatch_t groups[GROUPS_MAX];
	char time[KMN_HSMLOG_WORD_BYTES], result[KMN_HSMLOG_WORD_BYTES], counter[KMN_HSMLOG_WORD_BYTES];

	memset(row, 0, sizeof(*row));
	row->class = KMN_HSM_CLASS_COUNT;
	if (strlen(line) > KMN_HSMLOG_LINE_MAX_BYTES)
		return KMN_E_MALFORMED;
	for (size_t n = 0; n < f->skip_count; n++)
		if (matches(&f->skip[n], line))
			return KMN_E_NOT_FOUND;
	if (regexec(&f->line.regex, line, GROUPS_MAX, groups, 0) != 0 ||
	    !copy_group(f, FIELD_TIME, line, groups, time) ||
	    !copy_group(f, FIELD_OPERATION, line, groups, row->operation) ||
	    !copy_group(f, FIELD_KEY, line, groups, row->key) ||
	    !copy_group(f, FIELD_SERIAL, line, groups, row->serial) ||
	    !copy_group(f, FIELD_RESULT, line, groups, result) ||
	    !copy_group(f, FIELD_COUNTER, line, groups, counter) || !read_time(f, time, &row->t) ||
	    (f->counters && !read_number(counter, &row->counter)))
		return KMN_E_MALFORMED;
	for (size_t n = 0; n < f->operation_count; n++)
		if (strcmp(f->operation[n].from, row->operation) == 0)
			row->class = f->operation[n].class;
	for (size_t n = 0; n < f->key_count; n++)
		if (strcmp(f->key[n].from, row->key) == 0) {
			memcpy(row->key, f->key[n].to, sizeof(row->key));
			break;
		}
	row->failed = matches(&f->failed, result);
	return KMN_OK;
}
