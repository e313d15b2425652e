#include "gateway/catalog_live.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#define STALE_MS (3 * CATALOG_LIVE_LOOK_MS)

/* What tells one state of a file from another; all 0 = it is not there. */
struct mark {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct copy {
	struct catalog_copy lent; /* first: it is what callers hold */
	struct catalog *catalog;
	struct buf listing[2];
	unsigned users; /* those who took it, and the owner while it is the newest */
};

struct catalog_live {
	const struct conf *conf;
	struct catalog_files files;
	pthread_mutex_t lock;
	struct copy *newest;
	struct mark marks[CATALOG_FILES]; /* of the files that newest, or the last failure, is of */
	int64_t look_ms;                  /* monotonic, when to look again */
	int64_t seen_ms;                  /* when they were looked at last */
	bool is_reading;                  /* somebody is */
	pthread_cond_t read;              /* that has ended */
};

static void look(const struct catalog_files *files, struct mark marks[CATALOG_FILES])
{
	for (size_t i = 0; i < CATALOG_FILES; i++) {
		struct stat st;

		memset(&marks[i], 0, sizeof(marks[i]));
		if (!files->path[i][0] || stat(files->path[i], &st) != 0)
			continue;
		marks[i].device = st.st_dev;
		marks[i].inode = st.st_ino;
		marks[i].size = st.st_size;
		marks[i].changed = st.st_mtim;
	}
}

static bool is_same(const struct mark *a, const struct mark *b)
{
	for (size_t i = 0; i < CATALOG_FILES; i++)
		if (a[i].device != b[i].device || a[i].inode != b[i].inode ||
			a[i].size != b[i].size || a[i].changed.tv_sec != b[i].changed.tv_sec ||
			a[i].changed.tv_nsec != b[i].changed.tv_nsec)
			return false;
	return true;
}

static enum err_code read_copy(const struct conf *conf, struct copy **out, struct err *e)
{
	struct copy *copy = calloc(1, sizeof(*copy));
	enum err_code rc;

	*out = NULL;
	if (!copy)
		return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue of models");
	rc = catalog_load(conf, &copy->catalog, e);
	if (rc) {
		free(copy);
		return rc;
	}
	copy->lent.catalog = copy->catalog;
	copy->users = 1;
	*out = copy;
	return ERR_OK;
}

static void end(struct copy *copy)
{
	catalog_fini(copy->catalog);
	buf_fini(&copy->listing[0]);
	buf_fini(&copy->listing[1]);
	free(copy);
}

/* Locked. The copy that nobody holds any more, to be ended without the lock; else NULL. */
static struct copy *let_go(struct copy *copy)
{
	return --copy->users ? NULL : copy;
}

enum err_code catalog_live_open(
	const struct conf *conf, int64_t now_mono_ms, struct catalog_live **out, struct err *e)
{
	struct catalog_live *l = calloc(1, sizeof(*l));
	enum err_code rc;

	*out = NULL;
	if (!l)
		return err_set(e, ERR_NO_MEMORY, "no memory for the catalogue of models");
	l->conf = conf;
	l->look_ms = now_mono_ms + CATALOG_LIVE_LOOK_MS;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->read, NULL);
	rc = catalog_find_files(conf, &l->files, e);
	/* Looked at before they are read: what changes in between is read once more. */
	if (!rc)
		look(&l->files, l->marks);
	if (!rc)
		rc = read_copy(conf, &l->newest, e);
	if (rc) {
		catalog_live_close(l);
		return rc;
	}
	*out = l;
	return ERR_OK;
}

void catalog_live_close(struct catalog_live *l)
{
	if (!l)
		return;
	if (l->newest)
		end(l->newest);
	pthread_cond_destroy(&l->read);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void log_drained(const struct catalog *was, const struct catalog *is)
{
	for (size_t i = 0; i < catalog_provider_count(is); i++) {
		const struct catalog_provider *p = catalog_provider_at(is, i),
					      *q = catalog_provider_find(was, slice_of(p->slug));

		if (p->drained != (q && q->drained))
			log_line(LOG_INFO, "provider=%s status=%s", p->slug,
				p->drained ? "drained" : "resumed");
	}
}

/* Takes the place of the newest copy, unless reading fails. */
static void read_anew(struct catalog_live *l, const struct mark *marks)
{
	struct copy *copy, *old = NULL;
	struct err e;

	if (read_copy(l->conf, &copy, &e))
		log_line(LOG_ERROR, "the changed catalogue is not used: %s", e.message);
	else
		log_drained(l->newest->catalog, copy->catalog); /* only we put another there */
	pthread_mutex_lock(&l->lock);
	memcpy(l->marks, marks, sizeof(l->marks));
	if (copy) {
		old = let_go(l->newest);
		l->newest = copy;
	}
	l->is_reading = false;
	pthread_mutex_unlock(&l->lock);
	if (copy)
		log_line(LOG_INFO, "the catalogue has changed: %zu models",
			catalog_model_count(copy->catalog));
	if (old)
		end(old);
}

static void look_again(struct catalog_live *l)
{
	struct mark marks[CATALOG_FILES];

	look(&l->files, marks);
	/* Nobody else writes the marks meanwhile: is_reading is ours. */
	if (!is_same(marks, l->marks)) {
		read_anew(l, marks);
		return;
	}
	pthread_mutex_lock(&l->lock);
	l->is_reading = false;
	pthread_mutex_unlock(&l->lock);
}

struct catalog_copy *catalog_live_take(struct catalog_live *l, int64_t now_mono_ms)
{
	struct copy *copy;
	bool looks;

	pthread_mutex_lock(&l->lock);
	looks = !l->is_reading && now_mono_ms >= l->look_ms;
	if (looks) {
		l->is_reading = true;
		l->look_ms = now_mono_ms + CATALOG_LIVE_LOOK_MS;
		pthread_mutex_unlock(&l->lock);
		look_again(l);
		pthread_mutex_lock(&l->lock);
		l->seen_ms = now_mono_ms;
		pthread_cond_broadcast(&l->read);
	}
	/* Mostly the copy before is good enough; but not one that nobody has looked after for long.
	 */
	while (l->is_reading && now_mono_ms - l->seen_ms > STALE_MS)
		pthread_cond_wait(&l->read, &l->lock);
	copy = l->newest;
	copy->users++;
	pthread_mutex_unlock(&l->lock);
	return &copy->lent;
}

void catalog_live_drop(struct catalog_live *l, struct catalog_copy *lent)
{
	struct copy *unused;

	if (!lent)
		return;
	pthread_mutex_lock(&l->lock);
	unused = let_go((struct copy *)lent);
	pthread_mutex_unlock(&l->lock);
	if (unused)
		end(unused);
}

const struct buf *catalog_live_listing(
	struct catalog_live *l, struct catalog_copy *lent, catalog_writer writer, bool all)
{
	struct copy *copy = (struct copy *)lent;
	struct buf *text = &copy->listing[all];

	pthread_mutex_lock(&l->lock);
	if (!text->len)
		writer(copy->catalog, all, text);
	pthread_mutex_unlock(&l->lock);
	return text;
}
