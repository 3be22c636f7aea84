/* Between the files that turn DER into lines; nobody else needs it. */
#ifndef KANMON_SERVER_QUORUM_CONTENT_H
#define KANMON_SERVER_QUORUM_CONTENT_H

#include <openssl/x509.h>

#include "kanmon/content.h"
#include "server/quorum/text.h"

#define CONTENT_VALUE_MAX_BYTES 1024
#define CONTENT_LINES_MAX_BYTES 12288 /* of all lines: a statement is read by people and fits a record */
#define CONTENT_REVOKED_SHOWN 32

struct kmn_content {
	struct kmn_content_facts facts;
	char *issuer, *subject, *lines;
};

/* OID in dotted form. */
void content_oid(struct text *t, const ASN1_OBJECT *object);
/* "CN=Root,O=Example" in the order of RFC 4514, last part first. */
void content_name(struct text *t, const X509_NAME *name);
/* "0a1b", "-01": two's complement is not shown. */
void content_integer(struct text *t, const ASN1_INTEGER *integer);

/* One "input FIELD VALUE" line; an empty value is "none", one that is too long for people to read ends it all. */
void content_line(struct text *lines, const char *field, struct text *value);

/* The lines of an extension: in words what is known and re-encodes to the same bytes, else as OID and hex. */
void content_extension(struct text *lines, X509_EXTENSION *extension, struct kmn_content_facts *facts);

#endif
