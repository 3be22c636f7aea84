/*
 * Guards: the ledger's last head, kept outside its folder (guard.h has the
 * file's form). A guard is looked at before the first record is written, and
 * kept up to date afterwards: a file by the committer, before each new
 * `checkpoint`, an object by the keeper, through the house worker of its module.
 *
 *	                 fits, fresh                         swapped
 *	start ─▶ LOOKING ───────────▶ claim ─▶ KEPT ◀───────────────────┐
 *	            │                    │       └── every_ms, head grew ─┤
 *	            │ ahead, forked      │ another head stands there      │ another head
 *	            ▼                    ▼                                ▼
 *	          HALT, unless --recovery names it            HALT: this gateway is the second
 *
 * A guard that cannot be written is tried again each second; meanwhile calls
 * of classes A and B are refused, for nobody would notice that the ledger is
 * rolled back behind them.
 */
#include "config.h"

#include "server/keeper/state.h"

#include "kanmon/guard.h"
#include "kanmon/rescue.h"
#include "kanmon/say.h"
#include "server/keeper/guard.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 60000 /* for the modules' objects at the start, beyond a worker's own start */
#define RETRY_MS 1000
#define OBJECT_STALE 10 /* an object that missed so many updates stops classes A and B, as a file at once */

/* One guard. A file's `seen` is the committer's once the log runs on; the rest is the keeper's. */
struct guard {
	const struct kmn_guard *setup;
	struct kmn_guard_seen seen;                                    /* what stands there, as far as we know */
	bool known;                                                    /* it was looked at */
	bool asked;                                                    /* an object: an answer is due */
	int64_t next_ms;                                               /* an object: boot time, not before */
	char there[KMN_GUARD_SLOT_BYTES], going[KMN_GUARD_SLOT_BYTES]; /* an object: its value, and what replaces it */
	size_t there_len, going_len;
	const char *verdict;       /* of the start, for records */
	uint64_t said;             /* an object: what the module said last, so that it is told once */
	int64_t written_ms;        /* an object: boot time of the last update */
	struct kmn_head first;     /* what stood there at the start, for records */
	atomic_bool failing;       /* it cannot be written */
	atomic_uint_fast64_t size; /* of the head that stands there, for people */
};

struct kmn_guards {
	struct kmn_keeper *keeper;
	struct kmn_vkey vkey;
	struct guard guard[KMN_GUARDS_MAX];
	unsigned count;
	int64_t begun_ms;
	uint64_t accepted;                            /* bit by guard: --recovery overrules it */
	atomic_bool halt;                             /* another writer was there */
	char halted_by[KMN_GUARD_NAME_MAX_BYTES + 1]; /* written before halt is set */
};

static bool
is_file(const struct guard *guard)
{
	return guard->setup->fd >= 0;
}

static const char *
kind_of(const struct guard *guard)
{
	return is_file(guard) ? "file" : "object";
}

static void
halt(struct kmn_guards *guards, const struct guard *guard)
{
	snprintf(guards->halted_by, sizeof(guards->halted_by), "%s", guard->setup->name);
	atomic_store(&guards->halt, true);
}

bool
kmn_guards_halted(const struct kmn_guards *guards, char *why_out, size_t room)
{
	if (guards == NULL || !atomic_load(&guards->halt))
		return false;
	snprintf(why_out, room,
	    "HALT: guard \"%s\" holds a head that this gateway did not put there: another one runs with this ledger's "
	    "key, "
	    "or a copy of this ledger",
	    guards->halted_by);
	return true;
}

bool
kmn_guards_fail(const struct kmn_guards *guards, const char **name_out)
{
	for (unsigned i = 0; guards != NULL && i < guards->count; i++) {
		if (!atomic_load(&guards->guard[i].failing))
			continue;
		*name_out = guards->guard[i].setup->name;
		return true;
	}
	return false;
}

