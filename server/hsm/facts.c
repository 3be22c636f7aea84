#include "server/hsm/facts.h"

#include "kanmon/types.h"

#include <stdlib.h>
#include <string.h>

#include "server/hsm/attributes.h"

#define CKA_PUBLIC_KEY_INFO_V240 0x129u /* CKA_PUBLIC_KEY_INFO, which p11-kit's header does not have */
#define CKK_EC_EDWARDS_V3 0x40u
#define CANDIDATES_MAX 32u /* objects with one CKA_ID that are looked at */
#define CERTIFICATE_MAX_BYTES 65536u

/* Public values of one object, as the module has them. */
struct public_values {
	uint8_t modulus[2048], exponent[64], params[1024], point[1024], info[KMN_KEY_SPKI_MAX_BYTES];
};

/* clang-format off */
/*   attribute              place in values   */
#define PUBLIC_ROWS(ROW) \
	ROW(CKA_MODULUS,              modulus) \
	ROW(CKA_PUBLIC_EXPONENT,      exponent) \
	ROW(CKA_EC_PARAMS,            params) \
	ROW(CKA_EC_POINT,             point) \
	ROW(CKA_PUBLIC_KEY_INFO_V240, info)

/*   attribute              flag */
#define FLAG_ROWS(ROW) \
	ROW(CKA_TOKEN,               KMN_KEY_TOKEN) \
	ROW(CKA_PRIVATE,             KMN_KEY_PRIVATE) \
	ROW(CKA_SENSITIVE,           KMN_KEY_SENSITIVE) \
	ROW(CKA_EXTRACTABLE,         KMN_KEY_EXTRACTABLE) \
	ROW(CKA_ALWAYS_SENSITIVE,    KMN_KEY_ALWAYS_SENSITIVE) \
	ROW(CKA_NEVER_EXTRACTABLE,   KMN_KEY_NEVER_EXTRACTABLE) \
	ROW(CKA_LOCAL,               KMN_KEY_LOCAL) \
	ROW(CKA_MODIFIABLE,          KMN_KEY_MODIFIABLE) \
	ROW(CKA_ALWAYS_AUTHENTICATE, KMN_KEY_ALWAYS_AUTHENTICATE)
/* clang-format on */

#define FLAG_ROW(attribute, flag) {attribute, flag},
static const struct {
	CK_ATTRIBUTE_TYPE type;
	uint32_t flag;
} flag_rows[] = {FLAG_ROWS(FLAG_ROW)};

#define PUBLIC_INDEX(attribute, place) PUBLIC_##place,
enum { PUBLIC_ROWS(PUBLIC_INDEX) PUBLIC_COUNT };

void
kmn_facts_text(const void *field, size_t len, char *out, size_t size_bytes)
{
	const uint8_t *from = field;

	while (len > 0 && from[len - 1] == ' ')
		len--;
	if (len > size_bytes - 1)
		len = size_bytes - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = (char)(from[i] < 0x20 || from[i] == 0x7f ? '?' : from[i]);
	out[len] = '\0';
}

static void
read_flags(const struct kmn_read *rows, struct kmn_key_facts *facts)
{
	for (size_t i = 0; i < KMN_COUNT_OF(flag_rows); i++) {
		if (!rows[i].known || rows[i].len != sizeof(CK_BBOOL))
			continue;
		facts->known |= flag_rows[i].flag;
		if (*(const uint8_t *)rows[i].at != CK_FALSE)
			facts->flags |= flag_rows[i].flag;
	}
}

