#include "store/cache_slices.h"

#include "base/clock.h"
#include "store/crc32c.h"
#include "store/fault.h"
#include "store/mutex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#define MAGIC       UINT64_C(0x3144414548434754) /* "TGCHEAD1" */
#define VERSION     2
#define ATTACH_MS   2000
#define STEP_MS     2
#define STUCK_MS    200
#define MIN_SLOTS   1024
#define MAX_BUCKETS (UINT64_C(1) << 28)
#define SHM_FOLDER  "/dev/shm"
#define PREFIX      "slice."

/* ---- the folder ---- */

static enum err_code where(struct slices *s, const char *home, struct err *e)
{
	struct statfs fs;
	struct stat st;

	if (stat(home, &st) != 0)
		return err_set(e, ERR_STORE, "%s: %s", home, strerror(errno));
	if (s->base.conf.engine != CACHE_MEMORY || statfs(SHM_FOLDER, &fs) != 0 ||
		fs.f_type != TMPFS_MAGIC || access(SHM_FOLDER, R_OK | W_OK | X_OK) != 0)
		return home_path(home, "cache", s->folder, e);
	snprintf(s->folder, sizeof(s->folder),
		SHM_FOLDER "/tollgate-%u-%" PRIx64 "-%" PRIx64 ".cache", (unsigned)st.st_uid,
		(uint64_t)st.st_dev, (uint64_t)st.st_ino);
	return ERR_OK;
}

static enum err_code make_folder(struct slices *s, const char *home, struct err *e)
{
	bool is_new = access(s->folder, F_OK) != 0;
	enum err_code rc = home_make(s->folder, e);
	int fd;

	if (rc || !is_new)
		return rc;
	fd = open(s->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", s->folder, strerror(errno));
	rc = home_give(fd, home, e);
	close(fd);
	return rc;
}

void slices_path(const struct slices *s, uint32_t number, char out[HOME_PATH_MAX])
{
	char name[32];

	snprintf(name, sizeof(name), PREFIX "%" PRIu32, number);
	/* cache.head in the same folder was not too long, and this is not much longer. */
	if (home_path(s->folder, name, out, NULL))
		out[0] = '\0';
}

static uint32_t number_of(const char *name)
{
	struct slice text = slice_of(name);
	int64_t number = 0;

	if (!slice_starts(text, PREFIX) ||
		!str_int(slice_from(text, sizeof(PREFIX) - 1), 1, UINT32_MAX, &number))
		return 0;
	return (uint32_t)number;
}

void slices_sweep(struct slices *s)
{
	DIR *d = opendir(s->folder);
	struct dirent *entry;
	uint32_t number;

	while (d && s->doomed_n < SLICES_ROWS && (entry = readdir(d))) {
		number = number_of(entry->d_name);
		if (number && !slices_row(s, number))
			s->doomed[s->doomed_n++] = number;
	}
	if (d)
		closedir(d);
}

/* Emptied before: another process may keep the file open for long. */
static void unlink_doomed(const struct slices *s, const uint32_t *numbers, unsigned n)
{
	char path[HOME_PATH_MAX];

	for (unsigned i = 0; i < n; i++) {
		slices_path(s, numbers[i], path);
		if (truncate(path, 0) == 0 || errno != ENOENT)
			(void)unlink(path);
	}
}

/* ---- the mutex ---- */

/* Its last owner died with it. */
static void mend(struct slices *s)
{
	struct slices_row *row = slices_row(s, s->head->writing);

	if (row && !fault_at("cache.keep_torn"))
		slices_drop(s, row);
	s->head->writing = 0;
	slices_recount(s);
}

bool slices_lock(struct slices *s, int64_t wait_ms)
{
	int64_t now_ms = clock_mono_ms();
	int rc;

	if (now_ms < s->stuck_until_ms && wait_ms <= CACHE_LOCK_MS)
		wait_ms = 0;
	rc = mutex_lock_for(&s->head->mutex, wait_ms);
	if (rc == ETIMEDOUT && wait_ms)
		s->stuck_until_ms = clock_mono_ms() + STUCK_MS;
	if (rc == EOWNERDEAD) {
		mend(s);
		rc = pthread_mutex_consistent(&s->head->mutex);
	}
	if (rc)
		return false;
	s->head->held = 1;
	return true;
}

void slices_unlock(struct slices *s)
{
	uint32_t doomed[SLICES_ROWS];
	unsigned n = s->doomed_n;

	memcpy(doomed, s->doomed, n * sizeof(*doomed));
	s->doomed_n = 0;
	s->head->held = 0;
	pthread_mutex_unlock(&s->head->mutex);
	if (n)
		unlink_doomed(s, doomed, n);
}

/* ---- the head ---- */

static size_t head_bytes(uint64_t buckets)
{
	return sizeof(struct slices_head) + buckets * SLICES_WAYS * sizeof(struct slices_slot);
}

/* Three quarters full, a bucket's two places for an entry suffice. */
static uint64_t buckets_for(int64_t max_entries)
{
	uint64_t slots = (uint64_t)max_entries + (uint64_t)max_entries / 3, n = MIN_SLOTS;

	while (n < slots && n < MAX_BUCKETS * SLICES_WAYS)
		n *= 2;
	return n / SLICES_WAYS;
}

static uint64_t head_check(const struct slices_head *h)
{
	return UINT64_C(1) << 32 | crc32c(h, offsetof(struct slices_head, check));
}

static void unmap(struct slices *s)
{
	if (s->head)
		munmap(s->head, s->mapped_bytes);
	s->head = NULL;
}

static enum err_code map(struct slices *s, int fd, const char *path, size_t bytes, struct err *e)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return err_set(e, ERR_STORE, "%s: cannot be mapped: %s", path, strerror(errno));
	s->head = p;
	s->mapped_bytes = bytes;
	s->slots = (void *)(s->head + 1);
	return ERR_OK;
}

