#include "store/archive.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define MAGIC     UINT32_C(0x315A4754) /* "TGZ1" */
#define LEVEL     6
#define FILE_MAX  ((size_t)1 << 30)
#define BLOCK_MAX ((size_t)ARCHIVE_BLOCK * RECORD_BYTES)
#define DEFLATED  (BLOCK_MAX + BLOCK_MAX / 1000 + 1024) /* zlib's compressBound() is below */

struct head {
	uint32_t magic;
	uint32_t format;
	uint64_t segment;
};

struct block {
	uint32_t records;
	uint32_t bytes; /* deflated */
};

struct writer {
	struct buf out;
	uint8_t *lines;   /* ARCHIVE_BLOCK records */
	uint8_t *columns; /* the same, turned */
	uint32_t n;
};

static enum err_code path_of(
	const struct journal *j, uint64_t segment, char out[HOME_PATH_MAX], struct err *e)
{
	char name[64];

	snprintf(name, sizeof(name), ARCHIVE_FOLDER "/journal.%08" PRIu64 ".z", segment);
	return home_path(j->home, name, out, e);
}

/* The names are turned whole: their bytes tell nothing by themselves, but they repeat. */
#define NAMES_FROM (offsetof(struct record, settle) + offsetof(struct record_settle, key))
#define NAMES_TO   (offsetof(struct record, settle) + offsetof(struct record_settle, cost_microusd))

static void turn(uint8_t *lines, uint8_t *columns, size_t n, bool back)
{
	size_t width;

	for (size_t at = 0; at < RECORD_BYTES; at += width) {
		width = at >= NAMES_FROM && at < NAMES_TO ? sizeof(uint64_t) : 1;
		for (size_t l = 0; l < n; l++) {
			uint8_t *line = lines + l * RECORD_BYTES + at;
			uint8_t *column = columns + at * n + l * width;

			memcpy(back ? line : column, back ? column : line, width);
		}
	}
}

static enum err_code flush(struct writer *w, struct err *e)
{
	struct block b = { .records = w->n };
	uLongf n = DEFLATED;
	char *room;

	if (!w->n)
		return ERR_OK;
	turn(w->lines, w->columns, w->n, false);
	buf_append(&w->out, &b, sizeof(b));
	room = buf_room(&w->out, DEFLATED);
	if (!room ||
		compress2((Bytef *)room, &n, w->columns, (uLong)w->n * RECORD_BYTES, LEVEL) != Z_OK)
		return err_set(e, ERR_NO_MEMORY, "no memory to compress the journal");
	b.bytes = (uint32_t)n;
	memcpy(room - sizeof(b), &b, sizeof(b));
	buf_commit(&w->out, n);
	w->n = 0;
	return ERR_OK;
}

static enum err_code on_record(
	void *ctx, const struct record *r, uint64_t segment, uint64_t offset, struct err *e)
{
	struct writer *w = ctx;
	struct record bare = *r;

	(void)segment;
	(void)offset;
	bare.magic = bare.crc = 0;
	memcpy(w->lines + (size_t)w->n * RECORD_BYTES, &bare, RECORD_BYTES);
	return ++w->n == ARCHIVE_BLOCK ? flush(w, e) : ERR_OK;
}

static enum err_code save(
	const struct journal *j, const char *path, struct slice bytes, struct err *e)
{
	char folder[HOME_PATH_MAX], aside[HOME_PATH_MAX];
	enum err_code rc = home_path(j->home, ARCHIVE_FOLDER, folder, e);
	size_t done = 0;
	int fd;

	if (!rc)
		rc = home_path(folder, "new.z", aside, e);
	if (rc)
		return rc;
	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
	rc = home_give(fd, j->home, e);
	while (!rc && done < bytes.len) {
		ssize_t n = write(fd, bytes.ptr + done, bytes.len - done);

		if (n <= 0)
			rc = err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
		else
			done += (size_t)n;
	}
	if (!rc && (fsync(fd) != 0 || rename(aside, path) != 0))
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	close(fd);
	return rc ? rc : home_sync(folder, e);
}

