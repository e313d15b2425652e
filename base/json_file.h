/* base/json_file.h - a file of JSON, whole and validated, for the readers of json_scan.h.
 *
 * Ownership: the text is the caller's; buf_fini() it.
 * Threads:   no shared state. Blocking: file reads.
 */
#ifndef BASE_JSON_FILE_H
#define BASE_JSON_FILE_H

#include "base/json_scan.h"

#define JSON_FILE_DEPTH 64

/* Reads a regular file of at most max_bytes into text, which must be empty, and validates it:
 * nested up to JSON_FILE_DEPTH deep, duplicate keys refused. *v, which lends the text, is its
 * outermost value. ERR_IO, ERR_TOO_LARGE, ERR_NO_MEMORY or ERR_BAD_REQUEST; the message names the
 * file, and the byte where one is at fault. */
MUST_CHECK enum err_code json_file_read(
	const char *path, size_t max_bytes, struct buf *text, struct json_value *v, struct err *e);

#endif
