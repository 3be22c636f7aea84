#include "config.h"

#include "kanmon/statement.h"

#include "kanmon/attach.h"

#include "kanmon/note.h"
#include "kanmon/record.h"
#include "server/quorum/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIRST_LINE "kanmon/approval/v1\n"
#define TIME_MAX_MS 253402300799000 /* 9999-12-31T23:59:59Z */

static const char *const decisions[] = {[KMN_APPROVE] = "approve", [KMN_REJECT] = "reject", [KMN_VETO] = "veto"};

void
kmn_time_text(int64_t ms, char out[KMN_TIME_TEXT_BYTES])
{
	time_t s = (time_t)((ms > TIME_MAX_MS ? TIME_MAX_MS : ms) / 1000);
	struct tm tm;

	if (ms < 0 || gmtime_r(&s, &tm) == NULL)
		snprintf(out, KMN_TIME_TEXT_BYTES, "none");
	else
		strftime(out, KMN_TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

kmn_err
kmn_time_parse(const char *text, size_t len, int64_t *ms_out)
{
	char again[KMN_TIME_TEXT_BYTES], copy[KMN_TIME_TEXT_BYTES];
	struct tm tm = {0};
	int used = 0;

	*ms_out = 0;
	if (len != 20)
		return KMN_E_MALFORMED;
	memcpy(copy, text, len);
	copy[len] = 0;
	if (sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
		&tm.tm_sec, &used) != 6 ||
	    used != 20)
		return KMN_E_MALFORMED;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ms_out = (int64_t)timegm(&tm) * 1000;
	kmn_time_text(*ms_out, again);
	if (strcmp(again, copy) == 0)
		return KMN_OK;
	*ms_out = 0;
	return KMN_E_MALFORMED;
}

/* "key value" where the value comes from outside; "none" if there is none. */
static void
line_text(struct text *t, const char *key, const char *value)
{
	char *escaped = kmn_content_escape(value == NULL ? "" : value, value == NULL ? 0 : strlen(value));

	if (escaped == NULL)
		t->err = KMN_E_NO_MEMORY;
	else
		text_printf(t, "%s %s\n", key, escaped);
	free(escaped);
}

static const char *
get_text(const json_t *object, const char *name)
{
	const char *value;

	return kmn_json_get_text(object, name, &value) ? value : NULL;
}

/* A JSON value in one word; text has its spaces and '=' marked, for values stand beside each other. */
static void
put_scalar(struct text *t, const json_t *value, const char *specials)
{
	if (json_is_string(value))
		text_escaped(t, json_string_value(value), json_string_length(value), specials);
	else if (json_is_integer(value))
		text_printf(t, "%lld", (long long)json_integer_value(value));
	else
		text_put(t, json_is_true(value) ? "true" : "false");
}

struct flat {
	struct text *t;
	bool lines; /* "input a.b value" lines; else "a.b=value " in one */
};

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void flatten(const struct flat *f, const char *path, const json_t *value);

static void
flatten_object(const struct flat *f, const char *path, const json_t *object)
{
	size_t n = json_object_size(object), i = 0;
	const char **names = calloc(n + 1, sizeof(*names)), *name;
	json_t *value;

	if (names == NULL) {
		f->t->err = KMN_E_NO_MEMORY;
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)object, name, value) names[i++] = name;
	qsort(names, n, sizeof(*names), compare_names);
	for (i = 0; i < n; i++) {
		char longer[256];

		snprintf(longer, sizeof(longer), "%s%s%s", path, path[0] != 0 ? "." : "", names[i]);
		flatten(f, longer, json_object_get(object, names[i]));
	}
	free(names);
}

/* A tree of JSON as names and values, sorted by name: the same text for the same value. */
static void
flatten(const struct flat *f, const char *path, const json_t *value)
{
	size_t i;
	json_t *item;

	if (json_is_object(value)) {
		flatten_object(f, path, value);
		return;
	}
	if (json_is_array(value)) {
		json_array_foreach(value, i, item)
		{
			char longer[256];

			snprintf(longer, sizeof(longer), "%s.%zu", path, i);
			flatten(f, longer, item);
		}
		return;
	}
	if (f->lines) {
		struct text v;

		text_init(&v, KMN_STATEMENT_MAX_BYTES);
		put_scalar(&v, value, "");
		if (v.err == KMN_OK && v.len > 1024)
			v.err = KMN_E_TOO_BIG;
		if (v.err != KMN_OK)
			f->t->err = v.err;
		text_printf(f->t, "input %s %s\n", path, v.len == 0 ? "none" : v.bytes);
		text_clear(&v);
		return;
	}
	text_printf(f->t, "%s%s=", f->t->len > 0 ? " " : "", path);
	put_scalar(f->t, value, " =");
}

