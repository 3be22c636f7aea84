#include "config.h"

#include "server/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kanmon/sealedpin.h"
#include "kanmon/stamp.h"
#include "kanmon/types.h"

#define PEM_MAX_BYTES (32u << 10)
#define SEED_TEXT_MAX_BYTES 128u
#define AUTHORISED_MAX_BYTES (64u << 10)
#define STAMP_ROOTS_MAX_BYTES (32u << 10) /* of one TSA */
#define SEALED_PINS_MAX_BYTES (96u << 10) /* of all tokens */
#define GUARD_FILE_MS 1000u               /* from one update to the next, if nothing else is said */
#define GUARD_OBJECT_MS 60000u
#define TYPES_MAX_BYTES (256u << 10) /* of all modules: half of what a handover holds */
#define WORKER_FILES 1024u
#define KEEPER_SPARE_FILES 64u
#define GATE_SPARE_FILES 32u
#define COURIER_FILES 256u
#define CONSOLE_SPARE_FILES 32u

/* ---- the supervisor's files -------------------------------------------------------------------------------------- */

/* Into guarded memory, with a NUL after it. A secret file must be closed to others. */
static kmn_err
read_guarded(const char *path, size_t max, bool secret, char **text_out, size_t *len_out, char *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = sodium_malloc(max + 1);
	struct stat st;
	size_t len = 0;
	ssize_t n = 0;
	kmn_err e = KMN_E_CONFIG;

	*text_out = NULL;
	if (text == NULL || fd < 0 || fstat(fd, &st) != 0) {
		snprintf(why, KMN_SETTINGS_WHY_BYTES, "%.300s: %s", path, strerror(errno));
		goto done;
	}
	if (secret && (st.st_mode & 0027) != 0) {
		snprintf(why, KMN_SETTINGS_WHY_BYTES, "%.300s: is a secret and open to others: chmod 0600", path);
		goto done;
	}
	while (len <= max && (n = read(fd, text + len, max + 1 - len)) > 0)
		len += (size_t)n;
	if (n < 0 || len > max || len == 0) {
		snprintf(why, KMN_SETTINGS_WHY_BYTES, "%.300s: cannot be read, is empty or is too long", path);
		goto done;
	}
	text[len] = '\0';
	*text_out = text;
	*len_out = len;
	text = NULL;
	e = KMN_OK;
done:
	sodium_free(text);
	if (fd >= 0)
		(void)close(fd);
	return e;
}

/* The seed as one line of base64, made into libsodium's secret key. */
static kmn_err
read_log_key(const char *path, uint8_t **key_out, char *why)
{
	uint8_t public[crypto_sign_PUBLICKEYBYTES], *seed = sodium_malloc(crypto_sign_SEEDBYTES);
	uint8_t *key = sodium_malloc(crypto_sign_SECRETKEYBYTES);
	char *text = NULL;
	size_t len, got;
	kmn_err e = KMN_E_NO_MEMORY;

	*key_out = NULL;
	if (seed == NULL || key == NULL ||
	    (e = read_guarded(path, SEED_TEXT_MAX_BYTES, true, &text, &len, why)) != KMN_OK)
		goto done;
	if (sodium_base642bin(
		seed, crypto_sign_SEEDBYTES, text, len, "\n", &got, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    got != crypto_sign_SEEDBYTES) {
		snprintf(why, KMN_SETTINGS_WHY_BYTES, "%.300s: is not one line with the base64 of 32 bytes", path);
		e = KMN_E_CONFIG;
		goto done;
	}
	(void)crypto_sign_seed_keypair(public, key, seed);
	*key_out = key;
	key = NULL;
done:
	sodium_free(text);
	sodium_free(seed);
	sodium_free(key);
	return e;
}

static kmn_err
hash_own_binary(uint8_t out[KMN_HASH_BYTES], char *why)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	crypto_hash_sha256_state state;
	uint8_t part[16384];
	ssize_t n = -1;

	(void)crypto_hash_sha256_init(&state);
	while (fd >= 0 && (n = read(fd, part, sizeof(part))) > 0)
		(void)crypto_hash_sha256_update(&state, part, (size_t)n);
	(void)crypto_hash_sha256_final(&state, out);
	if (n != 0)
		snprintf(why, KMN_SETTINGS_WHY_BYTES, "/proc/self/exe: %s", strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return n == 0 ? KMN_OK : KMN_E_IO;
}

static void
read_boot_id(char *out, size_t room)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, room - 1) : 0;

	out[n > 0 ? n : 0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	if (out[0] == '\0')
		snprintf(out, room, "unknown");
	if (fd >= 0)
		(void)close(fd);
}

