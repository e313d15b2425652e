#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
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
	struct buf line = { .max_bytes = LINE_MAX_BYTES };
	char time[CLOCK_ISO_SIZE];
	uint64_t lost = atomic_exchange(&state.lost, 0);
	ssize_t n = -1;

	clock_iso(clock_wall_ms(), time);
	buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"program\":", time, names[level]);
	buf_json_cstr(&line, state.program);
	buf_printf(&line, ",\"pid\":%ld", (long)getpid());
	if (lost)
		buf_printf(&line, ",\"lines_lost\":%llu", (unsigned long long)lost);
	if (members.len)
		buf_char(&line, ',');
	buf_slice_append(&line, members);
	buf_str(&line, "}\n");
	if (buf_ok(&line)) {
		follow_rotation();
		do
			n = write(state.fd, line.data, line.len);
		while (n < 0 && errno == EINTR);
	}
	/* A part of a line is not completed: another process may have written behind it. */
	if (n != (ssize_t)line.len || !buf_ok(&line))
		atomic_fetch_add(&state.lost, lost + 1);
	buf_fini(&line);
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
