#include "config.h"

#include "kanmon/rescue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/quorum/policy.h"
#include "server/quorum/text.h"

static const char first_line[] = "kanmon/recovery/v1\n";

static void
put_head(struct text *t, const char *key, const struct kmn_head *head)
{
	text_printf(t, "%s %llu ", key, (unsigned long long)head->size);
	text_b64(t, head->root, KMN_HASH_BYTES);
}

kmn_err
kmn_rescue_propose(const struct kmn_policy *policy, const struct kmn_rescue *rescue, char **text_out)
{
	struct text t;

	text_init(&t, KMN_RESCUE_MAX_BYTES);
	text_put(&t, first_line);
	text_printf(&t, "origin %s\npolicy %llu ", policy->origin, (unsigned long long)policy->version);
	text_b64(&t, policy->sha256, KMN_HASH_BYTES);
	text_put(&t, "\n");
	put_head(&t, "ledger", &rescue->ledger);
	text_put(&t, "\n");
	for (unsigned i = 0; i < rescue->guards; i++) {
		put_head(&t, "guard", &rescue->guard[i].head);
		text_put(&t, " ");
		text_escaped(&t, rescue->guard[i].name, strlen(rescue->guard[i].name), "");
		text_put(&t, "\n");
	}
	return text_take(&t, text_out);
}

