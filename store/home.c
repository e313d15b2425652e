#include "store/home.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_STEP_MS 2

static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() || geteuid() == 0;
}

enum err_code home_make(const char *home, struct err *e)
{
	if (mkdir(home, 0700) != 0 && errno != EEXIST)
		return err_set(e, ERR_STORE, "cannot make the folder %s (GATEWAY_HOME): %s", home,
			strerror(errno));
	return home_check(home, e);
}

enum err_code home_check(const char *home, struct err *e)
{
	struct stat st;

	if (stat(home, &st) != 0)
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORE,
			"cannot use the folder %s (GATEWAY_HOME): %s", home, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_STORE, "%s (GATEWAY_HOME) is not a folder", home);
	if (!is_ours(&st))
		return err_set(e, ERR_STORE,
			"%s (GATEWAY_HOME) belongs to user %u, not to user %u who runs this", home,
			(unsigned)st.st_uid, (unsigned)geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, ERR_STORE,
			"others can write to %s (GATEWAY_HOME); run: chmod 700 '%s'", home, home);
	return ERR_OK;
}

enum err_code home_check_file(const char *path, const struct stat *st, struct err *e)
{
	if (!S_ISREG(st->st_mode))
		return err_set(e, ERR_STORE, "%s is not a regular file", path);
	if (!is_ours(st))
		return err_set(e, ERR_STORE, "%s belongs to user %u, not to user %u who runs this",
			path, (unsigned)st->st_uid, (unsigned)geteuid());
	if (st->st_mode & (S_IRWXG | S_IRWXO))
		return err_set(e, ERR_STORE,
			"%s can be used by others than its owner; run: chmod 600 '%s'", path, path);
	return ERR_OK;
}

enum err_code home_path(const char *home, const char *name, char out[HOME_PATH_MAX], struct err *e)
{
	int n = snprintf(out, HOME_PATH_MAX, "%s/%s", home, name);

	if (n < 0 || n >= HOME_PATH_MAX)
		return err_set(e, ERR_STORE, "the path of GATEWAY_HOME is too long");
	return ERR_OK;
}

enum err_code home_give(int fd, const char *home, struct err *e)
{
	struct stat folder, file;

	if (geteuid() != 0 || stat(home, &folder) != 0 || fstat(fd, &file) != 0 ||
		(folder.st_uid == file.st_uid && folder.st_gid == file.st_gid))
		return ERR_OK;
	if (fchown(fd, folder.st_uid, folder.st_gid) != 0)
		return err_set(e, ERR_STORE, "cannot give a file to the owner of %s: %s", home,
			strerror(errno));
	return ERR_OK;
}

enum err_code home_sync(const char *home, struct err *e)
{
	int fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum err_code rc = ERR_OK;

	if (fd < 0 || fsync(fd) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", home, strerror(errno));
	if (fd >= 0)
		close(fd);
	return rc;
}

enum err_code home_replace(const char *home, const char *name, struct slice text, struct err *e)
{
	char path[HOME_PATH_MAX], aside[HOME_PATH_MAX], aside_name[64];
	enum err_code rc;
	int fd;

	snprintf(aside_name, sizeof(aside_name), "%s.new", name);
	rc = home_path(home, name, path, e);
	if (!rc)
		rc = home_path(home, aside_name, aside, e);
	if (rc)
		return rc;
	if (unlink(aside) != 0 && errno != ENOENT)
		return err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
	fd = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
	if (write(fd, text.ptr, text.len) != (ssize_t)text.len || fsync(fd) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", aside, strerror(errno));
	if (!rc)
		rc = home_give(fd, home, e);
	close(fd);
	if (!rc && rename(aside, path) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	if (rc)
		(void)unlink(aside);
	return rc ? rc : home_sync(home, e);
}

enum err_code home_lock(
	const char *home, const char *name, int64_t wait_ms, int *out, struct err *e)
{
	int64_t deadline = clock_mono_ms() + wait_ms;
	char path[HOME_PATH_MAX];
	enum err_code rc;
	int fd;

	*out = -1;
	rc = home_path(home, name, path, e);
	if (rc)
		return rc;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	rc = home_give(fd, home, e);
	/* flock waits without a deadline of its own, so it is asked in steps. */
	while (!rc && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			rc = err_set(
				e, ERR_STORE, "%s: cannot be locked: %s", path, strerror(errno));
		else if (clock_mono_ms() >= deadline)
			rc = err_set(e, ERR_BUSY, "%s is held by another process; try again", path);
		else
			poll(NULL, 0, LOCK_STEP_MS);
	}
	if (rc)
		close(fd);
	else
		*out = fd;
	return rc;
}
