#include "store/pepper.h"

#include "base/crypto.h"
#include "store/home.h"
#include "store/key_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define NAME "pepper"

enum err_code pepper_read(const char *home, uint8_t out[PEPPER_BYTES], struct err *e)
{
	char path[HOME_PATH_MAX];
	struct stat st;
	enum err_code rc = home_path(home, NAME, path, e);
	int fd;

	if (rc)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_STORE, "%s: %s", path,
			strerror(errno));
	if (fstat(fd, &st) != 0)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	else
		rc = home_check_file(path, &st, e);
	if (!rc && (st.st_size != PEPPER_BYTES || read(fd, out, PEPPER_BYTES) != PEPPER_BYTES))
		rc = err_set(e, ERR_STORE,
			"%s does not hold %d bytes: restore it from a backup, or every key is lost",
			path, PEPPER_BYTES);
	close(fd);
	return rc;
}

static enum err_code write_new(const char *home, const char *tmp, struct err *e)
{
	uint8_t bytes[PEPPER_BYTES];
	enum err_code rc;
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", tmp, strerror(errno));
	crypto_random(bytes, sizeof(bytes));
	rc = home_give(fd, home, e);
	if (!rc && (write(fd, bytes, sizeof(bytes)) != sizeof(bytes) || fsync(fd) != 0))
		rc = err_set(e, ERR_STORE, "%s: %s", tmp, strerror(errno));
	crypto_wipe(bytes, sizeof(bytes));
	close(fd);
	return rc;
}

enum err_code pepper_make(const char *home, uint8_t out[PEPPER_BYTES], struct err *e)
{
	char path[HOME_PATH_MAX], tmp[HOME_PATH_MAX], name[64], unique[13];
	enum err_code rc = pepper_read(home, out, e);

	if (rc != ERR_NOT_FOUND)
		return rc;
	key_text_random(unique, sizeof(unique) - 1);
	snprintf(name, sizeof(name), NAME ".%s.tmp", unique);
	rc = home_path(home, NAME, path, e);
	if (!rc)
		rc = home_path(home, name, tmp, e);
	if (rc)
		return rc;
	rc = write_new(home, tmp, e);
	/* The link is what only one can do; whoever comes second reads the first one's. */
	if (!rc && link(tmp, path) != 0 && errno != EEXIST)
		rc = err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	unlink(tmp);
	if (!rc)
		rc = home_sync(home, e);
	return rc ? rc : pepper_read(home, out, e);
}
