/* What is known of a call and its answer when a receipt comes: made from the bytes that crossed, and from nothing else. */
#include "config.h"

#include <sodium.h>
#include <string.h>

#include "provider/receipts.h"

static void
hash_request(uint64_t number, const uint8_t *request, size_t len, uint8_t out[KMN_HASH_BYTES])
{
	crypto_hash_sha256_state h;
	uint8_t be[8];

	for (size_t i = 0; i < sizeof(be); i++)
		be[i] = (uint8_t)(number >> (56 - 8 * i));
	(void)crypto_hash_sha256_init(&h);
	(void)crypto_hash_sha256_update(&h, be, sizeof(be));
	(void)crypto_hash_sha256_update(&h, request, len);
	(void)crypto_hash_sha256_final(&h, out);
}

kmn_err
kmn_claim_make(uint64_t number, const uint8_t *request, size_t request_len, const uint8_t *payload, size_t payload_len,
    struct kmn_claim *claim)
{
	struct kmn_response_view response;
	struct kmn_call_view view;
	kmn_err e;

	memset(claim, 0, sizeof(*claim));
	if ((e = kmn_call_view_decode(request, request_len, &view)) != KMN_OK ||
	    (e = kmn_response_view_decode(payload, payload_len, &response)) != KMN_OK)
		return e;
	if (response.id != view.id)
		return KMN_E_MALFORMED;
	claim->row = view.call;
	claim->number = number;
	claim->rv = response.rv;
	claim->due = kmn_receipt_due(&view, response.rv);
	if (!kmn_view_session(&view, &claim->session))
		claim->session = 0;
	if (!kmn_view_key(&view, 0, &claim->key))
		claim->key = 0;
	if (claim->due == KMN_RECEIPT_NEVER)
		return KMN_OK;
	hash_request(number, request, request_len, claim->req_sha256);
	kmn_sha256(payload, payload_len, claim->resp_sha256);
	claim->value_count = kmn_receipt_values(&view, &response, claim->value);
	return KMN_OK;
}
