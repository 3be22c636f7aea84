/* What is usual: an argument of each kind that is right, and what a call needs to be there before it. */
#include "tests/conformance/axes.h"

#include <string.h>

static const struct recipe recipes[] = {
    {KMN_OP_ENCRYPT, "CKM_AES_CBC/[" AES_IV "]", "k:aes", 32, NULL},
    {KMN_OP_ENCRYPT, "CKM_AES_ECB", "k:aes", 32, NULL},
    {KMN_OP_ENCRYPT, "CKM_AES_CBC_PAD/[" AES_IV "]", "k:aes256", 21, NULL},
    {KMN_OP_ENCRYPT, "CKM_AES_CTR/[u:128," AES_IV "]", "k:aes", 27, NULL},
    {KMN_OP_ENCRYPT, "CKM_AES_GCM/[p[r:8:12],u:12,u:96,p[r:9:5],u:5,u:128]", "k:aes", 20, NULL},
    {KMN_OP_ENCRYPT, "CKM_DES3_CBC/[x:0011223344556677]", "k:des3", 24, NULL},
    {KMN_OP_ENCRYPT, "CKM_RSA_PKCS", "k:rsa-pub", 20, NULL},
    {KMN_OP_ENCRYPT, "CKM_RSA_X_509", "k:rsa-pub", 128, NULL},
    {KMN_OP_ENCRYPT, "CKM_RSA_PKCS_OAEP/[u:CKM_SHA_1,u:1,u:1,p0,u:0]", "k:rsa-pub", 20, NULL},
    {KMN_OP_ENCRYPT, "CKM_AES_CBC/[" AES_IV "]", "k:aes-secret", 16, NULL},
    {KMN_OP_DECRYPT, "CKM_AES_CBC/[" AES_IV "]", "k:aes", 32, NULL},
    {KMN_OP_DECRYPT, "CKM_AES_ECB", "k:aes", 48, NULL},
    {KMN_OP_DECRYPT, "CKM_AES_CBC_PAD/[" AES_IV "]", "k:aes256", 32, NULL},
    {KMN_OP_DECRYPT, "CKM_AES_CTR/[u:128," AES_IV "]", "k:aes", 27, NULL},
    {KMN_OP_DECRYPT, "CKM_DES3_CBC/[x:0011223344556677]", "k:des3", 24, NULL},
    {KMN_OP_DECRYPT, "CKM_RSA_X_509", "k:rsa", 128, NULL},
    {KMN_OP_DECRYPT, "CKM_RSA_PKCS", "k:rsa-secret", 128, NULL},
    {KMN_OP_DIGEST, "CKM_SHA256", "", 40, NULL},
    {KMN_OP_DIGEST, "CKM_SHA_1", "", 0, NULL},
    {KMN_OP_DIGEST, "CKM_SHA512", "", 300, NULL},
    {KMN_OP_DIGEST, "CKM_MD5", "", 64, NULL},
    {KMN_OP_SIGN, "CKM_RSA_PKCS", "k:rsa", 35, NULL},
    {KMN_OP_SIGN, "CKM_SHA256_RSA_PKCS", "k:rsa-secret", 100, NULL},
    {KMN_OP_SIGN, "CKM_SHA256_HMAC", "k:generic", 50, NULL},
    {KMN_OP_SIGN, "CKM_SHA256_RSA_PKCS_PSS/[u:CKM_SHA256,u:2,u:32]", "k:rsa", 60, NULL},
    {KMN_OP_SIGN, "CKM_ECDSA", "k:ec", 32, NULL},
    {KMN_OP_SIGN, "CKM_ECDSA", "k:ec384", 48, NULL},
    {KMN_OP_SIGN, "CKM_EDDSA", "k:ed", 33, NULL},
    {KMN_OP_SIGN, "CKM_AES_CMAC", "k:aes", 33, NULL},
    {KMN_OP_SIGN, "CKM_DSA", "k:dsa", 20, NULL},
    {KMN_OP_SIGN, "CKM_RSA_X_509", "k:rsa", 128, NULL},
    {KMN_OP_VERIFY, "CKM_RSA_PKCS", "k:rsa-pub", 35, NULL},
    {KMN_OP_VERIFY, "CKM_SHA256_RSA_PKCS", "k:rsa-pub", 100, NULL},
    {KMN_OP_VERIFY, "CKM_SHA256_HMAC", "k:generic", 50, NULL},
    {KMN_OP_VERIFY, "CKM_ECDSA", "k:ec-pub", 32, NULL},
    {KMN_OP_VERIFY, "CKM_AES_CMAC", "k:aes", 33, NULL},
    {KMN_OP_SIGN_RECOVER, "CKM_RSA_PKCS", "k:rsa", 20, NULL},
    {KMN_OP_SIGN_RECOVER, "CKM_RSA_X_509", "k:rsa", 128, NULL},
    {KMN_OP_VERIFY_RECOVER, "CKM_RSA_PKCS", "k:rsa-pub", 128, NULL},
    {KMN_OP_VERIFY_RECOVER, "CKM_RSA_X_509", "k:rsa-pub", 128, NULL},
    {KMN_OP_MESSAGE_ENCRYPT, "CKM_AES_GCM", "k:aes", 32, "[p[r:8:12],u:12,u:0,u:0,p[z:16]>b3,u:128]"},
    {KMN_OP_MESSAGE_ENCRYPT, "CKM_AES_GCM", "k:aes256", 5, "[p[r:8:12],u:12,u:32,u:1,p[z:16]>b3,u:128]"},
    {KMN_OP_MESSAGE_ENCRYPT, "CKM_CHACHA20_POLY1305", "k:chacha", 19, "[p[r:8:12],u:12,p[z:16]>b3]"},
    {KMN_OP_MESSAGE_DECRYPT, "CKM_AES_GCM", "k:aes", 32, "[p[r:8:12],u:12,u:0,u:0,p[b3],u:128]"},
    {KMN_OP_MESSAGE_SIGN, "CKM_ECDSA", "k:ec", 32, "NULL"},
    {KMN_OP_MESSAGE_SIGN, "CKM_SHA256_RSA_PKCS", "k:rsa", 50, "NULL"},
    {KMN_OP_MESSAGE_VERIFY, "CKM_ECDSA", "k:ec-pub", 32, "NULL"},
    {KMN_OP_MESSAGE_VERIFY, "CKM_SHA256_RSA_PKCS", "k:rsa-pub", 50, "NULL"},
    {KMN_OP_VERIFY_SIGNATURE, "CKM_SHA256_RSA_PKCS", "k:rsa-pub", 128, NULL},
};

