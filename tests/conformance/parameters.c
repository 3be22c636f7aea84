/* What a mechanism looks like: its name, and a parameter of its layout with values that mean something. */
#include "tests/conformance/axes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A parameter of that layout with values that mean something for its fields. */
static const struct {
	const char *field, *value;
} field_values[] = {
    {"hashAlg", "u:CKM_SHA_1"},
    {"mgf", "u:1"},
    {"sLen", "u:20"},
    {"source", "u:1"},
    {"ulIvBits", "u:96"},
    {"ulTagBits", "u:128"},
    {"ulCounterBits", "u:128"},
    {"kdf", "u:1"},
    {"ulAESKeyBits", "u:128"},
    {"ulIteration", "u:100"},
    {"iterations", "u:100"},
    {"saltSource", "u:1"},
    {"prf", "u:1"},
    {"ulDataLen", "u:32"},
    {"ulMACLen", "u:16"},
    {"ulMacLength", "u:16"},
    {"value", "u:8"},
    {"ulEffectiveBits", "u:64"},
    {"ulWordsize", "u:4"},
    {"ulRounds", "u:12"},
    {"ulServerOrClient", "u:1"},
    {"prfHashMechanism", "u:CKM_SHA256"},
    {"prfMechanism", "u:CKM_SHA256"},
    {"ulMacSizeInBits", "u:160"},
    {"ulKeySizeInBits", "u:128"},
    {"ulIVSizeInBits", "u:128"},
    {"bIsExport", "b:0"},
    {"DigestMechanism", "u:CKM_SHA_1"},
    {"prfHashMechanism", "u:CKM_SHA256_HMAC"},
    {"bExtract", "b:1"},
    {"bExpand", "b:1"},
};

/* Bytes that a field points to: so many, or these. */
static const struct {
	const char *field;
	unsigned len;
	const char *bytes;
} field_bytes[] = {
    {"pIv", 12, NULL},
    {"pNonce", 12, NULL},
    {"pAAD", 8, NULL},
    {"pSharedData", 0, NULL},
    {"pSourceData", 0, NULL},
    {"pClientRandom", 32, NULL},
    {"pServerRandom", 32, NULL},
    {"pPassword", 8, NULL},
    {"pSalt", 8, NULL},
    {"pSaltSourceData", 8, NULL},
    {"pPrfData", 0, NULL},
    {"pVersion", 2, "x:0301"},
    {"pData", 32, NULL},
    {"pPublicData", 65,
	"x:"
	"042de344ca94be3f03e821631ef7aa79964fdeb6268bf171b1382f1f0dc983b2645589397d90e25101ca2c1b6a6fa8e6186cc156a47417"
	"abbaebc3a7ae48a1b4c2"},
    {"pOutput", 40, NULL},
};
#define DH_PUBLIC \
	"x:" \
	"9251788eabf21963fb8e658261b6264cf6580a434527ea3c02a68fe69eb524fe8fab1483e1cb4e61690777ca6a4887fca712599e06e2" \
	"b8d700dd44b4d051b02e0c60b1e4f161eb95c7667a1662c45242283cda66a5698bed264fc8681bca0037a8df60dfac9313f0b62ae972" \
	"fd2733b8817cb200f3101a8ba9be2e207f406d62"

struct image {
	size_t at, size;
	char text[700];
};

struct images {
	struct image image[48];
	size_t count;
};

__attribute__((format(printf, 4, 5))) static void
add_image(struct images *m, size_t at, size_t size, const char *format, ...)
{
	struct image *i = &m->image[m->count];
	va_list ap;

	if (m->count + 1 < KMN_COUNT_OF(m->image))
		m->count++;
	i->at = at;
	i->size = size;
	va_start(ap, format);
	vsnprintf(i->text, sizeof(i->text), format, ap);
	va_end(ap);
}

