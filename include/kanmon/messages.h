/*
 * Messages between the gateway's own processes, each over its own socket pair
 * (transport/ipc.c): u32 length | u8 kind | body, as in frame.h. The receiver
 * bounds and checks each one: gate and worker face hostile bytes and are not
 * trusted by the keeper.
 */
#ifndef KANMON_MESSAGES_H
#define KANMON_MESSAGES_H

#include "kanmon/base.h"

#define KMN_MESSAGE_MAX_BYTES (5u << 20)

/*   symbol                 value  body */
#define KMN_GATE_ROWS(ROW) /* gate -> keeper 1.., keeper -> gate 64.. */ \
	ROW(KMN_G_OPEN, 1, \
	    "u32 connection, bytes certificate DER, text TLS version, text cipher suite, raw[32] exporter, text peer " \
	    "address") \
	ROW(KMN_G_FRAME, 2, "u32 connection, u8 frame type, frame body to the end") \
	ROW(KMN_G_CLOSED, 3, "u32 connection, text reason") \
	ROW(KMN_G_REJECT, 4, "raw[32] SPKI SHA-256 or zeros, text peer address, text reason, u32 count") \
	ROW(KMN_K_FRAME, 64, "u32 connection, u8 frame type, frame body to the end") \
	ROW(KMN_K_CLOSE, 65, "u32 connection, text reason: close after what was sent before is out") \
	ROW(KMN_K_PINS, 66, "u32 n, n * raw[32] SPKI SHA-256: the clients that may connect, whole set")

/*   symbol                 value  body */
#define KMN_WORKER_ROWS(ROW) /* keeper -> worker 1.., worker -> keeper 64.. */ \
	ROW(KMN_W_CALL, 1, \
	    "u64 tag, u8 flags (KMN_WF_*), with KMN_WF_NOBODY u8 n and n * u64 handle, with KMN_WF_SHARES raw[32] key of " \
	    "a login, request payload to the end") \
	ROW(KMN_W_DESCRIBE, 2, "u64 tag, u64 session, u64 object") \
	ROW(KMN_W_FIND_KEY, 3, \
	    "u64 tag, text token label, text key label, bytes key id: first key object (public, private, secret) " \
	    "that fits and is " \
	    "visible without login, described; for requests made ahead") \
	ROW(KMN_W_DROP, 4, \
	    "u64 tag, u64 session, u32 operation kind (one bit of enum kmn_operation_kind): close the side session " \
	    "of a held operation; answered by REPLY without payload") \
	ROW(KMN_W_TOKEN, 5, "u64 tag, u64 slot") \
	ROW(KMN_W_ALIAS, 6, \
	    "u64 tag, u64 old handle, u64 new handle: the session or object with the new handle goes by the old one " \
	    "from now on; answered by ALIASED") \
	ROW(KMN_W_GUARD, 7, \
	    "u64 tag, text token label, text object label, bool swap, bytes expected value, bytes new value: the value " \
	    "of a public data object; with swap it becomes the new one if it is the expected one (none: empty); " \
	    "answered by GUARDED") \
	ROW(KMN_W_LOGIN, 8, \
	    "u64 tag, bytes sealed PIN (kanmon/sealedpin.h): a fresh key pair, to which custodians seal their shares for " \
	    "one C_Login") \
	ROW(KMN_W_SHARE, 9, "u64 tag, raw[32] key of a login, bytes a share sealed to it") \
	ROW(KMN_W_FORGET, 10, "u64 tag, raw[32] key of a login: nothing comes of it, and what is there is wiped") \
	ROW(KMN_W_READY, 64, \
	    "u64 CK_RV of C_Initialize, u16 Cryptoki version, text manufacturer, text library description, u16 " \
	    "library version, u8 n, n * (u16 version, u64 flags): the function lists of its interface \"PKCS 11\", " \
	    "in its order; a module without C_GetInterfaceList has one") \
	ROW(KMN_W_REPLY, 65, "u64 tag, response payload to the end") \
	ROW(KMN_W_DESCRIPTION, 66, "u64 tag, u64 CK_RV, and if CKR_OK: struct kmn_key_facts (see kmn_key_facts_get)") \
	ROW(KMN_W_TOKEN_FACTS, 67, \
	    "u64 tag, u64 CK_RV, and if CKR_OK: text label, text manufacturer, text model, text serial, u16 " \
	    "firmware, u16 hardware, u64 flags, u8 highest CKA_VALIDATION_LEVEL or 0") \
	ROW(KMN_W_ALIASED, 68, \
	    "u64 tag, u64 CK_RV: CKR_OK; CKR_OBJECT_HANDLE_INVALID: no such new handle; CKR_ARGUMENTS_BAD: the old " \
	    "one is in use") \
	ROW(KMN_W_GUARDED, 70, "u64 tag, u64 CK_RV, bytes the value that stands there now; none: empty") \
	ROW(KMN_W_LOGIN_STATE, 71, \
	    "u64 tag, u32 kmn_err, raw[32] key of the login, u8 shares that are there: answers LOGIN, SHARE and FORGET") \
	ROW(KMN_W_EVENT, 69, \
	    "u64 CK_RV, u64 slot: C_WaitForSlotEvent returned; only from a worker that watches, which calls it again " \
	    "after CKR_OK and never after anything else")

