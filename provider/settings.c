#include "config.h"

#include "kanmon/client_settings.h"

#include <confuse.h>
#include <ctype.h>
#include <pthread.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_FILE "/etc/kanmon/kanmon.conf"
#define USER_FILE ".config/kanmon/kanmon.conf"
#define PATH_MAX_BYTES 4096

enum type { LIST, KEYS, HASH, TEXT, PATH, STATE, NUMBER, CHOICE, SAVINGS };

static const char *const choices[][KMN_CLIENT_CHOICE_MAX_WORDS] = {KMN_CLIENT_CHOICE_WORDS};

struct row {
	const char *name;
	size_t offset; /* of the field */
	enum type type;
	unsigned long least,
	    most;             /* NUMBER: value; TEXT, PATH: bytes; LIST: items; CHOICE: which, and how many words */
	const char *standard; /* NULL: must be given */
};

static const struct row rows[] = {
#define ROW(name, field, type, least, most, standard, text) \
	{name, offsetof(struct kmn_client_settings, field), type, least, most, standard},
    KMN_CLIENT_SETTING_ROWS(ROW)
#undef ROW
};

/* Guards libconfuse's lexer, which keeps its state in globals, and where it reports. */
static pthread_mutex_t parse_lock = PTHREAD_MUTEX_INITIALIZER;
static char *parse_why; /* KMN_CLIENT_WHY_BYTES; guarded by parse_lock */

KMN_PRINTF(2, 3)
static void
say(char *why, const char *format, ...)
{
	va_list ap;

	if (why[0] != '\0') /* the first failure is the one to tell */
		return;
	va_start(ap, format);
	(void)vsnprintf(why, KMN_CLIENT_WHY_BYTES, format, ap);
	va_end(ap);
}

KMN_PRINTF(2, 0)
static void
note_parse_error(cfg_t *cfg, const char *format, va_list ap)
{
	int n;

	if (parse_why[0] != '\0')
		return;
	n = snprintf(
	    parse_why, KMN_CLIENT_WHY_BYTES, "%s:%d: ", cfg->filename != NULL ? cfg->filename : "?", cfg->line);
	if (n > 0 && n < KMN_CLIENT_WHY_BYTES)
		(void)vsnprintf(parse_why + n, KMN_CLIENT_WHY_BYTES - (size_t)n, format, ap);
}

/* A path as it is, or beneath the folder of the configuration file. */
static char *
beside(const char *file, const char *path)
{
	const char *slash = strrchr(file, '/');
	size_t folder = path[0] == '/' || slash == NULL ? 0 : (size_t)(slash - file) + 1;
	char *joined = malloc(folder + strlen(path) + 1);

	if (joined != NULL) {
		memcpy(joined, file, folder);
		strcpy(joined + folder, path);
	}
	return joined;
}

static kmn_err
set_text(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	char **field = (char **)(void *)((char *)s + row->offset);
	char *copy;

	if (strlen(value) < row->least || strlen(value) > row->most) {
		say(why, "%s has %lu to %lu characters", row->name, row->least, row->most);
		return KMN_E_CONFIG;
	}
	copy = row->type != TEXT ? beside(s->path, value) : strdup(value);
	if (copy == NULL)
		return KMN_E_NO_MEMORY;
	free(*field);
	*field = copy;
	return KMN_OK;
}

/* A path, or the word `none`. */
static kmn_err
set_state(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	s->stateless = strcmp(value, "none") == 0;
	if (!s->stateless)
		return set_text(s, row, value, why);
	free(s->state);
	s->state = NULL;
	return KMN_OK;
}

static kmn_err
set_number(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	unsigned long number;
	char *end;

	number = strtoul(value, &end, 10);
	/* strtoul takes a sign and blanks, and what overflows is ULONG_MAX: over every limit */
	if (!isdigit((unsigned char)value[0]) || *end != '\0' || number < row->least || number > row->most) {
		say(why, "%s is a number from %lu to %lu", row->name, row->least, row->most);
		return KMN_E_CONFIG;
	}
	*(uint32_t *)(void *)((char *)s + row->offset) = (uint32_t)number;
	return KMN_OK;
}

