/* A segment as a verifier and a reader meet it: the whole ledger is this one file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* A store whose only file is the segment. */
struct one_file {
	struct kmn_store store; /* first: the two are one address */
	const uint8_t *bytes;
	size_t len;
};

static int
one_open(struct kmn_store *store, const char *name, int flags)
{
	(void)store;
	(void)flags;
	return strcmp(name, "seg/00000000000000000000.kl") == 0 ? 1 : -ENOENT;
}

static int
one_close(struct kmn_store *store, int fd)
{
	(void)store;
	(void)fd;
	return 0;
}

static ssize_t
one_pread(struct kmn_store *store, int fd, void *out, size_t len, uint64_t offset)
{
	const struct one_file *file = (struct one_file *)store;

	(void)fd;
	if (offset >= file->len)
		return 0;
	if (len > file->len - offset)
		len = file->len - offset;
	memcpy(out, file->bytes + offset, len);
	return (ssize_t)len;
}

static int64_t
one_size(struct kmn_store *store, int fd)
{
	(void)fd;
	return (int64_t)((struct one_file *)store)->len;
}

static int
one_list(struct kmn_store *store, const char *folder, int (*each)(void *cookie, const char *name), void *cookie)
{
	(void)store;
	return strcmp(folder, "seg") == 0 ? each(cookie, "00000000000000000000.kl") : 0;
}

static kmn_err
count(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	uint64_t *next = cookie;

	if (record->i != (*next)++ || place->index != record->i)
		abort();
	return KMN_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const char origin[] = "kanmon.example/gw1/2026";
	static struct kmn_trust trust;
	struct one_file file = {.bytes = bytes, .len = len};
	struct kmn_verify_settings settings = {.store = &file.store, .trust = &trust};
	struct kmn_verify_report report;
	struct kmn_why why;
	uint64_t records = 0;
	kmn_err e;

	memcpy(trust.origin, origin, sizeof(origin));
	file.store.open = one_open;
	file.store.close = one_close;
	file.store.pread = one_pread;
	file.store.size = one_size;
	file.store.list = one_list;
	e = kmn_ledger_read(&file.store, count, &records, &why);
	if (kmn_verify(&settings, &report) != KMN_OK)
		abort();
	if (report.exit_code == 0) /* no head was signed by the key of this trust: it can never be verified */
		abort();
	if (e == KMN_OK && report.records != records && report.count[KMN_V1] == 0)
		abort();
	return 0;
}
