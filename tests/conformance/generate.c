#define _GNU_SOURCE
#include "tests/conformance/generate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kanmon/calls.h"
#include "kanmon/params.h"
#include "tests/conformance/text.h"

/* ---- what is usual: an argument of each kind that is right ----------------------------------------------------- */

#define AES_IV "x:00112233445566778899aabbccddeeff"
#define USER_PIN "s:1234-user"
#define SO_PIN "s:12345678-so"

/* Operations that work in most modules: the mechanism, the key that begins it and the one that undoes it. */
static const struct recipe {
	unsigned operation;
	const char *mechanism, *key;
	unsigned data_bytes;
	const char *message; /* the parameter of each message */
} recipes[] = {
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

static const struct recipe *
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
#define USUAL_OBJECT "{CKA_CLASS=u:0,CKA_TOKEN=b:0,CKA_PRIVATE=b:0,CKA_LABEL=s:made,CKA_VALUE=r:3:30}"

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
static void
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

#define NOTHING_VARIES SIZE_MAX

static void
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
static const struct recipe *
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
static void
put_probe(struct text *t, unsigned operations)
{
	static const char *const probes[] = {"C_FindObjectsFinal s0\n", "C_EncryptFinal s0 c:64\n",
	    "C_DecryptFinal s0 c:64\n", "C_DigestFinal s0 c:64\n", "C_SignFinal s0 c:512\n",
	    "C_SignRecover s0 r:1:20 c:512\n", "C_VerifyFinal s0 r:1:128\n", "C_VerifyRecover s0 r:1:128 c:512\n"};

	for (size_t i = 0; i < KMN_COUNT_OF(probes); i++)
		if ((operations & 1u << i) != 0)
			put(t, "%s", probes[i]);
}

/* ---- axis 1: one argument is not right ------------------------------------------------------------------------- */

#define VARIANTS_MAX 24
static const char *const variants[KMN_KIND_COUNT][VARIANTS_MAX] = {
    /* No numbers that could by chance be a handle: the gateway gives others than the module. */
    [KMN_KIND_SESSION] = {"0", "~0", "k:aes", "s9", "0x7ffffff1"},
    [KMN_KIND_SLOT] = {"slot2", "0", "~0", "0x7777777", "1"},
    [KMN_KIND_OBJECT] = {"0", "~0", "s0", "o9", "k:data", "k:cert", "k:rsa", "k:rsa-pub", "k:aes-secret", "k:ec"},
    [KMN_KIND_KEY] = {"0", "~0", "s0", "o9", "k:data", "k:cert", "k:rsa", "k:rsa-pub", "k:ec", "k:ec-pub",
	"k:aes-useless", "k:generic", "k:aes-secret", "k:dh", "k:dsa", "k:ed", "k:des"},
    [KMN_KIND_ULONG] = {"0", "2", "3", "4", "~0", "0x80000000"},
    [KMN_KIND_FLAGS] = {"0", "2", "4", "~0", "0x80000004", "1"},
    [KMN_KIND_MECH_TYPE] = {"0", "~0", "CKM_RSA_PKCS", "CKM_AES_CBC", "0x80000001", "CKM_SECURID"},
    [KMN_KIND_BOOL] = {"0", "2", "255"},
    [KMN_KIND_MECHANISM] = {"NULL", "CKM_SHA256", "CKM_RSA_PKCS", "0x80001234", "~0", "CKM_AES_CBC",
	"CKM_AES_CBC/NULL:16", "CKM_AES_CBC/[x:0011223344556677]", "CKM_AES_CBC/[r:1:24]", "CKM_ECDSA/[r:1:8]",
	"CKM_AES_GCM", "CKM_DES_ECB", "CKM_AES_ECB/[r:2:16]", "CKM_RSA_PKCS_PSS", "0x7fffffff",
	"CKM_RSA_PKCS_OAEP/NULL:40", "CKM_SHA256/[r:1:3]"},
    [KMN_KIND_DATA] = {"NULL", "NULL:5", "x:", "r:1:1", "r:1:15", "r:1:16", "r:1:17", "r:1:1000", "r:1:20000",
	"r:1:128", "r:1:129", "r:1:32"},
    [KMN_KIND_PIN] = {"NULL", "NULL:4", "x:", "s:wrong", "s:x", "r:1:300", "s:1234-use", "s:1234-userr", SO_PIN},
    [KMN_KIND_LABEL] = {"NULL", "s:other"},
    [KMN_KIND_TEMPLATE] = {"NULL", "NULL:1", "{}", "{CKA_CLASS=NULL}", "{CKA_CLASS=NULL:8}", "{CKA_CLASS=x:04}",
	"{CKA_CLASS=u:4}", "{CKA_CLASS=u:99}", "{CKA_LABEL=x:}", "{CKA_LABEL=NULL}", "{CKA_TOKEN=b:2,CKA_LABEL=s:x}",
	"{CKA_TOKEN=x:0100}", "{0x80000001=r:1:9}", "{CKA_MODIFIABLE=b:1,CKA_MODIFIABLE=b:0}",
	"{CKA_WRAP_TEMPLATE={CKA_LABEL=s:x}}", "{CKA_ALLOWED_MECHANISMS=U:CKM_RSA_PKCS;CKM_ECDSA}",
	"{CKA_START_DATE=s:20260101}", "{CKA_START_DATE=x:}", "{CKA_KEY_TYPE=u:~0}",
	"{CKA_PRIVATE=b:1,CKA_CLASS=u:0,CKA_VALUE=r:1:5}"},
    [KMN_KIND_VALUES] = {"NULL", "NULL:1", "{}", "{CKA_CLASS=q}", "{CKA_CLASS=c:0}", "{CKA_CLASS=c:4}",
	"{CKA_CLASS=c:9}", "{CKA_VALUE=q}", "{CKA_LABEL=c:1,CKA_CLASS=c:8}", "{0x80000001=q,CKA_LABEL=q}",
	"{CKA_LABEL=q:7}", "{CKA_WRAP_TEMPLATE=q}", "{CKA_CLASS=c:8,CKA_CLASS=c:8}"},
    [KMN_KIND_NOTIFY] = {"1"},
    [KMN_KIND_MESSAGE_PARAM] = {"NULL", "NULL:48", "[r:1:48]", "[p0,u:0,u:0,u:0,p0,u:0]",
	"[p[r:8:12],u:12,u:0,u:0,p[z:16]>b3,u:128]", "[p[r:8:12],u:12,u:0,u:0,p[z:16]>b3,u:128]-1",
	"[p[r:8:12],u:12,u:0,u:0,p[z:16]>b3,u:96]", "[p[z:12],u:12,u:0,u:3,p[z:16]>b3,u:128]",
	"[p[r:8:8],u:8,u:0,u:0,p[z:16],u:128]"},
    [KMN_KIND_AAD] = {"NULL", "x:", "NULL:4", "r:1:5000"},
    [KMN_KIND_USERNAME] = {"NULL", "x:", "s:other"},
    [KMN_KIND_MAYBE_ROOM] = {"q", "c:0", "c:1", "c:1000", "q/nolen"},
    [KMN_KIND_FLAGS_OUT] = {"NULL"},
    [KMN_KIND_SLOT_OUT] = {"NULL"},
    [KMN_KIND_LOCAL] = {"NULL", "."},
    [KMN_KIND_ROOM] = {"q", "q:5", "q:~0", "c:0", "c:1", "c:15", "c:16", "c:4096", "c:512!0x40000000", "c:64/nolen"},
    [KMN_KIND_FILL] = {"q:16", "q", "c:0", "c:1", "c:4096"},
    [KMN_KIND_SLOTS] = {"q", "q:1", "c:0", "c:1", "c:2", "c:500", "c:4/nolen"},
    [KMN_KIND_MECH_TYPES] = {"q", "q:1", "c:0", "c:1", "c:2", "c:1000", "c:4/nolen"},
    [KMN_KIND_OBJECTS] = {"c:0", "c:1", "c:2", "q:5", "q", "c:500", "c:4/nolen"},
    [KMN_KIND_NEW_SESSION] = {"NULL"},
    [KMN_KIND_NEW_OBJECT] = {"NULL"},
    [KMN_KIND_MAYBE_OBJECT] = {"NULL"},
    [KMN_KIND_ULONG_OUT] = {"NULL"},
    [KMN_KIND_INFO] = {"NULL"},
    [KMN_KIND_SLOT_INFO] = {"NULL"},
    [KMN_KIND_TOKEN_INFO] = {"NULL"},
    [KMN_KIND_MECH_INFO] = {"NULL"},
    [KMN_KIND_SESSION_INFO] = {"NULL"},
};

static size_t
variant_count(enum kmn_kind kind)
{
	size_t n = 0;

	while (n < VARIANTS_MAX && variants[kind][n] != NULL)
		n++;
	return n;
}

/* Functions that end what other cases of the same batch stand on. */
static bool
only_raw(const struct kmn_call *call)
{
	static const char *const names[] = {"C_Logout", "C_CloseAllSessions", "C_InitToken", "C_InitPIN", "C_SetPIN",
	    "C_Login", "C_Finalize", "C_Initialize"};

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++)
		if (strcmp(call->name, names[i]) == 0)
			return true;
	return false;
}

