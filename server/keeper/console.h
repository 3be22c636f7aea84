/*
 * The keeper's side of the console (kanmon/console.h), in the files console*.c. The console is believed in nothing but
 * the addresses that it tells: who asks is whom the session says.
 */
#ifndef KANMON_KEEPER_CONSOLE_H
#define KANMON_KEEPER_CONSOLE_H

#include "server/keeper/state.h"

#include "kanmon/action.h"
#include "kanmon/console.h"

#define KMN_UI_SESSIONS_MAX 64u
#define KMN_UI_SESSIONS_OF_ONE_MAX 8u
#define KMN_UI_TEXTS_MAX 256u
#define KMN_UI_ADDRESSES_MAX 8u
#define KMN_UI_LOCKOUTS_MAX 30u /* records of them in a minute */

/* What a page of the session reported to have displayed. */
#define KMN_UI_SHOWN_KEPT 16u
struct kmn_ui_shown {
	uint64_t record; /* 0: none */
	uint64_t request;
	uint8_t sha256[KMN_HASH_BYTES];
};

struct kmn_ui_session {
	uint8_t id[KMN_UI_SESSION_BYTES], csrf[KMN_UI_CSRF_BYTES];
	uint64_t ui_sess; /* index of its sign-in */
	char name[KMN_POLICY_NAME_MAX_BYTES + 1], address[KMN_UI_NAMED_MAX_BYTES + 1];
	char ver[KMN_UI_TLS_MAX_BYTES + 1], suite[KMN_UI_TLS_MAX_BYTES + 1]; /* of the browser's TLS, by the console */
	bool by_certificate;
	uint8_t spki_sha256[KMN_HASH_BYTES];          /* of the key that signed, or of the certificate's */
	int64_t since_ms;                             /* wall clock */
	int64_t begun_ms, asked_ms;                   /* boot clock */
	struct kmn_ui_shown shown[KMN_UI_SHOWN_KEPT]; /* the last ones */
	size_t next_shown;
};

/* A text that is signed once. */
struct kmn_ui_text {
	uint8_t sha256[KMN_HASH_BYTES];
	int64_t made_ms; /* boot clock; 0: there is none */
};

/* The last ones. */
struct kmn_ui_texts {
	struct kmn_ui_text text[KMN_UI_TEXTS_MAX];
	size_t next;
};

/* Sign-ins that failed, by address, since the last record. */
struct kmn_ui_refused {
	char address[KMN_UI_NAMED_MAX_BYTES + 1];
	uint32_t count;
};

/* What is to be told when so many records are durable. */
#define KMN_UI_EVENTS_MAX 64u
struct kmn_ui_events {
	size_t size; /* 0: nothing */
	uint64_t request[KMN_UI_EVENTS_MAX], anomaly;
	size_t requests;
	bool more_requests, anomalies, policy;
	size_t head_told;
	int64_t head_ms; /* boot clock */
};

struct kmn_ui_wait {
	TAILQ_ENTRY(kmn_ui_wait) link;
	uint32_t tag;
	size_t waits_for;
	uint8_t session[KMN_UI_SESSION_BYTES];
	json_t *answer;
};

/* A text that several people sign, one after the other (console_draft.c). */
struct kmn_ui_draft {
	TAILQ_ENTRY(kmn_ui_draft) link;
	uint8_t sha256[KMN_HASH_BYTES]; /* of the text */
	char *note;                     /* owned: with the lines that verified so far */
	size_t len;
	char begun_by[KMN_POLICY_NAME_MAX_BYTES + 1];
	int64_t t;            /* wall clock, of the last line */
	struct kmn_why lacks; /* what it still needs */
};

struct kmn_consoling {
	struct kmn_ui_session session[KMN_UI_SESSIONS_MAX];
	size_t sessions;
	struct kmn_ui_texts offered; /* to operators; one that is used goes */
	struct kmn_ui_texts signed_in_with;
	uint8_t text_key[32]; /* of texts to sign in with */
	struct kmn_ui_refused refused[KMN_UI_ADDRESSES_MAX];
	size_t refused_count;
	uint32_t refused_others; /* of addresses beyond these */
	uint32_t lockouts;       /* recorded since then: */
	int64_t refused_ms;      /* boot clock when the minute of all these began */
	TAILQ_HEAD(, kmn_ui_wait) waits;
	struct kmn_ui_events events;
	struct kmn_ui_view *view;            /* console_view.c */
	struct kmn_ui_hsm *hsm;              /* console_hsm.c */
	TAILQ_HEAD(, kmn_ui_bundle) bundles; /* that are being made */
	TAILQ_HEAD(, kmn_ui_draft) drafts;   /* the newest first */
	int64_t words_ms;                    /* boot clock: since then, for words about policies: */
	uint64_t words_us;
	bool judge_drafts; /* a record came that may have made some pointless */
};

