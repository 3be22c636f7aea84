/*
 * A gateway for tests of the provider: a forked process that speaks frame.h
 * over TLS and breaks, holds, forgets or lies where it is told to. It keeps
 * outcomes by number as a real one must, and counts what it sees.
 *
 * Script and counts are in memory that both processes share.
 */
#ifndef KANMON_TESTS_PROVIDER_GATEWAY_H
#define KANMON_TESTS_PROVIDER_GATEWAY_H

#include <stdatomic.h>
#include <sys/types.h>

#include "kanmon/err.h"
#include "tests/unit/provider/ledger.h"

/* Rows of offers[] in gateway.c: versions in this order; from the hostile ones on no answer can be taken. */
enum {
	GATEWAY_OFFERS_2_40,
	GATEWAY_OFFERS_3_0, /* and 2.40 */
	GATEWAY_OFFERS_3_2, /* and 3.0, 2.40 */
	GATEWAY_OFFERS_3_1_TWICE_AND_3_9,
	GATEWAY_OFFERS_NOTHING_YET,
	GATEWAY_OFFERS_4_0,
	GATEWAY_OFFERS_HOSTILE,
	GATEWAY_OFFERS_HOSTILE_END = GATEWAY_OFFERS_HOSTILE + 3
};

#define GATEWAY_NUMBERS 20000u

/* Where a connection is cut; `breaks` says how often. */
enum gateway_break {
	BREAK_NOWHERE,
	BREAK_BEFORE_HANDSHAKE,
	BREAK_BEFORE_JOINED,
	BREAK_BEFORE_RUN, /* the CALL was read, and is forgotten */
	BREAK_BEFORE_REPLY,
	BREAK_IN_REPLY,
	BREAK_BEFORE_HELD,
	BREAK_BEFORE_READY, /* the watching connection, in the place of READY */
};

struct gateway {
	pid_t pid;
	char folder[64]; /* certificates, keys, kanmon.conf */
	char gateway_spki[64];
	int listener; /* closed here, open in the gateway */
	unsigned port;
	uint8_t log_seed[32];
	char log_vkey[KMN_VKEY_MAX_BYTES];
	char cosigner[KMN_VKEY_MAX_BYTES], cosignature[1024]; /* the last that came, over the head of that size */
	atomic_ulong cosigned_size;
	char complaint[32]; /* the last: the word of the fault */
	atomic_ulong complaint_number;

	/* script */
	atomic_int complaint_cuts; /* so many complaints are not answered: the connection breaks */
	atomic_int is_older;       /* it does not know complaints */
	atomic_int break_where, breaks;
	atomic_int lease_ms;
	atomic_int async;   /* tokens show CKF_ASYNC_SESSION_SUPPORTED */
	atomic_int hold;    /* calls of C_SignUpdate, C_CreateObject, C_DestroyObject, C_GenerateKey are held */
	atomic_int decided; /* and are not held any more */
	atomic_int crowded; /* PARK is refused: too many calls are left aside */
	atomic_int forgets; /* the instance is gone: JOIN and CALL are refused, watches closed, until an ATTACH */
	atomic_int worker_died;
	atomic_int run_ms;     /* how long a call takes */
	atomic_int refuse;     /* kmn_err with which each CALL is refused, at its first sight */
	atomic_int open_limit; /* more connections are closed at once; 0: none is */
	atomic_int idle_cut;   /* after each reply the connection is closed */
	atomic_ulong rv;       /* what calls return */
	atomic_ulong handle;   /* what C_OpenSession gives; 0: nothing */
	atomic_int events;     /* slot events that wait to be asked for: C_WaitForSlotEvent takes one */
	atomic_uint notices;   /* NOTICE of a slot: each watching connection gets so many */
	atomic_int chatter;    /* a NOTICE before each REPLY, and another after it */
	atomic_int offer;      /* how INTERFACES is answered: a row of offers[] */
	atomic_int lie;        /* enum lie: of the ledger */
	atomic_int prove_cuts; /* so many connections are cut at PROVE */

	/* counts */
	atomic_uint interfaces;    /* how often INTERFACES was asked */
	atomic_ulong first_handle; /* of the last ATTACH */
	atomic_uint attached, joined, detached, watched, asked, runs, repeated, ended_waits, goodbyes;
	atomic_uint parked, forgotten, withdrawn;
	atomic_uint proofs, cosigned, cosigned_attach, complaints;
	atomic_uint wrong; /* a number with other bytes, a wrong proof, a frame of another form */
	atomic_uint open, open_most;
	atomic_ulong highest, acknowledged;
	atomic_int running; /* calls right now */
};

/* Makes certificates and the memory; listens, but no process yet. NULL on a failure. */
struct gateway *gateway_new(void);
void gateway_free(struct gateway *g);
/* Forks the process; gateway_stop ends it, and a start after that is a gateway that lost its memory. */
bool gateway_start(struct gateway *g);
void gateway_stop(struct gateway *g);
/* Writes kanmon.conf, `more` at its end, and puts KANMON_CONFIG. */
bool gateway_configure(const struct gateway *g, const char *more);
/* The same for an application that asks for receipts: log-key, receipts = mode, state = "state" beside it. */
bool gateway_configure_receipts(const struct gateway *g, const char *mode, const char *more);
/* A new certificate with that name over the same key, for the next start. */
bool gateway_rename(struct gateway *g, const char *name);
/* Waits until *counter is at least `least`, for ten seconds. */
bool gateway_await(atomic_uint *counter, unsigned least);

#endif
