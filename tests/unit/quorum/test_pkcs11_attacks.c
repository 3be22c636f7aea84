/*
 * Known attacks on PKCS#11: other ways to the effect of what a rule guards, and ways to take a key out. Each is one call
 * as an intent records it, judged as keeper and auditor judge it.
 */
#include "config.h"

#include "tests/unit/quorum/world.h"
#include "tests/unit/run.h"

#include <stdlib.h>
#include <string.h>

/* The root key signs by quorum; all else is as free as a policy can say, but for `allow`. */
static const char rules[] =
    "rule guard\n client ca\n object pkcs11:object=root pkcs11:object=kek\n calls key-use\n"
    " mechanisms CKM_SHA256_RSA_PKCS CKM_AES_GCM\n need keepers\n"
    "rule made-inside\n client ca\n object pkcs11:object=proud\n calls key-use\n origin local\n need none\n"
    "rule ceremony\n client ca\n object pkcs11:object=ceremony\n calls key-management\n need keepers\n"
    "rule sorted\n client ca\n object pkcs11:object=plain\n calls key-use key-management\n need none\n"
    "rule rest\n client ca\n calls login session query key-use key-management\n"
    " mechanisms any\n need none\n";

#define PRIVATE(label) "\"class\":\"private-key\",\"label\":\"" label "\""
#define SECRET(label) "\"class\":\"secret-key\",\"label\":\"" label "\""
#define KDF(label) \
	"{\"name\":\"CKM_SP800_108_COUNTER_KDF\",\"params\":{\"template\":{},\"template_2\":{\"CKA_LABEL\":\"" label \
	"\"}}}"
#define EXTRA_LEAK \
	"{\"name\":\"CKM_SP800_108_COUNTER_KDF\",\"params\":{\"template\":{},\"template_2\":{\"CKA_EXTRACTABLE\":" \
	"true}}}"

