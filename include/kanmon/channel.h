/*
 * The client's side of the channel (docs/channel.md): one TLS 1.3 connection to
 * the gateway, which carries frames (frame.h). Used by the provider, which
 * lives in other people's processes, and by the kanmon tool.
 *
 * Nothing here starts a thread, installs a handler, reads openssl.cnf or the
 * environment, raises SIGPIPE or ends the process. Sockets are O_CLOEXEC.
 *
 * Threads: a channel belongs to one thread at a time. An identity may be
 * shared by all threads once it is made.
 * Fork:    the child must not use, close or free the parent's channels and
 *          identity; it calls kmn_channel_abandon on each channel, forgets the
 *          identity, and loads a new one. Send and receive in another process
 *          than the one that opened answer KMN_E_CLOSED and touch nothing.
 * Reuse of the descriptor by the host: each send checks that the descriptor is
 *          still the socket that was opened (fstat), else KMN_E_CLOSED.
 */
#ifndef KANMON_CHANNEL_H
#define KANMON_CHANNEL_H

#include "kanmon/frame.h"
#include "kanmon/tls.h"

struct kmn_channel_identity;
struct kmn_channel;

#define KMN_CHANNEL_WHY_BYTES KMN_TLS_WHY_BYTES /* room for one line that says what failed, for people */
#define KMN_CHANNEL_GATEWAYS_MAX 16

struct kmn_channel_settings {
	const char *certificate_path; /* PEM, the client's own */
	const char *key_path;         /* PEM, without a passphrase, not accessible by others */
	/* Not NULL: these in place of the files, NUL-terminated; the key is the caller's to guard. */
	const char *certificate_pem, *key_pem;
	uint8_t gateway_spki_sha256[KMN_HASH_BYTES];
	const char *const *gateways; /* "host:port" or "[v6]:port", tried in order */
	size_t gateway_count;        /* 1 .. KMN_CHANNEL_GATEWAYS_MAX */
};

/* One frame; `body` is a view that lives until the next receive on the channel, which wipes it. */
struct kmn_channel_frame {
	uint8_t type;
	const uint8_t *body;
	size_t len_bytes;
};

/*
 * Loads what all connections share. `settings` is copied. `why_out` (here and
 * below: KMN_CHANNEL_WHY_BYTES of room, or NULL) gets what failed, never a secret.
 * Errors: KMN_E_CONFIG, KMN_E_NO_MEMORY, KMN_E_IO (a file), KMN_E_TLS.
 */
kmn_err kmn_channel_identity_load(const struct kmn_channel_settings *settings, char *why_out,
    struct kmn_channel_identity **identity_out) KMN_MUST_CHECK;
/* After the last of its channels is closed. NULL is fine. */
void kmn_channel_identity_free(struct kmn_channel_identity *identity);
/* SHA-256 of the client's own SubjectPublicKeyInfo. */
const uint8_t *kmn_channel_identity_spki(const struct kmn_channel_identity *identity);

/*
 * Connects and finishes the handshake with the first gateway that answers,
 * within `timeout_ms` in all. The wait also ends with KMN_E_CANCELED when
 * `interrupt_fd` becomes readable or hangs up (-1: none).
 *
 * TLS 1.3 tells a client only at its first receive that the gateway refused
 * its certificate: KMN_E_PEER then, with kmn_channel_why.
 * Errors: KMN_E_UNREACHABLE, KMN_E_PEER (not the pinned key, or out of its
 * dates), KMN_E_TLS, KMN_E_TIMEOUT, KMN_E_CANCELED, KMN_E_NO_MEMORY.
 */
kmn_err kmn_channel_open(struct kmn_channel_identity *identity, uint32_t timeout_ms, int interrupt_fd, char *why_out,
    struct kmn_channel **channel_out) KMN_MUST_CHECK;

/* The exporter value of this connection, for kmn_instance_secret and kmn_join_proof. */
const uint8_t *kmn_channel_exporter(const struct kmn_channel *channel);
/* The address that answered, "host:port". */
const char *kmn_channel_peer(const struct kmn_channel *channel);
/* The socket, to be watched beside others. Readable does not mean that a frame is complete. */
int kmn_channel_fd(const struct kmn_channel *channel);
/* What the last failure was, for people; "" without one. */
const char *kmn_channel_why(const struct kmn_channel *channel);

/*
 * Sends one frame whole. After any failure the channel is of no more use; what
 * the gateway got of the frame is unknown (a CALL may be sent again under the
 * same number on another channel).
 */
kmn_err kmn_channel_send(
    struct kmn_channel *channel, uint8_t type, const void *body, size_t len_bytes, uint32_t timeout_ms) KMN_MUST_CHECK;

/*
 * Waits for one frame whose shape is that of its type (kmn_frame_check).
 * KMN_E_TIMEOUT and KMN_E_CANCELED (interrupt_fd, as above) lose nothing: call
 * again. UINT32_MAX waits for ever; 0 takes only what is there.
 * After any other failure the channel is of no more use.
 */
kmn_err kmn_channel_receive(struct kmn_channel *channel, uint32_t timeout_ms, int interrupt_fd,
    struct kmn_channel_frame *frame_out) KMN_MUST_CHECK;

/*
 * Before an idle connection is used again: false when the gateway hung up or
 * sent what nobody asked for, or the descriptor is not ours any more.
 */
bool kmn_channel_alive(struct kmn_channel *channel);

/* Says goodbye if that needs no waiting, closes, wipes, frees. NULL is fine. */
void kmn_channel_close(struct kmn_channel *channel);

/*
 * In a forked child: closes the child's copy of the socket, if it is still
 * that, and says nothing to the gateway. The memory is left: a lock in it may
 * be held by a thread that does not exist here. NULL is fine.
 */
void kmn_channel_abandon(struct kmn_channel *channel);

#endif
