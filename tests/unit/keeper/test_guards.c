/*
 * Rollback and double writers (ledger.md 2.6): a real keeper over a ledger of which older copies, other branches and
 * second writers are made, with guards beside it.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "kanmon/admin.h"
#include "kanmon/guard.h"
#include "kanmon/rescue.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

static const struct rig_module mock = {.name = "mock", .environment = {"KMN_MOCK_INTERFACES=3.2"}};
static const char rules[] =
    "rule free\n  client ca other\n  calls login session query random key-use key-management\n  need none\n";

/* What the keeper's process is given beside the rig's own. */
struct scene {
	struct rig rig;
	struct rig_app app;
	char guard[128];  /* path of the file */
	bool object;      /* a guard in the module, too */
	bool no_guard;    /* none at all */
	char *authorised; /* note of --recovery */
	uint32_t low_water_mib, scrub_ms;
};

/* Free space as the keeper sees it, in MiB; SIZE_MAX: as it is. Shared with the keeper's process. */
static uint64_t *disk_mib;

int
fstatvfs(int fd, struct statvfs *out)
{
	(void)fd;
	memset(out, 0, sizeof(*out));
	out->f_frsize = out->f_bsize = 1 << 20;
	out->f_bavail = out->f_bfree = *(volatile uint64_t *)disk_mib;
	return 0;
}

static void
adapt(struct kmn_keeper_setup *setup, void *cookie)
{
	static struct kmn_guard guards[2];
	const struct scene *s = cookie;
	unsigned n = 0;

	setup->low_water_mib = s->low_water_mib;
	setup->scrub_ms = s->scrub_ms;
	setup->reserve_mib = 1;
	setup->authorised = s->authorised;
	if (s->no_guard)
		return;
	guards[n++] = (struct kmn_guard){
	    .name = "disk", .path = s->guard, .fd = open(s->guard, O_RDWR | O_CLOEXEC), .every_ms = 1000};
	if (s->object)
		guards[n++] =
		    (struct kmn_guard){.name = "token", .fd = -1, .module = 0, .token = "mock-1", .every_ms = 1000};
	setup->guards = guards;
	setup->guard_count = n;
}

static void
begin(struct scene *s, bool object)
{
	struct rig_plan plan = {.modules = &mock,
	    .module_count = 1,
	    .tokens = "mock-1",
	    .token_lines = "token mock-1\n",
	    .adapt = adapt,
	    .adapt_cookie = s};
	int fd;

	*disk_mib = 1000;
	snprintf(s->guard, sizeof(s->guard), "/tmp/kanmon-guard-XXXXXX");
	CU_ASSERT_TRUE_FATAL((fd = mkstemp(s->guard)) >= 0);
	close(fd);
	s->object = object;
	rig_start_with(&s->rig, &plan, rules);
}

static void
end(struct scene *s)
{
	rig_end(&s->rig);
	(void)unlink(s->guard);
	free(s->authorised);
}

/* A line for the shell, which knows its two words as $A and $B. */
static void
run(const char *line, const char *a, const char *b)
{
	CU_ASSERT_TRUE_FATAL(setenv("A", a, 1) == 0 && setenv("B", b, 1) == 0 && system(line) == 0);
}

static void
save(const struct scene *s, const char *as)
{
	run("cp -a $A/ledger $A/$B", s->rig.dir, as);
}

static void
put_back(const struct scene *s, const char *from)
{
	run("rm -rf $A/ledger && cp -a $A/$B $A/ledger", s->rig.dir, from);
}

static bool
starts(struct scene *s)
{
	return rig_try(&s->rig);
}

static void
restart_and_stop(struct scene *s)
{
	rig_restart(&s->rig);
	CU_ASSERT_EQUAL(rig_stop(&s->rig), 0);
}

/* ---- rollback ---------------------------------------------------------------------------------------------------- */

static void
test_older_copy(void)
{
	struct scene s = {.object = false};

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	save(&s, "old");
	restart_and_stop(&s);
	save(&s, "new");
	put_back(&s, "old");
	CU_ASSERT_FALSE(starts(&s));
	CU_ASSERT_TRUE(rig_said(&s.rig, "HALT: guard \"disk\" holds a head of"));
	put_back(&s, "new");
	restart_and_stop(&s);
	end(&s);
}

