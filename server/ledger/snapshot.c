/*
 * state/snapshot: which records make up the owner's state at some size. It is
 * authenticated with a key made of the log key, for whoever could choose the
 * records could choose the state (leave out that an approval was used).
 *
 *	kanmon/snapshot/v1
 *	ORIGIN
 *	B64(who chose)
 *	SIZE B64(root)
 *	INDEX		(one line each, ascending)
 *	B64(MAC over all lines before)
 */
#include "config.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/ledger/inner.h"

#define TITLE "kanmon/snapshot/v1"
#define HASH_B64 KMN_B64_LEN(KMN_HASH_BYTES)
#define HEAD_ROOM (sizeof(TITLE) + KMN_NOTE_NAME_MAX_BYTES + 1 + 3 * (HASH_B64 + 2) + 17)

/* Another key than the one that signs: what it says is for this reader alone. */
static void
mac(const uint8_t *secret, const void *bytes, size_t len, uint8_t out[KMN_HASH_BYTES])
{
	uint8_t key[crypto_auth_KEYBYTES];

	_Static_assert(crypto_auth_KEYBYTES == KMN_HASH_BYTES && crypto_auth_BYTES == KMN_HASH_BYTES, "sizes");
	/* the first half of an Ed25519 secret is its seed */
	(void)crypto_auth(key, (const uint8_t *)TITLE, sizeof(TITLE) - 1, secret);
	(void)crypto_auth(out, bytes, len, key);
	sodium_memzero(key, sizeof(key));
}

kmn_err
kmn_snapshot_write(
    const struct kmn_snapshot *snapshot, const char *origin, const uint8_t *secret, char **bytes_out, size_t *len_out)
{
	char by[HASH_B64 + 1], root[HASH_B64 + 1], tag[HASH_B64 + 1], *bytes;
	size_t room = HEAD_ROOM + snapshot->count * 17, len;
	uint8_t out[KMN_HASH_BYTES];

	*bytes_out = NULL;
	*len_out = 0;
	if ((bytes = malloc(room)) == NULL)
		return KMN_E_NO_MEMORY;
	kmn_b64(snapshot->by, KMN_HASH_BYTES, by);
	kmn_b64(snapshot->head.root, KMN_HASH_BYTES, root);
	len = (size_t)snprintf(bytes, room, TITLE "\n%s\n%s\n%" PRIu64 " %s\n", origin, by, snapshot->head.size, root);
	for (size_t n = 0; n < snapshot->count; n++)
		len += (size_t)snprintf(bytes + len, room - len, "%" PRIu64 "\n", snapshot->index[n]);
	mac(secret, bytes, len, out);
	kmn_b64(out, sizeof(out), tag);
	len += (size_t)snprintf(bytes + len, room - len, "%s\n", tag);
	*bytes_out = bytes;
	*len_out = len;
	return KMN_OK;
}

static bool
take(const char **at, const char *end, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(end - *at) < len || memcmp(*at, word, len) != 0)
		return false;
	*at += len;
	return true;
}

static bool
take_hash(const char **at, const char *end, uint8_t out[KMN_HASH_BYTES])
{
	size_t len;

	if ((size_t)(end - *at) < HASH_B64 + 1 || kmn_b64_parse(*at, HASH_B64, out, KMN_HASH_BYTES, &len) != KMN_OK ||
	    (*at)[HASH_B64] != '\n')
		return false;
	*at += HASH_B64 + 1;
	return true;
}

/* Decimal, no leading zero, below 2^53, and what follows it. */
static bool
take_number(const char **at, const char *end, char then, uint64_t *out)
{
	const char *digits = *at;
	uint64_t n = 0;

	for (; *at < end && **at >= '0' && **at <= '9' && n <= KMN_JSON_INT_MAX; (*at)++)
		n = n * 10 + (uint64_t)(**at - '0');
	*out = n;
	return *at > digits && (*digits != '0' || *at == digits + 1) && n <= KMN_JSON_INT_MAX && *at < end &&
	       *(*at)++ == then;
}

