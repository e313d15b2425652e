// The `openai` package, pointed at the gateway by its base URL alone.
import test from "node:test";
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { apiKey, baseURL, lenient, mark, model, origin, pixel, seen, user, weather } from "./stack.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const chat = client.chat.completions;
const says = "Hello from the fake provider.";
const tools = ["get_weather", "get_time"].map((name) => ({
	type: "function",
	function: { name, description: name, parameters: weather },
}));

const textOf = async (stream) => {
	let text = "";
	for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
	return text;
};

test("a plain completion has text, usage, and an id", async () => {
	const answer = await chat.create({ model, messages: user("hi") });
	assert.equal(answer.object, "chat.completion");
	assert.equal(answer.choices[0].message.content, says);
	assert.equal(answer.choices[0].finish_reason, "stop");
	assert.ok(answer.usage.prompt_tokens > 0);
	assert.equal(
		answer.usage.total_tokens,
		answer.usage.prompt_tokens + answer.usage.completion_tokens,
	);
	assert.ok(answer._request_id);
});

test("a stream arrives as it is made, and hides the usage nobody asked for", async () => {
	const times = [];
	let text = "";
	const stream = await chat.create({
		model,
		messages: user("@fake tokens=6 pace=100"),
		stream: true,
	});
	for await (const chunk of stream) {
		assert.equal(chunk.object, "chat.completion.chunk");
		assert.equal(chunk.choices.length, 1);
		assert.equal(chunk.usage ?? null, null);
		text += chunk.choices[0].delta.content ?? "";
		times.push(Date.now());
	}
	assert.equal(text, "t0 t1 t2 t3 t4 t5");
	assert.ok(times.at(-1) - times[0] >= 400, "all chunks came together");
});

test("include_usage brings one usage chunk at the end", async () => {
	const chunks = [];
	const stream = await chat.create({
		model,
		messages: user("@fake tokens=3"),
		stream: true,
		stream_options: { include_usage: true },
	});
	for await (const chunk of stream) chunks.push(chunk);
	assert.equal(chunks.filter((c) => c.usage).length, 1);
	assert.deepEqual(chunks.at(-1).choices, []);
	assert.equal(chunks.at(-1).usage.completion_tokens, 3);
});

test("tools are called in parallel and their results answered", async () => {
	const messages = user("@fake tools");
	const first = await chat.create({ model, messages, tools });
	assert.equal(first.choices[0].finish_reason, "tool_calls");
	const calls = first.choices[0].message.tool_calls;
	assert.deepEqual(
		calls.map((c) => [c.function.name, JSON.parse(c.function.arguments).city]),
		[
			["get_weather", "Paris"],
			["get_time", "Oslo"],
		],
	);
	messages.push(first.choices[0].message);
	for (const call of calls)
		messages.push({ role: "tool", tool_call_id: call.id, content: "20 degrees" });
	const second = await chat.create({ model, messages, tools });
	assert.equal(second.choices[0].message.content, says);
});

test("streamed parallel tool calls are put together", async () => {
	const stream = chat.stream({ model, messages: user("@fake tools pace=5"), tools });
	const answer = await stream.finalChatCompletion();
	assert.equal(answer.choices[0].finish_reason, "tool_calls");
	assert.deepEqual(
		answer.choices[0].message.tool_calls.map((c) => [c.function.name, c.function.arguments]),
		[
			["get_weather", '{"city":"Paris"}'],
			["get_time", '{"city":"Oslo"}'],
		],
	);
});

test("runTools goes round until there is an answer", async () => {
	const asked = [];
	const runner = chat.runTools({
		model,
		messages: user("@fake tools"),
		tools: tools.map(({ function: f }) => ({
			type: "function",
			function: {
				...f,
				parse: JSON.parse,
				function: ({ city }) => {
					asked.push(city);
					return "20 degrees";
				},
			},
		})),
	});
	assert.equal(await runner.finalContent(), says);
	assert.deepEqual(asked.sort(), ["Oslo", "Paris"]);
});

for (const [kind, url] of [
	["URL", "https://example.com/cat.png"],
	["data URL", pixel],
])
	test(`an image by ${kind} reaches the provider untouched`, async () => {
		const word = mark();
		const content = [
			{ type: "text", text: `what is this? ${word}` },
			{ type: "image_url", image_url: { url, detail: "low" } },
		];
		await chat.create({ model, messages: [{ role: "user", content }] });
		assert.deepEqual((await seen(word, "done")).json.messages[0].content, content);
	});

test("structured output is parsed by its schema", async () => {
	const shape = z.object({ answer: z.string(), steps: z.array(z.number()), sure: z.boolean() });
	const answer = await chat.parse({
		model,
		messages: user("2+2?"),
		response_format: zodResponseFormat(shape, "answer"),
	});
	assert.deepEqual(answer.choices[0].message.parsed, { answer: "four", steps: [4], sure: true });
});

test("n answers come back as n choices, plain and streamed", async () => {
	const answer = await chat.create({ model, messages: user("hi"), n: 3 });
	assert.deepEqual(
		answer.choices.map((c) => c.index),
		[0, 1, 2],
	);
	const texts = ["", ""];
	for await (const chunk of await chat.create({
		model,
		messages: user("hi"),
		n: 2,
		stream: true,
	}))
		for (const c of chunk.choices) texts[c.index] += c.delta.content ?? "";
	assert.deepEqual(texts, [says, says]);
});

test("logprobs come back, plain and streamed", async () => {
	const ask = { model, messages: user("@fake tokens=2"), logprobs: true };
	const answer = await chat.create(ask);
	assert.deepEqual(
		answer.choices[0].logprobs.content.map((t) => [t.token, t.logprob]),
		[
			["t0", -0.25],
			[" t1", -0.25],
		],
	);
	const tokens = [];
	for await (const chunk of await chat.create({ ...ask, stream: true }))
		for (const t of chunk.choices[0].logprobs?.content ?? []) tokens.push(t.token);
	assert.deepEqual(tokens, ["t0", " t1"]);
});

