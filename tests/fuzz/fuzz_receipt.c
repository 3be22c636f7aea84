/* Receipts, as a provider gets them from a gateway that it does not trust. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/receipt.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What reads is what would have been written. */
static void
look_at_form(const struct kmn_receipt *receipt, const uint8_t *bytes, size_t len)
{
	struct kmn_writer w;

	kmn_writer_init(&w, KMN_RECEIPT_MAX_BYTES);
	kmn_receipt_put(receipt, &w);
	if (w.err != KMN_OK || w.len != len || memcmp(w.bytes, bytes, len) != 0)
		abort();
	kmn_writer_clear(&w);
}

/* Nothing holds for a client that pinned no key; until the head is refused, nothing of the record is looked at. */
static void
look_at_unpinned(struct kmn_receipt_expect expect, const struct kmn_receipt *receipt)
{
	struct kmn_receipt_found found;

	expect.before.size = 0;
	if (kmn_receipt_check(&expect, receipt, &found, NULL) == KMN_RECEIPT_NONE)
		abort();
	kmn_receipt_found_clear(&found);
}

/* The head is believed, so that everything behind it is reached. */
static void
look_at_record(struct kmn_receipt_expect expect, const struct kmn_receipt *receipt)
{
	struct kmn_receipt_found found;
	struct kmn_receipt with = *receipt;

	with.note = NULL;
	with.has_consistency = false;
	expect.before.size = expect.accepted.size = receipt->size;
	if (kmn_receipt_check(&expect, &with, &found, NULL) == KMN_RECEIPT_NONE && with.line != NULL &&
	    found.record.type == NULL)
		abort();
	kmn_receipt_found_clear(&found);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct kmn_receipt_value value[] = {
	    {"in", KMN_SHOW_DIGEST, "data", 4}, {"out", KMN_SHOW_COMMITMENT, "plain", 5}};
	struct kmn_receipt_expect expect = {.origin = "kanmon.example/gw1/2026", .value = value, .value_count = 2};
	struct kmn_receipt receipt;
	struct kmn_path path;

	if (kmn_receipt_path_decode(bytes, len, &path) == KMN_OK && path.count * KMN_HASH_BYTES != len)
		abort();
	if (kmn_receipt_decode(bytes, len, &receipt) != KMN_OK) {
		if (receipt.line != NULL || receipt.note != NULL || receipt.opening_count != 0)
			abort();
		return 0;
	}
	look_at_form(&receipt, bytes, len);
	expect.row = receipt.line != NULL ? kmn_call_row(KMN_C_Sign) : NULL;
	look_at_unpinned(expect, &receipt);
	look_at_record(expect, &receipt);
	return 0;
}
