#include "config.h"

#include "server/console/pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kanmon/say.h"

#define DEPTH_MAX 4u

/* A file of another kind is not served. */
static const struct {
	const char *ending, *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".webmanifest", "application/manifest+json"},
};

static const char *
type_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot != NULL && i < KMN_COUNT_OF(types); i++)
		if (strcmp(dot, types[i].ending) == 0)
			return types[i].type;
	return NULL;
}

static bool
complain(const char *path, const char *why)
{
	kmn_say(KMN_SAY_ERROR, "pages%s: %s", path, why);
	return false;
}

static void
make_etag(struct kmn_page *page)
{
	uint8_t hash[KMN_HASH_BYTES];
	char text[44];

	(void)crypto_hash_sha256(hash, page->bytes, page->len);
	(void)sodium_bin2base64(text, sizeof(text), hash, sizeof(hash), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	(void)snprintf(page->etag, sizeof(page->etag), "\"%s\"", text);
	kmn_say(KMN_SAY_INFO, "page %s: SHA-256 %s", page->path, text);
}

static bool
read_file(struct kmn_pages *pages, int fd, size_t size, const char *path, const char *type)
{
	struct kmn_page *page = &pages->page[pages->count];
	ssize_t n = 0;

	if (pages->count == KMN_PAGES_MAX || size > KMN_PAGE_MAX_BYTES || size > KMN_PAGES_MAX_BYTES - pages->bytes ||
	    strlen(path) > KMN_PAGE_PATH_MAX_BYTES)
		return complain(path, "too many files, or too long");
	if ((page->bytes = malloc(size + 1)) == NULL)
		return complain(path, strerror(errno));
	page->len = 0;
	while (page->len < size && (n = read(fd, (char *)page->bytes + page->len, size - page->len)) > 0)
		page->len += (size_t)n;
	pages->count++; /* from here on it is freed with the others */
	pages->bytes += page->len;
	if (n < 0 || page->len != size)
		return complain(path, "cannot be read");
	(void)snprintf(page->path, sizeof(page->path), "%s", strcmp(path, "/index.html") == 0 ? "/" : path);
	page->type = type;
	make_etag(page);
	return true;
}

static bool read_folder(struct kmn_pages *pages, int folder, const char *path, unsigned depth);

static bool
read_entry(struct kmn_pages *pages, int folder, const char *name, const char *above, unsigned depth)
{
	char path[KMN_PAGE_PATH_MAX_BYTES + 1];
	struct stat st;
	bool done = true;
	int fd;

	if (name[0] == '.')
		return true;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", above, name) >= sizeof(path))
		return complain(above, "a name is too long");
	if ((fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) < 0 || fstat(fd, &st) != 0)
		done = complain(path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		done = depth < DEPTH_MAX ? read_folder(pages, fd, path, depth + 1) : complain(path, "too deep");
	else if (S_ISREG(st.st_mode) && type_of(name) != NULL)
		done = read_file(pages, fd, (size_t)st.st_size, path, type_of(name));
	if (fd >= 0)
		(void)close(fd);
	return done;
}

/* Through a description of its own: where a folder was read to is shared by all who have it open. */
static bool
read_folder(struct kmn_pages *pages, int folder, const char *path, unsigned depth)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	bool done = dir != NULL;

	if (dir == NULL) {
		if (fd >= 0)
			(void)close(fd);
		return complain(path, strerror(errno));
	}
	while (done && (entry = readdir(dir)) != NULL)
		done = read_entry(pages, folder, entry->d_name, path, depth);
	(void)closedir(dir);
	return done;
}

bool
kmn_pages_read(struct kmn_pages *pages, int folder)
{
	memset(pages, 0, sizeof(*pages));
	if (!read_folder(pages, folder, "", 0))
		return false;
	return kmn_pages_get(pages, "/") != NULL || complain("", "there is no index.html");
}

void
kmn_pages_clear(struct kmn_pages *pages)
{
	for (size_t i = 0; i < pages->count; i++)
		free(pages->page[i].bytes);
	pages->count = 0;
}

const struct kmn_page *
kmn_pages_get(const struct kmn_pages *pages, const char *path)
{
	for (size_t i = 0; i < pages->count; i++)
		if (strcmp(pages->page[i].path, path) == 0)
			return &pages->page[i];
	return NULL;
}
