/*
 * What the hsm worker tells the keeper about one key, read from the vendor
 * module at the moment it is asked: policy and statements are decided on
 * these facts, never on what the client says.
 */
#ifndef KANMON_KEY_H
#define KANMON_KEY_H

#include "kanmon/reader.h"
#include "kanmon/writer.h"

#define KMN_KEY_LABEL_MAX_BYTES 256
#define KMN_KEY_ID_MAX_BYTES 256
#define KMN_KEY_SPKI_MAX_BYTES 4096

/* Attributes that say where a key comes from and what may be done with it (ledger.md 1.4, R7). */
enum kmn_key_flag {
	KMN_KEY_TOKEN = 1u << 0,
	KMN_KEY_PRIVATE = 1u << 1,
	KMN_KEY_SENSITIVE = 1u << 2,
	KMN_KEY_EXTRACTABLE = 1u << 3,
	KMN_KEY_ALWAYS_SENSITIVE = 1u << 4,
	KMN_KEY_NEVER_EXTRACTABLE = 1u << 5,
	KMN_KEY_LOCAL = 1u << 6,
	KMN_KEY_MODIFIABLE = 1u << 7,
	KMN_KEY_ALWAYS_AUTHENTICATE = 1u << 8,
};

struct kmn_key_facts {
	uint64_t object;                     /* virtual handle */
	uint64_t slot;                       /* slot id of the token it is on */
	uint64_t class;                      /* CKA_CLASS */
	uint64_t key_type;                   /* CKA_KEY_TYPE */
	uint64_t mechanism;                  /* CKA_KEY_GEN_MECHANISM, or CK_UNAVAILABLE_INFORMATION */
	uint32_t flags;                      /* enum kmn_key_flag: attributes that the module answered true */
	uint32_t known;                      /* enum kmn_key_flag: attributes that the module answered at all */
	char label[KMN_KEY_LABEL_MAX_BYTES]; /* control bytes replaced by '?' */
	uint8_t id[KMN_KEY_ID_MAX_BYTES];
	uint32_t id_len;
	uint8_t kcv[3];                       /* CKA_CHECK_VALUE of a secret key */
	uint32_t kcv_len;                     /* 0 or 3 */
	uint8_t spki[KMN_KEY_SPKI_MAX_BYTES]; /* DER SubjectPublicKeyInfo; from the key itself or its public half */
	uint32_t spki_len;                    /* 0 where there is none (secret key, or no public half found) */
};

/* Appends them; errors are kept in the writer. */
void kmn_key_facts_put(struct kmn_writer *w, const struct kmn_key_facts *facts);
/* Errors are kept in r->err; *facts_out is then zeroed. */
void kmn_key_facts_get(struct kmn_reader *r, struct kmn_key_facts *facts_out);

#endif