/* What every object may have. */
static CK_RV
read_common(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct kmn_key_facts *facts)
{
	enum { CLASS, TYPE, MECHANISM, LABEL, ID, KCV, FLAGS };
	CK_ULONG number[3];
	uint8_t label[KMN_KEY_LABEL_MAX_BYTES - 1], flag[KMN_COUNT_OF(flag_rows)];
	struct kmn_read rows[FLAGS + KMN_COUNT_OF(flag_rows)] = {
	    [CLASS] = {.type = CKA_CLASS, .at = &number[0], .max = sizeof(number[0])},
	    [TYPE] = {.type = CKA_KEY_TYPE, .at = &number[1], .max = sizeof(number[1])},
	    [MECHANISM] = {.type = CKA_KEY_GEN_MECHANISM, .at = &number[2], .max = sizeof(number[2])},
	    [LABEL] = {.type = CKA_LABEL, .at = label, .max = sizeof(label)},
	    [ID] = {.type = CKA_ID, .at = facts->id, .max = sizeof(facts->id)},
	    [KCV] = {.type = CKA_CHECK_VALUE, .at = facts->kcv, .max = sizeof(facts->kcv)},
	};
	CK_RV rv;

	for (size_t i = 0; i < KMN_COUNT_OF(flag_rows); i++)
		rows[FLAGS + i] = (struct kmn_read){.type = flag_rows[i].type, .at = &flag[i], .max = 1};
	if ((rv = kmn_attributes_read(m, session, object, rows, KMN_COUNT_OF(rows))) != CKR_OK)
		return rv;
	if ((facts->class = kmn_read_ulong(&rows[CLASS])) == CK_UNAVAILABLE_INFORMATION)
		return CKR_DEVICE_ERROR; /* an object without a class is no object that anything can be decided on */
	facts->key_type = kmn_read_ulong(&rows[TYPE]);
	facts->mechanism = kmn_read_ulong(&rows[MECHANISM]);
	for (size_t i = 0; i < rows[LABEL].len; i++)
		facts->label[i] = (char)(label[i] < 0x20 || label[i] == 0x7f ? '?' : label[i]);
	facts->id_len = (uint32_t)rows[ID].len;
	if (facts->class == CKO_SECRET_KEY && rows[KCV].len == sizeof(facts->kcv))
		facts->kcv_len = sizeof(facts->kcv);
	else
		memset(facts->kcv, 0, sizeof(facts->kcv));
	read_flags(rows + FLAGS, facts);
	return CKR_OK;
}

static void
read_public(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, struct public_values *values,
    struct kmn_bytes_view view[PUBLIC_COUNT])
{
#define PUBLIC_READ(attribute, place) {.type = attribute, .at = values->place, .max = sizeof(values->place)},
	struct kmn_read rows[] = {PUBLIC_ROWS(PUBLIC_READ)};

	(void)kmn_attributes_read(m, session, object, rows, KMN_COUNT_OF(rows));
	for (size_t i = 0; i < KMN_COUNT_OF(rows); i++)
		view[i] = (struct kmn_bytes_view){rows[i].at, rows[i].len};
}

/* The public key that the values of one object make. */
static void
make_spki(struct kmn_spki_maker *maker, uint64_t key_type, const struct kmn_bytes_view view[PUBLIC_COUNT],
    struct kmn_spki *out)
{
	out->len = 0;
	if (key_type == CKK_RSA)
		kmn_spki_of_rsa(maker, view[PUBLIC_modulus], view[PUBLIC_exponent], out);
	else if (key_type == CKK_EC)
		kmn_spki_of_ec(maker, view[PUBLIC_params], view[PUBLIC_point], out);
	else if (key_type == CKK_EC_EDWARDS_V3)
		kmn_spki_of_edwards(maker, view[PUBLIC_point], out);
	if (out->len > 0 || view[PUBLIC_info].len == 0)
		return;
	kmn_spki_of_info(maker, view[PUBLIC_info], out);
	if (!kmn_spki_fits(maker, out, key_type, view[PUBLIC_modulus], view[PUBLIC_params]))
		out->len = 0;
}

/* A session for looking around, of the least power that the token gives now. */
static CK_RV
open_session(CK_FUNCTION_LIST *m, CK_SLOT_ID slot, CK_SESSION_HANDLE *session_out)
{
	CK_RV rv = m->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, session_out);

	if (rv == CKR_SESSION_READ_WRITE_SO_EXISTS) /* with the SO logged in there are no read-only sessions */
		rv = m->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, session_out);
	return rv;
}

