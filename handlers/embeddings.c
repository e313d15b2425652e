/* handlers/embeddings.c - POST …/embeddings: vectors that stand for texts. */
#include "gateway/chat.h"
#include "gateway/embeddings.h"
#include "handlers/common/paid.h"

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
	p->prompt_tokens = chat_estimate_prompt_tokens(&p->req);
	p->ask.prompt_tokens = (int64_t)p->req.body.len; /* a token is at least one byte */
	p->no_output = true;
	return rc;
}

static void handle(struct exchange *x)
{
	struct paid p = {
		.kind = "embeddings", .parse = embeddings_parse, .turn = embeddings_route
	};

	paid_serve(x, &p, read_request);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "embeddings.fcgi",
		.summary = "embeddings in OpenAI's form",
		.endpoint = "/embeddings",
		.methods = "POST, OPTIONS",
		.no_store = true,
		.needs = FRONT_CATALOG | FRONT_KEYS | FRONT_LEDGER | FRONT_BYOK | FRONT_PLAN,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
