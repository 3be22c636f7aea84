/* The form of a receipt, and which answers have one. The check is server/ledger/receipt.c. */
#include "config.h"

#include "kanmon/receipt.h"

#include <sodium.h>
#include <string.h>

#define TYPES(ROW) \
	ROW(LINE, 1) \
	ROW(SIZE, 2) ROW(PATH, 3) ROW(NOTE, 4) ROW(CONSISTENCY, 5) ROW(OPENING, 6) ROW(REQUEST, 8) ROW(RESULT, 9)

#define TYPE_ENUM(name, value) T_##name = (value),
enum type { TYPES(TYPE_ENUM) };

/* ---- writing --------------------------------------------------------------------------------------------------- */

static size_t
begin(struct kmn_writer *w, enum type type)
{
	kmn_writer_u16(w, (uint16_t)type);
	return kmn_writer_hole_u32(w);
}

static void
end(struct kmn_writer *w, size_t place)
{
	if (w->err == KMN_OK)
		kmn_writer_patch_u32(w, place, (uint32_t)(w->len - place - sizeof(uint32_t)));
}

static void
put_path(struct kmn_writer *w, const struct kmn_path *path)
{
	kmn_writer_u8(w, (uint8_t)path->count);
	kmn_writer_raw(w, path->hash, path->count * KMN_HASH_BYTES);
}

static void
put_bytes(struct kmn_writer *w, enum type type, const char *bytes, size_t len)
{
	if (bytes == NULL)
		return;
	kmn_writer_u16(w, (uint16_t)type);
	kmn_writer_bytes(w, bytes, len);
}

