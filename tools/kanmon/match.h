/*
 * Issued certificates and CRLs against the signatures in a ledger, both ways.
 * Pure: it is handed both sides and says what has no counterpart.
 *
 *	matched     a record has this signature
 *	rogue       signed by a key of the ledger, and no record has that signature
 *	foreign     signed by no key of the ledger
 *	missing     a certificate or CRL that a record says was signed, and was not among those given
 */
#ifndef KANMON_TOOLS_MATCH_H
#define KANMON_TOOLS_MATCH_H

#include "tools/kanmon/audit_signed.h"
#include "tools/kanmon/rebuild.h"

struct kmn_match;

kmn_err kmn_match_new(struct kmn_match **match_out) KMN_MUST_CHECK;
void kmn_match_free(struct kmn_match *match);

/* A key that the ledger names; the same one again is nothing new. */
kmn_err kmn_match_key(struct kmn_match *match, const uint8_t sha256[KMN_HASH_BYTES]) KMN_MUST_CHECK;
/* Its public half (DER SubjectPublicKeyInfo), from wherever: taken if the ledger names a key with that hash. */
kmn_err kmn_match_public(struct kmn_match *match, const uint8_t *spki, size_t spki_len) KMN_MUST_CHECK;
/* How many keys have no public half yet: what they signed cannot be told from what is foreign. */
size_t kmn_match_keyless(const struct kmn_match *match);

/* A signature of the ledger. `kind` "certificate", "crl" .. as far as its data is kept, else "unknown". */
kmn_err kmn_match_signed(
    struct kmn_match *match, const struct kmn_signed_certificate *made, const char *kind) KMN_MUST_CHECK;

enum kmn_match_verdict {
	KMN_MATCHED,
	KMN_ROGUE,       /* no record has a signature over this content */
	KMN_ROGUE_TWICE, /* one over this content is recorded, but it is another signature */
	KMN_FOREIGN,
};

/*
 * One certificate or CRL that was issued. After all signatures were added. *record_out: the matching record, or with
 * KMN_ROGUE_TWICE the one over the same content; else UINT64_MAX.
 */
enum kmn_match_verdict kmn_match_issued(struct kmn_match *match, const struct kmn_issued *issued, uint64_t *record_out);

/* What no issued thing matched; `fn` for each, with the kind that was given. */
typedef void kmn_match_fn(void *cookie, uint64_t record, const char *kind);
void kmn_match_missing(const struct kmn_match *match, kmn_match_fn *fn, void *cookie);

#endif
