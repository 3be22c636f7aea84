#include "config.h"

#include "server/quorum/bounds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum value { TEXT, TRUTH, COUNT, TIME };

struct bound_form {
	const char *start; /* name and sign */
	enum value value;
	unsigned kinds; /* bits of enum kmn_content_kind: contents that have this */
	bool (*holds)(const struct bound *bound, const struct kmn_content_facts *facts, int64_t now);
};

#define PATHLEN_MAX 1000u
#define TIME_MAX_S (36500u * UINT64_C(86400))

static bool
issuer_is(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	(void)now;
	return strcmp(b->text, f->issuer) == 0;
}

static bool
subject_is(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	(void)now;
	return strcmp(b->text, f->subject) == 0;
}

static bool
validity_is_short(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	(void)now;
	return f->not_after >= f->not_before && f->not_after - f->not_before <= b->number * 1000;
}

static bool
ca_is(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	(void)now;
	return f->ca == (b->number != 0);
}

static bool
path_is_short(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	(void)now;
	return f->pathlen >= 0 && f->pathlen <= b->number;
}

static bool
update_is_near(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	return f->next_update >= 0 && f->next_update - now <= b->number * 1000;
}

static bool
responder_is(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	(void)now;
	return strcmp(b->text, f->responder) == 0;
}

static bool
tst_policy_is(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	(void)now;
	return strcmp(b->text, f->tst_policy) == 0;
}

/* A time stamp says what time it is: it may be that much off. */
static bool
clock_is_right(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	int64_t off = f->gen_time > now ? f->gen_time - now : now - f->gen_time;

	return f->gen_time >= 0 && off <= b->number * 1000;
}

static bool
content_type_is(const struct bound *b, const struct kmn_content_facts *f, int64_t now)
{
	(void)now;
	return strcmp(b->text, f->content_type) == 0;
}

#define OF(kind) (1u << KMN_CONTENT_##kind)
#define X509_KINDS (OF(TBS_CERTIFICATE) | OF(TBS_CRL) | OF(CSR))

static const struct bound_form forms[] = {
    {"issuer=", TEXT, X509_KINDS, issuer_is},
    {"subject=", TEXT, X509_KINDS, subject_is},
    {"validity<=", TIME, OF(TBS_CERTIFICATE), validity_is_short},
    {"ca=", TRUTH, OF(TBS_CERTIFICATE), ca_is},
    {"pathlen<=", COUNT, OF(TBS_CERTIFICATE), path_is_short},
    {"next-update<=", TIME, OF(TBS_CRL) | OF(OCSP_RESPONSE), update_is_near},
    {"responder=", TEXT, OF(OCSP_RESPONSE), responder_is},
    {"policy=", TEXT, OF(TST_INFO), tst_policy_is},
    {"clock<=", TIME, OF(TST_INFO), clock_is_right},
    {"content-type=", TEXT, OF(CMS_SIGNED_ATTRIBUTES), content_type_is},
};

static bool
read_count(const char *s, size_t len, uint64_t *out)
{
	*out = 0;
	if (len == 0 || len > 10 || (s[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(s[i] - '0');
	}
	return true;
}

/* "8d" in seconds; no shorter than one, no longer than a hundred years. */
static bool
read_time(const char *s, uint64_t *out)
{
	static const struct {
		char letter;
		uint64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	size_t len = strlen(s);

	for (size_t i = 0; i < KMN_COUNT_OF(units); i++) {
		if (len == 0 || s[len - 1] != units[i].letter || !read_count(s, len - 1, out))
			continue;
		*out *= units[i].seconds;
		return *out > 0 && *out <= TIME_MAX_S;
	}
	return false;
}

static const char *
read_value(const struct bound_form *form, const char *s, uint64_t *out)
{
	*out = 0;
	switch (form->value) {
	case TEXT:
		return NULL;
	case TRUTH:
		*out = strcmp(s, "true") == 0;
		return *out || strcmp(s, "false") == 0 ? NULL : "is neither true nor false";
	case COUNT:
		return read_count(s, strlen(s), out) && *out <= PATHLEN_MAX ? NULL : "is no number from 0 to 1000";
	case TIME:
		return read_time(s, out) ? NULL : "is not a duration (30s, 15m, 4h, 90d; at most 36500d)";
	}
	return "is nothing";
}

static void
list_forms(enum kmn_content_kind kind, char *why, size_t why_size)
{
	for (size_t i = 0; i < KMN_COUNT_OF(forms); i++) {
		size_t n = strlen(why);

		if ((forms[i].kinds & 1u << kind) != 0)
			snprintf(why + n, why_size - n, " %s", forms[i].start);
	}
}

bool
bound_parse(const char *word, enum kmn_content_kind kind, struct bound *out, char *why, size_t why_size)
{
	const char *wrong;
	uint64_t number;

	*out = (struct bound){0};
	for (size_t i = 0; i < KMN_COUNT_OF(forms); i++) {
		size_t n = strlen(forms[i].start);

		if (strncmp(forms[i].start, word, n) != 0)
			continue;
		if ((forms[i].kinds & 1u << kind) == 0) {
			snprintf(
			    why, why_size, "`%s` is no bound of a %s:", forms[i].start, kmn_content_kind_name(kind));
			list_forms(kind, why, why_size);
			return false;
		}
		if ((wrong = read_value(&forms[i], word + n, &number)) != NULL) {
			snprintf(why, why_size, "`%s`: '%.40s' %s", forms[i].start, word + n, wrong);
			return false;
		}
		*out = (struct bound){&forms[i], (char *)(uintptr_t)(word + n), (int64_t)number};
		return true;
	}
	snprintf(why, why_size, "'%.60s' is no bound of a %s:", word, kmn_content_kind_name(kind));
	list_forms(kind, why, why_size);
	return false;
}

bool
bound_holds(const struct bound *bound, const struct kmn_content_facts *facts, int64_t now)
{
	return bound->form->holds(bound, facts, now);
}

void
bound_put(struct text *t, const struct bound *bound)
{
	text_put(t, bound->form->start);
	text_put(t, bound->text);
}
