#include "server/quorum/content.h"

#include "kanmon/tree.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <string.h>

#define HEX_SHOWN_MAX_BYTES 384 /* of an extension that is not known; a longer one is shown by its hash */

struct words {
	struct text *lines;
	struct text v;
	const char *name; /* "basicConstraints" */
	bool critical;
	struct kmn_content_facts *facts; /* may be NULL */
};

/* A line of this extension starts: name, and whether it is critical. */
static void
begin(struct words *w)
{
	text_printf(&w->v, "%s%s ", w->name, w->critical ? " critical" : "");
}

static void
end(struct words *w)
{
	if (w->v.err == KMN_OK && w->v.len > 0 && w->v.bytes[w->v.len - 1] == ' ')
		w->v.bytes[--w->v.len] = 0;
	content_line(w->lines, "extension", &w->v);
}

static void
put_ip(struct text *t, const ASN1_OCTET_STRING *ip)
{
	const uint8_t *b = ASN1_STRING_get0_data(ip);
	int len = ASN1_STRING_length(ip), half = len == 8 || len == 32 ? len / 2 : len;
	char address[INET6_ADDRSTRLEN] = "";

	text_put(t, "IP:");
	if (half != 4 && half != 16) {
		text_put(t, "hex ");
		text_hex(t, b, (size_t)len);
		return;
	}
	for (int at = 0; at < len; at += half) {
		inet_ntop(half == 4 ? AF_INET : AF_INET6, b + at, address, sizeof(address));
		text_printf(t, "%s%s", at > 0 ? "/" : "", address);
	}
}

static void
put_ia5(struct text *t, const char *what, const ASN1_IA5STRING *string)
{
	text_put(t, what);
	text_escaped(t, (const char *)ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string), "");
}

void
content_general_name(struct text *t, GENERAL_NAME *name)
{
	uint8_t *der = NULL;
	int n;

	switch (name->type) {
	case GEN_DNS:
		put_ia5(t, "DNS:", name->d.dNSName);
		return;
	case GEN_EMAIL:
		put_ia5(t, "email:", name->d.rfc822Name);
		return;
	case GEN_URI:
		put_ia5(t, "URI:", name->d.uniformResourceIdentifier);
		return;
	case GEN_IPADD:
		put_ip(t, name->d.iPAddress);
		return;
	case GEN_DIRNAME:
		text_put(t, "name:");
		content_name(t, name->d.directoryName);
		return;
	case GEN_RID:
		text_put(t, "RID:");
		content_oid(t, name->d.registeredID);
		return;
	default:
		n = i2d_GENERAL_NAME(name, &der);
		text_put(t, "other:hex ");
		if (n > 0)
			text_hex(t, der, (size_t)n);
		OPENSSL_free(der);
	}
}

/* One line for each name, so that a long list is still read one by one. */
static void
say_general_names(struct words *w, void *value)
{
	GENERAL_NAMES *names = value;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		begin(w);
		content_general_name(&w->v, sk_GENERAL_NAME_value(names, i));
		end(w);
	}
}

static void
say_basic_constraints(struct words *w, void *value)
{
	BASIC_CONSTRAINTS *bc = value;
	int64_t pathlen = -1;

	begin(w);
	text_printf(&w->v, "ca=%s", bc->ca ? "true" : "false");
	if (bc->pathlen != NULL) {
		if (!ASN1_INTEGER_get_int64(&pathlen, bc->pathlen) || pathlen < 0 || pathlen > INT32_MAX)
			w->v.err = KMN_E_MALFORMED;
		text_printf(&w->v, " pathlen=%lld", (long long)pathlen);
	}
	end(w);
	if (w->facts != NULL) {
		w->facts->ca = bc->ca != 0;
		w->facts->pathlen = (int)pathlen;
	}
}

static void
put_bits(struct words *w, const ASN1_BIT_STRING *bits, const char *const *names, int count)
{
	begin(w);
	for (int i = 0; i < ASN1_STRING_length(bits) * 8; i++) {
		if (!ASN1_BIT_STRING_get_bit(bits, i))
			continue;
		if (i < count)
			text_printf(&w->v, "%s ", names[i]);
		else
			text_printf(&w->v, "bit%d ", i);
	}
	end(w);
}

static void
say_key_usage(struct words *w, void *value)
{
	static const char *const names[] = {"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment",
	    "keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"};

	put_bits(w, value, names, KMN_COUNT_OF(names));
}

