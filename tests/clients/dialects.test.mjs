// The same SDKs, asking for models whose providers speak another dialect: Claude and Gemini. Nothing
// in these clients knows of them. The provider refuses what the real ones refuse.
import test from "node:test";
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { apiKey, baseURL, claude, gemini, mark, pixel, seen, user, weather } from "./stack.mjs";

const chat = new OpenAI({ baseURL, apiKey, maxRetries: 0 }).chat.completions;
const compatible = createOpenAICompatible({
	name: "tollgate",
	baseURL,
	apiKey,
	includeUsage: true,
	supportsStructuredOutputs: true,
});
const quiet = { maxRetries: 0, onError: () => {} };
const says = "Hello from the fake provider.";
const thought = "Let me think.";
const shape = z.object({ answer: z.string(), steps: z.array(z.number()) });
const functions = ["get_weather", "get_time"].map((name) => ({
	type: "function",
	function: { name, description: name, parameters: weather },
}));

// Tools of the `ai` package that note what they were asked.
const toolbox = () => {
	const asked = [];
	const make = (name) =>
		tool({
			description: name,
			inputSchema: z.object({ city: z.string() }),
			execute: async ({ city }) => {
				asked.push(`${name} ${city}`);
				return { degrees: 20 };
			},
		});
	return { asked, tools: { get_weather: make("get_weather"), get_time: make("get_time") } };
};
const both = ["get_time Oslo", "get_weather Paris"];

const answered = (messages, message) => [
	...messages,
	message,
	...message.tool_calls.map((c) => ({ role: "tool", tool_call_id: c.id, content: "20 degrees" })),
];

// Puts a streamed message together as clients do that keep what they do not know.
const gather = async (stream) => {
	const message = { role: "assistant", content: null, tool_calls: [], reasoning_details: [] };
	for await (const { choices } of stream) {
		const delta = choices[0]?.delta ?? {};
		if (delta.content) message.content = (message.content ?? "") + delta.content;
		for (const d of delta.reasoning_details ?? []) {
			const last = message.reasoning_details.at(-1);
			if (last?.type === d.type && last.index === d.index) {
				if (d.text) last.text = (last.text ?? "") + d.text;
				if (d.signature) last.signature = d.signature;
			} else message.reasoning_details.push({ ...d });
		}
		for (const { index, ...piece } of delta.tool_calls ?? []) {
			if (!message.tool_calls[index]) message.tool_calls[index] = piece;
			else message.tool_calls[index].function.arguments += piece.function.arguments;
		}
	}
	return message;
};

