/*
 * A scene: a rig whose clocks only the test moves, a key that is in every worker, applications and requests by name.
 * What a call came to is a word: "held", "ok", "waits", or the name of a return value.
 */
#ifndef KANMON_TESTS_KEEPER_SCENE_H
#define KANMON_TESTS_KEEPER_SCENE_H

#include "kanmon/statement.h"
#include "tests/unit/keeper/rig.h"

#define SCENE_REQUESTS 256
#define SCENE_KEYS 8
#define SCENE_CONTENTS 32
#define SCENE_START_MS 1795000000000 /* 2026-11-18 */

/* A call that waits, or a request made ahead. */
struct scene_request {
	char name[32];
	uint64_t id, number;
	unsigned by;
	uint8_t *payload; /* NULL: made ahead */
	size_t payload_len;
};

/* Of contents.h, kept: it has a new key each time that it is made. */
struct scene_content {
	char name[100];
	uint8_t *bytes;
	size_t len;
};

struct scene_actor {
	struct rig_app app;
	bool attached;
	CK_OBJECT_HANDLE key[SCENE_KEYS]; /* 0: not looked for yet */
	char label[SCENE_KEYS][32];
};

struct scene {
	struct rig rig;
	struct rig_plan plan;
	struct scene_clock *clock;
	char pem[64], *policy; /* of the version in force */
	struct scene_actor actor[2];
	struct scene_request request[SCENE_REQUESTS];
	size_t requests;
	struct scene_content content[SCENE_CONTENTS];
	const char *lost;   /* the module does that, and nobody hears of it */
	uint8_t receipts;   /* KMN_RECEIPTS_* that applications attach with */
	bool forges;        /* the module's next signature has a wrong bit */
	char *note;         /* the last reopening that was brought */
	char answer[12288]; /* of the last question */
};

enum { SCENE_CA, SCENE_OTHER };

/* Starts a keeper with a policy of these rules; tokens, token_lines: of struct rig_plan, NULL: "mock-1". */
void scene_start(struct scene *s, const char *tokens, const char *token_lines, const char *rules);
/* The keeper stops; what it said of its requests is what the records say to an auditor, who finds nothing. */
void scene_end(struct scene *s);
/* The same without removing anything: keeper and records compared. */
void scene_agree(struct scene *s);

/* An application with a session and a login. */
const char *scene_attach(struct scene *s, unsigned who);
/* Both clocks, or the wall clock alone; the keeper has seen it when this returns. */
int64_t scene_now(const struct scene *s);
void scene_pass(struct scene *s, int64_t ms);
void scene_set_wall(struct scene *s, int64_t ms);
void scene_crash(struct scene *s);
void scene_restart(struct scene *s);
/* The HSM forgets its sessions before its next call. */
void scene_drop(struct scene *s);

/*
 * C_SignInit and C_Sign of a key; a call that is held is request `name` from then on. data "@KIND/..": of contents.h, as
 * it was made the first time. CKM_ECDSA is called with the SHA-256 of the data. next: content that the client attaches
 * before the call, over: and the content that CMS attributes are over; NULL: none.
 */
struct scene_signing {
	const char *name, *key, *data, *next, *over;
	unsigned by;
	CK_MECHANISM_TYPE mechanism;
};
const char *scene_sign(struct scene *s, const struct scene_signing *what);
/* Asks once more, as a provider does. */
const char *scene_again(struct scene *s, struct scene_request *r);
/* What the client attaches to a request that waits for its content; over: of CMS attributes, NULL: nothing. */
const char *scene_give(struct scene *s, const struct scene_request *r, const char *data, const char *over, unsigned by);
const char *scene_make(struct scene *s, unsigned by, const char *label, bool extractable);
const char *scene_import(struct scene *s, unsigned by, const char *label);
const char *scene_random(struct scene *s, unsigned by);
const char *scene_look(struct scene *s, unsigned by);
/* Requests that a client makes ahead: "ok", or why not. */
const char *scene_ahead(struct scene *s, const struct scene_signing *what);
const char *scene_window(struct scene *s, const char *name, const char *rule, const char *key, unsigned by);

/* The newest open request for a window, which a call made: it is called `name` from now on. "none": there is none. */
const char *scene_asked(struct scene *s, const char *name);

struct scene_request *scene_request(struct scene *s, const char *name);
const char *scene_withdraw(struct scene *s, const struct scene_request *r, unsigned by);
/* The statement that is offered, as the keeper shows it; free(). NULL: there is none. */
char *scene_statement(struct scene *s, const struct scene_request *r);
/* Signs this text by the names and brings it: what it is worth ("ok"). */
const char *scene_bring(struct scene *s, const char *text, const char *names);
const char *scene_vote(struct scene *s, const struct scene_request *r, enum kmn_decision decision, const char *names);
/* The public key of somebody's security key, for the policy; an approval by it, at a place of that origin and RP id. */
const char *scene_touch_vkey(const char *name);
const char *scene_touch(
    struct scene *s, const struct scene_request *r, const char *name, const char *origin, const char *rp_id);
/* The next version: pairs as next_policy() takes them. */
const char *scene_submit(struct scene *s, const char *const pairs[], const char *names);
/* The state of a token as `kanmon status` shows it; "none": nothing stands against it. */
const char *scene_stance(struct scene *s, const char *token);
/*
 * Signs that the token is well again, and brings it. anomaly 0: the one that stands against it; origin NULL: the
 * ledger's. scene_replay() brings the last such note once more.
 */
const char *scene_reopen(struct scene *s, const char *token, const char *names, uint64_t anomaly, const char *origin);
const char *scene_replay(struct scene *s);
/*
 * An application refuses the receipt of a call; number 0: of its last. "ok": it is recorded; "counted": it is one too
 * many; or why it is refused.
 */
const char *scene_complain(struct scene *s, unsigned by, const char *fault, uint64_t number);
/* A random number of the second token, in a session of its own. */
const char *scene_elsewhere(struct scene *s, unsigned by);
/* As `kanmon request list` says it. */
const char *scene_state(struct scene *s, const struct scene_request *r);

#endif
