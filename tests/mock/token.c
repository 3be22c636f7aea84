/* The library, its slots and tokens, sessions and logins. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/mock/mock.h"

static void
setting(const char *name, const char *otherwise, char *out, size_t size_bytes)
{
	const char *value = getenv(name);

	snprintf(out, size_bytes, "%s", value == NULL ? otherwise : value);
}

static unsigned
number(const char *name, unsigned otherwise)
{
	const char *value = getenv(name);

	return value == NULL ? otherwise : (unsigned)strtoul(value, NULL, 10);
}

static void
read_settings(struct mock_settings *s)
{
	static const struct {
		const char *word;
		unsigned bit;
	} words[] = {{"attributes", MOCK_OVER_ATTRIBUTES}, {"slots", MOCK_OVER_SLOTS},
	    {"signature", MOCK_OVER_SIGNATURE}, {"lengths", MOCK_OVER_LENGTHS}, {"find", MOCK_OVER_FIND},
	    {"mechanisms", MOCK_OVER_MECHANISMS}, {"output", MOCK_OVER_OUTPUT}, {"params", MOCK_OVER_PARAMS},
	    {"far", MOCK_OVER_FAR}};
	char overrun[128];

	setting("KMN_MOCK_LOG", "", s->log, sizeof(s->log));
	setting("KMN_MOCK_PIN", "1234", s->pin, sizeof(s->pin));
	setting("KMN_MOCK_SO_PIN", "12345678", s->so_pin, sizeof(s->so_pin));
	setting("KMN_MOCK_CRASH", "", s->crash, sizeof(s->crash));
	setting("KMN_MOCK_KEY", "", s->key, sizeof(s->key));
	setting("KMN_MOCK_USERNAME", "operator", s->username, sizeof(s->username));
	setting("KMN_MOCK_DROP", "", s->drop, sizeof(s->drop));
	setting("KMN_MOCK_EVENTS", "", s->events, sizeof(s->events));
	setting("KMN_MOCK_OVERRUN", "", overrun, sizeof(overrun));
	s->slots = number("KMN_MOCK_SLOTS", 1) >= MOCK_SLOTS ? MOCK_SLOTS : number("KMN_MOCK_SLOTS", 1);
	s->sessions = number("KMN_MOCK_SESSIONS", MOCK_SESSIONS);
	s->secrets = number("KMN_MOCK_SECRETS", 0);
	s->level = number("KMN_MOCK_LEVEL", 0);
	s->late = number("KMN_MOCK_LATE", 0) != 0;
	s->sticky = number("KMN_MOCK_STICKY", 0) != 0;
	s->serial = number("KMN_MOCK_SERIAL", 0) != 0;
	s->delay_ms = number("KMN_MOCK_DELAY_MS", 0);
	s->overrun = 0;
	for (size_t i = 0; i < KMN_COUNT_OF(words); i++)
		if (strstr(overrun, words[i].word) != NULL)
			s->overrun |= words[i].bit;
}

CK_RV
mock_C_Initialize(CK_VOID_PTR args)
{
	(void)args;
	pthread_mutex_lock(&mock.lock);
	if (mock.initialised) {
		pthread_mutex_unlock(&mock.lock);
		return CKR_CRYPTOKI_ALREADY_INITIALIZED;
	}
	read_settings(&mock.settings);
	for (unsigned i = 0; i < MOCK_SLOTS; i++)
		snprintf(mock.token[i].label, sizeof(mock.token[i].label), "mock-%u", i + 1);
	mock.made = 0;
	mock.named = mock.events = 0;
	if (mock.settings.key[0] != '\0')
		mock_seed_key(mock.settings.key);
	mock_seed_secrets(mock.settings.secrets);
	mock_seed_validation(mock.settings.level);
	mock.initialised = true;
	pthread_mutex_unlock(&mock.lock);
	return CKR_OK;
}

void
mock_close_session(CK_SESSION_HANDLE handle)
{
	struct mock_session *s = mock.session[handle - 1];
	unsigned slot = s->slot;
	bool last = true;

	for (size_t i = 0; i < MOCK_OBJECTS; i++)
		if (mock.token[slot].object[i].used && mock.token[slot].object[i].session == handle)
			mock_object_clear(&mock.token[slot].object[i]);
	mock_sign_clear(&s->sign);
	for (size_t i = 0; i < MOCK_OPS; i++)
		mock_op_clear(&s->op[i]);
	free(s);
	mock.session[handle - 1] = NULL;
	for (size_t i = 0; i < MOCK_SESSIONS; i++)
		if (mock.session[i] != NULL && mock.session[i]->slot == slot)
			last = false;
	if (last)
		mock_logout(slot);
}

static void
close_all(unsigned slot)
{
	for (size_t i = 0; i < MOCK_SESSIONS; i++)
		if (mock.session[i] != NULL && mock.session[i]->slot == slot)
			mock_close_session((CK_SESSION_HANDLE)i + 1);
}

static void
clear_objects(unsigned slot)
{
	for (size_t i = 0; i < MOCK_OBJECTS; i++)
		mock_object_clear(&mock.token[slot].object[i]);
}

CK_RV
mock_C_Finalize(CK_VOID_PTR reserved)
{
	(void)reserved;
	pthread_mutex_lock(&mock.lock);
	if (!mock.initialised) {
		pthread_mutex_unlock(&mock.lock);
		return CKR_CRYPTOKI_NOT_INITIALIZED;
	}
	for (unsigned i = 0; i < MOCK_SLOTS; i++) {
		close_all(i);
		clear_objects(i);
	}
	mock.initialised = false;
	pthread_mutex_unlock(&mock.lock);
	return CKR_OK;
}

/* A field of fixed width, padded with blanks. */
static void
pad(CK_UTF8CHAR *field, size_t size, const char *text)
{
	memset(field, ' ', size);
	memcpy(field, text, strlen(text) < size ? strlen(text) : size);
}

