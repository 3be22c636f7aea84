/*
 * What the kanmon tool is told of requests is durable before it is told: the disk's sync is made to hang, and answers
 * hang with it. fdatasync() is wrapped by the linker.
 */
#include "config.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kanmon/admin.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define CLIENT 4
#define CLIENT_TOO 5

static const char rules[] = "rule single\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n"
			    "  mechanisms any\n  need keepers\n"
			    "rule rest\n  client ca\n  calls login session query random key-management\n  need none\n";

static struct rig rig;
static struct rig_app app;
static atomic_bool *hangs; /* shared with the keeper's process */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int
__wrap_fdatasync(int fd)
{
	while (hangs != NULL && atomic_load(hangs))
		usleep(1000);
	return __real_fdatasync(fd);
}

static uint64_t
hold(CK_OBJECT_HANDLE key)
{
	uint8_t signature[512], data[] = "data", *payload;
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[] = {{.u = app.session}, {.p = data, .u = 4}, {.p = signature, .n = &len}};
	struct kmn_reader r;
	struct rig_frame f;
	size_t size;

	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	rig_payload(KMN_C_Sign, arg, 3, &payload, &size);
	rig_call_raw(&rig, app.conn, ++app.number, app.acknowledged, payload, size);
	free(payload);
	CU_ASSERT_TRUE_FATAL(rig_expect(&rig, app.conn, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	return kmn_reader_u64(&r);
}

static void
ask(uint32_t conn, uint16_t op, uint64_t request, const char *reason)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 64);
	kmn_writer_u16(&w, op);
	if (op == KMN_ADMIN_REQUEST_LIST)
		kmn_writer_bool(&w, true);
	else
		kmn_writer_u64(&w, request);
	if (reason != NULL)
		kmn_writer_text(&w, reason);
	rig_send(&rig, conn, KMN_F_ADMIN, &w);
}

static bool
has_answer(uint32_t conn)
{
	for (size_t i = 0; i < rig.frames; i++)
		if (rig.frame[i].conn == conn && rig.frame[i].type == KMN_F_ADMIN_REPLY)
			return true;
	return false;
}

static bool
answers(uint32_t conn, const char *text)
{
	struct rig_frame f;

	return rig_expect(&rig, conn, KMN_F_ADMIN_REPLY, &f) && memmem(f.body, f.len, text, strlen(text)) != NULL;
}

/* A request that is withdrawn has ended when its record is on the disk; until then nobody hears of it. */
static void
test_told(uint16_t op)
{
	CK_OBJECT_HANDLE key;
	uint64_t request;

	hangs = mmap(NULL, sizeof(*hangs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_TRUE_FATAL(hangs != MAP_FAILED);
	rig_start(&rig, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &key), CKR_OK);
	rig_open(&rig, CLIENT, &rig.ca);
	rig_open(&rig, CLIENT_TOO, &rig.ca);
	request = hold(key);
	ask(CLIENT_TOO, op, request, NULL);
	CU_ASSERT_TRUE(answers(CLIENT_TOO, "\"state\":\"open\""));
	atomic_store(hangs, true);
	ask(CLIENT, KMN_ADMIN_REQUEST_WITHDRAW, request, "not needed");
	rig_pump(&rig, 100);
	ask(CLIENT_TOO, op, request, NULL);
	rig_pump(&rig, 200);
	CU_ASSERT_FALSE(has_answer(CLIENT));
	CU_ASSERT_FALSE(has_answer(CLIENT_TOO));
	atomic_store(hangs, false);
	CU_ASSERT_TRUE(answers(CLIENT, "\"state\":\"withdrawn\""));
	CU_ASSERT_TRUE(answers(CLIENT_TOO, "\"state\":\"withdrawn\""));
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
	munmap(hangs, sizeof(*hangs));
	hangs = NULL;
}

static void
test_show(void)
{
	test_told(KMN_ADMIN_REQUEST_SHOW);
}

static void
test_list(void)
{
	test_told(KMN_ADMIN_REQUEST_LIST);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"a request is shown as it is on the disk", test_show},
	    {"requests are listed as they are on the disk", test_list},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"keeper/durable", NULL, NULL, NULL, NULL, tests}, CU_SUITE_INFO_NULL};

	return kmn_test_main(argc, argv, suites);
}
