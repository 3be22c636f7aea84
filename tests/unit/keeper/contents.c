#include "config.h"

#include "tests/unit/keeper/contents.h"

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/sha.h>
#include <openssl/ts.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kanmon/base.h"

struct making {
	const char *word[5]; /* after the kind */
	time_t now;
	EVP_PKEY *key; /* of whom it is about, and that signs it: that signature is thrown away */
	uint8_t *der;
	int len;
};

static X509_NAME *
name_of(const char *cn)
{
	X509_NAME *name = X509_NAME_new();

	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1, 0);
	return name;
}

static void
set_names(X509 *x, const struct making *m)
{
	X509_NAME *issuer = name_of(m->word[0]), *subject = name_of(m->word[1]);

	X509_set_issuer_name(x, issuer);
	X509_set_subject_name(x, subject);
	X509_NAME_free(issuer);
	X509_NAME_free(subject);
}

static X509 *
certificate_of(const struct making *m, const char *constraints)
{
	X509 *x = X509_new();
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, constraints);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 4711);
	set_names(x, m);
	ASN1_TIME_set(X509_getm_notBefore(x), m->now);
	ASN1_TIME_adj(X509_getm_notAfter(x), m->now, atoi(m->word[2]), 0);
	X509_set_pubkey(x, m->key);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	X509_sign(x, m->key, EVP_sha256());
	return x;
}

static void
make_certificate(struct making *m)
{
	X509 *x = certificate_of(m, "critical,CA:FALSE");

	m->len = i2d_re_X509_tbs(x, &m->der);
	X509_free(x);
}

static void
make_ca(struct making *m)
{
	char constraints[64];
	X509 *x;

	snprintf(constraints, sizeof(constraints), "critical,CA:TRUE,pathlen:%.8s", m->word[3]);
	x = certificate_of(m, constraints);
	m->len = i2d_re_X509_tbs(x, &m->der);
	X509_free(x);
}

static void
make_crl(struct making *m)
{
	X509_NAME *issuer = name_of(m->word[0]);
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *at = ASN1_TIME_set(NULL, m->now);

	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, issuer);
	X509_CRL_set1_lastUpdate(crl, at);
	X509_CRL_set1_nextUpdate(crl, ASN1_TIME_adj(at, m->now, atoi(m->word[1]), 0));
	X509_CRL_sign(crl, m->key, EVP_sha256());
	m->len = i2d_re_X509_CRL_tbs(crl, &m->der);
	ASN1_TIME_free(at);
	X509_CRL_free(crl);
	X509_NAME_free(issuer);
}

static void
make_csr(struct making *m)
{
	X509_NAME *subject = name_of(m->word[0]);
	X509_REQ *request = X509_REQ_new();

	X509_REQ_set_version(request, 0);
	X509_REQ_set_subject_name(request, subject);
	X509_REQ_set_pubkey(request, m->key);
	X509_REQ_sign(request, m->key, EVP_sha256());
	m->len = i2d_re_X509_REQ_tbs(request, &m->der);
	X509_REQ_free(request);
	X509_NAME_free(subject);
}

static void
make_ocsp(struct making *m)
{
	struct making responder = {.word = {m->word[0], m->word[0], "365"}, .now = m->now, .key = m->key};
	X509 *x = certificate_of(&responder, "critical,CA:TRUE");
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), x, x);
	ASN1_TIME *from = ASN1_TIME_adj(NULL, m->now, 0, 0), *to = ASN1_TIME_adj(NULL, m->now, atoi(m->word[1]), 0);

	ASN1_TIME_to_generalizedtime(from, &from);
	ASN1_TIME_to_generalizedtime(to, &to);
	OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, to);
	OCSP_basic_sign(basic, x, m->key, EVP_sha256(), NULL, OCSP_NOCERTS);
	m->len = i2d_OCSP_RESPDATA(OCSP_resp_get0_respdata(basic), &m->der);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	X509_free(x);
}