CK_RV
mock_C_GetInfo(CK_INFO_PTR info)
{
	memset(info, 0, sizeof(*info));
	info->cryptokiVersion = (CK_VERSION){2, 40};
	info->libraryVersion = (CK_VERSION){1, 2};
	pad(info->manufacturerID, sizeof(info->manufacturerID), "kanmon");
	pad(info->libraryDescription, sizeof(info->libraryDescription), "module for tests");
	return CKR_OK;
}

bool
mock_slot(CK_SLOT_ID id, unsigned *index_out)
{
	for (unsigned i = 0; i < mock.settings.slots; i++)
		if (MOCK_SLOT_ID(i) == id) {
			*index_out = i;
			return true;
		}
	return false;
}

CK_RV
mock_C_GetSlotList(CK_BBOOL present, CK_SLOT_ID_PTR list, CK_ULONG_PTR count)
{
	CK_ULONG room = *count, n = 0;
	CK_SLOT_ID there[MOCK_SLOTS];

	pthread_mutex_lock(&mock.lock);
	mock_look_at_slots();
	for (unsigned i = 0; i < mock.settings.slots; i++)
		if (present == CK_FALSE || !mock.token[i].absent)
			there[n++] = MOCK_SLOT_ID(i);
	pthread_mutex_unlock(&mock.lock);
	*count = n;
	if (list == NULL)
		return CKR_OK;
	if (room < n && (mock.settings.overrun & MOCK_OVER_SLOTS) == 0)
		return CKR_BUFFER_TOO_SMALL;
	memcpy(list, there, n * sizeof(there[0]));
	return CKR_OK;
}

static bool
is_absent(unsigned slot)
{
	bool absent;

	pthread_mutex_lock(&mock.lock);
	mock_look_at_slots();
	absent = mock.token[slot].absent;
	pthread_mutex_unlock(&mock.lock);
	return absent;
}

