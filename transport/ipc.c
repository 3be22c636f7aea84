#include "kanmon/ipc.h"

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kanmon/inbox.h"

struct kmn_ipc {
	int fd;
	/* sending side */
	size_t queue_max;
	uint8_t *queue; /* what did not go out yet is queue[out_at .. out_end) */
	size_t out_at, out_end, out_room;
	/* receiving side */
	struct kmn_inbox in;
	bool takes_fds;  /* set once, before the first receive */
	bool handed_out; /* the message in `in` was the receiver's and is to be wiped */
	int in_fd;       /* came with the message that is being put together, or -1 */
};

kmn_err
kmn_ipc_new(int fd, size_t queue_max_bytes, struct kmn_ipc **ipc_out)
{
	struct kmn_ipc *ipc = calloc(1, sizeof(*ipc));

	*ipc_out = ipc;
	if (ipc == NULL) {
		close(fd);
		return KMN_E_NO_MEMORY;
	}
	ipc->fd = fd;
	ipc->in_fd = -1;
	ipc->queue_max = queue_max_bytes;
	kmn_inbox_init(&ipc->in, KMN_MESSAGE_MAX_BYTES);
	return KMN_OK;
}

void
kmn_ipc_free(struct kmn_ipc *ipc)
{
	if (ipc == NULL)
		return;
	if (ipc->queue != NULL)
		sodium_memzero(ipc->queue, ipc->out_room);
	free(ipc->queue);
	kmn_inbox_clear(&ipc->in);
	if (ipc->in_fd >= 0)
		close(ipc->in_fd);
	close(ipc->fd);
	free(ipc);
}

int
kmn_ipc_fd(const struct kmn_ipc *ipc)
{
	return ipc->fd;
}

void
kmn_ipc_take_fds(struct kmn_ipc *ipc)
{
	ipc->takes_fds = true;
}

size_t
kmn_ipc_queued_bytes(const struct kmn_ipc *ipc)
{
	return ipc->out_end - ipc->out_at;
}

static kmn_err
io_error(void)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return KMN_E_AGAIN;
	return errno == EPIPE || errno == ECONNRESET ? KMN_E_CLOSED : KMN_E_IO;
}

/* One sendmsg without waiting; `fd` goes along when it is not -1. */
static kmn_err
send_some(int socket, struct iovec *parts, size_t n, int fd, size_t *sent_out)
{
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = n};
	ssize_t got;

	*sent_out = 0;
	if (fd >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(int));
	}
	do
		got = sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return io_error();
	*sent_out = (size_t)got;
	return KMN_OK;
}

static void
advance(struct iovec *parts, size_t n, size_t done)
{
	for (size_t i = 0; i < n && done > 0; i++) {
		size_t k = done < parts[i].iov_len ? done : parts[i].iov_len;

		parts[i].iov_base = (uint8_t *)parts[i].iov_base + k;
		parts[i].iov_len -= k;
		done -= k;
	}
}

static size_t
left(const struct iovec *parts, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += parts[i].iov_len;
	return sum;
}

static kmn_err
wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return KMN_E_IO;
	return KMN_OK;
}

/* Sends until all is out or, without `wait`, until the socket is full (KMN_E_AGAIN). */
static kmn_err
send_all(int socket, struct iovec *parts, size_t n, int fd, bool wait)
{
	while (left(parts, n) > 0) {
		size_t sent;
		kmn_err e = send_some(socket, parts, n, fd, &sent);

		if (e == KMN_E_AGAIN && wait)
			e = wait_for(socket, POLLOUT);
		if (e != KMN_OK)
			return e;
		if (sent > 0)
			fd = -1; /* it went with the first byte */
		advance(parts, n, sent);
	}
	return KMN_OK;
}

