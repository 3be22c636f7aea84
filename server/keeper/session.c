/*
 * Sessions of an application and the operations in them, as far as a key takes
 * part: what a later C_Sign or C_DecryptFinal is about was said at its Init.
 *
 * The mirror never says "nothing is active" on its own word: an operation that
 * a vendor may have kept alive after an error stays here until it ends well or
 * another begins, so that no data call of a key can pass as something that
 * needs no record.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

static unsigned
bucket(uint64_t handle)
{
	return (unsigned)(handle % 64u);
}

struct kmn_session *
kmn_session_get(struct kmn_instance *instance, uint64_t handle)
{
	struct kmn_session *s;

	LIST_FOREACH(s, &instance->sessions[bucket(handle)], link)
	if (s->handle == handle)
		return s;
	return NULL;
}

kmn_err
kmn_session_add(const struct kmn_call_state *call, uint64_t handle, uint64_t flags)
{
	struct kmn_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return KMN_E_NO_MEMORY;
	s->handle = handle;
	s->branch = call->branch;
	s->slot = call->slot;
	s->vendor_slot = call->vendor_slot;
	s->flags = flags;
	for (unsigned i = 0; i < KMN_COUNT_OF(s->operation); i++)
		s->operation[i].kind = 1u << i;
	TAILQ_INIT(&s->waiting);
	LIST_INSERT_HEAD(&call->instance->sessions[bucket(handle)], s, link);
	return KMN_OK;
}

void
kmn_session_rename(struct kmn_instance *instance, uint64_t from, uint64_t to)
{
	struct kmn_session *s = kmn_session_get(instance, from);

	if (s == NULL)
		return;
	LIST_REMOVE(s, link);
	s->handle = to;
	LIST_INSERT_HEAD(&instance->sessions[bucket(to)], s, link);
}

/* No call may keep a pointer to a session that goes away. */
static void
detach_calls(struct kmn_instance *instance, const struct kmn_session *s)
{
	for (size_t i = 0; i < KMN_INSTANCE_CALLS; i++) {
		struct kmn_call_state *call = instance->call[i];

		if (call != NULL && call->session == s) {
			call->session = NULL;
			call->operation = NULL;
			call->data = NULL; /* may be a view into the spool */
			call->data_len = 0;
		}
	}
}

static void
session_free(struct kmn_instance *instance, struct kmn_session *s)
{
	if (s->turn != NULL || !TAILQ_EMPTY(&s->waiting))
		kmn_turn_end_session(instance->keeper, s);
	detach_calls(instance, s);
	LIST_REMOVE(s, link);
	for (size_t i = 0; i < KMN_COUNT_OF(s->operation); i++)
		kmn_operation_end(&s->operation[i]);
	kmn_attached_clear(&s->attached);
	free(s);
}

void
kmn_session_remove(struct kmn_instance *instance, uint64_t handle)
{
	struct kmn_session *s = kmn_session_get(instance, handle);

	if (s != NULL)
		session_free(instance, s);
}

static void
remove_where(struct kmn_instance *instance, const uint64_t *slot, const struct kmn_branch *branch)
{
	for (size_t i = 0; i < KMN_COUNT_OF(instance->sessions); i++) {
		struct kmn_session *s = LIST_FIRST(&instance->sessions[i]), *next;

		for (; s != NULL; s = next) {
			next = LIST_NEXT(s, link);
			if ((slot == NULL || s->slot == *slot) && (branch == NULL || s->branch == branch))
				session_free(instance, s);
		}
	}
}

void
kmn_session_remove_slot(struct kmn_instance *instance, uint64_t slot)
{
	remove_where(instance, &slot, NULL);
}

void
kmn_session_remove_all(struct kmn_instance *instance)
{
	remove_where(instance, NULL, NULL);
}

void
kmn_session_remove_branch(struct kmn_branch *branch)
{
	remove_where(branch->instance, NULL, branch);
}

struct kmn_operation *
kmn_session_operation(struct kmn_session *session, unsigned kind)
{
	for (size_t i = 0; i < KMN_COUNT_OF(session->operation); i++)
		if (session->operation[i].kind == kind)
			return &session->operation[i];
	KMN_BUG("an operation kind is one bit");
}