/* Not generated: it blocks, or is about the process and tried by tests/unit/provider. */
static bool
left_out(const struct kmn_call *call, enum generate_kind kind)
{
	return call->policy == KMN_POLICY_LOCAL || strcmp(call->name, "C_WaitForSlotEvent") == 0 ||
	       (kind == GENERATE_USER && only_raw(call));
}

/* softokn and our own module read and write where NULL points to. */
static bool
ends_process(const struct subject *s, const char *variant)
{
	return s->loose && (strcmp(variant, "NULL") == 0 || strcmp(variant, "NULL:1") == 0 ||
			       strcmp(variant, "NULL:5") == 0 || strstr(variant, "nolen") != NULL);
}

/* They count sessions and objects each from 1: one kind's number is the other's too, but not behind the gateway. */
static bool
is_ambiguous(const struct subject *s, enum kmn_kind kind, const char *variant)
{
	return s->loose && ((kind == KMN_KIND_SESSION && variant[0] == 'k') || strcmp(variant, "s0") == 0);
}

/* All (call, argument, variant) there are; of those that only end a softokn's process some. */
static struct wrong {
	const struct kmn_call *call;
	size_t arg;
	const char *with;
} wrongs[2][8192];
static size_t wrong_count[2];

static void
list_wrongs(const struct subject *s, enum generate_kind kind)
{
	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		const struct kmn_call *call = kmn_call_row(id);

		if (left_out(call, kind) || call->since > s->version)
			continue;
		for (size_t i = 0; i < call->param_count; i++) {
			for (size_t v = 0; v < variant_count(call->param[i].kind); v++) {
				const char *with = variants[call->param[i].kind][v];

				if (is_ambiguous(s, call->param[i].kind, with))
					continue;
				if (call->param[i].kind != KMN_KIND_DATA && ends_process(s, with) &&
				    (id + i + v) % 8 != 0)
					continue;
				if (wrong_count[kind] < KMN_COUNT_OF(wrongs[kind]))
					wrongs[kind][wrong_count[kind]++] = (struct wrong){call, i, with};
			}
		}
	}
}

static size_t
count_arguments(const struct subject *s, enum generate_kind kind)
{
	if (wrong_count[kind] == 0)
		list_wrongs(s, kind);
	return wrong_count[kind];
}

static void
make_argument(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const struct kmn_call *call = wrongs[kind][index].call;
	const char *with = wrongs[kind][index].with;
	size_t arg = wrongs[kind][index].arg;
	const struct recipe *recipe;

	(void)s;
	put_begin(t, kind);
	if (strcmp(with, "s9") == 0)
		put(t, "C_OpenSession slot 6 0 >s9\nC_CloseSession s9\n");
	if (strcmp(with, "o9") == 0)
		put(t, "C_CreateObject s0 " USUAL_OBJECT " >o9\nC_DestroyObject s0 o9\n");
	recipe = put_before(t, call);
	put_call(t, call, recipe, arg, with);
	/* An output that must be there and is not: refused by the provider, who asks nobody; what the module would have
	 * done to its operation is not done. */
	if (strstr(with, "nolen") == NULL && (!kmn_kind_is_out(call->param[arg].kind) || strcmp(with, "NULL") != 0)) {
		if (chance(t, 2) == 0)
			put_call(t, call, recipe, NOTHING_VARIES, "");
		put_probe(t, call->operations);
	}
	if (chance(t, 4) == 0)
		put(t, "C_GetSessionInfo s0 .\n");
}

/* ---- axis 2: room for outputs ---------------------------------------------------------------------------------- */

static bool
has_room(const struct kmn_call *call, size_t *arg_out)
{
	for (size_t i = 0; i < call->param_count; i++) {
		enum kmn_kind kind = call->param[i].kind;

		*arg_out = i;
		if (kind == KMN_KIND_ROOM || kind == KMN_KIND_SLOTS || kind == KMN_KIND_MECH_TYPES ||
		    kind == KMN_KIND_OBJECTS)
			return true;
	}
	return false;
}

static const char *const rooms[] = {"q", "c:0", "c:e-1", "c:e", "c:e+1", "c:4096", "c:1", "q:1", "c:e+16", "c:e-8"};

/* Pairs of rooms, for each function that has one; the first call of some ends the operation, and the second says so. */
static size_t
count_rooms(const struct subject *s, enum generate_kind kind)
{
	size_t n = 0, arg;

	(void)s;
	(void)kind;
	for (unsigned id = 0; id < KMN_CALL_COUNT; id++)
		n += has_room(kmn_call_row(id), &arg) && kmn_call_row(id)->since <= s->version;
	return n * KMN_COUNT_OF(rooms) * KMN_COUNT_OF(rooms);
}

static void
make_room(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	size_t pairs = KMN_COUNT_OF(rooms) * KMN_COUNT_OF(rooms), which = index / pairs, arg = 0;
	const struct recipe *recipe;
	const struct kmn_call *call = NULL;

	for (unsigned id = 0; id < KMN_CALL_COUNT; id++) {
		call = kmn_call_row(id);
		if (has_room(call, &arg) && call->since <= s->version && which-- == 0)
			break;
	}
	put_begin(t, kind);
	recipe = put_before(t, call);
	if (chance(t, 3) > 0)
		put_call(t, call, recipe, arg, "q");
	put_call(t, call, recipe, arg, rooms[index % pairs / KMN_COUNT_OF(rooms)]);
	put_call(t, call, recipe, arg, rooms[index % KMN_COUNT_OF(rooms)]);
	put_call(t, call, recipe, arg, "c:e");
	put_probe(t, call->operations);
}

/* ---- axis 3: attributes read ----------------------------------------------------------------------------------- */

static const char *const objects[] = {"k:aes", "k:aes-secret", "k:rsa", "k:rsa-pub", "k:rsa-secret", "k:ec", "k:ec-pub",
    "k:ed", "k:ed-pub", "k:dsa", "k:dsa-pub", "k:dh", "k:dh-pub", "k:cert", "k:data", "k:generic", "k:des3", "o1"};

static size_t
attribute_count(void)
{
	size_t n = 0;

	while (kmn_attribute_at(n) != NULL)
		n++;
	return n;
}

static void
put_attribute_name(struct text *t, size_t i)
{
	if (i < attribute_count())
		put(t, "%s", kmn_attribute_at(i)->name);
	else
		put(t, "0x%x", i % 2 == 0 ? 0x80000005u : 0x7654u);
}

/* Attributes that an object of any kind has are asked for more often. */
static size_t
likely_attribute(struct text *t)
{
	static const char *const likely[] = {"CKA_CLASS", "CKA_LABEL", "CKA_ID", "CKA_VALUE", "CKA_TOKEN",
	    "CKA_KEY_TYPE", "CKA_MODULUS", "CKA_PUBLIC_EXPONENT", "CKA_SENSITIVE", "CKA_PRIVATE_EXPONENT",
	    "CKA_EC_POINT", "CKA_MODULUS_BITS", "CKA_SUBJECT", "CKA_VALUE_LEN", "CKA_START_DATE",
	    "CKA_ALLOWED_MECHANISMS", "CKA_WRAP_TEMPLATE"};
	const char *name = likely[chance(t, KMN_COUNT_OF(likely))];

	for (size_t i = 0; i < attribute_count(); i++)
		if (strcmp(kmn_attribute_at(i)->name, name) == 0)
			return i;
	return 0;
}

static const char *const value_rooms[] = {"q", "c:e", "c:e-1", "c:e+1", "c:0", "c:300", "q:8", "c:e+8", "c:8"};

/* Room for an attribute; of templates none that holds rows of whatever the caller's memory held. */
static const char *
value_room(struct text *t, size_t attribute)
{
	static const char *const nested[] = {"q", "c:8", "q:24", "{0=q}", "{0=q,0=q}", "{0=c:40,0=c:8}"};
	const struct kmn_attribute *row = kmn_attribute_at(attribute);

	if (row != NULL && row->kind == KMN_ATTRIBUTE_TEMPLATE)
		return nested[chance(t, KMN_COUNT_OF(nested))];
	return value_rooms[chance(t, KMN_COUNT_OF(value_rooms))];
}

static size_t
count_values(const struct subject *s, enum generate_kind kind)
{
	(void)s;
	(void)kind;
	return KMN_COUNT_OF(objects) * (attribute_count() + 2);
}

