/* One signature of a ledger as a row of the auditor's table of certificates. */
#ifndef KANMON_TOOLS_AUDIT_FINISHED_H
#define KANMON_TOOLS_AUDIT_FINISHED_H

#include "tools/kanmon/audit_signed.h"
#include "tools/kanmon/rebuild.h"

/* Columns of the table, as members of a row; text only. The first ones stand in the text form's first line. */
/* clang-format off */
#define KMN_FINISHED_COLUMNS(ROW) \
ROW("kind")       /* certificate, crl, csr, ocsp; unknown where the data is not kept */ \
ROW("record") ROW("request") ROW("time") ROW("client") ROW("approvers") ROW("key") ROW("key_spki") \
ROW("subject") ROW("issuer") ROW("serial") ROW("not_before") ROW("not_after") \
ROW("public_key") /* SHA-256 of the SubjectPublicKeyInfo that was certified */ \
ROW("algorithm") \
ROW("data")       /* kept; not kept; only a digest came */ \
ROW("signature")  /* verifies; DOES NOT VERIFY; not verified */ \
ROW("sha256") ROW("sha384") ROW("sha512") \
ROW("application") ROW("applicant_key") /* what the CA's side said that it was for, SHA-256 of the applicant's key */
/* clang-format on */

/*
 * The row of a signature, and the finished thing (NULL where it cannot be made). *row_out is NULL for data of another
 * kind: neither certificate nor CRL, request or OCSP response.
 */
kmn_err kmn_finished_row(struct kmn_store *store, const struct kmn_signed_certificate *made, json_t **row_out,
    enum kmn_finished_kind *kind_out, uint8_t **der_out, size_t *der_len_out) KMN_MUST_CHECK;

#endif
