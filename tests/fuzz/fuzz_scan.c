/* Record lines, read twice: the scanner without a tree says of every line what parsing and writing again says. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void
same(bool holds)
{
	if (!holds)
		abort();
}

static void
compare_inside(const struct kmn_member *object, json_t *value)
{
	struct kmn_member inside;
	const char *name;
	json_t *member;

	same(!kmn_member_get(object, "no such member there", &inside));
	json_object_foreach(value, name, member)
	{
		uint8_t a[KMN_HASH_BYTES], b[KMN_HASH_BYTES];
		bool is_hash = kmn_json_get_b64(value, name, a, sizeof(a));

		same(kmn_member_get(object, name, &inside) && (inside.type == 's') == json_is_string(member));
		same(kmn_member_hash(&inside, b) == is_hash && (!is_hash || memcmp(a, b, sizeof(a)) == 0));
	}
}

static void
compare_members(const struct kmn_scan *scan, const struct kmn_record *record)
{
	struct kmn_ref a, b;
	uint64_t n, m;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)record->body, name, value)
	{
		bool is_ref = kmn_ref_get(record->body, name, &a),
		     is_number = kmn_json_get_number(record->body, name, &n);

		same(kmn_scan_member(scan, name) != NULL || scan->count > KMN_BODY_MEMBERS_MAX);
		if (scan->count > KMN_BODY_MEMBERS_MAX)
			continue;
		same(kmn_scan_ref(scan, name, &b) == is_ref &&
		     (!is_ref || (a.i == b.i && memcmp(a.leaf, b.leaf, 32) == 0)));
		same(kmn_scan_number(scan, name, &m) == is_number && (!is_number || n == m));
		compare_inside(kmn_scan_member(scan, name), value);
		for (size_t at = 0; at < json_array_size(value); at++) {
			if (!kmn_ref_parse(json_array_get(value, at), &a))
				break;
			same(kmn_scan_ref_at(scan, name, at, &b) && a.i == b.i);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct kmn_scan scan;
	struct kmn_record record;
	struct kmn_why why;
	kmn_err e = kmn_record_parse((const char *)bytes, len, &record, &why);

	same(kmn_scan_line((const char *)bytes, len, &scan) == (e == KMN_OK));
	if (e != KMN_OK)
		return 0;
	same(scan.i == record.i && scan.t == record.t && scan.m == record.m && scan.kind == record.kind);
	same(memcmp(scan.prev, record.prev, sizeof(scan.prev)) == 0);
	same(memcmp(scan.nonce, record.nonce, sizeof(scan.nonce)) == 0);
	same(kmn_scan_check(&scan, &why) == kmn_record_check(record.kind, record.body, &why));
	compare_members(&scan, &record);
	kmn_record_clear(&record);
	return 0;
}
