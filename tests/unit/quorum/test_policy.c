#include "config.h"

#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define HEAD \
	"kanmon/policy/v1\norigin kanmon.example/gw1/2026\nversion 1\nprevious none\n" \
	"not-before 2026-01-01T00:00:00Z\nexpires 2027-11-01T00:00:00Z\n"
#define RULE "rule r\n  client ca\n  calls key-use\n"

/* `@name` becomes the vkey of a name, `%name` its spki. */
static char *
fill(const char *text)
{
	static char out[65536];
	size_t at = 0;

	for (const char *s = text; *s != 0; s++) {
		char name[64];
		size_t n = strspn(s + 1, "abcdefghijklmnopqrstuvwxyz0123456789");

		if (*s != '@' && *s != '%') {
			out[at++] = *s;
			continue;
		}
		memcpy(name, s + 1, n);
		name[n] = 0;
		if (*s == '@') {
			world_vkey(name, out + at);
		} else {
			uint8_t spki[KMN_HASH_BYTES];

			world_spki(name, spki);
			strcpy(out + at, "spki:");
			kmn_b64(spki, sizeof(spki), out + at + 5);
		}
		at += strlen(out + at);
		s += n;
	}
	out[at] = 0;
	return out;
}

/* After the six lines of HEAD the first line of `text` is line 7, unless the case brings its own head. */
static const struct {
	const char *says, *text;
	unsigned line; /* 0 with no words: it is good */
	const char *words;
} parse_cases[] = {
    {"the least policy", "custodian a person:1 @a\nrole policy 1 a\n", 0, NULL},
    {"comments, empty lines and aligned columns",
	"\n# all of us\ncustodian   a   person:1   @a   # first key\nrole policy 1 a\n", 0, NULL},
    {"a token's model in quotation marks",
	"custodian a person:1 @a\nrole policy 1 a\ntoken t module m model \"Luna K7\"\n", 0, NULL},
    {"slot numbers of a client's tokens",
	"custodian a person:1 @a\nrole policy 1 a\ntoken t module m\ntoken u\nclient c %c tokens t=2147483647 u=0\n", 0,
	NULL},
    {"a slot number for one token of two",
	"custodian a person:1 @a\nrole policy 1 a\ntoken t\ntoken u\nclient c %c tokens t=1 u\n", 11, "or none has"},
    {"a slot number twice", "custodian a person:1 @a\nrole policy 1 a\ntoken t\ntoken u\nclient c %c tokens t=1 u=1\n",
	11, "of 'u' stands twice"},
    {"a token twice", "custodian a person:1 @a\nrole policy 1 a\ntoken t\nclient c %c tokens t=1 t=2\n", 10,
	"of 't' stands twice"},
    {"a slot number that is none", "custodian a person:1 @a\nrole policy 1 a\ntoken t\nclient c %c tokens t=x\n", 10,
	"is not a number"},
    {"a slot number with no end",
	"custodian a person:1 @a\nrole policy 1 a\ntoken t\nclient c %c tokens t=2147483648\n", 10, "is more than"},
    {"two keys of one person", "custodian a person:1 @a\ncustodian a person:1 @b\nrole policy 1 a\n", 0, NULL},
    {"an empty text", "!", 0, "the text is empty"},
    {"another first line", "!kanmon/policy/v2\n", 1, "a policy begins with the line kanmon/policy/v1"},
    {"a missing header line", "!kanmon/policy/v1\nversion 1\n", 2, "expected here: origin VALUE"},
    {"an origin that statements begin with", "!kanmon/policy/v1\norigin kanmon/x\n", 2, "must not begin with kanmon/"},
    {"version 0", "!kanmon/policy/v1\norigin a\nversion 0\n", 3, "versions count from 1"},
    {"version 1 with a previous one",
	"!kanmon/policy/v1\norigin a\nversion 1\nprevious AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 4,
	"previous none"},
    {"version 2 without", "!kanmon/policy/v1\norigin a\nversion 2\nprevious none\n", 4, "only version 1"},
    {"a day that does not exist",
	"!kanmon/policy/v1\norigin a\nversion 1\nprevious none\nnot-before 2026-02-30T00:00:00Z\n", 5, "is not a time"},
    {"an end before the beginning",
	"!kanmon/policy/v1\norigin a\nversion 1\nprevious none\nnot-before 2026-02-02T00:00:00Z\nexpires "
	"2026-02-01T00:00:00Z\n",
	6, "expires before it begins"},
    {"a header cut off", "!kanmon/policy/v1\norigin a\n", 3, "expected here: version VALUE"},
    {"a last line without LF", "custodian a person:1 @a", 7, "does not end"},
    {"a tab", "custodian\ta person:1 @a\n", 7, "cannot be seen"},
    {"a carriage return", "custodian a person:1 @a\r\n", 7, "cannot be seen"},
    {"a character that turns text around", "# \xe2\x80\xae\n", 7, "cannot be seen"},
    {"no role policy", "custodian a person:1 @a\n", 0, "no `role policy`"},
    {"an unknown line", "custodiam a person:1 @a\n", 7, "begins no line of a policy"},
    {"an open quotation mark", "token t module \"m\n", 7, "not closed"},
    {"one key in two lines", "custodian a person:1 @a\ncustodian b person:2 @a\n", 8, "same public key is in line 7"},
    {"two persons of one name", "custodian a person:1 @a\ncustodian a person:2 @b\n", 8, "one person, one name"},
    {"two names of one person", "custodian a person:1 @a\ncustodian b person:1 @b\n", 8, "one person, one name"},
    {"a key that is none", "custodian a person:1 kanmon+00000000+AAAA\n", 7, "signs for no person"},
    {"a key that is no key", "custodian a person:1 kanmon\n", 7, "not a verifier key"},
    {"a reserved name", "custodian and person:1 @a\n", 7, "word of the grammar"},
    {"a name with a slash", "custodian a/b person:1 @a\n", 7, "cannot name a person"},
    {"custodian and auditor", "custodian a person:1 @a\nauditor a person:1 @b\n", 8, "one or the other"},
    {"a terminal of nobody", "custodian a person:1 @a\nterminal t person:2 %t\nrole policy 1 a\n", 8,
	"nobody here is person:2"},
    {"a client on an unknown token", "custodian a person:1 @a\nclient c %c tokens t\nrole policy 1 a\n", 8,
	"no token line is called t"},
    {"an operator nobody knows",
	"custodian a person:1 @a\ntoken t\nclient c %c tokens t operators b\nrole policy 1 a\n", 9,
	"nobody is called b"},
    {"operators without names", "token t\nclient c %c tokens t operators\n", 8, "`operators` names nobody"},
    {"one TLS key for two", "token t\nclient c %c tokens t\nclient d %c tokens t\n", 9, "one key, one role"},
    {"two clients of one name", "token t\nclient c %c tokens t\nclient c %d tokens t\n", 9,
	"client c is in line 8 already"},
    {"an SPKI that is too short", "token t\nclient c spki:AAAA tokens t\n", 8, "not the base64 of a SHA-256"},
    {"a certification level", "custodian a person:1 @a\nrole policy 1 a\ntoken t module m level 3\n", 0, NULL},
    {"a certification level that no scheme has", "token t level 5\n", 7, "5 is more than 4"},
    {"a certification level of 0", "token t level 0\n", 7, "levels count from 1"},
    {"two certification levels", "token t level 2 level 3\n", 7, "`level` stands twice"},
    {"a token's word twice", "token t module m module n\n", 7, "`module` stands twice"},
    {"a threshold over the persons", "custodian a person:1 @a\ngroup g 2 a\n", 8, "2 of 1 members cannot be met"},
    {"a threshold of 0", "custodian a person:1 @a\ngroup g 0 a\n", 8, "asks nobody"},
    {"a member twice", "custodian a person:1 @a\ngroup g 1 a a\n", 8, "a stands twice"},
    {"a member nobody knows", "custodian a person:1 @a\ngroup g 1 b\nrole policy 1 a\n", 8, "nobody is called b"},
    {"an auditor in a group", "custodian a person:1 @a\nauditor i person:2 @i\ngroup g 1 i\nrole policy 1 a\n", 9,
	"auditors approve nothing"},
    {"a role that is none", "custodian a person:1 @a\nrole king 1 a\n", 8, "is no role"},
    {"a limit on time stamps", "custodian a person:1 @a\nrole policy 1 a\nanchors within 90m refuse AB\n", 0, NULL},
    {"two limits on time stamps", "anchors within 1h refuse A\nanchors within 2h refuse A\n", 8, "a second"},
    {"a limit that refuses what is no class", "anchors within 1h refuse C\n", 7, "expected at its end"},
    {"a limit without a duration", "anchors within 1 refuse A\n", 7, "not a duration"},
    {"a limit that lacks its end", "anchors within 1h\n", 7, "expected"},
    {"a stance that is none", "stance root lie\n", 7, "seal|degrade"},
    {"a stance of two words", "stance root\n", 7, "expected: stance TOKEN"},
    {"where security keys are used",
	"custodian a person:1 @a\nrole policy 1 a\nwebauthn console origin https://kanmon.example.jp:8443 rp-id "
	"example.jp\nwebauthn own origin https://localhost rp-id localhost independent\n",
	0, NULL},
    {"a web origin with a path", "webauthn c origin https://a.example/ rp-id a.example\n", 7, "is not an origin"},
    {"a web origin without TLS", "webauthn c origin http://a.example rp-id a.example\n", 7, "is not an origin"},
    {"a web origin with an empty port", "webauthn c origin https://a.example: rp-id a.example\n", 7,
	"is not an origin"},
    {"an rp-id of another host", "webauthn c origin https://a.example rp-id b.example\n", 7, "the end of it"},
    {"an rp-id that ends within a label", "webauthn c origin https://a.example rp-id ample\n", 7, "the end of it"},
    {"one web origin twice",
	"webauthn c origin https://a.example rp-id a.example\nwebauthn d origin https://a.example rp-id example\n", 8,
	"is in line 7"},
    {"a place that is something else", "webauthn c origin https://a.example rp-id a.example also\n", 7,
	"[independent]"},
    {"how long a recovery waits", "custodian a person:1 @a\nrole policy 1 a\nrole recovery 1 a delay 24h\n", 0, NULL},
    {"a delay of the role policy", "custodian a person:1 @a\nrole policy 1 a delay 24h\n", 8, "has a delay"},
    {"a group of groups",
	"custodian a person:1 @a\ncustodian b person:2 @b\nrole policy 1 a\ngroup g 1 a\ngroup h 1 b\ngroup both 2 g "
	"h\n",
	0, NULL},
    {"a group that stands after the one that names it",
	"custodian a person:1 @a\nrole policy 1 a\ngroup h 1 g\ngroup g 1 a\n", 9, "stands after"},
    {"a group in itself", "custodian a person:1 @a\nrole policy 1 a\ngroup g 1 a g\n", 9, "stands after"},
    {"a person in two parts of a group", "custodian a person:1 @a\nrole policy 1 a\ngroup g 1 a\ngroup h 1 g a\n", 10,
	"a stands twice in h"},
    {"a member that is a person and a group", "custodian a person:1 @a\nrole policy 1 a\ngroup a 1 a\ngroup h 1 a\n",
	10, "a person and a group"},
    {"a role of groups", "custodian a person:1 @a\ngroup g 1 a\nrole policy 1 g\n", 9, "nobody is called g"},
    {"an indented line without a rule", "  client c\n", 7, "none above"},
    {"a rule that lacks its need", "$rule r\n  client ca\n  calls key-use\n", 12, "rule r has no `need` line"},
    {"a rule for an unknown client", "$rule r\n  client cb\n  calls key-use\n  need none\n", 12,
	"no client is called cb"},
    {"a rule line twice", "$" RULE "  calls query\n", 15, "`calls` stands twice in rule r"},
    {"two rules of one name", "$" RULE "  need none\nrule r\n", 16, "rule r is in line 12 already"},
    {"a call that is none", "$rule r\n  client ca\n  calls C_Sing\n", 14, "'C_Sing' is no call"},
    {"a call that does not cross", "$rule r\n  client ca\n  calls C_Initialize\n", 14, "is no call"},
    {"a mechanism that is none", "$" RULE "  mechanisms CKM_ROT13\n", 15, "is no mechanism"},
    {"an unknown group", "$" RULE "  need h\n", 15, "no group is called h"},
    {"and without a group after it", "$" RULE "  need g and\n", 15, "missing after `and`"},
    {"two groups without and", "$" RULE "  need g g2\n", 15, "need none | deny | GROUP"},
    {"one person cannot fill two groups", "$group g2 1 a\ngroup g3 1 a\n" RULE "  need g2 and g3\n", 17,
	"cannot be met"},
    {"more independent than asked", "$" RULE "  need g\n  independent 2\n", 15, "independent 2, but 1"},
    {"per window", "$" RULE "  per window 90d uses 4\n  need g\n", 0, NULL},
    {"a window of what is free", "$" RULE "  per window 90d uses 4\n  need none\n", 12,
	"`per window` is for what needs approval"},
    {"a window without uses", "$" RULE "  per window 90d\n", 15, "expected: per operation | per window"},
    {"a window of no use", "$" RULE "  per window 90d uses 0\n", 15, "lets nothing run"},
    {"a window of two years", "$" RULE "  per window 730d uses 1\n", 15, "outside 1s..366d"},
    {"per year", "$" RULE "  per year\n", 15, "expected: per operation"},
    {"any mechanism", "$" RULE "  need none\n  mechanisms any\n", 0, NULL},
    {"any mechanism and one", "$" RULE "  mechanisms any CKM_ECDSA\n", 15, "'any' is no mechanism"},
    {"import and extractable keys", "$" RULE "  need none\n  allow import extractable\n", 0, NULL},
    {"something else that is allowed", "$" RULE "  allow everything\n", 15, "allow import | extractable"},
    {"import twice", "$" RULE "  allow import import\n", 15, "stands twice"},
    {"an origin that is not local", "$" RULE "  origin abroad\n", 15, "expected: origin local"},
    {"per login", "$rule r\n  client ca\n  calls login\n  need g\n  per login\n", 0, NULL},
    {"per login of signatures", "$" RULE "  need g\n  per login\n", 12, "is for `calls login` alone"},
    {"per login of nobody", "$rule r\n  client ca\n  calls login\n  need none\n  per login\n", 12,
	"is for what needs approval"},
    {"a share key", "$share-key a CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 0, NULL},
    {"a share key of nobody", "$share-key nobody CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 12,
	"nobody is called nobody"},
    {"a share key of zeros", "$share-key a AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 12, "is none"},
    {"a share key that is too short", "$share-key a CQAA\n", 12, ""},
    {"two share keys of one person",
	"$share-key a CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	"share-key a CgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
	13, "one share for each"},
    {"class B under a quorum", "$" RULE "  class B\n  need g\n", 12, "always class A"},
    {"class C", "$" RULE "  class C\n", 15, "class A | B"},
    {"a life without a unit", "$" RULE "  expires 4\n", 15, "is not a duration"},
    {"a life of a year", "$" RULE "  expires 365d\n", 15, "outside"},
    {"a URI that is none", "$" RULE "  object token=root\n", 15, "not a PKCS#11 URI"},
    {"a URI with a serial number", "$" RULE "  object pkcs11:token=root;serial=1\n", 15, "the token line's"},
    {"a URI on a token that no line names", "$" RULE "  object pkcs11:token=Root%20token\n  need none\n", 12,
	"no token line is called Root token"},
    {"a content of no kind", "$" RULE "  content tbs-crlx\n", 15, "is no kind of content: any, tbs-certificate"},
    {"content that is none", "$" RULE "  content poem\n", 15, "is no kind of content"},
    {"a bound of another kind", "$" RULE "  content tbs-crl ca=true\n", 15,
	"`ca=` is no bound of a tbs-crl: issuer= subject= next-update<="},
    {"a bound on anything", "$" RULE "  content any issuer=\"CN=a\"\n", 15, "has no bounds"},
    {"ca neither true nor false", "$" RULE "  content tbs-certificate ca=yes\n", 15, "neither true nor false"},
    {"a path too long to be one", "$" RULE "  content tbs-certificate pathlen<=1001\n", 15, "no number from 0 to 1000"},
    {"a validity without a unit", "$" RULE "  content tbs-certificate validity<=10\n", 15, "is not a duration"},
    {"a validity of centuries", "$" RULE "  content tbs-certificate validity<=36501d\n", 15, "is not a duration"},
    {"an unknown bound", "$" RULE "  content csr owner=me\n", 15, "'owner=me' is no bound of a csr: issuer= subject="},
    {"a full rule",
	"$" RULE "  object pkcs11:token=root;object=root-ca;type=private pkcs11:token=root;id=%0a%0b\n  key %k\n"
	"  mechanisms CKM_SHA384_RSA_PKCS CKM_ECDSA_SHA384\n  need g\n  independent 1\n  per operation\n  expires 4h\n"
	"  class A\n  selfcheck sample 16\n  content tbs-certificate issuer=\"CN=Root CA,C=JP\" validity<=3650d "
	"ca=true "
	"pathlen<=0\n",
	0, NULL},
};

static const char base[] =
    "custodian a person:1 @a\ntoken root\nclient ca %ca tokens root\nrole policy 1 a\ngroup g 1 a\n";

static char *
whole_text(const char *text)
{
	static char out[65536];

	if (text[0] == '!')
		return strcpy(out, text + 1);
	snprintf(out, sizeof(out), "%s%s%s", HEAD, text[0] == '$' ? base : "", text + (text[0] == '$'));
	return out;
}

static void
test_parse(void)
{
	for (size_t i = 0; i < KMN_COUNT_OF(parse_cases); i++) {
		struct kmn_policy_error error;
		struct kmn_policy *policy = NULL;
		const char *text = parse_cases[i].text, *id;
		char *filled;
		bool as_said;
		kmn_err e;

		/* %0a%0b belongs to a URI. */
		filled = strdup(whole_text(text));
		if ((id = strstr(filled, "id=%0a%0b")) != NULL)
			memcpy(filled + (id - filled),
			    "id=\x01"
			    "0a\x01"
			    "0b",
			    9);
		if ((id = strstr(filled, "Root%20token")) != NULL)
			filled[id - filled + 4] = '\x01';
		text = fill(filled);
		for (char *s = (char *)(uintptr_t)text; *s != 0; s++)
			*s = (char)(*s == '\x01' ? '%' : *s);
		e = kmn_policy_parse(text, strlen(text), &policy, &error);
		as_said = parse_cases[i].words == NULL ? e == KMN_OK
						       : e == KMN_E_MALFORMED && error.line == parse_cases[i].line &&
							     strstr(error.text, parse_cases[i].words) != NULL;
		CU_ASSERT_TRUE(as_said);
		if (!as_said)
			printf("# %s: line %u: %s\n", parse_cases[i].says, error.line, error.text);
		CU_ASSERT_TRUE((policy != NULL) == (e == KMN_OK));
		kmn_policy_free(policy);
		free(filled);
	}
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static struct kmn_policy *
policy_with(const char *rules)
{
	char *text = world_policy(1, NULL, rules);
	struct kmn_policy_error error;
	struct kmn_policy *policy;

	if (kmn_policy_parse(text, strlen(text), &policy, &error) != KMN_OK)
		printf("# line %u: %s\n", error.line, error.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(policy);
	free(text);
	return policy;
}

#define SIGNING \
	"rule crl\n client ca\n object pkcs11:token=root;object=root-ca\n calls key-use\n mechanisms " \
	"CKM_ECDSA_SHA384\n " \
	"need keepers and officers\n" \
	"rule forbid\n client ca\n calls C_DestroyObject\n need deny\n" \
	"rule look\n client ca other\n calls session query login key-management\n need none\n class B\n"

static const struct {
	const char *says, *client, *token, *call, *mechanism, *scheme, *hash;
	unsigned digest_len;
	const char *label;
	enum kmn_answer want;
	const char *rule;
} judge_cases[] = {
    {"the listed mechanism", "ca", "Root token", "C_Sign", "CKM_ECDSA_SHA384", "ecdsa", "sha384", 48, "root-ca",
	KMN_ANSWER_HELD, "crl"},
    {"its bare digest", "ca", "Root token", "C_Sign", "CKM_ECDSA", "ecdsa", "", 48, "root-ca", KMN_ANSWER_HELD, "crl"},
    {"a bare digest of another length", "ca", "Root token", "C_Sign", "CKM_ECDSA", "ecdsa", "", 32, "root-ca",
	KMN_ANSWER_REFUSED, "none"},
    {"another hash", "ca", "Root token", "C_Sign", "CKM_ECDSA_SHA256", "ecdsa", "sha256", 32, "root-ca",
	KMN_ANSWER_REFUSED, "none"},
    {"another scheme", "ca", "Root token", "C_Sign", "CKM_SHA384_RSA_PKCS", "rsa-pkcs1", "sha384", 48, "root-ca",
	KMN_ANSWER_REFUSED, "none"},
    {"another key", "ca", "Root token", "C_Sign", "CKM_ECDSA_SHA384", "ecdsa", "sha384", 48, "root-cb",
	KMN_ANSWER_REFUSED, "none"},
    {"no object at all", "ca", "Root token", "C_Sign", "CKM_ECDSA_SHA384", "ecdsa", "sha384", 48, NULL,
	KMN_ANSWER_REFUSED, "none"},
    {"the start of the bare mechanism", "ca", "Root token", "C_SignInit", "CKM_ECDSA", NULL, NULL, 0, "root-ca",
	KMN_ANSWER_HELD, "crl"},
    {"the start of a mechanism that cannot become it", "ca", "Root token", "C_SignInit", "CKM_ECDSA_SHA256", NULL, NULL,
	0, "root-ca", KMN_ANSWER_REFUSED, "none"},
    {"another client", "other", "Root token", "C_Sign", "CKM_ECDSA_SHA384", "ecdsa", "sha384", 48, "root-ca",
	KMN_ANSWER_REFUSED, "none"},
    {"nobody", "stranger", "Root token", "C_GetInfo", NULL, NULL, NULL, 0, NULL, KMN_ANSWER_REFUSED, "none"},
    {"a terminal is no client", "sato-term", "Root token", "C_GetInfo", NULL, NULL, NULL, 0, NULL, KMN_ANSWER_REFUSED,
	"none"},
    {"a call without token", "ca", NULL, "C_GetInfo", NULL, NULL, NULL, 0, NULL, KMN_ANSWER_FREE, "look"},
    {"an unknown token", "ca", "Nut", "C_OpenSession", NULL, NULL, NULL, 0, NULL, KMN_ANSWER_REFUSED, "none"},
    {"a token of another client", "ca", "spare", "C_OpenSession", NULL, NULL, NULL, 0, NULL, KMN_ANSWER_REFUSED,
	"none"},
    {"one's own token", "other", "spare", "C_OpenSession", NULL, NULL, NULL, 0, NULL, KMN_ANSWER_FREE, "look"},
    {"deny comes first", "ca", "Root token", "C_DestroyObject", NULL, NULL, NULL, 0, "root-ca", KMN_ANSWER_REFUSED,
	"forbid"},
    {"the class behind it", "ca", "Root token", "C_CopyObject", NULL, NULL, NULL, 0, "root-ca", KMN_ANSWER_FREE,
	"look"},
    {"a class nobody listed", "ca", "Root token", "C_GenerateRandom", NULL, NULL, NULL, 0, NULL, KMN_ANSWER_REFUSED,
	"none"},
    {"a call outside the table", "ca", "Root token", "C_Nonsense", NULL, NULL, NULL, 0, NULL, KMN_ANSWER_REFUSED,
	"none"},
};

static void
test_judge(void)
{
	struct kmn_policy *policy = policy_with(SIGNING);

	for (size_t i = 0; i < KMN_COUNT_OF(judge_cases); i++) {
		struct kmn_policy_token_facts token = {
		    .label = judge_cases[i].token, .serial = "42", .firmware = "7.1"};
		struct kmn_norm norm = {.digest_len = judge_cases[i].digest_len};
		uint8_t spki[KMN_HASH_BYTES];
		struct kmn_verdict v;
		struct kmn_question q = {.client_spki_sha256 = spki,
		    .call = judge_cases[i].call,
		    .mechanism = judge_cases[i].mechanism,
		    .object_class = "private-key",
		    .label = judge_cases[i].label,
		    .has_object = judge_cases[i].label != NULL,
		    .now = WORLD_START_MS};

		world_spki(judge_cases[i].client, spki);
		if (token.label != NULL)
			q.token = &token;
		if (judge_cases[i].scheme != NULL) {
			strcpy(norm.scheme, judge_cases[i].scheme);
			strcpy(norm.hash, judge_cases[i].hash);
			q.norm = &norm;
		}
		kmn_policy_judge(policy, &q, &v);
		CU_ASSERT_EQUAL(v.answer, judge_cases[i].want);
		CU_ASSERT_STRING_EQUAL(v.rule, judge_cases[i].rule);
		if (v.answer != judge_cases[i].want || strcmp(v.rule, judge_cases[i].rule) != 0)
			printf("# %s: %s\n", judge_cases[i].says, v.reason);
		CU_ASSERT_TRUE(v.reason[0] != 0);
		CU_ASSERT_EQUAL(v.needs, v.answer == KMN_ANSWER_HELD ? 2 : 0);
	}
	kmn_policy_free(policy);
}

static void
test_not_in_force(void)
{
	struct kmn_policy *policy = policy_with(SIGNING);
	uint8_t spki[KMN_HASH_BYTES];
	struct kmn_verdict v;
	struct kmn_question q = {.client_spki_sha256 = spki, .call = "C_Logout", .now = kmn_policy_expires(policy)};

	world_spki("ca", spki);
	kmn_policy_judge(policy, &q, &v);
	CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_REFUSED);
	CU_ASSERT_PTR_NOT_NULL(strstr(v.reason, "expired"));
	q.now--;
	kmn_policy_judge(policy, &q, &v);
	CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_FREE);
	CU_ASSERT_EQUAL(v.durability, 'B');
	q.now = kmn_policy_not_before(policy) - 1;
	kmn_policy_judge(policy, &q, &v);
	CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_REFUSED);
	q.call = "C_GetInfo";
	kmn_policy_judge(policy, &q, &v);
	CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_FREE);
	kmn_policy_free(policy);
}

