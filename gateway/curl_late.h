/* gateway/curl_late.h - libcurl, loaded when the first pump starts.
 *
 * libcurl brings 27 libraries along, and to find and bind them is most of what a program's start
 * costs; under CGI every request is a start, and many never call a provider. So no program is
 * linked with it: curl_late.c has a function of the same name for each of libcurl's that
 * upstream.c calls, and hands the call on.
 *
 * Ownership: what was loaded stays until the process ends.
 * Threads:   any; the functions of libcurl may be called once curl_late_load() has succeeded.
 */
#ifndef GATEWAY_CURL_LATE_H
#define GATEWAY_CURL_LATE_H

#include "base/err.h"

/* Loads libcurl, if nobody has. ERR_INTERNAL, with what to do, when it is not there or too old; the
 * next call tries anew. */
MUST_CHECK enum err_code curl_late_load(struct err *e);

#endif
