/* Writing a backup, and reading one to its end. */
#include "store/backup_set.h"

#include "base/crypto.h"
#include "store/books.h"
#include "store/fold.h"
#include "store/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct maker {
	struct ledger *l;
	const char *path;
	int fd;
	struct ledger_now now;
	const struct backup_progress *progress;
	struct backup *out;
	uint64_t all_bytes, done_bytes;
	struct buf content;
};

static void tell(const struct backup_progress *p, const char *name, uint64_t done, uint64_t all)
{
	if (p && p->on_file)
		p->on_file(p->ctx, name, done, all);
}

static enum err_code read_file(const char *path, struct buf *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	enum err_code rc = ERR_OK;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) != 0) {
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	out->max_bytes = TAR_FILE_MAX;
	buf_reset(out);
	rc = home_check_file(path, &st, e);
	do {
		char *room = rc ? NULL : buf_room(out, 1 << 20);

		n = room ? read(fd, room, 1 << 20) : 0;
		if (n > 0)
			buf_commit(out, (size_t)n);
		else if (n < 0)
			rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	} while (n > 0);
	close(fd);
	if (!rc && !buf_ok(out))
		rc = err_set(e, ERR_STORE, "%s is too large for a backup", path);
	return rc;
}

/* Is the checkpoint what its seal says? Nothing damaged goes into a backup. */
static enum err_code check_gdbm(struct maker *m, const char *name, struct err *e)
{
	struct gdbm_file *f = NULL;
	struct checkpoint_meta meta;
	bool from_prev = false;
	enum err_code rc;

	if (backup_is_checkpoint(slice_of(name))) {
		rc = checkpoint_load(
			m->l->home, name, m->l->journal.store, &meta, &from_prev, NULL, NULL, e);
	} else {
		rc = gdbm_file_open(&f, m->l->home, name, e);
		if (!rc)
			rc = gdbm_file_each(f, NULL, NULL, e);
		from_prev = !rc && gdbm_file_is_damaged(f);
		gdbm_file_close(f);
	}
	if (!rc && from_prev)
		rc = err_set(e, ERR_STORE,
			"%s/%s is damaged and the file before it answers: mend it first (tollgate "
			"ledger verify, tollgate keys restore)",
			m->l->home, name);
	return rc;
}

static enum err_code put(struct maker *m, const struct backup_file *listed, struct err *e)
{
	struct backup_file file = *listed;
	struct slice name = slice_of(file.name);
	char path[HOME_PATH_MAX];
	enum err_code rc = home_path(m->l->home, file.name, path, e);

	if (!rc && slice_ends(name, ".gdbm"))
		rc = check_gdbm(m, file.name, e);
	if (!rc)
		rc = read_file(path, &m->content, e);
	if (rc)
		return rc;
	/* Of a line that is just being written nothing is acknowledged yet. */
	if (backup_is_segment(name))
		m->content.len -= m->content.len % RECORD_BYTES;
	file.bytes = m->content.len;
	crypto_sha256(buf_slice(&m->content), file.hash);
	rc = tar_write(m->fd, m->path, file.name, buf_slice(&m->content), m->now.wall_ms, e);
	if (!rc)
		rc = backup_add(m->out, &file, e);
	if (slice_is(name, "pepper"))
		crypto_wipe(m->content.data, m->content.len);
	m->done_bytes += listed->bytes;
	tell(m->progress, file.name, m->done_bytes, m->all_bytes);
	return rc;
}

/* Locks are held for what changes; what lies in the archive never does. */
static enum err_code put_all(struct maker *m, struct err *e)
{
	int fold = -1, keys = -1;
	struct backup list = { 0 };
	enum err_code rc = home_lock(m->l->home, BOOKS_FOLD_LOCK, BOOKS_FOLD_WAIT_MS, &fold, e);

	if (!rc)
		rc = home_lock(m->l->home, BACKUP_KEYS_LOCK, BACKUP_LOCK_WAIT_MS, &keys, e);
	if (!rc)
		rc = backup_list(&list, m->l->home, e);
	m->all_bytes = list.bytes;
	for (int archived = 0; archived < 2; archived++) {
		for (size_t i = 0; i < list.n && !rc; i++)
			if (slice_starts(slice_of(list.files[i].name), "archive/") ==
				(archived == 1))
				rc = put(m, &list.files[i], e);
		if (fold >= 0)
			close(fold);
		if (keys >= 0)
			close(keys);
		fold = keys = -1;
	}
	backup_fini(&list);
	return rc;
}

static enum err_code put_manifest(struct maker *m, struct err *e)
{
	struct buf text = { .max_bytes = TAR_FILE_MAX };
	enum err_code rc;

	backup_manifest_write(m->out, &text);
	rc = buf_ok(&text) ? tar_write(m->fd, m->path, BACKUP_MANIFEST, buf_slice(&text),
				     m->now.wall_ms, e)
			   : err_set(e, ERR_NO_MEMORY, "no memory for the manifest");
	buf_fini(&text);
	return rc ? rc : tar_end(m->fd, m->path, e);
}