static void
test_content_rules(void)
{
	struct kmn_policy *policy =
	    policy_with("rule cert\n client ca\n calls key-use\n content tbs-certificate\n need keepers\n"
			"rule rest\n client ca\n calls key-use\n need none\n");
	struct kmn_norm norm = {.scheme = "ecdsa", .hash = "sha256", .digest_len = 32};
	uint8_t spki[KMN_HASH_BYTES];
	struct kmn_verdict v;
	struct kmn_question q = {.client_spki_sha256 = spki,
	    .call = "C_Sign",
	    .mechanism = "CKM_ECDSA_SHA256",
	    .norm = &norm,
	    .has_object = true,
	    .object_class = "private-key",
	    .label = "k",
	    .now = WORLD_START_MS};

	world_spki("ca", spki);
	kmn_policy_judge(policy, &q, &v);
	CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_REFUSED);
	CU_ASSERT_TRUE(v.content_missing);
	q.has_data = true;
	kmn_policy_judge(policy, &q, &v);
	CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_REFUSED);
	CU_ASSERT_FALSE(v.content_missing);
	CU_ASSERT_TRUE(v.content_seen);
	q.call = "C_SignInit";
	q.has_data = false;
	q.norm = NULL;
	kmn_policy_judge(policy, &q, &v);
	CU_ASSERT_TRUE(v.content_missing);
	kmn_policy_free(policy);
}