for (const model of [claude, gemini]) {
	const name = model.split("/")[0];
	const thinking = { model, tools: functions, reasoning_effort: "high" };

	test(`${name}, openai: a stream arrives as it is made, and its usage at the end`, async () => {
		const times = [];
		let text = "", usage;
		for await (const chunk of await chat.create({
			model,
			messages: user("@fake tokens=6 pace=100"),
			stream: true,
			stream_options: { include_usage: true },
		})) {
			text += chunk.choices[0]?.delta.content ?? "";
			usage = chunk.usage ?? usage;
			times.push(Date.now());
		}
		assert.equal(text, "t0 t1 t2 t3 t4 t5");
		assert.ok(times.at(-1) - times[0] >= 400, "all chunks came together");
		assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
	});

	test(`${name}, openai: thoughts go back with the calls they led to`, async () => {
		const messages = user("@fake tools");
		const whole = (await chat.create({ ...thinking, messages })).choices[0].message;
		const pieces = await gather(await chat.create({ ...thinking, messages, stream: true }));
		for (const message of [whole, pieces]) {
			assert.equal(message.reasoning_details[0].text, thought);
			const { choices } = await chat.create({
				...thinking,
				messages: answered(messages, message),
			});
			assert.equal(choices[0].message.content, says);
			// it thinks on, which it could not without its thoughts
			assert.equal(choices[0].message.reasoning, thought);
		}
	});

	test(`${name}, openai: runTools, which keeps no thoughts, gets its answer`, async () => {
		const asked = [];
		const runner = chat.runTools({
			...thinking,
			messages: user("@fake tools"),
			tools: functions.map(({ function: f }) => ({
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

	test(`${name}, openai: calls alone go back, without anything they came with`, async () => {
		const messages = user("@fake tools");
		const { message } = (await chat.create({ ...thinking, messages })).choices[0];
		const bare = {
			role: "assistant",
			content: null,
			tool_calls: message.tool_calls.map(({ id, type, function: f }) => ({
				id,
				type,
				function: f,
			})),
		};
		const { choices } = await chat.create({ ...thinking, messages: answered(messages, bare) });
		assert.equal(choices[0].message.content, says);
	});

	test(`${name}, openai: structured output is parsed by its schema`, async () => {
		const answer = await chat.parse({
			model,
			messages: user("2+2?"),
			response_format: zodResponseFormat(shape, "answer"),
		});
		assert.deepEqual(answer.choices[0].message.parsed, { answer: "four", steps: [4] });
	});

	for (const [status, Kind] of [
		[400, OpenAI.BadRequestError],
		[429, OpenAI.RateLimitError],
		[500, OpenAI.InternalServerError],
	])
		test(`${name}, openai: the provider's ${status} is a ${Kind.name}`, async () => {
			for (const stream of [false, true])
				await assert.rejects(
					chat.create({ model, messages: user(`@fake status=${status} retry_after=9`), stream }),
					(e) => {
						assert.ok(e instanceof Kind, `${e.constructor.name} ${e.status}: ${e.message}`);
						return true;
					},
				);
		});

	for (const cue of ["tokens=20 error_event=9", "tokens=20 cut=9", "tokens=3 nofinish"])
		test(`${name}, openai: "${cue}" is an APIError inside the stream`, async () => {
			const stream = await chat.create({ model, messages: user(`@fake ${cue}`), stream: true });
			await assert.rejects(gather(stream), (e) => {
				assert.ok(e instanceof OpenAI.APIError && e.error.message, e);
				return true;
			});
		});

	test(`${name}, ai: streamText gives thoughts and tokens, and usage`, async () => {
		const result = streamText({
			...quiet,
			model: compatible(model),
			prompt: "@fake tokens=5 pace=20",
			providerOptions: { tollgate: { reasoningEffort: "high" } },
		});
		assert.equal(await result.text, "t0 t1 t2 t3 t4");
		assert.equal(await result.reasoningText, thought);
		assert.equal(await result.finishReason, "stop");
		assert.equal((await result.usage).outputTokens, 12);
	});

	for (const ask of [generateText, streamText])
		test(`${name}, ai: tools of a thinking model, by ${ask.name}`, async () => {
			const { asked, tools } = toolbox();
			const result = await ask({
				...quiet,
				model: compatible(model),
				tools,
				stopWhen: stepCountIs(3),
				prompt: "@fake tools",
				providerOptions: { tollgate: { reasoningEffort: "high" } },
			});
			assert.equal(await result.text, says);
			assert.deepEqual(asked.sort(), both);
			assert.equal((await result.steps).length, 2);
		});

	test(`${name}, ai: generateObject`, async () => {
		const { object } = await generateObject({
			model: compatible(model),
			schema: shape,
			prompt: "2+2?",
		});
		assert.deepEqual(object, { answer: "four", steps: [4] });
	});

	test(`${name}, ai: an image reaches the provider`, async () => {
		const word = mark();
		await generateText({
			...quiet,
			model: compatible(model),
			messages: [
				{
					role: "user",
					content: [
						{ type: "text", text: word },
						{ type: "image", image: pixel },
					],
				},
			],
		});
		assert.ok((await seen(word, "done")).body.includes(pixel.split(",")[1]));
	});

	test(`${name}, ai: abort in mid-stream reaches the provider`, async () => {
		const word = mark();
		const abort = new AbortController();
		const result = streamText({
			...quiet,
			model: compatible(model),
			abortSignal: abort.signal,
			prompt: `${word} @fake tokens=2000 pace=50`,
		});
		const kinds = [];
		let texts = 0;
		for await (const part of result.fullStream) {
			kinds.push(part.type);
			if (part.type === "text-delta" && ++texts === 3) abort.abort();
		}
		assert.equal(kinds.at(-1), "abort");
		await seen(word, "cancelled");
	});

	for (const [status, retryable] of [
		[400, false],
		[429, true],
		[503, true],
	])
		test(`${name}, ai: the provider's ${status} is an APICallError`, async () => {
			const call = generateText({
				...quiet,
				model: compatible(model),
				prompt: `@fake status=${status} retry_after=9`,
			});
			await assert.rejects(call, (e) => {
				assert.ok(APICallError.isInstance(e), e);
				assert.equal(e.isRetryable, retryable);
				return true;
			});
		});
}