/* A module that is not there would only show when the first application comes. */
static kmn_err
check_module(const char *path, char *why_out)
{
	struct stat st;
	bool there = stat(path, &st) == 0;

	if (there && S_ISREG(st.st_mode))
		return KMN_OK;
	snprintf(why_out, KMN_SETTINGS_WHY_BYTES, "module %.300s: %s", path, there ? "not a file" : strerror(errno));
	return KMN_E_CONFIG;
}

static kmn_err
check_modules(const struct kmn_settings *settings, char *why_out)
{
	kmn_err e = KMN_OK;

	for (unsigned i = 0; e == KMN_OK && i < settings->module_count; i++)
		e = check_module(settings->modules[i].path, why_out);
	return e;
}

/* Read and tried here, so that a mistake in it stops the start and not the first call. */
static kmn_err
read_types(const struct kmn_settings *settings, struct kmn_material *m, char *why_out)
{
	char why[KMN_TYPES_WHY_BYTES] = "";
	size_t len, together = 0;
	kmn_err e = KMN_OK;

	for (unsigned i = 0; e == KMN_OK && i < settings->module_count; i++) {
		const char *path = settings->modules[i].types;
		struct kmn_types *types;

		if (path == NULL ||
		    (e = read_guarded(path, KMN_TYPES_MAX_BYTES, false, &m->types[i], &len, why_out)) != KMN_OK)
			continue;
		if ((e = kmn_types_parse(path, m->types[i], len, &kmn_abi_own, why, &types)) != KMN_OK)
			snprintf(why_out, KMN_SETTINGS_WHY_BYTES, "%.300s", why);
		kmn_types_free(types);
		if ((together += len) > TYPES_MAX_BYTES && e == KMN_OK) {
			snprintf(why_out, KMN_SETTINGS_WHY_BYTES, "%.300s: types files are more than %u bytes together",
			    path, TYPES_MAX_BYTES);
			e = KMN_E_CONFIG;
		}
	}
	return e;
}

/* Tried here as well: roots that are none stop the start, not the first time stamp. */
static kmn_err
read_stamp_roots(const struct kmn_settings *settings, struct kmn_material *m, char *why_out)
{
	struct kmn_stamp_roots *roots;
	struct kmn_why why = {""};
	size_t len;
	kmn_err e = KMN_OK;

	for (unsigned i = 0; e == KMN_OK && i < settings->stamp_count; i++) {
		const char *path = settings->stamps[i].roots;

		e = read_guarded(path, STAMP_ROOTS_MAX_BYTES, false, &m->stamp_roots[i], &len, why_out);
		if (e == KMN_OK && (e = kmn_stamp_roots_load(m->stamp_roots[i], len, &roots, &why)) != KMN_OK)
			snprintf(why_out, KMN_SETTINGS_WHY_BYTES, "%.300s: %s", path, why.text);
		if (e == KMN_OK)
			kmn_stamp_roots_free(roots);
	}
	return e;
}

/* Tried here as well: a sealed PIN of another token or gateway stops the start, not the first login. */
static kmn_err
read_sealed_pins(const struct kmn_settings *settings, struct kmn_material *m, char *why_out)
{
	size_t len, together = 0;
	kmn_err e = KMN_OK;

	for (unsigned i = 0; e == KMN_OK && i < settings->activation_count; i++) {
		const struct kmn_activation_settings *a = &settings->activations[i];
		struct kmn_sealed_pin *pin = NULL;

		e = read_guarded(a->sealed_pin, KMN_SEALED_PIN_MAX_BYTES, false, &m->sealed_pin[i], &len, why_out);
		if (e != KMN_OK)
			return e;
		if (kmn_sealed_pin_parse(m->sealed_pin[i], len, &pin) != KMN_OK ||
		    strcmp(kmn_sealed_pin_token(pin), a->name) != 0 ||
		    strcmp(kmn_sealed_pin_origin(pin), settings->origin) != 0 ||
		    (together += len) > SEALED_PINS_MAX_BYTES) {
			snprintf(why_out, KMN_SETTINGS_WHY_BYTES,
			    "%.300s: is no sealed PIN of token \"%.64s\" of this gateway, or all are too long together",
			    a->sealed_pin, a->name);
			e = KMN_E_CONFIG;
		}
		kmn_sealed_pin_free(pin);
	}
	return e;
}

