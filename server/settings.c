#include "config.h"

#include "server/settings.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/messages.h"
#include "server/settings_forms.h"

#define SECTION_OPTS 24                                    /* rows of one section, at most */
#define TOP_OPTS (SECTION_OPTS + 4 + KMN_COUNT_OF(manies)) /* of the file itself, with its sections */
/* Sections of which there may be several, each with a name of its own. */
#define MODULE "module"
#define GUARD "guard"
#define WITNESS "witness"
#define STAMP "time-stamp"
#define ACTIVATION "activation"
#define HOOK "hook"
#define CONSOLE "console" /* one, without a name, or none */

enum type { TEXT, PATH, LIST, ENVIRONMENT, NUMBER, SECONDS, WORD, LOG, USER };

struct row {
	const char *section; /* "": the file itself */
	const char *name;
	size_t offset; /* in struct kmn_settings; of a section with a name in the structure of one such section */
	enum type type;
	unsigned long least, most; /* NUMBER, SECONDS: value; TEXT, PATH: bytes; LIST, ENVIRONMENT: items */
	const char *standard;      /* NULL: must be given if `least` is not 0 */
	const char *words;         /* WORD: what it may be, in the order of their numbers */
	bool (*check)(const char *value);
};

/* clang-format off */
#define AT(field) offsetof(struct kmn_settings, field)
#define OF(field) offsetof(struct kmn_module_settings, field)
#define GUARD_OF(field) offsetof(struct kmn_guard_settings, field)
#define WITNESS_OF(field) offsetof(struct kmn_witness_settings, field)
#define STAMP_OF(field) offsetof(struct kmn_stamp_settings, field)
#define HOOK_OF(field) offsetof(struct kmn_hook_settings, field)
#define ACTIVATION_OF(field) offsetof(struct kmn_activation_settings, field)
static const struct row rows[] = {
/*	section   name                    field                          type         least      most  default     words */
	{"",       "origin",               AT(origin),                    TEXT,            1,      255, NULL,       NULL, kmn_form_is_origin},
	{"",       "listen",               AT(listen),                    LIST,            1, KMN_LISTEN_MAX, NULL, NULL, kmn_form_is_listen},
	{"",       "certificate",          AT(certificate),               PATH,            1,     4095, NULL,       NULL, NULL},
	{"",       "key",                  AT(key),                       PATH,            1,     4095, NULL,       NULL, NULL},
	{"",       "ledger",               AT(ledger),                    PATH,            1,     4095, NULL,       NULL, NULL},
	{"",       "log-key",              AT(log_key),                   PATH,            1,     4095, NULL,       NULL, NULL},
	{"",       "lease",                AT(lease_ms),                  SECONDS,         1,     3600, "60",       NULL, NULL},
	{"",       "request-lifetime",     AT(request_lifetime_s),        NUMBER,          1,  2592000, "14400",    NULL, NULL},
	{"",       "spawn-wait",           AT(spawn_ms),                  SECONDS,         1,      600, "30",       NULL, NULL},
	{"",       "stop-wait",            AT(stop_ms),                   SECONDS,         1,      600, "10",       NULL, NULL},
	{"",       "reserve",              AT(reserve_mib),               NUMBER,          0,     1024, "16",       NULL, NULL},
	{"",       "low-water",            AT(low_water_mib),             NUMBER,          0,  1048576, "64",       NULL, NULL},
	{"",       "scrub",                AT(scrub_ms),                  SECONDS,         0,    86400, "60",       NULL, NULL},
	{"",       "time-stamp-every",     AT(stamp_ms),                  SECONDS,         1,    86400, "600",      NULL, NULL},
	{"",       "time-stamp-idle",      AT(stamp_idle_ms),             SECONDS,         1,   604800, "86400",    NULL, NULL},
	{"",       "witness-interval",     AT(witness_ms),                SECONDS,         1,    86400, "60",       NULL, NULL},
	{"",       "log",                  AT(log),                       LOG,             1,     4095, "stderr",   NULL, NULL},
	{"",       "log-level",            AT(log_level),                 WORD,            0,        0, "info",     "error warning info debug", NULL},
	{"",       "confinement",          AT(confinement),               WORD,            0,        0, "full",     "full no-seccomp", NULL},
	{"users",  "gate",                 AT(users[KMN_ROLE_GATE]),      USER,            0,       64, NULL,       NULL, NULL},
	{"users",  "keeper",               AT(users[KMN_ROLE_KEEPER]),    USER,            0,       64, NULL,       NULL, NULL},
	{"users",  "worker",               AT(users[KMN_ROLE_WORKER]),    USER,            0,       64, NULL,       NULL, NULL},
	{"users",  "courier",              AT(users[KMN_ROLE_COURIER]),   USER,            0,       64, NULL,       NULL, NULL},
	{MODULE,   "path",                 OF(path),                      PATH,            1,     4095, NULL,       NULL, NULL},
	{MODULE,   "init-args",            OF(init_args),                 TEXT,            0,     4095, NULL,       NULL, NULL},
	{MODULE,   "environment",          OF(environment),               ENVIRONMENT,     0, KMN_ENVIRONMENT_MAX, NULL, NULL, kmn_form_is_assignment},
	{MODULE,   "types",                OF(types),                     PATH,            0,     4095, NULL,       NULL, NULL},
	{MODULE,   "serial",               OF(serial),                    WORD,            0,        0, "no",       "no yes", NULL},
	{GUARD,    "path",                 GUARD_OF(path),                PATH,            0,     4095, NULL,       NULL, NULL},
	{GUARD,    "module",               GUARD_OF(module),              TEXT,            0, KMN_MODULE_NAME_MAX_BYTES, NULL, NULL, NULL},
	{GUARD,    "token",                GUARD_OF(token),               TEXT,            0,       32, NULL,       NULL, NULL},
	{GUARD,    "every",                GUARD_OF(every_ms),            SECONDS,         0,     3600, "0",        NULL, NULL},
	{WITNESS,  "url",                  WITNESS_OF(url),               TEXT,            1, KMN_COURIER_URL_MAX_BYTES, NULL, NULL, kmn_form_is_url},
	{STAMP,    "url",                  STAMP_OF(url),                 TEXT,            1, KMN_COURIER_URL_MAX_BYTES, NULL, NULL, kmn_form_is_url},
	{STAMP,    "roots",                STAMP_OF(roots),               PATH,            1,     4095, NULL,       NULL, NULL},
	{STAMP,    "policy",               STAMP_OF(policy),              TEXT,            0,      127, NULL,       NULL, kmn_form_is_oid},
	{ACTIVATION, "sealed-pin",         ACTIVATION_OF(sealed_pin),     PATH,            1,     4095, NULL,       NULL, NULL},
	{HOOK,     "command",              HOOK_OF(command),              PATH,            0,     4095, NULL,       NULL, NULL},
	{HOOK,     "url",                  HOOK_OF(url),                  TEXT,            0, KMN_COURIER_URL_MAX_BYTES, NULL, NULL, kmn_form_is_url},
	{HOOK,     "mail-to",              HOOK_OF(mail_to),              TEXT,            0,      254, NULL,       NULL, kmn_form_is_mail},
	{HOOK,     "sendmail",             HOOK_OF(sendmail),             PATH,            0,     4095, "/usr/sbin/sendmail", NULL, NULL},
	{HOOK,     "user",                 HOOK_OF(user),                 TEXT,            0,       64, NULL,       NULL, NULL},
	{CONSOLE,  "listen",               AT(console.listen),            TEXT,            1,       63, NULL,       NULL, kmn_form_is_listen},
	{CONSOLE,  "origin",               AT(console.origin),            TEXT,            1,      255, NULL,       NULL, kmn_form_is_page_origin},
	{CONSOLE,  "certificate",          AT(console.certificate),       PATH,            1,     4095, NULL,       NULL, NULL},
	{CONSOLE,  "key",                  AT(console.key),               PATH,            1,     4095, NULL,       NULL, NULL},
	{CONSOLE,  "user",                 AT(users[KMN_ROLE_CONSOLE]),   USER,            0,       64, NULL,       NULL, NULL},
	{CONSOLE,  "pages",                AT(console.pages),             PATH,            1,     4095, KMN_PAGES_DIR, NULL, NULL},
	{CONSOLE,  "client",               AT(console.client),            TEXT,            0,       64, NULL,       NULL, NULL},
	{CONSOLE,  "client-certificate",   AT(console.client_certificate), PATH,           0,     4095, NULL,       NULL, NULL},
	{CONSOLE,  "client-key",           AT(console.client_key),        PATH,            0,     4095, NULL,       NULL, NULL},
	{CONSOLE,  "client-user",          AT(users[KMN_ROLE_RUNNER]),    USER,            0,       64, NULL,       NULL, NULL},
	{CONSOLE,  "connections",          AT(console.limits.connections), NUMBER,         2,     1000, "200",      NULL, NULL},
	{CONSOLE,  "connections-per-address", AT(console.limits.connections_per_address), NUMBER, 1, 1000, "40",    NULL, NULL},
	{CONSOLE,  "questions",            AT(console.limits.questions),  NUMBER,          1,   100000, "600",      NULL, NULL},
	{CONSOLE,  "attempts",             AT(console.limits.attempts),   NUMBER,          1,     1000, "5",        NULL, NULL},
	{CONSOLE,  "lockout",              AT(console.limits.lockout_ms), SECONDS,         1,    86400, "300",      NULL, NULL},
	{CONSOLE,  "patience",             AT(console.limits.patience_ms), SECONDS,        1,      600, "20",       NULL, NULL},
	{"limits", "connections",          AT(limits.connections),        NUMBER,          1,    65536, "1024",     NULL, NULL},
	{"limits", "connections-per-peer", AT(limits.connections_per_peer), NUMBER,        1,    65536, "128",      NULL, NULL},
	{"limits", "handshake",            AT(limits.handshake_ms),       SECONDS,         1,      600, "10",       NULL, NULL},
	{"limits", "idle",                 AT(limits.idle_ms),            SECONDS,         0,   604800, "0",        NULL, NULL},
	{"limits", "instances",            AT(limits.instances),          NUMBER,          1,     4096, "64",       NULL, NULL},
	{"limits", "instances-per-client", AT(limits.instances_per_client), NUMBER,        1,     4096, "16",       NULL, NULL},
	{"limits", "requests",             AT(limits.requests),           NUMBER,          1,   100000, "1024",     NULL, NULL},
	{"limits", "requests-per-client",  AT(limits.requests_per_client), NUMBER,         1,   100000, "64",       NULL, NULL},
};
#undef HOOK_OF
#undef ACTIVATION_OF
#undef STAMP_OF
#undef WITNESS_OF
#undef GUARD_OF
#undef OF
#undef AT
/* clang-format on */

