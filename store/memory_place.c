#include "store/memory_place.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#define SHM_FOLDER "/dev/shm"

enum err_code memory_place(const char *home, const char *suffix, const char *name,
	char out[HOME_PATH_MAX], struct err *e)
{
	struct statfs fs;
	struct stat st;

	if (stat(home, &st) != 0)
		return err_set(e, ERR_STORE, "%s: %s", home, strerror(errno));
	if (statfs(SHM_FOLDER, &fs) != 0 || fs.f_type != TMPFS_MAGIC ||
		access(SHM_FOLDER, R_OK | W_OK | X_OK) != 0)
		return home_path(home, name, out, e);
	snprintf(out, HOME_PATH_MAX, SHM_FOLDER "/tollgate-%u-%" PRIx64 "-%" PRIx64 "%s",
		(unsigned)st.st_uid, (uint64_t)st.st_dev, (uint64_t)st.st_ino, suffix);
	return ERR_OK;
}

void memory_boot(char boot[MEMORY_BOOT_BYTES])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(boot, 0, MEMORY_BOOT_BYTES);
	if (fd < 0 || read(fd, boot, 36) < 0)
		boot[0] = '?';
	if (fd >= 0)
		close(fd);
}

uint64_t memory_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
}