static bool is_head(const struct slices *s)
{
	const struct slices_head *h = s->head;

	return h->magic == MAGIC && h->version == VERSION &&
	       h->mutex_bytes == sizeof(pthread_mutex_t) && h->check == head_check(h) &&
	       h->buckets && h->buckets <= MAX_BUCKETS && !(h->buckets & (h->buckets - 1)) &&
	       s->mapped_bytes == head_bytes(h->buckets);
}

/* Leaves s->head NULL when there is no file, or none that is a head; *st is the file's. */
static enum err_code open_head(struct slices *s, const char *path, struct stat *st, struct err *e)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum err_code rc = ERR_OK;

	*st = (struct stat){ .st_ino = 0 };
	if (fd < 0)
		return errno == ENOENT ? ERR_OK
				       : err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (fstat(fd, st) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (!rc)
		rc = home_check_file(path, st, e);
	if (!rc && st->st_size >= (off_t)head_bytes(1))
		rc = map(s, fd, path, (size_t)st->st_size, e);
	close(fd);
	if (s->head && !is_head(s))
		unmap(s);
	return rc;
}

static enum err_code make_head(struct slices *s, const char *path, struct stat *st, struct err *e)
{
	uint64_t buckets = buckets_for(s->base.conf.max_entries);
	enum err_code rc;
	int fd, wrong;

	unmap(s);
	if (unlink(path) != 0 && errno != ENOENT)
		return err_set(e, ERR_STORE, "%s: cannot be removed: %s", path, strerror(errno));
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	rc = home_give(fd, s->folder, e);
	/* A page that is touched first when the disk is full would end the process. */
	wrong = fault_at("cache.allocate");
	if (!wrong)
		wrong = posix_fallocate(fd, 0, (off_t)head_bytes(buckets));
	if (!rc && (wrong || fstat(fd, st) != 0))
		rc = err_set(e, ERR_STORE, "%s: no room for its %zu KB: %s", path,
			head_bytes(buckets) >> 10, strerror(wrong));
	if (!rc)
		rc = map(s, fd, path, head_bytes(buckets), e);
	close(fd);
	if (rc) {
		unlink(path);
		return rc;
	}
	s->head->magic = MAGIC;
	s->head->version = VERSION;
	s->head->mutex_bytes = sizeof(pthread_mutex_t);
	s->head->buckets = buckets;
	s->head->check = head_check(s->head);
	s->head->since_ms = clock_wall_ms();
	return ERR_OK;
}

