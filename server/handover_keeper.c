/* What the keeper gets at its start. */
#include "config.h"

#include "server/handover_parts.h"

#include <sodium.h>
#include <string.h>

#define GUARD_FILE_MS 1000u /* from one update to the next, if nothing else is said */
#define GUARD_OBJECT_MS 60000u

/* The number of a module by its name, which the settings' check has found. */
static unsigned
module_number(const struct kmn_settings *s, const char *name)
{
	unsigned m = 0;

	while (m < s->module_count && strcmp(s->modules[m].name, name) != 0)
		m++;
	return m;
}

static void
put_guards(struct kmn_writer *w, const struct kmn_settings *s)
{
	kmn_writer_u32(w, s->guard_count);
	for (unsigned i = 0; i < s->guard_count; i++) {
		const struct kmn_guard_settings *guard = &s->guards[i];
		uint32_t standard = guard->path != NULL ? GUARD_FILE_MS : GUARD_OBJECT_MS;

		handover_put_text(w, guard->name);
		handover_put_text(w, guard->path);
		kmn_writer_u32(w, guard->module != NULL ? module_number(s, guard->module) : 0);
		handover_put_text(w, guard->token);
		kmn_writer_u32(w, guard->every_ms != 0 ? guard->every_ms : standard);
	}
}

/* Their files stand behind the ledger, in this order. */
static void
get_guards(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_guard guards[KMN_GUARDS_MAX];
	int fd = KMN_FIRST_FD + 1;

	k->guard_count = kmn_reader_count(r, KMN_GUARDS_MAX, 4);
	for (unsigned i = 0; i < k->guard_count; i++) {
		guards[i].name = handover_get_text(r);
		guards[i].path = handover_get_text(r);
		guards[i].fd = guards[i].path != NULL ? fd++ : -1;
		guards[i].module = kmn_reader_u32(r);
		guards[i].token = handover_get_text(r);
		guards[i].every_ms = kmn_reader_u32(r);
		if (guards[i].module >= k->module_count)
			kmn_reader_fail(r, KMN_E_MALFORMED);
	}
	k->guards = guards;
}

static void
put_stamps(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	kmn_writer_u32(w, s->stamp_ms);
	kmn_writer_u32(w, s->stamp_idle_ms);
	kmn_writer_u32(w, s->stamp_count);
	for (unsigned i = 0; i < s->stamp_count; i++) {
		handover_put_text(w, s->stamps[i].name);
		handover_put_text(w, s->stamps[i].url);
		handover_put_text(w, m->stamp_roots[i]);
		handover_put_text(w, s->stamps[i].policy);
	}
}

static void
get_stamps(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_time_stamp stamps[KMN_TIME_STAMPS_MAX];

	k->stamp_ms = kmn_reader_u32(r);
	k->stamp_idle_ms = kmn_reader_u32(r);
	k->time_stamp_count = kmn_reader_count(r, KMN_TIME_STAMPS_MAX, 4);
	for (unsigned i = 0; i < k->time_stamp_count; i++) {
		stamps[i].name = handover_get_text(r);
		stamps[i].url = handover_get_text(r);
		stamps[i].roots = handover_get_text(r);
		stamps[i].policy = handover_get_text(r);
	}
	k->time_stamps = stamps;
}

static void
put_witnesses(struct kmn_writer *w, const struct kmn_settings *s)
{
	kmn_writer_u32(w, s->witness_ms);
	kmn_writer_u32(w, s->witness_count);
	for (unsigned i = 0; i < s->witness_count; i++) {
		handover_put_text(w, s->witnesses[i].name);
		handover_put_text(w, s->witnesses[i].url);
	}
}

static void
get_witnesses(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_asked_witness witnesses[KMN_WITNESSES_MAX];

	k->witness_ms = kmn_reader_u32(r);
	k->witness_count = kmn_reader_count(r, KMN_WITNESSES_MAX, 8);
	for (unsigned i = 0; i < k->witness_count; i++) {
		witnesses[i].name = handover_get_text(r);
		witnesses[i].url = handover_get_text(r);
	}
	k->witnesses = witnesses;
}