static kmn_err
read_console(const struct kmn_settings *settings, struct kmn_material *m, char *why_out)
{
	const struct kmn_console_settings *c = &settings->console;
	size_t len;
	kmn_err e;

	if (c->listen == NULL)
		return KMN_OK;
	if ((e = read_guarded(c->certificate, PEM_MAX_BYTES, false, &m->console_certificate, &len, why_out)) != KMN_OK)
		return e;
	if ((e = read_guarded(c->key, PEM_MAX_BYTES, true, &m->console_key, &len, why_out)) != KMN_OK ||
	    c->client_key == NULL)
		return e;
	if ((e = read_guarded(c->client_certificate, PEM_MAX_BYTES, false, &m->client_certificate, &len, why_out)) !=
	    KMN_OK)
		return e;
	return read_guarded(c->client_key, PEM_MAX_BYTES, true, &m->client_key, &len, why_out);
}

kmn_err
kmn_material_seal_anew(const struct kmn_settings *settings, struct kmn_material *material, char *why_out)
{
	struct kmn_material fresh = {.sealed_pin = {NULL}};
	kmn_err e = read_sealed_pins(settings, &fresh, why_out);

	for (unsigned i = 0; i < settings->activation_count; i++) {
		char *text = e == KMN_OK ? material->sealed_pin[i] : fresh.sealed_pin[i];

		if (e == KMN_OK)
			material->sealed_pin[i] = fresh.sealed_pin[i];
		sodium_free(text);
	}
	return e;
}

kmn_err
kmn_material_load(const struct kmn_settings *settings, char *why_out, struct kmn_material **material_out)
{
	struct kmn_material *m = calloc(1, sizeof(*m));
	kmn_err e = KMN_E_NO_MEMORY;

	*material_out = NULL;
	why_out[0] = '\0';
	if (m == NULL ||
	    (e = read_guarded(settings->certificate, PEM_MAX_BYTES, false, &m->certificate, &m->certificate_bytes,
		 why_out)) != KMN_OK ||
	    (e = read_guarded(settings->key, PEM_MAX_BYTES, true, &m->key, &m->key_bytes, why_out)) != KMN_OK ||
	    (e = read_log_key(settings->log_key, &m->log_key, why_out)) != KMN_OK ||
	    (e = check_modules(settings, why_out)) != KMN_OK || (e = read_types(settings, m, why_out)) != KMN_OK ||
	    (e = read_stamp_roots(settings, m, why_out)) != KMN_OK ||
	    (e = read_sealed_pins(settings, m, why_out)) != KMN_OK ||
	    (e = read_console(settings, m, why_out)) != KMN_OK ||
	    (e = hash_own_binary(m->binary_sha256, why_out)) != KMN_OK)
		goto done;
	read_boot_id(m->boot_id, sizeof(m->boot_id));
	*material_out = m;
	m = NULL;
done:
	if (e != KMN_OK && why_out[0] == '\0')
		snprintf(why_out, KMN_SETTINGS_WHY_BYTES, "%s", kmn_err_text(e));
	kmn_material_free(m);
	return e;
}

void
kmn_material_free(struct kmn_material *material)
{
	if (material == NULL)
		return;
	sodium_free(material->certificate);
	sodium_free(material->key);
	sodium_free(material->log_key);
	sodium_free(material->authorised);
	sodium_free(material->console_certificate);
	sodium_free(material->console_key);
	sodium_free(material->client_certificate);
	sodium_free(material->client_key);
	for (unsigned i = 0; i < KMN_TIME_STAMPS_MAX; i++)
		sodium_free(material->stamp_roots[i]);
	for (unsigned i = 0; i < KMN_ACTIVATIONS_MAX; i++)
		sodium_free(material->sealed_pin[i]);
	for (unsigned i = 0; i < KMN_MODULES_MAX; i++)
		sodium_free(material->types[i]);
	free(material);
}

