#include "config.h"

#include "server/console/api.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 16384u /* bytes of a body that holds a vote at most */
#define NUMBER_MAX_DIGITS 16u
#define SHORT 255u /* bytes of a name */

/* clang-format off */
#define GET KMN_API_GET
#define POST KMN_API_POST
#define A(kind, name, most) {KMN_API_##kind, name, most}
const struct kmn_api_row kmn_api_rows[] = {
/*	method path                       question                  answer           body    fields of the question */
	{POST, "sign-in/begin",           KMN_UI_SIGN_IN_TEXT,      KMN_API_JSON,    64,     {A(ORIGIN, NULL, 0)}},
	{POST, "sign-in",                 KMN_UI_SIGN_IN,           KMN_API_BEGIN,   SMALL,  {A(ADDRESS, NULL, 0), A(TLS, NULL, 0), A(SIGNED, NULL, SMALL)}},
	{POST, "sign-in/certificate",     KMN_UI_SIGN_IN_TLS,       KMN_API_BEGIN,   64,     {A(ADDRESS, NULL, 0), A(TLS, NULL, 0), A(SPKI, NULL, 0)}},
	{POST, "sign-out",                KMN_UI_SIGN_OUT,          KMN_API_FINISH,  64,     {A(END, NULL, 0)}},
	{GET,  "session",                 KMN_UI_SESSION,           KMN_API_JSON,    0,      {A(END, NULL, 0)}},
	{GET,  "events",                  KMN_UI_SESSION,           KMN_API_EVENTS,  0,      {A(END, NULL, 0)}},
	{GET,  "health",                  KMN_UI_HEALTH,            KMN_API_JSON,    0,      {A(END, NULL, 0)}},
	{GET,  "requests",                KMN_UI_REQUEST_LIST,      KMN_API_JSON,    0,      {A(ARG_FLAG, "ended", 0)}},
	{GET,  "requests/{number}",       KMN_UI_REQUEST_SHOW,      KMN_API_JSON,    0,      {A(PATH, NULL, 0)}},
	{POST, "requests/{number}/shown", KMN_UI_SHOWN,             KMN_API_JSON,    256,    {A(PATH, NULL, 0), A(HASH, "sha256", 0)}},
	{POST, "requests/{number}/withdraw", KMN_UI_WITHDRAW,       KMN_API_JSON,    SMALL,  {A(PATH, NULL, 0), A(TEXT, "reason", 1024)}},
	{POST, "notes",                   KMN_UI_NOTE,              KMN_API_JSON,    786432, {A(SIGNED, NULL, KMN_UI_POLICY_MAX_BYTES)}},
	{POST, "notes/line",              KMN_UI_LINE,              KMN_API_JSON,    786432, {A(SIGNED, NULL, KMN_UI_POLICY_MAX_BYTES)}},
	{POST, "notes/begin",             KMN_UI_TEXT,              KMN_API_JSON,    SMALL,
		{A(ORIGIN, NULL, 0), A(TEXT, "what", SHORT), A(WORDS, "token", SHORT), A(TEXT, "reason", 511)}},
	{GET,  "drafts",                  KMN_UI_DRAFTS,            KMN_API_JSON,    0,      {A(END, NULL, 0)}},
	{POST, "drafts",                  KMN_UI_DRAFT,             KMN_API_JSON,    786432, {A(SIGNED, NULL, KMN_UI_POLICY_MAX_BYTES)}},
	{POST, "drafts/{hash}/drop",      KMN_UI_DRAFT_DROP,        KMN_API_JSON,    64,     {A(PATH_HASH, NULL, 0)}},
	{GET,  "ledger/checkpoint",       KMN_UI_CHECKPOINT,        KMN_API_JSON,    0,      {A(END, NULL, 0)}},
	{GET,  "ledger/records",          KMN_UI_RECORDS,           KMN_API_JSON,    0,      {A(ARG_U64, "from", 0), A(ARG_U32, "count", 100)}},
	{GET,  "ledger/proof",            KMN_UI_PROOF,             KMN_API_JSON,    0,      {A(ARG_U64, "index", 0), A(ARG_U64, "size", 0)}},
	{GET,  "ledger/consistency",      KMN_UI_CONSISTENCY,       KMN_API_JSON,    0,      {A(ARG_U64, "from", 0), A(ARG_U64, "to", 0)}},
	{GET,  "ledger/blobs/{hash}",     KMN_UI_BLOB,              KMN_API_JSON,    0,      {A(PATH_HASH, NULL, 0), A(ARG_U64, "record", 0)}},
	{GET,  "operations",              KMN_UI_FIND,              KMN_API_JSON,    0,
		{A(ARG_U64, "before", 0), A(ARG_U32, "count", 50), A(ARG_TEXT, "client", SHORT), A(ARG_TEXT, "op", SHORT),
		 A(ARG_TEXT, "key", SHORT), A(ARG_TEXT, "result", SHORT), A(ARG_U64, "since", 0), A(ARG_U64, "until", 0)}},
	{GET,  "operations/{number}/bundle", KMN_UI_BUNDLE,         KMN_API_BUNDLE,  0,      {A(PATH, NULL, 0)}},
	{GET,  "policy",                  KMN_UI_POLICY,            KMN_API_JSON,    0,      {A(NO_NUMBER, NULL, 0)}},
	{GET,  "policy/versions/{number}", KMN_UI_POLICY,           KMN_API_JSON,    0,      {A(PATH, NULL, 0)}},
	{GET,  "policy/versions/{number}/words", KMN_UI_POLICY_WORDS, KMN_API_JSON,  0,
		{A(U8, NULL, 1), A(PATH, NULL, 0), A(NO_NUMBER, NULL, 0), A(NO_BYTES, NULL, 0)}},
	{GET,  "policy/diff",             KMN_UI_POLICY_WORDS,      KMN_API_JSON,    0,
		{A(U8, NULL, 2), A(ARG_U64, "from", 0), A(ARG_U64, "to", 0), A(NO_BYTES, NULL, 0)}},
	{POST, "policy/check",            KMN_UI_POLICY_WORDS,      KMN_API_JSON,    786432,
		{A(U8, NULL, 3), A(NO_NUMBER, NULL, 0), A(NO_NUMBER, NULL, 0), A(TEXT, "text", KMN_UI_POLICY_MAX_BYTES)}},
	{GET,  "keys",                    KMN_UI_KEYS,              KMN_API_JSON,    0,      {A(ARG_U64, "from", 0)}},
	{GET,  "tokens",                  KMN_UI_TOKENS,            KMN_API_JSON,    0,      {A(END, NULL, 0)}},
	{GET,  "custodians",              KMN_UI_CUSTODIANS,        KMN_API_JSON,    0,      {A(END, NULL, 0)}},
	{GET,  "windows",                 KMN_UI_WINDOWS,           KMN_API_JSON,    0,      {A(END, NULL, 0)}},
	{POST, "instructions/begin",      KMN_UI_INSTRUCTION_TEXT,  KMN_API_JSON,    SMALL,
		{A(ORIGIN, NULL, 0), A(TEXT, "what", SHORT), A(TEXT, "token", SHORT), A(WORDS, "rule", SHORT), A(WORDS, "key", SHORT),
		 A(WORDS, "id", 2 * SHORT), A(WORDS, "mechanism", SHORT), A(WORDS, "parameters", 1024), A(NUMBER, "file_length", 0),
		 A(FILE_HASH, "file_sha256", 0), A(TEXT, "purpose", 1024)}},
	{POST, "instructions",            KMN_UI_INSTRUCT,          KMN_API_JSON,    1507328,
		{A(SIGNED, NULL, SMALL), A(BYTES, "file", KMN_UI_FILE_MAX_BYTES), A(WORDS, "pin", SHORT)}},
	{GET,  "instructions",            KMN_UI_INSTRUCTIONS,      KMN_API_JSON,    0,      {A(END, NULL, 0)}},
	{GET,  "instructions/{number}",   KMN_UI_INSTRUCTION,       KMN_API_JSON,    0,      {A(PATH, NULL, 0)}},
};
#undef A
#undef GET
#undef POST
/* clang-format on */
const size_t kmn_api_row_count = KMN_COUNT_OF(kmn_api_rows);

