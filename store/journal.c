#include "store/journal.h"

#include "base/crypto.h"
#include "store/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <unistd.h>

#define PREFIX       "journal."
#define FORMAT_FILE  "ledger.format"
#define FORMAT_WORDS "tollgate ledger format "
#define SCAN_BYTES   ((size_t)1 << 18)
#define MIN_FREE     (UINT64_C(64) << 20) /* where room cannot be asked for */
#define APPEND_TRIES 10000

enum err_code journal_path(
	const struct journal *j, uint64_t segment, char out[HOME_PATH_MAX], struct err *e)
{
	char name[32];

	snprintf(name, sizeof(name), PREFIX "%08" PRIu64, segment);
	return home_path(j->home, name, out, e);
}

/* ---- opening ---- */

/* Locks and mappings of these are not shared by all who see the file, or not at all. */
static const struct remote {
	uint64_t type;
	const char *name;
} remotes[] = {
	{ NFS_SUPER_MAGIC, "NFS" },
	{ SMB_SUPER_MAGIC, "SMB" },
	{ 0xFF534D42, "CIFS" },
	{ 0xFE534D42, "SMB2" },
	{ CODA_SUPER_MAGIC, "Coda" },
	{ AFS_SUPER_MAGIC, "AFS" },
	{ V9FS_MAGIC, "9P" },
	{ 0x65735546, "FUSE" },
	{ 0x00C36400, "Ceph" },
	{ 0x0BD00BD0, "Lustre" },
	{ 0x01161970, "GFS2" },
	{ 0x7461636F, "OCFS2" },
};

static enum err_code check_local(const char *home, struct err *e)
{
	struct statfs fs;

	if (statfs(home, &fs) != 0)
		return err_set(e, ERR_STORE, "%s: %s", home, strerror(errno));
	if (fault_at("journal.remote"))
		fs.f_type = NFS_SUPER_MAGIC;
	for (size_t i = 0; i < sizeof(remotes) / sizeof(remotes[0]); i++)
		if ((uint64_t)(uint32_t)fs.f_type == remotes[i].type)
			return err_set(e, ERR_STORE,
				"%s (GATEWAY_HOME) is on %s: the store needs a local file system, "
				"where flock and shared memory hold for every process",
				home, remotes[i].name);
	return ERR_OK;
}

static enum err_code read_format(struct journal *j, const char *path, struct err *e)
{
	char text[128] = "";
	struct slice rest;
	struct stat st;
	enum err_code rc;
	int64_t format = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORE, "%s: %s", path,
			strerror(errno));
	rc = fstat(fd, &st) == 0 && read(fd, text, sizeof(text) - 1) >= 0
		     ? home_check_file(path, &st, e)
		     : err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	close(fd);
	if (rc)
		return rc;
	rest = slice_trim(slice_of(text));
	if (slice_starts(rest, FORMAT_WORDS))
		rest = slice_from(rest, sizeof(FORMAT_WORDS) - 1);
	if (!str_int(slice_cut(&rest, ' '), 1, INT_MAX, &format) ||
		!slice_is(slice_cut(&rest, ' '), "store") ||
		!crypto_unhex(rest, j->store, sizeof(j->store)))
		return err_set(e, ERR_STORE,
			"%s is damaged: restore it from a backup, or remove it (the store's "
			"identity is then taken from its journal)",
			path);
	if (format > JOURNAL_FORMAT)
		return err_set(e, ERR_STORE,
			"%s: the store has format %d, this program knows up to %d: use the newer "
			"program",
			path, (int)format, JOURNAL_FORMAT);
	return ERR_OK;
}

/* The identity of a store whose ledger.format was lost is in the head of each segment. */
static enum err_code identify(struct journal *j, struct err *e)
{
	uint64_t first, last, n;
	struct record head;
	enum err_code rc = journal_list(j, &first, &last, &n, e);

	crypto_random(j->store, sizeof(j->store));
	if (rc || n == 0)
		return rc;
	rc = journal_read(j, last, 0, &head, e);
	if (rc || head.type != RECORD_HEAD)
		return err_set(e, ERR_STORE,
			"%s/" FORMAT_FILE " is missing and the journal does not say whose it is: "
			"restore from a backup",
			j->home);
	memcpy(j->store, head.head.store, sizeof(j->store));
	return ERR_OK;
}