/* Sends the queue and wipes what went out. */
static kmn_err
drain(struct kmn_ipc *ipc, bool wait)
{
	struct iovec part;
	kmn_err e;

	if (kmn_ipc_queued_bytes(ipc) == 0)
		return KMN_OK;
	part = (struct iovec){.iov_base = ipc->queue + ipc->out_at, .iov_len = kmn_ipc_queued_bytes(ipc)};
	e = send_all(ipc->fd, &part, 1, -1, wait);
	sodium_memzero(ipc->queue + ipc->out_at, kmn_ipc_queued_bytes(ipc) - part.iov_len);
	ipc->out_at = ipc->out_end - part.iov_len;
	if (part.iov_len == 0)
		ipc->out_at = ipc->out_end = 0;
	return e;
}

kmn_err
kmn_ipc_flush(struct kmn_ipc *ipc)
{
	kmn_err e = drain(ipc, false);

	return e == KMN_E_AGAIN ? KMN_OK : e;
}

/* The two parts of a message; `head` is the room for the first. */
static kmn_err
lay_out(uint8_t head[KMN_INBOX_HEAD_BYTES], uint8_t kind, const void *body, size_t len_bytes, struct iovec parts[2])
{
	size_t n = len_bytes + 1;

	if (len_bytes >= KMN_MESSAGE_MAX_BYTES)
		return KMN_E_TOO_BIG;
	for (size_t i = 0; i < 4; i++)
		head[i] = (uint8_t)(n >> (24 - 8 * i));
	head[4] = kind;
	parts[0] = (struct iovec){.iov_base = head, .iov_len = KMN_INBOX_HEAD_BYTES};
	/* sendmsg only reads it, but iovec has no const */
	parts[1] = (struct iovec){.iov_base = (void *)(uintptr_t)body, .iov_len = len_bytes};
	return KMN_OK;
}

kmn_err
kmn_ipc_send(struct kmn_ipc *ipc, uint8_t kind, const void *body, size_t len_bytes, int fd_to_send)
{
	uint8_t head[KMN_INBOX_HEAD_BYTES];
	struct iovec parts[2];
	kmn_err e;

	if ((e = lay_out(head, kind, body, len_bytes, parts)) != KMN_OK || (e = drain(ipc, true)) != KMN_OK)
		return e;
	return send_all(ipc->fd, parts, 2, fd_to_send, true);
}

/* Room for `need` more bytes at the end of the queue. */
static bool
make_room(struct kmn_ipc *ipc, size_t need)
{
	size_t have = kmn_ipc_queued_bytes(ipc), room = 4096;
	uint8_t *queue;

	if (need <= ipc->out_room - ipc->out_end)
		return true;
	while (room < have + need)
		room *= 2;
	if ((queue = malloc(room)) == NULL)
		return false;
	if (have > 0)
		memcpy(queue, ipc->queue + ipc->out_at, have);
	if (ipc->queue != NULL)
		sodium_memzero(ipc->queue, ipc->out_room);
	free(ipc->queue);
	ipc->queue = queue;
	ipc->out_room = room;
	ipc->out_at = 0;
	ipc->out_end = have;
	return true;
}

static void
keep(struct kmn_ipc *ipc, const struct iovec *parts, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (parts[i].iov_len > 0)
			memcpy(ipc->queue + ipc->out_end, parts[i].iov_base, parts[i].iov_len);
		ipc->out_end += parts[i].iov_len;
	}
}

kmn_err
kmn_ipc_queue(struct kmn_ipc *ipc, uint8_t kind, const void *body, size_t len_bytes)
{
	uint8_t head[KMN_INBOX_HEAD_BYTES];
	struct iovec parts[2];
	kmn_err e;

	if ((e = lay_out(head, kind, body, len_bytes, parts)) != KMN_OK || (e = kmn_ipc_flush(ipc)) != KMN_OK)
		return e;
	if (left(parts, 2) > ipc->queue_max || kmn_ipc_queued_bytes(ipc) > ipc->queue_max - left(parts, 2))
		return KMN_E_TOO_BIG;
	/* room first: once a byte is out, the rest must find its place */
	if (!make_room(ipc, left(parts, 2)))
		return KMN_E_NO_MEMORY;
	if (kmn_ipc_queued_bytes(ipc) == 0) {
		e = send_all(ipc->fd, parts, 2, -1, false);
		if (e != KMN_OK && e != KMN_E_AGAIN)
			return e;
	}
	keep(ipc, parts, 2);
	return KMN_OK;
}

