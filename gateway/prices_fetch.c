#include "gateway/prices_fetch.h"

#include "base/clock.h"

#include <stdio.h>

struct fetch {
	struct buf body;
};

static enum job_next on_head(struct job *j, struct err *e)
{
	if (j->status == 200)
		return JOB_MORE;
	(void)!err_set(e, ERR_UPSTREAM_STATUS, "it answered HTTP %d%s", j->status,
		j->status == 401 || j->status == 403 ? ": the key is not accepted" : "");
	return JOB_FAIL;
}

static enum job_next on_bytes(struct job *j, struct slice bytes, struct err *e)
{
	struct fetch *f = j->ctx;

	buf_slice_append(&f->body, bytes);
	if (buf_ok(&f->body))
		return JOB_MORE;
	(void)!err_set(e, ERR_UPSTREAM_TOO_LARGE, "its list is larger than %zu bytes",
		PRICES_FETCH_MAX_BYTES);
	return JOB_FAIL;
}

static enum job_next on_end(struct job *j, bool cut, struct err *e)
{
	(void)j, (void)cut, (void)e;
	return JOB_MORE;
}

static enum job_next on_nothing(struct job *j, struct err *e)
{
	(void)j, (void)e;
	return JOB_MORE;
}

static const struct catalog_provider_more *more_of(
	const struct catalog *c, const struct catalog_provider *p)
{
	return &c->providers_more[p - c->providers];
}

/* A list at another address counts for the provider of the file only: its key goes nowhere else. */
static bool is_elsewhere(const struct catalog *c, const struct catalog_provider *p)
{
	const struct catalog_provider_more *more = more_of(c, p);

	return more->list_url[0] && strcmp(p->base_url, more->file_url) == 0;
}

bool prices_fetch_can(const struct catalog *c, const struct catalog_provider *p, const char **why)
{
	*why = "its requests are signed, and it has no list that needs a key only";
	if (strcmp(p->auth, "sigv4") == 0 || strcmp(p->auth, "service-account") == 0)
		return false;
	*why = "it has no list of models";
	return !p->demo && (more_of(c, p)->list_path[0] || is_elsewhere(c, p));
}

static void put_header(struct buf *headers, const char *name, const char *value)
{
	buf_printf(headers, "%s: %s", name, value);
	buf_char(headers, '\0');
}

static void put_auth(const struct catalog_provider *p, struct buf *headers)
{
	if (strcmp(p->auth, "bearer") == 0 && p->api_key[0]) {
		buf_printf(headers, "Authorization: Bearer %s", p->api_key);
		buf_char(headers, '\0');
	} else if (p->api_key[0] && strcmp(p->auth, "none") != 0) {
		put_header(headers, p->auth, p->api_key);
	}
	/* Who takes x-api-key wants to know the version of the API. */
	if (strcmp(p->auth, "x-api-key") == 0)
		put_header(headers, "anthropic-version", "2023-06-01");
	put_header(headers, "Accept", "application/json");
}

/* Gets the list as it comes. */
static enum err_code get(struct pump *pump, const struct catalog *c,
	const struct catalog_provider *p, int64_t ms, struct fetch *f, struct err *e)
{
	static const struct job_ops ops = { on_head, on_bytes, on_end, on_nothing, on_nothing };
	struct http_req http = { .url = "" };
	struct job job = { .req = &http,
		.get = true,
		.ops = &ops,
		.ctx = f,
		.connect_ms = ms / 3,
		.first_byte_ms = ms,
		.idle_ms = ms,
		.client_stall_ms = ms,
		.deadline_mono_ms = clock_mono_ms() + ms };
	enum err_code rc = ERR_OK;
	int n;

	n = is_elsewhere(c, p) ? snprintf(http.url, sizeof(http.url), "%s", more_of(c, p)->list_url)
			       : snprintf(http.url, sizeof(http.url), "%s%s", p->base_url,
					 more_of(c, p)->list_path);
	put_auth(p, &http.headers);
	if (n < 0 || n >= (int)sizeof(http.url))
		rc = err_set(e, ERR_CONF, "its address is too long");
	if (!rc && !buf_ok(&http.headers))
		rc = err_set(e, ERR_NO_MEMORY, "no memory for the request");
	if (!rc)
		rc = pump_run(pump, &job, e);
	http_req_fini(&http);
	return rc;
}

enum err_code prices_fetch(struct pump *pump, const struct catalog *c,
	const struct catalog_provider *p, struct prices_list *l, struct err *e)
{
	struct fetch f = { .body = { .max_bytes = PRICES_FETCH_MAX_BYTES } };
	enum err_code rc = get(pump, c, p, PRICES_FETCH_MS, &f, e);

	*l = (struct prices_list){ 0 };
	if (!rc)
		rc = prices_list_read(buf_slice(&f.body), more_of(c, p)->list_unit, l, e);
	buf_fini(&f.body);
	return rc;
}

enum err_code prices_fetch_ask(struct pump *pump, const struct catalog *c,
	const struct catalog_provider *p, int64_t ms, struct err *e)
{
	struct fetch f = { .body = { .max_bytes = PRICES_FETCH_MAX_BYTES } };
	enum err_code rc = get(pump, c, p, ms, &f, e);

	buf_fini(&f.body);
	return rc;
}
