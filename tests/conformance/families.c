/* Axes `mechanisms` and `table`: every mechanism in every family of functions. */
#include "tests/conformance/axes.h"

#include <stdio.h>
#include <string.h>

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
		put_some_object(t);
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

size_t
count_mechanisms(const struct subject *s, enum generate_kind kind)
{
	(void)kind;
	return s->mechanisms * family_count(s) * PARAMETERS;
}

void
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
size_t
count_table(const struct subject *s, enum generate_kind kind)
{
	size_t n = 0;

	(void)s;
	(void)kind;
	while (kmn_mechanism_at(n) != NULL)
		n++;
	return n;
}

void
make_table(struct text *t, const struct subject *s, enum generate_kind kind, size_t index)
{
	const struct kmn_mechanism *row = kmn_mechanism_at(index);

	put_begin(t, kind);
	for (unsigned i = 0; i < 2; i++)
		families[chance(t, (uint32_t)family_count(s))].make(
		    t, row->type, i == 0 ? PARAMETER_RIGHT : (enum parameter)chance(t, PARAMETERS), false);
}
