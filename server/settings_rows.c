/* The table that is kanmond.conf's format, and what can be asked of it. */
#include "config.h"

#include "server/settings_rows.h"

#include <stdio.h>
#include <string.h>

#include "kanmon/messages.h"
#include "server/settings_forms.h"

/* clang-format off */
#define AT(field) offsetof(struct kmn_settings, field)
#define OF(field) offsetof(struct kmn_module_settings, field)
#define GUARD_OF(field) offsetof(struct kmn_guard_settings, field)
#define WITNESS_OF(field) offsetof(struct kmn_witness_settings, field)
#define STAMP_OF(field) offsetof(struct kmn_stamp_settings, field)
#define HOOK_OF(field) offsetof(struct kmn_hook_settings, field)
#define ACTIVATION_OF(field) offsetof(struct kmn_activation_settings, field)
const struct setting settings_rows[] = {
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

const size_t settings_row_count = KMN_COUNT_OF(settings_rows);

const struct setting_list setting_lists[SETTING_LISTS] = {
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

int
setting_word(const char *words, const char *value)
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

const struct setting *
setting_find(const char *section, const char *name)
{
	for (size_t i = 0; i < settings_row_count; i++)
		if (strcmp(settings_rows[i].section, section) == 0 && strcmp(settings_rows[i].name, name) == 0)
			return &settings_rows[i];
	return NULL;
}

void
setting_judge(const struct setting *row, const char *value, unsigned items, char *why, size_t room)
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
		if (setting_word(row->words, value) < 0)
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

bool
setting_is_of(const struct setting_list *many, const struct setting *row)
{
	return strcmp(row->section, many->section) == 0;
}

bool
setting_is_listed(const struct setting *row)
{
	bool is = false;

	for (size_t i = 0; i < SETTING_LISTS; i++)
		is = is || setting_is_of(&setting_lists[i], row);
	return is;
}

unsigned *
setting_list_count(const struct kmn_settings *s, const struct setting_list *many)
{
	return (unsigned *)(void *)((char *)(uintptr_t)s + many->count);
}

void *
setting_list_item(const struct kmn_settings *s, const struct setting_list *many, unsigned n)
{
	return (char *)(uintptr_t)s + many->list + n * many->item_bytes;
}

char **
setting_item_name(void *item)
{
	return (char **)item;
}
