/* The supervisor: it brings the other processes' sockets, tells of workers, and says when to stop. */
#include "config.h"

#include "server/keeper/activation.h"
#include "server/keeper/state.h"

#define STOP_WAIT_MS 5000
#define RUNNER_QUEUE_BYTES (2u << 20) /* one job, with its file */

/* Whom it brings: a socket, and why it was started. */
static const struct peer {
	uint8_t kind;
	uint32_t queue_bytes;
	const char *missing;
	void (*take)(struct kmn_keeper *k, struct kmn_ipc *peer, const char *why);
} peers[] = {
    {KMN_S_GATE, 64u << 20, "the supervisor brings no gate", kmn_gatelink_take},
    {KMN_S_COURIER, 4u << 20, "the supervisor brings no courier", kmn_courierlink_take},
    {KMN_S_CONSOLE, 64u << 20, "the supervisor brings no console", kmn_consolelink_take},
};

static void
told_peer(struct kmn_keeper *k, const struct peer *peer, struct kmn_reader *r, int fd)
{
	struct kmn_ipc *ipc;
	char why[256];

	kmn_reader_text(r, why, sizeof(why));
	if (kmn_reader_end(r) != KMN_OK || fd < 0 || kmn_ipc_new(fd, peer->queue_bytes, &ipc) != KMN_OK)
		kmn_keeper_fail(k, peer->missing);
	else
		peer->take(k, ipc, why);
}

static void
told_runner(struct kmn_keeper *k, struct kmn_reader *r, int fd)
{
	struct kmn_ipc *runner;
	unsigned place;
	char why[256];

	kmn_reader_text(r, why, sizeof(why));
	place = kmn_reader_u8(r);
	if (kmn_reader_end(r) != KMN_OK || fd < 0 || place >= KMN_RUNNERS ||
	    kmn_ipc_new(fd, RUNNER_QUEUE_BYTES, &runner) != KMN_OK)
		kmn_keeper_fail(k, "the supervisor brings no runner");
	else
		kmn_runnerlink_take(k, place, runner, why);
}

static void
told_stop(struct kmn_keeper *k, struct kmn_reader *r)
{
	kmn_reader_text(r, k->stop_reason, sizeof(k->stop_reason));
	k->stopping = true;
	k->stop_at_ms = kmn_keeper_boot_ms() + STOP_WAIT_MS;
}

static void
supervisor_message(struct kmn_keeper *k, const struct kmn_ipc_message *m)
{
	struct kmn_reader r;
	uint32_t id;
	char text[256];

	kmn_reader_init(&r, m->body, m->len_bytes);
	for (size_t i = 0; i < KMN_COUNT_OF(peers); i++) {
		if (peers[i].kind == m->kind) {
			told_peer(k, &peers[i], &r, m->fd);
			return;
		}
	}
	switch (m->kind) {
	case KMN_S_RUNNER:
		told_runner(k, &r, m->fd);
		return;
	case KMN_S_STOP:
		told_stop(k, &r);
		return;
	case KMN_S_SEALED_PINS:
		kmn_activation_anew(k, &r);
		return;
	case KMN_S_SPAWNED:
		kmn_workerlink_spawned(k, kmn_reader_u32(&r), m->fd);
		return;
	default: /* FAILED, EXITED */
		id = kmn_reader_u32(&r);
		kmn_reader_text(&r, text, sizeof(text));
		kmn_workerlink_exited(k, id, text);
	}
}

void
kmn_supervisorlink_readable(struct kmn_keeper *k)
{
	struct kmn_ipc_message m;
	kmn_err e;

	while ((e = kmn_ipc_poll(k->supervisor, &m)) == KMN_OK)
		supervisor_message(k, &m);
	if (e != KMN_E_AGAIN)
		kmn_keeper_fail(k, "the supervisor is gone");
}
