#include "store/gdbm_sealed.h"

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct gdbm_file {
	pthread_mutex_t lock; /* over all below: a GDBM handle is for one thread at a time */
	char home[HOME_PATH_MAX], path[HOME_PATH_MAX], prev[HOME_PATH_MAX];
	bool known; /* the rest holds for the file of this identity */
	struct gdbm_identity identity;
	struct gdbm_file_info *dbf; /* NULL = no file */
	struct gdbm_seal seal;
	bool damaged;
};

static void forget(struct gdbm_file *f)
{
	if (f->dbf)
		gdbm_sealed_close(f->dbf);
	f->dbf = NULL;
	f->known = false;
}

/* The file is unreadable for the reason in why: .prev answers in its stead. */
static enum err_code fall_back(struct gdbm_file *f, const char *why, struct err *e)
{
	struct gdbm_identity ignored;
	struct err second;
	enum err_code rc;

	if (f->dbf)
		gdbm_sealed_close(f->dbf);
	rc = gdbm_sealed_open(f->prev, &f->dbf, &f->seal, &ignored, &second);
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

static bool is_same(const struct gdbm_identity *a, const struct stat *st)
{
	return a->dev == st->st_dev && a->ino == st->st_ino && a->bytes == st->st_size &&
	       a->changed.tv_sec == st->st_ctim.tv_sec && a->changed.tv_nsec == st->st_ctim.tv_nsec;
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
	f->identity = (struct gdbm_identity){ .ino = 0 };
	rc = home_check(f->home, &first);
	if (!rc)
		rc = gdbm_sealed_open(f->path, &f->dbf, &f->seal, &f->identity, &first);
	/* Only what was understood is remembered: anything else is tried again next time. */
	f->known = rc != ERR_STORE;
	memcpy(why, first.message, sizeof(why));
	if (rc == ERR_IO || (rc == ERR_NOT_FOUND && gdbm_sealed_exists(f->prev)))
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
	rc = gdbm_sealed_paths(home, name, f->path, f->prev, e);
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

static enum err_code fetch(
	struct gdbm_file *f, bool looks, struct slice key, struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&f->lock);
	if (looks || !f->known)
		rc = refresh(f, e);
	if (!rc)
		rc = f->dbf ? gdbm_sealed_fetch(f->dbf, key, out) : ERR_NOT_FOUND;
	if (rc == ERR_IO && !f->damaged) {
		char why[256];

		snprintf(why, sizeof(why), "%.200s: a record cannot be read", f->path);
		rc = fall_back(f, why, e);
		if (!rc)
			rc = gdbm_sealed_fetch(f->dbf, key, out);
	}
	if (rc == ERR_IO || rc == ERR_NO_MEMORY)
		rc = err_set(e, ERR_STORE, "%s: a record cannot be read", f->path);
	pthread_mutex_unlock(&f->lock);
	return rc;
}

enum err_code gdbm_file_fetch(struct gdbm_file *f, struct slice key, struct buf *out, struct err *e)
{
	return fetch(f, true, key, out, e);
}

enum err_code gdbm_file_fetch_next(
	struct gdbm_file *f, struct slice key, struct buf *out, struct err *e)
{
	return fetch(f, false, key, out, e);
}

enum err_code gdbm_file_each(
	struct gdbm_file *f, gdbm_on_record on_record, void *ctx, struct err *e)
{
	struct err why = { .code = ERR_OK };
	enum err_code rc;

	pthread_mutex_lock(&f->lock);
	rc = refresh(f, e);
	if (!rc && f->dbf) {
		rc = gdbm_sealed_walk(f->dbf, &f->seal, on_record, ctx, &why);
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
