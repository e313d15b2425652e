/* handlers/chat_completions.c - POST …/chat/completions: a chat request from start to end. */
#include "gateway/chat.h"
#include "gateway/providers/tool_repair.h"
#include "handlers/common/auto_model.h"

/* Puts right which result belongs to which call of a tool. */
static enum err_code repair_tools(struct paid *p, const struct json_limits *limits, struct err *e)
{
	struct buf body = { 0 };
	enum err_code rc = tool_repair(&p->req, &body, e);

	if (rc || !body.len)
		return rc;
	buf_fini(&p->body); /* which p->req pointed to, perhaps */
	p->body = body;
	return chat_parse(buf_slice(&p->body), limits, &p->req, e);
}

static enum err_code read_request(struct exchange *x, struct paid *p, struct err *e)
{
	struct json_limits limits = paid_json_limits(x->front->conf);
	struct slice body;
	enum err_code rc = exchange_auth(x, e);

	if (!rc)
		rc = paid_read_body(x, &body, e);
	if (rc)
		return rc;
	rc = p->parse(body, &limits, &p->req, e);
	paid_note(x, p);
	if (!rc)
		rc = auto_model_apply(x, p, e);
	if (!rc)
		rc = repair_tools(p, &limits, e);
	if (rc)
		return rc;
	p->prompt_tokens = chat_estimate_prompt_tokens(&p->req);
	p->ask.prompt_tokens = chat_most_prompt_tokens(&p->req);
	p->ask.images = chat_images(&p->req);
	p->ask.writes_1h = chat_may_cache_1h(&p->req);
	return ERR_OK;
}

static void handle(struct exchange *x)
{
	struct paid p = { .kind = "chat", .parse = chat_parse };

	paid_serve(x, &p, read_request);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "chat_completions.fcgi",
		.summary = "chat completions in OpenAI's form, streamed or whole",
		.endpoint = "/chat/completions",
		.methods = "POST, OPTIONS",
		.no_store = true,
		.needs = FRONT_CATALOG | FRONT_KEYS | FRONT_LEDGER | FRONT_BYOK | FRONT_PLAN,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
