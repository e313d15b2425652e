/* handlers/completions.c - POST …/completions and …/fim/completions: completes a text, at its end
 * or between two parts. */
#include "gateway/chat.h"
#include "gateway/fim.h"
#include "handlers/common/paid.h"
#include "handlers/common/path.h"

/* FIM is below the base paths, and at the address that its first clients know. */
static bool is_fim(const struct exchange *x)
{
	const char *path = request_path(x->rq);
	struct slice rest;

	return path_is_endpoint(path, "/fim/completions", false, &rest) ||
	       path_is_own(path, "/api/fim/completions", false, &rest);
}

static enum err_code find_endpoint(const struct exchange *x, bool *fim, struct err *e)
{
	struct slice rest;

	*fim = is_fim(x);
	if (*fim || path_is_endpoint(request_path(x->rq), "/completions", false, &rest))
		return ERR_OK;
	return path_refuse(request_path(x->rq), e);
}

/* FIM is for those who have a key, whatever the model costs. */
static enum err_code enter(struct exchange *x, bool *fim, struct err *e)
{
	enum err_code rc = find_endpoint(x, fim, e);

	if (!rc)
		rc = exchange_auth(x, e);
	if (!rc && *fim)
		rc = auth_may_use(&x->caller, false, exchange_server_hint(x), e);
	return rc;
}

static enum err_code read_request(struct exchange *x, struct paid *p, struct err *e)
{
	struct json_limits limits = paid_json_limits(x->front->conf);
	struct slice body;
	bool fim;
	enum err_code rc = enter(x, &fim, e);

	if (!rc)
		rc = paid_read_body(x, &body, e);
	if (rc)
		return rc;
	p->kind = fim ? "fim" : "text";
	p->parse = fim ? fim_parse : fim_parse_text;
	p->turn = fim ? fim_route : fim_route_text;
	rc = p->parse(body, &limits, &p->req, e);
	paid_note(x, p);
	p->prompt_tokens = chat_estimate_prompt_tokens(&p->req);
	p->ask.prompt_tokens = (int64_t)p->req.body.len; /* a token is at least one byte */
	return rc;
}

static void handle(struct exchange *x)
{
	struct paid p = { 0 };

	paid_serve(x, &p, read_request);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "completions.fcgi",
		.summary = "completions of a text, at its end or between two parts",
		.methods = "POST, OPTIONS",
		.no_store = true,
		.needs = FRONT_CATALOG | FRONT_KEYS | FRONT_LEDGER | FRONT_BYOK | FRONT_PLAN,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
