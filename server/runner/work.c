/*
 * One job by PKCS#11, as any application would do it: find the token, log in
 * where the operator gave a PIN, find the key, say whose instruction it is,
 * make the one call. The call waits for its quorum inside of the provider.
 */
#include "config.h"

#include "server/runner/runner.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/calls.h"
#include "kanmon/pkcs11_3.h"
#include "kanmon/vendor.h"
#include "kanmon/whole.h"

#define SLOTS_MAX 256u
#define PUBLIC_MAX_BYTES 2048u

#ifndef CKK_EC_EDWARDS
#define CKK_EC_EDWARDS 0x40ul
#endif

struct desk {
	const struct runner_job *job;
	struct runner_outcome *outcome;
	CK_FUNCTION_LIST *f;
	KMN_FUNCTION_LIST_1_1 *kanmon;
	CK_SESSION_HANDLE session;
	bool said;       /* the call was about to be made */
	uint64_t before; /* the session's last request before that */
};

static bool
fail(struct desk *d, const char *step, CK_RV rv)
{
	const char *name = kmn_rv_name(rv);

	if (name != NULL)
		(void)snprintf(d->outcome->why, sizeof(d->outcome->why), "%s: %s", step, name);
	else
		(void)snprintf(d->outcome->why, sizeof(d->outcome->why), "%s: 0x%lx", step, (unsigned long)rv);
	return false;
}

static bool
fail_with(struct desk *d, const char *words)
{
	(void)snprintf(d->outcome->why, sizeof(d->outcome->why), "%s", words);
	return false;
}

static bool
ok(struct desk *d, const char *step, CK_RV rv)
{
	return rv == CKR_OK || fail(d, step, rv);
}

/* ---- up to the session ------------------------------------------------------------------------------------------- */

static bool
is_padded(const CK_UTF8CHAR *field, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len > size || memcmp(field, text, len) != 0)
		return false;
	while (len < size && (field[len] == ' ' || field[len] == '\0'))
		len++;
	return len == size;
}

static bool
find_slot(struct desk *d, CK_SLOT_ID *slot_out)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG count = SLOTS_MAX;
	CK_TOKEN_INFO info;

	if (!ok(d, "C_GetSlotList", d->f->C_GetSlotList(CK_TRUE, slots, &count)))
		return false;
	for (CK_ULONG n = 0; n < count; n++) {
		if (d->f->C_GetTokenInfo(slots[n], &info) != CKR_OK ||
		    !is_padded(info.label, sizeof(info.label), d->job->token) ||
		    (d->job->serial[0] != '\0' &&
			!is_padded(info.serialNumber, sizeof(info.serialNumber), d->job->serial)))
			continue;
		*slot_out = slots[n];
		return true;
	}
	return fail_with(d, "the token is not there");
}

/* Without a PIN: a token `per login`, whose PIN the gateway has, or one that needs none. */
static bool
log_in(struct desk *d, CK_SLOT_ID slot)
{
	CK_TOKEN_INFO info;
	CK_RV rv;

	if (d->job->pin_len > 0) {
		rv = d->f->C_Login(d->session, CKU_USER, (CK_UTF8CHAR *)(uintptr_t)d->job->pin, d->job->pin_len);
		return rv == CKR_USER_ALREADY_LOGGED_IN || ok(d, "C_Login", rv);
	}
	if (!ok(d, "C_GetTokenInfo", d->f->C_GetTokenInfo(slot, &info)))
		return false;
	if ((info.flags & CKF_LOGIN_REQUIRED) == 0)
		return true;
	return ok(d, "C_Login without a PIN", d->f->C_Login(d->session, CKU_USER, NULL, 0));
}

static bool
open_desk(struct desk *d)
{
	static CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK};
	CK_UTF8CHAR name[] = KMN_INTERFACE_NAME;
	CK_VERSION version = {1, 1};
	CK_INTERFACE *found = NULL;
	CK_SLOT_ID slot;

	if (!ok(d, "C_Initialize", d->f->C_Initialize(&args)) ||
	    !ok(d, "C_GetInterface", C_GetInterface(name, &version, &found, 0)))
		return false;
	d->kanmon = found->pFunctionList;
	return find_slot(d, &slot) &&
	       ok(d, "C_OpenSession",
		   d->f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &d->session)) &&
	       log_in(d, slot);
}

