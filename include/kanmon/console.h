/*
 * The link between the console (the process that browsers talk to) and the
 * keeper: questions by tag, answers by tag, and what the keeper tells unasked.
 * The console carries and decides nothing: sessions, roles, sign-ins and the
 * CSRF value are the keeper's, and each answer's text is what the API sends on.
 *
 * A session is 16 random bytes that the keeper makes at sign-in; who brings
 * them is that person, until the session ends: by its two clocks (idle here,
 * KMN_ACTION_SESSION_MS of action.h), by signing out, with the policy that
 * dropped the person, or with the keeper.
 *
 * JSON: times are ms since 1970, hashes and bytes base64, as in records.
 */
#ifndef KANMON_CONSOLE_H
#define KANMON_CONSOLE_H

#include "kanmon/base.h"

#define KMN_UI_SESSION_BYTES 16u
#define KMN_UI_CSRF_BYTES 16u
#define KMN_UI_TLS_MAX_BYTES 63u              /* of the name of a TLS version or suite */
#define KMN_UI_NAMED_MAX_BYTES 127u           /* of an address and other short texts */
#define KMN_UI_IDLE_MS (15 * 60 * 1000)       /* a session that asks nothing for so long ends */
#define KMN_UI_RECORDS_MAX 256u               /* of one RECORDS */
#define KMN_UI_FIND_MAX 100u                  /* operations of one FIND */
#define KMN_UI_ANSWER_MAX_BYTES (4u << 20)
#define KMN_UI_FILE_MAX_BYTES (1u << 20)
#define KMN_UI_KEYS_MAX 256u      /* of one KEYS */
#define KMN_UI_DRAFTS_MAX 16u      /* texts that signatures are collected for */
#define KMN_UI_DRAFTS_OF_ONE_MAX 4u /* begun by one person */
#define KMN_UI_POLICY_MAX_BYTES (256u << 10)

/* Who may ask: a person in one of these roles; ANYBODY needs no session. */
enum kmn_ui_role {
	KMN_UI_ANYBODY = 0,
	KMN_UI_CUSTODIAN = 1, /* a `custodian` line of the policy */
	KMN_UI_AUDITOR = 2,   /* an `auditor` line */
	KMN_UI_OPERATOR = 4,  /* `operators` of the client that is the console */
	KMN_UI_SIGNER = 3,
	KMN_UI_PERSON = 7,
};

/*   symbol               value  body */
#define KMN_CONSOLE_ROWS(ROW) /* console -> keeper 1.., keeper -> console 64.. */ \
	ROW(KMN_CONSOLE_ASK, 1, \
	    "u32 tag, u8 operation (enum kmn_ui_op), raw[16] session or zeros, raw[16] CSRF value or zeros, fields") \
	ROW(KMN_CONSOLE_ANSWER, 64, \
	    "u32 tag, u32 kmn_err, raw[16] session that begins with this answer or zeros, text: JSON, or why not; one " \
	    "for each ASK, in any order") \
	ROW(KMN_CONSOLE_EVENT, 65, "text JSON, for everybody who is signed in") \
	ROW(KMN_CONSOLE_ENDED, 66, "raw[16] session: it has ended; what was left open for it is closed")

/*
 * SIGNED below is what a person signed: `u8 form`, and then for 0 `bytes note`
 * (kanmon's tool made it), for 1 `bytes text, bytes authenticatorData, bytes
 * clientDataJSON, bytes signature` (a browser's assertion; whose it is, the
 * keeper finds by the keys of the policy).
 *
 * `changes`: asks for the CSRF value too.
 */
/*   symbol                 value  who may ask        changes  fields                    the answer's JSON */
/* clang-format off */
#define KMN_UI_ROWS(ROW) \
ROW(KMN_UI_SIGN_IN_TEXT,     1, KMN_UI_ANYBODY,   false, "text page origin", \
	"{text, challenge: base64url, rp_id}") \
ROW(KMN_UI_SIGN_IN,          2, KMN_UI_ANYBODY,   false, "text address, text ver, text suite, SIGNED of a text of SIGN_IN_TEXT", \
	"that of SESSION; the session stands before it") \
ROW(KMN_UI_SIGN_IN_TLS,      3, KMN_UI_ANYBODY,   false, "text address, text ver, text suite, raw[32] SHA-256 of the SPKI that TLS saw", \
	"that of SESSION; the session stands before it") \
ROW(KMN_UI_FAILED,           4, KMN_UI_ANYBODY,   false, "text address, text reason, u32 count: the console shut somebody out", \
	"{record}") \