static kmn_err
set_hash(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	uint8_t *field = (uint8_t *)s + row->offset;
	size_t len;

	if (sodium_base642bin(
		field, KMN_HASH_BYTES, value, strlen(value), NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    len != KMN_HASH_BYTES) {
		say(why, "%s is the base64 of 32 bytes", row->name);
		return KMN_E_CONFIG;
	}
	return KMN_OK;
}

static kmn_err
set_choice(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	const char *const *words = choices[row->least];

	for (unsigned i = 0; i < row->most; i++) {
		if (strcmp(value, words[i]) == 0) {
			*(unsigned *)(void *)((char *)s + row->offset) = i;
			return KMN_OK;
		}
	}
	if (row->most == 2)
		say(why, "%s is %s or %s", row->name, words[0], words[1]);
	else
		say(why, "%s is %s, %s or %s", row->name, words[0], words[1], words[2]);
	return KMN_E_CONFIG;
}

static unsigned
saving_of(const char *word, size_t len)
{
#define ROW(symbol, bit, text) \
	if (strlen(text) == len && memcmp(word, text, len) == 0) \
		return symbol;
	KMN_CLIENT_SAVING_ROWS(ROW)
#undef ROW
	return 0;
}

/* Words with commas between them, or `none` alone. */
static kmn_err
set_savings(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	unsigned all = 0, one;

	for (const char *at = value; strcmp(value, "none") != 0;) {
		size_t len = strcspn(at, ",");

		if ((one = saving_of(at, len)) == 0) {
			say(why, "%s is none, or a list of info, session, length, find, with commas", row->name);
			return KMN_E_CONFIG;
		}
		all |= one;
		at += len;
		if (*at++ == '\0')
			break;
	}
	s->savings = all;
	return KMN_OK;
}

/* host:port, with [] around an address that has colons itself. */
static bool
is_gateway(const char *value)
{
	const char *colon = strrchr(value, ':');
	char *end;
	unsigned long port;

	if (colon == NULL || colon == value || !isdigit((unsigned char)colon[1]))
		return false;
	port = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || port < 1 || port > 65535)
		return false;
	if (value[0] == '[')
		return colon[-1] == ']' && colon - value > 2;
	return memchr(value, ':', (size_t)(colon - value)) == NULL;
}

/* Adds one gateway; the caller has emptied the list. */
static kmn_err
add_gateway(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	if (!is_gateway(value) || s->gateway_count >= row->most) {
		say(why, "%s is host:port, at most %lu of them", row->name, row->most);
		return KMN_E_CONFIG;
	}
	if ((s->gateways[s->gateway_count] = strdup(value)) == NULL)
		return KMN_E_NO_MEMORY;
	s->gateway_count++;
	return KMN_OK;
}

/* Likewise. name "+" 8 hex digits "+" base64: what is in it, the provider finds out. */
static kmn_err
add_log_key(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	const char *plus = strchr(value, '+');

	if (plus == NULL || plus == value || strspn(plus + 1, "0123456789abcdef") != 8 || plus[9] != '+' ||
	    plus[10] == '\0' || strlen(value) > KMN_CLIENT_LOG_KEY_MAX_BYTES || s->log_key_count >= row->most) {
		say(why, "%s is a vkey (name+id+key), at most %lu of them", row->name, row->most);
		return KMN_E_CONFIG;
	}
	if ((s->log_keys[s->log_key_count] = strdup(value)) == NULL)
		return KMN_E_NO_MEMORY;
	s->log_key_count++;
	return KMN_OK;
}

static void
drop_list(struct kmn_client_settings *s, enum type type)
{
	char **list = type == LIST ? s->gateways : s->log_keys;
	size_t *count = type == LIST ? &s->gateway_count : &s->log_key_count;

	while (*count > 0)
		free(list[--*count]);
}

static kmn_err
set(struct kmn_client_settings *s, const struct row *row, const char *value, char *why)
{
	switch (row->type) {
	case LIST:
		return add_gateway(s, row, value, why);
	case KEYS:
		return add_log_key(s, row, value, why);
	case HASH:
		return set_hash(s, row, value, why);
	case TEXT:
	case PATH:
		return set_text(s, row, value, why);
	case STATE:
		return set_state(s, row, value, why);
	case NUMBER:
		return set_number(s, row, value, why);
	case CHOICE:
		return set_choice(s, row, value, why);
	case SAVINGS:
		return set_savings(s, row, value, why);
	}
	return KMN_E_INTERNAL;
}

static const struct row *
row_of(const char *name, size_t len)
{
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++) {
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
			return &rows[i];
	}
	return NULL;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* Every setting is text to libconfuse, so that limits and their wording are in one place: ours. */
