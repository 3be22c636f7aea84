/*
 * The format of kanmond.conf, as data: one row for each setting, one for each kind of section of which there may be several.
 * A new setting is a row; settings.c reads by them, settings_print.c prints by them.
 */
#ifndef KANMON_SERVER_SETTINGS_ROWS_H
#define KANMON_SERVER_SETTINGS_ROWS_H

#include "server/settings.h"

/* Sections of which there may be several, each with a name of its own. */
#define MODULE "module"
#define GUARD "guard"
#define WITNESS "witness"
#define STAMP "time-stamp"
#define ACTIVATION "activation"
#define HOOK "hook"
#define CONSOLE "console" /* one, without a name, or none */

enum setting_type {
	TEXT,
	PATH,
	LIST,
	ENVIRONMENT,
	NUMBER,  /* uint32_t */
	SECONDS, /* uint32_t, in milliseconds */
	WORD,    /* uint32_t: its place among the words */
	LOG,     /* path; NULL stands for stderr */
	USER     /* struct kmn_user */
};

struct setting {
	const char *section; /* "": the file itself */
	const char *name;
	size_t offset; /* in struct kmn_settings; of a section with a name in the structure of one such section */
	enum setting_type type;
	unsigned long least, most; /* NUMBER, SECONDS: value; TEXT, PATH: bytes; LIST, ENVIRONMENT: items */
	const char *standard;      /* NULL: must be given if `least` is not 0 */
	const char *words;         /* WORD: what it may be, in the order of their numbers */
	bool (*check)(const char *value);
};

/* A kind of section with names: a list in struct kmn_settings, whose items begin with `char *name`. */
struct setting_list {
	const char *section;
	size_t list, count, item_bytes; /* where in struct kmn_settings the list and its length are */
	unsigned least, most;
	size_t name_max_bytes;
};

extern const struct setting settings_rows[];
extern const size_t settings_row_count;
#define SETTING_LISTS 6u
extern const struct setting_list setting_lists[SETTING_LISTS];

/* NULL: there is no such setting in the section. */
const struct setting *setting_find(const char *section, const char *name);
/* The number of `value` among the words of a row, or -1. */
int setting_word(const char *words, const char *value);
/* What is wrong with one value, in `why`; "" if nothing is. `items`: how many the list has with it. */
void setting_judge(const struct setting *row, const char *value, unsigned items, char *why, size_t room);
bool setting_is_of(const struct setting_list *list, const struct setting *row);
/* Whether it is of any of these lists. */
bool setting_is_listed(const struct setting *row);
/* How many sections of that kind there are. */
unsigned *setting_list_count(const struct kmn_settings *s, const struct setting_list *list);
/* Section `n` of that kind; its name is what setting_item_name() points to. */
void *setting_list_item(const struct kmn_settings *s, const struct setting_list *list, unsigned n);
char **setting_item_name(void *item);

/* ---- settings.c ---- */

/* Says what is wrong, unless something was before. KMN_E_CONFIG. why: KMN_SETTINGS_WHY_BYTES. */
kmn_err settings_complain(char *why, const char *format, ...) KMN_PRINTF(2, 3);

/* ---- settings_check.c ---- */

/* What settings have to do with one another and with this machine: guards, the console's client, users, hooks. */
kmn_err settings_check(struct kmn_settings *s, char *why) KMN_MUST_CHECK;

#endif
