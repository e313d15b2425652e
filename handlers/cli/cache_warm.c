#include "handlers/cli/cache_warm.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "gateway/upstream.h"
#include "handlers/cli/cli.h"
#include "store/key_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECT_MS  5000
#define KEPT_BYTES  ((size_t)16384) /* of an answer, to find out what is wrong */
#define PROGRESS_MS 1000

struct warming {
	const struct conf *conf;
	const struct cache_warm *w;
	struct pump *pump;
	char url[URL_MAX_SIZE];
	char key[KEY_TEXT_SIZE + 1]; /* "" = none */
	uint64_t lines, asked, known, failed;
	int64_t told_ms;
};

/* ---- one request ---- */

static enum job_next on_head(struct job *j, struct err *e)
{
	(void)j, (void)e;
	return JOB_MORE;
}

static enum job_next on_bytes(struct job *j, struct slice bytes, struct err *e)
{
	struct buf *begin = j->ctx;

	(void)e;
	buf_slice_append(begin, slice_first(bytes, KEPT_BYTES - begin->len));
	return JOB_MORE;
}

static enum job_next on_end(struct job *j, bool cut, struct err *e)
{
	(void)j, (void)e;
	return cut ? JOB_MORE : JOB_DONE;
}

static const struct job_ops ops = { on_head, on_bytes, on_end, on_head, on_head };

static void put_header(struct buf *headers, const char *name, const char *value)
{
	buf_printf(headers, "%s: %s", name, value);
	buf_char(headers, '\0');
}

/* What an error's JSON says, or the words for its status. */
static void why_not(const struct job *j, struct slice text, char *out, size_t size)
{
	struct json_object *o = NULL, *error = NULL;
	struct err e;

	snprintf(out, size, "the gateway answered %d", j->status);
	if (json_read(text, 20, &o, &e) == ERR_OK && json_object_object_get_ex(o, "error", &error))
		snprintf(out, size, "%d: %s", j->status, json_member_str(error, "message", "?"));
	json_object_put(o);
	cli_tame(out);
}

static bool ask(struct warming *m, struct slice body, char *why, size_t size)
{
	int64_t limit_ms = conf_int(m->conf, CONF_DEADLINE);
	struct buf begin = { .max_bytes = KEPT_BYTES };
	struct http_req http = { .body = { .max_bytes = body.len + 1 } };
	struct job job = { .req = &http,
		.wanted = "X-Cache",
		.ops = &ops,
		.ctx = &begin,
		.connect_ms = CONNECT_MS,
		.first_byte_ms = limit_ms,
		.idle_ms = limit_ms,
		.client_stall_ms = limit_ms,
		.deadline_mono_ms = clock_mono_ms() + limit_ms };
	bool good = false;
	struct err e;

	memcpy(http.url, m->url, sizeof(m->url));
	put_header(&http.headers, "Content-Type", "application/json");
	if (!m->w->missing)
		put_header(&http.headers, "x-gateway-cache", "refresh");
	if (m->key[0]) {
		buf_printf(&http.headers, "Authorization: Bearer %s", m->key);
		buf_char(&http.headers, '\0');
	}
	buf_slice_append(&http.body, body);
	if (!buf_ok(&http.headers) || !buf_ok(&http.body))
		snprintf(why, size, "no memory for the request");
	else if (pump_run(m->pump, &job, &e))
		snprintf(why, size, "%s", e.message);
	else if (job.status != 200)
		why_not(&job, buf_slice(&begin), why, size);
	else
		good = true;
	if (good && strcmp(job.kept, "MISS") != 0 && strcmp(job.kept, "BYPASS") != 0)
		m->known++;
	buf_fini(&begin);
	http_req_fini(&http);
	return good;
}

/* ---- all lines ---- */

static void tell_progress(struct warming *m)
{
	if (!isatty(STDERR_FILENO) || clock_mono_ms() - m->told_ms < PROGRESS_MS)
		return;
	m->told_ms = clock_mono_ms();
	fprintf(stderr, "\r%" PRIu64 " lines, %" PRIu64 " failed ", m->lines, m->failed);
}

