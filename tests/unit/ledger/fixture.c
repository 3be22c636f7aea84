#include "config.h"

#include "tests/unit/ledger/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/run.h"

static void
must(bool ok, const char *what)
{
	if (!ok) {
		perror(what);
		abort();
	}
}

static struct faulty *
faulty(struct kmn_store *store)
{
	return (struct faulty *)store;
}

/* Counts a call that changes something; true: this one has to fail. */
static bool
fails(struct kmn_store *store)
{
	struct faulty *f = faulty(store);
	unsigned call = ++f->calls;

	if (f->fail_at != 0 && call > f->fail_at)
		f->after++;
	return call == f->fail_at;
}

static int
faulty_open(struct kmn_store *store, const char *name, int flags)
{
	if ((flags & (O_CREAT | O_TRUNC)) != 0 && fails(store))
		return -faulty(store)->fail_errno;
	return faulty(store)->real->open(faulty(store)->real, name, flags);
}

static int
faulty_close(struct kmn_store *store, int fd)
{
	return faulty(store)->real->close(faulty(store)->real, fd);
}

static ssize_t
faulty_pread(struct kmn_store *store, int fd, void *out, size_t len, uint64_t offset)
{
	return faulty(store)->real->pread(faulty(store)->real, fd, out, len, offset);
}

static ssize_t
faulty_pwrite(struct kmn_store *store, int fd, const void *bytes, size_t len, uint64_t offset)
{
	if (fails(store)) { /* half of it reaches the disk */
		(void)faulty(store)->real->pwrite(faulty(store)->real, fd, bytes, len / 2, offset);
		return -faulty(store)->fail_errno;
	}
	if (faulty(store)->short_writes && len > 1)
		len /= 2;
	return faulty(store)->real->pwrite(faulty(store)->real, fd, bytes, len, offset);
}

static int
faulty_sync(struct kmn_store *store, int fd)
{
	if (fails(store))
		return -faulty(store)->fail_errno;
	return faulty(store)->sync ? faulty(store)->real->sync(faulty(store)->real, fd) : 0;
}

static int
faulty_datasync(struct kmn_store *store, int fd)
{
	if (fails(store))
		return -faulty(store)->fail_errno;
	return faulty(store)->sync ? faulty(store)->real->datasync(faulty(store)->real, fd) : 0;
}

static int
faulty_truncate(struct kmn_store *store, int fd, uint64_t len)
{
	return fails(store) ? -faulty(store)->fail_errno : faulty(store)->real->truncate(faulty(store)->real, fd, len);
}

static int64_t
faulty_size(struct kmn_store *store, int fd)
{
	return faulty(store)->real->size(faulty(store)->real, fd);
}

static int
faulty_rename(struct kmn_store *store, const char *from, const char *to)
{
	return fails(store) ? -faulty(store)->fail_errno : faulty(store)->real->rename(faulty(store)->real, from, to);
}

static int
faulty_mkdir(struct kmn_store *store, const char *name)
{
	return fails(store) ? -faulty(store)->fail_errno : faulty(store)->real->mkdir(faulty(store)->real, name);
}

static int
faulty_lock(struct kmn_store *store, int fd)
{
	return faulty(store)->real->lock(faulty(store)->real, fd);
}

static int
faulty_list(struct kmn_store *store, const char *folder, int (*each)(void *cookie, const char *name), void *cookie)
{
	return faulty(store)->real->list(faulty(store)->real, folder, each, cookie);
}

static uint64_t
fixture_now(void *cookie)
{
	return ((struct fixture *)cookie)->now++;
}

static uint64_t
fixture_boot(void *cookie)
{
	return ((struct fixture *)cookie)->boot++;
}

static void
fixture_random(void *cookie, void *out, size_t len)
{
	uint8_t hash[KMN_HASH_BYTES];

	((struct fixture *)cookie)->dice++;
	kmn_sha256(&((struct fixture *)cookie)->dice, sizeof(uint64_t), hash);
	memcpy(out, hash, len);
}

