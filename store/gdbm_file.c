#include "store/gdbm_file.h"

#include "base/crypto.h"
#include "base/log.h"
#include "store/gdbm_call.h"
#include "store/home.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_BYTES 65536

/* What a file says of itself, under a key of its own. Little endian, as every number here. */
#define SEAL_KEY   SLICE("\1seal")
#define SEAL_BYTES 32

struct seal {
	uint64_t file_bytes;
	uint64_t records; /* without the seal */
	uint64_t commits;
};

/* Which file a handle stands for. The change time is in it, so that a file altered in place, or
 * given other rights, is looked at again. */
struct identity {
	dev_t dev;
	ino_t ino; /* 0 = there is none */
	off_t bytes;
	struct timespec changed;
};

struct gdbm_file {
	pthread_mutex_t lock; /* over all below: a GDBM handle is for one thread at a time */
	char home[HOME_PATH_MAX], path[HOME_PATH_MAX], prev[HOME_PATH_MAX];
	bool known; /* the rest holds for the file of this identity */
	struct identity identity;
	struct gdbm_file_info *dbf; /* NULL = no file */
	struct seal seal;
	bool damaged;
};

struct gdbm_change {
	char home[HOME_PATH_MAX], path[HOME_PATH_MAX], prev[HOME_PATH_MAX], tmp[HOME_PATH_MAX],
		link[HOME_PATH_MAX];
	struct gdbm_file_info *dbf;
	struct seal seal;
	bool replaces; /* there is a file already, to become .prev */
	bool is_anew;  /* and nothing of it is kept */
};

static bool close_handle(struct gdbm_file_info *dbf)
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

static enum err_code paths(const char *home, const char *name, char path[HOME_PATH_MAX],
	char prev[HOME_PATH_MAX], struct err *e)
{
	char longer[256];
	enum err_code rc = home_path(home, name, path, e);

	snprintf(longer, sizeof(longer), "%s.prev", name);
	return rc ? rc : home_path(home, longer, prev, e);
}

static enum err_code fetch(struct gdbm_file_info *dbf, struct slice key, struct buf *out)
{
	struct gdbm_call c = { .op = GDBM_OP_FETCH, .dbf = dbf, .key = key };

	if (!gdbm_call(&c))
		return gdbm_call_why() == GDBM_WHY_NOTHING ? ERR_NOT_FOUND : ERR_IO;
	buf_append(out, c.found.ptr, c.found.len);
	free((char *)(uintptr_t)c.found.ptr);
	return buf_ok(out) ? ERR_OK : ERR_NO_MEMORY;
}

static bool store(struct gdbm_file_info *dbf, struct slice key, struct slice value)
{
	return gdbm_call(
		&(struct gdbm_call){ .op = GDBM_OP_STORE, .dbf = dbf, .key = key, .value = value });
}

static enum err_code read_seal(struct gdbm_file_info *dbf, struct seal *seal)
{
	struct buf value = { 0 };
	const uint8_t *p;
	enum err_code rc = fetch(dbf, SEAL_KEY, &value);

	if (!rc) {
		p = (const uint8_t *)value.data;
		if (value.len != SEAL_BYTES || get64(p + SEAL_BYTES - 8) != seal_crc(p))
			rc = ERR_IO;
		else
			*seal = (struct seal){ get64(p), get64(p + 8), get64(p + 16) };
	}
	buf_fini(&value);
	return rc == ERR_NOT_FOUND ? ERR_IO : rc;
}

static bool store_seal(struct gdbm_file_info *dbf, const struct seal *seal)
{
	uint8_t value[SEAL_BYTES];

	put64(value, seal->file_bytes);
	put64(value + 8, seal->records);
	put64(value + 16, seal->commits);
	put64(value + SEAL_BYTES - 8, seal_crc(value));
	return store(dbf, SEAL_KEY, (struct slice){ (char *)value, sizeof(value) });
}

/* Opens a finished file for reading. ERR_NOT_FOUND: there is none. ERR_IO: it is damaged.
 * ERR_STORE: it must not be used, or cannot be used now (no descriptors, no memory). */
