#include "config.h"

#include "tools/kanmon/examine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/attach.h"
#include "kanmon/note.h"
#include "kanmon/statement.h"
#include "tools/kanmon/files.h"
#include "tools/kanmon/terminal.h"

static void
remark(struct kmn_remark *list, size_t *count, enum kmn_word word, uint64_t value)
{
	if (*count == KMN_REMARKS_MAX)
		return;
	list[*count].word = word;
	(void)snprintf(list[(*count)++].value, sizeof(list->value), "%" PRIu64, value);
}

static void
remark_verified(struct kmn_examined *x, enum kmn_word word, uint64_t value)
{
	remark(x->verified, &x->verified_count, word, value);
}

static void
remark_open(struct kmn_examined *x, enum kmn_word word, uint64_t value)
{
	remark(x->open, &x->open_count, word, value);
}

kmn_err
kmn_contradiction(enum kmn_language language, enum kmn_word what, const char *value)
{
	char text[512], line[640];

	kmn_word(language, what, value, text, sizeof(text));
	kmn_word(language, KMN_W_DO_NOT_SIGN, text, line, sizeof(line));
	kmn_fail("%s", line);
	return KMN_E_SIGNATURE;
}

/* Every contradiction ends here, so that nobody signs over one. */
static kmn_err
contradiction(const struct kmn_examined *x, enum kmn_word what)
{
	return kmn_contradiction(x->language, what, NULL);
}

/* The intent as the ledger has it: the raw line, whose leaf hash everything else refers to. */
static kmn_err
examine_intent(const json_t *answer, uint64_t id, struct kmn_examined *x)
{
	struct kmn_why why = {{0}};
	const char *line;
	kmn_err e;

	if (!kmn_json_get_text(json_object_get(answer, "intent"), "line", &line))
		return contradiction(x, KMN_W_LIE_NO_INTENT);
	if ((e = kmn_record_parse(line, strlen(line), &x->intent, &why)) != KMN_OK ||
	    (e = kmn_record_check(x->intent.kind, x->intent.body, &why)) != KMN_OK) {
		(void)kmn_contradiction(x->language, KMN_W_LIE_INTENT_BAD, why.text);
		return e;
	}
	if (x->intent.kind != KMN_R_INTENT || x->intent.i != id)
		return contradiction(x, KMN_W_LIE_INTENT_OTHER);
	return KMN_OK;
}

/* The text of a signed policy. */
static kmn_err
parse_policy(const char *note, struct kmn_examined *x)
{
	struct kmn_policy_error error = {0};
	char where[sizeof(error.text) + 16];
	const char *end = strstr(note, "\n\n\xe2\x80\x94 ");
	kmn_err e;

	if (end == NULL)
		return contradiction(x, KMN_W_LIE_NO_POLICY);
	if ((e = kmn_policy_parse(note, (size_t)(end + 1 - note), &x->policy, &error)) != KMN_OK) {
		(void)snprintf(where, sizeof(where), "%u: %s", error.line, error.text);
		(void)kmn_contradiction(x->language, KMN_W_LIE_POLICY_BAD, where);
	}
	return e;
}

/*
 * The versions before this one, from the first: is each signed by its own quorum and by that of the one before? The one
 * seen before must be among them. False: they were not sent, or cannot be judged here (a recovery's).
 */
static bool
follows_chain(const json_t *chain, const char *note, const struct kmn_seen *seen, bool *seen_differs)
{
	struct kmn_policy *before = NULL, *next;
	struct kmn_policy_error error;
	bool good = json_array_size(chain) > 0;

	*seen_differs = false;
	for (size_t i = 0; good && i <= json_array_size(chain); i++) {
		const char *at = i < json_array_size(chain) ? json_string_value(json_array_get(chain, i)) : note;

		good = at != NULL && kmn_policy_accept(at, strlen(at), before, &next, &error) == KMN_OK;
		if (!good)
			break;
		kmn_policy_free(before);
		before = next;
		if (kmn_policy_version(before) == seen->policy_version &&
		    memcmp(kmn_policy_sha256(before), seen->policy_sha256, KMN_HASH_BYTES) != 0)
			*seen_differs = true;
	}
	kmn_policy_free(before);
	return good;
}

/* A later version needs those before it: else what was seen last is what is held to. */
static kmn_err
examine_chain(const json_t *answer, const char *note, const struct kmn_seen *seen, struct kmn_examined *x)
{
	uint64_t version = kmn_policy_version(x->policy);
	bool differs = false, follows = follows_chain(json_object_get(answer, "policies"), note, seen, &differs);

	if (differs)
		return contradiction(x, KMN_W_LIE_POLICY_BEFORE);
	if (!follows)
		remark_open(x, KMN_W_POLICY_NEW, version);
	else
		remark_verified(x, KMN_W_POLICY_CHAIN, version);
	if (follows && seen->policy_version == 0)
		remark_open(x, KMN_W_POLICY_COMPARE, 1);
	return KMN_OK;
}