static void
add_bytes(struct images *m, struct text *t, const struct kmn_field *f, size_t base)
{
	unsigned len = 16;
	const char *bytes = NULL;

	for (size_t i = 0; i < KMN_COUNT_OF(field_bytes); i++) {
		if (strcmp(field_bytes[i].field, f->name) != 0)
			continue;
		len = field_bytes[i].len;
		bytes = field_bytes[i].bytes;
	}
	if (f->unit == KMN_UNIT_OWN)
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:%u", len);
	else if (f->unit == KMN_UNIT_OWN_PTR)
		add_image(m, base + f->len_at, sizeof(void *), "p[u:%u]", len);
	else if (f->unit == KMN_UNIT_FIXED)
		len = f->size;
	if (bytes != NULL && len > 2)
		add_image(m, base + f->at, sizeof(void *), "p[%s]", bytes);
	else if (len == 0)
		add_image(m, base + f->at, sizeof(void *), "p0");
	else
		add_image(m, base + f->at, sizeof(void *), "p[r:%u:%u]", chance(t, 5), len);
}

static void add_fields(struct images *m, struct text *t, const struct kmn_layout *layout, size_t base);

/* One of the things that the choosing field may say, and what it then points to. */
static void
add_choice(struct images *m, struct text *t, const struct kmn_field *f, size_t base)
{
	const struct kmn_choice *choice = &f->choices[chance(t, (uint32_t)f->choice_count)];
	char inner[600];
	struct text other;

	for (size_t i = 0; i < m->count; i++)
		if (m->image[i].at == base + f->by_at)
			snprintf(
			    m->image[i].text, sizeof(m->image[i].text), "u:%llu", (unsigned long long)choice->value);
	if (choice->kind == KMN_FIELD_STRUCT) {
		text_inside(&other, t, inner, sizeof(inner));
		put_layout(&other, choice->inner);
		text_back(t, &other);
		add_image(m, base + f->at, sizeof(void *), "p[%s]", inner);
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:%u", choice->inner->size);
	} else if (choice->kind == KMN_FIELD_BYTES) {
		add_image(m, base + f->at, sizeof(void *), "p[r:3:20]");
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:20");
	} else {
		add_image(
		    m, base + f->at, sizeof(void *), choice->kind == KMN_FIELD_HANDLE ? "p[h:k:generic]" : "p[u:1]");
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:8");
	}
}

static void
add_field(struct images *m, struct text *t, const struct kmn_field *f, size_t base)
{
	char inner[600];
	struct text other;

	switch (f->kind) {
	case KMN_FIELD_ULONG:
	case KMN_FIELD_MECH:
	case KMN_FIELD_MGF:
	case KMN_FIELD_BYTE:
		for (size_t i = 0; i < KMN_COUNT_OF(field_values); i++) {
			if (strcmp(field_values[i].field, f->name) != 0)
				continue;
			add_image(m, base + f->at, f->kind == KMN_FIELD_BYTE ? 1 : sizeof(CK_ULONG), "%s",
			    field_values[i].value);
			return;
		}
		if (f->kind == KMN_FIELD_BYTE)
			add_image(m, base + f->at, 1, "b:1");
		else
			add_image(m, base + f->at, sizeof(CK_ULONG), "u:16");
		return;
	case KMN_FIELD_HANDLE:
		add_image(m, base + f->at, sizeof(CK_ULONG), "h:k:generic");
		return;
	case KMN_FIELD_INLINE:
		add_image(m, base + f->at, f->size, "r:7:%u", f->size);
		return;
	case KMN_FIELD_BYTES:
		add_bytes(m, t, f, base);
		return;
	case KMN_FIELD_TEXT:
		add_image(m, base + f->at, sizeof(void *), "p[x:312e322e3300]");
		return;
	case KMN_FIELD_STRUCT:
		add_fields(m, t, f->inner, base + f->at);
		return;
	case KMN_FIELD_POINTER:
		text_inside(&other, t, inner, sizeof(inner));
		put_layout(&other, f->inner);
		text_back(t, &other);
		add_image(m, base + f->at, sizeof(void *), "p[%s]", inner);
		return;
	case KMN_FIELD_NEW_OBJECT:
		add_image(m, base + f->at, sizeof(CK_ULONG), "o:0");
		return;
	case KMN_FIELD_NEW_OBJECT_AT:
		add_image(m, base + f->at, sizeof(void *), "p[o:0]");
		return;
	case KMN_FIELD_ARRAY:
		text_inside(&other, t, inner, sizeof(inner));
		put_layout(&other, f->inner);
		text_back(t, &other);
		add_image(m, base + f->at, sizeof(void *), "p[%s]", inner);
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:1");
		return;
	case KMN_FIELD_TEMPLATE:
		add_image(m, base + f->at, sizeof(void *), "p[u:CKA_CLASS,p[u:4],u:8,u:CKA_VALUE_LEN,p[u:16],u:8]");
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:2");
		return;
	case KMN_FIELD_MECHANISM:
		add_image(m, base + f->at, sizeof(void *), "p[u:CKM_SHA_1,p0,u:0]");
		return;
	case KMN_FIELD_CHOICE:
		add_choice(m, t, f, base);
		return;
	case KMN_FIELD_KIND_COUNT:
		return;
	}
}

