/* store/home.h - GATEWAY_HOME, the folder of everything that is kept, and who may touch it.
 *
 * The folder is 0700, or at least not writable by others; files in it are 0600. Whatever
 * differs is refused with the command that mends it: a key file that others can read is a leak,
 * one that others can write is an open door.
 *
 * When root makes a file it is given to the owner of the folder, so that a command run by root
 * does not lock out the handlers.
 * Threads: no shared state.
 */
#ifndef STORE_HOME_H
#define STORE_HOME_H

#include "base/str.h"

#include <sys/stat.h>

#define HOME_PATH_MAX 4096 /* bytes of a path below the folder, NUL included */

/* Makes the folder 0700 when it is missing (its parent must exist). ERR_STORE. */
MUST_CHECK enum err_code home_make(const char *home, struct err *e);

/* Is home a folder of ours that others cannot write? ERR_NOT_FOUND, ERR_STORE. */
MUST_CHECK enum err_code home_check(const char *home, struct err *e);

/* Is an open file regular, ours, and closed to others? ERR_STORE with the command. */
MUST_CHECK enum err_code home_check_file(const char *path, const struct stat *st, struct err *e);

/* Writes home/name. ERR_STORE when it is too long. */
MUST_CHECK enum err_code home_path(
	const char *home, const char *name, char out[HOME_PATH_MAX], struct err *e);

/* Gives a file that was just made to the owner of its folder, when we are root. */
MUST_CHECK enum err_code home_give(int fd, const char *home, struct err *e);

/* Makes what happened to the names in the folder durable. */
MUST_CHECK enum err_code home_sync(const char *home, struct err *e);

/* home/name becomes text, or stays as it is: written aside, mode 0600, and renamed. One at a time:
 * whoever changes a file holds its lock. ERR_STORE. */
MUST_CHECK enum err_code home_replace(
	const char *home, const char *name, struct slice text, struct err *e);

/* Takes home/name as a lock, waiting up to wait_ms; *fd is to be closed to release it.
 * ERR_BUSY when another holds it that long, ERR_STORE. The file is never deleted. */
MUST_CHECK enum err_code home_lock(
	const char *home, const char *name, int64_t wait_ms, int *fd, struct err *e);

#endif
