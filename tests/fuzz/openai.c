#include "tests/fuzz/dialect.h"

const char fuzz_dialect[] = "openai";
const struct fuzz_target fuzz_targets[] = {
	{ "openai", "gpt-4o" },
	{ "mistral", "mistral-small-latest" },
	{ "minimax", "MiniMax-M2.5" },
	{ "moonshot", "kimi-k2.5" },
	{ "deepseek", "deepseek-chat" },
	{ "groq", "openai/gpt-oss-120b" },
	{ "xai", "grok-4" },
	{ "zai", "glm-5" },
	{ "cohere", "command-a" },
	{ "openrouter", "anthropic/claude-sonnet-4.6" },
	{ "vercel", "openai/gpt-4o" },
	{ "ollama", "llama3.3:70b" },
	{ "openrouter", "google/gemini-3-pro-preview" },
	{ "openrouter", "z-ai/glm-5" },
	{ "openrouter", "mistralai/mistral-large" },
	{ "google-openai", "gemini-3-pro-preview" },
};
const size_t fuzz_targets_n = sizeof(fuzz_targets) / sizeof(fuzz_targets[0]);
