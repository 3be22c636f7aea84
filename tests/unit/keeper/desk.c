#include "config.h"

#include "tests/unit/keeper/desk.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "kanmon/admin.h"
#include "kanmon/messages.h"
#include "tests/unit/run.h"

#define TERMINAL 15 /* connection */

static uint64_t
clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t
now_ms(void *cookie)
{
	return clock_ms(CLOCK_REALTIME) + (uint64_t)((struct desk_clock *)cookie)->wall;
}

static uint64_t
boot_ms(void *cookie)
{
	return clock_ms(CLOCK_BOOTTIME) + (uint64_t)((struct desk_clock *)cookie)->boot;
}

void
desk_pass(struct desk *desk, int64_t ms)
{
	desk->clock->wall += ms;
	desk->clock->boot += ms;
}

/* The second answer comes from another socket than the first: a turn of the keeper's loop lies between them. */
void
desk_settle(struct desk *desk)
{
	struct rig_asked nobody = {.text = NULL};
	struct kmn_writer w;
	char answer[16384];
	uint32_t error;

	if (!desk->terminal)
		rig_open(&desk->rig, TERMINAL, &desk->rig.terminal);
	desk->terminal = true;
	kmn_writer_init(&w, 16);
	kmn_writer_u16(&w, KMN_ADMIN_POLICY);
	CU_ASSERT_EQUAL(rig_admin(&desk->rig, TERMINAL, &w, answer, sizeof(answer)), KMN_OK);
	CU_ASSERT_PTR_NULL(desk_ask(desk, &nobody, KMN_UI_SESSION, NULL, &error));
	free(nobody.text);
}

static void
adapt(struct kmn_keeper_setup *setup, void *cookie)
{
	struct desk *desk = cookie;

	setup->console_client = "ca";
	setup->sources = &desk->sources;
}

void
desk_start(struct desk *desk, const char *rules)
{
	desk_start_on(desk, "token mock-1\n", rules);
}

void
desk_start_on(struct desk *desk, const char *token_lines, const char *rules)
{
	desk_start_in(desk, NULL, token_lines, rules);
}

