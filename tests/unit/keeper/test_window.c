/* Windows in a real keeper: opened by votes, used by calls at once, counted over restarts, bounded by content. */
#include "config.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kanmon/admin.h"
#include "kanmon/messages.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/run.h"

#define RULES(bounds) \
	"rule standing\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n" \
	"  per window 1h uses 3\n  expires 1h\n" bounds \
	"rule single\n  client ca\n  object pkcs11:token=mock-1;object=root\n  calls key-use\n  need keepers\n" \
	"rule rest\n  client ca\n  calls login session query key-use key-management random\n  need none\n"

static struct rig rig;
static struct rig_app app;
static CK_OBJECT_HANDLE key;
static uint8_t signature[512];

/* A call that waits, and can be asked for again. */
struct waiting {
	uint64_t number, request;
	uint8_t *payload;
	size_t len;
};

static void
prepare(const char *rules)
{
	rig_start(&rig, rules);
	rig_attach(&rig, &app, 1, &rig.ca);
	CU_ASSERT_EQUAL_FATAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_login(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL_FATAL(rig_generate(&rig, &app, "root", &key), CKR_OK);
	rig_open(&rig, 3, &rig.terminal);
	rig_open(&rig, 4, &rig.ca);
}

static void
finish(void)
{
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_end(&rig);
}

static void
sign_args(struct kmn_arg arg[3], const void *data, size_t data_len, CK_ULONG *len)
{
	union {
		const void *read_only;
		void *p;
	} bytes = {data};

	*len = sizeof(signature);
	arg[0] = (struct kmn_arg){.u = app.session};
	arg[1] = (struct kmn_arg){.p = bytes.p, .u = data_len};
	arg[2] = (struct kmn_arg){.p = signature, .n = len};
}

/* Signs at once, or says what came instead. */
static CK_RV
sign(const void *data, size_t data_len)
{
	struct kmn_arg arg[3];
	CK_ULONG len;

	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	sign_args(arg, data, data_len, &len);
	return rig_call(&rig, &app, KMN_C_Sign, arg, 3);
}

/* Signs, and is held: for the request that is told. */
static struct waiting
hold(const void *data, size_t data_len)
{
	struct waiting waiting = {0};
	struct kmn_arg arg[3];
	struct kmn_reader r;
	struct rig_frame f;
	CK_ULONG len;

	CU_ASSERT_EQUAL(rig_sign_init(&rig, &app, key), CKR_OK);
	sign_args(arg, data, data_len, &len);
	rig_payload(KMN_C_Sign, arg, 3, &waiting.payload, &waiting.len);
	waiting.number = ++app.number;
	rig_call_raw(&rig, app.conn, waiting.number, app.acknowledged, waiting.payload, waiting.len);
	CU_ASSERT_TRUE_FATAL(rig_expect(&rig, app.conn, KMN_F_HELD, &f));
	kmn_reader_init(&r, f.body, f.len);
	(void)kmn_reader_u64(&r);
	waiting.request = kmn_reader_u64(&r);
	return waiting;
}

/* Asks once more, as the provider does: the outcome, or CKR_VENDOR_DEFINED while it still waits. */
static CK_RV
ask_again(struct waiting *waiting)
{
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[3];
	struct rig_frame f;
	CK_RV rv = CKR_VENDOR_DEFINED;

	sign_args(arg, NULL, 0, &len);
	rig_call_raw(&rig, app.conn, waiting->number, app.acknowledged, waiting->payload, waiting->len);
	if (rig_expect(&rig, app.conn, KMN_F_REPLY, &f))
		CU_ASSERT_EQUAL(
		    kmn_response_decode(KMN_C_Sign, arg, 3, f.body + RIG_REPLY, f.len - RIG_REPLY, &rv), KMN_OK);
	return rv;
}

static void
forget(struct waiting *waiting)
{
	free(waiting->payload);
	waiting->payload = NULL;
}

static void
approve(uint64_t request)
{
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, request, "suzuki", "approve"), KMN_OK);
}

static bool
list_has(const char *text)
{
	char list[8192] = "";
	struct kmn_writer w;

	kmn_writer_init(&w, 16);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_LIST);
	kmn_writer_bool(&w, true);
	CU_ASSERT_EQUAL(rig_admin(&rig, 3, &w, list, sizeof(list)), KMN_OK);
	if (strstr(list, text) == NULL)
		printf("# %s\n", list);
	return strstr(list, text) != NULL;
}

