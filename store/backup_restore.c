/* Restoring a backup while the gateway runs.
 *
 * The backup is unpacked beside, and its books are opened, proven and folded there, so that all
 * of it is checkpoints. Those take the place of the live ones the way a fold's do, saying that
 * they were folded up to the live journal's present place: what is settled from then on counts
 * on top. At last the table is built anew, with everybody attached.
 */
#include "store/backup_set.h"

#include "base/crypto.h"
#include "store/archive.h"
#include "store/books.h"
#include "store/fault.h"
#include "store/fold.h"
#include "store/people_file.h"
#include "store/tar.h"
#include "store/verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE "restore.new"

struct restore {
	struct ledger *l;
	const char *path;
	struct ledger_now now;
	enum ledger_keep keep;
	const struct backup_progress *progress;
	struct backup backup; /* what the archive has */
	char stage[HOME_PATH_MAX];
	struct backup_restored *out;
};

static enum err_code wrong(const char *path, struct err *e)
{
	return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
}

/* ---- the folder beside ---- */

/* Removes the plain files of a folder, and the folder. */
static enum err_code clear_folder(const char *folder, struct err *e)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	enum err_code rc = ERR_OK;

	if (!d)
		return errno == ENOENT ? ERR_OK : wrong(folder, e);
	while (!rc && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			unlinkat(dirfd(d), entry->d_name, 0) != 0)
			rc = wrong(folder, e);
	closedir(d);
	if (!rc && rmdir(folder) != 0)
		rc = wrong(folder, e);
	return rc;
}

static enum err_code clear_stage(const char *stage, struct err *e)
{
	char archive[HOME_PATH_MAX];
	enum err_code rc = home_path(stage, ARCHIVE_FOLDER, archive, e);

	if (!rc)
		rc = clear_folder(archive, e);
	return rc ? rc : clear_folder(stage, e);
}

static enum err_code make_folder(const char *home, const char *folder, struct err *e)
{
	enum err_code rc = home_make(folder, e);
	int fd = rc ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		rc = home_give(fd, home, e);
		close(fd);
	}
	return rc;
}

/* ---- unpacking ---- */

static enum err_code unpack_file(
	struct restore *r, const char *name, struct slice content, struct err *e)
{
	const struct backup_file *file = backup_find(&r->backup, name);
	uint8_t hash[SHA256_BYTES];
	char path[HOME_PATH_MAX];
	enum err_code rc = home_path(r->stage, name, path, e);
	int fd;

	crypto_sha256(content, hash);
	if (!rc && (!file || memcmp(hash, file->hash, sizeof(hash)) != 0))
		rc = err_set(e, ERR_STORE, "%s changed while it was read", r->path);
	if (rc)
		return rc;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return wrong(path, e);
	rc = home_give(fd, r->l->home, e);
	while (!rc && content.len) {
		ssize_t n = write(fd, content.ptr, content.len);

		if (n > 0)
			content = slice_from(content, (size_t)n);
		else
			rc = wrong(path, e);
	}
	if (!rc && fsync(fd) != 0)
		rc = wrong(path, e);
	close(fd);
	return rc;
}

static enum err_code unpack(struct restore *r, struct err *e)
{
	struct buf content = { 0 };
	char name[TAR_NAME_SIZE], archive[HOME_PATH_MAX];
	uint64_t done = 0;
	int fd = -1;
	enum err_code rc = home_path(r->l->home, STAGE, r->stage, e);

