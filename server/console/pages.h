/* The static files: read once, into memory; a name that is not among them is not there. */
#ifndef KANMON_SERVER_CONSOLE_PAGES_H
#define KANMON_SERVER_CONSOLE_PAGES_H

#include "kanmon/base.h"

#define KMN_PAGES_MAX 512u
#define KMN_PAGE_MAX_BYTES (2u << 20)
#define KMN_PAGES_MAX_BYTES (16u << 20) /* of all */
#define KMN_PAGE_PATH_MAX_BYTES 255u
#define KMN_PAGE_ETAG_BYTES (2 + 43 + 1) /* quoted base64url of SHA-256, NUL */

struct kmn_page {
	char path[KMN_PAGE_PATH_MAX_BYTES + 1]; /* "/css/kanmon.css"; "/" is index.html */
	const char *type;
	char etag[KMN_PAGE_ETAG_BYTES];
	void *bytes; /* owned */
	size_t len;
};

struct kmn_pages {
	struct kmn_page page[KMN_PAGES_MAX];
	size_t count, bytes;
};

/* Everything beneath `folder` that has a type of the table. False: it said why not. `folder` stays the caller's. */
bool kmn_pages_read(struct kmn_pages *pages, int folder) KMN_MUST_CHECK;
void kmn_pages_clear(struct kmn_pages *pages);

/* NULL: there is none. */
const struct kmn_page *kmn_pages_get(const struct kmn_pages *pages, const char *path);

#endif
