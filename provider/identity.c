#include "config.h"

#include "provider/identity.h"

#include <sodium.h>
#include <string.h>

#define PUBLIC_MAX_BYTES 4096u /* a public half, or one number of it */
#define CANDIDATES 16u         /* more that share a name are not told apart */

#ifndef CKA_UNIQUE_ID
#define CKA_UNIQUE_ID 0x00000004UL
#endif
#ifndef CKA_PUBLIC_KEY_INFO
#define CKA_PUBLIC_KEY_INFO 0x00000129UL
#endif

/* ---- what an object says of itself ------------------------------------------------------------------------------- */

enum row { CLASS, TYPE, TOKEN, ID, LABEL, UNIQUE, MODULUS, EXPONENT, PARAMS, POINT, INFO, CHECK, ROWS };

struct answers {
	CK_OBJECT_CLASS class;
	CK_KEY_TYPE type;
	CK_BBOOL token;
	struct kmn_identity_text text[3];
	CK_BYTE half[ROWS - MODULUS][PUBLIC_MAX_BYTES];
	CK_ATTRIBUTE row[ROWS];
};

static void
prepare(struct answers *a)
{
	static const CK_ATTRIBUTE_TYPE types[ROWS] = {CKA_CLASS, CKA_KEY_TYPE, CKA_TOKEN, CKA_ID, CKA_LABEL,
	    CKA_UNIQUE_ID, CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO,
	    CKA_CHECK_VALUE};

	for (int i = 0; i < ROWS; i++)
		a->row[i] = (CK_ATTRIBUTE){.type = types[i]};
	a->row[CLASS] = (CK_ATTRIBUTE){types[CLASS], &a->class, sizeof(a->class)};
	a->row[TYPE] = (CK_ATTRIBUTE){types[TYPE], &a->type, sizeof(a->type)};
	a->row[TOKEN] = (CK_ATTRIBUTE){types[TOKEN], &a->token, sizeof(a->token)};
	for (int i = ID; i <= UNIQUE; i++)
		a->row[i] = (CK_ATTRIBUTE){types[i], a->text[i - ID].bytes, KMN_IDENTITY_TEXT_BYTES};
	for (int i = MODULUS; i < ROWS; i++)
		a->row[i] = (CK_ATTRIBUTE){types[i], a->half[i - MODULUS], PUBLIC_MAX_BYTES};
}

/* Bytes of a row that came; 0 of one that did not. */
static CK_ULONG
came(const struct answers *a, enum row row)
{
	return a->row[row].ulValueLen != CK_UNAVAILABLE_INFORMATION ? a->row[row].ulValueLen : 0;
}

static kmn_err
ask(const struct kmn_desk *desk, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct answers *a, bool *ok_out)
{
	struct kmn_arg arg[] = {{.u = session}, {.u = object}, {.p = a->row, .u = ROWS}};
	CK_RV rv;
	kmn_err e;

	prepare(a);
	e = kmn_call_on(desk->app, desk->link, KMN_C_GetAttributeValue, arg, KMN_COUNT_OF(arg), &rv);
	*ok_out = e == KMN_OK &&
		  (rv == CKR_OK || rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
		      rv == CKR_BUFFER_TOO_SMALL) &&
		  came(a, CLASS) == sizeof(a->class) && came(a, TYPE) == sizeof(a->type) &&
		  came(a, TOKEN) == sizeof(a->token) && a->token != CK_FALSE;
	return e;
}

/* Hashes what tells this key from all others; false if it says nothing of that kind. */
static bool
prove(const struct answers *a, uint8_t proof_out[KMN_HASH_BYTES])
{
	bool secret = a->class == CKO_SECRET_KEY;
	crypto_hash_sha256_state state;

	if (secret ? came(a, CHECK) == 0 : came(a, MODULUS) + came(a, POINT) + came(a, INFO) == 0)
		return false;
	(void)crypto_hash_sha256_init(&state);
	for (enum row i = secret ? CHECK : MODULUS; i <= (secret ? CHECK : INFO); i++) {
		const uint8_t head[] = {(uint8_t)i, (uint8_t)(came(a, i) >> 8), (uint8_t)came(a, i)};

		(void)crypto_hash_sha256_update(&state, head, sizeof(head));
		(void)crypto_hash_sha256_update(&state, a->half[i - MODULUS], came(a, i));
	}
	(void)crypto_hash_sha256_final(&state, proof_out);
	return true;
}

static void
name(const struct answers *a, struct kmn_identity *identity)
{
	struct kmn_identity_text *const text[] = {&identity->id, &identity->label, &identity->unique};

	identity->class = a->class;
	identity->type = a->type;
	for (int i = ID; i <= UNIQUE; i++) {
		*text[i - ID] = a->text[i - ID];
		text[i - ID]->len = came(a, (enum row)i);
	}
}

/* ---- sessions of our own ----------------------------------------------------------------------------------------- */

/* Its own session, so that no search and no operation of the application's is disturbed. 0: none could be had. */
static kmn_err
open_side(const struct kmn_desk *desk, CK_SESSION_HANDLE *session_out)
{
	struct kmn_arg arg[] = {{.u = desk->slot}, {.u = desk->flags}, {0}, {.p = session_out}};
	CK_RV rv;
	kmn_err e;

	*session_out = 0;
	e = kmn_call_on(desk->app, desk->link, KMN_C_OpenSession, arg, KMN_COUNT_OF(arg), &rv);
	return e;
}

