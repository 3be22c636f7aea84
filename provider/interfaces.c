/*
 * Interfaces (3.0): which function lists an application may have, and asking
 * for one. Offered is what the modules behind the gateway have, in their order.
 *
 * The gateway is asked once, maybe before C_Initialize, over a connection of
 * its own; what came of it is one word, written once. So there is no lock that
 * a forked child could find held, and nothing to free when the module is
 * unloaded. Two threads that ask at the same time get the same answer.
 *
 * kanmon's own interface comes last, always, and only to who asks for it by name.
 */
#include "config.h"

#include "provider/provider.h"

#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

#include "kanmon/channel.h"
#include "kanmon/frame.h"
#include "provider/application.h"
#include "provider/async.h"
#include "provider/debug.h"
#include "provider/host.h"
#include "provider/vendor.h"

#define EXPORT __attribute__((visibility("default")))

#define ASK_MOST_MS 3000u  /* nobody waits longer to learn what to ask for */
#define ASK_LEAST_MS 1000u /* with an init-wait of 0: one attempt, as at C_Initialize */
#define PAUSE_MS 50u

static CK_UTF8CHAR name[] = "PKCS 11";

/* All there can be, by version; the second of each is for a client whose children inherit. */
static CK_INTERFACE interfaces[] = {
    {name, &kmn_function_list, 0},
    {name, &kmn_function_list, CKF_INTERFACE_FORK_SAFE},
    {name, &kmn_function_list_3_0, 0},
    {name, &kmn_function_list_3_0, CKF_INTERFACE_FORK_SAFE},
    {name, &kmn_function_list_3_1, 0},
    {name, &kmn_function_list_3_1, CKF_INTERFACE_FORK_SAFE},
    {name, &kmn_function_list_3_2, 0},
    {name, &kmn_function_list_3_2, CKF_INTERFACE_FORK_SAFE},
};

static CK_UTF8CHAR vendor_name[] = KMN_INTERFACE_NAME;
static CK_INTERFACE vendor = {vendor_name, &kmn_vendor_list, 0};

/* What is offered: four bits each from the lowest on, 1 + the number in interfaces[], until 0. All 0: not asked yet. */
static atomic_uint_fast64_t offered;
#define BITS 4u
#define OFFERED_MAX 8u

/* ---- asking ------------------------------------------------------------------------------------------------------ */

/* The number in interfaces[] for a version, or -1: later ones of a major version have the lists of the earlier. */
static int
number_of(uint16_t version)
{
	switch (version >> 8) {
	case 2:
		return 0;
	case 3:
		return (version & 0xff) >= 2 ? 6 : (version & 0xff) == 1 ? 4 : 2;
	default:
		return -1;
	}
}

static void
add(uint64_t *word, unsigned interface)
{
	unsigned at = 0;

	for (; at < OFFERED_MAX && (*word >> at * BITS & 0xf) != 0; at++)
		if ((*word >> at * BITS & 0xf) == 1 + interface)
			return;
	if (at < OFFERED_MAX)
		*word |= (uint64_t)(1 + interface) << at * BITS;
}

static kmn_err
read_offered(const struct kmn_channel_frame *frame, unsigned safe, uint64_t *word_out)
{
	struct kmn_reader r;

	kmn_reader_init(&r, frame->body, frame->len_bytes);
	*word_out = 0;
	for (uint8_t n = kmn_reader_u8(&r); n > 0 && r.err == KMN_OK; n--) {
		int number = number_of(kmn_reader_u16(&r));

		(void)kmn_reader_u64(&r); /* of the module's own flags none is ours to promise */
		if (number >= 0 && r.err == KMN_OK)
			add(word_out, (unsigned)number + safe);
	}
	return kmn_reader_end(&r) == KMN_OK && *word_out == 0 ? KMN_E_NOT_FOUND : r.err;
}

/* One attempt. KMN_E_BUSY: the gateway does not know yet. */
static kmn_err
ask_once(struct kmn_channel_identity *identity, uint32_t timeout_ms, unsigned safe, uint64_t *word_out)
{
	static const uint8_t body[] = {KMN_FRAME_VERSION >> 8, KMN_FRAME_VERSION & 0xff};
	char why[KMN_CHANNEL_WHY_BYTES] = "";
	struct kmn_channel_frame frame;
	struct kmn_channel *channel;
	kmn_err e;

	if ((e = kmn_channel_open(identity, timeout_ms, -1, why, &channel)) != KMN_OK) {
		kmn_debug(KMN_TOPIC_CHANNEL, "interfaces: %s: %s", kmn_err_text(e), why);
		return e;
	}
	e = kmn_channel_send(channel, KMN_F_INTERFACES, body, sizeof(body), timeout_ms);
	if (e == KMN_OK)
		e = kmn_channel_receive(channel, timeout_ms, -1, &frame);
	if (e == KMN_OK && frame.type == KMN_F_OFFERED)
		e = read_offered(&frame, safe, word_out);
	else if (e == KMN_OK)
		e = frame.type == KMN_F_REFUSED ? KMN_E_BUSY : KMN_E_MALFORMED;
	kmn_channel_close(channel);
	return e;
}

static kmn_err
ask_until(const struct kmn_client_settings *s, uint64_t deadline_ms, uint64_t *word_out)
{
	struct kmn_channel_identity *identity;
	const struct kmn_wake nothing = {.fd = {-1, -1}};
	unsigned safe = s->fork == KMN_CLIENT_FORK_INHERIT ? 1 : 0;
	uint64_t now;
	kmn_err e;

	if ((e = kmn_identity_load(s, &identity)) != KMN_OK)
		return e;
	while ((now = kmn_now_ms()) < deadline_ms) {
		e = ask_once(identity, (uint32_t)(deadline_ms - now), safe, word_out);
		if (e == KMN_OK || e == KMN_E_PEER || e == KMN_E_TLS || e == KMN_E_NOT_FOUND || e == KMN_E_MALFORMED)
			break;
		kmn_wake_pause(&nothing, PAUSE_MS);
	}
	kmn_channel_identity_free(identity);
	return e;
}

