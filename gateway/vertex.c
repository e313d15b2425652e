#include "gateway/vertex.h"

#include "base/base64.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES   ((size_t)64 << 10)
#define ANSWER_MAX_BYTES ((size_t)64 << 10)
#define FIELD_SIZE       1024 /* bytes of an e-mail address or URI of the file */
#define CONNECT_MS       5000
#define LIFE_S           3600  /* of a token, as it is asked for */
#define RETRY_MS         30000 /* between renewals that fail */
#define YOUNG_MS         60000 /* a refused token of this age is not the token's fault */

struct vertex {
	char *file;             /* NULL = text counts */
	struct slice text;      /* a caller's own */
	struct vertex *next;    /* of vertex_of()'s */
	pthread_mutex_t lock;   /* guards what follows */
	pthread_cond_t changed; /* a fetch has ended */
	bool fetching;
	uint64_t fetches;                     /* that have ended */
	struct err last;                      /* how the last one failed */
	int64_t fetched_ms, renew_ms, end_ms; /* monotonic */
	char token[VERTEX_TOKEN_SIZE];        /* "" = none */
};

struct vertex *vertex_new_of_text(struct slice json)
{
	struct vertex *v = calloc(1, sizeof(*v));
	pthread_condattr_t attr;

	if (!v)
		return NULL;
	v->text = json;
	pthread_mutex_init(&v->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->changed, &attr);
	pthread_condattr_destroy(&attr);
	return v;
}

struct vertex *vertex_new(const char *file)
{
	struct vertex *v = vertex_new_of_text(SLICE(""));

	if (v && !(v->file = strdup(file))) {
		vertex_free(v);
		return NULL;
	}
	return v;
}

void vertex_free(struct vertex *v)
{
	if (!v)
		return;
	crypto_wipe(v->token, sizeof(v->token));
	pthread_cond_destroy(&v->changed);
	pthread_mutex_destroy(&v->lock);
	free(v->file);
	free(v);
}

struct vertex *vertex_of(const char *file)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct vertex *all; /* as many as the settings have ever named */
	struct vertex *v;

	pthread_mutex_lock(&lock);
	for (v = all; v && strcmp(v->file, file) != 0;)
		v = v->next;
	if (!v && (v = vertex_new(file))) {
		v->next = all;
		all = v;
	}
	pthread_mutex_unlock(&lock);
	return v;
}

/* ---- the file ---- */

struct account {
	char email[FIELD_SIZE], token_uri[FIELD_SIZE], key_id[FIELD_SIZE];
	struct buf key; /* PEM */
};

static void wipe(struct buf *b)
{
	if (b->data)
		crypto_wipe(b->data, b->cap);
	buf_fini(b);
}

/* What is wrong with the file goes to the client without its path, and to the log with it. */
static enum err_code bad_file(const struct vertex *v, const char *what, struct err *e)
{
	if (!v->file)
		return err_set(e, ERR_MODEL_UNAVAILABLE,
			"[BYOK] the service account in your key %s: replace the key", what);
	log_line(LOG_ERROR, "%s: %s %s", VERTEX_VARIABLE, v->file, what);
	return err_param(e, ERR_CONF, VERTEX_VARIABLE, "the service account's key file (%s) %s",
		VERTEX_VARIABLE, what);
}

