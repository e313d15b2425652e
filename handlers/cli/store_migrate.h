/* handlers/cli/store_migrate.h - tollgate store migrate: what is kept, from GDBM files to Redis and
 * back, while the gateway runs.
 */
#ifndef HANDLERS_CLI_STORE_MIGRATE_H
#define HANDLERS_CLI_STORE_MIGRATE_H

#include "base/conf.h"

enum store_way { STORE_WAY_NONE, STORE_TO_REDIS, STORE_TO_GDBM };

/* Reads "gdbm redis", "gdbm-redis", "gdbm→redis", "gdbm->redis" and the ways back; b may be NULL.
 */
enum store_way store_migrate_way(const char *a, const char *b);

/* Moves, proves, and prints what came of it; returns the exit code. from_copy: to files, without
 * asking Redis. */
int store_migrate(const struct conf *c, enum store_way way, bool from_copy);

#endif
