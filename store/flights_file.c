#include "store/flights_file.h"

#include "store/crc32c.h"
#include "store/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAGIC UINT64_C(0x31454C4946544C46)

struct frame_head {
	uint32_t kind;
	uint32_t length;   /* of the payload */
	uint32_t crc;      /* of the payload */
	uint32_t head_crc; /* of what is before, and of the place in the file */
};

static uint32_t head_crc(const struct frame_head *h, uint64_t at)
{
	uint64_t words[3] = { at, (uint64_t)h->kind << 32 | h->length, h->crc };

	return crc32c(words, sizeof(words));
}

/* ---- writing ---- */

bool flight_file_make(struct flight_file *f, const struct flight_map *m, struct flight_place p,
	const struct cache_key *key)
{
	struct flight_file_head head = {
		.magic = MAGIC, .owner = m->me, .key = *key, .generation = p.generation
	};
	char path[FLIGHT_PATH_MAX];

	flight_file_path(m, p, path);
	f->fd = fault_at("flights.file")
			? -1
			: open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->fd < 0)
		return false;
	f->at = sizeof(head);
	return !home_give(f->fd, m->home, NULL) &&
	       pwrite(f->fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head);
}

bool flight_file_put(struct flight_file *f, enum flight_frame frame, struct slice payload)
{
	struct frame_head head = { .kind = (uint32_t)frame,
		.length = (uint32_t)payload.len,
		.crc = crc32c(payload.ptr, payload.len) };
	struct iovec parts[2] = { { &head, sizeof(head) },
		{ (void *)(uintptr_t)payload.ptr, payload.len } };
	size_t bytes = sizeof(head) + payload.len;

	if (payload.len > UINT32_MAX)
		return false;
	head.head_crc = head_crc(&head, f->at);
	if (fault_at("flights.write") || pwritev(f->fd, parts, 2, (off_t)f->at) != (ssize_t)bytes)
		return false;
	f->at += bytes;
	if (frame == FLIGHT_EVENTS)
		f->events_bytes += payload.len;
	return true;
}

/* Where a piece of events may end: behind one of them. */
static size_t piece_of(struct slice events)
{
	const char *end;

	if (events.len <= FLIGHT_PIECE_BYTES)
		return events.len;
	for (size_t n = FLIGHT_PIECE_BYTES; n > 1; n--)
		if (events.ptr[n - 1] == '\n' && events.ptr[n - 2] == '\n')
			return n;
	end = memmem(events.ptr + FLIGHT_PIECE_BYTES - 1, events.len - FLIGHT_PIECE_BYTES + 1,
		"\n\n", 2);
	return end ? (size_t)(end + 2 - events.ptr) : events.len;
}

bool flight_file_put_events(struct flight_file *f, struct slice events)
{
	while (events.len) {
		size_t n = piece_of(events);

		if (!flight_file_put(f, FLIGHT_EVENTS, slice_first(events, n)))
			return false;
		events = slice_from(events, n);
	}
	return true;
}

/* ---- reading ---- */

static bool is_meant(
	const struct flight_file_head *head, struct flight_place p, const struct cache_key *key)
{
	return head->magic == MAGIC && head->generation == p.generation &&
	       memcmp(&head->key, key, sizeof(*key)) == 0;
}

static bool is_private(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) == 0;
}

bool flight_file_open(struct flight_file *f, const struct flight_map *m, struct flight_place p,
	const struct cache_key *key)
{
	struct flight_file_head head;
	char path[FLIGHT_PATH_MAX];
	ssize_t n;

	flight_file_path(m, p, path);
	f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd < 0)
		return errno == ENOENT;
	n = is_private(f->fd) ? pread(f->fd, &head, sizeof(head), 0) : -1;
	f->at = sizeof(head);
	if (n == (ssize_t)sizeof(head) && is_meant(&head, p, key))
		return true;
	flight_file_close(f);
	return n >= 0 && n < (ssize_t)sizeof(head); /* made, but not begun yet */
}

int flight_file_take(struct flight_file *f, enum flight_frame *frame, struct buf *out)
{
	struct frame_head head;
	char *room;

	if (pread(f->fd, &head, sizeof(head), (off_t)f->at) != (ssize_t)sizeof(head) ||
		head.head_crc != head_crc(&head, f->at))
		return 0;
	room = buf_room(out, head.length);
	if (!room)
		return -1;
	if (pread(f->fd, room, head.length, (off_t)(f->at + sizeof(head))) !=
			(ssize_t)head.length ||
		crc32c(room, head.length) != head.crc)
		return 0;
	buf_commit(out, head.length);
	f->at += sizeof(head) + head.length;
	*frame = (enum flight_frame)head.kind;
	if (*frame == FLIGHT_EVENTS)
		f->events_bytes += head.length;
	return 1;
}

void flight_file_close(struct flight_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}
