/*
 * PKCS#11 as kanmon knows it: the types of p11-kit's header (2.40), and what
 * that header leaves out. Facts come from the OASIS texts; nothing is copied.
 */
#ifndef KANMON_PKCS11_H
#define KANMON_PKCS11_H

#include <p11-kit/pkcs11.h>

#endif
