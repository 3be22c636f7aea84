#include "config.h"

#include "provider/heads.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "provider/debug.h"

#define SYSTEM_STATE "/var/lib/kanmon/provider"
#define EVIDENCE_TRIES 100
#define EVIDENCE_MAX 64u /* files of one origin */

struct kmn_heads {
	char folder[PATH_MAX - 128]; /* of the origin; room for a name beneath it */
};

bool
kmn_seen_same(const struct kmn_head *a, const struct kmn_head *b)
{
	return a->size == b->size && memcmp(a->root, b->root, sizeof(a->root)) == 0;
}

/* ---- the folder -------------------------------------------------------------------------------------------------- */

/* The folder of all origins, by the order of kanmon.conf(5); false if its name is too long. */
static bool
find_state(const struct kmn_client_settings *settings, char *out, size_t size)
{
	const char *xdg = secure_getenv("XDG_STATE_HOME"), *home = secure_getenv("HOME");
	int n;

	if (settings->state != NULL)
		n = snprintf(out, size, "%s", settings->state);
	else if (xdg != NULL && xdg[0] == '/')
		n = snprintf(out, size, "%s/kanmon", xdg);
	else if (home != NULL && home[0] == '/' && access(home, W_OK) == 0)
		n = snprintf(out, size, "%s/.local/state/kanmon", home);
	else
		n = snprintf(out, size, "%s", SYSTEM_STATE);
	return n > 0 && (size_t)n < size;
}

static kmn_err
make_folders(char *path)
{
	for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		bool failed;

		if (slash != NULL)
			*slash = '\0';
		failed = mkdir(path, 0755) != 0 && errno != EEXIST;
		if (failed)
			kmn_debug(KMN_TOPIC_CONFIG, "state: %s: %s", path, strerror(errno));
		if (slash != NULL)
			*slash = '/';
		if (failed)
			return KMN_E_IO;
		if (slash == NULL)
			return KMN_OK;
	}
}

kmn_err
kmn_heads_new(const struct kmn_client_settings *settings, struct kmn_heads **heads_out)
{
	char state[PATH_MAX - 256];
	uint8_t hash[KMN_HASH_BYTES];
	struct kmn_heads *heads;
	size_t len;
	kmn_err e;

	*heads_out = NULL;
	if (settings->stateless)
		return KMN_OK;
	if (!find_state(settings, state, sizeof(state)))
		return KMN_E_CONFIG;
	if ((heads = calloc(1, sizeof(*heads))) == NULL)
		return KMN_E_NO_MEMORY;
	len = (size_t)snprintf(heads->folder, sizeof(heads->folder), "%s/", state);
	kmn_sha256(settings->origin, strlen(settings->origin), hash);
	for (size_t i = 0; i < sizeof(hash); i++)
		len += (size_t)snprintf(heads->folder + len, sizeof(heads->folder) - len, "%02x", hash[i]);
	if ((e = make_folders(heads->folder)) != KMN_OK) {
		free(heads);
		return e;
	}
	*heads_out = heads;
	return KMN_OK;
}

void
kmn_heads_free(struct kmn_heads *heads)
{
	free(heads);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void
name_file(const struct kmn_heads *heads, const char *name, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s/%s", heads->folder, name);
}

/* The bytes of the file `head`; none is no failure. */
static kmn_err
read_note(const struct kmn_heads *heads, struct kmn_seen *seen)
{
	char path[PATH_MAX];
	ssize_t n = 0;
	int fd;

	seen->note_len = 0;
	name_file(heads, "head", path);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno == ENOENT ? KMN_OK : KMN_E_IO;
	while ((n = read(fd, seen->note + seen->note_len, sizeof(seen->note) - seen->note_len)) > 0 ||
	       (n < 0 && errno == EINTR))
		seen->note_len += n > 0 ? (size_t)n : 0;
	(void)close(fd);
	return n < 0 ? KMN_E_IO : seen->note_len == 0 || seen->note_len == sizeof(seen->note) ? KMN_E_CORRUPT : KMN_OK;
}

kmn_err
kmn_heads_load(const struct kmn_heads *heads, const char *origin, const struct kmn_vkey *keys, size_t key_count,
    struct kmn_seen *seen_out)
{
	bool verified[KMN_CLIENT_LOG_KEYS_MAX];
	struct kmn_note note;
	struct kmn_why why = {{0}};
	size_t count = 0;
	kmn_err e;

	memset(&seen_out->head, 0, sizeof(seen_out->head));
	seen_out->note_len = 0;
	if (heads == NULL)
		return KMN_OK;
	if ((e = read_note(heads, seen_out)) != KMN_OK || seen_out->note_len == 0)
		goto done;
	if (kmn_note_parse(seen_out->note, seen_out->note_len, &note, &why) != KMN_OK ||
	    kmn_checkpoint_parse(&note, origin, &seen_out->head, &why) != KMN_OK)
		e = KMN_E_CORRUPT;
	else if (kmn_note_verify(&note, keys, key_count, verified, &count, &why) != KMN_OK || count == 0)
		e = KMN_E_SIGNATURE;
done:
	if (e == KMN_OK)
		return e;
	memset(&seen_out->head, 0, sizeof(seen_out->head));
	kmn_debug(KMN_TOPIC_CONFIG, "%s/head: %s: %s", heads->folder, kmn_err_text(e),
	    e == KMN_E_SIGNATURE ? "it is of a log with another key; is log-key right, or was the ledger founded anew?"
				 : why.text);
	return e;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static kmn_err
write_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return KMN_E_IO;
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return KMN_OK;
}

static kmn_err
sync_folder(const struct kmn_heads *heads)
{
	int fd = open(heads->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool synced = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		(void)close(fd);
	return synced ? KMN_OK : KMN_E_IO;
}

/* The lock is held: the name of the temporary file is ours. */
static kmn_err
replace_head(const struct kmn_heads *heads, const struct kmn_seen *next)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	kmn_err e;
	int fd;

	name_file(heads, "head", path);
	name_file(heads, "head.new", fresh);
	if ((fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644)) < 0)
		return KMN_E_IO;
	e = write_all(fd, next->note, next->note_len);
	if (e == KMN_OK && fsync(fd) != 0)
		e = KMN_E_IO;
	if (close(fd) != 0)
		e = KMN_E_IO;
	if (e == KMN_OK && rename(fresh, path) != 0)
		e = KMN_E_IO;
	return e == KMN_OK ? sync_folder(heads) : e;
}

