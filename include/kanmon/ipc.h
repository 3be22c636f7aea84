/*
 * Messages (messages.h) between the gateway's own processes over one AF_UNIX
 * stream socket: u32 length of what follows | u8 kind | body.
 *
 * The socket's own blocking mode does not matter: each call says what it does.
 * Sending and receiving share no state, so one thread may receive while
 * another sends; several senders need a lock of theirs around every call that
 * sends. Nothing here raises SIGPIPE.
 *
 * End of stream: KMN_E_CLOSED when the peer stopped between two messages or is
 * gone (EPIPE, ECONNRESET), KMN_E_TRUNCATED when it stopped inside one. Any
 * failure but KMN_E_AGAIN, KMN_E_TOO_BIG of a sender and KMN_E_NO_MEMORY of
 * kmn_ipc_queue is final: free the ipc.
 */
#ifndef KANMON_IPC_H
#define KANMON_IPC_H

#include "kanmon/messages.h"
#include "kanmon/writer.h"

struct kmn_ipc;

struct kmn_ipc_message {
	uint8_t kind;
	const uint8_t *body; /* a view, never NULL; wiped and gone at the next call that receives */
	size_t len_bytes;
	int fd; /* came with the message (kmn_ipc_take_fds) and is the receiver's to close, or -1 */
};

/*
 * Takes `fd` (closed by kmn_ipc_free, also when this fails). `queue_max_bytes`
 * bounds what kmn_ipc_queue keeps; 0 for a side that never queues.
 */
kmn_err kmn_ipc_new(int fd, size_t queue_max_bytes, struct kmn_ipc **ipc_out) KMN_MUST_CHECK;

/* Closes the socket, wipes and frees what was queued and received. NULL is fine. */
void kmn_ipc_free(struct kmn_ipc *ipc);

/*
 * Lets messages bring a descriptor, at most one each; call it before the first
 * receive. Without it, a message with one is KMN_E_MALFORMED and the kernel
 * drops the descriptor: gate and worker must not fill their reader's table.
 */
void kmn_ipc_take_fds(struct kmn_ipc *ipc);

/* The socket, for poll and epoll. */
int kmn_ipc_fd(const struct kmn_ipc *ipc);

/*
 * Sends one whole message and waits as long as that takes, after anything that
 * was queued. `fd_to_send` goes with it (SCM_RIGHTS; stays the caller's), or -1.
 */
kmn_err kmn_ipc_send(
    struct kmn_ipc *ipc, uint8_t kind, const void *body, size_t len_bytes, int fd_to_send) KMN_MUST_CHECK;

/*
 * For epoll loops: sends what goes out at once and keeps the rest, as a copy
 * that is wiped when it is out. More than `queue_max_bytes` waiting is
 * KMN_E_TOO_BIG and nothing of this message is kept. No fd can be queued.
 */
kmn_err kmn_ipc_queue(struct kmn_ipc *ipc, uint8_t kind, const void *body, size_t len_bytes) KMN_MUST_CHECK;

/* The same with a writer's bytes; the writer is reset (wiped) whatever happens, its failure is the result. */
kmn_err kmn_ipc_send_writer(struct kmn_ipc *ipc, uint8_t kind, struct kmn_writer *w) KMN_MUST_CHECK;
kmn_err kmn_ipc_queue_writer(struct kmn_ipc *ipc, uint8_t kind, struct kmn_writer *w) KMN_MUST_CHECK;

/* Sends of the queue what goes without waiting: KMN_OK also when some is left. */
kmn_err kmn_ipc_flush(struct kmn_ipc *ipc) KMN_MUST_CHECK;

/* Bytes still queued; while not 0, ask epoll for EPOLLOUT and then flush. */
size_t kmn_ipc_queued_bytes(const struct kmn_ipc *ipc);

/* Waits for the next message. */
kmn_err kmn_ipc_receive(struct kmn_ipc *ipc, struct kmn_ipc_message *message_out) KMN_MUST_CHECK;

/*
 * For epoll loops: the next complete message, reading without waiting;
 * KMN_E_AGAIN when there is none yet. Call it until it says so.
 */
kmn_err kmn_ipc_poll(struct kmn_ipc *ipc, struct kmn_ipc_message *message_out) KMN_MUST_CHECK;

#endif
