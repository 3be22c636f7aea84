/*
 * Records that say again what records before them said. Nearly every record
 * of a busy ledger is like one that was judged already in all that the
 * judgement looks at, and differs in a number, a nonce or a digest. Such a
 * record is known by its form: the bytes of its body without the members that
 * no judgement reads. What was found of one holds for all of the same form,
 * under the same policy, and no tree of values is made of them.
 *
 * The verifier's records alone come without such a tree (record->body NULL,
 * record->scan set). A member that is not in varies[] is part of the form,
 * whatever its name: who makes a judgement read one that is there takes it out.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "kanmon/scan.h"
#include "server/quorum/quorum.h"

#define FORMS_MAX 64 /* remembered; with more in turn, the oldest makes room */
#define FORM_MAX_BYTES 2048

struct form {
	const struct kmn_policy *policy; /* in force at the record; NULL: no form */
	enum kmn_record_kind kind;
	char bytes[FORM_MAX_BYTES];
	size_t len;
};

struct quorum_plain {
	struct form now; /* of the record being applied; its policy is NULL where it has none that may be remembered */
	struct known {
		struct form form;
		struct quorum_judged judged;
	} * known[FORMS_MAX];
	size_t next, last; /* whose turn it is to make room; which fitted last */
};

/* What no judgement reads of these types, or what is read of each record by itself; in order. */
static const struct {
	enum kmn_record_kind kind;
	const char *members;
} varies[] = {
    {KMN_R_INTENT, "chan expires in nonce_req norm req_sha256 seq sess"},
    {KMN_R_DECISION, "not_after request rule use"},
    {KMN_R_OP, "chan dur_us hsm in norm out reason req_sha256 resp_sha256 rv_name selfcheck seq sess"},
};

/* All that a result may have and still be read without a tree; in order. */
static const char result_members[] =
    "chan decision dur_us hsm out req_sha256 request resp_sha256 rv rv_name selfcheck seq sess";

/*
 * Whether the member is among the names, which are in the order that members of a line have; *at is where to go on for
 * the next member.
 */
static bool
is_among(const char **at, const struct kmn_member *member)
{
	int order = -1;

	while (**at != '\0' && order < 0) {
		size_t len = strcspn(*at, " "), common = len < member->name_len ? len : member->name_len;

		order = memcmp(*at, member->name, common);
		if (order == 0)
			order = (len > member->name_len) - (len < member->name_len);
		if (order <= 0)
			*at += len + ((*at)[len] == ' ');
	}
	return order == 0;
}

static bool
put(struct form *form, const char *bytes, size_t len)
{
	if (len > sizeof(form->bytes) - form->len)
		return false;
	memcpy(form->bytes + form->len, bytes, len);
	form->len += len;
	return true;
}

/* `{"digest":"...` and the rest: of the digest only its length counts. False: of another shape. */
static bool
split_norm(const struct kmn_member *norm, const char **digest, size_t *digest_len)
{
	static const char start[] = "{\"digest\":\"";
	const char *end;

	if (norm->len < sizeof(start) || memcmp(norm->value, start, sizeof(start) - 1) != 0)
		return false;
	*digest = norm->value + sizeof(start) - 1;
	end = memchr(*digest, '"', norm->len - (sizeof(start) - 1));
	*digest_len = end == NULL ? 0 : (size_t)(end - *digest);
	return end != NULL;
}

/* A mark that it is there, and what of it counts. */
static bool
put_in_part(struct form *form, const struct kmn_member *member)
{
	const char *digest;
	size_t len;

	if (member->name_len == 4 && memcmp(member->name, "norm", 4) == 0) {
		if (!split_norm(member, &digest, &len))
			return false;
		return put(form, "norm", 4) && put(form, (const char *)&len, sizeof(len)) &&
		       put(form, digest + len, member->len - (size_t)(digest + len - member->value));
	}
	return put(form, member->name, member->name_len) && put(form, " ", 1);
}

static bool
is_instruction(const struct kmn_member *member)
{
	return member->name_len == 11 && memcmp(member->name, "application", 11) == 0;
}

static bool
make_form(struct form *form, const struct kmn_record *record)
{
	const struct kmn_scan *scan = record->scan;
	const char *names = NULL;
	bool fits = scan->count <= KMN_BODY_MEMBERS_MAX;

	for (size_t n = 0; n < KMN_COUNT_OF(varies); n++)
		if (varies[n].kind == record->kind)
			names = varies[n].members;
	form->len = 0;
	form->kind = record->kind;
	for (unsigned n = 0; n < scan->count && fits && names != NULL; n++) {
		const struct kmn_member *member = &scan->member[n];

		if (is_instruction(member)) /* each is of one call, and looked at by itself */
			return false;
		if (is_among(&names, member))
			fits = put_in_part(form, member);
		else
			fits = put(form, member->name, (size_t)(member->value - member->name) + member->len);
	}
	return fits && names != NULL;
}

static const struct known *
find(struct quorum_plain *plain)
{
	for (size_t k = 0; k < FORMS_MAX; k++) {
		size_t n = (plain->last + k) % FORMS_MAX;
		const struct known *known = plain->known[n];

		if (known == NULL || known->form.policy != plain->now.policy || known->form.kind != plain->now.kind ||
		    known->form.len != plain->now.len ||
		    memcmp(known->form.bytes, plain->now.bytes, plain->now.len) != 0)
			continue;
		plain->last = n;
		return known;
	}
	return NULL;
}

