#include "tests/fuzz/dialect.h"

const char fuzz_dialect[] = "anthropic";
const struct fuzz_target fuzz_targets[] = {
	{ "anthropic", "claude-sonnet-4-6" },
	{ "anthropic", "claude-opus-5" },
	{ "anthropic", "claude-sonnet-4-20250514" },
	{ "anthropic", "claude-3-haiku-20240307" },
};
const size_t fuzz_targets_n = sizeof(fuzz_targets) / sizeof(fuzz_targets[0]);
