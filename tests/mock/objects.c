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

#define DEPTH_MAX 5u

static void
clear_row(struct mock_row *r)
{
	struct mock_row *inner = (struct mock_row *)(void *)r->value;

	for (size_t i = 0; i < r->rows; i++)
		clear_row(&inner[i]);
	free(r->value);
}

void
mock_object_clear(struct mock_object *o)
{
	if (!o->used)
		return;
	for (size_t i = 0; i < o->rows; i++)
		clear_row(&o->row[i]);
	EVP_PKEY_free(o->key);
	memset(o, 0, sizeof(*o));
}

static bool
is_template(CK_ATTRIBUTE_TYPE type)
{
	return type == CKA_WRAP_TEMPLATE || type == CKA_UNWRAP_TEMPLATE || type == CKA_DERIVE_TEMPLATE ||
	       type == CKA_ENCAPSULATE_TEMPLATE || type == CKA_DECAPSULATE_TEMPLATE;
}

/* A value of the caller's, copied with all that is in it. */
static bool
copy_value(const CK_ATTRIBUTE *a, unsigned depth, struct mock_row *out)
{
	const CK_ATTRIBUTE *from = a->pValue;
	struct mock_row *inner;
	bool ok = true;

	*out = (struct mock_row){.type = a->type, .len = a->ulValueLen};
	if (!is_template(a->type)) {
		if ((out->value = malloc(a->ulValueLen + 1)) != NULL && a->ulValueLen > 0)
			memcpy(out->value, a->pValue, a->ulValueLen);
		return out->value != NULL;
	}
	if (a->ulValueLen % sizeof(*from) != 0 || depth == DEPTH_MAX)
		return false;
	if ((inner = calloc(a->ulValueLen / sizeof(*from) + 1, sizeof(*inner))) == NULL)
		return false;
	out->value = (uint8_t *)inner;
	for (CK_ULONG i = 0; ok && i < a->ulValueLen / sizeof(*from); i++)
		if ((ok = (from[i].pValue != NULL || from[i].ulValueLen == 0) &&
			  copy_value(&from[i], depth + 1, &inner[i])))
			out->rows++;
	if (!ok)
		clear_row(out);
	return ok;
}

static bool
same_value(const struct mock_row *r, const CK_ATTRIBUTE *a)
{
	const struct mock_row *inner = (const struct mock_row *)(const void *)r->value;
	const CK_ATTRIBUTE *from = a->pValue;
	bool same = r->type == a->type && r->len == a->ulValueLen && (a->pValue != NULL || a->ulValueLen == 0);

	if (!is_template(a->type))
		return same && a->pValue != NULL && memcmp(r->value, a->pValue, r->len) == 0;
	for (size_t i = 0; same && i < r->rows; i++)
		same = same_value(&inner[i], &from[i]);
	return same;
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
put_copy(struct mock_object *o, const CK_ATTRIBUTE *a)
{
	struct mock_row copy, *r = NULL;

	for (size_t i = 0; i < o->rows; i++)
		if (o->row[i].type == a->type)
			r = &o->row[i];
	if ((r == NULL && o->rows >= MOCK_ROWS) || !copy_value(a, 0, &copy))
		return false;
	if (r == NULL)
		r = &o->row[o->rows++];
	else
		clear_row(r);
	*r = copy;
	return true;
}

static bool
put(struct mock_object *o, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
	union {
		const void *from;
		void *to; /* PKCS#11 has no const */
	} u = {.from = value};
	const CK_ATTRIBUTE a = {type, u.to, (CK_ULONG)len};

	return put_copy(o, &a);
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
		if (t == NULL || (t[i].pValue == NULL && t[i].ulValueLen > 0) || !put_copy(o, &t[i]))
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

static void
name(struct mock_object *o, const char *what, unsigned number)
{
	char id[32];

	snprintf(id, sizeof(id), "%s-%u", what, number);
	if (mock_row(o, CKA_UNIQUE_ID) == NULL)
		(void)put(o, CKA_UNIQUE_ID, id, strlen(id));
}

/* Token or session object, as its CKA_TOKEN says. */
static void
place(struct mock_object *o, CK_SESSION_HANDLE session)
{
	if (mock_row(o, CKA_TOKEN) == NULL)
		put_flag(o, CKA_TOKEN, false);
	o->session = mock_flag(o, CKA_TOKEN) ? 0 : session;
	name(o, "object", ++mock.named);
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
		if (!is_template(origin->row[i].type) && origin->row[i].type != CKA_UNIQUE_ID)
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
give_value(const struct mock_row *r, CK_ATTRIBUTE *a)
{
	const struct mock_row *inner = (const struct mock_row *)(const void *)r->value;
	bool overrun = (mock.settings.overrun & MOCK_OVER_ATTRIBUTES) != 0;
	CK_ATTRIBUTE *to = a->pValue;
	CK_RV rv = CKR_OK, row;

	if (a->pValue != NULL && a->ulValueLen < r->len && !(overrun && !is_template(r->type))) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_BUFFER_TOO_SMALL;
	}
	a->ulValueLen = r->len;
	if (a->pValue != NULL && !is_template(r->type))
		memcpy(a->pValue, r->value, r->len);
	/* Types of inner rows are told whatever they were. */
	for (size_t i = 0; to != NULL && i < r->rows; i++) {
		to[i].type = inner[i].type;
		if ((row = give_value(&inner[i], &to[i])) != CKR_OK)
			rv = row;
	}
	if ((mock.settings.overrun & MOCK_OVER_LENGTHS) != 0)
		a->ulValueLen = (CK_ULONG)1 << 40;
	return rv;
}

static CK_RV
get(const struct mock_object *o, CK_ATTRIBUTE *a)
{
	const struct mock_row *r = mock_row(o, a->type);

	if (r == NULL) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_ATTRIBUTE_TYPE_INVALID;
	}
	if (a->type == CKA_VALUE && mock_flag(o, CKA_SENSITIVE)) {
		a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return CKR_ATTRIBUTE_SENSITIVE;
	}
	return give_value(r, a);
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

		if (r == NULL || !same_value(r, &t[i]))
			return false;
	}
	return true;
}

