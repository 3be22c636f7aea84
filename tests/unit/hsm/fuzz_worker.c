/*
 * A hostile keeper and a lying module, with the worker's dispatch between
 * them. Input: u8 lies (MOCK_OVER_* of tests/mock), then requests, each
 * u8 flags | u16 length | payload. Every request that can be read must get a
 * whole response of its own kind.
 *
 * There are always: session 1 on slot 11 with the user logged in, and the
 * halves of a P-256 key pair, objects 2 and 3.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/hsm/dispatch.h"

#define SLOT 11u
#define RESPONSE_MAX_BYTES (3u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The words of KMN_MOCK_OVERRUN that the bits stand for. */
static void
choose_lies(uint8_t bits)
{
	static const char *const words[] = {
	    "attributes ", "slots ", "signature ", "lengths ", "find ", "mechanisms ", "output ", "params "};
	char text[96] = "";

	for (size_t i = 0; i < KMN_COUNT_OF(words); i++)
		if ((bits & 1u << i) != 0)
			strcat(text, words[i]);
	setenv("KMN_MOCK_OVERRUN", text, 1);
}

static void
run(struct kmn_dispatch *d, const uint8_t *payload, size_t len, uint8_t flags)
{
	struct kmn_response_view response;
	struct kmn_key_facts facts;
	struct kmn_call_view view;
	struct kmn_writer w;
	uint64_t session, object;

	if (kmn_call_view_decode(payload, len, &view) != KMN_OK)
		return;
	kmn_writer_init(&w, RESPONSE_MAX_BYTES);
	kmn_dispatch_call(
	    d, &(const struct kmn_dispatch_request){.view = &view, .payload = payload, .len = len, .flags = flags}, &w);
	if (w.err != KMN_OK || kmn_response_view_decode(w.bytes, w.len, &response) != KMN_OK || response.id != view.id)
		abort();
	kmn_writer_clear(&w);
	if (kmn_view_session(&view, &session) &&
	    (kmn_view_key(&view, 0, &object) || kmn_view_object(&view, 0, &object)))
		(void)kmn_dispatch_describe(d, session, object, &facts);
}

static void
call(struct kmn_dispatch *d, enum kmn_call_id id, const struct kmn_arg *arg, size_t count)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 4096);
	if (kmn_request_encode(id, arg, count, &w) != KMN_OK)
		abort();
	run(d, w.bytes, w.len, 0);
	kmn_writer_clear(&w);
}

static void
furnish(struct kmn_dispatch *d)
{
	CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, pin[] = "1234";
	CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof(p256)}, {CKA_ID, pin, 1}}, private[] = {{CKA_ID, pin, 1}};
	CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ULONG out;

	call(d, KMN_C_OpenSession,
	    (const struct kmn_arg[]){{.u = SLOT}, {.u = CKF_SERIAL_SESSION | CKF_RW_SESSION}, {.p = NULL}, {.p = &out}},
	    4);
	call(d, KMN_C_Login, (const struct kmn_arg[]){{.u = 1}, {.u = CKU_USER}, {.p = pin, .u = 4}}, 3);
	call(d, KMN_C_GenerateKeyPair,
	    (const struct kmn_arg[]){
		{.u = 1}, {.p = &mechanism}, {.p = public, .u = 2}, {.p = private, .u = 1}, {.p = &out}, {.p = &out}},
	    6);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct kmn_module module = {.path = KMN_TEST_BUILD_DIR "/tests/mock/.libs/kanmon-mock.so"};
	struct kmn_vendor vendor;
	const struct kmn_dispatch_settings settings = {.vendor = &vendor};
	static struct kmn_spki_maker *maker; /* has no state that a request could reach */
	struct kmn_dispatch *d;
	struct kmn_reader r;
	const uint8_t *rest;

	kmn_reader_init(&r, bytes, len);
	choose_lies(kmn_reader_u8(&r));
	setenv("KMN_MOCK_SLOTS", "2", 1);
	setenv("KMN_MOCK_SECRETS", "1", 1);
	setenv("KMN_MOCK_INTERFACES", "3.2", 1);
	setenv("KMN_MOCK_CRASH", "never", 1);
	kmn_vendor_open(&module, &vendor);
	if ((maker == NULL && kmn_spki_maker_new(&maker) != KMN_OK) || !vendor.ready ||
	    kmn_dispatch_new(&settings, maker, &d) != KMN_OK)
		abort();
	furnish(d);
	while (r.err == KMN_OK && r.at != r.end) {
		uint8_t flags = kmn_reader_u8(&r);
		size_t claimed = kmn_reader_u16(&r), left = (size_t)(r.end - r.at);
		size_t n = claimed < left ? claimed : left;

		rest = r.at;
		r.at += n;
		if (r.err == KMN_OK)
			run(d, rest, n, flags);
	}
	kmn_dispatch_free(d);
	kmn_vendor_close(&vendor);
	return 0;
}
