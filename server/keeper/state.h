/*
 * The keeper's state, shared by the files of this room and by nobody else. This header gathers the parts, each of which
 * has its own: what it is, and what the files that look after it do for the others.
 *
 * One thread, one epoll loop: no field here has a lock. The ledger's committer
 * is the only other thread and is reached through log.h alone.
 *
 *   connection (gate)  n ── 1  instance (application)  1 ── n  branch ── worker (HSM module)
 *                                 │ 1 ── n session ── n operation
 *                                 │ 1 ── n call (by number, inside the replay window)
 *
 * A call's life, and the function that makes each step:
 *
 *   kmn_call_start ──▶ FACTS ──judge──▶ RUNNING ──reply──▶ RELEASE ──durable──▶ DONE
 *                        │ describe      ▲   (class C: no record; B: op; A: result)
 *                        │               │ durable(decision)
 *                        ├─ class A ──▶ START
 *                        │               ▲ kmn_hold_advance: the quorum is met
 *                        └─ held ─────▶ HELD ──rejected, expired, wait over──▶ RELEASE
 *
 * Invariants:
 *  K1 a request payload of class A reaches a worker only from run() of send.c, after its decision is durable.
 *  K2 a reply reaches the gate only from kmn_call_answer(), in state DONE; for classes A and B that is after its
 *     record is durable.
 *  K3 a number is looked at once (replay.h); its outcome is kept until the client acknowledged it.
 *  K4 every record that is appended is applied to the quorum state at once, by kmn_keeper_append() alone.
 *  K5 in a session one call is at work at a time, from its judgement to the module's reply (turn.c): what was judged
 *     about an operation is true when the module gets the call. C_SessionCancel alone overtakes: it starts nothing.
 */
#ifndef KANMON_KEEPER_STATE_H
#define KANMON_KEEPER_STATE_H

#include "server/keeper/call.h"
#include "server/keeper/consolelink.h"
#include "server/keeper/courierlink.h"
#include "server/keeper/gatelink.h"
#include "server/keeper/hold.h"
#include "server/keeper/instance.h"
#include "server/keeper/judge.h"
#include "server/keeper/keeper.h"
#include "server/keeper/people.h"
#include "server/keeper/record.h"
#include "server/keeper/session.h"
#include "server/keeper/workerlink.h"

#include "kanmon/action.h"
#include "kanmon/ipc.h"
#include "kanmon/log.h"
#include "kanmon/quorum.h"

#endif
