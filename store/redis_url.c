#include "store/redis_url.h"

#include "base/crypto.h"

#include <ctype.h>
#include <stdio.h>

#define SENTINEL_PORT 26379
#define REDIS_PORT    6379
#define DB_MAX        1000000

static const struct scheme {
	const char *name;
	enum redis_mode mode;
	bool tls, is_unix;
} schemes[] = {
	{ "redis://", REDIS_SINGLE, false, false },
	{ "rediss://", REDIS_SINGLE, true, false },
	{ "unix://", REDIS_SINGLE, false, true },
	{ "redis+sentinel://", REDIS_SENTINEL, false, false },
	{ "rediss+sentinel://", REDIS_SENTINEL, true, false },
	{ "redis+cluster://", REDIS_CLUSTER, false, false },
	{ "rediss+cluster://", REDIS_CLUSTER, true, false },
};

static bool unescape(struct slice in, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		char c = in.ptr[i];

		if (c == '%') {
			if (in.len - i < 3 ||
				!crypto_unhex((struct slice){ in.ptr + i + 1, 2 }, &c, 1))
				return false;
			i += 2;
		}
		if (!c || n + 1 >= size)
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	return true;
}

static bool is_host_byte(char c)
{
	return isalnum((unsigned char)c) || strchr(".-_", c);
}

/* host, host:port, [v6], [v6]:port */
static bool read_address(struct slice text, uint16_t port, struct redis_address *out)
{
	struct slice host = text, rest = { NULL, 0 };
	int64_t n = port;

	if (slice_starts(text, "[")) {
		const char *end = memchr(text.ptr, ']', text.len);

		if (!end)
			return false;
		host = (struct slice){ text.ptr + 1, (size_t)(end - text.ptr) - 1 };
		rest = slice_from(text, host.len + 2);
		for (size_t i = 0; i < host.len; i++)
			if (!isxdigit((unsigned char)host.ptr[i]) && !strchr(":.", host.ptr[i]))
				return false;
	} else {
		const char *colon = memchr(text.ptr ? text.ptr : "", ':', text.len);

		if (colon) {
			host.len = (size_t)(colon - text.ptr);
			rest = slice_from(text, host.len);
		}
		for (size_t i = 0; i < host.len; i++)
			if (!is_host_byte(host.ptr[i]))
				return false;
	}
	if (rest.len && (*rest.ptr != ':' || !str_int(slice_from(rest, 1), 1, 65535, &n)))
		return false;
	out->port = (uint16_t)n;
	return host.len && slice_copy(host, out->host, sizeof(out->host));
}

static bool read_user(struct slice text, struct redis_target *t)
{
	struct slice user = slice_cut(&text, ':');

	t->has_user = user.len > 0;
	t->has_password = text.ptr != NULL;
	return unescape(user, t->user, sizeof(t->user)) &&
	       unescape(text, t->password, sizeof(t->password));
}

static bool read_hosts(struct slice list, struct redis_target *t)
{
	uint16_t port = t->mode == REDIS_SENTINEL ? SENTINEL_PORT : REDIS_PORT;

	do {
		struct slice one = slice_trim(slice_cut(&list, ','));

		if (t->at_n == REDIS_HOSTS_MAX || !read_address(one, port, &t->at[t->at_n]))
			return false;
		t->at_n++;
	} while (list.ptr);
	return t->mode != REDIS_SINGLE || t->at_n == 1;
}

static bool read_db(struct slice text, struct redis_target *t)
{
	return str_int(text, 0, DB_MAX, &t->db);
}

/* What is behind the hosts: /db, /master/db, or nothing. */
static bool read_path(struct slice path, struct redis_target *t)
{
	if (t->mode == REDIS_SENTINEL) {
		struct slice master = slice_cut(&path, '/');

		if (!master.len || !unescape(master, t->master, sizeof(t->master)))
			return false;
	}
	if (!path.len)
		return true;
	return t->mode != REDIS_CLUSTER && read_db(path, t);
}

static bool read_rest(struct slice rest, const struct scheme *s, struct redis_target *t)
{
	size_t at = 0;

	/* The last @ before the path: what is in front may hold one that somebody forgot to
	 * encode. */
	for (size_t i = 0; i < rest.len && rest.ptr[i] != '/'; i++)
		if (rest.ptr[i] == '@')
			at = i + 1;
	if (at && !read_user(slice_first(rest, at - 1), t))
		return false;
	rest = slice_from(rest, at);
	if (s->is_unix) {
		struct slice path = slice_cut(&rest, '?');

		t->at_n = 1;
		if (!slice_starts(path, "/") ||
			!unescape(path, t->at[0].path, sizeof(t->at[0].path)))
			return false;
		return !rest.ptr || (slice_starts(rest, "db=") && read_db(slice_from(rest, 3), t));
	}
	return read_hosts(slice_cut(&rest, '/'), t) && read_path(rest, t);
}

static void write_where(struct redis_target *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->at_n; i++) {
		char one[REDIS_HOST_SIZE + 10];

		redis_address_text(&t->at[i], one, sizeof(one));
		if (n + strlen(one) + 8 > sizeof(t->where))
			break;
		n += (size_t)snprintf(
			t->where + n, sizeof(t->where) - n, "%s%s", i ? "," : "", one);
	}
}

enum err_code redis_url_read(const char *url, struct redis_target *out, struct err *e)
{
	struct slice text = slice_of(url);

	*out = (struct redis_target){ 0 };
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		const struct scheme *s = &schemes[i];

		if (!slice_starts_nocase(text, s->name))
			continue;
		out->mode = s->mode;
		out->tls = s->tls;
		if (!read_rest(slice_from(text, strlen(s->name)), s, out))
			break;
		write_where(out);
		return ERR_OK;
	}
	redis_target_fini(out);
	return err_set(e, ERR_CONF,
		"the URL of Redis must be redis://[user:password@]host[:port][/db] (rediss:// with "
		"TLS), unix:///path[?db=N], redis+sentinel://host[:port],.../master[/db] or "
		"redis+cluster://host[:port],...; in user and password, other than letters and "
		"digits are written as %%XX");
}

void redis_target_fini(struct redis_target *t)
{
	crypto_wipe(t, sizeof(*t));
}

void redis_address_text(const struct redis_address *a, char *out, size_t size)
{
	if (a->path[0])
		snprintf(out, size, "%s", a->path);
	else
		snprintf(out, size, strchr(a->host, ':') ? "[%s]:%u" : "%s:%u", a->host,
			(unsigned)a->port);
}
