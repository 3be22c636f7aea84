/*
 * Logins that a quorum approves (`per login`). Where the gateway has the
 * token's PIN, sealed under shares, the worker makes a key pair for each login
 * that is asked for; the statement names its public half, and custodians seal
 * their shares to it. What passes through the keeper are boxes that only the
 * worker opens. The pair dies with the worker, and with it the request.
 */
#ifndef KANMON_KEEPER_ACTIVATION_H
#define KANMON_KEEPER_ACTIVATION_H

#include "server/keeper/state.h"

/* A call of class `login` that a rule holds: asks for what it needs, and holds it, or answers it. */
void kmn_activation_start(struct kmn_call_state *call);
/* Another call's login ran that this one waited for too: it is asked anew who is logged in. */
void kmn_activation_again(struct kmn_call_state *call);
/* What the intent and the statement say of such a login; NULL where the request is none (owned by the request). */
const json_t *kmn_activation_login(const struct kmn_request *request);

/* Does the gateway have the PIN of this token line, under custodians' shares? */
bool kmn_activation_has(const struct kmn_keeper *k, const char *token);
/* As many shares are there as the PIN is sealed under; true too of requests that need none. */
bool kmn_activation_is_ready(const struct kmn_keeper *k, const struct kmn_request *request);
/* The worker that shares would be sealed to is gone: nothing can come of the request. */
bool kmn_activation_is_orphan(const struct kmn_keeper *k, const struct kmn_request *request);

/* The module answered a C_Login that was held: what is written of it besides its result. */
void kmn_activation_ran(struct kmn_call_state *call, const struct kmn_response_view *response);
/* Sets CKF_PROTECTED_AUTHENTICATION_PATH in an answer to C_GetTokenInfo where the gateway logs in by itself. */
void kmn_activation_mark(const struct kmn_call_state *call, const struct kmn_response_view *response, uint8_t *reply);

/* KMN_ADMIN_SHARE: a custodian's share, on its way to the worker. */
void kmn_activation_share(struct kmn_keeper *k, struct kmn_conn *conn, struct kmn_reader *r);
/* Member `sealed_pin` of the answer to KMN_ADMIN_REQUEST_SHOW: the file with the custodians' boxes. */
void kmn_activation_show(const struct kmn_keeper *k, const struct kmn_request *request, json_t *answer);

/* Each second: key pairs that nobody waits for are wiped. */
/*
 * KMN_S_SEALED_PINS: sealed PINs that take the places of those before. Logins that wait are finished by the PIN that their
 * statements name; one that the HSM refused is forgotten where another stands in its place.
 */
void kmn_activation_anew(struct kmn_keeper *k, struct kmn_reader *r);
void kmn_activation_tick(struct kmn_keeper *k);
void kmn_activation_clear(struct kmn_keeper *k);

#endif
