#include "config.h"

#include "server/hsm/handles.h"

#include <pthread.h>
#include <stdlib.h>

#define SESSIONS_MAX 65536u
#define OBJECTS_MAX (1u << 20)
#define BUCKETS_FIRST 256u

struct entry;

/* A number that the application knows an entry by. */
struct name {
	uint64_t virtual;
	struct entry *entry;
	struct name *by_virtual; /* next in the chain */
	struct name *older;      /* the entry's next name */
};

/*
 * One session or object. Its names hang in chains by number, it hangs in one
 * by what it is to the vendor. Session objects also hang on their session.
 */
struct entry {
	struct name first;  /* the number of this worker */
	struct name *names; /* all, the one that is given out first */
	CK_SLOT_ID slot;
	CK_ULONG vendor;
	bool is_session;
	CK_FLAGS flags;            /* session: as it was opened */
	struct entry *objects;     /* session: the session objects made in it */
	struct entry *session;     /* session object: where it was made */
	struct entry *sibling;     /* session object: the next one of the same session */
	struct entry **at_sibling; /* session object: what points to it in that list */
	struct entry *by_vendor;   /* next in the chain */
};

/* All fields are guarded by `lock`, but for those that are set once. */
struct kmn_virtual {
	pthread_mutex_t lock;
	uint64_t first, step; /* set once */
	uint64_t next;        /* the next number */
	struct name **by_virtual;
	struct entry **by_vendor;
	size_t buckets; /* of each index, a power of two */
	size_t sessions, objects, aliases;
};

static size_t
mix(uint64_t a, uint64_t b)
{
	uint64_t x = (a ^ (b << 32 | b >> 32)) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(x ^ x >> 29);
}

static struct name **
virtual_chain(struct kmn_virtual *h, uint64_t virtual)
{
	return &h->by_virtual[mix(virtual, 0) & (h->buckets - 1)];
}

/* Session numbers are one space for the whole module, object numbers one per slot. */
static struct entry **
vendor_chain(struct kmn_virtual *h, bool is_session, CK_SLOT_ID slot, CK_ULONG vendor)
{
	return &h->by_vendor[mix(vendor, is_session ? ~UINT64_C(0) : slot) & (h->buckets - 1)];
}

static struct entry *
find_any(struct kmn_virtual *h, uint64_t virtual)
{
	for (struct name *n = *virtual_chain(h, virtual); n != NULL; n = n->by_virtual)
		if (n->virtual == virtual)
			return n->entry;
	return NULL;
}

static struct entry *
find_virtual(struct kmn_virtual *h, bool is_session, uint64_t virtual)
{
	struct entry *e = find_any(h, virtual);

	return e != NULL && e->is_session == is_session ? e : NULL;
}

static struct entry *
find_vendor(struct kmn_virtual *h, bool is_session, CK_SLOT_ID slot, CK_ULONG vendor)
{
	for (struct entry *e = *vendor_chain(h, is_session, slot, vendor); e != NULL; e = e->by_vendor)
		if (e->vendor == vendor && e->is_session == is_session && (is_session || e->slot == slot))
			return e;
	return NULL;
}

static void
link_name(struct kmn_virtual *h, struct name *n)
{
	struct name **chain = virtual_chain(h, n->virtual);

	n->by_virtual = *chain;
	*chain = n;
}

static void
unlink_name(struct kmn_virtual *h, struct name *n)
{
	struct name **at = virtual_chain(h, n->virtual);

	while (*at != n)
		at = &(*at)->by_virtual;
	*at = n->by_virtual;
}

static void
link_vendor(struct kmn_virtual *h, struct entry *e)
{
	struct entry **chain = vendor_chain(h, e->is_session, e->slot, e->vendor);

	e->by_vendor = *chain;
	*chain = e;
}

