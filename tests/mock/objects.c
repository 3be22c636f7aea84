/* Objects and their attributes; key pairs. */
#include "config.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mock/mock.h"

void
mock_object_clear(struct mock_object *o)
{
	if (!o->used)
		return;
	for (size_t i = 0; i < o->rows; i++)
		free(o->row[i].value);
	EVP_PKEY_free(o->key);
	memset(o, 0, sizeof(*o));
}

const struct mock_row *
mock_row(const struct mock_object *o, CK_ATTRIBUTE_TYPE type)
{
	for (size_t i = 0; i < o->rows; i++)
		if (o->row[i].type == type)
			return &o->row[i];
	return NULL;
}

bool
mock_flag(const struct mock_object *o, CK_ATTRIBUTE_TYPE type)
{
	const struct mock_row *r = mock_row(o, type);

	return r != NULL && r->len == 1 && r->value[0] != CK_FALSE;
}

/* Adds or replaces. */
static bool
put(struct mock_object *o, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
	struct mock_row *r = NULL;
	uint8_t *copy = malloc(len > 0 ? len : 1);

	for (size_t i = 0; i < o->rows; i++)
		if (o->row[i].type == type)
			r = &o->row[i];
	if (copy == NULL || (r == NULL && o->rows >= MOCK_ROWS)) {
		free(copy);
		return false;
	}
	if (len > 0)
		memcpy(copy, value, len);
	if (r == NULL)
		r = &o->row[o->rows++];
	free(r->value);
	*r = (struct mock_row){.type = type, .len = (CK_ULONG)len, .value = copy};
	return true;
}

static void
put_ulong(struct mock_object *o, CK_ATTRIBUTE_TYPE type, CK_ULONG value)
{
	(void)put(o, type, &value, sizeof(value));
}

static void
put_flag(struct mock_object *o, CK_ATTRIBUTE_TYPE type, bool value)
{
	CK_BBOOL b = value ? CK_TRUE : CK_FALSE;

	(void)put(o, type, &b, sizeof(b));
}

static CK_RV
put_template(struct mock_object *o, const CK_ATTRIBUTE *t, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++)
		if (t == NULL || (t[i].pValue == NULL && t[i].ulValueLen > 0) ||
		    !put(o, t[i].type, t[i].pValue, t[i].ulValueLen))
			return CKR_ATTRIBUTE_VALUE_INVALID;
	return CKR_OK;
}

/* The first free number, from 1. */
static struct mock_object *
new_object(unsigned slot, CK_OBJECT_HANDLE *handle_out)
{
	for (size_t i = 0; i < MOCK_OBJECTS; i++)
		if (!mock.token[slot].object[i].used) {
			mock.token[slot].object[i].used = true;
			*handle_out = (CK_OBJECT_HANDLE)i + 1;
			return &mock.token[slot].object[i];
		}
	return NULL;
}

/* Token or session object, as its CKA_TOKEN says. */
static void
place(struct mock_object *o, CK_SESSION_HANDLE session)
{
	if (mock_row(o, CKA_TOKEN) == NULL)
		put_flag(o, CKA_TOKEN, false);
	o->session = mock_flag(o, CKA_TOKEN) ? 0 : session;
}

struct mock_object *
mock_object(const struct mock_session *s, CK_OBJECT_HANDLE handle)
{
	struct mock_object *o;

	if (handle < 1 || handle > MOCK_OBJECTS)
		return NULL;
	o = &mock.token[s->slot].object[handle - 1];
	return o->used && (mock.token[s->slot].user || !mock_flag(o, CKA_PRIVATE)) ? o : NULL;
}

static CK_RV
create(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	struct mock_session *s = mock_session(session);
	struct mock_object *o;
	CK_RV rv;

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if ((o = new_object(s->slot, out)) == NULL)
		return CKR_DEVICE_MEMORY;
	if ((rv = put_template(o, t, count)) == CKR_OK && mock_row(o, CKA_CLASS) == NULL)
		rv = CKR_TEMPLATE_INCOMPLETE;
	if (rv != CKR_OK)
		mock_object_clear(o);
	else
		place(o, session);
	return rv;
}

