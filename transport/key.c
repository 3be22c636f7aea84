#include "kanmon/key.h"

#include <string.h>

void
kmn_key_facts_put(struct kmn_writer *w, const struct kmn_key_facts *facts)
{
	kmn_writer_u64(w, facts->object);
	kmn_writer_u64(w, facts->slot);
	kmn_writer_u64(w, facts->class);
	kmn_writer_u64(w, facts->key_type);
	kmn_writer_u64(w, facts->mechanism);
	kmn_writer_u32(w, facts->flags);
	kmn_writer_u32(w, facts->known);
	kmn_writer_text(w, facts->label);
	kmn_writer_bytes(w, facts->id, facts->id_len);
	kmn_writer_bytes(w, facts->kcv, facts->kcv_len);
	kmn_writer_bytes(w, facts->spki, facts->spki_len);
}

/* A byte string copied into storage of the facts; the longest that fits is the limit. */
static uint32_t
get_into(struct kmn_reader *r, uint8_t *storage, size_t size_bytes)
{
	const uint8_t *view;
	size_t n = kmn_reader_bytes(r, size_bytes, &view);

	if (n > 0)
		memcpy(storage, view, n);
	return (uint32_t)n;
}

void
kmn_key_facts_get(struct kmn_reader *r, struct kmn_key_facts *facts)
{
	memset(facts, 0, sizeof(*facts));
	facts->object = kmn_reader_u64(r);
	facts->slot = kmn_reader_u64(r);
	facts->class = kmn_reader_u64(r);
	facts->key_type = kmn_reader_u64(r);
	facts->mechanism = kmn_reader_u64(r);
	facts->flags = kmn_reader_u32(r);
	facts->known = kmn_reader_u32(r);
	kmn_reader_text(r, facts->label, sizeof(facts->label));
	facts->id_len = get_into(r, facts->id, sizeof(facts->id));
	facts->kcv_len = get_into(r, facts->kcv, sizeof(facts->kcv));
	facts->spki_len = get_into(r, facts->spki, sizeof(facts->spki));
	if (r->err == KMN_OK && facts->kcv_len != 0 && facts->kcv_len != sizeof(facts->kcv))
		kmn_reader_fail(r, KMN_E_MALFORMED);
	if (r->err != KMN_OK)
		memset(facts, 0, sizeof(*facts));
}
