/* base/log_seldom.h - a trouble that every request meets, said once a minute instead of each time.
 *
 * A process keeps in mind what it said last, not about whom: the lines of requests tell which met
 * it. Another text, or the same at another level, is another trouble.
 * Threads: any. Blocking: as log_line().
 */
#ifndef BASE_LOG_SELDOM_H
#define BASE_LOG_SELDOM_H

#include "base/log.h"

#define LOG_SELDOM_MS 60000

/* As log_line(level, "%s: %s", who, what), unless what was said less than LOG_SELDOM_MS ago. The
 * next line counts those that were left out. mono_ms: the time, monotonic. */
void log_seldom(enum log_level level, const char *who, const char *what, int64_t mono_ms);

#endif