static void
set_failing(struct guard *guard, bool failing, const char *why)
{
	if (atomic_exchange(&guard->failing, failing) == failing)
		return;
	if (failing)
		kmn_say(KMN_SAY_ERROR,
		    "guard \"%s\": %s: calls that need a record are refused until it can be written again",
		    guard->setup->name, why);
	else
		kmn_say(KMN_SAY_INFO, "guard \"%s\" is written again", guard->setup->name);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Committer's thread, or the keeper's before the log runs on. */
static kmn_err
swap_file(struct kmn_guards *guards, struct guard *guard, const struct kmn_head *head, const char *note, size_t len)
{
	struct kmn_why why = {""};
	kmn_err e = kmn_guard_swap(guard->setup->fd, &guards->vkey, &guard->seen, head, note, len, &why);

	if (e == KMN_E_BUSY || e == KMN_E_CORRUPT) {
		kmn_say(KMN_SAY_ERROR, "guard \"%s\": %s", guard->setup->name, why.text);
		halt(guards, guard);
		return KMN_E_LEDGER;
	}
	set_failing(guard, e != KMN_OK, why.text);
	if (e == KMN_OK)
		atomic_store(&guard->size, head->size);
	return e == KMN_OK ? KMN_OK : KMN_E_AGAIN;
}

kmn_err
kmn_guards_publish(void *cookie, const struct kmn_head *head, const char *note, size_t len)
{
	struct kmn_guards *guards = cookie;
	kmn_err e = KMN_OK, one;

	for (unsigned i = 0; e != KMN_E_LEDGER && i < guards->count; i++)
		if (is_file(&guards->guard[i]) && guards->guard[i].known &&
		    (one = swap_file(guards, &guards->guard[i], head, note, len)) != KMN_OK)
			e = one;
	return e;
}

static kmn_err
look_at_file(struct kmn_guards *guards, struct guard *guard)
{
	struct kmn_why why = {""};
	kmn_err e = kmn_guard_lock(guard->setup->fd);

	if (e != KMN_OK)
		kmn_why_set(&why, e == KMN_E_BUSY ? "another gateway holds it" : "it cannot be locked");
	else
		e = kmn_guard_read(guard->setup->fd, &guards->vkey, &guard->seen, &why);
	guard->known = e == KMN_OK;
	if (e != KMN_OK)
		kmn_say(KMN_SAY_ERROR, "HALT: guard \"%s\" (%s): %s", guard->setup->name, guard->setup->path, why.text);
	return e;
}

/* ---- objects ----------------------------------------------------------------------------------------------------- */

/* Readies the house worker of its module; false: not yet. */
static bool
house_is_ready(struct kmn_keeper *k, const struct guard *guard)
{
	struct kmn_worker **house = &k->house[guard->setup->module];

	if (*house == NULL)
		*house = kmn_worker_new(k, KMN_WORKER_HOUSE, guard->setup->module, NULL);
	return *house != NULL && (*house)->step == KMN_WORKER_READY;
}

static void
keep_value(struct guard *guard, const uint8_t *value, size_t len, const struct kmn_guard_seen *seen)
{
	memcpy(guard->there, value, len);
	guard->there_len = len;
	guard->seen = *seen;
	atomic_store(&guard->size, seen->head.size);
}

static bool
is_value(const char *bytes, size_t bytes_len, const uint8_t *value, size_t len)
{
	return bytes_len == len && (len == 0 || memcmp(bytes, value, len) == 0);
}

/* What stands in the object now, after it was looked at or replaced. */
static void
take_value(struct kmn_guards *guards, struct guard *guard, const uint8_t *value, size_t len)
{
	struct kmn_guard_seen seen;
	struct kmn_why why = {""};

	if (kmn_guard_parse((const char *)value, len, &guards->vkey, &seen, &why) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "guard \"%s\": %s", guard->setup->name, why.text);
		halt(guards, guard);
	} else if (!guard->known) {
		keep_value(guard, value, len, &seen);
		guard->known = true;
	} else if (is_value(guard->going, guard->going_len, value, len)) {
		keep_value(guard, value, len, &seen);
		guard->written_ms = kmn_keeper_boot_ms();
		guard->next_ms = guard->written_ms + guard->setup->every_ms;
		set_failing(guard, false, "");
	} else if (!is_value(guard->there, guard->there_len, value, len)) {
		kmn_say(KMN_SAY_ERROR, "guard \"%s\": another writer put a head of %" PRIu64 " records there",
		    guard->setup->name, seen.head.size);
		halt(guards, guard);
	}
}