/* At most `max` objects that fit the template. */
static size_t
find_objects(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, size_t rows,
    CK_OBJECT_HANDLE *found, size_t max)
{
	CK_OBJECT_HANDLE batch[2 * CANDIDATES_MAX]; /* twice what is asked for, for modules that write too much */
	CK_ULONG n = 0;

	if (max > CANDIDATES_MAX)
		KMN_BUG("asks for too many objects");
	if (m->C_FindObjectsInit(session, template, (CK_ULONG)rows) != CKR_OK)
		return 0;
	if (m->C_FindObjects(session, batch, (CK_ULONG)max, &n) != CKR_OK)
		n = 0;
	(void)m->C_FindObjectsFinal(session);
	if (n > max)
		n = (CK_ULONG)max;
	memcpy(found, batch, n * sizeof(*found));
	return n;
}

/* The answer so far while other halves of a private key are looked for. */
struct halves {
	const struct kmn_facts_source *source;
	CK_SESSION_HANDLE session;
	const struct kmn_key_facts *facts;
	struct kmn_bytes_view modulus, params;
	struct kmn_spki found;
	bool ambiguous; /* two that fit and differ: which one is it? */
};

static void
consider(struct halves *h, const struct kmn_spki *spki)
{
	if (spki->len == 0 || !kmn_spki_fits(h->source->maker, spki, h->facts->key_type, h->modulus, h->params))
		return;
	if (h->found.len > 0 && (h->found.len != spki->len || memcmp(h->found.der, spki->der, spki->len) != 0))
		h->ambiguous = true;
	h->found = *spki;
}

static void
consider_public_key(struct halves *h, CK_OBJECT_HANDLE object)
{
	struct public_values values;
	struct kmn_bytes_view view[PUBLIC_COUNT];
	struct kmn_spki spki;

	read_public(h->source->module, h->session, object, &values, view);
	make_spki(h->source->maker, h->facts->key_type, view, &spki);
	consider(h, &spki);
}

static void
consider_certificate(struct halves *h, CK_OBJECT_HANDLE object)
{
	uint8_t *value = malloc(CERTIFICATE_MAX_BYTES);
	struct kmn_read row = {.type = CKA_VALUE, .at = value, .max = CERTIFICATE_MAX_BYTES};
	struct kmn_spki spki;

	if (value != NULL && kmn_attributes_read(h->source->module, h->session, object, &row, 1) == CKR_OK) {
		kmn_spki_of_certificate(h->source->maker, (struct kmn_bytes_view){value, row.len}, &spki);
		consider(h, &spki);
	}
	free(value);
}

/* Objects of that class with the key's CKA_ID, or with its label where it has no id. */
static size_t
namesakes(const struct halves *h, CK_OBJECT_CLASS class, CK_OBJECT_HANDLE *found)
{
	struct kmn_key_facts *f = malloc(sizeof(*f)); /* templates have no const */
	CK_ULONG key_type = (CK_ULONG)h->facts->key_type, certificate_type = CKC_X_509;
	CK_ATTRIBUTE t[3] = {{CKA_CLASS, &class, sizeof(class)}};
	size_t n = 0;

	if (f == NULL)
		return 0;
	*f = *h->facts;
	if (class == CKO_PUBLIC_KEY)
		t[1] = (CK_ATTRIBUTE){CKA_KEY_TYPE, &key_type, sizeof(key_type)};
	else
		t[1] = (CK_ATTRIBUTE){CKA_CERTIFICATE_TYPE, &certificate_type, sizeof(certificate_type)};
	if (f->id_len > 0)
		t[2] = (CK_ATTRIBUTE){CKA_ID, f->id, f->id_len};
	else
		t[2] = (CK_ATTRIBUTE){CKA_LABEL, f->label, (CK_ULONG)strlen(f->label)};
	if (t[2].ulValueLen > 0)
		n = find_objects(h->source->module, h->session, t, KMN_COUNT_OF(t), found, CANDIDATES_MAX);
	free(f);
	return n;
}

