/* handlers/health.c - GET /health and /health/providers, the welcome page at /, and an answer for
 * every path that nobody else serves. */
#include "base/clock.h"
#include "gateway/health_log.h"
#include "gateway/providers_view.h"
#include "handlers/common/listing.h"
#include "handlers/common/path.h"

/* A page for a person who opens the base URL in a browser. It says nothing that an anonymous caller
 * could not find out from /v1/models. */
static const char page[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<meta name=\"viewport\" "
	"content=\"width=device-width,initial-scale=1\"><title>Tollgate</title>"
	"<style>:root{color-scheme:light dark}body{font:16px/1.5 "
	"system-ui,sans-serif;max-width:44rem;"
	"margin:10vh auto;padding:0 1.2rem}h1{margin:0 0 .2em;font-size:1.9rem}p.s{margin:0 0 2em;"
	"opacity:.7}dt{font-weight:600;margin-top:1.1em}dd{margin:.2em 0 0}code,pre{font:14px/1.5 "
	"ui-monospace,monospace}pre{padding:.9em "
	"1em;border-radius:.5em;background:#8882;overflow:auto}"
	"a{color:inherit}</style></head><body><h1>Tollgate is running</h1>"
	"<p class=\"s\">One OpenAI-compatible endpoint for many providers.</p><dl>"
	"<dt>Base URL</dt><dd><code id=\"b\">/v1</code></dd>"
	"<dt>Models</dt><dd><a href=\"v1/models\">v1/models</a>, "
	"<a href=\"v1/providers\">v1/providers</a>, "
	"<a href=\"v1/models-by-provider\">v1/models-by-provider</a></dd>"
	"<dt>Health</dt><dd><a href=\"health\">health</a>, "
	"<a href=\"v1/health/providers\">v1/health/providers</a></dd>"
	"<dt>A first request</dt><dd><pre>curl -N <span "
	"id=\"u\">http://HOST/v1</span>/chat/completions \\\n"
	"  -H 'Authorization: Bearer YOUR_KEY' \\\n"
	"  -H 'Content-Type: application/json' \\\n"
	"  -d '{\"model\":\"MODEL\",\"stream\":true,\n"
	"       \"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'</pre></dd></dl>"
	"<script>var u=location.origin+location.pathname.replace(/\\/$/,'')+'/v1';"
	"document.getElementById('b').textContent=u;"
	"document.getElementById('u').textContent=u</script></body></html>\n";

static void health(struct exchange *x)
{
	struct buf json = { .max_bytes = 65536 };
	const struct catalog *c = x->catalog;
	bool first = true;

	buf_str(&json, "{\"status\":\"ok\",\"version\":\"" TOLLGATE_VERSION "\",\"demo\":");
	buf_str(&json, catalog_demo_is_on(c) ? "true" : "false");
	buf_str(&json, ",\"providers\":[");
	for (size_t i = 0; i < catalog_provider_count(c); i++) {
		const struct catalog_provider *p = catalog_provider_at(c, i);

		if (!p->configured)
			continue;
		if (!first)
			buf_char(&json, ',');
		buf_json_cstr(&json, p->slug);
		first = false;
	}
	buf_str(&json, "]}\n");
	head_add(&x->head, "Cache-Control", "no-store");
	exchange_json(x, 200, buf_slice(&json));
	buf_fini(&json);
}

/* Open to everybody, as /models is: who monitors the gateway needs no key. */
static void providers(struct exchange *x)
{
	const struct health_conf conf = health_log_conf(x->front->conf);
	struct buf json = { 0 };
	struct providers_view view = { .count = 0 };
	struct err e;
	struct ledger *l = front_ledger(&e);
	enum err_code rc = l ? ERR_OK : e.code;

	if (!rc)
		rc = providers_view_make(x->catalog, listing_wants_all(x), ledger_health(l), &conf,
			clock_mono_ms(), &view, &e);
	if (!rc)
		providers_view_json(&view, x->catalog, false, &json);
	if (!rc && !buf_ok(&json))
		rc = err_set(&e, ERR_NO_MEMORY, "no memory for the list of providers");
	if (rc) {
		exchange_error(x, &e);
	} else {
		head_add(&x->head, "Cache-Control", "no-store");
		exchange_json(x, 200, buf_slice(&json));
	}
	providers_view_fini(&view);
	buf_fini(&json);
}

static void nothing_here(struct exchange *x, const char *path)
{
	struct err e;

	(void)!path_refuse(path, &e);
	exchange_error(x, &e);
}

static void welcome(struct exchange *x)
{
	exchange_text(x, 200, "text/html; charset=utf-8", slice_of(page));
}

static void handle(struct exchange *x)
{
	const char *path = request_path(x->rq);
	struct slice rest;
	void (*look)(struct exchange *) = NULL;
	struct err e;

	if (strcmp(path, "/health") == 0 || path_is_endpoint(path, "/health", false, &rest))
		look = health;
	else if (strcmp(path, "/health/providers") == 0 ||
		 path_is_endpoint(path, "/health/providers", false, &rest))
		look = providers;
	else if (strcmp(path, "/") == 0)
		look = welcome;
	if (!look) {
		nothing_here(x, path);
	} else if (strcmp(request_method(x->rq), "GET") != 0 &&
		   strcmp(request_method(x->rq), "HEAD") != 0) {
		head_add(&x->head, "Allow", "GET, HEAD, OPTIONS");
		(void)!err_set(&e, ERR_METHOD, "this endpoint takes GET, HEAD, OPTIONS");
		exchange_error(x, &e);
	} else {
		look(x);
	}
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "health.fcgi",
		.summary = "health, of the providers too, the welcome page, and an answer for "
			   "unknown paths",
		.methods = "GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE",
		.needs = FRONT_CATALOG,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
