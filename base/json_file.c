#include "base/json_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYS_MAX 1000000
#define MORE     4096 /* bytes read at a time of a file that has grown meanwhile */

static enum err_code read_all(
	int fd, const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st))
		return err_errno(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_IO, "%s: not a regular file", path);
	/* One byte more than is accepted, to see that there is more. */
	out->max_bytes = max_bytes + 1;
	do {
		size_t most = out->max_bytes - out->len, room = MORE;
		char *p;

		if ((size_t)st.st_size > out->len)
			room = (size_t)st.st_size - out->len;
		room = room < most ? room : most;
		p = buf_room(out, room);
		if (!p)
			return err_set(e, ERR_NO_MEMORY, "%s: no memory to read it", path);
		n = read(fd, p, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno, "%s", path);
		buf_commit(out, (size_t)n);
		if (out->len > max_bytes)
			return err_set(
				e, ERR_TOO_LARGE, "%s: larger than %zu bytes", path, max_bytes);
	} while (n);
	return ERR_OK;
}

static enum err_code validate(
	const char *path, struct slice text, struct json_value *v, struct err *e)
{
	static const struct json_limits limits = { .max_depth = JSON_FILE_DEPTH,
		.max_keys = KEYS_MAX };
	enum json_kind kind;
	struct err why = { 0 };
	enum err_code rc = json_validate(text, &limits, &kind, &why);

	if (rc)
		return err_set(e, rc, "%s: %s", path, why.message);
	*v = (struct json_value){ kind, slice_trim(text) };
	return ERR_OK;
}

enum err_code json_file_read(
	const char *path, size_t max_bytes, struct buf *text, struct json_value *v, struct err *e)
{
	enum err_code rc;
	int fd;

	*v = (struct json_value){ .raw = SLICE("") };
	/* Opening a FIFO would wait for a writer without O_NONBLOCK. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_errno(e, errno, "%s", path);
	rc = read_all(fd, path, max_bytes, text, e);
	close(fd);
	return rc ? rc : validate(path, buf_slice(text), v, e);
}
