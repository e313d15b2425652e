/* gateway/providers/tongue.h - the common tongue: a chat request, an answer and a piece of a
 * stream in OpenAI's shape, and the contract of a dialect that translates to and from it.
 *
 * Dialects are pure: no I/O, no clock, no log; the same input gives the same bytes.
 * Wire facts: openai-chat.md; DESIGN.md section 3.
 *
 * Ownership: slices in a chat_req point into the client's body and live as long as the request;
 *            slices in a delta or answer are valid until the next call with the same state.
 */
#ifndef GATEWAY_PROVIDERS_TONGUE_H
#define GATEWAY_PROVIDERS_TONGUE_H

#include "base/buf.h"
#include "base/json_scan.h"
#include "base/sse.h"
#include "gateway/providers/splice.h"
#include "gateway/providers/tool_calls.h"

#define MODEL_ID_MAX 192 /* bytes of a model id with its NUL */
#define SLUG_MAX     32  /* bytes of a provider slug with its NUL */
#define URL_MAX_SIZE 1024

/* ---- the request ---- */

/* The top-level members the stages look at; everything else passes by untouched. */
enum chat_field {
	CHAT_MODEL,
	CHAT_MESSAGES,
	CHAT_STREAM,
	CHAT_STREAM_OPTIONS,
	CHAT_N,
	CHAT_MAX_TOKENS,
	CHAT_MAX_COMPLETION_TOKENS,
	CHAT_TOOLS,
	CHAT_REASONING,
	CHAT_REASONING_EFFORT,
	CHAT_THINKING,
	CHAT_CACHE_KEY,
	/* Wishes about who serves it; see gateway/wishes.h. */
	CHAT_MODELS,
	CHAT_FALLBACKS,
	CHAT_PROVIDER,
	CHAT_PROVIDER_OPTIONS,
	CHAT_CACHE, /* wishes about remembered answers; see gateway/cache_key.h */
	CHAT_FIELDS
};

struct chat_req {
	struct slice body;                     /* the client's JSON object, validated */
	struct json_member field[CHAT_FIELDS]; /* where the members stand in body */
	char model[MODEL_ID_MAX];              /* as the client wrote it, trimmed */
	bool stream;
	bool include_usage; /* the client asked for the usage chunk */
	bool uses_tools;    /* a message calls a tool or says what one gave */
	bool has_thoughts;  /* an assistant's message may hold what its maker alone reads */
	int64_t n;          /* choices asked for, 1..128 */
	int64_t max_tokens; /* max_completion_tokens, else max_tokens, else 0 */
};

/* ---- where it goes ---- */

struct provider;
struct quirks;
struct sigv4_keys;

/* One model at one provider. Strings are lent by the catalogue and the settings. */
struct target {
	const struct provider *provider; /* the dialect */
	const struct quirks *quirks;     /* never NULL */
	const char *slug;                /* of the provider */
	const char *base_url;            /* without a slash at its end */
	const char *chat_path;           /* e.g. "/chat/completions" */
	const char *auth;                /* "bearer", "x-api-key", "none" … */
	const char *api_key;             /* "" when the provider needs none */
	const struct sigv4_keys *sigv4;  /* requests are signed with these; NULL = they are not */
	const char *account_file;        /* of a service account, whose tokens take the place of
					  * api_key; NULL = it is fixed */
	const char *account_json;        /* the same, of a caller's own: the text of its file */
	const char *unix_socket; /* abstract socket to dial instead of the host; NULL = none */
	const char *public_id;   /* the model's id for the client */
	const char *native_id;   /* what the provider calls it */
	int64_t max_output;      /* tokens the model may write; 0 = unknown */
	const char *prefers; /* of routers: whom to ask first unless the client says, a JSON array
			      * in their words; NULL = they choose */
	bool prefill;        /* the model goes on with an assistant's message that comes last */
	bool forgets_signatures; /* the provider refused those of thoughts: none is sent back */
};

/* An HTTP request to a provider. headers holds "Name: value" texts, each ended by a NUL. */
struct http_req {
	char url[URL_MAX_SIZE];
	struct buf headers;
	struct buf body;
};
void http_req_fini(struct http_req *r); /* wipes what may hold a key */

/* ---- what comes back ---- */

enum usage_state {
	USAGE_NONE,      /* nothing was generated */
	USAGE_REPORTED,  /* the provider's own figures */
	USAGE_ESTIMATED, /* the provider reported nothing */
	USAGE_PARTIAL,   /* the answer was cut */
};