kmn_err
kmn_material_authorise(struct kmn_material *material, const char *path, char *why_out)
{
	size_t len;

	return read_guarded(path, AUTHORISED_MAX_BYTES, false, &material->authorised, &len, why_out);
}

/* A guard beside the ledger goes where the ledger goes: it is told of, for the file may be on its way elsewhere. */
static void
look_at_guard(const struct kmn_guard_settings *guard, const struct stat *st, const char *ledger)
{
	struct stat beside;

	if (stat(ledger, &beside) == 0 && beside.st_dev == st->st_dev)
		kmn_say(KMN_SAY_WARNING,
		    "guard \"%s\" is on the same file system as the ledger: who rolls that back, rolls "
		    "back both",
		    guard->name);
}

kmn_err
kmn_material_guards(const struct kmn_settings *settings, int *fds_out, char *why_out)
{
	for (unsigned i = 0; i < KMN_GUARDS_MAX; i++)
		fds_out[i] = -1;
	for (unsigned i = 0; i < settings->guard_count; i++) {
		const struct kmn_guard_settings *guard = &settings->guards[i];
		struct stat st;

		if (guard->path == NULL)
			continue;
		fds_out[i] = open(guard->path, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
		if (fds_out[i] < 0 || fstat(fds_out[i], &st) != 0 || !S_ISREG(st.st_mode)) {
			snprintf(why_out, KMN_SETTINGS_WHY_BYTES,
			    "guard \"%.64s\": %.300s: %s (a new guard is an empty file, made by hand)", guard->name,
			    guard->path, fds_out[i] < 0 ? strerror(errno) : "not a file");
			return KMN_E_CONFIG;
		}
		look_at_guard(guard, &st, settings->ledger);
	}
	return KMN_OK;
}

/* ---- the message ------------------------------------------------------------------------------------------------- */

/* Every text goes with its NUL, so that the reader may point at it where it lies. */
static void
put_text(struct kmn_writer *w, const char *text)
{
	kmn_writer_bytes(w, text, text != NULL ? strlen(text) + 1 : 0);
}

static const char *
get_text(struct kmn_reader *r)
{
	const uint8_t *view;
	size_t len = kmn_reader_bytes(r, KMN_HANDOVER_MAX_BYTES, &view);

	if (len == 0)
		return NULL;
	if (view[len - 1] != '\0')
		kmn_reader_fail(r, KMN_E_MALFORMED);
	return (const char *)view;
}

/* A structure of nothing but uint32_t. */
static void
put_numbers(struct kmn_writer *w, const void *numbers, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
		uint32_t number;

		memcpy(&number, (const uint8_t *)numbers + i, sizeof(number));
		kmn_writer_u32(w, number);
	}
}

static void
get_numbers(struct kmn_reader *r, void *numbers, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
		uint32_t number = kmn_reader_u32(r);

		memcpy((uint8_t *)numbers + i, &number, sizeof(number));
	}
}

/* Who sees calls reads them: gate, keeper and the console's own client those of every module, a worker those of its own. */
static bool
sees_calls(enum kmn_role role)
{
	return role < KMN_ROLE_COURIER || role == KMN_ROLE_RUNNER;
}

static void
put_types(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m,
    const struct kmn_module_settings *only)
{
	kmn_writer_u32(w, s->module_count);
	for (unsigned i = 0; i < s->module_count; i++)
		put_text(w, only == NULL || only == &s->modules[i] ? m->types[i] : NULL);
}

/* They stay in use as long as the process. */
static void
get_types(struct kmn_reader *r)
{
	uint32_t n = kmn_reader_count(r, KMN_MODULES_MAX, 4);

	for (uint32_t i = 0; i < n; i++) {
		const char *text = get_text(r);
		char why[KMN_TYPES_WHY_BYTES];
		struct kmn_types *types;

		if (text == NULL || r->err != KMN_OK)
			continue;
		if (kmn_types_parse("types", text, strlen(text), &kmn_abi_own, why, &types) != KMN_OK ||
		    !kmn_types_use(types))
			kmn_reader_fail(r, KMN_E_CONFIG);
	}
}

