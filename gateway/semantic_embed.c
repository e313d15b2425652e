#include "gateway/semantic_embed.h"

#include "base/clock.h"
#include "gateway/embeddings.h"
#include "gateway/sign.h"

#include <stdlib.h>

#define BODY_MAX ((size_t)1 << 20) /* of an answer: VECTORS_DIMENSIONS_MAX long numbers fit */

/* ---- who is asked what ---- */

enum err_code semantic_embed_find(struct embedder *em, const struct catalog *catalog,
	const struct semantic_conf *conf, struct slice text, struct err *e)
{
	struct buf *body = &em->body;
	enum err_code rc;

	*body = (struct buf){ .max_bytes = 6 * text.len + 6 * strlen(conf->model) + 128 };
	buf_str(body, "{\"model\":");
	buf_json_cstr(body, conf->model);
	buf_str(body, ",\"input\":");
	buf_json_str(body, text);
	buf_str(body, ",\"encoding_format\":\"float\"}");
	if (!buf_ok(body))
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	rc = embeddings_parse(buf_slice(body), &tongue_limits, &em->req, e);
	if (!rc)
		rc = route_find(catalog, em->req.model, &em->route, e);
	if (!rc && em->route.provider->drained)
		rc = err_set(e, ERR_MODEL_UNAVAILABLE, "%s is drained", em->route.provider->slug);
	return rc ? rc : embeddings_route(&em->req, &em->route, e);
}

void semantic_embed_fini(struct embedder *em)
{
	buf_fini(&em->body);
}

/* ---- the transfer ---- */

struct fetch {
	const char *slug;
	struct buf body;
};

static enum job_next on_head(struct job *j, struct err *e)
{
	const struct fetch *f = j->ctx;

	if (j->status >= 200 && j->status < 300)
		return JOB_MORE;
	(void)!err_set(e, ERR_UPSTREAM_STATUS, "%s answered HTTP %d to a question's embedding",
		f->slug, j->status);
	return JOB_FAIL;
}

static enum job_next on_bytes(struct job *j, struct slice bytes, struct err *e)
{
	struct fetch *f = j->ctx;

	buf_slice_append(&f->body, bytes);
	if (buf_ok(&f->body))
		return JOB_MORE;
	(void)!err_set(e, ERR_UPSTREAM_TOO_LARGE, "%s sent an embedding of more than %zu bytes",
		f->slug, BODY_MAX);
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

static enum err_code ask(struct pump *pump, const struct semantic_conf *conf,
	const struct http_req *http, struct fetch *f, int *status, struct err *e)
{
	static const struct job_ops ops = { on_head, on_bytes, on_end, on_nothing, on_nothing };
	int64_t ms = conf->timeout_ms;
	struct job job = { .req = http,
		.ops = &ops,
		.ctx = f,
		.connect_ms = conf->connect_ms < ms ? conf->connect_ms : ms,
		.first_byte_ms = ms,
		.idle_ms = ms,
		.client_stall_ms = ms,
		.deadline_mono_ms = clock_mono_ms() + ms };
	enum err_code rc = pump_run(pump, &job, e);

	*status = job.status;
	return rc;
}

/* ---- the answer ---- */

/* The numbers of the only vector in OpenAI's list. */
static enum err_code take_numbers(struct slice list, float **out, size_t *n, struct err *e)
{
	struct json_value tree = { JSON_OBJECT, list }, v;
	struct json_iter it;
	struct slice none;
	float *numbers = calloc(VECTORS_DIMENSIONS_MAX, sizeof(*numbers)), *fewer;
	bool good = true;

	if (!numbers)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	*n = 0;
	json_iter_init(&it, json_get(json_at(json_get(tree, "data"), 0), "embedding"));
	while (good && json_iter_next(&it, &none, &v)) {
		good = v.kind == JSON_NUMBER && *n < VECTORS_DIMENSIONS_MAX;
		/* Behind a number in a list comes something that is none of it. */
		if (good)
			numbers[(*n)++] = strtof(v.raw.ptr, NULL);
	}
	if (!good || !*n) {
		free(numbers);
		return err_set(e, ERR_UPSTREAM_INVALID, "no vector of 1 to %d numbers",
			VECTORS_DIMENSIONS_MAX);
	}
	/* It may have to wait for the end of a long answer. */
	fewer = realloc(numbers, *n * sizeof(*numbers));
	*out = fewer ? fewer : numbers;
	return ERR_OK;
}

static enum err_code decode(
	const struct embedder *em, struct slice body, float **out, size_t *n, struct err *e)
{
	const struct target *t = &em->route.target;
	struct answer a = { .text_bytes = 0 };
	struct dialect d;
	struct err why = { 0 };
	enum err_code rc;

	dialect_init(&d, t, &em->req);
	rc = t->provider->decode(&d, SLICE("application/json"), body, 0, &a, &why);
	if (!rc)
		rc = take_numbers(buf_slice(&a.json), out, n, &why);
	if (rc)
		rc = err_set(e, rc, "%s sent no embedding that can be used", t->slug);
	answer_fini(&a);
	dialect_fini(&d);
	return rc;
}

enum err_code semantic_embed(const struct embedder *em, struct pump *pump,
	const struct semantic_conf *conf, float **out, size_t *n, struct err *e)
{
	struct http_req http = { .url = "" };
	struct fetch f = { .slug = em->route.target.slug, .body = { .max_bytes = BODY_MAX } };
	struct sign sign;
	int status = 0;
	enum err_code rc;

	*out = NULL;
	*n = 0;
	rc = sign_begin(&sign, &em->route.target, pump, e);
	if (!rc)
		rc = sign.target.provider->encode(&em->req, &sign.target, &http, e);
	if (!rc)
		rc = sign_request(&sign.target, &http, e);
	if (!rc)
		rc = ask(pump, conf, &http, &f, &status, e);
	sign_end(&sign, status);
	if (!rc)
		rc = decode(em, buf_slice(&f.body), out, n, e);
	http_req_fini(&http);
	buf_fini(&f.body);
	return rc;
}