/* The sections with names: a list in struct kmn_settings, whose items begin with `char *name`. */
static const struct many {
	const char *section;
	size_t list, count, item_bytes; /* where in struct kmn_settings the list and its length are */
	unsigned least, most;
	size_t name_max_bytes;
} manies[] = {
    {MODULE, offsetof(struct kmn_settings, modules), offsetof(struct kmn_settings, module_count),
	sizeof(struct kmn_module_settings), 1, KMN_MODULES_MAX, KMN_MODULE_NAME_MAX_BYTES},
    {GUARD, offsetof(struct kmn_settings, guards), offsetof(struct kmn_settings, guard_count),
	sizeof(struct kmn_guard_settings), 0, KMN_GUARDS_MAX, KMN_GUARD_NAME_MAX_BYTES},
    {WITNESS, offsetof(struct kmn_settings, witnesses), offsetof(struct kmn_settings, witness_count),
	sizeof(struct kmn_witness_settings), 0, KMN_WITNESSES_MAX, KMN_WITNESS_NAME_MAX_BYTES},
    {STAMP, offsetof(struct kmn_settings, stamps), offsetof(struct kmn_settings, stamp_count),
	sizeof(struct kmn_stamp_settings), 0, KMN_TIME_STAMPS_MAX, KMN_TIME_STAMP_NAME_MAX_BYTES},
    {ACTIVATION, offsetof(struct kmn_settings, activations), offsetof(struct kmn_settings, activation_count),
	sizeof(struct kmn_activation_settings), 0, KMN_ACTIVATIONS_MAX, KMN_ACTIVATION_NAME_MAX_BYTES},
    {HOOK, offsetof(struct kmn_settings, hooks), offsetof(struct kmn_settings, hook_count),
	sizeof(struct kmn_hook_settings), 0, KMN_HOOKS_MAX, KMN_HOOK_NAME_MAX_BYTES},
};