static void
put_params(struct text *t, const json_t *mech)
{
	const json_t *params = json_object_get(mech, "params");
	struct text v;
	struct flat f = {&v, false};

	text_init(&v, KMN_STATEMENT_MAX_BYTES);
	if (params != NULL)
		flatten(&f, json_is_object(params) ? "" : "value", params);
	if (v.err != KMN_OK)
		t->err = v.err;
	if (v.len > 1024) {
		const char *sha256 = get_text(mech, "params_sha256");

		v.len = 0;
		text_printf(&v, "sha256 %s", sha256 == NULL ? "none" : sha256);
	}
	text_printf(t, "params %s\n", v.len == 0 ? "none" : v.bytes);
	text_clear(&v);
}

static void
put_key(struct text *t, const json_t *key)
{
	const char *token = get_text(key, "token"), *serial = get_text(key, "serial");
	char *label = token == NULL ? NULL : kmn_content_escape(token, strlen(token));
	char *number = serial == NULL ? NULL : kmn_content_escape(serial, strlen(serial));

	text_printf(t, "token %s%s%s\n", label == NULL ? "none" : label, number == NULL ? "" : " ",
	    number == NULL ? "" : number);
	free(label);
	free(number);
	line_text(t, "key-class", get_text(key, "class"));
	line_text(t, "key-label", get_text(key, "label"));
	line_text(t, "key-id", get_text(key, "id"));
	line_text(t, "key-spki-sha256", get_text(key, "spki_sha256"));
}

/* Only of a login: who logs in, by which PIN, and, where it is sealed, the key that shares are sealed to. */
static void
put_login(struct text *t, const json_t *login)
{
	const char *pin = get_text(login, "pin");
	uint8_t sealed[KMN_HASH_BYTES], key[KMN_HASH_BYTES];
	uint64_t least = 0, of = 0;

	if (login == NULL)
		return;
	line_text(t, "user", get_text(login, "user"));
	if (pin == NULL || strcmp(pin, "sealed") != 0) {
		line_text(t, "pin", pin);
		return;
	}
	if (!kmn_json_get_number(login, "least", &least) || !kmn_json_get_number(login, "of", &of) ||
	    !kmn_json_get_b64(login, "sealed_sha256", sealed, sizeof(sealed)) ||
	    !kmn_json_get_b64(login, "key", key, sizeof(key))) {
		t->err = KMN_E_MALFORMED;
		return;
	}
	text_printf(t, "pin sealed %llu of %llu ", (unsigned long long)least, (unsigned long long)of);
	text_b64(t, sealed, sizeof(sealed));
	text_put(t, "\nactivation-key ");
	text_b64(t, key, sizeof(key));
	text_put(t, "\n");
}

/* The data itself is known when it hashes to what is signed: only then may its content be shown as what is signed. */
static kmn_err
put_input(struct text *t, const json_t *body, const struct kmn_material *m, struct kmn_content **content_out)
{
	const json_t *in = json_object_get(body, "in"), *norm_json = json_object_get(body, "norm");
	const json_t *template = json_object_get(body, "template");
	struct flat f = {t, true};
	struct kmn_norm norm = {.scheme = ""};
	const char *kind = in != NULL ? "data" : template != NULL ? "template" : "none";
	uint64_t n = 0;
	kmn_err e = KMN_OK;

	if (norm_json != NULL && (e = kmn_norm_from_json(norm_json, &norm)) != KMN_OK)
		return e;
	if (norm_json != NULL && (m == NULL || m->data == NULL || !kmn_norm_is_of(&norm, m->data, m->len)))
		kind = "digest";
	else if (norm_json != NULL && (e = kmn_content_decode(m, content_out)) == KMN_OK)
		kind = kmn_content_input_kind(kmn_content_facts(*content_out)->kind);
	if (e == KMN_E_NO_MEMORY)
		return e;
	if (in != NULL && kmn_json_get_number(in, "len", &n))
		text_printf(t, "input-len %llu\n", (unsigned long long)n);
	else
		text_put(t, "input-len none\n");
	line_text(t, "input-sha256", get_text(in, "sha256"));
	text_printf(t, "input-kind %s\n", kind);
	if (*content_out != NULL)
		text_put(t, kmn_content_lines(*content_out));
	if (strcmp(kind, "digest") == 0) {
		text_printf(t, "input hash %s\n", norm.hash[0] == 0 ? "none" : norm.hash);
		line_text(t, "input digest", get_text(norm_json, "digest"));
	}
	if (template != NULL)
		flatten(&f, "", template);
	return KMN_OK;
}