static enum err_code read_open(const struct vertex *v, int fd, struct buf *text, struct err *e)
{
	struct stat st;
	ssize_t n = 0;
	char *room;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return bad_file(v, "is not a file", e);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return bad_file(
			v, "can be written by others than its owner; run chmod go-w on it", e);
	if (st.st_mode & S_IROTH)
		log_line(LOG_WARN, "%s: %s can be read by others; run: chmod o-r '%s'",
			VERTEX_VARIABLE, v->file, v->file);
	/* Room for the whole at once: growing would leave copies of the key behind. */
	room = buf_room(text, FILE_MAX_BYTES);
	while (room && text->len < FILE_MAX_BYTES) {
		n = read(fd, room + text->len, FILE_MAX_BYTES - text->len);
		if (n > 0)
			buf_commit(text, (size_t)n);
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (!room)
		return err_set(e, ERR_NO_MEMORY, "no memory for the service account's key file");
	if (n < 0)
		return bad_file(v, strerror(errno), e);
	return n ? bad_file(v, "is larger than 64 KiB", e) : ERR_OK;
}

/* The claim is worth a token to whoever reads it. */
static bool is_safe_uri(const char *uri)
{
	struct slice s = slice_of(uri);

	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
			return false;
	return slice_starts(s, "https://") || slice_starts(s, "http://127.0.0.1:") ||
	       slice_starts(s, "http://localhost:") || slice_starts(s, "http://[::1]:");
}

static enum err_code take_account(
	const struct vertex *v, struct slice text, struct account *a, struct err *e)
{
	static const struct json_limits limits = { .max_depth = 8, .max_keys = 100 };
	enum { TYPE, EMAIL, KEY, KEY_ID, URI };
	struct json_member m[] = { { .name = "type" }, { .name = "client_email" },
		{ .name = "private_key" }, { .name = "private_key_id" }, { .name = "token_uri" } };
	char type[64];

	/* The parser's own words might quote the file. */
	if (json_scan(slice_trim(text), &limits, m, sizeof(m) / sizeof(m[0]), NULL))
		return bad_file(v, "is not JSON", e);
	if (!json_str_copy(m[TYPE].value, type, sizeof(type)) ||
		strcmp(type, "service_account") != 0)
		return bad_file(v,
			"is not a service account's: its \"type\" must be "
			"\"service_account\"",
			e);
	if (!json_str_copy(m[EMAIL].value, a->email, sizeof(a->email)) || !a->email[0])
		return bad_file(v, "has no \"client_email\"", e);
	if (!json_str_copy(m[URI].value, a->token_uri, sizeof(a->token_uri)) ||
		!is_safe_uri(a->token_uri))
		return bad_file(v, "has no \"token_uri\" that begins with https://", e);
	if (!json_str_copy(m[KEY_ID].value, a->key_id, sizeof(a->key_id)))
		a->key_id[0] = '\0';
	if (!buf_room(&a->key, FILE_MAX_BYTES) || !json_str_decode(m[KEY].value, &a->key))
		return bad_file(v, "has no \"private_key\"", e);
	return ERR_OK;
}

static enum err_code read_account(const struct vertex *v, struct account *a, struct err *e)
{
	struct buf text = { .max_bytes = FILE_MAX_BYTES };
	enum err_code rc;
	int fd;

	*a = (struct account){ .key = { .max_bytes = FILE_MAX_BYTES } };
	if (!v->file)
		return take_account(v, v->text, a, e);
	/* Not blocking, so that a pipe by that name cannot hang the request. */
	fd = open(v->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return bad_file(v, errno == ENOENT ? "does not exist" : strerror(errno), e);
	rc = read_open(v, fd, &text, e);
	close(fd);
	if (!rc)
		rc = take_account(v, buf_slice(&text), a, e);
	wipe(&text);
	return rc;
}

/* ---- the claim ---- */

static void write_part(struct buf *json, struct buf *out)
{
	out->failed |= !buf_ok(json);
	base64_url_write(buf_slice(json), out);
	buf_reset(json);
}

/* Appends the claim, signed: a JWT. */
static enum err_code write_claim(const struct vertex *v, const struct account *a, int64_t now_s,
	struct buf *out, struct err *e)
{
	struct buf json = { 0 };
	struct slice claim;
	size_t from = out->len;
	bool good;

	buf_str(&json, "{\"alg\":\"RS256\",\"typ\":\"JWT\"");
	if (a->key_id[0]) {
		buf_str(&json, ",\"kid\":");
		buf_json_cstr(&json, a->key_id);
	}
	buf_char(&json, '}');
	write_part(&json, out);
	buf_char(out, '.');
	buf_str(&json, "{\"iss\":");
	buf_json_cstr(&json, a->email);
	buf_str(&json, ",\"scope\":\"https://www.googleapis.com/auth/cloud-platform\",\"aud\":");
	buf_json_cstr(&json, a->token_uri);
	buf_printf(
		&json, ",\"iat\":%lld,\"exp\":%lld}", (long long)now_s, (long long)now_s + LIFE_S);
	write_part(&json, out);
	claim = slice_from(buf_slice(out), from);
	good = crypto_rs256(buf_slice(&a->key), claim, &json);
	buf_char(out, '.');
	write_part(&json, out);
	buf_fini(&json);
	if (!good)
		return bad_file(
			v, "has a \"private_key\" that is no RSA key of 2,048 bits or more", e);
	return buf_ok(out) ? ERR_OK
			   : err_set(e, ERR_NO_MEMORY, "no memory for the claim of a token");
}

/* ---- the exchange ---- */

static enum job_next on_head(struct job *j, struct err *e)
{
	(void)j;
	(void)e;
	return JOB_MORE;
}

static enum job_next on_bytes(struct job *j, struct slice bytes, struct err *e)
{
	struct buf *answer = j->ctx;