static void
put_worker(struct kmn_writer *w, const struct kmn_assignment *assignment)
{
	const struct kmn_module_settings *module = assignment->module;

	kmn_writer_bool(w, assignment->watching);
	kmn_writer_u64(w, assignment->first_handle);
	kmn_writer_u64(w, assignment->handle_step);
	put_text(w, module->name);
	put_text(w, module->path);
	put_text(w, module->init_args);
	kmn_writer_u32(w, module->environment.count);
	for (unsigned i = 0; i < module->environment.count; i++)
		put_text(w, module->environment.at[i]);
	kmn_writer_bool(w, module->serial != 0);
}

static void
get_worker(struct kmn_reader *r, struct kmn_worker_setup *setup)
{
	static const char *environment[KMN_ENVIRONMENT_MAX + 1];
	struct kmn_module *module = &setup->module;
	uint32_t n;

	setup->keeper = KMN_PEER_FD;
	setup->watching = kmn_reader_bool(r);
	setup->first_handle = kmn_reader_u64(r);
	setup->handle_step = kmn_reader_u64(r);
	module->name = get_text(r);
	module->path = get_text(r);
	module->init_args = get_text(r);
	n = kmn_reader_count(r, KMN_ENVIRONMENT_MAX, 4);
	for (uint32_t i = 0; i < n; i++)
		environment[i] = get_text(r);
	module->environment = environment;
	module->serial = kmn_reader_bool(r);
}

/* The number of a module by its name, which the settings' check has found. */
static unsigned
module_number(const struct kmn_settings *s, const char *name)
{
	unsigned m = 0;

	while (m < s->module_count && strcmp(s->modules[m].name, name) != 0)
		m++;
	return m;
}

static void
put_guards(struct kmn_writer *w, const struct kmn_settings *s)
{
	kmn_writer_u32(w, s->guard_count);
	for (unsigned i = 0; i < s->guard_count; i++) {
		const struct kmn_guard_settings *guard = &s->guards[i];
		uint32_t standard = guard->path != NULL ? GUARD_FILE_MS : GUARD_OBJECT_MS;

		put_text(w, guard->name);
		put_text(w, guard->path);
		kmn_writer_u32(w, guard->module != NULL ? module_number(s, guard->module) : 0);
		put_text(w, guard->token);
		kmn_writer_u32(w, guard->every_ms != 0 ? guard->every_ms : standard);
	}
}

/* Their files stand behind the ledger, in this order. */
static void
get_guards(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_guard guards[KMN_GUARDS_MAX];
	int fd = KMN_FIRST_FD + 1;

	k->guard_count = kmn_reader_count(r, KMN_GUARDS_MAX, 4);
	for (unsigned i = 0; i < k->guard_count; i++) {
		guards[i].name = get_text(r);
		guards[i].path = get_text(r);
		guards[i].fd = guards[i].path != NULL ? fd++ : -1;
		guards[i].module = kmn_reader_u32(r);
		guards[i].token = get_text(r);
		guards[i].every_ms = kmn_reader_u32(r);
		if (guards[i].module >= k->module_count)
			kmn_reader_fail(r, KMN_E_MALFORMED);
	}
	k->guards = guards;
}

static void
put_stamps(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	kmn_writer_u32(w, s->stamp_ms);
	kmn_writer_u32(w, s->stamp_idle_ms);
	kmn_writer_u32(w, s->stamp_count);
	for (unsigned i = 0; i < s->stamp_count; i++) {
		put_text(w, s->stamps[i].name);
		put_text(w, s->stamps[i].url);
		put_text(w, m->stamp_roots[i]);
		put_text(w, s->stamps[i].policy);
	}
}

static void
get_stamps(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_time_stamp stamps[KMN_TIME_STAMPS_MAX];

	k->stamp_ms = kmn_reader_u32(r);
	k->stamp_idle_ms = kmn_reader_u32(r);
	k->time_stamp_count = kmn_reader_count(r, KMN_TIME_STAMPS_MAX, 4);
	for (unsigned i = 0; i < k->time_stamp_count; i++) {
		stamps[i].name = get_text(r);
		stamps[i].url = get_text(r);
		stamps[i].roots = get_text(r);
		stamps[i].policy = get_text(r);
	}
	k->time_stamps = stamps;
}