/*  function, what it is, call, mechanism (a name, or JSON), key, template, answer, words of the reason */
/* clang-format off */
#define ATTACKS(ROW) \
ROW(raw_decrypt, "raw RSA decryption instead of a signature", \
    "C_Decrypt", "CKM_RSA_X_509", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(padded_decrypt, "decryption with the padding of signatures", \
    "C_Decrypt", "CKM_RSA_PKCS", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(private_encrypt, "encryption with the private half", \
    "C_Encrypt", "CKM_RSA_X_509", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(raw_sign, "a raw signature instead of one over data", \
    "C_Sign", "CKM_RSA_X_509", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(sign_recover, "C_SignRecover instead of C_Sign", \
    "C_SignRecover", "CKM_RSA_X_509", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(raw_message, "a raw message signature", \
    "C_SignMessage", "CKM_RSA_X_509", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(dual, "the decrypting half of a dual function", \
    "C_DecryptDigestUpdate", "CKM_RSA_X_509", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(unwrap_as_sign, "unwrapping what is to be signed into a readable key", \
    "C_UnwrapKey", "CKM_RSA_X_509", PRIVATE("root"), "{\"CKA_EXTRACTABLE\":true}", REFUSED, "`allow import`") \
ROW(derive, "deriving from the guarded key", \
    "C_DeriveKey", "CKM_ECDH1_DERIVE", PRIVATE("root"), "{\"CKA_CLASS\":4}", HELD, "rule guard") \
ROW(decapsulate, "decapsulation by the guarded key", \
    "C_DecapsulateKey", "CKM_ML_KEM", PRIVATE("root"), "{\"CKA_CLASS\":4}", HELD, "rule guard") \
ROW(digest_key, "the digest of a guarded secret key", \
    "C_DigestKey", "", SECRET("kek"), NULL, HELD, "rule guard") \
ROW(wrapped_out, "wrapping the guarded key under a known one", \
    "C_WrapKey", "CKM_AES_KEY_WRAP", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(wrapped_out_aead, "the same, authenticated", \
    "C_WrapKeyAuthenticated", "CKM_AES_GCM", PRIVATE("root"), NULL, HELD, "rule guard") \
ROW(known_wrapper, "a known wrapping key brought in", \
    "C_CreateObject", "", "", "{\"CKA_CLASS\":4,\"CKA_WRAP\":true}", REFUSED, "`allow import`") \
ROW(known_signer, "a known private key brought in under another's name", \
    "C_CreateObject", "", "", "{\"CKA_CLASS\":3,\"CKA_LABEL\":\"root\"}", REFUSED, "`allow import`") \
ROW(unnamed_class, "an object whose class nobody says", \
    "C_CreateObject", "", "", "{\"CKA_LABEL\":\"x\"}", REFUSED, "`allow import`") \
ROW(two_classes, "an object with two classes", \
    "C_CreateObject", "", "", "{\"CKA_CLASS\":0,\"CKA_CLASS_2\":4}", REFUSED, "`allow import`") \
ROW(unwrap_chosen, "unwrapping with attributes of the attacker's choice", \
    "C_UnwrapKey", "CKM_AES_KEY_WRAP", SECRET("any"), "{\"CKA_CLASS\":4,\"CKA_WRAP\":true,\"CKA_DECRYPT\":true}", \
    REFUSED, "`allow import`") \
ROW(copy_away, "a copy under a name that no rule knows", \
    "C_CopyObject", "", PRIVATE("root"), "{\"CKA_LABEL\":\"free\"}", REFUSED, "would not know the key") \
ROW(relabel, "another label", \
    "C_SetAttributeValue", "", PRIVATE("root"), "{\"CKA_LABEL\":\"free\"}", REFUSED, "would not know the key") \
ROW(two_labels, "two labels, of which the module takes one", \
    "C_CopyObject", "", PRIVATE("x"), "{\"CKA_LABEL\":\"x\",\"CKA_LABEL_2\":\"y\"}", REFUSED, "two labels") \
ROW(copy_extractable, "a copy that may leave", \
    "C_CopyObject", "", PRIVATE("x"), "{\"CKA_EXTRACTABLE\":true}", REFUSED, "`allow extractable`") \
ROW(less_sensitive, "CKA_SENSITIVE taken away", \
    "C_SetAttributeValue", "", SECRET("x"), "{\"CKA_SENSITIVE\":false}", REFUSED, "CKA_SENSITIVE") \
ROW(born_extractable, "a key generated to leave", \
    "C_GenerateKey", "CKM_AES_KEY_GEN", "", "{\"CKA_EXTRACTABLE\":true}", REFUSED, "`allow extractable`") \
ROW(born_readable, "a pair whose private half is readable", \
    "C_GenerateKeyPair", "CKM_EC_KEY_PAIR_GEN", "", \
    "{\"pPublicKeyTemplate\":{},\"pPrivateKeyTemplate\":{\"CKA_SENSITIVE\":false}}", REFUSED, "CKA_SENSITIVE") \
ROW(said_twice, "CKA_EXTRACTABLE said twice", \
    "C_GenerateKey", "CKM_AES_KEY_GEN", "", "{\"CKA_EXTRACTABLE\":false,\"CKA_EXTRACTABLE_2\":true}", REFUSED, \
    "`allow extractable`") \
ROW(said_oddly, "CKA_EXTRACTABLE that is no boolean", \
    "C_GenerateKey", "CKM_AES_KEY_GEN", "", "{\"CKA_EXTRACTABLE\":{\"b64\":\"AQE=\"}}", REFUSED, "`allow extractable`") \
ROW(derived_extractable, "a derived key that may leave", \
    "C_DeriveKey", "CKM_HKDF_DERIVE", SECRET("x"), "{\"CKA_EXTRACTABLE\":true}", REFUSED, "`allow extractable`") \
ROW(extra_extractable, "a second derived key inside the parameters that may leave", \
    "C_DeriveKey", EXTRA_LEAK, SECRET("x"), "{}", REFUSED, "`allow extractable`") \
ROW(extra_named, "a second derived key inside the parameters under the name of a guarded one", \
    "C_DeriveKey", KDF("ceremony"), SECRET("x"), "{}", HELD, "rule ceremony") \
ROW(trusted, "a wrapping key made trusted", \
    "C_SetAttributeValue", "", SECRET("x"), "{\"CKA_TRUSTED\":true}", REFUSED, "CKA_TRUSTED") \
ROW(trusted_public, "a public wrapping key made trusted", \
    "C_SetAttributeValue", "", "\"class\":\"public-key\",\"label\":\"x\"", "{\"CKA_TRUSTED\":true}", REFUSED, \
    "CKA_TRUSTED") \
ROW(wrap_with_any, "CKA_WRAP_WITH_TRUSTED taken away", \
    "C_SetAttributeValue", "", SECRET("x"), "{\"CKA_WRAP_WITH_TRUSTED\":false}", REFUSED, "CKA_WRAP_WITH_TRUSTED") \
ROW(imported_used, "a key that was brought in, where one made inside is asked for", \
    "C_Sign", "CKM_ECDSA_SHA256", PRIVATE("proud") ",\"local\":false,\"never_extractable\":false", NULL, REFUSED, \
    "made inside") \
ROW(unknown_used, "a key of which nobody knows where it is from, in its place", \
    "C_Sign", "CKM_ECDSA_SHA256", PRIVATE("proud"), NULL, REFUSED, "made inside") \
ROW(left_once, "a key that was extractable once, in its place", \
    "C_Sign", "CKM_ECDSA_SHA256", PRIVATE("proud") ",\"local\":true,\"never_extractable\":false", NULL, REFUSED, \
    "made inside") \
ROW(extract_piecewise, "a key told byte by byte by derivation", \
    "C_DeriveKey", "CKM_EXTRACT_KEY_FROM_KEY", SECRET("plain"), "{}", REFUSED, "approved mechanisms") \
ROW(xor_known, "a key turned into a related one", \
    "C_DeriveKey", "CKM_XOR_BASE_AND_DATA", SECRET("plain"), "{}", REFUSED, "approved mechanisms") \
ROW(ecb_derive, "a derived key that is encryption under the base key", \
    "C_DeriveKey", "CKM_AES_ECB_ENCRYPT_DATA", SECRET("plain"), "{}", REFUSED, "approved mechanisms") \
ROW(padding_oracle, "decryption of PKCS#1 v1.5, an oracle", \
    "C_Decrypt", "CKM_RSA_PKCS", PRIVATE("plain"), NULL, REFUSED, "approved mechanisms") \
ROW(md5, "a signature over MD5", \
    "C_Sign", "CKM_MD5_RSA_PKCS", PRIVATE("plain"), NULL, REFUSED, "approved mechanisms") \
ROW(sha1, "a signature over SHA-1", \
    "C_Sign", "CKM_ECDSA_SHA1", PRIVATE("plain"), NULL, REFUSED, "approved mechanisms") \
ROW(des, "wrapping under a key of 56 bits", \
    "C_WrapKey", "CKM_DES_ECB", SECRET("plain"), NULL, REFUSED, "approved mechanisms") \
ROW(unknown_mechanism, "a vendor's mechanism that no table knows", \
    "C_Sign", "CKM_0x80000001", PRIVATE("plain"), NULL, REFUSED, "approved mechanisms")
/* clang-format on */

static struct kmn_policy *
policy_of(const char *text_of_rules)
{
	char *text = world_policy(1, NULL, text_of_rules);
	struct kmn_policy_error error;
	struct kmn_policy *policy;

	if (kmn_policy_parse(text, strlen(text), &policy, &error) != KMN_OK)
		printf("# line %u: %s\n", error.line, error.text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(policy);
	free(text);
	return policy;
}

static json_t *
intent_of(const char *call, const char *mechanism, const char *key, const char *template)
{
	char text[1024], spki[KMN_B64_LEN(KMN_HASH_BYTES) + 1];
	uint8_t sha256[KMN_HASH_BYTES];
	json_t *intent;

	world_spki("ca", sha256);
	kmn_b64(sha256, sizeof(sha256), spki);
	snprintf(text, sizeof(text),
	    "{\"op\":\"%s\",\"sess\":1,\"mech\":%s%s%s,\"key\":{\"token\":\"Root token\",\"module\":\"softhsm\"%s%s},"
	    "\"requester\":{\"spki_sha256\":\"%s\"}}",
	    call, mechanism[0] == '{' ? "" : "{\"params\":{},\"name\":\"", mechanism, mechanism[0] == '{' ? "" : "\"}",
	    key[0] != 0 ? "," : "", key, spki);
	intent = json_loads(text, 0, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(intent);
	if (template != NULL)
		json_object_set_new(intent, "template", json_loads(template, 0, NULL));
	return intent;
}

static void
judge(const char *text_of_rules, json_t *intent, enum kmn_answer want, const char *words)
{
	struct kmn_policy *policy = policy_of(text_of_rules);
	struct kmn_verdict v;

	CU_ASSERT_EQUAL(kmn_policy_judge_intent(policy, intent, NULL, WORLD_START_MS, &v), KMN_OK);
	if (v.answer != want || strstr(v.reason, words) == NULL)
		printf("# %s: %d: %s\n", json_string_value(json_object_get(intent, "op")), v.answer, v.reason);
	CU_ASSERT_EQUAL(v.answer, want);
	CU_ASSERT_PTR_NOT_NULL(strstr(v.reason, words));
	json_decref(intent);
	kmn_policy_free(policy);
}

#define ATTACK(function, says, call, mechanism, key, template, answer, words) \
	static void test_##function(void) \
	{ \
		judge(rules, intent_of(call, mechanism, key, template), KMN_ANSWER_##answer, words); \
	}
ATTACKS(ATTACK)
#undef ATTACK

/* What the rule says before all others, or allows, goes on: none of this is refused for being refused everywhere. */
static void
test_allowed(void)
{
	static const char open[] = "rule most\n client ca\n calls key-use key-management\n mechanisms any\n"
				   " allow import extractable\n need none\n";
	static const struct {
		const char *call, *mechanism, *key, *template;
	} cases[] = {
	    {"C_CreateObject", "", "", "{\"CKA_CLASS\":4,\"CKA_EXTRACTABLE\":true}"},
	    {"C_UnwrapKey", "CKM_RSA_X_509", PRIVATE("root"), "{\"CKA_CLASS\":4}"},
	    {"C_GenerateKey", "CKM_DES_KEY_GEN", "", "{\"CKA_SENSITIVE\":false}"},
	    {"C_SetAttributeValue", "", SECRET("x"), "{\"CKA_TRUSTED\":true}"},
	    {"C_Sign", "CKM_MD5_RSA_PKCS", PRIVATE("root"), NULL},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++)
		judge(open, intent_of(cases[i].call, cases[i].mechanism, cases[i].key, cases[i].template),
		    KMN_ANSWER_FREE, "rule most");
}

/* What brings no key in, and takes none out, needs no `allow`. */
static void
test_harmless(void)
{
	static const struct {
		const char *call, *mechanism, *key, *template;
	} cases[] = {
	    {"C_CreateObject", "", "", "{\"CKA_CLASS\":1,\"CKA_TRUSTED\":true}"},
	    {"C_CreateObject", "", "", "{\"CKA_CLASS\":2,\"CKA_WRAP\":true}"},
	    {"C_CreateObject", "", "", "{\"CKA_CLASS\":0}"},
	    {"C_GenerateKey", "CKM_AES_KEY_GEN", "", "{\"CKA_SENSITIVE\":true,\"CKA_EXTRACTABLE\":false}"},
	    {"C_GenerateKey", "CKM_AES_KEY_GEN", "", "{\"CKA_WRAP_WITH_TRUSTED\":false}"},
	    {"C_DeriveKey", "CKM_ECDH1_DERIVE", PRIVATE("x"), "{\"CKA_SENSITIVE\":true}"},
	    {"C_SetAttributeValue", "", SECRET("x"), "{\"CKA_EXTRACTABLE\":false,\"CKA_WRAP_WITH_TRUSTED\":true}"},
	    {"C_SetAttributeValue", "", "\"class\":\"certificate\",\"label\":\"x\"", "{\"CKA_TRUSTED\":true}"},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++)
		judge(rules, intent_of(cases[i].call, cases[i].mechanism, cases[i].key, cases[i].template),
		    KMN_ANSWER_FREE, "rule rest");
	judge(rules,
	    intent_of(
		"C_Sign", "CKM_ECDSA_SHA256", PRIVATE("proud") ",\"local\":true,\"never_extractable\":true", NULL),
	    KMN_ANSWER_FREE, "rule made-inside");
}

/* A bare digest is as good as the hash that made it; a short one is SHA-1's. */
static void
test_bare_digests(void)
{
	static const struct {
		const char *scheme, *hash;
		size_t len;
		enum kmn_answer want;
	} cases[] = {{"rsa-pkcs1", "sha256", 32, KMN_ANSWER_FREE}, {"rsa-pkcs1", "sha1", 20, KMN_ANSWER_REFUSED},
	    {"ecdsa", "", 32, KMN_ANSWER_FREE}, {"ecdsa", "", 20, KMN_ANSWER_REFUSED},
	    {"rsa-pss", "sha1", 20, KMN_ANSWER_REFUSED}};

	for (size_t i = 0; i < KMN_COUNT_OF(cases); i++) {
		struct kmn_norm norm = {.digest_len = cases[i].len};
		json_t *intent = intent_of("C_Sign",
		    cases[i].scheme[0] == 'e'                 ? "CKM_ECDSA"
		    : strcmp(cases[i].scheme, "rsa-pss") == 0 ? "CKM_RSA_PKCS_PSS"
							      : "CKM_RSA_PKCS",
		    PRIVATE("plain"), NULL);

		strcpy(norm.scheme, cases[i].scheme);
		strcpy(norm.hash, cases[i].hash);
		json_object_set_new(intent, "norm", kmn_norm_json(&norm));
		judge(rules, intent, cases[i].want,
		    cases[i].want == KMN_ANSWER_FREE ? "rule sorted" : "approved mechanisms");
	}
	judge(rules, intent_of("C_Sign", "CKM_RSA_PKCS", PRIVATE("plain"), NULL), KMN_ANSWER_REFUSED,
	    "approved mechanisms");
}

/* R6: another HSM behind the same label is no token of this policy. */
static void
test_another_hsm(void)
{
	static const char tokens[] =
	    "token pinned label P serial 1 model \"Luna K7\" manufacturer SafeNet firmware 7.7.* level 3\n"
	    "client cp %s tokens pinned\n"
	    "rule p\n client cp\n calls key-use\n need none\n";
	static const struct kmn_policy_token_facts right = {
	    .label = "P", .serial = "1", .model = "Luna K7", .manufacturer = "SafeNet", .firmware = "7.7.2"};
	struct kmn_policy_token_facts facts[] = {right, right, right, right, right, right};
	char text[512], spki[KMN_B64_LEN(KMN_HASH_BYTES) + 6] = "spki:";
	uint8_t sha256[KMN_HASH_BYTES];
	struct kmn_policy *policy;

	facts[1].serial = "2";
	facts[2].model = "Luna K6";
	facts[3].firmware = "7.8.0";
	facts[4].manufacturer = "another";
	facts[5].label = "p";
	world_spki("cp", sha256);
	kmn_b64(sha256, sizeof(sha256), spki + 5);
	snprintf(text, sizeof(text), tokens, spki);
	policy = policy_of(text);
	for (size_t i = 0; i < KMN_COUNT_OF(facts); i++) {
		struct kmn_question q = {.client_spki_sha256 = sha256,
		    .token = &facts[i],
		    .call = "C_Sign",
		    .mechanism = "CKM_ECDSA_SHA256",
		    .has_object = true,
		    .object_class = "private-key",
		    .label = "x",
		    .now = WORLD_START_MS};
		struct kmn_verdict v;

		kmn_policy_judge(policy, &q, &v);
		CU_ASSERT_EQUAL(v.answer, i == 0 ? KMN_ANSWER_FREE : KMN_ANSWER_REFUSED);
		CU_ASSERT_EQUAL(kmn_policy_token_get(policy, &facts[i]) != NULL, i == 0);
	}
	kmn_policy_free(policy);
}

#define ATTACK(function, says, call, mechanism, key, template, answer, words) {says, test_##function},

int
main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
	    ATTACKS(ATTACK){"what a rule allows is not refused", test_allowed},
	    {"what neither brings a key in nor takes one out needs no allowance", test_harmless},
	    {"bare digests are approved by the hash that made them", test_bare_digests},
	    {"another HSM behind the same label is refused", test_another_hsm},
	    CU_TEST_INFO_NULL,
	};
	static CU_SuiteInfo suites[] = {
	    {"quorum/pkcs11-attacks", NULL, NULL, NULL, NULL, tests},
	    CU_SUITE_INFO_NULL,
	};

	return kmn_test_main(argc, argv, suites);
}
