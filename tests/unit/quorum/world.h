/* A small world for tests: persons with keys, a policy that they signed, a ledger in memory and its quorum. */
#ifndef KANMON_TESTS_UNIT_QUORUM_WORLD_H
#define KANMON_TESTS_UNIT_QUORUM_WORLD_H

#include "kanmon/note.h"
#include "kanmon/quorum.h"
#include "kanmon/record.h"
#include "kanmon/signed.h"

#define WORLD_RECORDS_MAX 4096
#define WORLD_BLOBS_MAX 32
#define WORLD_SHADOWS_MAX 4
#define WORLD_START_MS 1793000000000 /* 2026-10-26 */

struct world {
	struct kmn_quorum *quorum;
	char *line[WORLD_RECORDS_MAX];
	size_t len[WORLD_RECORDS_MAX];
	struct kmn_ref ref[WORLD_RECORDS_MAX];
	size_t count;
	struct kmn_frontier frontier;
	uint64_t t;
	uint64_t boot_ahead; /* of the boot clock before the records' index */
	struct {
		uint8_t sha256[KMN_HASH_BYTES];
		uint8_t *bytes;
		size_t len;
	} blob[WORLD_BLOBS_MAX];
	size_t blobs;
	struct kmn_finding finding; /* of the last append */
	uint8_t nonce;
	/* Made from kmn_quorum_records() on the way, and fed since: each must answer as the whole one does. */
	struct kmn_quorum *shadow[WORLD_SHADOWS_MAX];
	size_t shadows;
	bool found; /* a finding: the state is that of no keeper any more */
};

/* The key of a name is made of it: sato, sato2, suzuki, tanaka, mori, kato, ito, nobody. */
void world_vkey(const char *name, char out[KMN_VKEY_MAX_BYTES]);
/* A note over text by each of the names, separated by spaces; free(). */
char *world_sign(const char *text, const char *names);
/* "spki:<b64>" hash that stands for the TLS key of a name. */
void world_spki(const char *name, uint8_t out[KMN_HASH_BYTES]);
/* The roster, groups and roles that all tests share, then `rules`; free(). */
char *world_policy(unsigned version, const uint8_t *previous, const char *rules);

/* Genesis with the policy of these rules. */
void world_init(struct world *w, const char *rules);
void world_clear(struct world *w);

/* Append a record (body is stolen) and apply it: what kmn_quorum_apply says. */
kmn_err world_append(struct world *w, enum kmn_record_kind kind, json_t *body);
/* Take back the last record (the live quorum has seen it: only for replays). */
void world_drop(struct world *w);
/* shadow.c: after each record, also that a quorum made of the chosen records alone answers as the whole one. */
void world_shadow(struct world *w, kmn_err said);
/* The same of a ledger that a keeper wrote. */
struct kmn_store;
void shadow_ledger(struct kmn_store *store);
/* Hash of the SubjectPublicKeyInfo of the key that world_intent names, which is kept as a blob. */
void world_root_spki(uint8_t out[KMN_HASH_BYTES]);
/* Apply record i; make an empty quorum over the world's blobs. */
kmn_err world_apply(struct world *w, struct kmn_quorum *q, size_t i, struct kmn_finding *finding_out);
struct kmn_quorum *world_quorum(struct world *w);
/* Apply all records from the first in a fresh quorum; the first finding. *quorum_out may be NULL. */
kmn_err world_replay(struct world *w, struct kmn_finding *finding_out, struct kmn_quorum **quorum_out);
/* Replace a record's line by another body (chain ignored: that is the ledger's check). */
void world_replace(struct world *w, size_t i, json_t *body);
const json_t *world_body(struct world *w, size_t i, json_t **owner);

void world_head(const struct world *w, struct kmn_head *head_out);
void world_keep(struct world *w, const uint8_t *bytes, size_t len);

/* An intent to sign `data` by CKM_ECDSA_SHA256 with the key "root-ca" for a client; the data is kept as blob. */
json_t *world_intent(struct world *w, const char *client, const uint8_t *data, size_t len);
/* The intent's index after it and its statement are appended. */
uint64_t world_request(struct world *w, const char *client, const char *data);
/* A vote as the keeper takes it: checked, recorded. True: it counts. `why` gets the check. */
bool world_vote(struct world *w, uint64_t request, const char *names, enum kmn_decision decision, const char **why);
kmn_err world_decide(struct world *w, uint64_t request, const char *verdict);
/* A text of a kind of signed.h, signed and recorded: refused before it is recorded and by whoever reads it, or by neither. */
kmn_err world_signed(
    struct world *w, enum kmn_signed_kind kind, const struct kmn_signed_pair *pair, size_t count, const char *names);
kmn_err world_result(struct world *w, uint64_t request, uint64_t rv);

#define WORLD_RULES \
	"rule root\n" \
	"  client ca\n" \
	"  object pkcs11:token=root;object=root-ca\n" \
	"  calls key-use\n" \
	"  need keepers and officers\n" \
	"  expires 4h\n" \
	"rule other\n" \
	"  client ca other\n" \
	"  calls session query login random key-management\n" \
	"  need none\n"

#endif
