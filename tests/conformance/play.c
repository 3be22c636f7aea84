#define _GNU_SOURCE
#include "tests/conformance/play.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/conformance/player.h"

struct player play;

/* ---- the call ------------------------------------------------------------------------------------------------ */

static bool
has_function(enum kmn_call_id id)
{
	return play.call->since <= play.version && load(play.functions + id * sizeof(void *)) != 0;
}

CK_RV
invoke(enum kmn_call_id id, struct kmn_arg *arg)
{
	return play_thunks[id](play.functions + id * sizeof(void *), arg);
}

static void
make_call(enum kmn_call_id id)
{
	memset(play.gives, 0, sizeof(play.gives));
	memset(play.room, 0, sizeof(play.room));
	play.token_object = false;
	play.kept_count = 0;
	for (size_t i = 0; i < play.call->param_count; i++) {
		words_take(&play.w, " ");
		build_arg(i);
	}
	if (!has_function(id)) {
		say("rv=absent\n");
		return;
	}
	memory_mark();
	play.rv = invoke(id, play.arg);
	if (kmn_rv_name(play.rv) != NULL)
		say("rv=%s\n", kmn_rv_name(play.rv));
	else
		say("rv=0x%lx\n", play.rv);
	for (size_t i = 0; i < play.call->param_count; i++)
		record_arg(i);
	memory_changes(say_piece, say_stray, NULL);
	for (size_t i = 0; i < play.kept_count; i++) {
		play.kept[i].reg->len = play.kept[i].size;
		memcpy(play.kept[i].reg->bytes, play.kept[i].p, play.kept[i].size);
	}
	follow_call(id);
}

/* ---- cases --------------------------------------------------------------------------------------------------- */

static void
play_line(const char *line, unsigned number)
{
	char name[64];
	size_t n = strcspn(line, " \n");

	play.tape->line = number;
	if (n == 0 || *line == '#')
		return;
	if (strncmp(line, "world ", 6) == 0) {
		play.raw = strncmp(line + 6, "raw", 3) == 0;
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)n, line);
	if ((play.call = kmn_call_by_name(name)) == NULL) {
		fprintf(stderr, "no function %s\n", name);
		exit(70);
	}
	say("%u %s\n", number, name);
	play.w.at = line + n;
	make_call(kmn_call_id_of(play.call));
}

static void
play_text(const char *text)
{
	char line[PLAY_CASE_BYTES];
	unsigned number = 0;

	for (; *text != '\0'; number++) {
		size_t n = strcspn(text, "\n");

		snprintf(line, sizeof(line), "%.*s", (int)n, text);
		play_line(line, number);
		text += n + (text[n] == '\n');
	}
}

static void
tidy_line(const char *call, const char *name)
{
	char line[128];

	snprintf(line, sizeof(line), "%s %s", call, name);
	play_line(line, play.tape->line + 1);
}

/* Ends a case: what it made on the token goes, its sessions are closed. */
static void
tidy(void)
{
	if (!play.initialised)
		play_line("C_Initialize std", play.tape->line + 1);
	for (size_t i = play.regs_kept; i < play.w.reg_count; i++)
		if (play.regs[i].is_set && !play.regs[i].dead && play.regs[i].name[0] == 'o' && play.regs[i].len == 1)
			tidy_line("C_DestroyObject base", play.regs[i].name);
	if (play.raw) {
		play_line("C_CloseAllSessions slot", play.tape->line + 1);
		play_line("C_CloseAllSessions slot", play.tape->line + 1);
	}
	for (size_t i = play.regs_kept; i < play.w.reg_count && !play.raw; i++)
		if (play.regs[i].is_set && !play.regs[i].dead && play.regs[i].name[0] == 's')
			tidy_line("C_CloseSession", play.regs[i].name);
}

static void
play_case(const char *text)
{
	play.tape->len = 0;
	play.tape->line = 0;
	play.w.reg_count = play.regs_kept;
	play.length_count = 0;
	for (size_t i = 0; i < KMN_CALL_COUNT; i++)
		play.last_room[i] = 64;
	for (size_t i = 0; i < KMN_COUNT_OF(play.search); i++) {
		forget(&play.search[i]);
		play.search[i].session = 0;
	}
	memory_begin();
	play_text(text);
	tidy();
}

/* ---- the process --------------------------------------------------------------------------------------------- */

/* The newest list that the module has; its functions begin behind the version, aligned. */
static const void *
newest_list(void *handle)
{
	CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
	CK_RV (*get_interface)(CK_UTF8CHAR_PTR, CK_VERSION_PTR, CK_INTERFACE_PTR_PTR, CK_FLAGS);
	void *symbol = dlsym(handle, "C_GetInterface");
	CK_FUNCTION_LIST *list = NULL;
	CK_INTERFACE *interface = NULL;

	if (symbol != NULL) {
		memcpy(&get_interface, &symbol, sizeof(get_interface));
		if (get_interface(NULL, NULL, &interface, 0) == CKR_OK && interface != NULL)
			return interface->pFunctionList;
	}
	if ((symbol = dlsym(handle, "C_GetFunctionList")) == NULL)
		return NULL;
	memcpy(&get, &symbol, sizeof(get));
	return get(&list) == CKR_OK ? list : NULL;
}

static void
load_module(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const CK_FUNCTION_LIST *list = handle != NULL ? newest_list(handle) : NULL;

	if (list == NULL) {
		fprintf(stderr, "%s: %s\n", path, dlerror());
		exit(70);
	}
	play.version = (unsigned)list->version.major << 8 | list->version.minor;
	if (play.version < 0x0228)
		play.version = 0x0228;
	say("version=0x%x\n", play.version);
	play.functions = (const uint8_t *)list + offsetof(CK_FUNCTION_LIST, C_Initialize);
}

/* Slots: the one of the token, and another. */
static void
find_slots(void)
{
	CK_SLOT_ID slots[64] = {0};
	CK_ULONG n = KMN_COUNT_OF(slots);
	struct kmn_arg list[] = {{.u = CK_FALSE}, {.p = slots, .n = &n}};
	size_t len = strlen(play.stage->label);

	play.w.slot[0] = play.w.slot[1] = 0x7777;
	if (invoke(KMN_C_GetSlotList, list) != CKR_OK)
		return;
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info;
		struct kmn_arg arg[] = {{.u = slots[i]}, {.p = &info}};
		bool is = invoke(KMN_C_GetTokenInfo, arg) == CKR_OK && len < sizeof(info.label) &&
			  memcmp(info.label, play.stage->label, len) == 0 && info.label[len] == ' ';

		play.w.slot[!is] = slots[i];
	}
}

static void
start(void)
{
	play.w.regs = play.regs;
	play.w.attribute_length = attribute_length;
	if (!memory_map()) {
		fprintf(stderr, "the address of the traces' memory is taken\n");
		exit(70);
	}
	play.tape->len = 0;
	play.tape->line = 0;
	load_module(play.stage->module);
	play_line("C_Initialize std", 0);
	find_slots();
	say("slots=0x%lx,0x%lx\n", play.w.slot[0], play.w.slot[1]);
	play_text(play.stage->prologue);
	play.regs_kept = play.w.reg_count;
}

_Noreturn void
play_process(const struct stage *stage, const char *text, struct tape *tape, int fd)
{
	char c = 's';

	play.stage = stage;
	play.tape = tape;
	start();
	while (write(fd, &c, 1) == 1 && read(fd, &c, 1) == 1)
		play_case(text);
	play_line("C_Finalize NULL", 0);
	_exit(0);
}
