/* A segment as a verifier and a reader meet it: the whole ledger is this one file. */
#include <stdlib.h>
#include <string.h>

#include "kanmon/verify.h"
#include "tests/fuzz/one_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

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
	struct one_file file = one_file(bytes, len);
	struct kmn_verify_settings settings = {.store = &file.store, .trust = &trust};
	struct kmn_verify_report report;
	struct kmn_why why;
	uint64_t records = 0;
	kmn_err e;

	memcpy(trust.origin, origin, sizeof(origin));
	e = kmn_ledger_read(&file.store, count, &records, &why);
	if (kmn_verify(&settings, &report) != KMN_OK)
		abort();
	if (report.exit_code == 0) /* no head was signed by the key of this trust: it can never be verified */
		abort();
	if (e == KMN_OK && report.records != records && report.count[KMN_V1] == 0)
		abort();
	return 0;
}
