/* Files of people: read whole and bounded, made new, or replaced in one step. */
#ifndef KANMON_TOOLS_FILES_H
#define KANMON_TOOLS_FILES_H

#include <sys/types.h>

#include "kanmon/err.h"

#define KMN_PATH_MAX_BYTES 4096

/*
 * The whole file, with a NUL after it that is not counted; *bytes_out is the
 * caller's to free(). KMN_E_TOO_BIG, KMN_E_NOT_FOUND, KMN_E_IO.
 */
kmn_err kmn_file_read(const char *path, size_t max_bytes, char **bytes_out, size_t *len_out) KMN_MUST_CHECK;

/* As kmn_file_read, complaining on stderr with the path. */
kmn_err kmn_file_read_or_say(const char *path, size_t max_bytes, char **bytes_out, size_t *len_out) KMN_MUST_CHECK;

/* Makes a new file, synced; KMN_E_EXISTS (said on stderr) rather than touch one that is there. */
kmn_err kmn_file_create(const char *path, const void *bytes, size_t len_bytes, mode_t mode) KMN_MUST_CHECK;

/* Replaces the file in one step, so that a reader sees the old or the new. Failures are said on stderr. */
kmn_err kmn_file_replace(const char *path, const void *bytes, size_t len_bytes, mode_t mode) KMN_MUST_CHECK;

/* "DIR/NAME" + ending; KMN_E_TOO_BIG. */
kmn_err kmn_path(char out[KMN_PATH_MAX_BYTES], const char *dir, const char *name, const char *ending) KMN_MUST_CHECK;

/* Whether a value can stand between quotation marks in a file of settings as it is. */
bool kmn_settings_can_hold(const char *value);

/* Makes the folder (mode 0700) unless it is there; failures are said on stderr. */
kmn_err kmn_folder_make(const char *path) KMN_MUST_CHECK;

#endif
