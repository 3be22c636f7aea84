/*
 * Texts that the keeper makes to be signed once. Anybody may ask for one to sign in with, as often as the console lets
 * them: so of those nothing is kept. Their nonce is half random, half a MAC over the rest, by a key of this process; what
 * was signed in with is kept, and is in the ledger besides. Texts of instructions are asked for by operators: they are kept.
 */
#include "config.h"

#include "server/keeper/console.h"

#include "kanmon/evidence.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANDOM_BYTES (KMN_HASH_BYTES / 2)
#define MAC_BYTES (KMN_HASH_BYTES - RANDOM_BYTES)

static const struct kmn_policy_webauthn *
place_of(const struct kmn_policy *policy, const char *page)
{
	const struct kmn_policy_webauthn *place;
	size_t n = 0;

	while ((place = kmn_policy_webauthn_at(policy, n++)) != NULL)
		if (strcmp(place->origin, page) == 0)
			return place;
	return NULL;
}

void
kmn_ui_text_answer(const struct kmn_ui_ask *ask, char *text, const char *page)
{
	const struct kmn_policy_webauthn *place = place_of(kmn_keeper_policy(ask->keeper), page);
	char challenge[KMN_EVIDENCE_CHALLENGE_BYTES];

	kmn_evidence_challenge(text, strlen(text), challenge);
	kmn_ui_answer(ask, json_pack("{s:s, s:s, s:s}", "text", text, "challenge", challenge, "rp_id",
			       place != NULL ? place->rp_id : ""));
	free(text);
}

/* ---- kept -------------------------------------------------------------------------------------------------------- */

static void
keep(struct kmn_ui_texts *texts, const char *text, size_t len)
{
	struct kmn_ui_text *kept = &texts->text[texts->next++ % KMN_UI_TEXTS_MAX];

	kmn_sha256(text, len, kept->sha256);
	kept->made_ms = kmn_keeper_boot_ms();
}

/* NULL: it is not there, or is too old. */
static struct kmn_ui_text *
find(struct kmn_ui_texts *texts, const char *text, size_t len)
{
	uint8_t sha256[KMN_HASH_BYTES];
	int64_t now = kmn_keeper_boot_ms();

	kmn_sha256(text, len, sha256);
	for (size_t n = 0; n < KMN_UI_TEXTS_MAX; n++)
		if (texts->text[n].made_ms != 0 && now - texts->text[n].made_ms <= KMN_ACTION_TEXT_LIFE_MS &&
		    memcmp(texts->text[n].sha256, sha256, sizeof(sha256)) == 0)
			return &texts->text[n];
	return NULL;
}

void
kmn_ui_text_offer(const struct kmn_ui_ask *ask, char *text, const char *page)
{
	keep(&ask->keeper->consoling->offered, text, strlen(text));
	kmn_ui_text_answer(ask, text, page);
}

bool
kmn_ui_text_use(struct kmn_keeper *k, const char *text, size_t len)
{
	struct kmn_ui_text *kept = find(&k->consoling->offered, text, len);

	if (kept != NULL)
		kept->made_ms = 0;
	return kept != NULL;
}

/* ---- to sign in with ---------------------------------------------------------------------------------------------- */

/* The second half of a nonce whose first half is there. `page` and `time` as the text has them; no line holds a LF. */
static void
put_mac(const struct kmn_keeper *k, const char *page, size_t page_len, const char *time, size_t time_len,
    uint8_t nonce[KMN_HASH_BYTES])
{
	crypto_generichash_state state;

	(void)crypto_generichash_init(&state, k->consoling->text_key, sizeof(k->consoling->text_key), MAC_BYTES);
	(void)crypto_generichash_update(&state, nonce, RANDOM_BYTES);
	(void)crypto_generichash_update(&state, (const uint8_t *)time, time_len);
	(void)crypto_generichash_update(&state, (const uint8_t *)"\n", 1);
	(void)crypto_generichash_update(&state, (const uint8_t *)page, page_len);
	(void)crypto_generichash_final(&state, nonce + RANDOM_BYTES, MAC_BYTES);
}

void
kmn_ui_sign_in_text(const struct kmn_ui_ask *ask, struct kmn_reader *r)
{
	struct kmn_keeper *k = ask->keeper;
	char page[KMN_UI_NAMED_MAX_BYTES + 1], b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1], time[KMN_TIME_TEXT_BYTES];
	uint8_t nonce[KMN_HASH_BYTES];
	const struct kmn_signed_pair pair[] = {
	    {"origin", kmn_log_origin(k->log)}, {"page", page}, {"nonce", b64}, {"time", time}};
	struct kmn_why why = {""};
	char *text;
	kmn_err e;

	kmn_reader_text(r, page, sizeof(page));
	if (kmn_reader_end(r) != KMN_OK) {
		kmn_ui_refuse(ask, r->err, kmn_err_text(r->err));
		return;
	}
	if (place_of(kmn_keeper_policy(k), page) == NULL) {
		kmn_ui_refuse(ask, KMN_E_DENIED,
		    "this page is at no `webauthn` place of the policy: sign in by a client certificate, or at such a "
		    "place");
		return;
	}
	kmn_time_text(kmn_clock_record_ms(k), time);
	kmn_keeper_random(nonce, RANDOM_BYTES);
	put_mac(k, page, strlen(page), time, strlen(time), nonce);
	kmn_b64(nonce, sizeof(nonce), b64);
	if ((e = kmn_signed_make(KMN_SIGNED_SIGN_IN, pair, KMN_COUNT_OF(pair), &text, &why)) != KMN_OK)
		kmn_ui_refuse_why(ask, e, &why);
	else
		kmn_ui_text_answer(ask, text, page);
}

bool
kmn_ui_sign_in_is_ours(struct kmn_keeper *k, const char *text, size_t len)
{
	const struct kmn_signed_line *page, *time, *nonce;
	uint8_t ours[KMN_HASH_BYTES];
	struct kmn_signed said;
	struct kmn_why why;

	if (kmn_signed_read(text, len, &said, &why) != KMN_OK || said.kind != KMN_SIGNED_SIGN_IN)
		return false;
	page = kmn_signed_line(&said, "page", 0);
	time = kmn_signed_line(&said, "time", 0);
	nonce = kmn_signed_line(&said, "nonce", 0);
	memcpy(ours, nonce->hash, RANDOM_BYTES);
	put_mac(k, page->value, page->len, time->value, time->len, ours);
	return sodium_memcmp(ours, nonce->hash, sizeof(ours)) == 0 &&
	       find(&k->consoling->signed_in_with, text, len) == NULL;
}

void
kmn_ui_sign_in_used(struct kmn_keeper *k, const char *text, size_t len)
{
	keep(&k->consoling->signed_in_with, text, len);
}
