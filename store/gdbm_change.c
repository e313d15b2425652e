#include "store/gdbm_sealed.h"

#include "store/gdbm_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES 65536

struct gdbm_change {
	char home[HOME_PATH_MAX], path[HOME_PATH_MAX], prev[HOME_PATH_MAX], tmp[HOME_PATH_MAX],
		link[HOME_PATH_MAX];
	struct gdbm_file_info *dbf;
	struct gdbm_seal seal;
	bool replaces; /* there is a file already, to become .prev */
	bool is_anew;  /* and nothing of it is kept */
};

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
	const char *path, struct gdbm_seal *seal, gdbm_on_record check, void *ctx, struct err *e)
{
	struct gdbm_identity ignored;
	struct gdbm_file_info *dbf;
	enum err_code rc = gdbm_sealed_open(path, &dbf, seal, &ignored, e);

	if (!rc)
		rc = gdbm_sealed_walk(dbf, seal, check, ctx, e);
	if (dbf)
		gdbm_sealed_close(dbf);
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
	if (rc == ERR_IO || (rc == ERR_NOT_FOUND && gdbm_sealed_exists(c->prev)))
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
	if (!c->dbf || (!is_copy && !gdbm_sealed_seal(c->dbf, &c->seal)))
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
	rc = gdbm_sealed_paths(home, name, c->path, c->prev, e);
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
	enum err_code rc = changed(c, gdbm_sealed_store(c->dbf, key, value), e);

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
	enum err_code rc = gdbm_sealed_fetch(c->dbf, key, out);

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
	rc = changed(c, gdbm_sealed_seal(c->dbf, &c->seal), e);
	if (!gdbm_sealed_close(c->dbf) && !rc)
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
		gdbm_sealed_close(c->dbf);
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
	struct gdbm_seal seal;
	enum err_code rc = gdbm_sealed_paths(home, name, path, prev, e);

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
	if (gdbm_sealed_exists(path) && put_name(path, tmp, aside, e))
		return ERR_STORE;
	rc = put_name(prev, tmp, path, e);
	return rc ? rc : home_sync(home, e);
}
