/* The rig stands between the processes: it passes each message on, and sees it first. */
#include "config.h"

#include "tests/unit/keeper/rig_parts.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kanmon/console.h"
#include "tests/unit/run.h"

/* ---- passing messages on ----------------------------------------------------------------------------------------- */

static void
from_supervised(struct rig *rig)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;

	while (rig->supervisor != NULL && kmn_ipc_poll(rig->supervisor, &m) == KMN_OK) {
		kmn_reader_init(&r, m.body, m.len_bytes);
		if (m.kind == KMN_S_SERVING)
			rig->serving = true;
		else if (m.kind == KMN_S_SPAWN)
			rig_spawn(rig, kmn_reader_u32(&r), &r);
	}
}

static void
from_gate(struct rig *rig)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;

	while (rig->gate != NULL && kmn_ipc_poll(rig->gate, &m) == KMN_OK) {
		const uint8_t *body;
		uint32_t conn;

		kmn_reader_init(&r, m.body, m.len_bytes);
		if (m.kind == KMN_K_PINS) {
			rig->pinned = true;
			continue;
		}
		conn = kmn_reader_u32(&r);
		if (m.kind == KMN_K_CLOSE) {
			rig->closed[conn % RIG_CONNS] = true;
		} else if (rig->frames < RIG_FRAMES) {
			struct rig_frame *f = &rig->frame[rig->frames++];

			f->conn = conn;
			f->type = kmn_reader_u8(&r);
			f->len = kmn_reader_rest(&r, &body);
			CU_ASSERT_TRUE_FATAL(f->len <= sizeof(f->body));
			memcpy(f->body, body, f->len);
		}
	}
}

static void
pass_on(struct rig *rig, struct rig_worker *w, bool to_worker)
{
	struct kmn_ipc *from = to_worker ? w->keeper : w->worker;
	struct kmn_ipc_message m;
	kmn_err e;

	while ((e = kmn_ipc_poll(from, &m)) == KMN_OK) {
		if (w->watching || (rig->spy != NULL && !rig->spy(rig, w, to_worker, &m)))
			continue;
		if (kmn_ipc_send(to_worker ? w->worker : w->keeper, m.kind, m.body, m.len_bytes, -1) != KMN_OK)
			break;
	}
	if (e != KMN_E_AGAIN)
		rig_worker_gone(rig, w, rig->supervisor != NULL);
}

static void
from_courier(struct rig *rig)
{
	struct kmn_ipc_message m;
	kmn_err e;

	while ((e = kmn_ipc_poll(rig->courier, &m)) == KMN_OK)
		if (rig->plan.errand != NULL)
			rig->plan.errand(rig, &m);
	if (e != KMN_E_AGAIN) {
		kmn_ipc_free(rig->courier);
		rig->courier = NULL;
	}
}

static void
console_answer(struct rig *rig, struct kmn_reader *r)
{
	uint32_t tag = kmn_reader_u32(r), error = kmn_reader_u32(r);
	uint8_t session[16];
	const uint8_t *text;
	size_t len;

	kmn_reader_raw(r, session, sizeof(session));
	len = kmn_reader_bytes(r, KMN_UI_ANSWER_MAX_BYTES, &text);
	CU_ASSERT_EQUAL(kmn_reader_end(r), KMN_OK);
	if (rig->told == NULL || rig->told->tag != tag)
		return;
	rig->told->came = true;
	rig->told->error = error;
	memcpy(rig->told->session, session, sizeof(session));
	rig->told->text = strndup((const char *)text, len);
}

static void
from_console(struct rig *rig)
{
	struct kmn_ipc_message m;
	struct kmn_reader r;
	kmn_err e;

	while ((e = kmn_ipc_poll(rig->console, &m)) == KMN_OK) {
		kmn_reader_init(&r, m.body, m.len_bytes);
		if (m.kind == KMN_CONSOLE_ANSWER) {
			console_answer(rig, &r);
		} else if (m.kind == KMN_CONSOLE_EVENT) {
			kmn_reader_text(&r, rig->event, sizeof(rig->event));
			rig->events++;
		} else {
			CU_ASSERT_EQUAL(m.kind, KMN_CONSOLE_ENDED);
			kmn_reader_raw(&r, rig->signed_out, sizeof(rig->signed_out));
		}
	}
	if (e != KMN_E_AGAIN) {
		kmn_ipc_free(rig->console);
		rig->console = NULL;
	}
}