/* Right before the call: custodians read it in the statement, and the gateway holds the call against what was signed. */
static bool
say_whose(struct desk *d)
{
	char id[40];
	int len = snprintf(id, sizeof(id), "action %llu", (unsigned long long)d->job->record);
	KMN_ATTACHMENT a = {.application = (const CK_UTF8CHAR *)id, .application_len = (CK_ULONG)len};

	d->said = true;
	if (d->kanmon->GetLastRequest(d->session, &d->before) != CKR_OK)
		d->before = 0;
	return ok(d, "AttachNext", d->kanmon->AttachNext(d->session, &a));
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

static void
put(CK_ATTRIBUTE *row, CK_ULONG *n, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
	if (len > 0)
		row[(*n)++] = (CK_ATTRIBUTE){type, (void *)(uintptr_t)value, (CK_ULONG)len};
}

static CK_ULONG
put_name(const struct desk *d, CK_ATTRIBUTE *row, CK_ULONG n)
{
	put(row, &n, CKA_LABEL, d->job->label, strlen(d->job->label));
	put(row, &n, CKA_ID, d->job->id, d->job->id_len);
	return n;
}

/* How many there are of that name and class, up to two; the first. */
static bool
search(struct desk *d, CK_OBJECT_CLASS class, CK_OBJECT_HANDLE *key_out, CK_ULONG *count_out)
{
	static const CK_BBOOL yes = CK_TRUE;
	CK_OBJECT_HANDLE found[2] = {0, 0};
	CK_ATTRIBUTE row[4];
	CK_ULONG n = 0;

	put(row, &n, CKA_CLASS, &class, sizeof(class));
	put(row, &n, CKA_TOKEN, &yes, sizeof(yes));
	n = put_name(d, row, n);
	if (!ok(d, "C_FindObjectsInit", d->f->C_FindObjectsInit(d->session, row, n)) ||
	    !ok(d, "C_FindObjects", d->f->C_FindObjects(d->session, found, 2, count_out)) ||
	    !ok(d, "C_FindObjectsFinal", d->f->C_FindObjectsFinal(d->session)))
		return false;
	*key_out = found[0];
	return true;
}

/* Exactly one, of the first of these classes that there is one of. */
static bool
find_key(struct desk *d, const CK_OBJECT_CLASS *classes, size_t class_count, CK_OBJECT_HANDLE *key_out)
{
	CK_ULONG count = 0;

	for (size_t n = 0; n < class_count && count == 0; n++)
		if (!search(d, classes[n], key_out, &count))
			return false;
	if (count == 1)
		return true;
	return fail_with(d, count == 0 ? "there is no such key" : "more than one key has that name: say its id too");
}

/* ---- a request for a certificate ---------------------------------------------------------------------------------- */

/* SubjectPublicKeyInfo of the one public key of that name; false: there is none, or it cannot be read. */
static bool
read_public(struct desk *d, enum runner_key kind, uint8_t **spki_out, size_t *len_out)
{
	bool rsa = kind == RUNNER_RSA;
	CK_BYTE first[PUBLIC_MAX_BYTES], second[PUBLIC_MAX_BYTES];
	CK_ATTRIBUTE row[] = {{rsa ? CKA_MODULUS : CKA_EC_PARAMS, first, sizeof(first)},
	    {rsa ? CKA_PUBLIC_EXPONENT : CKA_EC_POINT, second, sizeof(second)}};
	CK_OBJECT_HANDLE key;
	CK_ULONG count;

	return search(d, CKO_PUBLIC_KEY, &key, &count) && count == 1 &&
	       d->f->C_GetAttributeValue(d->session, key, row, 2) == CKR_OK && row[0].ulValueLen <= sizeof(first) &&
	       row[1].ulValueLen <= sizeof(second) &&
	       runner_spki(kind, first, row[0].ulValueLen, second, row[1].ulValueLen, spki_out, len_out) == KMN_OK;
}

/*
 * A request is signed by the key that it is for: nobody needs to approve one that no CA would take. Where the token
 * does not tell, the whole says it afterwards.
 */
static bool
is_request_of_it(struct desk *d, enum runner_key kind)
{
	uint8_t *asked, *own = NULL;
	size_t asked_len, own_len = 0;
	bool other;

	if (!kmn_whole_request_key(d->job->file, d->job->file_len, &asked, &asked_len))
		return true;
	other = read_public(d, kind, &own, &own_len) && (own_len != asked_len || memcmp(own, asked, own_len) != 0);
	free(asked);
	free(own);
	d->outcome->why[0] = '\0';
	return !other || fail_with(d, "the certificate request is for another key than the one that is to sign it");
}

/* ---- sign --------------------------------------------------------------------------------------------------------- */

static bool
sign(struct desk *d)
{
	static const CK_OBJECT_CLASS private[] = {CKO_PRIVATE_KEY};
	const struct runner_signer *signer = runner_signer_named(d->job->mechanism);
	CK_RSA_PKCS_PSS_PARAMS pss;
	CK_MECHANISM mechanism = {.pParameter = NULL};
	uint8_t signature[KMN_WHOLE_SIGNATURE_MAX_BYTES];
	CK_ULONG len = sizeof(signature);
	CK_OBJECT_HANDLE key;

	if (signer == NULL || d->job->parameters[0] != '\0')
		return fail_with(d, "the console signs with no such mechanism, or with no such parameters");
	pss = (CK_RSA_PKCS_PSS_PARAMS){signer->hash, signer->mgf, signer->salt_len};
	mechanism.mechanism = signer->mechanism;
	if (signer->hash != 0) {
		mechanism.pParameter = &pss;
		mechanism.ulParameterLen = sizeof(pss);
	}
	/* Said before both, so that a rule that refuses the first of them is told of the instruction too. */
	return find_key(d, private, 1, &key) && is_request_of_it(d, signer->key) && say_whose(d) &&
	       ok(d, "C_SignInit", d->f->C_SignInit(d->session, &mechanism, key)) &&
	       ok(d, "C_Sign",
		   d->f->C_Sign(d->session, (CK_BYTE *)(uintptr_t)d->job->file, d->job->file_len, signature, &len));
}

/* ---- generate ----------------------------------------------------------------------------------------------------- */

/* Sign keys: neither to be read nor to leave the token. */
static bool
generate(struct desk *d)
{
	static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	static const CK_BYTE exponent[] = {1, 0, 1};
	const struct runner_maker *maker = runner_maker_named(d->job->mechanism, d->job->parameters);
	CK_ATTRIBUTE pub[8], priv[8];
	CK_ULONG pubs = 0, privs = 0;
	CK_OBJECT_HANDLE public, private;
	CK_MECHANISM mechanism = {.pParameter = NULL};

	if (maker == NULL)
		return fail_with(d, "the console makes no such keys");
	mechanism.mechanism = maker->mechanism;
	put(pub, &pubs, CKA_TOKEN, &yes, sizeof(yes));
	put(pub, &pubs, CKA_VERIFY, &yes, sizeof(yes));
	pubs = put_name(d, pub, pubs);
	if (maker->key == RUNNER_RSA) {
		put(pub, &pubs, CKA_MODULUS_BITS, &maker->bits, sizeof(maker->bits));
		put(pub, &pubs, CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent));
	} else {
		put(pub, &pubs, CKA_EC_PARAMS, maker->curve, maker->curve_len);
	}
	put(priv, &privs, CKA_TOKEN, &yes, sizeof(yes));
	put(priv, &privs, CKA_PRIVATE, &yes, sizeof(yes));
	put(priv, &privs, CKA_SENSITIVE, &yes, sizeof(yes));
	put(priv, &privs, CKA_EXTRACTABLE, &no, sizeof(no));
	put(priv, &privs, CKA_SIGN, &yes, sizeof(yes));
	privs = put_name(d, priv, privs);
	return say_whose(d) &&
	       ok(d, "C_GenerateKeyPair",
		   d->f->C_GenerateKeyPair(d->session, &mechanism, pub, pubs, priv, privs, &public, &private));
}