/* Made aside and linked: of two that start at once, one wins and the other reads. */
static enum err_code make_format(struct journal *j, const char *path, struct err *e)
{
	char aside[HOME_PATH_MAX + 32], text[128], hex[33];
	enum err_code rc = identify(j, e);
	int fd, n;

	if (rc)
		return rc;
	crypto_hex(j->store, sizeof(j->store), hex);
	n = snprintf(text, sizeof(text), FORMAT_WORDS "%d store %s\n", JOURNAL_FORMAT, hex);
	snprintf(aside, sizeof(aside), "%s.%ld", path, (long)getpid());
	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
	rc = home_give(fd, j->home, e);
	if (!rc && (write(fd, text, (size_t)n) != n || fsync(fd) != 0 ||
			   (link(aside, path) != 0 && errno != EEXIST)))
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	close(fd);
	unlink(aside);
	if (!rc)
		rc = home_sync(j->home, e);
	return rc ? rc : read_format(j, path, e);
}

enum err_code journal_open(struct journal *j, const char *home, struct err *e)
{
	char path[HOME_PATH_MAX];
	enum err_code rc;

	memset(j, 0, sizeof(*j));
	for (unsigned i = 0; i < JOURNAL_PENS; i++) {
		j->pens[i].fd = -1;
		pthread_mutex_init(&j->pens[i].lock, NULL);
	}
	if (!slice_copy(slice_of(home), j->home, sizeof(j->home)))
		return err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	rc = home_check(home, e);
	if (!rc)
		rc = check_local(home, e);
	if (!rc)
		rc = home_path(home, FORMAT_FILE, path, e);
	if (!rc) {
		rc = read_format(j, path, e);
		if (rc == ERR_NOT_FOUND)
			rc = make_format(j, path, e);
	}
	return rc == ERR_NOT_FOUND ? ERR_STORE : rc;
}

void journal_close(struct journal *j)
{
	for (unsigned i = 0; i < JOURNAL_PENS && j->home[0]; i++) {
		if (j->pens[i].fd >= 0)
			close(j->pens[i].fd);
		j->pens[i].fd = -1;
		pthread_mutex_destroy(&j->pens[i].lock);
	}
	j->home[0] = '\0';
}

/* ---- segments ---- */

enum err_code journal_list(
	const struct journal *j, uint64_t *first, uint64_t *last, uint64_t *n, struct err *e)
{
	DIR *d = opendir(j->home);
	struct dirent *entry;

	*first = *last = *n = 0;
	if (!d)
		return err_set(e, ERR_STORE, "%s: %s", j->home, strerror(errno));
	while ((entry = readdir(d))) {
		struct slice name = slice_of(entry->d_name);
		int64_t number;

		if (!slice_starts(name, PREFIX) ||
			!str_int(slice_from(name, sizeof(PREFIX) - 1), 1, INT64_MAX >> 24, &number))
			continue;
		if (!*n || (uint64_t)number < *first)
			*first = (uint64_t)number;
		if ((uint64_t)number > *last)
			*last = (uint64_t)number;
		++*n;
	}
	closedir(d);
	return ERR_OK;
}

enum err_code journal_is_complete(
	const struct journal *j, uint64_t first, uint64_t last, struct err *e)
{
	char path[HOME_PATH_MAX];
	enum err_code rc;

	for (uint64_t n = first; n <= last; n++) {
		rc = journal_path(j, n, path, e);
		if (rc)
			return rc;
		if (access(path, F_OK) != 0)
			return err_set(e, ERR_STORE,
				"%s is missing, so the books are not complete: put it back from a "
				"backup",
				path);
	}
	return ERR_OK;
}

static enum err_code no_room(const struct journal *j, int why, struct err *e)
{
	return err_set(e, ERR_STORE,
		"%s: the disk has no room for the journal (%s): free some, or raise the quota",
		j->home, strerror(why));
}

