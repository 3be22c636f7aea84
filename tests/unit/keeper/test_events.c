/*
 * Slot events: the test plays the worker that watches a module, and sees what
 * becomes of what it says.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/messages.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

static const char rules[] = "rule everything\n  client ca other\n  calls login session query key-use key-management\n"
			    "  need none\n";

static const struct rig_module two_mocks[] = {{.name = "a"}, {.name = "b", .environment = {"KMN_MOCK_SLOTS=2"}}};
static const struct rig_plan mapped = {.modules = two_mocks,
    .module_count = 2,
    .tokens = "root=3 issuing=1",
    .token_lines = "token root label mock-1 module a\ntoken issuing label mock-2 module b\n"};

/* C_WaitForSlotEvent that does not block. */
static CK_RV
poll_event(struct rig *rig, struct rig_app *app, CK_SLOT_ID *slot)
{
	struct kmn_arg arg[] = {{.u = CKF_DONT_BLOCK}, {.p = slot}, {.p = NULL}};

	return rig_call(rig, app, KMN_C_WaitForSlotEvent, arg, 3);
}

/* The same that blocks: sent, and parked. The payload is to be sent again, and freed. */
static uint64_t
park(struct rig *rig, struct rig_app *app, CK_SLOT_ID *slot, uint8_t **payload, size_t *len)
{
	struct kmn_arg arg[] = {{.u = 0}, {.p = slot}, {.p = NULL}};

	rig_payload(KMN_C_WaitForSlotEvent, arg, 3, payload, len);
	rig_call_raw(rig, app->conn, ++app->number, app->acknowledged, *payload, *len);
	return app->number;
}

static CK_RV
fetch(struct rig *rig, struct rig_app *app, uint64_t number, CK_SLOT_ID *slot, uint8_t *payload, size_t len)
{
	struct kmn_arg arg[] = {{.u = 0}, {.p = slot}, {.p = NULL}};
	CK_RV rv = CKR_VENDOR_DEFINED;
	struct rig_frame f;

	rig_call_raw(rig, app->conn, number, app->acknowledged, payload, len);
	free(payload);
	if (rig_expect(rig, app->conn, KMN_F_REPLY, &f))
		CU_ASSERT_EQUAL(
		    kmn_response_decode(KMN_C_WaitForSlotEvent, arg, 3, f.body + RIG_REPLY, f.len - RIG_REPLY, &rv),
		    KMN_OK);
	return rv;
}

static unsigned
notices(struct rig *rig, uint32_t conn)
{
	unsigned n = 0;

	for (size_t i = 0; i < rig->frames; i++)
		n += rig->frame[i].conn == conn && rig->frame[i].type == KMN_F_NOTICE;
	return n;
}

/* What the watching workers said has been heard: that many notices have come to the connection in all. */
static void
wait_for_notices(struct rig *rig, uint32_t conn, unsigned n)
{
	for (int i = 0; i < 200 && notices(rig, conn) < n; i++)
		rig_pump(rig, 50);
	CU_ASSERT_EQUAL(notices(rig, conn), n);
}

static struct rig_worker *
wait_for_watcher(struct rig *rig, unsigned module)
{
	for (int i = 0; i < 200 && rig_watcher(rig, module) == NULL; i++)
		rig_pump(rig, 50);
	CU_ASSERT_PTR_NOT_NULL_FATAL(rig_watcher(rig, module));
	for (int i = 0; i < 5; i++)
		rig_pump(rig, 10);
	return rig_watcher(rig, module);
}

static void
watch(struct rig *rig, const struct rig_app *app, uint32_t conn)
{
	struct kmn_writer w;

	CU_ASSERT_TRUE_FATAL(rig_join(rig, app, conn, &rig->ca));
	kmn_writer_init(&w, 16);
	rig_send(rig, conn, KMN_F_WATCH, &w);
}

static void
end(struct rig *rig)
{
	CU_ASSERT_EQUAL(rig_stop(rig), 0);
	rig_end(rig);
}

/* One event of the module reaches every application once, whoever asked first; who attaches later has none. */
static void
test_fan_out(void)
{
	struct rig rig;
	struct rig_app one, other, late;
	CK_SLOT_ID slot = 0;
	uint8_t *payload;
	uint64_t number;
	size_t len;

	rig_start(&rig, rules);
	rig_attach(&rig, &one, 1, &rig.ca);
	rig_attach(&rig, &other, 2, &rig.ca);
	watch(&rig, &one, 3);
	CU_ASSERT_PTR_NULL(rig_watcher(&rig, 0)); /* nobody asked yet */
	number = park(&rig, &one, &slot, &payload, &len);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_HELD, NULL));
	rig_watcher_says(wait_for_watcher(&rig, 0), CKR_OK, 11);
	CU_ASSERT_TRUE(rig_expect(&rig, 3, KMN_F_READY, NULL));
	CU_ASSERT_EQUAL(fetch(&rig, &one, number, &slot, payload, len), CKR_OK);
	CU_ASSERT_EQUAL(slot, 11);
	CU_ASSERT_EQUAL(poll_event(&rig, &one, &slot), CKR_NO_EVENT);
	slot = 0;
	CU_ASSERT_EQUAL(poll_event(&rig, &other, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot, 11);
	CU_ASSERT_EQUAL(poll_event(&rig, &other, &slot), CKR_NO_EVENT);
	for (uint32_t conn = 1; conn <= 3; conn++)
		wait_for_notices(&rig, conn, 1);
	rig_attach(&rig, &late, 4, &rig.ca);
	CU_ASSERT_EQUAL(poll_event(&rig, &late, &slot), CKR_NO_EVENT);
	end(&rig);
}