static void
add_fields(struct images *m, struct text *t, const struct kmn_layout *layout, size_t base)
{
	for (size_t i = 0; i < layout->field_count; i++)
		add_field(m, t, &layout->fields[i], base);
}

void
put_layout(struct text *t, const struct kmn_layout *layout)
{
	struct images m = {.count = 0};
	size_t at = 0;

	add_fields(&m, t, layout, 0);
	while (at < layout->size) {
		const struct image *next = NULL;

		for (size_t i = 0; i < m.count; i++)
			if (m.image[i].at >= at && (next == NULL || m.image[i].at < next->at))
				next = &m.image[i];
		put(t, "%s", at > 0 ? "," : "");
		if (next != NULL && next->at == at) {
			put(t, "%s", next->text);
			at += next->size;
		} else {
			size_t until = next != NULL ? next->at : layout->size;

			put(t, "z:%zu", until - at);
			at = until;
		}
	}
}

void
put_mechanism_name(struct text *t, uint64_t type)
{
	if (kmn_mechanism_name(type) != NULL)
		put(t, "%s", kmn_mechanism_name(type));
	else
		put(t, "0x%llx", (unsigned long long)type);
}

bool
name_has(uint64_t type, const char *part)
{
	return kmn_mechanism_name(type) != NULL && strstr(kmn_mechanism_name(type), part) != NULL;
}

void
put_mechanism(struct text *t, uint64_t type, enum parameter parameter)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(type);
	const struct kmn_layout *layout = row != NULL ? row->layout[chance(t, 4) == 0] : NULL;

	if (row != NULL && layout == NULL)
		layout = row->layout[0];
	put_mechanism_name(t, type);
	if (parameter == PARAMETER_NULL) {
		put(t, chance(t, 2) == 0 ? "" : "/NULL:16");
		return;
	}
	if (layout != NULL && row->takes == KMN_TAKES_STRUCT) {
		put(t, "/[");
		put_layout(t, layout);
		put(t, "]");
	} else if (row != NULL && row->takes == KMN_TAKES_BYTES) {
		put(t, "/[r:5:%u]", name_has(type, "DES") ? 8u : 16u);
	} else if (parameter != PARAMETER_RIGHT) {
		put(t, "/[r:5:%u]", 4 + 4 * chance(t, 4));
	}
	if (parameter == PARAMETER_LESS)
		put(t, "-1");
	else if (parameter == PARAMETER_MORE) /* not the size of the other structure, whose pointers would be wild */
		put(t, row != NULL && row->layout[1] != NULL ? "+24" : "+8");
}