kmn_err
kmn_snapshot_parse(const char *at, size_t len, const char *origin, struct kmn_snapshot *snapshot)
{
	const char *end = at + len;
	size_t room;

	memset(snapshot, 0, sizeof(*snapshot));
	if (!take(&at, end, TITLE "\n") || !take(&at, end, origin) || !take(&at, end, "\n") ||
	    !take_hash(&at, end, snapshot->by) || !take_number(&at, end, ' ', &snapshot->head.size) ||
	    !take_hash(&at, end, snapshot->head.root))
		return KMN_E_MALFORMED;
	room = (size_t)(end - at) / 2; /* a line is at least a digit and LF */
	if ((snapshot->index = malloc((room + 1) * sizeof(*snapshot->index))) == NULL)
		return KMN_E_NO_MEMORY;
	while (at < end) {
		uint64_t *index = &snapshot->index[snapshot->count];

		if (!take_number(&at, end, '\n', index) || *index >= snapshot->head.size ||
		    (snapshot->count > 0 && *index <= index[-1])) {
			kmn_snapshot_clear(snapshot);
			return KMN_E_MALFORMED;
		}
		snapshot->count++;
	}
	return KMN_OK;
}

kmn_err
kmn_snapshot_read(
    const char *bytes, size_t len, const char *origin, const uint8_t *secret, struct kmn_snapshot *snapshot)
{
	uint8_t said[KMN_HASH_BYTES], is[KMN_HASH_BYTES];
	size_t before = len < HASH_B64 + 1 ? 0 : len - HASH_B64 - 1;
	const char *at = bytes + before;

	memset(snapshot, 0, sizeof(*snapshot));
	if (!take_hash(&at, bytes + len, said))
		return KMN_E_MALFORMED;
	mac(secret, bytes, before, is);
	return sodium_memcmp(said, is, sizeof(is)) == 0 ? kmn_snapshot_parse(bytes, before, origin, snapshot)
							: KMN_E_SIGNATURE;
}

void
kmn_snapshot_clear(struct kmn_snapshot *snapshot)
{
	free(snapshot->index);
	memset(snapshot, 0, sizeof(*snapshot));
}

bool
kmn_snapshot_load(struct kmn_log *log, const uint8_t by[KMN_HASH_BYTES], struct kmn_snapshot *snapshot)
{
	char *bytes = NULL;
	size_t len;
	bool good;

	memset(snapshot, 0, sizeof(*snapshot));
	good = kmn_store_read(log->store, "state/snapshot", KMN_SNAPSHOT_MAX_BYTES, &bytes, &len) == KMN_OK &&
	       kmn_snapshot_read(bytes, len, log->ahead.origin, log->secret, snapshot) == KMN_OK &&
	       memcmp(snapshot->by, by, KMN_HASH_BYTES) == 0;
	free(bytes);
	if (!good)
		kmn_snapshot_clear(snapshot);
	return good;
}

/* ---- the owner hands one over, the committer writes it ----------------------------------------------------------- */

kmn_err
kmn_log_snapshot(struct kmn_log *log, const uint64_t *index, size_t count)
{
	struct kmn_snapshot snapshot = {.index = (uint64_t *)(uintptr_t)index, .count = count};
	char *bytes, *before;
	size_t len;
	kmn_err e;

	memcpy(snapshot.by, log->snapshot_by, sizeof(snapshot.by));
	kmn_frontier_head(&log->ahead.front, &snapshot.head);
	if ((e = kmn_snapshot_write(&snapshot, log->vkey.name, log->secret, &bytes, &len)) != KMN_OK)
		return e;
	if (len > KMN_SNAPSHOT_MAX_BYTES) { /* the next start reads everything */
		free(bytes);
		return KMN_OK;
	}
	pthread_mutex_lock(&log->mutex);
	before = log->snapshot;
	log->snapshot = bytes;
	log->snapshot_len = len;
	log->snapshot_size = snapshot.head.size;
	pthread_mutex_unlock(&log->mutex);
	free(before);
	return KMN_OK;
}
