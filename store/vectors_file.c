#include "store/vectors_file.h"

#include "store/crc32c.h"
#include "store/memory_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAGIC   UINT64_C(0x315345524f544356) /* "VCTORES1" */
#define VERSION 1
#define NAME    "vectors"
#define PAGE    4096

_Static_assert(sizeof(struct vectors_entry) == 64, "a line of the processor's cache");
_Static_assert(sizeof(struct vectors_record) == 128, "vectors stay aligned");

static size_t up_to(size_t n, size_t multiple)
{
	return (n + multiple - 1) / multiple * multiple;
}

/* Where everything is. */
static void lay_out(struct vectors_map *m, size_t dimensions, size_t capacity)
{
	m->dimensions = dimensions;
	m->capacity = capacity;
	m->row_bytes = up_to(dimensions, VECTORS_BLOCK);
	m->record_bytes =
		up_to(sizeof(struct vectors_record) + dimensions * sizeof(float), VECTORS_BLOCK);
	m->entries_at = PAGE;
	m->bytes_at = m->entries_at + (off_t)up_to(capacity * sizeof(struct vectors_entry), PAGE);
	m->records_at = m->bytes_at + (off_t)up_to(capacity * m->row_bytes, PAGE);
	m->file_bytes = m->records_at + (off_t)(capacity * m->record_bytes);
	m->bytes = (size_t)m->records_at;
}

uint64_t vectors_written(const struct vectors_map *m)
{
	return __atomic_load_n(&vectors_head(m)->written, __ATOMIC_ACQUIRE);
}

enum err_code vectors_file_folder(
	const struct vectors_conf *conf, char out[HOME_PATH_MAX], struct err *e)
{
	enum err_code rc = conf->in_memory ? memory_place(conf->home, ".cache", "cache", out, e)
					   : home_path(conf->home, "cache", out, e);
	bool is_new;
	int fd;

	if (rc)
		return rc;
	is_new = access(out, F_OK) != 0;
	rc = home_make(out, e);
	if (rc || !is_new)
		return rc;
	fd = open(out, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", out, strerror(errno));
	rc = home_give(fd, conf->home, e);
	close(fd);
	return rc;
}

bool vectors_file_is_current(const struct vectors_map *m, const char *folder)
{
	char path[HOME_PATH_MAX];
	struct stat st;

	return !home_path(folder, NAME, path, NULL) && stat(path, &st) == 0 &&
	       st.st_ino == m->ino && st.st_dev == m->dev && st.st_size >= m->file_bytes;
}

static bool is_ours(const struct vectors_head *h)
{
	return h->magic == MAGIC && h->version == VERSION &&
	       h->crc == crc32c(h, offsetof(struct vectors_head, crc)) && h->dimensions &&
	       h->dimensions <= VECTORS_DIMENSIONS_MAX && h->capacity &&
	       h->capacity <= VECTORS_ENTRIES_MAX;
}

/* Maps an open file. */
static enum err_code map(int fd, const char *path, struct vectors_map *m, struct err *e)
{
	struct vectors_head h;
	struct stat st;

	if (fstat(fd, &st) != 0 || home_check_file(path, &st, NULL) ||
		pread(fd, &h, sizeof(h), 0) != sizeof(h) || !is_ours(&h))
		return ERR_NOT_FOUND;
	lay_out(m, h.dimensions, h.capacity);
	if (st.st_size < m->file_bytes)
		return ERR_NOT_FOUND;
	m->at = mmap(NULL, m->bytes, PROT_READ, MAP_SHARED, fd, 0);
	if (m->at == MAP_FAILED)
		return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	m->fd = fd;
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	return ERR_OK;
}

enum err_code vectors_file_map(const char *folder, struct vectors_map **out, struct err *e)
{
	char path[HOME_PATH_MAX];
	struct vectors_map *m;
	enum err_code rc = home_path(folder, NAME, path, e);
	int fd;

	*out = NULL;
	if (rc)
		return rc;
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return ERR_NOT_FOUND;
	m = calloc(1, sizeof(*m));
	rc = m ? map(fd, path, m, e) : err_set(e, ERR_NO_MEMORY, "out of memory");
	if (rc) {
		free(m);
		close(fd);
		return rc;
	}
	m->users = 1;
	*out = m;
	return ERR_OK;
}

enum err_code vectors_file_make(
	const char *folder, size_t dimensions, size_t capacity, struct err *e)
{
	char path[HOME_PATH_MAX], aside[HOME_PATH_MAX];
	struct vectors_map m = { .fd = -1 };
	struct vectors_head h = { .magic = MAGIC,
		.version = VERSION,
		.dimensions = (uint32_t)dimensions,
		.capacity = capacity };
	enum err_code rc = home_path(folder, NAME, path, e);
	int fd;

	if (!rc)
		rc = home_path(folder, NAME ".new", aside, e);
	if (rc)
		return rc;
	lay_out(&m, dimensions, capacity);
	h.crc = crc32c(&h, offsetof(struct vectors_head, crc));
	if (unlink(aside) != 0 && errno != ENOENT)
		return err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
	if (pwrite(fd, &h, sizeof(h), 0) != sizeof(h) || ftruncate(fd, m.file_bytes) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
	if (!rc)
		rc = home_give(fd, folder, e);
	close(fd);
	if (!rc && rename(aside, path) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (rc)
		(void)unlink(aside);
	return rc;
}

enum err_code vectors_file_remove(const char *folder, struct err *e)
{
	char path[HOME_PATH_MAX];
	enum err_code rc = home_path(folder, NAME, path, e);

	if (!rc && unlink(path) != 0 && errno != ENOENT)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	return rc;
}

void vectors_map_leave(struct vectors_map *m)
{
	if (!m || atomic_fetch_sub(&m->users, 1) != 1)
		return;
	munmap(m->at, m->bytes);
	close(m->fd);
	free(m);
}
