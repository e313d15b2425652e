/* What a dialect costs: requests of 1 KB, 100 KB and 1 MB written for each kind of provider, beside
 * one scan of the body, and events of its streams.
 *
 *   dialect_bench [--quick]
 *
 * Prints lines of a Markdown table: processor time of this process alone.
 */
#include "base/clock.h"
#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double budget_s = 0.5; /* of processor time per figure */

static const struct json_limits limits = { .max_depth = 64, .max_keys = 65536 };

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what, const struct err *e)
{
	fprintf(stderr, "dialect_bench: %s: %s\n", what, e->message);
	exit(1);
}

static struct target target_of(const char *dialect)
{
	struct target t = { .provider = provider_named(dialect),
		.quirks = quirks_of(dialect),
		.slug = dialect,
		.base_url = "https://provider.example/v1",
		.chat_path = "/chat/completions",
		.auth = "bearer",
		.api_key = "key",
		.public_id = "lab/model" };

	if (!t.provider)
		die(dialect, &(struct err){ .message = "no such dialect" });
	t.native_id = strcmp(dialect, "anthropic") == 0 ? "claude-sonnet-4-6"
		      : strcmp(dialect, "gemini") == 0  ? "gemini-3-pro-preview"
		      : strcmp(dialect, "bedrock") == 0 ? "us.anthropic.claude-sonnet-4-6"
							: "gpt-4o";
	return t;
}

/* A conversation with a system message, a tool loop and long texts with escapes in them, as coding
 * agents send it. */
static void write_request(size_t bytes, struct buf *out)
{
	static const char line[] =
		"The quick brown fox\\tjumps over the \\\"lazy\\\" dog, again.\\n";
	size_t turns = bytes / 4000 + 1, each = bytes / turns / 2;

	out->max_bytes = 4 << 20;
	buf_str(out, "{\"model\":\"lab/model\",\"stream\":true,\"max_tokens\":800,\"tools\":[{"
		     "\"type\":\"function\",\"function\":{\"name\":\"read_file\",\"parameters\":{"
		     "\"type\":\"object\",\"properties\":{\"path\":{\"type\":\"string\"}}}}}],"
		     "\"messages\":[{\"role\":\"system\",\"content\":\"You write code.\"}");
	for (size_t i = 0; i < turns; i++) {
		buf_str(out, ",{\"role\":\"user\",\"content\":\"");
		for (size_t n = 0; n < each; n += sizeof(line) - 1)
			buf_str(out, line);
		buf_printf(out,
			"\"},{\"role\":\"assistant\",\"content\":\"Let me see.\",\"tool_calls\":[{"
			"\"id\":\"call_%zu\",\"type\":\"function\",\"function\":{\"name\":"
			"\"read_file\",\"arguments\":\"{\\\"path\\\":\\\"a.c\\\"}\"}}]},{\"role\":"
			"\"tool\",\"tool_call_id\":\"call_%zu\",\"content\":\"",
			i, i);
		for (size_t n = 0; n < each; n += sizeof(line) - 1)
			buf_str(out, line);
		buf_str(out, "\"}");
	}
	buf_str(out, ",{\"role\":\"user\",\"content\":\"Go on.\"}]}");
}

static void requests(const char *dialect, size_t bytes)
{
	struct target t = target_of(dialect);
	struct buf text = { 0 };
	struct chat_req req;
	struct err e = { 0 };
	double begun, scan, both;
	unsigned long n = 0, m = 0;

	write_request(bytes, &text);
	begun = cpu_s();
	do {
		if (chat_parse(buf_slice(&text), &limits, &req, &e))
			die("chat_parse", &e);
		n++;
	} while (cpu_s() - begun < budget_s);
	scan = (cpu_s() - begun) / (double)n;
	begun = cpu_s();
	do {
		struct http_req http = { .url = "" };

		if (t.provider->encode(&req, &t, &http, &e))
			die(dialect, &e);
		http_req_fini(&http);
		m++;
	} while (cpu_s() - begun < budget_s);
	both = (cpu_s() - begun) / (double)m;
	printf("| request of %zu KB, openai to %s | %.1f us, %.0f MB/s, %.2f times one scan |\n",
		bytes / 1000, dialect, both * 1e6, (double)text.len / both / 1e6, both / scan);
	buf_fini(&text);
}

/* One event of text of each dialect's stream, and what comes before the first. */
static const struct {
	const char *dialect, *name, *first, *text;
} streams[] = {
	{ "openai", "",
		"{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
		"\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
		"\"finish_reason\":null}]}",
		"{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
		"\"choices\":[{\"index\":0,\"delta\":{\"content\":\" one token\"},"
		"\"finish_reason\":null}]}" },
	{ "anthropic", "content_block_delta",
		"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
		"\"text\","
		"\"text\":\"\"}}",
		"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
		"\"text\":\" one token\"}}" },
	{ "gemini", "",
		"{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"a\"}]},"
		"\"index\":0}],\"modelVersion\":\"m\",\"responseId\":\"r\"}",
		"{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\" one "
		"token\"}]},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9,"
		"\"candidatesTokenCount\":6,\"totalTokenCount\":15},\"modelVersion\":\"m\","
		"\"responseId\":\"r\"}" },
	{ "bedrock", "contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}",
		"{\"contentBlockIndex\":0,\"delta\":{\"text\":\" one "
		"token\"},\"p\":\"abcdefgh\"}" },
};

static void decode(struct dialect *d, const char *name, const char *data)
{
	const struct sse_event ev = { slice_of(name), slice_of(data) };
	struct delta delta;
	struct err e = { 0 };

	if (d->target->provider->decode_event(d, &ev, 1, &delta, &e))
		die(d->target->slug, &e);
}

static void events(size_t which)
{
	const char *dialect = streams[which].dialect, *name = streams[which].name;
	struct target t = target_of(dialect);
	struct chat_req req;
	struct dialect d;
	struct err e = { 0 };
	unsigned long n = 0;
	double begun;

	if (chat_parse(SLICE("{\"model\":\"lab/"
			     "model\",\"stream\":true,\"messages\":[{\"role\":\"user\","
			     "\"content\":\"hi\"}]}"),
		    &limits, &req, &e))
		die("chat_parse", &e);
	dialect_init(&d, &t, &req);
	decode(&d, strcmp(dialect, "anthropic") == 0 ? "content_block_start" : name,
		streams[which].first);
	begun = cpu_s();
	do {
		for (int i = 0; i < 100; i++)
			decode(&d, name, streams[which].text);
		n += 100;
	} while (cpu_s() - begun < budget_s);
	begun = cpu_s() - begun;
	printf("| event of %s | %.2f us, %.0f /s |\n", dialect, begun / (double)n * 1e6,
		(double)n / begun);
	dialect_fini(&d);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 1000, 100000, 1000000 };

	if (argc > 1 && strcmp(argv[1], "--help") == 0) {
		puts("usage: dialect_bench [--quick]");
		return 0;
	}
	if (argc > 1 && strcmp(argv[1], "--quick") == 0)
		budget_s = 0.05;
	printf("| what a dialect costs | |\n|---|---|\n");
	for (size_t d = 0; d < sizeof(streams) / sizeof(streams[0]); d++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			requests(streams[d].dialect, sizes[i]);
	for (size_t d = 0; d < sizeof(streams) / sizeof(streams[0]); d++)
		events(d);
	return 0;
}