static kmn_err
examine_policy(const json_t *answer, const char *origin, const struct kmn_seen *seen, struct kmn_examined *x)
{
	struct kmn_policy_error error = {0};
	struct kmn_policy *accepted;
	const char *note;
	uint64_t version;
	kmn_err e;

	if (!kmn_json_get_text(answer, "policy", &note))
		return contradiction(x, KMN_W_LIE_NO_POLICY);
	if ((e = parse_policy(note, x)) != KMN_OK)
		return e;
	version = kmn_policy_version(x->policy);
	if (strcmp(kmn_policy_origin(x->policy), origin) != 0)
		return contradiction(x, KMN_W_LIE_POLICY_ORIGIN);
	if (version < seen->policy_version)
		return contradiction(x, KMN_W_LIE_POLICY_OLDER);
	if (version == seen->policy_version) {
		if (memcmp(kmn_policy_sha256(x->policy), seen->policy_sha256, KMN_HASH_BYTES) != 0)
			return contradiction(x, KMN_W_LIE_POLICY_DIFFERS);
		remark_verified(x, KMN_W_POLICY_SEEN, version);
		return KMN_OK;
	}
	if (version != 1)
		return examine_chain(answer, note, seen, x);
	if (kmn_policy_accept(note, strlen(note), NULL, &accepted, &error) != KMN_OK)
		return contradiction(x, KMN_W_LIE_POLICY_UNSIGNED);
	kmn_policy_free(accepted);
	remark_verified(x, KMN_W_POLICY_FIRST, 1);
	remark_open(x, KMN_W_POLICY_COMPARE, 1);
	return KMN_OK;
}

/* What the CA side attached while the call waited: it is of this request, and its place is in the statement. */
static kmn_err
examine_attachment(const json_t *answer, struct kmn_examined *x)
{
	const json_t *from = json_object_get(answer, "attachment");
	struct kmn_ref ref = {.i = 0}, of;
	struct kmn_record record;
	struct kmn_why why;
	const char *line;
	kmn_err e;

	if (from == NULL) {
		x->body = json_incref((json_t *)(uintptr_t)x->intent.body);
		return KMN_OK;
	}
	if (!kmn_json_get_text(from, "line", &line) || kmn_record_parse(line, strlen(line), &record, &why) != KMN_OK)
		return contradiction(x, KMN_W_LIE_ATTACHED_BAD);
	if (record.kind != KMN_R_ATTACHMENT || !kmn_ref_get(record.body, "request", &of) || of.i != x->intent.i ||
	    memcmp(of.leaf, x->intent.leaf, KMN_HASH_BYTES) != 0) {
		e = contradiction(x, KMN_W_LIE_ATTACHED_OTHER);
	} else {
		ref.i = record.i;
		memcpy(ref.leaf, record.leaf, sizeof(ref.leaf));
		if ((e = kmn_intent_attach(x->intent.body, record.body, &ref, &x->body)) == KMN_OK)
			remark_open(x, KMN_W_ATTACHED, record.i);
	}
	kmn_record_clear(&record);
	return e;
}

struct blob_words {
	const char *name;
	enum kmn_word no_form, differs;
};

/* Bytes that came with the answer, against the hash that the record names. */
static kmn_err
examine_bytes(const json_t *answer, const struct blob_words *as, const json_t *named, const struct kmn_examined *x,
    const uint8_t **out, size_t *len_out)
{
	uint8_t said[KMN_HASH_BYTES], hash[KMN_HASH_BYTES], *bytes;
	const char *b64 = json_string_value(json_object_get(answer, as->name));
	size_t room = b64 == NULL ? 0 : strlen(b64) / 4 * 3 + 3;

	if (b64 == NULL)
		return KMN_OK;
	if ((bytes = malloc(room)) == NULL)
		return KMN_E_NO_MEMORY;
	*out = bytes; /* the caller's from here on */
	if (kmn_b64_parse(b64, strlen(b64), bytes, room, len_out) != KMN_OK)
		return contradiction(x, as->no_form);
	kmn_sha256(bytes, *len_out, hash);
	if (kmn_json_get_b64(named, "sha256", said, sizeof(said)) && memcmp(hash, said, sizeof(hash)) == 0)
		return KMN_OK;
	return contradiction(x, as->differs);
}