test("fields the gateway has never heard of pass through", async () => {
	const word = mark();
	const custom = { nested: [1, 2.5, 1e30, null], text: "Grüße 😀" };
	await chat.create({ model: lenient, messages: user(word), x_custom: custom, temperature: 0.7 });
	const { json } = await seen(word, "done");
	assert.deepEqual(json.x_custom, custom);
	assert.equal(json.temperature, 0.7);
});

test("text of any language survives the way there and back", async () => {
	const text = "@fake echo\nGrüße, 世界 😀 \u2028 \"quoted\" \\ back";
	const answer = await chat.create({ model, messages: user(text) });
	assert.equal(JSON.parse(answer.choices[0].message.content).messages[0].content, text);
	const stream = await chat.create({ model, messages: user(text), stream: true });
	assert.equal(JSON.parse(await textOf(stream)).messages[0].content, text);
});

test("abort in mid-stream reaches the provider", async () => {
	const word = mark();
	const stream = await chat.create({
		model,
		messages: user(`${word} @fake tokens=2000 pace=50`),
		stream: true,
	});
	let chunks = 0;
	for await (const _ of stream) if (++chunks === 3) stream.controller.abort();
	assert.ok(chunks >= 3 && chunks < 100);
	assert.ok((await seen(word, "cancelled")).events < 2000);
});

test("an aborted signal ends a request that still waits", async () => {
	const word = mark();
	const abort = new AbortController();
	const answer = chat.create(
		{ model, messages: user(`${word} @fake ttft=60000`) },
		{ signal: abort.signal },
	);
	const refusal = assert.rejects(answer, OpenAI.APIUserAbortError);
	await seen(word, "open");
	abort.abort();
	await refusal;
});

test("a wrong key is an AuthenticationError", async () => {
	const stranger = new OpenAI({ baseURL, apiKey: "sk-tg-nobody-knows-this", maxRetries: 0 });
	await assert.rejects(stranger.chat.completions.create({ model, messages: user("hi") }), (e) => {
		assert.ok(e instanceof OpenAI.AuthenticationError);
		assert.equal(e.status, 401);
		assert.ok(e.error.message && e.requestID);
		return true;
	});
});

test("an unknown model is a NotFoundError that names it", async () => {
	await assert.rejects(chat.create({ model: "no-such/model", messages: user("hi") }), (e) => {
		assert.ok(e instanceof OpenAI.NotFoundError, e);
		assert.match(e.message, /no-such\/model/);
		return true;
	});
});

test("a wrong field is a BadRequestError that names it", async () => {
	await assert.rejects(chat.create({ model, messages: "hi" }), (e) => {
		assert.ok(e instanceof OpenAI.BadRequestError, e);
		assert.equal(e.param, "messages");
		return true;
	});
});

for (const [status, Kind] of [
	[400, OpenAI.BadRequestError],
	[429, OpenAI.RateLimitError],
	[500, OpenAI.InternalServerError],
	[503, OpenAI.InternalServerError],
])
	for (const stream of [false, true])
		test(`the provider's ${status} is a ${Kind.name}${stream ? " of a stream" : ""}`, async () => {
			const messages = user(`@fake status=${status} retry_after=9`);
			await assert.rejects(chat.create({ model, messages, stream }), (e) => {
				assert.ok(e instanceof Kind, `${e.constructor.name} ${e.status}: ${e.message}`);
				return true;
			});
		});

test("Retry-After of the provider is passed on", async () => {
	await assert.rejects(
		chat.create({ model, messages: user("@fake status=429 retry_after=7") }),
		(e) => {
			assert.equal(e.headers.get("retry-after"), "7");
			return true;
		},
	);
});

for (const [what, cue] of [
	["an error event of the provider", "error_event=2"],
	["a stream that is cut", "cut=2"],
	["a stream without a finish reason", "tokens=3 nofinish nodone"],
])
	test(`${what} is an APIError inside the stream`, async () => {
		const stream = await chat.create({
			model,
			messages: user(`@fake ${cue}`),
			stream: true,
		});
		await assert.rejects(textOf(stream), (e) => {
			assert.ok(e instanceof OpenAI.APIError, e);
			assert.ok(e.error.message);
			return true;
		});
	});

test("models are listed and found one by one", async () => {
	const ids = [];
	for await (const m of client.models.list()) {
		assert.equal(m.object, "model");
		ids.push(m.id);
	}
	assert.ok(ids.includes(model));
	assert.equal((await client.models.retrieve(model)).id, model);
	await assert.rejects(client.models.retrieve("no-such/model"), OpenAI.NotFoundError);
});

test("a request id of the client's own is echoed", async () => {
	const id = mark();
	const answer = await chat.create(
		{ model, messages: user("hi") },
		{ headers: { "X-Request-Id": id } },
	);
	assert.equal(answer._request_id, id);
});

for (const path of ["/api/gateway", "/api/gateway/v1", "/api/openrouter", "/api/openrouter/v1", "/api/v1"])
	test(`the same below ${path}`, async () => {
		const there = new OpenAI({ baseURL: origin + path, apiKey, maxRetries: 0 });
		const answer = await there.chat.completions.create({ model, messages: user("hi") });
		assert.equal(answer.choices[0].message.content, says);
		const stream = await there.chat.completions.create({
			model,
			messages: user("hi"),
			stream: true,
		});
		assert.equal(await textOf(stream), says);
		assert.equal((await there.models.retrieve(model)).id, model);
	});
