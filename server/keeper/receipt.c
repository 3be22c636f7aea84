/* Receipts: what the ledger proves to a client (docs/receipts.md). */
#include "config.h"

#include "server/keeper/state.h"

#define NO_REQUEST UINT64_MAX

void
kmn_receipts_prove(struct kmn_keeper *k, const struct kmn_conn *conn, uint64_t from, uint64_t to)
{
	struct kmn_path path;
	struct kmn_head durable;
	struct kmn_writer w;

	kmn_log_durable(k->log, &durable);
	if (from == 0 || from > to || to > durable.size || kmn_log_consistency(k->log, from, to, &path) != KMN_OK) {
		kmn_gatelink_refuse(k, conn, 0, KMN_E_NOT_FOUND, NO_REQUEST, "no such two heads");
		return;
	}
	kmn_writer_init(&w, KMN_FRAME_FIRST_MAX_BYTES);
	kmn_writer_u64(&w, from);
	kmn_writer_u64(&w, to);
	kmn_writer_bytes(&w, path.hash, path.count * KMN_HASH_BYTES);
	kmn_gatelink_send(k, conn, KMN_F_PROVEN, &w);
}

void
kmn_receipts_cosigned(struct kmn_keeper *k, const struct kmn_conn *conn, struct kmn_reader *r)
{
	uint64_t size = kmn_reader_u64(r);
	struct kmn_writer w;

	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, size);
	kmn_gatelink_send(k, conn, KMN_F_COSIGNED, &w);
}