	buf_slice_append(answer, bytes);
	if (buf_ok(answer))
		return JOB_MORE;
	(void)!err_set(e, ERR_UPSTREAM_TOO_LARGE, "the token server's answer is too large");
	return JOB_FAIL;
}

static enum job_next on_end(struct job *j, bool cut, struct err *e)
{
	(void)j;
	(void)cut;
	(void)e;
	return JOB_MORE;
}

static enum job_next on_quiet(struct job *j, struct err *e)
{
	(void)j;
	(void)e;
	return JOB_MORE;
}

static const struct job_ops ops = { on_head, on_bytes, on_end, on_quiet, on_quiet };

static void add_header(struct http_req *r, const char *text)
{
	buf_append(&r->headers, text, strlen(text) + 1);
}

/* Is it a token that can stand in a header? */
static bool is_token(const char *text)
{
	for (const char *c = text; *c; c++)
		if (*c <= 0x20 || *c >= 0x7f)
			return false;
	return *text;
}

static enum err_code refused(const struct job *j, struct json_value answer, struct err *e)
{
	char kind[100], why[200];
	enum err_code rc;

	if (!json_str_copy(json_get(answer, "error"), kind, sizeof(kind)))
		str_copy_cut(kind, sizeof(kind), "no reason given");
	if (!json_str_copy(json_get(answer, "error_description"), why, sizeof(why)))
		why[0] = '\0';
	rc = err_set(e, ERR_UPSTREAM_STATUS,
		"Google gave no access token for the service account (%s): status %d, %s%s%s",
		VERTEX_VARIABLE, j->status, kind, why[0] ? ": " : "", why);
	e->upstream_status = j->status;
	e->status = 503;
	e->retry = j->status == 429 || j->status >= 500 ? 1 : -1;
	return rc;
}

/* Reads {"access_token":…,"expires_in":…} into v, which is locked by now. */
static enum err_code take_answer(
	struct vertex *v, const struct job *j, struct slice text, int64_t now_ms, struct err *e)
{
	static const struct json_limits limits = {
		.max_depth = 8, .max_keys = 100, .allow_duplicates = true
	};
	struct json_value answer = { JSON_ABSENT, slice_trim(text) };
	char token[VERTEX_TOKEN_SIZE];
	int64_t life_s = LIFE_S;
	bool good;

