/* What the generated stubs ask of the provider. */
#ifndef KANMON_PROVIDER_H
#define KANMON_PROVIDER_H

#include "kanmon/codec.h"

/*
 * Carries one call to the gateway and its answer back into the arguments; the
 * result is what the application sees. Called by every stub of a function that
 * crosses (provider/stubs.c); C_Initialize, C_Finalize, C_GetFunctionList and
 * C_WaitForSlotEvent are written by hand.
 */
CK_RV kmn_provider_call(enum kmn_call_id id, struct kmn_arg *arg, size_t arg_count);

/* The function list that C_GetFunctionList hands out, made from the rows. */
extern CK_FUNCTION_LIST kmn_function_list;

#endif
