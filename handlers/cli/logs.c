/* tollgate logs: the log's JSON lines as lines for people. */
#include "handlers/cli/cli.h"

#include "base/buf.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
	"Usage: tollgate logs [FILE] [--follow] [--lines N]\n"
	"\n"
	"Prints the log FILE (default: the one of GATEWAY_LOG; - is standard input) in readable\n"
	"lines: time, status, model, provider, latency, time to the first token, tokens, key, and\n"
	"what was tried for a request that needed more than one attempt.\n"
	"Lines that are no log lines are passed through.\n"
	"\n"
	"  --follow   goes on with what is added, also when the file is rotated\n"
	"  --lines N  only the last N lines (default: all; 10 with --follow)\n";

#define LINE_MAX_BYTES ((size_t)1 << 20)
#define PART_BYTES     65536
#define POLL_MS        200
#define FOLLOW_LINES   10

static enum cli_style style_of(int64_t status, const char *level)
{
	if (status >= 500 || strcmp(level, "error") == 0)
		return CLI_RED;
	if (status >= 400 || strcmp(level, "warn") == 0)
		return CLI_YELLOW;
	return CLI_GREEN;
}

static void write_ms(struct buf *out, int64_t ms)
{
	if (ms < 0)
		buf_str(out, "-");
	else if (ms < 10000)
		buf_printf(out, "%lldms", (long long)ms);
	else
		buf_printf(out, "%.1fs", (double)ms / 1000);
}

/* Appends a text of the log, which may have come from a client, in a column. */
static void write_column(struct buf *out, const char *text, int width)
{
	char tame[256];

	str_copy_cut(tame, sizeof(tame), text && *text ? text : "-");
	cli_tame(tame);
	buf_printf(out, "%-*s  ", width, tame);
}

static void write_ms_column(struct buf *out, int64_t ms, int width)
{
	struct buf text = { 0 };

	write_ms(&text, ms);
	buf_printf(out, "%*.*s  ", width, SLICE_ARG(buf_slice(&text)));
	buf_fini(&text);
}

/* The model; of a request that names none, the program that answered it. */
static void write_subject(struct buf *out, struct json_object *o)
{
	const char *model = json_member_str(o, "model", "");
	const char *program = json_member_str(o, "program", "");
	char text[256];

	snprintf(text, sizeof(text), "(%s)", program);
	write_column(out, *model || !*program ? model : text, 32);
}

static void write_request(struct buf *out, struct json_object *o, int64_t status, const char *level)
{
	int64_t in = json_member_int(o, "prompt_tokens", -1);
	int64_t made = json_member_int(o, "completion_tokens", -1);
	const char *error = json_member_str(o, "error", "");
	const char *key = json_member_str(o, "key_id", "");
	const char *attempts = json_member_str(o, "attempts", "");
	char tokens[64] = "-", tame[1024];

	buf_printf(out, "%s%3lld%s  ", cli_style(style_of(status, level)), (long long)status,
		cli_style(CLI_PLAIN));
	write_subject(out, o);
	write_column(out, json_member_str(o, "provider", ""), 12);
	write_ms_column(out, json_member_int(o, "latency_ms", -1), 7);
	buf_str(out, cli_style(CLI_DIM));
	buf_str(out, "ttft ");
	write_ms_column(out, json_member_int(o, "ttft_ms", -1), 7);
	buf_str(out, cli_style(CLI_PLAIN));
	if (in >= 0 || made >= 0)
		snprintf(tokens, sizeof(tokens), "%lld > %lld tokens", (long long)(in < 0 ? 0 : in),
			(long long)(made < 0 ? 0 : made));
	buf_printf(out, "%-22s  ", tokens);
	write_column(out, *key ? key : "anonymous", 16);
	if (json_member_bool(o, "stream", false))
		buf_str(out, "stream");
	if (*attempts) {
		str_copy_cut(tame, sizeof(tame), attempts);
		cli_tame(tame);
		buf_printf(out, "%s(%s)", out->data[out->len - 1] == ' ' ? "" : "  ", tame);
	}
	if (*error) {
		str_copy_cut(tame, sizeof(tame), error);
		cli_tame(tame);
		buf_printf(out, "  %s%s%s", cli_style(style_of(status, level)), tame,
			cli_style(CLI_PLAIN));
	}
}

static void write_message(struct buf *out, struct json_object *o, const char *level)
{
	char tame[8192];

	str_copy_cut(tame, sizeof(tame), json_member_str(o, "msg", ""));
	cli_tame(tame);
	buf_printf(out, "%s%s%s  ", cli_style(style_of(0, level)), level, cli_style(CLI_PLAIN));
	write_column(out, json_member_str(o, "program", ""), 20);
	buf_str(out, tame);
}

/* A line that is no log line, without what a terminal would obey. */
static void write_raw(struct buf *out, struct slice line)
{
	size_t from = out->len;

	buf_slice_append(out, line);
	for (size_t i = from; i < out->len; i++)
		if (((unsigned char)out->data[i] < 0x20 && out->data[i] != '\t') ||
			out->data[i] == 0x7f)
			out->data[i] = '?';
}

