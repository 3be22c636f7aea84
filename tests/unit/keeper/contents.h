/*
 * What a CA signs, made for a test: "certificate/ISSUER/SUBJECT/DAYS", "ca/ISSUER/SUBJECT/DAYS/PATHLEN",
 * "crl/ISSUER/DAYS", "csr/SUBJECT", "ocsp/RESPONDER/DAYS", "attributes", "tst-info/POLICY/SECONDS",
 * "stamp/POLICY/SECONDS". Names are the CN; days are from `now_s` (seconds since 1970) to the end of validity or the next
 * update, seconds to the gen-time. A stamp is the attributes over the tst-info of the same words, made in the same second.
 */
#ifndef KANMON_TESTS_KEEPER_CONTENTS_H
#define KANMON_TESTS_KEEPER_CONTENTS_H

#include <stdint.h>
#include <stddef.h>
#include <time.h>

/* The DER that the signature is over; OPENSSL_free(). NULL: there is no such content. */
uint8_t *content_make(const char *what, time_t now_s, size_t *len_out);

#endif