void
rig_bring_console(struct rig *rig)
{
	int pair[2];

	kmn_ipc_free(rig->console);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	CU_ASSERT_EQUAL_FATAL(kmn_ipc_new(pair[0], 1 << 22, &rig->console), KMN_OK);
	rig_tell_keeper(rig, KMN_S_CONSOLE, 0, "start", pair[1]);
	close(pair[1]);
}

void
rig_console_again(struct rig *rig)
{
	rig_bring_console(rig);
}

void
rig_pump(struct rig *rig, int ms)
{
	struct pollfd fds[4 + 2 * RIG_WORKERS];
	nfds_t n = 0;

	fds[n++] = (struct pollfd){.fd = rig->supervisor != NULL ? kmn_ipc_fd(rig->supervisor) : -1, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = rig->gate != NULL ? kmn_ipc_fd(rig->gate) : -1, .events = POLLIN};
	for (size_t i = 0; i < RIG_WORKERS; i++) {
		struct rig_worker *w = &rig->worker[i];

		fds[n++] = (struct pollfd){.fd = w->pid != 0 ? kmn_ipc_fd(w->keeper) : -1, .events = POLLIN};
		fds[n++] = (struct pollfd){.fd = w->pid > 0 ? kmn_ipc_fd(w->worker) : -1, .events = POLLIN};
	}
	fds[n++] = (struct pollfd){.fd = rig->courier != NULL ? kmn_ipc_fd(rig->courier) : -1, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = rig->console != NULL ? kmn_ipc_fd(rig->console) : -1, .events = POLLIN};
	if (poll(fds, n, ms) <= 0)
		return;
	if (fds[n - 2].revents != 0)
		from_courier(rig);
	if (fds[n - 1].revents != 0)
		from_console(rig);
	if (fds[0].revents != 0)
		from_supervised(rig);
	if (fds[1].revents != 0)
		from_gate(rig);
	for (size_t i = 0; i < RIG_WORKERS; i++) {
		if (fds[2 + 2 * i].revents != 0 && rig->worker[i].pid != 0)
			pass_on(rig, &rig->worker[i], true);
		if (fds[3 + 2 * i].revents != 0 && rig->worker[i].pid != 0)
			pass_on(rig, &rig->worker[i], false);
	}
}

int64_t
rig_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

bool
rig_gone(const struct rig *rig)
{
	siginfo_t gone = {.si_pid = 0};

	return waitid(P_PID, (id_t)rig->keeper, &gone, WEXITED | WNOHANG | WNOWAIT) == 0 && gone.si_pid != 0;
}

bool
rig_expect(struct rig *rig, uint32_t conn, uint8_t type, struct rig_frame *frame)
{
	int64_t until = rig_now_ms() + WAIT_MS;
	bool gone;

	do {
		gone = rig_gone(rig); /* what it said before is there still, and is read below */
		if (gone)
			rig_pump(rig, 0);
		for (size_t i = 0; i < rig->frames; i++) {
			if (rig->frame[i].conn != conn || rig->frame[i].type != type)
				continue;
			if (frame != NULL)
				*frame = rig->frame[i];
			memmove(&rig->frame[i], &rig->frame[i + 1], (--rig->frames - i) * sizeof(rig->frame[0]));
			return true;
		}
		if (!gone)
			rig_pump(rig, 100);
	} while (!gone && rig_now_ms() < until);
	return false;
}

bool
rig_expect_closed(struct rig *rig, uint32_t conn)
{
	int64_t until = rig_now_ms() + WAIT_MS;

	while (!rig->closed[conn % RIG_CONNS] && rig_now_ms() < until)
		rig_pump(rig, 100);
	return rig->closed[conn % RIG_CONNS];
}