CK_RV
mock_C_GetSlotInfo(CK_SLOT_ID id, CK_SLOT_INFO_PTR info)
{
	unsigned slot;

	if (!mock_slot(id, &slot))
		return CKR_SLOT_ID_INVALID;
	memset(info, 0, sizeof(*info));
	pad(info->slotDescription, sizeof(info->slotDescription), "slot for tests");
	pad(info->manufacturerID, sizeof(info->manufacturerID), "kanmon");
	info->flags = is_absent(slot) ? CKF_REMOVABLE_DEVICE : CKF_TOKEN_PRESENT;
	if (mock.settings.events[0] != '\0')
		info->flags |= CKF_REMOVABLE_DEVICE;
	return CKR_OK;
}

static CK_ULONG
count_sessions(unsigned slot, CK_FLAGS flag)
{
	CK_ULONG n = 0;

	for (size_t i = 0; i < MOCK_SESSIONS; i++)
		if (mock.session[i] != NULL && mock.session[i]->slot == slot && (mock.session[i]->flags & flag) == flag)
			n++;
	return n;
}

CK_RV
mock_C_GetTokenInfo(CK_SLOT_ID id, CK_TOKEN_INFO_PTR info)
{
	char serial[16];
	unsigned slot;

	if (!mock_slot(id, &slot))
		return CKR_SLOT_ID_INVALID;
	if (is_absent(slot))
		return CKR_TOKEN_NOT_PRESENT;
	memset(info, 0, sizeof(*info));
	pthread_mutex_lock(&mock.lock);
	pad(info->label, sizeof(info->label), mock.token[slot].label);
	info->ulSessionCount = count_sessions(slot, 0);
	info->ulRwSessionCount = count_sessions(slot, CKF_RW_SESSION);
	pthread_mutex_unlock(&mock.lock);
	pad(info->manufacturerID, sizeof(info->manufacturerID), "kanmon");
	pad(info->model, sizeof(info->model), "mock");
	snprintf(serial, sizeof(serial), "%04u", slot + 1);
	pad(info->serialNumber, sizeof(info->serialNumber), serial);
	info->flags = CKF_RNG | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED;
	info->ulMaxSessionCount = info->ulMaxRwSessionCount = mock.settings.sessions;
	info->ulMaxPinLen = sizeof(mock.settings.pin) - 1;
	info->ulMinPinLen = 4;
	info->ulTotalPublicMemory = info->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
	info->ulTotalPrivateMemory = info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
	info->hardwareVersion = (CK_VERSION){3, 4};
	info->firmwareVersion = (CK_VERSION){5, 6};
	return CKR_OK;
}

static bool
pin_is(const char *pin, CK_UTF8CHAR_PTR given, CK_ULONG len)
{
	return given != NULL && len == strlen(pin) && memcmp(pin, given, len) == 0;
}