void
desk_start_in(struct desk *desk, const char *environment, const char *token_lines, const char *rules)
{
	struct rig_plan plan = {.tokens = "mock-1 operators tanaka",
	    .token_lines = desk->lines,
	    .console = true,
	    .adapt = adapt,
	    .adapt_cookie = desk};

	memset(desk, 0, sizeof(*desk));
	desk->clock = mmap(NULL, sizeof(*desk->clock), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_TRUE_FATAL(desk->clock != MAP_FAILED);
	kmn_log_sources_system(&desk->sources);
	desk->sources.now_ms = now_ms;
	desk->sources.boot_ms = boot_ms;
	desk->sources.cookie = desk->clock;
	desk->module = (struct rig_module){.name = "mock", .environment = {environment}};
	plan.modules = &desk->module;
	plan.module_count = 1;
	signer_init(&desk->sato, "sato-key", KMN_EVIDENCE_WEBAUTHN_ES256, 0);
	signer_init(&desk->suzuki, "suzuki-key", KMN_EVIDENCE_WEBAUTHN_EDDSA, 0);
	signer_init(&desk->tanaka, "tanaka-key", KMN_EVIDENCE_WEBAUTHN_ES256, 0);
	signer_init(&desk->stranger, "stranger", KMN_EVIDENCE_WEBAUTHN_ES256, 0);
	(void)snprintf(desk->lines, sizeof(desk->lines),
	    "custodian sato person:000 %s\ncustodian suzuki person:001 %s\ncustodian tanaka person:002 %s\n"
	    "webauthn desk origin " SIGNER_ORIGIN " rp-id " SIGNER_RP " independent\n%s",
	    desk->sato.vkey, desk->suzuki.vkey, desk->tanaka.vkey, token_lines);
	rig_start_with(&desk->rig, &plan, rules);
}

static void
end(struct desk *desk, void (*verify)(struct rig *rig))
{
	CU_ASSERT_EQUAL(rig_stop(&desk->rig), 0);
	verify(&desk->rig);
	signer_clear(&desk->sato);
	signer_clear(&desk->suzuki);
	signer_clear(&desk->tanaka);
	signer_clear(&desk->stranger);
	(void)munmap(desk->clock, sizeof(*desk->clock));
}

void
desk_end(struct desk *desk)
{
	end(desk, rig_end);
}

void
desk_end_refused(struct desk *desk)
{
	end(desk, rig_end_refused);
}

json_t *
desk_ask(struct desk *desk, struct rig_asked *asked, uint8_t op, struct kmn_writer *fields, uint32_t *error_out)
{
	uint32_t error = rig_ask(&desk->rig, asked, op, fields);
	json_t *value = NULL;

	if (error_out != NULL)
		*error_out = error;
	if (error == KMN_OK) {
		value = json_loads(asked->text, 0, NULL);
		CU_ASSERT_PTR_NOT_NULL(value);
	} else if (error_out == NULL) {
		printf("# op %u: %s: %s\n", op, kmn_err_name((kmn_err)error), asked->text != NULL ? asked->text : "");
		CU_FAIL("it is answered");
	}
	return value;
}

void
desk_put_assertion(struct kmn_writer *w, const struct signer *who, const char *text, const struct signer_says *says)
{
	uint8_t packed[KMN_NOTE_SIG_MAX_BYTES];
	size_t len = signer_sign(who, text, says, packed), at = 0;

	kmn_writer_u8(w, 1);
	kmn_writer_text(w, text);
	for (unsigned part = 0; part < 3; part++) { /* as kmn_evidence_assertion() packed them */
		size_t n = (size_t)packed[at] << 8 | packed[at + 1];

		CU_ASSERT_FATAL(at + 2 + n <= len);
		kmn_writer_bytes(w, packed + at + 2, n);
		at += 2 + n;
	}
	CU_ASSERT_EQUAL(at, len);
}

static void
take_csrf(struct rig_asked *asked, const json_t *session)
{
	const char *csrf = desk_text(session, "csrf");
	size_t len;

	CU_ASSERT_EQUAL(sodium_base642bin(asked->csrf, sizeof(asked->csrf), csrf, strlen(csrf), NULL, &len, NULL,
			    sodium_base64_VARIANT_URLSAFE_NO_PADDING),
	    0);
	CU_ASSERT_EQUAL(len, sizeof(asked->csrf));
}

void
desk_put_peer(struct kmn_writer *w, const char *address)
{
	kmn_writer_text(w, address);
	kmn_writer_text(w, "TLS1.3");
	kmn_writer_text(w, "TLS_AES_256_GCM_SHA384");
}

uint32_t
desk_sign_in(struct desk *desk, struct rig_asked *asked, const struct signer *who)
{
	struct kmn_writer w;
	uint32_t error;
	json_t *value;

	memset(asked->session, 0, sizeof(asked->session));
	kmn_writer_init(&w, 4096);
	kmn_writer_text(&w, SIGNER_ORIGIN);
	if ((value = desk_ask(desk, asked, KMN_UI_SIGN_IN_TEXT, &w, &error)) == NULL)
		return error;
	CU_ASSERT_STRING_EQUAL(desk_text(value, "rp_id"), SIGNER_RP);
	kmn_writer_init(&w, 65536);
	desk_put_peer(&w, "192.0.2.7");
	desk_put_assertion(&w, who, desk_text(value, "text"), &signer_honest);
	json_decref(value);
	if ((value = desk_ask(desk, asked, KMN_UI_SIGN_IN, &w, &error)) != NULL)
		take_csrf(asked, value);
	json_decref(value);
	return error;
}

struct kmn_writer
desk_u64(uint64_t value)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 1 << 21);
	kmn_writer_u64(&w, value);
	return w;
}

struct kmn_writer *
desk_flag(bool value)
{
	static struct kmn_writer w;

	kmn_writer_init(&w, 1);
	kmn_writer_bool(&w, value);
	return &w;
}

const char *
desk_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text != NULL ? text : "";
}

uint64_t
desk_number(const json_t *object, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(object, name));
}