static void
put_witnesses(struct kmn_writer *w, const struct kmn_settings *s)
{
	kmn_writer_u32(w, s->witness_ms);
	kmn_writer_u32(w, s->witness_count);
	for (unsigned i = 0; i < s->witness_count; i++) {
		put_text(w, s->witnesses[i].name);
		put_text(w, s->witnesses[i].url);
	}
}

static void
get_witnesses(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_asked_witness witnesses[KMN_WITNESSES_MAX];

	k->witness_ms = kmn_reader_u32(r);
	k->witness_count = kmn_reader_count(r, KMN_WITNESSES_MAX, 8);
	for (unsigned i = 0; i < k->witness_count; i++) {
		witnesses[i].name = get_text(r);
		witnesses[i].url = get_text(r);
	}
	k->witnesses = witnesses;
}

static void
put_hooks(struct kmn_writer *w, const struct kmn_settings *s)
{
	kmn_writer_u32(w, s->hook_count);
	for (unsigned i = 0; i < s->hook_count; i++) {
		put_text(w, s->hooks[i].name);
		put_text(w, s->hooks[i].url);
	}
}

static void
get_hooks(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_hook hooks[KMN_HOOKS_MAX];

	k->hook_count = kmn_reader_count(r, KMN_HOOKS_MAX, 8);
	for (unsigned i = 0; i < k->hook_count; i++) {
		hooks[i].name = get_text(r);
		hooks[i].url = get_text(r);
	}
	k->hooks = hooks;
}

static void
put_activations(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	kmn_writer_u32(w, s->activation_count);
	for (unsigned i = 0; i < s->activation_count; i++) {
		put_text(w, s->activations[i].name);
		put_text(w, m->sealed_pin[i]);
	}
}

static void
get_activations(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_sealed_token activations[KMN_ACTIVATIONS_MAX];

	k->activation_count = kmn_reader_count(r, KMN_ACTIVATIONS_MAX, 8);
	for (unsigned i = 0; i < k->activation_count; i++) {
		activations[i].token = get_text(r);
		activations[i].text = get_text(r);
	}
	k->activations = activations;
}

static void
put_keeper(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	put_text(w, s->ledger);
	kmn_writer_bytes(w, m->log_key, crypto_sign_SECRETKEYBYTES);
	put_text(w, s->origin);
	kmn_writer_u32(w, s->module_count);
	for (unsigned i = 0; i < s->module_count; i++)
		put_text(w, s->modules[i].name); /* path and environment are not the keeper's business */
	kmn_writer_u32(w, s->lease_ms);
	kmn_writer_u32(w, s->request_lifetime_s);
	kmn_writer_u32(w, s->spawn_ms);
	kmn_writer_u32(w, s->reserve_mib);
	kmn_writer_u32(w, s->low_water_mib);
	kmn_writer_u32(w, s->scrub_ms);
	put_guards(w, s);
	put_stamps(w, s, m);
	put_witnesses(w, s);
	put_activations(w, s, m);
	put_hooks(w, s);
	put_text(w, s->console.client);
	put_text(w, m->authorised);
	kmn_writer_raw(w, m->binary_sha256, KMN_HASH_BYTES);
	kmn_writer_raw(w, s->config_sha256, KMN_HASH_BYTES);
	put_text(w, m->boot_id);
}

static void
get_keeper(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_module modules[KMN_MODULES_MAX];

	k->supervisor = KMN_PEER_FD;
	k->ledger = KMN_FIRST_FD;
	k->ledger_path = get_text(r);
	if (kmn_reader_bytes(r, crypto_sign_SECRETKEYBYTES, &k->log_key) != crypto_sign_SECRETKEYBYTES)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	k->origin = get_text(r);
	k->module_count = kmn_reader_count(r, KMN_MODULES_MAX, 4);
	for (unsigned i = 0; i < k->module_count; i++)
		modules[i].name = get_text(r);
	k->modules = modules;
	k->lease_ms = kmn_reader_u32(r);
	k->request_lifetime_s = kmn_reader_u32(r);
	k->spawn_ms = kmn_reader_u32(r);
	k->reserve_mib = kmn_reader_u32(r);
	k->low_water_mib = kmn_reader_u32(r);
	k->scrub_ms = kmn_reader_u32(r);
	get_guards(r, k);
	get_stamps(r, k);
	get_witnesses(r, k);
	get_activations(r, k);
	get_hooks(r, k);
	k->console_client = get_text(r);
	k->authorised = get_text(r);
	k->build.version = PACKAGE_VERSION;
	kmn_reader_raw(r, k->build.binary_sha256, KMN_HASH_BYTES);
	kmn_reader_raw(r, k->build.config_sha256, KMN_HASH_BYTES);
	k->build.boot_id = get_text(r);
}

