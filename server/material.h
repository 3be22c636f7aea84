/*
 * What the supervisor reads at its start beside kanmond.conf: the files that it names, and what the gateway itself is. A
 * mistake in them stops the start, not the first call.
 */
#ifndef KANMON_SERVER_MATERIAL_H
#define KANMON_SERVER_MATERIAL_H

#include "server/settings.h"

#define KMN_PEM_MAX_BYTES (32u << 10)

/* What the supervisor read at its start: files of the configuration, and its own identity. */
struct kmn_material {
	char *certificate, *key; /* PEM, in guarded memory */
	size_t certificate_bytes, key_bytes;
	uint8_t *log_key; /* 64 bytes, in guarded memory */
	uint8_t binary_sha256[KMN_HASH_BYTES];
	char boot_id[64];
	char *stamp_roots[KMN_TIME_STAMPS_MAX];  /* certificates of TSAs, PEM, by their number */
	char *sealed_pin[KMN_ACTIVATIONS_MAX];   /* texts, by the number of the activation */
	char *authorised;                        /* signed note of --recovery; NULL: there is none */
	char *console_certificate, *console_key; /* PEM, in guarded memory; NULL: there is no console */
	char *client_certificate, *client_key;   /* likewise, of the console's client; NULL: it is none of ours */
	char *types[KMN_MODULES_MAX]; /* texts that describe what a module has of its own, by its number; NULL: none */
};

/* Reads them; why_out: KMN_SETTINGS_WHY_BYTES. A key that others may read is refused. */
kmn_err kmn_material_load(
    const struct kmn_settings *settings, char *why_out, struct kmn_material **material_out) KMN_MUST_CHECK;
void kmn_material_free(struct kmn_material *material);
/* Reads the files of the activations once more, with the same checks: all are taken, or none and the old ones stay. */
kmn_err kmn_material_seal_anew(
    const struct kmn_settings *settings, struct kmn_material *material, char *why_out) KMN_MUST_CHECK;
/* The file of --recovery. */
kmn_err kmn_material_authorise(struct kmn_material *material, const char *path, char *why_out) KMN_MUST_CHECK;
/*
 * Opens the files of the guards, in their order; fds_out: KMN_GUARDS_MAX, -1 where a guard is an object. A file that is
 * not there is not made: then its file system may not be either.
 */
kmn_err kmn_material_guards(const struct kmn_settings *settings, int *fds_out, char *why_out) KMN_MUST_CHECK;

#endif