static void
ask(uint64_t *word_out)
{
	struct kmn_application *app = kmn_application_enter();
	struct kmn_client_settings *own = NULL;
	const struct kmn_client_settings *s = app != NULL ? app->settings : NULL;
	char why[KMN_CLIENT_WHY_BYTES];
	uint64_t limit_ms;
	kmn_err e = sodium_init() < 0 ? KMN_E_INTERNAL : KMN_OK;

	if (e == KMN_OK && s == NULL) {
		kmn_debug_init();
		if ((e = kmn_client_settings_load(NULL, NULL, why, &own)) != KMN_OK)
			kmn_debug(KMN_TOPIC_CONFIG, "interfaces: %s", why);
		s = own;
	}
	if (e == KMN_OK) {
		limit_ms = (uint64_t)s->init_wait_s * 1000u;
		limit_ms = limit_ms < ASK_LEAST_MS ? ASK_LEAST_MS : limit_ms > ASK_MOST_MS ? ASK_MOST_MS : limit_ms;
		e = ask_until(s, kmn_now_ms() + limit_ms, word_out);
	}
	if (e != KMN_OK) { /* what every module has */
		*word_out = 0;
		add(word_out, s != NULL && s->fork == KMN_CLIENT_FORK_INHERIT ? 1 : 0);
	}
	kmn_client_settings_free(own);
	if (app != NULL)
		kmn_application_leave(app);
}

/* The word, asked for at the first time. */
static uint64_t
known(void)
{
	uint64_t word = atomic_load(&offered);
	uint_fast64_t none = 0;
	struct kmn_host_errors errors;

	if (word != 0)
		return word;
	kmn_host_errors_take(&errors);
	ask(&word);
	kmn_host_errors_return(&errors);
	return atomic_compare_exchange_strong(&offered, &none, word) ? word : none;
}

/* Interface number `nth` of those offered, and our own after them; NULL after that. */
static CK_INTERFACE *
nth_of(uint64_t word, unsigned nth)
{
	uint64_t number = nth < OFFERED_MAX ? word >> nth * BITS & 0xf : 0;

	if (number != 0)
		return &interfaces[number - 1];
	return nth == 0 || (nth <= OFFERED_MAX && (word >> (nth - 1) * BITS & 0xf) != 0) ? &vendor : NULL;
}

/* ---- what the application asks ----------------------------------------------------------------------------------- */

EXPORT CK_RV
C_GetInterfaceList(CK_INTERFACE_PTR list, CK_ULONG_PTR count)
{
	CK_ULONG room, n = 0;
	uint64_t word;

	if (count == NULL)
		return CKR_ARGUMENTS_BAD;
	word = known();
	room = *count;
	while (nth_of(word, (unsigned)n) != NULL)
		n++;
	*count = n;
	if (list == NULL)
		return CKR_OK;
	if (room < n)
		return CKR_BUFFER_TOO_SMALL;
	for (CK_ULONG i = 0; i < n; i++)
		list[i] = *nth_of(word, (unsigned)i);
	return CKR_OK;
}

/* Every list begins with its version. */
static bool
fits(const CK_INTERFACE *i, const CK_UTF8CHAR *wanted, const CK_VERSION *version, CK_FLAGS flags)
{
	CK_VERSION has;

	memcpy(&has, i->pFunctionList, sizeof(has));
	return (wanted == NULL ? i != &vendor : strcmp((const char *)wanted, (const char *)i->pInterfaceName) == 0) &&
	       (version == NULL ||
		   (version->major == has.major &&
		       (version->minor == has.minor || (i == &vendor && version->minor < has.minor)))) &&
	       (flags & ~i->flags) == 0;
}

EXPORT CK_RV
C_GetInterface(CK_UTF8CHAR_PTR wanted, CK_VERSION_PTR version, CK_INTERFACE_PTR_PTR found, CK_FLAGS flags)
{
	CK_INTERFACE *interface;
	uint64_t word;

	if (found == NULL)
		return CKR_ARGUMENTS_BAD;
	word = known();
	for (unsigned i = 0; (interface = nth_of(word, i)) != NULL; i++) {
		if (!fits(interface, wanted, version, flags))
			continue;
		*found = interface;
		return CKR_OK;
	}
	return CKR_ARGUMENTS_BAD;
}

/* ---- asynchronous functions (3.2): async.h ------------------------------------------------------------------------ */

EXPORT CK_RV
C_AsyncComplete(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ASYNC_DATA_PTR result)
{
	struct kmn_visit visit;
	CK_RV rv;

	if (!kmn_visit_begin(&visit))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	rv = kmn_async_complete(visit.app, session, function, result);
	kmn_visit_end(&visit);
	return rv;
}

EXPORT CK_RV
C_AsyncGetID(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ULONG_PTR id)
{
	struct kmn_visit visit;
	CK_RV rv;

	if (!kmn_visit_begin(&visit))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	rv = kmn_async_get_id(visit.app, session, function, id);
	kmn_visit_end(&visit);
	return rv;
}

EXPORT CK_RV
C_AsyncJoin(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR function, CK_ULONG id, CK_BYTE_PTR data, CK_ULONG len)
{
	struct kmn_visit visit;
	CK_RV rv;

	if (!kmn_visit_begin(&visit))
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	rv = kmn_async_join(visit.app, session, function, id, data, len);
	kmn_visit_end(&visit);
	return rv;
}