CK_RV
mock_C_GetObjectSize(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ULONG_PTR size)
{
	const struct mock_session *s = mock_enter(session);
	const struct mock_object *o = s == NULL ? NULL : mock_object(s, object);

	if (o == NULL)
		return mock_leave(s == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_OBJECT_HANDLE_INVALID);
	*size = 0;
	for (size_t i = 0; i < o->rows; i++)
		*size += o->row[i].len;
	return mock_leave(CKR_OK);
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

/* A pair of that mechanism, as its public template says. ML-KEM stands on a pair of P-256. */
static EVP_PKEY *
generate_pair(CK_MECHANISM_TYPE mechanism, const struct mock_object *public)
{
	if (mechanism == CKM_ML_KEM_KEY_PAIR_GEN)
		return mock_row(public, CKA_PARAMETER_SET) == NULL ? NULL
								   : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	return mechanism == CKM_EC_KEY_PAIR_GEN ? generate_ec(mock_row(public, CKA_EC_PARAMS))
						: generate_rsa(mock_row(public, CKA_MODULUS_BITS));
}

/* What the module itself says of the two halves. */
static void
put_halves(struct mock_object *public, struct mock_object *private, EVP_PKEY *key, CK_MECHANISM_TYPE mechanism)
{
	bool rsa = mechanism == CKM_RSA_PKCS_KEY_PAIR_GEN, kem = mechanism == CKM_ML_KEM_KEY_PAIR_GEN;
	struct mock_object *half[] = {public, private};

	for (size_t i = 0; i < KMN_COUNT_OF(half); i++) {
		put_ulong(half[i], CKA_CLASS, i == 0 ? CKO_PUBLIC_KEY : CKO_PRIVATE_KEY);
		put_ulong(half[i], CKA_KEY_TYPE, kem ? CKK_ML_KEM : rsa ? CKK_RSA : CKK_EC);
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
	if (kem) {
		const struct mock_row *set = mock_row(public, CKA_PARAMETER_SET);

		(void)put(private, CKA_PARAMETER_SET, set->value, set->len);
	} else if (!rsa) {
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
	if ((key = generate_pair(p->mechanism->mechanism, public)) == NULL)
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
	    (mechanism->mechanism != CKM_EC_KEY_PAIR_GEN && mechanism->mechanism != CKM_RSA_PKCS_KEY_PAIR_GEN &&
		mechanism->mechanism != CKM_ML_KEM_KEY_PAIR_GEN))
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
		name(half[i], "seed", (unsigned)i);
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

/* ---- keys out of bytes ---- */

CK_RV
mock_key_bytes(const struct mock_object *o, uint8_t *out, size_t max, size_t *len)
{
	const struct mock_row *r = mock_row(o, CKA_VALUE);
	uint8_t *der = NULL;
	int n = o->key == NULL || mock_class(o) != CKO_PRIVATE_KEY ? -1 : i2d_PrivateKey(o->key, &der);
	CK_RV rv = CKR_KEY_NOT_WRAPPABLE;

	if (n > 0 && (size_t)n <= max) {
		memcpy(out, der, *len = (size_t)n);
		rv = CKR_OK;
	} else if (r != NULL && r->len <= max) {
		memcpy(out, r->value, *len = r->len);
		rv = CKR_OK;
	}
	OPENSSL_clear_free(der, n > 0 ? (size_t)n : 0);
	return rv;
}

static CK_RV
fill_key(struct mock_object *o, CK_OBJECT_CLASS class, const uint8_t *value, size_t len)
{
	const uint8_t *at = value;

	put_ulong(o, CKA_CLASS, class);
	put_flag(o, CKA_LOCAL, false);
	if (class == CKO_PRIVATE_KEY) {
		if ((o->key = d2i_AutoPrivateKey(NULL, &at, (long)len)) == NULL)
			return CKR_WRAPPED_KEY_INVALID;
		put_ulong(o, CKA_KEY_TYPE, EVP_PKEY_is_a(o->key, "RSA") == 1 ? CKK_RSA : CKK_EC);
		return CKR_OK;
	}
	if (mock_row(o, CKA_KEY_TYPE) == NULL)
		put_ulong(o, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
	put_ulong(o, CKA_VALUE_LEN, (CK_ULONG)len);
	return put(o, CKA_VALUE, value, len) ? CKR_OK : CKR_HOST_MEMORY;
}

CK_RV
mock_make_key(CK_SESSION_HANDLE session, const CK_ATTRIBUTE *t, CK_ULONG count, CK_OBJECT_CLASS class,
    const uint8_t *value, size_t len, CK_OBJECT_HANDLE *out)
{
	struct mock_session *s = mock_session(session);
	struct mock_object *o;
	CK_RV rv;

	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if ((o = new_object(s->slot, out)) == NULL)
		return CKR_DEVICE_MEMORY;
	if ((rv = put_template(o, t, count)) != CKR_OK || (rv = fill_key(o, class, value, len)) != CKR_OK)
		mock_object_clear(o);
	else
		place(o, session);
	return rv;
}

void
mock_seed_secrets(unsigned count)
{
	CK_OBJECT_HANDLE handle;
	struct mock_object *o;
	uint8_t value[32];
	char label[32];

	for (unsigned slot = 0; slot < mock.settings.slots; slot++)
		for (unsigned i = 1; i <= count && (o = new_object(slot, &handle)) != NULL; i++) {
			snprintf(label, sizeof(label), "secret-%u", i);
			memset(value, (int)i, sizeof(value));
			(void)put(o, CKA_LABEL, label, strlen(label));
			(void)put(o, CKA_ID, label, strlen(label));
			put_ulong(o, CKA_KEY_TYPE, CKK_AES);
			put_flag(o, CKA_TOKEN, true);
			put_flag(o, CKA_SENSITIVE, true);
			put_flag(o, CKA_PRIVATE, false);
			name(o, "secret", i);
			(void)fill_key(o, CKO_SECRET_KEY, value, sizeof(value));
		}
}

void
mock_seed_validation(unsigned level)
{
	CK_OBJECT_HANDLE handle;
	struct mock_object *o;

	for (unsigned slot = 0; level > 0 && slot < mock.settings.slots; slot++) {
		if ((o = new_object(slot, &handle)) == NULL)
			return;
		put_ulong(o, CKA_CLASS, CKO_VALIDATION);
		put_ulong(o, CKA_VALIDATION_LEVEL, level);
		put_flag(o, CKA_TOKEN, true);
		put_flag(o, CKA_PRIVATE, false);
	}
}
