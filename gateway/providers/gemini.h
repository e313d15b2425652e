/* gateway/providers/gemini.h - what the files of the Gemini dialect share: what each model can, and
 * the four functions of the dialect (gemini.md).
 *
 * Google AI Studio and Vertex AI speak it alike; they differ in addresses and keys.
 * Pure. Ownership: a gemini_model is constant data by value.
 */
#ifndef GATEWAY_PROVIDERS_GEMINI_H
#define GATEWAY_PROVIDERS_GEMINI_H

#include "gateway/providers/ask.h"
#include "gateway/providers/talk.h"

#define GEMINI_THOUGHTS "google-gemini-v1" /* format of its reasoning_details */

enum gemini_thinking {
	GEMINI_NEVER_THINKS, /* thinkingConfig itself is refused */
	GEMINI_BUDGET,       /* thinkingBudget, in tokens */
	GEMINI_LEVEL,        /* thinkingLevel, a word */
};

struct gemini_model {
	enum gemini_thinking thinking;
	int64_t budget_min, budget_max; /* of GEMINI_BUDGET; 0 turns it off where can_rest */
	bool can_rest;
	bool rests_unasked;    /* thinks only when it is told to */
	const char *lowest;    /* of GEMINI_LEVEL: the level nearest to none */
	bool has_no_medium;    /* of GEMINI_LEVEL */
	bool takes_system;     /* else the system's words stand before the first user's */
	bool json_schema;      /* takes JSON Schema; else the older dialect of OpenAPI */
	bool form_with_tools;  /* the answer may have a form although functions are declared */
	bool signs;            /* its parts carry signatures, which it takes back */
	bool wants_signatures; /* a call in the history without one is refused */
	bool media_in_results; /* a function's result may hold images */
};

struct gemini_model gemini_model_of(const char *native_id);

/* Is it Vertex AI that is spoken to? */
bool gemini_is_vertex(const struct target *t);

extern const struct ask_rules gemini_names;

/* The made-up tool by which a model answers in a form that it knows no other way to keep. */
struct gemini_json {
	bool by_tool;
	bool wrapped; /* as {"value":…}, because a tool's arguments are an object */
	char name[16];
};
struct gemini_json gemini_json_of(const struct ask *a, const struct gemini_model *m);
/* The same, for decoders. */
struct gemini_json gemini_json_of_request(const struct target *t, const struct chat_req *req);

/* Are functions declared, beside tools of Google's own? */
bool gemini_declares(const struct ask *a);

enum err_code gemini_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e);
enum err_code gemini_decode(struct dialect *d, struct slice content_type, struct slice body,
	int64_t now_s, struct answer *out, struct err *e);
enum err_code gemini_decode_event(struct dialect *d, const struct sse_event *ev, int64_t now_s,
	struct delta *out, struct err *e);
enum err_code gemini_decode_error(
	const struct target *t, int status, struct slice body, struct err *e);

/* Signatures of thoughts are worth something only to the model, key and service that made them
 * (gemini.md section 9, rule 6). */
bool gemini_mend(struct target *t, const struct err *e);

#endif
