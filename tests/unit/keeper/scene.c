#include "config.h"

#include "tests/unit/keeper/scene.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kanmon/admin.h"
#include "kanmon/receipt.h"
#include "kanmon/attach.h"
#include "kanmon/log.h"
#include "kanmon/messages.h"
#include "kanmon/policy.h"
#include "kanmon/quorum.h"
#include "kanmon/signed.h"
#include "kanmon/store.h"
#include "tests/unit/keeper/contents.h"
#include "tests/unit/keeper/next_policy.h"
#include "tests/unit/quorum/signer.h"
#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#define TERMINAL 3 /* connection; applications have 1 and 2, their tools 4 and 5 */
#define TOOL 4
#define TICK_MS 1000 /* the keeper looks at its clock when that much has passed */
#define ANSWER_TRIES 300

/* Shared with the keeper's process. */
struct scene_clock {
	int64_t wall, boot;
};

static struct kmn_log_sources sources;
static struct rig_module module;
static char module_key[96], module_drop[96];

static uint64_t
wall_ms(void *cookie)
{
	return (uint64_t)((struct scene_clock *)cookie)->wall;
}

static uint64_t
boot_ms(void *cookie)
{
	return (uint64_t)((struct scene_clock *)cookie)->boot;
}

static void
adapt(struct kmn_keeper_setup *setup, void *cookie)
{
	(void)cookie;
	setup->sources = &sources;
	setup->limits.requests = SCENE_REQUESTS;
	setup->limits.requests_per_client = SCENE_REQUESTS;
}

