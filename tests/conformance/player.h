/* What the parts of a player share: the module, the registers, the call that is being made, the tape. */
#ifndef KANMON_TESTS_CONFORMANCE_PLAYER_H
#define KANMON_TESTS_CONFORMANCE_PLAYER_H

#include "kanmon/codec.h"
#include "kanmon/params.h"
#include "tests/conformance/memory.h"
#include "tests/conformance/play.h"
#include "tests/conformance/words.h"

#define CAP_MAX (1u << 20)
#define FOUND_MAX 512
#define OVERRUN_BYTES 2048 /* what a module may write too much and still hit nothing but a gap */
#define LENGTHS_MAX 64

/* A search: what it has found, until a call finds less than it asked for. */
struct search {
	CK_SESSION_HANDLE session;
	size_t count;
	char *found[FOUND_MAX];
};

struct player {
	const struct stage *stage;
	struct tape *tape;
	const uint8_t *functions; /* those of the function list, in the order of the rows */
	unsigned version;         /* of the list, as in the rows' `since` */
	struct words w;
	struct reg regs[REGS_MAX];
	size_t regs_kept; /* those of the prologue */
	bool initialised;
	bool raw; /* a case that begins without a session */
	CK_ULONG last_room[KMN_CALL_COUNT];
	struct {
		CK_ATTRIBUTE_TYPE type;
		CK_ULONG len;
	} length[LENGTHS_MAX];
	size_t length_count;
	struct search search[4];
	/* the call that is being made */
	const struct kmn_call *call;
	struct kmn_arg arg[KMN_CALL_ARGS_MAX];
	struct reg *gives[KMN_CALL_ARGS_MAX]; /* register that an argument's output goes to */
	CK_ULONG room[KMN_CALL_ARGS_MAX];     /* bytes or items of real memory behind p */
	bool token_object;                    /* a template says CKA_TOKEN */
	struct {
		struct reg *reg;
		const void *p;
		size_t size;
	} kept[4]; /* parts of a parameter that are remembered as they are after the call */
	size_t kept_count;
	CK_RV rv;
};
extern struct player play;

/* thunks.c: from a row to a call of a function of its shape; `function` points to the pointer to it. */
typedef CK_RV (*thunk)(const void *function, struct kmn_arg *a);
extern const thunk play_thunks[KMN_CALL_COUNT];

/* play.c: a call of the module beside those of the trace. */
CK_RV invoke(enum kmn_call_id id, struct kmn_arg *arg);

/* build.c: the words of argument i become memory; what is known of attributes' lengths. */
void build_arg(size_t i);
void remember_length(CK_ATTRIBUTE_TYPE type, CK_ULONG len);
CK_ULONG attribute_length(CK_ATTRIBUTE_TYPE type);

/* record.c: what a caller can see goes to the tape. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
void say_bytes(const char *name, const char *more, const uint8_t *bytes, size_t n);
void say_piece(void *cookie, const struct piece *p, const uint8_t *bytes);
void say_stray(void *cookie, const char *after, size_t offset, const uint8_t *bytes, size_t n);
CK_ULONG load(const void *at);
/* What of argument i was written. */
void record_arg(size_t i);
/* What a call does to the registers. */
void follow_call(enum kmn_call_id id);
void forget(struct search *s);

#endif
