// What SDKs see when a provider of several misbehaves: nothing. The model is at two places of the
// fake, first at `fireworks`, then at `together`.
import test from "node:test";
import assert from "node:assert/strict";
import OpenAI from "openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { apiKey, baseURL, twice as model, user } from "./stack.mjs";

const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const compatible = createOpenAICompatible({ name: "tollgate", baseURL, apiKey, includeUsage: true });
const says = "Hello from the fake provider.";
const first = (cue) => `hi @fake tokens=12\n@fake at=fireworks ${cue}`;
const twelve = Array.from({ length: 12 }, (_, i) => `t${i}`).join(" ");

const passedBy = async (fault) => {
	const { data, response } = await client.chat.completions
		.create({ model, messages: user(first(fault)) })
		.withResponse();
	assert.equal(data.choices[0].message.content, twelve);
	assert.equal(response.headers.get("x-provider"), "together");
	assert.match(response.headers.get("x-attempts"), /^fireworks:.*, together:ok$/);
};

for (const fault of ["status=500", "status=503", "status=401", "reset", "body=garbage"]) {
	test(`a provider with ${fault} is passed by`, async () => {
		await passedBy(fault);
	});
}

for (const death of ["cut=6", "reset_after=6", "malformed=7", "error_event=6", "nofinish"]) {
	test(`a stream that ends with ${death} is one answer for the openai package`, async () => {
		const stream = client.chat.completions.stream({ model, messages: user(first(death)) });
		const answer = await stream.finalChatCompletion();
		assert.equal(answer.choices[0].message.content, twelve);
		assert.equal(answer.choices[0].finish_reason, "stop");
	});

	test(`a stream that ends with ${death} is one answer for the ai package`, async () => {
		const result = streamText({
			model: compatible(model),
			prompt: first(death),
			maxRetries: 0,
			onError: () => {},
		});
		assert.equal(await result.text, twelve);
		assert.equal(await result.finishReason, "stop");
	});
}

test("a tool runs once although the stream of its call died", async () => {
	const asked = [];
	const weather = tool({
		description: "weather",
		inputSchema: z.object({ city: z.string() }),
		execute: async ({ city }) => {
			asked.push(city);
			return { degrees: 20 };
		},
	});
	const result = streamText({
		model: compatible(model),
		prompt: "hi @fake tools\n@fake at=fireworks cut=3",
		tools: { weather },
		maxRetries: 0,
		stopWhen: stepCountIs(2),
		onError: () => {},
	});
	assert.equal(await result.text, says);
	assert.deepEqual(asked, ["Paris", "Oslo"]);
});

// Comes last: it is left alone for a while.
test("a provider that limits is passed by", async () => {
	await passedBy("status=429");
});

test("when all providers fail the error is typed, and says what was tried", async () => {
	await assert.rejects(
		client.chat.completions.create({ model, messages: user("@fake status=503") }),
		(e) => e instanceof OpenAI.InternalServerError && e.status === 503 && e.headers.get("retry-after") > 0,
	);
	await assert.rejects(generateText({ model: compatible(model), prompt: "@fake status=503", maxRetries: 0 }));
});