static void print_line(struct slice line)
{
	struct json_object *o = NULL;
	struct buf out = { .max_bytes = 2 * LINE_MAX_BYTES };
	const char *time, *level;
	int64_t status;

	if (line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	if (line.len && line.ptr[0] == '{' && json_read(line, 32, &o, NULL))
		o = NULL;
	time = json_member_str(o, "time", "");
	level = json_member_str(o, "level", "info");
	status = json_member_int(o, "status", -1);
	if (strlen(time) == 24 && (status >= 0 || *json_member_str(o, "msg", ""))) {
		char day[11], clock[13];

		memcpy(day, time, 10);
		memcpy(clock, time + 11, 12);
		day[10] = clock[12] = '\0';
		cli_tame(day);
		cli_tame(clock);
		buf_printf(
			&out, "%s%s %s%s  ", cli_style(CLI_DIM), day, clock, cli_style(CLI_PLAIN));
		if (status >= 0)
			write_request(&out, o, status, level);
		else
			write_message(&out, o, level);
		while (out.len && out.data[out.len - 1] == ' ')
			out.len--;
	} else {
		write_raw(&out, line);
	}
	buf_char(&out, '\n');
	fwrite(out.data, 1, out.len, stdout);
	buf_fini(&out);
	json_object_put(o);
}

/* Prints the whole lines in pending and keeps the rest. */
static void print_lines(struct buf *pending)
{
	struct slice rest = buf_slice(pending);
	const char *end;
	size_t used = 0;

	while ((end = memchr(rest.ptr, '\n', rest.len))) {
		print_line(slice_first(rest, (size_t)(end - rest.ptr)));
		used += (size_t)(end - rest.ptr) + 1;
		rest = slice_from(buf_slice(pending), used);
	}
	buf_drop(pending, used);
	/* No line of ours is that long: it is shown in pieces. */
	if (pending->len > LINE_MAX_BYTES - PART_BYTES) {
		print_line(buf_slice(pending));
		buf_reset(pending);
	}
}

/* Reads to the present end. *grew says whether there was anything. */
static bool read_on(int fd, struct buf *pending, bool *grew)
{
	ssize_t n;

	*grew = false;
	do {
		char *room = buf_room(pending, PART_BYTES);

		if (!room)
			return false;
		n = read(fd, room, PART_BYTES);
		if (n > 0) {
			*grew = true;
			buf_commit(pending, (size_t)n);
			print_lines(pending);
		}
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n == 0;
}

/* Goes to where the last n lines begin. */
static void seek_lines(int fd, int64_t n)
{
	char part[4096];
	off_t at = lseek(fd, 0, SEEK_END);
	bool last = true;

	if (!n)
		return;
	while (at > 0) {
		off_t from = at > (off_t)sizeof(part) ? at - (off_t)sizeof(part) : 0;
		ssize_t got = pread(fd, part, (size_t)(at - from), from);

		if (got <= 0)
			break;
		for (ssize_t i = got; i-- > 0; last = false)
			/* The very last line's end is not the end of one before. */
			if (part[i] == '\n' && !last && n-- == 1) {
				lseek(fd, from + i + 1, SEEK_SET);
				return;
			}
		at = from;
	}
	lseek(fd, 0, SEEK_SET);
}

/* Was the file at path replaced, or cut to less than was read? */
static bool is_another(int fd, const char *path, bool *was_cut)
{
	struct stat now, mine;

	*was_cut = false;
	if (fstat(fd, &mine) != 0 || stat(path, &now) != 0)
		return false; /* between a rename and the next line there is none */
	*was_cut = mine.st_size < lseek(fd, 0, SEEK_CUR);
	return now.st_dev != mine.st_dev || now.st_ino != mine.st_ino;
}

static int open_log(const char *path)
{
	return strcmp(path, "-") == 0 ? dup(STDIN_FILENO)
				      : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

static int show(const char *path, bool follow, int64_t lines)
{
	struct buf pending = { .max_bytes = LINE_MAX_BYTES };
	int fd = open_log(path), next;
	bool ok, grew, was_cut;

	if (fd < 0) {
		fprintf(stderr, "tollgate logs: %s: %s\n", path, strerror(errno));
		return CLI_FAILED;
	}
	if (lines >= 0)
		seek_lines(fd, lines);
	ok = read_on(fd, &pending, &grew);
	while (ok && follow && fflush(stdout) == 0) {
		poll(NULL, 0, POLL_MS);
		ok = read_on(fd, &pending, &grew);
		if (!ok || grew)
			continue; /* the old file is read to its end before the new one */
		if (is_another(fd, path, &was_cut) && (next = open_log(path)) >= 0) {
			close(fd);
			fd = next;
		} else if (was_cut) {
			lseek(fd, 0, SEEK_SET);
		}
	}
	if (pending.len)
		print_line(buf_slice(&pending));
	if (!ok)
		fprintf(stderr, "tollgate logs: %s: %s\n", path, strerror(errno));
	buf_fini(&pending);
	close(fd);
	return ok ? CLI_OK : CLI_FAILED;
}

int cli_logs(const struct conf *c, int argc, char **argv)
{
	bool follow = false;
	const char *lines = NULL, *path[1];
	const struct cli_option options[] = { { .name = "--follow", .given = &follow },
		{ .name = "-f", .given = &follow }, { .name = "--lines", .value = &lines }, { 0 } };
	int rc = cli_options(usage, options, argc, argv, path, 1);
	int64_t n = follow ? FOLLOW_LINES : -1;

	if (rc != CLI_GO_ON)
		return rc;
	if (lines && !str_int(slice_of(lines), 0, 1000000, &n)) {
		fprintf(stderr, "tollgate logs: --lines is a number from 0 to 1000000, not %s\n",
			lines);
		return CLI_USAGE;
	}
	if (!path[0])
		path[0] = conf_str(c, CONF_LOG);
	if (!*path[0]) {
		fputs("tollgate logs: GATEWAY_LOG is not set, so the log goes to the web server's "
		      "error log; name a file\n",
			stderr);
		return CLI_USAGE;
	}
	return show(path[0], follow, n);
}
