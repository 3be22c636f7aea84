/* The configuration file that says where the gateway is and what it is pinned to (docs/channel.md, Configuration). */
#ifndef KANMON_TOOLS_CONNECTION_H
#define KANMON_TOOLS_CONNECTION_H

#include "tools/kanmon/options.h"

struct kmn_connection {
	struct kmn_option_list gateways;
	const char *spki_file, *origin, *certificate, *key;
	const char *log_file, *receipts, *state, *cosign_key; /* what the provider needs besides; NULL: not given */
	char *more;                                           /* further lines, or NULL */
	unsigned long quorum_wait_s;
	bool wait_given, json;
};

/* clang-format off */
#define KMN_CONNECTION_OPTIONS(c) \
	KMN_OPTION_LIST("gateway", "ADDRESS:PORT", "where the gateway listens; may be repeated", &(c)->gateways), \
	KMN_OPTION_TEXT("spki", "FILE", "the gateway's public key hash (gateway.spki)", &(c)->spki_file), \
	KMN_OPTION_TEXT("origin", "NAME", "the gateway's name, as in its policy", &(c)->origin), \
	KMN_OPTION_NUMBER("quorum-wait", "SECONDS", "how long a held call waits", &(c)->quorum_wait_s), \
	KMN_OPTION_JSON(&(c)->json)
/* clang-format on */

/* Checks that nothing is missing and writes (or replaces) the file at `path`; the subcommand's exit code. */
int kmn_connection_write(const char *command, const struct kmn_connection *connection, const char *path);

#endif