ROW(KMN_UI_SESSION,         10, KMN_UI_PERSON,    false, "none", \
	"{origin, name, person, roles: [custodian auditor operator], csrf: base64url, ui_sess, by: key or certificate, " \
	"since, idle_at, ends_at, policy_version}") \
ROW(KMN_UI_SIGN_OUT,        11, KMN_UI_PERSON,    true,  "none", \
	"{}") \
ROW(KMN_UI_HEALTH,          12, KMN_UI_PERSON,    false, "none", \
	"that of KMN_ADMIN_STATUS, and {clients: {name: {channel, t, address?, tls, mode, head?, opened, closed?}}, " \
	"cosignatures: {witness: {record, t, size}}, anchors: {tsa: {record, t, size, gen_time}}, anomalies: [{record, t, " \
	"what, token?, detail}], complete: bool, sessions: [{name, address, by, spki_sha256, tls: {ver, suite}, ui_sess, since}]}") \
ROW(KMN_UI_REQUEST_LIST,    20, KMN_UI_PERSON,    false, "u8 also those that ended", \
	"{requests: [..]}, as KMN_ADMIN_REQUEST_LIST") \
ROW(KMN_UI_REQUEST_SHOW,    21, KMN_UI_PERSON,    false, "u64 request", \
	"as KMN_ADMIN_REQUEST_SHOW, and {code, warnings: [{name, text}]}, of what is to be signed (kanmon/lint.h)") \
ROW(KMN_UI_SHOWN,           22, KMN_UI_PERSON,    true,  "u64 request, raw[32] SHA-256 of the text that the page displayed", \
	"{record, agrees: bool}") \
ROW(KMN_UI_NOTE,            23, KMN_UI_PERSON,    true,  "SIGNED: a vote, a policy version, or a text of signed.h", \
	"of a vote {request, check, state}; of others {record, ..}") \
ROW(KMN_UI_LINE,            25, KMN_UI_PERSON,    false, "SIGNED: of a text, or of a note that others signed already", \
	"{note}: with that line; nothing is recorded") \
ROW(KMN_UI_WITHDRAW,        24, KMN_UI_OPERATOR,  true,  "u64 request of the console's client, text reason", \
	"{request, state}") \
ROW(KMN_UI_TEXT,            26, KMN_UI_SIGNER,    false, \
	"text page origin, text what (reopen, veto), text token line (of a reopening), text reason", \
	"{text, challenge: base64url, rp_id}") \
ROW(KMN_UI_DRAFTS,          27, KMN_UI_PERSON,    false, "none", \
	"{drafts: [{draft: SHA-256 of the text, kind: its first line, version?, note, signed_by: [name], begun_by, t, lacks: " \
	"what it still needs}]}, the newest first") \
ROW(KMN_UI_DRAFT,           28, KMN_UI_PERSON,    true,  \
	"SIGNED: a policy version or a text of signed.h, by those who signed it so far", \
	"one of DRAFTS, as it is now; of a complete one {draft, record, ..}, as NOTE") \
ROW(KMN_UI_DRAFT_DROP,      29, KMN_UI_PERSON,    true,  "raw[32] SHA-256 of its text: by who began or signed it", \
	"{draft}") \
ROW(KMN_UI_CHECKPOINT,      30, KMN_UI_PERSON,    false, "none", \
	"{note, vkey: the key that signed it}") \
ROW(KMN_UI_RECORDS,         31, KMN_UI_PERSON,    false, "u64 first, u32 count: at most 256, fewer come where they are long", \
	"{from, size, records: [line ..]}") \
ROW(KMN_UI_PROOF,           32, KMN_UI_PERSON,    false, "u64 index, u64 size (0: of the newest checkpoint)", \
	"{index, size, root, path: [hash ..]}") \
ROW(KMN_UI_CONSISTENCY,     33, KMN_UI_PERSON,    false, "u64 from, u64 to (0: the newest checkpoint)", \
	"{from, to, path: [hash ..]}") \
ROW(KMN_UI_BLOB,            34, KMN_UI_PERSON,    false, "raw[32] SHA-256, u64 record that names it", \
	"{sha256, bytes}") \
ROW(KMN_UI_FIND,            35, KMN_UI_PERSON,    false, \
	"u64 before (0: the newest), u32 count, text client, text function, text key label, text result (ok, failed, " \
	"refused or a CKR_ name), u64 since ms, u64 until ms (0: no bound); an empty text is any", \
	"{operations: [..], next?: `before` to go on with, size}; it may hold fewer than asked for, and go on") \