/* Token classes of one request (openai-chat.md section 7): cached and written tokens are part of
 * prompt, reasoning is part of completion. */
struct usage {
	enum usage_state state;
	int64_t prompt_tokens;
	int64_t completion_tokens;
	int64_t cached_tokens;
	int64_t cache_write_tokens;
	int64_t cache_write_1h_tokens; /* the part of them that is kept for an hour */
	int64_t reasoning_tokens;
	int64_t cost_picousd; /* what a router says it charged; -1 = it does not say */
	bool router_byok;     /* the router used a key of the operator's own: cost is only a fee */
	int64_t upstream_picousd; /* and this is what that provider took; -1 = not said */
};

/* A whole answer, ready for the client. */
struct answer {
	struct buf json; /* a chat.completion object */
	struct usage usage;
	char finish_reason[24]; /* of choice 0 */
	size_t text_bytes;      /* generated text in all choices, for estimates */
};
void answer_fini(struct answer *a);

enum delta_kind {
	DELTA_SKIP,  /* nothing for the client */
	DELTA_CHUNK, /* json is a chat.completion.chunk */
	DELTA_USAGE, /* the same, but only usage: for clients that asked for it */
	DELTA_DONE,  /* the provider's end mark */
	DELTA_ERROR, /* the provider failed inside the stream: see the error */
};

/* What one event means. */
struct delta {
	enum delta_kind kind;
	struct slice json;
	size_t text_bytes; /* generated text in it: content, reasoning, tool arguments, refusal */
};

#define CHOICES_MAX 128 /* of one answer */

/* What a stream has shown so far; one per attempt, made by dialect_init(). */
struct dialect {
	const struct target *target;
	const struct chat_req *req;
	const char *seed;       /* what ids that are missing are made of, different for each
				 * request; NULL = the time */
	struct usage usage;     /* the last figures reported; never summed */
	char id[64];            /* the answer's id: same in all chunks */
	char finish_reason[24]; /* the last one seen on choice 0 */
	int64_t created;        /* unix seconds, 0 = not seen yet */
	uint64_t finished[2];   /* a bit per choice index that had a finish reason */
	uint64_t seen[2];       /* a bit per choice index that came up; its role went out */
	uint64_t called[2];     /* a bit per choice index that called a tool */
	uint64_t malformed;     /* events that could not be read */
	unsigned choices_seen;  /* how many bits are set in seen, in finished */
	unsigned choices_finished;
	char created_text[24];    /* created, as it is written */
	struct tool_calls *calls; /* of the stream so far */
	struct splice splice;     /* what is changed in the chunk being made */
	struct buf out;           /* the chunk being made */
	struct buf usage_json;    /* the last usage object reported, as the provider wrote it */
	struct buf held;          /* what a dialect has to hold back until more has come */
	struct reply *reply;      /* reply.c's, for dialects that translate */
	void *own;                /* a dialect's own state, freed with free() */
};
void dialect_init(struct dialect *d, const struct target *t, const struct chat_req *req);

/* Makes up the answer's id when the provider gave none. */
void dialect_make_id(struct dialect *d, int64_t now_s);
void dialect_fini(struct dialect *d);

/* Appends the chunk that tells the client the usage: no choices, the figures the provider
 * reported, else those in d->usage, and the members in extra ("\"cost\":…", may be empty) instead
 * of what the provider says about money. */
void dialect_write_usage(const struct dialect *d, struct slice extra, struct buf *out);

/* The object of that chunk, and of all others. */
const char *provider_chunk_object(const struct provider *p); /* NULL: a chat's */

/* Appends only that usage object. */
void dialect_write_usage_object(const struct dialect *d, struct slice extra, struct buf *out);

/* Writes a whole answer with this usage in place of the one it has; out must be empty. false when
 * it does not fit. */
MUST_CHECK bool answer_write_with_usage(struct slice json, struct slice usage, struct buf *out);

/* Puts the same usage object into a whole answer, in place of the one it has. false when it does
 * not fit; a is then unchanged. */
MUST_CHECK bool answer_put_usage(const struct dialect *d, struct slice extra, struct answer *a);

/* Appends a whole answer as the data of stream events ("data: {…}\n\n"): a chunk with the message
 * of each choice as its delta, and one with its finish reason. For providers that answer a
 * streaming call with plain JSON. ERR_UPSTREAM_INVALID. */