/* ---- destroy ------------------------------------------------------------------------------------------------------ */

/* The half that is worth something; the public one stays, and verifies what there is. */
static bool
destroy(struct desk *d)
{
	static const CK_OBJECT_CLASS any[] = {CKO_PRIVATE_KEY, CKO_SECRET_KEY, CKO_PUBLIC_KEY};
	CK_OBJECT_HANDLE key;

	return find_key(d, any, KMN_COUNT_OF(any), &key) && say_whose(d) &&
	       ok(d, "C_DestroyObject", d->f->C_DestroyObject(d->session, key));
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

void
runner_work(const struct runner_job *job, struct runner_outcome *outcome)
{
	static const struct {
		const char *what;
		bool (*run)(struct desk *d);
	} rows[] = {{"sign", sign}, {"generate", generate}, {"destroy", destroy}};
	struct desk d = {.job = job, .outcome = outcome};
	bool opened;
	size_t n = 0;

	while (n < KMN_COUNT_OF(rows) && strcmp(rows[n].what, job->what) != 0)
		n++;
	if (n == KMN_COUNT_OF(rows) || C_GetFunctionList(&d.f) != CKR_OK) {
		(void)fail_with(&d, "the console does no such thing");
		return;
	}
	opened = open_desk(&d);
	/* It has been used: what the call now waits for may take weeks. The message is this process's own. */
	sodium_memzero((uint8_t *)(uintptr_t)job->pin, job->pin_len);
	if (opened)
		(void)rows[n].run(&d);
	/* Of the call, and not of the login before it. */
	if (!d.said || d.kanmon->GetLastRequest(d.session, &outcome->request) != CKR_OK || outcome->request == d.before)
		outcome->request = 0;
	(void)d.f->C_Finalize(NULL);
}
