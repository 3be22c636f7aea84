/*
 * A conversation of the tool with a gateway: one connection, questions of
 * admin.h, answers in JSON. Every failure is said on stderr where it happens.
 */
#ifndef KANMON_TOOLS_GATEWAY_H
#define KANMON_TOOLS_GATEWAY_H

#include <jansson.h>

#include "kanmon/admin.h"
#include "kanmon/err.h"
#include "kanmon/writer.h"

struct kmn_gateway;

/* Whose files to use: `as`, or what KANMON_CUSTODIAN says, or NULL. */
const char *kmn_custodian(const char *as);

/*
 * Connects as the custodian whose files begin with `as` ("DIR/NAME"), with
 * DIR/NAME.conf; NULL: as the application of the default configuration
 * (KANMON_CONFIG).
 */
kmn_err kmn_gateway_open(const char *as, struct kmn_gateway **gateway_out) KMN_MUST_CHECK;
void kmn_gateway_close(struct kmn_gateway *gateway);

/* The origin that the settings expect. */
const char *kmn_gateway_origin(const struct kmn_gateway *gateway);

/*
 * Asks one question; `fields` holds what follows the operation (NULL: nothing).
 * *answer_out is a JSON object, the caller's to decref. A refusal by the gateway is its
 * kmn_err, after its reason was said.
 */
kmn_err kmn_gateway_ask(struct kmn_gateway *gateway, enum kmn_admin_op op, const struct kmn_writer *fields,
    json_t **answer_out) KMN_MUST_CHECK;

/* Opens, asks one question and closes. */
kmn_err kmn_gateway_ask_once(
    const char *as, enum kmn_admin_op op, const struct kmn_writer *fields, json_t **answer_out) KMN_MUST_CHECK;

#endif
