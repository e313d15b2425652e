/* store/memory_place.h - where memory lies that all processes of one store share, and what it is
 * only good for.
 *
 * That is /dev/shm/tollgate-UID-HASH… if /dev/shm is a memory file system that we may write to
 * (UID: owner of the home; HASH: its device and inode), else a file of the home. What is in it does
 * not outlive a boot, and process ids in it mean something inside one PID namespace only.
 */
#ifndef STORE_MEMORY_PLACE_H
#define STORE_MEMORY_PLACE_H

#include "store/home.h"

#define MEMORY_BOOT_BYTES 40

/* The path, which ends in suffix (may be "") in memory, and is home/name else. ERR_STORE. */
MUST_CHECK enum err_code memory_place(const char *home, const char *suffix, const char *name,
	char out[HOME_PATH_MAX], struct err *e);

/* Which boot this is, filled up with zeros. */
void memory_boot(char boot[MEMORY_BOOT_BYTES]);

uint64_t memory_pid_namespace(void); /* 0: unknown */

#endif
