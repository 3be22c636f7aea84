/* What others see of the rig's keeper: the auditor, the kanmon tool, the console; calls and records counted. */
#include "config.h"

#include "tests/unit/keeper/rig_parts.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "kanmon/admin.h"
#include "kanmon/console.h"
#include "kanmon/checker.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

/* ---- the auditor ------------------------------------------------------------------------------------------------- */

static void
said(void *cookie, enum kmn_check check, enum kmn_severity severity, const struct kmn_place *place, const char *text)
{
	(void)cookie;
	if (severity != KMN_INFO)
		printf("# V%d record %lld: %s\n", (int)check, (long long)place->index, text);
}

void
rig_trust(const struct rig *rig, char *text, size_t size)
{
	uint8_t secret[KMN_ED25519_SECRET_BYTES], policy_sha256[KMN_HASH_BYTES];
	char vkey[KMN_VKEY_MAX_BYTES], b64[64], *policy;
	struct kmn_store *here;
	size_t len;

	rig_log_key_text(secret, vkey);
	CU_ASSERT_EQUAL_FATAL(kmn_store_files(rig->dir, &here), KMN_OK);
	CU_ASSERT_EQUAL_FATAL(kmn_store_read(here, "policy", 65536, &policy, &len), KMN_OK);
	kmn_sha256(policy, len, policy_sha256);
	kmn_b64(policy_sha256, sizeof(policy_sha256), b64);
	free(policy);
	kmn_store_files_free(here);
	snprintf(text, size, "kanmon/trust/v1\norigin " ORIGIN "\npolicy-sha256 %s\nlog %s\n%s\nquorum none\n", b64,
	    vkey, rig->plan.trust == NULL ? "" : rig->plan.trust);
}

int
rig_verify(struct rig *rig)
{
	char path[128], trust_text[1024];
	static const struct kmn_checker *const more[] = {&kmn_channels_checker, &kmn_quorum_checker, NULL};
	struct kmn_verify_settings settings = {.more = more, .sink = {.say = said}};
	struct kmn_verify_report report;
	struct kmn_trust trust;

	rig_trust(rig, trust_text, sizeof(trust_text));
	CU_ASSERT_EQUAL_FATAL(kmn_trust_parse(trust_text, strlen(trust_text), &trust, NULL), KMN_OK);
	snprintf(path, sizeof(path), "%s/ledger", rig->dir);
	CU_ASSERT_EQUAL_FATAL(kmn_store_files(path, &settings.store), KMN_OK);
	settings.trust = &trust;
	CU_ASSERT_EQUAL(kmn_verify(&settings, &report), KMN_OK);
	if (report.exit_code == 0 && !rig->verified_often)
		shadow_ledger(settings.store);
	kmn_store_files_free(settings.store);
	return report.exit_code;
}

static void
remove_all(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	char inner[512];

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		remove_all(inner);
	}
	if (dir != NULL)
		closedir(dir);
	(void)remove(path);
}

static void
end(struct rig *rig, int exit_code)
{
	CU_ASSERT_EQUAL(rig_verify(rig), exit_code);
	remove_all(rig->dir);
}

void
rig_end(struct rig *rig)
{
	end(rig, 0);
}

void
rig_end_refused(struct rig *rig)
{
	end(rig, 1);
}

/* ---- the kanmon tool's questions --------------------------------------------------------------------------------- */

uint32_t
rig_admin(struct rig *rig, uint32_t conn, struct kmn_writer *body, char *text, size_t size)
{
	struct rig_frame f;
	struct kmn_reader r;
	const uint8_t *view;
	uint32_t error;
	size_t len;

	rig_send(rig, conn, KMN_F_ADMIN, body);
	if (!rig_expect(rig, conn, KMN_F_ADMIN_REPLY, &f))
		return UINT32_MAX;
	kmn_reader_init(&r, f.body, f.len);
	error = kmn_reader_u32(&r);
	len = kmn_reader_bytes(&r, sizeof(f.body), &view);
	CU_ASSERT_EQUAL(kmn_reader_end(&r), KMN_OK);
	if (text != NULL)
		snprintf(text, size, "%.*s", (int)len, (const char *)view);
	return error;
}