static kmn_err
parse(const char *path, cfg_t **cfg_out, char *why)
{
	cfg_opt_t opts[KMN_COUNT_OF(rows) + 1];
	int result;

	*cfg_out = NULL;
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++) {
		if (rows[i].type == LIST || rows[i].type == KEYS)
			opts[i] = (cfg_opt_t)CFG_STR_LIST(rows[i].name, NULL, CFGF_NODEFAULT);
		else
			opts[i] = (cfg_opt_t)CFG_STR(rows[i].name, NULL, CFGF_NODEFAULT);
	}
	opts[KMN_COUNT_OF(rows)] = (cfg_opt_t)CFG_END();
	if ((*cfg_out = cfg_init(opts, CFGF_NONE)) == NULL)
		return KMN_E_NO_MEMORY;
	(void)pthread_mutex_lock(&parse_lock);
	parse_why = why;
	(void)cfg_set_error_function(*cfg_out, note_parse_error);
	result = cfg_parse(*cfg_out, path);
	parse_why = NULL;
	(void)pthread_mutex_unlock(&parse_lock);
	if (result == CFG_SUCCESS)
		return KMN_OK;
	say(why, "%s: cannot be read", path);
	return KMN_E_CONFIG;
}

static kmn_err
take_row(struct kmn_client_settings *s, cfg_t *cfg, const struct row *row, char *why)
{
	unsigned n = cfg_size(cfg, row->name);
	kmn_err e = KMN_OK;

	if (n == 0 && row->standard != NULL)
		return set(s, row, row->standard, why);
	/* what is missing may still come from the profile: complete() asks at the end */
	for (unsigned i = 0; e == KMN_OK && i < n; i++)
		e = set(s, row, cfg_getnstr(cfg, row->name, i), why);
	return e;
}

static kmn_err
read_file(struct kmn_client_settings *s, char *why)
{
	char detail[KMN_CLIENT_WHY_BYTES] = "";
	cfg_t *cfg = NULL;
	kmn_err e;

	e = parse(s->path, &cfg, why);
	for (size_t i = 0; e == KMN_OK && i < KMN_COUNT_OF(rows); i++)
		e = take_row(s, cfg, &rows[i], detail);
	if (detail[0] != '\0')
		say(why, "%.200s: %.250s", s->path, detail);
	if (cfg != NULL)
		(void)cfg_free(cfg);
	return e;
}

/* ---- the profile ------------------------------------------------------------------------------------------------- */

struct pair {
	const char *name;
	size_t name_len;
	char value[PATH_MAX_BYTES];
};

