/* fcgi/path.h - what a URL says: a clean path, and query parameters. Pure text, no state. */
#ifndef FCGI_PATH_H
#define FCGI_PATH_H

#include "base/str.h"

/* The path of a request target ("/a%20b?q", "http://host/a"), decoded, with "//", "/./" and
 * "/../" resolved after decoding, in dst with a NUL. False when it does not begin with '/',
 * holds a control byte, a broken escape or bad UTF-8, climbs above the root, or does not fit. */
MUST_CHECK bool path_of_target(struct slice target, char *dst, size_t size);

/* The same for a path that the web server has decoded already. */
MUST_CHECK bool path_of_decoded(struct slice path, char *dst, size_t size);

/* The first value of a form-encoded query parameter, decoded ('+' is a blank), in dst with a
 * NUL. False when absent, too long, broken or with a NUL; dst is "" then. */
MUST_CHECK bool path_query_get(struct slice query, const char *name, char *dst, size_t size);

#endif
