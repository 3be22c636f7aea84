/*
 * What makes a key in a token that key, so that it is found again under
 * another handle: CKA_UNIQUE_ID, or class, type, CKA_ID and CKA_LABEL; and in
 * any case the proof, a hash over its public half (of a private key that does
 * not tell it: over that of the one public key with the same CKA_ID), of a
 * secret key over its check value. A key without a proof is never found again:
 * it could be another one with the same name.
 */
#ifndef KANMON_PROVIDER_IDENTITY_H
#define KANMON_PROVIDER_IDENTITY_H

#include "provider/call.h"

#define KMN_IDENTITY_TEXT_BYTES 256u /* CKA_ID, CKA_LABEL, CKA_UNIQUE_ID: a longer one is not identified by */

struct kmn_identity_text {
	CK_BYTE bytes[KMN_IDENTITY_TEXT_BYTES];
	CK_ULONG len; /* 0: it has none */
};

struct kmn_identity {
	bool proven; /* the rest counts only then */
	CK_OBJECT_CLASS class;
	CK_KEY_TYPE type;
	struct kmn_identity_text id, label, unique;
	uint8_t proof[KMN_HASH_BYTES];
};

/* Where the questions are asked: the slot, in sessions of our own with these flags. */
struct kmn_desk {
	struct kmn_application *app;
	struct kmn_link *link;
	CK_SLOT_ID slot;
	CK_FLAGS flags;
};

/* Who is `object`? Asked in `session`. KMN_OK with proven or not; KMN_E_INSTANCE and others as of kmn_call_on. */
kmn_err kmn_identity_ask(const struct kmn_desk *desk, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
    struct kmn_identity *identity_out) KMN_MUST_CHECK;

/* The one object that is this one; *object_out is 0 unless there is exactly one. */
kmn_err kmn_identity_find(
    const struct kmn_desk *desk, const struct kmn_identity *identity, CK_OBJECT_HANDLE *object_out) KMN_MUST_CHECK;

#endif
