/*
 * A real keeper in a process of its own, over a real ledger and real workers
 * with the module that counts calls (tests/mock). The test plays supervisor
 * and gate, and stands between keeper and worker: it sees each message before
 * the other end does, and can change, drop or answer it by killing the worker.
 */
#ifndef KANMON_TESTS_KEEPER_RIG_H
#define KANMON_TESTS_KEEPER_RIG_H

#include <sys/types.h>

#include "kanmon/codec.h"
#include "kanmon/frame.h"
#include "kanmon/ipc.h"
#include "kanmon/note.h"
#include "kanmon/record.h"
#include "kanmon/roles.h"
#include "tests/unit/transport/certs.h"

#define RIG_WORKERS 24
#define RIG_CONNS 16
#define RIG_FRAMES 64
#define RIG_REPLY 12 /* of a REPLY without receipt: number and nothing stand before the response payload */

/* A vendor module as kanmond.conf has it. */
struct rig_module {
	const char *name, *path, *init_args; /* path NULL: the mock */
	const char *environment[4];          /* "NAME=VALUE" */
};

struct rig;

/* What a ledger and a keeper are made with; NULL and 0: what rig_start() has. */
struct rig_plan {
	const struct rig_module *modules;
	unsigned module_count;
	const char *tokens;      /* of the clients: "mock-1" */
	const char *token_lines; /* "token mock-1\n" */
	/* In the keeper's process, before its main: may set what else it wants. NULL: nothing. */
	void (*adapt)(struct kmn_keeper_setup *setup, void *cookie);
	void *adapt_cookie;
	void (*errand)(
	    struct rig *rig, struct kmn_ipc_message *message); /* KMN_COURIER_ASK: the test is the courier too */
	bool console;                                          /* there is one: rig_ask() */
	const char *trust;                                     /* lines of tsa and anchor-gap */
	const struct kmn_log_sources *sources;                 /* clocks of the genesis; NULL: the system's */
};

struct rig_worker {
	uint32_t id;
	unsigned module; /* in the plan */
	bool watching;   /* nobody is behind it: the test plays it */
	pid_t pid;
	struct kmn_ipc *keeper, *worker; /* to either end */
};

/* A frame that the keeper sent to a connection. */
struct rig_frame {
	uint32_t conn;
	uint8_t type;
	size_t len;
	uint8_t body[12288];
};

struct rig {
	char refused[512];   /* the reason of the last refusal that was looked at */
	bool verified_often; /* by the hundred: without the quorums of chosen records, which take a second each */
	char dir[64], mock_log[96];
	struct rig_plan plan;
	struct kmn_worker_setup spawning; /* of the worker that is being started */
	pid_t keeper;
	struct kmn_ipc *supervisor, *gate, *courier, *console;
	uint32_t tag;           /* of the last question of the console */
	uint8_t signed_out[16]; /* the session that the console was told last to have ended */
	char event[4096];       /* that it was told last */
	unsigned events;
	struct rig_told *told; /* rig_ask() waits for it */
	struct rig_worker worker[RIG_WORKERS];
	bool serving, pinned;
	int ended; /* exit status of a keeper that did not come to serve, or -signal */
	struct rig_frame frame[RIG_FRAMES];
	size_t frames;
	bool closed[RIG_CONNS]; /* by connection */
	struct test_certificate ca, other, terminal;
	/* Called for each message on its way; false: it is dropped. */
	bool (*spy)(struct rig *rig, struct rig_worker *worker, bool to_worker, struct kmn_ipc_message *message);
	void *spy_cookie;
};

/* Makes the ledger with a policy of these rules, starts the keeper, and waits until it serves. */
void rig_start(struct rig *rig, const char *rules);
void rig_start_with(struct rig *rig, const struct rig_plan *plan, const char *rules);
/* A keeper again, over the same ledger. */
void rig_restart(struct rig *rig);
/* The same of one that may not come to serve: false, it has ended by itself (rig->ended). */
bool rig_try(struct rig *rig);
/* Whether the keeper's log has a line with that text. */
bool rig_said(const struct rig *rig, const char *text);
/* Stops it with KMN_S_STOP: the exit status, or -signal. */
int rig_stop(struct rig *rig);
/* SIGKILL to the keeper; workers end by their closed sockets. */
void rig_kill(struct rig *rig);
/* Waits for a keeper that is to end by itself. */
int rig_wait(struct rig *rig);
/* Verifies the ledger as an auditor does (a stopped one: nothing is missing), and removes everything. */
void rig_end(struct rig *rig);
/* The same of a ledger that an auditor must refuse. */
void rig_end_refused(struct rig *rig);
/* The trust file of its ledger. */
void rig_trust(const struct rig *rig, char *text, size_t size);
/* `kanmon audit verify`'s exit code, findings as TAP comments. */
int rig_verify(struct rig *rig);

/* The keeper has ended by itself; rig_wait() takes its status. */
bool rig_gone(const struct rig *rig);
/* Passes messages on until a frame of that type comes for `conn` (taken out), or time is over, or the keeper has ended
 * (false). */
bool rig_expect(struct rig *rig, uint32_t conn, uint8_t type, struct rig_frame *frame_out);
/* Whether it refuses that call because its token is closed, or something that the policy asks for lags behind. */
bool rig_is_closed(const struct rig_frame *frame, uint64_t number);
/* The reason in it becomes rig->refused. */
void rig_keep_reason(struct rig *rig, const struct rig_frame *frame);
/* Passes messages on for that long. */
void rig_pump(struct rig *rig, int ms);
bool rig_expect_closed(struct rig *rig, uint32_t conn);

