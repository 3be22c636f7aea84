/*
 * A call under way, as the files that carry it know it: exchange.c asks one
 * question, carry.c asks until there is an answer on one link, call.c finds the
 * link, outcome.c says what the application sees. company.c and search.c are
 * about searches, parked.c about calls that do not wait.
 */
#ifndef KANMON_PROVIDER_CARRIAGE_H
#define KANMON_PROVIDER_CARRIAGE_H

#include "provider/cache.h"
#include "provider/call.h"
#include "provider/fate.h"
#include "provider/link.h"
#include "provider/receipts.h"

#define KMN_CALL_NUMBER_BYTES 8u
#define KMN_CALL_HEAD_BYTES 16u /* number, acknowledged */
#define KMN_CALL_SEND_MS 60000u /* a gateway that takes nothing for this long is gone */

/* How often the connection broke under one question. */
struct kmn_breaks {
	unsigned count;
	uint64_t last_ms;
};

struct kmn_company;

struct kmn_carriage {
	struct kmn_application *app;
	struct kmn_link *link;
	enum kmn_call_id id;
	enum kmn_list list;
	struct kmn_arg *arg;
	size_t arg_count;
	struct kmn_writer w; /* number, acknowledged, request */
	struct kmn_flight flight;
	bool sent;            /* the gateway may know it */
	bool held;            /* HELD was answered */
	bool ending_wait;     /* quorum-wait is over: END_WAIT is due */
	bool waits;           /* a C_WaitForSlotEvent that blocks */
	bool parks;           /* HELD ends it for now: CKR_PENDING */
	bool withdrawing;     /* ending_wait says so with WITHDRAW */
	bool parking;         /* PARK is due, in the place of CALL: to wait outside the window */
	bool crowded;         /* it was refused: too many do; the number stays in the window */
	kmn_err ended;        /* what it came to, before that is put into the words of PKCS#11: an error, */
	CK_RV answered;       /* or an answer */
	uint64_t deadline_ms; /* of the wait, from the first HELD */
	uint64_t request;     /* id of the request, when held */
	struct kmn_breaks breaks;
	unsigned renumbered;
	uint64_t channel[KMN_RECEIPTS_CHANNELS]; /* that it was sent on, as the ledger numbers them */
	size_t channels;                         /* how many; more than there is room for: not all are known */
	bool spoilt;                  /* the connection is not to be used again, whatever came for the call */
	bool broke;                   /* a connection did, somewhere on the way */
	const uint8_t *request_bytes; /* encoded already; NULL: to be made of arg[] */
	size_t request_len;
	const struct kmn_passage *passage; /* past the cache; NULL for the provider's own calls */
	struct kmn_company *company;       /* calls that go along with it */
};

/* The C_FindObjects that go along with a C_FindObjectsInit, unasked: see ahead.h. */
struct kmn_company {
	struct kmn_carriage call[KMN_AHEAD_CALLS];
	struct kmn_arg arg[KMN_AHEAD_CALLS][3];
	struct kmn_ahead_reply reply[KMN_AHEAD_CALLS];
	bool settled[KMN_AHEAD_CALLS]; /* it has its answer, or will never have one */
	struct kmn_ahead *ahead;       /* where it all goes */
	bool line_broke;               /* under one of them, after the call that they go along with was answered */
};

/* What came for a question. */
enum kmn_heard { KMN_HEARD_ANSWER, KMN_HEARD_HELD, KMN_HEARD_REFUSAL, KMN_HEARD_NOTHING };

/* ---- carriage: what it is ---------------------------------------------------------------------------------------- */

const char *kmn_carriage_name(const struct kmn_carriage *c);
bool kmn_is_session_call(enum kmn_call_id id);
bool kmn_is_close(enum kmn_call_id id);
/* Makes c->w of the arguments, or of what was encoded before. */
kmn_err kmn_carriage_encode(struct kmn_carriage *c) KMN_MUST_CHECK;
/* Handles that came: the next link's begin above them. */
void kmn_carriage_saw(struct kmn_carriage *c);

