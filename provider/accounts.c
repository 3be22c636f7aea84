/*
 * What receipts said of each session: the last one, for the vendor interface,
 * the request that its last call was; and of each key, by its handle, which
 * public half the ledger named for it. A handle never means two keys, so a
 * record that names another one is of another key.
 */
#include "config.h"

#include "provider/receipts_parts.h"

#include <stdlib.h>
#include <string.h>

#define OPERATIONS 16u /* bits of enum kmn_operation_kind */
#define KEYS_A_BUCKET_MAX 64u

struct kmn_account {
	LIST_ENTRY(kmn_account) link;
	uint64_t session;
	uint64_t request;         /* UINT64_MAX: none yet */
	uint64_t key[OPERATIONS]; /* with which each operation was begun; 0: not known */
	char *proof;              /* the note, then the receipt; NULL: none yet */
	size_t note_len, receipt_len;
};

struct kmn_known_key {
	LIST_ENTRY(kmn_known_key) link;
	uint64_t handle;
	uint8_t spki_sha256[KMN_HASH_BYTES];
};

/* ---- sessions; the lock is taken --------------------------------------------------------------------------------- */

static struct kmn_account *
find(struct kmn_book *book, uint64_t session)
{
	struct kmn_account *account;

	LIST_FOREACH(account, &book->accounts[session % KMN_ACCOUNT_BUCKETS], link)
	if (account->session == session)
		return account;
	return NULL;
}

static struct kmn_account *
find_or_make(struct kmn_book *book, uint64_t session)
{
	struct kmn_account *account = find(book, session);

	if (account != NULL || session == 0 || (account = calloc(1, sizeof(*account))) == NULL)
		return account;
	account->session = session;
	account->request = UINT64_MAX;
	LIST_INSERT_HEAD(&book->accounts[session % KMN_ACCOUNT_BUCKETS], account, link);
	return account;
}

static void
account_free(struct kmn_account *account)
{
	LIST_REMOVE(account, link);
	free(account->proof);
	free(account);
}

void
kmn_receipts_forget(struct kmn_book *book, uint64_t session)
{
	(void)pthread_mutex_lock(&book->lock);
	for (size_t i = 0; i < KMN_ACCOUNT_BUCKETS; i++) {
		struct kmn_account *account, *next;

		for (account = LIST_FIRST(&book->accounts[i]); account != NULL; account = next) {
			next = LIST_NEXT(account, link);
			if (session == 0 || account->session == session)
				account_free(account);
		}
	}
	(void)pthread_mutex_unlock(&book->lock);
}

