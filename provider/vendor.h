/* The function list of kanmon's own interface, for interfaces.c. */
#ifndef KANMON_PROVIDER_VENDOR_H
#define KANMON_PROVIDER_VENDOR_H

#include "kanmon/pkcs11.h"
#include "kanmon/vendor.h"

extern KMN_FUNCTION_LIST_1_1 kmn_vendor_list;

#endif
