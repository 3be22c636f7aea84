/*
 * The vendor's PKCS#11 module: loaded and initialised once, finalised once.
 */
#ifndef KANMON_HSM_VENDOR_H
#define KANMON_HSM_VENDOR_H

#include "kanmon/err.h"
#include "kanmon/pkcs11.h"
#include "kanmon/roles.h"
#include "kanmon/writer.h"

/* A function list of the module's interface "PKCS 11". */
struct kmn_vendor_list {
	uint16_t version; /* major * 256 + minor */
	CK_FLAGS flags;   /* CKF_INTERFACE_FORK_SAFE */
};
#define KMN_VENDOR_LISTS_MAX 8u

#define KMN_FUNCTIONS_MAX 104u /* of a list of 3.2 */

/* A function list of any version: NULL where the module's ends. */
union kmn_functions {
	struct {
		CK_VERSION version;
		void (*at[KMN_FUNCTIONS_MAX])(void); /* in the order of calls.def */
	} any;
	CK_FUNCTION_LIST v2_40;
	CK_FUNCTION_LIST_3_2 v3_2;
};

/* What KMN_W_READY tells. */
struct kmn_vendor {
	bool ready; /* loaded and initialised: rv is CKR_OK */
	CK_RV rv;   /* of C_Initialize, or CKR_GENERAL_ERROR if there is no module to call */
	char manufacturer[33];
	char description[256];      /* of the library; why it could not be loaded, if it could not */
	uint16_t cryptoki, library; /* major * 256 + minor */
	struct kmn_vendor_list list[KMN_VENDOR_LISTS_MAX]; /* as the module lists them */
	size_t lists;
	/*
	 * A module may answer differently in its list of 2.40 (NSS: C_GetInfo,
	 * C_GetMechanismInfo), so there are both; of a module with one list both are it.
	 */
	union kmn_functions newest, v2_40;
	char *reserved; /* pReserved, which the module may keep until it is finalised */
};

/*
 * Loads and initialises. The module's init_args go into pReserved, may be NULL.
 * Some modules fail when several processes initialise at one moment (SoftHSM):
 * they are asked a few times more.
 */
void kmn_vendor_open(const struct kmn_module *module, struct kmn_vendor *vendor_out);

/* C_Finalize, if it was initialised. The library stays mapped: its exit handlers may still run. */
void kmn_vendor_close(struct kmn_vendor *vendor);

/* Body of KMN_W_READY. */
void kmn_vendor_put_ready(const struct kmn_vendor *vendor, struct kmn_writer *w);

#endif
