#include "config.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/log.h"
#include "kanmon/statement.h"
#include "tools/kanmon/audit_story_inner.h"

/* Word number `word` (from 0) of a statement's line; false: no such line. */
static bool
word_of(const char *statement, const char *key, unsigned word, char out[128])
{
	size_t len, size;
	const char *at = kmn_statement_value(statement, key, &len), *end = at == NULL ? NULL : at + len;

	for (; at != NULL && word > 0; word--)
		at = memchr(at, ' ', (size_t)(end - at)) != NULL ? (char *)memchr(at, ' ', (size_t)(end - at)) + 1
								 : NULL;
	if (at == NULL)
		return false;
	size = (size_t)(end - at);
	if (memchr(at, ' ', size) != NULL)
		size = (size_t)((char *)memchr(at, ' ', size) - at);
	(void)snprintf(out, 128, "%.*s", (int)size, at);
	return true;
}

static void
compare_word(struct kmn_story *story, const char *key, unsigned word, const char *what)
{
	char value[128];

	if (story->statement.owner != NULL &&
	    word_of(kmn_json_text(story->statement.body, "text"), key, word, value) && strcmp(value, "none") != 0)
		kmn_compare(&story->compared, what, story->statement.i, value);
}

static void
compare_text(struct kmn_compared *c, const char *what, uint64_t where, const char *text)
{
	uint8_t hash[KMN_HASH_BYTES];

	if (text == NULL) {
		kmn_compare(c, what, where, NULL);
		return;
	}
	kmn_sha256(text, strlen(text), hash);
	kmn_compare_hash(c, what, where, hash, sizeof(hash));
}

/* What was signed by this note: an approval the statement, a rejection or veto the statement turned. */
static void
compare_note(struct kmn_story *story, const json_t *note)
{
	const char *text = kmn_json_text(note, "text"), *type = kmn_json_text(note, "type");
	struct kmn_compared *c = &story->compared;
	uint64_t i = (uint64_t)json_integer_value(json_object_get(note, "i"));
	struct kmn_statement_said said;
	char what[128], *turned = NULL;

	if (strcmp(type, "action") == 0) {
		(void)snprintf(what, sizeof(what), "shown on %s's screen", kmn_json_text(note, "actor"));
		kmn_compare(c, what, i, kmn_json_text(note, "shown"));
	} else if (strcmp(type, "approval") == 0) {
		compare_text(c, "signed by an approval", i, text);
	} else if (kmn_statement_read(text, strlen(text), &said) == KMN_OK &&
		   kmn_statement_turn(
		       kmn_json_text(story->statement.body, "text"), said.decision, said.reason, &turned) == KMN_OK) {
		kmn_compare_holds(c, "signed by a rejection or veto: this statement, turned", i,
		    strcmp(turned, text) == 0, said.reason);
		free(turned);
	} else {
		kmn_compare_holds(c, "signed by a rejection or veto: this statement, turned", i, false, "another text");
	}
}

static void
compare_statement(struct kmn_story *story)
{
	struct kmn_compared *c = &story->compared;
	const json_t *note;
	size_t n;

	if (story->statement.owner == NULL)
		return;
	kmn_compare_begin(c, "statement, SHA-256");
	kmn_compare(c, "recorded", story->statement.i, kmn_json_text(story->statement.body, "sha256"));
	compare_text(c, "of the text recorded", story->statement.i, kmn_json_text(story->statement.body, "text"));
	compare_text(c, "made again from intent, policy, data and head", KMN_NOWHERE, story->again);
	json_array_foreach(story->notes, n, note) compare_note(story, note);
}

static void
compare_request(struct kmn_story *story)
{
	struct kmn_compared *c = &story->compared;
	struct kmn_ref ref;

	kmn_compare_begin(c, "request, leaf hash");
	kmn_compare_hash(c, "of the intent's line", story->i, story->intent.leaf, KMN_HASH_BYTES);
	compare_word(story, "request-leaf", 0, "in the statement");
	if (kmn_ref_get(story->decision.body, "request", &ref))
		kmn_compare_hash(c, "in the decision", story->decision.i, ref.leaf, KMN_HASH_BYTES);
	if (kmn_ref_get(story->result.body, "request", &ref))
		kmn_compare_hash(c, "in the result", story->result.i, ref.leaf, KMN_HASH_BYTES);
	if (kmn_ref_get(story->result.body, "decision", &ref)) {
		kmn_compare_begin(c, "decision, leaf hash");
		kmn_compare_hash(c, "of the decision's line", story->decision.i, story->decision.leaf, KMN_HASH_BYTES);
		kmn_compare_hash(c, "in the result", story->result.i, ref.leaf, KMN_HASH_BYTES);
	}
}

