/* What several subcommands do with a request. */
#ifndef KANMON_TOOLS_REQUEST_H
#define KANMON_TOOLS_REQUEST_H

#include "tools/kanmon/gateway.h"

/* The number that a word of the command line is: KMN_GO_ON, or the exit code after a complaint. */
int kmn_request_number(const char *command, const char *word, uint64_t *id_out);

/* All that the gateway tells about one request (REQUEST_SHOW); *answer_out is the caller's to decref. */
kmn_err kmn_request_fetch(struct kmn_gateway *gateway, uint64_t id, json_t **answer_out) KMN_MUST_CHECK;

/*
 * The same once its statement is there (it follows the request by a moment: the head in it must be durable first), and
 * with `policies`: the signed versions of the policy before the one in force, from the first.
 */
kmn_err kmn_request_fetch_all(struct kmn_gateway *gateway, uint64_t id, json_t **answer_out) KMN_MUST_CHECK;

/* Brings a signed note; *answer_out says what became of it (`request`, `check`, `state`). */
kmn_err kmn_request_submit(
    struct kmn_gateway *gateway, const char *note, size_t len, json_t **answer_out) KMN_MUST_CHECK;

/* A request as the gateway lists it, for people. */
void kmn_request_print(const json_t *request);

#endif