/* Judged by its time too: the same within the policy's. */
static bool
is_in_time(const struct kmn_policy *policy, uint64_t t)
{
	return (int64_t)t >= kmn_policy_not_before(policy) && (int64_t)t < kmn_policy_expires(policy);
}

/* The digests of the data and of the normal form are its own; data that is kept is looked at. */
static bool
take_signed(const struct kmn_quorum *q, const struct kmn_record *record, struct quorum_judged *judged)
{
	const struct kmn_member *norm = kmn_scan_member(record->scan, "norm");
	struct kmn_member sha256;
	uint8_t hash[KMN_HASH_BYTES], *data = NULL;
	const char *digest;
	size_t len, got;
	kmn_err e = KMN_E_NOT_FOUND;

	if (norm != NULL && (!split_norm(norm, &digest, &len) ||
				kmn_b64_parse(digest, len, judged->signing.norm.digest,
				    sizeof(judged->signing.norm.digest), &got) != KMN_OK ||
				got != judged->signing.norm.digest_len))
		return false;
	if (!kmn_member_get(kmn_scan_member(record->scan, "in"), "sha256", &sha256) || !kmn_member_hash(&sha256, hash))
		return false;
	if (q->settings.blob != NULL)
		e = q->settings.blob(q->settings.cookie, hash, &data, &len);
	free(data);
	return e == KMN_E_NOT_FOUND;
}

static bool
take_intent(const struct kmn_quorum *q, const struct kmn_record *record, struct quorum_judged *judged)
{
	return kmn_scan_number(record->scan, "expires", &judged->expires) && take_signed(q, record, judged);
}

/* Most have nothing that was signed. */
static bool
take_op(const struct kmn_quorum *q, const struct kmn_record *record, struct quorum_judged *judged)
{
	return !judged->signing.asked || take_signed(q, record, judged);
}

static bool
is_plain_result(const struct kmn_scan *scan)
{
	bool plain = scan->count <= KMN_BODY_MEMBERS_MAX;
	const char *at = result_members;

	for (unsigned n = 0; plain && n < scan->count; n++)
		plain = is_among(&at, &scan->member[n]);
	return plain;
}

bool
quorum_is_plain(struct kmn_quorum *q, const struct kmn_record *record, struct quorum_judged *judged_out)
{
	const struct kmn_policy *policy = kmn_quorum_policy(q);
	const struct known *known;

	memset(judged_out, 0, sizeof(*judged_out));
	if (record->kind == KMN_R_SESSION || record->kind == KMN_R_CHANNEL_COUNTS)
		return true;
	if (record->kind == KMN_R_RESULT)
		return is_plain_result(record->scan);
	if (q->plain == NULL && (q->plain = calloc(1, sizeof(*q->plain))) == NULL)
		return false;
	q->plain->now.policy = NULL;
	if (policy == NULL || q->stance.any || !is_in_time(policy, record->t) || !make_form(&q->plain->now, record))
		return false;
	q->plain->now.policy = policy;
	if ((known = find(q->plain)) == NULL)
		return false;
	*judged_out = known->judged;
	if (record->kind == KMN_R_INTENT)
		return take_intent(q, record, judged_out);
	return record->kind != KMN_R_OP || take_op(q, record, judged_out);
}

void
quorum_plain_keep(struct kmn_quorum *q, const struct kmn_record *record, const struct quorum_judged *judged)
{
	struct quorum_plain *plain = q->plain;
	struct known **slot;

	if (plain == NULL || record->scan == NULL || plain->now.policy != kmn_quorum_policy(q) || find(plain) != NULL)
		return;
	slot = &plain->known[plain->next];
	if (*slot == NULL && (*slot = malloc(sizeof(**slot))) == NULL)
		return;
	(*slot)->form = plain->now;
	memset(&(*slot)->judged, 0, sizeof((*slot)->judged));
	if (judged != NULL)
		(*slot)->judged = *judged;
	plain->next = (plain->next + 1) % FORMS_MAX;
}

void
quorum_plain_free(struct quorum_plain *plain)
{
	for (size_t n = 0; plain != NULL && n < FORMS_MAX; n++)
		free(plain->known[n]);
	free(plain);
}

/* ---- members of a record with or without a tree ------------------------------------------------------------------ */

bool
quorum_get_ref(const struct kmn_record *record, const char *name, struct kmn_ref *out)
{
	return record->body != NULL ? kmn_ref_get(record->body, name, out) : kmn_scan_ref(record->scan, name, out);
}

bool
quorum_get_number(const struct kmn_record *record, const char *name, uint64_t *out)
{
	return record->body != NULL ? kmn_json_get_number(record->body, name, out)
				    : kmn_scan_number(record->scan, name, out);
}

bool
quorum_says(const struct kmn_record *record, const char *name, const char *text)
{
	const char *said;

	if (record->body == NULL)
		return kmn_scan_is(record->scan, name, text);
	return kmn_json_get_text(record->body, name, &said) && strcmp(said, text) == 0;
}

const char *
quorum_get_out(const struct kmn_record *record, size_t *len_out)
{
	struct kmn_member b64;
	const char *text;

	*len_out = 0;
	if (record->body != NULL) {
		if (!kmn_json_get_text(json_object_get(record->body, "out"), "b64", &text))
			return NULL;
		*len_out = strlen(text);
		return text;
	}
	if (!kmn_member_get(kmn_scan_member(record->scan, "out"), "b64", &b64) || b64.type != 's')
		return NULL;
	*len_out = b64.len - 2;
	return b64.value + 1;
}