static void
test_other_branch(void)
{
	struct scene s = {.object = false};

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	save(&s, "fork");
	restart_and_stop(&s);
	save(&s, "main");
	put_back(&s, "fork");
	s.no_guard = true;
	restart_and_stop(&s); /* the same number of records, and other ones */
	s.no_guard = false;
	CU_ASSERT_FALSE(starts(&s));
	CU_ASSERT_TRUE(rig_said(&s.rig, "with another root"));
	put_back(&s, "main");
	restart_and_stop(&s);
	end(&s);
}

static void
test_no_ledger(void)
{
	struct scene s = {.object = false};

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	run("mv $A/ledger $A/$B && mkdir $A/ledger", s.rig.dir, "kept");
	CU_ASSERT_FALSE(starts(&s));
	run("rmdir $A/ledger && mv $A/$B $A/ledger", s.rig.dir, "kept");
	end(&s);
}

/* A guard that holds what nobody of this ledger signed says nothing, and is not passed over. */
static void
test_foreign_bytes(void)
{
	struct scene s = {.object = false};

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	run("cp $B $A/guard && yes x | head -c 8192 > $B", s.rig.dir, s.guard);
	CU_ASSERT_FALSE(starts(&s));
	CU_ASSERT_TRUE(rig_said(&s.rig, "it holds no note that this ledger's key signed"));
	run("cp $A/guard $B", s.rig.dir, s.guard);
	restart_and_stop(&s);
	end(&s);
}

static void
test_recorded(void)
{
	struct scene s = {.object = false};

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	restart_and_stop(&s);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "gateway.start", "\"kind\":\"file\",\"name\":\"disk\""), 2);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "gateway.start", "\"size\":0}"), 1);
	end(&s);
}

/* ---- two writers ------------------------------------------------------------------------------------------------- */

static void
test_second_copy(void)
{
	struct scene s = {.object = false}, copy;

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	save(&s, "ledger.copy");
	rig_restart(&s.rig);
	copy = s;
	copy.rig.plan.adapt_cookie = &copy;
	snprintf(copy.rig.dir, sizeof(copy.rig.dir), "%.50s.copy", s.rig.dir);
	run("mkdir $B && cp -a $A/ledger.copy $B/ledger", s.rig.dir, copy.rig.dir);
	memset(copy.rig.worker, 0, sizeof(copy.rig.worker));
	CU_ASSERT_FALSE(starts(&copy));
	CU_ASSERT_TRUE(rig_said(&copy.rig, "another gateway holds it"));
	run("rm -rf $B", "", copy.rig.dir);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	end(&s);
}

static void
test_second_on_the_same(void)
{
	struct scene s = {.no_guard = true}, second;

	begin(&s, false);
	second = s;
	second.rig.plan.adapt_cookie = &second;
	memset(second.rig.worker, 0, sizeof(second.rig.worker));
	CU_ASSERT_FALSE(starts(&second));
	CU_ASSERT_TRUE(rig_said(&s.rig, "another process writes this ledger"));
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	end(&s);
}

/* A cloned machine has no lock in common with the first, but the guard's bytes: whoever comes second sees a head that
 * it did not put there. */
static void
test_clone(void)
{
	struct scene s = {.object = false}, clone;
	struct rig_app app;

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	save(&s, "ledger.clone");
	clone = s;
	clone.rig.plan.adapt_cookie = &clone;
	snprintf(clone.rig.dir, sizeof(clone.rig.dir), "%.50s.clone", s.rig.dir);
	snprintf(clone.guard, sizeof(clone.guard), "%s/guard", clone.rig.dir);
	run("mkdir $B && cp -a $A/ledger.clone $B/ledger", s.rig.dir, clone.rig.dir);
	run("cp $A $B", s.guard, clone.guard);
	rig_restart(&s.rig);
	restart_and_stop(&clone);
	run("cp $B $A", s.guard, clone.guard);  /* the disk that both see */
	rig_attach(&s.rig, &app, 1, &s.rig.ca); /* the first writes on, and looks at its guard */
	CU_ASSERT_EQUAL(rig_wait(&s.rig), 1);
	CU_ASSERT_TRUE(rig_said(&s.rig, "HALT: guard \"disk\" holds a head that this gateway did not put there"));
	run("rm -rf $B", "", clone.rig.dir);
	end(&s);
}