/* One attribute of one object in all ways, alone and among others. */
static void
make_values(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const char *object = objects[index % KMN_COUNT_OF(objects)];
	size_t attribute = index / KMN_COUNT_OF(objects);

	(void)s;
	put_begin(t, kind);
	put(t, "C_CreateObject s0 {CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x10,CKA_TOKEN=b:0,CKA_VALUE=r:4:24,CKA_SENSITIVE=b:0,"
	       "CKA_EXTRACTABLE=b:1,CKA_START_DATE=s:20260101,CKA_END_DATE=x:,CKA_ALLOWED_MECHANISMS=U:CKM_SHA256_HMAC;"
	       "CKM_SHA_1_HMAC,"
	       "CKA_WRAP_TEMPLATE={CKA_LABEL=s:inner,CKA_CLASS=u:4}} >o1\n");
	put(t, "C_GetAttributeValue s0 %s {", object);
	put_attribute_name(t, attribute);
	put(t, "=q}\n");
	for (unsigned calls = 0; calls < 3; calls++) {
		unsigned rows = 1 + chance(t, 4), at = chance(t, rows);

		put(t, "C_GetAttributeValue s0 %s {", object);
		for (unsigned i = 0; i < rows; i++) {
			size_t which = i == at ? attribute : likely_attribute(t);

			put(t, "%s", i > 0 ? "," : "");
			put_attribute_name(t, which);
			put(t, "=%s", value_room(t, which));
		}
		put(t, "}\n");
	}
	if (chance(t, 6) == 0)
		put(t, "C_GetAttributeValue s0 o1 {CKA_WRAP_TEMPLATE=q}\nC_GetAttributeValue s0 o1 "
		       "{CKA_WRAP_TEMPLATE={0=q,0=q}}\n"
		       "C_GetAttributeValue s0 o1 {CKA_WRAP_TEMPLATE={0=c:e,0=c:e},CKA_CLASS=c:8}\nC_GetObjectSize s0 "
		       "o1 .\n");
}

/* ---- axis 4: every mechanism in every family ------------------------------------------------------------------- */

/* A parameter of that layout with values that mean something for its fields. */
static const struct {
	const char *field, *value;
} field_values[] = {
    {"hashAlg", "u:CKM_SHA_1"},
    {"mgf", "u:1"},
    {"sLen", "u:20"},
    {"source", "u:1"},
    {"ulIvBits", "u:96"},
    {"ulTagBits", "u:128"},
    {"ulCounterBits", "u:128"},
    {"kdf", "u:1"},
    {"ulAESKeyBits", "u:128"},
    {"ulIteration", "u:100"},
    {"iterations", "u:100"},
    {"saltSource", "u:1"},
    {"prf", "u:1"},
    {"ulDataLen", "u:32"},
    {"ulMACLen", "u:16"},
    {"ulMacLength", "u:16"},
    {"value", "u:8"},
    {"ulEffectiveBits", "u:64"},
    {"ulWordsize", "u:4"},
    {"ulRounds", "u:12"},
    {"ulServerOrClient", "u:1"},
    {"prfHashMechanism", "u:CKM_SHA256"},
    {"prfMechanism", "u:CKM_SHA256"},
    {"ulMacSizeInBits", "u:160"},
    {"ulKeySizeInBits", "u:128"},
    {"ulIVSizeInBits", "u:128"},
    {"bIsExport", "b:0"},
    {"DigestMechanism", "u:CKM_SHA_1"},
    {"prfHashMechanism", "u:CKM_SHA256_HMAC"},
    {"bExtract", "b:1"},
    {"bExpand", "b:1"},
};

/* Bytes that a field points to: so many, or these. */
static const struct {
	const char *field;
	unsigned len;
	const char *bytes;
} field_bytes[] = {
    {"pIv", 12, NULL},
    {"pNonce", 12, NULL},
    {"pAAD", 8, NULL},
    {"pSharedData", 0, NULL},
    {"pSourceData", 0, NULL},
    {"pClientRandom", 32, NULL},
    {"pServerRandom", 32, NULL},
    {"pPassword", 8, NULL},
    {"pSalt", 8, NULL},
    {"pSaltSourceData", 8, NULL},
    {"pPrfData", 0, NULL},
    {"pVersion", 2, "x:0301"},
    {"pData", 32, NULL},
    {"pPublicData", 65,
	"x:"
	"042de344ca94be3f03e821631ef7aa79964fdeb6268bf171b1382f1f0dc983b2645589397d90e25101ca2c1b6a6fa8e6186cc156a47417"
	"abbaebc3a7ae48a1b4c2"},
    {"pOutput", 40, NULL},
};
#define DH_PUBLIC \
	"x:" \
	"9251788eabf21963fb8e658261b6264cf6580a434527ea3c02a68fe69eb524fe8fab1483e1cb4e61690777ca6a4887fca712599e06e2" \
	"b8d700dd44b4d051b02e0c60b1e4f161eb95c7667a1662c45242283cda66a5698bed264fc8681bca0037a8df60dfac9313f0b62ae972" \
	"fd2733b8817cb200f3101a8ba9be2e207f406d62"

struct image {
	size_t at, size;
	char text[700];
};

struct images {
	struct image image[48];
	size_t count;
};

__attribute__((format(printf, 4, 5))) static void
add_image(struct images *m, size_t at, size_t size, const char *format, ...)
{
	struct image *i = &m->image[m->count];
	va_list ap;

	if (m->count + 1 < KMN_COUNT_OF(m->image))
		m->count++;
	i->at = at;
	i->size = size;
	va_start(ap, format);
	vsnprintf(i->text, sizeof(i->text), format, ap);
	va_end(ap);
}

static void put_layout(struct text *t, const struct kmn_layout *layout);

static void
add_bytes(struct images *m, struct text *t, const struct kmn_field *f, size_t base)
{
	unsigned len = 16;
	const char *bytes = NULL;

	for (size_t i = 0; i < KMN_COUNT_OF(field_bytes); i++) {
		if (strcmp(field_bytes[i].field, f->name) != 0)
			continue;
		len = field_bytes[i].len;
		bytes = field_bytes[i].bytes;
	}
	if (f->unit == KMN_UNIT_OWN)
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:%u", len);
	else if (f->unit == KMN_UNIT_OWN_PTR)
		add_image(m, base + f->len_at, sizeof(void *), "p[u:%u]", len);
	else if (f->unit == KMN_UNIT_FIXED)
		len = f->size;
	if (bytes != NULL && len > 2)
		add_image(m, base + f->at, sizeof(void *), "p[%s]", bytes);
	else if (len == 0)
		add_image(m, base + f->at, sizeof(void *), "p0");
	else
		add_image(m, base + f->at, sizeof(void *), "p[r:%u:%u]", chance(t, 5), len);
}

static void add_fields(struct images *m, struct text *t, const struct kmn_layout *layout, size_t base);

/* One of the things that the choosing field may say, and what it then points to. */
static void
add_choice(struct images *m, struct text *t, const struct kmn_field *f, size_t base)
{
	const struct kmn_choice *choice = &f->choices[chance(t, (uint32_t)f->choice_count)];
	char inner[600];
	struct text other;

	for (size_t i = 0; i < m->count; i++)
		if (m->image[i].at == base + f->by_at)
			snprintf(
			    m->image[i].text, sizeof(m->image[i].text), "u:%llu", (unsigned long long)choice->value);
	if (choice->kind == KMN_FIELD_STRUCT) {
		text_inside(&other, t, inner, sizeof(inner));
		put_layout(&other, choice->inner);
		text_back(t, &other);
		add_image(m, base + f->at, sizeof(void *), "p[%s]", inner);
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:%u", choice->inner->size);
	} else if (choice->kind == KMN_FIELD_BYTES) {
		add_image(m, base + f->at, sizeof(void *), "p[r:3:20]");
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:20");
	} else {
		add_image(
		    m, base + f->at, sizeof(void *), choice->kind == KMN_FIELD_HANDLE ? "p[h:k:generic]" : "p[u:1]");
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:8");
	}
}

