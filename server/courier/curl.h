/* libcurl, opened at run time: its functions by the names that they have there. */
#ifndef KANMON_SERVER_COURIER_CURL_H
#define KANMON_SERVER_COURIER_CURL_H

#define CURL_DISABLE_TYPECHECK /* the options go through pointers */
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo

/* clang-format off */
/*  function            name in libcurl */
#define KMN_CURL_ROWS(ROW) \
	ROW(global_init) \
	ROW(easy_init) ROW(easy_setopt) ROW(easy_getinfo) ROW(easy_cleanup) ROW(multi_init) ROW(multi_cleanup) ROW(multi_add_handle) \
	    ROW(multi_remove_handle) ROW(multi_perform) ROW(multi_poll) ROW(multi_info_read) ROW(slist_append) \
		ROW(slist_free_all)
/* clang-format on */

#define KMN_CURL_POINTER(name) __typeof__(&curl_##name) name;
extern struct kmn_curl {
	KMN_CURL_ROWS(KMN_CURL_POINTER)
} kmn_curl; /* set by kmn_courier_prepare() */
#undef KMN_CURL_POINTER

#endif