static kmn_err
close_side(const struct kmn_desk *desk, CK_SESSION_HANDLE session, kmn_err before)
{
	struct kmn_arg arg[] = {{.u = session}};
	CK_RV rv;
	kmn_err e;

	if (session == 0 || before != KMN_OK)
		return before;
	e = kmn_call_on(desk->app, desk->link, KMN_C_CloseSession, arg, KMN_COUNT_OF(arg), &rv);
	return e;
}

static void
set_row(CK_ATTRIBUTE *row, CK_ULONG *n, CK_ATTRIBUTE_TYPE type, const void *value, CK_ULONG len)
{
	if (len > 0)
		row[(*n)++] = (CK_ATTRIBUTE){type, (void *)(uintptr_t)value, len};
}

/* Handles of the objects with these names; none where there are too many. */
static kmn_err
search(const struct kmn_desk *desk, CK_SESSION_HANDLE session, const struct kmn_identity *want,
    CK_OBJECT_HANDLE found[CANDIDATES], CK_ULONG *count_out)
{
	static const CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE row[6];
	struct kmn_arg init[] = {{.u = session}, {.p = row, .u = 0}};
	struct kmn_arg get[] = {{.u = session}, {.p = found, .u = CANDIDATES, .n = count_out}};
	struct kmn_arg final[] = {{.u = session}};
	CK_RV rv;
	kmn_err e;

	*count_out = 0;
	set_row(row, &init[1].u, CKA_CLASS, &want->class, sizeof(want->class));
	set_row(row, &init[1].u, CKA_KEY_TYPE, &want->type, sizeof(want->type));
	set_row(row, &init[1].u, CKA_TOKEN, &yes, sizeof(yes));
	set_row(row, &init[1].u, CKA_UNIQUE_ID, want->unique.bytes, want->unique.len);
	if (want->unique.len == 0) {
		set_row(row, &init[1].u, CKA_ID, want->id.bytes, want->id.len);
		set_row(row, &init[1].u, CKA_LABEL, want->label.bytes, want->label.len);
	}
	e = kmn_call_on(desk->app, desk->link, KMN_C_FindObjectsInit, init, KMN_COUNT_OF(init), &rv);
	if (e != KMN_OK || rv != CKR_OK)
		return e;
	e = kmn_call_on(desk->app, desk->link, KMN_C_FindObjects, get, KMN_COUNT_OF(get), &rv);
	if (e == KMN_OK && (rv != CKR_OK || *count_out >= CANDIDATES))
		*count_out = 0;
	if (e == KMN_OK)
		e = kmn_call_on(desk->app, desk->link, KMN_C_FindObjectsFinal, final, KMN_COUNT_OF(final), &rv);
	return e;
}

/* ---- ask and find ------------------------------------------------------------------------------------------------ */

/* A private key that does not tell its public half: the one public key with its CKA_ID does. */
static kmn_err
prove_by_partner(const struct kmn_desk *desk, struct kmn_identity *identity)
{
	struct kmn_identity partner = {.class = CKO_PUBLIC_KEY, .type = identity->type, .id = identity->id};
	CK_OBJECT_HANDLE found[CANDIDATES];
	CK_SESSION_HANDLE session = 0;
	CK_ULONG count = 0;
	struct answers a;
	bool ok = false;
	kmn_err e;

	e = open_side(desk, &session);
	if (e == KMN_OK && session != 0)
		e = search(desk, session, &partner, found, &count);
	if (e == KMN_OK && count == 1)
		e = ask(desk, session, found[0], &a, &ok);
	identity->proven = e == KMN_OK && ok && prove(&a, identity->proof);
	return close_side(desk, session, e);
}

kmn_err
kmn_identity_ask(
    const struct kmn_desk *desk, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct kmn_identity *identity_out)
{
	struct answers a;
	bool ok;
	kmn_err e;

	*identity_out = (struct kmn_identity){0};
	if ((e = ask(desk, session, object, &a, &ok)) != KMN_OK || !ok)
		return e;
	name(&a, identity_out);
	identity_out->proven = prove(&a, identity_out->proof);
	if (!identity_out->proven && identity_out->class == CKO_PRIVATE_KEY && identity_out->id.len > 0)
		return prove_by_partner(desk, identity_out);
	return KMN_OK;
}

static bool
is_same_text(const struct kmn_identity_text *a, const struct kmn_identity_text *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool
is_same(const struct kmn_identity *a, const struct kmn_identity *b)
{
	return a->proven && b->proven && a->class == b->class && a->type == b->type &&
	       is_same_text(&a->unique, &b->unique) &&
	       (a->unique.len > 0 || (is_same_text(&a->id, &b->id) && is_same_text(&a->label, &b->label))) &&
	       memcmp(a->proof, b->proof, sizeof(a->proof)) == 0;
}

kmn_err
kmn_identity_find(const struct kmn_desk *desk, const struct kmn_identity *identity, CK_OBJECT_HANDLE *object_out)
{
	CK_OBJECT_HANDLE found[CANDIDATES], match = 0;
	CK_SESSION_HANDLE session = 0;
	CK_ULONG count = 0, matches = 0;
	kmn_err e;

	*object_out = 0;
	e = open_side(desk, &session);
	if (e == KMN_OK && session != 0)
		e = search(desk, session, identity, found, &count);
	for (CK_ULONG i = 0; e == KMN_OK && i < count; i++) {
		struct kmn_identity candidate;

		e = kmn_identity_ask(desk, session, found[i], &candidate);
		if (e == KMN_OK && is_same(identity, &candidate)) {
			match = found[i];
			matches++;
		}
	}
	e = close_side(desk, session, e);
	if (e == KMN_OK && matches == 1)
		*object_out = match;
	return e;
}
