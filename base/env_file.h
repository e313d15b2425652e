/* base/env_file.h - a file of NAME=value lines.
 *
 * '#' begins a comment line; blanks around name and value are dropped; a value may stand in
 * double quotes; names are [A-Z0-9_]+ and stand once. A byte order mark and CR LF are fine.
 *
 * Ownership: env_file_fini() frees, and overwrites the values, which may be secrets.
 * Threads:   read-only after env_file_read().
 */
#ifndef BASE_ENV_FILE_H
#define BASE_ENV_FILE_H

#include "base/err.h"

#include <stddef.h>

struct env_entry {
	char *name, *value;
	int line; /* from 1 */
};

struct env_file {
	char *path;
	struct env_entry *entries; /* in the file's order */
	size_t count;
	bool others_read; /* the file's mode lets everybody read it */
};

/* Reads path. ERR_NOT_FOUND when there is none; ERR_CONF with "path:line: …" when a line is
 * wrong, or when the file is not a regular one, is larger than 1 MiB, cannot be read, or can be
 * written by others than its owner. No message holds a value. f is to be ended in any case. */
MUST_CHECK enum err_code env_file_read(struct env_file *f, const char *path, struct err *e);
void env_file_fini(struct env_file *f);

/* The entry called name, or NULL. */
const struct env_entry *env_file_get(const struct env_file *f, const char *name);

#endif