MUST_CHECK enum err_code answer_write_events(
	const struct answer *a, struct buf *out, struct err *e);

/* The finish reason a client understands for what a provider said (providers.md section 4.1):
 * stop, length, tool_calls, content_filter, function_call; "error" for a failure; NULL for a word
 * nobody knows. */
const char *finish_reason_of(struct slice said);

/* Reads a usage object in OpenAI's shape into *u and repairs what providers get wrong
 * (openai-chat.md section 7). */
void usage_read(struct json_value usage, const struct quirks *q, struct usage *u);

/* The JSON limits for what providers send. */
extern const struct json_limits tongue_limits;

/* Have all n choices that were asked for finished? */
bool dialect_is_finished(const struct dialect *d);

/* Have all choices that came up finished, and did one? Some providers know only n = 1: these may
 * be all there are. */
bool dialect_may_end(const struct dialect *d);

/* ---- the contract ---- */

enum provider_can {
	CAN_STREAM = 1 << 0,
	CAN_TOOLS = 1 << 1,
	CAN_IMAGES = 1 << 2,
	CAN_IMAGE_URLS = 1 << 3, /* fetches images by itself; else they are inlined for it */
	ADDS_THOUGHTS = 1 << 4,  /* asks for more than max_tokens where the model is to think */
	MARKS_END = 1 << 5,      /* the last event says so, and not the connection's end alone */
};

/* How the events of a stream are parted. */
enum framing {
	FRAMES_SSE, /* server-sent events */
	FRAMES_AWS, /* binary frames (providers.md section 7.3); :event-type is the event's name */
};

struct provider {
	const char *name; /* of the dialect: "openai" */
	unsigned can;
	enum framing framing;
	int64_t patience_ms; /* a silence this long is usual, while a model thinks: limits that
			      * nobody set are no shorter; 0 = nothing special */
	const char *sigv4_service; /* whose requests can be signed: "bedrock"; NULL = they cannot */

	/* Does it take this image by its URL (decoded)? NULL: all or none, by CAN_IMAGE_URLS. */
	bool (*takes_url)(struct slice url);

	/* Writes the upstream request for req into out, which must be empty. ERR_UNSUPPORTED,
	 * ERR_BAD_REQUEST with param, ERR_NO_MEMORY. */
	enum err_code (*encode)(const struct chat_req *req, const struct target *t,
		struct http_req *out, struct err *e);

	/* Reads a whole answer (status 2xx) into *out. now_s (unix seconds) fills a missing
	 * created. ERR_UPSTREAM_INVALID, or the provider's own error found under a 200. */
	enum err_code (*decode)(struct dialect *d, struct slice content_type, struct slice body,
		int64_t now_s, struct answer *out, struct err *e);

	/* Reads one stream event. A malformed event returns ERR_UPSTREAM_INVALID and leaves the
	 * state as it was; DELTA_ERROR comes with *e filled and the error's code returned. */
	enum err_code (*decode_event)(struct dialect *d, const struct sse_event *ev, int64_t now_s,
		struct delta *out, struct err *e);

	/* Where completions of a text and embeddings are; NULL: it has none. */
	const char *text_path, *embed_path;

	/* The client reads something else than a chat; NULL: a chat. The object of its chunks, and
	 * what a choice says in them that says nothing: "\"text\":\"\"". */
	const char *chunk_object;
	const char *no_words;
	/* As answer_write_events(); NULL: that. */
	enum err_code (*write_events)(const struct answer *a, struct buf *out, struct err *e);

	/* Makes an error of a refusal (status >= 400). Always returns an error code. */
	enum err_code (*decode_error)(
		const struct target *t, int status, struct slice body, struct err *e);

	/* The same for a refusal whose kind stands in a header (job.error_type). NULL: such a
	 * header says nothing. */
	enum err_code (*decode_typed_error)(const struct target *t, int status, struct slice type,
		struct slice body, struct err *e);

	/* May the refused request be taken when it is encoded anew for another *t, which this
	 * changes? Asked once, with the error that decode_error made. NULL: never. */
	bool (*mend)(struct target *t, const struct err *e);
};

extern const struct provider provider_openai;
extern const struct provider provider_anthropic;
extern const struct provider provider_bedrock;
extern const struct provider provider_gemini;

/* The dialect of this name, or NULL. */
const struct provider *provider_named(const char *name);

#endif
