/* An object as a command line names it. */
#ifndef KANMON_TOOLS_OBJECT_H
#define KANMON_TOOLS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kmn_object_words {
	char label[256], class[16];
	bool has_label;
	uint8_t id[256];
	size_t id_len;
	uint64_t class_number; /* CKO_..; of a private key where the URI has no type */
};

/* A label, or a pkcs11: URI (RFC 7512) of object, id and type. False: it is neither. */
bool kmn_object_words_parse(const char *text, struct kmn_object_words *out);

#endif
