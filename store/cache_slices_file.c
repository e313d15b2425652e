#include "store/cache_slices.h"

#include "store/fault.h"
#include "store/gdbm_call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define WIDTH_MIN_MS 1000
#define WIDTH_GROWS  4     /* the slices of longer lives are so many times as wide */
#define GROWS_FOR    1024  /* bytes; of less, hardly any of a block is left over */
#define GROWS_BY_MIN 16384 /* bytes; … and no more than: */
#define GROWS_BY_MAX 65536 /* of more, GDBM loses more */
#define ENTRIES_MIN  16
#define SILENT_MS    1000 /* after that a writer is expected to have gone */
#define LIFE_MAX_MS  (INT64_C(366) * 86400 * 1000)

static struct slice key_of(const uint8_t hash[SLICES_KEY])
{
	return (struct slice){ (const char *)hash, SLICES_KEY };
}

/* ---- handles ---- */

static void leave(struct slices_handle *h)
{
	if (h->dbf && !gdbm_call(&(struct gdbm_call){ .op = GDBM_OP_LEAVE, .dbf = h->dbf }))
		h->held = 0; /* what GDBM could not free is lost */
	*h = (struct slices_handle){ .dbf = NULL };
}

void slices_close_handles(struct slices *s)
{
	for (int i = 0; i < SLICES_ROWS; i++)
		leave(&s->handles[i]);
}

/* ERR_IO: it is not as the row has it. ERR_NO_MEMORY: this process has no descriptors, no memory.
 */
static enum err_code open_file(
	const struct slices *s, const struct slices_row *row, struct gdbm_file_info **out)
{
	char path[HOME_PATH_MAX];
	struct gdbm_call c = { .op = GDBM_OP_ALTER, .path = path };
	struct stat st;

	slices_path(s, row->number, path);
	c.fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (c.fd < 0)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? ERR_NO_MEMORY
									     : ERR_IO;
	if (fstat(c.fd, &st) != 0 || home_check_file(path, &st, NULL) ||
		(uint64_t)st.st_size != row->file_bytes) {
		close(c.fd);
		return ERR_IO;
	}
	if (!gdbm_call(&c))
		return gdbm_call_why() == GDBM_WHY_MEMORY ? ERR_NO_MEMORY : ERR_IO;
	*out = c.dbf;
	return ERR_OK;
}

/* GDBM waits for the disk when it makes a file, and everybody would for the mutex. So one is made
 * in memory, once, and copied. */
static bool make_blank(struct slices *s)
{
	int fd = memfd_create("blank", MFD_CLOEXEC);
	struct gdbm_call c = {
		.op = GDBM_OP_ALTER, .path = "blank", .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)
	};
	ssize_t n = 0;

	if (c.fd >= 0 && gdbm_call(&c)) {
		c.op = GDBM_OP_LEAVE;
		if (gdbm_call(&c))
			n = pread(fd, s->blank, sizeof(s->blank), 0);
	}
	if (fd >= 0)
		close(fd);
	s->blank_bytes = n > 0 && n < SLICES_FILE ? (size_t)n : 0;
	return s->blank_bytes > 0;
}

static bool make_file(struct slices *s, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool made = fd >= 0 && (s->blank_bytes || make_blank(s)) &&
		    home_give(fd, s->folder, NULL) == ERR_OK &&
		    write(fd, s->blank, s->blank_bytes) == (ssize_t)s->blank_bytes;

	if (fd >= 0)
		close(fd);
	return made;
}

/* Lends the handle of a slice. */
static enum err_code handle_of(
	struct slices *s, const struct slices_row *row, struct slices_handle **out)
{
	struct slices_handle *h = &s->handles[row->number % SLICES_ROWS];

	*out = h;
	if (h->dbf && h->number == row->number && h->changes == row->changes &&
		h->held <= SLICES_HELD_MAX)
		return ERR_OK;
	leave(h);
	h->number = row->number;
	h->changes = row->changes;
	return open_file(s, row, &h->dbf);
}

/* ---- slices ---- */

void slices_drop(struct slices *s, struct slices_row *row)
{
	struct slices_head *h = s->head;

	leave(&s->handles[row->number % SLICES_ROWS]);
	h->entries -= row->entries < h->entries ? row->entries : h->entries;
	h->bytes -= row->bytes < h->bytes ? row->bytes : h->bytes;
	h->file_bytes -= row->file_bytes < h->file_bytes ? row->file_bytes : h->file_bytes;
	/* Else it is found when the folder is swept. */
	if (s->doomed_n < SLICES_ROWS)
		s->doomed[s->doomed_n++] = row->number;
	*row = (struct slices_row){ .number = 0 };
}