static const struct test_certificate *
certificate(struct scene *s, unsigned who)
{
	return who == SCENE_CA ? &s->rig.ca : &s->rig.other;
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

/* One key pair for all workers: the module holds its objects in memory only. */
static void
write_key(struct scene *s)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *file = NULL;
	int fd;

	strcpy(s->pem, "/tmp/kanmon-scene-XXXXXX");
	fd = mkstemp(s->pem);
	CU_ASSERT_TRUE_FATAL(fd >= 0 && (file = fdopen(fd, "w")) != NULL);
	CU_ASSERT_EQUAL(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	EVP_PKEY_free(key);
}

/* What comes from the module for the function that is to be lost is dropped. */
static bool
lose(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	const struct scene *s = rig->spy_cookie;
	struct kmn_response_view view;

	(void)worker;
	return s->lost == NULL || to_worker || m->kind != KMN_W_REPLY || m->len_bytes < 8 ||
	       kmn_response_view_decode(m->body + 8, m->len_bytes - 8, &view) != KMN_OK ||
	       strcmp(kmn_call_row(view.id)->name, s->lost) != 0;
}

/* The first signature that comes by when it is to: one bit of it is another. False: nothing was done. */
static bool
forge(struct scene *s, struct rig_worker *worker, const struct kmn_ipc_message *m)
{
	const struct kmn_result *signature;
	struct kmn_response_view view;
	uint8_t copy[4096];

	if (m->kind != KMN_W_REPLY || m->len_bytes > sizeof(copy) || m->len_bytes < 8)
		return false;
	memcpy(copy, m->body, m->len_bytes);
	if (kmn_response_view_decode(copy + 8, m->len_bytes - 8, &view) != KMN_OK || view.id != KMN_C_Sign ||
	    (signature = kmn_response_bytes(&view)) == NULL)
		return false;
	copy[signature->bytes - copy] ^= 1;
	s->forges = false;
	CU_ASSERT_EQUAL(kmn_ipc_send(worker->keeper, m->kind, copy, m->len_bytes, -1), KMN_OK);
	return true;
}

static bool
meddle(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *m)
{
	struct scene *s = rig->spy_cookie;

	if (s->forges && !to_worker && forge(s, worker, m))
		return false;
	return lose(rig, worker, to_worker, m);
}

static void
open_desks(struct scene *s)
{
	rig_open(&s->rig, TERMINAL, &s->rig.terminal);
	rig_open(&s->rig, TOOL + SCENE_CA, &s->rig.ca);
	rig_open(&s->rig, TOOL + SCENE_OTHER, &s->rig.other);
}

void
scene_start(struct scene *s, const char *tokens, const char *token_lines, const char *rules)
{
	memset(s, 0, sizeof(*s));
	s->clock = mmap(NULL, sizeof(*s->clock), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_TRUE_FATAL(s->clock != MAP_FAILED);
	*s->clock = (struct scene_clock){SCENE_START_MS, 100 * TICK_MS};
	kmn_log_sources_system(&sources);
	sources.now_ms = wall_ms;
	sources.boot_ms = boot_ms;
	sources.cookie = s->clock;
	write_key(s);
	snprintf(module_key, sizeof(module_key), "KMN_MOCK_KEY=%s", s->pem);
	snprintf(module_drop, sizeof(module_drop), "KMN_MOCK_DROP=%s.drop", s->pem);
	module = (struct rig_module){.name = "mock", .environment = {module_key, module_drop}};
	if (tokens != NULL && strstr(tokens, "mock-2") != NULL)
		module.environment[2] = "KMN_MOCK_SLOTS=2";
	s->plan = (struct rig_plan){.modules = &module,
	    .module_count = 1,
	    .tokens = tokens != NULL ? tokens : "mock-1",
	    .token_lines = token_lines != NULL ? token_lines : "token mock-1\n",
	    .adapt = adapt,
	    .sources = &sources};
	rig_start_with(&s->rig, &s->plan, rules);
	s->rig.spy = meddle;
	s->rig.spy_cookie = s;
	s->policy = rig_policy(&s->rig);
	open_desks(s);
}

static void
forget_actors(struct scene *s)
{
	memset(s->actor, 0, sizeof(s->actor));
	for (size_t n = 0; n < s->requests; n++) {
		free(s->request[n].payload); /* nobody asks for it once more */
		s->request[n].payload = NULL;
	}
}

void
scene_crash(struct scene *s)
{
	rig_kill(&s->rig);
	forget_actors(s);
}

void
scene_restart(struct scene *s)
{
	s->lost = NULL;
	if (s->rig.supervisor != NULL)
		CU_ASSERT_EQUAL(rig_stop(&s->rig), 0);
	forget_actors(s);
	s->clock->boot += TICK_MS;
	s->clock->wall += TICK_MS;
	rig_restart(&s->rig);
	open_desks(s);
}

void
scene_drop(struct scene *s)
{
	char path[80];
	FILE *file;

	snprintf(path, sizeof(path), "%s.drop", s->pem);
	CU_ASSERT_PTR_NOT_NULL_FATAL(file = fopen(path, "w"));
	fclose(file);
}

/* ---- what records say ---------------------------------------------------------------------------------------------- */

static kmn_err
store_blob(void *cookie, const uint8_t sha256[32], uint8_t **bytes_out, size_t *len_out)
{
	return kmn_blob_read(cookie, sha256, bytes_out, len_out);
}

/* The auditor's view: a quorum made of the records alone. */
static struct kmn_quorum *
replay(struct kmn_store *store)
{
	struct kmn_quorum_settings settings = {.blob = store_blob, .cookie = store};
	struct kmn_finding finding = {{0}, 0, {0}};
	struct kmn_record record;
	struct kmn_quorum *q;
	char *line;
	size_t len;

	CU_ASSERT_EQUAL_FATAL(kmn_quorum_new(&settings, &q), KMN_OK);
	for (size_t i = 0; kmn_store_line(store, i, &line, &len) == KMN_OK; i++) {
		CU_ASSERT_EQUAL_FATAL(kmn_record_parse(line, len, &record, NULL), KMN_OK);
		CU_ASSERT_EQUAL(kmn_quorum_apply(q, &record, &finding), KMN_OK);
		if (finding.text[0] != '\0')
			printf("# record %zu: %s: %s\n", i, finding.check, finding.text);
		kmn_record_clear(&record);
		free(line);
	}
	return q;
}

/* As the keeper says it of a request. */
static const char *
state_in(const struct kmn_quorum *q, uint64_t id, int64_t now)
{
	const struct kmn_request *r = kmn_quorum_request(q, id);

	if (r == NULL)
		return "ended";
	if (r->state == KMN_REQUEST_OPEN && r->awaits)
		return "waits for its content";
	if (r->state == KMN_REQUEST_OPEN && kmn_quorum_needs_window(r))
		return "waits for its window";
	if (r->state == KMN_REQUEST_OPEN || r->state == KMN_REQUEST_OFFERED)
		return kmn_quorum_is_met(q, r, now) ? "approved" : "open";
	return kmn_request_state_name(r->state);
}

void
scene_agree(struct scene *s)
{
	char told[SCENE_REQUESTS][32], path[96];
	struct kmn_store *store;
	struct kmn_quorum *q;

	for (size_t n = 0; n < s->requests; n++)
		snprintf(told[n], sizeof(told[n]), "%s", scene_state(s, &s->request[n]));
	CU_ASSERT_EQUAL(rig_stop(&s->rig), 0);
	forget_actors(s);
	CU_ASSERT_EQUAL(rig_verify(&s->rig), 0);
	snprintf(path, sizeof(path), "%s/ledger", s->rig.dir);
	CU_ASSERT_EQUAL_FATAL(kmn_store_files(path, &store), KMN_OK);
	q = replay(store);
	for (size_t n = 0; n < s->requests; n++) {
		const char *recorded = state_in(q, s->request[n].id, s->clock->wall);

		CU_ASSERT_STRING_EQUAL(told[n], recorded);
		if (strcmp(told[n], recorded) != 0)
			printf("# request %s: the keeper says %s, the records %s\n", s->request[n].name, told[n],
			    recorded);
	}
	kmn_quorum_free(q);
	kmn_store_files_free(store);
}

void
scene_end(struct scene *s)
{
	if (s->rig.supervisor != NULL)
		scene_agree(s);
	rig_end(&s->rig);
	for (size_t n = 0; n < s->requests; n++)
		free(s->request[n].payload);
	for (size_t n = 0; n < SCENE_CONTENTS; n++)
		OPENSSL_free(s->content[n].bytes);
	free(s->policy);
	free(s->note);
	(void)unlink(s->pem);
	munmap(s->clock, sizeof(*s->clock));
}

/* ---- questions of the tool ------------------------------------------------------------------------------------------ */

static uint32_t
ask(struct scene *s, uint32_t conn, struct kmn_writer *w)
{
	s->answer[0] = '\0';
	return rig_admin(&s->rig, conn, w, s->answer, sizeof(s->answer));
}

/* A member of the last answer. */
static void
said(const struct scene *s, const char *object, const char *member, char *out, size_t size)
{
	json_t *all = json_loads(s->answer, 0, NULL), *of = object == NULL ? all : json_object_get(all, object);
	const char *text = json_string_value(json_object_get(of, member));

	snprintf(out, size, "%s", text == NULL ? "" : text);
	json_decref(all);
}

/* The second answer comes after the turn in which the keeper looked at its clock. */
static void
prod(struct scene *s)
{
	struct kmn_writer w;

	for (int i = 0; i < 2 && s->rig.supervisor != NULL; i++) {
		kmn_writer_init(&w, 16);
		kmn_writer_u16(&w, KMN_ADMIN_CHECKPOINT);
		CU_ASSERT_EQUAL(ask(s, TERMINAL, &w), KMN_OK);
	}
}

int64_t
scene_now(const struct scene *s)
{
	return s->clock->wall;
}

void
scene_pass(struct scene *s, int64_t ms)
{
	s->clock->wall += ms;
	s->clock->boot += ms;
	prod(s);
}

void
scene_set_wall(struct scene *s, int64_t ms)
{
	s->clock->wall += ms;
	scene_pass(s, TICK_MS);
}

static uint32_t
show(struct scene *s, const struct scene_request *r)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 32);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_SHOW);
	kmn_writer_u64(&w, r->id);
	return ask(s, TERMINAL, &w);
}