static enum err_code make_folder(const struct journal *j, struct err *e)
{
	char folder[HOME_PATH_MAX];
	enum err_code rc = home_path(j->home, ARCHIVE_FOLDER, folder, e);
	int fd;

	if (rc || access(folder, F_OK) == 0)
		return rc;
	rc = home_make(folder, e);
	fd = rc ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		rc = home_give(fd, j->home, e);
		close(fd);
	}
	return rc;
}

enum err_code archive_put(const struct journal *j, uint64_t segment, struct err *e)
{
	struct head head = { MAGIC, JOURNAL_FORMAT, segment };
	struct journal_scan scan = { .closed = true };
	struct writer w = { .lines = malloc(BLOCK_MAX), .columns = malloc(BLOCK_MAX) };
	char path[HOME_PATH_MAX];
	int fd = -1;
	enum err_code rc = make_folder(j, e);

	buf_init(&w.out, FILE_MAX);
	buf_append(&w.out, &head, sizeof(head));
	if (!rc)
		rc = path_of(j, segment, path, e);
	if (rc || access(path, F_OK) == 0)
		goto out;
	if (!w.lines || !w.columns)
		rc = err_set(e, ERR_NO_MEMORY, "no memory to compress the journal");
	if (!rc)
		rc = journal_read_open(j, segment, &fd, e);
	if (!rc)
		rc = journal_scan(j, fd, segment, &scan, on_record, &w, e);
	if (!rc)
		rc = flush(&w, e);
	if (!rc)
		rc = save(j, path, buf_slice(&w.out), e);
out:
	if (fd >= 0)
		close(fd);
	free(w.lines);
	free(w.columns);
	buf_fini(&w.out);
	return rc;
}

/* ---- reading ---- */

static bool read_exactly(int fd, void *to, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, (char *)to + done, n - done);

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

static enum err_code each_block(int fd, const char *path, uint64_t segment, uint8_t *deflated,
	uint8_t *columns, uint8_t *lines, journal_on_record on, void *ctx, struct err *e)
{
	uint64_t offset = RECORD_BYTES;
	enum err_code rc = ERR_OK;
	struct block b;

	while (!rc && read_exactly(fd, &b, sizeof(b))) {
		uLongf n = BLOCK_MAX;

		if (b.records > ARCHIVE_BLOCK || b.bytes > DEFLATED ||
			!read_exactly(fd, deflated, b.bytes) ||
			uncompress(columns, &n, deflated, b.bytes) != Z_OK ||
			n != (uLongf)b.records * RECORD_BYTES)
			return err_set(
				e, ERR_STORE, "%s is damaged: restore it from a backup", path);
		turn(lines, columns, b.records, true);
		for (uint32_t i = 0; i < b.records && !rc; i++, offset += RECORD_BYTES) {
			struct record r;

			memcpy(&r, lines + (size_t)i * RECORD_BYTES, RECORD_BYTES);
			record_seal(&r);
			rc = on(ctx, &r, segment, offset, e);
		}
	}
	return rc;
}

enum err_code archive_each(
	const struct journal *j, uint64_t segment, journal_on_record on, void *ctx, struct err *e)
{
	uint8_t *deflated = malloc(DEFLATED), *columns = malloc(BLOCK_MAX);
	uint8_t *lines = malloc(BLOCK_MAX);
	char path[HOME_PATH_MAX];
	struct head head;
	int fd = -1;
	enum err_code rc = path_of(j, segment, path, e);

	if (!rc && (!deflated || !columns || !lines))
		rc = err_set(e, ERR_NO_MEMORY, "no memory to read the archive");
	if (!rc) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			rc = err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORE, "%s: %s", path,
				strerror(errno));
	}
	if (!rc && (!read_exactly(fd, &head, sizeof(head)) || head.magic != MAGIC ||
			   head.segment != segment || head.format > JOURNAL_FORMAT))
		rc = err_set(e, ERR_STORE,
			"%s is damaged or of a newer program: restore it from a backup", path);
	if (!rc)
		rc = each_block(fd, path, segment, deflated, columns, lines, on, ctx, e);
	if (fd >= 0)
		close(fd);
	free(deflated);
	free(columns);
	free(lines);
	return rc;
}