static void
add_field(struct images *m, struct text *t, const struct kmn_field *f, size_t base)
{
	char inner[600];
	struct text other;

	switch (f->kind) {
	case KMN_FIELD_ULONG:
	case KMN_FIELD_MECH:
	case KMN_FIELD_MGF:
	case KMN_FIELD_BYTE:
		for (size_t i = 0; i < KMN_COUNT_OF(field_values); i++) {
			if (strcmp(field_values[i].field, f->name) != 0)
				continue;
			add_image(m, base + f->at, f->kind == KMN_FIELD_BYTE ? 1 : sizeof(CK_ULONG), "%s",
			    field_values[i].value);
			return;
		}
		if (f->kind == KMN_FIELD_BYTE)
			add_image(m, base + f->at, 1, "b:1");
		else
			add_image(m, base + f->at, sizeof(CK_ULONG), "u:16");
		return;
	case KMN_FIELD_HANDLE:
		add_image(m, base + f->at, sizeof(CK_ULONG), "h:k:generic");
		return;
	case KMN_FIELD_INLINE:
		add_image(m, base + f->at, f->size, "r:7:%u", f->size);
		return;
	case KMN_FIELD_BYTES:
		add_bytes(m, t, f, base);
		return;
	case KMN_FIELD_TEXT:
		add_image(m, base + f->at, sizeof(void *), "p[x:312e322e3300]");
		return;
	case KMN_FIELD_STRUCT:
		add_fields(m, t, f->inner, base + f->at);
		return;
	case KMN_FIELD_POINTER:
		text_inside(&other, t, inner, sizeof(inner));
		put_layout(&other, f->inner);
		text_back(t, &other);
		add_image(m, base + f->at, sizeof(void *), "p[%s]", inner);
		return;
	case KMN_FIELD_NEW_OBJECT:
		add_image(m, base + f->at, sizeof(CK_ULONG), "o:0");
		return;
	case KMN_FIELD_NEW_OBJECT_AT:
		add_image(m, base + f->at, sizeof(void *), "p[o:0]");
		return;
	case KMN_FIELD_ARRAY:
		text_inside(&other, t, inner, sizeof(inner));
		put_layout(&other, f->inner);
		text_back(t, &other);
		add_image(m, base + f->at, sizeof(void *), "p[%s]", inner);
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:1");
		return;
	case KMN_FIELD_TEMPLATE:
		add_image(m, base + f->at, sizeof(void *), "p[u:CKA_CLASS,p[u:4],u:8,u:CKA_VALUE_LEN,p[u:16],u:8]");
		add_image(m, base + f->len_at, sizeof(CK_ULONG), "u:2");
		return;
	case KMN_FIELD_MECHANISM:
		add_image(m, base + f->at, sizeof(void *), "p[u:CKM_SHA_1,p0,u:0]");
		return;
	case KMN_FIELD_CHOICE:
		add_choice(m, t, f, base);
		return;
	case KMN_FIELD_KIND_COUNT:
		return;
	}
}

static void
add_fields(struct images *m, struct text *t, const struct kmn_layout *layout, size_t base)
{
	for (size_t i = 0; i < layout->field_count; i++)
		add_field(m, t, &layout->fields[i], base);
}

/* The items of a block that is such a structure, padding included. */
static void
put_layout(struct text *t, const struct kmn_layout *layout)
{
	struct images m = {.count = 0};
	size_t at = 0;

	add_fields(&m, t, layout, 0);
	while (at < layout->size) {
		const struct image *next = NULL;

		for (size_t i = 0; i < m.count; i++)
			if (m.image[i].at >= at && (next == NULL || m.image[i].at < next->at))
				next = &m.image[i];
		put(t, "%s", at > 0 ? "," : "");
		if (next != NULL && next->at == at) {
			put(t, "%s", next->text);
			at += next->size;
		} else {
			size_t until = next != NULL ? next->at : layout->size;

			put(t, "z:%zu", until - at);
			at = until;
		}
	}
}

static void
put_mechanism_name(struct text *t, uint64_t type)
{
	if (kmn_mechanism_name(type) != NULL)
		put(t, "%s", kmn_mechanism_name(type));
	else
		put(t, "0x%llx", (unsigned long long)type);
}

static bool
name_has(uint64_t type, const char *part)
{
	return kmn_mechanism_name(type) != NULL && strstr(kmn_mechanism_name(type), part) != NULL;
}

enum parameter { PARAMETER_RIGHT, PARAMETER_NULL, PARAMETER_LESS, PARAMETER_MORE, PARAMETER_STRAY, PARAMETERS };

/* A mechanism with a parameter as its row says, or not quite. */
static void
put_mechanism(struct text *t, uint64_t type, enum parameter parameter)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(type);
	const struct kmn_layout *layout = row != NULL ? row->layout[chance(t, 4) == 0] : NULL;

	if (row != NULL && layout == NULL)
		layout = row->layout[0];
	put_mechanism_name(t, type);
	if (parameter == PARAMETER_NULL) {
		put(t, chance(t, 2) == 0 ? "" : "/NULL:16");
		return;
	}
	if (layout != NULL && row->takes == KMN_TAKES_STRUCT) {
		put(t, "/[");
		put_layout(t, layout);
		put(t, "]");
	} else if (row != NULL && row->takes == KMN_TAKES_BYTES) {
		put(t, "/[r:5:%u]", name_has(type, "DES") ? 8u : 16u);
	} else if (parameter != PARAMETER_RIGHT) {
		put(t, "/[r:5:%u]", 4 + 4 * chance(t, 4));
	}
	if (parameter == PARAMETER_LESS)
		put(t, "-1");
	else if (parameter == PARAMETER_MORE) /* not the size of the other structure, whose pointers would be wild */
		put(t, row != NULL && row->layout[1] != NULL ? "+24" : "+8");
}

static const char *
key_name(uint64_t type)
{
	static const struct {
		const char *part, *key;
	} keys[] = {{"RSA", "rsa"}, {"ECDSA", "ec"}, {"EC_", "ec"}, {"ECDH", "ec"}, {"EDDSA", "ed"}, {"ECMQV", "ec"},
	    {"_DSA", "dsa"}, {"_DH_", "dh"}, {"HMAC", "generic"}, {"AES", "aes"}, {"DES3", "des3"}, {"DES", "des"},
	    {"RC4", "rc4"}, {"CHACHA", "chacha"}};

	for (size_t i = 0; i < KMN_COUNT_OF(keys); i++)
		if (name_has(type, keys[i].part))
			return keys[i].key;
	return "generic";
}

static void
put_key(struct text *t, uint64_t type, bool public, bool mismatch)
{
	const char *name = mismatch ? "k:" : key_name(type);

	if (mismatch) {
		put(t, "%s", objects[chance(t, KMN_COUNT_OF(objects) - 1)]);
		return;
	}
	put(t, "k:%s%s", name,
	    public && (strcmp(name, "rsa") == 0 || strcmp(name, "ec") == 0 || strcmp(name, "ed") == 0 ||
			  strcmp(name, "dsa") == 0)
		? "-pub"
		: "");
}

static unsigned
data_length(struct text *t, uint64_t type)
{
	if (name_has(type, "RSA_X_509"))
		return 128;
	if (name_has(type, "_DSA") && !name_has(type, "SHA"))
		return 20;
	return name_has(type, "PKCS") || name_has(type, "ECDSA") ? 20 : 16 * (1 + chance(t, 3));
}

struct family {
	const char *name;
	uint64_t flag;
	void (*make)(struct text *t, uint64_t type, enum parameter parameter, bool mismatch);
};

static void
make_cipher(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	unsigned len = data_length(t, type);
	bool parts = chance(t, 3) == 0;

	put(t, "C_EncryptInit s0 ");
	put_mechanism(t, type, parameter);
	put(t, " ");
	put_key(t, type, true, mismatch);
	if (parts)
		put(t,
		    "\nC_EncryptUpdate s0 r:1:%u c:300>b1\nC_EncryptUpdate s0 r:2:7 q\nC_EncryptUpdate s0 r:2:7 c:64\n"
		    "C_EncryptFinal s0 q\nC_EncryptFinal s0 c:e\n",
		    len);
	else
		put(t, "\nC_Encrypt s0 r:1:%u q\nC_Encrypt s0 r:1:%u c:%s>b1\n", len, len,
		    chance(t, 2) == 0 ? "e" : "600");
	put(t, "C_DecryptInit s0 ");
	put_mechanism(t, type, PARAMETER_RIGHT);
	put(t, " ");
	put_key(t, type, false, mismatch);
	if (parts)
		put(t, "\nC_DecryptUpdate s0 b1 c:300\nC_DecryptUpdate s0 r:2:7 c:300\nC_DecryptFinal s0 c:64\n");
	else
		put(t, "\nC_Decrypt s0 b1 q\nC_Decrypt s0 b1 c:600\n");
}

static void
make_decipher(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	put(t, "C_DecryptInit s0 ");
	put_mechanism(t, type, parameter);
	put(t, " ");
	put_key(t, type, false, mismatch);
	put(t, "\nC_Decrypt s0 r:1:%u c:600\nC_DecryptFinal s0 c:64\n",
	    name_has(type, "RSA") ? 128 : data_length(t, type));
}

static void
make_digest(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	put(t, "C_DigestInit s0 ");
	put_mechanism(t, type, parameter);
	put(t, "\nC_DigestUpdate s0 r:1:%u\n", chance(t, 100));
	if (mismatch)
		put(t, "C_DigestKey s0 k:%s\n", chance(t, 2) == 0 ? "generic" : "rsa");
	put(t, "C_DigestFinal s0 q\nC_DigestFinal s0 c:e-1\nC_DigestFinal s0 c:e\n");
}

