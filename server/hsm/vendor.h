/*
 * The vendor's PKCS#11 module: loaded and initialised once, finalised once.
 */
#ifndef KANMON_HSM_VENDOR_H
#define KANMON_HSM_VENDOR_H

#include "kanmon/err.h"
#include "kanmon/writer.h"

/* What KMN_W_READY tells. */
struct kmn_vendor {
	CK_FUNCTION_LIST *module; /* NULL unless rv is CKR_OK */
	CK_RV rv;                 /* of C_Initialize, or CKR_GENERAL_ERROR if there is no module to call */
	char manufacturer[33];
	char description[256];      /* of the library; why it could not be loaded, if it could not */
	uint16_t cryptoki, library; /* major * 256 + minor */
	char *reserved;             /* pReserved, which the module may keep until it is finalised */
};

/*
 * Loads and initialises. `init_args` goes into pReserved, may be NULL. Some
 * modules fail when several processes initialise at one moment (SoftHSM):
 * they are asked a few times more.
 */
void kmn_vendor_open(const char *path, const char *init_args, struct kmn_vendor *vendor_out);

/* C_Finalize, if it was initialised. The library stays mapped: its exit handlers may still run. */
void kmn_vendor_close(struct kmn_vendor *vendor);

/* Body of KMN_W_READY. */
void kmn_vendor_put_ready(const struct kmn_vendor *vendor, struct kmn_writer *w);

#endif