/* Frames from a connection. */
void rig_open(struct rig *rig, uint32_t conn, const struct test_certificate *who);
void rig_close(struct rig *rig, uint32_t conn);
void rig_send(struct rig *rig, uint32_t conn, uint8_t type, struct kmn_writer *body);

/* What an application says of receipts when it attaches or joins; all zero: it wants none. */
struct rig_claim {
	uint8_t receipts; /* KMN_RECEIPTS_* */
	const char *head; /* note, or NULL */
	const char *line, *vkey;
};

/* An answer with its receipt, as it came; views. */
struct rig_answer {
	enum kmn_call_id id;
	uint64_t number, rv;
	const uint8_t *request, *response, *receipt;
	size_t request_len, response_len, receipt_len;
};

/* An application: attached, with its numbers. */
struct rig_app {
	struct rig_claim claim;
	/* Called by rig_call() with each answer; may be NULL. */
	void (*heard)(struct rig_app *app, const struct rig_answer *answer);
	void *cookie;
	uint64_t chan;              /* of the connection */
	uint8_t head_receipt[4096]; /* that came with ATTACHED or JOINED */
	size_t head_receipt_len;
	uint32_t conn;
	uint8_t id[KMN_INSTANCE_ID_BYTES], secret[KMN_INSTANCE_SECRET_BYTES];
	uint64_t number, acknowledged;
	CK_SESSION_HANDLE session;
};

/* What a watching worker says, or is about to: NULL where the keeper has not asked for one. */
struct rig_worker *rig_watcher(struct rig *rig, unsigned module);
void rig_watcher_says(struct rig_worker *watcher, CK_RV rv, uint64_t slot);
/* The worker that serves applications in that module, the youngest; NULL: there is none. */
struct rig_worker *rig_worker_of(struct rig *rig, unsigned module);

void rig_attach(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who);
/* The same with a first handle: what it is given is not below. */
void rig_attach_from(
    struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who, uint64_t first_handle);
/* True: ATTACH was answered by REFUSED with that error. */
bool rig_attach_refused(struct rig *rig, uint32_t conn, const struct test_certificate *who, kmn_err why);
/* The same with what app->claim says; then true too where ATTACHED came and false where the connection was closed. */
bool rig_attach_claiming(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who);
bool rig_join(struct rig *rig, const struct rig_app *app, uint32_t conn, const struct test_certificate *who);
bool rig_join_claiming(struct rig *rig, struct rig_app *app, uint32_t conn, const struct test_certificate *who);
/* CALL with that number, of a payload made before. */
void rig_call_raw(
    struct rig *rig, uint32_t conn, uint64_t number, uint64_t acknowledged, const uint8_t *payload, size_t len);
/* The payload of a call. */
void rig_payload(enum kmn_call_id id, const struct kmn_arg *arg, size_t count, uint8_t **payload_out, size_t *len_out);
/* A whole call of the next number: sends, waits for REPLY, decodes into arg. CKR_VENDOR_DEFINED if none came. */
CK_RV rig_call(struct rig *rig, struct rig_app *app, enum kmn_call_id id, struct kmn_arg *arg, size_t count);

CK_RV rig_open_session(struct rig *rig, struct rig_app *app);
CK_RV rig_login(struct rig *rig, struct rig_app *app);
CK_RV rig_generate(struct rig *rig, struct rig_app *app, const char *label, CK_OBJECT_HANDLE *private_out);
CK_RV rig_sign_init(struct rig *rig, struct rig_app *app, CK_OBJECT_HANDLE key);
CK_RV rig_sign(struct rig *rig, struct rig_app *app, const char *data, uint8_t *signature, CK_ULONG *len);
/* Sends C_Sign and does not wait: its number. */
uint64_t rig_send_sign(
    struct rig *rig, struct rig_app *app, const char *data, struct kmn_arg arg[3], uint8_t *signature, CK_ULONG *len);

/* A custodian's vote on a request through the terminal on `conn`: kmn_err of the answer. */
uint32_t rig_vote(struct rig *rig, uint32_t conn, uint64_t request, const char *name, const char *decision);
/* ADMIN with that body: the error, and the answer's text in `text` (size bytes). */
uint32_t rig_admin(struct rig *rig, uint32_t conn, struct kmn_writer *body, char *text, size_t size);
/* What the console asks, and what it is told. */
struct rig_asked {
	uint8_t session[16], csrf[16]; /* to be brought; of a sign-in: what came */
	char *text;                    /* of the answer; free() */
};
/* The console asks (kanmon/console.h); `fields` are its own, and cleared. The kmn_err of the answer; UINT32_MAX: none came. */
uint32_t rig_ask(struct rig *rig, struct rig_asked *asked, uint8_t op, struct kmn_writer *fields);
/* The console dies and another comes. */
void rig_console_again(struct rig *rig);
/* The key of the rig's ledger. */
void rig_log_key(uint8_t secret[KMN_ED25519_SECRET_BYTES], struct kmn_vkey *vkey);

/* Lines of the mock's log that begin with that word and a blank. */
unsigned rig_mock_calls(const struct rig *rig, const char *function);
/* Durable records of that type whose line holds `with` (NULL: any): what is before the last #commit on disk. */
unsigned rig_records(const struct rig *rig, const char *type, const char *with);

#endif
