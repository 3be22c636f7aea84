/*
 * CK_INFO and its kin: fixed structures as rows of fields. On the wire the
 * fields follow each other without anything between them.
 */
#include "transport/codec_parts.h"

#include <string.h>

enum part_kind {
	PART_BYTES,  /* as they are; also CK_VERSION */
	PART_ULONG,  /* u64 */
	PART_LENGTH, /* u64, CK_UNAVAILABLE_INFORMATION by value */
};

struct part {
	enum part_kind kind;
	size_t at, size;
};

#define BYTES(type, member) \
	{ \
		PART_BYTES, offsetof(type, member), sizeof(((type *)0)->member) \
	}
#define ULONG(type, member) \
	{ \
		PART_ULONG, offsetof(type, member), 8 \
	}
#define LENGTH(type, member) \
	{ \
		PART_LENGTH, offsetof(type, member), 8 \
	}

static const struct part info[] = {
    BYTES(CK_INFO, cryptokiVersion),
    BYTES(CK_INFO, manufacturerID),
    ULONG(CK_INFO, flags),
    BYTES(CK_INFO, libraryDescription),
    BYTES(CK_INFO, libraryVersion),
};
static const struct part slot_info[] = {
    BYTES(CK_SLOT_INFO, slotDescription),
    BYTES(CK_SLOT_INFO, manufacturerID),
    ULONG(CK_SLOT_INFO, flags),
    BYTES(CK_SLOT_INFO, hardwareVersion),
    BYTES(CK_SLOT_INFO, firmwareVersion),
};
static const struct part token_info[] = {
    BYTES(CK_TOKEN_INFO, label),
    BYTES(CK_TOKEN_INFO, manufacturerID),
    BYTES(CK_TOKEN_INFO, model),
    BYTES(CK_TOKEN_INFO, serialNumber),
    ULONG(CK_TOKEN_INFO, flags),
    LENGTH(CK_TOKEN_INFO, ulMaxSessionCount),
    LENGTH(CK_TOKEN_INFO, ulSessionCount),
    LENGTH(CK_TOKEN_INFO, ulMaxRwSessionCount),
    LENGTH(CK_TOKEN_INFO, ulRwSessionCount),
    LENGTH(CK_TOKEN_INFO, ulMaxPinLen),
    LENGTH(CK_TOKEN_INFO, ulMinPinLen),
    LENGTH(CK_TOKEN_INFO, ulTotalPublicMemory),
    LENGTH(CK_TOKEN_INFO, ulFreePublicMemory),
    LENGTH(CK_TOKEN_INFO, ulTotalPrivateMemory),
    LENGTH(CK_TOKEN_INFO, ulFreePrivateMemory),
    BYTES(CK_TOKEN_INFO, hardwareVersion),
    BYTES(CK_TOKEN_INFO, firmwareVersion),
    BYTES(CK_TOKEN_INFO, utcTime),
};
static const struct part mech_info[] = {
    LENGTH(CK_MECHANISM_INFO, ulMinKeySize),
    LENGTH(CK_MECHANISM_INFO, ulMaxKeySize),
    ULONG(CK_MECHANISM_INFO, flags),
};
static const struct part session_info[] = {
    ULONG(CK_SESSION_INFO, slotID),
    ULONG(CK_SESSION_INFO, state),
    ULONG(CK_SESSION_INFO, flags),
    ULONG(CK_SESSION_INFO, ulDeviceError),
};

static const struct {
	const struct part *parts;
	size_t count;
} structs[KMN_KIND_COUNT] = {
    [KMN_KIND_INFO] = {info, KMN_COUNT_OF(info)},
    [KMN_KIND_SLOT_INFO] = {slot_info, KMN_COUNT_OF(slot_info)},
    [KMN_KIND_TOKEN_INFO] = {token_info, KMN_COUNT_OF(token_info)},
    [KMN_KIND_MECH_INFO] = {mech_info, KMN_COUNT_OF(mech_info)},
    [KMN_KIND_SESSION_INFO] = {session_info, KMN_COUNT_OF(session_info)},
};

void
kmn_ulong_put(struct kmn_writer *w, CK_ULONG value)
{
	kmn_writer_u64(w, value);
}

void
kmn_length_put(struct kmn_writer *w, CK_ULONG length)
{
	kmn_writer_u64(w, length == CK_UNAVAILABLE_INFORMATION ? KMN_UNAVAILABLE : length);
}

CK_ULONG
kmn_ulong_get(struct kmn_reader *r)
{
	uint64_t value = kmn_reader_u64(r);

	if (value != (CK_ULONG)value)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	return (CK_ULONG)value;
}

CK_ULONG
kmn_length_get(struct kmn_reader *r)
{
	uint64_t value = kmn_reader_u64(r);

	if (value == KMN_UNAVAILABLE)
		return CK_UNAVAILABLE_INFORMATION;
	if (value >= CK_UNAVAILABLE_INFORMATION)
		kmn_reader_fail(r, KMN_E_MALFORMED);
	return (CK_ULONG)value;
}

void
kmn_struct_put(struct kmn_writer *w, enum kmn_kind kind, const void *native)
{
	for (size_t i = 0; i < structs[kind].count; i++) {
		const struct part *part = &structs[kind].parts[i];
		const uint8_t *at = (const uint8_t *)native + part->at;
		CK_ULONG value;

		if (part->kind == PART_BYTES) {
			kmn_writer_raw(w, at, part->size);
			continue;
		}
		memcpy(&value, at, sizeof(value));
		if (part->kind == PART_LENGTH)
			kmn_length_put(w, value);
		else
			kmn_ulong_put(w, value);
	}
}

void
kmn_struct_apply(struct kmn_reader *r, enum kmn_kind kind, void *native, bool write)
{
	for (size_t i = 0; i < structs[kind].count; i++) {
		const struct part *part = &structs[kind].parts[i];
		uint8_t bytes[64];
		CK_ULONG value;

		if (part->kind == PART_BYTES)
			kmn_reader_raw(r, bytes, part->size);
		else if (part->kind == PART_LENGTH)
			value = kmn_length_get(r), memcpy(bytes, &value, sizeof(value));
		else
			value = kmn_ulong_get(r), memcpy(bytes, &value, sizeof(value));
		if (write && r->err == KMN_OK)
			memcpy((uint8_t *)native + part->at, bytes,
			    part->kind == PART_BYTES ? part->size : sizeof(CK_ULONG));
	}
}

size_t
kmn_struct_wire_bytes(enum kmn_kind kind)
{
	size_t sum = 0;

	for (size_t i = 0; i < structs[kind].count; i++)
		sum += structs[kind].parts[i].size;
	return sum;
}