static void
find_public_half(
    const struct kmn_facts_source *source, struct kmn_key_facts *facts, const struct kmn_bytes_view own[PUBLIC_COUNT])
{
	struct halves h = {
	    .source = source, .facts = facts, .modulus = own[PUBLIC_modulus], .params = own[PUBLIC_params]};
	CK_OBJECT_HANDLE found[CANDIDATES_MAX];
	size_t n;

	if (open_session(source->module, (CK_SLOT_ID)facts->slot, &h.session) != CKR_OK)
		return;
	n = namesakes(&h, CKO_PUBLIC_KEY, found);
	for (size_t i = 0; i < n; i++)
		consider_public_key(&h, found[i]);
	n = h.found.len == 0 ? namesakes(&h, CKO_CERTIFICATE, found) : 0;
	for (size_t i = 0; i < n; i++)
		consider_certificate(&h, found[i]);
	(void)source->module->C_CloseSession(h.session);
	if (h.ambiguous)
		return;
	memcpy(facts->spki, h.found.der, h.found.len);
	facts->spki_len = (uint32_t)h.found.len;
}

/* Facts of an object by the vendor's numbers; facts->object and facts->slot are the caller's. */
static CK_RV
describe(const struct kmn_facts_source *source, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
    struct kmn_key_facts *facts)
{
	struct public_values values;
	struct kmn_bytes_view view[PUBLIC_COUNT];
	struct kmn_spki spki;
	CK_RV rv = read_common(source->module, session, object, facts);

	if (rv != CKR_OK || (facts->class != CKO_PUBLIC_KEY && facts->class != CKO_PRIVATE_KEY))
		return rv;
	read_public(source->module, session, object, &values, view);
	make_spki(source->maker, facts->key_type, view, &spki);
	memcpy(facts->spki, spki.der, spki.len);
	facts->spki_len = (uint32_t)spki.len;
	if (spki.len == 0 && facts->class == CKO_PRIVATE_KEY)
		find_public_half(source, facts, view);
	return CKR_OK;
}

CK_RV
kmn_facts_describe(
    const struct kmn_facts_source *source, uint64_t session, uint64_t object, struct kmn_key_facts *facts)
{
	struct kmn_session s;
	CK_OBJECT_HANDLE vendor;

	memset(facts, 0, sizeof(*facts));
	(void)kmn_virtual_session(source->handles, session, &s);
	vendor = kmn_virtual_object(source->handles, s.slot, object);
	facts->object = object;
	facts->slot = s.slot;
	return describe(source, s.vendor, vendor, facts);
}

CK_RV
kmn_facts_token(CK_FUNCTION_LIST *m, CK_SLOT_ID slot, struct kmn_token_facts *out)
{
	CK_TOKEN_INFO info;
	CK_RV rv;

	memset(out, 0, sizeof(*out));
	memset(&info, 0, sizeof(info));
	if ((rv = m->C_GetTokenInfo(slot, &info)) != CKR_OK)
		return rv;
	kmn_facts_text(info.label, sizeof(info.label), out->label, sizeof(out->label));
	kmn_facts_text(info.manufacturerID, sizeof(info.manufacturerID), out->manufacturer, sizeof(out->manufacturer));
	kmn_facts_text(info.model, sizeof(info.model), out->model, sizeof(out->model));
	kmn_facts_text(info.serialNumber, sizeof(info.serialNumber), out->serial, sizeof(out->serial));
	out->firmware = (uint16_t)(info.firmwareVersion.major << 8 | info.firmwareVersion.minor);
	out->hardware = (uint16_t)(info.hardwareVersion.major << 8 | info.hardwareVersion.minor);
	out->flags = info.flags;
	return CKR_OK;
}

