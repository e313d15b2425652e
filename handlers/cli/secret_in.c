#include "handlers/cli/secret_in.h"

#include "base/crypto.h"

#include <errno.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { INTERRUPT = 3, END = 4, ERASE_LINE = 21 }; /* ^C, ^D, ^U */

/* Reads all there is into room. */
static enum err_code read_all(char *room, size_t size, size_t *len, struct err *e)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(STDIN_FILENO, room + *len, size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno, "standard input");
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return ERR_OK;
}

/* Reads a line, key by key: the terminal does neither show nor edit it, nor does it send signals,
 * which would leave it dumb. */
static enum err_code read_line(char *room, size_t size, size_t *len, struct err *e)
{
	unsigned char c = 0;

	*len = 0;
	while (*len < size) {
		ssize_t n = read(STDIN_FILENO, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, errno, "standard input");
		if (n == 0 || c == END || c == '\n' || c == '\r')
			return ERR_OK;
		if (c == INTERRUPT)
			return err_set(e, ERR_BAD_REQUEST, "interrupted: nothing was changed");
		if (c == ERASE_LINE)
			*len = 0;
		else if (c == 0x7f || c == '\b')
			*len -= *len > 0;
		else
			room[(*len)++] = (char)c;
	}
	return ERR_OK;
}

static enum err_code ask(const char *prompt, char *room, size_t size, size_t *len, struct err *e)
{
	struct termios before, dumb;
	enum err_code rc;

	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return err_errno(e, errno, "the terminal");
	dumb = before;
	dumb.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
	dumb.c_cc[VMIN] = 1;
	dumb.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &dumb) != 0)
		return err_errno(e, errno, "the terminal");
	fputs(prompt, stderr);
	rc = read_line(room, size, len, e);
	fputc('\n', stderr);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	return rc;
}

enum err_code secret_in(const char *prompt, size_t max_bytes, struct buf *out, struct err *e)
{
	/* Blanks around it do not count, and one byte more shows that there is too much. */
	size_t size = max_bytes + 64, len = 0;
	struct buf typed = { .max_bytes = size };
	char *room = buf_room(&typed, size);
	enum err_code rc;

	if (!room)
		return err_set(e, ERR_NO_MEMORY, "no memory for what is read");
	rc = isatty(STDIN_FILENO) ? ask(prompt, room, size, &len, e)
				  : read_all(room, size, &len, e);
	if (!rc) {
		struct slice text = slice_trim((struct slice){ room, len });

		if (!text.len)
			rc = err_set(e, ERR_BAD_REQUEST, "no key came on standard input");
		else if (len == size || text.len > max_bytes)
			rc = err_set(e, ERR_BAD_REQUEST, "a key has at most %zu bytes", max_bytes);
		else
			buf_slice_append(out, text);
		if (!rc && !buf_ok(out))
			rc = err_set(e, ERR_NO_MEMORY, "no memory for the key");
	}
	crypto_wipe(room, size);
	buf_fini(&typed);
	return rc;
}