/* A TBSCertificate of "CN=Root,C=JP", ten days long, ca, pathlen 1. */
static uint8_t *
some_tbs(size_t *len_out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	BASIC_CONSTRAINTS *bc = BASIC_CONSTRAINTS_new();
	uint8_t *tbs = NULL;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	X509_NAME_add_entry_by_txt(name, "C", MBSTRING_UTF8, (const uint8_t *)"JP", -1, -1, 0);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)"Root", -1, -1, 0);
	X509_set_issuer_name(x, name);
	ASN1_TIME_set_string_X509(X509_getm_notBefore(x), "20261101000000Z");
	ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "20261111000000Z");
	X509_set_pubkey(x, key);
	bc->ca = 0xff;
	bc->pathlen = ASN1_INTEGER_new();
	ASN1_INTEGER_set(bc->pathlen, 1);
	X509_add1_ext_i2d(x, NID_basic_constraints, bc, 1, 0);
	X509_sign(x, key, EVP_sha256());
	*len_out = (size_t)i2d_re_X509_tbs(x, &tbs);
	BASIC_CONSTRAINTS_free(bc);
	X509_free(x);
	EVP_PKEY_free(key);
	return tbs;
}

static const struct {
	const char *content;
	bool fits;
} bound_cases[] = {
    {"any", true},
    {"tbs-certificate", true},
    {"tbs-crl", false},
    {"csr", false},
    {"tbs-certificate issuer=\"CN=Root,C=JP\"", true},
    {"tbs-certificate issuer=\"C=JP,CN=Root\"", false},
    {"tbs-certificate subject=\"CN=Root,C=JP\"", true},
    {"tbs-certificate subject=\"CN=root,C=JP\"", false},
    {"tbs-certificate validity<=10d", true},
    {"tbs-certificate validity<=239h", false},
    {"tbs-certificate ca=true", true},
    {"tbs-certificate ca=false", false},
    {"tbs-certificate pathlen<=1", true},
    {"tbs-certificate pathlen<=0", false},
    {"tbs-certificate issuer=\"CN=Root,C=JP\" ca=true pathlen<=2 validity<=11d", true},
    {"tbs-certificate issuer=\"CN=Root,C=JP\" ca=true pathlen<=2 validity<=9d", false},
};

