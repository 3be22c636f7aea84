/* The file of a guard: two slots, compare and swap. */
#include "config.h"

#include "kanmon/guard.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* The note of one slot; false: the slot holds none of this ledger's. Its filling is LF, and a note ends with one LF. */
static bool
read_slot(const char *bytes, size_t len, const struct kmn_vkey *log, struct kmn_head *head_out)
{
	struct kmn_note note;
	size_t verified;
	bool by[1];

	while (len > 1 && bytes[len - 1] == '\n' && bytes[len - 2] == '\n')
		len--;
	return kmn_note_parse(bytes, len, &note, NULL) == KMN_OK &&
	       kmn_note_verify(&note, log, 1, by, &verified, NULL) == KMN_OK && verified == 1 &&
	       kmn_checkpoint_parse(&note, log->name, head_out, NULL) == KMN_OK;
}

/* Never written: no byte, or the zeros and line ends of a file that was made longer. */
static bool
is_blank(const char *bytes, size_t len)
{
	for (size_t n = 0; n < len; n++)
		if (bytes[n] != '\0' && bytes[n] != '\n')
			return false;
	return true;
}

kmn_err
kmn_guard_parse(
    const char *bytes, size_t len, const struct kmn_vkey *log, struct kmn_guard_seen *seen_out, struct kmn_why *why)
{
	bool found = false;

	memset(seen_out, 0, sizeof(*seen_out));
	for (unsigned slot = 0; slot < 2 && slot * (size_t)KMN_GUARD_SLOT_BYTES < len; slot++) {
		const char *at = bytes + slot * (size_t)KMN_GUARD_SLOT_BYTES;
		size_t rest = len - slot * (size_t)KMN_GUARD_SLOT_BYTES;
		struct kmn_head head;

		if (!read_slot(at, rest < KMN_GUARD_SLOT_BYTES ? rest : KMN_GUARD_SLOT_BYTES, log, &head) ||
		    (found && head.size <= seen_out->head.size))
			continue;
		*seen_out = (struct kmn_guard_seen){.head = head, .slot = slot};
		found = true;
	}
	if (found)
		return KMN_OK;
	seen_out->fresh = is_blank(bytes, len);
	if (seen_out->fresh) {
		kmn_frontier_head(&(struct kmn_frontier){.size = 0}, &seen_out->head);
		return KMN_OK;
	}
	kmn_why_set(why, "it holds no note that this ledger's key signed");
	return KMN_E_CORRUPT;
}

kmn_err
kmn_guard_lock(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return KMN_OK;
	return errno == EWOULDBLOCK ? KMN_E_BUSY : KMN_E_IO;
}

kmn_err
kmn_guard_read(int fd, const struct kmn_vkey *log, struct kmn_guard_seen *seen_out, struct kmn_why *why)
{
	char bytes[KMN_GUARD_FILE_BYTES];
	size_t len = 0;
	ssize_t n;

	memset(seen_out, 0, sizeof(*seen_out));
	do {
		n = pread(fd, bytes + len, sizeof(bytes) - len, (off_t)len);
		len += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && len < sizeof(bytes)) || (n < 0 && errno == EINTR));
	if (n < 0) {
		kmn_why_set(why, "it cannot be read: %s", strerror(errno));
		return KMN_E_IO;
	}
	return kmn_guard_parse(bytes, len, log, seen_out, why);
}

static kmn_err
write_slot(int fd, unsigned slot, const char *note, size_t len, struct kmn_why *why)
{
	char bytes[KMN_GUARD_SLOT_BYTES];
	size_t at = 0;
	ssize_t n = 0;

	memcpy(bytes, note, len);
	memset(bytes + len, '\n', sizeof(bytes) - len);
	while (at < sizeof(bytes) && (n >= 0 || errno == EINTR)) {
		n = pwrite(fd, bytes + at, sizeof(bytes) - at, (off_t)(slot * (size_t)KMN_GUARD_SLOT_BYTES + at));
		at += n > 0 ? (size_t)n : 0;
	}
	if (at == sizeof(bytes) && fdatasync(fd) == 0)
		return KMN_OK;
	kmn_why_set(why, "it cannot be written: %s", strerror(errno));
	return KMN_E_IO;
}

bool
kmn_guard_same(const struct kmn_guard_seen *a, const struct kmn_guard_seen *b)
{
	return a->fresh == b->fresh && a->head.size == b->head.size &&
	       memcmp(a->head.root, b->head.root, KMN_HASH_BYTES) == 0;
}

kmn_err
kmn_guard_swap(int fd, const struct kmn_vkey *log, struct kmn_guard_seen *seen, const struct kmn_head *next,
    const char *note, size_t len, struct kmn_why *why)
{
	struct kmn_guard_seen there;
	bool back = next->size <= seen->head.size;
	unsigned slot;
	kmn_err e;

	if (len >= KMN_GUARD_SLOT_BYTES) {
		kmn_why_set(why, "the note is too long for it");
		return KMN_E_TOO_BIG;
	}
	if ((e = kmn_guard_read(fd, log, &there, why)) != KMN_OK)
		return e;
	/* A write that failed may have come through all the same. */
	if (there.head.size == next->size && memcmp(there.head.root, next->root, KMN_HASH_BYTES) == 0 && !there.fresh) {
		*seen = there;
		return KMN_OK;
	}
	if (!kmn_guard_same(&there, seen)) {
		kmn_why_set(
		    why, "another writer put a head of %llu records there", (unsigned long long)there.head.size);
		return KMN_E_BUSY;
	}
	slot = there.fresh ? 0 : 1 - there.slot;
	if ((e = write_slot(fd, slot, note, len, why)) == KMN_OK && back && !there.fresh)
		e = write_slot(fd, 1 - slot, note, len, why);
	if (e == KMN_OK)
		*seen = (struct kmn_guard_seen){.head = *next, .slot = slot};
	return e;
}