/* One question. */
struct kmn_ui_ask {
	struct kmn_keeper *keeper;
	uint32_t tag;
	struct kmn_ui_session *session; /* NULL: nobody is signed in */
	unsigned roles;
};

/* ---- consolelink.c ---------------------------------------------------------------------------------------------- */

/* Each question is answered once, by one of these. `value` is taken over. */
void kmn_ui_answer(const struct kmn_ui_ask *ask, json_t *value);
/* When all that was appended so far is durable. */
void kmn_ui_answer_when_durable(const struct kmn_ui_ask *ask, json_t *value);
/* The same of a sign-in: the answer brings the session. */
void kmn_ui_begin_when_durable(
    const struct kmn_ui_ask *ask, const uint8_t session[KMN_UI_SESSION_BYTES], json_t *value);
void kmn_ui_refuse(const struct kmn_ui_ask *ask, kmn_err e, const char *reason);
/* The question has no more fields; false: it was refused. */
bool kmn_ui_read_all(const struct kmn_ui_ask *ask, struct kmn_reader *r);
/* By what `why` says, where it says anything. */
void kmn_ui_refuse_why(const struct kmn_ui_ask *ask, kmn_err e, const struct kmn_why *why);
/* Tells everybody; `value` is taken over. Nothing without a console. */
void kmn_ui_tell(struct kmn_keeper *k, json_t *value);

/* ---- console_session.c ------------------------------------------------------------------------------------------ */

/* By the bytes that were brought; NULL: there is none (any more). */
struct kmn_ui_session *kmn_ui_session_get(struct kmn_keeper *k, const uint8_t id[KMN_UI_SESSION_BYTES]);
/* By the policy in force: bits of enum kmn_ui_role; 0: it knows the person no more. */
unsigned kmn_ui_roles(const struct kmn_keeper *k, const char *name);
/* Of a session that has ended what is open for it is closed. */
void kmn_ui_tell_ended(struct kmn_keeper *k, const uint8_t session[KMN_UI_SESSION_BYTES]);
/* Ends a session: a record `sign-out`, and the console is told. */
void kmn_ui_session_end(struct kmn_keeper *k, struct kmn_ui_session *session, const char *reason);
/* {name, address, ..}: who it was, as records have it. */
json_t *kmn_ui_actor(const struct kmn_ui_session *session);
/* Who is signed in, with the protection of the way to each browser as the console saw it. */
json_t *kmn_ui_sessions_json(const struct kmn_keeper *k);
void kmn_ui_sessions_tick(struct kmn_keeper *k);
/* Once a minute: a record of the sign-ins that failed. */
void kmn_ui_refused_tick(struct kmn_keeper *k);

/* Reads SIGNED: the note (free()). */
kmn_err kmn_ui_signed_get(
    struct kmn_keeper *k, struct kmn_reader *r, char **note_out, size_t *len_out, struct kmn_why *why) KMN_MUST_CHECK;