/*   symbol                 value  body */
#define KMN_SUPERVISOR_ROWS(ROW) /* keeper -> supervisor 1.., supervisor -> keeper 64.. ; fds by SCM_RIGHTS */ \
	ROW(KMN_S_SPAWN, 1, \
	    "u32 worker, text module, u8 watching (1: no calls, it waits for slot events), u64 first handle, u64 " \
	    "step between handles: start one; answered by SPAWNED or FAILED") \
	ROW(KMN_S_KILL, 2, "u32 worker") \
	ROW(KMN_S_SERVING, 3, "empty: the keeper is ready, the gate may start to accept") \
	ROW(KMN_S_KILL_COURIER, 4, "empty: it owes an answer for too long") \
	ROW(KMN_S_HOOK, 5, \
	    "u32 number of the hook section, text subject of a mail, bytes JSON and LF: run its program; not answered") \
	ROW(KMN_S_SPAWNED, 64, "u32 worker, with its socket") \
	ROW(KMN_S_FAILED, 65, "u32 worker, text reason") \
	ROW(KMN_S_EXITED, 66, "u32 worker, text how (exit status or signal)") \
	ROW(KMN_S_GATE, 67, \
	    "text why (start, or how the one before ended), with the socket of a new gate; the old one is gone") \
	ROW(KMN_S_STOP, 68, "text reason: finish, write gateway.stop, exit 0") \
	ROW(KMN_S_COURIER, 69, \
	    "text why (start, or how the one before ended), with the socket of a new courier; the old one is gone") \
	ROW(KMN_S_CONSOLE, 70, \
	    "text why (start, or how the one before ended), with the socket of a new console (kanmon/console.h); the " \
	    "old one is gone") \
	ROW(KMN_S_RUNNER, 71, \
	    "text why (start, or how the one before ended), u8 its place (below KMN_RUNNERS), with the socket of a new " \
	    "runner; the old one in that place is gone") \
	ROW(KMN_S_SEALED_PINS, 72, \
	    "for each activation of the setup, in its order: bytes text of its sealed PIN, checked; logins that begin " \
	    "from now on go by it")

/*   symbol                 value  body */
#define KMN_COURIER_ROWS(ROW) /* keeper -> courier 1.., courier -> keeper 64.. */ \
	ROW(KMN_COURIER_ASK, 1, \
	    "u64 tag, u32 limit of the answer in bytes, u32 timeout in ms, text url, text content type (\"\": a GET), " \
	    "bytes body") \
	ROW(KMN_COURIER_ANSWER, 64, \
	    "u64 tag, u16 kmn_err, u16 HTTP status or 0, text content type, bytes body: empty unless KMN_OK")

/*   symbol                 value  body */
#define KMN_RUNNER_ROWS(ROW) /* keeper -> runner 1.., runner -> keeper 64.. ; one job at a time */ \
	ROW(KMN_RUNNER_DO, 1, \
	    "u64 index of the instruction, text what, text token label, text token serial or \"\", text rule, text key " \
	    "label, bytes key id, text mechanism, text parameters, text purpose, u32 seconds that a quorum may take, " \
	    "bytes file, bytes user PIN or nothing") \
	ROW(KMN_RUNNER_DONE, 64, \
	    "u64 index of the instruction, text why not (\"\": it is done), u64 request or 0; the result is what the " \
	    "ledger says")

#define KMN_MESSAGE_ENUM(symbol, value, body) symbol = (value),
enum kmn_gate_message { KMN_GATE_ROWS(KMN_MESSAGE_ENUM) };
enum kmn_worker_message { KMN_WORKER_ROWS(KMN_MESSAGE_ENUM) };
enum kmn_supervisor_message { KMN_SUPERVISOR_ROWS(KMN_MESSAGE_ENUM) };
enum kmn_courier_message { KMN_COURIER_ROWS(KMN_MESSAGE_ENUM) };
enum kmn_runner_message { KMN_RUNNER_ROWS(KMN_MESSAGE_ENUM) };
#undef KMN_MESSAGE_ENUM

#define KMN_RUNNERS 4u                       /* how many there are, each with one job */
#define KMN_RUNNER_FILE_MAX_BYTES (1u << 20) /* what is to be signed */
#define KMN_RUNNER_PIN_MAX_BYTES 256u

#define KMN_COURIER_URL_MAX_BYTES 1024u
#define KMN_COURIER_TYPE_MAX_BYTES 128u         /* of a content type */
#define KMN_COURIER_BODY_MAX_BYTES (256u << 10) /* of a question, and the largest limit of an answer */

#define KMN_WF_SIDE 1u   /* an *Init: open a side session for this operation and start it there */
#define KMN_WF_NOBODY 2u /* these handles named nothing when the call was judged: nor do they for the module now */
#define KMN_WF_SHARES 4u /* a C_Login: its PIN is the one that the shares of this login open, which are wiped then */
#define KMN_NOBODY_MAX 16u

#endif
