/*
 * bend_records LEDGER: every member of every record that quorum looks at,
 * replaced by a value of each other kind and left out in turn. Whoever has the
 * log key can write such a ledger; an auditor must get findings of it, never a
 * crash. Prints how many were tried and how many were found.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/log.h"
#include "kanmon/quorum.h"
#include "kanmon/verify.h"

#define RECORDS_MAX 512

static struct kmn_record records[RECORDS_MAX];
static size_t count;
static unsigned tried, found;
static struct kmn_store *store;

static kmn_err
blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	(void)cookie;
	return kmn_blob_read(store, sha256, bytes_out, len_out);
}

static kmn_err
take(void *cookie, const struct kmn_record *record, const struct kmn_place *place)
{
	(void)cookie;
	(void)place;
	if (record->kind == KMN_R_SESSION || record->kind == KMN_R_CHANNEL_OPEN ||
	    record->kind == KMN_R_CHANNEL_COUNTS || record->kind == KMN_R_CHANNEL_CLOSE || count == RECORDS_MAX)
		return KMN_OK;
	records[count] = *record;
	records[count].owner = json_deep_copy(record->owner);
	records[count].body = json_object_get(records[count].owner, "body");
	records[count].type = kmn_record_name(record->kind);
	count++;
	return KMN_OK;
}

/* Applies all records as they now are; how many findings. */
static unsigned
apply_all(void)
{
	struct kmn_quorum_settings settings = {.blob = blob};
	struct kmn_quorum *quorum;
	struct kmn_quorum_counts counts;
	struct kmn_finding finding;
	unsigned findings = 0;

	if (kmn_quorum_new(&settings, &quorum) != KMN_OK)
		abort();
	for (size_t n = 0; n < count; n++)
		findings += kmn_quorum_apply(quorum, &records[n], &finding) != KMN_OK;
	kmn_quorum_counts(quorum, &counts);
	kmn_quorum_free(quorum);
	return findings;
}

static json_t *
stranger(unsigned n)
{
	switch (n) {
	case 0:
		return json_integer(0);
	case 1:
		return json_string("");
	case 2:
		return json_object();
	default:
		return json_array();
	}
}

static void
try_it(void)
{
	tried++;
	found += apply_all() > 0;
}

/* Bends each member of an object and what is in it, one at a time. */
static void
bend(json_t *object)
{
	size_t names = json_object_size(object), at = 0;
	const char **name = calloc(names + 1, sizeof(*name));
	void *it;

	if (name == NULL)
		abort();
	for (it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it))
		name[at++] = json_object_iter_key(it);
	for (at = 0; at < names; at++) {
		char key[KMN_JSON_NAME_MAX_BYTES + 1];
		json_t *kept = json_incref(json_object_get(object, name[at]));

		(void)snprintf(key, sizeof(key), "%s", name[at]);
		if (json_is_object(kept))
			bend(kept);
		for (unsigned n = 0; n < 4; n++) {
			(void)json_object_set_new(object, key, stranger(n));
			try_it();
		}
		(void)json_object_del(object, key);
		try_it();
		(void)json_object_set(object, key, kept);
		json_decref(kept);
	}
	free(name);
}

int
main(int argc, char **argv)
{
	struct kmn_why why;

	if (argc != 2 || sodium_init() < 0 || kmn_store_files(argv[1], &store) != KMN_OK)
		return 2;
	if (kmn_ledger_read(store, take, NULL, &why) != KMN_OK || apply_all() != 0)
		return 1;
	for (size_t n = 0; n < count; n++)
		bend((json_t *)(uintptr_t)records[n].body);
	(void)printf("%zu records, %u bent, %u found\n", count, tried, found);
	for (size_t n = 0; n < count; n++)
		kmn_record_clear(&records[n]);
	kmn_store_files_free(store);
	return 0;
}
