#include "kanmon/scan.h"

#include <string.h>

/* Where the scan stands. Each step moves `at` behind what it took, or fails for good. */
struct scan {
	const char *at, *end;
	bool lf; /* an LF was met in a string */
};

/* Of each byte 1 + its value in the base64 alphabet, 0: no character of it. */
static const uint8_t b64_values[256] = {
#define ROW(c, n) [c] = (n) + 1
    ROW('A', 0),
    ROW('B', 1),
    ROW('C', 2),
    ROW('D', 3),
    ROW('E', 4),
    ROW('F', 5),
    ROW('G', 6),
    ROW('H', 7),
    ROW('I', 8),
    ROW('J', 9),
    ROW('K', 10),
    ROW('L', 11),
    ROW('M', 12),
    ROW('N', 13),
    ROW('O', 14),
    ROW('P', 15),
    ROW('Q', 16),
    ROW('R', 17),
    ROW('S', 18),
    ROW('T', 19),
    ROW('U', 20),
    ROW('V', 21),
    ROW('W', 22),
    ROW('X', 23),
    ROW('Y', 24),
    ROW('Z', 25),
    ROW('a', 26),
    ROW('b', 27),
    ROW('c', 28),
    ROW('d', 29),
    ROW('e', 30),
    ROW('f', 31),
    ROW('g', 32),
    ROW('h', 33),
    ROW('i', 34),
    ROW('j', 35),
    ROW('k', 36),
    ROW('l', 37),
    ROW('m', 38),
    ROW('n', 39),
    ROW('o', 40),
    ROW('p', 41),
    ROW('q', 42),
    ROW('r', 43),
    ROW('s', 44),
    ROW('t', 45),
    ROW('u', 46),
    ROW('v', 47),
    ROW('w', 48),
    ROW('x', 49),
    ROW('y', 50),
    ROW('z', 51),
    ROW('0', 52),
    ROW('1', 53),
    ROW('2', 54),
    ROW('3', 55),
    ROW('4', 56),
    ROW('5', 57),
    ROW('6', 58),
    ROW('7', 59),
    ROW('8', 60),
    ROW('9', 61),
    ROW('+', 62),
    ROW('/', 63),
#undef ROW
};

/* Base64 of exactly `bytes` bytes, strict as kmn_b64_parse(). */
static bool
b64_exact(const char *text, size_t text_len, uint8_t *out, size_t bytes)
{
	size_t padding = (3 - bytes % 3) % 3;
	uint32_t bits = 0;
	unsigned have = 0;

	if (text_len != KMN_B64_LEN(bytes))
		return false;
	for (size_t n = 0; n < text_len - padding; n++) {
		unsigned value = b64_values[(uint8_t)text[n]];

		if (value == 0)
			return false;
		bits = bits << 6 | (value - 1);
		if ((have += 6) >= 8) {
			have -= 8;
			*out++ = (uint8_t)(bits >> have);
		}
	}
	for (size_t n = text_len - padding; n < text_len; n++)
		if (text[n] != '=')
			return false;
	return (bits & ((1u << have) - 1)) == 0;
}

static bool
take(struct scan *s, const char *text, size_t len)
{
	if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0)
		return false;
	s->at += len;
	return true;
}
#define TAKE(s, text) take(s, text, sizeof(text) - 1)

/* What kmn_json_text_ok() refuses of the three-byte forms: zero-width and bidirectional marks, U+FEFF, surrogates. */
static bool
three_ok(const uint8_t *at)
{
	uint32_t point = (uint32_t)(at[0] & 0x0f) << 12 | (uint32_t)(at[1] & 0x3f) << 6 | (at[2] & 0x3f);

	return point >= 0x800 && (point < 0xd800 || point > 0xdfff) && (point < 0x200b || point > 0x200f) &&
	       (point < 0x202a || point > 0x202e) && (point < 0x2066 || point > 0x2069) && point != 0xfeff;
}