void kmn_ui_sign_in(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_sign_in_tls(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_failed(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_session(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_sign_out(const struct kmn_ui_ask *ask, struct kmn_reader *r);

/* ---- console_text.c --------------------------------------------------------------------------------------------- */

/* The answer {text, challenge, rp_id} for the page. Takes `text`. */
void kmn_ui_text_answer(const struct kmn_ui_ask *ask, char *text, const char *page);
/* Keeps a text that was made to be signed once, and answers it. Takes `text`. */
void kmn_ui_text_offer(const struct kmn_ui_ask *ask, char *text, const char *page);
/* Whether it is one of ours that was not used; it is, from here on. */
bool kmn_ui_text_use(struct kmn_keeper *k, const char *text, size_t len);
void kmn_ui_sign_in_text(const struct kmn_ui_ask *ask, struct kmn_reader *r);
/* Did this process make it to sign in with, and has nobody done so? How old it is, is the quorum's to judge. */
bool kmn_ui_sign_in_is_ours(struct kmn_keeper *k, const char *text, size_t len);
/* Somebody has, by a signature that counts. */
void kmn_ui_sign_in_used(struct kmn_keeper *k, const char *text, size_t len);

/* ---- console_request.c ------------------------------------------------------------------------------------------ */

void kmn_ui_health(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_request_list(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_request_show(const struct kmn_ui_ask *ask, struct kmn_reader *r);

/* ---- console_act.c ---------------------------------------------------------------------------------------------- */

/*
 * Writes an `action` record with that body (taken over), where it may be written: an error says why not. A step of the
 * clock is to be recorded before (kmn_clock_tick()), for the body may say the index that it gets.
 */
kmn_err kmn_ui_record(struct kmn_keeper *k, json_t *body, struct kmn_ref *ref, struct kmn_why *why) KMN_MUST_CHECK;
/*
 * Writes the `action` record of the session, with the members of `more` (taken over), where it may be written. An error
 * says why not.
 */
kmn_err kmn_ui_action(const struct kmn_ui_ask *ask, enum kmn_action what, json_t *more, struct kmn_ref *ref,
    struct kmn_why *why) KMN_MUST_CHECK;
void kmn_ui_shown(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_note(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_line(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_withdraw(const struct kmn_ui_ask *ask, struct kmn_reader *r);

/* Is this the text (or note) of a policy? */
bool kmn_ui_is_policy(const char *bytes, size_t len);

/* ---- console_draft.c -------------------------------------------------------------------------------------------- */

/* What another console of this gateway collected before. */
void kmn_ui_drafts_load(struct kmn_keeper *k);
void kmn_ui_drafts_free(struct kmn_consoling *c);
/* Those go that can never be complete any more. */
void kmn_ui_drafts_tick(struct kmn_keeper *k);
void kmn_ui_text(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_drafts(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_draft(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_draft_drop(const struct kmn_ui_ask *ask, struct kmn_reader *r);

/* ---- console_ledger.c ------------------------------------------------------------------------------------------- */

/* The key that signs checkpoints, as pages pin it. */
json_t *kmn_ui_log_vkey(const struct kmn_keeper *k);
void kmn_ui_checkpoint(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_records(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_proof(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_consistency(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_blob(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_policy(const struct kmn_ui_ask *ask, struct kmn_reader *r);

/* ---- console_instruct.c ----------------------------------------------------------------------------------------- */

void kmn_ui_instruction_text(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_instruct(const struct kmn_ui_ask *ask, struct kmn_reader *r);

/* ---- console_event.c -------------------------------------------------------------------------------------------- */

void kmn_ui_events_durable(struct kmn_keeper *k, size_t size);

/* ---- console_find.c --------------------------------------------------------------------------------------------- */

/* The type that a line says, without reading the rest of it. */
enum kmn_record_kind kmn_ui_line_kind(const char *line, size_t len);
void kmn_ui_find(const struct kmn_ui_ask *ask, struct kmn_reader *r);

/* ---- console_view.c: what the whole ledger says of keys, persons and clients, read behind its end ---------------- */

void kmn_ui_view_begin(struct kmn_keeper *k);
void kmn_ui_view_free(struct kmn_ui_view *view);
/* Reads on for a moment; whether there is more to read. */
bool kmn_ui_view_work(struct kmn_keeper *k);
/* Has it read all that is durable, and had room for it? */
bool kmn_ui_view_is_complete(const struct kmn_keeper *k);
/* Its parts, borrowed: objects by name, or arrays. */
const json_t *kmn_ui_view_part(const struct kmn_keeper *k, const char *part);

/* What tells a key of a record from another: both halves of a pair are one. False: it is no key. */
#define KMN_UI_KEY_NAME_BYTES 1200
bool kmn_ui_key_name(const json_t *key, char *out, size_t room) KMN_MUST_CHECK;

/* ---- console_hsm.c: what the HSMs show to somebody who is not logged in ------------------------------------------ */

void kmn_ui_hsm_begin(struct kmn_keeper *k);
void kmn_ui_hsm_free(struct kmn_ui_hsm *hsm);
void kmn_ui_hsm_tick(struct kmn_keeper *k);
/* Pages ask: it is looked at again, but not more than once in a minute. */
void kmn_ui_hsm_want(struct kmn_keeper *k);
/* The token with the line's label as it was seen; NULL: it was not. Borrowed until the loop goes on. */
const struct kmn_token *kmn_ui_hsm_token(const struct kmn_keeper *k, const struct kmn_policy_token *line);
/* Keys as records name them, by kmn_ui_key_name(); borrowed; NULL: nothing was seen yet. */
const json_t *kmn_ui_hsm_keys(const struct kmn_keeper *k, unsigned module);
/* [{token, serial, module?, why?, more?}]: the tokens whose public objects were looked at. */
json_t *kmn_ui_hsm_looked(const struct kmn_keeper *k);

/* ---- console_bundle.c ------------------------------------------------------------------------------------------- */

void kmn_ui_bundle(const struct kmn_ui_ask *ask, struct kmn_reader *r);
/* Goes on for a moment with one that is asked for; whether there is more to do. */
bool kmn_ui_bundles_work(struct kmn_keeper *k);
/* Who asked is gone. */
void kmn_ui_bundles_drop(struct kmn_keeper *k);

/* ---- console_words.c -------------------------------------------------------------------------------------------- */

void kmn_ui_policy_words(const struct kmn_ui_ask *ask, struct kmn_reader *r);

/* ---- console_things.c ------------------------------------------------------------------------------------------- */

void kmn_ui_keys(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_tokens(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_custodians(const struct kmn_ui_ask *ask, struct kmn_reader *r);
void kmn_ui_windows(const struct kmn_ui_ask *ask, struct kmn_reader *r);
/* clients, cosignatures, anchors, anomalies: into the status. */
void kmn_ui_put_health(struct kmn_keeper *k, json_t *status);

#endif