/* What will be signed, against the hash in the record that names it. */
static kmn_err
examine_data(const json_t *answer, struct kmn_examined *x)
{
	const json_t *in = json_object_get(x->body, "in");
	static const struct blob_words data = {"blob", KMN_W_LIE_DATA_FORM, KMN_W_LIE_DATA_DIFFERS},
				       econtent = {"econtent", KMN_W_LIE_ECONTENT_FORM, KMN_W_LIE_ECONTENT_DIFFERS};
	struct kmn_material *m = &x->material;
	kmn_err e;

	if ((e = examine_bytes(answer, &data, in, x, &m->data, &m->len)) != KMN_OK ||
	    (e = examine_bytes(
		 answer, &econtent, json_object_get(x->body, "econtent"), x, &m->econtent, &m->econtent_len)) != KMN_OK)
		return e;
	if (m->data != NULL)
		remark_verified(x, KMN_W_DATA, m->len);
	else if (in != NULL)
		remark_open(x, KMN_W_DATA_MISSING, 0);
	if (m->econtent != NULL)
		remark_verified(x, KMN_W_ECONTENT, m->econtent_len);
	return KMN_OK;
}

/* "head <size> <b64 root>" of the statement. */
static kmn_err
read_head(const char *statement, struct kmn_examined *x)
{
	size_t len, root_len = 0;
	const char *value = kmn_statement_value(statement, "head", &len), *space;
	char *end;

	if (value == NULL || (space = memchr(value, ' ', len)) == NULL)
		return contradiction(x, KMN_W_LIE_NO_HEAD);
	x->head.size = strtoull(value, &end, 10);
	if (end != space ||
	    kmn_b64_parse(space + 1, len - (size_t)(space + 1 - value), x->head.root, KMN_HASH_BYTES, &root_len) !=
		KMN_OK ||
	    root_len != KMN_HASH_BYTES)
		return contradiction(x, KMN_W_LIE_HEAD_BAD);
	return KMN_OK;
}

static kmn_err
read_path(const json_t *proof, struct kmn_path *path_out)
{
	const json_t *at;
	size_t i, len;

	path_out->count = 0;
	if (json_array_size(proof) > KMN_PATH_MAX_HASHES)
		return KMN_E_TOO_BIG;
	json_array_foreach(proof, i, at)
	{
		const char *b64 = json_string_value(at);

		if (b64 == NULL || kmn_b64_parse(b64, strlen(b64), path_out->hash[i], KMN_HASH_BYTES, &len) != KMN_OK ||
		    len != KMN_HASH_BYTES)
			return KMN_E_MALFORMED;
	}
	path_out->count = i;
	return KMN_OK;
}

/* The head that will be signed holds this request, and is no step back. */
static kmn_err
examine_head(const json_t *answer, const struct kmn_seen *seen, struct kmn_examined *x)
{
	const json_t *proof = json_object_get(answer, "proof");
	struct kmn_path path;
	kmn_err e;

	if ((e = read_head(x->statement, x)) != KMN_OK)
		return e;
	if (!json_is_array(proof))
		remark_open(x, KMN_W_PROOF_MISSING, 0);
	else if (read_path(proof, &path) != KMN_OK ||
		 kmn_inclusion_verify(x->intent.leaf, x->intent.i, &x->head, &path) != KMN_OK)
		return contradiction(x, KMN_W_LIE_HEAD_WITHOUT);
	else
		remark_verified(x, KMN_W_PROOF, x->head.size);
	if (seen->head.size == 0)
		remark_open(x, KMN_W_HEAD_FIRST, 0);
	else if (x->head.size == seen->head.size && memcmp(x->head.root, seen->head.root, KMN_HASH_BYTES) != 0)
		return contradiction(x, KMN_W_LIE_HEAD_DIFFERS);
	else if (x->head.size == seen->head.size)
		remark_verified(x, KMN_W_HEAD_SAME, 0);
	else
		remark_open(x, KMN_W_HEAD_GREW, seen->head.size);
	return KMN_OK;
}

/* The ledger as it is now: never shorter than a head seen before or the one in the statement. */
static kmn_err
examine_now(const json_t *answer, const struct kmn_seen *seen, const struct kmn_examined *x)
{
	struct kmn_head now;

	if (!kmn_head_get(answer, "head", &now))
		return KMN_OK;
	if (now.size < seen->head.size)
		return contradiction(x, KMN_W_LIE_LEDGER_SHORTER);
	if (now.size < x->head.size)
		return contradiction(x, KMN_W_LIE_HEAD_AHEAD);
	return KMN_OK;
}

