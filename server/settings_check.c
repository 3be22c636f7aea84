/* What settings have to do with one another, and with the machine: users, programs. */
#include "config.h"

#include "server/settings_rows.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/settings_forms.h"

/* A guard is a file, or an object of a token in one of the modules. */
static kmn_err
check_guards(const struct kmn_settings *s, char *why)
{
	for (unsigned i = 0; i < s->guard_count; i++) {
		const struct kmn_guard_settings *guard = &s->guards[i];
		bool known = guard->module == NULL;

		if ((guard->path != NULL) == (guard->module != NULL) ||
		    (guard->module == NULL) != (guard->token == NULL))
			return settings_complain(
			    why, "%.300s: guard \"%.64s\" has either path, or module and token", s->path, guard->name);
		for (unsigned m = 0; !known && m < s->module_count; m++)
			known = strcmp(guard->module, s->modules[m].name) == 0;
		if (!known)
			return settings_complain(why, "%.300s: guard \"%.64s\": there is no module \"%.64s\"", s->path,
			    guard->name, guard->module);
	}
	return KMN_OK;
}

/* A client that kanmond itself runs has all that a client has. */
static kmn_err
check_client(const struct kmn_settings *s, char *why)
{
	const struct kmn_console_settings *c = &s->console;

	if ((c->client_certificate == NULL) == (c->client_key == NULL) && (c->client_key == NULL || c->client != NULL))
		return KMN_OK;
	return settings_complain(why,
	    "%.300s: console: client-certificate and client-key are given together, and with client, the name of its "
	    "line in the policy",
	    s->path);
}

bool
kmn_settings_need_courier(const struct kmn_settings *settings)
{
	for (unsigned i = 0; i < settings->hook_count; i++)
		if (settings->hooks[i].url != NULL)
			return true;
	return settings->witness_count > 0 || settings->stamp_count > 0;
}

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
		return settings_complain(why, "%.300s: users: there is no user \"%.64s\" for the %s", s->path,
		    user->text, kmn_role_name(role));
	}
	return user->uid != 0 && user->gid != 0
		   ? KMN_OK
		   : settings_complain(why, "%.300s: users: the %s may not be root", s->path, kmn_role_name(role));
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
		return settings_complain(why, "%.300s: users: gate, keeper and worker are given together", s->path);
	if (kmn_settings_need_courier(s) && u[KMN_ROLE_COURIER].text == NULL)
		return settings_complain(
		    why, "%.300s: users: courier is missing, and something is asked over the network", s->path);
	if (s->console.listen != NULL && u[KMN_ROLE_CONSOLE].text == NULL)
		return settings_complain(
		    why, "%.300s: console user is missing, where the other roles have users", s->path);
	if (s->console.client_key != NULL && u[KMN_ROLE_RUNNER].text == NULL)
		return settings_complain(
		    why, "%.300s: console client-user is missing, where the other roles have users", s->path);
	for (unsigned role = 0; e == KMN_OK && role < KMN_ROLE_COUNT; role++)
		if (u[role].text != NULL)
			e = resolve_user(s, (enum kmn_role)role, why);
	for (unsigned a = 0; e == KMN_OK && a < KMN_ROLE_COUNT; a++)
		for (unsigned b = a + 1; b < KMN_ROLE_COUNT; b++)
			if (u[b].text != NULL && u[a].uid == u[b].uid)
				e = settings_complain(why, "%.300s: users: %s and %s are different users", s->path,
				    kmn_role_name((enum kmn_role)a), kmn_role_name((enum kmn_role)b));
	return e;
}

/* A user of its own: neither root nor one that holds a part of the gateway. */
static kmn_err
resolve_hook_user(const struct kmn_settings *s, struct kmn_hook_settings *hook, char *why)
{
	const struct passwd *pw;

	if (hook->user == NULL)
		return geteuid() != 0
			   ? KMN_OK
			   : settings_complain(why, "%.300s: hook \"%.64s\" wants a user: nothing of it runs as root",
				 s->path, hook->name);
	if ((pw = getpwnam(hook->user)) == NULL)
		return settings_complain(
		    why, "%.300s: hook \"%.64s\": there is no user \"%.64s\"", s->path, hook->name, hook->user);
	hook->as = (struct kmn_user){.text = geteuid() == 0 ? hook->user : NULL, .uid = pw->pw_uid, .gid = pw->pw_gid};
	for (unsigned role = 0; role < KMN_ROLE_COUNT; role++)
		if (hook->as.uid == 0 || hook->as.gid == 0 ||
		    (s->users[role].text != NULL && s->users[role].uid == hook->as.uid))
			return settings_complain(why,
			    "%.300s: hook \"%.64s\" runs as a user of its own, not root or a role's", s->path,
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
			return settings_complain(
			    why, "%.300s: hook \"%.64s\" has one of command, url and mail-to", s->path, hook->name);
		if (hook->url != NULL)
			continue;
		if (program[0] != '/' || access(program, X_OK) != 0)
			return settings_complain(why,
			    "%.200s: hook \"%.64s\": %.200s is no program that can be run, by its whole path", s->path,
			    hook->name, program);
		e = resolve_hook_user(s, hook, why);
	}
	return e;
}

kmn_err
settings_check(struct kmn_settings *s, char *why)
{
	kmn_err e;

	if ((e = check_guards(s, why)) != KMN_OK || (e = check_client(s, why)) != KMN_OK ||
	    (e = resolve_users(s, why)) != KMN_OK)
		return e;
	return check_hooks(s, why);
}
