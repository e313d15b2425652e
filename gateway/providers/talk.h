/* gateway/providers/talk.h - the messages of a chat request as turns of a conversation, put in the
 * order that strict providers demand.
 *
 * What every translating dialect needs is done here once (anthropic.md section 4, gemini.md
 * sections 3 and 4, providers.md section 7.4):
 *   - system and developer messages are set apart, in order;
 *   - empty texts (blanks only, too) are dropped, and with them turns that hold nothing else; one
 *     that carries a signature stays, where the provider takes Google's thoughts;
 *   - an assistant's turn holds its thoughts, then text (and images that the model made), then
 *     calls;
 *   - results of tools stand in the user turn behind their calls, in the order of the calls, before
 *     anything else in it; a call nobody answered gets a result that says so, a result nobody
 *     called for becomes text;
 *   - turns of the same speaker are merged, so that speakers alternate;
 *   - call ids are made to fit id_max and [A-Za-z0-9_-], and stay different;
 *   - an id that carries a thought signature ("call_1__thought__QUJD") is parted from it, and
 *     signatures are collected from wherever clients send them back (gemini.md section 9).
 * Pure. Ownership: everything points into the client's body or the talk; talk_fini() frees.
 */
#ifndef GATEWAY_PROVIDERS_TALK_H
#define GATEWAY_PROVIDERS_TALK_H

#include "gateway/providers/tongue.h"

enum speaker {
	SPEAKER_USER,
	SPEAKER_MODEL,
};

enum part_kind {
	PART_TEXT,           /* value: a string */
	PART_IMAGE,          /* see media_read() */
	PART_AUDIO,          /* the same */
	PART_VIDEO,          /* the same */
	PART_FILE,           /* the same */
	PART_CALL,           /* call: its number; value: the arguments as they were sent */
	PART_RESULT,         /* call: its number; value: the content, string or array of parts */
	PART_THOUGHT,        /* value: the text (may be absent), signature, format */
	PART_HIDDEN_THOUGHT, /* value: the provider's opaque data, format */
	PART_NATIVE,         /* a block of the provider's own kind: object goes on as it is */
	PART_UNKNOWN,        /* a type nobody knows: to be refused by name */
};

struct part {
	enum part_kind kind;
	struct json_value object; /* as the client wrote it; JSON_ABSENT for a plain string */
	struct json_value value;
	struct json_value cache;     /* its cache_control object, else JSON_ABSENT */
	struct json_value signature; /* JSON string: of a thought, or a thought signature of
				      * Google's on a text or call */
	struct json_value format; /* of a thought, e.g. "anthropic-claude-v1"; else JSON_ABSENT */
	unsigned call;            /* index into talk.calls */
	bool failed;              /* of a result: made here, because nobody answered */
	unsigned message;         /* index of the message it came from, for errors */
	const char *member;       /* of that message: "content", "tool_calls" …; for errors */
	unsigned index;           /* in that member, when it is an array; for errors */
};

/* A call of a tool in the history. */
struct talk_call {
	const char *id;         /* fit for the provider; ends in NUL */
	const char *name;       /* of the tool as the client calls it, decoded; ends in NUL */
	struct slice signature; /* decoded; empty = none */
	bool answered;
};

struct turn {
	enum speaker who;
	unsigned first, count; /* its parts in talk.parts; count > 0 */
	bool has_calls;
	bool has_results;
};

struct talk {
	const struct part *system; /* PART_TEXT only */
	unsigned system_count;
	const struct part *parts;
	const struct turn *turns;
	unsigned turn_count;
	const struct talk_call *calls;
	unsigned call_count;
	void *memory;
};

/* Which ids become a hash instead of being fitted (kilo-contract.md section 22). */
enum talk_ids {
	TALK_IDS_FITTED,       /* none */
	TALK_IDS_WITHOUT_DOTS, /* those with a dot: all of their sha-256, in hexadecimal */
	TALK_IDS_OF_NINE,      /* those that are not nine letters and digits: its first nine */
};

struct talk_rules {
	unsigned id_max;          /* bytes of a call's id, 9..256 */
	enum talk_ids ids;        /* 64 bytes at least for those without dots */
	bool late_system_in_turn; /* system messages behind the first user message become text of
				   * the turn they stand in (providers.md section 7.6, 9) */
	/* Which thoughts the provider takes back, by their format; NULL: none. A thought of
	 * nobody's format (reasoning_content, LiteLLM's thinking_blocks) is asked for with the
	 * empty slice.
	 */
	bool (*takes_thought)(struct slice format);
};

/* Reads req's messages. ERR_BAD_REQUEST with the param ("messages[3].content[0].type") for what has
 * the wrong shape, ERR_NO_MEMORY. *t is set on every path; end it with talk_fini(). */
MUST_CHECK enum err_code talk_read(
	const struct chat_req *req, const struct talk_rules *rules, struct talk *t, struct err *e);
void talk_fini(struct talk *t);

/* Where a part stands: "messages[3].content[0]", or "messages[3].content". */
void talk_param(const struct part *p, char param[ERR_PARAM_SIZE]);

/* For dialects: "400, provider X does not take Y". Returns ERR_UNSUPPORTED with the part's param.
 */
enum err_code talk_refuse(
	const struct part *p, const struct target *t, const char *what, struct err *e);

/* Appends the arguments of a call as a JSON object: "" becomes {}, JSON that is no object
 * {"value":…}, and what is no JSON {"raw":"…"} (anthropic.md section 5). */
void talk_write_arguments(const struct part *call, struct buf *out);

/* Appends the text of a string, or of an array's text parts one after the other, as one JSON
 * string. Parts that are no text are left out. */
void talk_write_text(struct json_value content, struct buf *out);

/* Reads an element of a result's content, which is an array; index is its place in it. Texts may
 * be empty. ERR_BAD_REQUEST with the param. */
MUST_CHECK enum err_code talk_result_part(const struct part *result, struct json_value element,
	unsigned index, struct part *p, struct err *e);

/* ---- images, documents, sound ---- */

enum media_kind {
	MEDIA_INLINE,  /* data */
	MEDIA_URL,     /* url: http(s), gs: and the like */
	MEDIA_FILE_ID, /* url: an id of the provider's own file store */
};

struct media {
	enum media_kind kind;
	char type[64];     /* lower case, "image/png"; "" = unknown. What the bytes say counts more
			    * than the label for the four kinds of images that all providers know */
	struct slice data; /* base64 without blanks; in the body, or in own */
	struct slice url;  /* decoded; in the body, or in own */
	struct slice name; /* of the file, decoded; the same; may be empty */
	struct buf own;
};

/* Reads image_url (string or object), input_audio, file, video_url. ERR_BAD_REQUEST names the
 * param. *m is set on every path; end it with media_fini(). */
MUST_CHECK enum err_code media_read(const struct part *p, struct media *m, struct err *e);
void media_fini(struct media *m);

#endif