/* Is the slice's file as the row has it? */
static bool is_row(const struct slices *s, const struct slices_row *row)
{
	char path[HOME_PATH_MAX];
	struct stat st;

	slices_path(s, row->number, path);
	return &s->head->rows[row->number % SLICES_ROWS] == row &&
	       row->number != s->head->writing && row->width_ms > 0 && stat(path, &st) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == row->file_bytes;
}

/* Nobody else uses the folder. */
static enum err_code attach_alone(
	struct slices *s, const char *path, struct stat *st, struct err *e)
{
	enum err_code rc = open_head(s, path, st, e);
	bool count;
	int wrong;

	if (!rc && (!s->head || s->head->buckets < buckets_for(s->base.conf.max_entries)))
		rc = make_head(s, path, st, e);
	if (rc)
		return rc;
	wrong = mutex_init_shared(&s->head->mutex);
	if (wrong)
		return err_set(e, ERR_STORE, "%s: no mutex: %s", path, strerror(wrong));
	count = s->head->held;
	for (struct slices_row *row = s->head->rows; row < s->head->rows + SLICES_ROWS; row++)
		if (row->number && !is_row(s, row)) {
			*row = (struct slices_row){ .number = 0 };
			count = true;
		}
	s->head->writing = s->head->held = 0;
	if (count)
		slices_recount(s);
	slices_sweep(s);
	unlink_doomed(s, s->doomed, s->doomed_n);
	s->doomed_n = 0;
	return ERR_OK;
}

static enum err_code attach_beside(
	struct slices *s, const char *path, struct stat *st, struct err *e)
{
	enum err_code rc = open_head(s, path, st, e);

	if (!rc && !s->head)
		rc = err_set(e, ERR_STORE,
			"%s is damaged or of another version of this program while others use it: "
			"stop all of them, then start again",
			path);
	return rc;
}

/* Sharing a lock that was held alone is not one step: another may have made another head. */
static bool is_same(const char *path, const struct stat *st)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_ino == st->st_ino && now.st_dev == st->st_dev;
}

static enum err_code attach(struct slices *s, const char *path, int64_t deadline, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct stat st;

	for (;;) {
		if (flock(s->lock_fd, LOCK_EX | LOCK_NB) == 0) {
			rc = attach_alone(s, path, &st, e);
			if (!rc && flock(s->lock_fd, LOCK_SH | LOCK_NB) == 0 && is_same(path, &st))
				return ERR_OK;
		} else if (flock(s->lock_fd, LOCK_SH | LOCK_NB) == 0) {
			rc = attach_beside(s, path, &st, e);
			if (!rc && is_same(path, &st))
				return ERR_OK;
		} else if (errno != EWOULDBLOCK && errno != EINTR) {
			rc = err_set(e, ERR_STORE, "%s/cache.lock cannot be locked: %s", s->folder,
				strerror(errno));
		}
		unmap(s);
		if (rc)
			return rc;
		if (clock_mono_ms() >= deadline)
			return err_set(e, ERR_BUSY, "%s is being made by another process", path);
		flock(s->lock_fd, LOCK_UN);
		poll(NULL, 0, STEP_MS);
	}
}

enum err_code slices_attach(struct slices *s, struct err *e)
{
	const char *home = s->base.conf.home;
	char path[HOME_PATH_MAX];
	enum err_code rc = where(s, home, e);

	if (!rc)
		rc = make_folder(s, home, e);
	if (!rc)
		rc = home_path(s->folder, "cache.lock", path, e);
	if (rc)
		return rc;
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	rc = home_give(s->lock_fd, s->folder, e);
	if (!rc)
		rc = home_path(s->folder, "cache.head", path, e);
	if (!rc)
		rc = attach(s, path, clock_mono_ms() + ATTACH_MS, e);
	if (!rc)
		s->me = atomic_fetch_add(&s->head->writers, 1) + 1;
	return rc;
}

void slices_detach(struct slices *s)
{
	unmap(s);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	s->lock_fd = -1;
}