static enum err_code ask_room(
	const struct journal *j, int fd, uint64_t want, uint64_t *room, struct err *e)
{
	struct statfs fs;
	int wrong = fault_at("journal.room");

	if (!wrong && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)want) != 0)
		wrong = errno;
	/* Without fallocate, free space that is plenty has to do. */
	if (wrong == EOPNOTSUPP && statfs(j->home, &fs) == 0)
		wrong = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize >= MIN_FREE ? 0 : ENOSPC;
	if (wrong)
		return no_room(j, wrong, e);
	*room = want;
	return ERR_OK;
}

/* Why a segment could not be opened. Without a descriptor nothing is known of the disk: that is
 * this process's trouble, not the store's. */
static enum err_code not_opened(const char *path, int why, struct err *e)
{
	if (why == EMFILE || why == ENFILE)
		return err_set(e, ERR_BUSY, "no file descriptor left to open %s", path);
	return err_set(e, why == ENOENT ? ERR_NOT_FOUND : ERR_STORE, "%s: %s", path, strerror(why));
}

enum err_code journal_ask_room(
	const struct journal *j, uint64_t n, uint64_t want, uint64_t *room, struct err *e)
{
	char path[HOME_PATH_MAX];
	enum err_code rc = journal_path(j, n, path, e);
	int fd;

	if (rc)
		return rc;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		rc = not_opened(path, errno, e);
		return rc == ERR_NOT_FOUND ? ERR_STORE : rc;
	}
	rc = ask_room(j, fd, want, room, e);
	close(fd);
	return rc;
}

static enum err_code write_head(
	const struct journal *j, int fd, uint64_t n, int64_t wall_ms, struct err *e)
{
	struct record r = { .type = RECORD_HEAD, .wall_ms = wall_ms };
	int wrong = fault_at("journal.create");

	r.head.segment = n;
	memcpy(r.head.store, j->store, sizeof(j->store));
	record_seal(&r);
	if (!wrong && write(fd, &r, sizeof(r)) != (ssize_t)sizeof(r))
		wrong = errno ? errno : ENOSPC;
	if (!wrong && fdatasync(fd) != 0)
		wrong = errno;
	return wrong ? no_room(j, wrong, e) : ERR_OK;
}

/* Made aside and renamed, so that a segment without its head cannot be. */
enum err_code journal_create(
	const struct journal *j, uint64_t n, int64_t wall_ms, uint64_t *room, struct err *e)
{
	char path[HOME_PATH_MAX], aside[HOME_PATH_MAX];
	enum err_code rc = journal_path(j, n, path, e);
	int fd;

	*room = 0;
	if (!rc && access(path, F_OK) == 0)
		return journal_ask_room(j, n, JOURNAL_ROOM, room, e);
	if (!rc)
		rc = home_path(j->home, "new.journal", aside, e);
	if (rc)
		return rc;
	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return no_room(j, errno, e);
	rc = home_give(fd, j->home, e);
	if (!rc)
		rc = ask_room(j, fd, JOURNAL_ROOM, room, e);
	if (!rc)
		rc = write_head(j, fd, n, wall_ms, e);
	close(fd);
	if (!rc && rename(aside, path) != 0)
		rc = no_room(j, errno, e);
	return rc ? rc : home_sync(j->home, e);
}

enum err_code journal_remove(const struct journal *j, uint64_t segment, struct err *e)
{
	char path[HOME_PATH_MAX];
	enum err_code rc = journal_path(j, segment, path, e);

	if (!rc && unlink(path) != 0 && errno != ENOENT)
		rc = err_set(e, ERR_STORE, "%s: cannot be removed: %s", path, strerror(errno));
	return rc;
}

/* ---- appending ---- */

static struct journal_pen *take_pen(struct journal *j)
{
	static _Thread_local unsigned turn;

	for (unsigned i = 0; i < JOURNAL_PENS; i++, turn++)
		if (pthread_mutex_trylock(&j->pens[turn % JOURNAL_PENS].lock) == 0)
			return &j->pens[turn % JOURNAL_PENS];
	pthread_mutex_lock(&j->pens[turn % JOURNAL_PENS].lock);
	return &j->pens[turn % JOURNAL_PENS];
}