const char *
scene_state(struct scene *s, const struct scene_request *r)
{
	static char state[64];

	if (show(s, r) != KMN_OK)
		return "ended";
	said(s, "request", "state", state, sizeof(state));
	return state;
}

/* It comes when the intent is durable. */
char *
scene_statement(struct scene *s, const struct scene_request *r)
{
	static char text[8192];

	for (int i = 0; i < ANSWER_TRIES; i++) {
		if (show(s, r) != KMN_OK)
			return NULL;
		said(s, NULL, "statement", text, sizeof(text));
		if (text[0] != '\0')
			return strdup(text);
		usleep(1000);
	}
	return NULL;
}

/* Takes `note`. */
static const char *
bring(struct scene *s, char *note)
{
	static char check[sizeof(s->answer)];
	struct kmn_writer w;
	uint32_t e;

	kmn_writer_init(&w, 65536);
	kmn_writer_u16(&w, KMN_ADMIN_NOTE_SUBMIT);
	kmn_writer_text(&w, note);
	free(note);
	e = ask(s, TERMINAL, &w);
	if (e == KMN_OK)
		said(s, NULL, "check", check, sizeof(check));
	else
		snprintf(check, sizeof(check), "%s", s->answer);
	return check;
}

const char *
scene_bring(struct scene *s, const char *text, const char *names)
{
	return bring(s, world_sign(text, names));
}

static struct signer *
security_key(const char *name)
{
	static struct signer keys[4];
	static char names[4][32];
	size_t n = 0;

	while (n < KMN_COUNT_OF(keys) && keys[n].secret != NULL && strcmp(names[n], name) != 0)
		n++;
	CU_ASSERT_TRUE_FATAL(n < KMN_COUNT_OF(keys));
	if (keys[n].secret == NULL) {
		snprintf(names[n], sizeof(names[n]), "%s", name);
		signer_init(&keys[n], names[n], KMN_EVIDENCE_WEBAUTHN_ES256, 0);
	}
	return &keys[n];
}

