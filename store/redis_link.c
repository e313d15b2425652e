#include "store/redis_link.h"

#include "store/redis_dial.h"
#include "store/redis_wire.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/tls.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 16384 /* bytes read at once */

struct redis_link {
	int fd;
	struct tls *tls;
	struct redis_reader *reader;
	struct buf out;
	size_t sent;   /* bytes of out */
	size_t awaits; /* answers that have not been read */
	bool broken;
	int64_t idle_since_ms;
	struct redis_link *next;
	char piece[PIECE];
};

struct redis_link **redis_link_next(struct redis_link *l)
{
	return &l->next;
}

int64_t *redis_link_idle_since_ms(struct redis_link *l)
{
	return &l->idle_since_ms;
}

void redis_link_close(struct redis_link *l)
{
	if (!l)
		return;
	tls_free(l->tls);
	if (l->fd >= 0)
		close(l->fd);
	redis_reader_free(l->reader);
	buf_fini(&l->out);
	free(l);
}

static enum err_code late(struct redis_link *l, struct err *e)
{
	l->broken = true;
	return err_set(e, ERR_STORE, "it does not answer in time");
}

static enum err_code gone(struct redis_link *l, struct err *e)
{
	l->broken = true;
	return err_set(e, ERR_STORE, "it closed the connection");
}