/* ---- exchange.c -------------------------------------------------------------------------------------------------- */

/* Sends CALL, END_WAIT, WITHDRAW or PARK. */
kmn_err kmn_exchange_ask(struct kmn_carriage *c, struct kmn_channel *channel) KMN_MUST_CHECK;
/* Takes the answer. *rv_out is set by an answer, *e_out by a refusal and by nothing. */
enum kmn_heard kmn_exchange_hear(struct kmn_carriage *c, struct kmn_channel *channel, CK_RV *rv_out, kmn_err *e_out);
/* Both, with the company; results as of kmn_exchange_hear. */
enum kmn_heard kmn_exchange(struct kmn_carriage *c, struct kmn_channel *channel, CK_RV *rv_out, kmn_err *e_out);
/* The rest of a REFUSED, behind its number. */
enum kmn_heard kmn_exchange_refused(struct kmn_carriage *c, struct kmn_reader *r, kmn_err *e_out);

/* ---- carry.c ----------------------------------------------------------------------------------------------------- */

/* KMN_OK: *rv_out is what the gateway answered. KMN_E_AGAIN: the call is parked. */
kmn_err kmn_carry(struct kmn_carriage *c, CK_RV *rv_out) KMN_MUST_CHECK;
/* The same with its company, over a link that is known to have what the call names; the number is over but with AGAIN. */
kmn_err kmn_carry_whole(struct kmn_carriage *c, CK_RV *rv_out) KMN_MUST_CHECK;
/* The same for a C_WaitForSlotEvent that blocks. */
kmn_err kmn_carry_event(struct kmn_carriage *c, CK_RV *rv_out) KMN_MUST_CHECK;
/* After a break: KMN_OK to try again. */
kmn_err kmn_carry_after_break(
    struct kmn_application *app, struct kmn_link *link, struct kmn_breaks *breaks, kmn_err e) KMN_MUST_CHECK;

/* ---- company.c --------------------------------------------------------------------------------------------------- */

/* Numbers for them; those for which there is none at once are left out. */
void kmn_company_begin(struct kmn_carriage *c);
kmn_err kmn_company_ask(struct kmn_company *company, struct kmn_channel *channel) KMN_MUST_CHECK;
void kmn_company_hear(struct kmn_company *company, struct kmn_channel *channel);
/* Nothing is left under way. `e` is what the call itself came to. NULL company is fine. */
void kmn_company_end(struct kmn_carriage *c, kmn_err e);
/* The call goes on alone. */
void kmn_company_leave(struct kmn_carriage *c);

/* ---- outcome.c --------------------------------------------------------------------------------------------------- */

/* What a failure came to; false if it is one of those that err.h says all about. */
bool kmn_outcome_fate(const struct kmn_carriage *c, kmn_err e, enum kmn_fate *fate_out);
CK_RV kmn_outcome_of_fate(struct kmn_carriage *c, enum kmn_fate fate);
CK_RV kmn_outcome_of_answer(struct kmn_carriage *c, CK_RV rv);
/* Of a call after the ledger was found wrong. */
CK_RV kmn_outcome_of_wrong_ledger(struct kmn_carriage *c);
/* Is it one that goes on then? */
bool kmn_is_harmless(enum kmn_call_id id);

/* ---- call.c ------------------------------------------------------------------------------------------------------ */

/* From its arguments to what the application sees, here or by the gateway. A parked call keeps c->link and c->w. */
CK_RV kmn_call_answer(struct kmn_carriage *c);
/* What the application sees of what it came to; the link is put back. `stale`: the gateway was not asked. */
CK_RV kmn_call_conclude(struct kmn_carriage *c, const struct kmn_call_view *view, kmn_err e, CK_RV rv, bool stale);

/* ---- search.c ---------------------------------------------------------------------------------------------------- */

/* C_FindObjectsInit and C_FindObjects. */
CK_RV kmn_search_begin(struct kmn_carriage *c);
CK_RV kmn_search_next(struct kmn_carriage *c);

#endif
