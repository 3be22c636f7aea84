/* Reads kanmond.conf by the rows of settings_rows.c. */
#include "config.h"

#include "server/settings_rows.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTION_OPTS 24                             /* rows of one section, at most */
#define TOP_OPTS (SECTION_OPTS + 4 + SETTING_LISTS) /* of the file itself, with its sections */

static const char *const role_name[KMN_ROLE_COUNT] = {"gate", "keeper", "worker", "courier", "console", "runner"};

const char *
kmn_role_name(enum kmn_role role)
{
	return role_name[role];
}

kmn_err
settings_complain(char *why, const char *format, ...)
{
	va_list ap;

	if (why[0] == '\0') {
		va_start(ap, format);
		(void)vsnprintf(why, KMN_SETTINGS_WHY_BYTES, format, ap);
		va_end(ap);
	}
	return KMN_E_CONFIG;
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

/* libconfuse calls this for every value, when its line is still known. */
static int
check_value(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct setting *row =
	    setting_find(cfg->name != NULL && strcmp(cfg->name, "root") != 0 ? cfg->name : "", opt->name);
	unsigned items = cfg_opt_size(opt);
	const char *value = items > 0 ? cfg_opt_getnstr(opt, items - 1) : NULL;
	char why[256];

	if (row == NULL || value == NULL)
		return 0;
	setting_judge(row, value, items, why, sizeof(why));
	if (why[0] != '\0')
		cfg_error(cfg, "%s", why);
	return why[0] == '\0' ? 0 : -1;
}

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

/* The rows of one section as libconfuse wants them. Every value is text to it: limits and their wording are ours. */
static void
make_opts(const char *section, cfg_opt_t opts[SECTION_OPTS + 4])
{
	size_t n = 0;

	for (size_t i = 0; i < settings_row_count; i++) {
		if (strcmp(settings_rows[i].section, section) != 0)
			continue;
		if (n == SECTION_OPTS)
			KMN_BUG("a section has more rows than there is room");
		if (settings_rows[i].type == LIST || settings_rows[i].type == ENVIRONMENT)
			opts[n] = (cfg_opt_t)CFG_STR_LIST(settings_rows[i].name, NULL, CFGF_NODEFAULT);
		else
			opts[n] = (cfg_opt_t)CFG_STR(settings_rows[i].name, NULL, CFGF_NODEFAULT);
		opts[n++].validcb = check_value;
	}
	opts[n] = (cfg_opt_t)CFG_END();
}

static kmn_err
parse(const char *path, char *text, char *why, cfg_t **cfg_out)
{
	cfg_opt_t users[SECTION_OPTS + 4], limits[SECTION_OPTS + 4], console[SECTION_OPTS + 4], opts[TOP_OPTS];
	cfg_opt_t many[SETTING_LISTS][SECTION_OPTS + 4];
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
	for (size_t i = 0; i < SETTING_LISTS; i++) {
		make_opts(setting_lists[i].section, many[i]);
		opts[n++] = (cfg_opt_t)CFG_SEC(
		    setting_lists[i].section, many[i], CFGF_TITLE | CFGF_MULTI | CFGF_NO_TITLE_DUPES);
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
	return result == CFG_SUCCESS ? KMN_OK : settings_complain(why, "%.300s: cannot be read", path);
}

/* ---- values into fields ------------------------------------------------------------------------------------------- */

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
put(const struct kmn_settings *s, void *fields, const struct setting *row, const char *value)
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
		*number = (uint32_t)setting_word(row->words, value);
		return KMN_OK;
	}
	return KMN_E_INTERNAL;
}

/* One row of a section that is there (NULL: it is not), into the structure that holds the section's fields. */
static kmn_err
take_row(const struct kmn_settings *s, void *fields, cfg_t *section, const struct setting *row, char *why)
{
	unsigned n = section != NULL ? cfg_size(section, row->name) : 0;
	kmn_err e = KMN_OK;

	if (n == 0 && row->standard != NULL)
		return put(s, fields, row, row->standard);
	if (n == 0 && row->least > 0)
		return settings_complain(why, "%.300s: %s%s%s is missing", s->path, row->section,
		    row->section[0] != '\0' ? " " : "", row->name);
	for (unsigned i = 0; e == KMN_OK && i < n; i++)
		e = put(s, fields, row, cfg_getnstr(section, row->name, i));
	return e;
}

