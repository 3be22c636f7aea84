/* What a time stamp says (RFC 3161 TSTInfo). */
#include "config.h"

#include "server/quorum/content.h"

#include "kanmon/record.h"
#include "kanmon/tree.h"

#include <openssl/ts.h>
#include <stdlib.h>
#include <string.h>

/* A time that may have a fraction of a second, in DER: at least one digit, no 0 at its end. */
static int64_t
put_time(struct text *v, const ASN1_GENERALIZEDTIME *time)
{
	const char *s = (const char *)ASN1_STRING_get0_data(time);
	int len = ASN1_STRING_length(time);
	ASN1_TIME *whole = NULL;
	int64_t ms = -1;

	if (len <= 15 || s[14] != '.')
		return content_time(v, time);
	if (len < 17 || len > 24 || s[len - 1] != 'Z' || s[len - 2] == '0' ||
	    (int)strspn(s + 15, "0123456789") != len - 16 ||
	    (whole = ASN1_STRING_type_new(V_ASN1_GENERALIZEDTIME)) == NULL || !ASN1_STRING_set(whole, s, 15)) {
		v->err = v->err == KMN_OK ? KMN_E_MALFORMED : v->err;
	} else {
		((unsigned char *)(uintptr_t)ASN1_STRING_get0_data(whole))[14] = 'Z';
		ms = content_time(v, whole);
		if (v->err == KMN_OK) { /* before the Z */
			v->bytes[--v->len] = 0;
			text_add(v, s + 14, (size_t)len - 14);
		}
	}
	ASN1_STRING_free(whole);
	return ms;
}

static void
put_imprint(struct text *lines, struct text *v, TS_TST_INFO *tst)
{
	TS_MSG_IMPRINT *imprint = TS_TST_INFO_get_msg_imprint(tst);
	ASN1_OCTET_STRING *hash = TS_MSG_IMPRINT_get_msg(imprint);

	content_algorithm(v, TS_MSG_IMPRINT_get_algo(imprint));
	text_put(v, " ");
	text_hex(v, ASN1_STRING_get0_data(hash), (size_t)ASN1_STRING_length(hash));
	content_line(lines, "imprint", v);
}

static void
put_part(struct text *v, const char *name, const ASN1_INTEGER *n)
{
	int64_t value = 0;

	if (n == NULL)
		return;
	if (!ASN1_INTEGER_get_int64(&value, n) || value < 0)
		v->err = v->err == KMN_OK ? KMN_E_MALFORMED : v->err;
	text_printf(v, "%s%lld%s", v->len > 0 ? " " : "", (long long)value, name);
}

static void
put_accuracy(struct text *lines, struct text *v, TS_TST_INFO *tst)
{
	TS_ACCURACY *accuracy = TS_TST_INFO_get_accuracy(tst);

	if (accuracy != NULL) {
		put_part(v, "s", TS_ACCURACY_get_seconds(accuracy));
		put_part(v, "ms", TS_ACCURACY_get_millis(accuracy));
		put_part(v, "us", TS_ACCURACY_get_micros(accuracy));
	}
	content_line(lines, "accuracy", v);
}

static void
put_rest(struct text *lines, struct text *v, TS_TST_INFO *tst)
{
	const ASN1_INTEGER *nonce = TS_TST_INFO_get_nonce(tst);
	GENERAL_NAME *tsa = TS_TST_INFO_get_tsa(tst);

	text_put(v, TS_TST_INFO_get_ordering(tst) ? "true" : "false");
	content_line(lines, "ordering", v);
	if (nonce != NULL)
		content_integer(v, nonce);
	content_line(lines, "tst-nonce", v);
	if (tsa != NULL)
		content_general_name(v, tsa);
	content_line(lines, "tsa", v);
	content_extensions(lines, TS_TST_INFO_get_exts(tst), NULL);
}

kmn_err
content_tst_info(const uint8_t *der, size_t len, struct kmn_content *c, struct text *lines)
{
	const uint8_t *at = der;
	TS_TST_INFO *tst = d2i_TS_TST_INFO(NULL, &at, (long)len);
	uint8_t *again = NULL;
	struct text v;
	kmn_err e = KMN_E_MALFORMED;

	text_init(&v, CONTENT_LINES_MAX_BYTES);
	if (tst == NULL || at != der + len || !content_is_same(i2d_TS_TST_INFO(tst, &again), &again, der, len))
		goto done;
	text_printf(&v, "%ld", TS_TST_INFO_get_version(tst));
	content_line(lines, "tst-version", &v);
	content_oid(&v, TS_TST_INFO_get_policy_id(tst));
	content_line_kept(lines, "tst-policy", &v, &c->text[CONTENT_TST_POLICY]);
	put_imprint(lines, &v, tst);
	content_integer(&v, TS_TST_INFO_get_serial(tst));
	content_line(lines, "tst-serial", &v);
	c->facts.gen_time = put_time(&v, TS_TST_INFO_get_time(tst));
	content_line(lines, "gen-time", &v);
	put_accuracy(lines, &v, tst);
	put_rest(lines, &v, tst);
	e = KMN_OK;
done:
	text_clear(&v);
	OPENSSL_free(again);
	TS_TST_INFO_free(tst);
	return e;
}