	if (!rc)
		rc = home_path(r->stage, ARCHIVE_FOLDER, archive, e);
	if (!rc)
		rc = clear_stage(r->stage, e);
	if (!rc)
		rc = make_folder(r->l->home, r->stage, e);
	if (!rc)
		rc = make_folder(r->l->home, archive, e);
	if (!rc)
		rc = backup_open(r->path, &fd, e);
	while (!rc && !(rc = tar_read(fd, r->path, name, &content, e))) {
		if (strcmp(name, BACKUP_MANIFEST) == 0)
			continue;
		rc = unpack_file(r, name, buf_slice(&content), e);
		done += content.len;
		if (r->progress && r->progress->on_file)
			r->progress->on_file(r->progress->ctx, name, done, r->backup.bytes);
	}
	if (content.data)
		crypto_wipe(content.data, content.cap);
	buf_fini(&content);
	if (fd >= 0)
		close(fd);
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* ---- proving ---- */

struct proof {
	struct err *e;
	bool failed;
};

static void on_difference(void *ctx, const char *text)
{
	struct proof *p = ctx;

	if (!p->failed)
		(void)!err_set(p->e, ERR_STORE, "the books in the backup do not agree: %s", text);
	p->failed = true;
}

/* Everything behind the current segment is folded; with it gone nothing of the journal is left
 * but the archive. */
static enum err_code keep_segments(struct restore *r, struct ledger *staged, struct err *e)
{
	uint64_t first, last, n;
	enum err_code rc = journal_list(&staged->journal, &first, &last, &n, e);

	for (uint64_t s = first; n && s < last && !rc && r->keep == LEDGER_COMPRESS; s++)
		rc = archive_put(&staged->journal, s, e);
	return rc;
}

static enum err_code prove_books(struct restore *r, struct err *e)
{
	const struct ledger_conf conf = { .home = r->stage, .sync_ms = 100, .keep = r->keep };
	struct verify_report report;
	struct proof proof = { .e = e };
	struct err differs;
	struct ledger *staged;
	char table[HOME_PATH_MAX];
	enum err_code rc = ledger_open(&staged, &conf, r->now, e);

	if (rc)
		return rc;
	proof.e = &differs;
	rc = verify_run(staged, r->now, on_difference, &proof, &report, e);
	if (!rc && proof.failed)
		rc = err_set(e, ERR_STORE, "%s: %s", r->path, differs.message);
	if (!rc && report.unfolded)
		rc = err_set(e, ERR_STORE, "%s: its journal could not be folded", r->path);
	if (!rc)
		rc = keep_segments(r, staged, e);
	r->out->requests = report.settles;
	r->out->credits = report.credits;
	r->out->accounts = report.accounts;
	memcpy(table, staged->hot.path, sizeof(table));
	ledger_close(staged);
	unlink(table);
	return rc;
}

static enum err_code on_key(void *ctx, struct slice rest, struct slice value, struct err *e)
{
	(void)ctx;
	(void)rest;
	(void)value;
	(void)e;
	return ERR_OK;
}

static enum err_code prove_keys(struct restore *r, struct err *e)
{
	struct people_file *f;
	enum err_code rc = people_file_open(&f, r->stage, e);

	if (rc)
		return rc;
	rc = people_file_each(f, 'K', on_key, NULL, e);
	if (!rc && people_file_is_damaged(f))
		rc = err_set(e, ERR_STORE, "%s: its keys.gdbm is damaged", r->path);
	people_file_close(f);
	return rc;
}

/* ---- adopting: the checkpoints beside become ones of the live store ---- */

static enum err_code adopt_one(struct restore *r, const char *name, uint64_t folded, struct err *e)
{
	struct checkpoint_check check = { .file = name };
	struct checkpoint_key key = checkpoint_key('m', NULL, 0);
	struct gdbm_change *change = NULL;
	struct buf value = { 0 };
	enum err_code rc = gdbm_change_begin(&change, r->stage, name, checkpoint_check, &check, e);

	if (rc)
		return rc;
	check.meta.format = CHECKPOINT_FORMAT;
	check.meta.folded = folded;
	memcpy(check.meta.store, r->l->journal.store, sizeof(check.meta.store));
	checkpoint_pack(checkpoint_slice(&key), &check.meta, sizeof(check.meta), &value);
	rc = buf_ok(&value) ? gdbm_change_put(change, checkpoint_slice(&key), buf_slice(&value), e)
			    : err_set(e, ERR_NO_MEMORY, "no memory to restore");
	buf_fini(&value);
	if (!rc)
		return gdbm_change_commit(change, e);
	gdbm_change_abort(change);
	return rc;
}

static enum err_code adopt(
	struct restore *r, const struct backup *staged, uint64_t folded, struct err *e)
{
	enum err_code rc = ERR_OK;

