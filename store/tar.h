/* store/tar.h - plain files in a tar archive (POSIX.1-1988 ustar), written and read strictly.
 *
 * Only what a backup needs: regular files of up to TAR_FILE_MAX bytes with short relative names,
 * mode 0600. Every other tool that reads tar reads these archives; of theirs, only such files are
 * read. Whole files are in memory.
 *
 * Blocking: file reads and writes. Threads: no shared state.
 */
#ifndef STORE_TAR_H
#define STORE_TAR_H

#include "base/buf.h"

#define TAR_BLOCK     512
#define TAR_NAME_SIZE 100
#define TAR_FILE_MAX  ((size_t)1 << 30)

/* Is it relative, of [A-Za-z0-9._/-] alone, and without an empty, "." or ".." part? */
bool tar_name_is_safe(const char *name);

/* Writes one file. ERR_STORE naming path, the archive's, when the disk does not take it. */
MUST_CHECK enum err_code tar_write(int fd, const char *path, const char *name, struct slice content,
	int64_t wall_ms, struct err *e);
/* Writes the end. */
MUST_CHECK enum err_code tar_end(int fd, const char *path, struct err *e);

/* Reads the next file: its name, and its content in place of what content held (max_bytes of
 * content is set to TAR_FILE_MAX). ERR_NOT_FOUND, e untouched, at the archive's end. ERR_STORE:
 * damaged, cut off, or not an archive of this kind. */
MUST_CHECK enum err_code tar_read(
	int fd, const char *path, char name[TAR_NAME_SIZE], struct buf *content, struct err *e);

#endif