static void
compare_requester(struct kmn_story *story)
{
	struct kmn_compared *c = &story->compared;

	kmn_compare_begin(c, "who asked, SHA-256 of their TLS key");
	if (story->channel != 0)
		kmn_compare_hash(c, "on the channel", story->channel, story->peer_spki, KMN_HASH_BYTES);
	kmn_compare(c, "in the intent", story->i,
	    kmn_json_text(json_object_get(story->intent.body, "requester"), "spki_sha256"));
	compare_word(story, "requester", 1, "in the statement");
}

static void
compare_policy(struct kmn_story *story)
{
	struct kmn_compared *c = &story->compared;

	kmn_compare_begin(c, "policy, SHA-256 of its text");
	if (story->policy != NULL)
		kmn_compare_hash(
		    c, "in force at the intent", KMN_NOWHERE, kmn_policy_sha256(story->policy), KMN_HASH_BYTES);
	compare_word(story, "policy", 1, "in the statement");
	if (story->decision.owner != NULL && strcmp(kmn_json_text(story->decision.body, "verdict"), "withdrawn") != 0)
		kmn_compare(c, "in the decision", story->decision.i,
		    kmn_json_text(json_object_get(story->decision.body, "policy"), "sha256"));
}

static void
compare_head(struct kmn_story *story)
{
	struct kmn_head head, here;

	if (story->statement.owner == NULL || !kmn_head_get(story->statement.body, "head", &head))
		return;
	kmn_compare_begin(&story->compared, "head that custodians signed, root");
	if (kmn_tree_head(story->tree, head.size, &here) == KMN_OK)
		kmn_compare_hash(&story->compared, "of the ledger's records", KMN_NOWHERE, here.root, KMN_HASH_BYTES);
	kmn_compare_hash(&story->compared, "in the statement record", story->statement.i, head.root, KMN_HASH_BYTES);
	compare_word(story, "head", 1, "in the statement");
}

/* ---- data and signature ------------------------------------------------------------------------------------------ */

/* A blob that the intent names. KMN_E_NOT_FOUND: not kept; KMN_E_CORRUPT: its bytes are not what its name says. */
static kmn_err
blob_of(struct kmn_story *story, const char *member, const char *name, uint8_t **bytes_out, size_t *len_out)
{
	uint8_t sha256[KMN_HASH_BYTES];

	*bytes_out = NULL;
	*len_out = 0;
	if (!kmn_json_get_b64(json_object_get(story->intent.body, member), name, sha256, sizeof(sha256)))
		return KMN_E_NOT_FOUND;
	return kmn_blob_read(story->store, sha256, bytes_out, len_out);
}

static void
compare_blob(struct kmn_compared *c, const char *what, kmn_err e, const uint8_t *bytes, size_t len)
{
	uint8_t hash[KMN_HASH_BYTES];

	if (e == KMN_E_CORRUPT) {
		kmn_compare_holds(c, what, KMN_NOWHERE, false, "the bytes kept have another hash");
	} else if (bytes == NULL) {
		kmn_compare(c, what, KMN_NOWHERE, NULL);
	} else {
		kmn_sha256(bytes, len, hash);
		kmn_compare_hash(c, what, KMN_NOWHERE, hash, sizeof(hash));
	}
}