const struct recipe *
recipe_for(struct text *t, unsigned operation)
{
	const struct recipe *fit[KMN_COUNT_OF(recipes)];
	uint32_t n = 0;

	for (size_t i = 0; i < KMN_COUNT_OF(recipes); i++)
		if (recipes[i].operation == operation)
			fit[n++] = &recipes[i];
	return n > 0 ? fit[chance(t, n)] : NULL;
}

/* The function that begins an operation. */
static const struct kmn_call *
starter_of(unsigned operation)
{
	for (unsigned i = 0; i < KMN_CALL_COUNT; i++)
		if (kmn_call_row(i)->effect == KMN_EFFECT_STARTS && kmn_call_row(i)->operations == operation)
			return kmn_call_row(i);
	return NULL;
}

#define USUAL_KEY \
	"{CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x1f,CKA_VALUE_LEN=u:16,CKA_TOKEN=b:0,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1," \
	"CKA_ENCRYPT=b:1,CKA_LABEL=s:made}"

/* A mechanism for functions that are no operations. */
static const char *
usual_mechanism(const struct kmn_call *call)
{
	if (strstr(call->name, "KeyPair") != NULL)
		return "CKM_EC_KEY_PAIR_GEN";
	if (strstr(call->name, "Generate") != NULL)
		return "CKM_AES_KEY_GEN";
	if (strstr(call->name, "Derive") != NULL)
		return "CKM_AES_ECB_ENCRYPT_DATA/[p[r:1:16],u:16]";
	return "CKM_AES_CBC_PAD/[" AES_IV "]";
}

static const char *
usual_template(const struct kmn_call *call, size_t i)
{
	if (strcmp(call->name, "C_GenerateKeyPair") == 0)
		return call->param[i].name[1] == 'P' && call->param[i].name[2] == 'u'
			   ? "{CKA_TOKEN=b:0,CKA_PRIVATE=b:0,CKA_EC_PARAMS=x:06082a8648ce3d030107,CKA_VERIFY=b:1}"
			   : "{CKA_TOKEN=b:0,CKA_PRIVATE=b:1,CKA_SIGN=b:1,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1}";
	if (strstr(call->name, "Key") != NULL)
		return USUAL_KEY;
	if (strcmp(call->name, "C_CreateObject") == 0)
		return USUAL_OBJECT;
	if (strcmp(call->name, "C_FindObjectsInit") == 0)
		return "{CKA_CLASS=u:4}";
	return "{CKA_LABEL=s:changed}";
}