	for (size_t i = 0; i < staged->n && !rc; i++)
		if (backup_is_checkpoint(slice_of(staged->files[i].name)))
			rc = adopt_one(r, staged->files[i].name, folded, e);
	return rc;
}

/* ---- replacing ---- */

static enum err_code paths(const char *home, const char *name, const char *folder,
	char from[HOME_PATH_MAX], char to[HOME_PATH_MAX], struct err *e)
{
	enum err_code rc = home_path(home, name, from, e);

	return rc ? rc : home_path(folder, name, to, e);
}

/* Of the journal, what is folded: the rest stays in use. */
static bool is_replaced(const char *name, uint64_t folded)
{
	struct slice s = slice_of(name);
	int64_t segment;

	if (slice_is(s, "ledger.format"))
		return false;
	if (!backup_is_segment(s))
		return true;
	return str_int(slice_from(s, strlen("journal.")), 0, INT64_MAX, &segment) &&
	       (uint64_t)segment <= folded;
}

/* What is still being appended to: only whole lines. */
static enum err_code copy_segment(const char *from, const char *to, struct err *e)
{
	char lines[64 * RECORD_BYTES];
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum err_code rc = in < 0 || out < 0 ? wrong(to, e) : ERR_OK;
	ssize_t n = 1;

	while (!rc && n > 0) {
		n = read(in, lines, sizeof(lines));
		n -= n > 0 ? n % RECORD_BYTES : 0;
		if (n < 0 || (n > 0 && write(out, lines, (size_t)n) != n))
			rc = wrong(to, e);
	}
	if (!rc && fsync(out) != 0)
		rc = wrong(to, e);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return rc;
}

/* Gives every file that will be replaced a second name in the folder beside, and copies what else
 * a home needs: the folder can be used as one. */
static enum err_code save_replaced(const char *home, const char *replaced,
	const struct backup *live, uint64_t folded, struct err *e)
{
	char from[HOME_PATH_MAX], to[HOME_PATH_MAX];
	enum err_code rc = paths(home, ARCHIVE_FOLDER, replaced, from, to, e);

	if (!rc)
		rc = make_folder(home, replaced, e);
	if (!rc)
		rc = make_folder(home, to, e);
	for (size_t i = 0; i < live->n && !rc; i++) {
		const char *name = live->files[i].name;

		rc = paths(home, name, replaced, from, to, e);
		if (rc)
			break;
		if (backup_is_segment(slice_of(name)) && !is_replaced(name, folded))
			rc = copy_segment(from, to, e);
		else if (link(from, to) != 0)
			rc = wrong(to, e);
	}
	return rc ? rc : home_sync(replaced, e);
}

static enum err_code remove_file(
	const char *home, const char *name, const char *ending, struct err *e)
{
	char longer[128], path[HOME_PATH_MAX];
	enum err_code rc;

	snprintf(longer, sizeof(longer), "%s%s", name, ending);
	rc = home_path(home, longer, path, e);
	if (!rc && unlink(path) != 0 && errno != ENOENT)
		rc = wrong(path, e);
	return rc;
}

/* The live store numbers its segments on, and what it archives must find its place free: of the
 * archive only what is older comes in, and nothing of another store's. */
static bool is_moved_in(const struct restore *r, const char *name, uint64_t folded)
{
	const char *number = ARCHIVE_FOLDER "/journal.";
	char ours[33];
	struct slice s = slice_of(name);
	int64_t segment;

	if (!slice_starts(s, number))
		return !slice_is(s, "ledger.format") && !backup_is_segment(s);
	crypto_hex(r->l->journal.store, sizeof(r->l->journal.store), ours);
	s = slice_from(s, strlen(number));
	return strcmp(r->backup.store, ours) == 0 &&
	       str_int(slice_first(s, s.len - strlen(".z")), 0, INT64_MAX, &segment) &&
	       (uint64_t)segment <= folded;
}

static bool has_archive(const struct backup *b)
{
	for (size_t i = 0; i < b->n; i++)
		if (slice_starts(slice_of(b->files[i].name), ARCHIVE_FOLDER "/"))
			return true;
	return false;
}

/* First what a file's loss would be answered from, then the files, then what the backup does not
 * have. */
static enum err_code replace(struct restore *r, const struct backup *live,
	const struct backup *staged, uint64_t folded, struct err *e)
{
	const char *home = r->l->home;
	char from[HOME_PATH_MAX], to[HOME_PATH_MAX];
	enum err_code rc = paths(home, ARCHIVE_FOLDER, home, from, to, e);

	if (!rc && has_archive(staged))
		rc = make_folder(home, to, e);
	for (size_t i = 0; i < live->n && !rc; i++)
		if (slice_ends(slice_of(live->files[i].name), ".gdbm"))
			rc = remove_file(home, live->files[i].name, ".prev", e);
	(void)fault_at("restore.prev");
	for (size_t i = 0; i < staged->n && !rc; i++) {
		if (!is_moved_in(r, staged->files[i].name, folded))
			continue;
		rc = paths(r->stage, staged->files[i].name, home, from, to, e);
		if (!rc && rename(from, to) != 0)
			rc = wrong(to, e);
		(void)fault_at("restore.renamed");
	}
	(void)fault_at("restore.moved");
	for (size_t i = 0; i < live->n && !rc; i++)
		if (is_replaced(live->files[i].name, folded) &&
			(backup_is_segment(slice_of(live->files[i].name)) ||
				!backup_find(staged, live->files[i].name) ||
				!is_moved_in(r, live->files[i].name, folded)))
			rc = remove_file(home, live->files[i].name, "", e);
	return rc ? rc : home_sync(home, e);
}

static bool same_file(const char *home, const char *stage, const char *name)
{
	char a[HOME_PATH_MAX], b[HOME_PATH_MAX], x[64], y[64];
	int fa, fb;
	ssize_t na = 0, nb = 1;

	if (paths(home, name, stage, a, b, NULL) != ERR_OK)
		return false;
	fa = open(a, O_RDONLY | O_CLOEXEC);
	fb = open(b, O_RDONLY | O_CLOEXEC);
	if (fa >= 0 && fb >= 0) {
		na = read(fa, x, sizeof(x));
		nb = read(fb, y, sizeof(y));
	}
	if (fa >= 0)
		close(fa);
	if (fb >= 0)
		close(fb);
	return na == nb && na > 0 && memcmp(x, y, (size_t)na) == 0;
}

static enum err_code replace_locked(struct restore *r, struct err *e)
{
	struct backup live = { 0 }, staged = { 0 };
	struct checkpoint_meta meta;
	char replaced[HOME_PATH_MAX];
	bool from_prev;
	enum err_code rc = checkpoint_load(r->l->home, CHECKPOINT_LEDGER, r->l->journal.store,
		&meta, &from_prev, NULL, NULL, e);