	if (json_validate(answer.raw, &limits, &answer.kind, NULL))
		answer.kind = JSON_ABSENT;
	if (j->status != 200)
		return refused(j, answer, e);
	good = json_str_copy(json_get(answer, "access_token"), token, sizeof(token)) &&
	       is_token(token);
	if (good) {
		if (!json_int(json_get(answer, "expires_in"), &life_s) || life_s < 1 ||
			life_s > 86400)
			life_s = LIFE_S;
		memcpy(v->token, token, sizeof(v->token));
		v->fetched_ms = now_ms;
		v->end_ms = now_ms + 1000 * life_s;
		v->renew_ms = 1000 * life_s > 2 * VERTEX_EARLY_MS ? v->end_ms - VERTEX_EARLY_MS
								  : now_ms + 500 * life_s;
	}
	crypto_wipe(token, sizeof(token));
	return good ? ERR_OK
		    : err_set(e, ERR_UPSTREAM_INVALID,
			      "Google's token server sent no access token");
}

static enum err_code make_request(
	const struct vertex *v, const struct account *a, struct http_req *r, struct err *e)
{
	str_copy_cut(r->url, sizeof(r->url), a->token_uri);
	add_header(r, "Content-Type: application/x-www-form-urlencoded");
	add_header(r, "Accept: application/json");
	add_header(r, "Accept-Encoding: identity");
	add_header(r, "Expect:");
	buf_str(&r->body,
		"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
	return write_claim(v, a, clock_wall_ms() / 1000, &r->body, e);
}

/* Asks for a token without holding the lock, which it takes again for the answer. */
static enum err_code fetch(struct vertex *v, struct pump *pump, struct err *e)
{
	struct http_req http = { .url = "" };
	struct buf answer = { .max_bytes = ANSWER_MAX_BYTES };
	struct job job = { .req = &http,
		.ops = &ops,
		.ctx = &answer,
		.connect_ms = CONNECT_MS,
		.first_byte_ms = VERTEX_WAIT_MS,
		.idle_ms = VERTEX_WAIT_MS,
		.client_stall_ms = VERTEX_WAIT_MS,
		.deadline_mono_ms = clock_mono_ms() + VERTEX_WAIT_MS };
	struct account a;
	struct err inner = { 0 };
	enum err_code rc = read_account(v, &a, e);

	if (!rc)
		rc = make_request(v, &a, &http, e);
	wipe(&a.key);
	if (!rc && pump_run(pump, &job, &inner)) {
		rc = err_set(e, inner.code, "no access token from Google: %s", inner.message);
		e->retry = 1;
	}
	pthread_mutex_lock(&v->lock);
	if (!rc)
		rc = take_answer(v, &job, buf_slice(&answer), clock_mono_ms(), e);
	wipe(&answer);
	if (http.body.data) /* the claim can still be exchanged */
		crypto_wipe(http.body.data, http.body.len);
	http_req_fini(&http);
	return rc;
}

/* ---- tokens ---- */

/* Waits for the fetch that is under way; the lock is held. */
static void wait_for_fetch(struct vertex *v)
{
	int64_t until_ms = clock_mono_ms() + VERTEX_WAIT_MS + CONNECT_MS;
	struct timespec until = { until_ms / 1000, until_ms % 1000 * 1000000 };
	uint64_t before = v->fetches;

	while (v->fetches == before)
		if (pthread_cond_timedwait(&v->changed, &v->lock, &until) == ETIMEDOUT) {
			(void)!err_set(&v->last, ERR_UPSTREAM_TIMEOUT,
				"no access token from Google within the time");
			return;
		}
}

static bool holds(const struct vertex *v)
{
	return v->token[0] && clock_mono_ms() < v->end_ms;
}

enum err_code vertex_token(
	struct vertex *v, struct pump *pump, char out[VERTEX_TOKEN_SIZE], struct err *e)
{
	enum err_code rc = ERR_OK;
	struct err failure = { 0 };

	pthread_mutex_lock(&v->lock);
	if (holds(v) && (v->fetching || clock_mono_ms() < v->renew_ms))
		goto out;
	if (v->fetching) {
		wait_for_fetch(v);
		if (!holds(v)) {
			failure = v->last;
			rc = failure.code;
		}
		goto out;
	}
	v->fetching = true;
	pthread_mutex_unlock(&v->lock);
	rc = fetch(v, pump, &failure); /* locks */
	v->last = failure;
	v->fetching = false;
	v->fetches++;
	pthread_cond_broadcast(&v->changed);
	/* The old token is good for some minutes yet, in which not every request shall wait. */
	if (rc && holds(v)) {
		v->renew_ms = clock_mono_ms() + RETRY_MS;
		log_line(LOG_WARN, "%s: no new access token: %s", VERTEX_VARIABLE, failure.message);
		rc = ERR_OK;
	}
out:
	memcpy(out, rc ? "" : v->token, rc ? 1 : sizeof(v->token));
	pthread_mutex_unlock(&v->lock);
	if (rc && e)
		*e = failure;
	return rc;
}

void vertex_refused(struct vertex *v, const char *token)
{
	pthread_mutex_lock(&v->lock);
	if (strcmp(v->token, token) == 0 && clock_mono_ms() - v->fetched_ms > YOUNG_MS)
		v->end_ms = v->renew_ms = 0;
	pthread_mutex_unlock(&v->lock);
}