static void
object_told(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct guard *guard = cookie;
	const uint8_t *value;
	size_t len;
	uint64_t rv;
	char name[32];

	guard->asked = false;
	guard->next_ms = kmn_keeper_boot_ms() + RETRY_MS;
	if (r == NULL) /* the worker died: asked again */
		return;
	rv = kmn_reader_u64(r);
	len = kmn_reader_bytes(r, KMN_GUARD_SLOT_BYTES, &value);
	if (kmn_reader_end(r) == KMN_OK && rv == CKR_OK)
		take_value(k->guards, guard, value, len);
	else if (rv != guard->said)
		kmn_say(KMN_SAY_WARNING, "guard \"%s\": the module says %s", guard->setup->name,
		    rv != CKR_OK ? kmn_record_rv_name(rv, name) : "what cannot be read");
	guard->said = rv;
}

/* KMN_W_GUARD: looks, or puts `going` there if the value is the one that was seen last. */
static void
ask_object(struct kmn_keeper *k, struct guard *guard, bool swap)
{
	char label[300];
	struct kmn_writer w;

	snprintf(label, sizeof(label), "kanmon guard %s", k->setup->origin);
	kmn_writer_init(&w, 4 * KMN_GUARD_SLOT_BYTES);
	kmn_writer_text(&w, guard->setup->token);
	kmn_writer_text(&w, label);
	kmn_writer_bool(&w, swap);
	kmn_writer_bytes(&w, guard->there, guard->there_len);
	kmn_writer_bytes(&w, guard->going, swap ? guard->going_len : 0);
	guard->asked = kmn_worker_ask(k, k->house[guard->setup->module], KMN_W_GUARD, w.bytes, w.len, object_told,
			   guard) == KMN_OK;
	kmn_writer_clear(&w);
}

static void
write_object(struct kmn_keeper *k, struct guard *guard)
{
	struct kmn_head head;
	char *note;
	size_t len;

	if (kmn_log_checkpoint(k->log, &head, &note, &len) != KMN_OK)
		return;
	if (len <= sizeof(guard->going) && head.size != guard->seen.head.size) {
		memcpy(guard->going, note, len);
		guard->going_len = len;
		ask_object(k, guard, true);
	}
	free(note);
}

/* ---- the start --------------------------------------------------------------------------------------------------- */

/* How what stands in a guard stands to this ledger. */
static const char *
compare(struct kmn_keeper *k, const struct guard *guard)
{
	const struct kmn_head *there = &guard->seen.head;
	struct kmn_head here;

	if (guard->seen.fresh)
		return "new";
	kmn_log_durable(k->log, &here);
	if (there->size > here.size)
		return "ahead";
	if (there->size < here.size && kmn_log_head_at(k->log, there->size, &here) != KMN_OK)
		return "forked";
	return memcmp(there->root, here.root, KMN_HASH_BYTES) == 0 ? "fits" : "forked";
}

static bool
is_against(const char *verdict)
{
	return strcmp(verdict, "ahead") == 0 || strcmp(verdict, "forked") == 0;
}

/* Whether the note of --recovery, which the quorum signed, names exactly this head of this guard. */
static bool
is_overruled(const struct guard *guard, const struct kmn_rescue *rescue)
{
	for (unsigned i = 0; i < rescue->guards; i++)
		if (strcmp(rescue->guard[i].name, guard->setup->name) == 0 &&
		    rescue->guard[i].head.size == guard->seen.head.size &&
		    memcmp(rescue->guard[i].head.root, guard->seen.head.root, KMN_HASH_BYTES) == 0)
			return true;
	return false;
}

/* What the quorum allowed: rescue_out->guards is 0 without a note. KMN_E_DENIED: a note that allows nothing here. */
static kmn_err
read_rescue(struct kmn_keeper *k, struct kmn_rescue *rescue)
{
	const char *note = k->setup->authorised;
	struct kmn_why why = {""};
	struct kmn_head here;

	memset(rescue, 0, sizeof(*rescue));
	if (note == NULL)
		return KMN_OK;
	if (kmn_rescue_accept(kmn_keeper_policy(k), note, strlen(note), rescue, &why) != KMN_OK) {
		kmn_say(KMN_SAY_ERROR, "--recovery: %s", why.text);
		return KMN_E_DENIED;
	}
	if (kmn_log_head_at(k->log, rescue->ledger.size, &here) == KMN_OK &&
	    memcmp(here.root, rescue->ledger.root, KMN_HASH_BYTES) == 0)
		return KMN_OK;
	kmn_say(KMN_SAY_ERROR, "--recovery: it is about a ledger with %" PRIu64 " records, and not this one",
	    rescue->ledger.size);
	return KMN_E_DENIED;
}