/* ---- authorised recovery ----------------------------------------------------------------------------------------- */

static char *
proposal(const struct scene *s)
{
	char path[128], *text = calloc(1, 8192);
	FILE *from;

	snprintf(path, sizeof(path), "%s/ledger/state/recovery.proposal", s->rig.dir);
	CU_ASSERT_PTR_NOT_NULL_FATAL(from = fopen(path, "r"));
	CU_ASSERT_TRUE(fread(text, 1, 8191, from) > 0);
	fclose(from);
	return text;
}

static char *
signed_by(const struct scene *s, const char *people)
{
	char *lines = proposal(s), *text, *note;
	uint8_t nonce[32] = {7};

	CU_ASSERT_EQUAL_FATAL(kmn_rescue_complete(lines, "the newest copy is lost", nonce, &text), KMN_OK);
	note = world_sign(text, people);
	free(lines);
	free(text);
	return note;
}

static void
test_authorised(void)
{
	struct scene s = {.object = false};

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	save(&s, "old");
	restart_and_stop(&s);
	put_back(&s, "old");
	CU_ASSERT_FALSE(starts(&s));
	s.authorised = signed_by(&s, "sato");
	CU_ASSERT_FALSE(starts(&s));
	CU_ASSERT_TRUE(rig_said(&s.rig, "signed by 1 of the 2 persons that role policy"));
	free(s.authorised);
	s.authorised = signed_by(&s, "sato suzuki");
	restart_and_stop(&s);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "recovery", "\"verdict\":\"overruled\""), 1);
	CU_ASSERT_EQUAL(rig_records(&s.rig, "recovery", "kanmon/recovery/v1"), 1);
	CU_ASSERT_EQUAL(rig_verify(&s.rig), 0);
	restart_and_stop(&s); /* the note is of no use any more, and does no harm */
	CU_ASSERT_EQUAL(rig_records(&s.rig, "recovery", "kanmon/recovery/v1"), 1);
	save(&s, "accepted");
	put_back(&s, "old"); /* what it accepted once was one head of the guard, and that is gone */
	CU_ASSERT_FALSE(starts(&s));
	put_back(&s, "accepted");
	end(&s);
}

/* ---- space ------------------------------------------------------------------------------------------------------- */

static CK_RV
random_bytes(struct scene *s)
{
	uint8_t out[32];
	struct kmn_arg arg[] = {{.u = s->app.session}, {.p = out, .u = sizeof(out)}};

	return rig_call(&s->rig, &s->app, KMN_C_GenerateRandom, arg, 2);
}

static CK_ULONG
device_error(struct scene *s)
{
	CK_SESSION_INFO info = {.ulDeviceError = 999};
	struct kmn_arg arg[] = {{.u = s->app.session}, {.p = &info}};

	CU_ASSERT_EQUAL(rig_call(&s->rig, &s->app, KMN_C_GetSessionInfo, arg, 2), CKR_OK);
	return info.ulDeviceError;
}

static void
attach(struct scene *s)
{
	rig_attach(&s->rig, &s->app, 1, &s->rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&s->rig, &s->app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&s->rig, &s->app), CKR_OK);
}

