#include "kanmon/err.h"

#include <stdio.h>
#include <stdlib.h>

#define ROW(code, text, ckr) [code] = {#code, text, ckr},
static const struct {
	const char *name, *text;
	CK_RV ckr;
} rows[KMN_ERR_COUNT] = {KMN_ERR_ROWS(ROW)};
#undef ROW

static kmn_err
known(kmn_err e)
{
	return (unsigned)e < KMN_ERR_COUNT ? e : KMN_E_INTERNAL;
}

const char *
kmn_err_text(kmn_err e)
{
	return rows[known(e)].text;
}

const char *
kmn_err_name(kmn_err e)
{
	return rows[known(e)].name;
}

CK_RV
kmn_err_ckr(kmn_err e)
{
	return rows[known(e)].ckr;
}

_Noreturn void
kmn_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "kanmon: broken invariant at %s:%d: %s\n", file, line, what);
	abort();
}
