/*
 * ALIAS: an application that attached anew gives what it has built up again
 * the numbers that its callers know. Only a name changes: the session or
 * object was opened or found by a call that was judged like any other, under a
 * number that this instance was given.
 */
#include "config.h"

#include "server/keeper/state.h"

#include <stdlib.h>

#define NO_REQUEST UINT64_MAX

/* One ALIAS while the worker is asked. */
struct alias {
	struct kmn_instance *instance; /* lives as long as its worker */
	uint32_t conn;                 /* may be gone when the worker answers */
	uint64_t old, new;
};

static void
refuse(struct kmn_keeper *k, const struct kmn_conn *conn, kmn_err e)
{
	if (conn != NULL)
		kmn_gatelink_refuse(k, conn, 0, e, NO_REQUEST, "this handle does not become that one");
}

static void
aliased(struct kmn_keeper *k, void *cookie, struct kmn_reader *r)
{
	struct alias *alias = cookie;
	uint64_t rv = r != NULL ? kmn_reader_u64(r) : CKR_DEVICE_ERROR;
	const struct kmn_conn *conn = r != NULL ? kmn_conn_get(k, alias->conn) : NULL;
	struct kmn_writer w;

	if (r != NULL && rv == CKR_OK) {
		kmn_session_rename(alias->instance, alias->new, alias->old);
		kmn_writer_init(&w, 16);
		kmn_writer_u64(&w, alias->old);
		if (conn != NULL)
			kmn_gatelink_send(k, conn, KMN_F_ALIASED, &w);
		kmn_writer_clear(&w);
	} else {
		refuse(k, conn, rv == CKR_ARGUMENTS_BAD ? KMN_E_EXISTS : KMN_E_NOT_FOUND);
	}
	free(alias);
}

static kmn_err
ask(struct kmn_keeper *k, const struct kmn_conn *conn, uint64_t old, uint64_t new)
{
	struct alias *alias = calloc(1, sizeof(*alias));
	struct kmn_writer w;
	kmn_err e;

	if (alias == NULL)
		return KMN_E_NO_MEMORY;
	*alias = (struct alias){.instance = conn->instance, .conn = conn->id, .old = old, .new = new};
	kmn_writer_init(&w, 32);
	kmn_writer_u64(&w, old);
	kmn_writer_u64(&w, new);
	e = kmn_branch_ask(k, kmn_branch_of_handle(conn->instance, new), KMN_W_ALIAS, &w, aliased, alias);
	kmn_writer_clear(&w);
	if (e != KMN_OK)
		free(alias);
	return e;
}

void
kmn_alias_take(struct kmn_keeper *k, struct kmn_conn *conn, uint64_t old, uint64_t new)
{
	struct kmn_instance *instance = conn->instance;
	kmn_err e = KMN_OK;

	if (old == 0 || old >= instance->first_handle)
		e = KMN_E_ARGUMENTS;
	else if (new < instance->first_handle)
		e = KMN_E_NOT_FOUND;
	else if (kmn_session_get(instance, old) != NULL)
		e = KMN_E_EXISTS;
	else
		e = ask(k, conn, old, new);
	if (e != KMN_OK)
		refuse(k, conn, e);
}
