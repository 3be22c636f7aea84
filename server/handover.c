#include "config.h"

#include "server/handover_parts.h"

#include <sodium.h>
#include <string.h>
#include <unistd.h>

#include "kanmon/types.h"

#define WORKER_FILES 1024u
#define KEEPER_SPARE_FILES 64u
#define GATE_SPARE_FILES 32u
#define COURIER_FILES 256u
#define CONSOLE_SPARE_FILES 32u

/* ---- values ------------------------------------------------------------------------------------------------------ */

void
handover_put_text(struct kmn_writer *w, const char *text)
{
	kmn_writer_bytes(w, text, text != NULL ? strlen(text) + 1 : 0);
}

const char *
handover_get_text(struct kmn_reader *r)
{
	const uint8_t *view;
	size_t len = kmn_reader_bytes(r, KMN_HANDOVER_MAX_BYTES, &view);

	if (len == 0)
		return NULL;
	if (view[len - 1] != '\0')
		kmn_reader_fail(r, KMN_E_MALFORMED);
	return (const char *)view;
}

/* A structure of nothing but uint32_t. */
static void
put_numbers(struct kmn_writer *w, const void *numbers, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
		uint32_t number;

		memcpy(&number, (const uint8_t *)numbers + i, sizeof(number));
		kmn_writer_u32(w, number);
	}
}

static void
get_numbers(struct kmn_reader *r, void *numbers, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint32_t)) {
		uint32_t number = kmn_reader_u32(r);

		memcpy((uint8_t *)numbers + i, &number, sizeof(number));
	}
}

/* ---- modules' types, for who sees calls -------------------------------------------------------------------------- */

/* Who sees calls reads them: gate, keeper and the console's own client those of every module, a worker those of its own. */
static bool
sees_calls(enum kmn_role role)
{
	return role < KMN_ROLE_COURIER || role == KMN_ROLE_RUNNER;
}

static void
put_types(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m,
    const struct kmn_module_settings *only)
{
	kmn_writer_u32(w, s->module_count);
	for (unsigned i = 0; i < s->module_count; i++)
		handover_put_text(w, only == NULL || only == &s->modules[i] ? m->types[i] : NULL);
}

/* They stay in use as long as the process. */
static void
get_types(struct kmn_reader *r)
{
	uint32_t n = kmn_reader_count(r, KMN_MODULES_MAX, 4);

	for (uint32_t i = 0; i < n; i++) {
		const char *text = handover_get_text(r);
		char why[KMN_TYPES_WHY_BYTES];
		struct kmn_types *types;

		if (text == NULL || r->err != KMN_OK)
			continue;
		if (kmn_types_parse("types", text, strlen(text), &kmn_abi_own, why, &types) != KMN_OK ||
		    !kmn_types_use(types))
			kmn_reader_fail(r, KMN_E_CONFIG);
	}
}

/* ---- what each role gets; the keeper: handover_keeper.c ---------------------------------------------------------- */

static void
put_worker(struct kmn_writer *w, const struct kmn_assignment *assignment)
{
	const struct kmn_module_settings *module = assignment->module;

	kmn_writer_bool(w, assignment->watching);
	kmn_writer_u64(w, assignment->first_handle);
	kmn_writer_u64(w, assignment->handle_step);
	handover_put_text(w, module->name);
	handover_put_text(w, module->path);
	handover_put_text(w, module->init_args);
	kmn_writer_u32(w, module->environment.count);
	for (unsigned i = 0; i < module->environment.count; i++)
		handover_put_text(w, module->environment.at[i]);
	kmn_writer_bool(w, module->serial != 0);
}

static void
get_worker(struct kmn_reader *r, struct kmn_worker_setup *setup)
{
	static const char *environment[KMN_ENVIRONMENT_MAX + 1];
	struct kmn_module *module = &setup->module;
	uint32_t n;

	setup->keeper = KMN_PEER_FD;
	setup->watching = kmn_reader_bool(r);
	setup->first_handle = kmn_reader_u64(r);
	setup->handle_step = kmn_reader_u64(r);
	module->name = handover_get_text(r);
	module->path = handover_get_text(r);
	module->init_args = handover_get_text(r);
	n = kmn_reader_count(r, KMN_ENVIRONMENT_MAX, 4);
	for (uint32_t i = 0; i < n; i++)
		environment[i] = handover_get_text(r);
	module->environment = environment;
	module->serial = kmn_reader_bool(r);
}