ROW(KMN_UI_BUNDLE,          36, KMN_UI_PERSON,    false, "u64 record: of a request, an operation, or anything about one", \
	"{record, bundle: text of kanmon/bundle/v1}") \
ROW(KMN_UI_POLICY,          40, KMN_UI_PERSON,    false, "u64 version (0: the one in force, and what waits)", \
	"{note, waiting?, versions: [{version, record}]}") \
ROW(KMN_UI_POLICY_WORDS,    41, KMN_UI_PERSON,    false, \
	"u8 what (1: explain, 2: the difference of two versions, 3: check a draft), u64 version, u64 version, bytes draft", \
	"1 {lines: [{line, text}], changes: since the version before}; 2 {changes: [{whose, text}]}; 3 {ok, error?: {line, " \
	"text}, lines, changes: to the one in force}; of lines, what is hardly meant") \
ROW(KMN_UI_KEYS,            50, KMN_UI_PERSON,    false, "u64 from (0: the first), `next` of the answer before", \
	"{keys: [{token, serial, label, id, class, type?, spki_sha256?, token_line?, attributes: {CKA_..: bool}, uses, " \
	"last_use?, made_by?, destroyed_by?, windows: [request ..], known: by the ledger, held?: true}], next?, complete: " \
	"bool, looked: [{token, serial, why?, more?}]}: keys that the ledger knows, and behind them others that an HSM " \
	"shows without a login: public objects on the tokens in `looked`") \
ROW(KMN_UI_TOKENS,          51, KMN_UI_PERSON,    false, "none", \
	"{tokens: [{name, label, module?, stance, expected: {serial?, model?, manufacturer?, firmware?, level?}, pinned: " \
	"bool, sealed_pin: bool, shown?: {serial, model, manufacturer, firmware, level}, fits?: bool}]}") \
ROW(KMN_UI_CUSTODIANS,      52, KMN_UI_PERSON,    false, "none", \
	"{persons: [{name, person, auditor: bool, operator: bool, keys: [{vkey, kind, spki_sha256}], groups: [{name, least, " \
	"members}], roles: [..], votes, last_vote?}], complete: bool}") \
ROW(KMN_UI_WINDOWS,         53, KMN_UI_PERSON,    false, "none", \
	"{windows: [..]}: of REQUEST_LIST those that can be used") \
ROW(KMN_UI_INSTRUCTION_TEXT, 60, KMN_UI_OPERATOR, false, \
	"text page origin, text what (generate, destroy, sign, window), text token line, text rule (of a window), text key " \
	"label, text key id in hex, text mechanism, text parameters, u64 length of the file, raw[32] its SHA-256 or zeros, " \
	"text purpose; what is empty is not said", \
	"{text, challenge: base64url, rp_id}") \
ROW(KMN_UI_INSTRUCT,        61, KMN_UI_OPERATOR,  true,  \
	"SIGNED of a text of INSTRUCTION_TEXT, bytes file (may be empty); and where the token is to be logged in with it, " \
	"bytes user PIN", \
	"{record, application: \"action N\"}") \
ROW(KMN_UI_INSTRUCTIONS,    62, KMN_UI_PERSON,    false, "none", \
	"{instructions: [that of INSTRUCTION, without form, result, pem and proof]}, the newest first, 256 at most") \
ROW(KMN_UI_INSTRUCTION,     63, KMN_UI_PERSON,    false, "u64 record of the instruction", \
	"{record, t, operator, what, token, key?, id?, rule?, purpose, state: waiting, running, done, failed or lost, why?, " \
	"request?, operation?: the record that says what came of it, form?, result?: bytes, pem?, proof?: text of " \
	"c2sp.org/tlog-proof, of `operation`, complete?: false while the ledger is still being read}; form is public-key, " \
	"certificate, crl, certificate-request (results in DER), signature, window or destroyed")
/* clang-format on */

#define KMN_CONSOLE_ENUM(symbol, value, body) symbol = (value),
enum kmn_console_message { KMN_CONSOLE_ROWS(KMN_CONSOLE_ENUM) };
#undef KMN_CONSOLE_ENUM
#define KMN_UI_ENUM(symbol, value, role, changes, fields, answer) symbol = (value),
enum kmn_ui_op { KMN_UI_ROWS(KMN_UI_ENUM) };
#undef KMN_UI_ENUM

#endif
