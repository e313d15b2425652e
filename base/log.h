/* base/log.h - one line of JSON per thing worth knowing, on stderr or in GATEWAY_LOG.
 *
 * A line is written with one write(2) to an O_APPEND descriptor, so lines of many processes
 * do not mix. Never a prompt, an answer or a secret: callers pass ids, lengths and codes.
 * Blocking: as long as the file's write does. Threads: any. Errors: a line that cannot be
 * written is lost and counted.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/buf.h"

enum log_level { LOG_INFO, LOG_WARN, LOG_ERROR };

/* path "" or NULL = stderr. The file is created 0600 and reopened when it was renamed (log
 * rotation). ERR_IO. Call once, before threads start. program names the writer in each line. */
MUST_CHECK enum err_code log_open(const char *path, const char *program, struct err *e);

/* {"time":…,"level":…,"program":…,"pid":…,"msg":…} */
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

/* Writes members (made by the caller: "\"a\":1,\"b\":2", valid JSON without braces) as one
 * line behind time, level, program and pid. */
void log_object(enum log_level level, struct slice members);

#endif
