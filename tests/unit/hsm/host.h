/*
 * A worker in a process of its own, driven as the keeper drives it. Functions
 * with the names of PKCS#11 (without C_) send a request and wait for its answer.
 */
#ifndef KANMON_TESTS_HSM_HOST_H
#define KANMON_TESTS_HSM_HOST_H

#include <sys/types.h>

#include "kanmon/codec.h"
#include "kanmon/ipc.h"
#include "kanmon/key.h"
#include "kanmon/messages.h"
#include "kanmon/roles.h"

#define HOST_MOCK KMN_TEST_BUILD_DIR "/tests/mock/.libs/kanmon-mock.so"
#define HOST_WAIT_MS 20000

struct host {
	pid_t pid;
	struct kmn_ipc *ipc;
	uint64_t tag;
	uint8_t flags; /* KMN_WF_* of the calls that follow */
	CK_RV ready;
	char manufacturer[64], description[256];
	uint16_t cryptoki, library;
	struct {
		uint16_t version;
		uint64_t flags;
	} list[8]; /* function lists of "PKCS 11" */
	size_t lists;
	char dir[64], log[128]; /* a directory of its own, and the mock's log in it */
};

/* Starts and waits for KMN_W_READY. `environment` is "NAME=VALUE" rows and a NULL. */
void host_start(struct host *h, const char *module, const char *init_args, const char *const *environment);
/* The mock, with its log in h->log. */
void host_start_mock(struct host *h, const char *const *environment);
/* The same, as `setup` says; its module and socket are set here. */
void host_start_mock_as(struct host *h, const struct kmn_worker_setup *setup, const char *const *environment);
/* Closes the socket and waits: the exit status, or -signal. Removes the directory. */
int host_end(struct host *h);
/* Waits for a process that is to end by itself. */
int host_wait(struct host *h);
/* Lines of the mock's log that begin with that word and a blank. */
unsigned host_logged(const struct host *h, const char *function);

/* The halves of a call. Answers come in the order in which the calls end. */
uint64_t host_send_call(struct host *h, enum kmn_call_id id, const struct kmn_arg *arg, size_t count);
void host_send(struct host *h, uint8_t kind, struct kmn_writer *body);
/* The next message; false when the worker is gone. Valid until the next one is asked for. */
bool host_receive(struct host *h, struct kmn_ipc_message *message_out);
/* The next message, which must be a REPLY: its tag, and its response. */
uint64_t host_reply(struct host *h, struct kmn_response_view *view_out);
CK_RV host_call(struct host *h, enum kmn_call_id id, const struct kmn_arg *arg, size_t count);

/* Any call, its arguments in the order of its row. */
#define HOST_CALL(h, id, ...) \
	host_call( \
	    (h), (id), (const struct kmn_arg[]){__VA_ARGS__}, KMN_COUNT_OF(((const struct kmn_arg[]){__VA_ARGS__})))
#define HOST_SCALAR(value) \
	{ \
		.u = (value) \
	}
#define HOST_SIZED(pointer, count) \
	{ \
		.p = (pointer), .u = (count) \
	}
#define HOST_OUT(pointer) \
	{ \
		.p = (pointer) \
	}
#define HOST_ROOM(pointer, len) \
	{ \
		.p = (pointer), .n = (len) \
	}
#define HOST_MESSAGE(mechanism, pointer, count) \
	{ \
		.p = (pointer), .u = (count), .type = (mechanism) \
	}

CK_RV host_describe(struct host *h, uint64_t session, uint64_t object, struct kmn_key_facts *facts_out);
CK_RV host_find_key(
    struct host *h, const char *token, const char *label, const char *id, struct kmn_key_facts *facts_out);
void host_drop(struct host *h, uint64_t session, uint32_t kind);

CK_RV host_alias(struct host *h, uint64_t old, uint64_t now);
/* Waits for the next event of a worker that watches. */
CK_RV host_event(struct host *h, CK_SLOT_ID *slot);

CK_RV host_OpenSession(struct host *h, CK_SLOT_ID slot, CK_FLAGS flags, CK_SESSION_HANDLE *session);
CK_RV host_CloseSession(struct host *h, CK_SESSION_HANDLE session);
CK_RV host_CloseAllSessions(struct host *h, CK_SLOT_ID slot);
CK_RV host_Login(struct host *h, CK_SESSION_HANDLE session, CK_USER_TYPE user, const char *pin);
CK_RV host_Logout(struct host *h, CK_SESSION_HANDLE session);
CK_RV host_InitToken(struct host *h, CK_SLOT_ID slot, const char *pin, const char *label);
CK_RV host_InitPIN(struct host *h, CK_SESSION_HANDLE session, const char *pin);
CK_RV host_GetSlotList(struct host *h, CK_SLOT_ID *slots, CK_ULONG *count);
CK_RV host_GetTokenInfo(struct host *h, CK_SLOT_ID slot, CK_TOKEN_INFO *info);
CK_RV host_CreateObject(struct host *h, CK_SESSION_HANDLE session, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *o);
CK_RV host_DestroyObject(struct host *h, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object);
CK_RV host_GetAttributeValue(
    struct host *h, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *t, CK_ULONG n);
/* All objects of a template, at most `max`. */
size_t host_find(
    struct host *h, CK_SESSION_HANDLE session, CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out, CK_ULONG max);
CK_RV host_SignInit(struct host *h, CK_SESSION_HANDLE session, CK_MECHANISM_TYPE mechanism, CK_OBJECT_HANDLE key);
CK_RV host_Sign(
    struct host *h, CK_SESSION_HANDLE session, const char *data, CK_BYTE *signature, CK_ULONG *signature_len);
uint64_t host_send_sign(struct host *h, CK_SESSION_HANDLE session, const char *data);

/* A key pair with this label and CKA_ID "id-" and the label; on the token if `token`. */
struct host_pair {
	CK_OBJECT_HANDLE public, private;
};
CK_RV host_generate_ec(
    struct host *h, CK_SESSION_HANDLE session, const char *label, bool token, struct host_pair *pair_out);
/* CKK_EC_EDWARDS of PKCS#11 3.0, which SoftHSM has. */
CK_RV host_generate_ed25519(
    struct host *h, CK_SESSION_HANDLE session, const char *label, bool token, struct host_pair *pair_out);
CK_RV host_generate_rsa(
    struct host *h, CK_SESSION_HANDLE session, const char *label, bool token, struct host_pair *pair_out);

/* Whether a signature over `data` verifies with the key of those facts. `ecdsa`: r | s.
 * `hash` is "SHA256" and its kin, or NULL: the data is the digest, or what EdDSA signs. */
bool host_verifies(const struct kmn_key_facts *facts, const char *hash, const char *data, const CK_BYTE *signature,
    CK_ULONG len, bool ecdsa);

#endif
