/* Any bytes as a backup, and as its manifest: never more than an error, and what is taken has only
 * names that stay below the folder it is unpacked into. */
#include "store/backup_set.h"
#include "store/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct backup *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (!tar_name_is_safe(b->files[i].name) || !backup_has(b->files[i].name))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct backup b = { 0 };
	struct err e;
	char path[64];
	int fd = memfd_create("backup", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (backup_verify(path, NULL, &b, &e) == ERR_OK)
		check(&b);
	backup_fini(&b);
	close(fd);
	if (backup_manifest_read(&b, (struct slice){ (const char *)data, size }, "fuzz", &e) ==
		ERR_OK)
		check(&b);
	backup_fini(&b);
	return 0;
}