static void
put_gate(struct kmn_writer *w, const struct kmn_material *m, unsigned listeners)
{
	kmn_writer_bytes(w, m->certificate, m->certificate_bytes);
	kmn_writer_bytes(w, m->key, m->key_bytes);
	kmn_writer_u32(w, listeners);
}

static void
get_gate(struct kmn_reader *r, struct kmn_gate_setup *g)
{
	static int listeners[KMN_LISTEN_MAX];
	const uint8_t *view;

	g->keeper = KMN_PEER_FD;
	g->certificate_bytes = kmn_reader_bytes(r, KMN_PEM_MAX_BYTES, &view);
	g->certificate = (const char *)view;
	g->key_bytes = kmn_reader_bytes(r, KMN_PEM_MAX_BYTES, &view);
	g->key = (const char *)view;
	g->listener_count = kmn_reader_u32(r);
	for (unsigned i = 0; i < KMN_LISTEN_MAX; i++)
		listeners[i] = KMN_FIRST_FD + (int)i;
	g->listeners = listeners;
}

static void
put_console(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	handover_put_text(w, s->console.origin);
	handover_put_text(w, m->console_certificate);
	handover_put_text(w, m->console_key);
	put_numbers(w, &s->console.limits, sizeof(s->console.limits));
}

static void
get_console(struct kmn_reader *r, struct kmn_console_setup *c)
{
	c->keeper = KMN_PEER_FD;
	c->listener = KMN_FIRST_FD;
	c->pages = KMN_FIRST_FD + 1;
	c->origin = handover_get_text(r);
	c->certificate = handover_get_text(r);
	c->key = handover_get_text(r);
	get_numbers(r, &c->limits, sizeof(c->limits));
}

/* The gate from this host: where it listens on every address, the loopback one. */
static void
put_gateway(struct kmn_writer *w, const char *listen)
{
	static const char every[] = "0.0.0.0:", every_six[] = "[::]:";
	char text[80];

	if (strncmp(listen, every, sizeof(every) - 1) == 0)
		(void)snprintf(text, sizeof(text), "127.0.0.1:%s", listen + sizeof(every) - 1);
	else if (strncmp(listen, every_six, sizeof(every_six) - 1) == 0)
		(void)snprintf(text, sizeof(text), "[::1]:%s", listen + sizeof(every_six) - 1);
	else
		(void)snprintf(text, sizeof(text), "%s", listen);
	handover_put_text(w, text);
}

static void
put_runner(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	put_gateway(w, s->listen.at[0]);
	handover_put_text(w, s->origin);
	handover_put_text(w, m->client_certificate);
	handover_put_text(w, m->client_key);
	handover_put_text(w, m->certificate);
	kmn_writer_raw(w, m->log_key + crypto_sign_SEEDBYTES, KMN_LOG_KEY_BYTES); /* libsodium: seed, public key */
}

