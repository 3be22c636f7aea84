#include "config.h"

#include "tools/kanmon/object.h"

#include <p11-kit/uri.h>
#include <string.h>

#include "kanmon/base.h"

bool
kmn_object_words_parse(const char *text, struct kmn_object_words *out)
{
	static const char *const names[] = {"data", "certificate", "public-key", "private-key", "secret-key"};
	P11KitUri *uri;
	CK_ATTRIBUTE *a;
	bool ok;

	*out = (struct kmn_object_words){.class_number = CKO_PRIVATE_KEY};
	if (strncmp(text, "pkcs11:", 7) != 0) {
		out->has_label = strlen(text) < sizeof(out->label);
		if (out->has_label)
			strcpy(out->label, text);
		return out->has_label;
	}
	if ((uri = p11_kit_uri_new()) == NULL)
		return false;
	ok = p11_kit_uri_parse(text, P11_KIT_URI_FOR_OBJECT, uri) == P11_KIT_URI_OK &&
	     !p11_kit_uri_any_unrecognized(uri);
	if (ok && (a = p11_kit_uri_get_attribute(uri, CKA_LABEL)) != NULL &&
	    (ok = a->ulValueLen < sizeof(out->label))) {
		memcpy(out->label, a->pValue, a->ulValueLen);
		out->has_label = true;
	}
	if (ok && (a = p11_kit_uri_get_attribute(uri, CKA_ID)) != NULL && (ok = a->ulValueLen <= sizeof(out->id))) {
		memcpy(out->id, a->pValue, a->ulValueLen);
		out->id_len = a->ulValueLen;
	}
	if (ok && (a = p11_kit_uri_get_attribute(uri, CKA_CLASS)) != NULL &&
	    (ok = *(CK_OBJECT_CLASS *)a->pValue < KMN_COUNT_OF(names))) {
		out->class_number = *(CK_OBJECT_CLASS *)a->pValue;
		strcpy(out->class, names[out->class_number]);
	}
	p11_kit_uri_free(uri);
	return ok;
}