/* What the quorum would have to sign, where kanmon ledger recover finds it. */
static void
propose(struct kmn_keeper *k)
{
	struct kmn_guards *guards = k->guards;
	struct kmn_rescue rescue = {.guards = 0};
	char *text;

	kmn_log_durable(k->log, &rescue.ledger);
	for (unsigned i = 0; i < guards->count; i++) {
		const struct guard *guard = &guards->guard[i];

		if (guard->verdict == NULL || !is_against(guard->verdict))
			continue;
		snprintf(rescue.guard[rescue.guards].name, sizeof(rescue.guard[0].name), "%s", guard->setup->name);
		rescue.guard[rescue.guards++].head = guard->seen.head;
	}
	if (kmn_rescue_propose(kmn_keeper_policy(k), &rescue, &text) != KMN_OK)
		return;
	if (kmn_log_keep_state(k->log, "recovery.proposal", text, strlen(text)) != KMN_OK)
		kmn_say(KMN_SAY_WARNING, "state/recovery.proposal cannot be written");
	free(text);
}

static void
say_halt(const struct kmn_keeper *k, const struct guard *guard)
{
	const struct kmn_head *there = &guard->seen.head;
	struct kmn_head here;

	kmn_log_durable(k->log, &here);
	kmn_say(KMN_SAY_ERROR,
	    "HALT: guard \"%s\" holds a head of %" PRIu64 " records%s, this ledger has %" PRIu64
	    ": it is an older copy or another branch. Put the right one back, or let the policy's quorum accept this "
	    "one: "
	    "kanmon ledger recover --accept-head (docs/operator.md)",
	    guard->setup->name, there->size, there->size == here.size ? " with another root" : "", here.size);
}

/* Every guard is known: may this ledger go on? */
static kmn_err
judge(struct kmn_keeper *k)
{
	struct kmn_guards *guards = k->guards;
	struct kmn_rescue rescue;
	bool against = false, stopped = false;
	kmn_err e;

	for (unsigned i = 0; i < guards->count; i++) {
		guards->guard[i].verdict = compare(k, &guards->guard[i]);
		guards->guard[i].first = guards->guard[i].seen.head;
		against = against || is_against(guards->guard[i].verdict);
	}
	if (against && (e = read_rescue(k, &rescue)) != KMN_OK)
		return e;
	for (unsigned i = 0; against && i < guards->count; i++) {
		if (!is_against(guards->guard[i].verdict))
			continue;
		if (is_overruled(&guards->guard[i], &rescue)) {
			guards->accepted |= UINT64_C(1) << i;
			continue;
		}
		say_halt(k, &guards->guard[i]);
		stopped = true;
	}
	if (stopped)
		propose(k);
	return stopped ? KMN_E_ROLLBACK : KMN_OK;
}

/* This gateway is the writer from here on: what stands in the files is replaced by this ledger's head. */
static kmn_err
claim(struct kmn_keeper *k)
{
	struct kmn_guards *guards = k->guards;
	struct kmn_head head;
	char *note;
	size_t len;
	kmn_err e = kmn_log_checkpoint(k->log, &head, &note, &len);

	for (unsigned i = 0; e == KMN_OK && i < guards->count; i++)
		if (is_file(&guards->guard[i]))
			e = swap_file(guards, &guards->guard[i], &head, note, len);
	free(note);
	return e == KMN_E_AGAIN ? KMN_E_GUARD : e;
}