/* The first call asks, people open, three run; the fourth asks anew. */
static void
test_life(void)
{
	struct waiting first, fourth;

	prepare(RULES(""));
	first = hold("one", 3);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, first.request, "sato", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 0);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, first.request, "suzuki", "approve"), KMN_OK);
	CU_ASSERT_EQUAL(ask_again(&first), CKR_OK);
	CU_ASSERT_TRUE(list_has("\"state\":\"window\""));
	CU_ASSERT_EQUAL(sign("two", 3), CKR_OK);
	CU_ASSERT_TRUE(list_has("\"used\":2,\"uses\":3"));
	CU_ASSERT_EQUAL(sign("two", 3), CKR_OK); /* another use, though the data is the same */
	CU_ASSERT_TRUE(list_has("\"state\":\"spent\""));
	fourth = hold("four", 4);
	CU_ASSERT_NOT_EQUAL(fourth.request, first.request);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 3);
	CU_ASSERT_EQUAL(rig_records(&rig, "decision", "\"window\":{"), 3);
	CU_ASSERT_EQUAL(rig_records(&rig, "intent", "\"op\":\"window\""), 2);
	forget(&first);
	forget(&fourth);
	finish();
}

/* Four wait for three uses: three run, each with a number of its own, the fourth waits for the next window. */
static void
test_together(void)
{
	CK_SESSION_HANDLE session[4];
	struct waiting waiting[4];
	unsigned done = 0;
	char use[32];

	prepare(RULES(""));
	for (size_t n = 0; n < 4; n++) {
		CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
		session[n] = app.session;
	}
	for (size_t n = 0; n < 4; n++) {
		app.session = session[n];
		waiting[n] = hold("data", 4);
		CU_ASSERT_EQUAL(waiting[n].request, waiting[0].request);
	}
	approve(waiting[0].request);
	for (int i = 0; i < 100 && (rig_records(&rig, "intent", "\"op\":\"window\"") < 2 ||
				       rig_records(&rig, "decision", "\"verdict\":\"spent\"") < 1 ||
				       rig_mock_calls(&rig, "C_Sign") < 3);
	     i++)
		rig_pump(&rig, 50);
	rig_pump(&rig, 300);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 3);
	for (unsigned n = 1; n <= 3; n++) {
		snprintf(use, sizeof(use), "\"use\":%u,\"verdict\":\"allow\"", n);
		done += rig_records(&rig, "decision", "\"rule\":\"standing\"") > 0 &&
			rig_records(&rig, "decision", use) > 0;
	}
	CU_ASSERT_EQUAL(done, 3);
	CU_ASSERT_EQUAL(rig_records(&rig, "decision", "\"verdict\":\"spent\""), 1);
	CU_ASSERT_EQUAL(rig_records(&rig, "intent", "\"op\":\"window\""), 2);
	for (size_t n = 0; n < 4; n++)
		forget(&waiting[n]);
	finish();
}

static bool
swallow(struct rig *r, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	struct kmn_response_view view;

	(void)r;
	(void)worker;
	return to_worker || m->kind != KMN_W_REPLY || m->len_bytes < 8 ||
	       kmn_response_view_decode(m->body + 8, m->len_bytes - 8, &view) != KMN_OK || view.id != KMN_C_Sign;
}

/* Killed while the HSM signs: nobody knows, so the use is gone; the window stays, also for one that starts by its
 * snapshot. */
static void
test_crash(void)
{
	struct waiting first;

	prepare(RULES(""));
	first = hold("one", 3);
	rig.spy = swallow;
	approve(first.request);
	for (int i = 0; i < 100 && rig_mock_calls(&rig, "C_Sign") == 0; i++)
		rig_pump(&rig, 50);
	rig_kill(&rig);
	rig.spy = NULL;
	rig_restart(&rig);
	CU_ASSERT_EQUAL(rig_records(&rig, "recovery", "\"unknown\""), 1);
	rig_open(&rig, 3, &rig.terminal);
	CU_ASSERT_TRUE(list_has("\"used\":1,\"uses\":3"));
	CU_ASSERT_EQUAL(rig_stop(&rig), 0);
	rig_restart(&rig);
	CU_ASSERT_TRUE(rig_said(&rig, "by its snapshot"));
	rig_open(&rig, 3, &rig.terminal);
	CU_ASSERT_TRUE(list_has("\"used\":1,\"uses\":3"));
	forget(&first);
	finish();
}

