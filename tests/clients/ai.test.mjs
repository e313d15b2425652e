// The `ai` package with both of its OpenAI providers, pointed at the gateway by base URL alone.
import test from "node:test";
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { apiKey, baseURL, mark, model as id, pixel, seen } from "./stack.mjs";

const says = "Hello from the fake provider.";
const compatible = createOpenAICompatible({
	name: "tollgate",
	baseURL,
	apiKey,
	includeUsage: true,
	supportsStructuredOutputs: true,
});
const openai = createOpenAI({ baseURL, apiKey });
const quiet = { maxRetries: 0, onError: () => {} };

// Tools that note what they were asked.
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

for (const [name, model] of [
	["@ai-sdk/openai-compatible", compatible(id)],
	["@ai-sdk/openai", openai.chat(id)],
]) {
	test(`${name}: generateText`, async () => {
		const { text, usage, finishReason } = await generateText({ model, prompt: "hi" });
		assert.equal(text, says);
		assert.equal(finishReason, "stop");
		assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0);
	});

	test(`${name}: streamText gives tokens one by one, and usage`, async () => {
		const result = streamText({ ...quiet, model, prompt: "@fake tokens=5 pace=50" });
		const parts = [];
		for await (const part of result.textStream) parts.push(part);
		assert.deepEqual(parts, ["t0", " t1", " t2", " t3", " t4"]);
		assert.equal((await result.usage).outputTokens, 5);
		assert.equal(await result.finishReason, "stop");
	});

	test(`${name}: generateObject`, async () => {
		const { object } = await generateObject({
			model,
			schema: z.object({ answer: z.string(), steps: z.array(z.number()) }),
			prompt: "2+2?",
		});
		assert.deepEqual(object, { answer: "four", steps: [4] });
	});

	test(`${name}: tools are run and their results answered`, async () => {
		const { asked, tools } = toolbox();
		const result = await generateText({
			model,
			tools,
			stopWhen: stepCountIs(3),
			prompt: "@fake tools",
		});
		assert.deepEqual(asked.sort(), ["get_time Oslo", "get_weather Paris"]);
		assert.equal(result.steps.length, 2);
		assert.equal(result.text, says);
	});

	test(`${name}: streamed tools are run and their results answered`, async () => {
		const { asked, tools } = toolbox();
		const result = streamText({
			...quiet,
			model,
			tools,
			stopWhen: stepCountIs(3),
			prompt: "@fake tools pace=5",
		});
		assert.equal(await result.text, says);
		assert.deepEqual(asked.sort(), ["get_time Oslo", "get_weather Paris"]);
	});

	test(`${name}: an image reaches the provider`, async () => {
		const word = mark();
		await generateText({
			model,
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
		const { json } = await seen(word, "done");
		assert.equal(json.messages[0].content[1].image_url.url, pixel);
	});

	test(`${name}: abort in mid-stream reaches the provider`, async () => {
		const word = mark();
		const abort = new AbortController();
		const result = streamText({
			...quiet,
			model,
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
		[500, true],
	])
		test(`${name}: the provider's ${status} is an APICallError`, async () => {
			const call = generateText({ ...quiet, model, prompt: `@fake status=${status} retry_after=9` });
			await assert.rejects(call, (e) => {
				assert.ok(APICallError.isInstance(e), e);
				assert.equal(e.isRetryable, retryable);
				assert.ok(e.message);
				return true;
			});
		});

	// The error event carries an error and, for clients that only look there, a choice with the
	// finish reason "error". @ai-sdk/openai is one of those.
	test(`${name}: an error in mid-stream never looks like a complete answer`, async () => {
		const result = streamText({ ...quiet, model, prompt: "@fake error_event=3" });
		const kinds = [];
		for await (const part of result.fullStream)
			kinds.push(part.type === "finish" ? `finish ${part.finishReason}` : part.type);
		if (name === "@ai-sdk/openai") assert.equal(kinds.at(-1), "finish other");
		else assert.ok(kinds.includes("error") && !kinds.includes("finish stop"), kinds);
	});
}