kmn_err
kmn_heads_store(const struct kmn_heads *heads, const struct kmn_seen *before, const struct kmn_seen *next)
{
	struct kmn_seen there;
	char path[PATH_MAX];
	kmn_err e;
	int fd;

	if (heads == NULL)
		return KMN_OK;
	name_file(heads, "lock", path);
	if ((fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644)) < 0)
		return KMN_E_IO;
	while (flock(fd, LOCK_EX) != 0) {
		if (errno != EINTR) {
			(void)close(fd);
			return KMN_E_IO;
		}
	}
	e = read_note(heads, &there);
	if (e == KMN_OK &&
	    (there.note_len != before->note_len || memcmp(there.note, before->note, there.note_len) != 0))
		e = KMN_E_AGAIN;
	if (e == KMN_OK)
		e = replace_head(heads, next);
	(void)flock(fd, LOCK_UN); /* a child forked meanwhile has the description too */
	(void)close(fd);
	return e;
}

/* How much evidence there is; a program that tries again all day does not fill the disk with it. */
static unsigned
count_evidence(const struct kmn_heads *heads)
{
	DIR *dir = opendir(heads->folder);
	const struct dirent *entry;
	unsigned n = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		n += strncmp(entry->d_name, "evidence-", 9) == 0;
	if (dir != NULL)
		(void)closedir(dir);
	return n;
}

kmn_err
kmn_heads_evidence(const struct kmn_heads *heads, const char *text, size_t len, char path_out[4096])
{
	struct tm utc;
	char stamp[32], name[96];
	time_t now = time(NULL);
	kmn_err e;
	int fd = -1;

	path_out[0] = '\0';
	if (heads == NULL)
		return KMN_E_NOT_FOUND;
	if (count_evidence(heads) >= EVIDENCE_MAX)
		return KMN_E_LIMIT;
	if (gmtime_r(&now, &utc) == NULL || strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc) == 0)
		return KMN_E_INTERNAL;
	for (unsigned i = 0; fd < 0 && i < EVIDENCE_TRIES; i++) { /* threads of one second */
		if (i == 0)
			(void)snprintf(name, sizeof(name), "evidence-%s-%ld.txt", stamp, (long)getpid());
		else
			(void)snprintf(name, sizeof(name), "evidence-%s-%ld.%u.txt", stamp, (long)getpid(), i);
		name_file(heads, name, path_out);
		fd = open(path_out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		return KMN_E_IO;
	e = write_all(fd, text, len);
	if (e == KMN_OK && fsync(fd) != 0)
		e = KMN_E_IO;
	(void)close(fd);
	return e == KMN_OK ? sync_folder(heads) : e;
}

/* ---- other files ------------------------------------------------------------------------------------------------- */

kmn_err
kmn_heads_put_file(const struct kmn_heads *heads, const char *name, const uint8_t *bytes, size_t len)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	kmn_err e = KMN_E_IO;
	int fd;

	if (heads == NULL)
		return KMN_E_NOT_FOUND;
	name_file(heads, name, path);
	if (snprintf(fresh, sizeof(fresh), "%s/.%s-XXXXXX", heads->folder, name) >= (int)sizeof(fresh) ||
	    (fd = mkostemp(fresh, O_CLOEXEC)) < 0)
		return KMN_E_IO;
	if (write_all(fd, (const char *)bytes, len) == KMN_OK && fsync(fd) == 0)
		e = KMN_OK;
	if (close(fd) != 0 || (e == KMN_OK && rename(fresh, path) != 0))
		e = KMN_E_IO;
	if (e != KMN_OK)
		(void)unlink(fresh);
	return e == KMN_OK ? sync_folder(heads) : e;
}

kmn_err
kmn_heads_get_file(
    const struct kmn_heads *heads, const char *name, size_t max_bytes, uint8_t **bytes_out, size_t *len_out)
{
	char path[PATH_MAX];
	struct stat st;
	uint8_t *bytes = NULL;
	size_t len = 0;
	ssize_t n = 1;
	int fd;

	*bytes_out = NULL;
	*len_out = 0;
	if (heads == NULL)
		return KMN_E_NOT_FOUND;
	name_file(heads, name, path);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) < 0)
		return errno == ENOENT ? KMN_E_NOT_FOUND : KMN_E_IO;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < 0 || (size_t)st.st_size > max_bytes ||
	    (bytes = malloc((size_t)st.st_size + 1)) == NULL) {
		(void)close(fd);
		return KMN_E_TOO_BIG;
	}
	while (len < (size_t)st.st_size &&
	       ((n = read(fd, bytes + len, (size_t)st.st_size - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? (size_t)n : 0;
	(void)close(fd);
	if (n < 0) {
		free(bytes);
		return KMN_E_IO;
	}
	*bytes_out = bytes;
	*len_out = len;
	return KMN_OK;
}

void
kmn_heads_remove_file(const struct kmn_heads *heads, const char *name)
{
	char path[PATH_MAX];

	if (heads == NULL)
		return;
	name_file(heads, name, path);
	(void)unlink(path);
}
