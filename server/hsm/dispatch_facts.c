/* What the keeper asks of keys and tokens, between the calls of the application. */
#include "config.h"

#include "server/hsm/dispatch_parts.h"

/* A session of our own looks around: no call closes all sessions of the slot meanwhile, or ends the login with its last. */
static void
begin_visit(struct kmn_dispatch *d)
{
	pthread_rwlock_rdlock(&d->slot_wide);
	pthread_rwlock_rdlock(&d->visits);
}

static void
end_visit(struct kmn_dispatch *d)
{
	pthread_rwlock_unlock(&d->visits);
	pthread_rwlock_unlock(&d->slot_wide);
}

CK_RV
kmn_dispatch_describe(struct kmn_dispatch *d, uint64_t session, uint64_t object, struct kmn_key_facts *facts)
{
	const struct kmn_facts_source source = {d->module, d->handles, d->maker};
	CK_RV rv;

	begin_visit(d);
	rv = kmn_facts_describe(&source, session, object, facts);
	end_visit(d);
	return rv;
}

CK_RV
kmn_dispatch_find_key(struct kmn_dispatch *d, const char *token_label, const char *key_label, const void *id,
    size_t id_len, struct kmn_key_facts *facts)
{
	const struct kmn_facts_source source = {d->module, d->handles, d->maker};
	CK_RV rv;

	begin_visit(d);
	rv = kmn_facts_find(&source, token_label, key_label, id, id_len, facts);
	end_visit(d);
	return rv;
}

CK_RV
kmn_dispatch_guard(struct kmn_dispatch *d, const struct kmn_guard_object *object, uint8_t *value, size_t *len_out)
{
	CK_RV rv;

	begin_visit(d);
	rv = kmn_guard_object(d->module, object, value, len_out);
	end_visit(d);
	return rv;
}

CK_RV
kmn_dispatch_token(struct kmn_dispatch *d, uint64_t slot, struct kmn_token_facts *facts)
{
	const CK_VERSION version = d->functions.any.version;
	CK_RV rv = kmn_facts_token(d->module, (CK_SLOT_ID)slot, facts);

	if (rv == CKR_OK && (version.major > 3 || (version.major == 3 && version.minor >= 2))) {
		begin_visit(d);
		kmn_facts_level(d->module, (CK_SLOT_ID)slot, facts);
		end_visit(d);
	}
	return rv;
}
