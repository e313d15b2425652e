/* tests/fuzz/dialect.h - any bytes, read by one dialect: as a client's request, as a provider's
 * whole answer, as the events of its stream, and as its refusal. Nothing may crash or leak, and
 * whatever is given on is JSON. The first byte of the input chooses what it is read as, the second
 * the provider and the model, on which much depends; the third which request an answer belongs to.
 *
 * A fuzzer says which dialect and which models; nothing else stands in its file.
 */
#ifndef TESTS_FUZZ_DIALECT_H
#define TESTS_FUZZ_DIALECT_H

#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum reading {
	READ_REQUEST,
	READ_ANSWER,
	READ_EVENTS, /* a line each: "name {json}", or the data alone */
	READ_REFUSAL,
	READINGS
};

struct fuzz_target {
	const char *slug, *model;
};
extern const char fuzz_dialect[];
extern const struct fuzz_target fuzz_targets[];
extern const size_t fuzz_targets_n;

#define TOOLS \
	",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{" \
	"\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}}},{\"type\":" \
	"\"function\",\"function\":{\"name\":\"mcp.server/tool\"}}]"
#define SCHEMA \
	",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\"," \
	"\"schema\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}"

static const char *const requests[] = {
	"{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
	"{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}"
	"]" TOOLS "}",
	"{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}"
	"]" SCHEMA "}",
	"{\"model\":\"m\",\"n\":3,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" TOOLS
		SCHEMA "}",
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

static const struct json_limits limits = { .max_depth = 64, .max_keys = 1000 };

static void demand_json(const char *of, struct slice text)
{
	struct err e = { 0 };

	if (!json_validate(text, &tongue_limits, NULL, &e))
		return;
	fprintf(stderr, "%s is no JSON: %s\n%.*s\n", of, e.message, SLICE_ARG(text));
	abort();
}

static void demand_error(const struct err *e, enum err_code rc)
{
	if (e->code == rc && e->message[0])
		return;
	fprintf(stderr, "error %d came without a word\n", (int)rc);
	abort();
}

static void read_request(const struct target *t, struct slice text)
{
	struct http_req http = { .url = "" };
	struct chat_req req;
	struct err e = { 0 };
	enum err_code rc = chat_parse(text, &limits, &req, &e);

	if (!rc) {
		rc = t->provider->encode(&req, t, &http, &e);
		if (!rc)
			demand_json("a request", buf_slice(&http.body));
	}
	if (rc)
		demand_error(&e, rc);
	http_req_fini(&http);
}

static void read_answer(struct dialect *d, struct slice text)
{
	struct answer a = { 0 };
	struct err e = { 0 };
	enum err_code rc =
		d->target->provider->decode(d, SLICE("application/json"), text, 1767225600, &a, &e);

	if (rc) {
		demand_error(&e, rc);
	} else {
		struct buf events = { .max_bytes = 64 << 20 };

		demand_json("an answer", buf_slice(&a.json));
		if (answer_write_events(&a, &events, &e))
			demand_error(&e, e.code);
		buf_fini(&events);
	}
	answer_fini(&a);
}

static void read_events(struct dialect *d, struct slice text)
{
	enum err_code rc = ERR_OK;

	while (text.len && !rc) {
		struct slice line = slice_cut(&text, '\n'), name = { "", 0 };
		struct sse_event ev;
		struct delta delta;
		struct err e = { 0 };
		const char *space = line.len ? memchr(line.ptr, ' ', line.len) : NULL;
		char *copy; /* gone after the call, so a slice kept too long is seen */

		if (space && line.ptr[0] != '{') {
			name = (struct slice){ line.ptr, (size_t)(space - line.ptr) };
			line = slice_from(line, name.len + 1);
		}
		if (!line.len)
			continue;
		copy = malloc(line.len);
		if (!copy)
			abort();
		memcpy(copy, line.ptr, line.len);
		ev = (struct sse_event){ name, { copy, line.len } };
		rc = d->target->provider->decode_event(d, &ev, 1767225600, &delta, &e);
		if (rc)
			demand_error(&e, rc);
		else if (delta.kind == DELTA_CHUNK)
			demand_json("a chunk", delta.json);
		free(copy);
	}
	if (!rc) {
		struct buf usage = { 0 };

		dialect_write_usage(d, SLICE(""), &usage);
		demand_json("usage", buf_slice(&usage));
		buf_fini(&usage);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text;
	struct target t = { .base_url = "http://127.0.0.1:1/v1",
		.chat_path = "/chat",
		.auth = "bearer",
		.api_key = "k",
		.public_id = "lab/model" };
	struct dialect d;
	struct chat_req req;
	struct err e = { 0 };

	if (size < 3)
		return 0;
	text = (struct slice){ (const char *)data + 3, size - 3 };
	t.provider = provider_named(fuzz_dialect);
	if (!t.provider)
		abort();
	t.slug = fuzz_targets[data[1] % fuzz_targets_n].slug;
	t.native_id = fuzz_targets[data[1] % fuzz_targets_n].model;
	t.quirks = quirks_of(t.slug);
	if (data[0] % READINGS == READ_REQUEST) {
		read_request(&t, text);
		return 0;
	}
	if (chat_parse(slice_of(requests[data[2] % REQUESTS]), &limits, &req, &e))
		abort();
	dialect_init(&d, &t, &req);
	switch ((enum reading)(data[0] % READINGS)) {
	case READ_ANSWER:
		read_answer(&d, text);
		break;
	case READ_EVENTS:
		read_events(&d, text);
		break;
	case READ_REFUSAL:
		demand_error(&e, t.provider->decode_error(&t, 400 + data[2] % 200, text, &e));
		break;
	case READ_REQUEST:
	case READINGS:
		break;
	}
	dialect_fini(&d);
	return 0;
}

#endif
