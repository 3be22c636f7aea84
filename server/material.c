#include "config.h"

#include "server/material.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kanmon/sealedpin.h"
#include "kanmon/stamp.h"
#include "kanmon/types.h"

#define SEED_TEXT_MAX_BYTES 128u
#define AUTHORISED_MAX_BYTES (64u << 10)
#define STAMP_ROOTS_MAX_BYTES (32u << 10) /* of one TSA */
#define SEALED_PINS_MAX_BYTES (96u << 10) /* of all tokens */
#define TYPES_MAX_BYTES (256u << 10)      /* of all modules: half of what a handover holds */

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
	if ((e = read_guarded(c->certificate, KMN_PEM_MAX_BYTES, false, &m->console_certificate, &len, why_out)) !=
	    KMN_OK)
		return e;
	if ((e = read_guarded(c->key, KMN_PEM_MAX_BYTES, true, &m->console_key, &len, why_out)) != KMN_OK ||
	    c->client_key == NULL)
		return e;
	if ((e = read_guarded(
		 c->client_certificate, KMN_PEM_MAX_BYTES, false, &m->client_certificate, &len, why_out)) != KMN_OK)
		return e;
	return read_guarded(c->client_key, KMN_PEM_MAX_BYTES, true, &m->client_key, &len, why_out);
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
	    (e = read_guarded(settings->certificate, KMN_PEM_MAX_BYTES, false, &m->certificate, &m->certificate_bytes,
		 why_out)) != KMN_OK ||
	    (e = read_guarded(settings->key, KMN_PEM_MAX_BYTES, true, &m->key, &m->key_bytes, why_out)) != KMN_OK ||
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