/* One character beyond ASCII; its length, 0: not well-formed or not allowed. */
static size_t
wide(const uint8_t *at, size_t left)
{
	uint32_t point;

	if (at[0] >= 0xc2 && at[0] <= 0xdf)
		return left >= 2 && (at[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((at[0] & 0xf0) == 0xe0)
		return left >= 3 && (at[1] & 0xc0) == 0x80 && (at[2] & 0xc0) == 0x80 && three_ok(at) ? 3 : 0;
	if ((at[0] & 0xf8) != 0xf0 || left < 4 || (at[1] & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80 ||
	    (at[3] & 0xc0) != 0x80)
		return 0;
	point = (uint32_t)(at[0] & 0x07) << 18 | (uint32_t)(at[1] & 0x3f) << 12;
	return point >= 0x10000 && point <= 0x10ffff ? 4 : 0;
}

/* After the opening quote; behind the closing one. */
static bool
string(struct scan *s)
{
	while (s->at < s->end) {
		uint8_t c = (uint8_t)*s->at;
		size_t step = 1;

		if (c == '"') {
			s->at++;
			return true;
		}
		if (c == '\\') {
			if (s->end - s->at < 2 || (s->at[1] != '"' && s->at[1] != '\\' && s->at[1] != 'n'))
				return false;
			s->lf = s->lf || s->at[1] == 'n';
			step = 2;
		} else if (c < 0x20 || c == 0x7f) {
			return false;
		} else if (c >= 0x80 && (step = wide((const uint8_t *)s->at, (size_t)(s->end - s->at))) == 0) {
			return false;
		}
		s->at += step;
	}
	return false;
}

static bool
number(struct scan *s, uint64_t *out)
{
	const char *from = s->at;
	uint64_t n = 0;

	while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
		if (s->at - from == 16)
			return false;
		n = n * 10 + (unsigned)(*s->at++ - '0');
	}
	*out = n;
	return s->at > from && (*from != '0' || s->at == from + 1) && n <= KMN_JSON_INT_MAX;
}

static bool value(struct scan *s, unsigned depth, char *type_out);

static bool
is_name(char c)
{
	return (b64_values[(uint8_t)c] != 0 && c != '+' && c != '/') || c == '_';
}

/* `"name":` of a member, which must sort behind the one before. */
static bool
member_name(struct scan *s, const char **name, size_t *len)
{
	const char *before = *name;
	size_t before_len = *len, common;
	int order;

	if (!TAKE(s, "\""))
		return false;
	*name = s->at;
	while (s->at < s->end && is_name(*s->at))
		s->at++;
	*len = (size_t)(s->at - *name);
	if (*len == 0 || *len > KMN_JSON_NAME_MAX_BYTES || !TAKE(s, "\":"))
		return false;
	if (before == NULL)
		return true;
	common = before_len < *len ? before_len : *len;
	order = memcmp(before, *name, common);
	return order < 0 || (order == 0 && before_len < *len);
}

/* After the opening brace. */
static bool
object(struct scan *s, unsigned depth)
{
	const char *name = NULL;
	size_t len = 0;
	char type;

	if (TAKE(s, "}"))
		return true;
	do {
		if (!member_name(s, &name, &len) || !value(s, depth, &type))
			return false;
	} while (TAKE(s, ","));
	return TAKE(s, "}");
}

static bool
list(struct scan *s, unsigned depth)
{
	char type;

	if (TAKE(s, "]"))
		return true;
	do {
		if (!value(s, depth, &type))
			return false;
	} while (TAKE(s, ","));
	return TAKE(s, "]");
}

/* `depth`: levels of objects and lists around this value. */
static bool
value(struct scan *s, unsigned depth, char *type_out)
{
	uint64_t n;

	if (s->at == s->end)
		return false;
	switch (*s->at) {
	case '"':
		*type_out = 's';
		s->at++;
		return string(s);
	case '{':
		*type_out = 'o';
		s->at++;
		return depth < KMN_JSON_DEPTH_MAX && object(s, depth + 1);
	case '[':
		*type_out = 'a';
		s->at++;
		return depth < KMN_JSON_DEPTH_MAX && list(s, depth + 1);
	case 't':
		*type_out = 'b';
		return TAKE(s, "true");
	case 'f':
		*type_out = 'b';
		return TAKE(s, "false");
	default:
		*type_out = 'n';
		return number(s, &n);
	}
}

/* The body, with its members noted; it is the second level of the line. */
static bool
body(struct scan *s, struct kmn_scan *out)
{
	const char *name = NULL;
	size_t len = 0;

	out->body = s->at;
	if (!TAKE(s, "{"))
		return false;
	if (!TAKE(s, "}")) {
		do {
			struct kmn_member member = {0};

			s->lf = false;
			if (!member_name(s, &name, &len))
				return false;
			member.name = name;
			member.name_len = (uint8_t)len;
			member.value = s->at;
			if (!value(s, 2, &member.type))
				return false;
			member.len = (uint32_t)(s->at - member.value);
			member.lf = s->lf;
			if (out->count < KMN_BODY_MEMBERS_MAX)
				out->member[out->count] = member;
			out->count += out->count <= KMN_BODY_MEMBERS_MAX;
		} while (TAKE(s, ","));
		if (!TAKE(s, "}"))
			return false;
	}
	out->body_len = (size_t)(s->at - out->body);
	return true;
}

static bool
quoted_b64(struct scan *s, uint8_t *out, size_t bytes)
{
	size_t len = KMN_B64_LEN(bytes);

	if ((size_t)(s->end - s->at) < len || !b64_exact(s->at, len, out, bytes))
		return false;
	s->at += len;
	return true;
}

static bool
type(struct scan *s, struct kmn_scan *out)
{
	char name[40];

	s->lf = false;
	out->type = s->at;
	if (!string(s) || s->lf)
		return false;
	out->type_len = (size_t)(s->at - out->type) - 1;
	out->kind = KMN_R_UNKNOWN;
	if (out->type_len < sizeof(name)) {
		memcpy(name, out->type, out->type_len);
		name[out->type_len] = '\0';
		out->kind = kmn_record_kind(name);
	}
	return true;
}

bool
kmn_scan_line(const char *line, size_t len, struct kmn_scan *scan_out)
{
	struct scan s = {line, line + len, false};

	scan_out->line = line;
	scan_out->len = len;
	scan_out->count = 0;
	return len <= KMN_LINE_MAX_BYTES && TAKE(&s, "{\"body\":") && body(&s, scan_out) && TAKE(&s, ",\"i\":") &&
	       number(&s, &scan_out->i) && TAKE(&s, ",\"m\":") && number(&s, &scan_out->m) &&
	       TAKE(&s, ",\"nonce\":\"") && quoted_b64(&s, scan_out->nonce, KMN_NONCE_BYTES) &&
	       TAKE(&s, "\",\"prev\":\"") && quoted_b64(&s, scan_out->prev, KMN_HASH_BYTES) && TAKE(&s, "\",\"t\":") &&
	       number(&s, &scan_out->t) && TAKE(&s, ",\"type\":\"") && type(&s, scan_out) && TAKE(&s, ",\"v\":1}") &&
	       s.at == s.end;
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

static bool
ref(struct scan *s, struct kmn_ref *out)
{
	return TAKE(s, "{\"i\":") && number(s, &out->i) && TAKE(s, ",\"leaf\":\"") &&
	       quoted_b64(s, out->leaf, sizeof(out->leaf)) && TAKE(s, "\"}");
}

static bool
is_text(const struct kmn_member *member)
{
	return member->type == 's' && !member->lf;
}

static bool
is_note(const struct kmn_member *member)
{
	return member->type == 's' || member->type == 'o' || member->type == 'a';
}

static bool
is_number(const struct kmn_member *member)
{
	return member->type == 'n';
}

static bool
is_bool(const struct kmn_member *member)
{
	return member->type == 'b';
}

static bool
is_hash(const struct kmn_member *member)
{
	uint8_t hash[KMN_HASH_BYTES];

	return member->type == 's' && b64_exact(member->value + 1, member->len - 2, hash, sizeof(hash));
}

static bool
is_base64(const struct kmn_member *member)
{
	uint8_t bytes[KMN_LINE_MAX_BYTES];
	size_t len;

	return member->type == 's' &&
	       kmn_b64_parse(member->value + 1, member->len - 2, bytes, sizeof(bytes), &len) == KMN_OK;
}

static bool
is_ref(const struct kmn_member *member)
{
	struct scan s = {member->value, member->value + member->len, false};
	struct kmn_ref out;

	return member->type == 'o' && ref(&s, &out) && s.at == s.end;
}

static bool
is_refs(const struct kmn_member *member)
{
	struct scan s = {member->value, member->value + member->len, false};
	struct kmn_ref out;

	if (member->type != 'a' || !TAKE(&s, "["))
		return false;
	if (TAKE(&s, "]"))
		return true;
	do {
		if (!ref(&s, &out))
			return false;
	} while (TAKE(&s, ","));
	return true;
}

static bool
is_object(const struct kmn_member *member)
{
	return member->type == 'o' && !member->lf;
}

static bool
is_list(const struct kmn_member *member)
{
	return member->type == 'a' && !member->lf;
}

static bool
is_any(const struct kmn_member *member)
{
	return !member->lf;
}

static const struct {
	const char *name;
	bool (*is)(const struct kmn_member *member);
} kinds[] = {
    {"text", is_text},
    {"note", is_note},
    {"number", is_number},
    {"bool", is_bool},
    {"hash", is_hash},
    {"b64", is_base64},
    {"ref", is_ref},
    {"refs", is_refs},
    {"object", is_object},
    {"list", is_list},
    {"any", is_any},
};

static bool
kind_fits(const char *kind, size_t len, const struct kmn_member *member)
{
	for (size_t n = 0; n < KMN_COUNT_OF(kinds); n++)
		if (strlen(kinds[n].name) == len && memcmp(kinds[n].name, kind, len) == 0)
			return kinds[n].is(member);
	KMN_BUG("a row of record types names a kind that does not exist");
}

static const struct kmn_member *
find(const struct kmn_scan *scan, const char *name, size_t len)
{
	for (unsigned n = 0; n < scan->count && n < KMN_BODY_MEMBERS_MAX; n++)
		if (scan->member[n].name_len == len && memcmp(scan->member[n].name, name, len) == 0)
			return &scan->member[n];
	return NULL;
}

kmn_err
kmn_scan_check(const struct kmn_scan *scan, struct kmn_why *why)
{
	const char *type = kmn_record_name(scan->kind);
	unsigned seen = 0;

	if (scan->kind >= KMN_R_UNKNOWN) {
		kmn_why_set(why, "unknown type");
		return KMN_E_NOT_FOUND;
	}
	for (const char *at = kmn_record_members(scan->kind); *at != '\0';) {
		size_t len = strcspn(at, "?="), kind_len;
		bool optional = at[len] == '?';
		const char *name = at, *kind = at + len + (optional ? 2 : 1);
		const struct kmn_member *member = find(scan, name, len);

		kind_len = strcspn(kind, " ");
		if (member == NULL && !optional) {
			kmn_why_set(why, "%s: member \"%.*s\" is missing", type, (int)len, name);
			return KMN_E_MALFORMED;
		}
		if (member != NULL && !kind_fits(kind, kind_len, member)) {
			kmn_why_set(
			    why, "%s: member \"%.*s\" is not a %.*s", type, (int)len, name, (int)kind_len, kind);
			return KMN_E_MALFORMED;
		}
		seen += member != NULL;
		at = kind + kind_len + strspn(kind + kind_len, " ");
	}
	if (seen != scan->count) {
		kmn_why_set(why, "%s: a member that its type does not have", type);
		return KMN_E_MALFORMED;
	}
	return KMN_OK;
}

const struct kmn_member *
kmn_scan_member(const struct kmn_scan *scan, const char *name)
{
	return find(scan, name, strlen(name));
}

bool
kmn_scan_number(const struct kmn_scan *scan, const char *name, uint64_t *out)
{
	const struct kmn_member *member = kmn_scan_member(scan, name);
	struct scan s;

	*out = 0;
	if (member == NULL || member->type != 'n')
		return false;
	s = (struct scan){member->value, member->value + member->len, false};
	return number(&s, out);
}

bool
kmn_scan_ref(const struct kmn_scan *scan, const char *name, struct kmn_ref *out)
{
	const struct kmn_member *member = kmn_scan_member(scan, name);
	struct scan s;

	memset(out, 0, sizeof(*out));
	if (member == NULL)
		return false;
	s = (struct scan){member->value, member->value + member->len, false};
	return ref(&s, out) && s.at == s.end;
}

bool
kmn_scan_ref_at(const struct kmn_scan *scan, const char *name, size_t n, struct kmn_ref *out)
{
	const struct kmn_member *member = kmn_scan_member(scan, name);
	struct scan s;

	memset(out, 0, sizeof(*out));
	if (member == NULL || member->type != 'a')
		return false;
	s = (struct scan){member->value + 1, member->value + member->len, false};
	do {
		if (!ref(&s, out))
			return false;
	} while (n-- > 0 && TAKE(&s, ","));
	return n == SIZE_MAX;
}

bool
kmn_scan_is(const struct kmn_scan *scan, const char *name, const char *text)
{
	const struct kmn_member *member = kmn_scan_member(scan, name);
	size_t len = strlen(text);

	return member != NULL && member->type == 's' && member->len == len + 2 &&
	       memcmp(member->value + 1, text, len) == 0;
}

bool
kmn_member_get(const struct kmn_member *object, const char *name, struct kmn_member *out)
{
	struct scan s;
	const char *at = NULL;
	size_t len = 0;

	memset(out, 0, sizeof(*out));
	if (object == NULL || object->type != 'o')
		return false;
	s = (struct scan){object->value + 1, object->value + object->len, false};
	do {
		if (!member_name(&s, &at, &len))
			return false;
		*out = (struct kmn_member){.name = at, .name_len = (uint8_t)len, .value = s.at};
		s.lf = false;
		if (!value(&s, 0, &out->type))
			return false;
		out->len = (uint32_t)(s.at - out->value);
		out->lf = s.lf;
	} while ((len != strlen(name) || memcmp(at, name, len) != 0) && TAKE(&s, ","));
	return len == strlen(name) && memcmp(at, name, len) == 0;
}

bool
kmn_member_hash(const struct kmn_member *member, uint8_t out[KMN_HASH_BYTES])
{
	return member->type == 's' && b64_exact(member->value + 1, member->len - 2, out, KMN_HASH_BYTES);
}