static const char *
purpose_name(const char *oid)
{
	static const char *const names[][2] = {
	    {"2.5.29.37.0", "any"},
	    {"1.3.6.1.5.5.7.3.1", "serverAuth"},
	    {"1.3.6.1.5.5.7.3.2", "clientAuth"},
	    {"1.3.6.1.5.5.7.3.3", "codeSigning"},
	    {"1.3.6.1.5.5.7.3.4", "emailProtection"},
	    {"1.3.6.1.5.5.7.3.8", "timeStamping"},
	    {"1.3.6.1.5.5.7.3.9", "OCSPSigning"},
	};

	for (size_t i = 0; i < KMN_COUNT_OF(names); i++)
		if (strcmp(names[i][0], oid) == 0)
			return names[i][1];
	return oid;
}

static void
say_ext_key_usage(struct words *w, void *value)
{
	EXTENDED_KEY_USAGE *purposes = value;

	begin(w);
	for (int i = 0; i < sk_ASN1_OBJECT_num(purposes); i++) {
		char oid[256] = "";

		if (OBJ_obj2txt(oid, sizeof(oid), sk_ASN1_OBJECT_value(purposes, i), 1) >= (int)sizeof(oid))
			w->v.err = KMN_E_MALFORMED;
		text_printf(&w->v, "%s ", purpose_name(oid));
	}
	end(w);
}

static void
say_octets(struct words *w, void *value)
{
	ASN1_OCTET_STRING *octets = value;

	begin(w);
	text_hex(&w->v, ASN1_STRING_get0_data(octets), (size_t)ASN1_STRING_length(octets));
	end(w);
}

static void
say_authority_key(struct words *w, void *value)
{
	AUTHORITY_KEYID *a = value;

	begin(w);
	if (a->keyid != NULL) {
		text_put(&w->v, "keyid=");
		text_hex(&w->v, ASN1_STRING_get0_data(a->keyid), (size_t)ASN1_STRING_length(a->keyid));
		text_put(&w->v, " ");
	}
	for (int i = 0; a->issuer != NULL && i < sk_GENERAL_NAME_num(a->issuer); i++) {
		text_put(&w->v, "issuer=");
		content_general_name(&w->v, sk_GENERAL_NAME_value(a->issuer, i));
		text_put(&w->v, " ");
	}
	if (a->serial != NULL) {
		text_put(&w->v, "serial=");
		content_integer(&w->v, a->serial);
	}
	end(w);
}

static void
say_integer(struct words *w, void *value)
{
	begin(w);
	content_integer(&w->v, value);
	end(w);
}

/* cRLNumber in decimal, as people count. */
static void
say_number(struct words *w, void *value)
{
	BIGNUM *n = ASN1_INTEGER_to_BN(value, NULL);
	char *decimal = n == NULL ? NULL : BN_bn2dec(n);

	begin(w);
	if (decimal == NULL || BN_num_bytes(n) > 20)
		w->v.err = KMN_E_MALFORMED;
	else
		text_put(&w->v, decimal);
	end(w);
	OPENSSL_free(decimal);
	BN_free(n);
}

void
content_reason(struct text *t, int64_t reason)
{
	static const char *const names[] = {"unspecified", "keyCompromise", "cACompromise", "affiliationChanged",
	    "superseded", "cessationOfOperation", "certificateHold", "7", "removeFromCRL", "privilegeWithdrawn",
	    "aACompromise"};

	if (reason < 0 || reason >= (int64_t)KMN_COUNT_OF(names))
		text_printf(t, "%lld", (long long)reason);
	else
		text_put(t, names[reason]);
}

static void
say_reason(struct words *w, void *value)
{
	int64_t reason = -1;

	begin(w);
	if (!ASN1_ENUMERATED_get_int64(&reason, value))
		reason = -1;
	content_reason(&w->v, reason);
	end(w);
}

static void
put_qualifier(struct text *t, POLICYQUALINFO *qualifier)
{
	uint8_t *der = NULL;
	int n;

	if (OBJ_obj2nid(qualifier->pqualid) == NID_id_qt_cps) {
		put_ia5(t, " CPS:", qualifier->d.cpsuri);
		return;
	}
	n = i2d_POLICYQUALINFO(qualifier, &der);
	text_put(t, " qualifier hex ");
	if (n > 0)
		text_hex(t, der, (size_t)n);
	OPENSSL_free(der);
}

static void
say_policies(struct words *w, void *value)
{
	CERTIFICATEPOLICIES *policies = value;

	for (int i = 0; i < sk_POLICYINFO_num(policies); i++) {
		POLICYINFO *p = sk_POLICYINFO_value(policies, i);

		begin(w);
		content_oid(&w->v, p->policyid);
		for (int k = 0; p->qualifiers != NULL && k < sk_POLICYQUALINFO_num(p->qualifiers); k++)
			put_qualifier(&w->v, sk_POLICYQUALINFO_value(p->qualifiers, k));
		end(w);
	}
}