/* What it was asked for, where the CA side said so. A key that is not the subject's has no statement: policy refuses. */
static kmn_err
put_application(struct text *t, const json_t *body, const struct kmn_content *content)
{
	uint8_t key[KMN_HASH_BYTES];
	const char *id;
	bool has_key;

	if (!kmn_application_read(json_object_get(body, "application"), &id, &has_key, key))
		return KMN_E_MALFORMED;
	if (id != NULL)
		line_text(t, "application", id);
	if (!has_key)
		return KMN_OK;
	text_put(t, "applicant-key ");
	text_b64(t, key, sizeof(key));
	text_put(t, content != NULL && kmn_content_facts(content)->has_key ? " matches\n" : " unchecked\n");
	return KMN_OK;
}

static void
put_head(struct text *t, const struct kmn_record *intent, const struct kmn_policy *policy,
    const struct kmn_verdict *verdict, const struct kmn_head *head)
{
	struct kmn_ref attachment;

	text_printf(t, FIRST_LINE "origin %s\nrequest %llu\nrequest-leaf ", kmn_policy_origin(policy),
	    (unsigned long long)intent->i);
	text_b64(t, intent->leaf, KMN_HASH_BYTES);
	if (kmn_ref_get(intent->body, "attachment", &attachment)) {
		text_printf(t, "\nattachment %llu ", (unsigned long long)attachment.i);
		text_b64(t, attachment.leaf, KMN_HASH_BYTES);
	}
	text_printf(t, "\nhead %llu ", (unsigned long long)head->size);
	text_b64(t, head->root, KMN_HASH_BYTES);
	text_printf(t, "\npolicy %llu ", (unsigned long long)kmn_policy_version(policy));
	text_b64(t, kmn_policy_sha256(policy), KMN_HASH_BYTES);
	text_printf(t, "\nrule %s\n", verdict->rule);
	for (size_t i = 0; i < verdict->needs; i++)
		text_printf(
		    t, "need %s %u of %u\n", verdict->need[i].group, verdict->need[i].least, verdict->need[i].persons);
	text_printf(t, "independent %u\n", verdict->independent);
	if (verdict->per == KMN_PER_WINDOW)
		window_put_per(t, verdict);
	text_put(t, "decision approve\n");
}

kmn_err
kmn_statement_make(const struct kmn_record *intent, const struct kmn_policy *policy, const struct kmn_verdict *verdict,
    const struct kmn_head *head, const struct kmn_material *material, char **text_out)
{
	const json_t *body = intent->body, *mech = json_object_get(body, "mech");
	const json_t *requester = json_object_get(body, "requester");
	char before[KMN_TIME_TEXT_BYTES], after[KMN_TIME_TEXT_BYTES];
	const char *mechanism = get_text(mech, "name"), *name = get_text(requester, "name");
	const struct rule *rule;
	struct kmn_content *content = NULL;
	uint64_t expires = 0;
	struct text t;
	char *escaped;
	kmn_err e;

	*text_out = NULL;
	if (name == NULL || get_text(requester, "spki_sha256") == NULL || get_text(body, "op") == NULL ||
	    get_text(body, "nonce_req") == NULL || !json_is_object(json_object_get(body, "key")) ||
	    !kmn_json_get_number(body, "expires", &expires) || verdict->needs == 0)
		return KMN_E_MALFORMED;
	text_init(&t, KMN_STATEMENT_MAX_BYTES);
	put_head(&t, intent, policy, verdict, head);
	line_text(&t, "operation", get_text(body, "op"));
	line_text(&t, "mechanism", mechanism);
	put_params(&t, mech);
	put_key(&t, json_object_get(body, "key"));
	put_login(&t, json_object_get(body, "login"));
	if ((e = put_input(&t, body, material, &content)) != KMN_OK && t.err == KMN_OK)
		t.err = e;
	escaped = kmn_content_escape(name, strlen(name));
	text_printf(&t, "requester %s %s\n", escaped == NULL ? "none" : escaped, get_text(requester, "spki_sha256"));
	free(escaped);
	line_text(&t, "purpose", get_text(body, "purpose"));
	if (verdict->per == KMN_PER_WINDOW && (rule = policy_rule(policy, verdict->rule)) != NULL)
		window_put_constraints(&t, policy, rule);
	if ((e = put_application(&t, body, content)) != KMN_OK && t.err == KMN_OK)
		t.err = e;
	kmn_content_free(content);
	kmn_time_text((int64_t)intent->t, before);
	kmn_time_text((int64_t)expires, after);
	text_printf(&t, "uses %u\nnot-before %s\nnot-after %s\n",
	    verdict->per == KMN_PER_WINDOW ? verdict->window_uses : 1, before, after);
	line_text(&t, "nonce", get_text(body, "nonce_req"));
	e = text_take(&t, text_out);
	text_clear(&t);
	return e;
}

