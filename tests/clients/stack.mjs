// What every test needs to know of the gateway and of the provider behind it. The variables
// are set by ./run; the provider is tests/fake/upstream, whose cues are explained in cue.h.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const need = (name) => {
	if (!process.env[name]) throw new Error(`${name} is not set: start the tests with tests/clients/run`);
	return process.env[name];
};

export const origin = need("TOLLGATE_ORIGIN"); // http://127.0.0.1:PORT
export const baseURL = `${origin}/v1`;
export const apiKey = need("TOLLGATE_KEY");
export const model = need("TOLLGATE_MODEL");
// At a provider that takes members it does not know; OpenAI's own service refuses them.
export const lenient = need("TOLLGATE_LENIENT_MODEL");
// At providers that speak another dialect.
export const claude = need("TOLLGATE_CLAUDE");
export const gemini = need("TOLLGATE_GEMINI");
// At two providers, which are two places of the fake.
export const twice = need("TOLLGATE_TWICE_MODEL");
const fake = need("FAKE_ORIGIN");

export const user = (text) => [{ role: "user", content: text }];

// A word that finds a request again in the provider's log.
export const mark = () => `mark-${randomUUID()}`;

// Waits until the provider has seen the request with this mark, in this state (open, done,
// cancelled); gives its entry in the log.
export const seen = async (word, state, within_ms = 15000) => {
	let entry;
	for (const end = Date.now() + within_ms; Date.now() < end; await sleep(20)) {
		const log = await (await fetch(`${fake}/_fake/log`)).json();
		entry = log.requests.find((r) => r.body?.includes(word));
		if (entry?.state === state) return { ...entry, json: JSON.parse(entry.body) };
	}
	throw new Error(`the provider never saw ${word} ${state}, but ${entry ? entry.state : "nothing"}`);
};

export const weather = {
	type: "object",
	properties: { city: { type: "string" } },
	required: ["city"],
	additionalProperties: false,
};

// The smallest picture: one transparent pixel.
export const pixel =
	"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