const char *
scene_touch_vkey(const char *name)
{
	return security_key(name)->vkey;
}

const char *
scene_touch(struct scene *s, const struct scene_request *r, const char *name, const char *origin, const char *rp_id)
{
	struct signer_says says = signer_honest;
	char *statement = scene_statement(s, r), *text, *note;

	if (statement == NULL)
		return "no statement";
	says.origin = origin;
	says.rp_id = rp_id;
	CU_ASSERT_EQUAL_FATAL(kmn_statement_turn(statement, KMN_APPROVE, NULL, &text), KMN_OK);
	note = signer_note(security_key(name), text, &says);
	free(text);
	free(statement);
	return bring(s, note);
}

const char *
scene_vote(struct scene *s, const struct scene_request *r, enum kmn_decision decision, const char *names)
{
	char *statement = scene_statement(s, r), *text;
	const char *check = "no statement";

	if (statement == NULL)
		return check;
	CU_ASSERT_EQUAL_FATAL(
	    kmn_statement_turn(statement, decision, decision == KMN_APPROVE ? NULL : "not today", &text), KMN_OK);
	check = scene_bring(s, text, names);
	free(text);
	free(statement);
	return check;
}

const char *
scene_withdraw(struct scene *s, const struct scene_request *r, unsigned by)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 64);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_WITHDRAW);
	kmn_writer_u64(&w, r->id);
	kmn_writer_text(&w, "not needed");
	return ask(s, TOOL + by, &w) == KMN_OK ? "ok" : s->answer;
}

const char *
scene_submit(struct scene *s, const char *const pairs[], const char *names)
{
	char *text = next_policy(s->policy, pairs);

	s->answer[0] = '\0';
	if (submit_policy(&s->rig, TERMINAL, text, names, s->answer, sizeof(s->answer)) != KMN_OK) {
		free(text);
		return s->answer;
	}
	free(s->policy);
	s->policy = text;
	return "ok";
}

/* ---- tokens of which something is wrong ----------------------------------------------------------------------------- */

static json_t *
status(struct scene *s)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 16);
	kmn_writer_u16(&w, KMN_ADMIN_STATUS);
	CU_ASSERT_EQUAL(ask(s, TERMINAL, &w), KMN_OK);
	return json_loads(s->answer, 0, NULL);
}

const char *
scene_stance(struct scene *s, const char *token)
{
	static char state[512];
	json_t *all = status(s);
	const char *text =
	    json_string_value(json_object_get(json_object_get(json_object_get(all, "stances"), token), "state"));

	snprintf(state, sizeof(state), "%s", text == NULL ? "none" : text);
	json_decref(all);
	return state;
}

const char *
scene_replay(struct scene *s)
{
	return bring_note(&s->rig, TERMINAL, KMN_ADMIN_NOTE_SUBMIT, s->note, s->answer, sizeof(s->answer)) == KMN_OK
		   ? "ok"
		   : s->answer;
}

const char *
scene_reopen(struct scene *s, const char *token, const char *names, uint64_t anomaly, const char *origin)
{
	char named[KMN_SIGNED_PAIR_BYTES], at[KMN_SIGNED_PAIR_BYTES], *text;
	struct kmn_signed_pair pair[] = {{"origin", origin}, {"policy", named}, {"token", token}, {"anomaly", at},
	    {"reason", "the cable was loose"}};
	uint8_t leaf[KMN_HASH_BYTES] = {0};
	struct kmn_policy_error error;
	struct kmn_policy *policy;
	json_t *all = status(s), *of = json_object_get(json_object_get(all, "stances"), token);
	uint64_t i = 0;

	if (kmn_json_get_number(of, "anomaly", &i))
		CU_ASSERT_TRUE(kmn_json_get_b64(of, "leaf", leaf, sizeof(leaf)));
	json_decref(all);
	CU_ASSERT_EQUAL_FATAL(kmn_policy_parse(s->policy, strlen(s->policy), &policy, &error), KMN_OK);
	if (origin == NULL)
		pair[0].value = kmn_policy_origin(policy);
	kmn_signed_number_hash(kmn_policy_version(policy), kmn_policy_sha256(policy), named);
	kmn_signed_number_hash(anomaly != 0 ? anomaly : i, leaf, at);
	CU_ASSERT_EQUAL_FATAL(kmn_signed_make(KMN_SIGNED_REOPEN, pair, KMN_COUNT_OF(pair), &text, NULL), KMN_OK);
	kmn_policy_free(policy);
	free(s->note);
	s->note = world_sign(text, names);
	free(text);
	return scene_replay(s);
}