static bool
is_gap(char c)
{
	return c == ';' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The next name=value: 1 if there was one, 0 at the end, -1 if the text is of another form. */
static int
next_pair(const char **at, struct pair *pair)
{
	const char *p = *at, *start;
	char quote = '\0';
	size_t len;

	while (is_gap(*p))
		p++;
	if (*p == '\0')
		return 0;
	pair->name = p;
	while (*p != '\0' && *p != '=' && !is_gap(*p))
		p++;
	pair->name_len = (size_t)(p - pair->name);
	if (*p++ != '=' || pair->name_len == 0)
		return -1;
	if (*p == '"' || *p == '\'')
		quote = *p++;
	for (start = p; *p != '\0' && (quote != '\0' ? *p != quote : !is_gap(*p)); p++) {
		if (iscntrl((unsigned char)*p))
			return -1;
	}
	len = (size_t)(p - start);
	if (len >= sizeof(pair->value) || (quote != '\0' && *p++ != quote))
		return -1;
	memcpy(pair->value, start, len);
	pair->value[len] = '\0';
	*at = p;
	return 1;
}

static bool
is_config(const struct pair *pair)
{
	return pair->name_len == strlen("config") && memcmp(pair->name, "config", pair->name_len) == 0;
}

/* Checks the form of all pairs, and finds the file that the profile names ("" if it names none). */
static kmn_err
profile_file(const char *profile, char file_out[PATH_MAX_BYTES], char *why)
{
	struct pair pair;
	int got;

	file_out[0] = '\0';
	if (profile == NULL)
		return KMN_OK;
	if (strnlen(profile, KMN_CLIENT_PROFILE_MAX_BYTES) == KMN_CLIENT_PROFILE_MAX_BYTES) {
		say(why, "the profile is longer than %d bytes", KMN_CLIENT_PROFILE_MAX_BYTES - 1);
		return KMN_E_ARGUMENTS;
	}
	while ((got = next_pair(&profile, &pair)) == 1) {
		if (is_config(&pair))
			memcpy(file_out, pair.value, strlen(pair.value) + 1);
		else if (row_of(pair.name, pair.name_len) == NULL)
			break;
	}
	if (got != 0)
		say(why, "the profile is not name=value with names of the configuration file");
	return got == 0 ? KMN_OK : KMN_E_ARGUMENTS;
}

static kmn_err
apply_profile(struct kmn_client_settings *s, const char *profile, char *why)
{
	struct pair pair;
	bool dropped[KEYS + 1] = {false}; /* by the type of a list */
	kmn_err e = KMN_OK;

	while (e == KMN_OK && profile != NULL && next_pair(&profile, &pair) == 1) {
		const struct row *row = row_of(pair.name, pair.name_len);

		if (row == NULL) /* config, as profile_file() has checked */
			continue;
		if ((row->type == LIST || row->type == KEYS) && !dropped[row->type]) {
			drop_list(s, row->type); /* the profile's list stands for the file's whole list */
			dropped[row->type] = true;
		}
		e = set(s, row, pair.value, why);
	}
	return e == KMN_E_CONFIG ? KMN_E_ARGUMENTS : e;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Which file, by the order of client_settings.h. */
static kmn_err
find_file(const char *path, const char *named, char file_out[PATH_MAX_BYTES], char *why)
{
	const char *environment = secure_getenv("KANMON_CONFIG"), *home = secure_getenv("HOME");
	const char *chosen = path != NULL ? path : named[0] != '\0' ? named : environment;
	int n;

	if (chosen != NULL && chosen[0] != '\0') {
		n = snprintf(file_out, PATH_MAX_BYTES, "%s", chosen);
	} else {
		n = home != NULL ? snprintf(file_out, PATH_MAX_BYTES, "%s/%s", home, USER_FILE) : -1;
		if (n < 0 || n >= PATH_MAX_BYTES || access(file_out, F_OK) != 0)
			n = snprintf(file_out, PATH_MAX_BYTES, "%s", SYSTEM_FILE);
	}
	if (n >= 0 && n < PATH_MAX_BYTES && access(file_out, R_OK) == 0)
		return KMN_OK;
	say(why, "%.300s: no configuration there that can be read", n < PATH_MAX_BYTES ? file_out : "a path too long");
	return KMN_E_CONFIG;
}

static kmn_err
complete(const struct kmn_client_settings *s, char *why)
{
	static const uint8_t zeros[KMN_HASH_BYTES];
	const char *missing = s->gateway_count == 0                                ? "gateway"
			      : memcmp(s->gateway_spki, zeros, sizeof(zeros)) == 0 ? "gateway-spki"
			      : s->origin == NULL                                  ? "origin"
			      : s->certificate == NULL                             ? "certificate"
			      : s->key == NULL                                     ? "key"
										   : NULL;

	if (missing == NULL)
		return KMN_OK;
	say(why, "%.300s: %s is missing", s->path, missing);
	return KMN_E_CONFIG;
}

kmn_err
kmn_client_settings_load(
    const char *path, const char *profile, char *why_out, struct kmn_client_settings **settings_out)
{
	char file[PATH_MAX_BYTES], named[PATH_MAX_BYTES], unasked[KMN_CLIENT_WHY_BYTES];
	char *why = why_out != NULL ? why_out : unasked;
	struct kmn_client_settings *s = NULL;
	kmn_err e;

	*settings_out = NULL;
	why[0] = '\0';
	if ((e = profile_file(profile, named, why)) != KMN_OK || (e = find_file(path, named, file, why)) != KMN_OK)
		goto done;
	e = KMN_E_NO_MEMORY;
	if ((s = calloc(1, sizeof(*s))) == NULL || (s->path = strdup(file)) == NULL)
		goto done;
	if ((e = read_file(s, why)) != KMN_OK || (e = apply_profile(s, profile, why)) != KMN_OK ||
	    (e = complete(s, why)) != KMN_OK)
		goto done;
	*settings_out = s;
	s = NULL;
done:
	if (e != KMN_OK)
		say(why, "%s", kmn_err_text(e));
	kmn_client_settings_free(s);
	return e;
}

void
kmn_client_settings_after_fork(void)
{
	(void)pthread_mutex_init(&parse_lock, NULL);
	parse_why = NULL;
}

void
kmn_client_settings_free(struct kmn_client_settings *settings)
{
	if (settings == NULL)
		return;
	drop_list(settings, LIST);
	drop_list(settings, KEYS);
	free(settings->path);
	free(settings->origin);
	free(settings->certificate);
	free(settings->key);
	free(settings->types);
	free(settings->state);
	free(settings->cosign_key);
	free(settings->card);
	free(settings->card_token);
	free(settings->card_key);
	free(settings);
}