/* The recorded statement of a request, from the ledger's file. */
static char *
statement_of(const struct rig *rig, uint64_t request)
{
	char path[160], line[KMN_LINE_MAX_BYTES + 2], *text = NULL;
	FILE *file;

	snprintf(path, sizeof(path), "%s/ledger/seg/00000000000000000000.kl", rig->dir);
	file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		struct kmn_record record;
		struct kmn_ref ref;
		const char *found;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || kmn_record_parse(line, strlen(line), &record, NULL) != KMN_OK)
			continue;
		if (record.kind == KMN_R_STATEMENT && kmn_ref_get(record.body, "request", &ref) && ref.i == request &&
		    kmn_json_get_text(record.body, "text", &found)) {
			free(text);
			text = strdup(found);
		}
		kmn_record_clear(&record);
	}
	if (file != NULL)
		fclose(file);
	return text;
}

uint32_t
rig_vote(struct rig *rig, uint32_t conn, uint64_t request, const char *name, const char *decision)
{
	enum kmn_decision d = strcmp(decision, "reject") == 0 ? KMN_REJECT
			      : strcmp(decision, "veto") == 0 ? KMN_VETO
							      : KMN_APPROVE;
	char *statement = NULL, *text, *note;
	struct kmn_writer w;

	for (int i = 0; i < 100 && statement == NULL; i++) {
		rig_pump(rig, 50);
		statement = statement_of(rig, request);
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(statement);
	CU_ASSERT_EQUAL_FATAL(kmn_statement_turn(statement, d, d == KMN_APPROVE ? NULL : "no", &text), KMN_OK);
	note = world_sign(text, name);
	kmn_writer_init(&w, 65536);
	kmn_writer_u16(&w, KMN_ADMIN_NOTE_SUBMIT);
	kmn_writer_text(&w, note);
	free(statement);
	free(text);
	free(note);
	return rig_admin(rig, conn, &w, NULL, 0);
}

/* ---- what can be seen from outside ------------------------------------------------------------------------------- */

unsigned
rig_mock_calls(const struct rig *rig, const char *function)
{
	FILE *file = fopen(rig->mock_log, "r");
	char line[256];
	unsigned n = 0;

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		n += strncmp(line, function, strlen(function)) == 0 && line[strlen(function)] == ' ';
	if (file != NULL)
		fclose(file);
	return n;
}

unsigned
rig_records(const struct rig *rig, const char *type, const char *with)
{
	char path[160], line[KMN_LINE_MAX_BYTES + 2], wanted[64];
	unsigned n = 0, pending = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/ledger/seg/00000000000000000000.kl", rig->dir);
	snprintf(wanted, sizeof(wanted), "\"type\":\"%s\"", type);
	file = fopen(path, "r");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (strncmp(line, "#commit ", 8) == 0) {
			n += pending;
			pending = 0;
		} else if (strstr(line, wanted) != NULL && (with == NULL || strstr(line, with) != NULL)) {
			pending++;
		}
	}
	if (file != NULL)
		fclose(file);
	return n;
}

uint32_t
rig_ask(struct rig *rig, struct rig_asked *asked, uint8_t op, struct kmn_writer *fields)
{
	struct rig_told told = {.tag = ++rig->tag, .error = UINT32_MAX};
	int64_t until = rig_now_ms() + WAIT_MS;
	struct kmn_writer w;

	free(asked->text);
	asked->text = NULL;
	kmn_writer_init(&w, KMN_MESSAGE_MAX_BYTES);
	kmn_writer_u32(&w, told.tag);
	kmn_writer_u8(&w, op);
	kmn_writer_raw(&w, asked->session, sizeof(asked->session));
	kmn_writer_raw(&w, asked->csrf, sizeof(asked->csrf));
	if (fields != NULL) {
		CU_ASSERT_EQUAL(fields->err, KMN_OK);
		kmn_writer_raw(&w, fields->bytes, fields->len);
		kmn_writer_clear(fields);
	}
	rig->told = &told;
	CU_ASSERT_EQUAL(kmn_ipc_send_writer(rig->console, KMN_CONSOLE_ASK, &w), KMN_OK);
	kmn_writer_clear(&w);
	while (!told.came && rig->console != NULL && rig_now_ms() < until && !rig_gone(rig))
		rig_pump(rig, 100);
	rig->told = NULL;
	asked->text = told.text;
	if (op == KMN_UI_SIGN_IN || op == KMN_UI_SIGN_IN_TLS)
		memcpy(asked->session, told.session, sizeof(told.session));
	return told.error;
}
