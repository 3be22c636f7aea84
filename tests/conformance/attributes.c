/* Axes `values` and `templates`: attributes that are read, and templates that make and change objects. */
#include "tests/conformance/axes.h"

#include <string.h>

/* ---- axis 3: attributes read ----------------------------------------------------------------------------------- */

static const char *const objects[] = {"k:aes", "k:aes-secret", "k:rsa", "k:rsa-pub", "k:rsa-secret", "k:ec", "k:ec-pub",
    "k:ed", "k:ed-pub", "k:dsa", "k:dsa-pub", "k:dh", "k:dh-pub", "k:cert", "k:data", "k:generic", "k:des3", "o1"};

void
put_some_object(struct text *t)
{
	put(t, "%s", objects[chance(t, KMN_COUNT_OF(objects) - 1)]);
}

static size_t
attribute_count(void)
{
	size_t n = 0;

	while (kmn_attribute_at(n) != NULL)
		n++;
	return n;
}

static void
put_attribute_name(struct text *t, size_t i)
{
	if (i < attribute_count())
		put(t, "%s", kmn_attribute_at(i)->name);
	else
		put(t, "0x%x", i % 2 == 0 ? 0x80000005u : 0x7654u);
}

/* Attributes that an object of any kind has are asked for more often. */
static size_t
likely_attribute(struct text *t)
{
	static const char *const likely[] = {"CKA_CLASS", "CKA_LABEL", "CKA_ID", "CKA_VALUE", "CKA_TOKEN",
	    "CKA_KEY_TYPE", "CKA_MODULUS", "CKA_PUBLIC_EXPONENT", "CKA_SENSITIVE", "CKA_PRIVATE_EXPONENT",
	    "CKA_EC_POINT", "CKA_MODULUS_BITS", "CKA_SUBJECT", "CKA_VALUE_LEN", "CKA_START_DATE",
	    "CKA_ALLOWED_MECHANISMS", "CKA_WRAP_TEMPLATE"};
	const char *name = likely[chance(t, KMN_COUNT_OF(likely))];

	for (size_t i = 0; i < attribute_count(); i++)
		if (strcmp(kmn_attribute_at(i)->name, name) == 0)
			return i;
	return 0;
}

static const char *const value_rooms[] = {"q", "c:e", "c:e-1", "c:e+1", "c:0", "c:300", "q:8", "c:e+8", "c:8"};

/* Room for an attribute; of templates none that holds rows of whatever the caller's memory held. */
static const char *
value_room(struct text *t, size_t attribute)
{
	static const char *const nested[] = {"q", "c:8", "q:24", "{0=q}", "{0=q,0=q}", "{0=c:40,0=c:8}"};
	const struct kmn_attribute *row = kmn_attribute_at(attribute);

	if (row != NULL && row->kind == KMN_ATTRIBUTE_TEMPLATE)
		return nested[chance(t, KMN_COUNT_OF(nested))];
	return value_rooms[chance(t, KMN_COUNT_OF(value_rooms))];
}

size_t
count_values(const struct subject *s, enum generate_kind kind)
{
	(void)s;
	(void)kind;
	return KMN_COUNT_OF(objects) * (attribute_count() + 2);
}

/* One attribute of one object in all ways, alone and among others. */
void
make_values(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const char *object = objects[index % KMN_COUNT_OF(objects)];
	size_t attribute = index / KMN_COUNT_OF(objects);

	(void)s;
	put_begin(t, kind);
	put(t, "C_CreateObject s0 {CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x10,CKA_TOKEN=b:0,CKA_VALUE=r:4:24,CKA_SENSITIVE=b:0,"
	       "CKA_EXTRACTABLE=b:1,CKA_START_DATE=s:20260101,CKA_END_DATE=x:,CKA_ALLOWED_MECHANISMS=U:CKM_SHA256_HMAC;"
	       "CKM_SHA_1_HMAC,"
	       "CKA_WRAP_TEMPLATE={CKA_LABEL=s:inner,CKA_CLASS=u:4}} >o1\n");
	put(t, "C_GetAttributeValue s0 %s {", object);
	put_attribute_name(t, attribute);
	put(t, "=q}\n");
	for (unsigned calls = 0; calls < 3; calls++) {
		unsigned rows = 1 + chance(t, 4), at = chance(t, rows);

		put(t, "C_GetAttributeValue s0 %s {", object);
		for (unsigned i = 0; i < rows; i++) {
			size_t which = i == at ? attribute : likely_attribute(t);

			put(t, "%s", i > 0 ? "," : "");
			put_attribute_name(t, which);
			put(t, "=%s", value_room(t, which));
		}
		put(t, "}\n");
	}
	if (chance(t, 6) == 0)
		put(t, "C_GetAttributeValue s0 o1 {CKA_WRAP_TEMPLATE=q}\nC_GetAttributeValue s0 o1 "
		       "{CKA_WRAP_TEMPLATE={0=q,0=q}}\n"
		       "C_GetAttributeValue s0 o1 {CKA_WRAP_TEMPLATE={0=c:e,0=c:e},CKA_CLASS=c:8}\nC_GetObjectSize s0 "
		       "o1 .\n");
}

