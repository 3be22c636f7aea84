/* What the parts of the rig share; tests include rig.h. */
#ifndef KANMON_TESTS_KEEPER_RIG_PARTS_H
#define KANMON_TESTS_KEEPER_RIG_PARTS_H

#include "tests/unit/keeper/rig.h"

#define ORIGIN "kanmon.example/gw1/2026"
#define WAIT_MS 60000 /* a busy machine takes long; who fails for another reason has ended before */
#define PIN "1234"

struct rig_told {
	uint32_t tag, error;
	uint8_t session[16];
	char *text;
	bool came;
};

int64_t rig_now_ms(void);
/* The log key of the rig's ledger, and its vkey as text. */
void rig_log_key_text(uint8_t secret[KMN_ED25519_SECRET_BYTES], char vkey_text[KMN_VKEY_MAX_BYTES]);
/* A message of the supervisor (KMN_S_*); text NULL and fd -1: without. */
void rig_tell_keeper(struct rig *rig, uint8_t kind, uint32_t id, const char *text, int fd);
/* What the supervisor does when the keeper wants a worker; r stands behind the id. */
void rig_spawn(struct rig *rig, uint32_t id, struct kmn_reader *r);
void rig_worker_gone(struct rig *rig, struct rig_worker *w, bool say);
void rig_bring_console(struct rig *rig);

#endif