CK_RV
mock_C_CreateObject(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
	CK_RV rv;

	pthread_mutex_lock(&mock.lock);
	rv = create(session, t, count, out);
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

static CK_RV
copy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE from, const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
	struct mock_session *s = mock_session(session);
	struct mock_object *o, *origin;
	CK_RV rv;

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if ((origin = mock_object(s, from)) == NULL)
		return CKR_OBJECT_HANDLE_INVALID;
	if ((o = new_object(s->slot, out)) == NULL)
		return CKR_DEVICE_MEMORY;
	for (size_t i = 0; i < origin->rows; i++)
		(void)put(o, origin->row[i].type, origin->row[i].value, origin->row[i].len);
	if (origin->key != NULL && EVP_PKEY_up_ref(origin->key) == 1)
		o->key = origin->key;
	if ((rv = put_template(o, t, count)) != CKR_OK)
		mock_object_clear(o);
	else
		place(o, session);
	return rv;
}

CK_RV
mock_C_CopyObject(
    CK_SESSION_HANDLE session, CK_OBJECT_HANDLE from, CK_ATTRIBUTE_PTR t, CK_ULONG count, CK_OBJECT_HANDLE_PTR out)
{
	CK_RV rv;

	pthread_mutex_lock(&mock.lock);
	rv = copy(session, from, t, count, out);
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

CK_RV
mock_C_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
	struct mock_session *s;
	struct mock_object *o;
	CK_RV rv = CKR_OK;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(session)) == NULL)
		rv = CKR_SESSION_HANDLE_INVALID;
	else if ((o = mock_object(s, object)) == NULL)
		rv = CKR_OBJECT_HANDLE_INVALID;
	else
		mock_object_clear(o);
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

CK_RV
mock_C_SetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
	struct mock_session *s;
	struct mock_object *o;
	CK_RV rv;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(session)) == NULL)
		rv = CKR_SESSION_HANDLE_INVALID;
	else if ((o = mock_object(s, object)) == NULL)
		rv = CKR_OBJECT_HANDLE_INVALID;
	else
		rv = put_template(o, t, count);
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

static CK_RV
get(const struct mock_object *o, CK_ATTRIBUTE *a)
{
	const struct mock_row *r = mock_row(o, a->type);
	bool overrun = (mock.settings.overrun & MOCK_OVER_ATTRIBUTES) != 0;
	CK_RV rv = CKR_OK;

	if (r == NULL) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_ATTRIBUTE_TYPE_INVALID;
	}
	if (a->type == CKA_VALUE && mock_flag(o, CKA_SENSITIVE)) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_ATTRIBUTE_SENSITIVE;
	}
	if (a->pValue != NULL && a->ulValueLen < r->len && !overrun) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_BUFFER_TOO_SMALL;
	}
	if (a->pValue != NULL)
		memcpy(a->pValue, r->value, r->len);
	a->ulValueLen = r->len;
	if ((mock.settings.overrun & MOCK_OVER_LENGTHS) != 0)
		a->ulValueLen = (CK_ULONG)1 << 40;
	return rv;
}

CK_RV
mock_C_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
	const struct mock_session *s;
	const struct mock_object *o;
	CK_RV rv = CKR_OK, row;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(session)) == NULL)
		rv = CKR_SESSION_HANDLE_INVALID;
	else if ((o = mock_object(s, object)) == NULL)
		rv = CKR_OBJECT_HANDLE_INVALID;
	else if (t == NULL)
		rv = CKR_ARGUMENTS_BAD;
	else
		for (CK_ULONG i = 0; i < count; i++)
			if ((row = get(o, &t[i])) != CKR_OK)
				rv = row;
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

static bool
fits(const struct mock_object *o, const CK_ATTRIBUTE *t, CK_ULONG count)
{
	for (CK_ULONG i = 0; i < count; i++) {
		const struct mock_row *r = mock_row(o, t[i].type);

		if (r == NULL || r->len != t[i].ulValueLen || t[i].pValue == NULL ||
		    memcmp(r->value, t[i].pValue, r->len) != 0)
			return false;
	}
	return true;
}

CK_RV
mock_C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR t, CK_ULONG count)
{
	struct mock_session *s;
	CK_RV rv = CKR_OK;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(session)) == NULL)
		rv = CKR_SESSION_HANDLE_INVALID;
	else if (t == NULL && count > 0)
		rv = CKR_ARGUMENTS_BAD;
	else if (s->finding)
		rv = CKR_OPERATION_ACTIVE;
	if (rv == CKR_OK) {
		s->finding = true;
		s->found_count = s->found_next = 0;
		for (size_t i = 0; i < MOCK_OBJECTS; i++)
			if (mock_object(s, (CK_OBJECT_HANDLE)i + 1) != NULL &&
			    fits(&mock.token[s->slot].object[i], t, count))
				s->found[s->found_count++] = (CK_OBJECT_HANDLE)i + 1;
	}
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