const char *
kmn_statement_value(const char *text, const char *key, size_t *len_out)
{
	size_t key_len = strlen(key);
	const char *end;

	*len_out = 0;
	for (const char *at = text; at != NULL && *at != 0; at = end == NULL ? NULL : end + 1) {
		end = strchr(at, '\n');
		if (strncmp(at, key, key_len) != 0 || at[key_len] != ' ')
			continue;
		at += key_len + 1;
		*len_out = end == NULL ? strlen(at) : (size_t)(end - at);
		return at;
	}
	return NULL;
}

kmn_err
kmn_statement_turn(const char *statement, enum kmn_decision decision, const char *reason, char **text_out)
{
	static const char approve[] = "\ndecision approve\n";
	const char *at = strstr(statement, approve), *nonce = strstr(statement, "\nnonce ");
	struct text t;

	*text_out = NULL;
	if (strncmp(statement, FIRST_LINE, sizeof(FIRST_LINE) - 1) != 0 || at == NULL || nonce == NULL || nonce < at ||
	    (decision != KMN_APPROVE &&
		(reason == NULL || !text_is_value(reason, strlen(reason), KMN_STATEMENT_REASON_MAX_BYTES))))
		return KMN_E_MALFORMED;
	text_init(&t, KMN_STATEMENT_MAX_BYTES + KMN_STATEMENT_REASON_MAX_BYTES + 64);
	text_add(&t, statement, (size_t)(at - statement));
	text_printf(&t, "\ndecision %s\n", decisions[decision]);
	at += sizeof(approve) - 1;
	text_add(&t, at, (size_t)(nonce + 1 - at));
	if (decision != KMN_APPROVE)
		text_printf(&t, "reason %s\n", reason);
	text_put(&t, nonce + 1);
	return text_take(&t, text_out);
}

static bool
read_number(const char *text, size_t len, uint64_t *out)
{
	*out = 0;
	if (len == 0 || len > 16 || (text[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(text[i] - '0');
	}
	return *out <= KMN_JSON_INT_MAX;
}

kmn_err
kmn_statement_read(const char *text, size_t len, struct kmn_statement_said *said)
{
	char *copy = len <= KMN_NOTE_IN_RECORD_MAX_BYTES ? strndup(text, len) : NULL;
	const char *value;
	size_t n, leaf_len = 0;
	kmn_err e = KMN_E_MALFORMED;

	memset(said, 0, sizeof(*said));
	if (copy == NULL)
		return len > KMN_NOTE_IN_RECORD_MAX_BYTES ? KMN_E_TOO_BIG : KMN_E_NO_MEMORY;
	if (strlen(copy) != len || strncmp(copy, FIRST_LINE, sizeof(FIRST_LINE) - 1) != 0)
		goto done;
	if ((value = kmn_statement_value(copy, "request", &n)) == NULL || !read_number(value, n, &said->request))
		goto done;
	if ((value = kmn_statement_value(copy, "request-leaf", &n)) == NULL ||
	    kmn_b64_parse(value, n, said->request_leaf, KMN_HASH_BYTES, &leaf_len) != KMN_OK ||
	    leaf_len != KMN_HASH_BYTES)
		goto done;
	if ((value = kmn_statement_value(copy, "decision", &n)) == NULL)
		goto done;
	for (size_t i = 0; i < KMN_COUNT_OF(decisions) && e != KMN_OK; i++) {
		said->decision = (enum kmn_decision)i;
		if (strlen(decisions[i]) == n && memcmp(decisions[i], value, n) == 0)
			e = KMN_OK;
	}
	value = kmn_statement_value(copy, "reason", &n);
	if (e == KMN_OK && said->decision == KMN_APPROVE && value != NULL)
		e = KMN_E_MALFORMED;
	if (e != KMN_OK || said->decision == KMN_APPROVE)
		goto done;
	if (value == NULL || !text_is_value(value, n, KMN_STATEMENT_REASON_MAX_BYTES))
		e = KMN_E_MALFORMED;
	else
		memcpy(said->reason, value, n);
done:
	free(copy);
	return e;
}

void
kmn_statement_code(const char *text, size_t len, char code_out[KMN_DISPLAY_CODE_BYTES])
{
	static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	uint8_t sha256[KMN_HASH_BYTES];
	size_t at = 0;

	kmn_sha256(text, len, sha256);
	for (unsigned i = 0; i < 24; i++) {
		unsigned bit = i * 5;
		unsigned two = (unsigned)sha256[bit / 8] << 8 | sha256[bit / 8 + 1];

		if (i > 0 && i % 4 == 0)
			code_out[at++] = '-';
		code_out[at++] = alphabet[two >> (11 - bit % 8) & 31];
	}
	code_out[at] = 0;
}