	if (!rc)
		rc = backup_list(&live, r->l->home, e);
	if (!rc)
		rc = backup_list(&staged, r->stage, e);
	if (!rc)
		rc = adopt(r, &staged, meta.folded, e);
	if (!rc)
		rc = backup_replaced_name(r->l->home, r->now.wall_ms, r->out->replaced, e);
	if (!rc)
		rc = home_path(r->l->home, r->out->replaced, replaced, e);
	r->out->new_pepper = backup_find(&live, "pepper") && backup_find(&staged, "pepper") &&
			     !same_file(r->l->home, r->stage, "pepper");
	if (!rc)
		rc = save_replaced(r->l->home, replaced, &live, meta.folded, e);
	(void)fault_at("restore.saved");
	if (!rc)
		rc = replace(r, &live, &staged, meta.folded, e);
	(void)fault_at("restore.replaced");
	if (!rc)
		rc = books_rebuild_locked(r->l, e);
	backup_fini(&live);
	backup_fini(&staged);
	return rc;
}

enum err_code backup_restore(struct ledger *l, const char *path, struct ledger_now now,
	enum ledger_keep keep, const struct backup_progress *progress, struct backup_restored *out,
	struct err *e)
{
	struct restore r = {
		.l = l, .path = path, .now = now, .keep = keep, .progress = progress, .out = out
	};
	int one = -1, fold = -1, keys = -1;
	enum err_code rc = backup_verify(path, progress, &r.backup, e);