kmn_err
kmn_ipc_send_writer(struct kmn_ipc *ipc, uint8_t kind, struct kmn_writer *w)
{
	kmn_err e = w->err;

	if (e == KMN_OK)
		e = kmn_ipc_send(ipc, kind, w->bytes, w->len, -1);
	kmn_writer_reset(w);
	return e;
}

kmn_err
kmn_ipc_queue_writer(struct kmn_ipc *ipc, uint8_t kind, struct kmn_writer *w)
{
	kmn_err e = w->err;

	if (e == KMN_OK)
		e = kmn_ipc_queue(ipc, kind, w->bytes, w->len);
	kmn_writer_reset(w);
	return e;
}

/* Keeps the one descriptor a message may bring; closes all and fails on any more. */
static kmn_err
keep_fds(struct kmn_ipc *ipc, struct msghdr *m)
{
	kmn_err e = (m->msg_flags & MSG_CTRUNC) != 0 ? KMN_E_MALFORMED : KMN_OK;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		size_t n = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
			       ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
			       : 0;

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (e == KMN_OK && ipc->in_fd < 0) {
				ipc->in_fd = fd;
			} else {
				close(fd);
				e = KMN_E_MALFORMED;
			}
		}
	}
	return e;
}

/* Reads once, without waiting. */
static kmn_err
read_some(struct kmn_ipc *ipc)
{
	union {
		struct cmsghdr head;
		uint8_t room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part;
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
	uint8_t *at;
	ssize_t got;
	kmn_err e;

	if ((e = kmn_inbox_space(&ipc->in, &at, &part.iov_len)) != KMN_OK)
		return e;
	part.iov_base = at;
	if (ipc->takes_fds) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof(control.room);
	}
	do
		got = recvmsg(ipc->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		e = io_error();
	else if (got == 0)
		e = KMN_E_CLOSED;
	if (e == KMN_E_CLOSED && ipc->in.have > 0)
		e = KMN_E_TRUNCATED;
	if (e != KMN_OK || (e = keep_fds(ipc, &m)) != KMN_OK)
		return e;
	return kmn_inbox_add(&ipc->in, (size_t)got);
}

static void
hand_out(struct kmn_ipc *ipc, struct kmn_ipc_message *message_out)
{
	message_out->kind = kmn_inbox_type(&ipc->in);
	message_out->body = kmn_inbox_body(&ipc->in);
	message_out->len_bytes = kmn_inbox_body_bytes(&ipc->in);
	message_out->fd = ipc->in_fd;
	ipc->in_fd = -1;
	ipc->handed_out = true;
}

kmn_err
kmn_ipc_poll(struct kmn_ipc *ipc, struct kmn_ipc_message *message_out)
{
	kmn_err e;

	*message_out = (struct kmn_ipc_message){.fd = -1};
	if (ipc->handed_out) {
		kmn_inbox_reset(&ipc->in);
		ipc->handed_out = false;
	}
	while (!kmn_inbox_complete(&ipc->in))
		if ((e = read_some(ipc)) != KMN_OK)
			return e;
	hand_out(ipc, message_out);
	return KMN_OK;
}

kmn_err
kmn_ipc_receive(struct kmn_ipc *ipc, struct kmn_ipc_message *message_out)
{
	kmn_err e;

	while ((e = kmn_ipc_poll(ipc, message_out)) == KMN_E_AGAIN)
		if ((e = wait_for(ipc->fd, POLLIN)) != KMN_OK)
			return e;
	return e;
}
