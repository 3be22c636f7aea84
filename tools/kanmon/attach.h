/* What the CA side brings beside a call, from files and the command line. */
#ifndef KANMON_TOOLS_ATTACH_H
#define KANMON_TOOLS_ATTACH_H

#include "kanmon/attach.h"

struct kmn_attach_files {
	const char *file, *certificate, *csr; /* what is signed: the bytes, or the file that holds them */
	const char *econtent, *application, *applicant_key;
};

#define KMN_ATTACH_OPTIONS(files) \
	KMN_OPTION_TEXT("econtent", "FILE", "content that CMS attributes are over (of a time stamp: its TSTInfo)", \
	    &(files).econtent), \
	    KMN_OPTION_TEXT("application", "ID", "what it was asked for: the application's id", &(files).application), \
	    KMN_OPTION_TEXT("applicant-key", "FILE", "public key of who applied (PEM or DER), or sha256:B64 of it", \
		&(files).applicant_key)

/* How many of file, certificate and csr are given. */
int kmn_attach_sources(const struct kmn_attach_files *files);

/* Reads them; kmn_attached_clear. Failures are said on stderr. */
kmn_err kmn_attach_read(const struct kmn_attach_files *files, struct kmn_attached *out) KMN_MUST_CHECK;

/* Says what the gateway will show to custodians, from the same bytes and by the same code. */
void kmn_attach_print(const struct kmn_attached *attached);

#endif
