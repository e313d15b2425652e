/* gateway/providers/anthropic.h - what the request side and the answer side of the dialect of
 * Anthropic's Messages API have in common (anthropic.md).
 *
 * What an answer means can depend on what was asked: an answer in JSON may come as the call of a
 * tool that was made up for it, and tools may go by other names. Both sides find out from the same
 * request, so that nothing has to be carried between them.
 * Pure.
 */
#ifndef GATEWAY_PROVIDERS_ANTHROPIC_H
#define GATEWAY_PROVIDERS_ANTHROPIC_H

#include "gateway/providers/ask.h"
#include "gateway/providers/tongue.h"

/* ---- models: anthropic.md section 3 ---- */

enum anthropic_thinking {
	ANTHROPIC_NEVER_THINKS,
	ANTHROPIC_BUDGET,   /* thinks up to a number of tokens */
	ANTHROPIC_EITHER,   /* thinks as it likes, by an effort; takes a budget too */
	ANTHROPIC_ADAPTIVE, /* only as it likes */
};

struct anthropic_model {
	const char *contains; /* of the id, with dashes for dots */
	int64_t max_output;   /* tokens; 0 = unknown */
	enum anthropic_thinking thinking;
	bool samples;        /* takes temperature, top_p and top_k */
	bool schema;         /* answers by a JSON schema natively */
	bool thinks_unasked; /* unless it is told not to … */
	bool always_thinks;  /* … which it refuses */
	bool xhigh;          /* knows the effort */
	bool calm_when_off;  /* takes no effort above high while told not to think */
};

/* The id as Anthropic writes it: without author and ":tag", dashes for the dots between digits of
 * a Claude's version. */
void anthropic_native_id(const char *id, char out[MODEL_ID_MAX]);

/* The row of a model by such an id; a claude that has none is taken for the newest, and all others
 * have one, too. Never NULL. */
const struct anthropic_model *anthropic_model_of(const char *native_id);
bool anthropic_is_claude(const struct anthropic_model *m);

/* The format of the reasoning details that such a model gives and takes: signatures of Claude's are
 * of no use to others, nor theirs to Claude. */
const char *anthropic_thoughts(const struct anthropic_model *m);

/* ---- tools, and answers in JSON ---- */

extern const struct ask_rules anthropic_names;

/* The tool that is made up for answers by a schema, for models that cannot natively. */
struct anthropic_json {
	bool by_tool;
	bool wrapped;  /* its input holds the answer in the member "value": the root is no object */
	char name[24]; /* of the tool; no other has it */
};
struct anthropic_json anthropic_json_of(
	const struct target *t, const struct ask *a, const struct anthropic_model *m);
/* The same from the request. Not used where nothing asks for a schema. */
struct anthropic_json anthropic_json_of_request(const struct target *t, const struct chat_req *req);

/* ---- the dialect ---- */

MUST_CHECK enum err_code anthropic_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e);
MUST_CHECK enum err_code anthropic_decode(struct dialect *d, struct slice content_type,
	struct slice body, int64_t now_s, struct answer *out, struct err *e);
MUST_CHECK enum err_code anthropic_decode_event(struct dialect *d, const struct sse_event *ev,
	int64_t now_s, struct delta *out, struct err *e);
enum err_code anthropic_decode_error(
	const struct target *t, int status, struct slice body, struct err *e);

#endif