/* Gives the finished file its name, and makes that last. */
static enum err_code publish(const char *part, const char *path, struct err *e)
{
	char folder[HOME_PATH_MAX] = ".";
	const char *slash = strrchr(path, '/');

	if (rename(part, path) != 0)
		return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (slash && !slice_copy((struct slice){ path, (size_t)(slash - path) + 1 }, folder,
			     sizeof(folder)))
		return err_set(e, ERR_STORE, "%s: the path is too long", path);
	return home_sync(folder, e);
}

enum err_code backup_make(struct ledger *l, const char *path, struct ledger_now now,
	const struct backup_progress *progress, struct backup *out, struct err *e)
{
	struct maker m = { .l = l, .path = path, .now = now, .progress = progress, .out = out };
	char part[HOME_PATH_MAX];
	struct stat st;
	enum err_code rc;

	*out = (struct backup){ .made_ms = now.wall_ms };
	crypto_hex(l->journal.store, sizeof(l->journal.store), out->store);
	if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
		return err_set(e, ERR_STORE, "the path of the backup is too long");
	if (lstat(path, &st) == 0)
		return err_set(e, ERR_STORE, "%s is there already: name another file", path);
	rc = ledger_sync(l, e);
	if (!rc)
		rc = fold_run(l, now, BOOKS_FOLD_WAIT_MS, e);
	/* What could not be folded now is in the journal, which is saved as well. */
	if (rc && rc != ERR_BUSY)
		return rc;
	m.fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (m.fd < 0)
		return err_set(e, ERR_STORE,
			errno == EEXIST ? "%s: %s; remove it unless another backup is running"
					: "%s: %s",
			part, strerror(errno));
	rc = put_all(&m, e);
	if (!rc)
		rc = put_manifest(&m, e);
	if (!rc && fsync(m.fd) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", part, strerror(errno));
	if (close(m.fd) != 0 && !rc)
		rc = err_set(e, ERR_STORE, "%s: %s", part, strerror(errno));
	buf_fini(&m.content);
	if (!rc)
		rc = publish(part, path, e);
	if (rc)
		unlink(part);
	return rc;
}

/* ---- reading to the end ---- */

static enum err_code hash_file(struct backup *seen, const char *name, struct slice content,
	const char *path, struct err *e)
{
	struct backup_file file = { .bytes = content.len };

	if (!backup_has(name) || !slice_copy(slice_of(name), file.name, sizeof(file.name)))
		return err_set(e, ERR_STORE, "%s: %s does not belong into a backup", path, name);
	crypto_sha256(content, file.hash);
	return backup_add(seen, &file, e);
}

/* The files stand in the order of the manifest. */
static enum err_code compare(
	const struct backup *seen, const struct backup *should, const char *path, struct err *e)
{
	for (size_t i = 0; i < seen->n || i < should->n; i++) {
		const struct backup_file *is = &seen->files[i], *want = &should->files[i];

		if (i >= seen->n || i >= should->n || strcmp(is->name, want->name) != 0)
			return err_set(e, ERR_STORE, "%s is damaged: %s is not where it should be",
				path, i < should->n ? want->name : is->name);
		if (is->bytes != want->bytes || memcmp(is->hash, want->hash, BACKUP_HASH) != 0)
			return err_set(e, ERR_STORE, "%s is damaged: %s is not what was saved",
				path, is->name);
	}
	return ERR_OK;
}

enum err_code backup_verify(
	const char *path, const struct backup_progress *progress, struct backup *out, struct err *e)
{
	struct buf content = { 0 };
	struct backup seen = { 0 };
	char name[TAR_NAME_SIZE] = "";
	bool has_manifest = false;
	int fd;
	enum err_code rc = backup_open(path, &fd, e);

	*out = (struct backup){ 0 };
	if (rc)
		return rc;
	while (!(rc = tar_read(fd, path, name, &content, e))) {
		if (has_manifest)
			rc = err_set(e, ERR_STORE, "%s: %s stands behind the manifest", path, name);
		else if (strcmp(name, BACKUP_MANIFEST) == 0)
			rc = backup_manifest_read(out, buf_slice(&content), path, e);
		else
			rc = hash_file(&seen, name, buf_slice(&content), path, e);
		has_manifest |= strcmp(name, BACKUP_MANIFEST) == 0;
		if (rc)
			break;
		tell(progress, name, seen.bytes, 0);
	}
	if (rc == ERR_NOT_FOUND)
		rc = has_manifest ? compare(&seen, out, path, e)
				  : err_set(e, ERR_STORE, "%s has no " BACKUP_MANIFEST, path);
	if (content.data)
		crypto_wipe(content.data, content.cap);
	buf_fini(&content);
	backup_fini(&seen);
	close(fd);
	if (rc)
		backup_fini(out);
	return rc;
}