static void
make_signature(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	unsigned len = data_length(t, type);

	put(t, "C_SignInit s0 ");
	put_mechanism(t, type, parameter);
	put(t, " ");
	put_key(t, type, false, mismatch);
	if (chance(t, 3) == 0)
		put(t, "\nC_SignUpdate s0 r:1:%u\nC_SignFinal s0 q\nC_SignFinal s0 c:600>b1\n", len);
	else
		put(t, "\nC_Sign s0 r:1:%u q\nC_Sign s0 r:1:%u c:%s>b1\n", len, len, chance(t, 2) == 0 ? "e" : "600");
	for (unsigned i = 0; i < 2; i++) {
		put(t, "C_VerifyInit s0 ");
		put_mechanism(t, type, i == 0 ? PARAMETER_RIGHT : parameter);
		put(t, " ");
		put_key(t, type, true, mismatch);
		put(t, "\nC_Verify s0 r:1:%u b1%s\n", len, i == 0 ? "" : "^");
	}
}

static void
make_recover(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	unsigned len = data_length(t, type);

	put(t, "C_SignRecoverInit s0 ");
	put_mechanism(t, type, parameter);
	put(t, " ");
	put_key(t, type, false, mismatch);
	put(t, "\nC_SignRecover s0 r:1:%u q\nC_SignRecover s0 r:1:%u c:600>b1\nC_VerifyRecoverInit s0 ", len, len);
	put_mechanism(t, type, parameter);
	put(t, " ");
	put_key(t, type, true, mismatch);
	put(t, "\nC_VerifyRecover s0 b1 q\nC_VerifyRecover s0 b1 c:e-1\nC_VerifyRecover s0 b1 c:600\n");
}

/* Making primes takes long: small ones, and seldom. */
static void
make_key(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	if (name_has(type, "PARAMETER_GEN") && chance(t, 8) > 0)
		parameter = PARAMETER_STRAY;
	put(t, "C_GenerateKey s0 ");
	put_mechanism(t, type, parameter);
	if (name_has(type, "PARAMETER_GEN"))
		put(t, " {CKA_TOKEN=b:0,CKA_PRIME_BITS=u:%u} >o1\n", parameter == PARAMETER_RIGHT ? 512u : 3u);
	else
		put(t, " {CKA_TOKEN=b:0,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1,CKA_ENCRYPT=b:1,CKA_SIGN=b:1%s%s} >o1\n",
		    name_has(type, "DES") || name_has(type, "PBE") || chance(t, 3) == 0 ? "" : ",CKA_VALUE_LEN=u:16",
		    mismatch ? ",CKA_KEY_TYPE=u:0" : "");
	put(t, "C_GetAttributeValue s0 o1 {CKA_KEY_TYPE=c:8,CKA_VALUE_LEN=c:8,CKA_LOCAL=c:1,CKA_KEY_GEN_MECHANISM=c:8,"
	       "CKA_VALUE=q,CKA_CHECK_VALUE=q}\nC_GetObjectSize s0 o1 .\n");
}

static void
make_pair(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	const char *public = "CKA_MODULUS_BITS=u:1024,CKA_PUBLIC_EXPONENT=x:010001";

	if (name_has(type, "EC_"))
	public = name_has(type, "EDWARDS") ? "CKA_EC_PARAMS=x:06032b6570" : "CKA_EC_PARAMS=x:06082a8648ce3d030107";
	else if (!name_has(type, "RSA")) public = "CKA_PRIME=r:1:64,CKA_BASE=x:02,CKA_SUBPRIME=r:1:20";
	if (name_has(type, "RSA") && chance(t, 4) > 0)
	public = "CKA_MODULUS_BITS=u:1";
	put(t, "C_GenerateKeyPair s0 ");
	put_mechanism(t, type, parameter);
	put(t, " {CKA_TOKEN=b:0,CKA_VERIFY=b:1,%s} {CKA_TOKEN=b:0,CKA_SIGN=b:1,CKA_PRIVATE=b:1%s} >o1 >o2\n", public,
	    mismatch ? ",CKA_CLASS=u:4" : "");
	put(t, "C_GetAttributeValue s0 o2 {CKA_KEY_TYPE=c:8,CKA_SENSITIVE=c:1,CKA_LOCAL=c:1}\n"
	       "C_GetAttributeValue s0 o1 {CKA_MODULUS=q,CKA_EC_POINT=q,CKA_CLASS=c:8}\n");
}

static void
make_wrap(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	const char *what = chance(t, 3) == 0 ? "k:generic" : chance(t, 3) == 0 ? "k:rsa" : "k:aes256";

	for (unsigned i = 0; i < 2; i++) {
		put(t, "C_WrapKey s0 ");
		put_mechanism(t, type, parameter);
		put(t, " ");
		put_key(t, type, true, mismatch);
		put(t, " %s %s\n", what, i == 0 ? "q" : chance(t, 3) == 0 ? "c:e-1" : "c:1200>b1");
	}
	put(t, "C_UnwrapKey s0 ");
	put_mechanism(t, type, PARAMETER_RIGHT);
	put(t, " ");
	put_key(t, type, false, mismatch);
	put(t, " b1 {CKA_CLASS=u:%u,CKA_KEY_TYPE=u:%u,CKA_TOKEN=b:0,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1} >o1\n",
	    strcmp(what, "k:rsa") == 0 ? 3u : 4u,
	    strcmp(what, "k:rsa") == 0      ? 0u
	    : strcmp(what, "k:aes256") == 0 ? 31u
					    : 16u);
	put(t, "C_GetAttributeValue s0 o1 {CKA_KEY_TYPE=c:8,CKA_VALUE=c:64,CKA_MODULUS=c:200,CKA_LOCAL=c:1}\n");
}

static void
make_derive(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	put(t, "C_DeriveKey s0 ");
	put_mechanism(t, type, parameter);
	put(t, " ");
	put_key(t, type, false, mismatch);
	put(t, " {CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x10,CKA_TOKEN=b:0,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1%s} %s\n",
	    chance(t, 3) == 0 ? "" : ",CKA_VALUE_LEN=u:16",
	    name_has(type, "KEY_AND_MAC") && chance(t, 2) == 0 ? "NULL" : ">o1");
	put(t, "C_GetAttributeValue s0 o1 {CKA_KEY_TYPE=c:8,CKA_VALUE=c:64,CKA_LOCAL=c:1,CKA_NEVER_EXTRACTABLE=c:1}\n");
}

/* The parameter of one message; of GCM with the tag kept in b3, where `with_tag` has it come from there. */
static void
put_message_param(struct text *t, uint64_t type, bool with_tag)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(type);

	if (type == CKM_AES_GCM) {
		put(t, " [p[r:8:12],u:12,u:0,u:0,p[%s]%s,u:128]", with_tag ? "b3" : "z:16", with_tag ? "" : ">b3");
	} else if (row != NULL && row->message != NULL) {
		put(t, " [");
		put_layout(t, row->message);
		put(t, "]");
	} else {
		put(t, " NULL");
	}
}

static void
put_init(struct text *t, const char *function, uint64_t type, enum parameter parameter, bool public, bool mismatch)
{
	put(t, "%s s0 ", function);
	put_mechanism(t, type, parameter);
	put(t, " ");
	put_key(t, type, public, mismatch);
}

static void
make_sealed_message(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	static const char *const ways[] = {"Encrypt", "Decrypt"};
	bool parts = chance(t, 3) == 0;

	parameter = parameter == PARAMETER_RIGHT ? PARAMETER_NULL : parameter;
	for (unsigned i = 0; i < 2; i++) {
		char init[32];

		snprintf(init, sizeof(init), "C_Message%sInit", ways[i]);
		put_init(t, init, type, parameter, false, mismatch);
		if (parts) {
			put(t, "\nC_%sMessageBegin s0", ways[i]);
			put_message_param(t, type, i == 1);
			put(t, " r:9:11\nC_%sMessageNext s0", ways[i]);
			put_message_param(t, type, i == 1);
			put(t, " r:1:20 c:300 0\nC_%sMessageNext s0", ways[i]);
			put_message_param(t, type, i == 1);
			put(t, " r:2:20 c:300 1\n");
		} else {
			for (unsigned k = 0; k < 2; k++) {
				put(t, "\nC_%sMessage s0", ways[i]);
				put_message_param(t, type, i == 1);
				put(t, i == 0 ? " r:9:11 r:1:20 %s" : " r:9:11 b1 %s",
				    k == 0   ? "q"
				    : i == 0 ? "c:300>b1"
					     : "c:300");
			}
			put(t, "\n");
		}
		put(t, "C_Message%sFinal s0\n", ways[i]);
	}
}