static enum err_code open_finished(const char *path, struct gdbm_file_info **dbf, struct seal *seal,
	struct identity *identity, struct err *e)
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
	*identity = (struct identity){ st.st_dev, st.st_ino, st.st_size, st.st_ctim };
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
	close_handle(*dbf);
	*dbf = NULL;
	if (rc == ERR_NO_MEMORY)
		return err_set(e, ERR_STORE, "%s: no memory", path);
	return err_set(e, ERR_IO, "%s: is not whole", path);
}

/* ERR_IO when the file is damaged, else what on_record (may be NULL) says. */
static enum err_code walk(struct gdbm_file_info *dbf, const struct seal *seal,
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
		rc = fetch(dbf, key, &value);
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

/* ---- reading ---- */

static void forget(struct gdbm_file *f)
{
	if (f->dbf)
		close_handle(f->dbf);
	f->dbf = NULL;
	f->known = false;
}

/* The file is unreadable for the reason in why: .prev answers in its stead. */
static enum err_code fall_back(struct gdbm_file *f, const char *why, struct err *e)
{
	struct identity ignored;
	struct err second;
	enum err_code rc;

	if (f->dbf)
		close_handle(f->dbf);
	rc = open_finished(f->prev, &f->dbf, &f->seal, &ignored, &second);
	f->damaged = true;
	if (!rc) {
		log_line(LOG_ERROR,
			"ALARM: %s; %s is used instead, and changes are refused until it was "
			"restored",
			why, f->prev);
		return ERR_OK;
	}
	f->dbf = NULL;
	f->known = false; /* somebody may mend either */
	return err_set(e, ERR_STORE, "%.240s; and %.240s", why, second.message);
}

static bool is_same(const struct identity *a, const struct stat *st)
{
	return a->dev == st->st_dev && a->ino == st->st_ino && a->bytes == st->st_size &&
	       a->changed.tv_sec == st->st_ctim.tv_sec && a->changed.tv_nsec == st->st_ctim.tv_nsec;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* Brings the handle up to date; afterwards f->dbf is NULL only when the file is empty. */
static enum err_code refresh(struct gdbm_file *f, struct err *e)
{
	struct err first = { .code = ERR_OK };
	char why[sizeof(first.message)];
	struct stat st = { .st_ino = 0 };
	enum err_code rc;

	if (stat(f->path, &st) != 0 && errno != ENOENT)
		return err_set(e, ERR_STORE, "%s: %s", f->path, strerror(errno));
	if (f->known && (is_same(&f->identity, &st) || (!st.st_ino && !f->identity.ino)))
		return ERR_OK;
	forget(f);
	f->damaged = false;
	f->identity = (struct identity){ .ino = 0 };
	rc = home_check(f->home, &first);
	if (!rc)
		rc = open_finished(f->path, &f->dbf, &f->seal, &f->identity, &first);
	/* Only what was understood is remembered: anything else is tried again next time. */
	f->known = rc != ERR_STORE;
	memcpy(why, first.message, sizeof(why));
	if (rc == ERR_IO || (rc == ERR_NOT_FOUND && exists(f->prev)))
		return fall_back(f, why, e);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK;
	if (rc && e)
		*e = first;
	return rc;
}

enum err_code gdbm_file_open(
	struct gdbm_file **out, const char *home, const char *name, struct err *e)
{
	struct gdbm_file *f = calloc(1, sizeof(*f));
	enum err_code rc;

	*out = NULL;
	if (!f)
		return err_set(e, ERR_NO_MEMORY, "out of memory while opening %s", name);
	pthread_mutex_init(&f->lock, NULL);
	rc = paths(home, name, f->path, f->prev, e);
	if (!rc && !slice_copy(slice_of(home), f->home, sizeof(f->home)))
		rc = err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	if (!rc)
		rc = refresh(f, e);
	if (rc)
		gdbm_file_close(f);
	else
		*out = f;
	return rc;
}

void gdbm_file_close(struct gdbm_file *f)
{
	if (!f)
		return;
	forget(f);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

enum err_code gdbm_file_fetch(struct gdbm_file *f, struct slice key, struct buf *out, struct err *e)
{
	enum err_code rc;

	pthread_mutex_lock(&f->lock);
	rc = refresh(f, e);
	if (!rc)
		rc = f->dbf ? fetch(f->dbf, key, out) : ERR_NOT_FOUND;
	if (rc == ERR_IO && !f->damaged) {
		char why[256];

		snprintf(why, sizeof(why), "%.200s: a record cannot be read", f->path);
		rc = fall_back(f, why, e);
		if (!rc)
			rc = fetch(f->dbf, key, out);
	}
	if (rc == ERR_IO || rc == ERR_NO_MEMORY)
		rc = err_set(e, ERR_STORE, "%s: a record cannot be read", f->path);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

enum err_code gdbm_file_each(
	struct gdbm_file *f, gdbm_on_record on_record, void *ctx, struct err *e)
{
	struct err why = { .code = ERR_OK };
	enum err_code rc;

	pthread_mutex_lock(&f->lock);
	rc = refresh(f, e);
	if (!rc && f->dbf) {
		rc = walk(f->dbf, &f->seal, on_record, ctx, &why);
		if (rc == ERR_IO)
			rc = err_set(e, ERR_STORE, "%s: %s", f->damaged ? f->prev : f->path,
				why.message);
		else if (rc && e)
			*e = why;
	}
	pthread_mutex_unlock(&f->lock);
	return rc;
}

bool gdbm_file_is_damaged(struct gdbm_file *f)
{
	bool damaged;

	pthread_mutex_lock(&f->lock);
	damaged = f->damaged;
	pthread_mutex_unlock(&f->lock);
	return damaged;
}

/* ---- writing ---- */

static enum err_code copy_bytes(int from, int to, const char *path, struct err *e)
{
	char *part = malloc(COPY_BYTES);
	enum err_code rc = part ? ERR_OK : err_set(e, ERR_STORE, "%s: no memory", path);
	ssize_t n = 1, done;

	while (!rc && n) {
		n = read(from, part, COPY_BYTES);
		for (ssize_t at = 0; !rc && at < n; at += done) {
			done = write(to, part + at, (size_t)(n - at));
			if (done < 0)
				rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
		}
		if (n < 0)
			rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	}
	free(part);
	return rc;
}

static enum err_code make_copy(const struct gdbm_change *c, struct err *e)
{
	int from = -1, to = open(c->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	enum err_code rc;

	if (to < 0)
		return err_set(e, ERR_STORE, "%s: %s", c->tmp, strerror(errno));
	rc = home_give(to, c->home, e);
	if (!rc && c->replaces && !c->is_anew) {
		from = open(c->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		rc = from < 0 ? err_set(e, ERR_STORE, "%s: %s", c->path, strerror(errno))
			      : copy_bytes(from, to, c->tmp, e);
	}
	if (from >= 0)
		close(from);
	close(to);
	return rc;
}

/* Is the file good, so that it may be written on? */
static enum err_code verify(
	const char *path, struct seal *seal, gdbm_on_record check, void *ctx, struct err *e)
{
	struct identity ignored;
	struct gdbm_file_info *dbf;
	enum err_code rc = open_finished(path, &dbf, seal, &ignored, e);

	if (!rc)
		rc = walk(dbf, seal, check, ctx, e);
	if (dbf)
		close_handle(dbf);
	return rc;
}

/* Is there a file that may be written on? */
static enum err_code look_at_old(
	struct gdbm_change *c, gdbm_on_record check, void *ctx, struct err *e)
{
	struct err why = { .code = ERR_OK };
	enum err_code rc = verify(c->path, &c->seal, check, ctx, &why);

	c->replaces = !rc;
	if (c->is_anew) {
		c->seal.records = 0;
		return ERR_OK;
	}
	if (rc == ERR_IO || (rc == ERR_NOT_FOUND && exists(c->prev)))
		return err_set(e, ERR_STORE,
			"%s is damaged or missing (%.160s): nothing was changed; "
			"`tollgate keys restore` brings back the state before the last change",
			c->path, why.message);
	if (rc && rc != ERR_NOT_FOUND) {
		if (e)
			*e = why;
		return rc;
	}
	return ERR_OK;
}

static enum err_code begin(struct gdbm_change *c, gdbm_on_record check, void *ctx, struct err *e)
{
	struct gdbm_call open_copy = { .path = c->tmp };
	enum err_code rc = home_check(c->home, e);
	bool is_copy;

	if (!rc)
		rc = look_at_old(c, check, ctx, e);
	if (rc)
		return rc;
	is_copy = c->replaces && !c->is_anew;
	unlink(c->tmp); /* of a writer that was killed; nobody else can be at it */
	rc = make_copy(c, e);
	if (rc)
		return rc;
	open_copy.op = is_copy ? GDBM_OP_WRITE : GDBM_OP_CREATE;
	if (gdbm_call(&open_copy))
		c->dbf = open_copy.dbf;
	/* A new file gets room for its seal first: replacing it moves nothing. */
	if (!c->dbf || (!is_copy && !store_seal(c->dbf, &c->seal)))
		return err_set(e, ERR_STORE, "%s: %s", c->tmp, gdbm_call_text());
	return ERR_OK;
}

static enum err_code change_new(struct gdbm_change **out, const char *home, const char *name,
	bool is_anew, gdbm_on_record check, void *ctx, struct err *e)
{
	struct gdbm_change *c = calloc(1, sizeof(*c));
	char longer[256];
	enum err_code rc;

	*out = NULL;
	if (!c)
		return err_set(e, ERR_NO_MEMORY, "out of memory while changing %s", name);
	c->is_anew = is_anew;
	rc = paths(home, name, c->path, c->prev, e);
	snprintf(longer, sizeof(longer), "%s.tmp", name);
	if (!rc)
		rc = home_path(home, longer, c->tmp, e);
	snprintf(longer, sizeof(longer), "%s.prev.tmp", name);
	if (!rc)
		rc = home_path(home, longer, c->link, e);
	if (!rc) {
		str_copy_cut(c->home, sizeof(c->home), home);
		rc = begin(c, check, ctx, e);
	}
	if (rc)
		gdbm_change_abort(c);
	else
		*out = c;
	return rc;
}

enum err_code gdbm_change_begin(struct gdbm_change **out, const char *home, const char *name,
	gdbm_on_record check, void *ctx, struct err *e)
{
	return change_new(out, home, name, false, check, ctx, e);
}

enum err_code gdbm_change_anew(
	struct gdbm_change **out, const char *home, const char *name, struct err *e)
{
	return change_new(out, home, name, true, NULL, NULL, e);
}

uint64_t gdbm_change_records(const struct gdbm_change *c)
{
	return c->seal.records;
}

static enum err_code changed(struct gdbm_change *c, bool worked, struct err *e)
{
	if (worked)
		return ERR_OK;
	return err_set(e, ERR_STORE, "%s: %s", c->tmp, gdbm_call_text());
}

enum err_code gdbm_change_put(
	struct gdbm_change *c, struct slice key, struct slice value, struct err *e)
{
	bool is_new =
		!gdbm_call(&(struct gdbm_call){ .op = GDBM_OP_EXISTS, .dbf = c->dbf, .key = key });
	enum err_code rc = changed(c, store(c->dbf, key, value), e);

	c->seal.records += !rc && is_new;
	return rc;
}

enum err_code gdbm_change_remove(struct gdbm_change *c, struct slice key, struct err *e)
{
	if (!gdbm_call(&(struct gdbm_call){ .op = GDBM_OP_EXISTS, .dbf = c->dbf, .key = key }))
		return ERR_NOT_FOUND;
	if (!gdbm_call(&(struct gdbm_call){ .op = GDBM_OP_DELETE, .dbf = c->dbf, .key = key }))
		return changed(c, false, e);
	c->seal.records--;
	return ERR_OK;
}

enum err_code gdbm_change_fetch(
	struct gdbm_change *c, struct slice key, struct buf *out, struct err *e)
{
	enum err_code rc = fetch(c->dbf, key, out);

	return rc == ERR_IO || rc == ERR_NO_MEMORY ? changed(c, false, e) : rc;
}

/* Writes the seal, closes the copy, and makes it durable. */
static enum err_code finish(struct gdbm_change *c, struct err *e)
{
	struct stat st;
	enum err_code rc =
		changed(c, gdbm_call(&(struct gdbm_call){ .op = GDBM_OP_SYNC, .dbf = c->dbf }), e);
	int fd;

	if (rc)
		return rc;
	if (fstat(gdbm_call_fd(c->dbf), &st) != 0)
		return err_set(e, ERR_STORE, "%s: %s", c->tmp, strerror(errno));
	c->seal.file_bytes = (uint64_t)st.st_size;
	c->seal.commits++;
	rc = changed(c, store_seal(c->dbf, &c->seal), e);
	if (!close_handle(c->dbf) && !rc)
		rc = changed(c, false, e);
	c->dbf = NULL;
	if (rc)
		return rc;
	fd = open(c->tmp, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fsync(fd) != 0 || fstat(fd, &st) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", c->tmp, strerror(errno));
	else if ((uint64_t)st.st_size != c->seal.file_bytes)
		rc = err_set(e, ERR_STORE, "%s: changed its size while it was closed", c->tmp);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Gives from a second name, which may exist already. */
static enum err_code put_name(const char *from, const char *through, const char *to, struct err *e)
{
	unlink(through);
	if (link(from, through) != 0 || rename(through, to) != 0)
		return err_set(e, ERR_STORE, "%s: %s", to, strerror(errno));
	/* When both were the same file already, rename has done nothing. */
	unlink(through);
	return ERR_OK;
}

enum err_code gdbm_change_commit(struct gdbm_change *c, struct err *e)
{
	enum err_code rc = finish(c, e);

	if (!rc && c->replaces)
		rc = put_name(c->path, c->link, c->prev, e);
	if (!rc && rename(c->tmp, c->path) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", c->path, strerror(errno));
	if (!rc)
		rc = home_sync(c->home, e);
	gdbm_change_abort(c);
	return rc;
}

void gdbm_change_abort(struct gdbm_change *c)
{
	if (!c)
		return;
	if (c->dbf)
		close_handle(c->dbf);
	if (c->tmp[0])
		unlink(c->tmp);
	free(c);
}

enum err_code gdbm_file_restore(
	const char *home, const char *name, gdbm_on_record check, void *ctx, struct err *e)
{
	char path[HOME_PATH_MAX], prev[HOME_PATH_MAX], tmp[HOME_PATH_MAX], aside[HOME_PATH_MAX];
	char longer[256];
	struct err why = { .code = ERR_OK };
	struct seal seal;
	enum err_code rc = paths(home, name, path, prev, e);

	snprintf(longer, sizeof(longer), "%s.tmp", name);
	if (!rc)
		rc = home_path(home, longer, tmp, e);
	snprintf(longer, sizeof(longer), "%s.damaged", name);
	if (!rc)
		rc = home_path(home, longer, aside, e);
	if (!rc)
		rc = home_check(home, e);
	if (rc)
		return rc;
	rc = verify(path, &seal, check, ctx, &why);
	if (!rc)
		return err_set(e, ERR_STORE, "%s is in order: nothing was changed", path);
	if (rc != ERR_IO && rc != ERR_NOT_FOUND) {
		if (e)
			*e = why;
		return rc;
	}
	rc = verify(prev, &seal, check, ctx, &why);
	if (rc)
		return err_set(e, ERR_STORE, "%s cannot be used either: %s", prev, why.message);
	if (exists(path) && put_name(path, tmp, aside, e))
		return ERR_STORE;
	rc = put_name(prev, tmp, path, e);
	return rc ? rc : home_sync(home, e);
}