CK_RV
mock_C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR out, CK_ULONG max, CK_ULONG_PTR count)
{
	struct mock_session *s;
	CK_RV rv = CKR_OK;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(session)) == NULL)
		rv = CKR_SESSION_HANDLE_INVALID;
	else if (!s->finding)
		rv = CKR_OPERATION_NOT_INITIALIZED;
	else if (out == NULL)
		rv = CKR_ARGUMENTS_BAD;
	if (rv == CKR_OK) {
		if ((mock.settings.overrun & MOCK_OVER_FIND) != 0)
			max++;
		for (*count = 0; *count < max && s->found_next < s->found_count; (*count)++)
			out[*count] = s->found[s->found_next++];
	}
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

CK_RV
mock_C_FindObjectsFinal(CK_SESSION_HANDLE session)
{
	struct mock_session *s;
	CK_RV rv = CKR_OK;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(session)) == NULL)
		rv = CKR_SESSION_HANDLE_INVALID;
	else if (!s->finding)
		rv = CKR_OPERATION_NOT_INITIALIZED;
	else
		s->finding = false;
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

/* ---- key pairs ---- */

static void
put_number(struct mock_object *o, CK_ATTRIBUTE_TYPE type, EVP_PKEY *key, const char *name)
{
	uint8_t bytes[1024];
	BIGNUM *n = NULL;

	if (EVP_PKEY_get_bn_param(key, name, &n) == 1 && BN_num_bytes(n) <= (int)sizeof(bytes))
		(void)put(o, type, bytes, (size_t)BN_bn2bin(n, bytes));
	BN_free(n);
}

/* CKA_EC_POINT is the OCTET STRING of the uncompressed point. */
static void
put_point(struct mock_object *o, EVP_PKEY *key)
{
	uint8_t bytes[256] = {0x04};
	size_t n = 0;

	if (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, bytes + 3, sizeof(bytes) - 3, &n) != 1)
		return;
	if (n < 128) {
		bytes[1] = (uint8_t)n;
		memmove(bytes + 2, bytes + 3, n);
		(void)put(o, CKA_EC_POINT, bytes, n + 2);
	} else {
		bytes[1] = 0x81;
		bytes[2] = (uint8_t)n;
		(void)put(o, CKA_EC_POINT, bytes, n + 3);
	}
}

static EVP_PKEY *
generate_ec(const struct mock_row *params)
{
	const uint8_t *at = params == NULL ? NULL : params->value;
	ASN1_OBJECT *curve = params == NULL ? NULL : d2i_ASN1_OBJECT(NULL, &at, (long)params->len);
	char name[64] = "";

	if (curve != NULL)
		OBJ_obj2txt(name, sizeof(name), curve, 0);
	ASN1_OBJECT_free(curve);
	return name[0] == '\0' ? NULL : EVP_PKEY_Q_keygen(NULL, NULL, "EC", name);
}

static EVP_PKEY *
generate_rsa(const struct mock_row *bits)
{
	CK_ULONG n = 0;

	if (bits == NULL || bits->len != sizeof(n))
		return NULL;
	memcpy(&n, bits->value, sizeof(n));
	return n < 1024 || n > 4096 ? NULL : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)n);
}

/* What the module itself says of the two halves. */
static void
put_halves(struct mock_object *public, struct mock_object *private, EVP_PKEY *key, CK_MECHANISM_TYPE mechanism)
{
	bool rsa = mechanism == CKM_RSA_PKCS_KEY_PAIR_GEN;
	struct mock_object *half[] = {public, private};

	for (size_t i = 0; i < KMN_COUNT_OF(half); i++) {
		put_ulong(half[i], CKA_CLASS, i == 0 ? CKO_PUBLIC_KEY : CKO_PRIVATE_KEY);
		put_ulong(half[i], CKA_KEY_TYPE, rsa ? CKK_RSA : CKK_EC);
		put_ulong(half[i], CKA_KEY_GEN_MECHANISM, mechanism);
		put_flag(half[i], CKA_LOCAL, true);
		if (rsa) {
			put_number(half[i], CKA_MODULUS, key, OSSL_PKEY_PARAM_RSA_N);
			put_number(half[i], CKA_PUBLIC_EXPONENT, key, OSSL_PKEY_PARAM_RSA_E);
		}
		if (mock_row(half[i], CKA_PRIVATE) == NULL)
			put_flag(half[i], CKA_PRIVATE, i == 1);
		half[i]->key = EVP_PKEY_up_ref(key) == 1 ? key : NULL;
	}
	if (!rsa) {
		const struct mock_row *params = mock_row(public, CKA_EC_PARAMS);

		(void)put(private, CKA_EC_PARAMS, params->value, params->len);
		put_point(public, key);
	}
	put_flag(private, CKA_ALWAYS_SENSITIVE, mock_flag(private, CKA_SENSITIVE));
	put_flag(private, CKA_NEVER_EXTRACTABLE, !mock_flag(private, CKA_EXTRACTABLE));
}

