#include "store/tar.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

struct header {
	char name[TAR_NAME_SIZE];
	char mode[8], uid[8], gid[8];
	char size[12], mtime[12];
	char checksum[8];
	char type;
	char link[100];
	char magic[8]; /* "ustar", NUL, "00" */
	char user[32], group[32];
	char major[8], minor[8];
	char prefix[155];
	char pad[12];
};

_Static_assert(sizeof(struct header) == TAR_BLOCK, "a tar header is one block");

bool tar_name_is_safe(const char *name)
{
	struct slice rest = slice_of(name);

	if (!rest.len || rest.len >= TAR_NAME_SIZE || rest.ptr[rest.len - 1] == '/' ||
		strspn(name,
			"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-") !=
			rest.len)
		return false;
	while (rest.len) {
		struct slice part = slice_cut(&rest, '/');

		if (!part.len || slice_is(part, ".") || slice_is(part, ".."))
			return false;
	}
	return true;
}

/* The sum of all bytes, those of the checksum itself counted as blanks. */
static unsigned checksum(const struct header *h)
{
	const unsigned char *p = (const unsigned char *)h;
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof(*h); i++)
		sum += i >= offsetof(struct header, checksum) && i < offsetof(struct header, type)
			       ? ' '
			       : p[i];
	return sum;
}

/* ---- writing ---- */

static enum err_code write_all(int fd, const char *path, const void *bytes, size_t n, struct err *e)
{
	const char *p = bytes;

	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
		p += done;
		n -= (size_t)done;
	}
	return ERR_OK;
}

static size_t padding(size_t n)
{
	return (TAR_BLOCK - n % TAR_BLOCK) % TAR_BLOCK;
}

enum err_code tar_write(int fd, const char *path, const char *name, struct slice content,
	int64_t wall_ms, struct err *e)
{
	static const char zeros[TAR_BLOCK];
	struct header h = { .mode = "0000600", .uid = "0000000", .gid = "0000000", .type = '0' };
	enum err_code rc;

	if (!tar_name_is_safe(name) || content.len > TAR_FILE_MAX)
		return err_set(e, ERR_STORE, "%s: cannot be put into a backup", name);
	memcpy(h.name, name, strlen(name));
	memcpy(h.magic,
		"ustar\0"
		"00",
		8);
	snprintf(h.size, sizeof(h.size), "%011llo", (unsigned long long)content.len);
	snprintf(h.mtime, sizeof(h.mtime), "%011llo",
		(unsigned long long)(wall_ms < 0 ? 0 : wall_ms / 1000) & 077777777777ULL);
	snprintf(h.checksum, sizeof(h.checksum), "%06o", checksum(&h));
	h.checksum[7] = ' ';
	rc = write_all(fd, path, &h, sizeof(h), e);
	if (!rc)
		rc = write_all(fd, path, content.ptr, content.len, e);
	return rc ? rc : write_all(fd, path, zeros, padding(content.len), e);
}

enum err_code tar_end(int fd, const char *path, struct err *e)
{
	static const char zeros[2 * TAR_BLOCK];

	return write_all(fd, path, zeros, sizeof(zeros), e);
}

/* ---- reading ---- */

static enum err_code read_all(int fd, const char *path, void *to, size_t n, struct err *e)
{
	char *p = to;

	while (n) {
		ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
		if (got == 0)
			return err_set(
				e, ERR_STORE, "%s is cut off: it is not a whole backup", path);
		p += got;
		n -= (size_t)got;
	}
	return ERR_OK;
}

/* Octal digits, ended by NUL or a blank. */
static bool read_octal(const char *field, size_t n, uint64_t *out)
{
	size_t i = 0;

	*out = 0;
	for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
		*out = *out << 3 | (uint64_t)(field[i] - '0');
	return i > 0 && i < n && (field[i] == '\0' || field[i] == ' ');
}

static bool is_zero(const void *bytes, size_t n)
{
	const char *p = bytes;

	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static bool is_plain_file(const struct header *h, uint64_t *size)
{
	uint64_t sum;

	return memcmp(h->magic,
		       "ustar\0"
		       "00",
		       8) == 0 &&
	       h->type == '0' && !h->prefix[0] && memchr(h->name, '\0', sizeof(h->name)) &&
	       tar_name_is_safe(h->name) && read_octal(h->size, sizeof(h->size), size) &&
	       *size <= TAR_FILE_MAX && read_octal(h->checksum, sizeof(h->checksum), &sum) &&
	       sum == checksum(h);
}

enum err_code tar_read(
	int fd, const char *path, char name[TAR_NAME_SIZE], struct buf *content, struct err *e)
{
	struct header h;
	char rest[TAR_BLOCK], *room;
	uint64_t size;
	enum err_code rc = read_all(fd, path, &h, sizeof(h), e);

	if (rc)
		return rc;
	if (is_zero(&h, sizeof(h))) {
		rc = read_all(fd, path, rest, sizeof(rest), e);
		if (!rc && !is_zero(rest, sizeof(rest)))
			rc = err_set(e, ERR_STORE, "%s is damaged: its end is not one", path);
		return rc ? rc : ERR_NOT_FOUND;
	}
	if (!is_plain_file(&h, &size))
		return err_set(e, ERR_STORE, "%s is damaged, or no backup of Tollgate", path);
	content->max_bytes = TAR_FILE_MAX;
	buf_reset(content);
	room = buf_room(content, (size_t)size);
	if (size && !room)
		return err_set(e, ERR_NO_MEMORY, "no memory to read %s", path);
	if (size)
		rc = read_all(fd, path, room, (size_t)size, e);
	if (!rc)
		rc = read_all(fd, path, rest, padding((size_t)size), e);
	if (!rc && !is_zero(rest, padding((size_t)size)))
		rc = err_set(e, ERR_STORE, "%s is damaged behind %.99s", path, h.name);
	if (rc)
		return rc;
	buf_commit(content, (size_t)size);
	memcpy(name, h.name, TAR_NAME_SIZE);
	return ERR_OK;
}