const char *
scene_complain(struct scene *s, unsigned by, const char *fault, uint64_t number)
{
	static const uint8_t seen[2 * KMN_HASH_BYTES] = {'w', 'h', 'a', 't', ' ', 'i', 't', ' ', 's', 'a', 'w'};
	struct scene_actor *a = &s->actor[by];
	struct kmn_writer w;

	kmn_writer_init(&w, 256);
	kmn_writer_u16(&w, KMN_ADMIN_BAD_RECEIPT);
	kmn_writer_u64(&w, number != 0 ? number : a->app.number);
	kmn_writer_text(&w, fault);
	kmn_writer_raw(&w, seen, sizeof(seen));
	if (ask(s, a->app.conn, &w) != KMN_OK)
		return s->answer;
	return strstr(s->answer, "true") != NULL ? "ok" : "counted";
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

struct scene_request *
scene_request(struct scene *s, const char *name)
{
	for (size_t n = s->requests; n > 0; n--)
		if (strcmp(s->request[n - 1].name, name) == 0)
			return &s->request[n - 1];
	return NULL;
}

static struct scene_request *
add_request(struct scene *s, const char *name, unsigned by, uint64_t id)
{
	struct scene_request *r;

	CU_ASSERT_TRUE_FATAL(s->requests < SCENE_REQUESTS);
	r = &s->request[s->requests++];
	*r = (struct scene_request){.id = id, .by = by};
	snprintf(r->name, sizeof(r->name), "%s", name);
	return r;
}

/* What `data` of a line stands for. */
static void
bytes_of(struct scene *s, const char *data, const uint8_t **bytes_out, size_t *len_out)
{
	struct scene_content *c = s->content;

	*bytes_out = (const uint8_t *)data;
	*len_out = strlen(data);
	if (data[0] != '@')
		return;
	while (c < s->content + SCENE_CONTENTS && c->bytes != NULL && strcmp(c->name, data) != 0)
		c++;
	CU_ASSERT_TRUE_FATAL(c < s->content + SCENE_CONTENTS);
	if (c->bytes == NULL) {
		snprintf(c->name, sizeof(c->name), "%s", data);
		c->bytes = content_make(data + 1, (time_t)(s->clock->wall / 1000), &c->len);
		CU_ASSERT_PTR_NOT_NULL_FATAL(c->bytes);
	}
	*bytes_out = c->bytes;
	*len_out = c->len;
}

static const char *
made_ahead(struct scene *s, const char *name, unsigned by, struct kmn_writer *w)
{
	json_t *answer;

	if (ask(s, TOOL + by, w) != KMN_OK)
		return s->answer;
	answer = json_loads(s->answer, 0, NULL);
	add_request(s, name, by, (uint64_t)json_integer_value(json_object_get(answer, "id")));
	json_decref(answer);
	return "ok";
}

const char *
scene_ahead(struct scene *s, const struct scene_signing *what)
{
	struct kmn_attached nothing = {0};
	uint8_t nonce[32] = {(uint8_t)s->requests, 1};
	const uint8_t *data;
	struct kmn_writer w;
	size_t len;

	kmn_writer_init(&w, 8192);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_NEW);
	kmn_writer_text(&w, "mock-1");
	kmn_writer_text(&w, what->key);
	kmn_writer_bytes(&w, NULL, 0);
	kmn_writer_text(&w, what->mechanism == CKM_ECDSA_SHA384 ? "CKM_ECDSA_SHA384" : "CKM_ECDSA_SHA256");
	bytes_of(s, what->data, &data, &len);
	kmn_writer_bytes(&w, data, len);
	kmn_writer_text(&w, "the test");
	kmn_writer_u32(&w, 0);
	kmn_writer_raw(&w, nonce, sizeof(nonce));
	kmn_attached_put(&w, &nothing);
	return made_ahead(s, what->name, what->by, &w);
}

const char *
scene_window(struct scene *s, const char *name, const char *rule, const char *key, unsigned by)
{
	uint8_t nonce[32] = {(uint8_t)s->requests, 2};
	struct kmn_writer w;

	kmn_writer_init(&w, 1024);
	kmn_writer_u16(&w, KMN_ADMIN_WINDOW_NEW);
	kmn_writer_text(&w, rule);
	kmn_writer_text(&w, "mock-1");
	kmn_writer_text(&w, key);
	kmn_writer_bytes(&w, NULL, 0);
	kmn_writer_text(&w, "the test");
	kmn_writer_u32(&w, 0);
	kmn_writer_raw(&w, nonce, sizeof(nonce));
	return made_ahead(s, name, by, &w);
}