CK_RV
mock_C_InitToken(CK_SLOT_ID id, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len, CK_UTF8CHAR_PTR label)
{
	CK_RV rv = CKR_OK;
	size_t n = 32;
	unsigned slot;

	if (!mock_slot(id, &slot))
		return CKR_SLOT_ID_INVALID;
	pthread_mutex_lock(&mock.lock);
	if (count_sessions(slot, 0) > 0)
		rv = CKR_SESSION_EXISTS;
	else if (!pin_is(mock.settings.so_pin, pin, pin_len))
		rv = CKR_PIN_INCORRECT;
	if (rv == CKR_OK) {
		clear_objects(slot);
		memcpy(mock.token[slot].label, label, n);
		while (n > 0 && mock.token[slot].label[n - 1] == ' ')
			n--;
		mock.token[slot].label[n] = '\0';
	}
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

CK_RV
mock_C_OpenSession(CK_SLOT_ID id, CK_FLAGS flags, CK_VOID_PTR cookie, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR handle)
{
	CK_RV rv = CKR_SESSION_COUNT;
	unsigned slot;

	(void)cookie;
	(void)notify;
	if (!mock_slot(id, &slot))
		return CKR_SLOT_ID_INVALID;
	if ((flags & CKF_SERIAL_SESSION) == 0)
		return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
	if (is_absent(slot))
		return CKR_TOKEN_NOT_PRESENT;
	pthread_mutex_lock(&mock.lock);
	for (size_t i = 0; rv != CKR_OK && i < MOCK_SESSIONS && i < mock.settings.sessions; i++) {
		if (mock.session[i] != NULL)
			continue;
		if ((mock.session[i] = calloc(1, sizeof(struct mock_session))) == NULL)
			break;
		mock.session[i]->used = true;
		mock.session[i]->slot = slot;
		mock.session[i]->flags = flags;
		*handle = (CK_SESSION_HANDLE)i + 1;
		rv = CKR_OK;
	}
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

/* A device that loses its sessions: once for each time that the file is there. */
static void
drop_sessions(void)
{
	if (unlink(mock.settings.drop) != 0)
		return;
	for (unsigned i = 0; i < MOCK_SLOTS; i++)
		close_all(i);
}

struct mock_session *
mock_session(CK_SESSION_HANDLE handle)
{
	if (mock.settings.events[0] != '\0')
		mock_look_at_slots();
	if (mock.settings.drop[0] != '\0')
		drop_sessions();
	return handle >= 1 && handle <= MOCK_SESSIONS ? mock.session[handle - 1] : NULL;
}

CK_RV
mock_C_CloseSession(CK_SESSION_HANDLE handle)
{
	CK_RV rv = CKR_SESSION_HANDLE_INVALID;

	pthread_mutex_lock(&mock.lock);
	if (mock_session(handle) != NULL) {
		mock_close_session(handle);
		rv = CKR_OK;
	}
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

CK_RV
mock_C_CloseAllSessions(CK_SLOT_ID id)
{
	unsigned slot;

	if (!mock_slot(id, &slot))
		return CKR_SLOT_ID_INVALID;
	pthread_mutex_lock(&mock.lock);
	close_all(slot);
	pthread_mutex_unlock(&mock.lock);
	return CKR_OK;
}

CK_RV
mock_C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO_PTR info)
{
	const struct mock_session *s;
	CK_RV rv = CKR_SESSION_HANDLE_INVALID;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(handle)) != NULL) {
		bool rw = (s->flags & CKF_RW_SESSION) != 0;

		memset(info, 0, sizeof(*info));
		info->slotID = MOCK_SLOT_ID(s->slot);
		info->flags = s->flags;
		info->state = rw ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
		if (mock.token[s->slot].user)
			info->state = rw ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
		if (mock.token[s->slot].so)
			info->state = CKS_RW_SO_FUNCTIONS;
		rv = CKR_OK;
	}
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

static CK_RV
login(struct mock_session *s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len)
{
	struct mock_token *t = &mock.token[s->slot];

	if (user == CKU_CONTEXT_SPECIFIC) {
		if (!s->sign.active || !s->sign.always_authenticate)
			return CKR_OPERATION_NOT_INITIALIZED;
		s->sign.logged_in = pin_is(mock.settings.pin, pin, pin_len);
		return s->sign.logged_in ? CKR_OK : CKR_PIN_INCORRECT;
	}
	if (user != CKU_USER && user != CKU_SO)
		return CKR_USER_TYPE_INVALID;
	if (t->user || t->so)
		return (user == CKU_USER) == t->user ? CKR_USER_ALREADY_LOGGED_IN : CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
	if (!pin_is(user == CKU_USER ? mock.settings.pin : mock.settings.so_pin, pin, pin_len))
		return CKR_PIN_INCORRECT;
	t->user = user == CKU_USER;
	t->so = user == CKU_SO;
	return CKR_OK;
}

CK_RV
mock_C_Login(CK_SESSION_HANDLE handle, CK_ULONG user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len)
{
	struct mock_session *s;
	CK_RV rv = CKR_SESSION_HANDLE_INVALID;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(handle)) != NULL)
		rv = login(s, user, pin, pin_len);
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