static void
test_bounds(void)
{
	struct world w;
	size_t len;
	uint8_t *tbs = some_tbs(&len);
	json_t *intent;

	world_init(&w, WORLD_RULES);
	intent = world_intent(&w, "ca", tbs, len);
	for (size_t i = 0; i < KMN_COUNT_OF(bound_cases); i++) {
		char rules[512];
		struct kmn_policy *policy;
		struct kmn_verdict v;

		snprintf(rules, sizeof(rules), "rule c\n client ca\n calls key-use\n content %s\n need keepers\n",
		    bound_cases[i].content);
		policy = policy_with(rules);
		CU_ASSERT_EQUAL(kmn_policy_judge_intent(policy, intent, &(struct kmn_material){.data = tbs, .len = len},
				    WORLD_START_MS, &v),
		    KMN_OK);
		CU_ASSERT_EQUAL(v.answer, bound_cases[i].fits ? KMN_ANSWER_HELD : KMN_ANSWER_REFUSED);
		CU_ASSERT_EQUAL(v.content_seen, i > 0);
		if ((v.answer == KMN_ANSWER_HELD) != bound_cases[i].fits)
			printf("# %s: %s\n", bound_cases[i].content, v.reason);
		/* Other bytes than those that are signed are no content, whatever they decode to. */
		tbs[len - 1] ^= 1;
		CU_ASSERT_EQUAL(kmn_policy_judge_intent(policy, intent, &(struct kmn_material){.data = tbs, .len = len},
				    WORLD_START_MS, &v),
		    KMN_OK);
		CU_ASSERT_EQUAL(v.content_missing, i > 0);
		tbs[len - 1] ^= 1;
		kmn_policy_free(policy);
	}
	json_decref(intent);
	OPENSSL_free(tbs);
	world_clear(&w);
}

