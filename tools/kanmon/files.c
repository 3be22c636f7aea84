#include "config.h"

#include "tools/kanmon/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static kmn_err
read_all(int fd, char *bytes, size_t room, size_t *len_out)
{
	size_t len = 0;

	while (len < room) {
		ssize_t n = read(fd, bytes + len, room - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return KMN_E_IO;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*len_out = len;
	return len < room ? KMN_OK : KMN_E_TOO_BIG;
}

kmn_err
kmn_file_read(const char *path, size_t max_bytes, char **bytes_out, size_t *len_out)
{
	char *bytes = NULL;
	kmn_err e = KMN_E_NO_MEMORY;
	int fd;

	*bytes_out = NULL;
	*len_out = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? KMN_E_NOT_FOUND : KMN_E_IO;
	if ((bytes = malloc(max_bytes + 1)) == NULL || (e = read_all(fd, bytes, max_bytes + 1, len_out)) != KMN_OK)
		goto done;
	bytes[*len_out] = '\0';
	*bytes_out = bytes;
	bytes = NULL;
done:
	free(bytes);
	close(fd);
	return e;
}

kmn_err
kmn_file_read_or_say(const char *path, size_t max_bytes, char **bytes_out, size_t *len_out)
{
	kmn_err e = kmn_file_read(path, max_bytes, bytes_out, len_out);

	if (e != KMN_OK)
		fprintf(stderr, "kanmon: %s: %s\n", path,
		    e == KMN_E_IO || e == KMN_E_NOT_FOUND ? strerror(errno) : kmn_err_text(e));
	return e;
}

static kmn_err
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return KMN_E_IO;
		bytes += n;
		len -= (size_t)n;
	}
	return fsync(fd) == 0 ? KMN_OK : KMN_E_IO;
}

kmn_err
kmn_file_create(const char *path, const void *bytes, size_t len_bytes, mode_t mode)
{
	kmn_err e;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0) {
		e = errno == EEXIST ? KMN_E_EXISTS : KMN_E_IO;
		fprintf(stderr, "kanmon: %s: %s\n", path, strerror(errno));
		return e;
	}
	e = write_all(fd, bytes, len_bytes);
	if (e != KMN_OK) {
		fprintf(stderr, "kanmon: %s: %s\n", path, strerror(errno));
		unlink(path);
	}
	close(fd);
	return e;
}

kmn_err
kmn_file_replace(const char *path, const void *bytes, size_t len_bytes, mode_t mode)
{
	char temporary[KMN_PATH_MAX_BYTES];
	kmn_err e = kmn_path(temporary, NULL, path, ".new");

	if (e != KMN_OK)
		return e;
	unlink(temporary); /* what an interrupted run left */
	e = kmn_file_create(temporary, bytes, len_bytes, mode);
	if (e == KMN_OK && rename(temporary, path) != 0) {
		fprintf(stderr, "kanmon: %s: %s\n", path, strerror(errno));
		unlink(temporary);
		e = KMN_E_IO;
	}
	return e;
}

kmn_err
kmn_path(char out[KMN_PATH_MAX_BYTES], const char *dir, const char *name, const char *ending)
{
	int n = snprintf(out, KMN_PATH_MAX_BYTES, "%s%s%s%s", dir != NULL ? dir : "", dir != NULL ? "/" : "", name,
	    ending != NULL ? ending : "");

	return n > 0 && n < KMN_PATH_MAX_BYTES ? KMN_OK : KMN_E_TOO_BIG;
}

bool
kmn_settings_can_hold(const char *value)
{
	for (const char *at = value; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || *at == '"' || *at == '\\' || *at == '$')
			return false;
	return true;
}

kmn_err
kmn_folder_make(const char *path)
{
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return KMN_OK;
	fprintf(stderr, "kanmon: %s: %s\n", path, strerror(errno));
	return KMN_E_IO;
}
