#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 65536
#define NAME_SIZE      64

/* fd keeps its number for the life of the process: a reopened file is put in its place with
 * dup3, so that a writer needs no lock. */
static struct {
	pthread_mutex_t lock; /* over dev, ino and reopening */
	char *path;           /* NULL = stderr */
	char program[NAME_SIZE];
	int fd;
	dev_t dev;
	ino_t ino;
	atomic_uint_fast64_t lost; /* lines, since the last one that was written */
} state = { .lock = PTHREAD_MUTEX_INITIALIZER, .program = "tollgate", .fd = STDERR_FILENO };

/* Not blocking while opening: a pipe without a reader fails instead of hanging the start. */
static int open_file(const char *path, struct stat *st)
{
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);

	if (fd < 0)
		return -1;
	if (fstat(fd, st) != 0 || !(S_ISREG(st->st_mode) || S_ISCHR(st->st_mode))) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	return fd;
}

enum err_code log_open(const char *path, const char *program, struct err *e)
{
	struct stat st;
	char *copy;
	int fd;

	str_copy_cut(state.program, sizeof(state.program), program);
	if (!path || !*path)
		return ERR_OK;
	copy = strdup(path);
	if (!copy)
		return err_set(e, ERR_NO_MEMORY, "out of memory while opening the log");
	fd = open_file(path, &st);
	if (fd < 0) {
		free(copy);
		return err_errno(e, errno, "cannot write the log %s (GATEWAY_LOG)", path);
	}
	if (state.path)
		close(state.fd);
	free(state.path);
	state.path = copy;
	state.fd = fd;
	state.dev = st.st_dev;
	state.ino = st.st_ino;
	return ERR_OK;
}

/* Has the file been renamed or removed? Then a new one takes its place. */
static void follow_rotation(void)
{
	struct stat st;
	int fd;

	if (!state.path)
		return;
	pthread_mutex_lock(&state.lock);
	if (stat(state.path, &st) != 0 || st.st_dev != state.dev || st.st_ino != state.ino) {
		fd = open_file(state.path, &st);
		if (fd >= 0) {
			if (dup3(fd, state.fd, O_CLOEXEC) >= 0) {
				state.dev = st.st_dev;
				state.ino = st.st_ino;
			}
			close(fd);
		}
	}
	pthread_mutex_unlock(&state.lock);
}

void log_object(enum log_level level, struct slice members)
{
	static const char *const names[] = { "info", "warn", "error" };
	char start[256];
	uint64_t lost = atomic_exchange(&state.lost, 0);
	struct buf head = buf_over(start, sizeof(start)); /* it fits by the sizes of its parts */
	struct iovec parts[3];
	size_t all;
	ssize_t n;

	buf_str(&head, "{\"time\":\"");
	clock_iso(clock_wall_ms(), start + head.len);
	head.len += CLOCK_ISO_SIZE - 1;
	buf_str(&head, "\",\"level\":\"");
	buf_str(&head, names[level]);
	buf_str(&head, "\",\"program\":\"");
	buf_str(&head, state.program);
	buf_str(&head, "\",\"pid\":");
	buf_int(&head, getpid());
	if (lost) {
		buf_str(&head, ",\"lines_lost\":");
		buf_int(&head, (int64_t)lost);
	}
	if (members.len)
		buf_char(&head, ',');
	parts[0] = (struct iovec){ head.data, head.len };
	parts[1] = (struct iovec){ (char *)(uintptr_t)members.ptr, members.len };
	parts[2] = (struct iovec){ (char[]){ "}\n" }, 2 };
	all = head.len + members.len + 2;
	n = -1;
	if (all <= LINE_MAX_BYTES) {
		follow_rotation();
		do
			n = writev(state.fd, parts, 3);
		while (n < 0 && errno == EINTR);
	}
	/* A part of a line is not completed: another process may have written behind it. */
	if (n != (ssize_t)all)
		atomic_fetch_add(&state.lost, lost + 1);
}

void log_line(enum log_level level, const char *format, ...)
{
	struct buf text = { .max_bytes = LINE_MAX_BYTES / 8 };
	struct buf members = { .max_bytes = LINE_MAX_BYTES };
	va_list args;

	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	buf_str(&members, "\"msg\":");
	if (buf_ok(&text))
		buf_json_str(&members, buf_slice(&text));
	else
		buf_json_cstr(&members, "(a message too long for the log)");
	log_object(level, buf_slice(&members));
	buf_fini(&members);
	buf_fini(&text);
}