/* What shows a key's public half can be deleted or changed by who may change objects: no laxer rule decides then. */
static void
test_pinned_key(void)
{
	static const char *const objects[] = {" object pkcs11:object=root-ca\n", ""};

	for (size_t i = 0; i < KMN_COUNT_OF(objects); i++) {
		char rules[512], b64[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
		uint8_t spki[KMN_HASH_BYTES], key[KMN_HASH_BYTES] = {1}, other[KMN_HASH_BYTES] = {2};
		struct kmn_verdict v;
		struct kmn_question q = {.client_spki_sha256 = spki,
		    .call = "C_Sign",
		    .object_class = "private-key",
		    .label = "root-ca",
		    .has_object = true,
		    .now = WORLD_START_MS};
		struct kmn_policy *policy;

		kmn_b64(key, sizeof(key), b64);
		snprintf(rules, sizeof(rules),
		    "rule root\n client ca\n%s key spki:%s\n calls key-use\n need keepers\n"
		    "rule rest\n client ca\n calls key-use\n need none\n",
		    objects[i], b64);
		policy = policy_with(rules);
		world_spki("ca", spki);
		q.key_spki_sha256 = key;
		kmn_policy_judge(policy, &q, &v);
		CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_HELD);
		q.key_spki_sha256 = NULL;
		kmn_policy_judge(policy, &q, &v);
		CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_REFUSED);
		q.key_spki_sha256 = other; /* a rule for all objects means other keys when it pins some */
		kmn_policy_judge(policy, &q, &v);
		CU_ASSERT_EQUAL(v.answer, i == 0 ? KMN_ANSWER_REFUSED : KMN_ANSWER_FREE);
		kmn_policy_free(policy);
	}
}

static enum kmn_answer
judge_named(const struct kmn_policy *policy, const char *op, const char *label, const char *template)
{
	json_t *intent = json_pack("{s:s, s:{s:s}, s:{}, s:{}}", "op", op, "mech", "name", "", "key", "requester");
	uint8_t spki[KMN_HASH_BYTES];
	struct kmn_verdict v;

	world_spki("ca", spki);
	json_object_set_new(json_object_get(intent, "requester"), "spki_sha256", kmn_json_b64(spki, sizeof(spki)));
	if (label != NULL)
		json_object_update_new(
		    json_object_get(intent, "key"), json_pack("{s:s, s:s}", "class", "private-key", "label", label));
	json_object_set_new(intent, "template", json_loads(template, 0, NULL));
	CU_ASSERT_EQUAL(kmn_policy_judge_intent(policy, intent, NULL, WORLD_START_MS, &v), KMN_OK);
	json_decref(intent);
	return v.answer;
}