kmn_err
kmn_guards_new(struct kmn_keeper *k)
{
	struct kmn_guards *guards = calloc(1, sizeof(*guards));
	uint8_t public[KMN_ED25519_PUBLIC_BYTES];
	kmn_err e = KMN_OK;

	if ((k->guards = guards) == NULL)
		return KMN_E_NO_MEMORY;
	guards->keeper = k;
	guards->begun_ms = kmn_keeper_boot_ms();
	memcpy(public, k->setup->log_key + KMN_ED25519_SECRET_BYTES - KMN_ED25519_PUBLIC_BYTES, sizeof(public));
	if ((e = kmn_vkey_make(k->setup->origin, public, &guards->vkey)) != KMN_OK)
		return e;
	for (; e == KMN_OK && guards->count < k->setup->guard_count; guards->count++) {
		struct guard *guard = &guards->guard[guards->count];

		guard->setup = &k->setup->guards[guards->count];
		if (is_file(guard))
			e = look_at_file(guards, guard);
	}
	return e;
}

void
kmn_guards_free(struct kmn_guards *guards)
{
	free(guards);
}

kmn_err
kmn_guards_look(struct kmn_keeper *k)
{
	struct kmn_guards *guards = k->guards;
	char why[256];
	bool all = true;
	kmn_err e;

	if (kmn_guards_halted(guards, why, sizeof(why)))
		return KMN_E_ROLLBACK;
	for (unsigned i = 0; i < guards->count; i++) {
		struct guard *guard = &guards->guard[i];

		all = all && guard->known;
		if (guard->known || guard->asked || !house_is_ready(k, guard) || kmn_keeper_boot_ms() < guard->next_ms)
			continue;
		ask_object(k, guard, false);
	}
	if (all)
		return (e = judge(k)) == KMN_OK ? claim(k) : e;
	if (kmn_keeper_boot_ms() - guards->begun_ms < k->setup->spawn_ms + LOOK_MS)
		return KMN_E_AGAIN;
	kmn_say(KMN_SAY_ERROR,
	    "HALT: a guard's module does not answer, so nobody knows whether this ledger is the last one");
	return KMN_E_ROLLBACK;
}

/* ---- while it runs ----------------------------------------------------------------------------------------------- */

void
kmn_guards_tick(struct kmn_keeper *k)
{
	int64_t now = kmn_keeper_boot_ms();

	for (unsigned i = 0; i < k->guards->count; i++) {
		struct guard *guard = &k->guards->guard[i];

		if (is_file(guard))
			continue;
		if (guard->written_ms == 0)
			guard->written_ms = now;
		if (now - guard->written_ms > OBJECT_STALE * (int64_t)guard->setup->every_ms + LOOK_MS)
			set_failing(guard, true, "its module does not take the head");
		if (!guard->asked && now >= guard->next_ms && house_is_ready(k, guard))
			write_object(k, guard);
	}
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

json_t *
kmn_guards_json(const struct kmn_guards *guards, bool with_verdict)
{
	json_t *list = json_array();

	for (unsigned i = 0; guards != NULL && i < guards->count; i++) {
		const struct guard *guard = &guards->guard[i];
		bool overruled = (guards->accepted >> i & 1) != 0;
		json_t *item;

		/* What was overruled is in the `recovery` record; it is no head of this ledger. */
		if (overruled && !with_verdict)
			continue;
		item = json_pack("{s:s, s:s, s:I, s:o}", "kind", kind_of(guard), "name", guard->setup->name, "size",
		    (json_int_t)guard->first.size, "root", kmn_json_b64(guard->first.root, KMN_HASH_BYTES));
		if (with_verdict)
			json_object_set_new(item, "verdict", json_string(overruled ? "overruled" : guard->verdict));
		json_array_append_new(list, item);
	}
	return list;
}

bool
kmn_guards_overruled(const struct kmn_guards *guards)
{
	return guards != NULL && guards->accepted != 0;
}

json_t *
kmn_guards_status(const struct kmn_guards *guards)
{
	json_t *object = json_object();
	char text[80];

	for (unsigned i = 0; guards != NULL && i < guards->count; i++) {
		const struct guard *guard = &guards->guard[i];

		snprintf(text, sizeof(text), "%s, %llu records%s", kind_of(guard),
		    (unsigned long long)atomic_load(&guard->size),
		    atomic_load(&guard->failing) ? ", cannot be written" : "");
		json_object_set_new(object, guard->setup->name, json_string(text));
	}
	return object;
}