static void
put_gate(struct kmn_writer *w, const struct kmn_material *m, unsigned listeners)
{
	kmn_writer_bytes(w, m->certificate, m->certificate_bytes);
	kmn_writer_bytes(w, m->key, m->key_bytes);
	kmn_writer_u32(w, listeners);
}

static void
get_gate(struct kmn_reader *r, struct kmn_gate_setup *g)
{
	static int listeners[KMN_LISTEN_MAX];
	const uint8_t *view;

	g->keeper = KMN_PEER_FD;
	g->certificate_bytes = kmn_reader_bytes(r, PEM_MAX_BYTES, &view);
	g->certificate = (const char *)view;
	g->key_bytes = kmn_reader_bytes(r, PEM_MAX_BYTES, &view);
	g->key = (const char *)view;
	g->listener_count = kmn_reader_u32(r);
	for (unsigned i = 0; i < KMN_LISTEN_MAX; i++)
		listeners[i] = KMN_FIRST_FD + (int)i;
	g->listeners = listeners;
}

static void
put_console(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	put_text(w, s->console.origin);
	put_text(w, m->console_certificate);
	put_text(w, m->console_key);
	put_numbers(w, &s->console.limits, sizeof(s->console.limits));
}

static void
get_console(struct kmn_reader *r, struct kmn_console_setup *c)
{
	c->keeper = KMN_PEER_FD;
	c->listener = KMN_FIRST_FD;
	c->pages = KMN_FIRST_FD + 1;
	c->origin = get_text(r);
	c->certificate = get_text(r);
	c->key = get_text(r);
	get_numbers(r, &c->limits, sizeof(c->limits));
}

/* The gate from this host: where it listens on every address, the loopback one. */
static void
put_gateway(struct kmn_writer *w, const char *listen)
{
	static const char every[] = "0.0.0.0:", every_six[] = "[::]:";
	char text[80];

	if (strncmp(listen, every, sizeof(every) - 1) == 0)
		(void)snprintf(text, sizeof(text), "127.0.0.1:%s", listen + sizeof(every) - 1);
	else if (strncmp(listen, every_six, sizeof(every_six) - 1) == 0)
		(void)snprintf(text, sizeof(text), "[::1]:%s", listen + sizeof(every_six) - 1);
	else
		(void)snprintf(text, sizeof(text), "%s", listen);
	put_text(w, text);
}

static void
put_runner(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	put_gateway(w, s->listen.at[0]);
	put_text(w, s->origin);
	put_text(w, m->client_certificate);
	put_text(w, m->client_key);
	put_text(w, m->certificate);
	kmn_writer_raw(w, m->log_key + crypto_sign_SEEDBYTES, KMN_LOG_KEY_BYTES); /* libsodium: seed, public key */
}

static void
get_runner(struct kmn_reader *r, struct kmn_runner_setup *s)
{
	s->keeper = KMN_PEER_FD;
	s->gateway = get_text(r);
	s->origin = get_text(r);
	s->certificate = get_text(r);
	s->key = get_text(r);
	s->gate_certificate = get_text(r);
	kmn_reader_raw(r, s->log_key, sizeof(s->log_key));
}

