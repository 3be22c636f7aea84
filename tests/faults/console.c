/*
 * A PKCS#11 application that does what it is told, a line at a time, and says what came of it:
 *
 *	init [PROFILE]  finalize             open S [ro]  close S  closeall  info S
 *	login S PIN [so|context]  logout S  setpin S OLD NEW
 *	find S K LABEL [public|secret]       the one object of that class (private key) with that label
 *	sign S K                             C_SignInit and C_Sign (CKM_SHA256_RSA_PKCS, or CKM_ECDSA if K begins with ec)
 *	begin S K  end S                     the same in two steps
 *	encrypt S K                          C_EncryptInit with CKM_AES_ECB, and C_Encrypt
 *	label S K                            CKA_LABEL of K
 *	destroy S K  getinfo  slots  slotinfo  waitevent [nonblock]
 *	fork LINE                            a child does LINE (its parts separated by ;) and ends; the parent waits
 *
 * S and K are names that the lines give to handles. Each line is answered by one: "0xRV", "0xRV WORD", and for fork
 * the child's answers on one line.
 */
#include "config.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kanmon/base.h"
#include "tests/faults/client.h"

#define DEADLINE_S 300
#define NAMES_MAX 64
#define WORDS_MAX 8

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static char extra[128]; /* what a line tells beside its CK_RV */

static struct {
	char name[16];
	CK_ULONG handle;
} names[NAMES_MAX];

static CK_ULONG *
handle_of(const char *name)
{
	size_t i;

	for (i = 0; i < NAMES_MAX - 1 && names[i].name[0] != '\0' && strcmp(names[i].name, name) != 0; i++)
		;
	if (names[i].name[0] == '\0')
		(void)snprintf(names[i].name, sizeof(names[i].name), "%s", name);
	return &names[i].handle;
}

/* ---- what a line can ask for; w[] are its words, w[0] the name, NULL after the last ------------------------------- */

static CK_RV
on_init(char **w)
{
	char profile[512] = "";
	CK_C_INITIALIZE_ARGS args = {.flags = CKF_OS_LOCKING_OK, .pReserved = profile};

	for (size_t i = 1; w[i] != NULL; i++) {
		(void)strncat(profile, w[i], sizeof(profile) - strlen(profile) - 2);
		(void)strcat(profile, " ");
	}
	return p11->C_Initialize(&args);
}

static CK_RV
on_finalize(char **w)
{
	(void)w;
	return p11->C_Finalize(NULL);
}

/* Whether CK_INFO is what it was before, to the last byte. */
static CK_RV
on_getinfo(char **w)
{
	static CK_INFO before;
	static bool known;
	CK_INFO info;
	CK_RV rv;

	(void)w;
	memset(&info, 0x5a, sizeof(info)); /* what is between the fields stays as it is */
	rv = p11->C_GetInfo(&info);
	(void)snprintf(
	    extra, sizeof(extra), "%s", !known || memcmp(&info, &before, sizeof(info)) == 0 ? "same" : "other");
	known = true;
	before = info;
	return rv;
}

/* The slot with the token $TOKEN. */
static CK_RV
on_slots(char **w)
{
	const char *label = getenv("TOKEN");
	CK_SLOT_ID slots[32];
	CK_ULONG n = KMN_COUNT_OF(slots);
	CK_TOKEN_INFO info;
	char padded[33];
	CK_RV rv = p11->C_GetSlotList(CK_TRUE, slots, &n);

	(void)w;
	(void)snprintf(padded, sizeof(padded), "%-32s", label != NULL ? label : "");
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
		rv = p11->C_GetTokenInfo(slots[i], &info);
		if (rv == CKR_OK && memcmp(info.label, padded, sizeof(info.label)) == 0)
			slot = slots[i];
	}
	return rv;
}

static CK_RV
on_slotinfo(char **w)
{
	CK_SLOT_INFO info;
	CK_RV rv = p11->C_GetSlotInfo(slot, &info);

	(void)w;
	if (rv == CKR_OK)
		(void)snprintf(
		    extra, sizeof(extra), "%s", (info.flags & CKF_TOKEN_PRESENT) != 0 ? "present" : "absent");
	return rv;
}

static CK_RV
on_open(char **w)
{
	CK_FLAGS flags = CKF_SERIAL_SESSION | (w[2] == NULL ? CKF_RW_SESSION : 0);

	return p11->C_OpenSession(slot, flags, NULL, NULL, handle_of(w[1]));
}

static CK_RV
on_close(char **w)
{
	return p11->C_CloseSession(*handle_of(w[1]));
}

static CK_RV
on_closeall(char **w)
{
	(void)w;
	return p11->C_CloseAllSessions(slot);
}

static CK_RV
on_info(char **w)
{
	CK_SESSION_INFO info;
	CK_RV rv = p11->C_GetSessionInfo(*handle_of(w[1]), &info);

	if (rv == CKR_OK)
		(void)snprintf(extra, sizeof(extra), "state %lu flags %lu", info.state, info.flags);
	return rv;
}

static CK_RV
on_login(char **w)
{
	CK_USER_TYPE type = w[3] == NULL ? CKU_USER : strcmp(w[3], "so") == 0 ? CKU_SO : CKU_CONTEXT_SPECIFIC;

	return p11->C_Login(*handle_of(w[1]), type, (CK_UTF8CHAR *)w[2], strlen(w[2]));
}

static CK_RV
on_logout(char **w)
{
	return p11->C_Logout(*handle_of(w[1]));
}

static CK_RV
on_setpin(char **w)
{
	return p11->C_SetPIN(*handle_of(w[1]), (CK_UTF8CHAR *)w[2], strlen(w[2]), (CK_UTF8CHAR *)w[3], strlen(w[3]));
}