void
fixture_up(struct fixture *f)
{
	uint8_t seed[KMN_HASH_BYTES], pub[KMN_ED25519_PUBLIC_BYTES];

	memset(f, 0, sizeof(*f));
	/* memory where there is some: these tests make thousands of files */
	(void)snprintf(
	    f->path, sizeof(f->path), "%s/kmn-ledger.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	must(sodium_init() >= 0 && mkdtemp(f->path) != NULL, "mkdtemp");
	must(kmn_store_files(f->path, &f->disk.real) == KMN_OK, "store");
	f->disk.store =
	    (struct kmn_store){faulty_open, faulty_close, faulty_pread, faulty_pwrite, faulty_sync, faulty_datasync,
		faulty_truncate, faulty_size, faulty_rename, faulty_mkdir, faulty_lock, faulty_list, NULL, NULL};
	kmn_sha256("kanmon test vector: log key", 27, seed);
	(void)crypto_sign_ed25519_seed_keypair(pub, f->secret, seed);
	must(kmn_vkey_make(FIXTURE_ORIGIN, pub, &f->vkey) == KMN_OK, "vkey");
	f->now = 1790000000000;
	f->boot = 1000;
	f->settings = (struct kmn_log_settings){.store = &f->disk.store,
	    .origin = FIXTURE_ORIGIN,
	    .secret = f->secret,
	    .sources = {fixture_now, fixture_boot, fixture_random, f}};
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

void
fixture_down(struct fixture *f)
{
	kmn_store_files_free(f->disk.real);
	must(nftw(f->path, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0, "nftw");
}

void
fixture_heal(struct fixture *f)
{
	f->disk.calls = 0;
	f->disk.after = 0;
	f->disk.fail_at = 0;
	f->disk.short_writes = false;
}

json_t *
fixture_genesis(const struct fixture *f)
{
	char vkey[KMN_VKEY_MAX_BYTES];

	kmn_vkey_format(&f->vkey, vkey);
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:s}, s:{}}", "origin", FIXTURE_ORIGIN, "suite", "K1", "vkey", vkey,
	    "policy", "no policy\n", "hsm", "model", "none", "limits");
}

json_t *
fixture_clock(unsigned n)
{
	return json_pack(
	    "{s:i, s:i, s:s, s:s}", "before", (int)n, "after", (int)n + 1, "source", "test", "reason", "none");
}

void
fixture_create(struct fixture *f)
{
	struct kmn_why why = {""};
	kmn_err e = kmn_log_create(&f->settings, fixture_genesis(f), &why);

	if (e != KMN_OK)
		(void)fprintf(stderr, "# %s: %s\n", kmn_err_name(e), why.text);
	CU_ASSERT_EQUAL_FATAL(e, KMN_OK);
}

static kmn_err
count_record(void *cookie, const struct kmn_record *record)
{
	uint64_t *count = cookie;

	return record->i == (*count)++ ? KMN_OK : KMN_E_INTERNAL;
}

struct kmn_log *
fixture_open(struct fixture *f, uint64_t *replayed_out, struct kmn_recovery *recovery_out)
{
	struct kmn_recovery recovery;
	struct kmn_log *log;
	struct kmn_why why = {""};
	uint64_t count = 0;
	kmn_err e = kmn_log_open(&f->settings, count_record, &count, &recovery, &log, &why);

	if (e != KMN_OK)
		(void)fprintf(stderr, "# %s: %s\n", kmn_err_name(e), why.text);
	CU_ASSERT_EQUAL_FATAL(e, KMN_OK);
	if (replayed_out != NULL)
		*replayed_out = count;
	if (recovery_out != NULL)
		*recovery_out = recovery;
	return log;
}

void
fixture_batch(struct kmn_log *log, unsigned count)
{
	for (unsigned n = 0; n < count; n++)
		CU_ASSERT_EQUAL(kmn_log_append(log, KMN_R_CLOCK, fixture_clock(n), NULL, NULL, NULL), KMN_OK);
	CU_ASSERT_EQUAL(kmn_log_wait(log), KMN_OK);
}

static void
path_of(const struct fixture *f, const char *name, char out[256])
{
	(void)snprintf(out, 256, "%s/%s", f->path, name);
}

char *
fixture_read(const struct fixture *f, const char *name, size_t *len_out)
{
	char *bytes;

	CU_ASSERT_EQUAL_FATAL(kmn_store_read(f->disk.real, name, SIZE_MAX / 2, &bytes, len_out), KMN_OK);
	return bytes;
}

void
fixture_write(const struct fixture *f, const char *name, const void *bytes, size_t len)
{
	char path[256];
	FILE *file;

	path_of(f, name, path);
	must((file = fopen(path, "wb")) != NULL, path);
	must(fwrite(bytes, 1, len, file) == len && fclose(file) == 0, path);
}

void
fixture_unlink(const struct fixture *f, const char *name)
{
	char path[256];

	path_of(f, name, path);
	must(remove(path) == 0 || errno == ENOENT, path);
}

bool
fixture_exists(const struct fixture *f, const char *name)
{
	char path[256];

	path_of(f, name, path);
	return access(path, F_OK) == 0;
}