static void
test_low_water(void)
{
	struct scene s = {.low_water_mib = 64};
	CK_OBJECT_HANDLE key, other;
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	struct kmn_writer body;
	char text[2048];

	begin(&s, false);
	attach(&s);
	CU_ASSERT_EQUAL(rig_generate(&s.rig, &s.app, "key", &key), CKR_OK);
	*disk_mib = 63;
	rig_pump(&s.rig, 300); /* the disk is asked five times a second */
	(void)usleep(250000);
	CU_ASSERT_EQUAL(random_bytes(&s), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(device_error(&s), KMN_E_SPACE);
	CU_ASSERT_EQUAL(rig_generate(&s.rig, &s.app, "never", &other), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_sign_init(&s.rig, &s.app, key), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_GenerateRandom") + rig_mock_calls(&s.rig, "C_SignInit"), 0);
	CU_ASSERT_EQUAL(rig_mock_calls(&s.rig, "C_GenerateKeyPair"), 1);
	CU_ASSERT_TRUE(rig_said(&s.rig, "nearly full: 63 MiB are free, low-water is 64"));
	rig_open(&s.rig, 3, &s.rig.terminal);
	kmn_writer_init(&body, 64);
	kmn_writer_u16(&body, KMN_ADMIN_CHECKPOINT);
	CU_ASSERT_EQUAL(rig_admin(&s.rig, 3, &body, text, sizeof(text)), KMN_OK);
	*disk_mib = 65;
	(void)usleep(250000);
	CU_ASSERT_EQUAL(random_bytes(&s), CKR_OK); /* by itself */
	CU_ASSERT_EQUAL(rig_sign_init(&s.rig, &s.app, key), CKR_OK);
	CU_ASSERT_EQUAL(rig_sign(&s.rig, &s.app, "data", signature, &len), CKR_OK);
	*disk_mib = 1;
	(void)usleep(250000);
	CU_ASSERT_EQUAL(random_bytes(&s), CKR_DEVICE_ERROR);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0); /* cleanly */
	CU_ASSERT_EQUAL(rig_records(&s.rig, "gateway.stop", NULL), 1);
	end(&s);
}

/* A guard that takes nothing any more: sealed memory stands for a disk that went away. */
static void
test_guard_fails(void)
{
	struct scene s = {.low_water_mib = 0};
	int fd = memfd_create("guard", MFD_ALLOW_SEALING);
	bool refused = false;

	begin(&s, false);
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	(void)unlink(s.guard);
	snprintf(s.guard, sizeof(s.guard), "/proc/%ld/fd/%d", (long)getpid(), fd);
	rig_restart(&s.rig);
	attach(&s);
	CU_ASSERT_EQUAL(random_bytes(&s), CKR_OK);
	CU_ASSERT_EQUAL(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	for (int i = 0; i < 100 && !refused; i++) {
		refused = random_bytes(&s) == CKR_DEVICE_ERROR;
		rig_pump(&s.rig, 50);
	}
	CU_ASSERT_TRUE(refused);
	CU_ASSERT_EQUAL(device_error(&s), KMN_E_GUARD);
	CU_ASSERT_TRUE(rig_said(&s.rig, "guard \"disk\": it cannot be written"));
	CU_ASSERT_EQUAL(rig_stop(&s.rig), 0);
	close(fd);
	end(&s);
}

static CU_TestInfo space_tests[] = {
    {"below the low-water mark nothing reaches the module that needs a record, and above it goes on by itself",
	test_low_water},
    {"while a guard cannot be written no call of class A or B begins", test_guard_fails},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo rollback_tests[] = {
    {"a ledger that is an older copy than its guard does not start", test_older_copy},
    {"a ledger of the same size with another root does not start", test_other_branch},
    {"where the ledger was removed none begins", test_no_ledger},
    {"a guard that holds foreign bytes stops the start", test_foreign_bytes},
    {"gateway.start says what the guards held", test_recorded},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo writer_tests[] = {
    {"a second process on the same folder is refused", test_second_on_the_same},
    {"a copy of the folder with the same key is refused by the guard", test_second_copy},
    {"of a machine and its clone one halts at the guard", test_clone},
    CU_TEST_INFO_NULL,
};

static CU_TestInfo recovery_tests[] = {
    {"only the quorum lets a ledger go on behind its guard, and the ledger says so", test_authorised},
    CU_TEST_INFO_NULL,
};

int
main(int argc, char **argv)
{
	CU_SuiteInfo suites[] = {
	    {"keeper/guards/rollback", NULL, NULL, NULL, NULL, rollback_tests},
	    {"keeper/guards/writers", NULL, NULL, NULL, NULL, writer_tests},
	    {"keeper/guards/recovery", NULL, NULL, NULL, NULL, recovery_tests},
	    {"keeper/guards/space", NULL, NULL, NULL, NULL, space_tests},
	    CU_SUITE_INFO_NULL,
	};

	disk_mib = mmap(NULL, sizeof(*disk_mib), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return disk_mib == MAP_FAILED ? 1 : kmn_test_main(argc, argv, suites);
}