/* A call that makes or renames an object is judged by the name it will have, too. */
static void
test_names(void)
{
	static const struct {
		const char *op, *label, *template;
		enum kmn_answer want;
	} cases[] = {
	    {"C_GenerateKeyPair", NULL,
		"{\"pPublicKeyTemplate\":{},\"pPrivateKeyTemplate\":{\"CKA_LABEL\":\"root-ca\"}}", KMN_ANSWER_HELD},
	    {"C_GenerateKeyPair", NULL, "{\"pPublicKeyTemplate\":{},\"pPrivateKeyTemplate\":{\"CKA_LABEL\":\"k\"}}",
		KMN_ANSWER_FREE},
	    {"C_GenerateKeyPair", NULL,
		"{\"pPublicKeyTemplate\":{},\"pPrivateKeyTemplate\":{\"CKA_LABEL\":\"k\",\"CKA_LABEL_2\":\"root-ca\"}}",
		KMN_ANSWER_REFUSED},
	    {"C_CreateObject", NULL, "{\"CKA_CLASS\":3,\"CKA_LABEL\":\"root-ca\"}", KMN_ANSWER_HELD},
	    {"C_CreateObject", NULL, "{\"CKA_CLASS\":3,\"CKA_LABEL\":{\"b64\":\"cm9vdC1jYQ==\"}}", KMN_ANSWER_HELD},
	    {"C_UnwrapKey", "k", "{\"CKA_LABEL\":\"root-ca\"}", KMN_ANSWER_HELD},
	    {"C_UnwrapKey", "k", "{\"CKA_LABEL\":\"l\"}", KMN_ANSWER_FREE},
	    {"C_SetAttributeValue", "k", "{\"CKA_LABEL\":\"root-ca\"}", KMN_ANSWER_HELD},
	    {"C_SetAttributeValue", "k", "{\"CKA_SENSITIVE\":true}", KMN_ANSWER_FREE},
	    {"C_SetAttributeValue", "ocsp", "{\"CKA_LABEL\":\"k\"}", KMN_ANSWER_REFUSED},
	    {"C_SetAttributeValue", "ocsp", "{\"CKA_ID\":{\"b64\":\"AQ==\"}}", KMN_ANSWER_FREE},
	    {"C_CopyObject", "ocsp", "{\"CKA_LABEL\":\"k\"}", KMN_ANSWER_REFUSED},
	    {"C_CopyObject", "ocsp", "{\"CKA_TOKEN\":false}", KMN_ANSWER_FREE},
	};
	struct kmn_policy *policy = policy_with("rule ocsp\n client ca\n object pkcs11:object=ocsp\n calls key-use\n"
						" need officers\n"
						"rule ceremony\n client ca\n object pkcs11:object=root-ca\n"
						" calls key-management\n allow import\n need keepers\n"
						"rule rest\n client ca\n calls key-management key-use\n allow import\n"
						" need none\n");

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		enum kmn_answer got = judge_named(policy, cases[i].op, cases[i].label, cases[i].template);

		CU_ASSERT_EQUAL(got, cases[i].want);
		if (got != cases[i].want)
			printf("# %s %s\n", cases[i].op, cases[i].template);
	}
	kmn_policy_free(policy);
}

static void
test_mechanism_lists(void)
{
	struct kmn_policy *policy = policy_with(SIGNING);
	uint8_t spki[KMN_HASH_BYTES];

	world_spki("ca", spki);
	/* Rule `look` lists no mechanism, so it could admit any with its calls; one client has no such rule. */
	CU_ASSERT_TRUE(kmn_policy_mechanism_possible(policy, spki, "root", "CKM_ECDSA"));
	CU_ASSERT_FALSE(kmn_policy_mechanism_possible(policy, spki, "spare", "CKM_ECDSA"));
	kmn_policy_free(policy);
	policy = policy_with("rule s\n client ca\n calls key-use\n mechanisms CKM_SHA384_RSA_PKCS\n need keepers\n"
			     "rule q\n client ca\n calls query login session\n need none\n");
	CU_ASSERT_TRUE(kmn_policy_mechanism_possible(policy, spki, "root", "CKM_SHA3_256")); /* uses no key */
	CU_ASSERT_FALSE(kmn_policy_mechanism_possible(policy, spki, "root", ""));
	CU_ASSERT_TRUE(kmn_policy_mechanism_possible(policy, spki, "root", "CKM_SHA384_RSA_PKCS"));
	CU_ASSERT_TRUE(kmn_policy_mechanism_possible(policy, spki, "root", "CKM_RSA_PKCS"));
	CU_ASSERT_FALSE(kmn_policy_mechanism_possible(policy, spki, "root", "CKM_SHA256_RSA_PKCS"));
	CU_ASSERT_FALSE(kmn_policy_mechanism_possible(policy, spki, "root", "CKM_ECDSA"));
	kmn_policy_free(policy);
}

/* ---- against a naive judge, on random policies -------------------------------------------------------------------- */

static uint64_t random_state;

static unsigned
pick(unsigned n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(random_state >> 33) % n;
}

static const char *const clients[] = {"ca", "other"};
static const char *const objects[] = {"", "token=root", "token=root;object=k1", "object=k2", "token=spare"};
static const char *const calls[] = {"key-use", "query", "C_Sign", "C_Decrypt", "session"};
static const char *const mechs[] = {"CKM_ECDSA_SHA256", "CKM_ECDSA_SHA384", "CKM_SHA256_RSA_PKCS", "CKM_RSA_PKCS"};
static const char *const needs[] = {"none", "deny", "keepers", "officers"};

struct naive {
	unsigned client, object, call, mech, need; /* client 2: both; mech 4: none said */
};

static bool
naive_fits(
    const struct naive *r, unsigned client, const char *token, const char *call, unsigned mech, const char *label)
{
	bool use = strcmp(call, "C_Sign") == 0 || strcmp(call, "C_Decrypt") == 0;

	if (r->client != 2 && r->client != client)
		return false;
	if (r->object == 1 && strcmp(token, "root") != 0)
		return false;
	if (r->object == 2 && (strcmp(token, "root") != 0 || label == NULL || strcmp(label, "k1") != 0))
		return false;
	if (r->object == 3 && (label == NULL || strcmp(label, "k2") != 0))
		return false;
	if (r->object == 4 && strcmp(token, "spare") != 0)
		return false;
	if ((r->call == 0 && !use) || (r->call == 1 && strcmp(call, "C_FindObjects") != 0) ||
	    (r->call == 2 && strcmp(call, "C_Sign") != 0) || (r->call == 3 && strcmp(call, "C_Decrypt") != 0) ||
	    (r->call == 4 && strcmp(call, "C_OpenSession") != 0))
		return false;
	if (r->mech == 4)
		return true;
	return r->mech == mech || (r->mech == 3 && mech == 2); /* CKM_RSA_PKCS admits the hash that it carries */
}

