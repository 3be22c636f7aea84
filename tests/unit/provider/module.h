/* The module under test, loaded as an application loads it, and the cases' common steps. */
#ifndef KANMON_TESTS_PROVIDER_MODULE_H
#define KANMON_TESTS_PROVIDER_MODULE_H

#include "kanmon/pkcs11.h"
#include "tests/unit/provider/gateway.h"

extern CK_FUNCTION_LIST *p11; /* NULL when the module is not loaded */

bool module_load(void);
/* Another symbol of it; NULL when it has none of that name. */
void *module_symbol(const char *name);
void module_unload(void);

/* C_Initialize in the way of nearly everybody. */
CK_RV module_init(void);

/* A gateway that runs, is configured (`more` added), and to which the module is attached; or a fatal failure. */
struct gateway *begin(const char *more);
/* C_Finalize, unload. */
void end_module(void);
/* The same, and stop. */
void end(struct gateway *g);

/* Calls that carry no output: the fake gateway need not know what they mean. */
CK_RV plain_call(CK_SESSION_HANDLE session, CK_ULONG salt);
CK_RV held_call(CK_SESSION_HANDLE session, CK_ULONG salt);

uint64_t now_ms(void);
void pause_ms(long ms);

#endif
