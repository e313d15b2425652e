#include "base/env_file.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define PART_BYTES     16384

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "out of memory while reading a configuration file");
}

static bool is_name(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!(s.ptr[i] >= 'A' && s.ptr[i] <= 'Z') &&
			!(s.ptr[i] >= '0' && s.ptr[i] <= '9') && s.ptr[i] != '_')
			return false;
	return s.len > 0;
}

static enum err_code add(
	struct env_file *f, struct slice name, struct slice value, int line, struct err *e)
{
	struct env_entry *more = realloc(f->entries, (f->count + 1) * sizeof(*more));

	if (!more)
		return no_memory(e);
	f->entries = more;
	more += f->count++;
	*more = (struct env_entry){
		.name = strndup(name.ptr, name.len),
		.value = value.len ? strndup(value.ptr, value.len) : strdup(""),
		.line = line,
	};
	return more->name && more->value ? ERR_OK : no_memory(e);
}

/* A message shows the name at most: what is not a name may be a secret. */
static enum err_code read_line(struct env_file *f, struct slice line, int number, struct err *e)
{
	struct slice value = slice_trim(line), name;
	const struct env_entry *same;
	char text[129];

	if (!value.len || value.ptr[0] == '#')
		return ERR_OK;
	if (!memchr(value.ptr, '=', value.len))
		return err_set(e, ERR_CONF, "%s:%d: a line must be NAME=value, or begin with #",
			f->path, number);
	name = slice_trim(slice_cut(&value, '='));
	value = slice_trim(value);
	if (!is_name(name) || !slice_copy(name, text, sizeof(text)))
		return err_set(e, ERR_CONF,
			"%s:%d: a name is made of at most 128 letters A-Z, digits and _", f->path,
			number);
	if (value.len && value.ptr[0] == '"') {
		if (value.len < 2 || value.ptr[value.len - 1] != '"')
			return err_param(e, ERR_CONF, text, "%s:%d: %s: the closing \" is missing",
				f->path, number, text);
		value = slice_first(slice_from(value, 1), value.len - 2);
	}
	if (value.len && memchr(value.ptr, '\0', value.len))
		return err_param(
			e, ERR_CONF, text, "%s:%d: %s: holds a NUL byte", f->path, number, text);
	same = env_file_get(f, text);
	if (same)
		return err_param(e, ERR_CONF, text, "%s:%d: %s: was set on line %d already",
			f->path, number, text, same->line);
	return add(f, name, value, number, e);
}

static enum err_code read_all(int fd, const char *path, struct buf *out, struct err *e)
{
	ssize_t n;
	char *room;

	do {
		room = buf_room(out, PART_BYTES);
		if (!room)
			return err_set(e, ERR_CONF, "%s: is larger than 1 MiB", path);
		n = read(fd, room, PART_BYTES);
		if (n < 0 && errno != EINTR)
			return err_set(e, ERR_CONF, "%s: %s", path, strerror(errno));
		if (n > 0)
			buf_commit(out, (size_t)n);
	} while (n);
	return ERR_OK;
}

static enum err_code read_open(struct env_file *f, int fd, struct buf *text, struct err *e)
{
	struct slice rest;
	struct stat st;
	enum err_code rc;
	int number = 0;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_CONF, "%s: is not a file", f->path);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return err_set(e, ERR_CONF,
			"%s: can be written by others than its owner; run: chmod go-w '%s'",
			f->path, f->path);
	f->others_read = st.st_mode & S_IROTH;
	/* Room for the whole at once: growing would leave copies of secrets behind. */
	if (st.st_size < (off_t)FILE_MAX_BYTES && !buf_room(text, (size_t)st.st_size + PART_BYTES))
		return no_memory(e);
	rc = read_all(fd, f->path, text, e);
	rest = buf_slice(text);
	if (slice_starts(rest, "\xef\xbb\xbf"))
		rest = slice_from(rest, 3);
	while (!rc && rest.len)
		rc = read_line(f, slice_cut(&rest, '\n'), ++number, e);
	return rc;
}

enum err_code env_file_read(struct env_file *f, const char *path, struct err *e)
{
	struct buf text = { .max_bytes = FILE_MAX_BYTES + PART_BYTES };
	enum err_code rc;
	int fd;

	*f = (struct env_file){ .path = NULL };
	/* Not blocking, so that a pipe by that name cannot hang the start. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, ERR_NOT_FOUND, "%s: no such file", path);
	if (fd < 0)
		return err_set(e, ERR_CONF, "%s: %s", path, strerror(errno));
	f->path = strdup(path);
	rc = f->path ? read_open(f, fd, &text, e) : no_memory(e);
	if (text.data)
		explicit_bzero(text.data, text.cap);
	buf_fini(&text);
	close(fd);
	return rc;
}

void env_file_fini(struct env_file *f)
{
	for (size_t i = 0; i < f->count; i++) {
		char *value = f->entries[i].value;

		if (value)
			explicit_bzero(value, strlen(value));
		free(value);
		free(f->entries[i].name);
	}
	free(f->entries);
	free(f->path);
	*f = (struct env_file){ .path = NULL };
}

const struct env_entry *env_file_get(const struct env_file *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->entries[i].name && strcmp(f->entries[i].name, name) == 0)
			return &f->entries[i];
	return NULL;
}