void
kmn_receipt_put(const struct kmn_receipt *receipt, struct kmn_writer *w)
{
	size_t place;

	put_bytes(w, T_LINE, receipt->line, receipt->line_len);
	place = begin(w, T_SIZE);
	kmn_writer_u64(w, receipt->size);
	end(w, place);
	if (receipt->line != NULL) {
		place = begin(w, T_PATH);
		put_path(w, &receipt->path);
		end(w, place);
	}
	put_bytes(w, T_NOTE, receipt->note, receipt->note_len);
	if (receipt->has_consistency) {
		place = begin(w, T_CONSISTENCY);
		kmn_writer_u64(w, receipt->from);
		put_path(w, &receipt->consistency);
		end(w, place);
	}
	for (size_t i = 0; i < receipt->opening_count; i++) {
		place = begin(w, T_OPENING);
		kmn_writer_u8(w, (uint8_t)receipt->opening[i].field_len);
		kmn_writer_raw(w, receipt->opening[i].field, receipt->opening[i].field_len);
		kmn_writer_raw(w, receipt->opening[i].salt, KMN_OPENING_SALT_BYTES);
		end(w, place);
	}
	put_bytes(w, T_REQUEST, receipt->request, receipt->request_len);
	put_bytes(w, T_RESULT, receipt->result, receipt->result_len);
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static void
read_path(struct kmn_reader *r, struct kmn_path *path)
{
	uint8_t n = kmn_reader_u8(r);

	if (n > KMN_PATH_MAX_HASHES) {
		kmn_reader_fail(r, KMN_E_TOO_BIG);
		return;
	}
	path->count = n;
	kmn_reader_raw(r, path->hash, (size_t)n * KMN_HASH_BYTES);
}

static void
read_text(struct kmn_reader *r, size_t max, const char **text_out, size_t *len_out)
{
	const uint8_t *view;

	*len_out = kmn_reader_rest(r, &view);
	*text_out = (const char *)view;
	if (*len_out == 0)
		kmn_reader_fail(r, KMN_E_TRUNCATED);
	if (*len_out > max)
		kmn_reader_fail(r, KMN_E_TOO_BIG);
}

static void
read_opening(struct kmn_reader *r, struct kmn_receipt *receipt)
{
	struct kmn_opening *opening;
	uint8_t n = kmn_reader_u8(r);

	if (receipt->opening_count == KMN_RECEIPT_OPENINGS_MAX || n == 0 || n > KMN_OPENING_FIELD_MAX_BYTES) {
		kmn_reader_fail(r, KMN_E_TOO_BIG);
		return;
	}
	if ((size_t)(r->end - r->at) != n + KMN_OPENING_SALT_BYTES) {
		kmn_reader_fail(r, KMN_E_MALFORMED);
		return;
	}
	opening = &receipt->opening[receipt->opening_count++];
	*opening = (struct kmn_opening){.field = (const char *)r->at, .field_len = n, .salt = r->at + n};
	r->at = r->end;
}

static void
read_field(uint16_t type, struct kmn_reader *r, struct kmn_receipt *receipt)
{
	switch (type) {
	case T_LINE:
		read_text(r, KMN_LINE_MAX_BYTES, &receipt->line, &receipt->line_len);
		break;
	case T_SIZE:
		receipt->size = kmn_reader_u64(r);
		break;
	case T_PATH:
		read_path(r, &receipt->path);
		break;
	case T_NOTE:
		read_text(r, KMN_RECEIPT_NOTE_MAX_BYTES, &receipt->note, &receipt->note_len);
		break;
	case T_CONSISTENCY:
		receipt->has_consistency = true;
		receipt->from = kmn_reader_u64(r);
		read_path(r, &receipt->consistency);
		break;
	case T_OPENING:
		read_opening(r, receipt);
		break;
	case T_REQUEST:
		read_text(r, KMN_LINE_MAX_BYTES, &receipt->request, &receipt->request_len);
		break;
	case T_RESULT:
		read_text(r, KMN_LINE_MAX_BYTES, &receipt->result, &receipt->result_len);
		break;
	default:
		kmn_reader_fail(r, KMN_E_MALFORMED);
	}
}

kmn_err
kmn_receipt_decode(const void *bytes, size_t len_bytes, struct kmn_receipt *receipt_out)
{
	struct kmn_receipt receipt = {0};
	unsigned seen = 0;
	struct kmn_reader r, inner;
	uint16_t last = 0;
	kmn_err e;

	memset(receipt_out, 0, sizeof(*receipt_out));
	if (len_bytes > KMN_RECEIPT_MAX_BYTES)
		return KMN_E_TOO_BIG;
	kmn_reader_init(&r, bytes, len_bytes);
	while (r.err == KMN_OK && r.at < r.end) {
		uint16_t type = kmn_reader_u16(&r);
		const uint8_t *content;
		size_t n = kmn_reader_bytes(&r, KMN_RECEIPT_MAX_BYTES, &content);

		if (r.err == KMN_OK && (type < last || (type == last && type != T_OPENING)))
			kmn_reader_fail(&r, KMN_E_MALFORMED);
		if (r.err != KMN_OK)
			break;
		kmn_reader_init(&inner, content, n);
		read_field(type, &inner, &receipt);
		kmn_reader_fail(&r, kmn_reader_end(&inner));
		last = type;
		seen |= type < 32 ? 1u << type : 0;
	}
	if ((e = kmn_reader_end(&r)) != KMN_OK)
		return e;
	/* A size always; a path with a line, and only then openings and the line's intent. */
	if ((seen & 1u << T_SIZE) == 0 || (receipt.line != NULL) != ((seen & 1u << T_PATH) != 0) ||
	    (receipt.line == NULL && (receipt.opening_count > 0 || receipt.request != NULL || receipt.result != NULL)))
		return KMN_E_MALFORMED;
	*receipt_out = receipt;
	return KMN_OK;
}

kmn_err
kmn_receipt_path_decode(const void *bytes, size_t len_bytes, struct kmn_path *path_out)
{
	memset(path_out, 0, sizeof(*path_out));
	if (len_bytes % KMN_HASH_BYTES != 0)
		return KMN_E_MALFORMED;
	if (len_bytes > sizeof(path_out->hash))
		return KMN_E_TOO_BIG;
	path_out->count = len_bytes / KMN_HASH_BYTES;
	if (len_bytes > 0)
		memcpy(path_out->hash, bytes, len_bytes);
	return KMN_OK;
}

/* ---- commitments -------------------------------------------------------------------------------------------------- */

void
kmn_commitment(const char *field, const uint8_t salt[KMN_OPENING_SALT_BYTES], const void *value, size_t len,
    uint8_t out[KMN_HASH_BYTES])
{
	static const char domain[] = "kanmon/commit/v1"; /* its NUL is part of it */
	uint8_t field_len = (uint8_t)strlen(field), be[8];
	crypto_hash_sha256_state h;

	for (size_t i = 0; i < sizeof(be); i++)
		be[i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
	(void)crypto_hash_sha256_init(&h);
	(void)crypto_hash_sha256_update(&h, (const uint8_t *)domain, sizeof(domain));
	(void)crypto_hash_sha256_update(&h, &field_len, 1);
	(void)crypto_hash_sha256_update(&h, (const uint8_t *)field, field_len);
	(void)crypto_hash_sha256_update(&h, salt, KMN_OPENING_SALT_BYTES);
	(void)crypto_hash_sha256_update(&h, be, sizeof(be));
	if (len > 0)
		(void)crypto_hash_sha256_update(&h, value, len);
	(void)crypto_hash_sha256_final(&h, out);
	sodium_memzero(&h, sizeof(h));
}

/* ---- which answers have one ------------------------------------------------------------------------------------ */

enum kmn_receipt_due
kmn_receipt_due(const struct kmn_call_view *view, uint64_t rv)
{
	if (rv != CKR_OK)
		return KMN_RECEIPT_MAY;
	return kmn_view_is_counted(view) ? KMN_RECEIPT_NEVER : KMN_RECEIPT_MUST;
}

size_t
kmn_receipt_values(const struct kmn_call_view *request, const struct kmn_response_view *response,
    struct kmn_receipt_value value_out[KMN_RECEIPT_VALUES_MAX])
{
	const struct kmn_value *in = request->id != KMN_C_SignMessageNext ? kmn_view_shown(request) : NULL;
	const struct kmn_result *out = kmn_response_bytes(response);
	size_t n = 0;

	if (in != NULL)
		value_out[n++] = (struct kmn_receipt_value){
		    .field = "in", .show = in->param->show, .bytes = in->bytes, .len = in->len};
	if (out != NULL)
		value_out[n++] = (struct kmn_receipt_value){
		    .field = "out", .show = out->param->show, .bytes = out->bytes, .len = out->len};
	return n;
}

bool
kmn_receipt_kind_fits(const struct kmn_call *row, enum kmn_record_kind kind)
{
	switch (kind) {
	case KMN_R_SESSION:
		return row->policy == KMN_POLICY_LOGIN;
	case KMN_R_RESULT:
	case KMN_R_REDELIVERY:
		/* of one that was held */
		return row->durability == KMN_DURABILITY_A || row->policy == KMN_POLICY_LOGIN;
	default:
		return kind == KMN_R_OP;
	}
}
