/* handlers/cli/json_out.h - members of JSON objects that several commands write. Each begins with
 * a comma, so it is not the first of its object.
 */
#ifndef HANDLERS_CLI_JSON_OUT_H
#define HANDLERS_CLI_JSON_OUT_H

#include "base/buf.h"
#include "store/people_record.h"

void json_out_text(struct buf *out, const char *name, const char *text); /* "" = null */
void json_out_time(struct buf *out, const char *name, int64_t ms);       /* 0 = null */
void json_out_rate(struct buf *out, const char *name, int64_t rate);     /* 0 = null */
void json_out_limit(struct buf *out, const char *name, struct people_limit limit);
void json_out_list(struct buf *out, const char *name, const char *list); /* an array of texts */

/* Prints it to standard output and frees it. */
void json_out_print(struct buf *out);

#endif