/* Doubles both indexes. Without memory they stay as they are: slower, not wrong. */
static void
grow(struct kmn_virtual *h)
{
	size_t buckets = h->buckets, more = buckets * 2;
	struct name **names = h->by_virtual, **by_virtual = calloc(more, sizeof(struct name *));
	struct entry **entries = h->by_vendor, **by_vendor = calloc(more, sizeof(struct entry *));

	if (by_virtual == NULL || by_vendor == NULL) {
		free(by_virtual);
		free(by_vendor);
		return;
	}
	h->by_virtual = by_virtual;
	h->by_vendor = by_vendor;
	h->buckets = more;
	for (size_t i = 0; i < buckets; i++) {
		for (struct name *n = names[i], *next; n != NULL; n = next) {
			next = n->by_virtual;
			link_name(h, n);
		}
		for (struct entry *e = entries[i], *next; e != NULL; e = next) {
			next = e->by_vendor;
			link_vendor(h, e);
		}
	}
	free(names);
	free(entries);
}

static void
unlink_entry(struct kmn_virtual *h, struct entry *e)
{
	struct entry **at = vendor_chain(h, e->is_session, e->slot, e->vendor);

	while (*at != e)
		at = &(*at)->by_vendor;
	*at = e->by_vendor;
	if (e->session != NULL) {
		*e->at_sibling = e->sibling;
		if (e->sibling != NULL)
			e->sibling->at_sibling = e->at_sibling;
	}
	for (struct name *n = e->names, *older; n != NULL; n = older) {
		older = n->older;
		unlink_name(h, n);
		if (n != &e->first) {
			h->aliases--;
			free(n);
		}
	}
}

static void
hang_on(struct entry *e, struct entry *session)
{
	e->session = session;
	e->sibling = session->objects;
	e->at_sibling = &session->objects;
	if (e->sibling != NULL)
		e->sibling->at_sibling = &e->sibling;
	session->objects = e;
}

/* All its names die; with a session die the session objects made in it. */
static void
drop(struct kmn_virtual *h, struct entry *e)
{
	for (struct entry *object = e->objects, *next; object != NULL; object = next) {
		next = object->sibling;
		drop(h, object);
	}
	unlink_entry(h, e);
	if (e->is_session)
		h->sessions--;
	else
		h->objects--;
	free(e);
}

static kmn_err
add(struct kmn_virtual *h, const struct entry *what, struct entry *session, uint64_t *virtual_out)
{
	struct entry *e;

	if (h->next >= KMN_HANDLE_END || (what->is_session ? h->sessions >= SESSIONS_MAX : h->objects >= OBJECTS_MAX))
		return KMN_E_TOO_BIG;
	if ((e = malloc(sizeof(*e))) == NULL)
		return KMN_E_NO_MEMORY;
	*e = *what;
	e->first = (struct name){.virtual = h->next, .entry = e};
	e->names = &e->first;
	h->next += h->step;
	if (session != NULL)
		hang_on(e, session);
	if (h->sessions + h->objects + h->aliases >= h->buckets)
		grow(h);
	link_name(h, &e->first);
	link_vendor(h, e);
	if (e->is_session)
		h->sessions++;
	else
		h->objects++;
	*virtual_out = e->first.virtual;
	return KMN_OK;
}

/* A number that no live entry has. */
static CK_ULONG
refused(struct kmn_virtual *h, bool is_session, CK_SLOT_ID slot)
{
	CK_ULONG number = KMN_HANDLE_REFUSED;

	while (find_vendor(h, is_session, slot, number) != NULL)
		number--;
	return number;
}

kmn_err
kmn_virtual_new(uint64_t first, uint64_t step, struct kmn_virtual **table_out)
{
	struct kmn_virtual *h;

	*table_out = NULL;
	if (first >= KMN_HANDLE_END || step >= KMN_HANDLE_END)
		return KMN_E_TOO_BIG;
	if ((h = calloc(1, sizeof(*h))) == NULL)
		return KMN_E_NO_MEMORY;
	h->first = h->next = first == 0 ? 1 : first;
	h->step = step == 0 ? 1 : step;
	h->buckets = BUCKETS_FIRST;
	h->by_virtual = calloc(h->buckets, sizeof(struct name *));
	h->by_vendor = calloc(h->buckets, sizeof(struct entry *));
	if (h->by_virtual == NULL || h->by_vendor == NULL || pthread_mutex_init(&h->lock, NULL) != 0) {
		free(h->by_virtual);
		free(h->by_vendor);
		free(h);
		return KMN_E_NO_MEMORY;
	}
	*table_out = h;
	return KMN_OK;
}

