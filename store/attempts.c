#include "store/attempts.h"

#include "store/crc32c.h"
#include "store/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define MAGIC UINT32_C(0x31414754) /* "TGA1" */

/* Numbers are little endian, as everywhere in the store. */
struct slot {
	uint32_t magic;
	uint32_t crc; /* CRC32C of everything behind it, up to the end of the text */
	uint64_t id[2];
	int64_t wall_ms;
	uint32_t length; /* of the text */
	uint32_t spare[3];
	char text[ATTEMPTS_JSON_MAX];
};

struct row {
	struct slot slots[ATTEMPTS_WAYS];
};

_Static_assert(sizeof(struct slot) == ATTEMPTS_SLOT_BYTES, "a slot is a page");

static uint32_t checksum(const struct slot *s)
{
	size_t from = offsetof(struct slot, id);

	return crc32c((const char *)s + from, offsetof(struct slot, text) - from + s->length);
}

static bool is_whole(const struct slot *s)
{
	return s->magic == MAGIC && s->length >= 1 && s->length <= ATTEMPTS_JSON_MAX &&
	       s->crc == checksum(s);
}

/* Ids are random already: they come from a hash. */
static off_t row_at(struct ledger_id id)
{
	return (off_t)(id.word[0] % (ATTEMPTS_SLOTS / ATTEMPTS_WAYS)) * (off_t)sizeof(struct row);
}

static bool is_of(const struct slot *s, struct ledger_id id)
{
	return s->id[0] == id.word[0] && s->id[1] == id.word[1];
}

/* ERR_NOT_FOUND, which is not put into words, when there is none and none is made. */
static enum err_code open_ring(const char *home, int flags, int *out, struct err *e)
{
	char path[HOME_PATH_MAX];
	struct stat st;
	enum err_code rc = home_path(home, ATTEMPTS_FILE, path, e);
	int fd;

	*out = -1;
	if (rc)
		return rc;
	fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0 && errno == ENOENT && !(flags & O_CREAT))
		return ERR_NOT_FOUND;
	if (fd < 0)
		return err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	rc = fstat(fd, &st) == 0 ? home_check_file(path, &st, e)
				 : err_set(e, ERR_STORE, "%s: %s", path, strerror(errno));
	/* One that has another name as well may be anybody's. */
	if (!rc && st.st_nlink != 1)
		rc = err_set(e, ERR_STORE, "%s has other names: it is left alone", path);
	if (!rc && flags & O_CREAT)
		rc = home_give(fd, home, e);
	if (rc)
		close(fd);
	else
		*out = fd;
	return rc;
}

/* What the file does not have yet is empty. */
static enum err_code read_row(int fd, struct ledger_id id, struct row *row, struct err *e)
{
	ssize_t n = pread(fd, row, sizeof(*row), row_at(id));

	if (n < 0)
		return err_set(e, ERR_STORE, ATTEMPTS_FILE ": %s", strerror(errno));
	memset((char *)row + n, 0, sizeof(*row) - (size_t)n);
	return ERR_OK;
}

/* The one of the same request, a free one, else the oldest. */
static size_t place_for(const struct row *row, struct ledger_id id)
{
	size_t best = 0;

	for (size_t i = 0; i < ATTEMPTS_WAYS; i++)
		if (is_whole(&row->slots[i]) && is_of(&row->slots[i], id))
			return i;
	for (size_t i = 0; i < ATTEMPTS_WAYS; i++) {
		if (!is_whole(&row->slots[i]))
			return i;
		if (row->slots[i].wall_ms < row->slots[best].wall_ms)
			best = i;
	}
	return best;
}

enum err_code attempts_put(
	const char *home, struct ledger_id id, int64_t wall_ms, struct slice json, struct err *e)
{
	struct slot s = { .magic = MAGIC, .id = { id.word[0], id.word[1] }, .wall_ms = wall_ms };
	struct row *row; /* threads that hold streams keep the stack they once used */
	size_t bytes, at = 0;
	enum err_code rc;
	int fd;

	if (json.len < 1 || json.len > ATTEMPTS_JSON_MAX)
		return err_set(e, ERR_RANGE, "attempts of %zu bytes: 1 to %d can be kept", json.len,
			ATTEMPTS_JSON_MAX);
	row = malloc(sizeof(*row));
	if (!row)
		return err_set(e, ERR_NO_MEMORY, "no memory for attempts");
	rc = open_ring(home, O_RDWR | O_CREAT, &fd, e);
	if (rc) {
		free(row);
		return rc;
	}
	rc = read_row(fd, id, row, e);
	if (!rc)
		at = place_for(row, id);
	free(row);
	memcpy(s.text, json.ptr, json.len);
	s.length = (uint32_t)json.len;
	s.crc = checksum(&s);
	bytes = offsetof(struct slot, text) + json.len;
	if (!rc && pwrite(fd, &s, bytes, row_at(id) + (off_t)(at * sizeof(s))) != (ssize_t)bytes)
		rc = err_set(e, ERR_STORE, ATTEMPTS_FILE ": %s", strerror(errno));
	close(fd);
	return rc;
}

enum err_code attempts_get(const char *home, struct ledger_id id, struct buf *json, struct err *e)
{
	struct row row;
	enum err_code rc;
	int fd;

	rc = open_ring(home, O_RDONLY, &fd, e);
	if (!rc) {
		rc = read_row(fd, id, &row, e);
		close(fd);
	}
	for (size_t i = 0; !rc && i < ATTEMPTS_WAYS; i++) {
		const struct slot *s = &row.slots[i];

		if (!is_whole(s) || !is_of(s, id))
			continue;
		buf_append(json, s->text, s->length);
		return buf_ok(json) ? ERR_OK : err_set(e, ERR_NO_MEMORY, "no memory for attempts");
	}
	return rc && rc != ERR_NOT_FOUND
		       ? rc
		       : err_set(e, ERR_NOT_FOUND, "nothing is kept of this request's attempts");
}
