#include "store/gdbm_sealed.h"

#include "base/crypto.h"
#include "store/gdbm_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Little endian, as every number here. */
#define SEAL_KEY   SLICE("\1seal")
#define SEAL_BYTES 32

bool gdbm_sealed_close(struct gdbm_file_info *dbf)
{
	return gdbm_call(&(struct gdbm_call){ .op = GDBM_OP_CLOSE, .dbf = dbf });
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t n = 0;

	for (int i = 7; i >= 0; i--)
		n = n << 8 | p[i];
	return n;
}

static void put64(uint8_t *p, uint64_t n)
{
	for (int i = 0; i < 8; i++, n >>= 8)
		p[i] = (uint8_t)n;
}

static uint32_t seal_crc(const uint8_t *p)
{
	return crypto_crc32((struct slice){ (const char *)p, SEAL_BYTES - 8 });
}

enum err_code gdbm_sealed_paths(const char *home, const char *name, char path[HOME_PATH_MAX],
	char prev[HOME_PATH_MAX], struct err *e)
{
	char longer[256];
	enum err_code rc = home_path(home, name, path, e);

	snprintf(longer, sizeof(longer), "%s.prev", name);
	return rc ? rc : home_path(home, longer, prev, e);
}

enum err_code gdbm_sealed_fetch(struct gdbm_file_info *dbf, struct slice key, struct buf *out)
{
	struct gdbm_call c = { .op = GDBM_OP_FETCH, .dbf = dbf, .key = key };

	if (!gdbm_call(&c))
		return gdbm_call_why() == GDBM_WHY_NOTHING ? ERR_NOT_FOUND : ERR_IO;
	buf_append(out, c.found.ptr, c.found.len);
	free((char *)(uintptr_t)c.found.ptr);
	return buf_ok(out) ? ERR_OK : ERR_NO_MEMORY;
}

bool gdbm_sealed_store(struct gdbm_file_info *dbf, struct slice key, struct slice value)
{
	return gdbm_call(
		&(struct gdbm_call){ .op = GDBM_OP_STORE, .dbf = dbf, .key = key, .value = value });
}

static enum err_code read_seal(struct gdbm_file_info *dbf, struct gdbm_seal *seal)
{
	struct buf value = { 0 };
	const uint8_t *p;
	enum err_code rc = gdbm_sealed_fetch(dbf, SEAL_KEY, &value);

	if (!rc) {
		p = (const uint8_t *)value.data;
		if (value.len != SEAL_BYTES || get64(p + SEAL_BYTES - 8) != seal_crc(p))
			rc = ERR_IO;
		else
			*seal = (struct gdbm_seal){ get64(p), get64(p + 8), get64(p + 16) };
	}
	buf_fini(&value);
	return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}

bool gdbm_sealed_seal(struct gdbm_file_info *dbf, const struct gdbm_seal *seal)
{
	uint8_t value[SEAL_BYTES];

	put64(value, seal->file_bytes);
	put64(value + 8, seal->records);
	put64(value + 16, seal->commits);
	put64(value + SEAL_BYTES - 8, seal_crc(value));
	return gdbm_sealed_store(dbf, SEAL_KEY, (struct slice){ (char *)value, sizeof(value) });
}

enum err_code gdbm_sealed_open(const char *path, struct gdbm_file_info **dbf,
	struct gdbm_seal *seal, struct gdbm_identity *identity, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct gdbm_call c = { .op = GDBM_OP_READ, .path = path, .fd = fd };
	struct stat st;
	enum err_code rc;

	*dbf = NULL;
	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORE, "%s: %s", path,
			strerror(errno));
	if (fstat(fd, &st) != 0) {
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	*identity = (struct gdbm_identity){ st.st_dev, st.st_ino, st.st_size, st.st_ctim };
	rc = home_check_file(path, &st, e);
	if (rc) {
		close(fd);
		return rc;
	}
	if (!gdbm_call(&c))
		return err_set(e, gdbm_call_why() == GDBM_WHY_MEMORY ? ERR_STORE : ERR_IO, "%s: %s",
			path, gdbm_call_text());
	*dbf = c.dbf;
	rc = read_seal(*dbf, seal);
	if (!rc && seal->file_bytes == (uint64_t)st.st_size)
		return ERR_OK;
	gdbm_sealed_close(*dbf);
	*dbf = NULL;
	if (rc == ERR_NO_MEMORY)
		return err_set(e, ERR_STORE, "%s: no memory", path);
	return err_set(e, ERR_IO, "%s: is not whole", path);
}

enum err_code gdbm_sealed_walk(struct gdbm_file_info *dbf, const struct gdbm_seal *seal,
	gdbm_on_record on_record, void *ctx, struct err *e)
{
	uint64_t count = 0;
	struct buf value = { 0 };
	enum err_code rc = ERR_OK;
	struct gdbm_call c = { .op = GDBM_OP_FIRST, .dbf = dbf };
	bool more = gdbm_call(&c);

	while (more && !rc) {
		struct slice key = c.found;

		buf_reset(&value);
		rc = gdbm_sealed_fetch(dbf, key, &value);
		if (rc == ERR_NO_MEMORY)
			rc = err_set(e, ERR_STORE, "no memory");
		else if (rc)
			rc = err_set(e, ERR_IO, "a record cannot be read");
		else if (!slice_eq(key, SEAL_KEY)) {
			/* A file gone wrong can lead in circles. */
			if (++count > seal->records)
				rc = err_set(e, ERR_IO, "it has records too many");
			else if (on_record)
				rc = on_record(ctx, key, buf_slice(&value), e);
		}
		c = (struct gdbm_call){ .op = GDBM_OP_NEXT, .dbf = dbf, .key = key };
		more = !rc && gdbm_call(&c);
		free((char *)(uintptr_t)key.ptr);
	}
	if (!rc && gdbm_call_why() != GDBM_WHY_NOTHING)
		rc = err_set(e, ERR_IO, "%s", gdbm_call_text());
	if (!rc && count != seal->records)
		rc = err_set(e, ERR_IO, "records are missing");
	buf_fini(&value);
	return rc;
}

bool gdbm_sealed_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}