static void
get_runner(struct kmn_reader *r, struct kmn_runner_setup *s)
{
	s->keeper = KMN_PEER_FD;
	s->gateway = handover_get_text(r);
	s->origin = handover_get_text(r);
	s->certificate = handover_get_text(r);
	s->key = handover_get_text(r);
	s->gate_certificate = handover_get_text(r);
	kmn_reader_raw(r, s->log_key, sizeof(s->log_key));
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

void
kmn_handover_put(struct kmn_writer *w, enum kmn_role role, const struct kmn_settings *settings,
    const struct kmn_material *material, unsigned listeners, const struct kmn_assignment *assignment)
{
	const struct kmn_user *user = &settings->users[role];

	kmn_writer_u8(w, (uint8_t)role);
	kmn_writer_u8(w, (uint8_t)settings->log_level);
	kmn_writer_u8(w, (uint8_t)settings->confinement);
	kmn_writer_bool(w, geteuid() == 0);
	kmn_writer_u32(w, user->uid);
	kmn_writer_u32(w, user->gid);
	kmn_writer_u32(w, (uint32_t)getpid());
	put_numbers(w, &settings->limits, sizeof(settings->limits));
	if (sees_calls(role))
		put_types(w, settings, material, role == KMN_ROLE_WORKER ? assignment->module : NULL);
	switch (role) {
	case KMN_ROLE_GATE:
		put_gate(w, material, listeners);
		break;
	case KMN_ROLE_KEEPER:
		handover_put_keeper(w, settings, material);
		break;
	case KMN_ROLE_WORKER:
		put_worker(w, assignment);
		break;
	case KMN_ROLE_CONSOLE:
		put_console(w, settings, material);
		break;
	case KMN_ROLE_RUNNER:
		put_runner(w, settings, material);
		break;
	default: /* the courier is told all it needs to know by the keeper */
		break;
	}
}

/* Into guarded memory that stays: nobody frees it, for the process ends with its role. */
static kmn_err
read_message(int fd, uint8_t **bytes_out, size_t *len_out)
{
	uint8_t *bytes = sodium_malloc(KMN_HANDOVER_MAX_BYTES);
	size_t len = 0;
	ssize_t n = -1;

	if (bytes == NULL)
		return KMN_E_NO_MEMORY;
	while (len < KMN_HANDOVER_MAX_BYTES && (n = read(fd, bytes + len, KMN_HANDOVER_MAX_BYTES - len)) > 0)
		len += (size_t)n;
	(void)close(fd);
	(void)sodium_mprotect_readonly(bytes);
	*bytes_out = bytes;
	*len_out = len;
	return n == 0 ? KMN_OK : KMN_E_IO;
}

static uint32_t
files_of(enum kmn_role role, const struct kmn_limits *limits, const struct kmn_handover *h)
{
	unsigned modules = h->keeper.module_count;

	if (role == KMN_ROLE_COURIER || role == KMN_ROLE_RUNNER)
		return COURIER_FILES;
	if (role == KMN_ROLE_CONSOLE)
		return h->console.limits.connections + CONSOLE_SPARE_FILES;
	if (role == KMN_ROLE_GATE)
		return limits->connections + KMN_LISTEN_MAX + GATE_SPARE_FILES;
	return role == KMN_ROLE_KEEPER ? (limits->instances + 2) * modules + KEEPER_SPARE_FILES : WORKER_FILES;
}

kmn_err
kmn_handover_receive(int fd, const struct kmn_handover **handover_out)
{
	static struct kmn_handover h;
	struct kmn_limits limits;
	struct kmn_reader r;
	uint8_t *bytes;
	size_t len;
	kmn_err e;

	*handover_out = NULL;
	if ((e = read_message(fd, &bytes, &len)) != KMN_OK)
		return e;
	kmn_reader_init(&r, bytes, len);
	h.role = (enum kmn_role)kmn_reader_u8(&r);
	h.log_level = (enum kmn_say_level)kmn_reader_u8(&r);
	h.confine.role = h.role;
	h.confine.how = (enum kmn_confinement)kmn_reader_u8(&r);
	h.confine.drop = kmn_reader_bool(&r);
	h.confine.uid = kmn_reader_u32(&r);
	h.confine.gid = kmn_reader_u32(&r);
	h.confine.parent = (pid_t)kmn_reader_u32(&r);
	h.confine.ledger = h.role == KMN_ROLE_KEEPER ? KMN_FIRST_FD : -1;
	get_numbers(&r, &limits, sizeof(limits));
	if (sees_calls(h.role))
		get_types(&r);
	h.gate.limits = h.keeper.limits = limits;
	if (h.role == KMN_ROLE_GATE) {
		get_gate(&r, &h.gate);
	} else if (h.role == KMN_ROLE_KEEPER) {
		handover_get_keeper(&r, &h.keeper);
	} else if (h.role == KMN_ROLE_WORKER) {
		get_worker(&r, &h.worker);
	} else if (h.role == KMN_ROLE_CONSOLE) {
		get_console(&r, &h.console);
	} else if (h.role == KMN_ROLE_RUNNER) {
		get_runner(&r, &h.runner);
	} else {
		h.courier.keeper = KMN_PEER_FD;
	}
	h.confine.files = files_of(h.role, &limits, &h);
	*handover_out = &h;
	return kmn_reader_end(&r);
}