static const char *const method_name[] = {"GET", "POST"};

/* ---- which row --------------------------------------------------------------------------------------------------- */

/* Digits without a zero before them: a thing has one address. */
static bool
take_number(const char **at, uint64_t *out)
{
	size_t n = strspn(*at, "0123456789");

	if (n == 0 || n > NUMBER_MAX_DIGITS || (n > 1 && **at == '0'))
		return false;
	*out = strtoull(*at, NULL, 10);
	*at += n;
	return *out <= KMN_JSON_INT_MAX;
}

static bool
take_hash(const char **at, uint8_t out[KMN_HASH_BYTES])
{
	size_t n = strcspn(*at, "/"), len;

	if (sodium_base642bin(
		out, KMN_HASH_BYTES, *at, n, NULL, &len, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    len != KMN_HASH_BYTES)
		return false;
	*at += n;
	return true;
}

static bool
fits(const char *pattern, const char *path, struct kmn_api_input *input)
{
	while (*pattern != '\0') {
		if (*pattern != '{') {
			if (*pattern++ != *path++)
				return false;
			continue;
		}
		if (pattern[1] == 'n' ? !take_number(&path, &input->number) : !take_hash(&path, input->hash))
			return false;
		pattern += strcspn(pattern, "}") + 1;
	}
	return *path == '\0';
}

kmn_err
kmn_api_route(const char *method, const char *path, const struct kmn_api_row **row_out, struct kmn_api_input *input_out)
{
	kmn_err e = KMN_E_NOT_FOUND;

	*row_out = NULL;
	if (strncmp(path, KMN_API_PREFIX, sizeof(KMN_API_PREFIX) - 1) != 0)
		return KMN_E_NOT_FOUND;
	for (size_t i = 0; i < kmn_api_row_count; i++) {
		if (!fits(kmn_api_rows[i].path, path + sizeof(KMN_API_PREFIX) - 1, input_out))
			continue;
		*row_out = &kmn_api_rows[i];
		if (strcmp(method_name[kmn_api_rows[i].method], method) == 0)
			return KMN_OK;
		e = KMN_E_ARGUMENTS;
	}
	return e;
}

bool
kmn_api_key_parse(const char *text, uint8_t key_out[KMN_UI_SESSION_BYTES])
{
	size_t len = 0;

	return strlen(text) == KMN_API_KEY_TEXT_BYTES &&
	       sodium_base642bin(key_out, KMN_UI_SESSION_BYTES, text, KMN_API_KEY_TEXT_BYTES, NULL, &len, NULL,
		   sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 &&
	       len == KMN_UI_SESSION_BYTES;
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

unsigned
kmn_api_status(kmn_err e)
{
	static const struct {
		kmn_err e;
		unsigned status;
	} statuses[] = {
	    {KMN_OK, 200},
	    {KMN_E_PEER, 401},
	    {KMN_E_DENIED, 403},
	    {KMN_E_SIGNATURE, 403},
	    {KMN_E_REJECTED, 403},
	    {KMN_E_NOT_FOUND, 404},
	    {KMN_E_EXPIRED, 409},
	    {KMN_E_WITHDRAWN, 409},
	    {KMN_E_EXISTS, 409},
	    {KMN_E_REPLAY, 409},
	    {KMN_E_TRUNCATED, 400},
	    {KMN_E_TRAILING, 400},
	    {KMN_E_MALFORMED, 400},
	    {KMN_E_ARGUMENTS, 400},
	    {KMN_E_LIMIT, 400},
	    {KMN_E_TOO_BIG, 413},
	    {KMN_E_TOO_MANY, 429},
	    {KMN_E_TIMEOUT, 504},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(statuses); i++)
		if (statuses[i].e == e)
			return statuses[i].status;
	return 503; /* the gateway's own trouble; its reason says which */
}

char *
kmn_api_error(kmn_err e, const char *reason)
{
	json_t *body = json_pack(
	    "{s:{s:s, s:o}}", "error", "code", kmn_err_name(e), "reason", kmn_json_label(reason, strlen(reason)));
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	return text;
}