/* SET of content type `data` and the message digest: what a CMS signature is over. */
static void
make_attributes(struct making *m)
{
	static const uint8_t start[] = {0x31, 0x4b, 0x30, 0x18, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	    0x09, 0x03, 0x31, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01, 0x30, 0x2f, 0x06,
	    0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04, 0x31, 0x22, 0x04, 0x20};

	m->len = sizeof(start) + 32;
	if ((m->der = OPENSSL_zalloc((size_t)m->len)) != NULL)
		memcpy(m->der, start, sizeof(start));
}

/* It says nothing that changes but the time: made twice in one second it is the same. */
static void
make_tst_info(struct making *m)
{
	static uint8_t zeros[SHA256_DIGEST_LENGTH];
	TS_TST_INFO *info = TS_TST_INFO_new();
	TS_MSG_IMPRINT *imprint = TS_MSG_IMPRINT_new();
	X509_ALGOR *algorithm = X509_ALGOR_new();
	ASN1_OBJECT *policy = OBJ_txt2obj(m->word[0], 1);
	ASN1_INTEGER *serial = ASN1_INTEGER_new();
	ASN1_GENERALIZEDTIME *at = ASN1_GENERALIZEDTIME_adj(NULL, m->now, 0, atoi(m->word[1]));

	ASN1_INTEGER_set(serial, 4711);
	X509_ALGOR_set_md(algorithm, EVP_sha256());
	TS_MSG_IMPRINT_set_algo(imprint, algorithm);
	TS_MSG_IMPRINT_set_msg(imprint, zeros, sizeof(zeros));
	TS_TST_INFO_set_version(info, 1);
	TS_TST_INFO_set_policy_id(info, policy);
	TS_TST_INFO_set_msg_imprint(info, imprint);
	TS_TST_INFO_set_serial(info, serial);
	TS_TST_INFO_set_time(info, at);
	m->len = i2d_TS_TST_INFO(info, &m->der);
	ASN1_GENERALIZEDTIME_free(at);
	ASN1_INTEGER_free(serial);
	ASN1_OBJECT_free(policy);
	X509_ALGOR_free(algorithm);
	TS_MSG_IMPRINT_free(imprint);
	TS_TST_INFO_free(info);
}

/* SET of content type `tst-info` and the hash of it: what a time stamp's signature is over. */
static void
make_stamp(struct making *m)
{
	static const uint8_t start[] = {0x31, 0x4d, 0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01,
	    0x09, 0x03, 0x31, 0x0d, 0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04, 0x30,
	    0x2f, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04, 0x31, 0x22, 0x04, 0x20};
	struct making info = *m;

	make_tst_info(&info);
	m->len = sizeof(start) + SHA256_DIGEST_LENGTH;
	if ((m->der = OPENSSL_malloc((size_t)m->len)) != NULL) {
		memcpy(m->der, start, sizeof(start));
		SHA256(info.der, (size_t)info.len, m->der + sizeof(start));
	}
	OPENSSL_free(info.der);
}

static const struct {
	const char *kind;
	size_t words;
	void (*make)(struct making *m);
} kinds[] = {
    {"certificate", 3, make_certificate},
    {"ca", 4, make_ca},
    {"crl", 2, make_crl},
    {"csr", 1, make_csr},
    {"ocsp", 2, make_ocsp},
    {"attributes", 0, make_attributes},
    {"tst-info", 2, make_tst_info},
    {"stamp", 2, make_stamp},
};

uint8_t *
content_make(const char *what, time_t now_s, size_t *len_out)
{
	struct making m = {.now = now_s};
	char text[200], *rest, *kind;
	size_t words = 0;

	snprintf(text, sizeof(text), "%s", what);
	kind = strtok_r(text, "/", &rest);
	while (kind != NULL && words < KMN_COUNT_OF(m.word) && (m.word[words] = strtok_r(NULL, "/", &rest)) != NULL)
		words++;
	for (size_t n = 0; kind != NULL && n < KMN_COUNT_OF(kinds); n++) {
		if (strcmp(kinds[n].kind, kind) != 0 || kinds[n].words != words)
			continue;
		m.key = EVP_EC_gen("P-256");
		kinds[n].make(&m);
		EVP_PKEY_free(m.key);
	}
	*len_out = m.der == NULL || m.len < 0 ? 0 : (size_t)m.len;
	return m.der;
}
