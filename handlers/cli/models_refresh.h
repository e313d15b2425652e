/* handlers/cli/models_refresh.h - tollgate models refresh: what providers list now. */
#ifndef HANDLERS_CLI_MODELS_REFRESH_H
#define HANDLERS_CLI_MODELS_REFRESH_H

#include "base/conf.h"

/* Fetches the lists of all configured providers, or of one; shows what would change; applies it
 * with yes, or when somebody at a terminal agrees, unless dry_run. */
int models_refresh(const struct conf *conf, const char *provider, bool yes, bool dry_run);

#endif