void
kmn_virtual_free(struct kmn_virtual *h)
{
	if (h == NULL)
		return;
	for (size_t i = 0; i < h->buckets; i++)
		while (h->by_vendor[i] != NULL) {
			struct entry *e = h->by_vendor[i];

			e->session = NULL; /* it may be gone already */
			unlink_entry(h, e);
			free(e);
		}
	pthread_mutex_destroy(&h->lock);
	free(h->by_virtual);
	free(h->by_vendor);
	free(h);
}

kmn_err
kmn_virtual_session_add(struct kmn_virtual *h, const struct kmn_session *session, uint64_t *virtual_out)
{
	struct entry e = {
	    .slot = session->slot, .vendor = session->vendor, .is_session = true, .flags = session->flags};
	struct entry *stale;
	kmn_err err;

	*virtual_out = 0;
	pthread_mutex_lock(&h->lock);
	/* A number that the vendor gives out again: its session died without a word (token pulled). */
	if ((stale = find_vendor(h, true, session->slot, session->vendor)) != NULL)
		drop(h, stale);
	err = add(h, &e, NULL, virtual_out);
	pthread_mutex_unlock(&h->lock);
	return err;
}

bool
kmn_virtual_session(struct kmn_virtual *h, uint64_t virtual, struct kmn_session *session_out)
{
	struct entry *e;

	*session_out = (struct kmn_session){0};
	pthread_mutex_lock(&h->lock);
	if ((e = find_virtual(h, true, virtual)) != NULL)
		*session_out = (struct kmn_session){
		    .number = e->first.virtual, .vendor = e->vendor, .slot = e->slot, .flags = e->flags};
	else if (virtual != CK_INVALID_HANDLE)
		session_out->vendor = refused(h, true, 0);
	pthread_mutex_unlock(&h->lock);
	return e != NULL;
}

void
kmn_virtual_session_drop(struct kmn_virtual *h, uint64_t virtual)
{
	struct entry *e;

	pthread_mutex_lock(&h->lock);
	if ((e = find_virtual(h, true, virtual)) != NULL)
		drop(h, e);
	pthread_mutex_unlock(&h->lock);
}

/* An entry of that slot that dies, or NULL. */
static struct entry *
doomed(struct kmn_virtual *h, size_t bucket, CK_SLOT_ID slot, bool sessions)
{
	for (struct entry *e = h->by_vendor[bucket]; e != NULL; e = e->by_vendor)
		if (e->slot == slot && e->is_session == sessions)
			return e;
	return NULL;
}

void
kmn_virtual_slot_drop(struct kmn_virtual *h, CK_SLOT_ID slot, bool sessions)
{
	struct entry *e;

	pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < h->buckets; i++)
		while ((e = doomed(h, i, slot, sessions)) != NULL)
			drop(h, e);
	pthread_mutex_unlock(&h->lock);
}

uint64_t
kmn_virtual_mark(struct kmn_virtual *h)
{
	uint64_t mark;

	pthread_mutex_lock(&h->lock);
	mark = h->next;
	pthread_mutex_unlock(&h->lock);
	return mark;
}

kmn_err
kmn_virtual_object_made(struct kmn_virtual *h, CK_SLOT_ID slot, CK_OBJECT_HANDLE vendor, uint64_t mark,
    uint64_t session, uint64_t *virtual_out)
{
	struct entry e = {.slot = slot, .vendor = vendor}, *known, *owner;
	kmn_err err = KMN_OK;

	*virtual_out = 0;
	if (vendor == CK_INVALID_HANDLE)
		return KMN_OK;
	pthread_mutex_lock(&h->lock);
	owner = find_virtual(h, true, session);
	/* Found by another session between its making and now: that is this object, anything older is not. */
	known = find_vendor(h, false, slot, vendor);
	if (known != NULL && known->first.virtual >= mark) {
		*virtual_out = known->names->virtual;
		if (owner != NULL && known->session == NULL)
			hang_on(known, owner);
	} else {
		if (known != NULL)
			drop(h, known);
		err = add(h, &e, owner, virtual_out);
	}
	pthread_mutex_unlock(&h->lock);
	return err;
}

