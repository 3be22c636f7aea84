/* Axes `automata` and `lattice`: steps of operations; logins, sessions, what is visible. */
#include "tests/conformance/axes.h"

#include <string.h>

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

size_t
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

void
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

size_t
count_lattice(const struct subject *s, enum generate_kind kind)
{
	(void)s;
	return kind == GENERATE_RAW ? 4000 : 0;
}

void
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
