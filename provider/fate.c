#include "config.h"

#include "provider/fate.h"

enum column { OTHERS, OF_SESSION, LOGIN, OPEN, CLOSE, COLUMNS };

enum star { PLAIN, STARRED };

static const struct {
	enum star star;
	CK_RV rv[COLUMNS];
	const char *text;
} fates[] = {
#define ROW(symbol, star, others, of_session, login, open, close, text) \
	[symbol] = {star, {others, of_session, login, open, close}, text},
    KMN_FATE_ROWS(ROW)
#undef ROW
};

static enum column
column_of(enum kmn_call_id id)
{
	switch (id) {
	case KMN_C_Login:
	case KMN_C_LoginUser:
		return LOGIN;
	case KMN_C_OpenSession:
		return OPEN;
	case KMN_C_CloseSession:
	case KMN_C_CloseAllSessions:
		return CLOSE;
	default:
		return kmn_call_row(id)->param[0].kind == KMN_KIND_SESSION ? OF_SESSION : OTHERS;
	}
}

CK_RV
kmn_fate_rv(enum kmn_fate fate, enum kmn_call_id id, enum kmn_client_errors errors)
{
	if (fates[fate].star == STARRED && errors == KMN_CLIENT_ERRORS_DEVICE)
		return CKR_DEVICE_ERROR;
	return fates[fate].rv[column_of(id)];
}

const char *
kmn_fate_text(enum kmn_fate fate)
{
	return fates[fate].text;
}