static CK_RV
on_find(char **w)
{
	CK_OBJECT_CLASS class = w[4] == NULL                  ? CKO_PRIVATE_KEY
				: strcmp(w[4], "secret") == 0 ? CKO_SECRET_KEY
							      : CKO_PUBLIC_KEY;
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, w[3], strlen(w[3])}};
	CK_SESSION_HANDLE session = *handle_of(w[1]);
	CK_ULONG n = 0;
	CK_RV rv = p11->C_FindObjectsInit(session, template, KMN_COUNT_OF(template));

	if (rv == CKR_OK)
		rv = p11->C_FindObjects(session, handle_of(w[2]), 1, &n);
	if (rv == CKR_OK)
		rv = p11->C_FindObjectsFinal(session);
	return rv == CKR_OK && n == 0 ? CKR_KEY_HANDLE_INVALID : rv;
}

static CK_RV
on_begin(char **w)
{
	CK_MECHANISM mechanism = {strncmp(w[2], "ec", 2) == 0 ? CKM_ECDSA : CKM_SHA256_RSA_PKCS, NULL, 0};

	return p11->C_SignInit(*handle_of(w[1]), &mechanism, *handle_of(w[2]));
}

static CK_RV
on_end(char **w)
{
	CK_BYTE data[32] = {1}, signature[SIGNATURE_MAX_BYTES];
	CK_ULONG len = sizeof(signature);

	return p11->C_Sign(*handle_of(w[1]), data, sizeof(data), signature, &len);
}

static CK_RV
on_sign(char **w)
{
	CK_RV rv = on_begin(w);

	return rv == CKR_OK ? on_end(w) : rv;
}

static CK_RV
on_encrypt(char **w)
{
	CK_MECHANISM mechanism = {CKM_AES_ECB, NULL, 0};
	CK_BYTE data[16] = {1}, out[64];
	CK_ULONG len = sizeof(out);
	CK_RV rv = p11->C_EncryptInit(*handle_of(w[1]), &mechanism, *handle_of(w[2]));

	return rv == CKR_OK ? p11->C_Encrypt(*handle_of(w[1]), data, sizeof(data), out, &len) : rv;
}

static CK_RV
on_label(char **w)
{
	CK_ATTRIBUTE a = {CKA_LABEL, extra, sizeof(extra) - 1};
	CK_RV rv = p11->C_GetAttributeValue(*handle_of(w[1]), *handle_of(w[2]), &a, 1);

	extra[rv == CKR_OK ? a.ulValueLen : 0] = '\0';
	return rv;
}

static CK_RV
on_destroy(char **w)
{
	return p11->C_DestroyObject(*handle_of(w[1]), *handle_of(w[2]));
}

static CK_RV
on_waitevent(char **w)
{
	CK_SLOT_ID event = 0;
	CK_RV rv = p11->C_WaitForSlotEvent(w[1] != NULL ? CKF_DONT_BLOCK : 0, &event, NULL);

	if (rv == CKR_OK)
		(void)snprintf(extra, sizeof(extra), "%s", event == slot ? "ours" : "another");
	return rv;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	CK_RV (*run)(char **w);
	size_t words; /* after the name, at least */
} commands[] = {
    {"init", on_init, 0},
    {"finalize", on_finalize, 0},
    {"getinfo", on_getinfo, 0},
    {"slots", on_slots, 0},
    {"slotinfo", on_slotinfo, 0},
    {"open", on_open, 1},
    {"close", on_close, 1},
    {"closeall", on_closeall, 0},
    {"info", on_info, 1},
    {"login", on_login, 2},
    {"logout", on_logout, 1},
    {"setpin", on_setpin, 3},
    {"find", on_find, 3},
    {"sign", on_sign, 2},
    {"begin", on_begin, 2},
    {"end", on_end, 1},
    {"encrypt", on_encrypt, 2},
    {"label", on_label, 2},
    {"destroy", on_destroy, 2},
    {"waitevent", on_waitevent, 0},
};

/* False: there is no such command. */
static bool
obey(char *line)
{
	char *word[WORDS_MAX + 1] = {NULL}, *state = NULL;
	size_t n = 0;

	for (char *w = strtok_r(line, " \t\n", &state); w != NULL && n < WORDS_MAX; w = strtok_r(NULL, " \t\n", &state))
		word[n++] = w;
	extra[0] = '\0';
	for (size_t i = 0; n > 0 && i < KMN_COUNT_OF(commands); i++) {
		CK_RV rv;

		if (strcmp(word[0], commands[i].name) != 0 || n <= commands[i].words)
			continue;
		rv = commands[i].run(word);
		printf("0x%lx%s%s", rv, extra[0] != '\0' ? " " : "", extra);
		return true;
	}
	return false;
}

static bool
obey_in_child(char *lines)
{
	char *state = NULL;
	bool first = true;
	int status;
	pid_t pid;

	(void)fflush(stdout);
	if ((pid = fork()) != 0)
		return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	for (char *line = strtok_r(lines, ";", &state); line != NULL; line = strtok_r(NULL, ";", &state)) {
		(void)printf("%s", first ? "" : ", ");
		first = false;
		if (!obey(line))
			_exit(1);
	}
	(void)fflush(stdout);
	_exit(0);
}

int
main(void)
{
	static char line[1024];
	struct client c;

	(void)alarm(DEADLINE_S);
	if (client_load(&c) != 0)
		return 2;
	p11 = c.p11;
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (!(strncmp(line, "fork ", 5) == 0 ? obey_in_child(line + 5) : obey(line)))
			return 2;
		(void)printf("\n");
		(void)fflush(stdout);
	}
	return 0;
}