/* Points the pen at the segment; ERR_NOT_FOUND when it is gone. */
static enum err_code dip(
	const struct journal *j, struct journal_pen *pen, uint64_t segment, struct err *e)
{
	char path[HOME_PATH_MAX];
	enum err_code rc;

	if (pen->fd >= 0 && pen->segment == segment)
		return ERR_OK;
	if (pen->fd >= 0)
		close(pen->fd);
	pen->fd = -1;
	rc = journal_path(j, segment, path, e);
	if (rc)
		return rc;
	pen->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	pen->segment = segment;
	if (pen->fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORE, "%s: %s", path,
			strerror(errno));
	return ERR_OK;
}

static enum err_code write_record(
	const struct journal *j, int fd, const struct record *r, struct err *e)
{
	int wrong = fault_at("journal.write");
	ssize_t n = 0;

	if (!wrong) {
		n = write(fd, r, sizeof(*r));
		wrong = n < 0 ? errno : ENOSPC;
	}
	(void)fault_at("journal.written");
	if (n == (ssize_t)sizeof(*r))
		return ERR_OK;
	if (wrong == ENOSPC || wrong == EDQUOT)
		return no_room(j, wrong, e);
	return err_set(
		e, ERR_STORE, "%s: the journal cannot be written: %s", j->home, strerror(wrong));
}

enum err_code journal_append(struct journal *j, const uint64_t *current, struct record *r,
	bool sync, bool *sync_failed, struct err *e)
{
	struct journal_pen *pen = take_pen(j);
	enum err_code rc = ERR_BUSY;

	*sync_failed = false;
	record_seal(r);
	for (int tries = 0; tries < APPEND_TRIES && rc == ERR_BUSY; tries++) {
		uint64_t segment = __atomic_load_n(current, __ATOMIC_ACQUIRE);

		rc = dip(j, pen, segment, e);
		if (rc == ERR_NOT_FOUND && __atomic_load_n(current, __ATOMIC_ACQUIRE) != segment)
			rc = ERR_BUSY;
		(void)fault_at("journal.opened");
		if (rc)
			continue;
		/* Held alone only by who closes it: then it is no longer the current one. */
		if (flock(pen->fd, LOCK_SH | LOCK_NB) != 0) {
			rc = errno == EWOULDBLOCK || errno == EINTR
				     ? ERR_BUSY
				     : err_set(e, ERR_STORE, "%s: flock: %s", j->home,
					       strerror(errno));
			continue;
		}
		(void)fault_at("journal.inside");
		if (__atomic_load_n(current, __ATOMIC_ACQUIRE) != segment)
			rc = ERR_BUSY;
		else
			rc = write_record(j, pen->fd, r, e);
		if (!rc && sync)
			*sync_failed = fault_at("journal.sync") || fdatasync(pen->fd) != 0;
		flock(pen->fd, LOCK_UN);
	}
	pthread_mutex_unlock(&pen->lock);
	if (rc == ERR_NOT_FOUND)
		return err_set(
			e, ERR_STORE, "%s: the current segment of the journal is gone", j->home);
	if (rc == ERR_BUSY)
		return err_set(e, ERR_BUSY, "the journal's segment kept changing; try again");
	return rc;
}

enum err_code journal_sync(const struct journal *j, uint64_t segment, struct err *e)
{
	int fd, wrong;
	enum err_code rc = journal_read_open(j, segment, &fd, e);

	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	wrong = fault_at("journal.sync");
	if (!wrong && fdatasync(fd) != 0)
		wrong = errno;
	close(fd);
	return wrong ? err_set(e, ERR_STORE, "%s: the disk did not take the journal: %s", j->home,
			       strerror(wrong))
		     : ERR_OK;
}

/* ---- reading ---- */

enum err_code journal_read_open(const struct journal *j, uint64_t segment, int *fd, struct err *e)
{
	char path[HOME_PATH_MAX];
	struct stat st;
	enum err_code rc = journal_path(j, segment, path, e);

	*fd = -1;
	if (rc)
		return rc;
	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*fd < 0)
		return not_opened(path, errno, e);
	rc = fstat(*fd, &st) == 0 ? home_check_file(path, &st, e)
				  : err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (rc) {
		close(*fd);
		*fd = -1;
	}
	return rc;
}