static uint32_t after(uint32_t number)
{
	return number == UINT32_MAX ? 1 : number + 1;
}

/* How large the file is by now; its growth is part of the sum. */
static bool measure(struct slices *s, struct slices_row *row, struct gdbm_file_info *dbf)
{
	/* GDBM goes to where it reads or writes before each time. */
	off_t bytes = lseek(gdbm_call_fd(dbf), 0, SEEK_END);

	if (bytes < 0)
		return false;
	s->head->file_bytes += (uint64_t)bytes - row->file_bytes;
	row->file_bytes = (uint64_t)bytes;
	return true;
}

/* The next number whose row is free; its file is made. */
static struct slices_row *make_row(
	struct slices *s, int64_t now_ms, int64_t until_ms, int64_t width_ms)
{
	struct slices_head *h = s->head;
	uint32_t number = after(h->last);
	struct slices_row *row;
	char path[HOME_PATH_MAX];
	bool made;

	for (int i = 0; i < SLICES_ROWS && h->rows[number % SLICES_ROWS].number; i++)
		number = after(number);
	row = &h->rows[number % SLICES_ROWS];
	if (row->number)
		return NULL;
	slices_path(s, number, path);
	(void)unlink(path);
	h->last = number;
	*row = (struct slices_row){ .number = number,
		.until_ms = until_ms,
		.width_ms = width_ms,
		.first_ms = now_ms,
		.last_ms = now_ms };
	h->writing = number;
	slices_sweep(s); /* now that this one is not swept */
	made = make_file(s, path);
	(void)fault_at("cache.made");
	if (made) {
		row->file_bytes = s->blank_bytes;
		h->file_bytes += s->blank_bytes;
	} else {
		slices_drop(s, row);
		row = NULL;
	}
	h->writing = 0;
	return row;
}

static bool has_room(const struct slices *s, const struct slices_row *row, size_t bytes)
{
	uint64_t most = (uint64_t)s->base.conf.max_entries / SLICES_SHARE;

	if (row->entries >= (most > ENTRIES_MIN ? most : ENTRIES_MIN))
		return false;
	return !row->entries ||
	       row->file_bytes + bytes <= (uint64_t)s->base.conf.max_bytes / SLICES_SHARE;
}

struct slices_row *slices_row_for(
	struct slices *s, int64_t now_ms, int64_t expires_ms, size_t bytes, uint32_t besides)
{
	int64_t life = expires_ms - now_ms, width = s->base.conf.ttl_ms / SLICES_SHARE, until;
	struct slices_row *rows = s->head->rows, *others = NULL, *made;
	unsigned n = 0;

	if (life > LIFE_MAX_MS) {
		life = LIFE_MAX_MS;
		expires_ms = now_ms + life;
	}
	if (width < WIDTH_MIN_MS)
		width = WIDTH_MIN_MS;
	while (width < life / SLICES_SHARE)
		width *= WIDTH_GROWS;
	until = (expires_ms / width + 1) * width;
	for (int i = 0; i < SLICES_ROWS; i++) {
		if (!rows[i].number || rows[i].number == besides || rows[i].until_ms != until ||
			rows[i].width_ms != width || !has_room(s, &rows[i], bytes))
			continue;
		if (rows[i].writer == s->me)
			return &rows[i];
		n++;
		if (!others || rows[i].last_ms < others->last_ms)
			others = &rows[i];
	}
	/* Of several writers each would open the file anew, time and again. */
	if (others && (n >= SLICES_WRITERS || others->last_ms <= now_ms - SILENT_MS))
		return others;
	made = make_row(s, now_ms, until, width);
	return made ? made : others;
}

/* ---- entries ---- */

enum err_code slices_fetch(
	struct slices *s, struct slices_row *row, const uint8_t hash[SLICES_KEY], struct buf *out)
{
	struct slices_handle *h;
	struct gdbm_call c = { .op = GDBM_OP_FETCH, .key = key_of(hash) };
	enum err_code rc = handle_of(s, row, &h);