static void
make_signed_message(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	unsigned len = data_length(t, type);

	put_init(t, "C_MessageSignInit", type, parameter, false, mismatch);
	if (chance(t, 3) == 0)
		put(t,
		    "\nC_SignMessageBegin s0 NULL\nC_SignMessageNext s0 NULL r:1:%u q/nolen\n"
		    "C_SignMessageNext s0 NULL r:2:%u q\nC_SignMessageNext s0 NULL r:2:%u c:600>b1\n",
		    len, len, len);
	else
		put(t, "\nC_SignMessage s0 NULL r:1:%u q\nC_SignMessage s0 NULL r:1:%u c:600>b1\n", len, len);
	put(t, "C_MessageSignFinal s0\n");
	put_init(t, "C_MessageVerifyInit", type, parameter, true, mismatch);
	put(t, "\nC_VerifyMessage s0 NULL r:1:%u b1\nC_VerifyMessage s0 NULL r:1:%u b1^\nC_MessageVerifyFinal s0\n",
	    len, len);
	put_init(t, "C_VerifySignatureInit", type, parameter, true, mismatch);
	put(t, " b1\nC_VerifySignature s0 r:1:%u\n", len);
	put_init(t, "C_VerifySignatureInit", type, parameter, true, mismatch);
	put(t, " b1\nC_VerifySignatureUpdate s0 r:1:%u\nC_VerifySignatureFinal s0\n", len);
}

static void
put_wrap_mechanism(struct text *t, uint64_t type)
{
	const struct kmn_mechanism *row = kmn_mechanism_row(type);

	put_mechanism_name(t, type);
	if (row == NULL || row->wrap == NULL)
		return;
	put(t, "/[");
	put_layout(t, row->wrap);
	put(t, "]");
}

static void
make_bound_wrap(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	for (unsigned i = 0; i < 2; i++) {
		put(t, "C_WrapKeyAuthenticated s0 ");
		if (parameter == PARAMETER_RIGHT)
			put_wrap_mechanism(t, type);
		else
			put_mechanism(t, type, parameter);
		put(t, " ");
		put_key(t, type, true, mismatch);
		put(t, " k:aes256 r:9:11 %s\n", i == 0 ? "q" : "c:600>b1");
	}
	put(t, "C_UnwrapKeyAuthenticated s0 ");
	put_wrap_mechanism(t, type);
	put(t, " ");
	put_key(t, type, false, mismatch);
	put(t, " b1 {CKA_CLASS=u:4,CKA_KEY_TYPE=u:31,CKA_TOKEN=b:0,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1} r:9:11 >o1\n"
	       "C_GetAttributeValue s0 o1 {CKA_VALUE=c:64,CKA_KEY_TYPE=c:8}\nC_GetSessionValidationFlags s0 1 .\n");
}

#define SHARED_KEY "{CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x10,CKA_TOKEN=b:0,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1}"

static void
make_encapsulation(struct text *t, uint64_t type, enum parameter parameter, bool mismatch)
{
	put(t, "C_GenerateKeyPair s0 CKM_ML_KEM_KEY_PAIR_GEN {CKA_TOKEN=b:0,CKA_PARAMETER_SET=u:1,CKA_ENCAPSULATE=b:1} "
	       "{CKA_TOKEN=b:0,CKA_DECAPSULATE=b:1} >o1 >o2\n");
	for (unsigned i = 0; i < 3; i++) {
		put(t, "C_EncapsulateKey s0 ");
		put_mechanism(t, type, parameter);
		put(t, " %s " SHARED_KEY " %s >o3\n", mismatch ? "k:rsa-pub" : "o1",
		    i == 0   ? "q"
		    : i == 1 ? "c:e-1"
			     : "c:2000>b1");
	}
	put(t, "C_DecapsulateKey s0 ");
	put_mechanism(t, type, parameter);
	put(t, " o2 " SHARED_KEY
	       " b1 >o4\nC_GetAttributeValue s0 o3 {CKA_VALUE=c:64}\nC_GetAttributeValue s0 o4 {CKA_VALUE=c:64}\n");
}

static const struct family families[] = {
    {"encrypt", 0x100, make_cipher},
    {"decrypt", 0x200, make_decipher},
    {"digest", 0x400, make_digest},
    {"sign", 0x800, make_signature},
    {"recover", 0x1000, make_recover},
    {"generate", 0x8000, make_key},
    {"pair", 0x10000, make_pair},
    {"wrap", 0x20000, make_wrap},
    {"derive", 0x80000, make_derive},
    {"message", 0x2, make_sealed_message},
    {"message signature", 0x8, make_signed_message},
    {"bound wrap", 0x20000, make_bound_wrap},
    {"encapsulate", 0x10000000, make_encapsulation},
};

/* Families of 2.40 come first. */
static size_t
family_count(const struct subject *s)
{
	return s->version >= 0x0302   ? KMN_COUNT_OF(families)
	       : s->version >= 0x0300 ? KMN_COUNT_OF(families) - 2
				      : KMN_COUNT_OF(families) - 4;
}

static size_t
count_mechanisms(const struct subject *s, enum generate_kind kind)
{
	(void)kind;
	return s->mechanisms * family_count(s) * PARAMETERS;
}

static void
make_mechanism(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	size_t which = index % s->mechanisms, count = family_count(s), family = index / s->mechanisms % count;
	enum parameter parameter = (enum parameter)(index / s->mechanisms / count % PARAMETERS);

	/* A family that the module does not name for the mechanism refuses it whatever the parameter: once is enough. */
	while (parameter != PARAMETER_RIGHT && (s->flags[which] & families[family].flag) == 0 && chance(t, 8) > 0)
		family = (family + 1) % count;
	/* softokn reads as many bytes as it wants, whatever their number is said to be. */
	if (s->loose && parameter == PARAMETER_LESS)
		parameter = PARAMETER_MORE;
	put_begin(t, kind);
	families[family].make(t, s->mechanism[which], parameter, chance(t, 4) == 0);
}

/* Mechanisms of the table that the module does not list: their parameters cross all the same. */
static size_t
count_table(const struct subject *s, enum generate_kind kind)
{
	size_t n = 0;

	(void)s;
	(void)kind;
	while (kmn_mechanism_at(n) != NULL)
		n++;
	return n;
}

static void
make_table(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const struct kmn_mechanism *row = kmn_mechanism_at(index);

	put_begin(t, kind);
	for (unsigned i = 0; i < 2; i++)
		families[chance(t, (uint32_t)family_count(s))].make(
		    t, row->type, i == 0 ? PARAMETER_RIGHT : (enum parameter)chance(t, PARAMETERS), false);
}

/* ---- axis 5: the automaton of operations ----------------------------------------------------------------------- */