void
kmn_operation_end(struct kmn_operation *op)
{
	unsigned kind = op->kind;

	json_decref(op->mech_view);
	EVP_MD_CTX_free(op->sha256);
	EVP_MD_CTX_free(op->scheme);
	if (op->spool != NULL)
		OPENSSL_clear_free(op->spool, KMN_KEEPER_SPOOL_MAX);
	memset(op, 0, sizeof(*op));
	op->kind = kind;
}

/* The hash that the mechanism itself makes of the data, or NULL. */
static const EVP_MD *
scheme_hash(const struct kmn_operation *op)
{
	struct kmn_norm norm;

	if (kmn_operation_normalise(op->mechanism, op->has_pss ? &op->pss : NULL, NULL, 0, &norm) != KMN_OK ||
	    norm.hash[0] == '\0' || strcmp(norm.scheme, "eddsa") == 0)
		return NULL;
	return EVP_get_digestbyname(norm.hash);
}

/* An Init succeeded: what the operation is, from the call that started it. */
void
kmn_operation_begin(struct kmn_operation *op, struct kmn_call_state *call)
{
	const struct kmn_mech_view *mech = kmn_view_mechanism(&call->view);

	kmn_operation_end(op);
	op->active = true;
	op->serial = ++call->keeper->operations;
	op->side = call->starts_side;
	op->known = call->keys > 0 && mech != NULL;
	if (!op->known)
		return;
	op->key = call->key[0];
	op->mechanism = mech->type;
	op->has_pss = kmn_mech_number(mech, "hashAlg", &op->pss.hash) && kmn_mech_number(mech, "mgf", &op->pss.mgf) &&
		      kmn_mech_number(mech, "sLen", &op->pss.salt_len);
	op->mech_view = json_incref(call->intent != NULL ? json_object_get(call->intent, "mech") : NULL);
}

void
kmn_operation_next_message(struct kmn_operation *op, struct kmn_keeper *k)
{
	EVP_MD_CTX_free(op->sha256);
	EVP_MD_CTX_free(op->scheme);
	if (op->spool != NULL)
		OPENSSL_clear_free(op->spool, KMN_KEEPER_SPOOL_MAX);
	op->sha256 = op->scheme = NULL;
	op->spool = NULL;
	op->spool_len = 0;
	op->parts_len = 0;
	op->spool_full = op->in_message = false;
	op->serial = ++k->operations;
}

static kmn_err
start_digests(struct kmn_operation *op)
{
	const EVP_MD *own = scheme_hash(op);

	if ((op->sha256 = EVP_MD_CTX_new()) == NULL || EVP_DigestInit_ex(op->sha256, EVP_sha256(), NULL) != 1)
		return KMN_E_NO_MEMORY;
	if (own != NULL && ((op->scheme = EVP_MD_CTX_new()) == NULL || EVP_DigestInit_ex(op->scheme, own, NULL) != 1))
		return KMN_E_NO_MEMORY;
	if ((op->spool = OPENSSL_zalloc(KMN_KEEPER_SPOOL_MAX)) == NULL)
		return KMN_E_NO_MEMORY;
	return KMN_OK;
}

kmn_err
kmn_operation_feed(struct kmn_operation *op, const uint8_t *part, size_t len)
{
	kmn_err e;

	if (op->sha256 == NULL && (e = start_digests(op)) != KMN_OK)
		return e;
	if (len == 0)
		return KMN_OK;
	if (EVP_DigestUpdate(op->sha256, part, len) != 1 ||
	    (op->scheme != NULL && EVP_DigestUpdate(op->scheme, part, len) != 1))
		return KMN_E_INTERNAL;
	op->parts_len += len;
	if (op->parts_len > KMN_KEEPER_SPOOL_MAX) {
		op->spool_full = true;
	} else {
		memcpy(op->spool + op->spool_len, part, len);
		op->spool_len += len;
	}
	return KMN_OK;
}