bool journal_is_closed(int fd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		return false;
	(void)fault_at("journal.closing");
	flock(fd, LOCK_UN);
	return true;
}

static enum err_code check_head(
	const struct journal *j, const struct record *r, uint64_t segment, struct err *e)
{
	if (r->format > RECORD_FORMAT)
		return err_set(e, ERR_STORE,
			"%s/" PREFIX "%08" PRIu64 ": a record of format %d, this program knows up "
			"to %d: use the newer program",
			j->home, segment, r->format, RECORD_FORMAT);
	if (r->type == RECORD_HEAD &&
		(r->head.segment != segment ||
			memcmp(r->head.store, j->store, sizeof(j->store)) != 0))
		return err_set(e, ERR_STORE,
			"%s/" PREFIX "%08" PRIu64 " is segment %" PRIu64
			" of this or another store, under a wrong name",
			j->home, segment, r->head.segment);
	return ERR_OK;
}

/* Looks at what is in memory: n bytes from offset on. Sets *used to how many are done with. */
static enum err_code scan_bytes(const struct journal *j, const char *bytes, size_t n,
	uint64_t segment, struct journal_scan *s, size_t *used, bool *stop,
	journal_on_record on_record, void *ctx, struct err *e)
{
	struct record r;
	size_t at = 0;
	enum err_code rc = ERR_OK;

	while (!rc && n - at >= RECORD_BYTES) {
		memcpy(&r, bytes + at, RECORD_BYTES);
		if (r.magic == RECORD_MAGIC && record_is_whole(&r)) {
			rc = check_head(j, &r, segment, e);
			if (!rc && r.type != RECORD_HEAD) {
				rc = on_record(ctx, &r, segment, s->offset + at, e);
				s->records++;
			}
			at += RECORD_BYTES;
		} else if (!s->closed) {
			memcpy(&r,
				n - at >= 2 * RECORD_BYTES ? bytes + at + RECORD_BYTES : bytes + at,
				RECORD_BYTES);
			s->bad_before_good = record_is_whole(&r);
			*stop = true;
			break;
		} else {
			at++;
			s->skipped++;
		}
	}
	*used = at;
	return rc;
}

enum err_code journal_scan(const struct journal *j, int fd, uint64_t segment,
	struct journal_scan *s, journal_on_record on_record, void *ctx, struct err *e)
{
	char *bytes = malloc(SCAN_BYTES);
	enum err_code rc = ERR_OK;
	bool stop = false;

	s->records = s->skipped = 0;
	s->bad_before_good = false;
	if (!bytes)
		return err_set(e, ERR_NO_MEMORY, "no memory to read the journal");
	while (!rc && !stop) {
		size_t want = SCAN_BYTES, used = 0;
		ssize_t n;

		if (s->until && s->offset + want > s->until)
			want = s->until > s->offset ? (size_t)(s->until - s->offset) : 0;
		n = pread(fd, bytes, want, (off_t)s->offset);
		if (n < 0) {
			rc = err_set(e, ERR_STORE, "%s/" PREFIX "%08" PRIu64 ": %s", j->home,
				segment, strerror(errno));
			break;
		}
		if (n < RECORD_BYTES) {
			s->skipped += s->closed ? (uint64_t)n : 0;
			s->offset += s->closed ? (uint64_t)n : 0;
			break;
		}
		rc = scan_bytes(j, bytes, (size_t)n, segment, s, &used, &stop, on_record, ctx, e);
		s->offset += used;
	}
	free(bytes);
	return rc;
}

enum err_code journal_read(
	const struct journal *j, uint64_t segment, uint64_t offset, struct record *r, struct err *e)
{
	int fd;
	enum err_code rc = journal_read_open(j, segment, &fd, e);

	if (rc)
		return rc;
	if (pread(fd, r, sizeof(*r), (off_t)offset) != (ssize_t)sizeof(*r) || !record_is_whole(r))
		rc = err_set(e, ERR_NOT_FOUND, "no record there");
	close(fd);
	return rc;
}
