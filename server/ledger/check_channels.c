/*
 * V8 of channels: a record that came over a channel names one that was open in that life of the gateway, an intent's
 * requester is who the channel's certificate says, and the answer went to the client that had asked. Who leaves out a
 * channel.open, or puts other words into its peer, would otherwise hide where a call came from.
 */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/scan.h"
#include "server/ledger/verify.h"

struct channel {
	uint64_t i; /* of its channel.open, which is its name */
	uint8_t spki_sha256[KMN_HASH_BYTES];
	char name[KMN_NOTE_NAME_MAX_BYTES + 1];
	bool closed;
};

/* Who asked: by intent, in the order of the ledger. */
struct asked {
	uint64_t i;
	uint8_t spki_sha256[KMN_HASH_BYTES];
};

struct channels {
	const struct kmn_checking *checking;
	struct channel *row;
	size_t count, room;
	size_t life; /* rows before this one are of a life of the gateway that is over */
	struct asked *asked;
	size_t asked_count, asked_room;
};

#define say(channels, place, ...) kmn_checker_say((channels)->checking, KMN_V8, KMN_FINDING, place, __VA_ARGS__)

static kmn_err
begin(const struct kmn_checking *checking, void **state_out)
{
	struct channels *channels = calloc(1, sizeof(*channels));

	if ((*state_out = channels) == NULL)
		return KMN_E_NO_MEMORY;
	channels->checking = checking;
	return KMN_OK;
}

/* Room for one more row; *rows is moved. */
static kmn_err
grow(void *rows, size_t size, size_t count, size_t *room)
{
	void **at = rows, *grown;

	if (count < *room)
		return KMN_OK;
	if ((grown = realloc(*at, (*room * 2 + 64) * size)) == NULL)
		return KMN_E_NO_MEMORY;
	*at = grown;
	*room = *room * 2 + 64;
	return KMN_OK;
}

static kmn_err
open_channel(struct channels *channels, const struct kmn_record *record, const struct kmn_place *place)
{
	const struct kmn_member *peer = kmn_scan_member(record->scan, "peer");
	struct kmn_member name, key;
	struct channel *row;
	uint64_t chan;
	kmn_err e;

	if ((e = grow(&channels->row, sizeof(*row), channels->count, &channels->room)) != KMN_OK)
		return e;
	row = &channels->row[channels->count++];
	*row = (struct channel){.i = record->i};
	if (!kmn_scan_number(record->scan, "chan", &chan) || chan != record->i)
		say(channels, place, "a channel that is not named by its own record");
	if (!kmn_member_get(peer, "spki_sha256", &key) || !kmn_member_hash(&key, row->spki_sha256) ||
	    !kmn_member_get(peer, "name", &name) || name.type != 's' || name.len >= sizeof(row->name))
		say(channels, place, "a channel without the name and key of its peer");
	else
		memcpy(row->name, name.value, name.len); /* as it stands there, quotes included */
	return KMN_OK;
}

/* Rows are in the order of their names. NULL, and said: there is no such channel in this life of the gateway. */
static struct channel *
channel_of(struct channels *channels, const struct kmn_record *record, const struct kmn_place *place)
{
	size_t low = channels->life, high = channels->count;
	uint64_t chan;

	if (!kmn_scan_number(record->scan, "chan", &chan))
		return NULL; /* a malformed body, said already */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (channels->row[middle].i == chan)
			return &channels->row[middle];
		if (channels->row[middle].i < chan)
			low = middle + 1;
		else
			high = middle;
	}
	say(channels, place, "channel %" PRIu64 " was not opened since the gateway started", chan);
	return NULL;
}

