#include "fcgi/path.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes %XX; false when broken, with a NUL, or longer than size - 1 bytes. */
static bool decode(struct slice text, bool plus_is_blank, char *dst, size_t size, size_t *len)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '%') {
			int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus_is_blank) {
			c = ' ';
		}
		if (!c || n + 1 >= size)
			return false;
		dst[n++] = c;
	}
	dst[n] = '\0';
	*len = n;
	return true;
}

/* Resolves empty and dot segments in place: every segment is copied behind what is kept. */
static bool resolve(char *path, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len;) {
		struct slice rest = { path + i + 1, len - i - 1 }; /* path[i] is a slash */
		struct slice segment = slice_cut(&rest, '/');
		size_t next = i + 1 + segment.len;
		bool last = next >= len;

		if (slice_is(segment, "..")) {
			if (!kept)
				return false;
			while (path[--kept] != '/')
				;
		} else if (segment.len && !slice_is(segment, ".")) {
			path[kept] = '/';
			memmove(path + kept + 1, segment.ptr, segment.len);
			kept += 1 + segment.len;
			segment.len = 0;
			last = false;
		}
		/* A path that ends in a slash, or in a dot segment, keeps its last slash. */
		if (last)
			path[kept++] = '/';
		i = next;
	}
	path[kept] = '\0';
	return true;
}

static bool clean(char *path, size_t len)
{
	if (!len || path[0] != '/')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)path[i] < 0x20 || path[i] == 0x7f)
			return false;
	return utf8_is_valid((struct slice){ path, len }, NULL) && resolve(path, len);
}

bool path_of_target(struct slice target, char *dst, size_t size)
{
	size_t len;

	if (slice_starts_nocase(target, "http://") || slice_starts_nocase(target, "https://")) {
		target = slice_from(target, target.ptr[4] == ':' ? 7 : 8);
		while (target.len && target.ptr[0] != '/' && target.ptr[0] != '?')
			target = slice_from(target, 1);
		if (!target.len || target.ptr[0] == '?')
			target = SLICE("/");
	}
	target = slice_cut(&target, '?');
	return decode(target, false, dst, size, &len) && clean(dst, len);
}

bool path_of_decoded(struct slice path, char *dst, size_t size)
{
	return slice_copy(path, dst, size) && clean(dst, path.len);
}

bool path_query_get(struct slice query, const char *name, char *dst, size_t size)
{
	while (query.len) {
		struct slice value = slice_cut(&query, '&');
		struct slice key = slice_cut(&value, '=');
		char decoded[64];
		size_t len;

		if (!decode(key, true, decoded, sizeof(decoded), &len) || strcmp(decoded, name))
			continue;
		if (decode(value, true, dst, size, &len))
			return true;
		break;
	}
	if (size)
		dst[0] = '\0';
	return false;
}
