#include "base/sink.h"

/* tchar of RFC 9110 section 5.6.2 */
static bool is_token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!is_token_char(*s))
			return false;
	return true;
}

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

bool head_add(struct buf *block, const char *name, const char *value)
{
	if (!is_token(name) || has_control(value))
		return false;
	/* All or nothing: half a line would swallow the next one. */
	if (!buf_room(block, strlen(name) + strlen(value) + 4))
		return false;
	buf_str(block, name);
	buf_str(block, ": ");
	buf_str(block, value);
	buf_str(block, "\r\n");
	return true;
}