void
kmn_facts_level(CK_FUNCTION_LIST *m, CK_SLOT_ID slot, struct kmn_token_facts *facts)
{
	CK_OBJECT_CLASS class = CKO_VALIDATION;
	CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof(class)}};
	CK_OBJECT_HANDLE found[CANDIDATES_MAX];
	CK_SESSION_HANDLE session;
	size_t n;

	if (open_session(m, slot, &session) != CKR_OK)
		return;
	n = find_objects(m, session, wanted, KMN_COUNT_OF(wanted), found, CANDIDATES_MAX);
	for (size_t i = 0; i < n; i++) {
		CK_ULONG level[2] = {0}; /* twice what is asked for, for modules that write too much */
		CK_ATTRIBUTE t[] = {{CKA_VALIDATION_LEVEL, level, sizeof(level[0])}};

		if (m->C_GetAttributeValue(session, found[i], t, 1) == CKR_OK && t[0].ulValueLen == sizeof(level[0]) &&
		    level[0] <= UINT8_MAX && level[0] > facts->level)
			facts->level = (uint8_t)level[0];
	}
	(void)m->C_CloseSession(session);
}

CK_RV
kmn_facts_find_token(CK_FUNCTION_LIST *m, const char *label, CK_SLOT_ID *slot_out)
{
	struct kmn_token_facts token;
	CK_SLOT_ID slots[512]; /* half of them for modules that write more than they were told */
	CK_ULONG n = KMN_COUNT_OF(slots) / 2;
	CK_RV rv = m->C_GetSlotList(CK_TRUE, slots, &n);

	for (CK_ULONG i = 0; rv == CKR_OK && i < n && i < KMN_COUNT_OF(slots); i++)
		if (kmn_facts_token(m, slots[i], &token) == CKR_OK && strcmp(token.label, label) == 0) {
			*slot_out = slots[i];
			return CKR_OK;
		}
	return rv == CKR_OK ? CKR_TOKEN_NOT_PRESENT : rv;
}

/* The first object of one class that the names fit. */
static bool
find_named(CK_FUNCTION_LIST *m, CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, CK_ATTRIBUTE *names, size_t count,
    CK_OBJECT_HANDLE *object_out)
{
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE t[4] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &yes, sizeof(yes)}};

	memcpy(t + 2, names, count * sizeof(*names));
	return find_objects(m, session, t, 2 + count, object_out, 1) == 1;
}

CK_RV
kmn_facts_find(const struct kmn_facts_source *source, const char *token_label, const char *key_label, const void *id,
    size_t id_len, struct kmn_key_facts *facts)
{
	static const CK_OBJECT_CLASS classes[] = {CKO_PUBLIC_KEY, CKO_PRIVATE_KEY, CKO_SECRET_KEY};
	char label[KMN_KEY_LABEL_MAX_BYTES] = "";
	uint8_t id_copy[KMN_KEY_ID_MAX_BYTES];
	CK_ATTRIBUTE names[2];
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
	CK_SLOT_ID slot = 0;
	size_t count = 0;
	CK_RV rv;

	memset(facts, 0, sizeof(*facts));
	if (strlen(key_label) >= sizeof(label) || id_len > sizeof(id_copy) || (key_label[0] == '\0' && id_len == 0))
		return CKR_ARGUMENTS_BAD;
	memcpy(label, key_label, strlen(key_label) + 1);
	if (label[0] != '\0')
		names[count++] = (CK_ATTRIBUTE){CKA_LABEL, label, (CK_ULONG)strlen(label)};
	if (id_len > 0) {
		memcpy(id_copy, id, id_len);
		names[count++] = (CK_ATTRIBUTE){CKA_ID, id_copy, (CK_ULONG)id_len};
	}
	if ((rv = kmn_facts_find_token(source->module, token_label, &slot)) != CKR_OK ||
	    (rv = open_session(source->module, slot, &session)) != CKR_OK)
		return rv;
	rv = CKR_KEY_HANDLE_INVALID;
	for (size_t i = 0; rv != CKR_OK && i < KMN_COUNT_OF(classes); i++)
		if (find_named(source->module, session, classes[i], names, count, &object))
			rv = CKR_OK;
	facts->slot = slot;
	if (rv == CKR_OK && (rv = describe(source, session, object, facts)) == CKR_OK &&
	    kmn_virtual_object_found(source->handles, slot, object, &facts->object) != KMN_OK)
		rv = CKR_HOST_MEMORY;
	(void)source->module->C_CloseSession(session);
	return rv;
}