static void
compare_signature(struct kmn_story *story, const struct kmn_norm *norm, const uint8_t *data, size_t data_len,
    const uint8_t *spki, size_t spki_len)
{
	const char *b64 = kmn_json_text(json_object_get(story->result.body, "out"), "b64");
	uint8_t signature[8192];
	struct kmn_pss pss;
	bool has_pss =
	    kmn_pss_from_json(json_object_get(json_object_get(story->intent.body, "mech"), "params"), &pss) == KMN_OK;
	size_t len;
	kmn_err e;

	if (b64[0] == '\0' || kmn_b64_parse(b64, strlen(b64), signature, sizeof(signature), &len) != KMN_OK)
		return;
	e = spki == NULL ? KMN_E_NOT_FOUND
			 : kmn_operation_verify_signature(
			       spki, spki_len, norm, has_pss ? &pss : NULL, data, data_len, signature, len);
	if (e == KMN_E_NOT_FOUND)
		kmn_compare(
		    &story->compared, "the HSM's signature verifies over it: key or data", story->result.i, NULL);
	else
		kmn_compare_holds(&story->compared, "the HSM's signature verifies over it, under the key",
		    story->result.i, e == KMN_OK, e == KMN_OK ? "it verifies" : "it does not verify");
}

static void
compare_input(struct kmn_story *story)
{
	struct kmn_compared *c = &story->compared;
	const json_t *in = json_object_get(story->intent.body, "in");
	struct kmn_norm norm;
	bool signs = kmn_norm_from_json(json_object_get(story->intent.body, "norm"), &norm) == KMN_OK;
	size_t data_len, spki_len;
	uint8_t *data, *spki;
	kmn_err data_e = blob_of(story, "in", "sha256", &data, &data_len);
	kmn_err spki_e = blob_of(story, "key", "spki_sha256", &spki, &spki_len);

	if (kmn_json_text(json_object_get(story->intent.body, "key"), "spki_sha256")[0] != '\0') {
		kmn_compare_begin(c, "key, SHA-256 of its public key");
		kmn_compare(c, "in the intent", story->i,
		    kmn_json_text(json_object_get(story->intent.body, "key"), "spki_sha256"));
		compare_word(story, "key-spki-sha256", 0, "in the statement");
		compare_blob(c, "of the public key as kept", spki_e, spki, spki_len);
	}
	if (kmn_json_text(in, "sha256")[0] != '\0') {
		kmn_compare_begin(c, "data, SHA-256");
		kmn_compare(c, "in the intent", story->i, kmn_json_text(in, "sha256"));
		compare_word(story, "input-sha256", 0, "in the statement");
		compare_blob(c, "of the data as kept", data_e, data, data_len);
	}
	if (signs) {
		uint8_t digest[EVP_MAX_MD_SIZE];
		unsigned len = 0;
		const EVP_MD *md = EVP_get_digestbyname(norm.hash);

		kmn_compare_begin(c, "what the signature is over, digest");
		kmn_compare_hash(c, "in the intent", story->i, norm.digest, norm.digest_len);
		if (data == NULL || md == NULL || EVP_Digest(data, data_len, digest, &len, md, NULL) != 1)
			kmn_compare(c, "of the data as kept", KMN_NOWHERE, NULL);
		else
			kmn_compare_hash(c, "of the data as kept", KMN_NOWHERE, digest, len);
		compare_signature(story, &norm, data, data_len, spki, spki_len);
	}
	free(data);
	free(spki);
}

static void
compare_frames(struct kmn_story *story)
{
	const json_t *asked = story->intent.body, *ran = story->result.body;
	struct kmn_compared *c = &story->compared;

	if (ran == NULL)
		return;
	kmn_compare_begin(c, "call, SHA-256 of the request as it came");
	kmn_compare(c, "in the intent", story->i, kmn_json_text(asked, "req_sha256"));
	if (json_equal(json_object_get(asked, "chan"), json_object_get(ran, "chan")) &&
	    json_equal(json_object_get(asked, "seq"), json_object_get(ran, "seq"))) {
		kmn_compare(c, "in the result", story->result.i, kmn_json_text(ran, "req_sha256"));
	} else {
		kmn_compare_begin(c, "call that met the approval, SHA-256 of the request as it came");
		kmn_compare(c, "in the result", story->result.i, kmn_json_text(ran, "req_sha256"));
	}
	kmn_compare_begin(c, "answer, SHA-256 of the response as it went out");
	kmn_compare(c, "in the result", story->result.i, kmn_json_text(ran, "resp_sha256"));
}

void
kmn_story_compare(struct kmn_story *story)
{
	compare_requester(story);
	compare_request(story);
	compare_policy(story);
	compare_head(story);
	compare_statement(story);
	compare_input(story);
	compare_frames(story);
}