	if (!rc) {
		c.dbf = h->dbf;
		if (gdbm_call(&c)) {
			buf_slice_append(out, c.found);
			free((char *)(uintptr_t)c.found.ptr);
			h->held += c.found.len;
			return buf_ok(out) ? ERR_OK : ERR_NO_MEMORY;
		}
		if (gdbm_call_why() == GDBM_WHY_NOTHING)
			return ERR_NOT_FOUND;
		rc = gdbm_call_why() == GDBM_WHY_MEMORY ? ERR_NO_MEMORY : ERR_IO;
	}
	if (rc == ERR_IO)
		slices_drop(s, row);
	return rc;
}

/* GDBM takes whole blocks from the end of the file for each value, and what is left of them is of
 * use for smaller values only: half of the file may be waste. So space is taken in larger pieces,
 * as a value that is deleted again, and GDBM cuts the next values off that. */
static bool grow(struct gdbm_file_info *dbf, struct slices_row *row, size_t bytes)
{
	uint64_t piece = row->file_bytes / 4;
	struct gdbm_call c = { .op = GDBM_OP_STORE, .dbf = dbf, .key = SLICE("room") };
	char *nothing;
	bool worked;

	if (bytes <= row->spare_bytes) {
		row->spare_bytes -= bytes;
		return true;
	}
	if (bytes <= GROWS_FOR)
		return true;
	if (piece < GROWS_BY_MIN)
		piece = GROWS_BY_MIN;
	if (piece > GROWS_BY_MAX)
		piece = GROWS_BY_MAX;
	if (bytes > piece / 4)
		return true;
	nothing = calloc(1, piece);
	if (!nothing)
		return true;
	c.value = (struct slice){ nothing, piece };
	worked = gdbm_call(&c);
	free(nothing);
	c.op = GDBM_OP_DELETE;
	row->spare_bytes = piece - bytes;
	return worked && gdbm_call(&c);
}

enum err_code slices_store(struct slices *s, struct slices_row *row, int64_t now_ms,
	const uint8_t hash[SLICES_KEY], struct slice bytes)
{
	struct slices_handle *h;
	struct gdbm_call c = { .op = GDBM_OP_STORE, .key = key_of(hash), .value = bytes };
	enum err_code rc = handle_of(s, row, &h);

	if (rc == ERR_NO_MEMORY)
		return rc;
	s->head->writing = row->number;
	atomic_signal_fence(memory_order_seq_cst);
	c.dbf = h->dbf;
	if (rc || fault_at("cache.store") || !grow(h->dbf, row, bytes.len + SLICES_KEY) ||
		!gdbm_call(&c) || !measure(s, row, h->dbf)) {
		slices_drop(s, row);
		s->head->writing = 0;
		return ERR_IO;
	}
	h->changes = ++row->changes;
	row->writer = s->me;
	if (now_ms > row->last_ms)
		row->last_ms = now_ms;
	slices_place(s, hash, row, bytes.len);
	(void)fault_at("cache.placed");
	atomic_signal_fence(memory_order_seq_cst);
	s->head->writing = 0;
	return ERR_OK;
}

/* With a handle of its own: f may use the other, which is opened anew now and then. */
enum err_code slices_walk(struct slices *s, struct slices_row *row, slices_on_key f, void *ctx)
{
	/* A file gone wrong can lead in circles; no key takes less than this. */
	uint64_t most = row->file_bytes / SLICES_KEY;
	uint32_t number = row->number;
	struct slices_handle own = { .number = number };
	struct gdbm_call c = { .op = GDBM_OP_FIRST };
	bool more = false, go_on = true;
	enum err_code rc = open_file(s, row, &own.dbf);
	struct slice key;

	if (rc == ERR_NO_MEMORY)
		return rc;
	c.dbf = own.dbf;
	if (!rc)
		more = gdbm_call(&c);
	while (more && go_on && most--) {
		key = c.found;
		if (key.len == SLICES_KEY)
			go_on = f(ctx, (const uint8_t *)key.ptr);
		c = (struct gdbm_call){ .op = GDBM_OP_NEXT, .dbf = own.dbf, .key = key };
		more = go_on && gdbm_call(&c);
		free((char *)(uintptr_t)key.ptr);
	}
	if (more)
		free((char *)(uintptr_t)c.found.ptr);
	if (!rc && go_on && (more || gdbm_call_why() != GDBM_WHY_NOTHING))
		rc = ERR_IO;
	leave(&own);
	if (rc && slices_row(s, number))
		slices_drop(s, row);
	return rc;
}