/* The same slot twice before anybody asks is one flag; another slot another. */
static void
test_flags(void)
{
	struct rig rig;
	struct rig_app app;
	CK_SLOT_ID slot;
	uint8_t *payload;
	uint64_t number;
	size_t len;

	rig_start(&rig, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	number = park(&rig, &app, &slot, &payload, &len);
	rig_watcher_says(wait_for_watcher(&rig, 0), CKR_OK, 99);
	wait_for_notices(&rig, 1, 1);
	CU_ASSERT_EQUAL(fetch(&rig, &app, number, &slot, payload, len), CKR_OK);
	rig_watcher_says(rig_watcher(&rig, 0), CKR_OK, 11);
	rig_watcher_says(rig_watcher(&rig, 0), CKR_OK, 11);
	rig_watcher_says(rig_watcher(&rig, 0), CKR_OK, 12);
	wait_for_notices(&rig, 1, 4);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot, 11);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot, 12);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_NO_EVENT);
	end(&rig);
}

static void
test_not_supported(void)
{
	struct rig rig;
	struct rig_app app;
	CK_SLOT_ID slot = 0;
	uint8_t *payload;
	uint64_t number;
	size_t len;

	rig_start(&rig, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	number = park(&rig, &app, &slot, &payload, &len);
	rig_watcher_says(wait_for_watcher(&rig, 0), CKR_FUNCTION_NOT_SUPPORTED, 0);
	wait_for_notices(&rig, 1, 1);
	CU_ASSERT_EQUAL(fetch(&rig, &app, number, &slot, payload, len), CKR_FUNCTION_NOT_SUPPORTED);
	/* from now on without asking anybody; a question that does not block is the module's own */
	number = park(&rig, &app, &slot, &payload, &len);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_REPLY, NULL));
	free(payload);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_FUNCTION_NOT_SUPPORTED);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_WaitForSlotEvent"), 1);
	end(&rig);
}

static void
test_end_of_wait(void)
{
	struct rig rig;
	struct rig_app app;
	CK_SLOT_ID slot = 0;
	struct kmn_writer w;
	struct kmn_response_view view;
	struct rig_frame f;
	uint8_t *payload;
	size_t len;

	rig_start(&rig, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	(void)park(&rig, &app, &slot, &payload, &len);
	free(payload);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_HELD, NULL));
	kmn_writer_init(&w, 16);
	kmn_writer_u64(&w, app.number);
	rig_send(&rig, 1, KMN_F_END_WAIT, &w);
	CU_ASSERT_TRUE_FATAL(rig_expect(&rig, 1, KMN_F_REPLY, &f));
	CU_ASSERT_EQUAL(kmn_response_view_decode(f.body + RIG_REPLY, f.len - RIG_REPLY, &view), KMN_OK);
	CU_ASSERT_EQUAL(view.rv, CKR_FUNCTION_CANCELED);
	(void)park(&rig, &app, &slot, &payload, &len); /* and one that waits when everything ends */
	free(payload);
	CU_ASSERT_TRUE(rig_expect(&rig, 1, KMN_F_HELD, NULL));
	end(&rig);
}

/* With slots of the policy's numbers: an event has the client's number, and of slots it does not see none comes. */
static void
test_mapped(void)
{
	struct rig rig;
	struct rig_app app;
	CK_SLOT_ID slot = 0, list[4];
	CK_ULONG n = 4;
	struct kmn_arg arg[] = {{.u = CK_FALSE}, {.p = list, .n = &n}};

	rig_start_with(&rig, &mapped, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL(rig_call(&rig, &app, KMN_C_GetSlotList, arg, 2), CKR_OK);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_NO_EVENT);
	rig_watcher_says(wait_for_watcher(&rig, 1), CKR_OK, 11); /* module b's first slot: nobody's here */
	rig_watcher_says(rig_watcher(&rig, 1), CKR_OK, 22);
	for (int i = 0; i < 20; i++)
		rig_pump(&rig, 20);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot, 1);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_NO_EVENT);
	rig_watcher_says(wait_for_watcher(&rig, 0), CKR_OK, 11);
	for (int i = 0; i < 20; i++)
		rig_pump(&rig, 20);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_OK);
	CU_ASSERT_EQUAL(slot, 3);
	/* only when no module tells of events is that the answer */
	rig_watcher_says(rig_watcher(&rig, 0), CKR_FUNCTION_NOT_SUPPORTED, 0);
	for (int i = 0; i < 10; i++)
		rig_pump(&rig, 20);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_NO_EVENT);
	rig_watcher_says(rig_watcher(&rig, 1), CKR_FUNCTION_NOT_SUPPORTED, 0);
	for (int i = 0; i < 10; i++)
		rig_pump(&rig, 20);
	CU_ASSERT_EQUAL(poll_event(&rig, &app, &slot), CKR_FUNCTION_NOT_SUPPORTED);
	end(&rig);
}

static CU_TestInfo tests[] = {
    {"one event reaches every application, and every connection of it", test_fan_out},
    {"events are flags of slots", test_flags},
    {"a module without events says so", test_not_supported},
    {"a wait ends by END_WAIT and with the keeper", test_end_of_wait},
    {"an event has the client's number of the slot", test_mapped},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"keeper/events", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