	*out = (struct backup_restored){ 0 };
	if (!rc)
		rc = home_lock(l->home, "restore.lock", 0, &one, e);
	if (!rc && !backup_find(&r.backup, "ledger.format"))
		rc = err_set(e, ERR_STORE, "%s has no ledger.format", path);
	if (!rc)
		rc = unpack(&r, e);
	if (!rc)
		rc = prove_books(&r, e);
	if (!rc)
		rc = prove_keys(&r, e);
	if (!rc && out->accounts > l->hot.head->accounts / 4 * 3)
		rc = err_set(e, ERR_STORE,
			"the store in use has no room for the backup's %llu accounts: stop the "
			"gateway and unpack the backup with tar into an empty GATEWAY_HOME",
			(unsigned long long)out->accounts);
	if (!rc) {
		/* So that little of what is replaced is not in a checkpoint yet. */
		rc = fold_run(l, now, BOOKS_FOLD_WAIT_MS, e);
		if (!rc)
			rc = home_lock(l->home, BOOKS_FOLD_LOCK, BOOKS_FOLD_WAIT_MS, &fold, e);
	}
	if (!rc)
		rc = home_lock(l->home, BACKUP_KEYS_LOCK, BACKUP_LOCK_WAIT_MS, &keys, e);
	if (!rc)
		rc = replace_locked(&r, e);
	if (fold >= 0)
		close(fold);
	if (keys >= 0)
		close(keys);
	if (one >= 0 && r.stage[0])
		(void)!clear_stage(r.stage, NULL);
	if (one >= 0)
		close(one);
	backup_fini(&r.backup);
	return rc;
}

/* ---- books that cannot be opened ---- */

enum err_code backup_set_aside(
	const char *home, struct ledger_now now, char replaced[64], struct err *e)
{
	struct backup live = { 0 };
	char lock[HOME_PATH_MAX], folder[HOME_PATH_MAX];
	enum err_code rc = home_check(home, e);
	int fd = -1;

	if (!rc)
		rc = backup_replaced_name(home, now.wall_ms, replaced, e);
	if (!rc)
		rc = home_path(home, "state.lock", lock, e);
	if (!rc)
		rc = home_path(home, replaced, folder, e);
	if (!rc) {
		fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			rc = wrong(lock, e);
		else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
			rc = err_set(e, ERR_BUSY,
				"the store is in use: stop the gateway's programs and try again");
	}
	if (!rc)
		rc = backup_list(&live, home, e);
	if (!rc)
		rc = save_replaced(home, folder, &live, UINT64_MAX, e);
	for (size_t i = 0; i < live.n && !rc; i++) {
		if (slice_ends(slice_of(live.files[i].name), ".gdbm"))
			rc = remove_file(home, live.files[i].name, ".prev", e);
		if (!rc)
			rc = remove_file(home, live.files[i].name, "", e);
	}
	if (!rc)
		rc = home_sync(home, e);
	if (fd >= 0)
		close(fd);
	backup_fini(&live);
	return rc;
}