static CK_RV
login_user(struct mock_session *s, CK_ULONG user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len, const CK_UTF8CHAR *name,
    CK_ULONG name_len)
{
	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (name == NULL || name_len != strlen(mock.settings.username) ||
	    memcmp(name, mock.settings.username, name_len) != 0)
		return CKR_USER_TYPE_INVALID;
	return login(s, user, pin, pin_len);
}

CK_RV
mock_C_LoginUser(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_len,
    CK_UTF8CHAR_PTR name, CK_ULONG name_len)
{
	return mock_leave(login_user(mock_enter(handle), user, pin, pin_len, name, name_len));
}

CK_RV
mock_C_GetSessionValidationFlags(CK_SESSION_HANDLE handle, CK_SESSION_VALIDATION_FLAGS_TYPE type, CK_FLAGS_PTR flags)
{
	CK_RV rv = mock_enter(handle) == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_OK;

	if (rv == CKR_OK && type != CKS_LAST_VALIDATION_OK)
		rv = CKR_ARGUMENTS_BAD;
	if (rv == CKR_OK)
		*flags = 0x80000005UL;
	return mock_leave(rv);
}

CK_RV
mock_C_GetFunctionStatus(CK_SESSION_HANDLE handle)
{
	return mock_leave(mock_enter(handle) == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_FUNCTION_NOT_PARALLEL);
}

CK_RV
mock_C_CancelFunction(CK_SESSION_HANDLE handle)
{
	return mock_C_GetFunctionStatus(handle);
}

static CK_RV
set_pin(struct mock_session *s, CK_UTF8CHAR_PTR old, CK_ULONG old_len, CK_UTF8CHAR_PTR new, CK_ULONG new_len)
{
	if (s == NULL)
		return CKR_SESSION_HANDLE_INVALID;
	if (!pin_is(mock.settings.pin, old, old_len))
		return CKR_PIN_INCORRECT;
	if (new == NULL || new_len < 4 || new_len >= sizeof(mock.settings.pin))
		return CKR_PIN_LEN_RANGE;
	memcpy(mock.settings.pin, new, new_len);
	mock.settings.pin[new_len] = '\0';
	return CKR_OK;
}

CK_RV
mock_C_SetPIN(CK_SESSION_HANDLE handle, CK_UTF8CHAR_PTR old, CK_ULONG old_len, CK_UTF8CHAR_PTR new, CK_ULONG new_len)
{
	return mock_leave(set_pin(mock_enter(handle), old, old_len, new, new_len));
}

void
mock_logout(unsigned slot)
{
	mock.token[slot].user = mock.token[slot].so = false;
}

CK_RV
mock_C_Logout(CK_SESSION_HANDLE handle)
{
	struct mock_session *s;
	CK_RV rv = CKR_SESSION_HANDLE_INVALID;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(handle)) != NULL) {
		rv = mock.token[s->slot].user || mock.token[s->slot].so ? CKR_OK : CKR_USER_NOT_LOGGED_IN;
		mock_logout(s->slot);
	}
	pthread_mutex_unlock(&mock.lock);
	return rv;
}

CK_RV
mock_C_InitPIN(CK_SESSION_HANDLE handle, CK_UTF8CHAR_PTR pin, CK_ULONG len)
{
	struct mock_session *s;
	CK_RV rv = CKR_SESSION_HANDLE_INVALID;

	pthread_mutex_lock(&mock.lock);
	if ((s = mock_session(handle)) != NULL && !mock.token[s->slot].so)
		rv = CKR_USER_NOT_LOGGED_IN;
	else if (s != NULL && (pin == NULL || len < 4 || len >= sizeof(mock.settings.pin)))
		rv = CKR_PIN_LEN_RANGE;
	else if (s != NULL) {
		memcpy(mock.settings.pin, pin, len);
		mock.settings.pin[len] = '\0';
		rv = CKR_OK;
	}
	pthread_mutex_unlock(&mock.lock);
	return rv;
}