static void
put_hooks(struct kmn_writer *w, const struct kmn_settings *s)
{
	kmn_writer_u32(w, s->hook_count);
	for (unsigned i = 0; i < s->hook_count; i++) {
		handover_put_text(w, s->hooks[i].name);
		handover_put_text(w, s->hooks[i].url);
	}
}

static void
get_hooks(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_hook hooks[KMN_HOOKS_MAX];

	k->hook_count = kmn_reader_count(r, KMN_HOOKS_MAX, 8);
	for (unsigned i = 0; i < k->hook_count; i++) {
		hooks[i].name = handover_get_text(r);
		hooks[i].url = handover_get_text(r);
	}
	k->hooks = hooks;
}

static void
put_activations(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	kmn_writer_u32(w, s->activation_count);
	for (unsigned i = 0; i < s->activation_count; i++) {
		handover_put_text(w, s->activations[i].name);
		handover_put_text(w, m->sealed_pin[i]);
	}
}

static void
get_activations(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_sealed_token activations[KMN_ACTIVATIONS_MAX];

	k->activation_count = kmn_reader_count(r, KMN_ACTIVATIONS_MAX, 8);
	for (unsigned i = 0; i < k->activation_count; i++) {
		activations[i].token = handover_get_text(r);
		activations[i].text = handover_get_text(r);
	}
	k->activations = activations;
}

void
handover_put_keeper(struct kmn_writer *w, const struct kmn_settings *s, const struct kmn_material *m)
{
	handover_put_text(w, s->ledger);
	kmn_writer_bytes(w, m->log_key, crypto_sign_SECRETKEYBYTES);
	handover_put_text(w, s->origin);
	kmn_writer_u32(w, s->module_count);
	for (unsigned i = 0; i < s->module_count; i++)
		handover_put_text(w, s->modules[i].name); /* path and environment are not the keeper's business */
	kmn_writer_u32(w, s->lease_ms);
	kmn_writer_u32(w, s->request_lifetime_s);
	kmn_writer_u32(w, s->spawn_ms);
	kmn_writer_u32(w, s->reserve_mib);
	kmn_writer_u32(w, s->low_water_mib);
	kmn_writer_u32(w, s->scrub_ms);
	put_guards(w, s);
	put_stamps(w, s, m);
	put_witnesses(w, s);
	put_activations(w, s, m);
	put_hooks(w, s);
	handover_put_text(w, s->console.client);
	handover_put_text(w, m->authorised);
	kmn_writer_raw(w, m->binary_sha256, KMN_HASH_BYTES);
	kmn_writer_raw(w, s->config_sha256, KMN_HASH_BYTES);
	handover_put_text(w, m->boot_id);
}

void
handover_get_keeper(struct kmn_reader *r, struct kmn_keeper_setup *k)
{
	static struct kmn_module modules[KMN_MODULES_MAX];

	k->supervisor = KMN_PEER_FD;
	k->ledger = KMN_FIRST_FD;
	k->ledger_path = handover_get_text(r);
	if (kmn_reader_bytes(r, crypto_sign_SECRETKEYBYTES, &k->log_key) != crypto_sign_SECRETKEYBYTES)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	k->origin = handover_get_text(r);
	k->module_count = kmn_reader_count(r, KMN_MODULES_MAX, 4);
	for (unsigned i = 0; i < k->module_count; i++)
		modules[i].name = handover_get_text(r);
	k->modules = modules;
	k->lease_ms = kmn_reader_u32(r);
	k->request_lifetime_s = kmn_reader_u32(r);
	k->spawn_ms = kmn_reader_u32(r);
	k->reserve_mib = kmn_reader_u32(r);
	k->low_water_mib = kmn_reader_u32(r);
	k->scrub_ms = kmn_reader_u32(r);
	get_guards(r, k);
	get_stamps(r, k);
	get_witnesses(r, k);
	get_activations(r, k);
	get_hooks(r, k);
	k->console_client = handover_get_text(r);
	k->authorised = handover_get_text(r);
	k->build.version = PACKAGE_VERSION;
	kmn_reader_raw(r, k->build.binary_sha256, KMN_HASH_BYTES);
	kmn_reader_raw(r, k->build.config_sha256, KMN_HASH_BYTES);
	k->build.boot_id = handover_get_text(r);
}
