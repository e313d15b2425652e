#include "tests/fuzz/dialect.h"

const char fuzz_dialect[] = "bedrock";
const struct fuzz_target fuzz_targets[] = {
	{ "bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0" },
	{ "bedrock", "mistral.mistral-large-2407-v1:0" },
	{ "bedrock", "amazon.nova-pro-v1:0" },
};
const size_t fuzz_targets_n = sizeof(fuzz_targets) / sizeof(fuzz_targets[0]);