/* Steps of an operation: an index says which two or three. R stands for the recipe's mechanism and key, D for data. */
static const struct steps {
	unsigned operation;
	const char *step[12];
} automata[] = {
    {KMN_OP_ENCRYPT, {"C_EncryptInit s0 R", "C_EncryptInit s0 NULL k:aes", "C_EncryptInit s0 CKM_SHA256 k:aes",
			 "C_Encrypt s0 D q", "C_Encrypt s0 D c:600", "C_Encrypt s0 D c:1", "C_EncryptUpdate s0 D c:600",
			 "C_EncryptFinal s0 q", "C_EncryptFinal s0 c:600", "C_DigestEncryptUpdate s0 D c:600",
			 "C_SignEncryptUpdate s0 D c:600", "C_DecryptFinal s0 c:64"}},
    {KMN_OP_DECRYPT, {"C_DecryptInit s0 R", "C_DecryptInit s0 NULL k:aes", "C_DecryptInit s0 CKM_SHA256 k:aes",
			 "C_Decrypt s0 D q", "C_Decrypt s0 D c:600", "C_Decrypt s0 D c:1", "C_DecryptUpdate s0 D c:600",
			 "C_DecryptFinal s0 q", "C_DecryptFinal s0 c:600", "C_DecryptDigestUpdate s0 D c:600",
			 "C_DecryptVerifyUpdate s0 D c:600", "C_EncryptInit s0 CKM_AES_ECB k:aes"}},
    {KMN_OP_DIGEST, {"C_DigestInit s0 R", "C_DigestInit s0 NULL", "C_DigestInit s0 CKM_AES_ECB", "C_Digest s0 D q",
			"C_Digest s0 D c:600", "C_Digest s0 D c:1", "C_DigestUpdate s0 D", "C_DigestFinal s0 q",
			"C_DigestFinal s0 c:600", "C_DigestKey s0 k:generic", "C_DigestKey s0 k:rsa",
			"C_GetOperationState s0 c:600"}},
    {KMN_OP_SIGN,
	{"C_SignInit s0 R", "C_SignInit s0 NULL k:rsa", "C_SignInit s0 CKM_SHA256 k:rsa", "C_Sign s0 D q",
	    "C_Sign s0 D c:600", "C_Sign s0 D c:1", "C_SignUpdate s0 D", "C_SignFinal s0 q", "C_SignFinal s0 c:600",
	    "C_SignFinal s0 c:1", "C_SignRecover s0 D c:600", "C_DigestInit s0 CKM_SHA256"}},
    {KMN_OP_VERIFY, {"C_VerifyInit s0 R", "C_VerifyInit s0 NULL k:rsa-pub", "C_VerifyInit s0 CKM_SHA256 k:rsa-pub",
			"C_Verify s0 D r:1:128", "C_Verify s0 D x:", "C_Verify s0 D r:1:64", "C_VerifyUpdate s0 D",
			"C_VerifyFinal s0 r:1:128", "C_VerifyFinal s0 x:", "C_VerifyRecover s0 r:1:128 c:600",
			"C_SignInit s0 CKM_RSA_PKCS k:rsa", "C_GetOperationState s0 q"}},
    {KMN_OP_SIGN_RECOVER, {"C_SignRecoverInit s0 R", "C_SignRecoverInit s0 NULL k:rsa", "C_SignRecover s0 D q",
			      "C_SignRecover s0 D c:600", "C_SignRecover s0 D c:1", "C_SignInit s0 CKM_RSA_PKCS k:rsa",
			      "C_Sign s0 D c:600", "C_SignFinal s0 c:600"}},
    {KMN_OP_VERIFY_RECOVER, {"C_VerifyRecoverInit s0 R", "C_VerifyRecoverInit s0 NULL k:rsa-pub",
				"C_VerifyRecover s0 D q", "C_VerifyRecover s0 D c:600", "C_VerifyRecover s0 D c:1",
				"C_VerifyInit s0 CKM_RSA_PKCS k:rsa-pub", "C_Verify s0 r:1:20 D"}},
    {KMN_OP_FIND, {"C_FindObjectsInit s0 {}", "C_FindObjectsInit s0 {CKA_CLASS=u:3}", "C_FindObjectsInit s0 NULL:1",
		      "C_FindObjects s0 c:1", "C_FindObjects s0 c:100", "C_FindObjects s0 c:0", "C_FindObjectsFinal s0",
		      "C_CreateObject s0 {CKA_CLASS=u:0,CKA_TOKEN=b:0,CKA_LABEL=s:late} >o1", "C_DestroyObject s0 o1",
		      "C_FindObjectsInit s0 {CKA_LABEL=s:late}"}},
};

static size_t
step_count(const struct steps *a)
{
	size_t n = 0;

	while (n < KMN_COUNT_OF(a->step) && a->step[n] != NULL)
		n++;
	return n;
}

static size_t
count_automata(const struct subject *s, enum generate_kind kind)
{
	size_t n = 0;

	(void)s;
	(void)kind;
	for (size_t i = 0; i < KMN_COUNT_OF(automata); i++)
		n += step_count(&automata[i]) * step_count(&automata[i]) * step_count(&automata[i]);
	return n;
}

static void
put_step(struct text *t, const char *step, const struct recipe *recipe, unsigned data)
{
	for (; *step != '\0'; step++) {
		if (step[0] == ' ' && step[1] == 'R' && (step[2] == '\0' || step[2] == ' ')) {
			put(t, " %s %s", recipe->mechanism, recipe->key);
			step++;
		} else if (step[0] == ' ' && step[1] == 'D' && (step[2] == '\0' || step[2] == ' ')) {
			put(t, " r:%u:%u", data, recipe != NULL ? recipe->data_bytes : 16);
			step++;
		} else {
			put(t, "%c", *step);
		}
	}
	put(t, "\n");
}

static void
make_automaton(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const struct steps *a = automata;
	const struct recipe *recipe;
	size_t n = step_count(a);

	while (index >= n * n * n) {
		index -= n * n * n;
		a++;
		n = step_count(a);
	}
	put_begin(t, kind);
	recipe = recipe_for(t, a->operation);
	if (chance(t, 4) == 0 && recipe_for(t, KMN_OP_DIGEST) != NULL)
		put(t, "C_DigestInit s0 CKM_SHA256\n");
	for (unsigned i = 0; i < 3; i++, index /= n) {
		const char *step = a->step[index % n];

		if (!(s->loose && strstr(step, "NULL") != NULL && chance(t, 16) > 0))
			put_step(t, step, recipe, i);
	}
	put_probe(t, a->operation);
	if (chance(t, 3) == 0)
		put_probe(t, KMN_OP_DIGEST | KMN_OP_ENCRYPT);
}

/* ---- templates that make and change objects -------------------------------------------------------------------- */

static const char *const made[] = {
    "CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x1f,CKA_VALUE=r:1:16,CKA_ENCRYPT=b:1,CKA_SENSITIVE=b:0,CKA_EXTRACTABLE=b:1",
    "CKA_CLASS=u:4,CKA_KEY_TYPE=u:0x10,CKA_VALUE=r:2:33,CKA_SIGN=b:1",
    "CKA_CLASS=u:0,CKA_APPLICATION=s:x,CKA_VALUE=r:3:40",
    "CKA_CLASS=u:2,CKA_KEY_TYPE=u:0,CKA_MODULUS=r:4:128,CKA_PUBLIC_EXPONENT=x:010001,CKA_VERIFY=b:1",
    "CKA_CLASS=u:1,CKA_CERTIFICATE_TYPE=u:0,CKA_SUBJECT=x:3000,CKA_VALUE=r:5:60",
    "CKA_CLASS=u:2,CKA_KEY_TYPE=u:3,CKA_EC_PARAMS=x:06082a8648ce3d030107,CKA_EC_POINT=r:6:67",
};

static size_t
count_templates(const struct subject *s, enum generate_kind kind)
{
	(void)s;
	(void)kind;
	return KMN_COUNT_OF(made) * attribute_count();
}

/* A value for an attribute of the table, of its kind or of another. */
static void
put_attribute_value(struct text *t, size_t i)
{
	const struct kmn_attribute *row = kmn_attribute_at(i);
	enum kmn_attribute_kind kind = row != NULL ? row->kind : KMN_ATTRIBUTE_BYTES;

	/* What is known to be a template holds whole rows or nothing: other bytes may be pointers, and do not cross. */
	switch (kind == KMN_ATTRIBUTE_TEMPLATE ? 3 + chance(t, 5) : chance(t, 8)) {
	case 0:
		put(t, "=x:");
		return;
	case 1:
		put(t, "=NULL%s", chance(t, 2) == 0 ? "" : ":4");
		return;
	case 2:
		put(t, "=r:1:%u", 1 + chance(t, 12));
		return;
	default:
		break;
	}
	if (kind == KMN_ATTRIBUTE_BOOL)
		put(t, "=b:%u", chance(t, 2));
	else if (kind == KMN_ATTRIBUTE_ULONG)
		put(t, "=u:%u", chance(t, 5));
	else if (kind == KMN_ATTRIBUTE_ULONGS)
		put(t, "=U:CKM_RSA_PKCS;CKM_AES_ECB");
	else if (kind == KMN_ATTRIBUTE_TEMPLATE)
		put(t, "={CKA_LABEL=s:in,CKA_TOKEN=b:%u,CKA_CLASS=u:4}", chance(t, 2));
	else
		put(t, "=s:20260102");
}

/* softokn reads a NULL value. */
static bool
hostile(const struct subject *s, const char *text)
{
	return s->loose && strstr(text, "=NULL") != NULL;
}

static void
make_template(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const char *base = made[index % KMN_COUNT_OF(made)];
	size_t attribute = index / KMN_COUNT_OF(made);
	char extra[200];
	struct text other;

	do {
		text_inside(&other, t, extra, sizeof(extra));
		put_attribute_name(&other, attribute);
		put_attribute_value(&other, attribute);
		text_back(t, &other);
	} while (hostile(s, extra));
	put_begin(t, kind);
	put(t, "C_CreateObject s0 {%s,CKA_TOKEN=b:%u,CKA_PRIVATE=b:%u,CKA_LABEL=s:made} >o1\n", base,
	    chance(t, 12) == 0 && kind == GENERATE_USER, chance(t, 2));
	put(t, "C_CreateObject s0 {%s,CKA_TOKEN=b:0,%s} >o2\n", base, extra);
	put(t, "C_SetAttributeValue s0 o1 {%s}\n", extra);
	put(t, "C_CopyObject s0 o1 {%s,CKA_TOKEN=b:0} >o3\n", extra);
	put(t, "C_GetAttributeValue s0 o1 {");
	put_attribute_name(t, attribute);
	put(t, "=%s,CKA_LABEL=c:40}\n", value_room(t, attribute));
	put(t, "C_FindObjectsInit s0 {%s}\nC_FindObjects s0 c:100\nC_FindObjectsFinal s0\n", extra);
	if (chance(t, 3) == 0)
		put(t, "C_DestroyObject s0 o1\nC_GetAttributeValue s0 o1 {CKA_CLASS=c:8}\nC_DestroyObject s0 o1\n");
}

