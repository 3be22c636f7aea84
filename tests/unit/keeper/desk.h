/* Persons at a console that the test plays, over the rig's keeper: they sign texts with keys in software. */
#ifndef KANMON_TESTS_KEEPER_DESK_H
#define KANMON_TESTS_KEEPER_DESK_H

#include <jansson.h>

#include "kanmon/console.h"
#include "kanmon/log.h"
#include "tests/unit/keeper/rig.h"
#include "tests/unit/quorum/signer.h"

/* How far the keeper's clocks are from this machine's, ms. */
struct desk_clock {
	int64_t wall, boot;
};

/* A world with a page, sato's and suzuki's security keys, and `ca` as the console's client with operator tanaka. */
struct desk {
	struct rig rig;
	struct desk_clock *clock; /* shared with the keeper's process */
	struct kmn_log_sources sources;
	struct signer sato, suzuki, tanaka, stranger;
	char lines[8192];
	struct rig_module module;
	bool terminal; /* it is there, for desk_settle() */
};

void desk_start(struct desk *desk, const char *rules);
/* The same with these token lines: of the token mock-1. */
void desk_start_on(struct desk *desk, const char *token_lines, const char *rules);
/* The same, and in the module's environment "NAME=VALUE" or NULL. */
void desk_start_in(struct desk *desk, const char *environment, const char *token_lines, const char *rules);
/* Time goes by for the keeper, all at once: as for a machine that slept. */
void desk_pass(struct desk *desk, int64_t ms);
/* Returns when the keeper has had a turn in which it looked at its clock. */
void desk_settle(struct desk *desk);
/* Stops the keeper, verifies the ledger. */
void desk_end(struct desk *desk);
/* The same of a ledger that the auditor must refuse. */
void desk_end_refused(struct desk *desk);

/* The answer as JSON (json_decref), NULL: refused; *error_out (may be NULL) says by what. */
json_t *desk_ask(
    struct desk *desk, struct rig_asked *asked, uint8_t op, struct kmn_writer *fields, uint32_t *error_out);
/* Appends SIGNED: an assertion of that key over a text. */
void desk_put_assertion(
    struct kmn_writer *w, const struct signer *who, const char *text, const struct signer_says *says);
/* A whole sign-in by the page: the kmn_err. */
/* What the console says of a browser: its address, version and suite of its TLS. */
void desk_put_peer(struct kmn_writer *w, const char *address);
uint32_t desk_sign_in(struct desk *desk, struct rig_asked *asked, const struct signer *who);
/* Fields that hold one number, to which others may be added; one flag. */
struct kmn_writer desk_u64(uint64_t value);
struct kmn_writer *desk_flag(bool value);
const char *desk_text(const json_t *object, const char *name);
uint64_t desk_number(const json_t *object, const char *name);

#endif