static void
put_usual(struct text *t, const struct kmn_call *call, size_t i, const struct recipe *recipe)
{
	switch (call->param[i].kind) {
	case KMN_KIND_SESSION:
		put(t, "s0");
		return;
	case KMN_KIND_SLOT:
		put(t, "slot");
		return;
	case KMN_KIND_OBJECT:
		put(t, "o0");
		return;
	case KMN_KIND_KEY:
		put(t, "%s", recipe != NULL && *recipe->key != '\0' ? recipe->key : "k:aes");
		return;
	case KMN_KIND_ULONG:
	case KMN_KIND_BOOL:
		put(t, "1");
		return;
	case KMN_KIND_FLAGS:
		put(t, "6");
		return;
	case KMN_KIND_MECH_TYPE:
		put(t, "CKM_SHA256");
		return;
	case KMN_KIND_MECHANISM:
		put(t, "%s", recipe != NULL ? recipe->mechanism : usual_mechanism(call));
		return;
	case KMN_KIND_MESSAGE_PARAM:
		put(t, "%s", recipe != NULL && recipe->message != NULL ? recipe->message : "NULL");
		return;
	case KMN_KIND_AAD:
		put(t, "r:9:11");
		return;
	case KMN_KIND_USERNAME:
		put(t, "s:user");
		return;
	case KMN_KIND_DATA:
		put(t, "r:%u:%u", chance(t, 4), recipe != NULL ? recipe->data_bytes : 32);
		return;
	case KMN_KIND_PIN:
		put(t, USER_PIN);
		return;
	case KMN_KIND_LABEL:
		put(t, "s:conform");
		return;
	case KMN_KIND_TEMPLATE:
		put(t, "%s", usual_template(call, i));
		return;
	case KMN_KIND_VALUES:
		put(t, "{CKA_CLASS=c:8,CKA_LABEL=c:32}");
		return;
	case KMN_KIND_NOTIFY:
		put(t, "0");
		return;
	case KMN_KIND_LOCAL:
		put(t, call->param[i].name[0] == 'f' ? "1" : strcmp(call->name, "C_Initialize") == 0 ? "std" : ".");
		return;
	case KMN_KIND_ROOM:
	case KMN_KIND_MAYBE_ROOM:
		put(t, "c:512>b%u", chance(t, 3));
		return;
	case KMN_KIND_FILL:
		put(t, "c:24");
		return;
	case KMN_KIND_SLOTS:
	case KMN_KIND_MECH_TYPES:
		put(t, "c:400");
		return;
	case KMN_KIND_OBJECTS:
		put(t, "c:64");
		return;
	case KMN_KIND_NEW_SESSION:
		put(t, ">s1");
		return;
	case KMN_KIND_NEW_OBJECT:
	case KMN_KIND_MAYBE_OBJECT:
		put(t, ">o%u", 1 + (unsigned)i % 2);
		return;
	case KMN_KIND_ULONG_OUT:
	case KMN_KIND_FLAGS_OUT:
	case KMN_KIND_SLOT_OUT:
	case KMN_KIND_INFO:
	case KMN_KIND_SLOT_INFO:
	case KMN_KIND_TOKEN_INFO:
	case KMN_KIND_MECH_INFO:
	case KMN_KIND_SESSION_INFO:
		put(t, ".");
		return;
	case KMN_KIND_COUNT:
		return;
	}
}

/* A call with usual arguments, but for those that are given. */
void
put_call(struct text *t, const struct kmn_call *call, const struct recipe *recipe, size_t vary, const char *with)
{
	put(t, "%s", call->name);
	for (size_t i = 0; i < call->param_count; i++) {
		put(t, " ");
		if (i == vary)
			put(t, "%s", with);
		else
			put_usual(t, call, i, recipe);
	}
	put(t, "\n");
}

void
put_begin(struct text *t, enum generate_kind kind)
{
	if (kind == GENERATE_RAW) {
		put(t, "world raw\nC_OpenSession slot 6 0 >s0\n");
		if (chance(t, 3) == 0)
			put(t, "C_Login s0 1 " USER_PIN "\n");
	} else {
		put(t, "world user\nC_OpenSession slot %u 0 >s0\n", chance(t, 8) == 0 ? 4u : 6u);
	}
}

/* What a call needs to be there before it: its operations begun, an object to work on. */
const struct recipe *
put_before(struct text *t, const struct kmn_call *call)
{
	const struct recipe *recipe = NULL;

	for (unsigned bit = 1; bit != 0 && bit <= call->operations; bit <<= 1) {
		const struct kmn_call *starter = (call->operations & bit) != 0 ? starter_of(bit) : NULL;

		if ((call->operations & bit) == 0)
			continue;
		recipe = recipe_for(t, bit);
		if (starter != NULL && call->effect != KMN_EFFECT_STARTS)
			put_call(t, starter, recipe, NOTHING_VARIES, "");
	}
	for (size_t i = 0; i < call->param_count; i++)
		if (call->param[i].kind == KMN_KIND_OBJECT)
			put(t, "C_CreateObject s0 " USUAL_OBJECT " >o0\n");
	return recipe;
}

/* Whether an operation is still there, and what is left of it. */
void
put_probe(struct text *t, unsigned operations)
{
	static const char *const probes[] = {"C_FindObjectsFinal s0\n", "C_EncryptFinal s0 c:64\n",
	    "C_DecryptFinal s0 c:64\n", "C_DigestFinal s0 c:64\n", "C_SignFinal s0 c:512\n",
	    "C_SignRecover s0 r:1:20 c:512\n", "C_VerifyFinal s0 r:1:128\n", "C_VerifyRecover s0 r:1:128 c:512\n"};

	for (size_t i = 0; i < KMN_COUNT_OF(probes); i++)
		if ((operations & 1u << i) != 0)
			put(t, "%s", probes[i]);
}