static uint64_t
newest_window(struct scene *s)
{
	uint64_t id = 0;
	struct kmn_writer w;
	json_t *all, *one;
	size_t n;

	kmn_writer_init(&w, 16);
	kmn_writer_u16(&w, KMN_ADMIN_REQUEST_LIST);
	kmn_writer_bool(&w, false);
	CU_ASSERT_EQUAL(ask(s, TERMINAL, &w), KMN_OK);
	all = json_loads(s->answer, 0, NULL);
	json_array_foreach(json_object_get(all, "requests"), n,
	    one) if (strcmp(json_string_value(json_object_get(one, "state")), "open") == 0 &&
		     json_object_get(one, "window") != NULL) id =
	    (uint64_t)json_integer_value(json_object_get(one, "id"));
	json_decref(all);
	return id;
}

const char *
scene_asked(struct scene *s, const char *name)
{
	uint64_t id = 0;

	for (int i = 0; i < ANSWER_TRIES && (id = newest_window(s)) == 0; i++)
		rig_pump(&s->rig, 20);
	if (id == 0)
		return "none";
	add_request(s, name, SCENE_CA, id);
	return "ok";
}

/* ---- calls --------------------------------------------------------------------------------------------------------- */

static const char *
rv_word(CK_RV rv)
{
	static char other[32];
	const char *name = kmn_rv_name(rv);

	if (rv == CKR_OK)
		return "ok";
	snprintf(other, sizeof(other), "CKR_0x%08lx", (unsigned long)rv);
	return name != NULL ? name : other;
}

const char *
scene_attach(struct scene *s, unsigned who)
{
	struct scene_actor *a = &s->actor[who];
	CK_RV rv;

	memset(&a->app, 0, sizeof(a->app));
	a->app.claim.receipts = s->receipts;
	CU_ASSERT_TRUE_FATAL(rig_attach_claiming(&s->rig, &a->app, 1 + who, certificate(s, who)));
	a->attached = true;
	if ((rv = rig_open_session(&s->rig, &a->app)) == CKR_OK)
		rv = rig_login(&s->rig, &a->app);
	return rv_word(rv);
}

/* Calls that wait keep their numbers, all others are done with. */
static void
acknowledge(struct scene *s, unsigned by)
{
	struct rig_app *app = &s->actor[by].app;

	app->acknowledged = app->number + 1;
	for (size_t n = 0; n < s->requests; n++)
		if (s->request[n].by == by && s->request[n].payload != NULL && s->request[n].number < app->acknowledged)
			app->acknowledged = s->request[n].number;
}

/* HELD or REPLY to a call, whichever comes; "waits": neither, the keeper said nothing for a while. */
static bool
outcome(struct scene *s, uint32_t conn, uint64_t number, struct rig_frame *out)
{
	for (int tries = 0; tries < ANSWER_TRIES && !rig_gone(&s->rig); tries++) {
		for (size_t i = 0; i < s->rig.frames; i++) {
			struct rig_frame *f = &s->rig.frame[i];
			struct kmn_reader r;
			bool ours;

			kmn_reader_init(&r, f->body, f->len);
			ours = f->conn == conn &&
			       (f->type == KMN_F_HELD || f->type == KMN_F_REPLY || rig_is_closed(f, number)) &&
			       kmn_reader_u64(&r) == number;
			if (!ours)
				continue;
			*out = *f;
			if (f->type == KMN_F_REFUSED)
				rig_keep_reason(&s->rig, f);
			memmove(f, f + 1, (--s->rig.frames - i) * sizeof(*f));
			return true;
		}
		rig_pump(&s->rig, 50);
	}
	return false;
}

static const char *
read_outcome(const struct rig_frame *f, uint64_t *request_out)
{
	uint8_t signature[512];
	CK_ULONG len = sizeof(signature);
	struct kmn_arg arg[3] = {{.u = 0}, {.p = NULL}, {.p = signature, .n = &len}};
	struct kmn_reader r;
	const uint8_t *at;
	CK_RV rv = CKR_OK;
	size_t rest;

	if (f->type == KMN_F_HELD) {
		kmn_reader_init(&r, f->body, f->len);
		(void)kmn_reader_u64(&r);
		*request_out = kmn_reader_u64(&r);
		return "held";
	}
	if (f->type == KMN_F_REFUSED)
		return rv_word(kmn_err_ckr(KMN_E_STALE));
	kmn_reader_init(&r, f->body, f->len);
	(void)kmn_reader_u64(&r);
	(void)kmn_reader_bytes(&r, KMN_RECEIPT_MAX_BYTES, &at);
	rest = kmn_reader_rest(&r, &at);
	CU_ASSERT_EQUAL(kmn_response_decode(KMN_C_Sign, arg, 3, at, rest, &rv), KMN_OK);
	return rv_word(rv);
}