static void
test_against_naive(void)
{
	static const char *const names[] = {"C_Sign", "C_Decrypt", "C_FindObjects", "C_OpenSession"};
	unsigned rounds = getenv("KMN_TEST_LONG") != NULL ? 3000 : 150, answers[3] = {0}, wrong = 0;

	for (unsigned round = 0; round < rounds; round++) {
		struct naive rule[6];
		char rules[4096] = "";
		struct kmn_policy *policy;

		random_state = round;
		for (unsigned i = 0; i < 6; i++) {
			struct naive *r = &rule[i];
			size_t at = strlen(rules);

			*r = (struct naive){pick(3), pick(5), pick(5), pick(5), pick(4)};
			snprintf(rules + at, sizeof(rules) - at,
			    "rule r%u\n client %s\n calls %s\n need %s\n%s%s%s%s%s%s", i,
			    r->client == 2 ? "ca other" : clients[r->client], calls[r->call], needs[r->need],
			    r->object ? " object pkcs11:" : "", objects[r->object], r->object ? "\n" : "",
			    r->mech < 4 ? " mechanisms " : "", r->mech < 4 ? mechs[r->mech] : "",
			    r->mech < 4 ? "\n" : "");
		}
		policy = policy_with(rules);
		for (unsigned i = 0; i < 40; i++) {
			unsigned client = pick(2), mech = pick(3), what = pick(4), at = 0;
			bool spare = client == 1 && pick(2) == 1;
			const char *label = pick(3) == 0 ? NULL : pick(2) == 0 ? "k1" : "k2";
			struct kmn_policy_token_facts token = {
			    .label = spare ? "spare" : "Root token", .serial = "42", .firmware = "7.0"};
			struct kmn_norm norm = {.digest_len = mech == 1 ? 48 : 32};
			uint8_t spki[KMN_HASH_BYTES];
			struct kmn_verdict v;
			struct kmn_question q = {.client_spki_sha256 = spki,
			    .token = &token,
			    .call = names[what],
			    .mechanism = mechs[mech],
			    .norm = &norm,
			    .has_object = label != NULL,
			    .label = label,
			    .now = WORLD_START_MS};
			enum kmn_answer want = KMN_ANSWER_REFUSED;

			strcpy(norm.scheme, mech == 2 ? "rsa-pkcs1" : "ecdsa");
			strcpy(norm.hash, mech == 1 ? "sha384" : "sha256");
			world_spki(clients[client], spki);
			while (at < 6 &&
			       !naive_fits(&rule[at], client, spare ? "spare" : "root", names[what], mech, label))
				at++;
			if (at < 6 && rule[at].need != 1)
				want = rule[at].need == 0 ? KMN_ANSWER_FREE : KMN_ANSWER_HELD;
			kmn_policy_judge(policy, &q, &v);
			wrong += v.answer != want || (at < 6 && v.rule[1] != (char)('0' + at));
			answers[v.answer]++;
		}
		kmn_policy_free(policy);
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_TRUE(answers[0] > 100 && answers[1] > 100 && answers[2] > 100);
}

/* ---- versions and lint ------------------------------------------------------------------------------------------- */

static void
test_accept(void)
{
	char *text = world_policy(1, NULL, WORLD_RULES);
	static const struct {
		const char *signers;
		kmn_err want;
	} cases[] = {
	    {"sato suzuki", KMN_OK},
	    {"sato ito nobody", KMN_OK},
	    {"sato", KMN_E_SIGNATURE},
	    {"sato sato2", KMN_E_SIGNATURE},
	    {"mori kato", KMN_E_SIGNATURE},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		struct kmn_policy_error error;
		struct kmn_policy *policy = NULL;
		char *note = world_sign(text, cases[i].signers);

		CU_ASSERT_EQUAL(kmn_policy_accept(note, strlen(note), NULL, &policy, &error), cases[i].want);
		kmn_policy_free(policy);
		free(note);
	}
	free(text);
}

static char found[4096];

static void
collect(void *cookie, unsigned line, const char *text)
{
	size_t at = strlen(found);

	(void)cookie;
	snprintf(found + at, sizeof(found) - at, "%u %s\n", line, text);
}

static void
test_lint(void)
{
	struct kmn_policy *policy =
	    policy_with("group lonely 1 mori\n"
			"rule wide\n client ca\n calls key-use\n need none\n"
			"rule late\n client ca\n calls C_Sign\n need keepers\n"
			"rule own\n client ca\n calls C_DestroyObject\n need lonely\n"
			"rule root\n client ca\n object pkcs11:object=r\n calls key-use\n"
			" mechanisms CKM_ECDSA_SHA256 CKM_ECDSA_SHA1\n need keepers\n"
			"rule after\n client ca\n calls key-use\n mechanisms any\n need none\n");
	static const char *const want[] = {"lonely is one person", "no rule asks group officers",
	    "no rule names client other", "rule late is never reached: rule wide decides before it",
	    "without anyone's approval", "rule root admits CKM_ECDSA_SHA1, which is not approved",
	    "rule after admits every mechanism",
	    "the key of rule root is guarded in part: rule after lets it be used by other mechanisms",
	    "the key of rule root is guarded in part: rule wide lets it be used by what it admits before"};

	found[0] = 0;
	CU_ASSERT_TRUE(kmn_policy_lint(policy, collect, NULL) >= KMN_COUNT_OF(want));
	for (size_t i = 0; i < KMN_COUNT_OF(want); i++) {
		CU_ASSERT_PTR_NOT_NULL(strstr(found, want[i]));
		if (strstr(found, want[i]) == NULL)
			printf("# not said: %s\n# %s", want[i], found);
	}
	kmn_policy_free(policy);
}

/* What does with a key the same as a signature, by another function or a raw mechanism, does not slip past its rule. */
static const struct {
	const char *says, *call, *mechanism, *class;
	enum kmn_answer want;
	const char *rule;
} equivalent_cases[] = {
    {"unwrapping", "C_UnwrapKey", "CKM_RSA_X_509", "private-key", KMN_ANSWER_HELD, "guard"},
    {"unwrapping by another mechanism", "C_UnwrapKey", "CKM_RSA_PKCS_OAEP", "private-key", KMN_ANSWER_HELD, "guard"},
    {"unwrapping with associated data", "C_UnwrapKeyAuthenticated", "CKM_AES_GCM", "secret-key", KMN_ANSWER_HELD,
	"guard"},
    {"being wrapped", "C_WrapKey", "CKM_AES_KEY_WRAP", "private-key", KMN_ANSWER_HELD, "guard"},
    {"being wrapped with associated data", "C_WrapKeyAuthenticated", "CKM_AES_GCM", "private-key", KMN_ANSWER_HELD,
	"guard"},
    {"deriving", "C_DeriveKey", "CKM_ECDH1_DERIVE", "private-key", KMN_ANSWER_HELD, "guard"},
    {"decapsulating", "C_DecapsulateKey", "CKM_ML_KEM", "private-key", KMN_ANSWER_HELD, "guard"},
    {"encapsulating, by the public half", "C_EncapsulateKey", "CKM_ML_KEM", "public-key", KMN_ANSWER_FREE, "rest"},
    {"decrypting raw", "C_Decrypt", "CKM_RSA_X_509", "private-key", KMN_ANSWER_HELD, "guard"},
    {"beginning to decrypt raw", "C_DecryptInit", "CKM_RSA_X_509", "private-key", KMN_ANSWER_HELD, "guard"},
    {"decrypting with the padding of signatures", "C_Decrypt", "CKM_RSA_PKCS", "private-key", KMN_ANSWER_HELD, "guard"},
    {"signing raw", "C_Sign", "CKM_RSA_X_509", "private-key", KMN_ANSWER_HELD, "guard"},
    {"signing raw and recoverably", "C_SignRecover", "CKM_RSA_X_509", "private-key", KMN_ANSWER_HELD, "guard"},
    {"signing messages raw", "C_SignMessage", "CKM_RSA_X_509", "private-key", KMN_ANSWER_HELD, "guard"},
    {"encrypting with the private half", "C_Encrypt", "CKM_RSA_X_509", "private-key", KMN_ANSWER_HELD, "guard"},
    {"encrypting with the public half", "C_Encrypt", "CKM_RSA_X_509", "public-key", KMN_ANSWER_FREE, "rest"},
    {"decrypting by a mechanism that signs nothing", "C_Decrypt", "CKM_RSA_PKCS_OAEP", "private-key", KMN_ANSWER_FREE,
	"rest"},
    {"what stands before the rule", "C_CopyObject", NULL, "private-key", KMN_ANSWER_FREE, "before"},
};

static void
test_equivalent(void)
{
	struct kmn_policy *policy =
	    policy_with("rule before\n client ca\n calls C_CopyObject\n need none\n"
			"rule guard\n client ca\n object pkcs11:object=root\n calls key-use\n"
			" mechanisms CKM_SHA256_RSA_PKCS\n need keepers\n"
			"rule rest\n client ca\n calls key-use key-management\n mechanisms any\n"
			" need none\n");

	for (size_t i = 0; i < KMN_COUNT_OF(equivalent_cases); i++) {
		struct kmn_policy_token_facts token = {.label = "Root token", .serial = "42", .firmware = "7.1"};
		uint8_t spki[KMN_HASH_BYTES];
		struct kmn_verdict v;
		struct kmn_question q = {.client_spki_sha256 = spki,
		    .token = &token,
		    .call = equivalent_cases[i].call,
		    .mechanism = equivalent_cases[i].mechanism,
		    .has_object = true,
		    .object_class = equivalent_cases[i].class,
		    .label = "root",
		    .now = WORLD_START_MS};

		world_spki("ca", spki);
		kmn_policy_judge(policy, &q, &v);
		if (v.answer != equivalent_cases[i].want || strcmp(v.rule, equivalent_cases[i].rule) != 0)
			printf("# %s: %d by %s: %s\n", equivalent_cases[i].says, v.answer, v.rule, v.reason);
		CU_ASSERT_EQUAL(v.answer, equivalent_cases[i].want);
		CU_ASSERT_STRING_EQUAL(v.rule, equivalent_cases[i].rule);
		q.label = "another";
		kmn_policy_judge(policy, &q, &v);
		CU_ASSERT_EQUAL(v.answer, KMN_ANSWER_FREE);
	}
	kmn_policy_free(policy);
}

/* One label in two modules is two tokens, for those who know the module; what a client sees has numbers of its own. */
static void
test_modules(void)
{
	static const char text[] =
	    HEAD "custodian a person:1 @a\nrole policy 1 a\ntoken one label x module m\ntoken two label x module n\n"
		 "client c %c tokens two=7 one=3\nclient d %d tokens two one\n";
	struct kmn_policy_token_facts facts = {.label = "x", .module = "n"};
	const struct kmn_policy_peer *peer;
	struct kmn_policy_error error;
	struct kmn_policy *policy;

	CU_ASSERT_EQUAL_FATAL(kmn_policy_parse(fill(text), strlen(fill(text)), &policy, &error), KMN_OK);
	CU_ASSERT_STRING_EQUAL(kmn_policy_token_get(policy, &facts)->name, "two");
	facts.module = "m";
	CU_ASSERT_STRING_EQUAL(kmn_policy_token_get(policy, &facts)->name, "one");
	facts.module = "o";
	CU_ASSERT_PTR_NULL(kmn_policy_token_get(policy, &facts));
	facts.module = NULL;
	CU_ASSERT_STRING_EQUAL(kmn_policy_token_get(policy, &facts)->name, "one");
	CU_ASSERT_STRING_EQUAL(kmn_policy_token_named(policy, "two")->module, "n");
	CU_ASSERT_PTR_NULL(kmn_policy_token_named(policy, "three"));
	peer = kmn_policy_peer_at(policy, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(peer->slots);
	CU_ASSERT_STRING_EQUAL(peer->tokens[0], "two");
	CU_ASSERT_EQUAL(peer->slots[0], 7);
	CU_ASSERT_EQUAL(peer->slots[1], 3);
	CU_ASSERT_PTR_NULL(kmn_policy_peer_at(policy, 1)->slots);
	found[0] = 0;
	(void)kmn_policy_lint(policy, collect, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(found, "client d sees tokens of several modules without slot numbers"));
	CU_ASSERT_PTR_NULL(strstr(found, "client c sees"));
	kmn_policy_free(policy);
}

static void
test_is_met(void)
{
	struct kmn_policy *policy = policy_with(WORLD_RULES);
	struct kmn_verdict v = {.need = {{"keepers", 2, 3}, {"officers", 1, 3}}, .needs = 2};
	static const char *const names[] = {"sato", "suzuki", "tanaka", "mori", "kato"};

	/* Every set of persons against every way to place them, tried one by one. */
	for (unsigned set = 0; set < 32; set++) {
		const char *chosen[5];
		size_t n = 0;
		bool want = false;

		for (unsigned i = 0; i < 5; i++)
			if ((set & 1u << i) != 0)
				chosen[n++] = names[i];
		for (unsigned officer = 0; officer < n; officer++) {
			unsigned keepers = 0;

			for (unsigned i = 0; i < n; i++)
				keepers += i != officer && kmn_policy_is_member(policy, "keepers", chosen[i]);
			want = want || (keepers >= 2 && kmn_policy_is_member(policy, "officers", chosen[officer]));
		}
		CU_ASSERT_EQUAL(kmn_policy_is_met(policy, &v, chosen, n), want);
	}
	kmn_policy_free(policy);
}

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    {"good policies, and bad ones with their line and words", test_parse},
	    {"the first rule that fits decides", test_judge},
	    {"a policy rules between its two days", test_not_in_force},
	    {"a digest, or data without words, slips past no content rule", test_content_rules},
	    {"bounds on content", test_bounds},
	    {"a key that does not show the pinned public half slips to no laxer rule", test_pinned_key},
	    {"who makes or renames an object is judged by its name to be", test_names},
	    {"mechanisms are hidden where no rule could admit them", test_mechanism_lists},
	    {"a naive judge agrees on random policies", test_against_naive},
	    {"version 1 is signed by its own role", test_accept},
	    {"each person counts in one group", test_is_met},
	    {"lint says what is hardly meant", test_lint},
	    {"the same thing by another name is decided by the same rule", test_equivalent},
	    {"tokens of several modules, and slot numbers", test_modules},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/policy", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};
	return kmn_test_main(argc, argv, suites);
}