static kmn_err
take_intent(struct channels *channels, const struct channel *row, const struct kmn_record *record,
    const struct kmn_place *place)
{
	const struct kmn_member *requester = kmn_scan_member(record->scan, "requester");
	struct kmn_member name, key;
	struct asked *asked;
	kmn_err e;

	if ((e = grow(&channels->asked, sizeof(*asked), channels->asked_count, &channels->asked_room)) != KMN_OK)
		return e;
	asked = &channels->asked[channels->asked_count++];
	*asked = (struct asked){.i = record->i};
	if (!kmn_member_get(requester, "spki_sha256", &key) || !kmn_member_hash(&key, asked->spki_sha256) ||
	    !kmn_member_get(requester, "name", &name) || name.type != 's') {
		say(channels, place, "an intent that does not say who asks");
		return KMN_OK;
	}
	if (row != NULL && (memcmp(row->spki_sha256, asked->spki_sha256, sizeof(asked->spki_sha256)) != 0 ||
			       strlen(row->name) != name.len || memcmp(row->name, name.value, name.len) != 0))
		say(channels, place, "the requester is not the peer of channel %" PRIu64, row->i);
	return KMN_OK;
}

static int
by_index(const void *key, const void *row)
{
	uint64_t i = *(const uint64_t *)key, there = ((const struct asked *)row)->i;

	return i < there ? -1 : i > there;
}

static void
take_result(struct channels *channels, const struct channel *row, const struct kmn_record *record,
    const struct kmn_place *place)
{
	const struct asked *asked;
	struct kmn_ref request;

	if (row == NULL || channels->asked_count == 0 || !kmn_scan_ref(record->scan, "request", &request))
		return;
	asked = bsearch(&request.i, channels->asked, channels->asked_count, sizeof(*asked), by_index);
	if (asked != NULL && memcmp(row->spki_sha256, asked->spki_sha256, sizeof(asked->spki_sha256)) != 0)
		say(channels, place, "the answer to record %" PRIu64 " went to another client, over channel %" PRIu64,
		    request.i, row->i);
}

/* Who complains is the peer of the channel that its call came over. */
static void
take_anomaly(struct channels *channels, const struct kmn_record *record, const struct kmn_place *place)
{
	const struct kmn_member *client = kmn_scan_member(record->scan, "client");
	const struct channel *row;

	if (client == NULL || (row = channel_of(channels, record, place)) == NULL)
		return;
	if (client->type != 's' || strlen(row->name) != client->len ||
	    memcmp(row->name, client->value, client->len) != 0)
		say(channels, place, "who refused a receipt is not the peer of channel %" PRIu64, row->i);
}

static kmn_err
take_record(void *state, const struct kmn_record *record, const struct kmn_place *place)
{
	struct channels *channels = state;
	struct channel *row;

	if (record->kind == KMN_R_GATEWAY_START) {
		channels->life = channels->count;
		return KMN_OK;
	}
	if (record->kind == KMN_R_CHANNEL_OPEN)
		return open_channel(channels, record, place);
	if (record->kind == KMN_R_ANOMALY) {
		take_anomaly(channels, record, place);
		return KMN_OK;
	}
	row = channel_of(channels, record, place);
	if (record->kind == KMN_R_INTENT)
		return take_intent(channels, row, record, place);
	if (record->kind == KMN_R_RESULT)
		take_result(channels, row, record, place);
	if (record->kind == KMN_R_CHANNEL_CLOSE && row != NULL) {
		if (row->closed)
			say(channels, place, "channel %" PRIu64 " was closed before", row->i);
		row->closed = true;
	}
	return KMN_OK;
}

static kmn_err
end(void *state)
{
	(void)state;
	return KMN_OK;
}

static void
clear(void *state)
{
	struct channels *channels = state;

	free(channels->row);
	free(channels->asked);
	free(channels);
}

#define KINDS \
	(KMN_KIND(GATEWAY_START) | KMN_KIND(CHANNEL_OPEN) | KMN_KIND(CHANNEL_COUNTS) | KMN_KIND(CHANNEL_CLOSE) | \
	    KMN_KIND(SESSION) | KMN_KIND(INTENT) | KMN_KIND(RESULT) | KMN_KIND(OP) | KMN_KIND(REDELIVER) | \
	    KMN_KIND(REDELIVERY) | KMN_KIND(ANOMALY))

const struct kmn_checker kmn_channels_checker = {"channels", KINDS, 0, begin, take_record, end, clear};