static CK_OBJECT_HANDLE
find_key(struct scene *s, unsigned by, const char *label)
{
	struct scene_actor *a = &s->actor[by];
	CK_OBJECT_CLASS class = strcmp(label, "seed") == 0 ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
	char name[32];
	CK_ATTRIBUTE t[] = {{CKA_LABEL, name, strlen(label)}, {CKA_CLASS, &class, sizeof(class)}};
	CK_ULONG n = 0;
	size_t i = 0;
	struct kmn_arg init[] = {{.u = a->app.session}, {.p = t, .u = 2}};
	struct kmn_arg next[] = {{.u = a->app.session}, {.p = &a->key[0], .u = 1, .n = &n}};
	struct kmn_arg final[] = {{.u = a->app.session}};

	snprintf(name, sizeof(name), "%s", label);
	while (i < SCENE_KEYS - 1 && a->label[i][0] != '\0' && strcmp(a->label[i], label) != 0)
		i++;
	if (a->key[i] != 0)
		return a->key[i];
	next[1].p = &a->key[i];
	if (rig_call(&s->rig, &a->app, KMN_C_FindObjectsInit, init, 2) != CKR_OK)
		return 0;
	CU_ASSERT_EQUAL(rig_call(&s->rig, &a->app, KMN_C_FindObjects, next, 2), CKR_OK);
	CU_ASSERT_EQUAL(rig_call(&s->rig, &a->app, KMN_C_FindObjectsFinal, final, 1), CKR_OK);
	snprintf(a->label[i], sizeof(a->label[i]), "%s", label);
	return n == 1 ? a->key[i] : 0;
}

static void
put_content(struct scene *s, struct kmn_writer *w, const char *data, const char *over)
{
	const uint8_t *bytes, *econtent = NULL;
	size_t len, econtent_len = 0;

	bytes_of(s, data, &bytes, &len);
	if (over != NULL)
		bytes_of(s, over, &econtent, &econtent_len);
	kmn_writer_bytes(w, bytes, len);
	kmn_writer_bytes(w, econtent, econtent_len);
	kmn_writer_text(w, "");
	kmn_writer_bytes(w, NULL, 0);
}

const char *
scene_give(struct scene *s, const struct scene_request *r, const char *data, const char *over, unsigned by)
{
	struct kmn_writer w;

	kmn_writer_init(&w, 8192);
	kmn_writer_u16(&w, KMN_ADMIN_ATTACH);
	kmn_writer_u64(&w, r->id);
	put_content(s, &w, data, over);
	return ask(s, TOOL + by, &w) == KMN_OK ? "ok" : s->answer;
}

/* For the next signature of the application's session. */
static const char *
give_next(struct scene *s, const struct scene_signing *what)
{
	const struct rig_app *app = &s->actor[what->by].app;
	struct kmn_writer w;

	kmn_writer_init(&w, 8192);
	kmn_writer_u16(&w, KMN_ADMIN_ATTACH_NEXT);
	kmn_writer_raw(&w, app->id, sizeof(app->id));
	kmn_writer_u64(&w, app->session);
	put_content(s, &w, what->next, what->over);
	return ask(s, TOOL + what->by, &w) == KMN_OK ? "ok" : s->answer;
}

const char *
scene_sign(struct scene *s, const struct scene_signing *what)
{
	struct scene_actor *a = &s->actor[what->by];
	CK_MECHANISM mechanism = {what->mechanism, NULL, 0};
	CK_OBJECT_HANDLE key = find_key(s, what->by, what->key);
	union {
		const uint8_t *read_only;
		void *p;
	} data;
	uint8_t signature[512], digest[KMN_HASH_BYTES], *payload;
	CK_ULONG len = sizeof(signature);
	struct kmn_arg init[] = {{.u = 0}, {.p = &mechanism}, {.u = key}};
	struct kmn_arg arg[] = {{.u = 0}, {.p = NULL}, {.p = signature, .n = &len}};
	struct scene_request *r;
	struct rig_frame f;
	const char *word;
	uint64_t request = 0;
	size_t size;
	CK_RV rv;

	if ((rv = rig_open_session(&s->rig, &a->app)) != CKR_OK)
		return rv_word(rv);
	init[0].u = arg[0].u = a->app.session; /* a session is busy as long as its call waits */
	if ((rv = rig_call(&s->rig, &a->app, KMN_C_SignInit, init, 3)) != CKR_OK)
		return rv_word(rv);
	if (what->next != NULL && strcmp(word = give_next(s, what), "ok") != 0)
		return word;
	bytes_of(s, what->data, &data.read_only, &size);
	if (what->mechanism == CKM_ECDSA) {
		kmn_sha256(data.read_only, size, digest);
		data.read_only = digest;
		size = sizeof(digest);
	}
	arg[1] = (struct kmn_arg){.p = data.p, .u = size};
	rig_payload(KMN_C_Sign, arg, 3, &payload, &size);
	acknowledge(s, what->by);
	rig_call_raw(&s->rig, a->app.conn, ++a->app.number, a->app.acknowledged, payload, size);
	if (!outcome(s, a->app.conn, a->app.number, &f)) {
		free(payload);
		return "silence";
	}
	word = read_outcome(&f, &request);
	if (strcmp(word, "held") != 0) {
		free(payload);
		return word;
	}
	r = add_request(s, what->name, what->by, request);
	r->number = a->app.number;
	r->payload = payload;
	r->payload_len = size;
	return word;
}