kmn_err
kmn_virtual_object_found(struct kmn_virtual *h, CK_SLOT_ID slot, CK_OBJECT_HANDLE vendor, uint64_t *virtual_out)
{
	struct entry e = {.slot = slot, .vendor = vendor}, *known;
	kmn_err err = KMN_OK;

	*virtual_out = 0;
	if (vendor == CK_INVALID_HANDLE)
		return KMN_OK;
	pthread_mutex_lock(&h->lock);
	if ((known = find_vendor(h, false, slot, vendor)) != NULL)
		*virtual_out = known->names->virtual;
	else
		err = add(h, &e, NULL, virtual_out);
	pthread_mutex_unlock(&h->lock);
	return err;
}

CK_OBJECT_HANDLE
kmn_virtual_object(struct kmn_virtual *h, CK_SLOT_ID slot, uint64_t virtual)
{
	CK_OBJECT_HANDLE vendor = CK_INVALID_HANDLE;
	struct entry *e;

	pthread_mutex_lock(&h->lock);
	if ((e = find_virtual(h, false, virtual)) != NULL && e->slot == slot)
		vendor = e->vendor;
	else if (virtual != CK_INVALID_HANDLE)
		vendor = refused(h, false, slot);
	pthread_mutex_unlock(&h->lock);
	return vendor;
}

uint64_t
kmn_virtual_object_session(struct kmn_virtual *h, CK_SLOT_ID slot, uint64_t virtual)
{
	uint64_t session = 0;
	struct entry *e;

	pthread_mutex_lock(&h->lock);
	if ((e = find_virtual(h, false, virtual)) != NULL && e->slot == slot && e->session != NULL)
		session = e->session->first.virtual;
	pthread_mutex_unlock(&h->lock);
	return session;
}

void
kmn_virtual_object_drop(struct kmn_virtual *h, CK_SLOT_ID slot, uint64_t virtual)
{
	struct entry *e;

	pthread_mutex_lock(&h->lock);
	if ((e = find_virtual(h, false, virtual)) != NULL && e->slot == slot)
		drop(h, e);
	pthread_mutex_unlock(&h->lock);
}

static kmn_err
add_name(struct kmn_virtual *h, struct entry *e, uint64_t virtual)
{
	struct name *n;

	if (h->aliases >= OBJECTS_MAX || (n = malloc(sizeof(*n))) == NULL)
		return KMN_E_NO_MEMORY;
	*n = (struct name){.virtual = virtual, .entry = e, .older = e->names};
	e->names = n;
	link_name(h, n);
	h->aliases++;
	return KMN_OK;
}

kmn_err
kmn_virtual_alias(struct kmn_virtual *h, uint64_t old, uint64_t now)
{
	struct entry *e;
	kmn_err err;

	pthread_mutex_lock(&h->lock);
	if ((e = find_any(h, now)) == NULL)
		err = KMN_E_NOT_FOUND;
	else if (old == CK_INVALID_HANDLE || old >= h->first || find_any(h, old) != NULL)
		err = KMN_E_EXISTS;
	else
		err = add_name(h, e, old);
	pthread_mutex_unlock(&h->lock);
	return err;
}

uint64_t
kmn_virtual_session_number(struct kmn_virtual *h, uint64_t virtual)
{
	struct entry *e;
	uint64_t number;

	pthread_mutex_lock(&h->lock);
	e = find_virtual(h, true, virtual);
	number = e == NULL ? virtual : e->first.virtual;
	pthread_mutex_unlock(&h->lock);
	return number;
}
