/* handlers/common/path.h - which endpoint a path means.
 * Base paths: DESIGN.md section 6. The gateway may itself live below another path
 * ("/~ana/gw/v1/…"), so a base path counts wherever it begins. Pure.
 */
#ifndef HANDLERS_COMMON_PATH_H
#define HANDLERS_COMMON_PATH_H

#include "base/err.h"
#include "base/str.h"

/* Does path mean endpoint ("/models")? *rest is what stands behind it, without the slash between
 * ("openai/gpt-4o"); only takes_rest allows any. */
bool path_is_endpoint(const char *path, const char *endpoint, bool takes_rest, struct slice *rest);

/* The same for an endpoint with a path of its own ("/api/profile"), wherever that begins. */
bool path_is_own(const char *path, const char *endpoint, bool takes_rest, struct slice *rest);

/* Does path lie below one of the base paths? */
bool path_has_base(const char *path);

/* The error for a path that no endpoint has: ERR_BAD_PATH below a base path, else ERR_NOT_FOUND. */
enum err_code path_refuse(const char *path, struct err *e);

#endif