static void take_line(struct warming *m, struct slice line)
{
	char why[512];

	m->lines++;
	line = slice_trim(line);
	if (!line.len)
		return;
	m->asked++;
	if ((int64_t)line.len > conf_int(m->conf, CONF_MAX_BODY))
		snprintf(why, sizeof(why), "the request is larger than GATEWAY_MAX_BODY");
	else if (ask(m, line, why, sizeof(why)))
		return;
	m->failed++;
	fprintf(stderr, "tollgate cache: line %" PRIu64 ": %s\n", m->lines, why);
}

static enum err_code take_file(struct warming *m, struct err *e)
{
	bool from_stdin = strcmp(m->w->file, "-") == 0;
	FILE *f = from_stdin ? stdin : fopen(m->w->file, "re");
	enum err_code rc = ERR_OK;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (!f)
		return err_errno(e, errno, "%s cannot be read", m->w->file);
	while ((n = getline(&line, &room, f)) > 0) {
		take_line(m, (struct slice){ line, (size_t)n });
		tell_progress(m);
	}
	if (ferror(f))
		rc = err_errno(e, errno, "%s cannot be read", m->w->file);
	free(line);
	if (!from_stdin)
		fclose(f);
	return rc;
}

/* ---- the beginning ---- */

static enum err_code read_key(struct warming *m, struct err *e)
{
	char text[2 * KEY_TEXT_SIZE] = "";
	struct slice key;
	enum err_code rc = ERR_OK;
	FILE *f = m->w->key_file ? fopen(m->w->key_file, "re") : NULL;

	if (!m->w->key_file)
		return ERR_OK;
	if (!f)
		return err_errno(e, errno, "%s cannot be read", m->w->key_file);
	key = slice_trim((struct slice){ text, fread(text, 1, sizeof(text) - 1, f) });
	fclose(f);
	if (!key.len || !slice_copy(key, m->key, sizeof(m->key)) || strpbrk(m->key, " \t\r\n"))
		rc = err_set(e, ERR_BAD_REQUEST, "%s (--key-file) does not hold one API key",
			m->w->key_file);
	crypto_wipe(text, sizeof(text));
	return rc;
}

static enum err_code read_url(struct warming *m, struct err *e)
{
	struct slice url = slice_of(m->w->url);
	int n;

	while (slice_ends(url, "/"))
		url.len--;
	n = snprintf(m->url, sizeof(m->url), "%.*s/chat/completions", (int)url.len, url.ptr);
	if ((!slice_starts(url, "http://") && !slice_starts(url, "https://")) || n < 0 ||
		n >= (int)sizeof(m->url))
		return err_set(e, ERR_BAD_REQUEST, "--url is an address like " CACHE_WARM_URL);
	return ERR_OK;
}

static enum err_code warm(struct warming *m, struct err *e)
{
	const struct pump_conf pump = { .ca_file = conf_str(m->conf, CONF_CA_FILE),
		.proxy = "",
		.http2 = conf_int(m->conf, CONF_HTTP2) == 1 };
	enum err_code rc = pump_start(&pump, &m->pump, e);

	if (rc)
		return rc;
	rc = take_file(m, e);
	pump_stop(m->pump);
	if (m->told_ms)
		fputc('\n', stderr);
	return rc;
}

int cache_warm(const struct conf *c, const struct cache_warm *w)
{
	struct warming m = { .conf = c, .w = w };
	struct err e;
	enum err_code rc = read_url(&m, &e);

	if (rc)
		return cli_misuse("cache", "%s", e.message);
	rc = read_key(&m, &e);
	if (!rc)
		rc = warm(&m, &e);
	crypto_wipe(m.key, sizeof(m.key));
	if (rc)
		return cli_fail(&e);
	printf("Asked %" PRIu64 " time%s: %" PRIu64 " answered anew, %" PRIu64
	       " remembered already, %" PRIu64 " failed.\n",
		m.asked, m.asked == 1 ? "" : "s", m.asked - m.known - m.failed, m.known, m.failed);
	return m.failed ? CLI_FAILED : CLI_OK;
}