/* ---- templates that make and change objects -------------------------------------------------------------------- */

static const char *const made[] = {
    "CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x1f,CKA_VALUE=r:1:16,CKA_ENCRYPT=b:1,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1",
    "CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x10,CKA_VALUE=r:2:33,CKA_SIGN=b:1",
    "CKA_CLASS=u:0,CKA_APPLICATION=s:x,CKA_VALUE=r:3:40",
    "CKA_CLASS=u:2,CKA_KEY_TYPE=u:0,CKA_MODULUS=r:4:128,CKA_PUBLIC_EXPONENT=x:010001,CKA_VERIFY=b:1",
    "CKA_CLASS=u:1,CKA_CERTIFICATE_TYPE=u:0,CKA_SUBJECT=x:3000,CKA_VALUE=r:5:60",
    "CKA_CLASS=u:2,CKA_KEY_TYPE=u:3,CKA_EC_PARAMS=x:06082a8648ce3d030107,CKA_EC_POINT=r:6:67",
};

size_t
count_templates(const struct subject *s, enum generate_kind kind)
{
	(void)s;
	(void)kind;
	return KMN_COUNT_OF(made) * attribute_count();
}

/* A value for an attribute of the table, of its kind or of another. */
static void
put_attribute_value(struct text *t, size_t i)
{
	const struct kmn_attribute *row = kmn_attribute_at(i);
	enum kmn_attribute_kind kind = row != NULL ? row->kind : KMN_ATTRIBUTE_BYTES;

	/* What is known to be a template holds whole rows or nothing: other bytes may be pointers, and do not cross. */
	switch (kind == KMN_ATTRIBUTE_TEMPLATE ? 3 + chance(t, 5) : chance(t, 8)) {
	case 0:
		put(t, "=x:");
		return;
	case 1:
		put(t, "=NULL%s", chance(t, 2) == 0 ? "" : ":4");
		return;
	case 2:
		put(t, "=r:1:%u", 1 + chance(t, 12));
		return;
	default:
		break;
	}
	if (kind == KMN_ATTRIBUTE_BOOL)
		put(t, "=b:%u", chance(t, 2));
	else if (kind == KMN_ATTRIBUTE_ULONG)
		put(t, "=u:%u", chance(t, 5));
	else if (kind == KMN_ATTRIBUTE_ULONGS)
		put(t, "=U:CKM_RSA_PKCS;CKM_AES_ECB");
	else if (kind == KMN_ATTRIBUTE_TEMPLATE)
		put(t, "={CKA_LABEL=s:in,CKA_TOKEN=b:%u,CKA_CLASS=u:4}", chance(t, 2));
	else
		put(t, "=s:20260102");
}

/* softokn reads a NULL value. */
static bool
hostile(const struct subject *s, const char *text)
{
	return s->loose && strstr(text, "=NULL") != NULL;
}

void
make_template(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const char *base = made[index % KMN_COUNT_OF(made)];
	size_t attribute = index / KMN_COUNT_OF(made);
	char extra[200];
	struct text other;

	do {
		text_inside(&other, t, extra, sizeof(extra));
		put_attribute_name(&other, attribute);
		put_attribute_value(&other, attribute);
		text_back(t, &other);
	} while (hostile(s, extra));
	put_begin(t, kind);
	put(t, "C_CreateObject s0 {%s,CKA_TOKEN=b:%u,CKA_PRIVATE=b:%u,CKA_LABEL=s:made} >o1\n", base,
	    chance(t, 12) == 0 && kind == GENERATE_USER, chance(t, 2));
	put(t, "C_CreateObject s0 {%s,CKA_TOKEN=b:0,%s} >o2\n", base, extra);
	put(t, "C_SetAttributeValue s0 o1 {%s}\n", extra);
	put(t, "C_CopyObject s0 o1 {%s,CKA_TOKEN=b:0} >o3\n", extra);
	put(t, "C_GetAttributeValue s0 o1 {");
	put_attribute_name(t, attribute);
	put(t, "=%s,CKA_LABEL=c:40}\n", value_room(t, attribute));
	put(t, "C_FindObjectsInit s0 {%s}\nC_FindObjects s0 c:100\nC_FindObjectsFinal s0\n", extra);
	if (chance(t, 3) == 0)
		put(t, "C_DestroyObject s0 o1\nC_GetAttributeValue s0 o1 {CKA_CLASS=c:8}\nC_DestroyObject s0 o1\n");
}
