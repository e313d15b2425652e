/* gateway/providers/reply.h - writes answers in the common tongue for dialects that translate: the
 * pieces of one event become one chat.completion.chunk, those of a whole answer one
 * chat.completion (openai-chat.md sections 6 and 8; kilo-contract.md sections 25 and 27).
 *
 * A decoder says what it found, piece by piece, and need not know whether it reads a stream:
 *
 *     reply_open(d, REPLY_CHUNK, now_s);
 *     reply_text(d, 0, raw);
 *     reply_finish(d, 0, "stop", SLICE("end_turn"));
 *     rc = reply_chunk(d, out, e);
 *
 * Texts come as raw JSON strings (with their quotes, validated) and are copied, never decoded.
 * It keeps the books of struct dialect: seen, finished, called, finish_reason, text bytes; sends
 * the role with the first chunk of a choice; drops empty texts; counts the slots of tool calls;
 * repairs "stop" to "tool_calls" where a tool was called; says {} for calls without arguments when
 * their choice finishes; keeps thoughts in words from clients that excluded them.
 * Ownership: the state hangs on the dialect and ends with dialect_fini().
 */
#ifndef GATEWAY_PROVIDERS_REPLY_H
#define GATEWAY_PROVIDERS_REPLY_H

#include "gateway/providers/tongue.h"

#define REPLY_TEXT_MAX   ((size_t)64 << 20)  /* bytes of one text, list or call */
#define REPLY_ANSWER_MAX ((size_t)256 << 20) /* bytes of an answer, or chunk, as JSON */

enum reply_form {
	REPLY_CHUNK,
	REPLY_WHOLE,
};

/* Begins an event or a whole answer. now_s (unix seconds) is created, unless it is known. */
void reply_open(struct dialect *d, enum reply_form form, int64_t now_s);

/* The answer's id, from the provider (raw JSON string; the first one counts) or made up. */
void reply_id(struct dialect *d, struct json_value id);

/* The choice has begun, even if nothing is said yet: the role goes out. */
void reply_begin(struct dialect *d, unsigned choice);

void reply_text(struct dialect *d, unsigned choice, struct json_value text);

/* A thought in words: reasoning and reasoning_content, and a detail of type reasoning.text. detail
 * is the number of the thought among all details of the choice, counted by reply_next_detail().
 * signature may be absent; text too, when only the signature has come. */
void reply_thought(struct dialect *d, unsigned choice, unsigned detail, const char *format,
	struct json_value text, struct json_value signature);
/* An encrypted one: a detail of type reasoning.encrypted. id: of the tool call it belongs to, a raw
 * JSON string, or absent. */
void reply_hidden_thought(struct dialect *d, unsigned choice, unsigned detail, const char *format,
	struct json_value data, struct slice id);
unsigned reply_next_detail(struct dialect *d, unsigned choice);

/* A tool is called. id and name are raw JSON strings; an empty id is made up, unique in the
 * answer. extra: further members of the call, such as "\"extra_content\":{…}", or empty. Returns
 * its slot. */
unsigned reply_call(
	struct dialect *d, unsigned choice, struct slice id, struct slice name, struct slice extra);
/* The id that the call in this slot has, as a raw JSON string. */
struct slice reply_call_id(const struct dialect *d, unsigned choice, unsigned slot);
/* A piece of its arguments: a raw JSON string whose text is appended. */
void reply_arguments(struct dialect *d, unsigned choice, unsigned slot, struct json_value piece);
/* All of them as a JSON object, which is written as a string. */
void reply_arguments_object(
	struct dialect *d, unsigned choice, unsigned slot, struct json_value object);
/* Has anything been said of its arguments? */
bool reply_has_arguments(const struct dialect *d, unsigned choice, unsigned slot);

/* Generated images: images[{type:"image_url",image_url:{url:"data:…"}}]; raw JSON strings. */
void reply_image(struct dialect *d, unsigned choice, struct slice type, struct json_value data);
/* annotations[{type:"url_citation",url_citation:{url,title,…}}]; object is its inside, as JSON. */
void reply_citation(struct dialect *d, unsigned choice, struct slice object);
/* The choice's logprobs object, as JSON. */
void reply_logprobs(struct dialect *d, unsigned choice, struct slice json);
void reply_refusal(struct dialect *d, unsigned choice, struct json_value text);

/* The choice has finished: finish is OpenAI's word, native (decoded; may be empty) the provider's
 * own for native_finish_reason. A second finish of the same choice says nothing. */
void reply_finish(struct dialect *d, unsigned choice, const char *finish, struct slice native);

/* Ends the event: DELTA_CHUNK, or DELTA_SKIP when there was nothing to say. ERR_UPSTREAM_INVALID
 * when it does not fit or holds more calls than CALLS_MAX. */
MUST_CHECK enum err_code reply_chunk(struct dialect *d, struct delta *out, struct err *e);

/* Ends a whole answer: choices in order, content null where only tools were called and "" where
 * nothing at all was said, usage from d->usage. Errors as above, and ERR_UPSTREAM_CLOSED when a
 * choice has not finished. */
MUST_CHECK enum err_code reply_answer(struct dialect *d, struct answer *out, struct err *e);

void reply_free(struct dialect *d); /* for dialect_fini() only */

#endif