void
kmn_receipts_held(struct kmn_book *book, uint64_t session, uint64_t request)
{
	struct kmn_account *account;

	(void)pthread_mutex_lock(&book->lock);
	if ((account = find_or_make(book, session)) != NULL)
		account->request = request;
	(void)pthread_mutex_unlock(&book->lock);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

/* Which of the operations that a call names its key belongs to; OPERATIONS: none. */
static unsigned
operation_of(const struct kmn_call *row)
{
	unsigned bit = 0;

	while (bit < OPERATIONS && (row->operations & 1u << bit) == 0)
		bit++;
	return bit;
}

void
kmn_accounts_begun(struct kmn_book *book, const struct kmn_claim *claim)
{
	unsigned bit = operation_of(claim->row);
	struct kmn_account *account;

	if (claim->row->effect != KMN_EFFECT_STARTS || claim->rv != CKR_OK || claim->key == 0 || bit == OPERATIONS)
		return;
	(void)pthread_mutex_lock(&book->lock);
	if ((account = find_or_make(book, claim->session)) != NULL)
		account->key[bit] = claim->key;
	(void)pthread_mutex_unlock(&book->lock);
}

static struct kmn_known_key *
find_key(struct kmn_book *book, uint64_t handle)
{
	struct kmn_known_key *key;

	LIST_FOREACH(key, &book->keys_seen[handle % KMN_ACCOUNT_BUCKETS], link)
	if (key->handle == handle)
		return key;
	return NULL;
}

uint64_t
kmn_accounts_key(struct kmn_book *book, const struct kmn_claim *claim)
{
	unsigned bit = operation_of(claim->row);
	struct kmn_account *account;
	uint64_t key = 0;

	if (claim->row->effect == KMN_EFFECT_STARTS || bit == OPERATIONS)
		return 0; /* of wrapping and deriving the record may name either key */
	(void)pthread_mutex_lock(&book->lock);
	if ((account = find(book, claim->session)) != NULL)
		key = account->key[bit];
	(void)pthread_mutex_unlock(&book->lock);
	return key;
}

bool
kmn_accounts_spki(struct kmn_book *book, uint64_t handle, uint8_t spki_sha256_out[KMN_HASH_BYTES])
{
	struct kmn_known_key *key;

	(void)pthread_mutex_lock(&book->lock);
	if ((key = handle != 0 ? find_key(book, handle) : NULL) != NULL)
		memcpy(spki_sha256_out, key->spki_sha256, KMN_HASH_BYTES);
	(void)pthread_mutex_unlock(&book->lock);
	return key != NULL;
}

/* A bucket that is full forgets nothing: later keys are not compared. The lock is taken. */
static void
learn_key(struct kmn_book *book, uint64_t handle, const struct kmn_receipt_found *found)
{
	const json_t *body = found->request.type != NULL ? found->request.body : found->record.body;
	struct kmn_known_key *key;
	uint8_t hash[KMN_HASH_BYTES];
	unsigned n = 0;

	if (handle == 0 || find_key(book, handle) != NULL ||
	    !kmn_json_get_b64(json_object_get(body, "key"), "spki_sha256", hash, sizeof(hash)))
		return;
	LIST_FOREACH(key, &book->keys_seen[handle % KMN_ACCOUNT_BUCKETS], link)
	n++;
	if (n >= KEYS_A_BUCKET_MAX || (key = malloc(sizeof(*key))) == NULL)
		return;
	key->handle = handle;
	memcpy(key->spki_sha256, hash, sizeof(hash));
	LIST_INSERT_HEAD(&book->keys_seen[handle % KMN_ACCOUNT_BUCKETS], key, link);
}

/* ---- receipts ---------------------------------------------------------------------------------------------------- */

void
kmn_accounts_note(struct kmn_book *book, const struct kmn_claim *claim, const struct kmn_receipt_found *found,
    const struct kmn_seen *seen, const uint8_t *bytes, size_t len)
{
	char *proof = malloc(seen->note_len + len);
	struct kmn_account *account;

	(void)pthread_mutex_lock(&book->lock);
	learn_key(book, claim->key, found);
	if (proof != NULL && (account = find_or_make(book, claim->session)) != NULL) {
		memcpy(proof, seen->note, seen->note_len);
		memcpy(proof + seen->note_len, bytes, len);
		free(account->proof);
		account->proof = proof;
		account->note_len = seen->note_len;
		account->receipt_len = len;
		account->request = found->request.type != NULL ? found->request.i : found->record.i;
		proof = NULL;
	}
	(void)pthread_mutex_unlock(&book->lock);
	free(proof);
}

void
kmn_accounts_clear(struct kmn_book *book)
{
	struct kmn_known_key *key;

	kmn_receipts_forget(book, 0);
	for (size_t i = 0; i < KMN_ACCOUNT_BUCKETS; i++) {
		while ((key = LIST_FIRST(&book->keys_seen[i])) != NULL) {
			LIST_REMOVE(key, link);
			free(key);
		}
	}
}

kmn_err
kmn_receipts_last_proof(struct kmn_book *book, uint64_t session, char **proof_out, size_t *len_out)
{
	struct kmn_receipt_found found = {0};
	struct kmn_receipt receipt;
	struct kmn_account *account;
	kmn_err e = KMN_E_NOT_FOUND;

	*proof_out = NULL;
	*len_out = 0;
	(void)pthread_mutex_lock(&book->lock);
	if ((account = find(book, session)) != NULL && account->proof != NULL) {
		e = kmn_receipt_decode(account->proof + account->note_len, account->receipt_len, &receipt);
		if (e == KMN_OK)
			e = kmn_record_parse(receipt.line, receipt.line_len, &found.record, NULL);
		if (e == KMN_OK)
			e = kmn_proof_text(
			    &receipt, found.record.i, account->proof, account->note_len, proof_out, len_out);
	}
	(void)pthread_mutex_unlock(&book->lock);
	kmn_receipt_found_clear(&found);
	return e;
}

kmn_err
kmn_receipts_last_request(struct kmn_book *book, uint64_t session, uint64_t *request_out)
{
	struct kmn_account *account;

	(void)pthread_mutex_lock(&book->lock);
	account = find(book, session);
	*request_out = account != NULL ? account->request : UINT64_MAX;
	(void)pthread_mutex_unlock(&book->lock);
	return *request_out != UINT64_MAX ? KMN_OK : KMN_E_NOT_FOUND;
}