/* ---- axis 6: logins, sessions, what is visible ----------------------------------------------------------------- */

static const char *const lattice[] = {
    "C_OpenSession slot 6 0 >s1",
    "C_OpenSession slot 4 0 >s2",
    "C_OpenSession slot 4 1 >s3",
    "C_OpenSession slot 2 0 >s4",
    "C_Login s1 1 " USER_PIN,
    "C_Login s2 1 " USER_PIN,
    "C_Login s1 0 " SO_PIN,
    "C_Login s2 0 " SO_PIN,
    "C_Login s1 2 " USER_PIN,
    "C_Login s1 1 s:wrong-pin",
    "C_Login s1 0 s:wrong-pin",
    "C_Login s1 3 " USER_PIN,
    "C_Logout s1",
    "C_Logout s2",
    "C_CloseSession s1",
    "C_CloseSession s2",
    "C_CloseAllSessions slot",
    "C_GetSessionInfo s1 .",
    "C_GetSessionInfo s2 .",
    "C_GetSessionInfo s3 .",
    "C_GetTokenInfo slot .",
    "C_FindObjectsInit s1 {CKA_LABEL=s:t-aes-private}\nC_FindObjects s1 c:4>o5\nC_FindObjectsFinal s1",
    "C_FindObjectsInit s2 {CKA_LABEL=s:t-aes}\nC_FindObjects s2 c:4>o6\nC_FindObjectsFinal s2",
    "C_FindObjectsInit s2 {CKA_PRIVATE=b:1}\nC_FindObjects s2 c:20\nC_FindObjectsFinal s2",
    "C_FindObjectsInit s1 {}\nC_FindObjects s1 c:100\nC_FindObjectsFinal s1",
    "C_GetAttributeValue s1 o5 {CKA_CLASS=c:8,CKA_VALUE=q,CKA_LABEL=c:30}",
    "C_GetAttributeValue s2 o6 {CKA_CLASS=c:8,CKA_VALUE=c:40,CKA_LABEL=c:30}",
    "C_CreateObject s1 {CKA_CLASS=u:0,CKA_TOKEN=b:0,CKA_PRIVATE=b:1,CKA_VALUE=r:1:4} >o1",
    "C_CreateObject s2 {CKA_CLASS=u:0,CKA_TOKEN=b:0,CKA_PRIVATE=b:0,CKA_VALUE=r:1:4} >o2",
    "C_CreateObject s2 {CKA_CLASS=u:0,CKA_TOKEN=b:1,CKA_PRIVATE=b:1,CKA_VALUE=r:1:4} >o4",
    "C_GetAttributeValue s2 o1 {CKA_VALUE=c:40}",
    "C_GetAttributeValue s1 o2 {CKA_VALUE=c:40}",
    "C_DestroyObject s2 o1",
    "C_DestroyObject s1 o2",
    "C_EncryptInit s1 CKM_AES_ECB o5",
    "C_EncryptInit s2 CKM_AES_ECB o6",
    "C_Encrypt s1 r:1:16 c:32",
    "C_Encrypt s2 r:1:16 c:32",
    "C_DigestInit s1 CKM_SHA256\nC_DigestUpdate s1 r:1:20",
    "C_DigestFinal s1 c:64",
    "C_SetPIN s1 " USER_PIN " s:other-pin\nC_SetPIN s1 s:other-pin " USER_PIN,
    "C_SetPIN s2 " USER_PIN " s:other-pin",
    "C_SetPIN s1 s:wrong s:other-pin",
    "C_InitPIN s1 " USER_PIN,
    "C_InitPIN s2 " USER_PIN,
    "C_InitToken slot s:wrong-pin s:conform",
    "C_GenerateRandom s1 c:20",
    "C_SeedRandom s1 r:1:20",
    "C_GetOperationState s1 c:400>b1",
    "C_SetOperationState s1 b1 0 0",
};

static size_t
count_lattice(const struct subject *s, enum generate_kind kind)
{
	(void)s;
	return kind == GENERATE_RAW ? 4000 : 0;
}

static void
make_lattice(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	unsigned steps = 5 + chance(t, 7);

	(void)s;
	(void)kind;
	put(t, "world raw\n%s\n", lattice[index % 2]);
	for (unsigned i = 0; i < steps; i++)
		put(t, "%s\n", lattice[chance(t, i < 3 ? 12 : KMN_COUNT_OF(lattice))]);
	put(t, "C_GetSessionInfo s1 .\nC_GetSessionInfo s2 .\n");
}

/* ---- anything after anything ----------------------------------------------------------------------------------- */

static size_t
count_mix(const struct subject *s, enum generate_kind kind)
{
	(void)s;
	return kind == GENERATE_RAW ? 500 : 2000;
}

static void
make_mix(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	unsigned calls = 4 + chance(t, 8);

	(void)index;
	put_begin(t, kind);
	put(t, "C_CreateObject s0 " USUAL_OBJECT " >o0\n");
	while (calls-- > 0) {
		const struct kmn_call *call = kmn_call_row(chance(t, KMN_CALL_COUNT));
		size_t vary = chance(t, (uint32_t)call->param_count + 1);
		const struct recipe *recipe = NULL;
		const char *with = "";

		if (left_out(call, kind) || call->since > s->version || only_raw(call))
			continue;
		for (unsigned bit = 1; bit != 0 && bit <= call->operations; bit <<= 1)
			if ((call->operations & bit) != 0)
				recipe = recipe_for(t, bit);
		if (vary < call->param_count && variant_count(call->param[vary].kind) > 0)
			with = variants[call->param[vary].kind]
				       [chance(t, (uint32_t)variant_count(call->param[vary].kind))];
		if (*with == '\0' || ends_process(s, with) || strstr(with, "nolen") != NULL ||
		    (vary < call->param_count && is_ambiguous(s, call->param[vary].kind, with)))
			vary = NOTHING_VARIES;
		put_call(t, call, recipe, vary, with);
	}
}

/* ---- all of it ------------------------------------------------------------------------------------------------- */

static const struct axis {
	const char *name;
	unsigned share; /* of the cases of a run, beside the others */
	size_t (*count)(const struct subject *s, enum generate_kind kind);
	void (*make)(struct text *t, const struct subject *s, enum generate_kind kind, size_t index);
} axes[] = {
    {"arguments", 5, count_arguments, make_argument},
    {"room", 5, count_rooms, make_room},
    {"values", 3, count_values, make_values},
    {"mechanisms", 6, count_mechanisms, make_mechanism},
    {"table", 3, count_table, make_table},
    {"automata", 6, count_automata, make_automaton},
    {"templates", 2, count_templates, make_template},
    {"lattice", 8, count_lattice, make_lattice},
    {"mix", 3, count_mix, make_mix},
};

/* Axis by turns, each as often as its share; in an axis a stride that meets every index before one comes twice. */
static const struct axis *
axis_of(const struct subject *s, enum generate_kind kind, uint64_t index, uint64_t *nth_out)
{
	unsigned total = 0, at;

	for (size_t i = 0; i < KMN_COUNT_OF(axes); i++)
		total += axes[i].count(s, kind) > 0 ? axes[i].share : 0;
	at = (unsigned)(index % total);
	for (size_t i = 0; i < KMN_COUNT_OF(axes); i++) {
		unsigned share = axes[i].count(s, kind) > 0 ? axes[i].share : 0;

		if (at < share) {
			*nth_out = index / total * share + at;
			return &axes[i];
		}
		at -= share;
	}
	return NULL;
}

static size_t
common_divisor(size_t a, size_t b)
{
	return b == 0 ? a : common_divisor(b, a % b);
}

static size_t
spread(uint64_t nth, size_t count, uint64_t seed)
{
	size_t stride = count / 8 * 5 | 1;

	while (common_divisor(stride, count) != 1)
		stride++;
	return (size_t)((nth % count * stride + seed * 7919) % count);
}

size_t
generate_count(const struct subject *s, enum generate_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < KMN_COUNT_OF(axes); i++)
		n += axes[i].count(s, kind);
	return n;
}

const char *
generate_axis(const struct subject *s, enum generate_kind kind, uint64_t seed, uint64_t index)
{
	uint64_t nth;

	(void)seed;
	return axis_of(s, kind, index, &nth)->name;
}

void
generate(const struct subject *s, enum generate_kind kind, uint64_t seed, uint64_t index, char *text, size_t max)
{
	struct text t;
	uint64_t nth;
	const struct axis *axis = axis_of(s, kind, index, &nth);

	text_begin(&t, text, max, seed * 1000003 + index * 2 + kind);
	axis->make(&t, s, kind, spread(nth, axis->count(s, kind), seed));
}