void
kmn_handover_put(struct kmn_writer *w, enum kmn_role role, const struct kmn_settings *settings,
    const struct kmn_material *material, unsigned listeners, const struct kmn_assignment *assignment)
{
	const struct kmn_user *user = &settings->users[role];

	kmn_writer_u8(w, (uint8_t)role);
	kmn_writer_u8(w, (uint8_t)settings->log_level);
	kmn_writer_u8(w, (uint8_t)settings->confinement);
	kmn_writer_bool(w, geteuid() == 0);
	kmn_writer_u32(w, user->uid);
	kmn_writer_u32(w, user->gid);
	kmn_writer_u32(w, (uint32_t)getpid());
	put_numbers(w, &settings->limits, sizeof(settings->limits));
	if (sees_calls(role))
		put_types(w, settings, material, role == KMN_ROLE_WORKER ? assignment->module : NULL);
	switch (role) {
	case KMN_ROLE_GATE:
		put_gate(w, material, listeners);
		break;
	case KMN_ROLE_KEEPER:
		put_keeper(w, settings, material);
		break;
	case KMN_ROLE_WORKER:
		put_worker(w, assignment);
		break;
	case KMN_ROLE_CONSOLE:
		put_console(w, settings, material);
		break;
	case KMN_ROLE_RUNNER:
		put_runner(w, settings, material);
		break;
	default: /* the courier is told all it needs to know by the keeper */
		break;
	}
}

/* Into guarded memory that stays: nobody frees it, for the process ends with its role. */
static kmn_err
read_message(int fd, uint8_t **bytes_out, size_t *len_out)
{
	uint8_t *bytes = sodium_malloc(KMN_HANDOVER_MAX_BYTES);
	size_t len = 0;
	ssize_t n = -1;

	if (bytes == NULL)
		return KMN_E_NO_MEMORY;
	while (len < KMN_HANDOVER_MAX_BYTES && (n = read(fd, bytes + len, KMN_HANDOVER_MAX_BYTES - len)) > 0)
		len += (size_t)n;
	(void)close(fd);
	(void)sodium_mprotect_readonly(bytes);
	*bytes_out = bytes;
	*len_out = len;
	return n == 0 ? KMN_OK : KMN_E_IO;
}

static uint32_t
files_of(enum kmn_role role, const struct kmn_limits *limits, const struct kmn_handover *h)
{
	unsigned modules = h->keeper.module_count;

	if (role == KMN_ROLE_COURIER || role == KMN_ROLE_RUNNER)
		return COURIER_FILES;
	if (role == KMN_ROLE_CONSOLE)
		return h->console.limits.connections + CONSOLE_SPARE_FILES;
	if (role == KMN_ROLE_GATE)
		return limits->connections + KMN_LISTEN_MAX + GATE_SPARE_FILES;
	return role == KMN_ROLE_KEEPER ? (limits->instances + 2) * modules + KEEPER_SPARE_FILES : WORKER_FILES;
}

kmn_err
kmn_handover_receive(int fd, const struct kmn_handover **handover_out)
{
	static struct kmn_handover h;
	struct kmn_limits limits;
	struct kmn_reader r;
	uint8_t *bytes;
	size_t len;
	kmn_err e;

	*handover_out = NULL;
	if ((e = read_message(fd, &bytes, &len)) != KMN_OK)
		return e;
	kmn_reader_init(&r, bytes, len);
	h.role = (enum kmn_role)kmn_reader_u8(&r);
	h.log_level = (enum kmn_say_level)kmn_reader_u8(&r);
	h.confine.role = h.role;
	h.confine.how = (enum kmn_confinement)kmn_reader_u8(&r);
	h.confine.drop = kmn_reader_bool(&r);
	h.confine.uid = kmn_reader_u32(&r);
	h.confine.gid = kmn_reader_u32(&r);
	h.confine.parent = (pid_t)kmn_reader_u32(&r);
	h.confine.ledger = h.role == KMN_ROLE_KEEPER ? KMN_FIRST_FD : -1;
	get_numbers(&r, &limits, sizeof(limits));
	if (sees_calls(h.role))
		get_types(&r);
	h.gate.limits = h.keeper.limits = limits;
	if (h.role == KMN_ROLE_GATE) {
		get_gate(&r, &h.gate);
	} else if (h.role == KMN_ROLE_KEEPER) {
		get_keeper(&r, &h.keeper);
	} else if (h.role == KMN_ROLE_WORKER) {
		get_worker(&r, &h.worker);
	} else if (h.role == KMN_ROLE_CONSOLE) {
		get_console(&r, &h.console);
	} else if (h.role == KMN_ROLE_RUNNER) {
		get_runner(&r, &h.runner);
	} else {
		h.courier.keeper = KMN_PEER_FD;
	}
	h.confine.files = files_of(h.role, &limits, &h);
	*handover_out = &h;
	return kmn_reader_end(&r);
}