/* As recv() and send(): with the events to wait for, when that is needed. */
static ssize_t get(struct redis_link *l, short *events)
{
	ssize_t n;

	*events = POLLIN;
	do
		n = l->tls ? tls_read(l->tls, l->piece, PIECE, events)
			   : recv(l->fd, l->piece, PIECE, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

static ssize_t put(struct redis_link *l, short *events)
{
	const char *from = l->out.data + l->sent;
	size_t left = l->out.len - l->sent;
	ssize_t n;

	*events = POLLOUT;
	do
		n = l->tls ? tls_write(l->tls, from, left, events)
			   : send(l->fd, from, left, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Takes in what has come by now; *none: nothing had. */
static enum err_code take_in(struct redis_link *l, bool *none, short *events, struct err *e)
{
	ssize_t n = get(l, events);

	*none = n < 0 && errno == EAGAIN;
	if (*none)
		return ERR_OK;
	if (n <= 0)
		return gone(l, e);
	if (redis_reader_feed(l->reader, (struct slice){ l->piece, (size_t)n }, e)) {
		l->broken = true;
		if (e)
			e->code = ERR_STORE;
		return ERR_STORE;
	}
	return ERR_OK;
}

static enum err_code wait_for(
	struct redis_link *l, short events, int64_t deadline_mono_ms, struct err *e)
{
	struct pollfd p = { .fd = l->fd, .events = events };
	int64_t left = deadline_mono_ms - clock_mono_ms();
	int rc;

	if (left <= 0)
		return late(l, e);
	rc = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
	if (rc > 0 || (rc < 0 && errno == EINTR))
		return ERR_OK;
	return late(l, e);
}

enum err_code redis_link_add(
	struct redis_link *l, const struct slice *words, size_t n, struct err *e)
{
	enum err_code rc = redis_wire_write(&l->out, words, n, e);

	if (rc)
		l->broken = true;
	else
		l->awaits++;
	return rc;
}

enum err_code redis_link_flush(struct redis_link *l, int64_t deadline_mono_ms, struct err *e)
{
	enum err_code rc = ERR_OK;

	while (!rc && l->sent < l->out.len) {
		short out_events, in_events = POLLIN;
		ssize_t n = put(l, &out_events);
		bool none;

		if (n > 0) {
			l->sent += (size_t)n;
			continue;
		}
		if (n == 0 || errno != EAGAIN)
			return gone(l, e);
		/* It may have to get rid of answers before it takes more. */
		rc = take_in(l, &none, &in_events, e);
		if (!rc && none)
			rc = wait_for(l, (short)(out_events | in_events), deadline_mono_ms, e);
	}
	if (l->out.cap > PIECE * 4)
		buf_fini(&l->out);
	buf_reset(&l->out);
	l->sent = 0;
	return rc;
}

enum err_code redis_link_read(
	struct redis_link *l, int64_t deadline_mono_ms, struct redis_reply *out, struct err *e)
{
	for (;;) {
		enum err_code rc;
		bool got, none;
		short events;

		if (redis_reader_next(l->reader, out, &got, e)) {
			l->broken = true;
			if (e)
				e->code = ERR_STORE;
			return ERR_STORE;
		}
		if (got) {
			l->awaits--;
			return ERR_OK;
		}
		rc = take_in(l, &none, &events, e);
		if (!rc && none)
			rc = wait_for(l, events, deadline_mono_ms, e);
		if (rc)
			return rc;
	}
}

bool redis_link_is_clean(struct redis_link *l)
{
	short events;

	return !l->broken && !l->awaits && redis_reader_is_empty(l->reader) &&
	       get(l, &events) < 0 && errno == EAGAIN;
}

/* ---- the first words ---- */

static enum err_code add_texts(
	struct redis_link *l, const char *const *texts, size_t n, struct err *e)
{
	struct slice words[3];

	for (size_t i = 0; i < n; i++)
		words[i] = slice_of(texts[i]);
	return redis_link_add(l, words, n, e);
}

static enum err_code add_hello(
	struct redis_link *l, const struct redis_link_conf *conf, struct err *e)
{
	const struct redis_target *t = conf->target;
	enum err_code rc = ERR_OK;
	char db[24];

	if (t && t->has_user)
		rc = add_texts(l, (const char *[]){ "AUTH", t->user, t->password }, 3, e);
	else if (t && t->has_password)
		rc = add_texts(l, (const char *[]){ "AUTH", t->password }, 2, e);
	if (!rc && t && t->db) {
		snprintf(db, sizeof(db), "%lld", (long long)t->db);
		rc = add_texts(l, (const char *[]){ "SELECT", db }, 2, e);
	}
	if (!rc && conf->needs_master)
		rc = add_texts(l, (const char *[]){ "ROLE" }, 1, e);
	return rc;
}

struct slice redis_without_arguments(struct slice text)
{
	const char *at = text.len ? memmem(text.ptr, text.len, ", with args", 11) : NULL;

	return slice_first(text, at ? (size_t)(at - text.ptr) : 200);
}

static bool repeats(struct slice text, const char *secret)
{
	return *secret && text.len && memmem(text.ptr, text.len, secret, strlen(secret));
}

static enum err_code judge(
	const struct redis_value *v, const struct redis_target *t, bool is_role, struct err *e)
{
	struct slice text = redis_without_arguments(v->text);

	/* Who may not ask for it finds out by READONLY. */
	if (is_role && v->kind == REDIS_ERROR && slice_starts(v->text, "NOPERM"))
		return ERR_OK;
	if (v->kind == REDIS_ERROR) {
		if (slice_starts(v->text, "WRONGPASS") || slice_starts(v->text, "ERR AUTH") ||
			slice_starts(v->text, "ERR invalid password"))
			return err_set(e, ERR_STORE, "it refuses the user or the password");
		if (slice_starts(v->text, "NOAUTH"))
			return err_set(e, ERR_STORE, "it wants a password");
		/* A server without AUTH says with which words it was called. */
		if (t && (repeats(text, t->user) || repeats(text, t->password)))
			return err_set(e, ERR_STORE, "it answers an error that repeats who we are");
		return err_set(e, ERR_STORE, "it answers %.*s", SLICE_ARG(text));
	}
	if (is_role && v->kind == REDIS_ARRAY && v->count && !slice_is(v->items[0].text, "master"))
		return err_set(e, ERR_STORE, "it is no master");
	return ERR_OK;
}

static enum err_code greet(struct redis_link *l, const struct redis_link_conf *conf,
	int64_t deadline_mono_ms, struct err *e)
{
	enum err_code rc;

	/* Room for all of it, so that the buffer does not move and leave the password behind. */
	if (!buf_room(&l->out, 8 * REDIS_SECRET_MAX))
		return err_set(e, ERR_NO_MEMORY, "no memory for a connection to Redis");
	rc = add_hello(l, conf, e);
	if (!rc)
		rc = redis_link_flush(l, deadline_mono_ms, e);
	crypto_wipe(l->out.data, l->out.cap);
	while (!rc && l->awaits) {
		struct redis_reply reply = { 0 };

		rc = redis_link_read(l, deadline_mono_ms, &reply, e);
		if (!rc)
			rc = judge(&reply.value, conf->target, conf->needs_master && !l->awaits, e);
		redis_reply_fini(&reply);
	}
	return rc;
}

enum err_code redis_link_open(struct redis_link **out, const struct redis_link_conf *conf,
	int64_t deadline_mono_ms, struct err *e)
{
	struct redis_link *l = calloc(1, sizeof(*l));
	enum err_code rc;

	*out = NULL;
	if (!l)
		return err_set(e, ERR_NO_MEMORY, "no memory for a connection to Redis");
	l->fd = -1;
	l->reader = redis_reader_new();
	buf_init(&l->out, REDIS_COMMAND_MAX * 2);
	if (!l->reader) {
		redis_link_close(l);
		return err_set(e, ERR_NO_MEMORY, "no memory for a connection to Redis");
	}
	rc = redis_dial(conf->at, deadline_mono_ms, &l->fd, e);
	if (!rc && conf->tls &&
		tls_open(&l->tls, conf->tls, l->fd, conf->at->host, deadline_mono_ms, e)) {
		rc = ERR_STORE;
		if (e)
			e->code = ERR_STORE;
	}
	if (!rc)
		rc = greet(l, conf, deadline_mono_ms, e);
	if (rc) {
		redis_link_close(l);
		return rc;
	}
	*out = l;
	return ERR_OK;
}