kmn_err
kmn_rescue_complete(const char *proposal, const char *reason, const uint8_t nonce[32], char **text_out)
{
	struct kmn_rescue rescue;
	struct text t;
	kmn_err e;

	*text_out = NULL;
	if (!text_is_value(reason, strlen(reason), KMN_RESCUE_REASON_MAX_BYTES))
		return KMN_E_MALFORMED;
	text_init(&t, KMN_RESCUE_MAX_BYTES);
	text_put(&t, proposal);
	text_printf(&t, "reason %s\nnonce ", reason);
	text_b64(&t, nonce, 32);
	text_put(&t, "\n");
	if ((e = text_take(&t, text_out)) == KMN_OK &&
	    (e = kmn_rescue_read(*text_out, strlen(*text_out), &rescue, NULL)) != KMN_OK) {
		free(*text_out);
		*text_out = NULL;
	}
	return e;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Takes lines off a text. */
struct lines {
	const char *at, *end;
};

/* The value of the next line, if its key is this one. */
static bool
next_value(struct lines *lines, const char *key, const char **value_out, size_t *len_out)
{
	size_t key_len = strlen(key), left = (size_t)(lines->end - lines->at);
	const char *lf;

	if (left <= key_len || memcmp(lines->at, key, key_len) != 0 || lines->at[key_len] != ' ' ||
	    (lf = memchr(lines->at, '\n', left)) == NULL)
		return false;
	*value_out = lines->at + key_len + 1;
	*len_out = (size_t)(lf - *value_out);
	lines->at = lf + 1;
	return text_is_value(*value_out, *len_out, KMN_RESCUE_MAX_BYTES);
}

static bool
read_number(const char **at, size_t *len, uint64_t *number_out)
{
	uint64_t number = 0;
	size_t digits = 0;

	while (digits < *len && digits < 16 && (*at)[digits] >= '0' && (*at)[digits] <= '9')
		number = number * 10 + (uint64_t)((*at)[digits++] - '0');
	if (digits == 0 || ((*at)[0] == '0' && digits > 1) || digits == *len || (*at)[digits] != ' ' ||
	    number > KMN_JSON_INT_MAX)
		return false;
	*number_out = number;
	*at += digits + 1;
	*len -= digits + 1;
	return true;
}

/* SIZE ROOT, and where `name` is not NULL a blank and the rest of the line. */
static bool
read_head(const char *at, size_t len, struct kmn_head *head, char *name, size_t room)
{
	size_t root_len, b64 = KMN_B64_LEN(KMN_HASH_BYTES);

	if (!read_number(&at, &len, &head->size) || len < b64 ||
	    kmn_b64_parse(at, b64, head->root, KMN_HASH_BYTES, &root_len) != KMN_OK || root_len != KMN_HASH_BYTES)
		return false;
	if (name == NULL)
		return len == b64;
	if (len < b64 + 2 || at[b64] != ' ' || len - b64 - 1 >= room)
		return false;
	memcpy(name, at + b64 + 1, len - b64 - 1);
	name[len - b64 - 1] = '\0';
	return true;
}

kmn_err
kmn_rescue_read(const char *text, size_t len, struct kmn_rescue *rescue, struct kmn_why *why)
{
	struct lines lines = {text, text + len};
	const char *value;
	size_t n, bytes_len, first = sizeof(first_line) - 1;
	uint8_t bytes[KMN_HASH_BYTES];
	uint64_t version;
	bool good = len >= first && memcmp(text, first_line, first) == 0;

	memset(rescue, 0, sizeof(*rescue));
	lines.at += good ? first : 0;
	good = good && next_value(&lines, "origin", &value, &n) && next_value(&lines, "policy", &value, &n) &&
	       read_number(&value, &n, &version) &&
	       kmn_b64_parse(value, n, bytes, sizeof(bytes), &bytes_len) == KMN_OK && bytes_len == sizeof(bytes) &&
	       next_value(&lines, "ledger", &value, &n) && read_head(value, n, &rescue->ledger, NULL, 0);
	while (good && rescue->guards < KMN_GUARDS_MAX && next_value(&lines, "guard", &value, &n)) {
		good = read_head(value, n, &rescue->guard[rescue->guards].head, rescue->guard[rescue->guards].name,
		    sizeof(rescue->guard[0].name));
		rescue->guards++;
	}
	good = good && rescue->guards > 0 && next_value(&lines, "reason", &value, &n) &&
	       n <= KMN_RESCUE_REASON_MAX_BYTES && next_value(&lines, "nonce", &value, &n) &&
	       kmn_b64_parse(value, n, bytes, sizeof(bytes), &bytes_len) == KMN_OK && bytes_len == sizeof(bytes) &&
	       lines.at == lines.end;
	if (good)
		return KMN_OK;
	kmn_why_set(why, "not the text of an authorised recovery");
	return KMN_E_MALFORMED;
}

/* The lines before the heads say which ledger's policy this is: they must be the ones that we would write. */
static bool
is_about(const struct kmn_policy *policy, const struct kmn_note *note, const struct kmn_rescue *rescue)
{
	char *text = NULL;
	bool is = kmn_rescue_propose(policy, rescue, &text) == KMN_OK && strlen(text) < note->text_len &&
		  memcmp(text, note->text, strlen(text)) == 0;

	free(text);
	return is;
}

kmn_err
kmn_rescue_accept(
    const struct kmn_policy *policy, const char *bytes, size_t len, struct kmn_rescue *rescue, struct kmn_why *why)
{
	struct kmn_policy_error error = {0, ""};
	struct kmn_note note;
	kmn_err e;

	memset(rescue, 0, sizeof(*rescue));
	if (len > KMN_RESCUE_MAX_BYTES) {
		kmn_why_set(why, "the note is too long for a record");
		return KMN_E_TOO_BIG;
	}
	if ((e = kmn_note_parse(bytes, len, &note, why)) != KMN_OK ||
	    (e = kmn_rescue_read(note.text, note.text_len, rescue, why)) != KMN_OK)
		return e;
	if (!is_about(policy, &note, rescue)) {
		kmn_why_set(
		    why, "it is not about this ledger under policy version %llu", (unsigned long long)policy->version);
		return KMN_E_MALFORMED;
	}
	e = policy_check_signed(
	    &note, policy, policy_group(policy, "recovery", true) != NULL ? "recovery" : "policy", &error);
	if (e != KMN_OK)
		kmn_why_set(why, "%s", error.text);
	return e;
}