/* Its requester takes it back, or one with a veto stops it, before it is opened and after. */
static void
test_stopped(void)
{
	struct waiting waiting;
	struct kmn_writer w;
	char text[512];

	prepare(RULES(""));
	waiting = hold("one", 3);
	approve(waiting.request);
	CU_ASSERT_EQUAL(ask_again(&waiting), CKR_OK);
	kmn_writer_init(&w, 64);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_WITHDRAW);
	kmn_writer_u64(&w, waiting.request);
	kmn_writer_text(&w, "done");
	CU_ASSERT_EQUAL(rig_admin(&rig, 4, &w, text, sizeof(text)), KMN_OK);
	forget(&waiting);
	waiting = hold("two", 3);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, waiting.request, "tanaka", "veto"), KMN_OK);
	CU_ASSERT_EQUAL(ask_again(&waiting), CKR_FUNCTION_REJECTED);
	forget(&waiting);
	waiting = hold("three", 5);
	approve(waiting.request);
	CU_ASSERT_EQUAL(ask_again(&waiting), CKR_OK);
	CU_ASSERT_EQUAL(rig_vote(&rig, 3, waiting.request, "tanaka", "veto"), KMN_OK);
	CU_ASSERT_TRUE(list_has("\"state\":\"vetoed\""));
	forget(&waiting);
	waiting = hold("four", 4);
	forget(&waiting);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 2);
	finish();
}

/* ---- standing approval of CRLs ----------------------------------------------------------------------------------- */

static uint8_t *
crl_of(const char *issuer, int days, size_t *len_out)
{
	EVP_PKEY *signer = EVP_EC_gen("P-256");
	X509_NAME *name = X509_NAME_new();
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *at = ASN1_TIME_set(NULL, time(NULL));
	uint8_t *der = NULL;

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)issuer, -1, -1, 0);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, name);
	X509_CRL_set1_lastUpdate(crl, at);
	X509_CRL_set1_nextUpdate(crl, ASN1_TIME_adj(at, time(NULL), days, 0));
	X509_CRL_sign(crl, signer, EVP_sha256());
	*len_out = (size_t)i2d_re_X509_CRL_tbs(crl, &der);
	ASN1_TIME_free(at);
	X509_CRL_free(crl);
	X509_NAME_free(name);
	EVP_PKEY_free(signer);
	return der;
}

static void
test_standing(void)
{
	size_t len, other_len, late_len;
	uint8_t *crl = crl_of("Root", 7, &len), *other = crl_of("Other", 7, &other_len);
	uint8_t *late = crl_of("Root", 9, &late_len);
	struct waiting waiting, next;

	prepare(RULES("  content tbs-crl issuer=\"CN=Root\" next-update<=8d\n"));
	waiting = hold(crl, len);
	approve(waiting.request);
	CU_ASSERT_EQUAL(
	    rig_records(&rig, "statement", "\\nconstraint content tbs-crl issuer=\\\"CN=Root\\\" next-update<=8d\\n"),
	    1);
	CU_ASSERT_EQUAL(ask_again(&waiting), CKR_OK);
	CU_ASSERT_EQUAL(sign(crl, len), CKR_OK);
	forget(&waiting);
	/* What is outside of the bounds goes to the next rule, which asks people about this very call. */
	waiting = hold(other, other_len);
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	next = hold(late, late_len);
	CU_ASSERT_NOT_EQUAL(waiting.request, next.request);
	for (int i = 0; i < 100 && rig_records(&rig, "statement", "rule single") < 2; i++)
		rig_pump(&rig, 50);
	CU_ASSERT_EQUAL(rig_records(&rig, "statement", "rule single"), 2);
	CU_ASSERT_EQUAL(rig_mock_calls(&rig, "C_Sign"), 2);
	CU_ASSERT_EQUAL(rig_open_session(&rig, &app), CKR_OK);
	CU_ASSERT_EQUAL(sign("no CRL", 6), CKR_FUNCTION_REJECTED);
	CU_ASSERT_TRUE(list_has("\"used\":2,\"uses\":3"));
	forget(&waiting);
	forget(&next);
	OPENSSL_free(crl);
	OPENSSL_free(other);
	OPENSSL_free(late);
	finish();
}

int
main(int argc, char **argv)
{
	static CU_TestInfo cases[] = {
	    {"the first call asks, people open, calls run until it is used up", test_life},
	    {"calls at once: each its own use, none beyond the last", test_together},
	    {"killed while the HSM works: the use is gone, the window is not", test_crash},
	    {"withdrawn, vetoed", test_stopped},
	    {"a standing approval of CRLs: each is looked at", test_standing},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {{"keeper/window", NULL, NULL, NULL, NULL, cases}, CU_SUITE_INFO_NULL};

	signal(SIGPIPE, SIG_IGN);
	return kmn_test_main(argc, argv, suites);
}