static void
put_point_name(struct words *w, DIST_POINT_NAME *name)
{
	if (name == NULL)
		return;
	if (name->type != 0) {
		w->v.err = KMN_E_NOT_FOUND; /* relative to the issuer: no words for it, hex instead */
		return;
	}
	for (int i = 0; i < sk_GENERAL_NAME_num(name->name.fullname); i++) {
		content_general_name(&w->v, sk_GENERAL_NAME_value(name->name.fullname, i));
		text_put(&w->v, " ");
	}
}

static void
say_points(struct words *w, void *value)
{
	CRL_DIST_POINTS *points = value;

	for (int i = 0; i < sk_DIST_POINT_num(points); i++) {
		DIST_POINT *p = sk_DIST_POINT_value(points, i);

		begin(w);
		put_point_name(w, p->distpoint);
		if (p->reasons != NULL)
			w->v.err = KMN_E_NOT_FOUND;
		for (int k = 0; p->CRLissuer != NULL && k < sk_GENERAL_NAME_num(p->CRLissuer); k++) {
			text_put(&w->v, "issuer=");
			content_general_name(&w->v, sk_GENERAL_NAME_value(p->CRLissuer, k));
			text_put(&w->v, " ");
		}
		end(w);
	}
}

static void
say_issuing_point(struct words *w, void *value)
{
	ISSUING_DIST_POINT *p = value;

	begin(w);
	put_point_name(w, p->distpoint);
	if (p->onlysomereasons != NULL)
		w->v.err = KMN_E_NOT_FOUND;
	text_printf(&w->v, "%s%s%s%s", p->onlyuser > 0 ? "onlyUserCerts " : "", p->onlyCA > 0 ? "onlyCACerts " : "",
	    p->indirectCRL > 0 ? "indirectCRL " : "", p->onlyattr > 0 ? "onlyAttributeCerts " : "");
	end(w);
}

static void
say_access(struct words *w, void *value)
{
	AUTHORITY_INFO_ACCESS *list = value;

	for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(list); i++) {
		ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(list, i);
		int nid = OBJ_obj2nid(d->method);

		begin(w);
		if (nid == NID_ad_OCSP)
			text_put(&w->v, "OCSP");
		else if (nid == NID_ad_ca_issuers)
			text_put(&w->v, "caIssuers");
		else
			content_oid(&w->v, d->method);
		text_put(&w->v, " ");
		content_general_name(&w->v, d->location);
		end(w);
	}
}

static void
say_subtrees(struct words *w, const char *what, STACK_OF(GENERAL_SUBTREE) * trees)
{
	for (int i = 0; i < sk_GENERAL_SUBTREE_num(trees); i++) {
		GENERAL_SUBTREE *tree = sk_GENERAL_SUBTREE_value(trees, i);

		begin(w);
		text_printf(&w->v, "%s ", what);
		content_general_name(&w->v, tree->base);
		if (tree->minimum != NULL || tree->maximum != NULL)
			w->v.err = KMN_E_NOT_FOUND;
		end(w);
	}
}

static void
say_name_constraints(struct words *w, void *value)
{
	NAME_CONSTRAINTS *nc = value;

	say_subtrees(w, "permitted", nc->permittedSubtrees);
	say_subtrees(w, "excluded", nc->excludedSubtrees);
}

static void
say_policy_constraints(struct words *w, void *value)
{
	POLICY_CONSTRAINTS *pc = value;

	begin(w);
	if (pc->requireExplicitPolicy != NULL) {
		text_put(&w->v, "requireExplicitPolicy=");
		content_integer(&w->v, pc->requireExplicitPolicy);
		text_put(&w->v, " ");
	}
	if (pc->inhibitPolicyMapping != NULL) {
		text_put(&w->v, "inhibitPolicyMapping=");
		content_integer(&w->v, pc->inhibitPolicyMapping);
	}
	end(w);
}

