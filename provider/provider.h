/* What the generated stubs ask of the provider. */
#ifndef KANMON_PROVIDER_H
#define KANMON_PROVIDER_H

#include "kanmon/codec.h"

/* Which list the caller took: 2.40; 3.0 or 3.1; 3.2, or a function that is exported. */
enum kmn_list { KMN_LIST_2_40, KMN_LIST_3_0, KMN_LIST_NEWEST };

/*
 * Carries one call to the gateway and its answer back into the arguments; the
 * result is what the application sees. Called by every stub of a function that
 * crosses (provider/stubs.c); those of policy class local are written by hand
 * (local.c, interfaces.c).
 */
CK_RV kmn_provider_call(enum kmn_call_id id, enum kmn_list list, struct kmn_arg *arg, size_t arg_count);

/* The function lists that the interfaces hand out, made from the rows; C_GetFunctionList has the first. */
extern CK_FUNCTION_LIST kmn_function_list;
extern CK_FUNCTION_LIST_3_0 kmn_function_list_3_0;
extern CK_FUNCTION_LIST_3_0 kmn_function_list_3_1;
extern CK_FUNCTION_LIST_3_2 kmn_function_list_3_2;

#endif