struct pair {
	CK_SESSION_HANDLE session;
	const CK_MECHANISM *mechanism;
	const CK_ATTRIBUTE *public, *private;
	CK_ULONG public_count, private_count;
};

static CK_RV
generate(const struct pair *p, CK_OBJECT_HANDLE *public_out, CK_OBJECT_HANDLE *private_out)
{
	struct mock_session *s = mock_session(p->session);
	struct mock_object *public = NULL, *private = NULL;
	EVP_PKEY *key = NULL;
	CK_RV rv = CKR_DEVICE_MEMORY;

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (!mock.token[s->slot].user)
		return CKR_USER_NOT_LOGGED_IN;
	if ((public = new_object(s->slot, public_out)) == NULL || (private = new_object(s->slot, private_out)) == NULL)
		goto done;
	if ((rv = put_template(public, p->public, p->public_count)) != CKR_OK ||
	    (rv = put_template(private, p->private, p->private_count)) != CKR_OK)
		goto done;
	rv = CKR_TEMPLATE_INCOMPLETE;
	key = p->mechanism->mechanism == CKM_EC_KEY_PAIR_GEN ? generate_ec(mock_row(public, CKA_EC_PARAMS))
							     : generate_rsa(mock_row(public, CKA_MODULUS_BITS));
	if (key == NULL)
		goto done;
	put_halves(public, private, key, p->mechanism->mechanism);
	place(public, p->session);
	place(private, p->session);
	rv = CKR_OK;
done:
	EVP_PKEY_free(key);
	if (rv != CKR_OK && public != NULL)
		mock_object_clear(public);
	if (rv != CKR_OK && private != NULL)
		mock_object_clear(private);
	return rv;
}

CK_RV
mock_C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR public,
    CK_ULONG public_count, CK_ATTRIBUTE_PTR private, CK_ULONG private_count, CK_OBJECT_HANDLE_PTR public_out,
    CK_OBJECT_HANDLE_PTR private_out)
{
	struct pair p = {session, mechanism, public, private, public_count, private_count};
	CK_RV rv;

	if (mechanism == NULL ||
	    (mechanism->mechanism != CKM_EC_KEY_PAIR_GEN && mechanism->mechanism != CKM_RSA_PKCS_KEY_PAIR_GEN))
		return CKR_MECHANISM_INVALID;
	pthread_mutex_lock(&mock.lock);
	rv = generate(&p, public_out, private_out);
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

void
mock_seed_key(const char *path)
{
	FILE *f = fopen(path, "r");
	EVP_PKEY *key = f == NULL ? NULL : PEM_read_PrivateKey(f, NULL, NULL, NULL);
	struct mock_object *half[2];
	CK_OBJECT_HANDLE handle;
	bool rsa = key != NULL && EVP_PKEY_is_a(key, "RSA") == 1;
	uint8_t params[64], *at = params;
	char curve[64];
	size_t n;

	if (f != NULL)
		fclose(f);
	for (size_t i = 0; key != NULL && i < KMN_COUNT_OF(half); i++) {
		half[i] = new_object(0, &handle);
		(void)put(half[i], CKA_LABEL, "seed", 4);
		(void)put(half[i], CKA_ID, "seed", 4);
		put_flag(half[i], CKA_TOKEN, true);
		put_flag(half[i], CKA_SENSITIVE, i == 1);
	}
	if (key != NULL && !rsa && EVP_PKEY_get_group_name(key, curve, sizeof(curve), &n) == 1) {
		ASN1_OBJECT *oid = OBJ_txt2obj(curve, 0);

		(void)put(half[0], CKA_EC_PARAMS, params, (size_t)i2d_ASN1_OBJECT(oid, &at));
		ASN1_OBJECT_free(oid);
	}
	if (key != NULL)
		put_halves(half[0], half[1], key, rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN);
	EVP_PKEY_free(key);
}
