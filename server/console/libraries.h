/* libmicrohttpd and GnuTLS, opened at run time: their functions by the names that they have there. */
#ifndef KANMON_SERVER_CONSOLE_LIBRARIES_H
#define KANMON_SERVER_CONSOLE_LIBRARIES_H

#include <gnutls/gnutls.h>
#include <microhttpd.h>

#include "kanmon/base.h"

/* clang-format off */
/*  function of libmicrohttpd, without MHD_ */
#define KMN_MHD_ROWS(ROW) \
	ROW(start_daemon) \
	ROW(stop_daemon) \
	ROW(run) \
	ROW(get_timeout) ROW(get_daemon_info) ROW(get_connection_info) ROW(get_connection_values_n) \
	    ROW(lookup_connection_value) ROW(suspend_connection) ROW(resume_connection) \
		ROW(create_response_from_buffer) ROW(create_response_from_callback) ROW(add_response_header) \
		    ROW(queue_response) ROW(destroy_response)
/* clang-format on */
/* clang-format off */
/*  function of GnuTLS, without gnutls_ */
#define KMN_GNUTLS_ROWS(ROW) \
	ROW(certificate_server_set_request) ROW(certificate_send_x509_rdn_sequence) ROW(certificate_get_peers) \
	ROW(protocol_get_version) ROW(protocol_get_name) ROW(ciphersuite_get)
/* clang-format on */

#define KMN_MHD_POINTER(name) __typeof__(&MHD_##name) name;
#define KMN_GNUTLS_POINTER(name) __typeof__(&gnutls_##name) name;
extern struct kmn_mhd {
	KMN_MHD_ROWS(KMN_MHD_POINTER)
} kmn_mhd; /* set by kmn_libraries_open() */
extern struct kmn_gnutls {
	KMN_GNUTLS_ROWS(KMN_GNUTLS_POINTER)
} kmn_gnutls;
#undef KMN_MHD_POINTER
#undef KMN_GNUTLS_POINTER

/* False: it said why not. */
bool kmn_libraries_open(void) KMN_MUST_CHECK;

#endif