static const char *const role_name[KMN_ROLE_COUNT] = {"gate", "keeper", "worker", "courier", "console", "runner"};

const char *
kmn_role_name(enum kmn_role role)
{
	return role_name[role];
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

/* The number of `value` among the words of a row, or -1. */
static int
word_number(const char *words, const char *value)
{
	size_t len = strlen(value);

	for (int n = 0; len > 0; n++) {
		size_t this = strcspn(words, " ");

		if (this == len && memcmp(words, value, len) == 0)
			return n;
		if (words[this] == '\0')
			break;
		words += this + 1;
	}
	return -1;
}

static const struct row *
find_row(const char *section, const char *name)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (strcmp(rows[i].section, section) == 0 && strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

/* What is wrong with one value, in `why`; empty if nothing is. */
static void
judge(const struct row *row, const char *value, unsigned items, char *why, size_t room)
{
	bool bad_form = row->check != NULL && !row->check(value);

	why[0] = '\0';
	switch (row->type) {
	case NUMBER:
	case SECONDS:
		if (!kmn_form_is_number(value, row->least, row->most))
			snprintf(why, room, "%s is a number from %lu to %lu", row->name, row->least, row->most);
		break;
	case WORD:
		if (word_number(row->words, value) < 0)
			snprintf(why, room, "%s is one of: %s", row->name, row->words);
		break;
	case LIST:
	case ENVIRONMENT:
		if (items > row->most)
			snprintf(why, room, "%s has at most %lu items", row->name, row->most);
		else if (bad_form)
			snprintf(why, room, "%s %s", row->name, kmn_form_words(row->check));
		break;
	default:
		if (strlen(value) < row->least || strlen(value) > row->most)
			snprintf(why, room, "%s has %lu to %lu bytes", row->name, row->least, row->most);
		else if (bad_form)
			snprintf(why, room, "%s %s", row->name, kmn_form_words(row->check));
	}
}

/* libconfuse calls this for every value, when its line is still known. */
static int
check_value(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct row *row =
	    find_row(cfg->name != NULL && strcmp(cfg->name, "root") != 0 ? cfg->name : "", opt->name);
	unsigned items = cfg_opt_size(opt);
	const char *value = items > 0 ? cfg_opt_getnstr(opt, items - 1) : NULL;
	char why[256];

	if (row == NULL || value == NULL)
		return 0;
	judge(row, value, items, why, sizeof(why));
	if (why[0] != '\0')
		cfg_error(cfg, "%s", why);
	return why[0] == '\0' ? 0 : -1;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static char *parse_why; /* where libconfuse's words go; only while parse() runs */

KMN_PRINTF(2, 0)
static void
note_parse_error(cfg_t *cfg, const char *format, va_list ap)
{
	int n;

	if (parse_why[0] != '\0') /* the first failure is the one to tell */
		return;
	n = snprintf(
	    parse_why, KMN_SETTINGS_WHY_BYTES, "%.300s:%d: ", cfg->filename != NULL ? cfg->filename : "?", cfg->line);
	(void)vsnprintf(parse_why + n, (size_t)(KMN_SETTINGS_WHY_BYTES - n), format, ap);
}

KMN_PRINTF(2, 3)
static kmn_err
complain(char *why, const char *format, ...)
{
	va_list ap;

	if (why[0] == '\0') {
		va_start(ap, format);
		(void)vsnprintf(why, KMN_SETTINGS_WHY_BYTES, format, ap);
		va_end(ap);
	}
	return KMN_E_CONFIG;
}

/* The rows of one section as libconfuse wants them. Every value is text to it: limits and their wording are ours. */
static void
make_opts(const char *section, cfg_opt_t opts[SECTION_OPTS + 4])
{
	size_t n = 0;

	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++) {
		if (strcmp(rows[i].section, section) != 0)
			continue;
		if (n == SECTION_OPTS)
			KMN_BUG("a section has more rows than there is room");
		if (rows[i].type == LIST || rows[i].type == ENVIRONMENT)
			opts[n] = (cfg_opt_t)CFG_STR_LIST(rows[i].name, NULL, CFGF_NODEFAULT);
		else
			opts[n] = (cfg_opt_t)CFG_STR(rows[i].name, NULL, CFGF_NODEFAULT);
		opts[n++].validcb = check_value;
	}
	opts[n] = (cfg_opt_t)CFG_END();
}

static kmn_err
parse(const char *path, char *text, char *why, cfg_t **cfg_out)
{
	cfg_opt_t users[SECTION_OPTS + 4], limits[SECTION_OPTS + 4], console[SECTION_OPTS + 4], opts[TOP_OPTS];
	cfg_opt_t many[KMN_COUNT_OF(manies)][SECTION_OPTS + 4];
	FILE *from = NULL;
	size_t n = 0;
	int result;

	make_opts("users", users);
	make_opts("limits", limits);
	make_opts(CONSOLE, console);
	make_opts("", opts);
	while (opts[n].name != NULL)
		n++;
	opts[n++] = (cfg_opt_t)CFG_SEC("users", users, CFGF_NODEFAULT);
	for (size_t i = 0; i < KMN_COUNT_OF(manies); i++) {
		make_opts(manies[i].section, many[i]);
		opts[n++] =
		    (cfg_opt_t)CFG_SEC(manies[i].section, many[i], CFGF_TITLE | CFGF_MULTI | CFGF_NO_TITLE_DUPES);
	}
	opts[n++] = (cfg_opt_t)CFG_SEC("limits", limits, CFGF_NODEFAULT);
	opts[n++] = (cfg_opt_t)CFG_SEC(CONSOLE, console, CFGF_NODEFAULT);
	opts[n] = (cfg_opt_t)CFG_END();
	if ((*cfg_out = cfg_init(opts, CFGF_NONE)) == NULL || ((*cfg_out)->filename = strdup(path)) == NULL ||
	    (from = fmemopen(text, strlen(text), "r")) == NULL)
		return KMN_E_NO_MEMORY;
	parse_why = why;
	(void)cfg_set_error_function(*cfg_out, note_parse_error);
	result = cfg_parse_fp(*cfg_out, from);
	parse_why = NULL;
	(void)fclose(from);
	return result == CFG_SUCCESS ? KMN_OK : complain(why, "%.300s: cannot be read", path);
}

/* ---- values into fields ------------------------------------------------------------------------------------------ */

/* A path as it is, or beneath the folder of the configuration file. */
static char *
beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	size_t folder = path[0] == '/' || slash == NULL ? 0 : (size_t)(slash - file) + 1;
	char *joined = malloc(folder + strlen(path) + 1);

	if (joined != NULL) {
		memcpy(joined, file, folder);
		memcpy(joined + folder, path, strlen(path) + 1);
	}
	return joined;
}

static kmn_err
texts_add(struct kmn_texts *texts, const char *value)
{
	char **at = realloc(texts->at, (texts->count + 2) * sizeof(*at));

	if (at == NULL)
		return KMN_E_NO_MEMORY;
	texts->at = at;
	if ((at[texts->count] = strdup(value)) == NULL)
		return KMN_E_NO_MEMORY;
	at[++texts->count] = NULL;
	return KMN_OK;
}

static kmn_err
text_put(char **field, char *copy)
{
	free(*field);
	*field = copy;
	return copy != NULL ? KMN_OK : KMN_E_NO_MEMORY;
}

static kmn_err
put(const struct kmn_settings *s, void *fields, const struct row *row, const char *value)
{
	char *at = (char *)fields + row->offset;
	char **text = (char **)(void *)at;
	uint32_t *number = (uint32_t *)(void *)at;

	switch (row->type) {
	case TEXT:
		return text_put(text, strdup(value));
	case PATH:
		return text_put(text, beside(s->path, value));
	case LOG: /* NULL stands for stderr */
		return strcmp(value, "stderr") == 0 ? KMN_OK : text_put(text, beside(s->path, value));
	case USER:
		return text_put(&((struct kmn_user *)(void *)at)->text, strdup(value));
	case LIST:
	case ENVIRONMENT:
		return texts_add((struct kmn_texts *)(void *)at, value);
	case NUMBER:
		*number = (uint32_t)strtoul(value, NULL, 10);
		return KMN_OK;
	case SECONDS:
		*number = (uint32_t)strtoul(value, NULL, 10) * 1000u;
		return KMN_OK;
	case WORD:
		*number = (uint32_t)word_number(row->words, value);
		return KMN_OK;
	}
	return KMN_E_INTERNAL;
}

/* One row of a section that is there (NULL: it is not), into the structure that holds the section's fields. */
static kmn_err
take_row(const struct kmn_settings *s, void *fields, cfg_t *section, const struct row *row, char *why)
{
	unsigned n = section != NULL ? cfg_size(section, row->name) : 0;
	kmn_err e = KMN_OK;

	if (n == 0 && row->standard != NULL)
		return put(s, fields, row, row->standard);
	if (n == 0 && row->least > 0)
		return complain(why, "%.300s: %s%s%s is missing", s->path, row->section,
		    row->section[0] != '\0' ? " " : "", row->name);
	for (unsigned i = 0; e == KMN_OK && i < n; i++)
		e = put(s, fields, row, cfg_getnstr(section, row->name, i));
	return e;
}

static bool
is_one_of(const struct many *many, const struct row *row)
{
	return strcmp(row->section, many->section) == 0;
}

static bool
is_one_of_many(const struct row *row)
{
	bool is = false;

	for (size_t i = 0; i < KMN_COUNT_OF(manies); i++)
		is = is || is_one_of(&manies[i], row);
	return is;
}

static unsigned *
count_of(const struct kmn_settings *s, const struct many *many)
{
	return (unsigned *)(void *)((char *)(uintptr_t)s + many->count);
}

/* Item `n` of such a list, and its name. */
static void *
item_of(const struct kmn_settings *s, const struct many *many, unsigned n)
{
	return (char *)(uintptr_t)s + many->list + n * many->item_bytes;
}

static char **
name_of(void *item)
{
	return (char **)item;
}

static kmn_err
take_many(struct kmn_settings *s, const struct many *many, cfg_t *cfg, char *why)
{
	unsigned n = cfg_size(cfg, many->section);
	kmn_err e = KMN_OK;

	if (n < many->least || n > many->most)
		return complain(why, "%.300s: %u to %u sections %s \"NAME\" { } are needed", s->path, many->least,
		    many->most, many->section);
	for (unsigned m = 0; e == KMN_OK && m < n; m++) {
		cfg_t *section = cfg_getnsec(cfg, many->section, m);
		void *item = item_of(s, many, m);

		++*count_of(s, many);
		if ((*name_of(item) = strdup(cfg_title(section))) == NULL)
			return KMN_E_NO_MEMORY;
		if (strlen(*name_of(item)) > many->name_max_bytes || **name_of(item) == '\0')
			return complain(why, "%.300s: the name of a %s has 1 to %zu bytes", s->path, many->section,
			    many->name_max_bytes);
		for (size_t i = 0; e == KMN_OK && i < KMN_COUNT_OF(rows); i++)
			if (is_one_of(many, &rows[i]))
				e = take_row(s, item, section, &rows[i], why);
	}
	return e;
}

static kmn_err
take_rows(struct kmn_settings *s, cfg_t *cfg, char *why)
{
	kmn_err e = KMN_OK;

	for (size_t i = 0; e == KMN_OK && i < KMN_COUNT_OF(manies); i++)
		e = take_many(s, &manies[i], cfg, why);
	for (size_t i = 0; e == KMN_OK && i < KMN_COUNT_OF(rows); i++) {
		const char *name = rows[i].section;
		cfg_t *section = name[0] == '\0' ? cfg : cfg_size(cfg, name) > 0 ? cfg_getsec(cfg, name) : NULL;

		if (!is_one_of_many(&rows[i]) && (section != NULL || strcmp(name, CONSOLE) != 0))
			e = take_row(s, s, section, &rows[i], why);
	}
	return e;
}

/* A guard is a file, or an object of a token in one of the modules. */
static kmn_err
check_guards(const struct kmn_settings *s, char *why)
{
	for (unsigned i = 0; i < s->guard_count; i++) {
		const struct kmn_guard_settings *guard = &s->guards[i];
		bool known = guard->module == NULL;

		if ((guard->path != NULL) == (guard->module != NULL) ||
		    (guard->module == NULL) != (guard->token == NULL))
			return complain(
			    why, "%.300s: guard \"%.64s\" has either path, or module and token", s->path, guard->name);
		for (unsigned m = 0; !known && m < s->module_count; m++)
			known = strcmp(guard->module, s->modules[m].name) == 0;
		if (!known)
			return complain(why, "%.300s: guard \"%.64s\": there is no module \"%.64s\"", s->path,
			    guard->name, guard->module);
	}
	return KMN_OK;
}

bool
kmn_settings_need_courier(const struct kmn_settings *settings)
{
	for (unsigned i = 0; i < settings->hook_count; i++)
		if (settings->hooks[i].url != NULL)
			return true;
	return settings->witness_count > 0 || settings->stamp_count > 0;
}

/* ---- users ------------------------------------------------------------------------------------------------------- */

static kmn_err
resolve_user(struct kmn_settings *s, enum kmn_role role, char *why)
{
	struct kmn_user *user = &s->users[role];
	bool number = kmn_form_is_number(user->text, 1, UINT32_MAX - 1);
	const struct passwd *pw = number ? getpwuid((uid_t)strtoul(user->text, NULL, 10)) : getpwnam(user->text);

	if (pw != NULL) {
		user->uid = pw->pw_uid;
		user->gid = pw->pw_gid;
	} else if (number) {
		user->uid = (uid_t)strtoul(user->text, NULL, 10);
		user->gid = (gid_t)user->uid;
	} else {
		return complain(why, "%.300s: users: there is no user \"%.64s\" for the %s", s->path, user->text,
		    kmn_role_name(role));
	}
	return user->uid != 0 && user->gid != 0
		   ? KMN_OK
		   : complain(why, "%.300s: users: the %s may not be root", s->path, kmn_role_name(role));
}

/* A client that kanmond itself runs has all that a client has. */
static kmn_err
check_client(const struct kmn_settings *s, char *why)
{
	const struct kmn_console_settings *c = &s->console;

	if ((c->client_certificate == NULL) == (c->client_key == NULL) && (c->client_key == NULL || c->client != NULL))
		return KMN_OK;
	return complain(why,
	    "%.300s: console: client-certificate and client-key are given together, and with client, the name of its "
	    "line in the policy",
	    s->path);
}

/* Users that all differ, or none at all. The courier has one where there is a courier. */
static kmn_err
resolve_users(struct kmn_settings *s, char *why)
{
	struct kmn_user *u = s->users;
	unsigned given = 0;
	kmn_err e = KMN_OK;

	for (unsigned role = 0; role < KMN_ROLE_COURIER; role++)
		given += u[role].text != NULL;
	if (given == 0 && u[KMN_ROLE_COURIER].text == NULL && u[KMN_ROLE_CONSOLE].text == NULL &&
	    u[KMN_ROLE_RUNNER].text == NULL)
		return KMN_OK;
	if (given < KMN_ROLE_COURIER)
		return complain(why, "%.300s: users: gate, keeper and worker are given together", s->path);
	if (kmn_settings_need_courier(s) && u[KMN_ROLE_COURIER].text == NULL)
		return complain(
		    why, "%.300s: users: courier is missing, and something is asked over the network", s->path);
	if (s->console.listen != NULL && u[KMN_ROLE_CONSOLE].text == NULL)
		return complain(why, "%.300s: console user is missing, where the other roles have users", s->path);
	if (s->console.client_key != NULL && u[KMN_ROLE_RUNNER].text == NULL)
		return complain(
		    why, "%.300s: console client-user is missing, where the other roles have users", s->path);
	for (unsigned role = 0; e == KMN_OK && role < KMN_ROLE_COUNT; role++)
		if (u[role].text != NULL)
			e = resolve_user(s, (enum kmn_role)role, why);
	for (unsigned a = 0; e == KMN_OK && a < KMN_ROLE_COUNT; a++)
		for (unsigned b = a + 1; b < KMN_ROLE_COUNT; b++)
			if (u[b].text != NULL && u[a].uid == u[b].uid)
				e = complain(why, "%.300s: users: %s and %s are different users", s->path,
				    kmn_role_name((enum kmn_role)a), kmn_role_name((enum kmn_role)b));
	return e;
}

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

/* A user of its own: neither root nor one that holds a part of the gateway. */
static kmn_err
resolve_hook_user(const struct kmn_settings *s, struct kmn_hook_settings *hook, char *why)
{
	const struct passwd *pw;

	if (hook->user == NULL)
		return geteuid() != 0 ? KMN_OK
				      : complain(why, "%.300s: hook \"%.64s\" wants a user: nothing of it runs as root",
					    s->path, hook->name);
	if ((pw = getpwnam(hook->user)) == NULL)
		return complain(why, "%.300s: hook \"%.64s\": there is no user \"%.64s\"", s->path, hook->name, hook->user);
	hook->as = (struct kmn_user){.text = geteuid() == 0 ? hook->user : NULL, .uid = pw->pw_uid, .gid = pw->pw_gid};
	for (unsigned role = 0; role < KMN_ROLE_COUNT; role++)
		if (hook->as.uid == 0 || hook->as.gid == 0 ||
		    (s->users[role].text != NULL && s->users[role].uid == hook->as.uid))
			return complain(why, "%.300s: hook \"%.64s\" runs as a user of its own, not root or a role's", s->path,
			    hook->name);
	return KMN_OK;
}

static kmn_err
check_hooks(struct kmn_settings *s, char *why)
{
	kmn_err e = KMN_OK;

	for (unsigned i = 0; e == KMN_OK && i < s->hook_count; i++) {
		struct kmn_hook_settings *hook = &s->hooks[i];
		const char *program = hook->command != NULL ? hook->command : hook->sendmail;

		if ((hook->command != NULL) + (hook->url != NULL) + (hook->mail_to != NULL) != 1)
			return complain(why, "%.300s: hook \"%.64s\" has one of command, url and mail-to", s->path, hook->name);
		if (hook->url != NULL)
			continue;
		if (program[0] != '/' || access(program, X_OK) != 0)
			return complain(why, "%.200s: hook \"%.64s\": %.200s is no program that can be run, by its whole path",
			    s->path, hook->name, program);
		e = resolve_hook_user(s, hook, why);
	}
	return e;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* The bytes that are parsed are the bytes that are hashed. */
static kmn_err
read_text(const char *path, char *text, uint8_t sha256_out[KMN_HASH_BYTES], char *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;
	size_t len = 0;

	while (fd >= 0 && len < KMN_SETTINGS_MAX_BYTES && (n = read(fd, text + len, KMN_SETTINGS_MAX_BYTES - len)) > 0)
		len += (size_t)n;
	if (fd >= 0)
		(void)close(fd);
	if (fd < 0 || n < 0)
		return complain(why, "%.300s: %s", path, strerror(errno));
	if (len == KMN_SETTINGS_MAX_BYTES || memchr(text, '\0', len) != NULL)
		return complain(why, "%.300s: is no configuration file", path);
	text[len] = '\0';
	(void)crypto_hash_sha256(sha256_out, (const unsigned char *)text, len);
	return KMN_OK;
}

kmn_err
kmn_settings_load(const char *path, char *why_out, struct kmn_settings **settings_out)
{
	char *text = malloc(KMN_SETTINGS_MAX_BYTES + 1);
	struct kmn_settings *s = calloc(1, sizeof(*s));
	cfg_t *cfg = NULL;
	kmn_err e = KMN_E_NO_MEMORY;

	*settings_out = NULL;
	why_out[0] = '\0';
	if (text == NULL || s == NULL || (s->path = realpath(path, NULL)) == NULL) {
		if (errno != ENOMEM)
			e = complain(why_out, "%.300s: %s", path, strerror(errno));
		goto done;
	}
	if ((e = read_text(s->path, text, s->config_sha256, why_out)) != KMN_OK ||
	    (e = parse(s->path, text, why_out, &cfg)) != KMN_OK || (e = take_rows(s, cfg, why_out)) != KMN_OK ||
	    (e = check_guards(s, why_out)) != KMN_OK || (e = check_client(s, why_out)) != KMN_OK ||
	    (e = resolve_users(s, why_out)) != KMN_OK ||
	    (e = check_hooks(s, why_out)) != KMN_OK)
		goto done;
	*settings_out = s;
	s = NULL;
done:
	if (e != KMN_OK)
		(void)complain(why_out, "%s", kmn_err_text(e));
	if (cfg != NULL)
		(void)cfg_free(cfg);
	kmn_settings_free(s);
	free(text);
	return e;
}

static void
texts_clear(struct kmn_texts *texts)
{
	for (unsigned i = 0; i < texts->count; i++)
		free(texts->at[i]);
	free(texts->at);
}

static void
clear_row(void *fields, const struct row *row)
{
	char *at = (char *)fields + row->offset;

	if (row->type == LIST || row->type == ENVIRONMENT)
		texts_clear((struct kmn_texts *)(void *)at);
	else if (row->type == USER)
		free(((struct kmn_user *)(void *)at)->text);
	else if (row->type == TEXT || row->type == PATH || row->type == LOG)
		free(*(char **)(void *)at);
}

static void
clear_item(const struct many *many, void *item)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (is_one_of(many, &rows[i]))
			clear_row(item, &rows[i]);
	free(*name_of(item));
}

void
kmn_settings_free(struct kmn_settings *settings)
{
	if (settings == NULL)
		return;
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (!is_one_of_many(&rows[i]))
			clear_row(settings, &rows[i]);
	for (size_t i = 0; i < KMN_COUNT_OF(manies); i++)
		for (unsigned n = 0; n < *count_of(settings, &manies[i]); n++)
			clear_item(&manies[i], item_of(settings, &manies[i], n));
	free(settings->path);
	free(settings);
}

/* ---- what is in force -------------------------------------------------------------------------------------------- */

static void
print_text(FILE *to, const char *text)
{
	putc('"', to);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\' || (text[0] == '$' && text[1] == '{'))
			putc('\\', to);
		putc(*text, to);
	}
	putc('"', to);
}

static void
print_word(FILE *to, const char *words, uint32_t number)
{
	while (number-- > 0)
		words += strcspn(words, " ") + 1;
	fprintf(to, "\"%.*s\"", (int)strcspn(words, " "), words);
}

static void
print_texts(FILE *to, const struct kmn_texts *texts)
{
	fputs("{ ", to);
	for (unsigned i = 0; i < texts->count; i++) {
		if (i > 0)
			fputs(", ", to);
		print_text(to, texts->at[i]);
	}
	fputs(" }", to);
}

/* The text of a row's field; NULL: it is not set. */
static const char *
text_of(const struct row *row, const void *at)
{
	if (row->type == USER)
		return ((const struct kmn_user *)at)->text;
	if (row->type == LOG && *(char *const *)at == NULL)
		return "stderr";
	return *(char *const *)at;
}

static void
print_row(const void *fields, const struct row *row, FILE *to)
{
	const void *at = (const char *)fields + row->offset;
	bool list = row->type == LIST || row->type == ENVIRONMENT;
	bool number = row->type == NUMBER || row->type == SECONDS || row->type == WORD;

	if (!list && !number && text_of(row, at) == NULL)
		return;
	fprintf(to, "%s%s = ", row->section[0] != '\0' ? "\t" : "", row->name);
	if (list)
		print_texts(to, at);
	else if (!number)
		print_text(to, text_of(row, at));
	else if (row->type == WORD)
		print_word(to, row->words, *(const uint32_t *)at);
	else
		fprintf(to, "%u", *(const uint32_t *)at / (row->type == SECONDS ? 1000u : 1u));
	putc('\n', to);
}

/* The rows of a section; "" is the file itself. */
static void
print_rows(const void *fields, const char *section, FILE *to)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		if (strcmp(rows[i].section, section) == 0)
			print_row(fields, &rows[i], to);
}

void
kmn_settings_print(const struct kmn_settings *settings, FILE *to)
{
	static const char *const sections[] = {"users", "limits", CONSOLE};
	size_t count = KMN_COUNT_OF(sections) - (settings->console.listen == NULL);

	print_rows(settings, "", to);
	for (size_t i = 0; i < KMN_COUNT_OF(manies); i++) {
		for (unsigned n = 0; n < *count_of(settings, &manies[i]); n++) {
			void *item = item_of(settings, &manies[i], n);

			fprintf(to, "%s ", manies[i].section);
			print_text(to, *name_of(item));
			fputs(" {\n", to);
			print_rows(item, manies[i].section, to);
			fputs("}\n", to);
		}
	}
	for (size_t i = 0; i < count; i++) {
		fprintf(to, "%s {\n", sections[i]);
		print_rows(settings, sections[i], to);
		fputs("}\n", to);
	}
}
