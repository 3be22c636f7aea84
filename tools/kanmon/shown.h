/*
 * What a person reads of a request before anything is signed. One function prints it for `approve`, `reject`, `veto` and
 * `request show`, so that who looks first and signs later reads the same.
 */
#ifndef KANMON_TOOLS_SHOWN_H
#define KANMON_TOOLS_SHOWN_H

#include "tools/kanmon/examine.h"

struct kmn_shown_as {
	enum kmn_language language;
	const char *issuer; /* file of the issuer's certificate, for warnings; NULL: not known */
	bool aside;         /* on standard error: standard output is JSON's */
	bool offline;       /* nobody could be asked whether it still waits */
	bool stops;         /* screen by screen: the reader is asked afterwards */
};

/*
 * The meaning of the lines' keys (where the language needs it), the text, its code, what was verified here and what was
 * not, warnings. `text`: the statement of `examined` as it will be signed (turned into a rejection, perhaps).
 */
kmn_err kmn_shown(const struct kmn_shown_as *as, const struct kmn_examined *examined, const char *text) KMN_MUST_CHECK;

#endif