const char *
scene_again(struct scene *s, struct scene_request *r)
{
	struct rig_app *app = &s->actor[r->by].app;
	struct rig_frame f = {0};
	const char *word = "held";
	uint64_t request;

	/* It may be on its way to the module. */
	for (int i = 0; i < ANSWER_TRIES / 10 && strcmp(word, "held") == 0; i++) {
		if (i > 0)
			rig_pump(&s->rig, 20);
		rig_call_raw(&s->rig, app->conn, r->number, app->acknowledged, r->payload, r->payload_len);
		word = outcome(s, app->conn, r->number, &f) ? read_outcome(&f, &request) : "silence";
	}
	if (f.type == KMN_F_REPLY || f.type == KMN_F_REFUSED) {
		free(r->payload);
		r->payload = NULL;
		acknowledge(s, r->by);
	}
	return word;
}

const char *
scene_random(struct scene *s, unsigned by)
{
	uint8_t out[32];
	struct kmn_arg arg[] = {{.u = s->actor[by].app.session}, {.p = out, .u = sizeof(out)}};

	return rv_word(rig_call(&s->rig, &s->actor[by].app, KMN_C_GenerateRandom, arg, 2));
}

const char *
scene_elsewhere(struct scene *s, unsigned by)
{
	struct rig_app *app = &s->actor[by].app;
	CK_SESSION_HANDLE session = 0;
	uint8_t out[32];
	struct kmn_arg open[] = {{.u = 22}, {.u = CKF_SERIAL_SESSION | CKF_RW_SESSION}, {.p = NULL}, {.p = &session}};
	struct kmn_arg arg[] = {{.u = 0}, {.p = out, .u = sizeof(out)}};
	CK_RV rv = rig_call(&s->rig, app, KMN_C_OpenSession, open, KMN_COUNT_OF(open));

	arg[0].u = session;
	return rv_word(rv == CKR_OK ? rig_call(&s->rig, app, KMN_C_GenerateRandom, arg, 2) : rv);
}

const char *
scene_look(struct scene *s, unsigned by)
{
	CK_SESSION_INFO info;
	struct kmn_arg arg[] = {{.u = s->actor[by].app.session}, {.p = &info}};

	return rv_word(rig_call(&s->rig, &s->actor[by].app, KMN_C_GetSessionInfo, arg, 2));
}

/* An AES key; its handle is found by its label later. */
const char *
scene_make(struct scene *s, unsigned by, const char *label, bool extractable)
{
	CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
	CK_BBOOL may = extractable ? CK_TRUE : CK_FALSE, yes = CK_TRUE;
	CK_ULONG bytes = 16;
	CK_OBJECT_HANDLE made;
	char name[32];
	CK_ATTRIBUTE t[] = {{CKA_LABEL, name, strlen(label)}, {CKA_VALUE_LEN, &bytes, sizeof(bytes)},
	    {CKA_EXTRACTABLE, &may, sizeof(may)}, {CKA_SENSITIVE, &yes, sizeof(yes)}};
	struct kmn_arg arg[] = {
	    {.u = s->actor[by].app.session}, {.p = &mechanism}, {.p = t, .u = KMN_COUNT_OF(t)}, {.p = &made}};

	snprintf(name, sizeof(name), "%s", label);
	return rv_word(rig_call(&s->rig, &s->actor[by].app, KMN_C_GenerateKey, arg, 4));
}

const char *
scene_import(struct scene *s, unsigned by, const char *label)
{
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_AES;
	CK_OBJECT_HANDLE made;
	char name[32], value[16] = "0123456789abcde";
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)},
	    {CKA_LABEL, name, strlen(label)}, {CKA_VALUE, value, sizeof(value)}};
	struct kmn_arg arg[] = {{.u = s->actor[by].app.session}, {.p = t, .u = KMN_COUNT_OF(t)}, {.p = &made}};

	snprintf(name, sizeof(name), "%s", label);
	return rv_word(rig_call(&s->rig, &s->actor[by].app, KMN_C_CreateObject, arg, 3));
}
