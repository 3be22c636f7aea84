/*
 * Which function lists the modules behind have: each worker tells with its
 * first words, and a client may ask before it is an application (C_GetInterface
 * may come before C_Initialize).
 */
#include "config.h"

#include "server/keeper/state.h"

#define NO_REQUEST UINT64_MAX
#define VERSION_3_2 0x0302u /* last, where the modules lack it: asynchronous sessions are the gateway's own */

void
kmn_lists_read(struct kmn_lists *lists, struct kmn_reader *r)
{
	uint8_t n = kmn_reader_u8(r);

	if (n > KMN_LISTS_MAX)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
	*lists = (struct kmn_lists){.count = 0};
	for (uint8_t i = 0; i < n && r->err == KMN_OK; i++) {
		lists->version[i] = kmn_reader_u16(r);
		lists->flags[i] = kmn_reader_u64(r);
		lists->count++;
	}
}

static bool
has(const struct kmn_lists *lists, uint16_t version)
{
	for (unsigned i = 0; i < lists->count; i++)
		if (lists->version[i] == version)
			return true;
	return false;
}

/*
 * What all modules that the client may see have, in the order of the first. One that did not start has no say. False:
 * one of them has not said it yet, or there is none.
 */
static bool
offer(const struct kmn_keeper *k, const struct kmn_policy_peer *peer, struct kmn_lists *common)
{
	bool first = true;

	*common = (struct kmn_lists){.count = 0};
	for (unsigned m = 0; m < k->setup->module_count; m++) {
		const struct kmn_lists *lists = &k->lists[m];
		unsigned kept = 0;

		if (!kmn_branch_may_see(k, peer, m))
			continue;
		if (lists->count == 0 && k->house[m] == NULL)
			continue;
		if (lists->count == 0)
			return false;
		if (first)
			*common = *lists;
		first = false;
		for (unsigned i = 0; i < common->count; i++) {
			if (!has(lists, common->version[i]))
				continue;
			common->version[kept] = common->version[i];
			common->flags[kept++] = common->flags[i];
		}
		common->count = kept;
	}
	return !first;
}

void
kmn_interfaces_take(struct kmn_keeper *k, struct kmn_conn *conn, uint16_t version)
{
	struct kmn_lists common;
	struct kmn_writer w;

	if (version != KMN_FRAME_VERSION) {
		kmn_gatelink_refuse(
		    k, conn, 0, KMN_E_ARGUMENTS, NO_REQUEST, "a version of the channel that is not ours");
		return;
	}
	if (!offer(k, conn->peer, &common)) {
		kmn_gatelink_refuse(k, conn, 0, KMN_E_BUSY, NO_REQUEST, "the module is still being started");
		return;
	}
	if (!has(&common, VERSION_3_2) && common.count < KMN_LISTS_MAX &&
	    kmn_policy_may_hold(kmn_keeper_policy(k), conn->spki_sha256, NULL))
		common.version[common.count++] = VERSION_3_2;
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u8(&w, (uint8_t)common.count);
	for (unsigned i = 0; i < common.count; i++) {
		kmn_writer_u16(&w, common.version[i]);
		kmn_writer_u64(&w, common.flags[i]);
	}
	kmn_gatelink_send(k, conn, KMN_F_OFFERED, &w);
}