static kmn_err
take_many(struct kmn_settings *s, const struct setting_list *many, cfg_t *cfg, char *why)
{
	unsigned n = cfg_size(cfg, many->section);
	kmn_err e = KMN_OK;

	if (n < many->least || n > many->most)
		return settings_complain(why, "%.300s: %u to %u sections %s \"NAME\" { } are needed", s->path,
		    many->least, many->most, many->section);
	for (unsigned m = 0; e == KMN_OK && m < n; m++) {
		cfg_t *section = cfg_getnsec(cfg, many->section, m);
		void *item = setting_list_item(s, many, m);

		++*setting_list_count(s, many);
		if ((*setting_item_name(item) = strdup(cfg_title(section))) == NULL)
			return KMN_E_NO_MEMORY;
		if (strlen(*setting_item_name(item)) > many->name_max_bytes || **setting_item_name(item) == '\0')
			return settings_complain(why, "%.300s: the name of a %s has 1 to %zu bytes", s->path,
			    many->section, many->name_max_bytes);
		for (size_t i = 0; e == KMN_OK && i < settings_row_count; i++)
			if (setting_is_of(many, &settings_rows[i]))
				e = take_row(s, item, section, &settings_rows[i], why);
	}
	return e;
}

static kmn_err
take_rows(struct kmn_settings *s, cfg_t *cfg, char *why)
{
	kmn_err e = KMN_OK;

	for (size_t i = 0; e == KMN_OK && i < SETTING_LISTS; i++)
		e = take_many(s, &setting_lists[i], cfg, why);
	for (size_t i = 0; e == KMN_OK && i < settings_row_count; i++) {
		const char *name = settings_rows[i].section;
		cfg_t *section = name[0] == '\0' ? cfg : cfg_size(cfg, name) > 0 ? cfg_getsec(cfg, name) : NULL;

		if (!setting_is_listed(&settings_rows[i]) && (section != NULL || strcmp(name, CONSOLE) != 0))
			e = take_row(s, s, section, &settings_rows[i], why);
	}
	return e;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

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
		return settings_complain(why, "%.300s: %s", path, strerror(errno));
	if (len == KMN_SETTINGS_MAX_BYTES || memchr(text, '\0', len) != NULL)
		return settings_complain(why, "%.300s: is no configuration file", path);
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
			e = settings_complain(why_out, "%.300s: %s", path, strerror(errno));
		goto done;
	}
	if ((e = read_text(s->path, text, s->config_sha256, why_out)) != KMN_OK ||
	    (e = parse(s->path, text, why_out, &cfg)) != KMN_OK || (e = take_rows(s, cfg, why_out)) != KMN_OK ||
	    (e = settings_check(s, why_out)) != KMN_OK)
		goto done;
	*settings_out = s;
	s = NULL;
done:
	if (e != KMN_OK)
		(void)settings_complain(why_out, "%s", kmn_err_text(e));
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
clear_row(void *fields, const struct setting *row)
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
clear_item(const struct setting_list *many, void *item)
{
	for (size_t i = 0; i < settings_row_count; i++)
		if (setting_is_of(many, &settings_rows[i]))
			clear_row(item, &settings_rows[i]);
	free(*setting_item_name(item));
}

void
kmn_settings_free(struct kmn_settings *settings)
{
	if (settings == NULL)
		return;
	for (size_t i = 0; i < settings_row_count; i++)
		if (!setting_is_listed(&settings_rows[i]))
			clear_row(settings, &settings_rows[i]);
	for (size_t i = 0; i < SETTING_LISTS; i++)
		for (unsigned n = 0; n < *setting_list_count(settings, &setting_lists[i]); n++)
			clear_item(&setting_lists[i], setting_list_item(settings, &setting_lists[i], n));
	free(settings->path);
	free(settings);
}