/* The statement made again here, from record, policy and head, byte for byte. */
static kmn_err
examine_statement(struct kmn_examined *x)
{
	struct kmn_record whole = x->intent;
	struct kmn_verdict verdict;
	char *made = NULL;
	kmn_err e;

	whole.body = x->body;
	if ((e = kmn_policy_judge_intent(x->policy, x->body, &x->material, (int64_t)x->intent.t, &verdict)) != KMN_OK ||
	    (e = kmn_statement_make(&whole, x->policy, &verdict, &x->head, &x->material, &made)) != KMN_OK) {
		(void)kmn_contradiction(x->language, KMN_W_LIE_STATEMENT_FAILS, kmn_err_text(e));
		return e;
	}
	if (verdict.answer != KMN_ANSWER_HELD)
		e = contradiction(x, KMN_W_LIE_NOT_HELD);
	else if (strcmp(made, x->statement) != 0)
		e = contradiction(x, KMN_W_LIE_STATEMENT_DIFFERS);
	else
		remark_verified(x, KMN_W_STATEMENT, 0);
	if (e == KMN_OK && strstr(x->statement, "\nactivation-key ") != NULL)
		remark_open(x, KMN_W_ACTIVATION, 0);
	free(made);
	return e;
}

kmn_err
kmn_examine(const json_t *answer, uint64_t id, const char *origin, const struct kmn_seen *seen,
    enum kmn_language language, struct kmn_examined *out)
{
	kmn_err e;

	memset(out, 0, sizeof(*out));
	out->language = language;
	if (!kmn_json_get_text(answer, "statement", &out->statement))
		return contradiction(out, KMN_W_LIE_NO_STATEMENT);
	if ((e = examine_intent(answer, id, out)) != KMN_OK ||
	    (e = examine_policy(answer, origin, seen, out)) != KMN_OK ||
	    (e = examine_attachment(answer, out)) != KMN_OK || (e = examine_data(answer, out)) != KMN_OK ||
	    (e = examine_head(answer, seen, out)) != KMN_OK || (e = examine_now(answer, seen, out)) != KMN_OK)
		return e;
	return examine_statement(out);
}

void
kmn_examined_clear(struct kmn_examined *x)
{
	kmn_policy_free(x->policy);
	kmn_record_clear(&x->intent);
	json_decref(x->body);
	free((void *)(uintptr_t)x->material.data);
	free((void *)(uintptr_t)x->material.econtent);
	memset(x, 0, sizeof(*x));
}

static json_t *
load_memory(const char *path)
{
	json_error_t error;
	json_t *memory = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	if (memory == NULL && json_error_code(&error) == json_error_cannot_open_file)
		return json_object();
	return memory;
}

kmn_err
kmn_seen_load(const char *as, const char *origin, struct kmn_seen *out)
{
	char path[KMN_PATH_MAX_BYTES];
	json_t *memory, *of_origin;
	kmn_err e;

	memset(out, 0, sizeof(*out));
	if ((e = kmn_path(path, NULL, as, ".seen")) != KMN_OK)
		return e;
	memory = load_memory(path);
	of_origin = json_object_get(memory, origin);
	if (memory == NULL ||
	    (of_origin != NULL &&
		(!kmn_head_get(of_origin, "head", &out->head) ||
		    !kmn_json_get_number(of_origin, "policy", &out->policy_version) ||
		    !kmn_json_get_b64(of_origin, "policy_sha256", out->policy_sha256, KMN_HASH_BYTES)))) {
		kmn_fail("%s cannot be read: what was seen before is not known", path);
		e = KMN_E_CORRUPT;
	}
	json_decref(memory);
	return e;
}

kmn_err
kmn_seen_store(const char *as, const char *origin, const struct kmn_seen *seen)
{
	char path[KMN_PATH_MAX_BYTES], *text;
	json_t *memory;
	kmn_err e;

	if ((e = kmn_path(path, NULL, as, ".seen")) != KMN_OK)
		return e;
	if ((memory = load_memory(path)) == NULL)
		return KMN_E_CORRUPT;
	json_object_set_new(memory, origin,
	    json_pack("{s:o, s:I, s:o}", "head", kmn_head_json(&seen->head), "policy", (json_int_t)seen->policy_version,
		"policy_sha256", kmn_json_b64(seen->policy_sha256, KMN_HASH_BYTES)));
	text = json_dumps(memory, JSON_INDENT(2) | JSON_SORT_KEYS);
	e = text != NULL ? kmn_file_replace(path, text, strlen(text), 0600) : KMN_E_NO_MEMORY;
	free(text);
	json_decref(memory);
	return e;
}