/* The extensions that have words. A name without words is hex under its name. */
static const struct row {
	int nid;
	const char *name;
	void (*say)(struct words *, void *value);
} rows[] = {
    {NID_basic_constraints, "basicConstraints", say_basic_constraints},
    {NID_key_usage, "keyUsage", say_key_usage},
    {NID_ext_key_usage, "extKeyUsage", say_ext_key_usage},
    {NID_subject_key_identifier, "subjectKeyIdentifier", say_octets},
    {NID_authority_key_identifier, "authorityKeyIdentifier", say_authority_key},
    {NID_subject_alt_name, "subjectAltName", say_general_names},
    {NID_issuer_alt_name, "issuerAltName", say_general_names},
    {NID_certificate_policies, "certificatePolicies", say_policies},
    {NID_policy_constraints, "policyConstraints", say_policy_constraints},
    {NID_inhibit_any_policy, "inhibitAnyPolicy", say_integer},
    {NID_name_constraints, "nameConstraints", say_name_constraints},
    {NID_crl_distribution_points, "cRLDistributionPoints", say_points},
    {NID_freshest_crl, "freshestCRL", say_points},
    {NID_info_access, "authorityInfoAccess", say_access},
    {NID_sinfo_access, "subjectInfoAccess", say_access},
    {NID_crl_number, "cRLNumber", say_number},
    {NID_delta_crl, "deltaCRLIndicator", say_number},
    {NID_issuing_distribution_point, "issuingDistributionPoint", say_issuing_point},
    {NID_crl_reason, "reasonCode", say_reason},
    {NID_certificate_issuer, "certificateIssuer", say_general_names},
};

/* In words into `w->lines`; false, and nothing added, where bytes and words would not be the same thing. */
static bool
say_in_words(struct words *w, const struct row *row, X509_EXTENSION *extension)
{
	const ASN1_OCTET_STRING *der = X509_EXTENSION_get_data(extension);
	const X509V3_EXT_METHOD *method = X509V3_EXT_get(extension);
	void *value = X509V3_EXT_d2i(extension);
	size_t before = w->lines->len;
	uint8_t *again = NULL;
	bool said = false;
	int n;

	if (value == NULL || w->lines->err != KMN_OK)
		goto done;
	n = ASN1_item_i2d(value, &again, ASN1_ITEM_ptr(method->it));
	if (n != ASN1_STRING_length(der) || memcmp(again, ASN1_STRING_get0_data(der), (size_t)n) != 0)
		goto done;
	row->say(w, value);
	said = w->lines->err == KMN_OK && w->lines->len > before;
	if (!said && (w->lines->err == KMN_OK || w->lines->err == KMN_E_NOT_FOUND)) {
		w->lines->err = KMN_OK;
		w->lines->len = before;
	}
done:
	OPENSSL_free(again);
	if (value != NULL)
		ASN1_item_free(value, ASN1_ITEM_ptr(method->it));
	return said;
}

static void
say_hex(struct words *w, const ASN1_OCTET_STRING *der)
{
	const uint8_t *bytes = ASN1_STRING_get0_data(der);
	size_t len = (size_t)ASN1_STRING_length(der);
	uint8_t sha256[KMN_HASH_BYTES];

	begin(w);
	if (len <= HEX_SHOWN_MAX_BYTES) {
		text_put(&w->v, "hex ");
		text_hex(&w->v, bytes, len);
	} else {
		kmn_sha256(bytes, len, sha256);
		text_printf(&w->v, "%zu bytes, sha256 ", len);
		text_b64(&w->v, sha256, sizeof(sha256));
	}
	end(w);
}

void
content_extension(struct text *lines, X509_EXTENSION *extension, struct kmn_content_facts *facts)
{
	const struct row *row = NULL;
	int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));
	struct words w = {.lines = lines, .critical = X509_EXTENSION_get_critical(extension) != 0, .facts = facts};
	struct text oid;

	text_init(&w.v, CONTENT_LINES_MAX_BYTES);
	text_init(&oid, 256);
	content_oid(&oid, X509_EXTENSION_get_object(extension));
	for (size_t i = 0; i < KMN_COUNT_OF(rows) && row == NULL; i++)
		if (rows[i].nid == nid)
			row = &rows[i];
	if (oid.err != KMN_OK) {
		lines->err = lines->err == KMN_OK ? oid.err : lines->err;
		goto done;
	}
	w.name = row != NULL ? row->name : oid.bytes;
	if (row != NULL && say_in_words(&w, row, extension))
		goto done;
	if (nid == NID_basic_constraints && lines->err == KMN_OK)
		lines->err = KMN_E_MALFORMED; /* policy puts bounds on it: better no content than another one */
	w.name = oid.bytes;
	text_clear(&w.v);
	text_init(&w.v, CONTENT_LINES_MAX_BYTES);
	say_hex(&w, X509_EXTENSION_get_data(extension));
done:
	text_clear(&w.v);
	text_clear(&oid);
}
